"""CONTRIBUTING is true: a kind of data file is added in a copy of the package by the documented
way, and is read there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fitchain.pod.compute.dataset import Table, dataset_root, record_leaves
from tests.source_text import ROOT

GUIDE = ROOT / "CONTRIBUTING.md"
KEY = bytes(range(32))
LINES = "0 1:1.5 2:7\n1 1:-2.0 2:8\n1 1:3.25 3:4\n"
COLUMNS = {"label": np.array([0, 1, 1]), "1": np.array([1.5, -2.0, 3.25]), "3": np.array([0, 0, 4])}

REGISTER = f"""
import sys
from pathlib import Path
from fitchain.pod.compute.dataset import ReadingTerms, Table, dataset_root, record_leaves

table = Table.read(Path(sys.argv[1]), ReadingTerms(drop=("2",), target="label"))
print(dataset_root(record_leaves(table, bytes.fromhex({KEY.hex()!r}))))
"""


def steps(language: str) -> list[tuple[str, str]]:
    """The blocks that name a file: (file, contents)."""
    return re.findall(rf"^```{language} ([\w./]+)\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def changes(block: str) -> list[tuple[str, str]]:
    """What a block of a diff takes out and what it puts in its place."""
    pairs = re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)+)", block, re.MULTILINE)
    return [
        ("\n".join(line[1:] for line in old.splitlines()), "\n".join(line[1:] for line in new.splitlines()))
        for old, new in pairs
    ]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package to which the documented steps are applied."""
    for name in ("pod", "cli", "fitchain"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for file, contents in steps("python"):
        assert not (tmp_path / file).exists(), f"{file} is there already"
        (tmp_path / file).write_text(contents)
    for file, block in steps("diff"):
        text = (tmp_path / file).read_text()
        for old, new in changes(block):
            assert text.count(old) == 1, f"{file} does not say {old!r} once"
            text = text.replace(old, new)
        (tmp_path / file).write_text(text)
    return tmp_path


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(copy), "COLUMNS": "200"}
    return subprocess.run([sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "table.libsvm"
    path.write_text(LINES)
    return path


def test_guide_shows_every_step_of_a_reader() -> None:
    assert [file for file, _ in steps("python")] == ["pod/compute/dataset/libsvm_file.py"]
    assert [file for file, _ in steps("diff")] == ["pod/compute/dataset/readers.py", "cli/commands/data.py"]


def test_reader_that_is_added_by_the_guide_registers_the_same_records(copy: Path, source: Path) -> None:
    table = Table.of(COLUMNS, target="label")
    done = run(copy, "-c", REGISTER, str(source))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(dataset_root(record_leaves(table, KEY)))


def test_reader_that_is_added_by_the_guide_names_the_line_of_a_bad_record(copy: Path, source: Path) -> None:
    source.write_text(source.read_text() + "1 secret:3\n")
    done = run(copy, "-c", REGISTER, str(source))
    assert "InputRefused: table.libsvm: line 4 is no label with numbered features" in done.stderr
    assert "secret" not in done.stderr


def test_kind_that_is_added_by_the_guide_is_in_the_help_and_in_the_refusal_of_others(
    copy: Path, tmp_path: Path
) -> None:
    assert (
        "A table, .csv, .tsv, .jsonl, .libsvm, .npz, .parquet or .arrow"
        in run(copy, "-m", "fitchain.cli", "data", "register", "--help").stdout
    )
    refused = run(copy, "-c", REGISTER, str(tmp_path / "table.sheet"))
    assert "table.sheet is none of .csv, .tsv, .jsonl, .ndjson, .libsvm, .npz" in refused.stderr


def test_reader_that_is_added_by_the_guide_passes_lint(copy: Path) -> None:
    files = [file for file, _ in steps("python")]
    config = ("--config", str(ROOT / "pyproject.toml"), "--no-cache")
    done = run(copy, "-m", "ruff", "check", *config, *files)
    assert done.returncode == 0, done.stdout
    assert run(copy, "-m", "ruff", "format", "--check", *config, *files).returncode == 0


def test_guide_names_functions_that_are_there() -> None:
    """`file` (`name`), or `file`: `name`, in a step."""
    named = re.findall(r"`([\w./]+\.(?:py|sol))`[:,]? \(?`(\w+)`", GUIDE.read_text())
    assert named
    assert [(file, name) for file, name in named if name not in (ROOT / file).read_text()] == []
