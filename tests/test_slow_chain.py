"""A chain that is no devnet: another id, a block every 12 seconds (`make test-long`: every two), a
base fee, the limits of Osaka. It is the only kind of chain beside the devnet on which any of this
was tried."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fitchain.pod.ports import keys, settings
from fitchain.pod.ports.agreement import Agreements, State, commit_key
from fitchain.pod.ports.chain import Chain, connect, devnet
from fitchain.pod.ports.chain.deploy import deploy
from fitchain.pod.ports.chain.node_tools import binary
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.settings import GWEI, Settings
from tests.agreements import BOND, NONCE, PRICE, registered
from tests.chain_fixtures import ETHER, PASSPHRASE, QUICK_WORK, Account

CHAIN, BASE_FEE_WEI = 7777, 20 * GWEI


@pytest.fixture(
    scope="module",
    params=[pytest.param(2, marks=pytest.mark.long), pytest.param(12, marks=pytest.mark.nightly)],
    ids="a block every {} s".format,
)
def block_time_s(request: pytest.FixtureRequest) -> int:
    time_s: int = request.param
    return time_s


@pytest.fixture(scope="module")
def rpc(tmp_path_factory: pytest.TempPathFactory, block_time_s: int) -> Iterator[str]:
    log = tmp_path_factory.mktemp("anvil") / "anvil.log"
    flags = {"--port": 0, "--chain-id": CHAIN, "--block-time": block_time_s, "--base-fee": BASE_FEE_WEI}
    command = [str(binary("anvil")), "--enable-tx-gas-limit", *(str(part) for pair in flags.items() for part in pair)]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            yield f"http://127.0.0.1:{devnet.listening_port(process.pid, log)}"
        finally:
            process.terminate()


def place_of(home: Path, rpc: str) -> Settings:
    """The settings of a home with a fresh key that has ETH; one confirmation, to be done within
    minutes."""
    place = settings.load(home=home, rpc=rpc, devnet=home, confirmations=1, environ={})
    key = keys.create(home, "default", PASSPHRASE, work=QUICK_WORK)
    Node(rpc).request("anvil_setBalance", key.address, hex(10 * ETHER))
    return place


def test_contracts_are_deployed_and_a_job_is_agreed_on_where_blocks_are_slow(
    tmp_path: Path, rpc: str, block_time_s: int
) -> None:
    owners, scientists = place_of(tmp_path / "owner", rpc), place_of(tmp_path / "scientist", rpc)
    assert settings.load(home=tmp_path, rpc=rpc, chain_id=CHAIN, environ={}).confirmations == 12
    owner_key = keys.unlock(owners.home, "default", PASSPHRASE)
    deployment = deploy(owners, owner_key)
    record = (owners.home / "deployments" / f"{CHAIN}.json").read_bytes()
    (scientists.home / "deployments").mkdir()
    (scientists.home / "deployments" / f"{CHAIN}.json").write_bytes(record)
    owner = Account(owner_key, connect(owners, owner_key))
    scientist_key = keys.unlock(scientists.home, "default", PASSPHRASE)
    scientist = Account(scientist_key, connect(scientists, scientist_key))
    assert owner.chain.deployment == scientist.chain.deployment == deployment
    require_slow_blocks(owner.chain, block_time_s)

    paid = owner.chain.send("FitCoin", "transfer", scientist.address, 2 * PRICE)
    assert paid.gas_price > GWEI and paid.block <= owner.chain.head()
    parties = registered(owner, scientist)
    id = parties.request()
    parties.by_owner.accept(id, commit_key(NONCE))
    strangers = connect(replace(owners, home=scientists.home))
    assert Agreements(strangers).read(id).state == State.ACCEPTED
    assert strangers.fit_balance(deployment.addresses["Agreements"]) == PRICE + BOND
    assert strangers.constants.minimum_window_s == 600 and strangers.constants.turn_blocks == 25
    assert record == deployment.encode()


def require_slow_blocks(chain: Chain, block_time_s: int) -> None:
    newest = chain.block("latest")
    assert newest.timestamp - chain.block(newest.number - 1).timestamp == block_time_s
