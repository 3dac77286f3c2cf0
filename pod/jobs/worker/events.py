"""What a worker tells its pod: one event a line on its standard output, as JSON (no torch).

The pod reads them as foreign input, since the worker that writes them executes what a stranger
sent: a line that is no event, one that is too long, and too many of them end the worker.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, get_args

from fitchain.pod.compute.sandbox import Enforcement
from fitchain.pod.values import errors
from fitchain.pod.values.digest import Digest, Json, parse_json
from fitchain.pod.values.errors import FitchainError, InputRefused, Unusable
from fitchain.pod.values.limits import EVENT
from fitchain.pod.values.typed_json import from_json, to_json
from fitchain.pod.values.work import StepWork

LINE_BYTES = EVENT.text_bytes
"""Of one event."""
TOLD_CHARACTERS = 4096
"""Of a text that repeats names of a stranger's: an error's message and its hint, a difference, a
reason. A longer one would make a line that is no event."""

TAKEN_OVER = (
    "it was ended, since what it executes may have taken it over: "
    "keep its log, and look at the job before it runs again"
)
"""What to do about a worker that tells what no worker tells."""
ERRORS = (
    "DigestMismatch",
    "ClaimMismatch",
    "InputRefused",
    "OperatorFailed",
    "NotFound",
    "EnvironmentRefused",
    "Unusable",
)
"""The kinds of error that a worker may come to. It knows no chain, store, key or registration, so
it cannot say that one of those failed, or that records differ from the registered ones."""


@dataclass(frozen=True)
class _Line:
    """One line of a worker's standard output."""

    name: ClassVar[str]

    def json(self) -> dict[str, Json]:
        """The fields as JSON values."""
        return to_json(self)

    def encode(self) -> bytes:
        """The event as one line, its name among the fields."""
        line = json.dumps({"event": self.name, **self.json()}, ensure_ascii=False)
        return line.encode("utf-8", "replace") + b"\n"

    @classmethod
    def parse(cls, value: Json) -> Self:
        """Read the fields of an event of this class.

        Raises:
            InputRefused: they are others, or of other types.
        """
        return from_json(cls, value, f"the event {cls.name!r}")


def _shorten(event: _Line, field: str) -> None:
    """Cut a text of an event to what is told of it."""
    object.__setattr__(event, field, getattr(event, field)[:TOLD_CHARACTERS])


@dataclass(frozen=True)
class Started(_Line):
    """The worker stands in its sandbox.

    Args:
        mode: of its task.
        pid: its process, where it runs.
        environment, threads, torch: class, number of threads and torch's version.
        sandbox: what is enforced there, and what the kernel lacks.
    """

    name = "started"
    mode: str
    pid: int
    environment: str
    threads: int
    torch: str
    sandbox: Enforcement


@dataclass(frozen=True)
class Skipped(_Line):
    """A kept state was not used; each is told once."""

    name = "skipped"
    step: int
    reason: str

    def __post_init__(self) -> None:
        _shorten(self, "reason")


@dataclass(frozen=True)
class Resumed(_Line):
    """A training goes on from a recorded leaf.

    Args:
        step: of the state from which it goes on.
        leaves: how many are recorded.
        dropped_bytes: of a line that was cut off.
    """

    name = "resumed"
    step: int
    leaves: int
    dropped_bytes: int


@dataclass(frozen=True)
class Progress(_Line):
    """A step is done; told a few times a second."""

    name = "progress"
    step: int
    steps: int


@dataclass(frozen=True)
class LeafRecorded(_Line):
    """A leaf was recorded for the first time.

    Args:
        index, step, digest: of the leaf.
        metrics: of its segment, finite.
        kept: whether its state is kept.
    """

    name = "leaf"
    index: int
    step: int
    digest: Digest
    metrics: Mapping[str, float]
    kept: bool

    def __post_init__(self) -> None:
        if self.index < 0 or self.step < 0 or not all(map(math.isfinite, self.metrics.values())):
            raise InputRefused(f"a leaf has an index, a step and finite metrics, not {self}"[:200])


@dataclass(frozen=True)
class SegmentReplayed(_Line):
    """A segment of a recorded training was trained again.

    Args:
        index: segment j, from leaf j to leaf j+1.
        step: steps completed at its end.
        difference: the first thing that came out otherwise than in the leaf, of state, records and
            metrics, with both values; empty where all are equal.
    """

    name = "segment"
    index: int
    step: int
    difference: str

    def __post_init__(self) -> None:
        _shorten(self, "difference")

    @property
    def equal(self) -> bool:
        """Whether everything came out as in the leaf."""
        return not self.difference


@dataclass(frozen=True)
class StateRecomputed(_Line):
    """The state of a leaf was trained again and kept."""

    name = "recomputed"
    index: int
    step: int


