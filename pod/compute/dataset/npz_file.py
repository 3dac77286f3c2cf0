"""NPZ files: arrays of any rank, never pickled objects.

What an array's header promises is compared with what the archive holds before anything is
allocated.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sized
from pathlib import Path

import numpy as np

from fitchain.pod.compute.dataset.columns import DTYPES, MOCK_MARK, Array, Found, Wanted
from fitchain.pod.values.errors import InputRefused

_FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END, _END_BYTES, _MOST_COMMENT_BYTES = b"PK\x05\x06", 22, 0xFFFF
_SEVERAL = 0xFFFF
"""In place of the number of members where that stands in the archive's 64-bit record."""


def read_npz(path: Path, wanted: Wanted, target: str | None, categories: tuple[str, ...], limit_bytes: int) -> Found:
    """Read an NPZ file (the terms are `Table.read`'s).

    Raises:
        InputRefused: it is no such table.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            _require_whole(path, members)
            names = wanted.among(members, target)
            kept = {name: member for name, member in members.items() if name in names}
            total_bytes = sum(member.file_size for member in kept.values())
            if total_bytes > limit_bytes:
                raise InputRefused(f"the arrays have {total_bytes} bytes and the limit is {limit_bytes}")
            arrays = {name: _read_array(archive, name, member) for name, member in kept.items()}
            return Found(arrays, categories, archive.comment == MOCK_MARK.encode())
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputRefused(f"the file is no intact NPZ archive: {error}") from None


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name == member.filename:
            raise InputRefused(f"the archive holds {name!r}, which is no .npy array")
        if name in members:
            raise InputRefused(f"the column {name!r} stands twice")
        if member.compress_type not in _PACKINGS:
            raise InputRefused(
                f"the column {name!r} is packed by method {member.compress_type}", "write it by np.savez"
            )
        members[name] = member
    return members


def _require_whole(path: Path, members: Sized) -> None:
    """Compare how many members an archive says it has with those that its directory lists.

    `zipfile` does not: one damaged length lets an entry of the directory swallow the next one as
    its comment, and the column is gone without a word.
    """
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _END_BYTES - _MOST_COMMENT_BYTES, 0))
        tail = file.read()
    (said,) = struct.unpack_from("<H", tail, tail.rfind(_END) + 10)
    if said not in (len(members), _SEVERAL):
        raise InputRefused(f"the archive says that it holds {said} arrays and lists {len(members)}", "write it anew")


def _read_array(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> Array:
    """Read one array, having compared what its header promises with what the archive holds."""
    with archive.open(member) as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, fortran, dtype = read_header[version](file)
        except (ValueError, KeyError) as error:
            raise InputRefused(f"column {name!r} has no readable array header: {error}") from None
        if dtype.hasobject or dtype.name not in DTYPES:
            raise InputRefused(
                f"column {name!r} has dtype {dtype}, not one of {', '.join(DTYPES)}",
                "objects and texts are not read: they would have to be unpickled",
            )
        promised, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if promised != held or any(size < 0 for size in shape):
            raise InputRefused(f"column {name!r} promises {promised} bytes and the archive holds {held}")
        data = file.read()
        if len(data) != held:
            raise InputRefused(f"column {name!r} promises {held} bytes and ends after {len(data)}")
        flat = np.frombuffer(data, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def write_npz(path: Path, arrays: Iterable[tuple[str, Array]], mock: bool) -> None:
    """Write arrays as an NPZ file whose bytes depend on nothing but them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = MOCK_MARK.encode() if mock else b""
        for name, array in arrays:
            member = zipfile.ZipInfo(f"{name}.npy", _FIRST_ZIP_DATE)
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
