"""Losses: what a step lowers, and which predictions hit (torch).

A loss is torch's own function of the recipe's name, or one that is composed here of operators that
every environment class admits.

Legend: B batch, K classes or outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.terms import AMONG, CLASS_WEIGHTS, CLASSIFICATION, CTC, DICE, KL, OF_TRUTHS, Choice

Loss = Callable[[Tensor, Tensor], Tensor]


def loss_function(choice: Choice) -> Loss:
    """The recipe's loss with its arguments."""
    function = _COMPOSED.get(choice.name) or getattr(F, choice.name)
    arguments = {name: value for name, value in choice.arguments.items() if name not in CLASS_WEIGHTS}
    weights = {name: value for name, value in choice.arguments.items() if name in CLASS_WEIGHTS}

    def loss(prediction_BK: Tensor, target_B: Tensor) -> Tensor:
        weights_K = {name: torch.tensor(value, dtype=prediction_BK.dtype) for name, value in weights.items()}
        value: Tensor = function(prediction_BK, target_B, **arguments, **weights_K)
        return value

    return loss


def fit(output: Tensor, target_B: Tensor, choice: Choice) -> Tensor:
    """Drop a trailing dimension of one that the target lacks; torch would broadcast `[B, 1]`
    against `[B]` to `[B, B]`.

    Raises:
        InputRefused: the shapes do not fit the loss.
    """
    shape, wanted = tuple(output.shape), tuple(target_B.shape)
    if choice.name == DICE and len(wanted) > 1 and shape == (wanted[0], 1, *wanted[1:]):
        return output.squeeze(1)  # one channel, of the mask
    if choice.name in CLASSIFICATION:
        if len(shape) < 2 or (shape[0], *shape[2:]) != wanted:
            raise InputRefused(
                f"the model's output is {list(shape)} and {choice.name} against targets {list(wanted)} needs"
                f" {[wanted[0], 'classes', *wanted[1:]]}",
                "let the model put out one number a class",
            )
        return output
    if choice.name == CTC:
        if len(shape) != 3 or len(wanted) != 2 or shape[0] != wanted[0]:
            raise InputRefused(
                f"the model's output is {list(shape)} and {CTC} against targets {list(wanted)} needs"
                f" {[wanted[0], 'steps', 'classes']}, against rows of labels",
                "let the model put out log-probabilities of each class in each step; all its steps count, since a table"
                " names no shorter length",
            )
        return output
    if shape == (*wanted, 1):
        return output.squeeze(-1)
    if shape != wanted:
        raise InputRefused(
            f"the model's output is {list(shape)}, and {choice.name} needs the target's {list(wanted)}",
            "let the model put out one number for each number of the target",
        )
    return output


def count_correct(prediction_BK: Tensor, target_B: Tensor, choice: Choice) -> int:
    """How many predictions hit."""
    return int(hits_of(prediction_BK, target_B, choice).sum())


def counted(target_B: Tensor, choice: Choice) -> Tensor:
    """Which targets count, bool of their shape: all but those of the class that a recipe ignores.
    Of sequences bool of the records."""
    if choice.name == CTC:
        return torch.ones(len(target_B), dtype=torch.bool)
    ignored = choice.arguments.get("ignore_index")
    return torch.ones_like(target_B, dtype=torch.bool) if ignored is None else target_B != ignored


def any_counts(target_B: Tensor, choice: Choice) -> Tensor:
    """Of which records any target counts, bool `[B]`."""
    return counted(target_B, choice).reshape(len(target_B), -1).any(1)


def mean_of(choice: Choice) -> Choice:
    """The same loss as a mean, whatever the recipe makes of a batch's."""
    return Choice(choice.name, {**choice.arguments, "reduction": "batchmean" if choice.name == KL else "mean"})


