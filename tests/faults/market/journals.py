"""What the parties' files say, read beside their pods and without a word to them: journals, and
the queues of transactions."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitchain.pod.ports.agreement import Agreement, State
from fitchain.pod.values.ids import AgreementId

TRIES, PAUSE_S = 20, 0.25
"""A database that is being recovered by its pod, or lies on a full disk, is read a little later."""
BUG = "this is a bug in Fitchain"
FILES = ("journal.db", "transactions.db")


def rows_of(home: Path, query: str, *values: Any, file: str = "journal.db") -> list[sqlite3.Row]:
    """Rows of one of a home's databases."""
    for left in reversed(range(TRIES)):
        try:
            with closing(sqlite3.connect(f"{(home / file).as_uri()}?mode=ro", timeout=10, uri=True)) as database:
                database.row_factory = sqlite3.Row
                return database.execute(query, values).fetchall()
        except sqlite3.OperationalError:
            if not left:
                raise
            time.sleep(PAUSE_S)
    raise AssertionError("unreachable")


@dataclass(frozen=True)
class Story:
    """What one home's journal tells.

    Args:
        requests: the terms of each request that it made.
        kinds: of each job, and of each audit asked for again, the words of its history.
    """

    requests: Mapping[str, Mapping[str, Any]]
    kinds: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, home: Path) -> Story:
        """Read a home's."""
        requests = {row["agreement"]: json.loads(row["terms"]) for row in rows_of(home, "SELECT * FROM requests")}
        kinds = dict[str, tuple[str, ...]]()
        for row in rows_of(home, "SELECT agreement, kind FROM history ORDER BY id"):
            kinds[row["agreement"]] = (*kinds.get(row["agreement"], ()), row["kind"])
        return cls(requests, kinds)

    def has(self, id: AgreementId, kind: str) -> bool:
        """Whether a job's history has an entry of a kind."""
        return kind in self.kinds.get(str(id), ())


SETTLED = {
    "owner": ("accepted", "finished", "settled", "wiped"),
    "scientist": ("received", "settled"),
}
"""What the histories of a settled job hold."""


def unsound(home: Path) -> Iterator[str]:
    """Which of a home's databases are not whole."""
    for file in FILES:
        said = [row[0] for row in rows_of(home, "PRAGMA integrity_check", file=file)]
        if said != ["ok"]:
            yield f"{home.name}'s {file} is not whole: {said[:3]}"


def bugs(home: Path) -> Iterator[str]:
    """Errors of Fitchain's own in a home's history."""
    for row in rows_of(home, "SELECT agreement, body FROM history WHERE kind IN ('error', 'refuted')"):
        if BUG in row["body"]:
            yield f"{home.name} told of a bug about {row['agreement'][:10]}: {row['body'][:300]}"


def refuted(home: Path) -> Iterator[str]:
    """What a home holds to be refuted: among honest parties, nothing."""
    for row in rows_of(home, "SELECT agreement, body FROM history WHERE kind = 'refuted'"):
        yield f"{home.name} holds something about {row['agreement'][:10]} to be refuted: {row['body'][:300]}"


def untold(stories: Mapping[str, Story], owner: str, scientist: str, agreement: Agreement) -> Iterator[str]:
    """What the histories of both sides lack about a settled job, and whose price is another."""
    id = agreement.id
    if agreement.state is State.SETTLED:
        for name, role in ((owner, "owner"), (scientist, "scientist")):
            lacks = [kind for kind in SETTLED[role] if not stories[name].has(id, kind)]
            if lacks:
                yield f"{name}'s history of {id.short} lacks {', '.join(lacks)}"
    kept = stories[scientist].requests.get(str(id))
    if kept is None:
        yield f"{scientist}'s journal does not know its request {id.short}"
    elif kept["price"] != agreement.terms.price:
        price = agreement.terms.price
        yield f"{scientist}'s journal has the price {kept['price']} of {id.short}, and the chain {price}"
