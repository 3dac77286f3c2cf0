"""What an audit finds, discloses and costs, and what it costs to get around it: exact numbers, for
whoever is about to agree on one.

It knows no chain. Of a training's N segments the first, the last and the one that ends in the
delivered leaf are always audited, and q of the n others are drawn. Someone who fakes F of those n
is missed only where all q fall beside them: P = 1 - C(n-F, q) / C(n, q).

Two bounds hold against different people. *Detection* holds against an owner alone: with a bond of
`Sampling.bond_needed` faking does not pay. `SeatRisk.insured` holds against an owner that buys
votes of verifiers who do not know one another: what they have to be insured for is more than the
fake is worth. Against a quorum that trusts one another neither does; there only the chance of the
draw counts, `SeatRisk.held`.
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

DISHONEST = Fraction(1, 3)
"""The share of a panel that is taken to act together, or to be silent, where nobody says otherwise."""

VOTES = 3
"""How often a seat can be drawn to vote: the contract draws seats anew that joined and were absent,
twice at most (`REDRAW_LIMIT` in contracts/types/Audit.sol)."""

JOB_GAS, ANCHOR_GAS, AGAIN_GAS = 610_000, 38_000, 320_000
"""Gas that owner and scientist pay of a job with an audit up to its end: request, accept, begin and
finish, and each anchor (snapshots/AuditedJobOfPanel.json); and of asking for another audit of a job
that has ended and consenting to it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How much of a training an audit looks at.

    Args:
        segments: N, one less than the training has leaves.
        wanted: q, segments that are drawn besides those that are always audited; all where there
            are no more.
        delivered: index of the delivered leaf; None for the last.
    """

    segments: int
    wanted: int
    delivered: int | None = None

    @classmethod
    def of(cls, steps: int, segment_steps: int, wanted: int, delivered: int | None = None) -> Sampling:
        """The sampling of a training of `steps` steps with a leaf every `segment_steps` of them."""
        return cls(-(-steps // segment_steps), wanted, delivered)

    @property
    def always(self) -> int:
        """Segments that every audit looks at."""
        delivered = self.segments if self.delivered is None else self.delivered
        return len({0, self.segments - 1, delivered - 1}) if self.segments else 0

    @property
    def inner(self) -> int:
        """n: segments that are audited only if they are drawn."""
        return self.segments - self.always

    @property
    def drawn_segments(self) -> int:
        """Of these, how many are drawn."""
        return min(self.wanted, self.inner)

    @property
    def audited(self) -> int:
        """All segments that are audited."""
        return self.always + self.drawn_segments

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
        self, price: int, fees: int, share: Fraction | None = None, answered: Fraction = ANSWERED
    ) -> int | None:
        """The bond with which faking a share does not pay.

        Who fakes the share f saves S(f) = f * price at most: an honest training costs its owner no
        more than the price, or it would not have been offered. Found, it loses price and bond, out
        of which the fees are paid first (to seats that may be its friends'). So faking pays nobody
        where bond >= fees + S(f) / (a P(f)) - price.

        Args:
            price, fees: in base units; the fees of all seats together.
            share: f; None for the f that pays best. P is concave in F, so F / P(F) is largest where
                all is faked.
            answered: a, how often an audit ends with a verdict.

        Returns:
            base units, at least the fees as the contract asks; None where no bond is enough, since
            nothing is drawn.
        """
        if self.inner and not self.drawn_segments:
            return None
        faked = Fraction(1) if share is None or not self.inner else Fraction(self.faked(share), self.inner)
        detection = self.detection(Fraction(1) if share is None else share)
        return max(fees, math.ceil(fees + faked * price / (answered * detection) - price))


@dataclass(frozen=True, slots=True)
class SeatRisk:
    """What the seats of an audit stand for.

    Args:
        seats: m, odd.
        fee_per_seat, seat_stake: FIT in base units.
    """

    seats: int
    fee_per_seat: int
    seat_stake: int

    @property
    def quorum(self) -> int:
        """Q: how many equal votes are a verdict."""
        return self.seats // 2 + 1

    @property
    def fees(self) -> int:
        """FIT in base units of all seats together."""
        return self.seats * self.fee_per_seat

    @property
    def insured(self) -> int:
        """What who buys a quorum has to answer for, in base units: each of Q seats that do not know
        one another risks its stake and its fee if the others vote honestly after all."""
        return self.quorum * (self.seat_stake + self.fee_per_seat)

    def held(self, share: Fraction = DISHONEST) -> Fraction:
        """How likely a share of those who can be drawn holds a quorum of the drawn seats.

        Each seat is taken to be drawn from the whole panel. Without replacement a quorum is rarer,
        so a small panel is safer than this says.
        """
        return _at_least(self.quorum, self.seats, share)

    def jobs_to_hold(self, share: Fraction = DISHONEST) -> int | None:
        """How many jobs an owner and a scientist who are one need on average until that share holds
        a quorum; None where it never does.

        A job gives them two draws: by the asker's nonce, and, if the asker lets its turn pass, by
        the hash of the turn's last block.
        """
        held = self.held(share)
        return math.ceil(1 / (1 - (1 - held) ** 2)) if held else None

    def stalled(self, share: Fraction = DISHONEST) -> Fraction:
        """How likely an audit comes to no verdict where a share of those who are drawn joins and
        then is silent, and everybody else votes alike; each of them pays a tenth of its seat's
        stake each time. Who does not even join is drawn anew at once."""
        return 1 - _at_least(self.quorum, self.seats, 1 - share**VOTES)


def failing_job(bond: int) -> int:
    """What a job costs owner and scientist together whose jury did not suit them, in base units of
    FIT: they withhold the evidence, and half of the bond is burned. Every other way out costs more,
    since Mismatch also pays the seats."""
    return bond - bond // 2


def parties_gas(anchors: int) -> int:
    """Gas of the transactions of owner and scientist in such a job.

    Args:
        anchors: how many it has.
    """
    return JOB_GAS + ANCHOR_GAS * anchors


def draws_needed(segments: int, share: Fraction, wanted: Fraction, delivered: int | None = None) -> int:
    """The least q with which a fake of so much is found as likely as wanted.

    Args:
        segments: N.
        share: f, above 0 and at most 1.
        wanted: P, from 0 to 1.
        delivered: index of the delivered leaf; None for the last.

    Raises:
        InputRefused: a share or a chance is none.
    """
    if not 0 < share <= 1:
        raise InputRefused(f"a faked share is above 0 and at most 1, not {float(share):g}")
    if not 0 <= wanted <= 1:
        raise InputRefused(f"a chance of detection is from 0 to 1, not {float(wanted):g}")
    inner = Sampling(segments, 0, delivered).inner
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


def _at_least(wanted: int, trials: int, chance: Fraction) -> Fraction:
    """How likely so many of independent trials come out."""
    return sum(
        (
            math.comb(trials, hits) * chance**hits * (1 - chance) ** (trials - hits)
            for hits in range(wanted, trials + 1)
        ),
        Fraction(0),
    )
