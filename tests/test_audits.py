"""Audits through the bindings, on a real node: stakes, draws, votes, verdicts, and what is read of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from fitchain.pod.ports.agreement import Audit, Audits, AuditTerms, Outcome, Phase, State, Verifier
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.proof.audit.vote import commitment
from fitchain.pod.values.digest import Digest, sha256
from fitchain.pod.values.errors import ChainUnusable, NotFound, Reverted
from fitchain.pod.values.ids import WHOLE_POOL, AgreementId, PanelId
from tests.chain_fixtures import ETHER, Account
from tests.challenges import challenge_seed
from tests.test_agreement import BOND, GROUP, KEY, PRICE, WEIGHTS, WINDOW, Parties, anchored, cid, parties

__all__ = ["parties"]

FEE, COUNTER_BOND, STAKE = 3 * ETHER, 2 * ETHER, 1000 * ETHER
TERMS = AuditTerms(segments=3, verifiers=3, window=WINDOW, fee=FEE, counter_bond=COUNTER_BOND)
DISPUTE = replace(TERMS, verifiers=0, dispute_verifiers=1)
EVIDENCE, TRACE, SALT = cid("evidence"), sha256(b"trace"), sha256(b"salt")
MISMATCH = (Outcome.MISMATCH, sha256(b"another trace"))
PassTime = Callable[[int], None]


@dataclass(frozen=True)
class Court:
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
def court(parties: Parties, open_account: Callable[..., Account]) -> Court:
    verifiers = [open_account(units=STAKE) for _ in range(4)]
    for one in verifiers:
        Audits(one.chain).stake()
    return Court(parties, verifiers)


# Verifiers


def test_stake_is_locked_and_the_account_can_be_drawn(court: Court) -> None:
    one = court.verifiers[1]
    assert court.reader.verifier(one.address) == Verifier(one.address, STAKE, 0, 0, 2, True)
    assert one.chain.fit_balance(one.address) == 0
    assert court.reader.pool() == [one.address for one in court.verifiers]
    assert court.reader.available(WHOLE_POOL, court.parties.owner.address, court.parties.scientist.address, 9) == 4


def test_account_that_cannot_pay_the_stake_is_told_so(open_account: Callable[..., Account]) -> None:
    with pytest.raises(ChainUnusable, match="the stake needs 1000 FIT"):
        Audits(open_account(units=STAKE - 1).chain).stake()


def test_who_leaves_waits_for_its_stake(
    parties: Parties, open_account: Callable[..., Account], court: Court, pass_time: PassTime
) -> None:
    one = open_account(units=STAKE)
    calls = Audits(one.chain)
    calls.stake()
    calls.unstake()
    record = calls.verifier(one.address)
    assert not record.active
    assert record.unbonded == one.chain.block("latest").timestamp + calls.unbonding_time()
    with pytest.raises(Reverted, match="NothingToWithdraw"):
        calls.withdraw()
    pass_time(calls.unbonding_time() + 1)
    calls.withdraw()
    assert one.chain.fit_balance(one.address) == STAKE
    assert court.reader.available(WHOLE_POOL, parties.owner.address, parties.scientist.address, 9) == 4


def test_panel_is_read_back(court: Court, reader: Chain) -> None:
    registry, members = Registry(court.parties.scientist.chain), [one.address for one in court.verifiers]
    id = registry.create_panel("three of four", members[:2])
    registry.extend_panel(id, members[2:3])
    panel = Registry(reader).panel(id)
    assert (panel.creator, panel.name) == (court.parties.scientist.address, "three of four")
    assert panel.members == tuple(members[:3])
    assert panel in Registry(reader).panels()
    owner, scientist = court.parties.owner.address, court.parties.scientist.address
    assert court.reader.available(id, owner, scientist, 2) == 2
    with pytest.raises(NotFound, match="no panel"):
        Registry(reader).panel(PanelId(sha256(b"none")))


# The steps of an audit


def test_job_without_audit_has_none(court: Court) -> None:
    audit = court.reader.read(court.parties.request())
    assert (audit.phase, audit.seats, audit.verdict) == (Phase.NONE, (), Outcome.NONE)
    assert court.reader.recipients(audit) == {}
    assert not audit.may_advance(1 << 40)


def test_audited_job_from_its_end_to_the_release_of_its_key(court: Court) -> None:
    owed = [calls.owed(calls.chain.address) for calls in (court.parties.by_owner, court.parties.by_scientist)]
    earned = sum(court.reader.verifier(one.address).earned for one in court.verifiers)
    id, chain = court.ended(), court.parties.owner.chain
    agreement, opened = court.parties.by_owner.read(id), court.reader.read(id)
    assert (agreement.state, agreement.dispute_deadline) == (State.AUDITING, 0)
    assert court.parties.by_owner.run_record(id).identity is None
    assert (opened.phase, opened.round, opened.window) == (Phase.AWAITING, 0, WINDOW)
    assert (opened.deadline, len(opened.seats)) == (chain.time_of(opened.opened_block) + WINDOW, 3)
    recipients = court.joined(id)
    given = court.reader.read(id)
    assert given.phase == Phase.EVIDENCE
    assert given.seed == challenge_seed(id, chain.block(given.challenge_block).hash)
    assert court.reader.recipients(given) == recipients
    (drawn,) = court.reader.draws(id)
    assert (drawn.round, drawn.seats) == (0, tuple(seat.verifier for seat in given.seats))
    revealed = court.vote(id, [(Outcome.MATCH, TRACE)] * 3)
    assert revealed.complete
    assert court.reader.evidence(revealed) == EVIDENCE
    assert [(vote.outcome, vote.trace) for vote in court.reader.votes(revealed)] == [(Outcome.MATCH, TRACE)] * 3
    court.reader.advance(id)
    matched = court.reader.read(id)
    assert (matched.phase, matched.verdict) == (Phase.MATCHED, Outcome.MATCH)
    assert court.parties.by_owner.read(id).state is State.AUDITING
    seat, calls = court.seated(id)[1]
    calls.release(id, KEY)
    court.reader.release(id, cid("another key"))
    assert [(one.by, one.identity) for one in court.reader.releases(id)] == [
        (matched.seats[seat].verifier, KEY),
        (court.parties.owner.address, cid("another key")),
    ]
    assert court.parties.by_owner.read(id).state is State.SETTLED
    assert {KEY, EVIDENCE} <= set(court.parties.by_owner.parcels(id))
    after = [calls.owed(calls.chain.address) for calls in (court.parties.by_owner, court.parties.by_scientist)]
    assert [have - had for had, have in zip(owed, after, strict=True)] == [PRICE + BOND, 0]
    assert sum(court.reader.verifier(one.address).earned for one in court.verifiers) - earned == FEE


def test_vote_against_the_quorum_costs_the_stake(court: Court, open_account: Callable[..., Account]) -> None:
    id = court.ended()
    court.joined(id)
    audit = court.vote(id, [MISMATCH, (Outcome.MATCH, TRACE), MISMATCH])
    assert audit.quorum == 2
    court.reader.advance(id)
    lazy = audit.seats[1].verifier
    assert court.reader.penalties(id) == {lazy: STAKE}
    assert court.reader.read(id).verdict is Outcome.MISMATCH
    assert court.parties.by_owner.read(id).state is State.FORFEITED
    assert [event.name for event in court.reader.events(id)][-2:] == ["Penalised", "Concluded"]
    assert not court.reader.verifier(lazy).active
    court.verifiers.append(open_account(units=STAKE))
    Audits(court.verifiers[-1].chain).stake()


def test_who_declines_is_replaced_at_once(court: Court) -> None:
    id = court.ended(replace(TERMS, verifiers=1, fee=ETHER))
    court.reader.draw(id)
    seats = court.reader.read(id).seats
    by_address = {one.address: Audits(one.chain) for one in court.verifiers}
    by_address[seats[0].verifier].decline(id, 0)
    declined = court.reader.read(id)
    assert declined.seats[0].declined
    assert declined.may_advance(0)
    court.reader.advance(id)
    redrawn = court.reader.read(id)
    assert (redrawn.phase, redrawn.round) == (Phase.JOINING, 1)
    assert redrawn.seats[0].verifier not in ("", seats[0].verifier)
    assert court.reader.penalties(id) == {}


def test_dispute_locks_fee_and_counter_bond_and_may_be_lost(court: Court, pass_time: PassTime) -> None:
    scientist = court.parties.scientist
    before = scientist.chain.fit_balance(scientist.address)
    id = court.ended(DISPUTE)
    deadline = court.parties.by_owner.read(id).dispute_deadline
    court.parties.by_scientist.dispute(id)
    assert before - scientist.chain.fit_balance(scientist.address) == PRICE + FEE + COUNTER_BOND
    disputed = court.parties.by_owner.read(id)
    assert (disputed.state, disputed.dispute_deadline) == (State.AUDITING, deadline)
    assert court.reader.read(id).disputed
    pass_time(WINDOW + 1)
    with pytest.raises(Reverted, match="DeadlinePassed"):
        court.reader.draw(id)
    court.reader.advance(id)
    assert court.reader.read(id).verdict is Outcome.INCONCLUSIVE
    assert court.parties.by_owner.read(id).state is State.SETTLED


def test_job_whose_terms_name_no_verifiers_at_all_cannot_be_disputed(court: Court) -> None:
    id = court.ended(AuditTerms())
    with pytest.raises(Reverted, match="DisputeNotAgreed"):
        court.parties.by_scientist.dispute(id)
