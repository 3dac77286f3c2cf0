"""The best checkpoint by a recipe's rule: evaluated at each leaf, kept, delivered, audited."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fitchain.cli.views import curves as curves_view
from fitchain.cli.views.curves_picture import draw_curves
from fitchain.pod.compute.checkpoint import append_leaf, read_leaves, state_steps
from fitchain.pod.jobs.curves import Curves, held_out_curves
from fitchain.pod.jobs.worker import Context, Event, run_worker
from fitchain.pod.jobs.worker.events import Finished, LeafRecorded, ReplayEnded, SegmentReplayed, Started
from fitchain.pod.jobs.worker.task import Rehearse, Replay
from fitchain.pod.ports.agreement import Outcome
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.checking import check
from fitchain.pod.proof.audit.evidence import EvidenceLeaf
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.best import LOWEST, RunningBest, delivered_leaf, figure_of
from fitchain.pod.values.digest import ZERO, canonical_json, parse_json
from fitchain.pod.values.errors import InputRefused, Unusable
from fitchain.pod.values.held_out import Amounts, Classes, HeldOut, held_out_digest, held_out_salt
from fitchain.pod.values.job_folder import JobFolder
from fitchain.pod.values.leaf import Checkpoint
from fitchain.pod.values.limits import MOST_PATH, evidence_document
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import FIGURES_OF_AMOUNTS, FIGURES_OF_CLASSES, MOST_CONFUSED, MOST_EVALUATIONS
from fitchain.pod.values.state import model_root, read_safetensors
from tests.audits import Case, trained, trained_here, work_here
from tests.training_jobs import CTX, PRIVACY, SEED, PrivateNet, job_folder, leaf_digests, recipe, task_in

BEST: dict[str, Any] = {"held_out": 0.2, "evaluate": "segment", "best": "loss"}
WORSENING: dict[str, Any] = {**BEST, "learning_rates": [[8, 0.01], [14, 3.0]]}
"""After the second segment its steps are far too long: the best leaf is none of the last."""


@pytest.fixture(scope="module")
def honest(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A job whose best leaf is not the last, trained in this process."""
    return trained_here(tmp_path_factory.mktemp("honest") / "job", store, **WORSENING)


def categories(count: int) -> dict[str, Any]:
    """A transform of the target by so many classes."""
    return {"kind": {"categories": list(range(count))}}


def losses_of(folder: Path) -> list[float | None]:
    return [figure_of(checkpoint.held_out, "loss") for checkpoint in read_leaves(folder)]


def running(losses: list[float | None]) -> list[int]:
    """Indices of the running bests."""
    best = RunningBest("loss")
    results = [None if loss is None else HeldOut(8, Amounts(8, loss, 0.0, 0.0, 0.0)) for loss in losses]
    return [index for index, result in enumerate(results) if best.take(index, result)]


# The rule


@pytest.mark.parametrize("rule", FIGURES_OF_CLASSES)
def test_figures_of_classes_choose_the_better_one(rule: str) -> None:
    worse = HeldOut(10, Classes(2, 10, 6, (3, 2, 2, 3), 0.9, 30, 7))
    better = HeldOut(10, Classes(2, 10, 9, (5, 0, 1, 4), 0.2, 49, 9))
    assert [RunningBest(rule).take(1, each) for each in (worse, better)] == [True, True]
    best = RunningBest(rule)
    assert [best.take(1, worse), best.take(2, better), best.take(3, better), best.take(4, worse)] == [
        *(True, True, False, False)
    ]
    assert best.index == 2


@pytest.mark.parametrize("rule", FIGURES_OF_AMOUNTS)
def test_figures_of_amounts_choose_the_better_one(rule: str) -> None:
    worse, better = (HeldOut(4, Amounts(4, loss, 4 * loss, 4 * loss * loss, 8.0)) for loss in (0.5, 0.25))
    best = RunningBest(rule)
    assert [best.take(index, each) for index, each in enumerate((worse, better, worse), 1)] == [True, True, False]


