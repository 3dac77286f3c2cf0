"""The recorder: takes states from the training thread, and does all the rest beside it (torch).

The training thread copies a state into one of two buffers that are reused (a large state into the
only one), and goes on; a background thread hashes it (BLAKE3 releases the interpreter lock),
appends its leaf to `leaves.jsonl` and keeps every a-th state as a file. When all buffers are busy
the training waits. An error behind the scenes stops the training at its next checkpoint.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from fitchain.pod.compute.checkpoint.files import KeptState, Unmoved, append_leaf, remove_state, write_state
from fitchain.pod.compute.model.tensors import tensor_bytes
from fitchain.pod.compute.training import Diverged
from fitchain.pod.values.best import RunningBest
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import DigestMismatch
from fitchain.pod.values.held_out import HeldOut, held_out_digest, held_out_salt
from fitchain.pod.values.leaf import (
    Checkpoint,
    Leaf,
    Metrics,
    SaltKeys,
    SegmentRecords,
    leaf_salt,
    metrics_digest,
    results_word,
    state_word,
)
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import Kind, TensorBytes, Tensors

BUFFERS = 2
LARGE_BYTES = 256 << 20
"""Of a state that is staged once: a second copy would be the largest block of memory that a
training has. Where its steps are shorter than its hashing, they wait for it."""
ALIGNMENT_BYTES = 64
_FLOATS = {"F32": np.float32, "F64": np.float64}
_LEAF_PARTS = {"step": "step", "records": "records", "metrics": "metrics"}
_ROOTS = {"model": "model root", "optimizer": "optimizer root"}
_LINKS = {"state": "state", "held_out": "held-out results", "previous": "leaf before"}


Key = tuple[str, str]
"""Kind and name of a tensor."""


@dataclass(frozen=True)
class LiveState:
    """A state as the training has it: its own tensors, which the next step moves; one object serves
    as long as they are the same.

    Args:
        parameters, buffers: by name.
        optimizer: by `<parameter>/<key>`.
        frozen: names of parameters and buffers that training never changes.
    """

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    frozen: frozenset[str] = frozenset()

    @cached_property
    def moving(self) -> dict[Key, Tensor]:
        """The tensors that a step may change."""
        return {key: tensor for key, tensor in self._tensors() if key[0] == "optimizer" or key[1] not in self.frozen}

    @property
    def unmoved(self) -> dict[str, TensorBytes]:
        """The tensors that no step changes, as the training has them: nobody writes them, and so
        they need no copy."""
        kinds: tuple[tuple[Kind, Mapping[str, Tensor]], ...] = (
            ("parameter", self.parameters),
            ("buffer", self.buffers),
        )
        return {
            name: tensor_bytes(kind, tensor.detach())
            for kind, part in kinds
            for name, tensor in part.items()
            if name in self.frozen
        }

    @cached_property
    def memory(self) -> list[memoryview]:
        """The bytes of the moving tensors, lent once: looking for them costs more than copying
        small ones."""
        return [tensor_bytes("optimizer", tensor.detach()).data for tensor in self.moving.values()]

    def _tensors(self) -> Iterator[tuple[Key, Tensor]]:
        parts = {"parameter": self.parameters, "buffer": self.buffers, "optimizer": self.optimizer}
        return (((kind, name), tensor) for kind, part in parts.items() for name, tensor in part.items())


class Buffer:
    """One preallocated copy of tensors: a block of memory, and views of it.

    Args:
        live: tensors whose shapes and dtypes it takes.
    """

    def __init__(self, live: Mapping[Key, Tensor]) -> None:
        sizes = [tensor.numel() * tensor.element_size() for tensor in live.values()]
        starts = np.cumsum([0, *(-(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES for size in sizes)]).tolist()
        block = torch.ones(starts[-1], dtype=torch.uint8)  # written, so that its pages are there before they are needed
        self.keys = live.keys()
        views = [
            block[start : start + size].view(tensor.dtype).view(tensor.shape)
            for tensor, start, size in zip(live.values(), starts, sizes, strict=False)
        ]
        copies = [(kind, name, tensor_bytes(kind, view)) for (kind, name), view in zip(self.keys, views, strict=True)]
        self._memory = [copy.data for _, _, copy in copies]
        self.model = {name: copy for kind, name, copy in copies if kind != "optimizer"}
        self.optimizer = {name: copy for kind, name, copy in copies if kind == "optimizer"}

    def copy(self, memory: Iterable[memoryview]) -> None:
        """Copy the bytes of tensors of the same keys, shapes and dtypes in; with small tensors
        torch's calls would cost more than the bytes."""
        for target, source in zip(self._memory, memory, strict=True):
            target[:] = source


