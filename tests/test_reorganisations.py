"""Reorganisations of the chain: whatever a party has sent and the chain takes back, it does again;
once, and by what the chain says then."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.chain import Chain
from fitchain.pod.values.ids import AgreementId
from tests.chain_fixtures import take_back
from tests.pods import BOND, PRICE, Workshop, owner_runs, scientist_runs

STEPS = ("Requested", "Accepted", "Begun", "Anchored", "Finished", "Settled")


def take_back_each(reader: Chain, workshop: Workshop, id: AgreementId, steps: Sequence[str]) -> None:
    """Take the blocks from each of these events of a job on back, once it is there."""
    calls = workshop.scientist.home.agreements
    for step in steps:

        def found() -> list[int]:
            return [event.block for event in calls.events(id) if event.name == step]

        workshop.until(lambda: bool(found()))
        take_back(reader, found()[0])


def test_a_job_comes_to_its_end_though_the_chain_takes_back_each_of_its_transactions(
    workshop: Workshop, reader: Chain
) -> None:
    owner, scientist = workshop.owner, workshop.scientist
    owed = owner.home.agreements.owed(owner.address)
    with owner_runs(owner, retry_s=0.2), scientist_runs(scientist):
        id = workshop.request()
        take_back_each(reader, workshop, id, STEPS)
        workshop.until_state(id, State.SETTLED)
    names = [event.name for event in owner.home.agreements.events(id)]
    assert names == ["Requested", "Accepted", "Begun", *["Anchored"] * 3, "Finished", "Settled"]
    assert owner.home.agreements.owed(owner.address) == owed + PRICE + BOND
