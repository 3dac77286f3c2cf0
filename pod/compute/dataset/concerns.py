"""Concerns: what about a table is refused unless its owner insists, since what is published of it
is public for good.

Names of a thousand people went on a card once, through one wrong target. What such mistakes look
like is counted here before anything leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from fitchain.pod.compute.dataset.card import Constants
from fitchain.pod.compute.dataset.columns import Array, Kind
from fitchain.pod.compute.dataset.schema import MISSING_CATEGORY
from fitchain.pod.compute.dataset.table import Table
from fitchain.pod.values.errors import InputRefused

MOST_CLASSES, LEAST_RECORDS_A_CLASS = 100, 5
"""More classes than this, or than a fifth of the records, are names or numbers of people as a
rule."""
FEWEST_RECORDS, FEWEST_OF_A_CLASS = 20, 5


class Rule(StrEnum):
    """What a table is refused for.

    Members: a column has very many categories; one of them has very few records; the table has very
    few; a column of whole numbers or categories differs in every record.
    """

    MANY_CLASSES = "many-classes"
    RARE_CLASSES = "rare-classes"
    FEW_RECORDS = "few-records"
    DIFFERING = "differing"


ALL_RULES = frozenset(Rule)


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing that a table is refused for.

    Args:
        rule: that it breaks.
        reason: a sentence.
    """

    rule: Rule
    reason: str


def concerns_of(table: Table, constants: Constants) -> Iterator[Concern]:
    """What a table is refused for.

    Args:
        table: to be registered.
        constants: that its card would publish.
    """
    records = table.record_count
    if records < FEWEST_RECORDS:
        yield Concern(Rule.FEW_RECORDS, f"it has {records} records, and what is published says much of each")
    differing = () if table.reading is None else table.reading.schema.differing
    for name in differing:
        yield Concern(Rule.DIFFERING, f"the column {name!r} differs in every record, as what identifies people does")
    counts = _counts_of(table, constants)
    for column in table.columns:
        categories = constants.get(column.name, {}).get("categories")
        if categories is None:
            continue
        if len(categories) > MOST_CLASSES or len(categories) * LEAST_RECORDS_A_CLASS > records:
            yield Concern(
                Rule.MANY_CLASSES,
                f"the column {column.name!r} has {len(categories)} categories in {records} records, each of which would"
                " be published",
            )
        of_each = counts[column.name][[each != MISSING_CATEGORY for each in categories]]  # that is nobody's
        if rare := int(((of_each > 0) & (of_each < FEWEST_OF_A_CLASS)).sum()):
            yield Concern(
                Rule.RARE_CLASSES,
                f"{rare} of the {len(categories)} categories of the column {column.name!r} "
                f"{'has' if rare == 1 else 'have'} fewer than {FEWEST_OF_A_CLASS} records",
            )


def _counts_of(table: Table, constants: Constants) -> dict[str, Array]:
    """How many records each category has, by column."""
    values = {
        column.name: np.arange(len(categories)) if column.kind is Kind.CATEGORY else np.array(categories)
        for column in table.columns
        if (categories := constants.get(column.name, {}).get("categories")) is not None
    }
    counts = {name: np.zeros(len(options), np.int64) for name, options in values.items()}
    for part in table.parts() if values else ():
        for name, options in values.items():
            counts[name] += np.bincount(np.searchsorted(options, table.arrays[name][part]), minlength=len(options))
    return counts


MOST_TOLD = 8
"""Of further findings a refusal tells the number."""


def require_no_concern(table: Table, constants: Constants, insisted: frozenset[Rule]) -> None:
    """Refuse a table for what its owner does not insist on.

    Raises:
        InputRefused: for all of it, in one message.
    """
    concerns = [concern for concern in concerns_of(table, constants) if concern.rule not in insisted]
    if concerns:
        reasons, rest = [concern.reason for concern in concerns], len(concerns) - MOST_TOLD
        rules = " ".join(f"--insist {rule}" for rule in dict.fromkeys(concern.rule for concern in concerns))
        raise InputRefused(
            "; ".join(reasons[:MOST_TOLD] + ([f"and {rest} more such findings"] if rest > 0 else [])),
            f"leave such columns out (--drop); what is published is public for good; {rules} offers it all the same",
        )
