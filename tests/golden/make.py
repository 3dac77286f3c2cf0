"""Make all golden files, tests/golden/v2: a small job, really done, with every format it uses as a
file, and a certificate of nothing (tests/golden/certificate.py).

    python -m tests.golden.make

Two pods in one process do a job of 12 steps on 40 made-up records, on a devnet of their own; then
the files are collected, the chain's state among them, so that the certificate can be verified as on
the day it was made. Evidence is written as an audit of that job would ask for it. Keys and salts
are fresh each time, so each time the bytes are others: make them anew only before the first public
release. The secrets in these files belong to nobody.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.dataset import Card, ReadingTerms, Table, batches, open_records, record_leaves
from fitchain.pod.jobs.exchange import send_refusal
from fitchain.pod.jobs.history import Settled
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.owner import DatasetOffer, Owner, register_dataset
from fitchain.pod.parties.owner.data import registration_key
from fitchain.pod.parties.owner.run import salt_keys
from fitchain.pod.parties.scientist import JobRequest, Scientist, delivery, publish_model, request_job
from fitchain.pod.ports import keys, settings
from fitchain.pod.ports.agreement import RunRecord, audit_id
from fitchain.pod.ports.chain import devnet
from fitchain.pod.ports.chain.deploy import deploy
from fitchain.pod.ports.registry import Role
from fitchain.pod.ports.sealed import open_sealed
from fitchain.pod.ports.store import Cid, Store
from fitchain.pod.proof.audit.chain_record import ChainRecord
from fitchain.pod.proof.audit.evidence import write_evidence
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import parse_json, sha256
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.job_folder import DELIVERY_FILES, EVIDENCE, EVIDENCE_RECORDS
from fitchain.pod.values.leaf import Checkpoint
from fitchain.pod.values.recipe import Recipe
from tests.golden import certificate as golden_certificate
from tests.policies import open_policy

FOLDER = Path(__file__).parent / "v2" / "job"
OWNERS = (
    "run/leaves.jsonl",
    "graph.json",
    "recipe.json",
    "initial.safetensors",
    "model.safetensors",
    "certificate.json",
)
RECIPE = {"steps": 12, "batch_size": 8, "segment_steps": 2, "group_leaves": 2, "learning_rate": 0.01}
FIT, ETH = 10**18, 10**18
LIMIT_S = 120

MODULE = '''
from torch import nn


def small():
    """Three numbers to two classes, with running statistics and dropout."""
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.25), nn.Linear(4, 2))
'''


def main() -> int:
    """Do the job and collect its files."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    write_table(FOLDER / "table.csv")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        devnet.up(place / "devnet", port=0)
        try:
            deploy(settings.load(home=place / "nobody", devnet=place / "devnet", environ={}))
            owner, scientist = (make_home(place / name, place / "devnet") for name in ("owner", "scientist"))
            job = do_job(owner, scientist, place)
            collect(owner, scientist, job)
        finally:
            devnet.down(place / "devnet")
        keep_chain(place / "devnet")
    golden_certificate.main()
    return 0


def write_table(path: Path) -> None:
    """Write 40 records of three numbers and two kinds; the name stays out of the dataset."""
    numbers = np.random.default_rng(2026).normal(size=(40, 3)).round(3)
    kinds = np.where(numbers.sum(1) > 0, "round", "long")
    rows = [f"R-{i:02d},{a},{b},{c},{kind}" for i, ((a, b, c), kind) in enumerate(zip(numbers, kinds, strict=True))]
    path.write_text("\n".join(["name,width,height,weight,kind", *rows, ""]))


def make_home(folder: Path, net: Path) -> Home:
    """Make a home with a fresh key and money."""
    place = settings.load(home=folder, devnet=net, environ={})
    fresh = keys.create(folder, "default", "golden", work=2)
    devnet.fund(place, fresh.address, ETH, 100 * FIT)
    return Home.open(place, lambda: "golden")


