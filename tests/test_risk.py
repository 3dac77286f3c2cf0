"""The privacy-risk report: bounds, rates, scores, reference models; the worker that makes it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

from fitchain.cli.views.output import print_views
from fitchain.cli.views.risk import describe, describe_summary, values
from fitchain.cli.views.risk_picture import draw_roc
from fitchain.pod.compute.dataset import Policy, RiskTerms, Table, UnitColumn, held_out_rows, training_rows
from fitchain.pod.compute.dataset.references import FEWEST_REFERENCES, MOST_REFERENCES, half_of, reference_count
from fitchain.pod.compute.dataset.units import FILLED
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.risk import confidence, lira, rmia
from fitchain.pod.jobs.worker import run_worker
from fitchain.pod.jobs.worker.events import Assessed, Event
from fitchain.pod.jobs.worker.job import Job
from fitchain.pod.jobs.worker.modes import MODES
from fitchain.pod.jobs.worker.task import Assess, Context, Task, Train
from fitchain.pod.values.digest import ZERO, canonical_json, sha256, tagged
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.recipe import Choice, Recipe
from fitchain.pod.values.risk import Attack, Parts, Rate, RiskReport, rates_of, share_bounds
from fitchain.pod.values.risk.attack import area_under, roc_of
from fitchain.pod.values.risk.bounds import upper_tail
from fitchain.pod.values.risk.report import findings_digest, most_hit_rate
from fitchain.pod.values.state import Tensors, model_root, read_safetensors, write_safetensors
from fitchain.pod.values.work import StepWork
from tests.risk_reports import made_up_report
from tests.training_jobs import CTX, NOISE, SALT_KEYS, SEED, private_recipe, recipe

DELTA = 1e-3

# Counts


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [  # scipy.stats.beta.ppf
        (22, 364, 0.03826108769186652, 0.0900790007343682),
        (2, 364, 0.0006661041233522713, 0.019706107659980467),
        (0, 91, 0.0, 0.039726497691849584),
        (91, 91, 0.9602735023081505, 1.0),
        (1, 10, 0.0025285785444617848, 0.4450161170281954),
        (50, 100, 0.39832112950330095, 0.601678870496699),
        (700, 1000, 0.670538321302634, 0.7282788878708555),
        (9000, 10000, 0.8939531000964005, 0.9058127882662164),
        (3, 100000, 6.186763958922033e-06, 8.7670202566362e-05),
    ],
)
def test_bounds_are_those_of_clopper_and_pearson(hits: int, of: int, low: float, high: float) -> None:
    assert share_bounds(hits, of) == pytest.approx((low, high), rel=1e-9, abs=1e-15)


def test_bounds_of_nothing_counted_say_nothing() -> None:
    assert share_bounds(0, 0) == (0.0, 1.0)
    assert upper_tail(0, 5, 0.0) == 1.0 and upper_tail(6, 5, 0.5) == 0.0 and upper_tail(3, 5, 1.0) == 1.0


def test_rates_are_counted_at_the_false_alarms_that_fit() -> None:
    others = np.arange(1000.0)
    members = np.array([999.5, 998.5, 990.5, 988.5, 5.0])
    first, second = rates_of(members, others)
    assert (first.false_positives, first.hits) == (10, 3) and (second.false_positives, second.hits) == (1, 2)
    assert first.is_resolved(1000) and second.is_resolved(1000) and not second.is_resolved(999)
    assert rates_of(members, others[:91])[0] == Rate(0.01, 0, 4)


def test_ties_are_no_hits_and_half_of_the_area() -> None:
    assert rates_of(np.zeros(5), np.zeros(7))[0].hits == 0
    assert area_under(np.zeros(5), np.zeros(7)) == 0.5
    assert area_under(np.array([2.0, 0.0]), np.array([1.0, 0.0])) == (1 + 1 + 0 + 0.5) / 4


def test_a_curve_rises_to_all_and_stays_short() -> None:
    numbers = np.random.default_rng(0)
    for count in (10, 5000):
        curve = roc_of(numbers.normal(1, 1, 300), numbers.normal(0, 1, count))
        assert curve[0][0] == 0 and curve[-1] == (count, 300) and len(curve) <= 201
        assert list(curve) == sorted(curve) and sorted(hits for _, hits in curve) == [hits for _, hits in curve]


def test_bound_of_differential_privacy() -> None:
    assert most_hit_rate(0, 0, 0.01) == pytest.approx(0.01)
    assert most_hit_rate(1, 1e-5, 0.01) == pytest.approx(2.718281828 * 0.01 + 1e-5)
    assert most_hit_rate(1, 0, 0.5) == pytest.approx(1 - 0.5 / 2.718281828)
    assert most_hit_rate(1e6, 0, 0.001) == 1.0


# Scores


def test_both_attacks_tell_members_whose_confidence_is_that_of_models_that_saw_them() -> None:
    numbers = np.random.default_rng(3)
    hardness_N = numbers.normal(0, 3, 400)
    saw_RN = np.stack([half_of(SEED, number, 400) for number in range(16)])
    references_RN = hardness_N + np.where(saw_RN, 2.0, 0.0) + numbers.normal(0, 0.5, (16, 400))
    is_member = np.arange(400) % 2 == 0
    own_N = hardness_N + np.where(is_member, 2.0, 0.0) + numbers.normal(0, 0.5, 400)
    threshold = area_under(own_N[is_member], own_N[~is_member])
    for scores in (lira(own_N, references_RN, saw_RN), rmia(own_N, references_RN)):
        assert area_under(scores[is_member], scores[~is_member]) > 0.97 > threshold
        assert rates_of(scores[is_member], scores[~is_member])[0].share(200) > 0.6


def test_an_attack_that_learns_nothing_names_no_more_than_chance() -> None:
    numbers = np.random.default_rng(4)
    saw_RN = np.stack([half_of(SEED, number, 2000) for number in range(8)])
    scores = lira(numbers.normal(size=2000), numbers.normal(size=(8, 2000)), saw_RN)
    low, high = rates_of(scores[:1000], scores[1000:])[0].bounds(1000)
    assert low < 0.02 and 0.45 < area_under(scores[:1000], scores[1000:]) < 0.55 and high < 0.05


def test_a_record_that_every_reference_saw_scores_nothing() -> None:
    saw_RN = np.array([[True, True], [True, False]])
    assert lira(np.array([1.0, 2.0]), np.array([[1.0, 2.0], [1.0, 0.0]]), saw_RN)[0] == 0.0


def test_reference_models_come_in_pairs_of_halves() -> None:
    for count in (40, 41):
        halves = [half_of(SEED, number, count) for number in range(4)]
        assert halves[0].sum() == count // 2 and (halves[0] != halves[1]).all() and (halves[2] != halves[3]).all()
        assert (halves[0] != halves[2]).any()
    assert (half_of(SEED, 0, 40) != half_of(sha256(b"other"), 0, 40)).any()


def test_how_many_reference_models_follows_from_metered_work() -> None:
    small, large = StepWork(1 << 16, 10, 100_000), StepWork(1 << 32, 1000, 10**12)
    assert reference_count(small, recipe()) == MOST_REFERENCES
    assert reference_count(large, recipe()) == FEWEST_REFERENCES
    some = reference_count(StepWork(1 << 20, 100, 20_000_000), recipe(steps=80))
    assert FEWEST_REFERENCES < some < MOST_REFERENCES and some % 2 == 0
    assert reference_count(small, private_recipe(steps=2000)) < reference_count(small, recipe(steps=2000))


def test_confidence_is_the_logit_of_the_label() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 3.0, 1.0]], dtype=torch.float64)
    labels = torch.tensor([0, 2])
    share = torch.softmax(logits, 1)[torch.arange(2), labels]
    expected = torch.log(share / (1 - share))
    none = torch.zeros(2, dtype=torch.float64)
    assert torch.allclose(confidence(logits, labels, Choice("cross_entropy", {}), none), expected)
    assert torch.allclose(confidence(torch.log_softmax(logits, 1), labels, Choice("nll_loss", {}), none), expected)
    binary = confidence(
        torch.tensor([1.5, -2.0]), torch.tensor([1.0, 1.0]), Choice("binary_cross_entropy_with_logits", {}), none
    )
    assert binary.tolist() == [1.5, -2.0]
    assert confidence(none, none, Choice("mse_loss", {}), torch.tensor([3.0, 4.0])).tolist() == [-3.0, -4.0]


# The value


def test_a_report_is_read_back_and_its_digest_is_of_its_model_and_both_parts() -> None:
    report = made_up_report()
    again = RiskReport.parse(report.encode())
    assert again == report and again.digest == report.digest
    findings = findings_digest(report.summary.digest, report.details_digest)
    assert report.parts == Parts(report.summary.model, ZERO, findings)
    assert report.digest == tagged("fitchain/risk/v2", report.summary.model, ZERO, findings)
    assert replace(report, references=(sha256(b"root"),)).digest != report.digest
    assert replace(report, salt=sha256(b"other")).digest != report.digest
    assert made_up_report(auc=0.56).digest != report.digest
    assert replace(report, details=replace(report.details, exposed_count=21)).digest != report.digest


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), "fitchain/risk-report/v1"),
        (("summary", "auc"), None),
        (("summary", "auc"), 1.5),
        (("summary", "attack"), "none"),
        (("summary", "references"), 0),
        (("summary", "rates"), []),
        (("summary", "rates", 0, "hits"), 365),
        (("summary", "rates", 0, "false_positives"), 1),
        (("summary", "rates", 0, "at"), 0.02),
        (("details", "roc"), [[1]]),
        (("details", "exposed"), [-1]),
        (("details", "training"), None),
        (("details", "more"), 1),
    ],
)
def test_a_report_of_another_form_is_refused(path: tuple[str | int, ...], value: object) -> None:
    document: Any = json.loads(made_up_report().encode())
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(InputRefused):
        RiskReport.parse(canonical_json(document))


def test_a_report_that_is_not_canonical_is_refused() -> None:
    with pytest.raises(InputRefused, match="not canonical"):
        RiskReport.parse(made_up_report().encode() + b"\n")


def test_a_limit_needs_records_that_are_held_out() -> None:
    with pytest.raises(InputRefused, match="only beside records that are held out"):
        Policy(risk=RiskTerms(most_exposed=0.05))
    with pytest.raises(InputRefused, match="than the privacy budget admits"):
        Policy(risk=RiskTerms(0.05), held_out=0.2).require_limit_without_budget(True)
    policy = Policy(risk=RiskTerms(0.05, summary_leaves=True), held_out=0.2)
    assert Policy.from_json(policy.json()) == policy


# What people see


def test_the_page_says_what_stands_behind_each_number(capsys: pytest.CaptureFixture[str]) -> None:
    print_views(describe(made_up_report()))
    page = " ".join(capsys.readouterr().out.split())
    assert "6.0% of the records (3.8% to 9.0%), at no false alarm of 91" in page
    assert "1,000 held-out records would resolve this rate" in page
    assert "where chance alone gives about 3.96" in page and "accuracy from 93.0% to 100.0%" in page
    assert "20.1% at 1.0% FPR" in page and "canaries" in page
    assert "names 6.0% (3.8% to 9.0%) of 364 records" in describe_summary(made_up_report().summary)
    assert values(made_up_report())["rates"][0]["resolved"] is False


@pytest.mark.parametrize("tells", [True, False])
def test_the_picture_is_xml_with_a_curve(tells: bool) -> None:
    report = made_up_report() if tells else made_up_report(attack=Attack.NONE, rates=(), auc=None)
    root = ElementTree.fromstring(draw_roc(report))
    names = [each.tag.rpartition("}")[2] for each in root.iter()]
    assert names[0] == "svg" and names.count("path") > 6
    words = " ".join(each.text or "" for each in root.iter())
    assert ("LiRA, 91 held-out records" in words) == tells and ("nothing can be said" in words) != tells
    assert "bound of epsilon 3" in words


# The worker


ROWS, CLASSES = 160, 5
MEASURED = tuple(f"m{number}" for number in range(24))


class Wide(nn.Module):
    """Enough numbers to know every record."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(len(MEASURED), 128), nn.ReLU(), nn.Linear(128, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, M] -> [B, CLASSES]
        output: torch.Tensor = self.layers(x)
        return output


