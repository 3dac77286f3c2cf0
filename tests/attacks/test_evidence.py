"""What a verifier checks of leaves, evidence and delivery beyond the attacks of rows.py, each by
the check that is meant for it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.dataset import Opening
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.checking import check, check_delivered_graph, check_delivery
from fitchain.pod.proof.audit.evidence import most_records
from fitchain.pod.proof.audit.records import OpenedRecords
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.leaf import metrics_digest, state_word
from fitchain.pod.values.state import optimizer_root
from tests.attacks import cheats
from tests.audits import REF, Case, Tamper, trained_here, work_here
from tests.speeds import examples
from tests.training_jobs import PrivateNet, table

EVERY = [0, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """An honest job of six segments."""
    place = tmp_path_factory.mktemp("honest")
    return trained_here(place / "job", LocalStore(place / "store", place / "home"))


@pytest.fixture
def case(honest: Case, request: pytest.FixtureRequest) -> Case:
    """The honest job in a folder of its own, to be spoilt."""
    return honest.copy(sha256(request.node.name.encode()).short)


# The replay (the cheats that it catches are rows of rows.py)


def test_replay_has_nothing_to_say_of_an_honest_job(honest: Case) -> None:
    assert honest.replayed_here(honest.facts(None)) == []


def test_replay_refuses_a_state_that_would_be_read_beyond_its_end(case: Case) -> None:
    cheats.misshapen_optimizer(case.folder, 3)
    problems = case.replayed_here(case.facts(None))
    assert [problem.segment for problem in problems] == [2, 3]
    assert re.search("^optimizer root", problems[0].what), problems[0].what
    assert "the state does not fit the graph: the optimizer's tensor" in problems[1].what


def test_replay_refuses_a_state_whose_steps_are_no_count(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store", tmp_path / "home")
    case = trained_here(tmp_path / "job", store, optimizer={"name": "Adafactor", "arguments": {}})
    cheats.miscounted_optimizer(case.folder, 3)
    problems = case.replayed_here(case.facts(None))
    assert [problem.segment for problem in problems] == [2, 3]
    assert "counts -5.0 steps" in problems[1].what


def test_state_that_is_larger_than_any_of_the_job_is_not_read(case: Case) -> None:
    cheats.oversized_state(case.folder, 3, 64 << 20)
    facts = case.facts(None)
    evidence = case.evidence(facts)
    tracemalloc.start()
    (problem,) = check(evidence, facts).problems
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert problem.segment == 3 and most_bytes < 40 << 20  # a recipe is read with room for the largest
    assert re.match("3.safetensors: the file has .* bytes and the limit is", problem.what), problem.what


def test_a_segment_that_was_not_drawn_hides_its_cheat(case: Case) -> None:
    """What sampling costs: section 10.7 of the protocol says how much."""
    cheats.forged_metrics(case.folder, 4)
    facts = case.facts(None, drawn=1)
    drawn_it = 3 in facts.audited
    assert bool(case.replayed_here(facts)) == drawn_it


# Cheats that a check without a replay catches


def first_optimizer(folder: Path) -> None:
    """Begin with an optimizer that has a momentum already."""
    checkpoints = list(read_leaves(folder))
    optimizer = optimizer_root(cheats.state_at(folder, 3).optimizer)
    cheats.relink(folder, [cheats.of_state(checkpoints[0], checkpoints[0].model, optimizer), *checkpoints[1:]])


def other_start(folder: Path) -> None:
    """Begin with a model that was trained before."""
    checkpoints = list(read_leaves(folder))
    first = cheats.of_state(checkpoints[0], checkpoints[3].model, checkpoints[0].optimizer)
    cheats.relink(folder, [first, *checkpoints[1:]])


def shorter_segment(folder: Path) -> None:
    """Let a leaf stand after a step fewer than was agreed."""
    checkpoints = list(read_leaves(folder))
    checkpoints[2] = replace(checkpoints[2], leaf=replace(checkpoints[2].leaf, step=7))
    shutil.copyfile(folder / "run/states" / "8.safetensors", folder / "run/states" / "7.safetensors")
    cheats.relink(folder, checkpoints)


def broken_link(folder: Path) -> None:
    """Let a leaf name another one before it."""
    checkpoints = list(read_leaves(folder))
    cheats.relink(folder, checkpoints)
    leaves = [*checkpoints]
    leaves[3] = replace(leaves[3], leaf=replace(leaves[3].leaf, previous=sha256(b"another")))
    (folder / "run/leaves.jsonl").write_bytes(b"".join(each.to_line() for each in leaves))


def salted_end(folder: Path) -> None:
    """Salt the state of the last leaf, whose model nobody could compare then."""
    *before, last = read_leaves(folder)
    salt = sha256(b"salt")
    leaf = replace(last.leaf, state=state_word(last.roots.digest, salt))
    cheats.relink(folder, [*before, replace(last, leaf=leaf, state_salt=salt)])


def unasked_metrics(folder: Path) -> None:
    """Tell of something that the recipe does not ask for."""
    old = read_leaves(folder)[2]
    cheats.put_metrics(folder, 2, {"loss": old.metrics["loss"]})
    assert read_leaves(folder)[2].leaf.metrics == metrics_digest({"loss": old.metrics["loss"]}, old.salt)


OF_THE_JOB: dict[str, tuple[Callable[[Path], None], list[int | None], str]] = {
    "a first optimizer": (first_optimizer, [None], "leaf 0's optimizer has the root .*, and a fresh one says"),
    "another start": (other_start, [None], "leaf 0's model has the root .*, and the agreement says"),
    "a shorter segment": (shorter_segment, [None], "leaf 2 stands after step 7, and the agreement says 8"),
    "a broken link": (broken_link, [None], "leaf 3 names as the leaf before it .*, and leaf 2 says"),
    "a salted end": (salted_end, [None], "leaf 6 names the state .*, and the roots beside it make up"),
    "unasked metrics": (unasked_metrics, [None], "leaf 2 has the metrics"),
}


@pytest.mark.parametrize("cheat", OF_THE_JOB)
def test_check_catches_in_the_leaves(case: Case, cheat: str) -> None:
    spoil, segments, what = OF_THE_JOB[cheat]
    spoil(case.folder)
    facts = case.facts(None)
    checked = check(case.evidence(facts), facts)
    assert [problem.segment for problem in checked.problems] == segments
    assert re.search(what, checked.problems[0].what), checked.problems[0].what
    assert checked.replayable == facts.audited  # whatever is wrong with the whole, no vote goes without a replay


def another_recipe(place: Path) -> None:
    text = (place / "recipe.json").read_bytes().replace(b'"weight_decay":0.01', b'"weight_decay":0.02')
    (place / "recipe.json").unlink()
    (place / "recipe.json").write_bytes(text)


def another_graph(place: Path) -> None:
    (place / "graph.json").unlink()
    (place / "graph.json").write_bytes(b"{}")


def another_initial(place: Path) -> None:
    (place / "initial.safetensors").unlink()
    shutil.copyfile(place / "2.safetensors", place / "initial.safetensors")


def other_state_salt(place: Path) -> None:
    text = (place / "evidence.json").read_bytes()
    salt = json.loads(text)["leaves"][2]["state_salt"]
    (place / "evidence.json").write_bytes(text.replace(salt.encode(), str(sha256(b"salt")).encode()))


# By what is done to evidence: the segments of which something is wrong, what, and which can be
# replayed all the same.
OF_THE_EVIDENCE: dict[str, tuple[Tamper, list[int | None], str, list[int]]] = {
    "another leaf's path": (cheats.other_path, [None], "leaf 1 leads to the transcript root", EVERY),
    "other metrics": (cheats.other_metrics, [None, 1], "the metrics of leaf 1 digest to", [0, 2, 3, 4, 5]),
    "another salt": (other_state_salt, [None, 2], "the state of leaf 2 opens to", [0, 1, 3, 4, 5]),
    "another recipe": (another_recipe, [None], "recipe.json has the digest .*, and the agreement says", []),
    "another graph": (another_graph, [None], "graph.json has the digest .*, and the agreement says", []),
    "other initial weights": (another_initial, [*EVERY], "tensor|model root", []),
    "initial weights over a base": (
        cheats.initial_over_nothing,
        [*EVERY],
        "initial.safetensors is a delta|model root",
        [],
    ),
    "another state": (partial(cheats.other_state_file, segment=2), [2], "2.safetensors: the state's", [0, 1, 3, 4, 5]),
    "a record left out": (partial(cheats.left_out_record, index=3), [0, 1, 2, 4, 5], "records.bin lacks record 3", [3]),
    "other segments": (cheats.other_segments, [None], "the evidence is about the segments", EVERY),
}


@pytest.mark.parametrize("cheat", OF_THE_EVIDENCE)
def test_check_catches_in_the_evidence(honest: Case, cheat: str) -> None:
    tamper, segments, what, left = OF_THE_EVIDENCE[cheat]
    facts = honest.facts(None)
    checked = check(honest.evidence(facts, tamper), facts)
    assert [problem.segment for problem in checked.problems] == segments
    assert re.search(what, checked.problems[0].what), checked.problems[0].what
    assert list(checked.replayable) == left


def test_a_first_segment_that_cannot_be_replayed_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    """Where all of a model moves: what does not lies in the initial weights alone."""
    store = LocalStore(tmp_path / "store", tmp_path / "home")
    case = trained_here(tmp_path / "job", store, net=PrivateNet, metrics=[])
    for tamper in (another_initial, cheats.initial_over_nothing):
        (problem,) = case.replayed_here(case.facts(None), tamper)
        assert problem.segment == 0


def test_evidence_may_stand_from_a_round_before(honest: Case) -> None:
    facts = replace(honest.facts(None), round=1)
    assert check(honest.evidence(facts), facts).problems == ()
    (problem,) = check(honest.evidence(honest.facts(None, round=1)), facts).problems
    assert (problem.segment, problem.what) == (None, "the evidence is for the round 1, and the chain says 0")


def test_leaves_in_between_may_name_their_states(case: Case) -> None:
    """The salt keeps the owner's secret: nobody else loses by its absence."""
    cheats.relink(case.folder, [checkpoint.unsalted() for checkpoint in read_leaves(case.folder)])
    assert case.replayed_here(case.facts(None)) == []


