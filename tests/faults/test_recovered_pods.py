"""Pods whose journal is overwritten in the middle of their work: recovered and started again, they
end it with everybody's money where it should be."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import JOURNAL_FILE
from fitchain.pod.parties.asker import Question, ask_again, nonce_of, terms_of
from fitchain.pod.parties.owner import consent
from fitchain.pod.parties.recovery import Recovery, recover
from fitchain.pod.ports.agreement import Outcome, Phase, State
from fitchain.pod.values.ids import AgreementId, AuditRef
from tests.audited_workshop import TENTH, AuditedWorkshop, changed
from tests.chain_fixtures import ETHER, PASSPHRASE, Devnet
from tests.damage import overwrite
from tests.faults.restarted_pod import ROOT
from tests.limits import LIMIT_S
from tests.pods import (
    BOND,
    LONG,
    PRICE,
    Party,
    PodProcess,
    Workshop,
    owner_runs,
    scientist_runs,
    verifier_runs,
)

pytestmark = pytest.mark.long


@contextmanager
def lost_journal(party: Party) -> Iterator[Recovery]:
    """A party whose journal was overwritten, and which was recovered as long as the block lasts."""
    party.home.close()
    overwrite(party.home.settings.home / JOURNAL_FILE)
    recovery = recover(party.home.settings, lambda: PASSPHRASE)
    party.home = Home.open(party.home.settings, lambda: PASSPHRASE)
    yield recovery


def killed_at(point: str, id: AgreementId, role: str, party: Party, devnet: Path, log: Path) -> None:
    """Run a pod until it dies at a point of an agreement, whatever it does for others before."""
    home = str(party.home.settings.home)
    order = {"role": role, "home": home, "devnet": str(devnet), "point": point, "agreement": str(id)}
    command = [sys.executable, "-m", "tests.faults.killable_pod", json.dumps(order)]
    with log.open("ab") as output:
        done = subprocess.run(command, cwd=ROOT, stdout=output, stderr=output, check=False, timeout=LIMIT_S)
    assert done.returncode == -signal.SIGKILL, log.read_text()


def command(party: Party, *arguments: str) -> subprocess.CompletedProcess[str]:
    side = party.side
    return subprocess.run(
        side.command(*arguments), env=side.environment(), capture_output=True, text=True, check=False, timeout=LIMIT_S
    )


def test_owner_whose_journal_is_overwritten_in_a_training_ends_it_and_is_paid(
    workshop: Workshop, tmp_path: Path
) -> None:
    owner, id, log = workshop.owner, workshop.request(recipe_overrides=LONG | {"steps": 4_000}), tmp_path / "log"
    before = owner.home.agreements.owed(owner.address)
    pod = PodProcess(owner, log)
    workshop.until(owner.has(id, "anchored"))
    pod.kill()
    owner.home.close()
    overwrite(owner.home.settings.home / JOURNAL_FILE)
    refused = command(owner, "pod", "owner")
    assert refused.returncode == 3 and "fitchain pod recover" in refused.stderr and "Traceback" not in refused.stderr
    done = command(owner, "pod", "recover", "--json")
    assert done.returncode == 0, done.stderr
    restored: list[dict[str, Any]] = json.loads(done.stdout)["restored"]
    assert {"kind": "job", "id": str(id), "what": "training"} in restored
    owner.home = Home.open(owner.home.settings, lambda: PASSPHRASE)
    pod = PodProcess(owner, log)
    with scientist_runs(workshop.scientist):
        workshop.until(workshop.scientist.has(id, "settled"))
    workshop.until(owner.has(id, "settled"))
    pod.stop()
    names = [event.name for event in owner.home.agreements.events(id)]
    assert names == ["Requested", "Accepted", "Begun", *["Anchored"] * 2, "Finished", "Settled"]
    assert owner.home.agreements.owed(owner.address) - before == PRICE + BOND
    assert "resumed" in owner.kinds(id) and "Traceback" not in log.read_text()


def test_scientist_whose_journal_is_overwritten_with_a_request_pending_gets_its_model(workshop: Workshop) -> None:
    scientist, id = workshop.scientist, workshop.request()
    with lost_journal(scientist), owner_runs(workshop.owner), scientist_runs(scientist):
        workshop.until(scientist.has(id, "settled"))
    assert scientist.kinds(id)[:2] == ["requested", "recovered"] and "received" in scientist.kinds(id)
    assert workshop.scientist.home.job_folder(id).is_delivered


def test_question_whose_asker_s_journal_is_overwritten_is_asked_and_paid_once(audited: AuditedWorkshop) -> None:
    workshop, asker, id = audited.workshop, audited.workshop.scientist, audited.workshop.request()
    with owner_runs(workshop.owner), scientist_runs(asker):
        audited.until(lambda: asker.state(id) is State.SETTLED)
    terms = terms_of(asker.home, id, Question(audited.panel, verifiers=1, drawn_segments=1, window=3600))
    ref = ask_again(asker.home, id, terms)
    nonce, fit = nonce_of(asker.home, asker.home.agreements.asked_audit(ref)), asker.fit()
    with lost_journal(asker):
        assert nonce_of(asker.home, asker.home.agreements.asked_audit(ref)) == nonce
        assert ask_again(asker.home, id, terms) == ref and asker.fit() == fit
        with lost_journal(workshop.owner) as recovery, owner_runs(workshop.owner):
            assert not [lost for lost in recovery.lost if lost.kind not in ("journal", "dataset")]
            audited.until(lambda: workshop.owner.home.journal.happened(ref, history.ConsentNeeded))
            assert not asker.home.agreements.asked_audit(ref).consented
            consent(workshop.owner.home, ref)
            audited.until(lambda: asker.home.agreements.asked_audit(ref).consented)


@pytest.mark.parametrize("seat_is_there", [True, False])
def test_verifier_whose_journal_is_overwritten_before_it_shows_its_vote(
    audited: AuditedWorkshop, running_devnet: Devnet, tmp_path: Path, seat_is_there: bool
) -> None:
    workshop, stakes, owed = audited.workshop, audited.stakes(), audited.owed()
    id = workshop.request(audit=audited.terms(verifiers=1), price=PRICE, bond=BOND)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        audited.until_phase(id, Phase.JOINING)
        (seated,) = audited.seated(id)
        killed_at("send:reveal:before", id, "verifier", seated, running_devnet.folder, tmp_path / "log")
        assert audited.audit(id).phase is Phase.REVEALING
        if not seat_is_there:
            seated.home.job_folder(id).seat_identity.unlink()
        with lost_journal(seated) as recovery:
            kinds = [item.kind for item in recovery.restored]
            assert ("vote" in kinds) == seat_is_there
            if not seat_is_there:
                (lost,) = [each for each in recovery.lost if each.kind == "vote"]
                assert "who joined and is absent loses 2 FIT" in lost.meaning and str(TENTH // ETHER) == "2"
                return
            with verifier_runs(seated):
                audited.until(lambda: workshop.scientist.state(id) is State.SETTLED)
                audited.until_wiped(id, seated)
    assert audited.audit(id).verdict is Outcome.MATCH
    assert audited.lost_since(stakes) == {} and changed(owed, audited.owed())[0] > 0
    assert seated.home.journal.history(AuditRef(AgreementId(id)))
