"""The graph: read from what a stranger sent, bounded and resolved, and written canonically.

`Graph.parse` checks every limit and every reference before anything is allocated;
`fitchain.pod.values.graph.nodes` says what the JSON means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from fitchain.pod.values.digest import Digest, canonical_json, parse_json, sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph.admission import Admission
from fitchain.pod.values.graph.nodes import (
    LIMITS,
    ODD_FLOATS,
    SAFE_INTEGER,
    Argument,
    Form,
    Input,
    InputRef,
    Limits,
    Node,
    NodeRef,
    Symbol,
    TensorRef,
    TensorSpec,
    form_json,
)
from fitchain.pod.values.graph.operators import OPERATORS, advice
from fitchain.pod.values.graph.operators.shapes import CLOSE_GRADIENT, OPEN_GRADIENT
from fitchain.pod.values.graph.taint import Structure, follow
from fitchain.pod.values.limits import GRAPH
from fitchain.pod.values.recipe.fields import Fields, integer, items, text
from fitchain.pod.values.state import ITEM_BYTES, byte_count

VERSION = "fitchain/graph/v2"
INPUT_DTYPES = ("F32", "F64", "I64")
MEMORY_FORMATS = ("contiguous", "preserve", "channels_last", "channels_last_3d")
MOST_INTEGER = (1 << 63) - 1


@dataclass(frozen=True)
class Graph:
    """A model's computation as data.

    Args:
        inputs: the model's arguments.
        tensors: its parameters and buffers by name.
        training: what it does in training mode.
        evaluation: what it does in evaluation mode.
        tied: by a further name that the module's state dict has for a tensor, the tensor's own: of
            weights that are tied.
        apart: tensors that the module's state dict lacks: constants, and buffers that are not
            persistent.
    """

    inputs: tuple[Input, ...]
    tensors: Mapping[str, TensorSpec]
    training: Form
    evaluation: Form
    tied: Mapping[str, str] = field(default_factory=dict)
    apart: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: bytes, limits: Limits = LIMITS) -> Graph:
        """Read a graph that somebody sent.

        Args:
            data: canonical JSON; other JSON of the same meaning would have another digest and is
                refused.
            limits: what it may hold at most.

        Raises:
            InputRefused: not canonical JSON, a field missing or unknown, beyond a limit, an
                operator that no environment class admits, or a reference to what is not there.
        """
        value = parse_json(data, replace(GRAPH, text_bytes=limits.graph_bytes))
        parts = ("inputs", "tensors", "training", "evaluation")
        fields = Fields("the graph", value, parts, ("tied", "apart"), version=VERSION)
        reader = _Reader(limits, _inputs(fields, limits), _tensors(value["tensors"], limits))
        forms = reader.form(value, "training"), reader.form(value, "evaluation")
        names = _tied(value.get("tied", {}), reader.tensors, limits), _apart(value.get("apart", []), reader.tensors)
        graph = cls(reader.inputs, reader.tensors, *forms, *names)
        if graph.encode() != data:
            raise InputRefused("the graph is not canonical JSON (RFC 8785)", "encode it with Graph.encode")
        return graph

    def encode(self) -> bytes:
        """The graph as canonical JSON."""
        return canonical_json(
            {
                "version": VERSION,
                "inputs": [{"name": i.name, "dtype": i.dtype, "shape": list(i.shape)} for i in self.inputs],
                "tensors": {
                    name: {"kind": t.kind, "dtype": t.dtype, "shape": list(t.shape), "trainable": t.trainable}
                    for name, t in self.tensors.items()
                },
                "training": form_json(self.training),
                "evaluation": form_json(self.evaluation),
                **({"tied": dict(self.tied)} if self.tied else {}),
                **({"apart": list(self.apart)} if self.apart else {}),
            }
        )

    @cached_property
    def state_names(self) -> Mapping[str, str]:
        """The names of the module's state dict, and which tensor each stands for."""
        own = {name: name for name in self.tensors if name not in frozenset(self.apart)}
        return own | dict(self.tied)

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of the canonical JSON: the graph's name."""
        return sha256(self.encode())

    @cached_property
    def parameters(self) -> Mapping[str, TensorSpec]:
        """The tensors of kind parameter, frozen ones too."""
        return {name: spec for name, spec in self.tensors.items() if spec.kind == "parameter"}

    @cached_property
    def trainable(self) -> tuple[str, ...]:
        """The names of the parameters that an optimizer moves."""
        return tuple(name for name, spec in self.parameters.items() if spec.trainable)

    @cached_property
    def buffers(self) -> Mapping[str, TensorSpec]:
        """The tensors of kind buffer."""
        return {name: spec for name, spec in self.tensors.items() if spec.kind == "buffer"}

    @cached_property
    def frozen(self) -> frozenset[str]:
        """The parameters and buffers that no training changes: no optimizer moves them, and the
        training form writes none of them. Every step has them from the initial model."""
        return frozenset(name for name, spec in self.tensors.items() if not spec.trainable) - self.structure.written

    @cached_property
    def operators(self) -> frozenset[str]:
        """The names of all operators of both forms."""
        return frozenset(node.operator for form in (self.training, self.evaluation) for node in form.nodes)

    @cached_property
    def structure(self) -> Structure:
        """What its training form does with parameters and buffers, and whether it may."""
        return follow(self.tensors, self.training)

    def check(self, admission: Admission) -> None:
        """Refuse a graph that an environment class cannot promise to replay, or that would keep
        records in its state.

        Args:
            admission: what the class admits.

        Raises:
            InputRefused: it uses an operator or a dtype outside the class, or its training form
                writes into a parameter, or into a buffer what is no statistic; the message names
                it, the hint says why or what to use.
        """
        for name, spec in self.tensors.items():
            if refused := admission.dtype_refusal(spec.dtype):
                raise InputRefused(f"{refused[0]} (the tensor {name!r})", refused[1])
        for form_name, form in (("training", self.training), ("evaluation", self.evaluation)):
            for index, node in enumerate(form.nodes):
                if refused := admission.refusal(node):
                    raise InputRefused(f"{refused[0]} (node {index} of {form_name})", refused[1])
        if taken := self.structure.refusal:
            operator = self.training.nodes[taken.node].operator
            raise InputRefused(f"{taken.sentence} ({operator}, node {taken.node} of training)", taken.hint)


