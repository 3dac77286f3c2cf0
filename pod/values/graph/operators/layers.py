"""Layers: normalisation, activations, dropout and random numbers, pooling, resizing."""

from __future__ import annotations

from dataclasses import replace

from fitchain.pod.values.graph.nodes import Symbol
from fitchain.pod.values.graph.operators.record import (
    BODY,
    FLAT,
    IMAGES,
    SCANNED,
    SEQUENCE,
    SIGNAL,
    TABLE,
    Case,
    CaseArgument,
    Flow,
    Guard,
    Layout,
    Operator,
    Sample,
    below,
    case,
    constant,
    laid,
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
    *operators("elu_ selu_ celu_ silu_ sigmoid_ tanh_ mish_ gelu_", case(spread(*FLAT))),
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
    *operators("special_softmax special_log_softmax", *(case(unit(*TABLE), dim) for dim in (0, 1))),
)

_ASKED, _OUTPUT = unit(*FLAT), Sample(FLAT, 0.01, 0.99)
_BY_OUTPUT = case(_ASKED, _OUTPUT)
_BY_INPUT = case(_ASKED, spread(*FLAT))
_ONCE = case(constant(_ASKED), constant(spread(*FLAT)))
_PART = (37, 40)


def _of_softmax(dtype: str, dim: int) -> Case:
    """The gradient of a softmax of one dtype: it is given the softmax itself."""
    asked, output = Sample(TABLE, dtype=dtype), Sample(TABLE, 0.01, 0.99, dtype)
    return case(asked, output, dim, Symbol("dtype", dtype))


GRADIENTS = (
    *operators("tanh_backward sigmoid_backward", _BY_OUTPUT),
    *operators("hardswish_backward", _BY_INPUT),
    *operators("silu_backward mish_backward hardsigmoid_backward", _ONCE),
    *operators("gelu_backward", _BY_INPUT, case(_ASKED, spread(*FLAT), approximate="tanh")),
    *operators("threshold_backward", case(_ASKED, spread(*FLAT), 0)),
    *operators("hardtanh_backward", case(_ASKED, spread(*FLAT), -1.0, 1.0)),
    *operators("softplus_backward", case(_ASKED, spread(*FLAT), 1, 20), case(_ASKED, spread(*FLAT), 2, 1)),
    *operators("leaky_relu_backward", case(_ASKED, spread(*FLAT), 0.01, False)),
    *operators("elu_backward", case(_ASKED, 1.0, 1.0, 1.0, False, spread(*FLAT))),
    *(
        Operator(f"aten.{name}.default", tuple(_of_softmax(*of) for of in (("F32", 0), ("F32", 1), ("F64", 1))))
        for name in ("_softmax_backward_data", "_log_softmax_backward_data")
    ),
    *operators("slice_backward", case(unit(*_PART), TABLE, 1, 3, 123, 3)),
    *operators("select_backward", case(unit(37), TABLE, 1, 5)),
)
"""What a gradient that `forward` itself asks for is made of, beside operators of other kinds."""

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
    *operators("randint.low", case(-9, 100, (5003,))),
    *operators("randint_like", case(constant(unit(*TABLE)), 100), flow=Flow.SIZES),
    *operators("multinomial", case(constant(Sample(TABLE, 0, 1)), 7), case(constant(Sample(TABLE, 0, 1)), 7, True)),
    *operators("randperm", case(503)),
    *operators("normal.Tensor_float", case(constant(unit(*TABLE)), 0.7)),
    *operators("normal.float_Tensor", case(0.3, constant(Sample(TABLE, 0, 1)))),
    *operators("normal.Tensor_Tensor", case(constant(unit(*TABLE)), constant(Sample(TABLE, 0, 1)))),
    *operators("poisson", case(constant(Sample(TABLE, 0, 30)))),
    *operators("exponential_", case(constant(unit(*TABLE))), case(constant(unit(*TABLE)), 0.3), flow=Flow.SIZES),
    *operators("bernoulli_.float", case(constant(unit(*TABLE)), 0.3), flow=Flow.SIZES),
    *operators("uniform_", case(constant(unit(*TABLE))), case(constant(unit(*TABLE)), -0.3, 0.7), flow=Flow.SIZES),
    *operators("normal_", case(constant(unit(*TABLE))), case(constant(unit(*TABLE)), 0.3, 0.7), flow=Flow.SIZES),
)
"""From the default generator."""

