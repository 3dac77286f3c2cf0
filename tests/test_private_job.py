"""A private job from the request to a stranger's check: what is charged, what is refused, what the
certificate says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fitchain.cli.views.review import describe_cost
from fitchain.cli.views.verdict import describe_privacy
from fitchain.pod.jobs import history
from fitchain.pod.jobs.privacy_cost import PrivacyCost
from fitchain.pod.parties.owner import PrivacyOffer, replay_job
from fitchain.pod.parties.owner.data import read_registered
from fitchain.pod.parties.scientist import JobRequest, follow, request_job
from fitchain.pod.parties.scientist import request as requesting
from fitchain.pod.ports.agreement import Outcome, State
from fitchain.pod.ports.registry import Ledger
from fitchain.pod.proof.certificate import claims, verify
from fitchain.pod.proof.certificate.envelope import read_envelope
from fitchain.pod.proof.certificate.statement import Statement
from fitchain.pod.values.errors import ClaimMismatch, InputRefused
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.privacy.ledger import add, budget, epsilon_of
from tests.audited_workshop import PANEL, audited_by
from tests.chain_fixtures import Devnet
from tests.dishonest_parties import Forger
from tests.pods import RECIPE, Party, Workshop, offer_table, owner_runs, scientist_runs, verifier_runs, workshop_of
from tests.policies import open_policy

DELTA = 1e-3
RANGES = dict.fromkeys(("alpha", "beta", "gamma", "delta"), (-10.0, 10.0))
PRIVATE = {name: value for name, value in RECIPE.items() if name != "metrics"} | {"privacy": {"epsilon": 3}}
OFFER: dict[str, Any] = {"transform": "ranges", "ranges": RANGES, "classes": ("ill", "well")}


@pytest.fixture(scope="module")
def workshop(open_party: Callable[..., Party], table_path: Path) -> Workshop:
    """A dataset with a budget of epsilon 3.5."""
    return workshop_of(
        open_party("owner"), open_party("scientist"), table_path, privacy=PrivacyOffer(3.5, DELTA), **OFFER
    )


def ledger(workshop: Workshop) -> Ledger:
    return workshop.owner.home.registry.ledger(workshop.owner.address, 1)


@pytest.fixture(scope="module")
def settled(workshop: Workshop) -> AgreementId:
    """A job of epsilon 3 that was trained, delivered and settled."""
    id = workshop.request(recipe_overrides=PRIVATE)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        workshop.until_state(id, State.SETTLED)
        workshop.until(workshop.scientist.has(id, "received"))
    return id


def test_a_settled_job_was_charged_once_and_its_certificate_says_what_it_cost(
    workshop: Workshop, settled: AgreementId, running_devnet: Devnet, tmp_path: Path
) -> None:
    terms = workshop.scientist.home.agreements.terms(settled)
    known = ledger(workshop)
    assert known.budget == budget(3.5, DELTA)
    assert known.spent == add(int("0x" + "00000001" * 8, 16), terms.charge)
    folder = workshop.scientist.home.job_folder(settled)
    verdict = verify(folder.model, folder.certificate, running_devnet.settings(tmp_path))
    claim = verdict.statement.privacy
    assert claim is not None and claim.units == 40 and claim.unit is None and claim.delta == DELTA
    assert claim.epsilon == epsilon_of(terms.charge, DELTA) and 2.9 < claim.epsilon <= 3
    told = describe_privacy(verdict)
    assert told is not None
    assert "epsilon 2.99 beside delta 0.001 for each of 40 records" in told and "as the owner states" in told
    assert verdict.orders_checked == 0


@pytest.mark.parametrize(
    "change", [{"epsilon": 1.0}, {"delta": 1e-9}, {"units": 41}, {"unit": "patient"}, {"most_records": 2}, None]
)
def test_a_certificate_whose_privacy_is_altered_is_refuted(
    workshop: Workshop, settled: AgreementId, change: dict[str, Any] | None
) -> None:
    path = workshop.scientist.home.job_folder(settled).certificate
    statement = Statement.parse(read_envelope(path.read_bytes()).payload)
    assert statement.privacy is not None
    altered = replace(statement, privacy=replace(statement.privacy, **change) if change else None)
    terms = workshop.scientist.home.agreements.terms(settled)
    claims.check_recipe(statement, terms)
    with pytest.raises(ClaimMismatch, match="the privacy: the certificate says"):
        claims.check_recipe(altered, terms)
    with pytest.raises(ClaimMismatch, match="the charge to the privacy ledger: the agreement says"):
        claims.check_recipe(statement, replace(terms, charge=terms.charge - 1))


def test_no_number_of_the_records_is_told_beside_the_noise(workshop: Workshop, settled: AgreementId) -> None:
    for party in (workshop.owner, workshop.scientist):
        for line in party.home.journal.history(settled):
            assert not line.entry.json().get("metrics"), line
    card = workshop.dataset.card
    constants = {name: each for name, each in card.transform.items() if "categories" not in each}
    assert constants == {name: {"low": low, "high": high} for name, (low, high) in RANGES.items()}


def test_a_job_beyond_the_budget_is_refused_before_it_is_asked_for(workshop: Workshop, settled: AgreementId) -> None:
    with pytest.raises(
        InputRefused, match=r"costs epsilon 2.99 beside delta 0.001, and of the privacy budget 3.5 .*: together 3\.9"
    ) as no:
        workshop.request(recipe_overrides=PRIVATE)
    assert "smaller epsilon" in no.value.hint


def test_what_a_request_costs_of_the_budget_is_told_before_it_is_sent(workshop: Workshop, settled: AgreementId) -> None:
    home, told = workshop.scientist.home, list[tuple[PrivacyCost, int]]()
    before = len(home.agreements.list())
    cheap = PRIVATE | {"privacy": {"sigma": 50.0}}
    request = JobRequest(workshop.dataset.id, workshop.model.id, recipe_overrides=cheap, rehearsed=False)
    id = request_job(home, request, lambda cost: told.append((cost, len(home.agreements.list()))))
    ((cost, sent),) = told
    assert sent == before and cost.fits and 2.9 < cost.spent < cost.after <= cost.budget
    assert cost.asked == epsilon_of(home.agreements.terms(id).charge, DELTA)
    assert "for good once it is accepted; 2.99 of the budget 3.5 is spent, " in describe_cost(cost, is_ahead=True)
    workshop.owner.home.agreements.reject(id)


def test_a_job_beyond_the_budget_that_is_sent_all_the_same_is_declined(
    workshop: Workshop, settled: AgreementId, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ledger(workshop)
    monkeypatch.setattr(requesting, "_require_fitting", lambda *args: None)
    id = workshop.request(recipe_overrides=PRIVATE)
    with owner_runs(workshop.owner):
        workshop.until(workshop.owner.has(id, "refused"))
    declined = json.dumps(workshop.owner.told(id, "refused"))
    assert "privacy budget has left; ask with a smaller epsilon, fewer steps" in declined
    assert ledger(workshop) == before


def test_a_charge_that_is_untrue_is_declined(
    workshop: Workshop, settled: AgreementId, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = requesting.terms_of
    less = int("0x" + "00000001" * 8, 16)
    monkeypatch.setattr(requesting, "terms_of", lambda *args: replace(made(*args), charge=less))
    monkeypatch.setattr(requesting, "_require_fitting", lambda *args: None)
    id = workshop.request(recipe_overrides=PRIVATE)
    with owner_runs(workshop.owner):
        workshop.until(workshop.owner.has(id, "refused"))
    assert "the charge to the privacy ledger" in json.dumps(workshop.owner.told(id, "refused"))


def test_recipe_without_privacy_or_dataset_without_budget_is_refused_with_the_next_step(
    workshop: Workshop, table_path: Path
) -> None:
    with pytest.raises(InputRefused, match="the recipe has no terms of privacy") as no:
        workshop.request(recipe_overrides=RECIPE)
    assert "add [privacy] with epsilon" in no.value.hint


def test_a_registration_that_is_refused_opens_no_ledger(open_party: Callable[..., Party], table_path: Path) -> None:
    owner = open_party("beginner")
    how: dict[str, Any] = {
        "privacy": PrivacyOffer(3.0),
        "transform": "none",
        "classes": ("ill", "well"),
        "mock_records": 16,
    }
    with pytest.raises(InputRefused, match=r"columns 'alpha', 'beta', .* would be drawn from their real ranges") as no:
        offer_table(owner, table_path, **how)
    assert all(f"--range {name}=LOW:HIGH" in no.value.hint for name in RANGES)
    for epsilon in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputRefused, match="it is a number above 0"):
            offer_table(owner, table_path, privacy=PrivacyOffer(epsilon), **OFFER)
    with pytest.raises(InputRefused, match=r"no training is within a budget of epsilon 0\.001 beside delta 0\.001"):
        offer_table(owner, table_path, privacy=PrivacyOffer(0.001, DELTA), **OFFER)
    with pytest.raises(InputRefused, match=r"categories of 'patient' would be published") as no:
        offer_table(owner, table_path, privacy=PrivacyOffer(3.0), drop=(), **OFFER)
    assert "(--drop patient)" in no.value.hint and "(--unit patient)" in no.value.hint
    assert owner.home.registry.ledger_count(owner.address) == 0


def test_beside_a_budget_classes_are_declared_and_not_found(
    workshop: Workshop, table_path: Path, tmp_path: Path
) -> None:
    owner, privacy = workshop.owner, PrivacyOffer(delta=DELTA)
    how: dict[str, Any] = OFFER | {"name": "declared", "privacy": privacy, "mock_records": 64}
    for classes, ranges, words in (
        ((), RANGES, "'finding' is either of classes or a number in a range"),
        ((), RANGES | {"finding": (0.0, 1.0)}, "column 'finding': an amount is a number, and the target holds texts"),
        (("healthy", "ill"), RANGES, r"lines 5, .* more, column 'finding': the cell is none of the 2 categories"),
    ):
        with pytest.raises(InputRefused, match=words) as no:
            offer_table(owner, table_path, **how | {"classes": classes, "ranges": ranges})
        assert "well" not in no.value.message
    np.savez(tmp_path / "coded.npz", alpha=np.arange(40.0), finding=np.arange(40) % 2)
    coded: dict[str, Any] = {"drop": (), "ranges": {"alpha": (0.0, 40.0)}}
    with pytest.raises(InputRefused, match=r"coded\.npz holds numbers alone, and the classes are texts"):
        offer_table(owner, tmp_path / "coded.npz", **how | coded)
    made = offer_table(owner, tmp_path / "coded.npz", **how | coded | {"classes": (0, 1, 2)})
    assert made.card.categories == (0, 1, 2)
    made = offer_table(owner, table_path, **how | {"classes": ("ill", "unknown", "well")})
    assert made.card.categories == ("ill", "unknown", "well")
    assert (
        read_registered(owner.home, owner.home.journal.dataset(made.id)).categories["finding"] == made.card.categories
    )


def test_an_owner_with_a_ledger_registers_nothing_beside_it(workshop: Workshop, table_path: Path) -> None:
    owner = workshop.owner
    again: dict[str, Any] = {"name": "again", "policy": open_policy(manual_approval=False)}
    with pytest.raises(InputRefused, match="this account keeps a privacy ledger"):
        offer_table(owner, table_path, **again)
    with pytest.raises(
        InputRefused, match=r"has a budget of epsilon 3\.5 beside this dataset's delta 0\.001 already"
    ) as no:
        offer_table(owner, table_path, privacy=PrivacyOffer(5.0, DELTA), **again, **OFFER)
    assert "(--ledger 1 without --epsilon;" in no.value.hint
    with pytest.raises(InputRefused, match="exact numbers that no budget covers"):
        offer_table(owner, table_path, privacy=PrivacyOffer(), classes=("ill", "well"), **again)
    same = offer_table(owner, table_path, privacy=PrivacyOffer(delta=DELTA), **again, **OFFER)
    other = offer_table(owner, table_path, privacy=PrivacyOffer(1.0, other_people=True), **again, **OFFER)
    registry = owner.home.registry
    assert [registry.dataset(each.id).ledger for each in (same, other)] == [1, 2]
    assert registry.ledger_count(owner.address) == 2 and other.card.privacy is not None
    assert other.card.privacy.delta == 1e-3  # the largest power of ten below a tenth of one in 40


def test_a_note_that_tells_metrics_beside_the_noise_is_refuted(workshop: Workshop, settled: AgreementId) -> None:
    forger = Forger.begun(workshop, PRIVATE | {"privacy": {"sigma": 50.0}})
    forger.anchor(replace(forger.note(), metrics={"loss": 0.25}))
    scientist = workshop.scientist
    with pytest.raises(ClaimMismatch, match="the note of anchor 0 tells metrics of a private training"):
        follow(scientist.home, forger.deliver(), True, scientist.say)
    assert not scientist.home.journal.happened(forger.id, history.NoteRead)


@pytest.mark.long
def test_drawn_verifiers_train_a_private_job_again_and_match(
    workshop: Workshop,
    settled: AgreementId,
    table_path: Path,
    open_verifier: Callable[[str], Party],
    running_devnet: Devnet,
    tmp_path: Path,
) -> None:
    verifiers = [open_verifier(f"verifier-{number}") for number in range(PANEL)]
    audited = audited_by(workshop, verifiers, table_path, privacy=PrivacyOffer(8.0, DELTA, other_people=True), **OFFER)
    id = audited.workshop.request(recipe_overrides=PRIVATE, audit=audited.terms())
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist), verifier_runs(*verifiers):
        audited.until(lambda: workshop.scientist.state(id) is State.SETTLED)
        audited.until(workshop.scientist.has(id, "received"))
    assert audited.audit(id).verdict is Outcome.MATCH
    folder = workshop.scientist.home.job_folder(id)
    told = describe_privacy(verify(folder.model, folder.certificate, running_devnet.settings(tmp_path)))
    assert told is not None and "noise looked at in 4 of 6 segments by drawn seats" in told
    assert "it does not hold for the records of these segments" in told
    replayed = replay_job(workshop.owner.home, id, 6)
    assert replayed.equal and replayed.segments == 6
