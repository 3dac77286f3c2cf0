"""The loop of a pod: it looks at the chain again and again, and gives what there is to do to its
lanes.

What a party does for which state of its jobs is a table of its own (`STEPS`); the loop knows
nothing of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import ClassVar

from fitchain.pod.jobs.finality import Finality
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.lanes import Lanes, Work
from fitchain.pod.jobs.orphans import Orphans
from fitchain.pod.jobs.retry import RETRY_S, Log, RetryPolicy, log_about
from fitchain.pod.ports.chain.base import FINAL_BLOCKS
from fitchain.pod.ports.chain.client import REBROADCAST_S
from fitchain.pod.ports.registry import Role
from fitchain.pod.values.ids import NO_AGREEMENT

LOOK_S = 0.2


class PodLoop:
    """A pod that follows the chain.

    Args:
        home: opened with its key.
        log: told what happens, one line each.
        look_s: seconds between two looks at the chain.
        retry_s: seconds until something that failed is tried again.
        final_blocks: how many blocks must lie on an end before anything is deleted, or followed no
            more, because of it.
    """

    role: ClassVar[Role]
    threads: ClassVar[Mapping[str, int]]
    """How many threads each of its lanes has."""

    def __init__(
        self,
        home: Home,
        log: Log,
        look_s: float = LOOK_S,
        retry_s: float = RETRY_S,
        final_blocks: int = FINAL_BLOCKS,
    ) -> None:
        self.home, self.log, self.look_s = home, log, look_s
        self.finality, self.final_blocks = Finality(home, final_blocks), final_blocks
        self._orphans = Orphans(home, self.finality)
        self._must_rebroadcast = True  # the first look does not know of what was taken back before it
        self._rebroadcast_at = 0.0
        self._retry = RetryPolicy(home, log, retry_s)
        self._rebroadcasts = RetryPolicy(home, log, retry_s)  # what keeps it from sending keeps it from nothing else
        self._clearings = RetryPolicy(home, log, retry_s)  # likewise
        self._stop = threading.Event()
        self._lanes = Lanes(self.threads, self._retry, self._stop)

    def run(self, stop: threading.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Follow the chain until `stop` is set; then each lane finishes what it is at.

        Args:
            stop: ends it.
            ready: called once the pod is registered and looks at the chain.

        Raises:
            Unusable: another pod runs from this home.
            FitchainError: this pod cannot be registered; while chain or store cannot be reached, it
                waits.
        """
        self._stop = stop
        with self.home.exclusive_lock(), self.home.chain.ends_with(stop):
            if not self._retry.until_done(partial(self.home.join_chain, self.role, self.log), stop):
                return
            ready()
            with Lanes(self.threads, self._retry, stop) as self._lanes:
                while not stop.is_set():
                    if self._retry.due(NO_AGREEMENT):
                        self._retry.attempt(NO_AGREEMENT, self._turn)
                    stop.wait(self.look_s)

    def look(self) -> Iterable[tuple[str, Work]]:
        """What there is to do, and in which lane."""
        raise NotImplementedError

    def forget(self) -> None:
        """Keep nothing that was read of the chain: it took blocks back. What is over is found to be
        over again, and what is not any more is followed again."""
        raise NotImplementedError

    def _rebroadcast_is_due(self) -> bool:
        """Whether something may have to be sent again: the chain was reorganised, or something that
        was sent is not seen mined yet. Nobody need wait for the latter, and a block that took it
        and went again between two looks shows in nothing else."""
        waited = time.monotonic() - self._rebroadcast_at > REBROADCAST_S
        return self._must_rebroadcast or (waited and bool(self.home.chain.unseen()))

    def _rebroadcast(self) -> None:
        """Send again what the chain took back."""
        self._rebroadcast_at = time.monotonic()
        again = self.home.chain.rebroadcast()
        self._must_rebroadcast = False
        if again:
            self.log(NO_AGREEMENT, f"sent again what the chain took back: {', '.join(dict.fromkeys(again))}")

    def _clear_orphans(self) -> None:
        """Remove what is kept of jobs and of seats that the chain took back."""
        for subject in self._orphans.clear():
            log_about(self.log, subject, "the chain took it back for good: what must not outlive it is cleared away")

    def _turn(self) -> None:
        looked_at = time.monotonic()
        if self.finality.look() or (self.finality.is_newer and self.home.chain.was_taken_back()):
            self.log(NO_AGREEMENT, "the chain was reorganised: everything is looked at anew")
            self.home.agreements.forget()
            self.forget()
            self._orphans.forget()
            self._must_rebroadcast = True
        if self._rebroadcasts.due(NO_AGREEMENT) and self._rebroadcast_is_due():
            self._rebroadcasts.attempt(NO_AGREEMENT, self._rebroadcast)
        if self._clearings.due(NO_AGREEMENT):
            self._clearings.attempt(NO_AGREEMENT, self._clear_orphans)
        works: dict[str, list[Work]] = {name: [] for name in self.threads}
        for lane, work in self.look():
            if self._retry.due(work.subject) and not self._lanes.is_busy(work.subject):
                works[lane].append(work)
        for lane, waiting in works.items():
            self._lanes.plan(lane, waiting, looked_at)
