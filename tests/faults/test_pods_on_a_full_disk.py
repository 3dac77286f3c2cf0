"""Pods whose home's disk is full or read-only: they say so, decline nothing for it, and go on when
there is room again; the money ends where it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import State
from fitchain.pod.values.ids import AgreementId
from tests.chain_fixtures import PASSPHRASE, Devnet
from tests.damage import full, read_only, small_disk
from tests.pods import (
    BOND,
    LONG,
    PRICE,
    Party,
    PodProcess,
    Workshop,
    opened_party,
    owner_runs,
    scientist_runs,
    workshop_of,
)

pytestmark = pytest.mark.mount
ROOM_KIB = 48 << 10


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A small disk for each side."""
    folder = tmp_path_factory.mktemp("disks")
    with small_disk(folder / "owner", ROOM_KIB) as owner, small_disk(folder / "scientist", ROOM_KIB) as scientist:
        yield {"owner": owner, "scientist": scientist}


@pytest.fixture(scope="module")
def small(running_devnet: Devnet, disks: dict[str, Path], table_path: Path) -> Iterator[Workshop]:
    """A workshop whose homes lie on them."""
    owner, scientist = (opened_party(running_devnet.settings(disk / "home"), name) for name, disk in disks.items())
    yield workshop_of(owner, scientist, table_path)
    for party in (owner, scientist):
        party.home.close()


def lacks(party: Party) -> Callable[[], bool]:
    """Asks whether a pod says that its disk takes nothing."""
    before = len(party.said)
    words = ("the disk is full", "read-only", "Read-only", "disk gives an error", "No space left")
    return lambda: any(word in line for line in party.said[before:] for word in words)


def settled(small: Workshop, id: AgreementId) -> None:
    small.until(small.scientist.has(id, "settled"))
    names = [event.name for event in small.owner.home.agreements.events(id)]
    assert (names[:3], names[-2:]) == (["Requested", "Accepted", "Begun"], ["Finished", "Settled"])
    assert not any(kind in small.owner.kinds(id) for kind in ("refused", "rejected", "ignored"))
    assert not list(small.owner.home.job_folder(id).path.rglob("*.part"))


@pytest.mark.long
def test_owner_declines_nothing_for_a_full_disk(small: Workshop, disks: dict[str, Path]) -> None:
    before, id = small.owner.home.agreements.owed(small.owner.address), small.request()
    with owner_runs(small.owner, retry_s=0.1), scientist_runs(small.scientist):
        told = lacks(small.owner)
        with full(disks["owner"]):
            small.until(told)
            assert small.scientist.state(id) in (State.REQUESTED, State.ACCEPTED, State.TRAINING)
        settled(small, id)
    assert small.owner.home.agreements.owed(small.owner.address) - before == PRICE + BOND


@pytest.mark.long
@pytest.mark.parametrize("side", ["owner", "scientist"])
def test_disk_that_fills_up_in_the_middle_of_a_training_costs_nobody_anything(
    small: Workshop, disks: dict[str, Path], side: str
) -> None:
    before, id = (
        small.owner.home.agreements.owed(small.owner.address),
        small.request(recipe_overrides=LONG | {"steps": 3_000}),
    )
    party = getattr(small, side)
    with owner_runs(small.owner, retry_s=0.1), scientist_runs(small.scientist):
        small.until(small.owner.has(id, "checkpoint"))
        told = lacks(party)
        with full(disks[side]):
            small.until(told)
        settled(small, id)
    assert small.owner.home.agreements.owed(small.owner.address) - before == PRICE + BOND


@pytest.mark.long
def test_pod_that_is_started_on_a_read_only_disk_waits_for_it(
    small: Workshop, disks: dict[str, Path], tmp_path: Path
) -> None:
    id, log = small.request(), tmp_path / "log"
    small.owner.home.close()  # a disk that is written to cannot be made read-only
    try:
        with read_only(disks["owner"]):
            pod = PodProcess(small.owner, log)
            small.until(lambda: "the disk is read-only" in log.read_text())
        with scientist_runs(small.scientist):
            small.until(small.scientist.has(id, "settled"))
        pod.stop()
    finally:
        small.owner.home = Home.open(small.owner.home.settings, lambda: PASSPHRASE)
    assert "Traceback" not in log.read_text() and log.read_text().count("waits for this host") == 1
