"""Optimizers that torch does not have, written as their papers' loops over operators that every
environment class admits (torch).

They keep tensors of each parameter's shape and a count of steps, and look at the gradients of one
parameter at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Groups = Iterable[Tensor] | Iterable[Mapping[str, Any]]


class _OwnOptimizer(Optimizer, ABC):
    """Goes through all parameters that have a gradient."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter once.

        Args:
            closure: none; it is torch's way to ask for the loss again.
        """
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, self.state[parameter], group)

    @abstractmethod
    def _move(self, x: Tensor, gradient: Tensor, kept: dict[str, Tensor], group: Mapping[str, Any]) -> None:
        """Move a parameter by its gradient, and what is kept of it."""


class Lion(_OwnOptimizer):
    """Moves each number by the learning rate, in the direction of a sign.

    Args:
        groups: as torch's optimizers take them.
        lr: the learning rate.
        betas: of what decides the sign, and of what is kept.
        weight_decay: times the learning rate, of the parameter itself.

    Source: Chen et al., Symbolic Discovery of Optimization Algorithms (2023), algorithm 2.
    """

    def __init__(
        self, groups: Groups, lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": weight_decay})  # type: ignore[arg-type]

    def _move(self, x: Tensor, gradient: Tensor, kept: dict[str, Tensor], group: Mapping[str, Any]) -> None:
        average = kept.setdefault("exp_avg", torch.zeros_like(x))
        (beta1, beta2), lr = group["betas"], group["lr"]
        direction = (average * beta1).add_(gradient * (1 - beta1)).sign_()
        x.mul_(1 - lr * group["weight_decay"]).sub_(direction.mul_(lr))
        average.mul_(beta2).add_(gradient * (1 - beta2))


class LAMB(_OwnOptimizer):
    """Adam's direction, as long as the parameter itself, times the learning rate.

    Args:
        groups: as torch's optimizers take them.
        lr: the learning rate.
        betas: the decays of both averages.
        eps: added to the denominator.
        weight_decay: of the parameter, in the direction.

    Source: You et al., Large Batch Optimization for Deep Learning (2020), algorithm 2, with phi the
    identity; where the parameter or the direction is 0, the direction stays as long as it is.
    """

    # Many parameters: torch's own of an Adam.
    def __init__(
        self,
        groups: Groups,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(groups, defaults)  # type: ignore[arg-type]

    def _move(self, x: Tensor, gradient: Tensor, kept: dict[str, Tensor], group: Mapping[str, Any]) -> None:
        step = kept.setdefault("step", torch.zeros((), dtype=torch.float32)).add_(1).item()
        first = kept.setdefault("exp_avg", torch.zeros_like(x))
        second = kept.setdefault("exp_avg_sq", torch.zeros_like(x))
        beta1, beta2 = group["betas"]
        first.mul_(beta1).add_(gradient * (1 - beta1))
        second.mul_(beta2).add_((gradient * gradient).mul_(1 - beta2))
        denominator = (second / (1 - beta2**step)).sqrt_().add_(group["eps"])
        direction = (first / (1 - beta1**step)).div_(denominator).add_(x * group["weight_decay"])
        length, own = (torch.linalg.vector_norm(each).item() for each in (x, direction))
        trust = length / own if length > 0 and own > 0 else 1.0
        x.sub_(direction.mul_(group["lr"] * trust))
