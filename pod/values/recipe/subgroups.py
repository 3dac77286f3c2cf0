"""Subgroups: columns whose few values part the records into groups, by which the result on held-out
records is told, too.

A dataset's card names them, and a recipe that holds records out copies them, so that whoever has
the recipe and the records can compute the result again.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fitchain.pod.values.digest import Json
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import MOST_COLUMN_NAME
from fitchain.pod.values.recipe.fields import integer, items, text

MOST_SUBGROUPS = 3
"""Columns that a dataset names."""
MOST_GROUPS = 16
"""Groups of one column."""
MOST_GROUP_NAME = 80
_LARGEST = 2**53 - 1

Group = str | int
"""A value of such a column."""
Subgroups = Mapping[str, tuple[Group, ...]]
"""Groups by column: texts, or whole numbers, rising."""


def parse_subgroups(what: str, value: Any) -> Subgroups:
    """Read the groups by column.

    Raises:
        InputRefused: a column has not 2 to `MOST_GROUPS` groups, or columns are too many.
    """
    if not isinstance(value, Mapping) or len(value) > MOST_SUBGROUPS:
        raise InputRefused(f"{what}: subgroups are of {MOST_SUBGROUPS} columns at most, each with its groups")
    return MappingProxyType(
        {
            text(f"{what}: subgroups", column, MOST_COLUMN_NAME): parse_groups(
                f"{what}: the groups of {column!r:.80}", groups, 2
            )
            for column, groups in value.items()
        }
    )


def parse_groups(what: str, value: Any, fewest: int = 1) -> tuple[Group, ...]:
    """Read some groups of one column.

    Raises:
        InputRefused: they are neither texts nor whole numbers, in rising order.
    """
    groups = items(what, value, fewest, MOST_GROUPS)
    if all(isinstance(group, str) for group in groups):
        read: list[Group] = [text(what, group, MOST_GROUP_NAME) for group in groups]
    else:
        read = [integer(what, group, -_LARGEST, _LARGEST) for group in groups]
    if groups != sorted(set(groups)):
        raise InputRefused(f"{what} are texts or whole numbers in rising order")
    return tuple(read)


def subgroups_json(subgroups: Subgroups) -> dict[str, Json]:
    """The form that stands in a recipe."""
    return {column: list(groups) for column, groups in subgroups.items()}
