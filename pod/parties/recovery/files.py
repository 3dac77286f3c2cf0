"""Which files of a home cannot be believed, and putting them aside."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from fitchain.pod.jobs.journal import JOURNAL_FILE, require_own
from fitchain.pod.ports.chain.known import KNOWN_FILE, KnownChain
from fitchain.pod.ports.chain.queue import LAYOUT, QUEUE_FILE
from fitchain.pod.ports.database import require_sound
from fitchain.pod.values.errors import HomeDamaged, InputRefused, host_errors
from fitchain.pod.values.state import sync_folder

BESIDE = ("-journal", "-wal", "-shm")
"""What SQLite may have beside a database, and what belongs to no other."""


def damage_of(home: Path) -> dict[str, str]:
    """Why files of a home cannot be believed, by their names; nothing is written.

    Raises:
        InputRefused: the home is another version's, which no recovery mends.
        HostUnusable: a file cannot be read now.
    """
    damage: dict[str, str] = {}
    try:
        require_own(home / JOURNAL_FILE)
    except HomeDamaged as error:
        damage[JOURNAL_FILE] = error.message
    if (queue := home / QUEUE_FILE).exists():
        try:
            require_sound(queue, LAYOUT)
        except HomeDamaged as error:
            damage[QUEUE_FILE] = error.message
    elif (home / KNOWN_FILE).exists():
        damage[QUEUE_FILE] = f"{queue} is damaged: it is gone"
    try:
        KnownChain.read(home)
    except InputRefused as error:
        damage[KNOWN_FILE] = error.message
    return damage


def put_aside(home: Path, names: Iterable[str]) -> list[Path]:
    """Move files of a home, with what lies beside them, into a folder of their own.

    Returns:
        where they lie now.

    Raises:
        HostUnusable: they cannot be moved.
    """
    present = [home / f"{name}{end}" for name in names for end in ("", *BESIDE) if (home / f"{name}{end}").exists()]
    if not present:
        return []
    with host_errors(f"the damaged files of {home} cannot be put aside"):
        folder = _new_folder(home)
        moved = [path.rename(folder / path.name) for path in present]
        for changed in (folder, home):
            sync_folder(changed)
    return moved


def copy_aside(home: Path, name: str) -> Path:
    """Put a copy of a damaged file into a folder of its own, and leave the file until another one
    takes its place: a home that lacks it would not be known for a damaged one.

    Returns:
        where the copy lies.

    Raises:
        HostUnusable: it cannot be copied.
    """
    with host_errors(f"the damaged files of {home} cannot be put aside"):
        folder = _new_folder(home)
        os.link(home / name, folder / name)
        for changed in (folder, home):
            sync_folder(changed)
    return folder / name


def _new_folder(home: Path) -> Path:
    """A folder for damaged files that is not there yet."""
    name = f"damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    for number in range(1, 1000):
        folder = home / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"{home / name} and a thousand others are there")
