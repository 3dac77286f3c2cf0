"""Units of privacy of several records: how records are laid out, what a step does with a unit, what
an audit opens of it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from fitchain.cli.views.held_out import held_out_sentence
from fitchain.pod.compute import private_training
from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.dataset import (
    FILLED,
    Card,
    CardPrivacy,
    CardUnit,
    Opening,
    ReadingTerms,
    Table,
    UnitColumn,
    assemble,
    dataset_root,
    drawn_batches,
    held_out_rows,
    mock_table,
    open_records,
    record_leaves,
    register,
    verify_record,
)
from fitchain.pod.compute.dataset.order import training_rows
from fitchain.pod.compute.dataset.records import Registration, record_leaf, salt
from fitchain.pod.compute.dataset.units import rows_of, slots_of, unit_word
from fitchain.pod.compute.environment.classes import DEFAULT
from fitchain.pod.compute.held_out import MEAN_GRID, evaluate_held_out
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.private_training import RecordGradients
from fitchain.pod.jobs.worker import Context, run_worker
from fitchain.pod.jobs.worker.events import ReplayEnded
from fitchain.pod.jobs.worker.task import Replay
from fitchain.pod.ports.agreement import Outcome
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.checking import check
from fitchain.pod.proof.audit.evidence import Evidence, segment_records
from fitchain.pod.proof.audit.records import OpenedRecords, write_opened
from fitchain.pod.values.errors import DigestMismatch, InputRefused
from fitchain.pod.values.held_out import HeldOut, NoisedMean
from fitchain.pod.values.job_folder import EVIDENCE_RECORDS as RECORDS
from fitchain.pod.values.privacy import ledger
from fitchain.pod.values.privacy.accountant import renyi
from fitchain.pod.values.privacy.keys import segment_key
from fitchain.pod.values.recipe import Recipe, draft
from tests.audits import KEY, Case, trained, trained_here
from tests.policies import open_policy
from tests.training_jobs import (
    CTX,
    NOISE,
    PRIVACY,
    SEED,
    PrivateNet,
    exported,
    job_folder,
    leaf_digests,
    private_recipe,
    table,
    train_folder,
)

K = 4
WHOSE = np.random.default_rng(7).integers(0, 16, 40)
"""Of 40 records, whose they are: 16 units, some with more than four records."""
UNIT = UnitColumn("patient", K)
RECORDS_OF_UNITS = table().by_unit(WHOSE, UNIT)
UNITS = RECORDS_OF_UNITS.count // K
OF_UNITS: dict[str, Any] = {
    "privacy": PRIVACY | {"unit_records": K},
    "rows": [0, UNITS * K],
    "batch_size": 4,
}


def unit_recipe(**changes: Any) -> Recipe:
    return private_recipe(**OF_UNITS | changes)


# Laid out by unit


@examples(st.lists(st.integers(-3, 9), min_size=1, max_size=60), st.integers(1, 6))
def test_each_unit_has_its_first_records_in_its_rows_and_no_other(whose: list[int], most: int) -> None:
    rows, filled = slots_of(np.array(whose), most)
    units = list(dict.fromkeys(whose))
    assert len(rows) == len(filled) == len(units) * most
    for number, unit in enumerate(units):
        own = [record for record, each in enumerate(whose) if each == unit]
        slots = slice(number * most, (number + 1) * most)
        assert rows[slots][filled[slots]].tolist() == own[:most]
        assert set(rows[slots][~filled[slots]].tolist()) <= {own[-1]}  # an empty row repeats the last record


@examples(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 5), st.permutations(range(6)))
def test_the_layout_knows_whose_a_record_is_and_not_what_they_are_called(
    whose: list[int], most: int, names: list[int]
) -> None:
    named = np.array([float(names[each]) / 7 for each in whose])
    for one, other in zip(slots_of(np.array(whose), most), slots_of(named, most), strict=True):
        assert (one == other).all()


@examples(st.lists(st.integers(0, 5), min_size=2, max_size=40), st.integers(1, 5), st.data())
def test_a_units_records_depend_on_no_other_unit(whose: list[int], most: int, data: Any) -> None:
    unit = data.draw(st.sampled_from(whose))

    def own(kept: list[int]) -> list[int]:
        rows, filled = slots_of(np.array([whose[record] for record in kept]), most)
        return [kept[row] for row in rows[filled] if whose[kept[row]] == unit]

    everybody = list(range(len(whose)))
    others = [record for record in everybody if whose[record] != unit]
    without = data.draw(st.sets(st.sampled_from(others))) if others else set[int]()
    assert own(everybody) == own([record for record in everybody if record not in without])


def test_table_of_units_says_what_it_leaves_out_and_which_rows_are_empty() -> None:
    counts = np.bincount(WHOSE)
    assert RECORDS_OF_UNITS.unit_records == K and np.count_nonzero(counts) == UNITS
    assert RECORDS_OF_UNITS.record_count == np.minimum(counts, K).sum() == RECORDS_OF_UNITS.arrays[FILLED].sum()
    assert RECORDS_OF_UNITS.left_out == 40 - RECORDS_OF_UNITS.record_count > 0


def csv(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


VISITS = "patient,age,dose,outcome\nann,51,1,well\nbob,40,2,ill\nann,52,3,well\n ann ,53,4,ill\ncy,30,5,ill\n"


def test_a_file_is_read_by_unit_of_texts_and_the_column_is_no_record(tmp_path: Path) -> None:
    read = Table.read(
        csv(tmp_path / "visits.csv", VISITS), ReadingTerms(target="outcome"), unit=UnitColumn("patient", 2)
    )
    assert [column.name for column in read.columns] == ["age", "dose", "outcome", FILLED]
    assert read.arrays["age"].tolist() == [51, 52, 40, 40, 30, 30]
    assert read.arrays[FILLED].tolist() == [True, True, True, False, True, False]
    assert (read.count, read.record_count, read.left_out) == (6, 4, 1)


def test_a_file_of_arrays_is_read_by_unit_of_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "scans.npz", scan=np.arange(24.0).reshape(4, 6), who=np.array([7, 5, 7, 7]), kind=[0, 1, 0, 1])
    read = Table.read(tmp_path / "scans.npz", ReadingTerms(target="kind"), unit=UnitColumn("who", 2))
    assert read.arrays["scan"][:, 0].tolist() == [0, 12, 6, 6] and "who" not in read.arrays


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"unit": UnitColumn("patint")}, "the unit column 'patint' is not in the table"),
        ({"unit": UnitColumn("outcome")}, "'outcome' says whose record one is, and is the target"),
        ({"unit": UnitColumn("patient"), "drop": ("patient",)}, "is the unit column, and is to be dropped"),
        (
            {"unit": UnitColumn("patient"), "only": ("patient", "age", "outcome")},
            "whose record one is, and is a feature",
        ),
    ],
)
def test_a_unit_column_that_is_not_there_or_is_something_else_is_refused(
    how: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputRefused, match=message):
        unit = how.pop("unit")
        Table.read(csv(tmp_path / "visits.csv", VISITS), ReadingTerms(target="outcome", **how), unit=unit)


def test_a_record_of_nobody_is_refused_by_its_line(tmp_path: Path) -> None:
    path = csv(tmp_path / "visits.csv", VISITS.replace(" ann ", " "))
    with pytest.raises(InputRefused, match="line 5, column 'patient': the unit's cell is missing"):
        Table.read(path, ReadingTerms(target="outcome"), unit=UnitColumn("patient"))


def test_unit_columns_of_arrays_or_of_no_number_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(2), who=np.ones((2, 2)))
    np.savez(tmp_path / "b.npz", x=np.ones(2), who=np.array([1.0, np.nan]))
    for name in ("a", "b"):
        with pytest.raises(InputRefused, match="column 'who': the unit's cell is missing, or no single value"):
            Table.read(tmp_path / f"{name}.npz", unit=UnitColumn("who"))


@pytest.mark.parametrize("most", [0, -1, 4097])
def test_a_unit_has_a_bounded_number_of_records(most: int) -> None:
    with pytest.raises(InputRefused, match="a unit has at most 1 to 4096 records"):
        UnitColumn("patient", most)


def test_a_table_that_grows_beyond_the_limit_is_refused() -> None:
    with pytest.raises(InputRefused, match=r"the units take .* bytes with 4 records each"):
        table().by_unit(WHOSE, UNIT, limit_bytes=1000)
    with pytest.raises(InputRefused, match="a column is called 'slot filled'"):
        RECORDS_OF_UNITS.by_unit(np.arange(RECORDS_OF_UNITS.count), UNIT)


# Registered


def registered(unit: UnitColumn | None = UNIT, records: Table = RECORDS_OF_UNITS, **how: Any) -> Registration:
    privacy = how.pop("privacy", CardPrivacy(1e-3))
    return register(
        records, KEY, "Visits", transform="ranges", ranges=dict.fromkeys("abcd", (-2, 2)), policy=open_policy(),
        privacy=privacy, unit=unit, **how,
    )  # fmt: skip


def test_a_card_names_unit_and_counts_and_no_record_of_it() -> None:
    card = registered().card
    assert card.unit == CardUnit("patient", K, RECORDS_OF_UNITS.record_count)
    assert (card.count, card.unit_count, card.record_count) == (UNITS * K, UNITS, RECORDS_OF_UNITS.record_count)
    assert Card.parse(card.encode()) == card and "patient" not in [column.name for column in card.columns]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": None}, "has a column 'slot filled' and not a unit"),
        ({"privacy": None}, "units of privacy are what a privacy budget protects"),
        ({"unit": CardUnit("a", K, 40)}, "the unit column 'a' is one of the records' own"),
        ({"target": FILLED}, "'slot filled' a target"),
    ],
)
def test_a_card_whose_unit_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        replace(registered().card, **change)


@pytest.mark.parametrize(
    "unit",
    [
        {"column": "patient", "most_records": 7, "records": 40},
        {"column": "patient", "most_records": K, "records": UNITS - 1},
        {"column": "patient", "most_records": K, "records": UNITS * K + 1},
        {"column": "", "most_records": K, "records": 40},
        {"column": "patient", "most_records": K},
        "patient",
    ],
)
def test_a_cards_unit_of_another_form_is_refused(unit: Any) -> None:
    with pytest.raises(InputRefused):
        Card.from_json(registered().card.json() | {"unit": unit})


def test_a_table_read_by_another_unit_is_not_registered() -> None:
    with pytest.raises(InputRefused, match="the table has 4 rows for each unit"):
        registered(UnitColumn("patient", 5))
    with pytest.raises(InputRefused, match="the table has None rows for each unit"):
        registered(UNIT, table())


def test_mock_units_have_as_many_records_as_real_ones_on_average() -> None:
    card = registered().card
    mock = mock_table(card, RECORDS_OF_UNITS, 10, KEY, of_card_alone=True)
    usual = -(-card.record_count // card.unit_count)
    assert mock.count == 12 and mock.arrays[FILLED].reshape(-1, K).sum(1).tolist() == [usual] * 3


# The leaf of a record says its unit


def openings(records: Table = RECORDS_OF_UNITS) -> list[Opening]:
    leaves = record_leaves(records, KEY)
    return list(open_records(records, KEY, leaves, range(records.count)))


def test_leaves_are_laid_out_as_the_format_says_and_open() -> None:
    leaves, root = record_leaves(RECORDS_OF_UNITS, KEY), registered().root
    assert root == dataset_root(leaves)
    for index in (0, K - 1, K, UNITS * K - 1):
        record = RECORDS_OF_UNITS.record(index)
        assert leaves[index] == record_leaf(index, salt(KEY, index), unit_word(index, K), record)
    for opening in openings():
        verify_record(opening, root, K)
    assert unit_word(0, K) == unit_word(K - 1, K) != unit_word(K, K) != unit_word(K, K - 1)


def test_a_record_of_another_unit_or_of_units_of_another_size_is_refused() -> None:
    first, root = openings()[0], registered().root
    with pytest.raises(DigestMismatch, match="record 0 leads to the dataset root"):
        verify_record(replace(first, record=openings()[K].record), root, K)
    with pytest.raises(DigestMismatch, match="record 0 names the unit"):
        verify_record(replace(first, unit=unit_word(K, K)), root, K)
    for other in (K - 1, K + 1, 1, None):
        with pytest.raises(DigestMismatch, match="record 0 names the unit"):
            verify_record(first, root, other)
        with pytest.raises(DigestMismatch, match="record 0 leads to the dataset root"):
            verify_record(replace(first, unit=unit_word(0, other)), root, other)


# The recipe


def test_a_step_draws_units_with_all_their_rows_by_a_rate_of_units() -> None:
    given = unit_recipe()
    assert (given.unit_count, given.sampling_rate) == (UNITS, -(-(4 << 32) // UNITS) / (1 << 32))
    sizes = []
    for rows in drawn_batches(given, SEED, lambda segment: segment_key(NOISE, segment)):
        units = rows[::K] // np.uint64(K)
        assert (rows == rows_of(units, K)).all() and (np.diff(units.astype(np.int64)) > 0).all()
        sizes.append(len(units))
    assert len(set(sizes)) > 1 and 1 < np.mean(sizes) < 8


def test_the_charge_counts_units() -> None:
    given = unit_recipe()
    assert given.privacy is not None
    rate = -(-(4 << 32) // UNITS) / (1 << 32)
    assert given.charge == ledger.charge(renyi(rate, given.privacy.sigma, given.steps))
    of_records = unit_recipe(privacy=PRIVACY)
    assert of_records.charge < given.charge  # of more, each is drawn less often


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [0, K + 1], "batch_size": 1}, "the rows 0 to 5 cut a unit of privacy apart, which has 4 rows"),
        ({"rows": [2, 2 + 4 * K]}, "the rows 2 to 18 cut a unit of privacy apart"),
        (
            {"batch_size": UNITS + 1},
            f"a batch of {UNITS + 1} units of privacy, of 4 rows each, does not fit into {UNITS * K} rows",
        ),
        ({"privacy": PRIVACY | {"unit_records": 0}}, "unit_records is an integer from 1 to 4096"),
        ({"privacy": {name: value for name, value in PRIVACY.items() if name != "unit_records"}}, "no field"),
    ],
)
def test_a_recipe_whose_rows_are_no_whole_units_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        unit_recipe(**change)


def test_a_draft_takes_unit_and_rate_from_the_card_and_no_slot_as_a_feature() -> None:
    card = registered().card
    graph, _ = exported(PrivateNet)
    given = draft(
        graph.digest, card.root, card.json(), "2.0", {"privacy": {"epsilon": 3}, "batch_size": 4, "epochs": 2}
    )
    assert given.privacy is not None and given.privacy.unit_records == K
    assert given.inputs == (("a", "b", "c", "d"),) and given.steps == 2 * (UNITS // 4)
    card.check_recipe(given)
    terms = {"privacy": {"epsilon": 3}, "batch_size": 4, "epochs": 2, "held_out": 0.4}
    # 6 units held out, of 4 rows each: evaluated in the time of 2 steps of 4 units, not of 4 rows
    assert draft(graph.digest, card.root, card.json(), "2.0", terms).segment_steps == 2
    for other in (None, 1, 2):
        changed = replace(given, privacy=replace(given.privacy, unit_records=other))
        with pytest.raises(InputRefused, match="the recipe's units of privacy have"):
            card.check_recipe(changed)
    with pytest.raises(InputRefused, match="'slot filled' is no feature"):
        card.check_recipe(replace(given, inputs=(("a", FILLED),)))
    with pytest.raises(InputRefused, match="no column 'patient'"):
        card.check_recipe(replace(given, inputs=(("a", "patient"),)))


# One unit


def records_of(unit: int) -> Any:
    """The rows that records of a unit fill."""
    rows = rows_of(np.array([unit], np.uint64), K)
    return rows[RECORDS_OF_UNITS.arrays[FILLED][rows]]


EVERYBODY = np.concatenate([records_of(unit) for unit in range(UNITS)])


def gradients() -> RecordGradients:
    graph, weights = exported(PrivateNet)
    return RecordGradients(Program(graph, dict(weights), DEFAULT), unit_recipe())


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e30])
def test_a_unit_moves_a_sum_by_the_clip_at_most_however_many_records_it_has(scale: float) -> None:
    made = gradients()
    arrays = {name: array * scale if name in "abcd" else array for name, array in RECORDS_OF_UNITS.arrays.items()}
    take = assemble(unit_recipe(transform={}), Table.of(arrays, "kind"))
    whole = made.sum(EVERYBODY, take, SEED, 0)
    moved = [made.sum(records_of(unit), take, SEED, 0) for unit in range(UNITS)]
    assert torch.equal(whole, torch.stack(moved).sum(0))
    norms = [sum(int(number) ** 2 for number in each) for each in moved]
    assert max(norms) <= made.terms.grid**2
    assert max(norms) > 0.9 * made.terms.grid**2 or scale == 1e30
    full = [unit for unit in range(UNITS) if RECORDS_OF_UNITS.arrays[FILLED].reshape(-1, K)[unit].all()]
    assert full and all(norms[unit] <= made.terms.grid**2 for unit in full)


def test_a_units_gradient_is_the_sum_of_those_of_its_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, take = gradients(), assemble(unit_recipe(transform={}), RECORDS_OF_UNITS)
    clipped = list[torch.Tensor]()
    summed_units = private_training.summed_units

    def looked_at(gradients_nD: torch.Tensor, terms: Any, memory: Any) -> torch.Tensor:
        clipped.extend(gradients_nD.clone())
        return summed_units(gradients_nD, terms, memory)

    monkeypatch.setattr(private_training, "summed_units", looked_at)
    filled = RECORDS_OF_UNITS.arrays[FILLED].reshape(-1, K)
    rows = records_of(int(np.flatnonzero(filled.sum(1) == 2)[0]))
    made.sum(rows, take, SEED, 0)
    (whole,) = clipped
    made.terms = replace(made.terms, unit_records=None)
    made.sum(rows, take, SEED, 0)
    assert len(clipped) == 3 and torch.equal(whole, clipped[1] + clipped[2])


def test_a_unit_with_a_record_that_fails_counts_as_zeros_and_others_as_ever() -> None:
    arrays = {name: array.copy() for name, array in RECORDS_OF_UNITS.arrays.items()}
    arrays["kind"][1] = -1
    assert arrays[FILLED][1]
    take = assemble(unit_recipe(transform={}), Table.of(arrays, "kind"))
    made, rest = gradients(), EVERYBODY[EVERYBODY >= K]
    assert not made.sum(records_of(0), take, SEED, 0).any()
    assert torch.equal(made.sum(EVERYBODY, take, SEED, 0), made.sum(rest, take, SEED, 0))


def test_a_row_that_no_record_fills_is_never_read(tmp_path: Path) -> None:
    """Other cells in it give the same leaves."""
    arrays = {name: array.copy() for name, array in RECORDS_OF_UNITS.arrays.items()}
    for name in "abcd":
        arrays[name][~arrays[FILLED]] = 1e6
    ends = []
    for name, records in (("one", RECORDS_OF_UNITS), ("other", Table.of(arrays, "kind"))):
        folder = job_folder(tmp_path / name, unit_recipe(), records=records)
        train_folder(folder)
        ends.append(leaf_digests(read_leaves(folder)))
    assert ends[0] == ends[1]


# Audited

AS_UNITS: dict[str, Any] = {"net": PrivateNet, "metrics": [], "records": RECORDS_OF_UNITS} | OF_UNITS


@pytest.fixture(scope="module")
def honest(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A job trained on units by a worker."""
    return trained(tmp_path_factory.mktemp("honest") / "job", store, **AS_UNITS)


