"""The best checkpoint: whose model a recipe delivers that chooses among its leaves (no torch).

The rule is a figure of the results on held-out records. A leaf is a *running best* where its figure
is better than that of every leaf before it; the last such leaf is the best, so that of equal ones
the first is. Leaf 0 has no result and is never delivered; where no leaf has the figure, the last
leaf is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fitchain.pod.values.held_out import Amounts, Classes, HeldOut, Sequences
from fitchain.pod.values.recipe import Recipe

if TYPE_CHECKING:  # leaves know numpy, for which the help of a command must not wait
    from fitchain.pod.values.leaf import Checkpoint

LOWEST = ("loss", "mae")
"""Figures of which the lowest is the best; of the others it is the highest."""


def figure_of(result: HeldOut | None, rule: str) -> float | None:
    """A figure of a result; None where the result does not have it: of one class alone there is no
    AUC, say, and of outputs that are not finite there is nothing."""
    outcome = None if result is None else result.outcome
    if not isinstance(outcome, Classes | Amounts | Sequences):
        return None
    value: float | None = getattr(outcome, rule, None)
    return value


class RunningBest:
    """The best of the leaves so far.

    Args:
        rule: the recipe's; None chooses nothing.
    """

    def __init__(self, rule: str | None) -> None:
        self._rule = rule
        self._figure: float | None = None
        self.index: int | None = None

    def take(self, index: int, result: HeldOut | None) -> bool:
        """Take the next leaf; whether it is a running best.

        Args:
            index: of the leaf, above those taken before.
            result: what its model does on the held-out records.
        """
        figure = None if self._rule is None else figure_of(result, self._rule)
        if figure is None:
            return False
        sign = -1 if self._rule in LOWEST else 1
        if self._figure is not None and sign * figure <= sign * self._figure:
            return False
        self._figure, self.index = figure, index
        return True


def delivered_leaf(recipe: Recipe, results: Mapping[int, HeldOut | None], last: int) -> int:
    """Index of the leaf whose model is delivered.

    Args:
        recipe: with its rule.
        results: of leaves by their index; of some alone it tells which is the best of these.
        last: index of the transcript's last leaf, which is delivered where the training ended
            early.
    """
    if last < recipe.leaf_count - 1:
        return last
    best = RunningBest(recipe.best)
    for index in sorted(results):
        best.take(index, results[index])
    return last if best.index is None else best.index


def delivered_of(recipe: Recipe, checkpoints: Sequence[Checkpoint]) -> int:
    """Index of the leaf whose model is delivered, of all checkpoints of a training."""
    return delivered_leaf(recipe, results_of(checkpoints), checkpoints[-1].leaf.index)


def results_of(checkpoints: Sequence[Checkpoint]) -> dict[int, HeldOut | None]:
    """Results on held-out records by leaf."""
    return {checkpoint.leaf.index: checkpoint.held_out for checkpoint in checkpoints}
