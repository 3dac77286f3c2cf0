"""The right chain: a home keeps to the one that it has met, and a pod to the one that it runs on,
wherever that is served from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fitchain.pod.ports import keys
from fitchain.pod.ports.chain import connect, devnet
from fitchain.pod.ports.chain.base import DIRECTORY
from fitchain.pod.ports.chain.deploy import deploy
from fitchain.pod.ports.chain.known import KNOWN_FILE, KnownChain, require_known
from fitchain.pod.ports.settings import DevnetRecord, Settings, load
from fitchain.pod.values.errors import ChainUnusable, InputRefused, NodeUnreachable
from tests.chain_fixtures import PASSPHRASE, QUICK_WORK, Account, Devnet


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A devnet's folder of this test alone."""
    yield tmp_path / "devnet"
    devnet.down(tmp_path / "devnet")


def started(folder: Path, home: Path, fresh: bool = False) -> Settings:
    """Start the devnet on a free port; the settings of a home that follows it."""
    if fresh:
        time.sleep(1.1)  # two devnets of one second begin with the same block
    devnet.up(folder, 0, fresh=fresh)
    place = load(home, devnet=folder, environ={})
    deploy(place)
    return place


# What a home has met


def test_a_home_keeps_what_it_met_when_it_first_could_send(open_account: Callable[..., Account]) -> None:
    chain = open_account().chain
    known = KnownChain.read(chain.settings.home)
    assert known == KnownChain.of(chain.block(0).hash, chain.deployment)


def test_reading_writes_nothing_into_a_home(running_devnet: Devnet, tmp_path: Path) -> None:
    connect(running_devnet.settings(tmp_path / "home"))
    assert not (tmp_path / "home").exists()


def test_another_chain_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    """A devnet that was begun anew: same chain id, same URL, same addresses."""
    place = started(folder, tmp_path / "home")
    key = keys.create(place.home, "default", PASSPHRASE, work=QUICK_WORK)
    first = connect(place, key).block(0).hash
    devnet.down(folder)
    time.sleep(1.1)  # two devnets of one second begin with the same block
    devnet.up(folder, 0, fresh=True)
    place = load(tmp_path / "home", devnet=folder, environ={})
    with pytest.raises(ChainUnusable, match=f"belongs to chain 31337 that begins with block {first}"):
        connect(place)  # nothing is deployed there yet
    deploy(place)
    second = connect(replace(place, home=tmp_path / "other")).block(0).hash
    assert first != second
    for account in (key, None):
        with pytest.raises(ChainUnusable, match=f"belongs to chain 31337 that begins with block {first}") as error:
            connect(place, account)
        assert str(second) in error.value.message and KNOWN_FILE in error.value.hint
    (place.home / KNOWN_FILE).unlink()
    assert connect(place, key).block(0).hash == second


def test_another_deployment_is_refused_by_name(open_account: Callable[..., Account]) -> None:
    chain = open_account().chain
    known = KnownChain.read(chain.settings.home)
    assert known is not None
    other = replace(known, addresses={**known.addresses, "Audits": known.addresses["Registry"]})
    with pytest.raises(ChainUnusable, match=f"whose Audits stands at {known.addresses['Audits']}, and the deployment"):
        require_known(chain.settings.home, other, chain.node.shown)
    assert DIRECTORY in known.addresses


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": "fitchain/known-chain/v2"}', '{"version": 9}'])
def test_a_cut_record_is_not_taken_for_none(running_devnet: Devnet, tmp_path: Path, text: str) -> None:
    (tmp_path / KNOWN_FILE).write_text(text)
    with pytest.raises(InputRefused, match="is not the record of a home's chain"):
        connect(running_devnet.settings(tmp_path))


# Where it is served from


def test_nothing_is_asked_while_the_devnet_is_down(tmp_path: Path) -> None:
    place = load(tmp_path / "home", devnet=tmp_path / "devnet", environ={})
    assert place.rpc == ""
    for attempt in (lambda: connect(place), lambda: deploy(place)):
        with pytest.raises(NodeUnreachable, match="no node is chosen, and no devnet runs from") as error:
            attempt()
        assert "fitchain devnet up" in error.value.hint and "--rpc" in error.value.hint


def test_settings_of_a_time_without_devnet_find_it_later(folder: Path, tmp_path: Path) -> None:
    early = load(tmp_path / "home", devnet=folder, environ={})
    started(folder, tmp_path / "deployer")
    chain = connect(early)
    record = DevnetRecord.read(folder)
    assert record is not None
    assert (chain.chain_id, chain.settings.store) == (31337, Path(record.store))


def test_a_chosen_store_stays_chosen(folder: Path, tmp_path: Path) -> None:
    early = load(tmp_path / "home", devnet=folder, store=tmp_path / "mine", environ={})
    started(folder, tmp_path / "deployer")
    assert connect(early).settings.store == tmp_path / "mine"


def test_a_connection_follows_the_devnet_to_another_port(folder: Path, tmp_path: Path) -> None:
    chain = connect(started(folder, tmp_path / "home"))
    before, supply = chain.node.url, chain.call("FitCoin", "totalSupply")
    devnet.down(folder)
    with pytest.raises(NodeUnreachable, match="no devnet runs from"):
        chain.head()
    taken = int(before.rpartition(":")[2])
    while (record := devnet.up(folder, 0)).port == taken:
        devnet.down(folder)
    assert chain.call("FitCoin", "totalSupply") == supply
    assert chain.node.url == record.rpc != before


def test_a_connection_does_not_follow_to_another_chain(folder: Path, tmp_path: Path) -> None:
    chain = connect(started(folder, tmp_path / "home"))
    devnet.down(folder)
    started(folder, tmp_path / "home", fresh=True)
    with pytest.raises(ChainUnusable, match="is on another chain than it was"):
        chain.head()


def test_a_chosen_node_that_was_away_shows_that_it_is_the_same(folder: Path, tmp_path: Path) -> None:
    place = started(folder, tmp_path / "home")
    chosen = load(tmp_path / "home", rpc=place.rpc, devnet=folder, environ={})
    assert chosen.devnet_rpc is None
    chain = connect(chosen)
    port = int(place.rpc.rpartition(":")[2])
    devnet.down(folder)
    chain.node.retry_s = 0
    with pytest.raises(NodeUnreachable):
        chain.head()
    time.sleep(1.1)  # as in `started`
    devnet.up(folder, port, fresh=True)
    with pytest.raises(ChainUnusable, match="is on another chain than it was"):
        chain.head()
