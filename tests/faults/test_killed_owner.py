"""The short form of test_interruptions.py: an owner's pod is killed at some steps of a job, which
goes through all the same, and whose deletions are noted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fitchain.pod.jobs import history
from tests.chain_fixtures import Devnet
from tests.faults.restarted_pod import restarted_pods
from tests.pods import BOND, PRICE, Workshop, scientist_runs

POINTS = {
    "owner": [
        *("send:accept:after", "send:begin:after", "send:finish:after"),
        *("keep_fact:removing:after", "record:removed:before", "record:removed:after"),
    ]
}


@pytest.mark.long
def test_job_of_an_owner_that_was_killed_goes_through(
    workshop: Workshop, running_devnet: Devnet, tmp_path: Path
) -> None:
    owner, id, log = workshop.owner, workshop.request(), tmp_path / "log"
    with (
        scientist_runs(workshop.scientist),
        restarted_pods(running_devnet.folder, log, POINTS, owner=owner) as pods,
    ):
        workshop.until(lambda: workshop.scientist.has(id, "settled")() or not pods["owner"].lives)
        workshop.until(lambda: owner.has(id, "wiped")() or not pods["owner"].lives)
    assert pods["owner"].died == POINTS["owner"], log.read_text()
    names = [event.name for event in owner.home.agreements.events(id)]
    assert names == ["Requested", "Accepted", "Begun", *["Anchored"] * 3, "Finished", "Settled"]
    assert owner.home.agreements.owed(owner.address) == PRICE + BOND
    kinds = [kind for kind in owner.kinds(id) if kind in ("accepted", "begun", "anchored", "finished")]
    assert sorted(kinds) == ["accepted", *["anchored"] * 3, "begun", "finished"]
    assert all(owner.told(id, kind)["gas"] for kind in kinds)
    removed = [line.entry.json()["what"] for line in owner.home.journal.lines(id, history.Removed)]
    assert removed == [["records", "keys"]] and not owner.home.job_folder(id).secrets()
