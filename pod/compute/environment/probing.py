"""The probe: fixed work whose digest tells one environment from another (torch).

Two small networks are trained for twenty steps with each fused optimizer, and each kernel that a
model may reach is run forward and backward on fixed numbers. The inputs come from `rand` and
arithmetic; `randn` differs by vector width. Nothing here may be changed without new shipped
digests: a case added is a new probe.

Legend: B batch, C channels, H height, W width, T time, F features, K classes, N items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitchain.pod.values.digest import Digest, blake3_digest, published_root, sha256, tagged

STEPS = 20

Case = Callable[[], list[Tensor]]


def probe_digest() -> Digest:
    """Digest of all cases, in order of their names; torch must have been brought into the class
    before."""
    cases = all_cases()
    return published_root("fitchain/probe/v2", [case_digest(name, cases[name]) for name in sorted(cases)])


def all_cases() -> dict[str, Case]:
    """Every case by name: trainings and operators."""
    return {**_trainings(), **{name: partial(run, case) for name, case in OPERATORS.items()}}


def case_digest(name: str, case: Case) -> Digest:
    """Digest of one case's results, bit for bit."""
    results = b"".join(tensor.detach().contiguous().numpy().tobytes() for tensor in case())
    return tagged("fitchain/probe-case/v2", sha256(name.encode()), blake3_digest(results))


# Trainings


def _cnn() -> nn.Module:
    return nn.Sequential(  # [B, 1, 8, 8] -> [B, K]
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3), nn.GELU(), nn.Flatten(), nn.Dropout(0.25), nn.Linear(64, 10)),
    )


def _mlp() -> nn.Module:
    layers = nn.Linear(64, 48), nn.LayerNorm(48), nn.Tanh(), nn.Linear(48, 32), nn.SiLU(), nn.Dropout(0.1)
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(32, 10))  # [B, 1, 8, 8] -> [B, K]


_OPTIMIZERS: Mapping[str, Callable[[list[Tensor]], torch.optim.Optimizer]] = {
    "adamw": lambda parameters: torch.optim.AdamW(parameters, 0.01, fused=True),
    "sgd": lambda parameters: torch.optim.SGD(parameters, 0.05, momentum=0.9, weight_decay=1e-4, fused=True),
}


def _trainings() -> dict[str, Case]:
    models = {"cnn": _cnn, "mlp": _mlp}
    return {
        f"training/{model}/{optimizer}": partial(_train, models[model], _OPTIMIZERS[optimizer])
        for model in models
        for optimizer in _OPTIMIZERS
    }


def _train(model: Callable[[], nn.Module], optimizer: Callable[[list[Tensor]], torch.optim.Optimizer]) -> list[Tensor]:
    """Twenty steps on 32 fixed images of ten classes; returns losses, parameters and buffers."""
    network, uniform = model(), _uniform()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(next(uniform)(*parameter.shape) * 0.5 - 0.25)
    moves = optimizer(list(network.parameters()))
    images_BCHW, classes_B = next(uniform)(32, 1, 8, 8), torch.arange(32) % 10
    losses = []
    for step in range(STEPS):
        torch.manual_seed(step)  # dropout's masks
        loss = F.cross_entropy(network(images_BCHW), classes_B)
        moves.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        moves.step()
        losses.append(loss)
    return [*losses, *network.state_dict().values()]


# Operators


def _uniform() -> Iterator[Callable[..., Tensor]]:
    """Endless makers of uniform tensors in [0, 1), the n-th always the same."""
    for seed in count(1):
        yield partial(torch.rand, generator=torch.Generator().manual_seed(seed))


Operator = tuple[Callable[..., Tensor], tuple[tuple[int, ...], ...]]
"""A function, and the shapes of its arguments, which are uniform in [-1, 1)."""


def run(case: Operator) -> list[Tensor]:
    """Value and gradients of one operator; its arguments are fixed numbers and its generator's seed
    is 1."""
    function, shapes = case
    arguments = [(make(*shape) * 2 - 1).requires_grad_() for make, shape in zip(_uniform(), shapes, strict=False)]
    torch.manual_seed(1)
    value = function(*arguments)
    if not value.requires_grad:
        return [value]
    weights = torch.arange(1, value.numel() + 1, dtype=value.dtype).reshape(value.shape) / value.numel()
    return [value, *torch.autograd.grad((value * weights).sum(), arguments)]


_FLAT, _TABLE, _IMAGES, _SEQUENCE = (5003,), (37, 129), (4, 6, 12, 12), (4, 16, 32)


def _positive(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x * x + 0.01)


def _wide(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x * 6)


def _classes(x_NK: Tensor) -> Tensor:
    return torch.arange(x_NK.shape[0]) % x_NK.shape[1]


_ELEMENTWISE: dict[str, Operator] = {
    **{
        name: (_wide(getattr(torch, name)), (_FLAT,))
        for name in (
            *("abs", "ceil", "cos", "erf", "exp", "exp2", "expm1", "floor", "neg", "round", "sigmoid", "sign", "sin"),
            *("sinh", "square", "tanh", "trunc"),
        )
    },
    **{name: (_positive(getattr(torch, name)), (_FLAT,)) for name in ("log", "log1p", "reciprocal", "rsqrt")},
    **{
        name: (_wide(getattr(F, name)), (_FLAT,))
        for name in (
            *("celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish"),
            *("relu", "relu6", "selu", "silu", "softplus", "softsign"),
        )
    },
    "gelu_tanh": (_wide(partial(F.gelu, approximate="tanh")), (_FLAT,)),
    "pow_2": (lambda x: x**2, (_FLAT,)),
    "pow_3": (lambda x: x**3, (_FLAT,)),
    "add": (torch.add, (_FLAT, _FLAT)),
    "mul": (torch.mul, (_FLAT, _FLAT)),
    "div": (lambda x, y: x / (y * y + 0.01), (_FLAT, _FLAT)),
    "maximum": (torch.maximum, (_FLAT, _FLAT)),
    "minimum": (torch.minimum, (_FLAT, _FLAT)),
    "where": (lambda x, y: torch.where(x > 0, x, y), (_FLAT, _FLAT)),
    "clamp": (lambda x: x.clamp(-0.5, 0.5), (_FLAT,)),
    "dropout": (lambda x: F.dropout(x, 0.3, True), (_FLAT,)),
}