@cache
def wide() -> tuple[Graph, Tensors]:
    """The net as a graph, and its initial weights."""
    torch.manual_seed(0)
    return export(Wide(), (Input("x", "F32", (len(MEASURED),)),), 2)


def random_labels() -> Table:
    """Records whose class follows from nothing: who gets it right knows the record."""
    numbers = np.random.default_rng(5)
    arrays: dict[str, np.ndarray] = {name: numbers.random(ROWS) * 4 - 2 for name in MEASURED}
    arrays["kind"] = numbers.integers(0, CLASSES, ROWS)
    return Table.of(arrays, target="kind")


def lay_out(folder: Path, **changes: Any) -> Path:
    """A job's folder with a wide net and half of the records held out."""
    graph, weights = wide()
    folder.mkdir(parents=True)
    terms: dict[str, Any] = {
        "graph": str(graph.digest),
        "initial_model": str(model_root(weights)),
        "inputs": [list(MEASURED)],
    }
    given = recipe(**terms | {"rows": [0, ROWS], "held_out": 0.5, "transform": {}} | changes)
    (folder / "recipe.json").write_bytes(given.encode())
    (folder / "graph.json").write_bytes(graph.encode())
    write_safetensors(folder / "initial.safetensors", weights)
    random_labels().write_npz(folder / "records.npz")
    return folder


