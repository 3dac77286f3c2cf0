"""Tables that are more than memory should hold: what lies on disk is what would lie in memory, to
the bit, and nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.cli.views.progress import Shares
from fitchain.pod.compute.dataset import (
    Leaves,
    ReadingTerms,
    Registration,
    Rule,
    Spill,
    Table,
    UnitColumn,
    assemble,
    check_unchanged,
    find_groups,
    group_numbers,
    mock_table,
    open_records,
    record_leaves,
    register,
    require_no_concern,
    verify_record,
)
from fitchain.pod.values.digest import inclusion_path, sha256, tree_root
from fitchain.pod.values.errors import DatasetChanged, InputRefused
from fitchain.pod.values.recipe import Choice, Recipe
from tests.batch_plans import Plan
from tests.policies import open_policy

ROOT = Path(__file__).parent.parent
KEY = bytes(range(32))
COUNT = 9_000
TERMS = ReadingTerms(target="sick", drop=("who",))
OF_PEOPLE = UnitColumn("who", 3)


def write_csv(path: Path) -> None:
    """Numbers, whole numbers, categories, holes, and who each record is of."""
    random = np.random.default_rng(7)
    lines = ["age,dose,day,ward,visit,who,sick"]
    for number in range(COUNT):
        age, dose, sick = random.uniform(20, 80), random.integers(0, 500), random.integers(0, 2)
        day = f"2026-{1 + number % 12:02}-{1 + number % 28:02}"
        ward, visit = (("first", "second", other)[random.integers(0, 3)] for other in ("third", ""))
        lines.append(f"{age:.2f},{'' if number % 7 == 3 else dose},{day},{ward},{visit},p{number % 2000},{sick}")
    path.write_text("\n".join(lines) + "\n")


def write_npz(path: Path) -> None:
    """Arrays of several types, one of them with axes, and one in Fortran's order."""
    random = np.random.default_rng(7)
    np.savez_compressed(
        path,
        age=random.normal(50, 9, COUNT).astype(np.float32),
        dose=random.normal(0, 1, COUNT),
        image=random.integers(0, 255, (COUNT, 3, 2), dtype=np.uint8),
        map=np.asfortranarray(random.normal(0, 1, (COUNT, 2, 2))),
        ward=random.integers(0, 3, COUNT, dtype=np.int16),
        who=np.arange(COUNT) % 2000,
        sick=random.integers(0, 2, COUNT),
    )


SOURCES: dict[str, Callable[[Path], None]] = {"csv": write_csv, "npz": write_npz}


@dataclass(frozen=True)
class Both:
    """One table, in memory and on disk.

    Args:
        source: its file.
        spill: where the one on disk has its records.
    """

    source: Path
    spill: Spill

    def tables(self, unit: UnitColumn | None = None) -> tuple[Table, Table]:
        terms = replace(TERMS, drop=() if unit else TERMS.drop)
        held, spilled = (Table.read(self.source, terms, unit=unit, spill=spill) for spill in (None, self.spill))
        assert held.rows is None and spilled.rows is not None
        return held, spilled


@pytest.fixture(scope="module", params=SOURCES)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("tables")
    source = folder / f"table.{request.param}"
    SOURCES[request.param](source)
    (folder / "home").mkdir()
    return Both(source, Spill(folder / "home", 1000))


def registered(table: Table) -> Registration:
    return register(table, KEY, "People", policy=open_policy(), subgroups={"ward": True})


@pytest.mark.parametrize("unit", [None, OF_PEOPLE], ids=["records", "units"])
def test_records_and_leaves_on_disk_are_those_in_memory(both: Both, unit: UnitColumn | None) -> None:
    held, spilled = both.tables(unit)
    assert (held.columns, held.count, held.record_count) == (spilled.columns, spilled.count, spilled.record_count)
    assert record_leaves(held, KEY) == record_leaves(spilled, KEY)
    wanted = np.array([held.count - 1, 0, 0, 4_096])
    for name, array in held.arrays.items():
        assert np.array_equal(spilled.arrays[name], array)
        assert np.array_equal(spilled.arrays[name][wanted], array[wanted])


def test_card_mock_data_and_openings_of_a_table_on_disk_are_those_of_one_in_memory(both: Both) -> None:
    held, spilled = both.tables()
    expected, registration = registered(held), registered(spilled)
    assert registration.card.encode() == expected.card.encode()
    assert registration.leaves == expected.leaves
    mocks = [mock_table(expected.card, table, 300, KEY) for table in (held, spilled)]
    assert record_leaves(mocks[0], KEY) == record_leaves(mocks[1], KEY)
    wanted = [0, 255, 256, 4_097, COUNT - 1]
    openings = list(open_records(spilled, KEY, check_unchanged(spilled, KEY, expected.root), wanted))
    assert openings == list(open_records(held, KEY, expected.leaves, wanted))
    for opening in openings:
        verify_record(opening, expected.root)


