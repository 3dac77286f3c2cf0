"""The worker seen from the pod: start the process, read its events, end it (no torch)."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TypeVar

import fitchain
from fitchain.pod.compute.environment import clean_variables
from fitchain.pod.jobs.launch import LOCAL, Launcher
from fitchain.pod.jobs.worker.events import (
    LINE_BYTES,
    TAKEN_OVER,
    Emit,
    Ending,
    Event,
    Failed,
    Measured,
    Progress,
    SegmentAudited,
    SegmentReplayed,
    parse_event,
)
from fitchain.pod.jobs.worker.task import (
    USUAL_LIMITS,
    Audit,
    Context,
    Evaluate,
    Explain,
    Limits,
    Measure,
    Recompute,
    Replay,
    Task,
    Train,
    Trap,
    read_task,
    rising,
)
from fitchain.pod.jobs.worker.trap import Trapped, end_at_traps, trap_signal
from fitchain.pod.proof.audit.diagnosis import StateDigests, read_state_digests
from fitchain.pod.values.errors import InputRefused, NotFound, Unusable
from fitchain.pod.values.files import Usage, usage_of
from fitchain.pod.values.job_folder import EVIDENCE_RECORDS, LOG, RECIPE, STATE_DIGESTS, JobFolder
from fitchain.pod.values.limits import LEAF_LINE
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import RECIPE_BYTES, SEGMENT
from fitchain.pod.values.work import StepWork

GRACE_S = 5
WATCH_S = 0.1
FREE_EVENTS, EVENTS_OF_A_LEAF = 64, 4
"""Events besides those of progress: so many in any case, and so many more for each leaf of the run.
A worker tells of a leaf when it skips its state, trains, replays and keeps it."""
FREE_BYTES, BYTES_OF_A_LEAF, BYTES_OF_A_SECOND, BYTES_OF_A_STEP = 1 << 20, 4 << 10, 4 << 10, 128
"""Bytes of all events: a worker that trains tells of progress four times a second, in 60 bytes."""
STATES_A_MODEL, STATES_BESIDES = 5, 8
"""A state is a model and up to three optimizer's tensors for each of its own; so many may lie there
besides those that are kept."""
PIECE_BYTES, PIECES_BESIDES, BYTES_OF_A_LEAF_LINE, FILES_BESIDES = 1 << 20, 64, 2 << 10, 256
"""What else lies there: headers, the log of a library, half-written files."""
ROOM_S, ROOM_SHARE = 1.0, 20
"""Seconds between two looks at how much it is, and how much longer than a look they are at least."""
MEASURING_S = 600.0
"""A dry run of the largest graph takes a minute."""


class Allowance:
    """How much a worker may tell, so that one that was taken over fills neither memory nor journal.

    Args:
        recipe: of its job, from which follows how much an honest one tells.
        steps: of how many it tells each by itself.
    """

    def __init__(self, recipe: Recipe, steps: int = 0) -> None:
        self._events = FREE_EVENTS + EVENTS_OF_A_LEAF * recipe.leaf_count
        self._bytes = FREE_BYTES + BYTES_OF_A_LEAF * recipe.leaf_count + BYTES_OF_A_STEP * steps
        self._since = time.monotonic()

    def take(self, event: Event, size_bytes: int) -> None:
        """Count an event.

        Raises:
            Unusable: it is one too many.
        """
        self._events -= not isinstance(event, Progress)
        self._bytes -= size_bytes
        if self._events < 0 or self._bytes + BYTES_OF_A_SECOND * (time.monotonic() - self._since) < 0:
            raise Unusable("the worker tells more than its job can have to tell", TAKEN_OVER)


def read_events(stream: IO[bytes], allowance: Allowance) -> Iterator[Event]:
    """The events of a worker's standard output, up to its end or to half a line.

    Raises:
        Unusable: a line is too long or no event, or there are too many.
    """
    while line := stream.readline(LINE_BYTES + 1):
        if len(line) > LINE_BYTES:
            raise Unusable(f"the worker wrote a line of more than {LINE_BYTES} bytes", TAKEN_OVER)
        if not line.endswith(b"\n"):
            return  # the process was ended in the middle of a word
        event = parse_event(line)
        allowance.take(event, len(line))
        yield event


def most_usage(folder: JobFolder, recipe: Recipe, task: Task) -> Usage:
    """What a worker's folder may take at most: every leaf and every state, some of them twice, and
    what a task yields besides.

    Args:
        folder: the job's.
        recipe: of its job.
        task: of which an evaluation yields as much as a file may have.
    """
    model_bytes = sum(path.stat().st_size for path in (folder.initial, folder.base) if path.exists())
    state_bytes = STATES_A_MODEL * model_bytes
    every = task.keep_every if isinstance(task, Train) else 1
    states = recipe.leaf_count // every + STATES_BESIDES
    line_bytes = LEAF_LINE.text_bytes if recipe.evaluate == SEGMENT else BYTES_OF_A_LEAF_LINE
    size_bytes = states * (state_bytes + PIECE_BYTES) + recipe.leaf_count * line_bytes
    yields = task.limits.file_bytes if isinstance(task, Evaluate | Explain) else PIECES_BESIDES * PIECE_BYTES
    return Usage(size_bytes + yields, 2 * states + FILES_BESIDES)


class Worker(AbstractContextManager["Worker"]):
    """A running worker process.

    Its environment holds the class's variables and hardly anything else: nothing of the caller's,
    so no secret. Leaving the context ends the process if it still runs; what it had recorded stays,
    and the next worker resumes from it.

    Args:
        folder: the job folder.
        task: what to do.
        launcher: where the process runs.

    Raises:
        NotFound, InputRefused: on entering: it holds no recipe.
        Unusable: on entering: the launcher cannot start it, or another one left what no worker
            leaves.
    """

    def __init__(self, folder: Path, task: Task, launcher: Launcher = LOCAL) -> None:
        self.folder, self.task, self.launcher = folder.absolute(), task, launcher
        self._ended, self._overfull = threading.Event(), threading.Event()

    def __enter__(self) -> Worker:
        recipe = _recipe(self.folder)
        own = JobFolder(self.folder).make_run()
        variables = clean_variables(recipe.environment, own.worker_scratch)
        variables["PYTHONPATH"] = str(Path(fitchain.__file__).parents[1])
        command = [
            sys.executable,
            "-P",
            "-s",
            "-m",
            "fitchain.pod.jobs.worker",
            str(self.folder),
            str(self.launcher.sandbox),
        ]
        with own.log.open("ab") as log:
            self.process = self.launcher.start(command, variables, self.folder, log)
        self._allowance = Allowance(recipe, recipe.steps if self.task.tells_steps else 0)
        self._step: int | None = None
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, and why is told when its events are read
            self.process.stdin.write(self.task.encode())
            self.process.stdin.flush()
        self._watching = threading.Thread(
            target=self._watch, args=(own, most_usage(own, recipe, self.task)), name="room", daemon=True
        )
        self._watching.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.terminate()
        self._watching.join()

    def _watch(self, folder: JobFolder, most: Usage) -> None:
        """End a worker that fills its folder beyond what its job can need."""
        pause_s = ROOM_S
        while not self._ended.wait(pause_s):
            before = time.monotonic()
            try:
                usage = usage_of(folder.run)
            except Unusable:  # a link, say; once it has ended nothing of it is read
                usage = Usage(most.size_bytes + 1, 0)
            if usage.size_bytes > most.size_bytes or usage.files > most.files:
                self._overfull.set()
                self.kill()
                return
            pause_s = max(ROOM_S, ROOM_SHARE * (time.monotonic() - before))

    def __iter__(self) -> Iterator[Event]:
        """Yield the worker's events until it ends.

        Raises:
            FitchainError: the error that the worker reported, of its own type.
            Unusable: the worker ended without a word, or told what no worker tells.
        """
        started = ended = False
        assert self.process.stdout is not None
        for event in read_events(self.process.stdout, self._allowance):
            if isinstance(event, Failed):
                raise event.error
            started = True
            ended |= isinstance(event, Ending)
            self._step = event.step if isinstance(event, Progress) else self._step
            yield event
        code = self._wait()
        JobFolder(self.folder).check_run()
        if self._overfull.is_set():
            raise Unusable(f"the worker filled its folder beyond what its job can need: {self.folder}", TAKEN_OVER)
        if not ended:
            hint = "" if started else self.launcher.describe(code)
            hint = hint or "run the job again to resume from its last kept state"
            words = _cause(code), f"its log is {self.folder / LOG}; {hint}"
            if name := trap_signal(code):
                raise Trapped(*words, None if self._step is None else Trap(self._step, name), started)
            raise Unusable(*words)

    def _wait(self) -> int:
        """The exit code of a process that has closed its output; one that stays all the same is
        ended."""
        try:
            return self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()

    def terminate(self) -> None:
        """End the process: by request, then by force."""
        self._close_input()  # which ends it wherever it runs
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self.process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def kill(self) -> None:
        """End the process by force; what it was writing is resumed or dropped by the next one."""
        self._signal(signal.SIGKILL)
        self.process.wait()
        self._close_input()

    def _signal(self, number: int) -> None:
        """Signal the process and whatever stands before it."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def _close_input(self) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # what was not written yet has nobody to read it
            self.process.stdin.close()