POOLING = (
    *operators("max_pool1d avg_pool1d", case(unit(*SIGNAL), (3,))),
    *operators("max_pool2d", case(unit(*IMAGES), (2, 2)), case(unit(*IMAGES), (3, 3), (2, 2), (1, 1))),
    *operators("max_pool2d_with_indices", case(unit(*IMAGES), (2, 2))),
    *operators("max_pool1d_with_indices", case(unit(*SIGNAL), (3,))),
    *operators("max_pool3d_with_indices", case(unit(*BODY), (3, 3, 3))),
    *operators("adaptive_max_pool3d", case(unit(*BODY), (4, 4, 4))),
    *operators("avg_pool2d", case(unit(*IMAGES), (3, 3), (2, 2))),
    *operators("max_pool3d avg_pool3d", case(unit(*BODY), (3, 3, 3))),
    *operators("adaptive_avg_pool1d adaptive_max_pool1d", case(unit(*SIGNAL), (7,))),
    *operators("adaptive_avg_pool2d adaptive_max_pool2d", case(unit(*IMAGES), (5, 5))),
    *operators("adaptive_avg_pool3d", case(unit(*BODY), (4, 4, 4))),
)


def _resized(of: Sample, *options: CaseArgument) -> tuple[Case, ...]:
    """A tensor made larger and smaller, by scales and to sizes that divide nothing; of channels
    that lie last, as convolutions leave them."""
    dimensions, channels = len(of.shape) - 2, laid(of, Layout.CHANNELS)
    scales = [case(of, None, *options, (scale,) * dimensions) for scale in (2.0, 1.7, 0.6)]
    sizes = [case(of, tuple(17 + each for each in range(dimensions)), *options, None)]
    return (
        *scales,
        *sizes,
        case(of, (5,) * dimensions, *options, None),
        case(channels, None, *options, (2.0,) * dimensions),
        case(channels, (9,) * dimensions, *options, None),
        case(replace(of, odd=True), None, *options, (1.5,) * dimensions),
    )


def _smooth(of: Sample) -> tuple[Case, ...]:
    """The same, with and without corners that stay where they are."""
    return (*_resized(of, False), *_resized(of, True))


_SHOT = unit(2, 37, 61, 83)
RESIZING = (
    *operators("upsample_nearest1d.vec _upsample_nearest_exact1d.vec", *_resized(unit(*SIGNAL)), guard=Guard.RESIZED),
    *operators(
        "upsample_nearest2d.vec _upsample_nearest_exact2d.vec",
        *_resized(unit(*IMAGES)),
        wide(_SHOT, (211, 157), None),
        guard=Guard.RESIZED,
    ),
    *operators("upsample_nearest3d.vec _upsample_nearest_exact3d.vec", *_resized(unit(*BODY)), guard=Guard.RESIZED),
    *operators("upsample_linear1d.vec", *_smooth(unit(*SIGNAL)), guard=Guard.RESIZED),
    *operators(
        "upsample_bilinear2d.vec",
        *_smooth(unit(*IMAGES)),
        *(
            wide(each, (211, 157), corners, None)
            for each in (_SHOT, laid(_SHOT, Layout.CHANNELS))
            for corners in (False, True)
        ),
        guard=Guard.RESIZED,
    ),
    *operators("upsample_trilinear3d.vec", *_smooth(unit(*BODY)), guard=Guard.RESIZED),
    *operators(
        "_upsample_bilinear2d_aa.vec _upsample_bicubic2d_aa.vec",
        *_smooth(unit(*IMAGES)),
        *(wide(_SHOT, (31, 57), corners, None) for corners in (False, True)),
        guard=Guard.RESIZED,
    ),
    *operators(
        "upsample_bicubic2d.vec",
        *_smooth(unit(*IMAGES)),
        *(wide(_SHOT, (211, 157), corners, None) for corners in (False, True)),
        guard=Guard.RESIZED,
    ),
)
"""By the overloads whose sizes and scales cannot contradict each other."""

