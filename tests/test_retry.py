"""What a pod does about an error, its own faults included."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from fitchain.pod.jobs.retry import Log, RetryPolicy
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import (
    FitchainError,
    InputRefused,
    NodeRefused,
    NodeUnreachable,
    NotFound,
    StoreUnreachable,
)
from fitchain.pod.values.ids import AgreementId

PAUSE_S = 0.01
JOB = AgreementId(sha256(b"a job"))


@pytest.mark.parametrize(
    ("fault", "told"),
    [(NotFound("nothing is there"), "nothing is there"), (KeyError("loss"), "this is a bug in Fitchain: KeyError")],
)
def test_whatever_goes_wrong_is_told_once_put_off_and_ends_nothing(fault: Exception, told: str) -> None:
    said, recorded = list[str](), list[Any]()
    home: Any = SimpleNamespace(journal=SimpleNamespace(record=lambda subject, entry: recorded.append(entry)))
    retry = RetryPolicy(home, lambda id, text: said.append(text), retry_s=3600)

    def act() -> None:
        raise fault

    retry.attempt(JOB, act)
    assert not retry.due(JOB)
    retry.attempt(JOB, act)
    assert len(said) == len(recorded) == 1
    assert said[0].startswith(told) and recorded[0].kind == "error"


def policy(record: Callable[..., None], log: Log, retry_s: float = 3600) -> RetryPolicy:
    home: Any = SimpleNamespace(journal=SimpleNamespace(record=record))
    return RetryPolicy(home, log, retry_s)


def failing(fault: BaseException) -> Callable[..., None]:
    def fail(*args: Any, **named: Any) -> None:
        raise fault

    return fail


def test_a_history_that_cannot_be_written_is_told_and_ends_no_lane() -> None:
    said = list[str]()
    retry = policy(failing(sqlite3.OperationalError("disk is full")), lambda id, text: said.append(text))
    with ThreadPoolExecutor(1) as lane:
        for _ in range(3):
            assert lane.submit(retry.attempt, JOB, failing(KeyError("loss"))).exception() is None
            assert not retry.due(JOB)
    assert len(said) == 2
    assert said[1] == "that could not be put into the history: OperationalError: disk is full"


@pytest.mark.parametrize("fault", [BrokenPipeError(), OSError(28, "No space left"), ValueError("closed file")])
def test_a_log_that_is_gone_leaves_the_error_in_the_history(fault: Exception) -> None:
    recorded = list[str]()
    retry = policy(lambda subject, entry: recorded.append(entry.message), failing(fault))
    retry.attempt(JOB, failing(NotFound("nothing is there")))
    assert recorded == ["nothing is there"] and not retry.due(JOB)


@pytest.mark.parametrize(
    "error", [NodeUnreachable("no node"), NodeRefused("internal error"), StoreUnreachable("no store")]
)
def test_a_pod_begins_when_what_it_needs_is_there(error: FitchainError) -> None:
    said, tries = list[str](), list[int]()

    def begin() -> None:
        tries.append(1)
        if len(tries) < 4:
            raise error

    retry = policy(failing(AssertionError()), lambda id, text: said.append(text), PAUSE_S)
    assert retry.until_done(begin, threading.Event())
    assert len(tries) == 4 and said == [error.message]


def test_a_pod_that_is_stopped_waits_no_longer() -> None:
    stop = threading.Event()

    def begin() -> None:
        stop.set()
        raise NodeUnreachable("no node")

    assert not policy(failing(AssertionError()), lambda id, text: None).until_done(begin, stop)


def test_what_waiting_would_not_mend_ends_the_beginning() -> None:
    retry = policy(failing(AssertionError()), lambda id, text: None)
    with pytest.raises(InputRefused, match="in another role"):
        retry.until_done(failing(InputRefused("the account is registered in another role")), threading.Event())