def run_worker(
    folder: Path,
    task: Task,
    on_event: Emit | None = None,
    limit_s: float | None = None,
    stop: threading.Event | None = None,
    launcher: Launcher = LOCAL,
) -> Ending:
    """Run a worker on a job folder to its end.

    Args:
        folder: the job folder, with what the mode needs.
        task: what to do.
        on_event: called with each event, in this thread.
        limit_s: seconds after which it is ended; None lets it work as long as it takes.
        stop: ends it when it is set.
        launcher: where it runs.

    Returns:
        The event with which it ended well.

    Raises:
        FitchainError: the error that the worker reported, of its own type.
        InputRefused: it took longer than it was given.
        Unusable: the worker ended without a word, or was stopped.
    """
    ending: Ending | None = None
    with Worker(folder, task, launcher) as worker, _in_time(worker, limit_s, stop):
        for event in worker:
            if on_event is not None:
                on_event(event)
            ending = event if isinstance(event, Ending) else ending
    assert ending is not None  # a worker that ends otherwise raises
    return ending


@contextmanager
def _in_time(worker: Worker, limit_s: float | None, stop: threading.Event | None) -> Iterator[None]:
    """End a worker that takes too long, or is to stop; without either nobody watches it."""
    if limit_s is None and stop is None:
        yield
        return
    stop = stop or threading.Event()
    over, late, until = threading.Event(), threading.Event(), time.monotonic() + (limit_s or math.inf)

    def watch() -> None:
        while not over.wait(WATCH_S):
            if stop.is_set() or time.monotonic() > until:
                late.set()
                worker.kill()
                return

    watching = threading.Thread(target=watch, name="watch")
    watching.start()
    try:
        yield
    except Unusable:
        if not late.is_set():
            raise
        if stop.is_set():
            raise Unusable("the worker was stopped") from None
        raise InputRefused(f"the worker took longer than the {limit_s:.0f} s that it was given") from None
    finally:
        over.set()
        watching.join()


