"""The owner's evidence: what the drawn verifiers are shown, sealed to them, under one CID.

Records are read again from the registered table, and must still be those registered. States that
were not kept are trained again by a worker, from the newest kept state before them; so is the
reference training of a risk report of which a segment is opened, from its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.jobs.exchange import send_folder
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.worker import recompute
from fitchain.pod.parties.owner.data import read_with_leaves, registration_key
from fitchain.pod.parties.owner.reassess import report_again, require_same
from fitchain.pod.parties.owner.replay import link_training
from fitchain.pod.parties.owner.risk import kept_bound, opens_references, reopened
from fitchain.pod.parties.owner.run import noise_secret, prepare
from fitchain.pod.ports.agreement import Audit, RunRecord
from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.ports.store import Cid, Store
from fitchain.pod.proof.audit.chain_record import ChainRecord, read_chain_record
from fitchain.pod.proof.audit.evidence import write_evidence
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.errors import ClaimMismatch, NotFound, Unusable
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import INITIAL, JobFolder, Scratch, scratch
from fitchain.pod.values.leaf import Checkpoint
from fitchain.pod.values.limits import EVIDENCE
from fitchain.pod.values.risk import Parts, RiskReport


def build_evidence(home: Home, store: Store, audit: Audit, recipients: Sequence[str]) -> Cid:
    """Make the evidence of an ended job and add it to a store.

    Args:
        home: the owner's, opened with its key, with the dataset's file where it was.
        store: the pod's; one of its own where nothing may leave the owner's place.
        audit: as it stands; what is audited is fixed.
        recipients: the age recipients of everybody who sits in this round.

    Returns:
        CID of the sealed folder.

    Raises:
        NotFound: the job was not trained from this home, or its files are gone.
        ClaimMismatch: the folder's leaves are not those of the chain.
        DatasetChanged: the records are not those that were registered.
        Unusable: the evidence is larger than verifiers fetch.
        EnvironmentRefused: a state must be trained again, and this host does not reproduce the
            recipe's class.
    """
    id = audit.id
    chain_record, folder = read_chain_record(home.chain, audit), home.job_folder(id)
    checkpoints = read_transcript(folder, chain_record)
    row = home.journal.dataset(home.agreements.read(id).terms.dataset)
    (table, leaves), key = read_with_leaves(home, row), registration_key(home, row.salt)
    identity = job_identity(home, folder) if chain_record.opens_delivery else None
    with scratch(home.audit_folder(audit.ref).create().path, Scratch.EVIDENCE) as workspace:
        job, plain = JobFolder(workspace / "job").create(), workspace / "plain"
        plain.mkdir()
        link_training(folder, job)
        missing, parts, reference = missing_states(job, chain_record), checkpoints[-1].report, None
        opens = opens_references(parts)
        if missing or opens:
            task = prepare(home, id, home.agreements.run_record(id), job)
            if missing:
                recompute(job.path, missing, launcher=home.launcher, context=task.context, limits=task.limits)
            if parts is not None and opens:
                reference = reopened(home, job, task, chain_record, bound_report(home, id, parts))
        secret = noise_secret(home.keys, id)
        names = write_evidence(
            *(job.path, plain, chain_record, checkpoints, table, key, leaves, identity, secret, reference)
        )
        home.bases.name_place(plain / INITIAL)  # the store keeps it there; its author's may be gone
        if (size := sum((plain / name).stat().st_size for name in names)) > EVIDENCE.size_bytes:
            raise Unusable(f"the evidence has {size} bytes, and no verifier fetches more than {EVIDENCE.size_bytes}")
        return send_folder(store, plain, names, recipients)


def bound_report(home: Home, id: AgreementId, parts: Parts) -> RiskReport:
    """The risk report that a job's last leaf binds; where its file is gone it is made again, since
    whoever gives no evidence loses its bond.

    Raises:
        NotFound: it is gone, and the model to make it of, too.
        DigestMismatch: made again it is another.
    """
    if (kept := kept_bound(home, id, parts)) is not None:
        return kept
    report = report_again(home, id)
    require_same(report, parts.digest, "the last leaf says")
    write_file(home.job_folder(id).risk_report, report.encode())
    return report


def read_transcript(folder: JobFolder, chain_record: ChainRecord | RunRecord) -> tuple[Checkpoint, ...]:
    """Read a job folder's checkpoints, which must be those whose root the chain has.

    Raises:
        NotFound: there are none.
        ClaimMismatch: they are others.
    """
    if not (checkpoints := read_leaves(folder.path)):
        raise NotFound(
            f"there is no {folder.leaves.name} in {folder}", "only who trained the job can give evidence of it"
        )
    root = Transcript(chain_record.ctx, chain_record.seed, tuple(checkpoint.leaf for checkpoint in checkpoints)).root
    if root != chain_record.transcript_root:
        raise ClaimMismatch(
            f"the leaves in {folder} have the root {root} and the chain has {chain_record.transcript_root}"
        )
    return checkpoints


def missing_states(job: JobFolder, chain_record: ChainRecord) -> list[int]:
    """The audited segments whose state before them is not kept."""
    return [segment for segment in chain_record.audited[1:] if not job.state(chain_record.step_of(segment)).exists()]


def job_identity(home: Home, folder: JobFolder) -> str:
    """The job's own age identity, as the owner keeps it until the job is settled.

    Raises:
        NotFound: it is gone, or was never made.
    """
    return home.read_secret(folder.identity)
