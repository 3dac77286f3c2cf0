"""Training: the loop, from a state to the next, and nothing else (torch).

It knows neither files nor digests of states. A step is a function of (parameters, buffers,
optimizer, step number, recipe, order seed) alone: before each one every generator is seeded from
the order seed and the step's number, so any segment replays from its first state.

Legend: B batch, K classes or outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim import Optimizer

from fitchain.pod.compute.dataset import Assemble
from fitchain.pod.compute.losses import (
    count_among,
    count_by_class,
    count_correct,
    counted,
    fit,
    loss_function,
    mean_weight,
    sum_errors,
)
from fitchain.pod.compute.model.executor import lacks_memory
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.tensors import new_tensor
from fitchain.pod.compute.own_optimizers import LAMB, Lion
from fitchain.pod.compute.update import ANCHORS, WEIGHTS, update, weights_in_place
from fitchain.pod.values.digest import Digest, tagged
from fitchain.pod.values.errors import InputRefused, Unusable
from fitchain.pod.values.held_out import mean_f1
from fitchain.pod.values.leaf import Indices, SegmentRecords
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.parameter_groups import group_parameters
from fitchain.pod.values.recipe.terms import Choice, ParameterGroup
from fitchain.pod.values.state import Tensors

ByClass = npt.NDArray[np.int64] | int
"""Counts by class, `[3, K]`, or 0, to which they may be added."""


class Diverged(Exception):
    """The training cannot go on: a loss or a parameter is not finite, or an operator fails on these
    numbers.

    An end, not an error: the transcript stops at the last leaf before it, and a replay comes to the
    same end.

    Args:
        step: completed steps when it happened.
        reason: what happened, without a number from the data.
        detail: what torch says of it, which may show a number from the data.
    """

    def __init__(self, step: int, reason: str, detail: str = "") -> None:
        super().__init__(f"after step {step}: {reason}")
        self.step, self.reason, self.detail = step, reason, detail


@dataclass(frozen=True, slots=True)
class StepDone:
    """What a step leaves behind besides the new state.

    Args:
        step: completed steps, this one included.
        loss: before the step's update.
        correct: predictions that hit their target; 0 where accuracy is not asked for.
        compared: how many there were.
        indices: `[B]`, the records it trained on.
        among: targets among the likeliest classes; 0 where top5 is not asked for.
        absolute: sizes of the errors together; 0 where mae is not asked for.
        by_class: `[3, K]`, of each class how many targets are hit, are there and were predicted; 0
            where f1 is not asked for.
    """

    step: int
    loss: float
    correct: int
    compared: int
    indices: Indices
    among: int = 0
    absolute: float = 0.0
    by_class: ByClass = 0


def train(
    program: Program,
    recipe: Recipe,
    batches: Iterable[Indices],
    assemble: Assemble,
    seed: Digest,
    start_step: int,
    optimizer: Optimizer,
) -> Iterator[StepDone]:
    """Train from one state on, step by step.

    Args:
        program: graph with the state's parameters and buffers, which each step moves in place.
        recipe: loss, learning rates, metrics.
        batches: record indices `[B]` of the steps from `start_step` on.
        assemble: indices to inputs and target.
        seed: the order seed.
        start_step: steps completed so far.
        optimizer: of `fresh_optimizer`, with the state's tensors.

    Yields:
        What each step did; between two steps the caller may read the state.

    Raises:
        Diverged: the training ends here.
        Unusable: memory ran out.
    """
    compute_loss, wanted = loss_function(recipe.loss), recipe.metrics
    for step, indices_B in enumerate(batches, start_step):
        inputs, target_B = as_tensors(*assemble(indices_B))
        program.environment_class.seed(step_seed(seed, step))
        set_learning_rate(optimizer, recipe.learning_rate(step))
        parts, loss_value, correct, among, absolute = parts_of(len(target_B), recipe.at_once), 0.0, 0, 0, 0.0
        by_class: ByClass = 0
        with operator_errors_end_it(step), weights_in_place(optimizer, recipe.ema):
            optimizer.zero_grad()
            for part, share in zip(parts, shares_of(parts, target_B, recipe.loss), strict=True):
                target_M = target_B[part]
                prediction_MK = fit(program(*(x[part] for x in inputs), training=True), target_M, recipe.loss)
                shown = prediction_MK.detach(), target_M, recipe.loss
                correct += count_correct(*shown) if "accuracy" in wanted else 0
                among += count_among(*shown) if "top5" in wanted else 0
                absolute += sum_errors(*shown) if "mae" in wanted else 0.0
                by_class = by_class + count_by_class(*shown) if "f1" in wanted else 0
                if share == 0:  # a mean over nothing is no number
                    continue
                loss = compute_loss(prediction_MK, target_M) * share  # []
                loss_value += loss.item()
                if not math.isfinite(loss_value):
                    raise Diverged(step, f"the loss is {loss_value}")
                loss.backward()  # type: ignore[no-untyped-call]
            update(program, recipe, optimizer)
        compared = int(counted(target_B, recipe.loss).sum())
        yield StepDone(step + 1, loss_value, correct, compared, indices_B, among, absolute, by_class)


def parts_of(count: int, size: int) -> list[slice]:
    """Which records of a batch are computed at once: slices of one size, the last of the rest."""
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def shares_of(parts: Sequence[slice], target_B: Tensor, loss: Choice) -> list[float]:
    """By what the loss of each part of a batch is multiplied, so that their sum is the batch's: of
    means the part's share of what the batch's mean divides by, 0 where nothing in it counts.

    Where nothing counts in any of them, the loss of the first is told as it is: no number.
    """
    if len(parts) == 1 or loss.arguments.get("reduction", "mean") == "sum":
        return [1.0] * len(parts)
    weights = [mean_weight(target_B[part], loss) for part in parts]
    whole = math.fsum(weights)
    return [weight / whole if whole else 1.0 for weight in weights]


def step_seed(seed: Digest, step: int) -> int:
    """The seed of every generator before the step that follows `step` completed ones."""
    return generator_seed(tagged("fitchain/step/v2", seed, step))


def generator_seed(digest: Digest) -> int:
    """A digest as a seed of generators: its first eight bytes, big-endian, the top bit cleared."""
    return int.from_bytes(digest.value[:8], "big") & (1 << 63) - 1


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]


def as_tensors(inputs: tuple[np.ndarray, ...], target: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:
    """Wrap a batch's arrays as tensors, without a copy."""
    return tuple(torch.from_numpy(array) for array in inputs), torch.from_numpy(target)


