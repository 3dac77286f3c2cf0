"""The law of all that is read: a registered value prints back to the cell's value, or the cell is
refused."""

from __future__ import annotations

import csv
import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitchain.pod.compute.dataset import Kind, ReadingTerms, Table, cells
from fitchain.pod.values.errors import InputRefused
from tests.speeds import examples

DIGITS = st.text("0123456789", min_size=1, max_size=24)
SIGNS = st.sampled_from(["", "-", "+"])
EXPONENTS = st.one_of(st.just(""), st.integers(-340, 320).map(lambda power: f"e{power}"))
DECIMALS = st.tuples(SIGNS, DIGITS, st.one_of(st.just(""), DIGITS.map(lambda digits: f".{digits}")), EXPONENTS).map(
    "".join
)


def column(folder: Path, texts: list[str], **terms: Any) -> Table:
    """A table of one column `x` beside a number, read as it was said."""
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "other"])
        writer.writerows((text, 0.5) for text in texts)
    return Table.read(folder / "t.csv", ReadingTerms(**terms))


def printed(table: Table, digits: int) -> Decimal:
    """The first cell of `x` as a decimal number of so many digits."""
    value = table.arrays["x"][0]
    return Decimal(int(value)) if table.column("x").integral else Decimal(f"{float(value):.{max(digits, 1) - 1}e}")


@settings(max_examples=examples(400))
@given(DECIMALS)
def test_numbers_print_back_or_are_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    exact = Decimal(text)
    try:
        table = column(tmp_path_factory.mktemp("t"), [text])
    except InputRefused:
        return
    if table.column("x").kind is Kind.CATEGORY:  # of more digits than any number has
        assert table.categories["x"] == (text,)
        return
    digits = len(exact.normalize().as_tuple().digits)
    assert printed(table, digits) == exact if digits <= 17 else Decimal(float(table.arrays["x"][0])) == exact


@settings(max_examples=examples(100))
@given(st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=5))
def test_whole_numbers_stay_whole(tmp_path_factory: pytest.TempPathFactory, numbers: list[int]) -> None:
    table = column(tmp_path_factory.mktemp("t"), [str(number) for number in numbers])
    assert (table.column("x").dtype, table.arrays["x"].tolist()) == ("int64", numbers)


@settings(max_examples=examples(100))
@given(st.lists(st.datetimes(), min_size=1, max_size=4))
def test_times_print_back(tmp_path_factory: pytest.TempPathFactory, times: list[datetime.datetime]) -> None:
    table = column(tmp_path_factory.mktemp("t"), [time.isoformat(" ") for time in times])
    unit = cells.unit_of(table.column("x").unit)
    counts = table.arrays["x"].astype(f"datetime64[{'D' if unit == 'days' else cells.TIME_UNITS[unit]}]")
    assert (table.column("x").kind, counts.astype("datetime64[us]").tolist()) == (Kind.TIME, times)


