"""Tables of a million records and more: what is computed of them takes no more memory than a bound
that does not depend on how many there are (`scripts.large_table`)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

ROOT = Path(__file__).parent.parent
REGISTERING_MB, BESIDE_A_SMALL_ONE_MB = 600, 600
"""The second is what a worker takes more than beside a small table: torch alone takes half a
gigabyte, and an order of records eight bytes for each."""
SMALL, STEPS = 20_000, 400


def large_table(*words: str | Path) -> dict[str, float]:
    """What a process of `scripts.large_table` tells."""
    command = [sys.executable, "-m", "scripts.large_table", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return cast(dict[str, float], json.loads(done.stdout or b"{}"))


def peaks(folder: Path, ending: str, count: int) -> tuple[float, float]:
    """The most memory of registering a table and of training on it, in megabytes."""
    folder.mkdir()
    source = folder / f"table.{ending}"
    large_table("write", source, str(count))
    registered = large_table("register", source, folder)
    large_table("prepare", folder, str(STEPS))
    trained = large_table("train", folder)
    assert (registered["records"], trained["steps"]) == (count, STEPS)
    return registered["peak_MB"], trained["peak_MB"]


@pytest.mark.parametrize(
    ("ending", "count"),
    [
        pytest.param("parquet", 1_000_000, marks=[pytest.mark.long, pytest.mark.sources]),
        pytest.param("parquet", 10_000_000, marks=[pytest.mark.nightly, pytest.mark.sources]),
        pytest.param("npz", 10_000_000, marks=pytest.mark.nightly),
        pytest.param("csv", 10_000_000, marks=pytest.mark.nightly),
    ],
)
def test_memory_of_a_large_table_is_bounded(tmp_path: Path, ending: str, count: int) -> None:
    registering_MB, training_MB = peaks(tmp_path / "large", ending, count)
    _, usual_MB = peaks(tmp_path / "small", ending, SMALL)
    assert registering_MB < REGISTERING_MB
    assert training_MB - usual_MB < BESIDE_A_SMALL_ONE_MB
