"""Guards: checks before operators that could misread memory, flood Python with objects, or change
what their schema does not say. A dry run puts them there, on meta tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from fitchain.pod.compute.operators.kernels import Kernel
from fitchain.pod.compute.operators.metering import SORTING, grouped_operations, recurrent_operations
from fitchain.pod.compute.operators.recurrent import weight_shapes
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph.operators import OPERATORS
from fitchain.pod.values.graph.operators.record import Guard

MOST_PIECES, MOST_SIZE = 65_536, 65_536
META = torch.device("meta")


class Meter(Protocol):
    """What a dry run counts."""

    written: set[int]
    """Storages that are changed where torch's own schema does not say so."""

    def add(self, calls: int, operations: int) -> None:
        """Count calls, and operations of single elements.

        Raises:
            InputRefused: there are too many.
        """


def guarded(name: str, call: Kernel, meter: Meter) -> Kernel:
    """A kernel with the check of its record before it."""
    guard = OPERATORS[name].guard
    if guard is None:
        return call
    if guard in GATES:
        return partial(_recur, GATES[guard], meter)
    if guard in SHAPES:
        return partial(SHAPES[guard], meter)
    if guard is Guard.ONE_ORDER:
        return partial(_unordered, call)
    check = CHECKS[guard]

    def run(*arguments: Any, **options: Any) -> Any:
        if options:
            raise InputRefused(f"the operator {name} takes its arguments by place")
        check(meter, *arguments)
        return call(*arguments)

    return run


def _check_unbind(meter: Meter, tensor: Tensor, dimension: int = 0) -> None:
    _check_pieces(tensor.shape[dimension])


