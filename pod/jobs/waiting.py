"""What waits for a yes: requests that a pod put before its person, trained jobs that it holds, and
audits that others ask for again.

Anybody may ask for another audit, any number of times. So the newest questions are read by number,
and those besides that this home's pod found and put before its person; never all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from fitchain.pod.jobs.history import ApprovalNeeded, ConsentNeeded, Unanswered
from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import Agreement, AskedAudit, State
from fitchain.pod.values.ids import AgreementId, AuditRef, Subject

Question = ApprovalNeeded | ConsentNeeded
"""What a person is asked, as the history keeps it."""
MOST_SHOWN = 8
"""Newest questions about one job that are looked at."""
MOST_LISTED, OF_EACH = 96, 2
"""Newest questions about many jobs that are looked at, and of each: one HTTP request for all."""


HELD = "held"
"""Fact of a job: that it is held after its training, and what a person said."""
WAITS, DELIVER = "waits", "deliver"


def awaits_approval(home: Home, agreement: Agreement) -> bool:
    """Whether this home's pod has put a request before its person, who has not answered."""
    return agreement.state is State.REQUESTED and _unanswered(home, agreement.id, ApprovalNeeded)


def is_held(home: Home, id: AgreementId) -> bool:
    """Whether a job was trained, is held, and no person has had it delivered all the same."""
    return home.journal.fact(id, HELD) == WAITS


def awaits_delivery(home: Home, agreement: Agreement, now: int) -> bool:
    """Whether a job is held, and its person may still have it delivered.

    Args:
        home: of the owner.
        agreement: of the job.
        now: the chain's own time, seconds since 1970.
    """
    in_time = agreement.state is State.TRAINING and now <= agreement.training_deadline
    return in_time and is_held(home, agreement.id)


def awaits_consent(home: Home, ref: AuditRef) -> bool:
    """Likewise of another audit that somebody asks for; the chain knows whether it is open yet."""
    return _unanswered(home, ref, ConsentNeeded)


def shown_concerns(home: Home, subject: Subject, kind: type[Question]) -> tuple[str, ...]:
    """What spoke against a request, or another audit, when this home's pod last put it before its
    person; nothing where it has not.

    Args:
        home: of the owner.
        subject: the request or the audit.
        kind: of the history's entry.
    """
    return _last_shown(home, subject, kind) or ()


def show_concerns(home: Home, subject: Subject, question: Question) -> bool:
    """Put a request, or another audit, before the person of this home, unless it stands there with
    the same concerns already; whether it did not.

    Args:
        home, subject: as `shown_concerns`.
        question: what is asked, and what speaks against it.
    """
    if _last_shown(home, subject, type(question)) == question.why:
        return False
    return home.journal.record(subject, question)


def _unanswered(home: Home, subject: Subject, kind: type[Question]) -> bool:
    """Whether what the pod put before its person has no answer, or a yes to less than that."""
    if (shown := _last_shown(home, subject, kind)) is None:
        return False
    decision = home.journal.decision(subject)
    return decision is None or (decision.is_yes and bool(decision.uncovered(shown)))


def _last_shown(home: Home, subject: Subject, kind: type[Question]) -> tuple[str, ...] | None:
    """As `shown_concerns`; None where it was never put before a person."""
    return home.journal.last(subject, kind).why if home.journal.happened(subject, kind) else None


def open_questions(home: Home, id: AgreementId) -> list[AskedAudit]:
    """The audits of a job that are asked for again and to which its owner may consent now: of the
    newest `MOST_SHOWN`, and of those that wait for a person of this home.

    Raises:
        ChainUnusable: the node does not answer.
    """
    refs = _candidates(home, [id], MOST_SHOWN)
    now = home.chain.block("latest").timestamp
    return [asked for asked in home.agreements.asked_audits_of(refs) if asked.awaits(now)]


def jobs_with_questions(home: Home, agreements: Sequence[Agreement]) -> dict[AgreementId, list[int]]:
    """Of several jobs the audits that are asked for again and to which the owner may consent now,
    by their ordinals; of the newest `MOST_LISTED`, and of those that wait for a person of this
    home.

    Raises:
        ChainUnusable: the node does not answer.
    """
    settled = [job.id for job in agreements if job.state in (State.SETTLED, State.HALVED)]
    refs = _candidates(home, settled, OF_EACH)[-MOST_LISTED:] if settled else []
    waiting: dict[AgreementId, list[int]] = {}
    for ref in home.agreements.open_among(refs, home.chain.block("latest").timestamp) if refs else []:
        waiting.setdefault(ref.agreement, []).append(ref.ordinal)
    return waiting


def _candidates(home: Home, ids: Sequence[AgreementId], most: int) -> list[AuditRef]:
    """Questions that may be open, but for those that a person of this home said no to: those that
    wait for it last."""
    newest = home.agreements.newest_questions(ids, most)
    refs = [AuditRef(id, ordinal) for id, ordinals in newest.items() for ordinal in ordinals]
    refs = [ref for ref in refs if (decision := home.journal.decision(ref)) is None or decision.is_yes]
    shown = [ref for ref in home.journal.subjects(ConsentNeeded) if ref.agreement in newest]
    waiting = [ref for ref in shown if awaits_consent(home, ref) and not home.journal.happened(ref, Unanswered)]
    return [ref for ref in refs if ref not in waiting] + waiting
