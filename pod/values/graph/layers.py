"""A graph as people speak of a model: layers, in the order in which training runs them.

A graph names no modules, but its tensors keep the names that the scientist's module gave them:
`encoder.layers.0.linear1.weight` is of the module `encoder.layers.0.linear1`. What touches a tensor
belongs to its module; what touches none (an activation, a reshape) stands by itself. Arithmetic of
sizes, which computes no value, is left out.

A model of many layers is summed up: repeated ones as one line, then the modules that they are part
of, until what is left can be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from fitchain.pod.values.graph.document import Graph
from fitchain.pod.values.graph.nodes import Node, TensorRef, TensorSpec, references
from fitchain.pod.values.graph.operators.shapes import CLOSE_GRADIENT, COPIES, OPEN_GRADIENT, VIEWS

MOST_LAYERS = 24
"""Layers that are listed unless all are asked for."""
MOST_DEPTH = 8
"""So many names of a module's path are told apart where a model is summed up."""
MOST_PERIOD = 4
"""So many lines in a row are compared with the next so many, to find repeated ones."""
_SIZES = ("int.", "real.")
_SHAPES = frozenset(record.name for record in (*VIEWS, *COPIES))


@dataclass(frozen=True, slots=True)
class Layer:
    """A part of a model; of several alike, all of them.

    Args:
        module: its path in the scientist's module; empty for the outermost, and for what belongs to
            none.
        operators: those that it runs, in order, by their full names; of one of those alike.
        tensors: parameters and buffers that it is the first to touch, by their names in the module;
            of one of those alike.
        has_module: whether it belongs to a module, the outermost among them.
        alike: how many layers this stands for.
        last: the path of the last of them.
    """

    module: str
    operators: tuple[str, ...]
    tensors: tuple[tuple[str, TensorSpec], ...] = ()
    has_module: bool = True
    alike: int = 1
    last: str = ""

    @property
    def parameters(self) -> int:
        """How many numbers training may move, or holds fixed, in all those alike."""
        return self.alike * sum(numbers(spec) for _, spec in self.tensors if spec.kind == "parameter")

    @property
    def trainable(self) -> int:
        """How many of them training moves."""
        return self.alike * sum(numbers(spec) for _, spec in self.tensors if spec.trainable)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of its parameters; of one of those alike."""
        return tuple(spec.shape for _, spec in self.tensors if spec.kind == "parameter")


def numbers(spec: TensorSpec) -> int:
    """How many numbers a tensor holds."""
    return prod(spec.shape)


def layers_of(graph: Graph) -> tuple[Layer, ...]:
    """Every layer of a graph, in the order in which its training form runs them; then what only its
    evaluation form touches, or nothing does, under its module."""
    parts: list[_Part] = []
    seen: set[str] = set()
    for node in graph.training.nodes:
        if node.operator.startswith(_SIZES) or node.operator in (OPEN_GRADIENT, CLOSE_GRADIENT):
            continue
        names = _tensor_names(node)
        module = _module(names[0]) if names else None
        if not parts or parts[-1].module != module:
            parts.append(_Part(module))
        parts[-1].operators.append(node.operator)
        parts[-1].tensors += [(_own_name(name), graph.tensors[name]) for name in names if name not in seen]
        seen.update(names)
    for name, spec in graph.tensors.items():
        if name not in seen:
            if not parts or parts[-1].operators or parts[-1].module != _module(name):
                parts.append(_Part(_module(name)))
            parts[-1].tensors.append((_own_name(name), spec))
    return tuple(part.layer() for part in parts)


def summary_of(layers: Sequence[Layer], most: int = MOST_LAYERS) -> tuple[Layer, ...]:
    """So few lines that they can be read: repeated layers are one line; where that is not enough,
    the modules stand for what is in them.

    Args:
        layers: of a graph.
        most: lines, if the model's structure lets it; else what its outermost modules come to.
    """
    if len(layers) <= most:
        return tuple(layers)
    depth = max(layer.module.count(".") + 1 for layer in layers)
    for level in range(min(depth, MOST_DEPTH), 0, -1):
        summed = _folded(_grouped(layers, level))
        if len(summed) <= most:
            break
    return tuple(summed)


def short_name(operator: str) -> str:
    """An operator without namespace and overload: `aten.max_pool2d.default` is `max_pool2d`."""
    parts = operator.split(".")
    return parts[1] if len(parts) > 1 else operator


def operators_of(layers: Sequence[Layer]) -> Mapping[str, int]:
    """How often layers run each operator, by its short name: in the order in which they come, those
    last that only lay values out anew."""
    counts: Counter[str] = Counter()
    for layer in layers:
        for operator in layer.operators:
            counts[operator] += layer.alike
    named: Counter[str] = Counter()
    for operator in sorted(counts, key=lambda operator: operator in _SHAPES):
        named[short_name(operator)] += counts[operator]
    return named


def _tensor_names(node: Node) -> list[str]:
    refs = [ref for value in (*node.arguments, *node.options.values()) for ref in references(value)]
    return list(dict.fromkeys(ref.name for ref in refs if isinstance(ref, TensorRef)))


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _own_name(name: str) -> str:
    return name.rpartition(".")[2]


@dataclass(slots=True)
class _Part:
    """A layer as it is put together; its module is None where it belongs to none."""

    module: str | None
    operators: list[str] = field(default_factory=list)
    tensors: list[tuple[str, TensorSpec]] = field(default_factory=list)

    def take(self, layer: Layer) -> None:
        self.operators += layer.operators
        self.tensors += layer.tensors

    def layer(self) -> Layer:
        return Layer(self.module or "", tuple(self.operators), tuple(self.tensors), self.module is not None)


def _grouped(layers: Sequence[Layer], depth: int) -> list[Layer]:
    """Layers by the first `depth` names of their modules; what belongs to none, and stands between
    layers of one group, goes with them."""
    groups: list[_Part] = []
    between: list[Layer] = []
    for layer in layers:
        prefix = ".".join(layer.module.split(".")[:depth])
        if not layer.has_module:
            between.append(layer)
            continue
        if not groups or groups[-1].module != prefix:
            groups += [_Part(None, [*other.operators]) for other in between]
            between = []
            groups.append(_Part(prefix))
        for part in (*between, layer):
            groups[-1].take(part)
        between = []
    return [*(part.layer() for part in groups), *between]


def _folded(layers: Sequence[Layer]) -> list[Layer]:
    """Runs of equal lines, or of up to `MOST_PERIOD` lines that repeat together, as one each."""
    signs = [_sign(layer) for layer in layers]
    folded: list[Layer] = []
    at = 0
    while at < len(layers):
        period, times = max(
            ((period, _repeats(signs, at, period)) for period in range(1, MOST_PERIOD + 1)),
            key=lambda each: (each[0] * each[1] if each[1] > 1 else 1, -each[0]),
        )
        period, times = (period, times) if times > 1 else (1, 1)
        run = layers[at : at + period * times]
        if times > 1:
            paths = [layer.module for layer in run if layer.has_module] or [""]
            whole = _Part(paths[0])
            for layer in run[:period]:
                whole.take(layer)
            folded.append(replace(whole.layer(), has_module=bool(paths[0]), alike=times, last=paths[-1]))
        else:
            folded.append(layers[at])
        at += period * times
    return folded


def _repeats(signs: Sequence[object], at: int, period: int) -> int:
    """How often the `period` lines from one on come in a row."""
    times = 1
    while signs[at : at + period] == signs[at + times * period : at + (times + 1) * period]:
        times += 1
    return times


def _sign(layer: Layer) -> tuple[object, ...]:
    tensors = tuple((name, spec.kind, spec.dtype, spec.shape, spec.trainable) for name, spec in layer.tensors)
    return layer.operators, tensors, layer.has_module
