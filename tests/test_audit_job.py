"""Whole jobs with audits: pods of all three kinds on a real chain, real replays, absence, laziness,
silence, garbage and disputes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.views.verdict import describe_held_out
from fitchain.pod.jobs.exchange import send_key
from fitchain.pod.parties.owner.answer import evidence_file
from fitchain.pod.parties.scientist import delivery, dispute, publish_model
from fitchain.pod.parties.verifier import ConsentPolicy, Examination, examine
from fitchain.pod.ports.agreement import Outcome, Phase, State
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.ports.store import Cid, Store, car
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.vote import trace_digest
from fitchain.pod.proof.certificate import verify
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import InputRefused, Unusable
from fitchain.pod.values.ids import AgreementId, AuditRef
from tests.audited_workshop import (
    COUNTER_BOND,
    FEE,
    SEAT_STAKE,
    TENTH,
    AuditedWorkshop,
    changed,
    elsewhere,
    lazy,
)
from tests.chain_fixtures import MONEY
from tests.pods import (
    BOND,
    EXPLODING,
    HOUR_S,
    PRICE,
    RECIPE,
    Party,
    module_file,
    owner_runs,
    scientist_runs,
    verifier_runs,
)

PassTime = Callable[[int], None]


@pytest.fixture(autouse=True)
def leaves_no_audit_behind(audited: AuditedWorkshop) -> Iterator[None]:
    """Else the next test lets time pass, and who joined the audit that was left loses stake in
    it."""
    yield
    assert audited.undecided() == []


# An honest job


@pytest.fixture(scope="module")
def honest(audited: AuditedWorkshop) -> AgreementId:
    """A job that holds records out and that three of the panel audit, everybody running."""
    workshop = audited.workshop
    with (
        owner_runs(workshop.owner),
        scientist_runs(workshop.scientist, turn_s=60),
        verifier_runs(*audited.verifiers, turn_s=60),
    ):
        id = workshop.request(audit=audited.terms(), recipe_overrides=RECIPE | {"held_out": 0.2})
        audited.until(workshop.scientist.has(id, "release_accepted"))
        audited.until_wiped(id, *audited.seated(id))
        audited.until(workshop.owner.has(id, "wiped"))
    return id


def test_honest_job_matches_and_its_model_is_received(audited: AuditedWorkshop, honest: AgreementId) -> None:
    scientist = audited.workshop.scientist
    assert scientist.state(honest) == State.SETTLED
    assert delivery(scientist.home, honest).model.exists()
    assert "result_accepted" not in scientist.kinds(honest)
    assert scientist.told(honest, "verdict")["verdict"] == "MATCH"
    assert audited.audit(honest).phase is Phase.CONCLUDED


def test_both_sides_learn_what_the_model_does_on_held_out_records(
    audited: AuditedWorkshop, honest: AgreementId
) -> None:
    workshop = audited.workshop
    results = [party.told(honest, "held_out") for party in (workshop.owner, workshop.scientist)]
    assert results[0]["result"] == results[1]["result"] and results[0]["result"]["records"] == 8
    assert [told.get("assurance", "") for told in results] == ["", "vouched"]
    received = delivery(workshop.scientist.home, honest)
    verdict = verify(received.model, received.certificate, workshop.scientist.home.chain)
    assert verdict.statement.held_out is not None
    assert verdict.statement.held_out.result.json() == results[0]["result"]
    sentence = describe_held_out(verdict) or ""
    assert sentence.startswith("on 8 held-out records that nobody trained on: accuracy")
    assert sentence.endswith("; seats voted Match on the segment at whose end it stands")


def test_audit_stays_within_its_budget_of_transactions_and_gas(audited: AuditedWorkshop, honest: AgreementId) -> None:
    names = audited.names(honest)
    assert [names.count(name) for name in ("Drawn", "Joined", "EvidenceSubmitted", "Revealed", "Released")] == [
        *(1, 3, 1, 3, 1)
    ]
    home = audited.workshop.owner.home
    transactions = {event.transaction for event in home.agreements.events(honest)}
    receipts = [home.chain.receipt(transaction) for transaction in transactions]
    assert len(transactions) == 20
    assert sum(receipt.gas_used for receipt in receipts if receipt) <= 1_800_000


def test_the_scientist_draws_with_its_nonce(audited: AuditedWorkshop, honest: AgreementId) -> None:
    home = audited.workshop.scientist.home
    (drawn,) = [event for event in home.audits.events(AuditRef(honest)) if event.name == "Drawn"]
    receipt = home.chain.receipt(drawn.transaction)
    assert receipt is not None and receipt.sender == audited.workshop.scientist.address
    assert drawn.block <= audited.audit(honest).opened_block + home.chain.constants.turn_blocks


def test_every_seat_replayed_and_collected_its_fee(audited: AuditedWorkshop, honest: AgreementId) -> None:
    seated = audited.seated(honest)
    for party in seated:
        told = party.told(honest, "examined")
        assert (told["outcome"], told["segments"], told["problems"]) == ("MATCH", 4, [])
        assert party.fit() == MONEY + FEE
        kinds = [kind for kind in party.kinds(honest) if not kind.startswith("audit_")]
        assert kinds == [
            "drawn",
            "joined",
            "examined",
            "committed",
            "revealed",
            "verdict",
            "collected",
            "removed",
            "wiped",
        ]
    assert all(party.kinds(honest) == [] for party in audited.others(*seated))
    assert audited.free()


def test_nothing_secret_outlives_the_audit(audited: AuditedWorkshop, honest: AgreementId) -> None:
    seated = audited.seated(honest)
    folders = [party.home.job_folder(honest).path for party in (audited.workshop.owner, *seated)]
    assert [list(folder.glob("*.age")) for folder in folders] == [[]] * 4
    assert [list(folder.iterdir()) for folder in folders[1:]] == [[]] * 3


def test_identity_of_a_seat_whose_draw_the_chain_took_back_is_wiped(
    audited: AuditedWorkshop, honest: AgreementId
) -> None:
    """No event names whoever was drawn there any more; only its folder knows of the seat."""
    other = audited.others(*audited.seated(honest))[0]
    folder = other.home.job_folder(honest).create()
    other.home.kept_identity(folder.seat_identity)
    with verifier_runs(other):
        audited.until_wiped(honest, other)
    assert folder.secrets() == []


# Who is absent, and who does not replay


@pytest.mark.nightly
def test_job_settles_with_one_absent_and_one_lazy_verifier(audited: AuditedWorkshop, pass_time: PassTime) -> None:
    workshop, before, stakes = audited.workshop, audited.owed(), audited.stakes()
    with owner_runs(workshop.owner, keep_every=2), scientist_runs(workshop.scientist):  # which trains states again
        id = workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.JOINING)
        absent, sluggard, worker = audited.seated(id)
        with verifier_runs(worker, *audited.others(absent, sluggard, worker)), verifier_runs(sluggard, examiner=lazy):
            audited.until(worker.has(id, "joined"))
            audited.until(sluggard.has(id, "joined"))
            pass_time(HOUR_S + 1)
            audited.until(workshop.scientist.has(id, "received"))
            audited.until_wiped(id, sluggard, worker)
    audit = audited.audit(id)
    assert (audit.verdict, audit.round) == (Outcome.MATCH, 0)
    assert audited.workshop.owner.home.verifiers.verifier(absent.address).away
    assert audited.lost_since(stakes) == {sluggard.address: SEAT_STAKE}
    assert changed(before, audited.owed()) == [PRICE + BOND, FEE]  # the fee that the sluggard did not earn
    with verifier_runs(absent):
        audited.until(lambda: not absent.home.verifiers.verifier(absent.address).away)


@pytest.mark.long
def test_jury_that_its_asker_does_not_draw_is_drawn_by_those_who_may_sit_in_it(audited: AuditedWorkshop) -> None:
    """Else who does not like a jury lets its turn pass, has everything back, and tries again."""
    workshop = audited.workshop
    with owner_runs(workshop.owner):
        id = workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.AWAITING)
        with verifier_runs(*audited.verifiers):
            audited.until(lambda: audited.audit(id).phase > Phase.AWAITING)
            with scientist_runs(workshop.scientist):
                audited.until(workshop.scientist.has(id, "release_accepted"))


@pytest.mark.long
def test_who_joined_and_vanished_loses_a_tenth_and_its_seat(audited: AuditedWorkshop, pass_time: PassTime) -> None:
    workshop, stakes = audited.workshop, audited.stakes()
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        id = workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.JOINING)
        first, second, third = audited.seated(id)
        with verifier_runs(first):
            with verifier_runs(second, third):
                audited.until_phase(id, Phase.EVIDENCE)
            audited.until_phase(id, Phase.COMMITTING)
            audited.until(first.has(id, "committed"))
            pass_time(HOUR_S + 1)
            with verifier_runs(*audited.others(first, second, third)):
                audited.until(workshop.scientist.has(id, "release_accepted"))
                audited.until_wiped(id, first)
    audit = audited.audit(id)
    assert (audit.verdict, audit.round) == (Outcome.MATCH, 1)
    assert audited.lost_since(stakes) == dict.fromkeys((second.address, third.address), TENTH)
    assert first in audited.seated(id) and second not in audited.seated(id)
    assert [entry["round"] for entry in lines(first, id, "committed")] == [0, 1]
    with verifier_runs(second, third):
        audited.until_wiped(id, second, third)


def lines(party: Any, id: AgreementId, kind: str) -> list[dict[str, Any]]:
    """Every line of a kind in a party's history of a job."""
    return [line.entry.json() for line in party.home.journal.history(id) if line.entry.kind == kind]


