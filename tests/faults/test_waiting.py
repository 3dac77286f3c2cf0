"""A store that lacks an object, or has an altered copy: the pods say so, wait, and go on when it is
there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fitchain.pod.jobs import history
from fitchain.pod.parties.owner import Owner, reject
from fitchain.pod.parties.scientist import Scientist
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.store import Cid
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import AgreementId
from tests.dishonest_parties import Forger
from tests.pods import Party, Workshop, offer_table, running
from tests.policies import open_policy

RETRY_S = 0.1


def blocks_of(party: Party, cid: Cid) -> dict[Path, bytes]:
    """The files of an object's blocks with what is in them, one level deep."""
    store, folder = party.home.store, party.store_folder / "blocks"
    try:
        cids = [cid, *store.entries(cid).values()]
    except InputRefused:
        cids = [cid]
    paths = [folder / str(one)[-2:] / str(one) for one in cids]
    return {path: path.read_bytes() for path in paths}


def remove(blocks: dict[Path, bytes]) -> None:
    for path in blocks:
        path.unlink()


def alter(blocks: dict[Path, bytes]) -> None:
    for path, data in blocks.items():
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def restore(blocks: dict[Path, bytes]) -> None:
    for path, data in blocks.items():
        path.write_bytes(data)


def wait_for(workshop: Workshop, party: Party, id: AgreementId, words: str) -> None:
    """Wait until a pod tells an error about a job in these words."""
    workshop.until(
        lambda: any(
            isinstance(line.entry, history.Error) and words in line.entry.message
            for line in party.home.journal.history(id)
        )
    )


@pytest.fixture(scope="module")
def asked(workshop: Workshop, table_path: Path) -> Workshop:
    """A dataset whose owner is asked about every job, with mock data."""
    return replace(workshop, dataset=offer_table(workshop.owner, table_path, policy=open_policy(), mock_records=16))


def test_owner_waits_for_an_offer_and_for_mock_data(asked: Workshop) -> None:
    owner, id = asked.owner, asked.request()
    mock = asked.dataset.card.mock
    assert mock is not None
    offer, mocks = blocks_of(owner, owner.home.agreements.offer(id)), blocks_of(owner, mock)
    remove(offer | mocks)
    with running(Owner(owner.home, owner.say, look_s=0.05, retry_s=RETRY_S)):
        wait_for(asked, owner, id, "is not in the store")
        alter(offer)
        wait_for(asked, owner, id, "is altered")
        restore(offer)
        wait_for(asked, owner, id, f"the block {mock} is not in the store")
        assert asked.scientist.state(id) == State.REQUESTED
        restore(mocks)
        asked.until(owner.has(id, "approval_needed"))
    reject(owner.home, id)


def test_scientist_waits_for_key_and_delivery(workshop: Workshop) -> None:
    scientist, id = workshop.scientist, Forger.begun(workshop).deliver()
    proof = scientist.home.agreements.run_record(id)
    assert proof.identity is not None
    assert proof.delivery is not None
    key, weights = blocks_of(scientist, proof.identity), blocks_of(scientist, proof.delivery)
    remove(key | weights)
    with running(Scientist(scientist.home, True, scientist.say, look_s=0.05, retry_s=RETRY_S)):
        wait_for(workshop, scientist, id, f"the block {proof.identity} is not in the store")
        alter(key)
        wait_for(workshop, scientist, id, f"the store's copy of {proof.identity} is altered")
        restore(key)
        wait_for(workshop, scientist, id, f"the block {proof.delivery} is not in the store")
        alter(weights)
        wait_for(workshop, scientist, id, f"the store's copy of {proof.delivery} is altered")
        assert not scientist.home.journal.happened(id, history.Received)
        restore(weights)
        workshop.until(scientist.has(id, "settled"))


def test_missing_note_is_told_and_the_result_received(workshop: Workshop) -> None:
    scientist, id = workshop.scientist, Forger.begun(workshop).deliver()
    note = scientist.home.agreements.run_record(id).anchors[0].note
    assert note is not None
    remove(blocks_of(scientist, note))
    with running(Scientist(scientist.home, False, scientist.say, look_s=0.05, retry_s=RETRY_S)):
        wait_for(workshop, scientist, id, f"the block {note} is not in the store")
        workshop.until(scientist.has(id, "received"))
