"""Parquet and Arrow files: each type is read as what it is or refused by its name, nothing loses a
digit, and a file that lies about itself ends in a refusal."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.compute.dataset import Kind, ReadingTerms, Table, arrow_file, fit_transform, parquet_file, register
from fitchain.pod.compute.dataset.arrow_cells import pyarrow
from fitchain.pod.values.errors import HostUnusable, InputRefused

pytestmark = pytest.mark.sources
KEY = bytes(range(32))
Column = Callable[[Any], Any]
"""Makes a column of Arrow's, given the library."""


@pytest.fixture(params=[".parquet", ".arrow", ".feather"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """Writes columns as a file of each kind."""

    def write(**columns: Any) -> Path:
        return as_file(tmp_path / f"t{request.param}", pyarrow().table(columns))

    return write


def as_file(path: Path, table: Any, **how: Any) -> Path:
    if path.suffix == ".parquet":
        pyarrow().parquet.write_table(table, path, **how)
    else:
        with pyarrow().ipc.new_file(path, table.schema, **how) as file:
            file.write_table(table)
    return path


NANOSECONDS = 1_600_000_000_123_456_789
KINDS: dict[str, tuple[Column, Kind, str, list[Any]]] = {
    "int8": (lambda pa: pa.array([1, -128], pa.int8()), Kind.WHOLE, "int8", [1, -128]),
    "int64": (lambda pa: pa.array([2**53, -(2**53)]), Kind.WHOLE, "int64", [2**53, -(2**53)]),
    "uint64": (lambda pa: pa.array([0, 2**53], pa.uint64()), Kind.WHOLE, "uint64", [0, 2**53]),
    "float16": (lambda pa: pa.array([0.5, 0.1], pa.float16()), Kind.NUMBER, "float32", [0.5, 0.0999755859375]),
    "float32": (lambda pa: pa.array([0.5, 0.1], pa.float32()), Kind.NUMBER, "float32", [0.5, float(np.float32(0.1))]),
    "float64": (lambda pa: pa.array([0.1, 5e-324]), Kind.NUMBER, "float64", [0.1, 5e-324]),
    "bool": (lambda pa: pa.array([True, False]), Kind.BOOLEAN, "bool", [True, False]),
    "string": (lambda pa: pa.array(["b", "a"]), Kind.CATEGORY, "int64", [1, 0]),
    "large_string": (lambda pa: pa.array(["b", "a"], pa.large_string()), Kind.CATEGORY, "int64", [1, 0]),
    "dictionary": (lambda pa: pa.array(["b", "a"]).dictionary_encode(), Kind.CATEGORY, "int64", [1, 0]),
    "dictionary of numbers": (lambda pa: pa.array([7, 5]).dictionary_encode(), Kind.WHOLE, "int64", [7, 5]),
    "date32": (lambda pa: pa.array([dt.date(1969, 12, 31), dt.date(2026, 1, 1)]), Kind.TIME, "int64", [-1, 20454]),
    "date64": (
        lambda pa: pa.array([dt.date(1969, 12, 31), dt.date(2026, 1, 1)], pa.date64()),
        Kind.TIME,
        "int64",
        [-1, 20454],
    ),
    "timestamp": (lambda pa: pa.array([0, NANOSECONDS], pa.timestamp("ns")), Kind.TIME, "int64", [0, NANOSECONDS]),
    "zoned": (lambda pa: pa.array([-1, 5], pa.timestamp("us", "Asia/Tokyo")), Kind.TIME, "int64", [-1, 5]),
    "decimal": (
        lambda pa: pa.array([Decimal("1.10"), Decimal("-12345.67")], pa.decimal128(9, 2)),
        Kind.NUMBER,
        "float64",
        [1.1, -12345.67],
    ),
    "list": (lambda pa: pa.array([[1.5, 2.0], [3.0, 4.0]]), Kind.NUMBER, "float64", [[1.5, 2.0], [3.0, 4.0]]),
    "fixed lists": (
        lambda pa: pa.array([[[1], [2]], [[3], [4]]], pa.list_(pa.list_(pa.uint8(), 1), 2)),
        Kind.WHOLE,
        "uint8",
        [[[1], [2]], [[3], [4]]],
    ),
}


@pytest.mark.parametrize("type_", KINDS)
def test_types_are_read_as_what_they_are(written: Callable[..., Path], type_: str) -> None:
    column, kind, dtype, values = KINDS[type_]
    table = Table.read(written(x=column(pyarrow())))
    (read,) = table.columns
    assert (read.kind, read.dtype) == (kind, dtype) and table.arrays["x"].tolist() == values


@pytest.mark.parametrize("type_", KINDS)
def test_nulls_are_missing_cells_and_change_no_other(written: Callable[..., Path], type_: str) -> None:
    pa, (column, kind, _, values) = pyarrow(), KINDS[type_]
    whole = column(pa)
    array = pa.concat_arrays([whole, pa.nulls(1, whole.type)])
    if isinstance(values[0], list):
        with pytest.raises(InputRefused, match="record 3, column 'x': a list is missing"):
            Table.read(written(x=array))
        return
    table = Table.read(written(x=array))
    if kind is Kind.CATEGORY:
        assert table.categories["x"] == ("", "a", "b") and table.arrays["x"].tolist() == [2, 1, 0]
        return
    assert table.arrays["x"].tolist()[:2] == values and table.arrays["x is missing"].tolist() == [False, False, True]


REFUSED: dict[str, tuple[Column, str]] = {
    "struct": (lambda pa: pa.array([{"a": 1}]), "struct"),
    "map": (lambda pa: pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), "map"),
    "texts in a list": (lambda pa: pa.array([["Ada"]]), "list; lists are of numbers"),
    "a struct in a list": (lambda pa: pa.array([[{"a": 1}]]), "list; lists are of numbers"),
    "binary": (lambda pa: pa.array([b"Ada"]), "binary"),
    "time of day": (lambda pa: pa.array([dt.time(1, 2)]), "time64"),
    "duration": (lambda pa: pa.array([dt.timedelta(1)]), "duration"),
    "extension": (lambda pa: pa.array(["{}"], pa.json_()), "an extension of Arrow's|extension"),
    "ragged": (lambda pa: pa.array([[1], [1, 2]]), "record 2, column 'x': its lists have different lengths"),
    "a hole in a list": (lambda pa: pa.array([[1, None]]), "record 1, column 'x': a number in a list is missing"),
    "infinite": (lambda pa: pa.array([1.0, float("inf")]), "record 2, column 'x': the cell is not finite"),
    "nan in a list": (lambda pa: pa.array([[1.0], [float("nan")]]), "record 2, column 'x': the cell is not finite"),
    "beyond 2**53": (lambda pa: pa.array([1, 2**53 + 1]), "record 2, column 'x': .* beyond 2\\*\\*53"),
    "beyond int64": (lambda pa: pa.array([2**63, 1], pa.uint64()), "record 1, column 'x': .* beyond 2\\*\\*53"),
    "a long decimal": (
        lambda pa: pa.array([Decimal("0.1234567890123456789")], pa.decimal128(30, 19)),
        "record 1, column 'x': a double does not hold all digits",
    ),
    "nothing": (lambda pa: pa.nulls(2), "no record has a value"),
    "an empty list": (lambda pa: pa.array([[], []], pa.list_(pa.int8())), "none empty"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_other_cells_are_refused_by_name_and_can_be_dropped(written: Callable[..., Path], what: str) -> None:
    column, message = REFUSED[what]
    array = column(pyarrow())
    path = written(x=array, y=pyarrow().array(list(range(len(array)))))
    with pytest.raises(InputRefused, match=message) as no:
        Table.read(path)
    assert "Ada" not in no.value.message
    assert Table.read(path, ReadingTerms(drop=("x",))).count == len(array)


def test_target_beyond_64_bits_is_refused_and_may_be_of_classes(written: Callable[..., Path]) -> None:
    path = written(x=pyarrow().array([2**63, 1], pyarrow().uint64()))
    with pytest.raises(InputRefused, match=r"record 1, column 'x': .* beyond 64 bits"):
        Table.read(path, ReadingTerms(target="x"))
    table = Table.read(path, ReadingTerms(target="x", kinds={"x": Kind.CATEGORY}))
    assert table.categories["x"] == ("1", str(2**63))


@given(
    whole=st.lists(st.one_of(st.none(), st.integers(-(2**53), 2**53)), min_size=1, max_size=9),
    number=st.floats(allow_nan=False, allow_infinity=False),
    scale=st.integers(0, 6),
)
def test_whatever_is_registered_prints_back(
    tmp_path_factory: pytest.TempPathFactory, whole: list[int | None], number: float, scale: int
) -> None:
    pa, count = pyarrow(), len(whole)
    decimals = [None if each is None else Decimal(each % 10**12).scaleb(-scale) for each in whole]
    columns = {"w": pa.array([*whole, 1], pa.int64()), "n": [number] * (count + 1)}
    columns["d"] = pa.array([*decimals, Decimal(1)], pa.decimal128(38, 6))
    path = as_file(tmp_path_factory.mktemp("t") / "t.parquet", pa.table(columns))
    arrays = Table.read(path).arrays
    assert arrays["n"].tolist() == [number] * (count + 1)
    for place, (each, decimal) in enumerate(zip(whole, decimals, strict=True)):
        if each is not None:
            assert arrays["w"][place] == each and Decimal(repr(float(arrays["d"][place]))) == decimal


def test_names_that_stand_twice_are_told_apart_by_their_place(tmp_path: Path) -> None:
    pa = pyarrow()
    table = pa.table([pa.array([1, 2]), pa.array(["a", "b"]), pa.array([3, 4])], names=["id", "a.b", "id"])
    for name in ("t.parquet", "t.arrow"):
        path = as_file(tmp_path / name, table)
        assert Table.read(path, ReadingTerms(drop=("#1",))).arrays["id"].tolist() == [3, 4]
        assert Table.read(path, ReadingTerms(drop=("#3",))).arrays["id"].tolist() == [1, 2]


def test_file_has_the_same_records_in_either_form_and_in_pieces(tmp_path: Path) -> None:
    pa = pyarrow()
    table = pa.table({"x": [float(n) for n in range(9_000)], "kind": [f"k{n % 3}" for n in range(9_000)]})
    paths = [
        as_file(tmp_path / "one.parquet", table),
        as_file(tmp_path / "many.parquet", table, row_group_size=1_000, use_dictionary=False, compression="zstd"),
        as_file(tmp_path / "t.arrow", table, options=pa.ipc.IpcWriteOptions(compression="lz4")),
    ]
    tables = [Table.read(path, ReadingTerms(target="kind")) for path in paths]
    assert len({bytes(each.slab(0, each.count)) for each in tables}) == 1
    registration = register(tables[0], KEY, "pieces")
    assert registration.card.transform == fit_transform(tables[1])
    again = Table.read_as(paths[1], tables[0].reading) if tables[0].reading else None
    assert again is not None and register(again, KEY, "pieces").root == registration.root


# Files that are damaged, or made to do harm


def test_file_of_another_kind_is_named(tmp_path: Path) -> None:
    for content, message in (
        (b"a,b\n1,2\n", "no intact Parquet file"),
        (b"PARE" + bytes(9) + b"PARE", "an encrypted Parquet file"),
        (b"PAR1" + (2**31 - 1).to_bytes(4, "little") + b"PAR1", "described in 2147483647 bytes"),
        (b"PAR1" + bytes(50) + (40).to_bytes(4, "little") + b"PAR1", "no intact Parquet file"),
        (b"", "no intact Parquet file"),
    ):
        (tmp_path / "t.parquet").write_bytes(content)
        with pytest.raises(InputRefused, match=message):
            Table.read(tmp_path / "t.parquet")
    for content, message in ((b"FEA1....", "Feather file of version 1"), (b"ARROW1\0\0" + bytes(40), "no intact file")):
        (tmp_path / "t.arrow").write_bytes(content)
        with pytest.raises(InputRefused, match=message):
            Table.read(tmp_path / "t.arrow")


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_name_that_is_not_utf_8_is_damage(tmp_path: Path, name: str) -> None:
    path = as_file(tmp_path / name, pyarrow().table({"pressure": [1, 2]}), **SCHEMALESS.get(name, {}))
    path.write_bytes(path.read_bytes().replace(b"pressure", b"pressur\xe3"))
    with pytest.raises(InputRefused, match="no intact"):
        Table.read(path)


SCHEMALESS = {"t.parquet": {"store_schema": False}}
"""Without Arrow's own description in a Parquet file, which has the names a second time."""


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_damaged_file_is_refused_or_read_as_some_table(tmp_path: Path, name: str) -> None:
    pa, random = pyarrow(), np.random.default_rng(1)
    table = pa.table({"x": [1.5, None, 2.5] * 50, "t": ["Ada", "Bob", None] * 50, "l": [[1, 2]] * 150})
    whole = as_file(tmp_path / name, table).read_bytes()
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for position in random.integers(0, len(whole), 3):
            damaged[position] = random.integers(0, 256)
        (tmp_path / name).write_bytes(damaged[: random.integers(1, len(whole)) if random.random() < 0.2 else None])
        try:
            Table.read(tmp_path / name, limit_bytes=1 << 20)
        except InputRefused as no:
            refused += 1
            assert "Ada" not in no.message and "Bob" not in no.message
    assert refused > 20


def test_file_that_unpacks_to_more_than_the_limit_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    pa = pyarrow()
    table = pa.table({"x": pa.array(np.zeros(1_000_000, np.int64)), "y": [["a", "b"][n % 2] for n in range(1_000_000)]})
    path = as_file(tmp_path / "t.parquet", table, compression="zstd")
    assert path.stat().st_size < 200_000
    with pytest.raises(InputRefused, match="its columns take 16000000 bytes unpacked, and the limit is 1000000"):
        Table.read(path, limit_bytes=1_000_000)


def test_long_word_in_each_record_is_kept_once(tmp_path: Path) -> None:
    """A word of 20,000 letters, a thousand times, is twenty megabytes unpacked."""
    pa = pyarrow()
    words = pa.DictionaryArray.from_arrays(np.tile(np.arange(2, dtype=np.int32), 1_000), ["a" * 20_000, "b"])
    for name in ("t.parquet", "t.arrow"):
        path = as_file(tmp_path / name, pa.table({"t": words}))
        before = pa.total_allocated_bytes()
        assert Table.read(path, limit_bytes=100_000).count == 2_000
        assert pa.total_allocated_bytes() - before < 100_000


def test_date_that_is_no_whole_day_is_damage(tmp_path: Path) -> None:
    days = pyarrow().array([86_400_000, 5], pyarrow().int64()).view(pyarrow().date64())
    with pytest.raises(InputRefused, match="no intact"):
        Table.read(as_file(tmp_path / "t.arrow", pyarrow().table({"x": days})))


def test_old_times_of_96_bits_are_refused(tmp_path: Path) -> None:
    table = pyarrow().table({"t": pyarrow().array([dt.datetime(9999, 12, 31, tzinfo=dt.UTC)])})
    path = as_file(tmp_path / "t.parquet", table, use_deprecated_int96_timestamps=True)
    with pytest.raises(InputRefused, match="column 't': it holds times of the type INT96"):
        Table.read(path)


def test_library_that_is_missing_is_named_with_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "t.parquet").write_bytes(parquet_file.MAGIC * 3)
    (tmp_path / "t.arrow").write_bytes(arrow_file.MAGIC)
    for name in ("t.parquet", "t.arrow"):
        with pytest.raises(HostUnusable, match="read by pyarrow, which is not installed") as no:
            Table.read(tmp_path / name)
        assert "parquet" in no.value.hint


@pytest.mark.parametrize(
    ("name", "what"),
    [("t.xlsx", "a workbook"), ("t.ods", "a workbook"), ("t.csv.gz", "packed"), ("t.sav", "statistics")],
)
def test_other_kinds_of_files_are_named_with_the_next_step(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(InputRefused, match=what) as no:
        Table.read(tmp_path / name)
    assert no.value.hint
