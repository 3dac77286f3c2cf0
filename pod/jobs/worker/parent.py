"""The worker seen from the pod: start the process, read its events, end it (no torch)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import fitchain
from fitchain.pod.compute.environment import Environment, clean_variables
from fitchain.pod.jobs.worker.task import ENDINGS, MEASURE, Event, Task
from fitchain.pod.proof.audit.diagnosis import STATE_DIGESTS, StateDigests, read_state_digests
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import InputRefused, NotFound, Unusable, as_told
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.work import StepWork

LOG, SCRATCH = "worker.log", ".scratch"
GRACE_S = 5
MEASURING_S = 600.0
"""A dry run of the largest graph takes a minute."""


class Worker(AbstractContextManager["Worker"]):
    """A running worker process.

    Its environment holds the class's variables and hardly anything else: nothing of the caller's,
    so no secret. Leaving the context ends the process if it still runs; what it had recorded stays,
    and the next worker resumes from it.

    Args:
        folder: the job folder; `task.json` says what to do.
        environment: the class, as in the recipe.
    """

    def __init__(self, folder: Path, environment: Environment) -> None:
        self.folder, self.environment = folder.absolute(), environment

    def __enter__(self) -> Worker:
        scratch = self.folder / SCRATCH
        scratch.mkdir(exist_ok=True)
        variables = clean_variables(self.environment, scratch)
        variables["PYTHONPATH"] = str(Path(fitchain.__file__).parents[1])
        with (self.folder / LOG).open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fitchain.pod.jobs.worker", str(self.folder)],
                env=variables,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the pod's terminal is the pod's to deal with
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()

    def __iter__(self) -> Iterator[Event]:
        """Yield the worker's events until it ends.

        Raises:
            FitchainError: the error that the worker reported, of its own type.
            Unusable: the worker ended without a word.
        """
        ended = False
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith(b"\n"):
                break  # the process was ended in the middle of a word
            event = json.loads(line)
            if event["event"] == "error":
                self.process.wait()
                raise as_told(event["type"], event["message"], event["hint"])
            ended |= event["event"] in ENDINGS
            yield event
        code = self.process.wait()
        if not ended:
            raise Unusable(
                _cause(code), f"its log is {self.folder / LOG}; run the job again to resume from its last kept state"
            )

    def terminate(self) -> None:
        """End the process: by request, then by force."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def kill(self) -> None:
        """End the process by force; what it was writing is resumed or dropped by the next one."""
        self.process.kill()
        self.process.wait()


def run_worker(
    folder: Path,
    on_event: Callable[[Event], None] | None = None,
    environment: Environment | None = None,
    limit_s: float | None = None,
) -> Event:
    """Run a worker on a job folder to its end.

    Args:
        folder: the job folder, with `task.json` and what the mode needs.
        on_event: called with each event, in this thread.
        environment: the recipe's, if not given.
        limit_s: seconds after which it is ended; None lets it work as long as it takes.

    Returns:
        The last event: one of `ENDINGS`.

    Raises:
        FitchainError: the error that the worker reported, of its own type.
        InputRefused: it took longer than it was given.
        Unusable: the worker ended without a word.
    """
    last: Event = {}
    with Worker(folder, environment or _recipe(folder).environment) as worker, _in_time(worker, limit_s):
        for event in worker:
            if on_event is not None:
                on_event(event)
            last = event
    return last


@contextmanager
def _in_time(worker: Worker, limit_s: float | None) -> Iterator[None]:
    """End a worker that takes too long."""
    if limit_s is None:
        yield
        return
    late = threading.Event()

    def end() -> None:
        late.set()
        worker.process.kill()

    timer = threading.Timer(limit_s, end)
    timer.start()
    try:
        yield
    except Unusable:
        if late.is_set():
            raise InputRefused(f"the worker took longer than the {limit_s:.0f} s that it was given") from None
        raise
    finally:
        timer.cancel()


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay says of one segment.

    Args:
        index: segment j, from leaf j to leaf j+1.
        step: steps completed at its end.
        equal: whether state, records and metrics all came out as in the leaf.
        difference: the first thing that did not, with both values; empty where all are equal.
    """

    index: int
    step: int
    equal: bool
    difference: str


def replay(
    folder: Path, segments: Sequence[int], on_event: Callable[[Event], None] | None = None
) -> tuple[Replayed, ...]:
    """Replay segments of a recorded training and compare them with its leaves.

    Args:
        folder: the job folder of the training: its task, leaves, kept states and records.
        segments: which; segment j leads from leaf j to leaf j+1.
        on_event: called with each event, in this thread.

    Returns:
        One verdict a segment, in the order in which they stand in the training.

    Raises:
        NotFound, InputRefused: the folder lacks something, or there is no such segment.
        EnvironmentRefused: this host does not reproduce the recipe's class.
    """
    task = Task.read(folder)
    replace(task, mode="replay", segments=tuple(sorted(set(segments)))).write(folder)
    verdicts: list[Replayed] = []

    def note(event: Event) -> None:
        if event["event"] == "segment":
            verdicts.append(Replayed(*(event[name] for name in Replayed.__slots__)))
        if on_event is not None:
            on_event(event)

    try:
        run_worker(folder, note)
    finally:
        task.write(folder)
    return tuple(verdicts)


def recompute(folder: Path, leaves: Sequence[int], on_event: Callable[[Event], None] | None = None) -> None:
    """Train a recorded training's states at some leaves again and keep them.

    Args:
        folder: the job folder of the training: its task, leaves, kept states and records.
        leaves: which.
        on_event: called with each event, in this thread.

    Raises:
        NotFound, InputRefused: the folder lacks something, or there is no such leaf.
        DigestMismatch: a state comes out otherwise than its leaf says.
        EnvironmentRefused: this host does not reproduce the recipe's class.
    """
    task = Task.read(folder)
    replace(task, mode="recompute", segments=tuple(sorted(set(leaves)))).write(folder)
    try:
        run_worker(folder, on_event)
    finally:
        task.write(folder)


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit's replay says of one segment.

    Args:
        index: segment j, from leaf j to leaf j+1.
        step: steps completed at its end.
        equal: whether it came out as the evidence says: state, records and metrics as in the leaf;
            or, where no leaf ends it, not to its end.
        difference: the first thing that did not, with both values; empty where all are equal.
        before: digest of the state before its last step; zero where it could not be replayed.
    """

    index: int
    step: int
    equal: bool
    difference: str
    before: Digest


