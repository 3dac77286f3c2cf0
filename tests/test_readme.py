"""The two-terminal walk: every command that the README shows, run as it stands there, the scientist
unable to read the owner's data."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from fitchain.pod.compute.dataset import ReadingTerms, Table
from tests.source_text import ROOT
from tests.terminals import Terminal, terminals_at, walk_of
from tests.without_folder import can_confine


@pytest.mark.landlock
@pytest.mark.long
def test_the_walk_runs_as_it_is_shown(tmp_path: Path) -> None:
    if not can_confine():
        pytest.skip("this kernel has no Landlock: nothing can keep a root process out of a folder")
    private = tmp_path / "walk" / "owner" / "data"
    for path in (private, tmp_path / "walk" / "scientist", tmp_path / "devnet", tmp_path / "result"):
        path.mkdir(parents=True)
    confine = [sys.executable, str(ROOT / "tests" / "without_folder.py"), str(private)]
    commands = walk_of(ROOT / "README.md")
    with terminals_at(tmp_path, commands, wrappers={"scientist": confine}) as walkers:
        assert walkers.terminals["scientist"].run(f"ls {private}")[0] != 0
        walkers.walk(commands)
        assert re.search(r"^next +fitchain proof verify \S+\.safetensors", walkers.terminals["scientist"].log, re.M)
    assert_no_record_leaves(tmp_path, private, walkers.terminals)


def assert_no_record_leaves(folder: Path, private: Path, terminals: dict[str, Terminal]) -> None:
    """Search the store, the chain, the logs, both journals and the scientist's folders for records,
    as text and as bytes."""
    table = Table.read(private / "breast_cancer.csv", ReadingTerms(drop=("patient",), target="diagnosis"))
    lines = (private / "breast_cancer.csv").read_bytes().splitlines()[1:]
    needles = [b",".join(line.split(b",")[1:4]) for line in lines] + [line.split(b",")[0] for line in lines[:50]]
    needles += [table.record(row)[32:56] for row in range(table.count)]
    places = (folder / part for part in ("devnet", "walk/scientist", "result"))
    searched = [path for place in places for path in place.rglob("*") if path.is_file()]
    searched += [*(folder / "walk" / "owner").glob("*.db*")]
    assert len(searched) > 20 and any(path.name == "chain.json" for path in searched)
    said = [terminal.log.encode() for terminal in terminals.values()]
    for data in (*said, *(path.read_bytes() for path in searched if "_test" not in path.name)):
        assert not [needle for needle in needles if needle in data]
