"""How the demonstration waits: it follows one job through its parties' journals, and stops at the first thing that goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fitchain.cli.demo.parties import Pod
from fitchain.pod.jobs.job_status import JobStatusReader
from fitchain.pod.jobs.journal import Entry
from fitchain.pod.values.errors import Unusable
from fitchain.pod.values.ids import AgreementId

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home

PATIENCE_S = 300
POLL_S = 0.1
WRONG = ("error", "refuted", "refused", "rejected")


class Follower:
    """Follows a job through its parties' eyes.

    Args:
        homes: of the parties.
        running: the pods' processes, which must stay alive.
    """

    def __init__(self, homes: Sequence[Home], running: Sequence[Pod]) -> None:
        self._homes, self._running = homes, running
        self._job: AgreementId | None = None
        self._told = [0] * len(homes)

    def follow(self, job: AgreementId) -> JobStatusReader:
        """Take notice of what goes wrong with a job from now on; what reads its standing."""
        self._job = job
        return JobStatusReader(self._homes[0], job)

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait until something is reached.

        Raises:
            Unusable: a pod ended or reported an error, or nothing happened for minutes.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not reached():
            for pod in self._running:
                pod.check()
            for entry in self._errors():
                told = entry.body.get("message") or entry.body.get("reason")
                raise Unusable(f"{entry.kind}: {told}", entry.body.get("hint", ""))
            if time.monotonic() > deadline:
                raise Unusable(f"nothing happened for {PATIENCE_S} s", "see the pods' logs")
            time.sleep(POLL_S)

    def _errors(self) -> list[Entry]:
        """What went wrong since the last look, by either pod's history."""
        if self._job is None:
            return []
        found: list[Entry] = []
        for side, home in enumerate(self._homes):
            for entry in home.journal.history(self._job, self._told[side]):
                self._told[side] = entry.id
                found += [entry] if entry.kind in WRONG else []
        return found
