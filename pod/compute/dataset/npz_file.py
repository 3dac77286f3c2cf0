"""NPZ files: arrays of any rank, never pickled objects.

How long the archive's directory is, what it says of the arrays and what their headers promise are
compared before anything is allocated, and no more is unpacked than the directory says.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from fitchain.pod.compute.dataset.columns import DTYPES, MOCK_MARK, SLAB_ROWS, Array
from fitchain.pod.compute.dataset.source import NO_KINDS, Slab, Typed, plain_name
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import ARCHIVE_DIRECTORY_BYTES, ARRAY_HEADER_BYTES, MOST_COLUMNS, MOST_RANK, TABLE_BYTES

_FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END, _END_BYTES, _MOST_COMMENT_BYTES = b"PK\x05\x06", 22, 0xFFFF
_PIECE_BYTES = 1 << 20
_SEVERAL = 0xFFFF
"""In place of the number of members where that stands in the archive's 64-bit record."""


class NpzFile:
    """An NPZ file as a source of records: an array a column.

    Args:
        path: the file.
        limit_bytes: the most bytes of arrays that are read.

    Raises:
        InputRefused: it is no such file.
        OSError: it cannot be read.
    """

    place_word = "record"
    kinds = NO_KINDS

    def __init__(self, path: Path, limit_bytes: int = TABLE_BYTES) -> None:
        self.path, self.limit_bytes = path, limit_bytes
        with _archive(path) as archive, _whole():
            members = _members(archive)
            _require_whole(path, members)
            self.mock = archive.comment == MOCK_MARK.encode()
        self._members = tuple(members)

    @property
    def names(self) -> Sequence[str]:
        """Of the arrays."""
        return tuple(map(plain_name, self._members))

    @property
    def dialect(self) -> Mapping[str, Any]:
        """Nothing of it is a guess."""
        return {}

    def arrays(self) -> dict[str, Array]:
        """All arrays whole, `[count, *shape]`, by name.

        Raises:
            InputRefused: they are not intact, too large together, or of different lengths.
        """
        with _archive(self.path) as archive, _whole():
            members = _members(archive)
            if (total := sum(member.file_size for member in members.values())) > self.limit_bytes:
                raise InputRefused(f"the arrays have {total} bytes and the limit is {self.limit_bytes}")
            arrays = [_read_array(archive, name, member) for name, member in members.items()]
        _length_of_all({name: array.shape for name, array in zip(members, arrays, strict=True)}, may_be_none=True)
        return dict(zip(self.names, arrays, strict=True))

    def slabs(self, columns: Collection[int]) -> Iterator[Slab]:
        """The records, some thousands at a time; no more of them are held."""
        with _archive(self.path) as archive, _whole(), ExitStack() as stack:
            members = _members(archive)
            wanted = {position: self._members[position] for position in sorted(columns)}
            if (total := sum(members[name].file_size for name in wanted.values())) > self.limit_bytes:
                raise InputRefused(f"the arrays have {total} bytes and the limit is {self.limit_bytes}")
            readers = {
                position: stack.enter_context(_Reader(archive, name, members[name]))
                for position, name in wanted.items()
            }
            count = _length_of_all({wanted[position]: reader.shape for position, reader in readers.items()})
            for low in range(0, count, SLAB_ROWS):
                high = min(low + SLAB_ROWS, count)
                cells = {position: Typed(_widened(reader.next(high - low))) for position, reader in readers.items()}
                yield Slab(range(low + 1, high + 1), cells, high / count)


class _Reader(AbstractContextManager["_Reader"]):
    """One array of an archive, read some records at a time.

    Raises:
        InputRefused: as `_read_array`.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> None:
        self.name, self.taken = name, 0
        self.file = archive.open(member)
        with _closed_if_refused(self.file):
            self.shape, self.fortran, self.dtype = _checked_header(self.file, name, member)
        self.whole: Array | None = None

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def next(self, count: int) -> Array:
        """The cells of so many more records, `[count, *shape]`.

        An array of several axes in Fortran's order has a record's cells all over it, and is read
        whole.
        """
        if self.fortran and len(self.shape) > 1:
            if self.whole is None:
                self.whole = self._array(self.shape[::-1]).T
            self.taken += count
            return self.whole[self.taken - count : self.taken]
        self.taken += count
        return self._array((count, *self.shape[1:]))

    def _array(self, shape: tuple[int, ...]) -> Array:
        size = math.prod(shape) * self.dtype.itemsize
        data = _read(self.file, size)
        if len(data) != size:
            raise InputRefused(f"column {self.name!r:.80} ends before its last record")
        return np.frombuffer(data, self.dtype).reshape(shape)


@contextmanager
def _closed_if_refused(file: IO[bytes]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        file.close()
        raise


def _length_of_all(shapes: Mapping[str, tuple[int, ...]], may_be_none: bool = False) -> int:
    """How many records there are.

    Raises:
        InputRefused: none where there should be one, or not as many in each array.
    """
    first = next(iter(shapes), "")
    for name, shape in shapes.items():
        if not shape:
            raise InputRefused(f"column {name!r} is a single value and has no records")
        if shape[0] != shapes[first][0]:
            raise InputRefused(f"column {first!r} has {shapes[first][0]} records and column {name!r} {shape[0]}")
    count = shapes[first][0] if shapes else 0
    if not count and not may_be_none:
        raise InputRefused("the table has no record")
    return count


def _widened(array: Array) -> Array:
    """Halves as single floats, which hold them exactly."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def read_npz(path: Path, limit_bytes: int = TABLE_BYTES) -> tuple[dict[str, Array], bool]:
    """All arrays of an NPZ file by name, as they are, and whether it is marked as mock data.

    Raises:
        InputRefused: it is no such file, or too large.
    """
    file = NpzFile(path, limit_bytes)
    return file.arrays(), file.mock


