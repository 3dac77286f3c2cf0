"""How an audit stands on the chain, with what its events tell.

Everybody may read it: no key is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import Audit, Phase, Release, Seat, Vote
from fitchain.pod.values.ids import AgreementId, AuditRef


@dataclass(frozen=True)
class AuditStatus:
    """An audit with what its events tell.

    Args:
        audit: as it stands.
        votes: revealed in any round.
        penalties: what verifiers lost, in base units.
        releases: of the job's identity, in order.
    """

    audit: Audit
    votes: tuple[Vote, ...] = ()
    penalties: tuple[tuple[str, int], ...] = ()
    releases: tuple[Release, ...] = ()

    def vote_of(self, seat: Seat) -> Vote | None:
        """The vote that a seat revealed in the present round."""
        votes = [vote for vote in self.votes if (vote.round, vote.verifier) == (self.audit.round, seat.verifier)]
        return votes[-1] if votes else None


def read_audit_status(home: Home, ref: AuditRef) -> AuditStatus | None:
    """An audit of an agreement; None where none was opened.

    Raises:
        ChainUnusable: the node does not answer.
    """
    audit = home.audits.read(ref)
    if audit.phase is Phase.NONE:
        return None
    events = home.audits.events(ref) if audit.phase >= Phase.REVEALING or audit.round else []
    votes, releases = home.audits.votes(audit, events), home.audits.releases(ref, events)
    penalties = home.audits.penalties(ref) if audit.round or audit.verdict else {}
    return AuditStatus(audit, tuple(votes), tuple(penalties.items()), tuple(releases))


def read_audit_statuses(home: Home, id: AgreementId) -> list[AuditStatus]:
    """Every audit of an agreement: that of the terms or of a dispute, and those that were asked for
    again and consented to, in order.

    Raises:
        ChainUnusable: the node does not answer.
    """
    refs = AuditRef(id), *home.agreements.consented_audits(id)
    statuses = [read_audit_status(home, ref) for ref in refs]
    return [status for status in statuses if status is not None]


def drawn_segments(home: Home, ref: AuditRef) -> tuple[int, ...]:
    """The segments that an audit looks at, rising; none before that is fixed.

    Raises:
        NotFound: this deployment has no such agreement.
        ChainUnusable: the node does not answer.
    """
    from fitchain.pod.proof.audit.chain_record import read_chain_record  # numpy, for which a status need not wait

    audit = home.audits.read(ref)
    return read_chain_record(home.chain, audit).audited if audit.segments_fixed else ()
