"""How the demonstration waits: by the parties' journals, until something goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fitchain.cli.demo.parties import Pod
from fitchain.pod.jobs.history import Error, Refused, Refuted, Rejected
from fitchain.pod.values.errors import Unusable
from fitchain.pod.values.ids import AgreementId

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.jobs.job_status import JobStatusReader

STALL_TIMEOUT_S = 300
POLL_S = 0.1


class Follower:
    """Follows a job through its parties' eyes.

    Args:
        homes: of the parties.
        running: the pods' processes, which must stay alive.
    """

    def __init__(self, homes: Sequence[Home], running: Sequence[Pod]) -> None:
        self._homes, self._running = homes, running
        self._job: AgreementId | None = None
        self._last_read = [0] * len(homes)

    def follow(self, job: AgreementId) -> JobStatusReader:
        """Take notice of what goes wrong with a job from now on; what reads its status."""
        from fitchain.pod.jobs.job_status import JobStatusReader

        self._job = job
        return JobStatusReader(self._homes[0], job)

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait until something is reached.

        Raises:
            Unusable: a pod ended or reported an error, or nothing happened for minutes.
        """
        deadline = time.monotonic() + STALL_TIMEOUT_S
        while not reached():
            for pod in self._running:
                pod.check()
            for problem in self._errors():
                raise problem
            if time.monotonic() > deadline:
                raise Unusable(f"nothing happened for {STALL_TIMEOUT_S} s", "see the pods' logs")
            time.sleep(POLL_S)

    def _errors(self) -> list[Unusable]:
        """What went wrong since the last look, by either pod's history."""
        if self._job is None:
            return []
        errors: list[Unusable] = []
        for side, home in enumerate(self._homes):
            for line in home.journal.history(self._job, self._last_read[side]):
                self._last_read[side] = line.id
                match line.entry:
                    case Error(message, hint) | Refuted(message, hint):
                        errors.append(Unusable(f"{line.entry.kind}: {message}", hint))
                    case Refused(reason=reason) | Rejected(reason=reason):
                        errors.append(Unusable(f"{line.entry.kind}: {reason}"))
        return errors
