"""How long `fitchain --help` takes from the file cache, beside Python's own start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.bench.figures import Figure, describe_sides, side_by_side


def measure() -> Iterator[Figure]:
    """Yield the figure of this bench."""
    fitchain = Path(sys.executable).with_name("fitchain")
    times = side_by_side(
        {
            "fitchain --help": command(str(fitchain), "--help"),
            "python -c pass": command(sys.executable, "-c", "pass"),
        },
        rounds=11,
    )
    yield Figure("fitchain --help, warm", times["fitchain --help"].median, "s", 0.3, detail=describe_sides(times))


def command(*words: str) -> Callable[[], object]:
    """Run a command to its end."""
    return lambda: subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
