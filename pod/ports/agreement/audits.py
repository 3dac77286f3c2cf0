"""Every step of an audit as one typed call, and what the chain says of audits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fitchain.pod.ports.agreement.calls import cid_in, cid_out
from fitchain.pod.ports.agreement.terms import AuditKind, Outcome, Phase
from fitchain.pod.ports.chain.base import Event, Receipt, newest
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.reads import ReadCall
from fitchain.pod.ports.sealed import recipient_bytes, recipient_from_bytes
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import AgreementId, AuditRef

NOBODY = "0x" + "0" * 40
BACK_SHIFT = 240
"""Where the first word of a draw's state says how far it came from the last position backwards
(contracts/libraries/Seats.sol)."""


@dataclass(frozen=True)
class Seat:
    """One seat of an audit in its present round.

    Args:
        number: from 0.
        verifier: who is drawn to it, or sits there; empty where nobody is.
        joined: it took the seat; from a Match on, it voted for it.
        committed, revealed: what it did in this round.
        released: it released the job's identity.
    """

    number: int
    verifier: str
    joined: bool
    committed: bool
    revealed: bool
    released: bool


@dataclass(frozen=True)
class Audit:
    """An audit as the chain has it.

    Args:
        ref: which one.
        phase: where it stands; NONE where there is no audit.
        kind: who opened it.
        verdict: NONE until there is one.
        round: one more for each vote that is taken anew.
        window: seconds of each phase.
        deadline: seconds since 1970 up to which the phase's step may be taken, itself included; in
            WAITING the time after which it may be drawn on.
        wait_deadline: after which nobody is drawn any more.
        opened_block: the block whose hash is the one half of the draw's seed.
        opening: how many audits the deployment had opened with this one.
        audited: how many segments are audited.
        fee_per_seat, seat_stake: FIT in base units.
        seed: the asker's commitment before the draw, then the draw's seed; zero where there is no
            audit.
        withheld_before: the evidence was said to be withheld once; the next time is the last.
        segments_fixed: what is audited is fixed.
        complained: the scientist said that what was released does not open the delivery.
        submitted: the owner submitted evidence for the seats that joined.
        exhausted: every position of the draw was looked at.
        seats: of the present round, by number.
    """

    ref: AuditRef
    phase: Phase
    kind: AuditKind
    verdict: Outcome
    round: int
    window: int
    deadline: int
    wait_deadline: int
    opened_block: int
    opening: int
    audited: int
    fee_per_seat: int
    seat_stake: int
    seed: Digest
    withheld_before: bool
    segments_fixed: bool
    complained: bool
    submitted: bool
    exhausted: bool
    seats: tuple[Seat, ...]

    @property
    def id(self) -> AgreementId:
        """The audited agreement."""
        return self.ref.agreement

    @property
    def quorum(self) -> int:
        """How many equal votes are a verdict."""
        return len(self.seats) // 2 + 1

    @property
    def complete(self) -> bool:
        """Whether nobody is left who could act in this phase, so that `advance` works before the
        deadline."""
        if self.phase == Phase.JOINING:
            return self.exhausted and all(seat.joined or not seat.verifier for seat in self.seats)
        return self.phase == Phase.REVEALING and all(seat.revealed or not seat.committed for seat in self.seats)

    @property
    def joined(self) -> tuple[Seat, ...]:
        """The seats that joined; from a Match on those that voted for it."""
        return tuple(seat for seat in self.seats if seat.joined)

    @property
    def seats_release_from(self) -> int:
        """Seconds since 1970 after which a seat of the Match may release the job's identity; before
        a complaint the first half of the window is the owner's."""
        return 0 if self.complained else self.deadline - self.window // 2

    def seat_of(self, address: str) -> Seat | None:
        """The seat of a verifier in the present round."""
        return next((seat for seat in self.seats if seat.verifier == address), None)

    def may_advance(self, now: int) -> bool:
        """Whether `advance` would be taken at a time, in seconds since 1970."""
        if self.phase in (Phase.NONE, Phase.CONCLUDED):
            return False
        return self.complete or now > (self.wait_deadline if self.phase is Phase.WAITING else self.deadline)

    def may_draw(self, now: int) -> bool:
        """Whether `draw` would be taken at a time by somebody who has the right nonce."""
        match self.phase:
            case Phase.AWAITING:
                return now <= self.deadline
            case Phase.WAITING:
                return self.deadline < now <= self.wait_deadline
            case Phase.JOINING:  # a draw whose tries ran out is continued
                in_time = now <= min(self.deadline, self.wait_deadline)
                return in_time and not self.exhausted and any(not seat.verifier for seat in self.seats)
        return False


