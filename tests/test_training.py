"""The loop: bit for bit what torch does, restartable from any state, and a function of recipe and
seed alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from fitchain.pod.compute.dataset import assemble, batches
from fitchain.pod.compute.losses import count_correct, fit, loss_function
from fitchain.pod.compute.model import Program, tensor_bytes
from fitchain.pod.compute.training import (
    Diverged,
    SegmentMetrics,
    StepDone,
    load_optimizer,
    optimizer_tensors,
    step_seed,
)
from fitchain.pod.values.digest import ZERO, sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.leaf import Indices, records_digest
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import Choice
from tests.training_jobs import SEED, Net, exported, recipe, table
from tests.training_runs import Run

ADAMW = {"name": "AdamW", "arguments": {"weight_decay": 0.01, "betas": [0.8, 0.99]}}
SGD = {"name": "SGD", "arguments": {"momentum": 0.9, "weight_decay": 0.001}}
BINARY, SQUARED = Choice("binary_cross_entropy_with_logits", {}), Choice("mse_loss", {})


def eager(given: Recipe) -> tuple[list[float], dict[str, bytes]]:
    """The same training as anyone would write it with the module itself."""
    graph, initial = exported()
    net, program = Net(), Program(graph, initial)
    net.load_state_dict({**program.parameters, **program.buffers})
    trainable = [parameter for parameter in net.parameters() if parameter.requires_grad]
    arguments, weight = {**given.optimizer.arguments}, given.loss.arguments.get("weight")
    heads = [{"params": [*net.last.parameters()], "weight_decay": 0.5}] if given.parameter_groups else []
    rest = [parameter for parameter in trainable if not heads or all(parameter is not p for p in net.last.parameters())]
    groups = [*heads, {"params": rest}]
    optimizer = getattr(torch.optim, given.optimizer.name)(groups, lr=0.1, fused=True, **arguments)
    take, losses = assemble(given, table()), []
    for step, indices in enumerate(batches(given, SEED)):
        (inputs,), target = take(indices)
        torch.manual_seed(step_seed(SEED, step))
        for group in optimizer.param_groups:
            group["lr"] = given.learning_rate(step) * (3.0 if heads and group is optimizer.param_groups[0] else 1.0)
        class_weight = None if weight is None else torch.tensor(weight)
        loss = F.cross_entropy(net(torch.from_numpy(inputs)), torch.from_numpy(target), class_weight)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if (clip := given.gradient_clip) is not None and clip.kind == "norm":
            ordered = [p for _, p in sorted(net.named_parameters()) if p.requires_grad]
            torch.nn.utils.clip_grad_norm_(ordered, clip.most)
        elif clip is not None:
            torch.nn.utils.clip_grad_value_(trainable, clip.most)
        optimizer.step()
        losses.append(loss.item())
    tensors = net.state_dict()
    return losses, {name: bytes(tensor_bytes("buffer", tensor).data) for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    "terms",
    [
        {"optimizer": ADAMW},
        {"optimizer": SGD},
        {"optimizer": SGD, "gradient_clip": {"kind": "norm", "most": 0.05}},
        {"optimizer": ADAMW, "gradient_clip": {"kind": "value", "most": 0.01}},
        {"optimizer": ADAMW, "parameter_groups": [{"match": "last.*", "rate": 3.0, "weight_decay": 0.5}]},
        {"optimizer": SGD, "loss": {"name": "cross_entropy", "arguments": {"weight": [1.0, 0.0, 4.0]}}},
    ],
    ids=["adamw", "sgd", "norm", "value", "groups", "weights"],
)
def test_training_is_bit_identical_to_the_eager_module(terms: dict[str, Any]) -> None:
    run = Run(recipe(**terms))
    done, (losses, tensors) = run.go(), eager(run.recipe)
    assert [each.loss for each in done] == losses
    assert {name: run.state()[name] for name in tensors} == tensors


@pytest.mark.parametrize("optimizer", [ADAMW, SGD], ids=["adamw", "sgd"])
@pytest.mark.parametrize("cut", [0, 1, 9, 21])
def test_a_state_and_a_step_are_all_that_a_training_needs(optimizer: dict[str, Any], cut: int) -> None:
    undisturbed = Run(recipe(optimizer=optimizer))
    undisturbed.go()
    run = Run(recipe(optimizer=optimizer))
    if cut:
        run.go(cut)
    moved = run.moved()
    moved.go()
    assert moved.state() == undisturbed.state()


def test_frozen_parameters_stay_as_they_were() -> None:
    run = Run(recipe())
    before = run.state()["scale"]
    run.go()
    assert run.state()["scale"] == before
    assert "scale/exp_avg" not in run.state()


def test_no_optimizer_tensor_exists_before_the_first_step() -> None:
    run = Run(recipe())
    assert optimizer_tensors(run.optimizer, run.program) == {}
    run.go(1)
    names = {"first.weight/exp_avg", "first.weight/exp_avg_sq", "first.weight/step"}
    assert names <= optimizer_tensors(run.optimizer, run.program).keys()


def test_an_optimizers_tensor_of_no_parameter_is_refused() -> None:
    run = Run(recipe())
    with pytest.raises(InputRefused, match="'elsewhere/step' belongs to no parameter"):
        load_optimizer(run.optimizer, run.program, {"elsewhere/step": torch.zeros(())}, run.recipe)


MISFITS = {
    "another shape": ({"first.weight/exp_avg": torch.zeros(1)}, "'first.weight/exp_avg' is torch.float32"),
    "another dtype": ({"first.weight/step": torch.zeros((), dtype=torch.int64)}, "'first.weight/step' is torch.int64"),
    "too few": ({"first.weight/step": torch.ones(())}, "keeps .* of 'first.weight', not"),
    "too many": (
        {f"first.bias/{key}": torch.zeros(8) for key in ("exp_avg", "exp_avg_sq", "other")}
        | {"first.bias/step": torch.ones(())},
        "keeps .* of 'first.bias', not",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_an_optimizers_tensors_that_a_kernel_would_misread_are_refused(misfit: str) -> None:
    run, (tensors, what) = Run(recipe()), MISFITS[misfit]
    with pytest.raises(InputRefused, match=what):
        load_optimizer(run.optimizer, run.program, tensors, run.recipe)


@given(st.integers(0, 2**32 - 1))
def test_step_seeds_fit_every_generator(step: int) -> None:
    assert 0 <= step_seed(SEED, step) < 1 << 63
    assert step_seed(SEED, step) != step_seed(ZERO, step)


# Ends


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    run = Run(recipe(optimizer={"name": "SGD", "arguments": {}}, learning_rates=[[22, 1e6]]))
    with pytest.raises(Diverged, match="the loss is") as end:
        run.go()
    assert 0 < end.value.step < 22


def test_a_failing_operator_ends_the_training_without_telling_a_record() -> None:
    with pytest.raises(Diverged) as end:
        Run(recipe(), records=table(change=("kind", 0, 1234567))).go()
    assert (end.value.step < 5, "1234567" in end.value.reason) == (True, False)
    assert "1234567" in end.value.detail


# Losses and metrics


def test_a_trailing_dimension_of_one_is_dropped() -> None:
    assert fit(torch.zeros(8, 1), torch.zeros(8), SQUARED).shape == (8,)
    assert fit(torch.zeros(8, 1), torch.zeros(8, 1), SQUARED).shape == (8, 1)


@pytest.mark.parametrize(
    ("output", "target", "loss"),
    [
        ((8,), (8,), Choice("cross_entropy", {})),
        ((4, 3), (8,), Choice("cross_entropy", {})),
        ((8, 3), (8,), SQUARED),
        ((8,), (8, 1), BINARY),
    ],
)
def test_an_output_that_would_be_broadcast_is_refused(output: Any, target: Any, loss: Choice) -> None:
    with pytest.raises(InputRefused, match="the model's output is"):
        fit(torch.zeros(output), torch.zeros(target), loss)


def test_accuracy_counts_the_largest_class_or_the_sign() -> None:
    scores_BK = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert count_correct(scores_BK, torch.tensor([1, 1, 1]), Choice("cross_entropy", {})) == 2
    assert count_correct(torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 0.0, 0.0]), BINARY) == 2


def test_composed_losses_are_what_their_sources_say() -> None:
    scores_BK, class_B = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]]), torch.tensor([0, 2])
    p_B = scores_BK.softmax(1)[[0, 1], class_B]
    focal = loss_function(Choice("focal_loss", {"focusing": 3.0, "weight": [0.5, 1.0, 2.0]}))
    expected = (torch.tensor([0.5, 2.0]) * (1 - p_B) ** 3 * -p_B.log()).mean()
    assert focal(scores_BK, class_B).item() == pytest.approx(expected.item(), rel=1e-6)
    plain = loss_function(Choice("focal_loss", {"focusing": 0.0}))
    assert plain(scores_BK, class_B).item() == pytest.approx(F.cross_entropy(scores_BK, class_B).item(), rel=1e-6)
    quantile = loss_function(Choice("quantile_loss", {"quantile": 0.9, "reduction": "none"}))
    assert quantile(torch.tensor([1.0, 1.0]), torch.tensor([3.0, 0.0])).tolist() == pytest.approx([1.8, 0.1])


def test_a_group_without_a_parameter_is_refused() -> None:
    with pytest.raises(InputRefused, match=r"the parameter group 'head\.\*' matches no parameter") as refused:
        Run(recipe(parameter_groups=[{"match": "head.*", "rate": 1.0, "weight_decay": None}]))
    assert "first.weight" in refused.value.hint


losses = st.floats(0, 1e6, width=32)


@given(st.lists(st.tuples(losses, st.integers(0, 8)), min_size=1, max_size=20))
def test_metrics_are_exact_functions_of_the_segment(steps: list[tuple[float, int]]) -> None:
    segment, total = SegmentMetrics(), 0.0
    for index, (loss, correct) in enumerate(steps):
        indices: Indices = np.full(8, index, np.uint64)
        segment.add(StepDone(index + 1, loss, correct, 8, indices))
        total += loss
    values = segment.values(("loss", "accuracy"))
    assert values == {"loss": total / len(steps), "accuracy": sum(hits for _, hits in steps) / (8 * len(steps))}
    assert segment.records.digest() == records_digest(np.arange(len(steps), dtype=np.uint64).repeat(8))


def test_metrics_of_a_segment_in_which_no_target_counts_are_numbers() -> None:
    """A sum over nothing is 0 and the training goes on; an owner's worker must not crash on it."""
    segment = SegmentMetrics()
    segment.add(StepDone(1, 0.0, 0, 0, np.array([0], np.uint64)))
    assert segment.values(["loss", "accuracy", "top5"]) == {"loss": 0.0, "accuracy": 0.0, "top5": 0.0}