@pytest.mark.nightly
def test_what_a_policy_refuses_is_declined_and_drawn_again_at_once(audited: AuditedWorkshop) -> None:
    workshop, stakes = audited.workshop, audited.stakes()
    dear = ConsentPolicy(least_fee=2 * FEE)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        id = workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.JOINING)
        choosy, *others = audited.seated(id)
        with verifier_runs(choosy, policy=dear), verifier_runs(*audited.others(choosy)):
            audited.until(workshop.scientist.has(id, "release_accepted"))
    assert "a seat earns 1 FIT, less than 2" in choosy.told(id, "declined")["reason"]
    assert choosy not in audited.seated(id) and set(map(id_of, others)) <= set(map(id_of, audited.seated(id)))
    assert (audited.names(id).count("Declined"), audited.names(id).count("Drawn")) == (1, 2)
    assert (audited.audit(id).round, audited.lost_since(stakes)) == (0, {})


def id_of(party: Any) -> str:
    return str(party.address)


@pytest.mark.long
def test_jury_that_declines_waits_and_is_drawn_on(audited: AuditedWorkshop, pass_time: PassTime) -> None:
    workshop, stakes = audited.workshop, audited.stakes()
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        with verifier_runs(*audited.verifiers, policy=ConsentPolicy(least_fee=2 * FEE)):
            id = workshop.request(audit=audited.terms())
            audited.until_phase(id, Phase.WAITING)
        with verifier_runs(*audited.verifiers):
            pass_time(HOUR_S + 1)
            audited.until(workshop.scientist.has(id, "release_accepted"))
            audited.until_wiped(id, *audited.seated(id))
    assert (audited.audit(id).verdict, audited.lost_since(stakes)) == (Outcome.MATCH, {})


