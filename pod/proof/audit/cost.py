"""What an audit finds, discloses and costs: exact numbers, for whoever is about to agree on one.

It knows no chain. Of a training's N segments the first and the last are always audited, and q of
the n = N-2 between them are drawn. Someone who fakes F of those n is missed only where all q fall
beside them: P = 1 - C(n-F, q) / C(n, q).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from fitchain.pod.values.errors import InputRefused

ANSWERED = Fraction(9, 10)
"""How often an audit is taken to end with a verdict where nobody says otherwise."""

SHARES = (Fraction(1, 100), Fraction(5, 100), Fraction(10, 100), Fraction(50, 100))
"""The faked shares that a table of costs shows."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How much of a training an audit looks at.

    Args:
        segments: N, one less than the training has leaves.
        wanted: q, inner segments that are drawn; all where there are no more.
    """

    segments: int
    wanted: int

    @classmethod
    def of(cls, steps: int, segment_steps: int, wanted: int) -> Sampling:
        """The sampling of a training of `steps` steps with a leaf every `segment_steps` of them."""
        return cls(-(-steps // segment_steps), wanted)

    @property
    def inner(self) -> int:
        """n: segments that are not audited in any case."""
        return max(self.segments - 2, 0)

    @property
    def drawn_segments(self) -> int:
        """Inner segments that are audited."""
        return min(self.wanted, self.inner)

    @property
    def audited(self) -> int:
        """All segments that are audited."""
        return min(self.segments, 2) + self.drawn_segments

    @property
    def work(self) -> Fraction:
        """What one verifier trains again, as a share of the training."""
        return Fraction(self.audited, self.segments) if self.segments else Fraction(0)

    def faked(self, share: Fraction) -> int:
        """F: how many inner segments a share of them is, rounded up."""
        return math.ceil(share * self.inner)

    def detection(self, share: Fraction) -> Fraction:
        """P: how likely a fake of so much of the inner segments is found by one honest replay of
        what was drawn.

        Args:
            share: f, above 0 and at most 1.
        """
        if self.inner == 0:
            return Fraction(1)  # every segment is audited
        return _caught(self.inner, self.faked(share), self.drawn_segments)

    def bound(self, share: Fraction) -> float:
        """1 - (1-f)^q, which P is never below."""
        return 1 - (1 - float(share)) ** self.drawn_segments if self.inner else 1.0

    def disclosed(self, segment_steps: int, batch_size: int, records: int) -> int:
        """How many of the owner's records the verifiers see at most.

        Args:
            segment_steps: k, steps of a segment.
            batch_size: records of a step.
            records: how many the recipe trains on.
        """
        return min(records, self.audited * segment_steps * batch_size)

    def bond_needed(
        self, price: int, fee: int, share: Fraction | None = None, answered: Fraction = ANSWERED
    ) -> int | None:
        """The bond with which faking a share does not pay.

        Who fakes the share f saves S(f) = f * price at most: an honest training costs its owner no
        more than the price, or it would not have been offered. Found, it loses price and bond, out
        of which the fees are paid first. So faking pays nobody where bond >= fee + S(f) / (a P(f))
        - price.

        Args:
            price, fee: in base units.
            share: f; None for the f that pays best. P is concave in F, so F / P(F) is largest where
                all is faked.
            answered: a, how often an audit ends with a verdict.

        Returns:
            base units, at least the fee as the contract asks; None where no bond is enough, since
            nothing is drawn.
        """
        if self.inner and not self.drawn_segments:
            return None
        faked = Fraction(1) if share is None or not self.inner else Fraction(self.faked(share), self.inner)
        detection = self.detection(Fraction(1) if share is None else share)
        return max(fee, math.ceil(fee + faked * price / (answered * detection) - price))


def draws_needed(segments: int, share: Fraction, wanted: Fraction) -> int:
    """The least q with which a fake of so much is found as likely as wanted.

    Args:
        segments: N.
        share: f, above 0 and at most 1.
        wanted: P, from 0 to 1.

    Raises:
        InputRefused: a share or a chance is none.
    """
    if not 0 < share <= 1:
        raise InputRefused(f"a faked share is above 0 and at most 1, not {float(share):g}")
    if not 0 <= wanted <= 1:
        raise InputRefused(f"a chance of detection is from 0 to 1, not {float(wanted):g}")
    inner = max(segments - 2, 0)
    faked = math.ceil(share * inner)
    if inner == 0 or wanted == 0:
        return 0
    certain = inner - faked + 1  # with so many, one of the faked is among them
    if wanted == 1 or faked == inner:
        return certain
    low, high = 0, min(certain, math.ceil(math.log1p(-float(wanted)) / math.log1p(-faked / inner)) + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _caught(inner, faked, middle) >= wanted else (middle + 1, high)
    return low


def _caught(inner: int, faked: int, drawn: int) -> Fraction:
    """How likely at least one of the faked is among the drawn."""
    if faked == 0 or drawn == 0:
        return Fraction(0)
    if drawn + faked > inner:
        return Fraction(1)
    few, many = sorted((faked, drawn))  # the two may change places, and the fewer factors the quicker
    return 1 - Fraction(math.comb(inner - many, few), math.comb(inner, few))
