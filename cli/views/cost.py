"""What an audit would find and cost: `fitchain proof cost`, and beside every request.

The numbers are `fitchain.pod.proof.audit.plan`'s; here they become text. Both parties see them
before they sign.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from fitchain.cli.views.amounts import counted, format_fit
from fitchain.cli.views.output import KeyValues, Rows, View
from fitchain.pod.proof.audit.cost import ANSWERED, SHARES, draws_needed
from fitchain.pod.proof.audit.plan import DETECTION, AuditPlan


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
        "drawn": sampling.drawn_segments,
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


def _detection(plan: AuditPlan, share: Fraction, wanted: Fraction) -> dict[str, Any]:
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


def views(plan: AuditPlan, wanted: Fraction = DETECTION) -> list[View]:
    """What an audit finds and costs, for people."""
    if not plan.seats:
        return [KeyValues(pairs_of(plan))]
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
    return [KeyValues(pairs), Rows(headers, rows, right=headers)]


def pairs_of(plan: AuditPlan) -> list[tuple[str, Any]]:
    """What an audit looks at and costs, in labelled lines."""
    sampling = plan.sampling
    who = counted(plan.seats, "verifier") if plan.seats else "nobody"
    when = ", only if the scientist disputes" if plan.disputed and plan.seats else ""
    verb = "replays" if plan.seats <= 1 else "replay"
    looked = f"{who} {verb} {sampling.audited} of {counted(sampling.segments, 'segment')}"
    drawn = f": the first, the last and {sampling.drawn_segments} drawn" if sampling.drawn_segments else ""
    pairs: list[tuple[str, Any]] = [("audit", looked + drawn + when)]
    if not plan.seats:
        return [("audit", "nobody but the owner replays any of it, and nobody can be asked to")]
    pairs.append(("finds", describe_detection(plan)))
    pairs.append(("costs", f"{format_fit(plan.fee)} FIT; each verifier trains {percent(sampling.work)} of it again"))
    pairs.append(("discloses", _disclosed(plan)))
    pairs.append(("bond", describe_bond(plan)))
    if plan.seats % 2 == 0:
        pairs.append(
            ("mind", f"of {plan.seats} verifiers, half can end the audit without a verdict: an odd number is safer")
        )
    return pairs


def describe_detection(plan: AuditPlan) -> str:
    """How likely fakes are found, in a line."""
    chances = [f"{percent(share)} of them with {percent(plan.sampling.detection(share))}" for share in SHARES]
    return f"fakes of {', '.join(chances)}"


def describe_bond(plan: AuditPlan) -> str:
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


def _disclosed(plan: AuditPlan) -> str:
    if (disclosed := plan.disclosed) is None:
        audited = plan.sampling.audited
        return f"the records of {counted(audited, 'segment')}, {audited * plan.segment_steps} batches at most"
    return f"at most {disclosed} of {counted(plan.records or 0, 'record')}, to the verifiers"


def _fit(units: int | None) -> str | None:
    return None if units is None else format_fit(units)
