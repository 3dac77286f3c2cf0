"""Payouts: who gets what of the money that an agreement or an audit has locked, once for the
command line, the documents and the contracts' tests.

The scientist locks the price, with verifiers also their fees, and with a dispute a counter-bond;
the owner its bond; whoever asks for another audit its fees. The money itself moves by
contracts/libraries/Payouts.sol; tests/contracts/payouts.json holds what this table says for amounts
that leave odd halves, and tests/contracts/Payouts.t.sol compares the library with it. What a seat
loses of its stake stands beside: SLASHED_BY and ABSENCE_PART.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from fitchain.pod.ports.agreement import Audit, AuditKind, AuditTerms, Outcome, Terms
from fitchain.pod.values.errors import InputRefused

SLASHED_BY = frozenset({Outcome.MATCH, Outcome.MISMATCH})
"""The verdicts that cost a seat its whole reserved stake which voted Match or Mismatch otherwise:
another outcome, or the same with another trace."""

ABSENCE_PART = 10
"""A seat that joined and was absent, or voted Inconclusive, loses one part in so many of it."""


class Goes(Enum):
    """Where a locked amount goes."""

    OWNER = "to the owner"
    SCIENTIST = "back to the scientist"
    HALVED = "half to the owner, half back to the scientist"
    HALF_TO_SCIENTIST = "half to the scientist, half burned"
    HALF_TO_OWNER = "half to the owner, half burned"

    def shares(self, amount: int) -> tuple[int, int, int]:
        """An amount as (owner's, scientist's, burned): half of an odd one, where it goes to one
        side, is rounded down, and so is the owner's half of a price."""
        half = amount // 2
        return {
            Goes.OWNER: (amount, 0, 0),
            Goes.SCIENTIST: (0, amount, 0),
            Goes.HALVED: (half, amount - half, 0),
            Goes.HALF_TO_SCIENTIST: (0, half, amount - half),
            Goes.HALF_TO_OWNER: (half, 0, amount - half),
        }[self]


@dataclass(frozen=True)
class Escrow:
    """What is locked, in base units of FIT.

    Args:
        price: what is due if nothing is held against the owner: after a divergence less than
            agreed.
        bond: the owner's.
        seats: m, seats whose fees are locked; 0 where none are.
        fee: f, of a seat.
        counter_bond: a dispute's.
    """

    price: int = 0
    bond: int = 0
    seats: int = 0
    fee: int = 0
    counter_bond: int = 0

    @property
    def fees(self) -> int:
        """Of all seats."""
        return self.seats * self.fee

    @property
    def whole(self) -> int:
        """All of it."""
        return self.price + self.bond + self.fees + self.counter_bond

    @classmethod
    def of_job(cls, terms: Terms, steps_done: int | None = None, disputed: bool = False) -> Escrow:
        """What a job has locked from its end on.

        Args:
            terms: as agreed.
            steps_done: steps that the run proves; None for all.
            disputed: whether the scientist disputes, which locks fees and counter-bond.
        """
        audit = terms.audit
        due = terms.price if steps_done is None else terms.price * steps_done // terms.steps
        seats = audit.dispute_verifiers if disputed else audit.verifiers
        return cls(due, terms.bond, seats, audit.fee_per_seat, audit.counter_bond if disputed else 0)

    @classmethod
    def of_another_audit(cls, terms: AuditTerms) -> Escrow:
        """What whoever asks for another audit has locked."""
        return cls(seats=terms.verifiers, fee=terms.fee_per_seat)


@dataclass(frozen=True)
class Amounts:
    """FIT in base units: what each side has, the seats together, and what is burned. Of another
    audit the asker stands in the scientist's place."""

    owner: int
    scientist: int
    verifiers: int
    burned: int


