"""What a verifier's account has done so far, by the chain, for whoever considers trusting it.

A history is only as good as those for whom it was made: audits for a single owner may all be the
verifier's own. So distinct owners are counted beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from fitchain.pod.ports.agreement.audits import Audits, Verifier
from fitchain.pod.ports.agreement.terms import Outcome
from fitchain.pod.ports.chain.base import Event
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.values.ids import AgreementId

MOST_AUDITS = 500
"""Audits that are looked at, the newest: anybody can have an account drawn any number of times."""


@dataclass(frozen=True)
class VerifierHistory:
    """A verifier's audits.

    Args:
        verifier: its account, as it stands.
        joined, declined: seats that it took and gave back.
        voted: revealed votes by outcome, one an audit, the last.
        absent: audits in which it lost a fee because it did not come, or did not vote. Where a seat
            earns nothing, nothing is lost, and absence leaves no mark.
        lost: audits in which it lost stake because a quorum voted otherwise.
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

    def events(name: str) -> list[Event]:
        return chain.events("Audits", name, verifier=address)

    joined, declined, revealed, penalised = map(events, ("Joined", "Declined", "Revealed", "Penalised"))
    votes: dict[AgreementId, Event] = {event.args["id"]: event for event in revealed}
    newest = sorted(votes, key=lambda id: votes[id].block)[-MOST_AUDITS:]
    parties = chain.call_many([("Agreements", "parties", (id,)) for id in newest])
    lost, absent = _losses(chain, votes, list(dict.fromkeys(event.args["id"] for event in penalised))[-MOST_AUDITS:])
    staked = chain.events("Audits", "Staked", account=address)
    return VerifierHistory(
        verifier=Audits(chain).verifier(address),
        joined=len({event.args["id"] for event in joined}),
        declined=len({event.args["id"] for event in declined}),
        voted=Counter(Outcome(votes[id].args["outcome"]) for id in newest),
        absent=absent,
        lost=lost,
        penalties=sum(event.args["amount"] for event in penalised),
        owners=len({owner for owner, _ in parties}),
        since=staked[0].block if staked else None,
        beyond=len(votes) - len(newest),
    )


def _losses(chain: Chain, votes: Mapping[AgreementId, Event], penalised: list[AgreementId]) -> tuple[int, int]:
    """Of the audits in which an account was penalised, those in which it was outvoted, and those
    in which it was absent: only who revealed in the last round can have been outvoted, and it was
    not absent then."""
    audits = chain.call_many([("Audits", "audit", (id,)) for id in penalised])
    outvoted = sum(
        id in votes and votes[id].args["round"] == audit["round"] for id, audit in zip(penalised, audits, strict=True)
    )
    return outvoted, len(penalised) - outvoted