def test_check_catches_records_of_another_registration(case: Case) -> None:
    cheats.other_data(case.folder, table(change=("a", 3, 0.125)), work_here)
    other, facts = replace(case, records=table(change=("a", 3, 0.125))), case.facts(None)
    checked = check(other.evidence(facts), facts)
    assert [problem.segment for problem in checked.problems] == EVERY
    assert "leads to the dataset root" in checked.problems[0].what
    assert checked.replayable == ()


@pytest.mark.parametrize(
    ("change", "what", "left"),
    [
        ({"ref": AuditRef(AgreementId(sha256(b"another")))}, "the evidence is about the audit", EVERY),
        ({"ref": replace(REF, ordinal=1)}, "the evidence is about the audit .*, and the chain says .*/1", EVERY),
        ({"segment_seed": sha256(b"another"), "drawn_segments": 2}, "the evidence is about the segments", None),
        ({"dataset_root": sha256(b"another")}, "the recipe's dataset is", []),
        ({"segment_steps": 5}, "the recipe's segment length is 4", []),
        ({"dataset_count": 30}, "the recipe uses rows up to 40 of 30 records", []),
        ({"ctx": sha256(b"another")}, "leaf 0 leads to the transcript root", EVERY),
        ({"transcript_root": sha256(b"another")}, "leaf 0 leads to the transcript root", EVERY),
        ({"model_root": sha256(b"another")}, "the delivered leaf's model has the root", EVERY),
        ({"last_model_root": sha256(b"another")}, "the last leaf's model has the root", EVERY),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_check_holds_evidence_to_the_chain(
    honest: Case, change: dict[str, object], what: str, left: list[int] | None
) -> None:
    facts = replace(honest.facts(None), **change)  # type: ignore[arg-type]
    checked = check(honest.evidence(honest.facts(None)), facts)
    assert re.search(what, checked.problems[0].what), checked.problems[0].what
    assert list(checked.replayable) == (list(facts.audited) if left is None else left)


@pytest.mark.parametrize("name", ["recipe.json", "records.bin", "evidence.json", "3.safetensors"])
def test_evidence_that_lacks_a_file_is_none(honest: Case, name: str) -> None:
    with pytest.raises(NotFound, match=f"lacks {name}|there is no {name}"):
        honest.evidence(honest.facts(None), lambda place: (place / name).unlink())


def cut(place: Path) -> None:
    data = (place / "records.bin").read_bytes()
    (place / "records.bin").write_bytes(data[:90])


def many(place: Path) -> None:
    data = bytearray((place / "records.bin").read_bytes())
    start = 36 + int.from_bytes(data[32:36], "big")
    data[start + 8 : start + 16] = (1 << 60).to_bytes(8, "big")
    (place / "records.bin").write_bytes(data)


@pytest.mark.parametrize("tamper", [cut, many, lambda place: (place / "evidence.json").write_bytes(b"[]")])
def test_evidence_that_is_malformed_is_none(honest: Case, tamper: Tamper) -> None:
    with pytest.raises(InputRefused):
        honest.evidence(honest.facts(None), tamper)


@pytest.mark.parametrize("extra", [b"\0", b"\0" * 200])
def test_records_that_go_on_are_a_problem_of_the_whole(honest: Case, extra: bytes) -> None:
    facts = honest.facts(None)

    def more(place: Path) -> None:
        (place / "records.bin").write_bytes((place / "records.bin").read_bytes() + extra)

    checked = check(honest.evidence(facts, more), facts)
    (problem,) = checked.problems
    assert (problem.segment, problem.what) == (None, "records.bin goes on after its last record")
    assert checked.replayable == ()


def test_more_records_than_the_segments_take_are_not_looked_at(honest: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes work, and their file may be as large as evidence may be."""
    facts = honest.facts(None)
    evidence, most = honest.evidence(facts), most_records(honest.recipe, facts.audited, facts.leaves)
    looked_at = list(evidence.records)
    assert len(looked_at) <= most

    def openings(records: OpenedRecords) -> Iterator[Opening]:
        assert records.number <= most, "they were looked at"
        return iter(looked_at)

    monkeypatch.setattr(OpenedRecords, "__iter__", openings)
    assert check(replace(evidence, records=replace(evidence.records, number=most)), facts).replayable == facts.audited
    checked = check(replace(evidence, records=replace(evidence.records, number=most + 1)), facts)
    assert checked.replayable == ()
    assert checked.problems[0].what == f"records.bin holds {most + 1} records and the segments take {most} at most"


def test_another_delivered_model_is_found(honest: Case, tmp_path: Path) -> None:
    other = tmp_path / "model.safetensors"
    shutil.copyfile(honest.folder / "initial.safetensors", other)
    problem = check_delivery(other, honest.facts(None))
    assert problem is not None
    assert problem.what.startswith("the delivered model has the root")
    assert check_delivery(honest.folder / "run/final.safetensors", honest.facts(None)) is None


def test_another_delivered_graph_is_found(honest: Case) -> None:
    facts = honest.facts(None)
    assert check_delivered_graph(honest.folder / "graph.json", facts) is None
    problem = check_delivered_graph(honest.folder / "recipe.json", facts)
    assert problem is not None and problem.what.startswith("the delivered graph has the digest")


def flip(path: Path, place: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)


@given(name=st.sampled_from(["evidence.json", "records.bin"]), place=st.integers(0, 1 << 20), bit=st.integers(0, 7))
@settings(max_examples=examples(60))
def test_no_bit_of_evidence_can_be_flipped_unseen(honest: Case, name: str, place: int, bit: int) -> None:
    """Nor does it raise what nobody expects. What a flip may leave is the same in capital digits;
    and the identity, which opens the delivery or does not."""
    facts = honest.facts(None)
    try:
        evidence = honest.evidence(facts, lambda plain: flip(plain / name, place, bit))
    except (InputRefused, NotFound):
        return
    if not check(evidence, facts).problems:
        assert evidence.leaves == honest.evidence(facts).leaves
        assert list(evidence.records) == list(honest.evidence(facts).records)


def test_a_metric_beyond_a_double_is_refused(honest: Case) -> None:
    def huge(place: Path) -> None:
        text = (place / "evidence.json").read_text()
        (place / "evidence.json").write_text(re.sub(r'"loss":[0-9.e-]+', '"loss":1' + "0" * 400, text, count=1))

    with pytest.raises(InputRefused, match="beyond them"):
        honest.evidence(honest.facts(None), huge)


def test_records_that_are_claimed_and_not_there_take_no_memory(honest: Case, tmp_path: Path) -> None:
    schema = b'[["a","float64",[1000000,1000000],"number",""]]'
    head = hashlib.sha256(b"fitchain/opened/v2").digest() + len(schema).to_bytes(4, "big") + schema
    (tmp_path / "records.bin").write_bytes(head + (40).to_bytes(8, "big") + bytes(8))
    opened = OpenedRecords.read(tmp_path / "records.bin")
    with pytest.raises(InputRefused, match="holds 0 records"):
        opened.table(np.arange(3, dtype=np.uint64))
