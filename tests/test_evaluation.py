"""A delivered model on a table of the scientist's own: figures as scikit-learn has them, tables as
the card says, predictions in its words, pictures that are drawn of the counts."""

from __future__ import annotations

import csv
import xml.dom.minidom
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn

from fitchain.cli.views.evaluation import draw_evaluation, evaluation_values, evaluation_views
from fitchain.cli.views.output import KeyValues, Rows
from fitchain.pod.compute.dataset import Card, ReadingTerms, Table, Task, assemble_inputs, assemble_target, register
from fitchain.pod.compute.dataset.own_table import OwnTable, read_own
from fitchain.pod.compute.environment.classes import DEFAULT
from fitchain.pod.compute.evaluation import WrittenOutputs, evaluated, write_outputs
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.predictions import write_predictions
from fitchain.pod.parties.scientist.evaluation import Evaluation, names_of
from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.evaluation import CURVE_POINTS, GRID, AmountGrid, ModelEvaluation, Side
from fitchain.pod.values.graph import Input
from fitchain.pod.values.recipe import Recipe, draft
from tests.training_jobs import SEED

ROWS, HOSTILE = 300, "<script>alert(1)</script>"
NUMBERS = np.random.default_rng(9)
X = NUMBERS.normal(size=(ROWS, 2)).astype(np.float32)
AMOUNT = (3 * X[:, 0] + NUMBERS.normal(size=ROWS) + 40).round(3)
STAGE = np.array(["I", "II", HOSTILE])[(X[:, 1] * 1.5 + 1.5).clip(0, 2).astype(int)]
SICK = (X.sum(1) + NUMBERS.normal(size=ROWS) > 0).astype(int)


def source_of(folder: Path, name: str, cells: Any) -> Path:
    """A table of two numbers and a target: a CSV file, or for labels an archive."""
    if np.asarray(cells).ndim == 2:
        np.savez(folder / f"{name}.npz", **{"a": X[:, 0], "b": X[:, 1], name: cells})
        return folder / f"{name}.npz"
    path = folder / f"{name}.csv"
    rows = zip(X.tolist(), np.asarray(cells).tolist(), strict=True)
    path.write_text(f"a,b,{name}\n" + "".join(f"{a!r},{b!r},{cell}\n" for (a, b), cell in rows))
    return path


def card_of(path: Path, target: str, task: Task) -> Card:
    return register(Table.read(path, ReadingTerms(target=target, task=task)), bytes(32), "A table").card


def recipe_of(card: Card, loss: str) -> Recipe:
    terms: dict[str, Any] = {"loss": loss, "steps": 4, "batch_size": 7}
    return draft(sha256(b"graph"), Root(sha256(b"model")), card.json(), "2.13.0+cpu", terms)


def evaluation_of(folder: Path, path: Path, target: str, task: Task, loss: str, outputs: int) -> tuple[Evaluation, Any]:
    """What a linear model does on a table, and its outputs on it."""
    card = card_of(path, target, task)
    recipe = recipe_of(card, loss)
    table = read_own(OwnTable(path), card, recipe)
    torch.manual_seed(2)
    graph, weights = export(nn.Linear(2, outputs), (Input("x", "F32", (2,)),), 2)
    made, file = Program(graph, weights, DEFAULT), folder / "outputs.bin"
    shape, dtype = write_outputs(made, recipe, table.count, assemble_inputs(recipe, table), SEED, file)
    outputs_N = np.fromfile(file, np.dtype(dtype).newbyteorder("<")).reshape(table.count, *shape)
    plain = ModelEvaluation(table.count, shape, dtype)
    details = evaluated(plain, WrittenOutputs(recipe, outputs_N, assemble_target(recipe, table)), {})
    assert ModelEvaluation.parse(details.encode()) == details
    return Evaluation(table.count, details.metrics(recipe.target_scale), details, recipe, card), outputs_N


def softmax(outputs: Any) -> Any:
    raised = np.exp(outputs.astype(np.float64))
    return raised / raised.sum(1, keepdims=True)


