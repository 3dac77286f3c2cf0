"""What a model is worth afterwards: `fitchain.load` on raw rows gives what the owner's evaluation
counted, and its weights fit the module that was published."""

from __future__ import annotations

import copy
import csv
import json
import os
import pickle
import shutil
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import fitchain
from fitchain.pod.compute.dataset import CardPrivacy, Kind, ReadingTerms, Table, Task, Tokenizing
from fitchain.pod.compute.dataset.preprocessing import check_preprocessing, preprocessing_of
from fitchain.pod.proof.certificate.claims import check_file
from fitchain.pod.proof.certificate.envelope import unseal
from fitchain.pod.proof.certificate.statement import Statement
from fitchain.pod.values.digest import canonical_json, sha256, sha256_file
from fitchain.pod.values.errors import ClaimMismatch, InputRefused, NotFound, Refuted
from fitchain.pod.values.graph import Input
from fitchain.pod.values.held_out import Amounts, Classes, NoisedClasses
from fitchain.pod.values.state import read_safetensors, write_safetensors
from tests.certified_jobs import SOMETHING
from tests.delivered_models import DeliveredModel, deliver
from tests.source_text import ROOT, blocks_of
from tests.texts import file_of, tokenizer
from tests.whole_way import records

Staged = tuple[Path, DeliveredModel]
"""An owner's file, and what was trained on it."""
NUMBERS = np.random.default_rng(4)


class Linear(nn.Module):
    """A linear model of several columns."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.last = nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, width] -> [B, outputs]
        output_BK: torch.Tensor = self.last(x)
        return output_BK


def table_of(folder: Path, count: int = 120) -> Path:
    """Ages, some of them missing, whole numbers, truth values, dates and kinds; a stage of three."""
    path = folder / "patients.csv"
    ages, visits = NUMBERS.normal(60, 9, count).round(2), NUMBERS.integers(0, 9, count)
    kinds, smokes = NUMBERS.choice(["benign", "fibrous", "other"], count), NUMBERS.integers(0, 2, count)
    stage = np.array(["I", "II", "III"])[((ages - 45) / 12 + smokes).clip(0, 2).astype(int)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["age", "visits", "kind", "smokes", "day", "stage", "cost"])
        for number in range(count):
            age = "" if number % 11 == 3 else ages[number]
            row = [age, visits[number], kinds[number], ("false", "true")[smokes[number]]]
            cost = round(float(100 * visits[number] + ages[number]), 1)
            writer.writerow([*row, f"2026-01-{number % 28 + 1:02}", stage[number], cost])
    return path


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Staged:
    """A classification with a column of each kind."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("staged")
    source = table_of(folder)
    terms = ReadingTerms(target="stage", drop=("cost",))
    asked = {"inputs": [["age", "age is missing", "visits", "kind", "smokes", "day"]], "loss": "cross_entropy"}
    return source, deliver(folder, source, terms, Linear(8, 3), asked)


def raw_rows(source: Path) -> list[dict[str, str]]:
    with source.open(newline="") as file:
        return list(csv.DictReader(file))


def held_out(source: Path, made: DeliveredModel) -> list[dict[str, str]]:
    """The held-out records, as they stand in the owner's file."""
    rows = raw_rows(source)
    return [rows[place] for place in made.rows.tolist()]


def confusion(true: Sequence[Any], taken: Sequence[Any], classes: Sequence[Any]) -> tuple[int, ...]:
    counts = Counter(zip(true, taken, strict=True))
    return tuple(counts[one, other] for one in classes for other in classes)


# What `predict` says is what the certificate counts


def test_predictions_of_raw_rows_are_those_that_the_certificate_counts(staged: Staged) -> None:
    source, made = staged
    rows = held_out(source, made)
    model = fitchain.load(made.folder)
    outcome = made.result.outcome
    assert isinstance(outcome, Classes) and model.classes == ["I", "II", "III"]
    assert confusion([row["stage"] for row in rows], model.predict(rows), model.classes) == outcome.confusion
    assert len(rows) == made.result.records
    chances = model.predict_proba(rows)
    assert chances.shape == (len(rows), 3) and np.allclose(chances.sum(1), 1)
    assert [model.classes[number] for number in chances.argmax(1)] == model.predict(rows)


