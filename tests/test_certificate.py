"""Laws, examples and attacks: `fitchain.pod.proof.certificate`, against a real chain, with a
transcript that was not trained but fits."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.ports.agreement import Agreements, Audits, AuditTerms, Outcome, State
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.keys import Keys
from fitchain.pod.ports.registry import Registry
from fitchain.pod.proof.certificate import Assurance, Statement, Verdict, issue, verify
from fitchain.pod.proof.certificate.claims import card_cid, check_file, check_leaves, check_orders
from fitchain.pod.proof.certificate.envelope import HALF_ORDER, seal, unseal
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, canonical_json, sha256
from fitchain.pod.values.errors import (
    AccessRefused,
    ClaimMismatch,
    DigestMismatch,
    FitchainError,
    NotFound,
    Refuted,
    SignatureMismatch,
)
from fitchain.pod.values.leaf import Leaf, records_digest
from fitchain.pod.values.state import model_root, write_safetensors
from tests.audit_actors import DISPUTE, TERMS, StakedVerifiers
from tests.certified_jobs import FIT, SOMETHING, Job, Parties, leaves_of, played, registered, stored_cid, tensors
from tests.chain_fixtures import Account

OTHER = "0x" + "7" * 64
Play = Callable[..., Job]


@pytest.fixture(scope="module")
def parties(open_account: Callable[..., Account], tmp_path_factory: pytest.TempPathFactory) -> Parties:
    return registered(open_account(), open_account(), tmp_path_factory.mktemp("data") / "table.npz")


@pytest.fixture(scope="module")
def play(parties: Parties, tmp_path_factory: pytest.TempPathFactory) -> Play:
    """Plays a job up to its end: `play(salt, bend=…)`, `bend` making the owner dishonest about its
    leaves."""

    def play_it(salt: bytes, **how: Any) -> Job:
        return played(parties, tmp_path_factory.mktemp("delivery") / "model.safetensors", salt, **how)

    return play_it


@pytest.fixture(scope="module")
def job(play: Play) -> Job:
    return play(b"the job")


def resealed(statement: dict[str, Any], keys: Keys) -> bytes:
    return seal(canonical_json(statement), keys)


# --- what holds -------------------------------------------------------------------------------


def test_certificate_of_a_finished_job_holds(job: Job, reader: Chain) -> None:
    verdict = verify(job.model, job.certificate, reader)
    assert (verdict.assurance, verdict.state, verdict.complete) == (Assurance.UNAUDITED, State.TRAINED, True)
    assert verdict.orders_checked == verdict.statement.count == 11
    assert [moment.what for moment in verdict.milestones] == [
        *("Requested", "Accepted", "Begun", "Anchored", "Anchored", "Finished"),
    ]
    assert [moment.time for moment in verdict.milestones] == sorted(moment.time for moment in verdict.milestones)
    assert verdict.origins == ()


def test_statement_reads_back_what_it_wrote(job: Job) -> None:
    payload, signer = unseal(job.certificate)
    assert Statement.parse(payload).encode() == payload
    assert signer == job.keys.address


def test_settlement_is_read_from_the_chain_and_not_from_the_file(play: Play, reader: Chain) -> None:
    job = play(b"settled")
    before = verify(job.model, job.certificate, reader)
    Agreements(job.parties.scientist.chain).accept_result(job.id)
    after = verify(job.model, job.certificate, reader)
    assert (before.state, after.state) == (State.TRAINED, State.SETTLED)
    assert (before.history.paid_to_owner, after.history.paid_to_owner) == (0, 7 * FIT)


def test_certificate_of_a_diverged_job_says_at_which_step(play: Play, reader: Chain) -> None:
    job = play(b"diverged", upto=6)
    verdict = verify(job.model, job.certificate, reader)
    assert (verdict.state, verdict.complete, verdict.statement.steps) == (State.DIVERGED, False, 10)


def test_model_trained_further_names_where_it_began(play: Play, job: Job, reader: Chain) -> None:
    root = job.transcript.leaves[-1].model
    parties = job.parties
    model = Registry(parties.scientist.chain).register_model(parties.recipe.graph, root, parties.model)
    recipe = replace(parties.recipe, initial_model=root)
    further = play(b"further", recipe=recipe, model=model)
    verdict = verify(further.model, further.certificate, reader)
    assert [ancestor.id for ancestor in verdict.statement.lineage] == [model, parties.model]
    assert job.id in verdict.origins and further.id not in verdict.origins


def test_too_low_an_assurance_is_refuted(job: Job, reader: Chain) -> None:
    with pytest.raises(Refuted, match="the assurance is unaudited, and at least sampled is required"):
        verify(job.model, job.certificate, reader, require=Assurance.SAMPLED)


def test_assurance_levels_are_ordered_and_named() -> None:
    labels = ["unaudited", "owner-replay", "on-site", "sampled", "open"]
    assert [level.label for level in sorted(Assurance)] == labels
    assert [Assurance.parse(label) for label in labels] == sorted(Assurance)


# --- every field ------------------------------------------------------------------------------


def fields(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of every scalar in a JSON value, and of every empty list and object."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None or not value:
        yield path
        return
    for key, each in items:
        yield from fields(each, (*path, key))


def objects(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of every object in a JSON value."""
    if isinstance(value, dict):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from objects(each, (*path, key))


