"""A registration that is cut off, wherever, and said again: one dataset, as if never cut off."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.compute.dataset import Rule
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.owner import PrivacyOffer, data
from fitchain.pod.parties.owner.data import RegisteredDataset, read_registered, registration_salt, registrations
from tests.chain_fixtures import PASSPHRASE
from tests.pods import Party, offer_table, private_table

AIMED = ("-m", "tests.faults.aimed_command")


class CutOff(Exception):
    """What stands for the end of a process."""


def cut_off(*given: object) -> None:
    raise CutOff


@pytest.fixture
def owner(open_party: Callable[..., Party]) -> Party:
    return open_party("owner")


def registered_but_not_kept(owner: Party, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as cutting, pytest.raises(CutOff):
        cutting.setattr(data, "keep_row", cut_off)
        offer_table(owner, table)
    assert registrations(owner.home) == 1 and not owner.home.journal.datasets()


def require_kept(owner: Party, made: RegisteredDataset, number: int = 0) -> None:
    """A dataset's row is there, and its records lead to its root under the salt of that
    registration."""
    (row,) = (row for row in owner.home.journal.datasets() if row.id == made.id)
    assert row.salt == registration_salt(owner.home.keys, number)
    assert read_registered(owner.home, row).count == made.count


def test_dataset_that_the_chain_had_before_its_home_is_taken_up(
    owner: Party, table_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered_but_not_kept(owner, table_path, monkeypatch)
    require_kept(owner, offer_table(owner, table_path))
    assert registrations(owner.home) == 1
    require_kept(owner, offer_table(owner, table_path), 1)  # said once more, it is another dataset
    assert registrations(owner.home) == 2


@pytest.mark.parametrize("what", ["price", "records"])
def test_another_offer_is_not_taken_for_the_one_that_was_cut_off(
    owner: Party, table_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    registered_but_not_kept(owner, table_path, monkeypatch)
    other = private_table(tmp_path / "other.csv", seed=2)
    made = offer_table(owner, table_path, price=7) if what == "price" else offer_table(owner, other)
    require_kept(owner, made, 1)
    assert registrations(owner.home) == 2


RANGES = dict.fromkeys(("alpha", "beta", "gamma", "delta"), (-10.0, 10.0))


def test_a_dataset_of_another_ledger_is_not_taken_for_the_one_that_was_cut_off(
    owner: Party, table_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer: dict[str, Any] = {"transform": "ranges", "ranges": RANGES, "classes": ("ill", "well")}

    def offered(privacy: PrivacyOffer) -> RegisteredDataset:
        return offer_table(owner, table_path, privacy=privacy, **offer)

    def ledgers() -> list[int]:
        return [owner.home.registry.dataset(id).ledger for id in data._registered(owner.home)]

    with monkeypatch.context() as cutting, pytest.raises(CutOff):
        cutting.setattr(data, "keep_row", cut_off)
        offered(PrivacyOffer(3, 1e-3))
    assert not offered(PrivacyOffer(2, 1e-3, other_people=True)).taken_up and ledgers() == [1, 2]
    with monkeypatch.context() as cutting, pytest.raises(CutOff):
        cutting.setattr(data, "keep_row", cut_off)
        offered(PrivacyOffer(2, 1e-3, other_people=True))
    assert offered(PrivacyOffer(2, 1e-3, other_people=True)).taken_up and ledgers() == [1, 2, 3]


@pytest.mark.long
def test_command_that_is_killed_anywhere_and_said_again_registers_once(owner: Party, table_path: Path) -> None:
    """Each command gets a little further than the one before it; what each leaves is what the next
    one finds."""
    words = ("data", "register", str(table_path), "--target", "finding", "--drop", "patient", "--name", "findings")
    more = (
        "--models-may-reveal-records",
        "--disclose-records",
        "40",
        "--yes",
        *(word for rule in Rule for word in ("--insist", str(rule))),
    )
    settings = owner.home.settings
    owner.home.close()

    def run(point: str) -> subprocess.CompletedProcess[bytes]:
        side = replace(owner.side, program=(*AIMED, point))
        return subprocess.run(side.command(*words, *more), env=side.environment(), capture_output=True, check=False)

    for point in ("fit::after", "tree::before", "tree::after", "mock::after", "send:registerDataset:before",
                  "send:registerDataset:after", "keep::before"):  # fmt: skip
        ended = run(point)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    ended = run("")
    assert ended.returncode == 0, ended.stderr.decode()
    owner.home = Home.open(settings, lambda: PASSPHRASE)
    (row,) = owner.home.journal.datasets()
    assert registrations(owner.home) == 1 and row.salt == registration_salt(owner.home.keys, 0)
    assert read_registered(owner.home, row).count == 40
    assert not [path for path in settings.home.rglob("*") if path.name.endswith(".part")]
