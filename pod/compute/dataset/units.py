"""Units of privacy of several records: where the records of one person lie.

Where the owner names a column that says whose record one is, each of its values is a unit, and a
unit has K places in the table, its slots: unit u those from u K to u K + K - 1, with its first K
records in the order of the file; more are never used. A slot that no record fills repeats the
unit's last one, and the column `FILLED` says so: such a slot is never read. Units are numbered in
the order in which the file shows them first; the column that names them is left out.

So which rows are a unit's follows from K alone. A step that draws units, a verifier that has the
records of some segments only, and whoever computes a charge need no table of who has how many
records, and nothing tells it: every unit takes as many leaves of the tree. The leaf of a slot holds
its unit's word, H("fitchain/unit/v2", u, K), so that no record belongs to two units, and none is
registered under another K than the one that a training was charged for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fitchain.pod.values.digest import tagged
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import MOST_COLUMN_NAME
from fitchain.pod.values.recipe.fields import Fields
from fitchain.pod.values.recipe.privacy import FILLED, MOST_UNIT_RECORDS

__all__ = ["FILLED", "NO_UNIT", "UNIT_BYTES", "UnitColumn", "rows_of", "slots_of", "unit_word", "unit_words"]

DEFAULT_MOST_RECORDS = 8
UNIT_TAG = "fitchain/unit/v2"
UNIT_BYTES = 32
NO_UNIT = bytes(UNIT_BYTES)
"""The word of every record where a record is the unit."""

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class UnitColumn:
    """How records are put together to units.

    Args:
        column: of the file; equal cells are of one unit.
        most_records: K, how many records of a unit are used at most.

    Raises:
        InputRefused: K is not from 1 to `MOST_UNIT_RECORDS`.
    """

    column: str
    most_records: int = DEFAULT_MOST_RECORDS

    def __post_init__(self) -> None:
        if not 1 <= self.most_records <= MOST_UNIT_RECORDS:
            raise InputRefused(f"a unit has at most 1 to {MOST_UNIT_RECORDS} records, not {self.most_records}")

    @classmethod
    def from_json(cls, value: Any) -> UnitColumn:
        """Read the form that a registration keeps.

        Raises:
            InputRefused: it is another.
        """
        fields = Fields("the unit", value, ("column", "most_records"))
        return cls(fields.text("column", MOST_COLUMN_NAME), fields.integer("most_records", 1, MOST_UNIT_RECORDS))

    def json(self) -> dict[str, Any]:
        """The form that a registration keeps."""
        return {"column": self.column, "most_records": self.most_records}


def slots_of(whose: Numbers, most_records: int) -> tuple[Numbers, Numbers]:
    """Lay records out by unit.

    Args:
        whose: `[count]`, equal where two records are of one unit.
        most_records: K.

    Returns:
        The record whose cells each slot has, int64 `[units K]`, and whether it fills that slot,
        bool `[units K]`: False where it stands in an earlier slot of its unit.
    """
    _, first, inverse = np.unique(whose, return_index=True, return_inverse=True)
    numbers = np.empty(len(first), np.int64)
    numbers[np.argsort(first)] = np.arange(len(first))
    counts = np.bincount(numbers[inverse], minlength=len(first))
    by_unit = np.argsort(numbers[inverse], kind="stable")
    begins = (np.cumsum(counts) - counts)[:, None]
    slots, last = np.arange(most_records), (counts - 1)[:, None]
    return by_unit[begins + np.minimum(slots, last)].ravel(), (slots <= last).ravel()


def rows_of(units: npt.NDArray[np.uint64], unit_records: int) -> npt.NDArray[np.uint64]:
    """The rows of units, uint64 `[n K]`: all slots of each, in their order.

    Args:
        units: `[n]`, numbers.
        unit_records: K.
    """
    begins, slots = units * np.uint64(unit_records), np.arange(unit_records, dtype=np.uint64)
    rows: npt.NDArray[np.uint64] = np.add.outer(begins, slots).ravel()
    return rows


def unit_word(index: int, unit_records: int | None) -> bytes:
    """What a record's leaf says of its unit, 32 bytes.

    Args:
        index: the record's place in the dataset.
        unit_records: K; None where a record is the unit.
    """
    return NO_UNIT if unit_records is None else bytes(tagged(UNIT_TAG, index // unit_records, unit_records))


def unit_words(start: int, stop: int, unit_records: int | None) -> npt.NDArray[np.uint8]:
    """The words of the records from `start` to before `stop`, uint8 `[stop - start, 32]`."""
    if unit_records is None:
        return np.zeros((stop - start, UNIT_BYTES), np.uint8)
    first = start // unit_records
    words = b"".join(unit_word(unit * unit_records, unit_records) for unit in range(first, -(-stop // unit_records)))
    of_units = np.frombuffer(words, np.uint8).reshape(-1, UNIT_BYTES)
    return of_units[np.arange(start, stop) // unit_records - first]
