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
BATCH = 100

# HTTP: too many requests; a gateway without its server, or out of time.
_BUSY = (429, 502, 503, 504)

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
        self.batch_limit = BATCH
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
        answers = self.answers(calls)
        for answer in answers:
            if isinstance(answer, NodeRefused):
                raise answer
        return answers

    def answers(self, calls: Sequence[Call]) -> list[Any]:
        """Ask the node several things at once, in as few HTTP requests as it takes.

        At most a hundred go together: few providers take more. Where the node refuses so many, half
        as many are tried, down to one by one, and it is not asked for more again.

        Args:
            calls: methods with their parameters.

        Returns:
            for each call its result, or the `NodeRefused` that answers it.

        Raises:
            NodeUnreachable: no answer in time.
        """
        results: list[Any] = []
        while len(results) < len(calls):
            part = calls[len(results) : len(results) + self.batch_limit]
            answers = self._together(part) if len(part) > 1 else [self._alone(*part[0])]
            if answers is None:
                self.batch_limit = len(part) // 2
            else:
                results += answers
        return results

    def _alone(self, method: str, params: list[Any]) -> Any:
        try:
            return self.request(method, *params)
        except NodeRefused as refusal:
            return refusal

    def _together(self, part: Sequence[Call]) -> list[Any] | None:
        """The answers to one batch; None where the node does not take so many at once: each asked
        by itself will tell what else may be wrong."""
        answers = self._retried(partial(self._post, part), self.retry_s)
        if not isinstance(answers, list) or len(answers) != len(part):
            return None
        results = [self._answer(method, answer) for (method, _), answer in zip(part, answers, strict=True)]
        return None if any(isinstance(result, NodeRefused) and _of_the_batch(result) for result in results) else results

    def _post(self, part: Sequence[Call]) -> Any:
        """Send a batch; None where the node answers that it will not have it."""
        import requests

        try:
            return self._provider.make_batch_request([*part])  # type: ignore[list-item]
        except requests.HTTPError as error:
            if error.response is not None and error.response.status_code in _BUSY:
                raise
            return None
        except ValueError as error:
            # No JSON at all. requests' own errors of that kind are those of a broken connection.
            if isinstance(error, requests.RequestException) and not isinstance(error, requests.JSONDecodeError):
                raise
            return None

    def _answer(self, method: str, answer: Any) -> Any:
        try:
            return self._result(method, answer)
        except NodeRefused as refusal:
            return refusal

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


def _of_the_batch(refusal: NodeRefused) -> bool:
    """Whether a call was refused for the company it came in: providers that count a batch's calls
    say so in each answer."""
    return refusal.code != 3 and "batch" in refusal.message.lower()


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
