"""What some tests want of the machine: each such test has the mark of what it wants, is skipped
where that is missing, and the end of a run says of every one whether its tests ran. `--results
FILE` writes the same down, for who adds runs up (`scripts/tests_summary.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from fitchain.pod.compute.environment import installed_torch
from fitchain.pod.compute.environment.classes import DEFAULT
from fitchain.pod.compute.sandbox import landlock_abi
from fitchain.pod.ports.store.kubo import kubo, version
from scripts.slither import version as version_of_slither
from scripts.zoo.__main__ import LIBRARIES
from scripts.zoo.__main__ import REQUIREMENTS as REQUIREMENTS_OF_ZOO

OUTCOMES = ("passed", "failed", "error", "skipped")


@dataclass(frozen=True)
class Requirement:
    """Something that not every machine has.

    Args:
        found: names what is here; empty where nothing is.
        missing: why tests are skipped then, and what would bring it.
    """

    found: Callable[[], str]
    missing: str


def _kubo() -> str:
    path = kubo()
    return f"Kubo {version(path)} at {path}" if path else ""


def _landlock() -> str:
    return f"Landlock {landlock_abi()}" if landlock_abi() else ""


def _probe() -> str:
    torch = installed_torch()
    return f"torch {torch}" if (torch, 1) in DEFAULT.shipped else ""


def _accounting() -> str:
    try:
        return f"dp-accounting {metadata.version('dp-accounting')}"
    except metadata.PackageNotFoundError:
        return ""


def _sources() -> str:
    """What reads Parquet files and folders of images or scans."""
    names = ("pyarrow", "pillow", "pydicom", "nibabel")
    try:
        return ", ".join(f"{name} {metadata.version(name)}" for name in names)
    except metadata.PackageNotFoundError:
        return ""


def _formats() -> str:
    """What writes and reads the formats of others."""
    names = ("onnx", "onnxscript", "onnxruntime", "cyclonedx-python-lib", "model-signing", "huggingface_hub")
    try:
        return ", ".join(f"{name} {metadata.version(name)}" for name in names)
    except metadata.PackageNotFoundError:
        return ""


def _mount() -> str:
    """A disk is mounted where nobody else sees it."""
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "this account mounts disks" if mounted else ""


def browser() -> str:
    """A browser that draws a page without a screen; empty where there is none."""
    return next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := which(name))), "")


def _zoo() -> str:
    return f"the libraries at {LIBRARIES}" if (LIBRARIES / REQUIREMENTS_OF_ZOO.name).is_file() else ""


def frameworks() -> Path | None:
    """Where Lightning, transformers and PEFT are: with what is installed, or where `make zoo`
    brought them."""
    names = ("lightning", "transformers", "peft")
    places = [Path(part) for part in sys.path if part.endswith("site-packages")]
    return next((place for place in (*places, LIBRARIES) if all((place / name).is_dir() for name in names)), None)


REQUIREMENTS = {
    "ipfs": Requirement(_kubo, "there is no Kubo here: `make kubo` builds it"),
    "landlock": Requirement(_landlock, "this kernel has no Landlock: nothing keeps a root process out of a folder"),
    "slither": Requirement(version_of_slither, "there is no Slither here: `make slither` brings it"),
    "mount": Requirement(_mount, "this account may not mount a small disk, which then is full"),
    "accounting": Requirement(_accounting, "there is no dp-accounting here: set-up brings it (the extra `privacy`)"),
    "browser": Requirement(browser, "there is no Chromium here: `apt-get install chromium` brings it"),
    "sources": Requirement(_sources, "pyarrow, Pillow, pydicom or nibabel is not here: set-up brings them (extras)"),
    "formats": Requirement(
        _formats, "onnx, cyclonedx-python-lib or model-signing is not here: set-up brings them (extras)"
    ),
    "architectures": Requirement(_zoo, "the libraries of `make zoo` are not here: `make zoo ARGS=--list` brings them"),
    "frameworks": Requirement(
        lambda: f"Lightning, transformers and PEFT at {frameworks()}" if frameworks() else "",
        "Lightning, transformers or PEFT is not here: the extras `lightning` and `hugging-face`, or `make zoo`",
    ),
    "probe": Requirement(_probe, f"no probe of {DEFAULT.name} ships for the torch that is installed here"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take a file for the results."""
    parser.addoption("--results", type=Path, metavar="FILE", help="write the run's counts there, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks."""
    for name, requirement in REQUIREMENTS.items():
        config.addinivalue_line("markers", f"{name}: skipped where {requirement.missing}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what wants something that is missing."""
    lacks = {name: pytest.mark.skip(reason=one.missing) for name, one in REQUIREMENTS.items() if not one.found()}
    for item in items:
        for name, skip in lacks.items():
            if item.get_closest_marker(name):
                item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say of each requirement whether its tests ran, and write the counts down."""
    stats: dict[str, list[Any]] = terminalreporter.stats
    counts = {outcome: len(stats.get(outcome, [])) for outcome in OUTCOMES}
    lines = []
    for name, requirement in REQUIREMENTS.items():
        marked = {outcome: [one for one in stats.get(outcome, []) if wants(one, name)] for outcome in OUTCOMES}
        if any(marked.values()):
            told = ", ".join(f"{len(reports)} {outcome}" for outcome, reports in marked.items() if reports)
            reasons = {str(report.longrepr[2]).removeprefix("Skipped: ") for report in marked["skipped"]}
            lines.append(f"{name}: {told}; {'; '.join(sorted(reasons)) or requirement.found()}")
    for line in lines:
        terminalreporter.write_line(f"optional, {line}")
    if file := config.getoption("--results"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(counts | {"optional": lines}) + "\n")


def wants(report: object, name: str) -> bool:
    """Whether a report is of a test, and not of a file that could not be read, and the test has the
    mark."""
    return isinstance(report, pytest.TestReport) and name in report.keywords
