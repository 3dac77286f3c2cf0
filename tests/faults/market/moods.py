"""An unruly node: a proxy before an honest one that has moods, in which it lies, drops answers,
repeats old ones, sends what it is given twice, and is slow."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from random import Random
from typing import Any
from urllib.request import Request, urlopen

from tests.liars import Liar
from tests.node_proxy import Batch, Reply, proxy


class Mood(StrEnum):
    """What an unruly node does to some of its answers."""

    HONEST = "honest"
    LYING = "lying"
    DROPPING = "dropping answers"
    REPEATING = "repeating old answers"
    TWICE = "sending everything twice"
    SLOW = "slow"
    REFUSING = "refusing"
    BUSY = "busy"
    MIXED = "a bit of everything"


SHARE = 0.3
"""How many of the answers a mood spoils; of a liar's a tenth of that, since each reaches further.
"""
LIES = 0.05
SLOW_S = 1.5
MOST_KEPT = 2000
TIMEOUT_S = 20.0


class UnrulyNode:
    """Decides about requests and answers as its mood is.

    Args:
        upstream: URL of the honest node.
        seed: of its choices.

    `lied_at` says when it was in the mood to lie last, by this process's clock.
    """

    def __init__(self, upstream: str, seed: int) -> None:
        self.upstream, self.mood = upstream, Mood.HONEST
        self.lied_at = float("-inf")
        self._random, self._liar, self._lock = Random(seed), Liar(seed, LIES), threading.Lock()
        self._kept: dict[str, Any] = {}
        self._local = threading.local()

    def whole(self, calls: Batch) -> tuple[int, Any] | None:
        """Answer in the node's place, or send the request on, late or twice."""
        mood = self._local.mood = self._mood()
        match mood:
            case Mood.SLOW:
                time.sleep(SLOW_S)
            case Mood.BUSY:
                return 429, {}
            case Mood.REFUSING:
                refused = {"code": -32000, "message": "internal error"}
                answers = [{"jsonrpc": "2.0", "id": call["id"], "error": refused} for call in calls]
                return 200, answers if len(answers) > 1 else answers[0]
            case Mood.TWICE:
                body = json.dumps(calls).encode()
                with suppress(OSError):
                    urlopen(Request(self.upstream, body, {"Content-Type": "application/json"}), timeout=TIMEOUT_S)
        return None

    def change(self, call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        """Give an old answer to the same question."""
        key = json.dumps([call["method"], call.get("params")])
        with self._lock:
            if self._local.mood is Mood.REPEATING and key in self._kept:
                return answer | {"result": self._kept[key]}
            if "result" in answer and (key in self._kept or len(self._kept) < MOST_KEPT):
                self._kept.setdefault(key, answer["result"])
                if self._random.random() < 0.02:
                    self._kept[key] = answer["result"]
        return answer

    def reply(self, status: int, body: bytes) -> Reply | None:
        """Lie about an answer, or drop it."""
        mood = self._local.mood
        if mood is Mood.DROPPING:
            return None
        if mood is not Mood.LYING:
            return status, {}, body
        with self._lock:
            self.lied_at = time.monotonic()
            return self._liar.reply(status, body)

    def _mood(self) -> Mood:
        """The mood for one request."""
        with self._lock:
            if self.mood is Mood.LYING:
                return Mood.LYING  # whose liar has a share of its own
            if self.mood is Mood.HONEST or self._random.random() >= SHARE:
                return Mood.HONEST
            others = [mood for mood in Mood if mood not in (Mood.HONEST, Mood.MIXED)]
            return self._random.choice(others) if self.mood is Mood.MIXED else self.mood


@contextmanager
def unruly(upstream: str, seed: int) -> Iterator[tuple[str, UnrulyNode]]:
    """Run an unruly node before an honest one; yields its URL, and where its mood is set."""
    node = UnrulyNode(upstream, seed)
    with proxy(upstream, lambda _: None, whole=node.whole, change=node.change, reply=node.reply) as url:
        yield url, node
