"""Noise of whole numbers that are told once beside a private training: what it costs, and how much
of it costs no more than the training does.

A number to which each unit adds one at most, told with a discrete Gaussian of standard deviation
sigma, costs a / (2 sigma^2) nats at order a; so do numbers to one of which each unit adds one.
Neighbours are those of `accountant`: one unit contributes nothing.

Source: Canonne, Kamath and Steinke, arXiv 2004.00010, proposition 5 (the discrete Gaussian costs
what the continuous one does: Mironov, arXiv 1702.07476, proposition 7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction

from fitchain.pod.values.privacy.accountant import ORDERS, PRECISE, require, require_orders, rounded_up

GRID = 2**10
"""Sigmas are multiples of 1 / 2^10."""
LEAST_SIGMA, LARGEST_SIGMA = 0.5, 2.0**20
"""What noise can be drawn of. With more than the largest no number of records would show."""


def renyi_of_release(sigma: float) -> tuple[float, ...]:
    """Renyi DP of numbers that are told once.

    Args:
        sigma: standard deviation of the noise over what a unit adds at most; above 0.

    Returns:
        Nats at each of `ORDERS`, rounded up to a float.

    Raises:
        InputRefused: sigma is not above 0.
    """
    require(0 < sigma < math.inf, f"the noise has a standard deviation above 0, not {sigma!r}")
    with localcontext(PRECISE):
        return tuple(rounded_up(order / (2 * Decimal(sigma) * Decimal(sigma))) for order in ORDERS)


def release_sigma(renyi: Sequence[float]) -> float:
    """The least noise with which numbers that are told once cost no more, at any order, than a
    training does.

    It is found in whole numbers and fractions, so every machine finds the same.

    Args:
        renyi: of the training, nats at each of `ORDERS`; infinite where an order says nothing.

    Returns:
        sigma, a multiple of 2^-10 from 1/2 to 2^20. Where the largest is not enough, the numbers
        cost more than the training at some order.

    Raises:
        InputRefused: for another number of orders, or a number below 0.
    """
    require_orders(renyi)
    largest = int(LARGEST_SIGMA) * GRID
    multiple = int(LEAST_SIGMA * GRID)
    for order, nats in zip(ORDERS, renyi, strict=True):
        if nats == 0:
            return LARGEST_SIGMA
        if math.isfinite(nats):  # order / (2 (k / GRID)^2) <= nats
            square = math.ceil(Fraction(order * GRID * GRID, 2) / Fraction(nats))
            multiple = max(multiple, math.isqrt(square - 1) + 1)
    return min(multiple, largest) / GRID
