"""Opened records as one file, `records.bin`: each record that the audited segments use, once, with
what proves that it was registered.

Integers are big-endian; the file ends with its last record.

    32 bytes   sha256("fitchain/opened/v2")
    uint32     length of the schema
    ...        the schema: json([[column name, dtype, [shape...], kind, unit], ...])
    uint64     records in the dataset
    uint64     records in this file
    and for each record, by rising index
    uint64     its index
    32 bytes   its salt
    32 bytes   its unit of privacy
    ...        its bytes, as many as the schema says: sha256(schema), then the cells
    uint8      nodes of its path
    ...        the path from the leaf upwards, 32 bytes each
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fitchain.pod.compute.dataset import Column, Kind, Opening, Table
from fitchain.pod.compute.dataset.columns import Array, schema_bytes
from fitchain.pod.values.digest import Digest, parse_json
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.leaf import Indices
from fitchain.pod.values.limits import MOST_COLUMNS, MOST_PATH, RECORDS_SCHEMA

OPENED_TAG = "fitchain/opened/v2"
_FIXED_BYTES = 8 + 32 + 32 + 1
"""Of a record: its index, salt and unit, and the length of its path."""
_TAG = hashlib.sha256(OPENED_TAG.encode()).digest()


def write_opened(path: Path, columns: Sequence[Column], count: int, openings: Iterable[Opening], number: int) -> None:
    """Write openings, in bounded memory.

    Args:
        path: where.
        columns: the dataset's, in its order.
        count: records in the dataset.
        openings: by rising index.
        number: how many there are.
    """
    schema = schema_bytes(columns)
    with path.open("xb") as file:
        file.write(
            _TAG + len(schema).to_bytes(4, "big") + schema + count.to_bytes(8, "big") + number.to_bytes(8, "big")
        )
        for opening in openings:
            file.write(opening.index.to_bytes(8, "big") + opening.salt + opening.unit + opening.record)
            file.write(bytes([len(opening.path)]) + b"".join(map(bytes, opening.path)))


@dataclass(frozen=True)
class OpenedRecords:
    """A file of opened records whose head has been read; its openings are read one by one.

    Args:
        path: the file.
        columns: as its schema says; each record says by its first 32 bytes whether it is of that
            schema.
        count: records in the dataset, as it says.
        number: records in the file.
        start: where the first begins.
    """

    path: Path
    columns: tuple[Column, ...]
    count: int
    number: int
    start: int

    @classmethod
    def read(cls, path: Path) -> OpenedRecords:
        """Read the head.

        Raises:
            NotFound: there is no such file.
            InputRefused: it is no such file, or says that it holds more than its bytes can.
        """
        try:
            with path.open("rb") as file:
                records = cls._head(path, file)
        except FileNotFoundError:
            raise NotFound(f"there is no {path.name}") from None
        if records.number * (records.record_bytes + _FIXED_BYTES) > path.stat().st_size:
            raise InputRefused(f"{path.name} says that it holds {records.number} records and is too small for them")
        return records

    @classmethod
    def _head(cls, path: Path, file: BinaryIO) -> OpenedRecords:
        if _read(file, 32) != _TAG:
            raise InputRefused(f"{path.name} is no {OPENED_TAG}")
        length = int.from_bytes(_read(file, 4), "big")
        if length > RECORDS_SCHEMA.text_bytes:
            most = RECORDS_SCHEMA.text_bytes
            raise InputRefused(f"the schema in {path.name} has {length} bytes and the limit is {most}")
        columns = _columns(_read(file, length))
        count, number = (int.from_bytes(_read(file, 8), "big") for _ in range(2))
        return cls(path, columns, count, number, file.tell())

    @property
    def record_bytes(self) -> int:
        """Bytes of a record."""
        return 32 + sum(column.cell_bytes for column in self.columns)

    @property
    def schema(self) -> bytes:
        """The 32 bytes with which a record of this schema begins."""
        return hashlib.sha256(schema_bytes(self.columns)).digest()

    def __iter__(self) -> Iterator[Opening]:
        """The openings, one after the other.

        Raises:
            InputRefused: the file is cut short, goes on after its last record, or is not in the
                order of the records.
        """
        size, before = self.record_bytes, -1
        with self.path.open("rb") as file:
            file.seek(self.start)
            for _ in range(self.number):
                index = int.from_bytes(_read(file, 8), "big")
                if index <= before or index >= self.count:
                    raise InputRefused(f"record {index} stands after record {before} of {self.count}")
                salt, unit, record, nodes = _read(file, 32), _read(file, 32), _read(file, size), _read(file, 1)[0]
                if nodes > MOST_PATH:
                    raise InputRefused(f"the path of record {index} has {nodes} nodes, more than any tree is high")
                path = tuple(Digest(_read(file, 32)) for _ in range(nodes))
                yield Opening(index, self.count, salt, record, path, unit)
                before = index
            if file.read(1):
                raise InputRefused(f"{self.path.name} goes on after its last record")

    def table(self, wanted: Indices) -> Table:
        """The wanted records as a table whose row i is the i-th of them.

        Args:
            wanted: their indices, rising.

        Raises:
            InputRefused: the file lacks one, or one is of another schema or holds a cell that no
                table holds.
        """
        if len(wanted) > self.number:  # before memory is taken for shapes that a stranger claims
            raise InputRefused(f"{self.path.name} holds {self.number} records and not the {len(wanted)} wanted")
        arrays = {column.name: _empty(column, len(wanted)) for column in self.columns}
        schema, row = self.schema, 0
        for opening in self:
            if row < len(wanted) and opening.index == wanted[row]:
                if opening.record[:32] != schema:
                    raise InputRefused(f"record {opening.index} is of another schema than {self.path.name} says")
                self._put(arrays, row, opening.record)
                row += 1
        if row < len(wanted):
            raise InputRefused(f"{self.path.name} lacks record {wanted[row]}")
        return Table.of(arrays, may_be_empty=True)

    def _put(self, arrays: dict[str, Array], row: int, record: bytes) -> None:
        offset = 32
        for column in self.columns:
            dtype = np.dtype(column.dtype).newbyteorder("<")
            cell = np.frombuffer(record, np.uint8, column.cell_bytes, offset)
            if column.dtype == "bool" and (cell > 1).any():
                raise InputRefused(f"a cell of column {column.name!r} is neither true nor false")
            arrays[column.name][row] = cell.view(dtype).reshape(column.shape)
            offset += column.cell_bytes


def _empty(column: Column, rows: int) -> Array:
    return np.zeros((rows, *column.shape), np.dtype(column.dtype).newbyteorder("<"))


def _columns(schema: bytes) -> tuple[Column, ...]:
    """The columns of a schema, which must stand there in its one form."""
    value = parse_json(schema, RECORDS_SCHEMA)
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_COLUMNS or not all(map(_is_column, value)):
        raise InputRefused("a schema is a list of [name, dtype, [shape...], kind, unit]")
    columns = tuple(Column(name, dtype, tuple(shape), unit, Kind(kind)) for name, dtype, shape, kind, unit in value)
    if len({column.name for column in columns}) < len(columns):
        raise InputRefused("a schema names one of its columns twice")
    if schema_bytes(columns) != schema:
        raise InputRefused("the schema is not canonical JSON (RFC 8785)")
    return columns


def _is_column(value: object) -> bool:
    match value:
        case [str(), str(), list(shape), str(kind), str()]:
            return all(type(size) is int for size in shape) and kind in set(Kind)
    return False


def _read(file: BinaryIO, count: int) -> bytes:
    """Read so many bytes; a size that a stranger claims is compared with the file before memory is
    taken for it."""
    left = os.fstat(file.fileno()).st_size - file.tell()
    if count > left:
        raise InputRefused(f"the file of opened records ends {count - left} bytes too early")
    return file.read(count)
