"""Six storeys: no import runs upward, no circle inside a storey, and a verifier needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.source_text import ROOT, nodes_of
from tests.without_torch import WITHOUT_TORCH

# From the ground up. A module imports only from its own storey and those below it.
STOREYS = ["values", "ports", "compute", "proof", "jobs", "parties"]

MODULES = sorted((ROOT / "pod").rglob("*.py"))


def storey_of(path: Path) -> str:
    return path.relative_to(ROOT / "pod").parts[0]


def member_of(path: Path) -> str:
    """A module of a storey: a file, or a folder of the same rank; empty for what
    belongs to none."""
    parts = path.relative_to(ROOT / "pod").parts
    return ".".join(parts[:2]).removesuffix(".py") if len(parts) > 1 and parts[1] != "__init__.py" else ""


@cache
def imports_of(path: Path) -> tuple[tuple[int, str], ...]:
    """Every module that a file imports, anywhere in it, as (line, dotted name)."""
    imports = list[tuple[int, str]]()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            imports += [(node.lineno, name.name) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            imports += [
                (node.lineno, f"{node.module}{name}") for name in ("", *(f".{each.name}" for each in node.names))
            ]
    return tuple(imports)


def place(path: Path, line: int) -> str:
    """Where a line stands, as a message says it."""
    return f"{path.relative_to(ROOT)}:{line}"


def pod_imports(path: Path) -> Iterator[tuple[int, str, str]]:
    """What a file imports of `pod`, as (line, storey, member)."""
    for line, name in imports_of(path):
        parts = name.split(".")
        if parts[:2] == ["fitchain", "pod"] and len(parts) > 2:
            yield line, parts[2], ".".join(parts[2:4])


def own_names_beside_imports(path: Path) -> Iterator[str]:
    """Ways to the package that `pod_imports` does not see: its public face, and names in texts."""
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and node.module == "fitchain":
            yield f"{place(path, node.lineno)}: from fitchain import ..."
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "fitchain":
            if node.attr != "__file__":
                yield f"{place(path, node.lineno)}: fitchain.{node.attr}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            yield f"{place(path, node.lineno)}: {ast.unparse(node)}"


def importers_of(package: str) -> set[str]:
    """The members of `pod` that import somebody else's package."""
    return {member_of(path) for path in MODULES for _, name in imports_of(path) if name.split(".")[0] == package}


def test_pod_has_its_six_storeys_and_nothing_beside() -> None:
    beside = {path.name for path in (ROOT / "pod").iterdir() if path.name not in ("__init__.py", "__pycache__")}
    assert beside == set(STOREYS)


def test_no_import_runs_upward() -> None:
    """What stands above the storeys imports none of them."""
    upward = [
        f"{place(path, line)} imports {storey}"
        for path in MODULES
        for line, storey, _ in pod_imports(path)
        if path.parent == ROOT / "pod" or STOREYS.index(storey) > STOREYS.index(storey_of(path))
    ]
    assert upward == []


def test_a_module_imports_by_its_import_statements_alone() -> None:
    assert [beside for path in MODULES for beside in own_names_beside_imports(path)] == []


@pytest.mark.parametrize("storey", STOREYS)
def test_no_circle_inside_a_storey(storey: str) -> None:
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        if storey_of(path) == storey and (own := member_of(path)):
            inside = {member for _, of, member in pod_imports(path) if of == storey and "." in member}
            graph.setdefault(own, set()).update(inside - {own})
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_compute_reaches_the_world_for_content_identifiers_alone() -> None:
    reached = {
        member
        for path in MODULES
        if storey_of(path) == "compute"
        for _, storey, member in pod_imports(path)
        if storey == "ports" and "." in member
    }
    assert reached == {"ports.store"}


def test_only_what_computes_imports_torch() -> None:
    assert importers_of("torch") == {
        "compute.checkpoint",
        "compute.environment",
        "compute.evaluation",
        "compute.fitting",
        "compute.held_out",
        "compute.losses",
        "compute.model",
        "compute.operators",
        "compute.own_optimizers",
        "compute.private_training",
        "compute.references",
        "compute.risk",
        "compute.side_by_side",
        "compute.training",
        "compute.trained_model",
        "compute.update",
        "jobs.worker",
    }


