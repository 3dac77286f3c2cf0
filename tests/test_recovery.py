"""`fitchain pod recover`: what a lost journal knew is found again by keys, chain and job folders,
and what is not is said."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import JOURNAL_FILE, MARK_FILE, Decision
from fitchain.pod.parties.owner import approve, reject
from fitchain.pod.parties.owner.disclosed import keep_disclosed, opened_before
from fitchain.pod.parties.owner.run import order_nonce
from fitchain.pod.parties.recovery import Recovery, recover
from fitchain.pod.parties.scientist.request import is_unsent, send_again
from fitchain.pod.ports.agreement import State, commit_key
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.chain.known import KNOWN_FILE
from fitchain.pod.ports.chain.queue import QUEUE_FILE
from fitchain.pod.values.errors import DatasetChanged, HomeDamaged, NodeUnreachable, NotFound, NotMinedYet, Unusable
from fitchain.pod.values.ids import AgreementId, AuditRef, DatasetId
from tests.chain_fixtures import PASSPHRASE, no_mining, take_back
from tests.cli_fixtures import Fitchain
from tests.damage import DAMAGES, Damage, contents, overwrite
from tests.pods import PRICE, Party, Workshop, offer_table, owner_runs, private_table, scientist_runs
from tests.policies import open_policy


def recovered(
    party: Party, damage: Damage = overwrite, *names: str, sources: dict[DatasetId, Path] | None = None
) -> Recovery:
    """Damage files of a party's home, its journal unless others are named, and recover it."""
    home, settings = party.home, party.home.settings
    home.close()
    for name in names or (JOURNAL_FILE,):
        damage(settings.home / name)
    try:
        return recover(settings, lambda: PASSPHRASE, sources)
    finally:
        party.home = Home.open(settings, lambda: PASSPHRASE)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage.__name__))
def test_owner_s_datasets_are_found_again_after_any_damage(workshop: Workshop, damage: Damage) -> None:
    before = workshop.owner.home.journal.datasets()
    recovery = recovered(workshop.owner, damage)
    assert workshop.owner.home.journal.datasets() == before
    assert (recovery.restored[0].kind, recovery.restored[0].id) == ("dataset", str(workshop.dataset.id))
    assert (
        recovery.moved[0].name == JOURNAL_FILE and recovery.moved[0].parent.parent == workshop.owner.home.settings.home
    )


def test_scientist_s_models_and_requests_are_found_again(workshop: Workshop) -> None:
    id = workshop.request()
    journal = workshop.scientist.home.journal
    models, requests = journal.models(), journal.requests()
    recovery = recovered(workshop.scientist)
    journal = workshop.scientist.home.journal
    assert journal.requests() == requests
    assert [(model.id, model.graph, model.initial_model, model.folder) for model in journal.models()] == [
        (model.id, model.graph, model.initial_model, model.folder) for model in models
    ]
    assert [type(line.entry) for line in journal.history(id)] == [history.Requested, history.Recovered]
    assert journal.history(id)[0].time == workshop.scientist.home.agreements.events(id)[0].timestamp
    assert any("how it was called is not known" in item.what for item in recovery.restored if item.kind == "model")


def test_recovered_request_is_sent_again_where_the_chain_takes_it_back(workshop: Workshop, reader: Chain) -> None:
    id, scientist = workshop.request(), workshop.scientist
    recovered(scientist, overwrite, JOURNAL_FILE, QUEUE_FILE)
    take_back(reader, scientist.home.agreements.requested_block(id))
    assert is_unsent(scientist.home, id)
    send_again(scientist.home, id, scientist.say)
    assert [event.name for event in scientist.home.agreements.events(id)] == ["Requested"]


def test_model_whose_files_are_gone_comes_out_of_a_request(workshop: Workshop) -> None:
    id, home = workshop.request(), workshop.scientist.home
    model = home.journal.models()[-1]
    for folder in (model.folder, home.job_folder(id).path):
        for path in folder.iterdir():
            path.unlink()
    recovered(workshop.scientist)
    found = workshop.scientist.home.journal.model(model.id)
    assert sorted(path.name for path in found.folder.iterdir()) == ["graph.json", "initial.safetensors"]


def test_source_that_the_home_does_not_know_is_asked_for_and_found_by_the_key(
    workshop: Workshop, tmp_path: Path
) -> None:
    owner, table = workshop.owner, private_table(tmp_path / "other.csv", seed=7)
    twice = [offer_table(owner, table), offer_table(owner, table)]
    assert twice[0].root != twice[1].root
    ids = [dataset.id for dataset in twice]
    salts = [owner.home.journal.dataset(id).salt for id in ids]
    for id in ids:
        (owner.home.dataset_folder(id) / "source.json").unlink()
    lost = {each.id: each for each in recovered(owner).lost}
    assert all(lost[str(id)].command == f"fitchain pod recover --source {id}=FILE" for id in ids)
    moved = tmp_path / "moved.csv"
    table.rename(moved)
    recover(owner.home.settings, lambda: PASSPHRASE, dict.fromkeys(ids, moved))
    rows = [owner.home.journal.dataset(id) for id in ids]
    assert [row.salt for row in rows] == salts and {row.source for row in rows} == {moved}
    recovered(owner)
    assert [owner.home.journal.dataset(id) for id in ids] == rows