def test_figures_of_classes_are_those_of_scikit_learn(tmp_path: Path) -> None:
    how = ("stage", Task.CLASSIFICATION, "cross_entropy", 3)
    made, outputs = evaluation_of(tmp_path, source_of(tmp_path, "stage", STAGE), *how)
    true = np.searchsorted(np.array(["<", "I", "II"]), STAGE)  # the hostile one comes first
    true = np.array([{HOSTILE: 0, "I": 1, "II": 2}[cell] for cell in STAGE])
    assert names_of(made) == [HOSTILE, "I", "II"]
    taken = outputs.argmax(1)
    assert made.metrics["accuracy"] == metrics.accuracy_score(true, taken)
    assert made.metrics["f1"] == pytest.approx(metrics.f1_score(true, taken, average="macro"))
    auc = metrics.roc_auc_score(true, softmax(outputs), multi_class="ovr", average="macro")
    assert made.metrics["auc"] == pytest.approx(auc)
    assert made.metrics["loss"] == pytest.approx(metrics.log_loss(true, softmax(outputs)), rel=1e-5)
    values = evaluation_values(made, names_of(made))
    assert values["confusion"] == metrics.confusion_matrix(true, taken).tolist()
    assert [side["name"] for side in values["sides"]] == [HOSTILE, "I", "II"]


@pytest.mark.parametrize(("loss", "outputs"), [("cross_entropy", 2), ("binary_cross_entropy_with_logits", 1)])
def test_figures_of_two_classes_are_those_of_scikit_learn(tmp_path: Path, loss: str, outputs: int) -> None:
    path = source_of(tmp_path, "sick", SICK)
    made, output = evaluation_of(tmp_path, path, "sick", Task.CLASSIFICATION, loss, outputs)
    score = output[:, 1] - output[:, 0] if outputs == 2 else output[:, 0]
    assert made.metrics["auc"] == pytest.approx(metrics.roc_auc_score(SICK, score))
    assert made.metrics["f1"] == pytest.approx(metrics.f1_score(SICK, score > 0, average="macro"))
    (side,) = made.details.sides
    false, true, _ = metrics.roc_curve(SICK, score, drop_intermediate=False)
    points = {(round(x * sum(SICK == 0)), round(y * sum(SICK == 1))) for x, y in zip(false, true, strict=True)}
    assert set(side.curve) <= points and len(side.curve) == CURVE_POINTS + 1
    assert side.curve[0] == (0, 0) and side.curve[-1] == (sum(SICK == 0), sum(SICK == 1))


def test_each_label_has_its_own_figures(tmp_path: Path) -> None:
    labels = np.stack([SICK, 1 - SICK, X[:, 0] > 1], 1).astype(bool)
    how = ("findings", Task.MULTI_LABEL, "binary_cross_entropy_with_logits", 3)
    made, output = evaluation_of(tmp_path, source_of(tmp_path, "findings", labels), *how)
    assert made.metrics["accuracy"] == pytest.approx((labels == (output > 0)).mean())
    assert made.metrics["labels_f1"] == pytest.approx(metrics.f1_score(labels, output > 0, average="macro"))
    assert made.metrics["labels_auc"] == pytest.approx(metrics.roc_auc_score(labels, output, average="macro"))
    table = next(view for view in evaluation_views(made, names_of(made)) if isinstance(view, Rows))
    assert [row[0] for row in table.rows] == ["findings[0]", "findings[1]", "findings[2]"]
    assert "AUC" in str(draw_evaluation(made, names_of(made), "labels"))


def test_amounts_are_told_in_their_own_unit(tmp_path: Path) -> None:
    how = ("charge", Task.REGRESSION, "mse_loss", 1)
    made, output = evaluation_of(tmp_path, source_of(tmp_path, "charge", AMOUNT), *how)
    predicted = output[:, 0].astype(np.float64) * made.recipe.target_scale + made.recipe.target_centre
    assert made.metrics["mae"] == pytest.approx(metrics.mean_absolute_error(AMOUNT, predicted), rel=1e-5)
    assert made.metrics["rmse"] == pytest.approx(metrics.root_mean_squared_error(AMOUNT, predicted), rel=1e-5)
    assert made.metrics["r2"] == pytest.approx(metrics.r2_score(AMOUNT, predicted), rel=1e-5)
    grid = made.details.amounts
    assert grid is not None and sum(grid.counts) == ROWS
    assert grid.low <= AMOUNT.min() + 1e-6 and AMOUNT.max() - 1e-6 <= grid.high  # of float32
    low, high = evaluation_values(made, names_of(made))["intervals"]["mae"]
    assert low < made.metrics["mae"] < high


