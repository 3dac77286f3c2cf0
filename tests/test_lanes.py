"""Lanes: nothing waits behind what has nothing to do with it, and the most urgent goes first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from fitchain.pod.jobs.lanes import Lanes, Work
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.ids import AgreementId

WAIT_S = 60.0


class Retry:
    """Lets a lane's work happen, and notes what failed."""

    def __init__(self) -> None:
        self.failed: list[AgreementId] = []

    def attempt(self, subject: AgreementId, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # noqa: BLE001  whatever a lane meets is the retry policy's
            self.failed.append(subject)


def job(number: int) -> AgreementId:
    return AgreementId(sha256(bytes([number])))


@pytest.fixture
def retry() -> Retry:
    return Retry()


@pytest.fixture
def lanes(retry: Retry) -> Iterator[Lanes]:
    policy: Any = retry
    with Lanes({"slow": 1, "fast": 1}, policy, threading.Event()) as made:
        yield made


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class Gate:
    """Something that takes as long as it is told to."""

    def __init__(self) -> None:
        self.begun, self.end = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.end.wait(WAIT_S)


def test_one_lane_waits_for_no_other(lanes: Lanes) -> None:
    endless, done = Gate(), threading.Event()
    lanes.plan("slow", [Work(job(1), endless)], time.monotonic())
    assert endless.begun.wait(WAIT_S)
    lanes.plan("fast", [Work(job(2), done.set)], time.monotonic())
    assert done.wait(WAIT_S) and lanes.is_busy(job(1))
    endless.end.set()


def test_the_most_urgent_goes_first_and_what_is_planned_no_more_is_dropped(lanes: Lanes) -> None:
    first, order = Gate(), list[int]()
    lanes.plan("slow", [Work(job(0), first)], time.monotonic())
    assert first.begun.wait(WAIT_S)
    works = [Work(job(number), partial(order.append, number), (-number,)) for number in range(1, 5)]
    lanes.plan("slow", works, time.monotonic())
    lanes.plan("slow", [work for work in works if work.subject != job(3)], time.monotonic())
    first.end.set()
    until(lambda: len(order) == 3)
    assert order == [4, 2, 1]


def test_one_thing_is_done_for_a_job_at_a_time_and_nothing_by_an_older_look(lanes: Lanes) -> None:
    gate, again = Gate(), list[str]()
    looked_at = time.monotonic()
    lanes.plan("slow", [Work(job(1), gate)], looked_at)
    assert gate.begun.wait(WAIT_S)
    lanes.plan("fast", [Work(job(1), lambda: again.append("while it ran"))], looked_at)
    gate.end.set()
    until(lambda: not lanes.is_busy(job(1)))
    lanes.plan("fast", [Work(job(1), lambda: again.append("by a look before its end"))], looked_at)
    lanes.plan("slow", [Work(job(1), lambda: again.append("by a newer look"))], time.monotonic())
    until(lambda: bool(again))
    assert again == ["by a newer look"]


def test_what_fails_ends_no_lane(lanes: Lanes, retry: Retry) -> None:
    def fail() -> None:
        raise KeyError("loss")

    done = threading.Event()
    lanes.plan("slow", [Work(job(1), fail), Work(job(2), done.set)], time.monotonic())
    assert done.wait(WAIT_S) and retry.failed == [job(1)]


def test_nothing_begins_once_the_pod_is_to_stop(retry: Retry) -> None:
    stop, gate, later, policy = threading.Event(), Gate(), list[int](), retry
    made: Any = policy
    with Lanes({"slow": 1}, made, stop) as lanes:
        lanes.plan("slow", [Work(job(1), gate), Work(job(2), lambda: later.append(2))], time.monotonic())
        assert gate.begun.wait(WAIT_S)
        stop.set()
        gate.end.set()
    assert not later and not lanes.is_busy(job(1))
