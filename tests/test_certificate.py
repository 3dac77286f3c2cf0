"""Laws, examples and attacks: `fitchain.pod.proof.certificate`, against a real chain, with a
transcript that was not trained but fits. What audits come to stands in test_certificate_audits.py."""

from __future__ import annotations

import base64
import copy
import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from fitchain.cli.views.figures import figures_of
from fitchain.cli.views.model_card import CardTerms, model_card
from fitchain.cli.views.output import KeyValues
from fitchain.cli.views.verdict import describe_choice, describe_held_out, describe_verdict, values
from fitchain.pod.ports.agreement import Agreements, State
from fitchain.pod.ports.agreement.descent import trained_parents
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.keys import Keys
from fitchain.pod.ports.registry import Registry
from fitchain.pod.proof.certificate import Assurance, Statement, Verdict, issue, verify, verifying
from fitchain.pod.proof.certificate.claims import (
    _check_delivered,
    card_cid,
    check_early_end,
    check_file,
    check_leaves,
    check_orders,
    check_recipe,
)
from fitchain.pod.proof.certificate.early_end import EarlyEnd
from fitchain.pod.proof.certificate.envelope import HALF_ORDER, seal, signed_digest, unseal
from fitchain.pod.proof.certificate.lineage import ancestors_of, check_lineage
from fitchain.pod.proof.certificate.statement import MOST_ANCESTORS, MOST_LEAVES, NAMED_CONTRACTS, Outline
from fitchain.pod.proof.certificate.timing import timing_of
from fitchain.pod.values.digest import ZERO, canonical_json, sha256
from fitchain.pod.values.errors import (
    AccessRefused,
    AssuranceTooLow,
    ClaimMismatch,
    DigestMismatch,
    FitchainError,
    InputRefused,
    NotFound,
    OtherVersion,
    Refuted,
    SignatureMismatch,
)
from fitchain.pod.values.ids import ModelId
from fitchain.pod.values.leaf import StateRoots, records_digest
from fitchain.pod.values.recipe import Choice, HeldOutFrom
from fitchain.pod.values.state import model_root, optimizer_root, write_safetensors
from tests.certified_jobs import (
    FIT,
    OTHER,
    Job,
    MadeUp,
    Parties,
    altered,
    bent,
    claim_of,
    fields,
    leaves_of,
    long_job,
    played,
    registered,
    stored_cid,
    tensors,
    with_field,
    with_first,
)
from tests.chain_fixtures import Account

Plays = Callable[..., Job]


@pytest.fixture(scope="module")
def parties(open_account: Callable[..., Account], tmp_path_factory: pytest.TempPathFactory) -> Parties:
    return registered(open_account(), open_account(), tmp_path_factory.mktemp("data") / "table.npz")


@pytest.fixture(scope="module")
def play(parties: Parties, tmp_path_factory: pytest.TempPathFactory) -> Plays:
    """Plays a job up to its end: `play(salt, bend=…)`, `bend` making the owner dishonest about its
    leaves."""

    def play_it(salt: bytes, **how: Any) -> Job:
        return played(parties, tmp_path_factory.mktemp("delivery") / "model.safetensors", salt, **how)

    return play_it


@pytest.fixture(scope="module")
def job(play: Plays) -> Job:
    return play(b"the job")


def resealed(statement: dict[str, Any], keys: Keys) -> bytes:
    return seal(canonical_json(statement), keys)


# --- what holds -------------------------------------------------------------------------------


def test_certificate_of_a_finished_job_holds(job: Job, reader: Chain) -> None:
    verdict = verify(job.model, job.certificate, reader)
    assert (verdict.assurance, verdict.state, verdict.complete) == (Assurance.UNAUDITED, State.TRAINED, True)
    assert verdict.orders_checked == verdict.statement.count == 11
    assert [milestone.what for milestone in verdict.milestones] == [
        *("Requested", "Accepted", "Begun", "Anchored", "Anchored", "Finished"),
    ]
    assert [milestone.time for milestone in verdict.milestones] == sorted(each.time for each in verdict.milestones)
    assert verdict.origins == ()


def test_statement_reads_back_what_it_wrote(job: Job) -> None:
    payload, signer = unseal(job.certificate)
    assert Statement.parse(payload).encode() == payload
    assert signer == job.keys.address


def test_settlement_is_read_from_the_chain_and_not_from_the_file(play: Plays, reader: Chain) -> None:
    job = play(b"settled")
    before = verify(job.model, job.certificate, reader)
    Agreements(job.parties.scientist.chain).accept_result(job.id)
    after = verify(job.model, job.certificate, reader)
    assert (before.state, after.state) == (State.TRAINED, State.SETTLED)
    assert (before.history.paid_to_owner, after.history.paid_to_owner) == (0, 7 * FIT)


