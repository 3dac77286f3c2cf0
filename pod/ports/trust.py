"""The trust list: the panels and verifiers' accounts that this home relies on.

    <home>/trust.json   mode 0600, written whole or not at all; canonical JSON

What a certificate is worth to a checker rests on this list and on nobody else's: none is taken from
a certificate, a card or an agreement. An entry is bound to chain, registry and the block at which
it was made. A panel's members are written down as they stood then, so who joins later counts only
when the panel is trusted again; and an entry whose block this chain does not have was made on
another chain of the same number (a devnet made anew) and counts for nothing.

A member that leaves and comes back still counts: the entry names accounts, and it is the one that
was looked at. Nobody is drawn from a panel while it does not stand there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.reading import Reading, carry_out
from fitchain.pod.ports.chain.reads import ReadBlock
from fitchain.pod.ports.registry import PanelEntry, Registry
from fitchain.pod.values.digest import Digest, Json, canonical_json, parse_json
from fitchain.pod.values.errors import InputRefused, NotFound, OtherVersion, reason_of
from fitchain.pod.values.ids import PanelId
from fitchain.pod.values.limits import TRUST_LIST
from fitchain.pod.values.recipe.fields import Fields, text

TRUST_FILE = "trust.json"
VERSION = "fitchain/trust/v2"
MOST_ENTRIES = 1_000
MOST_MEMBERS = 1_000
"""A panel of more members than a person can have looked at is not trusted as one."""


@dataclass(frozen=True, slots=True)
class TrustedAt:
    """Where and when an entry was made.

    Args:
        chain_id, registry: of which deployment. The registry's address stands in the code of the
            contracts that keep panels and audits, which every connection compares.
        block, block_hash: the newest confirmed block at that time.
    """

    chain_id: int
    registry: str
    block: int
    block_hash: Digest

    @classmethod
    def now(cls, chain: Chain) -> TrustedAt:
        """The newest confirmed block of a deployment."""
        block = chain.block(chain.head())
        return cls(chain.chain_id, chain.addresses["Registry"], block.number, block.hash)

    def of_deployment(self, chain: Chain) -> bool:
        """Whether it is of the deployment that a chain is connected to."""
        return (self.chain_id, self.registry) == (chain.chain_id, chain.addresses["Registry"])

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {
            "chain_id": self.chain_id,
            "registry": self.registry,
            "block": self.block,
            "block_hash": str(self.block_hash),
        }

    @classmethod
    def from_json(cls, value: Any) -> TrustedAt:
        """Read it from its JSON value.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("the place of an entry", value, ("chain_id", "registry", "block", "block_hash"))
        return cls(
            fields.integer("chain_id", 1, 2**53),
            fields.text("registry", 42),
            fields.integer("block", 0, 2**53),
            fields.digest("block_hash"),
        )


@dataclass(frozen=True, slots=True)
class TrustedPanel:
    """A panel as it stood when it was trusted."""

    at: TrustedAt
    id: PanelId
    creator: str
    name: str
    members: tuple[str, ...]

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        named: dict[str, Json] = {"panel": str(self.id), "creator": self.creator, "name": self.name}
        return named | {"at": self.at.json(), "members": list(self.members)}

    @classmethod
    def from_json(cls, value: Any) -> TrustedPanel:
        """Read it from its JSON value. Raises as `TrustedAt.from_json`."""
        fields = Fields("a trusted panel", value, ("at", "panel", "creator", "name", "members"))
        members = fields.items("members", 0, MOST_MEMBERS)
        return cls(
            TrustedAt.from_json(fields.value["at"]),
            PanelId(fields.digest("panel")),
            fields.text("creator", 42),
            str(fields.value["name"]),
            tuple(text("a member", member, 42) for member in members),
        )


