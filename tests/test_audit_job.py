"""Whole jobs with audits: pods of all three kinds on a real chain, real replays, absence, laziness,
silence and disputes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.compute.dataset import Policy
from fitchain.pod.parties.owner.answer import evidence_file
from fitchain.pod.parties.scientist import delivery, dispute, publish_model
from fitchain.pod.parties.verifier import Examination, examine
from fitchain.pod.ports.agreement import AuditTerms, Outcome, Phase, State
from fitchain.pod.ports.store import car
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, sha256
from fitchain.pod.values.errors import EnvironmentRefused, InputRefused, Unusable
from fitchain.pod.values.ids import AgreementId
from tests.chain_fixtures import ETHER
from tests.pods import (
    BOND,
    EXPLODING,
    HOUR_S,
    PRICE,
    Party,
    Workshop,
    module_file,
    offer_table,
    owner_runs,
    scientist_runs,
    verifier_runs,
)

FEE, COUNTER_BOND, STAKE = 3 * ETHER, 2 * ETHER, 1000 * ETHER
PassTime = Callable[[int], None]


@dataclass(frozen=True)
class AuditedWorkshop:
    """A workshop whose dataset may be audited, and four verifiers that have staked, of whom tests
    make panels."""

    workshop: Workshop
    verifiers: tuple[Party, ...]

    def terms(self, members: int, **changes: Any) -> AuditTerms:
        """Terms of an audit by a panel of the first verifiers."""
        named = [party.address for party in self.verifiers[:members]]
        registry = self.workshop.scientist.home.registry
        known = [panel.id for panel in registry.panels() if list(panel.members) == named]
        panel = known[0] if known else registry.create_panel(f"the first {members}", named)
        told: dict[str, Any] = {"segments": 2, "verifiers": 3, "mode": AuditMode.SAMPLED, "panel": panel}
        return AuditTerms(**told | {"window": HOUR_S, "fee": FEE, "counter_bond": COUNTER_BOND} | changes)

    def until_phase(self, id: AgreementId, phase: Phase) -> None:
        """Wait until an audit stands where it should."""
        self.workshop.until(lambda: self.workshop.scientist.home.audits.read(id).phase == phase)

    def owed(self) -> list[int]:
        """What owner and scientist could withdraw."""
        parties = self.workshop.owner, self.workshop.scientist
        return [party.home.agreements.owed(party.address) for party in parties]

    def seated(self, id: AgreementId) -> list[Party]:
        """Who sits in an audit, by seat."""
        by_address = {party.address: party for party in self.verifiers}
        return [by_address[seat.verifier] for seat in self.workshop.owner.home.audits.read(id).seats]

    def names(self, id: AgreementId) -> list[str]:
        """The chain's events of an agreement."""
        return [event.name for event in self.workshop.owner.home.agreements.events(id)]


@pytest.fixture(scope="module")
def audited(workshop: Workshop, table_path: Path, open_verifier: Callable[[str], Party]) -> AuditedWorkshop:
    policy = Policy(manual_approval=False, disclosure_mode=AuditMode.SAMPLED, disclosure_cap=None)
    dataset = offer_table(workshop.owner, table_path, policy=policy)
    model = publish_model(
        workshop.scientist.home, module_file(workshop.scientist.home.settings.home), dataset.id, name="Tiny"
    )
    verifiers = tuple(open_verifier(f"verifier-{number}") for number in range(4))
    return AuditedWorkshop(replace(workshop, dataset=dataset, model=model), verifiers)


def changed(before: list[int], after: list[int]) -> list[int]:
    return [have - had for had, have in zip(before, after, strict=True)]


def lazy(*args: Any) -> Examination:
    """Votes Match with a trace of its own making."""
    return replace(examine(*args), outcome=Outcome.MATCH, trace=sha256(b"no replay"))


def elsewhere(*args: Any) -> Examination:
    """Reproduces no class."""
    raise EnvironmentRefused("the probe gives something else here")


# An honest job


@pytest.fixture(scope="module")
def honest(audited: AuditedWorkshop) -> AgreementId:
    """A job that three verifiers audit, everybody running."""
    workshop, judging = audited.workshop, audited.verifiers[:3]
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist, turn_s=60), verifier_runs(*judging, turn_s=60):
        id = workshop.request(audit=audited.terms(3))
        workshop.until(workshop.scientist.has(id, "settled"))
        for party in audited.verifiers[:3]:
            workshop.until(party.has(id, "wiped"))
        workshop.until(workshop.owner.has(id, "wiped"))
    return id


def test_honest_job_matches_and_its_model_is_received(audited: AuditedWorkshop, honest: AgreementId) -> None:
    scientist = audited.workshop.scientist
    assert scientist.state(honest) == State.SETTLED
    assert delivery(scientist.home, honest).model.exists()
    assert "result_accepted" not in scientist.kinds(honest)
    assert scientist.told(honest, "verdict")["verdict"] == "MATCH"


