"""Element by element: arithmetic, functions, comparison and logic.

Functions whose stock kernels part reach a square root or an arc tangent of Intel's vector math
library, which starts from the reciprocal approximations that each vendor makes in its own way
(`asin`, `acos`, `tan`, `log2` and `log10` were equal in a thousand values and not in millions;
`exp`, `log`, `tanh`, `erf`, `erfinv`, `sin` and `cos` were equal in 78 million). They are composed
of those that do not (`OwnKernel.COMPOSED`).
"""

from __future__ import annotations

from fitchain.pod.values.graph.operators.record import (
    FLAT,
    SCANNED,
    TABLE,
    Flow,
    OwnKernel,
    Sample,
    below,
    case,
    constant,
    mask,
    operators,
    positive,
    spread,
    unit,
    wide,
)

_ONE, _TWO, _THREE = case(spread(*FLAT)), case(unit(*FLAT), unit(*FLAT)), case(*(unit(*FLAT),) * 3)
_BY_POSITIVE = case(unit(*FLAT), positive(*FLAT))
_BROADCAST = case(unit(*TABLE), unit(129))
_SCANS = (wide(Sample(SCANNED)), wide(Sample(SCANNED, -30, 30)))
_SCANS_ABOVE_ZERO = (wide(Sample(SCANNED, 1e-6, 1)), wide(Sample(SCANNED, 1, 30)))
_SCAN_ROOTS = tuple(wide(Sample(SCANNED, 1e-6, 30), exponent) for exponent in (0.5, 1.5, -0.5))
_INSIDE = Sample(FLAT, -0.99, 0.99)
_SCAN_INSIDE = wide(Sample(SCANNED, -0.99, 0.99))
_FRACTION, _SCAN_FRACTIONS = Sample(FLAT, 0.01, 0.99), wide(Sample(SCANNED, 0.01, 0.99))

_POWERS = tuple(case(positive(*FLAT), exponent) for exponent in (2, 3, 1.7, -1, 0.5, 1.5, -0.5, 2.5))

