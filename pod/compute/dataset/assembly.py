"""Assembling: from record indices to the arrays that enter a model.

Numbers are transformed in float64 with the recipe's constants and then rounded once to float32;
every operation is element by element, so the result depends neither on the batch nor on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.columns import Array, missing_name
from fitchain.pod.compute.dataset.table import Table
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.subgroups import Subgroups
from fitchain.pod.values.recipe.terms import AS_THEY_ARE, CLASSIFICATION, CTC, OF_TRUTHS

KEPT_BYTES = 256 << 20

Assemble = Callable[[Array], tuple[tuple[Array, ...], Array]]
Take = Callable[[Array], Array]


def assemble(
    recipe: Recipe, table: Table, dtypes: Sequence[str] | None = None, kept_bytes: int = KEPT_BYTES
) -> Assemble:
    """Prepare a recipe's inputs and target for taking batches of them.

    Args:
        recipe: inputs (one tuple of columns per argument of the model), target, transform, loss.
        table: the records; row i is record i.
        dtypes: what each argument wants, `float32` or `int64` (class or token numbers, taken
            untransformed); by default all float32.
        kept_bytes: columns are transformed once and kept if they have at most this many bytes then,
            together; else, and where the table is on disk, batch by batch, with the same result.

    Returns:
        A function from indices `[B]` to (inputs, target): for several scalar columns `[B, n]`, for
        a single column `[B, *shape]` with `[B, 1]` for a scalar, float32 or int64; the target `[B,
        *shape]`, int64 class numbers for a classification's loss and float32 for any other.

    Raises:
        InputRefused: an unknown column, columns that cannot be stacked, constants that do not fit
            the column, a target that is none of its categories.
    """
    takes = [*_arguments(recipe, table, dtypes), _target(table, recipe)]
    *arguments, target = _kept(takes, table, kept_bytes)
    return lambda indices: (tuple(argument(indices) for argument in arguments), target(indices))


def assemble_target(recipe: Recipe, table: Table, kept_bytes: int = KEPT_BYTES) -> Take:
    """The target alone, as `assemble` prepares it."""
    (target,) = _kept([_target(table, recipe)], table, kept_bytes)
    return target


def assemble_inputs(
    recipe: Recipe, table: Table, dtypes: Sequence[str] | None = None, kept_bytes: int = KEPT_BYTES
) -> Callable[[Array], tuple[Array, ...]]:
    """The inputs alone, as `assemble` prepares them; the table may have no target."""
    arguments = _kept(_arguments(recipe, table, dtypes), table, kept_bytes)
    return lambda indices: tuple(argument(indices) for argument in arguments)


def _arguments(recipe: Recipe, table: Table, dtypes: Sequence[str] | None) -> list[Take]:
    wants = tuple(dtypes) if dtypes is not None else ("float32",) * len(recipe.inputs)
    if len(wants) != len(recipe.inputs):
        raise InputRefused(
            f"the recipe has {len(recipe.inputs)} inputs and the model takes {len(wants)}",
            "name the columns of each argument in the recipe (`inputs = [[...], [...]]`), in forward's order",
        )
    return [
        _argument(table, columns, recipe.transform, want) for columns, want in zip(recipe.inputs, wants, strict=True)
    ]


def _kept(takes: Sequence[Take], table: Table, most_bytes: int) -> list[Take]:
    """Transform whole columns once as long as they are small together; the numbers are the same
    either way."""
    kept, left = list[Take](), most_bytes
    for take in takes:
        size = take(np.zeros(1, np.uint64)).nbytes * table.count if table.count else left + 1
        if table.rows is not None or size > left:
            kept.append(take)
            continue
        left -= size
        kept.append(take(np.arange(table.count, dtype=np.uint64)).__getitem__)
    return kept


def _argument(table: Table, columns: Sequence[str], transform: Mapping[str, Any], want: str) -> Take:
    shapes = [table.column(name).shape for name in columns]
    if not columns or (len(columns) > 1 and any(shapes)):
        raise InputRefused(
            f"the input of the columns {', '.join(columns)} mixes arrays",
            "an input is one array column or scalar columns",
        )
    if want not in ("float32", "int64"):
        raise InputRefused(f"the model takes {want} and inputs are float32 or int64")
    takes = [_cells(table, name, transform.get(name), want) for name in columns]
    if shapes[0]:
        return takes[0]
    return lambda indices: np.concatenate([take(indices) for take in takes], axis=1)


def input_width(columns: Sequence[str], transform: Mapping[str, Any], want: str) -> int:
    """How many numbers scalar columns give a model together: a column of categories one for each of
    them, where the model takes no class numbers; any other one."""
    categories = (transform.get(name, {}).get("categories", (None,)) for name in columns)
    return sum(map(len, categories)) if want == "float32" else len(columns)


def _cells(table: Table, name: str, constants: Mapping[str, Any] | None, want: str) -> Take:
    """One input column's cells as the model wants them: `[B, *shape]`, of scalars `[B, n]`."""
    is_scalar = not table.column(name).shape
    if constants is not None and "categories" in constants:
        categories = constants["categories"]
        take_class = _classes(table, name, categories)
        if want == "int64":
            return lambda indices: take_class(indices)[:, None]
        places = np.arange(len(categories))
        return lambda indices: (take_class(indices)[:, None] == places).astype(np.float32)
    take = _numbers(table, name, constants, want)
    return (lambda indices: take(indices)[:, None]) if is_scalar else take


