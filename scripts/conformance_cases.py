"""Cases for the conformance suite beyond the probe's own: operators that a model may reach, and
wide scans of functions.

What stands under `suspect/` is outside `cpu-x86-64-v3`, each with its reason; everything else must
be equal on every processor. A function that a vendor's library computes may differ in one value of
a hundred thousand, so functions are scanned over a million.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitchain.pod.compute.environment.probing import Case, Operator, run

SCANNED = 1 << 20
_TABLE, _IMAGES, _SEQUENCE, _SIGNAL, _BODY = (37, 129), (4, 6, 12, 12), (4, 16, 32), (4, 6, 40), (2, 3, 6, 6, 6)

OPERATORS: Mapping[str, Operator] = {
    "addbmm": (torch.addbmm, ((16, 9), (4, 16, 32), (4, 32, 9))),
    "addmv": (torch.addmv, ((64,), (64, 129), (129,))),
    "addr": (torch.addr, ((64, 129), (64,), (129,))),
    "bilinear": (F.bilinear, ((16, 9), (16, 7), (5, 9, 7), (5,))),
    "dot": (torch.dot, ((5003,), (5003,))),
    "einsum": (partial(torch.einsum, "bij,bkj->bik"), (_SEQUENCE, (4, 9, 32))),
    "matmul_broadcast": (torch.matmul, (_SEQUENCE, (32, 9))),
    "outer": (torch.outer, ((64,), (129,))),
    "tensordot": (partial(torch.tensordot, dims=1), ((64, 129), (129, 33))),
    "conv1d_same": (partial(F.conv1d, padding="same"), (_SIGNAL, (8, 6, 3))),
    "conv2d_dilated": (partial(F.conv2d, dilation=2), (_IMAGES, (8, 6, 3, 3))),
    "conv2d_large": (partial(F.conv2d, padding=1), ((16, 64, 28, 28), (64, 64, 3, 3))),
    "conv_transpose1d": (F.conv_transpose1d, (_SIGNAL, (6, 8, 3))),
    "conv_transpose3d": (F.conv_transpose3d, (_BODY, (3, 4, 3, 3, 3))),
    "adaptive_avg_pool1d": (partial(F.adaptive_avg_pool1d, output_size=7), (_SIGNAL,)),
    "adaptive_max_pool2d": (partial(F.adaptive_max_pool2d, output_size=5), (_IMAGES,)),
    "avg_pool1d": (partial(F.avg_pool1d, kernel_size=3), (_SIGNAL,)),
    "avg_pool3d": (partial(F.avg_pool3d, kernel_size=3), (_BODY,)),
    "max_pool1d": (partial(F.max_pool1d, kernel_size=3), (_SIGNAL,)),
    "max_pool3d": (partial(F.max_pool3d, kernel_size=3), (_BODY,)),
    "cosine_similarity": (F.cosine_similarity, (_TABLE, _TABLE)),
    "pairwise_distance": (F.pairwise_distance, (_TABLE, _TABLE)),
    "cumprod": (partial(torch.cumprod, dim=1), ((37, 9),)),
    "median_dim": (lambda x: x.median(1).values, (_TABLE,)),
    "nansum": (torch.nansum, (_TABLE,)),
    "norm": (torch.norm, (_TABLE,)),
    "sort": (lambda x: x.sort(1).values, (_TABLE,)),
    "topk": (lambda x: x.topk(5, 1).values, (_TABLE,)),
    "var_mean": (lambda x: torch.stack(torch.var_mean(x, 1)), (_TABLE,)),
    "addcdiv": (lambda x, y, z: torch.addcdiv(x, y, z * z + 0.1), ((5003,),) * 3),
    "addcmul": (torch.addcmul, ((5003,),) * 3),
    "atan2": (torch.atan2, ((5003,), (5003,))),
    "fmod": (lambda x: torch.fmod(x, 0.3), ((5003,),)),
    "hypot": (torch.hypot, ((5003,), (5003,))),
    "lerp": (torch.lerp, ((5003,),) * 3),
    "logaddexp": (torch.logaddexp, ((5003,), (5003,))),
    "pow_tensor": (lambda x, y: (x * x + 0.01) ** y, ((5003,), (5003,))),
    "pow_1.7": (lambda x: (x * x + 0.01) ** 1.7, ((5003,),)),
    "rpow": (lambda x: 2.3**x, ((5003,),)),
    "remainder": (lambda x: torch.remainder(x, 0.3), ((5003,),)),
    "xlogy": (lambda x, y: torch.xlogy(x, y * y + 0.01), ((5003,), (5003,))),
    "alpha_dropout": (lambda x: F.alpha_dropout(x, 0.3, True), (_TABLE,)),
    "feature_dropout": (lambda x: F.dropout2d(x, 0.3, True), (_IMAGES,)),
    "bernoulli": (lambda x: torch.bernoulli(x.detach().abs()), (_TABLE,)),
    "rand": (lambda x: torch.rand(5003), ((1,),)),
    "randint": (lambda x: torch.randint(0, 100, (5003,)), ((1,),)),
    "randn": (lambda x: torch.randn(5003), ((1,),)),  # differs by vector width, which the class fixes
}
"""Forward and backward on fixed numbers, as the probe runs its own."""

_EVERYWHERE = (
    *(
        "asinh",
        "cos",
        "cosh",
        "erf",
        "erfc",
        "exp",
        "exp2",
        "expm1",
        "lgamma",
        "sigmoid",
        "sin",
        "sinc",
        "sinh",
        "tanh",
    ),
)
_ABOVE_ZERO, _WITHIN_ONE = ("log", "log1p", "rsqrt", "reciprocal"), ("atanh", "erfinv", "logit")
_ACTIVATIONS = ("celu", "elu", "gelu", "hardswish", "logsigmoid", "mish", "selu", "silu", "softplus", "softsign")

_VECTOR_MATH = {"atan": _EVERYWHERE, "tan": _EVERYWHERE, "asin": _WITHIN_ONE, "acos": _WITHIN_ONE}
_VECTOR_MATH |= {"log2": _ABOVE_ZERO, "log10": _ABOVE_ZERO, "sqrt": _ABOVE_ZERO}
"""Functions that MKL's vector math computes from the processor's own reciprocal approximations:
rarely one bit off."""


def wider_cases() -> dict[str, Case]:
    """All cases beyond the probe's, by name."""
    return {
        **{f"operator/{name}": partial(run, case) for name, case in OPERATORS.items()},
        **{f"scan/{name}": partial(scan, getattr(torch, name), _EVERYWHERE) for name in _EVERYWHERE},
        **{f"scan/{name}": partial(scan, getattr(torch, name), _ABOVE_ZERO) for name in _ABOVE_ZERO},
        **{f"scan/{name}": partial(scan, getattr(torch, name), _WITHIN_ONE) for name in _WITHIN_ONE},
        **{f"scan/{name}": partial(scan, getattr(F, name), _EVERYWHERE) for name in _ACTIVATIONS},
        **{f"recurrent/{kind.__name__.lower()}": partial(recurrent, kind) for kind in (nn.LSTM, nn.GRU, nn.RNN)},
        **{f"suspect/{name}": partial(scan, getattr(torch, name), where) for name, where in _VECTOR_MATH.items()},
        "suspect/pow_0.5": partial(scan, lambda x: x**0.5, _ABOVE_ZERO),  # it goes through sqrt
        **{f"suspect/{name}": partial(loop, kind) for name, kind in _LOOPS.items()},
        "suspect/cdist": partial(run, (torch.cdist, ((20, 50), (30, 50)))),
    }


