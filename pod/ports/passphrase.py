"""Passphrases: from a file's first line, or from whoever is asked.

Never a literal in a program, never the command line, which every process can read, and never the
environment, which every child inherits.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from fitchain.pod.values.errors import AccessRefused, InputRefused, NotFound, reason_of
from fitchain.pod.values.reading import decoded

LONGEST_BYTES = 4096
FILE_HINT = "name a file whose first line it is, with --passphrase-file FILE or FITCHAIN_PASSPHRASE_FILE"

Passphrase: TypeAlias = Path | Callable[[], str]
"""A file, whose first line it is, or what asks for it: `getpass.getpass`, say."""


def passphrase_of(source: Passphrase) -> str:
    """Get a passphrase from where it is.

    Raises:
        NotFound, AccessRefused: as `read_passphrase`; or whatever the callable raises.
        InputRefused: it is neither; a text could be a passphrase in a program, or a file's name.
    """
    if isinstance(source, Path):
        return read_passphrase(source)
    if not callable(source):
        raise InputRefused(
            f"a passphrase comes from a file or from whoever is asked, not from a {type(source).__name__}",
            "give pathlib.Path(FILE), or a callable such as getpass.getpass",
        )
    return source()


def read_passphrase(path: Path) -> str:
    """Read a passphrase from the first line of a file.

    A mark of byte order that an editor put before it is no part of it.

    Raises:
        NotFound: the file cannot be read.
        InputRefused: its first line is no UTF-8.
        AccessRefused: its first line is empty, or others than its owner may read it.
    """
    try:
        with path.open("rb") as file:
            _require_private(path, os.fstat(file.fileno()).st_mode)
            line = file.readline(LONGEST_BYTES)
    except OSError as error:
        raise NotFound(f"the passphrase file {path} cannot be read: {reason_of(error)}", FILE_HINT) from None
    passphrase = decoded(line, f"the first line of the passphrase file {path}").rstrip("\r\n")
    if not passphrase:
        raise AccessRefused(f"the first line of {path} is empty and should be the passphrase", FILE_HINT)
    return passphrase


def _require_private(path: Path, mode: int) -> None:
    """Check that nobody but a file's owner can read it; a pipe is nobody else's.

    Raises:
        AccessRefused: the group or others can.
    """
    if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AccessRefused(
            f"the passphrase file {path} is open to others (mode {stat.S_IMODE(mode):04o}), and would be 0600",
            f"chmod 600 {path}; if somebody may have read it, make a new key and move what the old one has",
        )
