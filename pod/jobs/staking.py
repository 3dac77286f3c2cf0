"""A verifier's stake on one deployment, its commitment to a hash chain, and what it takes to be
drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.links import LINKS_AT_ONCE, LinkChain
from fitchain.pod.jobs.unheard import was_sent_before
from fitchain.pod.ports.agreement import Audit, Phase, Seat
from fitchain.pod.ports.chain import Receipt
from fitchain.pod.ports.verifiers import NO_LINK, Verifier
from fitchain.pod.proof.audit.plan import LEAST_STAKE_FEES
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.errors import FitchainError, Unusable
from fitchain.pod.values.ids import PanelId

MOST_COMMITMENTS = 5
"""How often a link is sent again because audits were opened while the transaction was on its
way."""
MOST_SEATS = 200
"""Audits that are looked at for a verifier's open seats, the newest it was drawn for."""


class Obstacle(Enum):
    """Why an account cannot be drawn, or could not take a seat."""

    NEVER_STAKED = "it never staked"
    AWAY = "it let a joining window pass"
    STANDS_NOWHERE = "it stands in no panel and not in the pool"
    TOO_LITTLE_FREE = "it has too little free stake for any seat"
    CHAIN_BEHIND = "its hash chain is too far behind"


@dataclass(frozen=True)
class VerifierStatus:
    """A verifier's account as it stands.

    Args:
        verifier: stake, fees, chain.
        pool_stake: what a place in the pool costs, in base units of FIT.
        least_seat_stake: the smallest stake of a seat that terms may ask for, likewise.
        in_pool: whether it stands in the pool.
        panels: ids and names of the panels that it stands in.
        seats: its seats in audits that are not over, of the newest it was drawn for.
        opened: audits that the deployment has opened.
        now: the chain's own time, seconds since 1970.
    """

    verifier: Verifier
    pool_stake: int
    least_seat_stake: int
    in_pool: bool
    panels: tuple[tuple[PanelId, str], ...]
    seats: tuple[tuple[Seat, Audit], ...]
    opened: int
    now: int

    @property
    def withdrawable(self) -> int:
        """FIT, base units, that `withdraw` would pay: fees, and what of the stake is unbonded."""
        return self.verifier.earned + (self.verifier.unbonding if self.verifier.unbonded <= self.now else 0)

    @property
    def bound_s(self) -> int:
        """Seconds until what is leaving is free; 0 where nothing is, or it is free already."""
        return max(self.verifier.unbonded - self.now, 0) if self.verifier.unbonding else 0

    @property
    def obstacle(self) -> Obstacle | None:
        """What has to be done first before this account can be drawn and take a seat."""
        if not self.verifier.ever_staked:
            return Obstacle.NEVER_STAKED
        if self.verifier.away:
            return Obstacle.AWAY
        if not (self.in_pool or self.panels):
            return Obstacle.STANDS_NOWHERE
        if self.verifier.free < self.least_seat_stake:
            return Obstacle.TOO_LITTLE_FREE
        if self.opened - self.verifier.position > LINKS_AT_ONCE:
            return Obstacle.CHAIN_BEHIND
        return None


@dataclass(frozen=True)
class StakeMove:
    """What was moved of a stake.

    Args:
        amount: FIT in base units.
        sent_before: an earlier command had sent it, and could not tell so; nothing was sent now.
        behind: why the hash chain could not be looked at, or renewed, afterwards; None where it
            stands.
    """

    amount: int
    sent_before: bool = False
    behind: FitchainError | None = None


def read_status(home: Home, address: str) -> VerifierStatus:
    """Read how a verifier's account stands; needs no key.

    Raises:
        ChainUnusable: the node does not answer.
    """
    verifiers, audits = home.verifiers, home.audits
    joined = home.chain.events("Verifiers", "Joined", account=address)
    numbers = sorted({event.args["panel"] for event in joined})
    kept = verifiers.memberships([(number, address) for number in numbers])
    numbers_held = {number for number, membership in zip(numbers, kept, strict=True) if membership.stands}
    names = home.registry.panel_names(numbers_held - {0})
    drawn = audits.read_many(audits.drawn_for(address)[-MOST_SEATS:])
    open_ = [audit for audit in drawn if audit.phase not in (Phase.NONE, Phase.CONCLUDED)]
    seats = [(seat, audit) for audit in open_ if (seat := audit.seat_of(address))]
    return VerifierStatus(
        verifier=verifiers.verifier(address),
        pool_stake=verifiers.pool_stake(),
        least_seat_stake=LEAST_STAKE_FEES * home.chain.constants.fee_floor,
        in_pool=0 in numbers_held,
        panels=tuple(names[number] for number in sorted(numbers_held - {0})),
        seats=tuple(seats),
        opened=audits.opened(),
        now=home.chain.block("latest").timestamp,
    )


