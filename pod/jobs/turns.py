"""Turns: what anyone may do to bring an audit on: draw its verifiers, and take the way out of a
phase that is over.

All pods of an audit could send the same transaction, and all but one would pay for nothing; so each
waits for its turn: the owner goes first, the scientist next, then the seats in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import Audit, Outcome, Phase
from fitchain.pod.ports.chain import Receipt
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import Reverted

TURN_S = 15.0
TURNS_OF_WINDOW = 64
"""A turn is no longer than this part of an audit's window, so that the last one comes in good time.
"""
OWNER_RANK, SCIENTIST_RANK, FIRST_SEAT_RANK = 0, 1, 2


class Turns:
    """The audits that a pod brings on.

    Args:
        home: opened with its key.
        turn_s: seconds that each party is left to itself.
    """

    def __init__(self, home: Home, turn_s: float = TURN_S) -> None:
        self.home, self.turn_s = home, turn_s
        self._seen: dict[Digest, tuple[tuple[Phase, int, int], float]] = {}

    def bring_on(self, audit: Audit, rank: int) -> bool:
        """Draw or advance an audit, if that is due and it is this pod's turn.

        Args:
            audit: as it was read.
            rank: how many go before this pod.

        Returns:
            whether it was done here.
        """
        advances = audit.may_advance(self.home.chain.block("latest").timestamp)
        if not advances and audit.phase != Phase.AWAITING:
            return False
        if not self._is_turn(audit, rank):
            return False
        step = "advance" if advances else "draw"
        receipt = send(self.home, audit, self.home.audits.advance if advances else self.home.audits.draw)
        if receipt is not None:
            self.home.journal.record(
                audit.id,
                f"audit_{step}",
                phase=audit.phase.name,
                round=audit.round,
                transaction=str(receipt.transaction),
                gas=receipt.gas_used,
            )
        return receipt is not None

    def _is_turn(self, audit: Audit, rank: int) -> bool:
        now, position = time.monotonic(), (audit.phase, audit.round, audit.challenge_block)
        if self._seen.get(audit.id, (None, now))[0] != position:
            self._seen[audit.id] = position, now
        return now - self._seen[audit.id][1] >= rank * min(self.turn_s, audit.window / TURNS_OF_WINDOW)


def send(home: Home, audit: Audit, step: Callable[..., Receipt], *args: Any) -> Receipt | None:
    """Send a step of an audit; None where the chain refuses it because somebody else has brought
    the audit on meanwhile.

    Args:
        home: whose connection sends.
        audit: as it was read when the step was chosen.
        step: a call of `Audits`.
        args: what it takes besides the agreement's id.

    Raises:
        Reverted: the chain refuses, and the audit stands where it stood.
    """
    try:
        return step(audit.id, *args)
    except Reverted:
        if home.audits.read(audit.id) == audit:
            raise
        return None


def describe_verdict(home: Home, audit: Audit) -> str:
    """Put an audit's verdict into the job's history, once.

    Returns:
        the verdict in words; empty where there is none, or it is told already.
    """
    verdict = audit.verdict.name
    if audit.verdict == Outcome.NONE or not home.journal.record(audit.id, "verdict", once=verdict, verdict=verdict):
        return ""
    return f"audited: {verdict.lower()}"