def audit(
    folder: Path,
    ctx: Digest,
    seed: Digest,
    segments: Sequence[int],
    on_event: Callable[[Event], None] | None = None,
    work: StepWork | None = None,
) -> tuple[Audited, ...]:
    """Replay segments out of evidence whose checks have held.

    Args:
        folder: the opened evidence; a task and a log are written beside it.
        ctx, seed: the chain's.
        segments: which.
        on_event: called with each event, in this thread.
        work: of a step, as the terms say; None compares nothing.

    Returns:
        One finding a segment, in the order in which they stand in the training.

    Raises:
        InputRefused: the offer is none that can be trained.
        ClaimMismatch: a step takes other work, so nothing was trained.
        EnvironmentRefused: this host does not reproduce the recipe's class.
        Unusable: the worker ended without a word, or memory ran out.
    """
    Task("audit", ctx, seed, segments=tuple(sorted(set(segments))), work=work).write(folder)
    findings: list[Audited] = []

    def note(event: Event) -> None:
        if event["event"] == "audited":
            index, step, equal, difference = (event[name] for name in ("index", "step", "equal", "difference"))
            findings.append(Audited(index, step, equal, difference, Digest.parse(event["before"])))
        if on_event is not None:
            on_event(event)

    run_worker(folder, note)
    return tuple(findings)


def measure(folder: Path, limit_s: float = MEASURING_S) -> StepWork:
    """Meter a step of an offer, without records.

    Args:
        folder: holds recipe.json and graph.json; a task and a log are written beside them.
        limit_s: seconds after which it is given up.

    Raises:
        NotFound, InputRefused, DigestMismatch: recipe and graph are no offer.
        EnvironmentRefused: this host is not of the recipe's class.
        Unusable: the worker ended without a word.
    """
    Task(MEASURE, ZERO, ZERO).write(folder)
    ended = run_worker(folder, limit_s=limit_s)
    return StepWork.parse({name: ended[name] for name in StepWork.__slots__})


def explain(
    folder: Path, task: Task, segments: Sequence[int], on_event: Callable[[Event], None] | None = None
) -> tuple[StateDigests, ...]:
    """Train segments again, and tell the state digests after each of their steps.

    Args:
        folder: a training's, or opened evidence whose checks have held; `state-digests.jsonl` is
            written into it.
        task: of the training; of evidence, one with the chain's context and order seed.
        segments: which.
        on_event: called with each event, in this thread.

    Returns:
        The state digests, in order.

    Raises:
        NotFound, InputRefused: the folder lacks something, or there is no such segment.
        EnvironmentRefused: this host does not reproduce the recipe's class.
    """
    replace(task, mode="explain", segments=tuple(sorted(set(segments)))).write(folder)
    try:
        run_worker(folder, on_event)
    finally:
        task.write(folder)
    return read_state_digests(folder / STATE_DIGESTS)


def _recipe(folder: Path) -> Recipe:
    try:
        return Recipe.parse((folder / "recipe.json").read_bytes())
    except FileNotFoundError:
        raise NotFound(f"there is no recipe.json in {folder}") from None


def _cause(code: int) -> str:
    if code == -signal.SIGSYS:
        return "the worker was ended by its sandbox for a forbidden system call"
    if code < 0:
        return f"the worker was ended by {signal.Signals(-code).name}"
    return f"the worker ended with exit code {code} and no last event ({os.fspath(LOG)} may say why)"
