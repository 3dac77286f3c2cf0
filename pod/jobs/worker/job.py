"""A job folder opened inside the worker: everything foreign, parsed and checked before it is used
(torch)."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from torch.optim import Optimizer

from fitchain.pod.compute.checkpoint import KeptState, Unmoved, read_state, read_state_file, state_steps
from fitchain.pod.compute.checkpoint.recorder import LiveState
from fitchain.pod.compute.dataset import (
    FILLED,
    Assemble,
    Table,
    assemble,
    batches,
    drawn_batches,
    group_numbers,
    held_out_rows,
)
from fitchain.pod.compute.environment import EnvironmentClass, environment_class
from fitchain.pod.compute.held_out import evaluate_held_out
from fitchain.pod.compute.model import step_work
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.tensors import new_tensor
from fitchain.pod.compute.private_training import train_privately
from fitchain.pod.compute.training import Diverged, StepDone, fresh_optimizer, load_optimizer, optimizer_tensors, train
from fitchain.pod.jobs.worker.room import require_room
from fitchain.pod.jobs.worker.task import RECORD_COPIES, Audit, Explain, Rehearse, Task, Trap
from fitchain.pod.proof.audit.evidence import Evidence, records_of, reference_records
from fitchain.pod.values.delta import ModelFile
from fitchain.pod.values.digest import Digest, sha256_file
from fitchain.pod.values.errors import (
    UNREADABLE,
    DigestMismatch,
    FitchainError,
    InputRefused,
    NotFound,
    require_equal,
)
from fitchain.pod.values.graph import LIMITS, Graph
from fitchain.pod.values.held_out import HeldOut
from fitchain.pod.values.job_folder import BASE, EVIDENCE, EVIDENCE_RECORDS, FINAL, GRAPH, INITIAL, RECORDS
from fitchain.pod.values.leaf import Checkpoint, Indices
from fitchain.pod.values.privacy.keys import records_salt, segment_key
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import Tensors, read_safetensors
from fitchain.pod.values.work import StepWork

_INPUT_DTYPES = {"F32": "float32", "F64": "float64", "I64": "int64"}


class Position:
    """Where a training stands.

    Args:
        step: completed steps when it stood there first.
        program: the model, which moves as the training goes on.
        optimizer: likewise.
    """

    def __init__(self, step: int, program: Program, optimizer: Optimizer) -> None:
        self.step, self.program, self.optimizer = step, program, optimizer
        self._state: LiveState | None = None
        self._count = 0

    @property
    def state(self) -> LiveState:
        """The state, as the training has it."""
        count = sum(map(len, self.optimizer.state.values()))
        if self._state is None or self._count != count:  # an optimizer's tensors appear with its first step
            self._count = count
            optimizer = optimizer_tensors(self.optimizer, self.program)
            self._state = LiveState(self.program.parameters, self.program.buffers, optimizer, self.program.graph.frozen)
        return self._state


TaskKind = TypeVar("TaskKind", bound=Task, covariant=True)
Opened = TypeVar("Opened", bound=Task)


@dataclass(frozen=True)
class Job(Generic[TaskKind]):
    """A job folder's contents, and what is to be done with them.

    Args:
        folder, task, recipe, graph: its files.
        initial: reads the initial tensors; a training holds a copy of its own, and a second one of
            a large model is memory that nothing needs.
        table: its records.
        rows: of an audit, which of the dataset's records the table's rows are, rising; None where
            they are all.
        evidence: of an audit.
    """

    folder: Path
    task: TaskKind
    recipe: Recipe
    graph: Graph
    initial: Callable[[], Tensors]
    table: Table
    rows: Indices | None = None
    evidence: Evidence | None = None

    @staticmethod
    def open(folder: Path, task: Opened, recipe: Recipe) -> Job[Opened]:
        """Read and check a job's files.

        Raises:
            NotFound: a file is missing.
            InputRefused: one is malformed or beyond a limit.
            DigestMismatch: graph or initial model are not those of the recipe.
            ClaimMismatch: a step takes other work than the task says.
            HostUnusable: this host has not the memory for a step, and is asked for it.
        """
        graph = read_graph(folder, recipe)
        if task.tells_steps:
            records = max((path.stat().st_size for path in own_records(folder)), default=0)
            require_room(work_of(graph, recipe).bytes + RECORD_COPIES * records)
        if isinstance(task, Rehearse | Audit) and task.work is not None:
            require_equal("a step of the graph takes", work_of(graph, recipe), task.work, "the terms say")
        initial = partial(read_initial, folder, recipe)
        if isinstance(task, Audit | Explain) and (folder / EVIDENCE).exists():
            if 0 in task.segments:  # whatever it is worth, it spoils no segment but the first
                initial()
            with _unread("the evidence"):
                evidence = Evidence.read(folder)
                rows = records_of(recipe, task.seed, task.segments, evidence.noise, evidence.leaves)
                if isinstance(task, Audit) and task.has_reference:
                    rows = np.union1d(rows, reference_records(recipe, task.seed, evidence.reference))
                table = evidence.records.table(rows)
            return Job(folder, task, recipe, graph, initial, table, rows, evidence)
        initial()
        if not (folder / RECORDS).exists():
            raise NotFound(f"there is no {RECORDS} in {folder}")
        return Job(folder, task, recipe, graph, initial, Table.load(folder / RECORDS))

    @property
    def environment_class(self) -> EnvironmentClass:
        """The class that the recipe names."""
        return environment_class(self.recipe.environment.name)

    @cached_property
    def assemble(self) -> Assemble:
        """Record indices to inputs and target, as tensors' arrays; columns are prepared once."""
        take = assemble(self.recipe, self.table, self.input_dtypes)
        if (rows := self.rows) is None:
            return take
        return lambda indices: take(np.searchsorted(rows, indices))

    @property
    def input_dtypes(self) -> list[str]:
        """What each of the model's arguments wants."""
        return [_INPUT_DTYPES[each.dtype] for each in self.graph.inputs]

    def filled(self, indices: Indices) -> Indices:
        """Of rows those that a record fills."""
        if (is_filled := self.table.arrays.get(FILLED)) is None:
            return indices
        places = indices if self.rows is None else np.searchsorted(self.rows, indices)
        return indices[is_filled[places]]

    def batches(self, step: int) -> Iterator[Indices]:
        """Record indices of the steps from one on; mock data may be fewer than the records they
        stand for."""
        if self.rows is not None:  # the table has the records that these batches are of, and no others
            return self._batches(step)
        if not isinstance(self.task, Rehearse):
            if (stop := self.recipe.rows[1]) > self.table.count:
                raise InputRefused(f"the recipe uses rows up to {stop}, and the table has {self.table.count} records")
            return self._batches(step)
        if self.recipe.privacy is None:
            return self._in_turn(step)
        return map(self._of_table, self._batches(step))

    def _in_turn(self, step: int) -> Iterator[Indices]:
        """Mock records from the first on, as many as each step has: the first is of the last class,
        and has the largest code of each column, so that who is one short fails at once."""
        for number, indices in enumerate(self._batches(step), step):
            first = np.uint64(number * self.recipe.batch_size)
            yield (np.arange(len(indices), dtype=np.uint64) + first) % np.uint64(self.table.count)

    def _of_table(self, indices: Indices) -> Indices:
        """Record indices as the table has them: mock data may be fewer than the records they stand
        for."""
        return indices % np.uint64(self.table.count) if isinstance(self.task, Rehearse) else indices

    def _batches(self, step: int) -> Iterator[Indices]:
        if self.recipe.privacy is None:
            return batches(self.recipe, self.task.seed, step)
        return drawn_batches(self.recipe, self.task.seed, self.segment_key, step)

    def segment_key(self, segment: int) -> bytes:
        """What sampling and noise of a segment follow from, 32 bytes.

        Raises:
            InputRefused: the evidence has no key of it.
        """
        if self.evidence is not None:
            return self.evidence.noise_key(segment).key
        return segment_key(self.task.context.noise, segment)

    def records_salt(self, leaf: int) -> Digest | None:
        """The salt under which a leaf names its segment's records; None where they are no secret."""
        is_secret = self.recipe.privacy is not None and leaf > 0
        return records_salt(self.segment_key(leaf - 1)) if is_secret else None

    def held_out(self, leaf: int, program: Program) -> HeldOut | None:
        """The result of a leaf's model on the held-out records; None where the recipe does not
        evaluate it.

        Raises:
            Unusable: memory ran out.
        """
        recipe, seed = self.recipe, self.task.seed
        if not recipe.evaluates_at(leaf):
            return None
        key = None if recipe.privacy is None else self.segment_key(recipe.segment_count - 1)
        rows, groups = self._held_out_records
        return evaluate_held_out(program, recipe, rows, self.assemble, seed, key, groups)

    @cached_property
    def _held_out_records(self) -> tuple[Indices, dict[str, Indices]]:
        """The held-out records, and which group each of them is in, by column: the same for each
        leaf that is evaluated."""
        rows = self.filled(self._of_table(held_out_rows(self.recipe, self.task.seed)))
        places = rows if self.rows is None else np.searchsorted(self.rows, rows)
        numbers = group_numbers(self.table, self.recipe.subgroups)
        return rows, {column: of_rows[places] for column, of_rows in numbers.items()}

    def start(self) -> Position:
        """Leaf 0: the agreed initial model and the recipe's fresh optimizer."""
        program = self.program_of(self.initial())
        return Position(0, program, fresh_optimizer(program, self.recipe))

    def program_of(self, tensors: Tensors) -> Program:
        """The model with these tensors, in the recipe's class."""
        return Program(self.graph, tensors, self.environment_class)

    @cached_property
    def unmoved(self) -> Unmoved:
        """What kept states leave to the initial model."""
        return Unmoved.of(self._frozen)

    @cached_property
    def _frozen(self) -> Tensors:
        """What no training moves; the initial model is not read where that is nothing."""
        initial = self.initial() if self.graph.frozen else {}
        return {name: initial[name] for name in self.graph.frozen & initial.keys()}

    def whole(self, state: KeptState) -> Tensors:
        """The model of a kept state with what no training moves, which is the initial model's
        whatever the state says: who exchanged it half-way is found in every segment after.

        Raises:
            InputRefused: the state names it.
        """
        if named := state.model.keys() & self.graph.frozen:
            raise InputRefused(f"the state holds {min(named)!r}, which no training moves")
        return {**self._frozen, **state.model}

    def position_of(self, step: int, state: KeptState) -> Position:
        """Stand where a kept state was taken.

        Raises:
            InputRefused: the state does not fit the graph or the optimizer.
        """
        program = self.program_of(self.whole(state))
        optimizer = fresh_optimizer(program, self.recipe, None if self.recipe.proximal is None else self.initial())
        tensors = {name: new_tensor(each) for name, each in state.optimizer.items()}
        load_optimizer(optimizer, program, tensors, self.recipe)
        return Position(step, program, optimizer)

    def audited_position(self, index: int) -> Position:
        """Where an audited segment begins, out of evidence whose state was compared with its leaf
        before this process started.

        Raises:
            InputRefused: the state does not fit the graph or the optimizer.
        """
        assert self.evidence is not None
        if index == 0:
            return self.start()
        return self.position_of(self.recipe.step_of(index), read_state_file(self.evidence.state_file(index)))

    def newest(self, checkpoints: tuple[Checkpoint, ...], skipped: Callable[[int, str], None]) -> tuple[int, Position]:
        """The last place to which a kept state leads whose digest its leaf names.

        Args:
            checkpoints: those recorded so far, or up to the one of interest.
            skipped: told of each state that is not used, and why.

        Returns:
            The leaf's index and the place; leaf 0 where no state can be used.
        """
        indices = {checkpoint.leaf.step: checkpoint.leaf.index for checkpoint in checkpoints}
        for step in reversed(state_steps(self.folder)):
            if step not in indices:
                continue
            index = indices[step]
            try:
                state = read_state(self.folder, step)
                state.verify(checkpoints[index], self.unmoved)
                return index, self.position_of(step, state)
            except FitchainError as error:
                skipped(step, error.message)
        return 0, self.start()

    def go_on(self, position: Position) -> Iterator[StepDone]:
        """Train from a place on, to the recipe's last step."""
        seed, step, trap = self.task.seed, position.step, self.task.trap
        common = (position.program, self.recipe, self.batches(step), self.assemble, seed, step, position.optimizer)
        is_private = self.recipe.privacy is not None
        steps = train_privately(*common, self.segment_key, self.filled) if is_private else train(*common)
        if self.task.tells_steps:
            steps = self._in_room(position, steps)
        return steps if trap is None else _up_to(trap, step, steps)

    def _in_room(self, position: Position, steps: Iterator[StepDone]) -> Iterator[StepDone]:
        """Steps, each of which begins only if there is memory for what it takes beside the state.

        Raises:
            HostUnusable: there is not.
        """
        work_bytes = work_of(self.graph, self.recipe).bytes

        def ask() -> None:
            program = position.program
            held = (*program.parameters.values(), *program.buffers.values(), *position.state.optimizer.values())
            require_room(max(work_bytes - sum(each.nbytes for each in held), 0))

        ask()
        for done in steps:
            ask()  # before it is told: its leaf may be computed, and the next one begins
            yield done


