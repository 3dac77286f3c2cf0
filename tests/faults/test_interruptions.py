"""One job under everything that may interrupt it: kill -9 twice, a transaction on its way, a node
that goes away.

Its transcript must come out as that of the same job undisturbed, and every payment must happen
once.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.chain import Chain, devnet
from fitchain.pod.ports.settings import process_start
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.leaf import verify_chain
from tests.chain_fixtures import Devnet, no_mining
from tests.pods import BOND, LONG, PRICE, PodProcess, Workshop, scientist_runs
from tests.training_jobs import train_folder

pytestmark = pytest.mark.long

INPUTS = ("task.json", "recipe.json", "graph.json", "initial.safetensors", "records.npz")


@dataclass(frozen=True)
class Interrupted:
    """The job, and what was seen.

    Args:
        id: the agreement.
        undisturbed: a folder in which a worker alone trained the same order.
        workers: process ids of the workers, in order.
        orphan_s: how long the first worker outlived its pod.
        stopped_at: how many leaves there were at each kill.
        log: what the owner's pods wrote.
    """

    id: AgreementId
    undisturbed: Path
    workers: tuple[int, ...]
    orphan_s: float
    stopped_at: tuple[int, ...]
    log: str


@contextmanager
def train_alone(folder: Path) -> Iterator[None]:
    """Let a worker train a copied job folder beside what the block does."""
    thread = threading.Thread(target=train_folder, args=(folder,))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def restart_node(running: Devnet, away_s: float) -> None:
    """Stop the node, wait, start it again at its port with its state."""
    assert devnet.down(running.folder)
    time.sleep(away_s)
    devnet.up(running.folder, port=running.record.port)


@pytest.fixture(scope="module")
def interrupted(
    workshop: Workshop, reader: Chain, running_devnet: Devnet, tmp_path_factory: pytest.TempPathFactory
) -> Interrupted:
    owner, scratch = workshop.owner, tmp_path_factory.mktemp("undisturbed")
    log = scratch / "owner.log"
    id = workshop.request(recipe_overrides=LONG)
    folder, copy = owner.home.job_folder(id).path, scratch / "job"

    def leaves() -> int:
        return len(read_leaves(folder))

    def anchors() -> int:
        return len(workshop.scientist.home.agreements.run_record(id).anchors)

    def waits() -> bool:
        return int(reader.node.request("txpool_status")["pending"], 16) > 0

    first = PodProcess(owner, log)
    workshop.until(lambda: anchors() >= 1 and leaves() >= 12)
    first.kill()
    stopped_at, killed = [leaves()], time.monotonic()
    workers = [owner.told(id, "training")["pid"]]
    workshop.until(lambda: process_start(workers[0]) is None)
    orphan_s = time.monotonic() - killed
    copy.mkdir()
    for name in INPUTS:
        shutil.copyfile(folder / name, copy / name)

    with train_alone(copy):
        second = PodProcess(owner, log)
        workshop.until(lambda: leaves() > stopped_at[0] + 2)
        with no_mining(reader):
            workshop.until(waits)
            second.kill()
            stopped_at.append(leaves())
            workers.append(owner.told(id, "training")["pid"])
            third = PodProcess(owner, log)
            workshop.until(lambda: "looks for what was sent before" in log.read_text())
            time.sleep(1)  # so that it would have sent the anchor again, did it not wait for the one on its way
        workshop.until(lambda: leaves() > stopped_at[1] + 2)
        restart_node(running_devnet, away_s=6)
        workshop.until_state(id, State.TRAINED)
        workers.append(owner.told(id, "training")["pid"])
    with scientist_runs(workshop.scientist):
        workshop.until(owner.has(id, "wiped"))
        workshop.until(workshop.scientist.has(id, "settled"))
    third.stop()
    return Interrupted(id, copy, tuple(workers), orphan_s, tuple(stopped_at), log.read_text())


def test_transcript_is_that_of_the_undisturbed_job(workshop: Workshop, interrupted: Interrupted) -> None:
    run = workshop.owner.home.agreements.run_record(interrupted.id)
    checkpoints = read_leaves(interrupted.undisturbed)
    transcript = Transcript(run.ctx, run.seed, tuple(checkpoint.leaf for checkpoint in checkpoints))
    transcript.verify(12_000, 200)
    assert run.count == len(checkpoints) == 61
    assert run.transcript_root == transcript.root
    assert run.model_root == checkpoints[-1].model


def test_it_was_really_interrupted_in_the_middle(interrupted: Interrupted) -> None:
    first, second = interrupted.stopped_at
    assert 12 <= first < second < 61
    assert len(set(interrupted.workers)) == 3


def test_leaves_on_disk_are_one_chain(workshop: Workshop, interrupted: Interrupted) -> None:
    run = workshop.owner.home.agreements.run_record(interrupted.id)
    leaves = [checkpoint.leaf for checkpoint in read_leaves(workshop.owner.home.job_folder(interrupted.id).path)]
    assert len(verify_chain(leaves, run.ctx, run.seed)) == 61


def test_orphaned_worker_ends_and_none_is_left(interrupted: Interrupted) -> None:
    assert interrupted.orphan_s < 10
    assert [pid for pid in interrupted.workers if process_start(pid) is not None] == []


def test_each_group_was_anchored_once_and_nothing_reverted(
    workshop: Workshop, interrupted: Interrupted, reader: Chain
) -> None:
    owner = workshop.owner
    assert [anchor.count for anchor in owner.home.agreements.run_record(interrupted.id).anchors] == [
        8,
        16,
        24,
        32,
        40,
        48,
        56,
    ]
    sent = [
        transaction["hash"]
        for number in range(reader.deployment.block, reader.head() + 1)
        for transaction in reader.node.request("eth_getBlockByNumber", hex(number), True)["transactions"]
        if transaction["from"] == owner.address.lower()
    ]
    receipts = [reader.node.request("eth_getTransactionReceipt", transaction) for transaction in sent]
    assert [receipt["status"] for receipt in receipts] == ["0x1"] * len(receipts)


def test_one_payment(workshop: Workshop, interrupted: Interrupted) -> None:
    owner = workshop.owner
    events = [event.name for event in owner.home.agreements.events(interrupted.id)]
    assert [events.count(name) for name in ("Accepted", "Begun", "Finished", "Settled")] == [1, 1, 1, 1]
    assert owner.home.agreements.owed(owner.address) == PRICE + BOND


def test_history_tells_what_happened(workshop: Workshop, interrupted: Interrupted) -> None:
    kinds = workshop.owner.kinds(interrupted.id)
    assert kinds.count("resumed") >= 2
    assert kinds.count("anchored") == 7
    assert "no node answers" in interrupted.log
