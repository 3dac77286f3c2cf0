"""CSV files, as tools and people write them: commas, semicolons, tabs or bars, points or commas in
numbers, UTF-8 or what is said.

How a file is written is guessed from its first lines, and the guess is part of what registering
shows; each part of it can be said instead (`CsvDialect`). A message about a bad line names it and
never repeats it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, TextIO

from fitchain.pod.compute.dataset import cells
from fitchain.pod.compute.dataset.columns import MOCK_MARK, SLAB_ROWS
from fitchain.pod.compute.dataset.source import NO_KINDS, BadCells, Cells, Slab, plain_name, require_size
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import TABLE_BYTES
from fitchain.pod.values.recipe.fields import Fields

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
"""What parts cells, by the word with which a person says it."""
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "cp1252", "iso8859-15", "mac-roman")
DECIMALS = {"point": ".", "comma": ","}
SNIFFED_LINES, SNIFFED_CHARACTERS = 50, 1 << 20
_DOS_END = "\x1a"

csv.field_size_limit(min(TABLE_BYTES, (1 << 31) - 1))  # a note that is dropped may have any length; files are bounded


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """How a CSV file is written; None of a field is guessed.

    Args:
        delimiter: a key of `DELIMITERS`.
        decimal: a key of `DECIMALS`.
        encoding: one of `ENCODINGS`.
        escape: whether a backslash escapes a quote within quotes (MySQL), instead of doubling it.

    Raises:
        InputRefused: a field is none of them.
    """

    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    escape: bool = False

    def __post_init__(self) -> None:
        for word, value, options in (
            ("delimiter", self.delimiter, DELIMITERS),
            ("decimal separator", self.decimal, DECIMALS),
            ("encoding", self.encoding, ENCODINGS),
        ):
            if value is not None and value not in options:
                raise InputRefused(f"the {word} {value!r:.40} is none of {', '.join(options)}", "choose one of these")

    def json(self) -> dict[str, Any]:
        """The form that a registration keeps."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> CsvDialect:
        """Read the form that a registration keeps.

        Raises:
            InputRefused: it is another.
        """
        fields = Fields("how a CSV file is written", value, ("delimiter", "decimal", "encoding", "escape"))
        texts = {name: None if value[name] is None else fields.text(name, 40) for name in _GUESSED}
        return cls(**texts, escape=fields.flag("escape"))


_GUESSED = ("delimiter", "decimal", "encoding")


