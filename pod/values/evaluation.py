"""Evaluations: what a delivered model does on a table of the scientist's own (no torch).

Counts and sums are those of a result on held-out records, made by the same code, so that the same
records give the same numbers. Beside them stands what nothing is bound by, and a picture is
drawn of: each class against all others, each label, predicted against observed amounts.

Source: Fawcett, An introduction to ROC analysis (2006), algorithms 1 and 7 (a curve by thresholds,
the mean of areas of one class against the others, each class counting the same).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitchain.pod.values.digest import Json, canonical_json, parse_json
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.held_out import MOST_COUNT, Amounts, Classes, HeldOut, Sequences
from fitchain.pod.values.limits import EVALUATION
from fitchain.pod.values.recipe.fields import Fields, integer
from fitchain.pod.values.recipe.terms import MOST_ROWS

MOST_SIDES = 256
"""Labels up to which each is told apart; of classes it is `MOST_CONFUSED`."""
CURVE_POINTS = 100
"""The most points of a curve: some are left out of one of more."""
GRID = 40
"""Into so many columns, and rows, observed and predicted amounts are counted."""
MOST_OUTPUT_RANK = 8
OUTPUT_DTYPES = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class Side:
    """One class against all others, or one label.

    Args:
        number: of the class, or of the label, from 0 on.
        counts: what has it (positive) or not, and was taken for it or not: (true negatives, false
            positives, false negatives, true positives).
        above: twice the pairs of a negative and a positive in which the positive has the higher
            score, a tie counting once.
        curve: false and true positives by falling threshold, from (0, 0) to all of them.
    """

    number: int
    counts: tuple[int, int, int, int]
    above: int
    curve: tuple[tuple[int, int], ...]

    @classmethod
    def from_json(cls, value: Any) -> Side:
        """Read the JSON form.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("a side of an evaluation", value, ("number", "counts", "above", "curve"))
        counts = [integer("counts", each, 0, MOST_COUNT) for each in fields.items("counts", 4, 4)]
        points = fields.items("curve", 0, CURVE_POINTS + 2)
        if any(not isinstance(point, list) or len(point) != 2 for point in points):
            raise InputRefused("a point of a curve is two counts")
        curve = tuple((integer("a point", x, 0, MOST_COUNT), integer("a point", y, 0, MOST_COUNT)) for x, y in points)
        negatives, false, missed, positives = counts
        side = (negatives, false, missed, positives)
        return cls(fields.integer("number", 0, MOST_ROWS), side, fields.integer("above", 0, MOST_COUNT), curve)

    def json(self) -> dict[str, Json]:
        """The side as a JSON object."""
        return {
            "number": self.number,
            "counts": list(self.counts),
            "above": self.above,
            "curve": [list(point) for point in self.curve],
        }

    @property
    def of_two(self) -> Classes:
        """The same counts as of a classification of two classes, which gives shares and areas with
        their intervals; its loss means nothing."""
        right = self.counts[0] + self.counts[3]
        return Classes(2, sum(self.counts), right, self.counts, 0.0, self.above)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall of the positives; None where there is no
        positive and none was predicted."""
        _, false, missed, true = self.counts
        return 2 * true / (2 * true + false + missed) if true + false + missed else None


@dataclass(frozen=True, slots=True)
class AmountGrid:
    """Predicted beside observed amounts, counted in squares.

    Args:
        low, high: of both, in the target's own unit.
        counts: `GRID * GRID`, row by row: of observed amounts in row i how many were predicted in
            column j.
    """

    low: float
    high: float
    counts: tuple[int, ...]

    @classmethod
    def from_json(cls, value: Any) -> AmountGrid:
        """Read the JSON form.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("an evaluation's amounts", value, ("low", "high", "counts"))
        counts = tuple(integer("counts", each, 0, MOST_COUNT) for each in fields.items("counts", GRID**2, GRID**2))
        return cls(fields.real("low"), fields.real("high"), counts)

    def json(self) -> dict[str, Json]:
        """The amounts as a JSON object."""
        return {"low": self.low, "high": self.high, "counts": list(self.counts)}


@dataclass(frozen=True, slots=True)
class ModelEvaluation:
    """What a model does on a table.

    Args:
        records: how many there are.
        shape, dtype: of one record's output.
        result: as a held-out result; None where the table has no target.
        sides: of a classification of up to `MOST_CONFUSED` classes each class (of two the second),
            of up to `MOST_SIDES` labels each; else none.
        are_labels: whether the sides are labels, of which a record may have several.
        amounts: of a regression.
    """

    records: int
    shape: tuple[int, ...]
    dtype: str
    result: HeldOut | None = None
    sides: tuple[Side, ...] = ()
    are_labels: bool = False
    amounts: AmountGrid | None = None

    @classmethod
    def parse(cls, data: bytes) -> ModelEvaluation:
        """Read what a worker wrote.

        Raises:
            InputRefused: it is no evaluation.
        """
        value = parse_json(data, EVALUATION)
        fields = Fields("an evaluation", value, cls.__dataclass_fields__)
        return cls(
            fields.integer("records", 1, MOST_ROWS),
            tuple(integer("shape", size, 1, MOST_ROWS) for size in fields.items("shape", 0, MOST_OUTPUT_RANK)),
            fields.choice("dtype", OUTPUT_DTYPES),
            None if value["result"] is None else HeldOut.from_json(value["result"]),
            tuple(map(Side.from_json, fields.items("sides", 0, MOST_SIDES))),
            fields.flag("are_labels"),
            None if value["amounts"] is None else AmountGrid.from_json(value["amounts"]),
        )

    def encode(self) -> bytes:
        """The evaluation as canonical JSON."""
        return canonical_json(
            {
                "records": self.records,
                "shape": list(self.shape),
                "dtype": self.dtype,
                "result": None if self.result is None else self.result.json(),
                "sides": [side.json() for side in self.sides],
                "are_labels": self.are_labels,
                "amounts": None if self.amounts is None else self.amounts.json(),
            }
        )

    def metrics(self, scale: float = 1.0) -> dict[str, float]:
        """The figures by name: `loss` as the recipe has it; of classes `accuracy`, `f1` (macro) and
        `auc` (of more than two the mean of one class against the others); of labels `labels_f1`
        and `labels_auc`, means over the labels, too; of amounts `mae`, `rmse` and `r2`.

        Args:
            scale: of the target's own unit in the units in which it enters the loss.
        """
        outcome = None if self.result is None else self.result.outcome
        match outcome:
            case Classes():
                values: Mapping[str, float | None] = {
                    "loss": outcome.loss,
                    "accuracy": outcome.accuracy,
                    "top5": outcome.top5,
                    "f1": outcome.f1,
                    **self._ranked(outcome),
                }
            case Sequences():
                values = {"loss": outcome.loss, "accuracy": outcome.accuracy}
            case Amounts():
                values = {
                    "loss": outcome.loss,
                    "mae": outcome.mae * scale,
                    "rmse": math.sqrt(outcome.squared / outcome.compared) * scale,
                    "r2": outcome.r2,
                }
            case _:
                values = {}
        return {name: value for name, value in values.items() if value is not None}

    def _ranked(self, outcome: Classes) -> dict[str, float | None]:
        areas, scores = mean_of([side.of_two.auc for side in self.sides]), mean_of([side.f1 for side in self.sides])
        if self.are_labels:
            return {"labels_f1": scores, "labels_auc": areas}
        return {"auc": outcome.auc if outcome.classes == 2 else areas}


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of those that are there; None where none is."""
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None
