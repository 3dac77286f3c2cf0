"""How a step's gradients move a model: micro-batches, the pull towards the initial model, the
running average, and optimizers without a fused form, each as anyone would write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from fitchain.pod.compute.dataset import assemble, batches
from fitchain.pod.compute.losses import loss_function
from fitchain.pod.compute.model import Program, step_work, tensor_bytes
from fitchain.pod.compute.training import Diverged, parts_of, shares_of, step_seed
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe import Choice, Recipe
from tests.recipe_drafts import drafted
from tests.training_jobs import SEED, Net, exported, of_classes, private_recipe, recipe, table
from tests.training_runs import Run

Move = Callable[[list[nn.Parameter]], Any]


def eager(given: Recipe, optimizer: torch.optim.Optimizer | None = None, net: nn.Module | None = None) -> nn.Module:
    """The same training as anyone would write it; the model that it delivers."""
    net = net or fresh_net()
    moved = [parameter for parameter in net.parameters() if parameter.requires_grad]
    initial = [parameter.detach().clone() for parameter in moved]
    optimizer = optimizer or torch.optim.SGD(moved, lr=0.1, momentum=0.9, weight_decay=0.001, fused=True)
    running = get_ema_avg_fn(given.ema or 0.5)  # type: ignore[no-untyped-call]
    average = AveragedModel(net, avg_fn=running) if given.ema else None
    take = assemble(given, table())
    for step, indices in enumerate(batches(given, SEED)):
        (inputs,), target = take(indices)
        torch.manual_seed(step_seed(SEED, step))
        for group in optimizer.param_groups:
            group["lr"] = given.learning_rate(step)
        optimizer.zero_grad()
        for first in range(0, len(target), given.at_once):
            part = slice(first, first + given.at_once)
            scores, classes = net(torch.from_numpy(inputs[part])), torch.from_numpy(target[part])
            torch.autograd.backward(F.cross_entropy(scores, classes) * (len(classes) / len(target)))
        if given.proximal:
            distances = [((w - w0) ** 2).sum() for w, w0 in zip(moved, initial, strict=True)]
            torch.autograd.backward([given.proximal / 2 * distance for distance in distances])
        optimizer.step()
        if average is not None:
            average.update_parameters(net)
    return net if average is None else average.module


def fresh_net() -> Net:
    graph, initial = exported()
    program, net = Program(graph, initial), Net()
    net.load_state_dict({**program.parameters, **program.buffers})
    return net


def bytes_of(tensors: dict[str, Tensor]) -> dict[str, bytes]:
    return {name: bytes(tensor_bytes("buffer", tensor.detach()).data) for name, tensor in tensors.items()}


SGD = {"name": "SGD", "arguments": {"momentum": 0.9, "weight_decay": 0.001}}
BESIDE: dict[str, dict[str, Any]] = {
    "micro-batches": {"micro_batch": 3},
    "single records at the end": {"micro_batch": 7},
    "pulled": {"proximal": 0.3},
    "averaged": {"ema": 0.9},
    "all": {"micro_batch": 4, "proximal": 0.3, "ema": 0.75},
}


@pytest.mark.parametrize("terms", [*BESIDE.values()], ids=[*BESIDE])
def test_a_step_is_bit_identical_to_the_eager_modules(terms: dict[str, Any]) -> None:
    if terms.get("micro_batch") == 7:  # a batch norm takes no single record
        with pytest.raises(Diverged, match="after step 0"):
            Run(recipe(optimizer=SGD, **terms)).go()
        return
    run = Run(recipe(optimizer=SGD, **terms))
    run.go()
    expected = bytes_of(eager(run.recipe).state_dict())
    assert {name: run.state()[name] for name in expected} == expected


def test_a_micro_batch_of_the_whole_batch_changes_nothing() -> None:
    whole, part = Run(recipe()), Run(recipe(micro_batch=8))
    assert [done.loss for done in whole.go()] == [done.loss for done in part.go()] and whole.state() == part.state()


OWN: dict[str, dict[str, Any]] = {
    "RMSprop": {"centered": True, "momentum": 0.5, "weight_decay": 0.01},
    "Adafactor": {"eps": [None, 0.001], "weight_decay": 0.01},
    "Lion": {"betas": [0.8, 0.95], "weight_decay": 0.01},
    "LAMB": {"betas": [0.8, 0.95], "weight_decay": 0.01},
}
ADAMW = {"name": "AdamW", "arguments": {"amsgrad": True}}
EVERY: list[dict[str, Any]] = [SGD, ADAMW, {"name": "RMSprop", "arguments": {}}]
EVERY += [{"name": name, "arguments": arguments} for name, arguments in OWN.items()]


@pytest.mark.parametrize("name", ["RMSprop", "Adafactor"])
def test_an_optimizer_of_torch_is_bit_identical_to_torchs(name: str) -> None:
    run, net = Run(recipe(optimizer={"name": name, "arguments": OWN[name]})), fresh_net()
    run.go()
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in OWN[name].items()}
    moved = [parameter for parameter in net.parameters() if parameter.requires_grad]
    expected = bytes_of(eager(run.recipe, getattr(torch.optim, name)(moved, lr=0.1, **arguments), net).state_dict())
    assert {key: run.state()[key] for key in expected} == expected


def lion(x: Tensor, gradients: list[Tensor], lr: float, b1: float, b2: float, decay: float) -> Tensor:
    """Algorithm 2 of the paper, line by line."""
    m = torch.zeros_like(x)
    for g in gradients:
        c = b1 * m + (1 - b1) * g
        x = x * (1 - lr * decay) - lr * c.sign()
        m = b2 * m + (1 - b2) * g
    return x


def lamb(x: Tensor, gradients: list[Tensor], lr: float, b1: float, b2: float, decay: float) -> Tensor:
    """Algorithm 2 of the paper, line by line."""
    m, v = torch.zeros_like(x), torch.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        r = (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt() + 1e-6) + decay * x
        x = x - lr * (x.norm() / r.norm()).nan_to_num(1.0, 1.0) * r
    return x


@pytest.mark.parametrize(("name", "loop"), [("Lion", lion), ("LAMB", lamb)])
def test_an_optimizer_of_a_paper_is_its_algorithm(name: str, loop: Callable[..., Tensor]) -> None:
    run = Run(recipe(optimizer={"name": name, "arguments": OWN[name]}))
    parameter = run.program.trainable["first.weight"]
    start, gradients = parameter.detach().clone(), [torch.randn(8, 4) for _ in range(5)]
    for gradient in gradients:
        parameter.grad = gradient.clone()
        run.optimizer.step()
    expected = loop(start.double(), [gradient.double() for gradient in gradients], 0.01, 0.8, 0.95, 0.01)
    assert torch.allclose(parameter.double(), expected, rtol=1e-5, atol=1e-6)


def test_lamb_moves_a_parameter_of_zeros() -> None:
    run = Run(recipe(optimizer={"name": "LAMB", "arguments": {}}))
    parameter = run.program.trainable["norm.bias"]
    parameter.grad = torch.ones_like(parameter)
    run.optimizer.step()
    assert parameter.ne(0).all() and parameter.isfinite().all()


@pytest.mark.parametrize("optimizer", EVERY, ids=str)
@pytest.mark.parametrize("terms", [{}, BESIDE["all"] | {"gradient_clip": {"kind": "norm", "most": 0.5}}], ids=str)
def test_every_optimizer_goes_on_from_a_state_as_if_it_had_not_stopped(
    optimizer: dict[str, Any], terms: dict[str, Any]
) -> None:
    groups = [{"match": "last.*", "rate": 3.0, "weight_decay": 0.5}]
    undisturbed = Run(recipe(optimizer=optimizer, parameter_groups=groups, steps=9, **terms))
    undisturbed.go()
    for cut in (0, 1, 5):
        run = Run(undisturbed.recipe)
        run.go(cut) if cut else None
        moved = run.moved()
        moved.go()
        assert moved.state() == undisturbed.state()


# Micro-batches


def test_the_last_micro_batch_is_what_is_left() -> None:
    assert parts_of(8, 3) == [slice(0, 3), slice(3, 6), slice(6, 8)] and parts_of(8, 8) == [slice(0, 8)]
    target = torch.zeros(8, dtype=torch.int64)
    shares = shares_of(parts_of(8, 3), target, Choice("cross_entropy", {"reduction": "mean"}))
    assert shares == [3 / 8, 3 / 8, 2 / 8]
    assert shares_of(parts_of(8, 3), target, Choice("mse_loss", {"reduction": "sum"})) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "terms", [{"ignore_index": 1}, {"weight": [1.0, 2.0, 5.0]}, {"ignore_index": 1, "weight": [2.0, 0.0, 5.0]}]
)
def test_parts_weigh_as_much_as_what_counts_in_them(terms: dict[str, Any]) -> None:
    scores, classes, parts = torch.randn(8, 3), torch.tensor([0, 2, 1, 1, 1, 1, 0, 2]), parts_of(8, 2)
    loss = loss_function(Choice("cross_entropy", terms))
    shares = shares_of(parts, classes, Choice("cross_entropy", terms))
    assert "ignore_index" not in terms or shares[1:3] == [0, 0]
    means = [
        loss(scores[part], classes[part]).item() if share else 0.0 for part, share in zip(parts, shares, strict=True)
    ]
    whole = sum(share * mean for share, mean in zip(shares, means, strict=True))
    assert whole == pytest.approx(loss(scores, classes).item(), rel=1e-6)


def test_a_batch_in_which_nothing_counts_ends_the_training_in_parts_too() -> None:
    given = recipe(loss={"name": "cross_entropy", "arguments": {"ignore_index": 1}}, micro_batch=4)
    with pytest.raises(Diverged, match="after step 0: the loss is nan"):
        Run(given, records=of_classes([1] * 40)).go()


def test_a_step_in_parts_takes_less_memory_and_no_less_work() -> None:
    graph, _ = exported()
    whole, parts = step_work(graph, 64), step_work(graph, 64, micro_batch=16)
    assert parts.bytes < whole.bytes and parts.operations >= whole.operations * 0.9
    assert step_work(graph, 64, further_copies=2).bytes > whole.bytes


@pytest.mark.parametrize("size", [0, 9, True, 2.0, "4"])
def test_a_micro_batch_is_a_part_of_the_batch(size: Any) -> None:
    with pytest.raises(InputRefused, match="micro_batch is an integer from 1 to 8"):
        recipe(micro_batch=size)


def test_private_training_leaves_nothing_to_accumulate() -> None:
    with pytest.raises(InputRefused, match="nothing is left to accumulate"):
        private_recipe(micro_batch=4)


# The average


def test_between_two_steps_the_parameters_are_the_average_and_the_weights_stand_beside() -> None:
    averaged, plain = Run(recipe(ema=0.5, optimizer=SGD)), Run(recipe(optimizer=SGD))
    averaged.go(1), plain.go(1)
    first = plain.state()["first.weight"]
    assert averaged.state()["first.weight"] == averaged.state()["first.weight/weights"] == first
    averaged.go(1), plain.go(1)
    assert averaged.state()["first.weight/weights"] == plain.state()["first.weight"]
    mean = (torch.frombuffer(bytearray(first), dtype=torch.float32) * 0.5).add_(
        torch.frombuffer(bytearray(plain.state()["first.weight"]), dtype=torch.float32) * 0.5
    )
    assert averaged.state()["first.weight"] == mean.numpy().tobytes()
    assert "scale/weights" not in averaged.state()


@pytest.mark.parametrize("terms", [{"ema": 0}, {"ema": 1}, {"ema": -0.5}, {"proximal": 0}, {"proximal": "0.1"}])
def test_a_share_or_a_strength_out_of_bounds_is_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(InputRefused, match=f"{next(iter(terms))} is a finite number") as refused:
        drafted(**terms)
    assert "leave it out" in refused.value.hint
