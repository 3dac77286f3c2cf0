"""Dry runs: what a graph would cost, found without allocating a byte of it; and the metered work
of a step, which stands in an agreement's terms.

A form runs on torch's meta device, where tensors have shapes and no memory. Since no admitted
operator makes a shape of a value, the shapes found here are those of every run at the same batch
size; so what is checked here, before memory is taken and before a kernel sees a pointer, holds
then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fitchain.pod.compute.model.executor import Plan
from fitchain.pod.compute.model.kernels import Kernel
from fitchain.pod.compute.model.metering import (
    bytes_of,
    operations_of,
    piece_operations,
    recurrent_operations,
    workspace_bytes,
)
from fitchain.pod.compute.model.tensors import DTYPES, dtype_name
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import LIMITS, V3, Graph, Limits, Node
from fitchain.pod.values.state import byte_count
from fitchain.pod.values.work import StepWork

MOST_PIECES = 65_536
STATE_COPIES, VALUE_COPIES, UPDATE_OPERATIONS = 5, 2, 4
"""Of a parameter that training moves there are its gradient and up to three tensors of an optimizer
besides; of a value its gradient; and so many operations an element are its gradient and update."""
META = torch.device("meta")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one forward pass of one form does.

    Args:
        activation_bytes: of all values that it makes.
        hidden_bytes: of all views that are larger than what they are views of, and of what kernels
            write down meanwhile.
        calls: of torch's kernels.
        operations: of single elements.
        dtype, shape: of its output, batch first.
        written: the parameters and buffers that it changes in place.
    """

    activation_bytes: int
    hidden_bytes: int
    calls: int
    operations: int
    dtype: str
    shape: tuple[int, ...]
    written: frozenset[str]


def dry_run(graph: Graph, batch: int, training: bool = True, limits: Limits = LIMITS, class_name: str = V3) -> Cost:
    """Find out what a forward pass of a graph costs, and that it fits together.

    Args:
        graph: from anyone.
        batch: records in the batch.
        training: which form.
        limits: bounds on bytes and calls; reaching one ends the dry run.
        class_name: the environment class, whose kernels it will be run with.

    Returns:
        What it costs; shapes and bytes hold for every run at this batch size.

    Raises:
        InputRefused: beyond a limit, the output is no tensor, or the evaluation form changes the
            model.
        OperatorFailed: an operator cannot compute what it is given.
    """
    meter = _Meter(limits)
    tensors = _meta_tensors(graph)
    form = graph.training if training else graph.evaluation
    inputs = [torch.empty((batch, *spec.shape), dtype=DTYPES[spec.dtype], device=META) for spec in graph.inputs]
    with torch.set_grad_enabled(training):
        plan = Plan(graph, form, tensors, class_name, META, _Guarded(meter, limits))
        with meter:
            output = plan.run(inputs)
    if not isinstance(output, Tensor):
        raise InputRefused(f"the graph's output is a {type(output).__name__}, and a single tensor is needed")
    written = _written(tensors, meter.written)
    if written and not training:
        raise InputRefused(
            f"the evaluation form changes the buffer {min(written)!r}: evaluating must not change a model",
            "change buffers only where self.training is true",
        )
    shape = tuple(output.shape)
    counted = meter.bytes, meter.hidden_bytes, meter.calls, meter.operations
    return Cost(*counted, dtype_name("the output", output.dtype), shape, written)


def step_work(graph: Graph, batch: int, limits: Limits = LIMITS, class_name: str = V3) -> StepWork:
    """Meter a training step.

    A view that is larger than its memory takes none in the forward pass, and its gradient may take
    as much as it seems to have. The state is counted with the largest optimizer, so that the work
    follows from the graph alone.

    Args:
        graph: from anyone.
        batch: records in the batch.
        limits: as of a dry run.
        class_name: the environment class.

    Raises:
        InputRefused: as a dry run does.
    """
    cost = dry_run(graph, batch, True, limits, class_name)
    state_bytes = update = 0
    for spec in graph.tensors.values():
        size = byte_count(spec.dtype, spec.shape)
        state_bytes += size * (STATE_COPIES if spec.trainable else 1)
        update += UPDATE_OPERATIONS * math.prod(spec.shape) if spec.trainable else 0
    batch_bytes = batch * sum(byte_count(spec.dtype, spec.shape) for spec in graph.inputs)
    made_bytes = VALUE_COPIES * cost.activation_bytes + cost.hidden_bytes
    return StepWork(state_bytes + batch_bytes + made_bytes, cost.calls, cost.operations + update)


