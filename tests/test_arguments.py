"""Which columns enter a model as which argument: `fitchain.pod.compute.dataset.arguments`, and the
numbers that come of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fitchain.pod.compute.dataset import (
    Argument,
    Card,
    Column,
    Kind,
    Parameters,
    Table,
    Task,
    assemble,
    chosen_arguments,
    usual_arguments,
)
from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input
from fitchain.pod.values.recipe import Recipe, draft

SCALED, BOUNDED = {"mean": 40.0, "scale": 10.0}, {"low": 0.0, "high": 9.0}
COLUMNS = {
    "age": (Column("age", "float64"), SCALED | {"fill": 40.0}),
    "bmi": (Column("bmi", "float64"), SCALED),
    "gene_1": (Column("gene_1", "float64"), SCALED),
    "gene_2": (Column("gene_2", "float64"), SCALED),
    "dose [mg], daily": (Column("dose [mg], daily", "float64"), SCALED),
    "visits": (Column("visits", "int64"), SCALED),
    "bed": (Column("bed", "int64"), BOUNDED),
    "icd": (Column("icd", "int64", kind=Kind.CATEGORY), {"categories": ["A", "B", "C"]}),
    "ward": (Column("ward", "int64", kind=Kind.CATEGORY), {"categories": ["east", "west"]}),
    "smoker": (Column("smoker", "bool"), None),
    "age is missing": (Column("age is missing", "bool", kind=Kind.MISSING), None),
    "dead": (Column("dead", "int64"), {"categories": [0, 1]}),
}
CARD = Card(
    "beds",
    tuple(column for column, _ in COLUMNS.values()),
    "dead",
    4,
    Root(sha256(b"beds")),
    {name: constants for name, (_, constants) in COLUMNS.items() if constants},
    Task.CLASSIFICATION,
)
SCAN = Column("scan", "float32", (2, 2))
WITH_SCANS = replace(CARD, columns=(*CARD.columns, SCAN, replace(SCAN, name="mask")))
TWO, ONE, ANY = Parameters(("x", "codes"), 2), Parameters(("x",), 1), Parameters((), 0, is_open=True)


def forward(self: Any, x: Any, codes: Any) -> None:
    """A module's forward."""


def columns_of(*texts: str, card: Card = CARD, parameters: Parameters = ANY) -> dict[str, tuple[str, ...]]:
    return {each.name: each.columns for each in chosen_arguments(texts, card, parameters)}


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("x=bmi, age", ("bmi", "age")),
        ("x=gene_*", ("gene_1", "gene_2")),
        ("x=gene_?,age,gene_1", ("gene_1", "gene_2", "age")),
        ('x="dose [mg], daily",age', ("dose [mg], daily", "age")),
        ("x=dose [mg]*", ("dose [mg], daily",)),
        ("x=@category", ("icd", "ward")),
        ("x=@whole", ("visits", "bed")),
        ("x=@boolean,@missing", ("smoker", "age is missing")),
        ("x=*d", ("bed", "icd", "ward")),  # not the target, which enters by its name alone
        ("x=dead,bmi", ("dead", "bmi")),
        ("x=gene_1,@number", ("gene_1", "age", "bmi", "gene_2", "dose [mg], daily")),
    ],
)
def test_columns_enter_by_name_by_pattern_and_by_kind(text: str, columns: tuple[str, ...]) -> None:
    assert columns_of(text) == {"x": columns}


def test_the_rest_is_what_no_other_argument_takes() -> None:
    chosen = columns_of("x=@rest", "codes=@category:int64", "y=gene_*,visits")
    assert chosen["x"] == ("age", "bmi", "dose [mg], daily", "bed", "smoker", "age is missing")
    assert columns_of("x=bmi,@rest")["x"][:2] == ("bmi", "age")
    assert columns_of("x=icd", "y=icd,@category") == {"x": ("icd",), "y": ("icd", "ward")}  # twice