class CsvFile:
    """A CSV file as a source of records.

    Args:
        path: the file.
        dialect: what is known of how it is written.
        limit_bytes: the most that is read.

    Raises:
        InputRefused: it is no such file, or too large.
        OSError: it cannot be read.
    """

    place_word = "line"
    kinds = NO_KINDS

    def __init__(self, path: Path, dialect: CsvDialect | None = None, limit_bytes: int = TABLE_BYTES) -> None:
        require_size(path, limit_bytes)
        self.path = path
        said = dialect or CsvDialect()
        with path.open("rb") as raw:
            start = raw.read(SNIFFED_CHARACTERS)
        _refuse_containers(start)
        self._dialect = replace(said, encoding=said.encoding or _encoding(start))
        with self._text() as text:
            head = text.read(SNIFFED_CHARACTERS)
        self.mock, skipped, named = _before_header(head)
        self._skipped = skipped
        lines = "".join(islice(io.StringIO(head, newline=""), skipped, skipped + SNIFFED_LINES))
        cut_off = not head.endswith(lines) or len(head) == SNIFFED_CHARACTERS
        delimiter = said.delimiter or named or _delimiter(lines, cut_off)
        self._dialect = replace(self._dialect, delimiter=delimiter)
        self._doubts_points = False
        _refuse_titles(lines, cut_off, self._dialect, skipped)
        self._dialect = replace(self._dialect, decimal=said.decimal or self._decimal(lines))

    @property
    def dialect(self) -> Mapping[str, Any]:
        """As `CsvDialect.json`."""
        return self._dialect.json()

    @cached_property
    def names(self) -> Sequence[str]:
        """Of the header's cells."""
        with self._text() as text:
            header = self._rows_of(text).next()
        if not header or not any(map(str.strip, header)):
            raise InputRefused("the table is empty: it has no header line")
        return tuple(map(plain_name, header))

    def slabs(self, columns: Collection[int]) -> Iterator[Slab]:
        """Read the records, some thousand lines at a time, so that no more are held as text."""
        wanted = sorted(columns)
        uneven, seen, thousands = BadCells(), 0, BadCells()
        doubts = self._doubts_points
        with self._text() as text:
            rows, size = self._rows_of(text), max(self.path.stat().st_size, 1)
            width = len(rows.next() or [])
            while slab := self._slab(rows, width, uneven):
                places, records = zip(*slab, strict=True)
                turned = list(zip(*records, strict=True))
                parts: dict[int, Cells] = {position: list(turned[position]) for position in wanted}
                seen += len(places)
                doubts = doubts and not any(_tells_decimals(turned[position], places, thousands) for position in wanted)
                yield Slab(places, parts, text.buffer.tell() / size, self._dialect.decimal == "comma")
        if uneven.count:
            raise InputRefused(
                f"{uneven.where('line')}: there are not {width} cells, as the header has",
                "quote cells that hold the separator or a line break",
            )
        if not seen:
            raise InputRefused("the table has no record")
        if doubts and thousands.count:
            raise InputRefused(f"{thousands.where('line')}: {_MAY_BE_THOUSANDS.format('point')}", _SAY_WHICH)

    def _slab(self, rows: _Rows, width: int, uneven: BadCells) -> list[tuple[int, list[str]]]:
        slab: list[tuple[int, list[str]]] = []
        while len(slab) < SLAB_ROWS and (row := rows.next()) is not None:
            if not row or (
                len(row) == 1 and row[0].strip("\r\n ") == _DOS_END
            ):  # a blank line, and DOS' last character
                continue
            if len(row) != width:
                uneven.add([rows.line])
                continue
            slab.append((rows.line, row))
        return slab

    @contextmanager
    def _text(self) -> Iterator[TextIO]:
        encoding = self._dialect.encoding or "utf-8"
        with self.path.open("rb") as raw, io.TextIOWrapper(raw, encoding, newline="") as text:
            raw.seek(next((len(mark) for mark in _MARKS if raw.peek(len(mark)).startswith(mark)), 0))
            try:
                yield text
            except UnicodeDecodeError:
                raise InputRefused(
                    f"line {_first_undecodable_line(self.path, encoding)}: the text is not {encoding.upper()}",
                    "save it as UTF-8, or say what it is (--encoding cp1252, say)",
                ) from None

    def _rows_of(self, text: TextIO) -> _Rows:
        for _ in range(self._skipped):
            text.readline()
        return _Rows(text, self._dialect, self._skipped)

    def _decimal(self, lines: str) -> str:
        """A comma where the first lines have numbers with one and none with a point.

        Raises:
            InputRefused: each of those numbers may have its digits in groups instead, as 1,234 may.
        """
        if self._dialect.delimiter == "comma":
            return "point"
        rows = _Rows(io.StringIO(lines, newline=""), self._dialect, 0, strict=False)
        with_comma, with_point = list[str](), list[str]()
        while (row := rows.next()) is not None:
            texts = cells.clean(row)
            swapped = cells.with_point(texts)
            with_comma += [
                text for text, point in zip(texts, swapped, strict=True) if "," in text and cells.is_number(point)
            ]
            with_point += [text for text in texts if "." in text and cells.is_number(text)]
        numbers = with_comma + with_point
        # A tab says nothing of whose habits a file follows; a comma, or a semicolon, does.
        telling = with_comma or self._dialect.delimiter == "semicolon"
        if numbers and telling and not (with_comma and with_point) and all(map(cells.is_grouped, numbers)):
            sign = "comma" if with_comma else "point"
            raise InputRefused(_MAY_BE_THOUSANDS.format(sign), _SAY_WHICH)
        self._doubts_points = not numbers and self._dialect.delimiter == "semicolon"
        return "comma" if with_comma and not with_point else "point"


