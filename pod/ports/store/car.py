"""CAR: an object as one file, so that a job can move on a USB stick; what `ipfs dag export` writes
and `ipfs dag import` reads.

Version 1: a header that names the root, then every block behind its CID. Blocks that are read come
from strangers: each is bounded, and compared with its CID before anybody sees it.

Source: https://ipld.io/specs/transport/car/carv1
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import libipld

from fitchain.pod.ports.store.base import Cid
from fitchain.pod.values.errors import DigestMismatch, InputRefused
from fitchain.pod.values.limits import BLOCK_BYTES, CAR_HEADER_BYTES, MOST_BLOCKS

CID_BYTES = 36
_VARINT_BYTES = 5
# The header's dag-cbor: a map of `roots`, a list of one link (tag 42, behind a zero byte), and
# `version`, 1.
_BEFORE_ROOT = b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00"
_AFTER_ROOT = b"\x67version\x01"

Block = tuple[Cid, bytes]


def encode(root: Cid, blocks: Iterable[Block]) -> Iterator[bytes]:
    """The bytes of a CAR, piece by piece; a block that comes again is left out.

    Args:
        root: the object.
        blocks: all of its blocks, the root first.
    """
    header = _BEFORE_ROOT + bytes(root) + _AFTER_ROOT
    yield _varint(len(header)) + header
    seen: set[Cid] = set()
    for cid, block in blocks:
        if cid not in seen:
            seen.add(cid)
            yield _varint(CID_BYTES + len(block)) + bytes(cid)
            yield block


def write(target: Path, root: Cid, blocks: Iterable[Block]) -> int:
    """Write a CAR, whole or not at all.

    Returns:
        its size in bytes.

    Raises:
        OSError: the file cannot be written.
    """
    part = target.with_name(f".{target.name}.{uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            size_bytes = sum(file.write(piece) for piece in encode(root, blocks))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return size_bytes


def read(file: BinaryIO) -> tuple[Cid, Iterator[Block]]:
    """Read a CAR.

    Returns:
        its root, and its blocks one after the other, each verified.

    Raises:
        InputRefused: it is none of version 1 with one root, or is cut off; also from the iterator.
        DigestMismatch: a block is not what its CID says; from the iterator.
    """
    return _root(_section(file, CAR_HEADER_BYTES)), _blocks(file)


def _root(header: bytes | None) -> Cid:
    try:
        fields = libipld.decode_dag_cbor(header or b"")
        version, roots = fields["version"], fields["roots"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputRefused(f"the file is no CAR: {error}", "`ipfs dag export` writes such files") from None
    if version != 1 or not isinstance(roots, list) or len(roots) != 1 or not isinstance(roots[0], bytes):
        raise InputRefused(f"the CAR is of version {version!r:.20}; one of version 1 with one root is read here")
    return Cid.decode(roots[0])


def _blocks(file: BinaryIO) -> Iterator[Block]:
    blocks = 0
    while (section := _section(file, CID_BYTES + BLOCK_BYTES)) is not None:
        if (blocks := blocks + 1) > MOST_BLOCKS:
            raise InputRefused(f"the CAR has more than {MOST_BLOCKS} blocks")
        cid, block = Cid.decode(section[:CID_BYTES]), section[CID_BYTES:]
        hashed = hashlib.sha256(block)
        if hashed.digest() != cid.sha256:
            raise DigestMismatch(
                f"the CAR's block {cid} is altered: its SHA-256 is {hashed.hexdigest()} and not {cid.sha256.hex()}",
                "have it exported again",
            )
        yield cid, block


def _section(file: BinaryIO, most_bytes: int) -> bytes | None:
    """The next section; None at the end."""
    length = shift = 0
    for position in range(_VARINT_BYTES):
        byte = file.read(1)
        if not byte and position == 0:
            return None
        if not byte:
            raise InputRefused("the CAR is cut off within a length")
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            break
    else:
        raise InputRefused("the file is no CAR: a length has more than five bytes")
    if length > most_bytes:
        raise InputRefused(f"the CAR has a section of {length} bytes, and {most_bytes} is the most that is read")
    section = file.read(length)
    if len(section) != length:
        raise InputRefused(f"the CAR is cut off: a section has {len(section)} bytes of {length}")
    return section


def _varint(number: int) -> bytes:
    """An unsigned LEB128 number."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
