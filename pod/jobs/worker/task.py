"""What a worker is asked to do: one class a mode, over the context of a run.

A worker reads its task from its standard input, so nothing secret has to lie in its folder. A
training's task lies in the job's folder all the same: it says of which run the leaves there are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, get_args

from fitchain.pod.values.digest import ZERO, Digest, canonical_json, parse_json
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.job_folder import TASK, part_of
from fitchain.pod.values.leaf import NO_SALT_KEYS, SaltKeys
from fitchain.pod.values.limits import TASK as TASK_LIMITS
from fitchain.pod.values.privacy.keys import NO_SECRET
from fitchain.pod.values.typed_json import from_json, to_json
from fitchain.pod.values.work import MOST, USUAL_STEP_BYTES, StepWork

VERSION = "fitchain/task/v3"
TASK_BYTES = TASK_LIMITS.text_bytes
REHEARSED_SEGMENTS = 2
BESIDE_BYTES, RECORD_COPIES = 4 << 30, 2
"""Address space of a worker beside its step: of kernels, threads and the allocator; and of its
records, which it maps from their file and prepares once more as the model takes them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process may use at most.

    Args:
        memory_bytes: address space beyond what torch takes when it is imported.
        file_bytes: size of any one file that it writes.
    """

    memory_bytes: int = USUAL_STEP_BYTES + BESIDE_BYTES
    file_bytes: int = 16 << 30

    @classmethod
    def around(cls, step_bytes: int, records: Path | None = None) -> Limits:
        """The limits of a worker whose steps may take so much.

        Args:
            step_bytes: by the metered work: what a policy admits, or what was agreed on.
            records: the file that it trains on; None where it is small beside a step.
        """
        beside = BESIDE_BYTES if records is None else BESIDE_BYTES + RECORD_COPIES * records.stat().st_size
        return cls(min(step_bytes + beside, MOST))

    @classmethod
    def agreed(cls, work: StepWork | None, records: Path | None = None) -> Limits:
        """The limits of a worker that replays what others agreed on: a step of as much as the terms
        say, and no less than usual.

        Args:
            work: of a step, as the terms say; None where they are not known.
            records: as of `around`.
        """
        return cls.around(USUAL_STEP_BYTES if work is None else max(work.bytes, USUAL_STEP_BYTES), records)


USUAL_LIMITS = Limits()
"""Where nobody says what a step may take."""


@dataclass(frozen=True, slots=True)
class Context:
    """Of which run.

    Args:
        ctx, seed: the agreement's context and the order seed, which every leaf's digest binds.
        noise: the owner's secret that the noise of a private training follows from; who audits it
            has the keys of its segments in the evidence.
    """

    ctx: Digest
    seed: Digest
    noise: bytes = field(default=NO_SECRET, repr=False)

    def is_of(self, ctx: Digest, seed: Digest) -> bool:
        """Whether it is of the run with this context and seed."""
        return (self.ctx, self.seed) == (ctx, seed)


@dataclass(frozen=True, slots=True)
class Trap:
    """Where the processor ended worker after worker in the same way.

    Args:
        step: completed steps.
        signal: its name.
    """

    step: int
    signal: str

    @property
    def reason(self) -> str:
        """Why the training ends there."""
        return f"an operator traps the processor ({self.signal})"


NO_CONTEXT = Context(ZERO, ZERO)
"""Of what is no run of an agreement: a rehearsal, say."""


@dataclass(frozen=True)
class _Task:
    """What every mode has.

    Args:
        context: of the run.
        limits: what the process may use.
        tells_steps: whether it tells of each step, once there was room for it, so that it is known
            where a trap ended it and that memory was not short there.
        trap: where it is known to end in one.
    """

    mode: ClassVar[str]
    context: Context = field(default=NO_CONTEXT)
    limits: Limits = field(default=USUAL_LIMITS, kw_only=True)
    tells_steps: bool = field(default=False, kw_only=True)
    trap: Trap | None = field(default=None, kw_only=True)

    @property
    def ctx(self) -> Digest:
        """The agreement's context."""
        return self.context.ctx

    @property
    def seed(self) -> Digest:
        """The order seed."""
        return self.context.seed

    def encode(self) -> bytes:
        """The task as canonical JSON, in one line.

        Raises:
            InputRefused: a number in it has more than 53 bits.
        """
        return canonical_json({"version": VERSION, "mode": self.mode, **to_json(self)}) + b"\n"

    def write(self, folder: Path) -> None:
        """Write `task.json` for the owner's eyes alone, whole or not at all; without the secret of
        the noise, which nobody needs there."""
        part = part_of(folder)
        task = replace(self, context=replace(self.context, noise=NO_SECRET))
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(task.encode())
        part.replace(folder / TASK)