@dataclass(frozen=True)
class SegmentAudited(_Line):
    """A segment was trained out of evidence.

    Args:
        index: segment j, from leaf j to leaf j+1.
        step: steps completed at its end.
        difference: the first thing that came out otherwise than the evidence says, with both
            values: state, records and metrics as in the leaf; or, where no leaf ends it, that it
            does not come to its end. Empty where it came out so.
        before: digest of the state before its last step; zero where it could not be replayed.
        reference: number of the reference training whose segment it is; None of the training
            itself.
    """

    name = "audited"
    index: int
    step: int
    difference: str
    before: Digest
    reference: int | None = None

    def __post_init__(self) -> None:
        _shorten(self, "difference")

    @property
    def equal(self) -> bool:
        """Whether it came out as the evidence says."""
        return not self.difference


@dataclass(frozen=True)
class Finished(_Line):
    """A training, or a rehearsal, came to its last step.

    Args:
        step, leaves: how far it came.
        model: root of the model that is delivered: the last, or the best by the recipe's rule.
        sha256: of its file.
        seconds: that this worker took.
    """

    name = "finished"
    step: int
    leaves: int
    model: Digest
    sha256: Digest
    seconds: float

    def __post_init__(self) -> None:
        if self.step < 0 or not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise InputRefused(f"a training ends after some steps and seconds, not {self.step} and {self.seconds}")


@dataclass(frozen=True)
class Diverged(_Line):
    """A training ended before its last step.

    Args:
        step, index, model: of its last leaf.
        sha256: of that model's file.
        at: completed steps; the training ended in the one after them.
        reason: why.
    """

    name = "diverged"
    step: int
    index: int
    model: Digest
    sha256: Digest
    at: int
    reason: str

    def __post_init__(self) -> None:
        _shorten(self, "reason")


@dataclass(frozen=True)
class ReplayEnded(_Line):
    """All segments of a replay, or of an audit, were trained.

    Args:
        segments: how many.
        equal: whether all came out equal.
    """

    name = "replayed"
    segments: int
    equal: bool


@dataclass(frozen=True)
class StatesKept(_Line):
    """All states that were asked for are kept."""

    name = "kept"
    states: int


@dataclass(frozen=True)
class Explained(_Line):
    """The state digests of so many segments are written."""

    name = "explained"
    segments: int


@dataclass(frozen=True)
class Evaluated(_Line):
    """A model was run over a table of so many records."""

    name = "evaluated"
    records: int


@dataclass(frozen=True)
class Assessed(_Line):
    """A risk report is written.

    Args:
        references: models that were trained for it.
        seconds: that this worker took.
    """

    name = "assessed"
    references: int
    seconds: float


@dataclass(frozen=True)
class Reopened(_Line):
    """A reference training of so many leaves is trained again."""

    name = "reopened"
    leaves: int


@dataclass(frozen=True)
class Measured(_Line):
    """A step was metered."""

    name = "measured"
    work: StepWork


@dataclass(frozen=True)
class Failed(_Line):
    """The worker cannot go on.

    Args:
        kind: one of `ERRORS`.
        message, hint: as of `FitchainError`.
    """

    name = "error"
    kind: str
    message: str
    hint: str

    def __post_init__(self) -> None:
        if self.kind not in ERRORS:
            raise InputRefused(f"a worker's error is one of {', '.join(ERRORS)}, not {self.kind!r:.80}")

    @classmethod
    def of(cls, error: FitchainError) -> Failed:
        """What is told of an error; one that no worker should come to is an `Unusable`."""
        kind = type(error).__name__
        kind = kind if kind in ERRORS else "Unusable"
        return cls(kind, error.message[:TOLD_CHARACTERS], error.hint[:TOLD_CHARACTERS])

    @property
    def error(self) -> FitchainError:
        """The error, of its own type."""
        return errors.as_told(self.kind, self.message[:TOLD_CHARACTERS], self.hint[:TOLD_CHARACTERS])


Ending = Finished | Diverged | ReplayEnded | StatesKept | Explained | Evaluated | Assessed | Reopened | Measured
"""The events with which a worker ends well."""
Event = (
    Started
    | Skipped
    | Resumed
    | Progress
    | LeafRecorded
    | SegmentReplayed
    | StateRecomputed
    | SegmentAudited
    | Ending
    | Failed
)
Emit = Callable[[Event], object]
"""Takes each event as it happens."""
EVENTS: dict[str, type[Event]] = {event.name: event for event in get_args(Event)}
"""By the name that stands in the line."""


def parse_event(line: bytes) -> Event:
    """Read one line of a worker's standard output.

    Raises:
        Unusable: it is no event.
    """
    try:
        value = parse_json(line, EVENT)
        name = value.pop("event", None) if isinstance(value, dict) else None
        if not isinstance(name, str) or name not in EVENTS:
            raise InputRefused(f"an event is an object that names one of {', '.join(EVENTS)}")
        return EVENTS[name].parse(value)
    except InputRefused as error:
        raise Unusable(f"the worker wrote what is no event: {error.message}", TAKEN_OVER) from None
