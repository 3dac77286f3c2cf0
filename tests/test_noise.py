"""Keyed noise: the very distribution that it is said to be, and the same bits everywhere."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from bisect import bisect_right
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import blake3
import numpy as np
import numpy.typing as npt
import pytest

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.privacy.accountant import renyi
from fitchain.pod.values.privacy.noise import (
    PRECISE,
    UNDECIDED,
    DiscreteGaussian,
    Level,
    decimal,
    discrete_gaussian,
    levels,
    table_of,
    variation_of_sum,
)
from fitchain.pod.values.privacy.stream import Stream

ROOT = Path(__file__).parent.parent
KEY, SEED = bytes(range(32)), bytes(range(32, 64))
DRAWS = 1_000_000

# SHA-256 of 10,000 draws with KEY and SEED, step 7, domain 1, as little-endian int64: a change here
# is another noise, which no earlier training replays with.
KNOWN = {
    Fraction(1, 2): "8218c5813c069f56931655a3ca105d72914fec591cd6a4f1aac3ad990b59f96f",
    Fraction(3): "44ce3ad774b66785d73212bc56f0c427792dc22f806b2e65eb83cd80960b4e19",
    Fraction(128): "837e613182401fd92a8a953fdb73121d49999fad8ad82ceeba3bacb6f54097ad",
    Fraction(1000): "bb031932049b3a4f637d74de11d0f0e84fb266063bf40380bd92e54ed3ca55f1",
    Fraction(100_001, 3): "fffbdf129ed28f98505675bc5303132afd82ba58eb6e4a6f8a5e01e8d6d73853",
    Fraction(2**22): "60de4a714e8f07cc4dfd357e41d45e48b32d316616c522389fa317c57138ce10",
}


def draw(sigma: Fraction | int, count: int, step: int = 7, domain: int = 1) -> npt.NDArray[np.int64]:
    return discrete_gaussian(Fraction(sigma)).draw(KEY, SEED, step, domain, count)


def ideal(variance: Fraction, reach: int) -> dict[int, Decimal]:
    """The discrete Gaussian's probabilities, within what lies beyond `reach`."""
    with localcontext(PRECISE):
        weights = {x: (decimal(-Fraction(x * x) / (2 * variance))).exp() for x in range(reach + 1)}
        total = weights[0] + 2 * sum(weight for x, weight in weights.items() if x)
        return {x: weights[abs(x)] / total for x in range(-reach, reach + 1)}


def convolved(coarse: dict[int, Decimal], fine: dict[int, Decimal], k: int) -> dict[int, Decimal]:
    """The probabilities of k Y + Z."""
    with localcontext(PRECISE):
        together: dict[int, Decimal] = {}
        for y, p in coarse.items():
            for z, q in fine.items():
                together[k * y + z] = together.get(k * y + z, Decimal(0)) + p * q
        return together


def distance(p: dict[int, Decimal], q: dict[int, Decimal]) -> Decimal:
    """Total variation."""
    with localcontext(PRECISE):
        return sum((abs(p.get(x, Decimal(0)) - q.get(x, Decimal(0))) for x in p.keys() | q.keys()), Decimal(0)) / 2


def of_table(level: Level) -> dict[int, Decimal]:
    """What a table really gives."""
    with localcontext(PRECISE):
        return {i - level.table.reach: Decimal(p) / 2**128 for i, p in enumerate(level.table.probabilities)}


@pytest.mark.parametrize("sigma", KNOWN, ids=str)
def test_draws_are_the_same_on_every_machine(sigma: Fraction) -> None:
    assert hashlib.sha256(draw(sigma, 10_000).astype("<i8").tobytes()).hexdigest() == KNOWN[sigma]


