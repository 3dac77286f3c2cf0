"""Evaluating a trained model on the held-out records (torch).

The result has the same bits wherever the training has: records go through the graph in evaluation
mode in batches of the recipe's size, in rising order, and sums are taken in doubles, rounded once a
batch and once over the batches (`math.fsum`). Where a privacy budget runs each record goes alone,
one that cannot be computed counts as nothing, and only whole numbers with noise added are told: so
a record changes one count by one, or a sum by one clip. Of units of privacy with several records
the predictions of all of them make one share, or one mean error, and that is what is added up: so a
unit changes a sum by one clip.

Parts of the records are told by the same sums, taken of the same outputs.

Legend: B batch, K classes or outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fitchain.pod.compute.dataset import Assemble
from fitchain.pod.compute.dataset.columns import Array
from fitchain.pod.compute.losses import (
    any_counts,
    as_amounts,
    count_among,
    counted,
    fit,
    hits_of,
    loss_function,
    mean_of,
    mean_weight,
    taken_for,
)
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.private_training import FAILURES, by_unit, record_seed, refuse_lack_of_memory, terms_of
from fitchain.pod.compute.training import as_tensors, generator_seed
from fitchain.pod.values.counting import ignored_number
from fitchain.pod.values.digest import Digest, tagged
from fitchain.pod.values.held_out import (
    ACCURACY,
    ERROR,
    MOST_CONFUSED_APART,
    OF_UNITS,
    Amounts,
    Classes,
    HeldOut,
    NoisedClasses,
    NoisedMean,
    Outcome,
    Sequences,
    Subgroup,
    fold_small_groups,
)
from fitchain.pod.values.leaf import Indices
from fitchain.pod.values.privacy.noise import discrete_gaussian
from fitchain.pod.values.recipe import Choice, Recipe
from fitchain.pod.values.recipe.subgroups import Group
from fitchain.pod.values.recipe.terms import AMONG, CLASSIFICATION, CTC, MOST_CONFUSED, OF_CLASSES, OF_HITS, OF_TRUTHS

NOISE_DOMAIN = 2
"""Of the keyed stream, beside those of sampling and of gradients."""
ERROR_CLIP, MEAN_GRID = 2.0, 1 << 12
"""What a record's error counts at most where a noised sum is told, in the units in which the target
enters the loss (standard deviations, say); and whole units in it."""

Doubles = npt.NDArray[np.float64]
Part = npt.NDArray[np.bool_]
"""Which of the held-out records are meant, `[n]`."""


# Many parameters: the model, what it is evaluated on, and what the noise follows from.
def evaluate_held_out(
    program: Program,
    recipe: Recipe,
    rows: Indices,
    assemble: Assemble,
    seed: Digest,
    key: bytes | None,
    group_numbers: Mapping[str, Indices] | None = None,
) -> HeldOut:
    """Evaluate a model on the held-out records.

    Args:
        program: graph with the last state's parameters and buffers.
        recipe: loss, batch size, privacy.
        rows: `[n]`, the held-out records, rising; those of a unit of privacy stand together.
        assemble: indices to inputs and target.
        seed: the order seed.
        key: of the last segment, 32 bytes, where the training is private.
        group_numbers: by column of the recipe's subgroups, which group each of the rows is in,
            `[n]`.

    Returns:
        The result; without an outcome where outputs or loss are not finite or cannot be computed.

    Raises:
        Unusable: memory ran out.
    """
    if recipe.privacy is not None:
        assert key is not None
        return HeldOut(recipe.held_out_count, _noised(program, recipe, rows, assemble, seed, key))
    seed_evaluation(program, seed)

    def computed(batch: slice) -> tuple[Tensor, Tensor]:
        inputs, target_B = as_tensors(*assemble(rows[batch]))
        with torch.no_grad():
            return program(*inputs, training=False), target_B

    return tally_outputs(recipe, rows, computed, lambda indices: assemble(indices)[1], group_numbers)


def seed_evaluation(program: Program, seed: Digest) -> None:
    """Seed the random numbers of an evaluation, where a graph draws some, from the order seed."""
    program.environment_class.seed(evaluation_seed(seed))


def evaluation_seed(seed: Digest) -> int:
    """What a generator is seeded with for an evaluation, by the order seed."""
    return generator_seed(tagged("fitchain/held-out-step/v2", seed))


Outputs = Callable[[slice], tuple[Tensor, Tensor]]
"""Of some of the records, by their places among those that are evaluated: the model's outputs and
the targets, `[B, ...]` each."""
Targets = Callable[[Indices], Array]


def tally_outputs(
    recipe: Recipe,
    rows: Indices,
    outputs: Outputs,
    targets: Targets,
    group_numbers: Mapping[str, Indices] | None = None,
) -> HeldOut:
    """Count and add up what a model put out, in batches of the recipe's size.

    Args:
        recipe: loss, batch size, subgroups.
        rows: `[n]`, the records, rising.
        outputs: of the model, batch by batch in order.
        targets: of records, as the loss wants them.
        group_numbers: by column, of those of the recipe's subgroups that are told, which group
            each of the rows is in, `[n]`.

    Returns:
        The result; without an outcome where outputs or loss are not finite or cannot be computed.

    Raises:
        Unusable: memory ran out.
    """
    try:
        names, parts = _parts(recipe, group_numbers or {}, lambda: _has_counted(recipe, rows, targets))
        outcomes = _outcomes(recipe, rows, outputs, targets, [np.ones(len(rows), np.bool_), *parts])
        if outcomes is None:
            return HeldOut(len(rows), None)
        whole, *others = outcomes
        triples = zip(names, parts, others, strict=True)
        subgroups = [Subgroup(*name, int(part.sum()), outcome) for name, part, outcome in triples]
        return HeldOut(len(rows), whole, tuple(subgroups)).finite
    except FAILURES as error:
        refuse_lack_of_memory(error)
        return HeldOut(len(rows), None)


def _parts(
    recipe: Recipe, group_numbers: Mapping[str, Indices], has_counted: Callable[[], Part]
) -> tuple[list[tuple[str, tuple[Group, ...]]], list[Part]]:
    """What is told by group: column and groups of each part, and which of the rows are in it.

    Groups are folded by their records of which something counts: of those alone a result tells.
    """
    names, parts = list[tuple[str, tuple[Group, ...]]](), list[Part]()
    counts = has_counted() if group_numbers else None
    for column in sorted(group_numbers):
        groups, numbers = recipe.subgroups[column], group_numbers[column]
        for together in fold_small_groups(np.bincount(numbers[counts], minlength=len(groups)).tolist()):
            names.append((column, tuple(groups[number] for number in together)))
            parts.append(np.isin(numbers, together))
    return names, parts


def _has_counted(recipe: Recipe, rows: Indices, targets: Targets) -> Part:
    """Of which records a target counts."""
    if ignored_number(recipe) is None:
        return np.ones(len(rows), np.bool_)
    batches = (torch.from_numpy(targets(rows[batch])) for batch in batches_of(len(rows), recipe.at_once))
    return np.concatenate([any_counts(target_B, recipe.loss).numpy() for target_B in batches])


def _outcomes(
    recipe: Recipe, rows: Indices, outputs: Outputs, targets: Targets, parts: Sequence[Part]
) -> list[Outcome] | None:
    """Count and add up what the model does on parts of the records, of which the first is all of
    them, batch by batch; None where an output is not finite, or a target is no class, or nothing
    counts."""
    loss = mean_of(recipe.loss)
    compute_loss = loss_function(loss)
    most_confused = [MOST_CONFUSED, *[MOST_CONFUSED_APART] * (len(parts) - 1)]
    tallies = [_tally(loss, most) for most in most_confused]
    for batch in batches_of(len(rows), recipe.at_once):
        output, target_B = outputs(batch)
        prediction_BK = fit(output, target_B, loss)
        if not prediction_BK.isfinite().all():
            return None
        for part, tally in zip(parts, tallies, strict=True):
            chosen = part[batch]
            if not chosen.any():
                continue
            prediction, target = (_chosen(each, chosen) for each in (prediction_BK, target_B))
            if weight := mean_weight(target, loss):
                tally.mean.add(compute_loss(prediction, target).item(), weight)
            if not tally.add(prediction, target):
                return None
    if not tallies[0].compared:
        return None
    return [
        tally.outcome(_spread(recipe, rows[part], targets, tally)) if isinstance(tally, _Amounts) else tally.outcome()
        for part, tally in zip(parts, tallies, strict=True)
    ]


def _chosen(values_B: Tensor, chosen_B: Part) -> Tensor:
    """Some of a batch; the batch itself where that is all of it."""
    return values_B if chosen_B.all() else values_B[torch.from_numpy(chosen_B)]


def _spread(recipe: Recipe, rows: Indices, targets: Targets, tally: _Amounts) -> float:
    """Sum of the squared distances of some records' targets from their mean."""
    centre = math.fsum(tally.targets) / tally.compared
    parts = (targets(rows[batch]) for batch in batches_of(len(rows), recipe.at_once))
    return math.fsum(_sum(np.square(target.astype(np.float64) - centre)) for target in parts)


