"""Units of privacy in words: whom an epsilon is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitchain.cli.views.amounts import counted

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Card


def describe_unit(card: Card) -> str:
    """What a unit of a dataset is, and how many there are: `a unit is a value of 'patient', at most
    8 records each; 312 units, 1,044 records`."""
    if card.unit is None:
        return f"a unit is a record; {card.count:,} of them"
    most = counted(card.unit.most_records, "record")
    many = f"{card.unit_count:,} units, {card.record_count:,} records"
    return f"a unit is a value of {card.unit.column!r}, at most {most} each; {many}"


def for_each_unit(column: str | None) -> str:
    """Whom an epsilon is for."""
    return "for each record" if column is None else f"for each value of {column!r}"
