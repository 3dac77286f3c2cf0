"""Agreements: terms and life cycle, as typed calls and events.

`terms` holds the values, `calls` and `audits` the transactions and reads, `history` what a checker
reads of an agreement's whole life, `verifier_history` what it reads of a verifier's, `trainings`
which runs ended with a model, `descent` which jobs trained the models from which a job's descends.
It knows roots, digests and money; how a transcript or a peak comes about it does not know. Nothing
here imports torch.
"""

from fitchain.pod.ports.agreement.audits import Audit, Audits, Draw, Release, Seat, Submission, Vote
from fitchain.pod.ports.agreement.calls import Agreements
from fitchain.pod.ports.agreement.history import AgreementHistory, Related, read_history
from fitchain.pod.ports.agreement.terms import (
    Agreement,
    Anchor,
    AskedAudit,
    AuditKind,
    AuditTerms,
    DeliveredLeaf,
    Ending,
    Outcome,
    Phase,
    RunRecord,
    State,
    Terms,
    agreement_id,
    audit_id,
    commit_key,
    commit_nonce,
    context,
    order_seed,
)
from fitchain.pod.ports.agreement.verifier_history import VerifierHistory, read_verifier_history

__all__ = [
    "Agreement",
    "AgreementHistory",
    "Agreements",
    "Anchor",
    "AskedAudit",
    "Audit",
    "AuditKind",
    "AuditTerms",
    "Audits",
    "DeliveredLeaf",
    "Draw",
    "Ending",
    "Outcome",
    "Phase",
    "Related",
    "Release",
    "RunRecord",
    "Seat",
    "State",
    "Submission",
    "Terms",
    "VerifierHistory",
    "Vote",
    "agreement_id",
    "audit_id",
    "commit_key",
    "commit_nonce",
    "context",
    "order_seed",
    "read_history",
    "read_verifier_history",
]