_MAY_BE_THOUSANDS = "the {} in its numbers may part decimals, or thousands: there are three digits after each"
_SAY_WHICH = "say which (--decimal comma or --decimal point); thousands are written without a sign"


def _tells_decimals(column: Sequence[str], places: Sequence[int], thousands: BadCells) -> bool:
    """Whether a number of a column has a point that parts no thousands; places of others that it
    has are noted."""
    if "." not in "".join(column):
        return False
    texts = cells.clean(list(column))
    pointed = [position for position, text in enumerate(texts) if "." in text and cells.is_number(text)]
    grouped = [position for position in pointed if cells.is_grouped(texts[position])]
    thousands.add([places[position] for position in grouped])
    return len(grouped) < len(pointed)


class _Rows:
    """Rows of a CSV text, with their lines' numbers."""

    def __init__(self, text: TextIO, dialect: CsvDialect, skipped: int, strict: bool = True) -> None:
        self.dialect, self.skipped = dialect, skipped
        self.reader = csv.reader(
            _without_zeros(text, self),
            delimiter=DELIMITERS[dialect.delimiter or "comma"],
            strict=strict,
            skipinitialspace=True,
            doublequote=not dialect.escape,
            escapechar="\\" if dialect.escape else None,
        )

    @property
    def line(self) -> int:
        """The number of the last line that was read."""
        return self.reader.line_num + self.skipped

    def next(self) -> list[str] | None:
        """The next row; None after the last.

        Raises:
            InputRefused: quotes do not close as they should.
        """
        try:
            return next(self.reader, None)
        except csv.Error as error:
            hint = 'a quote within quotes is doubled (""); --escape reads \\" as MySQL writes it'
            what = _AFTER_QUOTE if "expected after" in str(error) else _WHAT_MET.get(str(error), str(error))
            raise InputRefused(f"line {self.line}: {what}", hint) from None


def _without_zeros(text: TextIO, rows: _Rows) -> Iterator[str]:
    """The text's lines; a zero byte stands in no text that a person means."""
    for line in text:
        if "\0" in line:
            raise InputRefused(f"line {rows.line + 1}: the line holds a zero byte", _NO_TEXT)
        yield line


_NO_TEXT = "the file is no text, or of another encoding (--encoding utf-16-le, say)"
_AFTER_QUOTE = "a cell goes on after its closing quote"
_WHAT_MET = {
    "unexpected end of data": "a quote that was opened is never closed",
}
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
"""Of the order of bytes, with which Windows' tools begin a text."""


def _refuse_containers(start: bytes) -> None:
    for magic, what, hint in _CONTAINERS:
        if start.startswith(magic):
            raise InputRefused(f"the file is {what} and not CSV", hint)


