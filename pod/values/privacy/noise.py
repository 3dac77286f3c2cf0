"""The discrete Gaussian on the integers, drawn from a keyed stream: the same bits on every machine.

N_Z(0, s^2) gives an integer x the weight exp(-x^2 / 2 s^2). A draw compares a uniform number of 128
bits with a table of the distribution's cumulative weights, out to 13 standard deviations, made with
decimals of eighty digits (correctly rounded by their specification); no float decides anything. The
first 16 bits look into a guide, which answers most draws; for the others 48 more are read, and the
last 64 where these are a threshold's very bits.

A large sigma is a sum: k Y + Z with k a power of two, Y ~ N_Z(0, v), v whole, Z ~ N_Z(0, w) and
k^2 v + w = s^2 exactly, 9 k^2 <= w < 10 k^2. Completing the square, the sum's weight at x is
exp(-x^2 / 2 s^2) times a sum over the integers y of exp(-(y - c x)^2 / 2 t^2), 1/t^2 = 1/v + k^2/w.
By Poisson's summation that is a constant times 1 + 2 sum over m >= 1 of
exp(-2 pi^2 t^2 m^2) cos(2 pi m c x): between 1 - e and 1 + e, with e < 2^-200 for the t^2 > 8 that
are chosen here. So the sum is not exactly N_Z(0, s^2), and its total variation from it is at most
e / (1 - e) beside that of its tables. Y is drawn likewise where it is still large.

Source: Canonne, Kamath and Steinke, arXiv 2004.00010 (what the noise is for); Micciancio and
Walter, "Gaussian Sampling over the Integers", CRYPTO 2017, section 4 (sums of draws); Chen and
Asau 1974 (guide tables).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.privacy.stream import SAMPLING, Region, Stream

LEAST_SIGMA, LARGEST_SIGMA = Fraction(1, 2), Fraction(2**34)
TAIL = 13
"""How many standard deviations a table goes out."""

WORD = 128
GUIDE = 16
LARGEST_TABLE = 128
"""The largest sigma of a single table: the guide of a larger one answers less, and two summands are
drawn faster than one of 1000."""

MOST_BITS = 5
"""log2 of k at most, so that the finer summand's sigma is about 100."""

BLOCK = 2**15
"""Draws at a time, so that what is looked at stays in the cache."""

UNDECIDED = -(2**15)
PRECISE = Context(prec=80, rounding=ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX)


class DiscreteGaussian:
    """N_Z(0, sigma^2), to be drawn from; one that was made is kept (`discrete_gaussian`).

    Args:
        sigma: standard deviation in units of the grid, exactly; 1/2 to 2^34, which is more than any
            recipe's (1000 clips of 2^24 units).

    Attributes:
        sigma: the same.
        total_variation: of one draw from the ideal distribution, at most.

    Raises:
        InputRefused: for a sigma out of its range.
    """

    def __init__(self, sigma: Fraction | int) -> None:
        self.sigma = Fraction(sigma)
        if not LEAST_SIGMA <= self.sigma <= LARGEST_SIGMA:
            raise InputRefused(f"noise has a sigma of {LEAST_SIGMA} to {LARGEST_SIGMA} units, not {float(sigma):g}")
        self._levels = levels(self.sigma**2)
        with localcontext(PRECISE):
            total = sum((level.table.total_variation + level.total_variation for level in self._levels), Decimal(0))
            self.total_variation = float(total) * (1 + 2**-50)

    def total_variation_of(self, draws: int) -> float:
        """Of so many draws together from as many ideal ones, at most.

        What it adds to a delta says `accountant.delta_with`.
        """
        return min(1.0, draws * self.total_variation * (1 + 2**-50))

    def draw(self, key: bytes, seed: bytes, step: int, domain: int, count: int) -> npt.NDArray[np.int64]:
        """Draw noise.

        Args:
            key: the segment's, 32 bytes.
            seed: the order seed, 32 bytes.
            step: from 0.
            domain: what the noise is for, 0 to 254: no two domains share a bit.
            count: how many numbers.

        Returns:
            [count], in units of the grid. Fewer numbers of the same domain are the first of them.

        Raises:
            InputRefused: for a key or seed of another length, a step or domain out of its range.
        """
        if domain == SAMPLING:
            raise InputRefused(f"domain {SAMPLING} of a key draws units, not noise")
        stream = Stream(key, seed, step, domain)
        drawers = [Drawer(level.table, stream, 3 * i) for i, level in enumerate(self._levels)]
        noise = np.empty(count, np.int64)
        for start in range(0, count, BLOCK):
            block = noise[start : start + BLOCK]
            block[:] = drawers[0].draw(len(block))
            for level, drawer in zip(self._levels[1:], drawers[1:], strict=True):
                block <<= level.bits
                block += drawer.draw(len(block))
        return noise


@lru_cache(maxsize=64)
def discrete_gaussian(sigma: Fraction) -> DiscreteGaussian:
    """N_Z(0, sigma^2) with its tables, made once in a process.

    Args:
        sigma: as of `DiscreteGaussian`.
    """
    return DiscreteGaussian(sigma)


@dataclass(frozen=True)
class Level:
    """One summand of a draw.

    Args:
        table: what it is drawn by.
        bits: log2 of what the summands above it are multiples of; 0 for the first.
        total_variation: of the sum so far from its ideal, were all tables exact.
    """

    table: Table
    bits: int
    total_variation: Decimal


