"""What a job folder keeps of a training: leaves, one checkpoint a line, and states, one file each
(no torch).

leaves.jsonl                 appended to, on disk before anybody is told; only the last line is
                             written anew: of a run that diverged, or with its risk report
states/<step>.safetensors    `model/<name>` and `optimizer/<parameter>/<key>`, whole or not at all;
                             what no training moves lies in the initial model alone
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fitchain.pod.values.digest import Digest, Root
from fitchain.pod.values.errors import DigestMismatch, InputRefused
from fitchain.pod.values.files import open_plain
from fitchain.pod.values.job_folder import LEAVES, STATES, part_of, state_name
from fitchain.pod.values.leaf import Checkpoint, StateRoots
from fitchain.pod.values.state import (
    Limits,
    TensorBytes,
    Tensors,
    model_root,
    optimizer_root,
    read_safetensors,
    sync_folder,
    tensor_entry,
    write_safetensors,
)

_MODEL, _OPTIMIZER = "model/", "optimizer/"
USUAL_LIMITS = Limits()


def read_leaves(folder: Path) -> tuple[Checkpoint, ...]:
    """Read the checkpoints of a job folder; a line that is still being written is left out.

    Args:
        folder: the job folder; a training may be running in it.

    Raises:
        InputRefused: a whole line is no checkpoint.
        DigestMismatch: a checkpoint does not open its leaf.
    """
    return _read(folder)[0]


def trim_leaves(folder: Path) -> tuple[tuple[Checkpoint, ...], int]:
    """Read the checkpoints and drop what a power cut left after them: half a line, or a last line
    that is none.

    Returns:
        The checkpoints, and how many bytes were dropped.

    Raises:
        InputRefused: a line before the last is no checkpoint.
        DigestMismatch: a checkpoint does not open its leaf.
    """
    checkpoints, kept_bytes, all_bytes = _read(folder, torn_end=True)
    if kept_bytes < all_bytes:
        with (folder / LEAVES).open("r+b") as file:
            file.truncate(kept_bytes)
            os.fsync(file.fileno())
    return checkpoints, all_bytes - kept_bytes


def append_leaf(folder: Path, checkpoint: Checkpoint) -> None:
    """Append a checkpoint; on return it is on disk."""
    path = folder / LEAVES
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(checkpoint.to_line())
        file.flush()
        os.fsync(file.fileno())


def replace_last_leaf(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the last checkpoint anew; the file holds the one or the other, whatever happens
    meanwhile."""
    path, part = folder / LEAVES, part_of(folder, LEAVES)
    lines = path.read_bytes().splitlines(keepends=True)
    with part.open("wb") as file:
        file.write(b"".join([*lines[:-1], checkpoint.to_line()]))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def _read(folder: Path, torn_end: bool = False) -> tuple[tuple[Checkpoint, ...], int, int]:
    """Checkpoints, bytes of their lines, bytes of the file."""
    path = folder / LEAVES
    try:
        with open_plain(folder, LEAVES) as file:
            data = file.read()
    except FileNotFoundError:
        data = b""
    lines = data.split(b"\n")[:-1]
    checkpoints: list[Checkpoint] = []
    for number, line in enumerate(lines, 1):
        try:
            checkpoint = Checkpoint.from_line(line)
        except InputRefused as error:
            if torn_end and number == len(lines):
                lines.pop()
                break
            hint = f"remove {path} to record all leaves anew from the first state"
            raise InputRefused(f"line {number} of {path} is no checkpoint: {error.message}", hint) from None
        checkpoint.verify()
        checkpoints.append(checkpoint)
    return tuple(checkpoints), sum(len(line) + 1 for line in lines), len(data)


@dataclass(frozen=True)
class Unmoved:
    """What states leave to the initial model: entries of tensors that no training moves.

    Args:
        entries: by name, of the agreed initial model, at least those that a state lacks.
    """

    entries: Mapping[str, Digest]

    @classmethod
    def of(cls, tensors: Tensors) -> Unmoved:
        """Hash these tensors, once."""
        return cls({name: tensor_entry(name, tensor) for name, tensor in tensors.items()})

    def model_root(self, moving: Tensors) -> Root:
        """The root over both."""
        return model_root(moving, self.entries)


@dataclass(frozen=True)
class KeptState:
    """A state as a file keeps it: of its model what training moves, and its optimizer, by their own
    names."""

    model: Mapping[str, TensorBytes]
    optimizer: Mapping[str, TensorBytes]

    def roots(self, unmoved: Unmoved) -> StateRoots:
        """Its roots, with what it leaves to the initial model."""
        return StateRoots(unmoved.model_root(self.model), optimizer_root(self.optimizer))

    def verify(self, checkpoint: Checkpoint, unmoved: Unmoved) -> None:
        """Check that it is the state of a checkpoint that opens its leaf.

        Raises:
            DigestMismatch: it is another.
        """
        roots = self.roots(unmoved)
        for what, root, recorded in (
            ("model", roots.model, checkpoint.model),
            ("optimizer", roots.optimizer, checkpoint.optimizer),
        ):
            if root != recorded:
                raise DigestMismatch(
                    f"the state's {what} has the root {root}, and leaf {checkpoint.leaf.index} says {recorded}"
                )


def state_path(folder: Path, step: int) -> Path:
    """Where the state after a step is kept."""
    return folder / STATES / state_name(step)


def state_steps(folder: Path) -> list[int]:
    """The steps after which a state is kept, rising."""
    return sorted(int(path.stem) for path in (folder / STATES).glob("*.safetensors") if path.stem.isdigit())


def write_state(folder: Path, step: int, state: KeptState, job: Mapping[str, Digest]) -> None:
    """Keep a state, atomically.

    Args:
        job: what else the file says of itself, for people who find it.
    """
    path = state_path(folder, step)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_state_file(path, state, {"step": str(step), **{name: str(digest) for name, digest in job.items()}})


def write_state_file(path: Path, state: KeptState, words: Mapping[str, str]) -> None:
    """Write a state wherever it is wanted, atomically.

    Args:
        words: what else the file says of itself.
    """
    tensors = {_MODEL + name: tensor for name, tensor in state.model.items()}
    tensors |= {_OPTIMIZER + name: tensor for name, tensor in state.optimizer.items()}
    write_safetensors(path, tensors, dict(words))


def remove_state(folder: Path, step: int) -> None:
    """Remove the state that is kept after a step, if there is one."""
    state_path(folder, step).unlink(missing_ok=True)


def read_state(folder: Path, step: int) -> KeptState:
    """Read a kept state; `KeptState.verify` says whether it is the one that its leaf names.

    Raises:
        NotFound: no state is kept after that step.
        InputRefused: the file is torn or no state.
    """
    return read_state_file(state_path(folder, step))


def read_state_file(path: Path, limits: Limits = USUAL_LIMITS) -> KeptState:
    """Read a state wherever it lies.

    Args:
        path: its file.
        limits: on a stranger's.

    Raises:
        NotFound: there is no such file.
        InputRefused: the file is torn, no state, or beyond a limit.
    """
    tensors, _ = read_safetensors(path, limits)
    model = _part(tensors, _MODEL)
    optimizer = _part(tensors, _OPTIMIZER)
    if len(model) + len(optimizer) != len(tensors):
        raise InputRefused(f"the state {path.name} holds a tensor that is neither a model's nor an optimizer's")
    return KeptState(model, optimizer)


def _part(tensors: Mapping[str, TensorBytes], prefix: str) -> dict[str, TensorBytes]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
