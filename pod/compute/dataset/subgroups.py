"""Subgroups of a table: the columns by whose groups results on held-out records are told.

What is told of a group is exact, so no small part of the records may follow from it. A group of few
records is refused here, and told together with others where few of it are held out
(`values.held_out.fold_small_groups`). Of several columns each group must meet each group of the
others: if groups of one column were a part of another's, taking their results from it would leave
the rest, of however few. Where they all meet, nothing but sums of one column's groups follows from
all that is told of two columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.assembly import group_numbers
from fitchain.pod.compute.dataset.columns import Array
from fitchain.pod.compute.dataset.table import Table
from fitchain.pod.compute.dataset.units import FILLED
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.held_out import LEAST_TOLD
from fitchain.pod.values.recipe.subgroups import MOST_GROUPS, MOST_SUBGROUPS, Group


def find_groups(table: Table, columns: Mapping[str, Any]) -> dict[str, tuple[Group, ...]]:
    """The groups of some columns, which become public.

    Args:
        table: the records to be registered.
        columns: their names.

    Returns:
        By column its texts, or its different whole numbers, rising.

    Raises:
        InputRefused: a column is no column of 2 to `MOST_GROUPS` groups of enough records, is the
            target, or its groups do not meet those of another column.
    """
    if len(columns) > MOST_SUBGROUPS:
        raise InputRefused(
            f"{len(columns)} columns of subgroups are named, and {MOST_SUBGROUPS} are the limit",
            "name those that matter most",
        )
    subgroups = {column: _groups(table, column) for column in columns}
    numbers = group_numbers(table, subgroups)
    for column, groups in subgroups.items():
        _require_records(column, np.bincount(numbers[column], minlength=len(groups)))
    for column, other in combinations(subgroups, 2):
        met = np.zeros((len(subgroups[column]), len(subgroups[other])), np.bool_)
        met[numbers[column], numbers[other]] = True
        if (lacking := met.size - int(met.sum())) > 0:
            raise InputRefused(
                f"{lacking} pairs of a group of {column!r} and one of {other!r} have no record, "
                "so that results by the one could be taken from those by the other",
                "name one of the two columns, or join groups in the file",
            )
    return subgroups


def _groups(table: Table, column: str) -> tuple[Group, ...]:
    if table.column(column).shape or column in (table.target, FILLED):
        what = "the target" if column == table.target else "no column of one value for each record"
        raise InputRefused(f"the column {column!r} of subgroups is {what}", "name one that parts the records")
    if column in table.categories:
        groups: list[Group] = list(table.categories[column])
    else:
        groups = _whole_numbers(column, _different(table, column))
    if not 2 <= len(groups) <= MOST_GROUPS:
        raise InputRefused(
            f"the column {column!r} has {len(groups)} groups, and subgroups are 2 to {MOST_GROUPS}",
            "join its values to a few groups in the file: ages to decades, say",
        )
    return tuple(groups)


def _different(table: Table, column: str) -> Array:
    """A column's different values, rising, as far as it takes to see that they are too many."""
    values = np.empty(0, table.arrays[column].dtype)
    for part in table.parts():
        values = np.union1d(values, table.arrays[column][part])
        if len(values) > MOST_GROUPS and table.rows is not None:
            break
    return values


def _whole_numbers(column: str, values: Array) -> list[Group]:
    whole = bool((values == np.round(values.astype(np.float64))).all()) and max(map(abs, values.tolist())) < 2**53
    if not whole:
        raise InputRefused(
            f"the column {column!r} of subgroups holds numbers that are not whole",
            "join its values to a few groups in the file: ages to decades, say",
        )
    return [int(value) for value in values]


def _require_records(column: str, counts: Array) -> None:
    if few := int((counts < LEAST_TOLD).sum()):
        raise InputRefused(
            f"{few} of the {len(counts)} groups of {column!r} have fewer than {LEAST_TOLD} records, "
            "and could never be told by themselves",
            "join them to others in the file",
        )
