"""Retry: what a pod does about an error: report it once, try again after a while, let other jobs go
on meanwhile.

It knows jobs and audits by their names and errors by their messages, nothing of what is tried.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable

from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.values.errors import FitchainError, Refuted, Unusable
from fitchain.pod.values.ids import NO_AGREEMENT, AgreementId, AuditRef, Subject, agreement_of

RETRY_S = 5.0
DOUBLINGS = 4
Log = Callable[[AgreementId, str], None]
"""Told what happens, one line each, and about which job; `NO_AGREEMENT` where it is about none."""


def log_about(log: Log, subject: Subject, text: str) -> None:
    """Tell a line about a job or an audit of it; of an audit that was asked for again its number
    stands before it."""
    ordinal = subject.ordinal if isinstance(subject, AuditRef) else 0
    log(agreement_of(subject), f"audit {ordinal}: {text}" if ordinal else text)


def _bug(fault: Exception) -> FitchainError:
    lines = "".join(traceback.format_exception(fault)[-2:]).strip()
    return Unusable(f"this is a bug in Fitchain: {type(fault).__name__}: {fault}", f"please report it: {lines}")


class RetryPolicy:
    """Remembers of each job what went wrong last and when it is due again.

    Args:
        home: in whose journal errors are kept.
        log: told each error once.
        retry_s: seconds until something that failed is tried again; each further failure doubles
            them, up to sixteen times as long.
    """

    def __init__(self, home: Home, log: Log, retry_s: float = RETRY_S) -> None:
        self.home, self.log, self.retry_s = home, log, retry_s
        self._last_error: dict[Subject, str] = {}
        self._due: dict[Subject, float] = {}
        self._failures: Counter[Subject] = Counter()

    def due(self, subject: Subject) -> bool:
        """Whether a job may be tried now."""
        return time.monotonic() >= self._due.get(subject, 0.0)

    def attempt(self, subject: Subject, act: Callable[[], None]) -> None:
        """Do something for a job; an error is told unless it is the one told last, and puts the job
        off.

        So does a fault of Fitchain's own: what a stranger may have caused ends no pod, and is not
        tried again at once and unsaid.
        """
        try:
            act()
        except Exception as fault:  # noqa: BLE001 - see above
            error = fault if isinstance(fault, FitchainError) else _bug(fault)
            self._due[subject] = time.monotonic() + self.retry_s * (1 << min(self._failures[subject], DOUBLINGS))
            self._failures[subject] += 1
            self.report(subject, error)
        else:
            self._last_error.pop(subject, None)
            self._failures.pop(subject, None)

    def report(self, subject: Subject, error: FitchainError) -> None:
        """Tell an error and put it into the job's history, unless it was told last."""
        if self._last_error.get(subject) == error.message:
            return
        self._last_error[subject] = error.message
        text = f"{error.message} ({error.hint})" if error.hint else error.message
        log_about(self.log, subject, text)
        if subject != NO_AGREEMENT:
            kind = history.Refuted if isinstance(error, Refuted) else history.Error
            self.home.journal.record(subject, kind(error.message, error.hint))
