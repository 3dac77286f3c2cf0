"""Which of the records' targets count in a result, and how (no torch).

A result names what was compared; that these are fewer than the records, or more, and why, follows
from recipe and card, and has to be said wherever its figures are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import CLASS_WEIGHTS, CLASSIFICATION, CTC


@dataclass(frozen=True, slots=True)
class CountedTargets:
    """What of the records' targets counts.

    Args:
        ignored: the class whose targets count in no loss and no figure, as people read it
            (`class 'unknown'`); empty where all count.
        number: of that class; None where all count.
        per_record: targets of a record, each with a prediction; 0 where that is not known.
        is_weighted: whether the loss weighs classes differently.
    """

    ignored: str = ""
    number: int | None = None
    per_record: int = 0
    is_weighted: bool = False

    @classmethod
    def of(cls, recipe: Recipe, shape: Sequence[int] | None) -> CountedTargets:
        """Of a recipe.

        Args:
            recipe: with its loss.
            shape: of one record's target, as the dataset's card has it; None where no card is here.
        """
        whole_records = recipe.loss.name == CTC  # a sequence is right or wrong as a whole
        per_record = 0 if shape is None else 1 if whole_records else math.prod(shape)
        is_weighted = any(name in recipe.loss.arguments for name in CLASS_WEIGHTS)
        return cls(ignored_label(recipe), ignored_number(recipe), per_record, is_weighted)

    def targets(self, records: int) -> int | None:
        """How many targets so many records have; None where that is not known."""
        return records * self.per_record or None

    def is_independent(self, compared: int, records: int) -> bool:
        """Whether no two of the predictions that count are of one record, so that intervals hold:
        those of one record depend on one another."""
        return compared <= records if self.per_record == 1 else not self.per_record and compared == records


def ignored_number(recipe: Recipe) -> int | None:
    """The class that a recipe ignores, by its number; None where it ignores none of those that the
    target may have."""
    number = recipe.loss.arguments.get("ignore_index")
    if recipe.loss.name not in CLASSIFICATION or not isinstance(number, int):
        return None
    categories = _categories(recipe)
    return number if categories is None or 0 <= number < len(categories) else None


def ignored_class(recipe: Recipe) -> Any:
    """The same class as its owner calls it: a text or a number."""
    number, categories = ignored_number(recipe), _categories(recipe)
    return number if number is None or categories is None else categories[number]


def ignored_label(recipe: Recipe) -> str:
    """The same in a sentence: `class 'unknown'`; empty where none is ignored."""
    return "" if ignored_number(recipe) is None else f"class {ignored_class(recipe)!r}"


def _categories(recipe: Recipe) -> Sequence[Any] | None:
    categories: Sequence[Any] | None = recipe.transform.get(recipe.target, {}).get("categories")
    return categories
