"""Where two sides of an audit part: what the evidence of a verifier comes to, step by step.

A verifier has the evidence as long as its audit is not over.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from fitchain.pod.jobs.audit_status import drawn_segments
from fitchain.pod.jobs.exchange import fetch_folder
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.worker import Event, Task, explain
from fitchain.pod.parties.verifier.pod import SEAT
from fitchain.pod.proof.audit.chain_record import read_chain_record
from fitchain.pod.proof.audit.checking import check
from fitchain.pod.proof.audit.diagnosis import StateDigests
from fitchain.pod.proof.audit.evidence import FOLDER_BYTES, Evidence, files_of
from fitchain.pod.values.errors import ClaimMismatch, NotFound
from fitchain.pod.values.ids import AgreementId


def has_seat(home: Home, id: AgreementId) -> bool:
    """Whether this home took a seat in an agreement's audit and can still open its evidence."""
    return bool((home.settings.home / "jobs" / str(id) / SEAT).exists() and home.audits.read(id).phase)


def explain_evidence(
    home: Home, id: AgreementId, segments: Sequence[int], emit: Callable[[Event], None]
) -> tuple[StateDigests, ...]:
    """Train segments out of an audit's evidence and keep every tensor's digest after each step.

    Args:
        home: of a seated verifier, opened with its key.
        id: the agreement.
        segments: which, among those drawn.
        emit: takes the worker's events.

    Raises:
        NotFound: the evidence has no such segment, or is not shown in this round.
        ClaimMismatch: the evidence itself does not hold.
        FitchainError: it cannot be trained here.
    """
    drawn = drawn_segments(home, id)
    for segment in segments:
        if segment not in drawn:
            raise NotFound(
                f"the evidence of {id.short} has no segment {segment}", f"it has {', '.join(map(str, drawn))}"
            )
    audit, folder = home.audits.read(id), home.job_folder(id)
    if (cid := home.audits.evidence(audit)) is None:
        raise NotFound(f"the audit of {id.short} has no evidence in this round", "wait until its owner has shown it")
    chain_record = read_chain_record(home.chain, id, audit.seed, audit.round)
    home.add_peer(home.agreements.terms(id).owner)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".audit-") as scratch:
        opened = Path(scratch) / "evidence"
        fetch_folder(
            home.store, cid, opened, files_of(chain_record.audited), home.read_secret(folder / SEAT), FOLDER_BYTES
        )
        checked = check(Evidence.read(opened), chain_record)
        for segment in segments:
            if segment not in checked.replayable:
                problem = next((each for each in checked.problems if each.segment == segment), checked.problems[0])
                raise ClaimMismatch(f"the evidence itself does not hold: {problem}")
        task = Task("audit", chain_record.ctx, chain_record.seed, segments=tuple(segments))
        return explain(opened, task, segments, emit)