def test_parties_know_nothing_of_one_another() -> None:
    """Whoever recovers a home makes it whole whichever party it is."""
    known = [
        f"{path.relative_to(ROOT)}:{line} imports {member}"
        for path in MODULES
        if storey_of(path) == "parties" and member_of(path) != "parties.recovery"
        for line, storey, member in pod_imports(path)
        if storey == "parties" and "." in member and member not in (member_of(path), "parties.loop")
    ]
    assert known == []


def test_pod_imports_neither_cli_nor_scripts_nor_tests() -> None:
    outside = [
        f"{place(path, line)} imports {name}"
        for path in MODULES
        for line, name in imports_of(path)
        if name.startswith("fitchain.cli") or name.split(".")[0] in ("scripts", "tests")
    ]
    assert outside == []


def test_everything_is_imported_by_its_one_name() -> None:
    """`import pod` works in a checkout, and would make every class exist twice."""
    python = [*(ROOT / "pod").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]
    python += [path for folder in ("scripts", "tests", "examples") for path in (ROOT / folder).rglob("*.py")]
    other_name = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in python
        for line, name in imports_of(path)
        if name.split(".")[0] in ("pod", "cli")
    ]
    assert other_name == []


# The command line from the ground up. `views` draws what `pod` returns, `command` makes a function
# a command and prints its report, `demo` plays the whole job, `commands` parse and call one
# function, `app` puts them together.
CLI_STOREYS = [
    "licences",
    "ids",
    "passphrase",
    "answers",
    "table_options",
    "recipe_file",
    "parents",
    "model_source",
    "views",
    "command",
    "demo",
    "commands",
    "app",
]

CLI_MODULES = sorted(path for path in (ROOT / "cli").rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))


def cli_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "cli").with_suffix("").parts)


def cli_imports(path: Path) -> Iterator[tuple[int, str]]:
    """What a file imports of `cli`, as (line, dotted name below it)."""
    for line, name in imports_of(path):
        if name.startswith("fitchain.cli."):
            yield line, name.removeprefix("fitchain.cli.")


def test_cli_has_its_storeys_and_nothing_beside() -> None:
    besides = ("__init__.py", "__main__.py", "__pycache__")
    names = {path.stem for path in (ROOT / "cli").iterdir() if path.name not in besides}
    assert names == set(CLI_STOREYS)


def test_no_import_runs_upward_in_cli() -> None:
    upward = [
        f"{place(path, line)} imports {name}"
        for path in CLI_MODULES
        for line, name in cli_imports(path)
        if CLI_STOREYS.index(name.split(".")[0]) > CLI_STOREYS.index(cli_name(path).split(".")[0])
    ]
    assert upward == []


def test_no_circle_inside_cli() -> None:
    names = {cli_name(path) for path in CLI_MODULES}
    graph = {
        cli_name(path): {name for _, name in cli_imports(path) if name in names and name != cli_name(path)}
        for path in CLI_MODULES
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_cli_imports_neither_scripts_nor_tests() -> None:
    outside = [
        f"{path.name}:{line} imports {name}"
        for path in (ROOT / "cli").rglob("*.py")
        for line, name in imports_of(path)
        if name.split(".")[0] in ("scripts", "tests")
    ]
    assert outside == []


def test_tests_are_imported_by_nobody() -> None:
    """What several of them share stands in a module of its own."""
    imported = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for folder in ("tests", "scripts", "examples")
        for path in (ROOT / folder).rglob("*.py")
        for line, name in imports_of(path)
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    ]
    assert imported == []


@pytest.mark.parametrize(
    "module",
    [
        "fitchain.pod.proof.certificate",
        "fitchain.pod.proof.transcript",
        "fitchain.pod.ports.agreement",
        "fitchain.pod.ports.registry",
        "fitchain.cli",
        "fitchain.cli.commands.proof",
    ],
)
def test_what_a_verifier_imports_works_without_torch(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{WITHOUT_TORCH}\nimport {module}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