_WINDOW = (3, 2), (1, 2), (1, 0), (2, 1)
WINDOWS = (
    *operators(
        "im2col",
        case(unit(*IMAGES), *_WINDOW),
        case(laid(unit(*IMAGES), Layout.CHANNELS), *_WINDOW),
        case(unit(6, 12, 12), (4, 4), (1, 1), (0, 0), (4, 4)),
        guard=Guard.WINDOWS,
    ),
    *operators(
        "col2im",
        case(unit(4, 36, 60), (12, 12), *_WINDOW),
        case(laid(unit(4, 36, 60), Layout.TRANSPOSED), (12, 12), *_WINDOW),
        case(unit(96, 9), (12, 12), (4, 4), (1, 1), (0, 0), (4, 4)),
        guard=Guard.WINDOWS,
    ),
)
"""Windows cut out of an image side by side, and added up where they lay."""

_GRID = Sample((4, 5, 7, 2), -1.3, 1.3)
SAMPLED = (
    *operators(
        "grid_sampler",
        *(
            case(unit(*IMAGES), _GRID, mode, padding, corners)
            for mode in (0, 1, 2)
            for padding in (0, 1, 2)
            for corners in (False, True)
        ),
        case(unit(*IMAGES), replace(_GRID, odd=True), 0, 0, False),
        *(case(unit(*BODY), Sample((2, 4, 5, 3, 3), -1.3, 1.3), mode, 0, False) for mode in (0, 1)),
        guard=Guard.SAMPLED,
        not_portable="it was not compared between processors; F.interpolate, rolls and products were",
    ),
    *operators(
        "affine_grid_generator",
        *(case(unit(4, 2, 3), (4, 6, 12, 12), corners) for corners in (False, True)),
        case(unit(2, 3, 4), (2, 3, 6, 6, 6), False),
    ),
)
"""An image read at places that are computed."""

_LABELS, _SCORES = below(9, 64), unit(64, 9)
LOSSES = (
    *operators(
        "mse_loss l1_loss smooth_l1_loss huber_loss",
        case(unit(*TABLE), unit(*TABLE)),
        case(unit(*TABLE), unit(*TABLE), 0),
    ),
    *operators("binary_cross_entropy", case(Sample(TABLE, 0.01, 0.99), constant(Sample(TABLE, 0, 1)))),
    *operators("binary_cross_entropy_with_logits", case(unit(*TABLE), constant(Sample(TABLE, 0, 1)))),
    *operators(
        "kl_div",
        case(unit(*TABLE), constant(Sample(TABLE, 0, 1))),
        case(unit(*TABLE), constant(unit(*TABLE)), 2, log_target=True),
    ),
    *operators("cross_entropy_loss", case(_SCORES, _LABELS), case(_SCORES, _LABELS, None, 2, 3, 0.1)),
    *operators("soft_margin_loss", case(unit(*TABLE), constant(unit(*TABLE))), case(unit(9), constant(unit(9)), 0)),
    *operators(
        "multi_margin_loss",
        case(_SCORES, _LABELS),
        case(_SCORES, _LABELS, 2, 0.5, None, 0),
        guard=Guard.MARGINS,
    ),
    *operators("nll_loss_nd", case(_SCORES, _LABELS), case(_SCORES, _LABELS, None, 2, 3)),
)
"""Losses that a module computes beside its output, or of it."""

WEIGHT_NORM = operators(
    "_weight_norm",
    case(unit(33, 129), unit(33, 1)),
    case(unit(33, 129), unit(1, 129), 1),
    case(unit(7, 5, 3), unit(1, 5, 1), 1),
    case(unit(7, 5, 3), unit(7, 1, 1)),
    wide(unit(512, 1031), unit(512, 1)),
    wide(unit(1031, 512), unit(1, 512), 1),
    guard=Guard.NORMS,
)

RECORDS = (
    *NORMALISATION,
    *ACTIVATIONS,
    *GRADIENTS,
    *DROPOUT,
    *RANDOM,
    *POOLING,
    *RESIZING,
    *WINDOWS,
    *SAMPLED,
    *LOSSES,
    *WEIGHT_NORM,
)
