"""Budgets and charges: no rounding favours who spends, and the contract's lanes are ours."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.privacy import accountant
from fitchain.pod.values.privacy.accountant import nats_within, renyi
from fitchain.pod.values.privacy.ledger import (
    FULL,
    OPENED,
    UNIT,
    add,
    budget,
    charge,
    epsilon_of,
    lanes,
    left,
    spent_epsilon,
    within,
    word,
)
from fitchain.pod.values.privacy.terms import GRID, sigma_for

LANE = st.one_of(st.integers(0, FULL), st.sampled_from([0, 1, 2, FULL - 1, FULL]))
WORDS = st.lists(LANE, min_size=8, max_size=8).map(word)
NATS = st.lists(st.one_of(st.floats(0, 5000), st.just(math.inf), st.just(0.0)), min_size=8, max_size=8)
DELTAS = st.floats(1e-12, 0.4)


@given(NATS)
def test_a_charge_is_never_less_than_what_it_is_of(nats: list[float]) -> None:
    for lane, exact in zip(lanes(charge(nats)), nats, strict=True):
        assert 1 <= lane <= FULL
        assert lane == FULL or (lane - 1) * Fraction(UNIT) < max(Fraction(exact), Fraction(1, 2**40))
        assert lane == FULL or lane * Fraction(UNIT) >= Fraction(exact)


@given(st.floats(0, 5000), DELTAS)
def test_a_budget_is_never_more_than_its_epsilon(most: float, delta: float) -> None:
    for lane, exact in zip(lanes(budget(most, delta)), nats_within(most, delta), strict=True):
        assert lane * Fraction(UNIT) <= Fraction(exact)
        assert lane == FULL or (lane + 1) * Fraction(UNIT) > Fraction(exact)


@given(WORDS, st.floats(0, 100), DELTAS)
def test_what_is_within_a_budget_means_at_most_its_epsilon(spent: int, most: float, delta: float) -> None:
    assert not within(spent, budget(most, delta)) or epsilon_of(spent, delta) <= most


@given(NATS, NATS, st.floats(0, 100), DELTAS)
def test_charges_within_a_budget_are_of_trainings_within_its_epsilon(
    a: list[float], b: list[float], most: float, delta: float
) -> None:
    """However often is rounded: the ledger's sum is over what was really spent."""
    if within(add(charge(a), charge(b)), budget(most, delta)):
        assert accountant.epsilon([mine + other for mine, other in zip(a, b, strict=True)], delta) <= most


@given(WORDS, WORDS, WORDS)
def test_adding_has_no_order_and_never_takes_away(a: int, b: int, c: int) -> None:
    assert add(a, b) == add(b, a)
    assert add(add(a, b), c) == add(a, add(b, c))
    assert all(together >= alone for together, alone in zip(lanes(add(a, b)), lanes(a), strict=True))


@given(WORDS)
def test_a_word_is_its_lanes(packed: int) -> None:
    assert word(lanes(packed)) == packed


def test_first_order_lies_in_the_lowest_bits() -> None:
    assert word([1, 2, 0, 0, 0, 0, 0, 0]) == 1 + (2 << 32)
    assert lanes(charge(renyi(1.0, 1.0, 1))) == tuple(order * 2**19 for order in accountant.ORDERS)


def test_nothing_is_within_a_zero_lane_and_no_full_lane_is_within_anything() -> None:
    assert not within(0, 0) and not within(OPENED, 0)
    assert not within(2**256 - 1, 2**256 - 1)
    assert within(word([FULL] * 7 + [5]), word([FULL] * 7 + [5]))
    assert not within(word([FULL] * 7 + [6]), word([FULL] * 7 + [5]))


def test_a_ledger_as_it_was_opened_has_spent_nothing() -> None:
    assert spent_epsilon(OPENED, 1e-5) == 0 < spent_epsilon(add(OPENED, OPENED), 1e-5) < 0.1
    assert left(OPENED, budget(3, 1e-5), 1e-5) == pytest.approx(3, abs=1e-3)


def test_infinite_is_a_full_lane() -> None:
    assert charge([math.inf] * 8) == 2**256 - 1 == budget(math.inf, 1e-5)
    assert epsilon_of(2**256 - 1, 1e-5) == math.inf


def test_what_is_left_goes_from_the_budget_to_nothing() -> None:
    allowed, job = budget(3.0, 1e-5), charge(renyi(0.05, 4.0, 200))
    shares = [left(OPENED, allowed, 1e-5)]
    spent = OPENED
    while within(spent := add(spent, job), allowed):
        shares.append(left(spent, allowed, 1e-5))
    assert 2.8 < shares[0] <= 3 and shares == sorted(shares, reverse=True) and len(shares) > 2
    assert left(spent, allowed, 1e-5) == 0


@pytest.mark.parametrize("refused", [-1, 2**256])
def test_what_is_no_word_is_refused(refused: int) -> None:
    with pytest.raises(InputRefused, match="256 bits"):
        lanes(refused)


@pytest.mark.parametrize("refused", [[1] * 7, [1] * 9, [-1] * 8, [2**32] * 8])
def test_what_are_no_lanes_is_refused(refused: list[int]) -> None:
    with pytest.raises(InputRefused, match="8 lanes"):
        word(refused)


# From an epsilon to its noise


@pytest.mark.parametrize("epsilon", [0.5, 3.0, 8.0, 40.0])
@pytest.mark.parametrize(("rate", "steps"), [(32 / 455, 568), (1.0, 20), (0.001, 100_000)])
def test_sigma_is_the_least_that_fits_a_new_ledger(epsilon: float, rate: float, steps: int) -> None:
    sigma, allowed = sigma_for(epsilon, 1e-4, rate, steps), budget(epsilon, 1e-4)
    assert (sigma * GRID).is_integer()
    assert within(add(OPENED, charge(renyi(rate, sigma, steps))), allowed)
    assert not within(add(OPENED, charge(renyi(rate, sigma - 1 / GRID, steps))), allowed)
    assert accountant.epsilon(renyi(rate, sigma, steps), 1e-4) <= epsilon


def test_an_epsilon_that_takes_too_much_noise_is_refused_with_what_would_reach_it() -> None:
    with pytest.raises(InputRefused, match="above 1000") as refused:
        sigma_for(0.1, 1e-5, 0.5, 10**9)
    steps = int(refused.value.hint.split()[2])
    assert sigma_for(0.1, 1e-5, 0.5, steps) <= 1000
    with pytest.raises(InputRefused):
        sigma_for(0.1, 1e-5, 0.5, steps + 1)
    assert "expected batch of at most 0.1%" in refused.value.hint


def test_an_epsilon_below_what_the_orders_can_say_is_refused() -> None:
    with pytest.raises(InputRefused) as refused:
        sigma_for(0.05, 1e-5, 0.1, 10)
    assert refused.value.hint == "no steps and no batch would reach it: ask for a larger epsilon"