ARITHMETIC = (
    *operators(
        "add.Tensor sub.Tensor rsub.Tensor mul.Tensor subtract.Tensor multiply.Tensor",
        _TWO,
        _BROADCAST,
        flow=Flow.ARITHMETIC,
    ),
    *operators("maximum minimum fmax fmin max.other min.other copysign.Tensor logaddexp logaddexp2", _TWO, _BROADCAST),
    *operators("add.Scalar sub.Scalar rsub.Scalar mul.Scalar div.Scalar", case(unit(*FLAT), 0.3), flow=Flow.ARITHMETIC),
    *operators("div.Tensor true_divide.Tensor divide.Tensor", _BY_POSITIVE, flow=Flow.ARITHMETIC),
    *operators(
        "div.Tensor_mode",
        *(case(unit(*FLAT), positive(*FLAT), rounding_mode=mode) for mode in ("floor", "trunc", None)),
    ),
    *operators("div.Scalar_mode", *(case(unit(*FLAT), 0.3, rounding_mode=mode) for mode in ("floor", "trunc", None))),
    *operators("floor_divide", case(below(1000, *FLAT), Sample(FLAT, 1, 9, "I64"))),
    *operators("floor_divide.Scalar", case(constant(unit(*FLAT)), 0.3), case(below(1000, *FLAT), 7)),
    *operators("remainder.Tensor fmod.Tensor", _BY_POSITIVE),
    *operators("remainder.Scalar fmod.Scalar", case(unit(*FLAT), 0.3)),
    *operators("neg negative", _ONE, case(unit(*TABLE)), flow=Flow.ARITHMETIC),
    *operators("positive", _ONE, case(unit(*TABLE)), flow=Flow.SHAPES, aliases=True),
    *operators("sign sgn signbit", _ONE, case(unit(*TABLE)), flow=Flow.COMPARES),
    *operators("abs square absolute", _ONE, case(unit(*TABLE)), flow=Flow.MEASURES),
    *operators("floor ceil round trunc frac", _ONE, case(unit(*TABLE))),
    *operators("reciprocal", case(positive(*FLAT)), *_SCANS_ABOVE_ZERO, flow=Flow.MEASURES),
    *operators("pow.Tensor_Tensor", case(positive(*FLAT), unit(*FLAT))),
    *operators("pow.Scalar", case(2.3, unit(*FLAT))),
    *operators("pow.Tensor_Scalar", *_POWERS, *_SCAN_ROOTS, own=OwnKernel.EXACT_ROOT, flow=Flow.MEASURES),
    *operators("clamp clip", case(unit(*FLAT), -0.5, 0.5)),
    *operators("clamp.Tensor", case(unit(*FLAT), unit(*FLAT), positive(*FLAT))),
    *operators("clamp_min clamp_max", case(unit(*FLAT), 0.1), flow=Flow.MEASURES),
    *operators("clamp_min.Tensor clamp_max.Tensor", _TWO, _BROADCAST),
    *operators("float_power.Tensor_Scalar", *(case(positive(*FLAT), exponent) for exponent in (2, 0.5, 1.7))),
    *operators("lerp.Tensor", _THREE, flow=Flow.ARITHMETIC),
    *operators("lerp.Scalar", case(unit(*FLAT), unit(*FLAT), 0.3), flow=Flow.ARITHMETIC),
    *operators("addcmul", _THREE, case(*(unit(*FLAT),) * 3, value=0.3), flow=Flow.ARITHMETIC),
    *operators("addcdiv", case(unit(*FLAT), unit(*FLAT), positive(*FLAT)), flow=Flow.ARITHMETIC),
    *operators("where.self", case(mask(*FLAT), unit(*FLAT), unit(*FLAT)), flow=Flow.ARITHMETIC, chosen_by=0),
    *operators("where.ScalarSelf", case(mask(*FLAT), 0.3, unit(*FLAT)), flow=Flow.ARITHMETIC, chosen_by=0),
    *operators("where.ScalarOther", case(mask(*FLAT), unit(*FLAT), 0.3), flow=Flow.ARITHMETIC, chosen_by=0),
    *operators("where.Scalar", case(mask(*FLAT), 0.3, 0.7), flow=Flow.ARITHMETIC, chosen_by=0),
    *operators(
        "masked_fill.Scalar masked_fill_.Scalar", case(unit(*FLAT), mask(*FLAT), 0.3), flow=Flow.ARITHMETIC, chosen_by=1
    ),
    *operators(
        "masked_fill.Tensor masked_fill_.Tensor",
        case(unit(*FLAT), mask(*FLAT), unit()),
        flow=Flow.ARITHMETIC,
        chosen_by=1,
    ),
    *operators("nan_to_num", case(Sample(FLAT, odd=True)), case(Sample(FLAT, odd=True), 0.0, 1.0, -1.0)),
    *operators("deg2rad rad2deg", _ONE, flow=Flow.ARITHMETIC),
    *operators("angle", case(Sample(FLAT, odd=True)), _ONE),
    *operators("ldexp.Tensor", case(unit(*FLAT), Sample(FLAT, -9, 9, "I64"))),
    *operators("nextafter", case(constant(unit(*FLAT)), constant(unit(*FLAT)))),
    *operators("heaviside", case(constant(unit(*FLAT)), constant(unit(*FLAT))), flow=Flow.COMPARES),
)

