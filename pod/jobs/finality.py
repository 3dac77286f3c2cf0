"""Finality: what the chain has said for so long that no reorganisation undoes it.

Nothing is deleted, and nothing marked as over for good, for one reading of the chain (protocol,
section 8): it rests on the state of a block that lies deep enough below the newest, of which it is
known by hash that it is an ancestor of the newest, and on that of the newest itself; both looked at
twice, below different newest blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import Phase, State
from fitchain.pod.ports.chain.base import FINAL_BLOCKS
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.heads import Heads
from fitchain.pod.values.errors import NodeRefused
from fitchain.pod.values.ids import AgreementId, AuditRef

LOOKS = 2
"""Looks that must agree, where reorganisations are reckoned with."""
Over = Callable[[Chain, int], bool]
"""Whether something is over by the state of a block, and its time in seconds since 1970."""


def overlapping(next_block: int | None) -> int | None:
    """From which block on events are read, where all before `next_block` were: some blocks twice,
    since a node may know of a block whose logs it does not give yet, or give it up for another."""
    return None if next_block is None else max(0, next_block - FINAL_BLOCKS)


class Finality:
    """What is over for good, of one pod.

    Args:
        home: opened.
        final_blocks: how many blocks must lie on an end; 0 where the chain is never reorganised,
            which takes one look.
    """

    def __init__(self, home: Home, final_blocks: int = FINAL_BLOCKS) -> None:
        self.home = home
        self._heads = Heads(final_blocks)
        self.is_newer = False
        """Whether the newest block at the last look is another than at the one before."""
        self._looks: dict[tuple[AgreementId | AuditRef, str], list[int]] = {}
        self._changing = threading.Lock()

    def look(self) -> bool:
        """Look at the newest blocks.

        Returns:
            whether some that were known are not of the chain any more.

        Raises:
            NodeUnreachable: the node does not answer.
        """
        before, self._heads = self._heads.newest, self._heads.look(self.home.chain.node)
        self.is_newer = self._heads.newest != before
        return self._heads.reorganised

    @property
    def time(self) -> int:
        """The chain's time as no reorganisation undoes it, in seconds since 1970; 0 while it is
        not known."""
        return 0 if (final := self._heads.final) is None else final.timestamp

    def job_is_over(self, id: AgreementId) -> bool:
        """Whether an agreement has ended for good, and with it its own audit."""

        def over(chain: Chain, now: int) -> bool:
            agreement, audit = chain.call_many([("Agreements", "agreement", (id,)), ("Audits", "audit", (id, 0))])
            return State(agreement["state"]).ended and Phase(audit["phase"]) in (Phase.NONE, Phase.CONCLUDED)

        return self._is_final(id, "job", over)

    def job_is_gone(self, id: AgreementId) -> bool:
        """Whether the chain took an agreement back for good. One that is not there yet is not gone:
        the blocks by which this is told come after all that this home ever sent."""

        def gone(chain: Chain, now: int) -> bool:
            is_there = State(chain.call("Agreements", "agreement", id)["state"]) is not State.NONE
            return not is_there and chain.has_all_sent()

        return self._is_final(id, "gone", gone)

    def seat_is_gone(self, ref: AuditRef) -> bool:
        """Whether an audit that the chain has not, or not any more, will never come again: its
        question was taken back, or is never consented to, or its job ended without it. As
        `job_is_gone`."""

        def gone(chain: Chain, now: int) -> bool:
            id, ordinal = ref.agreement, ref.ordinal
            calls = [("Audits", "audit", (id, ordinal)), ("Agreements", "agreement", (id,))]
            audit, agreement = chain.call_many(calls)
            if Phase(audit["phase"]) is not Phase.NONE or not chain.has_all_sent():
                return False
            if not ordinal:
                return State(agreement["state"]).ended
            asked = chain.call("Agreements", "asking", id, ordinal)
            return not asked["requestBlock"] or _is_unanswered(asked, now)

        return self._is_final(ref, "seat", gone)

    def audit_is_over(self, ref: AuditRef) -> bool:
        """Whether an audit is concluded for good."""

        def over(chain: Chain, now: int) -> bool:
            audit = chain.call("Audits", "audit", ref.agreement, ref.ordinal)
            return Phase(audit["phase"]) is Phase.CONCLUDED

        return self._is_final(ref, "audit", over)

    def audit_is_drawn(self, ref: AuditRef) -> bool:
        """Whether an audit has got its first verifiers for good, or has ended without."""

        def drawn(chain: Chain, now: int) -> bool:
            audit = chain.call("Audits", "audit", ref.agreement, ref.ordinal)
            return Phase(audit["phase"]) not in (Phase.NONE, Phase.AWAITING)

        return self._is_final(ref, "draw", drawn)

    def question_is_unanswered(self, ref: AuditRef) -> bool:
        """Whether the owner can never consent any more to an audit that was asked for."""

        def over(chain: Chain, now: int) -> bool:
            asked = chain.call("Agreements", "asking", ref.agreement, ref.ordinal)
            return bool(asked["requestBlock"]) and _is_unanswered(asked, now)

        return self._is_final(ref, "question", over)

    def _is_final(self, subject: AgreementId | AuditRef, what: str, over: Over) -> bool:
        """Whether something is over by the newest block and by the final one, at two looks; each
        newest block counts once."""
        newest, final = self._heads.newest, self._heads.final
        looks = self._looks.get((subject, what), [])
        if newest is None or final is None:
            return False
        if not looks or looks[-1] < newest.number:
            try:
                agree = all(over(self.home.chain.at(block), block.timestamp) for block in (newest, final))
            except NodeRefused:  # it has the block no more, or none of its state yet
                agree = False
            looks = [*looks, newest.number][-LOOKS:] if agree else []
            with self._changing:
                self._looks[subject, what] = looks
        return len(looks) >= (LOOKS if self._heads.depth else 1)

    def forget(self, subject: AgreementId | AuditRef) -> None:
        """Keep nothing of a subject that is cleared away."""
        with self._changing:
            for key in [key for key in self._looks if key[0] == subject]:
                del self._looks[key]


def _is_unanswered(asked: dict[str, Any], now: int) -> bool:
    """Whether the owner did not consent, and cannot any more."""
    return not asked["consented"] and (now > asked["deadline"] or not asked["fees"])