def scan(function: Callable[[Tensor], Tensor], where: tuple[str, ...]) -> list[Tensor]:
    """A function's values at a million places, of which half lie near one and half over a wide
    range."""
    unit = torch.rand(SCANNED, generator=torch.Generator().manual_seed(1)) * 2 - 1
    if where is _WITHIN_ONE:
        return [function(unit.abs() if function is torch.logit else unit)]
    wide = torch.cat([unit[::2], unit[1::2] * 30])
    return [function(wide.abs() + 1e-6 if where is _ABOVE_ZERO else wide)]


def recurrent(kind: Callable[..., nn.Module]) -> list[Tensor]:
    """Output and gradients of a recurrent layer on ATen's kernels (no emulator runs oneDNN's)."""
    uniform = torch.Generator().manual_seed(1)
    layer = kind(32, 24, batch_first=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=uniform) - 0.5)
    torch._C._set_mkldnn_enabled(False)
    output = layer(torch.rand(_SEQUENCE, generator=uniform))[0]
    gradients = torch.autograd.grad(output.square().sum(), list(layer.parameters()))
    torch._C._set_mkldnn_enabled(True)
    return [output, *gradients]


_LOOPS: Mapping[str, Any] = {
    "rmsprop": torch.optim.RMSprop,
    "nadam": torch.optim.NAdam,
    "adadelta": torch.optim.Adadelta,
    "radam": torch.optim.RAdam,
    "adamax": torch.optim.Adamax,
}
"""Optimizers without a fused form on the CPU; their loops call `sqrt`."""


def loop(kind: Any) -> list[Tensor]:
    """Eight steps of an optimizer."""
    uniform = torch.rand(5003, generator=torch.Generator().manual_seed(1))
    parameter = uniform.clone().requires_grad_()
    optimizer = kind([parameter])
    for step in range(8):
        parameter.grad = uniform * (step + 1) - 0.5
        optimizer.step()
    return [parameter]
