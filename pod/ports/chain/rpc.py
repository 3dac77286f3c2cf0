"""JSON-RPC to one node, and the one place where web3's and requests' exceptions end.

Transport is web3's `HTTPProvider`; what is asked and how answers are decoded is this package's own,
because web3 decodes a log thirty times slower than it is read (10,000 logs: 66 ms raw, 2.3 s
decoded by web3).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from fitchain.pod.values.errors import InputRefused, NodeRefused, NodeUnreachable

if TYPE_CHECKING:
    from web3 import HTTPProvider

RETRY_S = 5.0
TIMEOUT_S = 30.0
FIRST_PAUSE_S = 0.05
BATCH = 200

T = TypeVar("T")
Call = tuple[str, list[Any]]


class Node:
    """One node.

    Args:
        url: http:// or https://.
        retry_s: how long an unreachable node is tried again, at doubling intervals, before the
            call gives up.
    """

    def __init__(self, url: str, retry_s: float = RETRY_S) -> None:
        self.url = url
        self.retry_s = retry_s
        self._provider = _provider(url)

    def request(self, method: str, *params: Any, repeat: bool = True) -> Any:
        """Ask the node.

        Args:
            method, params: as the Ethereum JSON-RPC specification has them.
            repeat: whether the request may be sent again when it is not known whether it arrived.

        Returns:
            the answer's `result`.

        Raises:
            NodeUnreachable: no answer within that time.
            NodeRefused: an answer that is an error.
        """
        from web3.types import RPCEndpoint

        retry_s = self.retry_s if repeat else 0.0
        answer = self._retried(lambda: self._provider.make_request(RPCEndpoint(method), list(params)), retry_s)
        return self._result(method, answer)

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Ask the node several things at once; results in the order asked. Raises as `request`."""
        results: list[Any] = []
        for start in range(0, len(calls), BATCH):
            part: list[Any] = list(calls[start : start + BATCH])
            answers = self._retried(partial(self._provider.make_batch_request, part), self.retry_s)
            if not isinstance(answers, list) or len(answers) != len(part):
                self._result("several requests at once", answers)
                raise NodeUnreachable(f"{self.shown} does not answer several requests at once")
            results += [self._result(method, answer) for (method, _), answer in zip(part, answers, strict=True)]
        return results

    @property
    def shown(self) -> str:
        """The URL for people, without user, password, path and query: those may hold a provider's
        key."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}" + ("/…" if len(parts.path) > 1 or parts.query else "")

    def _retried(self, ask: Callable[[], T], retry_s: float) -> T:
        """Ask, and again with back-off while the node cannot be reached."""
        import requests
        from web3.exceptions import Web3Exception

        deadline, pause_s = time.monotonic() + retry_s, FIRST_PAUSE_S
        while True:
            try:
                return ask()
            except (requests.RequestException, Web3Exception, ValueError, KeyError, TypeError, OSError) as error:
                if time.monotonic() + pause_s > deadline or not _passing(error):
                    raise NodeUnreachable(
                        f"no node answers at {self.shown}: {_reason(error)}",
                        "start it (`fitchain devnet up` for the local one), or name another with --rpc or FITCHAIN_RPC",
                    ) from None
            time.sleep(pause_s)
            pause_s *= 2

    def _result(self, method: str, answer: Any) -> Any:
        error = answer.get("error") if isinstance(answer, dict) else None
        if error is None:
            if isinstance(answer, dict) and "result" in answer:
                return answer["result"]
            raise NodeUnreachable(
                f"{self.shown} does not speak JSON-RPC: it answers {method} with {str(answer)[:80]!r}"
            )
        if not isinstance(error, dict):
            error = {"message": str(error)}
        message = f"the node at {self.shown} refuses {method}: {error.get('message', 'without a reason')}"
        raise NodeRefused(message, code=error.get("code", 0), data=error.get("data"))


def _provider(url: str) -> HTTPProvider:
    import requests
    from web3 import HTTPProvider

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputRefused(f"a node's URL begins with http:// or https://, not {url!r}")
    session = requests.Session()
    # A proxy for the web is none for this machine's own node.
    session.trust_env = parts.hostname not in ("127.0.0.1", "localhost", "::1")
    return HTTPProvider(url, request_kwargs={"timeout": TIMEOUT_S}, session=session, exception_retry_configuration=None)


def _passing(error: Exception) -> bool:
    """Whether the fault may pass by itself: no connection, no time, too many requests, a server's
    trouble."""
    import requests

    if isinstance(error, requests.HTTPError):
        return error.response is not None and (error.response.status_code == 429 or error.response.status_code >= 500)
    return isinstance(error, requests.ConnectionError | requests.Timeout | ConnectionError | TimeoutError)


def _reason(error: Exception) -> str:
    """Why, in a few words and without the URL."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "it takes too long"
    if isinstance(error, requests.ConnectionError):
        return "the connection fails"
    return f"its answer is not JSON-RPC ({type(error).__name__})"
