"""Liars: what a node that is out of order, or lies, makes of an honest answer; and a count of what
that does to who asked.

Mutations keep most of an answer, so that they get beyond the first look at it.
"""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from fitchain.pod.values.errors import FitchainError
from tests.node_proxy import Reply

EXTREMES: list[Any] = [
    *(None, "", "0x", "0x0", "0xzz", "x" * 3000, "0x" + "ff" * 32, "0x" + "f" * 70),
    *(-1, 0, 2**70, 1e308, True, {}, [], [None], {"a": 1}, [[[[]]]]),
]
PAGE = b"<html><body>This domain is for sale</body></html>"


class Liar:
    """Answers with something else, now and then.

    Args:
        seed: of its choices; the same seed makes the same lies of the same answers.
        share: how many of the answers are lies.
    """

    def __init__(self, seed: int, share: float) -> None:
        self.random, self.share = Random(seed), share
        self.answers, self.last = 0, ""

    def reply(self, status: int, body: bytes) -> Reply:
        """What goes out in an answer's place."""
        self.answers += 1
        if self.random.random() >= self.share:
            return status, {}, body
        lie = self._lie(status, body)
        self.last = repr(lie)[:200]
        return lie

    def _lie(self, status: int, body: bytes) -> Reply:
        match self.random.randrange(20):
            case 0:
                return 200, {}, PAGE
            case 1:
                return self.random.choice([401, 403, 404, 405]), {}, self.random.choice([PAGE, b"", body])
            case 2:
                return 302, {"Location": "https://example.org/login?key=secret"}, b""
            case 3:
                return status, {}, body[: self.random.randrange(len(body))] if body else b""
            case 4:
                return status, {}, changed_bytes(self.random, body)
        try:
            return status, {}, json.dumps(self._changed(json.loads(body))).encode()
        except ValueError:
            return status, {}, changed_bytes(self.random, body)

    def _changed(self, answer: Any) -> Any:
        """Another answer: in nine of ten cases another result, which is what gets furthest."""
        calls = answer if isinstance(answer, list) else [answer]
        chosen = self.random.choice(calls) if calls else None
        if isinstance(chosen, dict) and "result" in chosen and self.random.random() < 0.9:
            chosen["result"] = changed(self.random, chosen["result"])
            return answer
        return changed(self.random, answer)


def changed(random: Random, value: Any) -> Any:
    """A JSON value with one place of it changed."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(list(value))
        rest = {name: each for name, each in value.items() if name != key}
        return rest if random.random() < 0.2 else value | {key: changed(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.85:
        at, how = random.randrange(len(value)), random.random()
        if how < 0.3:
            return value[:at] + value[at + 1 :] if how < 0.15 else [*value, value[at]]
        return [*value[:at], changed(random, value[at]), *value[at + 1 :]]
    if isinstance(value, str) and len(value) > 2 and random.random() < 0.6:
        at = random.randrange(2, len(value))
        digit = random.choice("0123456789abcdef")
        return random.choice(
            [
                value[:at],
                value[:at] + digit + value[at + 1 :],
                value + "00",
                value[:2] + value[4:],
                value[:at] + "f" * 64 + value[at + 64 :],
            ]
        )
    return random.choice(EXTREMES)


def changed_bytes(random: Random, data: bytes) -> bytes:
    """Bytes with a few of them changed, left out or put in."""
    out = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(out) + 1)
        match random.randrange(3):
            case 0 if at < len(out):
                out[at] = random.randrange(256)
            case 1:
                del out[at : at + random.randint(1, 8)]
            case _:
                out[at:at] = random.randbytes(random.randint(1, 8))
    return bytes(out)


@dataclass
class Interrogation:
    """What became of whoever asked a liar.

    Args:
        liar: who answered.
        acts: what is done, by name.
    """

    liar: Liar
    acts: Sequence[tuple[str, Callable[[], object]]]
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)

    def until(self, answers: int) -> None:
        """Do one after the other at random until so many answers were given."""
        while self.liar.answers < answers:
            name, act = self.liar.random.choice(self.acts)
            self.liar.last = ""
            try:
                act()
                self.outcomes["done"] += 1
            except FitchainError as error:
                self.outcomes[type(error).__name__] += 1
            except Exception as fault:  # noqa: BLE001 - this is what is looked for
                self.outcomes["fault"] += 1
                frames = [
                    frame for frame in traceback.extract_tb(fault.__traceback__) if "/fitchain/" in frame.filename
                ]
                place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "elsewhere"
                told = f"{name}: {fault!s:.100} after {self.liar.last}"
                self.faults.setdefault(f"{type(fault).__name__} at {place}", told)
