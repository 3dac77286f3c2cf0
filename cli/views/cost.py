"""What an audit would find and cost: `fitchain proof cost`, and beside every request.

The numbers are `fitchain.pod.proof.audit.plan`'s; here they become text. Both parties see them
before they sign.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from fitchain.cli.views.amounts import counted
from fitchain.cli.views.output import KeyValues, Prose, Rows, View
from fitchain.pod.proof.audit.cost import (
    ANSWERED,
    DISHONEST,
    SHARES,
    VOTES,
    draws_needed,
    failing_job,
    parties_gas,
)
from fitchain.pod.proof.audit.plan import DETECTION, AuditPlan
from fitchain.pod.values.amounts import amount_text, round_up


def values(plan: AuditPlan, wanted: Fraction = DETECTION) -> dict[str, Any]:
    """The JSON form of what an audit finds and costs.

    Args:
        plan: what is agreed.
        wanted: the chance of detection for which the draws needed are given.
    """
    sampling, needed = plan.sampling, plan.bond_needed
    return {
        "steps": plan.steps,
        "segments": sampling.segments,
        "always_audited": sampling.always,
        "delivered_leaf": sampling.delivered,
        "drawn_segments": sampling.drawn_segments,
        "audited": sampling.audited,
        "verifiers": plan.seats,
        "quorum": plan.risk.quorum if plan.seats else None,
        "only_if_disputed": plan.disputed,
        "price": amount_text(plan.price),
        "fee_per_seat": amount_text(plan.fee_per_seat),
        "fees": amount_text(plan.fees),
        "seat_stake": amount_text(plan.seat_stake),
        "bond": None if plan.bond is None else amount_text(plan.bond),
        "bond_needed": None if needed is None else amount_text(needed),
        "bond_enough": None if plan.bond is None else needed is not None and plan.bond >= needed,
        "answered": float(ANSWERED),
        "work_per_verifier": float(sampling.work),
        "work": float(sampling.work * plan.seats),
        "records_disclosed": plan.disclosed,
        "records": plan.records,
        "wanted": float(wanted),
        "detection": [_detection(plan, share, wanted) for share in SHARES],
        "bribe": _bribe(plan) if plan.seats else None,
        "repeat": _repeat(plan) if plan.seats else None,
    }


def _bribe(plan: AuditPlan) -> dict[str, Any]:
    """What buying a quorum of seats comes to that do not know one another."""
    at_stake, insured = plan.at_stake, plan.risk.insured
    return {
        "insured": amount_text(insured),
        "worth": None if at_stake is None else amount_text(at_stake),
        "enough": None if at_stake is None else insured >= at_stake,
    }


def _repeat(plan: AuditPlan) -> dict[str, Any]:
    """What a dishonest share comes to by chance, and what trying for it costs."""
    return {
        "share": float(DISHONEST),
        "quorum_held": float(plan.risk.held()),
        "no_quorum_if_silent": float(plan.risk.stalled()),
        "jobs_needed": plan.risk.jobs_to_hold(),
        "cost_per_job": None if plan.bond is None else amount_text(failing_job(plan.bond)),
        "gas_per_job": parties_gas(0),
    }


def _detection(plan: AuditPlan, share: Fraction, wanted: Fraction) -> dict[str, Any]:
    sampling = plan.sampling
    bond = sampling.bond_needed(plan.price, plan.fees, share)
    return {
        "faked_share": float(share),
        "faked": sampling.faked(share),
        "found": float(sampling.detection(share)),
        "at_least": sampling.bound(share),
        "draws_needed": draws_needed(sampling.segments, share, wanted, sampling.delivered),
        "bond_needed": None if bond is None else amount_text(bond),
    }


def views(plan: AuditPlan, kind: str = "agreed", wanted: Fraction = DETECTION) -> list[View]:
    """What an audit finds and costs, for people.

    Args:
        plan: what is agreed, or would be.
        kind: of its bond: `agreed`, `default`, `given`.
        wanted: the chance of detection for which the draws needed are given.
    """
    if not plan.seats:
        return [KeyValues(pairs_of(plan, kind))]
    sampling = plan.sampling
    chance = f"draws for {percent(wanted)}"
    rows = [
        (
            percent(share),
            sampling.faked(share),
            percent(sampling.detection(share)),
            draws_needed(sampling.segments, share, wanted, sampling.delivered),
            _fit(sampling.bond_needed(plan.price, plan.fees, share)),
        )
        for share in SHARES
    ]
    headers = ("faked", "segments", "found", chance, "bond needed FIT")
    return [
        KeyValues(pairs_of(plan, kind)),
        Rows(headers, rows, right=headers),
        Prose("against whom", against_whom(plan, kind)),
    ]


def pairs_of(plan: AuditPlan, kind: str = "agreed") -> list[tuple[str, Any]]:
    """What an audit looks at and costs, in labelled lines; its bond is of a kind as in `views`."""
    sampling = plan.sampling
    if not plan.seats:
        return [("audit", "nobody but the owner replays any of it, and nobody can be asked to")]
    looked = f"{counted(plan.seats, 'verifier')} {'replays' if plan.seats == 1 else 'replay'} {sampling.audited} of "
    looked += counted(sampling.segments, "segment")
    others = ", the delivered model's" if sampling.always == 3 else " (and the delivered model's, if another)"
    drawn = f": the first, the last{others} and {sampling.drawn_segments} drawn"
    when = ", only if the scientist disputes" if plan.disputed else ""
    each = f"{amount_text(plan.fee_per_seat)} FIT for each seat that votes with the verdict"
    return [
        ("audit", looked + (drawn if sampling.drawn_segments else "") + when),
        ("finds", describe_detection(plan)),
        ("costs", f"{amount_text(plan.fees)} FIT: {each}; each trains {percent(sampling.work)} of it again"),
        ("at stake", f"{amount_text(plan.seat_stake)} FIT for each seat"),
        ("discloses", _disclosed(plan)),
        ("bond", describe_bond(plan, kind)),
        ("bribe", describe_bribe(plan)),
    ]


def against_whom(plan: AuditPlan, kind: str = "agreed") -> list[str]:
    """Which bound holds against whom, and against whom none does."""
    risk = plan.risk
    repeats = f"about {risk.jobs_to_hold()} jobs, of which each gives them two draws"
    if plan.bond is not None:
        repeats += f" and each that fails burns {_short(failing_job(plan.bond))} FIT of its bond"
    return [
        f"an owner alone is held by the chance of being found and by its bond: {describe_bond(plan, kind)} "
        f"({percent(ANSWERED)} of audits taken to end with a verdict, a fake to save its share of the price)",
        f"an owner that buys votes of verifiers who do not know one another is held by what it has to answer for: "
        f"{describe_bribe(plan)}",
        "verifiers that already trust one another risk nothing: nobody is slashed for a vote of the quorum, and no "
        "bond or stake holds against a quorum of them",
        f"against those only the draw holds: a third of a panel acting together hold a quorum of {risk.quorum} of "
        f"{counted(plan.seats, 'seat')} in {percent(risk.held())} of draws; an owner and a scientist who are one "
        f"need {repeats}, unless they build blocks",
        f"a third of a panel that join and are then silent stop an audit in {percent(risk.stalled())} of cases, with "
        f"{VOTES} votes at most, for a tenth of a seat's stake each time; who does not join is drawn anew at once",
    ]


def describe_detection(plan: AuditPlan) -> str:
    """How likely fakes are found, in a line."""
    chances = [f"{percent(share)} of them with {percent(plan.sampling.detection(share))}" for share in SHARES]
    return f"fakes of {', '.join(chances)}"


def describe_bond(plan: AuditPlan, kind: str = "agreed") -> str:
    """What bond is needed and whether the agreed, default or given one is enough, in a line."""
    needed = plan.bond_needed
    if needed is None:
        return "no bond is enough where no segment is drawn: draw some with --segments"
    least = f"faking pays nobody from {_short(needed)} FIT on"
    if plan.bond is None:
        return least
    bond = _short(plan.bond) if plan.bond >= needed else f"only {amount_text(plan.bond)}"
    return f"{least}; the {kind} bond is {bond} FIT"


def describe_bribe(plan: AuditPlan) -> str:
    """What buying a quorum has to answer for beside what it is worth, in a line."""
    risk, at_stake = plan.risk, plan.at_stake
    put = "puts" if risk.quorum == 1 else "put"
    insured = f"{counted(risk.quorum, 'seat')} {put} {_short(risk.insured)} FIT of stakes and fees at risk"
    if at_stake is None:
        return insured
    compared = "at least" if risk.insured >= at_stake else "less than"
    return f"{insured}, {compared} the {_short(at_stake)} FIT of price and bond that their votes would save"


def percent(share: Fraction | float) -> str:
    """A share in percent, never rounded up to certainty or down to nothing."""
    number = float(share) * 100
    if 0 < number < 0.1:
        return "< 0.1 %"
    if 99.9 < number < 100 or (number == 100 and share != 1):
        return "> 99.9 %"
    return f"{number:.1f}".removesuffix(".0") + " %"


def _disclosed(plan: AuditPlan) -> str:
    if (disclosed := plan.disclosed) is None:
        audited = plan.sampling.audited
        return f"the records of {counted(audited, 'segment')}, {audited * plan.segment_steps} batches at most"
    of = counted(plan.records or 0, "place" if plan.has_places else "record")
    return f"at most {disclosed} of {of}{' for records, empty ones too' if plan.has_places else ''}, to the verifiers"


def _fit(units: int | None) -> str | None:
    return None if units is None else _short(units)


def _short(units: int) -> str:
    """An amount that follows from others, in FIT with few decimals, rounded up."""
    return amount_text(round_up(units))
