"""Do other processors give the same bits? Runs all that a class's probe computes, its wide cases,
and 200 steps of four models, here and on emulated processors, and compares them one by one.

A developer's tool (`make conformance`), never a user's: it wants `qemu-x86_64` (Debian: qemu-user)
and takes an hour or more. Each result is kept as soon as it is there, under `results/conformance`,
so what is interrupted goes on where it was; a change of what computes begins anew. A case that ends
its process is told as such. What is shown equal may stand in a class across processors; what is
shown different may not: cases outside the class are run beside, and told apart.

What is emulated: the processor's name, family, caches and features as far as qemu has them, which
is without AVX-512. Emulated reciprocal square roots may differ from real silicon, so a second real
machine is better evidence: run `python -m fitchain.pod.compute.environment probe CLASS 1` there.

    python scripts/conformance.py [--class NAME] [--threads N]... [--on PLACE]...
    [--only WORD]... [--quick] [--write]
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from fitchain.pod.compute.environment import (  # noqa: E402
    CLASSES,
    DEFAULT,
    Environment,
    clean_variables,
    configure,
    environment_class,
    installed_torch,
)
from fitchain.pod.compute.operators.openblas import installed_build  # noqa: E402
from fitchain.pod.values.digest import canonical_json, sha256  # noqa: E402
from fitchain.pod.values.graph.admission import ANY  # noqa: E402
from scripts import conformance_trainings  # noqa: E402
from scripts.host import processor  # noqa: E402

if TYPE_CHECKING:  # imported late otherwise: importing torch before the class's variables are set would spoil them
    from fitchain.pod.compute.environment.probing import Work

RESULTS = ROOT / "results" / "conformance"
NOTE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- begin: make conformance ARGS=--write -->", "<!-- end -->"
OUTSIDE, TRAINING = "outside/", "200 steps/"
ENDED = "ended the process"
NO_BITS = ("guards.py", "metering.py", "checking.py", "__main__.py")
"""Modules beside those that compute, on which no bit of a case depends."""
FATAL = tuple(-number for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT))
"""Exit codes of a process that a case ended; whatever else ends one is no result."""


@dataclass(frozen=True)
class Place:
    """Where cases are run.

    Args:
        name: as the table has it.
        cpu: the emulator's model; empty for this processor itself.
        filled: whether memory that nothing was written to holds NaN: what reads it shows.
    """

    name: str
    cpu: str = ""
    filled: bool = False


HERE = Place("this processor")
PLACES = (
    HERE,
    Place("this processor, fresh memory filled", filled=True),
    Place("Intel Haswell", "Haswell-v4"),
    Place("AMD Rome", "EPYC-Rome-v2"),
    Place("Intel Skylake", "Skylake-Client-v4"),
    Place("Intel Skylake Server", "Skylake-Server-v5"),
    Place("Intel Cascade Lake", "Cascadelake-Server-v5"),
)


def main() -> int:
    """Compare, or be the process that computes.

    Returns:
        0 where all cases that a class admits are equal, 1 where one differs, 3 without an emulator.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--class", dest="name", choices=list(CLASSES), default=DEFAULT.name)
    parser.add_argument("--threads", type=int, action="append", help="default: 1 and 2")
    parser.add_argument("--on", action="append", choices=[each.name for each in PLACES], help="default: everywhere")
    parser.add_argument("--quick", action="store_true", help="the probe's cases alone")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="cases with WORD in their names")
    parser.add_argument("--write", action="store_true", help=f"put the table into {NOTE.relative_to(ROOT)}")
    parser.add_argument("--compute", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.compute:
        return compute(**json.loads(args.compute))
    if args.write and (args.quick or args.only or args.on or args.threads or args.name != DEFAULT.name):
        parser.error("--write puts down the whole table: it goes with no other option")
    if shutil.which("qemu-x86_64") is None:
        print("there is no qemu-x86_64 here: install qemu-user", file=sys.stderr)
        return 3
    places = [each for each in PLACES if each is HERE or not args.on or each.name in args.on]
    rows, failed = [], False
    for threads in args.threads or (1, 2):
        environment = Environment(args.name, threads, installed_torch())
        expected: Mapping[str, str] = {}
        for place in places:
            found = Runner(environment, place, args.quick, tuple(args.only)).results()
            expected = expected or found
            row = Row(place, threads, expected, found)
            print(row.describe(), flush=True)
            rows.append(row)
            failed |= bool(row.admitted or row.missing or row.broken)
    if args.write:
        write_table(rows)
    return int(failed)


# Running


class Runner:
    """Runs all cases in one place and remembers each."""

    def __init__(self, environment: Environment, place: Place, quick: bool, only: tuple[str, ...] = ()) -> None:
        self.environment, self.place, self.quick, self.only = environment, place, quick, only
        conditions = [environment.json(), installed_build(), platform.python_version(), processor()]
        conditions += [place.cpu, qemu() if place.cpu else ""]
        file = f"{place.name.replace(' ', '-')}-{environment.threads}.jsonl"
        keys = (sha256(canonical_json([each, *conditions])).value.hex()[:12] for each in (cases(), trainings()))
        self.memory_of_cases, self.memory_of_trainings = (RESULTS / key / file for key in keys)

    def results(self) -> dict[str, str]:
        """Each case's digest by name, computed as far as it is not remembered."""
        known = {name: digest for name, digest in self.remembered() if is_wanted(name, self.only)}
        with tempfile.TemporaryDirectory() as folder:
            jobs = Path(folder) / "jobs"
            if not self.quick and not self.only:
                conformance_trainings.prepare(jobs, self.environment)
            ended = True
            while ended:  # a case that ends its process is passed over in the next one
                ended = False
                for name, digest in self.run(jobs, sorted(known)):
                    known[name] = digest
                    self.remember(name, digest)
                    ended = digest == ENDED
        return known

    def remember(self, name: str, digest: str) -> None:
        """Write a digest down where its name belongs."""
        memory = self.memory_of_trainings if name.startswith(TRAINING) else self.memory_of_cases
        memory.parent.mkdir(parents=True, exist_ok=True)
        with memory.open("a") as lines:
            print(json.dumps([name, digest]), file=lines)

    def remembered(self) -> Iterator[tuple[str, str]]:
        """What stands in the memory; the last line may be torn."""
        for memory in (self.memory_of_cases, self.memory_of_trainings):
            for line in memory.read_text().splitlines() if memory.exists() else ():
                try:
                    name, digest = json.loads(line)
                except ValueError:
                    continue
                yield name, digest

    def run(self, jobs: Path, known: list[str]) -> Iterator[tuple[str, str]]:
        """Cases that are not known yet, in a process of their own."""
        skipped = jobs.with_name("known.json")
        skipped.write_text(json.dumps(known))
        what = {
            "name": self.environment.name,
            "threads": self.environment.threads,
            "filled": self.place.filled,
            "quick": self.quick,
            "only": self.only,
            "jobs": str(jobs),
            "skipped": str(skipped),
        }
        emulator = ["qemu-x86_64", "-cpu", self.place.cpu] if self.place.cpu else []
        command = [*emulator, sys.executable, __file__, "--compute", json.dumps(what)]
        variables = clean_variables(self.environment, Path(os.environ.get("TMPDIR", "/tmp")))
        started = ""
        with (
            jobs.with_name("errors.txt").open("w+") as errors,
            subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                digest, _, name = line.rstrip("\n").partition(" ")
                if digest == "begins":
                    started = name
                else:
                    started = ""
                    yield name, digest
            code = process.wait()
            errors.seek(0)
            said = errors.read()[-500:].strip()
        if started and code in FATAL:
            yield started, ENDED
        elif code:
            raise SystemExit(
                f"{self.place.name}: the process ended with {code} {f'in {started}' if started else ''}: {said}"
            )


def cases() -> str:
    """Digest of what computes a case, docstrings and comments aside: the classes, what they admit,
    the records of operators, the kernels, losses and optimizers."""
    folders = [ROOT / "pod" / name for name in ("compute/environment", "compute/operators", "values/graph/operators")]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    files += [ROOT / "pod" / "compute" / name for name in ("losses.py", "own_optimizers.py")]
    return _codes([*files, ROOT / "pod" / "values" / "graph" / "admission.py"])


def trainings() -> str:
    """Digest of what computes a training's transcript root: its cases, the models, the graph that
    they are sent as, the loop, what records it."""
    files = [ROOT / "scripts" / name for name in ("conformance_trainings.py", "sample_jobs.py")]
    files += [ROOT / "pod" / name for name in ("compute/training.py", "compute/update.py", "proof/transcript.py")]
    files += [ROOT / "pod" / "jobs" / "worker" / name for name in ("modes.py", "job.py", "task.py")]
    folders = "compute/model", "compute/checkpoint", "compute/dataset", "values/graph"
    return cases() + _codes(
        [*files, *(path for name in folders for path in sorted((ROOT / "pod" / name).rglob("*.py")))]
    )


def _codes(files: Sequence[Path]) -> str:
    return str(sha256("".join(code_of(path) for path in files if path.name not in NO_BITS).encode()))


def qemu() -> str:
    """The emulator's version."""
    return subprocess.run(["qemu-x86_64", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]


def code_of(path: Path) -> str:
    """A file's code: its syntax tree without expressions that are only text."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            if isinstance(lines := getattr(node, name, None), list):
                setattr(node, name, [line for line in lines if not _is_text(line)])
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def is_wanted(name: str, only: Sequence[str]) -> bool:
    """Whether a case is compared: all are where no word is asked for."""
    return not only or any(word in name for word in only)


def compute(name: str, threads: int, filled: bool, quick: bool, only: list[str], jobs: str, skipped: str) -> int:
    """Print two lines for each case: that it begins, and its digest."""
    environment = Environment(name, threads, installed_torch())
    configure(environment)
    import torch

    from fitchain.pod.compute.operators.cases import case_digest

    torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
    works = all_works(name, quick)
    if not quick and not only:
        trainings = sorted(Path(jobs).iterdir())
        works |= {TRAINING + folder.name: partial(conformance_trainings.run, folder) for folder in trainings}
    works = {work: run for work, run in works.items() if is_wanted(work, only)}
    for work in sorted(works.keys() - set(json.loads(Path(skipped).read_text())), key=list(works).index):
        print("begins", work, flush=True)
        try:
            digest = str(case_digest(work, works[work]()))
        except Exception as error:  # noqa: BLE001  whatever it is, the other cases are still to be run
            digest = type(error).__name__
        print(digest, work, flush=True)
    return 0


def all_works(name: str, quick: bool) -> dict[str, Work]:
    """All cases by name: the probe's, the wide ones, and those outside the class."""
    from fitchain.pod.compute.environment.probing import operator_works, optimizer_works, probe_works

    of = environment_class(name)
    works = probe_works(of)
    if not quick:
        works |= operator_works(of, wide=True) | optimizer_works()
    for wide in (False,) if quick else (False, True):
        beside = operator_works(replace(of, admits=ANY), wide)
        works |= {f"{OUTSIDE}{work}": run for work, run in beside.items() if work not in works}
    return works


# Comparing


@dataclass(frozen=True)
class Row:
    """One place compared with this processor."""

    place: Place
    threads: int
    expected: Mapping[str, str]
    found: Mapping[str, str]

    @property
    def equal(self) -> int:
        """Cases with equal bits."""
        return sum(self.found.get(name) == digest for name, digest in self.expected.items() if is_digest(digest))

    @property
    def broken(self) -> list[str]:
        """Cases that gave no bits at all: an error, or the end of the process."""
        return sorted(name for name, digest in self.found.items() if not is_digest(digest))

    @property
    def differing(self) -> list[str]:
        """Cases with other bits, or that ended their process."""
        return sorted(name for name in self.found if self.found[name] != self.expected.get(name))

    @property
    def admitted(self) -> list[str]:
        """Those of them that the class admits."""
        return [name for name in self.differing if not name.startswith(OUTSIDE)]

    @property
    def missing(self) -> list[str]:
        """Cases without a result."""
        return sorted(self.expected.keys() - self.found.keys())

    def describe(self) -> str:
        """For people at work."""
        outside = [name.removeprefix(OUTSIDE) for name in self.differing if name.startswith(OUTSIDE)]
        return (
            f"{self.place.name}, {self.threads} threads: {self.equal} of {len(self.expected)} equal;"
            f" admitted but different: {self.admitted or 'none'}; missing: {len(self.missing)};"
            f" without bits: {self.broken or 'none'}\n"
            f"  outside the class, and different: {outside or 'none'}"
        )

    def line(self) -> str:
        """For the table."""
        trained = [name for name in self.expected if name.startswith(TRAINING)]
        alike = sum(self.found.get(name) == self.expected[name] for name in trained)
        how = "itself" if not self.place.cpu else f"emulated, `{self.place.cpu}`"
        outside = len(self.differing) - len(self.admitted)
        cells = (
            self.place.name,
            how,
            self.threads,
            f"{self.equal} of {len(self.expected)}",
            f"{alike} of {len(trained)}",
        )
        return f"| {' | '.join(map(str, (*cells, len(self.admitted), outside)))} |"


def is_digest(result: str) -> bool:
    """Whether a case's result is that of bits."""
    return result.startswith("0x")


def write_table(rows: list[Row]) -> None:
    """Put the table into the note, between its marks."""
    conditions = (
        f"This processor: {processor()}; torch {installed_torch()}, OpenBLAS {installed_build()},\n"
        f"qemu {qemu()}, which has no AVX-512."
    )
    table = [
        *("| processor | how | threads | cases equal | 200 steps equal | admitted, different | outside, different |",),
        *("|---|---|---|---|---|---|---|", *(row.line() for row in rows)),
    ]
    before, _, rest = NOTE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    NOTE.write_text("\n".join([f"{before}{BEGIN}", conditions, "", *table, f"{END}{after}"]))


if __name__ == "__main__":
    sys.exit(main())