def test_certificate_of_a_diverged_job_says_at_which_step_and_why(play: Plays, job: Job, reader: Chain) -> None:
    diverged = play(b"diverged", upto=6)
    verdict = verify(diverged.model, diverged.certificate, reader)
    statement = verdict.statement
    assert (verdict.state, verdict.complete, statement.steps) == (State.DIVERGED, False, 10)
    assert statement.ended == EarlyEnd(11, "the loss is nan")
    assert Statement.parse(statement.encode()) == statement
    assert "after step 11: the loss is nan (as the owner states)" in str(
        describe_verdict(verdict, diverged.model).views
    )
    for ended in (None, EarlyEnd(9, "x"), EarlyEnd(13, "x"), EarlyEnd(2**31, "x")):
        with pytest.raises(ClaimMismatch, match="early end"):
            check_early_end(replace(statement, ended=ended))
    whole = Statement.parse(unseal(job.certificate)[0])
    with pytest.raises(ClaimMismatch, match="tells of an early end after step 3: x"):
        check_early_end(replace(whole, ended=EarlyEnd(3, "x")))


@pytest.mark.parametrize("value", [{"step": 3}, {"step": -1, "reason": "x"}, {"step": 3, "reason": "a\nb"}, [], "x"])
def test_early_end_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(InputRefused):
        EarlyEnd.from_json(value)


def test_reason_of_an_early_end_is_one_bounded_line() -> None:
    ended = EarlyEnd.of(3, "the operator\n fails\x1b[2J " + "x" * 400)
    assert EarlyEnd.from_json(ended.json()) == ended and len(ended.reason) == 300
    assert EarlyEnd.of(3, " \n").reason == "no reason was told"


def test_model_trained_further_names_where_it_began(play: Plays, job: Job, reader: Chain) -> None:
    root = job.made.states[job.delivered].model
    parties = job.parties
    calls = Registry(parties.scientist.chain)
    other = calls.register_model(sha256(b"another graph"), root, derivation=sha256(b"averaged"))
    both = {"parents": [parties.model, other], "derivation": sha256(b"merged")}
    model = calls.register_model(parties.recipe.graph, root, **both)  # type: ignore[arg-type]
    anew = play(b"drawn anew", recipe=replace(parties.recipe, initial_model=root), model=model)
    with pytest.raises(ClaimMismatch, match="held-out rows of no job, and by its model's descent it keeps those of"):
        verify(anew.model, anew.certificate, reader)
    before = trained_parents(reader, parties.owner.address, parties.dataset, model, reader.head() + 1)[0]
    kept = HeldOutFrom(before.agreement, before.seed)
    keeping = replace(parties.recipe, initial_model=root, held_out_from=kept)
    further = play(b"further", recipe=keeping, model=model)
    verdict = verify(further.model, further.certificate, reader)
    assert f"those of the job {before.agreement.short}" in (describe_held_out(verdict) or "")
    first, *behind = verdict.statement.lineage
    assert [each.id for each in (first, *behind)] == [model, parties.model, other] and verdict.lineage_whole
    assert (first.parents, first.derivation) == ((parties.model, other), sha256(b"merged"))
    assert job.id in verdict.origins and further.id not in verdict.origins
    assert "said to descend from 2 registered models" in str(describe_verdict(verdict, further.model).views)


def test_a_lineage_is_breadth_first_each_model_once_and_bounded(parties: Parties, job: Job, reader: Chain) -> None:
    calls = Registry(parties.scientist.chain)

    def child(name: bytes, *parents: ModelId) -> ModelId:
        return calls.register_model(sha256(name), job.recipe.initial_model, parents=parents)

    root, left = child(b"root"), child(b"left")
    middle = child(b"middle", left, root)
    both = child(b"both", middle, left)
    lineage = ancestors_of(Registry(reader), both)
    assert [each.id for each in lineage] == [both, middle, left, root]
    assert [each.id for each in ancestors_of(Registry(reader), both, most=2)] == [both, middle]
    statement = replace(Statement.parse(unseal(job.certificate)[0]), lineage=lineage)
    models = list(Registry(reader).models_of([each.id for each in lineage]))
    check_lineage(statement, models, both)
    for wrong in ((1, 0, 2, 3), (0, 2, 1, 3), (0, 1, 2)):
        altered = replace(statement, lineage=tuple(lineage[place] for place in wrong))
        with pytest.raises(ClaimMismatch, match=r"the lineage|the line.s first model"):
            check_lineage(altered, [models[place] for place in wrong], both)
    assert MOST_ANCESTORS == 128


