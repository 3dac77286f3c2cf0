"""Columns: what a cell may be, and which columns of a file are wanted.

It knows names, types and shapes, and no data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fitchain.pod.values.digest import canonical_json
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import MOST_COLUMN_NAME, MOST_RANK
from fitchain.pod.values.suggestions import near_names

Array = npt.NDArray[Any]
Classes = tuple[str | int, ...]
"""What a target may be: texts, or whole numbers, rising; empty where nobody said it."""

DTYPES = ("float64", "float32", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool")
UNDECLARED = "name every class that the target may have, or leave that record out"
MOCK_MARK = "mock data made by fitchain, no real record"
_WHOLE = re.compile(r"-?[1-9][0-9]*|0")
_MOST_WHOLE = 2**53
SLAB_ROWS, SLAB_BYTES = 4096, 16 << 20
"""Up to how many rows, or how many bytes of them, are worked on at once."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Args:
        name: unique in its table, 1 to 200 printable characters.
        dtype: one of `DTYPES`, little-endian.
        shape: of one record's cell; () for a scalar.
        unit: for people; no part of what is hashed into a record.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    unit: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MOST_COLUMN_NAME or not self.name.isprintable() or self.name != self.name.strip():
            raise InputRefused(
                f"a column's name has 1 to {MOST_COLUMN_NAME} printable characters, not {self.name!r:.80}"
            )
        if self.dtype not in DTYPES:
            raise InputRefused(f"column {self.name!r} has dtype {self.dtype}, not one of {', '.join(DTYPES)}")
        if len(self.shape) > MOST_RANK or any(size < 1 for size in self.shape):
            raise InputRefused(
                f"column {self.name!r} has cells of shape {self.shape!r:.200}; at most rank {MOST_RANK}, none empty"
            )

    @property
    def cell_bytes(self) -> int:
        """How many bytes one record's cell has."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def integral(self) -> bool:
        """Whether the cells are integers or truth values."""
        return np.dtype(self.dtype).kind in "iub"


def schema_bytes(columns: Sequence[Column]) -> bytes:
    """Canonical JSON of what a record's bytes mean: `[[name, dtype, [shape...]], ...]` in the
    columns' order."""
    return canonical_json([[column.name, column.dtype, list(column.shape)] for column in columns])


def declared_classes(texts: Sequence[str]) -> Classes:
    """The classes that a target may have, as an owner names them.

    Args:
        texts: the classes as they stand in a file, in any order. Where all are whole numbers the
            cells are numbers, too, and else texts.

    Returns:
        The classes, rising.

    Raises:
        InputRefused: none, one that stands twice, is empty, is beyond 2^53 or has blanks around it.
    """
    if not texts or any(not text or text != text.strip() for text in texts):
        raise InputRefused("the classes of the target are not all named", "write them as benign,malignant")
    if repeated := [text for text, other in pairwise(sorted(texts)) if text == other]:
        raise InputRefused(f"the class {repeated[0]!r:.80} is named twice", "name each once")
    if not all(_WHOLE.fullmatch(text) for text in texts):
        return tuple(sorted(texts))
    numbers = sorted(map(int, texts))
    if not -_MOST_WHOLE < numbers[0] <= numbers[-1] < _MOST_WHOLE:
        raise InputRefused("a class that is a number lies between -2^53 and 2^53")
    return tuple(numbers)


def require_classes(name: str, array: Array, classes: Sequence[int]) -> None:
    """Refuse a column with a cell that is none of its classes.

    Args:
        name: the column's.
        array: its cells, `[count]`.
        classes: whole numbers, at least one.

    Raises:
        InputRefused: there is one, or a cell is an array; the message names the record, never the
            cell's content.
    """
    if array.ndim != 1:
        raise InputRefused(f"the column {name!r} has classes and holds arrays")
    if (others := np.flatnonzero(~np.isin(array, np.array(classes)))).size:
        raise InputRefused(f"record {others[0]}, column {name!r}: the cell is {no_class(len(classes))}", UNDECLARED)


def no_class(count: int) -> str:
    """What a cell is that is none of so many classes."""
    return f"none of the {count} categories"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which columns of a file are read: those that are not dropped and, where `only` names some, no
    others; and the one that says whose record one is, which no record holds.

    `texts` are the columns besides the target that may hold texts: those by whose groups results
    are told. Each has the texts to use, in their order; none where those found are.
    """

    drop: frozenset[str]
    only: tuple[str, ...] | None = None
    unit: str | None = None
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def among(self, names: Iterable[str], target: str | None) -> frozenset[str]:
        """The wanted ones of a file's columns.

        Raises:
            InputRefused: a column to drop, a wanted one, the unit's, a subgroup's or the target is
                not there, or one of the last three is dropped, or two are one.
        """
        present = tuple(names)
        for name in sorted(self.drop):
            require_column(name, present, "the column to drop")
        for name in self.only or ():
            require_column(name, present, "the column")
        require_column(target, present, "the target")
        if target in self.drop:
            raise InputRefused(f"the column {target!r} is the target and is to be dropped", "choose one of the two")
        for name in self.texts:
            require_column(name, present, "the subgroup column")
            if name in (target, self.unit, *self.drop):
                also = "the target" if name == target else "the unit" if name == self.unit else "to be dropped"
                raise InputRefused(f"the column {name!r} parts records into subgroups and is {also}", "choose one")
        require_column(self.unit, present, "the unit column")
        if self.unit is not None and self.unit in (target, *self.drop, *(self.only or ())):
            also = "the target" if self.unit == target else "to be dropped" if self.unit in self.drop else "a feature"
            raise InputRefused(
                f"the column {self.unit!r} says whose record one is, and is {also}",
                "a unit column is left out of the records by itself; name it once",
            )
        besides = {*self.texts, *(() if self.unit is None else (self.unit,))}
        return frozenset(self.only or present) - self.drop | besides


@dataclass(frozen=True)
class Found:
    """What a file held.

    Args:
        arrays: the wanted columns; of the unit's, numbers that are equal where its cells are.
        categories: the texts that the target's integers stand for; empty unless the target was a
            column of texts. Whole numbers that were asked for may stand here, too.
        mock: whether the file is marked as mock data.
        texts: likewise of the columns of `Wanted.texts` that hold texts.
    """

    arrays: Mapping[str, Array]
    categories: Classes
    mock: bool
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def require_column(name: str | None, names: Mapping[str, Any] | Sequence[str], what: str) -> None:
    """Refuse a name that is not there; None is no name.

    Raises:
        InputRefused: it is not there; the hint names near ones.
    """
    if name is None or name in names:
        return
    shown = near_names(name, names, cutoff=0.5) or list(islice(names, 10))
    raise InputRefused(f"{what} {name!r:.80} is not in the table", f"did you mean {', '.join(map(repr, shown))}?")
