"""A small RPC server that plays a Kubo node which lies, fails or is something else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.node_proxy import Reply

Answer = tuple[int, bytes]


def told(message: str) -> Answer:
    """An error as Kubo tells it."""
    return 500, json.dumps({"Message": message, "Code": 0, "Type": "error"}).encode()


def said(**values: Any) -> Answer:
    """An object as Kubo tells it."""
    return 200, json.dumps(values).encode()


@dataclass
class Fake:
    """What the server answers: a function of the arguments for each command; what it makes of all
    of it; and what it was asked."""

    address: str = ""
    answers: dict[str, Callable[[dict[str, list[str]]], Answer]] = field(default_factory=dict)
    reply: Callable[[int, bytes], Reply] = lambda status, body: (status, {}, body)
    asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = field(default_factory=list)


@contextmanager
def serving(**answers: Callable[[dict[str, list[str]]], Answer]) -> Iterator[Fake]:
    """Serve until the block ends; `block_get=...` answers block/get. `anything` answers
    the rest."""
    fake = Fake(answers=dict(answers))
    fake.answers.setdefault("version", lambda query: said(Version="0.43.0"))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            url = urlsplit(self.path)
            command, query = url.path.removeprefix("/api/v0/"), parse_qs(url.query)
            fake.asked.append((command, query, dict(self.headers)))
            self._drain()
            answer = fake.answers.get(command.replace("/", "_")) or fake.answers.get("anything")
            status, body = answer(query) if answer else (404, b"404 page not found")
            status, headers, body = fake.reply(status, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def _drain(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    self.rfile.read(size + 2)
                self.rfile.readline()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
