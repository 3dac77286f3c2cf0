"""The journal: what a pod must remember across a power cut (SQLite).

The chain is the truth about agreements; the journal holds what the chain cannot know: where a
dataset's source lies, which registration salts belong to it, what a person decided, which request
is on its way, and the history that `job show` and `job watch` print and that the owner keeps as its
audit record. An intent is written here before its effect is attempted, so that whatever was cut off
is found again. Several processes of one home may use it at once. No key, no passphrase and no
record of a dataset is ever written to it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fitchain.pod.jobs.history import (
    Approved,
    ConsentGiven,
    ConsentRefused,
    Entry,
    TurnedDown,
    Unrecognised,
    parse_entry,
)
from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.ports.database import (
    MAGIC,
    Layout,
    connect,
    create,
    damaged,
    read_header,
    require_sound,
    sqlite_errors,
    user_version,
)
from fitchain.pod.values.digest import Digest, Root
from fitchain.pod.values.errors import InputRefused, NotFound, host_errors
from fitchain.pod.values.ids import NO_AGREEMENT, AgreementId, AuditRef, DatasetId, ModelId, Subject

APPROVE, REJECT = "approve", "reject"
"""What a person says of a request."""
CONSENT, REFUSE = "consent", "refuse"
"""What a person says of another audit of a job."""
SCHEMA_VERSION = 2
"""Version 1 is that of Fitchain 0.2, whose journals hold agreements of protocol 1."""

EntryKind = TypeVar("EntryKind", bound=Entry)

JOURNAL_FILE, MARK_FILE = "journal.db", "journal.id"
MARK_BYTES = 16

_LAYOUT = Layout(
    """
CREATE TABLE datasets(
  id TEXT PRIMARY KEY, source TEXT NOT NULL, reading TEXT NOT NULL, salt BLOB NOT NULL, root TEXT NOT NULL,
  card BLOB NOT NULL, card_cid TEXT NOT NULL);
CREATE TABLE models(
  id TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL, graph TEXT NOT NULL, initial_model TEXT NOT NULL,
  cid TEXT NOT NULL, inputs TEXT NOT NULL);
CREATE TABLE requests(
  agreement TEXT PRIMARY KEY, salt TEXT NOT NULL, terms TEXT NOT NULL, offer TEXT NOT NULL, recipe BLOB NOT NULL);
CREATE TABLE decisions(
  agreement TEXT PRIMARY KEY, decision TEXT NOT NULL, reason TEXT NOT NULL, concerns TEXT NOT NULL,
  about TEXT NOT NULL);
CREATE TABLE facts(agreement TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (agreement, name));
CREATE TABLE history(
  id INTEGER PRIMARY KEY AUTOINCREMENT, agreement TEXT NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL,
  body TEXT NOT NULL, once TEXT);
