"""A Kubo node and what it is asked; and how long it is asked again. It knows nothing of UnixFS.

Every answer that is kept is bounded, and read as what it should be: a node may be anybody's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fitchain.pod.ports.store.kubo_rpc import QUICK_S, Wire
from fitchain.pod.values.errors import StoreUnusable, Unusable

ANSWER_BYTES = 64 << 20


class Node:
    """A Kubo node.

    Args:
        address: of its RPC: `ipfs:/ip4/127.0.0.1/tcp/5001`, or an URL.
        authorization: as Kubo's `--api-auth` takes it: `bearer:<token>`, `basic:<user>:<password>`,
            or empty.

    Raises:
        InputRefused: the address or the authorization is malformed.
    """

    def __init__(self, address: str, authorization: str = "") -> None:
        self.address = address
        self._wire = Wire(address, authorization)

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    # --- asking --------------------------------------------------------------------------------

    def ask(
        self,
        path: str,
        *arguments: str,
        data: Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = QUICK_S,
        **options: str | int | bool,
    ) -> list[dict[str, Any]]:
        """Ask for JSON: the objects of the answer.

        Args:
            path: of the command, `pin/add` say.
            arguments: its arguments.
            data: what is sent along.
            headers: of the request.
            timeout_s: seconds without a byte of the answer.
            options: its options, `_` standing for `-`.

        Raises:
            StoreUnreachable: no answer, or it broke off.
            NodeError: the node answers with an error.
            StoreUnusable: what answers is no Kubo, or refuses this pod.
        """
        pieces = self.stream(path, *arguments, data=data, headers=headers, timeout_s=timeout_s, **options)
        answer = bounded(pieces, ANSWER_BYTES, f"{self.address} on {path}")
        try:
            objects = [json.loads(line) for line in answer.splitlines() if line.strip()]
        except ValueError:
            raise self._wire.no_kubo(f"an answer to {path} that is no JSON") from None
        for item in objects:
            if not isinstance(item, dict):
                raise self._wire.no_kubo(f"an answer to {path} of another form")
            if item.get("Type") == "error":
                raise self._wire.node_error(path, str(item.get("Message", "")))
        return objects

    def ask_one(self, path: str, *arguments: str, **options: Any) -> dict[str, Any]:
        """Ask for one JSON object (`ask`).

        Raises:
            StoreUnreachable, NodeError, StoreUnusable: as `ask`.
        """
        objects = self.ask(path, *arguments, **options)
        if len(objects) != 1:
            raise self._wire.no_kubo(f"{len(objects)} objects as the answer to {path}")
        return objects[0]

    def stream(
        self,
        path: str,
        *arguments: str,
        data: Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = QUICK_S,
        **options: str | int | bool,
    ) -> Iterator[bytes]:
        """Ask for bytes, as they come (`ask`); the caller bounds them."""
        opts = {name.replace("_", "-"): _text(value) for name, value in options.items()}
        yield from self._wire.stream(path, arguments, opts, data, headers or {}, timeout_s)

    # --- what is asked more than once ----------------------------------------------------------

    def version(self) -> str:
        """The node's version, `0.43.0` say."""
        version = self.ask_one("version").get("Version")
        if not isinstance(version, str):
            raise self._wire.no_kubo("no version")
        return version

    def id(self) -> tuple[str, list[str]]:
        """The node's peer id and the addresses at which it says it can be reached."""
        identity = self.ask_one("id")
        addresses = identity.get("Addresses") or []
        if not isinstance(identity.get("ID"), str) or not isinstance(addresses, list):
            raise self._wire.no_kubo("no peer id")
        return identity["ID"], [str(address) for address in addresses]

    def peers(self) -> list[str]:
        """Peer ids of the nodes that it is connected with."""
        return [str(peer.get("Peer")) for peer in self.ask_one("swarm/peers").get("Peers") or []]

    def connect(self, address: str, timeout_s: float = 10.0) -> None:
        """Connect with another node, by its address with its peer id at the end."""
        self.ask("swarm/connect", address, timeout_s=timeout_s, timeout=f"{timeout_s:.0f}s")


class StallTimeout:
    """How long something is tried again: until nothing has moved for some seconds.

    Args:
        seconds: without progress after which it is given up.
        log: is told, once a silence, that we wait, and why.
    """

    LONGEST_S = 5.0

    def __init__(self, seconds: float, log: Callable[[str], None]) -> None:
        self._seconds, self._log = seconds, log
        self.moved()

    def moved(self) -> None:
        """Something has come: the waiting starts anew."""
        self._since, self._pause_s, self._logged = time.monotonic(), 0.1, False

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self._seconds - (time.monotonic() - self._since)

    def wait(self, error: Unusable) -> None:
        """Wait a while, twice as long as the last time.

        Raises:
            Unusable: the error, when there is no time left.
        """
        if self._pause_s >= self.left_s:
            raise error
        if not self._logged:
            self._log(f"waiting for up to {max(self.left_s, 0):.0f} s: {error.message}")
            self._logged = True
        time.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, self.LONGEST_S)


def bounded(pieces: Iterable[bytes], limit_bytes: int, what: str) -> bytes:
    """Join what comes, up to a limit.

    Raises:
        StoreUnusable: it goes on beyond it.
    """
    parts, left = [], limit_bytes
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise StoreUnusable(f"the answer of {what} goes on beyond {limit_bytes} bytes", "is it a Kubo node?")
        parts.append(piece)
    return b"".join(parts)


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
