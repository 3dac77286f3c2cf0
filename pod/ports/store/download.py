"""Reading an object from a node: block by block where it must be, in one stream where it can be,
every byte checked.

`Reader.get` gives `unixfs` and `unpack` their blocks. A node of a file whose links all lead to raw
chunks is read as one stream (`cat`), for which Kubo fetches ahead; the stream is cut by the sizes
that the node's links declare and each piece is compared with its CID, so that nothing is believed.
Whatever goes wrong in a stream ends the stream and not the reading: the chunk at hand is then asked
for by itself, again and again, and the stream goes on behind it. What came so far is in the node's
repository and is not fetched from anywhere again.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress

from fitchain.pod.ports.store import gateway
from fitchain.pod.ports.store.base import RAW, Cid
from fitchain.pod.ports.store.kubo_rpc import NodeError
from fitchain.pod.ports.store.node import Node, StallTimeout, bounded
from fitchain.pod.ports.store.unixfs import BLOCK_BYTES, FILE, Link
from fitchain.pod.ports.store.unixfs import Node as Block
from fitchain.pod.values.errors import (
    DigestMismatch,
    FitchainError,
    InputRefused,
    NotFound,
    StoreUnreachable,
    StoreUnusable,
    TooSlow,
)

SPARE_S = 5.0
STALL_S = 2.0  # without a byte, after which we say so and dial the peers again, twice as long each time
LONGEST_STALL_S = 10.0
BEFORE_GATEWAYS_S = 10.0
AHEAD = 4  # chunks that a stream may be ahead of who reads it
EMPTY = Cid.of(RAW, hashlib.sha256(b"").digest())  # bitswap does not carry it
_ABSENT = ("not found", "deadline exceeded", "context canceled", "could not find", "no providers", "timed out")


class Reader:
    """One reading of one object.

    Args:
        root: the object.
        node: is asked.
        dial: connects the node with the peers that may have the object; says which they are.
        gateways: URLs of trustless gateways that are asked when the peers do not give a block.
        stall_timeout_s: seconds without a block after which the object is given up.
        log: is told when we wait.
        progress: is told the bytes that came, after each block.
    """

    def __init__(
        self,
        root: Cid,
        node: Node,
        dial: Callable[[], Sequence[str]],
        gateways: Sequence[str],
        stall_timeout_s: float,
        log: Callable[[str], None],
        progress: Callable[[int], None],
    ) -> None:
        self._root, self._node, self._dial, self._gateways = root, node, dial, gateways
        self._stall_timeout_s, self._progress, self._log = stall_timeout_s, progress, log
        self._stall = StallTimeout(stall_timeout_s, log)
        self._run: _Run | None = None
        self._by_gateway = False
        self._came_bytes = 0
        self._begun = time.monotonic()
        self.limit_s: float | None = None
        """Seconds in all after which the object is given up, though it still comes."""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def get(self, cid: Cid) -> bytes:
        """A block, verified.

        Raises:
            NotFound: nobody gives it.
            InputRefused: it is larger than a block may be.
            TooSlow: the time for the object is up.
            StoreUnusable: the node does not answer, refuses, or gives other bytes.
        """
        if self.limit_s is not None and time.monotonic() - self._begun > self.limit_s:
            raise TooSlow(
                f"the object {self._root} came too slowly: {self._came_bytes} bytes in {self.limit_s:.0f} s, "
                "and no more time is given to it"
            )
        if cid == EMPTY:
            return b""
        block = self._from_run(cid) if self._run and self._run.next == cid else None
        if block is None:
            block = self._by_itself(cid)
        self._stall.moved()
        self._came_bytes += len(block)
        self._progress(self._came_bytes)
        if cid.codec != RAW:
            self._plan(cid, block)
        return block

    # --- a stream ------------------------------------------------------------------------------

    def _plan(self, cid: Cid, block: bytes) -> None:
        """Stream the chunks of a file's node, which are asked for next and in their order."""
        self._stop()
        if self._by_gateway:
            return
        node = Block.decode(block)
        if node.kind == FILE and len(node.links) > 1 and all(link.cid.codec == RAW for link in node.links):
            if max(link.size_bytes for link in node.links) > BLOCK_BYTES:
                raise InputRefused(f"the file {cid} declares a chunk of more than {BLOCK_BYTES} bytes")
            self._run = _Run(self._node, cid, node.links, self._stall_timeout_s)

    def _from_run(self, cid: Cid) -> bytes | None:
        """The next chunk of the stream; None where the stream broke off, or is not what the links
        say.

        Whether the node lies or the object's sizes do shows when the chunk is asked for by itself.
        """
        assert self._run is not None
        block = self._awaited(self._run.take, cid)
        if block is not None and hashlib.sha256(block).digest() != cid.sha256:
            self._stop()
            return None
        return block

    def _stop(self) -> None:
        if self._run is not None:
            self._run.close()
        self._run = None

    # --- a block -------------------------------------------------------------------------------

    def _by_itself(self, cid: Cid) -> bytes:
        """A block, asked for by itself until it comes or the time is up."""
        while True:
            try:
                block = self._awaited(_beside(lambda: self._ask(cid)).result, cid)
            except StoreUnreachable as error:
                self._stall.wait(error)
                continue
            except NodeError as error:
                if not any(sign in error.reason.lower() for sign in _ABSENT):
                    raise
                delivered = self._from_gateways(cid)
                if delivered is None:
                    self._stall.wait(self._absent(cid, self._dial()))
                    continue
                block = delivered
            assert block is not None
            verify(cid, block, self._node.address)
            return block

    def _ask(self, cid: Cid) -> bytes:
        """Ask the node, which asks its peers."""
        most_s = 0.0 if self._by_gateway else BEFORE_GATEWAYS_S if self._gateways else self._stall_timeout_s
        seconds = max(1.0, min(most_s, self._stall.left_s))
        pieces = self._node.stream(
            "block/get", str(cid), timeout_s=seconds + SPARE_S, timeout=f"{seconds:.0f}s", offline=self._by_gateway
        )
        return bounded(pieces, BLOCK_BYTES, f"{self._node.address} on the block {cid}")

    def _awaited(self, take: Callable[[float], bytes | None], cid: Cid) -> bytes | None:
        """Wait for a block; when it does not come, say so and dial the peers, which may have been
        away."""
        pause_s = STALL_S
        while True:
            try:
                return take(pause_s)
            except TimeoutError:
                if pause_s == STALL_S:
                    left_s = max(self._stall.left_s, 0)
                    self._log(f"waiting for up to {left_s:.0f} s: the block {cid} of {self._root} does not come")
                self._dial()
                pause_s = min(2 * pause_s, LONGEST_STALL_S)

    def _from_gateways(self, cid: Cid) -> bytes | None:
        for url in self._gateways:
            try:
                block = gateway.block(url, cid)
                self._by_gateway = True
                self._stop()
                return block
            except (NotFound, StoreUnusable, DigestMismatch) as error:
                self._log(f"{error.message}")
        return None

    def _absent(self, cid: Cid, asked: Sequence[str]) -> NotFound:
        part = f"the block {cid} of " if cid != self._root else ""
        peers = ", ".join(asked) if asked else "none"
        gates = f" and the gateways {', '.join(self._gateways)}" if self._gateways else ""
        return NotFound(
            f"nobody gives {part}the object {self._root}: the IPFS node at {self._node.address} asked its peers "
            f"({peers}){gates} for {self._stall_timeout_s:.0f} s",
            "check that its author's pod and node run and are connected with yours (`fitchain store status`), "
            "then try again",
        )


