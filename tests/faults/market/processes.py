"""The pods of a market as real processes, and commands beside them: started, killed, stopped, and
told apart by how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from fitchain.pod.values.errors import Unusable
from tests.faults.market.parties import Market
from tests.faults.market.plan import role_of
from tests.pods import Party, PodProcess

AIMED = ("-m", "tests.faults.aimed_command")
READY = b"Ctrl-C stops"
OPTIONS = {"scientist": ("--auto-accept",)}


def aimed(party: Party, point: str) -> Party:
    """A party whose next process ends at a point, if there is one."""
    return replace(party, side=replace(party.side, program=(*AIMED, point))) if point else party


@dataclass
class Pods:
    """The pods of a market, each started again however it ended.

    Args:
        market: whose.
        stop_s: how long one may take to stop when it is asked to.
        hits: how many pods ended at the point that they were aimed at, by point.
        misled: how many pods did not start since the node lied to them: told of another chain, or
            of other contracts, a pod that starts says so and ends.
        died: pods that ended by themselves: what is never to happen.
    """

    market: Market
    stop_s: float
    hits: Counter[str] = field(default_factory=Counter)
    misled: int = 0
    died: list[str] = field(default_factory=list)
    _running: dict[str, PodProcess] = field(default_factory=dict)
    _aims: dict[str, str] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)
    _said: dict[str, int] = field(default_factory=dict)
    _stopped: set[str] = field(default_factory=set)

    def start(self, name: str, aim: str = "") -> None:
        """Start a party's pod."""
        log = self.market.log(name)
        self._said[name] = log.stat().st_size if log.exists() else 0
        self._running[name] = pod_process(self.market, name, aim)
        self._aims[name], self._since[name] = aim, time.monotonic()

    def is_ready(self, name: str) -> bool:
        """Whether its present process has said that it runs: it has its home's lock by then."""
        log = self.market.log(name)
        return name in self._running and READY in log.read_bytes()[self._said[name] :]

    def is_up(self, name: str) -> bool:
        """Whether a party's pod was started and not taken away."""
        return name in self._running

    def up_since(self, name: str) -> float:
        """When its present process was started; never, where there is none."""
        return self._since[name] if name in self._running else float("inf")

    def kill(self, name: str) -> bool:
        """End a pod as a power cut would; whether it ran."""
        if (pod := self._running.get(name)) is None:
            return False
        self._stopped.discard(name)
        ended = pod.process.poll()
        if ended is None:
            pod.kill()
        else:
            self._ended(name, ended)
        del self._running[name]
        return ended is None

    def halt(self, name: str) -> bool:
        """Let a pod stand still; whether it ran."""
        if (pod := self._running.get(name)) is None or pod.process.poll() is not None or name in self._stopped:
            return False
        self._stopped.add(name)
        os.kill(pod.process.pid, signal.SIGSTOP)
        return True

    def go_on(self, name: str) -> None:
        """Let a pod that stands still go on."""
        if name in self._stopped:
            self._stopped.remove(name)
            os.kill(self._running[name].process.pid, signal.SIGCONT)

    def tend(self) -> None:
        """Start again whoever ended."""
        for name, pod in list(self._running.items()):
            if pod.process.poll() is not None:
                self._stopped.discard(name)
                self._ended(name, pod.process.returncode)
                self.start(name)

    def _ended(self, name: str, status: int) -> None:
        lied_to = self.market.node.lied_at > self._since[name]
        if status == -signal.SIGKILL and self._aims[name]:
            self.hits[f"{role_of(name)} {self._aims[name]}"] += 1
        elif status == Unusable.exit_code and lied_to and not self.is_ready(name):
            self.misled += 1
        else:
            self.died.append(f"{name} ended with status {status}: {last_lines(self.market.log(name))}")

    def end(self) -> list[str]:
        """Ask all to stop; those that do not, or not well."""
        wrong = list[str]()
        for name in list(self._running):
            self.go_on(name)
            self._running[name].process.terminate()
        deadline = time.monotonic() + self.stop_s
        for name, pod in self._running.items():
            try:
                status = pod.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pod.kill()
                wrong.append(f"{name} does not stop when asked to: {last_lines(self.market.log(name))}")
            else:
                if status and not (status == -signal.SIGKILL and self._aims[name]):
                    wrong.append(f"{name} stopped with status {status}: {last_lines(self.market.log(name))}")
        self._running.clear()
        return wrong

    def kill_all(self) -> None:
        """Leave none behind, whatever happened."""
        for pod in self._running.values():
            pod.process.kill()
            pod.process.wait()
        self._running.clear()


def pod_process(market: Market, name: str, aim: str = "", log: Path | None = None) -> PodProcess:
    """A pod of a party, or one more of them."""
    role = role_of(name)
    return PodProcess(aimed(market.parties[name], aim), log or market.log(name), *OPTIONS.get(role, ()))


def last_lines(path: Path, count: int = 3) -> str:
    """The end of a log, in a line."""
    lines = path.read_text(errors="replace").strip().splitlines()[-count:] if path.exists() else []
    return " / ".join(line[:200] for line in lines)
