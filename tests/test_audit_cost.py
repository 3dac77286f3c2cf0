"""What an audit finds and costs: exact numbers against the draw itself, against enumeration and
against the bound."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.proof.audit.challenge import audited_segments
from fitchain.pod.proof.audit.cost import (
    ANCHOR_GAS,
    ANSWERED,
    DISHONEST,
    JOB_GAS,
    SHARES,
    VOTES,
    Sampling,
    SeatRisk,
    draws_needed,
    failing_job,
    parties_gas,
)
from fitchain.pod.proof.audit.plan import MOST_STAKE_FEES, AuditPlan, default_money, seat_fee
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
    seeds = (sha256(b"%d of %d" % (number, segments)) for number in range(tries))
    drawn = (audited_segments(seed, segments + 1, segments, diverged=False, drawn=wanted) for seed in seeds)
    found = sum(not faked.isdisjoint(each) for each in drawn)
    chance = float(sampling.detection(share))
    assert abs(found - tries * chance) < 4 * (tries * chance * (1 - chance)) ** 0.5


@pytest.mark.parametrize(("delivered", "always"), [(None, 2), (30, 2), (1, 2), (17, 3), (29, 3)])
def test_what_is_always_audited_follows_from_the_delivered_leaf(delivered: int | None, always: int) -> None:
    sampling, leaf = Sampling(30, 4, delivered), 30 if delivered is None else delivered
    assert (sampling.always, sampling.inner, sampling.audited) == (always, 30 - always, always + 4)
    drawn = audited_segments(sha256(b"a seed"), 31, leaf, diverged=False, drawn=4)
    assert len(drawn) == sampling.audited and {0, 29, leaf - 1} <= set(drawn)
    assert (Sampling(1, 4).always, Sampling(1, 4).audited, Sampling(0, 4).audited) == (1, 1, 0)


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


# --- what a quorum answers for ----------------------------------------------------------------


@pytest.mark.parametrize(("seats", "held", "jobs"), [(1, 0.3333, 2), (3, 0.2593, 3), (5, 0.2099, 3)])
def test_a_third_holds_a_quorum_as_often_as_the_protocol_says(seats: int, held: float, jobs: int) -> None:
    risk = SeatRisk(seats, 10, 200)
    assert float(risk.held()) == pytest.approx(held, abs=1e-4)
    assert risk.jobs_to_hold() == jobs
    assert risk.jobs_to_hold(Fraction(0)) is None
    assert risk.held(Fraction(0)) == 0 and risk.held(Fraction(1)) == 1


@given(st.sampled_from([1, 3, 5]), st.fractions(min_value=0, max_value=1, max_denominator=50))
def test_chances_of_seats_are_what_counting_every_outcome_gives(seats: int, share: Fraction) -> None:
    risk = SeatRisk(seats, 10, 200)

    def chance(outcome: tuple[bool, ...], hit: Fraction) -> Fraction:
        product_of = Fraction(1)
        for one in outcome:
            product_of *= hit if one else 1 - hit
        return product_of

    outcomes = list(product((False, True), repeat=seats))
    assert risk.held(share) == sum(chance(one, share) for one in outcomes if sum(one) >= risk.quorum)
    silent = share**VOTES
    assert risk.stalled(share) == sum(chance(one, silent) for one in outcomes if seats - sum(one) < risk.quorum)


def test_a_quorum_answers_for_its_stakes_and_fees() -> None:
    risk = SeatRisk(3, 2 * FIT, 40 * FIT)
    assert (risk.quorum, risk.fees, risk.insured) == (2, 6 * FIT, 84 * FIT)


@given(
    st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 400), st.integers(0, 50), st.sampled_from([1, 3, 5, 7])
)
def test_by_default_who_buys_a_quorum_answers_for_more_than_a_fake_is_worth(
    price: int, bond: int, segments: int, wanted: int, seats: int
) -> None:
    sampling = Sampling(segments, wanted)
    fee = seat_fee(price, bond, sampling, seats, floor=3)
    assert SeatRisk(seats, fee, MOST_STAKE_FEES * fee).insured >= price + bond
    assert fee >= 3 and fee >= price * sampling.work


def test_by_default_two_bribes_do_not_buy_a_match_that_takes_little_work() -> None:
    """Of ten thousand segments thirty are replayed: paid for its work alone, a seat would have
    little to lose."""
    price, sampling = 1000 * FIT, Sampling(10_000, 28)
    fee, bond = default_money(price, sampling, seats=3, floor=FIT)
    for_work = max(FIT, -(-price * sampling.audited // sampling.segments))
    unruled = SeatRisk(3, for_work, MOST_STAKE_FEES * for_work)
    assert unruled.insured < price + bond
    assert SeatRisk(3, fee, MOST_STAKE_FEES * fee).insured >= price + bond


@given(st.integers(0, 10**24), st.integers(1, 400), st.integers(0, 50), st.sampled_from([1, 3, 5, 7]))
def test_default_fee_and_bond_agree_with_each_other(price: int, segments: int, wanted: int, seats: int) -> None:
    sampling = Sampling(segments, wanted)
    fee, bond = default_money(price, sampling, seats, floor=FIT)
    assert fee == seat_fee(price, bond, sampling, seats, FIT)
    assert bond == max(sampling.bond_needed(price, seats * fee) or 0, seats * fee)
    assert default_money(price, sampling, seats, FIT, bond=7 * bond)[1] == 7 * bond


def test_delivered_leaf_before_the_last_is_audited_too() -> None:
    plan = AuditPlan(100, 10, 3, 3, False, FIT, FIT, 20 * FIT, None, batch_size=2, records=1000)
    other = replace(plan, delivered=5)
    assert (plan.sampling.always, other.sampling.always) == (2, 3)
    assert (plan.disclosed, other.disclosed) == (5 * 20, 6 * 20) == (5 * 20, replace(plan, chooses=True).disclosed)
    assert replace(plan, delivered=10).sampling.always == replace(plan, delivered=1).sampling.always == 2
    half = Fraction(1, 2)
    assert draws_needed(10, half, Fraction(1), delivered=5) == 7 - 4 + 1 == draws_needed(9, half, Fraction(1))


def test_what_a_job_that_fails_costs_both_together() -> None:
    assert (failing_job(9), failing_job(8 * FIT)) == (5, 4 * FIT)
    assert parties_gas(3) == JOB_GAS + 3 * ANCHOR_GAS


def test_gas_is_what_the_contracts_snapshot_measured() -> None:
    measured = json.loads((Path(__file__).parent.parent / "snapshots" / "AuditedJobOfPanel.json").read_text())
    gas = {step.partition(" ")[2]: int(used) for step, used in measured.items() if step != "whole"}
    assert sum(gas[step] for step in ("request", "accept", "begin", "finish")) == pytest.approx(JOB_GAS, rel=0.1)
    assert gas["anchor"] == pytest.approx(ANCHOR_GAS, rel=0.1)


def test_the_contract_votes_as_often_as_the_chance_counts() -> None:
    limit = (Path(__file__).parent.parent / "contracts" / "types" / "Audit.sol").read_text()
    assert f"REDRAW_LIMIT = {VOTES - 1};" in limit and Fraction(1, 3) == DISHONEST
