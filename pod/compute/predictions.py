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
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import CLASSIFICATION, MOST_CONFUSED, OF_CLASSES, OF_TRUTHS

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
    values = class_values(recipe, card, count)
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]


def class_values(recipe: Recipe, card: Card, count: int) -> list[str | int | bool]:
    """What the class numbers of a target stand for, as the owner has it: texts, whole numbers or
    truth values."""
    if card.column(recipe.target).kind is Kind.BOOLEAN and count == 2:
        return [False, True]
    return list(recipe.transform.get(recipe.target, {}).get("categories", ())) or list(range(count))


def answers(outputs_N: Array, recipe: Recipe, card: Card) -> list[Any]:
    """What a model says of each record: its class; of labels for each whether it is there; of an
    amount the number in the target's own unit, of several a list.

    Args:
        outputs_N: the model's outputs, `[N, *shape]`.

    Raises:
        InputRefused: a record has more outputs than one row of answers.
    """
    outputs_NK, loss = _flat(outputs_N, recipe).astype(np.float64), recipe.loss.name
    if loss in CLASSIFICATION:
        values = class_values(recipe, card, outputs_NK.shape[1])
        return [values[number] for number in outputs_NK.argmax(1).tolist()]
    if loss in OF_TRUTHS and _is_single(recipe, card):
        values = class_values(recipe, card, 2)
        return [values[hit] for hit in (outputs_NK[:, 0] > 0).tolist()]
    if loss in OF_TRUTHS:
        return list((outputs_NK > 0).tolist())
    amounts = _amounts(outputs_NK, recipe)
    return list((amounts[:, 0] if amounts.shape[1] == 1 else amounts).tolist())


def probabilities(outputs_N: Array, recipe: Recipe, card: Card) -> Array:
    """How likely a model takes each class to be, `[N, K]`; of labels each to be there, `[N, L]`.

    Raises:
        InputRefused: the model predicts amounts, or a record has more outputs than one row.
    """
    outputs_NK = _flat(outputs_N, recipe).astype(np.float64)
    if recipe.loss.name not in OF_CLASSES:
        raise InputRefused(f"the model predicts amounts of {recipe.target!r:.80}, and no classes", "use predict")
    chances_NK = _chances(outputs_NK, recipe)
    is_single = recipe.loss.name in OF_TRUTHS and _is_single(recipe, card)
    return np.concatenate([1 - chances_NK, chances_NK], axis=1) if is_single else chances_NK


def _chances(outputs_BK: Array, recipe: Recipe) -> Array:
    """Outputs of a model of classes, or of labels, as probabilities."""
    with np.errstate(over="ignore", invalid="ignore"):
        if recipe.loss.name in OF_TRUTHS:
            return np.asarray(1 / (1 + np.exp(-outputs_BK)))
        raised = np.exp(outputs_BK - outputs_BK.max(1, keepdims=True))
        return np.asarray(raised / raised.sum(1, keepdims=True))


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
            "leave --predictions out; `outputs` of a loaded model gives them as an array",
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
            chances = _chances(outputs_BK, recipe) if len(names) <= MOST_CONFUSED else outputs_BK[:, :0]
            for winner, chance in zip(outputs_BK.argmax(1).tolist(), chances.tolist(), strict=True):
                yield [names[winner], *_rounded(chance)]
        elif loss in OF_TRUTHS:
            names = class_names(recipe, card, 2) if _is_single(recipe, card) else ["0", "1"]
            chances = _chances(outputs_BK, recipe)
            for hits, chance in zip((outputs_BK > 0).tolist(), chances.tolist(), strict=True):
                yield [*(names[hit] for hit in hits), *_rounded(chance)]
        else:
            amounts = _amounts(outputs_BK, recipe)
            digits = _digits(recipe)
            yield from ([f"{amount:.{digits}g}" for amount in row] for row in amounts.tolist())


def _amounts(outputs_BK: Array, recipe: Recipe) -> Array:
    """Outputs of a model of amounts in the target's own unit."""
    with np.errstate(over="ignore"):
        plain_BK = np.exp(outputs_BK) if recipe.loss.is_logarithm else outputs_BK
    return np.asarray(plain_BK * recipe.target_scale + recipe.target_centre)


def _digits(recipe: Recipe) -> int:
    """Significant digits of an amount: as many as float32 has, more where it is far from 0."""
    far = abs(recipe.target_centre) / recipe.target_scale
    return min(17, 9 + math.ceil(math.log10(max(far, 1.0))))


def _rounded(chances: Sequence[float]) -> list[str]:
    return [f"{chance:.{DIGITS}g}" for chance in chances]
