"""Audits without a chain: an owner's trained folder, what the chain would say of it, evidence
sealed through a store, an examination.

`trained` and `Case.examined` do it in real worker processes; `trained_here` and
`Case.replayed_here` run the worker's code in this process, whose kernels both then have, because a
process takes seconds and there are many cheats.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.dataset import Table, dataset_root, record_leaves
from fitchain.pod.compute.model import step_work
from fitchain.pod.jobs.exchange import send_folder
from fitchain.pod.jobs.worker import Context, Event, SegmentAudited, Task
from fitchain.pod.jobs.worker.job import Job
from fitchain.pod.jobs.worker.modes import MODES
from fitchain.pod.jobs.worker.task import Audit
from fitchain.pod.parties.verifier import Examination, examine
from fitchain.pod.ports.agreement import audit_id
from fitchain.pod.ports.sealed import new_identity, recipient_of
from fitchain.pod.ports.store import Cid, Store
from fitchain.pod.proof.audit.chain_record import ChainRecord
from fitchain.pod.proof.audit.checking import Problem, check
from fitchain.pod.proof.audit.evidence import Evidence, write_evidence
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.best import delivered_leaf
from fitchain.pod.values.digest import ZERO, Root, sha256
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.job_folder import DELIVERY_FILES, JobFolder
from fitchain.pod.values.privacy.keys import noise_root
from fitchain.pod.values.recipe import Recipe
from tests.training_jobs import CTX, NOISE, SEED, job_folder, recipe, table, task_in, train_folder

REF = AuditRef(AgreementId(sha256(b"agreement")))
CHALLENGE, KEY = sha256(b"challenge"), bytes(range(32, 64))
JOB_SECRET, JOB_RECIPIENT = new_identity()
VERIFIER_SECRET, VERIFIER_RECIPIENT = new_identity()
ALL = 99
"""More inner segments than any of these jobs has: all are drawn."""

Work = Callable[[Path], object]
Tamper = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """An owner's side of an audit."""

    folder: Path
    store: Store
    records: Table
    registered: Table = field(default_factory=table)

    @property
    def recipe(self) -> Recipe:
        return Recipe.parse((self.folder / "recipe.json").read_bytes())

    def copy(self, name: str) -> Case:
        """The same job in a folder of its own, to be spoilt."""
        return Case(
            Path(shutil.copytree(self.folder, self.folder.with_name(name))), self.store, self.records, self.registered
        )

    def deliver(self, tamper: Tamper | None = None) -> Cid:
        """Seal the trained model to the job's identity, as the owner's pod does."""
        place = self.folder.with_name(f".delivery-{os.urandom(4).hex()}")
        place.mkdir()
        shutil.copyfile(self.folder / "run/final.safetensors", place / "model.safetensors")
        (place / "certificate.json").write_bytes(b"{}")
        if tamper is not None:
            tamper(place)
        return send_folder(self.store, place, DELIVERY_FILES, [JOB_RECIPIENT])

    def facts(self, delivery: Cid | None, drawn: int = ALL, round: int = 0) -> ChainRecord:
        """What the chain would say once the job's leaves are on it."""
        checkpoints, given = read_leaves(self.folder), self.recipe
        leaves = tuple(checkpoint.leaf for checkpoint in checkpoints)
        delivered = delivered_leaf(given, {each.leaf.index: each.held_out for each in checkpoints}, leaves[-1].index)
        return ChainRecord(
            ref=REF,
            audit=audit_id(REF),
            ctx=CTX,
            seed=SEED,
            noise_root=noise_root(NOISE, given.segment_count) if given.privacy else ZERO,
            recipe=given.digest,
            graph=given.graph,
            initial_model=given.initial_model,
            dataset_root=registered_root(self.registered),
            dataset_count=self.registered.count,
            charge=given.charge,
            environment=given.environment.digest,
            work=step_work(
                Graph.parse((self.folder / "graph.json").read_bytes()), given.batch_size * given.unit_records
            ),
            steps=given.steps,
            segment_steps=given.segment_steps,
            group_leaves=given.group_leaves,
            drawn_segments=drawn,
            count=len(leaves),
            step=leaves[-1].step,
            delivered=delivered,
            transcript_root=Transcript(CTX, SEED, leaves).root,
            model_root=checkpoints[delivered].model,
            last_model_root=checkpoints[-1].model,
            delivery=delivery,
            segment_seed=CHALLENGE,
            round=round,
            evidence_round=round,
        )

    def plain(
        self, facts: ChainRecord, tamper: Tamper | None = None, identity: str | None = JOB_SECRET
    ) -> tuple[Path, tuple[str, ...]]:
        """Write the evidence, and what a cheat makes of it."""
        place = self.folder.with_name(f".plain-{os.urandom(4).hex()}")
        place.mkdir()
        leaves = record_leaves(self.records, KEY)
        names = write_evidence(
            *(self.folder, place, facts, read_leaves(self.folder), self.records, KEY, leaves, identity, NOISE)
        )
        if tamper is not None:
            tamper(place)
        return place, tuple(name for name in names if (place / name).exists())

    def evidence(self, facts: ChainRecord, tamper: Tamper | None = None) -> Evidence:
        """Evidence as a verifier reads it once it is opened."""
        return Evidence.read(self.plain(facts, tamper)[0])

    def examined(
        self, facts: ChainRecord, tamper: Tamper | None = None, identity: str | None = JOB_SECRET
    ) -> Examination:
        """Seal the evidence, and let a verifier examine it."""
        place, names = self.plain(facts, tamper, identity)
        cid = send_folder(self.store, place, names, [VERIFIER_RECIPIENT, recipient_of(JOB_SECRET)])
        return examine(self.store, cid, VERIFIER_SECRET, facts, place.with_name(f"{place.name}-opened"))

    def replayed_here(self, facts: ChainRecord, tamper: Tamper | None = None) -> list[Problem]:
        """Check plain evidence and replay what the checks leave, in this process; what does not
        hold."""
        evidence = self.evidence(facts, tamper)
        checked = check(evidence, facts)
        problems = list(checked.problems)
        if checked.replayable:
            named = {problem.segment for problem in problems}
            task = Audit(Context(CTX, SEED), checked.replayable)
            events = [event for event in work_here(evidence.folder, task) if isinstance(event, SegmentAudited)]
            wrong = [event for event in events if not event.equal and event.index not in named]
            problems += [Problem(event.index, event.difference) for event in wrong]
        return problems


def work_here(folder: Path, task: Task | None = None) -> list[Event]:
    """Do a task in this process: the folder's own unless it is given."""
    JobFolder(folder).make_run()
    task, events = task or task_in(folder), list[Event]()
    job = Job.open(folder, task, Recipe.parse((folder / "recipe.json").read_bytes()))
    MODES[task.mode](job, events.append)
    return events


def registered_root(records: Table | None = None) -> Root:
    """The root of the registered records."""
    return dataset_root(record_leaves(records or table(), KEY))


# Many parameters: what a job may differ in, by name.
def trained(
    folder: Path,
    store: Store,
    work: Work = train_folder,
    keep_every: int = 1,
    records: Table | None = None,
    **changes: Any,
) -> Case:
    """An honest training, of a real worker unless it says otherwise."""
    records = records or table()
    given = recipe(dataset=str(registered_root(records)), **changes)
    job_folder(folder, given, records=records, keep_every=keep_every)
    work(folder)
    return Case(folder, store, records, records)


def trained_here(folder: Path, store: Store, **changes: Any) -> Case:
    """An honest training in this process."""
    return trained(folder, store, work_here, **changes)
