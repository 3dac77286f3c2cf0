"""An audit as the command line shows it: phase, who is awaited, seats, votes, verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fitchain.cli.views.amounts import format_duration, format_fit
from fitchain.cli.views.output import Rows
from fitchain.pod.ports.agreement import Audit, Outcome, Phase, Seat
from fitchain.pod.proof.audit.payouts import payout_of, sentence
from fitchain.pod.values.digest import ZERO

if TYPE_CHECKING:
    from fitchain.pod.jobs.audit_status import AuditStatus

ROUNDS = 3  # the first draw and two redraws

AWAITED = {
    Phase.AWAITING: "anyone may draw the verifiers (fitchain job settle)",
    Phase.JOINING: "the drawn verifiers may join",
    Phase.EVIDENCE: "the owner must show its evidence",
    Phase.COMMITTING: "the verifiers must commit to their votes",
    Phase.REVEALING: "the verifiers must reveal their votes",
    Phase.MATCHED: "the owner or a verifier must release the key",
}
"""Who is awaited in each phase, and to do what."""

VERDICTS = {
    Outcome.MATCH: "a quorum voted that what was drawn is equal to the bit",
    Outcome.MISMATCH: "a quorum voted that what was drawn differs",
    Outcome.WITHHELD: "the owner did not show what it must, or a quorum voted that it could not be opened",
    Outcome.INCONCLUSIVE: "too few verifiers agreed, or took part",
}


def phase_name(audit: Audit) -> str:
    """Phase and round, and whether it is a dispute: `joining`, `disputed, committing, round 2`."""
    words = [*(["disputed"] if audit.disputed else []), audit.phase.name.lower()]
    return ", ".join([*words, *([f"round {audit.round + 1}"] if audit.round else [])])


def describe_awaited(audit: Audit, now: int) -> str:
    """Who is awaited until when; empty where nobody is."""
    if audit.phase not in AWAITED:
        return ""
    if audit.complete:
        return "all who could act have acted: anyone may go on, fitchain job settle"
    left = audit.deadline - now
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
    pairs: list[tuple[str, Any]] = [("phase", f"{phase_name(audit)}, of {ROUNDS} rounds at most")]
    if awaited := describe_awaited(audit, now):
        pairs.append(("awaited", awaited))
    if audit.seed != ZERO:
        pairs.append(("seats", ", ".join(f"{_name(seat)} {_last_act(status, seat)}" for seat in audit.seats)))
    if verdict := describe_verdict(audit):
        pairs.append(("verdict", verdict))
        votes = [vote.outcome for vote in status.votes if vote.round == audit.round]
        pairs.append(("money", sentence(payout_of(audit, votes), audit.disputed)))
    if status.penalties:
        lost = ", ".join(f"{account} lost {format_fit(units)} FIT" for account, units in status.penalties)
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
        "phase": audit.phase.name.capitalize(),
        "round": audit.round,
        "disputed": audit.disputed,
        "verdict": None if audit.verdict == Outcome.NONE else audit.verdict.name.capitalize(),
        "awaited": AWAITED.get(audit.phase),
        "deadline": None if audit.phase.over else audit.deadline,
        "may_advance": audit.may_advance(now),
        "challenge_block": audit.challenge_block,
        "seed": None if audit.seed == ZERO else audit.seed,
        "quorum": audit.quorum,
        "seats": [_seat_values(status, seat) for seat in audit.seats],
        "penalties": {account: format_fit(units) for account, units in status.penalties},
    }


def _seat_values(status: AuditStatus, seat: Seat) -> dict[str, Any]:
    vote = status.vote_of(seat)
    done = {name: getattr(seat, name) for name in ("joined", "declined", "committed", "revealed")}
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
    for name in ("committed", "declined", "joined"):
        if getattr(seat, name):
            return name
    return "drawn"