def test_audit_stays_within_its_budget_of_transactions_and_gas(audited: AuditedWorkshop, honest: AgreementId) -> None:
    names = audited.names(honest)
    assert [names.count(name) for name in ("Drawn", "Joined", "EvidenceSubmitted", "Revealed", "Released")] == [
        *(1, 3, 1, 3, 1)
    ]
    home = audited.workshop.owner.home
    transactions = {event.transaction for event in home.agreements.events(honest)}
    receipts = [home.chain.receipt(transaction) for transaction in transactions]
    assert len(transactions) == 19
    assert sum(receipt.gas_used for receipt in receipts if receipt) <= 1_500_000


def test_every_verifier_replayed_and_collected_its_fee(audited: AuditedWorkshop, honest: AgreementId) -> None:
    for party in audited.verifiers[:3]:
        told = party.told(honest, "examined")
        assert (told["outcome"], told["segments"], told["problems"]) == ("MATCH", 4, [])
        assert party.fit() >= STAKE + FEE // 3
        kinds = [kind for kind in party.kinds(honest) if not kind.startswith("audit_")]
        assert kinds == ["drawn", "joined", "examined", "committed", "revealed", "verdict", "collected", "wiped"]


def test_nothing_secret_outlives_the_audit(audited: AuditedWorkshop, honest: AgreementId) -> None:
    folders = [party.home.job_folder(honest) for party in (audited.workshop.owner, *audited.verifiers[:3])]
    assert [list(folder.glob("*.age")) for folder in folders] == [[]] * 4
    assert [list(folder.iterdir()) for folder in folders[1:]] == [[]] * 3


# Who is absent, and who does not replay


