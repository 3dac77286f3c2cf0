"""Panels and the pool as people deal with them: made, filled, joined, left, looked at.

A panel's creator names it, invites and expels; an invited verifier joins and leaves by transactions
of its own. All of it counts for requests in later blocks: a jury is who stood before its request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.registry import PanelRecord
from fitchain.pod.ports.verifiers import Verifier
from fitchain.pod.proof.audit.plan import LEAST_STAKE_FEES
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.errors import AccessRefused, InputRefused, Reverted, Unusable
from fitchain.pod.values.ids import WHOLE_POOL, PanelId

NAME_BYTES = 64
INVITED_AT_ONCE = 200
"""Accounts that one transaction invites: what a block takes beside others' transactions."""
MOST_MEMBERS = 200
"""Members that are looked at: anybody can make a panel of any size."""
MOST_PANELS = 100
"""Panels that are listed, the newest: anybody can make any number of them."""


@dataclass(frozen=True)
class PanelMember:
    """Who holds a place, and since when.

    Args:
        verifier: its account, as it stands.
        block, time: in which it joined; seconds since 1970.
    """

    verifier: Verifier
    block: int
    time: int


@dataclass(frozen=True)
class PanelDetails:
    """A panel, or the pool, as it stands.

    Args:
        record: how the panel came about; None for the pool.
        size: how many places it has.
        members: who holds the first `MOST_MEMBERS` of them.
        invited: accounts that its creator invited and that do not stand; of the newest invitations.
        least_seat_stake: the smallest stake of a seat that terms of this deployment may ask for, in
            base units of FIT.
        now: the chain's own time, seconds since 1970.
    """

    record: PanelRecord | None
    size: int
    members: tuple[PanelMember, ...]
    invited: tuple[str, ...]
    least_seat_stake: int
    now: int


@dataclass(frozen=True)
class PanelSummary:
    """A panel's record and how many stand in it."""

    record: PanelRecord
    size: int


def create_panel(home: Home, name: str, accounts: Sequence[str] = ()) -> PanelId:
    """Name a panel and invite verifiers into it.

    Args:
        home: its creator's.
        name: 1 to 64 bytes; each account has its own names.
        accounts: addresses to invite.

    Raises:
        InputRefused: the name is too long or empty, this account has a panel of that name, or an
            account is named twice.
        ChainUnusable: the account cannot pay.
    """
    if not 0 < len(name.encode()) <= NAME_BYTES:
        raise InputRefused(f"a panel's name has 1 to {NAME_BYTES} bytes, not {len(name.encode())}", "choose another")
    _require_distinct(accounts)
    try:
        id = home.registry.create_panel(name)
    except Reverted as refusal:
        if refusal.error != "PanelAlreadyCreated":
            raise
        raise InputRefused(
            f"this account has named a panel {name!r} before, {refusal.values['id']}",
            "invite into it: fitchain panel invite",
        ) from None
    _invite(home, id, accounts)
    return id


def invite(home: Home, panel: PanelId, accounts: Sequence[str]) -> tuple[str, ...]:
    """Invite verifiers into a panel of this account.

    Returns:
        those of the accounts that were not invited before.

    Raises:
        AccessRefused: the panel is another account's.
        NotFound: there is no such panel.
        InputRefused: an account is named twice.
        ChainUnusable: the account cannot pay.
    """
    _require_distinct(accounts)
    record = _own_record(home, panel)
    kept = home.verifiers.memberships([(record.number, account) for account in accounts])
    fresh = tuple(account for account, membership in zip(accounts, kept, strict=True) if not membership.invited)
    _invite(home, panel, fresh)
    return fresh


def expel(home: Home, panel: PanelId, account: str) -> None:
    """Take an account's invitation and place in a panel of this account back, for later requests.

    Raises:
        AccessRefused: the panel is another account's.
        NotFound: there is no such panel.
        InputRefused: the account is not invited.
        ChainUnusable: this account cannot pay.
    """
    record = _own_record(home, panel)
    if not home.verifiers.memberships([(record.number, account)])[0].invited:
        raise InputRefused(f"{account} is not invited into {record.name!r}", "see `fitchain panel show`")
    home.verifiers.expel(panel, account)


