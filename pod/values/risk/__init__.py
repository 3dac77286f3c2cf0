"""The privacy-risk report: what an attack on a trained model found, as a value (no torch).

    bounds       exact bounds of a share that was counted
    attack       from scores of members and non-members to counted rates
    references   leaves of reference trainings, and what opens a segment of one
    report       the report, what its digest is over, and that

How scores come about is not known here.
"""

from __future__ import annotations

from fitchain.pod.values.risk.attack import Attack, Rate, rates_of, roc_of
from fitchain.pod.values.risk.bounds import share_bounds
from fitchain.pod.values.risk.report import NOT_TRIED, Details, Parts, Quality, RiskReport, Seeds, Summary, Worst

__all__ = [
    "NOT_TRIED",
    "Attack",
    "Details",
    "Parts",
    "Quality",
    "Rate",
    "RiskReport",
    "Seeds",
    "Summary",
    "Worst",
    "rates_of",
    "roc_of",
    "share_bounds",
]
