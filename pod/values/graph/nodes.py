"""Nodes: what a graph is made of, and how it is written down.

A node's arguments are JSON values with a few marks, because JSON has fewer types than torch:

    JSON                                        meaning
    null, true, 3, "mean", [..]                 itself (integers up to 2**53)
    {"integer": "9223372036854775807"}          an integer beyond 2**53
    {"float": 0.5}, {"float": "-inf"}           a float: JSON cannot tell 1.0 from 1, and torch must
    {"node": 4}, {"node": 4, "item": 1}         an earlier node's value; one of its several values
    {"tensor": "fc.weight"}, {"input": 0}       a parameter or buffer; an argument of the model
    {"dtype": "F32"}, {"layout": "strided"}, {"memory_format": "contiguous"}, {"device": "model"}
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fitchain.pod.values.digest import Json
from fitchain.pod.values.limits import GRAPH

SAFE_INTEGER = (1 << 53) - 1
ODD_FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan, "-0": -0.0}
"""Floats for which JSON has no number."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a graph may hold at most.

    Args:
        graph_bytes: of its JSON.
        nodes: of each form.
        tensors: parameters and buffers.
        rank, size: dimensions of a tensor, and the size of one.
        state_bytes: of all parameters and buffers together.
        live_bytes: that the values of a step take at once, at the batch size it is run with; more
            than any host has. What an owner's host takes, its policy says.
        calls: kernels that one forward pass runs.
        operations: of single elements, that it takes, see `fitchain.pod.values.work`.
        arguments: of a node, and items of a list among them.
    """

    graph_bytes: int = GRAPH.text_bytes
    nodes: int = 20_000
    tensors: int = 10_000
    rank: int = 8
    size: int = 1 << 40
    state_bytes: int = 8 << 30
    live_bytes: int = 1 << 40
    calls: int = 1_000_000
    operations: int = 1 << 48
    arguments: int = 4096


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Input:
    """One argument of a model.

    Args:
        name: what its module calls it.
        dtype: F32, F64 or I64.
        shape: of one record, without the batch dimension, which always comes first.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a graph says of one tensor.

    Args:
        kind: parameter or buffer.
        dtype: a key of `fitchain.pod.values.state.ITEM_BYTES`.
        shape: its sizes.
        trainable: whether an optimizer moves it; a frozen parameter and a buffer are not.
    """

    kind: str
    dtype: str
    shape: tuple[int, ...]
    trainable: bool


@dataclass(frozen=True, slots=True)
class Symbol:
    """What is neither a number nor a tensor: a dtype, a layout, a memory format, the model's
    device."""

    what: str
    name: str


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A parameter or buffer, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class InputRef:
    """An argument of the model, by its place."""

    index: int


@dataclass(frozen=True, slots=True)
class NodeRef:
    """The value of a node, or one item of it."""

    index: int
    item: int | None = None


Ref = TensorRef | InputRef | NodeRef
Argument = None | bool | int | float | str | Symbol | Ref | tuple["Argument", ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: its operator's name, positional arguments and named options."""

    operator: str
    arguments: tuple[Argument, ...]
    options: Mapping[str, Argument]


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a graph: nodes in the order in which they run, and the value that they are run
    for."""

    nodes: tuple[Node, ...]
    output: Ref


def references(value: Argument) -> Iterator[Ref]:
    """Every reference in an argument, lists included."""
    if isinstance(value, tuple):
        for item in value:
            yield from references(item)
    elif isinstance(value, TensorRef | InputRef | NodeRef):
        yield value


def form_json(form: Form) -> dict[str, Json]:
    """Write a form down."""
    return {"nodes": [_node_json(node) for node in form.nodes], "output": argument_json(form.output)}


def _node_json(node: Node) -> dict[str, Json]:
    plain: dict[str, Json] = {
        "operator": node.operator,
        "arguments": [argument_json(value) for value in node.arguments],
    }
    options = {key: argument_json(value) for key, value in node.options.items()}
    return {**plain, "options": options} if options else plain


def argument_json(value: Argument) -> Json:
    """Write an argument down, with its marks."""
    match value:
        case tuple():
            return [argument_json(item) for item in value]
        case float():
            return {"float": _float_json(value)}
        case Symbol(what, name):
            return {what: name}
        case TensorRef(name):
            return {"tensor": name}
        case InputRef(index):
            return {"input": index}
        case NodeRef(index, None):
            return {"node": index}
        case NodeRef(index, item):
            return {"node": index, "item": item}
        case int() if abs(value) > SAFE_INTEGER:
            return {"integer": str(value)}
    return value


def _float_json(value: float) -> Json:
    if math.isfinite(value) and (value or math.copysign(1, value) > 0):
        return value
    return next(name for name, odd in ODD_FLOATS.items() if repr(odd) == repr(value))
