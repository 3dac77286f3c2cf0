"""Fixtures that run the command line in this process, for a program and for a person."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from fitchain.cli.app import run
from tests.chain_fixtures import PASSPHRASE, Account, Devnet, secret_file

if TYPE_CHECKING:
    from tests.agreements import Parties

Fitchain = Callable[..., tuple[int, dict[str, Any], str]]
"""Runs a command of an account's home, `typed` answering what it asks: exit code, JSON object, what
was told on stderr."""


@pytest.fixture
def fitchain(running_devnet: Devnet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fitchain:
    monkeypatch.setenv("FITCHAIN_DEVNET", str(running_devnet.folder))

    def command(account: Account, *arguments: str, typed: str = "") -> tuple[int, dict[str, Any], str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        home = account.chain.settings.home
        secret_file(home / "passphrase", PASSPHRASE + "\n")
        code = run([*arguments, "--home", str(home), "--passphrase-file", str(home / "passphrase"), "--json"])
        told = capsys.readouterr()
        return code, json.loads(told.out.splitlines()[-1]) if told.out else {}, told.err

    return command


@pytest.fixture
def shown(
    fitchain: Fitchain, parties: Parties, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """What a command shows to people, as the owner runs it."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def command(*arguments: str) -> str:
        assert run([*arguments, "--home", str(parties.owner.chain.settings.home)]) == 0
        return capsys.readouterr().out

    return command