@dataclass(frozen=True)
class Draw:
    """What one draw found: addresses by seat number, empty where nobody was or the seat stays."""

    ref: AuditRef
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


@dataclass(frozen=True)
class Submission:
    """Evidence that the owner handed over: its CID, None where that is none, and the round for
    which it was sealed. In a second vote over evidence that was withheld it may be of the round
    before."""

    evidence: Cid | None
    round: int


class Audits:
    """The contract Audits of one chain.

    Every call that sends raises `Reverted` where the contract refuses, by name and with its values
    and before anything is sent, and `ChainUnusable` where the account cannot pay.

    Args:
        chain: the connection; without a signer it only reads.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    # The steps of an audit

    def draw(self, ref: AuditRef, nonce: Digest = ZERO) -> Receipt:
        """Draw the seats, or go on with a draw; waits for the block after the opening block if
        needed.

        Args:
            ref: the audit.
            nonce: the asker's, within its turn; after it anyone draws without one.
        """
        if opened_block := self.chain.call("Audits", "audit", *_name(ref), block="latest")["openedBlock"]:
            self.chain.wait_beyond(opened_block)
        return self._send("draw", ref, nonce)

    def fix(self, ref: AuditRef) -> Receipt:
        """Keep the hashes that draw, while the chain can still give them, as anyone."""
        return self._send("fix", ref)

    def join(self, ref: AuditRef, seat: int, link: bytes, recipient: str) -> Receipt:
        """Take a seat as who was drawn for it, and reserve its stake.

        Args:
            ref: the audit.
            seat: its number.
            link: 26 bytes, this verifier's link to the audit's opening.
            recipient: an age recipient made for this audit, to which the evidence is sealed.
        """
        return self._send("join", ref, seat, link, recipient_bytes(recipient))

    def decline(self, ref: AuditRef, seat: int) -> Receipt:
        """Give a seat back without penalty, before joining it; somebody else is drawn at once."""
        return self._send("decline", ref, seat)

    def submit(self, ref: AuditRef, evidence: Cid) -> Receipt:
        """Hand over the evidence as the owner, sealed to the recipients of the joined seats."""
        return self._send("submit", ref, bytes(evidence))

    def commit(self, ref: AuditRef, seat: int, commitment: Digest) -> Receipt:
        """Commit to a vote, once a round; the commitment is
        `fitchain.pod.proof.audit.vote.commitment`."""
        return self._send("commit", ref, seat, commitment)

    def reveal(self, ref: AuditRef, seat: int, outcome: Outcome, trace: Digest, salt: Digest) -> Receipt:
        """Reveal the vote committed to."""
        return self._send("reveal", ref, seat, outcome, trace, salt)

    def advance(self, ref: AuditRef) -> Receipt:
        """Take the way out of a phase whose time is over, or in which nobody is left to act, as
        anyone."""
        return self._send("advance", ref)

    def release(self, ref: AuditRef, identity: Cid) -> Receipt:
        """After a Match, hand the sealed job identity to the scientist, as the owner or as a seat
        that voted for it, in its turn; the first release pays the owner.

        Once all votes are revealed it counts them itself, where they are a Match that awaits its
        key.
        """
        return self._send("release", ref, cid_out(identity))

    def complain(self, ref: AuditRef) -> Receipt:
        """Say as the scientist that what was released does not open the delivery; the seats of the
        Match then have half a window to release."""
        return self._send("complain", ref)

    def accept_release(self, ref: AuditRef) -> Receipt:
        """Say as the scientist that the delivery opened, which pays the seats and ends the release
        window."""
        return self._send("acceptRelease", ref)

    # Reads

    def read(self, ref: AuditRef, block: int | str | None = None) -> Audit:
        """An audit as it stands; phase NONE where there is none.

        Args:
            ref: the audit.
            block: number or tag; None reads at `chain.head()`.
        """
        return self.read_many([ref], block)[0]

    def read_many(self, refs: Sequence[AuditRef], block: int | str | None = None) -> list[Audit]:
        """Several audits in one round trip."""
        answers = self.chain.batch([read for ref in refs for read in audit_reads(ref, block)])
        return [audit_of(ref, answers[4 * i : 4 * i + 4]) for i, ref in enumerate(refs)]

    def verdicts(self, refs: Sequence[AuditRef]) -> list[Outcome]:
        """What several audits concluded, in few round trips; NONE where there is none."""
        kept = self.chain.call_many([("Audits", "audit", _name(ref)) for ref in refs])
        return [Outcome(audit["verdict"]) for audit in kept]

    def fixed_hashes(self, ref: AuditRef) -> tuple[Digest, Digest]:
        """The hashes of the opening block and of the last block of the asker's turn, as `fix` kept
        them; zero where it did not."""
        opened, turn = self.chain.call("Audits", "fixedHashes", *_name(ref), block="latest")
        return opened, turn

    def opened(self) -> int:
        """How many audits were opened, by the newest block: what a commitment to a chain made now
        belongs to."""
        return int(self.chain.call("Audits", "opened", block="latest"))

    def draws(self, ref: AuditRef) -> list[Draw]:
        """The draws of an audit, oldest first."""
        return [_draw(event) for event in self.events(ref) if event.name == "Drawn"]

    def opened_in(self, from_block: int | None, to_block: int, now: int) -> list[AuditRef]:
        """Audits opened in a range of blocks whose wait is not over at a time, oldest first.

        Args:
            from_block, to_block: the range; None begins with the deployment.
            now: seconds since 1970.
        """
        events = self.chain.events("Audits", "AuditOpened", from_block, to_block)
        return [
            AuditRef(event.args["id"], event.args["ordinal"]) for event in events if event.args["waitDeadline"] >= now
        ]

    def panel_numbers(self, refs: Sequence[AuditRef]) -> list[int]:
        """From which panel each of several audits draws, by its number; 0 is the pool."""
        juries = self.chain.call_many([("Agreements", "jury", _name(ref)) for ref in refs])
        return [jury["panel"] for jury in juries]

    def drawn_for(self, account: str, from_block: int | None = None, to_block: int | None = None) -> list[AuditRef]:
        """Audits for which an account was drawn, oldest first."""
        events = self.chain.events("Audits", "Drawn", from_block, to_block)
        return list(
            dict.fromkeys(
                AuditRef(event.args["id"], event.args["ordinal"]) for event in events if account in event.args["drawn"]
            )
        )

    def segment_seed(self, ref: AuditRef, events: Sequence[Event] | None = None) -> Digest | None:
        """What the audited segments are drawn by; None before they are fixed."""
        fixed = [event for event in self._events(ref, events) if event.name == "SegmentsFixed"]
        return fixed[0].args["segmentSeed"] if fixed else None

    def recipients(self, audit: Audit) -> dict[int, str]:
        """The age recipients of the joined seats, by seat number; without those that nothing can be
        sealed to."""
        joins = [event for event in self._of(audit) if event.name == "Joined"]
        posted = {event.args["verifier"]: event.args["recipient"] for event in joins}
        by_seat = {seat.number: _recipient(posted.get(seat.verifier, ZERO)) for seat in audit.joined}
        return {number: recipient for number, recipient in by_seat.items() if recipient}

    def submission(self, audit: Audit) -> Submission | None:
        """The evidence that stands for the present vote; None before there is any."""
        events = [event for event in self._of(audit) if event.name == "EvidenceSubmitted"]
        if not events or not audit.submitted:
            return None
        return Submission(cid_in(events[-1].args["evidenceCid"]), events[-1].args["round"])

    def commitment(self, audit: Audit, seat: int) -> Digest | None:
        """What a seat committed to in the present round, out of the transaction that did; None
        where it has not, or the node has forgotten that."""
        for event in self._of(audit):
            if event.name == "Committed" and (event.args["round"], event.args["seat"]) == (audit.round, seat):
                sent = self.chain.sent_args(event.transaction, "Audits", "commit")
                return None if sent is None else Digest(bytes(sent[-1]))
        return None

    def votes(self, audit: Audit, events: Sequence[Event] | None = None) -> list[Vote]:
        """Every revealed vote of every round, in the order of the chain."""
        names = ("round", "seat", "verifier", "outcome", "trace")
        revealed = [event for event in self._events(audit.ref, events) if event.name == "Revealed"]
        records = [{name: event.args[name] for name in names} for event in revealed]
        return [Vote(**record | {"outcome": Outcome(record["outcome"])}) for record in records]

    def majority(self, audit: Audit) -> Outcome:
        """What more than half of the seats have revealed alike in the present round; NONE where
        there is no such vote."""
        votes = [vote for vote in self.votes(audit) if vote.round == audit.round]
        alike = Counter((vote.outcome, vote.trace) for vote in votes).most_common(1)
        return alike[0][0][0] if alike and alike[0][1] >= audit.quorum else Outcome.NONE

    def releases(self, ref: AuditRef, events: Sequence[Event] | None = None) -> list[Release]:
        """Who released the job's identity, in the order of the chain."""
        released = [event for event in self._events(ref, events) if event.name == "Released"]
        return [Release(event.args["by"], cid_in(event.args["identityCid"])) for event in released]

    def penalties(self, ref: AuditRef) -> dict[str, int]:
        """What verifiers lost in an audit, in base units of FIT."""
        taken: Counter[str] = Counter()
        for event in self._penalised(ref, self.events(ref)):
            taken[event.args["account"]] += event.args["amount"]
        return dict(taken)

    def events(self, ref: AuditRef) -> list[Event]:
        """Every event of an audit in the order of the chain."""
        events = self.chain.events_of(["Audits"], ref.agreement)
        return [event for event in events if event.args["ordinal"] == ref.ordinal]

    def newest_event(self, ref: AuditRef) -> Event:
        """The newest event of an audit."""
        return newest(self.events(ref), f"the audit {ref.short}")

    def _penalised(self, ref: AuditRef, events: Sequence[Event]) -> list[Event]:
        """Penalties stand in the transactions in which the audit's votes were counted."""
        transactions = {event.transaction for event in events}
        blocks = [event.block for event in events if event.name != "AuditOpened"]
        if not blocks:
            return []
        penalised = self.chain.events("Verifiers", "Penalised", min(blocks), max(blocks))
        return [event for event in penalised if event.transaction in transactions]

    def _events(self, ref: AuditRef, events: Sequence[Event] | None) -> Sequence[Event]:
        """Of all events of an agreement those of one of its audits."""
        if events is None:
            return self.events(ref)
        return [event for event in events if event.contract == "Audits" and event.args["ordinal"] == ref.ordinal]

    def _of(self, audit: Audit) -> list[Event]:
        """The events of an audit that is known to be there."""
        if not audit.opened_block:
            return []
        events = self.chain.events_of(["Audits"], audit.id, audit.opened_block)
        return [event for event in events if event.args["ordinal"] == audit.ref.ordinal]

    def _send(self, function: str, ref: AuditRef, *args: Any) -> Receipt:
        return self.chain.send("Audits", function, *_name(ref), *args)


