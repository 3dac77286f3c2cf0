"""The juries of a run's audits as a checker sees them: who could be drawn, who sits there and how
each voted, by the chain; and whom of them the checker names.

That a seat voted Match is what the chain knows. Whether anybody trained anything again for it, no
chain knows: what a verdict is worth rests on who the seats are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitchain.pod.ports.agreement import AgreementHistory, Audit, AuditKind, Outcome, Seat
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.chain.reading import Reading
from fitchain.pod.ports.chain.reads import ReadCall
from fitchain.pod.ports.registry import PanelRecord, panel_reads, panel_record_of
from fitchain.pod.ports.trust import Trusted
from fitchain.pod.ports.verifiers import PAGE
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.ids import WHOLE_POOL, AuditRef, PanelId

MOST_ACCOUNTS = 40
"""Verifiers whose present stake is read; of others what they put at stake in the seat is known."""
MOST_PLACES = 2 * PAGE
"""Places of the pool whose stakes are added up at most: what the others hold makes it only more."""
SPARE_PLACES = 20
"""So many more are looked at than twice those that would hold what is asked for."""
VERDICTS = (Outcome.MATCH, Outcome.MISMATCH, Outcome.WITHHELD)


@dataclass(frozen=True)
class JurySeat:
    """A seat of an audit's last round.

    Args:
        number: from 0.
        account: who sits there; empty where nobody was found.
        vote: what it revealed; NONE where it revealed nothing.
        trace: of the vote; zero without one.
        stake: FIT in base units that it has staked now, in whatever seats; None where that was not
            read.
        trusted: whether the checker names it.
    """

    number: int
    account: str
    vote: Outcome
    trace: Digest
    stake: int | None
    trusted: bool


@dataclass(frozen=True)
class Jury:
    """Who was drawn for an audit, from whom, and what they voted.

    Args:
        ref: the audit.
        kind: who opened it.
        asker: who asked for the draw: the scientist, or who had it audited again.
        verdict: NONE until there is one.
        block: of the verdict; None before.
        phase: where it stands, in words.
        round: of the last vote, from 0.
        mode: what of the data the seats saw.
        audited: segments that it looked at.
        panel: None where the whole pool was drawn from.
        opened_size: members of the panel, or accounts in the pool, when the audit was agreed or
            asked for: who stood then could be drawn.
        size: the same now.
        seats: of the last round, by number; nobody sits there before the draw.
        joined: accounts that took a seat of the last round.
        quorum: equal votes that are a verdict.
        seat_stake, fee_per_seat: FIT in base units.
        owner, scientist: the parties.
        requested: when it was agreed or asked for, in seconds since 1970.
        pool_stake: FIT in base units behind the pool when the audit was agreed or asked for, as far
            as it was added up; None where a panel was drawn from, nobody asked, or the node cannot
            tell.
        pool_counted: over how many of the pool's places it was added up.
        pool_enough: whether that is as much as the checker asks for.
    """

    ref: AuditRef
    kind: AuditKind
    asker: str
    verdict: Outcome
    block: int | None
    phase: str
    round: int
    mode: AuditMode
    audited: int
    panel: PanelRecord | None
    opened_size: int
    size: int
    seats: tuple[JurySeat, ...]
    joined: frozenset[str]
    quorum: int
    seat_stake: int
    fee_per_seat: int
    owner: str
    scientist: str
    requested: int
    pool_stake: int | None = None
    pool_counted: int = 0
    pool_enough: bool = False

    @property
    def agreed(self) -> bool:
        """Whether both parties agreed to it in their terms; the others were asked for later."""
        return self.kind is not AuditKind.AGAIN

    @property
    def voices(self) -> tuple[JurySeat, ...]:
        """The seats whose votes are the verdict.

        A Match or Mismatch is of those who voted it with one trace, of which the most count. A
        Withheld is of those who voted it or Mismatch; where nobody could vote, because the owner
        showed nothing, of all who had joined.
        """
        if self.verdict is Outcome.WITHHELD:
            against = [seat for seat in self.seats if seat.vote in (Outcome.WITHHELD, Outcome.MISMATCH)]
            return tuple(against or (seat for seat in self.seats if seat.account in self.joined))
        if self.verdict not in VERDICTS:
            return ()
        votes = [(seat.vote, seat.trace) for seat in self.seats if seat.vote is self.verdict]
        most = max(votes, key=votes.count, default=None)
        return tuple(seat for seat in self.seats if (seat.vote, seat.trace) == most)

    @property
    def trusted_voices(self) -> int:
        """Of these, seats that the checker names."""
        return sum(seat.trusted for seat in self.voices)

    @property
    def trusted(self) -> bool:
        """Whether the checker relies on its verdict: a quorum of all drawn seats is of its trust
        list, or they were drawn from a pool with as much stake as it asks for."""
        return self.trusted_voices >= self.quorum or (self.pool_enough and len(self.voices) >= self.quorum)

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


def juries_reading(
    chain: Chain, history: AgreementHistory, trusted: Trusted, open_stake: int | None = None
) -> Reading[tuple[Jury, ...]]:
    """Read who was drawn for each of an agreement's audits.

    Args:
        chain: connected by the checker's own settings; nothing is asked of it here.
        history: the agreement's; it holds the votes.
        trusted: whom the checker names.
        open_stake: FIT in base units that a pool must have had staked to be relied on; None asks
            for nothing, and no pool is weighed.

    Returns:
        the juries, by the ordinals of their audits.
    """
    height, audits = history.seen_at.number, history.audits
    panels = list(dict.fromkeys(_panel_of(history, audit) for audit in audits))
    numbers = {_panel_of(history, audit): history.panels[audit.ref.ordinal] for audit in audits}
    accounts = list(dict.fromkeys(seat.verifier for audit in audits for seat in audit.seats if seat.verifier))
    accounts = accounts[:MOST_ACCOUNTS]
    pools = [audit for audit in audits if open_stake is not None and _weighs_pool(history, audit)]
    pages = {audit.ref: _places_reads(history, audit) for audit in pools}
    answers = yield [
        *(read for panel in panels for read in panel_reads(panel, height)),
        *(ReadCall("Verifiers", "placesOf", (numbers[panel],), height) for panel in panels),
        *(ReadCall("Verifiers", "verifier", (account,), height) for account in accounts),
        ReadCall("Verifiers", "poolStake", (), height),
        *(read for reads in pages.values() for read in reads),
    ]
    rest = iter(answers)
    records = {panel: panel_record_of(panel, next(rest), next(rest)) for panel in panels}
    sizes = {panel: int(next(rest)["length"]) for panel in panels}
    stakes = {account: int(next(rest)["stake"]) for account in accounts}
    place_stake = int(next(rest))
    members = {ref: _accounts([next(rest) for _ in reads]) for ref, reads in pages.items()}
    # A place costs a fixed stake, of which its holder may have lost some since.
    weighed = yield from _pools_reading(history, members, 2 * (open_stake or 0) // place_stake + SPARE_PLACES)
    return tuple(
        _jury(
            history,
            audit,
            trusted,
            (records[_panel_of(history, audit)], sizes[_panel_of(history, audit)]),
            stakes,
            (*weighed.get(audit.ref, (None, 0)), open_stake),
        )
        for audit in audits
    )


def _pools_reading(
    history: AgreementHistory, members: Mapping[AuditRef, Sequence[str] | None], places: int
) -> Reading[dict[AuditRef, tuple[int | None, int]]]:
    """What stood behind pools.

    Parties are left out, whom nobody draws. A sum over some of the places is less than the whole,
    so a pool is never believed to have held more than it did.

    Args:
        history: the agreement's.
        members: by the audit who held the pool's first places when it was agreed or asked for; None
            where the node no longer keeps that.
        places: how many of them are looked at.

    Returns:
        by the audit the FIT in base units and over how many places it was added up; None where the
        node no longer keeps it.
    """
    counted: dict[AuditRef, list[str]] = {}
    reads: list[ReadCall] = []
    for audit in history.audits:
        if (accounts := members.get(audit.ref)) is not None:
            apart = {history.agreement.terms.owner, history.agreement.scientist, _asker(history, audit)}
            counted[audit.ref] = [account for account in accounts if account not in apart][:places]
            block = _requested_block(history, audit) - 1
            reads += [ReadCall("Verifiers", "verifier", (each,), block, optional=True) for each in counted[audit.ref]]
    answers = iter((yield reads))
    weighed: dict[AuditRef, tuple[int | None, int]] = {}
    for ref, accounts in counted.items():
        kept = [next(answers) for _ in accounts]
        weighed[ref] = (None, 0) if None in kept else (sum(each["stake"] for each in kept), len(kept))
    return weighed


def _jury(
    history: AgreementHistory,
    audit: Audit,
    trusted: Trusted,
    panel: tuple[PanelRecord | None, int],
    stakes: Mapping[str, int],
    pool: tuple[int | None, int, int | None],
) -> Jury:
    question, terms = history.question(audit.ref), history.terms_of(audit)
    concluded, events = history.concluded(audit), history.events_of(audit)
    votes = {
        event.args["seat"]: event.args
        for event in events
        if event.name == "Revealed" and event.args["round"] == audit.round
    }
    took = frozenset(event.args["verifier"] for event in events if event.name == "Joined")
    pool_stake, counted, wanted = pool
    return Jury(
        ref=audit.ref,
        kind=audit.kind,
        asker=_asker(history, audit),
        verdict=audit.verdict,
        block=concluded.block if concluded else None,
        phase=audit.phase.name.lower(),
        round=audit.round,
        mode=terms.mode,
        audited=audit.audited,
        panel=panel[0],
        opened_size=question.places if question else history.agreement.places,
        size=panel[1],
        seats=tuple(_seat(seat, votes.get(seat.number), stakes, trusted, terms.panel) for seat in audit.seats),
        joined=took,
        quorum=audit.quorum,
        seat_stake=audit.seat_stake,
        fee_per_seat=audit.fee_per_seat,
        owner=history.agreement.terms.owner,
        scientist=history.agreement.scientist,
        requested=history.blocks[_requested_block(history, audit)].timestamp,
        pool_stake=pool_stake,
        pool_counted=counted,
        pool_enough=pool_stake is not None and wanted is not None and pool_stake >= wanted,
    )


def _seat(
    seat: Seat, vote: Mapping[str, Any] | None, stakes: Mapping[str, int], trusted: Trusted, panel: PanelId
) -> JurySeat:
    account = vote["verifier"] if vote else seat.verifier
    return JurySeat(
        number=seat.number,
        account=account,
        vote=Outcome(vote["outcome"]) if vote else Outcome.NONE,
        trace=vote["trace"] if vote else ZERO,
        stake=stakes.get(account),
        trusted=bool(account) and trusted.names(panel, account),
    )


def _panel_of(history: AgreementHistory, audit: Audit) -> PanelId:
    return history.terms_of(audit).panel


def _asker(history: AgreementHistory, audit: Audit) -> str:
    question = history.question(audit.ref)
    return question.asker if question else history.agreement.scientist


def _requested_block(history: AgreementHistory, audit: Audit) -> int:
    """The block in which an audit was agreed or asked for: who stood before it could be drawn."""
    question = history.question(audit.ref)
    return question.requested_block if question else history.agreement.requested_block


def _weighs_pool(history: AgreementHistory, audit: Audit) -> bool:
    """Whether a pool is weighed for an audit: elsewhere than in mode `open` a seat counts by its
    name alone, since only there everybody may have the records."""
    terms = history.terms_of(audit)
    return terms.panel == WHOLE_POOL and terms.mode is AuditMode.OPEN and audit.verdict in VERDICTS


def _places_reads(history: AgreementHistory, audit: Audit) -> list[ReadCall]:
    """The pool's first places as they stood for an audit."""
    question = history.question(audit.ref)
    places = min(question.places if question else history.agreement.places, MOST_PLACES)
    block = _requested_block(history, audit) - 1
    pages = [(first, min(PAGE, places - first)) for first in range(0, places, PAGE)]
    return [ReadCall("Verifiers", "members", (0, *page), block, optional=True) for page in pages]


def _accounts(pages: Sequence[Any]) -> list[str] | None:
    """Who holds the places of some pages; None where one of them is not there any more."""
    return None if None in pages else [account for accounts, _ in pages for account in accounts]
