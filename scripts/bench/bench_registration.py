"""Registering a large table: its time over one pass of the reader and one SHA-256 a record, and its
memory. Each side runs in a process of its own, turn by turn.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import cast

from scripts.bench.figures import Figure

ROOT = Path(__file__).parents[2]
COUNTS = {"parquet": 1_000_000, "npz": 1_000_000, "csv": 200_000}
ROUNDS, GOAL, MEMORY_GOAL_MB = 3, 3.0, 600.0


def measure() -> Iterator[Figure]:
    """Yield the figures of this bench."""
    for ending, count in COUNTS.items():
        with tempfile.TemporaryDirectory(dir=ROOT / "results" if (ROOT / "results").exists() else ROOT) as name:
            folder = Path(name)
            source = folder / f"table.{ending}"
            _run("write", source, str(count))
            rounds = [(_run("pass", source), _run("register", source, folder)) for _ in range(ROUNDS)]
        ratios = [done["register_s"] / (one["reader_s"] + one["sha_s"]) for one, done in rounds]
        one, done = rounds[-1]
        detail = (
            f"{done['register_s']:.1f} s of the processor; reader {one['reader_s']:.1f} s, hashes {one['sha_s']:.1f} s"
        )
        what = f"registering {count:,} records of {ending.upper()} / a pass and a hash"
        yield Figure(what, median(ratios), goal=GOAL, detail=detail)
        yield Figure("  its memory", done["peak_MB"], "MB", goal=MEMORY_GOAL_MB)


def _run(*words: str | Path) -> dict[str, float]:
    command = [sys.executable, "-m", "scripts.large_table", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return cast(dict[str, float], json.loads(done.stdout or b"{}"))
