"""What becomes public of a table, shown before anything is published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fitchain.cli.views.amounts import counted
from fitchain.cli.views.dataset import conditions_of, constant_texts
from fitchain.cli.views.output import KeyValues, Prose, Rows, View
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.categories import category_texts

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Column
    from fitchain.pod.parties.owner import PreparedDataset

MOST_IN_A_ROW = 12
"""Categories of a column that are shown beside it; more have a paragraph of their own."""


def publication_views(prepared: PreparedDataset, privacy: str | None, asked_by: str) -> list[View]:
    """What becomes public, for a person.

    Args:
        prepared: the table and its offer.
        privacy: what is said of a privacy budget; None without one.
        asked_by: who may ask, in words.
    """
    offer, table = prepared.offer, prepared.table
    pairs: list[tuple[str, Any]] = [
        ("name", offer.name),
        ("description", offer.description or None),
        ("records", table.record_count),
        ("units", _units(prepared)),
        ("target", f"{table.target}: {table.task}"),
        ("licence", offer.licence or None),
        ("price", f"{amount_text(offer.price)} FIT"),
        ("open to", asked_by),
        (
            "conditions",
            ", ".join([f"at least {amount_text(offer.policy.minimum_price)} FIT", *conditions_of(offer.policy)]),
        ),
        ("privacy", privacy),
        ("mock data", f"{counted(offer.mock_records, 'made-up record')}" if offer.mock_records else None),
        (
            "subgroups",
            "; ".join(f"{name}: {', '.join(category_texts(each))}" for name, each in prepared.groups.items()) or None,
        ),
        ("root", "a digest of all records, each with a salt that stays here"),
    ]
    rows = [(column.name, _kind(column), _published(prepared, column)) for column in table.columns]
    notes = () if table.reading is None else table.reading.schema.notes
    views: list[View] = ["what becomes public, for good", KeyValues(pairs), Rows(("column", "kind", "published"), rows)]
    many = {column.name: _categories(prepared, column) for column in table.columns}
    lists = [f"{name}: {', '.join(each)}" for name, each in many.items() if len(each) > MOST_IN_A_ROW]
    views += [Prose("all categories", lists)] if lists else []
    views += [Prose("read as", [*_dialect(prepared), *notes])] if notes or _dialect(prepared) else []
    views += _vocabulary_views(prepared)
    views += [f"stays here: {offer.source}"]
    return views


def _kind(column: Column) -> str:
    shape = f" of {' x '.join(map(str, column.shape))}" if column.shape else ""
    unit = "" if column.kind == "tokens" else column.unit  # the digest of the tokenizer, which is told below
    return f"{column.kind}{shape}{f' ({unit})' if unit else ''}"


def _vocabulary_views(prepared: PreparedDataset) -> list[View]:
    """The tokenizer, of which nothing stays here: who trained it on the texts publishes words of
    theirs."""
    if (terms := prepared.tokenizer) is None:
        return []
    records = prepared.table.record_count
    cut = [
        f"{name}: {counted(count, 'text')} of {records} {'is' if count == 1 else 'are'} cut"
        if count
        else f"{name}: no text is cut"
        for name, count in prepared.table.cut.items()
    ]
    warning = (
        f"WARNING: the tokenizer becomes public with all of its {terms.vocabulary:,} tokens. One that was trained on"
        " these texts holds words of theirs, names of people among them: publish only one that was made elsewhere, or"
        " whose vocabulary you have read."
    )
    if prepared.privacy is not None:
        warning += " The privacy budget does not cover it."
    return [Prose("free text", [warning, f"its SHA-256 is {terms.digest}, read by tokenizers {terms.library}", *cut])]


def _published(prepared: PreparedDataset, column: Column) -> str:
    constants, ends = prepared.constants.get(column.name, {}), prepared.mock_ranges.get(column.name)
    if categories := _categories(prepared, column):
        shown = ", ".join(categories) if len(categories) <= MOST_IN_A_ROW else "all of them, below"
        return f"{len(categories)} categories: {shown}"
    words = constant_texts(column, constants, "{!r}")
    words += [] if ends is None else [f"mock data from {ends[0]!r} to {ends[1]!r}"]
    return ", ".join(words) or "its name and kind"


def _categories(prepared: PreparedDataset, column: Column) -> list[str]:
    return category_texts(prepared.constants.get(column.name, {}).get("categories", ()))


def _units(prepared: PreparedDataset) -> str | None:
    """Whom a budget protects, and how many of them there are."""
    table, unit = prepared.table, prepared.offer.unit
    if unit is None or table.unit_records is None:
        return None
    return f"{table.count // table.unit_records}, by {unit.column}, of up to {table.unit_records} records each"


def _dialect(prepared: PreparedDataset) -> list[str]:
    from fitchain.pod.compute.dataset import CsvDialect

    reading = prepared.table.reading
    if reading is None or reading.dialect is None:
        return []
    said = reading.dialect
    if isinstance(said, CsvDialect):
        escape = ", backslashes before quotes" if said.escape else ""
        return [f"a CSV file in {said.encoding}, cells parted by a {said.delimiter}, decimal {said.decimal}{escape}"]
    made = [f"scaled to {said.size[0]} x {said.size[1]}"] if said.size else []
    made += [f"made {said.colour}"] if said.colour else []
    left_out = f"; {counted(said.left_out, 'other file')} in it left out" if said.left_out else ""
    return [f"a folder of images, {' and '.join(made) or 'as they are'}{left_out}"]
