"""A private pair of IPFS nodes on this machine, joined by nothing but bitswap: the devnet's.

Each node has a repository of its own; a swarm key that is made for the pair keeps them from every
other node, and every other node from them. They listen on the loopback interface alone, at ports of
the system's choice, look for nobody (no bootstrap peers, no mDNS, no routing), fetch no
configuration and report nothing. They run on after the command that started them.

    <folder>/ipfs.json       the record: versions, addresses, processes
    <folder>/ipfs/1/         the first node's repository, with its swarm.key
    <folder>/ipfs/1.log      what it says

Source: https://github.com/ipfs/kubo/blob/master/docs/config.md, docs/experimental-features.md
(private networks)
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fitchain.pod.ports.processes import exclusive_lock, port_is_free, running, spawn, stop
from fitchain.pod.ports.settings import process_start
from fitchain.pod.ports.store.kubo import require_kubo, version
from fitchain.pod.ports.store.node import Node
from fitchain.pod.values.errors import InputRefused, StoreUnreachable, StoreUnusable

RECORD, LOCK = "ipfs.json", ".ipfs.lock"
PAIR = 2
START_S = 60.0
LOOPBACK = "/ip4/127.0.0.1/tcp/0"

# What differs from Kubo's defaults, besides the profile; the profile fixes how files become blocks
# (IPIP-499).
PROFILE = "unixfs-v1-2025"
CONFIG: dict[str, Any] = {
    "Addresses.API": LOOPBACK,
    "Addresses.Gateway": LOOPBACK,
    "Addresses.Swarm": [LOOPBACK],
    "AutoConf.Enabled": False,
    "AutoTLS.Enabled": False,
    "Bootstrap": [],
    "DNS.Resolvers": {},
    "Discovery.MDNS.Enabled": False,
    "Ipns.DelegatedPublishers": [],
    "Provide.Enabled": False,
    "Routing.Type": "none",
    "Routing.DelegatedRouters": [],
    "Swarm.DisableNatPortMap": True,
    "Swarm.RelayClient.Enabled": False,
    "Swarm.RelayService.Enabled": False,
    "Swarm.Transports.Network.QUIC": False,
    "Swarm.Transports.Network.WebRTCDirect": False,
    "Swarm.Transports.Network.WebTransport": False,
    "Version.SwarmCheckEnabled": False,
}


@dataclass(frozen=True)
class Running:
    """A node that runs.

    Args:
        store: its RPC's address, as the setting `store` takes it.
        peer: its peer id.
        address: where other nodes reach it.
        pid, started: its process, and when that started in clock ticks since boot.
    """

    store: str
    peer: str
    address: str
    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether its process still runs."""
        return process_start(self.pid) == self.started


@dataclass(frozen=True)
class Swarm:
    """The private pair: Kubo's version and the nodes."""

    version: str
    nodes: tuple[Running, ...]


def up(folder: Path) -> Swarm:
    """Start the pair, or find it running; a node that has died is started again.

    Args:
        folder: the devnet's; repositories that are there are used again.

    Raises:
        NotFound: there is no Kubo.
        StoreUnusable: a node does not come up.
    """
    ipfs = require_kubo()
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder / LOCK):
        recorded = _read(folder)
        if recorded and all(node.alive for node in recorded.nodes):
            return recorded
        for node in recorded.nodes if recorded else ():
            stop(node.pid, node.started)
        nodes: list[Running] = []
        try:
            for number in range(1, PAIR + 1):
                node = start(ipfs, folder / "ipfs" / str(number), _swarm_key(folder))
                nodes.append(node)
            join(nodes)
        except BaseException:
            for node in nodes:
                stop(node.pid, node.started)
            raise
        swarm = Swarm(version(ipfs), tuple(nodes))
        _write(folder / RECORD, json.dumps(asdict(swarm), indent=2) + "\n")
        return swarm


def status(folder: Path) -> Swarm | None:
    """The pair that runs from a folder; None if none of it does."""
    swarm = _read(folder)
    return swarm if swarm and any(node.alive for node in swarm.nodes) else None


def down(folder: Path) -> bool:
    """Stop the pair; the repositories are kept for the next `up`.

    Returns:
        whether any of it was running.

    Raises:
        StoreUnusable: a node does not stop.
    """
    if _read(folder) is None:
        return False
    with exclusive_lock(folder / LOCK):
        swarm = _read(folder)
        ran = [node for node in swarm.nodes if node.alive] if swarm else []
        for node in ran:
            stop(node.pid, node.started)
        (folder / RECORD).unlink(missing_ok=True)
        return bool(ran)


