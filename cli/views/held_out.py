"""A result on held-out records in a sentence: on how many of them it is, shares and errors with the
intervals that the counts give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fitchain.cli.views.amounts import counted
from fitchain.pod.values.counting import CountedTargets, ignored_class
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

if TYPE_CHECKING:
    from fitchain.pod.values.recipe import Recipe

ALL_COUNT = CountedTargets()
MISSES = "a {unit} of which nothing is left counts as a miss, and how many these are is not told"
"""What a noised share is of where a class is ignored: nobody but the owner knows of how many."""
NO_ERROR = "what cannot be computed taken for none"
"""A noised mean is over all records, and of one that has no error none is added."""


def held_out_sentence(result: HeldOut, scale: float = 1.0, counting: CountedTargets = ALL_COUNT) -> str:
    """What a trained model does on the held-out records, and on how many of them that is.

    Args:
        result: the counts.
        scale: of the target's own unit in the units in which it enters the loss.
        counting: what of the records' targets counts.
    """
    outcome, noun = result.outcome, f"held-out {unit_of(result)}"
    where = f"on {counted_of(outcome, result.records, noun, counting)} that nobody trained on{_left_out(counting)}"
    if outcome is None:
        nothing = ", or none of them counts" if counting.ignored or counting.is_weighted else ""
        return f"{where} its outputs are not finite or cannot be computed{nothing}"
    if counting.ignored and isinstance(outcome, NoisedMean):
        where += f"; {MISSES.format(unit=unit_of(result))}"
    return f"{where}: {', '.join(_parts(outcome, result.records, scale, counting))}"


def unit_of(result: HeldOut) -> str:
    """Of what a result counts so many: records, or units of privacy with several."""
    of_units = isinstance(result.outcome, NoisedMean) and result.outcome.of.endswith(OF_UNITS)
    return "unit" if of_units else "record"


def counted_of(outcome: Outcome | None, records: int, noun: str, counting: CountedTargets) -> str:
    """Of how many a result is: `31 of 40 records`, `512 of 640 predictions for 40 records`.

    Args:
        outcome: what was counted; None where nothing is told of it.
        records: that there are.
        noun: what they are called.
        counting: what of the records' targets counts.
    """
    whole = counted(records, noun)
    match outcome:
        case Classes(compared=compared) | Amounts(compared=compared) | Sequences(compared=compared):
            targets = counting.targets(records)
            if targets == records or (targets is None and compared == records):
                return f"{compared:,} of {whole}" if counting.ignored else whole
            many = f"{compared:,} of {targets:,}" if counting.ignored and targets else f"{compared:,}"
            return f"{many} predictions for {whole}"
        case NoisedClasses() if counting.number is not None:
            share = outcome.without(counting.number)
            return (
                f"those that count of {whole}" if share is None else f"about {min(share.records, records):,} of {whole}"
            )
        case _:
            return whole


def subgroup_sentences(
    result: HeldOut, columns: Iterable[str], scale: float = 1.0, counting: CountedTargets = ALL_COUNT
) -> list[str]:
    """The same by group, a sentence for each column.

    Args:
        result: the counts.
        columns: of the recipe's subgroups.
        scale, counting: as of `held_out_sentence`.
    """
    return [_by_column(result, column, scale, counting) for column in columns] if result.outcome is not None else []


def _by_column(result: HeldOut, column: str, scale: float, counting: CountedTargets) -> str:
    if not (parts := result.of_column(column)):
        return f"by {column}: not told, since no two parts of {LEAST_TOLD} held-out records or more are there"
    return f"by {column}: {'; '.join(_of_part(part, scale, counting) for part in parts)}"


def _of_part(part: Subgroup, scale: float, counting: CountedTargets) -> str:
    names = [str(group) for group in part.groups]
    few = f" together, not to tell of fewer than {LEAST_TOLD}" if len(names) > 1 else ""
    joined = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    said = ", ".join(_parts(part.outcome, part.records, scale, counting))
    return f"{joined} ({counted_of(part.outcome, part.records, 'record', counting)}{few}) {said}"


def _parts(outcome: Outcome, records: int, scale: float, counting: CountedTargets) -> list[str]:
    match outcome:
        case Classes():
            return _of_hits(outcome, counting.is_independent(outcome.compared, records), counting)
        case Amounts():
            return _of_errors(outcome, counting.is_independent(outcome.compared, records), scale, counting)
        case Sequences():
            return [
                f"read without an error {percent(outcome.accuracy, outcome.accuracy_interval)}",
                describe_loss(outcome.loss, counting),
            ]
        case NoisedClasses():
            included = f"noise of {outcome.sigma:.3g} records on each count included"
            return [f"accuracy {_noised_share(outcome, records, counting)}", included]
        case NoisedMean() if outcome.of.startswith(ACCURACY):
            points = 100 * outcome.noise(records)
            return [f"accuracy {percent(outcome.mean(records))}", f"give or take {points:.1f} points of noise"]
        case NoisedMean():
            cut = f"errors beyond {outcome.clip * scale:.3g} cut off, {NO_ERROR}"
            mean, noise = outcome.mean(records) * scale, outcome.noise(records) * scale
            return [f"mean error {mean:.3g} ({cut})", f"give or take {noise:.2g} of noise"]


def _of_hits(outcome: Classes, is_independent: bool, counting: CountedTargets) -> list[str]:
    parts = [f"accuracy {percent(outcome.accuracy, outcome.accuracy_interval if is_independent else None)}"]
    if (top5 := outcome.top5) is not None:
        parts.append(f"among the five likeliest {percent(top5)}")
    if (f1 := outcome.f1) is not None:
        parts.append(f"macro F1 {f1:.3f}{of_classes(outcome)}")
    if (auc := outcome.auc) is not None:
        parts.append(f"AUC {number(auc, outcome.auc_interval)}")
    parts += ["all of one class"] if outcome.is_of_one_class else []
    return [*parts, describe_loss(outcome.loss, counting)]


def _of_errors(outcome: Amounts, is_independent: bool, scale: float, counting: CountedTargets) -> list[str]:
    interval = outcome.mae_interval if is_independent else None
    scaled = interval and (interval[0] * scale, interval[1] * scale)
    r2 = "no R2, since the targets do not vary"
    if outcome.r2 is not None:
        r2 = f"R2 {number(outcome.r2, outcome.r2_interval if is_independent else None)}"
    return [f"mean error {number(outcome.mae * scale, scaled)}", r2, describe_loss(outcome.loss, counting)]


def _noised_share(outcome: NoisedClasses, records: int, counting: CountedTargets) -> str:
    if counting.number is None:
        return percent(outcome.accuracy(records), outcome.accuracy_interval(records))
    share = outcome.without(counting.number)
    return "lost in the noise" if share is None else percent(share.share, share.interval)


def _left_out(counting: CountedTargets) -> str:
    return f" ({counting.ignored} is left out)" if counting.ignored else ""


def ignored_clause(recipe: Recipe) -> str:
    """That a class counts in no figure, where one does not: ` (class 'unknown' is left out)`."""
    return _left_out(CountedTargets.of(recipe, None))


def counted_values(recipe: Recipe, shape: Sequence[int], result: HeldOut) -> dict[str, Any]:
    """The same for `--json`: how many of how many count, and what is left out.

    Args:
        recipe: of the job.
        shape: of one record's target.
        result: whose figures are meant; `counted` is null where it does not say how many.
    """
    counting, outcome = CountedTargets.of(recipe, shape), result.outcome
    exact = outcome if isinstance(outcome, Classes | Amounts | Sequences) else None
    several = exact is not None and counting.per_record > 1
    all_count = exact is None and outcome is not None and not counting.ignored
    return {
        "counted": exact.compared if exact is not None else result.records if all_count else None,
        "of": counting.targets(result.records) if several else result.records,
        "unit": "prediction" if several else unit_of(result),
        "left_out": ignored_class(recipe),
        "loss_weighted_by_class": counting.is_weighted,
    }


def of_classes(outcome: Classes) -> str:
    """Over how many of the classes F1 is a mean, where that is not all of them."""
    few = outcome.f1_classes < outcome.classes
    return f" over {outcome.f1_classes} of {outcome.classes} classes" if few else ""


def describe_loss(loss: float, counting: CountedTargets) -> str:
    """The recipe's loss, with what tells it from the plain one."""
    return f"loss {loss:.3g}{' (weighted by class)' if counting.is_weighted else ''}"


def percent(share: float, interval: Interval | None = None) -> str:
    """A share, with its interval where there is one."""
    bounds = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f} %, 95 % interval)" if interval else ""
    return f"{100 * share:.1f} %{bounds}"


def number(value: float, interval: Interval | None) -> str:
    """A number, likewise."""
    bounds = f" ({interval[0]:.3g} to {interval[1]:.3g})" if interval else ""
    return f"{value:.3g}{bounds}"