def own_records(folder: Path) -> list[Path]:
    """The files of records in a job's folder, or in opened evidence."""
    return [path for path in (folder / RECORDS, folder / EVIDENCE_RECORDS) if path.exists()]


def log_fault(fault: BaseException) -> None:
    """Write into the worker's log where it met what nobody foresaw; not what that says, which may
    show data."""
    print(*traceback.format_tb(fault.__traceback__), type(fault).__name__, file=sys.stderr)


@contextmanager
def _unread(what: str) -> Iterator[None]:
    """Refuse what a check of ours has a hole for: its bytes break it on every host alike.

    Args:
        what: that is read, foreign.

    Raises:
        InputRefused: in place of what nobody foresaw.
    """
    try:
        yield
    except UNREADABLE as fault:
        log_fault(fault)
        raise InputRefused(f"{what} cannot be read: {type(fault).__name__}") from fault


def _up_to(trap: Trap, step: int, steps: Iterator[StepDone]) -> Iterator[StepDone]:
    """Steps from one on, of which that after a trap is none.

    Raises:
        Diverged: it would be next.
    """
    if step == trap.step:
        raise Diverged(step, trap.reason)
    for done in steps:
        yield done
        if done.step == trap.step:
            raise Diverged(done.step, trap.reason)


def read_graph(folder: Path, recipe: Recipe) -> Graph:
    """Read the graph of a job's folder and check that it is the recipe's.

    Raises:
        NotFound: it is not there.
        InputRefused: it is malformed, beyond a limit, or has an operator outside the class.
        DigestMismatch: the recipe names another.
    """
    graph = Graph.parse(read(folder, GRAPH, LIMITS.graph_bytes))
    if graph.digest != recipe.graph:
        raise DigestMismatch(f"{GRAPH} has the digest {graph.digest}, and the recipe says {recipe.graph}")
    graph.check(environment_class(recipe.environment.name).admits)
    return graph


