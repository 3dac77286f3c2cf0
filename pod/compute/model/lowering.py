"""Writing a traced program down as a form of a graph, node by node.

`export` traces, this writes. Nothing is decomposed or reordered: the nodes are the operators that
eager mode calls, in its order; one that no class admits and that torch makes of others is written
as those (`composites`). Stretches under `torch.no_grad()` are laid open between brackets; constants
that the module holds outside its buffers become buffers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from fitchain.pod.compute.model.composites import Parts, is_composite, parts, without_out, without_writing
from fitchain.pod.compute.model.rewrites import EMPTY, read_nodes, rewritten
from fitchain.pod.compute.model.tensors import dtype_name, tensor_bytes
from fitchain.pod.compute.model.torch_output import Location, noted_location, quiet
from fitchain.pod.values.digest import blake3_digest
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Argument, Form, InputRef, Node, NodeRef, Symbol, TensorRef
from fitchain.pod.values.graph.admission import Admission
from fitchain.pod.values.graph.operators import COMPLEX, OPERATORS, advice
from fitchain.pod.values.graph.operators.shapes import CLOSE_GRADIENT, OPEN_GRADIENT

_is_wrapped: Callable[[Tensor], bool] = vars(torch._C._functorch)["is_functorch_wrapped_tensor"]
COPY = "aten.copy_.default"
DATA_DEPENDENT = "a branch or a shape depends on a tensor's values"
PICKED = "what a mask picks has as many numbers as the mask is true, and a graph's shapes follow from sizes alone"
PICKED_HINT = (
    "keep the shape: choose with torch.where, or multiply by the mask and divide by mask.sum(); of experts let each"
    " compute all rows, times its share of each, which is 0 where it was not chosen"
)
_PICKING = frozenset(
    {
        torch.ops.aten.index.Tensor,
        torch.ops.aten.index_put.default,
        torch.ops.aten.index_put_.default,
        torch.ops.aten.masked_select.default,
        torch.ops.aten.nonzero.default,
        torch.ops.aten.nonzero_numpy.default,
        torch.ops.aten.where.default,
    }
)
_SIZES = {
    operator.add: "add",
    operator.sub: "sub",
    operator.mul: "mul",
    operator.floordiv: "floordiv",
    operator.mod: "mod",
    operator.neg: "neg",
    operator.truediv: "div",
    torch.sym_max: "max",
    torch.sym_min: "min",
    torch.sym_float: "of",
}
MOST_POWER = 8
"""To which a size is raised by products."""
OF_SIZES = (
    "sizes go by + - * / // %, min, max and a whole power; compute the rest in tensors:"
    " torch.tensor(x.shape[0]).float().sqrt()"
)
_CHECKS = frozenset(
    {
        *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, operator.and_, torch.sym_not),
        torch.ops.aten._assert_scalar.default,
        torch.ops.aten._assert_tensor_metadata.default,
        torch.ops.aten.sym_constrain_range.default,
        torch.ops.aten.sym_constrain_range_for_size.default,
    }
)
"""What torch puts beside a computation to check sizes; a dry run checks them all."""
_MEMORY_FORMATS = {
    torch.contiguous_format: "contiguous",
    torch.preserve_format: "preserve",
    torch.channels_last: "channels_last",
    torch.channels_last_3d: "channels_last_3d",
}


class Writer:
    """Writes a traced program down, node by node; `empty` has the lines that leave memory as it is."""

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        module: nn.Module,
        tensors: dict[str, Tensor],
        admits: Admission,
    ) -> None:
        self.program, self.module, self.tensors, self.admits = program, module, tensors, admits
        self.nodes: list[Node] = []
        self.stacks: list[str | None] = []
        self.empty: list[Location | None] = []
        self.values: dict[fx.Node, Argument] = {}
        self.within: list[str] = []

    def form(self) -> Form:
        """The whole form."""
        self.placeholders()
        output = self.walk(self.program.graph_module)
        returned = self.program.call_spec.out_spec
        if len(output) != 1 or returned is None or not returned.is_leaf():
            kind = "nothing" if returned is None or returned.type is None else returned.type.__name__
            raise InputRefused(f"the module returns {kind} of {len(output)} values, and a single tensor is needed")
        if not isinstance(output[0], TensorRef | InputRef | NodeRef):
            raise InputRefused(f"the module returns {output[0]!r}, and a single tensor is needed")
        return Form(tuple(self.nodes), output[0])

    def placeholders(self) -> None:
        """Give each input of the traced program its meaning: a tensor by name, or an argument by
        place."""
        canonical = {id(tensor): name for name, tensor in self.tensors.items()}
        every = {**dict(self._all(self.module.named_parameters)), **dict(self._all(self.module.named_buffers))}
        arguments = 0
        nodes = {node.name: node for node in self.program.graph.nodes if node.op == "placeholder"}
        for spec in self.program.graph_signature.input_specs:
            node = nodes[spec.arg.name]
            if spec.kind.name == "USER_INPUT":
                self.values[node] = InputRef(arguments)
                arguments += 1
            elif spec.kind.name in ("PARAMETER", "BUFFER"):
                self.values[node] = TensorRef(canonical[id(every[str(spec.target)])])
            elif spec.kind.name == "CONSTANT_TENSOR":
                self.values[node] = TensorRef(self.constant(str(spec.target)))
            else:
                raise InputRefused(
                    f"the module uses {spec.target}, a {spec.kind.name}, which a graph cannot hold",
                    "in place of a torch.Generator of its own draw by torch's, which is seeded before each step",
                )

    @staticmethod
    def _all(named: Callable[..., Iterator[tuple[str, Tensor]]]) -> Iterator[tuple[str, Tensor]]:
        return named(remove_duplicate=False)

    def constant(self, target: str) -> str:
        """Keep a tensor that the module holds outside its buffers as a buffer: by its own name, or
        by its content."""
        value = self.program.constants[target]
        # A strict trace may leave a tensor without numbers behind.
        # And one that torch.func made may be its wrapper, which has none of its own.
        if not isinstance(value, Tensor):
            raise InputRefused(f"the constant {target} is a {type(value).__name__} that a graph cannot hold")
        if isinstance(value, FakeTensor) or value.device.type != "cpu" or _is_wrapped(value):
            raise InputRefused(
                f"the constant {target} of shape {list(value.shape)} has no numbers that a graph could hold",
                "make it in __init__, on the CPU, and keep it with register_buffer",
            )
        if value.layout is not torch.strided or value.is_quantized:
            kind = "quantized" if value.is_quantized else str(value.layout)
            raise InputRefused(f"the constant {target} is {kind}, and a graph holds dense numbers", "keep a dense one")
        if value.is_complex():
            raise InputRefused(f"the constant {target} is complex ({value.dtype}), which a graph cannot hold", COMPLEX)
        value = value.detach().contiguous()
        lent = tensor_bytes("buffer", value)
        content = f"{lent.dtype}{list(lent.shape)}".encode() + bytes(lent.data)
        name = (
            target
            if _attribute(self.module, target) is not None
            else f"constant.{blake3_digest(content).value.hex()[:16]}"
        )
        kept = self.tensors.setdefault(name, value)
        if kept.dtype != value.dtype or kept.shape != value.shape or not torch.equal(kept, value):
            raise InputRefused(f"the constant {name!r} has the name of another tensor", "rename one of them")
        return name

    def walk(self, traced: fx.GraphModule) -> list[Argument]:
        """Write down the nodes of a traced graph; returns its outputs."""
        read = read_nodes(traced)
        for node in traced.graph.nodes:
            if node.op == "call_function" and node in read:
                self.call(traced, node)
            elif node.op == "output":
                outputs = node.args[0]
                return [self.argument(node, value) for value in outputs] if isinstance(outputs, tuple | list) else []
        return []

    def call(self, traced: fx.GraphModule, node: fx.Node) -> None:
        """Write down one node."""
        target = node.target
        if target in _CHECKS:
            return
        if target is operator.getitem:
            whole, item = node.args
            value = self.values[whole] if isinstance(whole, fx.Node) else whole
            if isinstance(value, tuple) and isinstance(item, int):  # the outputs of a bracketed stretch
                self.values[node] = value[item]
            elif isinstance(value, NodeRef) and value.item is None and isinstance(item, int):
                self.values[node] = NodeRef(value.index, item)
            else:
                self.refuse(node, "operator.getitem")
        elif target is torch.ops.higher_order.wrap_with_set_grad_enabled:
            self.bracket(traced, node)
        elif target is torch.ops.higher_order.wrap_with_autocast:
            self.without_autocast(traced, node)
        elif _picks(node):
            raise InputRefused(at(noted_location(node.stack_trace), PICKED), PICKED_HINT)
        elif free_unbacked_symbols(node.meta.get("val")):
            raise InputRefused(at(noted_location(node.stack_trace), DATA_DEPENDENT), "choose with torch.where")
        else:
            if target in EMPTY:
                self.empty.append(noted_location(node.stack_trace))
            target, arguments, options = rewritten(target, node.args, node.kwargs)
            if (made := without_out(target, options)) is not None:
                self.into(node, made, arguments, options)
            elif (made := without_writing(target)) is not None and self.is_admitted_as(target, made):
                self.in_place(node, made, arguments, options)
            elif target is operator.pow and _is_whole_power(node):
                self.power(node)
            elif self.is_taken_apart(target) and (of := parts(node, self.admits.has)) is not None:
                self.made_of(node, of)
            else:
                self.values[node] = self.append(node, self.name(node, target), arguments, options)

    def is_admitted_as(self, target: Any, made: Any) -> bool:
        """Whether what changes a tensor is admitted only as what makes another."""
        return not self.admits.has(str(target)) and self.admits.has(str(made))

    def is_taken_apart(self, target: Any) -> bool:
        """Whether an operator is written as what torch makes it of."""
        return is_composite(target) and str(target) not in OPERATORS

    def made_of(self, node: fx.Node, of: Parts) -> None:
        """Write down what an operator is made of, in its place."""
        self.within.append(str(node.target))
        holders = [inner for inner in of.traced.graph.nodes if inner.op == "placeholder"]
        for holder, value in zip(holders, of.taken, strict=True):
            self.values[holder] = self.argument(node, value)
        made = self.walk(of.traced)
        self.values[node] = made[0] if of.is_single else tuple(made)
        self.within.pop()

    def into(self, node: fx.Node, target: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> None:
        """Write down an operator that writes into a tensor of the shape of what it makes: what it
        makes, and a copy."""
        out = options["out"]
        if out.meta["val"].shape != node.meta["val"].shape:
            raise InputRefused(
                at(noted_location(node.stack_trace), f"{node.target} changes the shape of the tensor it writes into"),
                "give it one of the shape of its result, or leave out= out",
            )
        others = {key: value for key, value in options.items() if key != "out"}
        made = self.append(node, self.name(node, target), arguments, others)
        self.add(Node(COPY, (self.argument(node, out), made), {}), node.stack_trace)
        self.values[node] = NodeRef(len(self.nodes) - 1)

    def in_place(self, node: fx.Node, target: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> None:
        """Write down an operator that changes its first argument as one that makes another tensor.
        Where something else reads the first, or it has another dtype, that is then copied into it;
        its gradient needs what was there before."""
        changed, *others = arguments
        name = self.name(node, target)
        if _is_read_once(changed) and _dtype(target, arguments, options) is changed.meta["val"].dtype:
            self.values[node] = self.append(node, name, arguments, options)
            return
        self.add(Node("aten.clone.default", (self.argument(node, changed),), {}), node.stack_trace)
        before = NodeRef(len(self.nodes) - 1)
        named = {key: self.argument(node, value) for key, value in options.items() if value is not None}
        self.add(Node(name, (before, *(self.argument(node, value) for value in others)), named), node.stack_trace)
        made = NodeRef(len(self.nodes) - 1)
        self.add(Node(COPY, (self.argument(node, changed), made), {}), node.stack_trace)
        self.values[node] = NodeRef(len(self.nodes) - 1)

    def power(self, node: fx.Node) -> None:
        """Write down a size by a whole power as products."""
        base, power = node.args
        size = made = self.argument(node, base)
        for _ in range(int(power) - 1):  # type: ignore[arg-type]
            self.add(Node("int.mul", (made, size), {}), node.stack_trace)
            made = NodeRef(len(self.nodes) - 1)
        self.values[node] = made

    def name(self, node: fx.Node, target: Any) -> str:
        """The operator's name, admitted."""
        if target is torch.ops.aten.sym_size.int:
            name = "int.size"
        elif target is torch.ops.aten.sym_numel.default:
            name = "int.numel"
        elif target in _SIZES:
            real = isinstance(node.meta.get("val"), float | torch.SymFloat)
            name = f"{'real' if real else 'int'}.{_SIZES[target]}"
        elif isinstance(target, torch._ops.OpOverload):
            name = str(target)
        else:
            name = getattr(target, "__name__", str(target))
        if not self.admits.has(name):
            self.refuse(node, name)
        return name

    def append(self, node: fx.Node, name: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> NodeRef:
        """Add a node; its arguments are written as a graph holds them."""
        positional = tuple(self.argument(node, value) for value in arguments)
        named = {key: self.argument(node, value) for key, value in options.items() if value is not None}
        written = Node(name, positional, named)
        if refused := self.admits.refusal(written):
            raise InputRefused(at(noted_location(node.stack_trace), refused[0]), refused[1])
        self.add(written, node.stack_trace)
        return NodeRef(len(self.nodes) - 1)

    def add(self, written: Node, stack: str | None) -> None:
        """Keep a node, and the stack of the module's lines that led to it."""
        self.nodes.append(written)
        self.stacks.append(stack)

    def location(self, index: int) -> Location | None:
        """The line of the module to which a node of the form belongs."""
        return noted_location(self.stacks[index])

    def bracket(self, traced: fx.GraphModule, node: fx.Node) -> None:
        """Write down a stretch that records gradients or does not, in place."""
        recording, inner, *arguments = node.args
        self.add(Node(OPEN_GRADIENT, (bool(recording),), {}), None)
        self.values[node] = self.stretch(traced, node, inner, arguments)
        self.add(Node(CLOSE_GRADIENT, (), {}), None)

    def without_autocast(self, traced: fx.GraphModule, node: fx.Node) -> None:
        """Write down a stretch in which torch is told to convert nothing: it is as if nothing had
        been said."""
        _, _, enabled, _, inner, *arguments = node.args
        if enabled:
            raise InputRefused(
                at(noted_location(node.stack_trace), "autocast computes here in half precision"),
                "leave torch.autocast out, or give it enabled=False",
            )
        self.values[node] = self.stretch(traced, node, inner, arguments)

    def stretch(self, traced: fx.GraphModule, node: fx.Node, inner: Any, arguments: Sequence[Any]) -> Argument:
        """Write down the nodes of a stretch; returns its outputs."""
        body = traced.get_submodule(str(getattr(inner, "target", "")))
        if not isinstance(body, fx.GraphModule):
            self.refuse(node, str(node.target))
        holders = [inner_node for inner_node in body.graph.nodes if inner_node.op == "placeholder"]
        for holder, value in zip(holders, arguments, strict=True):
            self.values[holder] = self.argument(node, value)
        return tuple(self.walk(body))

    def argument(self, node: fx.Node, value: Any) -> Argument:
        """What a graph writes for an argument of a traced node."""
        match value:
            case fx.Node():
                return self.values[value] if value in self.values else self.refuse(value, str(value.target))
            case list() | tuple():
                return tuple(self.argument(node, item) for item in value)
            case torch.dtype():
                return Symbol("dtype", dtype_name("a value", value))
            case torch.layout() if value is torch.strided:
                return Symbol("layout", "strided")
            case torch.memory_format():
                return Symbol("memory_format", _MEMORY_FORMATS[value])
            case torch.device():
                return Symbol("device", "model")
            case None | bool() | int() | float() | str():
                return value
        sentence = f"a graph cannot hold the argument {value!r:.80}"
        hint = COMPLEX if isinstance(value, complex) else ""
        raise InputRefused(at(noted_location(node.stack_trace), sentence), hint)

    def refuse(self, node: fx.Node, name: str) -> NoReturn:
        """Refuse an operator by name, with the line that uses it."""
        sentence, hint = self.admits.operator_refusal(name) or (f"{self.admits.who} the operator {name}", "")
        if name == "aten.item.default":
            sentence = DATA_DEPENDENT
        elif isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool):
            sentence, hint = f"a graph says nothing like {name} of a size", OF_SIZES
        elif self.within:
            whole = self.within[0]
            sentence, hint = f"{self.admits.who} the operator {whole}, which torch makes of {name}", advice(whole, name)
        raise InputRefused(at(noted_location(node.stack_trace), sentence), hint)


