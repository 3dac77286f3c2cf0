"""Updates: how the gradients of a step, once they are there, become the next parameters (torch).

What moves are the weights. Where a recipe keeps their running average, the parameters hold that
average between two steps: it is what a leaf's model root is of, what held-out records evaluate, and
what is delivered; the weights stand beside the optimizer's tensors, under its root, and take the
parameters' place while a step is computed. So whoever has a state has all that the next step needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Optimizer

from fitchain.pod.compute.model.program import Program
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import GradientClip

WEIGHTS = "weights"
"""What moves, among the tensors that an optimizer keeps of a parameter."""
ANCHORS = "anchors"
"""The initial weights of a group's parameters, in their order, towards which a recipe pulls."""


@contextmanager
def weights_in_place(optimizer: Optimizer, ema: float | None) -> Iterator[None]:
    """Within, the parameters are the weights; after it, their running average once more.

    The average after the first step are its weights; after a later one each number is
    ema * average + (1 - ema) * weight, every operation rounded to float32. The tensors' memory
    stays where it is, as `side_by_side` wants it.

    Args:
        optimizer: of `fresh_optimizer`.
        ema: the share of the average that stays; None keeps none.

    Source: `torch.optim.swa_utils.AveragedModel` with `get_ema_avg_fn`.
    """
    if ema is None:
        yield
        return
    averages: dict[Tensor, Tensor] = {}
    with torch.no_grad():
        for parameter, kept in optimizer.state.items():
            if WEIGHTS in kept:
                averages[parameter] = parameter.clone()
                parameter.copy_(kept[WEIGHTS])
    yield
    with torch.no_grad():
        for parameter in (each for group in optimizer.param_groups for each in group["params"]):
            if parameter.grad is None:
                continue
            if parameter not in averages:
                optimizer.state[parameter][WEIGHTS] = parameter.clone()
                continue
            optimizer.state[parameter][WEIGHTS].copy_(parameter)
            parameter.mul_(1 - ema).add_(averages[parameter].mul_(ema))


def update(program: Program, recipe: Recipe, optimizer: Optimizer) -> None:
    """Move the weights by the gradients that are there.

    Args:
        program: whose parameters hold the weights, and gradients.
        recipe: proximal term, clip.
        optimizer: of `fresh_optimizer`, its learning rate set.
    """
    if recipe.proximal is not None:
        pull(optimizer, recipe.proximal)
    if recipe.gradient_clip is not None:
        clip_gradients(program, recipe.gradient_clip)
    optimizer.step()


def pull(optimizer: Optimizer, strength: float) -> None:
    """Add to each gradient strength * (weight - initial weight): the gradient of half the strength
    times the squared distance from the initial model.

    Source: Li et al., Federated Optimization in Heterogeneous Networks (2020), equation 2.
    """
    with torch.no_grad():
        for group in optimizer.param_groups:
            for parameter, anchor in zip(group["params"], group[ANCHORS], strict=True):
                if parameter.grad is not None:
                    parameter.grad.add_((parameter - anchor).mul_(strength))


def clip_gradients(program: Program, clip: GradientClip) -> None:
    """Shorten gradients that are longer than a recipe lets them be."""
    moved = [tensor for _, tensor in sorted(program.trainable.items())]  # a norm's last bit depends on the order
    if clip.kind == "norm":
        torch.nn.utils.clip_grad_norm_(moved, clip.most, foreach=False)
    else:
        torch.nn.utils.clip_grad_value_(moved, clip.most, foreach=False)