def altered(value: Any) -> Any:
    """Another value of the same type, as near as can be."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str() if value.startswith("0x") or len(value) == 64:
            return value[:-1] + ("0" if value[-1] != "0" else "1")
        case str():
            return value + "1" if value.isdigit() else value + "x"
        case None:
            return OTHER
        case list():
            return [0]
        case _:
            return {"x": 0}


def with_field(statement: dict[str, Any], path: tuple[Any, ...], change: Callable[[Any], Any]) -> dict[str, Any]:
    changed = copy.deepcopy(statement)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = change(place[path[-1]])
    return changed


def outcome(job: Job, certificate: bytes, chain: Chain) -> type[FitchainError] | Verdict:
    try:
        return verify(job.model, certificate, chain)
    except FitchainError as error:
        return type(error)


OF_ANOTHER_DEPLOYMENT = {("predicate", "agreement", "chain_id")} | {
    ("predicate", "agreement", "contracts", name)
    for name in ("FitCoin", "Registry", "Agreements", "ProofOfTrain", "Audits")
}
"""Fields that say of which deployment a certificate is: with others it is another's, and nothing
can be said of it here."""


def test_any_altered_field_breaks_the_signature(job: Job, reader: Chain) -> None:
    signature = json.loads(job.certificate)
    for path in fields(job.statement):
        payload = canonical_json(with_field(job.statement, path, altered))
        forged = canonical_json(signature | {"payload": base64.b64encode(payload).decode()})
        assert outcome(job, forged, reader) is SignatureMismatch, path


def test_any_field_that_the_owner_alters_and_signs_anew_is_refuted(job: Job, reader: Chain) -> None:
    for path in fields(job.statement):
        found = outcome(job, resealed(with_field(job.statement, path, altered), job.keys), reader)
        expected = NotFound if path in OF_ANOTHER_DEPLOYMENT else Refuted
        assert isinstance(found, type) and issubclass(found, expected), (path, found)


def test_any_field_that_the_owner_leaves_out_or_adds_is_refuted(job: Job, reader: Chain) -> None:
    short = with_field(job.statement, ("predicate", "transcript", "leaves"), lambda leaves: leaves[:1])
    for path in objects(short):
        target: Any = short
        for key in path:
            target = target[key]
        fewer = [{name: each for name, each in target.items() if name != gone} for gone in target]
        for new in [*fewer, target | {"x": 0}]:
            altered = with_field({"all": short}, ("all", *path), lambda _: new)  # noqa: B023
            certificate = resealed(altered["all"], job.keys)
            found = outcome(job, certificate, reader)
            assert isinstance(found, type) and issubclass(found, Refuted), (path, new, found)


def test_leaves_left_out_or_repeated_are_refuted(job: Job, reader: Chain) -> None:
    where = ("predicate", "transcript", "leaves")
    for change in (lambda x: x[:-1], lambda x: x[1:], lambda x: [*x, x[-1]], lambda x: [x[0], x[2], x[1], *x[3:]]):
        assert outcome(job, resealed(with_field(job.statement, where, change), job.keys), reader) is ClaimMismatch


# --- the envelope -----------------------------------------------------------------------------


@given(st.data())
def test_no_single_byte_of_the_envelope_can_be_changed(job: Job, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(job.certificate) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != job.certificate[place]))
    with pytest.raises(Refuted):
        unseal(job.certificate[:place] + bytes((byte,)) + job.certificate[place + 1 :])


def test_signature_by_another_key_is_refuted(job: Job, reader: Chain) -> None:
    scientist = job.parties.scientist.keys
    forged = resealed(job.statement, scientist)
    with pytest.raises(SignatureMismatch, match=f"signed by {scientist.address}, and the agreement's owner is"):
        verify(job.model, forged, reader)
    claiming = json.loads(forged)
    claiming["signatures"][0]["keyid"] = job.keys.address
    with pytest.raises(SignatureMismatch, match="its signature is"):
        verify(job.model, canonical_json(claiming), reader)


def test_twin_of_the_signature_is_refuted(job: Job) -> None:
    envelope = json.loads(job.certificate)
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    order = 2 * HALF_ORDER + 1
    twin = signature[:32] + (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    twin += bytes((55 - signature[64],))
    envelope["signatures"][0]["sig"] = base64.b64encode(twin).decode()
    with pytest.raises(SignatureMismatch, match="upper half"):
        unseal(canonical_json(envelope))


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\x89PNG", b'{"payload":1,"payloadType":"x","signatures":[]}'])
def test_what_is_no_certificate_is_refuted(text: bytes) -> None:
    with pytest.raises(ClaimMismatch, match="the file is no certificate"):
        unseal(text)


# --- the file ---------------------------------------------------------------------------------


def test_model_altered_by_one_byte_is_refuted(job: Job, reader: Chain, tmp_path: Path) -> None:
    data = bytearray(job.model.read_bytes())
    data[-1] ^= 1
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(DigestMismatch, match="has the root"):
        verify(tmp_path / "model", job.certificate, reader)


def test_file_whose_bytes_alone_differ_is_told_from_another_model(job: Job, reader: Chain, tmp_path: Path) -> None:
    data = job.model.read_bytes()
    length = int.from_bytes(data[:8], "little")
    padded = (length + 8).to_bytes(8, "little") + data[8 : 8 + length] + b" " * 8 + data[8 + length :]
    (tmp_path / "model").write_bytes(padded)
    with pytest.raises(DigestMismatch, match="only the file's bytes differ"):
        verify(tmp_path / "model", job.certificate, reader)


def test_another_model_is_refuted(job: Job, reader: Chain, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model", tensors(19))
    with pytest.raises(DigestMismatch, match="has the root"):
        verify(tmp_path / "model", job.certificate, reader)


def test_file_that_is_no_model_is_refuted_and_a_missing_one_is_not(job: Job, reader: Chain, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(DigestMismatch, match="is not the certified one"):
        verify(tmp_path / "text", job.certificate, reader)
    with pytest.raises(NotFound, match="there is no file"):
        verify(tmp_path / "nothing", job.certificate, reader)


# --- the chain --------------------------------------------------------------------------------


def test_certificate_of_an_unknown_deployment_cannot_be_checked(job: Job, reader: Chain) -> None:
    known = reader.deployment
    elsewhere = replace(known, addresses=dict(known.addresses) | {"Agreements": known.addresses["Registry"]})
    with pytest.raises(NotFound, match="of a deployment whose Agreements is"):
        verify(job.model, job.certificate, Chain(reader.node, reader.settings, elsewhere))
    with pytest.raises(NotFound, match="on chain 5"):
        verify(job.model, job.certificate, Chain(reader.node, reader.settings, replace(known, chain_id=5)))


def test_run_that_has_not_ended_cannot_be_checked(job: Job, reader: Chain) -> None:
    parties = job.parties
    id = parties.request(b"unfinished")
    transcript = leaves_of(parties.recipe, *parties.begin(id), parties.recipe.leaf_count)
    early = replace(job, id=id).issue(transcript=transcript)
    with pytest.raises(NotFound, match="no result on chain yet: its state is training"):
        verify(job.model, early, reader)


def test_agreement_that_was_rejected_certifies_nothing(job: Job, reader: Chain) -> None:
    parties = job.parties
    id = parties.request(b"rejected")
    Agreements(parties.owner.chain).reject(id)
    invented = with_field(job.statement, ("predicate", "agreement", "id"), lambda _: str(id))
    with pytest.raises(ClaimMismatch, match="ended as cancelled, without a trained model"):
        verify(job.model, resealed(invented, job.keys), reader)


def test_certificate_of_one_job_does_not_serve_another(job: Job, play: Play, reader: Chain) -> None:
    other = play(b"another")
    borrowed = with_field(job.statement, ("predicate", "agreement", "id"), lambda _: str(other.id))
    with pytest.raises(ClaimMismatch, match="the context"):
        verify(job.model, resealed(borrowed, job.keys), reader)


# --- audits -----------------------------------------------------------------------------------


def ended(reason: str) -> str:
    """What the reason of an assurance ends with, after the block."""
    return re.sub(r"in block \d+", "in block N", reason)


@pytest.mark.parametrize("mode", list(AuditMode))
def test_match_assures_what_was_agreed_to_be_disclosed(
    mode: AuditMode, play: Play, parties: Parties, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    panel = Registry(parties.scientist.chain).create_panel(
        mode.name, [one.address for one in staked_verifiers.verifiers]
    )
    job = play(b"audited %d" % mode.value, audit=replace(TERMS, mode=mode, panel=panel))
    opened = verify(job.model, job.certificate, reader)
    assert (opened.assurance, opened.state) == (Assurance.UNAUDITED, State.AUDITING)
    assert opened.reason == "its audit is under way: awaiting, round 1"
    owner = parties.owner.chain
    staked_verifiers.conclude(owner, job.id, Outcome.MATCH)
    matched = verify(job.model, job.certificate, reader)
    assert matched.reason.endswith("; the model's key is not released yet")
    Audits(owner).release(job.id, SOMETHING)
    verdict = verify(job.model, job.certificate, reader, require=Assurance.parse(mode.word))
    assert (verdict.assurance.label, verdict.state) == (mode.word, State.SETTLED)
    assert ended(verdict.reason) == (
        "its audit concluded match in block N, with at least 2 of 3 drawn verifiers over 4 of 10 segments"
    )
    paid = verdict.history
    assert (paid.paid_to_owner, paid.paid_to_scientist, paid.paid_to_verifiers) == (8 * FIT, 0, 3 * FIT)
    assert "Drawn" in [moment.what for moment in verdict.milestones]


@pytest.mark.parametrize("outcome", [Outcome.MISMATCH, Outcome.WITHHELD])
@pytest.mark.parametrize("terms", [TERMS, DISPUTE], ids=["audit", "dispute"])
def test_verdict_against_the_owner_refutes(
    terms: AuditTerms, outcome: Outcome, play: Play, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    job = play(b"%s %d" % (outcome.name.encode(), terms.verifiers), audit=terms)
    if not terms.verifiers:
        Agreements(job.parties.scientist.chain).dispute(job.id)
    staked_verifiers.conclude(job.parties.owner.chain, job.id, outcome)
    with pytest.raises(ClaimMismatch, match=rf"concluded {outcome.name.capitalize()} in block \d+: "):
        verify(job.model, job.certificate, reader)


def test_key_that_is_not_released_refutes(
    play: Play, staked_verifiers: StakedVerifiers, reader: Chain, pass_time: Callable[[int], None]
) -> None:
    job = play(b"never released", audit=TERMS)
    staked_verifiers.conclude(job.parties.owner.chain, job.id, Outcome.MATCH)
    pass_time(TERMS.window + 1)
    Audits(job.parties.owner.chain).advance(job.id)
    with pytest.raises(ClaimMismatch, match="concluded Withheld"):
        verify(job.model, job.certificate, reader)


def test_audit_without_verdict_assures_nothing_and_says_so(
    play: Play, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    job = play(b"inconclusive", audit=TERMS)
    staked_verifiers.conclude(job.parties.owner.chain, job.id, Outcome.INCONCLUSIVE)
    verdict = verify(job.model, job.certificate, reader)
    assert (verdict.assurance, verdict.state) == (Assurance.UNAUDITED, State.REFUNDED)
    assert ended(verdict.reason) == "its audit came to no verdict in block N: inconclusive"
    with pytest.raises(Refuted, match="the assurance is unaudited") as refusal:
        verify(job.model, job.certificate, reader, require=Assurance.ON_SITE)
    assert "came to no verdict" in refusal.value.hint


def test_dispute_that_the_owner_wins_assures_as_an_audit_does(
    play: Play, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    job = play(b"disputed", audit=DISPUTE)
    assert verify(job.model, job.certificate, reader).reason == "an audit is only for a dispute, and there was none"
    Agreements(job.parties.scientist.chain).dispute(job.id)
    staked_verifiers.gather(job.parties.owner.chain, job.id)
    under_way = verify(job.model, job.certificate, reader)
    assert under_way.reason == "the audit that its scientist asked for is under way: evidence, round 1"
    assert under_way.assurance is Assurance.UNAUDITED


def test_dispute_that_finds_a_match_raises_the_assurance(
    play: Play, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    job = play(b"disputed in vain", audit=DISPUTE, upto=6)
    Agreements(job.parties.scientist.chain).dispute(job.id)
    staked_verifiers.conclude(job.parties.owner.chain, job.id, Outcome.MATCH)
    verdict = verify(job.model, job.certificate, reader, require=Assurance.OPEN)
    assert (verdict.assurance, verdict.state, verdict.complete) == (Assurance.OPEN, State.SETTLED, False)
    assert "over 5 of 6 segments" in verdict.reason  # one of them led from the last leaf to no other


def test_failed_audits_stand_beside_every_other_job(
    play: Play, job: Job, staked_verifiers: StakedVerifiers, reader: Chain
) -> None:
    failed = {}
    for outcome in (Outcome.MISMATCH, Outcome.WITHHELD, Outcome.INCONCLUSIVE):
        other = play(b"beside %d" % outcome, audit=TERMS)
        staked_verifiers.conclude(job.parties.owner.chain, other.id, outcome)
        failed[other.id] = outcome
    found = {other.id: other for other in verify(job.model, job.certificate, reader).history.related}
    assert {id: found[id].verdict for id in failed} == failed
    states = [found[id].outcome for id in failed]
    assert states == [State.FORFEITED, State.FORFEITED, State.REFUNDED]


# --- an owner that lies on chain as well ------------------------------------------------------


def bent(transcript: Transcript, index: int, **changes: Any) -> Transcript:
    """The transcript with one leaf changed and every later one chained to it anew."""
    leaves: list[Leaf] = []
    for leaf in transcript.leaves:
        new = replace(leaf, **(changes if leaf.index == index else {}))
        previous = leaves[-1].digest(transcript.ctx, transcript.seed) if leaves else ZERO
        leaves.append(replace(new, previous=previous))
    return replace(transcript, leaves=tuple(leaves))


def as_told(job: Job) -> bytes:
    """A certificate of exactly what the owner told the chain, though its own check would refuse to
    sign it."""
    honest = leaves_of(job.recipe, job.transcript.ctx, job.transcript.seed, job.recipe.leaf_count)
    statement = json.loads(unseal(job.issue(transcript=honest))[0])
    leaves = [leaf.to_json() for leaf in job.transcript.leaves]
    statement["predicate"]["transcript"] |= {"root": str(job.transcript.root), "leaves": leaves}
    return resealed(statement, job.keys)


def test_segment_over_other_records_is_refuted(play: Play, reader: Chain) -> None:
    def easier(transcript: Transcript) -> Transcript:
        return bent(transcript, 3, records=records_digest(np.zeros(16, np.uint64)))

    job = play(b"easier records", bend=easier)
    with pytest.raises(ClaimMismatch, match="the records of leaf 3"):
        verify(job.model, as_told(job), reader)


def test_training_that_began_elsewhere_is_refuted(play: Play, reader: Chain) -> None:
    def elsewhere(transcript: Transcript) -> Transcript:
        return bent(transcript, 0, model=model_root(tensors(7)))

    job = play(b"another beginning", bend=elsewhere)
    with pytest.raises(ClaimMismatch, match=r"the initial model: .* and its first leaf has"):
        verify(job.model, as_told(job), reader)
    with pytest.raises(ClaimMismatch, match="the initial model"):
        job.issue()


def test_optimizer_that_was_not_fresh_is_refuted(play: Play, reader: Chain) -> None:
    def warm(transcript: Transcript) -> Transcript:
        return bent(transcript, 0, optimizer=sha256(b"momentum"))

    job = play(b"warm optimizer", bend=warm)
    with pytest.raises(ClaimMismatch, match="the first leaf's optimizer"):
        verify(job.model, as_told(job), reader)


# --- long transcripts, and issuing ------------------------------------------------------------


@pytest.mark.parametrize("upto", [None, 6, 8, 1])
def test_outline_of_a_long_transcript_holds_and_any_altered_node_is_refuted(
    play: Play, reader: Chain, upto: int | None
) -> None:
    job = play(b"outline %d" % (upto or 0), upto=upto)
    certificate = job.issue(most_leaves=0)
    assert verify(job.model, certificate, reader).orders_checked == 0
    statement = dict(json.loads(unseal(certificate)[0]))
    outline = {("predicate", "transcript", *path) for path in fields(statement["predicate"]["transcript"])}
    for path in outline:
        found = outcome(job, resealed(with_field(statement, path, altered), job.keys), reader)
        assert isinstance(found, type) and issubclass(found, Refuted), (path, found)


def test_order_is_checked_as_far_as_it_is_cheap(job: Job) -> None:
    statement = Statement.parse(unseal(job.certificate)[0])
    assert check_orders(statement, most_draws=50) == 4  # one epoch: 6 batches, 3 segments, leaves 0 to 3
    assert check_orders(statement) == 11


def test_card_has_the_cid_that_stores_give_it(job: Job) -> None:
    assert card_cid(Statement.parse(unseal(job.certificate)[0])) == stored_cid(job.parties.card)


def test_only_the_owner_issues_and_only_the_truth(job: Job, tmp_path: Path) -> None:
    scientist = job.parties.scientist
    with pytest.raises(AccessRefused, match="is not the owner"):
        issue(scientist.chain, scientist.keys, job.id, job.recipe, job.parties.card, job.transcript, job.model)
    write_safetensors(tmp_path / "model", tensors(3))
    with pytest.raises(DigestMismatch, match="has the root"):
        job.issue(model=tmp_path / "model")


# --- golden bytes -----------------------------------------------------------------------------


def test_golden_certificate_holds_as_far_as_it_needs_no_chain() -> None:
    folder = Path(__file__).parent / "golden" / "v1" / "certificate"
    payload, signer = unseal((folder / "certificate.json").read_bytes())
    statement = Statement.parse(payload)
    assert signer == statement.owner == "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"
    check_leaves(statement)
    check_file(statement, folder / "model.safetensors")
    assert check_orders(statement) == statement.count == 8
