"""Audits driven by hand: verifiers that stake, are drawn and vote as they are told, without
evidence or replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from fitchain.pod.jobs.links import LinkChain
from fitchain.pod.ports.agreement import Audit, Audits, AuditTerms, Outcome, audit_id
from fitchain.pod.ports.chain import Chain, Receipt
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.proof.audit.vote import commitment
from fitchain.pod.values.digest import ZERO, Digest, sha256
from fitchain.pod.values.ids import AgreementId, AuditRef, PanelId
from tests.agreements import ASKER_NONCE
from tests.chain_fixtures import ETHER, Account

FULL_STAKE = 1000 * ETHER
"""What a place in the pool costs."""
STAFF = 5
"""Verifiers of a module: as many as a jury of three needs."""
EVIDENCE = Cid.of(0x55, bytes(range(32)))
SALT, TRACE = sha256(b"salt of a vote"), sha256(b"trace")
TERMS = AuditTerms(drawn_segments=2, verifiers=3, window=600, wait=600, fee_per_seat=ETHER, seat_stake=20 * ETHER)
DISPUTE = replace(TERMS, verifiers=0, dispute_verifiers=3, counter_bond=ETHER)

Vote = tuple[Outcome, Digest]
"""An outcome, and the trace that is voted with it."""


def plain_vote(outcome: Outcome) -> Vote:
    """A vote as it should be: with a trace where it names one."""
    return outcome, TRACE if outcome in (Outcome.MATCH, Outcome.MISMATCH) else ZERO


@dataclass(frozen=True)
class ManualSeat:
    """One seat of an audit, and who acts for it by hand."""

    ref: AuditRef
    number: int
    account: Account

    @property
    def calls(self) -> Audits:
        return Audits(self.account.chain)

    def join(self) -> str:
        """Take the seat; the recipient for evidence."""
        audit, chain = self.calls.read(self.ref), self.account.chain
        link = LinkChain(self.account.keys, chain).link(Verifiers(chain).verifier(self.account.address), audit.opening)
        assert link is not None
        recipient = new_identity()[1]
        self.calls.join(self.ref, self.number, link, recipient)
        return recipient

    def decline(self) -> Receipt:
        """Give it back."""
        return self.calls.decline(self.ref, self.number)

    def commit(self, vote: Vote) -> Receipt:
        """Commit to a vote in the present round."""
        round = self.calls.read(self.ref).round
        bound = commitment(audit_id(self.ref), round, self.account.address, *vote, SALT)
        return self.calls.commit(self.ref, self.number, bound)

    def reveal(self, vote: Vote) -> Receipt:
        """Reveal it."""
        return self.calls.reveal(self.ref, self.number, *vote, SALT)


@dataclass(frozen=True)
class StakedVerifiers:
    """Verifiers that have staked and stand in the pool."""

    verifiers: list[Account]

    @property
    def addresses(self) -> list[str]:
        """Their accounts."""
        return [one.address for one in self.verifiers]

    def panel(self, creator: Chain, name: str) -> PanelId:
        """A panel of somebody's making that all of them join."""
        id = Registry(creator).create_panel(name)
        Verifiers(creator).invite(id, self.addresses)
        for one in self.verifiers:
            Verifiers(one.chain).join_panel(id)
        return id

    def seats(self, chain: Chain, id: AgreementId, ordinal: int = 0) -> list[ManualSeat]:
        """The seats of an audit that somebody is drawn to or sits in."""
        ref, by_address = AuditRef(id, ordinal), {one.address: one for one in self.verifiers}
        seats = Audits(chain).read(ref).seats
        return [ManualSeat(ref, seat.number, by_address[seat.verifier]) for seat in seats if seat.verifier]

    def gather(self, chain: Chain, id: AgreementId, ordinal: int = 0) -> None:
        """Draw the verifiers, with the nonce of `tests.agreements`, and let them join."""
        Audits(chain).draw(AuditRef(id, ordinal), ASKER_NONCE)
        self.join(chain, id, ordinal)

    def join(self, chain: Chain, id: AgreementId, ordinal: int = 0) -> dict[int, str]:
        """Let the drawn verifiers join; their recipients by seat."""
        return {seat.number: seat.join() for seat in self.seats(chain, id, ordinal)}

    def conclude(self, chain: Chain, id: AgreementId, outcome: Outcome, ordinal: int = 0) -> Audit:
        """Take an audit from its opening to a verdict on which all agree; the arguments are those
        of `vote`."""
        self.gather(chain, id, ordinal)
        self.vote(chain, id, outcome, ordinal)
        Audits(chain).advance(AuditRef(id, ordinal))
        return Audits(chain).read(AuditRef(id, ordinal))

    def vote(self, chain: Chain, id: AgreementId, outcome: Outcome, ordinal: int = 0) -> None:
        """Let the owner submit evidence, and the verifiers vote.

        Args:
            chain: the owner's.
            id, ordinal: the audit.
            outcome: what every verifier votes.
        """
        seats = self.seats(chain, id, ordinal)
        self.cast(chain, seats, [plain_vote(outcome)] * len(seats))

    def cast(self, chain: Chain, seats: Sequence[ManualSeat], votes: Sequence[Vote]) -> Audit:
        """Submit evidence and let the seats vote, in order; the audit when all have revealed."""
        ref = seats[0].ref
        Audits(chain).submit(ref, EVIDENCE)
        for seat, vote in zip(seats, votes, strict=True):
            seat.commit(vote)
        for seat, vote in zip(seats, votes, strict=True):
            seat.reveal(vote)
        return Audits(chain).read(ref)


def stake(account: Account, units: int = FULL_STAKE, pool: bool = True) -> Account:
    """Let an account stake, commit to its chain and, unless told otherwise, take a place in the
    pool."""
    calls = Verifiers(account.chain)
    calls.stake(units, LinkChain(account.keys, account.chain).commitment(Audits(account.chain).opened()))
    if pool:
        calls.join_pool()
    return account


@pytest.fixture(scope="module")
def staked_verifiers(open_account: Callable[..., Account]) -> StakedVerifiers:
    """Verifiers on the module's devnet."""
    return StakedVerifiers([stake(open_account(units=FULL_STAKE)) for _ in range(STAFF)])
