"""Reading files that somebody else made, no more of them than may be there."""

from __future__ import annotations

from pathlib import Path

from fitchain.pod.values.errors import HostUnusable, InputRefused, NotFound, reason_of


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