def test_of_equal_leaves_the_first_is_the_best_and_without_the_figure_the_last_is_delivered() -> None:
    given = recipe(**BEST | {"best": "auc"})
    same, without = HeldOut(8, Classes(2, 8, 8, (4, 0, 0, 4), 0.1, 32)), HeldOut(8, None)
    alone = HeldOut(8, Classes(2, 8, 8, (8, 0, 0, 0), 0.1, 0))
    assert figure_of(alone, "auc") is None and set(LOWEST) == {"loss", "mae"}
    assert delivered_leaf(given, {0: None, 1: alone, 2: same, 3: same, 4: without, 5: same, 6: same}, 6) == 2
    assert delivered_leaf(given, dict.fromkeys(range(1, 7), without), 6) == 6
    assert delivered_leaf(given, {1: same, 2: same}, 2) == 2  # it ended early
    assert delivered_leaf(recipe(), {1: same}, 6) == 6


# In a recipe


def test_a_recipe_that_chooses_evaluates_each_leaf_but_the_first() -> None:
    given = recipe(**BEST)
    assert [given.evaluates_at(leaf) for leaf in range(8)] == [False, *[True] * 6, False]
    assert [recipe(held_out=0.2).evaluates_at(leaf) for leaf in range(8)] == [*[False] * 6, True, False]
    assert not any(recipe().evaluates_at(leaf) for leaf in range(8))
    assert Recipe.parse(given.encode()) == given


@pytest.mark.parametrize(
    ("terms", "says", "next_step"),
    [
        ({"held_out": None}, "no record is held out", "held_out = 0.2"),
        ({"evaluate": "end"}, "results that only the last one has", 'evaluate = "segment"'),
        ({"best": "mae"}, "best is one of loss, accuracy, top5, f1, auc", ""),
        ({"best": "auc", "transform": categories(3)}, "which is of two classes, and the target has 3", 'best = "f1"'),
        ({"best": "f1", "transform": categories(33)}, "of 32 classes at most, and the target has 33", "accuracy"),
        ({"net": PrivateNet, "privacy": PRIVACY, "metrics": []}, "in noised counts", "leave evaluate and best out"),
        (
            {"net": PrivateNet, "privacy": PRIVACY, "metrics": [], "best": None},
            *("in noised counts", "leave evaluate and best out"),
        ),
        ({"batch_size": 1, "segment_steps": 2}, "takes longer than a third of a segment of 2", "at least 8"),
        (
            {"steps": 2 * MOST_EVALUATIONS + 2, "segment_steps": 2},
            *(f"after each of {MOST_EVALUATIONS + 1} segments", "segment_steps at least 3"),
        ),
    ],
)
def test_terms_that_do_not_go_together_are_refused_with_a_next_step(
    terms: dict[str, Any], says: str, next_step: str
) -> None:
    with pytest.raises(InputRefused, match=says) as refused:
        recipe(**BEST | terms)
    assert next_step in refused.value.hint


# In a worker


def test_running_bests_name_their_states_unsalted_and_the_best_is_delivered(honest: Case) -> None:
    checkpoints, losses = read_leaves(honest.folder), losses_of(honest.folder)
    best = min(range(1, 7), key=lambda index: (losses[index], index))
    assert losses[0] is None and 1 < best < 6
    unsalted = [each.leaf.index for each in checkpoints if each.state_salt is None]
    assert unsalted == sorted({0, 6, *running(losses)}) and best in unsalted
    assert model_root(read_safetensors(honest.folder / "run/final.safetensors")[0]) == checkpoints[best].model
    ending = Transcript(CTX, SEED, tuple(each.leaf for each in checkpoints)).ending(
        *(4, checkpoints[-1].roots, honest.deliver()), delivered=(best, checkpoints[best].roots)
    )
    assert ending.delivered is not None and ending.delivered.leaf.index == best


