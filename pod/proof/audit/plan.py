"""What is agreed of an audit: the numbers of its terms, and the defaults of who names none.

The arithmetic is `cost`'s. Both parties see a plan before they sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from fitchain.pod.proof.audit.cost import Sampling, draws_needed

if TYPE_CHECKING:
    from fitchain.pod.ports.agreement import Terms
    from fitchain.pod.values.recipe import Recipe

FAKED_SHARE, DETECTION = Fraction(1, 10), Fraction(95, 100)
"""What a request that names no q draws for: so much faked is found so likely."""
MOST_DRAWS = 4096
"""The contract draws no more."""
STAKE_IN_FEES = 20
"""What a seat locks where nobody names it, in fees of a seat: the most that the contract takes."""


@dataclass(frozen=True)
class AuditPlan:
    """What is about to be agreed on.

    Args:
        steps, segment_steps: T and k.
        wanted: q.
        seats: verifiers of the audit, or of a dispute where there is none.
        disputed: whether there is an audit only if the scientist disputes.
        price, fee_per_seat, bond: in base units; a bond of None is not fixed yet.
        batch_size: records of a step; None where it is not known here.
        records: how many the training may read; None likewise.
    """

    steps: int
    segment_steps: int
    wanted: int
    seats: int
    disputed: bool
    price: int
    fee_per_seat: int
    bond: int | None
    batch_size: int | None = None
    records: int | None = None

    @classmethod
    def of(cls, terms: Terms, recipe: Recipe | None = None) -> AuditPlan:
        """The plan of an agreement's terms; the recipe tells how many records are disclosed."""
        audit = terms.audit
        size, rows = (recipe.batch_size, recipe.rows[1] - recipe.rows[0]) if recipe else (None, None)
        seats, disputed = audit.seats, not audit.verifiers
        money = (terms.price, audit.fee_per_seat, terms.bond)
        return cls(terms.steps, terms.segment_steps, audit.drawn_segments, seats, disputed, *money, size, rows)

    @property
    def fees(self) -> int:
        """Base units, of all seats."""
        return self.seats * self.fee_per_seat

    @property
    def sampling(self) -> Sampling:
        """What is drawn of the training."""
        return Sampling.of(self.steps, self.segment_steps, self.wanted)

    @property
    def bond_needed(self) -> int | None:
        """The bond with which faking pays nobody; None where no bond is enough."""
        return self.sampling.bond_needed(self.price, self.fees)

    @property
    def disclosed(self) -> int | None:
        """Records that the verifiers see at most; None where it is not known here."""
        if self.batch_size is None or self.records is None:
            return None
        return self.sampling.disclosed(self.segment_steps, self.batch_size, self.records)


def default_draws(steps: int, segment_steps: int) -> int:
    """q where nobody names one: what finds a tenth faked with 95 %."""
    return min(draws_needed(-(-steps // segment_steps), FAKED_SHARE, DETECTION), MOST_DRAWS)


def default_fee(price: int, bond: int, sampling: Sampling, seats: int, floor: int) -> int:
    """f where nobody names one: what a seat earns.

    A seat is paid the part of the price that it retrains, or the deployment's floor. And no less
    than what makes a quorum answer for more than it can gain: a bribed seat risks 20 f
    (`STAKE_IN_FEES`), and a verdict moves price and bond.

    Args:
        price, bond: in base units.
        sampling: what is audited.
        seats: m, odd.
        floor: the deployment's least fee of a seat.
    """
    replay = -(-price * sampling.audited // max(sampling.segments, 1))
    answered_for = -(-(price + bond) // (STAKE_IN_FEES * (seats // 2 + 1)))
    return max(replay, floor, answered_for)


def default_money(
    price: int, sampling: Sampling, seats: int, floor: int, fee: int | None = None, bond: int | None = None
) -> tuple[int, int]:
    """Fee of a seat and bond, where one or both are left open: the bond with which faking pays
    nobody, no less than the price and than the fees it has to cover.

    Each follows from the other: a higher bond asks for a higher fee, of which a tenth at most comes
    back to the bond. So they settle.

    Args:
        price: in base units.
        sampling: what is audited.
        seats: m, odd.
        floor: the deployment's least fee of a seat.
        fee, bond: what is chosen already.

    Returns:
        both in base units.
    """
    risked, earned = price if bond is None else bond, -1
    while True:
        paid = default_fee(price, risked, sampling, seats, floor) if fee is None else fee
        if paid == earned:
            return paid, risked
        earned = paid
        if bond is None:
            risked = max(price, seats * paid, sampling.bond_needed(price, seats * paid) or 0)
