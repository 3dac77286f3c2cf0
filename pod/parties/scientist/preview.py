"""A look at a dataset's made-up records, in the card's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset import Card, Column, Kind, Table, missing_name
from fitchain.pod.compute.dataset.cells import moment_text
from fitchain.pod.compute.dataset.columns import Array
from fitchain.pod.jobs.home import Home
from fitchain.pod.values.errors import FitchainError
from fitchain.pod.values.job_folder import Scratch, scratch
from fitchain.pod.values.limits import MIB

PREVIEW_BYTES, PREVIEW_S = 32 * MIB, 30.0
"""Mock data of more bytes, or that take longer, are not fetched for a look."""
MOST_COLUMNS_SHOWN, RECORDS_SHOWN = 30, 5
MISSING, DIGITS = "(missing)", 6


@dataclass(frozen=True)
class Preview:
    """Some made-up records.

    Args:
        columns: their names: the first ones of the card.
        rows: of each record the cells, as texts.
        is_cut: whether the card has more.
        reason: why there are none; empty where there are some.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    is_cut: bool = False
    reason: str = ""


def preview_of(home: Home, card: Card) -> Preview:
    """Fetch a card's mock data, and show the first of them; whoever cannot is told why."""
    if card.mock is None:
        return Preview(reason="its owner publishes none: a rehearsal is not possible")
    try:
        with scratch(home.settings.home, Scratch.REHEARSAL) as folder:
            home.store.fetch(card.mock, folder / "mock.npz", PREVIEW_BYTES, PREVIEW_S)
            table = Table.load(folder / "mock.npz", PREVIEW_BYTES)
    except FitchainError as error:
        return Preview(reason=f"not shown: {error.message}")
    return first_records(card, table)


def first_records(card: Card, table: Table) -> Preview:
    """The first records of a table of a card's columns."""
    shown = (card.column(name) for name in card.feature_names)
    every = [each for each in shown if each.kind is not Kind.MISSING and each.name in table.arrays]
    columns = every[:MOST_COLUMNS_SHOWN]
    count = min(RECORDS_SHOWN, table.count)
    rows = tuple(tuple(_cell(card, table, column, row) for column in columns) for row in range(count))
    return Preview(tuple(column.name for column in columns), rows, len(every) > len(columns))


def _cell(card: Card, table: Table, column: Column, row: int) -> str:
    gone = table.arrays.get(missing_name(column.name))
    if gone is not None and gone.ndim == 1 and gone[row]:
        return MISSING
    value: Any = table.arrays[column.name][row]
    if np.ndim(value):
        return f"{' x '.join(map(str, np.shape(value)))} numbers"
    match column.kind:
        case Kind.CATEGORY:
            return _category(card, column.name, value)
        case Kind.TIME:
            return moment_text(int(value), column.unit)
        case Kind.BOOLEAN:
            return "true" if value else "false"
        case Kind.NUMBER:
            return f"{float(value):.{DIGITS}g}"
        case _:
            return str(int(value))


def _category(card: Card, name: str, code: Array) -> str:
    texts = card.options(name)
    if not 0 <= int(code) < len(texts):
        return "(no category of the card)"
    return str(texts[int(code)]) or MISSING