IN_PLACE = (
    *operators("add_.Tensor sub_.Tensor mul_.Tensor copy_", _TWO, _BROADCAST, flow=Flow.ARITHMETIC),
    *operators("add_.Scalar sub_.Scalar mul_.Scalar div_.Scalar", case(unit(*FLAT), 0.3), flow=Flow.ARITHMETIC),
    *operators("div_.Tensor", _BY_POSITIVE, flow=Flow.ARITHMETIC),
    *operators("neg_ zero_", _ONE, flow=Flow.ARITHMETIC),
    *operators("abs_ square_", _ONE, flow=Flow.MEASURES),
    *operators("exp_ exp2_ expm1_ sin_ cos_ erf_ round_ floor_ ceil_ trunc_ frac_", _ONE),
    *operators("sign_ sgn_", _ONE, flow=Flow.COMPARES),
    *operators("log_ log1p_", case(positive(*FLAT))),
    *operators("rsqrt_ reciprocal_", case(positive(*FLAT)), flow=Flow.MEASURES),
    *operators("fill_.Scalar", case(unit(*FLAT), 0.1), flow=Flow.ARITHMETIC),
    *operators("clamp_min_ clamp_max_", case(unit(*FLAT), 0.1), flow=Flow.MEASURES),
    *operators("fill_.Tensor", case(unit(*FLAT), unit()), flow=Flow.ARITHMETIC),
    *operators("clamp_ clip_", case(unit(*FLAT), -0.5, 0.5)),
    *operators("lerp_.Tensor addcmul_", _THREE, flow=Flow.ARITHMETIC),
    *operators("lerp_.Scalar", case(unit(*FLAT), unit(*FLAT), 0.3), flow=Flow.ARITHMETIC),
    *operators("addcdiv_", case(unit(*FLAT), unit(*FLAT), positive(*FLAT)), flow=Flow.ARITHMETIC),
    *operators("remainder_.Scalar fmod_.Scalar", case(unit(*FLAT), 0.3)),
    *operators("floor_divide_.Scalar", case(below(1000, *FLAT), 7)),
    *operators("nan_to_num_", case(Sample(FLAT, odd=True, requires_grad=False))),
    *operators("erfinv_", case(_INSIDE)),
    *operators("renorm_", case(unit(37, 129), 2, 0, 2.0), case(unit(37, 129), 1, 1, 2.0)),
    *operators("pow_.Scalar", *_POWERS, own=OwnKernel.EXACT_ROOT),
)

FUNCTIONS = (
    *operators("exp exp2 expm1 sin cos sinh cosh asinh erf erfc sinc", _ONE, *_SCANS),
    *operators("arcsinh special_exp2 special_expm1 special_erf special_erfc special_expit special_sinc", _ONE),
    *operators("log log1p lgamma", case(positive(*FLAT)), *_SCANS_ABOVE_ZERO),
    *operators("special_log1p special_gammaln digamma", case(positive(*FLAT))),
    *operators("acosh arccosh", case(Sample(FLAT, 1.01, 9)), wide(Sample(SCANNED, 1.01, 30))),
    *operators("arctanh special_erfinv", case(_INSIDE)),
    *operators("special_logit", case(_FRACTION)),
    *operators("special_entr", case(_FRACTION)),
    *operators("rsqrt", case(positive(*FLAT)), *_SCANS_ABOVE_ZERO, flow=Flow.MEASURES),
    *operators("atanh erfinv", case(_INSIDE), _SCAN_INSIDE),
    *operators("logit", case(_FRACTION), case(_FRACTION, 0.1), _SCAN_FRACTIONS),
    *operators("atan2 arctan2 hypot", _TWO, wide(Sample(SCANNED), Sample(SCANNED))),
    *operators("xlogy.Tensor special_xlogy special_xlog1py", _BY_POSITIVE),
    *operators("i0 special_i0e special_i1 special_i1e", _ONE, *_SCANS),
    *operators("special_erfcx special_log_ndtr", _ONE, *_SCANS),
    *operators("special_ndtri", case(_FRACTION), _SCAN_FRACTIONS),
    *operators("polygamma", *(case(order, positive(*FLAT)) for order in (0, 1, 2))),
    *operators("sqrt sqrt_", case(positive(*FLAT)), *_SCANS_ABOVE_ZERO, own=OwnKernel.EXACT_ROOT, flow=Flow.MEASURES),
    *operators("atan atan_", _ONE, *_SCANS, own=OwnKernel.COMPOSED),
    *operators("arctan arctan_", _ONE),
    *operators("asin acos asin_ acos_", case(_INSIDE), _SCAN_INSIDE, own=OwnKernel.COMPOSED),
    *operators("arcsin arccos", case(_INSIDE)),
    *operators("tan tan_", _ONE, *_SCANS, own=OwnKernel.COMPOSED),
    *operators("log2 log10 log2_ log10_", case(positive(*FLAT)), *_SCANS_ABOVE_ZERO, own=OwnKernel.COMPOSED),
)

