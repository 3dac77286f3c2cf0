"""From an attack's scores to counted rates: how many members it names, at how many false alarms.

A score says how sure the attack is that the model was trained on a record. Only counts are kept,
which no rounding moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from fitchain.pod.values.risk.bounds import share_bounds

FALSE_POSITIVE_RATES = (0.01, 0.001)
MOST_POINTS = 200
"""Of a ROC that is kept; among more non-members those at rising steps of their rate."""

Scores = npt.NDArray[np.float64]


class Attack(StrEnum):
    """How membership was told.

    Members: LiRA (Carlini et al., Membership Inference Attacks From First Principles, 2022); RMIA
    (Zarifzadeh et al., Low-Cost High-Power Membership Inference Attacks, 2024); nothing, where
    there was no record that the model was not trained on, or no reference model.
    """

    LIRA = "lira"
    RMIA = "rmia"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Rate:
    """How many members an attack names at a rate of false alarms.

    Args:
        at: the rate of false alarms that is allowed.
        false_positives: how many of the non-members that are, rounded down.
        hits: members that are named with at most so many false alarms.
    """

    at: float
    false_positives: int
    hits: int

    def share(self, members: int) -> float:
        """The true positive rate."""
        return self.hits / members

    def bounds(self, members: int) -> tuple[float, float]:
        """Within which it lies, with 95 % confidence."""
        return share_bounds(self.hits, members)

    def is_resolved(self, non_members: int) -> bool:
        """Whether there are non-members enough for this rate of false alarms; else what stands here
        is at none at all."""
        return non_members >= round(1 / self.at)


def rates_of(members: Scores, non_members: Scores) -> tuple[Rate, ...]:
    """The rates that a report names.

    Args:
        members: `[N]`, scores of the records that the model was trained on.
        non_members: `[M]`, of others; at least one.
    """
    return tuple(
        Rate(at, allowed := len(non_members) // round(1 / at), hits_at(members, non_members, allowed))
        for at in FALSE_POSITIVE_RATES
    )


def hits_at(members: Scores, non_members: Scores, false_positives: int) -> int:
    """How many members have a score above all but so many of the non-members."""
    if false_positives >= len(non_members):
        return len(members)
    threshold = np.sort(non_members)[len(non_members) - 1 - false_positives]
    return int((members > threshold).sum())


def area_under(members: Scores, non_members: Scores) -> float:
    """The chance that a member has a higher score than a non-member, ties counted half."""
    ordered = np.sort(non_members)
    twice = np.searchsorted(ordered, members, "left").sum() + np.searchsorted(ordered, members, "right").sum()
    return int(twice) / (2 * len(members) * len(non_members))


def roc_of(members: Scores, non_members: Scores) -> tuple[tuple[int, int], ...]:
    """The curve as counts: (false positives, hits), rising."""
    return tuple((count, hits_at(members, non_members, count)) for count in _counts(len(non_members)))


def _counts(most: int) -> Sequence[int]:
    if most <= MOST_POINTS:
        return range(most + 1)
    steps = {round(most ** (index / (MOST_POINTS - 2))) for index in range(MOST_POINTS - 1)}
    return sorted(steps | {0})
