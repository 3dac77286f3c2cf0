"""Pods that are killed at given points and started again, as long as a test wants."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.pods import Party

ROOT = Path(__file__).parents[2]


class RestartedPod:
    """One party's pod, started again each time that it was killed, with the next point to die at.

    Args:
        role: of the pod.
        party: whose.
        devnet: where.
        log: where its output goes.
        points: where it dies, in order (`tests.faults.killable_pod`).
    """

    def __init__(self, role: str, party: Party, devnet: Path, log: Path, points: Sequence[str]) -> None:
        self.role, self.party, self.devnet, self.log, self.points = role, party, devnet, log, points
        self.died: list[str] = []
        self._stopping = False
        self._process = self._start()
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def _start(self) -> subprocess.Popen[bytes]:
        point = [*self.points, "never"][len(self.died)]
        order = {
            "role": self.role,
            "home": str(self.party.home.settings.home),
            "devnet": str(self.devnet),
            "point": point,
        }
        with self.log.open("ab") as output:
            command = [sys.executable, "-m", "tests.faults.killable_pod", json.dumps(order)]
            return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)

    def _live(self) -> None:
        while self._process.wait() == -signal.SIGKILL and not self._stopping:
            self.died.append(self.points[len(self.died)])
            self._process = self._start()

    @property
    def lives(self) -> bool:
        """Whether it runs, or will again."""
        return self._thread.is_alive()

    def end(self) -> int:
        """Ask the last one to stop; its exit status."""
        self._stopping = True
        self._process.terminate()
        self._thread.join(60)
        return self._process.wait(10)


@contextmanager
def restarted_pods(
    devnet: Path, log: Path, points: Mapping[str, Sequence[str]], **parties: Party
) -> Iterator[dict[str, RestartedPod]]:
    """Run killable pods, each with its points, as long as the block lasts."""
    with ExitStack() as stack:
        started = {role: RestartedPod(role, party, devnet, log, points[role]) for role, party in parties.items()}
        for one in started.values():
            stack.callback(one.end)
        yield started
