"""Tables as hospitals and banks have them: each kind of trouble that was met once, and its
neighbours, read as it is meant or refused with the next step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fitchain.cli.table_options import categories_of
from fitchain.pod.compute.dataset import (
    Card,
    CsvDialect,
    Kind,
    ReadingTerms,
    Table,
    Task,
    assemble,
    fit_transform,
    mock_table,
    register,
)
from fitchain.pod.values.errors import InputRefused

KEY = bytes(range(32))
ROWS = 40


def written(folder: Path, header: str, *rows: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes("\n".join([header, *rows, ""]).encode(encoding))
    return path


def numbered(form: str, rows: int = ROWS) -> list[str]:
    """Rows `form` with `{n}` and `{b}`, a number and a bit."""
    return [form.format(n=number, b=number % 2) for number in range(rows)]


# Headers


def test_columns_without_a_name_or_with_anothers_are_dropped_by_their_place(tmp_path: Path) -> None:
    path = written(tmp_path, ",id,id,age,outcome", *numbered("{n},1,2,{n}.5,{b}"))
    with pytest.raises(InputRefused, match="column 1 has no name") as no:
        Table.read(path)
    assert "--drop '#1'" in no.value.hint
    table = Table.read(path, ReadingTerms(drop=("#1", "id"), target="outcome"))
    assert [column.name for column in table.columns] == ["age", "outcome"]
    one = Table.read(path, ReadingTerms(drop=("#1", "#3"), target="outcome"))
    assert [column.name for column in one.columns] == ["id", "age", "outcome"] and one.arrays["id"][0] == 1


@pytest.mark.parametrize(
    ("written_name", "name"),
    [("blood\u00a0pressure", "blood pressure"), ('"Age\n(years)"', "Age (years)"), ("U\u0308berlebt", "Überlebt")],
)
def test_names_are_known_as_people_type_them(tmp_path: Path, written_name: str, name: str) -> None:
    path = written(tmp_path, f"x,{written_name}", *numbered("{n}.5,{b}"))
    assert Table.read(path, ReadingTerms(target=name)).target == name


@pytest.mark.long
def test_many_columns_count_only_where_they_are_wanted(tmp_path: Path) -> None:
    names = [f"g{number}" for number in range(12_000)]
    path = written(tmp_path, ",".join([*names, "outcome"]), *numbered(",".join(["1.5"] * 12_000) + ",{b}", 3))
    with pytest.raises(InputRefused, match="the table has 12001 columns and the limit is 10000"):
        Table.read(path)
    assert len(Table.read(path, ReadingTerms(drop=tuple(names[:11_000]))).columns) == 1001


# How a file is written


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(("delimiter", "word"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_separators_and_encodings_are_seen(tmp_path: Path, delimiter: str, word: str, encoding: str) -> None:
    header, rows = delimiter.join(("alter", "crp", "sepsis")), numbered("{n};{n}.25;{b}")
    path = written(tmp_path, header, *(row.replace(";", delimiter) for row in rows), encoding=encoding)
    table = Table.read(path, ReadingTerms(target="sepsis"))
    assert table.arrays["crp"].tolist()[:3] == [0.25, 1.25, 2.25]
    assert table.reading is not None and isinstance(table.reading.dialect, CsvDialect)
    assert table.reading.dialect.delimiter == word


def test_decimal_commas_are_seen_and_can_be_said(tmp_path: Path) -> None:
    path = written(tmp_path, "Alter (Jahre, gerundet);CRP;Sepsis", *numbered("{n};{n},25;{b}"))
    assert Table.read(path).arrays["CRP"].tolist()[:2] == [0.25, 1.25]
    with pytest.raises(InputRefused, match="line"):
        Table.read(path, ReadingTerms(kinds={"CRP": Kind.NUMBER}), CsvDialect(decimal="point"))


@pytest.mark.parametrize("number", ["1,234", "12,500", "1.234"])
def test_three_digits_after_each_sign_may_be_thousands(tmp_path: Path, number: str) -> None:
    """Read one way or the other, all of a column would be a thousand times too large or small."""
    path = written(tmp_path, "crp;sepsis", *(f"{number};{n % 2}" for n in range(ROWS)))
    with pytest.raises(InputRefused, match="may part decimals, or thousands") as no:
        Table.read(path)
    assert "--decimal comma or --decimal point" in no.value.hint
    sign = "comma" if "," in number else "point"
    assert Table.read(path, None, CsvDialect(decimal=sign)).arrays["crp"][0] == float(number.replace(",", "."))
    with pytest.raises(InputRefused, match="written in another way"):
        Table.read(path, None, CsvDialect(decimal="point" if sign == "comma" else "comma"))


def test_thousands_may_come_after_the_lines_that_are_sniffed(tmp_path: Path) -> None:
    rows = numbered("{n};{b}", 60)
    path = written(tmp_path, "charges;sepsis", *rows, "1.234;1")
    with pytest.raises(InputRefused, match="line 62: the point in its numbers may part decimals, or thousands"):
        Table.read(path)
    assert Table.read(path, None, CsvDialect(decimal="point")).arrays["charges"][-1] == 1.234
    told = Table.read(written(tmp_path, "charges;sepsis", *rows, "1.234;1", "1.5;0"))
    assert told.arrays["charges"][-2:].tolist() == [1.234, 1.5]


def test_a_target_of_decimal_commas_is_an_amount_or_a_class(tmp_path: Path) -> None:
    path = written(tmp_path, "age;crp;sepsis", *numbered("{n};{n},25;{b},0"))
    amount, classes = (Table.read(path, ReadingTerms(target=name)) for name in ("crp", "sepsis"))
    assert (amount.task, classes.task) == (Task.REGRESSION, Task.CLASSIFICATION)
    assert amount.arrays["crp"][:2].tolist() == [0.25, 1.25]


def test_a_decimal_comma_changes_no_category_and_takes_no_point(tmp_path: Path) -> None:
    path = written(tmp_path, "dose;crp;sepsis", *numbered("0,5;{n},25;{b}"))
    assert Table.read(path, ReadingTerms(kinds={"dose": Kind.CATEGORY})).categories["dose"] == ("0,5",)
    late = written(tmp_path, "crp;sepsis", *numbered("{n},25;{b}", 60), "1.234;1")
    with pytest.raises(InputRefused, match="line 62, column 'crp': the cell is a number that is written in another"):
        Table.read(late)


@pytest.mark.parametrize(
    ("header", "row", "reason"),
    [
        ("a,b;c", "1,2;3", "by the comma and by the semicolon"),
        ("a;b;c", "1;2;3;4", "there are not 3 cells, as the header has"),
        ("a,b,", "1,2,", "column 3 has no name"),
        ("# exported yesterday\na,b", "1,2", "line 1 has one cell, and line 2 is the first with 2"),
        ("Hearts\nof 2026\n\na,b", "1,2", "line 1 has one cell, and line 4 is the first with 2"),
        ("Hearts,,\n,,\na,b,c", "1,2,0", "line 1 has one cell, and line 3 is the first with 3"),
        ("a,b", "1,\x002", "line 2: the line holds a zero byte"),
        ("a,b", '1,"2', "line 3: a cell goes on after its closing quote"),
        ("a,b", '1,"2"\n3,"4', "a cell goes on after its closing quote"),
        ("a,b", "", "the table has no record"),
    ],
)
def test_files_that_may_be_read_in_two_ways_or_none_are_refused(
    tmp_path: Path, header: str, row: str, reason: str
) -> None:
    with pytest.raises(InputRefused, match=reason):
        Table.read(written(tmp_path, header, *([row] * 3)))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_three_ways_and_cells_hold_them(tmp_path: Path, end: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(end.join(["x,note,y", '1.5,"two\nlines",0', "", " 2.5 , b ,1", ""]).encode())
    table = Table.read(path)
    assert (table.arrays["x"].tolist(), table.categories["note"]) == ([1.5, 2.5], ("b", "two\nlines"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_excel_says_its_separator_in_a_first_line(tmp_path: Path, end: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(end.join(["sep=;", "alter;crp;sepsis", *numbered("{n};{n}.5;{b}"), ""]).encode())
    assert Table.read(path).count == ROWS


def test_categories_with_commas_are_named_between_quotes() -> None:
    assert categories_of(['stage="II, late", "II, early",I']) == {"stage": ("I", "II, early", "II, late")}


def test_dos_ends_a_file_with_a_character_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path, "alter,crp,sepsis\r", *numbered("{n},{n}.5,{b}\r"), "\x1a")
    assert Table.read(path).count == ROWS


def test_other_encodings_are_said(tmp_path: Path) -> None:
    path = written(tmp_path, "größe,outcome", *numbered("{n}.5,{b}"), encoding="cp1252")
    with pytest.raises(InputRefused, match="line 1: the text is not UTF-8") as no:
        Table.read(path)
    assert "--encoding cp1252" in no.value.hint
    assert Table.read(path, None, CsvDialect(encoding="cp1252")).columns[0].name == "größe"


@pytest.mark.parametrize(
    ("start", "what"),
    [(b"PK\x03\x04", "zip"), (b"\xd0\xcf\x11\xe0", "Excel"), (b"\x1f\x8b", "gzip"), (b"PAR1", "Parquet")],
)
def test_containers_are_called_by_their_name(tmp_path: Path, start: bytes, what: str) -> None:
    (tmp_path / "t.csv").write_bytes(start + bytes(64))
    with pytest.raises(InputRefused, match=what):
        Table.read(tmp_path / "t.csv")


def test_notes_that_are_dropped_may_be_long_and_quoted_in_their_way(tmp_path: Path) -> None:
    long = written(tmp_path, "age,note,outcome", *numbered('{n},"' + "word " * 40_000 + '",{b}', 3))
    assert Table.read(long, ReadingTerms(drop=("note",))).count == 3
    escaped = written(tmp_path, "age,note,outcome", *numbered('{n},"said \\"ok\\", left",{b}'), name="e.csv")
    with pytest.raises(InputRefused, match="line 2") as no:
        Table.read(escaped, ReadingTerms(drop=("note",)))
    assert "--escape" in no.value.hint
    assert Table.read(escaped, ReadingTerms(drop=("note",)), CsvDialect(escape=True)).count == ROWS


# Targets


def tables_of(target: list[str], folder: Path, **terms: Any) -> Table:
    return Table.read(
        written(folder, "x,y", *(f"{n}.5,{cell}" for n, cell in enumerate(target))), ReadingTerms(target="y", **terms)
    )


@pytest.mark.parametrize(
    ("target", "task", "kind"),
    [
        ([str(number % 2) for number in range(ROWS)], Task.CLASSIFICATION, Kind.WHOLE),
        ([str(number % 10) for number in range(ROWS)], Task.CLASSIFICATION, Kind.WHOLE),
        ([str(3000 + 1000 * number) for number in range(ROWS)], Task.REGRESSION, Kind.WHOLE),
        (["1", "2", "4", "90"] * 10, Task.REGRESSION, Kind.WHOLE),
        (["0.0", "1.0"] * 20, Task.CLASSIFICATION, Kind.NUMBER),
        (["0.5", "1.5"] * 20, Task.REGRESSION, Kind.NUMBER),
        (["007", "07", "7", "8"] * 10, Task.CLASSIFICATION, Kind.CATEGORY),
        (["250.83", "V57", "428", "E909"] * 10, Task.CLASSIFICATION, Kind.CATEGORY),
        (["true", "false"] * 20, Task.CLASSIFICATION, Kind.BOOLEAN),
    ],
)
def test_what_a_target_is_predicted_as_is_guessed_by_all_its_cells(
    tmp_path: Path, target: list[str], task: Task, kind: Kind
) -> None:
    table = tables_of(target, tmp_path)
    assert (table.task, table.column("y").kind) == (task, kind)


def test_the_guess_is_told_and_one_word_changes_it(tmp_path: Path) -> None:
    days = [str(1 + number % 8) for number in range(ROWS)]
    guessed = tables_of(days, tmp_path)
    assert guessed.reading is not None and "--task regression" in guessed.reading.schema.notes[0]
    assert tables_of(days, tmp_path, task=Task.REGRESSION).task is Task.REGRESSION
    many = tables_of([str(number % 102) for number in range(1020)], tmp_path, task=Task.CLASSIFICATION)
    assert len(fit_transform(many)["y"]["categories"]) == 102
    with pytest.raises(InputRefused, match="classes are at most 10000 whole numbers or texts"):
        tables_of(["0.5", "1.5"] * 20, tmp_path, task=Task.CLASSIFICATION)
    with pytest.raises(InputRefused, match="an amount is a number, and the target holds texts"):
        tables_of(["a", "b"] * 20, tmp_path, task=Task.REGRESSION)


def test_codes_that_float64_would_make_one_stay_apart(tmp_path: Path) -> None:
    table = tables_of(["9007199254740992", "9007199254740993"] * 20, tmp_path)
    card = register(table, KEY, "x").card
    assert Card.parse(card.encode()).categories == ("9007199254740992", "9007199254740993")
    with pytest.raises(InputRefused, match="an amount is a number"):
        tables_of(["9007199254740992", "9007199254740993"] * 20, tmp_path, task=Task.REGRESSION)


def test_labels_of_one_column_are_labels(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "t.npz",
        image=np.zeros((ROWS, 2, 2), np.float16),
        label=(np.arange(ROWS) % 3)[:, None].astype(np.uint8),
    )
    table = Table.read(tmp_path / "t.npz", ReadingTerms(target="label"))
    assert (table.column("label").shape, table.task) == ((), Task.CLASSIFICATION)
    assert table.arrays["image"].dtype == np.float32


# Statistics and mock data


def test_a_constant_column_is_not_blown_up(tmp_path: Path) -> None:
    for constant in (14.62, 0.1, 1e20, -3.3e-7, 1e300):
        constants = fit_transform(Table.of({"x": np.full(1000, constant)}))["x"]
        assert constants["scale"] == 1.0 and abs(constants["mean"] - constant) <= 1e-12 * abs(constant)


def test_statistics_of_few_records_are_ranges() -> None:
    constants = fit_transform(Table.of({"x": np.array([1.25, 7.3, 93.7])}))["x"]
    assert constants == {"low": 1.0, "high": 100.0}


@pytest.mark.parametrize(
    "cells",
    [
        np.full(ROWS, 1e20),
        np.full(ROWS, np.float32(2**25), np.float32),
        np.array([4.940656e-324] + [0.02] * (ROWS - 1)),
        1.7e12 + 1000.0 * np.arange(ROWS),
        np.full(ROWS, -1e300),
        np.arange(ROWS, dtype=np.float32) * 2e36,
    ],
)
@pytest.mark.parametrize("transform", ["standard", "none"])
def test_mock_data_end_and_are_finite_and_near_the_records(cells: Any, transform: str) -> None:
    table = Table.of({"x": cells, "y": np.arange(ROWS) % 2}, target="y")
    card = register(table, KEY, "x", transform=transform).card
    drawn = mock_table(card, table, 64, KEY).arrays["x"].astype(np.float64)
    assert np.isfinite(drawn).all()
    if constants := card.transform.get("x"):
        beside = 2.0001 * constants["scale"] + abs(constants["mean"]) * 1e-6
        assert (np.abs(drawn - constants["mean"]) <= beside).all()


def test_mock_codes_have_both_ends_and_none_beyond() -> None:
    tokens = np.random.default_rng(0).integers(0, 1000, (ROWS, 8))
    table = Table.of({"t": tokens, "y": np.arange(ROWS) % 2}, target="y")
    drawn = mock_table(register(table, KEY, "x").card, table, 64, KEY).arrays["t"]
    assert (drawn.min(), drawn.max()) == (tokens.min(), tokens.max())


def test_counts_are_drawn_from_zero_on() -> None:
    table = Table.of({"n": np.array([0] * 35 + [9] * 5)})
    assert mock_table(register(table, KEY, "x").card, table, 200, KEY).arrays["n"].min() == 0


# What enters a model


class Plan:
    """What assembling reads of a recipe."""

    def __init__(self, table: Table, loss: str, **ranges: tuple[float, float]) -> None:
        from fitchain.pod.values.recipe import Choice

        self.inputs = (tuple(each.name for each in table.columns if each.name != table.target),)
        self.target, self.loss, self.privacy = table.target, Choice(loss, {}), None
        self.transform = fit_transform(table, ranges=ranges)


def entering(table: Table, loss: str, dtype: str = "float32", **ranges: tuple[float, float]) -> tuple[Any, Any]:
    plan: Any = Plan(table, loss, **ranges)
    (inputs,), target = assemble(plan, table, [dtype])(np.arange(table.count, dtype=np.uint64))
    return inputs, target


def test_an_amount_enters_as_itself_and_never_as_a_rank(tmp_path: Path) -> None:
    charges = [str(3000 + 1000 * number) for number in range(ROWS)]
    _, target = entering(tables_of(charges, tmp_path), "mse_loss", y=(0.0, 2_000_000.0))
    assert target[0] == np.float32(3000 / 2_000_000)
    _, ranks = entering(
        tables_of([str(number % 10 * 7) for number in range(ROWS)], tmp_path, task=Task.CLASSIFICATION), "mse_loss"
    )
    assert ranks[:3].tolist() == [0.0, 7.0, 14.0]


def test_truth_values_are_never_scaled(tmp_path: Path) -> None:
    table = tables_of(["0.0", "1.0", "1.0", "1.0"] * 10, tmp_path, task=Task.REGRESSION)
    _, target = entering(table, "binary_cross_entropy_with_logits")
    assert set(target.tolist()) == {0.0, 1.0}
    three = tables_of(["a", "b", "c"] * 10, tmp_path)
    with pytest.raises(InputRefused, match="wants one of two classes and the target 'y' has 3"):
        entering(three, "binary_cross_entropy_with_logits")
    with pytest.raises(InputRefused, match="has classes that are texts"):
        entering(three, "mse_loss")


def test_categories_enter_one_by_one_or_by_their_number(tmp_path: Path) -> None:
    rows = [f"{'abc'[n % 3]},{n % 2}" for n in range(ROWS)]
    table = Table.read(written(tmp_path, "stage,y", *rows), ReadingTerms(target="y"))
    one_hot, _ = entering(table, "cross_entropy")
    assert one_hot[:3].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]] and one_hot.dtype == np.float32
    numbers, _ = entering(table, "cross_entropy", "int64")
    assert numbers[:3].tolist() == [[0], [1], [2]]


def test_missing_cells_enter_as_the_cards_constant_beside_a_mask(tmp_path: Path) -> None:
    rows = [f"{'' if n == 1 else n},{n % 2}" for n in range(ROWS)]
    table = Table.read(written(tmp_path, "age,y", *rows), ReadingTerms(target="y"))
    inputs, _ = entering(table, "cross_entropy")
    assert inputs[1].tolist() == [0.0, 1.0] and inputs[0][1] == 0.0
    middle, _ = entering(table, "cross_entropy", age=(0.0, 100.0))
    assert middle[1].tolist() == [0.5, 1.0]


def test_times_keep_their_digits_in_a_model(tmp_path: Path) -> None:
    rows = [f"2026-11-27T10:00:00.{n:09},{n % 2}" for n in range(1, ROWS + 1)]
    table = Table.read(written(tmp_path, "t,y", *rows), ReadingTerms(target="y"))
    assert table.column("t").unit == "nanoseconds since 1970-01-01"
    inputs, _ = entering(table, "cross_entropy")
    assert len(set(inputs[:, 0].tolist())) == ROWS