def _inputs(fields: Fields, limits: Limits) -> tuple[Input, ...]:
    inputs = []
    for value in fields.items("inputs", 1, 16):
        input_fields = Fields("an input", value, ("name", "dtype", "shape"))
        shape = _shape("an input's shape", value["shape"], limits)
        inputs.append(Input(input_fields.text("name", 200), input_fields.choice("dtype", INPUT_DTYPES), shape))
    return tuple(inputs)


def _tensors(value: Any, limits: Limits) -> Mapping[str, TensorSpec]:
    if not isinstance(value, Mapping) or len(value) > limits.tensors:
        raise InputRefused(f"the graph: tensors is an object of at most {limits.tensors} names")
    specs = {name: _tensor(name, spec, limits) for name, spec in value.items()}
    total = sum(byte_count(spec.dtype, spec.shape) for spec in specs.values())
    if total > limits.state_bytes:
        raise InputRefused(f"the graph's tensors have {total} bytes and the limit is {limits.state_bytes}")
    return MappingProxyType(specs)


def _tensor(name: str, value: Any, limits: Limits) -> TensorSpec:
    what = f"the tensor {text('a tensor name', name, 512)!r}"
    fields = Fields(what, value, ("kind", "dtype", "shape", "trainable"))
    kind, dtype = fields.choice("kind", ("parameter", "buffer")), fields.choice("dtype", ITEM_BYTES)
    trainable = fields.flag("trainable")
    if trainable and (kind != "parameter" or dtype not in ("F32", "F64")):
        raise InputRefused(f"{what} is a {kind} of {dtype}, which no optimizer moves")
    return TensorSpec(kind, dtype, _shape(what, value["shape"], limits), trainable)


def _tied(value: Any, tensors: Mapping[str, TensorSpec], limits: Limits) -> Mapping[str, str]:
    """Further names of tensors."""
    if not isinstance(value, Mapping) or len(value) > limits.tensors:
        raise InputRefused(f"the graph: tied is an object of at most {limits.tensors} names")
    for name, of in value.items():
        if text("a tied name", name, 512) in tensors or not isinstance(of, str) or of not in tensors:
            raise InputRefused(f"the graph: {name!r:.80} is tied to {of!r:.80}, and has to be another name of a tensor")
    return MappingProxyType(dict(value))


def _apart(value: Any, tensors: Mapping[str, TensorSpec]) -> tuple[str, ...]:
    """Names of tensors that stand in no state dict, rising."""
    names = [text("a name apart", name, 512) for name in items("the graph: apart", value, 0, len(tensors))]
    if names != sorted(set(names)) or any(name not in tensors for name in names):
        raise InputRefused("the graph: apart lists tensors of its own, rising and each once")
    return tuple(names)