_CONTAINERS = (
    (b"PK\x03\x04", "a zip archive (a workbook of Excel, say)", "export the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "a workbook of Excel", "export the sheet as CSV"),
    (b"\x1f\x8b", "packed by gzip", "unpack it"),
    (b"PAR1", "a Parquet file", "name it .parquet"),
    (b"%PDF", "a PDF document", "export the table as CSV"),
)


def _encoding(start: bytes) -> str:
    """UTF-16 by its mark, or by the zero bytes that it has in a header's plain letters; else
    UTF-8."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if start.startswith(mark):
            return encoding
    head = start[: 1 << 10]
    zeros_even, zeros_odd = head[::2].count(0), head[1::2].count(0)
    if max(zeros_even, zeros_odd) * 4 > len(head):
        return "utf-16-le" if zeros_odd > zeros_even else "utf-16-be"
    return "utf-8"


def _before_header(head: str) -> tuple[bool, int, str | None]:
    """Whether the mark of mock data stands first, how many lines come before the header, and the
    delimiter that one of them names (`sep=;`, as Excel has it)."""
    lines = [line.strip() for line in islice(io.StringIO(head, newline=""), 2)]
    mock = bool(lines) and lines[0] == f"# {MOCK_MARK}"
    rest = lines[1:] if mock else lines
    if rest and rest[0].lower().startswith("sep=") and len(rest[0]) <= 5:
        named = {sign: word for word, sign in DELIMITERS.items()}.get(rest[0][4:] or "\t")
        if named is not None:
            return mock, mock + 1, named
    return mock, int(mock), None


def _delimiter(lines: str, cut_off: bool) -> str:
    """The separator by which the first lines fall into the most cells, as many in each; where none
    does, that which the header has most often, so that lines which do not fit are told.

    Raises:
        InputRefused: two do equally well.
    """
    headers, even, below = dict[str, int](), dict[str, int](), dict[str, int]()
    for word in DELIMITERS:
        rows = _Rows(io.StringIO(lines, newline=""), CsvDialect(word), 0, strict=False)
        widths = list[int]()
        while (row := rows.next()) is not None:
            widths += [len(row)] if row else []
        whole = widths[:-1] if cut_off and len(widths) > 2 else widths
        headers[word] = widths[0] if widths else 1
        if whole and min(whole) == max(whole):
            even[word] = whole[0]
        elif (start := _even_from(whole)) <= min(MOST_TITLES, len(whole) - LEAST_EVEN) and whole[start] > 1:
            below[word] = whole[start]
    most = max(even.values(), default=1)
    best = [word for word, width in even.items() if width == most]
    if most == 1 < max(*headers.values(), *below.values(), 1):
        return max(headers, key=lambda word: (headers[word], below.get(word, 0)))
    if most > 1 and len(best) > 1:
        raise InputRefused(
            f"its lines fall into {most} cells by the {' and by the '.join(best)}",
            f"say what parts its cells (--delimiter {best[0]} or --delimiter {best[1]})",
        )
    return best[0] if best else "comma"


def _refuse_titles(lines: str, cut_off: bool, dialect: CsvDialect, skipped: int) -> None:
    """Refuse lines of a title before the header: the first has one cell, filled up or not, and all
    from some line on have more.

    Args:
        lines: the first ones, of which the last may be cut off.

    Raises:
        InputRefused: there are such lines.
    """
    rows, filled = _Rows(io.StringIO(lines, newline=""), dialect, skipped, strict=False), list[tuple[int, list[str]]]()
    while (row := rows.next()) is not None:
        filled += [(rows.line, row)] if row else []
    whole = filled[:-1] if cut_off else filled
    even = _even_from([len(row) for _, row in whole])
    headers = [line for line, row in whole[even:] if all(map(str.strip, row))]
    if len(whole) - even < LEAST_EVEN or (width := len(whole[even][1])) < 2 or not headers:
        return
    (first, title), named = whole[0], sum(map(bool, map(str.strip, whole[0][1])))
    if headers[0] > first and named == 1 and (len(title) == 1 or width > 2):
        raise InputRefused(
            f"line {first} has one cell, and line {headers[0]} is the first with {width}, as all after it have",
            "delete what stands before the header: a title, say",
        )


def _even_from(widths: Sequence[int]) -> int:
    """From which line on all have as many cells as the last."""
    return len(widths) - len(list(takewhile(lambda width: width == widths[-1], reversed(widths))))


LEAST_EVEN, MOST_TITLES = 2, 20
"""Of fewer lines of one width nothing follows; and more lines than these are no title."""


def _first_undecodable_line(path: Path, encoding: str) -> int:
    with path.open("rb") as raw:
        for number, line in enumerate(raw, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                return number
    return 1
