"""How often a draw finds a fake: the real draw over many segment seeds, and the interval in which
the formula wants it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from fitchain.pod.proof.audit.challenge import audited_segments
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.values.digest import Digest, sha256

DRAWS, SEED = 1000, 2024
SHARES = (Fraction(1, 100), Fraction(5, 100), Fraction(10, 100), Fraction(50, 100))
COUNTS = (5, 29, 44, 66)
LENGTHS = (100, 1000)
PLAYED_SEGMENTS, PLAYED_DRAWN = 6, 2
"""The job that is played, and how much of it is drawn for the table."""
OUTSIDE = Fraction(1, 100)
"""How often a true rate may lie outside its interval."""


@dataclass(frozen=True)
class Rate:
    """Detection of one adversary over simulated draws.

    Args:
        segments, drawn: N and q.
        faked: inner segments that are faked.
        hits: draws, of `DRAWS`, that found one.
        chance: what the formula says.
        low, high: the fewest and the most hits that lie in the formula's 99 % interval.
    """

    segments: int
    drawn: int
    faked: int
    hits: int
    chance: Fraction
    low: int
    high: int

    @property
    def holds(self) -> bool:
        """Whether the measured rate lies in the interval."""
        return self.low <= self.hits <= self.high


def challenges(*cell: int) -> Iterator[Digest]:
    """`DRAWS` random segment seeds: others for each cell of a table, and the same in every run."""
    dice = np.random.default_rng([SEED, *cell])
    for _ in range(DRAWS):
        yield Digest(dice.bytes(32))


def drawn_segments(seed: Digest, segments: int, drawn: int) -> tuple[int, ...]:
    """What is audited of a finished run whose last leaf is delivered."""
    return audited_segments(seed, segments + 1, segments, False, drawn)


def measure(segments: int, drawn: int, faked: Collection[int]) -> Rate:
    """Draw at every challenge; count the draws that a fake does not survive.

    Args:
        segments: N.
        drawn: q.
        faked: the segments that do not replay, at either end too.
    """
    sampling, wanted = Sampling(segments, drawn), frozenset(faked)
    inner = len(wanted - {0, segments - 1})
    hits = sum(
        not wanted.isdisjoint(drawn_segments(seed, segments, drawn)) for seed in challenges(segments, drawn, inner)
    )
    certain = inner < len(wanted)
    chance = Fraction(1) if certain else sampling.detection(Fraction(inner, sampling.inner)) if inner else Fraction(0)
    low, high = interval(DRAWS, chance)
    return Rate(segments, drawn, inner, hits, chance, low, high)


def of_attack(faked: Collection[int]) -> Rate:
    """How often an attack on these segments of the job that is played is found where not everything
    is audited."""
    return measure(PLAYED_SEGMENTS, PLAYED_DRAWN, faked)


def best_fakes(segments: int, share: Fraction) -> list[int]:
    """Where an adversary fakes: never at the ends, which are always audited; and since the draw is
    uniform, no place between them is better than another. This one chooses the place by how seldom
    earlier draws fell there."""
    past = np.zeros(segments, int)
    for number in range(50):
        seen = sha256(b"an earlier draw %d" % number)
        past[list(drawn_segments(seen, segments, COUNTS[0]))] += 1
    inner = np.arange(1, segments - 1)
    seldom = inner[np.argsort(past[inner], kind="stable")]
    return [int(segment) for segment in seldom[: Sampling(segments, 0).faked(share)]]


def table() -> list[Rate]:
    """Every share, count and length."""
    return [
        measure(length, count, best_fakes(length, share)) for length in LENGTHS for share in SHARES for count in COUNTS
    ]


def interval(draws: int, chance: Fraction, outside: Fraction = OUTSIDE) -> tuple[int, int]:
    """The central interval of a binomial: below it and above it lie no more than half of `outside`
    each."""
    if chance in (0, 1):
        return (int(chance) * draws,) * 2
    tail, below, mass = float(outside) / 2, 0.0, _masses(draws, chance)
    low = next(hits for hits in range(draws + 1) if (below := below + mass[hits]) > tail)
    above = 0.0
    high = next(hits for hits in range(draws, -1, -1) if (above := above + mass[hits]) > tail)
    return low, high


def _masses(draws: int, chance: Fraction) -> list[float]:
    """How likely each number of hits is."""
    missed = float(1 - chance)  # exact near 1, where the chance itself rounds to it
    hit_log, miss_log = math.log1p(-missed), math.log(missed)
    ways = math.lgamma(draws + 1)
    return [
        math.exp(
            ways - math.lgamma(hits + 1) - math.lgamma(draws - hits + 1) + hits * hit_log + (draws - hits) * miss_log
        )
        for hits in range(draws + 1)
    ]


def missed_segments(segments: int, drawn: int, shown: Collection[int]) -> Digest:
    """A segment seed whose inner segments are just these: what an owner hopes for who keeps only
    them honest."""
    wanted = {0, segments - 1, *shown}
    return next(seed for seed in challenges() if set(drawn_segments(seed, segments, drawn)) == wanted)
