"""The parties of the demonstration: a home with fresh keys for each, their pods as processes.

    <folder>/1/owner/        the owner's home, with its passphrase file and its private table
    <folder>/1/scientist/    the scientist's home, with its passphrase file, its test table, results
    <folder>/1/verifier-1/   a verifier's home; where training is audited there are five of them, in
                             a panel of the neighbour's
    <folder>/1/neighbour/    who made that panel
    <folder>/1/stranger/     who has the job audited again, by the homes own-verifier-1 and so on
    <folder>/1/cheat/        a second owner's home, likewise
    <folder>/1/*.log         what the pods said

Every run takes the next number, so that nothing of an earlier one is touched.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fitchain.cli.demo.samples import Sample, describe_sample
from fitchain.pod.ports.settings import SETTINGS_FILE, DevnetRecord, Settings, load
from fitchain.pod.values.errors import FitchainError, InputRefused, Unusable, reason_of

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home

STOP_S = 15
GAS_WEI = 10**18
KEY_WORK = 1 << 8  # scrypt's N: a passphrase of 128 random bits needs none


@dataclass(frozen=True)
class Side:
    """One of the parties.

    Args:
        name: `owner`, `scientist`, `verifier-1` and so on.
        settings: of its home, on the devnet.
        passphrase_file: mode 0600, made for this run.
        program: what runs its pod: the command line, or a Python file that takes the same
            arguments.
    """

    name: str
    settings: Settings
    passphrase_file: Path
    program: tuple[str, ...] = ("-m", "fitchain.cli")

    @property
    def home(self) -> Path:
        """Its home's folder."""
        return self.settings.home

    def passphrase(self) -> str:
        """The passphrase of its keys."""
        return self.passphrase_file.read_text().strip()

    def command(self, *arguments: str) -> list[str]:
        """A command line of this side, for a process of its own."""
        chosen = ["--home", str(self.home), "--rpc", self.settings.rpc, "--store", str(self.settings.store)]
        return [sys.executable, *self.program, *arguments, *chosen, "--passphrase-file", str(self.passphrase_file)]

    def environment(self) -> dict[str, str]:
        """The environment of such a process: none of the person's own settings."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FITCHAIN_")}
        return clean | {"FITCHAIN_DEVNET": str(self.settings.devnet)}


def next_folder(folder: Path) -> Path:
    """Make the folder of this run: the first number not yet used.

    Raises:
        InputRefused: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
        run = folder / str(max(taken, default=0) + 1)
        run.mkdir(mode=0o700)
    except OSError as error:
        raise InputRefused(
            f"the folder {folder} cannot be used: {reason_of(error)}", "choose another with --folder"
        ) from None
    return run.absolute()


@dataclass(frozen=True)
class Stores:
    """What stands between the two parties.

    Args:
        kind: `local` or `ipfs`.
        owner, scientist: their stores: one folder, or each its own Kubo node.
        version: of Kubo; None without.
    """

    kind: str
    owner: str
    scientist: str
    version: str | None = None

    def describe(self) -> str:
        """What they are, in a line."""
        if self.kind == "ipfs":
            return f"two IPFS nodes (Kubo {self.version}), the owner's and the scientist's, joined by bitswap alone"
        return "a folder that all pods share (`make kubo` brings IPFS)"


def choose_stores(asked: str | None) -> str:
    """What the two parties exchange sealed files through.

    It is `ipfs` where Kubo is at hand, else `local`, unless one is asked for.

    Raises:
        InputRefused: there is no such kind.
        NotFound: IPFS is asked for and there is no Kubo.
    """
    from fitchain.pod.ports.store.kubo import kubo, require_kubo

    if asked not in (None, "local", "ipfs"):
        raise InputRefused(f"the demonstration has no store {asked!r}", "choose --store local or --store ipfs")
    if asked == "ipfs":
        require_kubo()
    return asked or ("ipfs" if kubo() else "local")


def start_stores(kind: str, devnet: Path) -> Stores:
    """Start a private pair of IPFS nodes, or name the folder beside the devnet."""
    from fitchain.pod.ports.store import devnet_nodes

    if kind == "local":
        folder = str((devnet / "store").absolute())
        return Stores(kind, folder, folder)
    pair = devnet_nodes.up(devnet)
    owners, scientists = pair.nodes
    return Stores(kind, owners.store, scientists.store, pair.version)


