"""UnixFS: how files and folders become blocks, and how blocks are read back as files and folders.

Everything that decides a CID stands here: Kubo's profile `unixfs-v1-2025` (IPIP-499), that is
CIDv1, SHA-256, raw leaves, chunks of 1 MiB, balanced nodes of at most 1024 links, a file of one
chunk being that raw block itself, folders of plain dag-pb nodes. It knows nothing of where blocks
are kept: it is given `put` and `get`.

Blocks that are read come from strangers. A node is admitted only in the one form in which this
module writes it (it is encoded again and compared), sizes that a node declares must be true, and
depth, blocks and bytes are bounded before they are followed.

Source: https://specs.ipfs.tech/unixfs, https://ipld.io/specs/codecs/dag-pb/spec,
https://specs.ipfs.tech/ipips/ipip-0499
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from fitchain.pod.ports.store.base import DAG_PB, RAW, Cid
from fitchain.pod.values import limits
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import FOLDER_BLOCK_BYTES, MOST_BLOCKS, MOST_FILES

CHUNK_BYTES = 1 << 20
BLOCK_BYTES, LINKS_PER_NODE, MOST_DEPTH = limits.BLOCK_BYTES, limits.LINKS_PER_NODE, limits.MOST_DEPTH
FOLDER, FILE = 1, 2

Put = Callable[[Cid, bytes], None]
Get = Callable[[Cid], bytes]


def _messages() -> tuple[Any, Any]:
    """The two protobuf messages, PBNode (dag-pb, with PBLink) and Data (UnixFS), from their
    published schemas.

    Built at run time: generated code would be tied to one release of the protobuf library.
    """
    kinds = descriptor_pb2.FieldDescriptorProto
    schema = descriptor_pb2.FileDescriptorProto(
        name="fitchain/unixfs.proto", package="fitchain.unixfs", syntax="proto2"
    )

    def message(name: str, *fields: tuple[str, int, Any, bool]) -> None:
        made = schema.message_type.add(name=name)
        for label, number, kind, repeated in fields:
            field = made.field.add(name=label, number=number, type=kind)
            field.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL

    message("PBLink", ("Hash", 1, kinds.TYPE_BYTES, False), ("Name", 2, kinds.TYPE_BYTES, False))
    schema.message_type[0].field.add(name="Tsize", number=3, type=kinds.TYPE_UINT64, label=kinds.LABEL_OPTIONAL)
    message("PBNode", ("Data", 1, kinds.TYPE_BYTES, False), ("Links", 2, kinds.TYPE_MESSAGE, True))
    schema.message_type[1].field[1].type_name = ".fitchain.unixfs.PBLink"
    message(
        "Data",
        ("Type", 1, kinds.TYPE_UINT32, False),
        ("filesize", 3, kinds.TYPE_UINT64, False),
        ("blocksizes", 4, kinds.TYPE_UINT64, True),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(schema)
    named = (pool.FindMessageTypeByName(f"fitchain.unixfs.{name}") for name in ("PBNode", "Data"))
    node, data = (message_factory.GetMessageClass(descriptor) for descriptor in named)
    return node, data


_PBNode, _Data = _messages()


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a block.

    Args:
        cid: the block.
        total_bytes: of the block and all blocks below it, as often as they are linked (dag-pb's
            Tsize).
        size_bytes: content below; 0 for a folder's entries, where it is not written.
        name: in a folder; empty in a file.
    """

    cid: Cid
    total_bytes: int
    size_bytes: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A dag-pb block: an inner node of a file, or a folder.

    Args:
        kind: `FILE` or `FOLDER`.
        links: to the parts of the file in their order, or to the entries in the order of their
            names' bytes.
    """

    kind: int
    links: tuple[Link, ...]

    @property
    def size_bytes(self) -> int:
        """Content below, for a file."""
        return sum(link.size_bytes for link in self.links)

    def encode(self) -> bytes:
        """The block's bytes: the links and then the data, as dag-pb demands, though the data has
        the lower number."""
        links, data = _PBNode(), _Data(Type=self.kind)
        for link in self.links:
            links.Links.add(Hash=link.cid.value, Name=link.name.encode(), Tsize=link.total_bytes)
        if self.kind == FILE:
            data.filesize = self.size_bytes
            data.blocksizes.extend(link.size_bytes for link in self.links)
        return bytes(links.SerializeToString() + _PBNode(Data=data.SerializeToString()).SerializeToString())

    @classmethod
    def decode(cls, block: bytes) -> Node:
        """Read a block in the one form that `encode` writes.

        Raises:
            InputRefused: it has any other form, a name that is unsafe or stands twice, or parts
                that are empty.
        """
        if len(block) > BLOCK_BYTES:
            raise InputRefused(f"the block has {len(block)} bytes and the limit is {BLOCK_BYTES}")
        try:
            node = _PBNode.FromString(block)
            data = _Data.FromString(node.Data)
            names = [link.Name.decode() for link in node.Links]
        except (DecodeError, UnicodeDecodeError) as error:
            raise InputRefused(f"the block is no UnixFS node: {error}") from None
        sizes = list(data.blocksizes) if data.Type == FILE else [0] * len(names)
        if data.Type not in (FILE, FOLDER) or len(sizes) != len(names):
            raise InputRefused("the block is neither a plain file nor a plain folder in UnixFS")
        if data.Type == FILE and len(names) > LINKS_PER_NODE:
            raise InputRefused(f"the file's node has {len(names)} links and the limit is {LINKS_PER_NODE}")
        if data.Type == FOLDER and len(block) >= FOLDER_BLOCK_BYTES:
            raise InputRefused(
                f"the folder's block has {len(block)} bytes, and such a one is below {FOLDER_BLOCK_BYTES}"
            )
        parts = zip(node.Links, sizes, names, strict=True)
        links = tuple(Link(Cid.decode(link.Hash), link.Tsize, size, name) for link, size, name in parts)
        made = cls(data.Type, links)
        if made.encode() != block:
            raise InputRefused("the block is not the canonical form of its UnixFS node")
        made._check()
        return made

    def _check(self) -> None:
        names = [link.name for link in self.links]
        if self.kind == FILE:
            if any(names) or not all(link.size_bytes for link in self.links):
                raise InputRefused("a file's part is empty or has a name")
            return
        for name in names:
            check_name(name)
        encoded = [name.encode() for name in names]
        if encoded != sorted(set(encoded)):
            raise InputRefused("a folder's entries are not in order, or one stands twice")


def check_name(name: str) -> str:
    """Refuse an entry's name that could lead out of its folder.

    Raises:
        InputRefused: it is empty, `.`, `..`, longer than 255 bytes, or holds `/` or NUL.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name or len(name.encode()) > 255:
        raise InputRefused(f"the folder has an entry of the unsafe name {name!r:.300}")
    return name


