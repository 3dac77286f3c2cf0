"""From an epsilon to the noise that keeps a training within it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.privacy.accountant import renyi
from fitchain.pod.values.privacy.ledger import OPENED, add, budget, charge, within

GRID = 2**10
"""Sigmas are multiples of 1 / 2^10."""

LARGEST_SIGMA = 1000
"""Beyond it nothing is learnt."""


def sigma_for(epsilon: float, delta: float, sampling_rate: float, steps: int) -> float:
    """The least noise multiplier, in multiples of 2^-10, that keeps a training within an epsilon.

    Within means by the ledger's units: such a training alone fits a ledger that was opened with
    that very budget.

    Args:
        epsilon: what the training may cost, above 0.
        delta: the dataset's, less what `accountant.delta_with` adds for the noise that is drawn.
        sampling_rate: q, the probability with which a step draws a unit.
        steps: T, how many sums are noised.

    Returns:
        sigma, from 2^-10 to 1000.

    Raises:
        InputRefused: it would take more than 1000; the hint says how many steps, or which sampling
            rate, would reach the epsilon. Or a number is out of its range.
    """

    allowed = budget(epsilon, delta)

    def fits(sampling_rate: float, sigma: float, steps: int) -> bool:
        return within(add(OPENED, charge(renyi(sampling_rate, sigma, steps))), allowed)

    if not fits(sampling_rate, LARGEST_SIGMA, steps):
        raise InputRefused(
            f"epsilon {epsilon:g} beside delta {delta:g} would take a noise multiplier above {LARGEST_SIGMA} with "
            f"{steps} steps and a sampling rate of {sampling_rate:.3g}",
            what_would_reach(fits, sampling_rate, steps),
        )
    multiples = range(1, LARGEST_SIGMA * GRID + 1)
    return multiples[bisect_left(multiples, True, key=lambda k: fits(sampling_rate, k / GRID, steps))] / GRID


def what_would_reach(fits: Callable[[float, float, int], bool], sampling_rate: float, steps: int) -> str:
    """The hint for a training that no admitted noise keeps within its epsilon."""
    fewer = last(steps, lambda count: fits(sampling_rate, LARGEST_SIGMA, count))
    smaller = last(GRID, lambda part: fits(sampling_rate * part / GRID, LARGEST_SIGMA, steps))
    ways = [f"at most {fewer} steps of it"] * (fewer > 0)
    ways += [f"an expected batch of at most {smaller / GRID:.1%} of the one asked for"] * (smaller > 0)
    if ways:
        return f"{', or '.join(ways)} would reach it; so would a larger epsilon"
    return "no steps and no batch would reach it: ask for a larger epsilon"


def last(count: int, fits: Callable[[int], bool]) -> int:
    """The last number below `count` that fits, where all below it do; 0 where 1 does not."""
    return bisect_left(range(1, count), True, key=lambda number: not fits(number))