def _meta_tensors(graph: Graph) -> dict[str, Tensor]:
    return {
        name: torch.empty(spec.shape, dtype=DTYPES[spec.dtype], device=META, requires_grad=spec.trainable)
        for name, spec in graph.tensors.items()
    }


def _written(tensors: Mapping[str, Tensor], storages: set[int]) -> frozenset[str]:
    """Torch counts the changes in place of each tensor, views included; running statistics are told
    by the guards."""
    return frozenset(name for name, tensor in tensors.items() if tensor._version or _storage(tensor) in storages)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what the kernels below every operator would make; stops the run at a limit."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.limits = limits
        self.bytes = self.hidden_bytes = self.calls = self.operations = 0
        self.written: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one kernel on meta tensors and count what it returns, views aside."""
        made = func(*args, **(kwargs or {}))
        tensors = [
            value for value in (made if isinstance(made, tuple | list) else (made,)) if isinstance(value, Tensor)
        ]
        for tensor in tensors:
            if tensor.dim() > self.limits.rank:
                raise InputRefused(f"a value has {tensor.dim()} dimensions and the limit is {self.limits.rank}")
        view = any(result.alias_info for result in func._schema.returns)
        if view:
            self.hidden_bytes += sum(
                bytes_of(tensor) for tensor in tensors if bytes_of(tensor) > tensor.untyped_storage().nbytes()
            )
        self.hidden_bytes += workspace_bytes(func._schema.name, args, tensors)
        operations = operations_of(func._schema.name, args, kwargs or {}, tensors)
        if isinstance(made, list):
            operations += piece_operations(len(made))
        self.add(0 if view else sum(map(bytes_of, tensors)), 1, operations)
        return made

    def add(self, made_bytes: int, calls: int, operations: int) -> None:
        """Count bytes, calls and operations, and stop at a limit."""
        self.bytes += made_bytes
        self.calls += calls
        self.operations += operations
        if self.calls > self.limits.calls:
            raise InputRefused(f"a forward pass runs more than {self.limits.calls} kernels, the limit")
        if self.bytes > self.limits.activation_bytes:
            raise InputRefused(
                f"a forward pass makes more than {self.limits.activation_bytes} bytes of values, the limit",
                "choose a smaller batch or model",
            )
        if self.operations > self.limits.operations:
            raise InputRefused(
                f"a forward pass takes more than {self.limits.operations} operations of elements, the limit",
                "choose a smaller batch or model",
            )


class _Guarded:
    """Puts a check before operators that could misread memory or flood Python with objects."""

    def __init__(self, meter: _Meter, limits: Limits) -> None:
        self.meter, self.limits = meter, limits

    def __call__(self, node: Node, call: Kernel) -> Kernel:
        guards: dict[str, Callable[..., None]] = {
            "aten.unbind.int": _guard_unbind,
            "aten.split.Tensor": _guard_split,
            "aten.chunk.default": _guard_chunk,
            "aten.tensor_split.sections": _guard_chunk,
            "aten.embedding.default": _guard_embedding,
            "aten.one_hot.default": _guard_one_hot,
            "aten.batch_norm.default": self.statistics,
            "aten.instance_norm.default": self.statistics,
        }
        guard = guards.get(node.operator)
        gates = _GATES.get(node.operator)
        if guard is None and gates is None:
            return call

        def run(*arguments: Any, **options: Any) -> Any:
            if options:
                raise InputRefused(f"the operator {node.operator} takes its arguments by place")
            if gates is not None:
                return self.recur(gates, *arguments)
            if guard is not None:
                guard(*arguments)
            return call(*arguments)

        return run

    # Many parameters: they are the operator's own, in its order, since it is called by place.
    def recur(
        self,
        gates: int,
        x: Tensor,
        hidden: Any,
        weights: list[Tensor],
        biases: bool,
        layers: int,
        dropout: float,
        training: bool,
        both: bool,
        batch_first: bool,
    ) -> tuple[Tensor, ...]:
        """A recurrent layer's outputs, without walking through time; every shape that its kernels
        rely on is checked."""
        states = hidden if isinstance(hidden, list) else [hidden]
        directions = 2 if both else 1
        if x.dim() != 3 or len(states) != (2 if gates == 4 else 1) or layers < 1:
            raise InputRefused("a recurrent layer takes [B, T, n] or [T, B, n] and its hidden state")
        (batch, time), size = x.shape[:2] if batch_first else x.shape[1::-1], states[0].shape[-1]
        for state in states:
            _check_shape("a hidden state", state, (layers * directions, batch, size))
        _check_recurrent_weights(gates, x.shape[2], size, weights, biases, layers, directions)
        steps = time * layers * directions
        made = steps * batch * size * (gates + 4)
        operations = recurrent_operations(batch * time, weights) + made
        self.meter.add(made * x.element_size(), steps * gates, operations)
        leading = (batch, time) if batch_first else (time, batch)
        output = torch.empty((*leading, size * directions), dtype=x.dtype, device=META)
        return (output, *(torch.empty_like(state) for state in states))

    def statistics(self, *arguments: Any) -> None:
        """Running statistics are written where torch's own schema does not say so."""
        mean, variance, training = arguments[3:6]
        if training:
            self.meter.written |= {_storage(tensor) for tensor in (mean, variance) if isinstance(tensor, Tensor)}