def do(folder: Path, task: Task) -> list[Event]:
    """Do a task in this process."""
    events = list[Event]()
    MODES[task.mode](Job.open(folder, task, Recipe.parse((folder / "recipe.json").read_bytes())), events.append)
    return events


def assessed(folder: Path) -> RiskReport:
    """Train a folder's job here, and attack the model."""
    context = Context(CTX, SEED, NOISE)
    do(folder, Train(context, SALT_KEYS, 1000))
    (*_, last) = do(folder, Assess(context, delta=DELTA))
    assert isinstance(last, Assessed)
    report = RiskReport.parse((folder / "run/risk-report.json").read_bytes())
    assert last.references == report.summary.references
    return report


LEARNED = {"steps": 600, "learning_rates": [[600, 0.01]], "segment_steps": 100}


@pytest.fixture(scope="module")
def memorised(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RiskReport]:
    folder = lay_out(tmp_path_factory.mktemp("risk") / "job", **LEARNED)
    return folder, assessed(folder)


def test_a_model_that_memorises_gives_its_records_away(memorised: tuple[Path, RiskReport]) -> None:
    folder, report = memorised
    given = Recipe.parse((folder / "recipe.json").read_bytes())
    summary, details = report.summary, report.details
    assert (summary.members, summary.non_members, summary.attack) == (80, 80, Attack.LIRA)
    assert summary.model == model_root(read_safetensors(folder / "run/final.safetensors")[0])
    assert summary.rates[0].bounds(80)[0] > 0.1
    assert set(details.exposed) <= set(training_rows(given, SEED).tolist())
    assert not set(details.exposed) & set(held_out_rows(given, SEED).tolist())
    assert details.exposed_count == summary.rates[1].hits and details.worst[0].with_ > details.worst[0].without
    assert details.training.accuracy is not None and details.held_out is not None and details.seeds.held_out
    assert details.training.accuracy > 0.9 > 0.6 > (details.held_out.accuracy or 0)
    assert (details.epsilon, details.delta) == (None, None)


