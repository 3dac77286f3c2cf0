"""Leaves: the digests of very many records, end to end, and the tree over them.

Beside the digests themselves, which lie in memory or in a file, the tree keeps the roots of blocks
of 256: a 128th of all its nodes. A path reads the block that its leaf is in, and builds that anew.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, overload

import numpy as np

from fitchain.pod.compute.dataset.rows import beside, each_row, new_scratch
from fitchain.pod.values.digest import DIGEST_BYTES, Digest, path_in, tree_levels
from fitchain.pod.values.errors import InputRefused, host_errors

BLOCK_LEVELS = 8
BLOCK = 1 << BLOCK_LEVELS
PIECE = 1 << 15
"""Leaves that are compared or copied at once."""


class Leaves(Sequence[bytes]):
    """Leaves in order, 32 bytes each.

    Args:
        held: all of them, or the file that holds them and nothing else.

    Raises:
        InputRefused: they are no whole number, or none.
    """

    def __init__(self, held: bytes | IO[bytes]) -> None:
        self._held = held
        size = len(held) if isinstance(held, bytes) else os.fstat(held.fileno()).st_size
        if not size or size % DIGEST_BYTES:
            if not isinstance(held, bytes):
                held.close()
            raise InputRefused(f"leaves of {DIGEST_BYTES} bytes are not {size} bytes")
        self._count = size // DIGEST_BYTES
        if not isinstance(held, bytes):
            weakref.finalize(self, held.close)

    @classmethod
    def of(cls, pieces: Iterable[bytes], folder: Path | None) -> Leaves:
        """Gather leaves.

        Args:
            pieces: some leaves each, in order.
            folder: where they go, in a file without a name; None keeps them in memory.

        Raises:
            HostUnusable: the disk is full.
        """
        if folder is None:
            return cls(b"".join(pieces))
        with host_errors(f"{folder} cannot be written"):
            file = new_scratch(folder)
        try:
            for piece in pieces:
                with host_errors(f"{folder} cannot be written"):
                    file.write(piece)
            with host_errors(f"{folder} cannot be written"):
                file.flush()
            return cls(file)
        except BaseException:
            file.close()
            raise

    @classmethod
    def open(cls, path: Path) -> Leaves:
        """Those of a file that `save` wrote.

        Raises:
            InputRefused: it holds something else.
            OSError: it cannot be read.
        """
        return cls(path.open("rb"))

    def save(self, path: Path) -> None:
        """Keep them in a file, for its owner alone, which appears whole or not at all.

        Raises:
            HostUnusable: the disk is full.
        """
        part = path.with_name(f".{path.name}.part")
        with host_errors(f"{path} cannot be written"):
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                for low in range(0, self._count, PIECE):
                    file.write(self.read(low, low + PIECE))
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)

    def read(self, low: int, high: int) -> bytes:
        """The leaves from `low` to before `high`, end to end."""
        start, stop = low * DIGEST_BYTES, min(high, self._count) * DIGEST_BYTES
        if isinstance(self._held, bytes):
            return self._held[start:stop]
        return os.pread(self._held.fileno(), stop - start, start)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Leaves: ...
    def __getitem__(self, index: int | slice) -> bytes | Leaves:
        if isinstance(index, slice):
            low, high, step = index.indices(self._count)
            assert step == 1
            return Leaves(self.read(low, high))
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self.read(index % self._count, index % self._count + 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Leaves) and len(self) == len(other) and self.first_difference(other) is None

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def first_difference(self, other: Leaves) -> int | None:
        """The first place at which both have a leaf and not the same; None where there is none."""
        for low in range(0, min(len(self), len(other)), PIECE):
            own, others = self.read(low, low + PIECE), other.read(low, low + PIECE)
            size = min(len(own), len(others))
            if own[:size] != others[:size]:
                pairs = zip(_each(own), _each(others), strict=False)
                return low + next(at for at, (mine, theirs) in enumerate(pairs) if mine != theirs)
        return None

    @property
    def root(self) -> Digest:
        """Root of the RFC 6962 tree over them."""
        return Digest(self._above[-1][0])

    def path(self, index: int) -> tuple[Digest, ...]:
        """Audit path of a leaf, from it upwards, as `digest.inclusion_path` gives it.

        Raises:
            InputRefused: there is no such leaf.
        """
        if not 0 <= index < self._count:
            raise InputRefused(f"the tree has {self._count} entries and none of index {index}")
        block, position = divmod(index, BLOCK)
        levels = tree_levels(list(_each(self.read(block * BLOCK, (block + 1) * BLOCK))))
        return path_in(levels, position) + path_in(self._above, block)

    @cached_property
    def _above(self) -> list[list[bytes]]:
        """The tree's levels from the roots of blocks on."""
        sha = hashlib.sha256
        levels = [[root for low in range(0, self._count, PIECE) for root in _block_roots(self.read(low, low + PIECE))]]
        while len(levels[-1]) > 1:
            row = levels[-1]
            above = [sha(b"\x01" + row[at] + row[at + 1]).digest() for at in range(0, len(row) - 1, 2)]
            levels.append(above + row[len(above) * 2 :])
        return levels


def _each(data: bytes) -> Iterator[bytes]:
    return (data[start : start + DIGEST_BYTES] for start in range(0, len(data), DIGEST_BYTES))


def _block_roots(data: bytes) -> list[bytes]:
    """The roots of blocks of leaves, of which the last may be a part: a node without a sibling
    moves up as it is, so each block comes to one."""
    sha = hashlib.sha256
    leaves = np.frombuffer(data, np.uint8).reshape(-1, DIGEST_BYTES)
    row = [sha(leaf).digest() for leaf in each_row(beside([np.zeros((len(leaves), 1), np.uint8), leaves]))]
    for _ in range(BLOCK_LEVELS):
        above = [sha(b"\x01" + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=False)]
        row = above + row[len(above) * 2 :]
    return row
