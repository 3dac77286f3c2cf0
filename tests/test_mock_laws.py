"""Laws of mock data: they end, are finite, stay within what the card says, have every class,
category and code, follow from the card and from no record, and repeat none."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from fitchain.pod.compute.dataset import Card, Kind, Table, Task, assemble, mock_table, register
from fitchain.pod.compute.dataset.concerns import Rule, concerns_of
from fitchain.pod.jobs.worker.job import Job
from fitchain.pod.jobs.worker.task import Rehearse
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe import Choice
from tests.made_tables import Writing, made_table, write_csv
from tests.training_jobs import job_folder, recipe, task_in
from tests.training_jobs import table as training_table

KEY = bytes(range(32))
SEEDS = [
    pytest.param(range(80), id="some"),
    pytest.param(range(80, 1080), id="a thousand", marks=pytest.mark.long),
]
COUNT = 48


def require_lawful(card: Card, table: Table, mock: Table, what: Any) -> None:
    """What every reader of a card may rely on."""
    assert mock.mock and mock.columns == table.columns and mock.count >= COUNT, what
    for column in card.columns:
        cells, real = mock.arrays[column.name], table.arrays[column.name]
        assert cells.dtype == real.dtype and cells.shape[1:] == real.shape[1:], what
        constants = card.transform.get(column.name, {})
        gone = mock.arrays.get(f"{column.name} is missing")
        present = cells if gone is None else cells[~gone]
        if gone is not None:
            assert gone.any() and not gone.all(), (what, column.name)
        if categories := constants.get("categories"):
            values = range(len(categories)) if isinstance(categories[0], str) else categories
            assert set(cells.tolist()) == set(values) and cells[0] == values[-1], (what, column.name)
        elif column.kind not in (Kind.BOOLEAN, Kind.MISSING):
            numbers = present.astype(np.float64)
            assert np.isfinite(numbers).all(), (what, column.name)
            if "low" in constants:
                low, high = constants["low"], constants["high"]
            elif constants and (constants["mean"], constants["scale"]) != (0, 1):
                beside = 2 * constants["scale"] + abs(constants["mean"]) * 1e-6
                low, high = constants["mean"] - beside, constants["mean"] + beside
            else:
                there = table.arrays.get(f"{column.name} is missing", np.zeros(table.count, np.bool_))
                least, largest = float(real[~there].min()), float(real[~there].max())
                beside = max(1.0, abs(least), abs(largest)) * 9.0  # a digit more
                low, high = least - beside, largest + beside
            if column.integral:
                low, high = np.ceil(low) - 1, np.floor(high) + 1
            assert low <= numbers.min() and numbers.max() <= high, (what, column.name, low, high)
    if any(column.dtype.startswith("float") for column in table.columns):
        real_records = {bytes(record) for record in table.records()}
        assert not real_records & {bytes(record) for record in mock.records()}, what


@pytest.mark.parametrize("seeds", SEEDS)
def test_mock_data_of_made_tables_keep_the_laws(tmp_path: Path, seeds: range) -> None:
    refused = 0
    for seed in seeds:
        random = Random(seed)
        made = made_table(random, may_be_spoilt=False)
        write_csv(tmp_path / "t.csv", made, Writing())
        table = Table.read(tmp_path / "t.csv", None, Writing().dialect)
        try:
            card = register(table, KEY, "x", transform=random.choice(["standard", "none"])).card
        except InputRefused as no:
            assert "too large for their mean and deviation" in no.message, (seed, no)
            refused += 1
            continue
        require_lawful(Card.parse(card.encode()), table, mock_table(card, table, COUNT, KEY), seed)
    assert refused < len(seeds) / 3


RANDOM = np.random.default_rng(0)
COLUMNS = {
    "denormals": np.array([5e-324, 0.0, 1e-310, 3e-320] * 10),
    "tiny": 1e-200 * np.arange(40),
    "one digit beyond 2**53": np.full(40, 1e20),
    "largest": np.full(40, 1.7976931348623157e308),
    "least": np.full(40, -1.7976931348623157e308),
    "constant zero": np.zeros(40),
    "both signs": np.array([-1.0, 1.0] * 20),
    "far from zero": 1.7e12 + np.arange(40.0),
    "float32 dense": np.nextafter(np.float32(1), np.float32(2)) + np.arange(40, dtype=np.float32) * np.float32(2**-23),
    "float32 largest": np.full(40, np.finfo(np.float32).max, np.float32),
    "float32 beyond 2**24": np.full(40, np.float32(2**25), np.float32),
    "int64 extremes": np.array([-(2**63), 2**63 - 1] * 20),
    "uint64 extremes": np.array([0, 2**64 - 1] * 20, np.uint64),
    "int8": np.arange(-20, 20, dtype=np.int8),
    "one": np.ones(40, np.int64),
    "truth": np.array([True, False] * 20),
    "all true": np.ones(40, np.bool_),
    "images": RANDOM.random((40, 3, 4)).astype(np.float32),
    "tokens": RANDOM.integers(0, 1000, (40, 8)),
}


TOO_LARGE = ("largest", "least")
"""Of these no mean is a double."""


@pytest.mark.parametrize("transform", ["standard", "none"])
@pytest.mark.parametrize("name", COLUMNS)
def test_mock_data_of_any_column_keep_the_laws(name: str, transform: str) -> None:
    table = Table.of({"x": COLUMNS[name], "y": np.arange(40) % 3}, target="y")
    if name in TOO_LARGE and transform == "standard":
        with pytest.raises(InputRefused, match="too large for their mean and deviation"):
            register(table, KEY, "x", transform=transform)
        return
    card = register(table, KEY, "x", transform=transform).card
    mock = mock_table(card, table, COUNT, KEY)
    require_lawful(card, table, mock, name)
    if table.column("x").shape and table.column("x").integral:
        assert mock.arrays["x"][0].max() == COLUMNS[name].max()


@pytest.mark.parametrize("name", COLUMNS)
def test_mock_data_follow_from_the_card_and_no_record(name: str) -> None:
    """Records in another order, or each of them twice, have the same mock data."""
    table = Table.of({"x": COLUMNS[name], "y": np.arange(40) % 3}, target="y")
    for transform in ("none",) if name in TOO_LARGE else ("standard", "none"):
        card = register(table, KEY, "x", transform=transform).card
        drawn = [
            mock_table(
                card, replace(table, arrays={name: array[rows] for name, array in table.arrays.items()}), COUNT, KEY
            )
            for rows in (np.arange(40), RANDOM.permutation(40), np.arange(80) % 40)
        ]
        for mock in drawn[1:]:
            assert all((mock.arrays[each] == drawn[0].arrays[each]).all() for each in mock.arrays)


def test_mock_data_say_of_a_standardised_column_no_more_than_its_card_and_sign() -> None:
    """Other records of the same mean and deviation have the same mock data, though none of their
    numbers is the same."""
    one = np.concatenate([np.full(20, 10.0), np.full(20, 20.0)])
    other = 15 + 5 * np.sqrt(2) * np.array([-1, 0, 0, 1] * 10)
    tables = [Table.of({"x": cells, "y": np.arange(40) % 2}, target="y") for cells in (one, other)]
    card = register(tables[0], KEY, "x").card
    first, second = (mock_table(card, table, COUNT, KEY).arrays["x"] for table in tables)
    assert (first == second).all()


@pytest.mark.parametrize("count", [1, 2, 48])
def test_more_classes_than_mock_records_are_asked_for_are_all_there(count: int) -> None:
    codes = np.arange(600) % 300
    table = Table.of(
        {"c": codes, "y": np.arange(600) % 150},
        "y",
        task=Task.CLASSIFICATION,
        categories={"c": tuple(f"{n:03}" for n in range(300))},
    )
    card = register(table, KEY, "x").card
    mock = mock_table(card, table, count, KEY)
    assert mock.count == 300
    assert set(mock.arrays["c"].tolist()) == set(range(300)) and set(mock.arrays["y"].tolist()) == set(range(150))


class Plan:
    """What assembling reads of a recipe."""

    def __init__(self, card: Card) -> None:
        self.inputs = (("c",),)
        self.target, self.loss, self.privacy = "y", Choice("cross_entropy", {}), None
        self.transform = card.transform


def test_the_first_mock_record_is_of_the_last_class_and_the_last_code() -> None:
    """A head one class short, and a vocabulary one code short, fail in a rehearsal's first step."""
    table = Table.of(
        {"c": np.arange(400) % 90, "y": np.arange(400) % 40}, "y", categories={"c": tuple(f"{n:02}" for n in range(90))}
    )
    card = register(table, KEY, "x").card
    plan: Any = Plan(card)
    mock = mock_table(card, table, 256, KEY)
    (codes,), classes = assemble(plan, mock, ["int64"])(np.arange(1, dtype=np.uint64))
    assert (codes[0, 0], classes[0]) == (89, 39)


