"""Operators that compute several records in one call, each as if it were alone (torch).

Between the numbers of two records lies memory that is none of a call's, so that no kernel can join
their rows: it comes to each by itself, with the instructions of a call with that record alone. What
is not here is called record by record. Records are copied beside each other for operators that
take each number, group or record of a batch by itself.

Legend: N records, [N, *] tensors whose first dimension are records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

ARITHMETIC = frozenset(
    [
        "abs",
        "add",
        "bitwise_and",
        "bitwise_not",
        "bitwise_or",
        "clamp",
        "clamp_max",
        "clamp_min",
        "clone",
        "copy_",
        "div",
        "eq",
        "fill_",
        "ge",
        "gt",
        "le",
        "logical_and",
        "logical_not",
        "logical_or",
        "lt",
        "masked_fill",
        "maximum",
        "minimum",
        "mul",
        "ne",
        "neg",
        "ones_like",
        "relu",
        "rsub",
        "sub",
        "threshold",
        "threshold_backward",
        "where",
        "zero_",
        "zeros_like",
    ]
)
"""Elementwise, each element by instructions whose results are rounded to nearest: no matter beside
which others."""
FUNCTIONS = frozenset(
    [
        "cos",
        "elu",
        "elu_backward",
        "erf",
        "exp",
        "expm1",
        "gelu",
        "gelu_backward",
        "hardswish",
        "hardswish_backward",
        "hardtanh",
        "hardtanh_backward",
        "leaky_relu",
        "leaky_relu_backward",
        "log",
        "log1p",
        "log2",
        "mse_loss_backward",
        "pow",
        "reciprocal",
        "rsqrt",
        "sigmoid",
        "sigmoid_backward",
        "silu",
        "silu_backward",
        "sin",
        "smooth_l1_loss_backward",
        "softplus",
        "softplus_backward",
        "sqrt",
        "tanh",
        "tanh_backward",
    ]
)
"""Elementwise by polynomials: a vector library may take another one for all elements of a vector
where one of them is large, so two records may not meet in a vector."""
ROWS = frozenset(["_log_softmax", "_log_softmax_backward_data", "_safe_softmax", "_softmax", "_softmax_backward_data"])
"""Of each row along a dimension by itself; where records meet in a vector, in the logarithm of
their rows' sums, no element has a part in another's."""
BATCHES = {
    "avg_pool2d": (0,),
    "convolution": (0,),
    "max_pool2d_with_indices": (0,),
    "max_pool2d_with_indices_backward": (0, 1, 7),
    "native_group_norm": (0,),
    "native_layer_norm": (0,),
}
"""Of each record of a batch by itself, in sums whose order follows from the sizes alone: which
arguments have a record in each place of their first dimension."""
ONEDNN = frozenset(["gelu", "gelu_backward"])
"""Elementwise, by oneDNN where a tensor lies in one piece, and by torch's own functions where it
does not: so records are copied beside each other. oneDNN's code has no branches, and its vectors
are of `VECTOR` elements at most, so no record's elements move into another place of theirs."""
VECTOR = 16
SUMS = frozenset({"sum.dim_IntList", "mean.dim"})
"""Sums along dimensions, by additions alone."""

Action = Callable[[], object]
Lift = Callable[[Any], Any]


# Many parameters: a call as it was taken down, and what becomes of its tensors.
def batched(
    operator: Any, arguments: Sequence[Any], options: dict[str, Any], results: Sequence[Any], lift: Lift, records: int
) -> list[Action] | None:
    """Calls that compute for N records what one call computed for a batch of one.

    Args:
        operator: torch's, as it was called.
        arguments, options: of that call.
        results: its tensors, which were not there before, or None each.
        lift: from a tensor of that call to that of N records `[N, *shape]`, whose records lie
            apart; itself where it is none of a record's.
        records: N.

    Returns:
        What fills the lifted results; None where this operator, or a call like this, has to be made
        record by record.
    """
    name = operator.overloadpacket.__name__
    if name in ("mm", "addmm", "bmm", "baddbmm"):
        return _products(name, arguments, options, results[0], lift, records)
    if name in ("nll_loss_forward", "nll_loss_backward"):
        return _class_losses(name, arguments, results, lift, records)
    if name in ("select_backward", "slice_backward"):
        return _cut_backward(name.removesuffix("_backward"), arguments, results[0], lift)
    if name == "native_layer_norm_backward":
        return _layer_norm_backward(operator, arguments, results, lift, records)
    if name == "native_group_norm_backward":
        return _group_norm_backward(operator, arguments, results, lift, records)
    if name in ONEDNN and all(_in_one_piece(value) for value in arguments):
        return _beside_each_other(operator, arguments, options, results[0], lift)
    if name == "convolution":
        operator, arguments = _as_of_one(operator, arguments)
    if name in BATCHES and not options:
        return _batches(operator, name, arguments, results, lift, records)
    if name in ROWS:
        return _rows(operator, name, arguments, options, results[0], lift)
    if str(operator).removeprefix("aten.") in SUMS:
        return _sums(operator, arguments, options, results[0], lift)
    plain = name.removesuffix("_") if name not in ARITHMETIC else name
    if plain in ARITHMETIC | FUNCTIONS:
        written = not results
        made = arguments[0] if written else results[0]
        if plain in FUNCTIONS and made.numel() == 1:
            return None  # a row of one: kernels gather those of several records into a vector
        return _elementwise(operator, arguments, options, made, written, lift)
    return None


