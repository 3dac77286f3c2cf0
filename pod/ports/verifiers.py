"""Verifiers on the chain: their stake, their hash chains, their places in panels and the pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fitchain.pod.ports.chain.base import Receipt
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.permit import Permit, sign_permit, struct_of
from fitchain.pod.values.errors import ChainUnusable, NotFound, Reverted, Unusable
from fitchain.pod.values.ids import WHOLE_POOL, PanelId

NO_LINK = bytes(26)
"""In place of a link: the chain that was committed to stands."""
PAGE, MOST_HELD = 200, 1 << 20
"""Places that one call reads, and all that are read of a panel."""


@dataclass(frozen=True)
class Verifier:
    """A verifier's account.

    Args:
        address: its account.
        stake: FIT, base units, seats in use included.
        locked: what of it seats in use have reserved.
        earned: fees, base units, that it has not withdrawn.
        unbonding: FIT, base units, that is leaving.
        unbonded: seconds since 1970 from which on that is free.
        link: the last link of its hash chain that is public, 26 bytes.
        position: the opening that link belongs to.
        chain_from: audits whose opening number is higher can be joined.
        away: it let a joining window pass and is out of every draw until it is `present`.
        ever_staked: whether it is a verifier at all.
    """

    address: str
    stake: int
    locked: int
    earned: int
    unbonding: int
    unbonded: int
    link: bytes
    position: int
    chain_from: int
    away: bool
    ever_staked: bool

    @property
    def free(self) -> int:
        """FIT, base units, that no seat has reserved."""
        return self.stake - self.locked


@dataclass(frozen=True)
class Member:
    """Who holds a place in a panel or the pool, and the block in which it joined."""

    account: str
    joined: int


@dataclass(frozen=True)
class Membership:
    """An account in a panel or the pool.

    Args:
        stands: it holds a place.
        invited: the panel's creator invited it.
        joined, left: block in which it joined last, and in which it left or was expelled last.
    """

    stands: bool
    invited: bool
    joined: int
    left: int


class Verifiers:
    """The contract Verifiers of one chain.

    Every call that sends raises `Reverted` where the contract refuses, by name and with its values
    and before anything is sent, and `ChainUnusable` where the account cannot pay.

    Args:
        chain: the connection; without a signer it only reads.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    # Stake and chain

    def stake(self, amount: int, link: bytes = NO_LINK, permit: Permit | None = None) -> Receipt:
        """Add to this account's stake.

        Args:
            amount: FIT in base units; 0 only commits to a chain.
            link: 26 bytes, the commitment to a hash chain; the first stake needs one.
            permit: a signed allowance for the Verifiers contract; one is signed here where none is
                given.
        """
        self.chain.require_fit(amount, "the stake")
        return self._send("stake", amount, link, struct_of(permit or sign_permit(self.chain, "Verifiers", amount)))

    def renew_chain(self, link: bytes) -> Receipt:
        """Commit to another hash chain, for audits that are opened afterwards."""
        return self._send("renewChain", link)

    def unstake(self, amount: int) -> Receipt:
        """Take free stake back; it can be withdrawn after `unbonding_time`."""
        return self._send("unstake", amount)

    def withdraw(self) -> Receipt:
        """Collect the fees earned, and what of the stake is unbonded."""
        return self._send("withdraw")

    def present(self) -> Receipt:
        """Say that this account, which let a joining window pass, is there again."""
        return self._send("present")

    def verifier(self, address: str) -> Verifier:
        """A verifier's account; `ever_staked` says whether it is one."""
        return self.verifiers([address])[0]

    def verifiers(self, addresses: Sequence[str]) -> list[Verifier]:
        """Several accounts in one round trip."""
        answers = self.chain.call_many([("Verifiers", "verifier", (address,)) for address in addresses])
        return [_verifier(address, answer) for address, answer in zip(addresses, answers, strict=True)]

    def pool_stake(self) -> int:
        """What a place in the pool costs, in base units of FIT."""
        return int(self.chain.call("Verifiers", "poolStake"))

    def unbonding_time(self) -> int:
        """Seconds from `unstake` until what leaves is free."""
        return int(self.chain.call("Verifiers", "unbondingTime"))

    # Places

    def join_pool(self) -> Receipt:
        """Take a place in the pool, for requests in later blocks."""
        return self._send("joinPool")

    def leave_pool(self) -> Receipt:
        """Give it up, for requests in later blocks."""
        return self._send("leavePool")

    def invite(self, panel: PanelId, accounts: Sequence[str]) -> Receipt:
        """Invite accounts into a panel as its creator."""
        return self._send("invite", panel, list(accounts))

    def expel(self, panel: PanelId, account: str) -> Receipt:
        """Take an invitation and a place back as the panel's creator, for later requests."""
        return self._send("expel", panel, account)

    def join_panel(self, panel: PanelId) -> Receipt:
        """Take a place in a panel that this account is invited to, for requests in later blocks."""
        return self._send("joinPanel", panel)

    def leave_panel(self, panel: PanelId) -> Receipt:
        """Give it up, for requests in later blocks."""
        return self._send("leavePanel", panel)

    def membership(self, panel: PanelId, account: str) -> Membership:
        """An account in a panel, or in the pool where the panel is zero.

        Raises:
            NotFound: there is no such panel.
        """
        return self.memberships([(self.number(panel), account)])[0]

    def memberships(self, names: Sequence[tuple[int, str]]) -> list[Membership]:
        """Several accounts in panels, by number and account, in one round trip."""
        answers = self.chain.call_many([("Verifiers", "membership", name) for name in names])
        return [Membership(bool(kept["place"]), kept["invited"], kept["joined"], kept["left"]) for kept in answers]

    def standing_in(self, numbers: Sequence[int], account: str) -> set[int]:
        """In which of several panels, by their numbers, an account holds a place; 0 is the pool."""
        places = self.chain.call_many([("Verifiers", "membership", (number, account)) for number in numbers])
        return {number for number, kept in zip(numbers, places, strict=True) if kept["place"]}

    def number(self, panel: PanelId) -> int:
        """What contracts call a panel; 0 for the pool.

        Raises:
            NotFound: there is no such panel.
        """
        try:
            return 0 if panel == WHOLE_POOL else int(self.chain.call("Registry", "panelNumber", panel))
        except Reverted as refusal:
            raise no_panel(panel) if refusal.error == "PanelNotCreated" else refusal from None

    def sizes(self, numbers: Iterable[int], block: int | None = None) -> list[int]:
        """How many places several panels have, by their numbers; 0 is the pool.

        Args:
            block: as they stood after that block; None reads them as they stand.
        """
        kept = self.chain.call_many([("Verifiers", "placesOf", (number,)) for number in numbers], block)
        return [int(places["length"]) for places in kept]

    def members(self, number: int, length: int, block: int | None = None) -> list[Member]:
        """Who holds the first `length` places of a panel, by its number; 0 is the pool.

        Args:
            block: as they stood after that block; None reads them as they stand.
        """
        if length > MOST_HELD:
            raise ChainUnusable(f"the panel {number} is said to have {length} places, and at most {MOST_HELD} are read")
        pages = self.chain.call_many(
            [("Verifiers", "members", (number, first, min(PAGE, length - first))) for first in range(0, length, PAGE)],
            block,
        )
        return [
            Member(account, joined)
            for accounts, blocks in pages
            for account, joined in zip(accounts, blocks, strict=True)
        ]

    def eligible(self, panel: PanelId, owner: str, scientist: str, asker: str) -> int:
        """How many could be drawn for a request in the next block, besides the three.

        Raises:
            NotFound: there is no such panel.
        """
        parties = owner, scientist, asker
        # As of the pending block: in the newest one who joined in it does not stand there yet.
        _, count = self.chain.call("Verifiers", "standing", self.number(panel), *parties, block="pending")
        return int(count)

    def require_eligible(self, panel: PanelId, parties: tuple[str, str, str], seats: int) -> None:
        """Refuse an audit for which too few could be drawn, as the contract would, before anything
        is paid.

        Args:
            panel: to draw from; zero for the whole pool.
            parties: owner, scientist and asker, who are never drawn.
            seats: m; the contract asks for half as many more, for those who decline.

        Raises:
            Unusable: too few stand there.
            NotFound: there is no such panel.
        """
        eligible, needed = self.eligible(panel, *parties), seats + (seats + 1) // 2
        if eligible < needed:
            raise Unusable(
                f"{eligible} of those who stand there could be drawn, and "
                f"{'1 seat needs' if seats == 1 else f'{seats} seats need'} {needed}",
                "name a larger panel, or fewer verifiers",
            )

    def _send(self, function: str, *args: Any) -> Receipt:
        return self.chain.send("Verifiers", function, *args)


def no_panel(id: PanelId) -> NotFound:
    """What is said of a panel that was never created."""
    return NotFound(f"no panel {id} was created in this deployment", "see `fitchain panel list`")


def _verifier(address: str, kept: dict[str, Any]) -> Verifier:
    return Verifier(
        address=address,
        stake=kept["stake"],
        locked=kept["locked"],
        earned=kept["earned"],
        unbonding=kept["unbonding"],
        unbonded=kept["unbonded"],
        link=bytes(kept["link"]),
        position=kept["position"],
        chain_from=kept["chainFrom"],
        away=kept["away"],
        ever_staked=kept["account"] == address,
    )