def test_arguments_come_in_forwards_order_with_their_shapes() -> None:
    arguments = chosen_arguments(["codes=@category,bed:int64", "x=icd,age"], CARD, TWO)
    assert [each.input for each in arguments] == [Input("x", "F32", (4,)), Input("codes", "I64", (3,))]
    assert Argument.of("scan", ("scan",), "float32", WITH_SCANS).input == Input("scan", "F32", (2, 2))


@pytest.mark.parametrize(
    ("texts", "message", "advice"),
    [
        (["age,bmi"], "does not say which columns", "NAME=COLUMNS"),
        (["x="], "does not say which columns", "NAME=COLUMNS"),
        (["x=age,,bmi"], "does not say which columns", "NAME=COLUMNS"),
        (["1x=age"], "does not say which columns", "NAME=COLUMNS"),
        (["x=agee", "codes=icd"], "x: the dataset has no column 'agee'", "did you mean age"),
        (["x=protein_*", "codes=icd"], r"no column 'protein_\*'", "fitchain data show"),
        (["x=@numbers", "codes=icd"], "@numbers is none of @number, @whole", ""),
        (["x=@time", "codes=icd"], "x: the dataset has no column for @time", ""),
        (["x=age", "codes=icd:int32"], "no column 'icd:int32'", "'int32' is no type: write :float32 or :int64"),
        (["x=age", "y=icd"], "no parameter 'y': it takes 'x', 'codes'", "NAME=COLUMNS"),
        (["x=age"], "no column enters 'codes'", "--input codes=COLUMNS"),
        (["codes=icd"], "no column enters 'x'", "--input x=COLUMNS"),
        (["x=age", "x=bmi", "codes=icd"], "'x' is given twice", "at once"),
        (["x=age", "codes=bmi:int64"], "'bmi' enters as int64, and its cells are numbers with a fraction", "float32"),
        (["x=age", "codes=visits:int64"], "does not say how large its numbers", "--kind visits=category"),
        (["x=@number,@whole,@category,@boolean,@missing", "codes=@rest"], "codes: the other arguments leave no", ""),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_next_step(texts: list[str], message: str, advice: str) -> None:
    with pytest.raises(InputRefused, match=message) as refused:
        chosen_arguments(texts, CARD, TWO)
    assert advice in refused.value.hint


def test_whole_numbers_that_may_be_missing_are_no_index() -> None:
    gone = Column("bed is missing", "bool", kind=Kind.MISSING)
    with pytest.raises(InputRefused, match="cells of it may be missing"):
        chosen_arguments(["x=bed:int64"], replace(CARD, columns=(*CARD.columns, gone)), ONE)


def test_unsigned_numbers_of_64_bits_are_no_index() -> None:
    columns = (Column("bed", "uint64"), CARD.column("dead"))
    with pytest.raises(InputRefused, match="does not hold all of uint64"):
        chosen_arguments(["x=bed:int64"], replace(CARD, columns=columns, transform={}), ONE)


def test_arrays_enter_alone() -> None:
    with pytest.raises(InputRefused, match="x: the column 'scan' holds arrays, and 1 others") as refused:
        chosen_arguments(["x=age,scan"], WITH_SCANS, ONE)
    assert "argument of its own" in refused.value.hint
    assert columns_of("x=scan", "y=*i", card=WITH_SCANS) == {"x": ("scan",), "y": ("bmi",)}
    with pytest.raises(InputRefused, match="holds arrays"):
        chosen_arguments(["x=@array"], WITH_SCANS, ONE)


# Where nobody says it


def test_single_values_enter_together_and_arrays_by_themselves() -> None:
    (argument,) = usual_arguments(CARD, Parameters.of(lambda features: None))
    assert argument.name == "features" and argument.columns == tuple(CARD.model_columns[:-1])
    usual = usual_arguments(WITH_SCANS, Parameters(("x", "left", "right"), 3))
    assert [(each.name, each.columns[0]) for each in usual] == [("x", "age"), ("left", "scan"), ("right", "mask")]


def test_arrays_enter_the_parameters_of_their_names() -> None:
    usual = usual_arguments(WITH_SCANS, Parameters(("mask", "x", "scan"), 3))
    assert [(each.name, each.columns[0]) for each in usual] == [("mask", "mask"), ("x", "age"), ("scan", "scan")]


@pytest.mark.parametrize(
    ("card", "parameters", "proposal"),
    [
        (CARD, TWO, "--input x=@rest --input codes=@category:int64"),
        (WITH_SCANS, ONE, "--input x=@rest"),
        (WITH_SCANS, TWO, "--input x=@rest --input codes=scan"),
        (CARD, Parameters(("a", "b", "c"), 3), "--input a=@rest --input b=@category:int64 --input c=COLUMNS"),
    ],
)
def test_forward_of_other_arguments_is_refused_with_a_choice_that_fits(
    card: Card, parameters: Parameters, proposal: str
) -> None:
    with pytest.raises(InputRefused, match=r"forward takes .*, and the dataset's columns make") as refused:
        usual_arguments(card, parameters)
    assert refused.value.hint.endswith(f": {proposal}")


def test_parameters_of_a_forward() -> None:
    assert Parameters.of(lambda x, codes: None) == TWO
    assert Parameters.of(lambda x, mask=None, **rest: None) == Parameters(("x", "mask"), 1)
    assert Parameters.of(lambda *inputs: None) == ANY
    with pytest.raises(InputRefused, match="takes 'codes' by name alone"):
        Parameters.of(lambda x, *, codes: None)


def test_parameter_with_a_default_stays_out_unless_a_later_one_is_given() -> None:
    parameters = Parameters(("x", "gain", "codes"), 1)
    assert columns_of("x=age", parameters=parameters) == {"x": ("age",)}
    with pytest.raises(InputRefused, match="no column enters 'gain'"):
        chosen_arguments(["x=age", "codes=icd"], CARD, parameters)


# The numbers that come of it


def recipe_of(arguments: tuple[Argument, ...], **terms: Any) -> Recipe:
    terms |= {"inputs": [list(each.columns) for each in arguments], "batch_size": 2}
    return draft(sha256(b"graph"), Root(sha256(b"model")), CARD.json(), "2.13.0+cpu", terms)


def test_numbers_of_arguments_whose_columns_enter_twice_and_as_the_target() -> None:
    arguments = chosen_arguments(["x=bmi,icd", "codes=icd,bed,dead:int64", "again=bmi"], CARD, ANY)
    arrays = {
        "bmi": np.array([40.0, 50.0]),
        "icd": np.array([2, 0]),
        "bed": np.array([9, 3]),
        "dead": np.array([1, 0]),
    }
    table = Table.of(arrays, "dead", {"icd": ("A", "B", "C")})
    columns = tuple(CARD.column(column.name) for column in table.columns)
    take = assemble(recipe_of(arguments), replace(table, columns=columns), [each.type for each in arguments])
    (x, codes, again), target = take(np.arange(2))
    assert x.dtype == np.float32 and x.tolist() == [[0, 0, 0, 1], [1, 1, 0, 0]]
    assert codes.dtype == np.int64 and codes.tolist() == [[2, 9, 1], [0, 3, 0]]
    assert again.tolist() == [[0.0], [1.0]] and target.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"bed": np.array([1, 2], np.uint64)}, "takes int64 and column 'bed' holds uint64"),
        ({"bed": np.array([1.0, 2.5])}, "takes int64 and column 'bed' holds float64"),
        ({"bed": np.array([1, 0]), "bed is missing": np.array([False, True])}, "cells of the column 'bed' may be"),
    ],
)
def test_no_number_is_made_up_for_an_index(arrays: dict[str, Any], words: str) -> None:
    """By whoever wrote the recipe."""
    table = Table.of(arrays | {"dead": np.array([0, 1])}, "dead")
    recipe = recipe_of((Argument("x", ("bed",), "int64", (1,)),), transform={"dead": {"categories": [0, 1]}})
    with pytest.raises(InputRefused, match=words):
        assemble(recipe, table, ["int64"])
