"""Where a passphrase comes from: the first line of a file, or the terminal.

Never the command line, which every process can read, and never the environment, which every child
inherits.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from fitchain.pod.ports.passphrase import FILE_HINT, read_passphrase
from fitchain.pod.values.errors import AccessRefused

VARIABLE = "FITCHAIN_PASSPHRASE_FILE"


def find_passphrase(path: Path | None, again: bool = False) -> str:
    """Read the passphrase from a file where one is named, else ask for it.

    Args:
        path: the file; where absent, the environment may name one.
        again: whether it is typed twice, for new keys.
    """
    named = _named(path)
    return read_passphrase(named) if named else ask_passphrase(again)


def is_asked(path: Path | None) -> bool:
    """Whether `find_passphrase` asks a person: no file is named, and there is a terminal."""
    return _named(path) is None and _has_terminal()


def _named(path: Path | None) -> Path | None:
    return path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)


def _has_terminal() -> bool:
    return bool(sys.stdin and sys.stdin.isatty())  # a closed one is None


def ask_passphrase(again: bool = False) -> str:
    """Ask for a passphrase on the terminal, without echo.

    Args:
        again: whether it is typed twice, for new keys.

    Raises:
        AccessRefused: there is no terminal to ask on, nothing was typed, or the two differ.
    """
    if not _has_terminal():
        raise AccessRefused("no passphrase was given and there is no terminal to ask on", FILE_HINT)
    passphrase = getpass.getpass("passphrase: ")
    if not passphrase:
        raise AccessRefused("the passphrase is empty")
    if again and getpass.getpass("once more: ") != passphrase:
        raise AccessRefused("the two passphrases differ", "nothing was written; try again")
    return passphrase