def test_amounts_are_in_the_targets_own_unit_and_err_as_certified(tmp_path: Path) -> None:
    source = table_of(tmp_path)
    asked = {"inputs": [["age", "visits"]], "loss": "mse_loss", "steps": 40, "learning_rate": 0.05}
    made = deliver(tmp_path, source, ReadingTerms(target="cost", drop=("stage",)), Linear(2, 1), asked)
    rows = held_out(source, made)
    predicted = np.array(fitchain.load(made.folder).predict(rows))
    outcome = made.result.outcome
    assert isinstance(outcome, Amounts)
    error = np.abs(predicted - np.array([float(row["cost"]) for row in rows])).mean()
    assert error == pytest.approx(outcome.mae * made.recipe.target_scale, rel=1e-6)
    with pytest.raises(InputRefused, match="predicts amounts of 'cost'"):
        fitchain.load(made.folder).predict_proba(rows)


def test_truth_values_are_answered_as_truth_values(tmp_path: Path) -> None:
    source = table_of(tmp_path)
    asked = {"inputs": [["age", "visits"]], "loss": "binary_cross_entropy_with_logits", "held_out": 0.4}
    terms = ReadingTerms(target="smokes", drop=("stage", "cost"))
    made = deliver(tmp_path, source, terms, Linear(2, 1), asked)
    model, rows = fitchain.load(made.folder), held_out(source, made)
    assert model.classes == [False, True] and isinstance(made.result.outcome, Classes)
    true = [row["smokes"] == "true" for row in rows]
    assert confusion(true, model.predict(rows), [False, True]) == made.result.outcome.confusion
    assert np.array_equal(model.predict_proba(rows)[:, 1] > 0.5, model.predict(rows))


def arrays_of(folder: Path) -> Path:
    """Images, and labels that are there or not."""
    path, numbers = folder / "images.npz", np.random.default_rng(2)
    images = numbers.integers(0, 256, (80, 1, 6, 6), dtype=np.uint8)
    labels = np.stack([images.mean((1, 2, 3)) > 127, images[:, 0, 0, 0] > 90], 1)
    np.savez(path, image=images, findings=labels)
    return path


def test_images_and_labels_go_in_and_out_as_arrays(tmp_path: Path) -> None:
    source = arrays_of(tmp_path)
    asked = {"inputs": [["image"]], "loss": "binary_cross_entropy_with_logits"}
    terms, net = ReadingTerms(target="findings", task=Task.MULTI_LABEL), nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    made = deliver(tmp_path, source, terms, net, asked, (Input("x", "F32", (1, 6, 6)),))
    stored = np.load(source)
    model, rows = fitchain.load(made.folder), {"image": stored["image"][made.rows]}
    outcome = made.result.outcome
    assert isinstance(outcome, Classes)
    assert int((np.array(model.predict(rows)) == stored["findings"][made.rows]).sum()) == outcome.correct
    assert model.predict([{"image": image} for image in rows["image"]]) == model.predict(rows)
    whole = model.predict(source)
    assert [whole[place] for place in made.rows.tolist()] == model.predict(rows)
    with pytest.raises(InputRefused, match=r"column 'image': the cell is of shape \(6, 6\)"):
        model.predict({"image": rows["image"][:, 0]})


@pytest.mark.sources
def test_a_folder_of_images_is_predicted_as_it_was_registered(tmp_path: Path) -> None:
    registered, _, _ = records.images(tmp_path, 80).partition(" ")
    source, net = tmp_path / registered, nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    asked = {"inputs": [["image"]], "loss": "cross_entropy"}
    made = deliver(tmp_path, source, ReadingTerms(target="label"), net, asked, (Input("x", "F32", (1, 8, 8)),))
    model, true = fitchain.load(made.folder), Table.read(source, ReadingTerms(target="label")).arrays["label"]
    predicted, outcome = model.predict(source), made.result.outcome
    assert isinstance(outcome, Classes) and model.classes == [str(digit) for digit in range(10)]
    rows = made.rows.astype(np.int64)
    held_out = [predicted[row] for row in rows]
    assert confusion([model.classes[true[row]] for row in rows], held_out, model.classes) == outcome.confusion
    (unsorted := tmp_path / "unsorted").mkdir()
    for number, path in enumerate(sorted(source.rglob("*.*"), key=os.fsencode)):
        shutil.copy(path, unsorted / f"{number:03d}{path.suffix}")
    assert model.predict(unsorted) == predicted  # nobody knows their classes
    with pytest.raises(InputRefused, match="lie in no folder of a class"):
        Table.read(unsorted)


