"""Columns: what a cell may be, and which columns of a file are wanted.

It knows names, types and shapes, and no data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fitchain.pod.values.digest import Digest, canonical_json
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import MOST_COLUMN_NAME, MOST_RANK
from fitchain.pod.values.suggestions import near_names

Array = npt.NDArray[Any]
Classes = tuple[str | int, ...]
"""What a target may be: texts, or whole numbers, rising; empty where nobody said it."""


class Kind(StrEnum):
    """What the cells of a column are.

    Members: decimal numbers (float64, or a float of a file of arrays); whole numbers (int64, or an
    integer of such a file); truth values; times, counted from an epoch in a unit (int64);
    categories, as their places in a table (int64); tokens of a text (int64); whether another
    column's cell is missing (bool).
    """

    NUMBER = "number"
    WHOLE = "whole"
    BOOLEAN = "boolean"
    TIME = "time"
    CATEGORY = "category"
    TOKENS = "tokens"
    MISSING = "missing"

    @classmethod
    def of_dtype(cls, dtype: str) -> Kind:
        """What cells of a dtype are where nothing else is said of them."""
        return {"f": cls.NUMBER, "b": cls.BOOLEAN}.get(np.dtype(dtype).kind, cls.WHOLE)


_KINDS_OF_PLAIN = {
    (Kind.TIME, Kind.WHOLE),
    (Kind.CATEGORY, Kind.WHOLE),
    (Kind.TOKENS, Kind.WHOLE),
    (Kind.MISSING, Kind.BOOLEAN),
}
"""What the dtype of a kind would be by itself."""
MEANT_BY_UNIT = (Kind.TIME, Kind.TOKENS)
"""Kinds of which nobody knows what a cell means without its unit."""
_MISSING_ENDING = " is missing"

DTYPES = ("float64", "float32", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool")
ADMITTED = frozenset((np.dtype(name).kind, np.dtype(name).itemsize) for name in DTYPES)
"""The same by kind and size, in either order of bytes: numpy makes a type's name anew each time."""
UNDECLARED = "name every class and category that there may be, or leave that record out"
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
        unit: for people; of a time what it counts, of tokens the digest of their tokenizer, and
            only there a part of what a record's bytes mean.
        kind: what the cells are; None takes the plain kind of the dtype.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    unit: str = ""
    kind: Kind | None = None

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
        plain = Kind.of_dtype(self.dtype)
        if self.kind is None:
            object.__setattr__(self, "kind", plain)
        elif self.kind is not plain and (self.kind, plain) not in _KINDS_OF_PLAIN:
            raise InputRefused(f"column {self.name!r} holds {self.dtype}, which is no {self.kind}")
        if self.kind is Kind.TOKENS:
            Digest.parse(self.unit)
            if self.dtype != "int64" or len(self.shape) != 1:
                raise InputRefused(
                    f"column {self.name!r} holds tokens, which are a row of int64 and not {self.dtype} {self.shape}"
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
    """Canonical JSON of what a record's bytes mean: `[[name, dtype, [shape...], kind, unit], ...]`
    in the columns' order; the unit of a time or of tokens, of others an empty text."""
    return canonical_json(
        [
            [each.name, each.dtype, list(each.shape), str(each.kind), each.unit if each.kind in MEANT_BY_UNIT else ""]
            for each in columns
        ]
    )


def missing_name(column: str) -> str:
    """The name of the column that says where another one's cells are missing."""
    return f"{column}{_MISSING_ENDING}"


def plain(name: str, array: Array, first: int = 0) -> Array:
    """An array in the one form that is hashed: little-endian, C order, read-only, finite.

    Args:
        name: of its column, for messages.
        array: `[n, *shape]`.
        first: the place of its first record.

    Raises:
        InputRefused: it has no records, another dtype than `DTYPES`, or a cell that is not finite.
    """
    if array.ndim == 0:
        raise InputRefused(f"column {name!r} is a single value and has no records")
    if (array.dtype.kind, array.dtype.itemsize) not in ADMITTED:
        raise InputRefused(f"column {name!r} has dtype {array.dtype}, not one of {', '.join(DTYPES)}")
    cells = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if cells.dtype.kind == "f" and not np.isfinite(cells).all():
        row = first + int(np.argwhere(~np.isfinite(cells))[0][0])
        raise InputRefused(
            f"record {row}, column {name!r}: the cell is missing or not finite", "fill or drop such records"
        )
    cells = cells.view()
    cells.flags.writeable = False
    return cells


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


MOST_SHOWN = 10
"""Columns in a hint."""


def no_class(count: int) -> str:
    """What is wrong with a cell that is none of so many classes."""
    return f"the cell is none of the {count} categories"


def require_column(name: str | None, names: Mapping[str, Any] | Sequence[str], what: str) -> None:
    """Refuse a name that is not there; None is no name.

    Raises:
        InputRefused: it is not there; the hint names near ones.
    """
    if name is None or name in names:
        return
    raise InputRefused(f"{what} {name!r:.80} is not in the table", near_columns(name, names))


def near_columns(name: str, names: Iterable[str]) -> str:
    """What to do about a column that is not there: near ones, or the first that are."""
    names = [each for each in names if each]
    if near := near_names(name, names, cutoff=0.5):
        return f"did you mean {', '.join(map(repr, near))}?"
    more = ", ..." if len(names) > MOST_SHOWN else ""
    return f"it has {', '.join(map(repr, names[:MOST_SHOWN]))}{more}" if names else "it has no column with a name"
