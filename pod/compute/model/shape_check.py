"""Dry runs: what a graph would cost, found without allocating a byte of it; and the metered work
of a step, which stands in an agreement's terms.

A form runs on torch's meta device, where tensors have shapes and no memory, through torch's stock
operators whatever class will compute. Since no admitted operator makes a shape of a value, the
shapes found here are those of every run at the same batch size; so what is checked here, before
memory is taken and before a kernel sees a pointer, holds then. That torch's meta kernels say what
its kernels do is not taken on trust: the first real run compares each value (`compared`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fitchain.pod.compute.model.executor import Plan, Wrap
from fitchain.pod.compute.model.live import LiveBytes
from fitchain.pod.compute.model.tensors import dtype_name
from fitchain.pod.compute.operators.arguments import DTYPES, check_arguments
from fitchain.pod.compute.operators.guards import META, guarded, storage_of
from fitchain.pod.compute.operators.kernels import Kernel
from fitchain.pod.compute.operators.metering import bytes_of, operations_of, piece_operations, workspace_bytes
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import LIMITS, Graph, Limits, Node
from fitchain.pod.values.state import byte_count
from fitchain.pod.values.work import StepWork

STATE_COPIES, LIVE_COPIES, LOSS_COPIES, UPDATE_OPERATIONS = 5, 2, 4, 4
"""Of a parameter that training moves there are its gradient and up to three tensors of an optimizer
besides; of what lives a class's own kernels keep more than torch's, and an allocator holds more
than is asked for (measured: up to 1.6 times); a loss makes so much of what the model puts out (its
logarithms, their gradient, what is masked or laid out anew); and so many operations an element are
its gradient and update."""
BACKWARD_CALLS = 8
"""Kernels of a backward pass for each that a forward pass may run."""


Made = Any
"""What a call made: dtype and shape of a tensor, a tuple of these, or a number."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one forward pass of one form does.

    Args:
        live_bytes: the most that its values take at once; in training also those that the backward
            pass will read.
        calls: of torch's kernels.
        operations: of single elements.
        dtype, shape: of its output, batch first.
        written: the parameters and buffers that it changes in place.
        values: of each call of the form, in order, what it made.
    """

    live_bytes: int
    calls: int
    operations: int
    dtype: str
    shape: tuple[int, ...]
    written: frozenset[str]
    values: tuple[Made, ...]


def dry_run(graph: Graph, batch: int, training: bool = True, limits: Limits = LIMITS) -> Cost:
    """Find out what a forward pass of a graph costs, and that it fits together.

    Args:
        graph: from anyone.
        batch: records in the batch.
        training: which form.
        limits: bounds on bytes and calls; reaching one ends the dry run.

    Returns:
        What it costs; shapes and bytes hold for every run at this batch size.

    Raises:
        InputRefused: beyond a limit, the output is no tensor, the evaluation form changes the
            model, or a form changes the shape of what the next step starts from.
        OperatorFailed: an operator cannot compute what it is given.
    """
    return _forward(graph, batch, training, limits)[0]


def _forward(graph: Graph, batch: int, training: bool, limits: Limits) -> tuple[Cost, Tensor, _Meter]:
    """A forward pass, and what a backward pass goes on from."""
    tensors = _meta_tensors(graph)
    form = graph.training if training else graph.evaluation
    inputs = [torch.empty((batch, *spec.shape), dtype=DTYPES[spec.dtype], device=META) for spec in graph.inputs]
    meter = _Meter(limits, LiveBytes([*tensors.values(), *inputs]))
    with torch.set_grad_enabled(training):
        checked = _Checked(meter)
        plan = Plan(graph, form, tensors, META, checked)
        with meter:
            output = plan.run(inputs)
    if not isinstance(output, Tensor):
        raise InputRefused(f"the graph's output is a {type(output).__name__}, and a single tensor is needed")
    _check_state(graph, tensors)
    written = _written(tensors, meter.written)
    if training and (unseen := written - graph.structure.written):
        raise InputRefused(f"the training form changes {min(unseen)!r} by a view that is not followed")
    if written and not training:
        raise InputRefused(
            f"the evaluation form changes the buffer {min(written)!r}: evaluating must not change a model",
            "change buffers only where self.training is true",
        )
    shape = tuple(output.shape)
    counted = meter.live.peak, meter.calls, meter.operations
    dtype = dtype_name("the output", output.dtype)
    return Cost(*counted, dtype, shape, written, tuple(checked.values)), output, meter


def _backward(output: Tensor, meter: _Meter) -> None:
    """Run the backward pass from a loss of the output. Gradients of parameters count with the state
    and are let go at once."""
    meter.live.beside(LOSS_COPIES * bytes_of(output))
    if not output.requires_grad:
        return
    try:
        with meter.backward():
            torch.autograd.backward(output, torch.empty_like(output))
    except (RuntimeError, IndexError, ValueError) as error:
        said = (str(error).splitlines() or [""])[0]
        raise InputRefused(f"the gradients of the graph cannot be computed: {said:.200}") from None


def step_work(
    graph: Graph, batch: int, limits: Limits = LIMITS, *, micro_batch: int | None = None, further_copies: int = 0
) -> StepWork:
    """Meter a training step.

    Its bytes are those of the state, of the batch, and the most that its values and their gradients
    or those of an evaluation of as many records, take at once, twice. The state is counted with the
    largest optimizer, so that the work follows from the graph alone.

    Args:
        graph: from anyone.
        batch: records in the batch.
        limits: as of a dry run.
        micro_batch: records that are computed at once; all of the batch if None. The last ones, of
            which there may be fewer, count as so many.
        further_copies: of each parameter that training moves, beside the largest optimizer's.

    Raises:
        InputRefused: as a dry run does.
    """
    at_once = micro_batch or batch
    evaluating = dry_run(graph, at_once, False, limits)
    (cost, output, meter), parts = _forward(graph, at_once, True, limits), -(-batch // at_once)
    _backward(output, meter)
    if rest := batch % at_once:
        dry_run(graph, rest, True, limits)
    state_bytes = update = 0
    for spec in graph.tensors.values():
        size = byte_count(spec.dtype, spec.shape)
        state_bytes += size * (STATE_COPIES + further_copies if spec.trainable else 1)
        update += UPDATE_OPERATIONS * math.prod(spec.shape) if spec.trainable else 0
    batch_bytes = batch * sum(byte_count(spec.dtype, spec.shape) for spec in graph.inputs)
    live_bytes = LIVE_COPIES * max(meter.live.peak, evaluating.live_bytes)
    return StepWork(state_bytes + batch_bytes + live_bytes, parts * cost.calls, parts * cost.operations + update)


def compared(values: Sequence[Made]) -> Wrap:
    """What puts a comparison after each call of a form: what it made, with what a dry run said.

    Args:
        values: of a dry run at the same batch size.

    Returns:
        For one plan, that is run once.
    """
    expected = iter(values)

    def wrap(node: Node, call: Kernel) -> Kernel:
        def run(*arguments: Any, **options: Any) -> Any:
            made = call(*arguments, **options)
            if (have := _made(made)) != (said := next(expected)):
                raise InputRefused(f"the operator {node.operator} makes {have}, and {said} without numbers")
            return made

        return run

    return wrap


def _made(value: Any) -> Made:
    if isinstance(value, Tensor):
        return f"{value.dtype}{list(value.shape)}"
    return tuple(map(_made, value)) if isinstance(value, tuple | list) else value


def _check_state(graph: Graph, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a form after which a parameter or a buffer is another kind of tensor: a step would
    depend on how many there were, or a gradient be lacking."""
    for name, spec in graph.tensors.items():
        tensor = tensors[name]
        laid_out = tuple(tensor.shape) == spec.shape and tensor.is_contiguous() and not tensor.storage_offset()
        if not laid_out or (spec.trainable and not (tensor.requires_grad and tensor.is_leaf)):
            raise InputRefused(
                f"a step would leave the {spec.kind} {name!r} in another shape, or without its gradient",
                "change its numbers in place (`copy_`, `mul_`), and leave squeeze_, unsqueeze_ and detach_ to values",
            )