@pytest.mark.nightly
def test_second_seat_of_a_verifier_with_stake_for_one_is_declined(
    audited: AuditedWorkshop,
) -> None:
    """Every member has stake for one seat of this size: one of two jobs is judged by the two that
    are left, who are a quorum."""
    workshop, stakes = audited.workshop, audited.stakes()
    fee = MONEY * 3 // 4 // 20
    terms = audited.terms(fee_per_seat=fee, seat_stake=20 * fee)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        ids = [workshop.request(audit=terms, bond=3 * fee, price=PRICE) for _ in range(2)]
        for id in ids:
            audited.until_phase(id, Phase.JOINING)
        with verifier_runs(*audited.verifiers):
            for id in ids:
                audited.until(workshop.scientist.has(id, "release_accepted"))
    declined = [
        party.told(id, "declined")["reason"] for id in ids for party in audited.verifiers if has_declined(party, id)
    ]
    assert declined and all("FIT of its stake are free" in reason for reason in declined)
    assert audited.lost_since(stakes) == {}


def has_declined(party: Any, id: AgreementId) -> bool:
    return "declined" in party.kinds(id)


# Votes that take no replay


def focal(store: Any, cid: Any, identity: Any, chain_record: Any, folder: Path, *rest: Any) -> Examination:
    """Looks at nothing: Mismatch, with the trace of states that are all zero, which anyone can
    compute."""
    trace = trace_digest(chain_record.audit, chain_record.round, [ZERO] * len(chain_record.audited))
    return Examination(Outcome.MISMATCH, trace)


