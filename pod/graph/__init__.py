"""Graph: a model's computation as data, in a training and an evaluation form (no torch).

Stands after `state` and before `model`. Sketch of the public names; the code follows.

    Graph.parse(data, limits) -> Graph      from foreign bytes, bounded and checked before anything is allocated
    graph.encode() -> bytes                 canonical JSON; `graph.digest` is its SHA-256
    graph.inputs: tuple[Input, ...]         one per argument of the model
    graph.tensors: Mapping[str, TensorSpec] parameters and buffers by name
    graph.parameters / graph.buffers        the two halves of `tensors`
    graph.check(class_name)                 raises InputRefused naming the first operator outside the class
    allowed(class_name) -> frozenset[str]   operators that the class admits
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Input:
    """One argument of a model.

    Args:
        name: what the data calls it.
        dtype: F32, F64 or I64.
        shape: of one record, without the batch dimension, which always comes first.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a graph says of one tensor: its kind (parameter or buffer), dtype, shape, and whether training may move it by gradient."""

    kind: str
    dtype: str
    shape: tuple[int, ...]
    trainable: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What a graph may hold at most."""

    graph_bytes: int = 16 << 20
    nodes: int = 20_000
    tensors: int = 10_000
    rank: int = 8
    size: int = 1 << 31
    state_bytes: int = 8 << 30
    """Parameters and buffers together."""
    activation_bytes: int = 8 << 30
    """All values that one forward pass makes, together, for the recipe's batch size."""
    calls: int = 1_000_000
    """Kernels that one forward pass may call."""


@dataclass(frozen=True)
class Graph:
    """Sketch."""

    inputs: tuple[Input, ...]
    tensors: Mapping[str, TensorSpec]
