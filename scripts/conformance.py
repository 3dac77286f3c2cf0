"""Do other processors give the same bits? Runs the probe's cases here and on emulated CPUs, and
compares them case by case.

A developer's tool (`make conformance`), never a user's: it wants `qemu-x86_64` (Debian: qemu-user)
and takes minutes. What it shows equal may stand in `cpu-x86-64-v3`; what it shows different may
not. Emulated reciprocal square roots may differ from real silicon, so a second real machine is
better evidence: run `python -m fitchain.pod.compute.environment probe cpu-x86-64-v3 1` there.

    python scripts/conformance.py [--threads N] [--cpu MODEL]...
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from fitchain.pod.compute.environment import Environment, clean_variables, configure, installed_torch  # noqa: E402

CLASS = "cpu-x86-64-v3"
PROCESSORS = ("Haswell-v4", "EPYC-Rome")


def main() -> int:
    """Compare, or be the process that computes.

    Returns:
        0 where all cases that a class admits are equal, 1 where one differs, 3 without an emulator.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", action="append", help=f"an emulator's CPU model (default: {', '.join(PROCESSORS)})")
    parser.add_argument("--compute", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    environment = Environment(CLASS, args.threads, installed_torch())
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
    from fitchain.pod.compute.environment.probing import all_cases, case_digest, probe_digest
    from scripts.conformance_cases import wider_cases

    for name, case in {**all_cases(), **wider_cases()}.items():
        print(name, case_digest(name, case), flush=True)
    print("probe", probe_digest(), flush=True)
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
        admitted = [name for name in differing if not name.startswith("suspect/")]
        failed |= bool(admitted or missing)
        print(f"{processor}: {len(emulated) - len(differing)} equal, admitted but different: {admitted or 'none'}")
        print(f"  suspects that differ: {sorted(set(differing) - set(admitted)) or 'none'}")
        if missing:
            first = next(name for name in expected if name in missing)
            print(f"  {len(missing)} did not run; the first of them would have been {first}")
    return int(failed)


def cases_on(environment: Environment, emulator: list[str]) -> Iterator[tuple[str, str]]:
    """Each case's digest as a process of its own gives it."""
    command = [*emulator, sys.executable, __file__, "--compute", "--threads", str(environment.threads)]
    variables = clean_variables(environment, Path(os.environ.get("TMPDIR", "/tmp")))
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    if done.returncode:
        print(f"  stopped with exit code {done.returncode}: {done.stderr.strip()[-300:]}", file=sys.stderr)
    for line in done.stdout.splitlines():
        name, _, digest = line.partition(" ")
        yield name, digest


if __name__ == "__main__":
    sys.exit(main())
