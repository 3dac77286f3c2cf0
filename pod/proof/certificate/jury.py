"""The jury of an audit as a checker sees it: who could be drawn, who sits there and how each voted,
by the chain; and whom of them the checker names.

That a seat voted Match is what the chain knows. Whether anybody trained anything again for it, no
chain knows: what a Match is worth rests on who the seats are.
"""

from __future__ import annotations

from dataclasses import dataclass

from fitchain.pod.ports.agreement import AgreementHistory, Audits, Outcome, Phase
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.registry import PanelRecord, Registry
from fitchain.pod.ports.trust import Trusted
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.ids import WHOLE_POOL


@dataclass(frozen=True)
class JurySeat:
    """A seat of an audit's last round.

    Args:
        number: from 0.
        account: who sits there; empty where nobody was found.
        vote: what it revealed; NONE where it revealed nothing.
        trace: of the vote; zero without one.
        stake: FIT in base units that it has locked now.
        trusted: whether the checker names it.
    """

    number: int
    account: str
    vote: Outcome
    trace: Digest
    stake: int
    trusted: bool


@dataclass(frozen=True)
class Jury:
    """Who was drawn for an audit, and from whom.

    Args:
        panel: None where the whole pool was drawn from.
        opened_size: members of the panel, or accounts in the pool, when the audit was opened.
        size: the same now.
        seats: of the last round, by number; nobody sits there before the draw.
        quorum: equal votes that are a verdict.
        owner, scientist: the parties.
        requested: when the agreement was asked for, in seconds since 1970.
        pool_stake: FIT in base units behind the pool before the audit was opened; None where a
            panel was drawn from, nobody asked, or the node cannot tell.
    """

    panel: PanelRecord | None
    opened_size: int
    size: int
    seats: tuple[JurySeat, ...]
    quorum: int
    owner: str
    scientist: str
    requested: int
    pool_stake: int | None = None

    @property
    def matches(self) -> int:
        """Seats whose vote is part of the Match on which the most agree."""
        return max((len(self._alike(seat)) for seat in self.seats), default=0)

    @property
    def trusted_matches(self) -> int:
        """Of these, seats that the checker names."""
        alike = max((self._alike(seat) for seat in self.seats), key=len, default=())
        return sum(seat.trusted for seat in alike)

    @property
    def one_account(self) -> bool:
        """Whether owner and scientist are one account."""
        return self.owner == self.scientist

    @property
    def creator_party(self) -> str:
        """Which party the panel's creator is; empty where it is none, or there is no panel."""
        return self.party(self.panel.creator) if self.panel else ""

    @property
    def seated_parties(self) -> tuple[int, ...]:
        """The seats in which a party sits."""
        return tuple(seat.number for seat in self.seats if seat.account and self.party(seat.account))

    @property
    def seated_creator(self) -> int | None:
        """The seat in which the panel's creator sits."""
        creator = self.panel.creator if self.panel else None
        return next((seat.number for seat in self.seats if seat.account and seat.account == creator), None)

    def party(self, account: str) -> str:
        """Which party an account is: `owner and scientist`, `owner`, `scientist`, or empty."""
        roles = {"owner": self.owner, "scientist": self.scientist}
        return " and ".join(role for role, address in roles.items() if address == account)

    def _alike(self, seat: JurySeat) -> tuple[JurySeat, ...]:
        """The seats that voted Match with the trace of this one."""
        if seat.vote is not Outcome.MATCH:
            return ()
        return tuple(other for other in self.seats if (other.vote, other.trace) == (seat.vote, seat.trace))


def read_jury(chain: Chain, history: AgreementHistory, trusted: Trusted, weigh_pool: bool = False) -> Jury | None:
    """Read who was drawn for an agreement's audit; None where none was opened.

    Args:
        chain: connected by the checker's own settings.
        history: the agreement's; it holds the votes.
        trusted: whom the checker names.
        weigh_pool: whether to ask for the stake behind the pool, where that was drawn from.
    """
    audit, agreement = history.audit, history.agreement
    if audit is None:
        return None
    registry, audits, id = Registry(chain), Audits(chain), agreement.terms.audit.panel
    panel = None if id == WHOLE_POOL else registry.panel_record(id)
    size = registry.panel_size(id) if panel else int(chain.call("Audits", "poolLength"))
    parties = (agreement.terms.owner, agreement.scientist)
    weighed = weigh_pool and panel is None and audit.phase > Phase.AWAITING
    votes = {
        event.args["seat"]: (Outcome(event.args["outcome"]), event.args["trace"])
        for event in history.events
        if event.name == "Revealed" and event.args["round"] == audit.round
    }
    seated = audits.verifiers([seat.verifier for seat in audit.seats if seat.verifier])
    stakes = {verifier.address: verifier.stake for verifier in seated}
    return Jury(
        panel=panel,
        opened_size=audit.panel_length,
        size=size,
        seats=tuple(
            JurySeat(
                seat.number,
                seat.verifier,
                *votes.get(seat.number, (Outcome.NONE, ZERO)),
                stakes.get(seat.verifier, 0),
                bool(seat.verifier) and trusted.names(id, seat.verifier),
            )
            for seat in audit.seats
        ),
        quorum=audit.quorum,
        owner=parties[0],
        scientist=parties[1],
        requested=next(event.timestamp for event in history.events if event.name == "Requested"),
        pool_stake=audits.pool_units(*parties, audit.opened_block - 1) if weighed else None,
    )
