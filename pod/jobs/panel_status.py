"""A panel as a party to a job sees it: who made it and when, who is in it, what speaks against it.

Whoever names the panel chooses who judges: both parties look at it before they sign. Its members
are a job's jury as they stood before the block of the request; who joins later is never drawn for
it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.policy_panels import policy_panels
from fitchain.pod.ports.agreement import Agreement
from fitchain.pod.ports.chain.reading import carry_out
from fitchain.pod.ports.registry import PanelRecord
from fitchain.pod.ports.trust import trusted_reading
from fitchain.pod.values.ids import WHOLE_POOL, DatasetId, PanelId

SHOWN_MEMBERS = 6
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass(frozen=True)
class PanelStatus:
    """A panel beside the two parties of a job.

    Args:
        record: how it came about.
        members: by the places that they hold; of a job those who joined before it was requested.
        unknown: members whom this home does not name in draws from this panel, neither by its trust
            list nor by the policy of its dataset, as the panel stood when that was registered.
        owner, scientist: the parties.
        seen_at: when its age counts, in seconds since 1970: the block of the request, so that what
            is said of it stays the same; else the chain's own time.
        requested: whether that is a request's block.
        seen: whether the list or the policy has the panel, as it once stood.
    """

    record: PanelRecord
    members: tuple[str, ...]
    unknown: tuple[str, ...]
    owner: str
    scientist: str
    seen_at: int
    requested: bool = False
    seen: bool = False

    def __str__(self) -> str:
        """The panel in a sentence: name, creator, age, members and their number."""
        party = self.party(self.record.creator)
        maker = f"{self.record.creator}{f' (the {party})' if party else ''}"
        count = len(self.members)
        more = f" and {count - SHOWN_MEMBERS} more" if count > SHOWN_MEMBERS else ""
        members = (
            f"{count} member{'' if count == 1 else 's'}: {', '.join(self.members[:SHOWN_MEMBERS]) or 'nobody'}{more}"
        )
        when = f"{_age(self.seen_at - self.record.time)} {'before it was asked for' if self.requested else 'ago'}"
        return f"the panel {self.record.name!r} ({self.record.id.short}), made by {maker} {when}, {members}"

    def party(self, account: str) -> str:
        """Which party an account is: `owner and scientist`, `owner`, `scientist`, or empty."""
        roles = {"owner": self.owner, "scientist": self.scientist}
        return " and ".join(role for role, address in roles.items() if address == account)

    @property
    def members_that_are_parties(self) -> tuple[str, ...]:
        """Members that are a party; they are never drawn for this job."""
        return tuple(member for member in self.members if self.party(member))

    @property
    def joined_later(self) -> tuple[str, ...]:
        """Members who joined since this home looked at the panel: to trust it, or to name it in the
        policy of its dataset. None where it never did."""
        return self.unknown if self.seen else ()

    def policy_concern(self) -> str:
        """Why a policy that names the panel does not stand for all of its members, in words; empty
        where it does."""
        if not self.unknown:
            return ""
        how = (
            "joined the panel {} after this home looked at it" if self.seen else "of the panel {} were never looked at"
        )
        counted = f"{len(self.unknown)} of {len(self.members)} members {how.format(repr(self.record.name))}"
        return f"{counted} (fitchain trust add {self.record.id.short})"

    def concerns(self) -> list[str]:
        """What speaks against being judged by a draw from it, in sentences."""
        sentences: list[str] = []
        if self.owner == self.scientist:
            sentences.append("owner and scientist are one account")
        if party := self.party(self.record.creator):
            sentences.append(f"the panel's creator is the {party}, and invites whom it likes")
        if parties := self.members_that_are_parties:
            sentences.append(f"{len(parties)} of {len(self.members)} members are a party, and are never drawn")
        if self.seen and self.unknown:
            sentences.append(self.policy_concern())
        elif self.unknown:
            sentences.append(
                f"{len(self.unknown)} of {len(self.members)} members are unknown to this home's trust list "
                f"(fitchain trust add {self.record.id.short})"
            )
        return sentences


# Many parameters: whose panel, beside whom, as of when, and what this home knows of it.
def read_panel_status(
    home: Home,
    panel: PanelId,
    owner: str,
    scientist: str,
    before: int | None = None,
    dataset: DatasetId | None = None,
) -> PanelStatus | None:
    """Read a panel beside a job's parties; None for the whole pool.

    Args:
        home: whose trust list counts.
        panel: from which an audit or a dispute draws.
        owner, scientist: the parties.
        before: only members who joined before this block; None takes all who stand now.
        dataset: of the job; where it is this home's, the panels that its policy names count as they
            stood when it was registered.

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
    named = policy_panels(home, dataset) if dataset else ()
    trusted = carry_out(home.chain, trusted_reading(home.chain, named))
    unknown = tuple(member for member in members if not trusted.names(panel, member))
    seen_at = home.chain.block("latest" if before is None else before).timestamp
    return PanelStatus(
        record, members, unknown, owner, scientist, seen_at, requested=before is not None, seen=panel in trusted.panels
    )


def panel_of(home: Home, agreement: Agreement) -> PanelStatus | None:
    """The panel from which an agreement's audit or dispute draws, as it stood when the job was
    requested; None for the whole pool, or without either. Raises as `read_panel_status`."""
    if not agreement.terms.audit.seats:
        return None
    return panel_beside(home, agreement, agreement.terms.audit.panel, agreement.requested_block)


def panel_beside(home: Home, agreement: Agreement, panel: PanelId, before: int) -> PanelStatus | None:
    """A panel beside the parties of an agreement, as it stood before a block; None for the whole
    pool. Raises as `read_panel_status`."""
    terms = agreement.terms
    return read_panel_status(home, panel, terms.owner, agreement.scientist, before, terms.dataset)


def _age(seconds: int) -> str:
    """A length of time by its largest unit."""
    unit, size = next((each for each in _UNITS if seconds >= each[1]), _UNITS[-1])
    count = max(seconds, 0) // size
    return f"{count} {unit}{'' if count == 1 else 's'}"
