"""What is asked for a column is done or refused, and never passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fitchain.pod.compute.dataset import CsvDialect, Kind, ReadingTerms, Table, Task, fit_transform
from fitchain.pod.values.errors import InputRefused, InputsRefused

ROWS = 40
CELLS = {
    "whole": [str(n % 5) for n in range(ROWS)],
    "number": [f"{n}.5" for n in range(ROWS)],
    "boolean": ["true", "False"] * (ROWS // 2),
    "time": [f"2026-11-{1 + n % 28:02}" for n in range(ROWS)],
    "category": ["I", "II", "III", "IV"] * (ROWS // 4),
    "code": ["007", "07", "E9", "E10"] * (ROWS // 4),
    "holes": ["1", "", "2", "-9"] * (ROWS // 4),
}
KINDS = ("number", "whole", "boolean", "time", "category")


def read(folder: Path, dialect: CsvDialect | None = None, **terms: Any) -> Table:
    rows = zip(*CELLS.values(), strict=True)
    (folder / "t.csv").write_text("\n".join(map(",".join, [list(CELLS), *rows])))
    return Table.read(folder / "t.csv", ReadingTerms(**terms), dialect)


@pytest.mark.parametrize("asked", KINDS)
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("as_target", [False, True])
def test_a_column_is_of_the_kind_that_is_asked_for_or_refused(
    tmp_path: Path, name: str, asked: str, as_target: bool
) -> None:
    able = {"whole": {"whole", "number"}, "holes": {"whole", "number"}}.get(name, {name}) | {"category"}
    target = name if as_target and name != "holes" else None
    if asked in able:
        assert str(read(tmp_path, kinds={name: Kind(asked)}, target=target).column(name).kind) == asked
        return
    with pytest.raises(InputRefused, match=rf"lines \d+, .*, column '{name}': the cell is no "):
        read(tmp_path, kinds={name: Kind(asked)}, target=target)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("name", ["whole", "number", "boolean", "time", "category", "code"])
def test_a_target_is_of_the_task_that_is_asked_for_or_refused(tmp_path: Path, name: str, task: Task) -> None:
    amounts, classes = ("whole", "number", "time"), ("whole", "boolean", "category", "code")
    if name in {Task.REGRESSION: amounts, Task.CLASSIFICATION: classes, Task.MULTI_LABEL: ()}[task]:
        assert read(tmp_path, target=name, task=task).task is task
        return
    with pytest.raises(InputRefused, match=f"column '{name}': "):
        read(tmp_path, target=name, task=task)


def test_a_column_is_named_by_its_place_everywhere(tmp_path: Path) -> None:
    table = read(tmp_path, kinds={"#1": Kind.NUMBER}, categories={"#5": ("I", "II", "III", "IV", "V")}, drop=("#6",))
    assert table.column("whole").kind is Kind.NUMBER
    assert table.categories["category"] == ("I", "II", "III", "IV", "V")


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"kinds": {"x": Kind.NUMBER}}, "the column whose kind is given 'x' is not in the table"),
        ({"kinds": {"time": Kind.TIME}, "drop": ("time",)}, "'time' whose kind is given is left out"),
        ({"kinds": {"time": Kind.TIME, "#4": Kind.TIME}}, "'time' whose kind is given is named twice"),
        ({"categories": {"time": ("a", "b")}, "drop": ("time",)}, "'time' whose categories are named is left out"),
        ({"categories": {"category": ("I", "II")}}, "column 'category': the cell is none of the 2 categories"),
        ({"categories": {"whole": (0, 1, 2, 3)}}, "column 'whole': the cell is none of the 4 categories"),
        ({"categories": {"category": ("I",)}, "kinds": {"category": Kind.NUMBER}}, "a number has none of these"),
        ({"categories": {"time": (1, 2)}, "kinds": {"time": Kind.TIME}}, "a time has none of these"),
        ({"kinds": {"whole": Kind.TOKENS}}, "is free text, and no tokenizer is named"),
        ({"target": "category", "drop": ("category",)}, "is the target, and is to be dropped"),
        ({"target": "number", "task": Task.CLASSIFICATION}, "classes are at most"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, terms: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputRefused, match=reason):
        read(tmp_path, **terms)


def test_all_columns_that_are_not_there_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputsRefused, match="3 things are wrong") as refused:
        read(tmp_path, target="Category", drop=("tmie", "whole"), kinds={"nubmer": Kind.NUMBER})
    assert [fault.hint for fault in refused.value.faults] == [
        "did you mean 'time'?",
        "did you mean 'category'?",
        "did you mean 'number'?",
    ]


def test_named_categories_of_whole_numbers_are_categories(tmp_path: Path) -> None:
    table = read(tmp_path, categories={"whole": (0, 1, 2, 3, 4, 5)})
    assert table.categories["whole"] == ("0", "1", "2", "3", "4", "5")
    assert table.arrays["whole"].tolist()[:5] == [0, 1, 2, 3, 4]
    said = read(tmp_path, categories={"whole": (0, 1, 2, 3, 4, 5)}, kinds={"whole": Kind.WHOLE})
    assert said.column("whole").kind is Kind.WHOLE


def test_missing_and_kept_texts_are_obeyed_or_refused(tmp_path: Path) -> None:
    assert read(tmp_path, missing=("-9",)).arrays["holes is missing"].tolist()[:4] == [False, True, False, True]
    kept = read(tmp_path, keep=("",), kinds={"holes": Kind.CATEGORY})
    assert kept.categories["holes"] == ("", "-9", "1", "2")
    np.savez(tmp_path / "t.npz", x=np.arange(ROWS))
    for terms in (ReadingTerms(missing=("-9",)), ReadingTerms(keep=("NA",))):
        with pytest.raises(InputRefused, match="no column holds texts"):
            Table.read(tmp_path / "t.npz", terms)


@pytest.mark.parametrize("name", ["t.npz", "t.jsonl"])
def test_how_a_csv_file_is_written_is_refused_of_another(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "t.npz", x=np.arange(ROWS))
    (tmp_path / "t.jsonl").write_text('{"x": 1}')
    with pytest.raises(InputRefused, match="is no CSV file, and it is said how one is written"):
        Table.read(tmp_path / name, None, CsvDialect(decimal="comma"))


def test_a_dialect_that_is_said_is_the_one_that_is_used(tmp_path: Path) -> None:
    for delimiter in ("semicolon", "tab", "bar"):
        assert [column.name for column in read(tmp_path, CsvDialect(delimiter)).columns] == [",".join(CELLS)]
    with pytest.raises(InputRefused, match="lines 2, 3, 4, 5 and 36 more, column 'number': the cell is a number that"):
        read(tmp_path, CsvDialect(decimal="comma"))
    with pytest.raises(InputRefused, match=r"zero byte|not UTF-16"):
        read(tmp_path, CsvDialect(encoding="utf-16-le"))


@pytest.mark.parametrize("name", ["whole", "number", "time", "holes"])
def test_a_range_goes_before_statistics(tmp_path: Path, name: str) -> None:
    constants = fit_transform(read(tmp_path, missing=("-9",)), ranges={name: (-1.0, 5.0)})[name]
    assert (constants["low"], constants["high"]) == (-1.0, 5.0)


@pytest.mark.parametrize("name", ["boolean", "category", "code", "holes is missing"])
def test_a_range_of_what_is_no_number_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputRefused, match="no range scales"):
        fit_transform(read(tmp_path), ranges={name: (0.0, 5.0)})


def test_labels_are_there_or_not(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", y=np.eye(3)[np.arange(ROWS) % 3], z=np.full((ROWS, 3), 0.5))
    assert Table.read(tmp_path / "t.npz", ReadingTerms(target="y", task=Task.MULTI_LABEL)).task is Task.MULTI_LABEL
    guessed = Table.read(tmp_path / "t.npz", ReadingTerms(target="y"))
    assert guessed.task is Task.REGRESSION and guessed.reading is not None
    assert "--task multi-label takes them for labels" in guessed.reading.schema.notes[0]
    with pytest.raises(InputRefused, match="labels are there or not, 1 or 0"):
        Table.read(tmp_path / "t.npz", ReadingTerms(target="z", task=Task.MULTI_LABEL))
