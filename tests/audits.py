"""Audits without a chain: an owner's trained folder, what the chain would say of it, evidence
sealed through a store, an examination.

`trained` and `Case.examined` do it in real worker processes; `trained_here` and
`Case.replayed_here` run the worker's code in this process, whose kernels both then have, because a
process takes seconds and there are many cheats.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fitchain.pod.compute.checkpoint import KeptState, read_leaves, replace_last_leaf, write_state_file
from fitchain.pod.compute.dataset import Table, dataset_root, record_leaves
from fitchain.pod.compute.dataset.references import ReferenceTraining
from fitchain.pod.jobs.exchange import send_folder
from fitchain.pod.jobs.worker import Context, Event, SegmentAudited, Task
from fitchain.pod.jobs.worker.job import Job, work_of
from fitchain.pod.jobs.worker.modes import MODES
from fitchain.pod.jobs.worker.task import Assess, Audit, Reopen
from fitchain.pod.parties.verifier import Examination, examine
from fitchain.pod.ports.agreement import audit_id
from fitchain.pod.ports.sealed import new_identity, recipient_of
from fitchain.pod.ports.store import Cid, Store
from fitchain.pod.proof.audit.chain_record import ChainRecord
from fitchain.pod.proof.audit.challenge import drawn_reference
from fitchain.pod.proof.audit.checking import Problem, check
from fitchain.pod.proof.audit.evidence import Evidence, write_evidence
from fitchain.pod.proof.audit.reference import named as told
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.best import delivered_leaf
from fitchain.pod.values.digest import ZERO, Digest, Root, sha256
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.job_folder import DELIVERY_FILES, JobFolder
from fitchain.pod.values.leaf import records_digest
from fitchain.pod.values.privacy.keys import noise_root
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.risk import RiskReport
from fitchain.pod.values.risk.references import LEAF_BYTES, OpenedReference, ReferenceLeaf, leaf_digests, training_root
from fitchain.pod.values.state import optimizer_root, read_safetensors
from tests.training_jobs import CTX, NOISE, SEED, job_folder, recipe, table, task_in, train_folder

REF = AuditRef(AgreementId(sha256(b"agreement")))
CHALLENGE, KEY, REPORT_SALT = sha256(b"challenge"), bytes(range(32, 64)), sha256(b"report salt")
JOB_SECRET, JOB_RECIPIENT = new_identity()
VERIFIER_SECRET, VERIFIER_RECIPIENT = new_identity()
ALL = 99
"""More inner segments than any of these jobs has: all are drawn."""

Work = Callable[[Path], object]
Tamper = Callable[[Path], object]
NOTHING_FAKED: Mapping[int, Sequence[ReferenceLeaf]] = {}


@dataclass(frozen=True)
class Case:
    """An owner's side of an audit."""

    folder: Path
    store: Store
    records: Table
    registered: Table = field(default_factory=table)
    report: RiskReport | None = None
    faked: Mapping[int, Sequence[ReferenceLeaf]] = field(default_factory=dict)
    """Leaves of reference trainings that its owner says, and did not train."""
    do: Callable[[Path, Task], object] | None = None
    """Does the owner's tasks; in this process unless it is given."""

    @property
    def recipe(self) -> Recipe:
        return Recipe.parse((self.folder / "recipe.json").read_bytes())

    def copy(self, name: str) -> Case:
        """The same job in a folder of its own, to be spoilt."""
        return Case(
            Path(shutil.copytree(self.folder, self.folder.with_name(name))),
            self.store,
            self.records,
            self.registered,
            self.report,
            self.faked,
            self.do,
        )

    def assessed(self) -> Case:
        """The same job once its model was attacked."""
        (self.do or work_here)(self.folder, Assess(Context(CTX, SEED), REPORT_SALT, None, opens=True))
        return self.bound(RiskReport.parse((self.folder / "run/risk-report.json").read_bytes()))

    def bound(self, report: RiskReport, faked: Mapping[int, Sequence[ReferenceLeaf]] = NOTHING_FAKED) -> Case:
        """The same job with a report bound in its last leaf, some of whose reference trainings are
        said to have other leaves."""
        roots = list(report.references)
        for number, leaves in faked.items():
            roots[number] = training_root(leaf_digests(leaves, number, report.salt))
        report = replace(report, references=tuple(roots))
        replace_last_leaf(self.folder, read_leaves(self.folder)[-1].with_report(report.parts))
        return replace(self, report=report, faked=faked)

    def untrained(self, number: int) -> list[ReferenceLeaf]:
        """The leaves of a reference training that never leaves the initial model, of the right
        records."""
        given, start = self.recipe, (self.recipe.initial_model, optimizer_root({}))
        training = ReferenceTraining.of(given, SEED, number)
        used = (training.segment_records(segment) for segment in range(given.segment_count))
        return [ReferenceLeaf(*start, records_digest(rows)) for rows in (np.empty(0, np.uint64), *used)]

    def reopened(self, facts: ChainRecord) -> OpenedReference | None:
        """What the owner opens of the reference trainings; whatever it comes to."""
        report = self.report
        if report is None or not report.references:
            return None
        segments = self.recipe.segment_count
        number, segment = drawn_reference(facts.segment_seed, len(report.references), segments)
        (self.do or work_here)(self.folder, Reopen(Context(CTX, SEED), number, segment))
        data = (self.folder / "run/reference.leaves").read_bytes()
        leaves = [ReferenceLeaf.parse(data[at : at + LEAF_BYTES]) for at in range(0, len(data), LEAF_BYTES)]
        if (faked := self.faked.get(number)) is not None:
            initial = read_safetensors(self.folder / "initial.safetensors")[0]
            if faked[min(segment, len(faked) - 1)] not in leaves:
                frozen = Graph.parse((self.folder / "graph.json").read_bytes()).frozen
                moving = {name: tensor for name, tensor in initial.items() if name not in frozen}
                write_state_file(self.folder / "run/reference.safetensors", KeptState(moving, {}), {})
            leaves = list(faked)
        return OpenedReference.of(leaves, number, min(segment, len(leaves) - 1), report.salt, report.references)

    def deliver(self, tamper: Tamper | None = None) -> Cid:
        """Seal the trained model to the job's identity, as the owner's pod does."""
        place = self.folder.with_name(f".delivery-{os.urandom(4).hex()}")
        place.mkdir()
        shutil.copyfile(self.folder / "run/final.safetensors", place / "model.safetensors")
        (place / "certificate.json").write_bytes(b"{}")
        (place / "preprocessing.json").write_bytes(b"{}")
        shutil.copyfile(self.folder / "graph.json", place / "graph.json")
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
            work=work_of(Graph.parse((self.folder / "graph.json").read_bytes()), given),
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
        reference = self.reopened(facts)
        names = write_evidence(
            *(
                self.folder,
                place,
                facts,
                read_leaves(self.folder),
                self.records,
                KEY,
                leaves,
                identity,
                NOISE,
                reference,
            )
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
            task = Audit(Context(CTX, SEED), checked.replayable, has_reference=checked.has_reference)
            events = [event for event in work_here(evidence.folder, task) if isinstance(event, SegmentAudited)]
            wrong = [event for event in events if not event.equal and event.reference is None]
            problems += [Problem(event.index, event.difference) for event in wrong if event.index not in named]
            others = [event for event in events if not event.equal and event.reference is not None]
            problems += [Problem(None, told(evidence.reference, event.difference)) for event in others]
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
    job_folder(folder, given, records=records, keep_every=keep_every, net=changes.get("net"))
    work(folder)
    return Case(folder, store, records, records)


def trained_here(folder: Path, store: Store, **changes: Any) -> Case:
    """An honest training in this process."""
    return trained(folder, store, work_here, **changes)


def seed_that_draws(case: Case, segment: int, number: int | None = None) -> Digest:
    """A segment seed that draws a segment of a reference training."""
    assert case.report is not None
    trainings, segments = len(case.report.references), case.recipe.segment_count
    seeds = (sha256(b"seed %d" % each) for each in range(1 << 16))
    drawn = ((seed, drawn_reference(seed, trainings, segments)) for seed in seeds)
    return next(seed for seed, (one, part) in drawn if part == segment and number in (None, one))


def facts_of(case: Case, segment: int, number: int | None = None) -> ChainRecord:
    return replace(case.facts(None, drawn=0), segment_seed=seed_that_draws(case, segment, number))
