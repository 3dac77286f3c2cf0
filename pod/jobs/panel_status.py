"""A panel as a party to a job sees it: who made it and when, who is in it, what speaks against it.

Whoever names the panel chooses who judges: both parties look at it before they sign. Its members
are a job's jury as they stood before the block of the request; who joins later is never drawn for
it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import Agreement
from fitchain.pod.ports.registry import PanelRecord
from fitchain.pod.ports.trust import trusted_by
from fitchain.pod.values.ids import WHOLE_POOL, PanelId

SHOWN_MEMBERS = 6
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass(frozen=True)
class PanelStatus:
    """A panel beside the two parties of a job.

    Args:
        record: how it came about.
        members: by the places that they hold; of a job those who joined before it was requested.
        unknown: members that this home's trust list does not name in draws from this panel.
        listed: whether that list has the panel, as it once stood.
        owner, scientist: the parties.
        now: the chain's own time, seconds since 1970.
    """

    record: PanelRecord
    members: tuple[str, ...]
    unknown: tuple[str, ...]
    owner: str
    scientist: str
    now: int
    listed: bool = False

    def __str__(self) -> str:
        """The panel in a sentence: name, creator, age, members and their number."""
        party = self.party(self.record.creator)
        maker = f"{self.record.creator}{f' (the {party})' if party else ''}"
        count = len(self.members)
        more = f" and {count - SHOWN_MEMBERS} more" if count > SHOWN_MEMBERS else ""
        members = (
            f"{count} member{'' if count == 1 else 's'}: {', '.join(self.members[:SHOWN_MEMBERS]) or 'nobody'}{more}"
        )
        age = _age(self.now - self.record.time)
        return f"the panel {self.record.name!r} ({self.record.id.short}), made by {maker} {age} ago, {members}"

    def party(self, account: str) -> str:
        """Which party an account is: `owner and scientist`, `owner`, `scientist`, or empty."""
        roles = {"owner": self.owner, "scientist": self.scientist}
        return " and ".join(role for role, address in roles.items() if address == account)

    @property
    def members_that_are_parties(self) -> tuple[str, ...]:
        """Members that are a party; they are never drawn for this job."""
        return tuple(member for member in self.members if self.party(member))

    @property
    def joined_later(self) -> str:
        """That others joined it since this home trusted it, in words; empty where nobody did, or
        the home never trusted it."""
        if not (self.listed and self.unknown):
            return ""
        return (
            f"{len(self.unknown)} of {len(self.members)} members joined the panel {self.record.name!r} after this home"
            f" trusted it (fitchain trust add {self.record.id.short})"
        )

    def concerns(self) -> list[str]:
        """What speaks against being judged by a draw from it, in sentences."""
        sentences: list[str] = []
        if self.owner == self.scientist:
            sentences.append("owner and scientist are one account")
        if party := self.party(self.record.creator):
            sentences.append(f"the panel's creator is the {party}, and invites whom it likes")
        if parties := self.members_that_are_parties:
            sentences.append(f"{len(parties)} of {len(self.members)} members are a party, and are never drawn")
        if self.unknown:
            sentences.append(
                f"{len(self.unknown)} of {len(self.members)} members are unknown to this home's trust list "
                f"(fitchain trust add {self.record.id.short})"
            )
        return sentences


def read_panel_status(
    home: Home, panel: PanelId, owner: str, scientist: str, before: int | None = None
) -> PanelStatus | None:
    """Read a panel beside a job's parties; None for the whole pool.

    Args:
        home: whose trust list counts.
        panel: from which an audit or a dispute draws.
        owner, scientist: the parties.
        before: only members who joined before this block; None takes all who stand now.

    Raises:
        NotFound: there is no such panel.
        InputRefused: this home's trust list is none.
        ChainUnusable: the node does not answer.
    """
    if panel == WHOLE_POOL:
        return None
    record, entry = home.registry.panel_record(panel), home.registry.panel(panel)
    joined = zip(entry.members, entry.joined, strict=True)
    members = tuple(member for member, block in joined if before is None or block < before)
    trusted = trusted_by(home.chain)
    unknown = tuple(member for member in members if not trusted.names(panel, member))
    now = home.chain.block("latest").timestamp
    return PanelStatus(record, members, unknown, owner, scientist, now, listed=panel in trusted.panels)


def panel_of(home: Home, agreement: Agreement) -> PanelStatus | None:
    """The panel from which an agreement's audit or dispute draws, as it stood when the job was
    requested; None for the whole pool, or without either. Raises as `read_panel_status`."""
    terms = agreement.terms
    if not terms.audit.seats:
        return None
    return read_panel_status(home, terms.audit.panel, terms.owner, agreement.scientist, agreement.requested_block)


def _age(seconds: int) -> str:
    """A length of time by its largest unit."""
    unit, size = next((each for each in _UNITS if seconds >= each[1]), _UNITS[-1])
    count = max(seconds, 0) // size
    return f"{count} {unit}{'' if count == 1 else 's'}"
