"""A job over a base that verifiers audit: each fetches the base once, and keeps it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fitchain.pod.parties.scientist import publish_model
from fitchain.pod.values.delta import ModelFile
from tests.audited_workshop import AuditedWorkshop
from tests.fine_tuning import Adapted, base_file
from tests.pods import owner_runs, scientist_runs, verifier_runs

pytestmark = pytest.mark.long


def test_verifiers_replay_a_job_over_a_base(audited: AuditedWorkshop, tmp_path: Path) -> None:
    home = audited.workshop.scientist.home
    model = publish_model(home, Adapted(), audited.workshop.dataset.id, base=base_file(tmp_path))
    workshop = replace(audited.workshop, model=model)
    id = workshop.request(audit=audited.terms())
    assert model.base is not None
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist), verifier_runs(*audited.verifiers):
        audited.until(workshop.owner.has(id, "accepted"))
        home.store.unpin(model.base.cid)
        home.store.gc()  # who published the base keeps it no longer: its owner does
        audited.until(workshop.scientist.has(id, "release_accepted"))
    seated = audited.seated(id)
    assert [(told["outcome"], told["problems"]) for told in (party.told(id, "examined") for party in seated)] == [
        ("MATCH", [])
    ] * 3
    assert all(party.home.bases.path(model.base.root).exists() for party in (workshop.owner, *seated))
    assert ModelFile.read(home.job_folder(id).model).base == model.base.root
