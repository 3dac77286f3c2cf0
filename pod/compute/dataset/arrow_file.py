"""Arrow's own files (IPC, which is also Feather of version 2), by pyarrow (the extra `parquet`).

A batch of such a file is unpacked as a whole, and only then does it say how large it is: of a file
of a stranger's make Parquet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fitchain.pod.compute.dataset.arrow_cells import ArrowSource, cells_of, intact, pyarrow, require_types
from fitchain.pod.compute.dataset.columns import SLAB_ROWS
from fitchain.pod.compute.dataset.source import Slab
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import TABLE_BYTES

MAGIC, FEATHER_1 = b"ARROW1", b"FEA1"


class ArrowFile(ArrowSource):
    """A file of Arrow's as a source of records.

    Raises:
        InputRefused: it is no such file.
    """

    def __init__(self, path: Path, limit_bytes: int = TABLE_BYTES) -> None:
        super().__init__(path, limit_bytes)
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
        if not start.startswith(MAGIC):
            what = "a Feather file of version 1" if start.startswith(FEATHER_1) else "no file of Arrow's (IPC)"
            raise InputRefused(f"the file is {what}", "write it anew as Feather of version 2, or as Parquet")

    def _read_schema(self) -> Any:
        with self._opened() as file:
            list(file.schema.names)  # which are decoded here, where damage is told
            return file.schema

    @contextmanager
    def _opened(self, columns: Sequence[int] | None = None) -> Iterator[Any]:
        arrow = pyarrow()
        options = arrow.ipc.IpcReadOptions(
            included_fields=None if columns is None else list(columns), use_threads=False
        )
        with (
            intact("file of Arrow's"),
            arrow.OSFile(str(self.path)) as raw,
            arrow.ipc.open_file(raw, options=options) as file,
        ):
            yield file

    def slabs(self, columns: Collection[int]) -> Iterator[Slab]:
        """The records, some thousands at a time."""
        wanted, names, done, unpacked = sorted(columns), self.names, 0, 0
        require_types([(names[position], self.schema.field(position)) for position in wanted], self.place_word)
        with self._opened(wanted) as file:
            for number in range(file.num_record_batches):
                batch = file.get_batch(number)
                batch.validate(full=True)  # places in it that lead out of it would be followed
                unpacked += batch.nbytes
                if unpacked > self.limit_bytes:
                    raise InputRefused(
                        f"its columns take more than {self.limit_bytes} bytes unpacked", "leave columns out (--drop)"
                    )
                for low in range(0, batch.num_rows, SLAB_ROWS):
                    part = batch.slice(low, SLAB_ROWS)
                    places = range(done + 1, done + part.num_rows + 1)
                    yield Slab(
                        places,
                        {
                            position: cells_of(names[position], part.column(turn), places)
                            for turn, position in enumerate(wanted)
                        },
                    )
                    done += part.num_rows
        if not done:
            raise InputRefused("the table has no record")
