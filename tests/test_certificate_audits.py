"""What audits come to for a checker, on a real chain: levels by its own trust list, every verdict
told, audits asked for again, pools weighed, forged jobs; and what all that asks of a node."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fitchain.cli.views.verdict import describe_verdict
from fitchain.pod.ports.agreement import Agreements, AuditKind, Audits, AuditTerms, Outcome, State, commit_nonce
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.chain.rpc import BATCH, Node
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.trust import look_at_panel, trust
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.proof.audit.cost import AGAIN_GAS
from fitchain.pod.proof.certificate import Assurance, Jury, JurySeat, Verdict, verify
from fitchain.pod.proof.certificate.assurance import assurance_of
from fitchain.pod.proof.certificate.verdict import Repeat
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import AssuranceTooLow, ChainUnusable, ClaimMismatch
from fitchain.pod.values.ids import AgreementId, AuditRef, PanelId
from tests.agreements import ASKER_NONCE
from tests.audit_actors import DISPUTE, FULL_STAKE, TERMS, StakedVerifiers, plain_vote, stake
from tests.certified_jobs import FIT, SOMETHING, Job, Parties, played, registered
from tests.chain_fixtures import Account
from tests.node_proxy import counting, proxy
from tests.speeds import long_unless

Plays = Callable[..., Job]


@pytest.fixture(scope="module")
def parties(open_account: Callable[..., Account], tmp_path_factory: pytest.TempPathFactory) -> Parties:
    return registered(open_account(), open_account(), tmp_path_factory.mktemp("data") / "table.npz")


@pytest.fixture(scope="module")
def play(parties: Parties, tmp_path_factory: pytest.TempPathFactory) -> Plays:
    def play_it(salt: bytes, **how: Any) -> Job:
        return played(parties, tmp_path_factory.mktemp("delivery") / "model.safetensors", salt, **how)

    return play_it


def of_panel(panel: PanelId, terms: AuditTerms = TERMS) -> AuditTerms:
    """Terms by which an audit draws from a panel."""
    return replace(terms, mode=AuditMode.SAMPLED, panel=panel)


def ended(reason: str) -> str:
    """The reason of an assurance without its block."""
    return re.sub(r"in block \d+", "in block N", reason)


def trusting(reader: Chain, home: Any, *panels: PanelId, **settings: Any) -> Chain:
    """A checker whose home trusts panels as they stand."""
    chain = Chain(reader.node, replace(reader.settings, home=home, **settings), reader.deployment)
    for panel in panels:
        trust(home, look_at_panel(chain, panel))
    return chain


def asked_again(
    job: Job, asker: Account, verifiers: StakedVerifiers, panel: PanelId, outcome: Outcome | None = None
) -> AuditRef:
    """Have a job audited again by a panel; with an outcome up to that verdict."""
    terms = of_panel(panel)
    ref = Agreements(asker.chain).ask_again(job.id, terms, commit_nonce(ASKER_NONCE), 600)
    calls = Agreements(job.parties.owner.chain)
    (question,) = [asked for asked in calls.asked_audits(job.id) if asked.ref == ref]
    calls.consent(question)
    if outcome is not None:
        verifiers.gather(asker.chain, job.id, ref.ordinal)
        verifiers.vote(job.parties.owner.chain, job.id, outcome, ref.ordinal)
        Audits(asker.chain).advance(ref)
    return ref


# --- levels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", long_unless(lambda mode: mode is AuditMode.SAMPLED, AuditMode))
def test_match_assures_what_the_checkers_own_list_makes_of_it(
    mode: AuditMode, play: Plays, parties: Parties, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    panel = staked_verifiers.panel(parties.scientist.chain, mode.name)
    job = play(b"audited %d" % mode.value, audit=replace(of_panel(panel), mode=mode))
    opened = verify(job.model, job.certificate, reader)
    assert (opened.assurance, opened.state) == (Assurance.UNAUDITED, State.AUDITING)
    assert opened.reason == "the audit on which both agreed is under way: awaiting, vote 1"
    owner = parties.owner.chain
    staked_verifiers.conclude(owner, job.id, Outcome.MATCH)
    matched = verify(job.model, job.certificate, reader)
    assert matched.reason.endswith("; the model's key is not released yet")
    Audits(owner).release(AuditRef(job.id), SOMETHING)
    Audits(parties.scientist.chain).accept_release(AuditRef(job.id))
    stranger = verify(job.model, job.certificate, reader)
    assert (stranger.assurance, stranger.state) == (Assurance.VOUCHED, State.SETTLED)
    assert ended(stranger.reason) == (
        "the audit on which both agreed concluded Match in block N: 3 of 3 voted Match on 4 of 10 segments, "
        "0 of them named by your trust list, and 2 are needed"
    )
    level = Assurance.ON_SITE if mode is AuditMode.ON_SITE else Assurance.SAMPLED
    verdict = verify(job.model, job.certificate, reader, level, [panel])
    assert verdict.assurance is level and "3 of them named by your trust list" in verdict.reason
    paid = verdict.history
    assert (paid.paid_to_owner, paid.paid_to_scientist, paid.paid_to_verifiers) == (8 * FIT, 0, 3 * FIT)
    assert "Drawn" in [milestone.what for milestone in verdict.milestones]


# --- what a jury's verdict is, and whose ------------------------------------------------------

MATCH, MISMATCH, WITHHELD, NONE = Outcome.MATCH, Outcome.MISMATCH, Outcome.WITHHELD, Outcome.NONE


def jury_of(verdict: Outcome, *votes: tuple[Outcome, bool], **changes: Any) -> Jury:
    """A jury as it might be read: of each seat its vote, and whether the checker names it."""
    seats = tuple(
        JurySeat(number, f"0x{number:040x}", *plain_vote(vote), 1000 * FIT, named)
        for number, (vote, named) in enumerate(votes)
    )
    jury = Jury(
        ref=AuditRef(AgreementId(sha256(b"agreement"))),
        kind=AuditKind.FIRST,
        asker="0x" + "a" * 40,
        verdict=verdict,
        block=7,
        phase="concluded",
        round=0,
        mode=AuditMode.SAMPLED,
        audited=4,
        panel=None,
        opened_size=5,
        size=5,
        seats=seats,
        joined=frozenset(seat.account for seat in seats),
        quorum=len(votes) // 2 + 1,
        seat_stake=20 * FIT,
        fee_per_seat=FIT,
        owner="0x" + "b" * 40,
        scientist="0x" + "a" * 40,
        requested=0,
    )
    return replace(jury, **changes)


@pytest.mark.parametrize(
    ("verdict", "votes", "trusted"),
    [
        (MATCH, [(MATCH, True), (MATCH, True), (MISMATCH, False)], True),
        (MATCH, [(MATCH, True), (MATCH, False), (MATCH, False)], False),
        (MATCH, [(MATCH, False), (MATCH, False), (MISMATCH, True)], False),
        (MATCH, [(MATCH, True), (MATCH, True), (MATCH, False), (NONE, False), (NONE, False)], False),
        (MATCH, [(MATCH, True), (MATCH, True), (MATCH, True), (NONE, False), (NONE, False)], True),
        (MISMATCH, [(MISMATCH, True), (MISMATCH, True), (MATCH, True)], True),
        (WITHHELD, [(WITHHELD, True), (MISMATCH, True), (MATCH, False)], True),
        (WITHHELD, [(WITHHELD, True), (MISMATCH, False), (MATCH, True)], False),
        (WITHHELD, [(NONE, True), (NONE, True), (NONE, False)], True),
        (Outcome.INCONCLUSIVE, [(MATCH, True), (MISMATCH, True), (NONE, True)], False),
    ],
)
def test_a_verdict_counts_where_a_quorum_of_all_seats_is_named(
    verdict: Outcome, votes: list[tuple[Outcome, bool]], trusted: bool
) -> None:
    assert jury_of(verdict, *votes).trusted is trusted


def test_equal_votes_are_equal_in_their_traces_too() -> None:
    jury = jury_of(MATCH, (MATCH, True), (MATCH, True), (MATCH, False))
    seats = (replace(jury.seats[0], trace=sha256(b"another")), *jury.seats[1:])
    assert replace(jury, seats=seats).trusted_voices == 1 and not replace(jury, seats=seats).trusted


def test_parties_among_those_who_vouch_are_seen() -> None:
    jury = jury_of(MATCH, (MATCH, True), (MATCH, True), (MATCH, True))
    one = replace(jury, seats=(replace(jury.seats[0], account=jury.owner), *jury.seats[1:]))
    assert (jury.seated_parties, one.seated_parties, one.party(jury.owner)) == ((), (0,), "owner")
    assert replace(jury, owner=jury.scientist).one_account
    assert replace(jury, owner=jury.scientist).party(jury.scientist) == "owner and scientist"


def test_verdict_tells_the_panel_its_seats_and_who_is_a_party(
    play: Plays, parties: Parties, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    panel = staked_verifiers.panel(parties.scientist.chain, "told")
    job = play(b"told", audit=of_panel(panel))
    staked_verifiers.conclude(parties.owner.chain, job.id, Outcome.MATCH)
    (jury,) = verify(job.model, job.certificate, reader).juries
    assert jury.panel is not None and (jury.panel.id, jury.panel.name) == (panel, "told")
    assert (jury.opened_size, jury.size, jury.audited) == (5, 5, 4)
    assert (jury.panel.creator, jury.creator_party) == (parties.scientist.address, "scientist")
    assert (jury.seated_parties, jury.seated_creator, jury.one_account) == ((), None, False)
    assert jury.requested >= jury.panel.time
    assert {seat.account for seat in jury.seats} <= set(staked_verifiers.addresses)
    assert [(seat.vote, seat.stake, seat.trusted) for seat in jury.seats] == [(Outcome.MATCH, 1000 * FIT, False)] * 3
    assert (jury.seat_stake, jury.fee_per_seat) == (20 * FIT, FIT)


# --- row 1: the forged job --------------------------------------------------------------------


@pytest.fixture(scope="module")
def forged(open_account: Callable[..., Account], tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, PanelId]:
    """One account that is owner, scientist and creator of a panel of its own accounts, and a model
    that nobody trained."""
    attacker, place = open_account(), tmp_path_factory.mktemp("forged")
    sybils = StakedVerifiers([stake(open_account(units=FULL_STAKE), pool=False) for _ in range(5)])
    panel = sybils.panel(attacker.chain, "Reproducibility Board of the Institute")
    parties = registered(attacker, attacker, place / "table.npz")
    job = played(parties, place / "model.safetensors", b"forged", audit=of_panel(panel))
    sybils.conclude(attacker.chain, job.id, Outcome.MATCH)
    Audits(attacker.chain).release(AuditRef(job.id), SOMETHING)
    Audits(attacker.chain).accept_release(AuditRef(job.id))
    return job, panel


def test_a_forged_job_is_vouched_for_and_no_more(forged: tuple[Job, PanelId], reader: Chain) -> None:
    job, panel = forged
    verdict = verify(job.model, job.certificate, reader)
    assert verdict.assurance is Assurance.VOUCHED
    with pytest.raises(AssuranceTooLow, match="the assurance is vouched, and at least sampled is required") as refusal:
        verify(job.model, job.certificate, reader, require=Assurance.SAMPLED)
    assert refusal.value.exit_code == 3
    assert f"fitchain trust add {panel}" in refusal.value.hint
    assert f"fitchain proof reaudit {job.id.short} --panel PANEL" in refusal.value.hint
    # With the rule taken out, that only whom the checker names counts, the forgery is `sampled`.
    (jury,) = verdict.juries
    everyone = replace(jury, seats=tuple(replace(seat, trusted=True) for seat in jury.seats))
    assert assurance_of(verdict.history, [everyone], reader.settings)[0] is Assurance.SAMPLED


def test_a_forged_job_tells_who_made_it_in_the_chains_words(forged: tuple[Job, PanelId], reader: Chain) -> None:
    job, _ = forged
    report = describe_verdict(verify(job.model, job.certificate, reader), job.model)
    shown = str(report.views)
    assert "owner and scientist are one account" in shown
    assert "the creator of the panel is the owner and scientist" in shown
    assert "3 of 3 voted Match" in shown and "a jury that you do not know" in shown
    assert not any(word in shown for word in ("replayed", "re-executed", "verified by"))
    assert report.values["owner_is_scientist"] and report.values["audits"][0]["panel"]["creator_party"]


# --- who joined a panel later -----------------------------------------------------------------


def test_who_joined_a_trusted_panel_later_counts_when_it_is_trusted_again(
    play: Plays, parties: Parties, staked_verifiers: StakedVerifiers, reader: Chain, tmp_path: Any
) -> None:
    creator, (early, *late) = parties.scientist.chain, staked_verifiers.verifiers
    panel = Registry(creator).create_panel("growing")
    Verifiers(creator).invite(panel, staked_verifiers.addresses)
    Verifiers(early.chain).join_panel(panel)
    checker = trusting(reader, tmp_path, panel)
    for one in late:
        Verifiers(one.chain).join_panel(panel)
    job = play(b"after others joined", audit=of_panel(panel))
    staked_verifiers.conclude(parties.owner.chain, job.id, Outcome.MATCH)
    verdict = verify(job.model, job.certificate, checker)
    assert verdict.assurance is Assurance.VOUCHED
    assert [seat.trusted for seat in verdict.juries[0].seats] == [
        seat.account == early.address for seat in verdict.juries[0].seats
    ]
    trust(tmp_path, look_at_panel(checker, panel))
    assert verify(job.model, job.certificate, checker).assurance is Assurance.SAMPLED


def test_who_left_a_trusted_panel_and_came_back_still_counts(
    play: Plays, parties: Parties, staked_verifiers: StakedVerifiers, reader: Chain, tmp_path: Any
) -> None:
    panel = staked_verifiers.panel(parties.scientist.chain, "left and came back")
    checker = trusting(reader, tmp_path, panel)
    for one in staked_verifiers.verifiers:
        Verifiers(one.chain).leave_panel(panel)
        Verifiers(one.chain).join_panel(panel)
    job = play(b"left and came back", audit=of_panel(panel))
    staked_verifiers.conclude(parties.owner.chain, job.id, Outcome.MATCH)
    assert verify(job.model, job.certificate, checker).assurance is Assurance.SAMPLED


def refused(call: dict[str, Any], message: str) -> dict[str, Any]:
    """A node's refusal of one request."""
    return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32000, "message": message}}


