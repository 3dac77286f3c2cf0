"""All that a card says of the records is shown before anything is published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from fitchain.cli.views.output import print_views
from fitchain.cli.views.publication import publication_views
from fitchain.pod.compute.dataset import (
    Policy,
    ReadingTerms,
    Table,
    find_groups,
    fit_transform,
    mock_ranges,
    mock_table,
    register,
)
from fitchain.pod.parties.owner import DatasetOffer, PreparedDataset
from fitchain.pod.values.categories import category_texts
from fitchain.pod.values.errors import InputRefused
from tests.made_tables import Writing, made_table, write_csv

KEY = bytes(range(32))
OF_RECORDS = ("columns", "count", "target", "task", "transform", "unit", "subgroups")
"""Fields of a card that follow from the records; `root`, `mock` and `probes` are digests."""


def prepared_of(table: Table, transform: str = "standard", **offer: Any) -> PreparedDataset:
    """A table that was looked at, as a command does it before it asks."""
    given: dict[str, Any] = {"name": "x", "target": table.target or "", "policy": Policy()} | offer
    how = DatasetOffer("t.csv", transform=transform, **given)
    constants = fit_transform(
        table, transform, how.ranges, None, [n for n, is_input in how.subgroups.items() if not is_input]
    )
    groups = find_groups(table, how.subgroups)
    return PreparedDataset(how, table, constants, None, None, 0, (), groups, mock_ranges(table, constants, groups))


def shown(prepared: PreparedDataset, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    print_views(publication_views(prepared, None, "nobody"), stderr=True)
    return " ".join(capsys.readouterr().err.split())


def leaves(value: Any) -> Iterator[Any]:
    """Every text and number in a JSON value, and the names of what it has of columns."""
    if isinstance(value, dict):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    elif value is not None and not isinstance(value, bool):
        yield value


def told(leaf: Any) -> str:
    """A value as it is printed, its blanks single ones."""
    text = "(missing)" if leaf == "" else str(leaf)
    return " ".join("".join(each if each.isprintable() else ascii(each)[1:-1] for each in text).split())


@pytest.mark.parametrize("seeds", [range(40)])
def test_each_value_of_the_card_that_follows_from_the_records_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seeds: range
) -> None:
    for seed in seeds:
        random = Random(seed)
        made = made_table(random, may_be_spoilt=False)
        write_csv(tmp_path / "t.csv", made, Writing())
        complete = [column.name for column in made.columns if None not in column.values]
        terms = ReadingTerms(target=random.choice(complete)) if complete else None
        table = Table.read(tmp_path / "t.csv", terms, Writing().dialect)
        transform = random.choice(["standard", "none"])
        try:
            prepared = prepared_of(table, transform)
        except InputRefused as no:
            assert "too large" in str(no) or "no categories" in str(no), (seed, no)
            continue
        card = register(table, KEY, "x", transform=transform).card.json()
        text = shown(prepared, capsys)
        hidden = ("dtype", "shape")  # they say how a kind is kept
        for field in OF_RECORDS:
            value = card[field]
            if field == "columns":
                value = [{key: each[key] for key in each if key not in hidden} for each in value]
            for leaf in leaves(value):
                (listed,) = category_texts([leaf])
                assert told(leaf) in text or told(listed) in text or leaf == "", (seed, field, leaf)


def test_what_mock_data_tell_beside_the_card_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    rows = 40
    table = Table.of(
        {"counts": np.arange(rows) % 7, "tokens": np.arange(rows * 2).reshape(rows, 2), "y": np.arange(rows) % 2}, "y"
    )
    text = shown(prepared_of(table, "none"), capsys)
    assert "mock data from 0.0 to 6.0" in text and "mock data from 0.0 to 79.0" in text
    assert "mock data from" not in shown(
        prepared_of(table, "none", ranges={"counts": (0, 9), "tokens": (0, 99)}), capsys
    )
    card = register(table, KEY, "x", transform="none").card
    ranges = mock_ranges(table, card.transform)
    mock = mock_table(card, table, 64, KEY)
    for name, (low, high) in ranges.items():
        assert low <= mock.arrays[name].min() and mock.arrays[name].max() <= high


def test_every_name_is_shown_where_there_are_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"person {number}" for number in range(1046)]
    (tmp_path / "t.csv").write_text("\n".join(["name,age", *(f"{name},{40 + len(name)}" for name in names)]))
    text = shown(prepared_of(Table.read(tmp_path / "t.csv", ReadingTerms(target="name"))), capsys)
    assert "1046 categories" in text and all(name in text for name in names)


def test_groups_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["site,x,y", *(f"{'north' if n % 2 else 'south'},{n},{n // 2 % 2}" for n in range(100))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    prepared = prepared_of(Table.read(tmp_path / "t.csv", ReadingTerms(target="y")), subgroups={"site": False})
    assert "site: north, south" in shown(prepared, capsys)


def test_what_is_asked_of_jobs_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    policy = Policy(minimum_price=5 * 10**18, minimum_batch=16, held_out=0.25)
    table = Table.of({"x": np.arange(40.0), "y": np.arange(40) % 2}, target="y")
    page = shown(prepared_of(table, policy=policy), capsys)
    assert "at least 5 FIT, batches of 16 or more, 25% of the records or more held out" in page
