"""Answering an audit as the owner: evidence for each vote, then the job's identity.

Every step asks the chain first where the audit stands; what was sealed is kept in the journal
before it is sent. Audits that were asked for again are answered alike, but that nothing is
released after them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fitchain.pod.jobs import history
from fitchain.pod.jobs.exchange import send_key
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.turns import OWNER_RANK, Turns, send
from fitchain.pod.parties.owner.disclosed import EVIDENCE_ASIDE, EVIDENCE_MADE, OLDER
from fitchain.pod.parties.owner.evidence import build_evidence, job_identity
from fitchain.pod.parties.owner.examine import RECIPIENT
from fitchain.pod.parties.owner.risk import keep_left
from fitchain.pod.ports.agreement import Audit, AuditKind, Outcome, Phase
from fitchain.pod.ports.store import Cid, Store, car
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import canonical_json, sha256
from fitchain.pod.values.errors import NotFound
from fitchain.pod.values.ids import AuditRef
from fitchain.pod.values.job_folder import Scratch, scratch


def answer_audit(home: Home, turns: Turns, ref: AuditRef) -> str:
    """Do what an open audit asks of the owner now; nothing where it is concluded.

    Returns:
        what was done, in words; empty where there was nothing to do.

    Raises:
        FitchainError: it cannot be done now; calling again goes on from there.
    """
    home.chain.catch_up()  # else what was sent and is not mined yet would be sent again
    audit, now = home.audits.read(ref), home.chain.block("latest").timestamp
    if _may_count(home, audit):
        return _release(home, audit)
    if turns.bring_on(audit, OWNER_RANK):
        return "brought the audit on"
    if now > audit.deadline:
        return ""
    match audit.phase:
        case Phase.EVIDENCE if not _stands(home, audit):
            return _submit(home, audit)
        case Phase.MATCHED:
            return _release(home, audit)
        case Phase.RELEASED if not _has_released(home, audit):
            return _release(home, audit)  # a verifier was quicker: it may be wrong, and only the owner can tell
    return ""


def _may_count(home: Home, audit: Audit) -> bool:
    """Whether the votes are a Match that awaits its key, so that releasing it may count them too:
    one transaction less."""
    counted = audit.phase is Phase.REVEALING and audit.complete and audit.kind is not AuditKind.AGAIN
    return counted and home.audits.majority(audit) is Outcome.MATCH


def _has_released(home: Home, audit: Audit) -> bool:
    return home.keys.address in {release.by for release in home.audits.releases(audit.ref)}


def _stands(home: Home, audit: Audit) -> bool:
    """Whether the evidence of this very vote was handed over already."""
    submission = home.audits.submission(audit)
    return submission is not None and submission.round == audit.round


def _submit(home: Home, audit: Audit) -> str:
    """Hand over the evidence of this vote; sealed once."""
    ref, name = audit.ref, f"evidence/{audit.round}"
    # Where nothing can be sealed to anyone who sits there, the evidence is given all the same.
    recipients = list(home.audits.recipients(audit).values()) or [home.keys.recipient]
    meant_for, kept_for = _meant_for(home, audit, recipients), f"evidence_for/{audit.round}"
    cid = home.journal.fact(ref, name)
    if cid is None or home.journal.fact(ref, kept_for) != meant_for:
        # A replay by hand may be at work beside what a killed process left of evidence.
        home.audit_folder(ref).sweep([Scratch.EVIDENCE], parts=False)
        if cid is not None:
            _set_aside(home, ref, cid)
        home.journal.keep_fact(ref, EVIDENCE_MADE, "")  # before anything is: from now on its records count as opened
        cid = str(_build(home, audit, recipients))
        home.journal.keep_fact(ref, name, cid)
        home.journal.keep_fact(ref, kept_for, meant_for)
    receipt = send(home, audit, home.audits.submit, Cid.parse(cid))
    if receipt is None:
        return ""
    path = evidence_file(home, audit)
    by_hand = path.exists()
    file, withheld = (str(path), audit.withheld_before) if by_hand else (None, None)
    entry = history.EvidenceGiven(audit.round, cid, file, withheld, **history.paid(receipt))
    home.journal.record(ref, entry, once=str(audit.round))
    if not by_hand:
        return f"gave evidence to {len(audit.joined)} verifiers"
    again = "verifiers could not get the evidence; " if audit.withheld_before else ""
    return f"{again}put the evidence into {path}: on the verifiers' machine `fitchain store import` takes it"


def _meant_for(home: Home, audit: Audit, recipients: Sequence[str]) -> str:
    """What evidence answers, and whom: after a reorganisation of the chain others may sit in the
    same round, or other segments of another run be audited."""
    seed, run = home.audits.segment_seed(audit.ref), home.agreements.run_record(audit.id)
    return str(sha256(canonical_json([str(seed), str(run.transcript_root), *sorted(recipients)])))


def _set_aside(home: Home, ref: AuditRef, cid: str) -> None:
    """Remember evidence that other evidence takes the place of: it is kept until the audit is
    over."""
    aside = (home.journal.fact(ref, EVIDENCE_ASIDE) or "").split()
    home.journal.keep_fact(ref, EVIDENCE_ASIDE, " ".join(dict.fromkeys([*aside, cid])))


def evidence_file(home: Home, audit: Audit) -> Path:
    """Where evidence lies that a person hands over: of an on-site audit, and where verifiers said
    that they could not get it otherwise."""
    return home.audit_folder(audit.ref).handed_over(audit.round)


def sealed_aside(home: Home, ref: AuditRef) -> list[Cid]:
    """The evidence that was sealed for a jury that the chain took back."""
    return [Cid.parse(cid) for cid in (home.journal.fact(ref, EVIDENCE_ASIDE) or "").split()]


def sealed_evidence(home: Home, audit: Audit) -> list[Cid]:
    """All evidence of an audit that was sealed, for whatever jury."""
    sealed = (home.journal.fact(audit.ref, f"evidence/{round}") for round in range(audit.round + 1))
    return [*sealed_aside(home, audit.ref), *(Cid.parse(cid) for cid in sealed if cid)]


def _build(home: Home, audit: Audit, recipients: Sequence[str]) -> Cid:
    """Seal the evidence to the recipients and store it.

    Where verifiers said that they could not get it, it is also a file to be handed over by a
    person. Of an on-site audit it is that file alone: it stands in no store that others reach.
    """
    on_site = home.agreements.audit_terms(audit.ref).mode is AuditMode.ON_SITE
    with scratch(home.audit_folder(audit.ref).create().path, Scratch.EVIDENCE) as workspace:
        store: Store = LocalStore(workspace, home.settings.home) if on_site else home.store
        cid = build_evidence(home, store, audit, recipients)
        if on_site or audit.withheld_before:
            car.write(evidence_file(home, audit), cid, store.blocks(cid))
    return cid


def _release(home: Home, audit: Audit) -> str:
    """Seal the job's identity to the scientist, once, and release it."""
    id = audit.id
    if not (cid := home.journal.fact(id, "key")):
        if (recipient := home.journal.fact(id, RECIPIENT)) is None:
            raise NotFound(f"the journal does not know the request {id}", OLDER)
        cid = str(send_key(home.store, id, job_identity(home, home.job_folder(id)), recipient))
        home.journal.keep_fact(id, "key", cid)
    keep_left(home, id, home.agreements.seed(id))
    receipt = send(home, audit, home.audits.release, Cid.parse(cid))
    if receipt is None:
        return ""
    home.journal.record(id, history.Released(cid, **history.paid(receipt)), once="")
    return "released the trained model"
