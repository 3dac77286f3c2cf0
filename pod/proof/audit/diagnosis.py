"""Diagnosis: where a disagreement begins, down to a segment, a step and the first tensor.

It explains, and moves no money. Each side trains the segment in question again on its own host (the
worker's mode `explain`) and keeps, after every step, the digest of every tensor: its state digests.
They show no number of a model or a record, so one side can hand its file to the other. States that
lie in a folder have them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitchain.pod.compute.checkpoint import KeptState
from fitchain.pod.values.digest import Digest, canonical_json, parse_json
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.files import new_file
from fitchain.pod.values.limits import MOST_STATE_DIGESTS, STATE_DIGESTS_LINE
from fitchain.pod.values.state import tensor_entry


@dataclass(frozen=True)
class StateDigests:
    """The tensors after one step of a segment.

    Args:
        segment: segment j, from leaf j to leaf j+1.
        step: completed steps; the segment's first is the state that it starts from.
        tensors: each one's digest (kind, name, dtype, shape and bytes), by `model/<name>` and
            `optimizer/<parameter>/<key>`.
    """

    segment: int
    step: int
    tensors: Mapping[str, Digest]

    @classmethod
    def of(cls, segment: int, step: int, state: KeptState) -> StateDigests:
        """The digests of a state."""
        tensors = {f"model/{name}": tensor_entry(name, tensor) for name, tensor in state.model.items()}
        tensors |= {f"optimizer/{name}": tensor_entry(name, tensor) for name, tensor in state.optimizer.items()}
        return cls(segment, step, tensors)

    def to_line(self) -> bytes:
        """These digests as one line of `state-digests.jsonl`."""
        tensors = {name: str(digest) for name, digest in self.tensors.items()}
        return canonical_json({"segment": self.segment, "step": self.step, "tensors": tensors}) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> StateDigests:
        """Read one line of `state-digests.jsonl`.

        Raises:
            InputRefused: it is none.
        """
        match parse_json(line, STATE_DIGESTS_LINE):
            case {"segment": int(segment), "step": int(step), "tensors": dict(tensors), **rest} if not rest:
                return cls(segment, step, {name: Digest.parse(digest) for name, digest in tensors.items()})
        raise InputRefused("state digests have a segment, a step and the digests of tensors")


def read_state_digests(path: Path) -> tuple[StateDigests, ...]:
    """Read a file of state digests; it may be another side's.

    Raises:
        NotFound: there is no such file.
        InputRefused: it is no such file.
    """
    digests: list[StateDigests] = []
    try:
        with path.open("rb") as file:
            while line := file.readline(STATE_DIGESTS_LINE.text_bytes + 1):
                if len(digests) == MOST_STATE_DIGESTS:
                    raise InputRefused(f"{path.name} has state digests of more than {MOST_STATE_DIGESTS} steps")
                digests.append(StateDigests.from_line(line))
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    return tuple(digests)


def write_state_digests(path: Path, states: Iterable[StateDigests]) -> None:
    """Write state digests into a new file for the other side.

    Raises:
        InputRefused: there is a file of that name, or no such folder.
        HostUnusable: its disk is full, say; nothing of it is left.
    """
    with new_file(path) as file:
        file.writelines(state.to_line() for state in states)


@dataclass(frozen=True)
class Disagreement:
    """Where two sides part.

    Args:
        segment: the first one in which they do.
        step: the first step after which both hold a state and it differs.
        agreed: the last step before it after which both hold the same state; None where there is
            none.
        tensor: the first tensor, by name, that differs.
        mine, theirs: its digests; None where a side has no such tensor.
        others: how many more tensors differ then.
    """

    segment: int
    step: int
    agreed: int | None
    tensor: str
    mine: Digest | None
    theirs: Digest | None
    others: int

    def __str__(self) -> str:
        since = "from the start of what both hold" if self.agreed is None else f"and agree after step {self.agreed}"
        also = f" and {self.others} more tensors" if self.others else ""
        return (
            f"segment {self.segment}: the two sides differ after step {self.step}, {since}, in {self.tensor}{also}:"
            f" {self.mine or 'nothing'} here, {self.theirs or 'nothing'} there"
        )


def first_disagreement(mine: Iterable[StateDigests], theirs: Iterable[StateDigests]) -> Disagreement | None:
    """Find where two sides part.

    Args:
        mine, theirs: their state digests, in any order; those that only one side has say nothing.

    Returns:
        The first disagreement; None where they agree in all that both hold.
    """
    ours, others = _by_position(mine), _by_position(theirs)
    agreed: tuple[int, int] | None = None
    for position in sorted(ours.keys() & others.keys()):
        differing = _differing(ours[position].tensors, others[position].tensors)
        if differing:
            segment, step = position
            before = agreed[1] if agreed is not None and agreed[0] == segment else None
            name = differing[0]
            digests = ours[position].tensors.get(name), others[position].tensors.get(name)
            return Disagreement(segment, step, before, name, *digests, len(differing) - 1)
        agreed = position
    return None


def compare_with_file(mine: Iterable[StateDigests], path: Path) -> Disagreement | None:
    """Find where the other side's file parts from these states.

    Returns:
        The first disagreement; None where they agree in all that both hold.

    Raises:
        NotFound: there is no such file.
        InputRefused: it is no such file, or the two have no state in common.
    """
    mine, theirs = tuple(mine), read_state_digests(path)
    if not _by_position(mine).keys() & _by_position(theirs).keys():
        raise InputRefused(f"{path.name} has no state that this side has", "name the same segments with --segment")
    return first_disagreement(mine, theirs)


def _by_position(states: Iterable[StateDigests]) -> dict[tuple[int, int], StateDigests]:
    return {(state.segment, state.step): state for state in states}


def _differing(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Sequence[str]:
    """Names of the tensors that differ, the model's first."""
    return [name for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
