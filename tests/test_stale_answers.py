"""Answers of a node that lags, or stands on another branch: no seat is wiped for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.verifier import Verifier
from fitchain.pod.ports.agreement import Outcome, Phase, Submission
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.chain.abi import interface
from fitchain.pod.ports.chain.base import FINAL_BLOCKS
from fitchain.pod.ports.store import Cid
from fitchain.pod.ports.store.base import RAW
from fitchain.pod.values.errors import NotFound
from fitchain.pod.values.ids import AgreementId, AuditRef
from tests.audit_actors import ManualSeat
from tests.audit_scenario import AuditScenario
from tests.chain_fixtures import PASSPHRASE, Devnet, take_back
from tests.limits import LIMIT_S
from tests.node_proxy import proxy
from tests.pods import running


def audit_call(id: AgreementId) -> str:
    """The data of the call that reads an audit."""
    return "0x" + interface("Audits").function("audit").encode((id, 0)).hex()


def joined_seat(scenario: AuditScenario) -> ManualSeat:
    """A seat that was taken, whose verifier keeps its identity."""
    id = scenario.ended()
    scenario.joined(id)
    return scenario.seated(id)[0]


def mine(chain: Chain, blocks: int) -> None:
    chain.node.request("anvil_mine", hex(blocks))


def conclude(scenario: AuditScenario, id: AgreementId) -> int:
    """Bring an audit to a verdict; the block of it."""
    scenario.staff.vote(scenario.parties.owner.chain, id, Outcome.MISMATCH)
    return scenario.reader.advance(AuditRef(id)).block


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def concluded(scenario: AuditScenario) -> str:
    """What a node says of an audit that is concluded."""
    id = scenario.ended()
    scenario.joined(id)
    conclude(scenario, id)
    chain = scenario.parties.owner.chain
    call = {"to": chain.addresses["Audits"], "data": audit_call(id)}
    return str(chain.node.request("eth_call", call, "latest"))


def test_a_seat_is_not_wiped_by_answers_of_another_branch(
    scenario: AuditScenario, concluded: str, running_devnet: Devnet, reader: Chain
) -> None:
    """Every reading of the newest block says that the audit is over; the blocks say that it is
    not."""
    seat = joined_seat(scenario)
    asked_of_blocks: list[Any] = []

    def stale(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] != "eth_call" or call["params"][0].get("data") != audit_call(seat.ref.agreement):
            return answer
        if isinstance(call["params"][1], dict):
            asked_of_blocks.append(call["params"][1]["blockHash"])
            return answer
        return answer | {"result": concluded}

    def asked_at(looks: int) -> bool:
        return len(set(asked_of_blocks)) >= looks or home.journal.happened(seat.ref, history.Wiped)

    mine(reader, 2 * FINAL_BLOCKS)
    with (
        proxy(running_devnet.record.rpc, lambda _: None, change=stale) as url,
        Home.open(replace(seat.account.chain.settings, rpc=url), lambda: PASSPHRASE) as home,
    ):
        identity = home.audit_folder(seat.ref).create().seat_identity
        home.kept_identity(identity)
        pod = Verifier(home, lambda id, text: None, look_s=0.02, retry_s=0.1)
        with running(pod):
            for looks in (1, 2, 3):
                until(partial(asked_at, looks))
                mine(reader, 1)
        assert home.audits.read(seat.ref).phase is Phase.CONCLUDED  # as this home hears it
        assert identity.exists() and not home.journal.happened(seat.ref, history.Wiped)


def test_an_end_that_the_chain_took_back_counts_for_nothing(scenario: AuditScenario, reader: Chain) -> None:
    """The seat is wiped when enough blocks lie on the end that stands, not on the one before."""
    seat = joined_seat(scenario)
    with Home.open(seat.account.chain.settings, lambda: PASSPHRASE) as home:
        identity = home.audit_folder(seat.ref).create().seat_identity
        home.kept_identity(identity)
        block = conclude(scenario, seat.ref.agreement)
        with running(Verifier(home, lambda id, text: None, look_s=0.02, retry_s=0.1, turn_s=0)):
            until(lambda: home.journal.happened(seat.ref, history.VerdictReached))
            mine(reader, max(1, block + FINAL_BLOCKS - 3 - reader.block("latest").number))
            take_back(reader, block)
            until(lambda: home.audits.newest_event(seat.ref).block > block)  # which this pod sees to
            for _ in range(4):
                mine(reader, 1)
                time.sleep(0.2)
            assert identity.exists() and not home.journal.happened(seat.ref, history.Wiped)
            mine(reader, FINAL_BLOCKS)
            until(lambda: home.journal.happened(seat.ref, history.Wiped))
        assert not identity.exists()


def test_evidence_for_another_home_s_identity_is_not_voted_withheld(scenario: AuditScenario) -> None:
    """A home that was copied, and both run: one took the seat, and what is sealed to it the other
    cannot open; the owner has withheld nothing."""
    seat = joined_seat(scenario)
    with Home.open(seat.account.chain.settings, lambda: PASSPHRASE) as home:
        home.kept_identity(home.audit_folder(seat.ref).create().seat_identity)
        pod, evidence = Verifier(home, lambda id, text: None), Submission(Cid.of(RAW, bytes(32)), 0)
        with pytest.raises(NotFound, match="the seat was taken with the identity of"):
            pod._examination(home.audits.read(seat.ref), evidence)
