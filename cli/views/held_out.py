"""A result on held-out records in a sentence: shares and errors with the intervals that the counts
give."""

from __future__ import annotations

from collections.abc import Iterable

from fitchain.cli.views.amounts import counted
from fitchain.pod.values.held_out import (
    ACCURACY,
    LEAST_TOLD,
    OF_UNITS,
    Amounts,
    Classes,
    HeldOut,
    Interval,
    NoisedClasses,
    NoisedMean,
    Outcome,
    Sequences,
    Subgroup,
)


def held_out_sentence(result: HeldOut, scale: float = 1.0) -> str:
    """What a trained model does on the held-out records.

    Args:
        result: the counts.
        scale: of the target's own unit in the units in which it enters the loss.
    """
    of_units = isinstance(result.outcome, NoisedMean) and result.outcome.of.endswith(OF_UNITS)
    where = f"on {counted(result.records, 'held-out unit' if of_units else 'held-out record')} that nobody trained on"
    if result.outcome is None:
        return f"{where} its outputs are not finite or cannot be computed"
    return f"{where}: {', '.join(_parts(result.outcome, result.records, scale))}"


def subgroup_sentences(result: HeldOut, columns: Iterable[str], scale: float = 1.0) -> list[str]:
    """The same by group, a sentence for each column.

    Args:
        result: the counts.
        columns: of the recipe's subgroups.
        scale: as of `held_out_sentence`.
    """
    return [_by_column(result, column, scale) for column in columns] if result.outcome is not None else []


def _by_column(result: HeldOut, column: str, scale: float) -> str:
    if not (parts := result.of_column(column)):
        return f"by {column}: not told, since no two parts of {LEAST_TOLD} held-out records or more are there"
    return f"by {column}: {'; '.join(_of_part(part, scale) for part in parts)}"


def _of_part(part: Subgroup, scale: float) -> str:
    names = [str(group) for group in part.groups]
    few = f" together, not to tell of fewer than {LEAST_TOLD}" if len(names) > 1 else ""
    joined = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    said = ", ".join(_parts(part.outcome, part.records, scale))
    return f"{joined} ({counted(part.records, 'record')}{few}) {said}"


def _parts(outcome: Outcome, records: int, scale: float) -> list[str]:
    match outcome:
        case Classes():
            # several predictions of one record depend on one another, and no interval has that
            interval = outcome.accuracy_interval if outcome.compared == records else None
            parts = [f"accuracy {percent(outcome.accuracy, interval)}"]
            if (top5 := outcome.top5) is not None:
                parts.append(f"among the five likeliest {percent(top5)}")
            if (f1 := outcome.f1) is not None:
                parts.append(f"macro F1 {f1:.3f}")
            if (auc := outcome.auc) is not None:
                parts.append(f"AUC {number(auc, outcome.auc_interval)}")
            return [*parts, f"loss {outcome.loss:.3g}"]
        case Amounts():
            interval = outcome.mae_interval if outcome.compared == records else None
            scaled = interval and (interval[0] * scale, interval[1] * scale)
            parts = [f"mean error {number(outcome.mae * scale, scaled)}"]
            if (r2 := outcome.r2) is not None:
                parts.append(f"R2 {number(r2, outcome.r2_interval if outcome.compared == records else None)}")
            return [*parts, f"loss {outcome.loss:.3g}"]
        case Sequences():
            return [
                f"read without an error {percent(outcome.accuracy, outcome.accuracy_interval)}",
                f"loss {outcome.loss:.3g}",
            ]
        case NoisedClasses():
            share = percent(outcome.accuracy(records), outcome.accuracy_interval(records))
            return [f"accuracy {share}", f"noise of {_noise(outcome.sigma)} on each count included"]
        case NoisedMean() if outcome.of.startswith(ACCURACY):
            points = 100 * outcome.noise(records)
            return [f"accuracy {percent(outcome.mean(records))}", f"give or take {points:.1f} points of noise"]
        case NoisedMean():
            cut = f"errors beyond {outcome.clip * scale:.3g} cut off"
            mean, noise = outcome.mean(records) * scale, outcome.noise(records) * scale
            return [f"mean error {mean:.3g} ({cut})", f"give or take {noise:.2g} of noise"]


def _noise(sigma: float) -> str:
    return f"{sigma:.3g} records"


def percent(share: float, interval: Interval | None = None) -> str:
    """A share, with its interval where there is one."""
    bounds = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f} %, 95 % interval)" if interval else ""
    return f"{100 * share:.1f} %{bounds}"


def number(value: float, interval: Interval | None) -> str:
    """A number, likewise."""
    bounds = f" ({interval[0]:.3g} to {interval[1]:.3g})" if interval else ""
    return f"{value:.3g}{bounds}"