def test_training_on_units_replays_bit_for_bit(honest: Case) -> None:
    ended = run_worker(honest.folder, Replay(Context(CTX, SEED, NOISE), tuple(range(6))))
    assert ended == ReplayEnded(6, True)


def test_evidence_opens_every_row_of_each_drawn_unit_and_matches(honest: Case) -> None:
    facts = honest.facts(honest.deliver(), drawn=1)
    examined = honest.examined(facts)
    assert (examined.outcome, examined.problems) == (Outcome.MATCH, ())
    opened = {opening.index for opening in honest.evidence(facts).records}
    used = {
        int(row)
        for segment in facts.audited
        for row in segment_records(honest.recipe, SEED, segment, segment_key(NOISE, segment))
    }
    assert opened == used and used == {row - row % K + slot for row in used for slot in range(K)}


def _left_out(records: list[Opening]) -> list[Opening]:
    return records[1:]


def _doubled(records: list[Opening]) -> list[Opening]:
    return [records[0], records[0], *records[1:]]


def _of_another_unit(records: list[Opening]) -> list[Opening]:
    return [replace(records[0], record=records[K].record, salt=records[K].salt), *records[1:]]


def _relabelled(records: list[Opening]) -> list[Opening]:
    return [replace(records[0], unit=records[K].unit), *records[1:]]


