"""Tables: what is read, and how each kind of bad input is refused without showing a cell."""

from __future__ import annotations

import csv
import io
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fitchain.pod.compute.dataset import Column, Kind, ReadingTerms, Table, Task, declared_classes
from fitchain.pod.values.errors import InputRefused, NotFound
from tests.speeds import examples

GOOD = "id,age,dose,label\n7,41,0.5,sick\n8,59,1.25,well\n9,33,2,sick\n"


def csv_file(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def write_csv(path: Path, table: Table) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table.arrays)
        writer.writerows(zip(*(array.tolist() for array in table.arrays.values()), strict=True))


def npz_file(folder: Path, members: dict[str, bytes], name: str = "t.npz") -> Path:
    with zipfile.ZipFile(folder / name, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return folder / name


def npy(array: Any, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=allow_pickle)
    return file.getvalue()


# --- CSV --------------------------------------------------------------------------------------


def test_read_gives_numbers_and_sorted_categories(tmp_path: Path) -> None:
    table = Table.read(csv_file(tmp_path, GOOD), ReadingTerms(drop=("id",), target="label"))
    assert table.columns == (
        Column("age", "int64"),
        Column("dose", "float64"),
        Column("label", "int64", kind=Kind.CATEGORY),
    )
    assert table.categories == {"label": ("sick", "well")}
    assert table.arrays["dose"].tolist() == [0.5, 1.25, 2.0]
    assert table.arrays["label"].tolist() == [0, 1, 0]


def test_dropped_columns_may_hold_anything(tmp_path: Path) -> None:
    text = "name,age\nMüller,41\n,59\n"
    assert Table.read(csv_file(tmp_path, text), ReadingTerms(drop=("name",))).arrays["age"].tolist() == [41.0, 59.0]


@pytest.mark.parametrize("ending", ["csv", "npz"])
def test_only_the_wanted_columns_are_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    table = Table.of({"a": np.arange(2.0), "b": np.arange(2.0), "c": np.arange(2.0)})
    write_csv(path, table) if ending == "csv" else table.write_npz(path)
    assert [
        column.name
        for column in Table.read(
            path,
            ReadingTerms(
                only=(
                    "c",
                    "a",
                )
            ),
        ).columns
    ] == ["a", "c"]
    with pytest.raises(InputRefused, match="'d' is not in the table"):
        Table.read(
            path,
            ReadingTerms(
                only=(
                    "a",
                    "d",
                )
            ),
        )
    with pytest.raises(InputRefused, match="no column"):
        Table.read(path, ReadingTerms(drop=("a",), only=("a",)))


def test_categories_given_beforehand_keep_their_numbers(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "x,label\n1,well\n")
    assert Table.read(
        path,
        ReadingTerms(
            target="label",
            categories={
                "label": (
                    "sick",
                    "well",
                )
            },
        ),
    ).arrays["label"].tolist() == [1]
    with pytest.raises(InputRefused, match=r"line 2, column 'label': the cell is none of the 1 categories"):
        Table.read(path, ReadingTerms(target="label", categories={"label": ("sick",)}))


def test_a_record_of_no_declared_class_is_named_by_line_and_never_repeated(tmp_path: Path) -> None:
    """Nor is it where the classes are numbers; a class that no record has is one."""
    texts, numbers, array = tmp_path / "t.csv", tmp_path / "n.csv", tmp_path / "a.npz"
    texts.write_text("x,label\n1,well\n2,HIV\n")
    numbers.write_text("x,label\n1,0\n\n2,71.5\n")
    np.savez(array, x=np.arange(3.0), label=np.array([0, 1, 71]))
    for path, classes, where in (
        (texts, ("sick", "well"), "line 3, column 'label': the cell is none of the 2 categories"),
        (numbers, (0, 1, 71), "line 4, column 'label': the cell is none of the 3 categories"),
        (array, (0, 1), "record 3, column 'label': the cell is none of the 2 categories"),
    ):
        with pytest.raises(InputRefused, match=where) as no:
            Table.read(path, ReadingTerms(target="label", categories={"label": classes}))
        assert not re.search("HIV|71", no.value.message) and "name every class" in no.value.hint
    assert Table.read(array, ReadingTerms(target="label", categories={"label": (0, 1, 2, 71)})).count == 3
    with pytest.raises(InputRefused, match="lines 2 and 3, column 'label': the cell is no number"):
        Table.read(texts, ReadingTerms(target="label", categories={"label": (0, 1)}))


def test_numbers_are_texts_where_the_declared_classes_are(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,label\n1,2\n2,10\n")
    classes = declared_classes(["2", "more", "10"])
    table = Table.read(path, ReadingTerms(target="label", categories={"label": classes}))
    assert (table.categories, table.arrays["label"].tolist()) == ({"label": ("10", "2", "more")}, [1, 0])


@pytest.mark.parametrize(
    ("texts", "classes"),
    [(["well", "ill"], ("ill", "well")), (["10", "2", "-1"], (-1, 2, 10)), (["2", "02"], ("02", "2")), (["0"], (0,))],
)
def test_declared_classes_rise(texts: list[str], classes: tuple[str | int, ...]) -> None:
    assert declared_classes(texts) == classes


@pytest.mark.parametrize("texts", [[], [""], ["a", ""], ["a", "a"], ["1", "1"], [" a"], [str(2**53), "0"]])
def test_classes_that_are_none_are_refused(texts: list[str]) -> None:
    with pytest.raises(InputRefused):
        declared_classes(texts)


def test_a_byte_order_mark_blank_lines_and_quotes_are_read_over(tmp_path: Path) -> None:
    text = b'\xef\xbb\xbf"a",b\r\n1, 2\r\n\r\n"3",4e0\r\n'
    table = Table.read(csv_file(tmp_path, text))
    assert {name: array.tolist() for name, array in table.arrays.items()} == {"a": [1, 3], "b": [2, 4]}


BAD_CSV = [
    ("", "no header line"),
    ("a,b\n", "no record"),
    ("a,b\n1,2\n3\n", "line 3: there are not 2 cells, as the header has"),
    ("a,b\n1,2,3\n", "line 2: there are not 2 cells, as the header has"),
    ("a,a\n1,2\n", "the column 'a' stands twice, as #1 and #2"),
    ("a,\n1,2\n", "column 2 has no name"),
    ("a,b\n1,\n", "column 'b': no record has a value"),
    ("a,b\n1,2\n1,2\n3,tall\n", "line 4, column 'b': the cell is a text, and most are numbers"),
    *(
        (f"a,b\n1,2\n1,3\n1,{cell}\n", "line 4, column 'b': the cell is a (text, and most are numbers|number that is)")
        for cell in ("inf", "1e999", "1_000", "\u0661", "1,000".replace(",", "." * 2))
    ),
    ('a,b\n1,"2\n', "line 2: a quote that was opened is never closed"),
    (b"a,b\n1,2\n\xff,3\n", "line 3: the text is not UTF-8"),
    (b"PK\x03\x04....", "zip archive"),
]


@pytest.mark.parametrize(("text", "message"), BAD_CSV)
def test_bad_csv_is_refused_with_its_place(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputRefused, match=message) as caught:
        Table.read(csv_file(tmp_path, text))
    assert str(caught.value).startswith("t.csv: ")


def test_a_bad_cell_far_down_is_named_by_its_line(tmp_path: Path) -> None:
    lines = ["a,label"] + [f"{n},x" for n in range(10_000)]
    lines[9_000] = "4,"
    with pytest.raises(InputRefused, match="line 9001, column 'label': the cell is missing"):
        Table.read(csv_file(tmp_path, "\n".join(lines)), ReadingTerms(target="label"))


def test_a_target_of_numbers_and_texts_has_texts_for_classes(tmp_path: Path) -> None:
    table = Table.read(csv_file(tmp_path, "x,y\n1,3\n1,four\n"), ReadingTerms(target="y"))
    assert (table.task, table.categories) == (Task.CLASSIFICATION, {"y": ("3", "four")})


def test_no_message_repeats_a_cell(tmp_path: Path) -> None:
    with pytest.raises(InputRefused) as caught:
        Table.read(csv_file(tmp_path, "name,age\n1,36\n2,4\nAda Lovelace,36\n"))
    assert "Ada" not in caught.value.message + caught.value.hint
    assert "--kind 'name'=category" in caught.value.hint


@pytest.mark.parametrize(("drop", "target"), [(["agee"], None), ([], "agee")])
def test_an_unknown_column_is_refused_with_near_ones(tmp_path: Path, drop: list[str], target: str | None) -> None:
    with pytest.raises(InputRefused, match="'agee' is not in the table") as caught:
        Table.read(csv_file(tmp_path, GOOD), ReadingTerms(drop=tuple(drop), target=target))
    assert "'age'" in caught.value.hint


def test_a_dropped_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="is the target, and is to be dropped"):
        Table.read(csv_file(tmp_path, GOOD), ReadingTerms(drop=("label",), target="label"))


def test_a_missing_file_and_an_unknown_ending_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Table.read(tmp_path / "none.csv")
    with pytest.raises(InputRefused, match=r"none of .csv, .tsv, .jsonl, .ndjson, .npz"):
        Table.read(csv_file(tmp_path, GOOD, "t.table"))


@settings(max_examples=examples(50))
@given(st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2), min_size=1, max_size=20))
def test_written_csv_reads_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    table = Table.of({"a": np.array([a for a, _ in rows]), "b": np.array([b for _, b in rows])})
    write_csv(path, table)
    assert [bytes(r) for r in Table.read(path).records()] == [bytes(r) for r in table.records()]


