"""Every step of an audit as one typed call, and what the chain says of audits and verifiers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fitchain.pod.ports.agreement.calls import cid_in, cid_out, sign_permit, struct_of
from fitchain.pod.ports.agreement.terms import Outcome, Permit, Phase
from fitchain.pod.ports.chain.base import Event, Receipt
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.sealed import recipient_bytes, recipient_from_bytes
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import InputRefused, NodeRefused
from fitchain.pod.values.ids import AgreementId, PanelId

NOBODY = "0x" + "0" * 40


@dataclass(frozen=True)
class Seat:
    """One seat of an audit in its present round.

    Args:
        number: from 0.
        verifier: who sits there; empty where nobody was found.
        joined, declined, committed, revealed: what it did in this round. Who stays through a redraw
            has joined.
    """

    number: int
    verifier: str
    joined: bool
    declined: bool
    committed: bool
    revealed: bool


@dataclass(frozen=True)
class Audit:
    """An audit as the chain has it.

    Args:
        id: the agreement.
        phase: where it stands; NONE where there is no audit.
        round: 0 for the first draw, one more for each redraw.
        verdict: NONE until there is one.
        disputed: whether the scientist opened it.
        window: seconds of each phase.
        deadline: seconds since 1970 up to which the phase's step may be taken, itself included.
        opened_block: who was a verifier before this block may be drawn.
        challenge_block: the block whose hash draws.
        panel_length: members of the panel, or verifiers in the pool, when it was opened.
        seed: the challenge seed; zero before the draw.
        seats: of the present round, by number; nobody sits there before the draw.
    """

    id: AgreementId
    phase: Phase
    round: int
    verdict: Outcome
    disputed: bool
    window: int
    deadline: int
    opened_block: int
    challenge_block: int
    panel_length: int
    seed: Digest
    seats: tuple[Seat, ...]

    @property
    def quorum(self) -> int:
        """How many equal votes are a verdict."""
        return len(self.seats) // 2 + 1

    @property
    def complete(self) -> bool:
        """Whether nobody is left who could act in this phase, so that `advance` works before the
        deadline."""
        if self.phase == Phase.JOINING:
            return all(seat.joined or seat.declined or not seat.verifier for seat in self.seats)
        return self.phase == Phase.REVEALING and all(seat.revealed or not seat.committed for seat in self.seats)

    @property
    def joined(self) -> tuple[Seat, ...]:
        """The seats that joined."""
        return tuple(seat for seat in self.seats if seat.joined)

    def seat_of(self, address: str) -> Seat | None:
        """The seat of a verifier in the present round."""
        return next((seat for seat in self.seats if seat.verifier == address), None)

    def may_advance(self, now: int) -> bool:
        """Whether `advance` would be taken at a time, in seconds since 1970."""
        return Phase.NONE < self.phase < Phase.RELEASED and (now > self.deadline or self.complete)


@dataclass(frozen=True)
class Verifier:
    """A verifier's account.

    Args:
        address: its account.
        stake: FIT, base units, that it has locked.
        earned: fees, base units, that it has not withdrawn.
        unbonded: seconds since 1970 from which on its stake is free; 0 where it is not leaving.
        number: its place in the pool, from 1; 0 where it never staked.
        active: whether it can be drawn for audits that are opened in later blocks.
    """

    address: str
    stake: int
    earned: int
    unbonded: int
    number: int
    active: bool


@dataclass(frozen=True)
class Draw:
    """The seats of one round: addresses by seat number, empty where nobody was found."""

    id: AgreementId
    round: int
    seed: Digest
    seats: tuple[str, ...]
    block: int


@dataclass(frozen=True)
class Vote:
    """A revealed vote; `trace` is zero unless the outcome is Match or Mismatch."""

    round: int
    seat: int
    verifier: str
    outcome: Outcome
    trace: Digest


@dataclass(frozen=True)
class Release:
    """The job's identity as somebody released it to the scientist, sealed; None where that is no
    CID."""

    by: str
    identity: Cid | None


class Audits:
    """The contract Audits of one chain.

    Every call that sends raises `Reverted` where the contract refuses, by name and with its values
    and before anything is sent, and `ChainUnusable` where the account cannot pay.

    Args:
        chain: the connection; without a signer it only reads.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    # Verifiers

    def stake(self, permit: Permit | None = None) -> Receipt:
        """Lock what is missing of the full stake; from the next block on this account can be drawn.

        Args:
            permit: a signed allowance for the Audits contract; one is signed here where none is
                given.
        """
        missing = self.full_stake() - self.verifier(self.chain.address).stake
        self.chain.require_fit(missing, "the stake")
        return self._send("stake", struct_of(permit or sign_permit(self.chain, "Audits", missing)))

    def unstake(self) -> Receipt:
        """Leave: no audit opened in a later block draws this account; the stake is free after
        `unbonding_time`."""
        return self._send("unstake")

    def withdraw(self) -> Receipt:
        """Collect the fees earned, and the stake once it is free."""
        return self._send("withdraw")

    def verifier(self, address: str) -> Verifier:
        """A verifier's account; number 0 where there is none."""
        return self.verifiers([address])[0]

    def verifiers(self, addresses: Sequence[str]) -> list[Verifier]:
        """Several accounts in one round trip."""
        names = ("verifier", "membership")
        answers = self.chain.call_many([("Audits", name, (address,)) for address in addresses for name in names])
        kept = zip(addresses, answers[::2], answers[1::2], strict=True)
        return [Verifier(address, **money, **_membership(spell)) for address, money, spell in kept]

    def pool(self) -> list[str]:
        """Every account that ever staked, by number."""
        length = int(self.chain.call("Audits", "poolLength"))
        return self.chain.call_many([("Audits", "poolMember", (index,)) for index in range(length)])

    # No command asks for `available` or `unbonding_time`: they are for programs that open an audit
    # or leave the pool.

    def available(self, panel: PanelId, owner: str, scientist: str, enough: int) -> int:
        """How many verifiers could be drawn now besides the parties.

        Args:
            panel: whose members; zero for the whole pool.
            owner, scientist: the parties.
            enough: in a panel nobody is counted beyond this number.
        """
        number = self.chain.call("Registry", "panelNumber", panel) if panel != ZERO else 0
        return int(self.chain.call("Audits", "available", number, owner, scientist, enough))

    def full_stake(self) -> int:
        """What each verifier locks, in base units of FIT."""
        return int(self.chain.call("Audits", "fullStake"))

    def unbonding_time(self) -> int:
        """Seconds from `unstake` until the stake is free."""
        return int(self.chain.call("Audits", "unbondingTime"))

    # The steps of an audit

    def draw(self, id: AgreementId) -> Receipt:
        """Draw the verifiers as anyone; waits for the block after the challenge block if needed."""
        if challenge_block := self.chain.call("Audits", "audit", id, block="latest")["challengeBlock"]:
            self.chain.wait_beyond(challenge_block)
        return self._send("draw", id)

    def join(self, id: AgreementId, seat: int, recipient: str) -> Receipt:
        """Take a seat as who was drawn for it.

        Args:
            id: the agreement.
            seat: its number.
            recipient: an age recipient made for this audit, to which the evidence is sealed.
        """
        return self._send("join", id, seat, recipient_bytes(recipient))

    def decline(self, id: AgreementId, seat: int) -> Receipt:
        """Give a seat back without penalty: this host does not reproduce the agreed environment."""
        return self._send("decline", id, seat)

    def submit(self, id: AgreementId, evidence: Cid) -> Receipt:
        """Hand over the evidence as the owner, sealed to the recipients of this round's joined
        seats."""
        return self._send("submit", id, bytes(evidence))

    def commit(self, id: AgreementId, seat: int, commitment: Digest) -> Receipt:
        """Commit to a vote, once a round; the commitment is
        `fitchain.pod.proof.audit.vote.commitment`."""
        return self._send("commit", id, seat, commitment)

    def reveal(self, id: AgreementId, seat: int, outcome: Outcome, trace: Digest, salt: Digest) -> Receipt:
        """Reveal the vote committed to."""
        return self._send("reveal", id, seat, outcome, trace, salt)

    def advance(self, id: AgreementId) -> Receipt:
        """Take the way out of a phase whose time is over, or in which nobody is left to act, as
        anyone."""
        return self._send("advance", id)

    def release(self, id: AgreementId, identity: Cid) -> Receipt:
        """After a Match, hand the sealed job identity to the scientist, as the owner or a joined
        seat; pays the owner.

        Once all votes are revealed it counts them itself, where they are a Match that awaits its
        key.
        """
        return self._send("release", id, cid_out(identity))

    # Reads

    def read(self, id: AgreementId) -> Audit:
        """An audit as it stands; phase NONE where there is none."""
        kept, accounts = self.chain.call_many([("Audits", "audit", (id,)), ("Audits", "seated", (id,))])
        return Audit(
            id=id,
            phase=Phase(kept["phase"]),
            round=kept["round"],
            verdict=Outcome(kept["verdict"]),
            disputed=kept["disputed"],
            window=kept["window"],
            deadline=kept["deadline"],
            opened_block=kept["openedBlock"],
            challenge_block=kept["challengeBlock"],
            panel_length=kept["panelLength"],
            seed=kept["seed"],
            seats=tuple(_seat(number, account, kept) for number, account in enumerate(accounts)),
        )

    def verdicts(self, ids: Sequence[AgreementId]) -> list[Outcome]:
        """What several audits concluded, in few round trips; NONE where there is none."""
        kept = self.chain.call_many([("Audits", "audit", (id,)) for id in ids])
        return [Outcome(audit["verdict"]) for audit in kept]

    def pool_units(self, owner: str, scientist: str, block: int) -> int | None:
        """FIT in base units that stood behind the pool besides the parties' own: whoever can be
        drawn has its whole stake.

        Args:
            owner, scientist: the parties, who are never drawn.
            block: after which block.

        Returns:
            None where the node keeps no state so old.
        """
        try:
            count = int(self.chain.call("Audits", "available", 0, owner, scientist, 0, block=block))
        except NodeRefused:
            return None
        return count * self.full_stake()

    def draws(
        self, id: AgreementId | None = None, from_block: int | None = None, to_block: int | None = None
    ) -> list[Draw]:
        """The draws, oldest first, of one audit where given."""
        wanted = {"id": id} if id else {}
        events = self.chain.events("Audits", "Drawn", from_block, to_block, **wanted)
        return [_draw(event) for event in events]

    def recipients(self, audit: Audit) -> dict[int, str]:
        """The age recipients of the joined seats, by seat number; without those that nothing can be
        sealed to."""
        posted = {event.args["verifier"]: event.args["recipient"] for event in self._events("Joined", audit)}
        by_seat = {seat.number: _recipient(posted.get(seat.verifier, ZERO)) for seat in audit.joined}
        return {number: recipient for number, recipient in by_seat.items() if recipient}

    def evidence(self, audit: Audit) -> Cid | None:
        """The evidence given in this round; None before it, or where the owner wrote no CID."""
        submissions = [
            event for event in self._events("EvidenceSubmitted", audit) if event.args["round"] == audit.round
        ]
        return cid_in(submissions[-1].args["evidenceCid"]) if submissions else None

    def votes(self, audit: Audit) -> list[Vote]:
        """Every revealed vote of every round, in the order of the chain."""
        names = ("round", "seat", "verifier", "outcome", "trace")
        records = [{name: event.args[name] for name in names} for event in self._events("Revealed", audit)]
        return [Vote(**record | {"outcome": Outcome(record["outcome"])}) for record in records]

    def majority(self, audit: Audit) -> Outcome:
        """What more than half of the seats have revealed alike in the present round; NONE where
        there is no such vote."""
        votes = [vote for vote in self.votes(audit) if vote.round == audit.round]
        alike = Counter((vote.outcome, vote.trace) for vote in votes).most_common(1)
        return alike[0][0][0] if alike and alike[0][1] >= audit.quorum else Outcome.NONE

    def releases(self, id: AgreementId) -> list[Release]:
        """Who released the job's identity, in the order of the chain."""
        events = self.chain.events("Audits", "Released", id=id)
        return [Release(event.args["by"], cid_in(event.args["keyCid"])) for event in events]

    def penalties(self, id: AgreementId) -> dict[str, int]:
        """What verifiers lost in an audit, in base units of FIT."""
        taken: dict[str, int] = {}
        for event in self.chain.events("Audits", "Penalised", id=id):
            taken[event.args["verifier"]] = taken.get(event.args["verifier"], 0) + event.args["amount"]
        return taken

    def events(self, id: AgreementId) -> list[Event]:
        """Every event of an audit in the order of the chain, penalties included."""
        events = [*self.chain.events_of(["Audits"], id), *self.chain.events("Audits", "Penalised", id=id)]
        return sorted(events, key=lambda event: (event.block, event.log_index))

    def _events(self, name: str, audit: Audit) -> list[Event]:
        return self.chain.events("Audits", name, audit.opened_block, id=audit.id) if audit.opened_block else []

    def _send(self, function: str, *args: Any) -> Receipt:
        return self.chain.send("Audits", function, *args)


def _seat(number: int, account: str, kept: dict[str, Any]) -> Seat:
    bits = [bool(kept[name] >> number & 1) for name in ("joined", "declined", "committed", "revealed")]
    return Seat(number, _somebody(account), *bits)


def _membership(spell: dict[str, Any]) -> dict[str, Any]:
    return {"number": spell["number"], "active": bool(spell["since"]) and not spell["until"]}


def _draw(event: Event) -> Draw:
    args = event.args
    return Draw(args["id"], args["round"], args["seed"], tuple(map(_somebody, args["seats"])), event.block)


def _somebody(account: str) -> str:
    return "" if account == NOBODY else account


def _recipient(key: Digest) -> str:
    """The recipient of a key that a stranger posted; empty where nothing can be sealed to it."""
    try:
        return recipient_from_bytes(bytes(key))
    except InputRefused:
        return ""
