"""Audits without a replay: which segments are drawn, what a vote binds, what evidence says and what
is checked of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.compute.dataset.order import epoch_draws, permutation, permutation_end
from fitchain.pod.proof.audit.challenge import audited_segments, challenged_segments
from fitchain.pod.proof.audit.vote import Outcome, commitment, trace_digest
from fitchain.pod.values.digest import ZERO, Digest, sha256
from tests.training_jobs import CTX, SEED

VOTER = "0x5555555555555555555555555555555555555555"
words = st.binary(min_size=32, max_size=32).map(Digest)


# The challenge


@given(words, st.integers(0, 400), st.integers(0, 80))
def test_drawn_are_the_ends_and_distinct_inner_segments(seed: Digest, segments: int, count: int) -> None:
    drawn = challenged_segments(seed, segments, count)
    assert list(drawn) == sorted(set(drawn))
    assert set(drawn) >= ({0, segments - 1} if segments else set())
    assert all(0 <= segment < segments for segment in drawn)
    assert len(drawn) == min(segments, 2) + min(count, max(segments - 2, 0))


@given(words, st.integers(1, 300), st.integers(0, 300))
def test_the_end_of_a_shuffle_needs_no_more_than_its_draws(seed: Digest, count: int, wanted: int) -> None:
    wanted = min(wanted, count)
    draws = epoch_draws(seed, 0)
    assert permutation_end(count, wanted, draws) == permutation(count, draws).tolist()[count - wanted :]


def test_a_challenge_over_billions_of_segments_costs_what_it_draws() -> None:
    assert len(challenged_segments(SEED, 1 << 31, 30)) == 32


def test_every_inner_segment_is_drawn_equally_often() -> None:
    times = [0] * 10
    for number in range(4000):
        for segment in challenged_segments(sha256(str(number).encode()), 10, 2):
            times[segment] += 1
    assert times[0] == times[9] == 4000
    assert all(abs(count - 1000) < 4 * 27.4 for count in times[1:9])  # 4 sigma of a binomial of 4000 and 1/4


def test_a_run_that_diverged_has_one_more_audited_segment() -> None:
    assert audited_segments(SEED, 3, 9, diverged=True) == (0, 1, 2, 3)
    assert audited_segments(SEED, 3, 9, diverged=False) == (0, 1, 2)
    assert audited_segments(SEED, 0, 9, diverged=True) == (0,)


# The vote


def test_a_trace_binds_round_challenge_count_and_every_state() -> None:
    states = [sha256(b"a"), ZERO]
    told = trace_digest(CTX, SEED, 0, states)
    others = [
        trace_digest(SEED, SEED, 0, states),
        trace_digest(CTX, CTX, 0, states),
        trace_digest(CTX, SEED, 1, states),
        trace_digest(CTX, SEED, 0, states[::-1]),
        trace_digest(CTX, SEED, 0, states[:1]),
    ]
    assert len({told, *others}) == 6


@pytest.mark.parametrize("place", range(6))
def test_a_commitment_binds_every_part_of_a_vote(place: int) -> None:
    vote = [CTX, 0, VOTER, Outcome.MATCH, SEED, sha256(b"salt")]
    other = [SEED, 1, VOTER[:-1] + "6", Outcome.MISMATCH, CTX, ZERO]
    changed = [*vote[:place], other[place], *vote[place + 1 :]]
    assert commitment(*vote) != commitment(*changed)  # type: ignore[arg-type]
