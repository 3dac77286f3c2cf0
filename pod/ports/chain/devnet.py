"""The devnet: a chain of one's own on this machine, on which time passes and transactions do not
wait.

anvil mines a block every second and, beside that, one for every transaction (on an automining node
time stands still, so no window ever passes). It runs on after the command that started it. Its
folder holds

    devnet.json          URL, process and store (`fitchain.pod.ports.settings.DevnetRecord`)
    chain.json           the chain itself, written every few seconds and at the end: a restart goes
                         on with it
    states/              of earlier blocks, for as long as the node runs
    anvil.log            what the node says
    deployments/         where the contracts stand, and what a block explorer is given
    store/               the store that its pods share
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fitchain.pod.ports.chain import answers
from fitchain.pod.ports.chain.base import Receipt, checksum, read_address, write_file
from fitchain.pod.ports.chain.connect import connect_unlocked
from fitchain.pod.ports.chain.deploy import deploy
from fitchain.pod.ports.chain.node_tools import binary
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.processes import exclusive_lock, port_is_free, running, spawn, stop
from fitchain.pod.ports.settings import DEVNET_CHAIN_ID, DEVNET_RECORD, DevnetRecord, Settings, load, process_start
from fitchain.pod.values.amounts import DECIMALS, FIT, amount_text
from fitchain.pod.values.errors import ChainUnusable, InputRefused

DEFAULT_PORT = 8545
LOCK, STATES, CHAIN = ".lock", "states", "chain.json"
BLOCK_TIME_S = 1
SAVE_EVERY_S = 5
START_S = 20.0
TREASURY_ETH = 1_000_000_000
GAS_WEI, ALLOWANCE = 10 * 10**DECIMALS, 1000 * FIT
"""What an account is given unless somebody says more: for gas, and for prices and bonds."""
_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")


def start(folder: Path, port: int | None = None) -> DevnetRecord:
    """Start the devnet, or find it running, with the contracts in place.

    Args:
        folder: where its state lies; made when absent.
        port: TCP port; None takes the usual one, or a free one where that is taken.

    Returns:
        its record.

    Raises:
        ChainUnusable, NotFound: as `up`; or what stands on the chain is not what its record says.
    """
    try:
        record = up(folder, DEFAULT_PORT if port is None else port)
    except ChainUnusable:
        if port is not None:
            raise
        record = up(folder, 0)
    deploy(load(folder, record.rpc, record.chain_id, devnet=folder, environ={}))
    return record


def up(folder: Path, port: int = DEFAULT_PORT, fresh: bool = False) -> DevnetRecord:
    """Start the devnet, or find it running.

    Args:
        folder: where its state lies; made when absent.
        port: TCP port on 127.0.0.1; 0 takes a free one.
        fresh: forget the chain and the deployment that the folder holds; the store is kept.

    Returns:
        its record.

    Raises:
        ChainUnusable: the port is taken, or the node does not come up.
        NotFound: anvil is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder / LOCK):
        if (record := status(folder)) is not None:
            return record
        if fresh:
            (folder / CHAIN).unlink(missing_ok=True)
            shutil.rmtree(folder / "deployments", ignore_errors=True)
        return _start(folder, port)


def choose_store(folder: Path, store: str) -> DevnetRecord:
    """Make a store the one that pods on the running devnet share unless they choose.

    Args:
        folder: the devnet's.
        store: a folder, or the address of a Kubo node's RPC.

    Raises:
        ChainUnusable: the devnet does not run.
    """
    with exclusive_lock(folder / LOCK):
        record = status(folder)
        if record is None:
            raise ChainUnusable(f"no devnet runs from {folder}", "start it: fitchain devnet up")
        return _write_record(folder, replace(record, store=store))


def status(folder: Path) -> DevnetRecord | None:
    """The record of the devnet that runs from a folder; None if none does. A stale record is
    cleared away."""
    record = DevnetRecord.read(folder)
    if record is None or record.alive:
        return record
    (folder / DEVNET_RECORD).unlink(missing_ok=True)
    return None


def down(folder: Path) -> bool:
    """Stop the devnet and wait until it has gone; its chain is kept for the next `up`.

    Returns:
        whether it was running.

    Raises:
        Unusable: it does not stop.
    """
    if not folder.is_dir():
        return False
    with exclusive_lock(folder / LOCK):
        if (record := status(folder)) is None:
            return False
        stop(record.pid, record.started)
        (folder / DEVNET_RECORD).unlink(missing_ok=True)
        return True


