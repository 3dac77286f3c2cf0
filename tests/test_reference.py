"""Reference trainings of a risk report: one drawn segment of one of them is opened in an audit, and
trained again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.views.verdict import describe_risk
from fitchain.pod.compute import references
from fitchain.pod.compute.dataset import Card, RiskTerms, register
from fitchain.pod.compute.dataset.references import ReferenceTraining
from fitchain.pod.compute.training import Diverged
from fitchain.pod.jobs.worker import modes, run_worker
from fitchain.pod.parties.scientist import delivery, publish_model
from fitchain.pod.ports.agreement import AuditTerms
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.checking import check
from fitchain.pod.proof.audit.disclosure import opened_records, opens_reference
from fitchain.pod.proof.audit.reference import is_opened
from fitchain.pod.proof.audit.vote import Outcome, trace_digest
from fitchain.pod.proof.certificate import verify
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, Root, canonical_json, sha256
from fitchain.pod.values.ids import AuditRef
from fitchain.pod.values.risk import RiskReport
from fitchain.pod.values.risk.references import OpenedReference
from tests.audited_workshop import AUDITABLE, AuditedWorkshop
from tests.audits import KEY, Case, facts_of, seed_that_draws, trained, trained_here
from tests.pods import RECIPE, module_file, offer_table, owner_runs, scientist_runs, verifier_runs
from tests.policies import open_policy
from tests.training_jobs import SEED

OTHER = str(sha256(b"other"))


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Case:
    place = tmp_path_factory.mktemp("reference")
    return trained_here(place / "job", LocalStore(place / "store", place / "home"), held_out=0.2).assessed()


@pytest.mark.parametrize("segment", [0, 3, 5], ids=["first", "inner", "last"])
def test_an_honest_reference_is_replayed(honest: Case, segment: int) -> None:
    facts = facts_of(honest, segment)
    evidence = honest.evidence(facts)
    assert evidence.reference is not None and evidence.reference.segment == segment
    assert is_opened(evidence, facts) and (evidence.reference_file.stat().st_size > 0) == (segment > 0)
    checked = check(evidence, facts)
    assert checked.problems == () and checked.has_reference
    assert honest.replayed_here(facts) == []


def test_halves_are_halves_and_their_orders_their_own(honest: Case) -> None:
    one, other = (ReferenceTraining.of(honest.recipe, SEED, number) for number in (0, 1))
    assert sorted([*one.rows.tolist(), *other.rows.tolist()]) == list(range(*honest.recipe.rows))
    assert set(one.segment_records(2).tolist()) <= set(one.rows.tolist())
    assert one.segment_records(0).tolist() != one.segment_records(1).tolist()


@pytest.mark.parametrize("number", [0, 7])
def test_one_that_was_not_trained_is_a_mismatch_where_it_is_drawn(honest: Case, tmp_path: Path, number: int) -> None:
    case = honest.copy(f"untrained-{number}")
    assert case.report is not None
    fake = case.bound(case.report, {number: case.untrained(number)})
    (problem,) = fake.replayed_here(facts_of(fake, 3, number))
    assert problem.segment is None
    assert problem.what.startswith(f"reference training {number}, segment 3: model root 0x")
    assert fake.replayed_here(facts_of(fake, 3, number + 1)) == []


def test_one_that_is_said_to_end_early_is_trained_on(honest: Case) -> None:
    case = honest.copy("cut-off")
    assert case.report is not None
    opened = honest.reopened(facts_of(honest, 0, 2))
    assert opened is not None
    first = [each.leaf for each in opened.leaves][:1]
    fake = case.bound(case.report, {2: first})
    (problem,) = fake.replayed_here(facts_of(fake, 4, 2))
    assert problem.what == "reference training 2, segment 0: the training goes on to step 4, and was said to end before"


def test_those_that_end_early_are_opened_where_they_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are made to, at their third leaf."""

    def refuse(model: object, step: int) -> None:
        if step == 12:
            raise Diverged(step, "a parameter is not finite")

    case = trained_here(tmp_path / "job", LocalStore(tmp_path / "store", tmp_path / "home"), held_out=0.2)
    monkeypatch.setattr(references, "refuse_not_finite", refuse)
    case = case.assessed()
    assert case.report is not None and case.report.details.references_ended == 32
    facts = facts_of(case, 4)
    opened = case.evidence(facts).reference
    assert opened is not None and opened.ends and (opened.segment, opened.count, len(opened.leaves)) == (2, 3, 1)
    (problem,) = case.replayed_here(facts)
    assert problem.what.endswith("segment 2: the training goes on to step 12, and was said to end before")
    monkeypatch.setattr(modes, "refuse_not_finite", refuse)
    assert case.replayed_here(facts) == []
    assert case.replayed_here(facts_of(case, 1)) == []


