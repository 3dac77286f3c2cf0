"""The devnet: starts once, survives its starter, keeps its chain, gives money, and is not taken for
another program's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fitchain.pod.ports import settings
from fitchain.pod.ports.chain import Chain, connect, devnet
from fitchain.pod.ports.chain.deploy import deploy
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.settings import DevnetRecord, Settings, process_start
from fitchain.pod.values.errors import ChainUnusable, InputRefused
from tests.chain_fixtures import ETHER, Account, Devnet


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "devnet"
    devnet.down(tmp_path / "devnet")


def settings_of(folder: Path) -> Settings:
    return settings.load(home=folder / "home", devnet=folder, environ={})


def test_up_twice_finds_it_running(folder: Path) -> None:
    assert devnet.up(folder, 0) == devnet.up(folder, 0) == devnet.status(folder)


def test_down_twice_is_harmless(folder: Path) -> None:
    record = devnet.up(folder, 0)
    assert devnet.down(folder)
    assert not devnet.down(folder)
    assert process_start(record.pid) is None
    assert devnet.status(folder) is None


def test_devnet_survives_the_process_that_started_it(folder: Path) -> None:
    code = "from pathlib import Path; from fitchain.pod.ports.chain import devnet; "
    code += f"print(devnet.up(Path({str(folder)!r}), 0).pid)"
    pid = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert pid != os.getpid()
    found = devnet.status(folder)
    assert found is not None
    assert found.pid == pid


def test_taken_port_is_told(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ChainUnusable, match=f"the port {port} is taken"):
            devnet.up(folder, port)
    assert devnet.status(folder) is None


def test_record_of_a_dead_node_is_cleared_away(folder: Path) -> None:
    folder.mkdir()
    record = DevnetRecord("http://127.0.0.1:1", 31337, os.getpid(), 1, 1, "store", "v")
    (folder / "devnet.json").write_text(json.dumps(vars(record)))
    assert devnet.status(folder) is None
    assert not (folder / "devnet.json").exists()
    assert not devnet.down(folder)


def test_restart_goes_on_with_the_chain_and_its_deployment(folder: Path) -> None:
    devnet.up(folder, 0)
    deployment = deploy(settings_of(folder))
    coins = connect(settings_of(folder)).events("FitCoin", "Transfer")
    devnet.down(folder)
    devnet.up(folder, 0)
    chain = connect(settings_of(folder))
    assert chain.deployment == deployment == deploy(settings_of(folder))
    assert chain.events("FitCoin", "Transfer") == coins


def test_start_sweeps_states_that_a_killed_node_left(folder: Path) -> None:
    left = folder / "states" / "anvil-state-of-a-killed-node"
    left.mkdir(parents=True)
    devnet.up(folder, 0)
    assert not left.exists()


def test_fresh_start_forgets_the_chain(folder: Path) -> None:
    devnet.up(folder, 0)
    deploy(settings_of(folder))
    devnet.down(folder)
    devnet.up(folder, 0, fresh=True)
    assert not (folder / "deployments").exists()


def test_a_chain_keeps_its_first_block_however_often_it_is_started(folder: Path) -> None:
    """Else every home refuses it: they are of a chain that begins with another block."""

    def genesis() -> object:
        return Node(devnet.up(folder, 0).rpc).request("eth_getBlockByNumber", "0x0", False)["hash"]

    first = genesis()
    for _ in range(4):
        devnet.down(folder)
        time.sleep(1.1)  # a genesis of the same second is the same
        assert genesis() == first


def test_altered_chain_file_does_not_come_up_in_silence(folder: Path) -> None:
    folder.mkdir()
    (folder / "chain.json").write_text("no chain")
    with pytest.raises(ChainUnusable, match=r"anvil did not come up: .*chain\.json") as error:
        devnet.up(folder, 0)
    assert "--fresh" in error.value.hint
    assert devnet.status(folder) is None


def test_store_is_in_the_record(running_devnet: Devnet) -> None:
    assert settings_of(running_devnet.folder).store == running_devnet.folder / "store"


def test_time_passes_without_transactions(reader: Chain, pass_time: Callable[[int], None]) -> None:
    before = reader.block("latest").timestamp
    pass_time(3600)
    assert reader.block("latest").timestamp >= before + 3600


def test_fund_gives_eth_and_fit(open_account: Callable[..., Account]) -> None:
    account = open_account(wei=3 * ETHER, units=7)
    assert (account.chain.balance(account.address), account.chain.fit_balance(account.address)) == (3 * ETHER, 7)


def test_fund_refuses_what_is_no_address(running_devnet: Devnet) -> None:
    with pytest.raises(InputRefused, match="is not an address"):
        devnet.fund(settings_of(running_devnet.folder), "me", 1, 1)


def test_fund_says_when_the_treasury_is_empty(running_devnet: Devnet, reader: Chain) -> None:
    place, address = settings_of(running_devnet.folder), reader.deployment.addresses["Registry"]
    with pytest.raises(ChainUnusable, match=r"has .* FIT and funding .* needs 2000000000 FIT"):
        devnet.fund(place, address, 0, 2 * 10**9 * ETHER)
    with pytest.raises(ChainUnusable, match="treasury has"):
        devnet.fund(place, address, 10**12 * ETHER, 0)


def test_fund_refuses_another_chain(running_devnet: Devnet) -> None:
    place = replace(settings_of(running_devnet.folder), chain_id=1)
    with pytest.raises(ChainUnusable, match="is on chain 31337, and the settings say 1"):
        devnet.fund(place, "0x" + "11" * 20, 1, 1)
