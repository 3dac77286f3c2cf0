"""Private jobs on a chain that takes blocks back: charged once, and no second model leaves for it
unless a person says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.parties.owner import PrivacyOffer, deliver_held, replay_job
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.chain import Chain
from fitchain.pod.proof.certificate import verify
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.privacy.ledger import OPENED, add
from tests.chain_fixtures import Devnet, take_back
from tests.pods import RECIPE, Party, Workshop, owner_runs, scientist_runs, workshop_of

RANGES = dict.fromkeys(("alpha", "beta", "gamma", "delta"), (-10.0, 10.0))
PRIVATE = {name: value for name, value in RECIPE.items() if name != "metrics"} | {
    "held_out": 0.2,
    "privacy": {"epsilon": 3},
}


@pytest.fixture(scope="module")
def workshop(open_party: Callable[..., Party], table_path: Path) -> Workshop:
    return workshop_of(
        open_party("owner"),
        open_party("scientist"),
        table_path,
        privacy=PrivacyOffer(8, 1e-3),
        classes=("ill", "well"),
        transform="ranges",
        ranges=RANGES,
    )


def blocks_of(party: Party, id: AgreementId, step: str) -> list[int]:
    """The blocks of a job's events of a name."""
    return [event.block for event in party.home.agreements.events(id) if event.name == step]


def happened(party: Party, id: AgreementId, step: str) -> bool:
    """Whether the chain has such an event of a job."""
    return bool(blocks_of(party, id, step))


@pytest.mark.long
def test_second_model_of_a_private_job_whose_seed_the_chain_took_back_waits_for_a_person(
    workshop: Workshop, reader: Chain, running_devnet: Devnet, tmp_path: Path
) -> None:
    owner, scientist = workshop.owner, workshop.scientist
    with owner_runs(owner, retry_s=0.2), scientist_runs(scientist, auto_accept=False):
        id = workshop.request(recipe_overrides=PRIVATE)
        workshop.until(scientist.has(id, "received"))
        one = scientist.home.agreements.run_record(id)
        leaves = read_leaves(owner.home.job_folder(id).path)
        take_back(reader, blocks_of(owner, id, "Accepted")[0])
        workshop.until(owner.has(id, "held"))
        assert "the privacy ledger is charged for one" in owner.told(id, "held")["reason"]
        assert owner.kinds(id).count("delivered") == 1 and owner.state(id) is State.TRAINING
        deliver_held(owner.home, id, "the first was lost")
        workshop.until(lambda: scientist.kinds(id).count("received") == 2)
    two, again = scientist.home.agreements.run_record(id), read_leaves(owner.home.job_folder(id).path)
    assert two.seed != one.seed and two.model_root != one.model_root
    pairs = list(zip(leaves[1:], again[1:], strict=True))
    assert all(first.leaf.records != second.leaf.records for first, second in pairs)  # drawn anew, as the noise is
    charge = scientist.home.agreements.terms(id).charge
    assert owner.home.registry.ledger(owner.address, 1).spent == add(OPENED, charge)
    scientist.home.agreements.accept_result(id)
    folder = scientist.home.job_folder(id)
    assert verify(folder.model, folder.certificate, running_devnet.settings(tmp_path)).complete
    assert replay_job(owner.home, id, 6).equal


@pytest.mark.long
def test_private_model_that_had_not_left_leaves_without_a_question(workshop: Workshop, reader: Chain) -> None:
    owner, scientist = workshop.owner, workshop.scientist
    before = owner.home.registry.ledger(owner.address, 1).spent
    with owner_runs(owner, retry_s=0.2), scientist_runs(scientist):
        id = workshop.request(recipe_overrides=PRIVATE)
        for step in ("Accepted", "Begun", "Anchored"):
            workshop.until(partial(happened, owner, id, step))
            take_back(reader, blocks_of(owner, id, step)[0])
        workshop.until_state(id, State.SETTLED)
    charge = scientist.home.agreements.terms(id).charge
    assert owner.home.registry.ledger(owner.address, 1).spent == add(before, charge)
    assert not owner.has(id, "held")()
