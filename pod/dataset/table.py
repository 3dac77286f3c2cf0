"""Tables: what an owner's CSV or NPZ file becomes before anything is registered.

First in `dataset`. A table is a set of named columns of one length: scalar columns of CSV files, arrays of any rank of NPZ
files. Numbers of a CSV file are float64; texts are admitted in the target's column alone and become int64 indices into the
sorted categories. It knows nothing of trees, cards or money.

A message about a bad cell names its line and column and never repeats the cell: messages end in logs, records must not.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from pod.digest import canonical_json
from pod.errors import FitchainError, InputRefused, NotFound

Array = npt.NDArray[Any]

DTYPES = ("float64", "float32", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool")
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
MOCK_MARK = "mock data made by fitchain, no real record"
MOST_COLUMNS, MOST_CATEGORIES, MOST_RANK, MOST_NAME = 10_000, 10_000, 8, 200
SLAB_ROWS = 4096
_FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


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
        if not 1 <= len(self.name) <= MOST_NAME or not self.name.isprintable() or self.name != self.name.strip():
            raise InputRefused(f"a column's name has 1 to {MOST_NAME} printable characters, not {self.name!r}")
        if self.dtype not in DTYPES:
            raise InputRefused(f"column {self.name!r} has dtype {self.dtype}, not one of {', '.join(DTYPES)}")
        if len(self.shape) > MOST_RANK or any(size < 1 for size in self.shape):
            raise InputRefused(
                f"column {self.name!r} has cells of shape {self.shape}; at most rank {MOST_RANK}, none empty"
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
    """Canonical JSON of what a record's bytes mean: `[[name, dtype, [shape...]], ...]` in the columns' order."""
    return canonical_json([[column.name, column.dtype, list(column.shape)] for column in columns])


@dataclass(frozen=True)
class Table:
    """Named columns of one length.

    Args:
        columns: in the order of the source.
        arrays: by column name; `[count, *shape]`, little-endian, C order, read-only.
        target: the column to be predicted, or None.
        categories: the texts that the target's integers stand for; empty unless the target was a column of texts.
        mock: whether the source is marked as mock data.
    """

    columns: tuple[Column, ...]
    arrays: Mapping[str, Array]
    target: str | None = None
    categories: tuple[str, ...] = ()
    mock: bool = False

    @classmethod
    def read(
        cls,
        path: Path,
        drop: Sequence[str] = (),
        target: str | None = None,
        categories: Sequence[str] = (),
        only: Sequence[str] | None = None,
        limit_bytes: int = 64 << 30,
    ) -> Table:
        """Read a CSV file (UTF-8, comma, a header line) or an NPZ file (never with pickled objects).

        Args:
            path: a file ending in .csv or .npz.
            drop: columns that must not be registered, such as names and other identifiers.
            target: the column to be predicted; the only one that may hold texts (CSV).
            categories: for a target of texts, the categories to use, in their order; else those found, sorted.
            only: the columns wanted, where others may stand beside them and are left out; None wants all.
            limit_bytes: the most bytes of arrays or of text that are read.

        Raises:
            NotFound: there is no such file.
            InputRefused: it is no such table; the message names line and column, never the cell's content.
        """
        readers = {".csv": _read_csv, ".npz": _read_npz}
        reader = readers.get(path.suffix.lower())
        if reader is None:
            raise InputRefused(f"{path.name} is neither .csv nor .npz", "convert it to one of the two")
        try:
            table = reader(
                path,
                Wanted(frozenset(drop), None if only is None else tuple(only)),
                target,
                tuple(categories),
                limit_bytes,
            )
        except FileNotFoundError:
            raise NotFound(f"there is no file {path}") from None
        except OSError as error:
            raise InputRefused(f"{path} cannot be read: {error.strerror or error}") from None
        except FitchainError as error:
            raise type(error)(f"{path.name}: {error.message}", error.hint) from None
        return table

    @classmethod
    def of(
        cls,
        arrays: Mapping[str, Array],
        target: str | None = None,
        categories: Sequence[str] = (),
        mock: bool = False,
    ) -> Table:
        """Make a table of arrays `[count, *shape]`, checked as those of a file are.

        Raises:
            InputRefused: no record, counts that differ, a dtype that is not admitted, a cell that is not finite.
        """
        if not arrays:
            raise InputRefused("the table has no column")
        if len(arrays) > MOST_COLUMNS:
            raise InputRefused(f"the table has {len(arrays)} columns and the limit is {MOST_COLUMNS}")
        _known(target, arrays, "the target")
        plain = {name: _plain(name, array) for name, array in arrays.items()}
        counts = {name: len(array) for name, array in plain.items()}
        first = next(iter(counts))
        for name, count in counts.items():
            if count != counts[first]:
                raise InputRefused(f"column {first!r} has {counts[first]} records and column {name!r} {count}")
        if counts[first] == 0:
            raise InputRefused("the table has no record")
        columns = tuple(Column(name, array.dtype.name, array.shape[1:]) for name, array in plain.items())
        return cls(columns, plain, target, tuple(categories), mock)

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.arrays[self.columns[0].name])

    def column(self, name: str) -> Column:
        """Find a column by its name.

        Raises:
            InputRefused: there is none; the hint names near ones.
        """
        _known(name, self.arrays, "the column")
        return next(column for column in self.columns if column.name == name)

    @cached_property
    def schema(self) -> bytes:
        """The 32 bytes that begin every record: SHA-256 of `schema_bytes`."""
        return hashlib.sha256(schema_bytes(self.columns)).digest()

    @property
    def record_bytes(self) -> int:
        """How many bytes a record has."""
        return len(self.schema) + sum(column.cell_bytes for column in self.columns)

    def record(self, index: int) -> bytes:
        """The bytes of a record: the schema's 32 bytes, then each column's cell, little-endian in C order.

        Raises:
            InputRefused: there is no record of that index.
        """
        if not 0 <= index < self.count:
            raise InputRefused(f"the table has {self.count} records and none of index {index}")
        return bytes(next(self.records(index, index + 1)))

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """The bytes of the records in order, made for many at once in bounded memory."""
        end = self.count if stop is None else stop
        rows_bytes = max(1, min(SLAB_ROWS, (64 << 20) // self.record_bytes))
        for low in range(start, end, rows_bytes):
            high = min(low + rows_bytes, end)
            schema = np.frombuffer(self.schema, np.uint8)
            parts = [np.broadcast_to(schema, (high - low, len(schema)))]
            parts += [_bytes_of(self.arrays[column.name][low:high]) for column in self.columns]
            slab = np.concatenate(parts, axis=1)  # [rows, record_bytes]
            yield from (memoryview(row) for row in slab)

    def select(self, low: int, high: int) -> Table:
        """The records low to high (exclusive) as a table of their own."""
        if not 0 <= low < high <= self.count:
            raise InputRefused(f"the table has {self.count} records and not the rows {low} to {high}")
        return replace(self, arrays={name: array[low:high] for name, array in self.arrays.items()})

    def write_npz(self, path: Path) -> None:
        """Write the arrays as an NPZ file whose bytes depend on nothing but the table."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            archive.comment = MOCK_MARK.encode() if self.mock else b""
            for column in self.columns:
                member = zipfile.ZipInfo(f"{column.name}.npy", _FIRST_ZIP_DATE)
                with archive.open(member, "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, self.arrays[column.name], version=(1, 0), allow_pickle=False)

    def write_csv(self, path: Path, categories: Sequence[str] = ()) -> None:
        """Write the table for people, the target's integers as the categories' texts.

        Raises:
            InputRefused: a column's cells are not scalars.
        """
        names = tuple(categories) or self.categories
        tensors = [column.name for column in self.columns if column.shape]
        if tensors:
            raise InputRefused(f"column {tensors[0]!r} holds arrays and CSV holds scalars", "write it as .npz")
        columns = [self.arrays[column.name].tolist() for column in self.columns]
        for place, column in enumerate(self.columns):
            if column.name == self.target and names:
                columns[place] = [names[cell] for cell in columns[place]]
        with path.open("w", newline="", encoding="utf-8") as file:
            if self.mock:
                file.write(f"# {MOCK_MARK}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([column.name for column in self.columns])
            writer.writerows(zip(*columns, strict=True))


def _bytes_of(array: Array) -> npt.NDArray[np.uint8]:
    """An array's cells as bytes, [rows, cell_bytes], without copying them."""
    return np.ascontiguousarray(array).view(np.uint8).reshape(len(array), -1)


def _known(name: str | None, names: Mapping[str, Any] | Sequence[str], what: str) -> None:
    if name is None or name in names:
        return
    near = get_close_matches(name, list(names), n=3, cutoff=0.5)
    shown = near or list(names)[:10]
    raise InputRefused(f"{what} {name!r} is not in the table", f"did you mean {', '.join(map(repr, shown))}?")


@dataclass(frozen=True)
class Wanted:
    """Which columns of a file are read: those that are not dropped and, where `only` names some, no others."""

    drop: frozenset[str]
    only: tuple[str, ...] | None = None

    def among(self, names: Iterable[str], target: str | None) -> frozenset[str]:
        """The wanted ones of a file's columns.

        Raises:
            InputRefused: a column to drop, a wanted one or the target is not there, or the target is dropped.
        """
        found = tuple(names)
        for name in sorted(self.drop):
            _known(name, found, "the column to drop")
        for name in self.only or ():
            _known(name, found, "the column")
        _known(target, found, "the target")
        if target in self.drop:
            raise InputRefused(f"the column {target!r} is the target and is to be dropped", "choose one of the two")
        return frozenset(self.only or found) - self.drop


def _plain(name: str, array: Array) -> Array:
    """An array in the one form that is hashed: little-endian, C order, read-only, finite."""
    if array.ndim == 0:
        raise InputRefused(f"column {name!r} is a single value and has no records")
    if array.dtype.name not in DTYPES:
        raise InputRefused(f"column {name!r} has dtype {array.dtype}, not one of {', '.join(DTYPES)}")
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if plain.dtype.kind == "f" and not np.isfinite(plain).all():
        row = int(np.argwhere(~np.isfinite(plain))[0][0])
        raise InputRefused(
            f"record {row}, column {name!r}: the cell is missing or not finite", "fill or drop such records"
        )
    plain = plain.view()
    plain.flags.writeable = False
    return plain


# --- CSV ---------------------------------------------------------------------------------------------------------------


def _read_csv(path: Path, wanted: Wanted, target: str | None, categories: tuple[str, ...], limit_bytes: int) -> Table:
    if path.stat().st_size > limit_bytes:
        raise InputRefused(f"the file has {path.stat().st_size} bytes and the limit is {limit_bytes}")
    with path.open("rb") as raw:
        _check_encoding(raw.read(4))
        raw.seek(0)
        file = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        try:
            return _CsvReader(file, wanted, target, categories).table()
        except UnicodeDecodeError:
            raise InputRefused(
                f"line {_first_undecodable_line(path)}: the text is not UTF-8", "save it as UTF-8"
            ) from None


def _check_encoding(start: bytes) -> None:
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputRefused("the text is UTF-16 and must be UTF-8", "save it as UTF-8")
    if start[:4] == b"PK\x03\x04":
        raise InputRefused("the file is a zip archive and not CSV", "a spreadsheet must be exported as CSV")


def _first_undecodable_line(path: Path) -> int:
    with path.open("rb") as raw:
        for number, line in enumerate(raw, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


class _CsvReader:
    """Reads one CSV file, some thousand lines at a time, so that no more than these are held as text."""

    def __init__(self, file: io.TextIOWrapper, wanted: Wanted, target: str | None, categories: tuple[str, ...]):
        self.mock = _skip_mark(file)
        self.skipped_lines = 1 if self.mock else 0
        self.rows = csv.reader(file, strict=True)
        self.names = self._header()
        kept = wanted.among(self.names, target)
        self.kept = [place for place, name in enumerate(self.names) if name in kept]
        self.target = target
        self.given = categories
        self.codes = {text: code for code, text in enumerate(categories)}
        self.texts: bool | None = True if categories else None  # is the target a column of texts? its first cell tells

    def table(self) -> Table:
        parts: dict[str, list[Array]] = {self.names[place]: [] for place in self.kept}
        while slab := self._slab():
            lines, rows = zip(*slab, strict=True)
            for place in self.kept:
                name = self.names[place]
                parts[name].append(self._cells(name, [row[place] for row in rows], lines))
        if not all(parts.values()):
            raise InputRefused("the table has no record" if parts else "every column is dropped")
        arrays = {name: np.concatenate(pieces) for name, pieces in parts.items()}
        categories = self.given
        if self.texts and self.target is not None and not categories:
            categories, arrays[self.target] = self._sorted(arrays[self.target])
        return Table.of(arrays, self.target, categories, self.mock)

    def _header(self) -> list[str]:
        names = [name.strip() for name in self._next() or []]
        if not names:
            raise InputRefused("the table is empty: it has no header line")
        if len(names) > MOST_COLUMNS:
            raise InputRefused(f"the table has {len(names)} columns and the limit is {MOST_COLUMNS}")
        for place, name in enumerate(names):
            if not name:
                raise InputRefused(f"line {self._line()}: column {place + 1} has no name", "name every column")
            if name in names[:place]:
                raise InputRefused(f"line {self._line()}: the column {name!r} stands twice", "rename one of them")
        if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
            raise InputRefused("the header has a single column", "separate the columns by commas, not ';' or tabs")
        return names

    def _next(self) -> list[str] | None:
        try:
            return next(self.rows, None)
        except csv.Error as error:
            raise InputRefused(f"line {self._line()}: {error}") from None

    def _line(self) -> int:
        return self.rows.line_num + self.skipped_lines

    def _slab(self) -> list[tuple[int, list[str]]]:
        slab: list[tuple[int, list[str]]] = []
        while len(slab) < SLAB_ROWS and (row := self._next()) is not None:
            if not row:  # a blank line is no record
                continue
            if len(row) != len(self.names):
                raise InputRefused(f"line {self._line()} has {len(row)} cells and the header has {len(self.names)}")
            slab.append((self._line(), row))
        return slab

    def _cells(self, name: str, cells: list[str], lines: Sequence[int]) -> Array:
        if name == self.target and self.texts is None:
            self.texts = not _is_number(cells[0])
        if name == self.target and self.texts:
            return self._category_codes(name, cells, lines)
        numbers = _numbers(cells)
        if numbers is None:
            bad = next(place for place, cell in enumerate(cells) if not _is_number(cell))
            self._refuse_cell(name, cells, lines, bad)
        return numbers

    def _category_codes(self, name: str, cells: list[str], lines: Sequence[int]) -> Array:
        codes = np.empty(len(cells), np.int64)
        for place, cell in enumerate(cells):
            text = cell.strip()
            if _is_missing(text):
                self._refuse_cell(name, cells, lines, place)
            if text not in self.codes:
                if self.given or len(self.codes) == MOST_CATEGORIES:
                    known = f"none of the {len(self.codes)} categories" if self.given else "a category too many"
                    raise InputRefused(f"line {lines[place]}, column {name!r}: the cell is {known}")
                self.codes[text] = len(self.codes)
            codes[place] = self.codes[text]
        return codes

    def _sorted(self, codes: Array) -> tuple[tuple[str, ...], Array]:
        """Number the categories in their sorted order instead of the order of their first appearance."""
        categories = tuple(sorted(self.codes))
        places = {text: place for place, text in enumerate(categories)}
        return categories, np.array([places[text] for text in self.codes], np.int64)[codes]

    def _refuse_cell(self, name: str, cells: list[str], lines: Sequence[int], place: int) -> NoReturn:
        where = f"line {lines[place]}, column {name!r}"
        if _is_missing(cells[place]):
            raise InputRefused(f"{where}: the cell is missing", "fill it, or leave that record out")
        raise InputRefused(
            f"{where}: the cell is a text of {len(cells[place])} characters and no finite number",
            "drop the column if it identifies people, or give numbers; only the target may hold texts",
        )


def _skip_mark(file: io.TextIOWrapper) -> bool:
    """Read the line that marks mock data, if the text begins with it."""
    start = file.tell()
    if file.readline(len(MOCK_MARK) + 4).rstrip("\r\n") == f"# {MOCK_MARK}":
        return True
    file.seek(start)
    return False


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING


def _is_number(cell: str) -> bool:
    return _numbers([cell]) is not None


def _numbers(cells: list[str]) -> Array | None:
    """The cells as finite float64, or None; Python's own liberties (1_000, digits of other scripts) are refused."""
    text = "".join(cells)
    if "_" in text or not text.isascii():
        return None
    try:
        numbers = np.array(list(map(float, cells)), np.float64)
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


# --- NPZ ---------------------------------------------------------------------------------------------------------------


def _read_npz(path: Path, wanted: Wanted, target: str | None, categories: tuple[str, ...], limit_bytes: int) -> Table:
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            names = wanted.among(members, target)
            kept = {name: member for name, member in members.items() if name in names}
            total_bytes = sum(member.file_size for member in kept.values())
            if total_bytes > limit_bytes:
                raise InputRefused(f"the arrays have {total_bytes} bytes and the limit is {limit_bytes}")
            arrays = {name: _read_array(archive, name, member) for name, member in kept.items()}
            return Table.of(arrays, target, categories, archive.comment == MOCK_MARK.encode())
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputRefused(f"the file is no intact NPZ archive: {error}") from None


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name == member.filename:
            raise InputRefused(f"the archive holds {name!r}, which is no .npy array")
        if name in members:
            raise InputRefused(f"the column {name!r} stands twice")
        members[name] = member
    return members


def _read_array(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> Array:
    """Read one array, having compared what its header promises with what the archive holds."""
    with archive.open(member) as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, fortran, dtype = read_header[version](file)
        except (ValueError, KeyError) as error:
            raise InputRefused(f"column {name!r} has no readable array header: {error}") from None
        if dtype.hasobject or dtype.name not in DTYPES:
            raise InputRefused(
                f"column {name!r} has dtype {dtype}, not one of {', '.join(DTYPES)}",
                "objects and texts are not read: they would have to be unpickled",
            )
        promised, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if promised != held or any(size < 0 for size in shape):
            raise InputRefused(f"column {name!r} promises {promised} bytes and the archive holds {held}")
        data = file.read()
        if len(data) != held:
            raise InputRefused(f"column {name!r} promises {held} bytes and ends after {len(data)}")
        flat = np.frombuffer(data, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