def batches_of(count: int, size: int) -> Iterator[slice]:
    """Places of records in batches of one size, the last of what is left."""
    return (slice(first, first + size) for first in range(0, count, size))


def _sum(numbers: Doubles) -> float:
    """Of a batch's numbers, rounded once."""
    return math.fsum(numbers.ravel().tolist())


@dataclass
class _Mean:
    """A mean of means so far, each weighed by what it was divided by."""

    losses: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, loss: float, weight: float) -> None:
        """Add a batch's mean."""
        self.losses.append(loss * weight)
        self.weights.append(weight)

    @property
    def value(self) -> float:
        """The mean; not a number where nothing counts."""
        return math.fsum(self.losses) / math.fsum(self.weights) if self.weights else math.nan


@dataclass
class _Classes:
    """Counts of a classification so far: of the outputs only two classes' scores are kept."""

    loss: Choice
    most_confused: int
    mean: _Mean = field(default_factory=_Mean)
    compared: int = 0
    correct: int = 0
    among: int = 0
    count: int = 0
    confusion: npt.NDArray[np.int64] | None = None
    scores: tuple[list[Doubles], list[Doubles]] = field(default_factory=lambda: ([], []))

    def add(self, prediction_BK: Tensor, target_B: Tensor) -> bool:
        """Count a batch; whether each of its targets that count is a class."""
        self.count = 2 if self.loss.name in OF_TRUTHS else prediction_BK.shape[1]
        counted_B = counted(target_B, self.loss).ravel().numpy()
        true, taken = (each[counted_B] for each in taken_for(prediction_BK, target_B, self.loss.name))
        if not ((true >= 0) & (true < self.count)).all():
            return False
        self.compared += len(true)
        self.correct += int((true == taken).sum())
        if self.loss.name in CLASSIFICATION:
            self.among += count_among(prediction_BK, target_B, self.loss)
        if self.count <= self.most_confused:
            cells = np.bincount(true * self.count + taken, minlength=self.count**2)
            self.confusion = cells if self.confusion is None else self.confusion + cells
        if self.count == 2 and target_B.ndim == 1:
            score = _score(prediction_BK, self.loss.name)[counted_B]
            for each, scores in enumerate(self.scores):
                scores.append(score[true == each])
        return True

    def outcome(self) -> Classes:
        confusion = () if self.confusion is None else tuple(self.confusion.tolist())
        first, second = self.scores
        above = pairs_in_order(np.concatenate(first), np.concatenate(second)) if first else None
        among = self.among if self.count > AMONG else None
        return Classes(self.count, self.compared, self.correct, confusion, self.mean.value, above, among)


