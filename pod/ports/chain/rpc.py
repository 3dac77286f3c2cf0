"""JSON-RPC to one node, and the one place where web3's and requests' exceptions end.

Transport is web3's `HTTPProvider`; what is asked and how answers are decoded is this package's own
(`answers`), because web3 decodes a log thirty times slower than it is read (10,000 logs: 66 ms raw,
2.3 s decoded by web3).

A node may be anybody's, and out of order: what it answers is bounded in bytes and time, and either
what was asked for or an error of a node that cannot be understood. A redirect is not followed: a
POST that follows one loses its body, and a key in the URL would go where nobody sent it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin

from fitchain.pod.ports.chain.answers import Query, block
from fitchain.pod.ports.settings import DevnetRecord
from fitchain.pod.values.digest import Digest, parse_answer
from fitchain.pod.values.errors import ChainUnusable, InputRefused, NodeRefused, NodeUnreachable
from fitchain.pod.values.limits import ANSWER
from fitchain.pod.values.urls import http_url, without_secrets

if TYPE_CHECKING:
    import requests
    from web3 import HTTPProvider

RETRY_S = 5.0
TIMEOUT_S = 30.0
ANSWER_S = 300.0
ANSWER_BYTES = ANSWER.text_bytes
PIECE_BYTES = 1 << 20
FIRST_PAUSE_S = 0.05
BATCH = 100
EXCERPT = 80

# HTTP: too many requests; a gateway without its server, or out of time.
_BUSY = (429, 502, 503, 504)
_ADVICE = {
    401: "the node wants to know who asks: its provider says which key belongs into the URL",
    402: "the provider wants to be paid: see its plan, or name another node with --rpc or FITCHAIN_RPC",
    403: "the node does not let you in: look at the key in its URL, and what its provider allows it",
    404: "nothing is at that path: compare the URL with the provider's",
    405: "the URL takes no POST: it is not a node's; name one with --rpc or FITCHAIN_RPC",
    429: "the provider counts requests: wait, or name a node of your own with --rpc or FITCHAIN_RPC",
}
_START = "start it (`fitchain devnet up` for the local one), or name another with --rpc or FITCHAIN_RPC"
_OTHER = "it may be out of order, or no Ethereum node: name another with --rpc or FITCHAIN_RPC"
# What decoding, and web3's own look at an answer, may raise of JSON that is none of JSON-RPC.
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError)

MOST_PAUSE_S = 1e9
_LIMIT_EXCEEDED = -32005
_OF_MANY_REQUESTS = re.compile(
    r"rate.?limit|too many requests|request count|requests? limit|per.second|throughput", re.I
)
_SHORT_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)

T = TypeVar("T")


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
        self._genesis: Digest | None = None
        self._devnet: Callable[[], DevnetRecord | None] = lambda: None
        self._record: DevnetRecord | None = None
        self._away = False

    @property
    def genesis(self) -> Digest | None:
        """Hash of the first block of the one chain that it is asked about (`stay_on`); None where
        it may be any."""
        return self._genesis

    def stay_on(self, genesis: Digest, devnet: Callable[[], DevnetRecord | None]) -> None:
        """Be asked about one chain alone, wherever it is served from.

        After an absence the node shows first that it still is on that chain. A devnet is followed
        to whatever port it comes back on.

        Args:
            genesis: hash of the chain's first block.
            devnet: the running devnet's record; None where the node is not a devnet's. It raises
                NodeUnreachable while none runs.
        """
        self._genesis, self._devnet, self._record = genesis, devnet, devnet()

    def ask(self, query: Query[T], repeat: bool = True) -> T:
        """Ask the node.

        Args:
            query: what, and how its answer is read.
            repeat: whether the request may be sent again when it is not known whether it arrived.

        Raises:
            NodeUnreachable: no answer within that time, or one that is none of what was asked.
            NodeRefused: an answer that is an error.
        """
        return self._decoded(query, self.request(query.method, *query.params, repeat=repeat))

    def request(self, method: str, *params: Any, repeat: bool = True) -> Any:
        """Ask the node for JSON that nobody decodes: what a devnet's node understands beside. For
        all else there is `ask`.

        Args:
            method, params: as the node's documentation has them.
            repeat: as `ask`.

        Returns:
            the answer's `result`.

        Raises:
            NodeUnreachable, NodeRefused: as `ask`.
        """
        from web3.types import RPCEndpoint

        retry_s = self.retry_s if repeat else 0.0

        def ask() -> Any:
            answer = self._provider.make_request(RPCEndpoint(method), list(params))
            _refuse_limited(method, answer)
            return answer

        return self._result(method, self._retried(ask, retry_s))

    def batch(self, queries: Sequence[Query[Any]]) -> list[Any]:
        """Ask the node several things at once; results in the order asked. Raises as `ask`."""
        answers = self.answers(queries)
        for answer in answers:
            if isinstance(answer, NodeRefused):
                raise answer
        return answers

    def answers(self, queries: Sequence[Query[Any]]) -> list[Any]:
        """Ask the node several things at once, in as few HTTP requests as it takes.

        At most a hundred go together: few providers take more. Where the node refuses so many, half
        as many are tried, down to one by one, and it is not asked for more again.

        Args:
            queries: what is asked.

        Returns:
            for each its decoded answer, or the `NodeRefused` that answers it.

        Raises:
            NodeUnreachable: no answer in time, or one that is none of what was asked.
        """
        results: list[Any] = []
        while len(results) < len(queries):
            part = queries[len(results) : len(results) + self.batch_limit]
            answers = self._together(part) if len(part) > 1 else [self._alone(part[0])]
            if answers is None:
                self.batch_limit = len(part) // 2
            else:
                results += answers
        return results

    def _alone(self, query: Query[Any]) -> Any:
        try:
            return self.ask(query)
        except NodeRefused as refusal:
            return refusal

    def _together(self, part: Sequence[Query[Any]]) -> list[Any] | None:
        """The answers to one batch; None where the node does not take so many at once: each asked
        by itself will tell what else may be wrong."""
        answers = self._retried(partial(self._post, part), self.retry_s)
        if answers is None:
            return None
        results = [self._answer(query, answer) for query, answer in zip(part, answers, strict=True)]
        return None if any(isinstance(result, NodeRefused) and _of_the_batch(result) for result in results) else results

    def _post(self, part: Sequence[Query[Any]]) -> list[Any] | None:
        """Send a batch; the answers in the order asked, None where the node answers that it will
        not have it.

        Raises:
            ValueError: the answers are not those to what was asked.
        """
        import requests

        answers: list[Any] | None
        try:
            asked: Any = [(query.method, query.params) for query in part]
            answers = self._provider.make_batch_request(asked)  # type: ignore[assignment]
            for query, answer in zip(part, answers or (), strict=False):
                _refuse_limited(query.method, answer)
        except requests.HTTPError as error:
            if error.response is not None and (error.response.status_code in _BUSY or error.response.is_redirect):
                raise
            return None
        except _MALFORMED as error:
            # No JSON at all. requests' own errors of that kind are those of a broken connection.
            if isinstance(error, requests.RequestException | _OtherAnswers | _Limited):
                raise
            return None
        return answers

    def _answer(self, query: Query[Any], answer: Any) -> Any:
        try:
            return self._decoded(query, self._result(query.method, answer))
        except NodeRefused as refusal:
            return refusal

    @property
    def shown(self) -> str:
        """The URL for people, without user, password, path and query: those may hold a provider's
        key."""
        return without_secrets(self.url)

    def _retried(self, ask: Callable[[], T], retry_s: float) -> T:
        """Ask, and again with back-off while the node cannot be reached, or for as long as it asks
        to be left alone."""
        import requests
        from web3.exceptions import Web3Exception

        deadline, pause_s = time.monotonic() + retry_s, FIRST_PAUSE_S
        while True:
            try:
                self._come_back()
                return ask()
            except NodeUnreachable:
                if time.monotonic() + pause_s > deadline:
                    raise
                wait_s = pause_s
            except (requests.RequestException, Web3Exception, OSError, *_MALFORMED) as error:
                self._away = self._away or (isinstance(error, OSError) and not _counts_requests(error))
                wait_s = max(pause_s, _wanted_pause_s(error))
                if time.monotonic() + wait_s > deadline or not _passing(error):
                    reason, hint = self._explained(error)
                    raise NodeUnreachable(f"no node answers at {self.shown}: {reason}", hint) from None
            time.sleep(wait_s)
            pause_s *= 2

    def _come_back(self) -> None:
        """After an absence, see where the chain is served from now, and that it is the same.

        Raises:
            NodeUnreachable: the devnet does not run.
            ChainUnusable: the node is on another chain.
        """
        if (record := self._devnet()) != self._record:
            self._away = True
        if not self._away or self._genesis is None:
            return
        if record is not None and record.rpc != self.url:
            self.url, self._provider = record.rpc, _provider(record.rpc)
        from web3.types import RPCEndpoint

        first = block(0)
        answer = self._provider.make_request(RPCEndpoint(first.method), first.params)
        header = self._decoded(first, self._result(first.method, answer))
        if header is None or header.hash != self._genesis:
            raise ChainUnusable(
                f"the node at {self.shown} is on another chain than it was: its first block is "
                f"{header.hash if header else 'missing'}, and was {self._genesis}",
                "a devnet that was begun anew is another chain: stop the pod, and take another home for it",
            )
        self._away, self._record = False, record

    def _result(self, method: str, answer: Any) -> Any:
        error = answer.get("error") if isinstance(answer, dict) else None
        if error is None:
            if isinstance(answer, dict) and "result" in answer:
                return answer["result"]
            raise NodeUnreachable(
                f"{self.shown} does not speak JSON-RPC: it answers {method} with {str(answer)[:EXCERPT]!r}", _OTHER
            )
        if not isinstance(error, dict):
            error = {"message": str(error)}
        code = error.get("code")
        message = f"the node at {self.shown} refuses {method}: {error.get('message', 'without a reason')!s:.300}"
        raise NodeRefused(message, code=code if isinstance(code, int) else 0, data=error.get("data"))

    def _decoded(self, query: Query[T], result: Any) -> T:
        """Read an answer.

        Raises:
            NodeUnreachable: it is none of what was asked.
        """
        try:
            return query.decode(result)
        except (ValueError, InputRefused) as error:
            raise NodeUnreachable(
                f"the node at {self.shown} answers {query.method} with what cannot be: {error!s:.200}", _OTHER
            ) from None

    def _explained(self, error: Exception) -> tuple[str, str]:
        """Why there is no answer, in a few words and without the URL; and what to do."""
        import requests

        if isinstance(error, requests.HTTPError) and error.response is not None:
            response = error.response
            if response.is_redirect:
                target = _redirected(self.url, response.headers["location"])
                return (
                    f"it sends whoever asks on to {target}, which is not followed",
                    "name that URL with --rpc or FITCHAIN_RPC, if it is whom you trust",
                )
            pause_s = _wanted_pause_s(error)
            until = f", and asks to wait {pause_s:.0f} s" if pause_s else ""
            return f"HTTP status {response.status_code}{until}", _ADVICE.get(response.status_code, _START)
        if isinstance(error, _Limited):
            return str(error), _ADVICE[429]
        if isinstance(error, requests.Timeout):
            return "it takes too long", _START
        if isinstance(error, _TooMuch | _OtherAnswers):
            return str(error), _OTHER
        if isinstance(error, _NotJson):
            return f"it answers with {error}, which is not JSON-RPC", _OTHER
        if isinstance(error, requests.ConnectionError | OSError) and not isinstance(error, ValueError):
            return "the connection fails", _START
        return f"its answer is not JSON-RPC ({type(error).__name__})", _OTHER


class _OtherAnswers(ValueError):
    """A batch whose answers are not those to its requests."""


class _TooMuch(ValueError):
    """An answer that goes on beyond all measure."""


class _Limited(ValueError):
    """An answer that says: not so many requests.

    Args:
        message: the provider's words.
        pause_s: seconds to be left alone for; 0 where it does not say.
    """

    def __init__(self, message: str, pause_s: float) -> None:
        super().__init__(message)
        self.pause_s = pause_s


class _NotJson(ValueError):
    """An answer that is no JSON; in words, what it is."""


def _provider(url: str) -> HTTPProvider:
    """web3's transport, with a session that bounds what it reads, and batches whose answers are
    matched by their ids."""
    import requests
    from web3 import HTTPProvider

    host = http_url(url, "URL of a node").hostname

    class Session(requests.Session):
        """Follows nothing, and reads no more than an answer may be."""

        def get_redirect_target(self, resp: requests.Response) -> None:
            """None: not even looked at, for `requests` trips over one that is no URL."""

        def request(self, *args: Any, **kwargs: Any) -> requests.Response:
            response = super().request(*args, **kwargs | {"allow_redirects": False, "stream": True})
            if response.is_redirect:
                response.close()
                raise requests.HTTPError("a redirect", response=response)
            response._content = _bounded(response)
            return response

    class Provider(HTTPProvider):
        """Matches the answers to a batch by their ids: JSON-RPC fixes no order."""

        def make_batch_request(self, batch_requests: list[Any]) -> Any:
            sent = self.encode_batch_rpc_request(batch_requests)
            assert self.endpoint_uri is not None
            session = self._request_session_manager
            raw = session.make_post_request(self.endpoint_uri, sent, **self.get_request_kwargs())
            return _matched(self.decode_rpc_response(raw), [call["id"] for call in json.loads(sent)])

        @staticmethod
        def decode_rpc_response(raw_response: bytes) -> Any:
            try:
                return parse_answer(raw_response)
            except ValueError:
                raise _NotJson(_kind_of(raw_response)) from None

    session = Session()
    # A proxy for the web is none for this machine's own node.
    session.trust_env = host not in ("127.0.0.1", "localhost", "::1")
    return Provider(url, request_kwargs={"timeout": TIMEOUT_S}, session=session, exception_retry_configuration=None)


def _bounded(response: requests.Response) -> bytes:
    """An answer's body.

    Raises:
        _TooMuch: it has more bytes, or takes longer, than any answer.
    """
    parts, size, deadline = list[bytes](), 0, time.monotonic() + ANSWER_S
    for piece in response.iter_content(PIECE_BYTES):
        parts.append(piece)
        size += len(piece)
        if size > ANSWER_BYTES or time.monotonic() > deadline:
            response.close()
            raise _TooMuch(f"its answer goes on beyond {ANSWER_BYTES >> 20} MiB or {ANSWER_S:.0f} s")
    return b"".join(parts)


def _refuse_limited(method: str, answer: Any) -> None:
    """Tell a provider that counts requests from a node that refuses one.

    A provider that limits logs says so by the same code, and is asked for less: there the words
    count alone.

    Raises:
        _Limited: it does.

    Source: EIP-1474 (-32005, limit exceeded); Infura's `data.rate.backoff_seconds`
    """
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return
    message, code = f"{error.get('message', '')!s:.200}", error.get("code")
    by_code = code == 429 or (code == _LIMIT_EXCEEDED and method != "eth_getLogs")
    if not by_code and not _OF_MANY_REQUESTS.search(message):
        return
    raise _Limited(f"it counts requests, and refuses {method}: {message}", _backoff_s(error.get("data")))


def _backoff_s(data: Any) -> float:
    """How long a provider that counts requests asks to be left alone; 0 where it does not say."""
    rate = data.get("rate") if isinstance(data, dict) else None
    pause_s = rate.get("backoff_seconds") if isinstance(rate, dict) else None
    return float(pause_s) if isinstance(pause_s, int | float) and 0 <= pause_s < MOST_PAUSE_S else 0.0


def _matched(answers: Any, ids: Sequence[int]) -> list[Any] | None:
    """A batch's answers in the order asked; None where they are not one for each: a node that does
    not take so many says so in many ways.

    Raises:
        _OtherAnswers: they are as many, and answer something else.
    """
    if not isinstance(answers, list) or len(answers) != len(ids):
        return None
    by_id = {_id_of(answer): answer for answer in answers}
    if by_id.keys() != set(ids):
        raise _OtherAnswers("its answers are to other requests")
    return [by_id[id] for id in ids]


def _id_of(answer: Any) -> int | None:
    """To which request a batch's answer is; some nodes give a number back as a text."""
    id = answer.get("id") if isinstance(answer, dict) else None
    if isinstance(id, str) and _SHORT_NUMBER.fullmatch(id):
        return int(id)
    return id if type(id) is int else None


