"""What becomes public of a table, shown before anything is published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fitchain.cli.views.amounts import counted
from fitchain.cli.views.output import KeyValues, Prose, Rows, View
from fitchain.pod.values.amounts import amount_text

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Column
    from fitchain.pod.parties.owner import PreparedDataset

MOST_SHOWN = 12
"""Categories that are shown of a column; how many there are is said in any case."""


def publication_values(prepared: PreparedDataset) -> dict[str, Any]:
    """What becomes public, as JSON."""
    offer, table = prepared.offer, prepared.table
    return {
        "name": offer.name,
        "records": table.record_count,
        "target": table.target,
        "task": table.task,
        "columns": [
            {
                "name": column.name,
                "kind": column.kind,
                "dtype": column.dtype,
                "shape": list(column.shape),
                "unit": column.unit,
                **prepared.constants.get(column.name, {}),
            }
            for column in prepared.table.columns
        ],
        "tokenizer": _tokenizer_values(prepared),
        "mock_records": offer.mock_records,
        "price": amount_text(offer.price),
        "licence": offer.licence or None,
    }


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
        ("target", f"{table.target}: {table.task}"),
        ("licence", offer.licence or None),
        ("price", f"{amount_text(offer.price)} FIT"),
        ("open to", asked_by),
        ("privacy", privacy),
        ("mock data", f"{counted(offer.mock_records, 'made-up record')}" if offer.mock_records else None),
    ]
    rows = [(column.name, _kind(column), _published(prepared, column)) for column in table.columns]
    notes = () if table.reading is None else table.reading.schema.notes
    views: list[View] = ["what becomes public, for good", KeyValues(pairs), Rows(("column", "kind", "published"), rows)]
    views += [Prose("read as", [*_dialect(prepared), *notes])] if notes or _dialect(prepared) else []
    views += _vocabulary_views(prepared)
    views += [f"stays here: {offer.source}"]
    return views


def _kind(column: Column) -> str:
    shape = f" of {' x '.join(map(str, column.shape))}" if column.shape else ""
    unit = "" if column.kind == "tokens" else column.unit  # the digest of the tokenizer, which is told below
    return f"{column.kind}{shape}{f' ({unit})' if unit else ''}"


def _tokenizer_values(prepared: PreparedDataset) -> dict[str, Any] | None:
    terms = prepared.tokenizer
    return None if terms is None else {**terms.json(), "cut": dict(prepared.table.cut)}


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
    constants = prepared.constants.get(column.name, {})
    if (categories := constants.get("categories")) is not None:
        shown = ", ".join(str(each) if each != "" else "(missing)" for each in categories[:MOST_SHOWN])
        return f"{len(categories)} categories: {shown}{', …' if len(categories) > MOST_SHOWN else ''}"
    words = [f"{name} {constants[name]:.6g}" for name in ("mean", "scale", "low", "high", "fill") if name in constants]
    return ", ".join(words) or "its name and kind"


def _dialect(prepared: PreparedDataset) -> list[str]:
    reading = prepared.table.reading
    if reading is None or reading.dialect is None:
        return []
    said = reading.dialect
    escape = ", backslashes before quotes" if said.escape else ""
    return [f"a CSV file in {said.encoding}, cells parted by a {said.delimiter}, decimal {said.decimal}{escape}"]
