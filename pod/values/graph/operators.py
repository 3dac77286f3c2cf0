"""Operators: what a graph may do, by environment class.

A graph comes from a stranger, so an operator is admitted only if it is named here; and it is named
here only if it reads nothing but its arguments, checks every index it is given, and makes shapes
that depend on shapes alone. Never admitted:

- uninitialised, foreign or out-of-bounds memory: `empty*`, `new_empty*`, `as_strided*`, `set_`,
  `resize_*`, `from_file`, `embedding_renorm_`, `max_unpool*`;
- shapes or branches that depend on values: `nonzero`, `masked_select`, `unique*`, `item`, `one_hot`
  without a number of classes;
- anything sparse, quantised, complex, on disk, or with a kernel of its own.

`cpu-native` admits all that is named: two hosts of one CPU vendor and vector width run the same
kernels. `cpu-x86-64-v3` promises equal bits on every x86-64-v3 host, so a family is in it only with
evidence: forward and backward digests, over odd sizes and strides, of a Zen 4 host and of Haswell,
Skylake and Zen 2 under emulation, with the class's variables set. Of 366 probes 355 were equal
(resizing and weight norm, equal too, were compared with Haswell alone and stay out). The others all
reach a square root or an arc tangent of Intel's vector math library, which starts from the
reciprocal approximations that each vendor makes in its own way:

- `sqrt` is computed by the class exactly (IEEE 754 asks for the nearest float, and NumPy's
  instruction gives it);
- `pow` with the exponents 0.5 and 1.5, `sqrt_`, `atan`, `asin`, `acos`, `tan`, `log2` and `log10`
  are refused (the last five were equal in a thousand values and not in millions; `exp`, `log`,
  `tanh`, `erf`, `erfinv`, `sin` and `cos` were equal in 78 million);
- `lstm` runs on ATen's own kernels, which were equal, not on oneDNN's, which no emulation here runs
  (see `fitchain.pod.compute.model`).
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from fitchain.pod.values.errors import InputRefused

V3, NATIVE = "cpu-x86-64-v3", "cpu-native"
CLASSES = (V3, NATIVE)

OPEN_GRADIENT, CLOSE_GRADIENT = "gradient.open", "gradient.close"
"""Brackets around a stretch that records gradients or does not (`torch.no_grad()` in a module's
forward)."""


@dataclass(frozen=True, slots=True)
class Family:
    """Operators that stand or fall together.

    Args:
        name: for people.
        operators: full names, overload included.
        refused: why `cpu-x86-64-v3` does not admit them and what to use instead; empty where it
            does.
    """

    name: str
    operators: tuple[str, ...]
    refused: str = ""


def _aten(text: str) -> tuple[str, ...]:
    """Full names of operators; a name without an overload has the overload `default`."""
    return tuple(f"aten.{name}" if "." in name else f"aten.{name}.default" for name in text.split())


# An operator whose gradient or value is a square root for some exponents: what `Graph.check`
# refuses in `cpu-x86-64-v3`.
POWERS = _aten("pow.Tensor_Scalar pow_.Scalar")
ROOT_EXPONENTS = (0.5, 1.5)

INTEGERS = tuple(
    f"int.{name}" for name in ("size", "numel", "add", "sub", "mul", "floordiv", "mod", "neg", "max", "min")
)
REALS = tuple(f"real.{name}" for name in ("of", "add", "sub", "mul", "div", "neg"))

FAMILIES: tuple[Family, ...] = (
    Family("sizes: integers made of a tensor's sizes, computed by the interpreter itself", (*INTEGERS, *REALS)),
    Family("gradient brackets", (OPEN_GRADIENT, CLOSE_GRADIENT)),
    Family(
        "matrices",
        _aten("linear matmul mm bmm mv dot addmm addmv baddbmm addbmm addr outer einsum bilinear tensordot inner"),
    ),
    Family(
        "convolutions",
        _aten(
            "conv1d conv2d conv3d conv1d.padding conv2d.padding conv3d.padding conv_transpose1d"
            " conv_transpose2d.input conv_transpose3d.input"
        ),
    ),
    Family("normalisation", _aten("batch_norm layer_norm group_norm instance_norm rms_norm")),
    Family(
        "activations",
        _aten(
            "relu relu_ relu6 relu6_ leaky_relu leaky_relu_ elu elu_ selu selu_ celu celu_ gelu silu silu_ sigmoid"
            " sigmoid_ tanh tanh_ softplus hardtanh hardtanh_ hardswish hardswish_ hardsigmoid hardsigmoid_ mish mish_"
            " prelu log_sigmoid hardshrink softshrink threshold threshold_ glu softmax.int log_softmax.int"
        ),
    ),
    Family(
        "dropout: masks come from the default generator",
        _aten("dropout dropout_ feature_dropout feature_dropout_ alpha_dropout alpha_dropout_ feature_alpha_dropout"),
    ),
    Family(
        "random numbers, from the default generator",
        _aten("rand rand_like randn randn_like bernoulli bernoulli.p randint"),
    ),
    Family(
        "pooling",
        _aten(
            "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices avg_pool1d avg_pool2d avg_pool3d"
            " adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d"
        ),
    ),
    Family(
        "resizing, by the overloads whose sizes and scales cannot contradict each other; weight norm",
        _aten(
            "upsample_nearest1d.vec upsample_nearest2d.vec upsample_nearest3d.vec upsample_linear1d.vec"
            " upsample_bilinear2d.vec _weight_norm"
        ),
        "it has been compared with one other CPU only; cpu-native admits it, and a transposed convolution resizes here",
    ),
    Family("attention", _aten("scaled_dot_product_attention")),
    Family(
        "recurrent",
        _aten("lstm.input gru.input rnn_tanh.input rnn_relu.input lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell"),
    ),
    Family(
        "lookup, with indices that the kernel checks",
        _aten("embedding gather index_select index.Tensor one_hot"),
    ),
    Family(
        "shape",
        _aten(
            "view reshape flatten.using_ints unflatten.int transpose.int swapaxes swapdims permute movedim.int"
            " movedim.intlist moveaxis.int t numpy_T mT adjoint squeeze squeeze.dim squeeze.dims unsqueeze unsqueeze_"
            " squeeze_.dim expand expand_as broadcast_to select.int slice.Tensor narrow split.Tensor split.sizes"
            " split_with_sizes chunk tensor_split.sections unbind.int unfold diagonal tril triu flip roll rot90 repeat"
            " tile repeat_interleave.self_int contiguous clone alias detach detach_ lift_fresh_copy view_as reshape_as"
            " type_as ravel atleast_1d atleast_2d cat concat concatenate stack hstack vstack dstack meshgrid.indexing"
            " pixel_shuffle pixel_unshuffle channel_shuffle to.dtype to.device to.dtype_layout to.other _to_copy pad"
            " constant_pad_nd"
        ),
    ),
    Family(
        "arithmetic",
        _aten(
            "add.Tensor add.Scalar sub.Tensor sub.Scalar rsub.Tensor rsub.Scalar mul.Tensor mul.Scalar div.Tensor"
            " div.Scalar div.Tensor_mode div.Scalar_mode floor_divide floor_divide.Scalar remainder.Tensor"
            " remainder.Scalar fmod.Tensor fmod.Scalar true_divide.Tensor subtract.Tensor multiply.Tensor"
            " divide.Tensor neg abs sign square reciprocal pow.Tensor_Tensor pow.Scalar pow.Tensor_Scalar maximum"
            " minimum clamp clamp.Tensor clamp_min clamp_max clip floor ceil round trunc frac lerp.Tensor lerp.Scalar"
            " addcmul addcdiv where.self where.ScalarSelf where.ScalarOther where.Scalar masked_fill.Scalar"
            " masked_fill.Tensor nan_to_num relu6 positive copysign.Tensor heaviside logaddexp absolute negative"
        ),
    ),
    Family(
        "arithmetic in place",
        _aten(
            "add_.Tensor add_.Scalar sub_.Tensor sub_.Scalar mul_.Tensor mul_.Scalar div_.Tensor div_.Scalar neg_"
            " abs_ copy_ fill_.Scalar fill_.Tensor zero_ clamp_ clamp_min_ clamp_max_ lerp_.Tensor lerp_.Scalar"
            " masked_fill_.Scalar masked_fill_.Tensor square_ exp_ addcmul_ addcdiv_ pow_.Scalar round_ floor_"
        ),
    ),
    Family(
        "transcendental functions",
        _aten(
            "exp exp2 expm1 log log1p rsqrt sin cos sinh cosh asinh atanh atan2 erf erfc erfinv lgamma sinc logit"
            " hypot xlogy.Tensor"
        ),
    ),
    Family("square root: exact in the class", _aten("sqrt")),
    Family("square root in place", _aten("sqrt_"), "its last bit differs between CPU vendors; x.sqrt() is exact here"),
    Family(
        "arc tangent",
        _aten("atan atan_ arctan"),
        "its last bit differs between CPU vendors; torch.atan2(x, torch.ones_like(x)) does not",
    ),
    Family(
        "arc sine and arc cosine",
        _aten("asin acos"),
        "about one value in 7,000 differs between CPU vendors; with r = ((1 - x) * (1 + x)).sqrt(), "
        "torch.atan2(x, r) and torch.atan2(r, x) do not",
    ),
    Family(
        "tangent and logarithms to other bases",
        _aten("tan log2 log10"),
        "one value in 100,000 to 2,000,000 differs between CPU vendors; "
        "x.sin() / x.cos() and x.log() * constant do not",
    ),
    Family(
        "reductions",
        _aten(
            "sum sum.dim_IntList mean mean.dim var var.dim var.correction std std.dim std.correction"
            " var_mean.correction norm.ScalarOpt_dim norm.Scalar linalg_vector_norm amax amin max max.dim max.other"
            " min min.dim min.other argmax argmin prod prod.dim_int logsumexp cumsum cumprod any any.dim all all.dim"
            " count_nonzero nansum cosine_similarity pairwise_distance topk sort argsort median median.dim aminmax"
        ),
    ),
    Family(
        "comparison and logic",
        _aten(
            "eq.Tensor eq.Scalar ne.Tensor ne.Scalar lt.Tensor lt.Scalar le.Tensor le.Scalar gt.Tensor gt.Scalar"
            " ge.Tensor ge.Scalar logical_and logical_or logical_not logical_xor bitwise_and.Tensor bitwise_or.Tensor"
            " bitwise_xor.Tensor bitwise_not bitwise_and.Scalar bitwise_or.Scalar isnan isinf isfinite __and__.Tensor"
            " __or__.Tensor greater.Scalar less.Scalar"
        ),
    ),
    Family(
        "creation",
        _aten(
            "zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full arange arange.start"
            " arange.start_step linspace eye eye.m scalar_tensor"
        ),
    ),
)

KNOWN: frozenset[str] = frozenset(name for family in FAMILIES for name in family.operators)
"""Every operator that some class admits."""

_REFUSED_BY_V3 = {name: family.refused for family in FAMILIES if family.refused for name in family.operators}
_HINTS = {
    "aten.empty": "uninitialised memory would enter the model; use zeros",
    "aten.item": "the computation may not depend on a value read back into Python; use torch.where",
    "aten.nonzero": "shapes may not depend on values; use torch.where or a mask",
    "aten.as_strided": "it reads memory without checks; use slices, views or unfold",
    "aten.pow": "its root differs between CPU vendors in the last bit; x.sqrt() and x * x.sqrt() are exact here",
}


def allowed(class_name: str) -> frozenset[str]:
    """The operators that an environment class admits.

    Raises:
        InputRefused: there is no such class.
    """
    if class_name not in CLASSES:
        raise InputRefused(f"the environment class {class_name!r} is not one of {', '.join(CLASSES)}")
    return KNOWN if class_name == NATIVE else KNOWN - _REFUSED_BY_V3.keys()


def refuses_exponent(class_name: str, operator: str, exponent: object) -> bool:
    """Whether a class refuses a power because it reaches the vendor's square root; an exponent that
    is no constant may."""
    constant = isinstance(exponent, int | float)
    return class_name == V3 and operator in POWERS and (not constant or exponent in ROOT_EXPONENTS)


def refusal(operator: str, class_name: str | None = None) -> str:
    """Why an operator is refused and what to do instead, as far as it is known."""
    if class_name == V3 and operator in _REFUSED_BY_V3:
        return _REFUSED_BY_V3[operator]
    for prefix, reason in _HINTS.items():
        if operator.replace(".new_", ".").startswith(prefix):
            return reason
    near = get_close_matches(operator, KNOWN, n=3, cutoff=0.8)
    return f"near ones are {', '.join(near)}" if near else "rewrite the module without it"
