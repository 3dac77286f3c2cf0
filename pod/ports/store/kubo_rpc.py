"""The RPC of a Kubo node: ipfshttpclient, and what it lacks. The one module that knows that
library.

ipfshttpclient 0.7 speaks today's RPC, but for these things, which are handled here:

- it refuses Kubo's version when it is asked to connect: it is not asked;
- it reads an answer chunk by chunk as Kubo sends it, 4 KiB at a time, which costs more time than
  the bytes: here it is read in pieces of 1 MiB;
- its patched sessions use an argument that urllib3 gives up, the environment's proxy even for this
  machine's own node, and a `.netrc` in place of our authorization: here they are plain sessions
  that take nothing from the environment;
- it follows redirects, and reads an error of any size and depth: here it does neither;
- what breaks in the middle of an answer comes out as an exception of `requests` or `urllib3`: all
  become Fitchain's errors.

Source: https://docs.ipfs.tech/reference/kubo/rpc
"""

from __future__ import annotations

import base64
import ipaddress
import re
import secrets
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import multiaddr.exceptions
import requests
import urllib3.exceptions
from ipfshttpclient import exceptions
from ipfshttpclient.client import Client
from ipfshttpclient.http_requests import ClientSync

from fitchain.pod.values.digest import parse_answer
from fitchain.pod.values.errors import InputRefused, StoreUnreachable, StoreUnusable

CONNECT_S = 5.0
QUICK_S = 30.0
ERROR_BYTES = 1 << 16
PIECE_BYTES = 1 << 20  # the chunks of a file, so that most pieces are chunks and need no cutting
START = "start it (`ipfs daemon`), or name another with --store or FITCHAIN_STORE"
_FULL = ("no space left on device", "storage limit", "maximum storage", "disk quota", "not enough space")
_REFUSALS = {401: "it wants an authorization", 403: "it refuses this pod's authorization"}


class NodeError(StoreUnusable):
    """The node answered a request with an error of its own; `reason` is what it said."""

    def __init__(self, message: str, hint: str, reason: str) -> None:
        super().__init__(message, hint)
        self.reason = reason


class _Http(ClientSync):  # type: ignore[misc]
    """The library's HTTP, with plain sessions and large pieces."""

    def _make_session(self) -> requests.Session:
        session = _Session()
        session.trust_env = False
        session.headers.update(self._session_props.get("headers", {}))
        return session

    def _do_raise_for_status(self, response: requests.Response) -> None:
        """As the library's, of an error whose body is bounded in bytes and depth."""
        if response.is_redirect:
            raise exceptions.StatusError(requests.HTTPError(response=response))
        try:
            response.raise_for_status()
        except requests.HTTPError as error:
            message = _message(next(response.iter_content(ERROR_BYTES), b""))
            refused = exceptions.StatusError(error) if message is None else exceptions.ErrorResponse(message, error)
            raise refused from error

    def _request(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Iterator[bytes]]:
        closables, _ = super()._request(*args, **kwargs)
        return closables, _pieces(closables[0].raw)


class _Session(requests.Session):
    """Follows no redirect: what a pod sends is for the node that its settings name."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, whatever the answer says."""


def _message(body: bytes) -> str | None:
    """What Kubo says of an error; None where the body is none of its errors."""
    try:
        answer = parse_answer(body)
    except ValueError:
        return None
    message = answer.get("Message") if isinstance(answer, dict) else None
    return message if isinstance(message, str) else None


def _pieces(raw: Any) -> Iterator[bytes]:
    while piece := raw.read(PIECE_BYTES, decode_content=False):
        yield piece


