"""The owner's pod: follows the chain and takes each agreement on its data to its next state.

The chain says where an agreement stands, the journal what a person decided, the job's folder what
is trained already; so the pod keeps nothing in memory that matters, and killing it at any moment
costs no more than the step it was in.

    Requested   examine, ask a person if the policy says so, accept; those who offer money, or whom
                the policy names, in a lane that no others can stop up
    Accepted    begin, at once and beside everything else: the chain forgets the seed block
    Training    train, anchor, deliver, end; one job after the other
    Trained     settle, once the scientist's silence has lasted long enough
    Auditing    draw, give evidence for each vote, release the job's identity after a match
    ended       go on with a release, until its window is over; then, once no reorganisation of the
                chain can undo the end, clear away what must not outlive the job; consent to audits
                that others ask for, and answer them

What a stranger asks for free of charge costs the owner nothing either: what does not hold of it is
left without an answer, which would be a transaction; and an account that offers money is told of
so many refusals a day.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar

from fitchain.pod.jobs import history
from fitchain.pod.jobs.exchange import send_refusal
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import APPROVE, REJECT, Decision
from fitchain.pod.jobs.lanes import Work
from fitchain.pod.jobs.life import note_sent, owners_life
from fitchain.pod.jobs.removal import asked_removals, is_asked, remove
from fitchain.pod.jobs.retry import RETRY_S, Log
from fitchain.pod.jobs.turns import TURN_S, Turns, describe_verdict
from fitchain.pod.jobs.waiting import is_held, show_concerns, shown_concerns
from fitchain.pod.parties.loop import LOOK_S, PodLoop
from fitchain.pod.parties.owner.answer import answer_audit, sealed_aside
from fitchain.pod.parties.owner.asked import AskedAudits
from fitchain.pod.parties.owner.examine import check_again, check_offer, dataset_of, rehearse_offer
from fitchain.pod.parties.owner.removal import remove_job
from fitchain.pod.parties.owner.run import TrainingSession, begin, key_commitment
from fitchain.pod.ports.agreement import Agreement, Outcome, Phase, State
from fitchain.pod.ports.chain.base import FINAL_BLOCKS
from fitchain.pod.ports.registry import Role
from fitchain.pod.ports.sealed import check_recipient
from fitchain.pod.ports.store import Cid
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.errors import (
    AccessRefused,
    DatasetChanged,
    EnvironmentRefused,
    FitchainError,
    InputRefused,
    NotFound,
    Refuted,
    Reverted,
    Unusable,
)
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.job_folder import SECRETS, Kept
from fitchain.pod.values.limits import UNASKED_BASE_BYTES, size_about

MOST_WAITING = 4
"""So many requests of one account, of those that were not examined yet, wait for it at a time."""
MOST_REFUSALS_A_DAY, DAY_S = 32, 86_400.0
"""So many refusals is an account that offers money told of a day: each costs a transaction."""
KEEP_S = 30 * 86_400
"""How long the sealed objects of an ended job stay for a scientist who has not said that it has
them."""
LAST_CALL_S = 3600
"""So long before the time of a held job is over its person is told once more."""
BASE_AWAITS = "base_awaits"
"""Fact of a request in the journal: a person was asked about it before its base was fetched."""
UNTOLD = "the dataset cannot be served now"
"""What the scientist is told of a reason that speaks of the owner's records."""


def approve(home: Home, id: AgreementId, shown: Sequence[str] | None = None, reason: str = "") -> None:
    """Keep a person's yes to a request; the owner's pod acts on it, at once if it runs.

    Args:
        home: the owner's.
        id: of the request.
        shown: the concerns that the person was shown, to which alone it says yes: where the pod
            finds others before it accepts, it asks again. Without them, what the pod told last.
        reason: kept in the history.

    Raises:
        NotFound: there is no such agreement.
        AccessRefused: its dataset is not this home's.
        Unusable: the request is answered already.
    """
    require_request(home, id)
    covered = shown_concerns(home, id, history.ApprovalNeeded) if shown is None else tuple(shown)
    about = str(home.agreements.request_digest(id))
    home.journal.decide(id, Decision(APPROVE, reason, covered, about))


