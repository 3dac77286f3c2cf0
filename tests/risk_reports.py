"""A privacy-risk report for tests that attack nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.risk import Attack, Details, Quality, Rate, RiskReport, Seeds, Summary


def made_up_report(**changes: Any) -> RiskReport:
    """A report that nobody made."""
    summary = Summary(
        model=Root(sha256(b"model")),
        attack=Attack.LIRA,
        references=32,
        members=364,
        non_members=91,
        rates=(Rate(0.01, 0, 22), Rate(0.001, 0, 22)),
        auc=0.55,
    )
    details = Details(
        ctx=sha256(b"ctx"),
        seed=sha256(b"seed"),
        recipe=sha256(b"recipe"),
        reference_units=227,
        references_ended=0,
        training=Quality(364, 0.02, 0.99),
        held_out=Quality(91, 0.14, 0.96),
        seeds=Seeds((0.93, 0.95, 1.0), True),
        epsilon=3.0,
        delta=1e-4,
        roc=((0, 22), (91, 364)),
        exposed_count=22,
        exposed=tuple(range(22)),
        worst=(),
    )
    return RiskReport(replace(summary, **changes), details, sha256(b"salt"))