def levels(variance: Fraction) -> list[Level]:
    """How N_Z(0, variance) is drawn, from the coarsest summand to the finest."""
    if variance <= LARGEST_TABLE**2:
        return [Level(table_of(variance), 0, Decimal(0))]
    bits = min(MOST_BITS, math.isqrt(math.isqrt(int(variance)) // 3).bit_length())
    k2 = 4**bits
    coarse = variance // k2 - 9
    fine = variance - k2 * coarse
    return [*levels(Fraction(coarse)), Level(table_of(fine), bits, variation_of_sum(Fraction(coarse), fine, k2))]


def variation_of_sum(coarse: Fraction, fine: Fraction, k2: int) -> Decimal:
    """Total variation of k Y + Z from a discrete Gaussian, at most.

    Args:
        coarse, fine: variances of Y and Z.
        k2: k^2.
    """
    with localcontext(PRECISE):
        t2 = 1 / (1 / coarse + k2 / fine)
        exponent = -2 * Fraction("9.8696") * t2  # pi^2 is a little more
        term = (decimal(exponent) * (1 - Decimal("1e-70"))).exp()
        e = 2 * term / (1 - term)
        return e / (1 - e) * (1 + Decimal("1e-70"))


@lru_cache(maxsize=128)
def table_of(variance: Fraction) -> Table:
    """The table of N_Z(0, variance), made once in a process."""
    return Table(variance)


class Table:
    """Cumulative weights of N_Z(0, variance) in units of 2^-128, symmetric about 0.

    Outcome number i is the integer i - reach; a uniform number of 128 bits has as many thresholds
    at or below it as the number of its outcome.

    Args:
        variance: above 0.

    Attributes:
        reach: the largest integer that it gives.
        thresholds: [2 reach] in order, below 2^128 each.
        total_variation: from the ideal distribution, at most.
    """

    def __init__(self, variance: Fraction) -> None:
        weights, tail = weights_of(variance)
        with localcontext(PRECISE):
            scale = 2**WORD / (1 + 2 * sum(weights[1:]))
            beside = [int((weight * scale).to_integral_value()) for weight in weights[1:]]
            self.total_variation = (2 * tail * scale + len(weights)) / 2**WORD
        while not beside[-1]:
            beside.pop()
        self.reach = len(beside)
        probabilities = [*reversed(beside), 2**WORD - 2 * sum(beside), *beside]
        self.thresholds: list[int] = []
        total = 0
        for probability in probabilities[:-1]:
            self.thresholds.append(total := total + probability)
        self.probabilities = probabilities
        self.high = np.array([threshold >> 64 for threshold in self.thresholds], np.uint64)
        self.guide = self._guide()

    def _guide(self) -> npt.NDArray[np.int16]:
        """[2^16], by the first bits: the integer, or `UNDECIDED` where a threshold lies among
        those that begin so."""
        starts = np.arange(2**GUIDE)
        shift = WORD - GUIDE
        first = np.searchsorted([-(-threshold >> shift) for threshold in self.thresholds], starts, side="right")
        last = np.searchsorted([threshold >> shift for threshold in self.thresholds], starts, side="right")
        return np.where(first == last, first - self.reach, UNDECIDED).astype(np.int16)

    def outcomes(self, high: npt.NDArray[np.uint64], ties: Region) -> npt.NDArray[np.int16]:
        """The integers of uniform numbers.

        Args:
            high: [N], their first 64 bits.
            ties: gives the last 64 bits, eight bytes each, little-endian, of those whose first are
                a threshold's.
        """
        numbers = np.searchsorted(self.high, high, side="right")
        (tied,) = (self.high[numbers - 1] == high).nonzero()
        for i in tied:
            low = int.from_bytes(ties.read(8), "little")
            numbers[i] = bisect_right(self.thresholds, int(high[i]) << 64 | low)
        return (numbers - self.reach).astype(np.int16)


def weights_of(variance: Fraction) -> tuple[list[Decimal], Decimal]:
    """exp(-x^2 / 2 variance) for x from 0 to `TAIL` standard deviations, and the sum of all that
    follow, at most."""
    reach = math.isqrt(math.ceil(TAIL**2 * variance)) + 1
    with localcontext(PRECISE):
        ratio = (-1 / (2 * decimal(variance))).exp()
        square, step, weight = ratio * ratio, ratio, Decimal(1)
        weights = [weight]
        for _ in range(reach):
            weight *= step
            step *= square
            weights.append(weight)
        return weights, weight * step / (1 - step)


def decimal(value: Fraction) -> Decimal:
    """A fraction as a decimal of the present precision."""
    return Decimal(value.numerator) / Decimal(value.denominator)


class Drawer:
    """Draws by one table from three regions of a stream: first bits, further bits, last bits.

    Args:
        table: whose.
        stream: which.
        region: the first of the three.
    """

    def __init__(self, table: Table, stream: Stream, region: int) -> None:
        self._table = table
        self._first, self._further, self._last = (stream.region(region + i) for i in range(3))

    def draw(self, count: int) -> npt.NDArray[np.int16]:
        """The next integers, [count]."""
        first = np.frombuffer(self._first.read(2 * count), "<u2")
        drawn: npt.NDArray[np.int16] = self._table.guide[first]
        (undecided,) = (drawn == UNDECIDED).nonzero()
        if undecided.size:
            further = np.frombuffer(self._further.read(8 * undecided.size), "<u8")
            high = first[undecided].astype(np.uint64) << np.uint64(48) | further >> np.uint64(16)
            drawn[undecided] = self._table.outcomes(high, self._last)
        return drawn
