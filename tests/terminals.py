"""Walks: the commands that a document shows after a prompt, run as they stand there.

Commands stand in ```console blocks after a prompt, the name of a terminal and `$`; a line that ends
in a backslash goes on. Each prompt is one bash; words in capitals (`DATASET`, `MODEL`, `JOB`) are
replaced by what the commands printed.
"""

from __future__ import annotations

import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

from tests.limits import LIMIT_S
from tests.source_text import ROOT, blocks_of

PROMPT = re.compile(r"^(\w+)\$ (.+)$")
PRINTED = re.compile(r"^(dataset|model|job|panel|address) +(0x[0-9a-fA-F]{40,64})|^()(baf\w{50,})$", re.MULTILINE)
WORDS = {"dataset": "DATASET", "model": "MODEL", "job": "JOB", "panel": "PANEL", "": "CID"}

Walk = list[tuple[str, str]]
"""Commands as (terminal, command)."""


def walk_of(document: Path) -> Walk:
    """The commands that a document shows after prompts."""
    text = "\n".join(blocks_of(document.read_text(), "console")).replace("\\\n", "")
    return [(match[1], match[2]) for line in text.splitlines() if (match := PROMPT.match(line))]


class Terminal:
    """A bash that is given one line after another."""

    def __init__(self, wrapper: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        self._bash = subprocess.Popen(
            [*wrapper, "bash", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
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

    def run(self, command: str) -> tuple[int | None, str]:
        """Give it a line; its exit code and what it printed; no code where it ended or said nothing
        for long."""
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{command}\necho END-OF-COMMAND $?\n")
        self._bash.stdin.flush()
        printed = ""
        while (line := self._next()) is not None:
            self.log += line
            if line.startswith("END-OF-COMMAND "):
                return int(line.split()[1]), printed
            printed += line
        return None, printed

    def _next(self) -> str | None:
        """The next line; None where the terminal has ended or says nothing."""
        try:
            return self._lines.get(timeout=LIMIT_S)
        except queue.Empty:
            return None

    def close(self) -> None:
        """End what it left running, and the bash itself."""
        assert self._bash.stdin is not None
        self._bash.stdin.write("kill $(jobs -p) 2>/dev/null; wait; exit\n")
        self._bash.stdin.close()
        try:
            self._bash.wait(10)
        except subprocess.TimeoutExpired:  # a command of the walk still runs in the foreground
            os.killpg(self._bash.pid, signal.SIGKILL)
            self._bash.wait()
        self._reader.join(30)
        assert self._bash.stdout is not None
        self._bash.stdout.close()


class Walkers:
    """The terminals of a walk, and the words that their commands have printed so far."""

    def __init__(self, terminals: dict[str, Terminal]) -> None:
        self.terminals = terminals
        self.words: dict[str, str] = {}

    def walk(self, commands: Walk) -> None:
        """Run the commands in order, and stop at the first that fails."""
        for name, shown in commands:
            command = shown.replace("devnet up", "devnet up --port 0")
            for word, meaning in self.words.items():
                command = re.sub(rf"\b{word}\b", meaning, command)
            code, printed = self.terminals[name].run(command)
            others = "".join(f"\n{other}: {terminal.log[-2000:]}" for other, terminal in self.terminals.items())
            assert code == 0, f"{name}$ {command} gave {code}\n{printed}{others}"
            self._learn(name, printed)

    def _learn(self, name: str, printed: str) -> None:
        """Take the words of later commands from what a terminal has printed."""
        for label, number, _, cid in PRINTED.findall(printed):
            if label != "address":
                self.words.setdefault(WORDS[label], number or cid)
            elif name == "scientist":
                self.words.setdefault("SCIENTIST", number)
            elif name == "verifiers":
                self.words.setdefault(f"VERIFIER{sum(word.startswith('VERIFIER') for word in self.words) + 1}", number)
        if second := re.search(r"^IPFS node 2 +(\S+)$", printed, re.MULTILINE):
            self.words["NODE2"] = second[1]


def clone_at(folder: Path) -> dict[str, str]:
    """Make a folder look like a clone that was set up, so that what a walk writes stays out of this
    one.

    Returns:
        the environment of its terminals.
    """
    for name in ("fitchain", "pod", "cli", "examples", "node_modules", ".tools"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    binaries = folder / "bin"
    binaries.mkdir()
    for name, arguments in {"fitchain": " -m fitchain.cli", "python": ""}.items():
        (binaries / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{arguments} "$@"\n')
        (binaries / name).chmod(0o755)
    for name in ("tmp", "walk"):
        (folder / name).mkdir(exist_ok=True)
    return {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": str(ROOT),
        "FITCHAIN_DEVNET": str(folder / "devnet"),
    }


@contextmanager
def terminals_at(
    folder: Path, commands: Walk, wrappers: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Iterator[Walkers]:
    """Open a terminal for each prompt of some commands; at the end the devnet is taken down.

    Args:
        folder: becomes like a clone.
        commands: what will be walked.
        wrappers: by terminal, the command in which its bash runs.
    """
    environment = clone_at(folder)
    down = [str(folder / "bin" / "fitchain"), "devnet", "down"]
    with ExitStack() as stack:
        stack.callback(subprocess.run, down, env=environment, cwd=folder, check=True, capture_output=True)
        terminals = {}
        for name in dict(commands):
            terminals[name] = Terminal(wrappers.get(name, ()), folder, environment)
            stack.callback(terminals[name].close)
        yield Walkers(terminals)
