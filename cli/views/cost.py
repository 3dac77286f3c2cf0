"""What an audit would find and cost, told: `fitchain proof cost`, and beside every request.

The numbers are `fitchain.pod.proof.audit.cost`'s; here they become text. Both parties see them before they sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from fitchain.cli.views.amounts import counted, format_fit
from fitchain.cli.views.output import Facts, Rows, View
from fitchain.pod.proof.audit.cost import ANSWERED, SHARES, Sampling, draws_needed
from fitchain.pod.values.errors import InputRefused

if TYPE_CHECKING:
    from pathlib import Path

    from fitchain.pod.jobs.home import Home
    from fitchain.pod.ports.agreement import Agreement, Terms
    from fitchain.pod.values.recipe import Recipe

ALWAYS = 2  # segments that are audited in any case: the first and the last
TOLD = (Fraction(1, 10), Fraction(95, 100))
"""f and P of a request that names no q: so much, so likely."""


@dataclass(frozen=True)
class Plan:
    """What is about to be agreed on.

    Args:
        steps, segment: T and k.
        wanted: q.
        seats: verifiers of the audit, or of a dispute where there is none.
        disputed: whether there is an audit only if the scientist disputes.
        price, fee, bond: in base units; a bond of None is not fixed yet.
        batch_size: records of a step; None where it is not known here.
        records: how many the training may read; None likewise.
    """

    steps: int
    segment: int
    wanted: int
    seats: int
    disputed: bool
    price: int
    fee: int
    bond: int | None
    batch_size: int | None = None
    records: int | None = None

    @classmethod
    def of(cls, terms: Terms, recipe: Recipe | None = None) -> Plan:
        """The plan of an agreement's terms; the recipe tells how many records are disclosed."""
        audit = terms.audit
        size, rows = (recipe.batch_size, recipe.rows[1] - recipe.rows[0]) if recipe else (None, None)
        seats, disputed = audit.seats, not audit.verifiers
        money = (terms.price, audit.fee, terms.bond)
        return cls(terms.steps, terms.segment, audit.segments, seats, disputed, *money, size, rows)

    @property
    def sampling(self) -> Sampling:
        """What is drawn of the training."""
        return Sampling.of(self.steps, self.segment, self.wanted)

    @property
    def bond_needed(self) -> int | None:
        """The bond with which faking pays nobody; None where no bond is enough."""
        return self.sampling.bond_needed(self.price, self.fee)

    @property
    def disclosed(self) -> int | None:
        """Records that the verifiers see at most; None where it is not known here."""
        if self.batch_size is None or self.records is None:
            return None
        return self.sampling.disclosed(self.segment, self.batch_size, self.records)


def values(plan: Plan, wanted: Fraction = TOLD[1]) -> dict[str, Any]:
    """The JSON form of what an audit finds and costs.

    Args:
        plan: what is agreed.
        wanted: the chance of detection for which the draws needed are told.
    """
    sampling, needed = plan.sampling, plan.bond_needed
    return {
        "steps": plan.steps,
        "segments": sampling.segments,
        "drawn": sampling.drawn,
        "audited": sampling.audited,
        "verifiers": plan.seats,
        "only_if_disputed": plan.disputed,
        "price": format_fit(plan.price),
        "fee": format_fit(plan.fee),
        "bond": None if plan.bond is None else format_fit(plan.bond),
        "bond_needed": None if needed is None else format_fit(needed),
        "bond_enough": None if plan.bond is None else needed is not None and plan.bond >= needed,
        "answered": float(ANSWERED),
        "work_per_verifier": float(sampling.work),
        "work": float(sampling.work * plan.seats),
        "records_disclosed": plan.disclosed,
        "records": plan.records,
        "wanted": float(wanted),
        "detection": [_detection(plan, share, wanted) for share in SHARES],
    }


def _detection(plan: Plan, share: Fraction, wanted: Fraction) -> dict[str, Any]:
    sampling = plan.sampling
    bond = sampling.bond_needed(plan.price, plan.fee, share)
    return {
        "faked_share": float(share),
        "faked": sampling.faked(share),
        "found": float(sampling.detection(share)),
        "at_least": sampling.bound(share),
        "draws_needed": draws_needed(sampling.segments, share, wanted),
        "bond_needed": None if bond is None else format_fit(bond),
    }


def views(plan: Plan, wanted: Fraction = TOLD[1]) -> list[View]:
    """What an audit finds and costs, for people."""
    if not plan.seats:
        return [Facts(pairs_of(plan))]
    sampling = plan.sampling
    chance = f"draws for {percent(wanted)}"
    rows = [
        (
            percent(share),
            sampling.faked(share),
            percent(sampling.detection(share)),
            draws_needed(sampling.segments, share, wanted),
            _fit(sampling.bond_needed(plan.price, plan.fee, share)),
        )
        for share in SHARES
    ]
    headers = ("faked", "segments", "found", chance, "bond needed FIT")
    pairs = [
        *pairs_of(plan),
        ("assumed", f"{percent(ANSWERED)} of audits end with a verdict; a fake saves its share of the price"),
    ]
    return [Facts(pairs), Rows(headers, rows, right=headers)]


