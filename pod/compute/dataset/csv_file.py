"""CSV files: UTF-8, commas, a header line, numbers, and texts in the target's column and in those
of subgroups alone.

A message about a bad cell names its line and column and never repeats the cell: messages end in
logs, records must not.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from fitchain.pod.compute.dataset.columns import (
    MOCK_MARK,
    SLAB_ROWS,
    UNDECLARED,
    Array,
    Classes,
    Found,
    Wanted,
    no_class,
)
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import MOST_COLUMNS
from fitchain.pod.values.recipe.terms import MOST_CATEGORIES

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})


def read_csv(path: Path, wanted: Wanted, target: str | None, categories: Classes, limit_bytes: int) -> Found:
    """Read a CSV file (the terms are `Table.read`'s).

    Raises:
        InputRefused: it is no such table.
    """
    if path.stat().st_size > limit_bytes:
        raise InputRefused(f"the file has {path.stat().st_size} bytes and the limit is {limit_bytes}")
    with path.open("rb") as raw:
        _check_encoding(raw.read(4))
        raw.seek(0)
        file = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        try:
            return _CsvReader(file, wanted, target, categories).content()
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


class _Texts:
    """A column that may hold texts: its first cell tells whether it does."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.agreed_texts = texts
        self.codes = {text: code for code, text in enumerate(texts)}
        self.is_text: bool | None = True if texts else None

    def holds_texts(self, cell: str) -> bool:
        """Whether it does, of which this may be the first cell."""
        if self.is_text is None:
            self.is_text = not _is_number(cell)
        return self.is_text

    def sorted(self, codes: Array) -> tuple[tuple[str, ...], Array]:
        """Number the texts in their sorted order instead of the order of their first appearance;
        those that were given keep theirs."""
        if self.agreed_texts:
            return self.agreed_texts, codes
        texts = tuple(sorted(self.codes))
        numbers = {text: number for number, text in enumerate(texts)}
        return texts, np.array([numbers[text] for text in self.codes], np.int64)[codes]


class _CsvReader:
    """Reads one CSV file, some thousand lines at a time, so that no more than these are held as
    text."""

    def __init__(self, file: io.TextIOWrapper, wanted: Wanted, target: str | None, categories: Classes):
        self.mock = _skip_mark(file)
        self.skipped_lines = 1 if self.mock else 0
        self.rows = csv.reader(file, strict=True)
        self.names = self._header()
        kept = wanted.among(self.names, target)
        self.kept = [index for index, name in enumerate(self.names) if name in kept]
        self.unit = wanted.unit
        self.units = dict[str, int]()
        self.numbers = np.array([each for each in categories if isinstance(each, int)], np.float64)
        texts = tuple(each for each in categories if isinstance(each, str))
        of_target = {} if target is None or self.numbers.size else {target: texts}
        self.texts = {name: _Texts(categories) for name, categories in {**wanted.texts, **of_target}.items()}
        self.target = target

    def content(self) -> Found:
        parts: dict[str, list[Array]] = {self.names[index]: [] for index in self.kept}
        while slab := self._slab():
            lines, rows = zip(*slab, strict=True)
            for index in self.kept:
                name = self.names[index]
                parts[name].append(self._cells(name, [row[index] for row in rows], lines))
        if not all(parts.values()):
            raise InputRefused("the table has no record")
        arrays = {name: np.concatenate(pieces) for name, pieces in parts.items()}
        texts = dict[str, tuple[str, ...]]()
        for name, column in self.texts.items():
            if column.is_text:
                texts[name], arrays[name] = column.sorted(arrays[name])
        return Found(arrays, texts.pop(self.target or "", ()), self.mock, texts)

    def _header(self) -> list[str]:
        names = [name.strip() for name in self._next() or []]
        if not names:
            raise InputRefused("the table is empty: it has no header line")
        if len(names) > MOST_COLUMNS:
            raise InputRefused(f"the table has {len(names)} columns and the limit is {MOST_COLUMNS}")
        seen = set[str]()
        for index, name in enumerate(names):
            if not name:
                raise InputRefused(f"line {self._line()}: column {index + 1} has no name", "name every column")
            if name in seen:
                raise InputRefused(f"line {self._line()}: the column {name!r} stands twice", "rename one of them")
            seen.add(name)
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
        if name == self.unit:
            return self._unit_numbers(name, cells, lines)
        if (column := self.texts.get(name)) is not None and column.holds_texts(cells[0]):
            return self._category_codes(name, column, cells, lines)
        numbers = _numbers(cells)
        if numbers is None:
            bad = next(row for row, cell in enumerate(cells) if not _is_number(cell))
            self._refuse_cell(name, cells, lines, bad)
        if name == self.target and self.numbers.size:
            self._require_classes(name, numbers, lines)
        return numbers

    def _require_classes(self, name: str, numbers: Array, lines: Sequence[int]) -> None:
        others = np.flatnonzero(~np.isin(numbers, self.numbers))
        if others.size:
            where = f"line {lines[others[0]]}, column {name!r}"
            raise InputRefused(f"{where}: the cell is {no_class(self.numbers.size)}", UNDECLARED)

    def _unit_numbers(self, name: str, cells: list[str], lines: Sequence[int]) -> Array:
        """Equal texts get equal numbers; what is written differently, 7 and 07 say, is not equal."""
        texts = [cell.strip() for cell in cells]
        for row, text in enumerate(texts):
            if _is_missing(text):
                self._refuse_cell(name, cells, lines, row)
        return np.array([self.units.setdefault(text, len(self.units)) for text in texts], np.int64)

    def _category_codes(self, name: str, column: _Texts, cells: list[str], lines: Sequence[int]) -> Array:
        codes = np.empty(len(cells), np.int64)
        for row, cell in enumerate(cells):
            text = cell.strip()
            if _is_missing(text):
                self._refuse_cell(name, cells, lines, row)
            if text not in column.codes:
                if column.agreed_texts or len(column.codes) == MOST_CATEGORIES:
                    problem = no_class(len(column.codes)) if column.agreed_texts else "a category too many"
                    hint = UNDECLARED if column.agreed_texts else ""
                    raise InputRefused(f"line {lines[row]}, column {name!r}: the cell is {problem}", hint)
                column.codes[text] = len(column.codes)
            codes[row] = column.codes[text]
        return codes

    def _refuse_cell(self, name: str, cells: list[str], lines: Sequence[int], row: int) -> NoReturn:
        where = f"line {lines[row]}, column {name!r}"
        if _is_missing(cells[row]):
            raise InputRefused(f"{where}: the cell is missing", "fill it, or leave that record out")
        raise InputRefused(
            f"{where}: the cell is a text of {len(cells[row])} characters and no finite number",
            f"leave it out (--drop {name}), or give numbers: only the target and subgroups may hold texts, and "
            f"a column that says whose record one is where a privacy budget runs (--unit {name})",
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
    """The cells as finite float64, or None; Python's own liberties (1_000, digits of other scripts)
    are refused."""
    text = "".join(cells)
    if "_" in text or not text.isascii():
        return None
    try:
        numbers = np.array(list(map(float, cells)), np.float64)
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None