def test_file_of_other_records_is_no_source(workshop: Workshop, tmp_path: Path) -> None:
    owner, table = workshop.owner, private_table(tmp_path / "right.csv", seed=8)
    id = offer_table(owner, table).id
    (owner.home.dataset_folder(id) / "source.json").unlink()
    recovered(owner)
    other = private_table(tmp_path / "wrong.csv", seed=9)
    with pytest.raises(DatasetChanged, match="under no salt of this key"):
        recover(owner.home.settings, lambda: PASSPHRASE, {id: other})
    with pytest.raises(NotFound, match="registered no dataset"):
        recover(owner.home.settings, lambda: PASSPHRASE, {DatasetId(workshop.model.id): other})


@pytest.fixture(scope="module")
def asking(workshop: Workshop, table_path: Path) -> Workshop:
    """A dataset whose policy asks nobody."""
    dataset = offer_table(workshop.owner, table_path, policy=open_policy(manual_approval=False))
    return replace(workshop, dataset=dataset)


@pytest.mark.long
def test_request_that_a_person_may_have_declined_is_asked_about_again(asking: Workshop) -> None:
    owner, id = asking.owner, asking.request()
    owner.home.journal.decide(id, Decision("reject", "no"))  # and the pod never came to sending it
    recovered(owner)
    with owner_runs(owner):
        asking.until(lambda: owner.has(id, "approval_needed")() or owner.has(id, "accepted")())
        assert asking.scientist.state(id) is State.REQUESTED
        approve(owner.home, id)
        asking.until(owner.has(id, "finished"))


@pytest.mark.long
def test_history_and_facts_of_a_job_are_found_again(asking: Workshop) -> None:
    owner, id = asking.owner, asking.request()
    with owner_runs(owner, final_blocks=10_000), scientist_runs(asking.scientist):
        asking.until(owner.has(id, "settled"))
    kinds = ("accepted", "begun", "checkpoint", "anchored", "finished")
    names = ("recipient", "disclosed", "weights", "key")
    before = [line for line in owner.home.journal.history(id) if line.entry.kind in kinds]
    facts = [owner.home.journal.fact(id, name) for name in names]
    recovered(owner)
    after = [line for line in owner.home.journal.history(id) if line.entry.kind in kinds]
    assert sorted(_told(line.entry) for line in after) == sorted(_told(line.entry) for line in before)
    assert [owner.home.journal.fact(id, name) for name in names] == facts
    assert owner.home.journal.fact(id, "evidence_made") is None


def test_journal_that_is_older_than_a_job_is_told_and_filled(asking: Workshop) -> None:
    """Yesterday's copy was put back: what today's audits may open would not be counted, nor today's
    job be trained."""
    owner, id, other = asking.owner, asking.request(price=PRICE + 1), asking.request(price=PRICE + 2)
    home = owner.home
    home.agreements.accept(id, commit_key(order_nonce(home, id)))  # of which the journal knows nothing
    agreement, ref = home.agreements.read(other), AuditRef(other)
    with pytest.raises(Unusable, match=f"does not know the job {id.short}") as error:
        opened_before(home, agreement, ref)
    assert "fitchain pod recover --again" in error.value.hint
    recover(home.settings, lambda: PASSPHRASE, again=True)
    opened_before(home, agreement, ref)
    assert home.journal.fact(id, "recipient") == asking.scientist.home.keys.recipient
    reject(home, other)


def test_job_counts_from_its_acceptance_on_whatever_its_pod_came_to_write(asking: Workshop) -> None:
    home, id, other = asking.owner.home, asking.request(price=PRICE + 3), asking.request(price=PRICE + 4)
    keep_disclosed(home, AuditRef(id), 7)

    def counted() -> int:
        return opened_before(home, home.agreements.read(other), AuditRef(other)).agreed

    before = counted()
    home.agreements.accept(id, commit_key(order_nonce(home, id)))  # and here the pod is killed
    assert counted() == before + 7
    recover(home.settings, lambda: PASSPHRASE, again=True)
    reject(home, other)


def _told(entry: history.Entry | history.Unrecognised) -> str:
    return json.dumps({"kind": entry.kind} | entry.json() | {"gas": None}, sort_keys=True)


def test_sound_home_is_left_alone_and_filled_only_when_asked(workshop: Workshop) -> None:
    home = workshop.owner.home
    before = contents(home.settings.home)
    with pytest.raises(Unusable, match=r"nothing of the home .* is damaged") as error:
        recover(home.settings, lambda: PASSPHRASE)
    assert "--again" in error.value.hint
    assert contents(home.settings.home) == before
    lines = [(line.agreement, line.entry) for id in _jobs(home) for line in home.journal.history(id)]
    for _ in range(2):
        assert not recover(home.settings, lambda: PASSPHRASE, again=True).moved
    assert [(line.agreement, line.entry) for id in _jobs(home) for line in home.journal.history(id)] == lines