def _beside(attempt: Callable[[], bytes]) -> Future[bytes | None]:
    """Do something in a thread that keeps nobody from leaving."""
    future: Future[bytes | None] = Future()

    def run() -> None:
        try:
            future.set_result(attempt())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="ipfs block").start()
    return future


class _Run:
    """The chunks of one node of a file, as one stream that a thread reads ahead.

    A stream that breaks off gives None for the chunk at hand, and is opened anew for the one after
    it.
    """

    def __init__(self, node: Node, cid: Cid, links: Sequence[Link], silence_s: float) -> None:
        self._node, self._cid, self._links, self._silence_s = node, cid, links, silence_s
        self._at = 0
        self._pieces: queue.Queue[bytes | None] | None = None
        self._stopped = threading.Event()

    @property
    def next(self) -> Cid | None:
        """The chunk that comes next; None at the end."""
        return self._links[self._at].cid if self._at < len(self._links) else None

    def take(self, pause_s: float) -> bytes | None:
        """The next chunk's bytes, of the length that its link declares; None where the stream
        breaks off.

        Raises:
            TimeoutError: it has not come yet; ask again.
        """
        if self._pieces is None:
            self._open()
        assert self._pieces is not None
        try:
            piece = self._pieces.get(timeout=pause_s)
        except queue.Empty:
            raise TimeoutError from None
        self._at += 1
        if piece is None:
            self._pieces = None
        return piece

    def close(self) -> None:
        """Let the thread end."""
        self._stopped.set()

    def _open(self) -> None:
        self._pieces = queue.Queue(AHEAD)
        threading.Thread(target=self._read, args=(self._at, self._pieces), daemon=True, name="ipfs cat").start()

    def _read(self, first: int, pieces: queue.Queue[bytes | None]) -> None:
        with suppress(FitchainError):
            for piece in self._cut(first):
                if not self._put(pieces, piece):
                    return
        self._put(pieces, None)

    def _cut(self, first: int) -> Iterator[bytes]:
        """Cut the stream into chunks by the sizes of their links."""
        offset = sum(link.size_bytes for link in self._links[:first])
        wanted = sum(link.size_bytes for link in self._links[first:])
        came = bytearray()
        links = iter(self._links[first:])
        link = next(links, None)
        for part in self._node.stream(
            "cat", str(self._cid), offset=offset, length=wanted, progress=False, timeout_s=self._silence_s
        ):
            if link is not None and not came and len(part) == link.size_bytes:
                yield part  # most pieces are just a chunk, and are not copied
                link = next(links, None)
                continue
            came += part
            while link is not None and len(came) >= link.size_bytes:
                yield bytes(memoryview(came)[: link.size_bytes])
                del came[: link.size_bytes]
                link = next(links, None)
            if link is None:
                return

    def _put(self, pieces: queue.Queue[bytes | None], piece: bytes | None) -> bool:
        """Hand a chunk over; False when nobody wants it any more."""
        while not self._stopped.is_set():
            with suppress(queue.Full):
                pieces.put(piece, timeout=0.2)
                return True
        return False


def verify(cid: Cid, block: bytes, source: str) -> None:
    """Compare a block with its CID.

    Raises:
        StoreUnusable: it is another one. That speaks against the node and not against the object:
            an honest one compares what it gets from others, too.
    """
    hashed = hashlib.sha256(block)
    if hashed.digest() != cid.sha256:
        raise StoreUnusable(
            f"{source} gives other bytes for the block {cid}: "
            f"their SHA-256 is {hashed.hexdigest()} and not {cid.sha256.hex()}",
            "do not trust that node; name another with --store, or let `ipfs repo verify` look at its repository",
        )


class ProgressThrottle:
    """Emits progress at most twice a second."""

    EVERY_S = 0.5

    def __init__(self, emit: Callable[[int], None]) -> None:
        self._emit, self._emitted_at = emit, time.monotonic()

    def __call__(self, count: int) -> None:
        """Some bytes have come, `count` in all."""
        if time.monotonic() - self._emitted_at >= self.EVERY_S:
            self._emitted_at = time.monotonic()
            self._emit(count)