def _check_split(meter: Meter, tensor: Tensor, size: int, dimension: int = 0) -> None:
    _check_pieces(tensor.shape[dimension] // max(size, 1))


def _check_chunk(meter: Meter, tensor: Tensor, pieces: int, dimension: int = 0) -> None:
    _check_pieces(pieces)


def _check_pieces(count: int) -> None:
    if count > MOST_PIECES:
        raise InputRefused(f"a tensor is cut into {count} pieces and the limit is {MOST_PIECES}")


def _check_dense(meter: Meter, weight: Tensor, indices: Tensor, *rest: Any) -> None:
    if len(rest) > 2 and rest[2]:
        raise InputRefused("embedding with sparse gradients is refused", "leave sparse out")


def _check_one_hot(meter: Meter, indices: Tensor, classes: int = -1) -> None:
    if classes < 1:
        raise InputRefused("one_hot needs its number of classes: a shape may not depend on values")


def _note_statistics(meter: Meter, *arguments: Any) -> None:
    mean, variance, training = arguments[3:6]
    if training:
        meter.written |= {storage_of(tensor) for tensor in (mean, variance) if isinstance(tensor, Tensor)}


def _check_norms(meter: Meter, directions: Tensor, norms: Tensor, dimension: int = 0) -> None:
    """The kernel takes as many norms as there are slices, from wherever they would lie."""
    if dimension == -1:
        _check_shape("the norm of a whole weight", norms, ())
        return
    if not 0 <= dimension < directions.dim():
        raise InputRefused(f"a weight of {directions.dim()} dimensions has no norms along {dimension}")
    shape = [1] * directions.dim()
    shape[dimension] = directions.shape[dimension]
    _check_shape("the norms of a weight", norms, tuple(shape))


def _check_windows(meter: Meter, tensor: Tensor, *sizes: Any) -> None:
    """Sizes, dilation, padding and stride: with moderate ones no position in memory leaves 64 bits."""
    _check_moderate("a window", *sizes)


def _check_resized(meter: Meter, tensor: Tensor, *options: Any) -> None:
    """Sizes, or scales, after which the last one comes."""
    _check_moderate("a new size or scale", *(each for each in options if not isinstance(each, bool)))


def _check_moderate(what: str, *values: Any) -> None:
    for value in values:
        if isinstance(value, list | tuple):
            _check_moderate(what, *value)
        elif value is not None and not 0 <= value <= MOST_SIZE:
            raise InputRefused(f"{what} is {value} and lies between 0 and {MOST_SIZE}")


def _check_written_once(meter: Meter, tensor: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> None:
    """What is added up by index has no order of its own; a truth would be a shape that depends on
    values."""
    if accumulate:
        raise InputRefused("index_put adds up what has the same index, in no order of its own", "leave accumulate out")
    if any(isinstance(each, Tensor) and each.dtype in (torch.bool, torch.uint8) for each in indices):
        raise InputRefused("a mask as an index makes a shape that depends on values", "use torch.where")


def _check_sampled(meter: Meter, images: Tensor, grid: Tensor, mode: int, padding: int, *corners: bool) -> None:
    if mode not in (0, 1, 2) or padding not in (0, 1, 2):
        raise InputRefused(f"grid_sample interpolates in the ways 0 to 2 and pads so, not {mode} and {padding}")


def _multiply_groups(meter: Meter, rows: Tensor, matrices: Tensor, ends: Tensor | None = None, *rest: Any) -> Tensor:
    """Products of groups of rows, whose shapes torch knows of half precision alone. Where the
    groups end is read while they are computed, and checked then (`traps`)."""
    plain = all(each is None for each in rest) and {rows.dtype, matrices.dtype} == {torch.float32}
    if rows.dim() != 2 or matrices.dim() != 3 or ends is None or not plain:
        raise InputRefused("grouped products take rows of F32, a matrix of F32 for each group, and where groups end")
    _check_shape("the ends of groups", ends, tuple(matrices.shape[:1]))
    _check_shape("a group's matrix", matrices[0], (rows.shape[1], matrices.shape[2]))
    shape = (rows.shape[0], matrices.shape[2])
    made: Tensor = _Shaped.apply(shape, rows, matrices)  # type: ignore[no-untyped-call]
    meter.add(len(matrices), grouped_operations(rows, matrices, made))
    return made


# As many parameters as the operator has, in its order.
def _lose_margins(
    meter: Meter,
    scores: Tensor,
    targets: Tensor,
    power: Any = 1,
    margin: Any = 1,
    weight: Tensor | None = None,
    reduction: int = 1,
) -> Tensor:
    """A loss of margins, whose gradient torch cannot make without numbers."""
    if weight is not None:
        _check_shape("the weights of classes", weight, tuple(scores.shape[-1:]))
    if scores.dim() != 2:
        raise InputRefused(f"a loss of margins takes scores of [records, classes], not {list(scores.shape)}")
    _check_shape("the classes of records", targets, tuple(scores.shape[:1]))
    made: Tensor = _Shaped.apply(() if reduction else targets.shape, scores)  # type: ignore[no-untyped-call]
    meter.add(1, scores.numel() + targets.numel() + made.numel())
    return made


class _Shaped(torch.autograd.Function):
    """What is computed of some meta tensors and has a shape, as far as memory goes."""

    @staticmethod
    def forward(ctx: Any, shape: Sequence[int], *tensors: Tensor) -> Tensor:
        """Make it."""
        ctx.save_for_backward(*tensors)
        return tensors[0].new_empty(shape)

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        """Make the gradients."""
        return None, *map(torch.empty_like, ctx.saved_tensors)


def _unordered(call: Kernel, *arguments: Any, **options: Any) -> Any:
    """A call that has one order on a CPU, and not on a CUDA device. Torch takes meta tensors for
    such a device's, and refuses them where all must have one."""
    orderly, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        return call(*arguments, **options)
    finally:
        torch.use_deterministic_algorithms(orderly, warn_only=warns)


def _count(meter: Meter, tensor: Tensor, bins: int = 100, low: Any = 0, high: Any = 0) -> Tensor:
    """Counts of a histogram, whose shape torch knows where it need not be deterministic alone."""
    if not 1 <= bins <= MOST_SIZE:
        raise InputRefused(f"a histogram has {bins} bins and the limit is {MOST_SIZE}")
    made = tensor.new_empty(bins)
    meter.add(1, SORTING * (tensor.numel() + bins))
    return made


def storage_of(tensor: Tensor) -> int:
    """What tells one tensor's memory from another's, also where there is none."""
    return int(tensor.untyped_storage()._cdata)


# Many parameters: they are the operator's own, in its order, since it is called by place.
def _recur(
    gates: int,
    meter: Meter,
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
    """A recurrent layer's outputs, without walking through time; every shape that its kernels rely
    on is checked."""
    states = hidden if isinstance(hidden, list) else [hidden]
    directions = 2 if both else 1
    if x.dim() != 3 or len(states) != (2 if gates == 4 else 1) or layers < 1:
        raise InputRefused("a recurrent layer takes [B, T, n] or [T, B, n] and its hidden state")
    (batch, time), size = x.shape[:2] if batch_first else x.shape[1::-1], states[0].shape[-1]
    if states[-1].shape[-1] != size:
        raise InputRefused(
            "a recurrent layer has projections (proj_size)", "leave them out, and put an nn.Linear behind it"
        )
    for state in states:
        _check_shape("a hidden state", state, (layers * directions, batch, size))
    expected = weight_shapes(gates, x.shape[2], size, biases, layers, directions)
    if len(weights) != len(expected):
        raise InputRefused(f"a recurrent layer of {layers} layers has {len(expected)} weights, not {len(weights)}")
    for weight, shape in zip(weights, expected, strict=True):
        _check_shape("a recurrent weight", weight, shape)
    steps = time * layers * directions
    made = steps * batch * size * (gates + 4)
    meter.add(steps * gates, recurrent_operations(batch * time, weights))
    leading = (batch, time) if batch_first else (time, batch)
    shape = (*leading, size * directions)
    walked: tuple[Tensor, ...]
    walked = _Walk.apply(made, shape, len(states), x, *states, *weights)  # type: ignore[no-untyped-call]
    return walked


class _Walk(torch.autograd.Function):
    """A recurrent layer on meta tensors: what it writes down on its way through time is one memory,
    that its backward pass reads and makes gradients of."""

    @staticmethod
    def forward(ctx: Any, made: int, shape: Sequence[int], states: int, x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Make outputs and last hidden states."""
        ctx.save_for_backward(x.new_empty(made), x, *rest)
        return (x.new_empty(shape), *map(torch.empty_like, rest[:states]))

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Make the gradients."""
        written, *inputs = ctx.saved_tensors
        torch.empty_like(written)
        return (None, None, None, *map(torch.empty_like, inputs))


def _check_shape(what: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise InputRefused(f"{what} has shape {list(tensor.shape)} and not {list(shape)}")


GATES: Mapping[Guard, int] = {Guard.LSTM: 4, Guard.GRU: 3, Guard.RNN: 1}
SHAPES: Mapping[Guard, Callable[..., Tensor]] = {
    Guard.GROUPS: _multiply_groups,
    Guard.COUNTED: _count,
    Guard.MARGINS: _lose_margins,
}
CHECKS: Mapping[Guard, Callable[..., None]] = {
    Guard.UNBIND: _check_unbind,
    Guard.SPLIT: _check_split,
    Guard.PIECES: _check_chunk,
    Guard.DENSE: _check_dense,
    Guard.ONE_HOT: _check_one_hot,
    Guard.STATISTICS: _note_statistics,
    Guard.NORMS: _check_norms,
    Guard.WINDOWS: _check_windows,
    Guard.RESIZED: _check_resized,
    Guard.WRITTEN_ONCE: _check_written_once,
    Guard.SAMPLED: _check_sampled,
}
