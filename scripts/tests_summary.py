"""Add test runs up, each from the file that `pytest --results FILE` wrote, and say what of the
optional tests ran.

python -m scripts.tests_summary FILE ...

A run whose file is missing did not get as far as its tests; that is a failure.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


def main(files: Sequence[Path]) -> int:
    """Print the sum.

    Returns:
        0 where every run wrote its file and no test failed, else 1.
    """
    for line in summary(files):
        print(line)
    return int(any(not file.exists() or failures(json.loads(file.read_text())) for file in files))


def summary(files: Sequence[Path]) -> Iterator[str]:
    """The optional tests of each run in a line each, then the sum of all runs, alone on the last
    line."""
    passed = failed = skipped = 0
    for file in files:
        if not file.exists():
            yield f"{file.stem}: ended before its tests"
            failed += 1
            continue
        counts = json.loads(file.read_text())
        passed, skipped = passed + counts["passed"], skipped + counts["skipped"]
        failed += failures(counts)
        for line in counts["optional"]:
            yield f"{file.stem}, optional, {line}"
    if skipped:
        yield f"{skipped} skipped"
    yield f"{passed} passed, {failed} failed"


def failures(counts: dict[str, int]) -> int:
    """Tests that failed, errors of fixtures among them."""
    return counts["failed"] + counts["error"]


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
