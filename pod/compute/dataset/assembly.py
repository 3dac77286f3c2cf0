"""Assembling: from record indices to the arrays that enter a model.

Numbers are transformed in float64 with the recipe's constants and then rounded once to float32;
every operation is element by element, so the result depends neither on the batch nor on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.columns import Array
from fitchain.pod.compute.dataset.table import Table
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.subgroups import Subgroups
from fitchain.pod.values.recipe.terms import CLASSIFICATION

KEPT_BYTES = 256 << 20

Assemble = Callable[[Array], tuple[tuple[Array, ...], Array]]


def assemble(
    recipe: Recipe, table: Table, dtypes: Sequence[str] | None = None, kept_bytes: int = KEPT_BYTES
) -> Assemble:
    """Prepare a recipe's inputs and target for taking batches of them.

    Args:
        recipe: inputs (one tuple of columns per argument of the model), target, transform, loss.
        table: the records; row i is record i.
        dtypes: what each argument wants, `float32` or `int64` (class or token numbers, taken
            untransformed); by default all float32.
        kept_bytes: a column is transformed once and kept if it has at most this many bytes then;
            else batch by batch, with the same result.

    Returns:
        A function from indices `[B]` to (inputs, target): for several scalar columns `[B, n]`, for
        a single column `[B, *shape]` with `[B, 1]` for a scalar, float32 or int64; the target `[B,
        *shape]`, int64 class numbers for a classification's loss and float32 for any other.

    Raises:
        InputRefused: an unknown column, columns that cannot be stacked, constants that do not fit
            the column, a target that is none of its categories.
    """
    wants = tuple(dtypes) if dtypes is not None else ("float32",) * len(recipe.inputs)
    if len(wants) != len(recipe.inputs):
        raise InputRefused(f"the recipe has {len(recipe.inputs)} inputs and the model takes {len(wants)}")
    arguments = [
        _kept(_argument(table, columns, recipe.transform, want), table.count, kept_bytes)
        for columns, want in zip(recipe.inputs, wants, strict=True)
    ]
    target = _kept(_target(table, recipe), table.count, kept_bytes)

    def take(indices: Array) -> tuple[tuple[Array, ...], Array]:
        return tuple(argument(indices) for argument in arguments), target(indices)

    return take


Take = Callable[[Array], Array]


def _kept(take: Take, count: int, most_bytes: int) -> Take:
    """Transform the whole column once if that is small; the numbers are the same either way."""
    if not count or take(np.zeros(1, np.uint64)).nbytes * count > most_bytes:
        return take
    whole = take(np.arange(count, dtype=np.uint64))
    return lambda indices: whole[indices]


def _argument(table: Table, columns: Sequence[str], transform: Mapping[str, Any], want: str) -> Take:
    shapes = [table.column(name).shape for name in columns]
    if not columns or (len(columns) > 1 and any(shapes)):
        raise InputRefused(
            f"the input of the columns {', '.join(columns)} mixes arrays",
            "an input is one array column or scalar columns",
        )
    if want not in ("float32", "int64"):
        raise InputRefused(f"the model takes {want} and inputs are float32 or int64")
    takes = [_numbers(table, name, transform.get(name), want) for name in columns]
    if shapes[0]:
        return takes[0]
    return lambda indices: np.stack([take(indices) for take in takes], axis=1)


def _numbers(table: Table, name: str, constants: Mapping[str, Any] | None, want: str) -> Take:
    """One column's cells as the model wants them."""
    array = table.arrays[name]
    if want == "int64":
        if not table.column(name).integral:
            raise InputRefused(f"the model takes int64 and column {name!r} holds {array.dtype}")
        return lambda indices: array[indices].astype(np.int64)
    constants = {"mean": 0.0, "scale": 1.0} if constants is None else constants
    if "mean" not in constants:
        raise InputRefused(f"the input column {name!r} has categories as its constants", "only a target has categories")
    mean, scale = np.float64(constants["mean"]), np.float64(constants["scale"])

    def numbers(indices: Array) -> Array:
        with np.errstate(
            over="ignore"
        ):  # beyond float32 is infinite, here and at every verifier: the run ends as diverged
            return ((array[indices].astype(np.float64) - mean) / scale).astype(np.float32)

    return numbers


def _target(table: Table, recipe: Recipe) -> Take:
    array, constants = table.arrays[table.column(recipe.target).name], recipe.transform.get(recipe.target)
    loss = recipe.loss.name
    classes = loss in CLASSIFICATION
    if constants is not None and "categories" in constants:
        numbers = class_numbers(table, recipe.target, constants["categories"])
        return lambda indices: numbers[indices] if classes else numbers[indices].astype(np.float32)
    if not classes:
        return _numbers(table, recipe.target, constants, "float32")
    # Whether one record's number is below 0 is none of the noised numbers that a private training
    # tells: there it fails in that record's loss, which counts as zeros.
    negative = recipe.privacy is None and array.size and array.min() < 0
    if constants is not None or not table.column(recipe.target).integral or negative:
        raise InputRefused(
            f"the loss {loss} wants class numbers and the target {recipe.target!r} has none",
            "copy the target's categories from the card, or choose a regression's loss",
        )
    return lambda indices: array[indices].astype(np.int64)


def class_numbers(table: Table, target: str, categories: Sequence[Any]) -> Array:
    """The target's class numbers, `[count]` int64: each cell's place among the categories.

    Args:
        table: where the target is an array of numbers, or of indices into texts.
        target: its column.
        categories: rising whole numbers, or texts.

    Raises:
        InputRefused: a cell is none of them.
    """
    if table.column(target).shape:
        raise InputRefused(f"the target {target!r} has categories and holds arrays")
    array = table.arrays[target]
    return _places(array, categories, table.categories, f"its {target!r} is none of the {len(categories)} categories")


def group_numbers(table: Table, subgroups: Subgroups) -> dict[str, Array]:
    """Which group each record is in, `[count]` int64 by column: its cell's place among the groups.

    Args:
        table: where such a column is an array of numbers, or of indices into texts.
        subgroups: groups by column.

    Raises:
        InputRefused: a column is not there or holds arrays, or a cell is none of its groups.
    """
    numbers = dict[str, Array]()
    for column, groups in subgroups.items():
        if table.column(column).shape:
            raise InputRefused(f"the column {column!r} has groups and holds arrays")
        problem = f"its {column!r} is none of the {len(groups)} groups"
        numbers[column] = _places(table.arrays[column], groups, table.texts.get(column, ()), problem)
    return numbers


def _places(array: Array, categories: Sequence[Any], texts: tuple[str, ...], problem: str) -> Array:
    """Each cell's place among categories; of texts the cells are the places."""
    if all(isinstance(category, str) for category in categories):
        if texts and tuple(categories) != texts:
            raise InputRefused("the table was read with other categories than the recipe's", "read it with the card's")
        values = np.arange(len(categories))
    else:
        values = np.array(categories)
    places = np.searchsorted(values, array).clip(0, len(values) - 1)
    wrong = np.flatnonzero(values[places] != array)
    if wrong.size:
        raise InputRefused(f"record {wrong[0]}: {problem}")
    return places.astype(np.int64)
