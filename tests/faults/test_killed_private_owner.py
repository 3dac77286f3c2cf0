"""An owner's pod that is killed in the phases of a private training on people, with held-out
records and a risk report: nothing is charged twice, everything comes out to the same bits, and the
history lacks nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fitchain.pod.compute.dataset import RiskTerms, UnitColumn
from fitchain.pod.parties.owner import PrivacyOffer, replay_job, report_again
from fitchain.pod.ports.agreement import State
from fitchain.pod.proof.certificate.envelope import read_envelope
from fitchain.pod.proof.certificate.statement import Statement
from fitchain.pod.values.privacy.ledger import OPENED, add
from tests.chain_fixtures import Devnet
from tests.faults.restarted_pod import restarted_pods
from tests.pods import RECIPE, Party, scientist_runs, workshop_of
from tests.policies import open_policy

RANGES = dict.fromkeys(("alpha", "beta", "gamma", "delta"), (-10.0, 10.0))
HELD_OUT = 0.2
PRIVATE = {name: value for name, value in RECIPE.items() if name != "metrics"} | {
    "held_out": HELD_OUT,
    "privacy": {"epsilon": 3},
}
POINTS = {
    "owner": [
        "record:checkpoint:after",  # in the middle of the training
        "record:assessed:before",  # the report is kept, and not told
        "keep_fact:key:after",  # what is delivered is sealed, and not told
    ]
}


@pytest.mark.long
def test_private_job_of_an_owner_that_was_killed_comes_out_the_same(
    open_party: Callable[..., Party], table_path: Path, running_devnet: Devnet, tmp_path: Path
) -> None:
    private = workshop_of(
        open_party("owner"),
        open_party("scientist"),
        table_path,
        policy=open_policy(manual_approval=False, held_out=HELD_OUT, risk=RiskTerms()),
        privacy=PrivacyOffer(8, 1e-3),
        classes=("ill", "well"),
        transform="ranges",
        ranges=RANGES,
        drop=(),
        unit=UnitColumn("patient", 2),
    )
    owner, scientist, log = private.owner, private.scientist, tmp_path / "log"
    id = private.request(recipe_overrides=PRIVATE)
    with scientist_runs(scientist), restarted_pods(running_devnet.folder, log, POINTS, owner=owner) as pods:
        private.until(lambda: scientist.has(id, "settled")() or not pods["owner"].lives)
        private.until(scientist.has(id, "received"))
    assert pods["owner"].died == POINTS["owner"], log.read_text()
    assert scientist.state(id) is State.SETTLED
    charge = scientist.home.agreements.terms(id).charge
    assert owner.home.registry.ledger(owner.address, 1).spent == add(OPENED, charge)
    once = ("accepted", "begun", "assessed", "held_out", "delivered", "finished")
    assert [kind for kind in owner.kinds(id) if kind in once] == list(once)
    assert replay_job(owner.home, id, 6).equal
    envelope = read_envelope(scientist.home.job_folder(id).certificate.read_bytes())
    claim = Statement.parse(envelope.payload).risk
    assert claim is not None and report_again(owner.home, id).digest == claim.digest
