"""A provider's front door: it stands before a real node and refuses what a test wants refused, as
providers do."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import Request, urlopen

Verdict = tuple[int, dict[str, Any] | None] | None
"""None lets a request pass; else the HTTP status, and the JSON-RPC error to answer with."""

Batch = list[dict[str, Any]]
Reply = tuple[int, dict[str, str], bytes]
"""An HTTP status, headers and a body."""


@dataclass
class Traffic:
    """What went through a proxy.

    Args:
        posts: methods of each HTTP request, in order.
    """

    posts: list[list[str]] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many HTTP requests there were."""
        return len(self.posts)


class Doors(ThreadingHTTPServer):
    """Serves many at once, and says nothing of who went away in the middle of a request."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def counting(upstream: str) -> Iterator[tuple[str, Traffic]]:
    """Run a proxy that lets everything pass and counts; yields its URL and what went through."""
    traffic = Traffic()

    def whole(calls: Batch) -> None:
        traffic.posts.append([call["method"] for call in calls])

    with proxy(upstream, lambda _: None, whole=whole) as url:
        yield url, traffic


@contextmanager
def leaving_once_mined(upstream: str) -> Iterator[str]:
    """Run a proxy that refuses everything once it has told of a transaction that it was mined;
    yields its URL."""
    mined = list[str]()

    def remember(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getTransactionReceipt" and answer["result"]:
            mined.append(answer["result"]["transactionHash"])
        return answer

    with proxy(upstream, lambda _: None, whole=lambda calls: (403, None) if mined else None, change=remember) as url:
        yield url


@contextmanager
def proxy(
    upstream: str,
    judge: Callable[[dict[str, Any]], Verdict],
    posted: Callable[[], None] = lambda: None,
    whole: Callable[[Batch], tuple[int, Any] | None] = lambda calls: None,
    change: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] = lambda call, answer: answer,
    reply: Callable[[int, bytes], Reply | None] = lambda status, body: (status, {}, body),
) -> Iterator[str]:
    """Run a proxy before a node; yields its URL.

    Args:
        upstream: the node's URL.
        judge: says of every single JSON-RPC request whether it passes.
        posted: is told of every HTTP request, which may hold several of them.
        whole: says of every HTTP request whether it passes, by None; else the status and the JSON
            value to answer with.
        change: gives what is answered to a single request, of the request and the node's answer.
        reply: gives what goes out, of the status and the body that would; None ends the connection
            without an answer.

    While the node does not answer, the proxy says what a gateway says then: 502.
    """

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for the reader's acknowledgement

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            if len(body := self.rfile.read(length)) < length:
                return None  # whoever asked is gone
            posted()
            parsed = json.loads(body)
            calls = parsed if isinstance(parsed, list) else [parsed]
            if (answer := whole(calls)) is not None:
                return self.answer(answer[0], json.dumps(answer[1]).encode())
            for call in calls:
                if (verdict := judge(call)) is not None:
                    status, error = verdict
                    return self.answer(
                        status, json.dumps({"jsonrpc": "2.0", "id": call["id"], "error": error}).encode()
                    )
            try:
                with urlopen(Request(upstream, body, {"Content-Type": "application/json"})) as response:
                    answers = json.loads(response.read())
            except (OSError, HTTPException):
                return self.answer(502, b"{}")
            if not isinstance(parsed, list):
                return self.answer(200, json.dumps(change(parsed, answers)).encode())
            changed = [change(call, each) for call, each in zip(calls, answers, strict=True)]
            return self.answer(200, json.dumps(changed).encode())

        def answer(self, status: int, body: bytes) -> None:
            if (replied := reply(status, body)) is None:
                self.close_connection = True
                return
            status, headers, body = replied
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            with suppress(ConnectionError):  # whoever asked is gone
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = Doors(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
