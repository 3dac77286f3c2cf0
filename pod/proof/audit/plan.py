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
MOST_DRAWS = (1 << 16) - 1
"""The contract holds q in uint16."""


@dataclass(frozen=True)
class AuditPlan:
    """What is about to be agreed on.

    Args:
        steps, segment_steps: T and k.
        wanted: q.
        seats: verifiers of the audit, or of a dispute where there is none.
        disputed: whether there is an audit only if the scientist disputes.
        price, fee, bond: in base units; a bond of None is not fixed yet.
        batch_size: records of a step; None where it is not known here.
        records: how many the training may read; None likewise.
    """

    steps: int
    segment_steps: int
    wanted: int
    seats: int
    disputed: bool
    price: int
    fee: int
    bond: int | None
    batch_size: int | None = None
    records: int | None = None

    @classmethod
    def of(cls, terms: Terms, recipe: Recipe | None = None) -> AuditPlan:
        """The plan of an agreement's terms; the recipe tells how many records are disclosed."""
        audit = terms.audit
        size, rows = (recipe.batch_size, recipe.rows[1] - recipe.rows[0]) if recipe else (None, None)
        seats, disputed = audit.seats, not audit.verifiers
        money = (terms.price, audit.fee, terms.bond)
        return cls(terms.steps, terms.segment_steps, audit.segments, seats, disputed, *money, size, rows)

    @property
    def sampling(self) -> Sampling:
        """What is drawn of the training."""
        return Sampling.of(self.steps, self.segment_steps, self.wanted)

    @property
    def bond_needed(self) -> int | None:
        """The bond with which faking pays nobody; None where no bond is enough."""
        return self.sampling.bond_needed(self.price, self.fee)

    @property
    def disclosed(self) -> int | None:
        """Records that the verifiers see at most; None where it is not known here."""
        if self.batch_size is None or self.records is None:
            return None
        return self.sampling.disclosed(self.segment_steps, self.batch_size, self.records)


def default_draws(steps: int, segment_steps: int) -> int:
    """q where nobody names one: what finds a tenth faked with 95 %."""
    return min(draws_needed(-(-steps // segment_steps), FAKED_SHARE, DETECTION), MOST_DRAWS)


def fair_fee(price: int, sampling: Sampling, seats: int) -> int:
    """The fee where nobody names one: to each verifier the part of the price that it retrains."""
    return seats * -(-price * sampling.audited // max(sampling.segments, 1))
