"""What a model is worth afterwards: `fitchain.load` on raw rows gives what the owner's evaluation
counted, and its weights fit the module that was published."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fitchain
from fitchain.pod.compute.dataset import ReadingTerms
from fitchain.pod.values.graph import Input
from fitchain.pod.values.held_out import Classes
from tests.delivered_models import DeliveredModel, deliver

NUMBERS = np.random.default_rng(4)


class Mixed(nn.Module):
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
def staged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DeliveredModel]:
    """A classification with a column of each kind."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("staged")
    source = table_of(folder)
    terms = ReadingTerms(target="stage", drop=("cost",))
    inputs = (Input("x", "F32", (8,)),)
    asked = {"inputs": [["age", "age is missing", "visits", "kind", "smokes", "day"]], "loss": "cross_entropy"}
    return source, deliver(folder, source, terms, Mixed(8, 3), inputs, asked)


def raw_rows(source: Path) -> list[dict[str, str]]:
    with source.open(newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_of_raw_rows_are_those_that_the_certificate_counts(staged: tuple[Path, DeliveredModel]) -> None:
    source, made = staged
    rows = [raw_rows(source)[place] for place in made.rows.tolist()]
    model = fitchain.load(made.folder)
    outcome = made.result.outcome
    assert isinstance(outcome, Classes) and model.classes == ["I", "II", "III"]
    counts = Counter(zip((row["stage"] for row in rows), model.predict(rows), strict=True))
    confusion = tuple(counts[true, taken] for true in model.classes for taken in model.classes)
    assert confusion == outcome.confusion and len(rows) == made.result.records