class Words(nn.Module):
    """A bag of tokens, its last layer tied to its first."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.back, self.last = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False), nn.Linear(10, 2)
        self.back.weight = self.embed.weight
        self.register_buffer("scale_", torch.full((4,), 0.5), persistent=False)
        self.shift = torch.arange(4.0)

    def forward(self, note: torch.Tensor) -> torch.Tensor:  # [B, 6] -> [B, 2]
        output_BK: torch.Tensor = self.last(self.back(self.embed(note).mean(1) * self.scale_ + self.shift))
        return output_BK


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory) -> Staged:
    folder = tmp_path_factory.mktemp("worded")
    source, notes = folder / "notes.csv", ["the patient is well", "ill again and ill", "fever", "well and well"]
    lines = [f"{notes[number % 4]},{('well', 'ill', 'ill', 'well')[number % 4]}" for number in range(80)]
    source.write_text("\n".join(["note,outcome", *lines, ""]))
    file = file_of(tokenizer())
    terms = ReadingTerms(target="outcome", kinds={"note": Kind.TOKENS}, tokenizing=Tokenizing(file, 6))
    asked = {"inputs": [["note"]], "loss": "cross_entropy"}
    return source, deliver(folder, source, terms, Words(), asked, (Input("note", "I64", (6,)),), tokenizer=SOMETHING)


def test_texts_are_read_by_the_tokenizer_beside_the_model(worded: Staged, tmp_path: Path) -> None:
    source, made = worded
    rows, outcome = held_out(source, made), made.result.outcome
    model = fitchain.load(made.folder)
    assert isinstance(outcome, Classes)
    assert confusion([row["outcome"] for row in rows], model.predict(rows), model.classes) == outcome.confusion
    without = shutil.copytree(made.folder, tmp_path / "without")
    (without / "tokenizer.json").unlink()
    with pytest.raises(InputRefused, match="read by the tokenizer 0x") as refused:
        fitchain.load(without).predict(rows)
    assert "tokenizer.json" in refused.value.hint


def test_a_private_training_predicts_what_its_noised_counts_are_about(tmp_path: Path) -> None:
    source = table_of(tmp_path, 200)
    asked: dict[str, Any] = {"inputs": [["visits", "age"]], "loss": "cross_entropy", "metrics": [], "batch_size": 16}
    asked["privacy"] = {"sigma": 1.0, "clip": 1.0}
    terms = ReadingTerms(target="stage", drop=("cost",), categories={"stage": ("I", "II", "III")})
    registration: dict[str, Any] = {
        "privacy": CardPrivacy(1e-6),
        "ranges": {"age": (20.0, 100.0), "visits": (0.0, 10.0)},
        "transform": "ranges",
        "classes": ("I", "II", "III"),
    }
    made = deliver(tmp_path, source, terms, Linear(2, 3), asked, **registration)
    rows, outcome, model = held_out(source, made), made.result.outcome, fitchain.load(made.folder)
    assert isinstance(outcome, NoisedClasses) and made.result.records == len(rows)
    counted = confusion([row["stage"] for row in rows], model.predict(rows), model.classes)
    assert np.abs(np.subtract(counted, outcome.confusion)).max() <= 6 * outcome.sigma


# Rows in whatever form a program has them


class Frame:
    """What a data frame is to whoever reads it: names, and a column by its name."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.columns, self._arrays = list(columns), {name: np.array(cells) for name, cells in columns.items()}

    def __getitem__(self, name: str) -> Any:
        return self._arrays[name]


