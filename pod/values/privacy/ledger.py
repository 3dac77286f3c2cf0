"""Budgets and charges as a contract keeps them: eight lanes of 32 bits in one word.

A lane is the Renyi DP of one of `ORDERS`, the first in the lowest bits, in units of 2^-20 nat.
Charges are rounded up and budgets down, and a full lane has forgotten how much it holds, so that no
rounding lets anybody spend more. What is added and compared here is added and compared by
`contracts/libraries/Lanes.sol`, lane for lane. Whose ledger it is is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.privacy import accountant
from fitchain.pod.values.privacy.accountant import nats_within, require_orders

UNIT = 2.0**-20
"""Nats in one unit of a lane."""

LANES = 8
BITS = 32
FULL = 2**BITS - 1

OPENED = sum(1 << (BITS * i) for i in range(LANES))
"""What a ledger has spent when it is opened: one unit in each lane (`Lanes.ONE_EACH`)."""


def charge(renyi: Sequence[float]) -> int:
    """What a training with that Renyi DP is charged.

    Args:
        renyi: nats at each of `ORDERS`, as of `accountant.renyi`.

    Returns:
        A word: each lane rounded up, at least 1, and full where it would be beyond 2^32 - 1.

    Raises:
        InputRefused: for another number of orders, or a number below 0.
    """
    require_orders(renyi)
    return word([FULL if math.isinf(nats) else min(FULL, max(1, math.ceil(units(nats)))) for nats in renyi])


def budget(epsilon: float, delta: float) -> int:
    """What may be spent under that epsilon beside a delta.

    Args:
        epsilon: at least 0; may be infinite.
        delta: above 0, below 1.

    Returns:
        A word: each lane rounded down, 0 where its order says nothing of such an epsilon, which no
        charge is within.

    Raises:
        InputRefused: for a number out of its range.
    """
    return word(
        [FULL if math.isinf(nats) else min(FULL, math.floor(units(nats))) for nats in nats_within(epsilon, delta)]
    )


def units(nats: float) -> Fraction:
    """A float's nats in units of a lane, exactly."""
    return Fraction(nats) / Fraction(UNIT)


def lanes(word: int) -> tuple[int, ...]:
    """The eight lanes of a word, the first order's first.

    Raises:
        InputRefused: for what is no word of 256 bits.
    """
    if not 0 <= word < 1 << (BITS * LANES):
        raise InputRefused(f"a word has {BITS * LANES} bits and no sign, and this is {word:#x}")
    return tuple((word >> (BITS * i)) & FULL for i in range(LANES))


def word(lanes: Sequence[int]) -> int:
    """The word of eight lanes.

    Raises:
        InputRefused: for another number of them, or one that is none of 32 bits.
    """
    if len(lanes) != LANES or not all(0 <= lane <= FULL for lane in lanes):
        raise InputRefused(f"a word has {LANES} lanes of {BITS} bits, and these are {tuple(lanes)!r}")
    return sum(lane << (BITS * i) for i, lane in enumerate(lanes))


def add(a: int, b: int) -> int:
    """Lane by lane, stopping at 2^32 - 1 (`Lanes.saturatingAdd`)."""
    return word([min(FULL, mine + other) for mine, other in zip(lanes(a), lanes(b), strict=True)])


def within(spent: int, budget: int) -> bool:
    """Whether some lane of `spent`, not full, is within that of `budget`, not zero
    (`Lanes.somewhereWithin`)."""
    return any(
        most != 0 and used != FULL and used <= most for used, most in zip(lanes(spent), lanes(budget), strict=True)
    )


def epsilon_of(word: int, delta: float) -> float:
    """The epsilon that a spent word means beside a delta; infinite where all its lanes are full.

    Args:
        word: what was spent, or charged.
        delta: above 0, below 1.

    Returns:
        At least 0, rounded up. `within(word, budget(epsilon, delta))` says that it is at most that
        epsilon.
    """
    return accountant.epsilon([math.inf if lane == FULL else lane * UNIT for lane in lanes(word)], delta)


def spent_epsilon(spent: int, delta: float) -> float:
    """What trainings have cost of a ledger, as an epsilon; 0 as long as there was none, though the
    word is not zero then."""
    return 0.0 if spent == OPENED else epsilon_of(spent, delta)


def left(spent: int, budget: int, delta: float) -> float:
    """How far what was spent stands below a budget, as an epsilon, for people.

    Budgets add up order by order and not in epsilon, so whether a job fits is asked of
    `within(add(spent, charge), budget)`.

    Args:
        spent, budget: a ledger's words.
        delta: above 0, below 1.

    Returns:
        The budget's epsilon less that of what was spent; 0 where that is not within.
    """
    return max(0.0, allowed_epsilon(budget, delta) - spent_epsilon(spent, delta)) if within(spent, budget) else 0.0


def allowed_epsilon(budget: int, delta: float) -> float:
    """The epsilon that a budget means beside a delta; infinite where all its lanes are 0, which
    nothing is within."""
    return accountant.epsilon([lane * UNIT if lane else math.inf for lane in lanes(budget)], delta)