def pairs_of(plan: Plan) -> list[tuple[str, Any]]:
    """What an audit looks at and costs, in labelled lines."""
    sampling = plan.sampling
    who = counted(plan.seats, "verifier") if plan.seats else "nobody"
    when = ", only if the scientist disputes" if plan.disputed and plan.seats else ""
    looked = f"{who} {'replays' if plan.seats <= 1 else 'replay'} {sampling.audited} of {counted(sampling.segments, 'segment')}"
    drawn = f": the first, the last and {sampling.drawn} drawn" if sampling.drawn else ""
    pairs: list[tuple[str, Any]] = [("audit", looked + drawn + when)]
    if not plan.seats:
        return [("audit", "nobody but the owner replays any of it, and nobody can be asked to")]
    pairs.append(("finds", found(plan)))
    pairs.append(("costs", f"{format_fit(plan.fee)} FIT; each verifier trains {percent(sampling.work)} of it again"))
    pairs.append(("discloses", _disclosed(plan)))
    pairs.append(("bond", bond_told(plan)))
    if plan.seats % 2 == 0:
        pairs.append(
            ("mind", f"of {plan.seats} verifiers, half can end the audit without a verdict: an odd number is safer")
        )
    return pairs


def found(plan: Plan) -> str:
    """How likely fakes are found, in a line."""
    told = [f"{percent(share)} of them with {percent(plan.sampling.detection(share))}" for share in SHARES]
    return f"fakes of {', '.join(told)}"


def bond_told(plan: Plan) -> str:
    """What bond is needed and whether the agreed one is enough, in a line."""
    needed = plan.bond_needed
    if needed is None:
        return "no bond is enough where no segment is drawn: draw some with --segments"
    least = f"faking pays nobody from {format_fit(needed)} FIT on"
    if plan.bond is None:
        return least
    return f"{least}; agreed {'are' if plan.bond >= needed else 'are only'} {format_fit(plan.bond)} FIT"


def percent(share: Fraction | float) -> str:
    """A share in percent, never rounded up to certainty or down to nothing."""
    number = float(share) * 100
    if 0 < number < 0.1:
        return "< 0.1 %"
    if 99.9 < number < 100 or (number == 100 and share != 1):
        return "> 99.9 %"
    return f"{number:.1f}".removesuffix(".0") + " %"


def parse_share(name: str, text: str) -> Fraction:
    """Read a chance or share: `0.95` or `95%`.

    Raises:
        InputRefused: it is neither, or not from 0 to 1.
    """
    digits = text.removesuffix("%").strip()
    if not digits.isascii() or not digits.replace(".", "", 1).isdigit() or len(digits) > 40:
        raise InputRefused(f"the {name} {text!r} is no number from 0 to 1", "write it as 0.95 or 95%")
    share = Fraction(digits) / (100 if text.endswith("%") else 1)
    if share > 1:
        raise InputRefused(f"the {name} {text} is beyond 1", "write it as 0.95 or 95%")
    return share


def recipe_here(home: Home, agreement: Agreement) -> Recipe | None:
    """An agreement's recipe, where this home has it: its own offer, or one that its pod examined."""
    from fitchain.pod.values.digest import sha256
    from fitchain.pod.values.recipe import Recipe
    from fitchain.pod.values.recipe.terms import RECIPE_BYTES

    path: Path = home.settings.home / "jobs" / str(agreement.id) / "recipe.json"
    if not path.is_file() or path.stat().st_size > RECIPE_BYTES:
        return None
    data = path.read_bytes()
    return Recipe.parse(data) if sha256(data) == agreement.terms.recipe else None


def _disclosed(plan: Plan) -> str:
    if (disclosed := plan.disclosed) is None:
        return f"the records of {counted(plan.sampling.audited, 'segment')}, {plan.sampling.audited * plan.segment} batches at most"
    return f"at most {disclosed} of {counted(plan.records or 0, 'record')}, to the verifiers"


def _fit(units: int | None) -> str | None:
    return None if units is None else format_fit(units)


def default_draws(steps: int, segment: int) -> int:
    """q where nobody names one: what finds a tenth faked with 95 %."""
    return min(draws_needed(-(-steps // segment), *TOLD), (1 << 16) - 1)


def fair_fee(price: int, sampling: Sampling, seats: int) -> int:
    """The fee where nobody names one: to each verifier the part of the price that it trains again."""
    return seats * -(-price * sampling.audited // max(sampling.segments, 1))
