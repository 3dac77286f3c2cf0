"""Do other processors give the same bits? Runs all that a class's probe computes, and its wide
cases, here and on emulated CPUs, and compares them one by one.

A developer's tool (`make conformance`), never a user's: it wants `qemu-x86_64` (Debian: qemu-user)
and takes minutes. What it shows equal may stand in a class across processors; what it shows
different may not: cases outside the class are run beside, and told apart. Emulated reciprocal
square roots may differ from real silicon, so a second real machine is better evidence: run
`python -m fitchain.pod.compute.environment probe CLASS 1` there.

    python scripts/conformance.py [--class NAME] [--threads N] [--cpu MODEL]...
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

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
from fitchain.pod.values.graph.admission import ANY  # noqa: E402

OUTSIDE = "outside/"
PROCESSORS = ("Haswell-v4", "EPYC-Rome")


def main() -> int:
    """Compare, or be the process that computes.

    Returns:
        0 where all cases that a class admits are equal, 1 where one differs, 3 without an emulator.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--class", dest="name", choices=list(CLASSES), default=DEFAULT.name)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", action="append", help=f"an emulator's CPU model (default: {', '.join(PROCESSORS)})")
    parser.add_argument("--compute", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    environment = Environment(args.name, args.threads, installed_torch())
    if args.compute:
        return compute(environment)
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        print("there is no qemu-x86_64 here: install qemu-user", file=sys.stderr)
        return 3
    return compare(environment, emulator, tuple(args.cpu or PROCESSORS))


def compute(environment: Environment) -> int:
    """Print a line for each case: its name and its digest."""
    configure(environment)
    from fitchain.pod.compute.environment.probing import operator_works, probe_digest, probe_works
    from fitchain.pod.compute.operators.cases import case_digest

    of = environment_class(environment.name)
    works = {**probe_works(of), **operator_works(of, wide=True)}
    for wide in (False, True):
        beside = operator_works(replace(of, admits=ANY), wide)
        works |= {f"{OUTSIDE}{name}": work for name, work in beside.items() if name not in works}
    for name, work in works.items():
        print(case_digest(name, work()), name, flush=True)
    print(probe_digest(of), "probe", flush=True)
    return 0


def compare(environment: Environment, emulator: str, processors: tuple[str, ...]) -> int:
    """Run all cases here and on each processor, and name those that differ."""
    expected = dict(cases_on(environment, []))
    print(f"{len(expected)} cases here, {environment.threads} threads; probe {expected['probe']}")
    failed = False
    for processor in processors:
        emulated = dict(cases_on(environment, [emulator, "-cpu", processor]))
        missing = expected.keys() - emulated.keys()
        differing = [name for name in emulated if emulated[name] != expected[name]]
        admitted = [name for name in differing if not name.startswith(OUTSIDE)]
        failed |= bool(admitted or missing)
        print(f"{processor}: {len(emulated) - len(differing)} equal, admitted but different: {admitted or 'none'}")
        print(f"  outside the class, and different: {sorted(set(differing) - set(admitted)) or 'none'}")
        if missing:
            first = next(name for name in expected if name in missing)
            print(f"  {len(missing)} did not run; the first of them would have been {first}")
    return int(failed)


def cases_on(environment: Environment, emulator: list[str]) -> Iterator[tuple[str, str]]:
    """Each case's digest as a process of its own gives it."""
    command = [*emulator, sys.executable, __file__, "--compute", "--class", environment.name]
    command += ["--threads", str(environment.threads)]
    variables = clean_variables(environment, Path(os.environ.get("TMPDIR", "/tmp")))
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    if done.returncode:
        print(f"  stopped with exit code {done.returncode}: {done.stderr.strip()[-300:]}", file=sys.stderr)
    for line in done.stdout.splitlines():
        digest, _, name = line.partition(" ")
        yield name, digest


if __name__ == "__main__":
    sys.exit(main())
