"""How an audit stands on the chain, with what its events tell.

Everybody may read it: no key is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import Agreement, Audit, Phase, RunRecord, Seat, Vote
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import NotFound
from fitchain.pod.values.ids import AgreementId


@dataclass(frozen=True)
class AuditStatus:
    """An audit with what its events tell.

    Args:
        audit: as it stands.
        votes: revealed in any round.
        penalties: what verifiers lost, in base units.
    """

    audit: Audit
    votes: tuple[Vote, ...] = ()
    penalties: tuple[tuple[str, int], ...] = ()

    def vote_of(self, seat: Seat) -> Vote | None:
        """The vote that a seat revealed in the present round."""
        votes = [vote for vote in self.votes if (vote.round, vote.verifier) == (self.audit.round, seat.verifier)]
        return votes[-1] if votes else None


def read_audit_status(home: Home, id: AgreementId) -> AuditStatus | None:
    """An agreement's audit; None where none was opened.

    Raises:
        NotFound: this deployment has no such agreement.
        ChainUnusable: the node does not answer.
    """
    audit = home.audits.read(id)
    if audit.phase == Phase.NONE:
        return None
    votes = home.audits.votes(audit) if audit.phase >= Phase.REVEALING or audit.round else []
    penalties = home.audits.penalties(id) if audit.round or audit.verdict else {}
    return AuditStatus(audit, tuple(votes), tuple(penalties.items()))


def challenged_segments(audit: Audit, agreement: Agreement, run: RunRecord) -> tuple[int, ...]:
    """The segments that an audit's challenge drew, rising; none before the draw.

    Args:
        audit, agreement: as they stand.
        run: of the ended training.
    """
    from fitchain.pod.proof.audit.challenge import audited_segments  # numpy, for which a status need not wait

    if audit.seed == ZERO:
        return ()
    return audited_segments(audit.seed, run.count - 1, agreement.terms.audit.segments, agreement.diverged)


def drawn_segments(home: Home, id: AgreementId) -> tuple[int, ...]:
    """The same, read for an agreement by its id.

    Raises:
        NotFound: its training has not ended.
        ChainUnusable: the node does not answer.
    """
    audit, agreement, run = home.audits.read(id), home.agreements.read(id), home.agreements.run_record(id)
    if run.end_block is None:
        raise NotFound(f"the training of {id.short} has not ended", f"see `fitchain job show {id.short}`")
    return challenged_segments(audit, agreement, run)
