"""Turns: what anyone may do to bring an audit on: draw its verifiers, and take the way out of a
phase that is over.

All pods of an audit could send the same transaction, and all but one would pay for nothing; so each
waits for its turn: the owner goes first, who asked for the audit next, then the seats in order. The
draw alone is another's at first: for some blocks only the nonce of who asked draws.

Whether a step is due is said by the newest block's number and time, since that is what would take
it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import Audit, Outcome, Phase
from fitchain.pod.ports.chain import Block, Receipt
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import Reverted
from fitchain.pod.values.ids import AuditRef

TURN_S = 15.0
TURNS_OF_WINDOW = 64
"""A turn is no longer than this part of an audit's window, so that the last one comes in good time.
"""
OWNER_RANK, ASKER_RANK, FIRST_SEAT_RANK = 0, 1, 2
_STEPS: dict[str, type[history.AuditDrawn | history.HashesFixed | history.AuditAdvanced]] = {
    "draw": history.AuditDrawn,
    "fix": history.HashesFixed,
    "advance": history.AuditAdvanced,
}
"""What the history says of each step."""
SERVED_BLOCKS = 8191
"""So long the chain gives a block's hash to a contract (EIP-2935)."""
FIX_BLOCKS = 4000
"""From so many blocks on a draw that nobody could make has its hashes kept."""


class Turns:
    """The audits that a pod brings on.

    Args:
        home: opened with its key.
        turn_s: seconds that each party is left to itself.
        fix_blocks: blocks after which the hashes of a draw that nobody made are kept.
    """

    def __init__(self, home: Home, turn_s: float = TURN_S, fix_blocks: int = FIX_BLOCKS) -> None:
        self.home, self.turn_s, self.fix_blocks = home, turn_s, fix_blocks
        self._due_since: dict[tuple[AuditRef, str], tuple[object, float]] = {}

    def bring_on(self, audit: Audit, rank: int, nonce: Digest | None = None) -> bool:
        """Draw for an audit or advance it, if that is due and it is this pod's turn.

        Args:
            audit: as it was read.
            rank: how many go before this pod.
            nonce: the asker's, where this pod asked for the audit.

        Returns:
            whether it was done here.
        """
        latest = self.home.chain.block("latest")
        if audit.may_advance(latest.timestamp):
            return self.is_turn(audit, "advance", rank) and self._send(audit, "advance", self.home.audits.advance)
        if not audit.may_draw(latest.timestamp):
            return False
        if audit.phase is not Phase.AWAITING:
            return self.is_turn(audit, "draw", rank) and self._send(audit, "draw", self.home.audits.draw)
        return self._draw_first(audit, rank, nonce, latest)

    def _draw_first(self, audit: Audit, rank: int, nonce: Digest | None, latest: Block) -> bool:
        """Draw for an audit that awaits it: in the asker's turn by its nonce alone, after it as
        anybody, by rank."""
        last_of_turn = audit.opened_block + self.home.chain.constants.turn_blocks
        if latest.number <= (audit.opened_block if nonce is not None else last_of_turn):
            return False
        # With the nonce nobody else can draw, and sent late it is as good as none: the contract
        # ignores it then.
        anyone = nonce is None or latest.number > last_of_turn
        if anyone and not self.is_turn(audit, "draw", rank):
            return False
        if latest.number - audit.opened_block > self.fix_blocks:
            kept = zip(self.home.audits.fixed_hashes(audit.ref), (audit.opened_block, last_of_turn), strict=True)
            lacking = [latest.number - number for hash, number in kept if hash == ZERO]
            if any(0 < age <= SERVED_BLOCKS for age in lacking):
                return self._send(audit, "fix", self.home.audits.fix)
            if any(age > SERVED_BLOCKS for age in lacking):
                return False  # nobody can draw any more: the end of the wait is the way out
        return self._send(audit, "draw", self.home.audits.draw, ZERO if nonce is None else nonce)

    def is_turn(self, audit: Audit, step: str, rank: int) -> bool:
        """Whether what is due has been due for so long that it is this rank's turn.

        Args:
            audit: as it stands.
            step: what is due.
            rank: how many go before this pod.
        """
        now, position = time.monotonic(), (audit.phase, audit.round, audit.deadline)
        before, since = self._due_since.get((audit.ref, step), (None, now))
        if before != position:
            self._due_since[audit.ref, step], since = (position, now), now
        return now - since >= rank * min(self.turn_s, audit.window / TURNS_OF_WINDOW)

    def _send(self, audit: Audit, step: str, call: Callable[..., Receipt], *args: Any) -> bool:
        receipt = send(self.home, audit, call, *args)
        if receipt is None:
            return False
        self.home.journal.record(audit.ref, _STEPS[step](audit.phase.name, audit.round, **history.paid(receipt)))
        return True


def send(home: Home, audit: Audit, step: Callable[..., Receipt], *args: Any) -> Receipt | None:
    """Send a step of an audit; None where the chain refuses it because somebody else has brought
    the audit on meanwhile.

    Args:
        home: whose connection sends.
        audit: as it was read when the step was chosen.
        step: a call of `Audits`.
        args: what it takes besides the audit's name.

    Raises:
        Reverted: the chain refuses, and the audit stands where it stood.
    """
    try:
        return step(audit.ref, *args)
    except Reverted:
        # By the newest block, which refused: what has too few confirmations yet may be what brought
        # it on.
        if home.audits.read(audit.ref, "latest") == audit:
            raise
        return None


def describe_verdict(home: Home, audit: Audit) -> str:
    """Put an audit's verdict into the job's history, once.

    Returns:
        the verdict in words; empty where there is none, or it is told already.
    """
    verdict, journal = audit.verdict.name, home.journal
    if audit.verdict == Outcome.NONE:
        return ""
    reached = history.VerdictReached(verdict)
    is_written = journal.happened(audit.ref, history.VerdictReached)
    if is_written and journal.last(audit.ref, history.VerdictReached) == reached:
        return ""  # asked often: reading costs less than writing
    return f"audited: {verdict.lower()}" if journal.record(audit.ref, reached, once=verdict) else ""
