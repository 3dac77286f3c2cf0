"""Shapes: views and copies, lookup by indices that the kernel checks, creation, sizes as numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from fitchain.pod.values.graph.nodes import Symbol
from fitchain.pod.values.graph.operators.record import (
    IMAGES,
    SEQUENCE,
    TABLE,
    Case,
    Flow,
    Guard,
    Layout,
    Operator,
    Sample,
    below,
    case,
    constant,
    laid,
    mask,
    operators,
    unit,
)

OPEN_GRADIENT, CLOSE_GRADIENT = "gradient.open", "gradient.close"
"""Brackets around a stretch that records gradients or does not (`torch.no_grad()` in a module's
forward)."""

_F64, _I64 = Symbol("dtype", "F64"), Symbol("dtype", "I64")


def _written(values: Callable[..., Sample]) -> tuple[Case, ...]:
    """Numbers written by index: rows, columns, single ones, some twice, one to many."""
    table, turned = unit(*TABLE), laid(unit(*TABLE), Layout.TRANSPOSED)
    return (
        case(table, (below(37, 9),), values(9, 129)),
        case(table, (None, below(129, 7)), values(37, 7)),
        case(table, (below(37, 64), below(129, 64)), values(64)),
        case(table, (below(37, 5, 1), below(129, 1, 6)), values()),
        case(turned, (below(37, 64), below(129, 64)), values(64)),
    )


LOOKUP = (
    *operators(
        "embedding",
        case(unit(50, 16), below(50, 64)),
        case(unit(50, 16), below(50, 4, 9), 3),
        guard=Guard.DENSE,
        chosen_by=1,
    ),
    *operators("gather", case(unit(*TABLE), 1, below(129, 37, 5)), chosen_by=2),
    *operators("index_select", case(unit(*TABLE), 0, below(37, 64)), chosen_by=2),
    *operators(
        "index.Tensor",
        case(unit(*TABLE), (below(37, 64),)),
        case(unit(*TABLE), (None, below(129, 7, 3))),
        chosen_by=1,
    ),
    *operators("take", case(unit(*TABLE), below(37 * 129, 64)), chosen_by=1),
    *operators("take_along_dim", case(unit(*TABLE), below(129, 37, 5), 1), chosen_by=1),
    *operators("scatter.value", case(unit(*TABLE), 1, below(129, 37, 5), 0.3), chosen_by=2),
    *operators("scatter_.value", case(constant(unit(*TABLE)), 1, below(129, 37, 5), 0.3), chosen_by=2),
    *operators("scatter.src", case(unit(*TABLE), 1, below(129, 37, 1), unit(37, 1)), chosen_by=2),
    *operators("scatter_.src", case(constant(unit(*TABLE)), 1, below(129, 37, 5), constant(unit(37, 5))), chosen_by=2),
    *operators(
        "scatter_add",
        case(unit(*TABLE), 1, below(129, 37, 5), unit(37, 5)),
        case(unit(*TABLE), 0, below(9, 64, 129), unit(64, 129)),
        case(unit(37), 0, below(9, 64), unit(64)),
        chosen_by=2,
    ),
    *operators(
        "scatter_add_", case(constant(unit(*TABLE)), 0, below(9, 64, 129), constant(unit(64, 129))), chosen_by=2
    ),
    *operators(
        "index_add",
        *(case(unit(*TABLE), 0, below(9, 64), unit(64, 129), **alpha) for alpha in ({}, {"alpha": 0.3})),
        case(unit(*TABLE), 1, below(9, 64), unit(37, 64)),
        case(unit(37), 0, below(9, 64), unit(64)),
        chosen_by=2,
    ),
    *operators("index_add_", case(constant(unit(*TABLE)), 0, below(9, 64), constant(unit(64, 129))), chosen_by=2),
    *operators("index_copy", case(unit(*TABLE), 1, below(129, 9), unit(37, 9)), chosen_by=2),
    *operators("index_copy_", case(constant(unit(*TABLE)), 1, below(129, 9), constant(unit(37, 9))), chosen_by=2),
    *operators("masked_scatter", case(unit(*TABLE), mask(*TABLE), unit(*TABLE)), chosen_by=1),
    *operators("index_fill.int_Scalar index_fill_.int_Scalar", case(unit(*TABLE), 1, below(129, 9), 0.3), chosen_by=2),
    *operators("one_hot", case(below(9, 64), 9), guard=Guard.ONE_HOT, flow=Flow.COMPARES),
    *operators("index_put", *_written(unit), guard=Guard.WRITTEN_ONCE, chosen_by=1),
    *operators("index_put_", *_written(lambda *shape: constant(unit(*shape))), guard=Guard.WRITTEN_ONCE, chosen_by=1),
)

_TABLE, _IMAGES = unit(*TABLE), unit(*IMAGES)
_PIECES = (unit(4, 5), unit(4, 5), unit(4, 5))


class _View(TypedDict):
    """What is said of a view: how its numbers stand to those of what it is a view of."""

    flow: Flow
    aliases: bool


_SAME, _CUT = _View(flow=Flow.SHAPES, aliases=True), _View(flow=Flow.CUTS, aliases=True)
VIEWS = (
    *operators("view reshape", case(_IMAGES, (4, 6, -1)), **_SAME),
    *operators("flatten.using_ints", case(_IMAGES, 1), **_SAME),
    *operators("unflatten.int", case(_IMAGES, 1, (2, 3)), **_SAME),
    *operators("transpose.int swapaxes swapdims movedim.int moveaxis.int", case(_IMAGES, 1, 3), **_CUT),
    *operators("permute", case(_IMAGES, (0, 2, 3, 1)), **_CUT),
    *operators("movedim.intlist", case(_IMAGES, (0, 1), (2, 3)), **_CUT),
    *operators("t numpy_T mT adjoint", case(_TABLE), **_CUT),
    *operators("squeeze", case(unit(3, 1, 5)), **_SAME),
    *operators("squeeze.dim squeeze_.dim", case(unit(3, 1, 5), 1), **_SAME),
    *operators("squeeze.dims", case(unit(3, 1, 1), (1, 2)), **_SAME),
    *operators("unsqueeze unsqueeze_", case(_TABLE, 1), **_SAME),
    *operators("expand broadcast_to", case(unit(3, 1), (4, 3, 5)), **_CUT),
    *operators("expand_as", case(unit(129), constant(_TABLE)), **_CUT),
    *operators("select.int", case(_TABLE, 1, 7), **_CUT),
    *operators("slice.Tensor", case(_TABLE, 1, 3, 100, 7), **_CUT),
    *operators("narrow", case(_TABLE, 1, 3, 50), **_CUT),
    *operators("split.Tensor", case(_TABLE, 10), guard=Guard.SPLIT, **_CUT),
    *operators("split.sizes split_with_sizes", case(_TABLE, (30, 7)), **_CUT),
    *operators("chunk tensor_split.sections", case(_TABLE, 5), guard=Guard.PIECES, **_CUT),
    *operators("unbind.int", case(_TABLE, 0), guard=Guard.UNBIND, **_CUT),
    *operators("unfold", case(_TABLE, 1, 9, 4), **_CUT),
    *operators("diagonal", case(_TABLE, 1), **_CUT),
    *operators("linalg_diagonal", case(_TABLE), **_CUT),
    *operators("view_as reshape_as", case(unit(36), constant(unit(4, 9))), **_SAME),
    *operators(
        "ravel alias detach atleast_1d atleast_2d atleast_3d real conj resolve_conj resolve_neg", case(_TABLE), **_SAME
    ),
    *operators("detach_", case(constant(_TABLE)), **_SAME),
)

_LAID_OUT = case(_IMAGES), case(_IMAGES, memory_format=Symbol("memory_format", "channels_last"))
_CONVERTED = case(_TABLE, dtype=_F64), case(_TABLE, device=Symbol("device", "model"))
COPIES = (
    *operators("tril triu tril_ triu_", case(_TABLE, 1)),
    *operators("fliplr flipud", case(_TABLE)),
    *operators("diag_embed", case(_TABLE), case(_TABLE, 1)),
    *operators("diag", case(_TABLE), case(unit(37), 1), aliases=True),
    *operators("select_scatter", case(_TABLE, unit(37), 1, 7)),
    *operators("slice_scatter", case(_TABLE, unit(37, 10), 1, 3, 33, 3)),
    *operators("diagonal_scatter", case(_TABLE, unit(37))),
    *operators("block_diag", case(_PIECES)),
    *operators("fill.Scalar", case(_TABLE, 0.3), flow=Flow.SIZES),
    *operators("flip", case(_IMAGES, (1, 3))),
    *operators("diff", case(_TABLE), case(_TABLE, 2, 0), case(_TABLE, 1, -1, unit(37, 1), unit(37, 3))),
    *operators("roll", case(_TABLE, (5,), (1,)), case(_TABLE, (7,))),
    *operators("rot90", case(_TABLE)),
    *operators("repeat tile", case(_TABLE, (2, 3))),
    *operators("repeat_interleave.self_int", case(_TABLE, 3, 1)),
    *operators("contiguous", *_LAID_OUT, **_SAME),
    *operators("clone", *_LAID_OUT, flow=Flow.SHAPES),
    *operators("lift_fresh_copy", case(_TABLE), flow=Flow.SHAPES),
    *operators("type_as to.other", case(_TABLE, Sample(TABLE, dtype="F64", requires_grad=False)), **_SAME),
    *operators("cat concat concatenate stack", case(_PIECES), case(_PIECES, 1)),
    *operators("hstack vstack dstack", case(_PIECES)),
    *operators("column_stack", case(_PIECES), case((unit(7), unit(7, 3)))),
    *operators("meshgrid.indexing", case((unit(4), unit(5)), indexing="ij"), **_CUT),
    *operators("broadcast_tensors", case((unit(4, 1), unit(5), unit(2, 1, 1))), **_CUT),
    *operators("pixel_shuffle", case(unit(2, 8, 3, 3), 2)),
    *operators("pixel_unshuffle", case(_IMAGES, 2)),
    *operators("channel_shuffle", case(_IMAGES, 3)),
    *operators("to.dtype", case(_TABLE, _F64), case(Sample(TABLE, -9, 9), _I64), **_SAME),
    *operators("to.device", case(_TABLE, Symbol("device", "model"), _F64), **_SAME),
    *operators("to.dtype_layout", *_CONVERTED, **_SAME),
    *operators("_to_copy", *_CONVERTED, flow=Flow.SHAPES),
    *operators("pad", *(case(unit(*SEQUENCE), (2, 3), mode) for mode in ("constant", "reflect", "replicate"))),
    *operators("constant_pad_nd", case(_TABLE, (2, 3, 1, 0), 0.3)),
)

CREATION = (
    *operators("zeros ones", case((37, 9)), case((37, 9), dtype=_I64)),
    *operators("full", case((37, 9), 0.3)),
    *operators("zeros_like ones_like", case(constant(_TABLE)), flow=Flow.SIZES),
    *operators("full_like", case(constant(_TABLE), 0.3), flow=Flow.SIZES),
    *operators("new_zeros new_ones", case(constant(_TABLE), (37, 9)), flow=Flow.SIZES),
    *operators("new_full", case(constant(_TABLE), (37, 9), 0.3), flow=Flow.SIZES),
    *operators("arange", case(5003), case(50.3)),
    *operators("arange.start", case(-3, 500)),
    *operators("arange.start_step", case(-3, 500, 7), case(-1.0, 1.0, 0.003)),
    *operators("linspace", case(-1.0, 1.0, 5003)),
    *operators("logspace", case(-1.0, 1.0, 503)),
    *operators("hann_window hamming_window blackman_window bartlett_window", case(129)),
    *operators(
        "hann_window.periodic hamming_window.periodic blackman_window.periodic bartlett_window.periodic",
        case(129, False),
    ),
    *operators("tril_indices triu_indices", case(37, 41, 1)),
    *operators("eye", case(37)),
    *operators("eye.m", case(37, 9)),
    *operators("scalar_tensor", case(0.3)),
)


def _numbers(names: str, *cases: Case, flow: Flow = Flow.MIXES) -> tuple[Operator, ...]:
    """Operators on numbers, which the interpreter computes itself."""
    return tuple(Operator(name, cases, flow=flow) for name in names.split())


NUMBERS = (
    *_numbers("int.size", case(constant(_TABLE), 1), flow=Flow.SIZES),
    *_numbers("int.numel", case(constant(_TABLE)), flow=Flow.SIZES),
    *_numbers("int.add int.sub int.mul int.floordiv int.mod int.max int.min", case(-7, 3)),
    *_numbers("int.neg", case(7)),
    *_numbers("real.of", case(7)),
    *_numbers("real.add real.sub real.mul real.div", case(0.1, 0.7)),
    *_numbers("real.neg", case(0.1)),
)
"""Integers made of a tensor's sizes, and what is made of them."""

BRACKETS = (Operator(OPEN_GRADIENT), Operator(CLOSE_GRADIENT))
"""They compute nothing, so that no case shows anything of them."""

RECORDS = (*LOOKUP, *VIEWS, *COPIES, *CREATION, *NUMBERS, *BRACKETS)