def columns_of(rows: list[dict[str, str]]) -> dict[str, list[Any]]:
    """The same rows as a program has them: numbers, truth values, None and NaN."""
    made: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    return made | {
        "age": [float(row["age"] or "nan") for row in rows],
        "visits": [float(row["visits"]) for row in rows],
        "smokes": [row["smokes"] == "true" for row in rows],
        "day": [np.datetime64(row["day"]) for row in rows],
    }


def test_every_form_of_rows_gives_the_same_predictions(staged: Staged, tmp_path: Path) -> None:
    source, made = staged
    model, rows = fitchain.load(made.folder), raw_rows(source)
    expected = model.predict(rows)
    columns = columns_of(rows)
    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(json.dumps({**row, "age": row["age"] or None}) + "\n" for row in rows))
    assert model.predict(str(source)) == model.predict(lines) == expected
    assert model.predict(fitchain.OwnTable(source)) == expected
    assert model.predict(columns) == model.predict(Frame(columns)) == expected
    records = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    assert model.predict(records) == expected
    absent = [{name: cell for name, cell in row.items() if name != "age" or cell} for row in rows]
    assert model.predict(absent) == expected
    marked = [{**row, "age": row["age"] or "-999"} for row in rows]
    assert model.predict(marked, missing=("-999",)) == expected


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"kind": "Smith"}, "row 1, column 'kind': the cell is none of the 3 categories", "leave such records out"),
        ({"visits": "many"}, "row 1, column 'visits': the cell is no whole number of 64 bits", ""),
        ({"visits": None}, "row 1, column 'visits': the cell is missing", ""),
        ({"visits": 1.5}, "row 1, column 'visits': the cell is no whole number of 64 bits", ""),
        ({"smokes": "maybe"}, r"row 1, column 'smokes': the cell is no truth value \(true, false\)", ""),
        ({"day": "soon"}, "row 1, column 'day': the cell is no time of ISO 8601", ""),
        ({"kind": {"is": "other"}}, "row 1, column 'kind': the cell is no number, text, date or", "convert such cells"),
    ],
)
def test_cells_that_no_owner_had_are_refused_by_row_and_column(
    staged: Staged, change: dict[str, Any], message: str, hint: str
) -> None:
    source, made = staged
    rows: list[dict[str, Any]] = [dict(row) for row in raw_rows(source)[:3]]
    rows[1] |= change
    with pytest.raises(InputRefused, match=message) as refused:
        fitchain.load(made.folder).predict(rows)
    assert hint in refused.value.hint
    assert not any(str(cell) in str(refused.value) + refused.value.hint for cell in ("Smith", "many", "soon", "maybe"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "there is no row"),
        (3, "rows are no int"),
        ([3], "row 0 is a int, and no dict"),
        ({"age": [1, 2], "kind": ["other"]}, "column 'age' has 2 rows and column 'kind' 1"),
        ({"age": 3}, "column 'age' is a int, and no list of cells"),
        ({3: [1]}, "a column's name is a text"),
        ([{"age": 3}], "'visits' is not in the table"),
    ],
)
def test_what_are_no_rows_is_said(staged: Staged, rows: Any, message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        fitchain.load(staged[1].folder).predict(rows)


def test_file_in_place_of_the_folder_is_told_with_the_folder(staged: Staged) -> None:
    file = staged[1].folder / "model.safetensors"
    with pytest.raises(InputRefused, match="is a file, and a delivery is a folder") as refused:
        fitchain.load(file)
    assert str(file.parent) in refused.value.hint


def test_traceback_has_the_next_step(staged: Staged) -> None:
    """A notebook prints the exception, and nobody there reads its `hint`."""
    with pytest.raises(InputRefused) as refused:
        fitchain.load(staged[1].folder).predict([])
    printed = "".join(traceback.format_exception(refused.value))
    assert printed.endswith(f"InputRefused: there is no row\nhint: {refused.value.hint}\n")


# In plain PyTorch


def test_the_published_module_loads_its_weights_strictly_in_three_lines(staged: Staged) -> None:
    source, made = staged
    module = Linear(8, 3)
    module.load_state_dict(load_file(made.folder / "model.safetensors"))
    rows = raw_rows(source)
    with torch.no_grad():
        scores = module(*fitchain.preprocess(made.folder, rows))
    model = fitchain.load(made.folder)
    assert [model.classes[number] for number in scores.argmax(1).tolist()] == model.predict(rows)
    assert model.state_dict().keys() == module.state_dict().keys()


def test_tied_weights_stand_under_each_name_and_constants_under_none(worded: Staged) -> None:
    source, made = worded
    module, model, rows = Words(), fitchain.load(made.folder), raw_rows(source)
    weights = fitchain.state_dict(made.folder)
    assert weights.keys() == module.state_dict().keys() == model.state_dict().keys()
    module.load_state_dict(weights)
    module.load_state_dict(model.state_dict())
    inputs = fitchain.preprocess(made.folder, rows)
    with torch.no_grad():
        assert torch.equal(module(*inputs), model(*inputs))
    assert len(list(model.parameters())) == len(list(module.parameters())) == 3
    assert weights["back.weight"] is weights["embed.weight"]


def test_a_loaded_model_trains_on_as_any_module(staged: Staged) -> None:
    source, made = staged
    model, rows = fitchain.load(made.folder), raw_rows(source)
    (x,) = model.preprocess(rows)
    target = torch.tensor([model.classes.index(row["stage"]) for row in rows])
    before, start = model.predict(rows), {name: value.clone() for name, value in model.state_dict().items()}
    twin = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.train().parameters(), 0.5)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), target)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] and model.training
    assert twin.predict(rows) == before
    assert all(torch.equal(value, start[name]) for name, value in twin.state_dict().items())
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - of our own
    assert again.predict(rows) == model.predict(rows) and model.double().predict(rows) == again.predict(rows)