@dataclass
class _Amounts:
    """Sums of a regression so far, one number a batch."""

    loss: Choice
    mean: _Mean = field(default_factory=_Mean)
    compared: int = 0
    absolute: list[float] = field(default_factory=list)
    squared: list[float] = field(default_factory=list)
    targets: list[float] = field(default_factory=list)

    def add(self, prediction_B: Tensor, target_B: Tensor) -> bool:
        """Add a batch up."""
        error = _error(as_amounts(prediction_B, self.loss), target_B)
        self.compared += len(error)
        self.absolute.append(_sum(error))
        self.squared.append(_sum(np.square(error)))
        self.targets.append(_sum(target_B.to(torch.float64).numpy()))
        return True

    def outcome(self, spread: float) -> Amounts:
        sums = math.fsum(self.absolute), math.fsum(self.squared), spread
        return Amounts(self.compared, self.mean.value, *sums)


@dataclass
class _Sequences:
    """Counts of sequences so far."""

    loss: Choice
    mean: _Mean = field(default_factory=_Mean)
    compared: int = 0
    correct: int = 0

    def add(self, prediction_BTK: Tensor, target_BS: Tensor) -> bool:
        """Count a batch."""
        self.compared += len(target_BS)
        self.correct += int(hits_of(prediction_BTK, target_BS, self.loss).sum())
        return True

    def outcome(self) -> Sequences:
        return Sequences(self.compared, self.correct, self.mean.value)


def _tally(loss: Choice, most_confused: int) -> _Classes | _Amounts | _Sequences:
    if loss.name == CTC:
        return _Sequences(loss)
    return _Classes(loss, most_confused) if loss.name in OF_CLASSES else _Amounts(loss)


def _score(prediction_BK: Tensor, loss: str) -> Doubles:
    """How much rather the second of two classes, `[B]`."""
    exact = prediction_BK.to(torch.float64)
    score: Doubles = (exact if loss in OF_TRUTHS else exact[:, 1] - exact[:, 0]).numpy()
    return score


