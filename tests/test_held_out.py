"""Held-out records: what a trained model does on records that nobody trained on, bound in the last
leaf and replayed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as examples
from hypothesis import strategies as st
from torch import nn

from fitchain.cli.views.held_out import held_out_sentence
from fitchain.pod.compute import held_out
from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.dataset import held_out_rows
from fitchain.pod.compute.environment.classes import DEFAULT
from fitchain.pod.compute.held_out import evaluate_held_out
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.program import Program
from fitchain.pod.jobs.worker import Context, job, run_worker
from fitchain.pod.jobs.worker.events import Diverged, Evaluated, Finished, ReplayEnded, SegmentReplayed
from fitchain.pod.jobs.worker.task import Rehearse, Replay
from fitchain.pod.ports.agreement import Outcome
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.checking import check
from fitchain.pod.proof.audit.evidence import records_of
from fitchain.pod.values.digest import ZERO, canonical_json, sha256
from fitchain.pod.values.errors import DigestMismatch, InputRefused
from fitchain.pod.values.evaluation import ModelEvaluation
from fitchain.pod.values.graph import Input
from fitchain.pod.values.held_out import (
    Amounts,
    Classes,
    HeldOut,
    NoisedClasses,
    NoisedMean,
    held_out_digest,
    held_out_salt,
    macro_f1,
    wilson,
)
from fitchain.pod.values.leaf import Checkpoint
from fitchain.pod.values.privacy.accountant import ORDERS, renyi
from fitchain.pod.values.privacy.release import release_sigma, renyi_of_release
from fitchain.pod.values.recipe import Choice, Recipe
from tests.audits import Case, trained, trained_here, work_here
from tests.speeds import long_unless
from tests.training_jobs import (
    CTX,
    NOISE,
    PRIVACY,
    SALT_KEYS,
    SEED,
    PrivateNet,
    job_folder,
    leaf_digests,
    recipe,
    table,
    train_folder,
)

SHARE: dict[str, Any] = {"held_out": 0.2}
CATEGORIES: dict[str, Any] = {"kind": {"categories": [0, 1, 2]}}
PRIVATELY: dict[str, Any] = {**SHARE, "net": PrivateNet, "privacy": PRIVACY, "metrics": [], "transform": CATEGORIES}


@pytest.fixture(scope="module")
def honest(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A job that holds records out, trained by a worker."""
    return trained(tmp_path_factory.mktemp("honest") / "job", store, **SHARE)