def _elementwise(
    operator: Any, arguments: Sequence[Any], options: dict[str, Any], made: Tensor, written: bool, lift: Lift
) -> list[Action] | None:
    rank = made.dim()
    apart = False

    def widened(value: Any) -> Any:
        nonlocal apart
        if isinstance(value, list | tuple):
            return [widened(item) for item in value]
        lifted = lift(value)
        if lifted is value or not isinstance(value, Tensor):
            return value
        apart = apart or are_apart(lifted)
        return lifted if value.dim() == rank else lifted[(slice(None), *[None] * (rank - value.dim()))]

    values = [widened(value) for value in arguments]
    if any(isinstance(value, Tensor) for value in options.values()):
        return None
    if written:
        return [partial(operator, *values, **options)] if apart else None
    out = lift(made)
    if not apart and not are_apart(out):
        return None
    if operator is torch.ops.aten.clone.default:
        return [partial(out.copy_, values[0])]
    if form := out_variant(operator):
        into, (key,) = form
        return [partial(into, *values, **options, **{key: out})]
    return [lambda: out.copy_(operator(*values, **options))]


def are_apart(lifted: Tensor) -> bool:
    """Whether no dimension of the records goes on from one record to the next."""
    step = lifted.stride(0)
    return all(
        size == 1 or size * stride != step for size, stride in zip(lifted.shape[1:], lifted.stride()[1:], strict=True)
    )


def _products(
    name: str, arguments: Sequence[Any], options: dict[str, Any], made: Tensor, lift: Lift, records: int
) -> list[Action] | None:
    """Of matrices, as a batch of them; of batches, as one for each place in those."""
    *start, x, y = arguments
    lifted = [_expanded(lift(each), each, records) for each in (x, y)]
    out, starts = lift(made), [_expanded(lift(each), each, records) for each in start]
    if made.dim() == 2:
        return [_product(starts, lifted, options, out)]
    places = made.shape[0]
    if places >= records or starts:
        return None
    return [_product([], [each[:, column] for each in lifted], options, out[:, column]) for column in range(places)]


def _expanded(lifted: Tensor, value: Tensor, records: int) -> Tensor:
    return lifted if lifted is not value else value.expand(records, *value.shape)


def _product(start: list[Tensor], pair: list[Tensor], options: dict[str, Any], out: Tensor) -> Action:
    if not start:
        return partial(torch.ops.aten.bmm.out, *pair, out=out)
    (added,) = start
    if added.dim() == 2:
        added = added[:, None]
    return partial(torch.ops.aten.baddbmm.out, added, *pair, **options, out=out)


