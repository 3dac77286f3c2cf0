"""ONNX: a graph's evaluation form and its tensors as a file for other runtimes.

Only the graph is run, by torch's own operators; nobody's module is. torch's exporter translates the
operators, and onnxruntime then computes the same batches as the graph: ONNX says what is to be
computed, and not in which order a sum is taken, so the two are close, and seldom equal to the bit.
The libraries are of the extra `onnx`.

Source: https://onnx.ai/onnx/intro/concepts.html; https://docs.pytorch.org/docs/stable/onnx.html
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fitchain.pod.compute.environment.classes import NATIVE
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.tensors import new_tensor
from fitchain.pod.compute.model.torch_output import quiet
from fitchain.pod.compute.operators.arguments import DTYPES, symbol
from fitchain.pod.compute.operators.kernels import overload
from fitchain.pod.values.errors import HostUnusable, InputRefused, OperatorFailed
from fitchain.pod.values.graph import Argument, Graph, Input, InputRef, Node, NodeRef, Symbol, TensorRef
from fitchain.pod.values.graph.operators.shapes import CLOSE_GRADIENT, OPEN_GRADIENT
from fitchain.pod.values.state import Tensors

BATCHES = (1, 5)
"""Sizes of the batches that are compared; the exporter traces with another."""
TOLERANCE = 1e-4
"""How far an output may be from the graph's, as a share of the largest one of its batch."""
MOST_INLINE_BYTES = 1 << 30
"""Larger weights lie beside the file, in one of their own: no protobuf message passes 2 GiB."""
OTHER_WAY = "use the model by fitchain.load"
OUTPUT, BATCH, WEIGHTS = "output", "batch", ".data"
_ROWS = tuple(1 << power for power in range(16, 0, -1))
_TRACED = 3
_UNKNOWN = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)', overload='([^']+)'\)>")


@dataclass(frozen=True)
class OnnxCheck:
    """How an ONNX file was compared with its graph.

    Args:
        batches: how many records each batch had, drawn at random.
        difference: the largest between two outputs, as a share of the largest output of its batch.
        runtime: the library that computed the file, with its release.
        files: what was written: the file and, where they are large, its weights.
    """

    batches: tuple[int, ...]
    difference: float
    runtime: str
    files: tuple[Path, ...]


def write_onnx(
    graph: Graph,
    tensors: Tensors,
    path: Path,
    metadata: Mapping[str, str],
    most_inline_bytes: int = MOST_INLINE_BYTES,
) -> OnnxCheck:
    """Write a model as ONNX and compare it with its graph.

    Args:
        graph: whose evaluation form is written; the size of a batch stays open.
        tensors: its parameters and buffers; the file's initializers have their names, as far as the
            exporter keeps them.
        path: of the file, which is overwritten.
        metadata: texts that the file carries (`metadata_props`).
        most_inline_bytes: of weights in the file itself.

    Raises:
        HostUnusable: a library of the extra `onnx` is not here.
        InputRefused: an operator has no translation, evaluation draws random numbers, or
            onnxruntime cannot compute the file, or computes something else.
    """
    onnx, ir, runtime = onnx_libraries()
    program = Program(graph, tensors, NATIVE)
    batches = [_batch(program, size, seed) for seed, size in enumerate(BATCHES)]  # bounded, before anything is traced
    model = _translated(graph, tensors)
    model.metadata_props.update(metadata)
    large = sum(tensor.data.nbytes for tensor in tensors.values()) > most_inline_bytes
    beside = path.with_name(path.name + WEIGHTS)
    ir.save(model, path, external_data=beside.name if large else None)
    onnx.checker.check_model(path, full_check=True)
    difference = _largest_difference(runtime, path, batches)
    return OnnxCheck(BATCHES, difference, _name_of(runtime), (path, beside) if large else (path,))


def onnx_libraries() -> tuple[Any, Any, Any]:
    """What checks a file, what writes it, and what runs it; beside them torch's exporter needs
    onnxscript.

    Raises:
        HostUnusable: one of them is not here.
    """
    try:
        import onnx
        import onnx_ir
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter does
    except ImportError as error:
        raise HostUnusable(
            f"ONNX files are written by {error.name}, which is not installed",
            "install the extra `onnx` (in a checkout: pip install -e '.[onnx]')",
        ) from None
    return onnx, onnx_ir, onnxruntime


class _Evaluation(nn.Module):
    """A graph's evaluation form, call by call, as torch's exporter reads it."""

    def __init__(self, graph: Graph, tensors: Tensors) -> None:
        super().__init__()
        self.form = graph.evaluation
        self.names = {name: f"tensor_{number}" for number, name in enumerate(graph.tensors)}
        for name, own in self.names.items():
            self.register_buffer(own, new_tensor(tensors[name]))

    def forward(self, *inputs: Tensor) -> Tensor:
        values: list[Any] = []
        for node in self.form.nodes:
            values.append(self._call(node, inputs, values))
        output: Tensor = self._value(self.form.output, inputs, values)
        return output

    def _call(self, node: Node, inputs: Sequence[Tensor], values: list[Any]) -> Any:
        if node.operator in (OPEN_GRADIENT, CLOSE_GRADIENT):
            return None
        arguments = [self._value(each, inputs, values) for each in node.arguments]
        options = {key: self._value(each, inputs, values) for key, each in node.options.items()}
        return (_NUMBERS.get(node.operator) or overload(node.operator))(*arguments, **options)

    def _value(self, argument: Argument, inputs: Sequence[Tensor], values: list[Any]) -> Any:
        match argument:
            case tuple():
                return [self._value(each, inputs, values) for each in argument]
            case TensorRef(name):
                return getattr(self, self.names[name])
            case InputRef(index):
                return inputs[index]
            case NodeRef(index, item):
                return values[index] if item is None else values[index][item]
            case Symbol():
                return symbol(argument, torch.device("cpu"))
        return argument


_NUMBERS: Mapping[str, Callable[..., Any]] = {
    "int.size": lambda tensor, dimension: tensor.shape[dimension],
    "int.numel": Tensor.numel,
    "int.add": operator.add,
    "int.sub": operator.sub,
    "int.mul": operator.mul,
    "int.floordiv": operator.floordiv,
    "int.mod": operator.mod,
    "int.neg": operator.neg,
    "int.max": torch.sym_max,
    "int.min": torch.sym_min,
    "real.of": torch.sym_float,
    "real.add": operator.add,
    "real.sub": operator.sub,
    "real.mul": operator.mul,
    "real.div": operator.truediv,
    "real.neg": operator.neg,
}
"""Arithmetic on sizes, also where one is a symbol of the trace."""


def _translated(graph: Graph, tensors: Tensors) -> Any:
    """The graph in ONNX' own operators (an `onnx_ir.Model`), without what the exporter notes of
    this host: stacks and paths of files."""
    module = _Evaluation(graph, tensors).eval()
    examples = tuple(torch.zeros((_TRACED, *each.shape), dtype=DTYPES[each.dtype]) for each in graph.inputs)
    shapes = (tuple({0: torch.export.Dim.DYNAMIC} for _ in examples),)
    names = [each.name for each in graph.inputs]
    failure: Exception | None = None
    with quiet(), torch.no_grad():
        try:
            traced = torch.export.export(module, examples, dynamic_shapes=shapes, strict=False)
            written: Any = torch.onnx.export(
                traced, (), input_names=names, output_names=[OUTPUT], dynamo=True, verbose=False
            )
        except Exception as error:  # noqa: BLE001 - torch's exporter raises of many kinds
            failure = error
    if failure is not None:
        raise _refusal(failure, graph)
    model: Any = written.model
    _name_tensors(model, {own: name for name, own in module.names.items()})
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.shape[0] = BATCH  # the exporter's own name is that of a symbol: s31
        value.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    return model


def _name_tensors(model: Any, names: Mapping[str, str]) -> None:
    """Give initializers the names that the tensors have in the delivered model; one whose name
    stands for another value keeps the exporter's."""
    taken = {value.name for node in model.graph.all_nodes() for value in node.outputs}
    taken |= {value.name for value in model.graph.inputs}
    for own, name in names.items():
        if own in model.graph.initializers and name not in taken:
            model.graph.initializers[own].name = name


def _refusal(error: Exception, graph: Graph) -> InputRefused:
    """Why the exporter could not write a graph, in a sentence; the operator's name where it says
    one."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    if unknown := next((match for each in chain if (match := _UNKNOWN.search(str(each)))), None):
        name = f"{unknown[1]}.{unknown[2]}"
        return InputRefused(
            f"the operator {name} has no translation into ONNX (torch {torch.__version__})",
            f"{OTHER_WAY}, or train one without this operator",
        )
    last = chain[-1]
    line = next((line.strip() for line in str(last).splitlines() if line.strip()), "no message")
    return InputRefused(
        f"the graph of {len(graph.evaluation.nodes)} calls cannot be written as ONNX: {type(last).__name__}: {line}",
        OTHER_WAY,
    )


def _batch(program: Program, size: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """Random records, and what the graph computes of them; whole numbers as large as its lookups
    take.

    Raises:
        InputRefused: the graph cannot compute a batch of that size, or draws random numbers.
    """
    failure: InputRefused | None = None
    for rows in (*_ROWS, 1):
        inputs, before = _records(program.graph.inputs, size, rows, seed), torch.get_rng_state()
        try:
            output = program(*inputs, training=False)
        except OperatorFailed as error:
            failure = error
            continue
        if not torch.equal(torch.get_rng_state(), before):
            raise InputRefused(
                "the model draws random numbers when it is evaluated, and no other runtime draws the same",
                OTHER_WAY,
            )
        return inputs, output
    assert failure is not None
    raise failure


def _records(inputs: Sequence[Input], size: int, rows: int, seed: int) -> list[Tensor]:
    """Whole numbers below `rows`; others normal, or between 0 and 1 where a module may look up rows
    by any."""
    numbers = torch.Generator().manual_seed(seed)
    records = []
    for each in inputs:
        shape, dtype = (size, *each.shape), DTYPES[each.dtype]
        if not dtype.is_floating_point:
            records.append(torch.randint(0, rows, shape, generator=numbers, dtype=dtype))
        elif rows == 1:
            records.append(torch.rand(shape, generator=numbers, dtype=dtype))
        else:
            records.append(torch.randn(shape, generator=numbers, dtype=dtype))
    return records


def _largest_difference(runtime: Any, path: Path, batches: Sequence[tuple[list[Tensor], Tensor]]) -> float:
    """Compute batches by onnxruntime; the largest difference from what the graph computed.

    Raises:
        InputRefused: it cannot compute the file, or an output differs by more than `TOLERANCE`.
    """
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    outputs = []
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for inputs, _ in batches:
            records = {each.name: tensor.numpy() for each, tensor in zip(session.get_inputs(), inputs, strict=True)}
            outputs.append(session.run(None, records)[0])
    except Exception as error:  # noqa: BLE001 - its errors have no class in common
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputRefused(f"{_name_of(runtime)} cannot compute the file: {line:.300}", OTHER_WAY) from None
    name = _name_of(runtime)
    pairs = zip(outputs, batches, strict=True)
    return max(require_close(output, wanted.numpy(), name) for output, (_, wanted) in pairs)


def _name_of(runtime: Any) -> str:
    return f"onnxruntime {runtime.__version__}"


def require_close(output: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any], runtime: str) -> float:
    """Compare outputs with the graph's.

    Args:
        output, wanted: another runtime's, and the graph's, of the same records.
        runtime: whose they are, for the error.

    Returns:
        the largest difference, as a share of the largest output.

    Raises:
        InputRefused: too far, or of another shape.
    """
    shapes = f"{list(output.shape)} and the graph {list(wanted.shape)}"
    if output.shape != wanted.shape or output.dtype != wanted.dtype:
        raise InputRefused(f"{runtime} computes outputs of {output.dtype}{shapes}")
    finite = np.isfinite(wanted)
    if not finite.any():
        raise InputRefused("the graph computes no finite number of random records, so nothing is compared", OTHER_WAY)
    same = np.array_equal(output[~finite], wanted[~finite], equal_nan=True) and np.isfinite(output[finite]).all()
    far = np.abs(output.astype(np.float64) - wanted.astype(np.float64), where=finite, out=np.zeros(wanted.shape))
    most = float(np.abs(wanted[finite]).max())
    share = float(far.max(initial=0.0)) / (most or 1.0)
    if not same or share > TOLERANCE:
        where = [int(index) for index in np.unravel_index(int(far.argmax()), far.shape)]
        raise InputRefused(
            f"{runtime} computes {output[tuple(where)]!r} where the graph computes {wanted[tuple(where)]!r}"
            f" (at {where}), and {TOLERANCE:g} of the largest output is admitted between them",
            f"{OTHER_WAY}; what differs is a fault of the translation",
        )
    return share