@pytest.mark.long
def test_absent_verifier_is_replaced_and_a_lazy_one_slashed(audited: AuditedWorkshop, pass_time: PassTime) -> None:
    workshop, before = audited.workshop, audited.owed()
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        id = workshop.request(audit=audited.terms(4))
        audited.until_phase(id, Phase.JOINING)
        absent, sluggard, worker = audited.seated(id)
        (reserve,) = [party for party in audited.verifiers if party not in (absent, sluggard, worker)]
        with verifier_runs(worker, reserve), verifier_runs(sluggard, examiner=lazy):
            workshop.until(worker.has(id, "joined"))
            workshop.until(sluggard.has(id, "joined"))
            pass_time(HOUR_S + 1)
            workshop.until(workshop.scientist.has(id, "received"))
            workshop.until(sluggard.has(id, "wiped"))
    audits = workshop.owner.home.audits
    audit = audits.read(id)
    assert (audit.verdict, audit.round) == (Outcome.MATCH, 1)
    assert [seat.verifier for seat in audit.seats] == [party.address for party in (reserve, sluggard, worker)]
    assert audits.penalties(id) == {absent.address: FEE // 3, sluggard.address: STAKE}
    assert changed(before, audited.owed()) == [PRICE + BOND, FEE // 3]
    for party in (absent, sluggard):
        party.home.audits.stake()


# No evidence


@pytest.mark.long
def test_owner_without_evidence_pays_for_it(audited: AuditedWorkshop, pass_time: PassTime) -> None:
    workshop, before = audited.workshop, audited.owed()
    with scientist_runs(workshop.scientist):
        with owner_runs(workshop.owner):
            id = workshop.request(audit=audited.terms(3))
            workshop.until_state(id, State.AUDITING)
        with verifier_runs(*audited.verifiers[:3]):
            audited.until_phase(id, Phase.EVIDENCE)
            pass_time(HOUR_S + 1)
            workshop.until(workshop.scientist.has(id, "forfeited"))
            for party in audited.verifiers[:3]:
                workshop.until(party.has(id, "wiped"))
    with owner_runs(workshop.owner):
        workshop.until(workshop.owner.has(id, "wiped"))
    assert workshop.owner.home.audits.read(id).verdict == Outcome.WITHHELD
    assert changed(before, audited.owed()) == [0, PRICE + FEE + (BOND - FEE) // 2]
    assert "received" not in workshop.scientist.kinds(id)
    assert not (workshop.owner.home.job_folder(id) / "identity.age").exists()


# Another environment


@pytest.mark.long
def test_verifiers_of_another_class_decline_and_everybody_has_its_money_back(
    audited: AuditedWorkshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop, before = audited.workshop, audited.owed()
    monkeypatch.setattr("fitchain.pod.parties.verifier.pod.check_host", elsewhere)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist), verifier_runs(*audited.verifiers[:3]):
        id = workshop.request(audit=audited.terms(3))
        workshop.until(workshop.scientist.has(id, "refunded"))
    audit = workshop.owner.home.audits.read(id)
    assert (audit.verdict, audit.round) == (Outcome.INCONCLUSIVE, 2)
    assert audited.names(id).count("Declined") == 3
    assert workshop.owner.home.audits.penalties(id) == {}
    assert changed(before, audited.owed()) == [BOND, PRICE + FEE]


@pytest.mark.long
def test_verifiers_that_cannot_replay_the_evidence_say_so_and_are_not_punished(audited: AuditedWorkshop) -> None:
    workshop, before = audited.workshop, audited.owed()
    with (
        owner_runs(workshop.owner),
        scientist_runs(workshop.scientist),
        verifier_runs(*audited.verifiers[:3], examiner=elsewhere),
    ):
        id = workshop.request(audit=audited.terms(3))
        workshop.until(workshop.scientist.has(id, "refunded"))
    votes = workshop.owner.home.audits.votes(workshop.owner.home.audits.read(id))
    assert [(vote.outcome, vote.trace) for vote in votes] == [(Outcome.INCONCLUSIVE, ZERO)] * 3
    assert workshop.owner.home.audits.penalties(id) == {}
    assert changed(before, audited.owed()) == [BOND, PRICE + FEE]


# Disputes


@pytest.mark.long
def test_disputed_job_without_verifiers_is_audited_and_the_loser_pays(audited: AuditedWorkshop) -> None:
    workshop = audited.workshop
    terms = audited.terms(3, verifiers=0, dispute_verifiers=1)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist, auto_accept=False):
        id = workshop.request(audit=terms)
        workshop.until(workshop.scientist.has(id, "received"))
        before, spent = audited.owed(), workshop.scientist.fit()
        dispute(workshop.scientist.home, id)
        assert spent - workshop.scientist.fit() == FEE + COUNTER_BOND
        with verifier_runs(*audited.verifiers[:3]):
            workshop.until(workshop.scientist.has(id, "settled"))
    assert workshop.owner.home.audits.read(id).verdict == Outcome.MATCH
    assert changed(before, audited.owed()) == [PRICE + BOND + COUNTER_BOND // 2, 0]
    with pytest.raises(Unusable, match="no result to dispute now"):
        dispute(workshop.scientist.home, id)


# A run that left the finite numbers


@pytest.mark.long
def test_diverged_run_is_audited_and_paid_pro_rata(audited: AuditedWorkshop) -> None:
    workshop, before = audited.workshop, audited.owed()
    home = workshop.scientist.home
    line = publish_model(home, module_file(home.settings.home), workshop.dataset.id, name="Line")
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist), verifier_runs(*audited.verifiers[:3]):
        terms = audited.terms(3, verifiers=1, fee=ETHER)
        id = workshop.request(model=line.id, recipe_overrides=EXPLODING, audit=terms)
        workshop.until(workshop.scientist.has(id, "received"))
    agreement = home.agreements.read(id)
    assert (agreement.state, agreement.diverged) == (State.SETTLED, True)
    due = PRICE * agreement.steps_done // 12
    assert changed(before, audited.owed()) == [due + BOND, PRICE - due]


# What is never asked for


def test_audit_that_shows_more_than_the_policy_admits_is_never_asked_for(audited: AuditedWorkshop) -> None:
    with pytest.raises(InputRefused, match="shows more than the policy's sampled"):
        audited.workshop.request(audit=audited.terms(3, mode=AuditMode.OPEN))


@pytest.mark.long
def test_on_site_evidence_is_carried_by_hand_and_stands_in_no_store(audited: AuditedWorkshop, tmp_path: Path) -> None:
    workshop, verifier = audited.workshop, audited.verifiers[0]
    terms = audited.terms(1, verifiers=1, mode=AuditMode.ON_SITE, fee=ETHER)
    shared = verifier.home.store
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        with verifier_runs(verifier):
            id = workshop.request(audit=terms)
            audited.until_phase(id, Phase.EVIDENCE)
        audited.until_phase(id, Phase.COMMITTING)
        verifier.home.store = on_site = LocalStore(tmp_path / "store", verifier.home.settings.home)
        audit = workshop.owner.home.audits.read(id)
        evidence = workshop.owner.home.audits.evidence(audit)
        assert evidence is not None and not shared.has(evidence)
        with evidence_file(workshop.owner.home, audit).open("rb") as file:
            on_site.add_blocks(*car.read(file))
        weights = workshop.owner.home.agreements.run_record(id).delivery
        assert weights is not None
        on_site.add_blocks(weights, shared.blocks(weights))
        with verifier_runs(verifier):
            workshop.until_state(id, State.SETTLED)
            workshop.until(verifier.has(id, "wiped"))
    verifier.home.store = shared
    assert workshop.scientist.home.audits.read(id).verdict == Outcome.MATCH
