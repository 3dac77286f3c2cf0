"""A table of the scientist's own, for a model that was trained on an owner's.

It is read as the dataset's card says: columns by their names wherever they stand, numbers,
categories and missing cells in the owner's terms; whatever else stands in it is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fitchain.pod.compute.dataset.card import Card
from fitchain.pod.compute.dataset.columns import UNDECLARED, Kind, missing_name
from fitchain.pod.compute.dataset.readers import Dialect, Reading
from fitchain.pod.compute.dataset.rows import Spill
from fitchain.pod.compute.dataset.schema import ColumnPlan, Schema
from fitchain.pod.compute.dataset.selection import ReadingTerms
from fitchain.pod.compute.dataset.source import Source
from fitchain.pod.compute.dataset.table import Table, column_names
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe import Recipe


@dataclass(frozen=True)
class OwnTable:
    """A table of the scientist's own.

    Args:
        path: the file.
        dialect: how a CSV file is written, or what images are made of one form by, as far as
            that is said.
        missing: further texts that mean that a cell is missing.
    """

    path: Path
    dialect: Dialect | None = None
    missing: tuple[str, ...] = ()


# Many parameters: what was agreed, and what is read.
def read_own(
    own: OwnTable,
    card: Card,
    recipe: Recipe,
    spill: Spill | None = None,
    tokenizer: bytes | None = None,
    inputs_alone: bool = False,
) -> Table:
    """Read a table with the columns that a recipe wants, in the card's terms.

    The target, and columns of subgroups, may be missing; other columns are left out, and with
    `inputs_alone` these, too.

    Raises:
        NotFound: there is no such file.
        InputRefused: a column that the model takes is not there, or cells are not what the card
            says; the message names lines and columns.
    """
    names = () if inputs_alone else column_names(own.path, own.dialect)
    schema = _schema(card, recipe, names, own.missing)
    with _advising():
        return Table.read_as(own.path, Reading(own.dialect, schema), spill=spill, tokenizer=tokenizer)


def read_rows(
    source: Source, card: Card, recipe: Recipe, missing: tuple[str, ...] = (), tokenizer: bytes | None = None
) -> Table:
    """Read what a model takes of a source that is open already, rows in memory say, as `read_own`
    reads a file.

    Raises:
        InputRefused: as `read_own`.
    """
    schema = _schema(card, recipe, (), missing)
    with _advising():
        return Table.read_source(source, schema, tokenizer)


@contextmanager
def _advising() -> Iterator[None]:
    """Who has the model cannot declare further classes, as an owner could."""
    try:
        yield
    except InputRefused as error:
        if error.hint != UNDECLARED:
            raise
        fixed = "the card's classes and categories are all that the model knows: leave such records out"
        raise InputRefused(error.message, fixed) from None


def _schema(card: Card, recipe: Recipe, names: Collection[str], missing: tuple[str, ...]) -> Schema:
    """How the wanted columns are read: those that the model takes, and of the target and the
    subgroups those among the names."""
    base = {missing_name(column.name): column.name for column in card.columns}
    taken = [name for argument in recipe.inputs for name in argument]
    inputs = [base[name] if card.column(name).kind is Kind.MISSING else name for name in taken]
    optional = [name for name in (recipe.target, *recipe.subgroups) if name in names]
    schema = card.schema_of([*dict.fromkeys([*inputs, *optional])])
    has_target = recipe.target in (*inputs, *optional)
    plans = tuple(replace(plan, numbers=_numbers(card, plan)) for plan in schema.plans)
    markers = ReadingTerms(missing=missing, keep=_kept(card, schema, missing)).markers
    return replace(schema, plans=plans, unit=None, target=recipe.target if has_target else None, markers=markers)


def _kept(card: Card, schema: Schema, missing: tuple[str, ...]) -> tuple[str, ...]:
    """Texts that tools write for missing cells, and that the owner took as categories."""
    options = (option for plan in schema.plans for option in card.options(plan.column.name))
    return tuple(option for option in options if isinstance(option, str) and option and option not in missing)


def _numbers(card: Card, plan: ColumnPlan) -> tuple[int, ...]:
    """The whole numbers that a column of classes may have; empty where any may be, or where texts
    or missing cells are told from others already."""
    options = card.options(plan.column.name)
    return () if plan.may_miss or plan.categories else tuple(each for each in options if isinstance(each, int))