def mean_weight(target_B: Tensor, choice: Choice) -> float:
    """By what a loss divides where it takes a mean: the number of targets that count, of records,
    or the sum of class weights."""
    if choice.name in (DICE, CTC) or (choice.name == KL and choice.arguments.get("reduction") == "batchmean"):
        return len(target_B)
    counted_B = counted(target_B, choice)
    if choice.name in CLASSIFICATION and choice.name != "focal_loss" and "weight" in choice.arguments:
        weights_K = torch.tensor(choice.arguments["weight"], dtype=torch.float32).double()
        return float(weights_K[target_B[counted_B]].sum())
    return int(counted_B.sum())


def as_amounts(prediction_B: Tensor, choice: Choice) -> Tensor:
    """Predictions in the target's own unit: of a loss of logarithms, what these are of."""
    return prediction_B.exp() if choice.is_logarithm else prediction_B


def hits_of(prediction_BK: Tensor, target_B: Tensor, choice: Choice) -> Tensor:
    """Which predictions hit, bool of the target's shape: the largest class, or for a binary loss
    the sign of the logit; none of a target that does not count. Of sequences bool of the records:
    of which the likeliest path reads as all labels."""
    if choice.name == CTC:
        labels_BS = _labels(prediction_BK, target_B, choice)
        return (_read(prediction_BK, choice.arguments.get("blank", 0), labels_BS.shape[1]) == labels_BS).all(1)
    if choice.name in CLASSIFICATION:
        return (prediction_BK.argmax(1) == target_B) & counted(target_B, choice)
    return (prediction_BK > 0) == (target_B > 0.5)


def count_among(prediction_BK: Tensor, target_B: Tensor, choice: Choice) -> int:
    """How many targets that count are among the likeliest classes: fewer than `AMONG` others have a
    higher score."""
    counted_B = counted(target_B, choice)
    own = prediction_BK.gather(1, target_B.masked_fill(~counted_B, 0).unsqueeze(1))
    return int((((prediction_BK > own).sum(1) < AMONG) & counted_B).sum())


def taken_for(prediction_BK: Tensor, target_B: Tensor, loss: str) -> tuple[npt.NDArray[np.int64], ...]:
    """True class and the one that it was taken for, `[predictions]` each."""
    if loss in OF_TRUTHS:
        true, taken = target_B > 0.5, prediction_BK > 0
    else:
        true, taken = target_B, prediction_BK.argmax(1)
    return true.to(torch.int64).numpy().ravel(), taken.to(torch.int64).numpy().ravel()


def count_by_class(prediction_BK: Tensor, target_B: Tensor, choice: Choice) -> npt.NDArray[np.int64]:
    """Of each class how many targets that count are hit, are there and were predicted, `[3, K]`.

    Raises:
        IndexError: a target is none of the K classes.
    """
    classes = 2 if choice.name in OF_TRUTHS else prediction_BK.shape[1]
    counted_B = counted(target_B, choice).ravel().numpy()
    true, taken = (each[counted_B] for each in taken_for(prediction_BK, target_B, choice.name))
    if not ((true >= 0) & (true < classes)).all():
        raise IndexError("a target is out of range of the model's classes")
    return np.stack([np.bincount(each, minlength=classes) for each in (true[true == taken], true, taken)])


def sum_errors(prediction_B: Tensor, target_B: Tensor, choice: Choice) -> float:
    """The sizes of the errors of amounts, in doubles, rounded once."""
    errors_B = (as_amounts(prediction_B, choice).to(torch.float64) - target_B.to(torch.float64)).abs()
    return math.fsum(errors_B.ravel().tolist())


def _focal_loss(
    prediction_BK: Tensor,
    target_B: Tensor,
    reduction: str = "mean",
    focusing: float = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
) -> Tensor:
    """Cross entropy of which a record counts the less the surer it is, by (1 - p)^focusing.

    Source: Lin et al., Focal Loss for Dense Object Detection (2017), equation 4, over K classes.
    """
    entropy_B = F.cross_entropy(prediction_BK, target_B, reduction="none", ignore_index=ignore_index)
    focal_B = (1 - torch.exp(-entropy_B)).clamp_min(0) ** focusing * entropy_B
    ignored_B = target_B == ignore_index
    if weight is not None:
        focal_B = focal_B * weight[target_B.masked_fill(ignored_B, 0)]
    if reduction == "mean":
        return focal_B.sum() / (ignored_B.numel() - ignored_B.sum())  # of an ignored target it is 0
    return _reduced(focal_B, reduction)