# --- writing ----------------------------------------------------------------------------------


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """A stream in pieces of exactly 1 MiB but for the last; an empty stream is one empty piece."""
    piece, first = _fill(file), True
    while piece or first:
        yield piece
        piece, first = _fill(file), False


def _fill(file: BinaryIO) -> bytes:
    """Read a whole chunk from a stream that may return less at a time."""
    data = file.read(CHUNK_BYTES)
    while 0 < len(data) < CHUNK_BYTES and (more := file.read(CHUNK_BYTES - len(data))):
        data += more
    return data


def add_file(pieces: Iterable[bytes], put: Put) -> Link:
    """Turn a file into blocks.

    Args:
        pieces: as `chunks` gives them; one at a time is held.
        put: keeps a block; called for a node only after all below it.

    Returns:
        The link to its root. What is held meanwhile is a link a chunk, 20 MB for a file of 64 GiB.
    """
    return join_leaves([leaf(piece, put) for piece in pieces], put)


def leaf(piece: bytes, put: Put) -> Link:
    """Turn one chunk of a file into its block."""
    return _put(RAW, piece, len(piece), len(piece), put)


def join_leaves(links: Sequence[Link], put: Put) -> Link:
    """Put the nodes above a file's chunks.

    Args:
        links: to the chunks in their order; one at least.
        put: keeps a block.
    """
    while len(links) > 1:
        links = [_put_node(links[at : at + LINKS_PER_NODE], put) for at in range(0, len(links), LINKS_PER_NODE)]
    return links[0]


def _put_node(links: Sequence[Link], put: Put) -> Link:
    node = Node(FILE, tuple(links))
    block = node.encode()
    return _put(DAG_PB, block, len(block) + sum(link.total_bytes for link in links), node.size_bytes, put)


def add_folder(entries: Iterable[tuple[str, Link]], put: Put) -> Link:
    """Turn named links into a folder.

    Raises:
        InputRefused: a name is unsafe or stands twice, or the folder is too large for one block.
    """
    named = sorted(entries, key=lambda entry: entry[0].encode())
    node = Node(FOLDER, tuple(Link(link.cid, link.total_bytes, 0, name) for name, link in named))
    node._check()
    block = node.encode()
    if len(block) >= FOLDER_BLOCK_BYTES:
        raise InputRefused(f"a folder of {len(named)} entries is too large for one block", "part it into folders")
    return _put(DAG_PB, block, len(block) + sum(link.total_bytes for _, link in named), 0, put)


