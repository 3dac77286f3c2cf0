"""What the command line writes: results on stdout, progress and errors on stderr.

A command returns a `Report`: its values (one JSON object, for `--json`) and its views (for people).
Everything foreign (a card's name, a reason, a revert) passes through `printable`, so that no text
from the chain or the store can move a cursor or colour a terminal. rich is imported when something
is drawn, not before: `fitchain --help` must not wait for it.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fitchain.pod.values.errors import FitchainError, InputsRefused

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PLAIN_WIDTH = 160  # where the output is no terminal: nothing that matters is folded
PROSE_WIDTH = 96  # longer lines of prose are hard to read

_PLAINLY = {"…": "...", "×": "x"} | dict(zip("▁▂▃▄▅▆▇█", "12345678", strict=True))
"""What of our own letters becomes where a terminal has them not; a sparkline's bars their heights."""

Cell = object  # whatever has a text form; None is shown as a dash


@dataclass(frozen=True)
class KeyValues:
    """A block of labelled values, one a line."""

    pairs: Sequence[tuple[str, Cell]]


@dataclass(frozen=True)
class Rows:
    """A table without rules; `right` names the columns that hold numbers."""

    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    right: Sequence[str] = ()
    empty: str = "none"


@dataclass(frozen=True)
class Prose:
    """A title with wrapped paragraphs; several get dashes, `verbatim` ones stay whole."""

    title: str
    paragraphs: Sequence[str]
    verbatim: bool = False


View = str | KeyValues | Rows | Prose


@dataclass(frozen=True)
class Report:
    """What a command has to report.

    Args:
        values: the JSON object for `--json`; digests and paths become text.
        views: what a person reads, top to bottom.
    """

    values: Mapping[str, Any]
    views: Sequence[View] = field(default_factory=tuple)


def printable(value: Cell) -> str:
    """Text that a terminal shows as it stands; control characters become `\\x1b` and the like."""
    if value is None:
        return "-"
    text = str(value)
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def print_report(report: Report, as_json: bool) -> None:
    """Write a report to stdout."""
    if as_json:
        print_json(report.values)
    else:
        print_views(report.views)


def print_views(views: Sequence[View], stderr: bool = False) -> None:
    """Write views for a person, top to bottom."""
    out = console(stderr)
    for number, view in enumerate(views):
        if number and not isinstance(view, str):
            out.print()
        for line in _drawn(view, out.width):
            out.print(line, soft_wrap=True)


def text_of(views: Sequence[View], width: int = PLAIN_WIDTH) -> str:
    """Views as `print_views` writes them, without colours."""
    parts = ["\n".join(line.plain for line in _drawn(view, width)) for view in views]
    return "\n".join(
        f"\n{part}" if not isinstance(view, str) else part for view, part in zip(views, parts, strict=True)
    )


def print_json(values: Mapping[str, Any]) -> None:
    """Write one JSON object on one line of stdout."""
    print(json.dumps(values, default=str), flush=True)


def log(text: str) -> None:
    """Write one line of progress to stderr."""
    console(stderr=True).print(printable(text), style="dim", soft_wrap=True)


def log_with_time(text: str) -> None:
    """Write one line of a long-running pod to stderr, with the time of day; a log whose disk is
    full stops no pod."""
    with suppress(OSError):
        print(f"{time.strftime('%H:%M:%S')}  {printable(text)}", file=sys.stderr, flush=True)


def prepare_streams() -> None:
    """Make stdout and stderr take whatever is written: what a terminal's encoding lacks comes as
    `\\xfc`, and where one was closed (`>&-`) nothing comes."""
    codecs.register_error("fitchain.terminal", _in_ascii)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it is open for as long as the process lasts
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="fitchain.terminal")


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    """What is written for letters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_PLAINLY.get(letter, ascii(letter)[1:-1]) for letter in letters), error.end


def console(stderr: bool = False) -> Console:
    """A rich console on stdout or stderr that neither highlights nor reads markup."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PLAIN_WIDTH
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width)


