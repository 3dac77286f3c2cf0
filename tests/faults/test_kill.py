"""An owner's pod that is killed while it trains, as by a power cut, and started again."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from pod.agreement import State
from pod.checkpoint.files import read_leaves
from pod.digest import Digest
from pod.owner.run import RECORDS, prepare
from pod.recipe import Recipe
from pod.scientist import accept_result
from pod.transcript import Transcript
from pod.worker import run_worker
from tests.pods import LONG, PRICE, PodProcess, Workshop

KILLED = LONG | {"steps": 18_000, "segment": 600}
"""Thirty-one leaves in some seconds."""

INPUTS = ("recipe.json", "graph.json", "initial.safetensors", "order.json", RECORDS)


def workers_of(folder: Path) -> list[int]:
    """Process ids of the workers on a job folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:  # it ended meanwhile
            continue
        if b"pod.worker" in arguments and str(folder).encode() in arguments:
            found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def survived(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Digest:
    """A job whose owner's pod was killed twice while it trained; the second time its worker was killed with it."""
    owner, log = workshop.owner, tmp_path_factory.mktemp("log") / "owner.log"
    id = workshop.request(recipe_overrides=KILLED)
    folder = owner.home.job_folder(id)
    for leaves in (3, 9):
        pod = PodProcess(owner, log)
        workshop.until(lambda leaves=leaves: count_leaves(folder) >= leaves)  # type: ignore[misc]
        pod.kill()
        if leaves == 9:
            for worker in workers_of(folder):
                os.kill(worker, 9)
    assert owner.state(id) == State.TRAINING
    pod = PodProcess(owner, log)
    workshop.until_state(id, State.TRAINED)
    pod.stop()
    accept_result(workshop.scientist.home, id)
    return id


def count_leaves(folder: Path) -> int:
    path = folder / "leaves.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_the_transcript_is_that_of_the_undisturbed_run(workshop: Workshop, survived: Digest, tmp_path: Path) -> None:
    home = workshop.owner.home
    proof, folder = home.agreements.proof(survived), home.job_folder(survived)
    prepare(home, survived, proof)
    for name in INPUTS:
        shutil.copyfile(folder / name, tmp_path / name)
    (folder / RECORDS).unlink()
    assert run_worker(tmp_path)["event"] == "finished"
    undisturbed = tuple(checkpoint.leaf for checkpoint in read_leaves(tmp_path))
    recipe = Recipe.parse((folder / "recipe.json").read_bytes())
    assert len(undisturbed) == recipe.leaf_count == proof.count
    assert Transcript(proof.ctx, proof.seed, undisturbed).root == proof.transcript_root


def test_it_was_interrupted_and_resumed(workshop: Workshop, survived: Digest) -> None:
    kinds = workshop.owner.kinds(survived)
    assert kinds.count("training") == 3
    assert kinds.count("resumed") == 2


def test_every_anchor_was_sent_once_and_paid_once(workshop: Workshop, survived: Digest) -> None:
    owner = workshop.owner.home
    names = [event.name for event in owner.agreements.events(survived)]
    assert names.count("Anchored") == len(owner.agreements.proof(survived).anchors) == 31 // KILLED["group"]
    assert [names.count(name) for name in ("Accepted", "Begun", "Finished", "Settled")] == [1, 1, 1, 1]
    settled = next(event for event in owner.agreements.events(survived) if event.name == "Settled")
    assert settled.args["toOwner"] - owner.agreements.read(survived).terms.bond == PRICE


def test_no_worker_outlives_its_pod(workshop: Workshop, tmp_path: Path) -> None:
    owner = workshop.owner
    id = workshop.request(recipe_overrides=KILLED)
    folder = owner.home.job_folder(id)
    pod = PodProcess(owner, tmp_path / "owner.log")
    workshop.until(lambda: count_leaves(folder) >= 2)
    assert workers_of(folder)
    pod.kill()
    deadline = time.monotonic() + 20
    while workers_of(folder):
        assert time.monotonic() < deadline, "the worker goes on without its pod"
        time.sleep(0.05)
