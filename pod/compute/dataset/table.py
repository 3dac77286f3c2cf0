"""Tables: what an owner's file becomes before anything is registered.

A table is a set of named columns of one length, each a numpy array; of one that is more than memory
should hold they lie on disk (`rows`), and whoever goes through them does so part by part. What the
cells of a source mean is decided by `schema`. It knows nothing of trees, cards or money.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fitchain.pod.compute.dataset.columns import (
    SLAB_BYTES,
    SLAB_ROWS,
    Array,
    Column,
    Kind,
    plain,
    require_column,
    schema_bytes,
)
from fitchain.pod.compute.dataset.decision import decide, guess_task
from fitchain.pod.compute.dataset.draft import Draft
from fitchain.pod.compute.dataset.image_folder import ImageFolder
from fitchain.pod.compute.dataset.npz_file import read_npz, write_npz
from fitchain.pod.compute.dataset.readers import Dialect, Reading, open_source, parse_dialect
from fitchain.pod.compute.dataset.rows import Rows, RowSink, Spill, beside, bytes_of, is_rows, read_rows, slabs
from fitchain.pod.compute.dataset.schema import Schema
from fitchain.pod.compute.dataset.selection import ReadingTerms
from fitchain.pod.compute.dataset.source import Source, Tick, no_tick
from fitchain.pod.compute.dataset.task import Task
from fitchain.pod.compute.dataset.tokenizer import Tokenizer, Tokenizing, open_tokenizer
from fitchain.pod.compute.dataset.units import FILLED, UnitColumn, slots_of
from fitchain.pod.values.errors import FitchainError, InputRefused, InputsRefused, NotFound, host_error, reason_of
from fitchain.pod.values.limits import MOST_COLUMNS, TABLE_BYTES


@contextmanager
def _of_file(path: Path) -> Iterator[None]:
    """What goes wrong with a file names it."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except OSError as error:
        refused = InputRefused(f"{path} cannot be read: {reason_of(error)}")  # an archive that leads nowhere
        raise host_error(error) or refused from None
    except InputsRefused as error:
        named, what = f"{path.name}: {error.message}", f"{path.name}: {error.what}"
        raise InputsRefused(named, error.hint, what, error.faults) from None
    except FitchainError as error:
        raise type(error)(f"{path.name}: {error.message}", error.hint) from None


def _opened(tokenizing: Tokenizing | None, limit_bytes: int) -> AbstractContextManager[Tokenizer | None]:
    """The tokenizer that an owner names, in its process."""
    if tokenizing is None:
        return nullcontext()
    return open_tokenizer(tokenizing.file, pad=tokenizing.pad, room_bytes=limit_bytes)


def _opened_again(schema: Schema, file: bytes | None, limit_bytes: int) -> AbstractContextManager[Tokenizer | None]:
    """The tokenizer by which a table was read.

    Raises:
        InputRefused: it was read by one, and there is none.
    """
    if schema.tokenizer is None:
        return nullcontext()
    if file is None:
        raise InputRefused(
            f"the table's free texts are read by the tokenizer {schema.tokenizer.digest}, which is not here",
            "fetch it by the CID on the dataset's card; a loaded model wants it beside it as tokenizer.json",
        )
    return open_tokenizer(file, terms=schema.tokenizer, room_bytes=limit_bytes)