def make_side(run: Path, name: str, record: DevnetRecord, devnet: Path, store: str) -> Side:
    """Make one side's home, its passphrase in a file of mode 0600, its store in its settings."""
    home = run / name
    home.mkdir(mode=0o700, exist_ok=True)  # its table may be on its way into it
    path = home / "passphrase"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(16) + "\n")
    (home / SETTINGS_FILE).write_text(f"store = {json.dumps(store)}\n")
    settings = load(
        home, record.rpc, record.chain_id, devnet=devnet, key="default", environ={"HOME": os.environ.get("HOME", "")}
    )
    return Side(name, settings, path)


def equip(side: Side, units: int) -> Home:
    """Make a side's keys, give it test money and open its home."""
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.ports import keys
    from fitchain.pod.ports.chain import devnet

    made = keys.create(side.home, side.settings.key, side.passphrase(), KEY_WORK)
    devnet.fund(side.settings, made.address, GAS_WEI, units)
    return Home.open(side.settings, side.passphrase)


class WrittenSample:
    """A sample's two files, written by another process: scikit-learn takes seconds to import."""

    def __init__(self, name: str, run: Path) -> None:
        self._name, self._folders = name, (run / "owner" / "data", run / "scientist" / "data")
        command = [sys.executable, "-m", "fitchain.cli.demo.samples", name, *map(str, self._folders)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def result(self) -> Sample:
        """Wait for the files.

        Raises:
            Unusable: they were not written.
        """
        _, err = self._process.communicate()
        if self._process.returncode:
            last = last_error(err.decode(errors="replace"))
            raise Unusable(f"the sample {self._name} was not written: {last}", "run `make setup`")
        return describe_sample(self._name, *self._folders)


class Pod:
    """A pod that runs as a process of its own and writes to a log.

    Args:
        side: whose.
        arguments: of `fitchain pod`.
        log: where it writes to.
    """

    def __init__(self, side: Side, arguments: Sequence[str], log: Path) -> None:
        self._name, self._log = side.name, log
        self._file: IO[bytes] = log.open("wb")
        command = side.command("pod", *arguments)
        self._process = subprocess.Popen(
            command, env=side.environment(), stdin=subprocess.DEVNULL, stdout=self._file, stderr=self._file
        )

    def check(self) -> None:
        """See that it still runs.

        Raises:
            Unusable: it ended.
        """
        if self._process.poll() is not None:
            problem = last_error(self._log.read_text(errors="replace"))
            raise Unusable(
                f"the pod of {self._name} ended with exit code {self._process.returncode}: {problem}",
                f"see {self._log}",
            )

    def stop(self) -> None:
        """End it as Ctrl-C would, and at last by force."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._file.close()


@contextmanager
def pods(sides: Sequence[tuple[Side, Sequence[str]]], run: Path) -> Iterator[list[Pod]]:
    """Run a pod for each side as long as the block lasts."""
    started: list[Pod] = []
    try:
        for side, arguments in sides:
            started.append(Pod(side, arguments, run / f"{side.name}.log"))
        yield started
    finally:
        for pod in started:
            pod.stop()


def last_error(text: str) -> str:
    """The last error that a process reported, else its last line."""
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it said nothing"])[-1]


class RunningCommand:
    """One command of a side, running beside the demonstration."""

    def __init__(self, side: Side, *arguments: str) -> None:
        self._arguments = arguments
        self._process = subprocess.Popen(
            side.command(*arguments, "--json"),
            env=side.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self) -> dict[str, object]:
        """Wait for it, and read the object it printed.

        Raises:
            FitchainError: it did not end well; the error is its own.
        """
        out, err = self._process.communicate()
        values = json.loads(out.splitlines()[-1]) if out.strip() else {}
        if self._process.returncode:
            reported = values.get("error", {"message": last_error(err), "hint": ""})
            name = " ".join(self._arguments[:2])
            error = FitchainError(f"`fitchain {name}`: {reported['message']}", reported["hint"])
            error.exit_code = self._process.returncode
            raise error
        return dict(values)
