"""Checking that a result counts what recipe and card let count (no torch).

Which records were held out nobody but the owner and its verifiers sees, and which of them are of a
class that the recipe ignores is the owner's word, or theirs. That no more can count than there are
targets, that all do where no class is ignored, and that an ignored class is never a true one,
follows from what everybody has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fitchain.pod.values.counting import CountedTargets, ignored_number
from fitchain.pod.values.errors import ClaimMismatch, require_equal
from fitchain.pod.values.held_out import (
    ACCURACY,
    ERROR,
    Amounts,
    Classes,
    HeldOut,
    NoisedClasses,
    NoisedMean,
    Outcome,
    Sequences,
)
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import CTC, MOST_CONFUSED, OF_CLASSES, OF_HITS, OF_TRUTHS

RESULT = "the result on held-out records"


def require_counted(result: HeldOut, recipe: Recipe, shape: Sequence[int]) -> None:
    """Check a result's kind, and how many targets it counts.

    Args:
        result: as a certificate states it.
        recipe: whole.
        shape: of one record's target, by the dataset's card.

    Raises:
        ClaimMismatch: the recipe gives no such result on so many records.
    """
    if (outcome := result.outcome) is None:
        return
    require_equal(f"{RESULT} is of", outcome.kind, _kind(recipe, shape), "the recipe gives")
    if isinstance(outcome, NoisedMean):
        of = ACCURACY if recipe.loss.name in OF_HITS else ERROR
        if not outcome.of.startswith(of):
            raise ClaimMismatch(f"{RESULT} is a mean {outcome.of}, and the recipe gives one of {of}")
    counting = CountedTargets.of(recipe, shape)
    for part, records in [(outcome, result.records), *((each.outcome, each.records) for each in result.subgroups)]:
        _require_targets(part, records, counting)
        if isinstance(part, Classes):
            _require_classes(part, recipe, shape, counting)
    for column in sorted({each.column for each in result.subgroups}):
        together = sum(_compared(each.outcome) for each in result.of_column(column))
        require_equal(f"{RESULT} by {column!r}: its parts count", together, _compared(outcome), "the whole counts")


def require_attacked(what: str, count: int, does: str, records: int, recipe: Recipe) -> None:
    """Check of how many records a risk report is: of all, at most where the recipe ignores a class.

    Args:
        what: which they are.
        count: as the report states it.
        does: what the recipe does with them.
        records: how many it has of them.
        recipe: whole.

    Raises:
        ClaimMismatch: it is of more, or of fewer and the recipe ignores no class.
    """
    if count > records or (count < records and ignored_number(recipe) is None):
        raise ClaimMismatch(f"the risk report's {what}: the certificate says {count}, and the recipe {does} {records}")


def require_attack_on_same(non_members: int, result: HeldOut, recipe: Recipe, shape: Sequence[int]) -> None:
    """Check that a risk report is of as many held-out records as the result counts, where a record
    has one target.

    Args:
        non_members: as the report states them.
        result, recipe, shape: as of `require_counted`.

    Raises:
        ClaimMismatch: it is of others.
    """
    has_one_target = CountedTargets.of(recipe, shape).per_record == 1
    if has_one_target and isinstance(result.outcome, Classes | Amounts | Sequences):
        said = "the result on held-out records counts"
        require_equal("the risk report's non-members are", non_members, result.outcome.compared, said)


def require_same_records(results: Iterable[HeldOut]) -> None:
    """Check that results of several models are on the same records, of which as many count.

    Raises:
        ClaimMismatch: they are not.
    """
    outcomes = (result.outcome for result in results)
    counts = sorted({_compared(outcome) for outcome in outcomes if outcome is not None})
    if len(counts) > 1:
        raise ClaimMismatch(f"{RESULT} is of {counts[0]} predictions of one leaf, and of {counts[-1]} of another")


def _kind(recipe: Recipe, shape: Sequence[int]) -> str:
    """What kind of a result a recipe gives (`compute.held_out`)."""
    loss = recipe.loss.name
    if recipe.privacy is None:
        return (Sequences if loss == CTC else Classes if loss in OF_CLASSES else Amounts).kind
    classes = 2 if loss in OF_TRUTHS else len(recipe.transform.get(recipe.target, {}).get("categories", ()))
    is_plain = recipe.privacy.unit_records is None and not shape
    counts_each = is_plain and loss in OF_CLASSES and 0 < classes <= MOST_CONFUSED
    return (NoisedClasses if counts_each else NoisedMean).kind


def _compared(outcome: Outcome) -> int:
    return outcome.compared if isinstance(outcome, Classes | Amounts | Sequences) else 0


def _require_targets(outcome: Outcome, records: int, counting: CountedTargets) -> None:
    """As many targets count as there are; at most, where a class is ignored."""
    targets, compared = counting.targets(records), _compared(outcome)
    if isinstance(outcome, NoisedClasses | NoisedMean) or targets is None:
        return
    if compared > targets or (compared < targets and not counting.ignored):
        raise ClaimMismatch(f"{RESULT} is of {compared} predictions, and {records} records have {targets} targets")


def _require_classes(outcome: Classes, recipe: Recipe, shape: Sequence[int], counting: CountedTargets) -> None:
    """No target of the ignored class counts, and pairs are of records with one answer each."""
    if recipe.loss.name in OF_TRUTHS:
        require_equal(f"{RESULT} is of so many classes:", outcome.classes, 2, "the recipe's loss is of")
    if outcome.above is not None and shape:
        raise ClaimMismatch(f"{RESULT} orders pairs of records, of which each has {list(shape)} answers")
    ignored = counting.number
    if ignored is None or not 0 <= ignored < outcome.classes:
        return
    if any(outcome.confusion[ignored * outcome.classes :][: outcome.classes]):
        raise ClaimMismatch(f"{RESULT} counts records of {counting.ignored}, which the recipe ignores")
