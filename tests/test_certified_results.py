"""A certificate that says all that one can say of results: the best checkpoint by a committed
rule, results of each leaf, by subgroup, on held-out rows that are kept from a parent's job, and
the summary of a risk report. Each field of it, altered and signed again, is refuted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from fitchain.cli.views.verdict import describe_choice, describe_held_out, describe_risk, describe_subgroups
from fitchain.pod.compute.dataset import RiskTerms
from fitchain.pod.ports.agreement.descent import trained_parents
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.registry import Registry
from fitchain.pod.proof.certificate import Statement, verify
from fitchain.pod.proof.certificate.claims import check_risk
from fitchain.pod.proof.certificate.envelope import seal, unseal
from fitchain.pod.proof.certificate.risk import RiskClaim
from fitchain.pod.values.digest import canonical_json, sha256
from fitchain.pod.values.errors import ClaimMismatch, FitchainError, Refuted
from fitchain.pod.values.leaf import results_word
from fitchain.pod.values.recipe import HeldOutFrom, Recipe
from fitchain.pod.values.risk import Parts, RiskReport
from fitchain.pod.values.state import model_root
from tests.certified_jobs import (
    Job,
    MadeUp,
    Parties,
    altered,
    bent,
    claim_of,
    fields,
    played,
    registered,
    tensors,
    with_field,
)
from tests.chain_fixtures import Account
from tests.policies import open_policy
from tests.risk_reports import made_up_report

DELIVERED = 7
REFERENCES = tuple(sha256(b"reference %d" % number) for number in range(32))


@dataclass(frozen=True)
class Told:
    """A job whose certificate says all of it."""

    job: Job
    report: RiskReport

    def claim(self) -> RiskClaim:
        """What the certificate says of the report."""
        report = self.report
        parts = (report.digest, report.parts.references, report.parts.findings)
        last = claim_of(self.job.recipe, self.job.recipe.leaf_count - 1, DELIVERED)
        assert last is not None
        return RiskClaim(*parts, last.digest, report.summary, report.details_digest)


def bound(recipe: Recipe, parts: Parts, made: MadeUp) -> MadeUp:
    """An owner who binds a report in the last leaf."""
    last = recipe.leaf_count - 1
    claim = claim_of(recipe, last, DELIVERED)
    assert claim is not None
    return bent(made, last, held_out=results_word(claim.digest, parts))


@pytest.fixture(scope="module")
def parties(open_account: Callable[..., Account], tmp_path_factory: pytest.TempPathFactory) -> Parties:
    policy = open_policy(risk=RiskTerms(summary_leaves=True))
    source = tmp_path_factory.mktemp("data") / "table.npz"
    return registered(open_account(), open_account(), source, policy, is_grouped=True)


@pytest.fixture(scope="module")
def parent(parties: Parties, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that ended early, whose model another goes on from."""
    return played(parties, tmp_path_factory.mktemp("parent") / "model.safetensors", b"parent", upto=6)


@pytest.fixture(scope="module")
def told(parties: Parties, parent: Job, reader: Chain, tmp_path_factory: pytest.TempPathFactory) -> Told:
    root = parent.made.states[parent.delivered].model
    calls = Registry(parties.scientist.chain)
    model = calls.register_model(parties.recipe.graph, root, parents=[parties.model], derivation=sha256(b"tuned"))
    before = trained_parents(reader, parties.owner.address, parties.dataset, model, reader.head() + 1)[0]
    kept = HeldOutFrom(before.agreement, before.seed)
    recipe = replace(parties.recipe, initial_model=root, held_out_from=kept, evaluate="segment", best="accuracy")
    report = made_up_report(
        model=model_root(tensors(recipe.step_of(DELIVERED))),
        members=recipe.training_count,
        non_members=recipe.held_out_count,
    )
    report, place = replace(report, references=REFERENCES), tmp_path_factory.mktemp("delivery") / "model.safetensors"
    how: dict[str, Any] = {
        "recipe": recipe,
        "model": model,
        "delivered": DELIVERED,
        "bend": partial(bound, recipe, report.parts),
    }
    told = Told(played(parties, place, b"all of it", **how), report)
    return replace(told, job=replace(told.job, certificate=told.job.issue(risk=told.claim())))


def test_all_that_is_said_of_results_holds_and_is_told_as_the_owners(told: Told, reader: Chain) -> None:
    verdict = verify(told.job.model, told.job.certificate, reader)
    assert (verdict.statement.delivered, len(verdict.statement.evaluations or ())) == (DELIVERED, 10)
    assert str(describe_choice(verdict)).endswith("of 10 results; nobody else looked at them")
    assert str(describe_risk(verdict)).endswith(
        "bound in the last checkpoint, which the chain took with the delivery; what it says as the owner states;"
        " nobody vouches for its reference trainings"
    )
    assert str(describe_held_out(verdict)).startswith("as the owner states, ")
    assert len(describe_subgroups(verdict)) == 1


def test_any_result_that_is_altered_and_signed_again_is_refuted(told: Told, reader: Chain) -> None:
    """Of the results of all leaves those of the delivered one and of the last."""
    job = told.job
    places: set[tuple[str | int, ...]] = {("predicate", name) for name in ("risk", "held_out")}
    places |= {("predicate", "evaluations", place) for place in (DELIVERED - 1, 9)}
    places |= {("predicate", "recipe", name) for name in ("held_out_from", "subgroups", "best")}
    paths = [path for path in fields(job.statement) if any(path[: len(place)] == place for place in places)]
    assert len(paths) > 80
    for path in paths:
        certificate = seal(canonical_json(with_field(job.statement, path, altered)), job.keys)
        with pytest.raises(FitchainError) as refusal:
            verify(job.model, certificate, reader)
        assert isinstance(refusal.value, Refuted) and refusal.value.exit_code == 1, path


def test_a_summary_of_more_or_fewer_records_than_the_recipe_has_is_refuted(told: Told) -> None:
    """Under a digest of its own, which an owner may have bound in the last leaf."""
    statement, recipe = Statement.parse(unseal(told.job.certificate)[0]), told.job.recipe
    check_risk(statement)
    lies: list[tuple[dict[str, Any], str]] = [
        ({"members": 1_000_000}, f"says 1000000, and the recipe trains on {recipe.training_count}"),
        ({"non_members": 99}, f"says 99, and the recipe holds out {recipe.held_out_count}"),
    ]
    for changes, says in lies:
        other = replace(told.report, summary=replace(told.report.summary, **changes))
        claim = replace(told, report=other).claim()
        with pytest.raises(ClaimMismatch, match=says):
            check_risk(replace(statement, risk=claim))
