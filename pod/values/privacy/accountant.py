"""Renyi differential privacy of a training whose steps sum a secret sample and add noise.

Every number here is computed with decimals of a hundred digits, whose arithmetic, `exp` and `ln`
are correctly rounded (General Decimal Arithmetic Specification, version 1.70), and only what is
returned is rounded to a float, away from the spender's favour: so owner, verifier and whoever
verifies years later come to the same bits, which no machine's own `exp` would promise.

*Neighbours* are datasets of the same count in which one unit contributes nothing (zero-out), since
the count is public. With Poisson sampling the others' part of a sum is drawn alike in both, and
what is compared is the noise N(0, s^2) with the mixture (1 - q) N(0, s^2) + q N(v, s^2), |v| at
most the clipping norm, in both directions. That is the pair that adding or removing a unit gives
(Mironov, Talwar and Zhang, "Renyi Differential Privacy of the Sampled Gaussian Mechanism",
arXiv 1908.10530, theorem 4), so the formula is one and the same: dp-accounting takes it for
`ADD_OR_REMOVE_ONE` and for `REPLACE_SPECIAL`, as it calls zero-out
(`rdp/rdp_privacy_accountant.py`, `RdpAccountant._maybe_compose`, version 0.6.0).

*The discrete Gaussian* on integers obeys it, too, at integer orders. The sum is made of moments
E[(p(x - v) / p(x))^i] for whole i; with p(x) proportional to exp(-x^2 / 2 s^2) on the integers each
is exp((i^2 - i) |v|^2 / 2 s^2) times the quotient of two sums over the integers, one of them
shifted by the integer vector i v: so the quotient is 1. The other direction is never greater, since
x -> v - x exchanges the two distributions (theorem 5 there, which needs no more than that).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    localcontext,
)
from functools import lru_cache

from fitchain.pod.values.errors import InputRefused

ORDERS = (2, 3, 5, 8, 13, 24, 44, 96)
"""The orders that a ledger keeps, a lane each."""

LEAST_SIGMA = 2.0**-10

PRECISE = Context(
    prec=100, rounding=ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[InvalidOperation, DivisionByZero]
)
"""What every decimal is computed in: of a training that draws a unit once in 2^64 steps, 60 digits
are lost to the 1 that its moments exceed."""


def renyi(sampling_rate: float, sigma: float, steps: int) -> tuple[float, ...]:
    """Renyi DP of a training: what one unit can move its result, in nats, at each order.

    Args:
        sampling_rate: q, the probability with which a step draws a unit; 0 to 1.
        sigma: the noise multiplier, standard deviation over clipping norm; at least 2^-10.
        steps: T, how many sums are noised; at least 0.

    Returns:
        A number for each of `ORDERS`, rounded up to a float; infinite beyond the largest.

    Raises:
        InputRefused: for a number out of its range.

    Source: arXiv 1908.10530, section 3.3, equation 3: at order a, log of sum over i of
    binomial(a, i) (1 - q)^(a - i) q^i exp((i^2 - i) / 2 sigma^2), over a - 1, a step.
    """
    require(0 <= sampling_rate <= 1, f"the sampling rate is {sampling_rate!r}, and a probability is between 0 and 1")
    require(
        LEAST_SIGMA <= sigma < math.inf, f"the noise multiplier sigma is {sigma!r}, and it is at least {LEAST_SIGMA}"
    )
    require(steps >= 0, f"a training has at least 0 steps, not {steps}")
    with localcontext(PRECISE):
        return tuple(rounded_up(steps * of_a_step) for of_a_step in renyi_of_a_step(sampling_rate, sigma))


@lru_cache(maxsize=256)
def renyi_of_a_step(sampling_rate: float, sigma: float) -> tuple[Decimal, ...]:
    """The same of one step, with all digits.

    The 1 is taken out of the sum (the binomial weights add up to it), so that no small number is
    lost beside it: what is left has only terms above 0.
    """
    with localcontext(PRECISE):
        rate = Decimal(sampling_rate)
        drawn, spared = powers(rate), powers(1 - rate)
        excess = growths_beyond_one(sigma)
        return tuple(
            (
                1 + sum((math.comb(a, i) * spared[a - i] * drawn[i] * excess[i] for i in range(2, a + 1)), Decimal(0))
            ).ln()
            / (a - 1)
            for a in ORDERS
        )


def growths_beyond_one(sigma: float) -> list[Decimal]:
    """exp((i^2 - i) / 2 sigma^2) - 1, for i from 0 to the highest order."""
    growth = powers((1 / (Decimal(sigma) * Decimal(sigma))).exp())
    products = [Decimal(1)]
    for power in growth[: max(ORDERS)]:
        products.append(products[-1] * power)
    return [product - 1 for product in products]


def powers(base: Decimal) -> list[Decimal]:
    """Its powers from 0 to the highest order."""
    products = [Decimal(1)]
    for _ in range(max(ORDERS)):
        products.append(products[-1] * base)
    return products


def epsilon(renyi: Sequence[float], delta: float) -> float:
    """The epsilon that Renyi DP means beside a delta.

    Args:
        renyi: nats at each of `ORDERS`.
        delta: at least 0, below 1.

    Returns:
        The least over the orders, rounded up, at least 0; infinite where no order bounds it.

    Raises:
        InputRefused: for another number of orders, or a number out of its range.

    Source: Canonne, Kamath and Steinke, "The Discrete Gaussian for Differential Privacy", arXiv
    2004.00010, proposition 12; Balle et al., arXiv 1905.09982, theorem 21. A divergence so small
    that even the total variation is at most delta (Bretagnolle and Huber: at most sqrt(1 -
    exp(-KL)), and KL is at most what any order says) means 0, as dp-accounting has it.
    """
    require_delta(delta)
    require_orders(renyi)
    with localcontext(PRECISE):
        bounds = [epsilon_at(a, Decimal(nats), Decimal(delta)) for a, nats in zip(ORDERS, renyi, strict=True)]
        return max(0.0, rounded_up(min(bounds)))


def epsilon_at(order: int, nats: Decimal, delta: Decimal) -> Decimal:
    """What one order says; may be below 0."""
    if nats == 0 or 1 - (-nats).exp() < delta * delta:
        return Decimal(0)
    if delta == 0 or nats.is_infinite():
        return Decimal("Infinity")
    return nats + gap(order, delta)


def gap(order: int, delta: Decimal) -> Decimal:
    """What an order's epsilon has more than its nats: log(1 - 1/a) - (log delta + log a) / (a - 1).

    Args:
        order: a.
        delta: above 0.
    """
    return (1 - Decimal(1) / order).ln() - (delta * order).ln() / (order - 1)


def nats_within(epsilon: float, delta: float) -> tuple[float, ...]:
    """How many nats at each order still mean at most that epsilon: `epsilon` the other way round.

    Args:
        epsilon: at least 0; may be infinite.
        delta: above 0, below 1.

    Returns:
        A number for each of `ORDERS`, rounded down, at least 0: at 0 the order says nothing of such
        an epsilon.

    Raises:
        InputRefused: for a number out of its range.
    """
    require(epsilon >= 0, f"epsilon is {epsilon!r}, and it is at least 0")
    require(0 < delta < 1, f"delta is {delta!r}, and it is above 0 and below 1")
    with localcontext(PRECISE):
        return tuple(max(0.0, rounded_down(Decimal(epsilon) - gap(a, Decimal(delta)))) for a in ORDERS)


def delta_of(renyi: Sequence[float], epsilon: float) -> float:
    """The delta that Renyi DP means beside an epsilon.

    Args:
        renyi: nats at each of `ORDERS`.
        epsilon: at least 0.

    Returns:
        The least over the orders, rounded up, at most 1.

    Raises:
        InputRefused: for another number of orders, or a number out of its range.

    Source: as of `epsilon`.
    """
    require(0 <= epsilon < math.inf, f"epsilon is {epsilon!r}, and it is at least 0")
    require_orders(renyi)
    with localcontext(PRECISE):
        return min(1.0, *(rounded_up(bound) for bound in deltas(renyi, Decimal(epsilon))))


def deltas(renyi: Sequence[float], epsilon: Decimal) -> Iterator[Decimal]:
    """What each order says, and what the total variation says."""
    for order, nats in zip(ORDERS, map(Decimal, renyi), strict=True):
        yield (1 - (-nats).exp()).sqrt()
        if nats.is_finite():
            yield ((order - 1) * (nats - epsilon + (1 - Decimal(1) / order).ln())).exp() / order


def delta_with(delta: float, epsilon: float, total_variation: float) -> float:
    """The delta of a mechanism that is not quite the one that was accounted for.

    Whoever is within a total variation of t of a mechanism that is (epsilon, delta)-DP is
    (epsilon, delta + (1 + exp(epsilon)) t)-DP: t is paid once for either neighbour.

    Args:
        delta, epsilon: of the ideal mechanism.
        total_variation: at most, over all that was drawn.

    Returns:
        The delta, rounded up, at most 1.
    """
    require(epsilon >= 0 and total_variation >= 0, "neither epsilon nor a total variation is below 0")
    require_delta(delta)
    if total_variation == 0:
        return delta
    with localcontext(PRECISE):
        return min(1.0, rounded_up(Decimal(delta) + (1 + Decimal(epsilon).exp()) * Decimal(total_variation)))


def rounded_up(value: Decimal) -> float:
    """The least float that is not below it."""
    nearest = float(value)
    return math.nextafter(nearest, math.inf) if Decimal(nearest) < value else nearest


def rounded_down(value: Decimal) -> float:
    """The greatest float that is not above it."""
    return -rounded_up(-value)


def require_orders(renyi: Sequence[float]) -> None:
    """Refuse what are not nats at each order."""
    require(len(renyi) == len(ORDERS), f"there are {len(ORDERS)} orders, not {len(renyi)}")
    require(all(nats >= 0 for nats in renyi), f"a divergence is at least 0: {tuple(renyi)!r}")


def require_delta(delta: float) -> None:
    """Refuse what is no delta."""
    require(0 <= delta < 1, f"delta is {delta!r}, and it is at least 0 and below 1")


def require(holds: bool, otherwise: str) -> None:
    """Refuse a number out of its range; what is not a number is in none."""
    if not holds:
        raise InputRefused(otherwise)
