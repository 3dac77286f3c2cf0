"""Reading files that somebody else made, no more of them than may be there."""

from __future__ import annotations

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

from fitchain.pod.values.errors import HostUnusable, InputRefused, NotFound, reason_of

WRITTEN_BY_HAND = 1 << 20
"""Bytes of a file that a person writes, such as settings or a recipe's draft."""


def read_at_most(path: Path, limit_bytes: int) -> bytes:
    """Read a file of at most so many bytes.

    Raises:
        NotFound: there is no such file.
        InputRefused: it has more bytes, or is no file.
        HostUnusable: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except IsADirectoryError:
        raise InputRefused(f"{path} is a folder and not a file") from None
    except OSError as error:
        raise HostUnusable(f"{path} cannot be read: {reason_of(error)}") from None
    if len(data) > limit_bytes:
        raise InputRefused(f"{path.name} has more than {limit_bytes} bytes, which is the limit")
    return data


def read_text(path: Path, limit_bytes: int = WRITTEN_BY_HAND) -> str:
    """Read a text that a person wrote; a mark of byte order that an editor put before it is no part
    of it.

    Raises:
        NotFound, InputRefused, HostUnusable: as `read_at_most` and `decoded`.
    """
    return decoded(read_at_most(path, limit_bytes), str(path))


def decoded(data: bytes, what: str) -> str:
    """A person's text, which is UTF-8 whatever the locale says, without a mark of byte order.

    Args:
        data: its bytes.
        what: how messages call it; nothing of its content is shown.

    Raises:
        InputRefused: it is no UTF-8, or UTF-16.
    """
    data = data.removeprefix(BOM_UTF8)
    if fault := encoding_fault(data):
        raise InputRefused(f"{what} {fault}", "save it as UTF-8")
    return data.decode()


def encoding_fault(data: bytes) -> str:
    """What keeps bytes from being UTF-8 text as programs write it, as the rest of a sentence; empty
    where nothing does."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in data[:4]:
        return "is UTF-16 text, as some editors save it, or no text at all"
    if data.startswith(BOM_UTF8):
        return "begins with a mark of byte order, as some editors save UTF-8"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return f"is no UTF-8 text: line {line} holds the byte 0x{data[error.start]:02x}"
    return ""
