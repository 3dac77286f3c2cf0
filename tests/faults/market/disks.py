"""Small disks: a tmpfs each, which can be filled and made read-only."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FILL = ".filled"
PIECE = bytes(1 << 20)


@dataclass(frozen=True)
class Disk:
    """A disk of its own at a folder, or, where nothing can be mounted here, a plain folder.

    Args:
        path: of the folder.
        mounted: whether it is a disk.
    """

    path: Path
    mounted: bool

    def fill(self) -> bool:
        """Leave no byte free; whether that could be done."""
        if not self.mounted:
            return False
        try:
            with (self.path / FILL).open("ab", buffering=0) as file:
                while True:
                    file.write(PIECE)
        except OSError as error:
            return error.errno == errno.ENOSPC

    def free(self) -> None:
        """Give the room back, to a disk that is read-only by now, too."""
        self.writable()
        (self.path / FILL).unlink(missing_ok=True)

    def read_only(self) -> bool:
        """Let nobody write; whether that could be done: a file that is open for writing forbids it."""
        return self.mounted and not _run("mount", "-o", "remount,ro", str(self.path))

    def writable(self) -> None:
        """Let everybody write again."""
        if self.mounted:
            assert not _run("mount", "-o", "remount,rw", str(self.path))


@contextmanager
def disk(path: Path, megabytes: int) -> Iterator[Disk]:
    """A disk of some megabytes at a folder as long as the block lasts."""
    path.mkdir(parents=True, exist_ok=True)
    mounted = not _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(path))
    try:
        yield Disk(path, mounted)
    finally:
        if mounted and _run("umount", str(path)):
            _run("umount", "--lazy", str(path))


def _run(*command: str) -> int:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode
    except FileNotFoundError:
        return 127