@pytest.mark.parametrize("keep_every", [1, 4])
def test_a_cut_off_training_comes_to_the_same_leaves_and_model(honest: Case, tmp_path: Path, keep_every: int) -> None:
    whole = read_leaves(honest.folder)
    final = (honest.folder / "run/final.safetensors").read_bytes()
    for cut in range(1, len(whole)):
        folder = job_folder(tmp_path / f"cut-{cut}", honest.recipe, keep_every=keep_every)
        (folder / "run/states").mkdir(parents=True)
        lines = (honest.folder / "run/leaves.jsonl").read_bytes().splitlines(keepends=True)
        (folder / "run/leaves.jsonl").write_bytes(b"".join(lines[:cut]))
        kept = {index for index in range(1, cut) if index % keep_every == 0}
        kept |= set(running(losses_of(folder))[-1:]) if cut % 2 else set()  # else the cut came before it was kept
        for index in kept:
            name = f"{honest.recipe.step_of(index)}.safetensors"
            (folder / "run/states" / name).write_bytes((honest.folder / "run/states" / name).read_bytes())
        work_here(folder)
        assert leaf_digests(read_leaves(folder)) == leaf_digests(whole)
        assert (folder / "run/final.safetensors").read_bytes() == final


def test_of_running_bests_only_the_last_keeps_its_state(tmp_path: Path) -> None:
    given = recipe(**WORSENING)
    folder = job_folder(tmp_path / "job", given, keep_every=5)
    work_here(folder)
    *passed, best = running(losses_of(folder))
    assert passed and state_steps(folder) == sorted({20, 22, given.step_of(best)})
    # a state that is gone is trained again
    (folder / f"run/states/{given.step_of(best)}.safetensors").unlink()
    before = (folder / "run/final.safetensors").read_bytes()
    (folder / "run/final.safetensors").unlink()
    (ended,) = [event for event in work_here(folder) if isinstance(event, Finished)]
    assert (folder / "run/final.safetensors").read_bytes() == before
    assert ended.model == read_leaves(folder)[best].model


def test_a_replay_compares_the_result_of_each_segment(honest: Case) -> None:
    events = work_here(honest.folder, Replay(Context(CTX, SEED), (0, 1, 2, 3, 4, 5)))
    assert [event.difference for event in events if isinstance(event, SegmentReplayed)] == [""] * 6
    assert any(isinstance(event, ReplayEnded) and event.equal for event in events)


