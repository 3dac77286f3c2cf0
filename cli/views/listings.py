"""Datasets that were found, one a line, and what kept the others out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fitchain.cli.views.amounts import counted
from fitchain.cli.views.output import Prose, Rows, View, cut_middle
from fitchain.pod.values.amounts import amount_text

if TYPE_CHECKING:
    from fitchain.pod.parties.scientist import Listing, Search

NAME_WIDTH, LICENCE_WIDTH = 32, 16
MOST_UNREAD = 20


def search_values(search: Search, account: str | None) -> dict[str, Any]:
    """All that was found, for `--json`.

    Args:
        account: of whom it is said whether they may ask; None says it of nobody.
    """
    return {
        "datasets": [_values(listing, account) for listing in search.matches],
        "looked_at": search.count,
        "unread": [{"dataset": entry.id, "reason": reason} for entry, reason in search.unread],
        "excluded": [
            {"condition": words, "datasets": many, "alone": single} for words, many, single in search.excluded
        ],
    }


def _values(listing: Listing, account: str | None) -> dict[str, Any]:
    entry, card = listing.entry, listing.card
    return {
        "dataset": entry.id,
        "name": card.name,
        "owner": entry.owner,
        "records": card.record_count,
        "columns": card.feature_names,
        "target": card.target,
        "task": card.task,
        "price": amount_text(card.price),
        "minimum_price": amount_text(card.policy.minimum_price),
        "licence": card.licence or None,
        "epsilon_left": listing.epsilon_left,
        "unit": None if card.unit is None else card.unit.column,
        "open": not listing.is_closed,
        "open_to_me": None if account is None else listing.open_to(account),
    }


def search_views(search: Search, account: str | None, most: int) -> list[View]:
    """The same for a person.

    Args:
        account: as of `search_values`.
        most: how many datasets are shown.
    """
    rows = [_row(listing, account) for listing in search.matches[:most]]
    headers = ("dataset", "name", "records", "columns", "target", "price FIT", "licence", "epsilon left", "open")
    views: list[View] = [_summary(search, most)]
    if rows:
        views.append(Rows(headers, rows, right=("records", "columns", "price FIT", "epsilon left")))
    if search.excluded and not rows:
        views.append(Prose("what kept them out", [_words(*each) for each in search.excluded]))
    if search.unread:
        reasons = [f"{entry.id.short}: {reason}" for entry, reason in search.unread[:MOST_UNREAD]]
        more = [f"and {len(search.unread) - MOST_UNREAD} more"] if len(search.unread) > MOST_UNREAD else []
        views.append(Prose(f"{counted(len(search.unread), 'card')} could not be read", [*reasons, *more]))
    return views


def _summary(search: Search, most: int) -> str:
    summary = f"{counted(len(search.matches), 'dataset')} of {search.count} fit" + (
        "s" if len(search.matches) == 1 else ""
    )
    if len(search.matches) > most:
        return f"{summary}; the {most} with most records (--most shows more)"
    if not search.matches and search.excluded:
        return f"{summary}: {_words(*search.excluded[0])}; leave that out first"
    return summary


def _words(words: str, many: int, single: int) -> str:
    return f"{words} keeps out {counted(many, 'dataset')}" + (f", {single} of them alone" if single else "")


def _row(listing: Listing, account: str | None) -> tuple[Any, ...]:
    card = listing.card
    if listing.is_closed:
        is_open = "closed"
    elif account is None:
        is_open = "to all" if card.is_open else "to some"
    else:
        is_open = "to you" if listing.open_to(account) else "not to you"
    return (
        listing.entry.id.short,
        cut_middle(card.name, NAME_WIDTH),
        card.record_count,
        len(card.feature_names),
        f"{cut_middle(card.target or '-', NAME_WIDTH)} ({card.task})",
        amount_text(card.policy.minimum_price),
        cut_middle(card.licence or "-", LICENCE_WIDTH),
        "no budget" if listing.epsilon_left is None else f"{listing.epsilon_left:.3g}",
        is_open,
    )
