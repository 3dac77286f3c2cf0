"""A home whose files were cut, overwritten or lost is refused with the way back, and never taken
for a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fitchain.cli.app import run
from fitchain.pod.jobs import history
from fitchain.pod.jobs.journal import JOURNAL_FILE, MARK_FILE, DatasetRow, Journal
from fitchain.pod.ports import keys
from fitchain.pod.ports.chain import connect
from fitchain.pod.ports.chain.queue import QUEUE_FILE
from fitchain.pod.ports.database import Layout, create
from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.errors import HomeDamaged, InputRefused
from fitchain.pod.values.ids import AgreementId, DatasetId
from tests.chain_fixtures import PASSPHRASE, QUICK_WORK, Account, Devnet
from tests.damage import DAMAGES, Damage, contents, overwrite

JOB = AgreementId(sha256(b"job"))
NAMES = {damage: damage.__name__ for damage in DAMAGES}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose pod has done something."""
    folder = tmp_path / "home"
    keys.create(folder, "default", PASSPHRASE, work=QUICK_WORK)
    journal = Journal(folder / JOURNAL_FILE)
    for number in range(200):
        journal.record(JOB, history.Anchored(number, number))
    journal.close()
    return folder


def refused(path: Path, match: str = "is damaged") -> HomeDamaged:
    with pytest.raises(HomeDamaged, match=match) as error:
        Journal(path)
    assert "fitchain pod recover" in error.value.hint
    return error.value


@pytest.mark.parametrize("damage", DAMAGES, ids=NAMES.get)
def test_damaged_journal_is_refused_and_left_as_it_is(home: Path, damage: Damage) -> None:
    damage(home / JOURNAL_FILE)
    before = contents(home)
    refused(home / JOURNAL_FILE)
    assert contents(home) == before


def test_lost_journal_is_not_taken_for_a_new_home_s(home: Path) -> None:
    (home / JOURNAL_FILE).unlink()
    refused(home / JOURNAL_FILE, "it is gone")
    assert not (home / JOURNAL_FILE).exists()


@pytest.mark.parametrize("folder", ["jobs", "datasets", "models"])
def test_lost_journal_beside_what_a_pod_did_is_not_taken_for_a_new_home_s(home: Path, folder: str) -> None:
    for name in (JOURNAL_FILE, MARK_FILE):
        (home / name).unlink()
    (home / folder / "0x01").mkdir(parents=True)
    refused(home / JOURNAL_FILE, "it is gone")


def test_home_with_keys_alone_is_new(tmp_path: Path) -> None:
    keys.create(tmp_path, "default", PASSPHRASE, work=QUICK_WORK)
    Journal(tmp_path / JOURNAL_FILE).close()
    assert (tmp_path / MARK_FILE).stat().st_mode & 0o077 == 0


def test_journal_of_another_home_is_refused(home: Path, tmp_path: Path) -> None:
    Journal(tmp_path / "other" / JOURNAL_FILE).close()
    (tmp_path / "other" / JOURNAL_FILE).replace(home / JOURNAL_FILE)
    refused(home / JOURNAL_FILE, "another home's")


def test_journal_without_a_table_is_refused(home: Path) -> None:
    with closing(sqlite3.connect(home / JOURNAL_FILE)) as database:
        database.execute("DROP TABLE decisions")
    refused(home / JOURNAL_FILE, "not what a home keeps there")


def test_log_of_another_database_is_refused(home: Path, tmp_path: Path) -> None:
    """SQLite would read it into the journal."""
    (home / f"{JOURNAL_FILE}-wal").write_bytes(b"\x37\x7f\x06\x82" + bytes(60))
    refused(home / JOURNAL_FILE, "none of its own")


def test_all_that_was_committed_is_in_the_one_file(home: Path) -> None:
    journal = Journal(home / JOURNAL_FILE)
    journal.record(JOB, history.Settled())
    beside = [path for path in home.glob(f"{JOURNAL_FILE}-*") if path.stat().st_size]
    assert not beside
    journal.close()


def test_row_that_nobody_of_ours_wrote_is_damage(home: Path) -> None:
    journal = Journal(home / JOURNAL_FILE)
    row = DatasetRow(DatasetId(JOB), Path("/data"), {}, b"salt", Root(JOB), b"{}", "bafk")
    journal.keep_dataset(row)
    with closing(sqlite3.connect(home / JOURNAL_FILE)) as database:
        database.execute("UPDATE datasets SET reading = ?", ("\x00\x01",))
        database.commit()
    with pytest.raises(HomeDamaged, match="a row of it cannot be read"):
        journal.datasets()
    journal.close()


def test_damage_to_a_journal_in_use_is_told_and_not_a_bug(home: Path) -> None:
    journal = Journal(home / JOURNAL_FILE)
    overwrite(home / JOURNAL_FILE)
    with pytest.raises(HomeDamaged):
        for _ in range(3):
            journal.record(JOB, history.Settled())
            journal.history(JOB)
    journal.close()


def test_half_made_database_is_not_there(tmp_path: Path) -> None:
    def fail(database: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "new.db", Layout("CREATE TABLE songs(title TEXT)"), fail)
    assert not list(tmp_path.iterdir())


def test_newer_journal_is_refused_by_its_version(home: Path) -> None:
    with closing(sqlite3.connect(home / JOURNAL_FILE)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(InputRefused, match="is of a later Fitchain: its version is 99") as error:
        Journal(home / JOURNAL_FILE)
    assert "use that Fitchain" in error.value.hint


@pytest.mark.parametrize(
    "command",
    ["job list", "data list --mine", "model list", "coin balance", "pod owner", "pod scientist", "pod verifier"],
)
def test_every_command_says_so_though_no_node_answers(
    home: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overwrite(home / JOURNAL_FILE)
    assert run([*command.split(), "--home", str(home), "--rpc", "http://127.0.0.1:1"]) == 3
    told = capsys.readouterr().err
    assert "is damaged" in told and "fitchain pod recover" in told and "Traceback" not in told


@pytest.fixture(scope="module")
def account(open_account: Callable[..., Account]) -> Account:
    return open_account()


@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink], ids=lambda damage: str(damage.__name__))
def test_damaged_list_of_transactions_is_refused(account: Account, damage: Damage) -> None:
    place = account.chain.settings
    path = place.home / QUEUE_FILE
    before = path.read_bytes()
    damage(path)
    try:
        with pytest.raises(HomeDamaged, match=QUEUE_FILE) as error:
            connect(place, account.keys)
        assert "fitchain pod recover" in error.value.hint
    finally:
        path.write_bytes(before)


def test_whoever_only_reads_needs_no_list_of_transactions(running_devnet: Devnet, account: Account) -> None:
    place = account.chain.settings
    path = place.home / QUEUE_FILE
    before = path.read_bytes()
    overwrite(path)
    try:
        connect(place)
    finally:
        path.write_bytes(before)
