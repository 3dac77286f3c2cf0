"""A private job on people with several records: what is registered, charged, certified, shown, and
refused."""

from __future__ import annotations

import copy
import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fitchain.cli.views.units import describe_unit
from fitchain.cli.views.verdict import describe_held_out, describe_privacy, not_proven
from fitchain.pod.compute.dataset import FILLED, UnitColumn
from fitchain.pod.parties.owner import PrivacyOffer, replay_job
from fitchain.pod.parties.owner.data import read_table
from fitchain.pod.parties.recovery.owned import _reading_of
from fitchain.pod.parties.scientist import evaluate
from fitchain.pod.ports.agreement import Outcome, State
from fitchain.pod.ports.chain import connect
from fitchain.pod.proof.certificate import claims, verify
from fitchain.pod.proof.certificate.envelope import read_envelope, seal
from fitchain.pod.proof.certificate.statement import PrivacyClaim, Statement
from fitchain.pod.values.digest import canonical_json
from fitchain.pod.values.errors import ClaimMismatch, FitchainError, InputRefused
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.privacy.accountant import renyi
from fitchain.pod.values.privacy.ledger import charge, epsilon_of
from tests.audited_workshop import PANEL, audited_by
from tests.chain_fixtures import Devnet
from tests.pods import RECIPE, Party, Workshop, offer_table, owner_runs, scientist_runs, verifier_runs, workshop_of
from tests.without_torch import WITHOUT_TORCH