def test_a_metric_that_is_not_asked_for_is_not_told() -> None:
    segment = SegmentMetrics()
    for each in Run(recipe(metrics=["loss"])).go(4):
        segment.add(each)
    assert set(segment.values(("loss",))) == {"loss"}


# What changes a training


CHANGES: dict[str, dict[str, Any]] = {
    "learning rate": {"learning_rates": [[22, 0.011]]},
    "weight decay": {"optimizer": {"name": "AdamW", "arguments": {"weight_decay": 0.011}}},
    "batch size": {"batch_size": 9},
    "rows": {"rows": [1, 40]},
    "transform": {"transform": {"a": {"mean": 0.25, "scale": 1.51}}},
    "loss": {"loss": {"name": "cross_entropy", "arguments": {"label_smoothing": 0.1}}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_term_of_a_recipe_changes_the_model(change: str) -> None:
    run, other = Run(recipe()), Run(recipe(**CHANGES[change]))
    run.go()
    other.go()
    assert run.state() != other.state()


def test_the_order_seed_changes_the_model() -> None:
    run, other = Run(recipe()), Run(recipe(), seed=sha256(b"another"))
    run.go()
    other.go()
    assert run.state() != other.state()


def test_one_record_changes_the_model() -> None:
    run, other = Run(recipe()), Run(recipe(), records=table(change=("b", 17, 0.5)))
    run.go()
    other.go()
    assert run.state() != other.state()


def test_two_trainings_of_one_recipe_and_seed_are_equal() -> None:
    run, other = Run(recipe()), Run(replace(recipe()))
    assert run.go() is not other.go()
    assert run.state() == other.state()