# What is refused unless its owner insists


def rules(table: Table, **how: Any) -> set[Rule]:
    return {concern.rule for concern in concerns_of(table, dict(register(table, KEY, "x", **how).card.transform))}


def classes(*counts: int) -> Table:
    """A table of so many records of each class."""
    cells = np.repeat(np.arange(len(counts)), counts)
    return Table.of({"x": np.zeros(len(cells)), "y": cells}, target="y", task=Task.CLASSIFICATION)


@pytest.mark.parametrize(
    ("table", "broken"),
    [
        (classes(10, 10), set()),
        (classes(10, 9), {Rule.FEW_RECORDS}),
        (classes(5, 20), set()),
        (classes(4, 20), {Rule.RARE_CLASSES}),
        (classes(*[5] * 100), set()),
        (classes(*[50] * 101), {Rule.MANY_CLASSES}),
        (classes(1, *[4] * 10), {Rule.MANY_CLASSES, Rule.RARE_CLASSES}),
        (classes(4, *[50] * 100), {Rule.MANY_CLASSES, Rule.RARE_CLASSES}),  # who insists on many has not on these
    ],
)
def test_what_makes_few_people_public_is_a_concern(table: Table, broken: set[Rule]) -> None:
    assert rules(table) == broken


def test_names_are_a_concern_in_any_column(tmp_path: Path) -> None:
    lines = ["name,age,y", *(f"person {n},{20 + n % 7},{n % 2}" for n in range(60))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert {Rule.DIFFERING, Rule.MANY_CLASSES} <= rules(Table.read(tmp_path / "t.csv"))
    holes = [line if n % 3 else f",{line.split(',', 1)[1]}" for n, line in enumerate(lines[1:])]
    (tmp_path / "t.csv").write_text("\n".join([lines[0], *holes]))
    assert {Rule.DIFFERING, Rule.MANY_CLASSES} <= rules(Table.read(tmp_path / "t.csv"))


def test_a_category_for_missing_cells_is_nobodys(tmp_path: Path) -> None:
    lines = ["stage,y", *(f"{'I' if n else ''},{n % 2}" for n in range(60))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert rules(Table.read(tmp_path / "t.csv")) == set()


def test_statistics_of_few_records_that_are_there_are_ranges(tmp_path: Path) -> None:
    """How many records there are in all says nothing of how many have a value."""
    lines = ["x,y", *(f"{n * 1.37 if n < 19 else ''},{n % 2}" for n in range(400))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    constants = register(Table.read(tmp_path / "t.csv"), KEY, "x").card.transform["x"]
    assert (constants["low"], constants["high"]) == (0.0, 30.0)


# What a rehearsal meets


def test_a_rehearsal_takes_mock_records_in_turn(tmp_path: Path) -> None:
    """Chance decides which records a training's first batches have, and not which mock records."""
    agreed = recipe()
    folder = job_folder(tmp_path / "job", agreed, Rehearse.mode, training_table(40))
    task = task_in(folder)
    assert isinstance(task, Rehearse)
    job = Job.open(folder, task, agreed)
    for start in (0, 3):
        taken = [batch.tolist() for batch in islice(job.batches(start), 4)]
        first = start * agreed.batch_size
        count = sum(map(len, taken))
        assert list(chain.from_iterable(taken)) == [number % 40 for number in range(first, first + count)]