DELTA, PEOPLE, K = 1e-3, 20, 3
RANGES = dict.fromkeys(("alpha", "beta", "gamma", "delta"), (-10.0, 10.0))
PRIVATE = {name: value for name, value in RECIPE.items() if name != "metrics"} | {
    "batch_size": 4,
    "held_out": 0.2,
    "privacy": {"epsilon": 3},
}
OFFER: dict[str, Any] = {
    "transform": "ranges",
    "ranges": RANGES,
    "classes": ("ill", "well"),
    "drop": (),
    "unit": UnitColumn("patient", K),
    "mock_records": 32,
}


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 20 people with one to five visits, in no order."""
    numbers = np.random.default_rng(5)
    whose = numbers.permutation(np.repeat(np.arange(PEOPLE), np.arange(PEOPLE) % 5 + 1))
    path = tmp_path_factory.mktemp("visits") / "visits.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "alpha", "beta", "gamma", "delta", "finding"])
        for person in whose.tolist():
            x_4 = numbers.normal(size=4) * 3
            writer.writerow(
                [f"Anna-Lisa Nr. {person:05d}", *map(repr, x_4.tolist()), "ill" if x_4.sum() > 0 else "well"]
            )
    return path


@pytest.fixture(scope="module")
def workshop(open_party: Callable[..., Party], visits: Path) -> Workshop:
    return workshop_of(open_party("owner"), open_party("scientist"), visits, privacy=PrivacyOffer(8, DELTA), **OFFER)


@pytest.fixture(scope="module")
def settled(workshop: Workshop) -> AgreementId:
    """A job of epsilon 3 that was rehearsed, trained, delivered and settled."""
    id = workshop.request(recipe_overrides=PRIVATE, rehearsed=True)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        workshop.until_state(id, State.SETTLED)
        workshop.until(workshop.scientist.has(id, "received"))
    return id


def test_registration_counts_units_and_records_and_publishes_no_name(workshop: Workshop) -> None:
    registered = workshop.dataset
    assert registered.count == registered.card.count == PEOPLE * K and registered.left_out == 4 * (1 + 2)
    assert describe_unit(registered.card) == (
        "a unit is a value of 'patient', at most 3 records each; 20 units, 48 records"
    )
    assert "Anna-Lisa" not in registered.card.encode().decode()
    assert registered.card.mock is not None
    mock = workshop.owner.home.store.cat(registered.card.mock)
    assert b"Anna-Lisa" not in mock and b"patient" not in mock and FILLED.encode() in mock


def test_where_the_journal_is_lost_the_card_tells_how_the_file_is_read(workshop: Workshop, visits: Path) -> None:
    row = workshop.owner.home.journal.dataset(workshop.dataset.id)
    again = read_table(visits, _reading_of(workshop.dataset.card))
    kept = read_table(visits, row.reading)
    assert [again.record(index) for index in range(again.count)] == [kept.record(index) for index in range(kept.count)]
    assert again.unit_records == kept.unit_records == K


def test_the_charge_and_the_certificate_count_people(
    workshop: Workshop, settled: AgreementId, running_devnet: Devnet, tmp_path: Path
) -> None:
    terms = workshop.scientist.home.agreements.terms(settled)
    folder = workshop.scientist.home.job_folder(settled)
    verdict = verify(folder.model, folder.certificate, running_devnet.settings(tmp_path))
    claim, recipe = verdict.statement.privacy, verdict.statement.recipe
    assert claim is not None and recipe.privacy is not None
    assert (claim.unit, claim.most_records, claim.units) == ("patient", K, PEOPLE - 4)
    rate = -(-(4 << 32) // (PEOPLE - 4)) / (1 << 32)
    assert terms.charge == charge(renyi(rate, recipe.privacy.sigma, 12))
    assert claim.epsilon == epsilon_of(terms.charge, DELTA) and 2.9 < claim.epsilon <= 3
    told = describe_privacy(verdict)
    assert told is not None
    assert "epsilon 3 beside delta 0.001 for each of 16 values of 'patient', at most 3 records each" in told
    assert any("each value of 'patient' is another person" in line for line in not_proven(verdict))
    evaluated = describe_held_out(verdict)
    assert evaluated is not None and "on 4 held-out units that nobody trained on: accuracy" in evaluated


@pytest.mark.parametrize(
    "change", [{"unit": None}, {"unit": "name"}, {"most_records": 1}, {"units": 21}, {"units": 60}, {"epsilon": 1.0}]
)
def test_a_certificate_whose_unit_is_altered_is_refuted(
    workshop: Workshop, settled: AgreementId, change: dict[str, Any]
) -> None:
    path = workshop.scientist.home.job_folder(settled).certificate
    statement = Statement.parse(read_envelope(path.read_bytes()).payload)
    terms = workshop.scientist.home.agreements.terms(settled)
    claims.check_recipe(statement, terms)
    assert statement.privacy is not None
    with pytest.raises(ClaimMismatch, match="the privacy: the certificate says"):
        claims.check_recipe(replace(statement, privacy=replace(statement.privacy, **change)), terms)


@pytest.mark.parametrize("unit_records", [None, 1, 2])
def test_a_recipe_of_smaller_units_than_the_cards_is_refuted(
    workshop: Workshop, settled: AgreementId, unit_records: int | None
) -> None:
    path = workshop.scientist.home.job_folder(settled).certificate
    statement = Statement.parse(read_envelope(path.read_bytes()).payload)
    terms = workshop.scientist.home.agreements.terms(settled)
    assert statement.recipe.privacy is not None
    changed = replace(statement.recipe, privacy=replace(statement.recipe.privacy, unit_records=unit_records))
    with pytest.raises(ClaimMismatch, match="the charge to the privacy ledger"):
        claims.check_recipe(replace(statement, recipe=changed), terms)
    charged = replace(terms, charge=changed.charge)
    claim = PrivacyClaim.of(changed, statement.card)
    with pytest.raises(ClaimMismatch, match="does not fit the dataset's card: the recipe's units of privacy have"):
        claims.check_recipe(replace(statement, recipe=changed, privacy=claim), charged)


def places_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all that is told in a document."""
    if isinstance(value, dict | list) and value:
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, each in inner for found in places_of(each, (*path, key))]
    return [path]


