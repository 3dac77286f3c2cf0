"""A Kubo node and what it is asked; and how long it is asked again. It knows nothing of UnixFS.

Every answer that is kept is bounded, and read as what it should be: a node may be anybody's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.store.kubo_rpc import QUICK_S, Wire
from fitchain.pod.values.digest import parse_answer
from fitchain.pod.values.errors import InputRefused, StoreUnusable, Unusable
from fitchain.pod.values.limits import STORE_ANSWER_BYTES

ANSWER_BYTES = STORE_ANSWER_BYTES
MOST = 1 << 63
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """One object of an answer, read as what it should be: a node may be anybody's.

    Args:
        path: of the command that it answers.
        fields: the JSON object.
        refused: makes the error of a node that is none, of what it gave.
    """

    path: str
    fields: Mapping[str, Any]
    refused: Callable[[str], StoreUnusable]

    def text(self, name: str) -> str:
        """A text.

        Raises:
            StoreUnusable: there is none; so do the others.
        """
        return self._as(str, name)

    def number(self, name: str) -> int:
        """A number of bytes, blocks or the like; 0 where it is left out, as Go leaves out zeros."""
        number = self._as(int, name, 0)
        if not 0 <= number < MOST:
            raise self.refused(f"an answer to {self.path} with {number:.3g} for {name}")
        return number

    def texts(self, name: str) -> list[str]:
        """A list of texts; none where it is left out."""
        texts = self._as(list, name, [])
        if not all(isinstance(text, str) for text in texts):
            raise self._otherwise(name, texts)
        return texts

    def objects(self, name: str) -> list[Answer]:
        """A list of objects; none where it is left out."""
        objects = self._as(list, name, [])
        if not all(isinstance(item, dict) for item in objects):
            raise self._otherwise(name, objects)
        return [Answer(self.path, item, self.refused) for item in objects]

    def names(self, name: str) -> list[str]:
        """What a map has for keys; none where it is left out."""
        return list(self._as(dict, name, {}))

    def cid(self, name: str) -> Cid:
        """A CID in the one form that is used here."""
        try:
            return Cid.parse(self.text(name))
        except InputRefused as error:
            raise self.refused(f"an answer to {self.path} whose {name} is no CID: {error.message:.100}") from None

    def _as(self, kind: type[T], name: str, left_out: T | None = None) -> T:
        value = self.fields.get(name)
        if value is None and left_out is not None:
            return left_out
        if type(value) is not kind:
            raise self._otherwise(name, value)
        return value

    def _otherwise(self, name: str, value: object) -> StoreUnusable:
        return self.refused(f"an answer to {self.path} with {value!r:.80} for {name}")


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
    ) -> list[Answer]:
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
            objects = [parse_answer(line) for line in answer.splitlines() if line.strip()]
        except ValueError:
            raise self._wire.no_kubo(f"an answer to {path} that is no JSON") from None
        for item in objects:
            if not isinstance(item, dict):
                raise self._wire.no_kubo(f"an answer to {path} of another form")
            if item.get("Type") == "error":
                raise self._wire.node_error(path, str(item.get("Message", "")))
        return [Answer(path, item, self._wire.no_kubo) for item in objects]

    def ask_one(self, path: str, *arguments: str, **options: Any) -> Answer:
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
        return self.ask_one("version").text("Version")

    def id(self) -> tuple[str, list[str]]:
        """The node's peer id and the addresses at which it says it can be reached."""
        identity = self.ask_one("id")
        return identity.text("ID"), identity.texts("Addresses")

    def peers(self) -> list[str]:
        """Peer ids of the nodes that it is connected with."""
        return [peer.text("Peer") for peer in self.ask_one("swarm/peers").objects("Peers")]

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
