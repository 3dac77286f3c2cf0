"""Payouts: who gets what by an audit's verdict, once for the command line, the documents and the
contracts' tests.

The scientist locks the price and the verifiers' fee, and with a dispute a counter-bond; the owner
its bond. The money itself moves in contracts/Agreements.sol (`concludeAudit`, `settleAudited`,
`forfeitAudited`) and contracts/Audits.sol (`_tally`, `_conclude`); tests/contracts/Payouts.t.sol
plays every row of this table against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from fitchain.pod.ports.agreement import Audit, AuditTerms, Outcome, Terms


class Goes(Enum):
    """Where a locked amount goes."""

    OWNER = "to the owner"
    SCIENTIST = "to the scientist"
    HALF_TO_SCIENTIST = "half to the scientist, half burned"
    HALF_TO_OWNER = "half to the owner, half burned"


@dataclass(frozen=True)
class Amounts:
    """FIT in base units: what each side has, the verifiers' fees together, and what is burned."""

    owner: int
    scientist: int
    verifiers: int
    burned: int


@dataclass(frozen=True)
class Payout:
    """One row of the table.

    Args:
        price: where it goes; to the owner only for the steps that the run proves, the rest to the
            scientist.
        bond: where it goes.
        counter_bond: where that of a dispute goes.
        fees_from_bond: whether the paid seats' fees are taken out of the bond; else out of the
            scientist's fee, and the scientist has the rest of that back.
        paid: votes whose seats have a fee: replays that are not against the verdict; NONE stands
            for whoever joined.
        slashed: votes whose seats lose their stake, which is burned: replays that are.
        awaits_key: whether the owner has to release the model's key first.
    """

    price: Goes
    bond: Goes
    counter_bond: Goes
    fees_from_bond: bool
    paid: frozenset[Outcome]
    slashed: frozenset[Outcome] = frozenset()
    awaits_key: bool = False

    def amounts(self, terms: Terms, steps_done: int, paid_seats: int) -> Amounts:
        """What everybody has of what an agreement locked.

        Args:
            terms: as agreed; those without verifiers are taken to be disputed.
            steps_done: steps that the run proves.
            paid_seats: how many seats have a fee.
        """
        audit = terms.audit
        fees = paid_seats * fee_per_seat(audit)
        due = terms.price * steps_done // terms.steps if self.price is Goes.OWNER else 0
        counter_bond = 0 if audit.verifiers else audit.counter_bond
        rest = terms.bond - fees if self.fees_from_bond else terms.bond
        shares = [_shares(self.bond, rest), _shares(self.counter_bond, counter_bond), (due, terms.price - due, 0)]
        shares.append((0, audit.fee if self.fees_from_bond else audit.fee - fees, 0))
        owner, scientist, burned = (sum(column) for column in zip(*shares, strict=True))
        return Amounts(owner, scientist, fees, burned)

    def cells(self, disputed: bool) -> tuple[str, ...]:
        """The row in words: price, bond, the verifiers' fees, in a dispute the counter-bond."""
        price = "the owner's" if self.price is Goes.OWNER else "back to the scientist"
        price += ", once it has released the model's key" if self.awaits_key else ""
        lost = f"lost: {'fees first, then ' if self.fees_from_bond else ''}{self.bond.value}"
        bond = "back" if self.bond is Goes.OWNER else lost
        votes = " or ".join(vote.name.capitalize() for vote in sorted(self.paid))
        fees = "a fee each who joined" if Outcome.NONE in self.paid else f"a fee each who voted {votes}"
        fees += ", from the bond" if self.fees_from_bond else ""
        counter = "back" if self.counter_bond is Goes.SCIENTIST else f"lost: {self.counter_bond.value}"
        return (price, bond, fees, counter) if disputed else (price, bond, fees)


def fee_per_seat(audit: AuditTerms) -> int:
    """What one paid seat has, in base units; what does not divide stays with the scientist."""
    return audit.fee // audit.seats if audit.seats else 0


_MATCHED = frozenset({Outcome.MATCH})
_DIFFERED = frozenset({Outcome.MISMATCH})
_CAUGHT = (Goes.SCIENTIST, Goes.HALF_TO_SCIENTIST, Goes.SCIENTIST, True)
_ACQUITTED = (Goes.OWNER, Goes.OWNER, Goes.HALF_TO_OWNER, False)

