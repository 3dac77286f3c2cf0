"""Made tables: files of records of which it is known, without any reader, what each cell means.

What a cell means is worked out by the one who writes it, in decimals and whole nanoseconds; the
reader's own code has no part in it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset import CsvDialect

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
MARKERS = ("", "NA", "n/a", "NULL", "#N/A", "\\N", ".", "?", "NaN", "none")
WORDS = (
    "b",
    "Zürich",
    'say "a"',
    "x;y",
    "x,y",
    "x|y",
    "tab\there",
    "two\nlines",
    "E10",
    "V57",
    "5a",
    "yes",
    "naïve",
    "a  b",
)
DAY_NS = 86_400 * 10**9
Value = Decimal | int | bool | str | None
"""What a cell means: a number, a time in nanoseconds since 1970, a truth value, a category, or
nothing."""


@dataclass(frozen=True)
class MadeColumn:
    """A column of a made table.

    Args:
        name: of it.
        kind: of its cells, in the words of the cards.
        texts: as they are written where numbers have a decimal point.
        values: what each means.
    """

    name: str
    kind: str
    texts: tuple[str, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class MadeTable:
    """A made table.

    Args:
        columns: of one length.
        spoilt: row and column of the one cell that must be refused; None where all are good.
    """

    columns: tuple[MadeColumn, ...]
    spoilt: tuple[int, int] | None = None

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.columns[0].texts)

    def rearranged(self, rows: Sequence[int], columns: Sequence[int]) -> MadeTable:
        """The same records and columns in another order, or more than once."""
        picked = [
            replace(each, texts=tuple(each.texts[row] for row in rows), values=tuple(each.values[row] for row in rows))
            for each in (self.columns[column] for column in columns)
        ]
        return MadeTable(tuple(picked))


@dataclass(frozen=True)
class Writing:
    """How a made table is written.

    Args:
        dialect: of a CSV file.
        end: of its lines.
        quote: one of `csv`'s ways to quote.
        marked: whether the order of its bytes stands first.
    """

    dialect: CsvDialect = field(default_factory=lambda: CsvDialect("comma", "point", "utf-8"))
    end: str = "\n"
    quote: Any = csv.QUOTE_MINIMAL
    marked: bool = False


# --- columns ----------------------------------------------------------------------------------

Cell = Callable[[Random], tuple[str, Value]]


def _whole(random: Random) -> tuple[str, Value]:
    number = random.choice([random.randint(-9, 99), random.randint(-(2**53), 2**53), random.randint(0, 10**6)])
    return f"{random.choice(['', '+']) if number >= 0 else ''}{number}", number


def _decimal(random: Random) -> tuple[str, Value]:
    digits = "".join(random.choice("0123456789") for _ in range(random.randint(1, 13)))
    text = random.choice(["", "-"]) + str(random.randint(0, 99)) + f".{digits}"
    text += random.choice(["", "", f"e{random.randint(-300, 290)}", f"E+{random.randint(0, 20)}"])
    return text, Decimal(text)


def _shortest(random: Random) -> tuple[str, Value]:
    number = float(np.frombuffer(random.randbytes(8), np.float64)[0])
    text = repr(number) if np.isfinite(number) and "." in repr(number) else "-0.0"
    return text, Decimal(text)


def _truth(random: Random) -> tuple[str, Value]:
    value = random.random() < 0.5
    return random.choice([str(value), str(value).lower(), str(value).upper()]), value


def _times(random: Random) -> Cell:
    digits, with_offset = random.choice([-1, 0, 0, 3, 6, 9]), random.random() < 0.4

    def cell(random: Random) -> tuple[str, Value]:
        days = random.randint(-20_000, 40_000)
        day = date(1970, 1, 1) + timedelta(days)
        if digits < 0:
            return day.isoformat(), days * DAY_NS
        hour, minute, second = random.randint(0, 23), random.randint(0, 59), random.randint(0, 59)
        part = random.randint(0, 10**digits - 1)
        text = f"{day}{random.choice('T ')}{hour:02}:{minute:02}:{second:02}" + (f".{part:0{digits}}" if digits else "")
        count = days * DAY_NS + (hour * 3600 + minute * 60 + second) * 10**9 + part * 10 ** (9 - digits)
        if not with_offset:
            return text, count
        offset = random.choice([0, 60, -330, 14 * 60])
        sign, size = "+-"[offset < 0], abs(offset)
        shown = "Z" if not offset else f"{sign}{size // 60:02}:{size % 60:02}"
        return text + shown, count - offset * 60 * 10**9

    return cell


def _words(random: Random) -> Cell:
    words = random.sample(WORDS, random.randint(1, 6))

    def cell(random: Random) -> tuple[str, Value]:
        word = random.choice(words)
        return word, word

    return cell


_CELLS: dict[str, Callable[[Random], Cell]] = {
    "whole": lambda _: _whole,
    "number": lambda random: random.choice([_decimal, _shortest]),
    "boolean": lambda _: _truth,
    "time": _times,
    "category": _words,
}


def made_column(random: Random, name: str, count: int, kind: str) -> MadeColumn:
    """A column of so many cells, some of them missing perhaps, the first never."""
    cell, share = _CELLS[kind](random), random.choice([0, 0, 0.2])
    cells: list[tuple[str, Value]] = []
    for row in range(count):
        missing = row > 0 and random.random() < share
        cells.append((random.choice(MARKERS), None) if missing else cell(random))
    texts, values = zip(*cells, strict=True)
    return MadeColumn(name, kind, texts, values)


_SPOILT = {
    "whole": ("oops", "0075", "1e-400", "12%", "9007199254740993.5"),
    "number": ("oops", "0.12345678901234567891", "00.75", "1e-99999999999999999999", "1,234.5", "inf"),
    "boolean": (),
    "time": ("2021-02-30", "03/04/2021", "2021-03-04T24:00", "oops"),
    "category": (),
}
"""What spoils a column of so many other cells."""
LEAST_SPOILT = 8


def made_table(random: Random, may_be_spoilt: bool = True) -> MadeTable:
    """A table of one to six columns and up to sixty records."""
    count, names = random.choice([1, 2, 8, 20, 60]), [f"c{number}" for number in range(random.randint(1, 6))]
    columns = [made_column(random, name, count, random.choice(list(_CELLS))) for name in names]
    at = random.randrange(len(columns))
    texts = _SPOILT[columns[at].kind]
    if not may_be_spoilt or count < LEAST_SPOILT or not texts or random.random() < 0.6:
        return MadeTable(tuple(columns))
    row = random.randrange(count)
    spoilt = list(columns[at].texts)
    spoilt[row] = random.choice(texts)
    values = tuple(spoilt[row] if each == row else value for each, value in enumerate(columns[at].values))
    columns[at] = replace(columns[at], texts=tuple(spoilt), values=values)
    return MadeTable(tuple(columns), (row, at))


# --- files ------------------------------------------------------------------------------------


def made_writing(random: Random, table: MadeTable) -> Writing:
    """A way to write a table, in which it can be written."""
    delimiter = random.choice(list(DELIMITERS))
    # Of a single column nobody knows what would part it from another.
    points_only = delimiter == "comma" or len(table.columns) == 1
    decimal = "point" if points_only else random.choice(["point", "comma"])
    encoding = random.choice(["utf-8", "utf-8", "utf-16-le", "utf-16-be", "cp1252"])
    end = random.choice(["\n", "\r\n", "\r"])
    # Python's writer leaves a line break bare where lines end in another.
    quote = csv.QUOTE_ALL if end == "\r" else random.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    dialect = CsvDialect(delimiter, decimal, encoding)
    return Writing(dialect, end, quote, encoding != "cp1252" and random.random() < 0.5)


def write_csv(path: Path, table: MadeTable, writing: Writing) -> list[int]:
    """Write a table; the line in which each of its records ends."""
    text, lines = io.StringIO(newline=""), list[int]()
    dialect = writing.dialect
    writer = csv.writer(
        text, delimiter=DELIMITERS[dialect.delimiter or ""], lineterminator=writing.end, quoting=writing.quote
    )
    writer.writerow([column.name for column in table.columns])
    swap = str.maketrans(".,", ",.")
    for row in range(table.count):
        cells = [
            column.texts[row].translate(swap)
            if dialect.decimal == "comma" and column.kind in ("whole", "number") and column.values[row] is not None
            else column.texts[row]
            for column in table.columns
        ]
        start = text.tell()
        writer.writerow(cells)
        text.seek(start)
        record = text.read().replace("\r\n", "\n").replace("\r", "\n")
        lines.append((lines[-1] if lines else 1) + record.count("\n"))
    mark = "\ufeff" if writing.marked else ""
    path.write_bytes((mark + text.getvalue()).encode(dialect.encoding or "utf-8"))
    return lines


def write_jsonl(path: Path, table: MadeTable) -> list[int]:
    """Write a table as JSON lines, numbers as numbers; the line of each of its records."""

    def value(column: MadeColumn, row: int) -> str:
        text, meaning = column.texts[row], column.values[row]
        if meaning is None:
            return "null"
        if column.kind == "boolean":
            return "true" if meaning else "false"
        plain = column.kind in ("whole", "number") and text[0] != "+"
        try:
            json.loads(text)
        except ValueError:
            plain = False
        return text if plain else json.dumps(text)

    records = [
        "{" + ", ".join(f"{json.dumps(column.name)}: {value(column, row)}" for column in table.columns) + "}"
        for row in range(table.count)
    ]
    path.write_text("\n".join(records), "utf-8")
    return list(range(1, table.count + 1))


def write_npz(path: Path, table: MadeTable) -> None:
    """Write a table's columns of numbers and truth values as arrays; a missing number is NaN."""
    arrays = {}
    for column in table.columns:
        if column.kind == "boolean" and None not in column.values:
            arrays[column.name] = np.array(column.values, np.bool_)
        elif column.kind == "whole" and None not in column.values:
            arrays[column.name] = np.array(column.values, np.int64)
        elif column.kind == "number":
            arrays[column.name] = np.array([np.nan if value is None else float(str(value)) for value in column.values])
    np.savez(path, **arrays)  # type: ignore[arg-type]
