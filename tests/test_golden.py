"""Golden bytes: the committed files of version 2 are read, recomputed and verified, as they must be
for ever once the first public release is out.

They are one small job that was really done (tests/golden/make.py): every format as a file, and the
state of the chain it was done on.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from fitchain.pod.compute.dataset import (
    Card,
    Column,
    Opening,
    ReadingTerms,
    Table,
    batches,
    dataset_root,
    record_leaves,
    verify_record,
)
from fitchain.pod.compute.environment import check, environment_class, installed_torch
from fitchain.pod.jobs.worker import Context, run_worker
from fitchain.pod.jobs.worker.events import Finished
from fitchain.pod.jobs.worker.task import Train
from fitchain.pod.ports import settings
from fitchain.pod.ports.agreement import Anchor, State, order_seed
from fitchain.pod.ports.chain import Chain, connect, devnet
from fitchain.pod.ports.keys import import_key
from fitchain.pod.ports.sealed import open_sealed
from fitchain.pod.ports.store.unixfs import add_file, chunks
from fitchain.pod.proof.audit.challenge import audited_segments
from fitchain.pod.proof.audit.evidence import Evidence, files_of, records_of
from fitchain.pod.proof.audit.records import write_opened
from fitchain.pod.proof.certificate import Assurance, Statement, verify
from fitchain.pod.proof.certificate.claims import card_cid, check_file, check_leaves, check_orders
from fitchain.pod.proof.certificate.envelope import unseal
from fitchain.pod.proof.transcript import Transcript, check_anchors
from fitchain.pod.values.digest import Digest, parse_json, path_in, tree_levels, tree_root
from fitchain.pod.values.errors import EnvironmentRefused
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.ids import AuditRef
from fitchain.pod.values.job_folder import OFFER_FILES as OFFER
from fitchain.pod.values.leaf import Checkpoint, SaltKeys, leaf_salt
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import model_root, optimizer_root, read_safetensors, safetensors_pieces
from tests.format_vectors import DOCUMENT

JOB = Path(__file__).parent / "golden" / "v2" / "job"
RECIPE = Recipe.parse((JOB / "recipe.json").read_bytes())
CARD = Card.parse((JOB / "card.json").read_bytes())
GRAPH = Graph.parse((JOB / "graph.json").read_bytes())


def value(name: str) -> Any:
    return json.loads((JOB / name).read_text())


def table() -> Table:
    return Table.read(JOB / "table.csv", ReadingTerms(drop=("name",), target="kind"))


def schema(columns: Sequence[Column]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(column.name, column.dtype, column.shape) for column in columns]


def checkpoints() -> tuple[Checkpoint, ...]:
    return tuple(Checkpoint.from_line(line) for line in (JOB / "leaves.jsonl").read_bytes().splitlines())


def transcript() -> Transcript:
    found = value("transcript.json")
    leaves = tuple(checkpoint.leaf for checkpoint in checkpoints())
    return Transcript(Digest.parse(found["ctx"]), Digest.parse(found["seed"]), leaves)


def statement() -> Statement:
    return Statement.parse(unseal((JOB / "certificate.json").read_bytes())[0])


# --- graph, recipe, card ----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "read"), [("graph", GRAPH), ("recipe", RECIPE), ("card", CARD)])
def test_golden_document_is_written_as_it_was_read(name: str, read: Graph | Recipe | Card) -> None:
    assert read.encode() == (JOB / f"{name}.json").read_bytes()


def test_golden_recipe_names_graph_model_and_dataset() -> None:
    initial, _ = read_safetensors(JOB / "initial.safetensors")
    assert (RECIPE.graph, RECIPE.initial_model, RECIPE.dataset) == (GRAPH.digest, model_root(initial), CARD.root)
    CARD.admit(RECIPE, CARD.price)
    GRAPH.check(environment_class(RECIPE.environment.name).admits)


def fields_of(text: str) -> set[str]:
    """The names in the first column of the first table of fields in a text."""
    rows = text.split("| field | value |\n|---|---|\n", 1)[1].split("\n\n", 1)[0]
    return {name for row in rows.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


@pytest.mark.parametrize("heading", ["### Graph", "### Recipe", "### Card", "## 7. Certificate"])
def test_document_lists_the_fields_of_the_golden_files(heading: str) -> None:
    section = DOCUMENT.read_text().split(f"\n{heading}\n", 1)[1]
    name = heading.split()[-1].lower()
    found = statement().json()["predicate"] if name == "certificate" else value(f"{name}.json")
    assert fields_of(section) == set(found)


def test_document_names_every_field_of_policy_environment_and_node() -> None:
    names = {*CARD.policy.json(), *RECIPE.environment.json(), *value("graph.json")["training"]["nodes"][0]}
    text = DOCUMENT.read_text()
    assert [name for name in names if f"`{name}`" not in text and f'"{name}"' not in text] == []


# --- tensors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["initial.safetensors", "model.safetensors", "state-6.safetensors"])
def test_golden_tensors_are_written_as_they_were_read(name: str) -> None:
    tensors, metadata = read_safetensors(JOB / name)
    assert b"".join(safetensors_pieces(tensors, metadata)) == (JOB / name).read_bytes()


def test_golden_states_are_those_of_their_leaves() -> None:
    first, *_, last = checkpoints()
    middle = next(each for each in checkpoints() if each.leaf.step == 6)
    tensors, _ = read_safetensors(JOB / "state-6.safetensors")
    stripped = {name.removeprefix("model/"): t for name, t in tensors.items() if t.kind != "optimizer"}
    moments = {name.removeprefix("optimizer/"): t for name, t in tensors.items() if t.kind == "optimizer"}
    assert (model_root(stripped), optimizer_root(moments)) == (middle.model, middle.optimizer)
    assert first.opened.model == RECIPE.initial_model and first.opened.optimizer == optimizer_root({})
    assert last.opened.model == model_root(read_safetensors(JOB / "model.safetensors")[0])


# --- dataset and order ------------------------------------------------------------------------


def test_golden_records_have_the_registered_root() -> None:
    found = value("dataset.json")
    leaves = record_leaves(table(), bytes.fromhex(found["key"]))
    assert [leaf.hex() for leaf in leaves] == found["leaves"]
    assert (dataset_root(leaves), len(leaves)) == (CARD.root, CARD.count)
    assert schema(table().columns) == schema(CARD.columns)


def test_golden_opening_shows_a_registered_record() -> None:
    opening = Opening.from_json(value("dataset.json")["opening"])
    verify_record(opening, CARD.root)
    assert opening.record == table().record(opening.index)


def test_golden_batches_follow_from_the_order_seed() -> None:
    found = value("batches.json")
    order = islice(batches(RECIPE, Digest.parse(found["seed"])), RECIPE.steps)
    assert [batch.tolist() for batch in order] == found["batches"]


def test_golden_mock_data_are_the_cards_and_marked(tmp_path: Path) -> None:
    mock = Table.read(JOB / "mock.npz", ReadingTerms(target="kind"))
    assert mock.mock and CARD.mock == cid_of((JOB / "mock.npz").read_bytes())
    assert schema(mock.columns) == schema(CARD.columns)
    mock.write_npz(tmp_path / "again.npz")  # its bytes may differ: Python's releases write other zip headers
    again = Table.read(tmp_path / "again.npz", ReadingTerms(target="kind"))
    assert again.mock and list(again.records()) == list(mock.records())


# --- transcript -------------------------------------------------------------------------------


def test_golden_leaves_make_the_root_that_the_chain_recorded() -> None:
    found, leaves = value("transcript.json"), transcript()
    leaves.verify(RECIPE.steps, RECIPE.segment_steps)
    assert (str(leaves.root), str(checkpoints()[-1].model)) == (found["root"], found["model"])
    assert leaves.count == RECIPE.leaf_count


def test_golden_anchors_and_ending_follow_from_the_leaves() -> None:
    found, leaves = value("transcript.json"), transcript()
    groups = leaves.groups(RECIPE.group_leaves)
    assert [{"count": group.count, "root": str(group.root)} for group in groups] == found["anchors"]
    ending = leaves.ending(RECIPE.group_leaves, checkpoints()[-1].roots, cid_of(b""))
    assert {name: [str(node) for node in getattr(ending, name)] for name in found["ending"]} == found["ending"]


def salt_keys() -> SaltKeys:
    return SaltKeys(*(bytes.fromhex(value("secrets.json")[name]) for name in ("metrics", "states")))


def test_golden_checkpoints_open_their_leaves_and_are_written_as_they_were_read() -> None:
    keys, ends = salt_keys(), (0, RECIPE.leaf_count - 1)
    for checkpoint in checkpoints():
        checkpoint.verify()
        index = checkpoint.leaf.index
        assert checkpoint.salt == leaf_salt(keys.metrics, index)
        assert checkpoint.state_salt == (None if index in ends else leaf_salt(keys.states, index))
    assert b"".join(each.to_line() for each in checkpoints()) == (JOB / "leaves.jsonl").read_bytes()


def cid_of(content: bytes) -> Any:
    return add_file(chunks(BytesIO(content)), lambda cid, block: None).cid


# --- what travelled ---------------------------------------------------------------------------


def test_golden_note_opens_and_holds_the_leaves_of_its_anchor() -> None:
    note = parse_json(open_sealed((JOB / "note.age").read_bytes(), value("secrets.json")["scientist"]))
    leaves = [Digest.parse(leaf) for leaf in note["leaves"]]
    assert str(tree_root(leaves)) == value("transcript.json")["anchors"][0]["root"]
    assert set(note) == {"version", "agreement", "first", "step", "leaves", "metrics"}
    assert (note["first"], note["step"]) == (0, RECIPE.step_of(RECIPE.group_leaves - 1))


@pytest.mark.parametrize("name", ["model.safetensors", "certificate.json"])
def test_golden_key_opens_the_delivery(name: str) -> None:
    key = parse_json(open_sealed((JOB / "key.age").read_bytes(), value("secrets.json")["scientist"]))
    delivered = open_sealed((JOB / "delivery" / f"{name}.age").read_bytes(), key["identity"])
    assert delivered == (JOB / name).read_bytes()
    assert key == {"version": "fitchain/key/v2", "agreement": str(statement().agreement), "identity": key["identity"]}


def test_golden_refusal_opens() -> None:
    refusal = parse_json(open_sealed((JOB / "refusal.age").read_bytes(), value("secrets.json")["scientist"]))
    words = {"version": "fitchain/refusal/v2", "agreement": str(statement().agreement)}
    assert refusal == words | {"reason": "the price is below the minimum"}


def test_golden_backup_of_a_key_opens(tmp_path: Path) -> None:
    opened = import_key(tmp_path, "again", JOB / "key-backup.json", "golden", work=2)
    assert (opened.address, opened.identity) == (statement().scientist, value("secrets.json")["scientist"])


# --- evidence ---------------------------------------------------------------------------------


def test_golden_evidence_is_about_the_audited_segments_and_holds(tmp_path: Path) -> None:
    """The states and the offer are golden files of their own; other states than after step 6 are
    left out, and only what needs none of them is looked at."""
    found, claimed = value("audit.json"), statement()
    for source in (*(JOB / "evidence").iterdir(), *(JOB / name for name in OFFER)):
        shutil.copyfile(source, tmp_path / source.name)
    for name in files_of(found["audited"]):
        if not (tmp_path / name).exists():
            shutil.copyfile(JOB / "state-6.safetensors", tmp_path / name)
    evidence, count = Evidence.read(tmp_path), RECIPE.leaf_count
    seed = Digest.parse(found["segment_seed"])
    assert list(audited_segments(seed, count, count - 1, False, 1)) == found["audited"] == list(evidence.segments)
    assert (evidence.audit, evidence.round) == (AuditRef(claimed.agreement), 0)
    key = parse_json(open_sealed((JOB / "key.age").read_bytes(), value("secrets.json")["scientist"]))
    assert evidence.identity == key["identity"]
    levels = tree_levels([bytes(digest) for digest in transcript().digests])
    for index, leaf in evidence.leaves.items():
        assert (leaf.checkpoint, leaf.path) == (checkpoints()[index], path_in(levels, index))
    used = records_of(RECIPE, transcript().seed, evidence.segments).tolist()
    openings = list(evidence.records)
    assert [opening.index for opening in openings] == used
    for opening in openings:
        verify_record(opening, CARD.root)
        assert opening.record == table().record(opening.index)
    write_opened(tmp_path / "again.bin", table().columns, table().count, openings, len(openings))
    assert (tmp_path / "again.bin").read_bytes() == (JOB / "evidence" / "records.bin").read_bytes()


# --- certificate ------------------------------------------------------------------------------


def test_golden_certificate_holds_as_far_as_it_needs_no_chain() -> None:
    payload, signer = unseal((JOB / "certificate.json").read_bytes())
    claimed = Statement.parse(payload)
    assert signer == claimed.owner and claimed.encode() == payload
    assert (claimed.recipe, claimed.card, claimed.leaves) == (RECIPE, CARD, transcript().leaves)
    check_leaves(claimed)
    check_file(claimed, JOB / "model.safetensors")
    check_anchors(transcript(), cast(Sequence[Anchor], transcript().groups(RECIPE.group_leaves)), RECIPE.group_leaves)
    assert check_orders(claimed) == claimed.count


def test_golden_ids_are_those_of_the_document() -> None:
    claimed = statement()
    place = [claimed.chain_id, claimed.contracts["Registry"]]
    dataset = [*place, claimed.owner, bytes(claimed.dataset_root), CARD.count, claimed.ledger]
    words = ["uint256", "address", "address", "bytes32", "uint64", "uint16", "bytes32"]
    assert claimed.dataset == digest_of(words, [*dataset, keccak(bytes(card_cid(claimed)))])
    model = [*place, claimed.scientist, bytes(RECIPE.graph), bytes(RECIPE.initial_model), bytes(32)]
    model += [keccak(b""), bytes(32)]
    words = ["uint256", "address", "address", *["bytes32"] * 5]
    assert claimed.lineage[0].id == digest_of(words, model)


def digest_of(kinds: list[str], values: list[Any]) -> Digest:
    return Digest(keccak(encode(kinds, values)))


@pytest.fixture(scope="module")
def golden_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """The chain on which the golden job was done, started again from its node's own state."""
    folder = tmp_path_factory.mktemp("golden")
    (folder / "chain.json").write_bytes(gzip.decompress((JOB / "chain" / "chain.json.gz").read_bytes()))
    (folder / "deployments").mkdir()
    shutil.copyfile(JOB / "chain" / "31337.json", folder / "deployments" / "31337.json")
    devnet.up(folder, port=0)
    try:
        yield connect(settings.load(home=folder / "nobody", devnet=folder, environ={}))
    finally:
        devnet.down(folder)


