"""Units of privacy in words: whom an epsilon is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitchain.cli.views.amounts import counted

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Card
    from fitchain.pod.values.recipe import Recipe


def describe_unit(card: Card) -> str:
    """What a unit of a dataset is, and how many there are: `a unit is a value of 'patient', at most
    8 records each; 312 units, 1,044 records`."""
    if card.unit is None:
        return f"a unit is a record; {card.count:,} of them"
    most = counted(card.unit.most_records, "record")
    many = f"{card.unit_count:,} units, {card.record_count:,} records"
    return f"a unit is a value of {card.unit.column!r}, at most {most} each; {many}"


def opened_at_most(count: int, recipe: Recipe | None) -> str:
    """So many records that an audit opens: where units have places for several, these are counted,
    since which are empty stays at home."""
    if recipe is None or recipe.unit_records == 1:
        return counted(count, "record")
    return f"{counted(count, 'place')} for records, empty ones too"


def for_each_unit(column: str | None, count: int | None = None) -> str:
    """Whom an epsilon is for, and how many these are."""
    what, of = ("record", "") if column is None else ("value", f" of {column!r}")
    return f"for each {what}{of}" if count is None else f"for each of {counted(count, what)}{of}"


def records_trained_on(card: Card, recipe: Recipe, steps: int) -> str:
    """Of how many of a dataset's records a training makes use, others being held out, not asked for
    or reached by no step: `455 of 569 records`. Of units with several records, of how many units;
    which of these a step draws, nobody is told.

    Args:
        card: of the dataset.
        recipe: of the training.
        steps: that it took.
    """
    used = recipe.training_count
    if card.unit is not None:
        return f"{used:,} of {counted(card.unit_count, 'unit')}, {counted(card.record_count, 'record')} in all"
    if recipe.privacy is None:
        used = min(used, steps * recipe.batch_size)
    return (
        counted(used, "record") if used == card.record_count else f"{used:,} of {counted(card.record_count, 'record')}"
    )