def altered(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool() | None:
            return not value
        case int() | float():
            return value + 1
        case str() if value.startswith("0x"):
            return value[:-1] + ("0" if value[-1] != "0" else "1")
        case _:
            return f"{value}x"


def test_whatever_the_owner_alters_of_what_is_told_of_privacy_and_signs_anew_is_refuted(
    workshop: Workshop, settled: AgreementId, running_devnet: Devnet, tmp_path: Path
) -> None:
    folder, keys = workshop.scientist.home.job_folder(settled), workshop.owner.home.keys
    chain = connect(running_devnet.settings(tmp_path))
    document = json.loads(read_envelope(folder.certificate.read_bytes()).payload)
    predicate = document["predicate"]
    told = {
        ("privacy",): predicate["privacy"],
        ("held_out",): predicate["held_out"],
        ("dataset", "ledger"): predicate["dataset"]["ledger"],
        ("dataset", "card", "privacy"): predicate["dataset"]["card"]["privacy"],
        ("dataset", "card", "unit"): predicate["dataset"]["card"]["unit"],
        ("recipe", "privacy"): predicate["recipe"]["privacy"],
    }
    assert all(told.values())
    paths = [(*path, *inner) for path, value in told.items() for inner in places_of(value)]
    for path, change in [*((path, altered) for path in paths), *((path, lambda _: None) for path in told)]:
        changed = copy.deepcopy(document)
        place: Any = changed["predicate"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = change(place[path[-1]])
        with pytest.raises(FitchainError) as refused:
            verify(folder.model, seal(canonical_json(changed), keys), chain)
        assert refused.value.exit_code == 1, (path, refused.value)


def test_a_stranger_without_torch_reads_all_that_is_told_of_privacy(
    settled: AgreementId, workshop: Workshop, running_devnet: Devnet, tmp_path: Path
) -> None:
    folder = workshop.scientist.home.job_folder(settled)
    program = f"{WITHOUT_TORCH}\nfrom fitchain.cli.app import run\nsys.exit(run(sys.argv[1:]))"
    asked = ["proof", "verify", str(folder.model), str(folder.certificate), "--json", "--home", str(tmp_path)]
    variables = os.environ | {"FITCHAIN_DEVNET": str(running_devnet.folder)}
    done = subprocess.run([sys.executable, "-c", program, *asked], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["privacy"].pop("epsilon") == pytest.approx(3, abs=0.1)
    assert told["privacy"] == {"unit": "patient", "most_records": K, "units": 16, "delta": DELTA, "ledger": 1}
    assert told["held_out"]["records"] == 4 and told["held_out"]["outcome"]["kind"].startswith("noised")


def test_the_model_runs_on_a_table_of_the_scientists_own(
    workshop: Workshop, settled: AgreementId, visits: Path
) -> None:
    evaluated = evaluate(workshop.scientist.home, settled, visits)
    assert evaluated.records == 60 and 0 <= evaluated.metrics["accuracy"] <= 1


def test_unit_without_a_budget_is_refused_and_registers_nothing(open_party: Callable[..., Party], visits: Path) -> None:
    owner = open_party("beginner")
    with pytest.raises(InputRefused, match="units of privacy are what a privacy budget protects") as no:
        offer_table(owner, visits, **OFFER)
    assert "--epsilon 3" in no.value.hint and not owner.home.journal.datasets()


def test_unit_column_is_no_feature_of_a_recipe(workshop: Workshop) -> None:
    for column in ("patient", FILLED):
        with pytest.raises(InputRefused):
            workshop.request(recipe_overrides=PRIVATE | {"inputs": ["alpha", column]})
    with pytest.raises(InputRefused, match="cut a unit of privacy apart"):
        workshop.request(recipe_overrides=PRIVATE | {"rows": [0, 31]})


@pytest.mark.long
def test_drawn_verifiers_train_a_job_on_people_again_and_match(
    workshop: Workshop, settled: AgreementId, visits: Path, open_verifier: Callable[[str], Party]
) -> None:
    verifiers = [open_verifier(f"verifier-{number}") for number in range(PANEL)]
    audited = audited_by(workshop, verifiers, visits, privacy=PrivacyOffer(8.0, DELTA, other_people=True), **OFFER)
    id = audited.workshop.request(recipe_overrides=PRIVATE, audit=audited.terms())
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist), verifier_runs(*verifiers):
        audited.until(lambda: workshop.scientist.state(id) is State.SETTLED)
        audited.until(workshop.scientist.has(id, "received"))
    assert audited.audit(id).verdict is Outcome.MATCH
    replayed = replay_job(workshop.owner.home, id, 6)
    assert replayed.equal and replayed.segments == 6
