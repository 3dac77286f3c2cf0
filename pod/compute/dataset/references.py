"""Reference trainings of a privacy-risk report: how many there are, on which records each is
trained, and in which order (no torch).

They come in pairs, one on a random half of all usable records and one on the other half. All of it
follows from recipe, order seed and metered work, so whoever audits one knows which records it must
have taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from fitchain.pod.compute.dataset.order import Indices, batches, keyed_draws, permutation
from fitchain.pod.compute.dataset.units import rows_of
from fitchain.pod.values.digest import Digest, tagged
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.work import StepWork

REFERENCE_TAG, HALF_TAG = "fitchain/reference/v2", "fitchain/reference-half/v2"
MOST_REFERENCES, FEWEST_REFERENCES = 32, 4
STEP_NS, CALL_NS, OPERATION_NS, NUMBER_NS = 150_000, 12_000, 1, 30
"""What a step, a kernel of the forward pass, an element's operation and a noised number are taken
to cost. These are no measurements of this host: how many models there are has to be the same on
every one."""
REFERENCES_NS = 28 * 10**9
"""All reference trainings together cost no more by that, above the fewest."""


@dataclass(frozen=True)
class ReferenceTraining:
    """A reference training.

    Args:
        number: which, from 0.
        recipe: the job's, on as many rows as it takes; it counts them from 0.
        seed: its order seed.
        rows: the dataset's rows by these places, uint64 `[n]`.
        saw: of the job's units of privacy (records, where these are the unit), those it takes.
    """

    number: int
    recipe: Recipe
    seed: Digest
    rows: Indices
    saw: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, recipe: Recipe, seed: Digest, number: int) -> ReferenceTraining:
        """A reference training of a job.

        Args:
            recipe, seed: the job's recipe and order seed.
            number: which.
        """
        saw = half_of(seed, number, recipe.unit_count)
        units = np.flatnonzero(saw).astype(np.uint64)
        rows = rows_of(units, recipe.unit_records) + np.uint64(recipe.rows[0])
        # Only whether a step can be taken depends on the number of rows; a batch of more than half
        # of all units is one of that half.
        own = replace(recipe, rows=(0, len(rows)), held_out=None, batch_size=min(recipe.batch_size, len(units)))
        return cls(number, own, tagged(REFERENCE_TAG, seed, number), rows, saw)

    def taken(self, places: Indices) -> Indices:
        """The dataset's rows at places of its own."""
        return self.rows[places.astype(np.intp)]

    def segment_records(self, segment: int) -> Indices:
        """The dataset's rows of a segment in the order of training, `[n]`; not of a private one."""
        start = segment * self.recipe.segment_steps
        steps = min(self.recipe.segment_steps, self.recipe.steps - start)
        return self.taken(np.concatenate(list(islice(batches(self.recipe, self.seed, start), steps))))


def half_of(seed: Digest, number: int, count: int) -> npt.NDArray[np.bool_]:
    """Which of so many units of privacy (records, where these are the unit) a reference model is
    trained on: one of a pair on a random half, the other on the rest.

    Args:
        seed: the order seed of the attacked run.
        number: of the reference model.
        count: of units.

    Returns:
        `[count]`, true for those that it is trained on.
    """
    order = permutation(count, keyed_draws(tagged(HALF_TAG, seed, number // 2)))
    saw = np.zeros(count, np.bool_)
    saw[order[: count // 2].astype(np.intp)] = True
    return saw if number % 2 == 0 else ~saw


def reference_count(work: StepWork, recipe: Recipe) -> int:
    """How many reference models are trained, an even number: by what a training is metered to cost,
    not by any clock.

    Args:
        work: of a step; of a private training, of a record.
        recipe: steps, batch size, terms of privacy.
    """
    pass_ns = CALL_NS * work.calls + OPERATION_NS * work.operations
    step_ns = STEP_NS + pass_ns
    if recipe.privacy is not None:  # records one by one, and a draw of noise for each number that is trained
        step_ns = STEP_NS + recipe.batch_size * (STEP_NS + pass_ns) + NUMBER_NS * work.bytes // 16
    affordable = REFERENCES_NS // (step_ns * recipe.steps)
    return max(FEWEST_REFERENCES, min(MOST_REFERENCES, affordable // 2 * 2))