def test_decimals_written_in_python_make_the_same_tables() -> None:
    """As C's do: both keep to the specification to the last digit."""
    code = (
        "import sys, _pydecimal; sys.modules['decimal'] = _pydecimal; from fractions import Fraction\n"
        "from fitchain.pod.values.privacy.noise import table_of\n"
        "from fitchain.pod.values.privacy.accountant import renyi\n"
        "print(table_of(Fraction(10_001, 7)).thresholds, renyi(32 / 455, 2.45, 568))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{table_of(Fraction(10_001, 7)).thresholds} {renyi(32 / 455, 2.45, 568)}\n"


@pytest.mark.parametrize("sigma", [Fraction(1, 2), Fraction(3), Fraction(100), Fraction(130)])
def test_draws_follow_the_exact_distribution(sigma: Fraction) -> None:
    """Pearson's statistic over all integers that are expected at least ten times; it is within five
    of its standard deviations."""
    reach = int(14 * sigma) + 1
    numbers, expected = np.arange(-reach, reach + 1), ideal(sigma**2, reach)
    counts = np.bincount(draw(sigma, DRAWS) + reach, minlength=len(numbers))
    means = np.array([float(expected[int(x)]) for x in numbers]) * DRAWS
    often = means >= 10
    statistic = float((((counts - means) ** 2)[often] / means[often]).sum())
    freedom = int(often.sum())
    assert abs(statistic - freedom) < 5 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("sigma", [Fraction(1), Fraction(128), Fraction(1000), Fraction(10**5), Fraction(2**22)])
def test_moments_are_those_of_the_gaussian(sigma: Fraction) -> None:
    scaled = draw(sigma, DRAWS) / float(sigma)
    error = DRAWS**-0.5
    assert abs(scaled.mean()) < 4 * error
    assert abs((scaled**2).mean() - 1) < 4 * 2**0.5 * error
    assert abs((scaled**3).mean()) < 4 * 15**0.5 * error
    assert abs((scaled**4).mean() - 3) < 4 * 96**0.5 * error
    assert abs((scaled > 0).mean() - (scaled < 0).mean()) < 4 * error
    assert 4 < abs(scaled).max() < 7


def test_tails_are_as_heavy_as_they_should_be() -> None:
    beyond = {2: 0.04550026, 3: 0.002699796, 4: 6.334248e-05}
    scaled = abs(draw(10_000, 4 * DRAWS)) / 10_000
    for deviations, share in beyond.items():
        count, mean = int((scaled > deviations).sum()), 4 * DRAWS * share
        assert abs(count - mean) < 4 * mean**0.5


def test_least_bits_of_large_noise_are_even() -> None:
    bits = np.bincount(draw(10**5, DRAWS) % 64, minlength=64)
    assert abs(((bits - DRAWS / 64) ** 2 / (DRAWS / 64)).sum() - 63) < 5 * 126**0.5


@pytest.mark.parametrize("variance", [Fraction(1, 4), Fraction(2), Fraction(10_001, 7), Fraction(128**2)])
def test_table_is_symmetric_and_within_its_total_variation(variance: Fraction) -> None:
    (level,) = levels(variance)
    table = level.table
    assert sum(table.probabilities) == 2**128 and table.probabilities == table.probabilities[::-1]
    assert table.thresholds == sorted(set(table.thresholds)) and table.thresholds[-1] < 2**128
    far = ideal(variance, 2 * table.reach)
    assert 0 < distance(of_table(level), far) <= table.total_variation < Decimal(2) ** -114


def test_sum_of_draws_is_within_its_total_variation() -> None:
    """All that a draw of sigma 150 can give, convolved exactly."""
    gaussian = DiscreteGaussian(150)
    coarse, fine = gaussian._levels
    together = convolved(of_table(coarse), of_table(fine), 2**fine.bits)
    assert distance(together, ideal(Fraction(150**2), 2400)) <= Decimal(gaussian.total_variation) < Decimal("1e-34")


@pytest.mark.parametrize(
    ("coarse", "fine", "k"), [(1, 4, 2), (2, 4, 2), (1, 1, 1), (3, 36, 4), (Fraction(5, 2), Fraction(37, 2), 3)]
)
def test_variation_of_a_sum_is_bounded_where_it_is_large_enough_to_be_seen(
    coarse: Fraction, fine: Fraction, k: int
) -> None:
    coarse, fine = Fraction(coarse), Fraction(fine)
    together = convolved(ideal(coarse, 40), ideal(fine, 120), k)
    actual = distance(together, ideal(k * k * coarse + fine, 300))
    bound = variation_of_sum(coarse, fine, k * k)
    assert Decimal("1e-40") < bound / 10 < actual <= bound


@pytest.mark.parametrize(
    "sigma", [Fraction(1, 2), Fraction(129), Fraction(150), Fraction(10**6, 7), Fraction(2**24), Fraction(2**34)]
)
def test_variances_of_the_summands_add_up_exactly(sigma: Fraction) -> None:
    variance = sigma**2
    for level in reversed(levels(variance)[1:]):
        coarse = variance // 4**level.bits - 9
        fine = variance - 4**level.bits * coarse
        assert coarse >= 87 and 9 * 4**level.bits <= fine < 10 * 4**level.bits
        assert level.table is table_of(fine) and level.total_variation < Decimal(2) ** -200
        variance = Fraction(coarse)
    assert levels(sigma**2)[0].table is table_of(variance)


def test_total_variation_of_a_long_training_is_nothing_beside_a_delta() -> None:
    for sigma in (Fraction(1, 2), Fraction(1000), Fraction(2**24), Fraction(2**34)):
        gaussian = DiscreteGaussian(sigma)
        assert 0 < gaussian.total_variation < 1e-34
        assert gaussian.total_variation_of(10**12) < 1e-22
    assert gaussian.total_variation_of(10**40) == 1.0


def slow_draw(sigma: int, count: int) -> list[int]:
    """Draws by one table, from the stream's bytes and whole numbers alone."""
    hasher = blake3.blake3(SEED + (7).to_bytes(8, "big") + b"\x01", key=KEY)
    first = hasher.digest(length=2 * count)
    further = iter(range(count))
    table = table_of(Fraction(sigma) ** 2)
    numbers = []
    for i in range(count):
        bits = int.from_bytes(first[2 * i : 2 * i + 2], "little")
        low, high = bits << 112, (bits + 1 << 112) - 1
        if bisect_right(table.thresholds, low) != bisect_right(table.thresholds, high):
            word = int.from_bytes(hasher.digest(length=8, seek=(1 << 56) + 8 * next(further)), "little")
            low = bits << 112 | word >> 16 << 64
            assert bisect_right(table.thresholds, low) == bisect_right(table.thresholds, low | 2**64 - 1)
        numbers.append(bisect_right(table.thresholds, low) - table.reach)
    return numbers


@pytest.mark.parametrize("sigma", [1, 3, 100])
def test_draws_are_what_whole_numbers_give(sigma: int) -> None:
    assert draw(sigma, 40_000).tolist() == slow_draw(sigma, 40_000)


def test_a_number_that_begins_as_a_threshold_is_decided_by_its_last_bits() -> None:
    table = table_of(Fraction(100**2))
    chosen = [0, 1, 500, len(table.thresholds) - 1]
    ties = Stream(KEY, SEED, 0, 1).region(2)
    drawn = table.outcomes(table.high[chosen], Stream(KEY, SEED, 0, 1).region(2))
    for i, outcome in zip(chosen, drawn, strict=True):
        uniform = int(table.high[i]) << 64 | int.from_bytes(ties.read(8), "little")
        assert outcome == bisect_right(table.thresholds, uniform) - table.reach


def test_guide_answers_only_where_every_number_has_the_same_outcome() -> None:
    table = table_of(Fraction(50**2))
    for bits in range(2**16):
        low, high = (bisect_right(table.thresholds, x) for x in (bits << 112, (bits + 1 << 112) - 1))
        assert table.guide[bits] == (low - table.reach if low == high else UNDECIDED)


def test_fewer_draws_are_the_first_of_more() -> None:
    assert draw(1000, 100_000)[:40_001].tolist() == draw(1000, 40_001).tolist()
    assert draw(1000, 0).tolist() == []


def test_every_key_seed_step_and_domain_has_its_own_noise() -> None:
    gaussian = DiscreteGaussian(10**4)
    others = [
        (KEY, SEED, 7, 1),
        (SEED, SEED, 7, 1),
        (KEY, KEY, 7, 1),
        (KEY, SEED, 8, 1),
        (KEY, SEED, 7, 0),
        (KEY, SEED, 7 << 8, 1),
    ]
    drawn = [gaussian.draw(*other, 10_000) / 1e4 for other in others]
    correlations = np.corrcoef(drawn) - np.eye(len(others))
    assert abs(correlations).max() < 0.05


@pytest.mark.parametrize("sigma", [Fraction(49, 100), 2**34 + 1, 0, -1])
def test_a_sigma_out_of_range_is_refused(sigma: Fraction | int) -> None:
    with pytest.raises(InputRefused, match="sigma of 1/2 to 17179869184"):
        DiscreteGaussian(sigma)


@pytest.mark.parametrize(
    ("key", "seed", "step", "domain"),
    [(KEY[:31], SEED, 0, 1), (KEY, SEED + b"0", 0, 1), (KEY, SEED, -1, 1), (KEY, SEED, 2**64, 1)]
    + [(KEY, SEED, 0, domain) for domain in (-1, 255, 256)],
)
def test_what_names_no_stream_is_refused(key: bytes, seed: bytes, step: int, domain: int) -> None:
    with pytest.raises(InputRefused):
        DiscreteGaussian(1).draw(key, seed, step, domain, 1)