def _guard_unbind(tensor: Tensor, dimension: int = 0) -> None:
    _check_pieces(tensor.shape[dimension])


def _guard_split(tensor: Tensor, size: int, dimension: int = 0) -> None:
    _check_pieces(tensor.shape[dimension] // max(size, 1))


def _guard_chunk(tensor: Tensor, pieces: int, dimension: int = 0) -> None:
    _check_pieces(pieces)


def _check_pieces(count: int) -> None:
    if count > MOST_PIECES:
        raise InputRefused(f"a tensor is cut into {count} pieces and the limit is {MOST_PIECES}")


def _guard_embedding(weight: Tensor, indices: Tensor, *rest: Any) -> None:
    if len(rest) > 2 and rest[2]:
        raise InputRefused("embedding with sparse gradients is refused", "leave sparse out")


def _guard_one_hot(indices: Tensor, classes: int = -1) -> None:
    if classes < 1:
        raise InputRefused("one_hot needs its number of classes: a shape may not depend on values")


_GATES = {"aten.lstm.input": 4, "aten.gru.input": 3, "aten.rnn_tanh.input": 1, "aten.rnn_relu.input": 1}


def _check_recurrent_weights(
    gates: int, width: int, size: int, weights: list[Tensor], biases: bool, layers: int, directions: int
) -> None:
    """Recurrent kernels take sizes from some tensors and read others by them."""
    per_cell = 4 if biases else 2
    if len(weights) != layers * directions * per_cell:
        raise InputRefused(
            f"a recurrent layer of {layers} layers has {layers * directions * per_cell} weights, not {len(weights)}",
            "projections (proj_size) are not supported",
        )
    for index, weight in enumerate(weights):
        cell, role = divmod(index, per_cell)
        entering = width if cell < directions else size * directions
        expected = ((gates * size, entering), (gates * size, size), (gates * size,), (gates * size,))[role]
        _check_shape("a recurrent weight", weight, expected)


def _check_shape(what: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise InputRefused(f"{what} has shape {list(tensor.shape)} and not {list(shape)}")