def test_a_loaded_batch_norm_learns_and_keeps_its_statistics(tmp_path: Path) -> None:
    source = table_of(tmp_path)
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.3), nn.Linear(4, 3))
    terms, asked = ReadingTerms(target="stage", drop=("cost",)), {"inputs": [["age", "visits"]]}
    made = deliver(tmp_path, source, terms, net, {**asked, "loss": "cross_entropy"}, (Input("x", "F32", (2,)),))
    model = fitchain.load(made.folder)
    net.load_state_dict(fitchain.state_dict(made.folder))
    (x,) = model.preprocess(raw_rows(source))
    for mode in (True, False):
        torch.manual_seed(1)
        ours = model.train(mode)(x)
        torch.manual_seed(1)
        assert torch.equal(ours, net.train(mode)(x))
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in model.state_dict().items())


# What a folder must be


@pytest.mark.parametrize("name", ["model.safetensors", "certificate.json", "graph.json", "preprocessing.json"])
def test_a_delivery_that_lacks_a_file_or_has_anothers_is_refused(staged: Staged, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(staged[1].folder, tmp_path / "copy")
    data = (folder / name).read_bytes()
    (folder / name).unlink()
    with pytest.raises(NotFound, match=f"there is no {name}"):
        fitchain.load(folder)
    (folder / name).write_bytes(data[:-3] + b"0" + data[-2:])
    with pytest.raises((Refuted, InputRefused)):
        fitchain.load(folder)


def test_what_is_no_delivery_is_told_with_the_next_step(staged: Staged, tmp_path: Path) -> None:
    shutil.copytree(staged[1].folder, tmp_path / "result")
    with pytest.raises(NotFound, match="holds no delivery") as refused:
        fitchain.load(tmp_path)
    assert refused.value.hint == f"did you mean {tmp_path / 'result'}?"
    with pytest.raises(NotFound, match="there is no folder") as refused:
        fitchain.load(tmp_path / "reslt")
    assert "fitchain model fetch JOB --to" in refused.value.hint
    (tmp_path / "result/preprocessing.json").unlink()
    (tmp_path / "result/graph.json").unlink()
    with pytest.raises(NotFound, match=r"there is no graph.json and no preprocessing.json in"):
        fitchain.load(tmp_path / "result")


def test_a_delivery_is_copied_once_and_never_over_another(staged: Staged, tmp_path: Path) -> None:
    of = staged[1].folder
    delivered = fitchain.Delivery(of / "model.safetensors", of / "certificate.json")
    copied = delivered.copy_into(tmp_path / "to")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "to").iterdir()}
    assert delivered.copy_into(tmp_path / "to") == copied
    copied.graph.unlink()
    assert delivered.copy_into(tmp_path / "to").graph.is_file()
    assert all(path.stat().st_mtime_ns == at for path, at in before.items() if path != copied.graph)
    copied.certificate.write_bytes(b"{}")
    (tmp_path / "to/tokenizer.json").write_bytes(b"{}")
    copied.preprocessing.unlink()
    with pytest.raises(InputRefused, match=r"holds another delivery: certificate.json, tokenizer.json would be"):
        delivered.copy_into(tmp_path / "to")
    assert not copied.preprocessing.exists()
    with pytest.raises(InputRefused, match="is a file, and a delivery is a folder"):
        delivered.copy_into(copied.model)