def _said_to_be_empty(records: list[Opening]) -> list[Opening]:
    return [replace(records[0], record=records[0].record[:-1] + b"\0"), *records[1:]]


def _without_units(records: list[Opening]) -> list[Opening]:
    return [replace(record, unit=bytes(32)) for record in records]


@pytest.mark.parametrize(
    ("cheat", "message"),
    [
        (_left_out, r"records.bin lacks record \d+"),
        (_doubled, r"record \d+ stands after record \d+"),
        (_of_another_unit, r"record \d+ leads to the dataset root"),
        (_relabelled, r"record \d+ names the unit"),
        (_said_to_be_empty, r"record \d+ leads to the dataset root"),
        (_without_units, r"record \d+ names the unit"),
    ],
)
def test_a_record_that_is_left_out_doubled_or_anothers_is_refused(
    honest: Case, cheat: Callable[[list[Opening]], list[Opening]], message: str
) -> None:
    def tamper(folder: Path) -> None:
        opened = OpenedRecords.read(folder / RECORDS)
        changed = cheat(list(opened))
        (folder / RECORDS).unlink()
        write_opened(folder / RECORDS, opened.columns, opened.count, changed, len(changed))

    facts = honest.facts(None, drawn=1)
    evidence: Evidence = honest.evidence(facts, tamper)
    checked = check(evidence, facts)
    assert len(checked.replayable) < len(facts.audited)
    with pytest.raises(AssertionError, match=message):
        assert not checked.problems, "; ".join(map(str, checked.problems))


