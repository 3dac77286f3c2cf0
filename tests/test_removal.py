"""What a home keeps of a job is deleted when nobody can need it any more, and the history says so
once, whatever is cut off."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fitchain.pod.jobs import history
from fitchain.pod.jobs.bases import Bases
from fitchain.pod.jobs.history import Ended
from fitchain.pod.jobs.journal import Journal
from fitchain.pod.jobs.removal import BEGUN, describe_removal, remove
from fitchain.pod.parties.owner import kept_of, remove_later, replay_job
from fitchain.pod.parties.owner.asked import lost
from fitchain.pod.parties.owner.disclosed import disclosed_of
from fitchain.pod.parties.scientist import accept_result
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import AccessRefused, NotFound, Unusable
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import JobFolder, Kept
from tests.faults.killable_pod import aim
from tests.pods import HOUR_S, Workshop, owner_runs, scientist_runs

JOB = AgreementId(sha256(b"job"))
ALL = (Kept.RECORDS, Kept.KEYS, Kept.STATES, Kept.TRAINING)


def home_at(path: Path, journal: Journal) -> Any:
    """What a deletion needs of a home."""
    folder = JobFolder(path / "job")
    bases = Bases(path / "bases", LocalStore(path / "store", path))
    return SimpleNamespace(journal=journal, job_folder=lambda id: folder, audit_folder=lambda ref: folder, bases=bases)


def filled(path: Path) -> JobFolder:
    folder = JobFolder(path / "job")
    folder.states.mkdir(parents=True)
    for file in (folder.records, folder.identity, folder.state(4), folder.leaves, folder.task, folder.recipe):
        file.touch()
    return folder


def removed(journal: Journal) -> list[history.Removed]:
    return [line.entry for line in journal.lines(JOB, history.Removed) if isinstance(line.entry, history.Removed)]


def test_what_is_deleted_is_noted_once_with_what_that_ends(tmp_path: Path) -> None:
    folder, journal = filled(tmp_path), Journal(tmp_path / "journal.db")
    home = home_at(tmp_path, journal)
    assert remove(home, JOB, (Kept.KEYS, Kept.STATES, Kept.EVIDENCE)) == (Kept.KEYS, Kept.STATES)
    assert remove(home, JOB, (Kept.KEYS, Kept.STATES, Kept.EVIDENCE)) == ()
    assert remove(home, JOB, tuple(Kept), by_person=True) == (Kept.RECORDS, Kept.TRAINING)
    assert removed(journal) == [
        history.Removed((Kept.KEYS, Kept.STATES), (Ended.REPLAY_FROM_STATES, Ended.OPENING)),
        history.Removed((Kept.RECORDS, Kept.TRAINING), (Ended.AUDIT, Ended.REPLAY), by_person=True),
    ]
    assert list(folder.path.iterdir()) == [folder.recipe]
    assert describe_removal(home, JOB).startswith(f"what evidence of {JOB.short} needs was deleted on 20")
    journal.close()


@pytest.mark.parametrize("again", [ALL, tuple(Kept)[:1]], ids=["the same", "less"])
@pytest.mark.parametrize(
    "point", ["keep_fact:removing:before", "keep_fact:removing:after", "record:removed:before", "record:removed:after"]
)
def test_deletion_that_was_killed_is_ended_and_noted_once(point: str, again: tuple[Kept, ...], tmp_path: Path) -> None:
    folder = filled(tmp_path)
    Journal(tmp_path / "journal.db").close()
    if not (child := os.fork()):
        aim(point, None)
        remove(home_at(tmp_path, Journal(tmp_path / "journal.db")), JOB, ALL, by_person=True)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    is_begun, journal = point != "keep_fact:removing:before", Journal(tmp_path / "journal.db")
    if point == "keep_fact:removing:after":
        folder.identity.unlink()  # it had come so far
    remove(home_at(tmp_path, journal), JOB, again)
    (entry,) = removed(journal)
    assert (entry.what, entry.by_person) == (ALL if is_begun else again, is_begun)
    assert not any(folder.kept(kind) for kind in entry.what)
    assert not journal.fact(JOB, BEGUN)
    folder.records.touch()
    assert remove(home_at(tmp_path, journal), JOB, ALL)[0] == Kept.RECORDS  # what comes later is noted, too
    assert len(removed(journal)) == 2
    journal.close()


def test_what_cannot_be_deleted_is_not_said_to_be(tmp_path: Path) -> None:
    folder, journal = filled(tmp_path), Journal(tmp_path / "journal.db")
    folder.records.unlink()
    folder.records.mkdir()
    with pytest.raises(OSError):
        remove(home_at(tmp_path, journal), JOB, ALL)
    assert removed(journal) == []
    folder.records.rmdir()
    assert remove(home_at(tmp_path, journal), JOB, ()) == ALL
    journal.close()


@pytest.fixture(scope="module")
def trained(workshop: Workshop) -> AgreementId:
    with owner_runs(workshop.owner):
        id = workshop.request()
        workshop.until_state(id, State.TRAINED)
    return id


def test_nothing_is_deleted_that_is_needed_and_it_is_said_until_when(workshop: Workshop, trained: AgreementId) -> None:
    owner, scientist = workshop.owner, workshop.scientist
    with pytest.raises(AccessRefused, match="a dataset of another home"):
        remove_later(scientist.home, trained)
    with pytest.raises(Unusable, match=r"is trained: the scientist may answer it, and dispute it, until 20..-.*UTC"):
        remove_later(owner.home, trained)
    assert not owner.has(trained, "removal_asked")()


def test_job_is_removed_once_its_end_is_final_and_then_nothing_is_audited(
    workshop: Workshop, trained: AgreementId, reader: Chain
) -> None:
    owner, asked = workshop.owner, SimpleNamespace(terms=SimpleNamespace(window=HOUR_S))
    home, agreement = owner.home, owner.home.agreements.read(trained)
    with scientist_runs(workshop.scientist, auto_accept=False):
        workshop.until(workshop.scientist.has(trained, "received"))
    accept_result(workshop.scientist.home, trained)
    assert replay_job(home, trained, 2).equal and owner.told(trained, "replayed") == {"segments": 2, "equal": True}
    assert lost(home, agreement, asked) == ""  # type: ignore[arg-type]
    remove_later(home, trained, "its patients asked for it")
    remove_later(home, trained, "again")
    with owner_runs(owner, final_blocks=4):
        workshop.until(owner.has(trained, "settled"))
        reader.node.request("anvil_mine", hex(2))
        assert {Kept.STATES, Kept.TRAINING, Kept.KEYS, Kept.MODEL} <= kept_of(home, trained).keys()
        assert "is being deleted" in lost(home, agreement, asked)  # type: ignore[arg-type]
        while not owner.has(trained, "let_go")() or kept_of(home, trained):
            reader.node.request("anvil_mine", hex(1))
        workshop.until(lambda: not home.journal.fact(trained, BEGUN))
    lines = [line.entry for line in home.journal.history(trained)]
    entries = [entry for entry in lines if isinstance(entry, history.Removed)]
    assert [entry.what for entry in entries] == [
        (Kept.RECORDS,),
        (Kept.KEYS,),
        (Kept.STATES, Kept.TRAINING, Kept.MODEL),
    ]
    assert [entry.by_person for entry in entries] == [False, False, True]
    assert entries[-1].ends == (Ended.AUDIT, Ended.REPLAY)
    assert [entry.reason for entry in lines if isinstance(entry, history.RemovalAsked)] == ["its patients asked for it"]
    assert {path.name for path in home.job_folder(trained).path.iterdir()} == {
        *("recipe.json", "graph.json", "initial.safetensors", "certificate.json", "preprocessing.json", ".worker.lock")
    }
    assert "was deleted on 20" in lost(home, agreement, asked)  # type: ignore[arg-type]
    audits = [{"ordinal": 0, "records": 0, "opened": False}]
    assert disclosed_of(home, agreement) == {"notes": 3, "metrics": ["loss", "accuracy"], "audits": audits}
    with pytest.raises(NotFound) as error:
        replay_job(home, trained, 2)
    assert "was deleted on 20" in error.value.hint


@pytest.mark.long
def test_jobs_are_removed_by_age_where_the_pod_is_told_to(workshop: Workshop) -> None:
    owner = workshop.owner
    with scientist_runs(workshop.scientist), owner_runs(owner, remove_after_s=HOUR_S):
        id = workshop.request()
        workshop.until(owner.has(id, "let_go"))
        assert Kept.TRAINING in kept_of(owner.home, id)
        pass_by(owner.home.chain, HOUR_S)
        workshop.until(lambda: not kept_of(owner.home, id))
        workshop.until(lambda: not owner.home.journal.fact(id, BEGUN))
    assert not owner.told(id, "removed")["by_person"]


def pass_by(chain: Chain, seconds: int) -> None:
    chain.node.request("evm_increaseTime", hex(seconds + 1))
    chain.node.request("anvil_mine", hex(1))