def reject(home: Home, id: AgreementId, reason: str = "") -> None:
    """Keep a person's no to a request; the scientist gets its money back.

    Raises:
        NotFound, AccessRefused, Unusable: as `approve`.
        ChainUnusable: the chain does not take it.
    """
    require_request(home, id)
    home.journal.decide(id, Decision(REJECT, reason))
    decline(home, id, reason)


@dataclass(frozen=True)
class Step:
    """What is done for a job in a state.

    Args:
        act: does it.
        lane: in which it is done.
    """

    act: Callable[[Owner, Agreement], None]
    lane: str


class Owner(PodLoop):
    """The owner's pod.

    Args:
        home: opened with its key.
        log: told what happens, one line each.
        keep_states: keep a job's states after it is settled, so that it can be replayed from the
            middle.
        keep_every: which states a training keeps: every a-th leaf's, the best, and the last; None
            keeps as many as the disk holds.
        look_s: seconds between two looks at the chain.
        retry_s: seconds until something that failed is tried again.
        turn_s: see `Turns`.
        final_blocks: how many blocks must lie on the end of a job before it is cleared away.
        remove_after_s: seconds after the end of a job after which all that is kept of it is
            deleted; None keeps it until a person asks for that.
    """

    role = Role.OWNER
    threads: ClassVar[Mapping[str, int]] = {
        "answer": 1,
        "answer free": 1,
        "begin": 1,
        "train": 1,
        "audit": 1,
        "asked": 1,
        "end": 1,
    }

    # Many parameters: whose pod it is, and what each person may want otherwise.
    def __init__(
        self,
        home: Home,
        log: Log,
        keep_states: bool = True,
        keep_every: int | None = None,
        look_s: float = LOOK_S,
        retry_s: float = RETRY_S,
        turn_s: float = TURN_S,
        final_blocks: int = FINAL_BLOCKS,
        remove_after_s: int | None = None,
    ) -> None:
        super().__init__(home, log, look_s, retry_s, final_blocks)
        self._turns = Turns(home, turn_s)
        self.remove_after_s = remove_after_s
        self._expiring: dict[AgreementId, int] = {}
        self._put_off: set[AgreementId] = set()
        self.keep_states, self.keep_every = keep_states, keep_every
        self._counting = threading.Lock()
        self._asked = AskedAudits(home, self._turns, log, self.finality, self._counting)
        self._over: set[AgreementId] = set()
        self._kept: dict[AgreementId, int] = {}
        self._begun: set[AgreementId] = set()
        self._noted: set[tuple[AgreementId, State]] = set()
        self._rejected: dict[AgreementId, threading.Event] = {}
        self._refusals: dict[str, deque[float]] = {}
        self._reminded: set[tuple[AgreementId, bool]] = set()

    def look(self) -> Iterator[tuple[str, Work]]:
        """Every agreement that has not ended, and every audit that others ask for."""
        calls = self.home.agreements
        own = calls.list(owner=self.home.keys.address)
        now = self.home.chain.block("latest").timestamp
        released = [id for id, until in self._kept.items() if self.finality.time > until]
        for id in released:
            yield "end", Work(id, partial(self._release_objects, id))
        for id in self._expired() - set(released):  # of each job one thing is done at a time
            yield "asked", Work(id, partial(self._remove, id))  # where audits are consented to, and not meanwhile
        self._stop_rejected()
        open_ids = [id for id in own if id not in self._over and not self._lanes.is_busy(id)]
        agreements = calls.read_many([id for id in open_ids if self._retry.due(id)])
        for agreement in agreements:
            if agreement.state is State.NONE:
                continue  # the chain took the request back since the list was read
            if reason := _missed(agreement, now):
                self._give_up(agreement.id, reason)
            elif agreement.state is State.TRAINING and is_held(self.home, agreement.id):
                self._remind(agreement, now)  # a person decides; once the time to train is over, it is given up above
            elif agreement.state is not State.REQUESTED:
                step = STEPS.get(agreement.state, AFTER_END)
                yield step.lane, Work(agreement.id, partial(step.act, self, agreement))
        yield from self._requests([each for each in agreements if each.state is State.REQUESTED], now)
        for ref in self._asked.look(set(own)):
            yield "asked", Work(ref, partial(self._asked.act, ref))

    def forget(self) -> None:
        """Look at every agreement again, also at those that were over."""
        self._over.clear()
        self._noted.clear()
        self._kept.clear()
        self._expiring.clear()
        self._asked.forget()

    def _requests(self, requests: Sequence[Agreement], now: int) -> Iterator[tuple[str, Work]]:
        """Requests in the order in which they are answered: those that a person said yes to; then
        whoever asks for least, and offers most."""
        waiting = [each for each in requests if not _missed(each, now) and not self._is_ignored(each.id)]
        journal, counts, unexamined = self.home.journal, Counter(each.scientist for each in waiting), Counter[str]()
        for agreement in sorted(waiting, key=lambda each: -each.terms.price):
            id, account = agreement.id, agreement.scientist
            undecided = journal.decision(id) is None
            is_asked = journal.fact(id, BASE_AWAITS) is not None  # a person, before it is examined to its end
            if undecided and not is_asked and not journal.happened(id, history.Checked):
                unexamined[account] += 1
                if unexamined[account] > MOST_WAITING:
                    continue
            order = undecided, self._retry.failures(id), counts[account], unexamined[account], -agreement.terms.price
            lane = "answer" if self._is_backed(agreement) else "answer free"
            yield lane, Work(id, partial(self._answer, agreement), order)

    def _is_backed(self, agreement: Agreement) -> bool:
        """Whether a request is more than a stranger's word: it offers money, or the policy names
        who asks."""
        if agreement.terms.price:
            return True
        try:
            _, card = dataset_of(self.home, agreement)
        except NotFound:
            return False
        return agreement.scientist.lower() in card.policy.scientists

    def _is_ignored(self, id: AgreementId) -> bool:
        if not self.home.journal.happened(id, history.Ignored):
            return False
        return self.home.journal.has(id, history.Ignored, once=str(self.home.agreements.request_digest(id)))

    def _stop_rejected(self) -> None:
        """End what runs for a request that a person has rejected meanwhile."""
        for id, rejected in list(self._rejected.items()):  # which the lanes change meanwhile
            decision = self.home.journal.decision(id)
            if decision is not None and decision.decision == REJECT:
                rejected.set()

    def _stands(self, agreement: Agreement) -> bool:
        """Whether a job is where it was when it was looked at, now that all is mined that was sent
        before; else what is on its way would be sent again."""
        self.home.chain.catch_up()
        return self.home.agreements.read(agreement.id).state is agreement.state

    def _begin(self, agreement: Agreement) -> None:
        if self._stands(agreement):
            self._note_sent(agreement)
            begin(self.home, agreement.id)

    def _train(self, agreement: Agreement) -> None:
        id = agreement.id
        self._note_sent(agreement)
        if is_first := id not in self._begun:
            self.log(id, "training")
            self._begun.add(id)
        session = TrainingSession(self.home, id, self._stop, self.keep_every)
        if is_first:
            self.log(id, str(session.keeping))
        self.log(id, session())

    def _remind(self, agreement: Agreement, now: int) -> None:
        """Tell of a held job what saves its bond and until when: once in a life of this pod, and
        once more when the time is short."""
        id, deadline = agreement.id, agreement.training_deadline
        reminded = id, deadline - now <= LAST_CALL_S
        if reminded not in self._reminded:
            self._reminded.add(reminded)
            self.log(
                id,
                f"is held and waits for a person until {datetime.fromtimestamp(deadline, UTC):%Y-%m-%d %H:%M} UTC: "
                f"fitchain job deliver {id.short} delivers it all the same; else its model stays here, and the bond "
                f"of {amount_text(agreement.terms.bond)} FIT is lost",
            )

    def _settle(self, agreement: Agreement) -> None:
        """Silence is acceptance, but only once the time to dispute is over."""
        self._note_sent(agreement)
        if self.home.chain.block("latest").timestamp > agreement.dispute_deadline and self._stands(agreement):
            self.home.agreements.settle(agreement.id)

    def _answer_audit(self, agreement: Agreement) -> None:
        self._note_sent(agreement)
        if done := answer_audit(self.home, self._turns, AuditRef(agreement.id)):
            self.log(agreement.id, done)

    def _note_sent(self, agreement: Agreement) -> None:
        """Write into the history what this pod sent and was cut off before it wrote it down, once
        for each state that a job comes to."""
        id, noted = agreement.id, (agreement.id, agreement.state)
        if noted not in self._noted:
            note_sent(self.home, owners_life, id)
            self._noted.add(noted)

    def _answer(self, agreement: Agreement) -> None:
        """Examine a request, ask a person if policy or examination say so, accept."""
        home, id = self.home, agreement.id
        about, decided = str(home.agreements.request_digest(id)), home.journal.decision(id)
        # What was said of a request that the chain took back says nothing of another with its id.
        decision = decided if decided is not None and decided.about in ("", about) else None
        if decision is not None and decision.decision == REJECT:
            decline(home, id, decision.reason)
            return
        _, card = dataset_of(home, agreement)
        examined = home.journal.has(id, history.Checked, once=about)
        unasked = card.policy.manual_approval and decision is None
        if not examined and unasked and home.journal.fact(id, BASE_AWAITS) == about:
            return  # it is fetched once a person said yes
        if not examined and not self._holds(agreement, partial(self._examine, agreement, unasked)):
            return
        if not home.journal.has(id, history.Checked, once=about):
            return
        if decided != home.journal.decision(id):
            return  # it was answered meanwhile, which the next look sees
        concerns = home.journal.last(id, history.Checked).concerns
        needed = card.policy.manual_approval or concerns if decision is None else decision.uncovered(concerns)
        if needed:
            if show_concerns(home, id, history.ApprovalNeeded(concerns)):
                why = f" ({'; '.join(concerns)})" if concerns else ""
                self.log(id, f"asks for approval{why}: fitchain job approve {id.short}")
            return
        # A person may have taken days, and from acceptance on changed records cost the bond.
        with self._counting:
            home.chain.catch_up()  # what else was accepted counts, too
            if decided != home.journal.decision(id):
                return  # it was answered anew meanwhile, likewise
            if self._holds(agreement, partial(check_again, home, agreement, self.keep_every)) and self._stands(
                agreement
            ):
                self._accept(id)

    def _examine(self, agreement: Agreement, unasked: bool) -> None:
        """Examine a request wholly; where a person is to be asked and was not yet, not before that
        if its base is large and not here."""
        home, id = self.home, agreement.id
        about, attempts = str(home.agreements.request_digest(id)), self._retry.failures(id)
        if home.journal.record(id, history.Checking(), once=""):
            self.log(id, "examining the request")
        rejected = self._rejected[id] = threading.Event()
        try:
            concerns = check_offer(home, agreement, attempts, self.keep_every)
            if unasked and (size_bytes := home.bases.unfetched_bytes(home.job_folder(id).initial)) > UNASKED_BASE_BYTES:
                self._ask_about_base(id, about, concerns, size_bytes)
                return
            concerns += rehearse_offer(home, agreement, rejected, attempts)
        finally:
            del self._rejected[id]
        home.journal.record(id, history.Checked(tuple(concerns)), once=about)

    def _ask_about_base(self, id: AgreementId, about: str, concerns: Sequence[str], size_bytes: int) -> None:
        """Put a request before a person before its base is fetched."""
        size = size_about(size_bytes)
        why = f"the base of its model, {size}, is not here: once approved it is fetched, and the job rehearsed"
        # Once for each request: a pod that ends before it kept the fact comes here again.
        asked = self.home.journal.record(id, history.ApprovalNeeded((*concerns, why)), once=about)
        self.home.journal.keep_fact(id, BASE_AWAITS, about)
        if asked:
            self.log(id, f"asks for approval ({'; '.join((*concerns, why))}): fitchain job approve {id.short}")

    def _holds(self, agreement: Agreement, check: Callable[[], object]) -> bool:
        """Whether a check lets the request pass. What this host, its chain or its store lacks says
        nothing against a request: it is checked again later."""
        try:
            check()
            return True
        except (Refuted, InputRefused, AccessRefused, EnvironmentRefused) as error:
            self._refuse(agreement, error, f"{error.message}; {error.hint}" if error.hint else error.message)
            return False

    def _refuse(self, agreement: Agreement, error: FitchainError, reason: str) -> None:
        """Decline a request on chain, unless that costs more than it is worth."""
        if self._may_be_told(agreement):
            self.home.journal.record(agreement.id, history.Refused(reason), once="")
            self.log(agreement.id, f"declined: {reason}")
            decline(self.home, agreement.id, UNTOLD if isinstance(error, DatasetChanged) else reason)
        elif self.home.journal.record(
            agreement.id, history.Ignored(reason), once=str(self.home.agreements.request_digest(agreement.id))
        ):
            self.log(agreement.id, f"left unanswered: {reason}")

    def _may_be_told(self, agreement: Agreement) -> bool:
        """Whether a refusal is worth a transaction."""
        if self.home.journal.happened(agreement.id, history.Refused):
            return True  # it was cut off in the middle
        refusals, now = self._refusals.setdefault(agreement.scientist, deque()), time.monotonic()
        while refusals and now - refusals[0] > DAY_S:
            refusals.popleft()
        if not self._is_backed(agreement) or len(refusals) >= MOST_REFUSALS_A_DAY:
            return False
        refusals.append(now)
        return True

    def _accept(self, id: AgreementId) -> None:
        receipt = self.home.agreements.accept(id, key_commitment(self.home, id))
        self.home.journal.record(id, history.Accepted(**history.paid(receipt)), once="")
        self.log(id, "accepted")

    def _give_up(self, id: AgreementId, reason: str) -> None:
        """Tell once that a deadline was missed; what is left is for others to do."""
        if self.home.journal.record(id, history.Late(reason), once=reason):
            self.log(id, reason)

    def _after_end(self, agreement: Agreement) -> None:
        """Answer what is left of an audit, tell how the job ended, clear it away in time."""
        home, id = self.home, agreement.id
        audit = home.audits.read(AuditRef(id))
        if audit.phase not in (Phase.NONE, Phase.CONCLUDED):
            if done := answer_audit(home, self._turns, audit.ref):
                self.log(id, done)
            return
        self._note_sent(agreement)
        if verdict := describe_verdict(home, audit):
            self.log(id, verdict)
        if home.journal.record(id, history.REACHED[agreement.state], once=""):
            self.log(id, agreement.state.name.lower())
        if self.finality.job_is_over(id):
            self._clear(agreement)

    def _clear(self, agreement: Agreement) -> None:
        """Clear away what an ended agreement needs no more: the records' copy and the job's
        identity, states unless they are kept."""
        home, id = self.home, agreement.id
        folder = home.job_folder(id)
        folder.sweep(())  # half-written files
        kinds = [*SECRETS, Kept.EVIDENCE, *([] if self.keep_states else [Kept.STATES])]
        remove(home, id, kinds, sealed=sealed_aside(home, AuditRef(id)))
        home.journal.record(id, history.Wiped(states=not self.keep_states), once="")
        if not home.journal.happened(id, history.LetGo):
            self._kept[id] = self._needed_until(agreement)
        if self.remove_after_s is not None:
            self._expiring[id] = home.agreements.newest_event(id).timestamp + self.remove_after_s
        self._over.add(id)
        self.finality.forget(id)

    def _expired(self) -> set[AgreementId]:
        """The jobs that were cleared away and of which nothing is to be kept any more: by their
        age, or since a person asked for it."""
        if self.finality.is_newer:
            self._put_off.clear()
        old = {id for id, until in self._expiring.items() if self.finality.time > until}
        return (old | set(asked_removals(self.home))) & (self._over - self._put_off)

    def _remove(self, id: AgreementId) -> None:
        """Delete all that is kept of a job, once nothing needs it for good."""
        if (removed := remove_job(self.home, self.finality, id, is_asked(self.home, id))) is None:
            self._put_off.add(id)  # up to the next block
            return
        self._expiring.pop(id, None)
        if removed:
            self.log(id, f"deleted what was kept of it: {', '.join(removed)}")

    def _needed_until(self, agreement: Agreement) -> int:
        """Up to when, in seconds since 1970, the scientist may still fetch what was sealed to it:
        it said that it has it, or did not."""
        last, dispute_deadline = self.home.agreements.newest_event(agreement.id), agreement.dispute_deadline
        accepted = last.name == "Settled" and agreement.state is State.SETTLED and last.timestamp <= dispute_deadline
        return last.timestamp + (0 if accepted or self._release_accepted(agreement) else KEEP_S)

    def _release_accepted(self, agreement: Agreement) -> bool:
        """Whether the scientist accepted what was released after an audit, which ends the release
        window before its time."""
        audit = self.home.audits.read(AuditRef(agreement.id))
        last = self.home.agreements.newest_event(agreement.id)
        is_closed = last.name in ("ReleaseClosed", "AuditPaid", "Settled")  # in one transaction
        matched = audit.verdict is Outcome.MATCH and not audit.complained
        return matched and is_closed and last.timestamp <= audit.deadline

    def _release_objects(self, id: AgreementId) -> None:
        """Give up the sealed objects of an ended job: the scientist has them, or had time to fetch
        them."""
        if self.finality.job_is_over(id):
            self.home.release_objects(id)
            self.home.journal.record(id, history.LetGo(), once="")
            self._kept.pop(id, None)
            self.finality.forget(id)


