"""What a verifier's account has done so far, by the chain, for whoever considers trusting it.

A history is only as good as those for whom it was made: audits for a single owner may all be the
verifier's own. So distinct owners are counted beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fitchain.pod.ports.agreement.terms import Outcome
from fitchain.pod.ports.chain.base import Event
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.reads import ReadEvents
from fitchain.pod.ports.verifiers import Verifier, Verifiers
from fitchain.pod.values.ids import AuditRef

MOST_AUDITS = 500
"""Audits that are looked at, the newest: anybody can have an account drawn any number of times."""


@dataclass(frozen=True)
class VerifierHistory:
    """A verifier's audits.

    Args:
        verifier: its account, as it stands.
        joined, declined: seats that it took and gave back.
        voted: revealed votes by outcome, one an audit, the last.
        absent: audits in which it lost a tenth of its seat's stake because it joined and did not
            vote, or could not judge.
        lost: audits in which it lost its seat's stake because a quorum voted otherwise.
        silent: how often it let a joining window pass.
        penalties: FIT in base units that it lost in all.
        owners: distinct owners of the audits in which it voted.
        since: block of its first stake; None where it never staked.
        beyond: audits that are older than those looked at.
    """

    verifier: Verifier
    joined: int
    declined: int
    voted: Mapping[Outcome, int]
    absent: int
    lost: int
    silent: int
    penalties: int
    owners: int
    since: int | None
    beyond: int = 0

    @property
    def done(self) -> int:
        """Audits in which it voted what only a replay is supposed to yield: Match or Mismatch."""
        return self.voted.get(Outcome.MATCH, 0) + self.voted.get(Outcome.MISMATCH, 0)


def read_verifier_history(chain: Chain, address: str) -> VerifierHistory:
    """Read what a verifier's account has done; an account that never staked has done nothing.

    Args:
        chain: the connection; needs no key.
        address: the account.

    Raises:
        ChainUnusable: the node does not answer.
    """
    audits = ("Joined", "Declined", "Revealed")
    reads = [ReadEvents(("Audits",), name, {"verifier": address}) for name in audits]
    reads += [ReadEvents(("Verifiers",), name, {"account": address}) for name in ("Staked", "Penalised", "WentAway")]
    joined, declined, revealed, staked, penalised, silent = chain.events_many(reads)
    votes = {_audited(event): event for event in revealed}
    newest = sorted(votes, key=lambda ref: votes[ref].block)[-MOST_AUDITS:]
    lost = _outvoted(chain, votes, penalised[-MOST_AUDITS:])
    parties = chain.call_many([("Agreements", "parties", (ref.agreement,)) for ref in newest])
    return VerifierHistory(
        verifier=Verifiers(chain).verifier(address),
        joined=len({_audited(event) for event in joined}),
        declined=len({_audited(event) for event in declined}),
        voted=Counter(Outcome(votes[ref].args["outcome"]) for ref in newest),
        absent=len(penalised[-MOST_AUDITS:]) - lost,
        lost=lost,
        silent=len(silent),
        penalties=sum(event.args["amount"] for event in penalised),
        owners=len({owner for owner, _ in parties}),
        since=staked[0].block if staked else None,
        beyond=len(votes) - len(newest),
    )


def _audited(event: Event) -> AuditRef:
    return AuditRef(event.args["id"], event.args["ordinal"])


def _outvoted(chain: Chain, votes: Mapping[AuditRef, Event], penalties: Sequence[Event]) -> int:
    """Of an account's penalties those that a verdict took of it which is not its own, Match or
    Mismatch: who was absent, or could not judge, loses a tenth in a transaction that counts too."""
    blocks = sorted({event.block for event in penalties})
    reads = [ReadEvents(("Audits",), "Concluded", from_block=block, to_block=block) for block in blocks]
    concluded = {event.transaction: event for events in chain.events_many(reads) for event in events}
    return sum(event.transaction in concluded and _replayed(votes, concluded[event.transaction]) for event in penalties)


def _replayed(votes: Mapping[AuditRef, Event], concluded: Event) -> bool:
    """Whether it voted Match or Mismatch in the round of a verdict."""
    vote = votes.get(_audited(concluded))
    own = (Outcome.MATCH, Outcome.MISMATCH)
    return vote is not None and vote.args["outcome"] in own and vote.args["round"] == concluded.args["round"]