def test_golden_certificate_verifies_on_the_chain_it_was_made_on(golden_chain: Chain) -> None:
    verdict = verify(JOB / "model.safetensors", (JOB / "certificate.json").read_bytes(), golden_chain)
    assert (verdict.state, verdict.assurance, verdict.complete) == (State.SETTLED, Assurance.UNAUDITED, True)
    assert [moment.what for moment in verdict.milestones] == [
        *("Requested", "Accepted", "Begun", "Anchored", "Anchored", "Finished", "Settled"),
    ]
    run, agreement = verdict.history.run, verdict.history.agreement
    seed_block = golden_chain.block(agreement.seed_block).hash
    assert (run.ctx, run.seed) == (transcript().ctx, transcript().seed)
    assert run.seed == order_seed(run.ctx, seed_block, run.nonce)


# --- the training itself ----------------------------------------------------------------------


@pytest.mark.probe
def test_golden_training_done_again_gives_the_same_leaves(tmp_path: Path) -> None:
    if RECIPE.environment.torch != installed_torch():
        pytest.skip(f"the golden job was trained by torch {RECIPE.environment.torch}, and this is {installed_torch()}")
    try:
        check(RECIPE.environment)
    except EnvironmentRefused as refusal:
        pytest.skip(refusal.message)
    for name in ("recipe.json", "graph.json", "initial.safetensors"):
        shutil.copyfile(JOB / name, tmp_path / name)
    table().write_npz(tmp_path / "records.npz")
    ended = run_worker(tmp_path, Train(Context(transcript().ctx, transcript().seed), salt_keys()))
    assert isinstance(ended, Finished) and str(ended.model) == value("transcript.json")["model"]
    assert (tmp_path / "run/leaves.jsonl").read_bytes() == (JOB / "leaves.jsonl").read_bytes()
    # What is delivered says in its metadata how records enter it.
    assert read_safetensors(tmp_path / "run/final.safetensors")[0] == read_safetensors(JOB / "model.safetensors")[0]
    assert (tmp_path / "run/states/6.safetensors").read_bytes() == (JOB / "state-6.safetensors").read_bytes()