@contextmanager
def operator_errors_end_it(step: int) -> Iterator[None]:
    """Turn what fails here and would fail on every host into the training's end; lack of memory is
    the host's and stays an error.

    A recipe that cannot be computed must not cost its owner the bond.
    """
    try:
        yield
    except InputRefused as error:  # an operator's failure among them; what follows the colon is torch's, with numbers
        raise Diverged(step, error.message.partition(":")[0], error.message) from error
    except (RuntimeError, IndexError, ValueError, ArithmeticError) as error:
        if lacks_memory(error):
            raise Unusable(f"memory ran out in step {step + 1}", "raise the worker's memory limit") from error
        raise Diverged(step, f"the loss or its gradient raised {type(error).__name__}", str(error)) from error


# Metrics


@dataclass
class SegmentMetrics:
    """Metrics of one segment: sums over its steps in their order, in exact doubles, so that a
    replay finds the same."""

    losses: float = 0.0
    steps: int = 0
    correct: int = 0
    compared: int = 0
    among: int = 0
    absolute: float = 0.0
    by_class: ByClass = 0
    records: SegmentRecords = field(default_factory=SegmentRecords)

    def add(self, done: StepDone) -> None:
        """Count one more step."""
        self.losses += done.loss
        self.steps += 1
        self.correct += done.correct
        self.compared += done.compared
        self.among += done.among
        self.absolute += done.absolute
        self.by_class = self.by_class + done.by_class
        self.records.add(done.indices)

    def values(self, names: Iterable[str]) -> dict[str, float]:
        """The metrics asked for: `loss` is the mean of the steps' losses, `accuracy` the share of
        hits, `top5` of those among the likeliest, `f1` the mean over the classes by their counts in
        all steps, `mae` the mean size of the errors; 0 of a segment in which no target counts,
        which a summed loss goes through."""
        compared = self.compared or 1
        values: Mapping[str, Callable[[], float]] = {
            "loss": lambda: self.losses / self.steps,
            "accuracy": lambda: self.correct / compared,
            "top5": lambda: self.among / compared,
            "f1": lambda: 0.0 if isinstance(self.by_class, int) else mean_f1(*self.by_class.tolist()),
            "mae": lambda: self.absolute / compared,
        }
        return {name: values[name]() for name in names}


# Optimizer


OPTIMIZER_FORMS: Mapping[str, Callable[..., Optimizer]] = {
    "SGD": partial(torch.optim.SGD, fused=True),
    "Adam": partial(torch.optim.Adam, fused=True),
    "AdamW": partial(torch.optim.AdamW, fused=True),
    "RMSprop": partial(torch.optim.RMSprop, foreach=False),
    "Adafactor": partial(torch.optim.Adafactor, foreach=False),
    "Lion": Lion,
    "LAMB": LAMB,
}
"""Optimizers in the form whose bits are agreed on."""


