"""A verifier's consent policy, and whose turn it is to bring an audit on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fitchain.pod.jobs.turns import ASKER_RANK, OWNER_RANK, Turns
from fitchain.pod.parties.verifier import ConsentPolicy
from fitchain.pod.parties.verifier.consent import replayed_steps
from fitchain.pod.ports.agreement import Audit, AuditKind, Outcome, Phase
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.ids import WHOLE_POOL, AgreementId, AuditRef
from tests.agreements import ASKER_NONCE, registered
from tests.audit_scenario import FEE, TERMS, AuditScenario
from tests.chain_fixtures import Account
from tests.pods import Party

AUDIT = Audit(
    ref=AuditRef(AgreementId(ZERO)),
    phase=Phase.JOINING,
    kind=AuditKind.FIRST,
    verdict=Outcome.NONE,
    round=0,
    window=600,
    deadline=1_000,
    wait_deadline=1_000,
    opened_block=7,
    opening=1,
    audited=5,
    fee_per_seat=FEE,
    seat_stake=20 * FEE,
    seed=ZERO,
    withheld_before=False,
    segments_fixed=False,
    complained=False,
    submitted=False,
    exhausted=False,
    seats=(),
)
POOLED = replace(TERMS, panel=WHOLE_POOL, mode=AuditMode.OPEN)


@pytest.mark.parametrize(
    ("policy", "steps", "reason"),
    [
        (ConsentPolicy(), 20, ""),
        (ConsentPolicy(pool=False), 20, "drawn from the whole pool"),
        (ConsentPolicy(modes=(AuditMode.SAMPLED,)), 20, "its mode is open"),
        (ConsentPolicy(least_fee=FEE), 20, ""),
        (ConsentPolicy(least_fee=FEE + 1), 20, "a seat earns 1 FIT, less than 1.000000000000000001"),
        (ConsentPolicy(highest_stake=20 * FEE), 20, ""),
        (ConsentPolicy(highest_stake=20 * FEE - 1), 20, "a seat locks 20 FIT, more than 19.9"),
        (ConsentPolicy(most_steps=20), 20, ""),
        (ConsentPolicy(most_steps=19), 20, "20 steps are to be trained again, more than 19"),
        (ConsentPolicy(), 16_000_000, "more than 15000000"),  # half of the window, at 20 us a step
        (ConsentPolicy(step_s=1.0), 301, "more than 300"),
    ],
)
def test_policy_says_what_it_refuses(policy: ConsentPolicy, steps: int, reason: str) -> None:
    refusal = policy.refusal(AUDIT, POOLED, steps)
    assert (reason in refusal) if reason else not refusal


def test_steps_of_seats_that_wait_count_with_those_of_the_next() -> None:
    policy = ConsentPolicy(most_steps=30)
    assert not policy.refusal(AUDIT, POOLED, 20, waiting=10)
    assert "20 steps are to be trained again beside 11 of other audits" in policy.refusal(AUDIT, POOLED, 20, waiting=11)


def test_replay_takes_no_more_than_the_whole_training(scenario: AuditScenario) -> None:
    terms = scenario.parties.terms
    assert replayed_steps(AUDIT, replace(terms, steps=30, segment_steps=4)) == 20
    assert replayed_steps(replace(AUDIT, audited=9), replace(terms, steps=30, segment_steps=4)) == 30


# Turns


@pytest.fixture
def other(open_account: Callable[..., Account], scenario: AuditScenario) -> AuditScenario:
    """The verifiers, before two other parties."""
    return AuditScenario(registered(open_account(), open_account()), scenario.verifiers)


def test_only_the_nonce_draws_in_the_askers_turn(
    other: AuditScenario, open_party: Callable[..., Party], mine: Callable[[int], None]
) -> None:
    ref = AuditRef(other.ended())
    home = open_party("anyone").home
    turns = Turns(home, 0)
    mine(1)
    assert not turns.bring_on(home.audits.read(ref), OWNER_RANK)
    assert turns.bring_on(home.audits.read(ref), ASKER_RANK, ASKER_NONCE)
    assert home.audits.read(ref).phase is Phase.JOINING
    assert not turns.bring_on(home.audits.read(ref), ASKER_RANK, ASKER_NONCE)


def test_anybody_draws_after_the_askers_turn_by_rank(
    other: AuditScenario, open_party: Callable[..., Party], mine: Callable[[int], None]
) -> None:
    ref = AuditRef(other.ended())
    home = open_party("anyone").home
    mine(home.chain.constants.turn_blocks + 2)
    patient = Turns(home, 1000)
    assert not patient.bring_on(home.audits.read(ref), ASKER_RANK)  # the owner goes first
    assert patient.bring_on(home.audits.read(ref), OWNER_RANK)
    assert home.audits.read(ref).phase is Phase.JOINING


def test_hashes_are_kept_before_the_chain_forgets_them(
    other: AuditScenario, open_party: Callable[..., Party], mine: Callable[[int], None]
) -> None:
    ref = AuditRef(other.ended())
    home = open_party("anyone").home
    turns = Turns(home, 0, fix_blocks=20)
    mine(21)
    assert turns.bring_on(home.audits.read(ref), OWNER_RANK)
    assert ZERO not in home.audits.fixed_hashes(ref)
    assert turns.bring_on(home.audits.read(ref), OWNER_RANK)
    assert home.audits.read(ref).phase is Phase.JOINING


@pytest.fixture
def mine(scenario: AuditScenario) -> Callable[[int], None]:
    """Mines blocks, a second each."""

    def mined(count: int) -> None:
        scenario.reader.chain.node.request("anvil_mine", hex(count), "0x1")

    return mined
