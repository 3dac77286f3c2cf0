"""`make nightly`: what takes hours, in named parts. Whatever passed is not run again until
something changes that it rests on.

    python -m scripts.nightly               the parts that have not passed yet, in order
    python -m scripts.nightly PART ...      these parts, whether they passed or not
    python -m scripts.nightly --again       all parts, as if none had passed; cut off, the next call
                                           goes on
    python -m scripts.nightly --list        the parts and where each stands

Each part that ends adds a line of JSON to `results/nightly.jsonl`: part, commit, a digest of the
files that it rests on, start, seconds, exit, seed; or why it cannot run here. What it printed
stands beside, in `results/nightly/PART.log`. A part that was cut off leaves no line, so the next
call takes it up; a part that failed is run again with the seed it failed with.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from fitchain.pod.ports.store.kubo import kubo

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "nightly.jsonl"
SEED = "{seed}"
"""Stands in a command for the part's seed, in decimal."""
PROGRAM = (
    "cli",
    "contracts",
    "fitchain",
    "pod",
    "scripts",
    "tests",
    "foundry.toml",
    "package-lock.json",
    "pyproject.toml",
    "requirements.lock",
)
"""Everything but what is read by people alone."""
CONTRACTS = (
    "contracts",
    "tests/contracts",
    "scripts/mutation",
    "scripts/solc",
    "snapshots",
    "foundry.toml",
    "package-lock.json",
)
"""What the contracts and their tests are made of, and what tries them."""


def always() -> str:
    """Nothing is missing."""
    return ""


def lacks_kubo() -> str:
    """Why the tests over IPFS cannot run here."""
    return "" if kubo() or shutil.which("go") else "there is neither an IPFS node here nor a Go to build it with"


def lacks_emulator() -> str:
    """Why other processors cannot be tried here."""
    return "" if shutil.which("qemu-x86_64") else "there is no qemu-x86_64 here: install qemu-user"


@dataclass(frozen=True)
class Part:
    """One part of the night.

    Args:
        name: as it is called on the command line.
        what: in a few words.
        commands: one after another, until one fails; `{seed}` stands for the seed.
        variables: added to the environment.
        lacks: why the part cannot run on this machine; empty where it can.
        paths: files and folders of the working copy on which it rests.
    """

    name: str
    what: str
    commands: tuple[tuple[str, ...], ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    lacks: Callable[[], str] = always
    paths: tuple[str, ...] = PROGRAM

    @property
    def command_lines(self) -> str:
        """What is run, as a text."""
        return repr((self.commands, sorted(self.variables.items())))


FORGE = {"FOUNDRY_PROFILE": "nightly"}
WALKS = "^(Invariants|StabilityTest)$"
"""The test contracts with invariants."""
LAWS = {"HYPOTHESIS_PROFILE": "nightly"}
PARTS = (
    Part(
        "contracts-fuzz",
        "10,000 cases of each law of the contracts",
        (("forge", "test", "--no-match-contract", WALKS, "--fuzz-seed", SEED),),
        FORGE,
        paths=CONTRACTS,
    ),
    Part(
        "contracts-invariants",
        "10,000 walks for each invariant of the contracts",
        (("forge", "test", "--match-contract", WALKS, "--fuzz-seed", SEED),),
        FORGE,
        paths=CONTRACTS,
    ),
    Part(
        "contracts-rules",
        "every rule of the contracts taken out, one after the other",
        (("python", "-m", "scripts.mutation.rules"),),
        paths=CONTRACTS,
    ),
    Part(
        "contracts-mutants",
        "a sample of changes of the contracts; it names those that no test notices",
        (("python", "-m", "scripts.mutation.operators", "--sample", "60", "--seed", SEED),),
        paths=CONTRACTS,
    ),
    Part(
        "python-fuzz",
        "twenty times the usual examples of each law in Python",
        (("pytest", "-m", "hypothesis", f"--hypothesis-seed={SEED}"),),
        LAWS,
    ),
    Part("attacks", "every attack, with replays in real workers", (("python", "-m", "scripts.attacks"),)),
    Part(
        "faults",
        "five hundred kills in a market of pods, fifty by each of ten seeds",
        (("python", "-m", "scripts.faults", "--runs", "10", "--seed", SEED),),
    ),
    Part("slow", "the tests marked `nightly`", (("pytest", "-m", "nightly and not ipfs"),)),
    Part(
        "ipfs-large",
        "the tests marked `nightly` that want IPFS nodes",
        (("python", "-m", "scripts.kubo"), ("pytest", "-m", "nightly and ipfs")),
        lacks=lacks_kubo,
    ),
    Part(
        "conformance",
        "the environment class on emulated processors",
        (("python", "scripts/conformance.py"),),
        lacks=lacks_emulator,
    ),
    Part(
        "zoo",
        "public architectures, exported and trained to the bit",
        (("python", "-m", "scripts.zoo"),),
        paths=("pod", "scripts/zoo", "pyproject.toml"),
    ),
)


@dataclass(frozen=True)
class Result:
    """How a part ended.

    Args:
        part: its name.
        commit: of the working copy.
        sources: a digest of the files on which it rests.
        start: in UTC, ISO 8601.
        seconds: how long it took.
        exit: status of the command that failed, or 0; None where the part could not run.
        seed: of its random choices.
        lacks: why it could not run.
    """

    part: str
    commit: str
    sources: str
    start: str
    seconds: float
    exit: int | None
    seed: int
    lacks: str = ""


def main() -> int:
    """Run what is asked for.

    Returns:
        0 where every part that was run passed or cannot run here, 1 where one failed, 3 outside a
        git working copy.
    """
    parser = argparse.ArgumentParser(prog="make nightly", description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(part.name for part in PARTS)}")
    parser.add_argument("--again", action="store_true", help="begin anew: run what has passed, too")
    parser.add_argument("--seed", type=int, help="of every part that is run; default: a new one for each")
    parser.add_argument("--list", action="store_true", help="name the parts and say where each stands")
    args = parser.parse_args()
    if unknown := set(args.parts) - {part.name for part in PARTS}:
        parser.error(f"there is no part {min(unknown)!r}; there are {', '.join(part.name for part in PARTS)}")
    try:
        night = Night(PARTS, RESULTS)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"make nightly runs in a git working copy, by whose files it keeps its results: {error}", file=sys.stderr)
        return 3
    failed = False
    if not args.list:
        if args.again:
            night.begin_anew()
        failed = night.run(args.parts, args.seed)
        print(f"\n== {RESULTS}")
    for part in PARTS:
        print(f"{part.name:22}{part.what}: {night.standing(part)}")
    return int(failed)


