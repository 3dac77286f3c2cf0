"""Export: from a scientist's `nn.Module` to a graph and its tensors.

After `quiet`. `torch.export` traces the module twice, in training and in evaluation mode, with the batch size left open, into the
operators that eager mode itself would call, in the same order, in place where it works in place. They are written down as they
are: nothing is decomposed, so a program computes, and differentiates, exactly what the module does.

What is refused here is what a graph cannot say: branches and shapes that depend on values, a batch size that is not free, state
outside parameters and buffers, more than one tensor as output. The one error names the line of the module.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from pod.digest import blake3_digest
from pod.errors import InputRefused
from pod.graph import NATIVE, Argument, Form, Graph, Input, InputRef, Node, NodeRef, Symbol, TensorRef, TensorSpec
from pod.graph.operators import CLOSE_GRADIENT, KNOWN, OPEN_GRADIENT, allowed, refusal, refuses_exponent
from pod.model.dry import dry_run
from pod.model.quiet import Heard, Place, noted_place, quiet, raising_place
from pod.model.tensors import DTYPES, dtype_name, tensor_bytes
from pod.state import TensorBytes

MOST_BATCH = 1 << 16
"""The batch size that export leaves open ends here; programs run larger ones all the same."""

_DATA_DEPENDENT = "a branch or a shape depends on a tensor's values"
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


def export(
    module: nn.Module, inputs: Sequence[Input], batch: int = 2, class_name: str | None = None
) -> tuple[Graph, dict[str, TensorBytes]]:
    """Write a module down as a graph and tensors.

    Args:
        module: on the CPU; it is left as it was.
        inputs: its arguments; the batch dimension stands before each shape.
        batch: a batch size to trace with; the graph holds for others.
        class_name: an environment class that must admit it; None for any.

    Returns:
        The graph, and the bytes of all parameters, buffers and constants: copies.

    Raises:
        InputRefused: it cannot be written down; the message names the line.
    """
    tensors = _named_tensors(module)
    modes = [(part, part.training) for part in module.modules()]
    try:
        forms = {mode: _trace(module, inputs, batch, mode, tensors, class_name) for mode in (True, False)}
    finally:
        for part, mode in modes:
            part.training = mode
    specs = {name: _spec(name, tensor) for name, tensor in tensors.items()}
    written = Graph(tuple(inputs), specs, forms[True], forms[False])
    graph = Graph.parse(written.encode())
    for mode in (True, False):
        dry_run(graph, max(2, batch), mode, class_name=class_name or NATIVE)
    return graph, {name: _copied(graph.tensors[name].kind, tensors[name]) for name in graph.tensors}


def _named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, one that has several names by its first."""
    named: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    memory: dict[int, str] = {}
    for name, tensor in named.items():
        if tensor.device.type != "cpu":
            raise InputRefused(f"the tensor {name!r} lies on {tensor.device}", "move the module with .cpu()")
        if not tensor.is_contiguous():
            raise InputRefused(f"the tensor {name!r} is not laid out row by row", "replace it by its .contiguous()")
        if tensor.numel() and (other := memory.setdefault(tensor.untyped_storage().data_ptr(), name)) != name:
            raise InputRefused(
                f"the tensors {name!r} and {other!r} share memory without being one", "clone one of them"
            )
    return named


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    kind = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
    dtype = dtype_name(f"the tensor {name!r}", tensor.dtype)
    trainable = kind == "parameter" and tensor.requires_grad
    if trainable and dtype not in ("F32", "F64"):
        raise InputRefused(
            f"the parameter {name!r} is {dtype}, and training moves F32", "convert the module with .float()"
        )
    return TensorSpec(kind, dtype, tuple(tensor.shape), trainable)


def _copied(kind: str, tensor: Tensor) -> TensorBytes:
    lent = tensor_bytes(kind, tensor.detach())
    return TensorBytes(kind, lent.dtype, lent.shape, memoryview(bytes(lent.data)))


