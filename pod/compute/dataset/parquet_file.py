"""Parquet files, by pyarrow (the extra `parquet`).

Before anything is unpacked, the number of records that the file says it has is compared with the
limit. Texts stay in the form of their file, each word once, and records come some thousands at a
time, whatever the size of a row group.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fitchain.pod.compute.dataset.arrow_cells import (
    ArrowSource,
    cell_bytes,
    cells_of,
    holds_words,
    intact,
    pyarrow,
    require_types,
)
from fitchain.pod.compute.dataset.columns import SLAB_ROWS
from fitchain.pod.compute.dataset.source import Slab
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import PARQUET_FOOTER_BYTES, TABLE_BYTES

MAGIC, ENCRYPTED = b"PAR1", b"PARE"
_READ_BYTES = 1 << 20


class ParquetFile(ArrowSource):
    """A Parquet file as a source of records.

    Raises:
        InputRefused: it is no such file.
    """

    def __init__(self, path: Path, limit_bytes: int = TABLE_BYTES) -> None:
        super().__init__(path, limit_bytes)
        _require_footer(path)

    def _read_schema(self) -> Any:
        with self._opened() as file:
            list(file.schema_arrow.names)  # which are decoded here, where damage is told
            return file.schema_arrow

    @contextmanager
    def _opened(self, words: Sequence[str] = ()) -> Iterator[Any]:
        """The open file, whose columns `words` are read as words and places."""
        with (
            intact("Parquet file"),
            pyarrow().parquet.ParquetFile(
                self.path,
                read_dictionary=list(words),
                pre_buffer=False,  # else the packed bytes of all row groups lie in memory together
                buffer_size=_READ_BYTES,
                page_checksum_verification=True,
                arrow_extensions_enabled=False,
            ) as file,
        ):
            yield file

    def slabs(self, columns: Collection[int]) -> Iterator[Slab]:
        """The records, some thousands at a time."""
        arrow_names, names = self.schema.names, self.names
        wanted = sorted(columns)
        require_types([(names[position], self.schema.field(position)) for position in wanted], self.place_word)
        # A name may stand twice: its columns come in the order of the file.
        turns = {position: arrow_names[:position].count(arrow_names[position]) for position in wanted}
        words = [arrow_names[position] for position in wanted if holds_words(self.schema.field(position).type)]
        done = unpacked = 0
        with self._opened(words) as file:
            self._require_within(file, wanted)
            asked = list(dict.fromkeys(arrow_names[position] for position in wanted))
            for batch in file.iter_batches(SLAB_ROWS, columns=asked, use_threads=False):
                unpacked += sum(map(_own_bytes, batch.columns))
                self._require_bytes(unpacked)
                if not batch.num_rows:
                    continue
                places = range(done + 1, done + batch.num_rows + 1)
                yield Slab(
                    places,
                    {
                        position: cells_of(
                            names[position],
                            batch.column(batch.schema.get_all_field_indices(arrow_names[position])[turn]),
                            places,
                        )
                        for position, turn in turns.items()
                    },
                    (done + batch.num_rows) / max(file.metadata.num_rows, 1),
                )
                done += batch.num_rows
            if done != file.metadata.num_rows:
                raise InputRefused(
                    f"the file says that it has {file.metadata.num_rows} records and holds {done}", "write it anew"
                )
        if not done:
            raise InputRefused("the table has no record")

    def _require_within(self, file: Any, wanted: Sequence[int]) -> None:
        """Compare what the file says of itself with the limit, before anything is unpacked.

        What it says of single pieces of columns is not asked: pyarrow ends the process where that
        is damaged.
        """
        fields = {self.schema.names[position]: self.schema.field(position).type for position in wanted}
        for column in map(file.schema.column, range(file.metadata.num_columns)):
            name = column.path if column.path in fields else column.path.partition(".")[0]
            if name in fields and column.physical_type == "INT96":
                raise InputRefused(
                    f"column {name!r:.80}: it holds times of the type INT96, which Parquet has given up",
                    "write them as microseconds (Spark: spark.sql.parquet.outputTimestampType=TIMESTAMP_MICROS)",
                )
        self._require_bytes(file.metadata.num_rows * sum(map(cell_bytes, fields.values())))

    def _require_bytes(self, unpacked: int) -> None:
        if unpacked > self.limit_bytes:
            raise InputRefused(
                f"its columns take {unpacked} bytes unpacked, and the limit is {self.limit_bytes}",
                "leave columns out (--drop)",
            )


def _own_bytes(column: Any) -> int:
    """What a piece of a column takes apart from its words, which all pieces share."""
    return int((column.indices if pyarrow().types.is_dictionary(column.type) else column).nbytes)


def _require_footer(path: Path) -> None:
    """Refuse what is no Parquet file, or says that it is described in more bytes than it may be."""
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(max(0, file.seek(0, os.SEEK_END) - 8))
        end = file.read(8)
    if ENCRYPTED in (start, end[4:]):
        raise InputRefused("the file is an encrypted Parquet file", "write it without encryption")
    if start != MAGIC or end[4:] != MAGIC:
        raise InputRefused("the file is no intact Parquet file", "write it anew")
    if (length := int.from_bytes(end[:4], "little")) > PARQUET_FOOTER_BYTES:
        raise InputRefused(f"the file is described in {length} bytes and the limit is {PARQUET_FOOTER_BYTES}")
