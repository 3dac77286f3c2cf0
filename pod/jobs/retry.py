"""Retry: what a pod does about an error: report it once, try again after a while, let other jobs go
on meanwhile.

It knows jobs by their ids and errors by their messages, nothing of what is tried.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from fitchain.pod.jobs.home import Home
from fitchain.pod.values.errors import FitchainError, Refuted
from fitchain.pod.values.ids import NO_AGREEMENT, AgreementId

RETRY_S = 5.0
DOUBLINGS = 4
Log = Callable[[AgreementId, str], None]
"""Told what happens, one line each, and about which job; `NO_AGREEMENT` where it is about none."""


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
        self._last_error: dict[AgreementId, str] = {}
        self._due: dict[AgreementId, float] = {}
        self._failures: Counter[AgreementId] = Counter()

    def due(self, id: AgreementId) -> bool:
        """Whether a job may be tried now."""
        return time.monotonic() >= self._due.get(id, 0.0)

    def attempt(self, id: AgreementId, act: Callable[[], None]) -> None:
        """Do something for a job; an error is told unless it is the one told last, and puts the job
        off."""
        try:
            act()
        except FitchainError as error:
            self._due[id] = time.monotonic() + self.retry_s * (1 << min(self._failures[id], DOUBLINGS))
            self._failures[id] += 1
            self.report(id, error)
        else:
            self._last_error.pop(id, None)
            self._failures.pop(id, None)

    def report(self, id: AgreementId, error: FitchainError) -> None:
        """Tell an error and put it into the job's history, unless it was told last."""
        if self._last_error.get(id) == error.message:
            return
        self._last_error[id] = error.message
        self.log(id, f"{error.message} ({error.hint})" if error.hint else error.message)
        if id != NO_AGREEMENT:
            kind = "refuted" if isinstance(error, Refuted) else "error"
            self.home.journal.record(id, kind, message=error.message, hint=error.hint)