def test_one_pass_gives_little_away(memorised: tuple[Path, RiskReport], tmp_path: Path) -> None:
    report = assessed(lay_out(tmp_path / "job", steps=10, learning_rates=[[10, 0.001]]))
    assert report.summary.rates[0].hits < memorised[1].summary.rates[0].hits / 2
    assert report.digest != memorised[1].digest


@pytest.mark.long
def test_a_private_training_gives_little_away_and_has_a_bound(
    memorised: tuple[Path, RiskReport], tmp_path: Path
) -> None:
    terms = {"sigma": 2.0, "clip": 0.5, "grid": 1 << 16, "unit_records": None}
    changes = {"privacy": terms, "metrics": [], "steps": 60, "learning_rates": [[60, 0.01]]}
    report = assessed(lay_out(tmp_path / "job", **changes))
    assert report.summary.rates[0].hits < memorised[1].summary.rates[0].hits / 2
    assert report.details.epsilon is not None and 0 < report.details.epsilon < 20
    assert report.details.delta == DELTA


@pytest.mark.long
def test_of_units_of_several_records_the_reference_models_see_whole_units_and_only_their_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whose = np.arange(ROWS) % 100  # of some three records, of some two: the fourth slot of each is empty
    table = random_labels().by_unit(whose, UnitColumn("person", 4))
    filled = table.arrays[FILLED]
    terms = {"sigma": 2.0, "clip": 0.5, "grid": 1 << 16, "unit_records": 4}
    steps = {"metrics": [], "steps": 20, "learning_rates": [[20, 0.01]], "batch_size": 16, "segment_steps": 10}
    folder = lay_out(tmp_path / "job", rows=[0, table.count], privacy=terms, **steps)
    table.write_npz(folder / "records.npz")
    report = assessed(folder)
    assert 0 < filled.sum() < table.count and report.summary.references >= 4
    assert (report.summary.members + report.summary.non_members, report.details.reference_units) == (filled.sum(), 50)
    assert report.details.references_ended == 0
    assert all(filled[row] for row in report.details.exposed)
    shown = replace(report, details=replace(report.details, exposed_count=2, exposed=(5, 8)))
    print_views(describe(shown, 4))
    told = " ".join(capsys.readouterr().out.split())
    assert "record 1 of unit 1, record 0 of unit 2" in told
    assert "records of one unit go together" in told and "units are numbered from 0, as the file shows" in told


