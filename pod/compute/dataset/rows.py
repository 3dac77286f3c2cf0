"""Rows: a table's records on disk, end to end, where they are more than memory should hold.

The cells of a record lie beside one another as its leaf hashes them, so that hashing reads the file
from front to back and a batch reads a place for each of its records. What is read goes through one
buffer and is never mapped: a system maps all around what is looked at, up to megabytes of it, and
counts them as the process's; and a fault costs more than a read of a few hundred bytes. How much
memory a process takes does not depend on how many records there are.

A file without a name (`open(2)`, O_TMPFILE) holds records that were read: the kernel removes it
with the last process that has it open, however that one ends. What a worker is given has a name,
and a line before the records says what they are.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from fitchain.pod.compute.dataset.columns import SLAB_ROWS, Array, Column, Kind, plain
from fitchain.pod.values.digest import canonical_json, parse_json
from fitchain.pod.values.errors import InputRefused, host_errors
from fitchain.pod.values.limits import MOST_COLUMNS, RECORDS_SCHEMA
from fitchain.pod.values.recipe.fields import Fields

ROWS_TAG = b"fitchain/rows/v2\n"
MOST_HELD_BYTES = 64 << 20
"""From so many bytes of cells on they go to disk."""

MOST_TAKEN = 1 << 14
"""Of more records than this not all cells are read for one column's sake."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Spill:
    """Where records go that are too many for memory.

    Args:
        folder: on a disk, where only their owner reads.
        most_bytes: of cells that are held in memory.
    """

    folder: Path
    most_bytes: int = MOST_HELD_BYTES