def test_a_picture_is_drawn_of_the_counts_and_shows_foreign_names_as_text(tmp_path: Path) -> None:
    how = ("stage", Task.CLASSIFICATION, "cross_entropy", 3)
    made, _ = evaluation_of(tmp_path, source_of(tmp_path, "stage", STAGE), *how)
    drawn = str(draw_evaluation(made, names_of(made), HOSTILE))
    xml.dom.minidom.parseString(drawn)
    assert "<script" not in drawn and drawn.count('fill="none"') == 3
    regression = evaluation_of(
        tmp_path, source_of(tmp_path, "charge", AMOUNT), "charge", Task.REGRESSION, "mse_loss", 1
    )[0]
    filled = str(draw_evaluation(regression, ["charge"], "amounts")).count("fill-opacity")
    assert regression.details.amounts is not None and filled == sum(map(bool, regression.details.amounts.counts))
    one_class = replace(made.details, sides=(Side(0, (9, 0, 0, 0), 0, ((0, 0), (9, 0))),))
    assert draw_evaluation(replace(made, details=one_class), names_of(made), "nothing") is None


# The table


def own(folder: Path, text: str, name: str = "own.csv") -> OwnTable:
    (folder / name).write_text(text)
    return OwnTable(folder / name)


@pytest.fixture
def staged(tmp_path: Path) -> tuple[Card, Recipe]:
    path = tmp_path / "owner.csv"
    rows = [f"{n % 7},{'mf'[n % 2]},{n % 3 + 1},n{n}" for n in range(60)]
    path.write_text("\n".join(["age,sex,grade,note", *rows, ""]))
    terms = ReadingTerms(target="grade", task=Task.CLASSIFICATION, drop=("note",))
    card = register(Table.read(path, terms), bytes(32), "A table").card
    return card, recipe_of(card, "cross_entropy")


def test_columns_may_stand_anywhere_and_beside_others(tmp_path: Path, staged: tuple[Card, Recipe]) -> None:
    table = read_own(own(tmp_path, "x;grade;sex;age\nu;3;f;4\nv;1;m;5\n"), *staged)
    assert {name: array.tolist() for name, array in table.arrays.items()} == {
        "age": [4, 5],
        "sex": [0, 1],
        "grade": [3, 1],
    }


def test_a_table_may_lack_the_target_and_nothing_else(tmp_path: Path, staged: tuple[Card, Recipe]) -> None:
    assert "grade" not in read_own(own(tmp_path, "sex,age\nf,4\nm,5\n"), *staged).arrays
    with pytest.raises(InputRefused, match=r"own.csv: the column 'age' is not in the table") as no:
        read_own(own(tmp_path, "sex,agee,grade\nf,4,1\nm,5,2\n"), *staged)
    assert "'agee'" in no.value.hint
    with pytest.raises(NotFound, match="there is no file"):
        read_own(OwnTable(tmp_path / "none.csv"), *staged)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("4,x,1", "line 3, column 'sex': the cell is none of the 2"),
        ("4,f,7", "line 3, column 'grade': the cell is none of the 3"),
        (",f,1", "line 3, column 'age': the cell is missing"),
        ("-999,f,1", "line 3, column 'age': the cell is missing"),
        ("4,f,", "line 3, column 'grade': the cell is missing"),
        ("old,f,1", "line 3, column 'age': the cell is no whole number"),
    ],
)
def test_cells_other_than_the_cards_are_refused_by_line_and_column(
    tmp_path: Path, staged: tuple[Card, Recipe], row: str, words: str
) -> None:
    table = own(tmp_path, f"age,sex,grade\n4,f,1\n{row}\n5,m,2\n")
    with pytest.raises(InputRefused, match=words) as no:
        read_own(replace(table, missing=("-999",)), *staged)
    assert "old" not in no.value.message and "-999" not in no.value.message


