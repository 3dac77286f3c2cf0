"""Fixtures of whole jobs: an owner's and a scientist's home on one devnet, private tables, tiny
modules, pods in threads or processes.

Nothing here stands in for anything: the chain is anvil, the store a folder that both homes share,
the worker a process of its own.
"""

from __future__ import annotations

import csv
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fitchain.cli.demo.parties import Side
from fitchain.pod.compute.dataset.concerns import ALL_RULES
from fitchain.pod.jobs.history import KINDS
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.links import LinkChain
from fitchain.pod.parties.owner import DatasetOffer, Owner, RegisteredDataset, register_dataset
from fitchain.pod.parties.scientist import JobRequest, PublishedModel, Scientist, publish_model, request_job
from fitchain.pod.parties.verifier import Verifier
from fitchain.pod.ports import keys
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.chain import devnet
from fitchain.pod.ports.registry import Role
from fitchain.pod.ports.settings import Settings
from fitchain.pod.values.ids import AgreementId
from tests.chain_fixtures import ETHER, MONEY, PASSPHRASE, QUICK_WORK, Devnet, secret_file
from tests.limits import LIMIT_S
from tests.policies import open_policy

PRICE, BOND = 12 * ETHER, 6 * ETHER
HOUR_S = 3600
LOOK_S = 0.2
"""Between two looks of a pod: so many pods that look more often leave workers too little of the
processor."""
RECIPE = {"steps": 12, "batch_size": 8, "segment_steps": 2, "group_leaves": 2, "learning_rate": 0.01}
"""Seven leaves: three anchors of two, and one leaf over."""

EXPLODING = RECIPE | {"learning_rate": 300.0, "optimizer": {"name": "SGD", "weight_decay": 100.0}}
"""With `Line`: finite for the two segments of a rehearsal and a little longer, then not."""

LONG = RECIPE | {"steps": 12_000, "segment_steps": 200, "group_leaves": 8}
"""Long enough to be interrupted: some five seconds, 61 leaves, seven anchors and five leaves over.
"""

MODULES = '''
import torch
from torch import nn


class Tiny(nn.Module):
    """Four numbers to two classes."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        return self.layers(x)


class Line(nn.Module):
    """Four numbers to two classes by one layer: a decay beyond all measure leads it out of the finite numbers."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x)


class Pixels(nn.Module):
    """One image of 6 x 6 pixels to three classes, with buffers and dropout."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 3)
        )

    def forward(self, image):
        return self.layers(image)


def other():
    torch.manual_seed(7)
    return Tiny()
'''


@dataclass
class Party:
    """One side: its opened home and how its pod is run.

    Args:
        side: as the command line runs it.
        home: opened with its key.
        said: what its pod said while it ran in a thread.
    """

    side: Side
    home: Home
    said: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Its account."""
        return self.home.keys.address

    def kinds(self, id: AgreementId) -> list[str]:
        """What its history says happened to a job, in order."""
        return [line.entry.kind for line in self.home.journal.history(id)]

    def told(self, id: AgreementId, kind: str) -> dict[str, Any]:
        """The newest line of a kind in a job's history."""
        return [line.entry.json() for line in self.home.journal.history(id) if line.entry.kind == kind][-1]

    def has(self, id: AgreementId, kind: str) -> Callable[[], bool]:
        """Asks whether a job's history has a line of a kind."""
        return lambda: self.home.journal.happened(id, KINDS[kind])

    def say(self, id: AgreementId, text: str) -> None:
        """Takes down what the pod says."""
        self.said.append(f"{id.short} {text}")

    def state(self, id: AgreementId) -> State:
        """Where a job stands on the chain."""
        return self.home.agreements.read(id).state

    @property
    def store_folder(self) -> Path:
        """The folder of its store."""
        folder = self.home.settings.store
        assert isinstance(folder, Path), f"{folder} is a node"
        return folder

    def fit(self) -> int:
        """Its FIT in base units."""
        return self.home.chain.fit_balance(self.address)


@dataclass(frozen=True)
class Workshop:
    """An owner and a scientist who know each other's dataset and model."""

    owner: Party
    scientist: Party
    dataset: RegisteredDataset
    model: PublishedModel

    def request(self, **changes: Any) -> AgreementId:
        """Ask for a training; the agreement's id."""
        asked: dict[str, Any] = {"price": PRICE, "bond": BOND, "windows": (HOUR_S,) * 3, "rehearsed": False}
        asked |= {"recipe_overrides": RECIPE, "dataset": self.dataset.id, "model": self.model.id} | changes
        return request_job(self.scientist.home, JobRequest(**asked))

    def until(self, reached: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
        """Wait until something is reached; what both sides said is in the error."""
        deadline = time.monotonic() + limit_s
        while not reached():
            assert time.monotonic() < deadline, "\n".join([*self.owner.said[-12:], *self.scientist.said[-12:]])
            time.sleep(0.05)

    def until_state(self, id: AgreementId, *states: State) -> None:
        """Wait until a job stands where it should."""
        self.until(lambda: self.scientist.state(id) in states)


def private_table(path: Path, rows: int = 40, seed: int = 1) -> Path:
    """Write a CSV of four measurements with many digits, two classes, and names that must
    stay out."""
    numbers = np.random.default_rng(seed)
    x_N4 = numbers.normal(size=(rows, 4)) * 3
    labels = np.where(x_N4.sum(1) > 0, "ill", "well")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "alpha", "beta", "gamma", "delta", "finding"])
        for index, (row, label) in enumerate(zip(x_N4.tolist(), labels.tolist(), strict=True)):
            writer.writerow([f"Anna-Lisa Nr. {index:05d}", *map(repr, row), label])
    return path