def pairs_in_order(first: Doubles, second: Doubles) -> int:
    """Twice the pairs in which the second is higher, a tie counting once (Mann and Whitney's U)."""
    ordered = np.sort(first)
    return int(np.searchsorted(ordered, second, "left").sum() + np.searchsorted(ordered, second, "right").sum())


def _error(prediction_B: Tensor, target_B: Tensor) -> Doubles:
    """Sizes of the errors, `[predictions]`."""
    error: Doubles = (prediction_B.to(torch.float64) - target_B.to(torch.float64)).abs().numpy().ravel()
    return error


# Under a privacy budget


Counted = tuple[int, int]
"""Which of the whole numbers a unit adds to, and how much."""


def _noised(
    program: Program, recipe: Recipe, rows: Indices, assemble: Assemble, seed: Digest, key: bytes
) -> NoisedClasses | NoisedMean:
    """Whole numbers to which each unit of privacy adds one at most, or one clip, with noise added.

    Which numbers they are follows from the recipe and the target's shape alone, so that it tells
    nothing of a record. A unit of several records could add to several counts, so of these a mean
    is told.
    """
    loss, sigma = recipe.loss.name, recipe.held_out_sigma
    classes = 2 if loss in OF_TRUTHS else len(recipe.transform.get(recipe.target, {}).get("categories", ()))
    has_hits, of_units = loss in OF_HITS, terms_of(recipe).unit_records is not None
    if not of_units and loss in OF_CLASSES and 0 < classes <= MOST_CONFUSED and assemble(rows[:1])[1].ndim == 1:

        def one_cell(prediction_1K: Tensor, target_1: Tensor) -> Counted | None:
            (true,), (taken,) = taken_for(prediction_1K, target_1, loss)
            if not counted(target_1, recipe.loss).all():
                return None
            return (int(true) * classes + int(taken), 1) if max(true, taken) < classes and true >= 0 else None

        counts = _sums(program, recipe, rows, assemble, seed, one_cell, classes * classes)
        counts += discrete_gaussian(Fraction(sigma)).draw(key, seed.value, recipe.steps, NOISE_DOMAIN, len(counts))
        return NoisedClasses(classes, sigma, tuple(counts.tolist()))

    def share_of_hits(prediction_1K: Tensor, target_1: Tensor) -> Counted | None:
        if not (compared := int(counted(target_1, recipe.loss).sum())):
            return None
        return 0, MEAN_GRID * int(hits_of(prediction_1K, target_1, recipe.loss).sum()) // compared

    def clipped_error(prediction_1: Tensor, target_1: Tensor) -> Counted | None:
        errors = _error(as_amounts(prediction_1, recipe.loss), target_1)
        mean = math.fsum(errors.tolist()) / len(errors)
        return 0, math.floor(min(mean, ERROR_CLIP) * (MEAN_GRID / ERROR_CLIP))

    of, clip, count = (ACCURACY, 1.0, share_of_hits) if has_hits else (ERROR, ERROR_CLIP, clipped_error)
    (total,) = _sums(program, recipe, rows, assemble, seed, count, 1)
    (noise,) = discrete_gaussian(Fraction(sigma) * MEAN_GRID).draw(key, seed.value, recipe.steps, NOISE_DOMAIN, 1)
    return NoisedMean(f"{of}{OF_UNITS if of_units else ''}", clip, MEAN_GRID, sigma, int(total + noise))


# Many parameters: those of `_noised`, and what each unit counts.
def _sums(
    program: Program,
    recipe: Recipe,
    rows: Indices,
    assemble: Assemble,
    seed: Digest,
    count: Callable[[Tensor, Tensor], Counted | None],
    length: int,
) -> npt.NDArray[np.int64]:
    """Add up what each unit of privacy by itself counts, `[length]`; one with a record whose
    outputs are not finite, or cannot be computed, counts nothing."""
    sums = np.zeros(length, np.int64)
    for of_unit in by_unit(rows, terms_of(recipe).unit_records):
        predictions, targets = list[Tensor](), list[Tensor]()
        try:
            for number in range(len(of_unit)):
                index = of_unit[number : number + 1]
                inputs, target_1 = as_tensors(*assemble(index))
                program.environment_class.seed(record_seed(seed, recipe.steps, int(index[0])))
                predictions.append(fit(program(*inputs, training=False), target_1, recipe.loss))
                targets.append(target_1)
            prediction_BK, target_B = torch.cat(predictions), torch.cat(targets)
            counted = count(prediction_BK, target_B) if prediction_BK.isfinite().all() else None
        except FAILURES as error:
            refuse_lack_of_memory(error)
            counted = None
        if counted is not None:
            sums[counted[0]] += counted[1]
    return sums
