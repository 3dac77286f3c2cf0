"""Does this host reproduce a class? Runs the probe in a process of its own and remembers the answer
until the next boot."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from platformdirs import user_cache_path

import fitchain
from fitchain.pod.compute.environment.process import (
    clean_variables,
    expected_probe,
    installed_torch,
    refuse_other_host,
    shipped_probe,
)
from fitchain.pod.compute.operators.openblas import installed_build
from fitchain.pod.values.digest import Digest, canonical_json, sha256
from fitchain.pod.values.errors import EnvironmentRefused, InputRefused
from fitchain.pod.values.recipe import Environment

PROBE_S = 600
"""A probe takes about ten seconds; a host on which it takes longer than this is of no use."""


def check(environment: Environment, cache: Path | None = None) -> Digest:
    """Check that this host reproduces the environment class.

    Args:
        environment: class, threads, torch build and probe of a recipe.
        cache: folder that remembers a probe's result until the next boot; None to run the probe
            each time.

    Returns:
        The probe's digest, which is the expected one.

    Raises:
        EnvironmentRefused: it does not: another system, processor, torch or probe (both digests are
            named).
    """
    refuse_other_host(environment)
    expected = expected_probe(environment)
    measured = probe(environment, cache)
    if measured != expected:
        raise EnvironmentRefused(
            f"the probe of {environment.name} with {environment.threads} threads gives {measured} here, not {expected}",
            "this host cannot replay jobs of that class exactly: use another host or class",
        )
    return measured


def host_cache() -> Path:
    """The folder that remembers probes for every home on this host."""
    return user_cache_path("fitchain")


def describe_host(name: str, threads: int, cache: Path | None = None) -> Environment:
    """Describe this host as an environment, for a recipe or a card: its torch, and its probe where
    none ships.

    Raises:
        EnvironmentRefused: this host cannot be of that class.
    """
    environment = Environment(name, threads, installed_torch())
    refuse_other_host(environment)
    if shipped_probe(environment) is None:
        return replace(environment, probe=probe(environment, cache))
    check(environment, cache)
    return environment


def probe(environment: Environment, cache: Path | None = None) -> Digest:
    """Run the probe of a class, or recall its result.

    Args:
        environment: the class and its threads; probe and torch build are not compared here.
        cache: as in `check`.

    Raises:
        EnvironmentRefused: the probe does not run here.
    """
    if cache is None:
        return _run(environment)
    memory = cache / "probes" / f"{_host(environment)}.json"
    if (digest := _recall(memory)) is None:
        digest = _run(environment)
        _remember(memory, digest)
    return digest


def _run(environment: Environment) -> Digest:
    """One probe, in a process whose variables are the class's before torch is imported."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "fitchain.pod.compute.environment",
        "probe",
        environment.name,
        str(environment.threads),
    ]
    with tempfile.TemporaryDirectory() as home:
        variables = {**clean_variables(environment, Path(home)), "PYTHONPATH": str(Path(fitchain.__file__).parents[1])}
        try:
            done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=PROBE_S)
        except subprocess.TimeoutExpired:
            raise EnvironmentRefused(f"the probe of {environment.name} takes more than {PROBE_S} s here") from None
    try:
        return Digest.parse(done.stdout.strip())
    except InputRefused:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise EnvironmentRefused(f"the probe of {environment.name} does not run here: {last[0]}") from None


def _host(environment: Environment) -> str:
    """Name of what a result holds for: this boot of this machine, this torch, this Python, this
    class."""
    conditions = [
        Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        platform.node(),
        platform.python_version(),
        " ".join(platform.libc_ver()),
        str(sys.prefix),
        installed_torch(),
        installed_build(),
        environment.name,
        environment.threads,
        work_digest().short,
    ]
    return sha256(canonical_json(conditions)).value.hex()[:32]


def work_digest() -> Digest:
    """Digest of what a probe computes: the classes, what they admit, the records of operators, and
    their kernels."""
    pod = Path(fitchain.__file__).parent / "pod"
    folders = "compute/environment", "compute/operators", "values/graph"
    files = sorted(file for folder in folders for file in (pod / folder).rglob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in files))


def _recall(memory: Path) -> Digest | None:
    """A remembered result; a file that is not one counts as forgotten, since the probe can always
    run again."""
    try:
        return Digest.parse(json.loads(memory.read_text())["probe"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, InputRefused):
        return None


def _remember(memory: Path, digest: Digest) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    part = memory.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps({"probe": str(digest)}))
    part.replace(memory)