def _class_losses(
    name: str, arguments: Sequence[Any], results: Sequence[Any], lift: Lift, records: int
) -> list[Action] | None:
    """Of a single record's classes without weights, in the kernel's own operations: 0 - x, over the
    number of classes that count, which is 1 or 0."""
    forward = name == "nll_loss_forward"
    *gradient, x, target, weight, reduction, ignored = arguments[: 5 if forward else 6]
    if weight is not None or x.dim() != 2 or x.shape[0] != 1 or target.dim() != 1 or reduction not in (1, 2):
        return None
    x_NK, target_N = lift(x), lift(target)
    if x_NK is x or target_N is target:
        return None
    x_NK, target_N1 = x_NK[:, 0], target_N
    skipped_N1, zero = torch.empty(records, 1, dtype=torch.bool), torch.zeros((), dtype=x.dtype)
    place_N1 = torch.empty(records, 1, dtype=torch.int64)
    look_up = [
        partial(torch.ops.aten.eq.Scalar_out, target_N1, ignored, out=skipped_N1),
        partial(torch.ops.aten.masked_fill.Scalar_out, target_N1, skipped_N1, 0, out=place_N1),
    ]
    if forward:
        loss_N1, weight_N1 = (lift(result)[:, None] for result in results)

        def lose() -> None:
            loss_N1.copy_(torch.where(skipped_N1, zero, zero - x_NK.gather(1, place_N1)))
            torch.ops.aten.ne.Scalar_out(target_N1, ignored, out=weight_N1)
            if reduction == 1:
                loss_N1.div_(weight_N1)

        return [*look_up, lose]
    loss_N = _expanded(lift(gradient[0]), gradient[0], records)
    weight_N, out_NK = _expanded(lift(arguments[6]), arguments[6], records), lift(results[0])[:, 0]

    def lead_back() -> None:
        of_one_N = -(loss_N / weight_N if reduction == 1 else loss_N)
        out_NK.zero_().scatter_(1, place_N1, torch.where(skipped_N1, zero, of_one_N[:, None]))

    return [*look_up, lead_back]


def _cut_backward(name: str, arguments: Sequence[Any], made: Tensor, lift: Lift) -> list[Action]:
    """The gradient of a part, in zeros."""
    gradient, _, dimension, *cut = arguments
    out = lift(made)
    part = (
        getattr(out, name)(dimension % made.dim() + 1, *cut) if name == "select" else _slice(out, made, dimension, *cut)
    )
    return [out.zero_, partial(part.copy_, lift(gradient))]


def _slice(out: Tensor, made: Tensor, dimension: int, start: int, end: int, step: int) -> Tensor:
    part: Tensor = torch.ops.aten.slice(out, dimension % made.dim() + 1, start, end, step)
    return part


def _batches(
    operator: Any, name: str, arguments: Sequence[Any], results: Sequence[Any], lift: Lift, records: int
) -> list[Action] | None:
    """An operator whose first dimension is one of records: they are given to it as its batch."""
    taken = BATCHES[name]
    if any(value.dim() < 2 or value.shape[0] != 1 for value in (*(arguments[index] for index in taken), *results)):
        return None
    values = list(arguments)
    for index in taken:
        lifted = lift(values[index])
        values[index] = (values[index].expand(records, *lifted.shape) if lifted is values[index] else lifted)[:, 0]
    if any(lift(value) is not value for index, value in enumerate(arguments) if index not in taken):
        return None
    if name == "native_group_norm":
        values[3] = records
    outs = [lift(result)[:, 0] for result in results]
    is_pool = name == "max_pool2d_with_indices" and values[0].dim() == 4
    # Four times as fast with channels last, where the first of the largest is found likewise.
    form = torch.channels_last if is_pool else torch.contiguous_format

    def run() -> None:
        operands = [value.contiguous(memory_format=form) if isinstance(value, Tensor) else value for value in values]
        made = operator(*operands)
        for out, each in zip(outs, made if isinstance(made, tuple) else (made,), strict=True):
            out.copy_(each)

    return [run]