def work_of(graph: Graph, recipe: Recipe) -> StepWork:
    """Meter a step of a recipe, in a process that was brought into its class.

    Raises:
        InputRefused: it is beyond a limit, or does not fit together.
    """
    batch = recipe.batch_size * recipe.unit_records
    return step_work(graph, batch, micro_batch=recipe.micro_batch, further_copies=recipe.further_copies)


def rehearsed(recipe: Recipe, segments: int) -> Recipe:
    """The recipe cut down to its first segments."""
    if (steps := min(recipe.steps, segments * recipe.segment_steps)) == recipe.steps:
        return recipe
    rates, left = [], steps
    for count, rate in recipe.learning_rates:
        if left > 0:
            rates.append((min(count, left), rate))
            left -= count
    return replace(recipe, steps=steps, learning_rates=tuple(rates))


def read_initial(folder: Path, recipe: Recipe) -> Tensors:
    """Read the initial tensors of a job.

    Raises:
        NotFound: they, or those of their base, are not there.
        InputRefused: they are malformed or beyond a limit.
        DigestMismatch: they, or their base, are not those of the recipe.
    """
    initial = ModelFile.read(folder / INITIAL)
    if initial.root != recipe.initial_model:
        raise DigestMismatch(f"{INITIAL} has the model root {initial.root}, and the recipe says {recipe.initial_model}")
    return _whole(folder, INITIAL, initial, recipe)


