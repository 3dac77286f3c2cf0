"""The scientist's pod: follows its jobs, reads the owner's notes, receives and checks results,
accepts them if told to.

`follow` is one look at one job and may be called by anyone who holds the home (a waiting command,
say); the pod calls it for all jobs, again and again. Whatever is written to the history is written
once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import ClassVar

from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.lanes import Work
from fitchain.pod.jobs.life import note_sent, scientists_life
from fitchain.pod.jobs.retry import RETRY_S, Log
from fitchain.pod.jobs.turns import TURN_S, Turns, describe_verdict
from fitchain.pod.parties.loop import LOOK_S, PodLoop
from fitchain.pod.parties.scientist.accept import accept_result
from fitchain.pod.parties.scientist.audit import follow_audit
from fitchain.pod.parties.scientist.complaint import complain, may_answer, why_unopened
from fitchain.pod.parties.scientist.dispute import dispute
from fitchain.pod.parties.scientist.messages import read_notes, read_refusal
from fitchain.pod.parties.scientist.receive import ENDED, has_received
from fitchain.pod.parties.scientist.request import is_of_another_chain, is_unsent, keep_unheard, send_again
from fitchain.pod.parties.scientist.standing import DISPUTED, RESULT_ACCEPTED, stands
from fitchain.pod.ports.agreement import Agreement, State
from fitchain.pod.ports.chain.base import FINAL_BLOCKS
from fitchain.pod.ports.registry import Role
from fitchain.pod.values.errors import ClaimMismatch, DeliveryUnopened
from fitchain.pod.values.ids import AgreementId, AuditRef

JOBS_AT_ONCE = 4
"""A delivery that comes slowly keeps no other job from being received, or complained of, in time.
"""


class Scientist(PodLoop):
    """The scientist's pod.

    Args:
        home: opened with its key.
        auto_accept: accept a result as soon as its certificate holds; else a person accepts, or
            silence does.
        log: told what happens, one line each.
        look_s: seconds between two looks at the chain.
        retry_s: seconds until something that failed is tried again.
        turn_s: see `Turns`.
        final_blocks: how many blocks must lie on the end of a job before it is followed no more.
    """

    role = Role.SCIENTIST
    threads: ClassVar[Mapping[str, int]] = {"follow": JOBS_AT_ONCE, "request": 1}

    # Many parameters: whose pod it is, and what each person may want otherwise.
    def __init__(
        self,
        home: Home,
        auto_accept: bool,
        log: Log,
        look_s: float = LOOK_S,
        retry_s: float = RETRY_S,
        turn_s: float = TURN_S,
        final_blocks: int = FINAL_BLOCKS,
    ) -> None:
        super().__init__(home, log, look_s, retry_s, final_blocks)
        self._turns = Turns(home, turn_s)
        self.auto_accept = auto_accept
        self._over: set[AgreementId] = set()
        self._noted: set[AgreementId] = set()
        self._elsewhere: set[AgreementId] = set()
        self._followed_at: dict[AgreementId, float] = {}

    def look(self) -> Iterator[tuple[str, Work]]:
        """Every job that has not ended, the one that was followed longest ago first; every request
        that should be on the chain and is not."""
        on_chain = self.home.agreements.list(scientist=self.home.keys.address)
        for id in on_chain:
            if id not in self._over:
                yield "follow", Work(id, partial(self._follow, id), (self._followed_at.get(id, 0.0),))
        for id in self.home.journal.request_ids():
            if id in on_chain:
                continue
            if is_unsent(self.home, id):
                yield "request", Work(id, partial(send_again, self.home, id, self.log))
            elif is_of_another_chain(self.home, id) and id not in self._elsewhere:
                self._elsewhere.add(id)
                self.log(id, "was asked for on another chain or deployment: it is not sent to this one")

    def forget(self) -> None:
        """Follow every job again, also those that had ended."""
        self._over.clear()
        self._noted.clear()

    def _follow(self, id: AgreementId) -> None:
        self._followed_at[id] = time.monotonic()
        heard = follow_audit(self.home, self._turns, id, self.auto_accept, self.log)
        ended = follow(self.home, id, self.auto_accept, self.log).ended
        if ended and heard:
            if verdict := describe_verdict(self.home, self.home.audits.read(AuditRef(id))):
                self.log(id, verdict)
            self._note_sent(id)
            self._let_go(id)

    def _note_sent(self, id: AgreementId) -> None:
        """Write into the history what was sent for an ended job by whoever was cut off before it
        wrote it down, once."""
        if id not in self._noted:
            keep_unheard(self.home, id)
            note_sent(self.home, scientists_life, id)
            self._noted.add(id)

    def _let_go(self, id: AgreementId) -> None:
        """Follow an ended job no more, once no reorganisation of the chain can undo its end."""
        if self.finality.job_is_over(id):
            self.home.release_objects(id)
            self.home.journal.record(id, history.LetGo(), once="")
            self._over.add(id)
            self.finality.forget(id)


def follow(home: Home, id: AgreementId, auto_accept: bool, log: Log) -> State:
    """Look at one job: read its new notes, receive its result, accept it if told to.

    A note that is missing or wrong keeps nobody from receiving the result; a wrong one keeps it
    from being accepted unasked. A result without verifiers whose delivery does not open is
    complained of on chain: nobody else can tell, and who disputes it then may have its counter-bond
    back.

    Returns:
        where the job stood.

    Raises:
        Refuted: a note or the delivery is not what the chain says; nothing is accepted.
        FitchainError: something could not be done now; calling again goes on from there.
    """
    agreement = home.agreements.read(id)
    problem = read_notes(home, agreement, log)
    if _delivered(agreement) and not has_received(home, id):
        _receive(home, agreement, log)
    if isinstance(problem, ClaimMismatch):
        raise problem
    if may_answer(home, agreement) and _answer(home, id, auto_accept, log):
        agreement = home.agreements.read(id)
    state = agreement.state  # not where it stands by now: what came since is received in the next look
    # That it was requested is for whoever asked to write down: it tells a finished request from an
    # interrupted one.
    if state != State.REQUESTED and not home.journal.has(id, type(history.REACHED[state]), once=""):
        home.journal.record(id, history.REACHED[state], once="", at=_reached_at(home, id, state))
        log(id, state.name.lower())
    if state == State.CANCELLED:
        read_refusal(home, id, log)
    if problem is not None and not state.ended:
        raise problem
    return state


def _reached_at(home: Home, id: AgreementId, state: State) -> float | None:
    """When a job came to a state by the chain's time, which is not when a home looks that was off
    meanwhile; None where the chain does not keep it."""
    end_block = home.agreements.run_record(id).end_block if state in (State.TRAINED, State.DIVERGED) else None
    return None if end_block is None else float(home.chain.block(end_block).timestamp)


def _answer(home: Home, id: AgreementId, auto_accept: bool, log: Log) -> bool:
    """Answer a result as this pod is told to, or as its scientist did before the chain took that
    back; whether it was."""
    if stands(home, id, DISPUTED):
        dispute(home, id)
        log(id, "disputed the result again, since the chain took that back")
    elif auto_accept or stands(home, id, RESULT_ACCEPTED):
        accept_result(home, id)
        log(id, "accepted the result")
    else:
        return False
    return True


def _delivered(agreement: Agreement) -> bool:
    """Whether there is something to receive: a result, and where verifiers audit it, its key."""
    audited = bool(agreement.terms.audit.verifiers)
    return agreement.state in ENDED and not (audited and agreement.state == State.AUDITING)


def _receive(home: Home, agreement: Agreement, log: Log) -> None:
    """Fetch the result; complain where the key that came with it does not open it, or where it was
    not to be had for half of the time to dispute."""
    if (problem := why_unopened(home, agreement.id)) is None:
        log(agreement.id, "received the trained model; its certificate holds")
        return
    final = isinstance(problem, DeliveryUnopened) or _now(home) > _half_of_dispute(agreement)
    if final and may_answer(home, agreement) and complain(home, agreement, problem.message):
        short, seats = agreement.id.short, agreement.terms.audit.dispute_verifiers
        way_on = "its terms name nobody who could be asked in a dispute"
        way_on = f"have verifiers look at it in time: fitchain job dispute {short}" if seats else way_on
        log(agreement.id, f"complained that the delivery does not open; {way_on}")
    raise problem


def _half_of_dispute(agreement: Agreement) -> int:
    """The time, in seconds since 1970, at which half of the time to dispute is over."""
    return agreement.dispute_deadline - agreement.terms.dispute_window // 2


def _now(home: Home) -> int:
    """The chain's time, in seconds since 1970."""
    return home.chain.block("latest").timestamp
