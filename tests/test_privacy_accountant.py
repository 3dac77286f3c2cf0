"""What a training charges: our Renyi figures against their definition, and against dp-accounting's."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.privacy.accountant import ORDERS, delta_of, delta_with, epsilon, nats_within, renyi
from tests.speeds import long_unless

RATES = (0.0, 1e-12, 1e-9, 1e-7, 1e-5, 1e-3, 0.01, 32 / 455, 0.3, 0.5, 0.9, 1.0)
SIGMAS = (0.3, 0.5, 0.8, 1.0, 2.0, 7.25, 30.0, 200.0, 1000.0)
STEPS = (1, 50, 1000, 1_000_000, 10**9)
DELTAS = (1e-2, 1e-5, 1e-10, 1e-12)
RESOLVED = 2.0**-64
"""Below this a step's divergence is lost in the logarithms of doubles: what is left has any sign."""

KNOWN = {
    (32 / 455, 1.0, 568, 0.0001): 12.13973356898685,
    (32 / 455, 2.0, 568, 0.0001): 3.7998914015670255,
    (0.01, 1.0, 1000, 1e-05): 2.1077530754515745,
    (1.0, 0.3, 1, 1e-05): 21.23774221496145,
    (1e-5, 0.5, 1000000, 1e-10): 5.150981456514079,
}
"""By dp-accounting 0.6.0, for machines without it."""


def exact_divergence(order: int, rate: float, sigma: float, reverse: bool = False) -> float:
    """Renyi divergence between the discrete Gaussian and its mixture with one shifted by 1, summed
    over the integers."""
    support = range(-round(60 * sigma), round(60 * sigma) + 1)
    weights = {x: math.exp(-(x**2) / (2 * sigma**2)) for x in support}
    mixture_over_noise = {x: (1 - rate) + rate * math.exp((2 * x - 1) / (2 * sigma**2)) for x in support}
    exponent = 1 - order if reverse else order
    total = math.fsum(weight * mixture_over_noise[x] ** exponent for x, weight in weights.items() if weight)
    return math.log(total / math.fsum(weights.values())) / (order - 1)


@pytest.mark.accounting
@pytest.mark.parametrize(
    "relation", long_unless(lambda relation: relation == "ADD_OR_REMOVE_ONE", ["ADD_OR_REMOVE_ONE", "REPLACE_SPECIAL"])
)
def test_epsilon_is_dp_accountings_given_the_same_orders(relation: str) -> None:
    """To 1e-6, before anything is rounded to units of a ledger; an epsilon beyond a million to the
    last digits of a double.

    Where dp-accounting computes in doubles what none holds, its epsilon is taken of our divergence
    (`test_a_divergence_far_below_a_floats_last_digit_is_exact`).
    """
    dp = pytest.importorskip("dp_accounting")
    orders, lost = list(ORDERS), set[tuple[float, float]]()
    for rate, sigma, steps in product(RATES, SIGMAS, STEPS):
        theirs = dp.rdp.RdpAccountant(orders, getattr(dp.NeighboringRelation, relation))
        theirs.compose(dp.PoissonSampledDpEvent(rate, dp.GaussianDpEvent(sigma)), steps)
        ours, is_lost = renyi(rate, sigma, steps), 0 < min(renyi(rate, sigma, 1)) < RESOLVED
        for delta in DELTAS:
            given = dp.rdp.compute_epsilon(orders, ours, delta)[0]
            expected = given if is_lost else theirs.get_epsilon(delta)
            assert epsilon(ours, delta) == pytest.approx(expected, rel=1e-12, abs=1e-6), (rate, sigma, steps, delta)
        if is_lost:
            lost.add((rate, sigma))
    assert len(lost) < len(RATES) * len(SIGMAS) / 5 and max(lost)[0] < 1e-6, lost


@pytest.mark.parametrize("setting", KNOWN, ids=str)
def test_epsilon_is_what_it_was(setting: tuple[float, float, int, float]) -> None:
    rate, sigma, steps, delta = setting
    assert epsilon(renyi(rate, sigma, steps), delta) == pytest.approx(KNOWN[setting], abs=1e-6)


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.5, 4.0])
@pytest.mark.parametrize("rate", [0.01, 0.2, 1.0])
def test_discrete_gaussian_on_integers_obeys_the_formula_in_both_directions(sigma: float, rate: float) -> None:
    for order, bound in zip(ORDERS[:4], renyi(rate, sigma, 1), strict=False):
        assert exact_divergence(order, rate, sigma) == pytest.approx(bound, rel=1e-9)
        assert exact_divergence(order, rate, sigma, reverse=True) <= bound * (1 + 1e-9)


