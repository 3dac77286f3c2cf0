"""A copy of the contracts that may be broken: one change at a time, and whether forge's tests
notice it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from fitchain.pod.ports.chain import node_tools

ROOT = Path(__file__).resolve().parent.parent.parent
COPIED = ("contracts", "tests/contracts", "foundry.toml", "scripts/solc", "snapshots")
LIMIT_S = 1800
"""Of processor time, so that a change is not taken for an endless one on a machine that is busy."""
PRICES = {"FORGE_SNAPSHOT_CHECK": "false"}
"""A change that costs other gas is not noticed by that alone."""
SLOW = "^(Invariants|StabilityTest|HonestTest|DrawTest)$"
"""Test contracts that take more time than all others; they are asked last."""


class Fate(Enum):
    """What became of a change."""

    NOTICED = "noticed"
    SURVIVED = "SURVIVED"
    STILLBORN = "does not compile"


@dataclass(frozen=True)
class ForgeCopy:
    """What forge needs of the project, in a folder of its own.

    Args:
        folder: the copy.
    """

    folder: Path

    @classmethod
    @contextmanager
    def made(cls) -> Iterator[ForgeCopy]:
        """Copy the contracts, their tests and the settings; the folder is deleted afterwards."""
        with tempfile.TemporaryDirectory(prefix="fitchain-mutation-") as name:
            folder = Path(name)
            for item in COPIED:
                source, target = ROOT / item, folder / item
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, target)
                else:
                    shutil.copy2(source, target)
            (folder / "node_modules").symlink_to(ROOT / "node_modules")
            yield cls(folder)

    def fate(self, source: str, text: str, tests: str = "", test: str = "") -> Fate:
        """Run forge's tests over a changed file, which is put back afterwards.

        Args:
            source: the file, below `contracts/`.
            text: its changed text.
            tests: pattern of the test contracts to run; all where it is empty.
            test: name of the one test of these to run; all where it is empty.

        Raises:
            RuntimeError: forge neither compiled nor tested, for another reason than the change.
        """
        path = self.folder / "contracts" / source
        before = path.read_text()
        path.write_text(text)
        try:
            if tests:
                one = ["--match-test", rf"^{test}\b"] if test else []
                return self._fate(["--match-contract", f"^({tests})$", *one])
            quick = self._fate(["--no-match-contract", SLOW])
            return self._fate(["--match-contract", SLOW]) if quick is Fate.SURVIVED else quick
        finally:
            path.write_text(before)

    def _fate(self, selection: list[str]) -> Fate:
        """Run the selected tests over what stands in the copy."""
        done = self._forge(selection)
        if done.returncode == -signal.SIGXCPU:
            return Fate.NOTICED
        if "Compiler run failed" in done.stdout + done.stderr:
            return Fate.STILLBORN
        if "tests passed" not in done.stdout:
            raise RuntimeError(f"forge did not come to the tests\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return Fate.SURVIVED if done.returncode == 0 else Fate.NOTICED

    def _forge(self, selection: list[str]) -> subprocess.CompletedProcess[str]:
        limited = ["sh", "-c", f'ulimit -S -t {LIMIT_S} && exec "$@"', "sh"]
        command = [*limited, str(node_tools.binary("forge")), "test", "--fail-fast", *selection]
        environment = os.environ | node_tools.variables() | PRICES
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