@settings(max_examples=examples(100))
@given(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=6), min_size=2))
def test_categories_print_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    kept = [text.strip() for text in texts]
    table = column(tmp_path_factory.mktemp("t"), texts, kinds={"x": Kind.CATEGORY}, keep=tuple(kept))
    assert [table.categories["x"][code] for code in table.arrays["x"].tolist()] == kept


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("0.1", Kind.NUMBER, 0.1),
        ("0.10000000000000001", Kind.NUMBER, 0.1),
        ("1e3", Kind.NUMBER, 1000.0),
        ("4.940656e-324", Kind.NUMBER, 5e-324),
        ("0.50000000000000000000", Kind.NUMBER, 0.5),
        (" 12 ", Kind.WHOLE, 12),
        ("-0", Kind.WHOLE, 0),
        ("0", Kind.WHOLE, 0),
        ("TRUE", Kind.BOOLEAN, True),
        ("2026-11-27", Kind.TIME, 20784),
        ("2026-11-27T00:00:01+01:00", Kind.TIME, 1795734001 - 7200 + 3600),
    ],
)
def test_a_cell_is_what_it_says(tmp_path: Path, text: str, kind: Kind, value: Any) -> None:
    table = column(tmp_path, [text])
    if kind is Kind.TIME and "T" in text:
        value = int(datetime.datetime.fromisoformat(text).timestamp())
    assert (table.column("x").kind, table.arrays["x"].tolist()) == (kind, [value])


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["9007199254740993"], r"whole numbers beyond 2\*\*53"),
        (["1700000000000000001"], r"whole numbers beyond 2\*\*53"),
        (["1", "007"], "a number with leading zeros is a code, and 007 is not 7"),
        (["1", "01E5"], "a number with leading zeros is a code"),
        (["0.1234567890123456789"], "does not hold all digits"),
        (["1e-400"], "does not hold all digits"),
        (["1", "2", "1,234.5"], "line 4, column 'x': the cell is a number that is written in another way"),
        (["1", "2", "12a"], "line 4, column 'x': the cell is a text, and most are numbers"),
        (["2026-11-27T10:00", "2026-11-27T10:00Z"], "some times say their offset"),
        (["", "NA"], "no record has a value"),
    ],
)
def test_what_would_be_lost_is_refused(tmp_path: Path, texts: list[str], reason: str) -> None:
    with pytest.raises(InputRefused, match=reason):
        column(tmp_path, texts)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1.234,56",
            "1,234.50",
            "1 234",
            "1\u202f234",
            "1'234",
            "1\u2019234",
            "1,5",
            "12%",
            "12 %",
            "$5",
            "\u20ac 5",
            "5 \u20ac",
        ),
        *(
            "\uff11\uff12",
            "\u0663",
            "\u22125",
            "\u200b5",
            "1.8e308",
            "1e9999",
            "03/04/2021",
            "3.4.2021",
            "2021-3-4",
            "2021/03/04",
        ),
        *("4-Mar-2021", "2021-02-30", "2021-03-04T24:00", "2016-12-31T23:59:60Z", "2021-03-04T10:00+25:00", "001.1"),
        *("1e-9999999999999999999", "0.1111111111111111111"),
    ],
)
def test_numbers_and_times_in_other_writing_are_refused_until_it_is_said(tmp_path: Path, text: str) -> None:
    """Taken for texts, amounts would become as many categories as there are amounts, without a
    word."""
    for strays in ([text] * 3, ["7", "8", text], [text, text, "x"]):
        with pytest.raises(InputRefused, match="column 'x'"):
            column(tmp_path, strays)
    said = column(tmp_path, [text, text], kinds={"x": Kind.CATEGORY})
    assert said.categories["x"] == (text,)


@pytest.mark.parametrize("text", ["ja", "E10", "MARCH1", "0x1F", "1d5", "10:30", "1/2", "12a", "1_000", "inf"])
def test_other_texts_are_categories(tmp_path: Path, text: str) -> None:
    assert column(tmp_path, [text, "b"]).categories["x"] == tuple(sorted((text, "b")))


def test_categories_that_look_alike_are_refused(tmp_path: Path) -> None:
    for one, other in (("\u00dcbel", "U\u0308bel"), ("a b", "a\u00a0b"), ("a", "a\u200b")):
        with pytest.raises(InputRefused, match="1 of its categories can not be told from another"):
            column(tmp_path, [one, other])


def test_all_bad_cells_are_told_at_once_and_none_is_shown(tmp_path: Path) -> None:
    rows = "".join(f"{number},{number}.5,ok{number % 2}\n" for number in range(40))
    (tmp_path / "t.csv").write_text("a,b,c\n" + rows + "secret,1.5,ok0\n3,hidden,ok0\n4,hidden,ok1\n")
    with pytest.raises(InputRefused) as caught:
        Table.read(tmp_path / "t.csv")
    assert "line 42, column 'a'" in caught.value.message and "lines 43 and 44, column 'b'" in caught.value.message
    assert "secret" not in str(caught.value) and "hidden" not in str(caught.value)


@pytest.mark.parametrize("marker", ["", "NA", "#N/A", "\\N", ".", "<NA>", "(null)", "NaT", "?", "-"])
def test_markers_of_tools_are_missing_cells(tmp_path: Path, marker: str) -> None:
    table = column(tmp_path, ["1.5", marker, "2.5"])
    assert table.arrays["x"].tolist() == [1.5, 0.0, 2.5]
    assert table.arrays["x is missing"].tolist() == [False, True, False]


