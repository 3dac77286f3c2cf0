"""Audits through the bindings, on a real node: stakes, draws, votes, verdicts, releases, audits
that are asked for again, and what is read of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fitchain.pod.ports.agreement import Agreements, AuditKind, Audits, AuditTerms, Outcome, Phase, State, commit_nonce
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.values.digest import ZERO, sha256
from fitchain.pod.values.errors import ChainUnusable, NotFound, Reverted
from fitchain.pod.values.ids import WHOLE_POOL, AuditRef, PanelId
from tests.agreements import ASKER_NONCE, BOND, KEY, PRICE, WINDOW, Parties, cid
from tests.audit_actors import plain_vote, stake
from tests.audit_scenario import COUNTER_BOND, DISPUTE, EVIDENCE, FEE, STAKE, TERMS, AuditScenario
from tests.chain_fixtures import ETHER, Account
from tests.node_proxy import proxy

MATCH, MISMATCH = plain_vote(Outcome.MATCH), (Outcome.MISMATCH, sha256(b"another trace"))
WITHHELD = plain_vote(Outcome.WITHHELD)
PassTime = Callable[[int], None]


def changed(before: list[int], after: list[int]) -> list[int]:
    return [have - had for had, have in zip(before, after, strict=True)]


def owed(scenario: AuditScenario) -> list[int]:
    """What owner and scientist could withdraw."""
    return [calls.owed(calls.chain.address) for calls in (scenario.parties.by_owner, scenario.parties.by_scientist)]


def earned(scenario: AuditScenario) -> int:
    """What all verifiers have earned and not withdrawn."""
    return sum(account.earned for account in Verifiers(scenario.reader.chain).verifiers(scenario.staff.addresses))


# Verifiers


def test_stake_is_locked_and_the_account_stands_in_the_pool(scenario: AuditScenario) -> None:
    one, calls = scenario.verifiers[1], Verifiers(scenario.reader.chain)
    account = calls.verifier(one.address)
    assert (account.stake, account.free, account.ever_staked, account.away) == (STAKE, STAKE, True, False)
    assert one.chain.fit_balance(one.address) == 0
    assert [member.account for member in calls.members(0, 5)] == scenario.staff.addresses
    parties = scenario.parties
    calls.chain.node.request("evm_mine")  # who joined in the newest block stands from the next one on
    assert calls.eligible(WHOLE_POOL, parties.owner.address, parties.scientist.address, parties.scientist.address) == 5


def test_account_that_cannot_pay_the_stake_is_told_so(open_account: Callable[..., Account]) -> None:
    with pytest.raises(ChainUnusable, match="the stake needs 1200 FIT"):
        stake(open_account(units=STAKE - 1), STAKE)


def test_who_takes_its_stake_back_waits_for_it(open_account: Callable[..., Account], pass_time: PassTime) -> None:
    one = stake(open_account(units=STAKE), STAKE, pool=False)
    calls = Verifiers(one.chain)
    calls.unstake(STAKE)
    account = calls.verifier(one.address)
    assert (account.stake, account.unbonding) == (0, STAKE)
    assert account.unbonded == one.chain.block("latest").timestamp + calls.unbonding_time()
    with pytest.raises(Reverted, match="NothingToWithdraw"):
        calls.withdraw()
    pass_time(calls.unbonding_time() + 1)
    calls.withdraw()
    assert one.chain.fit_balance(one.address) == STAKE


def test_panel_is_read_back(scenario: AuditScenario, reader: Chain) -> None:
    id = scenario.staff.panel(scenario.parties.scientist.chain, "all of them")
    panel = Registry(reader).panel(id)
    assert (panel.creator, panel.name) == (scenario.parties.scientist.address, "all of them")
    assert panel.members == tuple(scenario.staff.addresses)
    assert Verifiers(reader).membership(id, panel.members[0]).stands
    with pytest.raises(NotFound, match="no panel"):
        Registry(reader).panel(PanelId(sha256(b"none")))


# The steps of an audit


def test_job_without_audit_has_none(scenario: AuditScenario) -> None:
    audit = scenario.reader.read(AuditRef(scenario.parties.request()))
    assert (audit.phase, audit.seats, audit.verdict) == (Phase.NONE, (), Outcome.NONE)
    assert scenario.reader.recipients(audit) == {}
    assert not audit.may_advance(1 << 40) and not audit.may_draw(0)


def test_audited_job_from_its_end_to_the_payment_of_its_seats(scenario: AuditScenario) -> None:
    before, before_fees = owed(scenario), earned(scenario)
    id, chain = scenario.ended(), scenario.parties.owner.chain
    ref = AuditRef(id)
    agreement, opened = scenario.parties.by_owner.read(id), scenario.reader.read(ref)
    assert (agreement.state, agreement.dispute_deadline) == (State.AUDITING, 0)
    assert scenario.parties.by_owner.run_record(id).identity is None
    assert (opened.phase, opened.kind, opened.round, opened.window) == (Phase.AWAITING, AuditKind.FIRST, 0, WINDOW)
    assert (opened.deadline, len(opened.seats)) == (chain.time_of(opened.opened_block) + WINDOW, 3)
    assert opened.seed == commit_nonce(ASKER_NONCE)
    recipients = scenario.joined(id)
    gathered = scenario.reader.read(ref)
    assert (gathered.phase, gathered.segments_fixed) == (Phase.EVIDENCE, True)
    assert scenario.reader.recipients(gathered) == recipients
    assert scenario.reader.segment_seed(ref) not in (None, ZERO)
    (drawn,) = scenario.reader.draws(ref)
    assert (drawn.round, drawn.seats) == (0, tuple(seat.verifier for seat in gathered.seats))
    assert [ref] == scenario.reader.drawn_for(drawn.seats[0], drawn.block)
    assert scenario.reader.submission(gathered) is None
    revealed = scenario.vote(id, [MATCH] * 3)
    assert revealed.complete
    submission = scenario.reader.submission(revealed)
    assert submission is not None and (submission.evidence, submission.round) == (EVIDENCE, 0)
    assert [(vote.outcome, vote.trace) for vote in scenario.reader.votes(revealed)] == [MATCH] * 3
    assert scenario.reader.majority(revealed) is Outcome.MATCH
    scenario.reader.advance(ref)
    matched = scenario.reader.read(ref)
    assert (matched.phase, matched.verdict, len(matched.joined)) == (Phase.MATCHED, Outcome.MATCH, 3)
    assert scenario.parties.by_owner.read(id).state is State.AUDITING
    scenario.reader.release(ref, KEY)
    assert [(each.by, each.identity) for each in scenario.reader.releases(ref)] == [
        (scenario.parties.owner.address, KEY)
    ]
    assert scenario.parties.by_owner.read(id).state is State.SETTLED
    assert {KEY, EVIDENCE} <= set(scenario.parties.by_owner.objects(id))
    assert changed(before, owed(scenario)) == [PRICE + BOND, 0]
    assert earned(scenario) == before_fees
    Audits(scenario.parties.scientist.chain).accept_release(ref)
    assert scenario.reader.read(ref).phase is Phase.CONCLUDED
    assert earned(scenario) - before_fees == 3 * FEE


def test_only_seats_that_release_are_paid_after_a_complaint(scenario: AuditScenario, pass_time: PassTime) -> None:
    before, before_fees = owed(scenario), earned(scenario)
    id = scenario.ended()
    ref = AuditRef(id)
    scenario.joined(id)
    scenario.vote(id, [MATCH, MATCH, WITHHELD])
    scenario.reader.release(ref, cid("garbage"))  # counts the votes too
    matched = scenario.reader.read(ref)
    assert [seat.joined for seat in matched.seats] == [True, True, False]
    first, second, third = scenario.seated(id)
    with pytest.raises(Reverted, match="ReleaseIsOwners"):
        first.calls.release(ref, KEY)
    Audits(scenario.parties.scientist.chain).complain(ref)
    complained = scenario.reader.read(ref)
    assert complained.complained and complained.seats_release_from == 0
    first.calls.release(ref, KEY)
    with pytest.raises(Reverted, match="SeatActedAlready"):
        first.calls.release(ref, KEY)
    with pytest.raises(Reverted, match="CallerHasNoKey"):
        third.calls.release(ref, KEY)
    assert [seat.released for seat in scenario.reader.read(ref).seats] == [True, False, False]
    pass_time(WINDOW + 1)
    scenario.reader.advance(ref)
    assert scenario.reader.read(ref).phase is Phase.CONCLUDED
    assert earned(scenario) - before_fees == FEE
    assert changed(before, owed(scenario)) == [PRICE + BOND, FEE]  # of the seat that did not match; the second's burned
    assert second.account.address not in scenario.reader.penalties(ref)


def test_vote_against_the_quorum_costs_the_seat_and_no_more(scenario: AuditScenario) -> None:
    id = scenario.ended()
    ref = AuditRef(id)
    scenario.joined(id)
    audit = scenario.vote(id, [MISMATCH, MATCH, MISMATCH])
    assert audit.quorum == 2
    lazy = audit.seats[1].verifier
    before = Verifiers(scenario.reader.chain).verifier(lazy).stake
    scenario.reader.advance(ref)
    assert scenario.reader.penalties(ref) == {lazy: audit.seat_stake}
    assert before - Verifiers(scenario.reader.chain).verifier(lazy).stake == audit.seat_stake
    assert scenario.reader.read(ref).verdict is Outcome.MISMATCH
    assert scenario.parties.by_owner.read(id).state is State.FORFEITED


def test_who_declines_is_replaced_at_once(scenario: AuditScenario) -> None:
    id = scenario.ended()
    ref = AuditRef(id)
    first, second, third = scenario.drawn(id)
    first.decline()
    audit = scenario.reader.read(ref)
    others = {second.account.address, third.account.address}
    assert (audit.phase, audit.round) == (Phase.JOINING, 0)
    assert audit.seats[0].verifier not in ("", first.account.address) and audit.seats[1].verifier in others
    assert scenario.reader.penalties(ref) == {}
    assert len(scenario.reader.draws(ref)) == 2


def test_who_is_silent_is_away_until_it_is_back(scenario: AuditScenario, pass_time: PassTime) -> None:
    id = scenario.ended(replace(TERMS, wait=7 * 86_400))
    ref = AuditRef(id)
    silent, *others = scenario.drawn(id)
    for seat in others:
        seat.join()
    pass_time(WINDOW + 1)
    scenario.reader.advance(ref)
    calls, account = Verifiers(silent.account.chain), silent.account.address
    assert calls.verifier(account).away
    assert scenario.reader.read(ref).seat_of(account) is None
    calls.present()
    assert not calls.verifier(account).away


def test_withheld_evidence_is_asked_for_once_more(scenario: AuditScenario, pass_time: PassTime) -> None:
    id = scenario.ended()
    ref = AuditRef(id)
    scenario.joined(id)
    scenario.vote(id, [WITHHELD, MATCH, WITHHELD])
    scenario.reader.advance(ref)
    again = scenario.reader.read(ref)
    assert (again.phase, again.round, again.withheld_before, again.verdict) == (Phase.EVIDENCE, 1, True, Outcome.NONE)
    submission = scenario.reader.submission(again)
    assert submission is not None and submission.round == 0  # it still stands
    pass_time(WINDOW + 1)
    scenario.reader.advance(ref)
    seats = scenario.seated(id)
    for seat in seats:
        seat.commit(MATCH)
    for seat in seats:
        seat.reveal(MATCH)
    assert [vote.round for vote in scenario.reader.votes(scenario.reader.read(ref))] == [0] * 3 + [1] * 3
    scenario.reader.advance(ref)
    assert scenario.reader.read(ref).verdict is Outcome.MATCH


def test_dispute_locks_fees_and_counter_bond_and_without_a_quorum_the_price_is_halved(
    scenario: AuditScenario, pass_time: PassTime
) -> None:
    scientist = scenario.parties.scientist
    before, before_owed = scientist.chain.fit_balance(scientist.address), owed(scenario)
    id = scenario.ended(DISPUTE)
    deadline = scenario.parties.by_owner.read(id).dispute_deadline
    scenario.parties.by_scientist.dispute(id)
    assert before - scientist.chain.fit_balance(scientist.address) == PRICE + 3 * FEE + COUNTER_BOND
    disputed, audit = scenario.parties.by_owner.read(id), scenario.reader.read(AuditRef(id))
    assert (disputed.state, disputed.dispute_deadline) == (State.AUDITING, deadline)
    assert audit.kind is AuditKind.DISPUTE
    pass_time(WINDOW + 1)
    with pytest.raises(Reverted, match="DeadlinePassed"):
        scenario.reader.draw(audit.ref, ASKER_NONCE)
    scenario.reader.advance(audit.ref)
    assert scenario.reader.read(audit.ref).verdict is Outcome.INCONCLUSIVE
    assert scenario.parties.by_owner.read(id).state is State.HALVED
    assert changed(before_owed, owed(scenario)) == [BOND + PRICE // 2, PRICE // 2 + 3 * FEE + COUNTER_BOND]


def test_job_whose_terms_name_no_verifiers_at_all_cannot_be_disputed(scenario: AuditScenario) -> None:
    id = scenario.ended(AuditTerms())
    with pytest.raises(Reverted, match="DisputeNotAgreed"):
        scenario.parties.by_scientist.dispute(id)


# Asked for again


def test_audit_is_asked_for_again_with_the_owner_s_consent(
    scenario: AuditScenario, open_account: Callable[..., Account], pass_time: PassTime
) -> None:
    id, asker = scenario.ended(AuditTerms()), open_account()
    scenario.parties.by_scientist.accept_result(id)
    calls, by_owner = type(scenario.parties.by_owner)(asker.chain), scenario.parties.by_owner
    first, second = (calls.ask_again(id, TERMS, commit_nonce(ASKER_NONCE), WINDOW) for _ in range(2))
    asked = by_owner.asked_audit(first)
    assert (asked.asker, asked.terms, asked.consented, asked.taken_back) == (asker.address, TERMS, False, False)
    assert by_owner.audit_terms(first) == TERMS
    before = earned(scenario)
    by_owner.consent(asked)
    concluded = scenario.staff.conclude(scenario.parties.owner.chain, id, Outcome.MATCH, first.ordinal)
    assert (concluded.phase, concluded.verdict, concluded.kind) == (Phase.CONCLUDED, Outcome.MATCH, AuditKind.AGAIN)
    assert earned(scenario) - before == 3 * FEE
    assert scenario.parties.by_owner.read(id).state is State.SETTLED
    pass_time(WINDOW + 1)
    with pytest.raises(Reverted, match="DeadlinePassed"):
        by_owner.consent(by_owner.asked_audit(second))
    by_owner.take_back(second)
    assert by_owner.owed(asker.address) == 3 * FEE
    assert by_owner.asked_audit(second).taken_back
    with pytest.raises(NotFound, match="nobody asked for audit 3"):
        by_owner.asked_audit(AuditRef(id, 3))


def test_question_is_read_alone_however_many_others_are_asked(
    scenario: AuditScenario, open_account: Callable[..., Account]
) -> None:
    id, asker = scenario.ended(AuditTerms()), open_account()
    scenario.parties.by_scientist.accept_result(id)
    calls, logs = Agreements(asker.chain), list[int]()
    refs = [calls.ask_again(id, TERMS, commit_nonce(ASKER_NONCE), WINDOW) for _ in range(6)]

    def counted(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        logs.extend([len(answer["result"])] if call["method"] == "eth_getLogs" else [])
        return answer

    with proxy(asker.chain.settings.rpc, lambda call: None, change=counted) as url:
        reading = Agreements(Chain(Node(url), replace(asker.chain.settings, rpc=url), asker.chain.deployment))
        assert [reading.asked_audit(ref).ref for ref in refs] == refs
        assert max(logs) == 1 and sum(logs) == len(refs)
        assert reading.open_among(refs, 0) == refs
        assert reading.newest_questions([id], 2) == {id: range(5, 7)}
    assert [asked.ref for asked in calls.asked_audits(id, asker=asker.address)] == refs
    assert calls.asked_audits(id, asker=scenario.parties.owner.address) == [] == calls.consented_audits(id)


def test_fee_below_the_floor_is_refused(parties: Parties, scenario: AuditScenario) -> None:
    floor = scenario.reader.chain.constants.fee_floor
    with pytest.raises(Reverted, match="FeeBelowFloor"):
        parties.request(audit=replace(TERMS, fee_per_seat=floor - 1, seat_stake=20 * ETHER))
