"""Reductions: sums, extremes, orders, over all of a tensor or along a dimension."""

from __future__ import annotations

from fitchain.pod.values.graph.nodes import Symbol
from fitchain.pod.values.graph.operators.record import (
    TABLE,
    Flow,
    Guard,
    Sample,
    below,
    case,
    constant,
    mask,
    operators,
    unit,
)

_ALL, _LARGE = case(unit(*TABLE)), case(unit(300, 700))
_ALONG = tuple(case(unit(*TABLE), dim) for dim in (0, 1))
_ALONG_SEVERAL = tuple(case(unit(*TABLE), (dim,)) for dim in (0, 1))
_TWO = case(unit(*TABLE), unit(*TABLE))
_SHORT = (37, 9)
_ORDERS = (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.7, float("inf"))
"""A norm's gradient takes powers of its values, and so roots."""
_NORMS = tuple(case(unit(*TABLE), order) for order in _ORDERS)

RECORDS = (
    *operators("sum mean", _ALL, _LARGE, case(below(9, *TABLE), dtype=Symbol("dtype", "F64")), flow=Flow.MEASURES),
    *operators(
        "sum.dim_IntList mean.dim",
        *_ALONG_SEVERAL,
        case(unit(4, 6, 12, 12), (0, 2, 3), True),
        flow=Flow.MEASURES,
    ),
    *operators("var std", _ALL, _LARGE, case(unit(*TABLE), False)),
    *operators("var.dim std.dim", *_ALONG_SEVERAL, case(unit(*TABLE), (1,), False, True)),
    *operators("var.correction std.correction var_mean.correction", *_ALONG_SEVERAL, case(unit(*TABLE), correction=0)),
    *operators("std_mean.correction", *_ALONG_SEVERAL, case(unit(*TABLE), correction=0)),
    *operators("var_mean std_mean", _ALL, case(unit(*TABLE), False)),
    *operators("var_mean.dim std_mean.dim", *_ALONG_SEVERAL, case(unit(*TABLE), (1,), False, True)),
    *operators("nanmean", _ALL, case(unit(*TABLE), (1,))),
    *operators("norm.Scalar", _ALL, *_NORMS, flow=Flow.MEASURES),
    *operators(
        "norm.ScalarOpt_dim",
        *(case(unit(*TABLE), order, (1,)) for order in _ORDERS),
        case(unit(*TABLE), None, (0,), True),
        flow=Flow.MEASURES,
    ),
    *operators(
        "linalg_vector_norm",
        _ALL,
        *_NORMS,
        *(case(unit(*TABLE), order, (0,)) for order in _ORDERS),
        flow=Flow.MEASURES,
    ),
    *operators("amax amin", _ALL, *_ALONG_SEVERAL),
    *operators("logsumexp", *_ALONG_SEVERAL),
    *operators("max min median nanmedian", _ALL),
    *operators("max.dim min.dim", *_ALONG),
    *operators("median.dim nanmedian.dim", *_ALONG, guard=Guard.ONE_ORDER),
    *operators("mode", case(unit(*TABLE), 1), case(below(9, *TABLE), 0), guard=Guard.ONE_ORDER),
    *operators(
        "argmax argmin",
        case(constant(unit(*TABLE))),
        *(case(constant(unit(*TABLE)), dim) for dim in (0, 1)),
        flow=Flow.COMPARES,
    ),
    *operators("aminmax", _ALL, case(unit(*TABLE), dim=1)),
    *operators("prod", case(Sample(_SHORT, 0.5, 1.5))),
    *operators("prod.dim_int", case(unit(*_SHORT), 1)),
    *operators("cumsum cumsum_ logcumsumexp cummax cummin", *_ALONG),
    *operators("cumprod cumprod_", case(unit(*_SHORT), 1)),
    *operators("any all", case(mask(*TABLE)), flow=Flow.COMPARES),
    *operators("any.dim all.dim", case(mask(*TABLE), 1), flow=Flow.COMPARES),
    *operators("any.dims all.dims", case(mask(*TABLE), (0, 1)), flow=Flow.COMPARES),
    *operators("count_nonzero.dim_IntList", case(below(2, *TABLE), (0, 1)), flow=Flow.COMPARES),
    *operators("renorm", *(case(unit(*TABLE), order, dim, 2.0) for order in (1, 2, 3) for dim in (0, 1))),
    *operators("trace", case(unit(37, 37))),
    *operators("dist", _TWO, *(case(unit(*TABLE), unit(*TABLE), order) for order in (1, 2, 3))),
    *operators("quantile.scalar", case(unit(*TABLE), 0.3), case(unit(*TABLE), 0.3, 1)),
    *operators("nanquantile.scalar", case(unit(*TABLE), 0.3, 1)),
    *operators(
        "quantile nanquantile",
        case(unit(*TABLE), constant(Sample((3,), 0, 1)), 1),
        case(unit(*TABLE), constant(Sample((2,), 0, 1)), 0, interpolation="nearest"),
    ),
    *operators("kthvalue", case(unit(*TABLE), 5, 1)),
    *operators(
        "sort.stable", case(unit(*TABLE), stable=True, dim=1), case(unit(*TABLE), stable=True, dim=0, descending=True)
    ),
    *operators("argsort.stable", case(constant(unit(*TABLE)), stable=True, dim=1), flow=Flow.COMPARES),
    *operators("count_nonzero", case(below(2, *TABLE)), case(below(2, *TABLE), 1), flow=Flow.COMPARES),
    *operators(
        "histc",
        *(case(constant(unit(*TABLE)), *bins) for bins in ((9, -0.7, 0.3), (100,), (1, 0, 0))),
        case(constant(Sample((5003,), 0, 9)), 8, 0, 7),
        guard=Guard.COUNTED,
        flow=Flow.COMPARES,
    ),
    *operators("nansum", _ALL, case(unit(*TABLE), (1,))),
    *operators("cosine_similarity", _TWO),
    *operators("pairwise_distance", _TWO, *(case(unit(*TABLE), unit(*TABLE), order) for order in _ORDERS)),
    *operators("topk", case(unit(*TABLE), 5, 1), case(unit(*TABLE), 5, 0, False)),
    *operators("sort", *_ALONG, case(unit(*TABLE), 1, True)),
    *operators("argsort", *(case(constant(unit(*TABLE)), dim) for dim in (0, 1)), flow=Flow.COMPARES),
)
