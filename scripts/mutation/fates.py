"""What became of changes of the contracts, kept in `results/mutants.jsonl` under a digest of all
that it depends on: a call that was cut off goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.mutation.forge_copy import ROOT, Fate

RESULTS = ROOT / "results" / "mutants.jsonl"

Change = tuple[str, str, str]
"""The file below `contracts/` (and the line or the function, where one was chosen), what stands
there, and what it becomes."""


def digest_of_sources() -> str:
    """What a change's fate depends on: the contracts, their tests, the settings."""
    digest = hashlib.sha256((ROOT / "foundry.toml").read_bytes())
    for folder in (ROOT / "contracts", ROOT / "tests" / "contracts"):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Fates:
    """The changes that were tried over these sources.

    Args:
        sources: their digest.
        path: the file.
    """

    sources: str
    path: Path = RESULTS

    def known(self, tests: str = "") -> dict[Change, Fate]:
        """What became of the changes that were tried with a selection of the tests; all tests where
        it is empty."""
        fates = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            value = json.loads(line)
            if (value["sources"], value["tests"]) == (self.sources, tests):
                fates[value["source"], value["old"], value["new"]] = Fate[value["fate"]]
        return fates

    def tried(self, change: Change, fate: Callable[[], Fate], tests: str = "") -> tuple[Fate, float]:
        """Try a change and write down what became of it.

        Returns:
            that, and the seconds it took.
        """
        start = time.monotonic()
        became = fate()
        seconds = round(time.monotonic() - start, 1)
        source, old, new = change
        line = {"sources": self.sources, "tests": tests, "source": source, "old": old, "new": new}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(line | {"fate": became.name, "seconds": seconds}) + "\n")
        return became, seconds
