"""An audit as the command line shows it: phase, who is awaited, seats, votes, verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fitchain.cli.views.amounts import format_duration
from fitchain.cli.views.output import Rows
from fitchain.pod.ports.agreement import Audit, AuditKind, Outcome, Phase, Seat
from fitchain.pod.proof.audit.payouts import payout_of, sentence
from fitchain.pod.values.amounts import amount_text

if TYPE_CHECKING:
    from fitchain.pod.jobs.audit_status import AuditStatus

VOTES = 3  # the first draw and two redraws

AWAITED = {
    Phase.AWAITING: "the asker's nonce may draw the verifiers, later anyone (fitchain job settle)",
    Phase.JOINING: "the drawn verifiers may join",
    Phase.WAITING: "too few verifiers have a free stake: anyone may draw on after that",
    Phase.EVIDENCE: "the owner must show its evidence",
    Phase.COMMITTING: "the verifiers must commit to their votes",
    Phase.REVEALING: "the verifiers must reveal their votes",
    Phase.MATCHED: "the owner or a verifier must release the key",
    Phase.RELEASED: "the scientist may complain; after that the verifiers are paid",
}
"""Who is awaited in each phase, and to do what."""

VERDICTS = {
    Outcome.MATCH: "a quorum voted that what was audited is equal to the bit",
    Outcome.MISMATCH: "a quorum voted that what was audited differs",
    Outcome.WITHHELD: "the owner did not show what it must, or a quorum voted that it could not be opened",
    Outcome.INCONCLUSIVE: "too few verifiers agreed, or took part",
}

KINDS = {
    AuditKind.FIRST: "audit",
    AuditKind.DISPUTE: "dispute",
    AuditKind.AGAIN: "asked again",
}
"""Who opened an audit, in words."""


def phase_name(audit: Audit) -> str:
    """Phase and vote, and what kind of audit it is where not the agreed one: `joining`, `dispute,
    committing, vote 2`."""
    words = [*([KINDS[audit.kind]] if audit.kind is not AuditKind.FIRST else []), audit.phase.name.lower()]
    words += ["evidence withheld once"] if audit.withheld_before and audit.phase is not Phase.CONCLUDED else []
    return ", ".join([*words, *([f"vote {audit.round + 1}"] if audit.round else [])])


def describe_awaited(audit: Audit, now: int) -> str:
    """Who is awaited until when; empty where nobody is."""
    if audit.phase not in AWAITED:
        return ""
    if audit.complete:
        return "all who could act have acted: anyone may go on, fitchain job settle"
    left = audit.deadline - now
    if audit.phase is Phase.WAITING:
        return AWAITED[audit.phase] + (f": in {format_duration(left)}" if left > 0 else ", now: fitchain job settle")
    if left < 0:
        return f"{AWAITED[audit.phase]}; the time for it passed {format_duration(-left)} ago: fitchain job settle"
    return f"{AWAITED[audit.phase]} within {format_duration(left)}"


def describe_verdict(audit: Audit) -> str | None:
    """The verdict and what it means; None before there is one."""
    if audit.verdict == Outcome.NONE:
        return None
    late = audit.verdict == Outcome.WITHHELD and audit.phase == Phase.CONCLUDED
    meaning = VERDICTS[audit.verdict] if not late else f"{VERDICTS[audit.verdict]}, in time"
    return f"{audit.verdict.name.capitalize()}: {meaning}"


def pairs_of(status: AuditStatus, now: int) -> list[tuple[str, Any]]:
    """Where an audit stands, in labelled lines."""
    audit = status.audit
    pairs: list[tuple[str, Any]] = [("phase", f"{phase_name(audit)}, of {VOTES} votes at most")]
    if audit.ref.ordinal:
        pairs.insert(0, ("audit", str(audit.ref.ordinal)))
    if awaited := describe_awaited(audit, now):
        pairs.append(("awaited", awaited))
    if any(seat.verifier for seat in audit.seats):
        pairs.append(("seats", ", ".join(f"{_name(seat)} {_last_act(status, seat)}" for seat in audit.seats)))
    if verdict := describe_verdict(audit):
        pairs.append(("verdict", verdict))
        votes = [vote.outcome for vote in status.votes if vote.round == audit.round]
        pairs.append(("money", sentence(payout_of(audit, votes), audit.kind)))
    if status.penalties:
        lost = ", ".join(f"{account} lost {amount_text(units)} FIT" for account, units in status.penalties)
        pairs.append(("penalties", lost))
    return pairs


def rows_of(status: AuditStatus) -> Rows:
    """The seats as a table."""
    rows = [
        (
            seat.number,
            seat.verifier or None,
            _last_act(status, seat),
            vote.trace.short if (vote := status.vote_of(seat)) else None,
        )
        for seat in status.audit.seats
    ]
    return Rows(("seat", "verifier", "so far", "trace"), rows, right=("seat",), empty="nobody is drawn yet")


def values(status: AuditStatus, now: int) -> dict[str, Any]:
    """The JSON form of an audit's status."""
    audit = status.audit
    return {
        "ordinal": audit.ref.ordinal,
        "kind": audit.kind.name.capitalize(),
        "phase": audit.phase.name.capitalize(),
        "round": audit.round,
        "verdict": None if audit.verdict == Outcome.NONE else audit.verdict.name.capitalize(),
        "awaited": AWAITED.get(audit.phase),
        "deadline": None if audit.phase is Phase.CONCLUDED else audit.deadline,
        "wait_deadline": audit.wait_deadline,
        "may_advance": audit.may_advance(now),
        "opened_block": audit.opened_block,
        "seed": None if audit.phase is Phase.AWAITING else audit.seed,
        "audited": audit.audited,
        "quorum": audit.quorum,
        "fee_per_seat": amount_text(audit.fee_per_seat),
        "seat_stake": amount_text(audit.seat_stake),
        "withheld_before": audit.withheld_before,
        "complained": audit.complained,
        "seats": [_seat_values(status, seat) for seat in audit.seats],
        "penalties": {account: amount_text(units) for account, units in status.penalties},
    }


def _seat_values(status: AuditStatus, seat: Seat) -> dict[str, Any]:
    vote = status.vote_of(seat)
    done = {name: getattr(seat, name) for name in ("joined", "committed", "revealed", "released")}
    voted = {"outcome": vote.outcome.name.capitalize() if vote else None, "trace": vote.trace if vote else None}
    return {"seat": seat.number, "verifier": seat.verifier or None} | done | voted


def _name(seat: Seat) -> str:
    return seat.verifier[:10] if seat.verifier else "an empty seat"


def _last_act(status: AuditStatus, seat: Seat) -> str:
    """The last thing that a seat did."""
    if not seat.verifier:
        return "found nobody"
    if vote := status.vote_of(seat):
        return f"voted {vote.outcome.name.lower()}"
    for name in ("committed", "joined"):
        if getattr(seat, name):
            return name
    return "drawn"
