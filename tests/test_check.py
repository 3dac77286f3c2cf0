"""`scripts/check` succeeds where everything that it runs does, and fails where anything fails."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "check"
TOOLS = ("ruff", "mypy", "forge", "pytest", "python")


def checked(folder: Path, what: str, failing: str = "") -> int:
    """The exit code of a check whose tools only succeed, but for one."""
    tools = folder / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name in TOOLS:
        (tools / name).write_text(f"#!/bin/sh\nexit {int(name == failing)}\n")
        (tools / name).chmod(0o755)
    (folder / "scripts").mkdir()
    script = shutil.copy(SCRIPT, folder / "scripts" / "check")
    return subprocess.run([script, what], capture_output=True, timeout=60).returncode


@pytest.mark.parametrize("what", ["lint", "test", "long"])
def test_check_succeeds_where_everything_does(tmp_path: Path, what: str) -> None:
    assert checked(tmp_path, what) == 0


@pytest.mark.parametrize(
    ("what", "failing"),
    [("lint", "ruff"), ("lint", "mypy"), ("test", "forge"), ("test", "pytest"), ("long", "forge"), ("long", "pytest")],
)
def test_check_fails_where_anything_does(tmp_path: Path, what: str, failing: str) -> None:
    assert checked(tmp_path, what, failing) != 0
