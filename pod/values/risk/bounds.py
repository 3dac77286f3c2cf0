"""Bounds of a share that was counted, exact for every count.

Source: Clopper & Pearson, The use of confidence or fiducial limits illustrated in the case of the
binomial (1934).
"""

from __future__ import annotations

import math
from collections.abc import Callable

HALVINGS = 60
"""After so many an interval of length 1 is as short as doubles tell apart here."""
NEGLIGIBLE = 1e-18
"""Beyond the mode of a binomial, a term so much smaller than the sum ends it."""


def share_bounds(hits: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """The shares between which the true one lies, with at least the given confidence (Clopper and
    Pearson).

    Args:
        hits: how many were counted.
        of: out of how many; 0 says nothing, and the bounds are 0 and 1.
        confidence: of both bounds together.

    Returns:
        The lower bound and the upper one.
    """
    if not of:
        return 0.0, 1.0
    each = (1 - confidence) / 2
    low = _bisect(lambda share: upper_tail(hits, of, share) < each) if hits else 0.0
    high = _bisect(lambda share: upper_tail(of - hits, of, 1 - share) >= each) if hits < of else 1.0
    return low, high


def upper_tail(hits: int, of: int, share: float) -> float:
    """The chance of at least `hits` out of `of`, each with the chance `share`."""
    if hits <= 0:
        return 1.0
    if share <= 0 or hits > of:
        return 0.0
    if share >= 1:
        return 1.0
    if hits <= of * share:  # the other tail is the shorter one
        return 1.0 - upper_tail(of - hits + 1, of, 1 - share)
    term = math.exp(
        math.lgamma(of + 1)
        - math.lgamma(hits + 1)
        - math.lgamma(of - hits + 1)
        + hits * math.log(share)
        + (of - hits) * math.log1p(-share)
    )
    total, odds = term, share / (1 - share)
    for number in range(hits, of):
        term *= (of - number) / (number + 1) * odds
        total += term
        if term < total * NEGLIGIBLE:
            break
    return min(total, 1.0)


def _bisect(is_above: Callable[[float], bool]) -> float:
    """The share up to which `is_above` holds."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_above(middle) else (low, middle)
    return low
