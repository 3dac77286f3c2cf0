"""A panel as a party to a job sees it: who made it and when, who is in it, what speaks against it.

Whoever names the panel chooses who judges: both parties look at it before they sign.
"""

from __future__ import annotations

from dataclasses import dataclass

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.registry import PanelRecord
from fitchain.pod.ports.trust import trusted_by
from fitchain.pod.values.ids import WHOLE_POOL, PanelId


@dataclass(frozen=True)
class PanelStatus:
    """A panel beside the two parties of a job.

    Args:
        record: how it came about.
        members: as it stands, in the order in which they are drawn from.
        unknown: members that this home's trust list does not name in draws from this panel.
        owner, scientist: the parties.
        now: the chain's own time, seconds since 1970.
    """

    record: PanelRecord
    members: tuple[str, ...]
    unknown: tuple[str, ...]
    owner: str
    scientist: str
    now: int

    def party(self, account: str) -> str:
        """Which party an account is: `owner and scientist`, `owner`, `scientist`, or empty."""
        roles = {"owner": self.owner, "scientist": self.scientist}
        return " and ".join(role for role, address in roles.items() if address == account)

    @property
    def members_that_are_parties(self) -> tuple[str, ...]:
        """Members that are a party; they are never drawn for this job."""
        return tuple(member for member in self.members if self.party(member))

    def concerns(self) -> list[str]:
        """What speaks against being judged by a draw from it, in sentences."""
        sentences: list[str] = []
        if self.owner == self.scientist:
            sentences.append("owner and scientist are one account")
        if party := self.party(self.record.creator):
            sentences.append(f"the panel's creator is the {party}, and appends whom it likes")
        if parties := self.members_that_are_parties:
            sentences.append(f"{len(parties)} of {len(self.members)} members are a party, and are never drawn")
        if self.unknown:
            sentences.append(
                f"{len(self.unknown)} of {len(self.members)} members are unknown to this home's trust list "
                f"(fitchain trust add {self.record.id.short})"
            )
        return sentences


def read_panel_status(home: Home, panel: PanelId, owner: str, scientist: str) -> PanelStatus | None:
    """Read a panel beside a job's parties; None for the whole pool.

    Raises:
        NotFound: there is no such panel.
        InputRefused: this home's trust list is none.
        ChainUnusable: the node does not answer.
    """
    if panel == WHOLE_POOL:
        return None
    record, members = home.registry.panel_record(panel), home.registry.panel(panel).members
    trusted = trusted_by(home.chain)
    unknown = tuple(member for member in members if not trusted.names(panel, member))
    return PanelStatus(record, members, unknown, owner, scientist, home.chain.block("latest").timestamp)
