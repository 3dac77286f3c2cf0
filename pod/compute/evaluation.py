"""Evaluating a delivered model on a table of the scientist's own (torch).

The model is run once over the records, in batches of the recipe's size, and its outputs are written
to a file as they come. All that is counted is counted of that file: what a held-out result says by
the code that makes one, so that on a host of the recipe's class the same records give the same
bits; and beside it what a picture shows. No noise is added: the records are the scientist's own.

Legend: B batch, N records, K classes, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fitchain.pod.compute.dataset.columns import Array
from fitchain.pod.compute.held_out import (
    Doubles,
    Targets,
    batches_of,
    pairs_in_order,
    seed_evaluation,
    tally_outputs,
)
from fitchain.pod.compute.losses import as_amounts, counted, fit, taken_for
from fitchain.pod.compute.model.program import Program
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.evaluation import (
    CURVE_POINTS,
    GRID,
    MOST_SIDES,
    OUTPUT_DTYPES,
    AmountGrid,
    ModelEvaluation,
    Side,
)
from fitchain.pod.values.held_out import Amounts, Classes, HeldOut
from fitchain.pod.values.leaf import Indices
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import MOST_CONFUSED, OF_TRUTHS

Inputs = Callable[[Indices], tuple[Array, ...]]
SLAB = 1 << 16
"""Records whose outputs are counted at once."""


# Many parameters: the model, what it is run over, and where its outputs go.
def write_outputs(
    program: Program, recipe: Recipe, count: int, inputs: Inputs, seed: Digest, path: Path
) -> tuple[tuple[int, ...], str]:
    """Run a model over records, and write its outputs into a file.

    Args:
        program: graph with the delivered state.
        recipe: batch size.
        count: N.
        inputs: of records.
        seed: the order seed.
        path: of the file: `[N, *shape]`, little-endian, C order.

    Returns:
        Shape and dtype of one record's output.

    Raises:
        InputRefused: the inputs are not those of the graph, or its outputs no floats.
        OperatorFailed: an operator cannot compute what it is given.
    """
    seed_evaluation(program, seed)
    shape, dtype = (), OUTPUT_DTYPES[0]
    with path.open("wb") as file:
        for batch in batches_of(count, recipe.at_once):
            taken = inputs(np.arange(*batch.indices(count), dtype=np.uint64))
            output_B = program(*map(torch.from_numpy, taken), training=False).numpy()
            shape, dtype = output_B.shape[1:], output_B.dtype.name
            if dtype not in OUTPUT_DTYPES:
                raise InputRefused(f"the model puts out {dtype}, and predictions are floats")
            file.write(np.ascontiguousarray(output_B, output_B.dtype.newbyteorder("<")).data)
    return shape, dtype


def evaluated(plain: ModelEvaluation, outputs: WrittenOutputs, groups: dict[str, Indices]) -> ModelEvaluation:
    """Add to an evaluation what its outputs are worth.

    Args:
        plain: without a result.
        outputs: of the same records.
        groups: by column of the recipe's subgroups, which group each record is in.
    """
    result = outputs.result(groups)
    match result.outcome:
        case Classes():
            sides = tuple(outputs.sides(result.outcome))
            return replace(plain, result=result, sides=sides, are_labels=outputs.are_labels)
        case Amounts():
            return replace(plain, result=result, amounts=outputs.amounts())
        case _:
            return replace(plain, result=result)


@dataclass(frozen=True)
class WrittenOutputs:
    """Outputs in a file, beside the targets of their records.

    Args:
        recipe: loss, batch size.
        outputs_N: `[N, *shape]`, mapped.
        targets: of records, as the loss wants them.
    """

    recipe: Recipe
    outputs_N: Array
    targets: Targets

    def result(self, groups: dict[str, Indices]) -> HeldOut:
        """Count and add up, as of held-out records.

        Args:
            groups: by column of the recipe's subgroups, which group each record is in.
        """
        rows = np.arange(len(self.outputs_N), dtype=np.uint64)

        def stored(batch: slice) -> tuple[Tensor, Tensor]:
            return torch.from_numpy(np.array(self.outputs_N[batch])), torch.from_numpy(self.targets(rows[batch]))

        return tally_outputs(self.recipe, rows, stored, self.targets, groups)

    def sides(self, outcome: Classes) -> Iterator[Side]:
        """Each class, or each label, against all others; none where there are too many of them."""
        if self.are_labels:
            labels = self._target.shape[1]
            yield from (self._side(number, number) for number in range(labels) if labels <= MOST_SIDES)
        elif self._target.ndim == 1 and outcome.classes == 2:
            yield self._side(1)
        elif self._target.ndim == 1:
            yield from (self._side(number) for number in range(outcome.classes) if outcome.classes <= MOST_CONFUSED)

    def amounts(self) -> AmountGrid:
        """Predicted beside observed amounts, in squares over the range of the observed ones and
        half of it on both sides; what is beyond counts in the outermost."""
        centre, scale = self.recipe.target_centre, self.recipe.target_scale
        spans = [(pair.min(1), pair.max(1)) for pair in self._pairs()]
        (low, least), (high, most) = np.min([a for a, _ in spans], 0), np.max([b for _, b in spans], 0)
        beside = (high - low) / 2 or 1.0
        low, high = max(low - beside, min(low, least)), min(high + beside, max(high, most))
        if low == high:
            low, high = low - beside, high + beside
        counts = np.zeros((GRID, GRID), np.int64)
        for pair in self._pairs():
            squares = ((pair - low) / (high - low) * GRID).astype(np.int64).clip(0, GRID - 1)
            np.add.at(counts, (squares[0], squares[1]), 1)
        return AmountGrid(float(low * scale + centre), float(high * scale + centre), tuple(counts.ravel().tolist()))

    @property
    def are_labels(self) -> bool:
        """Whether a target is a row of labels, each there or not."""
        return self._target.ndim == 2 and self.recipe.loss.name in OF_TRUTHS

    @cached_property
    def _target(self) -> Array:
        """Of one record, for its shape: `[1, ...]`."""
        return self.targets(np.zeros(1, np.uint64))

    def _slabs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Predictions as the loss has them, and targets, some records at once."""
        for batch in batches_of(len(self.outputs_N), SLAB):
            rows = np.arange(*batch.indices(len(self.outputs_N)), dtype=np.uint64)
            target_B = torch.from_numpy(self.targets(rows))
            yield fit(torch.from_numpy(np.array(self.outputs_N[batch])), target_B, self.recipe.loss), target_B

    def _pairs(self) -> Iterator[Doubles]:
        """Observed and predicted amounts, `[2, n]`."""
        for prediction_B, target_B in self._slabs():
            amounts_B = as_amounts(prediction_B, self.recipe.loss)
            pair = [each.to(torch.float64).numpy().ravel() for each in (target_B, amounts_B)]
            yield np.stack(pair)

    def _side(self, number: int, label: int | None = None) -> Side:
        """A class (`label` None), or a label, against the others."""
        loss = self.recipe.loss.name
        scores, truths, takens = list[Doubles](), list[npt.NDArray[np.bool_]](), list[npt.NDArray[np.bool_]]()
        for prediction, target in self._slabs():
            if label is not None:
                prediction, target = prediction[:, label], target[:, label]
            chosen = counted(target, self.recipe.loss)
            prediction, target = prediction[chosen], target[chosen]
            true, taken = taken_for(prediction, target, loss)
            positive = 1 if label is not None else number
            truths.append(true == positive)
            takens.append(taken == positive)
            exact = prediction.to(torch.float64)
            scores.append((exact if loss in OF_TRUTHS else _margin(exact, number)).numpy())
        score, truth, taken_N = np.concatenate(scores), np.concatenate(truths), np.concatenate(takens)
        cells = np.bincount(2 * truth + taken_N, minlength=4).tolist()
        counts = (cells[0], cells[1], cells[2], cells[3])
        return Side(number, counts, pairs_in_order(score[~truth], score[truth]), _curve(score, truth))


def _margin(prediction_BK: Tensor, number: int) -> Tensor:
    """How much rather one class than the others, `[B]`: of two classes the difference of their
    scores, of more the share that softmax gives the class."""
    if prediction_BK.shape[1] == 2:
        return prediction_BK[:, number] - prediction_BK[:, 1 - number]
    return prediction_BK.softmax(1)[:, number]


def _curve(score: Doubles, truth: npt.NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """False and true positives by falling threshold (Fawcett's algorithm 1): a point for each
    different score, or for some of them."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.diff(score[order], append=np.nan) != 0)  # equal scores move together
    true = np.cumsum(truth[order])[last]
    false = last + 1 - true
    chosen = np.unique(np.linspace(0, len(last) - 1, min(len(last), CURVE_POINTS)).astype(np.intp))
    return ((0, 0), *zip(false[chosen].tolist(), true[chosen].tolist(), strict=True))
