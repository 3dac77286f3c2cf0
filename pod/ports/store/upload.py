"""Sending a file to a node in bounded memory, hashing it meanwhile, and comparing what the node
says it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from fitchain.pod.ports.store import unixfs
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.store.kubo_rpc import multipart
from fitchain.pod.ports.store.node import Node
from fitchain.pod.ports.store.unixfs import Link
from fitchain.pod.values.errors import StoreUnusable

ADD_S = 60.0
AHEAD = 4  # chunks that are hashed while others are on their way
# Kubo's profile unixfs-v1-2025, said with every request, so that a node's own settings do not
# matter.
LAYOUT: Mapping[str, str | int | bool] = {
    "cid_version": 1,
    "hash": "sha2-256",
    "chunker": f"size-{unixfs.CHUNK_BYTES}",
    "raw_leaves": True,
    "max_file_links": unixfs.LINKS_PER_NODE,
    "trickle": False,
    "inline": False,
    "wrap_with_directory": False,
    "progress": False,
}


class Sending:
    """One sending of one file.

    Args:
        node: where to.
        throttle: is told how many bytes have been sent.
    """

    def __init__(self, node: Node, throttle: Callable[[int], None]) -> None:
        self._node, self._telling = node, throttle
        self.sent_bytes = 0
        self._waiting: deque[Future[Link]] = deque()
        self._links: list[Link] = []

    def send(self, file: BinaryIO, pin: bool) -> Link:
        """Send the file from where it stands.

        Args:
            file: is read to its end.
            pin: whether the node pins it at once.

        Raises:
            StoreUnreachable: the node broke off.
            StoreUnusable: the node took it for something else.
        """
        with ThreadPoolExecutor(1, "hashing") as pool:
            headers, body = multipart("content", self._passed(unixfs.chunks(file), pool))
            answer = self._node.ask("add", data=body, headers=headers, timeout_s=ADD_S, pin=pin, **LAYOUT)
            links = [*self._links, *(waiting.result() for waiting in self._waiting)]
        link = unixfs.join_leaves(links, _nowhere)
        filed = answer[-1].text("Hash") if answer else "nothing"
        if filed != str(link.cid):
            raise StoreUnusable(
                f"the IPFS node at {self._node.address} files the bytes of {link.cid} under {filed:.100}",
                "it needs Kubo 0.40 or later, and must give what it was given",
            )
        return link

    def _passed(self, pieces: Iterator[bytes], pool: ThreadPoolExecutor) -> Iterator[bytes]:
        """The same chunks again; each is hashed beside, a few of them at a time."""
        for piece in pieces:
            self._waiting.append(pool.submit(unixfs.leaf, piece, _nowhere))
            yield piece
            self.sent_bytes += len(piece)
            self._telling(self.sent_bytes)
            if len(self._waiting) > AHEAD:
                self._links.append(self._waiting.popleft().result())


def _nowhere(cid: Cid, block: bytes) -> None:
    """Keep no block: the node does."""
