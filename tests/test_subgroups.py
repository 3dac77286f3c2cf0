"""Held-out results by subgroup: which groups are told, what becomes public, and that an audit finds
the same counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as examples
from hypothesis import strategies as st
from torch import nn

from fitchain.cli.views.held_out import held_out_sentence, subgroup_sentences
from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.dataset import (
    Card,
    CardPrivacy,
    Reading,
    ReadingTerms,
    Table,
    held_out_rows,
    mock_table,
    register,
)
from fitchain.pod.compute.environment.classes import DEFAULT
from fitchain.pod.compute.held_out import evaluate_held_out
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.program import Program
from fitchain.pod.jobs.history import HeldOutTold
from fitchain.pod.jobs.worker import job
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.values.digest import Digest, Root, sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input
from fitchain.pod.values.held_out import LEAST_TOLD, Amounts, Classes, HeldOut, fold_small_groups
from fitchain.pod.values.recipe import Choice, Recipe, argument_columns, draft
from tests.audits import Case, trained_here
from tests.training_jobs import COLUMNS, SEED, recipe, table

KEY = bytes(range(32))
ROWS = 240
NAMES = {"sex": (0, 1), "site": (1, 2, 3, 4)}


def grouped(rows: int = ROWS) -> Table:
    """The fixed records with two columns of groups; the last site is a rare one."""
    plain = table(rows)
    numbers = np.random.default_rng(2)
    groups = {"sex": numbers.integers(0, 2, rows), "site": numbers.choice([1, 2, 3, 4], rows, p=[0.4, 0.3, 0.2, 0.1])}
    return Table.of(dict(plain.arrays) | groups, target="kind")


TERMS: dict[str, Any] = {
    "records": grouped(),
    "rows": [0, ROWS],
    "held_out": 0.3,
    "subgroups": {name: list(groups) for name, groups in NAMES.items()},
}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A job whose result is told by two columns."""
    place = tmp_path_factory.mktemp("case")
    return trained_here(place / "job", LocalStore(place / "store", place / "home"), **TERMS)


def result_of(case: Case) -> HeldOut:
    """The result in the last leaf's line."""
    result = read_leaves(case.folder)[-1].held_out
    assert result is not None
    return result


# Which groups are told


@examples(st.lists(st.integers(0, 90), min_size=1, max_size=16))
def test_no_told_part_is_small_and_no_part_is_left_out(counts: list[int]) -> None:
    parts = fold_small_groups(counts)
    if not parts:
        return
    assert len(parts) > 1 and sorted(group for part in parts for group in part) == list(range(len(counts)))
    assert all(sum(counts[group] for group in part) >= LEAST_TOLD for part in parts)


def test_a_single_small_group_takes_the_next_smallest_with_it() -> None:
    assert fold_small_groups([60, 19, 25, 40]) == ((0,), (3,), (1, 2))
    assert fold_small_groups([60, 0, 25]) == ((0,), (1, 2))  # nor does a group without records stand out
    assert fold_small_groups([60, 12, 12]) == ((0,), (1, 2))


def test_nothing_is_told_where_one_part_would_be_left() -> None:
    assert fold_small_groups([60, 19]) == fold_small_groups([10, 10, 10]) == fold_small_groups([200]) == ()
    assert fold_small_groups([20, 20]) == ((0,), (1,))


# In a worker


def test_the_counts_of_the_groups_are_those_of_their_records(case: Case) -> None:
    result = result_of(case)
    whole = result.outcome
    assert isinstance(whole, Classes) and result.records == 72
    rows = held_out_rows(case.recipe, SEED).astype(np.int64)
    for column, names in NAMES.items():
        parts = result.of_column(column)
        outcomes = [part.outcome for part in parts if isinstance(part.outcome, Classes)]
        assert len(outcomes) == len(parts) > 1
        assert tuple(map(sum, zip(*(each.confusion for each in outcomes), strict=True))) == whole.confusion
        assert sum(each.loss * each.compared for each in outcomes) == pytest.approx(whole.loss * 72, rel=1e-6)
        cells = case.records.arrays[column][rows]
        for part in parts:
            kinds = case.records.arrays["kind"][rows][np.isin(cells, part.groups)]
            assert isinstance(part.outcome, Classes)
            true = [sum(part.outcome.confusion[3 * kind : 3 * kind + 3]) for kind in range(3)]
            assert (part.records, true) == (len(kinds), np.bincount(kinds, minlength=3).tolist())
        assert sorted(name for part in parts for name in part.groups) == list(names)
    rare = next(part for part in result.of_column("site") if 4 in part.groups)
    assert len(rare.groups) > 1  # of the fourth site fewer than 20 are held out


