"""The best checkpoint in whole jobs: pods on a real chain, its certificate, its curves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.app import run
from fitchain.cli.views.verdict import describe_choice, describe_held_out, values
from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.dataset import RiskTerms
from fitchain.pod.jobs.curves import Curves
from fitchain.pod.jobs.history import HeldOutTold
from fitchain.pod.jobs.job_status import JobStatusReader
from fitchain.pod.jobs.life import owners_life
from fitchain.pod.parties.owner import kept_report, report_again, require_same
from fitchain.pod.parties.scientist import delivery
from fitchain.pod.ports.agreement import State
from fitchain.pod.proof.certificate import Verdict, verify
from fitchain.pod.values.best import figure_of
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.state import model_root, read_safetensors
from tests.audited_workshop import AuditedWorkshop
from tests.chain_fixtures import Devnet
from tests.pods import LONG, RECIPE, Party, PodProcess, Workshop, owner_runs, scientist_runs, verifier_runs, workshop_of
from tests.policies import open_policy

pytestmark = pytest.mark.long

WORSENING: dict[str, Any] = {**RECIPE, "held_out": 0.2, "best": "loss"} | {
    "optimizer": "SGD",
    "momentum": 0.0,
    "learning_rate": 0.1,
    "weight_decay": 30.0,
}
"""Each step makes the weights twice as large and turns their signs: no later leaf is the best."""


@pytest.fixture(autouse=True)
def leaves_no_audit_behind(audited: AuditedWorkshop) -> Iterator[None]:
    yield
    assert audited.undecided() == []


@pytest.fixture(scope="module")
def matched(audited: AuditedWorkshop) -> AgreementId:
    """A job with an audit whose best checkpoint is delivered."""
    workshop = audited.workshop
    with (
        owner_runs(workshop.owner),
        scientist_runs(workshop.scientist, turn_s=60),
        verifier_runs(*audited.verifiers, turn_s=60),
    ):
        id = workshop.request(audit=audited.terms(), recipe_overrides=WORSENING)
        audited.until(workshop.scientist.has(id, "release_accepted"))
        audited.until_wiped(id, *audited.seated(id))
        audited.until(workshop.owner.has(id, "wiped"))
    return id


def verdict_of(workshop: Workshop, id: AgreementId) -> Verdict:
    received = delivery(workshop.scientist.home, id)
    return verify(received.model, received.certificate, workshop.scientist.home.chain)


def test_the_best_checkpoint_is_delivered_audited_and_said(audited: AuditedWorkshop, matched: AgreementId) -> None:
    workshop = audited.workshop
    verdict, chain_run = verdict_of(workshop, matched), workshop.owner.home.agreements.run_record(matched)
    statement = verdict.statement
    assert statement.evaluations is not None and len(statement.evaluations) == 6
    losses = [figure_of(claim.result, "loss") or 0.0 for claim in statement.evaluations]
    best = losses.index(min(losses)) + 1
    assert statement.delivered == chain_run.delivered == best < 6
    model = delivery(workshop.scientist.home, matched).model
    assert model_root(read_safetensors(model)[0]) == chain_run.model_root != chain_run.last_model_root
    sentence = describe_choice(verdict) or ""
    assert sentence.startswith(f"leaf {best} of 6, chosen by reported results: the best loss of 6 results; seats voted")
    assert f"seats voted Match on {verdict.juries[0].audited} of them" in sentence
    assert f"loss {losses[best - 1]:.3g}" in (describe_held_out(verdict) or "")
    shown = values(verdict, model)
    assert (shown["best"], shown["results_voted_on"]) == ("loss", verdict.juries[0].audited)
    told = [party.told(matched, "held_out")["result"] for party in (workshop.owner, workshop.scientist)]
    assert statement.held_out is not None and told == [statement.held_out.result.json()] * 2


def test_every_seat_replayed_the_segment_of_the_delivered_checkpoint(
    audited: AuditedWorkshop, matched: AgreementId
) -> None:
    for party in audited.seated(matched):
        told = party.told(matched, "examined")
        assert (told["outcome"], told["problems"]) == ("MATCH", [])


def test_both_sides_see_the_curves(
    audited: AuditedWorkshop,
    matched: AgreementId,
    running_devnet: Devnet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workshop = audited.workshop
    monkeypatch.setenv("FITCHAIN_DEVNET", str(running_devnet.folder))
    curves = []
    for number, party in enumerate((workshop.owner, workshop.scientist)):
        picture = tmp_path / f"{number}.svg"
        words = ["job", "curves", str(matched), "--svg", str(picture), "--json", "--home", str(party.side.home)]
        assert run(words) == 0
        curves.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
        assert picture.read_text().startswith("<svg") and "delivered" in picture.read_text()
        assert run(["job", "show", str(matched), "--home", str(party.side.home)]) == 0
        assert "held-out loss" in capsys.readouterr().out
    assert curves[0]["held_out"] == curves[1]["held_out"]
    assert [step for step, _ in curves[0]["held_out"]["accuracy"]] == [2, 4, 6, 8, 10, 12]
    assert curves[0]["delivered_step"] == 2 * workshop.owner.home.agreements.run_record(matched).delivered


def ended(workshop: Workshop, id: AgreementId) -> Verdict:
    """The verdict on a job without an audit, once it is settled."""
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        workshop.until_state(id, State.SETTLED)
        workshop.until(workshop.scientist.has(id, "received"))
    return verdict_of(workshop, id)


def losses_of(owner: Party, id: AgreementId) -> list[float | None]:
    return [figure_of(each.held_out, "loss") for each in read_leaves(owner.home.job_folder(id).path)]


def test_a_pod_that_is_killed_on_the_way_delivers_the_best_leaf(audited: AuditedWorkshop, tmp_path: Path) -> None:
    workshop, owner = audited.workshop, audited.workshop.owner
    id = workshop.request(recipe_overrides=LONG | {"held_out": 0.2, "best": "loss", "learning_rate": 0.05})
    pod, folder = PodProcess(owner, tmp_path / "log"), owner.home.job_folder(id)
    workshop.until(lambda: folder.leaves.exists() and len(read_leaves(folder.path)) > 20)
    pod.kill()
    assert owner.state(id) is State.TRAINING
    verdict, losses = ended(workshop, id), losses_of(owner, id)
    assert owner.has(id, "resumed")() and len(losses) == 61
    best = min(range(1, 61), key=lambda index: (losses[index], index))
    assert verdict.statement.delivered == owner.home.agreements.run_record(id).delivered == best
    lines = owners_life(owner.home, id, owner.home.agreements.events(id))
    (told,) = [entry for _, entry, _, _ in lines if isinstance(entry, HeldOutTold)]
    assert told.json()["result"] == owner.told(id, "held_out")["result"]


def test_results_stay_where_metrics_do_and_the_report_is_of_the_delivered_model(
    open_party: Callable[..., Party], table_path: Path
) -> None:
    policy = replace(open_policy(manual_approval=False, risk=RiskTerms()), metrics_leave=False)
    workshop = workshop_of(open_party("discreet owner"), open_party("their scientist"), table_path, policy=policy)
    owner, id = workshop.owner, workshop.request(recipe_overrides=WORSENING)
    verdict, losses = ended(workshop, id), losses_of(workshop.owner, id)
    chain_run = owner.home.agreements.run_record(id)
    assert chain_run.delivered == min(range(1, 7), key=lambda index: (losses[index], index)) < 6
    report = kept_report(owner.home.job_folder(id))
    assert report is not None and report.summary.model == chain_run.model_root
    require_same(report_again(owner.home, id), report.digest, "the first says")
    assert verdict.statement.evaluations is None and verdict.statement.held_out is None
    sentence = describe_choice(verdict) or ""
    assert "which stay with the owner by the dataset's policy; nobody else looked at them" in sentence
    known = [JobStatusReader(party.home, id).read().curves for party in (owner, workshop.scientist)]
    assert known[0].held_out["loss"][-1] == (12, losses[-1]) and known[1] == Curves()
