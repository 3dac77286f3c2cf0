"""The probe: fixed work whose digest tells one environment from another (torch).

Two small networks are trained for twenty steps with each kind of optimizer, each loss is computed
forward and backward, and each case of each operator's record that the class admits is run with the
class's kernels. The inputs come from `rand` and arithmetic; `randn` differs by vector width.
Nothing here, and no case of a record, may be changed without new shipped digests: a case added is a
new probe.

Legend: B batch, C channels, H height, W width, T time, F features, K classes, N items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitchain.pod.compute.environment.classes import EnvironmentClass
from fitchain.pod.compute.losses import loss_function
from fitchain.pod.compute.operators.cases import case_digest, case_name, run_case
from fitchain.pod.compute.own_optimizers import LAMB, Lion
from fitchain.pod.values.digest import Digest, published_root
from fitchain.pod.values.graph import OPERATORS
from fitchain.pod.values.recipe.terms import Choice

STEPS = 20

Work = Callable[[], list[Tensor | float | int | None]]


def probe_digest(of: EnvironmentClass) -> Digest:
    """Digest of a class's work, in order of its names; torch must have been brought into the class
    before."""
    works = probe_works(of)
    return published_root("fitchain/probe/v2", [case_digest(name, works[name]()) for name in sorted(works)])


def probe_works(of: EnvironmentClass) -> dict[str, Work]:
    """All that a class's probe computes, by name: trainings, losses, and cases of operators."""
    return {**_trainings(), **_losses(), **operator_works(of, wide=False)}


def operator_works(of: EnvironmentClass, wide: bool) -> dict[str, Work]:
    """The cases of operators that a class admits, by name.

    Args:
        of: the class, whose kernels compute.
        wide: those that take too long for a probe, instead of those that do not.
    """
    return {
        case_name(record, case): partial(run_case, record, case)
        for record in OPERATORS.values()
        for case in record.cases
        if case.wide == wide and of.admits.admits(record, case)
    }


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
    "rmsprop": lambda parameters: torch.optim.RMSprop(
        parameters, 0.01, momentum=0.5, centered=True, weight_decay=1e-4, foreach=False
    ),
    "adafactor": lambda parameters: torch.optim.Adafactor(parameters, 0.05, weight_decay=1e-4, foreach=False),
    "lion": lambda parameters: Lion(parameters, 0.001, weight_decay=0.01),
    "lamb": lambda parameters: LAMB(parameters, 0.01),
}


def _trainings() -> dict[str, Work]:
    models = {"cnn": _cnn, "mlp": _mlp}
    return {
        f"training/{model}/{optimizer}": partial(_train, models[model], _OPTIMIZERS[optimizer])
        for model in models
        for optimizer in _OPTIMIZERS
    }


def _train(
    model: Callable[[], nn.Module], optimizer: Callable[[list[Tensor]], torch.optim.Optimizer]
) -> list[Tensor | float | int | None]:
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


def optimizer_works() -> dict[str, Work]:
    """Steps of each kind of optimizer over a million numbers, which take too long for a probe."""
    return {f"optimizer/{name}": partial(_move, make) for name, make in _OPTIMIZERS.items()}


def _move(optimizer: Callable[[list[Tensor]], torch.optim.Optimizer]) -> list[Tensor | float | int | None]:
    """Three steps of a matrix and a vector; their gradients are of many sizes."""
    uniform = _uniform()
    parameters = [(next(uniform)(*shape) - 0.5).requires_grad_() for shape in ((1009, 1000), (100_003,))]
    moves = optimizer(parameters)
    for _ in range(3):
        for parameter in parameters:
            parameter.grad = (next(uniform)(*parameter.shape) * 2 - 1) ** 9
        moves.step()
    kept = [value for parameter in parameters for value in moves.state[parameter].values()]
    return [*(parameter.detach() for parameter in parameters), *kept]


def _uniform() -> Iterator[Callable[..., Tensor]]:
    """Endless makers of uniform tensors in [0, 1), the n-th always the same."""
    for seed in count(1):
        yield partial(torch.rand, generator=torch.Generator().manual_seed(seed))


# Losses


def _losses() -> dict[str, Work]:
    return {f"loss/{name}": partial(_run, *loss) for name, loss in _LOSSES.items()}


def _run(function: Callable[..., Tensor], shapes: tuple[tuple[int, ...], ...]) -> list[Tensor | float | int | None]:
    """Value and gradients of a loss; its arguments are uniform in [-1, 1)."""
    arguments = [(make(*shape) * 2 - 1).requires_grad_() for make, shape in zip(_uniform(), shapes, strict=False)]
    value = function(*arguments)
    return [value, *torch.autograd.grad(value, arguments)]


def _named(name: str, target: Callable[[Tensor], Tensor], **arguments: object) -> Callable[[Tensor], Tensor]:
    """A loss as a recipe names it, of a target that follows from what it is compared with."""
    loss = loss_function(Choice(name, arguments))
    return lambda x: loss(x, target(x.detach()))


def _classes(x_NK: Tensor) -> Tensor:
    return torch.arange(x_NK.shape[0]) % x_NK.shape[1]


_FLAT, _TABLE = (5003,), (37, 129)

_LOSSES: Mapping[str, tuple[Callable[..., Tensor], tuple[tuple[int, ...], ...]]] = {
    "cross_entropy": (lambda x: F.cross_entropy(x, _classes(x)), (_TABLE,)),
    "cross_entropy_smooth": (lambda x: F.cross_entropy(x, _classes(x), label_smoothing=0.1), (_TABLE,)),
    "nll_loss": (lambda x: F.nll_loss(x, _classes(x)), (_TABLE,)),
    "binary_cross_entropy_with_logits": (
        lambda x: F.binary_cross_entropy_with_logits(x, (x.detach() > 0.2).float()),
        (_FLAT,),
    ),
    **{name: (getattr(F, name), (_FLAT, _FLAT)) for name in ("huber_loss", "l1_loss", "mse_loss", "smooth_l1_loss")},
    "cross_entropy_ignoring": (
        _named("cross_entropy", _classes, ignore_index=3, weight=[1 + number / 7 for number in range(_TABLE[1])]),
        (_TABLE,),
    ),
    "focal_loss": (_named("focal_loss", _classes, focusing=1.5, ignore_index=3), (_TABLE,)),
    "quantile_loss": (_named("quantile_loss", torch.neg, quantile=0.9), (_FLAT,)),
    "dice_loss": (_named("dice_loss", lambda x: (x > 0.2).float()), (_TABLE,)),
    "poisson_nll_loss": (_named("poisson_nll_loss", lambda x: (9 * x.abs()).floor(), full=True), (_FLAT,)),
    "ctc_loss": (
        lambda x: loss_function(Choice("ctc_loss", {}))(x.log_softmax(2), torch.arange(1, 61).reshape(4, 15) % 7),
        ((4, 41, 7),),
    ),
    "kl_div": (_named("kl_div", lambda x: x.neg().softmax(1), reduction="batchmean"), (_TABLE,)),
}
