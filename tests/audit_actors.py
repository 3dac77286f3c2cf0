"""Audits driven by hand: verifiers that stake, are drawn and vote as they are told, without
evidence or replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from fitchain.pod.ports.agreement import Audit, Audits, AuditTerms, Outcome
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.proof.audit.vote import commitment
from fitchain.pod.values.digest import ZERO, sha256
from fitchain.pod.values.ids import AgreementId
from tests.chain_fixtures import ETHER, Account

FULL_STAKE = 1000 * ETHER
EVIDENCE = Cid.of(0x55, bytes(range(32)))
SALT = sha256(b"salt of a vote")
TERMS = AuditTerms(drawn_segments=2, verifiers=3, window=600, wait=600, fee_per_seat=ETHER, seat_stake=20 * ETHER)
DISPUTE = replace(TERMS, verifiers=0, dispute_verifiers=3, counter_bond=ETHER)


@dataclass(frozen=True)
class StakedVerifiers:
    """Verifiers that have staked."""

    verifiers: list[Account]

    @property
    def addresses(self) -> list[str]:
        """Their accounts."""
        return [one.address for one in self.verifiers]

    def seats(self, chain: Chain, id: AgreementId) -> list[tuple[int, Audits]]:
        """The seats of an audit, and how each one's verifier calls."""
        by_address = {one.address: Audits(one.chain) for one in self.verifiers}
        return [(seat.number, by_address[seat.verifier]) for seat in Audits(chain).read(id).seats if seat.verifier]

    def gather(self, chain: Chain, id: AgreementId) -> None:
        """Draw the verifiers and let them join."""
        Audits(chain).draw(id)
        self.join(chain, id)

    def join(self, chain: Chain, id: AgreementId) -> None:
        """Let the drawn verifiers join."""
        for seat, calls in self.seats(chain, id):
            calls.join(id, seat, new_identity()[1])

    def conclude(self, chain: Chain, id: AgreementId, outcome: Outcome) -> Audit:
        """Take an audit from its opening to a verdict on which all agree; the arguments are those
        of `vote`."""
        self.gather(chain, id)
        self.vote(chain, id, outcome)
        Audits(chain).advance(id)
        return Audits(chain).read(id)

    def vote(self, chain: Chain, id: AgreementId, outcome: Outcome) -> None:
        """Let the owner submit evidence, and the verifiers vote.

        Args:
            chain: the owner's.
            id: the agreement.
            outcome: what every verifier votes.
        """
        Audits(chain).submit(id, EVIDENCE)
        trace = sha256(b"trace") if outcome in (Outcome.MATCH, Outcome.MISMATCH) else ZERO
        for seat, calls in self.seats(chain, id):
            calls.commit(id, seat, commitment(id, 0, calls.chain.address, outcome, trace, SALT))
        for seat, calls in self.seats(chain, id):
            calls.reveal(id, seat, outcome, trace, SALT)


@pytest.fixture(scope="module")
def staked_verifiers(open_account: Callable[..., Account]) -> StakedVerifiers:
    """Four verifiers on the module's devnet."""
    verifiers = [open_account(units=FULL_STAKE) for _ in range(4)]
    for one in verifiers:
        Audits(one.chain).stake()
    return StakedVerifiers(verifiers)
