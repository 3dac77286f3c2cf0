"""Cells of Arrow's types, in which Parquet files and Arrow's own give their columns; and what both
kinds of files have in common.

What a column is, such a file says: integers, floats, truth values, dates and times have their type.
Texts and decimal numbers are texts here, as a CSV file has them, so that both print back. Lists of
one length are arrays. What has a type that no table has is refused by its name, before a cell of it
is read; no extension type is looked up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.source import NO_KINDS, BadCells, Cells, Refusals, Typed, plain_name, require_size
from fitchain.pod.values.errors import HostUnusable, InputRefused
from fitchain.pod.values.limits import MOST_RANK, TABLE_BYTES

UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
TEXT_BYTES = 8
"""What a text takes at least in a table: the place of its category, or the number that it is."""
_EXTENSION = b"ARROW:extension:name"


class ArrowSource(ABC):
    """What both kinds of files have in common, as a source of records.

    Args:
        path: the file.
        limit_bytes: the most that is read of it, packed and unpacked.

    Raises:
        HostUnusable: pyarrow is not installed.
        InputRefused: it is too large.
        OSError: it cannot be read.
    """

    place_word = "record"
    kinds = NO_KINDS
    mock = False

    def __init__(self, path: Path, limit_bytes: int = TABLE_BYTES) -> None:
        self.path, self.limit_bytes = path, limit_bytes
        pyarrow()
        require_size(path, limit_bytes)

    @property
    def dialect(self) -> Mapping[str, Any]:
        """Nothing of it is a guess."""
        return {}

    @property
    def names(self) -> Sequence[str]:
        """Of the columns."""
        return tuple(map(plain_name, self.schema.names))

    @cached_property
    def schema(self) -> Any:
        """Arrow's."""
        schema = self._read_schema()
        if not schema.names:
            raise InputRefused("the table has no column")
        return schema

    @abstractmethod
    def _read_schema(self) -> Any:
        """Decode it from the file."""


@contextmanager
def intact(what: str) -> Iterator[None]:
    """Refuse a file of which pyarrow says that it is damaged.

    Args:
        what: it should be.
    """
    try:
        yield
    except (pyarrow().ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise InputRefused(f"the file is no intact {what}", "write it anew") from None


def pyarrow() -> Any:
    """The library, with its readers.

    Raises:
        HostUnusable: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
        import pyarrow.types
    except ImportError:
        raise HostUnusable(
            "Parquet and Arrow files are read by pyarrow, which is not installed",
            "install the extra `parquet` (in a checkout: pip install -e '.[parquet]')",
        ) from None
    return pyarrow


def require_types(fields: Sequence[tuple[str, Any]], word: str) -> None:
    """Refuse columns whose cells no table has.

    Args:
        fields: of Arrow's schema, with the names by which they are known.
        word: what a place is called.

    Raises:
        InputRefused: there are some; all of them in one message.
    """
    refusals = Refusals(word)
    for name, field in fields:
        if reason := _refused(field):
            refusals.add(name, reason, f"leave such columns out (--drop {name!r}), or make them plain ones", ())
    refusals.raise_any()


def _refused(field: Any) -> str:
    """Why a field's cells are none of a table; empty where they are."""
    kind, types = field.type, pyarrow().types
    if isinstance(kind, pyarrow().BaseExtensionType) or _EXTENSION in (field.metadata or {}):
        return "its type is an extension of Arrow's, which is not looked up"
    rank = 0
    while _is_list(kind):
        kind, rank = kind.value_type, rank + 1
    if rank and (rank > MOST_RANK or not _is_plain(kind)):
        return f"it holds {_type_text(field.type)}; lists are of numbers or truth values, up to {MOST_RANK} deep"
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return "" if _is_text(kind) or _is_plain(kind) else f"it holds {_type_text(field.type)}, which no cell does"


def _type_text(kind: Any) -> str:
    """A type's name, without those of its fields."""
    return str(kind).partition("<")[0][:80]


def _is_list(kind: Any) -> bool:
    types = pyarrow().types
    return bool(types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind))