@contextmanager
def _whole() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise InputRefused(f"the file is no intact NPZ archive: {error}") from None


def check_npz(path: Path, limit_bytes: int) -> None:
    """Refuse an archive that unpacks to more than may be, or holds what is no array, before anybody
    unpacks it.

    Raises:
        InputRefused: it does.
    """
    with _archive(path) as archive:
        unpacked = sum(member.file_size for member in _members(archive).values())
    if unpacked > limit_bytes:
        raise InputRefused(f"{path.name} unpacks to {unpacked} bytes and the limit is {limit_bytes}")


_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error)
"""What `zipfile` raises over an archive that is none."""


class _Measured(io.BufferedReader):
    """A file of which no more is read at once than an archive's directory may have, while one is
    looked for: `zipfile` takes its length from the file itself."""

    directory_bytes: int | None = ARCHIVE_DIRECTORY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        if self.directory_bytes is not None and size is not None and size > self.directory_bytes:
            raise InputRefused(f"the archive's directory has {size} bytes and the limit is {self.directory_bytes}")
        return super().read(size)


_NO_HEADER = (ValueError, LookupError, TypeError, SyntaxError, RecursionError, ArithmeticError, MemoryError, TokenError)
"""What Python's own reader of literals, and of their tokens, raises over a foreign header, which is
short."""


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive whose directory has been read."""
    with _Measured(io.FileIO(path)) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (*_BROKEN, ValueError, OverflowError) as error:
            raise InputRefused(f"the file is no intact NPZ archive: {error}") from None
        file.directory_bytes = None
        with archive:
            yield archive


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    if len(archive.infolist()) > MOST_COLUMNS:
        raise InputRefused(f"the archive holds {len(archive.infolist())} arrays and the limit is {MOST_COLUMNS}")
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name == member.filename:
            raise InputRefused(f"the archive holds {name!r:.80}, which is no .npy array")
        if name in members:
            raise InputRefused(f"the column {name!r:.80} stands twice")
        if member.compress_type not in _PACKINGS:
            raise InputRefused(
                f"the column {name!r:.80} is packed by method {member.compress_type}", "write it by np.savez"
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
    (said,) = struct.unpack_from("<H", tail, tail.rfind(_END) + 10)  # `zipfile` has found it there
    if said not in (len(members), _SEVERAL):
        raise InputRefused(f"the archive says that it holds {said} arrays and lists {len(members)}", "write it anew")


def _read_array(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> Array:
    """Read one array, having compared what its header promises with what the archive holds."""
    with archive.open(member) as file:
        shape, fortran, dtype = _checked_header(file, name, member)
        held = member.file_size - file.tell()
        data = _read(file, held)
        if len(data) != held:
            raise InputRefused(f"column {name!r:.80} promises {held} bytes and ends after {len(data)}")
        flat = np.frombuffer(data, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _checked_header(file: IO[bytes], name: str, member: zipfile.ZipInfo) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of an array that its member of the archive holds."""
    try:
        shape, fortran, dtype = _read_array_header(file)
    except _NO_HEADER as error:
        raise InputRefused(f"column {name!r:.80} has no readable array header: {error}") from None
    if dtype.hasobject or dtype.name not in (*DTYPES, "float16"):
        raise InputRefused(
            f"column {name!r:.80} has dtype {dtype!s:.80}, not one of {', '.join(DTYPES)}",
            "objects and texts are not read: they would have to be unpickled",
        )
    promised, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
    if len(shape) > MOST_RANK + 1:
        raise InputRefused(f"column {name!r:.80} has cells of rank {len(shape) - 1}; at most rank {MOST_RANK}")
    if promised != held or any(not 0 <= size < 1 << 48 for size in shape):
        raise InputRefused(f"column {name!r:.80} promises {promised} bytes and the archive holds {held}")
    return shape, fortran, dtype


def _read_array_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """An array's header, whose length is looked at before it is read."""
    version = np.lib.format.read_magic(file)
    length_bytes, read_header = {
        (1, 0): (2, np.lib.format.read_array_header_1_0),
        (2, 0): (4, np.lib.format.read_array_header_2_0),
    }[version]
    announced = _read(file, length_bytes)
    if (length := int.from_bytes(announced, "little")) > ARRAY_HEADER_BYTES:
        raise ValueError(f"it has {length} bytes and the limit is {ARRAY_HEADER_BYTES}")
    return read_header(io.BytesIO(announced + _read(file, length)), max_header_size=ARRAY_HEADER_BYTES)


def _read(file: IO[bytes], count: int) -> bytes:
    """So many bytes at most, however many the file unpacks to."""
    pieces = []
    while count > 0 and (piece := file.read(min(count, _PIECE_BYTES))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def write_npz(path: Path, arrays: Iterable[tuple[str, Array]], mock: bool) -> None:
    """Write arrays as an NPZ file whose bytes depend on nothing but them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = MOCK_MARK.encode() if mock else b""
        for name, array in arrays:
            member = zipfile.ZipInfo(f"{name}.npy", _FIRST_ZIP_DATE)
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