def _meta_tensors(graph: Graph) -> dict[str, Tensor]:
    tensors = {}
    for name, spec in graph.tensors.items():
        tensor = torch.empty(spec.shape, dtype=DTYPES[spec.dtype], device=META, requires_grad=spec.trainable)
        if spec.trainable:
            tensor.register_post_accumulate_grad_hook(_let_go_of_gradient)  # type: ignore[no-untyped-call]
        tensors[name] = tensor
    return tensors


def _let_go_of_gradient(parameter: Tensor) -> None:
    parameter.grad = None


def _written(tensors: Mapping[str, Tensor], storages: set[int]) -> frozenset[str]:
    """Torch counts the changes in place of each tensor, views included; running statistics are told
    by the guards."""
    return frozenset(name for name, tensor in tensors.items() if tensor._version or storage_of(tensor) in storages)


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what the kernels below every operator would do and make; stops the run at a limit.

    Args:
        limits: bounds on bytes, calls and operations.
        live: what is made, for as long as it lives.
    """

    def __init__(self, limits: Limits, live: LiveBytes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.limits, self.live = limits, live
        self.calls = self.operations = self.backward_calls = 0
        self.is_backward = False
        self.written: set[int] = set()

    @contextmanager
    def backward(self) -> Iterator[None]:
        """Meter a backward pass, of which calls and operations follow from those of the forward
        pass and are not counted."""
        self.is_backward = True
        with self:
            yield

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one kernel on meta tensors and count what it takes and returns."""
        made = func(*args, **(kwargs or {}))
        tensors = [
            value for value in (made if isinstance(made, tuple | list) else (made,)) if isinstance(value, Tensor)
        ]
        for tensor in tensors:
            if tensor.dim() > self.limits.rank:
                raise InputRefused(f"a value has {tensor.dim()} dimensions and the limit is {self.limits.rank}")
            self.live.take(tensor)
        self.live.beside(workspace_bytes(func._schema.name, args, tensors))
        if self.is_backward:
            self.backward_calls += 1
            self.stop_at_limit()
            return made
        operations = operations_of(func._schema.name, args, kwargs or {}, tensors)
        if isinstance(made, list):
            operations += piece_operations(len(made))
        self.add(1, operations)
        return made

    def add(self, calls: int, operations: int) -> None:
        """Count calls and operations, and stop at a limit."""
        self.calls += calls
        self.operations += operations
        self.stop_at_limit()

    def stop_at_limit(self) -> None:
        """Stop the run where a limit is reached."""
        if self.backward_calls > BACKWARD_CALLS * self.limits.calls:
            raise InputRefused(
                f"a backward pass runs more than {BACKWARD_CALLS * self.limits.calls} kernels, the limit"
            )
        if self.calls > self.limits.calls:
            raise InputRefused(f"a forward pass runs more than {self.limits.calls} kernels, the limit")
        if self.live.peak > self.limits.live_bytes:
            raise InputRefused(
                f"the values of a step take more than {self.limits.live_bytes} bytes at once, the limit",
                "choose a smaller batch or model",
            )
        if self.operations > self.limits.operations:
            raise InputRefused(
                f"a forward pass takes more than {self.limits.operations} operations of elements, the limit",
                "choose a smaller batch or model",
            )


class _Checked:
    """Puts checks before each operator: torch's own schema, and the guard of its record; and notes
    what it made."""

    def __init__(self, meter: _Meter) -> None:
        self.meter = meter
        self.values: list[Made] = []

    def __call__(self, node: Node, call: Kernel) -> Kernel:
        inner = guarded(node.operator, call, self.meter)

        def run(*arguments: Any, **options: Any) -> Any:
            check_arguments(node.operator, arguments, options)
            made = inner(*arguments, **options)
            self.values.append(_made(made))
            return made

        return run
