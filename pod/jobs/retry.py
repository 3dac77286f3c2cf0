"""Retry: what a pod does about an error: report it once, try again after a while, let other jobs go
on meanwhile.

It knows jobs and audits by their names and errors by their messages, nothing of what is tried.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.values.errors import (
    FitchainError,
    HostUnusable,
    NodeRefused,
    NodeUnreachable,
    NotMinedYet,
    Refuted,
    StoreUnreachable,
    Unusable,
    host_error,
)
from fitchain.pod.values.ids import NO_AGREEMENT, AgreementId, AuditRef, Subject, agreement_of

RETRY_S = 5.0
DOUBLINGS = 4
PASSING = (NodeUnreachable, NodeRefused, NotMinedYet, StoreUnreachable, HostUnusable)
"""What a pod that is started waits for."""
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


def _known(fault: Exception) -> FitchainError | None:
    """An error of ours, or what this host lacks: room on a disk, a right, memory."""
    return fault if isinstance(fault, FitchainError) else host_error(fault, every=True)


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

    def failures(self, subject: Subject) -> int:
        """How often in a row a job was tried in vain."""
        return self._failures[subject]

    def attempt(self, subject: Subject, act: Callable[[], None]) -> None:
        """Do something for a job; an error is told unless it is the one told last, and puts the job
        off.

        So does a fault of Fitchain's own: what a stranger may have caused ends no pod, and is not
        tried again at once and unsaid.
        """
        try:
            act()
        except Exception as fault:  # noqa: BLE001 - see above
            error = _known(fault) or _bug(fault)
            self._due[subject] = time.monotonic() + self.retry_s * (1 << min(self._failures[subject], DOUBLINGS))
            self._failures[subject] += 1
            self.report(subject, error)
        else:
            self._last_error.pop(subject, None)
            self._failures.pop(subject, None)

    def until_done(self, act: Callable[[], None], stop: threading.Event) -> bool:
        """Do what a pod begins with, again and again while chain or store cannot be reached, the
        node answers with an error, or this host lacks room: it may be started before they are in
        order, at boot say.

        Returns:
            whether it was done before `stop` was set.

        Raises:
            FitchainError: it cannot be done, and waiting would not help.
        """
        while not stop.is_set():
            try:
                act()
            except Exception as fault:
                if not isinstance(error := _known(fault), PASSING):
                    raise
                self.report(NO_AGREEMENT, error)
                stop.wait(self.retry_s)
            else:
                self._last_error.pop(NO_AGREEMENT, None)
                return True
        return False

    def report(self, subject: Subject, error: FitchainError) -> None:
        """Tell an error and put it into the job's history, unless it was told last.

        Nothing gets out of here: in a lane nobody would hear of it, and in the loop it would end
        the pod. What keeps an error from being written down (a full disk) is told beside it, and
        what keeps it from being told (a log that is gone) leaves it in the history.
        """
        if self._last_error.get(subject) == error.message:
            return
        self._last_error[subject] = error.message
        self._tell(subject, f"{error.message} ({error.hint})" if error.hint else error.message)
        if subject == NO_AGREEMENT:
            return
        kind = history.Refuted if isinstance(error, Refuted) else history.Error
        try:
            self.home.journal.record(subject, kind(error.message, error.hint))
        except Exception as fault:  # noqa: BLE001 - see above
            if isinstance(error, HostUnusable) and isinstance(fault, HostUnusable):
                return  # it says of the same host that it takes nothing
            self._tell(subject, f"that could not be put into the history: {type(fault).__name__}: {fault}")

    def _tell(self, subject: Subject, text: str) -> None:
        with suppress(OSError, ValueError):  # a pipe without reader, a full disk, a closed stream
            log_about(self.log, subject, text)