@dataclass(frozen=True)
class _Taken:
    """A state on its way to the background thread."""

    step: int
    buffer: Buffer
    records: SegmentRecords
    metrics: Metrics
    held_out: HeldOut | None


class Recorder(AbstractContextManager["Recorder"]):
    """Record a training's states as leaves; leaving the context waits until all are on disk.

    Args:
        folder: the job folder.
        ctx: the agreement's context.
        seed: the order seed.
        recipe: which steps have leaves.
        salt_keys: from which the salts of metrics and states derive.
        keep_every: which states are kept: those of every a-th leaf, the best so far, and the last.
            Leaf 0's is the initial model itself.
        recorded: checkpoints recorded before; those taken again must come out equal.
        first: index of the first leaf that will be recorded.
        records_salt: of a leaf, the salt under which it names its records; None where they are no
            secret.
        on_leaf: called on the background thread once a leaf is on disk, and its state if that is
            kept.
    """

    # Many parameters: job and seed make a leaf's digest, and the rest says where a resumed one
    # begins.
    def __init__(
        self,
        folder: Path,
        ctx: Digest,
        seed: Digest,
        recipe: Recipe,
        salt_keys: SaltKeys,
        keep_every: int = 1,
        *,
        recorded: Sequence[Checkpoint] = (),
        first: int = 0,
        records_salt: Callable[[int], Digest | None] = lambda leaf: None,
        on_leaf: Callable[[Recorded], None] | None = None,
    ) -> None:
        self.folder, self.ctx, self.seed, self.recipe = folder, ctx, seed, recipe
        self.salt_keys, self.keep_every, self.on_leaf = salt_keys, keep_every, on_leaf
        self.records_salt = records_salt
        self.checkpoints = list(recorded)
        self._next = first
        self._best = RunningBest(recipe.best)
        for checkpoint in self.checkpoints[1:first]:
            self._best.take(checkpoint.leaf.index, checkpoint.held_out)
        self._previous = self.checkpoints[first - 1].leaf.digest(ctx, seed) if first else ZERO
        self._unmoved: Unmoved | None = None
        self._free: queue.SimpleQueue[Buffer | None] = queue.SimpleQueue()
        self._buffers = BUFFERS
        for _ in range(BUFFERS):
            self._free.put(None)  # made when the first state comes
        self._taken: queue.SimpleQueue[_Taken | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taken.put(None)
        self._thread.join()
        if error is None or isinstance(error, Diverged):  # an earlier leaf's failure decides where a training ends
            self._raise()

    @property
    def count(self) -> int:
        """Leaves recorded or found equal so far; final once the context is left."""
        return self._next

    # On the training thread

    # Many parameters: what stands in a leaf.
    def record(
        self,
        step: int,
        live: LiveState,
        records: SegmentRecords,
        metrics: Metrics,
        held_out: HeldOut | None = None,
    ) -> None:
        """Take the state after a step; on return the training may move its tensors.

        Args:
            step: completed steps: those of the next leaf.
            live: the state.
            records: of the segment, which takes none from now on.
            metrics: of the segment.
            held_out: result of this state's model on the held-out records, where it is
                evaluated.

        Raises:
            Diverged: a parameter of an earlier leaf is not finite.
            DigestMismatch: an earlier leaf differs from the one recorded before.
            OSError: the folder cannot be written.
        """
        if self._unmoved is None:
            self._unmoved = Unmoved.of(live.unmoved)
        buffer = self._free.get()  # waits while all are busy
        self._raise()
        if buffer is None or buffer.keys != live.moving.keys():  # the optimizer has no tensors before its first step
            buffer = None  # it is let go before another is made
            if self._buffers > 1 and sum(tensor.nbytes for tensor in live.moving.values()) > LARGE_BYTES:
                self._free.get()
                self._buffers -= 1
            buffer = Buffer(live.moving)
        buffer.copy(live.memory)
        self._taken.put(_Taken(step, buffer, records, metrics, held_out))

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    # On the background thread

    def _run(self) -> None:
        while (taken := self._taken.get()) is not None:
            try:
                if self._error is None:
                    self._keep(taken)
            except BaseException as error:  # noqa: BLE001  it belongs to the training thread, which raises it
                self._error = error
            finally:
                self._free.put(taken.buffer)
                del taken  # it would hold its buffer until the next one comes

    def _keep(self, taken: _Taken) -> None:
        """Make the leaf of a state, compare or append it, keep the state if it is due."""
        assert self._unmoved is not None
        state = KeptState(taken.buffer.model, taken.buffer.optimizer)
        index, salt = self._next, leaf_salt(self.salt_keys.metrics, self._next)
        if index > 0:  # leaf 0 is what was agreed on, whatever it is
            refuse_not_finite(state.model, taken.step)
        roots = state.roots(self._unmoved)
        best_before = self._best.index
        is_best = self._best.take(index, taken.held_out)
        state_salt = None if is_best else self._state_salt(index)
        # The owner binds a risk report in the last leaf once that is recorded: recorded again, it
        # has it still.
        report = self.checkpoints[index].report if index < len(self.checkpoints) else None
        leaf = Leaf(
            index=index,
            step=taken.step,
            state=state_word(roots.digest, state_salt),
            records=taken.records.digest(self.records_salt(index)),
            metrics=metrics_digest(taken.metrics, salt),
            held_out=results_word(held_out_digest(taken.held_out, held_out_salt(salt)), report),
            previous=self._previous,
        )
        opening = (roots.model, roots.optimizer, taken.metrics, salt, state_salt, taken.held_out, report)
        checkpoint = Checkpoint(leaf, *opening)
        digest = leaf.digest(self.ctx, self.seed)
        if new := index == len(self.checkpoints):
            append_leaf(self.folder, checkpoint)
            self.checkpoints.append(checkpoint)
        elif digest != (recorded_digest := self.checkpoints[index].leaf.digest(self.ctx, self.seed)):
            raise DigestMismatch(
                f"leaf {index} comes out as {digest}, and {recorded_digest} was recorded before:"
                f" {difference(checkpoint, self.checkpoints[index])}",
                "the host, its torch or the job's files changed since: nothing more can be recorded on top of these"
                " leaves",
            )
        if kept := index > 0 and (is_best or self._is_due(index)):
            write_state(self.folder, taken.step, state, {"ctx": self.ctx, "seed": self.seed})
        if is_best and best_before is not None and not self._is_due(best_before):
            remove_state(self.folder, self.recipe.step_of(best_before))
        self._next, self._previous = index + 1, digest
        if self.on_leaf is not None:
            self.on_leaf(Recorded(checkpoint, digest, new, kept))

    def _is_due(self, index: int) -> bool:
        """Whether a leaf's state is kept whatever its results."""
        return index % self.keep_every == 0 or index == self.recipe.leaf_count - 1

    def _state_salt(self, index: int) -> Digest | None:
        """The salt of the state of a leaf that is no running best, whose model may be delivered.

        None for leaf 0 and the last, and for a leaf that was recorded without: a run that diverged
        ended there, and is found to have done so once more.
        """
        ends = index in (0, self.recipe.leaf_count - 1)
        recorded = index < len(self.checkpoints) and self.checkpoints[index].state_salt is None
        return None if ends or recorded else leaf_salt(self.salt_keys.states, index)


@dataclass(frozen=True)
class Recorded:
    """A leaf that is on disk.

    Args:
        checkpoint: the leaf with what opens its metrics.
        digest: of the leaf.
        new: whether it was recorded for the first time.
        kept: whether its state was kept.
    """

    checkpoint: Checkpoint
    digest: Digest
    new: bool
    kept: bool


def refuse_not_finite(model: Tensors, step: int) -> None:
    """End a training of whose parameters one is no longer finite; a buffer may hold infinities (an
    attention mask, say).

    Args:
        model: of its tensors those that training moves.
        step: after which.

    Raises:
        Diverged: a parameter holds a NaN or an infinity.
    """
    for name, tensor in model.items():
        floats = _FLOATS.get(tensor.dtype) if tensor.kind == "parameter" else None
        if floats is not None and not np.isfinite(np.frombuffer(tensor.data, floats)).all():
            raise Diverged(step, f"the parameter {name} is not finite")


def difference(computed: Checkpoint, recorded: Checkpoint) -> str:
    """The first part in which two checkpoints of one place differ, with both values; empty where
    their leaves are equal."""
    parts = [(words, getattr(computed.leaf, name), getattr(recorded.leaf, name)) for name, words in _LEAF_PARTS.items()]
    parts += [(words, getattr(computed, name), getattr(recorded, name)) for name, words in _ROOTS.items()]
    parts += [(words, getattr(computed.leaf, name), getattr(recorded.leaf, name)) for name, words in _LINKS.items()]
    return next((f"{words} {mine}, not {theirs}" for words, mine, theirs in parts if mine != theirs), "")
