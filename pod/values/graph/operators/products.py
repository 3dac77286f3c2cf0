"""Products: matrices, convolutions, attention, recurrent layers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from fitchain.pod.values.graph.operators.record import (
    BODY,
    IMAGES,
    SEQUENCE,
    SIGNAL,
    Case,
    CaseArgument,
    Flow,
    Guard,
    Layout,
    Operator,
    OwnKernel,
    Sample,
    case,
    laid,
    operators,
    unit,
    wide,
)

_OF_MATRICES = Layout.TRANSPOSED, Layout.SLICED, Layout.OFFSET
_LAYOUTS = tuple(product((Layout.ROWS, *_OF_MATRICES), repeat=2))[1:]
_SIZES = ((1, 1, 1), (1, 129, 33), (64, 129, 1), (7, 1, 3), (31, 31, 300), (100, 100, 31), (200, 300, 200))
_LARGE = ((64, 9001, 65), (1, 4097, 129), (512, 1000, 300), (1000, 64, 1000))
_SEVERAL = unit(4, 16, 32), unit(4, 32, 9)


def _pairs(*batch: int) -> tuple[Case, ...]:
    """Pairs of matrices, one or a batch: in every layout, with odd numbers, of doubles, and of
    sizes at which blocks end anywhere."""
    x, y = unit(*batch, 17, 45), unit(*batch, 45, 23)
    return (
        *(case(unit(*batch, rows, summed), unit(*batch, summed, columns)) for rows, summed, columns in _SIZES),
        *(case(laid(x, layout), laid(y, other)) for layout, other in _LAYOUTS),
        *(case(replace(each, odd=True), y) for each in (x, laid(x, Layout.TRANSPOSED))),
        case(x, replace(y, odd=True)),
        case(x, y),
        *(wide(unit(*batch, rows, summed), unit(*batch, summed, columns)) for rows, summed, columns in _LARGE),
    )


MATRICES = (
    *operators(
        "linear",
        case(unit(64, 129), unit(33, 129), unit(33)),
        case(unit(4, 16, 32), unit(9, 32)),
        case(unit(4, 16, 32), unit(9, 32), unit(9)),
        case(unit(129), unit(33, 129), unit(33)),
        case(laid(unit(64, 129), Layout.TRANSPOSED), laid(unit(33, 129), Layout.SLICED), unit(33)),
        case(replace(unit(64, 129), odd=True), unit(33, 129), unit(33)),
        wide(unit(128, 1024), unit(1024, 1024), unit(1024)),
    ),
    *operators("mm", *_pairs(), own=OwnKernel.PRODUCT, flow=Flow.PRODUCTS),
    *operators(
        "matmul",
        case(unit(4, 16, 32), unit(32, 9)),
        case(unit(129), unit(129, 33)),
        case(unit(2, 1, 16, 32), unit(3, 32, 9)),
        flow=Flow.PRODUCTS,
    ),
    *operators(
        "bmm",
        *_pairs(3),
        case(*_SEVERAL),
        wide(unit(64, 128, 64), unit(64, 64, 128)),
        wide(unit(256, 16, 8), unit(256, 8, 16)),
        own=OwnKernel.PRODUCT,
        flow=Flow.PRODUCTS,
    ),
    *operators("mv", case(unit(64, 129), unit(129)), flow=Flow.PRODUCTS),
    *operators("dot inner", case(unit(5003), unit(5003)), flow=Flow.PRODUCTS),
    *operators(
        "addmm",
        *(case(unit(*start), unit(64, 129), unit(129, 33)) for start in ((33,), (64, 1), (64, 33), (1,))),
        case(unit(33), unit(64, 129), unit(129, 33), beta=0.3, alpha=1.7),
        case(replace(unit(33), odd=True), unit(64, 129), unit(129, 33), beta=0),
        case(replace(unit(33), odd=True), replace(unit(64, 129), odd=True), unit(129, 33)),
        *(case(unit(23), laid(unit(17, 45), each), laid(unit(45, 23), other)) for each, other in _LAYOUTS),
        wide(unit(65), unit(64, 9001), unit(9001, 65)),
        own=OwnKernel.PRODUCT,
    ),
    *operators("addmv", case(unit(64), unit(64, 129), unit(129))),
    *operators(
        "baddbmm",
        case(unit(4, 16, 9), *_SEVERAL),
        case(unit(1, 1, 9), *_SEVERAL, beta=0.3, alpha=1.7),
        case(unit(4, 16, 9), replace(_SEVERAL[0], odd=True), _SEVERAL[1]),
        own=OwnKernel.PRODUCT,
    ),
    *operators("addbmm", case(unit(16, 9), *_SEVERAL)),
    *operators("addr", case(unit(64, 129), unit(64), unit(129))),
    *operators("outer", case(unit(64), unit(129))),
    *operators(
        "einsum",
        case("bij,bkj->bik", (unit(*SEQUENCE), unit(4, 9, 32))),
        case("bhid,bhjd->bhij", (unit(2, 3, 7, 8), unit(2, 3, 5, 8))),
        case("bhij,bhjd->bihd", (unit(2, 3, 7, 5), unit(2, 3, 5, 8))),
        flow=Flow.PRODUCTS,
        aliases=True,
    ),
    *operators("bilinear", case(unit(16, 9), unit(16, 7), unit(5, 9, 7), unit(5))),
    *operators("cross linalg_cross", case(unit(64, 3), unit(64, 3), dim=1)),
    *operators("kron", case(unit(7, 5), unit(3, 4))),
    *operators("vdot", case(unit(5003), unit(5003)), flow=Flow.PRODUCTS),
    *operators("linalg_vecdot", case(unit(64, 129), unit(64, 129))),
    *operators("linalg_matmul", case(unit(4, 16, 32), unit(32, 9)), flow=Flow.PRODUCTS),
    *operators("ger", case(unit(64), unit(129))),
    *operators("linalg_multi_dot", case((unit(9, 32), unit(32, 17), unit(17, 5)))),
    *operators(
        "cdist",
        case(unit(3, 17, 9), unit(3, 23, 9)),
        case(unit(3, 37, 9), unit(3, 41, 9)),
        case(unit(17, 9), unit(23, 9), 1),
        case(unit(17, 9), unit(23, 9), 3),
    ),
    *operators("matrix_exp linalg_matrix_exp", case(unit(5, 5)), case(unit(3, 9, 9))),
    *operators("linalg_matrix_power", case(unit(3, 9, 9), 5)),
    *operators("tensordot", case(unit(64, 129), unit(129, 33), (1,), (0,))),
)


def _alone(*cases: Case) -> tuple[Case, ...]:
    """Cases, and each with a single record, which torch gives to another kernel."""
    short = [each for each in cases if not each.wide]
    return (*cases, *(replace(each, arguments=(_first(each.arguments[0]), *each.arguments[1:])) for each in short))


def _first(records: CaseArgument) -> CaseArgument:
    return replace(records, shape=(1, *records.shape[1:])) if isinstance(records, Sample) else records


_WEIGHTS, _STRIDES = (unit(8, 6, 3, 3), unit(8)), ((2, 2), (1, 1))
CONVOLUTIONS = (
    *operators(
        "conv1d",
        *_alone(
            case(unit(*SIGNAL), unit(8, 6, 3), unit(8)), case(unit(*SIGNAL), unit(8, 6, 3), None, (2,), (1,), (2,))
        ),
    ),
    *operators("conv1d.padding", *_alone(case(unit(*SIGNAL), unit(8, 6, 3), unit(8), (1,), "same"))),
    *operators(
        "conv2d",
        *_alone(
            case(unit(*IMAGES), *_WEIGHTS),
            case(unit(*IMAGES), unit(6, 1, 3, 3), unit(6), (1, 1), (1, 1), (1, 1), 6),
            case(unit(16, 32, 16, 16), unit(64, 32, 3, 3), unit(64), *_STRIDES),
            case(unit(8, 32, 14, 14), unit(64, 32, 1, 1), unit(64)),
            case(unit(*IMAGES), unit(8, 6, 3, 3), None, (1, 1), (0, 0), (2, 2)),
        ),
        wide(unit(16, 64, 28, 28), unit(64, 64, 3, 3), None, (1, 1), (1, 1)),
        wide(unit(1, 64, 28, 28), unit(64, 64, 3, 3), None, (1, 1), (1, 1)),
        wide(unit(4, 256, 28, 28), unit(512, 256, 1, 1)),
        wide(unit(2, 512, 14, 14), unit(512, 512, 3, 3), None, (2, 2), (1, 1)),
        wide(unit(4, 64, 56, 56), unit(64, 1, 3, 3), None, (1, 1), (1, 1), (1, 1), 64),
        wide(unit(2, 3, 224, 224), unit(64, 3, 7, 7), None, (2, 2), (3, 3)),
    ),
    *operators("conv2d.padding", *_alone(case(unit(*IMAGES), *_WEIGHTS, (1, 1), "same"))),
    *operators(
        "conv3d",
        *_alone(
            case(unit(*BODY), unit(4, 3, 3, 3, 3), unit(4)),
            case(unit(*BODY), unit(4, 3, 3, 3, 3), None, (2, 2, 2), (1, 1, 1)),
        ),
    ),
    *operators("conv3d.padding", *_alone(case(unit(*BODY), unit(4, 3, 3, 3, 3), unit(4), (1, 1, 1), "valid"))),
    *operators("conv_transpose1d", *_alone(case(unit(*SIGNAL), unit(6, 8, 3), unit(8)))),
    *operators("conv_transpose2d.input", *_alone(case(unit(4, 8, 7, 7), unit(8, 3, 3, 3), unit(3), *_STRIDES))),
    *operators("conv_transpose3d.input", *_alone(case(unit(*BODY), unit(3, 4, 3, 3, 3)))),
)

_HEADS = (unit(2, 2, 16, 8),) * 3
ATTENTION = operators(
    "scaled_dot_product_attention",
    case(*_HEADS),
    case(*_HEADS, None, 0.0, True),
    case(*_HEADS, unit(16, 16)),
    case(*_HEADS, None, 0.25),
    case(*(unit(2, 3, size, 24) for size in (17, 29, 29)), scale=0.3),
    case(*(laid(each, Layout.SLICED) for each in _HEADS)),
    wide(*(unit(2, 4, 128, 64),) * 3, None, 0.1, True),
)


def _regular(*batch: int) -> tuple[Sample, ...]:
    """Square matrices of several sizes: of numbers between -1 and 1 one is hardly ever singular."""
    return tuple(unit(*batch, size, size) for size in (1, 3, 8, 33))


_SQUARES = (*(case(each) for each in (*_regular(), *_regular(4))), wide(unit(129, 129)))
SOLUTIONS = (
    *operators("linalg_inv inverse linalg_det det linalg_slogdet slogdet", *_SQUARES),
    *operators(
        "linalg_solve",
        *(case(each, unit(*each.shape[:-1], 5)) for each in (*_regular(), *_regular(4))),
        wide(unit(129, 129), unit(129, 7)),
    ),
    *operators(
        "linalg_solve_triangular",
        *(
            case(each, unit(*each.shape[:-1], 5), upper=upper)
            for each in (unit(8, 8), unit(4, 9, 9))
            for upper in (False, True)
        ),
    ),
    *operators("linalg_qr", case(unit(9, 5)), case(unit(4, 8, 8))),
    *operators("linalg_householder_product", case(unit(9, 5), unit(5)), case(unit(4, 8, 8), unit(4, 8))),
)
"""Systems of equations, by LAPACK."""

_ENDS = Sample((5,), 0, 38, "I32", ascending=True)
GROUPS = (
    Operator(
        "aten._grouped_mm.default",
        (
            case(unit(37, 24), unit(5, 24, 12), _ENDS),
            case(unit(37, 24), laid(unit(5, 24, 12), Layout.TRANSPOSED), _ENDS),
            case(unit(37, 24), unit(1, 24, 12), Sample((1,), 37, 38, "I32")),
            case(unit(37, 24), unit(5, 24, 12), Sample((5,), 37, 38, "I32")),
            wide(unit(512, 256), unit(8, 256, 512), Sample((8,), 0, 513, "I32", ascending=True)),
        ),
        guard=Guard.GROUPS,
        flow=Flow.PRODUCTS,
        chosen_by=2,
    ),
)
"""Rows of a matrix, the first to one matrix, the next to another: of a mixture of experts. Torch
has it of floats alone."""


def _weights(gates: int, widths: tuple[int, ...], size: int, biases: bool = True) -> tuple[Sample, ...]:
    """Weights and biases of several layers and directions, by what enters each."""
    rows = gates * size
    return tuple(
        each
        for width in widths
        for each in (unit(rows, width), unit(rows, size), *((unit(rows), unit(rows)) if biases else ()))
    )


def _recurrent(
    gates: int, x: Sample, layers: int, size: int, biases: bool = True, dropout: float = 0.0, both: bool = False
) -> Case:
    """A call of a recurrent layer on `[B, T, n]`."""
    directions = 2 if both else 1
    state = unit(layers * directions, x.shape[0], size)
    widths = (x.shape[2],) * directions + (size * directions,) * (directions * (layers - 1))
    weights = _weights(gates, widths, size, biases)
    return case(x, (state, state) if gates == 4 else state, weights, biases, layers, dropout, True, both, True)


def _layers(name: str, gates: int, guard: Guard, own: OwnKernel | None = None) -> tuple[Operator, ...]:
    """A recurrent layer: of one and two layers, directions, records, steps, with and without
    biases, of odd sizes, with dropout, of a view."""
    return operators(
        name,
        _recurrent(gates, unit(*SEQUENCE), 1, 24),
        _recurrent(gates, unit(*SEQUENCE), 2, 12, both=True),
        _recurrent(gates, unit(3, 5, 7), 2, 9, biases=False),
        _recurrent(gates, unit(3, 5, 7), 2, 9, dropout=0.5),
        _recurrent(gates, unit(1, 1, 5), 1, 1, both=True),
        _recurrent(gates, laid(unit(3, 17, 7), Layout.SLICED), 1, 33),
        replace(_recurrent(gates, unit(32, 32, 64), 2, 256), wide=True),
        guard=guard,
        own=own,
    )


RECURRENT = (
    *_layers("lstm.input", 4, Guard.LSTM, OwnKernel.LSTM),
    *_layers("gru.input", 3, Guard.GRU),
    *_layers("rnn_tanh.input", 1, Guard.RNN),
    *_layers("rnn_relu.input", 1, Guard.RNN),
    *operators("lstm_cell", case(unit(4, 32), (unit(4, 24), unit(4, 24)), *_weights(4, (32,), 24))),
    *operators("gru_cell", case(unit(4, 32), unit(4, 24), *_weights(3, (32,), 24))),
    *operators("rnn_tanh_cell rnn_relu_cell", case(unit(4, 32), unit(4, 24), *_weights(1, (32,), 24))),
)

RECORDS = (*MATRICES, *CONVOLUTIONS, *ATTENTION, *SOLUTIONS, *GROUPS, *RECURRENT)