@dataclass(frozen=True)
class Payout:
    """One row of the table.

    Args:
        price: where it goes.
        bond: where it goes.
        counter_bond: where that of a dispute goes.
        paid: the vote whose seats have a fee; None where nobody has one.
        fees_from_bond: whether these fees are taken out of the bond, before it is divided; else out
            of the locked fees. What is left of these goes back to whoever locked them.
        awaits_key: whether the seats are paid at the end of a release window: after a complaint
            only those that released the job's identity, and the others' fees are burned.
    """

    price: Goes
    bond: Goes
    counter_bond: Goes
    paid: Outcome | None = None
    fees_from_bond: bool = False
    awaits_key: bool = False

    def amounts(self, escrow: Escrow, paid: int = 0, voted: int | None = None) -> Amounts:
        """What everybody has of what was locked.

        Args:
            escrow: what was.
            paid: p, seats that have a fee.
            voted: v, seats whose vote was the verdict, where that is more; None for `paid`.

        Raises:
            InputRefused: p <= v <= m does not hold, or somebody is paid where nobody is.
        """
        voted = paid if voted is None else voted
        if not 0 <= paid <= voted or voted > escrow.seats or (paid and self.paid is None):
            raise InputRefused(f"{paid} of {voted} seats cannot be paid of {escrow.seats}", "give p <= v <= m")
        earned, lost = paid * escrow.fee, (voted - paid) * escrow.fee
        from_bond, from_fees = (earned, 0) if self.fees_from_bond else (0, earned + lost)
        shares = [
            self.price.shares(escrow.price),
            self.bond.shares(escrow.bond - from_bond),
            self.counter_bond.shares(escrow.counter_bond),
            (0, escrow.fees - from_fees, 0 if self.fees_from_bond else lost),
        ]
        owner, scientist, burned = (sum(column) for column in zip(*shares, strict=True))
        return Amounts(owner, scientist, earned, burned)

    def cells(self, kind: AuditKind) -> tuple[str, ...]:
        """The row in words: price, bond, the seats' fees, in a dispute the counter-bond; of another
        audit the fees alone."""
        if kind is AuditKind.AGAIN:
            return (self._fees("the asker"),)
        whose = {Goes.OWNER: "the owner's"}.get(self.price, self.price.value)
        price = f"{whose}{', with the first release of the key' if self.awaits_key else ''}"
        first = "the seats' fees first, then " if self.fees_from_bond else ""
        bond = f"back{' with it' if self.awaits_key else ''}" if self.bond is Goes.OWNER else f"lost: {first}"
        bond += "" if self.bond is Goes.OWNER else self.bond.value
        counter = "back" if self.counter_bond is Goes.SCIENTIST else f"lost: {self.counter_bond.value}"
        cells = (price, bond, self._fees("the scientist"))
        return (*cells, counter) if kind is AuditKind.DISPUTE else cells

    def _fees(self, payer: str) -> str:
        """Who has a fee, and what becomes of the others."""
        if self.paid is None:
            return f"nobody; the fees back to {payer}"
        source, rest = (", from the bond", "fees") if self.fees_from_bond else ("", "rest")
        return f"a fee each who voted {self.paid.name.capitalize()}{source}; the {rest} back to {payer}"


_CAUGHT = (Goes.SCIENTIST, Goes.HALF_TO_SCIENTIST, Goes.SCIENTIST)
_MISMATCH = Payout(*_CAUGHT, paid=Outcome.MISMATCH, fees_from_bond=True)
_WITHHELD = Payout(*_CAUGHT)

AUDITED: Mapping[Outcome, Payout] = MappingProxyType(
    {
        Outcome.MATCH: Payout(Goes.OWNER, Goes.OWNER, Goes.HALF_TO_OWNER, paid=Outcome.MATCH, awaits_key=True),
        Outcome.MISMATCH: _MISMATCH,
        Outcome.WITHHELD: _WITHHELD,
        Outcome.INCONCLUSIVE: Payout(Goes.SCIENTIST, Goes.OWNER, Goes.SCIENTIST),
    }
)
"""By the verdict of an agreed audit."""