AUDITED: Mapping[Outcome, Payout] = MappingProxyType(
    {
        Outcome.MATCH: Payout(*_ACQUITTED, _MATCHED, _DIFFERED, awaits_key=True),
        Outcome.MISMATCH: Payout(*_CAUGHT, _DIFFERED, _MATCHED),
        Outcome.WITHHELD: Payout(*_CAUGHT, _DIFFERED),
        Outcome.INCONCLUSIVE: Payout(Goes.SCIENTIST, Goes.OWNER, Goes.SCIENTIST, False, _MATCHED | _DIFFERED),
    }
)
"""By the verdict of an agreed audit."""

DISPUTED: Mapping[Outcome, Payout] = MappingProxyType(
    {
        Outcome.MATCH: Payout(*_ACQUITTED, _MATCHED, _DIFFERED),
        Outcome.MISMATCH: AUDITED[Outcome.MISMATCH],
        Outcome.WITHHELD: AUDITED[Outcome.WITHHELD],
        # The model is out already, so without verdict the run counts as undisputed.
        Outcome.INCONCLUSIVE: Payout(Goes.OWNER, Goes.OWNER, Goes.SCIENTIST, False, _MATCHED | _DIFFERED),
    }
)
"""By the verdict of a dispute about a run without agreed verifiers."""

EVIDENCE_WITHHELD = Payout(*_CAUGHT, frozenset({Outcome.NONE}))
"""Withheld because the owner gave no evidence, so that nobody could vote; of an audit and of a
dispute."""

KEY_WITHHELD = Payout(Goes.SCIENTIST, Goes.HALF_TO_SCIENTIST, Goes.SCIENTIST, False, _MATCHED, _DIFFERED)
"""A Match whose key is not released in time: the verdict becomes Withheld, when the fees are paid
already."""


def payouts(disputed: bool) -> Mapping[Outcome, Payout]:
    """The table of a dispute or of an agreed audit."""
    return DISPUTED if disputed else AUDITED


def payout_of(audit: Audit, votes: Sequence[Outcome]) -> Payout:
    """The row by which an audit with a verdict is paid.

    Args:
        audit: as the chain has it.
        votes: revealed in its last round.
    """
    if audit.verdict is Outcome.WITHHELD and not votes:
        return EVIDENCE_WITHHELD
    if audit.verdict is Outcome.WITHHELD and votes.count(Outcome.MATCH) >= audit.quorum:
        return KEY_WITHHELD
    return payouts(audit.disputed)[audit.verdict]


def sentence(payout: Payout, disputed: bool) -> str:
    """Who gets what, in one line for people."""
    titles = ("price", "bond", "verifiers", "counter-bond")
    return "; ".join(f"{title} {cell}" for title, cell in zip(titles, payout.cells(disputed), strict=False))


def markdown(disputed: bool) -> str:
    """The table as the documents show it; verdicts that pay alike share a row."""
    titles = ("verdict", "price", "bond", "verifiers", "counter-bond")[: 5 if disputed else 4]
    rows: dict[tuple[str, ...], list[str]] = {}
    for verdict, payout in payouts(disputed).items():
        rows.setdefault(payout.cells(disputed), []).append(verdict.name.capitalize())
    rows[EVIDENCE_WITHHELD.cells(disputed)] = ["Withheld, no evidence given"]
    if not disputed:
        rows[KEY_WITHHELD.cells(disputed)] = ["Match, key not released"]
    lines = [_line(titles), "|" + "---|" * len(titles)]
    return "\n".join(lines + [_line((", ".join(verdicts), *cells)) for cells, verdicts in rows.items()]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shares(goes: Goes, amount: int) -> tuple[int, int, int]:
    """An amount as (owner's, scientist's, burned); of an odd one the larger half is burned."""
    half = amount // 2
    return {
        Goes.OWNER: (amount, 0, 0),
        Goes.SCIENTIST: (0, amount, 0),
        Goes.HALF_TO_SCIENTIST: (0, half, amount - half),
        Goes.HALF_TO_OWNER: (half, 0, amount - half),
    }[goes]
