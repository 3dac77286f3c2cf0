"""Laws of reading: each of many made tables is read back exactly, or refused with line and column;
how it is read depends on nothing but its cells."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fitchain.pod.compute.dataset import CsvDialect, Table
from fitchain.pod.values.errors import InputRefused
from tests.made_tables import (
    MadeColumn,
    MadeTable,
    made_table,
    made_writing,
    write_csv,
    write_jsonl,
    write_npz,
)

SEEDS = [
    pytest.param(range(150), id="some"),
    pytest.param(range(150, 1150), id="a thousand", marks=pytest.mark.long),
]
UNITS_NS = {
    "days": 86_400 * 10**9,
    "seconds": 10**9,
    "milliseconds": 10**6,
    "microseconds": 10**3,
    "nanoseconds": 1,
}


def prints_back(table: Table, column: MadeColumn, row: int) -> bool:
    """Whether what a table holds is what the cell's writer meant."""
    value, cell, read = column.values[row], table.arrays[column.name][row], table.column(column.name)
    gone = table.arrays.get(f"{column.name} is missing")
    if read.kind == "category":
        return bool(table.categories[column.name][int(cell)] == ("" if value is None else value))
    if value is None:
        return gone is not None and bool(gone[row]) and not cell
    if gone is not None and gone[row]:
        return False
    if read.kind == "time":
        return int(cell) * UNITS_NS[read.unit.removesuffix(" since 1970-01-01")] == value
    if read.kind == "boolean":
        return bool(cell) is value
    exact = Decimal(value)
    digits = len(exact.as_tuple().digits)
    return Decimal(int(cell)) == exact if read.kind == "whole" else Decimal(f"{float(cell):.{digits - 1}e}") == exact


def require_exact(table: Table, made: MadeTable, what: str) -> None:
    assert table.count == made.count, what
    for column in made.columns:
        kinds = {"whole", "number"} if column.kind in ("whole", "number") else {column.kind}
        assert str(table.column(column.name).kind) in kinds, (what, column)
        for row in range(made.count):
            assert prints_back(table, column, row), (what, column.name, row, column.texts[row])


def read_as_written(path: Path, dialect: CsvDialect) -> Table:
    """Read a file by guessing all that can be guessed; by saying it where two guesses are as
    good."""
    said = CsvDialect(encoding=dialect.encoding) if dialect.encoding == "cp1252" else None
    try:
        return Table.read(path, None, said)
    except InputRefused as no:
        if not re.search("may part decimals|its lines fall into|there are not 1 cells", no.message):
            raise
        return Table.read(path, None, dialect)


@pytest.mark.parametrize("seeds", SEEDS)
def test_a_table_is_read_back_exactly_or_refused_with_line_and_column(tmp_path: Path, seeds: range) -> None:
    refused = 0
    for seed in seeds:
        random = Random(seed)
        made = made_table(random)
        writing = made_writing(random, made)
        as_lines = random.random() < 0.3
        path = tmp_path / ("t.jsonl" if as_lines else "t.csv")
        lines = write_jsonl(path, made) if as_lines else write_csv(path, made, writing)
        what = f"seed {seed}: {path.name}, {writing}"
        try:
            table = Table.read(path) if as_lines else read_as_written(path, writing.dialect)
        except InputRefused as no:
            assert made.spoilt is not None, (what, no)
            row, at = made.spoilt
            column = made.columns[at]
            assert re.search(rf"line {lines[row]}, column '{column.name}': ", no.message), (what, no)
            assert column.texts[row] not in no.message.replace(f"line {lines[row]}", ""), (what, no)
            refused += 1
        else:
            assert made.spoilt is None, what
            require_exact(table, made, what)
    assert len(seeds) / 10 < refused < len(seeds) / 2


@pytest.mark.parametrize("seeds", SEEDS)
def test_arrays_are_read_back_exactly(tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        made = made_table(Random(seed), may_be_spoilt=False)
        write_npz(tmp_path / "t.npz", made)
        wanted = [
            c for c in made.columns if c.kind == "number" or (c.kind in ("whole", "boolean") and None not in c.values)
        ]
        if wanted:
            require_exact(Table.read(tmp_path / "t.npz"), MadeTable(tuple(wanted)), f"seed {seed}")


def facts(table: Table) -> dict[str, Any]:
    """What was decided of each column."""
    assert table.reading is not None
    return {
        column.name: (column.kind, column.dtype, column.unit, table.categories.get(column.name))
        for column in table.columns
    } | {"differing": set(table.reading.schema.differing)}


@pytest.mark.parametrize("seeds", SEEDS)
def test_what_a_column_is_depends_on_no_order_and_no_writing(tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        random = Random(seed)
        made = made_table(random, may_be_spoilt=False)
        rows, columns = list(range(made.count)), list(range(len(made.columns)))
        written = list[Table]()
        for _ in range(2):
            writing = made_writing(random, made)
            write_csv(tmp_path / "t.csv", made.rearranged(rows, columns), writing)
            written.append(read_as_written(tmp_path / "t.csv", writing.dialect))
            random.shuffle(rows)
            random.shuffle(columns)
        one, other = written
        assert facts(one) == facts(other), seed
        assert one.reading is not None and other.reading is not None


@pytest.mark.parametrize("seed", range(4))
def test_what_a_column_is_depends_on_no_slab(tmp_path: Path, seed: int) -> None:
    """The same records over and over, so that they fill several slabs; only that no two are the
    same is no longer so."""
    random = Random(seed)
    made = made_table(random, may_be_spoilt=False)
    times = 9000 // made.count
    many = made.rearranged([*range(made.count)] * times, range(len(made.columns)))
    writing = made_writing(random, made)
    write_csv(tmp_path / "t.csv", made, writing)
    short = Table.read(tmp_path / "t.csv", None, writing.dialect)
    write_csv(tmp_path / "t.csv", many, writing)
    long = Table.read(tmp_path / "t.csv", None, writing.dialect)
    assert facts(long) | {"differing": set()} == facts(short) | {"differing": set()}
    require_exact(long, many, "many")
