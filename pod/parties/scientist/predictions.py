"""Predictions as a CSV file: what a model says of each record, in the words and units of the
dataset's card.

Of a classification the class's name and, of up to `MOST_CONFUSED` classes, how likely the model
takes each of them to be; of labels whether each is there and how likely; of an amount the number
in the target's own unit. Row i is record i of the table.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset import Card, Kind
from fitchain.pod.compute.dataset.columns import SLAB_ROWS, Array
from fitchain.pod.values.errors import InputRefused, reason_of
from fitchain.pod.values.held_out import MOST_CONFUSED
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import CLASSIFICATION, OF_TRUTHS

DIGITS = 6
"""Significant digits of a probability."""


def write_predictions(path: Path, outputs_N: Array, recipe: Recipe, card: Card) -> None:
    """Write what a model predicts of each record.

    Args:
        path: the file, which is overwritten.
        outputs_N: the model's outputs, `[N, *shape]`.
        recipe: of its job.
        card: of the dataset that it was trained on.

    Raises:
        InputRefused: the file cannot be written, or a record has more outputs than fit a line.
    """
    flat_NK = _flat(outputs_N, recipe)
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["record", *_headers(flat_NK.shape[1], recipe, card)])
            for first in range(0, len(flat_NK), SLAB_ROWS):
                rows = _cells(flat_NK[first : first + SLAB_ROWS].astype(np.float64), recipe, card)
                writer.writerows([number, *cells] for number, cells in enumerate(rows, first + 1))
    except OSError as error:
        raise InputRefused(f"the predictions {path} cannot be written: {reason_of(error)}") from None


def class_names(recipe: Recipe, card: Card, count: int) -> list[str]:
    """What the class numbers of a target stand for."""
    categories = recipe.transform.get(recipe.target, {}).get("categories", ())
    if card.column(recipe.target).kind is Kind.BOOLEAN and count == 2:
        return ["false", "true"]
    return [str(category) for category in categories] or [str(number) for number in range(count)]


def label_names(recipe: Recipe, count: int) -> list[str]:
    """What the numbers of a target of several are called."""
    return [recipe.target] if count == 1 else [f"{recipe.target}[{number}]" for number in range(count)]


def _flat(outputs_N: Array, recipe: Recipe) -> Array:
    """Outputs as `[N, K]`."""
    shape = outputs_N.shape[1:]
    if len(shape) > 1 and shape[-1] == 1 and recipe.loss.name not in CLASSIFICATION:
        shape = shape[:-1]
    if len(shape) > 1:
        raise InputRefused(
            f"the model puts out {' x '.join(map(str, shape))} numbers a record, which no line of a table holds",
            "leave --predictions out",
        )
    return outputs_N.reshape(len(outputs_N), -1)


def _is_single(recipe: Recipe, card: Card) -> bool:
    """Whether a binary loss is of one question with two answers, and not of labels."""
    return not card.column(recipe.target).shape


def _headers(width: int, recipe: Recipe, card: Card) -> list[str]:
    loss, target = recipe.loss.name, recipe.target
    if loss in CLASSIFICATION:
        names = class_names(recipe, card, width)
        return [target, *(f"probability of {name}" for name in names if width <= MOST_CONFUSED)]
    if loss in OF_TRUTHS and _is_single(recipe, card):
        return [target, f"probability of {class_names(recipe, card, 2)[1]}"]
    if loss in OF_TRUTHS:
        labels = label_names(recipe, width)
        return [*labels, *(f"probability of {label}" for label in labels)]
    unit = card.column(target).unit
    return [f"{label} ({unit})" if unit else label for label in label_names(recipe, width)]


def _cells(outputs_BK: Array, recipe: Recipe, card: Card) -> Iterator[list[Any]]:
    """Of some records the cells that follow the number."""
    loss = recipe.loss.name
    with np.errstate(over="ignore", invalid="ignore"):
        if loss in CLASSIFICATION:
            names = class_names(recipe, card, outputs_BK.shape[1])
            raised = np.exp(outputs_BK - outputs_BK.max(1, keepdims=True))
            chances = raised / raised.sum(1, keepdims=True) if len(names) <= MOST_CONFUSED else raised[:, :0]
            for winner, chance in zip(outputs_BK.argmax(1).tolist(), chances.tolist(), strict=True):
                yield [names[winner], *_rounded(chance)]
        elif loss in OF_TRUTHS:
            names = class_names(recipe, card, 2) if _is_single(recipe, card) else ["0", "1"]
            chances = 1 / (1 + np.exp(-outputs_BK))
            for hits, chance in zip((outputs_BK > 0).tolist(), chances.tolist(), strict=True):
                yield [*(names[hit] for hit in hits), *_rounded(chance)]
        else:
            given_BK = np.exp(outputs_BK) if recipe.loss.is_logarithm else outputs_BK
            amounts = given_BK * recipe.target_scale + recipe.target_centre
            digits = _digits(recipe)
            yield from ([f"{amount:.{digits}g}" for amount in row] for row in amounts.tolist())


def _digits(recipe: Recipe) -> int:
    """Significant digits of an amount: as many as float32 has, more where it is far from 0."""
    far = abs(recipe.target_centre) / recipe.target_scale
    return min(17, 9 + math.ceil(math.log10(max(far, 1.0))))


def _rounded(chances: Sequence[float]) -> list[str]:
    return [f"{chance:.{DIGITS}g}" for chance in chances]