def do_job(owner: Home, scientist: Home, place: Path) -> AgreementId:
    """From the dataset's registration to the settlement; the agreement's id."""
    (place / "module.py").write_text(MODULE)
    how: dict[str, Any] = {"name": "golden", "target": "kind", "drop": ("name",), "price": FIT, "mock_records": 64}
    policy = open_policy(manual_approval=False, minimum_batch=4)
    offer = DatasetOffer(FOLDER / "table.csv", policy=policy, licence="CC0-1.0", **how)
    dataset = register_dataset(owner, offer)
    model = publish_model(scientist, place / "module.py", dataset.id, name="small")
    owner.registry.register_pod(Role.OWNER, owner.keys.recipient)
    stop = threading.Event()
    pods: list[Owner | Scientist] = [Owner(owner, say), Scientist(scientist, True, say)]
    threads = [threading.Thread(target=pod.run, args=(stop,)) for pod in pods]
    for thread in threads:
        thread.start()
    try:
        job = request_job(scientist, JobRequest(dataset.id, model.id, recipe_overrides=RECIPE, bond=FIT))
        until(lambda: scientist.journal.happened(job, Settled), stop)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return job


def say(id: AgreementId, text: str) -> None:
    """Tell what a pod tells."""
    print(id.short, text, file=sys.stderr)


def until(reached: Callable[[], bool], pause: threading.Event) -> None:
    """Wait until something is reached."""
    for _ in range(LIMIT_S * 20):
        if reached():
            return
        pause.wait(0.05)
    raise TimeoutError(f"nothing happened for {LIMIT_S} s")


def collect(owner: Home, scientist: Home, job: AgreementId) -> None:
    """Copy the job's files, and write down what they follow from."""
    folder, found = owner.job_folder(job).path, delivery(scientist, job)
    for name in OWNERS:
        shutil.copyfile(folder / name, FOLDER / Path(name).name)
    assert found.model.read_bytes() == (FOLDER / "model.safetensors").read_bytes()
    assert found.certificate.read_bytes() == (FOLDER / "certificate.json").read_bytes()
    shutil.copyfile(folder / "run/states/6.safetensors", FOLDER / "state-6.safetensors")
    row = owner.journal.datasets()[0]
    (FOLDER / "card.json").write_bytes(row.card)
    table = Table.read(FOLDER / "table.csv", ReadingTerms(drop=("name",), target="kind"))
    write("dataset.json", dataset_of(table, registration_key(owner, row.salt)))
    proof = owner.agreements.run_record(job)
    recipe = Recipe.parse((FOLDER / "recipe.json").read_bytes())
    order = [batch.tolist() for batch in islice(batches(recipe, proof.seed), recipe.steps)]
    write("batches.json", {"seed": str(proof.seed), "batches": order})
    write("transcript.json", transcript_of(proof, recipe, read_leaves(folder)))
    salts = salt_keys(owner.keys, job)
    secrets = {"metrics": salts.metrics.hex(), "states": salts.states.hex()}
    write("secrets.json", {"scientist": scientist.keys.identity, **secrets})
    keys.backup(scientist.settings.home, "default", FOLDER / "key-backup.json")
    keep_deliveries(scientist.store, proof)
    keep_evidence(owner, scientist, job)
    store, card = scientist.store, Card.parse(row.card)
    keep(store, card.mock, "mock.npz")
    keep(store, send_refusal(store, job, "the price is below the minimum", scientist.keys.recipient), "refusal.age")


def dataset_of(table: Table, key: bytes) -> dict[str, Any]:
    """The registration key with what it leads to."""
    leaves = record_leaves(table, key)
    opening = next(open_records(table, key, leaves, [7]))
    return {"key": key.hex(), "leaves": [leaf.hex() for leaf in leaves], "opening": opening.json()}


