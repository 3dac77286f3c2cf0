"""Audits on a real node, driven by hand from the end of a training to a verdict, each seat voting
as it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from fitchain.pod.ports.agreement import Audit, Audits, AuditTerms
from fitchain.pod.values.ids import AgreementId, AuditRef
from tests.agreements import ASKER_NONCE, KEY, WINDOW, Parties, anchored, ending
from tests.audit_actors import EVIDENCE, FULL_STAKE, SALT, STAFF, TRACE, ManualSeat, StakedVerifiers, Vote, stake
from tests.chain_fixtures import ETHER, Account

__all__ = ["COUNTER_BOND", "DISPUTE", "EVIDENCE", "FEE", "SALT", "STAKE", "TERMS", "TRACE", "AuditScenario"]

FEE, COUNTER_BOND, STAKE = ETHER, 2 * ETHER, FULL_STAKE + 200 * ETHER
TERMS = AuditTerms(drawn_segments=3, verifiers=3, window=WINDOW, wait=WINDOW, fee_per_seat=FEE, seat_stake=20 * FEE)
DISPUTE = replace(TERMS, verifiers=0, dispute_verifiers=3, counter_bond=COUNTER_BOND)


@dataclass(frozen=True)
class AuditScenario:
    """Two parties, and verifiers that have staked."""

    parties: Parties
    verifiers: list[Account]

    @property
    def reader(self) -> Audits:
        return Audits(self.parties.owner.chain)

    @property
    def staff(self) -> StakedVerifiers:
        return StakedVerifiers(self.verifiers)

    def ended(self, terms: AuditTerms = TERMS) -> AgreementId:
        """A training that has ended."""
        id = self.parties.begun(audit=terms)
        made = anchored(self.parties, id, 9)
        self.parties.by_owner.finish(id, ending(made, None if terms.verifiers else KEY))
        return id

    def seated(self, id: AgreementId) -> list[ManualSeat]:
        """Who sits where."""
        return self.staff.seats(self.parties.owner.chain, id)

    def drawn(self, id: AgreementId) -> list[ManualSeat]:
        """Draw; who is drawn to which seat."""
        self.reader.draw(AuditRef(id), ASKER_NONCE)
        return self.seated(id)

    def joined(self, id: AgreementId) -> dict[int, str]:
        """Draw and let every seat join; their recipients."""
        self.drawn(id)
        return self.staff.join(self.parties.owner.chain, id)

    def vote(self, id: AgreementId, votes: Sequence[Vote]) -> Audit:
        """Submit evidence and let the seats vote, in order; the audit when all have revealed."""
        return self.staff.cast(self.parties.owner.chain, self.seated(id), votes)


@pytest.fixture(scope="module")
def scenario(parties: Parties, open_account: Callable[..., Account]) -> AuditScenario:
    return AuditScenario(parties, [stake(open_account(units=STAKE), STAKE) for _ in range(STAFF)])
