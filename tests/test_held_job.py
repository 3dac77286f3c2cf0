"""A job that is held for what its model gives away, up to its deadline: who is told what in time,
and where the money goes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fitchain.cli.app import run
from fitchain.pod.compute.dataset import RiskTerms
from fitchain.pod.jobs import history
from fitchain.pod.jobs.journal import Journal
from fitchain.pod.jobs.waiting import is_held
from fitchain.pod.parties.owner import Owner, why_it_is_held
from fitchain.pod.parties.owner import risk as owners_risk
from fitchain.pod.parties.owner.pod import LAST_CALL_S
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.chain import Chain
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import InputRefused, Unusable
from fitchain.pod.values.ids import AgreementId
from tests.chain_fixtures import Devnet
from tests.pods import BOND, HOUR_S, PRICE, RECIPE, Party, Workshop, owner_runs, scientist_runs, workshop_of
from tests.policies import open_policy

HELD_OUT = 0.3
JOB, ONE, OTHER = AgreementId(sha256(b"job")), sha256(b"one seed"), sha256(b"another")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Any]:
    """What a hold needs of a home."""
    journal = Journal(tmp_path / "journal.db")
    yield SimpleNamespace(journal=journal)
    journal.close()


def test_a_run_of_another_seed_is_held_for_a_reason_of_its_own(home: Any) -> None:
    assert owners_risk.hold(home, JOB, ONE, "of one") and owners_risk.hold(home, JOB, ONE, "of one")
    home.journal.keep_fact(JOB, "held", "deliver")
    assert not owners_risk.hold(home, JOB, ONE, "of one")
    owners_risk.forget_hold(home, JOB)
    assert owners_risk.hold(home, JOB, OTHER, "of another") and is_held(home, JOB)
    assert why_it_is_held(home, JOB) == "of another"
    assert len(list(home.journal.lines(JOB, history.Held))) == 2


def test_who_runs_a_pod_is_told_of_a_held_job_at_once_and_again_when_time_is_short() -> None:
    told = list[str]()
    terms = SimpleNamespace(bond=BOND)
    job: Any = SimpleNamespace(id=JOB, training_deadline=1_800_000_000, terms=terms)
    pod: Any = SimpleNamespace(_reminded=set(), log=lambda id, text: told.append(text))
    for left in (86_400, 86_000, LAST_CALL_S, 60, 0):
        Owner._remind(pod, job, job.training_deadline - left)
    assert len(told) == 2
    for line in told:
        assert "waits for a person until 2027-01-15 08:00 UTC" in line
        assert f"fitchain job deliver {JOB.short}" in line and "the bond of 6 FIT is lost" in line


@pytest.fixture(scope="module")
def strict(open_party: Callable[..., Party], table_path: Path) -> Workshop:
    """A dataset whose models may give nothing away."""
    policy = open_policy(manual_approval=False, held_out=HELD_OUT, risk=RiskTerms(most_exposed=0.0))
    return workshop_of(open_party("strict"), open_party("asker"), table_path, policy=policy)


@pytest.mark.long
def test_the_deadline_of_a_held_job_costs_its_owner_the_bond_and_says_so_before(
    strict: Workshop,
    reader: Chain,
    running_devnet: Devnet,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def failing(*arguments: Any) -> Any:
        raise InputRefused("it took longer than it was given")

    def shown(party: Party, *arguments: str) -> dict[str, Any]:
        monkeypatch.setenv("FITCHAIN_DEVNET", str(running_devnet.folder))
        named = ("--home", str(party.side.home), "--passphrase-file", str(party.side.passphrase_file))
        assert run([*arguments, *named, "--json"]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    def listed(party: Party) -> bool:
        (job,) = [job for job in shown(party, "job", "list")["jobs"] if job["agreement"] == str(id)]
        return bool(job["held"])

    monkeypatch.setattr(owners_risk, "assess_folder", failing)
    owner, scientist = strict.owner, strict.scientist
    id = strict.request(recipe_overrides=RECIPE | {"held_out": HELD_OUT})
    with owner_runs(owner), scientist_runs(scientist):
        strict.until(lambda: any("is held and waits for a person until" in line for line in owner.said))
        assert shown(owner, "job", "show", str(id))["held"] and listed(owner)
        assert not shown(scientist, "job", "show", str(id))["held"] and not listed(scientist)
        reader.node.request("evm_increaseTime", hex(HOUR_S + 1))
        reader.node.request("anvil_mine", hex(1))
        strict.until(owner.has(id, "late"))
        assert owner.told(id, "late")["reason"].endswith("anyone may settle it, and the bond is lost")
        assert not shown(owner, "job", "show", str(id))["held"] and not listed(owner)
        with pytest.raises(Unusable, match="the time to train"):
            owners_risk.deliver_held(owner.home, id)
        before = [party.home.agreements.owed(party.address) for party in (owner, scientist)]
        scientist.home.agreements.expire(id)
        strict.until_state(id, State.FORFEITED)
        strict.until(owner.has(id, "wiped"))
    after = [party.home.agreements.owed(party.address) for party in (owner, scientist)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [0, PRICE + BOND // 2]
    folder = owner.home.job_folder(id)
    assert folder.final.exists() and not folder.certificate.exists() and not folder.secrets()
    assert not scientist.home.job_folder(id).model.exists()