def _put(codec: int, block: bytes, total_bytes: int, size_bytes: int, put: Put) -> Link:
    cid = Cid.of(codec, hashlib.sha256(block).digest())
    put(cid, block)
    return Link(cid, total_bytes, size_bytes)


# --- reading ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Budget:
    """What one reading may still use."""

    bytes_left: int
    blocks_left: int = field(default=MOST_BLOCKS)
    files_left: int = field(default=MOST_FILES)

    def block(self) -> None:
        """Count a block.

        Raises:
            InputRefused: there have been too many.
        """
        self.blocks_left -= 1
        if self.blocks_left < 0:
            raise InputRefused(f"the object has more than {MOST_BLOCKS} blocks")

    def file(self) -> None:
        """Count a file or a folder that is written: an empty one takes no content, and a flush of
        the disk.

        Raises:
            InputRefused: there have been too many.
        """
        self.files_left -= 1
        if self.files_left < 0:
            raise InputRefused("the object has more files and folders than may be written")

    def content(self, size_bytes: int) -> None:
        """Count content.

        Raises:
            InputRefused: it is beyond the limit.
        """
        if size_bytes > self.bytes_left:
            raise InputRefused(f"the object goes on for {size_bytes} bytes and the limit leaves {self.bytes_left}")
        self.bytes_left -= size_bytes


def read_file(cid: Cid, get: Get, budget: Budget) -> Iterator[bytes]:
    """A file's content, piece by piece.

    Args:
        cid: the file's root.
        get: gives a block, verified against its CID.
        budget: bytes and blocks that may be used.

    Raises:
        InputRefused: it is a folder or no UnixFS, declares sizes that are not so, or is beyond the
            budget.
    """
    if cid.codec == RAW:
        budget.block()
        block = get(cid)
        budget.content(len(block))
        yield block
        return
    root = _file_node(cid, get, budget)
    budget.content(root.size_bytes)
    yield from _read_parts(root, get, budget, MOST_DEPTH)


def _read_parts(node: Node, get: Get, budget: Budget, depth: int) -> Iterator[bytes]:
    if depth == 0:
        raise InputRefused(f"the file is nested more than {MOST_DEPTH} levels deep")
    for link in node.links:
        if link.cid.codec == RAW:
            budget.block()
            block = get(link.cid)
            _check_size(link, len(block))
            yield block
        else:
            part = _file_node(link.cid, get, budget)
            _check_size(link, part.size_bytes)
            yield from _read_parts(part, get, budget, depth - 1)


def _file_node(cid: Cid, get: Get, budget: Budget) -> Node:
    budget.block()
    node = Node.decode(get(cid))
    if node.kind != FILE:
        raise InputRefused(f"{cid} is a folder and not a file")
    return node


def _check_size(link: Link, size_bytes: int) -> None:
    if size_bytes != link.size_bytes:
        raise InputRefused(f"the part {link.cid} has {size_bytes} bytes and its node says {link.size_bytes}")


def read_node(cid: Cid, get: Get, budget: Budget) -> Node | None:
    """An object's first node; None for a raw block, which is a file.

    Raises:
        InputRefused: it is no UnixFS.
    """
    if cid.codec == RAW:
        return None
    budget.block()
    return Node.decode(get(cid))


def reachable(cid: Cid, get: Get) -> Iterator[Cid]:
    """Every block of an object, the root first and each once; raw blocks are named and not read."""
    seen, waiting = {cid}, [cid]
    while waiting:
        if len(seen) > MOST_BLOCKS:
            raise InputRefused(f"the object has more than {MOST_BLOCKS} blocks")
        at = waiting.pop()
        yield at
        if at.codec == DAG_PB:
            below = {link.cid for link in Node.decode(get(at)).links} - seen
            seen |= below
            waiting.extend(below)


def walk(cid: Cid, get: Get, budget: Budget) -> Iterator[tuple[Cid, bytes]]:
    """Every block of an object with its bytes, in the order in which a reader meets them, as often
    as they are linked.

    Raises:
        InputRefused: it is no UnixFS, is nested too deeply, or is beyond the budget.
    """
    yield from _walk(cid, get, budget, 2 * MOST_DEPTH)


def _walk(cid: Cid, get: Get, budget: Budget, depth: int) -> Iterator[tuple[Cid, bytes]]:
    if depth == 0:
        raise InputRefused(f"the object is nested more than {2 * MOST_DEPTH} levels deep")
    budget.block()
    block = get(cid)
    yield cid, block
    if cid.codec == RAW:
        budget.content(len(block))
        return
    for link in Node.decode(block).links:
        yield from _walk(link.cid, get, budget, depth - 1)