@pytest.fixture(scope="module")
def private(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The same, trained in private."""
    return trained(tmp_path_factory.mktemp("private") / "job", store, **PRIVATELY)


def result_of(folder: Path) -> HeldOut:
    """The result in the last leaf's line."""
    result = read_leaves(folder)[-1].held_out
    assert result is not None
    return result


# In a worker


def test_only_the_last_leaf_names_a_result_and_it_opens(honest: Case) -> None:
    *inner, last = read_leaves(honest.folder)
    assert {each.leaf.held_out for each in inner} == {ZERO} and not any(each.held_out for each in inner)
    result = result_of(honest.folder)
    assert last.leaf.held_out == held_out_digest(result, held_out_salt(last.salt)) != ZERO
    assert isinstance(result.outcome, Classes)
    assert (result.records, result.outcome.compared, sum(result.outcome.confusion)) == (8, 8, 8)
    last.verify()
    with pytest.raises(DigestMismatch, match="the results of leaf 6, those on held-out"):
        replace(last, held_out=replace(result, records=9)).verify()
    assert Checkpoint.from_line(last.to_line()) == last


def test_the_result_is_that_of_the_delivered_model_on_the_held_out_records(honest: Case, tmp_path: Path) -> None:
    rows = held_out_rows(honest.recipe, SEED).astype(np.int64)
    assert rows.size == 8
    folder = job_folder(tmp_path / "job", honest.recipe, "evaluate")
    arrays = {name: table().arrays[name][rows] for name in table().arrays}
    type(table()).of(arrays, target="kind").write_npz(folder / "records.npz")
    (folder / "run").mkdir()
    (folder / "run/final.safetensors").write_bytes((honest.folder / "run/final.safetensors").read_bytes())
    assert [event for event in work_here(folder) if isinstance(event, Evaluated)] == [Evaluated(8)]
    evaluation = ModelEvaluation.parse((folder / "run/evaluation.json").read_bytes())
    assert evaluation.result == result_of(honest.folder)  # to the last bit
    assert (evaluation.records, evaluation.shape, evaluation.dtype) == (8, (3,), "float32")
    outputs = np.fromfile(folder / "run/outputs.bin", "<f4").reshape(8, 3)
    kinds = table().arrays["kind"][rows]
    assert evaluation.metrics()["accuracy"] == (outputs.argmax(1) == kinds).mean()
    assert [side.number for side in evaluation.sides] == [0, 1, 2]


def test_a_recipe_that_holds_none_out_has_no_result(tmp_path: Path, store: LocalStore) -> None:
    case = trained_here(tmp_path / "job", store)
    assert {each.leaf.held_out for each in read_leaves(case.folder)} == {ZERO}


@pytest.mark.parametrize("kind", long_unless(lambda kind: kind == "plain", ["plain", "private"]))
def test_killed_and_resumed_a_training_comes_to_the_same_result(
    kind: str, honest: Case, private: Case, tmp_path: Path
) -> None:
    whole = {"plain": honest, "private": private}[kind]
    folder = job_folder(tmp_path / "job", whole.recipe)
    seen = 0

    def until_half(event: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_folder(folder, until_half)
    assert isinstance(train_folder(folder), Finished)
    assert leaf_digests(read_leaves(folder)) == leaf_digests(read_leaves(whole.folder))
    assert result_of(folder) == result_of(whole.folder)


def test_a_replay_finds_the_result_and_a_forged_one_is_told(honest: Case, private: Case) -> None:
    for case, noise in ((honest, bytes(32)), (private, NOISE)):
        assert run_worker(case.folder, Replay(Context(CTX, SEED, noise), (5,))) == ReplayEnded(1, True)


def test_a_run_that_diverges_has_no_result(tmp_path: Path) -> None:
    exploding = {"name": "SGD", "arguments": {"weight_decay": 1e6}}
    given = recipe(**SHARE, optimizer=exploding, learning_rates=[[9, 1e-9], [13, 1e6]])
    folder = job_folder(tmp_path / "job", given)
    assert isinstance(work_here(folder)[-1], Diverged)
    assert {each.leaf.held_out for each in read_leaves(folder)} == {ZERO}


def test_a_rehearsal_evaluates_on_fewer_records_than_are_held_out(tmp_path: Path) -> None:
    for given in (recipe(**SHARE), recipe(**PRIVATELY)):
        folder = job_folder(tmp_path / str(given.privacy), given, Rehearse.mode, table(5))
        assert isinstance(work_here(folder)[-1], Finished)
        assert result_of(folder).records == 8


def test_what_cannot_be_evaluated_ends_no_training(
    tmp_path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any) -> Any:
        raise RuntimeError("index out of range")

    monkeypatch.setattr(held_out, "_outcomes", fails)
    case = trained_here(tmp_path / "job", store, **SHARE)
    assert result_of(case.folder) == HeldOut(8, None)
    assert case.replayed_here(case.facts(None)) == []
    monkeypatch.undo()
    assert {problem.segment for problem in case.replayed_here(case.facts(None))} == {5}


# In an audit


@pytest.mark.parametrize("kind", ["plain", "private"])
def test_evidence_opens_the_held_out_records_and_matches(kind: str, honest: Case, private: Case) -> None:
    case = {"plain": honest, "private": private}[kind]
    facts = case.facts(case.deliver(), drawn=1)
    examined = case.examined(facts)
    assert (examined.outcome, examined.problems) == (Outcome.MATCH, ())
    evidence = case.evidence(facts)
    opened = {opening.index for opening in evidence.records}
    assert set(held_out_rows(case.recipe, SEED).tolist()) <= opened
    used = records_of(case.recipe, SEED, facts.audited, evidence.noise, facts.leaves)
    assert opened == set(used.tolist())


def forge(change: Any) -> Any:
    """A worker whose last leaf names another result than its model's."""
    honestly = held_out.evaluate_held_out

    def forged(*given: Any) -> HeldOut:
        result: HeldOut = change(honestly(*given))
        return result

    return forged


def better(result: HeldOut) -> HeldOut:
    if isinstance(result.outcome, NoisedClasses):
        return replace(result, outcome=replace(result.outcome, confusion=(99, *result.outcome.confusion[1:])))
    outcome = result.outcome
    assert isinstance(outcome, Classes)
    counts = [sum(outcome.confusion[3 * i : 3 * i + 3]) for i in range(3)]
    perfect = tuple(counts[i] if i == j else 0 for i in range(3) for j in range(3))
    return replace(result, outcome=replace(outcome, correct=outcome.compared, confusion=perfect))


@pytest.mark.parametrize("terms", [SHARE, PRIVATELY], ids=["plain", "private"])
def test_a_forged_result_is_a_mismatch(
    terms: dict[str, Any], store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "evaluate_held_out", forge(better))
    case = trained_here(tmp_path / "job", store, **terms)
    monkeypatch.undo()
    (problem,) = case.replayed_here(case.facts(None, drawn=0))
    assert problem.segment == 5 and problem.what.startswith("held-out results 0x")
    told = work_here(case.folder, Replay(context(terms), (5,)))
    (replayed,) = [event for event in told if isinstance(event, SegmentReplayed)]
    assert replayed.difference.startswith("held-out results 0x")


def context(terms: dict[str, Any]) -> Context:
    return Context(CTX, SEED, NOISE) if "privacy" in terms else Context(CTX, SEED)


@pytest.mark.parametrize("terms", [SHARE, PRIVATELY], ids=["plain", "private"])
def test_training_on_the_held_out_records_is_a_mismatch(
    terms: dict[str, Any], store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "drawn_batches" if "privacy" in terms else "batches"
    honestly = getattr(job, name)

    def cheating(given: Any, *rest: Any) -> Any:
        held = held_out_rows(given, SEED)
        return (np.resize(held, batch.shape) for batch in honestly(given, *rest))

    monkeypatch.setattr(job, name, cheating)
    case = trained_here(tmp_path / "job", store, **terms)
    monkeypatch.undo()
    problems = case.replayed_here(case.facts(None, drawn=0))
    assert {problem.segment for problem in problems} >= {0}


def test_evidence_without_the_held_out_records_cannot_be_replayed(
    honest: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = honest.facts(None, drawn=0)
    from fitchain.pod.proof.audit import evidence as made

    monkeypatch.setattr(made, "evaluates", lambda *given: False)
    bare = honest.evidence(facts)
    monkeypatch.undo()
    checked = check(bare, facts)
    assert checked.replayable == (0,)
    assert [problem.segment for problem in checked.problems] == [5] and "lacks record" in checked.problems[0].what


def test_a_result_where_the_recipe_asks_for_none_is_a_problem_of_the_whole(
    tmp_path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job.Job, "held_out", lambda self, leaf, program: HeldOut(8, None) if leaf == 6 else None)
    case = trained_here(tmp_path / "job", store)
    monkeypatch.undo()
    problems = case.replayed_here(case.facts(None))
    assert any(
        "of results on held-out records leaf 6 names one, and the recipe asks for none" in each.what
        for each in problems
    )


# Under a privacy budget


def test_a_private_result_is_noised_and_costs_nothing_more(private: Case) -> None:
    outcome, given = result_of(private.folder).outcome, private.recipe
    assert isinstance(outcome, NoisedClasses) and (outcome.classes, outcome.sigma) == (3, given.held_out_sigma)
    training = renyi(given.sampling_rate, PRIVACY["sigma"], given.steps)
    assert all(map(float.__le__, renyi_of_release(outcome.sigma), training))
    assert given.charge == replace(given, held_out=None, rows=(0, given.training_count)).charge


def test_a_noised_mean_is_told_of_a_regression(tmp_path: Path, store: LocalStore) -> None:
    terms = {**PRIVATELY, "target": "d", "inputs": [["a", "b", "c", "kind"]], "transform": {}}
    terms["loss"] = {"name": "mse_loss", "arguments": {}}
    from tests.training_jobs import exported

    assert exported(PrivateNet)  # of three outputs, which fit no column: every record counts as nothing
    case = trained_here(tmp_path / "job", store, **terms)
    outcome = result_of(case.folder).outcome
    assert isinstance(outcome, NoisedMean) and outcome.of == "absolute error"
    assert abs(outcome.sum) < 10 * outcome.sigma * outcome.grid
    assert case.replayed_here(case.facts(None)) == []


@examples(st.floats(2**-8, 1), st.floats(0.3, 20), st.integers(1, 3000))
def test_the_noise_of_a_release_is_the_least_that_costs_no_more(rate: float, sigma: float, steps: int) -> None:
    training = renyi(rate, sigma, steps)
    chosen = release_sigma(training)
    assert (chosen * 2**10).is_integer() and 0.5 <= chosen <= 2**20
    exact = [Fraction(order, 2) / Fraction(chosen) ** 2 for order in ORDERS]
    assert all(cost <= Fraction(nats) for cost, nats in zip(exact, training, strict=True) if math.isfinite(nats))
    less = [Fraction(order, 2) / Fraction(chosen - 2**-10) ** 2 for order in ORDERS]
    assert chosen == 0.5 or any(cost > nats for cost, nats in zip(less, training, strict=True))


# The counts, against their definitions


def evaluated(x: np.ndarray, y: np.ndarray, loss: str, outputs: int, given: Recipe, key: bytes | None = None) -> Any:
    """A linear model's result on rows in arrays, its outputs on them, and its weights' program."""
    torch.manual_seed(1)
    graph, weights = export(nn.Linear(4, outputs), (Input("x", "F32", (4,)),), 2)
    program = Program(graph, weights, DEFAULT)
    terms = replace(given, loss=Choice(loss, {}))
    rows = np.arange(len(x), dtype=np.uint64)
    result = evaluate_held_out(program, terms, rows, lambda indices: ((x[indices],), y[indices]), SEED, key)
    output = program(torch.from_numpy(x), training=False).double().numpy()
    return result, output


X = np.random.default_rng(3).normal(size=(21, 4)).astype(np.float32)


def test_a_regressions_sums_are_those_of_its_errors() -> None:
    y = np.random.default_rng(4).normal(size=21).astype(np.float32)
    result, output = evaluated(X, y, "mse_loss", 1, recipe())
    error = output[:, 0] - y
    assert isinstance(result.outcome, Amounts) and (result.records, result.outcome.compared) == (21, 21)
    assert result.outcome.mae == pytest.approx(np.abs(error).mean())
    assert result.outcome.r2 == pytest.approx(1 - (error**2).sum() / ((y - y.mean(dtype=np.float64)) ** 2).sum())
    assert result.outcome.loss == pytest.approx((error**2).mean())


@pytest.mark.parametrize("loss", ["binary_cross_entropy_with_logits", "cross_entropy"])
def test_counts_and_auc_of_two_classes_are_as_defined(loss: str) -> None:
    classes = np.random.default_rng(5).integers(0, 2, 21)
    binary = loss != "cross_entropy"
    result, output = evaluated(X, classes.astype("f4") if binary else classes, loss, 1 if binary else 2, recipe())
    scores = output[:, 0] if binary else output[:, 1] - output[:, 0]
    pairs = [(a, b) for a in scores[classes == 0] for b in scores[classes == 1]]
    assert isinstance(result.outcome, Classes)
    assert result.outcome.above == sum(int(b > a) + int(b >= a) for a, b in pairs)
    taken = (scores > 0).astype(int)
    cells = [int(((classes == i) & (taken == j)).sum()) for i in range(2) for j in range(2)]
    assert result.outcome.confusion == tuple(cells)


def test_outputs_that_are_not_finite_have_no_outcome() -> None:
    x = X.copy()
    x[3] = np.inf
    assert evaluated(x, np.zeros(21, np.int64), "cross_entropy", 2, recipe())[0] == HeldOut(21, None)
    assert evaluated(X, np.full(21, -100), "cross_entropy", 2, recipe())[0] == HeldOut(21, None)


def test_one_record_changes_one_noised_count_by_one_whatever_it_is() -> None:
    given = replace(recipe(**PRIVATELY), transform={"kind": {"categories": [0, 1, 2]}})
    y = np.random.default_rng(6).integers(0, 3, 21)
    counts = np.array(evaluated(X, y, "cross_entropy", 3, given, bytes(32))[0].outcome.confusion)
    for spoilt in (np.nan, np.inf, 1e38):
        x = X.copy()
        x[3] = spoilt
        other = np.array(evaluated(x, y, "cross_entropy", 3, given, bytes(32))[0].outcome.confusion)
        assert np.abs(counts - other).max() <= 1 and np.abs(counts - other).sum() in (0, 1, 2)


def test_a_clipped_error_counts_two_at_most() -> None:
    given, y = recipe(**PRIVATELY), np.zeros(21, np.float32)
    one = evaluated(X, y, "mse_loss", 1, given, bytes(32))[0].outcome
    far = y.copy()
    far[3] = 1e30
    other = evaluated(X, far, "mse_loss", 1, given, bytes(32))[0].outcome
    assert isinstance(one, NoisedMean) and 0 < other.sum - one.sum <= one.grid


# Values


def test_numbers_of_a_result() -> None:
    outcome = Classes(2, 91, 86, (50, 2, 3, 36), 0.2, 2 * 52 * 39 - 10)
    assert [round(100 * bound, 1) for bound in outcome.accuracy_interval] == [87.8, 97.6]
    assert outcome.f1 == pytest.approx((2 * 50 / (52 + 53) + 2 * 36 / (39 + 38)) / 2)
    assert outcome.auc == pytest.approx(1 - 5 / (52 * 39))
    low, high = outcome.auc_interval or (0, 0)
    assert low < (outcome.auc or 0) < high <= 1
    perfect = Classes(2, 8, 8, (4, 0, 0, 4), 0.2, 32)
    assert perfect.auc == 1 and perfect.auc_interval is None  # eight records prove no such thing
    amounts = Amounts(4, 0.25, 2.0, 1.5, 6.0)
    assert (amounts.mae, amounts.r2) == (0.5, 0.75)
    low, high = amounts.mae_interval or (0, 0)
    assert (low + high) / 2 == pytest.approx(0.5) and amounts.r2_interval is not None
    assert wilson(0, 10)[0] == pytest.approx(0) and wilson(10, 10)[1] == pytest.approx(1)
    assert macro_f1((3, 0, 0, 0), 2) == 1


@pytest.mark.parametrize(
    ("result", "scale", "sentence"),
    [
        (
            HeldOut(91, Classes(2, 91, 86, (50, 2, 3, 36), 0.2, 4000)),
            1.0,
            "accuracy 94.5 % (87.8 to 97.6 %, 95 % interval), macro F1 0.944, AUC 0.986 (0.96 to 1), loss 0.2",
        ),
        (
            HeldOut(91, Amounts(91, 0.2, 18.2, 9.1, 91.0)),
            10.0,
            "mean error 2 (1.49 to 2.51), R2 0.9 (0.862 to 0.938), loss 0.2",
        ),
        (
            HeldOut(91, NoisedClasses(2, 2.5, (50, 2, 3, 36))),
            1.0,
            "accuracy 94.5 % (85.6 to 100.0 %, 95 % interval), noise of 2.5 records on each count included",
        ),
        (
            HeldOut(100, NoisedMean("absolute error", 2.0, 4096, 2.5, 102400)),
            10.0,
            "mean error 5 (errors beyond 20 cut off, what cannot be computed taken for none),"
            " give or take 0.98 of noise",
        ),
        (
            HeldOut(100, NoisedMean("accuracy", 1.0, 4096, 2.5, 204800)),
            1.0,
            "accuracy 50.0 %, give or take 4.9 points of noise",
        ),
    ],
)
def test_a_result_is_told_in_a_sentence(result: HeldOut, scale: float, sentence: str) -> None:
    told = held_out_sentence(result, scale)
    assert told == f"on {result.records} held-out records that nobody trained on: {sentence}"


def test_what_could_not_be_evaluated_is_said_to_be_so() -> None:
    assert held_out_sentence(HeldOut(8, None)).endswith("its outputs are not finite or cannot be computed")


@pytest.mark.parametrize(
    "result",
    [
        HeldOut(8, None),
        HeldOut(8, Classes(2, 8, 6, (3, 1, 1, 3), 0.5, 9)),
        HeldOut(8, Amounts(8, 0.5, 3.0, 2.0, 9.0)),
        HeldOut(8, NoisedClasses(2, 2.5, (3, -1, 1, 4))),
        HeldOut(8, NoisedMean("accuracy", 1.0, 4096, 2.5, -3)),
    ],
)
def test_a_result_is_read_back(result: HeldOut) -> None:
    assert HeldOut.from_json(json.loads(canonical_json(result.json()))) == result
    assert held_out_digest(result, sha256(b"salt")) != held_out_digest(result, sha256(b"other"))


@pytest.mark.parametrize(
    "change",
    [
        {"correct": 6},
        {"confusion": [3, 1, 1]},
        {"confusion": [3, 1, 1, 5]},
        {"above": 99},
        {"loss": None},
        {"kind": "other"},
        {"more": 1},
        {"compared": 0},
    ],
)
def test_a_result_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    value: Any = HeldOut(8, Classes(2, 9, 7, (3, 1, 1, 4), 0.5, 9)).json()
    HeldOut.from_json(value)
    with pytest.raises(InputRefused):
        HeldOut.from_json(value | {"outcome": value["outcome"] | change})


def test_salts_of_results_do_not_tell_those_of_metrics() -> None:
    assert held_out_salt(sha256(b"salt")) != sha256(b"salt") and SALT_KEYS.metrics
