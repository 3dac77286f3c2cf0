"""A private job without an audit that its scientist disputes: drawn verifiers get the keys of the
noise that was committed to, and find what was not drawn from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.views.verdict import describe_privacy
from fitchain.pod.parties.owner import PrivacyOffer
from fitchain.pod.parties.owner import run as owners_run
from fitchain.pod.parties.scientist import dispute
from fitchain.pod.ports.agreement import Outcome, State
from fitchain.pod.proof.certificate import verify
from fitchain.pod.values.errors import Refuted
from fitchain.pod.values.privacy.ledger import OPENED, add
from tests.audited_workshop import PANEL, audited_by
from tests.chain_fixtures import Devnet
from tests.pods import RECIPE, Party, Workshop, owner_runs, scientist_runs, verifier_runs

RANGES = dict.fromkeys(("alpha", "beta", "gamma", "delta"), (-10.0, 10.0))
PRIVATE = {name: value for name, value in RECIPE.items() if name != "metrics"} | {
    "held_out": 0.2,
    "privacy": {"epsilon": 3},
}


@pytest.mark.long
def test_noise_of_another_secret_is_found_in_a_dispute_and_its_charge_stays(
    workshop: Workshop,
    table_path: Path,
    open_verifier: Callable[[str], Party],
    running_devnet: Devnet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verifiers = [open_verifier(f"verifier-{number}") for number in range(PANEL)]
    offer: dict[str, Any] = {"privacy": PrivacyOffer(8, 1e-3), "transform": "ranges", "ranges": RANGES}
    offer |= {"classes": ("ill", "well")}
    audited = audited_by(workshop, verifiers, table_path, **offer)
    owner, scientist, prepare = workshop.owner, workshop.scientist, owners_run.prepare

    def cheating(*arguments: Any) -> Any:
        task = prepare(*arguments)
        task = replace(task, context=replace(task.context, noise=bytes(32)))
        task.write(arguments[3].path)
        return task

    monkeypatch.setattr(owners_run, "prepare", cheating)
    with owner_runs(owner):
        with scientist_runs(scientist, auto_accept=False):
            id = audited.workshop.request(recipe_overrides=PRIVATE, audit=audited.disputable())
            audited.until(scientist.has(id, "received"))
        folder, checker = scientist.home.job_folder(id), running_devnet.settings(tmp_path)
        told = describe_privacy(verify(folder.model, folder.certificate, checker))
        assert told is not None and "noise as the owner states: nobody else looked" in told
        dispute(scientist.home, id)
        with scientist_runs(scientist), verifier_runs(*verifiers):
            audited.until(lambda: audited.audit(id).verdict is not Outcome.NONE)
            audited.until_wiped(id, *audited.seated(id))
    assert (audited.audit(id).verdict, scientist.state(id)) == (Outcome.MISMATCH, State.FORFEITED)
    charge = scientist.home.agreements.terms(id).charge
    assert owner.home.registry.ledger(owner.address, 1).spent == add(OPENED, charge)
    with pytest.raises(Refuted, match=r"the dispute that its scientist opened .* concluded Mismatch"):
        verify(folder.model, folder.certificate, checker)