def _jobs(home: Home) -> list[AgreementId]:
    return home.agreements.list(owner=home.keys.address)


def test_recovery_that_is_cut_off_leaves_the_home_damaged_and_is_done_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, rename = workshop.owner, Path.replace
    before = owner.home.journal.datasets()

    def cut(path: Path, target: Path) -> Path:
        if path.name == JOURNAL_FILE:
            raise KeyboardInterrupt
        return rename(path, target)

    owner.home.close()
    overwrite(owner.home.settings.home / JOURNAL_FILE)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            recover(owner.home.settings, lambda: PASSPHRASE)
    with pytest.raises(Unusable, match="it is gone"):
        Home.open(owner.home.settings, lambda: PASSPHRASE)
    recover(owner.home.settings, lambda: PASSPHRASE)
    owner.home = Home.open(owner.home.settings, lambda: PASSPHRASE)
    assert owner.home.journal.datasets() == before


def test_home_of_a_running_pod_is_not_recovered(workshop: Workshop) -> None:
    with workshop.owner.home.exclusive_lock(), pytest.raises(Unusable, match="another pod runs"):
        recover(workshop.owner.home.settings, lambda: PASSPHRASE, again=True)


@pytest.mark.parametrize("name", [QUEUE_FILE, KNOWN_FILE, MARK_FILE])
def test_other_damaged_files_are_made_anew_and_the_journal_kept(workshop: Workshop, name: str) -> None:
    owner, path = workshop.owner, workshop.owner.home.settings.home / name
    before = path.read_bytes(), owner.home.journal.datasets()
    recovery = recovered(owner, overwrite, name)
    assert owner.home.journal.datasets() == before[1]
    if name == KNOWN_FILE:
        assert path.read_bytes() == before[0] and any(each.kind == "chain" for each in recovery.lost)
    if name == QUEUE_FILE:
        assert any(each.kind == "transactions" for each in recovery.lost)
    owner.home.registry.update_pod(owner.home.keys.recipient, b"elsewhere")  # it sends


def test_lost_list_of_transactions_is_made_anew_once_nothing_is_on_its_way(
    workshop: Workshop, reader: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, settings = workshop.owner, workshop.owner.home.settings
    monkeypatch.setattr(import_module("fitchain.pod.parties.recovery.recover"), "ON_THEIR_WAY_S", 0.0)
    with no_mining(reader):
        owner.home.chain.submit("Registry", "updatePod", owner.home.keys.recipient, b"on its way")
        owner.home.close()
        (settings.home / QUEUE_FILE).unlink()
        with pytest.raises(NotMinedYet, match="1 of the account's transactions are on their way"):
            recover(settings, lambda: PASSPHRASE)
        with pytest.raises(HomeDamaged, match="it is gone"):
            Home.open(settings, lambda: PASSPHRASE)
    assert list(recover(settings, lambda: PASSPHRASE).damage) == [QUEUE_FILE]
    owner.home = Home.open(settings, lambda: PASSPHRASE)
    assert owner.home.registry.pod(owner.address).endpoint == b"on its way"


def test_recovery_that_was_cut_off_after_it_put_the_known_chain_aside_comes_to_the_same_end(
    workshop: Workshop, reader: Chain
) -> None:
    owner, path = workshop.owner, workshop.owner.home.settings.home / KNOWN_FILE
    before, settings = path.read_bytes(), owner.home.settings
    owner.home.close()
    overwrite(path)
    with pytest.raises(NodeUnreachable):
        recover(settings.with_node("http://127.0.0.1:1", reader.chain_id), lambda: PASSPHRASE)
    recovery = recover(settings, lambda: PASSPHRASE)
    assert path.read_bytes() == before and any(each.kind == "chain" for each in recovery.lost)
    owner.home = Home.open(settings, lambda: PASSPHRASE)


def test_command_says_what_it_did(workshop: Workshop, fitchain: Fitchain, capsys: pytest.CaptureFixture[str]) -> None:
    home, account = workshop.owner.home, type("Account", (), {"chain": workshop.owner.home.chain})()
    code, _, told = fitchain(account, "pod", "recover")
    assert code == 3 and "nothing of the home" in told and "--again" in told
    home.close()
    overwrite(home.settings.home / JOURNAL_FILE)
    code, values, _ = fitchain(account, "pod", "recover")
    assert code == 0 and list(values["damage"]) == [JOURNAL_FILE] and values["moved"] and values["restored"]
    assert {"kind", "id", "what", "meaning", "command"} == values["lost"][0].keys()
    code, _, told = fitchain(account, "pod", "recover", "--source", "nothing")
    assert code == 3 and "is no DATASET=FILE" in told
    workshop.owner.home = Home.open(home.settings, lambda: PASSPHRASE)
