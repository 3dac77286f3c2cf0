"""Audits without a replay: which segments are drawn, what a vote binds, what evidence says and what
is checked of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.compute.dataset.order import epoch_draws, keyed_draws, permutation, permutation_end
from fitchain.pod.ports.agreement import audit_id
from fitchain.pod.proof.audit.challenge import NOBODY_JOINED, always_audited, audited_segments, segment_seed
from fitchain.pod.proof.audit.vote import Outcome, commitment, trace_digest
from fitchain.pod.values.digest import ZERO, Digest, sha256, tagged
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.hash_chain import CHAIN_LINKS, link_at, links_before
from fitchain.pod.values.ids import AgreementId, AuditId, AuditRef
from tests.training_jobs import CTX, SEED

VOTER = "0x5555555555555555555555555555555555555555"
words = st.binary(min_size=32, max_size=32).map(Digest)


# The challenge


@given(words, st.integers(2, 400), st.integers(0, 80), st.booleans(), st.data())
def test_audited_are_what_always_is_and_distinct_others(
    seed: Digest, count: int, wanted: int, diverged: bool, data: st.DataObject
) -> None:
    segments = count - 1
    delivered = segments if diverged else data.draw(st.integers(1, segments))
    audited = audited_segments(seed, count, delivered, diverged, wanted)
    always = {0, segments - 1, delivered - 1} | ({segments} if diverged else set())
    assert list(audited) == sorted(set(audited))
    assert set(audited) >= always == set(always_audited(count, delivered, diverged))
    assert all(0 <= segment < segments + diverged for segment in audited)
    # what ProofOfTrain.auditedSegments says
    kept = (2 if count > 2 else segments) + (1 < delivered < segments) + diverged
    assert len(audited) == kept + min(wanted, segments + diverged - kept)


def test_a_run_that_diverged_in_its_first_segment_is_audited_there() -> None:
    assert audited_segments(SEED, 1, 0, True, 9) == (0,)


@pytest.mark.parametrize(("count", "delivered"), [(0, 0), (3, 0), (3, 3), (3, -1)])
def test_a_leaf_that_is_none_cannot_be_delivered(count: int, delivered: int) -> None:
    with pytest.raises(InputRefused, match=f"leaf {delivered} of {count} cannot be the delivered one"):
        audited_segments(SEED, count, delivered, False, 1)


def test_the_drawn_segments_are_the_end_of_a_shuffle_of_the_others() -> None:
    others = [segment for segment in range(40) if segment not in (0, 39, 16)]
    shuffled = permutation(len(others), keyed_draws(tagged("fitchain/challenge/v2", SEED))).tolist()
    drawn = {others[place] for place in shuffled[-5:]}
    assert set(audited_segments(SEED, 41, 17, False, 5)) == {0, 39, 16} | drawn


def test_a_segment_seed_is_of_the_draw_and_the_beginnings_of_all_links() -> None:
    links = [bytes(range(seat, seat + 26)) for seat in range(3)]
    told = segment_seed(SEED, links)
    assert told == Digest(keccak(bytes(SEED) + b"".join(link[:12] for link in links)))
    assert told == segment_seed(SEED, [*links[:2], links[2][:12] + bytes(14)])
    others = [
        segment_seed(CTX, links),
        segment_seed(SEED, links[::-1]),
        segment_seed(SEED, [*links[:2], NOBODY_JOINED]),
    ]
    assert len({told, *others}) == 4


@given(words, st.integers(1, 300), st.integers(0, 300))
def test_the_end_of_a_shuffle_needs_no_more_than_its_draws(seed: Digest, count: int, wanted: int) -> None:
    wanted = min(wanted, count)
    draws = epoch_draws(seed, 0)
    assert permutation_end(count, wanted, draws).tolist() == permutation(count, draws).tolist()[count - wanted :]


def test_a_challenge_over_billions_of_segments_costs_what_it_draws() -> None:
    assert len(audited_segments(SEED, 1 + (1 << 31), 1 << 30, False, 30)) == 33


def test_every_inner_segment_is_drawn_equally_often() -> None:
    times = [0] * 10
    for number in range(4000):
        for segment in audited_segments(sha256(str(number).encode()), 11, 10, False, 2):
            times[segment] += 1
    assert times[0] == times[9] == 4000
    assert all(abs(count - 1000) < 4 * 27.4 for count in times[1:9])  # 4 sigma of a binomial of 4000 and 1/4


def test_a_run_that_diverged_has_one_more_audited_segment() -> None:
    assert audited_segments(SEED, 4, 3, True, 9) == (0, 1, 2, 3)
    assert audited_segments(SEED, 4, 3, False, 9) == (0, 1, 2)
    assert audited_segments(SEED, 4, 2, False, 0) == (0, 1, 2)


# The vote


def test_a_trace_binds_audit_round_count_and_every_state() -> None:
    states, audit = [sha256(b"a"), ZERO], audit_id(AuditRef(AgreementId(CTX)))
    told = trace_digest(audit, 0, states)
    others = [
        trace_digest(audit_id(AuditRef(AgreementId(CTX), 1)), 0, states),
        trace_digest(audit, 1, states),
        trace_digest(audit, 0, states[::-1]),
        trace_digest(audit, 0, states[:1]),
    ]
    assert len({told, *others}) == 5


def test_a_trace_without_any_state_is_the_one_that_the_contract_refuses() -> None:
    vectors = json.loads((Path(__file__).parent / "contracts" / "vectors.json").read_text())
    audit = AuditId(sha256(b"audit"))
    assert [str(trace_digest(audit, 2, [ZERO] * count)) for count in range(40)] == vectors["empty_traces"]


@pytest.mark.parametrize("place", range(6))
def test_a_commitment_binds_every_part_of_a_vote(place: int) -> None:
    vote = [CTX, 0, VOTER, Outcome.MATCH, SEED, sha256(b"salt")]
    other = [SEED, 1, VOTER[:-1] + "6", Outcome.MISMATCH, CTX, ZERO]
    changed = [*vote[:place], other[place], *vote[place + 1 :]]
    assert commitment(*vote) != commitment(*changed)  # type: ignore[arg-type]


# The hash chain of a verifier


def test_a_link_is_the_hash_of_the_next() -> None:
    secret = bytes(sha256(b"end of a chain"))
    assert link_at(secret, CHAIN_LINKS) == secret[:26]
    for offset in (0, 1, 255, 256, 257, CHAIN_LINKS - 1):
        assert link_at(secret, offset) == keccak(link_at(secret, offset + 1))[:26]
    assert links_before(link_at(secret, 5000), 5000 - 904) == link_at(secret, 904)


def test_links_are_those_of_the_contracts() -> None:
    vectors = json.loads((Path(__file__).parent / "contracts" / "vectors.json").read_text())
    secret = bytes(sha256(b"end of a chain"))
    links = [link_at(secret, CHAIN_LINKS - place) for place in range(len(vectors["links"]))]
    assert ["0x" + (link + bytes(6)).hex() for link in links] == vectors["links"]


def test_a_chain_has_no_link_beyond_its_ends() -> None:
    for offset in (-1, CHAIN_LINKS + 1):
        with pytest.raises(InputRefused, match=f"none of number {offset}"):
            link_at(bytes(32), offset)
    with pytest.raises(InputRefused, match="its secret has 25"):
        link_at(bytes(25), 0)