def test_one_step_without_sampling_is_the_gaussian_mechanism() -> None:
    for sigma in (0.3, 1.0, 7.25):
        assert renyi(1.0, sigma, 1) == pytest.approx([order / (2 * sigma**2) for order in ORDERS], rel=1e-15)


def test_a_divergence_far_below_a_floats_last_digit_is_exact() -> None:
    """Of a unit that is drawn once in 2^40 steps only the squared term counts."""
    rate, sigma = 2.0**-40, 50.0
    leading = rate**2 * math.expm1(1 / sigma**2)
    assert renyi(rate, sigma, 1)[:3] == pytest.approx([order / 2 * leading for order in ORDERS[:3]], rel=1e-11)


def test_extremes_neither_overflow_nor_vanish() -> None:
    assert renyi(0.0, 0.3, 10**6) == (0.0,) * 8
    assert renyi(0.5, 1.0, 0) == (0.0,) * 8
    assert all(0 < nats < math.inf for nats in renyi(2.0**-64, 1e6, 1))
    assert all(nats < math.inf for nats in renyi(1.0, 2.0**-10, 10**9))
    assert epsilon((math.inf,) * 8, 1e-5) == math.inf
    assert epsilon((0.0,) * 8, 0.0) == 0.0
    assert epsilon((1.0,) * 8, 0.0) == math.inf


@given(st.floats(0, 1), st.floats(0.3, 100), st.integers(0, 10**6))
def test_steps_add_up(rate: float, sigma: float, steps: int) -> None:
    of_one, of_all = renyi(rate, sigma, 1), renyi(rate, sigma, steps)
    assert of_all == pytest.approx([steps * nats for nats in of_one], rel=1e-15)


@given(st.floats(0, 1), st.floats(0.3, 100), st.floats(0.3, 100))
def test_more_noise_never_costs_more(rate: float, sigma: float, other: float) -> None:
    less, more = sorted((sigma, other))
    assert all(a <= b for a, b in zip(renyi(rate, more, 10), renyi(rate, less, 10), strict=True))


@given(st.floats(0, 50), st.floats(1e-12, 0.4))
def test_what_is_within_an_epsilon_means_at_most_it(most: float, delta: float) -> None:
    for i, nats in enumerate(nats_within(most, delta)):
        if nats > 0:
            assert epsilon([nats if k == i else math.inf for k in range(8)], delta) <= most


@given(st.floats(0.01, 1), st.floats(0.5, 10), st.integers(1, 1000), st.floats(1e-12, 0.1))
def test_delta_is_the_conversion_the_other_way_round(rate: float, sigma: float, steps: int, delta: float) -> None:
    nats = renyi(rate, sigma, steps)
    assert delta_of(nats, epsilon(nats, delta)) <= delta * (1 + 1e-12)


def test_a_total_variation_is_paid_for_either_neighbour() -> None:
    assert delta_with(1e-5, 3.0, 0.0) == 1e-5
    assert delta_with(1e-5, 3.0, 1e-9) == pytest.approx(1e-5 + (1 + math.exp(3)) * 1e-9)
    assert delta_with(1e-5, 1e6, 1e-30) == 1.0


@pytest.mark.parametrize(
    "refused",
    [
        lambda: renyi(1.1, 1, 1),
        lambda: renyi(math.nan, 1, 1),
        lambda: renyi(0.1, 0.0, 1),
        lambda: renyi(0.1, math.inf, 1),
        lambda: renyi(0.1, math.nan, 1),
        lambda: renyi(0.1, 1, -1),
        lambda: epsilon([0.0] * 7, 1e-5),
        lambda: epsilon([-1.0] * 8, 1e-5),
        lambda: epsilon([math.nan] * 8, 1e-5),
        lambda: epsilon([1.0] * 8, 1.0),
        lambda: nats_within(-1.0, 1e-5),
        lambda: nats_within(1.0, 0.0),
        lambda: delta_of([1.0] * 8, -1.0),
        lambda: delta_with(1e-5, 1.0, -1.0),
    ],
)
def test_numbers_out_of_range_are_refused(refused: object) -> None:
    assert callable(refused)
    with pytest.raises(InputRefused):
        refused()
