"""Rows in memory: records that a program has, as a source like any file.

A list of dicts, a dict of columns, or a data frame (whatever has `columns` and gives one by its
name); no library of data frames is imported. Arrays that have a type are taken as those of a file
of arrays, everything else as the texts that a file of JSON lines would have, so that a cell means
what it meant when the dataset was registered. Rows are counted from 0, as Python does.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.columns import DTYPES, SLAB_ROWS, Array
from fitchain.pod.compute.dataset.source import NO_KINDS, Cells, Refusals, Slab, Typed, plain_name
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import MOST_COLUMNS

_EXACT = 1 << 53
_HINT = 'give a list of dicts ([{"age": 63}]), a dict of columns ({"age": [63]}), a data frame, or a file\'s path'


class MemoryRows:
    """Rows in memory as a source of records.

    Args:
        rows: a list of dicts, a dict of columns or a data frame.

    Raises:
        InputRefused: it is none of these, has no row, or columns of different lengths.
    """

    place_word = "row"
    kinds = NO_KINDS
    mock = False
    dialect: Mapping[str, Any] = {}

    def __init__(self, rows: Any) -> None:
        self._columns = _columns_of(rows)
        if not self._columns or len(self._columns) > MOST_COLUMNS:
            raise InputRefused(f"the rows have {len(self._columns)} columns, and 1 to {MOST_COLUMNS} are read", _HINT)
        counts = {name: len(cells) for name, cells in self._columns.items()}
        (first, count), *others = counts.items()
        for name, other in others:
            if other != count:
                raise InputRefused(f"column {first!r} has {count} rows and column {name!r} {other}")
        if not count:
            raise InputRefused("there is no row", _HINT)
        self._count = count

    @property
    def names(self) -> Sequence[str]:
        """Of the columns."""
        return tuple(map(plain_name, self._columns))

    def slabs(self, columns: Collection[int]) -> Iterator[Slab]:
        """The rows, some thousands at a time."""
        named = list(self._columns.items())
        for low in range(0, self._count, SLAB_ROWS):
            high, refusals = min(low + SLAB_ROWS, self._count), Refusals(self.place_word)
            cells = {
                position: _cells(named[position][0], named[position][1][low:high], low, refusals)
                for position in sorted(columns)
            }
            refusals.raise_any()
            yield Slab(range(low, high), cells, high / self._count)


def _columns_of(rows: Any) -> dict[str, Any]:
    """Cells by column: arrays and lists."""
    if isinstance(rows, Mapping):
        return {_name(name): _listed(name, cells) for name, cells in rows.items()}
    if hasattr(rows, "columns") and hasattr(rows, "__getitem__"):
        return {_name(name): _listed(name, rows[name]) for name in rows.columns}
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        raise InputRefused(f"rows are no {type(rows).__name__}", _HINT)
    if not rows:
        raise InputRefused("there is no row", _HINT)
    if odd := [number for number, row in enumerate(rows) if not isinstance(row, Mapping)]:
        raise InputRefused(f"row {odd[0]} is a {type(rows[odd[0]]).__name__}, and no dict", _HINT)
    names = dict.fromkeys(_name(name) for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise InputRefused(f"a column's name is a text, and one here is a {type(name).__name__}", "name the columns")
    return name


def _listed(name: Any, cells: Any) -> Any:
    """A column as an array or a list."""
    if isinstance(cells, np.ndarray | list | tuple):
        return cells
    if hasattr(cells, "to_numpy"):  # of a data frame
        return cells.to_numpy()
    if hasattr(cells, "__array__"):  # a tensor, say
        return np.asarray(cells)
    raise InputRefused(f"column {name!r:.80} is a {type(cells).__name__}, and no list of cells", _HINT)


def _cells(name: str, cells: Any, first: int, refusals: Refusals) -> Cells:
    """Cells as typed values where they are, else as texts."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "fiub":
        return _typed(name, cells, first, refusals)
    values = list(cells)
    if any(map(_is_array, values)):
        return _stacked(name, values, first, refusals)
    texts = [_text(value) for value in values]
    odd = [first + number for number, text in enumerate(texts) if text is None]
    if odd:
        refusals.add(name, "the cell is no number, text, date or truth value", "convert such cells", odd)
    return [text or "" for text in texts]


def _is_array(value: Any) -> bool:
    return isinstance(value, list | tuple) or (hasattr(value, "__array__") and not isinstance(value, np.generic))


def _typed(name: str, cells: Array, first: int, refusals: Refusals) -> Cells:
    """An array's cells; whole numbers that a data frame has made doubles, since one is missing, are
    whole numbers."""
    if cells.dtype.name not in DTYPES:
        cells = cells.astype(np.float64 if cells.dtype.kind == "f" else np.int64)
    if cells.dtype.kind != "f":
        return Typed(cells)
    gone = np.isnan(cells) if cells.ndim == 1 else None
    if beyond := np.flatnonzero(np.isinf(cells).reshape(len(cells), -1).any(1)).tolist():
        refusals.add(name, "the cell is not finite", "fill or leave out such rows", [first + each for each in beyond])
    if gone is None or not gone.any():
        if np.isnan(cells).any():
            odd = np.flatnonzero(np.isnan(cells).reshape(len(cells), -1).any(1)).tolist()
            refusals.add(name, "the cell is not finite", "fill or leave out such rows", [first + each for each in odd])
        return Typed(cells)
    present = cells[~gone]
    if (present == np.round(present)).all() and (np.abs(present) < _EXACT).all():
        return Typed(np.where(gone, 0, cells).astype(np.int64), gone)
    return Typed(cells, gone)


def _stacked(name: str, values: list[Any], first: int, refusals: Refusals) -> Cells:
    """Cells that are arrays, of one shape."""
    arrays: list[Array] = []
    for number, value in enumerate(values):
        array = np.asarray(value)
        if array.dtype.kind not in "fiub" or (arrays and array.shape != arrays[0].shape):
            reason = "the cell is no array of numbers of the first row's shape"
            refusals.add(name, reason, "give each row an array of one shape", [first + number])
            return Typed(np.zeros(len(values)))
        arrays.append(array)
    return _typed(name, np.stack(arrays), first, refusals)


def _text(value: Any) -> str | None:
    """A cell as a file would have it; empty where it is missing, None where it is nothing of that
    kind."""
    if isinstance(value, np.generic):
        value = _plain(value)
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Integral():
            return str(int(value))
        case Decimal():
            return "" if value.is_nan() else str(value)
        case Real():
            return _real_text(float(value))
        case datetime() | date():
            return "" if value != value else value.isoformat()  # pandas' NaT equals nothing
        case _:
            return "" if str(value) in ("<NA>", "NaT") else None  # pandas' marks of missing cells


def _plain(value: Any) -> Any:
    """One of numpy's scalars as Python has it; of a time its text, which is to the nanosecond."""
    if value.dtype.kind not in "mM":
        return value.item()
    return None if np.isnat(value) else str(value)


def _real_text(value: float) -> str:
    if math.isnan(value):
        return ""
    is_whole = value.is_integer() and abs(value) < _EXACT and (value or math.copysign(1, value) > 0)
    return str(int(value)) if is_whole else repr(value)