def private_images(path: Path, rows: int = 48) -> Path:
    """Write an NPZ of images of 6 x 6 pixels and three classes."""
    numbers = np.random.default_rng(2)
    kinds_N = numbers.integers(0, 3, rows)
    images_N1HW = (numbers.normal(size=(rows, 1, 6, 6)) + kinds_N[:, None, None, None]).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, image=images_N1HW, kind=kinds_N)
    return path


def offer_table(owner: Party, source: Path, **changes: Any) -> RegisteredDataset:
    """Register the private table under a policy that asks nobody, without mock data."""
    how: dict[str, Any] = {
        "name": "findings",
        "target": "finding",
        "drop": ("patient",),
        "price": PRICE,
        "mock_records": 0,
    } | changes
    policy = how.pop("policy", open_policy(manual_approval=False))
    insist = how.pop("insist", ALL_RULES)  # few records, made up for a test
    return register_dataset(owner.home, DatasetOffer(source, policy=policy, insist=insist, **how))


def module_file(folder: Path) -> Path:
    """The scientist's own file of modules."""
    path = folder / "modules.py"
    path.write_text(MODULES)
    return path


@contextmanager
def running(pod: Owner | Scientist | Verifier) -> Iterator[None]:
    """Run a pod in a thread as long as the block lasts."""
    stop, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            pod.run(stop)
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=run, name=type(pod).__name__)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    assert not failed


@contextmanager
def owner_runs(party: Party, **how: Any) -> Iterator[Owner]:
    """Run the owner's pod in a thread; it clears an ended job away without waiting for more blocks."""
    pod = Owner(party.home, party.say, look_s=LOOK_S, turn_s=0, **{"final_blocks": 0} | how)
    with running(pod):
        yield pod


@contextmanager
def scientist_runs(party: Party, auto_accept: bool = True, turn_s: float = 0) -> Iterator[Scientist]:
    """Run the scientist's pod in a thread."""
    pod = Scientist(party.home, auto_accept, party.say, look_s=LOOK_S, turn_s=turn_s, final_blocks=0)
    with running(pod):
        yield pod


@contextmanager
def verifier_runs(*parties: Party, turn_s: float = 0, **how: Any) -> Iterator[None]:
    """Run verifiers' pods, each in a thread; they wipe without waiting for more blocks."""
    with ExitStack() as stack:
        for party in parties:
            settings: dict[str, Any] = {"look_s": LOOK_S, "retry_s": 0.2, "turn_s": turn_s, "final_blocks": 0} | how
            stack.enter_context(running(Verifier(party.home, party.say, **settings)))
        yield


class PodProcess:
    """A pod as a process of its own, as a person starts it.

    Args:
        party: whose.
        log: where its output goes.
        arguments: of `fitchain pod owner|scientist`.
        wrapper: a command that runs it, such as a sandbox.
    """

    def __init__(self, party: Party, log: Path, *arguments: str, wrapper: tuple[str, ...] = ()) -> None:
        side = party.side
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*wrapper, *side.command("pod", side.name, *arguments)],
                env=side.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL

    def stop(self) -> None:
        """End it as Ctrl-C would."""
        self.process.terminate()
        try:
            assert self.process.wait(LIMIT_S) == 0
        finally:
            self.process.kill()


def opened_party(settings: Settings, name: str, wei: int = 10 * ETHER, units: int = MONEY) -> Party:
    """A side: a home with a key and money. Whoever opens it closes its home."""
    made = keys.create(settings.home, "default", PASSPHRASE, work=QUICK_WORK)
    devnet.fund(settings, made.address, wei, units)
    passphrase = settings.home / "passphrase"
    secret_file(passphrase, PASSPHRASE)
    home = Home.open(settings, lambda: PASSPHRASE)
    return Party(Side(name, home.settings, passphrase), home)


def workshop_of(owner: Party, scientist: Party, table: Path, **offer: Any) -> Workshop:
    """Let an owner offer its table and a scientist publish a model for it; `offer` as `offer_table`
    takes it."""
    dataset = offer_table(owner, table, **offer)
    model = publish_model(scientist.home, module_file(scientist.home.settings.home), dataset.id, name="Tiny")
    scientist.home.registry.register_pod(Role.SCIENTIST, scientist.home.keys.recipient)
    return Workshop(owner, scientist, dataset, model)


def staked(party: Party) -> Party:
    """Let a party stake all that a place in the pool costs; it takes none."""
    home = party.home
    home.verifiers.stake(MONEY, LinkChain(home.keys, home.chain).commitment(home.audits.opened()))
    return party


@pytest.fixture(scope="module")
def open_party(running_devnet: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Party]]:
    """Makes a side: a home with a key and money."""
    with ExitStack() as opened:

        def make(name: str, **money: int) -> Party:
            party = opened_party(running_devnet.settings(tmp_path_factory.mktemp(name)), name, **money)
            opened.callback(party.home.close)
            return party

        yield make


@pytest.fixture(scope="module")
def table_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The owner's private table, outside both homes."""
    return private_table(tmp_path_factory.mktemp("private") / "findings.csv")


@pytest.fixture(scope="module")
def workshop(open_party: Callable[..., Party], table_path: Path) -> Workshop:
    """Owner, scientist, dataset and model."""
    return workshop_of(open_party("owner"), open_party("scientist"), table_path)


@pytest.fixture(scope="module")
def open_verifier(open_party: Callable[..., Party]) -> Callable[[str], Party]:
    """Makes a verifier that has staked."""
    return lambda name: staked(open_party(name, units=2 * MONEY))