@pytest.mark.parametrize("resolved", [False, True])
def test_a_bound_is_told_at_the_rate_that_held_out_records_resolve(
    resolved: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else what few of them name by chance would seem to break it."""
    many = {"non_members": 5000, "rates": (Rate(0.01, 50, 22), Rate(0.001, 5, 22))}
    print_views(describe(made_up_report(**(many if resolved else {"non_members": 31}))))
    told = " ".join(capsys.readouterr().out.split())
    assert "no attack on one record names it more often than 20.1% at 1.0% FPR" in told
    assert ("(epsilon 3, delta 0.0001); at 11.2%, which 31 held-out records cannot tell from" in told) != resolved


@pytest.mark.long
def test_the_same_folder_gives_the_same_bytes_in_another_process_and_another_model_others(tmp_path: Path) -> None:
    folder, made = lay_out(tmp_path / "job"), []
    run_worker(folder, Train(Context(CTX, SEED), SALT_KEYS, 1000))
    for _ in range(2):
        run_worker(folder, Assess(Context(CTX, SEED)))
        made.append((folder / "run/risk-report.json").read_bytes())
    assert made[0] == made[1]
    write_safetensors(folder / "run/final.safetensors", wide()[1])
    run_worker(folder, Assess(Context(CTX, SEED)))
    untrained = RiskReport.parse((folder / "run/risk-report.json").read_bytes())
    assert untrained.digest != RiskReport.parse(made[0]).digest
    assert untrained.summary.model == model_root(wide()[1])


def test_a_graph_that_takes_no_more_records_than_a_batch_and_one_that_cannot_be_computed_leave_a_report(
    tmp_path: Path,
) -> None:
    failing = float(np.float32(random_labels().arrays[MEASURED[0]][3]))
    folder = lay_out(tmp_path / "job", steps=20, learning_rates=[[20, 0.01]], batch_size=4, segment_steps=10)
    sizes = set[int]()
    run = Program.__call__

    def at_most_a_batch(self: Program, *inputs: torch.Tensor, **how: Any) -> torch.Tensor:
        sizes.add(len(inputs[0]))
        if len(inputs[0]) > 4 or (not how["training"] and bool((inputs[0][:, 0] == failing).any())):
            raise RuntimeError("index out of range")
        return run(self, *inputs, **how)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Program, "__call__", at_most_a_batch)
        report = assessed(folder)
    assert max(sizes) == 4
    assert report.summary.members + report.summary.non_members == ROWS and report.summary.attack is not Attack.NONE


def test_without_records_held_out_nothing_is_said_of_membership(tmp_path: Path) -> None:
    report = assessed(lay_out(tmp_path / "job", held_out=None))
    assert (report.summary.attack, report.summary.rates, report.summary.auc) == (Attack.NONE, (), None)
    assert report.summary.non_members == 0 and report.details.held_out is None
    assert len(report.details.seeds.figures) == MOST_REFERENCES and not report.details.seeds.held_out
    print_views(describe(report))


def test_records_of_an_ignored_class_are_in_no_figure_of_the_report(tmp_path: Path) -> None:
    kinds = random_labels().arrays["kind"]
    report = assessed(lay_out(tmp_path / "job", loss={"name": "cross_entropy", "arguments": {"ignore_index": 1}}))
    summary, details = report.summary, report.details
    assert summary.members + summary.non_members == (kinds != 1).sum() < ROWS
    assert details.training.records == summary.members and not set(details.exposed) & set(np.flatnonzero(kinds == 1))
    assert details.held_out is not None and details.held_out.records == summary.non_members
    assert details.not_tried[-1].startswith("records all of whose targets are of class 1, which counts in no loss")


def test_a_training_of_which_nothing_counts_is_not_attacked(tmp_path: Path) -> None:
    summed = {"ignore_index": 1, "reduction": "sum"}
    folder = lay_out(tmp_path / "job", loss={"name": "cross_entropy", "arguments": summed})
    alone = {**random_labels().arrays, "kind": np.ones(ROWS, np.int64)}
    Table.of(alone, target="kind").write_npz(folder / "records.npz")
    with pytest.raises(InputRefused, match="all that the model was trained on is of class 1"):
        assessed(folder)


def test_references_that_end_early_are_left_out(tmp_path: Path) -> None:
    folder = lay_out(
        tmp_path / "job",
        loss={"name": "cross_entropy", "arguments": {"reduction": "sum"}},
        optimizer={"name": "SGD", "arguments": {"weight_decay": 1e6}},
        learning_rates=[[22, 1e6]],
    )
    (folder / "run").mkdir()
    write_safetensors(folder / "run/final.safetensors", wide()[1])
    do(folder, Assess(Context(CTX, SEED)))
    report = RiskReport.parse((folder / "run/risk-report.json").read_bytes())
    assert report.details.references_ended == MOST_REFERENCES and report.summary.attack is Attack.NONE


def test_an_assessment_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="final"):
        do(lay_out(tmp_path / "job"), Assess(Context(CTX, SEED)))