class Wire:
    """The connection with a node's RPC.

    Args:
        address: `ipfs:/ip4/127.0.0.1/tcp/5001`, or an URL.
        authorization: as Kubo's `--api-auth` takes it: `bearer:<token>`, `basic:<user>:<password>`,
            or empty.

    Raises:
        InputRefused: the address or the authorization is malformed.
    """

    def __init__(self, address: str, authorization: str = "") -> None:
        self.address = address
        headers = {"Authorization": _header(authorization)} if authorization else {}
        target = parse_address(address)
        try:
            self._client = Client(target)
            self._client._client = _Http(target, "api/v0", headers=headers)
        except exceptions.AddressError:
            raise _bad_address(address) from None
        self._client._client.open_session()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def stream(
        self,
        path: str,
        arguments: Iterable[str],
        options: Mapping[str, str],
        data: Iterator[bytes] | None,
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> Iterator[bytes]:
        """Send a request; the bytes of the answer as they come.

        Args:
            path: of the command, `pin/add` say.
            arguments, options: its arguments and options.
            data, headers: what is sent along.
            timeout_s: seconds without a byte.

        Raises:
            StoreUnreachable: no answer, or it broke off.
            NodeError: the node answers with an error.
            StoreUnusable: what answers is no Kubo, or refuses this pod.
        """
        with (
            self._translated(path),
            self._client._client.request(
                f"/{path}",
                tuple(arguments),
                opts=dict(options),
                data=data,
                headers=dict(headers),
                timeout=(CONNECT_S, timeout_s),
                stream=True,
            ) as pieces,
        ):
            yield from pieces

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """Translate what ipfshttpclient and what is below it say: from here on there are only
        Fitchain's errors."""
        try:
            yield
        except exceptions.ErrorResponse as error:
            raise self.node_error(path, str(error.args[0])) from None
        except exceptions.StatusError as error:
            raise self._refused(path, getattr(error.original, "response", None)) from None
        except (exceptions.TimeoutError, requests.Timeout, urllib3.exceptions.ReadTimeoutError):
            raise StoreUnreachable(f"the IPFS node at {self.address} does not answer {path} in time", START) from None
        except (
            exceptions.CommunicationError,
            exceptions.DecodingError,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
        ) as error:
            raise self._gone(path, error) from None

    def _gone(self, path: str, error: Exception) -> StoreUnusable:
        text = str(error)
        if "BadStatusLine" in text or "illegal" in text.lower():
            return self.no_kubo("no HTTP")
        why = re.search(
            r"(Connection refused|No route to host|Name or service not known|reset by peer|unreachable)", text
        )
        return StoreUnreachable(
            f"no IPFS node answers at {self.address} ({path}): {why[1] if why else 'the connection broke off'}", START
        )

    def _refused(self, path: str, response: Any) -> StoreUnusable:
        status = getattr(response, "status_code", 0)
        if response is not None and response.is_redirect:
            return StoreUnusable(
                f"what answers at {self.address} sends whoever asks on to another place, which is not followed",
                "name the node itself with --store or FITCHAIN_STORE",
            )
        if status == 429:
            return StoreUnreachable(
                f"the IPFS node at {self.address} asks to wait (status 429)", "wait, then try again"
            )
        if status in _REFUSALS:
            return StoreUnusable(
                f"the IPFS node at {self.address} answers {path} with status {status}: {_REFUSALS[status]}",
                "set store_authorization in settings.toml (bearer:<token> or basic:<user>:<password>)",
            )
        if status in (502, 503, 504):
            return StoreUnreachable(f"the IPFS node at {self.address} is not available (status {status})", START)
        return self.no_kubo(f"status {status} to {path}")

    def node_error(self, path: str, reason: str) -> NodeError:
        if any(sign in reason.lower() for sign in _FULL):
            return NodeError(
                f"the repository of the IPFS node at {self.address} is full: {reason:.200}",
                "`fitchain store gc` shows and frees what no pod keeps; Datastore.StorageMax bounds it",
                reason,
            )
        return NodeError(
            f"the IPFS node at {self.address} refuses {path}: {reason:.300}", "read the node's log", reason
        )

    def no_kubo(self, what: str) -> StoreUnusable:
        return StoreUnusable(
            f"what answers at {self.address} is no Kubo RPC: it gave {what}",
            "the RPC's port is 5001 unless Addresses.API says otherwise; the gateway's port is another",
        )


def multipart(name: str, pieces: Iterable[bytes]) -> tuple[dict[str, str], Iterator[bytes]]:
    """The body of a request that sends one file, and its headers.

    Args:
        name: of the file; without quotes.
        pieces: its bytes.

    Source: RFC 7578
    """
    boundary = secrets.token_hex(16)
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, _body(boundary, name, pieces)


def _body(boundary: str, name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    filename = urllib.parse.quote(name, safe="")
    yield (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    yield from (piece for piece in pieces if piece)
    yield f"\r\n--{boundary}--\r\n".encode()


def parse_address(address: str) -> str:
    """Read a node's address, as the multiaddr that the client takes.

    Raises:
        InputRefused: it is none.
    """
    if address.startswith("ipfs:"):
        text = address.removeprefix("ipfs:")
        try:
            parsed = multiaddr.Multiaddr(text)
            if next(iter(parsed.items()))[0].name in ("ip4", "ip6", "dns", "dns4", "dns6"):
                return str(parsed)
        except (ValueError, TypeError, StopIteration, multiaddr.exceptions.Error):
            pass  # as any other that is none
        raise _bad_address(address)
    try:
        url = urllib.parse.urlsplit(address)
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        raise _bad_address(address) from None
    if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/"):
        raise _bad_address(address)
    if url.username or url.password or url.query or url.fragment:
        raise InputRefused(
            "the store's URL carries more than a host and a port",
            'a user and a password go into store_authorization = "basic:<user>:<password>"',
        )
    return f"/{_kind(url.hostname)}/{url.hostname}/tcp/{port}/{url.scheme}"


def _kind(host: str) -> str:
    try:
        return f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        return "dns"


def _header(authorization: str) -> str:
    """The header that Kubo's `API.Authorizations` expects."""
    kind, _, secret = authorization.partition(":")
    if kind == "bearer" and secret and secret.isprintable():
        return f"Bearer {secret}"
    if kind == "basic" and ":" in secret:
        return "Basic " + base64.b64encode(secret.encode()).decode()
    raise InputRefused("store_authorization is neither bearer:<token> nor basic:<user>:<password>")


def _bad_address(address: str) -> InputRefused:
    return InputRefused(
        f"{address!r:.200} is no address of a Kubo RPC",
        "it is a folder, or `ipfs:/ip4/127.0.0.1/tcp/5001`, or an URL like http://127.0.0.1:5001",
    )