def transcript_of(proof: RunRecord, recipe: Recipe, checkpoints: tuple[Checkpoint, ...]) -> dict[str, Any]:
    """What the chain recorded, and what `finish` was given."""
    assert proof.delivery is not None and proof.identity is not None
    transcript = Transcript(proof.ctx, proof.seed, tuple(each.leaf for each in checkpoints))
    ending = transcript.ending(recipe.group_leaves, checkpoints[-1].roots, proof.delivery, proof.identity)
    return {
        "ctx": str(proof.ctx),
        "seed": str(proof.seed),
        "root": str(proof.transcript_root),
        "model": str(proof.model_root),
        "anchors": [{"count": anchor.count, "root": str(anchor.root)} for anchor in proof.anchors],
        "ending": {name: [str(node) for node in getattr(ending, name)] for name in ("peaks", "tail", "path")},
    }


def keep_deliveries(store: Store, proof: RunRecord) -> None:
    """Keep what travelled, as the store has it: sealed."""
    keep(store, proof.anchors[0].note, "note.age")
    keep(store, proof.identity, "key.age")
    keep(store, proof.delivery, "delivery")
    assert {path.name for path in (FOLDER / "delivery").iterdir()} == {f"{name}.age" for name in DELIVERY_FILES}


def keep_evidence(owner: Home, scientist: Home, job: AgreementId) -> None:
    """Write what an audit of the job would be shown, unsealed."""
    (FOLDER / "evidence").mkdir()
    row, facts = owner.journal.datasets()[0], chain_record(owner, job)
    table, key = (
        Table.read(FOLDER / "table.csv", ReadingTerms(drop=("name",), target="kind")),
        registration_key(owner, row.salt),
    )
    identity = open_key(scientist)
    checkpoints, leaves = read_leaves(owner.job_folder(job).path), record_leaves(table, key)
    names = write_evidence(
        owner.job_folder(job).path, FOLDER / "evidence", facts, checkpoints, table, key, leaves, identity
    )
    for name in {*names} - {EVIDENCE, EVIDENCE_RECORDS}:  # states and offers are golden files already
        (FOLDER / "evidence" / name).unlink()
    write("audit.json", {"segment_seed": str(facts.segment_seed), "audited": list(facts.audited)})


def chain_record(owner: Home, job: AgreementId) -> ChainRecord:
    """What the chain would say of the job's first audit, had it one that draws one segment."""
    terms, run, ref = owner.agreements.terms(job), owner.agreements.run_record(job), AuditRef(job)
    dataset, model = owner.registry.dataset(terms.dataset), owner.registry.model(terms.model)
    return ChainRecord(
        ref=ref,
        audit=audit_id(ref),
        ctx=run.ctx,
        seed=run.seed,
        noise_root=run.noise_root,
        recipe=terms.recipe,
        graph=model.graph,
        initial_model=terms.model_root,
        dataset_root=terms.dataset_root,
        dataset_count=dataset.count,
        charge=terms.charge,
        environment=terms.environment,
        work=terms.work,
        steps=terms.steps,
        segment_steps=terms.segment_steps,
        group_leaves=terms.group_leaves,
        drawn_segments=1,
        count=run.count,
        step=run.step,
        delivered=run.delivered,
        transcript_root=run.transcript_root,
        model_root=run.model_root,
        last_model_root=run.last_model_root,
        delivery=run.delivery,
        segment_seed=sha256(b"golden segments"),
        round=0,
        evidence_round=0,
    )


def open_key(scientist: Home) -> str:
    """The job's identity as it was sealed to the scientist."""
    return str(parse_json(open_sealed((FOLDER / "key.age").read_bytes(), scientist.keys.identity))["identity"])


def keep(store: Store, cid: Cid | None, name: str) -> None:
    """Keep one object of the store."""
    assert cid is not None
    store.fetch(cid, FOLDER / name)


def keep_chain(net: Path) -> None:
    """Keep the chain's state as its node wrote it, and where the contracts stand."""
    (FOLDER / "chain").mkdir()
    state = json.dumps(json.loads((net / "chain.json").read_bytes()), separators=(",", ":")).encode()
    (FOLDER / "chain" / "chain.json.gz").write_bytes(gzip.compress(state, 9, mtime=0))
    shutil.copyfile(net / "deployments" / "31337.json", FOLDER / "chain" / "31337.json")


def write(name: str, value: Any) -> None:
    """Write a JSON file for people."""
    (FOLDER / name).write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
