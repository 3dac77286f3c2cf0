"""What an audit finds and costs: exact numbers against the draw itself, against enumeration and
against the bound."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.proof.audit.challenge import challenged_segments
from fitchain.pod.proof.audit.cost import ANSWERED, SHARES, Sampling, draws_needed
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import InputRefused

FIT = 10**18
shares = st.fractions(min_value=Fraction(1, 1000), max_value=1, max_denominator=1000)


@pytest.mark.parametrize(
    ("segments", "wanted", "share"), [(12, 3, Fraction(1, 10)), (22, 4, Fraction(1, 4)), (7, 2, Fraction(1, 2))]
)
def test_detection_is_how_often_the_draw_meets_a_fake(segments: int, wanted: int, share: Fraction) -> None:
    sampling, tries = Sampling(segments, wanted), 4000
    faked = set(range(1, 1 + sampling.faked(share)))
    drawn = (challenged_segments(sha256(b"%d of %d" % (number, segments)), segments, wanted) for number in range(tries))
    found = sum(not faked.isdisjoint(each) for each in drawn)
    chance = float(sampling.detection(share))
    assert abs(found - tries * chance) < 4 * (tries * chance * (1 - chance)) ** 0.5


@given(st.integers(0, 9), st.integers(0, 12), shares)
def test_detection_is_what_counting_every_draw_gives(inner: int, wanted: int, share: Fraction) -> None:
    sampling = Sampling(inner + 2, wanted)
    faked = set(range(sampling.faked(share)))
    draws = list(combinations(range(inner), sampling.drawn_segments))
    expected = Fraction(sum(not faked.isdisjoint(draw) for draw in draws), len(draws)) if inner else 1
    assert sampling.detection(share) == expected


@given(st.integers(1, 5000), st.integers(0, 300), shares)
def test_detection_is_never_below_the_bound_and_grows_with_the_draws(
    segments: int, wanted: int, share: Fraction
) -> None:
    sampling = Sampling(segments, wanted)
    assert float(sampling.detection(share)) >= sampling.bound(share) - 1e-12
    assert sampling.detection(share) <= Sampling(segments, wanted + 1).detection(share)


@given(st.integers(1, 3000), shares, st.fractions(min_value=0, max_value=1, max_denominator=1000))
def test_draws_needed_are_enough_and_one_less_is_not(segments: int, share: Fraction, wanted: Fraction) -> None:
    needed = draws_needed(segments, share, wanted)
    assert Sampling(segments, needed).detection(share) >= wanted
    assert needed == 0 or Sampling(segments, needed - 1).detection(share) < wanted


@pytest.mark.parametrize(("wanted", "needed"), [("0.95", 29), ("0.99", 44), ("0.999", 66)])
def test_a_tenth_faked_of_a_long_training_needs_the_protocols_figures(wanted: str, needed: int) -> None:
    assert draws_needed(10**6, Fraction(1, 10), Fraction(wanted)) == needed


def test_billions_of_segments_are_counted_at_once() -> None:
    sampling = Sampling(1 << 32, 9000)
    assert float(sampling.detection(Fraction(1, 1000))) == pytest.approx(1 - 0.999**9000)
    assert sampling.bond_needed(9 * FIT, FIT) == 2 * FIT
    assert draws_needed(1 << 32, Fraction(1, 100), Fraction(1)) == ((1 << 32) - 2) * 99 // 100 + 1


@pytest.mark.parametrize("share", [Fraction(0), Fraction(3, 2), Fraction(-1)])
def test_a_share_that_is_none_is_refused(share: Fraction) -> None:
    with pytest.raises(InputRefused, match="a faked share is above 0"):
        draws_needed(10, share, Fraction(1, 2))


@given(st.integers(3, 120), st.integers(1, 40), st.integers(0, 1000), st.integers(0, 1000))
def test_with_the_bond_no_fake_pays_and_with_less_one_does(segments: int, wanted: int, price: int, fee: int) -> None:
    sampling = Sampling(segments, wanted)
    bond = sampling.bond_needed(price, fee)
    assert bond is not None

    def gain(faked: int, bond: int) -> Fraction:
        """What faking is worth beside honest work: what is saved, less what an audit takes."""
        share = Fraction(faked, sampling.inner)
        return share * price - ANSWERED * sampling.detection(share) * (price + bond - fee)

    assert all(gain(faked, bond) <= 0 for faked in range(1, sampling.inner + 1))
    assert bond == fee or any(gain(faked, bond - 1) > 0 for faked in range(1, sampling.inner + 1))


@given(st.integers(3, 500), st.integers(1, 60), shares)
def test_the_bond_of_every_share_is_within_the_one_for_all(segments: int, wanted: int, share: Fraction) -> None:
    sampling = Sampling(segments, wanted)
    of_share, of_all = (sampling.bond_needed(70 * FIT, FIT, each) for each in (share, None))
    assert of_share is not None and of_all is not None and FIT <= of_share <= of_all


def test_no_bond_is_enough_where_nothing_is_drawn() -> None:
    assert Sampling(50, 0).bond_needed(FIT, 0) is None
    assert Sampling(2, 0).bond_needed(9 * FIT, 0) == FIT  # both segments are audited in any case


def test_work_and_records_of_an_audit() -> None:
    sampling = Sampling.of(steps=100, segment_steps=4, wanted=3)
    assert (sampling.segments, sampling.inner, sampling.drawn_segments, sampling.audited) == (25, 23, 3, 5)
    assert sampling.work == Fraction(1, 5)
    assert sampling.disclosed(segment_steps=4, batch_size=8, records=1000) == 160
    assert sampling.disclosed(segment_steps=4, batch_size=8, records=100) == 100
    assert [sampling.faked(share) for share in SHARES] == [1, 2, 3, 12]
    whole = Sampling.of(steps=5, segment_steps=4, wanted=9)
    assert (whole.drawn_segments, whole.audited, float(whole.work), float(whole.detection(SHARES[0]))) == (0, 2, 1, 1)
