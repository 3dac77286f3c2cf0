"""A disk that is full, read-only or not ours: told in one line, nothing half-written stays, and
what waits goes on when there is room again."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.app import run
from fitchain.pod.jobs import history
from fitchain.pod.jobs.journal import JOURNAL_FILE, Journal
from fitchain.pod.ports import keys
from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import HostUnusable
from fitchain.pod.values.ids import AgreementId
from tests.chain_fixtures import PASSPHRASE, QUICK_WORK, secret_file
from tests.damage import full, read_only, small_disk

JOB = AgreementId(sha256(b"job"))
ROOM_KIB = 512


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", ROOM_KIB) as folder:
        yield folder


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.mount
def test_full_disk_is_told_and_the_journal_goes_on_when_there_is_room(disk: Path) -> None:
    journal = Journal(disk / JOURNAL_FILE)
    journal.record(JOB, history.Accepted())
    with full(disk), pytest.raises(HostUnusable, match="the disk is full"):
        for number in range(10_000):
            journal.record(JOB, history.Anchored(number, number))
    told = len(journal.history(JOB))
    assert journal.record(JOB, history.Settled())
    assert len(journal.history(JOB)) == told + 1
    journal.close()
    Journal(disk / JOURNAL_FILE).close()


@pytest.mark.mount
def test_read_only_disk_is_told_and_the_journal_read(disk: Path) -> None:
    journal = Journal(disk / JOURNAL_FILE)
    journal.record(JOB, history.Accepted())
    journal.close()
    with read_only(disk):
        journal = Journal(disk / JOURNAL_FILE)
        assert journal.happened(JOB, history.Accepted)
        with pytest.raises(HostUnusable, match="it is read-only"):
            journal.record(JOB, history.Settled())
        journal.close()


@pytest.mark.mount
@pytest.mark.parametrize("left_bytes", [0, 4096, 16384])
def test_new_home_on_a_full_disk_leaves_nothing_behind(disk: Path, left_bytes: int) -> None:
    (disk / "home").mkdir()
    with full(disk, left_bytes):
        with pytest.raises(HostUnusable, match=r"journal\.db cannot be (written|used now)"):
            Journal(disk / "home" / JOURNAL_FILE)
        assert not list((disk / "home").iterdir())
    Journal(disk / "home" / JOURNAL_FILE).close()


@pytest.mark.mount
def test_small_file_on_a_full_disk_stays_the_old_one(disk: Path) -> None:
    write_file(disk / "known.json", b"old")
    with full(disk), pytest.raises(HostUnusable, match=r"known\.json cannot be written: the disk is full"):
        write_file(disk / "known.json", bytes(10_000))
    assert (disk / "known.json").read_bytes() == b"old" and len(list(disk.iterdir())) == 1


@pytest.mark.mount
@pytest.mark.parametrize(
    "command",
    ["keys new", "keys backup {0}/backup.json", "job list", pytest.param("coin balance", marks=pytest.mark.long)],
)
def test_command_on_a_full_disk_ends_with_one_line(
    disk: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home, passphrase = disk / "home", secret_file(tmp_path / "passphrase", PASSPHRASE)
    home.mkdir()
    if command != "keys new":
        keys.create(home, "default", PASSPHRASE, work=QUICK_WORK)
        Journal(home / JOURNAL_FILE).close()
    before = files(disk)
    with full(disk):
        flags = ["--home", str(home), "--passphrase-file", str(passphrase), "--rpc", "http://127.0.0.1:1"]
        assert run([*command.format(disk).split(), *flags]) == 3
    told = capsys.readouterr().err
    assert told.count("error: ") == 1 and "Traceback" not in told
    # The others write nothing before they have a node.
    assert ("the disk is full" in told) == command.startswith("keys")
    assert files(disk) == before


def limited() -> None:
    """Let this process write no file of more than a few bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


def fitchain(*arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fitchain.cli", *arguments]
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, stderr=subprocess.PIPE, text=True, check=False, **how
    )
    return done


def test_file_that_may_not_grow_is_told_and_nothing_of_it_stays(tmp_path: Path) -> None:
    """What runs where nobody may mount a disk."""
    home, target = tmp_path / "home", tmp_path / "backup.json"
    keys.create(home, "default", PASSPHRASE, work=QUICK_WORK)
    done = fitchain("keys", "backup", str(target), "--home", str(home), preexec_fn=limited)
    assert done.returncode == 3 and "cannot be written: it would be larger than this process may write" in done.stderr
    assert "Traceback" not in done.stderr and not target.exists()


def test_output_that_a_full_disk_does_not_take_is_told(tmp_path: Path) -> None:
    keys.create(tmp_path, "default", PASSPHRASE, work=QUICK_WORK)
    with Path("/dev/full").open("w") as nowhere:
        done = fitchain("keys", "list", "--json", "--home", str(tmp_path), stdout=nowhere)
        assert done.returncode == 3 and "the disk is full" in done.stderr
        assert "Traceback" not in done.stderr and "Exception" not in done.stderr
        command = [sys.executable, "-m", "fitchain.cli", "keys", "list", "--home", str(tmp_path / "none" / "x")]
        assert subprocess.run(command, stdout=nowhere, stderr=nowhere, check=False).returncode == 3


def test_folder_without_rights_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Root may write everywhere, but not where a part of the path is a file."""
    (tmp_path / "file").write_text("")
    passphrase = secret_file(tmp_path / "passphrase", PASSPHRASE)
    flags = ["--home", str(tmp_path / "file" / "home"), "--passphrase-file", str(passphrase)]
    assert run(["keys", "new", *flags]) == 3
    told = capsys.readouterr().err
    assert "a part of its path is no folder" in told and "Traceback" not in told
    if os.geteuid():
        with suppress(FileNotFoundError):
            (tmp_path / "closed").mkdir(mode=0o500)
        assert run(["keys", "new", "--home", str(tmp_path / "closed"), *flags[2:]]) == 3
        assert "this account may not" in capsys.readouterr().err
