"""Finding a dataset: the registry's entries are read together, their cards some at a time, and
compared with what a scientist looks for.

Whatever the chain says already excludes an entry before its card is fetched. Cards are foreign: one
that is missing, broken or about other records is told with its reason, and hides no other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from queue import SimpleQueue

from fitchain.pod.compute.dataset import Card, Column, Kind, Task
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.scientist.publish import card_of
from fitchain.pod.ports.registry import DatasetEntry
from fitchain.pod.ports.store import Store, open_store
from fitchain.pod.values.errors import FitchainError
from fitchain.pod.values.limits import CARD
from fitchain.pod.values.privacy.ledger import left

AT_ONCE = 8
"""Cards that are fetched at the same time, each over a connection of its own."""
RECORDS = "--records"
RECORD = "record"
"""Names the unit of privacy where that is a record."""


@dataclass(frozen=True)
class ColumnQuery:
    """A column that a dataset must have: of a name that fits a pattern (`*`, `?`, no matter the
    case), and of a kind, where one is named."""

    pattern: str
    kind: Kind | None = None

    def fits(self, column: Column) -> bool:
        """Whether a column does."""
        return (self.kind is None or column.kind is self.kind) and _like(column.name, self.pattern)


@dataclass(frozen=True)
class DatasetQuery:
    """What a scientist looks for; what is None or empty is no condition.

    Args:
        words: each stands in the name or the description.
        task: what the target is predicted as.
        target: a pattern of its name.
        columns: that must be there, the target among them.
        measure: a pattern of the unit in which one of the columns is measured.
        records: at least so many.
        price: in base units: the least that the owner takes is at most that.
        licence: a pattern; a text without `*` may stand anywhere in it.
        epsilon: so much of the privacy budget is left; a dataset without one has no limit.
        unit: a pattern of the column whose values a budget protects; `record` where each record.
        account: may ask for it.
        closed: whether those that nobody can ask for any more are shown as well.
    """

    words: tuple[str, ...] = ()
    task: Task | None = None
    target: str | None = None
    columns: tuple[ColumnQuery, ...] = ()
    measure: str | None = None
    records: int | None = None
    price: int | None = None
    licence: str | None = None
    epsilon: float | None = None
    unit: str | None = None
    account: str | None = None
    closed: bool = False


@dataclass(frozen=True)
class Listing:
    """A dataset whose card was read.

    Args:
        entry: of the registry.
        card: compared with it.
        epsilon_left: of its privacy budget; None without one.
        is_closed: whether nobody can ask for it any more.
    """

    entry: DatasetEntry
    card: Card
    epsilon_left: float | None
    is_closed: bool

    def open_to(self, account: str) -> bool:
        """Whether an account may ask for it."""
        named = account.lower() in self.card.policy.scientists
        return not self.is_closed and (named or self.card.is_open)


@dataclass(frozen=True)
class Condition:
    """One thing that is asked of a dataset.

    Args:
        words: as an option of the command line says it.
        holds: of a listing.
    """

    words: str
    holds: Callable[[Listing], bool]


@dataclass(frozen=True)
class Search:
    """What was found.

    Args:
        matches: the listings that fit, those with most records first.
        count: datasets that were looked at.
        unread: those whose card could not be read, and why.
        excluded: by condition how many it excludes, and how many it alone does; most first.
    """

    matches: tuple[Listing, ...]
    count: int
    unread: tuple[tuple[DatasetEntry, str], ...]
    excluded: tuple[tuple[str, int, int], ...]


def find_datasets(
    home: Home,
    query: DatasetQuery,
    seconds: float = 60.0,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> Search:
    """Find the datasets of a deployment that fit.

    Args:
        home: whose chain and store are read; it needs no key.
        query: what is looked for.
        seconds: how long cards are fetched at most; those that are not there then are unread.
        progress: told how many cards of how many are there.

    Raises:
        ChainUnusable: the chain does not answer.
    """
    entries = home.registry.datasets()
    outlived = home.registry.outlived(entries)
    closed = {entry.id for entry in entries if not entry.active or entry.id in outlived}
    seen = [entry for entry in entries if query.closed or entry.id not in closed]
    wanted = [entry for entry in seen if query.records is None or entry.count >= query.records]
    budgets = dict(zip((entry.id for entry in wanted), home.registry.ledgers_of(wanted), strict=True))
    listings, unread = list[Listing](), list[tuple[DatasetEntry, str]]()
    for entry, card in _cards(home, wanted, seconds, progress):
        if isinstance(card, str):
            unread.append((entry, card))
            continue
        ledger, privacy = budgets[entry.id], card.privacy
        rest = None if privacy is None or ledger is None else left(ledger.spent, ledger.budget, privacy.delta)
        listings.append(Listing(entry, card, rest, entry.id in closed))
    conditions = list(conditions_of(query))
    matches = [each for each in listings if all(condition.holds(each) for condition in conditions)]
    matches.sort(key=lambda each: (-each.card.record_count, each.card.policy.minimum_price, str(each.entry.id)))
    small = len(seen) - len(wanted)  # by the chain's own count, and no card of theirs was fetched
    return Search(tuple(matches), len(entries), tuple(unread), _excluded(conditions, listings, small))


def conditions_of(query: DatasetQuery) -> Iterator[Condition]:
    """Each thing that a query asks."""
    # One after another as the query has them: each knows what it is called, and how it is compared.
    for word in query.words:
        yield Condition(repr(word), partial(_says, word))
    if (task := query.task) is not None:
        yield Condition(f"--task {task}", lambda each: each.card.task is task)
    if (target := query.target) is not None:
        yield Condition(f"--target {target}", lambda each: _like(each.card.target or "", target))
    for column in query.columns:
        words = f"--column {column.pattern}{f'={column.kind}' if column.kind else ''}"
        yield Condition(words, partial(_has_column, column))
    if (measure := query.measure) is not None:
        yield Condition(
            f"--measure {measure}", lambda each: any(_like(column.unit, measure) for column in _features(each.card))
        )
    if (records := query.records) is not None:
        yield Condition(f"{RECORDS} {records}", lambda each: each.card.record_count >= records)
    if (price := query.price) is not None:
        yield Condition("--price", lambda each: each.card.policy.minimum_price <= price)
    if (licence := query.licence) is not None:
        pattern = licence if "*" in licence else f"*{licence}*"
        yield Condition(f"--licence {licence}", lambda each: _like(each.card.licence, pattern))
    if (epsilon := query.epsilon) is not None:
        yield Condition("--epsilon", lambda each: each.epsilon_left is None or each.epsilon_left >= epsilon)
    if (unit := query.unit) is not None:
        yield Condition(f"--unit {unit}", lambda each: _protects(each.card, unit))
    if (account := query.account) is not None:
        yield Condition("--open", lambda each: each.open_to(account))


def _excluded(
    conditions: Sequence[Condition], listings: Sequence[Listing], small: int
) -> tuple[tuple[str, int, int], ...]:
    """By condition how many listings it excludes, and how many it alone."""
    failing = [[number for number, each in enumerate(conditions) if not each.holds(listing)] for listing in listings]
    counts = [
        (each.words, sum(number in failed for failed in failing), sum(failed == [number] for failed in failing))
        for number, each in enumerate(conditions)
    ]
    counts = [(words, many + (small if words.startswith(RECORDS) else 0), single) for words, many, single in counts]
    return tuple(sorted((each for each in counts if each[1]), key=lambda each: (-each[1], -each[2], each[0])))


def _cards(
    home: Home, entries: Sequence[DatasetEntry], seconds: float, progress: Callable[[int, int], None]
) -> Iterator[tuple[DatasetEntry, Card | str]]:
    """The cards of some entries, in their order, or why one was not read."""
    if not entries:
        return
    home.add_peers({entry.owner for entry in entries})
    until = time.monotonic() + seconds
    stores: SimpleQueue[Store] = SimpleQueue()
    opened = [open_store(home.settings, lambda text: None) for _ in range(min(AT_ONCE, len(entries)))]
    for store in opened:
        stores.put(store)

    def read(entry: DatasetEntry) -> Card | str:
        if time.monotonic() > until:
            return f"not fetched within {seconds:g} s"
        store = stores.get()
        try:
            return card_of(entry, store.cat(entry.card, CARD.text_bytes))
        except FitchainError as error:
            return error.message
        finally:
            stores.put(store)

    try:
        with ThreadPoolExecutor(len(opened), thread_name_prefix="cards") as pool:
            reading: list[Future[Card | str]] = [pool.submit(read, entry) for entry in entries]
            for number, (entry, card) in enumerate(zip(entries, reading, strict=True), 1):
                yield entry, card.result()
                progress(number, len(entries))
    finally:
        for store in opened:
            store.close()


def _features(card: Card) -> list[Column]:
    """The columns that say something of a record, without those that say what is missing."""
    return [column for column in map(card.column, card.feature_names) if column.kind is not Kind.MISSING]


def _says(word: str, listing: Listing) -> bool:
    return word.casefold() in f"{listing.card.name}\n{listing.card.description}".casefold()


def _has_column(query: ColumnQuery, listing: Listing) -> bool:
    return any(query.fits(column) for column in _features(listing.card))


def _protects(card: Card, unit: str) -> bool:
    if card.privacy is None:
        return False
    return unit == RECORD if card.unit is None else _like(card.unit.column, unit)


def _like(text: str, pattern: str) -> bool:
    return fnmatchcase(text.casefold(), pattern.casefold())