def join(home: Home, panel: PanelId) -> bool:
    """Take this account's place in a panel, or in the pool.

    Returns:
        False where it stands there already.

    Raises:
        Unusable: it never staked, or too little for the pool.
        AccessRefused: it is not invited.
        NotFound: there is no such panel.
        ChainUnusable: it cannot pay.
    """
    verifiers, address = home.verifiers, home.keys.address
    membership = verifiers.membership(panel, address)
    if membership.stands:
        return False
    verifier = verifiers.verifier(address)
    if not verifier.ever_staked:
        raise Unusable(f"{address} is no verifier: it never staked", "stake first: fitchain verifier stake")
    if panel == WHOLE_POOL:
        if (needed := verifiers.pool_stake()) > verifier.stake:
            raise Unusable(
                f"{address} has a stake of {amount_text(verifier.stake)} FIT, and a place in the pool needs "
                f"{amount_text(needed)} FIT",
                "stake what is missing: fitchain verifier stake",
            )
        verifiers.join_pool()
        return True
    if not membership.invited:
        creator = home.registry.panel_record(panel).creator
        raise AccessRefused(
            f"{address} is not invited into the panel {panel.short}",
            f"its creator {creator} invites: fitchain panel invite {panel.short} {address}",
        )
    verifiers.join_panel(panel)
    return True


def leave(home: Home, panel: PanelId) -> None:
    """Give this account's place in a panel, or in the pool, up, for later requests.

    Raises:
        Unusable: it does not stand there.
        NotFound: there is no such panel.
        ChainUnusable: it cannot pay.
    """
    verifiers, address = home.verifiers, home.keys.address
    if not verifiers.membership(panel, address).stands:
        name = "the pool" if panel == WHOLE_POOL else f"the panel {panel.short}"
        raise Unusable(f"{address} does not stand in {name}", "see `fitchain verifier status`")
    if panel == WHOLE_POOL:
        verifiers.leave_pool()
    else:
        verifiers.leave_panel(panel)


def read_panel(home: Home, panel: PanelId) -> PanelDetails:
    """Read a panel, or the pool, with its members; needs no key.

    Raises:
        NotFound: there is no such panel.
        ChainUnusable: the node does not answer.
    """
    verifiers, chain = home.verifiers, home.chain
    record = None if panel == WHOLE_POOL else home.registry.panel_record(panel)
    number = record.number if record else 0
    (size,) = verifiers.sizes([number])
    holders = verifiers.members(number, min(size, MOST_MEMBERS))
    accounts = verifiers.verifiers([holder.account for holder in holders])
    times = chain.blocks(holder.joined for holder in holders)
    return PanelDetails(
        record=record,
        size=size,
        members=tuple(
            PanelMember(verifier, holder.joined, times[holder.joined].timestamp)
            for verifier, holder in zip(accounts, holders, strict=True)
        ),
        invited=_invited(home, record) if record else (),
        least_seat_stake=LEAST_STAKE_FEES * home.chain.constants.fee_floor,
        now=chain.block("latest").timestamp,
    )


def list_panels(home: Home, creator: str | None = None, most: int = MOST_PANELS) -> tuple[list[PanelSummary], int]:
    """The newest panels, oldest first, and how many older ones were left out; needs no key.

    Args:
        home: opened for reading.
        creator: only panels of that account.
        most: how many are read.

    Raises:
        ChainUnusable: the node does not answer.
    """
    records, older = home.registry.newest_panels(most, creator)
    sizes = home.verifiers.sizes(record.number for record in records)
    return [PanelSummary(*pair) for pair in zip(records, sizes, strict=True)], older


def _invited(home: Home, record: PanelRecord) -> tuple[str, ...]:
    """Who was invited, last, and does not stand."""
    invitations = home.chain.events("Verifiers", "Invited", record.block, panel=record.id)
    accounts = list(dict.fromkeys(account for event in invitations for account in event.args["accounts"]))
    newest = accounts[-MOST_MEMBERS:]
    kept = home.verifiers.memberships([(record.number, account) for account in newest])
    return tuple(
        account
        for account, membership in zip(newest, kept, strict=True)
        if membership.invited and not membership.stands
    )


def _own_record(home: Home, panel: PanelId) -> PanelRecord:
    record = home.registry.panel_record(panel)
    if record.creator != home.keys.address:
        raise AccessRefused(
            f"the panel {panel.short} is {record.creator}'s, and this home's account is {home.keys.address}",
            "make one of your own: fitchain panel create",
        )
    return record


def _invite(home: Home, panel: PanelId, accounts: Sequence[str]) -> None:
    for first in range(0, len(accounts), INVITED_AT_ONCE):
        home.verifiers.invite(panel, accounts[first : first + INVITED_AT_ONCE])


def _require_distinct(accounts: Sequence[str]) -> None:
    for account in accounts:
        if accounts.count(account) > 1:
            raise InputRefused(f"{account} is named twice", "name each account once")
