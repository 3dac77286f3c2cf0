"""Results on held-out records: what a trained model does on records that nobody trained on (no
torch).

A result holds counts and sums, which an audit computes again to the last bit. Shares, errors and
their intervals follow from them by whoever reads it. Where the recipe names columns for it, the
same counts and sums are told by group, of groups of enough records (`fold_small_groups`).

Sources: Wilson, Probable Inference (1927), equation 10 (intervals of a share); Hanley & McNeil, The
Meaning and Use of the Area under a ROC Curve (1982), section III (of an AUC); Cohen, Cohen, West &
Aiken, Applied Multiple Regression (2003), section 3.6.2 (of R2, an approximation for large counts).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from fitchain.pod.values.digest import ZERO, Digest, Json, canonical_json, sha256, tagged
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import MOST_COLUMN_NAME
from fitchain.pod.values.recipe.fields import Fields, integer
from fitchain.pod.values.recipe.subgroups import MOST_GROUPS, MOST_SUBGROUPS, Group, parse_groups
from fitchain.pod.values.recipe.terms import AMONG, MOST_CONFUSED

MOST_CONFUSED_APART = 8
"""The same of a result by group."""
MOST_COUNT = 2**53 - 1
ACCURACY, ERROR, OF_UNITS = "accuracy", "absolute error", " of units"
"""Of what a noised mean is one."""
LEAST_TOLD = 20
"""Held-out records from which on a group is told by itself."""
LEAST_OVER_NOISE = 4
"""Standard deviations of its noise above which a noised sum may be divided by."""
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
            where K is beyond `MOST_CONFUSED`, or by group beyond `MOST_CONFUSED_APART`.
        loss: the recipe's, the mean over the predictions.
        above: of two classes, twice the pairs of a record of the first class and one of the second
            in which the second has the higher score, a tie counting once; None elsewhere.
        among: of more classes than five, predictions whose class is among the five likeliest: fewer
            than five others have a higher score; None elsewhere.
    """

    kind: ClassVar[str] = "classes"
    classes: int
    compared: int
    correct: int
    confusion: tuple[int, ...]
    loss: float
    above: int | None = None
    among: int | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any], most_confused: int = MOST_CONFUSED) -> Classes:
        """Read the JSON form, in which so many classes are counted one against the other.

        Raises:
            InputRefused: it has another form, or its counts contradict each other.
        """
        what = "a held-out result"
        fields = Fields(what, value, ("kind", "classes", "compared", "correct", "confusion", "loss", "above", "among"))
        classes, compared = fields.integer("classes", 1, MOST_COUNT), fields.integer("compared", 1, MOST_COUNT)
        correct = fields.integer("correct", 0, compared)
        confusion = _counts(fields, 0)
        if len(confusion) != (classes * classes if classes <= most_confused else 0):
            raise InputRefused(f"{what} of {classes} classes does not have {len(confusion)} counts")
        if confusion and (sum(confusion), sum(confusion[:: classes + 1])) != (compared, correct):
            raise InputRefused(f"the counts of {what} do not add up to {compared} predictions, {correct} of them right")
        above = None if value["above"] is None else fields.integer("above", 0, MOST_COUNT)
        if above is not None and (classes != 2 or above > 2 * sum(confusion[:2]) * sum(confusion[2:])):
            raise InputRefused(f"{what} counts {above} half pairs in order, and has not so many")
        among = None if value["among"] is None else fields.integer("among", correct, compared)
        if among is not None and classes <= AMONG:
            raise InputRefused(f"{what} of {classes} classes does not tell which are among {AMONG}")
        return cls(classes, compared, correct, confusion, fields.real("loss"), above, among)

    @property
    def top5(self) -> float | None:
        """The share of predictions whose class is among the five likeliest; None of so few classes
        that each is."""
        return None if self.among is None else self.among / self.compared

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
    def f1_classes(self) -> int:
        """Over how many classes F1 is a mean: those that are there or were predicted."""
        of_class = range(self.classes if self.confusion else 0)
        return sum(any((*self._taken_of(each), *self.confusion[each :: self.classes])) for each in of_class)

    @property
    def is_of_one_class(self) -> bool:
        """Whether all targets that count are of one class, where that is known: accuracy then says
        how often that class is predicted, and there is no AUC."""
        of_class = range(self.classes if self.confusion else 0)
        return sum(any(self._taken_of(each)) for each in of_class) == 1

    def _taken_of(self, true: int) -> tuple[int, ...]:
        return self.confusion[true * self.classes : (true + 1) * self.classes]

    @property
    def auc(self) -> float | None:
        """How likely a record of the second class scores above one of the first; None where that
        was not counted, or one of the two is not there."""
        pairs = sum(self.confusion[:2]) * sum(self.confusion[2:])
        return None if self.above is None or not pairs else self.above / (2 * pairs)

    @property
    def auc_interval(self) -> Interval | None:
        """Of 95 %, by the standard error of Hanley and McNeil; None where that is 0, as it is where
        all pairs are in order or none is, however few there are."""
        if (auc := self.auc) is None or auc in (0, 1):
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
class Sequences:
    """Of sequences of labels.

    Args:
        compared: records.
        correct: of these, how many are read without an error.
        loss: the recipe's, the mean over the records.
    """

    kind: ClassVar[str] = "sequences"
    compared: int
    correct: int
    loss: float

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Sequences:
        """Read the JSON form.

        Raises:
            InputRefused: it has another form, or its counts contradict each other.
        """
        fields = Fields("a held-out result", value, ("kind", "compared", "correct", "loss"))
        compared = fields.integer("compared", 1, MOST_COUNT)
        return cls(compared, fields.integer("correct", 0, compared), fields.real("loss"))

    @property
    def accuracy(self) -> float:
        """The share of records that are read without an error."""
        return self.correct / self.compared

    @property
    def accuracy_interval(self) -> Interval:
        """Of 95 %, by Wilson."""
        return wilson(self.correct, self.compared)


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

    def without(self, ignored: int) -> NoisedShare | None:
        """The share of hits among the records that are not of a class that a recipe ignores, whose
        own row of counts is noise and nothing else.

        How many these are nobody says exactly: the noised counts say it, and the share is of them.

        Args:
            ignored: the class.

        Returns:
            the share, with the interval that the normal approximation and the noise of both sums
            give (by the delta method); None where noise could make up a fourth of the sum or more.
        """
        rows = [self.confusion[each * self.classes :][: self.classes] for each in range(self.classes)]
        kept = [number for number in range(self.classes) if number != ignored]
        cells, right, total = len(kept) * self.classes, len(kept), sum(sum(rows[number]) for number in kept)
        if total <= LEAST_OVER_NOISE * self.sigma * math.sqrt(cells) or total < 1:
            return None
        share = min(1.0, max(0.0, sum(rows[number][number] for number in kept) / total))
        noise = (self.sigma / total) ** 2 * (right * (1 - share) ** 2 + (cells - right) * share**2)
        return NoisedShare(total, share, _about(share, math.sqrt(share * (1 - share) / total + noise), 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class NoisedShare:
    """A share of which the whole is noised, too.

    Args:
        records: about how many the whole is; noise may bring it above what was held out.
        share: from 0 to 1.
        interval: of 95 %.
    """

    records: int
    share: float
    interval: Interval


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


Outcome = Classes | Amounts | Sequences | NoisedClasses | NoisedMean
_KINDS: Mapping[str, type[Outcome]] = {
    kind.kind: kind for kind in (Classes, Amounts, Sequences, NoisedClasses, NoisedMean)
}


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The same result on a part of the held-out records.

    Args:
        column: of whose values the groups are.
        groups: one, or those that are told together because one of them has too few records.
        records: how many, at least `LEAST_TOLD`.
        outcome: what was counted, as of all records; never with noise.
    """

    column: str
    groups: tuple[Group, ...]
    records: int
    outcome: Outcome

    @classmethod
    def from_json(cls, value: Any) -> Subgroup:
        """Read the JSON form.

        Raises:
            InputRefused: a field is missing, unknown, of the wrong type or out of bounds.
        """
        fields = Fields("a result by group", value, ("column", "groups", "records", "outcome"))
        groups = fields.items("groups", 1, MOST_GROUPS)
        outcome = _outcome(value["outcome"], (Classes, Amounts, Sequences), MOST_CONFUSED_APART)
        return cls(
            fields.text("column", MOST_COLUMN_NAME),
            parse_groups("a result by group: groups", groups),
            fields.integer("records", LEAST_TOLD, MOST_COUNT),
            outcome,
        )

    def json(self) -> dict[str, Json]:
        """The subgroup as a JSON object."""
        outcome = _outcome_json(self.outcome)
        return {"column": self.column, "groups": list(self.groups), "records": self.records, "outcome": outcome}


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A trained model's result on the held-out records.

    Args:
        records: how many were held out; how many units of privacy, where these have several.
        outcome: what was counted; None where the model's outputs on them are not finite or cannot
            be computed.
        subgroups: the same by group, column by column; of a column none where no two parts of
            enough records can be told.
    """

    records: int
    outcome: Outcome | None
    subgroups: tuple[Subgroup, ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> HeldOut:
        """Read the JSON form.

        Raises:
            InputRefused: a field is missing, unknown, of the wrong type or out of bounds.
        """
        fields = Fields("a held-out result", value, ("records", "outcome", "subgroups"))
        records = fields.integer("records", 1, MOST_COUNT)
        outcome = None if value["outcome"] is None else _outcome(value["outcome"], tuple(_KINDS.values()))
        subgroups = tuple(map(Subgroup.from_json, fields.items("subgroups", 0, MOST_SUBGROUPS * MOST_GROUPS)))
        _require_whole(records, outcome, subgroups)
        return cls(records, outcome, subgroups)

    def json(self) -> dict[str, Json]:
        """The result as a JSON object."""
        outcome = None if self.outcome is None else _outcome_json(self.outcome)
        return {
            "records": self.records,
            "outcome": outcome,
            "subgroups": [subgroup.json() for subgroup in self.subgroups],
        }

    @property
    def finite(self) -> HeldOut:
        """The same result, or none where a number in it is not finite."""
        outcomes = [each for each in (self.outcome, *(part.outcome for part in self.subgroups)) if each is not None]
        numbers = [number for outcome in outcomes for number in asdict(outcome).values()]
        whole = all(math.isfinite(number) for number in numbers if isinstance(number, float))
        return self if whole else HeldOut(self.records, None)

    def of_column(self, column: str) -> tuple[Subgroup, ...]:
        """What is told by the groups of a column."""
        return tuple(subgroup for subgroup in self.subgroups if subgroup.column == column)


def _outcome(value: Any, kinds: Sequence[type[Outcome]], most_confused: int = MOST_CONFUSED) -> Outcome:
    """Read an outcome of one of some kinds."""
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind not in [each.kind for each in kinds]:
        raise InputRefused(f"a held-out result's outcome is one of {', '.join(each.kind for each in kinds)}")
    return Classes.from_json(value, most_confused) if kind == Classes.kind else _KINDS[str(kind)].from_json(value)


def _outcome_json(outcome: Outcome) -> dict[str, Json]:
    fields: dict[str, Json] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(outcome).items()
    }
    return {"kind": outcome.kind, **fields}


def _require_whole(records: int, outcome: Outcome | None, subgroups: Sequence[Subgroup]) -> None:
    """The parts by a column's groups are two or more, are of the whole's kind, name no group twice,
    and add up to the whole."""
    if subgroups and not isinstance(outcome, Classes | Amounts):
        raise InputRefused("a held-out result is told by group, and the whole is not told exactly")
    for column in dict.fromkeys(each.column for each in subgroups):
        parts = [each for each in subgroups if each.column == column]
        groups = [group for part in parts for group in part.groups]
        if (
            len(parts) < 2
            or len(set(groups)) != len(groups)
            or {type(each.outcome) for each in parts} != {type(outcome)}
        ):
            raise InputRefused(f"a held-out result by {column!r} does not part the records into groups")
        if (together := sum(part.records for part in parts)) != records:
            raise InputRefused(f"a held-out result by {column!r} is of {together} records, and {records} are held out")


def fold_small_groups(counts: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Part a column's groups into those that are told, each of `LEAST_TOLD` records or more.

    A group of fewer is told together with others: with all other such groups and, while these
    together are too few, with the next smallest, since what is told of the others, taken from the
    whole, is the result on what is left.

    Args:
        counts: held-out records of each group.

    Returns:
        Numbers of groups: those that are told apart, rising, then those that are told together;
        nothing where that would be all.
    """
    by_size = sorted(range(len(counts)), key=lambda group: (counts[group], group))
    together = [group for group in by_size if counts[group] < LEAST_TOLD]
    for group in by_size[len(together) :]:
        if not together or sum(counts[each] for each in together) >= LEAST_TOLD:
            break
        together.append(group)
    parts: list[tuple[int, ...]] = [(group,) for group in range(len(counts)) if group not in together]
    parts += [tuple(sorted(together))] if together else []
    return tuple(parts) if len(parts) > 1 else ()


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
    """The mean F1 of the classes that are there or were predicted, by counts of one for another."""
    present = [sum(confusion[each * classes : (each + 1) * classes]) for each in range(classes)]
    predicted = [sum(confusion[each::classes]) for each in range(classes)]
    return mean_f1(confusion[:: classes + 1], present, predicted)


def mean_f1(hits: Sequence[int], present: Sequence[int], predicted: Sequence[int]) -> float:
    """The same by class: how many are hit, are there, were predicted; 0 where there is no class."""
    counts = zip(hits, present, predicted, strict=True)
    scores = [2 * right / (records + predictions) for right, records, predictions in counts if records + predictions]
    return math.fsum(scores) / (len(scores) or 1)


def _counts(fields: Fields, low: int) -> tuple[int, ...]:
    counts = fields.items("confusion", 0, MOST_CONFUSED**2)
    return tuple(integer("a held-out result: confusion", count, low, MOST_COUNT) for count in counts)


def _about(value: float, error: float, low: float, high: float) -> Interval:
    """Of 95 %, about a value with a standard error."""
    return max(low, value - CONFIDENCE_Z * error), min(high, value + CONFIDENCE_Z * error)