# --- NPZ --------------------------------------------------------------------------------------


@settings(max_examples=examples(50))
@given(
    hnp.arrays(
        st.sampled_from(["<f4", ">f8", "i1", "<u4", "?"]),
        (3, 2, 2),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    st.booleans(),
)
def test_npz_reads_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, array: Any, fortran: bool) -> None:
    folder = tmp_path_factory.mktemp("npz")
    np.savez(folder / "t.npz", x=np.asfortranarray(array) if fortran else array, y=np.arange(3))
    table = Table.read(folder / "t.npz", ReadingTerms(target="y"))
    table.write_npz(folder / "again.npz")
    assert np.array_equal(table.arrays["x"], array)
    assert Table.read(folder / "again.npz", ReadingTerms(target="y")).record(2) == table.record(2)


def test_npz_bytes_depend_on_the_table_alone(tmp_path: Path) -> None:
    table = Table.of({"x": np.arange(4), "file": np.arange(4.0)})
    table.write_npz(tmp_path / "a.npz")
    table.write_npz(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = npz_file(tmp_path, {"x.npy": npy(np.array([{"a": 1}], dtype=object), allow_pickle=True)})
    with pytest.raises(InputRefused, match="column 'x' has dtype object"):
        Table.read(path)


BAD_NPZ = [
    ({"x.npy": npy(np.arange(3)), "y.npy": npy(np.arange(4))}, "column 'x' has 3 records and column 'y' 4"),
    ({"x.npy": npy(np.array(["a"]))}, "column 'x' has dtype <U1"),
    ({"x.npy": npy(np.zeros(3, np.complex64))}, "column 'x' has dtype complex64"),
    ({"x.npy": npy(np.array([0.0, np.inf]))}, "record 2, column 'x': the cell is not finite"),
    ({"x.npy": npy(np.array([[0.0, np.nan]]))}, "record 1, column 'x': the cell is not finite"),
    ({"x.npy": npy(np.array(3.0))}, "single value"),
    ({"x.npy": npy(np.zeros((0, 3)))}, "no record"),
    ({"x.npy": npy(np.zeros((3, 0)))}, "none empty"),
    ({"x.npy": npy(np.zeros((1,) * 10))}, "at most rank 8"),
    ({}, "no column"),
    ({"x.txt": b"hello"}, "no .npy array"),
    ({"x.npy": b"hello"}, "no readable array header"),
    ({"x.npy": npy(np.arange(3))[:-1]}, "promises 24 bytes and the archive holds 23"),
    ({"x.npy": npy(np.arange(3)) + b"z"}, "promises 24 bytes and the archive holds 25"),
    ({"x.npy": npy(np.arange(6)).replace(b"(6,), }   ", b"(-2,-3), }")}, "promises 48 bytes"),
    ({"a\x07b.npy": npy(np.arange(3))}, "printable"),
]


@pytest.mark.parametrize(("members", "message"), BAD_NPZ)
def test_bad_npz_is_refused(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        Table.read(npz_file(tmp_path, members))


def test_an_array_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("x.npy", npy(np.arange(3)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.npy", npy(np.arange(3)))
    with pytest.raises(InputRefused, match="'x' stands twice"):
        Table.read(tmp_path / "t.npz")


def test_an_array_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = npz_file(tmp_path, {"x.npy": npy(np.zeros(1000))})
    with pytest.raises(InputRefused, match="the limit is 1000"):
        Table.read(path, limit_bytes=1000)


def test_an_entry_that_swallows_the_next_one_is_refused(tmp_path: Path) -> None:
    path = npz_file(tmp_path, {"x.npy": npy(np.arange(3)), "y.npy": npy(np.arange(3))})
    data = path.read_bytes()
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 1)
    comment_bytes = first + 32  # of the first entry, whose comment the second one becomes
    path.write_bytes(data[:comment_bytes] + struct.pack("<H", second - first) + data[comment_bytes + 2 :])
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["x.npy"]
    with pytest.raises(InputRefused, match="says that it holds 2 arrays and lists 1"):
        Table.read(path)


def test_an_array_packed_by_another_method_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy(np.arange(3)))
    with pytest.raises(InputRefused, match="packed by method 14"):
        Table.read(tmp_path / "t.npz")


@settings(max_examples=examples(100))
@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_damaged_archive_reads_the_same_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    folder = tmp_path_factory.mktemp("npz")
    table = Table.of({"x": np.arange(4.0), "y": np.arange(4)})
    table.write_npz(folder / "t.npz")
    data = bytearray((folder / "t.npz").read_bytes())
    data[place % len(data)] ^= change
    (folder / "t.npz").write_bytes(data)
    try:
        read = Table.read(folder / "t.npz")
    except InputRefused:
        return
    assert sorted(array.tolist() for array in read.arrays.values()) == [[0, 1, 2, 3], [0, 1, 2, 3]]


# --- tables -----------------------------------------------------------------------------------


def test_a_record_is_the_schemas_digest_and_its_cells() -> None:
    table = Table.of(
        {"a": np.array([1.0, 2.0]), "b": np.array([[1, 2], [3, 4]], np.uint8), "c": np.array([True, False])}
    )
    assert table.record(1)[32:] == np.float64(2).tobytes() + bytes([3, 4, 0])
    assert len(table.record(1)) == table.record_bytes


def test_records_are_the_same_one_by_one_and_in_slabs() -> None:
    table = Table.of({"a": np.arange(5000.0), "b": np.arange(5000, dtype=">i4")})
    rows = [bytes(row) for row in table.records()]
    assert all(rows[index] == table.record(index) for index in (0, 1, 4095, 4096, 4999))


@pytest.mark.parametrize("change", [{"z": np.arange(3.0)}, {"x": np.arange(3, dtype=np.int64).astype("f4")}])
def test_the_same_bytes_under_another_schema_are_another_record(change: dict[str, Any]) -> None:
    first = Table.of({"x": np.arange(3.0)}).record(0)
    assert Table.of(change).record(0)[:32] != first[:32]


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_record_outside_the_table(index: int) -> None:
    with pytest.raises(InputRefused, match="none of index"):
        Table.of({"x": np.arange(3)}).record(index)


def test_the_arrays_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Table.of({"x": np.arange(3)}).arrays["x"][0] = 9