def test_the_cap_decides_whether_one_is_opened(honest: Case) -> None:
    recipe, plain = honest.recipe, AuditTerms(2, verifiers=3, mode=AuditMode.SAMPLED)
    card = register(honest.registered, KEY, "a table").card

    def asking(cap: int | None) -> Card:
        return replace(card, policy=open_policy(risk=RiskTerms(), disclosure_cap=cap))

    of_training, all_of_it = opened_records(plain, recipe, card), opened_records(plain, recipe, asking(None))
    assert all_of_it == of_training + min(recipe.segment_steps * recipe.batch_size, recipe.row_count)
    assert opens_reference(plain, recipe, asking(all_of_it)) and not opens_reference(plain, recipe, card)
    tight = asking(all_of_it - 1)
    assert not opens_reference(plain, recipe, tight) and opened_records(plain, recipe, tight) == of_training
    assert opened_records(plain, recipe, tight, is_again=True) == opened_records(plain, recipe) == all_of_it
    assert opens_reference(replace(plain, mode=AuditMode.ON_SITE), recipe, tight)
    assert opens_reference(AuditTerms(), recipe, tight) and opened_records(AuditTerms(), recipe, asking(None)) == 0


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def tamper(place: Path) -> None:
        document = json.loads((place / "evidence.json").read_bytes())
        change(document)
        (place / "evidence.json").write_bytes(canonical_json(document))

    return tamper


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda document: document.update(reference=None), "the evidence opens a reference training False"),
        (lambda document: document["reference"].update(number=1), "the opened reference training is 1"),
        (lambda document: document["reference"].update(segment=2), "the opened segment of it is 2"),
        (lambda document: document["reference"].update(trainings=31), "the reference trainings are 31"),
        (lambda document: document["reference"].update(count=6), "leads to"),
        (lambda document: document["reference"]["leaves"][0].update(model=OTHER), "leads to the root"),
        (lambda document: document["reference"]["leaves"][1].update(records=OTHER), "leads to the root"),
        (lambda document: document["reference"]["leaves"][1].update(salt=OTHER), "leads to the root"),
    ],
)
def test_another_opening_is_a_problem_and_nothing_of_it_is_replayed(
    honest: Case, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    facts = facts_of(honest, 3, 0)
    evidence = honest.evidence(facts, edited(change))
    checked = check(evidence, facts)
    (problem,) = checked.problems
    assert says in problem.what or (says == "leads to" and "path" in problem.what)
    assert not checked.has_reference and checked.replayable == (0, 5)


def test_another_state_or_record_in_the_evidence_is_a_problem(honest: Case) -> None:
    facts = facts_of(honest, 3, 0)
    for tamper in (
        lambda place: (place / "reference.safetensors").unlink() or (place / "reference.safetensors").touch(),
        lambda place: (place / "reference.safetensors").write_bytes((place / "5.safetensors").read_bytes()),
    ):
        checked = check(honest.evidence(facts, tamper), facts)
        (problem,) = checked.problems
        assert problem.what.startswith("reference training 0, segment 3: ") and not checked.has_reference


def test_first_segment_is_not_replayed_from_another_model_than_the_agreed(honest: Case) -> None:
    """No worker would read it, and every honest verifier would be Inconclusive."""

    def another_initial(place: Path) -> None:
        (place / "initial.safetensors").unlink()
        (place / "initial.safetensors").write_bytes((place / "5.safetensors").read_bytes())

    facts = facts_of(honest, 0, 0)
    checked = check(honest.evidence(facts, another_initial), facts)
    assert checked.problems[-1].what.startswith("reference training 0, segment 0: ") and not checked.has_reference


def test_a_report_of_another_model_is_a_mismatch(honest: Case) -> None:
    case = honest.copy("another-model")
    assert case.report is not None
    other = replace(case.report, summary=replace(case.report.summary, model=Root(sha256(b"another"))))
    (problem,) = case.bound(other).replayed_here(facts_of(case, 3))
    assert problem.what.startswith("the risk report is of the model")


def test_what_leaves_of_one_leaf_tells_nothing_of_another(honest: Case) -> None:
    """Each leaf has a salt of its own, which the report's does not follow from."""
    opened = honest.reopened(facts_of(honest, 3, 0))
    assert opened is not None and len({each.salt for each in opened.leaves}) == 2
    assert honest.report is not None and honest.report.salt not in {each.salt for each in opened.leaves}
    assert OpenedReference.from_json(opened.json()) == opened


def test_a_report_keeps_its_references_roots(honest: Case) -> None:
    assert honest.report is not None
    assert RiskReport.parse(honest.report.encode()) == honest.report
    assert replace(honest.report, references=()).parts.references == ZERO != honest.report.parts.references
    assert len(honest.report.references) == 32


@pytest.mark.long
def test_all_honest_verifiers_come_to_one_trace_with_the_reference_in_it(tmp_path: Path) -> None:
    """Of real workers, whose kernels are not those of this process."""
    store = LocalStore(tmp_path / "store", tmp_path / "home")
    case = replace(trained(tmp_path / "job", store, held_out=0.2), do=run_worker).assessed()
    delivery = case.deliver()
    facts = replace(case.facts(delivery, drawn=0), segment_seed=seed_that_draws(case, 3, 0))
    first, second = case.examined(facts), case.examined(facts)
    assert first.outcome == second.outcome == Outcome.MATCH and first.trace == second.trace
    assert [each.index for each in first.audited] == [0, 5]
    assert first.trace != trace_digest(facts.audit, facts.round, [each.before for each in first.audited])
    assert case.report is not None
    fake = case.bound(case.report, {0: case.untrained(0)})
    again = replace(fake.facts(delivery, drawn=0), segment_seed=facts.segment_seed)
    one, other = fake.examined(again), fake.examined(again)
    assert one.outcome == Outcome.MISMATCH and one.trace == other.trace
    assert one.problems[0].what.startswith("reference training 0, segment 3: model root 0x")


@pytest.mark.long
def test_pods_open_and_replay_a_reference_of_a_report(audited: AuditedWorkshop, table_path: Path) -> None:
    workshop, home = audited.workshop, audited.workshop.scientist.home
    policy = open_policy(panels=(str(audited.panel),), **AUDITABLE, held_out=0.3, risk=RiskTerms(summary_leaves=True))
    dataset = offer_table(workshop.owner, table_path, policy=policy)
    model = publish_model(home, module_file(home.settings.home), dataset.id, name="Tiny")
    asking = replace(audited, workshop=replace(workshop, dataset=dataset, model=model))
    with (
        owner_runs(workshop.owner),
        scientist_runs(workshop.scientist, turn_s=60),
        verifier_runs(*audited.verifiers, turn_s=60),
    ):
        id = asking.workshop.request(audit=audited.terms(), recipe_overrides=RECIPE | {"held_out": 0.3})
        audited.until(workshop.scientist.has(id, "release_accepted"))
        audited.until_wiped(id, *audited.seated(id))
    assert workshop.scientist.told(id, "verdict")["verdict"] == "MATCH"
    received = delivery(home, id)
    verdict = verify(received.model, received.certificate, home.chain)
    assert verdict.statement.risk is not None and verdict.statement.risk.references != ZERO
    assert "seats voted Match on a drawn segment of one of its reference trainings" in (describe_risk(verdict) or "")
    shown = dict(workshop.owner.home.journal.facts_named("disclosed"))
    terms, recipe = home.agreements.terms(id).audit, verdict.statement.recipe
    assert int(shown[AuditRef(id)]) == opened_records(terms, recipe, verdict.statement.card)
    assert (
        int(shown[AuditRef(id)])
        == opened_records(terms, recipe, replace(verdict.statement.card, policy=open_policy())) + 16
    )
