"""Figures of a certified result, one by one, as other formats list them: a name of theirs, a value,
an interval.

They are the ones of `fitchain.cli.views.held_out`, which says them in a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fitchain.cli.views.held_out import MISSES, NO_ERROR, counted_of, of_classes, unit_of
from fitchain.pod.jobs.history import HeldOutTold
from fitchain.pod.ports.agreement import Outcome as Verdicts
from fitchain.pod.values.categories import category_texts
from fitchain.pod.values.counting import CountedTargets
from fitchain.pod.values.held_out import (
    ACCURACY,
    OF_UNITS,
    Amounts,
    Classes,
    Interval,
    NoisedClasses,
    NoisedMean,
    Outcome,
    Sequences,
    Subgroup,
)

if TYPE_CHECKING:
    from fitchain.pod.proof.certificate import Verdict


@dataclass(frozen=True)
class Figure:
    """One number of a result.

    Args:
        type: its name among metrics: `accuracy`, `roc_auc`.
        value: in the target's own unit, where it has one.
        interval: of 95 %; None where none is known.
        part: of which held-out records; empty for all.
        counted: on how many of them: `31 of 40 held-out records, class 'unknown' is left out`.
        note: what has to be known beside it: who says so, and what noise is in it.
    """

    type: str
    value: float
    interval: Interval | None = None
    part: str = ""
    counted: str = ""
    note: str = ""


def figures_of(verdict: Verdict) -> list[Figure]:
    """The figures of the result on held-out records, then those by group; none where the
    certificate says nothing of a result."""
    statement = verdict.statement
    if statement.held_out is None or not verdict.complete or statement.held_out.result.outcome is None:
        return []
    result = statement.held_out.result
    entry = HeldOutTold.of(statement.recipe, statement.card, result)
    left_out = f", {entry.counting.ignored} is left out" if entry.counting.ignored else ""
    noun = f"held-out {unit_of(result)}"
    voted = any(jury.verdict is Verdicts.MATCH for jury in verdict.juries)
    says = "seats voted Match on the segment at whose end it stands" if voted else "as the owner states"
    parts = [("", result.records, statement.held_out.result.outcome)]
    parts += [(_part(group), group.records, group.outcome) for group in result.subgroups]
    return [
        replace(
            figure,
            part=part,
            counted=f"{counted_of(outcome, records, noun, entry.counting)}{left_out}",
            note=f"{figure.note}; {says}".removeprefix("; "),
        )
        for part, records, outcome in parts
        for figure in _figures(outcome, records, entry.scale, entry.counting)
    ]


def _part(group: Subgroup) -> str:
    return f"{group.column}: {', '.join(category_texts(group.groups))}"


def _figures(outcome: Outcome, records: int, scale: float, counting: CountedTargets) -> Iterator[Figure]:
    weighted = "weighted by class" if counting.is_weighted else ""
    match outcome:
        case Classes():
            yield from _of_hits(outcome, counting.is_independent(outcome.compared, records))
            yield Figure("loss", outcome.loss, note=weighted)
        case Sequences():
            yield Figure("accuracy", outcome.accuracy, outcome.accuracy_interval, note="read without an error")
            yield Figure("loss", outcome.loss)
        case Amounts():
            yield from _of_errors(outcome, counting.is_independent(outcome.compared, records), scale)
            yield Figure("loss", outcome.loss)
        case NoisedClasses():
            note = f"with noise of {outcome.sigma:.3g} records on each count, as the privacy budget asks"
            yield from (replace(figure, note=note) for figure in _of_noised(outcome, records, counting.number))
        case NoisedMean() if outcome.of.startswith(ACCURACY):
            note = f"give or take {100 * outcome.noise(records):.1f} points of noise, as the privacy budget asks"
            unit = "unit" if outcome.of.endswith(OF_UNITS) else "record"
            misses = f"; {MISSES.format(unit=unit)}" if counting.ignored else ""
            yield Figure("accuracy", outcome.mean(records), note=f"{note}{misses}")
        case NoisedMean():
            noise = f"give or take {outcome.noise(records) * scale:.2g} of noise, as the privacy budget asks"
            note = f"errors beyond {outcome.clip * scale:.3g} cut off, {NO_ERROR}; {noise}"
            yield Figure("mae", outcome.mean(records) * scale, note=note)


def _of_hits(outcome: Classes, is_independent: bool) -> Iterator[Figure]:
    interval = outcome.accuracy_interval if is_independent else None
    yield Figure("accuracy", outcome.accuracy, interval, note="all of one class" if outcome.is_of_one_class else "")
    if (f1 := outcome.f1) is not None:
        yield Figure("f1", f1, note=f"the mean{of_classes(outcome) or ' over the classes'}")
    if (auc := outcome.auc) is not None:
        yield Figure("roc_auc", auc, outcome.auc_interval)


def _of_errors(outcome: Amounts, is_independent: bool, scale: float) -> Iterator[Figure]:
    interval = outcome.mae_interval if is_independent else None
    yield Figure("mae", outcome.mae * scale, interval and (interval[0] * scale, interval[1] * scale))
    if (r2 := outcome.r2) is not None:
        yield Figure("r_squared", r2, outcome.r2_interval if is_independent else None)


def _of_noised(outcome: NoisedClasses, records: int, ignored: int | None) -> Iterator[Figure]:
    if ignored is None:
        yield Figure("accuracy", outcome.accuracy(records), outcome.accuracy_interval(records))
    elif (share := outcome.without(ignored)) is not None:
        yield Figure("accuracy", share.share, share.interval)
