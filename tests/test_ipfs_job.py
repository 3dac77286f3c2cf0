"""A whole job between two pods that share nothing but the chain: each has its own Kubo node, and
one of them goes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.jobs import history
from fitchain.pod.jobs.exchange import fetch_folder, send_folder
from fitchain.pod.jobs.worker import run_worker
from fitchain.pod.parties.owner.run import prepare
from fitchain.pod.parties.scientist import delivery, publish_model
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.ports.store import open_store
from fitchain.pod.ports.store.endpoints import Endpoint
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import OFFER_FILES, JobFolder
from fitchain.pod.values.limits import OFFER
from fitchain.pod.values.state import read_safetensors
from tests.ipfs_fixtures import Nodes
from tests.pods import Party, Workshop, module_file, offer_table, owner_runs, scientist_runs

pytestmark = [pytest.mark.ipfs, pytest.mark.long]


@dataclass(frozen=True)
class Done:
    id: AgreementId
    workshop: Workshop
    nodes: Nodes
    heard: list[str]


@pytest.fixture(scope="module")
def done(
    open_party: Callable[..., Party], table_path: Path, ipfs_pair: Nodes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Done]:
    """A job over two nodes; the owner's node dies when the result is to be fetched, and
    comes back."""
    heard: list[str] = []
    parties = {name: open_party(name) for name in ("owner", "scientist")}
    for node, party in zip("ab", parties.values(), strict=True):
        settings = replace(party.home.settings, store=ipfs_pair.running[node].store)
        party.home.store = open_store(settings, heard.append)
    owner, scientist = parties["owner"], parties["scientist"]
    dataset = offer_table(owner, table_path, mock_records=16)
    model = publish_model(scientist.home, module_file(scientist.home.settings.home), dataset.id, name="Tiny")
    workshop = Workshop(owner, scientist, dataset, model)
    id = workshop.request(rehearsed=True)
    with owner_runs(owner):
        workshop.until_state(id, State.TRAINED)
    ipfs_pair.kill("a")
    with owner_runs(owner), scientist_runs(scientist):
        workshop.until(lambda: any("waiting" in line for line in heard))
        assert not scientist.home.journal.happened(id, history.Received)
        ipfs_pair.start("a")
        workshop.until_state(id, State.SETTLED)
        workshop.until(scientist.has(id, "settled"))
    yield Done(id, workshop, ipfs_pair, heard)
    for party in parties.values():
        party.home.store.close()


def test_the_job_waits_for_a_node_that_is_away_says_so_and_completes(done: Done) -> None:
    assert "waiting" in "".join(done.heard)
    assert done.workshop.scientist.home.journal.happened(done.id, history.Received)
    assert delivery(done.workshop.scientist.home, done.id).model.is_file()


def test_the_registry_says_where_each_pods_node_is(done: Done) -> None:
    registry = done.workshop.owner.home.registry
    for node, party in zip("ab", (done.workshop.owner, done.workshop.scientist), strict=True):
        endpoint = Endpoint.parse(registry.pod(party.address).endpoint)
        running = done.nodes.running[node]
        assert endpoint == Endpoint(running.peer, (running.address,))


def test_the_same_context_and_seed_give_the_same_transcript_over_the_local_store(done: Done, tmp_path: Path) -> None:
    owner = done.workshop.owner.home
    proof, secret = owner.agreements.run_record(done.id), new_identity()
    store, folder = LocalStore(tmp_path / "store", tmp_path / "home"), tmp_path / "job"
    offer = send_folder(store, owner.job_folder(done.id).path, OFFER_FILES, [secret[1]])
    fetch_folder(store, offer, folder, OFFER_FILES, secret[0], OFFER)
    run_worker(folder, prepare(owner, done.id, proof, JobFolder(folder)))
    leaves = tuple(checkpoint.leaf for checkpoint in read_leaves(folder))
    assert Transcript(proof.ctx, proof.seed, leaves).root == proof.transcript_root


def test_nothing_readable_is_ever_published(done: Done, table_path: Path) -> None:
    """Neither repository holds a name, a measurement or a tensor, and no store holds the other's
    unsealed files."""
    _, *rows = table_path.read_text().splitlines()
    plain = [cell.encode() for row in rows for cell in row.split(",")[:5]]
    for folder in (
        done.workshop.owner.home.job_folder(done.id).path,
        done.workshop.scientist.home.job_folder(done.id).path,
    ):
        for path in folder.rglob("*.safetensors"):
            tensors, _ = read_safetensors(path)
            plain += [bytes(tensor.data[:16]) for tensor in tensors.values() if any(tensor.data[:16])]
    assert len(plain) > 200
    blocks = [path.read_bytes() for path in done.nodes.folder.glob("?/blocks/*/*.data")]
    assert len(blocks) > 10
    found = [text for text in plain for block in blocks if text in block]
    assert found == []