def made_up(store: Any, cid: Any, identity: Any, chain_record: Any, folder: Path, *rest: Any) -> Examination:
    """Looks at nothing: Mismatch, with a trace of its own that nobody else comes to."""
    trace = trace_digest(chain_record.audit, chain_record.round, [chain_record.seed] * len(chain_record.audited))
    return Examination(Outcome.MISMATCH, trace)


@pytest.mark.nightly
def test_nobody_can_vote_the_trace_of_zeros(audited: AuditedWorkshop, pass_time: PassTime) -> None:
    workshop, before, stakes = audited.workshop, audited.owed(), audited.stakes()
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        id = workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.JOINING)
        *colluders, worker = audited.seated(id)
        with verifier_runs(worker, *audited.others(worker, *colluders)), verifier_runs(*colluders, examiner=focal):
            audited.until_phase(id, Phase.REVEALING)
            audited.until(worker.has(id, "revealed"))
            audited.until(lambda: all("TraceTakesNoReplay" in " ".join(party.said) for party in colluders))
            pass_time(HOUR_S + 1)
            audited.until(workshop.scientist.has(id, "release_accepted"))
    assert audited.audit(id).verdict is Outcome.MATCH
    assert audited.lost_since(stakes) == {party.address: TENTH for party in colluders}
    assert changed(before, audited.owed()) == [PRICE + BOND, 0]


@pytest.mark.long
def test_made_up_trace_loses_the_stake_of_the_seat(audited: AuditedWorkshop) -> None:
    workshop, before, stakes = audited.workshop, audited.owed(), audited.stakes()
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        id = workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.JOINING)
        cheat, *workers = audited.seated(id)
        with verifier_runs(*workers), verifier_runs(cheat, examiner=made_up):
            audited.until(workshop.scientist.has(id, "release_accepted"))
            audited.until_wiped(id, cheat, *workers)
    assert audited.lost_since(stakes) == {cheat.address: SEAT_STAKE}
    assert changed(before, audited.owed()) == [PRICE + BOND, FEE]


# The release


def worth(party: Party) -> int:
    """What a verifier has and may collect: it collects what earlier audits have paid, too."""
    return party.fit() + party.home.verifiers.verifier(party.address).earned


