"""What a verifier's account has done so far, by the chain, for whoever considers trusting it.

A history is only as good as those for whom it was made: audits for a single owner may all be the
verifier's own. So distinct owners are counted beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fitchain.pod.ports.agreement.terms import Outcome
from fitchain.pod.ports.chain.base import Event
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.verifiers import Verifier, Verifiers
from fitchain.pod.values.digest import Digest
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

    joined, declined, revealed = (
        chain.events("Audits", name, verifier=address) for name in ("Joined", "Declined", "Revealed")
    )
    staked, penalised, silent = (
        chain.events("Verifiers", name, account=address) for name in ("Staked", "Penalised", "WentAway")
    )
    votes = {_audited(event): event for event in revealed}
    newest = sorted(votes, key=lambda ref: votes[ref].block)[-MOST_AUDITS:]
    parties = chain.call_many([("Agreements", "parties", (ref.agreement,)) for ref in newest])
    lost = _outvoted(chain, newest, votes, {event.transaction for event in penalised})
    return VerifierHistory(
        verifier=Verifiers(chain).verifier(address),
        joined=len({_audited(event) for event in joined}),
        declined=len({_audited(event) for event in declined}),
        voted=Counter(Outcome(votes[ref].args["outcome"]) for ref in newest),
        absent=len(penalised) - lost,
        lost=lost,
        silent=len(silent),
        penalties=sum(event.args["amount"] for event in penalised),
        owners=len({owner for owner, _ in parties}),
        since=staked[0].block if staked else None,
        beyond=len(votes) - len(newest),
    )


def _audited(event: Event) -> AuditRef:
    return AuditRef(event.args["id"], event.args["ordinal"])


def _outvoted(
    chain: Chain, refs: Sequence[AuditRef], votes: Mapping[AuditRef, Event], penalties: Collection[Digest]
) -> int:
    """Of the audits in which an account voted Match or Mismatch, those whose verdict is another
    one, or the same by another trace, and cost it a penalty in the transaction that counted."""
    replayed = [ref for ref in refs if votes[ref].args["outcome"] in (Outcome.MATCH, Outcome.MISMATCH)]
    count = 0
    for ref in replayed:
        concluded = chain.events("Audits", "Concluded", votes[ref].block, id=ref.agreement)
        counted = [event for event in concluded if event.args["ordinal"] == ref.ordinal]
        count += any(event.transaction in penalties for event in counted[:1])
    return count
