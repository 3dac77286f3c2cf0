"""Where two sides of an audit part: what the evidence of a verifier comes to, step by step.

A verifier has the evidence as long as its audit is not over.
"""

from __future__ import annotations

from collections.abc import Sequence

from fitchain.pod.jobs.exchange import fetch_folder
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.worker import Context, Emit, Limits, explain
from fitchain.pod.proof.audit.chain_record import read_chain_record, with_parents
from fitchain.pod.proof.audit.checking import agreed_recipe, check, check_initial
from fitchain.pod.proof.audit.diagnosis import StateDigests
from fitchain.pod.proof.audit.evidence import Evidence, files_of
from fitchain.pod.values.errors import ClaimMismatch, NotFound
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.job_folder import EVIDENCE_RECORDS, JobFolder, Scratch, scratch
from fitchain.pod.values.limits import EVIDENCE


def seats_of(home: Home, id: AgreementId) -> list[AuditRef]:
    """The audits of an agreement in which this home took a seat and can still open the evidence."""
    refs = [AuditRef(id, ordinal) for ordinal in [0, *home.job_folder(id).audits()]]
    return [ref for ref in refs if home.audit_folder(ref).seat_identity.exists()]


def explain_evidence(home: Home, ref: AuditRef, segments: Sequence[int], emit: Emit) -> tuple[StateDigests, ...]:
    """Train segments out of an audit's evidence and keep every tensor's digest after each step.

    Args:
        home: of a seated verifier, opened with its key.
        ref: the audit.
        segments: which, among those that are audited.
        emit: takes the worker's events.

    Raises:
        NotFound: the evidence has no such segment, or there is none for the present vote.
        ClaimMismatch, DigestMismatch: the evidence itself does not hold.
        FitchainError: it cannot be trained here.
    """
    audit, folder = home.audits.read(ref), home.audit_folder(ref)
    submission = home.audits.submission(audit)
    if submission is None or submission.evidence is None:
        raise NotFound(f"the audit of {ref.short} has no evidence now", "wait until its owner has shown it")
    chain_record = with_parents(home.chain, read_chain_record(home.chain, audit, submission.round))
    for segment in segments:
        if segment not in chain_record.audited:
            audited = ", ".join(map(str, chain_record.audited))
            raise NotFound(f"the evidence of {ref.short} has no segment {segment}", f"it has {audited}")
    home.add_peer(home.agreements.terms(ref.agreement).owner)
    with scratch(folder.path, Scratch.AUDIT) as workspace:
        opened = workspace / "evidence"
        names, secret = files_of(chain_record.audited), home.read_secret(folder.seat_identity)
        fetch_folder(home.store, submission.evidence, opened, names, secret, EVIDENCE)
        evidence = Evidence.read(opened, len(chain_record.leaves))
        if (recipe := agreed_recipe(evidence, chain_record)).base is not None:
            check_initial(evidence, chain_record, recipe)  # before anything is fetched from where it says
            home.bases.lay(JobFolder(opened), recipe.base, is_offered=True)
        checked = check(evidence, chain_record)
        for segment in segments:
            if segment not in checked.replayable:
                problem = next((each for each in checked.problems if each.segment == segment), checked.problems[0])
                raise ClaimMismatch(f"the evidence itself does not hold: {problem}")
        context = Context(chain_record.ctx, chain_record.seed)
        return explain(
            opened, context, segments, emit, home.launcher, Limits.agreed(chain_record.work, opened / EVIDENCE_RECORDS)
        )