def replay(
    folder: Path,
    segments: Sequence[int],
    on_event: Emit | None = None,
    launcher: Launcher = LOCAL,
    context: Context | None = None,
    limits: Limits = USUAL_LIMITS,
) -> tuple[SegmentReplayed, ...]:
    """Replay segments of a recorded training and compare them with its leaves.

    Args:
        folder: the job folder of the training: its task, leaves, kept states and records.
        segments: which; segment j leads from leaf j to leaf j+1.
        on_event: called with each event, in this thread.
        launcher: where the worker runs.
        context: of the training; None takes the folder's, which has no secret of noise.
        limits: of the worker.

    Returns:
        One verdict a segment, in the order in which they stand in the training.

    Raises:
        NotFound, InputRefused: the folder lacks something, or there is no such segment.
        EnvironmentRefused: this host does not reproduce the recipe's class.
    """
    task = Replay(context or read_task(folder).context, rising(segments), limits=limits)
    return _results_of(SegmentReplayed, folder, task, on_event, launcher)


def recompute(
    folder: Path,
    leaves: Sequence[int],
    on_event: Emit | None = None,
    launcher: Launcher = LOCAL,
    context: Context | None = None,
    limits: Limits = USUAL_LIMITS,
) -> None:
    """Train a recorded training's states at some leaves again and keep them.

    Args:
        folder: the job folder of the training: its task, leaves, kept states and records.
        leaves: which.
        on_event: called with each event, in this thread.
        launcher: where the worker runs.
        context: of the training; None takes the folder's, which has no secret of noise.
        limits: of the worker.

    Raises:
        NotFound, InputRefused: the folder lacks something, or there is no such leaf.
        DigestMismatch: a state comes out otherwise than its leaf says.
        EnvironmentRefused: this host does not reproduce the recipe's class.
    """
    task = Recompute(context or read_task(folder).context, rising(leaves), limits=limits)
    run_worker(folder, task, on_event, launcher=launcher)