def _dice_loss(prediction_BK: Tensor, target_BK: Tensor, reduction: str = "mean", smooth: float = 1.0) -> Tensor:
    """1 - (2 |P and T| + smooth) / (|P| + |T| + smooth) of each record, over all its numbers: P are
    the sigmoids of the logits, T the mask; of two empty masks it is near 0.

    Source: Milletari, Navab & Ahmadi, V-Net (2016), with the sums of P and T themselves, not of
    their squares, and Laplace's smoothing.
    """
    p_BN, target_BN = prediction_BK.sigmoid().reshape(len(target_BK), -1), target_BK.reshape(len(target_BK), -1)
    both_B, sizes_B = (p_BN * target_BN).sum(1), p_BN.sum(1) + target_BN.sum(1)
    return _reduced(1 - (2 * both_B + smooth) / (sizes_B + smooth), reduction)


def _quantile_loss(prediction_BK: Tensor, target_BK: Tensor, reduction: str = "mean", quantile: float = 0.5) -> Tensor:
    """The check function, which a quantile minimises: an error counts `quantile` where the target
    lies above the prediction, and 1 - `quantile` below.

    Source: Koenker & Bassett, Regression Quantiles (1978).
    """
    above_BK = target_BK - prediction_BK
    return _reduced(torch.maximum(above_BK * quantile, above_BK * (quantile - 1)), reduction)


def _ctc_loss(
    prediction_BTK: Tensor, target_BS: Tensor, reduction: str = "mean", blank: int = 0, zero_infinity: bool = False
) -> Tensor:
    """How unlikely the labels are, however they are laid beside the steps; a mean is over the
    records, each divided by its number of labels.

    A target's labels are those before its first blank. torch looks classes up without a check.

    Source: Graves et al., Connectionist Temporal Classification (2006); `torch.nn.CTCLoss`.
    """
    if not ((target_BS >= 0) & (target_BS < prediction_BTK.shape[2])).all():
        raise IndexError("a label is out of range of the model's classes")
    steps_B = torch.full((len(target_BS),), prediction_BTK.shape[1])
    labels_B = (target_BS != blank).cumprod(1).sum(1)
    return F.ctc_loss(prediction_BTK.transpose(0, 1), target_BS, steps_B, labels_B, blank, reduction, zero_infinity)


def _labels(prediction_BTK: Tensor, target_BS: Tensor, choice: Choice) -> Tensor:
    """Targets in as many places as both they and a path may have, blanks behind their labels."""
    blank, (_, steps, _) = choice.arguments.get("blank", 0), prediction_BTK.shape
    is_label_BS = (target_BS != blank).cumprod(1).bool()
    return F.pad(target_BS.where(is_label_BS, blank), (0, max(0, steps - target_BS.shape[1])), value=blank)


def _read(prediction_BTK: Tensor, blank: int, places: int) -> Tensor:
    """The likeliest path without repetitions and blanks, `[B, places]`, blanks behind it."""
    taken_BT = prediction_BTK.argmax(2)
    new_BT = torch.ones_like(taken_BT, dtype=torch.bool)
    new_BT[:, 1:] = taken_BT[:, 1:] != taken_BT[:, :-1]
    is_label_BT = new_BT & (taken_BT != blank)
    place_BT = torch.where(is_label_BT, is_label_BT.cumsum(1) - 1, places)  # behind the last: dropped
    return torch.full((len(taken_BT), places + 1), blank).scatter_(1, place_BT, taken_BT)[:, :places]


def _reduced(loss_B: Tensor, reduction: str) -> Tensor:
    return loss_B if reduction == "none" else loss_B.sum() if reduction == "sum" else loss_B.mean()


_COMPOSED: Mapping[str, Callable[..., Any]] = {
    "focal_loss": _focal_loss,
    "quantile_loss": _quantile_loss,
    DICE: _dice_loss,
    CTC: _ctc_loss,
}
