"""A home of Fitchain 0.2 is refused by name, is left as it was, and its key goes along."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fitchain.cli.app import run
from fitchain.pod.jobs.home import Home, open_home
from fitchain.pod.jobs.journal import SCHEMA_VERSION, Journal
from fitchain.pod.ports import keys
from fitchain.pod.ports.chain import connect
from fitchain.pod.ports.chain.base import Deployment
from fitchain.pod.ports.chain.deploy import deploy
from fitchain.pod.values.errors import InputRefused
from tests.chain_fixtures import PASSPHRASE, QUICK_WORK, Devnet, secret_file
from tests.home_of_0_2 import leave_deployment, leave_home

REFUSAL = r"is a home of Fitchain 0\.2, which protocol 2 does not read"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    leave_home(tmp_path / "old")
    return tmp_path / "old"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, SQLite's own beside the databases aside."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("deployed", [True, False])
def test_home_is_refused_by_name_and_left_as_it_was(running_devnet: Devnet, tmp_path: Path, deployed: bool) -> None:
    leave_home(tmp_path / "old", deployed)
    before = contents(tmp_path / "old")
    with pytest.raises(InputRefused, match=REFUSAL) as error:
        Home.open(running_devnet.settings(tmp_path / "old"), lambda: PASSPHRASE)
    assert "make a new home" in error.value.hint and f"--home {tmp_path / 'old'}" in error.value.hint
    assert contents(tmp_path / "old") == before


def test_home_is_refused_though_no_node_answers(old: Path) -> None:
    with pytest.raises(InputRefused, match=REFUSAL):
        open_home(old, rpc="http://127.0.0.1:1")


def test_command_line_says_so_and_what_to_do(
    running_devnet: Devnet, old: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FITCHAIN_DEVNET", str(running_devnet.folder))
    assert run(["job", "list", "--home", str(old)]) == 3
    told = " ".join(capsys.readouterr().err.split())
    assert "is a home of Fitchain 0.2" in told and "fitchain keys backup FILE" in told


def test_key_goes_along_as_the_refusal_says(
    running_devnet: Devnet, tmp_path: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITCHAIN_DEVNET", str(running_devnet.folder))
    secret_file(tmp_path / "passphrase", PASSPHRASE + "\n")
    new, backup = tmp_path / "new", tmp_path / "backup.json"
    key = keys.unlock(old, "default", PASSPHRASE)
    assert run(["keys", "backup", str(backup), "--home", str(old)]) == 0
    flags = ["--home", str(new), "--passphrase-file", str(tmp_path / "passphrase")]
    assert run(["keys", "import", str(backup), *flags]) == 0
    with Home.open(running_devnet.settings(new), lambda: PASSPHRASE) as home:
        assert (home.keys.address, home.keys.recipient) == (key.address, key.recipient)


def test_backup_that_0_2_wrote_is_imported(tmp_path: Path, old: Path) -> None:
    backup = keys.backup(old, "default", tmp_path / "backup.json")
    body = json.loads(backup.read_text())
    backup.write_text(json.dumps(body | {"version": "fitchain/keys/v1"}))
    key = keys.import_key(tmp_path / "new", "default", backup, PASSPHRASE, work=QUICK_WORK)
    assert key.address == keys.unlock(old, "default", PASSPHRASE).address


def test_deployment_is_refused_by_name(running_devnet: Devnet, tmp_path: Path) -> None:
    leave_deployment(tmp_path)
    with pytest.raises(InputRefused, match=r"31337\.json is a deployment of Fitchain 0\.2") as error:
        connect(running_devnet.settings(tmp_path))
    assert "fitchain deploy" in error.value.hint


@pytest.fixture
def old_record(running_devnet: Devnet) -> Iterator[Devnet]:
    """A running devnet whose record is 0.2's."""
    path = running_devnet.folder / "deployments" / "31337.json"
    before = path.read_bytes()
    leave_deployment(running_devnet.folder)
    yield running_devnet
    path.write_bytes(before)


def test_devnet_of_0_2_is_deployed_on_anew(old_record: Devnet, tmp_path: Path) -> None:
    assert deploy(old_record.settings(tmp_path)) == old_record.deployment
    assert Deployment.read(old_record.folder / "deployments" / "31337.json") == old_record.deployment


def test_elsewhere_a_deployment_of_0_2_is_not_overwritten(running_devnet: Devnet, tmp_path: Path) -> None:
    path = tmp_path / "deployments" / "31337.json"
    leave_deployment(tmp_path)
    before = path.read_bytes()
    with pytest.raises(InputRefused, match="is a deployment of Fitchain 0"):
        Deployment.read(path)
    assert path.read_bytes() == before
    assert connect(replace(running_devnet.settings(tmp_path / "new"))).deployment == running_devnet.deployment


def test_journal_of_a_later_version_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.db").close()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(InputRefused, match="is of a later Fitchain"):
        Journal(tmp_path / "journal.db")
