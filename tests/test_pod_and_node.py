"""A pod and its node, each of which may start first, stop and come back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fitchain.pod.parties.scientist import Scientist
from fitchain.pod.ports import keys
from fitchain.pod.ports.chain import devnet
from fitchain.pod.ports.chain.deploy import deploy
from fitchain.pod.ports.registry import Role
from fitchain.pod.ports.settings import Settings, load
from tests.chain_fixtures import PASSPHRASE, QUICK_WORK, secret_file
from tests.limits import LIMIT_S
from tests.pods import Party, opened_party, running


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A devnet's folder of this test alone."""
    yield tmp_path / "devnet"
    devnet.down(tmp_path / "devnet")


def started(folder: Path, home: Path) -> Settings:
    devnet.up(folder, 0)
    place = load(home, devnet=folder, environ={})
    deploy(place)
    return place


def until(reached: Callable[[], bool], said: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < deadline, said()
        time.sleep(0.05)


@pytest.mark.long
def test_a_running_pod_follows_its_devnet_to_another_port(folder: Path, tmp_path: Path) -> None:
    party: Party = opened_party(started(folder, tmp_path / "scientist"), "scientist")
    chain, before = party.home.chain, party.home.chain.node.url
    with party.home, running(Scientist(party.home, True, party.say, look_s=0.05, retry_s=0.2)):
        until(lambda: chain.call("Registry", "pod", party.address)["role"] == Role.SCIENTIST, lambda: party.said)
        devnet.down(folder)
        until(lambda: any("no devnet runs from" in line for line in party.said), lambda: party.said)
        while devnet.up(folder, 0).rpc == before:
            devnet.down(folder)
        until(lambda: chain.node.url != before, lambda: party.said)
        assert sum("no devnet runs from" in line for line in party.said) == 1


def test_a_pod_that_is_started_before_its_node_waits_for_it(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    key = keys.create(home, "default", PASSPHRASE, work=QUICK_WORK)
    devnet.fund(started(folder, tmp_path / "deployer"), key.address, 10**18, 1)
    devnet.down(folder)
    secret = tmp_path / "passphrase"
    secret_file(secret, PASSPHRASE)
    chosen = {"FITCHAIN_HOME": home, "FITCHAIN_DEVNET": folder, "FITCHAIN_PASSPHRASE_FILE": secret}
    variables = {name: value for name, value in os.environ.items() if not name.startswith("FITCHAIN_")}
    log = tmp_path / "log"
    with log.open("wb") as output:
        pod = subprocess.Popen(
            [sys.executable, "-m", "fitchain.cli", "pod", "scientist"],
            env=variables | {name: str(value) for name, value in chosen.items()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: "waits for its node: no node is chosen, and no devnet runs" in log.read_text(), log.read_text)
        devnet.up(folder, 0)
        until(lambda: "follows 0 requests" in log.read_text(), log.read_text)
        pod.terminate()
        assert pod.wait(LIMIT_S) == 0
    finally:
        pod.kill()
        pod.wait()
    assert log.read_text().count("waits for its node") == 1