@dataclass(frozen=True, slots=True)
class TrustedAccount:
    """A verifier's account that is trusted wherever it sits."""

    at: TrustedAt
    account: str

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {"at": self.at.json(), "account": self.account}

    @classmethod
    def from_json(cls, value: Any) -> TrustedAccount:
        """Read it from its JSON value. Raises as `TrustedAt.from_json`."""
        fields = Fields("a trusted account", value, ("at", "account"))
        return cls(TrustedAt.from_json(fields.value["at"]), fields.text("account", 42))


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whom a checker names on one deployment.

    Args:
        panels: each with its members as they stood when it was trusted.
        accounts: verifiers that are trusted wherever they sit.
    """

    panels: Mapping[PanelId, frozenset[str]] = field(default_factory=dict)
    accounts: frozenset[str] = frozenset()

    def names(self, panel: PanelId, account: str) -> bool:
        """Whether a seat of an audit is one that the checker names.

        A panel's members count in audits that draw from that panel: to trust a panel is to trust a
        draw from it, and somebody else's panel may hold just those of its members who are bought.

        Args:
            panel: from which the audit draws.
            account: who sits there.
        """
        return account in self.accounts or account in self.panels.get(panel, ())


@dataclass(frozen=True, slots=True)
class TrustList:
    """A home's trust list; entries of other deployments stay in it and do not count here."""

    panels: tuple[TrustedPanel, ...] = ()
    accounts: tuple[TrustedAccount, ...] = ()

    @classmethod
    def read(cls, folder: Path, name: str = TRUST_FILE) -> TrustList:
        """Read a home's list, or another of the same form; an empty one where there is none.

        Args:
            folder: a home.
            name: of the file in it.

        Raises:
            InputRefused: the file is not a trust list.
        """
        path = folder / name
        try:
            with path.open("rb") as file:
                data = file.read(TRUST_LIST.text_bytes + 1)
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise InputRefused(f"{path} cannot be read: {reason_of(error)}") from None
        try:
            fields = Fields("the trust list", parse_json(data, TRUST_LIST), ("panels", "accounts"), version=VERSION)
            panels = [TrustedPanel.from_json(each) for each in fields.items("panels", 0, MOST_ENTRIES)]
            accounts = [TrustedAccount.from_json(each) for each in fields.items("accounts", 0, MOST_ENTRIES)]
        except OtherVersion as error:
            raise OtherVersion(f"{path}: {error.message}", error.hint) from None
        except InputRefused as error:
            hint = "mend it, or remove it and trust again whom you rely on"
            raise InputRefused(f"{path} is not a trust list: {error.message}", hint) from None
        return cls(tuple(panels), tuple(accounts))

    def encode(self) -> bytes:
        """The list's file."""
        panels, accounts = [each.json() for each in self.panels], [each.json() for each in self.accounts]
        return canonical_json({"version": VERSION, "panels": panels, "accounts": accounts}) + b"\n"

    def with_entry(self, entry: TrustedPanel | TrustedAccount) -> TrustList:
        """The list with an entry, in place of an older one about the same on the same deployment."""
        panels = [each for each in self.panels if _about(each) != _about(entry)]
        accounts = [each for each in self.accounts if _about(each) != _about(entry)]
        if isinstance(entry, TrustedPanel):
            panels.append(entry)
        else:
            accounts.append(entry)
        return TrustList(tuple(panels), tuple(accounts))

    def without(self, chain: Chain, named: PanelId | str) -> TrustList:
        """The list without what it says of a panel, or of an account, on a deployment.

        Raises:
            NotFound: it says nothing of it there.
        """
        panels = tuple(each for each in self.panels if each.id != named or not each.at.of_deployment(chain))
        accounts = tuple(each for each in self.accounts if each.account != named or not each.at.of_deployment(chain))
        if (panels, accounts) == (self.panels, self.accounts):
            raise NotFound(f"the trust list has no entry {named} on this deployment", "see `fitchain trust list`")
        return TrustList(panels, accounts)

    def of(self, chain: Chain) -> TrustList:
        """What of the list counts on a deployment: entries that were made there, on this chain."""
        return carry_out(chain, self.reading(chain))

    def reading(self, chain: Chain) -> Reading[TrustList]:
        """The same as a reading."""
        entries: list[TrustedPanel | TrustedAccount] = [*self.panels, *self.accounts]
        numbers = sorted({each.at.block for each in entries if each.at.of_deployment(chain)})
        headers = yield [ReadBlock(number, optional=True) for number in numbers]
        blocks = dict(zip(numbers, headers, strict=True))

        def counts(entry: TrustedPanel | TrustedAccount) -> bool:
            block = blocks.get(entry.at.block)
            return entry.at.of_deployment(chain) and block is not None and block.hash == entry.at.block_hash

        return TrustList(tuple(filter(counts, self.panels)), tuple(filter(counts, self.accounts)))


def look_at_panel(chain: Chain, id: PanelId) -> TrustedPanel:
    """A panel as it stands, to be trusted or not.

    Raises:
        NotFound: there is none of that id.
        InputRefused: it has too many members, or a name that cannot be shown.
    """
    return look_at_panels(chain, [id])[0]