def test_what_the_owner_kept_as_a_category_is_one_here_too(tmp_path: Path) -> None:
    path = tmp_path / "owner.csv"
    path.write_text("age,found\n" + "".join(f"{n},{('none', 'mild', 'severe')[n % 3]}\n" for n in range(60)))
    terms = ReadingTerms(target="found", task=Task.CLASSIFICATION, keep=("none",))
    card = register(Table.read(path, terms), bytes(32), "A table").card
    recipe = recipe_of(card, "cross_entropy")
    assert read_own(OwnTable(path), card, recipe).arrays["found"].tolist()[:3] == [1, 0, 2]
    with pytest.raises(InputRefused, match="column 'found': the cell is none of the 3"):
        read_own(OwnTable(path, missing=("none",)), card, recipe)


def test_inputs_alone_leave_the_target_unread(tmp_path: Path, staged: tuple[Card, Recipe]) -> None:
    table = own(tmp_path, "age,sex,grade\n4,f,unknown\n5,m,\n")
    assert sorted(read_own(table, *staged, inputs_alone=True).arrays) == ["age", "sex"]


# Predictions


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_predictions_have_the_cards_words_and_units(tmp_path: Path, staged: tuple[Card, Recipe]) -> None:
    card, recipe = staged
    outputs = np.array([[0, 1, 0], [5, 0, 0]], np.float32)
    write_predictions(tmp_path / "p.csv", outputs, recipe, card)
    head, first, second = read_csv(tmp_path / "p.csv")
    assert head == ["record", "grade", "probability of 1", "probability of 2", "probability of 3"]
    assert first[:2] == ["1", "2"] and second[:2] == ["2", "1"]
    assert sum(map(float, first[2:])) == pytest.approx(1, abs=1e-5)
    charge = source_of(tmp_path, "charge", AMOUNT)
    card = card_of(charge, "charge", Task.REGRESSION)
    card = replace(card, columns=tuple(replace(c, unit="EUR" if c.name == "charge" else "") for c in card.columns))
    recipe = recipe_of(card, "mse_loss")
    write_predictions(tmp_path / "q.csv", np.array([[0], [1]], np.float32), recipe, card)
    head, first, second = read_csv(tmp_path / "q.csv")
    assert head == ["record", "charge (EUR)"] and float(first[1]) == pytest.approx(AMOUNT.mean())
    assert float(second[1]) == pytest.approx(AMOUNT.mean() + AMOUNT.std())
    with pytest.raises(InputRefused, match="puts out 2 x 3 numbers a record"):
        write_predictions(tmp_path / "r.csv", np.zeros((2, 2, 3), np.float32), recipe, card)
    with pytest.raises(InputRefused, match="cannot be written"):
        write_predictions(tmp_path / "no" / "r.csv", np.zeros((2, 1), np.float32), recipe, card)


# What a worker wrote


def test_an_evaluation_that_says_what_cannot_be_is_refused() -> None:
    side = Side(0, (1, 0, 0, 1), 2, ((0, 0), (0, 1), (1, 1)))
    whole = ModelEvaluation(2, (2,), "float32", None, (side,), False, AmountGrid(0, 1, (0,) * GRID**2))
    assert ModelEvaluation.parse(whole.encode()) == whole
    for wrong in (
        replace(whole, dtype="object"),
        replace(whole, shape=(-1,)),
        replace(whole, records=0),
        replace(whole, sides=(replace(side, counts=(1, 0, 0, -1)),)),
        replace(whole, sides=(replace(side, curve=((0, 0, 0),)),)),  # type: ignore[arg-type]
        replace(whole, amounts=AmountGrid(0, 1, (0,))),
    ):
        with pytest.raises(InputRefused):
            ModelEvaluation.parse(wrong.encode())


def test_outputs_that_are_not_finite_are_told_as_such(tmp_path: Path) -> None:
    made, _ = evaluation_of(
        tmp_path, source_of(tmp_path, "sick", SICK), "sick", Task.CLASSIFICATION, "cross_entropy", 2
    )
    result = made.details.result
    assert result is not None
    bare = replace(made.details, result=replace(result, outcome=None), sides=())
    (view,) = evaluation_views(replace(made, details=bare, metrics={}), ["0", "1"])
    assert isinstance(view, KeyValues) and "not finite" in str(view.pairs[-1][1])
