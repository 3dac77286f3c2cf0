"""Requests as a person makes them: by the command, again where that failed, and as often as it
takes, until the journal knows the request; from there on the pod sends it.

Every request has a price of its own, by which it is known again.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from fitchain.pod.values.amounts import amount_text
from tests.chain_fixtures import ETHER
from tests.faults.market.journals import rows_of
from tests.faults.market.parties import Market
from tests.faults.market.plan import OWNERS, Fault
from tests.faults.market.processes import aimed, last_lines

FEE, SEAT_STAKE = 1, 20
RECIPE = {"steps": 1600, "batch_size": 8, "segment_steps": 100, "group_leaves": 4, "learning_rate": 0.01}
"""Some seconds of training: 17 leaves, four anchors and one leaf over."""
AGAIN_S, LIMIT_S = 4.0, 90.0
EXPECTED = frozenset({0, 3})
"""How a request may end while chain and store are disturbed: done, or could not be done now."""


@dataclass
class Request:
    """One request and its commands.

    Args:
        number: from 0.
        scientist, owner: between whom.
        aim: where its first command ends by SIGKILL; empty: nowhere.
        lives_s: how long its first command may live; 0: as long as it wants.
        tries: commands so far.
        killed: how many of them ended by SIGKILL.
        kept: its journal knows it.
        wrong: what is never to happen.
    """

    number: int
    scientist: str
    owner: str
    aim: str = ""
    lives_s: float = 0.0
    tries: int = 0
    killed: int = 0
    kept: bool = False
    wrong: list[str] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _due: float = 0.0
    _began: float = 0.0

    @property
    def price(self) -> int:
        """FIT in base units."""
        return (12 + self.number) * ETHER + self.number

    @property
    def audited(self) -> bool:
        """Whether a verifier audits it."""
        return self.number % 3 != 1

    @property
    def done(self) -> bool:
        """Whether nobody needs to ask again."""
        return self._process is None and self.kept

    def tend(self, market: Market) -> None:
        """Ask, or ask again once a command has ended."""
        if self._process is None:
            if not self.kept and time.monotonic() >= self._due:
                self._ask(market)
            return
        if (status := self._process.poll()) is None:
            if self.tries == 1 and 0 < self.lives_s < time.monotonic() - self._began:
                self._process.kill()
            elif time.monotonic() - self._began > LIMIT_S:
                self._process.kill()
                self.wrong.append(f"request {self.number} hangs: {last_lines(self._log(market))}")
            return
        self._process, self._due = None, time.monotonic() + AGAIN_S
        self._ended(market, status)

    def _ended(self, market: Market, status: int) -> None:
        if status == -signal.SIGKILL:
            self.killed += 1
        elif status not in EXPECTED:
            self.wrong.append(f"request {self.number} ended with status {status}: {last_lines(self._log(market))}")
        self.kept = status == 0 or (status == -signal.SIGKILL and self.is_kept(market))

    def is_kept(self, market: Market) -> bool:
        """Whether the scientist's journal knows it."""
        home = market.folder / self.scientist
        return any(
            json.loads(row["terms"])["price"] == self.price for row in rows_of(home, "SELECT terms FROM requests")
        )

    def _ask(self, market: Market) -> None:
        party = aimed(market.parties[self.scientist], "" if self.tries else self.aim)
        self.tries, self._began = self.tries + 1, time.monotonic()
        with self._log(market).open("ab") as output:
            self._process = subprocess.Popen(
                party.side.command("job", "request", *self._options(market)),
                env=party.side.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def give_up(self) -> None:
        """End what still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _log(self, market: Market) -> Path:
        return market.log(f"request-{self.number}")

    def _options(self, market: Market) -> list[str]:
        offer = market.offers[self.scientist, self.owner]
        recipe = market.folder / "recipe.toml"
        recipe.write_text("".join(f"{name} = {value}\n" for name, value in RECIPE.items()))
        options: dict[str, object] = {"dataset": offer.dataset, "model": offer.model, "recipe": recipe}
        options |= {"price": amount_text(self.price), "bond": amount_text(self.price)}
        options |= {f"{name}-window": "2h" for name in ("acceptance", "training", "dispute")}
        if self.audited:
            options |= {"verifiers": 1, "segments": 2, "panel": market.panel, "mode": "sampled"}
            options |= {"fee-per-seat": FEE, "seat-stake": SEAT_STAKE, "audit-window": "15m", "audit-wait": "1d"}
        return ["--no-rehearsal", *(str(part) for name, value in options.items() for part in (f"--{name}", value))]


def request_of(fault: Fault) -> Request:
    """The request that a plan names: each scientist asks each owner in turn."""
    return Request(fault.number, fault.who, OWNERS[fault.number // 2 % len(OWNERS)], fault.aim, fault.lasts_s)