def _as_of_one(operator: Any, arguments: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """A convolution by the kernel that a batch of one is given to, whatever a batch of many is."""
    x, weight, bias, stride, padding, *_ = arguments
    sizes = None if bias is None else bias.shape
    if torch._C._select_conv_backend(*arguments, sizes) != torch._C._ConvBackend.Slow2d:  # type: ignore[attr-defined]
        return operator, arguments
    return torch.ops.aten._slow_conv2d_forward.default, (x, weight, weight.shape[2:], bias, stride, padding)


def _group_norm_backward(
    operator: Any, arguments: Sequence[Any], results: Sequence[Any], lift: Lift, records: int
) -> list[Action] | None:
    """The records' groups are groups of one record: each is computed by itself."""
    *operands, weight, count, channels, places, groups, mask = arguments
    if count != 1 or (weight is not None and lift(weight) is not weight):
        return None
    dy, x, mean, rstd = (_expanded(lift(value), value, records) for value in operands)
    outs = [lift(result) for result in results]

    def run() -> None:
        made = operator(
            *(value.reshape(1, records * channels, places).contiguous() for value in (dy, x)),
            *(value.reshape(1, records * groups).contiguous() for value in (mean, rstd)),
            None if weight is None else weight.repeat(records),
            1,
            records * channels,
            places,
            records * groups,
            mask,
        )
        for out, each in zip(outs, (each for each in made if each is not None), strict=True):
            out.copy_(each.view(out.shape))

    return [run]


def _layer_norm_backward(
    operator: Any, arguments: Sequence[Any], results: Sequence[Any], lift: Lift, records: int
) -> list[Action] | None:
    """Of x row by row. Of weight and bias, which are sums over a record's rows, in the kernel's own
    sums over rows in which all records lie beside each other; what it multiplies there by a factor
    of each row and adds another to, is ready: with one as the factor and nothing to add."""
    dy, x, shape, mean, rstd, weight, bias, mask = arguments
    if any(value is not None and lift(value) is not value for value in (weight, bias)):
        return None
    width = math.prod(shape)
    rows = x.numel() // width
    lifted = [_expanded(lift(value), value, records) for value in (dy, x, mean, rstd)]
    outs = iter([lift(result) for result in results])
    out, *of_weights = (next(outs) if wanted else None for wanted in mask)
    ones, nothing, factor = torch.ones(records * width), torch.zeros(rows, 1), torch.ones(rows, 1)

    def run() -> None:
        dy, x, mean, rstd = (value.reshape(records, rows, -1).contiguous() for value in lifted)
        if out is not None:
            weights = (each if each is None else each.view(width) for each in (weight, bias))
            made = operator(dy, x, [width], mean, rstd, *weights, [True, False, False])[0]
            out.copy_(made.view(out.shape))
        if mask[1] or mask[2]:
            ready = torch.addcmul(rstd.neg() * mean, rstd, x)
            beside = (value.transpose(0, 1).reshape(rows, -1) for value in (dy, ready))
            made = operator(*beside, [records * width], nothing, factor, ones, ones, [False, *mask[1:]])[1:]
            for each, of_weight in zip(made, of_weights, strict=True):
                if of_weight is not None:
                    of_weight.copy_(each.view(of_weight.shape))

    return [run]


def _in_one_piece(value: Any) -> bool:
    return not isinstance(value, Tensor) or (value.is_contiguous() and value.numel() % VECTOR == 0)


def _beside_each_other(
    operator: Any, arguments: Sequence[Any], options: dict[str, Any], made: Tensor, lift: Lift
) -> list[Action] | None:
    if any(isinstance(value, Tensor) and lift(value) is value for value in arguments):
        return None
    values, out = [lift(value) for value in arguments], lift(made)

    def run() -> None:
        copies = (value.contiguous() if isinstance(value, Tensor) else value for value in values)
        out.copy_(operator(*copies, **options))

    return [run]


def _rows(
    operator: Any, name: str, arguments: Sequence[Any], options: dict[str, Any], made: Tensor, lift: Lift
) -> list[Action] | None:
    index = next(number for number, value in enumerate(arguments) if not isinstance(value, Tensor))
    dimension = arguments[index] % max(made.dim(), 1)
    if dimension != made.dim() - 1 or made.shape[-1] == 1:
        return None
    values = [lift(value) for value in arguments]
    if any(new is old for new, old in zip(values[:index], arguments[:index], strict=True)):
        return None
    values[index] = dimension + 1
    out = lift(made)
    return [lambda: out.copy_(operator(*values, **options))]


def _sums(
    operator: Any, arguments: Sequence[Any], options: dict[str, Any], made: Tensor, lift: Lift
) -> list[Action] | None:
    x, dimensions, *rest = arguments
    if not dimensions or not are_apart(lift(x)):
        return None
    lifted, out = [dimension % x.dim() + 1 for dimension in dimensions], lift(made)
    into, (key,) = out_variant(operator) or (None, ("",))
    return None if into is None else [partial(into, lift(x), lifted, *rest, **options, **{key: out})]


def out_variant(operator: Any) -> tuple[Any, list[str]] | None:
    """The form of an operator that writes into given tensors, and what they are called there; None
    where it has none."""
    wanted = [(each.name, str(each.real_type)) for each in operator._schema.arguments]
    for overload in operator.overloadpacket.overloads():
        form = getattr(operator.overloadpacket, overload)
        outs = [each.name for each in form._schema.arguments if each.is_out]
        inputs = [(each.name, str(each.real_type)) for each in form._schema.arguments if not each.is_out]
        if outs and inputs == wanted and len(outs) == len(operator._schema.returns):
            return form, outs
    return None
