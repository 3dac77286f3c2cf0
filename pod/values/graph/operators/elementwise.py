"""Element by element: arithmetic, functions, comparison and logic.

Functions that part reach a square root or an arc tangent of Intel's vector math library, which
starts from the reciprocal approximations that each vendor makes in its own way (`asin`, `acos`,
`tan`, `log2` and `log10` were equal in a thousand values and not in millions; `exp`, `log`, `tanh`,
`erf`, `erfinv`, `sin` and `cos` were equal in 78 million).
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
    *operators("maximum minimum max.other min.other copysign.Tensor logaddexp", _TWO, _BROADCAST),
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
    *operators("sign", _ONE, case(unit(*TABLE)), flow=Flow.COMPARES),
    *operators("abs square absolute", _ONE, case(unit(*TABLE)), flow=Flow.MEASURES),
    *operators("floor ceil round trunc frac", _ONE, case(unit(*TABLE))),
    *operators("reciprocal", case(positive(*FLAT)), *_SCANS_ABOVE_ZERO, flow=Flow.MEASURES),
    *operators("pow.Tensor_Tensor", case(positive(*FLAT), unit(*FLAT))),
    *operators("pow.Scalar", case(2.3, unit(*FLAT))),
    *operators("pow.Tensor_Scalar", *_POWERS, *_SCAN_ROOTS, own=OwnKernel.EXACT_ROOT, flow=Flow.MEASURES),
    *operators("clamp clip", case(unit(*FLAT), -0.5, 0.5)),
    *operators("clamp.Tensor", case(unit(*FLAT), unit(*FLAT), positive(*FLAT))),
    *operators("clamp_min clamp_max", case(unit(*FLAT), 0.1), flow=Flow.MEASURES),
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
    *operators("heaviside", case(constant(unit(*FLAT)), constant(unit(*FLAT))), flow=Flow.COMPARES),
)

IN_PLACE = (
    *operators("add_.Tensor sub_.Tensor mul_.Tensor copy_", _TWO, _BROADCAST, flow=Flow.ARITHMETIC),
    *operators("add_.Scalar sub_.Scalar mul_.Scalar div_.Scalar", case(unit(*FLAT), 0.3), flow=Flow.ARITHMETIC),
    *operators("div_.Tensor", _BY_POSITIVE, flow=Flow.ARITHMETIC),
    *operators("neg_ zero_", _ONE, flow=Flow.ARITHMETIC),
    *operators("abs_ square_ exp_ round_ floor_", _ONE),
    *operators("fill_.Scalar", case(unit(*FLAT), 0.1), flow=Flow.ARITHMETIC),
    *operators("clamp_min_ clamp_max_", case(unit(*FLAT), 0.1), flow=Flow.MEASURES),
    *operators("fill_.Tensor", case(unit(*FLAT), unit()), flow=Flow.ARITHMETIC),
    *operators("clamp_", case(unit(*FLAT), -0.5, 0.5)),
    *operators("lerp_.Tensor addcmul_", _THREE, flow=Flow.ARITHMETIC),
    *operators("lerp_.Scalar", case(unit(*FLAT), unit(*FLAT), 0.3), flow=Flow.ARITHMETIC),
    *operators("addcdiv_", case(unit(*FLAT), unit(*FLAT), positive(*FLAT)), flow=Flow.ARITHMETIC),
    *operators("pow_.Scalar", *_POWERS, own=OwnKernel.EXACT_ROOT),
)

_ARC = "its last bit differs between CPU vendors; torch.atan2(x, torch.ones_like(x)) does not"
_ARC_SINE = (
    "about one value in 7,000 differs between CPU vendors; with r = ((1 - x) * (1 + x)).sqrt(), "
    "torch.atan2(x, r) and torch.atan2(r, x) do not"
)
_RARELY = (
    "one value in 100,000 to 2,000,000 differs between CPU vendors; x.sin() / x.cos() and x.log() * constant do not"
)
FUNCTIONS = (
    *operators("exp exp2 expm1 sin cos sinh cosh asinh erf erfc sinc", _ONE, *_SCANS),
    *operators("log log1p lgamma", case(positive(*FLAT)), *_SCANS_ABOVE_ZERO),
    *operators("rsqrt", case(positive(*FLAT)), *_SCANS_ABOVE_ZERO, flow=Flow.MEASURES),
    *operators("atanh erfinv", case(_INSIDE), _SCAN_INSIDE),
    *operators("logit", case(_FRACTION), case(_FRACTION, 0.1), _SCAN_FRACTIONS),
    *operators("atan2 hypot", _TWO, wide(Sample(SCANNED), Sample(SCANNED))),
    *operators("xlogy.Tensor", _BY_POSITIVE),
    *operators("sqrt sqrt_", case(positive(*FLAT)), *_SCANS_ABOVE_ZERO, own=OwnKernel.EXACT_ROOT, flow=Flow.MEASURES),
    *operators("atan atan_ arctan", _ONE, *_SCANS, not_portable=_ARC),
    *operators("asin acos", case(_INSIDE), _SCAN_INSIDE, not_portable=_ARC_SINE),
    *operators("tan", _ONE, *_SCANS, not_portable=_RARELY),
    *operators("log2 log10", case(positive(*FLAT)), *_SCANS_ABOVE_ZERO, not_portable=_RARELY),
)

_INTEGERS, _TRUTHS = case(below(9, *TABLE), below(9, *TABLE)), case(mask(*TABLE), mask(*TABLE))
_ODD = Sample(FLAT, odd=True)
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
    *operators("bitwise_not", case(below(9, *TABLE)), case(mask(*TABLE)), flow=Flow.COMPARES),
    *operators("bitwise_and.Scalar bitwise_or.Scalar", case(below(9, *TABLE), 5), flow=Flow.COMPARES),
    *operators("isnan isinf isfinite", case(_ODD), flow=Flow.COMPARES),
)

RECORDS = (*ARITHMETIC, *IN_PLACE, *FUNCTIONS, *LOGIC)