def test_an_audit_finds_the_same_counts_and_others_are_a_mismatch(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert case.replayed_here(case.facts(None, drawn=1)) == []
    honestly = evaluate_held_out

    def flattering(*given: Any) -> HeldOut:
        result = honestly(*given)
        first, *rest = result.subgroups
        assert isinstance(first.outcome, Classes)
        better = replace(first, outcome=replace(first.outcome, loss=0.0))
        return replace(result, subgroups=(better, *rest))

    monkeypatch.setattr(job, "evaluate_held_out", flattering)
    forged = trained_here(tmp_path / "job", case.store, **TERMS)
    monkeypatch.undo()
    (problem,) = forged.replayed_here(forged.facts(None, drawn=0))
    assert problem.segment == 5 and problem.what.startswith("held-out results 0x")


def test_a_regression_is_told_by_group(case: Case) -> None:
    torch.manual_seed(1)
    graph, weights = export(nn.Linear(4, 1), (Input("x", "F32", (4,)),), 2)
    numbers = np.random.default_rng(4)
    x, y = numbers.random((72, 4), np.float32), numbers.random((72, 1), np.float32)
    sex = np.repeat([0, 1], 36)
    terms = replace(case.recipe, loss=Choice("mse_loss", {}), subgroups={"sex": (0, 1)})
    result = evaluate_held_out(
        Program(graph, weights, DEFAULT),
        terms,
        np.arange(72, dtype=np.uint64),
        lambda indices: ((x[indices],), y[indices]),
        SEED,
        None,
        {"sex": sex},
    )
    weight, bias = (np.frombuffer(weights[name].data, np.float32) for name in ("weight", "bias"))
    wanted = (x @ weight[:, None] + bias).astype(np.float64)
    for part, among in zip(result.of_column("sex"), (sex == 0, sex == 1), strict=True):
        assert isinstance(part.outcome, Amounts) and (part.records, part.outcome.compared) == (36, 36)
        assert part.outcome.absolute == pytest.approx(np.abs(wanted - y)[among].sum(), rel=1e-5)
        assert part.outcome.spread == pytest.approx(((y[among] - y[among].mean(dtype=np.float64)) ** 2).sum(), rel=1e-6)
    (said,) = subgroup_sentences(result, ["sex"])
    assert said.startswith("by sex: 0 (36 records) mean error ") and said.count("R2") == 2


def test_the_result_is_said_by_group_with_intervals(case: Case) -> None:
    result = result_of(case)
    told = HeldOutTold.of(case.recipe, None, result)
    assert told.subgroups == ("sex", "site") and HeldOut.from_json(result.json()) == result
    by_sex, by_site = subgroup_sentences(result, told.subgroups)
    assert by_sex.startswith("by sex: 0 (") and by_sex.count("95 % interval") == 2
    assert "together, not to tell of fewer than 20) accuracy" in by_site
    none = replace(result, subgroups=result.of_column("site"))
    assert subgroup_sentences(none, told.subgroups)[0].startswith("by sex: not told, since no two parts of 20")
    assert "by sex" not in held_out_sentence(result)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: parts[:1], "does not part the records into groups"),
        (lambda parts: [parts[0], parts[1] | {"groups": parts[0]["groups"]}], "does not part the records into groups"),
        (lambda parts: [parts[0], parts[1] | {"records": parts[1]["records"] + 1}], "records, and 72 are held out"),
        (lambda parts: [parts[0] | {"records": 19}, parts[1]], "records is an integer from 20"),
        (lambda parts: [parts[0] | {"outcome": None}, parts[1]], "outcome is one of classes, amounts"),
        (lambda parts: [parts[0] | {"groups": [True]}, parts[1]], "groups is an integer"),
    ],
)
def test_a_result_that_parts_no_records_is_refused(case: Case, change: Any, message: str) -> None:
    value: dict[str, Any] = dict(result_of(case).json())
    parts = [part for part in value["subgroups"] if part["column"] == "sex"]
    with pytest.raises(InputRefused, match=message):
        HeldOut.from_json(value | {"subgroups": change(parts)})


# What an owner registers


def registered(**changes: Any) -> Card:
    arguments: dict[str, Any] = {"subgroups": {"sex": False, "site": True}} | changes
    return register(
        changes.pop("of", grouped()), KEY, "people", **{k: v for k, v in arguments.items() if k != "of"}
    ).card


def test_the_card_names_groups_and_only_told_ones_enter_no_model() -> None:
    card = registered()
    assert Card.parse(card.encode()) == card and dict(card.groups) == NAMES
    assert "sex" not in card.transform and "site" in card.transform
    assert argument_columns(card.json()) == ((*COLUMNS, "site"),)
    assert card.model_columns == [*COLUMNS, "kind", "site"]
    mock = mock_table(card, grouped(), 64, KEY)
    assert set(mock.arrays["sex"].tolist()) == {0, 1} and set(mock.arrays["site"].tolist()) == {1, 2, 3, 4}