def _missed(agreement: Agreement, now: int) -> str:
    """Which deadline has passed, in words; empty if none has. It goes before what the state asks
    for: the contract refuses that step from then on, and a pod that went on trying would train, or
    pay for gas, for nothing."""
    if agreement.state is State.REQUESTED and now > agreement.acceptance_deadline:
        return "the time to accept it has passed; the scientist may take it back"
    if agreement.state in (State.ACCEPTED, State.TRAINING) and now > agreement.training_deadline:
        return "the training deadline has passed; anyone may settle it, and the bond is lost"
    return ""


STEPS: Mapping[State, Step] = {
    State.ACCEPTED: Step(Owner._begin, "begin"),
    State.TRAINING: Step(Owner._train, "train"),
    State.TRAINED: Step(Owner._settle, "end"),
    State.DIVERGED: Step(Owner._settle, "end"),
    State.AUDITING: Step(Owner._answer_audit, "audit"),
}
AFTER_END = Step(Owner._after_end, "end")


def require_request(home: Home, id: AgreementId) -> Agreement:
    """A request on this home's data that waits for an answer.

    Raises:
        NotFound, AccessRefused, Unusable: as `approve`.
    """
    agreement = home.agreements.read(id)
    if agreement.terms.dataset not in {row.id for row in home.journal.datasets()}:
        raise AccessRefused(f"the agreement {id} is about a dataset of another home", "see `fitchain data list --mine`")
    if agreement.state != State.REQUESTED:
        raise Unusable(f"the job {id.short} is {agreement.state.name.lower()} and no longer a request")
    return agreement


def _sealed_reason(home: Home, agreement: Agreement, reason: str) -> Cid | None:
    """The reason, sealed to the scientist; none if nothing was said, or to a scientist without
    a pod that could read it."""
    try:
        recipient = check_recipient(home.registry.pod(agreement.scientist).recipient)
    except (NotFound, InputRefused):
        return None
    return send_refusal(home.store, agreement.id, reason, recipient) if reason else None


def decline(home: Home, id: AgreementId, reason: str) -> None:
    """Send the refusal unless it is sent, by this process or another one of this home."""
    agreement = home.agreements.read(id)
    if agreement.state != State.REQUESTED:
        return
    try:
        receipt = home.agreements.reject(id, _sealed_reason(home, agreement, reason))
    except Reverted:
        if home.agreements.read(id).state == State.CANCELLED:
            return
        raise
    home.journal.record(id, history.Rejected(reason, **history.paid(receipt)), once="")
