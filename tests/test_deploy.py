"""Deployment: once, by whoever pays, and without a second copy after an interruption."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.ports import keys, settings
from fitchain.pod.ports.chain import connect, devnet
from fitchain.pod.ports.chain.client import checksum
from fitchain.pod.ports.chain.deploy import deploy, record_path
from fitchain.pod.ports.chain.node_tools import binary
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.settings import Settings
from fitchain.pod.values.errors import AccessRefused, ChainUnusable, InputRefused, NodeUnreachable
from tests.chain_fixtures import ETHER, PASSPHRASE, QUICK_WORK
from tests.node_proxy import proxy

ROOT = Path(__file__).parent.parent
OTHER_CHAIN = 5050


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Settings]:
    """The settings of a home on a fresh devnet without contracts."""
    devnet.up(tmp_path / "devnet", 0)
    yield settings.load(home=tmp_path / "home", devnet=tmp_path / "devnet", environ={})
    devnet.down(tmp_path / "devnet")


@pytest.fixture
def other_chain(tmp_path: Path) -> Iterator[Settings]:
    """The settings of a home on a chain that is no devnet, with a key that has ETH there."""
    log = tmp_path / "anvil.log"
    command = [str(binary("anvil")), "--port", "0", "--chain-id", str(OTHER_CHAIN)]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            rpc = f"http://127.0.0.1:{devnet.listening_port(process.pid, log)}"
            place = settings.load(
                home=tmp_path / "home", rpc=rpc, devnet=tmp_path, confirmations=0, poll_s=0.02, environ={}
            )
            key = keys.create(place.home, "default", PASSPHRASE, work=QUICK_WORK)
            Node(rpc).request("anvil_setBalance", key.address, hex(10 * ETHER))
            yield place
        finally:
            process.terminate()


def creations(rpc: str, address: str) -> int:
    return int(Node(rpc).request("eth_getTransactionCount", address, "latest"), 16)


def test_deploy_twice_is_once(place: Settings) -> None:
    first = deploy(place)
    assert deploy(place) == first == connect(place).deployment
    deployer = Node(place.rpc).request("eth_accounts")[0]
    assert creations(place.rpc, deployer) == 3


def test_devnet_with_contracts_of_another_version_gets_new_ones(place: Settings) -> None:
    first = deploy(place)
    older = dict(first.transactions) | {"Registry": first.transactions["FitCoin"]}
    record_path(place, 31337).write_bytes(replace(first, transactions=older).encode())
    assert deploy(place).addresses["Registry"] != first.addresses["Registry"]


def test_deploy_refuses_another_chain(place: Settings) -> None:
    with pytest.raises(ChainUnusable, match="is on chain 31337, and the settings say 1"):
        deploy(replace(place, chain_id=1))


def test_interrupted_deployment_goes_on_where_it_stopped(place: Settings, tmp_path: Path) -> None:
    sent = count()

    def two_creations(call: dict[str, Any]) -> tuple[int, None] | None:
        return (403, None) if call["method"] == "eth_sendTransaction" and next(sent) == 2 else None

    with proxy(place.rpc, two_creations) as url, pytest.raises(NodeUnreachable):
        deploy(replace(place, rpc=url))
    # Behind the proxy it was not the running devnet, so its record lies in the home.
    partial = place.home / "deployments" / "31337.partial.json"
    (place.devnet / "deployments").mkdir()
    partial.rename(place.devnet / "deployments" / "31337.partial.json")
    deployment = deploy(place)
    assert connect(place).deployment == deployment
    assert creations(place.rpc, Node(place.rpc).request("eth_accounts")[0]) == 3
    assert [path.name for path in (place.devnet / "deployments").iterdir()] == ["31337.json"]


def test_partial_deployment_of_a_forgotten_chain_begins_anew(place: Settings) -> None:
    deployer = Node(place.rpc).request("eth_accounts")[0]
    partial = record_path(place, 31337).with_suffix(".partial.json")
    partial.parent.mkdir()
    sent = {"FitCoin": {"transaction": "0x" + "12" * 32, "nonce": 0}}
    partial.write_text(json.dumps({"deployer": checksum(deployer), "sent": sent}))
    assert deploy(place) == connect(place).deployment


def test_deployment_is_finished_by_whoever_began_it(other_chain: Settings) -> None:
    partial = record_path(other_chain, OTHER_CHAIN).with_suffix(".partial.json")
    partial.parent.mkdir()
    partial.write_text(json.dumps({"deployer": "0x" + "11" * 20, "sent": {}}))
    with pytest.raises(InputRefused, match="was begun by 0x1111"):
        deploy(other_chain, keys.unlock(other_chain.home, "default", PASSPHRASE))


def test_elsewhere_a_key_must_pay(other_chain: Settings) -> None:
    with pytest.raises(AccessRefused, match="needs a key"):
        deploy(other_chain)


def test_elsewhere_a_key_of_the_home_deploys_and_has_the_supply(other_chain: Settings) -> None:
    key = keys.unlock(other_chain.home, "default", PASSPHRASE)
    deployment = deploy(other_chain, key)
    chain = connect(other_chain, key)
    assert chain.deployment == deployment
    assert chain.fit_balance(key.address) == 10**9 * ETHER
    assert chain.call("Agreements", "minimumWindow") == 600


def test_record_without_contracts_is_not_overwritten_elsewhere(other_chain: Settings) -> None:
    key = keys.unlock(other_chain.home, "default", PASSPHRASE)
    path = record_path(other_chain, OTHER_CHAIN)
    deployment = deploy(other_chain, key)
    path.write_bytes(replace(deployment, addresses=dict.fromkeys(deployment.addresses, "0x" + "11" * 20)).encode())
    with pytest.raises(ChainUnusable, match="records a deployment, but no contract stands"):
        deploy(other_chain, key)


def test_script_deploys(place: Settings, other_chain: Settings, tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE + "\n")
    flags = ["--home", other_chain.home, "--rpc", other_chain.rpc, "--passphrase-file", passphrase]
    command = [sys.executable, ROOT / "scripts" / "deploy.py", *flags, "--confirmations", "0"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["chain_id"] == OTHER_CHAIN
    refused = subprocess.run([*map(str, command), "--chain-id", "1"], capture_output=True, text=True, check=False)
    assert refused.returncode == 3
    assert "is on chain 5050, and the settings say 1" in refused.stderr