def test_groups_and_concerns_are_found_on_disk_as_in_memory(both: Both) -> None:
    held, spilled = both.tables()
    groups = find_groups(held, {"ward": True})
    assert find_groups(spilled, {"ward": True}) == groups
    assert np.array_equal(group_numbers(held, groups)["ward"], group_numbers(spilled, groups)["ward"])
    constants = {"sick": {"categories": [0, 1, 2]}, "ward": {"categories": list(range(2_000))}}
    messages = list[str]()
    for table in (held, spilled):
        with pytest.raises(InputRefused) as refused:
            require_no_concern(table, constants, frozenset({Rule.DIFFERING}))
        messages.append(str(refused.value))
    assert messages[0] == messages[1] and "ward" in messages[0]


@pytest.mark.parametrize("loss", ["cross_entropy", "mse_loss", "binary_cross_entropy_with_logits"])
def test_batches_of_a_table_on_disk_are_those_of_one_in_memory(both: Both, tmp_path: Path, loss: str) -> None:
    held, spilled = both.tables()
    card = registered(held).card
    spilled.write_for_worker(tmp_path / "records")
    handed_over = replace(Table.load(tmp_path / "records"), categories=held.categories)
    inputs = (("age", "dose", "ward"), *([("image",)] if "image" in held.arrays else []))
    plan = Plan(inputs=inputs, target="sick", transform=dict(card.transform), loss=Choice(loss, {}))
    recipe = cast(Recipe, plan)
    takes = [assemble(recipe, table) for table in (held, spilled, handed_over)]
    for rows in np.random.default_rng(3).integers(0, COUNT, (4, 700)).astype(np.uint64):
        (expected, target), *others = (take(rows) for take in takes)
        for arrays, classes in others:
            assert target.tobytes() == classes.tobytes()
            assert [each.tobytes() for each in arrays] == [each.tobytes() for each in expected]


def test_a_changed_record_on_disk_is_named(both: Both) -> None:
    held, spilled = both.tables()
    leaves = record_leaves(held, KEY)
    before = Leaves(b"".join([*leaves[:5_000], bytes(32), *leaves[5_001:]]))
    with pytest.raises(DatasetChanged, match="record 5000 is the first"):
        check_unchanged(spilled, KEY, registered(held).root.__class__(bytes(32)), before)  # type: ignore[arg-type]


def test_a_bad_cell_far_down_is_refused_by_its_record(tmp_path: Path) -> None:
    numbers = np.zeros(COUNT)
    np.savez(tmp_path / "a.npz", x=numbers, y=np.arange(COUNT))
    reading = Table.read(tmp_path / "a.npz", ReadingTerms(target="y", drop=())).reading
    assert reading is not None
    numbers[7_777] = np.inf
    np.savez(tmp_path / "a.npz", x=numbers, y=np.arange(COUNT))
    for spill in (None, Spill(tmp_path, 1000)):
        with pytest.raises(InputRefused, match="record 7777, column 'x'"):
            Table.read_as(tmp_path / "a.npz", reading, spill=spill)


