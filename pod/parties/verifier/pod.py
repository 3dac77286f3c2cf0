"""The verifier's pod: follows the audits that it is drawn for and takes its seat in each to its
next step.

The chain says where an audit stands, the journal what this pod votes, the audit's folder to whom
evidence was sealed; so the pod keeps nothing in memory that matters, and killing it at any moment
costs no more than the step it was in.

    Awaiting     of a panel, or the pool, in which it stands: draw once the asker has let its turn
                 pass, so that nobody gives a jury up that it does not like by drawing none
    Joining      take the seat with an identity made for this audit and the link of its opening, or
                 decline at once what its policy, its stake or its host does not serve
    Committing   examine the evidence, write the vote down, commit to it
    Revealing    reveal it
    Matched      release the job's identity if its owner has not by half of the time, in turn
    Released     release it once the scientist complained
    Concluded    collect the fee; forget both identities once the end is final
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

from fitchain.pod.jobs import history
from fitchain.pod.jobs.exchange import send_key
from fitchain.pod.jobs.finality import overlapping
from fitchain.pod.jobs.history import Entry
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.lanes import Work
from fitchain.pod.jobs.life import note_sent, verifiers_life
from fitchain.pod.jobs.links import LinkChain
from fitchain.pod.jobs.removal import remove
from fitchain.pod.jobs.retry import RETRY_S, Log, RetryPolicy, log_about
from fitchain.pod.jobs.turns import FIRST_SEAT_RANK, TURN_S, Turns, describe_verdict, send
from fitchain.pod.parties.loop import LOOK_S, PodLoop
from fitchain.pod.parties.verifier.ballot import Ballot, keep_ballot, kept_ballot, question_of, vote_salt
from fitchain.pod.parties.verifier.consent import NOTHING, ConsentPolicy, Replay, refusal
from fitchain.pod.parties.verifier.examine import EVIDENCE, Examination, examine
from fitchain.pod.parties.verifier.explain import seats_of
from fitchain.pod.ports.agreement import Audit, Outcome, Phase, Seat, Submission, audit_id
from fitchain.pod.ports.chain import Receipt
from fitchain.pod.ports.chain.base import FINAL_BLOCKS
from fitchain.pod.ports.registry import Role
from fitchain.pod.ports.sealed import check_recipient, recipient_of
from fitchain.pod.ports.verifiers import Verifier as Account
from fitchain.pod.proof.audit.chain_record import read_chain_record, with_parents
from fitchain.pod.proof.audit.evidence import Evidence
from fitchain.pod.proof.audit.vote import commitment
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import (
    ChainUnusable,
    EnvironmentRefused,
    FitchainError,
    InputRefused,
    NotFound,
    StoreUnusable,
)
from fitchain.pod.values.ids import NO_AGREEMENT, AuditRef
from fitchain.pod.values.job_folder import JobFolder, Kept, Scratch, scratch

LANES: Mapping[Phase, str] = {Phase.JOINING: "consent", Phase.COMMITTING: "examine"}
"""What takes long has a lane of its own; the other phases share one."""
WAIT_SHARE = 0.75
"""How much of the time to join or to vote is waited for a store that lacks something or does not
answer."""
LATE_SHARE = 0.5
"""How much of what is left of the time to vote evidence is looked for by who is late already: once
it is looked for in any case."""
MEMBER_RANK, MEMBER_TURNS = FIRST_SEAT_RANK + 1, 8
"""After owner and asker, those who could be drawn draw; by their addresses, so that few send the
same."""
BACK_AGAIN_S = 3600.0
"""A pod that runs says so often that it is there, where the chain holds it to be away."""


class Verifier(PodLoop):
    """The verifier's pod.

    Args:
        home: opened with its key.
        log: told what happens, one line each.
        policy: which seats it takes.
        look_s: seconds between two looks at the chain.
        retry_s: seconds until something that failed is tried again.
        turn_s: see `Turns`.
        final_blocks: how many blocks must lie on the end of an audit before its identities are
            wiped.
        examiner: comes to an outcome; another one serves tests of what happens to who does not
            replay.
    """

    role = Role.VERIFIER
    threads: ClassVar[Mapping[str, int]] = {"consent": 1, "examine": 1, "step": 2, "draw": 1}

    # As many parameters as a pod has measures of time, and tests set them.
    def __init__(
        self,
        home: Home,
        log: Log,
        policy: ConsentPolicy | None = None,
        look_s: float = LOOK_S,
        retry_s: float = RETRY_S,
        turn_s: float = TURN_S,
        final_blocks: int = FINAL_BLOCKS,
        examiner: Callable[..., Examination] = examine,
    ) -> None:
        super().__init__(home, log, look_s, retry_s, final_blocks)
        self.policy, self.examiner = policy or ConsentPolicy(), examiner
        self._links = LinkChain(home.keys, home.chain)
        self._account_retry = RetryPolicy(home, log, retry_s)  # what is wrong with the account delays no vote
        self._turns = Turns(home, turn_s)
        self._mine: dict[AuditRef, None] = {}
        self._undrawn: dict[AuditRef, None] = {}
        self._drawn: dict[AuditRef, str] = {}
        self._collected: set[AuditRef] = set()
        self._wiped: dict[AuditRef, None] = {}
        self._next_block: int | None = None
        self._back_at = float("-inf")

    def look(self) -> Iterator[tuple[str, Work]]:
        """Every audit in which this account was drawn and that is not over.

        Votes are come to one after the other, and seats considered one after the other, each beside
        everything else: either may wait for what a stranger's store has.
        """
        new_block = self._find()
        yield from self._draw_for_others()
        audits = self.home.audits.read_many(list(self._mine))
        for audit in audits:
            yield LANES.get(audit.phase, "step"), Work(audit.ref, partial(self._act, audit.ref, audit.phase))
        if new_block and self._account_retry.due(NO_AGREEMENT):
            self._account_retry.attempt(NO_AGREEMENT, partial(self._tend_account, audits))

    def _find(self) -> bool:
        """Read the draws since the last look; whether there is a new block."""
        head = self.home.chain.head()
        if self._next_block is not None and head < self._next_block:
            return False
        first = overlapping(self._next_block)
        for ref in self.home.audits.drawn_for(self.home.keys.address, first, head):
            if ref not in self._mine and not self.home.journal.happened(ref, history.Wiped):
                self._mine[ref] = None
        if self._next_block is None:
            self._mine |= dict.fromkeys(self._kept())
        for ref in self._awaited(first, head):
            self._undrawn.setdefault(ref)
        self._next_block = head + 1
        return True

    def _kept(self) -> Iterator[AuditRef]:
        """The audits for which this home keeps what opens their evidence, also where the chain
        took back that this account was drawn."""
        for id in self.home.job_ids():
            yield from seats_of(self.home, id)

    def forget(self) -> None:
        """Look at all draws again, and at the seats that were through with."""
        self._mine |= self._wiped
        self._wiped, self._undrawn, self._next_block = {}, {}, None
        self._collected.clear()

    def _awaited(self, from_block: int | None, to_block: int) -> list[AuditRef]:
        """Audits opened in a range of blocks that may still be drawn for, from a panel, or the
        pool, in which this account stands."""
        home = self.home
        opened = home.audits.opened_in(from_block, to_block, home.chain.block("latest").timestamp)
        panels = dict(zip(opened, home.audits.panel_numbers(opened), strict=True))
        own = home.verifiers.standing_in(sorted(set(panels.values())), home.keys.address)
        return [ref for ref in opened if panels[ref] in own]

    def _draw_for_others(self) -> Iterator[tuple[str, Work]]:
        """Draw for audits whose asker has let its turn pass, when it is this member's turn."""
        rank = MEMBER_RANK + int(self.home.keys.address[-2:], 16) % MEMBER_TURNS
        for audit in self.home.audits.read_many(list(self._undrawn)):
            if audit.phase is Phase.AWAITING:
                yield "draw", Work(audit.ref, partial(self._draw_for, audit, rank))
            elif self.finality.audit_is_drawn(audit.ref):
                del self._undrawn[audit.ref]
                self.finality.forget(audit.ref)

    def _draw_for(self, audit: Audit, rank: int) -> None:
        if self._turns.bring_on(audit, rank):
            self._say(audit, "drew its verifiers, since whoever asked did not")

    def _unvoted(self, audits: list[Audit]) -> list[tuple[AuditRef, Replay]]:
        """The audits that this pod has joined and not voted in, each with what its replay takes."""
        seated = [(audit, audit.seat_of(self.home.keys.address)) for audit in audits]
        return [
            (audit.ref, self.policy.replay(audit, self.home.agreements.terms(audit.id)))
            for audit, seat in seated
            if seat is not None and seat.joined and not seat.committed and audit.phase <= Phase.COMMITTING
        ]

    def _tend_account(self, audits: list[Audit]) -> None:
        """Keep this account in the draws: say that it is there, and renew its hash chain in time,
        but not while a seat waits for a link of the old one."""
        account = self.home.verifiers.verifier(self.home.keys.address)
        if not account.ever_staked:
            return
        if account.away and time.monotonic() - self._back_at > BACK_AGAIN_S:
            self._back_at = time.monotonic()
            self.home.verifiers.present()
            self.log(NO_AGREEMENT, "was away for a joining window; said that it is there again")
        drawn = (audit.seat_of(account.address) for audit in audits if audit.phase is Phase.JOINING)
        awaited = any(seat is not None and not seat.joined for seat in drawn)
        may_renew = not awaited or not self._links.is_known(account)
        if may_renew and self._links.needs_renewal(account, opened := self.home.audits.opened()):
            self.home.verifiers.renew_chain(self._links.commitment(opened))
            self.log(NO_AGREEMENT, "committed to a new hash chain")

    # As many branches as an audit has phases in which a seat acts.
    def _act(self, ref: AuditRef, looked_at: Phase) -> None:
        """Take the seat to its next step; the audit is read again, since this may have waited.

        Args:
            ref: the audit.
            looked_at: the phase for which this was called. What takes long has a lane of its own:
                an audit that came to such a phase since then waits for the next look.
        """
        self.home.chain.catch_up()  # else what was sent and is not mined yet would be sent again
        audit, now = self.home.audits.read(ref), self.home.chain.block("latest").timestamp
        seat = audit.seat_of(self.home.keys.address)
        if audit.phase is Phase.CONCLUDED:
            self._end(audit)
            return
        if seat is None:
            return  # given back, or lost; it may be drawn again
        self._note_draw(audit, seat)
        if self._turns.bring_on(audit, FIRST_SEAT_RANK + seat.number) or now > audit.deadline:
            return
        match audit.phase:
            case Phase.JOINING if looked_at is Phase.JOINING and not seat.joined:
                self._consider(audit, seat, now)
            case Phase.COMMITTING if looked_at is Phase.COMMITTING and seat.joined and not seat.committed:
                self._commit(audit, seat)
            case Phase.REVEALING if seat.committed and not seat.revealed:
                self._reveal(audit, seat)
            case Phase.MATCHED | Phase.RELEASED if self._must_release(audit, seat, now):
                self._release(audit)

    def _note_draw(self, audit: Audit, seat: Seat) -> None:
        """Put a draw into the history, once."""
        drawn = f"{audit.round}/{seat.number}"
        if self._drawn.get(audit.ref) == drawn:
            return
        self._drawn[audit.ref] = drawn
        if self.home.journal.record(audit.ref, history.Drawn(audit.round), once=drawn):
            self._say(audit, "drawn as a verifier")

    # The seat

    def _consider(self, audit: Audit, seat: Seat, now: int) -> None:
        """Join, or decline."""
        account = self.home.verifiers.verifier(self.home.keys.address)
        unvoted = self._unvoted(self.home.audits.read_many(list(self._mine)))
        waiting = sum((replay for ref, replay in unvoted if ref != audit.ref), NOTHING)
        patient = not _is_late(audit, now)
        if reason := refusal(self.home, self.policy, self._links, audit, account, waiting, patient):
            if self._send(audit, partial(history.Declined, audit.round, reason), self.home.audits.decline, seat.number):
                self._say(audit, f"declined the seat: {reason}")
        else:
            self._join(audit, seat, account)

    def _join(self, audit: Audit, seat: Seat, account: Account) -> None:
        link = self._links.link(account, audit.opening)
        assert link is not None  # else it would have been a reason to decline
        recipient = recipient_of(self.home.kept_identity(self._folder(audit).create().seat_identity))
        if self._send(audit, partial(history.Joined, audit.round), self.home.audits.join, seat.number, link, recipient):
            self._say(audit, "took the seat")

    def _commit(self, audit: Audit, seat: Seat) -> None:
        if (submission := self.home.audits.submission(audit)) is None:
            return  # its event has too few confirmations yet
        question = question_of(self.home, audit, submission)
        ballot = kept_ballot(self.home, audit, question) or self._vote(audit, submission, question)
        words = audit_id(audit.ref), audit.round, self.home.keys.address, ballot.outcome, ballot.trace
        bound = commitment(*words, self._salt(audit))
        if self._send(audit, partial(history.Committed, audit.round), self.home.audits.commit, seat.number, bound):
            self._say(audit, "committed to a vote")

    def _reveal(self, audit: Audit, seat: Seat) -> None:
        submission = self.home.audits.submission(audit)
        question = None if submission is None else question_of(self.home, audit, submission)
        if (ballot := kept_ballot(self.home, audit, question) or kept_ballot(self.home, audit)) is None:
            raise NotFound(
                f"the journal does not know the vote on {audit.ref}", "stop the pod, and `fitchain pod recover --again`"
            )
        words = seat.number, ballot.outcome, ballot.trace, self._salt(audit)
        revealed = partial(history.Revealed, audit.round, ballot.outcome.name)
        if self._send(audit, revealed, self.home.audits.reveal, *words):
            self._say(audit, f"voted {ballot.outcome.name.lower()}")

    def _must_release(self, audit: Audit, seat: Seat, now: int) -> bool:
        """Whether it is for this seat to release the job's identity: to whoever complained in any
        case, once; else where nobody has by half of the window, in turn."""
        if not seat.joined or seat.released:
            return False
        if audit.complained:
            return True
        due = audit.phase is Phase.MATCHED and now > audit.seats_release_from
        return due and self._turns.is_turn(audit, "release", seat.number)

    def _release(self, audit: Audit) -> None:
        """Hand the job's identity to the scientist."""
        secret = self.home.read_secret(self._folder(audit).released_identity)
        scientist = self.home.agreements.read(audit.id).scientist
        try:
            recipient = check_recipient(self.home.registry.pod(scientist).recipient)
        except InputRefused:
            # Nothing can be sealed to what it made of its recipient since; who did not release goes
            # unpaid, so a release is due all the same.
            recipient = self.home.keys.recipient
        key = send_key(self.home.store, audit.id, secret, recipient)
        why = "since the scientist complained" if audit.complained else "in its owner's stead"
        released = partial(history.Released, str(key), audit.round)
        if self._send(audit, released, self.home.audits.release, key):
            self._say(audit, f"released the trained model {why}")

    def _end(self, audit: Audit) -> None:
        """Collect what was earned, and forget what must not outlive the audit once its end is
        final."""
        if audit.ref not in self._collected:
            note_sent(self.home, verifiers_life, audit.ref)
            self._collect(audit)
            self._collected.add(audit.ref)
        if not self.finality.audit_is_over(audit.ref):
            return
        remove(self.home, audit.ref, tuple(Kept))
        self._folder(audit).sweep()
        self.home.journal.record(audit.ref, history.Wiped(), once="")
        self._wiped[audit.ref] = None
        del self._mine[audit.ref]
        self.finality.forget(audit.ref)

    def _collect(self, audit: Audit) -> None:
        if verdict := describe_verdict(self.home, audit):
            self._say(audit, verdict)
        if self.home.verifiers.verifier(self.home.keys.address).earned:
            receipt = self.home.verifiers.withdraw()
            self.home.journal.record(audit.ref, history.Collected(**history.paid(receipt)))

    # The vote

    def _vote(self, audit: Audit, submission: Submission, question: str) -> Ballot:
        """Examine the evidence and write the vote down; what was written on another question stays
        beside it, since the chain may come back to that."""
        try:
            examination = self._examination(audit, submission)
        except ChainUnusable:
            raise
        except FitchainError as error:
            # Another class will not become this one; what a store, a disk or a memory lacks may
            # still come. Who cannot judge says so: Withheld would put it down to the owner.
            if not isinstance(error, EnvironmentRefused) and not self._is_late(audit):
                raise
            self.home.journal.record(audit.ref, history.CannotReplay(error.message), once=str(audit.round))
            self._say(audit, f"cannot replay: {error.message}")
            examination = Examination(Outcome.INCONCLUSIVE, ZERO)
        ballot = Ballot(examination.outcome, examination.trace)
        keep_ballot(self.home, audit, ballot, question)
        problems = tuple(str(problem) for problem in examination.problems)
        entry = history.Examined(examination.outcome.name, problems, len(examination.audited))
        self.home.journal.record(audit.ref, entry, once=f"{audit.round}/{question}")
        return ballot

    def _examination(self, audit: Audit, submission: Submission) -> Examination:
        """What the evidence that stands for this vote comes to.

        Raises:
            FitchainError: it cannot be examined now, or not here.
        """
        home = self.home
        if submission.evidence is None:
            return Examination(Outcome.WITHHELD, ZERO)
        folder = self._folder(audit)
        secret = home.read_secret(folder.seat_identity)
        self._require_seat_s(audit, secret)
        chain_record = with_parents(home.chain, read_chain_record(home.chain, audit, submission.round))
        home.add_peer(home.agreements.terms(audit.id).owner)
        folder.sweep()
        with scratch(folder.path, Scratch.AUDIT) as workspace:
            # What drips until the vote is due would keep this seat, and every other that waits
            # behind it, from voting at all.
            left_s = look_s(audit, home.chain.block("latest").timestamp)
            sealed = (home.store, submission.evidence, secret)
            examination = self.examiner(*sealed, chain_record, workspace, None, left_s, home.launcher, home.bases)
            if not examination.lasting and not self._is_late(audit):
                why = "; ".join(str(problem) for problem in examination.problems)
                raise StoreUnusable(f"the evidence of {audit.ref} cannot be seen yet: {why}", self._way(audit))
            if examination.outcome == Outcome.MATCH:
                identity = Evidence.read(workspace / EVIDENCE, len(chain_record.leaves)).identity
                if identity is not None and chain_record.opens_delivery:  # else it opened nothing here
                    home.keep_secret(folder.released_identity, identity)
        return examination

    def _require_seat_s(self, audit: Audit, secret: str) -> None:
        """Check that an identity is the one with which this seat was taken: what is sealed to
        another one, the owner withholds from nobody.

        Raises:
            NotFound: it is not: another home with this key took the seat.
        """
        seat, own = audit.seat_of(self.home.keys.address), recipient_of(secret)
        taken_with = self.home.audits.recipients(audit).get(seat.number) if seat is not None else None
        if taken_with != own:
            raise NotFound(
                f"the seat was taken with the identity of {taken_with}, and this home keeps that of {own}",
                "another home runs with this key: let only one of them run",
            )

    def _way(self, audit: Audit) -> str:
        """How evidence comes here."""
        if self.home.agreements.audit_terms(audit.ref).mode is not AuditMode.ON_SITE:
            return "it is looked for again"
        return "it is on-site: take the file that the owner's pod names, and `fitchain store import` it here"

    def _is_late(self, audit: Audit) -> bool:
        """Whether so little of the time to vote is left that nothing is waited for any more."""
        return _is_late(audit, self.home.chain.block("latest").timestamp)

    def _salt(self, audit: Audit) -> Digest:
        return vote_salt(self.home, audit)

    def _send(self, audit: Audit, entry: Callable[..., Entry], step: Callable[..., Receipt], *args: Any) -> bool:
        """Send a step of the seat and write it down, with what the receipt says; False where the
        audit has moved on."""
        if (receipt := send(self.home, audit, step, *args)) is None:
            return False
        self.home.journal.record(audit.ref, entry(**history.paid(receipt)))
        return True

    def _say(self, audit: Audit, text: str) -> None:
        log_about(self.log, audit.ref, text)

    def _folder(self, audit: Audit) -> JobFolder:
        return self.home.audit_folder(audit.ref)


def look_s(audit: Audit, now: int) -> float:
    """How many seconds evidence is looked for: until this seat is late, and by one that is late
    already for a part of what is left, so that none votes without having looked."""
    return max(_late_from(audit) - now, LATE_SHARE * (audit.deadline - now))


def _late_from(audit: Audit) -> float:
    """From when on nothing is waited for any more, in seconds since 1970."""
    return audit.deadline - (1 - WAIT_SHARE) * audit.window


def _is_late(audit: Audit, now: int) -> bool:
    return now > _late_from(audit)