def look_at_panels(chain: Chain, ids: Sequence[PanelId]) -> list[TrustedPanel]:
    """Several panels as they stand; raises as `look_at_panel`."""
    if not ids:
        return []
    at = TrustedAt.now(chain)
    return [looked_at(at, id, panel) for id, panel in zip(ids, Registry(chain).panels_of(ids, at.block), strict=True)]


def looked_at(at: TrustedAt, id: PanelId, panel: PanelEntry | None) -> TrustedPanel:
    """A panel that was read, to be trusted or not; raises as `look_at_panel`."""
    if panel is None:
        raise NotFound(f"no panel {id} was created in this deployment", "its creator knows its id")
    if len(panel.members) > MOST_MEMBERS:
        raise InputRefused(
            f"the panel {id} has {len(panel.members)} members, and {MOST_MEMBERS} are the most to be trusted as one",
            "trust the accounts that you know, one by one",
        )
    return TrustedPanel(at, id, panel.creator, panel.name, panel.members)


def trust(home: Path, entry: TrustedPanel | TrustedAccount) -> None:
    """Put an entry on a home's list, in place of an older one about the same.

    Raises:
        InputRefused: the list there is none, or it is full.
    """

    def put(entries: TrustList) -> TrustList:
        changed = entries.with_entry(entry)
        if max(len(changed.panels), len(changed.accounts)) > MOST_ENTRIES:
            raise InputRefused(f"a trust list has at most {MOST_ENTRIES} entries of a kind", "remove old ones")
        return changed

    _change(home, put)


def distrust(chain: Chain, named: PanelId | str) -> None:
    """Take a panel or an account off the list of a chain's home.

    Raises:
        NotFound: it is not on it, for this deployment.
    """
    _change(chain.settings.home, lambda entries: entries.without(chain, named))


def trusted_by(chain: Chain, besides: Sequence[PanelId] = ()) -> Trusted:
    """Whom the home of a chain's settings trusts on that chain.

    Args:
        chain: connected by the checker's own settings.
        besides: panels that count too, for this once, as they stand now.

    Raises:
        InputRefused: the list is none.
        NotFound: there is no such panel.
        ChainUnusable: the node does not answer.
    """
    return carry_out(chain, trusted_reading(chain, look_at_panels(chain, besides)))


def trusted_reading(chain: Chain, besides: Sequence[TrustedPanel] = ()) -> Reading[Trusted]:
    """The same as a reading, with panels that were looked at."""
    counting = yield from TrustList.read(chain.settings.home).reading(chain)
    members: dict[PanelId, frozenset[str]] = {}
    for panel in (*counting.panels, *besides):
        members[panel.id] = members.get(panel.id, frozenset()) | frozenset(panel.members)
    return Trusted(members, frozenset(each.account for each in counting.accounts))


@dataclass(frozen=True, slots=True)
class PanelChange:
    """How a panel stands beside an entry about it.

    Args:
        joined: who stands there now and did not then, and so does not count.
        left: who stood there then and does not now; it counts in draws from before it left.
    """

    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def changed_since(chain: Chain, panels: Iterable[TrustedPanel]) -> dict[PanelId, PanelChange]:
    """Who joined panels and who left them after they were trusted."""
    entries = list(panels)
    present = Registry(chain).panels_of([entry.id for entry in entries])
    return {
        entry.id: _change_of(entry, now.members if now else ()) for entry, now in zip(entries, present, strict=True)
    }


def _change_of(entry: TrustedPanel, now: Sequence[str]) -> PanelChange:
    return PanelChange(
        tuple(member for member in now if member not in entry.members),
        tuple(member for member in entry.members if member not in now),
    )


def _about(entry: TrustedPanel | TrustedAccount) -> tuple[object, ...]:
    """What an entry is about: of two about the same a list holds one."""
    named = entry.id if isinstance(entry, TrustedPanel) else entry.account
    return (entry.at.chain_id, entry.at.registry, named)


def _change(home: Path, change: Callable[[TrustList], TrustList]) -> None:
    """Read a home's list, change it and write it; two commands at once wait for each other."""
    import fcntl  # which not every system has that verifies

    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(home / f".{TRUST_FILE}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_file(home / TRUST_FILE, change(TrustList.read(home)).encode(), 0o600)
    finally:
        os.close(lock)
