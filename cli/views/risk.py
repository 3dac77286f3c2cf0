"""A privacy-risk report on one page, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fitchain.cli.views.amounts import counted
from fitchain.cli.views.output import KeyValues, Prose, View
from fitchain.pod.values.risk import Attack, Quality, Rate, RiskReport, Summary, Worst, share_bounds
from fitchain.pod.values.risk.attack import FALSE_POSITIVE_RATES
from fitchain.pod.values.risk.report import most_hit_rate

ATTACKS = {
    Attack.LIRA: "LiRA (Carlini et al. 2022)",
    Attack.RMIA: "RMIA (Zarifzadeh et al. 2024)",
    Attack.NONE: "none",
}
MOST_ROWS_SHOWN = 20
UNSURE = (
    "nothing can be said about membership: no record that counts was held out, or no reference model was trained to its"
    " end"
)


def describe(report: RiskReport, unit_records: int | None = None) -> list[View]:
    """The report for its owner, on one page.

    Args:
        report: what to show.
        unit_records: how many rows a unit of privacy has; None where a record is the unit.
    """
    summary, details = report.summary, report.details
    pairs: list[tuple[str, Any]] = [
        ("report", report.digest),
        ("model", summary.model),
        ("attack", describe_attack(summary)),
        *_rate_pairs(report),
        ("AUC", None if summary.auc is None else f"{summary.auc:.3f}, of little meaning: few records carry the risk"),
        ("exposed", _exposed(report, unit_records)),
        ("training", describe_quality(details.training)),
        ("held out", "no record that counts" if details.held_out is None else describe_quality(details.held_out)),
        ("gap", _gap(details.training, details.held_out)),
        ("other seeds", _seeds(report)),
        ("DP bound", _bound(report)),
    ]
    if unit_records is not None:
        mind = (
            "records of one unit go together, so less stands behind these bounds than so many records; units are"
            " numbered from 0, as the file shows them first"
        )
        pairs.append(("mind", mind))
    if details.references_ended:
        ended = f"{counted(details.references_ended, 'reference training')} ended early and is left out"
        pairs.append(("left out", ended))
    views: list[View] = [KeyValues([pair for pair in pairs if pair[1] is not None])]
    if details.worst:
        views.append(Prose("The worst records:", [_sentence(each, report, unit_records) for each in details.worst]))
    views.append(Prose("Not tried, and so not covered:", details.not_tried))
    return views


def describe_attack(summary: Summary) -> str:
    """How membership was told, and with what."""
    if summary.attack is Attack.NONE:
        return f"none; {UNSURE}"
    return (
        f"{ATTACKS[summary.attack]}, {counted(summary.references, 'reference model')}; {summary.members:,} records"
        f" that it was trained on against {summary.non_members:,} that were held out"
    )


def describe_rate(rate: Rate, summary: Summary) -> str:
    """A rate of hits, its bounds, and what stands behind them."""
    low, high = rate.bounds(summary.members)
    _, alarms = share_bounds(rate.false_positives, summary.non_members)
    text = f"{rate.share(summary.members):.1%} of the records ({low:.1%} to {high:.1%})"
    if rate.is_resolved(summary.non_members):
        return f"{text}, {counted(rate.false_positives, 'false alarm')} of {summary.non_members:,}"
    needed = round(1 / rate.at)
    return (
        f"{text}, at no false alarm of {summary.non_members:,}: {needed:,} held-out records would resolve this rate;"
        f" the true one may be up to {alarms:.1%}"
    )


def describe_summary(summary: Summary) -> str:
    """The summary in a sentence, as a certificate shows it."""
    if summary.attack is Attack.NONE:
        return UNSURE
    first = summary.rates[0]
    low, high = first.bounds(summary.members)
    return (
        f"{ATTACKS[summary.attack]} with {counted(summary.references, 'reference model')} names"
        f" {first.share(summary.members):.1%} ({low:.1%} to {high:.1%}) of {summary.members:,} records at"
        f" {counted(first.false_positives, 'false alarm')} of {summary.non_members:,}; AUC {summary.auc:.3f}"
    )


def describe_quality(quality: Quality) -> str:
    """How well a model does, in words."""
    accuracy = "" if quality.accuracy is None else f"accuracy {quality.accuracy:.1%}, "
    return f"{accuracy}loss {quality.loss:.4g} on {counted(quality.records, 'record')}"


def values(report: RiskReport) -> dict[str, Any]:
    """The report for `--json`: the document itself, its digest, and what follows from it."""
    return {"digest": report.digest, "report": report.json(), **summary_values(report.summary)}


def summary_values(summary: Summary) -> dict[str, Any]:
    """The rates of a summary with their bounds."""
    rates = []
    for rate in summary.rates:
        low, high = rate.bounds(summary.members)
        alarms = share_bounds(rate.false_positives, summary.non_members)
        rates.append(
            {
                "false_positive_rate": rate.at,
                "true_positive_rate": rate.share(summary.members),
                "low": low,
                "high": high,
                "false_positives": rate.false_positives,
                "non_members": summary.non_members,
                "false_positive_rate_high": alarms[1],
                "resolved": rate.is_resolved(summary.non_members),
            }
        )
    return {"rates": rates, "auc": summary.auc, "references": summary.references}


def _rate_pairs(report: RiskReport) -> list[tuple[str, Any]]:
    return [(f"at {rate.at:.1%} FPR", describe_rate(rate, report.summary)) for rate in report.summary.rates]


def _exposed(report: RiskReport, unit_records: int | None) -> str | None:
    summary, details = report.summary, report.details
    if summary.attack is Attack.NONE:
        return None
    chance = summary.members / (summary.non_members + 1)
    text = (
        f"{counted(details.exposed_count, 'record')} above every held-out one, where chance alone gives about"
        f" {chance:.3g}"
    )
    return f"{text}: {_rows(details.exposed, unit_records)}" if details.exposed else text


def _rows(rows: Sequence[int], unit_records: int | None) -> str:
    shown = ", ".join(_row(row, unit_records) for row in rows[:MOST_ROWS_SHOWN])
    return f"{shown}{f' and {len(rows) - MOST_ROWS_SHOWN} more' if len(rows) > MOST_ROWS_SHOWN else ''}"


def _row(row: int, unit_records: int | None) -> str:
    """Which record it is, for who has the file: units are numbered as they come in it, from 0, as
    rows are."""
    return f"row {row}" if unit_records is None else f"record {row % unit_records} of unit {row // unit_records}"


def _gap(training: Quality, held_out: Quality | None) -> str | None:
    if held_out is None:
        return None
    if training.accuracy is not None and held_out.accuracy is not None:
        points = (training.accuracy - held_out.accuracy) * 100
        return f"{points:+.1f} points of accuracy, {held_out.loss - training.loss:+.4g} of loss"
    return f"{held_out.loss - training.loss:+.4g} of loss"


def _seeds(report: RiskReport) -> str | None:
    details = report.details
    figures, what = details.seeds.figures, "loss" if details.training.accuracy is None else "accuracy"
    if not figures:
        return None
    where = (
        "held-out records that each was not trained on" if details.seeds.held_out else "records that each did not see"
    )
    shown = "{:.1%}" if what == "accuracy" else "{:.4g}"
    low, high, deviation = (shown.format(number) for number in (figures[0], figures[-1], details.seeds.deviation))
    return (
        f"{what} from {low} to {high}, deviation {deviation}, of {counted(len(figures), 'reference model')} on the"
        f" {where}; each saw half of the data"
    )


def _bound(report: RiskReport) -> str | None:
    epsilon, delta = report.details.epsilon, report.details.delta
    if epsilon is None or delta is None:
        return "none: the training was not private"
    bounds = [f"{most_hit_rate(epsilon, delta, at):.1%} at {at:.1%} FPR" for at in FALSE_POSITIVE_RATES]
    text = (
        f"no attack on one record names it more often than {', '.join(bounds)} (epsilon {epsilon:.3g}, delta {delta:g})"
    )
    summary = report.summary
    if all(rate.is_resolved(summary.non_members) for rate in summary.rates):
        return text
    _, alarms = share_bounds(0, summary.non_members)
    return (
        f"{text}; at {alarms:.1%}, which {counted(summary.non_members, 'held-out record')} cannot tell from these,"
        f" {most_hit_rate(epsilon, delta, alarms):.1%}"
    )


def _sentence(worst: Worst, report: RiskReport, unit_records: int | None) -> str:
    """What a record gives away, in a sentence."""
    record = _row(worst.row, unit_records)
    if report.details.training.accuracy is None:
        return (
            f"{record}: its loss is {-worst.confidence:.3g}; reference models that were trained on it have"
            f" {-worst.with_:.3g} on average, those that were not {-worst.without:.3g}"
        )
    own, with_, without = (_doubt(logit) for logit in (worst.confidence, worst.with_, worst.without))
    return (
        f"{record}: the model leaves {own} to other labels than its own; reference models that were trained on"
        f" it typically leave {with_}, those that were not {without}"
    )


def _doubt(logit: float) -> str:
    """What is left to all other labels, in per cent: near a label's certainty that tells more."""
    doubt = 100 / (1 + math.exp(min(logit, 700)))
    if doubt < 0.001:
        return "less than 0.001 %"
    return f"{doubt:.0f} %" if doubt >= 10 else f"{doubt:.2g} %"
