"""Private training: DP-SGD in integers, from a state to the next (torch).

A step draws units of privacy in secret (records, or people with several), takes each one's gradient
by itself, clips it, cuts it to whole units of a grid, and adds a discrete Gaussian to the sum; the
recipe's optimizer moves the parameters by the result over the expected size of a batch. The
gradient of one with several records is the sum of theirs, in the order of their rows; what is
clipped is that sum. Nothing else of the records goes on: no loss, no count, no statistics, and no
error either. A record whose gradient cannot be computed lets its unit count as one of zeros, and so
does one whose gradient is not finite: a graph that fails for one person only would else be an exact
test of whether that person is there.

What a record adds to a sum depends on the state and on that record alone, to the last bit: each
runs through the graph as a batch of one, its random numbers seeded by its place in the dataset.
Computed together (`torch.func.vmap`), the last bits of one record's gradient depend on where it
stands among the others, since a product's rows are not all computed alike; a graph may enlarge such
a bit to a gradient of any length, and then whoever is not drawn moves the gradients of all who are.
`side_by_side` computes several records at once without that.

Sources: Abadi et al., Deep Learning with Differential Privacy (2016); Mironov, On Significance of
the Least Significant Bits for Differential Privacy (2012); Canonne, Kamath & Steinke, The Discrete
Gaussian for Differential Privacy (2020).

Legend: D trainable numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from fitchain.pod.compute.dataset import Assemble
from fitchain.pod.compute.losses import fit, loss_function
from fitchain.pod.compute.model.executor import FAILURES as OPERATOR_FAILURES
from fitchain.pod.compute.model.executor import lacks_memory
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.side_by_side import Seed, SideBySide
from fitchain.pod.compute.training import StepDone, as_tensors, generator_seed, set_learning_rate
from fitchain.pod.compute.update import update, weights_in_place
from fitchain.pod.values.digest import Digest, tagged
from fitchain.pod.values.errors import InputRefused, Unusable
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.leaf import Indices
from fitchain.pod.values.privacy.noise import discrete_gaussian
from fitchain.pod.values.recipe import Privacy, Recipe

SegmentKeys = Callable[[int], bytes]
"""From a segment to the 32 secret bytes that its sampling and noise follow from."""

CLIP_MARGIN = 1 - 2.0**-12
"""Of the clip that a gradient is scaled to: the rounding of norm and quotient stays below the rest,
and the whole numbers are checked exactly all the same."""
NOISE_DOMAIN = 1
"""Of the keyed stream, beside that of sampling."""
ALONE = 256
"""Records that are computed one at a time before several at once are tried again."""
AT_ONCE = 1 << 17
"""Numbers of gradients that are clipped at once, so that they stay in a processor's cache."""
MIXING = ("batch_norm", "instance_norm")
"""Operators by which a model normalises over a batch; of a single record they make zeros."""
FAILURES = (InputRefused, *OPERATOR_FAILURES)
"""What a record's numbers may lead to, in the loss and on the way back as in an operator."""