def _numbers(table: Table, name: str, constants: Mapping[str, Any] | None, want: str) -> Take:
    """One column's cells as numbers, `[B, *shape]`."""
    array, gone = table.arrays[name], table.arrays.get(missing_name(name))
    if want == "int64":
        if not table.column(name).integral or array.dtype == np.uint64:
            raise InputRefused(f"the model takes int64 and column {name!r} holds {array.dtype}")
        if gone is not None and not table.column(name).shape:  # a missing text has the tokens of the empty one
            raise InputRefused(f"the model takes int64 and cells of the column {name!r} may be missing")
        return lambda indices: array[indices].astype(np.int64)
    constants = {"mean": 0.0, "scale": 1.0} if constants is None else constants
    if gone is not None and "fill" not in constants:
        raise InputRefused(
            f"cells of the column {name!r} may be missing, and its constants have no fill",
            "copy them from the card, exactly",
        )
    centre, scale = _centre_and_scale(constants)
    whole = np.int64(centre) if array.dtype.kind == "i" and abs(centre) < 1 << 62 else None

    def numbers(indices: Array) -> Array:
        cells = array[indices]
        # What is far from 0, a time say, keeps its digits: integers are subtracted as integers.
        beside = cells.astype(np.float64) - centre if whole is None else (cells - whole) - (centre - np.float64(whole))
        if gone is not None:
            beside = np.where(gone[indices], np.float64(constants["fill"]) - centre, beside)
        with np.errstate(
            over="ignore"
        ):  # beyond float32 is infinite, here and at every verifier: the run ends as diverged
            result: Array = (beside / scale).astype(np.float32)
        return result

    return numbers


def _centre_and_scale(constants: Mapping[str, Any]) -> tuple[np.float64, np.float64]:
    if "low" in constants:
        low, high = np.float64(constants["low"]), np.float64(constants["high"])
        return low, high - low
    return np.float64(constants["mean"]), np.float64(constants["scale"])


def _target(table: Table, recipe: Recipe) -> Take:
    """The target's cells as the loss wants them: class numbers; for a loss of amounts the numbers
    themselves, scaled by the recipe's constants; for one of truth values these, never scaled."""
    array, constants = table.arrays[table.column(recipe.target).name], recipe.transform.get(recipe.target)
    loss = recipe.loss.name
    categories = None if constants is None else constants.get("categories")
    if loss in CLASSIFICATION or loss == CTC:
        if categories is not None:
            return _classes(table, recipe.target, categories)
        # Whether one record's number is below 0 is none of the noised numbers that a private
        # training tells: there it fails in that record's loss, which counts as zeros.
        ignored = recipe.loss.arguments.get("ignore_index")
        negative = recipe.privacy is None and _bounds(table, recipe.target, ignored)[0] < 0
        if constants is not None or not table.column(recipe.target).integral or negative:
            raise InputRefused(
                f"the loss {loss} wants class numbers and the target {recipe.target!r} has none",
                "choose a regression's loss (mse_loss, say); its owner may offer the target as classes",
            )
        return lambda indices: array[indices].astype(np.int64)
    if loss in OF_TRUTHS:
        return _truth(table, recipe, categories)
    if loss in AS_THEY_ARE and not recipe.loss.arguments.get("log_target"):
        _require_none_negative(table, recipe)
    if categories is not None and isinstance(categories[0], str):
        raise InputRefused(
            f"the loss {loss} wants an amount and the target {recipe.target!r} has classes that are texts",
            "choose a classification's loss (cross_entropy, say)",
        )
    return _numbers(table, recipe.target, None if categories is not None else constants, "float32")


