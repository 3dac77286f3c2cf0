"""A job whose held-out result is told by subgroup, from the table to the sentences of `verify`."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.app import run
from fitchain.cli.views.history import describe_entry
from fitchain.cli.views.verdict import describe_subgroups
from fitchain.pod.compute.dataset import held_out_rows
from fitchain.pod.jobs.history import HeldOutTold
from fitchain.pod.parties.owner import PrivacyOffer
from fitchain.pod.parties.owner.data import read_registered
from fitchain.pod.parties.scientist import evaluate
from fitchain.pod.ports.agreement import State
from fitchain.pod.proof.certificate import Statement, claims, verify
from fitchain.pod.values.errors import ClaimMismatch, InputRefused, Refuted
from fitchain.pod.values.ids import AgreementId
from tests.chain_fixtures import Devnet
from tests.pods import RECIPE, Party, Workshop, offer_table, owner_runs, private_table, scientist_runs, workshop_of

TERMS = RECIPE | {"held_out": 0.45, "segment_steps": 4}


def table_with_sex(path: Path) -> Path:
    """The private table of more records, with a column of texts."""
    private_table(path, rows=200)
    lines = list(csv.reader(path.read_text().splitlines()))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*lines[0], "sex"])
        writer.writerows([*line, "fm"[number % 2]] for number, line in enumerate(lines[1:]))
    return path


@pytest.fixture(scope="module")
def workshop(open_party: Callable[..., Party], tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    path = table_with_sex(tmp_path_factory.mktemp("sex") / "private.csv")
    return workshop_of(open_party("owner"), open_party("scientist"), path, subgroups={"sex": False})


def test_the_card_shows_what_becomes_public(
    workshop: Workshop, running_devnet: Devnet, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("FITCHAIN_DEVNET", str(running_devnet.folder))
    side = workshop.owner.side
    where = ["--home", str(side.home), "--passphrase-file", str(side.passphrase_file)]
    assert run(["data", "show", str(workshop.dataset.id), *where]) == 0
    assert "sex: f, m; models do not get it" in capsys.readouterr().out
    assert workshop.dataset.card.subgroups["sex"].groups == ("f", "m")
    (row,) = workshop.owner.home.journal.datasets()
    assert read_registered(workshop.owner.home, row).categories["sex"] == ("f", "m")


def test_subgroups_beside_a_budget_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    how: dict[str, Any] = {"privacy": PrivacyOffer(3.0), "transform": "none", "mock_records": 0}
    with pytest.raises(InputRefused, match="no privacy budget covers them"):
        offer_table(workshop.owner, table_with_sex(tmp_path / "more.csv"), subgroups={"sex": False}, **how)
    assert workshop.owner.home.registry.ledger_count(workshop.owner.home.keys.address) == 0


@pytest.mark.long
def test_a_certificate_says_it_by_group_and_refuses_other_groups(
    workshop: Workshop, running_devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITCHAIN_DEVNET", str(running_devnet.folder))
    id = workshop.request(recipe_overrides=TERMS)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        workshop.until_state(id, State.SETTLED)
        workshop.until(workshop.scientist.has(id, "received"))
    job = workshop.scientist.home.job_folder(id)
    verdict = verify(job.model, job.certificate, running_devnet.settings(tmp_path))
    (said,) = describe_subgroups(verdict)
    assert said.startswith("by sex: f (") and said.count("95 % interval") == 2
    for party in (workshop.owner, workshop.scientist):
        assert said in describe_entry(party.home.journal.last(id, HeldOutTold))
    statement = verdict.statement
    evaluates_as_the_owner_did(workshop, id, statement, tmp_path)
    for subgroups, message in (
        ({}, "told by \\['sex'\\], and the recipe's columns are \\[\\]"),
        ({"sex": ("f", "x")}, "the groups of 'sex' by which the result on held-out records is told are"),
    ):
        with pytest.raises(ClaimMismatch, match=message):
            claims.check_leaves(replace(statement, recipe=replace(statement.recipe, subgroups=subgroups)))


def evaluates_as_the_owner_did(workshop: Workshop, id: AgreementId, statement: Statement, folder: Path) -> None:
    """A scientist who had the held-out records would get the certificate's result, to the last bit;
    where the table has no target, predictions alone."""
    home, claim = workshop.scientist.home, statement.held_out
    (row,) = workshop.owner.home.journal.datasets()
    header, *lines = row.source.read_text().splitlines()
    rows = held_out_rows(statement.recipe, home.agreements.run_record(id).seed)
    (folder / "own.csv").write_text("\n".join([header, *(lines[index] for index in rows.tolist()), ""]))
    tested = evaluate(home, id, folder / "own.csv")
    assert claim is not None and claim.result.subgroups and tested.details.result == claim.result
    side = workshop.scientist.side
    where = ["--json", "--home", str(side.home), "--passphrase-file", str(side.passphrase_file)]
    bare = [line.rsplit(",", 2)[0] for line in (header, *lines)]
    (folder / "bare.csv").write_text("\n".join([*bare, ""]))
    assert run(["model", "test", str(id), str(folder / "bare.csv"), *where]) == 3
    written = ["--predictions", str(folder / "p.csv")]
    assert run(["model", "test", str(id), str(folder / "bare.csv"), *written, *where]) == 0
    with (folder / "p.csv").open(newline="") as file:
        predicted = list(csv.DictReader(file))
    assert len(predicted) == 200 and {each["finding"] for each in predicted} == {"ill", "well"}
    assert run(["model", "test", str(id), str(folder / "own.csv"), "--picture", str(folder / "p.svg"), *where]) == 0
    assert "AUC" in (folder / "p.svg").read_text()
    job = home.job_folder(id)
    job.model.write_bytes(job.initial.read_bytes())
    with pytest.raises(Refuted):
        evaluate(home, id, folder / "own.csv")