def _shape(what: str, value: Any, limits: Limits) -> tuple[int, ...]:
    return tuple(integer(what, size, 0, limits.size) for size in items(what, value, 0, limits.rank))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the nodes of a form, knowing what they may refer to."""

    limits: Limits
    inputs: tuple[Input, ...]
    tensors: Mapping[str, TensorSpec]

    def form(self, graph: Mapping[str, Any], name: str) -> Form:
        fields = Fields(f"the {name} form", graph[name], ("nodes", "output"))
        values = fields.items("nodes", 0, self.limits.nodes)
        nodes = tuple(self.node(f"node {index} of {name}", value, index) for index, value in enumerate(values))
        _check_brackets(name, nodes)
        output = self.argument(f"the output of {name}", graph[name]["output"], len(nodes), 0)
        if not isinstance(output, TensorRef | InputRef | NodeRef):
            raise InputRefused(f"the output of {name} is no reference to a value")
        return Form(nodes, output)

    def node(self, what: str, value: Any, index: int) -> Node:
        fields = Fields(what, value, ("operator", "arguments"), ("options",))
        operator = fields.text("operator", 100)
        if operator not in OPERATORS:
            raise InputRefused(f"{what} uses the operator {operator!r}, which no class admits", advice(operator))
        what = f"{what} ({operator})"
        arguments = tuple(self.argument(what, item, index, 0) for item in fields.items("arguments", 0, 64))
        options = value.get("options", {})
        if not isinstance(options, Mapping) or len(options) > 64:
            raise InputRefused(f"{what}: options is an object of at most 64 names")
        read = {text(what, key, 40): self.argument(what, options[key], index, 0) for key in options}
        return Node(operator, arguments, MappingProxyType(read))

    def argument(self, what: str, value: Any, index: int, depth: int) -> Argument:
        if isinstance(value, list):
            if depth == 2 or len(value) > self.limits.arguments:
                raise InputRefused(f"{what}: lists nest twice and have at most {self.limits.arguments} items")
            return tuple(self.argument(what, item, index, depth + 1) for item in value)
        if isinstance(value, Mapping):
            return self.tagged(what, value, index)
        if isinstance(value, float):
            raise InputRefused(f'{what}: a float is written {{"float": {value}}}')
        if isinstance(value, str):
            return text(what, value, 200)
        if isinstance(value, int) and not isinstance(value, bool):
            return integer(what, value, -SAFE_INTEGER, SAFE_INTEGER)
        if value is None or isinstance(value, bool):
            return value
        raise InputRefused(f"{what}: an argument is no {type(value).__name__}")

    def tagged(self, what: str, value: Mapping[str, Any], index: int) -> Argument:
        keys = set(value)
        if keys in ({"node"}, {"node", "item"}):
            item = integer(f"{what}: item", value["item"], 0, 4095) if "item" in keys else None
            if index == 0:
                raise InputRefused(f"{what} refers to a node, and there is none before it")
            return NodeRef(integer(f"{what}: node", value["node"], 0, index - 1), item)
        if len(keys) != 1:
            raise InputRefused(f"{what}: an argument of {len(keys)} keys is unknown")
        (tag, of), *_ = value.items()
        match tag:
            case "tensor":
                if not isinstance(of, str) or of not in self.tensors:
                    raise InputRefused(f"{what} refers to the tensor {of!r:.80}, which the graph does not have")
                return TensorRef(of)
            case "input":
                return InputRef(integer(f"{what}: input", of, 0, len(self.inputs) - 1))
            case "float":
                return _float(what, of)
            case "integer":
                return _large_integer(what, of)
            case _:
                return _symbol(what, tag, of)


_SYMBOLS = {"dtype": tuple(ITEM_BYTES), "layout": ("strided",), "memory_format": MEMORY_FORMATS, "device": ("model",)}


def _float(what: str, value: Any) -> float:
    if isinstance(value, str) and value in ODD_FLOATS:
        return ODD_FLOATS[value]
    if type(value) is float or (type(value) is int and abs(value) <= 1 << 1023):
        return float(value)
    raise InputRefused(f"{what}: a float is a number, or one of {', '.join(ODD_FLOATS)}")


def _large_integer(what: str, value: Any) -> int:
    if (
        isinstance(value, str)
        and len(value) <= 20
        and value.removeprefix("-").isascii()
        and value.removeprefix("-").isdigit()
    ):
        number = int(value)
        if SAFE_INTEGER < abs(number) <= MOST_INTEGER and str(number) == value:
            return number
    raise InputRefused(f"{what}: an integer written as text lies beyond 2**53 and within 64 bits")


def _symbol(what: str, tag: str, value: Any) -> Symbol:
    if tag not in _SYMBOLS or not isinstance(value, str) or value not in _SYMBOLS[tag]:
        raise InputRefused(f"{what}: {tag!r:.40} of {value!r:.40} is no argument that a graph may hold")
    return Symbol(tag, value)


def _check_brackets(name: str, nodes: tuple[Node, ...]) -> None:
    """Stretches without gradient open and close in pairs."""
    depth = 0
    for node in nodes:
        depth += {OPEN_GRADIENT: 1, CLOSE_GRADIENT: -1}.get(node.operator, 0)
        if depth < 0:
            break
    if depth:
        raise InputRefused(f"the {name} form does not pair {OPEN_GRADIENT} with {CLOSE_GRADIENT}")