def fresh_optimizer(program: Program, recipe: Recipe, initial: Tensors | None = None) -> Optimizer:
    """The recipe's optimizer before its first step.

    Args:
        program: whose parameters it moves.
        recipe: which it is, and what is done beside it.
        initial: the initial model, where the program holds another state and the recipe pulls
            towards it.

    Raises:
        InputRefused: the model has nothing to train, or a group of parameters is empty.
    """
    if not program.trainable:
        raise InputRefused("the model has no parameter that training may move")
    arguments = {
        key: tuple(value) if isinstance(value, list) else value for key, value in recipe.optimizer.arguments.items()
    }
    groups = _groups(program, recipe.parameter_groups)
    if recipe.proximal is not None:
        names = {tensor: name for name, tensor in program.trainable.items()}
        for group in groups:
            group[ANCHORS] = [
                tensor.detach().clone() if initial is None else new_tensor(initial[names[tensor]])
                for tensor in group["params"]
            ]
    return OPTIMIZER_FORMS[recipe.optimizer.name](groups, lr=recipe.learning_rate(0), **arguments)


def _groups(program: Program, groups: Sequence[ParameterGroup]) -> list[dict[str, Any]]:
    """The parameters by their groups, as torch's optimizers take them; those of none stand last."""
    trainable, made = program.trainable, list[dict[str, Any]]()
    grouped, others = group_parameters(groups, trainable)
    for group, names in zip(groups, grouped, strict=True):
        own = {} if group.weight_decay is None else {"weight_decay": group.weight_decay}
        made.append({"params": [trainable[name] for name in names], "rate": group.rate, **own})
    rest = [trainable[name] for name in others]
    return [*made, {"params": rest, "rate": 1.0}] if rest else made


def optimizer_tensors(optimizer: Optimizer, program: Program) -> dict[str, Tensor]:
    """The optimizer's tensors by `<parameter>/<key>`, not copied; none before the first step."""
    tensors = {}
    for name, parameter in program.trainable.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if value is not None:
                tensors[f"{name}/{key}"] = value
    return tensors


def load_optimizer(optimizer: Optimizer, program: Program, tensors: Mapping[str, Tensor], recipe: Recipe) -> None:
    """Put an optimizer back to where `optimizer_tensors` found it; the tensors become its own.

    The tensors may be a stranger's, and a fused kernel takes their shapes on trust.

    Raises:
        InputRefused: a tensor belongs to no parameter or is not of its shape and dtype, or a
            parameter has not all that it needs.
    """
    optimizer.state.clear()
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition("/")
        if parameter not in program.trainable:
            raise InputRefused(f"the optimizer's tensor {name!r} belongs to no parameter that training moves")
        moved = program.trainable[parameter]
        shape, dtype = _kept(optimizer, moved, recipe).get(key, (tuple(moved.shape), moved.dtype))
        if (tuple(tensor.shape), tensor.dtype) != (shape, dtype):
            raise InputRefused(
                f"the optimizer's tensor {name!r} is {tensor.dtype}{list(tensor.shape)}, not as its parameter"
            )
        if key == "step" and not (1 <= (count := float(tensor)) <= MOST_COUNTED and count.is_integer()):
            raise InputRefused(f"the optimizer's tensor {name!r} counts {count} steps, and it counts from 1 on")
        optimizer.state[moved][key] = tensor
    for name, moved in program.trainable.items():
        keys = _kept(optimizer, moved, recipe).keys()
        if (kept := optimizer.state.get(moved)) and kept.keys() != keys:
            raise InputRefused(f"the optimizer keeps {sorted(keys)} of {name!r}, not {sorted(kept)}")


MOST_COUNTED = 1 << 24
"""Where a count of steps stays in float32. Of one below 1 some optimizers take powers that are no
real number, and a replay would end as no training does."""
Form = tuple[tuple[int, ...], torch.dtype]


def _kept(optimizer: Optimizer, parameter: Tensor, recipe: Recipe) -> dict[str, Form]:
    """Shape and dtype of what an optimizer keeps of a parameter that it has moved, and of the
    weights where these are averaged."""
    shape, names, terms = tuple(parameter.shape), list[str](), optimizer.defaults
    kept: dict[str, Form] = {} if isinstance(optimizer, torch.optim.SGD | Lion) else {"step": ((), torch.float32)}
    match optimizer:
        case torch.optim.SGD():
            names += ["momentum_buffer"] * bool(terms["momentum"])
        case torch.optim.RMSprop():
            names += ["square_avg", *["momentum_buffer"] * (terms["momentum"] > 0), *["grad_avg"] * terms["centered"]]
        case torch.optim.Adafactor() if len(shape) > 1:
            kept |= {"row_var": ((*shape[:-1], 1), parameter.dtype)}
            kept |= {"col_var": ((*shape[:-2], 1, shape[-1]), parameter.dtype)}
        case torch.optim.Adafactor():
            names.append("variance")
        case Lion():
            names.append("exp_avg")
        case _:
            names += ["exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * terms.get("amsgrad", False)]
    names += [WEIGHTS] * (recipe.ema is not None)
    return kept | dict.fromkeys(names, (shape, parameter.dtype))
