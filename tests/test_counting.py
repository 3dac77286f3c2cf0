"""On how many records a result is: sentences, figures and certificates name what is left out, and
no more than there is can be said to count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fitchain.cli.views import recipe as recipe_view
from fitchain.cli.views.held_out import counted_values, held_out_sentence, ignored_clause, subgroup_sentences
from fitchain.cli.views.review import evaluation_of
from fitchain.cli.views.units import records_trained_on
from fitchain.pod.compute.dataset import register
from fitchain.pod.compute.held_out import tally_outputs
from fitchain.pod.proof.certificate.results import (
    require_attack_on_same,
    require_attacked,
    require_counted,
    require_same_records,
)
from fitchain.pod.values.counting import CountedTargets
from fitchain.pod.values.errors import ClaimMismatch
from fitchain.pod.values.held_out import Amounts, Classes, HeldOut, NoisedClasses, NoisedMean, Subgroup
from fitchain.pod.values.recipe import Choice, Recipe
from tests.training_jobs import private_recipe, recipe, table

NAMES = ["benign", "malignant", "unknown"]
UNKNOWN = "class 'unknown'"


def ignoring(loss: str = "cross_entropy", number: int = 2, names: list[Any] | None = NAMES, **terms: Any) -> Recipe:
    """A recipe that ignores a class."""
    chosen = Choice(loss, {"ignore_index": number, **terms})
    transform = {} if names is None else {"kind": {"categories": names}}
    return replace(recipe(), loss=chosen, transform=transform, held_out=0.2)


def of_classes(compared: int, correct: int, **changes: Any) -> Classes:
    """A result of three classes, none of the third."""
    return replace(Classes(3, compared, correct, (correct, 1, compared - correct - 1, *[0] * 6), 0.5), **changes)


# Sentences


def test_a_sentence_says_how_many_count_and_which_class_is_left_out() -> None:
    told = held_out_sentence(HeldOut(40, of_classes(31, 28)), 1.0, CountedTargets.of(ignoring(), ()))
    assert told.startswith(
        "on 31 of 40 held-out records that nobody trained on (class 'unknown' is left out): accuracy 90.3 % (75.1 to"
    )
    assert "all of one class" in told and "macro F1" in told


def test_pixels_that_count_are_no_records() -> None:
    counting = CountedTargets.of(ignoring(names=None, number=255), (4, 4))
    told = held_out_sentence(HeldOut(40, of_classes(512, 400)), 1.0, counting)
    assert told.startswith("on 512 of 640 predictions for 40 held-out records that nobody trained on (class 255 is")
    assert "interval" not in told  # those of one picture depend on one another
    assert "interval" not in held_out_sentence(HeldOut(40, of_classes(40, 30)), 1.0, counting)  # nor so few of them
    plain = replace(counting, ignored="", number=None)
    assert held_out_sentence(HeldOut(40, of_classes(640, 400)), 1.0, plain).startswith("on 640 predictions for 40 held")


def test_a_group_says_how_many_of_it_count() -> None:
    parts = tuple(Subgroup("sex", (sex,), 40, of_classes(25, 20)) for sex in (0, 1))
    counting = CountedTargets.of(ignoring(), ())
    (told,) = subgroup_sentences(HeldOut(80, of_classes(50, 40), parts), ["sex"], 1.0, counting)
    assert told.startswith("by sex: 0 (25 of 40 records) accuracy 80.0 % (60.9 to") and told.count("25 of 40") == 2


def test_a_figure_of_few_classes_and_a_weighted_loss_are_called_so() -> None:
    counting = CountedTargets.of(ignoring(weight=[1.0, 2.0, 1.0]), ())
    told = held_out_sentence(HeldOut(9, of_classes(9, 6, confusion=(3, 2, 0, 1, 3, 0, 0, 0, 0))), 1.0, counting)
    assert "over 2 of 3 classes" in told and told.endswith("loss 0.5 (weighted by class)")
    assert "one class" not in told
    constant = held_out_sentence(HeldOut(9, Amounts(9, 1.0, 2.0, 3.0, 0.0)))
    assert "no R2, since the targets do not vary" in constant


def test_what_could_not_be_told_may_be_that_none_count() -> None:
    told = held_out_sentence(HeldOut(8, None), 1.0, CountedTargets.of(ignoring(), ()))
    assert told.endswith("its outputs are not finite or cannot be computed, or none of them counts")


# Beside a budget


def test_noised_counts_say_of_about_how_many_records_a_share_is() -> None:
    confusion = (180, 22, -3, 16, 121, 5, 4, -6, 7)
    result, counting = HeldOut(500, NoisedClasses(3, 2.5, confusion)), CountedTargets.of(ignoring(), ())
    told = held_out_sentence(result, 1.0, counting)
    assert told.startswith("on about 341 of 500 held-out records that nobody trained on (class 'unknown' is left out):")
    assert f"accuracy {100 * 301 / 341:.1f} %" in told and "noise of 2.5 records on each count" in told
    lost = HeldOut(500, NoisedClasses(3, 60.0, confusion))
    assert "on those that count of 500" in (told := held_out_sentence(lost, 1.0, counting)) and "lost in the" in told


def test_the_interval_of_a_noised_share_holds_as_often_as_it_says() -> None:
    numbers, counting, hits, trials = np.random.default_rng(3), CountedTargets.of(ignoring(), ()), 0, 400
    for _ in range(trials):
        right = numbers.binomial(150, 0.8, 2)
        exact = np.array([right[0], 150 - right[0], 0, 150 - right[1], right[1], 0, 0, 0, 0])
        noised = exact + np.rint(numbers.normal(0, 3, 9)).astype(int)
        share = NoisedClasses(3, 3.0, tuple(noised.tolist())).without(counting.number or 0)
        assert share is not None
        hits += share.interval[0] <= 0.8 <= share.interval[1]
    assert hits / trials > 0.92


def test_a_noised_mean_says_that_what_does_not_count_is_a_miss() -> None:
    told = held_out_sentence(
        HeldOut(100, NoisedMean("accuracy of units", 1.0, 4096, 2.5, 204800)), 1.0, CountedTargets.of(ignoring(), ())
    )
    assert "a unit of which nothing is left counts as a miss, and how many these are is not told: accuracy" in told


# Before the yes, and for other programs


def test_who_says_yes_reads_which_class_is_left_out() -> None:
    given = ignoring()
    assert "of which class 'unknown' is left out" in recipe_view.describe(given)
    assert dict(recipe_view.pairs_of(given))["leaves out"].startswith(UNKNOWN)
    assert recipe_view.values(given)["ignored_class"] == "unknown"
    (line,) = evaluation_of(given, True)
    assert "held out (class 'unknown' is left out)" in line and "how many of them count is told, too" in line
    assert ignored_clause(ignoring(number=-100)) == "" == ignored_clause(recipe())


@pytest.mark.parametrize(
    ("result", "shape", "wanted"),
    [
        (HeldOut(40, of_classes(31, 28)), (), (31, 40, "record")),
        (HeldOut(40, of_classes(512, 400)), (4, 4), (512, 640, "prediction")),
        (HeldOut(40, NoisedClasses(3, 2.5, (0,) * 9)), (), (None, 40, "record")),
        (HeldOut(40, NoisedMean("accuracy of units", 1.0, 4096, 2.5, 9)), (), (None, 40, "unit")),
        (HeldOut(40, None), (), (None, 40, "record")),
    ],
)
def test_other_programs_read_how_many_count(result: HeldOut, shape: tuple[int, ...], wanted: tuple[Any, ...]) -> None:
    values = counted_values(ignoring(), shape, result)
    assert (values["counted"], values["of"], values["unit"]) == wanted and values["left_out"] == "unknown"
    if not isinstance(result.outcome, Classes):
        return
    assert counted_values(recipe(), (), result)["left_out"] is None


# By group


def test_groups_are_told_by_the_records_of_them_that_count() -> None:
    """A group of which few records count is folded as one of few records is."""
    kinds = np.array([0] * 30 + [2] * 30 + [0, 1] * 5 + [1] * 30)
    scores = torch.from_numpy(np.random.default_rng(1).random((100, 3), np.float32))
    groups = np.array([0] * 30 + [1] * 40 + [2] * 30)
    given = replace(ignoring(), subgroups={"site": (0, 1, 2)}, batch_size=7)

    def outputs(batch: slice) -> tuple[Tensor, Tensor]:
        return scores[batch], torch.from_numpy(kinds[batch])

    def targets(rows: Any) -> Any:
        return kinds[rows.astype(np.intp)]

    result = tally_outputs(given, np.arange(100, dtype=np.uint64), outputs, targets, {"site": groups})
    told = [(part.groups, part.records, part.outcome.compared) for part in result.subgroups]  # type: ignore[union-attr]
    assert sorted(told) == [((0, 1), 70, 40), ((2,), 30, 30)] or sorted(told) == [((0,), 30, 30), ((1, 2), 70, 40)]
    assert HeldOut.from_json(result.json()) == result
    require_counted(result, given, ())


# What a certificate may say


WHOLE = HeldOut(40, of_classes(31, 28))


@pytest.mark.parametrize(
    ("given", "result", "shape", "message"),
    [
        (ignoring(), HeldOut(40, of_classes(41, 28)), (), "is of 41 predictions, and 40 records have 40 targets"),
        (recipe(held_out=0.2), WHOLE, (), "is of 31 predictions, and 40 records have 40 targets"),
        (ignoring(), HeldOut(40, of_classes(641, 28)), (4, 4), "is of 641 predictions"),
        (ignoring(number=0), WHOLE, (), "counts records of class 'benign', which the recipe ignores"),
        (ignoring(), HeldOut(40, Amounts(40, 1.0, 1.0, 1.0, 1.0)), (), "is of amounts, and the recipe gives classes"),
        (
            ignoring(),
            HeldOut(40, WHOLE.outcome, tuple(Subgroup("sex", (n,), 20, of_classes(20, 9)) for n in (0, 1))),
            (),
            "its parts count 40, and the whole counts 31",
        ),
        (
            recipe(held_out=0.2, loss={"name": "binary_cross_entropy_with_logits", "arguments": {}}),
            HeldOut(40, of_classes(40, 28)),
            (),
            "is of so many classes: 3, and the recipe's loss is of 2",
        ),
        (
            ignoring(),
            HeldOut(4, Classes(2, 16, 8, (8, 8, 0, 0), 0.5, 0)),
            (2, 2),
            "orders pairs of records, of which each has",
        ),
        (
            private_recipe(held_out=0.2),
            HeldOut(40, NoisedMean("absolute error", 2.0, 4096, 2.5, 9)),
            (),
            "is a mean absolute error, and the recipe gives one of accuracy",
        ),
    ],
)
def test_more_than_can_count_is_refuted(given: Recipe, result: HeldOut, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ClaimMismatch, match=message):
        require_counted(result, given, shape)


def test_what_can_count_holds() -> None:
    require_counted(WHOLE, ignoring(), ())
    require_counted(HeldOut(40, None), ignoring(), ())
    require_counted(HeldOut(40, of_classes(512, 400)), ignoring(), (4, 4))
    require_counted(HeldOut(40, of_classes(40, 30)), recipe(held_out=0.2), ())
    require_same_records([WHOLE, WHOLE, HeldOut(40, None)])
    with pytest.raises(ClaimMismatch, match="is of 31 predictions of one leaf, and of 40 of another"):
        require_same_records([WHOLE, HeldOut(40, of_classes(40, 30))])


@pytest.mark.parametrize(("count", "given"), [(101, ignoring()), (101, recipe()), (99, recipe())])
def test_an_attack_on_other_records_than_count_is_refuted(count: int, given: Recipe) -> None:
    with pytest.raises(ClaimMismatch, match=f"says {count}, and the recipe holds out 100"):
        require_attacked("non-members", count, "holds out", 100, given)
    require_attacked("non-members", 99, "holds out", 100, ignoring())


def test_a_training_is_of_the_records_that_it_takes() -> None:
    card, given = (
        register(table(569), bytes(32), "A table").card,
        replace(recipe(), rows=(0, 569), held_out=0.2, batch_size=8),
    )
    assert records_trained_on(card, given, 1000) == "455 of 569 records"
    assert records_trained_on(card, given, 12) == "96 of 569 records"
    assert records_trained_on(card, replace(given, held_out=None), 1000) == "569 records"
    assert records_trained_on(card, replace(given, held_out=None, rows=(0, 80)), 1000) == "80 of 569 records"


def test_an_attack_is_on_the_held_out_records_that_the_result_counts() -> None:
    require_attack_on_same(31, WHOLE, ignoring(), ())
    require_attack_on_same(40, HeldOut(40, of_classes(512, 400)), ignoring(), (4, 4))  # of some pixels each
    require_attack_on_same(40, HeldOut(40, None), ignoring(), ())
    with pytest.raises(ClaimMismatch, match="non-members are 40, and the result on held-out records counts 31"):
        require_attack_on_same(40, WHOLE, ignoring(), ())
