"""The plan of a market's faults: what happens when and to whom, all of it from one seed.

Kills are counted of pods and of the node; a killed command is one that a person asks again for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from random import Random

from fitchain.pod.values.digest import Digest, sha256
from tests.faults.market.moods import Mood

OWNERS = ("owner-1", "owner-2")
SCIENTISTS = ("scientist-1", "scientist-2")
VERIFIERS = ("verifier-1", "verifier-2", "verifier-3")
PODS = (*OWNERS, *SCIENTISTS, *VERIFIERS)
ON_SMALL_DISKS = ("owner-2", "scientist-2", "verifier-3")
"""Whose homes lie on disks of their own, which can be filled."""

NODE = "node"
BACK_S = 1.0
"""How long who was away is left alone once it is back."""
PAUSES_S = (1.0, 2.0, 3.0, 4.5)
FIRST_S = 6.0
REQUEST_EVERY_S = (20.0, 32.0)
KILLED_REQUESTS, AIMED_REQUESTS, AIMED_PODS = 0.4, 0.6, 0.4
"""How many of the requests are killed, and of these at a point instead of a time; how many of the
pods that start again are killed at a point."""


class Kind(StrEnum):
    """What happens."""

    REQUEST = "requests"
    REQUEST_KILLED = "requests killed"
    POD_KILLED = "pods killed"
    NODE_KILLED = "node killed"
    POD_STOPPED = "pods stopped"
    REORGANISED = "reorganisations"
    MOOD = "spells of an unruly node"
    STORE_FULL = "store full"
    STORE_READ_ONLY = "store read-only"
    HOME_FULL = "home full"
    CLOCK = "clock jumps"
    SECOND_POD = "second pods"


WEIGHTS = {
    Kind.POD_KILLED: 52,
    Kind.NODE_KILLED: 6,
    Kind.POD_STOPPED: 6,
    Kind.REORGANISED: 10,
    Kind.MOOD: 9,
    Kind.STORE_FULL: 3,
    Kind.STORE_READ_ONLY: 3,
    Kind.HOME_FULL: 4,
    Kind.CLOCK: 3,
    Kind.SECOND_POD: 4,
}
KILLS = frozenset({Kind.POD_KILLED, Kind.NODE_KILLED})

POINTS = {
    "owner": (
        *("record:checked:before", "send:accept:before", "send:accept:after", "record:accepted:before"),
        *("send:begin:before", "send:begin:after", "record:begun:before", "record:training:after"),
        *("send:anchor:before", "send:anchor:after", "record:anchored:before", "keep_fact:weights:after"),
        *("send:finish:before", "send:finish:after", "record:finished:before", "send:settle:after"),
        *("write::after", "keep_fact:evidence/0:before", "keep_fact:evidence/0:after", "send:submit:after"),
        *("keep_fact:key:before", "send:release:before", "send:release:after", "record:wiped:before"),
        *("keep_fact:removing:after", "record:removed:before", "record:removed:after"),
    ),
    "scientist": (
        *("send:draw:before", "send:draw:after", "record:note:before", "record:note:after"),
        *("record:received:before", "record:received:after", "send:acceptRelease:after", "send:settle:after"),
        *("record:settled:before", "record:trained:after"),
    ),
    "verifier": (
        *("record:drawn:after", "send:join:before", "send:join:after", "record:joined:before", "replay::before"),
        *("replay::after", "keep_fact:ballot/0:before", "keep_fact:ballot/0:after", "send:commit:before"),
        *("send:commit:after", "send:reveal:before", "send:reveal:after", "record:revealed:before"),
        *("send:withdraw:after", "keep_fact:removing:after", "record:removed:before", "record:wiped:before"),
    ),
}
"""Where an aimed pod ends, as `tests.faults.killable_pod` has points."""

REQUEST_POINTS = ("send:request:before", "send:request:after", "record:requested:before", "record:requested:after")


@dataclass(frozen=True)
class Fault:
    """One thing that happens.

    Args:
        at_s: seconds after the beginning.
        kind: what.
        who: to which party, or who asks; empty where it is about chain or store.
        lasts_s: for how long; of a killed pod or node, how long it is away, and of a command that
            is killed, how long it lives.
        number: blocks of a reorganisation, seconds of a clock's jump.
        aim: a point at which the pod that starts again, or the command, ends by SIGKILL.
        mood: of the node.
    """

    at_s: float
    kind: Kind
    who: str = ""
    lasts_s: float = 0.0
    number: int = 0
    aim: str = ""
    mood: Mood = Mood.HONEST

    def __str__(self) -> str:
        parts = (self.who, f"{self.lasts_s:.3g} s" if self.lasts_s else "", str(self.number or ""), self.aim)
        what = " ".join(filter(None, (*parts, "" if self.mood is Mood.HONEST else self.mood.value)))
        return f"{self.at_s:6.1f} s  {self.kind.value}{': ' if what else ''}{what}"


def plan(seed: int, kills: int | None = None, seconds: float | None = None) -> list[Fault]:
    """The faults of a seed, in order: the same seed plans the same.

    Args:
        seed: of all choices.
        kills: it ends with so many kills; None: with the time.
        seconds: it ends after so many; None: with the kills.
    """
    assert kills is not None or seconds is not None, "a plan has an end"
    faults, counted = list[Fault](), 0
    for fault in _endless(Random(seed)):
        if seconds is not None and fault.at_s > seconds:
            break
        faults.append(fault)
        counted += fault.kind in KILLS
        if kills is not None and counted >= kills:
            break
    return faults


def digest(faults: Sequence[Fault]) -> Digest:
    """Names a plan: two runs of one seed print the same."""
    return sha256("\n".join(map(str, faults)).encode())


def counts(faults: Sequence[Fault]) -> Counter[Kind]:
    """How many of each kind there are."""
    return Counter(fault.kind for fault in faults)


def _endless(random: Random) -> Iterator[Fault]:
    """Requests at their own pace, and between them whatever disturbs them."""
    at_s, next_request_s, numbers = FIRST_S, 0.0, count()
    back_s = dict.fromkeys((*PODS, NODE), 0.0)
    while True:
        while next_request_s <= at_s:
            yield _request(random, next_request_s, next(numbers))
            next_request_s += random.uniform(*REQUEST_EVERY_S)
        there = [name for name, since_s in back_s.items() if since_s <= at_s]
        yield (fault := _disturbance(random, at_s, there))
        if fault.kind in KILLS:
            back_s[fault.who or NODE] = at_s + fault.lasts_s + BACK_S
        at_s += random.choice(PAUSES_S)


def _request(random: Random, at_s: float, number: int) -> Fault:
    who = SCIENTISTS[number % len(SCIENTISTS)]
    if random.random() >= KILLED_REQUESTS:
        return Fault(at_s, Kind.REQUEST, who, number=number)
    if random.random() < AIMED_REQUESTS:
        return Fault(at_s, Kind.REQUEST_KILLED, who, number=number, aim=random.choice(REQUEST_POINTS))
    return Fault(at_s, Kind.REQUEST_KILLED, who, random.uniform(0.5, 8.0), number)


def _disturbance(random: Random, at_s: float, there: Sequence[str]) -> Fault:
    """One disturbance; only who is there is killed."""
    kind = random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    if kind is Kind.NODE_KILLED and NODE not in there:
        kind = Kind.POD_KILLED
    match kind:
        case Kind.POD_KILLED:
            who = random.choice([name for name in there if name != NODE])
            aim = random.choice(POINTS[role_of(who)]) if random.random() < AIMED_PODS else ""
            return Fault(at_s, kind, who, random.choice((0.0, 0.5, 2.0, 6.0)), aim=aim)
        case Kind.NODE_KILLED:
            return Fault(at_s, kind, lasts_s=random.choice((0.5, 2.0, 5.0)))
        case Kind.POD_STOPPED:
            return Fault(at_s, kind, random.choice(PODS), random.choice((5.0, 12.0, 20.0)))
        case Kind.REORGANISED:
            return Fault(at_s, kind, number=random.randint(1, 8))
        case Kind.MOOD:
            mood = random.choice([mood for mood in Mood if mood is not Mood.HONEST])
            return Fault(at_s, kind, lasts_s=random.choice((6.0, 12.0)), mood=mood)
        case Kind.HOME_FULL:
            return Fault(at_s, kind, random.choice(ON_SMALL_DISKS), random.choice((4.0, 8.0)))
        case Kind.CLOCK:
            return Fault(at_s, kind, number=random.choice((5, 30, 60)))
        case Kind.SECOND_POD:
            return Fault(at_s, kind, random.choice(PODS))
    return Fault(at_s, kind, lasts_s=random.choice((4.0, 7.0)))


def role_of(name: str) -> str:
    """What a party's pod is."""
    return name.partition("-")[0]