def fund(settings: Settings, address: str, wei: int = GAS_WEI, units: int = ALLOWANCE) -> tuple[Receipt, ...]:
    """Give an account ETH and FIT out of the devnet's treasury.

    Args:
        settings: which devnet, with its deployment.
        address: the account.
        wei: ETH in wei.
        units: FIT in base units.

    Raises:
        InputRefused: the address is none.
        ChainUnusable: the chain is not a devnet, or the treasury is empty.
    """
    try:
        address = read_address(address)
    except ValueError as error:
        raise InputRefused(str(error), "see `fitchain keys list`") from None
    chain = connect_unlocked(settings)
    if chain.chain_id != DEVNET_CHAIN_ID:
        raise ChainUnusable(f"chain {chain.chain_id} is not a devnet, which is chain {DEVNET_CHAIN_ID}")
    if units:
        chain.require_fit(units, f"funding {address}")
    if (have := chain.balance(chain.address)) < wei:
        raise ChainUnusable(
            f"the devnet's treasury has {amount_text(have)} ETH and {amount_text(wei)} ETH are asked for"
        )
    sent = [chain.submit_raw(checksum(address), b"", "funding", value=wei)] if wei else []
    sent += [chain.submit("FitCoin", "transfer", address, units)] if units else []
    return tuple(chain.wait(pending) for pending in sent)


def _start(folder: Path, port: int) -> DevnetRecord:
    log = folder / "anvil.log"
    if not port_is_free(port):
        raise ChainUnusable(
            f"the port {port} is taken by another program",
            "stop it, or choose another: `devnet up --port 0` takes a free one",
        )
    log.write_bytes(b"")
    _keep_first_genesis(folder / CHAIN)
    shutil.rmtree(folder / STATES, ignore_errors=True)  # what a node that was killed left there
    pid = spawn(_command(folder, port), log, os.environ)
    started = process_start(pid)
    try:
        rpc = f"http://127.0.0.1:{listening_port(pid, log)}"
        version = Node(rpc).ask(answers.client_version())
    except ChainUnusable:
        if started is not None:
            stop(pid, started)
        raise
    store = str((folder / "store").absolute())
    record = DevnetRecord(rpc, DEVNET_CHAIN_ID, pid, started or 0, int(rpc.rpartition(":")[2]), store, version)
    return _write_record(folder, record)


def _keep_first_genesis(path: Path) -> None:
    """Leave one block 0 in a chain's file, the first.

    Each start of anvil makes a new one before it loads the file, and writes it down beside the
    others; of several the next start takes any, and all homes would be on another chain. What is
    no such file is anvil's to refuse.
    """
    try:
        chain = json.loads(path.read_bytes())
        first, *later = sorted(filter(_is_genesis, chain["blocks"]), key=lambda block: int(_time(block), 16))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return
    if later:
        chain["blocks"] = [first, *(block for block in chain["blocks"] if not _is_genesis(block))]
        write_file(path, json.dumps(chain).encode())


def _is_genesis(block: dict[str, Any]) -> bool:
    return int(block["header"]["number"], 16) == 0


def _time(block: dict[str, Any]) -> str:
    return str(block["header"]["timestamp"])


def _write_record(folder: Path, record: DevnetRecord) -> DevnetRecord:
    write_file(folder / DEVNET_RECORD, (json.dumps(asdict(record), indent=2) + "\n").encode())
    return record


def _command(folder: Path, port: int) -> list[str]:
    flags = {
        "--host": "127.0.0.1",
        "--port": port,
        "--chain-id": DEVNET_CHAIN_ID,
        "--block-time": BLOCK_TIME_S,
        "--accounts": 1,
        "--balance": TREASURY_ETH,
        "--state": folder.absolute() / CHAIN,
        "--state-interval": SAVE_EVERY_S,
        "--cache-path": folder.absolute() / STATES,
    }
    return [
        str(binary("anvil")),
        "--mixed-mining",
        "--no-cors",
        *(str(part) for pair in flags.items() for part in pair),
    ]


def listening_port(pid: int, log: Path) -> int:
    """Wait until the node says where it listens.

    Raises:
        ChainUnusable: it ends, or says nothing in time.
    """
    deadline = time.monotonic() + START_S
    while (match := _LISTENING.search(log.read_bytes())) is None:
        if not running(pid) or time.monotonic() > deadline:
            raise ChainUnusable(
                f"anvil did not come up: {_why_not(log.read_text(errors='replace'))}",
                f"read {log}; `devnet up --fresh` forgets the old chain",
            )
        time.sleep(0.01)
    return int(match[1])


def _why_not(text: str) -> str:
    """What a node that did not come up says of it: the line of its error, else its last."""
    lines = text.strip().splitlines() or ["it said nothing"]
    return next((line for line in lines if line.startswith("error: ")), lines[-1]).removeprefix("error: ")