def _trace(
    module: nn.Module,
    inputs: Sequence[Input],
    batch: int,
    training: bool,
    tensors: dict[str, Tensor],
    class_name: str | None,
) -> Form:
    """Trace one mode; constants that the trace finds are added to the tensors."""
    module.train(training)
    if module.training != training:
        raise InputRefused(f"{type(module).__name__}.train({training}) leaves the module in the other mode")
    examples = tuple(_example(one, max(2, batch)) for one in inputs)
    before, after = _plain_attributes(module), dict[str, Any]()
    failure: BaseException | None = None
    with quiet() as heard, _slow_path(), _after_forward(module, lambda: after.update(_plain_attributes(module))):
        try:
            program = _export(module, examples)
        except Exception as error:  # noqa: BLE001 - the module's code is the user's, and may raise anything
            failure = error
    if failure is not None:
        _refuse(failure, heard)
    _refuse_hidden_state(module, heard, before, after)
    return _Writer(program, module, tensors, class_name).form()


def _example(one: Input, batch: int) -> Tensor:
    return torch.zeros((batch, *one.shape), dtype=DTYPES[one.dtype])


def _export(module: nn.Module, examples: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    dimension = torch.export.Dim("batch", min=2, max=max(MOST_BATCH, examples[0].shape[0]))
    shapes = tuple({0: dimension} for _ in examples)
    return torch.export.export(module, examples, dynamic_shapes=shapes, strict=False)


@contextlib.contextmanager
def _slow_path() -> Iterator[None]:
    """Keep transformer layers off their inference kernels, which training never runs."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _refuse(error: BaseException, heard: Heard) -> NoReturn:
    """Say in one sentence why torch could not trace the module."""
    told = (str(error).strip().splitlines() or ["no message"])[0]
    if "Constraints violated" in told:
        place = next((place for what, place in reversed(heard.guards) if what.startswith("Eq(")), None)
        place = place or (heard.guards[0][1] if heard.guards else None)
        raise InputRefused(
            _at(place, "the computation holds only for some batch sizes, and a graph must hold for all"),
            "write x.shape[0] or -1 in place of a number, and do not branch on it",
        ) from None
    place = raising_place(error.__traceback__)
    if "data-dependent" in told or "Dynamo" in type(error).__name__ or "DataDependent" in type(error).__name__:
        raise InputRefused(_at(place, _DATA_DEPENDENT), "compute both cases and choose with torch.where") from None
    raise InputRefused(_at(place, f"the module cannot be traced: {type(error).__name__}: {told}")) from None


def _at(place: Place | None, sentence: str) -> str:
    return f"{place}: {sentence}" if place else sentence


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    """Numbers and texts that a module keeps outside its buffers."""
    return {
        f"{name}.{key}".lstrip("."): value
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, bool | int | float | str | None) and key != "training"
    }


@contextlib.contextmanager
def _after_forward(module: nn.Module, look: Callable[[], None]) -> Iterator[None]:
    """Look at a module right after its forward: torch puts its attributes back when the trace is done."""
    hook = module.register_forward_hook(lambda *_: look())
    try:
        yield
    finally:
        hook.remove()


def _refuse_hidden_state(module: nn.Module, heard: Heard, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """What forward keeps outside buffers would outlive a step in eager mode, and not in a graph."""
    kept = [name.removeprefix("self.") for name in heard.assigned if "._flat_weights[" not in name]
    kept += [name for name in after if name not in before or repr(before[name]) != repr(after[name])]
    if kept:
        raise InputRefused(
            f"forward assigns the attribute {kept[0]!r} of {type(module).__name__}: what lives longer than a step is a buffer",
            "keep it with register_buffer and change it in place, or do not keep it",
        )


class _Writer:
    """Writes a traced program down, node by node."""

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        module: nn.Module,
        tensors: dict[str, Tensor],
        class_name: str | None,
    ) -> None:
        self.program, self.module, self.tensors = program, module, tensors
        self.admitted = KNOWN if class_name is None else allowed(class_name)
        self.class_name = class_name
        self.nodes: list[Node] = []
        self.values: dict[fx.Node, Argument] = {}

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
        """Give each input of the traced program its meaning: a tensor by name, or an argument by place."""
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
                raise InputRefused(f"the module uses {spec.target}, a {spec.kind.name}, which a graph cannot hold")

    @staticmethod
    def _all(named: Callable[..., Iterator[tuple[str, Tensor]]]) -> Iterator[tuple[str, Tensor]]:
        return named(remove_duplicate=False)

    def constant(self, target: str) -> str:
        """Keep a tensor that the module holds outside its buffers as a buffer: by its own name, or by its content."""
        value = self.program.constants[target]
        if not isinstance(value, Tensor) or value.device.type != "cpu":
            raise InputRefused(f"the constant {target} is a {type(value).__name__} that a graph cannot hold")
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
        for node in traced.graph.nodes:
            if node.op == "call_function":
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
        elif free_unbacked_symbols(node.meta.get("val")):
            raise InputRefused(_at(noted_place(node.stack_trace), _DATA_DEPENDENT), "choose with torch.where")
        else:
            self.values[node] = self.append(node, self.name(node), node.args, node.kwargs)

    def name(self, node: fx.Node) -> str:
        """The operator's name, admitted."""
        target = node.target
        if target is torch.ops.aten.sym_size.int:
            found = "int.size"
        elif target in _SIZES:
            real = isinstance(node.meta.get("val"), float | torch.SymFloat)
            found = f"{'real' if real else 'int'}.{_SIZES[target]}"
        elif isinstance(target, torch._ops.OpOverload):
            found = str(target)
        else:
            found = getattr(target, "__name__", str(target))
        if found not in self.admitted:
            self.refuse(node, found)
        return found

    def append(self, node: fx.Node, name: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> NodeRef:
        """Add a node; its arguments are written as a graph holds them."""
        if self.class_name and len(arguments) > 1 and refuses_exponent(self.class_name, name, arguments[1]):
            self.refuse(node, name)
        given = tuple(self.argument(node, value) for value in arguments)
        named = {key: self.argument(node, value) for key, value in options.items() if value is not None}
        self.nodes.append(Node(name, given, named))
        return NodeRef(len(self.nodes) - 1)

    def bracket(self, traced: fx.GraphModule, node: fx.Node) -> None:
        """Write down a stretch that records gradients or does not, in place."""
        recording, inner, *arguments = node.args
        stretch = traced.get_submodule(str(getattr(inner, "target", "")))
        if not isinstance(stretch, fx.GraphModule):
            self.refuse(node, "wrap_with_set_grad_enabled")
        holders = [one for one in stretch.graph.nodes if one.op == "placeholder"]
        for holder, value in zip(holders, arguments, strict=True):
            self.values[holder] = self.argument(node, value)
        self.nodes.append(Node(OPEN_GRADIENT, (bool(recording),), {}))
        self.values[node] = tuple(self.walk(stretch))
        self.nodes.append(Node(CLOSE_GRADIENT, (), {}))

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
        raise InputRefused(_at(noted_place(node.stack_trace), f"a graph cannot hold the argument {value!r:.80}"))

    def refuse(self, node: fx.Node, name: str) -> NoReturn:
        """Refuse an operator by name, with the line that uses it."""
        who = "no class admits" if self.class_name is None else f"the class {self.class_name} does not admit"
        if name == "aten.item.default":
            raise InputRefused(_at(noted_place(node.stack_trace), _DATA_DEPENDENT), refusal(name))
        raise InputRefused(
            _at(noted_place(node.stack_trace), f"{who} the operator {name}"), refusal(name, self.class_name)
        )


def _attribute(module: nn.Module, path: str) -> Tensor | None:
    """A tensor that a module holds under a dotted path."""
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, Tensor) else None
