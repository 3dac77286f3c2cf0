"""What a worker tells is read as foreign input: whatever it writes, its pod reads an event or says
what is wrong."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.cli.views.worker import describe_event
from fitchain.pod.compute.sandbox import Enforcement
from fitchain.pod.jobs.worker import events
from fitchain.pod.jobs.worker.events import EVENTS, LINE_BYTES, Event, Failed, LeafRecorded, Progress, parse_event
from fitchain.pod.jobs.worker.parent import FREE_EVENTS, Allowance, read_events
from fitchain.pod.values import errors
from fitchain.pod.values.digest import ZERO, sha256
from fitchain.pod.values.errors import DatasetChanged, DigestMismatch, InputRefused, Unusable
from fitchain.pod.values.work import StepWork
from tests.training_jobs import recipe

ONE_OF_EACH: tuple[Event, ...] = (
    events.Started(
        "train", 7, "cpu-x86-64-v3", 1, "2.9.1+cpu", Enforcement("view", ("files: one folder",), ("network",))
    ),
    events.Skipped(20, "the state's model has another root"),
    events.Resumed(16, 5, 12),
    events.Progress(3, 22),
    LeafRecorded(1, 4, sha256(b"leaf"), {"loss": 1.25, "accuracy": 0.5}, True),
    events.SegmentReplayed(3, 16, ""),
    events.StateRecomputed(2, 8),
    events.SegmentAudited(3, 16, "metrics differ", sha256(b"state")),
    events.Finished(22, 7, sha256(b"model"), sha256(b"file"), 1.5),
    events.Diverged(4, 1, sha256(b"model"), sha256(b"file"), 6, "the loss is nan"),
    events.ReplayEnded(3, False),
    events.StatesKept(2),
    events.Explained(1),
    events.Evaluated(11),
    events.Assessed(32, 4.6),
    events.Reopened(7),
    events.Measured(StepWork(1, 2, 3)),
    Failed("InputRefused", "the graph is too large", "make it smaller"),
)


def test_every_class_of_event_is_tried_here() -> None:
    assert {type(event) for event in ONE_OF_EACH} == set(get_args(Event)) == set(EVENTS.values())
    assert len(EVENTS) == len(ONE_OF_EACH)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: event.name)
def test_an_event_is_read_back_and_has_a_sentence(event: Event) -> None:
    assert parse_event(event.encode()) == event
    assert len(describe_event(event)) > 5


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: event.name)
def test_an_event_without_a_field_or_of_other_types_is_told(event: Event) -> None:
    body = json.loads(event.encode())
    for name in body:
        others: list[dict[str, Any]] = [{}, {name: [None]}, {name: 1 << 1100}, {name: {"a": {}}}]
        for other in others:
            changed = {key: value for key, value in body.items() if key != name} | other
            with pytest.raises(Unusable, match="what is no event"):
                parse_event(json.dumps(changed).encode())


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists),
    st.sampled_from([*EVENTS]),
)
def test_whatever_stands_in_a_field_is_read_or_told(value: Any, name: str) -> None:
    fields = dict.fromkeys(EVENTS[name].__dataclass_fields__, value)
    with suppress(Unusable):
        assert parse_event(json.dumps({"event": name, **fields}).encode()).name == name


@given(st.binary(max_size=200))
def test_whatever_a_line_holds_is_read_or_told(line: bytes) -> None:
    with pytest.raises(Unusable, match="what is no event"):
        parse_event(line)


def test_a_metric_of_a_leaf_is_finite() -> None:
    with pytest.raises(Unusable, match="finite metrics"):
        parse_event(json.dumps({**json.loads(ONE_OF_EACH[4].encode()), "metrics": {"loss": "nan"}}).encode())


def test_a_worker_cannot_say_what_it_cannot_know() -> None:
    """That records differ from the registered ones declines a job for good."""
    assert isinstance(Failed.of(DigestMismatch("other bytes")).error, DigestMismatch)
    assert Failed.of(DatasetChanged("other records")).kind == "Unusable"
    with pytest.raises(Unusable, match="a worker's error is one of"):
        parse_event(json.dumps({"event": "error", "kind": "DatasetChanged", "message": "", "hint": ""}).encode())
    assert all(issubclass(getattr(errors, name), errors.FitchainError) for name in events.ERRORS)


def test_half_of_a_surrogate_pair_in_a_message_does_not_hide_it() -> None:
    told = Failed.of(InputRefused("there is no file \udcff"))
    assert parse_event(told.encode()) == Failed("InputRefused", "there is no file ?", "")


# How much is read


def read(lines: bytes) -> list[Event]:
    return list(read_events(io.BytesIO(lines), Allowance(recipe())))


def test_events_are_read_up_to_half_a_line() -> None:
    assert read(ONE_OF_EACH[3].encode() + ONE_OF_EACH[4].encode() + b'{"event":') == list(ONE_OF_EACH[3:5])


def test_a_line_without_an_end_is_not_read_to_its_end() -> None:
    with pytest.raises(Unusable, match=f"more than {LINE_BYTES} bytes"):
        read(b"x" * (LINE_BYTES + 1))


@pytest.mark.parametrize("event", [Progress(1, 22), events.Skipped(1, "no reason")], ids=lambda event: event.name)
def test_a_flood_of_events_is_ended(event: Event) -> None:
    with pytest.raises(Unusable, match="tells more than its job can have to tell"):
        read(event.encode() * 100_000)


def test_an_honest_worker_s_events_are_allowed() -> None:
    given = recipe()
    leaves = [LeafRecorded(index, 0, ZERO, {"loss": 1.0}, True) for index in range(given.leaf_count)]
    assert len(read(b"".join(leaf.encode() for leaf in leaves * 4))) == 4 * given.leaf_count < FREE_EVENTS