def read_final(folder: Path, recipe: Recipe) -> Tensors:
    """Read the tensors of a job's trained model.

    Raises:
        NotFound: they, or those of its base, are not there.
        InputRefused: they are malformed or beyond a limit.
        DigestMismatch: it is a delta over another base than the recipe's.
    """
    return _whole(folder, FINAL, ModelFile.read(folder / FINAL), recipe)


def write_final(folder: Path, tensors: Tensors, recipe: Recipe) -> Digest:
    """Write the trained model of a job as it is delivered: whole, or as a delta over the base.

    Returns:
        SHA-256 of the file's bytes.
    """
    inventory = {} if recipe.base is None else ModelFile.read(folder / INITIAL).inventory
    ModelFile.over(tensors, inventory).write(folder / FINAL)
    return sha256_file(folder / FINAL)


def _whole(folder: Path, name: str, file: ModelFile, recipe: Recipe) -> Tensors:
    """All tensors of a model's file in a job's folder."""
    if file.base != recipe.base:
        own, agreed = (root or "no base" for root in (file.base, recipe.base))
        raise DigestMismatch(f"{name} is a delta over {own}, and the recipe says {agreed}")
    return file.whole(read_safetensors(folder / BASE)[0] if file.shared else {})


def read(folder: Path, name: str, limit_bytes: int) -> bytes:
    """Read one of a job's files.

    Raises:
        NotFound: it is not there.
        InputRefused: it is too large.
    """
    try:
        with (folder / name).open("rb") as file:
            data = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no {name} in {folder}") from None
    if len(data) > limit_bytes:
        raise InputRefused(f"{name} has more than {limit_bytes} bytes")
    return data
