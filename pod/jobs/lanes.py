"""Lanes: threads beside one another, in which a pod does what takes its time, so that nothing waits
behind what has nothing to do with it.

A lane does one thing after the other, the most urgent first. What waits in it is said anew at each
look at the chain: so a step for a state that a job has left is dropped, and a request that is worth
more goes before one that came earlier.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from fitchain.pod.jobs.retry import RetryPolicy
from fitchain.pod.values.ids import Subject


@dataclass(frozen=True)
class Work:
    """What is to be done for a job or an audit.

    Args:
        subject: of whom at most one thing is done at a time, in whatever lane.
        act: does it.
        order: the least goes first; among equals, whoever stands first.
    """

    subject: Subject
    act: Callable[[], None]
    order: tuple[Any, ...] = ()


@dataclass
class _Lane:
    waiting: list[Work] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)


class Lanes(AbstractContextManager["Lanes"]):
    """The lanes of a pod; leaving the context lets each finish what it is at, and nothing more.

    Args:
        threads: how many threads each lane has, by its name.
        retry: tells what goes wrong, and puts it off.
        stop: lets nothing more begin.
    """

    def __init__(self, threads: Mapping[str, int], retry: RetryPolicy, stop: threading.Event) -> None:
        self._retry, self._stop = retry, stop
        self._changed = threading.Condition()
        self._closed = False
        self._running: set[Subject] = set()
        self._finished_at: dict[Subject, float] = {}
        self._lanes = {name: _Lane() for name in threads}
        for name, count in threads.items():
            lane = self._lanes[name]
            lane.threads += [
                threading.Thread(target=self._work, args=(lane,), name=f"{name} {number}") for number in range(count)
            ]

    def __enter__(self) -> Lanes:
        for lane in self._lanes.values():
            for thread in lane.threads:
                thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for lane in self._lanes.values():
            for thread in lane.threads:
                thread.join()

    def is_busy(self, subject: Subject) -> bool:
        """Whether something is done for a job or an audit right now."""
        with self._changed:
            return subject in self._running

    def plan(self, name: str, works: Sequence[Work], looked_at: float) -> None:
        """Say what waits in a lane, in place of what waited there.

        Args:
            name: the lane's.
            works: what waits; nothing of whom something is done now, or was since the look.
            looked_at: when the chain was looked at for it, by the monotonic clock.
        """
        with self._changed:
            self._lanes[name].waiting = [
                work
                for work in works
                if work.subject not in self._running and self._finished_at.get(work.subject, looked_at) <= looked_at
            ]
            self._changed.notify_all()

    def _work(self, lane: _Lane) -> None:
        while (work := self._take(lane)) is not None:
            try:
                self._retry.attempt(work.subject, work.act)
            finally:
                with self._changed:
                    self._running.discard(work.subject)
                    self._finished_at[work.subject] = time.monotonic()

    def _take(self, lane: _Lane) -> Work | None:
        with self._changed:
            while not (self._closed or lane.waiting):
                self._changed.wait()
            if self._closed or self._stop.is_set():
                return None
            work = min(lane.waiting, key=lambda each: each.order)
            lane.waiting = [each for each in lane.waiting if each is not work and each.subject != work.subject]
            self._running.add(work.subject)
            return work