def stake(home: Home, amount: int | None = None) -> StakeMove:
    """Add to this account's stake, and commit to its hash chain where it has not.

    A stake whose sender never heard that it went through is not added a second time.

    Args:
        home: the verifier's.
        amount: FIT in base units; None locks what is missing of a place in the pool.

    Returns:
        what was added, whatever the node answers once it was sent.

    Raises:
        ChainUnusable: the account cannot pay, or the node does not answer.
        Unusable: an earlier command added something else, and could not tell so.
    """
    verifiers, address = home.verifiers, home.keys.address
    if (added := _sent_before(home, "stake", "staked", amount)) is not None:
        return StakeMove(added, True, _why_behind(home))
    before = verifiers.verifier(address)
    added = max(verifiers.pool_stake() - before.stake, 0) if amount is None else amount
    links, opened = LinkChain(home.keys, home.chain), home.audits.opened()
    link = links.commitment(opened) if links.needs_renewal(before, opened) else NO_LINK
    if added or link != NO_LINK:
        verifiers.stake(added, link)
    return StakeMove(added, behind=_why_behind(home))


def _sent_before(home: Home, function: str, did: str, amount: int | None) -> int | None:
    """FIT in base units that an earlier command moved, and could not tell so; None where there is
    nothing.

    Args:
        home: the verifier's.
        function: of the contract Verifiers; its first argument is an amount.
        did: what it does, in the past.
        amount: what is to be moved now; None: whatever an earlier command found.

    Raises:
        Unusable: it is another amount.
    """
    moved = list[int]()

    def is_meant(units: int, *_: object) -> bool:
        moved.append(units)
        return amount in (None, units) or not units  # one that only committed to the hash chain

    def describe(units: int, *_: object) -> str:
        return f"{did} {amount_text(units)} FIT"

    was_sent_before(home.chain, "Verifiers", function, is_meant, describe)
    return sum(moved) or None


def _why_behind(home: Home) -> FitchainError | None:
    """Commit to the hash chain anew where that is due; why that cannot be done. What was sent
    before is told all the same."""
    try:
        renew_chain(home)
    except Unusable as error:
        return error
    return None


def renew_chain(home: Home) -> bool:
    """Commit to this account's hash chain where that is due (`LinkChain.needs_renewal`); it counts
    for audits that are opened afterwards.

    A link belongs to how many audits are opened when the transaction is mined, so it is looked at
    afterwards, and sent again where others were opened meanwhile.

    Returns:
        False where the chain that stands is right.

    Raises:
        ChainUnusable: it cannot pay.
        Unusable: the account never staked, or audits are opened faster than a commitment reaches
            the chain.
    """
    _require_verifier(home.verifiers.verifier(home.keys.address))
    links = LinkChain(home.keys, home.chain)
    for attempt in range(MOST_COMMITMENTS):
        opened = home.audits.opened()
        if not links.needs_renewal(home.verifiers.verifier(home.keys.address), opened):
            return attempt > 0
        home.verifiers.renew_chain(links.commitment(opened))
    raise Unusable(
        f"a hash chain was committed to {MOST_COMMITMENTS} times, and each time another audit was opened first",
        "try again later: fitchain verifier renew",
    )


def unstake(home: Home, amount: int | None = None) -> StakeMove:
    """Take stake back that no seat has reserved; it is free after the unbonding time.

    What an earlier command took back, and could not tell so, is not taken back a second time.

    Args:
        home: the verifier's.
        amount: FIT in base units; None takes all that is free.

    Returns:
        what leaves.

    Raises:
        Unusable: so much is not free, or the account's place in the pool holds it; or an earlier
            command took another amount back, and could not tell so.
        ChainUnusable: the account cannot pay, or the node does not answer.
    """
    if (left := _sent_before(home, "unstake", "took back", amount)) is not None:
        return StakeMove(left, True)
    status = read_status(home, home.keys.address)
    verifier = status.verifier
    leaving = verifier.free if amount is None else amount
    if not verifier.stake:
        raise Unusable(f"{verifier.address} has no stake", "lock one: fitchain verifier stake")
    if leaving > verifier.free or not leaving:
        raise Unusable(
            f"{amount_text(verifier.free)} FIT of {verifier.address} is free, and "
            f"{amount_text(verifier.locked)} FIT reserved by its seats",
            "a seat frees its stake with the verdict: fitchain verifier status",
        )
    if status.in_pool and verifier.stake - leaving < status.pool_stake:
        raise Unusable(
            f"{verifier.address} stands in the pool, which holds {amount_text(status.pool_stake)} FIT of its stake",
            "leave it first: fitchain panel leave pool",
        )
    home.verifiers.unstake(leaving)
    return StakeMove(leaving)


def withdraw(home: Home) -> tuple[int, Receipt | None]:
    """Collect this account's fees and what of its stake is free.

    Returns:
        FIT in base units, and the transaction; 0 and None where nothing waits.

    Raises:
        ChainUnusable: the account cannot pay.
    """
    verifier = home.verifiers.verifier(home.keys.address)
    freed = verifier.unbonding if verifier.unbonded <= home.chain.block("latest").timestamp else 0
    due = verifier.earned + freed
    return due, home.verifiers.withdraw() if due else None


def come_back(home: Home) -> bool:
    """Say that this account, which let a joining window pass, is there again.

    Returns:
        False where it is not away.

    Raises:
        Unusable: it never staked.
        ChainUnusable: it cannot pay.
    """
    verifier = home.verifiers.verifier(home.keys.address)
    _require_verifier(verifier)
    if verifier.away:
        home.verifiers.present()
    return verifier.away


def _require_verifier(verifier: Verifier) -> None:
    if not verifier.ever_staked:
        raise Unusable(f"{verifier.address} is no verifier: it never staked", "stake first: fitchain verifier stake")
