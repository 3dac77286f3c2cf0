"""Answering an audit as the owner: evidence for each round, then the job's identity.

Every step asks the chain first where the audit stands; what was sealed is kept in the journal
before it is sent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from fitchain.pod.jobs.exchange import send_key
from fitchain.pod.jobs.home import Home, sweep
from fitchain.pod.jobs.turns import OWNER_RANK, Turns, send
from fitchain.pod.parties.owner.evidence import build_evidence, job_identity
from fitchain.pod.parties.owner.examine import RECIPIENT
from fitchain.pod.ports.agreement import Agreement, Audit, Outcome, Phase
from fitchain.pod.ports.store import Cid, car
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.errors import NotFound
from fitchain.pod.values.ids import AgreementId

EVIDENCE_LEFT = (".evidence-*",)
"""Opened records that a killed process left behind; a replay by hand may be at work beside them."""


def answer_audit(home: Home, turns: Turns, id: AgreementId) -> str:
    """Do what an open audit asks of the owner now.

    Returns:
        what was done, in words; empty where there was nothing to do.

    Raises:
        FitchainError: it cannot be done now; calling again goes on from there.
    """
    home.chain.catch_up()  # else what was sent and is not mined yet would be sent again
    audit, now = home.audits.read(id), home.chain.block("latest").timestamp
    if _may_count(home, audit):
        return _release(home, audit)
    if turns.bring_on(audit, OWNER_RANK):
        return "brought the audit on"
    if now > audit.deadline:
        return ""
    if audit.phase == Phase.EVIDENCE:
        return _submit(home, audit)
    return _release(home, audit) if audit.phase == Phase.MATCHED else ""


def release_after_others(home: Home, agreement: Agreement) -> None:
    """Release the job's identity although a verifier was quicker: what that one released may be
    wrong, and only the owner can tell."""
    audit, now = home.audits.read(agreement.id), home.chain.block("latest").timestamp
    if audit.phase != Phase.RELEASED or now > audit.deadline:
        return
    if home.keys.address not in {release.by for release in home.audits.releases(audit.id)}:
        _release(home, audit)


def _may_count(home: Home, audit: Audit) -> bool:
    """Whether the votes are a Match that awaits its key, so that releasing it may count them too:
    one transaction less."""
    counted = audit.phase == Phase.REVEALING and audit.complete and not audit.disputed
    return counted and home.audits.majority(audit) == Outcome.MATCH


def _submit(home: Home, audit: Audit) -> str:
    """Hand over the evidence of this round; sealed once."""
    id, name = audit.id, f"evidence/{audit.round}"
    if (cid := home.journal.fact(id, name)) is None:
        sweep(home.job_folder(id), EVIDENCE_LEFT)
        # Where nothing can be sealed to anyone who sits there, the evidence is given all the same.
        recipients = list(home.audits.recipients(audit).values()) or [home.keys.recipient]
        on_site = home.agreements.terms(id).audit.mode is AuditMode.ON_SITE
        cid = str((_build_on_site if on_site else _build)(home, audit, recipients))
        home.journal.keep_fact(id, name, cid)
    receipt = send(home, audit, home.audits.submit, Cid.parse(cid))
    if receipt is None:
        return ""
    body = {"evidence": cid, "transaction": str(receipt.transaction), "gas": receipt.gas_used}
    home.journal.record(id, "evidence", str(audit.round), round=audit.round, **body)
    if (path := evidence_file(home, audit)).exists():
        return f"put the evidence into {path}: on the verifiers' machine here, `fitchain store import` takes it"
    return f"gave evidence to {len(audit.joined)} verifiers"


def evidence_file(home: Home, audit: Audit) -> Path:
    """Where the evidence of an on-site audit lies, for verifiers at the owner's place."""
    return home.job_folder(audit.id) / f"evidence-{audit.round}.car"


def _build(home: Home, audit: Audit, recipients: Sequence[str]) -> Cid:
    return build_evidence(home, home.store, audit.id, audit.seed, audit.round, recipients)


def _build_on_site(home: Home, audit: Audit, recipients: Sequence[str]) -> Cid:
    """The evidence as a file to be handed over by a person: sealed all the same, and in no store
    that others reach."""
    with tempfile.TemporaryDirectory(dir=home.job_folder(audit.id), prefix=".evidence-") as scratch:
        store = LocalStore(Path(scratch), home.settings.home)
        cid = build_evidence(home, store, audit.id, audit.seed, audit.round, recipients)
        car.write(evidence_file(home, audit), cid, store.blocks(cid))
    return cid


def _release(home: Home, audit: Audit) -> str:
    """Seal the job's identity to the scientist, once, and release it."""
    id = audit.id
    if (cid := home.journal.fact(id, "key")) is None:
        if (recipient := home.journal.fact(id, RECIPIENT)) is None:
            raise NotFound(f"the journal does not know the request {id}", "restore the home that accepted it")
        cid = str(send_key(home.store, id, job_identity(home, home.job_folder(id)), recipient))
        home.journal.keep_fact(id, "key", cid)
    receipt = send(home, audit, home.audits.release, Cid.parse(cid))
    if receipt is None:
        return ""
    body = {"key": cid, "transaction": str(receipt.transaction), "gas": receipt.gas_used}
    home.journal.record(id, "released", "", **body)
    return "released the trained model"