# Many parameters: what is looked at, of which run, and how.
def audit(
    folder: Path,
    context: Context,
    segments: Sequence[int],
    on_event: Emit | None = None,
    work: StepWork | None = None,
    launcher: Launcher = LOCAL,
    has_reference: bool = False,
) -> tuple[SegmentAudited, ...]:
    """Replay segments out of evidence whose checks have held.

    Args:
        folder: the opened evidence; a log is written beside it.
        context: the chain's.
        segments: which.
        on_event: called with each event, in this thread.
        work: of a step, as the terms say; None compares nothing.
        launcher: where the worker runs.
        has_reference: whether the opened segment of a reference training is replayed, too.

    Returns:
        One finding a segment, in the order in which they stand in the training; that of a
        reference training comes last.

    Raises:
        InputRefused: the offer is none that can be trained, or the processor ends worker after
            worker in the same way.
        ClaimMismatch: a step takes other work, so nothing was trained.
        EnvironmentRefused: this host does not reproduce the recipe's class.
        Unusable: the worker ended without a word, or memory ran out.
    """
    limits = Limits.agreed(work, folder / EVIDENCE_RECORDS)
    task = Audit(context, rising(segments), work, has_reference, limits=limits)
    try:
        return end_at_traps(task, lambda each: _results_of(SegmentAudited, folder, each, on_event, launcher))
    except Trapped as error:  # once more, beside a step: before the first of them, or where a model is evaluated
        if not error.has_started:
            raise
        raise InputRefused(f"no worker comes through it: {error.message}") from error


def measure(folder: Path, limit_s: float = MEASURING_S, launcher: Launcher = LOCAL) -> StepWork:
    """Meter a step of an offer, without records.

    Args:
        folder: holds recipe.json and graph.json; a log is written beside them.
        limit_s: seconds after which it is given up.
        launcher: where the worker runs.

    Raises:
        NotFound, InputRefused, DigestMismatch: recipe and graph are no offer.
        EnvironmentRefused: this host is not of the recipe's class.
        Unusable: the worker ended without a word.
    """
    ending = run_worker(folder, Measure(), limit_s=limit_s, launcher=launcher)
    if not isinstance(ending, Measured):
        raise Unusable(f"a worker that measures ended with {ending.name!r}", TAKEN_OVER)
    return ending.work


def explain(
    folder: Path,
    context: Context,
    segments: Sequence[int],
    on_event: Emit | None = None,
    launcher: Launcher = LOCAL,
    limits: Limits = USUAL_LIMITS,
) -> tuple[StateDigests, ...]:
    """Train segments again, and tell the state digests after each of their steps.

    Args:
        folder: a training's, or opened evidence whose checks have held; `state-digests.jsonl` is
            written into it.
        context: of the training; of evidence, the chain's.
        segments: which.
        on_event: called with each event, in this thread.
        launcher: where the worker runs.
        limits: of the worker.

    Returns:
        The state digests, in order.

    Raises:
        NotFound, InputRefused: the folder lacks something, or there is no such segment.
        EnvironmentRefused: this host does not reproduce the recipe's class.
    """
    run_worker(folder, Explain(context, rising(segments), limits=limits), on_event, launcher=launcher)
    return read_state_digests(folder / STATE_DIGESTS)


Result = TypeVar("Result", SegmentReplayed, SegmentAudited)


def _results_of(
    kind: type[Result], folder: Path, task: Task, on_event: Emit | None, launcher: Launcher
) -> tuple[Result, ...]:
    """Run a worker; the events of one kind, one a segment."""
    results: list[Result] = []

    def note(event: Event) -> None:
        if isinstance(event, kind):
            results.append(event)
        if on_event is not None:
            on_event(event)

    run_worker(folder, task, note, launcher=launcher)
    return tuple(results)


def _recipe(folder: Path) -> Recipe:
    try:
        with (folder / RECIPE).open("rb") as file:
            return Recipe.parse(file.read(RECIPE_BYTES + 1))
    except FileNotFoundError:
        raise NotFound(f"there is no {RECIPE} in {folder}") from None


def _cause(code: int) -> str:
    if code == -signal.SIGSYS:
        return "the worker was ended by its sandbox for a forbidden system call"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"the signal {-code}"
        return f"the worker was ended by {name}"
    return f"the worker ended with exit code {code} and no last event ({LOG} may say why)"