def test_records_on_disk_have_no_name_and_go_with_the_table(both: Both) -> None:
    def held_open() -> int:
        targets = (os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd") if exists(each))
        return sum(str(both.spill.folder) in target for target in targets)

    def exists(descriptor: str) -> bool:
        return os.path.lexists(f"/proc/self/fd/{descriptor}")

    before = held_open()
    _, spilled = both.tables()
    leaves = record_leaves(spilled, KEY)
    assert held_open() == before + 2 and list(both.spill.folder.iterdir()) == []
    assert os.fstat(spilled.rows.file.fileno()).st_mode & 0o777 == 0o600  # type: ignore[union-attr]
    del spilled, leaves
    assert held_open() == before


STUCK = """
import sys, time
from pathlib import Path
from typing import cast
from fitchain.pod.compute.dataset import ReadingTerms, Spill, Table
table = Table.read(Path(sys.argv[1]), ReadingTerms(target="sick"), spill=Spill(Path(sys.argv[2]), 1000))
print("read", flush=True)
time.sleep(600)
"""


def test_a_killed_process_leaves_no_records(both: Both) -> None:
    command = [sys.executable, "-c", STUCK, str(both.source), str(both.spill.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None and process.stdout.readline() == b"read\n"
        process.send_signal(signal.SIGKILL)
    assert list(both.spill.folder.iterdir()) == []


def test_progress_rises_to_its_end(both: Both) -> None:
    told = list[tuple[str, float]]()
    _, spilled = both.tables()
    Table.read(both.source, TERMS, spill=both.spill, tick=lambda what, done: told.append((what, done)))
    record_leaves(spilled, KEY, lambda what, done: told.append((what, done)))
    whats = {what for what, _ in told}  # a table of numbers is read while its columns are looked at
    assert whats - {"reading"} == {"looking at the columns", "hashing"}
    for what in whats:
        shares = [done for each, done in told if each == what]
        assert shares == sorted(shares) and len(shares) > 1 and max(shares) <= 1


# --- read once ------------------------------------------------------------------------------------

LATE = 4_100
LATE_CELLS = {
    "none": "1.5",
    "hole": "",
    "text": "x",
    "time": "2026-11-27",
    "padded": "007",
    "whole": "7",
    "far": "1e300",
}


@pytest.mark.parametrize("late", LATE_CELLS)
@pytest.mark.parametrize("early", ["2.25", "3"])
def test_what_is_kept_while_a_table_is_looked_at_is_what_it_is_read_as(tmp_path: Path, early: str, late: str) -> None:
    source = tmp_path / "a.csv"
    cells = [(early if number < LATE else LATE_CELLS[late], number % 2) for number in range(LATE + 10)]
    source.write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in cells))
    terms, tables = ReadingTerms(target="y"), list[Table]()
    for spill in (None, Spill(tmp_path), Spill(tmp_path, 1000)):
        try:
            tables.append(Table.read(source, terms, spill=spill))
        except InputRefused:
            assert not tables and late in ("text", "time", "padded", "hole")
    for table in tables:
        assert table.reading is not None
        again = Table.read_as(source, table.reading, spill=Spill(tmp_path))
        assert table.columns == again.columns == tables[0].columns
        assert record_leaves(table, KEY) == record_leaves(again, KEY) == record_leaves(tables[0], KEY)


def test_a_table_of_numbers_is_read_once(tmp_path: Path) -> None:
    source, passes = tmp_path / "a.csv", list[str]()
    source.write_text("x,y\n" + "".join(f"{number / 4},{number % 2}\n" for number in range(LATE)))
    terms = ReadingTerms(target="y")
    Table.read(source, terms, spill=Spill(tmp_path, 1000), tick=lambda what, done: passes.append(what))
    assert set(passes) == {"looking at the columns"}


# --- the tree -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 511, 513, 1000])
def test_flat_leaves_have_the_trees_root_and_paths(tmp_path: Path, count: int) -> None:
    digests = [sha256(str(number).encode()) for number in range(count)]
    data = b"".join(map(bytes, digests))
    for leaves in (Leaves(data), Leaves.of([data[:32], data[32:]], tmp_path)):
        assert leaves.root == tree_root(digests)
        for index in {0, count // 2, count - 1, min(256, count - 1)}:
            assert list(leaves.path(index)) == inclusion_path(digests, index)


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40), st.integers(0, 39))
def test_the_first_difference_is_found(entries: list[bytes], index: int) -> None:
    index %= len(entries)
    changed = [*entries[:index], bytes(byte ^ 1 for byte in entries[index]), *entries[index + 1 :]]
    own, other = Leaves(b"".join(entries)), Leaves(b"".join(changed))
    assert own.first_difference(other) == index and own.first_difference(own) is None


def test_saved_leaves_are_read_again(tmp_path: Path) -> None:
    leaves = Leaves.of([bytes([number]) * 32 for number in range(9)], tmp_path)
    leaves.save(tmp_path / "leaves")
    assert Leaves.open(tmp_path / "leaves") == leaves
    assert (tmp_path / "leaves").stat().st_mode & 0o777 == 0o600


def test_progress_says_how_long_it_will_take_and_nothing_of_what_is_short() -> None:
    seconds, lines = iter([0.0, 4.0, 20.0, 25.0, 40.0, 41.0, 50.0]), list[str]()
    progress = Shares(lambda: next(seconds), lines.append)
    for what, done in (("a", 0.0), ("a", 0.1), ("a", 0.25), ("a", 0.3), ("a", 0.5), ("b", 0.0), ("b", 0.0)):
        progress(what, done)
    assert lines == ["a: 25%, 60 s left", "a: 50%, 40 s left", "b, 9 s so far"]
