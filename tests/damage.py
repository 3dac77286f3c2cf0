"""Ways in which a file of a home can be damaged, and disks that are full or read-only."""

from __future__ import annotations

import random
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

Damage = Callable[[Path], object]


def overwrite(path: Path) -> None:
    """Random bytes in place of all of it."""
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def cut(path: Path) -> None:
    """Half of it is gone."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def cut_short(path: Path) -> None:
    """All but a few bytes is gone."""
    path.write_bytes(path.read_bytes()[:50])


def empty(path: Path) -> None:
    """A file without a byte."""
    path.write_bytes(b"")


def zero(path: Path) -> None:
    """As long as before, and nothing but zeros."""
    path.write_bytes(bytes(path.stat().st_size))


def zero_the_middle(path: Path) -> None:
    """A head that is as it was, and zeros after it."""
    data = path.read_bytes()
    path.write_bytes(data[:4096] + bytes(len(data) - 4096))


def another_program(path: Path) -> None:
    """A sound database of somebody else's."""
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE songs(title TEXT)")
        database.execute("PRAGMA user_version = 2")


def text(path: Path) -> None:
    """A page that a server sent in its place."""
    path.write_text("<html>404</html>\n" * 40)


DAMAGES: tuple[Damage, ...] = (
    overwrite,
    cut,
    cut_short,
    empty,
    zero,
    zero_the_middle,
    another_program,
    text,
)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """A disk of its own, of so many KiB, in a folder; root alone may mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Nothing can be written to a disk as long as the block lasts."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@contextmanager
def full(disk: Path, left_bytes: int = 0) -> Iterator[None]:
    """Nothing more fits on a disk, but so many bytes, as long as the block lasts."""
    ballast = disk / ".ballast"
    with ballast.open("wb", buffering=0) as file:
        size = 1 << 16
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size >>= 1
        if left_bytes:
            file.truncate(max(file.tell() - left_bytes, 0))
    try:
        yield
    finally:
        ballast.unlink()
