"""Results on held-out records: what a trained model does on records that nobody trained on (no
torch).

A result holds counts and sums, which an audit computes again to the last bit. Shares, errors and
their intervals follow from them by whoever reads it.

Sources: Wilson, Probable Inference (1927), equation 10 (intervals of a share); Hanley & McNeil, The
Meaning and Use of the Area under a ROC Curve (1982), section III (of an AUC); Cohen, Cohen, West &
Aiken, Applied Multiple Regression (2003), section 3.6.2 (of R2, an approximation for large counts).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from fitchain.pod.values.digest import ZERO, Digest, Json, canonical_json, sha256, tagged
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.fields import Fields, integer

MOST_CONFUSED = 32
"""Classes up to which a result counts which class was taken for which."""
MOST_COUNT = 2**53 - 1
ACCURACY, ERROR, OF_UNITS = "accuracy", "absolute error", " of units"
"""Of what a noised mean is one."""
CONFIDENCE_Z = 1.959963984540054
"""Standard deviations about a normal mean that hold 95 %."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Classes:
    """Of a classification.

    Args:
        classes: K.
        compared: predictions; as many as records, or more where a record has several.
        correct: of these, how many hit.
        confusion: K * K counts, row by row: of true class i how many were taken for class j; empty
            where K is beyond `MOST_CONFUSED`.
        loss: the recipe's, the mean over the predictions.
        above: of two classes, twice the pairs of a record of the first class and one of the second
            in which the second has the higher score, a tie counting once; None elsewhere.
    """

    kind: ClassVar[str] = "classes"
    classes: int
    compared: int
    correct: int
    confusion: tuple[int, ...]
    loss: float
    above: int | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Classes:
        """Read the JSON form.

        Raises:
            InputRefused: it has another form, or its counts contradict each other.
        """
        what = "a held-out result"
        fields = Fields(what, value, ("kind", "classes", "compared", "correct", "confusion", "loss", "above"))
        classes, compared = fields.integer("classes", 1, MOST_COUNT), fields.integer("compared", 1, MOST_COUNT)
        correct = fields.integer("correct", 0, compared)
        confusion = _counts(fields, 0)
        if len(confusion) != (classes * classes if classes <= MOST_CONFUSED else 0):
            raise InputRefused(f"{what} of {classes} classes does not have {len(confusion)} counts")
        if confusion and (sum(confusion), sum(confusion[:: classes + 1])) != (compared, correct):
            raise InputRefused(f"the counts of {what} do not add up to {compared} predictions, {correct} of them right")
        above = None if value["above"] is None else fields.integer("above", 0, MOST_COUNT)
        if above is not None and (classes != 2 or above > 2 * sum(confusion[:2]) * sum(confusion[2:])):
            raise InputRefused(f"{what} counts {above} half pairs in order, and has not so many")
        return cls(classes, compared, correct, confusion, fields.real("loss"), above)

    @property
    def accuracy(self) -> float:
        """The share of predictions that hit."""
        return self.correct / self.compared

    @property
    def accuracy_interval(self) -> Interval:
        """Of 95 %, by Wilson."""
        return wilson(self.correct, self.compared)

    @property
    def f1(self) -> float | None:
        """The mean over the classes of the harmonic mean of precision and recall (macro F1); a
        class that neither is nor was predicted is left out. None where the counts are not there."""
        return macro_f1(self.confusion, self.classes) if self.confusion else None

    @property
    def auc(self) -> float | None:
        """How likely a record of the second class scores above one of the first; None where that
        was not counted, or one of the two is not there."""
        pairs = sum(self.confusion[:2]) * sum(self.confusion[2:])
        return None if self.above is None or not pairs else self.above / (2 * pairs)

    @property
    def auc_interval(self) -> Interval | None:
        """Of 95 %, by the standard error of Hanley and McNeil."""
        if (auc := self.auc) is None:
            return None
        negatives, positives = sum(self.confusion[:2]), sum(self.confusion[2:])
        q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
        spread = auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) + (negatives - 1) * (q2 - auc * auc)
        return _about(auc, math.sqrt(max(spread, 0.0) / (positives * negatives)), 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Amounts:
    """Of a regression, in the units in which the target enters the loss.

    Args:
        compared: predictions; as many as records, or more where a record has several.
        loss: the recipe's, the mean over the predictions.
        absolute, squared: sums of the errors' sizes and squares.
        spread: sum of the squared distances of the targets from their mean.
    """

    kind: ClassVar[str] = "amounts"
    compared: int
    loss: float
    absolute: float
    squared: float
    spread: float

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Amounts:
        """Read the JSON form.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("a held-out result", value, ("kind", "compared", "loss", "absolute", "squared", "spread"))
        sums = (fields.real(name, 0) for name in ("absolute", "squared", "spread"))
        return cls(fields.integer("compared", 1, MOST_COUNT), fields.real("loss"), *sums)

    @property
    def mae(self) -> float:
        """The mean size of the errors."""
        return self.absolute / self.compared

    @property
    def mae_interval(self) -> Interval | None:
        """Of 95 %, by the normal approximation; None of a single prediction."""
        if self.compared < 2:
            return None
        n = self.compared
        variance = max(self.squared - self.absolute * self.mae, 0.0) / (n - 1)
        return _about(self.mae, math.sqrt(variance / n), 0.0, math.inf)

    @property
    def r2(self) -> float | None:
        """The share of the targets' variance that the predictions explain; below 0 where their mean
        would do better. None where the targets do not vary."""
        return 1 - self.squared / self.spread if self.spread else None

    @property
    def r2_interval(self) -> Interval | None:
        """Of 95 %, by the large-sample standard error; None where R2 is not above 0 or the
        predictions are fewer than four."""
        r2, n = self.r2, self.compared
        if r2 is None or r2 <= 0 or n < 4:
            return None
        error = math.sqrt(4 * r2 * (1 - r2) ** 2 * (n - 2) ** 2 / ((n * n - 1) * (n + 3)))
        return _about(r2, error, -math.inf, 1.0)


@dataclass(frozen=True, slots=True)
class NoisedClasses:
    """Of a classification under a privacy budget: counts with a discrete Gaussian added to each.

    Args:
        classes: K.
        sigma: of the noise, in records.
        confusion: K * K, row by row as of `Classes`; below 0 where the noise says so.
    """

    kind: ClassVar[str] = "noised classes"
    classes: int
    sigma: float
    confusion: tuple[int, ...]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NoisedClasses:
        """Read the JSON form.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("a held-out result", value, ("kind", "classes", "sigma", "confusion"))
        classes, confusion = fields.integer("classes", 1, MOST_CONFUSED), _counts(fields, -MOST_COUNT)
        if len(confusion) != classes * classes:
            raise InputRefused(f"a held-out result of {classes} classes does not have {len(confusion)} counts")
        return cls(classes, fields.real("sigma", 0), confusion)

    def accuracy(self, records: int) -> float:
        """The share of records that hit, as the noised counts have it, from 0 to 1."""
        return min(1.0, max(0.0, sum(self.confusion[:: self.classes + 1]) / records))

    def accuracy_interval(self, records: int) -> Interval:
        """Of 95 %: the normal approximation of the share, and the noise of its K counts."""
        share = self.accuracy(records)
        variance = share * (1 - share) / records + self.classes * (self.sigma / records) ** 2
        return _about(share, math.sqrt(variance), 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class NoisedMean:
    """One mean over the records, or units of privacy, under a budget: a sum of whole numbers with a
    discrete Gaussian added.

    Args:
        of: `ACCURACY`: of each record the share of its predictions that hit. `ERROR`: of each
            record the mean size of its errors in the units in which the target enters the loss, cut
            off at `clip`. With `OF_UNITS` behind it: of each unit of privacy, over all its records.
        clip: what a record, or a unit, counts at most.
        grid: whole units in `clip`; such a number is cut to them.
        sigma: of the noise, in clips.
        sum: in units.
    """

    kind: ClassVar[str] = "noised mean"
    of: str
    clip: float
    grid: int
    sigma: float
    sum: int

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NoisedMean:
        """Read the JSON form.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("a held-out result", value, ("kind", "of", "clip", "grid", "sigma", "sum"))
        return cls(
            fields.choice("of", (ACCURACY, ERROR, ACCURACY + OF_UNITS, ERROR + OF_UNITS)),
            fields.real("clip", 0),
            fields.integer("grid", 1, 1 << 24),
            fields.real("sigma", 0),
            fields.integer("sum", -MOST_COUNT, MOST_COUNT),
        )

    def mean(self, records: int) -> float:
        """The mean, as the noised sum has it, from 0 to `clip`."""
        return min(self.clip, max(0.0, self.clip * self.sum / (self.grid * records)))

    def noise(self, records: int) -> float:
        """How far the noise alone moves the mean, 95 times in 100 no further."""
        return CONFIDENCE_Z * self.sigma * self.clip / records


Outcome = Classes | Amounts | NoisedClasses | NoisedMean
_KINDS: Mapping[str, type[Outcome]] = {kind.kind: kind for kind in (Classes, Amounts, NoisedClasses, NoisedMean)}


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A trained model's result on the held-out records.

    Args:
        records: how many were held out; how many units of privacy, where these have several.
        outcome: what was counted; None where the model's outputs on them are not finite or cannot
            be computed.
    """

    records: int
    outcome: Outcome | None

    @classmethod
    def from_json(cls, value: Any) -> HeldOut:
        """Read the JSON form.

        Raises:
            InputRefused: a field is missing, unknown, of the wrong type or out of bounds.
        """
        fields = Fields("a held-out result", value, ("records", "outcome"))
        records, outcome = fields.integer("records", 1, MOST_COUNT), value["outcome"]
        if outcome is None:
            return cls(records, None)
        kind = outcome.get("kind") if isinstance(outcome, Mapping) else None
        if not isinstance(kind, str) or kind not in _KINDS:
            raise InputRefused(f"a held-out result's outcome is null or one of {', '.join(_KINDS)}")
        return cls(records, _KINDS[kind].from_json(outcome))

    def json(self) -> dict[str, Json]:
        """The result as a JSON object."""
        if self.outcome is None:
            return {"records": self.records, "outcome": None}
        fields: dict[str, Json] = {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self.outcome).items()
        }
        return {"records": self.records, "outcome": {"kind": self.outcome.kind, **fields}}

    @property
    def finite(self) -> HeldOut:
        """The same result, or none where a number in it is not finite."""
        numbers = asdict(self.outcome).values() if self.outcome is not None else ()
        whole = all(math.isfinite(number) for number in numbers if isinstance(number, float))
        return self if whole else replace(self, outcome=None)


def held_out_salt(metrics_salt: Digest) -> Digest:
    """The salt of a leaf's held-out result: it follows from that leaf's salt of metrics, and
    who is told the one, as in a certificate, does not learn the other."""
    return tagged("fitchain/held-out-salt/v2", metrics_salt)


def held_out_digest(result: HeldOut | None, salt: Digest) -> Digest:
    """What a leaf says of a result, so that nobody guesses it from the leaf; zero where there is
    none."""
    return (
        ZERO if result is None else tagged("fitchain/held-out-result/v2", salt, sha256(canonical_json(result.json())))
    )


def wilson(hits: int, trials: int) -> Interval:
    """The interval of 95 % of a share (Wilson's score interval)."""
    z2, share = CONFIDENCE_Z**2, hits / trials
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = CONFIDENCE_Z / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def macro_f1(confusion: tuple[int, ...], classes: int) -> float:
    """The mean F1 of the classes that are there or were predicted."""
    scores = []
    for each in range(classes):
        present = sum(confusion[each * classes : (each + 1) * classes])
        predicted = sum(confusion[each::classes])
        if present + predicted:
            scores.append(2 * confusion[each * (classes + 1)] / (present + predicted))
    return math.fsum(scores) / len(scores)


def _counts(fields: Fields, low: int) -> tuple[int, ...]:
    counts = fields.items("confusion", 0, MOST_CONFUSED**2)
    return tuple(integer("a held-out result: confusion", count, low, MOST_COUNT) for count in counts)


def _about(value: float, error: float, low: float, high: float) -> Interval:
    """Of 95 %, about a value with a standard error."""
    return max(low, value - CONFIDENCE_Z * error), min(high, value + CONFIDENCE_Z * error)
