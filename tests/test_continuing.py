"""Continuing: what a job delivered begins a model for another owner's dataset, and a stranger sees
each parentage of its lineage."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.compute.dataset import Card, ReadingTerms, Table, register
from fitchain.pod.parties.scientist import continue_job, publish_model, weights_of_certificate, weights_of_job
from fitchain.pod.parties.scientist.continuing import notes_of, require_same_columns
from fitchain.pod.ports.agreement import State
from fitchain.pod.proof.certificate.lineage import trace
from fitchain.pod.values.delta import ModelFile
from fitchain.pod.values.derivation import trained_derivation
from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.recipe import Recipe, draft
from tests.chain_fixtures import Devnet
from tests.fine_tuning import Adapted, base_file
from tests.pods import RECIPE, Party, module_file, offer_table, owner_runs, private_table, scientist_runs, workshop_of

# Columns


def card_of(path: Path, lines: list[str], **how: Any) -> Card:
    path.write_text("\n".join(lines) + "\n")
    table = Table.read(path, ReadingTerms(target="finding"))
    return register(table, bytes(32), path.stem, **how).card


@pytest.fixture
def before(tmp_path: Path) -> tuple[Recipe, Card]:
    rows = [f"{row},{row / 3},{'smoker' if row % 3 else 'never'},{'ill' if row % 2 else 'well'}" for row in range(40)]
    card = card_of(tmp_path / "first.csv", ["age,weight,habit,finding", *rows])
    return draft(sha256(b"graph"), Root(sha256(b"model")), card.json(), "2.13.0+cpu", {"steps": 4}), card


def other(tmp_path: Path, header: str = "weight,finding,age,more,habit", **cells: list[str]) -> Card:
    names = header.split(",")
    columns = {
        "age": [str(row + 0.5) for row in range(30)],
        "weight": [str(row / 7) for row in range(30)],
        "habit": ["never" if row % 2 else "smoker" for row in range(30)],
        "finding": ["ill" if row % 3 else "well" for row in range(30)],
        "more": ["1.5"] * 29 + ["2.5"],
    } | cells
    return card_of(
        tmp_path / "other.csv", [header, *(",".join(columns[name][row] for name in names) for row in range(30))]
    )


def test_columns_go_by_name_whatever_else_a_dataset_has(before: tuple[Recipe, Card], tmp_path: Path) -> None:
    recipe, card = before
    wider = other(tmp_path)
    require_same_columns(recipe, card, wider)
    (note,) = notes_of(recipe, card, wider)
    assert "preprocessing is each owner's own: age, weight enter by other constants" in note
    require_same_columns(recipe, card, card)
    assert list(notes_of(recipe, card, card)) == []


@pytest.mark.parametrize(
    ("header", "cells", "message"),
    [
        ("weight,finding,habit", {}, "lacks 'age', which the model takes"),
        ("habit,finding", {}, "lacks 'age', 'weight', which the model takes"),
        (
            "age,weight,habit,finding",
            {"habit": ["smoker", "rarely"] * 15},
            "'habit' has the categories never, smoker where",
        ),
        ("age,weight,habit,finding", {"finding": ["bad", "good"] * 15}, "'finding' has the categories ill, well where"),
        ("age,weight,habit,finding", {"habit": ["1.5", "2"] * 15}, "'habit' has the kind category where"),
    ],
)
def test_dataset_in_which_a_column_means_something_else_is_refused(
    before: tuple[Recipe, Card], tmp_path: Path, header: str, cells: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(InputRefused, match=message) as refused:
        require_same_columns(*before, other(tmp_path, header, **cells))
    assert "--parent JOB" in refused.value.hint


def test_dataset_that_predicts_something_else_is_refused(before: tuple[Recipe, Card], tmp_path: Path) -> None:
    recipe, card = before
    with pytest.raises(InputRefused, match="the model predicts 'finding', and the target of the dataset 'other' is"):
        require_same_columns(recipe, card, replace(other(tmp_path), target=None, task=None))


# With pods


def run_command(party: Party, *arguments: str) -> tuple[int, dict[str, Any]]:
    side = party.side
    done = subprocess.run(
        side.command(*arguments, "--json"), env=side.environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
def test_job_goes_on_with_another_owner_and_a_stranger_checks_every_parent(
    open_party: Callable[..., Party], table_path: Path, running_devnet: Devnet, tmp_path: Path
) -> None:
    workshop = workshop_of(open_party("owner"), open_party("scientist"), table_path)
    scientist, home = workshop.scientist, workshop.scientist.home
    first = workshop.request()
    with owner_runs(workshop.owner), scientist_runs(scientist):
        workshop.until_state(first, State.SETTLED)
        workshop.until(scientist.has(first, "received"))

    second_owner = open_party("owner")
    dataset = offer_table(second_owner, private_table(tmp_path / "other.csv", rows=52, seed=9)).id
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("".join(f"{name} = {value}\n" for name, value in RECIPE.items()))
    asked = ("--request", "--recipe", str(recipe), "--price", "12")
    code, told = run_command(scientist, "model", "continue", str(first), "--dataset", str(dataset), *asked)
    assert code == 0, told
    second = AgreementId(home.agreements.list(scientist=scientist.address)[-1])
    assert told["request"]["agreement"] == str(second) and "preprocessing is each owner's own" in told["notes"][0]
    model = home.agreements.terms(second).model
    entry = home.registry.model(model)
    final = home.agreements.run_record(first).model_root
    assert (entry.root, entry.parents) == (final, (workshop.model.id,))
    assert entry.derivation == trained_derivation(first, final)
    with owner_runs(second_owner), scientist_runs(scientist):
        workshop.until_state(second, State.SETTLED)
        workshop.until(scientist.has(second, "received"))

    # A stranger verifies it, and goes on from there with a module of its own.
    delivered = home.job_folder(second)
    stranger = open_party("stranger")
    code, verdict = run_command(stranger, "proof", "verify", str(delivered.model), str(delivered.certificate))
    assert code == 0, verdict
    (parentage,) = verdict["parentages"]
    assert (parentage["model"], parentage["parent"], parentage["kind"]) == (
        str(model),
        str(workshop.model.id),
        "trained",
    )
    assert (
        parentage["trained_by"]["agreement"] == str(first)
        and parentage["trained_by"]["owner"] == workshop.owner.address
    )

    third = run_command(
        *(stranger, "model", "publish", f"{module_file(tmp_path)}:Tiny", "--dataset", str(dataset)),
        *("--parent", str(delivered.certificate)),
    )[1]
    assert third["weights"]["is_whole"] and third["weights"]["parents"] == [str(model)]
    shown = run_command(stranger, "model", "show", third["model"])[1]
    parentages = [(parentage["model"], parentage["parent"], parentage["kind"]) for parentage in shown["parentages"]]
    assert parentages == [
        (third["model"], str(model), "trained"),
        (str(model), str(workshop.model.id), "trained"),
    ]
    assert [parentage["trained_by"]["owner"] for parentage in shown["parentages"]] == [
        second_owner.address,
        workshop.owner.address,
    ]

    of_job = weights_of_job(home, second)
    assert of_job.root == weights_of_certificate(stranger.home, delivered.certificate, delivered.model).root
    with pytest.raises(InputRefused, match="no tensor in common"):
        publish_model(home, module_file(tmp_path), dataset, name="Line", weights=of_job)


@pytest.mark.long
def test_job_over_a_base_goes_on_over_the_same_base(
    open_party: Callable[..., Party], table_path: Path, tmp_path: Path
) -> None:
    workshop = workshop_of(open_party("owner"), open_party("scientist"), table_path)
    scientist, home = workshop.scientist, workshop.scientist.home
    tuned = publish_model(home, Adapted(), workshop.dataset.id, base=base_file(tmp_path))
    job = workshop.request(model=tuned.id)
    with owner_runs(workshop.owner), scientist_runs(scientist):
        workshop.until_state(job, State.SETTLED)
        workshop.until(scientist.has(job, "received"))
    continued = continue_job(home, job, offer_table(open_party("owner"), private_table(tmp_path / "other.csv")).id)
    final = home.agreements.run_record(job).model_root
    entry = home.registry.model(continued.published.id)
    assert tuned.base is not None and continued.published.base is not None
    assert (entry.root, entry.base, entry.parents) == (final, tuned.base.id, (tuned.id, tuned.base.id))
    file = ModelFile.read(home.model_folder(entry.id) / "initial.safetensors")
    assert (file.root, sorted(file.own)) == (final, ["down.weight", "up.weight"])
    _, parentages = trace(home.chain, entry.id)
    kinds = [(each.parent, str(each.kind)) for each in parentages]
    assert kinds == [(tuned.id, "trained"), (tuned.base.id, "claimed"), (tuned.base.id, "claimed")]
    weights = weights_of_certificate(home, home.job_folder(job).certificate, base=base_file(tmp_path))
    assert weights.root == final
    again = publish_model(home, Adapted(), workshop.dataset.id, weights=weights, base=tuned.base.id)
    assert (again.initial_model, again.base) == (final, replace(tuned.base))