@pytest.mark.long
def test_garbage_key_is_complained_of_and_the_seats_release_what_they_kept(
    audited: AuditedWorkshop, pass_time: PassTime
) -> None:
    workshop, before, stakes = audited.workshop, audited.owed(), audited.stakes()
    owner, scientist = workshop.owner, workshop.scientist
    with owner_runs(owner):
        id = workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.JOINING)
        first, second, third = audited.seated(id)
        funds = [worth(party) for party in (first, second, third)]
        with verifier_runs(first, second):
            with verifier_runs(third):
                audited.until_phase(id, Phase.COMMITTING)
                owner.home.keep_secret(owner.home.job_folder(id).path / "identity.age", new_identity()[0])
                audited.until_phase(id, Phase.RELEASED)
            with scientist_runs(scientist):
                audited.until(scientist.has(id, "complained"))
                audited.until(scientist.has(id, "received"))
                audited.until(lambda: [seat.released for seat in audited.audit(id).seats] == [True, True, False])
                assert (first.home.job_folder(id).path / "job.age").exists()  # until the window is over
                pass_time(HOUR_S + 1)
                audited.until_wiped(id, first, second)
    with verifier_runs(third):
        audited.until_wiped(id, third)
    assert delivery(scientist.home, id).model.exists()
    assert "release_accepted" not in scientist.kinds(id)
    assert changed(funds, [worth(party) for party in (first, second, third)]) == [FEE, FEE, 0]
    assert changed(before, audited.owed()) == [PRICE + BOND, 0]
    assert audited.lost_since(stakes) == {} and audited.free()