# Many parameters: those of `train`, and the keys.
def train_privately(
    program: Program,
    recipe: Recipe,
    batches: Iterable[Indices],
    assemble: Assemble,
    seed: Digest,
    start_step: int,
    optimizer: Optimizer,
    keys: SegmentKeys,
    filled: Callable[[Indices], Indices] = lambda indices: indices,
) -> Iterator[StepDone]:
    """Train from one state on, step by step, as `train` does.

    Args:
        program, recipe, assemble, seed, start_step, optimizer: as of `train`; the recipe has terms
            of privacy.
        batches: the rows that each step draws, any number of units with all rows of each.
        keys: of the segments.
        filled: of rows those that hold a record.

    Yields:
        What each step did: of its records only which they were, for the owner and who audits it.

    Raises:
        InputRefused: the model cannot be trained in private.
        Unusable: memory ran out.
    """
    terms = terms_of(recipe)
    gradients, noise = RecordGradients(program, recipe), discrete_gaussian(terms.noise_units)
    unit = terms.clip / (terms.grid * recipe.batch_size)
    for step, indices in enumerate(batches, start_step):
        set_learning_rate(optimizer, recipe.learning_rate(step))
        with weights_in_place(optimizer, recipe.ema):
            sum_D = gradients.sum(filled(indices), assemble, seed, step)
            sum_D += torch.from_numpy(
                noise.draw(keys(step // recipe.segment_steps), seed.value, step, NOISE_DOMAIN, gradients.count)
            )
            gradients.put((sum_D.to(torch.float64) * unit).to(torch.float32))
            update(program, recipe, optimizer)
        yield StepDone(step + 1, math.nan, 0, 0, indices)


def terms_of(recipe: Recipe) -> Privacy:
    """The terms of privacy of a recipe that has them.

    Raises:
        InputRefused: it has none.
    """
    if recipe.privacy is None:
        raise InputRefused("the recipe has no terms of privacy")
    return recipe.privacy


def refuse_graph(graph: Graph) -> None:
    """Refuse a graph that cannot be trained in private, by the name of what stands against it.

    Raises:
        InputRefused: it normalises over a batch.
    """
    for operator in sorted(graph.operators):
        if operator.startswith("aten.") and operator.split(".")[1] in MIXING:
            raise InputRefused(
                f"the operator {operator} mixes the records of a batch, and private training takes each by itself",
                "normalise within a record instead: GroupNorm or LayerNorm",
            )


class RecordGradients:
    """Gradients of units of privacy, each clipped and cut to whole units of the grid by itself, and
    added up.

    Args:
        program: whose trainable parameters they are of.
        recipe: with terms of privacy.

    Raises:
        InputRefused: the model cannot be trained in private.
    """

    def __init__(self, program: Program, recipe: Recipe) -> None:
        refuse_graph(program.graph)
        if written := program.written:
            raise InputRefused(
                f"a step writes {min(written)!r} in place, and no noise is added to what a record writes",
                "leave running statistics out of a model that is trained in private",
            )
        self.terms = terms_of(recipe)
        self._program, self._loss, self._compute_loss = program, recipe.loss, loss_function(recipe.loss)
        self._parameters = list(program.trainable.values())
        self.count = sum(parameter.numel() for parameter in self._parameters)
        self._clipping_memory = clipping_memory(self.count)
        tensors = (*program.parameters.values(), *program.buffers.values())
        operators = program.graph.operators | {f"loss.{recipe.loss.name}"}
        self._side_by_side = SideBySide(self._gradients, tensors, operators)

    def sum(self, indices: Indices, assemble: Assemble, seed: Digest, step: int) -> Tensor:
        """Add up the gradients of records.

        Args:
            indices: `[n]`, of the records; those of a unit stand together, rising.
            assemble: to inputs and target.
            seed: the order seed.
            step: completed steps.

        Returns:
            int64 `[D]`, in units of the grid.
        """
        total_D = torch.zeros(self.count, dtype=torch.int64)
        if not len(indices):
            return total_D
        inputs, target_n = as_tensors(*assemble(indices))
        blocks = self.blocks((*inputs, target_n), seeds(self._program, seed, step, indices))
        if (size := self.terms.unit_records) is not None:
            blocks = _of_units(blocks, indices // np.uint64(size))
        for gradients_mD in blocks:
            total_D += summed_units(gradients_mD, self.terms, self._clipping_memory)
        return total_D

    def put(self, gradient_D: Tensor) -> None:
        """Lay a gradient before the optimizer, float32 `[D]`."""
        sizes = [parameter.numel() for parameter in self._parameters]
        for parameter, part in zip(self._parameters, torch.split(gradient_D, sizes), strict=True):
            parameter.grad = part.view(parameter.shape)

    def blocks(self, records: Sequence[Tensor], seed: Seed) -> Iterator[Tensor]:
        """Compute gradients of records, in their order.

        Args:
            records: inputs and target, `[n, *shape]` each.
            seed: seeds every generator for the record of a row.

        Yields:
            Of some of them float32 `[m, D]`, which the next ones overwrite; not numbers in the row
            of a record whose gradient cannot be computed.
        """
        row, count = 0, len(records[0])
        while row < count:
            try:
                gradients_mD = self._side_by_side.compute([tensor[row:] for tensor in records], _from(row, seed))
            except FAILURES as error:
                refuse_lack_of_memory(error)
                gradients_mD = None  # which record failed, shows when each is computed alone
            if gradients_mD is not None:
                yield gradients_mD
                row += len(gradients_mD)
                continue
            for _ in range(min(count - row, ALONE)):
                yield self._alone(records, row, seed)[None]
                row += 1

    def _alone(self, records: Sequence[Tensor], row: int, seed: Seed) -> Tensor:
        """A record's gradient, float32 `[D]`; not a number where it cannot be computed."""
        seed(row)
        try:
            gradients = self._gradients([tensor[row : row + 1].clone() for tensor in records])
        except FAILURES as error:
            refuse_lack_of_memory(error)
            return torch.full((self.count,), math.nan)
        return torch.cat([gradient.flatten() for gradient in gradients])

    def _gradients(self, record: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """By parameter, of a batch of one: inputs, then target."""
        *inputs, target_1 = record
        prediction_1K = fit(self._program(*inputs, training=True), target_1, self._loss)
        loss = self._compute_loss(prediction_1K, target_1)
        return torch.autograd.grad(loss, self._parameters, allow_unused=True, materialize_grads=True)


def _of_units(blocks: Iterable[Tensor], units: Indices) -> Iterator[Tensor]:
    """Add up what the records of each unit of privacy give.

    Args:
        blocks: gradients of records in their order, float32 `[m, D]` each.
        units: `[n]`, of each record; those of a unit stand together.

    Yields:
        The sum of each unit, float32 `[1, D]`, added in the order of its records; not numbers where
        one of them is none.
    """
    row, sum_D = 0, None
    for gradients_mD in blocks:
        for gradient_D in gradients_mD:
            if sum_D is not None and units[row] != units[row - 1]:
                yield sum_D[None]
                sum_D = None
            sum_D = gradient_D.clone() if sum_D is None else sum_D + gradient_D
            row += 1
    if sum_D is not None:
        yield sum_D[None]


def refuse_lack_of_memory(error: Exception) -> None:
    """Tell lack of memory, which is the host's, from what a record's numbers lead to.

    Raises:
        Unusable: memory ran out.
    """
    if lacks_memory(error):
        raise Unusable("memory ran out in a step", "raise the worker's memory limit") from error


def seeds(program: Program, seed: Digest, step: int, indices: Indices) -> Seed:
    """What seeds every generator for the record of a row among some."""
    return lambda row: program.environment_class.seed(record_seed(seed, step, int(indices[row])))


def _from(row: int, seed: Seed) -> Seed:
    return lambda later: seed(row + later)


def clipping_memory(width: int) -> tuple[Tensor, Tensor]:
    """What `summed_units` computes in: made once for many calls, whose time memory that the system
    gives and takes back each time would double.

    Args:
        width: D.

    Returns:
        float64 and int32 `[m, D]`, of as many records as are clipped at once.
    """
    rows = max(1, AT_ONCE // width)
    return torch.empty(rows, width, dtype=torch.float64), torch.empty(rows, width, dtype=torch.int32)


def summed_units(gradients_nD: Tensor, terms: Privacy, memory: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Clip gradients, cut each to whole units of the grid, toward zero, and add them up.

    Args:
        gradients_nD: float32, a record's in each row.
        terms: clip and grid.
        memory: of `clipping_memory(D)`, is overwritten; its own where there is none.

    Returns:
        int64 `[D]`; each record's part has a Euclidean norm of at most the grid, and is zeros where
        its gradient is not finite.
    """
    units_mD, whole_mD = memory or clipping_memory(gradients_nD.shape[1])
    norms_n = torch.linalg.vector_norm(gradients_nD, dim=1, dtype=torch.float64)
    finite_n, most = norms_n.isfinite(), terms.clip * CLIP_MARGIN
    if not finite_n.all():
        gradients_nD, norms_n = gradients_nD[finite_n], norms_n[finite_n]
    scales_n1 = torch.where(norms_n > most, most / norms_n, 1.0).mul_(terms.grid / terms.clip)[:, None]
    total_D = torch.zeros(gradients_nD.shape[1], dtype=torch.float64)
    for row in range(0, len(gradients_nD), len(units_mD)):
        rows_mD, scales_m1 = gradients_nD[row : row + len(units_mD)], scales_n1[row : row + len(units_mD)]
        units, whole = units_mD[: len(rows_mD)], whole_mD[: len(rows_mD)]
        # To integers and back, several times as fast as `trunc`: both cut toward zero, and none is
        # beyond 2^24.
        units.copy_(whole.copy_(units.copy_(rows_mD).mul_(scales_m1)))
        # Squares of numbers up to 2^24 and their sums are exact in doubles up to 2^53; a sum beyond
        # that is beyond the square of every grid, 2^48 at most, however it is rounded. So is the
        # root of a sum just above such a square above the grid, by 2^-26 at least.
        fits_m = torch.linalg.vector_norm(units, dim=1) <= terms.grid
        total_D += (units if fits_m.all() else units[fits_m]).sum(0)
    # Exact in any order: of at most 2^29 whole numbers of at most 2^24.
    return total_D.to(torch.int64)


def by_unit(indices: Indices, unit_records: int | None) -> list[Indices]:
    """The records of each unit of privacy.

    Args:
        indices: `[n]`, of the records; those of a unit stand together.
        unit_records: how many rows a unit has; None where a record is the unit.
    """
    if not len(indices):
        return []
    if unit_records is None:
        return np.split(indices, len(indices))
    return np.split(indices, np.flatnonzero(np.diff(indices // np.uint64(unit_records))) + 1)


def record_seed(seed: Digest, step: int, index: int) -> int:
    """The seed of every generator before one record's gradient."""
    return generator_seed(tagged("fitchain/record-step/v2", seed, step, index))