def test_a_rehearsal_plays_the_choice(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job", recipe(**BEST), Rehearse.mode)
    events = work_here(folder)
    assert any(isinstance(event, Finished) for event in events)
    assert [each.held_out is not None for each in read_leaves(folder)] == [False, True, True]


# In an audit


def test_the_segment_of_the_delivered_leaf_is_audited_and_each_result_computed_again(honest: Case) -> None:
    facts = honest.facts(None, drawn=0)
    assert facts.delivered < 6 and facts.audited == tuple(sorted({0, facts.delivered - 1, 5}))
    assert honest.replayed_here(facts) == []
    assert honest.replayed_here(honest.facts(None)) == []


def test_another_delivered_leaf_than_the_rule_gives_is_a_problem_of_the_whole(honest: Case) -> None:
    facts, checkpoints = honest.facts(None), read_leaves(honest.folder)
    other = replace(facts, delivered=6, model_root=checkpoints[6].model)
    checked = check(honest.evidence(other), other)
    assert [problem.segment for problem in checked.problems] == [None]
    assert f"the delivered leaf is 6, and the rule and the opened results give {facts.delivered}" in str(
        checked.problems[0]
    )


def test_a_run_that_diverges_delivers_its_last_leaf_whatever_the_rule(store: LocalStore, tmp_path: Path) -> None:
    exploding = {"optimizer": {"name": "SGD", "arguments": {"weight_decay": 1e6}}}
    case = trained_here(tmp_path / "job", store, **BEST | exploding | {"learning_rates": [[9, 1e-9], [13, 1e6]]})
    facts, checkpoints = case.facts(None), read_leaves(case.folder)
    assert facts.diverged and facts.delivered == facts.count - 1
    assert all(each.held_out is not None for each in checkpoints[1:]) and checkpoints[-1].state_salt is None
    assert case.replayed_here(facts) == []


def test_evidence_has_room_for_the_results_of_many_classes(honest: Case) -> None:
    facts, counts = honest.facts(None), (999_999,) * MOST_CONFUSED**2
    outcome = Classes(MOST_CONFUSED, sum(counts), 999_999 * MOST_CONFUSED, counts, 0.25)
    wide = [replace(each, held_out=HeldOut(sum(counts), outcome)) for each in read_leaves(honest.folder)]
    leaves = [EvidenceLeaf(each, (ZERO,) * MOST_PATH).to_json() for each in wide]
    limits = evidence_document(len(facts.leaves))
    assert parse_json(canonical_json({"leaves": leaves}), limits) == {"leaves": leaves}
    assert all(Checkpoint.from_line(each.to_line()) == each for each in wide)


def test_without_a_rule_only_the_last_leaf_may_be_delivered(store: LocalStore, tmp_path: Path) -> None:
    case = trained_here(tmp_path / "job", store, held_out=0.2)
    facts = case.facts(None)
    assert case.replayed_here(facts) == []
    other = replace(facts, delivered=3, model_root=read_leaves(case.folder)[3].model)
    problems = check(case.evidence(other), other).problems
    assert any("leaf 3" in problem.what or "the delivered leaf is 3" in problem.what for problem in problems)


@pytest.mark.long
def test_a_killed_worker_resumes_to_the_same_bytes_and_its_audit_matches(store: LocalStore, tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", store, **WORSENING)
    folder = job_folder(tmp_path / "job", whole.recipe)

    def kill(event: Event) -> None:
        if isinstance(event, Started):
            process.append(event.pid)
        if isinstance(event, LeafRecorded) and event.index == 4:
            os.kill(process[0], signal.SIGKILL)

    process: list[int] = []
    with pytest.raises(Unusable):
        run_worker(folder, task_in(folder), kill)
    run_worker(folder, task_in(folder))
    for name in ("leaves.jsonl", "final.safetensors"):
        assert (folder / "run" / name).read_bytes() == (whole.folder / "run" / name).read_bytes()
    examined = whole.examined(whole.facts(whole.deliver(), drawn=0))
    assert (examined.outcome, examined.problems) == (Outcome.MATCH, ())


# Curves


def test_curves_are_drawn_from_leaves_and_from_what_a_certificate_opens(honest: Case) -> None:
    folder = JobFolder(honest.folder)
    curves = replace(held_out_curves(folder, honest.recipe), training={"loss": ((4, 1.5), (8, 1.0))})
    assert set(curves.held_out) == {"loss", "accuracy", "f1"}  # of three classes there is no AUC
    assert [value for _, value in curves.held_out["loss"]] == losses_of(honest.folder)[1:]
    (_, training), *held_out = curves_view.pairs_of(curves)
    assert training.endswith("  1.0000") and held_out[0][0] == "held-out loss"
    best = delivered_leaf(honest.recipe, {each.leaf.index: each.held_out for each in read_leaves(honest.folder)}, 6)
    assert held_out[0][1].endswith(f"after step {4 * best}")
    picture = ElementTree.fromstring(draw_curves(curves, "of <a job>", 4 * best))
    words = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"of <a job>", "loss", "accuracy", "delivered", "22"} <= set(words)
    assert held_out_curves(folder, recipe(held_out=0.2)) == Curves() == held_out_curves(folder, None)


def test_a_mean_error_is_drawn_in_the_target_s_own_unit(tmp_path: Path) -> None:
    terms = {"loss": {"name": "mse_loss", "arguments": {}}, "target": "d", "inputs": [["a", "b", "c", "kind"]]}
    scaled = {"d": {"mean": 0.5, "scale": 4.0}}
    given = recipe(**BEST | terms | {"best": "mae", "metrics": ["loss"], "transform": scaled})
    assert given.best == "mae"
    checkpoint = replace(read_leaves(job_folder_with(tmp_path))[1], held_out=HeldOut(4, Amounts(4, 1.0, 2.0, 4.0, 8.0)))
    (tmp_path / "job/run/leaves.jsonl").unlink()
    leaf = replace(checkpoint.leaf, held_out=held_out_digest(checkpoint.held_out, held_out_salt(checkpoint.salt)))
    append_leaf(tmp_path / "job", replace(checkpoint, leaf=leaf))
    curves = held_out_curves(JobFolder(tmp_path / "job"), given)
    assert curves.held_out["mae"] == ((4, 2.0),) and curves.held_out["r2"] == ((4, 0.5),)


def job_folder_with(place: Path) -> Path:
    """A trained job's folder."""
    folder = job_folder(place / "job", recipe(**BEST))
    work_here(folder)
    return folder
