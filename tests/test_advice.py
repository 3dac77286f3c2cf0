"""What is refused says what to do next, and what is refuted is said in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fitchain.cli.app import run
from fitchain.cli.views.history import describe_entry
from fitchain.cli.views.recipe import pairs_of
from fitchain.cli.views.review import report_of
from fitchain.pod.compute.dataset import RiskTerms, Table, register
from fitchain.pod.jobs import history
from fitchain.pod.parties.owner import DatasetOffer, PrivacyOffer, register_dataset
from fitchain.pod.parties.owner.review import Review
from fitchain.pod.proof.certificate.statement import PrivacyClaim
from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.recipe import HeldOutFrom, draft
from tests.pods import Party, private_table
from tests.policies import open_policy
from tests.training_jobs import recipe


@pytest.mark.parametrize(
    ("options", "problem", "advice"),
    [
        (["--held-out", "0.9"], "--held-out is a finite number from 0 to 0.5, not 0.9", "0.2 holds a fifth"),
        (["--held-out", "0"], "--held-out is a share above 0", "leave it out"),
        (["--epsilon", "nan"], "--epsilon is a finite number from 0 to", "3 is a usual budget"),
        (["--epsilon", "3", "--delta", "2"], "--delta is a finite number from 1e-30 to 0.01, not 2", "leave it out"),
        (["--risk-summary", "--epsilon", "3"], "no certificate shows it beside", "leave --risk-summary out"),
        (["--subgroup", "a", "--subgroup-input", "a"], "named for models to get, and not to get", "leave out one"),
    ],
)
def test_options_of_register_are_refused_with_a_next_step_before_anything_is_read(
    options: list[str], problem: str, advice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--home", str(tmp_path / "home"), "--models-may-reveal-records"]
    assert run(["data", "register", str(tmp_path / "no.csv"), "--target", "t", *options, *where]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert problem in said and f"hint: {advice}" in said and not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("terms", "advice"),
    [({"sigma": 0}, "write sigma = 1, say"), ({"epsilon": -1}, "write epsilon = 3, say")],
)
def test_terms_of_privacy_out_of_bounds_say_what_to_write(terms: dict[str, Any], advice: str) -> None:
    table = Table.of({"a": np.arange(40.0), "kind": np.arange(40) % 2}, target="kind")
    card: dict[str, Any] = register(table, bytes(32), "x", transform="none").card.json() | {"privacy": {"delta": 1e-4}}
    with pytest.raises(InputRefused) as refused:
        draft(sha256(b"graph"), Root(sha256(b"model")), card, "2.13.0+cpu", {"privacy": terms})
    assert refused.value.hint.startswith(advice)


def test_what_is_said_wrongly_of_columns_comes_before_the_ledger(open_party: Any, tmp_path: Path) -> None:
    owner: Party = open_party("owner")
    path = private_table(tmp_path / "private.csv")
    how: dict[str, Any] = {"name": "x", "target": "finding", "policy": open_policy(), "drop": ("patient",)}
    how |= {"mock_records": 0, "transform": "none"}
    budgeted = how | {"classes": ("ill", "well")}
    register_dataset(owner.home, DatasetOffer(path, privacy=PrivacyOffer(3.0), **budgeted))
    with pytest.raises(InputRefused, match="the column 'alpah' is not in the table"):
        register_dataset(owner.home, DatasetOffer(path, **how | {"ranges": {"alpah": (0.0, 1.0)}}))
    with pytest.raises(InputRefused, match="this account keeps a privacy ledger"):
        register_dataset(owner.home, DatasetOffer(path, **how))
    again = PrivacyOffer(3.0, delta=1e-5)
    with pytest.raises(
        InputRefused, match=r"the ledger 1 has a budget of epsilon [\d.]+ beside this dataset's delta 1e-05"
    ):
        register_dataset(owner.home, DatasetOffer(path, privacy=again, **budgeted))


def test_a_report_is_announced_before_a_yes_and_while_it_is_made() -> None:
    class Reviewed:
        risk: RiskTerms | None = None
        privacy: object | None = None

    review = Reviewed()
    given: Any = review
    assert report_of(given) == []
    review.risk = RiskTerms(0.05, summary_leaves=True)
    ((_, line),) = report_of(given)
    assert line.startswith("in the certificate the salted digest of a privacy-risk report and its summary, made before")
    assert line.endswith("the report stays with you; a limit in the policy may hold the job then")
    review.privacy, review.risk = object(), RiskTerms(summary_leaves=True)
    assert "summary" not in report_of(given)[0][1]
    assert "risk" in Review.__dataclass_fields__
    assert "120 s at most" in describe_entry(history.Assessing(120.0))


def test_terms_of_privacy_are_refuted_in_words() -> None:
    claim = PrivacyClaim(None, 1, 364, 3.0, 1e-4)
    assert claim.words == "epsilon 3.0 beside delta 0.0001 for each of 364 records, of one record at most"
    of_units = replace(claim, unit="patient", most_records=8).words
    assert of_units.endswith("for each of 364 units of 'patient', of 8 records at most")


def test_a_recipe_says_whose_rows_it_keeps_and_by_which_groups_it_is_told() -> None:
    given = replace(
        recipe(held_out=0.2, subgroups={"sex": [0, 1]}),
        held_out_from=HeldOutFrom(AgreementId(sha256(b"job")), sha256(b"seed")),
    )
    line = dict(pairs_of(given))["held out"]
    short = AgreementId(sha256(b"job")).short
    assert line == f"8 records, those of the job {short}, to evaluate the model, also by sex"
