"""Removing what an owner's home keeps of an ended job, once nobody can need it any more.

A person asks for it, or the pod's own rule; the pod does it. Until the end of the job, and of every
audit to which this owner consented, is final, nothing is deleted: neither on one reading of the
chain, nor while a bond, a dispute window or an audit needs it. What the scientist may still fetch
stays sealed in the store for its time (`KEEP_S`), and the offer, the certificate and the history
stay: they hold no record and no state, and say what was done.
"""

from __future__ import annotations

from datetime import UTC, datetime

from fitchain.pod.jobs.finality import Finality
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.removal import ask_removal, folder_of, keep_done, remove
from fitchain.pod.jobs.waiting import open_questions
from fitchain.pod.parties.owner.answer import sealed_evidence
from fitchain.pod.ports.agreement import Agreement, Phase, State
from fitchain.pod.values.errors import AccessRefused, Unusable
from fitchain.pod.values.files import usage_of
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.job_folder import Kept


def remove_later(home: Home, id: AgreementId, reason: str = "") -> None:
    """Keep a person's word that what this home keeps of a job is to be deleted; the owner's pod
    acts on it, at once if it runs and the end is final. Asking again changes nothing.

    Args:
        home: the owner's; its key is not needed.
        id: of the job.
        reason: kept in the history.

    Raises:
        As `require_removable`.
    """
    require_removable(home, id)
    ask_removal(home, id, reason)


def require_removable(home: Home, id: AgreementId) -> Agreement:
    """A job on this home's data of which nothing is needed any more, by the newest block.

    Raises:
        NotFound: there is no such agreement.
        AccessRefused: its dataset is not this home's.
        Unusable: it has not ended, or an audit needs it: from when on it may be deleted; or a
            person has said yes to another audit, which awaits its consent.
    """
    agreement = home.agreements.read(id)
    if agreement.terms.dataset not in {row.id for row in home.journal.datasets()}:
        raise AccessRefused(f"the agreement {id} is about a dataset of another home", "see `fitchain data list --mine`")
    if not agreement.state.ended:
        raise Unusable(f"{id.short} is {agreement.state.name.lower()}: {_deadline(agreement)}", _see(id))
    consented = home.agreements.consented_audits(id)
    if len(consented) != home.agreements.consented_count(id):
        raise Unusable(
            f"another audit of {id.short} was consented to just now, and needs what would be deleted", _see(id)
        )
    for audit in home.audits.read_many([AuditRef(id), *consented]):
        if audit.phase not in (Phase.NONE, Phase.CONCLUDED):
            raise Unusable(
                f"audit {audit.ref.ordinal} of {id.short} goes on and needs what would be deleted; "
                f"this phase of it ends by {_date(audit.deadline)}",
                _see(id),
            )
    for asked in open_questions(home, id):
        decision = home.journal.decision(asked.ref)
        if decision is not None and decision.is_yes:
            ordinal = asked.ref.ordinal
            raise Unusable(
                f"a person said yes to audit {ordinal} of {id.short}, which needs what would be deleted",
                f"take that back: fitchain job consent {id.short} --audit {ordinal} --no",
            )
    return agreement


def kept_of(home: Home, id: AgreementId) -> dict[Kept, int]:
    """What a home keeps of a job and its audits, in bytes by kind; without what it does not keep."""
    folders = [folder_of(home, ref) for ref in _audits(home, id)]
    paths = {kind: [path for folder in folders for path in folder.kept(kind)] for kind in Kept}
    return {kind: sum(usage_of(path).size_bytes for path in each) for kind, each in paths.items() if each}


def remove_job(home: Home, finality: Finality, id: AgreementId, by_person: bool) -> tuple[Kept, ...] | None:
    """Delete all that a home keeps of a job and its audits, if their ends are final.

    Args:
        home: the owner's, opened with its key.
        finality: of its pod.
        id: of the job.
        by_person: whether a person asked for it.

    Returns:
        what was deleted now; None while something is not final.

    Raises:
        FitchainError, OSError: it cannot be done now; calling again goes on.
    """
    home.chain.catch_up()  # a consent that was sent may be mined by now
    consented = home.agreements.consented_audits(id)
    if len(consented) != home.agreements.consented_count(id):
        return None  # one has too few confirmations yet
    final = [finality.job_is_over(id), *(finality.audit_is_over(ref) for ref in consented)]  # looks at all of them
    if not all(final):
        return None
    audits = {audit.ref: audit for audit in home.audits.read_many([AuditRef(id), *consented])}
    removed = set[Kept]()
    for ref in dict.fromkeys([*_audits(home, id), *audits]):
        sealed = sealed_evidence(home, audits[ref]) if ref in audits else []
        removed |= set(remove(home, ref, tuple(Kept), by_person, sealed))
    keep_done(home, id)
    finality.forget(id)
    for ref in consented:
        finality.forget(ref)
    return tuple(kind for kind in Kept if kind in removed)


def _audits(home: Home, id: AgreementId) -> list[AuditRef]:
    return [AuditRef(id, ordinal) for ordinal in [0, *home.job_folder(id).audits()]]


def _deadline(agreement: Agreement) -> str:
    """Who needs what is kept of a job, and until when."""
    match agreement.state:
        case State.REQUESTED:
            return "nothing of it is kept; decline it, if you do not want it"
        case State.ACCEPTED | State.TRAINING:
            return f"its bond rests on the training, which may end by {_date(agreement.training_deadline)}"
        case State.TRAINED | State.DIVERGED:
            return f"the scientist may answer it, and dispute it, until {_date(agreement.dispute_deadline)}"
    return "its audit goes on and needs what would be deleted"


def _date(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M} UTC"


def _see(id: AgreementId) -> str:
    return f"see `fitchain job show {id.short}`"