def _first_record_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    add_up = RecordGradients.sum

    def first(self: RecordGradients, indices: Any, take: Any, seed: Any, step: int) -> Any:
        _, firsts = np.unique(indices // K, return_index=True)
        return add_up(self, indices[firsts] if step // 4 == 2 else indices, take, seed, step)

    monkeypatch.setattr(RecordGradients, "sum", first)


def _each_record_clipped_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    add_up = RecordGradients.sum

    def alone(self: RecordGradients, indices: Any, take: Any, seed: Any, step: int) -> Any:
        own = self.terms
        self.terms = replace(own, unit_records=None if step // 4 == 2 else own.unit_records)
        try:
            return add_up(self, indices, take, seed, step)
        finally:
            self.terms = own

    monkeypatch.setattr(RecordGradients, "sum", alone)


@pytest.mark.parametrize("cheat", [_first_record_alone, _each_record_clipped_alone])
def test_segment_that_left_records_out_or_clipped_each_alone_is_a_mismatch(
    cheat: Any, store: LocalStore, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        cheat(patched)
        case = trained_here(tmp_path / "job", store, **AS_UNITS)
    problems = case.replayed_here(case.facts(None))
    assert {problem.segment for problem in problems} == {2}


# Held out

HELD_OUT: dict[str, Any] = {"held_out": 0.3, "transform": {"kind": {"categories": [0, 1, 2]}}}


def test_people_are_held_out_with_all_their_records_and_never_drawn() -> None:
    given = unit_recipe(held_out=0.3)
    held_out, trained_on = held_out_rows(given, SEED), training_rows(given, SEED)
    assert given.held_out_count == -(-3 * UNITS // 10) and given.training_count == UNITS - given.held_out_count
    assert (held_out == rows_of(held_out[::K] // np.uint64(K), K)).all()
    assert sorted([*held_out, *trained_on]) == list(range(UNITS * K))
    drawn = np.concatenate(list(drawn_batches(given, SEED, lambda segment: segment_key(NOISE, segment))))
    assert drawn.size and set(drawn.tolist()) <= set(trained_on.tolist())
    rate = -(-(4 << 32) // given.training_count) / (1 << 32)
    assert given.sampling_rate == rate and given.most_records(2) <= 2 * given.training_count * K


def test_a_held_out_person_moves_what_is_told_by_one_clip_at_most() -> None:
    """Whatever numbers its records hold, and whether they can be evaluated."""
    given, graph = unit_recipe(**HELD_OUT), exported(PrivateNet)
    program = Program(graph[0], dict(graph[1]), DEFAULT)
    sums, told = [], HeldOut(1, None)
    for change in (None, 1.0, -30.0, 1e38):
        arrays = {name: array.copy() for name, array in RECORDS_OF_UNITS.arrays.items()}
        rows = held_out_rows(given, SEED)
        rows = rows[arrays[FILLED][rows]]
        first = rows[rows // K == rows[0] // K]
        for name in "abcd" if change is not None else "":
            arrays[name][first] *= change
            arrays["kind"][first] = (arrays["kind"][first] + 1) % 3
        take = assemble(given, Table.of(arrays, "kind"))
        told = evaluate_held_out(program, given, rows, take, SEED, segment_key(NOISE, 5))
        assert isinstance(told.outcome, NoisedMean) and told.outcome.of == "accuracy of units"
        assert told.records == given.held_out_count and HeldOut.from_json(told.json()) == told
        sums.append(told.outcome.sum)
    assert len(set(sums)) > 1 and max(sums) - min(sums) <= MEAN_GRID
    assert "held-out units that nobody trained on: accuracy" in held_out_sentence(told)


def test_held_out_people_are_opened_and_evaluated_again(store: LocalStore, tmp_path: Path) -> None:
    case = trained_here(tmp_path / "job", store, **AS_UNITS | HELD_OUT)
    facts = case.facts(None, drawn=0)
    assert case.replayed_here(facts) == []
    opened = {opening.index for opening in case.evidence(facts).records}
    assert set(held_out_rows(case.recipe, SEED).tolist()) <= opened


@settings(max_examples=20)
@examples(st.integers(0, 5))
def test_rows_of_a_segment_are_those_of_whole_units(segment: int) -> None:
    rows = segment_records(unit_recipe(), SEED, segment, segment_key(NOISE, segment))
    assert len(rows) % K == 0 and (rows.reshape(-1, K) % np.uint64(K) == np.arange(K)).all()