def _name(ref: AuditRef) -> tuple[AgreementId, int]:
    """An audit as the contract's calls take it."""
    return ref.agreement, ref.ordinal


def audit_reads(ref: AuditRef, block: int | str | None = None) -> list[ReadCall]:
    """What `audit_of` needs to be read.

    Args:
        ref: the audit.
        block: number or tag; None reads it at the head.
    """
    names = (("Audits", "audit"), ("Audits", "seated"), ("Audits", "seats"), ("Agreements", "jury"))
    return [ReadCall(contract, function, _name(ref), block) for contract, function in names]


def audit_of(ref: AuditRef, answers: Sequence[Any]) -> Audit:
    """An audit from what was read of it; phase NONE where there is none."""
    kept, accounts, state, jury = answers
    return Audit(
        ref=ref,
        phase=Phase(kept["phase"]),
        kind=AuditKind(kept["kind"]),
        verdict=Outcome(kept["verdict"]),
        round=kept["round"],
        window=kept["window"],
        deadline=kept["deadline"],
        wait_deadline=kept["waitDeadline"],
        opened_block=kept["openedBlock"],
        opening=kept["opening"],
        audited=kept["audited"],
        fee_per_seat=kept["feePerSeat"],
        seat_stake=kept["seatStake"],
        seed=kept["seed"],
        withheld_before=kept["withheldBefore"],
        segments_fixed=kept["segmentsFixed"],
        complained=kept["complained"],
        submitted=kept["submitted"],
        exhausted=state[0] >> BACK_SHIFT >= jury["places"],
        seats=tuple(_seat(number, account, kept) for number, account in enumerate(accounts)),
    )


def _seat(number: int, account: str, kept: dict[str, Any]) -> Seat:
    bits = [bool(kept[name] >> number & 1) for name in ("joined", "committed", "revealed", "released")]
    return Seat(number, _somebody(account), *bits)


def _draw(event: Event) -> Draw:
    args = event.args
    ref = AuditRef(args["id"], args["ordinal"])
    return Draw(ref, args["round"], args["seed"], tuple(map(_somebody, args["drawn"])), event.block)


def _somebody(account: str) -> str:
    return "" if account == NOBODY else account


def _recipient(key: Digest) -> str:
    """The recipient of a key that a stranger posted; empty where nothing can be sealed to it."""
    try:
        return recipient_from_bytes(bytes(key))
    except InputRefused:
        return ""