DISPUTED: Mapping[Outcome, Payout] = MappingProxyType(
    {
        **AUDITED,
        # The model is out and nobody has won: emptying a jury gains half a price at most.
        Outcome.INCONCLUSIVE: Payout(Goes.HALVED, Goes.OWNER, Goes.SCIENTIST),
    }
)
"""By the verdict of a dispute about a run without agreed verifiers."""

AGAIN: Mapping[Outcome, Payout] = MappingProxyType(
    {
        Outcome.MATCH: Payout(Goes.OWNER, Goes.OWNER, Goes.SCIENTIST, paid=Outcome.MATCH),
        Outcome.MISMATCH: Payout(Goes.OWNER, Goes.OWNER, Goes.SCIENTIST, paid=Outcome.MISMATCH),
        Outcome.WITHHELD: Payout(Goes.OWNER, Goes.OWNER, Goes.SCIENTIST),
        Outcome.INCONCLUSIVE: Payout(Goes.OWNER, Goes.OWNER, Goes.SCIENTIST),
    }
)
"""By the verdict of an audit that somebody asked for later: its fees, and nothing of the first
audit's."""

ANSWERED = Payout(Goes.OWNER, Goes.OWNER, Goes.SCIENTIST, paid=Outcome.MATCH, awaits_key=True)
"""A dispute's Match where the scientist had complained before it, and a seat released the job's
identity: the counter-bond goes back."""

KEY_WITHHELD = Payout(*_CAUGHT, paid=Outcome.MATCH)
"""A Match whose key nobody releases in time: the verdict becomes Withheld."""

DEADLINE_MISSED = _WITHHELD
"""No run ended in time, or one diverged before its first anchored group where nobody could dispute
that."""

UNDISPUTED = Payout(Goes.OWNER, Goes.OWNER, Goes.SCIENTIST)
"""A run without verifiers that nobody disputed."""

GIVEN_BACK = Payout(Goes.SCIENTIST, Goes.OWNER, Goes.SCIENTIST)
"""A request that was declined, or that nobody answered."""


def payouts(kind: AuditKind) -> Mapping[Outcome, Payout]:
    """The table of an audit of this kind."""
    return {AuditKind.FIRST: AUDITED, AuditKind.DISPUTE: DISPUTED, AuditKind.AGAIN: AGAIN}[kind]


def payout_of(audit: Audit, votes: Sequence[Outcome]) -> Payout:
    """The row by which an audit with a verdict is paid.

    Args:
        audit: as the chain has it.
        votes: revealed in its last round.
    """
    matched = votes.count(Outcome.MATCH) >= audit.quorum
    if audit.verdict is Outcome.WITHHELD and matched and audit.kind is not AuditKind.AGAIN:
        return KEY_WITHHELD
    return payouts(audit.kind)[audit.verdict]


def sentence(payout: Payout, kind: AuditKind) -> str:
    """Who gets what, in one line for people."""
    return "; ".join(f"{title} {cell}" for title, cell in zip(TITLES[kind], payout.cells(kind), strict=True))


TITLES = {
    AuditKind.FIRST: ("price", "bond", "verifiers"),
    AuditKind.DISPUTE: ("price", "bond", "verifiers", "counter-bond"),
    AuditKind.AGAIN: ("verifiers",),
}


def markdown(kind: AuditKind) -> str:
    """The table as the documents show it; verdicts that pay alike share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for verdict, payout in payouts(kind).items():
        rows.setdefault(payout.cells(kind), []).append(verdict.name.capitalize())
    if kind is not AuditKind.AGAIN:
        rows.setdefault(KEY_WITHHELD.cells(kind), []).append("Match, key not released")
    if kind is AuditKind.DISPUTE:
        rows[ANSWERED.cells(kind)] = ["Match, an earlier complaint answered"]
    lines = [_line(("verdict", *TITLES[kind])), "|" + "---|" * (1 + len(TITLES[kind]))]
    return "\n".join(lines + [_line((", ".join(verdicts), *cells)) for cells, verdicts in rows.items()]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