@pytest.mark.long
def test_seats_release_in_turn_what_an_owner_does_not(audited: AuditedWorkshop, pass_time: PassTime) -> None:
    workshop, before = audited.workshop, audited.owed()
    with scientist_runs(workshop.scientist), verifier_runs(*audited.verifiers, turn_s=60):
        with owner_runs(workshop.owner):
            id = workshop.request(audit=audited.terms())
            audited.until_phase(id, Phase.COMMITTING)
        audited.until_phase(id, Phase.MATCHED)
        pass_time(HOUR_S // 2 + 2)
        audited.until(workshop.scientist.has(id, "release_accepted"))
        audited.until_wiped(id, *audited.seated(id))
    (release,) = workshop.scientist.home.audits.releases(AuditRef(id))
    assert release.by in [party.address for party in audited.seated(id)]
    assert changed(before, audited.owed()) == [PRICE + BOND, 0]
    with owner_runs(workshop.owner):
        audited.until(workshop.owner.has(id, "wiped"))


# No evidence


@pytest.mark.long
def test_owner_that_misses_one_window_hands_over_its_evidence_in_the_next(
    audited: AuditedWorkshop, pass_time: PassTime
) -> None:
    workshop = audited.workshop
    with scientist_runs(workshop.scientist), verifier_runs(*audited.verifiers):
        with owner_runs(workshop.owner):
            id = workshop.request(audit=audited.terms())
            workshop.until_state(id, State.AUDITING)
        audited.until_phase(id, Phase.EVIDENCE)
        pass_time(HOUR_S + 1)
        audited.until(lambda: audited.audit(id).withheld_before)
        with owner_runs(workshop.owner):
            audited.until(workshop.scientist.has(id, "release_accepted"))
    assert audited.audit(id).verdict is Outcome.MATCH
    told = workshop.owner.told(id, "evidence")
    assert told["withheld"] and Path(told["file"]).suffix == ".car"


@pytest.mark.long
def test_evidence_that_nobody_can_open_is_sealed_and_handed_over_again(audited: AuditedWorkshop) -> None:
    """Whoever cuts an owner's line has not won: the seats vote anew, over what is handed over
    anew."""
    workshop, stakes = audited.workshop, audited.stakes()

    def blind_at_first(store: Any, cid: Any, identity: Any, chain_record: Any, *rest: Any) -> Examination:
        if chain_record.round == 0:
            return Examination(Outcome.WITHHELD, ZERO)
        return examine(store, cid, identity, chain_record, *rest)

    with (
        owner_runs(workshop.owner),
        scientist_runs(workshop.scientist),
        verifier_runs(*audited.verifiers, examiner=blind_at_first),
    ):
        id = workshop.request(audit=audited.terms())
        audited.until(workshop.scientist.has(id, "release_accepted"))
    audit = audited.audit(id)
    assert (audit.verdict, audit.round) == (Outcome.MATCH, 1)
    assert [entry["round"] for entry in lines(workshop.owner, id, "evidence")] == [0, 1]
    assert audited.lost_since(stakes) == {}


@pytest.mark.long
def test_owner_without_evidence_in_two_windows_pays_for_it(audited: AuditedWorkshop, pass_time: PassTime) -> None:
    workshop, before, stakes = audited.workshop, audited.owed(), audited.stakes()
    with scientist_runs(workshop.scientist):
        with owner_runs(workshop.owner):
            id = workshop.request(audit=audited.terms())
            workshop.until_state(id, State.AUDITING)
        with verifier_runs(*audited.verifiers):
            audited.until_phase(id, Phase.EVIDENCE)
            pass_time(HOUR_S + 1)
            audited.until(lambda: audited.audit(id).withheld_before)
            pass_time(HOUR_S + 1)
            audited.until(workshop.scientist.has(id, "forfeited"))
            audited.until_wiped(id, *audited.seated(id))
    with owner_runs(workshop.owner):
        audited.until(workshop.owner.has(id, "wiped"))
    assert audited.audit(id).verdict is Outcome.WITHHELD
    assert changed(before, audited.owed()) == [0, PRICE + 3 * FEE + BOND // 2]
    assert audited.lost_since(stakes) == {}
    assert "received" not in workshop.scientist.kinds(id)
    assert not (workshop.owner.home.job_folder(id).path / "identity.age").exists()


# Another environment


@pytest.mark.long
def test_verifiers_that_cannot_replay_say_so_and_everybody_else_has_its_money_back(
    audited: AuditedWorkshop, pass_time: PassTime
) -> None:
    workshop, before, stakes = audited.workshop, audited.owed(), audited.stakes()
    with (
        owner_runs(workshop.owner),
        scientist_runs(workshop.scientist),
        verifier_runs(*audited.verifiers, examiner=elsewhere),
    ):
        id = workshop.request(audit=audited.terms())
        audited.until_phase(id, Phase.WAITING, round=2)  # two could be drawn when three had said so
        pass_time(25 * HOUR_S)
        audited.until(workshop.scientist.has(id, "refunded"))
    votes = workshop.owner.home.audits.votes(audited.audit(id))
    assert {(vote.outcome, vote.trace) for vote in votes} == {(Outcome.INCONCLUSIVE, ZERO)}
    assert set(audited.lost_since(stakes).values()) == {TENTH}  # as who joined and is absent
    assert changed(before, audited.owed()) == [BOND, PRICE + 3 * FEE]


# Disputes


@pytest.mark.long
def test_disputed_job_without_verifiers_is_audited_and_the_loser_pays(audited: AuditedWorkshop) -> None:
    workshop = audited.workshop
    scientist = workshop.scientist
    with owner_runs(workshop.owner):
        with scientist_runs(scientist, auto_accept=False):
            id = workshop.request(audit=audited.disputable())
            audited.until(scientist.has(id, "received"))
        before, spent = audited.owed(), scientist.fit()
        dispute(scientist.home, id)
        assert spent - scientist.fit() == 3 * FEE + COUNTER_BOND
        with scientist_runs(scientist), verifier_runs(*audited.verifiers):
            audited.until(scientist.has(id, "release_accepted"))
            audited.until_wiped(id, *audited.seated(id))
    assert audited.audit(id).verdict is Outcome.MATCH
    assert changed(before, audited.owed()) == [PRICE + BOND + COUNTER_BOND // 2, 0]
    with pytest.raises(Unusable, match="no result to dispute now"):
        dispute(scientist.home, id)


@pytest.mark.nightly
def test_complaint_that_a_dispute_answers_gives_the_counter_bond_back(
    audited: AuditedWorkshop, pass_time: PassTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came with `finish` opens nothing, and the owner never says otherwise: the seats do."""
    workshop, scientist = audited.workshop, audited.workshop.scientist

    def garbage(store: Store, id: AgreementId, secret: str, recipient: str) -> Cid:
        return send_key(store, id, new_identity()[0], recipient)

    monkeypatch.setattr("fitchain.pod.parties.owner.run.send_key", garbage)
    with owner_runs(workshop.owner), scientist_runs(scientist):
        id = workshop.request(audit=audited.disputable())
        audited.until(scientist.has(id, "complained"))
        before = audited.owed()
        dispute(scientist.home, id)
        with verifier_runs(*audited.verifiers):
            audited.until(scientist.has(id, "received"))
            audited.until(lambda: all(seat.released for seat in audited.audit(id).seats))
            pass_time(HOUR_S + 1)
            audited.until_wiped(id, *audited.seated(id))
    assert delivery(scientist.home, id).model.exists()
    assert changed(before, audited.owed()) == [PRICE + BOND, COUNTER_BOND]


# A run that left the finite numbers


@pytest.mark.long
def test_diverged_run_is_audited_and_paid_pro_rata(audited: AuditedWorkshop) -> None:
    workshop, before = audited.workshop, audited.owed()
    home = workshop.scientist.home
    line = publish_model(home, module_file(home.settings.home), workshop.dataset.id, name="Line")
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist), verifier_runs(*audited.verifiers):
        id = workshop.request(model=line.id, recipe_overrides=EXPLODING, audit=audited.terms())
        audited.until(workshop.scientist.has(id, "release_accepted"))
    agreement = home.agreements.read(id)
    assert (agreement.state, agreement.diverged) == (State.SETTLED, True)
    due = PRICE * agreement.steps_done // 12
    assert changed(before, audited.owed()) == [due + BOND, PRICE - due]


# What is never asked for


def test_audit_that_shows_more_than_the_policy_admits_is_never_asked_for(audited: AuditedWorkshop) -> None:
    with pytest.raises(InputRefused, match="shows more than the policy's sampled"):
        audited.workshop.request(audit=audited.terms(mode=AuditMode.OPEN))


@pytest.mark.long
def test_on_site_evidence_is_carried_by_hand_and_stands_in_no_store(audited: AuditedWorkshop, tmp_path: Path) -> None:
    workshop = audited.workshop
    home = workshop.owner.home
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        with verifier_runs(*audited.verifiers):
            id = workshop.request(audit=audited.terms(mode=AuditMode.ON_SITE))
            audited.until_phase(id, Phase.EVIDENCE)
        audit = audited.until_phase(id, Phase.COMMITTING)
        seated, shared = audited.seated(id), workshop.scientist.home.store
        submission = home.audits.submission(audit)
        assert submission is not None and submission.evidence is not None and not shared.has(submission.evidence)
        weights = home.agreements.run_record(id).delivery
        assert weights is not None
        with verifier_runs(*seated):
            audited.until(lambda: any("fitchain store import" in line for party in seated for line in party.said))
        stores = {party.side.name: party.home.store for party in seated}
        for party in seated:
            on_site = LocalStore(tmp_path / party.side.name, party.home.settings.home)
            with evidence_file(home, audit).open("rb") as file:
                on_site.add_blocks(*car.read(file))
            on_site.add_blocks(weights, shared.blocks(weights))
            party.home.store = on_site
        try:
            with verifier_runs(*seated):
                audited.until(workshop.scientist.has(id, "release_accepted"))
                audited.until_wiped(id, *seated)
        finally:
            for party in seated:
                party.home.store = stores[party.side.name]
    assert audited.audit(id).verdict is Outcome.MATCH
