"""Records, cards, policies and mock data: what is registered, what is published, what
is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fitchain.pod.compute.dataset import (
    NO_UNIT,
    Card,
    Column,
    Disclosure,
    Opening,
    Policy,
    ReadingTerms,
    Table,
    Task,
    check_unchanged,
    dataset_root,
    fit_transform,
    mock_table,
    open_records,
    record_leaves,
    register,
    salt,
    salts,
    verify_record,
)
from fitchain.pod.compute.dataset.records import record_leaf
from fitchain.pod.ports.store import Cid
from fitchain.pod.values.amounts import FIT
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import (
    ZERO,
    Digest,
    Root,
    canonical_json,
    inclusion_path,
    published_root,
    sha256,
)
from fitchain.pod.values.errors import ClaimMismatch, DatasetChanged, DigestMismatch, InputRefused
from fitchain.pod.values.recipe import Recipe
from tests.policies import open_policy
from tests.speeds import examples

KEY = bytes(range(32))
CID = Cid.parse("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
FLOATS = st.floats(-1e6, 1e6, allow_subnormal=False)


def small_table(count: int = 40, seed: int = 1) -> Table:
    random = np.random.default_rng(seed)
    return Table.of(
        {
            "age": np.round(random.uniform(20, 80, count), 1),
            "image": random.integers(0, 255, (count, 2, 2), dtype=np.uint8),
            "sick": np.arange(count) % 2,
        },
        target="sick",
    )


TABLE = small_table()
REGISTRATION = register(
    TABLE, KEY, "People", units={"age": "years"}, licence="CC0-1.0", price=5 * 10**18, policy=open_policy()
)
CARD, LEAVES = REGISTRATION.card, record_leaves(TABLE, KEY)


def first_records(count: int) -> Table:
    return Table.of({name: array[:count] for name, array in TABLE.arrays.items()}, TABLE.target)


def schema(columns: Sequence[Column]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(column.name, column.dtype, column.shape) for column in columns]


def changed(table: Table, name: str, index: int, value: Any) -> Table:
    array = table.arrays[name].copy()
    array[index] = value
    return Table.of({**table.arrays, name: array}, table.target)


# --- leaves and roots -------------------------------------------------------------------------


def test_a_leaf_and_a_root_are_as_defined() -> None:
    salt = blake3(b"", key=KEY).digest(length=128)[96:]
    head = hashlib.sha256(b"fitchain/record/v2").digest() + (3).to_bytes(8, "big") + salt + bytes(32)
    assert LEAVES[3] == hashlib.sha256(head + TABLE.record(3)).digest()
    assert REGISTRATION.root == published_root("fitchain/dataset/v2", [Digest(leaf) for leaf in LEAVES])


def test_the_root_is_pinned() -> None:
    table = Table.of({"x": np.array([0.5, -1.0, 2.0]), "y": np.array([0, 1, 1])}, target="y")
    root = "0xbc531a0b565a76436c2c670c0d7d3264c75c6fba914530b452832a8f90d6f360"
    assert str(register(table, KEY, "golden").root) == root


@pytest.mark.parametrize(("rows", "width"), [(9000, 1), (70, 40_000), (1, 300_000)])
def test_leaves_made_in_slabs_and_threads_are_those_of_single_records(rows: int, width: int) -> None:
    table = Table.of({"x": np.arange(rows * width, dtype=np.float64).reshape(rows, width)})
    leaves = record_leaves(table, KEY)
    assert len(leaves) == rows
    for index in {0, rows // 2, rows - 1}:
        assert leaves[index] == record_leaf(index, salt(KEY, index), NO_UNIT, table.record(index))


@given(st.integers(0, 1 << 40), st.integers(0, 20))
def test_many_salts_are_those_of_single_records(start: int, count: int) -> None:
    together = salts(KEY, start, start + count)
    assert together == b"".join(salt(KEY, index) for index in range(start, start + count))


@given(st.integers(0, 39), st.sampled_from(["age", "sick"]))
def test_changing_one_cell_changes_the_root_and_is_named(index: int, name: str) -> None:
    now = changed(TABLE, name, index, 99)
    with pytest.raises(DatasetChanged, match=f"record {index} is the first that differs"):
        check_unchanged(now, KEY, REGISTRATION.root, REGISTRATION.leaves)


def test_an_unchanged_dataset_yields_its_leaves() -> None:
    assert check_unchanged(small_table(), KEY, REGISTRATION.root) == LEAVES


def test_a_dataset_with_a_record_less_is_changed() -> None:
    with pytest.raises(DatasetChanged, match="40 records were registered and there are 39"):
        check_unchanged(first_records(39), KEY, REGISTRATION.root, REGISTRATION.leaves)


def test_the_same_records_under_another_key_share_no_leaf() -> None:
    assert not set(LEAVES) & set(record_leaves(TABLE, bytes(32)))


def test_equal_records_have_different_leaves() -> None:
    assert len(set(record_leaves(Table.of({"x": np.zeros(50)}), KEY))) == 50


def test_a_short_key_is_refused() -> None:
    with pytest.raises(InputRefused, match="32 bytes, not 5"):
        register(TABLE, b"short", "x")


# --- openings ---------------------------------------------------------------------------------


@settings(max_examples=examples(40))
@given(st.integers(1, 40), st.data())
def test_every_record_opens_with_the_trees_path(count: int, data: st.DataObject) -> None:
    table, leaves = first_records(count), LEAVES[:count]
    index = data.draw(st.integers(0, count - 1))
    opening = next(open_records(table, KEY, leaves, [index]))
    assert list(opening.path) == inclusion_path([Digest(leaf) for leaf in leaves], index)
    verify_record(Opening.from_json(opening.json()), dataset_root(leaves))


def test_an_opening_gives_back_the_cells() -> None:
    cells = next(open_records(TABLE, KEY, LEAVES, [7])).cells(CARD.columns)
    assert all(np.array_equal(cells[name], TABLE.arrays[name][7]) for name in ("age", "image", "sick"))


OPENING = next(open_records(TABLE, KEY, LEAVES, [7]))
FORGED = [
    replace(OPENING, record=OPENING.record[:-1] + b"\x01"),
    replace(OPENING, salt=bytes(32)),
    replace(OPENING, unit=bytes(31) + b"\x01"),
    replace(OPENING, index=6),
    replace(OPENING, count=39),
    replace(OPENING, path=OPENING.path[:-1]),
    replace(OPENING, path=(*OPENING.path, ZERO)),
    replace(OPENING, path=(ZERO, *OPENING.path[1:])),
]


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_opening_is_not_accepted(forged: Opening) -> None:
    with pytest.raises((DigestMismatch, InputRefused)):
        verify_record(forged, REGISTRATION.root)


def test_an_opening_under_another_schema_is_refuted() -> None:
    with pytest.raises(DigestMismatch, match="another schema"):
        OPENING.cells([Column("size", "float64"), *CARD.columns[1:]])


def test_a_unit_that_the_dataset_has_not_is_refused_by_name() -> None:
    with pytest.raises(DigestMismatch, match=r"record 7 names the unit 01.*, and with units of a record each it has"):
        verify_record(replace(OPENING, unit=b"\x01" * 32), REGISTRATION.root)


@pytest.mark.parametrize(
    "change",
    [
        {"index": -1},
        {"index": True},
        {"salt": "00"},
        {"unit": "00"},
        {"record": "zz"},
        {"path": ["0x"]},
        {"more": 1},
    ],
)
def test_a_malformed_opening_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputRefused):
        Opening.from_json(OPENING.json() | change)


def test_there_is_no_opening_outside_the_dataset() -> None:
    with pytest.raises(InputRefused, match="none of index 40"):
        list(open_records(TABLE, KEY, LEAVES, [0, 40]))


# --- cards ------------------------------------------------------------------------------------


def test_a_card_reads_back() -> None:
    card = CARD.with_mock(CID)
    assert Card.parse(card.encode()) == card
    assert card.digest != CARD.digest


@given(hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e150, 1e150)))
def test_constants_survive_json_bit_for_bit(numbers: Any) -> None:
    card = register(Table.of({"x": np.concatenate([numbers] * 20)}), KEY, "x").card
    assert Card.parse(card.encode()).transform == card.transform
    assert card.transform["x"]["scale"] > 0


def test_numbers_too_large_for_a_deviation_are_refused() -> None:
    with pytest.raises(InputRefused, match="too large"):
        fit_transform(Table.of({"x": np.array([1e200, -1e200] * 10)}))


def test_a_card_holds_what_a_reader_needs() -> None:
    value = CARD.json()
    assert value["columns"][0] == {"name": "age", "dtype": "float64", "shape": [], "unit": "years", "kind": "number"}
    assert value["transform"]["sick"] == {"categories": [0, 1]}
    assert value["transform"]["age"]["mean"] == pytest.approx(TABLE.arrays["age"].mean(), rel=1e-15)
    assert value["transform"]["image"]["scale"] == pytest.approx(TABLE.arrays["image"].std(), rel=1e-12)
    assert (value["count"], value["price"], value["root"]) == (40, "5000000000000000000", str(REGISTRATION.root))


BAD_CARDS: list[dict[str, Any]] = [
    {"version": "fitchain/card/v1"},
    {"unit": "age"},
    {"privacy": {}},
    {"privacy": {"delta": 0}},
    {"privacy": {"delta": 0.5}},
    {"privacy": {"delta": 1e-5, "epsilon": 3}},
    {"more": 1},
    {"columns": []},
    {"columns": [{"name": "age", "dtype": "object", "shape": [], "unit": ""}]},
    {"columns": [{"name": "age", "dtype": "float64", "shape": [-1], "unit": ""}]},
    {"columns": [{"name": "age", "dtype": "float64", "shape": [], "unit": ""}] * 2},
    {"target": "nobody"},
    {"count": 0},
    {"count": 40.5},
    {"root": "0x12"},
    {"price": "-1"},
    {"price": 5},
    {"price": str(1 << 128)},
    {"transform": {"age": {"mean": 0, "scale": 0}}},
    {"transform": {"age": {"mean": "0", "scale": 1}}},
    {"transform": {"nobody": {"mean": 0, "scale": 1}}},
    {"transform": {"sick": {"categories": [1, 0]}}},
    {"transform": [1]},
    {"policy": {}},
    {"mock": {"cid": "Qm"}},
    {"mock": "bafk"},
    {"probes": {"cpu-native": "0x12"}},
    {"probes": {"a class": str(ZERO)}},
    {"probes": {f"class-{number}": str(ZERO) for number in range(17)}},
    {"name": 5},
    {"description": "x" * 20_001},
]


@pytest.mark.parametrize("change", BAD_CARDS)
def test_a_malformed_card_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputRefused):
        Card.parse(canonical_json(CARD.json() | change))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", CARD.encode() + b" "])
def test_what_is_no_canonical_card_is_refused(data: bytes) -> None:
    with pytest.raises(InputRefused):
        Card.parse(data)


def test_a_given_range_publishes_nothing_of_the_records() -> None:
    constants = fit_transform(TABLE, "ranges", {"age": (0, 120)})
    assert constants == {"age": {"low": 0.0, "high": 120.0}, "sick": {"categories": [0, 1]}}


def test_declared_classes_are_published_whether_a_record_has_them_or_not() -> None:
    assert fit_transform(TABLE, "none", classes=(0, 1, 7)) == {"sick": {"categories": [0, 1, 7]}}


def test_a_target_is_of_declared_classes_or_a_number_in_a_range() -> None:
    """Which of both is never read from the records."""
    amounts = replace(TABLE, task=Task.REGRESSION)
    assert fit_transform(amounts, "none", {"sick": (0, 1)}, ()) == {"sick": {"low": 0.0, "high": 1.0}}
    ranges: tuple[dict[str, tuple[float, float]], ...] = ({}, {"sick": (0.0, 1.0)})
    for range_, classes in zip(ranges, ((), (0, 1)), strict=True):
        with pytest.raises(InputRefused, match="'sick' is either of classes or a number in a range"):
            fit_transform(TABLE, "none", range_, classes)
    texts = replace(amounts, categories={"sick": ("no", "yes")})
    with pytest.raises(InputRefused, match="'sick' has a range and holds texts"):
        fit_transform(texts, "none", ranges[1], ())


def test_without_transform_only_the_classes_are_published() -> None:
    assert fit_transform(TABLE, "none") == {"sick": {"categories": [0, 1]}}


def test_a_constant_column_has_scale_one() -> None:
    assert fit_transform(Table.of({"x": np.full(20, 3.0)})) == {"x": {"mean": 3.0, "scale": 1.0}}


def test_a_targets_texts_are_its_categories(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,label\n1,well\n2,sick\n")
    table = Table.read(tmp_path / "t.csv", ReadingTerms(target="label"))
    assert register(table, KEY, "x").card.categories == ("sick", "well")


def test_a_target_of_real_numbers_is_a_regressions() -> None:
    table = Table.of({"x": np.arange(30.0), "y": np.array([0.5, 1.0, 2.0] * 10)}, target="y")
    assert set(fit_transform(table)["y"]) == {"mean", "scale"}


@pytest.mark.parametrize(
    ("mode", "ranges"), [("minmax", {}), ("ranges", {"agee": (0, 1)}), ("ranges", {"age": (1, 1)})]
)
def test_a_transform_that_cannot_be_is_refused(mode: str, ranges: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(InputRefused):
        fit_transform(TABLE, mode, ranges)


# --- recipes against cards and policies -------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What a card and a policy read of a recipe."""

    dataset: Root = REGISTRATION.root
    inputs: tuple[tuple[str, ...], ...] = (("age",), ("image",))
    target: str = "sick"
    rows: tuple[int, int] = (0, 40)
    transform: dict[str, Any] = field(default_factory=lambda: dict(CARD.transform))
    batch_size: int = 8
    steps: int = 100
    privacy: None = None
    held_out: float | None = None
    subgroups: dict[str, Any] = field(default_factory=dict)


