"""A verifier's consent policy, and whose turn it is to bring an audit on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fitchain.pod.compute.environment import installed_torch
from fitchain.pod.jobs.turns import ASKER_RANK, OWNER_RANK, Turns
from fitchain.pod.parties.verifier import ConsentPolicy
from fitchain.pod.parties.verifier.consent import Replay, unfit_host
from fitchain.pod.ports.agreement import Audit, AuditKind, Outcome, Phase
from fitchain.pod.ports.memory import free_memory
from fitchain.pod.proof.audit.pace import Pace
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, sha256
from fitchain.pod.values.ids import WHOLE_POOL, AgreementId, AuditRef
from fitchain.pod.values.recipe import DEFAULT_CLASS, Environment
from tests.agreements import ASKER_NONCE, registered
from tests.audit_scenario import FEE, TERMS, AuditScenario
from tests.chain_fixtures import Account
from tests.pods import Party, Workshop

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
    ("policy", "replay", "reason"),
    [
        (ConsentPolicy(), Replay(20, 300), ""),  # half of the window
        (ConsentPolicy(pool=False), Replay(20), "drawn from the whole pool"),
        (ConsentPolicy(modes=(AuditMode.SAMPLED,)), Replay(20), "its mode is open"),
        (ConsentPolicy(least_fee=FEE), Replay(20), ""),
        (ConsentPolicy(least_fee=FEE + 1), Replay(20), "a seat earns 1 FIT, less than 1.000000000000000001"),
        (ConsentPolicy(highest_stake=20 * FEE), Replay(20), ""),
        (ConsentPolicy(highest_stake=20 * FEE - 1), Replay(20), "a seat locks 20 FIT, more than 19.9"),
        (ConsentPolicy(most_steps=20), Replay(20), ""),
        (ConsentPolicy(most_steps=19), Replay(20), "20 steps are to be trained again, more than 19"),
        (ConsentPolicy(), Replay(20, 301), "20 steps are to be trained again, which may take 301 s here, and a vote"),
    ],
)
def test_policy_says_what_it_refuses(policy: ConsentPolicy, replay: Replay, reason: str) -> None:
    refusal = policy.refusal(AUDIT, POOLED, replay)
    assert (reason in refusal) if reason else not refusal


def test_seats_that_wait_count_with_the_next() -> None:
    policy = ConsentPolicy(most_steps=30)
    assert not policy.refusal(AUDIT, POOLED, Replay(20, 100), waiting=Replay(10, 200))
    eleven = policy.refusal(AUDIT, POOLED, Replay(20), waiting=Replay(11))
    assert eleven == "20 steps are to be trained again beside 11 of other audits, more than 30"
    assert "which may take 301 s here" in policy.refusal(AUDIT, POOLED, Replay(20, 100), waiting=Replay(10, 201))


def test_replay_takes_no_more_than_the_whole_training(scenario: AuditScenario) -> None:
    policy, terms = ConsentPolicy(), scenario.parties.terms
    assert policy.replay(AUDIT, replace(terms, steps=30, segment_steps=4)).steps == 20
    assert policy.replay(replace(AUDIT, audited=9), replace(terms, steps=30, segment_steps=4)).steps == 30


def test_time_of_a_replay_follows_from_the_work_that_the_terms_state(scenario: AuditScenario) -> None:
    pace = Pace(operations_per_s=1000, call_s=0.5, step_s=2)
    terms = replace(scenario.parties.terms, steps=100, step_calls=6, step_operations=4000)
    # Held-out records take no longer, evaluated at the end or after each segment; and a reference
    # training's segment.
    besides = max(terms.segment_steps, 7) + terms.segment_steps
    seconds = (20 + besides) * (2 + 3 * (6 * 0.5 + 4))
    assert ConsentPolicy(pace=pace).replay(AUDIT, terms) == Replay(20, seconds)


@pytest.mark.parametrize(
    ("most", "step_mib", "words"), [(None, 50, ""), (None, 51, "50 MiB"), (40 << 20, 41, "40 MiB")]
)
def test_replay_may_take_half_of_the_free_memory_and_no_more_than_is_said(
    most: int | None, step_mib: int, words: str
) -> None:
    refusal = ConsentPolicy(most_memory=most).memory_refusal(step_mib << 20, 100 << 20)
    assert refusal == (words and f"a step takes {step_mib} MiB of memory, more than the {words} that it may take here")


def test_this_host_says_how_much_memory_is_free() -> None:
    assert 1 << 20 < free_memory() < 1 << 50


# Which environments


def test_environment_that_ships_or_is_published_is_reproduced_and_no_other_is(workshop: Workshop) -> None:
    home = workshop.scientist.home
    terms = home.agreements.terms(workshop.request())
    shipped = Environment(DEFAULT_CLASS, 1, installed_torch())
    assert terms.environment == shipped.digest
    assert unfit_host(home, terms, patient=False) == ""
    unknown = replace(terms, environment=replace(shipped, name="gpu-h100").digest)
    assert unfit_host(home, unknown, patient=True).startswith(
        f"the terms name the environment {unknown.environment.short}"
    )
    other_torch = replace(terms, environment=replace(shipped, torch="1.0").digest)
    assert "none that ships or that the dataset's card publishes" in unfit_host(home, other_torch, patient=True)


def test_probe_that_the_card_publishes_names_its_class_at_any_number_of_threads(
    workshop: Workshop, table_path: Path
) -> None:
    card = replace(workshop.dataset.card, probes={DEFAULT_CLASS: str(sha256(b"another host's"))})
    home = workshop.owner.home
    dataset = home.registry.register_dataset(card.root, card.count, home.store.add(card.encode()))
    theirs = Environment(DEFAULT_CLASS, 2, installed_torch(), sha256(b"another host's"))
    terms = replace(home.agreements.terms(workshop.request()), dataset=dataset, environment=theirs.digest)
    refused = unfit_host(workshop.scientist.home, terms, patient=True)
    assert refused.startswith(f"the recipe says that {DEFAULT_CLASS} has the probe {theirs.probe}")


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