def holds_words(kind: Any) -> bool:
    """Whether cells of a type are texts in the file, too, of which each may be kept once."""
    types = pyarrow().types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_text(kind: Any) -> bool:
    types = pyarrow().types
    return bool(holds_words(kind) or types.is_decimal(kind) or types.is_null(kind))


def _is_plain(kind: Any) -> bool:
    types = pyarrow().types
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return bool(is_number or types.is_timestamp(kind) or types.is_date(kind))


def cell_bytes(kind: Any) -> int:
    """What a cell of a type, or a number of a list of it, takes at least in a table."""
    while _is_list(kind):
        kind = kind.value_type
    if pyarrow().types.is_dictionary(kind):
        kind = kind.value_type
    return TEXT_BYTES if _is_text(kind) else max(1, kind.bit_width // 8)


def cells_of(name: str, array: Any, places: Sequence[int]) -> Cells:
    """The cells of a column's piece; a null is a missing cell.

    Args:
        name: the column's.
        array: Arrow's, of a type that `require_types` admits.
        places: of its records.

    Raises:
        InputRefused: a text is not UTF-8; a list is missing, or of another length than the others.
    """
    if pyarrow().types.is_dictionary(array.type):
        array = _of_dictionary(array)
    if _is_text(array.type):
        try:
            return ["" if value is None else str(value) for value in array.to_pylist()]
        except UnicodeDecodeError:
            raise InputRefused(f"column {name!r:.80}: a text is not UTF-8", "write the file anew") from None
    return _of_lists(name, array, places) if _is_list(array.type) else _typed(array)


def _of_dictionary(array: Any) -> Any:
    """A piece with its values in place: only those that occur in it are looked at, however many its
    file lists."""
    arrow = pyarrow()
    gone = array.indices.is_null().to_numpy(zero_copy_only=False)
    numbers = array.indices.fill_null(0).to_numpy(zero_copy_only=False)
    used, order = np.unique(numbers[~gone], return_inverse=True)
    values = array.dictionary.take(arrow.array(used))
    full = np.zeros(len(gone), np.int64)
    full[~gone] = order
    return values.take(arrow.array(full, arrow.int64(), mask=gone))


def _of_lists(name: str, array: Any, places: Sequence[int]) -> Typed:
    shape = list[int]()
    while _is_list(array.type):
        if array.null_count:
            gone = array.is_null().to_numpy(zero_copy_only=False).reshape(len(places), -1).any(1)
            _refuse_lists(name, "a list is missing", gone, places)
        lengths = array.value_lengths().to_numpy(zero_copy_only=False)
        if (odd := lengths != lengths[0]).any():
            _refuse_lists(name, "its lists have different lengths", odd.reshape(len(places), -1).any(1), places)
        shape.append(int(lengths[0]))
        array = array.flatten()
    typed = _typed(array)
    if typed.missing is not None:
        _refuse_lists(name, "a number in a list is missing", typed.missing.reshape(len(places), -1).any(1), places)
    return Typed(typed.values.reshape(len(places), *shape), None, typed.unit)


def _refuse_lists(name: str, reason: str, which: Any, places: Sequence[int]) -> None:
    bad = BadCells()
    bad.add([places[position] for position in np.flatnonzero(which).tolist()])
    raise InputRefused(
        f"{bad.where('record')}, column {name!r:.80}: {reason}", "make them of one length, or leave the column out"
    )


def _typed(array: Any) -> Typed:
    """Numbers, truth values, and times as int64 counted since the epoch."""
    arrow, kind, unit = pyarrow(), array.type, ""
    if arrow.types.is_timestamp(kind):
        array, unit = array.view(arrow.int64()), UNITS[kind.unit]
    elif arrow.types.is_date(kind):  # one of 64 bits is a whole day, too, and Parquet knows no other
        array, unit = array.cast(arrow.date32()).view(arrow.int32()).cast(arrow.int64()), "days"
    missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if missing is not None:  # before they are numpy's, which would make floats of whole numbers
        array = array.fill_null(arrow.scalar(array.type.to_pandas_dtype()(0), array.type))
    values = array.to_numpy(zero_copy_only=False)
    return Typed(values.astype(np.float32) if values.dtype == np.float16 else values, missing, unit)
