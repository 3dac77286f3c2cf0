"""Selections: which columns of a source are read, and what their owner says of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fitchain.pod.compute.dataset.cells import MISSING
from fitchain.pod.compute.dataset.columns import Classes, Kind, near_columns
from fitchain.pod.compute.dataset.source import plain_name
from fitchain.pod.compute.dataset.task import Task
from fitchain.pod.compute.dataset.tokenizer import Tokenizing
from fitchain.pod.values.errors import InputRefused, require_faultless
from fitchain.pod.values.limits import MOST_COLUMN_NAME, MOST_COLUMNS

KIND_GIVEN, CATEGORIES_NAMED = "whose kind is given", "whose categories are named"
"""What messages call a column of which an owner says something."""


@dataclass(frozen=True, slots=True)
class ReadingTerms:
    """What an owner says about a source.

    A column is named by its name or, where that does not tell it from others, by `#3`, its place
    from 1 on.

    Args:
        drop: columns that must not be registered, such as names and other identifiers.
        target: the column to be predicted.
        only: the columns wanted, where others may stand beside them; None wants all.
        unit: the column that says whose record one is.
        kinds: by column, where it is not to be guessed.
        categories: by column, those that there may be, texts or whole numbers; a cell of another is
            refused.
        task: what the target is predicted as, where that is not to be guessed.
        missing: further texts that mean that a cell is missing.
        keep: texts that mean themselves, though tools write them for missing cells.
        tokenizing: how columns of the kind `tokens` are read.
    """

    drop: tuple[str, ...] = ()
    target: str | None = None
    only: tuple[str, ...] | None = None
    unit: str | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    categories: Mapping[str, Classes] = field(default_factory=dict)
    task: Task | None = None
    missing: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    tokenizing: Tokenizing | None = None

    @property
    def markers(self) -> frozenset[str]:
        """Texts that mean that a cell is missing, in lower case."""
        return (MISSING | _lower(self.missing)) - _lower(self.keep)


def _lower(words: Collection[str]) -> frozenset[str]:
    return frozenset(word.strip().lower() for word in words)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a source's columns are read: their places, by name."""

    places: Mapping[str, int]
    target: str | None
    unit: str | None


def select(names: Sequence[str], terms: ReadingTerms) -> Selection:
    """Find the columns that are wanted among a source's.

    Only those that are wanted need a name of their own.

    Raises:
        InputRefused: some that are named are not there, or stand twice, all of them in one message;
            the target or the unit's is to be dropped; a wanted one has no name, or another's.
    """
    require_faultless("", list(_not_found(names, terms)))
    dropped = {
        position for name in terms.drop for position in find_column(names, name, "the column to drop", several=True)
    }
    target, unit = (
        None if name is None else find_column(names, name, what)[0]
        for name, what in ((terms.target, "the target"), (terms.unit, "the unit column"))
    )
    only = None if terms.only is None else {find_column(names, name, "the column")[0] for name in terms.only}
    for position, what in ((target, "the target"), (unit, "the unit column")):
        if position is not None and position in dropped:
            raise InputRefused(
                f"the column {names[position]!r} is {what}, and is to be dropped", "choose one of the two"
            )
    if unit is not None and (unit == target or (only is not None and unit in only)):
        also = "the target" if unit == target else "a feature"
        raise InputRefused(
            f"the column {names[unit]!r} says whose record one is, and is {also}",
            "a unit column is left out of the records by itself; name it once",
        )
    wanted = [
        position
        for position in range(len(names))
        if position not in dropped and (only is None or position in only or position in (target, unit))
    ]
    if len(wanted) > MOST_COLUMNS:
        raise InputRefused(
            f"the table has {len(wanted)} columns and the limit is {MOST_COLUMNS}",
            "drop some, or put them into one array column of an NPZ file",
        )
    places = dict[str, int]()
    for position in wanted:
        _require_name(names, position, places)
        places[names[position]] = position
    return Selection(places, *(None if position is None else names[position] for position in (target, unit)))


def _not_found(names: Sequence[str], terms: ReadingTerms) -> Iterator[InputRefused]:
    """What is wrong with each column that the terms name, whatever they say of it."""
    named = [
        *((name, "the column to drop") for name in terms.drop),
        *((name, "the target") for name in (terms.target,) if name is not None),
        *((name, "the unit column") for name in (terms.unit,) if name is not None),
        *((name, "the column") for name in terms.only or ()),
        *((name, f"the column {KIND_GIVEN}") for name in terms.kinds),
        *((name, f"the column {CATEGORIES_NAMED}") for name in terms.categories if name != terms.target),
    ]
    for name, what in named:
        try:
            find_column(names, name, what, several=what == "the column to drop")
        except InputRefused as refusal:
            yield refusal


def find_column(names: Sequence[str], wanted: str, what: str, several: bool = False) -> list[int]:
    """The places of a column that somebody named."""
    plain = plain_name(wanted)
    if places := [position for position, name in enumerate(names) if name == plain]:
        if len(places) > 1 and not several:
            which = ", ".join(f"#{position + 1}" for position in places)
            raise InputRefused(f"{what} {plain!r:.80} stands {len(places)} times in the table", f"name it by {which}")
        return places
    if plain.startswith("#") and plain[1:].isdecimal() and 1 <= int(plain[1:]) <= len(names):
        return [int(plain[1:]) - 1]
    raise InputRefused(f"{what} {wanted!r:.80} is not in the table", near_columns(plain, names))


def _require_name(names: Sequence[str], position: int, taken: Mapping[str, int]) -> None:
    name, drop = names[position], f"--drop '#{position + 1}'"
    if not name:
        raise InputRefused(f"column {position + 1} has no name", f"name it, or leave it out ({drop})")
    if name in taken:
        raise InputRefused(
            f"the column {name!r:.80} stands twice, as #{taken[name] + 1} and #{position + 1}",
            f"rename one of them, or leave one out ({drop})",
        )
    if len(name) > MOST_COLUMN_NAME or not name.isprintable():
        raise InputRefused(
            f"the name of column {position + 1} has {len(name)} characters, and {MOST_COLUMN_NAME} printable ones are"
            " the limit",
            f"shorten it, or leave it out ({drop})",
        )