def test_another_leaf_than_the_last_may_be_delivered(play: Plays, reader: Chain) -> None:
    job = play(b"not the last", delivered=7)
    verdict = verify(job.model, job.certificate, reader)
    statement = verdict.statement
    assert (statement.delivered, sorted(statement.states)) == (7, [0, 7, 10])
    assert statement.final_model == model_root(tensors(14)) != statement.last_model == model_root(tensors(20))
    shown = str(describe_verdict(verdict, job.model).views)
    assert "leaf 7 of 10 is delivered" in shown and "the best accuracy of 10 results; nobody else looked" in shown
    assert values(verdict, job.model)["results_voted_on"] == 0
    assert statement.evaluations is not None and statement.held_out == statement.evaluations[6]


def test_results_of_a_run_that_diverged_are_those_of_its_leaves(play: Plays, parties: Parties, reader: Chain) -> None:
    choosing = replace(parties.recipe, evaluate="segment", best="accuracy")
    job = play(b"diverged and evaluated", recipe=choosing, upto=5)
    verdict = verify(job.model, job.certificate, reader)
    assert (verdict.statement.delivered, len(verdict.statement.evaluations or ())) == (4, 4)
    assert describe_choice(verdict) is None


def test_altered_or_missing_results_of_other_leaves_are_refuted(play: Plays, reader: Chain) -> None:
    job, where = play(b"results of all leaves", delivered=7), ("predicate", "evaluations")
    for change, message in (
        (lambda told: None, "the certificate shows none, and recipe and policy let out one"),
        (lambda told: told[:-1], "the number of leaves with a result: the certificate says 9"),
        (lambda told: [*told[:2], told[3], *told[3:]], "of leaf 3: the certificate's digests to"),
        (lambda told: [*told[:2], told[2] | {"result": told[6]["result"]}, *told[3:]], "of leaf 3: the certificate's"),
    ):
        certificate = resealed(with_field(job.statement, where, change), job.keys)
        with pytest.raises(ClaimMismatch, match=message):
            verify(job.model, certificate, reader)


def test_another_leaf_than_the_best_or_than_the_last_without_a_rule_is_refuted(play: Plays) -> None:
    statement = Statement.parse(unseal(play(b"another than the best", delivered=7).certificate)[0])
    _check_delivered(statement)
    with pytest.raises(ClaimMismatch, match="says 10, and of all results the best accuracy has 7"):
        _check_delivered(replace(statement, delivered=10))
    ruleless = replace(statement, recipe=replace(statement.recipe, best=None))
    with pytest.raises(ClaimMismatch, match="says 7, and the recipe delivers the last, 10"):
        _check_delivered(ruleless)
    _check_delivered(replace(statement, delivered=5, steps=10, count=6))  # it ended early


def test_too_low_an_assurance_is_not_refuted_and_names_the_way_on(job: Job, reader: Chain) -> None:
    with pytest.raises(
        AssuranceTooLow, match="the assurance is unaudited, and at least sampled is required"
    ) as refusal:
        verify(job.model, job.certificate, reader, require=Assurance.SAMPLED)
    assert refusal.value.exit_code == 3 and "fitchain proof reaudit" in refusal.value.hint


def test_assurance_levels_are_ordered_and_named() -> None:
    labels = ["unaudited", "vouched", "on-site", "sampled", "open"]
    assert [level.label for level in sorted(Assurance)] == labels
    assert [Assurance.parse(label) for label in labels] == sorted(Assurance)


# --- every field ------------------------------------------------------------------------------


