"""Layers: normalisation, activations, dropout and random numbers, pooling, resizing."""

from __future__ import annotations

from fitchain.pod.values.graph.nodes import Symbol
from fitchain.pod.values.graph.operators.record import (
    BODY,
    FLAT,
    IMAGES,
    SCANNED,
    SEQUENCE,
    SIGNAL,
    TABLE,
    Flow,
    Guard,
    Sample,
    case,
    constant,
    operators,
    spread,
    unit,
    wide,
)

_CHANNELS = (unit(6), unit(6))
_STATISTICS = (constant(unit(6)), constant(Sample((6,), 0.5, 1.5)))
NORMALISATION = (
    *operators(
        "batch_norm",
        case(unit(*IMAGES), *_CHANNELS, *_STATISTICS, True, 0.1, 1e-5, False),
        case(unit(*IMAGES), *_CHANNELS, *_STATISTICS, False, 0.1, 1e-5, False),
        guard=Guard.STATISTICS,
    ),
    *operators("layer_norm", case(unit(*TABLE), (129,), unit(129), unit(129))),
    *operators("group_norm", case(unit(*IMAGES), 3, *_CHANNELS)),
    *operators(
        "instance_norm",
        case(unit(*IMAGES), None, None, None, None, True, 0.1, 1e-5, False),
        case(unit(*IMAGES), *_CHANNELS, *_STATISTICS, True, 0.1, 1e-5, False),
        guard=Guard.STATISTICS,
    ),
    *operators("rms_norm", case(unit(*TABLE), (129,), unit(129))),
)

_SCANS = (wide(Sample(SCANNED)), wide(Sample(SCANNED, -30, 30)))
ACTIVATIONS = (
    *operators(
        "relu relu_ relu6 relu6_ leaky_relu leaky_relu_ hardtanh hardtanh_ hardswish hardswish_ hardsigmoid"
        " hardsigmoid_ hardshrink softshrink",
        case(spread(*FLAT)),
    ),
    *operators("elu selu celu silu sigmoid tanh mish log_sigmoid", case(spread(*FLAT)), *_SCANS),
    *operators("elu_ selu_ celu_ silu_ sigmoid_ tanh_ mish_", case(spread(*FLAT))),
    *operators("gelu", case(spread(*FLAT)), case(spread(*FLAT), approximate="tanh"), *_SCANS),
    *operators("softplus", case(spread(*FLAT)), case(spread(*FLAT), 2, 1), *_SCANS),
    *operators("prelu", case(unit(*IMAGES), unit(6))),
    *operators("threshold threshold_", case(spread(*FLAT), 0.1, 20)),
    *operators("glu", case(unit(*SEQUENCE))),
    *operators(
        "softmax.int log_softmax.int",
        *(case(unit(*TABLE), dim) for dim in (0, 1)),
        case(unit(*TABLE), 1, Symbol("dtype", "F64")),
    ),
)

DROPOUT = (
    *operators("dropout alpha_dropout", case(unit(*FLAT), 0.3, True), aliases=True),
    *operators("dropout_ alpha_dropout_", case(unit(*FLAT), 0.3, True)),
    *operators("feature_dropout feature_alpha_dropout", case(unit(*IMAGES), 0.3, True), aliases=True),
    *operators("feature_dropout_", case(unit(*IMAGES), 0.3, True)),
)
"""Masks come from the default generator. What drops nothing gives back what it was given."""

RANDOM = (
    *operators("rand randn", case((5003,))),
    *operators("rand_like randn_like", case(constant(unit(*TABLE))), flow=Flow.SIZES),
    *operators("bernoulli", case(constant(Sample(TABLE, 0, 1)))),
    *operators("bernoulli.p", case(constant(unit(*TABLE)), 0.3)),
    *operators("randint", case(100, (5003,))),
)
"""From the default generator."""

POOLING = (
    *operators("max_pool1d avg_pool1d", case(unit(*SIGNAL), (3,))),
    *operators("max_pool2d", case(unit(*IMAGES), (2, 2)), case(unit(*IMAGES), (3, 3), (2, 2), (1, 1))),
    *operators("max_pool2d_with_indices", case(unit(*IMAGES), (2, 2))),
    *operators("avg_pool2d", case(unit(*IMAGES), (3, 3), (2, 2))),
    *operators("max_pool3d avg_pool3d", case(unit(*BODY), (3, 3, 3))),
    *operators("adaptive_avg_pool1d adaptive_max_pool1d", case(unit(*SIGNAL), (7,))),
    *operators("adaptive_avg_pool2d adaptive_max_pool2d", case(unit(*IMAGES), (5, 5))),
    *operators("adaptive_avg_pool3d", case(unit(*BODY), (4, 4, 4))),
)

_SEEN_ONCE = (
    "it has been compared with one other CPU only; cpu-native admits it, and a transposed convolution resizes here"
)
RESIZING = (
    *operators("upsample_nearest1d.vec", case(unit(*SIGNAL), None, (2.0,)), not_portable=_SEEN_ONCE),
    *operators("upsample_nearest2d.vec", case(unit(*IMAGES), None, (2.0, 2.0)), not_portable=_SEEN_ONCE),
    *operators("upsample_nearest3d.vec", case(unit(*BODY), None, (2.0, 2.0, 2.0)), not_portable=_SEEN_ONCE),
    *operators("upsample_linear1d.vec", case(unit(*SIGNAL), None, False, (2.0,)), not_portable=_SEEN_ONCE),
    *operators(
        "upsample_bilinear2d.vec",
        case(unit(*IMAGES), None, False, (2.0, 2.0)),
        case(unit(*IMAGES), (17, 17), True, None),
        not_portable=_SEEN_ONCE,
    ),
    *operators(
        "_weight_norm",
        case(unit(33, 129), unit(33, 1)),
        case(unit(33, 129), unit(1, 129), 1),
        case(unit(7, 5, 3), unit(1, 5, 1), 1),
        not_portable=_SEEN_ONCE,
        guard=Guard.NORMS,
    ),
)
"""By the overloads whose sizes and scales cannot contradict each other."""

RECORDS = (*NORMALISATION, *ACTIVATIONS, *DROPOUT, *RANDOM, *POOLING, *RESIZING)
