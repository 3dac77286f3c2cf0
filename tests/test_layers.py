"""The modules stand in the order of the data flow, and a verifier needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# The one place where the order stands. A module imports only from modules above it; a new one gets its place here.
FLOW = [
    "errors",
    "settings",
    "detached",
    "digest",
    "recipe",
    "state",
    "leaf",
    "graph",
    "model",
    "sealed",
    "store",
    "dataset",
    "chain",
    "keys",
    "registry",
    "agreement",
    "environment",
    "sandbox",
    "training",
    "checkpoint",
    "transcript",
    "audit",
    "certificate",
    "parcel",
    "worker",
    "rehearsal",
    "journal",
    "home",
    "patience",
    "docket",
    "owner",
    "scientist",
    "verifier",
]

MODULES = sorted(
    path for path in (ROOT / "pod").rglob("*.py") if path.parent != ROOT / "pod" or path.name != "__init__.py"
)


def stage_of(path: Path) -> str:
    return path.relative_to(ROOT / "pod").parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, anywhere in it, as (line, dotted name)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.lineno, str(node.module)
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def pod_stages(path: Path) -> Iterator[tuple[int, str]]:
    for line, name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "pod" and len(parts) > 1 and parts[1] in FLOW:
            yield line, parts[1]


def test_every_module_has_its_place_in_the_flow() -> None:
    assert {stage_of(path) for path in MODULES} <= set(FLOW)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_imports_only_from_earlier_stages(path: Path) -> None:
    own = FLOW.index(stage_of(path))
    later = [f"line {line} imports {stage}" for line, stage in pod_stages(path) if FLOW.index(stage) > own]
    assert later == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pod_imports_neither_cli_nor_scripts_nor_tests(path: Path) -> None:
    outside = [
        f"line {line}: {name}" for line, name in imports_of(path) if name.split(".")[0] in ("cli", "scripts", "tests")
    ]
    assert outside == []


def test_cli_imports_neither_scripts_nor_tests() -> None:
    outside = [
        f"{path.name}:{line} imports {name}"
        for path in (ROOT / "cli").rglob("*.py")
        for line, name in imports_of(path)
        if name.split(".")[0] in ("scripts", "tests")
    ]
    assert outside == []


WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "sklearn"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, NoTorch())
"""


@pytest.mark.parametrize(
    "module", ["pod.certificate", "pod.transcript", "pod.agreement", "pod.registry", "cli", "cli.proof"]
)
def test_what_a_verifier_imports_works_without_torch(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{WITHOUT_TORCH}\nimport {module}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