def objects(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of every object in a JSON value."""
    if isinstance(value, dict):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from objects(each, (*path, key))


def found(job: Job, certificate: bytes, chain: Chain) -> type[FitchainError] | Verdict:
    try:
        return verify(job.model, certificate, chain)
    except FitchainError as error:
        return type(error)


OF_ANOTHER_DEPLOYMENT = {("predicate", "agreement", "chain_id")} | {
    ("predicate", "agreement", "contracts", name) for name in NAMED_CONTRACTS
}
"""Fields that say of which deployment a certificate is: with others it is another's, and nothing
can be said of it here."""
NAMING_A_VERSION = {
    ("_type",),
    ("predicateType",),
    ("predicate", "version"),
    ("predicate", "recipe", "version"),
    ("predicate", "dataset", "card", "version"),
}
"""Fields that say how the others are read, whoever signed them."""


def refusal_of(path: tuple[Any, ...]) -> type[FitchainError]:
    """What comes of a certificate that the owner alters there and signs anew."""
    # That a chain has no such agreement may be the node's fault: it lags, or is on another chain.
    if path in OF_ANOTHER_DEPLOYMENT or path == ("predicate", "agreement", "id"):
        return NotFound
    return InputRefused if path in NAMING_A_VERSION else Refuted


def test_any_altered_field_breaks_the_signature(job: Job, reader: Chain) -> None:
    signature = json.loads(job.certificate)
    for path in fields(job.statement):
        payload = canonical_json(with_field(job.statement, path, altered))
        forged = canonical_json(signature | {"payload": base64.b64encode(payload).decode()})
        result = found(job, forged, reader)
        assert isinstance(result, type)
        assert issubclass(result, InputRefused if path in NAMING_A_VERSION else SignatureMismatch), path


def test_any_field_that_the_owner_alters_and_signs_anew_is_refuted(job: Job, reader: Chain) -> None:
    for path in fields(job.statement):
        result = found(job, resealed(with_field(job.statement, path, altered), job.keys), reader)
        assert isinstance(result, type) and issubclass(result, refusal_of(path)), (path, result)


def test_amounts_of_an_audit_are_told_in_fit(job: Job, reader: Chain) -> None:
    later = with_field(job.statement, ("predicate", "audit", "counter_bond"), lambda _: str(15 * 10**17))
    with pytest.raises(ClaimMismatch, match=r"counter_bond: the certificate says 1\.5 FIT, and the chain says 0 FIT"):
        verify(job.model, resealed(later, job.keys), reader)


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
            result = found(job, certificate, reader)
            assert isinstance(result, type) and issubclass(result, Refuted), (path, new, result)


def test_held_out_result_stands_in_the_certificate_and_is_told_as_the_owners(job: Job, reader: Chain) -> None:
    verdict = verify(job.model, job.certificate, reader)
    claim = verdict.statement.held_out
    assert claim is not None and claim.digest == job.transcript.leaves[-1].held_out
    told = describe_held_out(verdict) or ""
    assert told.startswith(
        "as the owner states, on 10 held-out records that nobody trained on: accuracy 90.0 % (59.6 to"
    )
    assert values(verdict, job.model)["held_out"] == claim.result.json()


def test_every_figure_of_a_certificate_says_of_how_many_records_it_is(job: Job, reader: Chain) -> None:
    verdict = verify(job.model, job.certificate, reader)
    statement, claim = verdict.statement, verdict.statement.held_out
    assert claim is not None
    ignoring = replace(statement.recipe, loss=Choice("cross_entropy", {"ignore_index": 5}), transform={})
    more = replace(claim, result=replace(claim.result, records=12))
    some = replace(verdict, statement=replace(statement, recipe=ignoring, held_out=more))
    told = describe_held_out(some) or ""
    assert "on 10 of 12 held-out records that nobody trained on (class 5 is left out): accuracy 90.0 % (59.6 to" in told
    lines = describe_verdict(some, job.model).views[1]
    assert isinstance(lines, KeyValues) and "records (class 5 is left out): " in str(dict(lines.pairs)["on"])
    counted = values(some, job.model)["held_out_counted"]
    assert (counted["counted"], counted["of"], counted["unit"], counted["left_out"]) == (10, 12, "record", 5)
    figures, on = figures_of(some), "10 of 12 held-out records, class 5 is left out"
    assert {figure.counted for figure in figures} == {on} and figures[0].interval is not None
    page = model_card(some, CardTerms("A model", "", {}, sha256(b"certificate")))
    assert page.count(on) == 2 * len(figures)  # in front and on the page
    kept = replace(some, statement=replace(some.statement, held_out=None))
    assert "(class 5 is left out); what the model does on them stays" in (describe_held_out(kept) or "")


def test_held_out_result_of_one_account_does_not_sound_independent(job: Job, reader: Chain) -> None:
    verdict = verify(job.model, job.certificate, reader)
    assert "one account" not in (describe_held_out(verdict) or "")
    own = replace(verdict.statement, scientist=verdict.statement.owner)
    told = describe_held_out(replace(verdict, statement=own)) or ""
    assert told.endswith("one account, which chose records and recipe and may have trained until the result pleased it")


def test_another_held_out_result_or_none_is_refuted(job: Job, reader: Chain) -> None:
    where = ("predicate", "held_out")
    perfect = {"correct": 10, "confusion": [6, 0, 0, 4]}
    for change, message in (
        (lambda claim: None, "of results on held-out records of the delivered leaf the certificate shows none, and"),
        (lambda claim: claim | {"salt": OTHER}, "the certificate's digests to"),
        (
            lambda claim: claim | {"result": claim["result"] | {"outcome": claim["result"]["outcome"] | perfect}},
            "the certificate's digests to",
        ),
        (lambda claim: claim | {"result": claim["result"] | {"outcome": None}}, "the certificate's digests to"),
    ):
        certificate = resealed(with_field(job.statement, where, change), job.keys)
        with pytest.raises(ClaimMismatch, match=message):
            verify(job.model, certificate, reader)


def test_held_out_result_where_the_recipe_asks_for_none_is_refuted(
    play: Plays, parties: Parties, reader: Chain
) -> None:
    none = replace(parties.recipe, held_out=None)
    job = play(b"none held out", recipe=none)
    assert job.statement["predicate"]["held_out"] is None and describe_held_out(found_verdict(job, reader)) is None
    added = claim_of(parties.recipe, parties.recipe.leaf_count - 1)
    assert added is not None
    certificate = resealed(with_field(job.statement, ("predicate", "held_out"), lambda _: added.json()), job.keys)
    with pytest.raises(
        ClaimMismatch, match="of results on held-out records of the delivered leaf the certificate shows one, and"
    ):
        verify(job.model, certificate, reader)
    bent_to = play(b"none and one", recipe=none, bend=lambda made: bent(made, 10, held_out=added.digest))
    with pytest.raises(ClaimMismatch, match="held-out records leaf 10 names one, and the recipe asks for none"):
        verify(bent_to.model, as_told(bent_to), reader)


def test_leaf_without_the_result_that_the_recipe_asks_for_is_refuted(play: Plays, reader: Chain) -> None:
    job = play(b"result missing", bend=lambda made: bent(made, 10, held_out=ZERO))
    with pytest.raises(ClaimMismatch, match="held-out records leaf 10 names none, and the recipe asks for one"):
        verify(job.model, as_told(job), reader)


def test_held_out_result_stays_with_an_owner_whose_metrics_stay(job: Job, reader: Chain) -> None:
    statement = Statement.parse(unseal(job.certificate)[0])
    kept = replace(statement.card, policy=replace(statement.card.policy, metrics_leave=False))
    with pytest.raises(ClaimMismatch, match="the certificate shows one, and recipe and policy let out none"):
        check_leaves(replace(statement, card=kept))
    without = replace(statement, card=kept, held_out=None)
    check_leaves(without)
    told = describe_held_out(replace(found_verdict(job, reader), statement=without))
    assert told == "10 records; what the model does on them stays with the owner, by the dataset's policy"


def found_verdict(job: Job, reader: Chain) -> Verdict:
    return verify(job.model, job.certificate, reader)


def test_leaves_left_out_or_repeated_are_refuted(job: Job, reader: Chain) -> None:
    where = ("predicate", "transcript", "leaves")
    for change in (lambda x: x[:-1], lambda x: x[1:], lambda x: [*x, x[-1]], lambda x: [x[0], x[2], x[1], *x[3:]]):
        assert found(job, resealed(with_field(job.statement, where, change), job.keys), reader) is ClaimMismatch


# --- the envelope -----------------------------------------------------------------------------


@given(st.data())
def test_no_single_byte_of_the_envelope_can_be_changed(job: Job, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(job.certificate) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != job.certificate[place]))
    with pytest.raises((Refuted, InputRefused)):
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


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "empty"),
        (b"{}", "JSON"),
        (b"[]", "something else"),
        (b"\x89PNG", "something else"),
        (b"\n<!DOCTYPE html><html>404</html>", "a web page"),
        (b"[" * 100_000, "something else"),
        (b'{"payload":1,"payloadType":"x","signatures":[]}', "a certificate"),
        (b'{"payload":"e30","payloadType":"x', "cut off"),
        (BOM_UTF8 + b'{"payload":1,"payloadType":"x","signatures":[]}', "text behind a mark of byte order"),
        ('{"payload":1,"payloadType":"x","signatures":[]}'.encode("utf-16"), "UTF-16 text"),
    ],
)
def test_what_is_no_certificate_refutes_nothing(text: bytes, what: str) -> None:
    with pytest.raises(
        InputRefused, match=f"the file is no certificate, which is JSON with .*: it is {what}; "
    ) as error:
        unseal(text)
    assert error.value.exit_code == 3


def test_a_certificate_that_is_cut_off_refutes_nothing(job: Job) -> None:
    with pytest.raises(InputRefused, match="it is cut off"):
        unseal(job.certificate[: len(job.certificate) // 2])


def test_a_payload_of_another_kind_refutes_nothing(job: Job) -> None:
    kind, payload = "application/vnd.other+json", b"{}"
    signature = base64.b64encode(job.keys.sign_digest(signed_digest(kind, payload))).decode()
    envelope = {"payload": base64.b64encode(payload).decode(), "payloadType": kind}
    with pytest.raises(InputRefused, match=r"is of type .application/vnd\.other"):
        unseal(canonical_json(envelope | {"signatures": [{"keyid": job.keys.address, "sig": signature}]}))
    with pytest.raises(InputRefused, match=r"is of type .application/vnd\.other"):
        unseal(canonical_json(envelope | {"signatures": [{"keyid": job.parties.scientist.address, "sig": signature}]}))


@pytest.mark.parametrize("path", sorted(NAMING_A_VERSION))
def test_a_certificate_of_another_version_refutes_nothing(job: Job, reader: Chain, path: tuple[str, ...]) -> None:
    later = with_field(job.statement, path, lambda value: f"{value}0")
    with pytest.raises(OtherVersion, match=r"this release of Fitchain reads v") as error:
        verify(job.model, resealed(later, job.keys), reader)
    assert error.value.hint == "it is of a later version: use a newer release of Fitchain"
    unsigned = json.loads(resealed(later, job.keys))
    unsigned["signatures"][0]["keyid"] = job.parties.scientist.address
    with pytest.raises(InputRefused):
        verify(job.model, canonical_json(unsigned), reader)


def test_a_job_that_the_chain_does_not_have_refutes_nothing(job: Job, reader: Chain) -> None:
    """The node may lag behind, or be a devnet that was begun anew with the same addresses."""
    lagging = copy.copy(reader)
    lagging._head = Agreements(reader).requested_block(job.id) - 1
    with pytest.raises(NotFound, match=rf"no agreement {job.id} up to block \d+, which is of 2\d\d\d-") as error:
        verify(job.model, job.certificate, lagging)
    assert error.value.exit_code == 3 and "lags behind" in error.value.hint


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


def test_a_model_that_another_program_wrote_anew_is_told_from_another_model(
    job: Job, reader: Chain, tmp_path: Path
) -> None:
    """Whatever drops the metadata drops the names of the buffers with it."""
    again = load_file(job.model)
    save_file(again, tmp_path / "again")
    with pytest.raises(DigestMismatch, match="are the certified ones and only the file's bytes differ"):
        verify(tmp_path / "again", job.certificate, reader)
    save_file(again | {"layer.weight": again["layer.weight"].astype(np.float64)}, tmp_path / "cast")
    with pytest.raises(DigestMismatch, match=r"of its 2 tensors \(F64, I64\) at least one has another name, type"):
        verify(tmp_path / "cast", job.certificate, reader)


def test_another_model_is_refuted(job: Job, reader: Chain, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model", tensors(19))
    with pytest.raises(DigestMismatch, match="has the root"):
        verify(tmp_path / "model", job.certificate, reader)


def test_file_that_is_no_model_refutes_nothing(job: Job, reader: Chain, tmp_path: Path) -> None:
    data = job.model.read_bytes()
    for name, content, what in (
        ("empty", b"", "empty"),
        ("text", b"no tensors", "something else"),
        ("page", b"<html>not found</html>", "a web page"),
        ("cut", data[:-1], "cut off or malformed"),
        ("certificate", job.certificate, "a certificate"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputRefused, match=f"it is {what}; .*; expected is a safetensors file of SHA-256") as error:
            verify(tmp_path / name, job.certificate, reader)
        assert error.value.exit_code == 3
    with pytest.raises(InputRefused, match="it is a model; ") as error:
        verify(tmp_path / "certificate", data, reader)
    assert error.value.hint == "name the model first, its certificate behind it"
    with pytest.raises(NotFound, match="there is no file"):
        verify(tmp_path / "nothing", job.certificate, reader)
    with pytest.raises(NotFound, match="is a folder and no model"):
        verify(tmp_path, job.certificate, reader)


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
    made = leaves_of(parties.recipe, *parties.begin(id), parties.recipe.leaf_count)
    early = replace(job, id=id).issue(transcript=made.transcript, states=made.states)
    with pytest.raises(NotFound, match="no result on chain yet: its state is training"):
        verify(job.model, early, reader)


def test_agreement_that_was_rejected_certifies_nothing(job: Job, reader: Chain) -> None:
    parties = job.parties
    id = parties.request(b"rejected")
    Agreements(parties.owner.chain).reject(id)
    invented = with_field(job.statement, ("predicate", "agreement", "id"), lambda _: str(id))
    with pytest.raises(ClaimMismatch, match="ended as cancelled, without a trained model"):
        verify(job.model, resealed(invented, job.keys), reader)


def test_certificate_of_one_job_does_not_serve_another(job: Job, play: Plays, reader: Chain) -> None:
    other = play(b"another")
    borrowed = with_field(job.statement, ("predicate", "agreement", "id"), lambda _: str(other.id))
    with pytest.raises(ClaimMismatch, match="the context"):
        verify(job.model, resealed(borrowed, job.keys), reader)


def test_environment_is_the_one_that_the_terms_name(job: Job, reader: Chain) -> None:
    checked = verify(job.model, job.certificate, reader)
    terms = replace(checked.history.agreement.terms, environment=sha256(b"another class"))
    with pytest.raises(ClaimMismatch, match=f"the environment: the agreement says {terms.environment}"):
        check_recipe(checked.statement, terms)


# --- how long it took -----------------------------------------------------------------------


def test_how_long_it_took_stands_beside_what_the_steps_need_at_least(job: Job, reader: Chain) -> None:
    timing = verify(job.model, job.certificate, reader).timing
    assert (timing.anchored, timing.in_one_block, timing.anchored_in_one_block) == (2, False, False)
    assert timing.least_s == pytest.approx(20 * 20e-6) and not timing.too_short
    assert timing.begun.block < timing.anchors[0].block < timing.ended.block
    assert timing.settling_s is None


def test_steps_need_longer_where_the_terms_state_more_kernels(job: Job, reader: Chain) -> None:
    checked = verify(job.model, job.certificate, reader)
    agreement = checked.history.agreement
    terms = replace(agreement.terms, step_calls=1_000_000)
    history = replace(checked.history, agreement=replace(agreement, terms=terms))
    timing = timing_of(history, checked.milestones, 24)
    assert timing.least_s == pytest.approx(20 * 0.5) and timing.too_short


# --- an owner that lies on chain as well ------------------------------------------------------


def as_told(job: Job) -> bytes:
    """A certificate of exactly what the owner told the chain, though its own check would refuse to
    sign it."""
    transcript = job.transcript
    honest = leaves_of(job.recipe, transcript.ctx, transcript.seed, job.recipe.leaf_count)
    statement = json.loads(unseal(job.issue(transcript=honest.transcript, states=honest.states))[0])
    shown = statement["predicate"]["transcript"]
    leaves = [leaf.to_json() for leaf in transcript.leaves]
    states = [{"index": state["index"]} | job.made.states[state["index"]].to_json() for state in shown["states"]]
    statement["predicate"]["transcript"] |= {"root": str(transcript.root), "leaves": leaves, "states": states}
    return resealed(statement, job.keys)


def test_segment_over_other_records_is_refuted(play: Plays, reader: Chain) -> None:
    def easier(made: MadeUp) -> MadeUp:
        return bent(made, 3, records=records_digest(np.zeros(16, np.uint64)))

    job = play(b"easier records", bend=easier)
    with pytest.raises(ClaimMismatch, match="the records of leaf 3"):
        verify(job.model, as_told(job), reader)


def test_training_that_began_elsewhere_is_refuted(play: Plays, reader: Chain) -> None:
    job = play(b"another beginning", bend=with_first(StateRoots(model_root(tensors(7)), optimizer_root({}))))
    with pytest.raises(ClaimMismatch, match=r"the initial model: .* and its first leaf has"):
        verify(job.model, as_told(job), reader)
    with pytest.raises(ClaimMismatch, match="the initial model"):
        job.issue()


def test_optimizer_that_was_not_fresh_is_refuted(play: Plays, job: Job, reader: Chain) -> None:
    warm = StateRoots(job.recipe.initial_model, model_root(tensors(3)))
    job = play(b"warm optimizer", bend=with_first(warm))
    with pytest.raises(ClaimMismatch, match="the first leaf's optimizer"):
        verify(job.model, as_told(job), reader)


def test_leaf_0_that_hides_its_state_behind_a_salt_is_refuted(play: Plays, reader: Chain) -> None:
    job = play(b"salted first leaf", bend=lambda made: bent(made, 0, state=sha256(b"salted")))
    with pytest.raises(ClaimMismatch, match="the state of leaf 0"):
        verify(job.model, as_told(job), reader)


# --- long transcripts, and issuing ------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"delivered": 6}, {"upto": 6}, {"upto": 8}, {"upto": 2}], ids=str)
def test_outline_of_a_transcript_holds_and_any_altered_node_is_refuted(play: Plays, how: dict[str, int]) -> None:
    job = play(b"outline %s" % str(how).encode(), **how)
    statement = dict(json.loads(unseal(job.issue(most_leaves=0))[0]))
    whole = Statement.from_json(statement)
    check_leaves(whole, most_leaves=0)
    assert isinstance(whole.leaves, Outline) and check_orders(whole) == len(whole.leaves.opened)
    for path in fields(statement["predicate"]["transcript"]):
        try:
            altered_one = Statement.from_json(with_field(statement, ("predicate", "transcript", *path), altered))
        except FitchainError:
            continue  # it is not even a statement
        if (altered_one.ctx, altered_one.seed) == (whole.ctx, whole.seed):
            with pytest.raises(Refuted):
                check_leaves(altered_one, most_leaves=0)
                check_orders(altered_one)
                raise AssertionError(path)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_outline_without_the_first_the_delivered_or_the_last_leaf_is_refuted(play: Plays, gone: int) -> None:
    job = play(b"outline short of %d" % gone, delivered=6)
    statement = Statement.parse(unseal(job.issue(most_leaves=0))[0])
    assert isinstance(statement.leaves, Outline)
    opened = [each for number, each in enumerate(statement.leaves.opened) if number != gone]
    short = replace(statement, leaves=replace(statement.leaves, opened=tuple(opened)))
    with pytest.raises(ClaimMismatch, match="does not show leaf"):
        check_leaves(short, most_leaves=0)


def test_a_short_transcript_does_not_hide_behind_an_outline(play: Plays, reader: Chain) -> None:
    elsewhere = StateRoots(model_root(tensors(7)), optimizer_root({}))
    job = play(b"hidden beginning", bend=with_first(elsewhere))
    honest = leaves_of(job.recipe, job.transcript.ctx, job.transcript.seed, job.recipe.leaf_count)
    certificate = job.issue(transcript=honest.transcript, states=honest.states, most_leaves=0)
    with pytest.raises(ClaimMismatch, match=f"hides 11 leaves behind an outline, and up to {MOST_LEAVES} are listed"):
        verify(job.model, certificate, reader)
    # With the rule taken out the outline passes for itself, and is what the next test is about.
    check_leaves(Statement.parse(unseal(certificate)[0]), most_leaves=0)


def test_where_a_training_began_is_checked_behind_an_outline_too(play: Plays) -> None:
    elsewhere = StateRoots(model_root(tensors(7)), optimizer_root({}))
    job = play(b"beginning behind an outline", bend=with_first(elsewhere))
    honest = leaves_of(job.recipe, job.transcript.ctx, job.transcript.seed, job.recipe.leaf_count)
    shown = Statement.parse(unseal(job.issue(transcript=honest.transcript, states=honest.states, most_leaves=0))[0])
    told = job.transcript
    from fitchain.pod.proof.certificate.statement import outline_of

    lying = replace(
        shown, transcript_root=told.root, leaves=outline_of(told, job.recipe.group_leaves, 10), states=shown.states
    )
    with pytest.raises(ClaimMismatch, match="the state of leaf 0"):
        check_leaves(lying, most_leaves=0)
    with pytest.raises(ClaimMismatch, match=r"the initial model: .* and its first leaf has"):
        check_leaves(replace(lying, states=dict(shown.states) | {0: elsewhere}), most_leaves=0)


@pytest.mark.long
def test_a_transcript_of_more_leaves_than_are_listed_holds_by_its_outline(
    parties: Parties, reader: Chain, tmp_path: Path
) -> None:
    job = long_job(parties, tmp_path / "model.safetensors")
    certificate = job.issue()
    assert len(certificate) < 20_000
    verdict = verify(job.model, certificate, reader)
    assert isinstance(verdict.statement.leaves, Outline)
    assert [leaf.index for leaf in verdict.statement.shown] == [0, MOST_LEAVES]
    assert verdict.orders_checked == 2


def test_order_is_checked_as_far_as_it_is_cheap(job: Job) -> None:
    statement = Statement.parse(unseal(job.certificate)[0])
    assert check_orders(statement, most_draws=50) == 3  # one epoch: 5 batches of 40 rows, 2 segments, leaves 0 to 2
    assert check_orders(statement) == 11


def test_card_has_the_cid_that_stores_give_it(job: Job) -> None:
    assert card_cid(Statement.parse(unseal(job.certificate)[0])) == stored_cid(job.parties.card)


def test_only_the_owner_issues_and_only_the_truth(job: Job, tmp_path: Path) -> None:
    scientist = job.parties.scientist
    with pytest.raises(AccessRefused, match="is not the owner"):
        agreed = (job.recipe, job.parties.card)
        issue(scientist.chain, scientist.keys, job.id, *agreed, job.transcript, job.made.states, job.model)
    write_safetensors(tmp_path / "model", tensors(3))
    with pytest.raises(DigestMismatch, match="has the root"):
        job.issue(model=tmp_path / "model")


# --- last, for its devnet then mines a block a second ----------------------------------------


def test_transcript_that_stands_in_one_block_is_said_to_do_so(play: Plays, reader: Chain) -> None:
    job = play(b"in one block", at_once=True)
    verdict = verify(job.model, job.certificate, reader)
    assert (verdict.timing.in_one_block, verdict.timing.anchored_in_one_block) == (True, True)
    shown = describe_verdict(verdict, job.model)
    assert "begin, all anchors and finish stand in one block" in str(shown.views)
    assert shown.values["duration"]["in_one_block"] is True


# --- golden bytes -----------------------------------------------------------------------------


def test_golden_certificate_holds_as_far_as_it_needs_no_chain() -> None:
    folder = Path(__file__).parent / "golden" / "v2" / "certificate"
    payload, signer = unseal((folder / "certificate.json").read_bytes())
    statement = Statement.parse(payload)
    assert signer == statement.owner == "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"
    assert (statement.delivered, sorted(statement.states), len(statement.lineage)) == (5, [0, 5, 7], 3)
    check_leaves(statement)
    check_file(statement, folder / "model.safetensors")
    assert check_orders(statement) == statement.count == 8


def test_no_more_of_a_file_is_read_than_a_certificate_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "CERTIFICATE_BYTES", 10)
    assert verifying._read(Path("/dev/zero")) == bytes(11)
