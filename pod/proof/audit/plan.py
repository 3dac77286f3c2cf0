"""What is agreed of an audit: the numbers of its terms, and the defaults of who names none.

The arithmetic is `cost`'s. Both parties see a plan before they sign.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from fitchain.pod.proof.audit.cost import Sampling, SeatRisk, draws_needed

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Card
    from fitchain.pod.ports.agreement import Terms
    from fitchain.pod.values.recipe import Recipe

FAKED_SHARE, DETECTION = Fraction(1, 10), Fraction(95, 100)
"""What a request that names no q draws for: so much faked is found so likely."""
MOST_DRAWS = 4096
"""The contract draws no more."""
LEAST_STAKE_FEES, MOST_STAKE_FEES = 10, 20
"""A seat's stake is ten to twenty times its fee, or the contract refuses the terms."""


@dataclass(frozen=True)
class AuditPlan:
    """What is about to be agreed on.

    Args:
        steps, segment_steps: T and k.
        wanted: q.
        seats: verifiers of the audit, or of a dispute where there is none.
        disputed: whether there is an audit only if the scientist disputes.
        price, fee_per_seat, seat_stake, bond: in base units; a bond of None is not fixed yet.
        batch_size: records of a step; None where it is not known here.
        records: how many the job may read; None likewise.
        delivered: index of the delivered leaf, where it is known and not the last.
        held_out: how many of these records only evaluate the model: an audit opens all of them.
        chooses: whether the recipe's rule may yet deliver a leaf before the last, whose segment is
            audited then, too.
        reference: how many records the opened segment of a risk report's reference training takes.
        has_places: whether these are units' places for records, of which some may be empty.
    """

    steps: int
    segment_steps: int
    wanted: int
    seats: int
    disputed: bool
    price: int
    fee_per_seat: int
    seat_stake: int
    bond: int | None
    batch_size: int | None = None
    records: int | None = None
    delivered: int | None = None
    held_out: int = 0
    chooses: bool = False
    reference: int = 0
    has_places: bool = False

    @classmethod
    def of(
        cls, terms: Terms, recipe: Recipe | None = None, delivered: int | None = None, card: Card | None = None
    ) -> AuditPlan:
        """The plan of an agreement's terms; recipe and card tell how many records are disclosed,
        and of a run that has ended the chain which leaf was delivered."""
        from fitchain.pod.proof.audit.disclosure import records_of_reference

        audit = terms.audit
        return cls(
            steps=terms.steps,
            segment_steps=terms.segment_steps,
            wanted=audit.drawn_segments,
            seats=audit.seats,
            disputed=not audit.verifiers,
            price=terms.price,
            fee_per_seat=audit.fee_per_seat,
            seat_stake=audit.seat_stake,
            bond=terms.bond,
            batch_size=recipe.batch_size * recipe.unit_records if recipe else None,
            records=recipe.row_count if recipe else None,
            held_out=recipe.held_out_count * recipe.unit_records if recipe else 0,
            chooses=recipe is not None and recipe.best is not None and delivered is None,
            delivered=delivered,
            has_places=recipe is not None and recipe.unit_records > 1,
            reference=records_of_reference(audit, recipe, card) if recipe else 0,
        )

    @property
    def sampling(self) -> Sampling:
        """What is drawn of the training."""
        return Sampling.of(self.steps, self.segment_steps, self.wanted, self.delivered)

    @property
    def risk(self) -> SeatRisk:
        """What the seats stand for."""
        return SeatRisk(self.seats, self.fee_per_seat, self.seat_stake)

    @property
    def fees(self) -> int:
        """FIT in base units of all seats together."""
        return self.risk.fees

    @property
    def bond_needed(self) -> int | None:
        """The bond with which faking pays nobody; None where no bond is enough."""
        return self.sampling.bond_needed(self.price, self.fees)

    @property
    def at_stake(self) -> int | None:
        """What a caught owner loses, price and bond, and so the most that votes are worth to it;
        None where the bond is not fixed yet."""
        return None if self.bond is None else self.price + self.bond

    @property
    def disclosed(self) -> int | None:
        """Records that the verifiers see at most; None where it is not known here."""
        if self.batch_size is None or self.records is None:
            return None
        training = self.records - self.held_out
        drawn = self.sampling.disclosed(self.segment_steps, self.batch_size, training)
        chosen = self.segment_steps * self.batch_size if self.chooses else 0
        return min(drawn + chosen, training) + self.held_out + self.reference


def default_draws(steps: int, segment_steps: int) -> int:
    """q where nobody names one: what finds a tenth faked with 95 %."""
    return min(draws_needed(-(-steps // segment_steps), FAKED_SHARE, DETECTION), MOST_DRAWS)


def seat_fee(price: int, bond: int, sampling: Sampling, seats: int, floor: int = 0) -> int:
    """The fee of a seat where nobody names one, in base units of FIT.

    The largest of three: the part of the price that the seat trains again; the deployment's floor;
    and (price + bond) / (20 Q), so that with a seat's stake of twenty fees who buys a quorum
    answers for more than a fake is worth.

    Args:
        price, bond: of the terms, in base units.
        sampling: what is audited.
        seats: m.
        floor: the least that the deployment takes.
    """
    quorum = seats // 2 + 1
    return max(math.ceil(price * sampling.work), floor, -(-(price + bond) // (MOST_STAKE_FEES * quorum)))


# Many parameters: what a fee and a bond follow from, and which of the two is chosen already.
def default_money(
    price: int,
    sampling: Sampling,
    seats: int,
    floor: int = 0,
    bond: int | None = None,
    fee: int | None = None,
    least_bond: int = 0,
) -> tuple[int, int]:
    """Fee of a seat and bond where one or both are not named: each follows from the other, and the
    least two that agree are found.

    Args:
        price, sampling, seats, floor: as `seat_fee` takes them.
        bond, fee: in base units, where they are named.
        least_bond: in base units, of a bond that is not named.

    Returns:
        (fee of a seat, bond), in base units. Where no bond is enough, because nothing is drawn, the
        bond is what the contract asks for.
    """
    risked, paid = least_bond if bond is None else bond, -1
    while paid != (paid := seat_fee(price, risked, sampling, seats, floor) if fee is None else fee):
        if bond is None:
            risked = max(least_bond, sampling.bond_needed(price, seats * paid) or 0, seats * paid)
    return paid, risked
