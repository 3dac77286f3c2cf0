"""The two-terminal walk: every command that the README shows, run as it stands there, the scientist unable to read the owner's data.

Commands stand in ```console blocks after the prompts `owner$` and `scientist$`. Each prompt is one bash; words in capitals
(`DATASET`, `MODEL`, `JOB`) are replaced by the ids that the commands printed.
"""

from __future__ import annotations

import os
import queue
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fitchain.pod.compute.dataset import Table
from tests.without_folder import can_confine

ROOT = Path(__file__).parent.parent
PROMPT = re.compile(r"^(owner|scientist)\$ (.+)$")
LIMIT_S = 120
PRINTED = re.compile(r"^(dataset|model|agreement) +(0x[0-9a-f]{64})", re.M)
WORDS = {"dataset": "DATASET", "model": "MODEL", "agreement": "JOB"}


def walk() -> list[tuple[str, str]]:
    """The README's commands as (terminal, command)."""
    blocks = re.findall(r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    found = [match.groups() for block in blocks for line in block.splitlines() if (match := PROMPT.match(line))]
    assert found, "the README shows no walk"
    return [(str(terminal), str(command)) for terminal, command in found]


class Terminal:
    """A bash that is given one line after another."""

    def __init__(self, wrapper: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._bash = subprocess.Popen(
            [*wrapper, "bash", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.log = ""

    def _read(self) -> None:
        assert self._bash.stdout is not None
        for line in self._bash.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def run(self, command: str) -> tuple[int, str]:
        """Give it a line; its exit code and what it printed."""
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{command}\necho END-OF-COMMAND $?\n")
        self._bash.stdin.flush()
        printed = ""
        while (line := self._lines.get(timeout=LIMIT_S)) is not None:
            self.log += line
            if line.startswith("END-OF-COMMAND "):
                return int(line.split()[1]), printed
            printed += line
        raise AssertionError(f"the terminal ended at {command!r}: {printed}")

    def close(self) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write("kill $(jobs -p) 2>/dev/null; wait; exit\n")
        self._bash.stdin.close()
        self._bash.wait(30)
        self._reader.join(30)
        assert self._bash.stdout is not None
        self._bash.stdout.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like the clone, so that what the walk writes stays out of it."""
    for name in ("fitchain", "pod", "cli", "examples", "node_modules"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name, arguments in {"fitchain": " -m fitchain.cli", "python": ""}.items():
        (binaries / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{arguments} "$@"\n')
        (binaries / name).chmod(0o755)
    (tmp_path / "tmp").mkdir()
    values = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONPATH": str(ROOT),
        "FITCHAIN_DEVNET": str(tmp_path / "devnet"),
    }
    yield values
    subprocess.run(
        [str(binaries / "fitchain"), "devnet", "down"], env=values, cwd=tmp_path, check=True, capture_output=True
    )


def test_the_walk_runs_as_it_is_shown(folder: Path, environment: dict[str, str]) -> None:
    if not can_confine():
        pytest.skip("this kernel has no Landlock: nothing can keep a root process out of a folder")
    private = folder / "walk" / "owner" / "data"
    for path in (private, folder / "walk" / "scientist", folder / "devnet", folder / "result"):
        path.mkdir(parents=True)
    confine = [sys.executable, str(ROOT / "tests" / "without_folder.py"), str(private)]
    terminals = {"owner": Terminal([], folder, environment), "scientist": Terminal(confine, folder, environment)}
    ids: dict[str, str] = {}
    try:
        assert terminals["scientist"].run(f"ls {private}")[0] != 0
        for name, command in walk():
            command = command.replace("devnet up", "devnet up --port 0")
            for word, id in ids.items():
                command = re.sub(rf"\b{word}\b", id, command)
            code, printed = terminals[name].run(command)
            assert code == 0, f"{name}$ {command}\n{printed}\n{terminals['owner'].log[-2000:]}"
            for label, id in PRINTED.findall(printed):
                ids.setdefault(WORDS[label], id)
    finally:
        for terminal in terminals.values():
            terminal.close()
    assert_no_record_leaves(folder, private, terminals)


def assert_no_record_leaves(folder: Path, private: Path, terminals: dict[str, Terminal]) -> None:
    """Search the store, the chain, the logs, both journals and the scientist's folders for records, as text and as bytes."""
    table = Table.read(private / "breast_cancer.csv", drop=("patient",), target="diagnosis")
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