def _is_whole_power(node: fx.Node) -> bool:
    """Whether a node raises a whole number to a small power of 1 and more."""
    power = node.args[1]
    return isinstance(node.meta.get("val"), torch.SymInt) and isinstance(power, int) and 1 <= power <= MOST_POWER


def _picks(node: fx.Node) -> bool:
    """Whether a node takes numbers out of a tensor by a mask."""
    if node.target not in _PICKING:
        return False
    indices = node.args[1] if "index" in str(node.target) else None
    masks = [each for each in indices if isinstance(each, fx.Node)] if isinstance(indices, list | tuple) else []
    return not masks or any(each.meta["val"].dtype in (torch.bool, torch.uint8) for each in masks)


def _is_read_once(node: fx.Node) -> bool:
    """Whether a tensor has memory of its own, and a single node reads it."""
    record = OPERATORS.get(str(node.target)) if node.op == "call_function" else None
    return record is not None and not record.aliases and not record.writes and len(node.users) == 1


def _dtype(target: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> torch.dtype:
    """The dtype of what an operator makes of the nodes that it takes."""
    values = fx.node.map_arg((tuple(arguments), dict(options)), lambda node: node.meta["val"])
    with quiet():
        made: Tensor = target(*values[0], **values[1])
    return made.dtype


def _attribute(module: nn.Module, path: str) -> Tensor | None:
    """A tensor that a module holds under a dotted path."""
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part, None)
    return value if isinstance(value, Tensor) else None


def at(location: Location | None, sentence: str) -> str:
    """A sentence about a line, or about none."""
    return f"{location}: {sentence}" if location else sentence