def _of_the_batch(refusal: NodeRefused) -> bool:
    """Whether a call was refused for the company it came in: providers that count a batch's calls
    say so in each answer."""
    return refusal.code != 3 and "batch" in refusal.message.lower()


def _passing(error: Exception) -> bool:
    """Whether the fault may pass by itself: no connection, no time, too many requests, a server's
    trouble."""
    import requests

    if isinstance(error, _Limited):
        return True
    if isinstance(error, requests.HTTPError):
        return error.response is not None and (error.response.status_code == 429 or error.response.status_code >= 500)
    return isinstance(error, requests.ConnectionError | requests.Timeout | ConnectionError | TimeoutError)


def _counts_requests(error: Exception) -> bool:
    """Whether an HTTP error comes from a node that is there and has enough of whoever asks."""
    import requests

    response = error.response if isinstance(error, requests.HTTPError) else None
    return response is not None and response.status_code == 429


def _wanted_pause_s(error: Exception) -> float:
    """How long a busy node asks to be left alone, in seconds; 0 where it does not say.

    Source: RFC 9110, section 10.2.3
    """
    import requests

    if isinstance(error, _Limited):
        return error.pause_s
    headers: Mapping[str, str] = (
        error.response.headers if isinstance(error, requests.HTTPError) and error.response is not None else {}
    )
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp())


def _kind_of(raw: bytes) -> str:
    """What an answer is that is no JSON."""
    text = raw[:EXCERPT].decode(errors="replace").strip()
    if text[:1] == "<":
        return "a web page"
    return f"{text!r}" if text else "nothing"


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads to, for people."""
    try:
        return without_secrets(urljoin(url, location))
    except ValueError:
        return "somewhere that is no URL"
