"""Audits on a real node, driven by hand from the end of a training to a verdict, each seat voting
as it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from fitchain.pod.ports.agreement import Audit, Audits, AuditTerms, Outcome
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.proof.audit.vote import commitment
from fitchain.pod.values.digest import Digest, sha256
from fitchain.pod.values.ids import AgreementId
from tests.agreements import GROUP, KEY, WEIGHTS, WINDOW, Parties, anchored, cid
from tests.chain_fixtures import ETHER, Account

FEE, COUNTER_BOND, STAKE = 3 * ETHER, 2 * ETHER, 1000 * ETHER
TERMS = AuditTerms(drawn_segments=3, verifiers=3, window=WINDOW, wait=WINDOW, fee_per_seat=FEE, seat_stake=20 * FEE)
DISPUTE = replace(TERMS, verifiers=0, dispute_verifiers=1)
EVIDENCE, TRACE, SALT = cid("evidence"), sha256(b"trace"), sha256(b"salt")


@dataclass(frozen=True)
class AuditScenario:
    """Two parties and four verifiers that have staked."""

    parties: Parties
    verifiers: list[Account]

    @property
    def reader(self) -> Audits:
        return Audits(self.parties.owner.chain)

    def ended(self, terms: AuditTerms = TERMS) -> AgreementId:
        """A training that has ended."""
        id = self.parties.begun(audit=terms)
        made = anchored(self.parties, id, 9)
        self.parties.by_owner.finish(id, made.ending(GROUP, WEIGHTS, None if terms.verifiers else KEY))
        return id

    def seated(self, id: AgreementId) -> list[tuple[int, Audits]]:
        """Who sits where, and how it calls."""
        by_address = {one.address: Audits(one.chain) for one in self.verifiers}
        return [(seat.number, by_address[seat.verifier]) for seat in self.reader.read(id).seats if seat.verifier]

    def joined(self, id: AgreementId) -> dict[int, str]:
        """Draw and let every seat join; their recipients."""
        self.reader.draw(id)
        recipients = {seat: new_identity()[1] for seat, _ in self.seated(id)}
        for seat, calls in self.seated(id):
            calls.join(id, seat, recipients[seat])
        return recipients

    def vote(self, id: AgreementId, votes: list[tuple[Outcome, Digest]]) -> Audit:
        """Submit evidence and let the seats vote, in order; the audit when all have revealed."""
        self.reader.submit(id, EVIDENCE)
        cast = list(zip(self.seated(id), votes, strict=True))
        for (seat, calls), (outcome, trace) in cast:
            calls.commit(id, seat, commitment(id, 0, calls.chain.address, outcome, trace, SALT))
        for (seat, calls), (outcome, trace) in cast:
            calls.reveal(id, seat, outcome, trace, SALT)
        return self.reader.read(id)


@pytest.fixture(scope="module")
def scenario(parties: Parties, open_account: Callable[..., Account]) -> AuditScenario:
    verifiers = [open_account(units=STAKE) for _ in range(4)]
    for one in verifiers:
        Audits(one.chain).stake()
    return AuditScenario(parties, verifiers)
