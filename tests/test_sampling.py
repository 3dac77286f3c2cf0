"""Secret sampling: each unit by itself, with exactly the rate."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import blake3
import numpy as np
import pytest

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.privacy.sampling import sampled

KEY, SEED = bytes(range(32)), bytes(range(32, 64))
KNOWN = "dc82f86f979dfbdb9c0f8537cc7612a1e9cfca7548d15375f6838968b29a5e0b"
RATE = Fraction(32 * 2**32 // 455, 2**32)


def slowly(step: int, units: int, rate: Fraction) -> list[int]:
    """The same with whole numbers: 64 bits of each unit below the rate."""
    hasher = blake3.blake3(SEED + step.to_bytes(8, "big") + b"\xff", key=KEY)
    first, drawn, further = hasher.digest(length=units), [], 0
    for unit, bits in enumerate(first):
        value = Fraction(bits, 2**8)
        if value <= rate < value + Fraction(1, 2**8):
            word = int.from_bytes(hasher.digest(length=8, seek=(1 << 56) + 8 * further), "little")
            value, further = value + Fraction(word >> 8, 2**64), further + 1
        if value < rate:
            drawn.append(unit)
    return drawn


@pytest.mark.parametrize("rate", [RATE, Fraction(1, 2**10), Fraction(1, 2**64), Fraction(255, 256), Fraction(1, 2)])
def test_units_are_what_whole_numbers_give(rate: Fraction) -> None:
    assert sampled(KEY, SEED, 3, 70_000, rate).tolist() == slowly(3, 70_000, rate)


def test_units_are_the_same_on_every_machine() -> None:
    drawn = sampled(KEY, SEED, 7, 100_000, RATE)
    assert drawn.dtype == np.uint64
    assert hashlib.sha256(drawn.astype("<u8").tobytes()).hexdigest() == KNOWN


def test_every_unit_is_drawn_as_often_as_the_rate_says() -> None:
    steps, units = 4000, 455
    counts = np.zeros(units, int)
    sizes = []
    for step in range(steps):
        drawn = sampled(KEY, SEED, step, units, RATE)
        counts[drawn.astype(int)] += 1
        sizes.append(len(drawn))
    mean, variance = steps * float(RATE), steps * float(RATE * (1 - RATE))
    assert abs(((counts - mean) ** 2 / variance).sum() - units) < 5 * (2 * units) ** 0.5
    assert abs(np.mean(sizes) - units * float(RATE)) < 4 * (units * float(RATE) / steps) ** 0.5
    assert abs(np.var(sizes) / (units * float(RATE * (1 - RATE))) - 1) < 5 * (2 / steps) ** 0.5


def test_all_none_and_nobody() -> None:
    assert sampled(KEY, SEED, 0, 1000, Fraction(1)).tolist() == list(range(1000))
    assert sampled(KEY, SEED, 0, 1000, Fraction(0)).tolist() == []
    assert sampled(KEY, SEED, 0, 0, RATE).tolist() == []
    assert min(len(sampled(KEY, SEED, step, 10, Fraction(1, 8))) for step in range(50)) == 0


def test_more_units_change_nothing_for_those_before_them() -> None:
    fewer, more = (sampled(KEY, SEED, 5, units, RATE) for units in (100_000, 150_000))
    assert more[more < 100_000].tolist() == fewer.tolist()


def test_steps_and_keys_draw_others() -> None:
    drawn = [
        set(sampled(key, SEED, step, 10_000, Fraction(1, 2)).tolist()) for key, step in ((KEY, 0), (KEY, 1), (SEED, 0))
    ]
    assert all(2200 < len(drawn[a] & drawn[b]) < 2800 for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("rate", [Fraction(1, 3), Fraction(-1, 2), Fraction(3, 2), Fraction(1, 2**65)])
def test_a_rate_that_is_not_exact_is_refused(rate: Fraction) -> None:
    with pytest.raises(InputRefused, match="multiple of 2\\^-64"):
        sampled(KEY, SEED, 0, 10, rate)


def test_fewer_than_no_units_are_refused() -> None:
    with pytest.raises(InputRefused):
        sampled(KEY, SEED, 0, -1, RATE)