@dataclass(frozen=True)
class Table:
    """Named columns of one length.

    Args:
        columns: in the order of the source.
        arrays: by column name; `[count, *shape]`, little-endian, C order, read-only. Where there
            are `rows` each can be asked for its type, its length and its parts alone.
        target: the column to be predicted, or None.
        task: what it is predicted as; None where that was not asked.
        categories: by column, the texts that its integers stand for.
        mock: whether the source is marked as mock data.
        unit_records: K, how many rows each unit of privacy has (`units`); None where a record is
            the unit, or where that is not known.
        left_out: how many records of the source were more than K of their unit.
        reading: how it was read of its source; None where it comes of none.
        rows: its records on disk; None where they are in memory.
        cut: how many free texts of the source have more tokens than a record holds, by column.
    """

    columns: tuple[Column, ...]
    arrays: Mapping[str, Array]
    target: str | None = None
    task: Task | None = None
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mock: bool = False
    unit_records: int | None = None
    left_out: int = 0
    reading: Reading | None = None
    rows: Rows | None = field(default=None, compare=False)
    cut: Mapping[str, int] = field(default_factory=dict)

    # Many parameters: a file, and all that decides how it is read.
    @classmethod
    def read(
        cls,
        path: Path,
        terms: ReadingTerms | None = None,
        dialect: Dialect | None = None,
        limit_bytes: int = TABLE_BYTES,
        unit: UnitColumn | None = None,
        spill: Spill | None = None,
        tick: Tick = no_tick,
    ) -> Table:
        """Read a file of records that somebody made (`readers.SOURCES`): what its columns are is
        said by the terms, or follows from all of their cells.

        Args:
            path: the file, or the folder of images.
            terms: what its owner says of it.
            dialect: how a text is written, or what images are made of one form by, as far as that
                is said.
            limit_bytes: the most bytes of arrays or of text that are read.
            unit: the column that says whose record one is, by which they are laid out (`by_unit`);
                None where a record is the unit.
            spill: where a large table's records go; None keeps all of them in memory.
            tick: told how far it is.

        Raises:
            NotFound: there is no such file.
            InputRefused: it is no such table; the message names line and column, never the cell's
                content.
            HostUnusable: its disk, or its rights, do not let it be read now.
        """
        terms = replace(terms or ReadingTerms(), unit=None if unit is None else unit.column)
        with _of_file(path), _opened(terms.tokenizing, limit_bytes) as tokenizer:
            source = open_source(path, dialect, limit_bytes)
            if isinstance(source, ImageFolder):
                source.require_classes()
            draft = None if spill is None or unit is not None else Draft(spill, terms.markers)
            schema = decide(source, terms, tick, draft, tokenizer)
            if draft is not None and (drafted := draft.taken_for(schema)) is not None:
                return cls._of_arrays(source, schema, *drafted)
            del draft  # its records are somewhere, and are read again
            return cls._of_source(source, schema, limit_bytes, unit, spill, tick, tokenizer)

    # Many parameters: those of `read`.
    @classmethod
    def read_as(
        cls,
        path: Path,
        reading: Reading,
        limit_bytes: int = TABLE_BYTES,
        unit: UnitColumn | None = None,
        spill: Spill | None = None,
        tick: Tick = no_tick,
        tokenizer: bytes | None = None,
    ) -> Table:
        """Read a file again as it was read before; the terms are `read`'s.

        Args:
            tokenizer: the file by which its free texts were read; None where it has none.

        Raises:
            NotFound, InputRefused, HostUnusable: as `read`.
            DigestMismatch, EnvironmentRefused: it is another tokenizer, or another release of its
                library is here.
        """
        with _of_file(path), _opened_again(reading.schema, tokenizer, limit_bytes) as texts:
            source = open_source(path, reading.dialect, limit_bytes)
            return cls._of_source(source, reading.schema, limit_bytes, unit, spill, tick, texts)

    @classmethod
    def read_source(
        cls, source: Source, schema: Schema, tokenizer: bytes | None = None, limit_bytes: int = TABLE_BYTES
    ) -> Table:
        """Read a source that is open already by a schema; the terms are `read_as`'s.

        Raises:
            InputRefused, DigestMismatch, EnvironmentRefused: as `read_as`.
        """
        with _opened_again(schema, tokenizer, limit_bytes) as texts:
            return cls._of_source(source, schema, limit_bytes, None, None, no_tick, texts)

    @classmethod
    def load(cls, path: Path, limit_bytes: int = TABLE_BYTES) -> Table:
        """Read a file that `write_npz` or `write_for_worker` wrote: each array as it is.

        Raises:
            NotFound, InputRefused, HostUnusable: as `read`.
        """
        with _of_file(path):
            if is_rows(path):
                rows, about = read_rows(path)
                return cls(rows.columns, rows.arrays(), mock=about["mock"], rows=rows)
            arrays, mock = read_npz(path, limit_bytes)
            return cls.of(arrays, mock=mock)

    # Many parameters: those of `read`, and what was decided.
    @classmethod
    def _of_source(
        cls,
        source: Source,
        schema: Schema,
        limit_bytes: int,
        unit: UnitColumn | None,
        spill: Spill | None,
        tick: Tick,
        tokenizer: Tokenizer | None,
    ) -> Table:
        arrays, rows, whose = schema.read(source, spill, tick, tokenizer)
        table = cls._of_arrays(source, schema, arrays, rows)
        if tokenizer is not None:
            table = replace(table, cut=dict(tokenizer.cut))
        if unit is None:
            return table
        assert whose is not None
        return table.by_unit(whose, unit, limit_bytes, spill)

    @classmethod
    def _of_arrays(cls, source: Source, schema: Schema, arrays: Mapping[str, Array], rows: Rows | None) -> Table:
        dialect = parse_dialect(source.dialect)
        about = (schema.target, schema.task, schema.categories, source.mock)
        require_column(schema.target, arrays, "the target")
        return cls(schema.columns, arrays, *about, reading=Reading(dialect, schema), rows=rows)

    @classmethod
    def of(
        cls,
        arrays: Mapping[str, Array],
        target: str | None = None,
        categories: Mapping[str, tuple[str, ...]] | None = None,
        mock: bool = False,
        may_be_empty: bool = False,
        task: Task | None = None,
    ) -> Table:
        """Make a table of arrays `[count, *shape]`, checked as those of a file are.

        What its target is predicted as is guessed (`decision`) where no task says it. A table may
        be empty where it has the records that were drawn in secret, which may be none.

        Raises:
            InputRefused: no record, counts that differ, a dtype that is not admitted, a cell that
                is not finite.
        """
        if not arrays:
            raise InputRefused("the table has no column")
        if len(arrays) > MOST_COLUMNS:
            raise InputRefused(f"the table has {len(arrays)} columns and the limit is {MOST_COLUMNS}")
        require_column(target, arrays, "the target")
        cells = {name: plain(name, array) for name, array in arrays.items()}
        counts = {name: len(array) for name, array in cells.items()}
        first = next(iter(counts))
        for name, count in counts.items():
            if count != counts[first]:
                raise InputRefused(f"column {first!r} has {counts[first]} records and column {name!r} {count}")
        if counts[first] == 0 and not may_be_empty:
            raise InputRefused("the table has no record")
        texts = dict(categories or {})
        columns = tuple(
            Column(name, array.dtype.name, array.shape[1:], kind=Kind.CATEGORY if name in texts else None)
            for name, array in cells.items()
        )
        column = next((each for each in columns if each.name == target), None)
        if task is None and column is not None:
            task = guess_task(column, cells[column.name])
        return cls(columns, cells, target, task, texts, mock)

    def by_unit(
        self, whose: Array, unit: UnitColumn, limit_bytes: int = TABLE_BYTES, spill: Spill | None = None
    ) -> Table:
        """The same records laid out by unit of privacy, as `units` says.

        Args:
            whose: `[count]`, equal where two records are of one unit.
            unit: its column, and how many records of each are used.
            limit_bytes: the most bytes of arrays that come of it.
            spill: where they go where they are many; None keeps them in memory.

        Raises:
            InputRefused: the unit column is not one finite number or text a record, the table has a
                column called `FILLED`, or takes too much room.
        """
        if whose.shape != (self.count,) or (whose.dtype.kind == "f" and not np.isfinite(whose).all()):
            raise InputRefused(f"the unit column {unit.column!r} has not one finite number or text for each record")
        if FILLED in self.arrays:
            raise InputRefused(f"a column is called {FILLED!r}, as the one that a table of units has", "rename it")
        rows, filled = slots_of(whose, unit.most_records)
        if (size := len(rows) * self.record_bytes) > limit_bytes:
            raise InputRefused(
                f"the units take {size} bytes with {unit.most_records} records each, and the limit is {limit_bytes}",
                "let each have fewer records",
            )
        columns = (*self.columns, Column(FILLED, "bool"))
        sink = RowSink(columns, spill)
        for part in slabs(len(rows)):
            sink.add({name: array[rows[part]] for name, array in self.arrays.items()} | {FILLED: filled[part]})
        arrays, on_disk = sink.end()
        return replace(
            self,
            columns=columns,
            arrays=arrays,
            unit_records=unit.most_records,
            left_out=self.count - int(filled.sum()),
            rows=on_disk,
        )

    @property
    def record_count(self) -> int:
        """How many records there are, where the table has rows that no record fills."""
        filled = self.arrays.get(FILLED)
        return self.count if filled is None else sum(int(filled[part].sum()) for part in self.parts())

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.arrays[self.columns[0].name])

    def parts(self) -> Iterator[slice]:
        """Of its records some thousands after another: whoever looks at all of several columns goes
        through them together."""
        return slabs(self.count)

    def column(self, name: str) -> Column:
        """Find a column by its name.

        Raises:
            InputRefused: there is none; the hint names near ones.
        """
        require_column(name, self.arrays, "the column")
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
        """The bytes of a record: the schema's 32 bytes, then each column's cell, little-endian in C
        order.

        Raises:
            InputRefused: there is no record of that index.
        """
        if not 0 <= index < self.count:
            raise InputRefused(f"the table has {self.count} records and none of index {index}")
        return bytes(next(self.records(index, index + 1)))

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """The bytes of the records in order, made for many at once in bounded memory."""
        for low, high in self.slab_bounds(start, stop):
            yield from (memoryview(row) for row in self.slab(low, high))

    def slab_bounds(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """First record and end of each run of records whose bytes are made at once: a few thousand,
        or some megabytes."""
        end = self.count if stop is None else stop
        rows = max(1, min(SLAB_ROWS, SLAB_BYTES // self.record_bytes))
        return ((low, min(low + rows, end)) for low in range(start, end, rows))

    def slab(self, start: int, stop: int, before: Sequence[Array] = ()) -> Array:
        """The bytes of the records from `start` to before `stop`.

        Args:
            before: what shall stand before them in each row, uint8 `[stop - start, n]` each.

        Returns:
            uint8 `[stop - start, n + record_bytes]`, contiguous.
        """
        schema = np.broadcast_to(np.frombuffer(self.schema, np.uint8), (stop - start, len(self.schema)))
        if self.rows is not None:
            return beside([*before, schema, self.rows.slab(start, stop)])
        cells = (bytes_of(self.arrays[column.name][start:stop]) for column in self.columns)
        return beside([*before, schema, *cells])

    def write_npz(self, path: Path) -> None:
        """Write the arrays as an NPZ file whose bytes depend on nothing but the table and the
        Python that writes it."""
        write_npz(path, ((column.name, self.arrays[column.name]) for column in self.columns), self.mock)

    def write_for_worker(self, path: Path) -> None:
        """Write the table where a worker reads it (`load`): as NPZ, or record by record where it is
        on disk."""
        if self.rows is None:
            self.write_npz(path)
        else:
            self.rows.copy_to(path, {"mock": self.mock})


def column_names(path: Path, dialect: Dialect | None = None, limit_bytes: int = TABLE_BYTES) -> Sequence[str]:
    """The names of a file's columns.

    Raises:
        NotFound, InputRefused, HostUnusable: as `Table.read`.
    """
    with _of_file(path):
        return open_source(path, dialect, limit_bytes).names
