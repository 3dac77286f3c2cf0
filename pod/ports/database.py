"""A home's databases (SQLite): each appears whole, is looked at before it is believed, and whatever
SQLite says is told as an error of ours.

A database is one file, and all that was committed is in it: transactions are undone by a rollback
journal and not kept in a write-ahead log, a file of its own that could be lost or cut and leave an
older state that looks whole. A reader needs no room on the disk either.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from fitchain.pod.values.errors import HomeDamaged, HostUnusable, InputRefused, host_errors
from fitchain.pod.values.state import sync_folder

BUSY_S = 30.0
"""How long another process of the home is waited for."""

MAGIC, HEADER_BYTES = b"SQLite format 3\0", 100
"""What every database begins with (https://sqlite.org/fileformat.html, 1.3)."""

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_DAMAGE_READ = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})
_HOST = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_PERM: "this account may not",
    sqlite3.SQLITE_AUTH: "this account may not",
    sqlite3.SQLITE_IOERR: "its disk gives an error",
    sqlite3.SQLITE_NOMEM: "memory ran out",
    sqlite3.SQLITE_BUSY: "another process holds it",
    sqlite3.SQLITE_LOCKED: "another process holds it",
    sqlite3.SQLITE_PROTOCOL: "another process holds it",
    sqlite3.SQLITE_NOLFS: "its disk takes no file of that size",
}


@dataclass(frozen=True)
class Layout:
    """What a database holds.

    Args:
        schema: the statements that make it.
        version: its `user_version`.
    """

    schema: str
    version: int = 0


def damaged(path: Path, why: str) -> HomeDamaged:
    """The error that says of a file of a home that it cannot be believed, and the way back."""
    return HomeDamaged(
        f"{path} is damaged: {why}",
        f"put the home back from a copy, or `fitchain pod recover --home {path.parent}`: it moves the file aside and "
        "makes another of what the keys, the chain and the job folders tell",
    )


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Translate what SQLite says about a database: from here on there are only Fitchain's errors.

    Raises:
        HostUnusable: this host lacks room, rights or memory, or another process holds it.
        HomeDamaged: it is none any more.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(path, error) from error


def _translated(path: Path, error: sqlite3.Error) -> Exception:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        undecodable = isinstance(error, sqlite3.OperationalError) and "decode" in str(error)
        return damaged(path, f"{error}") if undecodable else error
    if code in _DAMAGE_READ or code & 0xFF in _DAMAGE:
        return damaged(path, str(error))
    if (why := _HOST.get(code & 0xFF)) is None:
        return error
    return HostUnusable(f"{path} cannot be used now: {why}", "mend that, on its disk: what waits goes on by itself")


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """Open a database that is there; whoever opens it closes it.

    Raises:
        HostUnusable, HomeDamaged: as `sqlite_errors`.
    """
    with sqlite_errors(path):
        uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
        database = sqlite3.connect(uri, timeout=BUSY_S, isolation_level=None, check_same_thread=False, uri=True)
        try:
            database.row_factory = sqlite3.Row
            if not read_only:
                database.execute("PRAGMA journal_mode = TRUNCATE")
                database.execute("PRAGMA synchronous = FULL")
        except BaseException:
            database.close()
            raise
        return database


def create(path: Path, layout: Layout, fill: Callable[[sqlite3.Connection], None] = lambda database: None) -> bool:
    """Make a database that appears whole or not at all.

    Args:
        path: where; its folder is made when absent.
        layout: what it holds.
        fill: puts its first rows in.

    Returns:
        whether it was made; False where another process was quicker.

    Raises:
        HostUnusable: this host has no room for it, or does not let it be written.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    with host_errors(f"{path} cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.touch(mode=0o600)
            with sqlite_errors(path), closing(connect(part)) as database:
                database.execute("BEGIN IMMEDIATE")
                for statement in layout.schema.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {layout.version}")
                fill(database)
                database.execute("COMMIT")
            os.link(part, path)
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
            part.with_name(f"{part.name}-journal").unlink(missing_ok=True)
        sync_folder(path.parent)
    return True


def require_sound(path: Path, layout: Layout) -> None:
    """Check that a database is whole and of this layout; nothing is written.

    Raises:
        HomeDamaged: it is empty, cut, overwritten, or somebody else's.
        InputRefused: a later Fitchain made it.
        HostUnusable: it cannot be read now.
    """
    header = read_header(path)
    if not header:
        raise damaged(path, "it is empty")
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise damaged(path, "it does not begin as a database does")
    log = path.with_name(f"{path.name}-wal")
    if not keeps_log(header) and log.exists() and log.stat().st_size:
        raise damaged(path, f"{log.name} beside it is none of its own")
    version, wanted = user_version(path, header), _wanted(layout.schema)
    with closing(connect(path)) as database, sqlite_errors(path):
        if (verdict := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise damaged(path, " ".join(str(verdict).split()))
        columns = _columns(database)
    if version > layout.version and columns.keys() & wanted.keys():
        raise InputRefused(
            f"{path} is of a later Fitchain: its version is {version}, and this one's {layout.version}",
            "use that Fitchain, or a home of its own for this one",
        )
    if version != layout.version or any(columns.get(name) != names for name, names in wanted.items()):
        raise damaged(path, f"it holds {', '.join(sorted(columns)) or 'nothing'}, and not what a home keeps there")


def read_header(path: Path) -> bytes:
    """The first bytes of a database.

    Raises:
        HostUnusable: it cannot be read.
    """
    with host_errors(f"{path} cannot be read"), path.open("rb") as file:
        return file.read(HEADER_BYTES)


def keeps_log(header: bytes) -> bool:
    """Whether a database has a write-ahead log, as those of Fitchain 0.2 do."""
    return header[18:19] == b"\2"


def user_version(path: Path, header: bytes) -> int:
    """The version that whoever made a database wrote into it.

    Raises:
        HostUnusable, HomeDamaged: as `sqlite_errors`.
    """
    if not keeps_log(header):
        return int.from_bytes(header[60:64], "big")
    with closing(connect(path, read_only=True)) as database, sqlite_errors(path):  # it may stand in the log alone
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def _columns(database: sqlite3.Connection) -> dict[str, list[str]]:
    """The columns of every table."""
    names = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    query = "SELECT name FROM pragma_table_info(?)"
    return {name: [row[0] for row in database.execute(query, (name,))] for name in names}


@lru_cache
def _wanted(schema: str) -> dict[str, list[str]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(schema)
        return _columns(database)
