"""A model as people speak of it: its layers with shapes, parameter counts and operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitchain.cli.views.amounts import counted, size_text
from fitchain.cli.views.output import Rows, View, cut_middle
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.graph.layers import Layer, layers_of, numbers, operators_of, summary_of
from fitchain.pod.values.state import byte_count

LAYER_WIDTH, OPERATORS_WIDTH, SHAPES_WIDTH = 25, 25, 14
"""Columns of the table of layers, which has 80 with the parameters."""
MOST_LINES = 40
"""Lines of it, where a model's structure does not let it be summed up in fewer."""
MOST_NAME = 24
"""Letters of an input's name in it."""
MOST_OPERATORS = 6
"""Operators that a line about a model names."""


def describe(graph: Graph) -> str:
    """A model in a line: `58 parameters; linear ×2, relu; takes x (4)`."""
    named = operators_of(layers_of(graph))
    shown = [_times(name, count) for name, count in list(named.items())[:MOST_OPERATORS]]
    more = f" and {len(named) - MOST_OPERATORS} more" if len(named) > MOST_OPERATORS else ""
    return f"{describe_parameters(graph)}; {', '.join(shown) or 'no operator'}{more}; takes {_inputs(graph.inputs)}"


def describe_parameters(graph: Graph) -> str:
    """How many numbers a model has: `58 parameters, 40 of them held fixed`."""
    total = sum(map(numbers, graph.parameters.values()))
    fixed = sum(numbers(spec) for spec in graph.parameters.values() if not spec.trainable)
    buffers = sum(map(numbers, graph.buffers.values()))
    held = "" if not fixed else ", all held fixed" if fixed == total else f", {fixed:,} of them held fixed"
    return f"{total:,} parameters{held}{f', {buffers:,} numbers in buffers' if buffers else ''}"


def describe_size(graph: Graph) -> str:
    """How many numbers, and bytes, all of a model has."""
    total = sum(map(numbers, graph.tensors.values()))
    size = sum(byte_count(spec.dtype, spec.shape) for spec in graph.tensors.values())
    return f"{total:,} numbers, {size_text(size)}"


def table(graph: Graph, every: bool = False) -> list[View]:
    """The layers of a model, in the order in which it runs them.

    Args:
        graph: of the model.
        every: each layer, and names, operators and shapes in full; else what is not too long to
            read.
    """
    layers = layers_of(graph)
    summed = layers if every else summary_of(layers)
    lines = summed if every else summed[:MOST_LINES]
    rows: list[Sequence[object]] = [_row(layer, every) for layer in lines]
    total = sum(map(numbers, graph.parameters.values()))
    rows.append(("in all", "", "", f"{total:,}"))
    views: list[View] = [Rows(("layer", "operators", "shapes", "parameters"), rows, right=("parameters",))]
    if len(lines) < len(layers):
        rest = f", and {len(summed) - len(lines)} lines are left out" if len(summed) > len(lines) else ""
        views.append(f"{counted(len(layers), 'layer')} summed up{rest}: --all shows each")
    return views


def values(graph: Graph, every: bool = False) -> dict[str, Any]:
    """The JSON form of a model; its layers summed up, unless every one is asked for."""
    layers = layers_of(graph)
    lines = layers if every else summary_of(layers)[:MOST_LINES]
    return {
        "inputs": [{"name": each.name, "dtype": each.dtype, "shape": list(each.shape)} for each in graph.inputs],
        "parameters": sum(map(numbers, graph.parameters.values())),
        "trainable": sum(numbers(spec) for spec in graph.parameters.values() if spec.trainable),
        "buffers": sum(map(numbers, graph.buffers.values())),
        "bytes": sum(byte_count(spec.dtype, spec.shape) for spec in graph.tensors.values()),
        "operators": dict(operators_of(layers)),
        "layers_of": len(layers),
        "layers": [_layer(layer) for layer in lines],
    }


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "module": layer.module if layer.has_module else None,
        "last": layer.last or None,
        "alike": layer.alike,
        "operators": dict(_own_operators(layer)),
        "tensors": [
            {"name": name, "kind": spec.kind, "dtype": spec.dtype, "shape": list(spec.shape)}
            for name, spec in layer.tensors
        ],
        "parameters": layer.parameters,
        "trainable": layer.trainable,
    }


def _own_operators(layer: Layer) -> Mapping[str, int]:
    """The operators of one of those alike."""
    return {name: count // layer.alike for name, count in operators_of([layer]).items()}


def _row(layer: Layer, whole: bool) -> tuple[str, str, str, str]:
    operators = [_times(name, count) for name, count in _own_operators(layer).items()]
    shapes = ["×".join(map(str, shape)) or "1" for shape in layer.shapes]
    count = f"{layer.parameters:,}" if layer.parameters else ""
    fixed = layer.parameters - layer.trainable
    held = "" if not fixed else " fixed" if fixed == layer.parameters else " partly fixed"
    if whole:
        return _name(layer), ", ".join(operators), ", ".join(shapes), count + held
    cut = (
        cut_middle(_name(layer), LAYER_WIDTH),
        _cut_list(operators, OPERATORS_WIDTH),
        _cut_list(shapes, SHAPES_WIDTH),
    )
    return *cut, count + held


def _name(layer: Layer) -> str:
    """The layer's path, of several alike from the first to the last; what belongs to the outermost
    module goes by its tensors' names."""
    if not layer.has_module:
        return ""
    path = layer.module or ", ".join(name for name, _ in layer.tensors) or "the model"
    if layer.alike == 1:
        return path
    same = 0
    first, last = layer.module.split("."), layer.last.split(".")
    while same < min(len(first), len(last)) - 1 and first[same] == last[same]:
        same += 1
    upto = f"…{'.'.join(last[same:])}" if layer.last != layer.module else ""
    return f"{layer.alike} × {path}{upto}"


def _times(name: str, count: int) -> str:
    return name if count == 1 else f"{name} ×{count}"


def _inputs(inputs: Sequence[Input]) -> str:
    return " and ".join(
        f"{cut_middle(each.name, MOST_NAME)} ({'×'.join(map(str, each.shape)) or '1'})" for each in inputs
    )


def _cut_list(items: Sequence[str], width: int) -> str:
    """As many items as fit, and how many there are besides."""
    text = ", ".join(items)
    count = len(items)
    while len(text) > width and count:
        count -= 1
        text = ", ".join([*items[:count], f"+{len(items) - count}"])
    return text if len(text) <= width else cut_middle(items[0], width)
