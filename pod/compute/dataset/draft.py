"""Drafts: the numbers of a source, kept while it is looked at, so that a table of nothing but
numbers is read once and not twice.

What a column is follows from all of its cells (`decision`), so no draft is a table before that: it
is taken if each column came out as it was drafted, and is thrown away else. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fitchain.pod.compute.dataset import cells as texts
from fitchain.pod.compute.dataset.columns import ADMITTED, Array, Column, Kind
from fitchain.pod.compute.dataset.rows import Rows, RowSink, Spill
from fitchain.pod.compute.dataset.schema import Schema
from fitchain.pod.compute.dataset.source import Cells, Slab, Typed


class Draft:
    """The records of a source, as long as each of their cells is a plain number.

    Args:
        spill: where they go where they are many.
        markers: texts that mean that a cell is missing.
    """

    def __init__(self, spill: Spill | None, markers: frozenset[str]) -> None:
        self.spill, self.markers = spill, markers
        self._sink: RowSink | None = None
        self._dtypes = dict[str, str]()
        self._given_up = False

    def add(self, slab: Slab, places: Mapping[str, int]) -> None:
        """Take more records, or give up.

        Args:
            slab: the records.
            places: of the columns that are read, by name.

        Raises:
            HostUnusable: the disk is full.
        """
        if self._given_up:
            return
        if slab.comma:
            self.give_up()
            return
        arrays = dict[str, Array]()
        for name, position in places.items():
            if (array := self._numbers(slab.cells[position], self._dtypes.get(name))) is None:
                self.give_up()
                return
            arrays[name] = array
        if self._sink is None:
            columns = [Column(name, array.dtype.name, array.shape[1:]) for name, array in arrays.items()]
            self._sink, self._dtypes = RowSink(columns, self.spill), {each.name: each.dtype for each in columns}
        self._sink.add(arrays)

    def give_up(self) -> None:
        """Keep nothing, and take nothing any more."""
        self._sink, self._given_up = None, True

    def taken_for(self, schema: Schema) -> tuple[dict[str, Array], Rows | None] | None:
        """The records as a schema has them, as `Schema.read` would give them; None where they were
        not drafted so.
        """
        if self._sink is None or schema.unit is not None:
            return None
        drafted = [(column.name, column.dtype, column.shape) for column in self._sink.columns]
        is_plain = all(
            plan.column.kind in _PLAIN and not (plan.categories or plan.numbers or plan.may_miss)
            for plan in schema.plans
        )
        if not is_plain or drafted != [(column.name, column.dtype, column.shape) for column in schema.columns]:
            return None
        self._sink.columns = schema.columns
        return self._sink.end()

    def _numbers(self, cells: Cells, dtype: str | None) -> Array | None:
        """Cells as numbers of a dtype, or of that which they have by themselves; None where one is
        none."""
        if isinstance(cells, Typed):
            values = cells.values
            own = values.dtype.kind, values.dtype.itemsize
            is_drafted = dtype is None or own == (np.dtype(dtype).kind, np.dtype(dtype).itemsize)
            if own not in ADMITTED or cells.unit or not is_drafted:
                return None
            is_there = values.dtype.kind != "f" or bool(np.isfinite(values).all())
            return values if is_there and (cells.missing is None or not cells.missing.any()) else None
        plain = texts.clean(cells)
        if texts.missing(plain, self.markers):
            return None
        if dtype in (None, "int64") and (whole := texts.as_whole(plain)) is not None:
            return whole
        return None if dtype == "int64" else texts.as_numbers(plain)


_PLAIN = (Kind.NUMBER, Kind.WHOLE, Kind.BOOLEAN)