def report_error(error: FitchainError, arguments: Sequence[str]) -> int:
    """Write an error that Fitchain reports on purpose: one line, and one that says what to do.

    Returns:
        the exit code.
    """
    if "--debug" in arguments:
        traceback.print_exception(error, file=sys.stderr)
    kind = type(error).__name__
    values: dict[str, Any] = {"kind": kind, "message": error.message, "hint": error.hint, "exit_code": error.exit_code}
    if isinstance(error, InputsRefused):
        values["faults"] = [{"message": fault.message, "hint": fault.hint} for fault in error.faults]
    body = {"error": values}
    with suppress(OSError):  # where the disk that the output goes to is what is full, the exit code says it
        if isinstance(error, InputsRefused) and error.faults:
            _write_faults(error)
        else:
            _write_error(error.message, error.hint)
        if "--json" in arguments:
            print_json(body)
    return error.exit_code


def report_usage(message: str, hint: str) -> int:
    """Write what is wrong with the command line itself; the exit code is 2."""
    _write_error(message, hint)
    return 2


def report_bug(error: Exception) -> int:
    """Write a bug with its traceback; the exit code is 3, since nothing was checked."""
    traceback.print_exception(error, file=sys.stderr)
    _write_error(f"this is a bug in Fitchain: {type(error).__name__}: {error}", "please report it with the lines above")
    return 3


def _write_error(message: str, hint: str) -> None:
    err = console(stderr=True)
    err.print("error: ", style="bold red", end="")
    err.print(printable(message), soft_wrap=True)
    if hint:
        err.print(" hint: ", style="bold", end="")
        err.print(printable(hint), soft_wrap=True)


def _write_faults(error: InputsRefused) -> None:
    """A line for each thing that is wrong, and one for what to do about it."""
    _write_error(error.what, "")
    err = console(stderr=True)
    for number, fault in enumerate(error.faults, 1):
        err.print(f"   {number}. {printable(fault.message)}", soft_wrap=True)
        if fault.hint:
            err.print(" hint: ", style="bold", end="")
            err.print(printable(fault.hint), soft_wrap=True)


def _drawn(view: View, width: int) -> Iterator[Text]:
    """A view as lines, wrapped here so that nothing is padded and an identifier is never broken."""
    if isinstance(view, KeyValues):
        return _key_values(view, width)
    if isinstance(view, Rows):
        return _rows(view)
    if isinstance(view, Prose):
        return _prose(view, width)
    return _plain(view)


def _plain(view: str) -> Iterator[Text]:
    from rich.text import Text

    yield Text(printable(view))


def _key_values(view: KeyValues, width: int) -> Iterator[Text]:
    from rich.text import Text

    indent = max(len(label) for label, _ in view.pairs) + 2
    for label, value in view.pairs:
        lines = fold(printable(value), width - indent)
        yield Text.assemble((label.ljust(indent), "dim"), lines[0])
        yield from (Text(" " * indent + line) for line in lines[1:])


def _rows(rows: Rows) -> Iterator[Text]:
    from rich.text import Text

    if not rows.rows:
        yield Text(rows.empty)
        return
    cells = [[printable(cell) for cell in row] for row in rows.rows]
    widths = [max(map(len, column)) for column in zip(rows.headers, *cells, strict=True)]
    for number, row in enumerate([list(rows.headers), *cells]):
        sides = [
            cell.rjust(width) if header in rows.right else cell.ljust(width)
            for header, cell, width in zip(rows.headers, row, widths, strict=True)
        ]
        yield Text("  ".join(sides).rstrip(), style="dim" if number == 0 else "")


def _prose(view: Prose, width: int) -> Iterator[Text]:
    from rich.text import Text

    yield Text(view.title, style="bold")
    first = "- " if len(view.paragraphs) > 1 and not view.verbatim else ""
    for paragraph in view.paragraphs:
        text = printable(paragraph)
        lines = [text] if view.verbatim else fold(text, min(width, PROSE_WIDTH) - 2 - len(first))
        for number, line in enumerate(lines):
            yield Text("  " + (" " * len(first) if number else first) + line)


def cut_middle(text: str, width: int) -> str:
    """A text as it is printed, of at most so many letters: what is too long keeps its beginning and
    its end."""
    text = printable(text)
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def fold(text: str, width: int) -> list[str]:
    """Break a text into lines at its spaces, never inside a word."""
    import textwrap

    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]
