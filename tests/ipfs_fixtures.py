"""Fixtures that start real IPFS nodes: a private pair for a whole module, or single nodes that a
test may stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.ports.processes import stop
from fitchain.pod.ports.store import devnet_nodes
from fitchain.pod.ports.store.devnet_nodes import Running
from fitchain.pod.ports.store.ipfs import IpfsStore
from fitchain.pod.ports.store.kubo import kubo


@dataclass
class Nodes:
    """Nodes of one private network, each with its repository in a folder."""

    folder: Path
    key: str = field(default_factory=devnet_nodes.new_swarm_key)
    running: dict[str, Running] = field(default_factory=dict)
    stores: list[IpfsStore] = field(default_factory=list)

    def start(self, name: str, config: dict[str, Any] | None = None, authorization: str = "") -> Running:
        """Start a node, or start it again."""
        found = kubo()
        assert found
        self.running[name] = devnet_nodes.start(found, self.folder / name, self.key, config, authorization)
        return self.running[name]

    def stop(self, name: str) -> None:
        """Stop a node."""
        node = self.running[name]
        stop(node.pid, node.started)

    def kill(self, name: str) -> None:
        """End a node at once, whatever it is doing."""
        os.kill(self.running[name].pid, signal.SIGKILL)
        self.stop(name)

    def store(self, name: str, home: str = "", **options: Any) -> IpfsStore:
        """A pod's store over a node."""
        options = {"stall_timeout_s": 20.0, "private": True} | options
        store = IpfsStore(self.running[name].store, self.folder / "homes" / (home or name), **options)
        self.stores.append(store)
        return store

    def close(self) -> None:
        """Close the stores, stop the nodes."""
        for store in self.stores:
            store.close()
        for name in self.running:
            self.stop(name)


@pytest.fixture(scope="module")
def ipfs_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes, `a` and `b`, that know nobody."""
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
    try:
        nodes.start("a")
        nodes.start("b")
        yield nodes
    finally:
        nodes.close()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """No node yet; the test starts what it needs."""
    made = Nodes(tmp_path / "nodes")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def told() -> list[str]:
    """What a store said while it waited."""
    return []