_REDUCTIONS: dict[str, Operator] = {
    **{
        f"{name}_{dim}": (partial(getattr(torch, name), dim=dim), (_TABLE,))
        for name in ("sum", "mean", "std", "var", "amax", "amin", "cumsum", "logsumexp", "softmax", "log_softmax")
        for dim in (0, 1)
    },
    **{f"{name}_large": (getattr(torch, name), ((300, 700),)) for name in ("sum", "mean", "var")},
    "norm_1": (partial(torch.linalg.vector_norm, dim=1), (_TABLE,)),
    "prod_1": (partial(torch.prod, dim=1), ((37, 9),)),
    "max_1": (lambda x: x.max(1).values, (_TABLE,)),
}

_PRODUCTS: dict[str, Operator] = {
    "mm": (torch.mm, ((64, 129), (129, 33))),
    "mm_large": (torch.mm, ((200, 300), (300, 200))),
    "addmm": (torch.addmm, ((33,), (64, 129), (129, 33))),
    "bmm": (torch.bmm, ((4, 16, 32), (4, 32, 9))),
    "baddbmm": (torch.baddbmm, ((4, 16, 9), (4, 16, 32), (4, 32, 9))),
    "mv": (torch.mv, ((64, 129), (129,))),
    "linear": (F.linear, ((64, 129), (33, 129), (33,))),
    "conv1d": (F.conv1d, ((4, 6, 40), (8, 6, 3), (8,))),
    "conv2d": (F.conv2d, (_IMAGES, (8, 6, 3, 3), (8,))),
    "conv2d_depthwise": (partial(F.conv2d, groups=6, padding=1), (_IMAGES, (6, 1, 3, 3), (6,))),
    "conv2d_strided": (partial(F.conv2d, stride=2, padding=1), ((16, 32, 16, 16), (64, 32, 3, 3), (64,))),
    "conv2d_pointwise": (F.conv2d, ((8, 32, 14, 14), (64, 32, 1, 1), (64,))),
    "conv3d": (F.conv3d, ((2, 3, 6, 6, 6), (4, 3, 3, 3, 3), (4,))),
    "conv_transpose2d": (F.conv_transpose2d, ((4, 8, 7, 7), (8, 3, 3, 3), (3,))),
    "attention": (F.scaled_dot_product_attention, ((2, 2, 16, 8),) * 3),
}

_LAYERS: dict[str, Operator] = {
    "batch_norm": (lambda x, w, b: F.batch_norm(x, torch.zeros(6), torch.ones(6), w, b, True), (_IMAGES, (6,), (6,))),
    "batch_norm_eval": (
        lambda x, w, b: F.batch_norm(x, torch.full((6,), 0.1), torch.full((6,), 1.3), w, b),
        (_IMAGES, (6,), (6,)),
    ),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (129,), w, b), (_TABLE, (129,), (129,))),
    "group_norm": (lambda x, w, b: F.group_norm(x, 3, w, b), (_IMAGES, (6,), (6,))),
    "instance_norm": (F.instance_norm, (_IMAGES,)),
    "rms_norm": (lambda x, w: F.rms_norm(x, (129,), w), (_TABLE, (129,))),
    "max_pool2d": (partial(F.max_pool2d, kernel_size=2), (_IMAGES,)),
    "avg_pool2d": (partial(F.avg_pool2d, kernel_size=3, stride=2), (_IMAGES,)),
    "adaptive_avg_pool2d": (partial(F.adaptive_avg_pool2d, output_size=5), (_IMAGES,)),
    "interpolate": (partial(F.interpolate, scale_factor=2, mode="bilinear"), (_IMAGES,)),
    "embedding": (lambda w: F.embedding(torch.arange(64) * 7 % 50, w), ((50, 16),)),
    "gather": (lambda x: x.gather(1, _classes(x)[:, None]), (_TABLE,)),
    "index_select": (lambda x: x.index_select(0, torch.arange(64) % 37), (_TABLE,)),
    "glu": (F.glu, (_SEQUENCE,)),
    "prelu": (F.prelu, (_IMAGES, (6,))),
}

_LOSSES: dict[str, Operator] = {
    "cross_entropy": (lambda x: F.cross_entropy(x, _classes(x)), (_TABLE,)),
    "cross_entropy_smooth": (lambda x: F.cross_entropy(x, _classes(x), label_smoothing=0.1), (_TABLE,)),
    "nll_loss": (lambda x: F.nll_loss(x, _classes(x)), (_TABLE,)),
    "binary_cross_entropy_with_logits": (
        lambda x: F.binary_cross_entropy_with_logits(x, (x.detach() > 0.2).float()),
        (_FLAT,),
    ),
    **{name: (getattr(F, name), (_FLAT, _FLAT)) for name in ("huber_loss", "l1_loss", "mse_loss", "smooth_l1_loss")},
}

OPERATORS: Mapping[str, Operator] = {**_ELEMENTWISE, **_REDUCTIONS, **_PRODUCTS, **_LAYERS, **_LOSSES}
"""Operators by name, forward and backward, each shown equal on every processor that the conformance
suite knows."""