def drafted(card: Card, **terms: Any) -> Recipe:
    return draft(sha256(b"graph"), Root(sha256(b"model")), card.json(), "2.13.0+cpu", terms)


def test_a_recipe_that_holds_records_out_copies_the_groups() -> None:
    card = registered()
    given = drafted(card, held_out=0.2)
    assert dict(given.subgroups) == NAMES and Recipe.parse(given.encode()) == given
    card.check_recipe(given)
    card.check_recipe(drafted(card))
    for other in (replace(given, subgroups={}), replace(given, subgroups={"sex": (0, 1)})):
        with pytest.raises(InputRefused, match="the recipe's subgroups are"):
            card.check_recipe(other)
    with pytest.raises(InputRefused, match="the column 'sex' is no feature"):
        card.check_recipe(replace(given, inputs=((*COLUMNS, "sex"),)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out": None}, "names subgroups of held-out records and holds no records out"),
        ({"subgroups": {"sex": [1, 0]}}, "texts or whole numbers in rising order"),
        ({"subgroups": {"sex": [0]}}, "a list of 2 to 16 items"),
        ({"subgroups": {"sex": [0, "a"]}}, "is an integer"),
        ({"subgroups": {str(number): [0, 1] for number in range(4)}}, "3 columns at most"),
        ({"subgroups": [1]}, "3 columns at most"),
    ],
)
def test_subgroups_that_cannot_be_told_are_refused_in_a_recipe(changes: dict[str, Any], message: str) -> None:
    terms = {name: value for name, value in TERMS.items() if name != "records"}
    with pytest.raises(InputRefused, match=message):
        recipe(**terms | changes)


def with_column(cells: Any) -> Table:
    return Table.of(dict(table(ROWS).arrays) | {"x": np.asarray(cells)}, target="kind")


def test_columns_that_are_no_subgroups_are_refused_by_name() -> None:
    few = np.repeat([0, 1], [ROWS - 19, 19])
    for of, message in (
        (with_column(few), "1 of the 2 groups of 'x' have fewer than 20 records"),
        (with_column(np.zeros(ROWS)), "'x' has 1 groups"),
        (with_column(np.arange(ROWS)), "'x' has 240 groups"),
        (with_column(np.arange(ROWS) / 7), "'x' of subgroups holds numbers that are not whole"),
        (with_column(np.zeros((ROWS, 2))), "'x' of subgroups is no column of one value"),
    ):
        with pytest.raises(InputRefused, match=message) as refused:
            registered(of=of, subgroups={"x": False})
        assert refused.value.hint
    with pytest.raises(InputRefused, match="'kind' of subgroups is the target"):
        registered(subgroups={"kind": False})
    with pytest.raises(InputRefused, match="4 columns of subgroups are named, and 3 are the limit"):
        registered(subgroups=dict.fromkeys("abcd", False))


def test_a_column_whose_groups_are_parts_of_anothers_is_refused() -> None:
    ages = np.random.default_rng(3).integers(0, 4, ROWS)
    both = Table.of(dict(table(ROWS).arrays) | {"age": ages, "old": ages // 2}, target="kind")
    with pytest.raises(InputRefused, match="4 pairs of a group of 'age' and one of 'old' have no record"):
        registered(of=both, subgroups={"age": False, "old": False})
    registered(of=both, subgroups={"age": False})


def test_subgroups_beside_a_budget_are_refused_with_the_reason() -> None:
    with pytest.raises(InputRefused, match="no privacy budget covers them"):
        registered(privacy=CardPrivacy(1e-4), transform="none")


def test_texts_part_records_and_are_read_again_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    lines = [f"{row},{'mf'[row % 3 > 0]},{row % 2}" for row in range(90)]
    path.write_text("\n".join(["age,sex,sick", *lines]) + "\n")
    read = Table.read(path, ReadingTerms(target="sick"))
    assert read.categories == {"sex": ("f", "m")} and read.arrays["sex"][:3].tolist() == [1, 0, 0]
    card = registered(of=read, subgroups={"sex": False})
    assert dict(card.groups) == {"sex": ("f", "m")}
    again = Table.read_as(path, Reading(None, card.schema))
    assert np.array_equal(again.arrays["sex"], read.arrays["sex"])
    with pytest.raises(InputRefused, match="lines 3, 4, 6, 7 and 56 more, column 'sex': the cell is none of the 2 cat"):
        Table.read(path, ReadingTerms(target="sick", categories={"sex": ("a", "m")}))


def test_digest_of_a_result_moves_with_its_groups(case: Case) -> None:
    from fitchain.pod.values.held_out import held_out_digest

    salt = Digest(bytes(32))
    result = result_of(case)
    assert held_out_digest(result, salt) != held_out_digest(replace(result, subgroups=()), salt)
