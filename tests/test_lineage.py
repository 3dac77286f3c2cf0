"""Lineage: which parents of a model the chain tells, and which are only claimed; against a real
chain, with transcripts that were not trained but fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.views.verdict import describe_verdict, values
from fitchain.pod.parties.scientist.weights import Origin, certified_weights
from fitchain.pod.ports.agreement import Outcome
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.registry import Registry
from fitchain.pod.proof.certificate import Assurance, ParentageKind, Statement, Verdict, verify
from fitchain.pod.proof.certificate.envelope import seal, unseal
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.derivation import trained_derivation
from fitchain.pod.values.digest import Digest, Root, sha256
from fitchain.pod.values.errors import ClaimMismatch, DigestMismatch, InputRefused, NotFound, SignatureMismatch
from fitchain.pod.values.ids import AgreementId, ModelId
from fitchain.pod.values.state import model_root, write_safetensors
from tests.audit_actors import TERMS, StakedVerifiers
from tests.certified_jobs import OTHER, Job, Parties, played, registered, tensors
from tests.chain_fixtures import Account
from tests.cli_fixtures import Fitchain
from tests.speeds import long_unless

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


def kinds_of(verdict: Verdict) -> list[tuple[ModelId, ModelId | None, ParentageKind]]:
    return [(parentage.child, parentage.parent, parentage.kind) for parentage in verdict.parentages]


def test_lineage_of_three_jobs_is_checked_down_to_the_first_model(first: Job, play: Plays, reader: Chain) -> None:
    child = child_of(first, final(first), first.parties.model)
    second = begun_with(first, play, b"second", final(first), child)
    grandchild = child_of(second, final(second), child)
    third = begun_with(first, play, b"third", final(second), grandchild)
    verdict = verify(third.model, third.certificate, reader)
    assert kinds_of(verdict) == [
        (grandchild, child, ParentageKind.TRAINED),
        (child, first.parties.model, ParentageKind.TRAINED),
    ]
    assert [parentage.training and parentage.training.agreement for parentage in verdict.parentages] == [
        second.id,
        first.id,
    ]
    shown = str(describe_verdict(verdict, third.model).views)
    ended = f"{child.short} has the weights with which the job {first.id.short} ended, by the chain, which was to train"
    assert f"{ended} {first.parties.model.short}" in shown
    assert "unaudited (no audit was agreed on" in shown and first.parties.owner.address in shown
    assert f"{first.parties.model}: its weights are those that its author registered; where they come from" in shown
    told = json.loads(json.dumps(values(verdict, third.model), default=str))
    assert [parentage["trained_by"]["agreement"] for parentage in told["parentages"]] == [str(second.id), str(first.id)]


def test_parents_of_what_no_job_made_are_claimed(first: Job, play: Plays, reader: Chain) -> None:
    other = model_root(tensors(77))
    loaded = child_of(first, other, first.parties.model)  # some of the weights only, as its author says
    bare = child_of(first, other, loaded, derivation=Digest(bytes(32)))
    verdict = verify(*_delivered(begun_with(first, play, b"claimed", other, bare)), reader)
    assert kinds_of(verdict) == [
        (bare, loaded, ParentageKind.CLAIMED),
        (loaded, first.parties.model, ParentageKind.DERIVED),
    ]
    assert all(parentage.training is None for parentage in verdict.parentages)
    shown = str(describe_verdict(verdict, first.model).views)
    assert f"{bare.short} is said to descend from {loaded.short} (claimed by its author)" in shown
    assert "its weights were not compared" in shown and "by the chain" not in shown


def test_model_of_another_chain_is_said_to_derive_from_nothing_registered(
    first: Job, play: Plays, reader: Chain
) -> None:
    root = model_root(tensors(78))
    elsewhere = child_of(first, root, derivation=trained_derivation(AgreementId(sha256(b"far away")), root))
    verdict = verify(*_delivered(begun_with(first, play, b"elsewhere", root, elsewhere)), reader)
    assert kinds_of(verdict) == [(elsewhere, None, ParentageKind.DERIVED)]
    assert "said to derive from what is no model of this chain" in str(describe_verdict(verdict, first.model).views)


@pytest.mark.parametrize(
    "outcome", long_unless(lambda outcome: outcome is Outcome.MISMATCH, [Outcome.MATCH, Outcome.MISMATCH])
)
def test_parent_is_worth_what_its_own_job_is_worth_to_the_checker(
    outcome: Outcome, play: Plays, parties: Parties, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    panel = staked_verifiers.panel(parties.scientist.chain, outcome.name)
    audited = play(outcome.name.encode(), audit=replace(TERMS, mode=AuditMode.SAMPLED, panel=panel))
    staked_verifiers.conclude(parties.owner.chain, audited.id, outcome)
    child = child_of(audited, final(audited), parties.model)
    plain = replace(audited, recipe=parties.recipe)
    job = begun_with(plain, play, b"after " + outcome.name.encode(), final(audited), child)
    verdicts = verify(job.model, job.certificate, reader), verify(job.model, job.certificate, reader, trust=[panel])
    trainings = [verdict.parentages[0].training for verdict in verdicts]
    levels = [(training.assurance, training.refuted) for training in trainings if training]
    shown = str(describe_verdict(verdicts[0], job.model).views)
    if outcome is Outcome.MATCH:
        assert levels == [(Assurance.VOUCHED, False), (Assurance.SAMPLED, False)]
        assert "vouched (the audit on which both agreed concluded Match" in shown
    else:
        assert levels == [(Assurance.UNAUDITED, True)] * 2
        assert "NOT to be relied on: the audit on which both agreed" in shown
    assert all(verdict.assurance is Assurance.UNAUDITED for verdict in verdicts)  # which is of its own job alone


def test_run_that_trained_no_parent_makes_no_parentage(first: Job, play: Plays, reader: Chain) -> None:
    stranger = child_of(first, model_root(tensors(79)))
    adopted = child_of(first, final(first), stranger)
    job = begun_with(first, play, b"adopted", final(first), adopted)
    assert [parentage.kind for parentage in verify(*_delivered(job), reader).parentages[:1]] == [ParentageKind.DERIVED]
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
    assert [parentage.kind for parentage in silent.parentages] == [
        ParentageKind.DERIVED
    ]  # an owner that names none says less


def test_first_model_has_no_parent(first: Job, reader: Chain) -> None:
    verdict = verify(first.model, first.certificate, reader)
    assert verdict.parentages == () and "first model" in str(describe_verdict(verdict, first.model).views)
    with pytest.raises(ClaimMismatch, match=f"the job {first.id} ended as"):
        verify(first.model, naming(first, first.parties.model, first.id), reader)


def test_lineage_names_a_bounded_number_of_jobs(first: Job) -> None:
    value = first.statement
    ancestor = value["predicate"]["model"]["lineage"][0] | {"trained_by": OTHER}
    value["predicate"]["model"]["lineage"] = [ancestor | {"id": str(sha256(b"%d" % n))} for n in range(65)]
    with pytest.raises(InputRefused, match="names 65 jobs, and the limit is 64"):
        Statement.from_json(value)


def test_certified_weights_name_their_job_and_a_parent_only_on_this_chain(
    first: Job, reader: Chain, tmp_path: Path
) -> None:
    derivation = trained_derivation(first.id, final(first))
    here = _written(tmp_path / "here.json", first.certificate)
    weights = certified_weights(reader, here, first.model, tmp_path)
    assert (weights.job, weights.root) == (first.id, final(first))
    assert weights.origin == Origin((first.parties.model,), derivation)
    statement = Statement.parse(unseal(first.certificate)[0])
    abroad = replace(statement, chain_id=statement.chain_id + 1).encode()
    weights = certified_weights(
        reader, _written(tmp_path / "abroad.json", seal(abroad, first.keys)), first.model, tmp_path
    )
    assert weights.origin == Origin((), derivation) and weights.job == first.id
    other = _written(tmp_path / "other.json", seal(abroad, first.parties.scientist.keys))
    with pytest.raises(SignatureMismatch, match="is signed by"):
        certified_weights(reader, other, first.model, tmp_path)
    with pytest.raises(NotFound, match=r"there is no file .*model\.safetensors, the model of"):
        certified_weights(reader, here, None, tmp_path)
    tampered = first.model.with_name("tampered.safetensors")
    write_safetensors(tampered, tensors(99))
    for certificate in (here, tmp_path / "abroad.json"):
        with pytest.raises(DigestMismatch):
            certified_weights(reader, certificate, tampered, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--parent", "JOB", "--parent", "JOB"), "two of the parents give weights"),
        (("--parent", "JOB", "--parent", "certificate.json"), "two of the parents give weights"),
        (("--parent", "JOB", "--weights", "some.safetensors"), "the job gives the weights to begin with"),
        (("--parent", "MODEL", "--partial"), "--partial is of a file of weights, and none is named"),
        (("--parent", "0xabcdef"), "no model or job begins with 0xabcdef"),
        (("--parent", "none.json"), "there is no file none.json, the certificate of a parent"),
        (("--parent", "MODEL", "--weights", "weights.bin"), "there is no file weights.bin"),
    ],
)
def test_parents_that_do_not_go_together_are_refused(
    fitchain: Fitchain, first: Job, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    write_safetensors(some := tmp_path / "some.safetensors", tensors(1))
    certificate = _written(tmp_path / "certificate.json", first.certificate)
    words = {"JOB": first.id.short, "MODEL": str(first.parties.model)}
    words |= {path.name: str(path) for path in (some, certificate)}
    (source := tmp_path / "x.py").write_text("X = 1")
    named = [words.get(option, option) for option in options]
    dataset = str(first.parties.dataset)
    code, told, _ = fitchain(first.parties.scientist, "model", "publish", f"{source}:X", "--dataset", dataset, *named)
    assert code == 3 and message in told["error"]["message"]


def test_model_show_tells_each_parent(fitchain: Fitchain, first: Job) -> None:
    child = child_of(first, final(first), first.parties.model)
    told = fitchain(first.parties.scientist, "model", "show", str(child))[1]
    (parentage,) = told["parentages"]
    assert (parentage["kind"], parentage["trained_by"]["agreement"]) == ("trained", str(first.id))
    assert told["lineage_whole"]


def _written(path: Path, certificate: bytes) -> Path:
    path.write_bytes(certificate)
    return path


def _delivered(job: Job) -> tuple[Path, bytes]:
    return job.model, job.certificate


def naming(job: Job, model: ModelId, agreement: AgreementId | None) -> bytes:
    """The certificate of an owner that names this job for a model of the lineage."""
    statement = Statement.parse(unseal(job.certificate)[0])
    lineage = tuple(replace(each, trained_by=agreement) if each.id == model else each for each in statement.lineage)
    return seal(replace(statement, lineage=lineage).encode(), job.keys)