CREATE INDEX history_of ON history(agreement, id);
CREATE UNIQUE INDEX history_once ON history(agreement, kind, once);
""",
    SCHEMA_VERSION,
)
_MARK = "home"
"""The fact, about no job, that says whose journal it is."""


@dataclass(frozen=True)
class Line:
    """One line of a job's history; `time` in seconds since 1970 by this pod's clock. Where it is
    about an audit that was asked for again, `ordinal` says which."""

    id: int
    agreement: AgreementId
    time: float
    entry: Entry | Unrecognised
    ordinal: int = 0


@dataclass(frozen=True)
class DatasetRow:
    """A dataset of this pod: its source's path, how it is read, and the fresh salt its registration
    key derives from."""

    id: DatasetId
    source: Path
    reading: dict[str, Any]
    salt: bytes
    root: Root
    card: bytes
    card_cid: str


@dataclass(frozen=True)
class ModelRow:
    """A model this pod published, with the folder that holds its graph and weights, and the columns
    of each of its arguments; none where they are those that a draft fills in."""

    id: ModelId
    name: str
    folder: Path
    graph: Digest
    initial_model: Root
    cid: str
    inputs: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class RequestRow:
    """A request this pod made or was about to make: enough to send it again."""

    agreement: AgreementId
    salt: Digest
    terms: dict[str, Any]
    offer: str
    recipe: bytes


@dataclass(frozen=True)
class Decision:
    """What a person said of a request or of another audit, with a reason; the concerns that it was
    shown, to which alone a yes says yes; and of another audit, which one it saw: a block that the
    chain takes back may be followed by another question of the same number."""

    decision: str
    reason: str = ""
    concerns: tuple[str, ...] = ()
    about: str = ""

    @property
    def is_yes(self) -> bool:
        """Whether it lets the pod go on."""
        return self.decision in (APPROVE, CONSENT)

    @property
    def entry(self) -> Approved | TurnedDown | ConsentGiven | ConsentRefused:
        """What the history says of it."""
        if self.is_yes:
            kind = Approved if self.decision == APPROVE else ConsentGiven
            return kind(self.reason, self.concerns)
        return TurnedDown(self.reason) if self.decision == REJECT else ConsentRefused(self.reason)

    def uncovered(self, concerns: Iterable[str]) -> list[str]:
        """Which of these concerns the person was not shown."""
        return [concern for concern in concerns if concern not in self.concerns]


class Journal:
    """A pod's durable memory.

    Args:
        path: the database file, in the home's folder; made with mode 0600 when both are new.

    Raises:
        InputRefused: another version of Fitchain wrote it.
        HomeDamaged: it is empty, cut, overwritten, another home's, or gone.
        HostUnusable: it cannot be read or written now; so in every call.
    """

    def __init__(self, path: Path) -> None:
        if not require_own(path):
            mark = os.urandom(MARK_BYTES).hex()
            create(path, _LAYOUT, partial(_put_mark, mark))
        self.path = path
        self._lock = threading.RLock()
        self._database = connect(path)
        if not (path.parent / MARK_FILE).exists() and (kept := self.fact(NO_AGREEMENT, _MARK)):
            write_file(path.parent / MARK_FILE, f"{kept}\n".encode(), 0o600)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sqlite_errors(self.path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # a disk that is full may have undone it already
                    self._database.execute("ROLLBACK")
                raise

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock, sqlite_errors(self.path):
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def _believed(self) -> Iterator[None]:
        """Tell a row that none of ours wrote as damage of the file, of whose structure alone SQLite
        knows whether it is whole."""
        try:
            yield
        except (ValueError, TypeError, KeyError, InputRefused) as error:
            raise damaged(self.path, f"a row of it cannot be read: {error!s:.100}") from None

    # History

    def record(self, subject: Subject, entry: Entry, once: str | None = None, at: float | None = None) -> bool:
        """Append one line to a job's history.

        Args:
            subject: the job, or an audit of it that was asked for again.
            entry: what happened.
            once: where given, the line is appended only if the job has none of this kind with the
                same `once`.
            at: when it happened, in seconds since 1970; None says now.

        Returns:
            whether the line was appended.
        """
        with self._writing() as database:
            return _append(database, subject, entry, once, at)

    def happened(self, subject: Subject, kind: type[Entry]) -> bool:
        """Say whether the job's history has an entry of this kind."""
        query = "SELECT 1 FROM history WHERE agreement = ? AND kind = ? LIMIT 1"
        return bool(self._rows(query, str(subject), kind.kind))

    def has(self, subject: Subject, kind: type[Entry], once: str) -> bool:
        """Say whether the job's history has an entry of this kind that was recorded with this
        `once`."""
        query = "SELECT 1 FROM history WHERE agreement = ? AND kind = ? AND once = ? LIMIT 1"
        return bool(self._rows(query, str(subject), kind.kind, once))

    def last(self, subject: Subject, kind: type[EntryKind]) -> EntryKind:
        """The newest entry of one kind in a job's history.

        Raises:
            NotFound: there is none.
            InputRefused: another release wrote it.
        """
        query = "SELECT * FROM history WHERE agreement = ? AND kind = ? ORDER BY id DESC LIMIT 1"
        for row in self._rows(query, str(subject), kind.kind):
            entry = kind.parse(json.loads(row["body"]))
            assert isinstance(entry, kind)
            return entry
        raise NotFound(f"the history of {subject} has no line {kind.kind!r}")

    def history(self, subject: Subject, after: int = 0) -> list[Line]:
        """The lines of a job's history with an id above `after`, oldest first, those about audits
        that were asked for again among them."""
        last = f"{subject}0"  # what follows on `/`: all that begins with the id and a slash lies between
        query = "SELECT * FROM history WHERE agreement >= ? AND agreement < ? AND id > ? ORDER BY id"
        with self._believed():
            return [_line(row) for row in self._rows(query, str(subject), last, after)]

    def lines(self, subject: Subject, kind: type[Entry]) -> list[Line]:
        """The lines of one kind in the history of a job, or of one of its audits, oldest first."""
        query = "SELECT * FROM history WHERE agreement = ? AND kind = ? ORDER BY id"
        with self._believed():
            return [_line(row) for row in self._rows(query, str(subject), kind.kind)]

    def subjects(self, kind: type[Entry]) -> list[AuditRef]:
        """The jobs, and audits of them, whose history has an entry of this kind."""
        rows = self._rows("SELECT DISTINCT agreement FROM history WHERE kind = ? ORDER BY agreement", kind.kind)
        with self._believed():
            return [AuditRef.parse(row["agreement"]) for row in rows]

    # What a person decided

    def decide(self, subject: Subject, decision: Decision) -> None:
        """Keep a person's decision on a request; the last one counts, and each stands in the
        history."""
        row = (str(subject), decision.decision, decision.reason, json.dumps(decision.concerns), decision.about)
        with self._writing() as database:
            database.execute("REPLACE INTO decisions VALUES (?, ?, ?, ?, ?)", row)
            _append(database, subject, decision.entry, None)

    def decision(self, subject: Subject) -> Decision | None:
        """The decision on a request, if a person made one."""
        with self._believed():
            for row in self._rows("SELECT * FROM decisions WHERE agreement = ?", str(subject)):
                return Decision(row["decision"], row["reason"], tuple(json.loads(row["concerns"])), row["about"])
        return None

    # Small facts about a job that must not be worked out twice (the CID of a delivery, say)

    def keep_fact(self, subject: Subject, name: str, value: str) -> None:
        """Keep a fact about a job; the last value counts."""
        with self._writing() as database:
            database.execute("REPLACE INTO facts VALUES (?, ?, ?)", (str(subject), name, value))

    def fact(self, subject: Subject, name: str) -> str | None:
        """A fact kept about a job."""
        rows = self._rows("SELECT value FROM facts WHERE agreement = ? AND name = ?", str(subject), name)
        return rows[0]["value"] if rows else None

    def facts_named(self, name: str) -> list[tuple[AuditRef, str]]:
        """Every fact of one name, with the job or the audit that it is about."""
        rows = self._rows("SELECT agreement, value FROM facts WHERE name = ? ORDER BY rowid", name)
        with self._believed():
            return [(AuditRef.parse(row["agreement"]), row["value"]) for row in rows]

    # Datasets

    def keep_dataset(self, row: DatasetRow) -> None:
        """Keep a dataset; the same id replaces."""
        with self._writing() as database:
            database.execute(
                "REPLACE INTO datasets VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    str(row.id),
                    str(row.source),
                    json.dumps(row.reading),
                    row.salt,
                    str(row.root),
                    row.card,
                    row.card_cid,
                ),
            )

    def datasets(self) -> list[DatasetRow]:
        """Every dataset of this pod, in the order of registration."""
        with self._believed():
            return [
                DatasetRow(
                    DatasetId(Digest.parse(row["id"])),
                    Path(row["source"]),
                    json.loads(row["reading"]),
                    row["salt"],
                    Root(Digest.parse(row["root"])),
                    row["card"],
                    row["card_cid"],
                )
                for row in self._rows("SELECT * FROM datasets ORDER BY rowid")
            ]

    def dataset(self, id: DatasetId) -> DatasetRow:
        """One dataset.

        Raises:
            NotFound: this pod did not register it.
        """
        for row in self.datasets():
            if row.id == id:
                return row
        raise NotFound(f"the dataset {id.short} was not registered from this home", "see `fitchain data list`")

    # Models

    def keep_model(self, row: ModelRow) -> None:
        """Keep a published model; the same id replaces."""
        names = str(row.id), row.name, str(row.folder), str(row.graph), str(row.initial_model), row.cid
        with self._writing() as database:
            database.execute("REPLACE INTO models VALUES (?, ?, ?, ?, ?, ?, ?)", (*names, json.dumps(row.inputs)))

    def models(self) -> list[ModelRow]:
        """Every model this pod published, in that order."""
        with self._believed():
            return [
                ModelRow(
                    ModelId(Digest.parse(row["id"])),
                    row["name"],
                    Path(row["folder"]),
                    Digest.parse(row["graph"]),
                    Root(Digest.parse(row["initial_model"])),
                    row["cid"],
                    tuple(map(tuple, json.loads(row["inputs"]))),
                )
                for row in self._rows("SELECT * FROM models ORDER BY rowid")
            ]

    def model(self, id: ModelId) -> ModelRow:
        """One published model.

        Raises:
            NotFound: this pod did not publish it.
        """
        for row in self.models():
            if row.id == id:
                return row
        raise NotFound(f"the model {id.short} was not published from this home", "see `fitchain model list`")

    # Requests

    def keep_request(self, row: RequestRow) -> None:
        """Keep a request before it is sent."""
        with self._writing() as database:
            database.execute(
                "REPLACE INTO requests VALUES (?, ?, ?, ?, ?)",
                (str(row.agreement), str(row.salt), json.dumps(row.terms), row.offer, row.recipe),
            )

    def request_ids(self) -> list[AgreementId]:
        """The agreements of these requests."""
        rows = self._rows("SELECT agreement FROM requests ORDER BY rowid")
        return [AgreementId(Digest.parse(row["agreement"])) for row in rows]

    def requests(self) -> list[RequestRow]:
        """Every request this pod made, in that order."""
        with self._believed():
            return [
                RequestRow(
                    AgreementId(Digest.parse(row["agreement"])),
                    Digest.parse(row["salt"]),
                    json.loads(row["terms"]),
                    row["offer"],
                    row["recipe"],
                )
                for row in self._rows("SELECT * FROM requests ORDER BY rowid")
            ]

    def request(self, id: AgreementId) -> RequestRow:
        """One of them.

        Raises:
            NotFound: this pod made no such request.
        """
        for row in self.requests():
            if row.agreement == id:
                return row
        raise NotFound(f"this home did not ask for {id.short}", "see `fitchain job list`")