class Rows:
    """Records of a file, the cells of each in the order of the columns, without anything between.

    Args:
        file: that holds them, open for reading; it is closed with the last of what refers to it.
        columns: of which they are.
        start: the bytes before the first.
        spill: where what comes of them may lie, too; None where nothing does.

    Attributes:
        bounds: the least and the largest cell of each column of numbers, where they are known.

    Raises:
        InputRefused: the file ends inside a record.
    """

    def __init__(self, file: IO[bytes], columns: Sequence[Column], start: int = 0, spill: Spill | None = None) -> None:
        self.file, self.columns, self.start, self.spill = file, tuple(columns), start, spill
        self.width = sum(column.cell_bytes for column in columns)
        held = os.fstat(file.fileno()).st_size - start
        self.count = held // self.width
        if held % self.width:
            raise InputRefused(f"the file of records ends inside record {self.count}", "write it anew")
        weakref.finalize(self, file.close)
        self.bounds: Mapping[str, tuple[Any, Any]] | None = None
        self._slab: tuple[tuple[int, int], Bytes] = ((0, 0), np.empty((0, self.width), np.uint8))
        self._taken: tuple[Array, Bytes] = (np.empty(0, np.uint64), self._slab[1])

    def slab(self, low: int, high: int) -> Bytes:
        """The bytes of the records from `low` to before `high`, `[n, width]`; those that were asked
        for last are at hand."""
        bounds, kept = self._slab  # another thread may put its own there meanwhile
        if bounds != (low, high):
            data = self._read((high - low) * self.width, self.start + low * self.width)
            kept = np.frombuffer(data, np.uint8).reshape(high - low, self.width)
            self._slab = (low, high), kept
        return kept

    def take(self, indices: Array) -> Bytes:
        """The bytes of some records, `[n, width]`; those that were asked for last are at hand.

        Raises:
            IndexError: there is no record of an index.
        """
        last, taken = self._taken
        if not np.array_equal(last, indices):
            if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < self.count:
                raise IndexError(f"there are {self.count} records, and some of {len(indices)} indices are none of them")
            taken = np.empty((len(indices), self.width), np.uint8)
            start, width, into = self.start, self.width, taken.reshape(-1).data
            for at, index in enumerate(indices.tolist()):
                into[at * width : (at + 1) * width] = self._read(width, start + index * width)
            self._taken = np.array(indices), taken
        return taken

    def _read(self, size: int, offset: int) -> bytes:
        """So many bytes of the file from an offset on."""
        data = os.pread(self.file.fileno(), size, offset)
        while len(data) < size:  # a system reads no more than 2 GB at once
            if not (piece := os.pread(self.file.fileno(), size - len(data), offset + len(data))):
                raise InputRefused("the file of records became shorter", "write it anew")
            data += piece
        return data

    def arrays(self) -> dict[str, Array]:
        """Every column by its name, to be used as an array is that one takes parts of."""
        arrays, offset = dict[str, Array](), 0
        for column in self.columns:
            # Not an array, but all that is asked of a table's: a length, a type, and parts.
            arrays[column.name] = cast(Array, ColumnOnDisk(self, column, offset))
            offset += column.cell_bytes
        return arrays

    def copy_to(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write the records where a worker reads them.

        Args:
            path: a new file, for its owner alone.
            about: what `read_rows` gives back.
        """
        header = canonical_json({"columns": [_column_json(column) for column in self.columns], "about": dict(about)})
        with (
            host_errors(f"{path} cannot be written"),
            path.open("wb") as file,
            open(self.file.fileno(), "rb", closefd=False) as own,
        ):
            file.write(ROWS_TAG + header + b"\n")
            own.seek(self.start)
            shutil.copyfileobj(own, file, 1 << 20)


class ColumnOnDisk:
    """A column of `Rows`, of which parts are read as they are asked for.

    Args:
        rows: the records.
        column: which.
        offset: where its cell begins in each.
    """

    def __init__(self, rows: Rows, column: Column, offset: int) -> None:
        self.rows, self.column = rows, column
        self.offset, self.dtype = offset, np.dtype(column.dtype).newbyteorder("<")
        self.cell = self.dtype if not column.shape else np.dtype((np.void, column.cell_bytes))
        self.shape = (rows.count, *column.shape)
        self.ndim, self.size = len(self.shape), int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.rows.count

    def __getitem__(self, which: slice | Array) -> Array:
        if isinstance(which, slice):
            low, high, step = which.indices(len(self))
            assert step == 1
            data = self.rows.slab(low, max(low, high))
        elif len(which) > MOST_TAKEN:
            return np.concatenate([self[which[low : low + MOST_TAKEN]] for low in range(0, len(which), MOST_TAKEN)])
        else:
            data = self.rows.take(which)
        cells = np.ndarray(len(data), self.cell, data, self.offset, (self.rows.width,)) if len(data) else data[:, 0]
        return cells.astype(self.cell).view(self.dtype).reshape(-1, *self.column.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The whole column; for what cannot be done by parts."""
        parts = [self[low : low + SLAB_ROWS] for low in range(0, len(self), SLAB_ROWS)]
        whole = np.concatenate(parts) if parts else np.empty(self.shape, self.dtype)
        return whole if dtype is None else whole.astype(dtype)


class RowSink:
    """Takes records slab by slab; they stay in memory as long as they are few.

    Args:
        columns: of the records.
        spill: where they go else; None keeps them in memory however many they are.
    """

    def __init__(self, columns: Sequence[Column], spill: Spill | None) -> None:
        self.columns, self.spill = tuple(columns), spill
        self.parts: dict[str, list[Array]] = {column.name: [] for column in columns}
        self.count = self.held_bytes = 0
        self.file: IO[bytes] | None = None
        self.bounds = dict[str, tuple[Any, Any]]()

    def add(self, arrays: Mapping[str, Array]) -> None:
        """Take more records, `[n, *shape]` of each column.

        Raises:
            InputRefused: a cell is not finite.
            HostUnusable: the disk is full.
        """
        cells = [plain(column.name, arrays[column.name], self.count) for column in self.columns]
        self.count += len(cells[0])
        for column, part in zip(self.columns, cells, strict=True):
            if part.size and part.dtype.kind != "b":
                low, high = self.bounds.get(column.name, (part.flat[0], part.flat[0]))
                self.bounds[column.name] = min(low, part.min()), max(high, part.max())
        if self.file is not None:
            self._write(cells)
            return
        for column, part in zip(self.columns, cells, strict=True):
            self.parts[column.name].append(part)
            self.held_bytes += part.nbytes
        if self.spill is not None and self.held_bytes > self.spill.most_bytes:
            self._begin(self.spill)

    def _begin(self, spill: Spill) -> None:
        with host_errors(f"{spill.folder} cannot be written"):
            self.file = new_scratch(spill.folder)
        self._closing = weakref.finalize(self, self.file.close)
        for cells in zip(*self.parts.values(), strict=True):
            self._write(cells)
        self.parts = {}

    def _write(self, cells: Sequence[Array]) -> None:
        assert self.file is not None and self.spill is not None
        with host_errors(f"{self.spill.folder} cannot be written"):
            self.file.write(beside([bytes_of(part) for part in cells]).data)

    def end(self) -> tuple[dict[str, Array], Rows | None]:
        """All records: arrays by column, and the rows on disk that they are of; None where they are
        in memory.

        Raises:
            InputRefused: there is none.
        """
        if not self.count:
            raise InputRefused("the table has no record")
        if self.file is None:
            return {name: _whole(parts) for name, parts in self.parts.items()}, None
        assert self.spill is not None
        with host_errors(f"{self.spill.folder} cannot be written"):
            self.file.flush()
        self._closing.detach()
        rows = Rows(self.file, self.columns, spill=self.spill)
        rows.bounds = self.bounds
        return rows.arrays(), rows


def _whole(parts: list[Array]) -> Array:
    whole = np.concatenate(parts)
    whole.flags.writeable = False
    return whole


def new_scratch(folder: Path) -> IO[bytes]:
    """A file without a name, for reading and writing, which its last user's end removes."""
    return cast(IO[bytes], tempfile.TemporaryFile(dir=folder))


def bytes_of(array: Array) -> Bytes:
    """An array's cells as bytes, `[rows, cell_bytes]`, without copying them."""
    return np.ascontiguousarray(array).view(np.uint8).reshape(len(array), -1)


def beside(parts: Sequence[Bytes]) -> Bytes:
    """Bytes of the same records beside one another: `[n, a]`, `[n, b]`, ... become `[n, a + b +
    ...]`. As cells of one type each they are copied several times faster than by `np.concatenate`.
    """
    cell_types = [np.dtype((np.void, part.shape[1])) for part in parts]
    records = np.empty(len(parts[0]), [(str(number), cells) for number, cells in enumerate(cell_types)])
    for number, (part, cells) in enumerate(zip(parts, cell_types, strict=True)):
        records[str(number)] = np.ascontiguousarray(part).view(cells)[:, 0]
    return records.view(np.uint8).reshape(len(records), -1)


def each_row(rows: Bytes) -> list[bytes]:
    """The bytes of each row, made for all of them at once: slicing takes longer in Python."""
    whole = np.dtype((np.void, rows.shape[1]))
    made: list[bytes] = np.ascontiguousarray(rows).view(whole)[:, 0].tolist()
    return made


def is_rows(path: Path) -> bool:
    """Whether a file is one that `Rows.copy_to` wrote."""
    with path.open("rb") as file:
        return file.read(len(ROWS_TAG)) == ROWS_TAG


def read_rows(path: Path) -> tuple[Rows, dict[str, Any]]:
    """Open a file that `Rows.copy_to` wrote.

    Returns:
        The records, and what was said about them.

    Raises:
        InputRefused: it is no such file.
    """
    file = path.open("rb")
    try:
        if file.readline(len(ROWS_TAG)) != ROWS_TAG:
            raise InputRefused("it is no file of records", "write it anew")
        header = parse_json(file.readline(RECORDS_SCHEMA.text_bytes), RECORDS_SCHEMA)
        fields = Fields("a file of records", header, ("columns", "about"))
        columns = [_column_of(value) for value in fields.items("columns", 1, MOST_COLUMNS)]
        return Rows(file, columns, file.tell()), dict(header["about"])
    except BaseException:
        file.close()
        raise


def slabs(count: int) -> Iterator[slice]:
    """Parts of so many records that are looked at one after another."""
    return (slice(low, min(low + SLAB_ROWS, count)) for low in range(0, count, SLAB_ROWS))


def _column_json(column: Column) -> dict[str, Any]:
    return asdict(column) | {"shape": list(column.shape), "kind": str(column.kind)}


def _column_of(value: Any) -> Column:
    return Column(**{**value, "shape": tuple(value["shape"]), "kind": Kind(value["kind"])})