@dataclass(frozen=True)
class Train(_Task):
    """Train from the newest usable state to the recipe's end, recording every leaf.

    Args:
        salt_keys: from which the salts of the leaves derive.
        keep_every: which states are kept: those of every a-th leaf, and the last.
    """

    mode = "train"
    salt_keys: SaltKeys = NO_SALT_KEYS
    keep_every: int = 1

    def __post_init__(self) -> None:
        if self.keep_every < 1:
            raise InputRefused(f"keep_every is at least 1, not {self.keep_every}")


@dataclass(frozen=True)
class Rehearse(_Task):
    """Train the recipe's first segments on mock data, and the last of them again.

    Args:
        work: what a step takes by an agreement's terms: a graph that takes more or less is refused;
            None compares nothing.
    """

    mode = "rehearse"
    work: StepWork | None = None
    salt_keys: ClassVar[SaltKeys] = NO_SALT_KEYS
    keep_every: ClassVar[int] = 1


@dataclass(frozen=True)
class _OfSegments(_Task):
    """What works on segments; segment j leads from leaf j to leaf j+1.

    Args:
        segments: each once, rising.
    """

    segments: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _require_rising("segments", self.segments)


@dataclass(frozen=True)
class Replay(_OfSegments):
    """Train segments of a recorded training again, and compare them with its leaves."""

    mode = "replay"


@dataclass(frozen=True)
class Audit(_OfSegments):
    """Train segments out of evidence, and compare them with what it says.

    Args:
        work: as of `Rehearse`.
        has_reference: whether the segment of a reference training that the evidence opens is
            trained, too, after all others.
    """

    mode = "audit"
    work: StepWork | None = None
    has_reference: bool = False


@dataclass(frozen=True)
class Explain(_OfSegments):
    """Train segments again, of a training's folder or, where it holds none, out of evidence, and
    keep the state digests after each step."""

    mode = "explain"


@dataclass(frozen=True)
class Recompute(_Task):
    """Train a recorded training's states at some leaves again, and keep them.

    Args:
        leaves: which, each once, rising.
    """

    mode = "recompute"
    leaves: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _require_rising("leaves", self.leaves)


@dataclass(frozen=True)
class Evaluate(_Task):
    """Run the trained model over the table."""

    mode = "evaluate"


@dataclass(frozen=True)
class Assess(_Task):
    """Attack the trained model, and report what that finds.

    Args:
        salt: of the report's digest, the owner's secret.
        delta: the dataset's, where the training was private.
        opens: whether an audit may open a segment of one of the reference trainings.
    """

    mode = "assess"
    salt: Digest = field(default=ZERO, repr=False)
    delta: float | None = None
    opens: bool = False


@dataclass(frozen=True)
class Reopen(_Task):
    """Train one of a risk report's reference trainings again, and keep its leaves and the state
    before one of its segments, or before that in which it ended earlier.

    Args:
        number: of the training.
        segment: which.
    """

    mode = "reopen"
    number: int = 0
    segment: int = 0


@dataclass(frozen=True)
class Measure(_Task):
    """Meter a step of recipe and graph alone."""

    mode = "measure"


Task = Train | Rehearse | Replay | Recompute | Audit | Explain | Evaluate | Assess | Reopen | Measure
TASKS: dict[str, type[Task]] = {task.mode: task for task in get_args(Task)}
"""By the word that stands in the JSON."""


def rising(numbers: Iterable[int]) -> tuple[int, ...]:
    """Numbers as a task has them: each once, rising."""
    return tuple(sorted(set(numbers)))


def parse_task(data: bytes) -> Task:
    """Read the JSON form of a task.

    Raises:
        InputRefused: it is none.
    """
    value: Any = parse_json(data, TASK_LIMITS)
    if not isinstance(value, dict) or value.pop("version", None) != VERSION or value.get("mode") not in TASKS:
        raise InputRefused(f"a task is a {VERSION} whose mode is one of {', '.join(TASKS)}")
    mode = value.pop("mode")
    return from_json(TASKS[mode], value, f"the task {mode!r}")


def read_task(folder: Path) -> Task:
    """Read the task that lies in a job's folder.

    Raises:
        NotFound: there is none.
        InputRefused: it is no task.
    """
    try:
        return parse_task((folder / TASK).read_bytes())
    except FileNotFoundError:
        raise NotFound(f"there is no {TASK} in {folder}") from None


def _require_rising(what: str, numbers: tuple[int, ...]) -> None:
    if any(number < 0 for number in numbers) or numbers != rising(numbers):
        raise InputRefused(f"a task's {what} are numbers from 0 on, each once, rising, not {numbers!r:.80}")
