"""Audits through the bindings, on a real node: stakes, draws, votes, verdicts, and what is read of
them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fitchain.pod.ports.agreement import Audits, AuditTerms, Outcome, Phase, State, Verifier
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.registry import Registry
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import ChainUnusable, NotFound, Reverted
from fitchain.pod.values.ids import WHOLE_POOL, PanelId
from tests.agreements import BOND, KEY, PRICE, WINDOW, Parties, cid
from tests.audit_scenario import COUNTER_BOND, DISPUTE, EVIDENCE, FEE, STAKE, TERMS, TRACE, AuditScenario
from tests.chain_fixtures import ETHER, Account
from tests.challenges import challenge_seed

MISMATCH = (Outcome.MISMATCH, sha256(b"another trace"))
PassTime = Callable[[int], None]


# Verifiers


def test_stake_is_locked_and_the_account_can_be_drawn(scenario: AuditScenario) -> None:
    one = scenario.verifiers[1]
    assert scenario.reader.verifier(one.address) == Verifier(one.address, STAKE, 0, 0, 2, True)
    assert one.chain.fit_balance(one.address) == 0
    assert scenario.reader.pool() == [one.address for one in scenario.verifiers]
    assert (
        scenario.reader.available(WHOLE_POOL, scenario.parties.owner.address, scenario.parties.scientist.address, 9)
        == 4
    )


def test_account_that_cannot_pay_the_stake_is_told_so(open_account: Callable[..., Account]) -> None:
    with pytest.raises(ChainUnusable, match="the stake needs 1000 FIT"):
        Audits(open_account(units=STAKE - 1).chain).stake()


def test_who_leaves_waits_for_its_stake(
    parties: Parties, open_account: Callable[..., Account], scenario: AuditScenario, pass_time: PassTime
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
    assert scenario.reader.available(WHOLE_POOL, parties.owner.address, parties.scientist.address, 9) == 4


def test_panel_is_read_back(scenario: AuditScenario, reader: Chain) -> None:
    registry, members = Registry(scenario.parties.scientist.chain), [one.address for one in scenario.verifiers]
    id = registry.create_panel("three of four", members[:2])
    registry.extend_panel(id, members[2:3])
    panel = Registry(reader).panel(id)
    assert (panel.creator, panel.name) == (scenario.parties.scientist.address, "three of four")
    assert panel.members == tuple(members[:3])
    assert panel in Registry(reader).panels()
    owner, scientist = scenario.parties.owner.address, scenario.parties.scientist.address
    assert scenario.reader.available(id, owner, scientist, 2) == 2
    with pytest.raises(NotFound, match="no panel"):
        Registry(reader).panel(PanelId(sha256(b"none")))


# The steps of an audit


def test_job_without_audit_has_none(scenario: AuditScenario) -> None:
    audit = scenario.reader.read(scenario.parties.request())
    assert (audit.phase, audit.seats, audit.verdict) == (Phase.NONE, (), Outcome.NONE)
    assert scenario.reader.recipients(audit) == {}
    assert not audit.may_advance(1 << 40)


def test_audited_job_from_its_end_to_the_release_of_its_key(scenario: AuditScenario) -> None:
    owed = [calls.owed(calls.chain.address) for calls in (scenario.parties.by_owner, scenario.parties.by_scientist)]
    earned = sum(scenario.reader.verifier(one.address).earned for one in scenario.verifiers)
    id, chain = scenario.ended(), scenario.parties.owner.chain
    agreement, opened = scenario.parties.by_owner.read(id), scenario.reader.read(id)
    assert (agreement.state, agreement.dispute_deadline) == (State.AUDITING, 0)
    assert scenario.parties.by_owner.run_record(id).identity is None
    assert (opened.phase, opened.round, opened.window) == (Phase.AWAITING, 0, WINDOW)
    assert (opened.deadline, len(opened.seats)) == (chain.time_of(opened.opened_block) + WINDOW, 3)
    recipients = scenario.joined(id)
    given = scenario.reader.read(id)
    assert given.phase == Phase.EVIDENCE
    assert given.seed == challenge_seed(id, chain.block(given.challenge_block).hash)
    assert scenario.reader.recipients(given) == recipients
    (drawn,) = scenario.reader.draws(id)
    assert (drawn.round, drawn.seats) == (0, tuple(seat.verifier for seat in given.seats))
    revealed = scenario.vote(id, [(Outcome.MATCH, TRACE)] * 3)
    assert revealed.complete
    assert scenario.reader.evidence(revealed) == EVIDENCE
    assert [(vote.outcome, vote.trace) for vote in scenario.reader.votes(revealed)] == [(Outcome.MATCH, TRACE)] * 3
    scenario.reader.advance(id)
    matched = scenario.reader.read(id)
    assert (matched.phase, matched.verdict) == (Phase.MATCHED, Outcome.MATCH)
    assert scenario.parties.by_owner.read(id).state is State.AUDITING
    seat, calls = scenario.seated(id)[1]
    calls.release(id, KEY)
    scenario.reader.release(id, cid("another key"))
    assert [(one.by, one.identity) for one in scenario.reader.releases(id)] == [
        (matched.seats[seat].verifier, KEY),
        (scenario.parties.owner.address, cid("another key")),
    ]
    assert scenario.parties.by_owner.read(id).state is State.SETTLED
    assert {KEY, EVIDENCE} <= set(scenario.parties.by_owner.objects(id))
    after = [calls.owed(calls.chain.address) for calls in (scenario.parties.by_owner, scenario.parties.by_scientist)]
    assert [have - had for had, have in zip(owed, after, strict=True)] == [PRICE + BOND, 0]
    assert sum(scenario.reader.verifier(one.address).earned for one in scenario.verifiers) - earned == FEE


def test_vote_against_the_quorum_costs_the_stake(scenario: AuditScenario, open_account: Callable[..., Account]) -> None:
    id = scenario.ended()
    scenario.joined(id)
    audit = scenario.vote(id, [MISMATCH, (Outcome.MATCH, TRACE), MISMATCH])
    assert audit.quorum == 2
    scenario.reader.advance(id)
    lazy = audit.seats[1].verifier
    assert scenario.reader.penalties(id) == {lazy: STAKE}
    assert scenario.reader.read(id).verdict is Outcome.MISMATCH
    assert scenario.parties.by_owner.read(id).state is State.FORFEITED
    assert [event.name for event in scenario.reader.events(id)][-2:] == ["Penalised", "Concluded"]
    assert not scenario.reader.verifier(lazy).active
    scenario.verifiers.append(open_account(units=STAKE))
    Audits(scenario.verifiers[-1].chain).stake()


def test_who_declines_is_replaced_at_once(scenario: AuditScenario) -> None:
    id = scenario.ended(replace(TERMS, verifiers=1, fee=ETHER))
    scenario.reader.draw(id)
    seats = scenario.reader.read(id).seats
    by_address = {one.address: Audits(one.chain) for one in scenario.verifiers}
    by_address[seats[0].verifier].decline(id, 0)
    declined = scenario.reader.read(id)
    assert declined.seats[0].declined
    assert declined.may_advance(0)
    scenario.reader.advance(id)
    redrawn = scenario.reader.read(id)
    assert (redrawn.phase, redrawn.round) == (Phase.JOINING, 1)
    assert redrawn.seats[0].verifier not in ("", seats[0].verifier)
    assert scenario.reader.penalties(id) == {}


def test_dispute_locks_fee_and_counter_bond_and_may_be_lost(scenario: AuditScenario, pass_time: PassTime) -> None:
    scientist = scenario.parties.scientist
    before = scientist.chain.fit_balance(scientist.address)
    id = scenario.ended(DISPUTE)
    deadline = scenario.parties.by_owner.read(id).dispute_deadline
    scenario.parties.by_scientist.dispute(id)
    assert before - scientist.chain.fit_balance(scientist.address) == PRICE + FEE + COUNTER_BOND
    disputed = scenario.parties.by_owner.read(id)
    assert (disputed.state, disputed.dispute_deadline) == (State.AUDITING, deadline)
    assert scenario.reader.read(id).disputed
    pass_time(WINDOW + 1)
    with pytest.raises(Reverted, match="DeadlinePassed"):
        scenario.reader.draw(id)
    scenario.reader.advance(id)
    assert scenario.reader.read(id).verdict is Outcome.INCONCLUSIVE
    assert scenario.parties.by_owner.read(id).state is State.SETTLED


def test_job_whose_terms_name_no_verifiers_at_all_cannot_be_disputed(scenario: AuditScenario) -> None:
    id = scenario.ended(AuditTerms())
    with pytest.raises(Reverted, match="DisputeNotAgreed"):
        scenario.parties.by_scientist.dispute(id)