def test_what_means_missing_is_said(tmp_path: Path) -> None:
    assert column(tmp_path, ["1", "-999", "3"], missing=("-999",)).arrays["x is missing"].tolist() == [0, 1, 0]
    kept = column(tmp_path, ["DE", "NA", "NA"], keep=("NA",), kinds={"x": Kind.CATEGORY})
    assert kept.categories["x"] == ("DE", "NA")
    gone = column(tmp_path, ["DE", "NA", "NA"], kinds={"x": Kind.CATEGORY})
    assert (gone.categories["x"], gone.arrays["x"].tolist()) == (("", "DE"), [1, 0, 0])


def test_a_marker_that_is_a_number_means_all_that_are_equal(tmp_path: Path) -> None:
    read = column(tmp_path, ["1.5", "-999", "-999.0", "-9.99e2", "3"], missing=("-999",))
    assert read.arrays["x is missing"].tolist() == [0, 1, 1, 1, 0]
    markers = frozenset(["-999", "9"])
    assert cells.missing(["-999,0", "1,5", "-999"], markers, comma=True) == [0, 2]
    assert cells.missing(["009", "9", "90"], markers) == [1]


def test_a_marker_that_no_cell_has_is_told(tmp_path: Path) -> None:
    read = column(tmp_path, ["1", "-99", "3"], missing=("-99", "-999", "n.d."))
    assert read.reading is not None
    assert [note for note in read.reading.schema.notes if "no cell is" in note] == [
        "no cell is '-999', which is said to mean a missing one",
        "no cell is 'n.d.', which is said to mean a missing one",
    ]


def test_a_targets_missing_cell_is_refused_with_its_marker(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"line 3, column 'x': the cell is missing .'None'.") as caught:
        column(tmp_path, ["Mild", "None", "Severe"], target="x")
    assert "--keep 'None'" in caught.value.hint
    assert column(tmp_path, ["Mild", "None"], target="x", keep=("none",)).categories["x"] == ("Mild", "None")


def test_times_far_from_their_epoch_keep_their_digits() -> None:
    counts = cells.as_times(["2026-11-27T10:00:00.000000001", "2026-11-27T10:00:00.000000002"], "nanoseconds")
    assert counts is not None and int(np.diff(counts)[0]) == 1


def test_json_lines_keep_numbers_as_they_are_written(tmp_path: Path) -> None:
    lines = [
        '{"a": 1, "b": 0.1, "c": true, "d": "x"}',
        '{"a": 20, "b": null, "c": false, "d": "y"}',
        "",
        '{"a": 3, "c": true, "d": "x"}',
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    table = Table.read(tmp_path / "t.jsonl", ReadingTerms(target="d"))
    assert [str(each.kind) for each in table.columns] == ["whole", "number", "missing", "boolean", "category"]
    assert (table.arrays["a"].tolist(), table.arrays["b is missing"].tolist()) == ([1, 20, 3], [False, True, True])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": 9007199254740993}', r"whole numbers beyond 2\*\*53"),
        ('{"a": [1]}', "line 1, column 'a': the cell is a list or an object"),
        ('{"a": "\\ud83d"}', "line 1, column 'a': the cell holds half of a character"),
        ('{"a": 1, "a": 2}', "line 1: a key stands twice"),
        ("[1]", "line 1 is no object"),
        ("{" * 100_000, "line 1 is no JSON"),
        ('{"a": 1e999, "b": 1}', "line 1, column 'a': the cell is a number that is written in another way, or too"),
    ],
)
def test_json_lines_that_cannot_be_read_are_refused(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "t.jsonl").write_text(line)
    with pytest.raises(InputRefused, match=reason):
        Table.read(tmp_path / "t.jsonl")


def test_a_number_of_a_column_of_times_is_a_moment() -> None:
    assert cells.moment_text(-20752.84, "days since 1970-01-01") == "1913-03-08"
    assert cells.moment_text(1770150559000000.0, "microseconds since 1970-01-01") == "2026-02-03T20:29:19.000000"