def start(
    ipfs: Path, repository: Path, swarm_key: str, config: dict[str, Any] | None = None, authorization: str = ""
) -> Running:
    """Start one node, with its repository made or brought up to these settings first.

    Args:
        ipfs: Kubo's command.
        repository: its folder.
        swarm_key: of the private network.
        config: settings on top of `CONFIG`, by their dotted names.
        authorization: what they make the node ask for.

    Raises:
        StoreUnusable: it does not come up.
    """
    variables = environment(repository)
    if not (repository / "config").is_file():
        repository.mkdir(parents=True, exist_ok=True, mode=0o700)
        _run(ipfs, variables, "init", "--empty-repo", f"--profile={PROFILE}")
        _configure(repository / "config", CONFIG)  # else it would take the port that every Kubo has by default
    _configure(repository / "config", CONFIG | (config or {}) | _free_addresses(repository / "config"))
    _write(repository / "swarm.key", swarm_key)
    for left in ("api", "gateway"):
        (repository / left).unlink(missing_ok=True)  # where an earlier run listened
    log = repository.with_name(f"{repository.name}.log")
    log.write_bytes(b"")
    pid = spawn([str(ipfs), "daemon", "--migrate=false"], log, variables)
    started = process_start(pid) or 0
    try:
        return _greeted(repository, pid, started, log, authorization)
    except BaseException:
        stop(pid, started)
        raise


def join(nodes: list[Running]) -> None:
    """Connect the first node with each of the others."""
    first = Node(nodes[0].store)
    try:
        for other in nodes[1:]:
            first.connect(f"{other.address}/p2p/{other.peer}")
    finally:
        first.close()


def environment(repository: Path) -> dict[str, str]:
    """The variables that a node of ours runs with: its repository, nothing of the person's own, and
    no reports."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("IPFS_", "LIBP2P_", "KUBO_"))}
    return kept | {
        "IPFS_PATH": str(repository),
        "IPFS_TELEMETRY": "off",
        "LIBP2P_FORCE_PNET": "1",  # without the swarm key it refuses to start
        "DO_NOT_TRACK": "1",
    }


def new_swarm_key() -> str:
    """A fresh key of a private network, in its file's form."""
    return f"/key/swarm/psk/1.0.0/\n/base16/\n{secrets.token_hex(32)}\n"


def _greeted(repository: Path, pid: int, started: int, log: Path, authorization: str) -> Running:
    """Wait until a node answers, and ask where it listens."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and running(pid):
        with suppress(FileNotFoundError, StoreUnreachable, ValueError, IndexError):
            node = Node(f"ipfs:{(repository / 'api').read_text().strip()}", authorization)
            try:
                peer, addresses = node.id()
            finally:
                node.close()
            address = next(
                candidate for candidate in addresses if candidate.startswith("/ip4/127.0.0.1/tcp/")
            ).partition("/p2p/")[0]
            # Kept, so that whoever wrote the addresses down finds the node there when it is started
            # again.
            listening = {"Addresses.API": node.address.removeprefix("ipfs:"), "Addresses.Swarm": [address]}
            _configure(repository / "config", listening)
            return Running(node.address, peer, address, pid, started)
        time.sleep(0.05)
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
    raise StoreUnusable(f"the IPFS node in {repository} did not come up: {last[0][:300]}", f"read {log}")


def _free_addresses(path: Path) -> dict[str, Any]:
    """Where a node listened the last time, as far as nobody listens there now."""
    listened = json.loads(path.read_text())["Addresses"]
    addresses = {"API": listened["API"], "Swarm": next(iter(listened["Swarm"]), "")}
    free = {
        name: address
        for name, address in addresses.items()
        if address.startswith(LOOPBACK[:-1]) and port_is_free(_port(address))
    }
    return {f"Addresses.{name}": [address] if name == "Swarm" else address for name, address in free.items()}


def _port(address: str) -> int:
    return int(address.rpartition("/")[2])


def _configure(path: Path, values: dict[str, Any]) -> None:
    """Set dotted names in a node's config file."""
    config = json.loads(path.read_text())
    for name, value in values.items():
        *outer, last = name.split(".")
        section = config
        for part in outer:
            section = section.setdefault(part, {}) if isinstance(section.get(part, {}), dict) else section
        section[last] = value
    _write(path, json.dumps(config, indent=2) + "\n")


def _run(ipfs: Path, variables: dict[str, str], *arguments: str) -> None:
    done = subprocess.run([ipfs, *arguments], env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        shown = " ".join(arguments)
        raise StoreUnusable(f"`ipfs {shown}` ended with status {done.returncode}: {done.stderr.strip()[:300]}")


def _swarm_key(folder: Path) -> str:
    """The pair's key, made once."""
    path = folder / "ipfs" / "swarm.key"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, new_swarm_key())
    return path.read_text()


def _read(folder: Path) -> Swarm | None:
    path = folder / RECORD
    try:
        record = json.loads(path.read_text())
        return Swarm(record["version"], tuple(Running(**node) for node in record["nodes"]))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise InputRefused(f"{path} is not a record of IPFS nodes: {error}", "remove it") from None


def _write(path: Path, text: str) -> None:
    """Write a file that only this user may read, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