# --- the pool ---------------------------------------------------------------------------------


def asking(reader: Chain, **settings: Any) -> Chain:
    """A checker with settings of its own."""
    return Chain(reader.node, replace(reader.settings, **settings), reader.deployment)


def test_a_draw_from_the_pool_is_open_for_whom_its_stake_is_enough(
    play: Plays, parties: Parties, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    job = play(b"pool", audit=TERMS)
    staked_verifiers.conclude(parties.owner.chain, job.id, Outcome.MATCH)

    def level(**settings: Any) -> tuple[Assurance, str]:
        verdict = verify(job.model, job.certificate, asking(reader, **settings))
        return verdict.assurance, verdict.reason

    assert level()[0] is Assurance.VOUCHED and "open_stake" in level()[1]
    staked = 5000 * FIT
    assert level(open_stake=staked)[0] is Assurance.OPEN
    assurance, reason = level(open_stake=staked + 1)
    assert assurance is Assurance.VOUCHED
    assert "5000 FIT stood behind 5 places, and your settings ask for 5000.000000000000000001" in reason


def test_a_pool_is_weighed_as_it_was_before_the_request(
    play: Plays,
    parties: Parties,
    staked_verifiers: StakedVerifiers,
    reader: Chain,
    open_account: Callable[..., Account],
) -> None:
    job = play(b"pool as it was", audit=TERMS)
    late = stake(open_account(units=FULL_STAKE))
    staked_verifiers.conclude(parties.owner.chain, job.id, Outcome.MATCH)
    verdict = verify(job.model, job.certificate, asking(reader, open_stake=6000 * FIT))
    (jury,) = verdict.juries
    assert verdict.assurance is Assurance.VOUCHED
    assert (jury.pool_stake, jury.pool_counted, jury.opened_size, jury.size) == (5000 * FIT, 5, 5, 6)
    # With the rule taken out, and the pool weighed as it stands, it would be `open`.
    now = replace(jury, pool_stake=6000 * FIT, pool_enough=True)
    assert assurance_of(verdict.history, [now], verdict_settings(reader))[0] is Assurance.OPEN
    Verifiers(late.chain).leave_pool()


def verdict_settings(reader: Chain) -> Any:
    return replace(reader.settings, open_stake=6000 * FIT)


def test_a_pool_is_weighed_in_mode_open_alone(
    play: Plays, parties: Parties, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    panel = staked_verifiers.panel(parties.scientist.chain, "not the pool")
    job = play(b"not the pool", audit=replace(of_panel(panel), mode=AuditMode.OPEN))
    staked_verifiers.conclude(parties.owner.chain, job.id, Outcome.MATCH)
    verdict = verify(job.model, job.certificate, asking(reader, open_stake=FIT))
    assert verdict.assurance is Assurance.VOUCHED and verdict.juries[0].pool_stake is None


def test_a_node_that_keeps_no_old_state_weighs_no_pool(
    play: Plays, parties: Parties, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    job = play(b"forgotten pool", audit=TERMS)
    staked_verifiers.conclude(parties.owner.chain, job.id, Outcome.MATCH)
    verify(job.model, job.certificate, asking(reader, open_stake=FIT), require=Assurance.OPEN)
    requested = Agreements(reader).read(job.id).requested_block

    def prune(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        pruned = call["method"] == "eth_call" and call["params"][1] == hex(requested - 1)
        return refused(call, "missing trie node") if pruned else answer

    with proxy(reader.settings.rpc, lambda call: None, change=prune) as url:
        chain = Chain(Node(url), replace(reader.settings, open_stake=FIT), reader.deployment)
        verdict = verify(job.model, job.certificate, chain)
    assert verdict.assurance is Assurance.VOUCHED
    assert "the node no longer keeps what stood behind the pool" in verdict.reason


# --- verdicts against the owner, and none -----------------------------------------------------


@pytest.mark.parametrize(
    "outcome", long_unless(lambda outcome: outcome is Outcome.MISMATCH, [Outcome.MISMATCH, Outcome.WITHHELD])
)
@pytest.mark.parametrize("terms", long_unless(lambda terms: terms is TERMS, [TERMS, DISPUTE]), ids=["audit", "dispute"])
def test_verdict_against_the_owner_refutes(
    terms: AuditTerms, outcome: Outcome, play: Plays, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    job = play(b"%s %d" % (outcome.name.encode(), terms.verifiers), audit=terms)
    if not terms.verifiers:
        Agreements(job.parties.scientist.chain).dispute(job.id)
    owner, ref = job.parties.owner.chain, AuditRef(job.id)
    staked_verifiers.conclude(owner, job.id, outcome)
    if outcome is Outcome.WITHHELD:  # the first time it is not yet a verdict
        assert verify(job.model, job.certificate, reader).assurance is Assurance.UNAUDITED
        staked_verifiers.vote(owner, job.id, outcome)
        Audits(owner).advance(ref)
    with pytest.raises(ClaimMismatch, match=rf"concluded {outcome.name.capitalize()} in block \d+: "):
        verify(job.model, job.certificate, reader)


def test_key_that_is_not_released_refutes(
    play: Plays, staked_verifiers: StakedVerifiers, reader: Chain, pass_time: Callable[[int], None]
) -> None:
    job = play(b"never released", audit=TERMS)
    staked_verifiers.conclude(job.parties.owner.chain, job.id, Outcome.MATCH)
    pass_time(TERMS.window + 1)
    Audits(job.parties.owner.chain).advance(AuditRef(job.id))
    with pytest.raises(ClaimMismatch, match="concluded Withheld"):
        verify(job.model, job.certificate, reader)


def test_audit_without_verdict_assures_nothing_and_says_so(
    play: Plays, staked_verifiers: StakedVerifiers, reader: Chain, pass_time: Callable[[int], None]
) -> None:
    job = play(b"inconclusive", audit=TERMS)
    pass_time(TERMS.window + 1)  # nobody draws
    Audits(job.parties.owner.chain).advance(AuditRef(job.id))
    verdict = verify(job.model, job.certificate, reader)
    assert (verdict.assurance, verdict.state) == (Assurance.UNAUDITED, State.REFUNDED)
    assert ended(verdict.reason) == "the audit on which both agreed concluded Inconclusive in block N"
    with pytest.raises(AssuranceTooLow, match="the assurance is unaudited") as refusal:
        verify(job.model, job.certificate, reader, require=Assurance.VOUCHED)
    assert "concluded Inconclusive" in refusal.value.hint


def test_dispute_that_finds_a_match_assures_as_an_audit_does(
    play: Plays, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    job = play(b"disputed in vain", audit=DISPUTE, upto=6)
    assert verify(job.model, job.certificate, reader).reason == "an audit is only for a dispute, and there was none"
    Agreements(job.parties.scientist.chain).dispute(job.id)
    staked_verifiers.gather(job.parties.owner.chain, job.id)
    under_way = verify(job.model, job.certificate, reader)
    assert under_way.reason == "the dispute that its scientist opened is under way: evidence, vote 1"
    staked_verifiers.vote(job.parties.owner.chain, job.id, Outcome.MATCH)
    Audits(job.parties.owner.chain).advance(AuditRef(job.id))
    verdict = verify(job.model, job.certificate, reader, require=Assurance.VOUCHED)
    assert (verdict.assurance, verdict.complete) == (Assurance.VOUCHED, False)
    assert "on 5 of 6 segments" in verdict.reason  # one of them led from the last leaf to no other


def test_a_run_given_up_before_anything_was_anchored_certifies_nothing(play: Plays, reader: Chain) -> None:
    job = play(b"given up", upto=2)
    assert Agreements(reader).read(job.id).state is State.FORFEITED
    with pytest.raises(ClaimMismatch, match="ended as forfeited: its training was given up before"):
        verify(job.model, job.certificate, reader)


# --- audits asked for again -------------------------------------------------------------------


def test_an_audit_asked_for_again_by_ones_own_panel_raises_what_a_stranger_got(
    play: Plays, staked_verifiers: StakedVerifiers, reader: Chain, open_account: Callable[..., Account], tmp_path: Any
) -> None:
    job = play(b"asked again")
    Agreements(job.parties.scientist.chain).accept_result(job.id)
    stranger = open_account()
    panel = staked_verifiers.panel(stranger.chain, "my own")
    checker = trusting(reader, tmp_path, panel)
    assert verify(job.model, job.certificate, checker).assurance is Assurance.UNAUDITED
    asked = Agreements(stranger.chain).ask_again(job.id, of_panel(panel), commit_nonce(ASKER_NONCE), 600)
    unanswered = verify(job.model, job.certificate, checker)
    assert (unanswered.history.asked_count, unanswered.history.consented_count) == (1, 0)
    assert unanswered.juries == ()
    ref = asked_again(job, stranger, staked_verifiers, panel, Outcome.MATCH)
    assert (asked.ordinal, ref.ordinal) == (1, 2)
    verdict = verify(job.model, job.certificate, checker, require=Assurance.SAMPLED)
    assert [jury.ref.ordinal for jury in verdict.juries] == [2]
    assert (verdict.history.asked_count, verdict.history.consented_count) == (2, 1)
    assert f"the audit 2 that {stranger.address} asked for concluded Match" in verdict.reason
    assert "asked 2 times, consented to 1" in str(describe_verdict(verdict, job.model).views)
    assert verdict.repeat == Repeat(3, 0, AGAIN_GAS, asked_again=True)  # the job itself is not done again
    assert verify(job.model, job.certificate, reader).assurance is Assurance.VOUCHED


@pytest.mark.parametrize(
    "outcome", long_unless(lambda outcome: outcome is Outcome.MISMATCH, [Outcome.MISMATCH, Outcome.WITHHELD])
)
def test_of_several_audits_the_worst_counts_that_the_checkers_own_found(
    outcome: Outcome,
    play: Plays,
    staked_verifiers: StakedVerifiers,
    reader: Chain,
    open_account: Callable[..., Account],
    tmp_path: Any,
    pass_time: Callable[[int], None],
) -> None:
    job = play(b"worst %d" % outcome)
    Agreements(job.parties.scientist.chain).accept_result(job.id)
    stranger = open_account()
    mine = staked_verifiers.panel(stranger.chain, f"mine, {outcome.name}")
    theirs = staked_verifiers.panel(job.parties.owner.chain, f"theirs, {outcome.name}")
    checker = trusting(reader, tmp_path, mine)
    asked_again(job, stranger, staked_verifiers, mine, Outcome.MATCH)
    assert verify(job.model, job.certificate, checker).assurance is Assurance.SAMPLED
    # What an unknown jury says neither raises nor lowers.
    asked_again(job, stranger, staked_verifiers, theirs, Outcome.MISMATCH)
    told = verify(job.model, job.certificate, checker)
    assert told.assurance is Assurance.SAMPLED
    assert [jury.verdict for jury in told.juries] == [Outcome.MATCH, Outcome.MISMATCH]
    if outcome is Outcome.MISMATCH:
        asked_again(job, stranger, staked_verifiers, mine, outcome)
    else:  # the owner lets two windows for its evidence pass
        ref = asked_again(job, stranger, staked_verifiers, mine)
        staked_verifiers.gather(stranger.chain, job.id, ref.ordinal)
        for _ in range(2):
            pass_time(TERMS.window + 1)
            Audits(stranger.chain).advance(ref)
    with pytest.raises(ClaimMismatch, match=f"audit 3 that .* asked for .* concluded {outcome.name.capitalize()}"):
        verify(job.model, job.certificate, checker)
    # Who does not know that jury is not bound by it.
    assert verify(job.model, job.certificate, reader).assurance is Assurance.VOUCHED


# --- what repeating costs ---------------------------------------------------------------------


def test_repeating_is_told_and_a_checker_may_ask_for_a_least_cost(
    play: Plays, parties: Parties, staked_verifiers: StakedVerifiers, reader: Chain, tmp_path: Any
) -> None:
    panel = staked_verifiers.panel(parties.scientist.chain, "repeated")
    job = play(b"repeated", audit=of_panel(panel))
    staked_verifiers.conclude(parties.owner.chain, job.id, Outcome.MATCH)
    checker = trusting(reader, tmp_path, panel)
    verdict = verify(job.model, job.certificate, checker)
    assert verdict.repeat is not None
    assert (verdict.repeat.jobs, verdict.repeat.cost, verdict.repeat.whole) == (3, 3 * FIT // 2, 3 * FIT)
    assert "need about 3 such jobs; each that fails costs them 1.5 FIT" in str(
        describe_verdict(verdict, job.model).views
    )
    enough, more = (
        verify(job.model, job.certificate, asking(checker, least_repeat_cost=least)) for least in (3 * FIT, 3 * FIT + 1)
    )
    assert (enough.assurance, more.assurance) == (Assurance.SAMPLED, Assurance.VOUCHED)
    assert "repeating costs 3 FIT, and your settings ask for" in more.reason


# --- what all that asks of a node -------------------------------------------------------------

MOST_REQUESTS = 12
"""HTTP requests of one `verify`, whatever else the deployment holds."""


def counted_verify(reader: Chain, job: Job, **settings: Any) -> tuple[int, Verdict]:
    """How many HTTP requests a stranger's `verify` takes from the first, connecting included."""
    with counting(reader.settings.rpc) as (url, traffic):
        verdict = verify(job.model, job.certificate, replace(reader.settings, rpc=url, chain_id=None, **settings))
    assert max(map(len, traffic.posts)) <= BATCH
    return traffic.requests, verdict


@pytest.mark.long
def test_verify_asks_at_most_twelve_times_whatever_strangers_write(
    play: Plays,
    parties: Parties,
    staked_verifiers: StakedVerifiers,
    reader: Chain,
    open_account: Callable[..., Account],
    tmp_path: Any,
) -> None:
    job = play(b"asked about", audit=TERMS)
    staked_verifiers.conclude(parties.owner.chain, job.id, Outcome.MATCH)
    Audits(parties.owner.chain).release(AuditRef(job.id), SOMETHING)
    stranger = open_account()
    mine = staked_verifiers.panel(stranger.chain, "asked about")
    trusting(reader, tmp_path, mine)
    asked_again(job, stranger, staked_verifiers, mine, Outcome.MATCH)

    def asked() -> int:
        posts, verdict = counted_verify(reader, job, home=tmp_path, open_stake=5000 * FIT)
        assert verdict.assurance is Assurance.OPEN and len(verdict.juries) == 2
        return posts

    others, calls = replace(parties, scientist=stranger), Agreements(stranger.chain)

    def interfere(times: int) -> None:
        for number in range(times):
            id = others.request(b"%s %d" % (bytes(mine), number + times))
            Agreements(parties.owner.chain).reject(id)
            Registry(stranger.chain).create_panel(str(id.short))
            calls.ask_again(job.id, of_panel(mine), commit_nonce(ASKER_NONCE), 600)
            Registry(stranger.chain).register_model(sha256(bytes(id)), job.recipe.initial_model)

    interfere(1)
    before = asked()
    interfere(12)
    assert asked() == before <= MOST_REQUESTS
    # With the rule taken out, that questions nobody consented to are not read, each is one more
    # event.
    everything = Agreements(reader).events(job.id)
    assert len([event for event in everything if event.name == "AuditAsked"]) == 14


@pytest.mark.usefixtures("staked_verifiers")
def test_of_many_other_agreements_the_newest_are_looked_at(
    play: Plays, parties: Parties, reader: Chain, pass_time: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("fitchain.pod.ports.agreement.history", "fitchain.cli.views.verdict"):
        monkeypatch.setattr(f"{module}.MOST_RELATED", 2)
    older, newer = (play(salt, audit=TERMS) for salt in (b"older", b"newer"))
    pass_time(TERMS.window + 1)
    for other in (older, newer):
        Audits(parties.owner.chain).advance(AuditRef(other.id))
    play(b"between")
    job = play(b"beside many")
    verdict = verify(job.model, job.certificate, reader)
    assert verdict.history.beside >= 3 and verdict.history.beside_whole
    assert [other.id for other in verdict.history.related] == [newer.id]
    assert "of the newest 2 of" in str(describe_verdict(verdict, job.model).views)


def test_failed_audits_stand_beside_every_other_job(
    play: Plays, parties: Parties, staked_verifiers: StakedVerifiers, reader: Chain, pass_time: Callable[[int], None]
) -> None:
    failed = play(b"failed beside", audit=TERMS)
    staked_verifiers.conclude(parties.owner.chain, failed.id, Outcome.MISMATCH)
    none = play(b"none beside", audit=TERMS)
    pass_time(TERMS.window + 1)
    Audits(parties.owner.chain).advance(AuditRef(none.id))
    job = play(b"beside failed ones")
    found = {other.id: other for other in verify(job.model, job.certificate, reader).history.related}
    assert (found[failed.id].outcome, found[failed.id].verdict) == (State.FORFEITED, Outcome.MISMATCH)
    assert (found[none.id].outcome, found[none.id].verdict) == (State.REFUNDED, Outcome.INCONCLUSIVE)


def test_a_node_that_refuses_to_search_widely_is_told_and_hides_nothing_of_the_job(play: Plays, reader: Chain) -> None:
    job = play(b"searched")

    def limit(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        topics = call["params"][0].get("topics", []) if call["method"] == "eth_getLogs" else []
        wide = len(topics) > 2  # a search by a party
        return refused(call, "query returned more than 10000 results") if wide else answer

    with proxy(reader.settings.rpc, lambda call: None, change=limit) as url:
        verdict = verify(job.model, job.certificate, Chain(Node(url), reader.settings, reader.deployment))
    assert (verdict.history.beside, verdict.history.beside_whole) == (0, False)
    assert "as far as the node lets it be searched" in str(describe_verdict(verdict, job.model).views)


# --- a second node ----------------------------------------------------------------------------


def test_a_second_node_that_agrees_changes_nothing(play: Plays, reader: Chain) -> None:
    job = play(b"two nodes")
    with counting(reader.settings.rpc) as (url, traffic):
        verdict = verify(job.model, job.certificate, replace(reader.settings, also_rpc=url))
    assert verdict.assurance is Assurance.UNAUDITED and 0 < traffic.requests <= MOST_REQUESTS


@pytest.mark.parametrize(
    "method", long_unless(lambda method: method == "eth_call", ["eth_call", "eth_getLogs", "eth_getBlockByNumber"])
)
def test_a_node_that_lies_is_not_believed_where_a_second_one_is_asked(
    method: str, play: Plays, parties: Parties, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    job = play(b"a lie about %s" % method.encode(), audit=TERMS)
    staked_verifiers.conclude(parties.owner.chain, job.id, Outcome.MATCH)

    def lie(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] != method or not answer.get("result"):
            return answer
        result = answer["result"]
        if method == "eth_call":
            return answer | {"result": result[:-1] + ("0" if result[-1] != "0" else "1")}
        if method == "eth_getLogs":
            return answer | {"result": result[:-1]}
        return answer | {"result": result | {"hash": "0x" + "7" * 64}}

    with proxy(reader.settings.rpc, lambda call: None, change=lie) as url:
        lied = replace(reader.settings, rpc=url)
        with pytest.raises(ChainUnusable, match=r"do not agree|cannot be"):  # some lies show by themselves
            verify(job.model, job.certificate, replace(lied, also_rpc=reader.settings.rpc))
        with pytest.raises(ChainUnusable, match=r"do not agree|cannot be"):  # some lies show by themselves
            verify(job.model, job.certificate, replace(reader.settings, also_rpc=url))


def test_a_second_node_on_another_chain_is_unusable(play: Plays, reader: Chain) -> None:
    job = play(b"another chain")

    def elsewhere(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"result": "0x5"} if call["method"] == "eth_chainId" else answer

    with (
        proxy(reader.settings.rpc, lambda call: None, change=elsewhere) as url,
        pytest.raises(ChainUnusable, match="on chain 5"),
    ):
        verify(job.model, job.certificate, replace(reader.settings, also_rpc=url))