def require_own(path: Path) -> bool:
    """Check that a journal, where there is one, is whole and this home's; nothing is written.

    Args:
        path: of the journal, in its home's folder.

    Returns:
        whether there is one; False only for a new home.

    Raises:
        InputRefused: another version of Fitchain wrote it.
        HomeDamaged: it is empty, cut, overwritten, another home's, or gone.
        HostUnusable: it cannot be read now.
    """
    mark = path.parent / MARK_FILE
    if not path.exists():
        if mark.exists() or _is_used(path.parent):
            raise damaged(path, "it is gone")
        return False
    if (header := read_header(path)).startswith(MAGIC) and user_version(path, header) == 1:
        raise InputRefused(
            f"{path.parent} is a home of Fitchain 0.2, which protocol 2 does not read: its datasets and jobs are "
            "those of other contracts",
            f"make a new home; a key goes along: `fitchain keys backup FILE --home {path.parent}`, then "
            "`fitchain keys import FILE --home NEW`",
        )
    require_sound(path, _LAYOUT)
    if mark.exists():
        with host_errors(f"{mark} cannot be read"):
            wanted = mark.read_bytes().strip()
        if wanted != _mark_of(path):
            raise damaged(path, f"it is another home's: {mark.name} beside it names another journal")
    return True


def _is_used(home: Path) -> bool:
    """Whether a home has what only a home with a journal comes to."""
    return any((home / name).is_dir() and any((home / name).iterdir()) for name in ("jobs", "datasets", "models"))


def _put_mark(mark: str, database: sqlite3.Connection) -> None:
    database.execute("INSERT INTO facts VALUES (?, ?, ?)", (str(NO_AGREEMENT), _MARK, mark))


def _mark_of(path: Path) -> bytes:
    query = "SELECT value FROM facts WHERE agreement = ? AND name = ?"
    with closing(connect(path)) as database, sqlite_errors(path):
        for row in database.execute(query, (str(NO_AGREEMENT), _MARK)):
            return str(row["value"]).encode()
    return b""


def _append(
    database: sqlite3.Connection, subject: Subject, entry: Entry, once: str | None, at: float | None = None
) -> bool:
    """Append a line to a job's history; whether it was, see `Journal.record`."""
    cursor = database.execute(
        "INSERT OR IGNORE INTO history(agreement, time, kind, body, once) VALUES (?, ?, ?, ?, ?)",
        (str(subject), time.time() if at is None else at, entry.kind, json.dumps(entry.json()), once),
    )
    return cursor.rowcount == 1


def _line(row: sqlite3.Row) -> Line:
    ref = AuditRef.parse(row["agreement"])
    return Line(row["id"], ref.agreement, row["time"], parse_entry(row["kind"], json.loads(row["body"])), ref.ordinal)