def recipe(**terms: Any) -> Recipe:
    return cast(Recipe, Plan(**terms))


def test_a_recipe_copied_from_the_card_is_admitted() -> None:
    CARD.admit(recipe(), price=0)
    CARD.admit(recipe(transform={}), price=0)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (recipe(target="sik"), "no column 'sik'"),
        (recipe(inputs=(("ages",),)), "no column 'ages'"),
        (recipe(rows=(0, 41)), "the rows 0 to 41 and the dataset has 40"),
        (recipe(transform={"age": {"mean": 0.0, "scale": 1.0}}), "constants of 'age'"),
    ],
)
def test_a_recipe_that_does_not_fit_the_dataset_is_refused(plan: Recipe, message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        CARD.check_recipe(plan)


def test_a_recipe_for_another_dataset_is_refuted() -> None:
    with pytest.raises(ClaimMismatch, match=str(ZERO)):
        CARD.check_recipe(recipe(dataset=Root(ZERO)))


ALICE = "0x" + "ab" * 20


@pytest.mark.parametrize(
    ("policy", "price", "disclosure", "message"),
    [
        (
            open_policy(minimum_price=10 * FIT),
            9 * FIT // 2,
            Disclosure(),
            "price 4.5 FIT is below the policy's minimum 10 FIT",
        ),
        (open_policy(maximum_steps=99), 0, Disclosure(), "100 steps and the policy admits 99"),
        (open_policy(minimum_batch=9), 0, Disclosure(), "batch size 8 is below the policy's minimum 9"),
        (open_policy(held_out=0.2), 0, Disclosure(), "holds out no records, and .* a share of at least 0.2"),
        (open_policy(scientists=("0x" + "cd" * 20,)), 0, Disclosure(), "may not ask"),
        (open_policy(), 0, Disclosure(AuditMode.SAMPLED, 5), "shows more than the policy's on-site"),
        (
            open_policy(disclosure_mode=AuditMode.SAMPLED),
            0,
            Disclosure(AuditMode.OPEN, 5),
            "shows more than the policy's sampled",
        ),
        (
            open_policy(disclosure_mode=AuditMode.OPEN, disclosure_cap=9),
            0,
            Disclosure(AuditMode.OPEN, 5, 5),
            "opened records to 10; the cap is 9",
        ),
    ],
)
def test_a_policy_refuses(policy: Policy, price: int, disclosure: Disclosure, message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        policy.admit(recipe(), price, ALICE, disclosure)


@pytest.mark.parametrize(
    ("policy", "disclosure"),
    [
        (open_policy(minimum_price=10, maximum_steps=100, minimum_batch=8, scientists=(ALICE,)), Disclosure()),
        (open_policy(most_memory_bytes=3 << 20), Disclosure()),
        (open_policy(disclosure_mode=AuditMode.SAMPLED, disclosure_cap=10), Disclosure(AuditMode.SAMPLED, 5, 5)),
        (open_policy(disclosure_mode=AuditMode.OPEN, disclosure_cap=None), Disclosure(AuditMode.ON_SITE, 10**9)),
    ],
)
def test_a_policy_admits_what_meets_it_exactly(policy: Policy, disclosure: Disclosure) -> None:
    policy.admit(recipe(), 10, ALICE.upper().replace("X", "x"), disclosure)
    assert Policy.from_json(policy.json()) == policy


def test_a_policy_refuses_a_step_that_takes_more_memory_and_says_what_to_do() -> None:
    policy = open_policy(most_memory_bytes=2048 << 20)
    policy.admit_memory(2048 << 20)
    with pytest.raises(InputRefused, match="a step takes 2049 MiB of memory, and the policy admits 2 GiB") as told:
        policy.admit_memory((2048 << 20) + 1)
    assert "micro_batch" in str(told.value.hint)


def test_a_policy_that_names_nobody_admits_nobody_unless_it_says_what_models_may_do() -> None:
    closed = Policy(manual_approval=True)
    with pytest.raises(InputRefused, match="would be open to strangers"):
        closed.require_askers(False)
    with pytest.raises(InputRefused, match="may not ask for this dataset"):
        closed.admit(recipe(), 10, ALICE)
    for policy in (Policy(scientists=(ALICE,)), open_policy()):
        policy.require_askers(False)
        policy.admit(recipe(), 10, ALICE)
    assert open_policy().admits_strangers(False) and not open_policy(scientists=(ALICE,)).admits_strangers(False)
    assert Policy().admits_strangers(True) and not Policy(scientists=(ALICE,)).admits_strangers(True)
    Policy().require_askers(True)


def test_a_policy_accepts_the_panels_that_it_names() -> None:
    named, other, pool = sha256(b"panel"), sha256(b"other"), ZERO
    some, no, any_panel = open_policy(panels=(str(named),)), open_policy(), open_policy(panels=None)
    for policy, accepted in ((some, [True, False, False]), (no, [False] * 3), (any_panel, [True] * 3)):
        assert [policy.accepts_panel(panel) for panel in (named, other, pool)] == accepted
        assert Policy.from_json(policy.json()) == policy


@pytest.mark.parametrize(
    "policy",
    [
        open_policy(minimum_batch=0),
        open_policy(most_memory_bytes=0),
        open_policy(held_out=0.6),
        open_policy(scientists=("0xABC",)),
        open_policy(panels=("0x12",)),
        open_policy(panels=(str(ZERO).replace("0x0", "0xA"),)),
    ],
)
def test_a_policy_that_could_not_be_read_is_not_registered(policy: Policy) -> None:
    with pytest.raises(InputRefused):
        register(TABLE, KEY, "x", policy=policy)


@pytest.mark.parametrize("word", ["all", "secret", "on_site", 0])
def test_a_policy_of_an_unknown_audit_mode_is_refused(word: object) -> None:
    with pytest.raises(InputRefused, match="disclosure_mode is one of open, sampled, on-site"):
        Policy.from_json(open_policy().json() | {"disclosure_mode": word})


def test_modes_disclose_more_the_further_they_reach() -> None:
    rising = [AuditMode.ON_SITE, AuditMode.SAMPLED, AuditMode.OPEN]
    for place, mode in enumerate(rising):
        assert [mode.discloses_more_than(other) for other in rising] == [place > other for other in range(3)]
        assert AuditMode.parse(mode.word) is mode
    with pytest.raises(TypeError):
        assert AuditMode.OPEN < AuditMode.ON_SITE  # type: ignore[operator]


# --- mock data --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", [1e20, -1e20, 2.0**25, 2e16, 5e-324, -5e-324, 1e-45, 0.0, 1e30, -3e38])
def test_mock_data_of_a_column_of_one_value_is_beside_it(dtype: Any, cell: float) -> None:
    real = Table.of({"x": np.full(8, cell, dtype)})
    for transform in ("standard", "none"):
        mock = mock_table(register(real, KEY, "x", transform=transform).card, real, 16, KEY)
        assert np.isfinite(mock.arrays["x"]).all() and not np.isin(mock.arrays["x"], real.arrays["x"]).any()


def test_mock_data_of_a_column_that_has_nearly_every_number_ends() -> None:
    numbers = (np.arange(1 << 12, dtype=np.uint32) + np.float32(1.0).view(np.uint32)).view(np.float32)
    real = Table.of({"x": numbers})
    mock = mock_table(
        register(real, KEY, "x", transform="ranges", ranges={"x": (1.0, float(numbers[-1]))}).card, real, 64, KEY
    )
    assert not np.isin(mock.arrays["x"], numbers).any()


@settings(max_examples=examples(30))
@given(hnp.arrays(np.float32, st.integers(5, 40), elements=st.floats(-100, 100, width=32)), st.booleans())
def test_no_real_number_is_copied_into_mock_data(numbers: Any, standard: bool) -> None:
    table = Table.of({"x": numbers, "z": np.round(numbers, 1)})
    card = register(table, KEY, "x", transform="standard" if standard else "none").card
    mock = mock_table(card, table, 500, KEY)
    assert not any(np.isin(mock.arrays[name], table.arrays[name]).any() for name in ("x", "z"))


def test_mock_data_has_the_schema_and_is_marked(tmp_path: Path) -> None:
    mock = mock_table(CARD, TABLE, 25, KEY)
    assert schema(mock.columns) == schema(CARD.columns)
    mock.write_npz(tmp_path / "mock.npz")
    again = Table.read(tmp_path / "mock.npz", ReadingTerms(target="sick"))
    assert again.mock and again.count == 25
    with pytest.raises(InputRefused, match="marked as mock data"):
        register(again, KEY, "x")


def test_mock_csv_is_known_by_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "mock.csv").write_text("# mock data made by fitchain, no real record\nx,y\n0.5,no\n1.5,yes\n")
    assert Table.read(
        tmp_path / "mock.csv",
        ReadingTerms(
            target="y",
            categories={
                "y": (
                    "no",
                    "yes",
                )
            },
        ),
    ).mock


@pytest.mark.parametrize("count", [2, 300])
def test_every_class_occurs_in_mock_data(count: int) -> None:
    classes = np.array([3] * 60 + [5] * 40 + [9] * 4)
    table = Table.of({"y": classes}, target="y", task=Task.CLASSIFICATION)
    mock = mock_table(register(table, KEY, "x").card, table, count, KEY)
    assert set(mock.arrays["y"].tolist()) == {3, 5, 9}


def test_integers_stay_within_what_their_type_holds() -> None:
    table = Table.of({"x": np.array([0, 255, 255], np.uint8), "w": np.array([-(2**63), 2**63 - 1, 0])})
    mock = mock_table(register(table, KEY, "x").card, table, 100, KEY)
    assert mock.arrays["x"].dtype == np.uint8


def test_mock_data_shows_no_extreme_value() -> None:
    table = Table.of({"x": np.array([1.25, 7.3, 93.7])})
    card = register(table, KEY, "x", transform="none").card
    drawn = mock_table(card, table, 4000, KEY).arrays["x"]
    assert 1.0 <= drawn.min() < 1.25 and 93.7 < drawn.max() <= 100.0


def test_the_same_key_draws_the_same_mock_data() -> None:
    first, second = (mock_table(CARD, TABLE, 5, KEY) for _ in range(2))
    assert first.record(4) == second.record(4) != mock_table(CARD, TABLE, 5, bytes(32)).record(4)