def git(root: Path, *arguments: str) -> bytes:
    """What git prints in a working copy.

    Raises:
        OSError, subprocess.CalledProcessError: there is no git, or no working copy.
    """
    return subprocess.run(["git", *arguments], cwd=root, stdout=subprocess.PIPE, check=True).stdout


def digest_of_paths(root: Path, paths: Sequence[str], beside: str = "") -> str:
    """A digest of names and bytes of a working copy's files below some paths, but for those that
    git ignores, and of a text beside them.

    Raises:
        OSError, subprocess.CalledProcessError: there is no git, or no working copy.
    """
    listed = git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *paths)
    digest = hashlib.sha256(beside.encode() + b"\0")
    for name in sorted(set(listed.split(b"\0")[:-1])):
        path = root / os.fsdecode(name)
        if path.is_file():
            digest.update(name + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Night:
    """The parts over the sources as they are, and what is known of them.

    Args:
        parts: in their order.
        results: a file with a line of JSON for each part that ended; what each printed stands in a
            folder beside it.
        root: the working copy, where the commands run.

    Raises:
        OSError, subprocess.CalledProcessError: there is no git, or no working copy.
    """

    parts: Sequence[Part]
    results: Path
    root: Path = ROOT
    commit: str = field(init=False)
    sources: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "commit", git(self.root, "rev-parse", "HEAD").decode().strip())
        digests = {part.name: digest_of_paths(self.root, part.paths, part.command_lines) for part in self.parts}
        object.__setattr__(self, "sources", digests)

    def run(self, names: Sequence[str] = (), seed: int | None = None) -> bool:
        """Run the named parts, or those that have not passed; whether one failed."""
        results, failed = self.newest_results(), False
        for part in self.parts:
            before = results.get(part.name)
            if part.name not in names if names else before is not None and before.exit == 0:
                continue
            failing = before is not None and before.exit not in (None, 0)
            usual = before.seed if before is not None and failing else secrets.randbits(63)
            result = self.run_part(part, usual if seed is None else seed)
            failed |= result.exit not in (None, 0)
        return failed

    def run_part(self, part: Part, seed: int) -> Result:
        """Run a part and write down how it ended."""
        start, began_s = now(), time.monotonic()
        lacks = part.lacks()
        print(f"\n== {part.name}: {lacks or f'{part.what}, seed {seed}'}", flush=True)
        status = None if lacks else self._status(part, seed)
        seconds = round(time.monotonic() - began_s, 1)
        result = Result(part.name, self.commit, self.sources[part.name], start, seconds, status, seed, lacks)
        self._write(asdict(result))
        return result

    def begin_anew(self) -> None:
        """Count nothing that was written until now."""
        self._write({"again": now(), "commit": self.commit})

    def newest_results(self) -> dict[str, Result]:
        """The newest result of each part over what it rests on now, since the last beginning."""
        results = dict[str, Result]()
        for line in self.results.read_text().splitlines() if self.results.exists() else ():
            value = json.loads(line)
            if "again" in value:
                results.clear()
            elif value["sources"] == self.sources.get(value["part"]):
                results[value["part"]] = Result(**value)
        return results

    def standing(self, part: Part) -> str:
        """Where a part stands, in words."""
        result = self.newest_results().get(part.name)
        if result is None:
            return "not run"
        if result.exit is None:
            return f"cannot run: {result.lacks}"
        how = "passed" if result.exit == 0 else f"failed with status {result.exit}"
        return f"{how} after {result.seconds:.0f} s, seed {result.seed}"

    def _status(self, part: Part, seed: int) -> int:
        """Run a part's commands; the status of the first that fails, or 0."""
        log = self.results.with_suffix("") / f"{part.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as file:
            for command in part.commands:
                filled = [word.replace(SEED, str(seed)) for word in command]
                if status := printed(filled, self.root, part.variables, file):
                    return status
        return 0

    def _write(self, value: Mapping[str, object]) -> None:
        self.results.parent.mkdir(parents=True, exist_ok=True)
        with self.results.open("a") as file:
            file.write(json.dumps(value) + "\n")


def printed(command: Sequence[str], folder: Path, variables: Mapping[str, str], log: TextIO) -> int:
    """Run a command, its output on the terminal and in a log; its status."""
    whole = os.environ | dict(variables)
    with subprocess.Popen(
        command, cwd=folder, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            log.write(line)
            log.flush()
    return process.returncode


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(main())
