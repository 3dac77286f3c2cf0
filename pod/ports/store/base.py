"""What a store is: content goes in, its CID comes out, and what comes back is checked against that
CID.

The interface has two back ends, `local` (a folder shared by the pods of one machine) and `ipfs` (a
Kubo node of one's own). Both give the same CIDs, those of Kubo's profile `unixfs-v1-2025`
(IPIP-499), so the rest of the code cannot tell them apart. Objects in a store are public for ever;
whatever is private was sealed before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import libipld

from fitchain.pod.values import limits
from fitchain.pod.values.digest import DIGEST_BYTES
from fitchain.pod.values.errors import InputRefused

RAW, DAG_PB = 0x55, 0x70
SHA2_256 = 0x12
SMALL_BYTES = 16 << 20
SMALL_S = 300.0
"""How long a small file, or a folder's list, may take to come in all: who gives them byte by byte
would else hold up whoever needs it."""
MOST_BYTES, MOST_FILES = 64 << 30, limits.MOST_FILES


@dataclass(frozen=True, order=True, slots=True)
class Cid:
    """A content identifier: CIDv1 of SHA-256, raw or dag-pb, written in base32; no other form is
    admitted.

    Args:
        value: the binary form, 36 bytes.

    Source: https://github.com/multiformats/cid
    """

    value: bytes

    def __post_init__(self) -> None:
        try:
            parts = libipld.decode_cid(self.value)
        except (ValueError, TypeError) as error:
            raise InputRefused(f"the bytes are no CID: {error}") from None
        _check(parts, self.value)

    def __str__(self) -> str:
        return str(libipld.encode_cid(self.value))

    def __repr__(self) -> str:
        return f"Cid({self})"

    def __bytes__(self) -> bytes:
        return self.value

    @classmethod
    def parse(cls, text: str) -> Cid:
        """Read the text form, `bafk...` or `bafy...`.

        Raises:
            InputRefused: it is no such CID.
        """
        try:
            parts = libipld.decode_cid(text)
            cid = cls.of(parts["codec"], parts["hash"]["digest"])
        except (ValueError, TypeError) as error:
            raise InputRefused(f"{text!r:.100} is no CID: {error}", "give it whole, as it was printed") from None
        if str(cid) != text:
            raise InputRefused(f"{text!r:.100} is not the CIDv1 in base32 of what it names, {cid}")
        return cid

    @classmethod
    def decode(cls, data: bytes) -> Cid:
        """Read the binary form, as it stands on the chain.

        Raises:
            InputRefused: it is no such CID.
        """
        return cls(bytes(data))

    @classmethod
    def of(cls, codec: int, sha256: bytes) -> Cid:
        """Name a block by its codec and its SHA-256.

        Raises:
            InputRefused: the codec is neither raw nor dag-pb, or the digest has not 32 bytes.
        """
        return cls(bytes((1, codec, SHA2_256, len(sha256))) + sha256)

    @property
    def codec(self) -> int:
        """`RAW` or `DAG_PB`."""
        return self.value[1]

    @property
    def sha256(self) -> bytes:
        """SHA-256 of the block, 32 bytes."""
        return self.value[4:]


def _check(parts: dict[str, object], value: bytes) -> None:
    """Admit the one form, whose every prefix is a single byte."""
    if len(value) != 4 + DIGEST_BYTES or value[:1] != b"\x01" or value[2:4] != bytes((SHA2_256, DIGEST_BYTES)):
        raise InputRefused(f"a CID here is version 1 with a SHA-256, and these bytes say {parts}")
    if value[1] not in (RAW, DAG_PB):
        raise InputRefused(f"a CID here names raw bytes or dag-pb, and these bytes name codec 0x{value[1]:x}")


@dataclass(frozen=True, slots=True)
class Garbage:
    """What no pod has pinned: how many blocks, and their bytes."""

    blocks: int
    size_bytes: int


class Store(Protocol):
    """Where objects live: files and folders of files, by their CIDs.

    Every method raises StoreUnusable when the store itself does not answer.
    """

    def add(self, source: Path | bytes | BinaryIO) -> Cid:
        """Add a file in bounded memory and pin it.

        Args:
            source: a file, its bytes, or a stream read from where it stands to its end.

        Returns:
            Its CID. Adding twice is harmless; an interrupted adding leaves nothing that can be
            fetched.

        Raises:
            NotFound: the source is missing.
        """
        ...

    def add_folder(self, path: Path) -> Cid:
        """Add a folder with all below it (files and folders only) and pin it.

        Raises:
            NotFound: the folder is missing.
            InputRefused: it holds a link or another thing that is neither file nor folder, or too
                many entries.
        """
        ...

    def fetch(
        self,
        cid: Cid,
        target: Path,
        limit_bytes: int = MOST_BYTES,
        limit_s: float | None = None,
        limit_files: int = MOST_FILES,
    ) -> None:
        """Fetch a file or a folder; every byte is checked, and the target appears whole or not at
        all.

        Args:
            cid: what to fetch.
            target: must not exist as a folder; a file of that name is replaced.
            limit_bytes: the most bytes of content that are written.
            limit_s: seconds in all after which it is given up, however it comes; None waits as long
                as something comes.
            limit_files: the most files and folders that are written; each takes a flush of the
                disk, though it be empty.

        Raises:
            NotFound: the object, or a block of it, is not in the store.
            DigestMismatch: a block in a folder is not what its CID says; the message names both.
            StoreUnusable: the node does not answer, or gives other bytes than it was asked for.
            InputRefused: it is no file or folder in UnixFS, a name in it is unsafe, or it is beyond
                a limit.
        """
        ...

    def cat(self, cid: Cid, limit_bytes: int = SMALL_BYTES) -> bytes:
        """Fetch a small file into memory.

        Raises:
            NotFound, DigestMismatch, InputRefused: as `fetch`; a folder is refused, and what comes
                for longer than `SMALL_S`.
        """
        ...

    def entries(self, cid: Cid) -> dict[str, Cid]:
        """What a folder holds: names and their CIDs.

        Raises:
            NotFound, DigestMismatch, InputRefused: as `fetch`; a file is refused.
        """
        ...

    def blocks(self, cid: Cid, limit_bytes: int = MOST_BYTES) -> Iterator[tuple[Cid, bytes]]:
        """Every block of an object with its bytes, verified, in the order in which a reader meets
        them.

        Raises:
            NotFound, DigestMismatch, InputRefused: as `fetch`.
        """
        ...

    def add_blocks(self, root: Cid, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Add an object from its blocks, which have been verified, and pin it.

        Raises:
            NotFound: a block of it is missing; what came is left for `gc`.
            InputRefused: it is no file or folder in UnixFS.
        """
        ...

    def has(self, cid: Cid) -> bool:
        """Whether the object's first block is in the store; nothing is checked and nothing is
        fetched."""
        ...

    def pin(self, cid: Cid) -> None:
        """Keep the object for this pod until it is unpinned.

        Raises:
            NotFound: the object is not in the store.
        """
        ...

    def unpin(self, cid: Cid) -> None:
        """Give up this pod's pin; unpinning what is not pinned is harmless."""
        ...

    def list_pins(self) -> list[Cid]:
        """What this pod has pinned, sorted."""
        ...

    def add_peer(self, endpoint: bytes) -> None:
        """Take notice of where another pod's store can be reached, as its registry entry says.

        What it says is a stranger's: malformed or forbidden addresses are left out, and nothing is
        raised.
        """
        ...

    def endpoint(self) -> bytes:
        """Where this pod's store can be reached by others, for its registry entry: at most 512
        bytes."""
        ...

    def close(self) -> None:
        """Close connections, where the store has any; using it opens them again."""
        ...

    def status(self) -> dict[str, object]:
        """What the store is: `kind`, `address`, `size_bytes`, `blocks`, `pins`; of a node also its
        `version`, `peer` and `peers`."""
        ...

    def garbage(self) -> Garbage:
        """What `gc` would remove now."""
        ...

    def gc(self) -> int:
        """Remove what no pod has pinned.

        Returns:
            How many bytes became free.
        """
        ...
