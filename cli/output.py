"""What the command line writes: results on stdout, progress and errors on stderr, one JSON object where `--json` asks for it.

A command returns a `Report`: its values (for `--json`) and its view (for people). Everything foreign (a card's name, a reason, a
revert) passes through `printable`, so that no text from the chain or the store can move a cursor or colour a terminal. rich is
imported when something is drawn, not before: `fitchain --help` must not wait for it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pod.digest import Digest
from pod.errors import FitchainError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PLAIN_WIDTH = 160  # where the output is no terminal: nothing that matters is folded

Cell = str | int | float | Digest | Path | None


@dataclass(frozen=True)
class Facts:
    """A block of labelled values, one a line."""

    pairs: Sequence[tuple[str, Cell]]
    title: str = ""


@dataclass(frozen=True)
class Rows:
    """A table without rules; `right` names the columns that hold numbers."""

    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    right: Sequence[str] = ()
    empty: str = "none"


View = str | Facts | Rows


@dataclass(frozen=True)
class Report:
    """What a command found out.

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
        return
    out = console()
    for number, view in enumerate(report.views):
        if number and not isinstance(view, str):
            out.print()
        out.print(_drawn(view), soft_wrap=isinstance(view, str))


def print_json(values: Mapping[str, Any]) -> None:
    """Write one JSON object on one line of stdout."""
    print(json.dumps(values, default=str), flush=True)


def say(text: str) -> None:
    """Write one line of progress to stderr."""
    console(stderr=True).print(printable(text), style="dim", soft_wrap=True)


def say_at(text: str) -> None:
    """Write one line of a long-running pod to stderr, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')}  {printable(text)}", file=sys.stderr, flush=True)


def console(stderr: bool = False) -> Console:
    """A rich console on stdout or stderr that neither highlights nor reads markup in what it is given."""
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
    _write_error(error.message, error.hint)
    if "--json" in arguments:
        kind = type(error).__name__
        print_json(
            {"error": {"kind": kind, "message": error.message, "hint": error.hint, "exit_code": error.exit_code}}
        )
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


def _drawn(view: View) -> RenderableType:
    if isinstance(view, Facts):
        return _facts(view)
    if isinstance(view, Rows):
        return _rows(view)
    return view


def _facts(facts: Facts) -> RenderableType:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.title, grid.title_style, grid.title_justify = facts.title or None, "bold", "left"
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in facts.pairs:
        grid.add_row(label, printable(value))
    return grid


def _rows(rows: Rows) -> RenderableType:
    from rich.table import Table

    if not rows.rows:
        return rows.empty
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for header in rows.headers:
        table.add_column(header, justify="right" if header in rows.right else "left", overflow="fold")
    for row in rows.rows:
        table.add_row(*(printable(cell) for cell in row))
    return table
