"""Fixtures that start a chain: one fresh devnet a test module, its contracts deployed, and funded
pods on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fitchain.pod.ports import keys, settings
from fitchain.pod.ports.chain import Chain, Deployment, connect, devnet
from fitchain.pod.ports.chain.deploy import deploy
from fitchain.pod.ports.settings import DevnetRecord, Settings
from tests.mining import mining_at

QUICK_WORK = 2
"""Scrypt's N for keys that protect nothing."""

PASSPHRASE = "correct horse"
ETHER = 10**18
MONEY = 1000 * ETHER


def secret_file(path: Path, text: str) -> Path:
    """Write a file that its owner alone can read, as a passphrase's has to be."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@dataclass(frozen=True)
class Devnet:
    """A running devnet: its folder, its record, the deployment of the contracts."""

    folder: Path
    record: DevnetRecord
    deployment: Deployment

    def settings(self, home: Path) -> Settings:
        """The settings of a home on this devnet."""
        return settings.load(home=home, devnet=self.folder, environ={})


@dataclass(frozen=True)
class Account:
    """A funded account with a home of its own and a connection that sends from it."""

    keys: keys.Keys
    chain: Chain

    @property
    def address(self) -> str:
        """The account."""
        return self.keys.address


def funded_account(place: Settings, wei: int = 10 * ETHER, units: int = MONEY) -> Account:
    """A fresh account with money, in a home."""
    key = keys.create(place.home, "default", PASSPHRASE, work=QUICK_WORK)
    devnet.fund(place, key.address, wei, units)
    return Account(key, connect(place, key))


def take_back(chain: Chain, block: int) -> None:
    """Reorganise a devnet's chain: all blocks from one on are replaced by empty ones, and the node
    forgets what was in them."""
    mining_at(chain.node.url).take_back(block)


def no_mining(chain: Chain) -> AbstractContextManager[None]:
    """Let transactions wait as long as the block lasts."""
    return mining_at(chain.node.url).stopped()


@pytest.fixture(scope="module")
def devnet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's devnet lies."""
    return tmp_path_factory.mktemp("devnet")


@pytest.fixture(scope="module")
def running_devnet(devnet_folder: Path) -> Iterator[Devnet]:
    """A fresh devnet on a free port, with the contracts deployed."""
    record = devnet.up(devnet_folder, port=0)
    try:
        home = devnet_folder / "nobody"
        yield Devnet(devnet_folder, record, deploy(settings.load(home=home, devnet=devnet_folder, environ={})))
    finally:
        devnet.down(devnet_folder)


@pytest.fixture(scope="module")
def reader(running_devnet: Devnet, devnet_folder: Path) -> Chain:
    """A connection without a key."""
    return connect(running_devnet.settings(devnet_folder / "reader"))


@pytest.fixture(scope="module")
def open_account(running_devnet: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Account]:
    """Makes a fresh account with money: `open_account(wei=…, units=…)`."""

    def opened(wei: int = 10 * ETHER, units: int = MONEY) -> Account:
        return funded_account(running_devnet.settings(tmp_path_factory.mktemp("home")), wei, units)

    return opened


@pytest.fixture(scope="module")
def pass_time(reader: Chain) -> Callable[[int], None]:
    """Lets seconds pass on the chain at once."""

    def passed(seconds: int) -> None:
        reader.node.request("evm_increaseTime", seconds)
        reader.node.request("evm_mine")

    return passed
