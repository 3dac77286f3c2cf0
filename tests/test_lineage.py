"""Lineage: which links between a model and its parents the chain says, and which are only claimed;
against a real chain, with transcripts that were not trained but fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.views.verdict import describe_verdict, values
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.registry import Registry
from fitchain.pod.proof.certificate import LinkKind, Statement, Verdict, verify
from fitchain.pod.proof.certificate.envelope import seal, unseal
from fitchain.pod.values.derivation import trained_derivation
from fitchain.pod.values.digest import Digest, Root, sha256
from fitchain.pod.values.errors import ClaimMismatch, InputRefused
from fitchain.pod.values.ids import AgreementId, ModelId
from fitchain.pod.values.state import model_root
from tests.certified_jobs import OTHER, Job, Parties, played, registered, tensors
from tests.chain_fixtures import Account

Plays = Callable[..., Job]


@pytest.fixture(scope="module")
def parties(open_account: Callable[..., Account], tmp_path_factory: pytest.TempPathFactory) -> Parties:
    parties = registered(open_account(), open_account(), tmp_path_factory.mktemp("data") / "table.npz")
    return replace(parties, recipe=replace(parties.recipe, held_out=None))


@pytest.fixture(scope="module")
def play(parties: Parties, tmp_path_factory: pytest.TempPathFactory) -> Plays:
    def play_it(salt: bytes, **how: Any) -> Job:
        return played(parties, tmp_path_factory.mktemp("delivery") / "model.safetensors", salt, **how)

    return play_it


@pytest.fixture(scope="module")
def first(play: Plays) -> Job:
    return play(b"first")


def child_of(job: Job, root: Root, *parents: ModelId, derivation: Digest | None = None) -> ModelId:
    """Register a model of these parents, by default as loaded from what the job delivered."""
    own = trained_derivation(job.id, final(job)) if derivation is None else derivation
    calls = Registry(job.parties.scientist.chain)
    return calls.register_model(job.recipe.graph, root, parents=parents, derivation=own)


def final(job: Job) -> Root:
    return job.made.states[job.delivered].model


def begun_with(job: Job, play: Plays, salt: bytes, root: Root, model: ModelId) -> Job:
    return play(salt, recipe=replace(job.recipe, initial_model=root), model=model)


def kinds_of(verdict: Verdict) -> list[tuple[ModelId, ModelId | None, LinkKind]]:
    return [(link.child, link.parent, link.kind) for link in verdict.links]


def test_lineage_of_three_jobs_is_checked_down_to_the_first_model(first: Job, play: Plays, reader: Chain) -> None:
    child = child_of(first, final(first), first.parties.model)
    second = begun_with(first, play, b"second", final(first), child)
    grandchild = child_of(second, final(second), child)
    third = begun_with(first, play, b"third", final(second), grandchild)
    verdict = verify(third.model, third.certificate, reader)
    assert kinds_of(verdict) == [
        (grandchild, child, LinkKind.TRAINED),
        (child, first.parties.model, LinkKind.TRAINED),
    ]
    assert [link.training and link.training.agreement for link in verdict.links] == [second.id, first.id]
    shown = str(describe_verdict(verdict, third.model).views)
    assert f"{child.short} is what the job {first.id.short} made of {first.parties.model.short}: by the chain" in shown
    assert "unaudited (no audit was agreed on" in shown and first.parties.owner.address in shown
    assert f"{first.parties.model}: its weights are those that its author registered; where they come from" in shown
    told = json.loads(json.dumps(values(verdict, third.model), default=str))
    assert [link["trained_by"]["agreement"] for link in told["links"]] == [str(second.id), str(first.id)]


def test_links_that_no_job_made_are_claimed(first: Job, play: Plays, reader: Chain) -> None:
    other = model_root(tensors(77))
    loaded = child_of(first, other, first.parties.model)  # some of the weights only, as its author says
    bare = child_of(first, other, loaded, derivation=Digest(bytes(32)))
    verdict = verify(*_delivered(begun_with(first, play, b"claimed", other, bare)), reader)
    assert kinds_of(verdict) == [
        (bare, loaded, LinkKind.CLAIMED),
        (loaded, first.parties.model, LinkKind.DERIVED),
    ]
    assert all(link.training is None for link in verdict.links)
    shown = str(describe_verdict(verdict, first.model).views)
    assert f"{bare.short} is said to descend from {loaded.short} (claimed by its author)" in shown
    assert "its weights were not compared" in shown and "by the chain it ended" not in shown


def test_model_of_another_chain_is_said_to_derive_from_nothing_registered(
    first: Job, play: Plays, reader: Chain
) -> None:
    root = model_root(tensors(78))
    elsewhere = child_of(first, root, derivation=trained_derivation(AgreementId(sha256(b"far away")), root))
    verdict = verify(*_delivered(begun_with(first, play, b"elsewhere", root, elsewhere)), reader)
    assert kinds_of(verdict) == [(elsewhere, None, LinkKind.DERIVED)]
    assert "said to derive from what is no model of this chain" in str(describe_verdict(verdict, first.model).views)


def test_run_that_trained_no_parent_makes_no_link(first: Job, play: Plays, reader: Chain) -> None:
    stranger = child_of(first, model_root(tensors(79)))
    adopted = child_of(first, final(first), stranger)
    job = begun_with(first, play, b"adopted", final(first), adopted)
    assert [link.kind for link in verify(*_delivered(job), reader).links[:1]] == [LinkKind.DERIVED]
    with pytest.raises(ClaimMismatch, match=f"the job {first.id} trained .*, which is no parent of it"):
        verify(job.model, naming(job, adopted, first.id), reader)


def test_job_of_which_a_certificate_says_too_much_is_refused(first: Job, play: Plays, reader: Chain) -> None:
    child = child_of(first, final(first), first.parties.model)
    job = begun_with(first, play, b"too much", final(first), child)
    other = play(b"another end", upto=4)  # it trained the same model, and ended elsewhere
    late = play(b"late")  # the same weights, ended after the job was asked for
    open_ = first.parties.request(b"not begun")
    for agreement, message in (
        (other.id, f"the job {other.id} ended as"),
        (late.id, "and what begins with it was asked for in block"),
        (open_, "which runs still"),
        (AgreementId(Digest.parse(OTHER)), "this chain has none of that id"),
    ):
        with pytest.raises(ClaimMismatch, match=message):
            verify(job.model, naming(job, child, agreement), reader)
    silent = verify(job.model, naming(job, child, None), reader)
    assert [link.kind for link in silent.links] == [LinkKind.DERIVED]  # an owner that names none says less


def test_first_model_has_no_link(first: Job, reader: Chain) -> None:
    verdict = verify(first.model, first.certificate, reader)
    assert verdict.links == () and "first model" in str(describe_verdict(verdict, first.model).views)
    with pytest.raises(ClaimMismatch, match=f"the job {first.id} ended as"):
        verify(first.model, naming(first, first.parties.model, first.id), reader)


def test_lineage_names_a_bounded_number_of_jobs(first: Job) -> None:
    value = first.statement
    ancestor = value["predicate"]["model"]["lineage"][0] | {"trained_by": OTHER}
    value["predicate"]["model"]["lineage"] = [ancestor | {"id": str(sha256(b"%d" % n))} for n in range(65)]
    with pytest.raises(InputRefused, match="names 65 jobs, and the limit is 64"):
        Statement.from_json(value)


def _delivered(job: Job) -> tuple[Path, bytes]:
    return job.model, job.certificate


def naming(job: Job, model: ModelId, agreement: AgreementId | None) -> bytes:
    """The certificate of an owner that names this job for a model of the lineage."""
    statement = Statement.parse(unseal(job.certificate)[0])
    lineage = tuple(replace(each, trained_by=agreement) if each.id == model else each for each in statement.lineage)
    return seal(replace(statement, lineage=lineage).encode(), job.keys)
