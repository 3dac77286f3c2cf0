"""The back end over IPFS: a pod's own Kubo node, which gets from other pods' nodes what it lacks.

A `fitchain.pod.ports.store.base.Store` like `local`, and the one that pods use which share nothing
but the chain. Nothing that the node says is believed: what is added is hashed here too, and what is
read is compared with its CID block by block.

What a pod has pinned is a folder in the node's own file tree (MFS), `/fitchain/<pod>/<cid>`, beside
a recursive pin named `fitchain`: so several pods can share a node, and one does not drop what
another keeps.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

import libipld

from fitchain.pod.ports.store import car, unixfs, unpack
from fitchain.pod.ports.store.base import MOST_BYTES, MOST_FILES, SMALL_BYTES, SMALL_S, Cid, Garbage
from fitchain.pod.ports.store.download import EMPTY, ProgressThrottle, Reader, verify
from fitchain.pod.ports.store.endpoints import Endpoint
from fitchain.pod.ports.store.kubo_rpc import NodeError, multipart
from fitchain.pod.ports.store.node import Answer, Node, StallTimeout, bounded
from fitchain.pod.ports.store.unixfs import Budget, Link
from fitchain.pod.ports.store.upload import ADD_S, Sending
from fitchain.pod.values.errors import (
    InputRefused,
    NotFound,
    StoreUnreachable,
    StoreUnusable,
)

CLAIMS = "/fitchain"
PIN_NAME = "fitchain"
MOST_MET = 64
Log = Callable[[str], None]
Progress = Callable[[str, int], None]
Result = TypeVar("Result")


class IpfsStore:
    """A content store over a Kubo node.

    Args:
        address: of the node's RPC.
        home: of the pod that uses it; pins are kept by home.
        authorization: what the node asks for.
        gateways: URLs of trustless gateways for blocks that no peer gives.
        stall_timeout_s: seconds without progress after which the node, or an object, is given up.
        private: whether private addresses are dialled: on the devnet alone.
        log: is told when it waits, and why.
        progress: is told, twice a second, what is being done and how many bytes have passed.

    Raises:
        InputRefused: the address or the authorization is malformed.
    """

    # What the settings say of a store, each by its name there; a caller sets few of them.
    def __init__(
        self,
        address: str,
        home: Path,
        authorization: str = "",
        gateways: Sequence[str] = (),
        stall_timeout_s: float = 60.0,
        private: bool = False,
        log: Log = lambda text: None,
        progress: Progress = lambda what, count: None,
    ) -> None:
        self.node = Node(address, authorization)
        self._gateways, self._stall_timeout_s, self._private = tuple(gateways), stall_timeout_s, private
        self._log, self._progress = log, progress
        self._mine = f"{CLAIMS}/{hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:16]}"
        self._met: dict[str, list[str]] = {}
        self._greeted = False

    def close(self) -> None:
        """Close the connections with the node."""
        self.node.close()

    # --- adding --------------------------------------------------------------------------------

    def add(self, source: Path | bytes | BinaryIO) -> Cid:
        """Add a file in bounded memory and pin it (`Store.add`)."""
        if isinstance(source, Path) and not source.is_file():
            raise NotFound(f"there is no file {source}")
        with _opened(source) as file:
            link = self._send(file, pin=True)
        self._pin(link.cid)
        return link.cid

    def _send(self, file: BinaryIO, pin: bool) -> Link:
        """Send a file, and again from where it stood when the node breaks off: each time further,
        or until the time is up."""
        self._greet()
        start, stall, furthest = _start(file), self._stall(), 0
        while True:
            sending = Sending(self.node, ProgressThrottle(lambda count: self._progress("adding", count)))
            try:
                return sending.send(file, pin)
            except StoreUnreachable as error:
                if start is None:
                    raise
                if sending.sent_bytes > furthest:
                    furthest = sending.sent_bytes
                    stall.moved()
                stall.wait(error)
                file.seek(start)

    def add_folder(self, path: Path) -> Cid:
        """Add a folder with all below it and pin it (`Store.add_folder`)."""
        if not path.is_dir():
            raise NotFound(f"there is no folder {path}")
        link = self._folder(path)
        self._pin(link.cid)
        return link.cid

    def _folder(self, path: Path) -> Link:
        return unixfs.add_folder([(_name(entry), self._entry(entry)) for entry in path.iterdir()], self._put)

    def _entry(self, path: Path) -> Link:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InputRefused(
                f"{path} is neither a file nor a folder", "links and devices are not added; copy the content"
            )
        if path.is_dir():
            return self._folder(path)
        with path.open("rb") as file:
            return self._send(file, pin=False)

    def _put(self, cid: Cid, block: bytes) -> None:
        """Give the node one block."""

        def send() -> Answer:
            headers, body = multipart("block", [block])
            codec = "raw" if cid.codec == 0x55 else "dag-pb"
            return self.node.ask_one("block/put", data=body, headers=headers, cid_codec=codec, mhtype="sha2-256")

        filed = self._retried(send).text("Key")
        if filed != str(cid):
            raise StoreUnusable(f"the IPFS node at {self.node.address} files the block {cid} under {filed:.100}")

    def add_blocks(self, root: Cid, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Add an object from its blocks and pin it (`Store.add_blocks`)."""
        self._greet()
        headers, body = multipart("blocks.car", car.encode(root, blocks))
        self.node.ask("dag/import", data=body, headers=headers, timeout_s=ADD_S, pin_roots=False)
        for cid in unixfs.reachable(root, self._local_block):
            if not self._has_block(cid):
                raise self._missing(cid, root)
        self._pin(root)

    def _local_block(self, cid: Cid) -> bytes:
        """A block that the node has."""
        try:
            pieces = self.node.stream("block/get", str(cid), offline=True)
            block = bounded(pieces, unixfs.BLOCK_BYTES, f"{self.node.address} on the block {cid}")
        except NodeError:
            raise self._missing(cid, cid) from None
        verify(cid, block, self.node.address)
        return block

    def _missing(self, cid: Cid, root: Cid) -> NotFound:
        return NotFound(f"the block {cid} of {root} is not in the IPFS node at {self.node.address}", "add it again")

    # --- pins ----------------------------------------------------------------------------------

    def pin(self, cid: Cid) -> None:
        """Keep the object for this pod; what the node lacks is fetched first (`Store.pin`)."""
        for block, content in self.blocks(cid):
            if block == EMPTY:
                self._put(block, content)
        self._pin(cid)

    def _pin(self, cid: Cid) -> None:
        """Pin what is here."""
        # It is all there, so this is quick; were it not (the node's owner collected garbage just
        # now), Kubo would look for it.
        self._retried(
            lambda: self.node.ask("pin/add", str(cid), name=PIN_NAME, timeout=f"{ADD_S:.0f}s", timeout_s=ADD_S + 5)
        )
        try:
            self._retried(lambda: self.node.ask("files/cp", f"/ipfs/{cid}", f"{self._mine}/{cid}", parents=True))
        except NodeError as error:
            if "already" not in error.reason:
                raise

    def unpin(self, cid: Cid) -> None:
        """Give up this pod's pin (`Store.unpin`); the node's goes with the last pod's."""
        if cid not in self.list_pins():
            return
        self._retried(lambda: self.node.ask("files/rm", f"{self._mine}/{cid}", force=True))
        pods = [pod.text("Name") for pod in self._files(CLAIMS)]
        if any(entry.text("Name") == str(cid) for pod in pods for entry in self._files(f"{CLAIMS}/{pod}")):
            return
        try:
            self._retried(lambda: self.node.ask("pin/rm", str(cid)))
        except NodeError as error:
            if "not pinned" not in error.reason:
                raise

    def list_pins(self) -> list[Cid]:
        """What this pod has pinned, sorted (`Store.list_pins`)."""
        return sorted(entry.cid("Name") for entry in self._files(self._mine))

    def _files(self, folder: str) -> list[Answer]:
        """What is in a folder of the node's file tree; nothing where there is no such folder."""
        try:
            listing = self._retried(lambda: self.node.ask_one("files/ls", folder))
        except NodeError as error:
            if "does not exist" not in error.reason:
                raise
            return []
        return listing.objects("Entries")

    def garbage(self) -> Garbage:
        """What `gc` would remove now, others' blocks on this node included (`Store.garbage`)."""
        doomed = self._doomed()
        sizes = (self.node.ask_one("block/stat", cid, offline=True).number("Size") for cid in doomed)
        return Garbage(len(doomed), sum(sizes))

    def _doomed(self) -> list[str]:
        """CIDs of the blocks that neither a pin nor the node's file tree keeps."""
        pins = self.node.ask_one("pin/ls", type="all", timeout_s=ADD_S).names("Keys")
        root = self.node.ask_one("files/stat", "/").text("Hash")
        tree = self.node.ask("refs", root, recursive=True, unique=True, offline=True, timeout_s=ADD_S)
        kept = {self._hash(name) for name in (*pins, root, *(link.text("Ref") for link in tree))}
        stored = (link.text("Ref") for link in self.node.ask("refs/local", timeout_s=ADD_S))
        return [name for name in stored if self._hash(name) not in kept]

    def _hash(self, name: str) -> bytes:
        """What a CID names, whatever its version and codec."""
        try:
            return bytes(libipld.decode_cid(name)["hash"]["digest"])
        except ValueError:
            raise StoreUnusable(f"the IPFS node at {self.node.address} names the block {name!r:.100}") from None

    def gc(self) -> int:
        """Remove what neither a pod nor anybody else has pinned on this node (`Store.gc`)."""
        before = self.node.ask_one("repo/stat", size_only=True).number("RepoSize")
        self.node.ask("repo/gc", timeout_s=10 * ADD_S)
        return max(0, before - self.node.ask_one("repo/stat", size_only=True).number("RepoSize"))

    # --- fetching ------------------------------------------------------------------------------

    def fetch(
        self,
        cid: Cid,
        target: Path,
        limit_bytes: int = MOST_BYTES,
        limit_s: float | None = None,
        limit_files: int = MOST_FILES,
    ) -> None:
        """Fetch a file or a folder, every byte checked (`Store.fetch`)."""
        with self._reader(cid, "fetching", limit_s) as reader:
            unpack.fetch(cid, target, Budget(limit_bytes, files_left=limit_files), reader.get)

    def cat(self, cid: Cid, limit_bytes: int = SMALL_BYTES) -> bytes:
        """Fetch a small file into memory (`Store.cat`)."""
        with self._reader(cid, "fetching", SMALL_S) as reader:
            return b"".join(unixfs.read_file(cid, reader.get, Budget(limit_bytes)))

    def entries(self, cid: Cid) -> dict[str, Cid]:
        """What a folder holds (`Store.entries`)."""
        with self._reader(cid, "fetching", SMALL_S) as reader:
            return unpack.entries(cid, reader.get)

    def has(self, cid: Cid) -> bool:
        """Whether the node has the object's first block (`Store.has`)."""
        return self._retried(lambda: self._has_block(cid))

    def blocks(self, cid: Cid, limit_bytes: int = MOST_BYTES) -> Iterator[tuple[Cid, bytes]]:
        """Every block of an object (`Store.blocks`); what the node lacks is fetched."""
        with self._reader(cid, "reading") as reader:
            yield from unixfs.walk(cid, reader.get, Budget(limit_bytes))

    def _has_block(self, cid: Cid) -> bool:
        try:
            self.node.ask_one("block/stat", str(cid), offline=True)
        except NodeError:
            return False
        return True

    def _reader(self, cid: Cid, verb: str, limit_s: float | None = None) -> Reader:
        self._greet()
        throttle = ProgressThrottle(lambda count: self._progress(f"{verb} {cid}", count))
        reading = Reader(cid, self.node, self._dial, self._gateways, self._stall_timeout_s, self._log, throttle)
        reading.limit_s = limit_s
        return reading

    # --- other pods ----------------------------------------------------------------------------

    def endpoint(self) -> bytes:
        """Where this pod's node can be reached (`Store.endpoint`)."""
        peer, addresses = self._retried(self.node.id)
        try:
            encoded = Endpoint.of(peer, addresses, self._private).encode()
            Endpoint.parse(encoded)  # as everybody will who reads it in the registry
            return encoded
        except InputRefused as error:
            raise StoreUnusable(f"the IPFS node at {self.node.address} says where it is: {error.message}") from None

    def add_peer(self, endpoint: bytes) -> None:
        """Remember another pod's node, and connect with it (`Store.add_peer`)."""
        try:
            parsed = Endpoint.parse(endpoint)
        except InputRefused as error:
            self._log(f"a pod's endpoint is left out: {error.message}")
            return
        if parsed is None or not (addresses := parsed.dialled(self._private)):
            return
        if parsed.peer not in self._met and len(self._met) >= MOST_MET:
            self._met.pop(next(iter(self._met)))
        self._met[parsed.peer] = addresses
        self._dial()

    def _dial(self) -> list[str]:
        """Connect with the nodes that we have met and are not connected with; the peers that there
        are then."""
        try:
            connected = set(self.node.peers())
            for peer, addresses in self._met.items():
                if peer not in connected and self._connect(addresses):
                    connected.add(peer)
        except StoreUnreachable:
            return []
        return sorted(connected)

    def _connect(self, addresses: Sequence[str]) -> bool:
        for address in addresses:
            try:
                self.node.connect(address)
                return True
            except NodeError:
                continue  # the next address may do; whether any did is seen in who is connected
        return False

    # --- the node ------------------------------------------------------------------------------

    def status(self) -> dict[str, object]:
        """What the node says about itself: version, peer id, addresses, peers, bytes used and
        allowed, this pod's pins."""
        self._greet()
        peer, addresses = self.node.id()
        stat = self.node.ask_one("repo/stat")
        return {
            "kind": "ipfs",
            "address": self.node.address,
            "version": self.node.version(),
            "peer": peer,
            "addresses": addresses,
            "peers": self.node.peers(),
            "size_bytes": stat.number("RepoSize"),
            "most_bytes": stat.number("StorageMax"),
            "blocks": stat.number("NumObjects"),
            "pins": len(self.list_pins()),
        }

    def _greet(self) -> None:
        """Make sure, once, that a Kubo answers: what is wrong shows best before a large file is on
        its way."""
        if not self._greeted:
            self._retried(self.node.version)
            self._greeted = True

    def _stall(self) -> StallTimeout:
        return StallTimeout(self._stall_timeout_s, self._log)

    def _retried(self, attempt: Callable[[], Result]) -> Result:
        """Try until the node answers, or the time is up."""
        stall = self._stall()
        while True:
            try:
                return attempt()
            except StoreUnreachable as error:
                stall.wait(error)


@contextmanager
def _opened(source: Path | bytes | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield io.BytesIO(source) if isinstance(source, bytes) else source


def _start(file: BinaryIO) -> int | None:
    """Where a stream stands; None for one that cannot be read again from there."""
    try:
        return file.tell() if file.seekable() else None
    except AttributeError:  # a reader of our caller's own that can do nothing but read
        return None


def _name(path: Path) -> str:
    try:
        return os.fsencode(path.name).decode()
    except UnicodeDecodeError:
        raise InputRefused(f"the name {path.name!r} is not UTF-8", "rename it") from None
