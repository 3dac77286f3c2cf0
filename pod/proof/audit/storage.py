"""How many bytes a training's states take on its owner's disk, and the evidence that its terms lead
to: known before anybody asks or signs (no torch).

Both are bounds that follow from recipe, graph and card: a kept state is what training moves and the
optimizer's tensors, evidence a state for each audited segment beside the offer and the records.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fitchain.pod.compute.dataset import Card
from fitchain.pod.values.errors import HostUnusable, InputRefused
from fitchain.pod.values.graph import Graph, TensorSpec
from fitchain.pod.values.limits import EVIDENCE, size_about
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import byte_count

MOST_OPTIMIZER_TENSORS = 3
"""Of a parameter, with Adam's largest form."""
HEADER_BYTES = 512
"""Of a tensor in the header of a file, at most: names have 256 characters."""
SEAL_SHARE = 4096
"""Sealing adds 16 bytes to each 64 KiB."""
LEAF_BYTES = 64 << 10
"""Of an opened leaf, with its results by classes and groups."""
FEWEST_STATES = 3
"""That a training keeps whatever is left out: the last, the best so far, and the one that is being
written."""
ALWAYS_AUDITED = 3
"""The first segment, the last, and the one that ends in the delivered model."""
DISK_SHARE = 0.5
"""Of what is free, what the states of one training take."""


def state_bytes(recipe: Recipe, graph: Graph) -> int:
    """Bytes of the file of a kept state."""
    moving = [name for name in graph.tensors if name not in graph.frozen]
    trainable = [spec for spec in graph.tensors.values() if spec.trainable]
    copies = _optimizer_tensors(recipe)
    header = HEADER_BYTES * (len(moving) + (copies + 1) * len(trainable))
    return _bytes_of(graph.tensors[name] for name in moving) + copies * _bytes_of(trainable) + header


def evidence_bytes(recipe: Recipe, graph: Graph, card: Card, drawn: int) -> int:
    """Bytes of the evidence that an audit asks of a training at most, sealed.

    Args:
        recipe, graph, card: what is trained, on what.
        drawn: segments that are drawn besides those that are always audited.
    """
    audited = most_audited(recipe, drawn)
    offer = _bytes_of(graph.tensors.values()) + HEADER_BYTES * len(graph.tensors) + len(graph.encode())
    has_reference = card.policy.risk is not None and recipe.privacy is None
    states = (audited - 1 + has_reference) * state_bytes(recipe, graph)
    steps = (audited + has_reference) * recipe.segment_steps
    used = min(recipe.most_records(steps) + recipe.held_out_count * recipe.unit_records, card.count)
    record = 32 + sum(column.cell_bytes for column in card.columns)
    opened = used * (record + 73 + 32 * card.count.bit_length())
    whole = offer + len(recipe.encode()) + states + opened + 2 * audited * LEAF_BYTES
    return whole + whole // SEAL_SHARE


def most_audited(recipe: Recipe, drawn: int) -> int:
    """How many segments an audit looks at, wherever the best leaf is."""
    return min(recipe.segment_count, ALWAYS_AUDITED + drawn)


def require_evidence_fits(
    recipe: Recipe, graph: Graph, card: Card, drawn: int, limit_bytes: int = EVIDENCE.size_bytes
) -> None:
    """Refuse terms whose evidence no verifier fetches: an honest owner would withhold it, and lose
    its bond.

    Args:
        recipe, graph, card: what is trained, on what.
        drawn: segments that are drawn besides those that are always audited.
        limit_bytes: what is fetched at most.

    Raises:
        InputRefused: they are such terms.
    """
    if (size := evidence_bytes(recipe, graph, card, drawn)) <= limit_bytes:
        return
    each = state_bytes(recipe, graph)
    raise InputRefused(
        f"an audit would ask for {size_about(size)} of evidence, {most_audited(recipe, drawn)} states of "
        f"{size_about(each)} each among it, and verifiers fetch {size_about(limit_bytes)} at most",
        "draw fewer segments, freeze a part of the model, or take an optimizer that keeps less",
    )


@dataclass(frozen=True)
class Keeping:
    """Which states a training keeps.

    Args:
        every: those of every a-th leaf, the best so far, and the last.
        states: how many that are at most.
        state_bytes: of each.
        free_bytes: room on the disk before it.
    """

    every: int
    states: int
    state_bytes: int
    free_bytes: int

    def __str__(self) -> str:
        which = "every state" if self.every == 1 else f"the state of every {self.every}th checkpoint"
        size = size_about(self.states * self.state_bytes)
        return f"keeps {which}: {size} at most, and {size_about(self.free_bytes)} of the disk are free"


# Many parameters: what follows from the job, what from the disk, and what its owner wants.
def choose_states(
    recipe: Recipe, graph: Graph, card: Card, drawn: int | None, free_bytes: int, every: int | None = None
) -> Keeping:
    """Choose which states a training keeps: as many as half of what is free holds, once there is
    room for its model and for the evidence of an audit. Others are trained again where they are
    asked for.

    Args:
        recipe, graph, card: what is trained, on what.
        drawn: segments that an audit draws; None where none was agreed.
        free_bytes: room on the disk.
        every: which the owner wants to keep; None leaves the choice here.

    Raises:
        HostUnusable: there is too little room, whatever is left out.
    """
    each, leaves = state_bytes(recipe, graph), recipe.leaf_count
    around = 3 * _bytes_of(graph.tensors.values())  # the trained model, the file delivered, and the same sealed
    if drawn is not None:
        around += 2 * evidence_bytes(recipe, graph, card, drawn)  # plain and sealed
    room = int(DISK_SHARE * free_bytes)
    fitting = max(FEWEST_STATES, min(room, free_bytes - around) // each)
    chosen = every or -(-leaves // max(1, fitting - FEWEST_STATES + 1))
    keeping = Keeping(chosen, min(leaves, leaves // chosen + FEWEST_STATES), each, free_bytes)
    if (needed := around + keeping.states * each) > free_bytes:
        advice = "let the pod choose which states it keeps (leave --keep-every out)" if every else "make room on it"
        raise HostUnusable(
            f"the job takes {size_about(needed)} of the disk, states of {size_about(each)} among it, and "
            f"{size_about(free_bytes)} are free",
            advice,
        )
    return keeping


def fewest_states(recipe: Recipe, graph: Graph) -> Keeping:
    """Keep what is kept whatever the disk holds."""
    return Keeping(recipe.leaf_count, FEWEST_STATES, state_bytes(recipe, graph), 0)


def _optimizer_tensors(recipe: Recipe) -> int:
    """How many tensors like a parameter the optimizer keeps of each."""
    name, arguments = recipe.optimizer.name, recipe.optimizer.arguments
    if name == "SGD":
        return 1 if arguments.get("momentum") else 0
    if name in ("Adam", "AdamW"):
        return MOST_OPTIMIZER_TENSORS if arguments.get("amsgrad") else MOST_OPTIMIZER_TENSORS - 1
    return MOST_OPTIMIZER_TENSORS


def _bytes_of(specs: Iterable[TensorSpec]) -> int:
    return sum(byte_count(spec.dtype, spec.shape) for spec in specs)
