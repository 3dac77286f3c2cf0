"""Losses by name: what each is, what a class that is ignored counts in, and what a table's target
has to be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.nn import functional as F

from fitchain.cli.views.held_out import held_out_sentence
from fitchain.pod.compute.dataset import Assemble, Table, assemble
from fitchain.pod.compute.held_out import MEAN_GRID, NOISE_DOMAIN, evaluate_held_out, tally_outputs
from fitchain.pod.compute.losses import (
    count_among,
    count_by_class,
    count_correct,
    counted,
    fit,
    hits_of,
    loss_function,
    mean_of,
    mean_weight,
    sum_errors,
    taken_for,
)
from fitchain.pod.compute.model import Program
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.private_training import RecordGradients
from fitchain.pod.compute.risk import confidence
from fitchain.pod.compute.training import Diverged, SegmentMetrics, StepDone, as_tensors, fresh_optimizer, train
from fitchain.pod.values.best import figure_of
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input
from fitchain.pod.values.held_out import Amounts, Classes, HeldOut, NoisedMean, Sequences
from fitchain.pod.values.privacy.noise import discrete_gaussian
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import BINARY, LOSSES, OF_TRUTHS, OPTIMIZERS, Choice
from tests.recipe_drafts import drafted
from tests.training_jobs import SEED, PrivateNet, exported, of_classes, private_recipe, recipe, table

SCORES_BK = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3], [1.0, -2.0, 0.0]])
CLASS_B = torch.tensor([0, 2, 1])


def value_of(loss: Choice, prediction: Tensor, target: Tensor) -> float:
    return loss_function(loss)(prediction, target).item()


def chosen(name: str, **arguments: Any) -> Choice:
    return Choice(name, arguments)


def test_no_loss_and_no_optimizer_share_an_argument() -> None:
    """A recipe file may give both beside their names."""
    of_losses = {name for arguments in LOSSES.values() for name in arguments}
    assert not of_losses & {name for arguments in OPTIMIZERS.values() for name in arguments}


# What each is


def test_poisson_and_kl_are_torchs() -> None:
    rates, counts = torch.tensor([0.5, 1.5]), torch.tensor([0.0, 3.0])
    assert value_of(chosen("poisson_nll_loss"), rates, counts) == F.poisson_nll_loss(rates, counts).item()
    full = chosen("poisson_nll_loss", log_input=False, full=True, reduction="sum")
    assert value_of(full, rates, counts) == F.poisson_nll_loss(rates, counts, False, True, reduction="sum").item()
    logs, shares = SCORES_BK.log_softmax(1), torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.1, 0.1, 0.8]])
    kl = chosen("kl_div", reduction="batchmean")
    assert value_of(kl, logs, shares) == F.kl_div(logs, shares, reduction="batchmean").item()


def test_dice_is_of_each_records_mask() -> None:
    logits, masks = torch.tensor([[[9.0, -9.0]], [[-9.0, 9.0]]]), torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    right, wrong = loss_function(chosen("dice_loss", reduction="none"))(logits, masks).tolist()
    assert right < 1e-3 and wrong == pytest.approx(1 - 1 / 3, abs=1e-3)
    assert value_of(chosen("dice_loss", reduction="sum"), logits, masks) == pytest.approx(right + wrong)


def test_dice_of_empty_masks_is_finite_and_so_is_its_gradient() -> None:
    logits = torch.full((2, 4, 4), -200.0, requires_grad=True)
    loss = loss_function(chosen("dice_loss", smooth=2.0**-20))(logits, torch.zeros(2, 4, 4))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0 and logits.grad is not None and logits.grad.isfinite().all()


def test_a_masks_only_channel_is_dropped() -> None:
    dice, mask = chosen("dice_loss"), torch.zeros(2, 5, 5)
    assert fit(torch.zeros(2, 1, 5, 5), mask, dice).shape == mask.shape
    with pytest.raises(InputRefused, match="the model's output is"):
        fit(torch.zeros(2, 3, 5, 5), mask, dice)


# A class that is ignored

IGNORING = [
    chosen("cross_entropy", ignore_index=2),
    chosen("cross_entropy", ignore_index=2, label_smoothing=0.1, weight=[1.0, 3.0, 5.0]),
    chosen("nll_loss", ignore_index=2, weight=[1.0, 3.0, 5.0]),
    chosen("focal_loss", ignore_index=2, weight=[1.0, 3.0, 5.0]),
    chosen("focal_loss", ignore_index=2, reduction="sum"),
]


@pytest.mark.parametrize("loss", IGNORING, ids=str)
def test_an_ignored_class_counts_in_no_loss_and_no_gradient(loss: Choice) -> None:
    kept, scores = CLASS_B != 2, SCORES_BK.clone().requires_grad_()
    value = loss_function(loss)(scores, CLASS_B)
    assert value.item() == pytest.approx(value_of(loss, SCORES_BK[kept], CLASS_B[kept]), rel=1e-6)
    (gradient,) = torch.autograd.grad(value, scores)
    assert gradient[~kept].eq(0).all() and gradient[kept].ne(0).any()


@pytest.mark.parametrize("loss", [*IGNORING, chosen("cross_entropy", weight=[1.0, 3.0, 5.0])], ids=str)
def test_means_of_parts_weighed_are_the_mean_of_the_whole(loss: Choice) -> None:
    loss, parts = mean_of(loss), [slice(0, 1), slice(1, 2), slice(2, 3)]
    weights = [mean_weight(CLASS_B[part], loss) for part in parts]
    means = [value_of(loss, SCORES_BK[part], CLASS_B[part]) if weights[n] else 0.0 for n, part in enumerate(parts)]
    whole = math.fsum(mean * weight for mean, weight in zip(means, weights, strict=True)) / math.fsum(weights)
    assert whole == pytest.approx(value_of(loss, SCORES_BK, CLASS_B), rel=1e-6)


def result(loss: Choice, scores: np.ndarray, classes: np.ndarray) -> HeldOut:
    """Of records whose outputs are these, in batches of two."""

    def outputs(batch: slice) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(scores[batch]), torch.from_numpy(classes[batch])

    given, rows = replace(recipe(), loss=loss, batch_size=2), np.arange(len(classes), dtype=np.uint64)
    return tally_outputs(given, rows, outputs, lambda indices: classes[indices.astype(np.intp)])


def test_an_ignored_class_counts_in_no_result() -> None:
    numbers = np.random.default_rng(0)
    scores, classes = numbers.random((9, 2), np.float32), np.array([0, 1, 7, 7, 1, 7, 0, 1, 7])
    loss, kept = chosen("cross_entropy", ignore_index=7), classes != 7
    some, whole = result(loss, scores, classes).outcome, result(loss, scores[kept], classes[kept]).outcome
    assert isinstance(some, Classes) and isinstance(whole, Classes)
    assert replace(some, loss=0.0) == replace(whole, loss=0.0) and some.compared == 5 and some.above is not None
    assert some.loss == pytest.approx(whole.loss, rel=1e-6)
    assert result(loss, scores, np.full(9, 7)) == HeldOut(9, None)


def trained(given: Recipe, records: Table) -> list[float]:
    graph, initial = exported()
    program = Program(graph, initial)
    take, order = assemble(given, records), [np.arange(8, dtype=np.uint64), np.arange(8, 16, dtype=np.uint64)]
    steps = train(program, given, order, take, SEED, 0, fresh_optimizer(program, given))
    return [done.correct / done.compared for done in steps]


def test_a_batch_in_which_no_target_counts_ends_the_training() -> None:
    given = recipe(loss={"name": "cross_entropy", "arguments": {"ignore_index": 1}})
    with pytest.raises(Diverged, match="after step 0: the loss is nan"):
        trained(given, of_classes([1] * 8))
    assert trained(given, of_classes([1] * 7 + [0, *[2] * 8]))[0] in (0.0, 1.0)


def test_an_ignored_number_may_lie_below_0_and_others_may_not() -> None:
    records = table(change=("kind", 3, -100))
    given = recipe(loss={"name": "cross_entropy", "arguments": {"ignore_index": -100}})
    assert assemble(given, records)(np.array([3], np.uint64))[1].tolist() == [-100]
    with pytest.raises(InputRefused, match="wants class numbers"):
        assemble(recipe(), records)


def test_a_record_that_is_ignored_adds_nothing_to_a_private_step() -> None:
    loss = {"name": "cross_entropy", "arguments": {"ignore_index": 1, "reduction": "mean"}}
    records, given = of_classes([1] * 4), private_recipe(loss=loss)
    graph, initial = exported(PrivateNet)
    gradients, take = RecordGradients(Program(graph, initial), given), assemble(given, records)
    some, all_of_them = (
        gradients.sum(np.arange(first, 12, dtype=np.uint64), take, SEED, 0).clone() for first in (4, 0)
    )
    assert torch.equal(some, all_of_them) and some.any()


def test_an_ignored_record_says_nothing_to_an_attack() -> None:
    sure = confidence(SCORES_BK, torch.tensor([0, -100, 1]), chosen("cross_entropy", ignore_index=-100), torch.zeros(3))
    assert sure[1] == 0 and sure[0] > 0 > sure[2]


# Figures


def test_top5_counts_those_of_whom_fewer_than_five_others_score_higher() -> None:
    scores = torch.tensor([[7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], [1.0] * 7])
    loss = chosen("cross_entropy", ignore_index=6)
    counts = [count_among(scores, torch.full((2,), number), loss) for number in range(7)]
    assert counts == [2, 2, 2, 2, 2, 1, 0]  # a tie counts for the class
    outcome = result(loss, scores.numpy(), np.array([5, 4])).outcome
    assert isinstance(outcome, Classes) and (outcome.among, outcome.top5) == (1, 0.5)
    assert Classes.from_json({"kind": "classes", **asdict(outcome)}) == outcome
    for among in (-1, 3, True):
        with pytest.raises(InputRefused, match="among"):
            Classes.from_json({"kind": "classes", **asdict(outcome), "among": among})


def test_few_classes_have_no_top5() -> None:
    outcome = result(chosen("cross_entropy"), SCORES_BK.numpy(), CLASS_B.numpy()).outcome
    assert isinstance(outcome, Classes) and outcome.among is None
    with pytest.raises(InputRefused, match="does not tell which are among 5"):
        Classes.from_json({"kind": "classes", **asdict(outcome), "among": 3})
    with pytest.raises(InputRefused, match="of one of more than 5 classes"):
        drafted(best="top5", held_out=0.2, segment_steps=20)


def test_segments_report_what_a_recipe_asks_for() -> None:
    given = recipe(metrics=["loss", "top5", "f1"], loss={"name": "cross_entropy", "arguments": {}}, micro_batch=3)
    graph, initial = exported()
    program, segment = Program(graph, initial), SegmentMetrics()
    order = [np.arange(8, dtype=np.uint64)]
    for done in train(program, given, order, assemble(given, table()), SEED, 0, fresh_optimizer(program, given)):
        segment.add(done)
    assert segment.values(given.metrics)["top5"] == 1.0 and segment.compared == 8  # of three classes each is
    hits, present, _ = segment.by_class.tolist()  # type: ignore[union-attr]
    true = table().arrays["kind"][:8].tolist()
    assert present == [true.count(number) for number in range(3)] and sum(hits) <= 8
    assert 0 <= segment.values(given.metrics)["f1"] <= 1


@pytest.mark.parametrize(
    "loss", [chosen("cross_entropy"), chosen("nll_loss", ignore_index=0), chosen(BINARY), chosen("dice_loss")]
)
def test_f1_of_a_segment_is_macro_f1_over_all_its_predictions(loss: Choice) -> None:
    """Counts of several batches are added up first: a mean of the batches' own would be another."""
    generator, segment = torch.Generator().manual_seed(1), SegmentMetrics()
    all_true, all_taken = list[int](), list[int]()
    for step, size in enumerate((7, 5, 1)):
        scores = torch.randn(size, 6, generator=generator)
        if loss.name in OF_TRUTHS:
            target = torch.randint(2, (size, 6), generator=generator).float()
        else:
            target = torch.randint(4, (size,), generator=generator)  # classes 4 and 5 are predicted alone
        by_class, counts = count_by_class(scores, target, loss), counted(target, loss).ravel().numpy()
        segment.add(StepDone(step + 1, 0.0, 0, int(counts.sum()), np.zeros(size, np.uint64), by_class=by_class))
        true, taken = taken_for(scores, target, loss.name)
        all_true += true[counts].tolist()
        all_taken += taken[counts].tolist()
    expected = f1_score(all_true, all_taken, average="macro")
    assert segment.values(["f1"])["f1"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("label", [6, -1, 2**40])
def test_f1_counts_no_class_that_a_model_does_not_put_out(label: int) -> None:
    with pytest.raises(IndexError, match="out of range of the model's classes"):
        count_by_class(torch.zeros(2, 6), torch.tensor([0, label]), chosen("cross_entropy"))


@pytest.mark.parametrize(
    ("loss", "metric"),
    [
        ("mse_loss", "top5"),
        ("l1_loss", "f1"),
        ("ctc_loss", "f1"),
        ("cross_entropy", "mae"),
        ("dice_loss", "top5"),
        ("poisson_nll_loss", "accuracy"),
    ],
)
def test_a_metric_that_a_loss_does_not_have_is_refused(loss: str, metric: str) -> None:
    with pytest.raises(InputRefused, match=f"{metric} is of"):
        recipe(loss={"name": loss, "arguments": {}}, metrics=[metric], transform={})


def test_the_mean_error_of_rates_is_in_counts() -> None:
    loss, rates = chosen("poisson_nll_loss"), torch.tensor([0.0, 1.0])
    assert sum_errors(rates, torch.tensor([3.0, 0.0]), loss) == pytest.approx(2 + math.e, rel=1e-6)


# Targets


def amounts(loss: Mapping[str, Any], numbers: list[float]) -> Any:
    given = recipe(target="y", loss=loss, metrics=[], rows=[0, len(numbers)], batch_size=1, transform={})
    arrays = {name: np.zeros(len(numbers)) for name in ("a", "b", "c", "d")} | {"y": np.array(numbers)}
    return assemble(given, Table.of(arrays, target="y"))(np.arange(len(numbers), dtype=np.uint64))[1].tolist()


@pytest.mark.parametrize("name", ["poisson_nll_loss", "kl_div"])
def test_counts_and_shares_below_0_are_refused(name: str) -> None:
    assert amounts({"name": name, "arguments": {}}, [0.0, 2.0]) == [0.0, 2.0]
    with pytest.raises(InputRefused, match=f"{name} wants numbers of 0 and above"):
        amounts({"name": name, "arguments": {}}, [0.0, -1.0])


def test_masks_hold_shares_and_logarithms_may_be_negative() -> None:
    with pytest.raises(InputRefused, match="dice_loss wants shares from 0 to 1"):
        amounts({"name": "dice_loss", "arguments": {}}, [0.0, 3.0])
    assert amounts({"name": "kl_div", "arguments": {"log_target": True}}, [-1.0]) == [-1.0]


def test_counts_are_drafted_without_constants_and_refused_with_them() -> None:
    given = drafted(target="radius", loss="poisson_nll_loss", inputs=[["texture"]])
    assert "radius" not in given.transform and given.target_scale == 1.0
    moved = {"radius": {"mean": 14.1, "scale": 3.5}}
    with pytest.raises(InputRefused, match="the recipe's transform would move them"):
        drafted(target="radius", loss="poisson_nll_loss", inputs=[["texture"]], transform=moved)


def test_errors_of_rates_are_in_counts() -> None:
    counts, loss = np.array([1.0, 4.0, 2.0], np.float32), chosen("poisson_nll_loss")
    outcome = result(loss, np.log(counts * 2), counts).outcome
    assert isinstance(outcome, Amounts) and outcome.mae == pytest.approx(7 / 3, rel=1e-6)


# Sequences


def paths(*rows: list[int]) -> Tensor:
    """Log-probabilities in which these classes are the likeliest, step by step: `[B, T, 4]`."""
    return F.one_hot(torch.tensor(rows), 4).float().mul(5).log_softmax(2)


CTC = chosen("ctc_loss")
READ = paths([1, 1, 0, 1, 2], [0, 3, 3, 3, 0], [2, 0, 0, 1, 0])
LABELS = torch.tensor([[1, 1, 2, 0, 0, 0], [3, 0, 0, 0, 0, 0], [2, 2, 0, 0, 0, 0]])


def test_ctc_is_torchs_with_the_labels_before_the_first_blank() -> None:
    expected = F.ctc_loss(READ.transpose(0, 1), LABELS, torch.tensor([5, 5, 5]), torch.tensor([3, 1, 2]))
    assert value_of(CTC, READ, LABELS) == expected.item()
    behind = LABELS.clone()
    behind[1, 3] = 2  # behind a blank nothing is a label
    assert value_of(CTC, READ, behind) == expected.item()
    assert fit(READ, LABELS, CTC) is READ and mean_weight(LABELS, CTC) == 3


def test_a_sequence_hits_where_its_likeliest_path_reads_as_its_labels() -> None:
    assert hits_of(READ, LABELS, CTC).tolist() == [True, True, False]
    assert hits_of(READ, LABELS[:, :3], CTC).tolist() == [True, True, False]
    assert hits_of(READ[:2, :2], LABELS[:2], CTC).tolist() == [False, True]
    last = chosen("ctc_loss", blank=3)
    assert hits_of(paths([1, 3, 1, 3]), torch.tensor([[1, 1, 3]]), last).tolist() == [True]


@pytest.mark.parametrize("label", [4, -1, 2**40])
def test_a_label_beyond_the_classes_is_refused_before_torch_looks_it_up(label: int) -> None:
    labels = LABELS.clone()
    labels[0, 1] = label
    with pytest.raises(IndexError, match="out of range"):
        value_of(CTC, READ, labels)


def test_labels_that_do_not_fit_end_a_training_or_count_as_nothing() -> None:
    short, labels = READ[:, :2], LABELS
    assert value_of(CTC, short, labels) == math.inf
    assert math.isfinite(value_of(chosen("ctc_loss", zero_infinity=True), short, labels))


@pytest.mark.parametrize(("shape", "target"), [((3, 5), (3, 6)), ((3, 5, 4), (3,)), ((5, 3, 4), (3, 6))])
def test_what_a_table_cannot_say_of_sequences_is_refused(shape: Any, target: Any) -> None:
    with pytest.raises(InputRefused, match=r"the model's output is .* and ctc_loss") as refused:
        fit(torch.zeros(shape), torch.zeros(target), CTC)
    assert "a table names no shorter length" in refused.value.hint


def test_results_of_sequences_count_those_read_without_an_error() -> None:
    made = result(CTC, READ.numpy(), LABELS.numpy())
    assert isinstance(made.outcome, Sequences) and (made.outcome.compared, made.outcome.correct) == (3, 2)
    assert HeldOut.from_json(made.json()) == made and figure_of(made, "accuracy") == 2 / 3
    assert "read without an error 66.7 %" in held_out_sentence(made, 1.0)
    with pytest.raises(InputRefused, match="correct"):
        Sequences.from_json({"kind": "sequences", "compared": 3, "correct": 4, "loss": 0.0})


class Reader(nn.Module):
    """Four numbers as two steps of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:  # [B, 4] -> [B, 2, 3]
        steps_BTK: Tensor = self.last(x).view(-1, 2, 3).log_softmax(2)
        return steps_BTK


def reading(private: bool) -> tuple[Program, Recipe, Assemble]:
    """A model of sequences, its recipe, and records with labels of several lengths."""
    arrays = {name: np.array(cells) for name, cells in table().arrays.items() if name != "kind"}
    labels = np.array([[1, 2], [2, 0], [1, 0], [0, 0]] * 10)
    records = Table.of(arrays | {"labels": labels}, target="labels")
    terms: dict[str, Any] = {"target": "labels", "loss": {"name": "ctc_loss", "arguments": {}}, "metrics": []}
    given = (private_recipe if private else recipe)(held_out=0.2, **terms)
    torch.manual_seed(0)
    graph, initial = export(Reader(), (Input("x", "F32", (4,)),), 2)
    return Program(graph, initial), given, assemble(given, records)


@pytest.mark.parametrize("private", [False, True])
def test_sequences_are_trained_on_in_the_open_and_in_private(private: bool) -> None:
    """Records have labels of several lengths, so no two of them go side by side."""
    program, given, take = reading(private)
    rows = np.arange(12, dtype=np.uint64)
    if not private:
        (done,) = train(program, given, [rows], take, SEED, 0, fresh_optimizer(program, given))
        assert math.isfinite(done.loss)
        return
    gradients = RecordGradients(program, given)
    together, alone = gradients.sum(rows, take, SEED, 0).clone(), torch.zeros(gradients.count, dtype=torch.int64)
    for row in range(12):
        alone += gradients.sum(rows[row : row + 1], take, SEED, 0)
    assert torch.equal(together, alone) and alone.any()


def test_of_held_out_sequences_a_budget_tells_the_share_that_is_read_with_noise() -> None:
    program, given, take = reading(private=True)
    rows, key = np.arange(8, dtype=np.uint64), bytes(32)
    outcome = evaluate_held_out(program, given, rows, take, SEED, key).outcome
    inputs, target_BS = as_tensors(*take(rows))
    hits = count_correct(program(*inputs, training=False), target_BS, given.loss)
    noise = discrete_gaussian(Fraction(given.held_out_sigma) * MEAN_GRID).draw(
        key, SEED.value, given.steps, NOISE_DOMAIN, 1
    )
    assert outcome == NoisedMean("accuracy", 1.0, MEAN_GRID, given.held_out_sigma, MEAN_GRID * hits + int(noise[0]))
    assert 0 < hits < 8  # else the test would tell nothing