def test_preprocessing_says_what_the_card_publishes_and_no_more(staged: Staged) -> None:
    made = staged[1]
    document = json.loads((made.folder / "preprocessing.json").read_bytes())
    metadata = read_safetensors(made.folder / "model.safetensors")[1]
    assert json.loads(metadata["preprocessing"]) == document and metadata["format"] == "pt"
    assert document["inputs"][0]["columns"][:2] == ["age", "age is missing"]
    assert document["columns"]["kind"]["categories"] == ["benign", "fibrous", "other"]
    age = made.card.transform["age"]
    assert document["columns"]["age"]["subtract"] == age["mean"] and document["columns"]["age"]["fill"] == age["fill"]
    assert document["target"]["classes"] == ["I", "II", "III"] and document["tokenizer"] is None
    published = json.dumps(made.card.json())
    numbers = {cell for column in document["columns"].values() for cell in column.values() if isinstance(cell, float)}
    assert all(json.dumps(number) in published for number in numbers - {0.0, 1.0})


def test_a_document_with_another_constant_is_refused_with_its_file(staged: Staged) -> None:
    made = staged[1]
    document = json.loads((made.folder / "preprocessing.json").read_bytes())
    document["columns"]["age"]["divide"] *= 2
    with pytest.raises(ClaimMismatch, match="follows from the certificate's recipe and card"):
        check_preprocessing(canonical_json(document), made.recipe, made.card)


def test_the_document_of_other_inputs_is_refused_where_the_graph_is_there(staged: Staged) -> None:
    made = staged[1]
    other = preprocessing_of(made.recipe, made.card, (Input("x", "I64", (8,)),))
    check_preprocessing(other, made.recipe, made.card)
    with pytest.raises(ClaimMismatch):
        check_preprocessing(other, made.recipe, made.card, (Input("x", "F32", (8,)),))


@pytest.mark.parametrize("is_long", [False, True], ids=["the document", "its digest"])
def test_a_file_that_names_other_inputs_than_the_graph_beside_it_is_refused(
    staged: Staged, tmp_path: Path, is_long: bool
) -> None:
    made = staged[1]
    folder = shutil.copytree(made.folder, tmp_path / "copy")
    statement = Statement.parse(unseal((folder / "certificate.json").read_bytes())[0])
    other = preprocessing_of(made.recipe, made.card, (Input("other", "F64", (8,)),))
    text = str(sha256(other)) if is_long else other.decode()
    model = folder / "model.safetensors"
    write_safetensors(model, read_safetensors(model)[0], {"preprocessing": text})
    with pytest.raises(ClaimMismatch, match="the preprocessing in the metadata of the model's file"):
        check_file(replace(statement, subject=sha256_file(model)), model)


def test_the_page_shows_what_runs(staged: Staged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, made = staged
    shutil.copytree(made.folder, tmp_path / "result")
    shutil.copyfile(source, tmp_path / "rows.csv")
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of((ROOT / "docs/using-a-model.md").read_text(), "python")
    *offline, verifying = blocks
    names: dict[str, Any] = {"Classifier": lambda: Linear(8, 3)}
    for block in offline:
        exec(block, names)  # noqa: S102 - of a page of ours
    assert len(names["scores"]) == len(raw_rows(source)) and "fitchain.verify(" in verifying
    # No chain has this certificate: what verifies is run where one has (`test_free_text_job`).
