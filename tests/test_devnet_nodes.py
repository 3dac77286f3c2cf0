"""The devnet's private pair: up, found again, at the same place after a restart, alone in the
world, down."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fitchain.pod.ports.settings import process_start
from fitchain.pod.ports.store import devnet_nodes, kubo
from fitchain.pod.ports.store.ipfs import IpfsStore
from fitchain.pod.values.errors import NotFound

pytestmark = pytest.mark.ipfs


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "devnet"
    devnet_nodes.down(tmp_path / "devnet")


def test_the_pair_is_found_again_moves_an_object_and_goes(folder: Path, tmp_path: Path) -> None:
    pair = devnet_nodes.up(folder)
    assert devnet_nodes.up(folder) == devnet_nodes.status(folder) == pair
    one, two = (IpfsStore(node.store, tmp_path / node.peer, stall_timeout_s=10) for node in pair.nodes)
    data = os.urandom(100_000)
    assert two.cat(one.add(data)) == data  # nobody told them about each other but `up`
    assert devnet_nodes.down(folder) and not devnet_nodes.down(folder)
    assert [process_start(node.pid) for node in pair.nodes] == [None, None]
    assert devnet_nodes.status(folder) is None
    again = devnet_nodes.up(folder)
    assert [(node.store, node.peer) for node in again.nodes] == [(node.store, node.peer) for node in pair.nodes]
    assert one.cat(one.add(data)) == data


def test_new_nodes_stay_clear_of_the_ports_that_every_kubo_has_by_default(folder: Path) -> None:
    """A person's own node may start there any moment, or another pair that starts beside
    this one."""
    places = [node.store for node in devnet_nodes.up(folder).nodes] + [
        node.address for node in devnet_nodes.up(folder).nodes
    ]
    assert not [place for place in places if place.endswith(("/tcp/5001", "/tcp/4001", "/tcp/8080"))]


def test_a_node_that_died_is_started_again(folder: Path) -> None:
    pair = devnet_nodes.up(folder)
    os.kill(pair.nodes[1].pid, 9)
    while pair.nodes[1].alive:
        pass
    again = devnet_nodes.up(folder)
    assert all(node.alive for node in again.nodes) and again.nodes[1].store == pair.nodes[1].store


def test_the_nodes_are_alone_in_the_world(folder: Path) -> None:
    pair = devnet_nodes.up(folder)
    for number, node in enumerate(pair.nodes, 1):
        config = json.loads((folder / "ipfs" / str(number) / "config").read_text())
        assert config["Bootstrap"] == [] and config["Routing"]["Type"] == "none"
        assert not config["Discovery"]["MDNS"]["Enabled"] and not config["AutoConf"]["Enabled"]
        store = IpfsStore(node.store, folder)
        _, addresses = store.node.id()
        assert addresses and all(address.startswith("/ip4/127.0.0.1/tcp/") for address in addresses)
        environment = dict(
            line.split("=", 1) for line in Path(f"/proc/{node.pid}/environ").read_text().split("\0") if line
        )
        assert (environment["IPFS_TELEMETRY"], environment["LIBP2P_FORCE_PNET"]) == ("off", "1")
        store.close()
    keys = {(folder / "ipfs" / name / "swarm.key").read_text() for name in "12"}
    assert len(keys) == 1 and "/key/swarm/psk/1.0.0/" in keys.pop()


def test_where_there_is_no_kubo_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kubo, "BUILT", tmp_path / "ipfs")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kubo.kubo() is None
    with pytest.raises(NotFound, match="no `ipfs`") as caught:
        devnet_nodes.up(tmp_path / "devnet")
    assert "make kubo" in caught.value.hint


def test_an_older_ipfs_on_the_path_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "ipfs"
    old.write_text("#!/bin/sh\necho 0.28.0\n")
    old.chmod(0o755)
    monkeypatch.setattr(kubo, "BUILT", tmp_path / "none")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert kubo.kubo() is None