def _require_none_negative(table: Table, recipe: Recipe) -> None:
    """Counts and shares are 0 at least; of a private training's records that is told to nobody."""
    if recipe.privacy is None and _bounds(table, recipe.target)[0] < 0:
        raise InputRefused(
            f"the loss {recipe.loss.name} wants numbers of 0 and above, and the target {recipe.target!r} has others",
            "choose another loss of amounts (mse_loss, say)",
        )


def _truth(table: Table, recipe: Recipe, categories: Sequence[Any] | None) -> Take:
    array = table.arrays[recipe.target]
    if categories is not None:
        if len(categories) != 2:
            raise InputRefused(
                f"the loss {recipe.loss.name} wants one of two classes and the target {recipe.target!r} has"
                f" {len(categories)}",
                "choose cross_entropy",
            )
        take_class = _classes(table, recipe.target, categories)
        return lambda indices: take_class(indices).astype(np.float32)
    low, high = (0, 1) if recipe.privacy is not None else _bounds(table, recipe.target)
    if not 0 <= low <= high <= 1:
        raise InputRefused(
            f"the loss {recipe.loss.name} wants shares from 0 to 1, and the target {recipe.target!r} has others",
            "choose a regression's loss (mse_loss, say)",
        )
    return lambda indices: array[indices].astype(np.float32)


def _bounds(table: Table, name: str, ignored: int | None = None) -> tuple[float, float]:
    """The least and the largest cell of a column, those of one value aside; 0 of one that has
    none."""
    array = table.arrays[name]
    slabs = (array[part] for part in table.parts())
    kept = (slab if ignored is None else slab[slab != ignored] for slab in slabs)
    parts = [(slab.min(), slab.max()) for slab in kept if slab.size]
    return (min(low for low, _ in parts), max(high for _, high in parts)) if parts else (0.0, 0.0)


def _classes(table: Table, name: str, categories: Sequence[Any]) -> Take:
    """A column's class numbers by record; all of them are looked at first, as `class_numbers`
    does."""
    if table.rows is None:
        return class_numbers(table, name, categories).__getitem__
    places = _placing(table, name, categories)
    for part in table.parts():
        places(table.arrays[name][part], part.start)
    return lambda indices: places(table.arrays[name][indices], 0)


def _placing(table: Table, name: str, categories: Sequence[Any]) -> Callable[[Array, int], Array]:
    if table.column(name).shape:
        raise InputRefused(f"the column {name!r} has categories and holds arrays")
    problem, texts = f"its {name!r} is none of the {len(categories)} categories", table.categories.get(name, ())
    return lambda array, first: _places(array, categories, texts, problem, first)


def class_numbers(table: Table, name: str, categories: Sequence[Any]) -> Array:
    """A column's class numbers, `[count]` int64: each cell's place among the categories.

    Args:
        table: where the column is an array of numbers, or of indices into texts.
        name: the column.
        categories: rising whole numbers, or texts.

    Raises:
        InputRefused: a cell is none of them.
    """
    return _placing(table, name, categories)(table.arrays[name], 0)


def group_numbers(table: Table, subgroups: Subgroups) -> dict[str, Array]:
    """Which group each record is in, `[count]` int8 by column: its cell's place among the groups.

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
        numbers[column], texts = np.empty(table.count, np.int8), table.categories.get(column, ())
        for part in table.parts():
            numbers[column][part] = _places(table.arrays[column][part], groups, texts, problem, part.start)
    return numbers


def _places(array: Array, categories: Sequence[Any], texts: tuple[str, ...], problem: str, first: int) -> Array:
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
        raise InputRefused(f"record {first + wrong[0]}: {problem}")
    return places.astype(np.int64)