_INTEGERS, _TRUTHS = case(below(9, *TABLE), below(9, *TABLE)), case(mask(*TABLE), mask(*TABLE))
_ODD = Sample(FLAT, odd=True)
_STEPS = Sample((37,), -5, 5, requires_grad=False, ascending=True)
LOGIC = (
    *operators(
        "eq.Tensor ne.Tensor lt.Tensor le.Tensor gt.Tensor ge.Tensor",
        _INTEGERS,
        case(_ODD, unit(*FLAT)),
        flow=Flow.COMPARES,
    ),
    *operators(
        "eq.Scalar ne.Scalar lt.Scalar le.Scalar gt.Scalar ge.Scalar greater.Scalar less.Scalar",
        case(below(9, *TABLE), 4),
        case(_ODD, 0.1),
        flow=Flow.COMPARES,
    ),
    *operators("logical_and logical_or logical_xor", _INTEGERS, _TRUTHS, flow=Flow.COMPARES),
    *operators("logical_not", case(below(3, *TABLE)), case(mask(*TABLE)), flow=Flow.COMPARES),
    *operators(
        "bitwise_and.Tensor bitwise_or.Tensor bitwise_xor.Tensor __and__.Tensor __or__.Tensor",
        _INTEGERS,
        _TRUTHS,
        flow=Flow.COMPARES,
    ),
    *operators(
        "bitwise_and_.Tensor bitwise_or_.Tensor bitwise_xor_.Tensor logical_and_ logical_or_ logical_xor_",
        _INTEGERS,
        _TRUTHS,
        flow=Flow.COMPARES,
    ),
    *operators("logical_not_ bitwise_not_", case(below(3, *TABLE)), case(mask(*TABLE)), flow=Flow.COMPARES),
    *operators(
        "__lshift__.Scalar __rshift__.Scalar bitwise_left_shift.Tensor_Scalar bitwise_right_shift.Tensor_Scalar",
        case(below(999, *TABLE), 3),
        case(Sample(TABLE, -999, 999, "I64"), 70),
        flow=Flow.COMPARES,
    ),
    *operators(
        "__lshift__.Tensor __rshift__.Tensor bitwise_left_shift.Tensor bitwise_right_shift.Tensor gcd",
        case(Sample(TABLE, -999, 999, "I64"), below(99, *TABLE)),
        flow=Flow.COMPARES,
    ),
    *operators("bitwise_not", case(below(9, *TABLE)), case(mask(*TABLE)), flow=Flow.COMPARES),
    *operators("bitwise_and.Scalar bitwise_or.Scalar", case(below(9, *TABLE), 5), flow=Flow.COMPARES),
    *operators("isnan isinf isfinite isneginf isposinf", case(_ODD), flow=Flow.COMPARES),
    *operators("bitwise_xor.Scalar", case(below(9, *TABLE), 5), flow=Flow.COMPARES),
    *operators("__xor__.Tensor", _INTEGERS, _TRUTHS, flow=Flow.COMPARES),
    *operators(
        "isin.Tensor_Tensor",
        case(below(99, *TABLE), below(99, 7)),
        case(below(99, *TABLE), below(99, 64)),
        flow=Flow.COMPARES,
    ),
    *operators(
        "bucketize.Tensor",
        case(constant(spread(*FLAT)), _STEPS),
        case(constant(spread(*FLAT)), _STEPS, right=True),
        flow=Flow.COMPARES,
    ),
    *operators(
        "searchsorted.Tensor",
        case(_STEPS, constant(spread(*FLAT))),
        case(_STEPS, constant(spread(*FLAT)), right=True),
        flow=Flow.COMPARES,
    ),
    *operators("bucketize.Scalar", case(0.3, _STEPS), flow=Flow.COMPARES),
    *operators("searchsorted.Scalar", case(_STEPS, 0.3), case(_STEPS, 0.3, right=True), flow=Flow.COMPARES),
)

RECORDS = (*ARITHMETIC, *IN_PLACE, *FUNCTIONS, *LOGIC)
