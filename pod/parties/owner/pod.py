"""The owner's pod: follows the chain and takes each agreement on its data to its next state.

The chain says where an agreement stands, the journal what a person decided, the job's folder what
is trained already; so the pod keeps nothing in memory that matters, and killing it at any moment
costs no more than the step it was in.

    Requested   examine, ask a person if the policy says so, accept
    Accepted    begin, at once and beside everything else: the chain forgets the seed block
    Training    train, anchor, deliver, end; one job after the other
    Trained     settle, once the scientist's silence has lasted long enough
    Auditing    draw, give evidence for each vote, release the job's identity after a match
    ended       go on with a release, until its window is over; then, once no reorganisation of the
                chain can undo the end, clear away what must not outlive the job; consent to audits
                that others ask for, and answer them
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from fitchain.pod.jobs.exchange import send_refusal
from fitchain.pod.jobs.home import Home, sweep
from fitchain.pod.jobs.journal import APPROVE, REJECT, Decision
from fitchain.pod.jobs.retry import RETRY_S, Log, RetryPolicy
from fitchain.pod.jobs.turns import TURN_S, Turns, describe_verdict
from fitchain.pod.jobs.waiting import show_concerns, shown_concerns
from fitchain.pod.parties.owner.answer import EVIDENCE_FILES, EVIDENCE_LEFT, answer_audit
from fitchain.pod.parties.owner.asked import AskedAudits
from fitchain.pod.parties.owner.examine import check_again, dataset_of, examine
from fitchain.pod.parties.owner.run import (
    ENDED,
    IDENTITY,
    RECORDS,
    SET_ASIDE,
    TrainingSession,
    begin,
    order_nonce,
    record_end,
)
from fitchain.pod.ports.agreement import Agreement, Outcome, Phase, State, commit_key
from fitchain.pod.ports.chain.base import FINAL_BLOCKS
from fitchain.pod.ports.registry import Role
from fitchain.pod.ports.sealed import check_recipient
from fitchain.pod.ports.store import Cid
from fitchain.pod.values.errors import (
    AccessRefused,
    ChainUnusable,
    DatasetChanged,
    FitchainError,
    HostUnusable,
    InputRefused,
    NotFound,
    Reverted,
    StoreUnusable,
    Unusable,
)
from fitchain.pod.values.ids import NO_AGREEMENT, AgreementId, AuditRef, Subject

LOOK_S = 0.2
NOT_NOW = (ChainUnusable, HostUnusable, StoreUnusable, NotFound)
"""What says nothing against a request: it could not be examined, and is again later."""
KEEP_S = 30 * 86_400
"""How long the sealed objects of an ended job stay for a scientist who has not said that it has
them."""
UNTOLD = "the dataset cannot be served now"
"""What the scientist is told of a reason that speaks of the owner's records."""


def approve(home: Home, id: AgreementId, shown: Sequence[str] | None = None) -> None:
    """Keep a person's yes to a request; the owner's pod acts on it, at once if it runs.

    Args:
        home: the owner's.
        id: of the request.
        shown: the concerns that the person was shown, to which alone it says yes: where the pod
            finds others before it accepts, it asks again. Without them, what the pod told last.

    Raises:
        NotFound: there is no such agreement.
        AccessRefused: its dataset is not this home's.
        Unusable: the request is answered already.
    """
    require_request(home, id)
    covered = shown_concerns(home, id, "approval_needed") if shown is None else tuple(shown)
    home.journal.decide(id, Decision(APPROVE, concerns=covered))


def reject(home: Home, id: AgreementId, reason: str = "") -> None:
    """Keep a person's no to a request; the scientist gets its money back.

    Raises:
        NotFound, AccessRefused, Unusable: as `approve`.
        ChainUnusable: the chain does not take it.
    """
    require_request(home, id)
    home.journal.decide(id, Decision(REJECT, reason))
    decline(home, id, reason)


class Owner:
    """The owner's pod.

    Args:
        home: opened with its key.
        log: told what happens, one line each.
        keep_states: keep a job's states after it is settled, so that it can be replayed from the
            middle.
        keep_every: which states a training keeps: every a-th leaf's, and the last.
        look_s: seconds between two looks at the chain.
        retry_s: seconds until something that failed is tried again.
        turn_s: see `Turns`.
        final_blocks: how many blocks must lie on the end of a job before it is cleared away.
    """

    # Many parameters: whose pod it is, and what each person may want otherwise.
    def __init__(
        self,
        home: Home,
        log: Log,
        keep_states: bool = True,
        keep_every: int = 1,
        look_s: float = LOOK_S,
        retry_s: float = RETRY_S,
        turn_s: float = TURN_S,
        final_blocks: int = FINAL_BLOCKS,
    ) -> None:
        self.home, self.log = home, log
        self._turns = Turns(home, turn_s)
        self.keep_states, self.keep_every, self.look_s = keep_states, keep_every, look_s
        self.final_blocks = final_blocks
        self._retry = RetryPolicy(home, log, retry_s)
        self._stop = threading.Event()
        self._counting = threading.Lock()
        self._asked = AskedAudits(home, self._turns, log, final_blocks, self._counting)
        self._busy: dict[Subject, tuple[State | None, Future[None]]] = {}
        self._over: set[AgreementId] = set()
        self._kept: dict[AgreementId, int] = {}
        self._begun: set[AgreementId] = set()

    def run(self, stop: threading.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Follow the chain until `stop` is set.

        Requests are examined, accepted ones begun and audits answered beside a training; jobs train
        one after the other. What strangers ask for again waits for no agreed audit, and none for
        it.

        Args:
            stop: ends it.
            ready: called once the pod is registered and looks at the chain.

        Raises:
            Unusable: another pod runs from this home.
            FitchainError: this pod cannot be registered.
        """
        self._stop = stop
        with (
            self.home.exclusive_lock(),
            ThreadPoolExecutor(1, "answer") as answering,
            ThreadPoolExecutor(1, "begin") as beginning,
            ThreadPoolExecutor(1, "train") as training,
            ThreadPoolExecutor(1, "audit") as auditing,
            ThreadPoolExecutor(1, "asked") as asked,
        ):
            self.home.join_chain(Role.OWNER, self.log)
            pools = {State.REQUESTED: answering, State.ACCEPTED: beginning, State.TRAINING: training}
            pools |= {State.AUDITING: auditing}
            ready()
            while not stop.is_set():
                if self._retry.due(NO_AGREEMENT):
                    self._retry.attempt(NO_AGREEMENT, partial(self._look, pools, asked))
                stop.wait(self.look_s)

    def _look(self, pools: dict[State, ThreadPoolExecutor], asked: ThreadPoolExecutor) -> None:
        """Give every agreement that has not ended, and every audit that others ask for, to whoever
        takes it on."""
        calls = self.home.agreements
        own = calls.list(owner=self.home.keys.address)
        open_ids = [id for id in own if id not in self._over and self._retry.due(id)]
        now = self.home.chain.block("latest").timestamp
        for id in [id for id, until in self._kept.items() if now > until]:
            self._attempt(id, partial(self._release_objects, id))
        for agreement in [agreement for agreement in calls.read_many(open_ids) if self._free(agreement)]:
            act = partial(self._attempt, agreement.id, partial(self._advance, agreement, now))
            if agreement.state in pools:
                self._busy[agreement.id] = agreement.state, pools[agreement.state].submit(act)
            else:
                act()
        for ref in self._asked.look(set(own)):
            if self._retry.due(ref) and (ref not in self._busy or self._busy[ref][1].done()):
                self._busy[ref] = None, asked.submit(partial(self._attempt, ref, partial(self._asked.act, ref)))

    def _free(self, agreement: Agreement) -> bool:
        """Whether nobody is at work for a job. A step that still waits in a lane for a state that
        the job has left is dropped, and keeps it from nothing."""
        if agreement.id not in self._busy:
            return True
        state, step = self._busy[agreement.id]
        return step.done() or (state is not agreement.state and step.cancel())

    def _attempt(self, subject: Subject, act: Callable[[], None]) -> None:
        if not self._stop.is_set():  # what waited for its turn when the pod was asked to stop waits on
            self._retry.attempt(subject, act)

    def _advance(self, agreement: Agreement, now: int) -> None:
        """Take an agreement from where it stands to its next state.

        Args:
            agreement: as the chain has it.
            now: the chain's time, in seconds since 1970.
        """
        id = agreement.id
        # A deadline goes before what the state asks for: the contract refuses that step once it has
        # passed, and a pod that went on trying would train, or pay for gas, for nothing.
        match agreement.state:
            case State.REQUESTED if now > agreement.acceptance_deadline:
                self._give_up(id, "the time to accept it has passed; the scientist may take it back")
            case State.REQUESTED:
                self._answer(agreement)
            case State.ACCEPTED | State.TRAINING if now > agreement.training_deadline:
                self._give_up(
                    id, "the training deadline has passed; anyone may settle it, and half of the bond is lost"
                )
            case State.ACCEPTED:
                begin(self.home, id)
            case State.TRAINING:
                if id not in self._begun:
                    self.log(id, "training")
                    self._begun.add(id)
                self.log(id, TrainingSession(self.home, id, self._stop, self.keep_every)())
            case State.TRAINED | State.DIVERGED:
                self._note_end(id)
                # Silence is acceptance, but only once the time to dispute is over.
                if now > agreement.dispute_deadline:
                    self.home.agreements.settle(id)
            case State.AUDITING:
                self._note_end(id)
                if done := answer_audit(self.home, self._turns, AuditRef(id)):
                    self.log(id, done)
            case state if state.ended:
                self._after_end(agreement)

    def _note_end(self, id: AgreementId) -> None:
        """Write the end of a training into the history, unless it was: the pod may have been cut
        off after the last transaction."""
        if not any(self.home.journal.happened(id, kind) for kind in ENDED.values()):
            record_end(self.home, id)

    def _answer(self, agreement: Agreement) -> None:
        """Examine a request, ask a person if policy or examination say so, accept."""
        home, id = self.home, agreement.id
        decision = home.journal.decision(id)
        if decision is not None and decision.decision == REJECT:
            decline(home, id, decision.reason)
            return
        _, card = dataset_of(home, agreement)
        examined = home.journal.happened(id, "checked")
        if not examined and not self._holds(agreement, partial(self._examine, agreement)):
            return
        concerns = home.journal.last(id, "checked").body["concerns"]
        needed = card.policy.manual_approval or concerns if decision is None else decision.uncovered(concerns)
        if needed:
            if show_concerns(home, id, "approval_needed", concerns):
                why = f" ({'; '.join(concerns)})" if concerns else ""
                self.log(id, f"asks for approval{why}: fitchain job approve {id.short}")
            return
        # A person may have taken days, and from acceptance on changed records cost the bond.
        with self._counting:
            if decision != home.journal.decision(id):
                return  # it was answered anew meanwhile, which the next look sees
            if self._holds(agreement, partial(check_again, home, agreement)):
                self._accept(id)

    def _examine(self, agreement: Agreement) -> None:
        if self.home.journal.record(agreement.id, "checking", once=""):
            self.log(agreement.id, "examining the request")
        concerns = examine(self.home, agreement)
        self.home.journal.record(agreement.id, "checked", once="", concerns=concerns)

    def _holds(self, agreement: Agreement, check: Callable[[], object]) -> bool:
        """Whether a check lets the request pass; if not, it is declined on chain with the reason in
        the journal."""
        try:
            check()
            return True
        except NOT_NOW:
            raise
        except FitchainError as error:
            reason = f"{error.message}; {error.hint}" if error.hint else error.message
            self.home.journal.record(agreement.id, "refused", once="", reason=reason)
            self.log(agreement.id, f"declined: {reason}")
            decline(self.home, agreement.id, UNTOLD if isinstance(error, DatasetChanged) else reason)
            return False

    def _accept(self, id: AgreementId) -> None:
        receipt = self.home.agreements.accept(id, commit_key(order_nonce(self.home, id)))
        self.home.journal.record(id, "accepted", once="", transaction=str(receipt.transaction), gas=receipt.gas_used)
        self.log(id, "accepted")

    def _give_up(self, id: AgreementId, reason: str) -> None:
        """Tell once that a deadline was missed; what is left is for others to do."""
        if self.home.journal.record(id, "late", once=reason, reason=reason):
            self.log(id, reason)

    def _after_end(self, agreement: Agreement) -> None:
        """Answer what is left of an audit, tell how the job ended, clear it away in time."""
        home, id = self.home, agreement.id
        audit = home.audits.read(AuditRef(id))
        if audit.phase not in (Phase.NONE, Phase.CONCLUDED):
            if done := answer_audit(home, self._turns, audit.ref):
                self.log(id, done)
            return
        self._note_end(id)
        if verdict := describe_verdict(home, audit):
            self.log(id, verdict)
        if home.journal.record(id, agreement.state.name.lower(), once=""):
            self.log(id, agreement.state.name.lower())
        if home.chain.block("latest").number >= home.agreements.newest_event(id).block + self.final_blocks:
            self._clear(agreement)

    def _clear(self, agreement: Agreement) -> None:
        """Clear away what an ended agreement needs no more: the records' copy and the job's
        identity, states unless they are kept."""
        home, id = self.home, agreement.id
        folder = home.job_folder(id)
        for name in (RECORDS, IDENTITY):
            (folder / name).unlink(missing_ok=True)
        sweep(folder, (*EVIDENCE_LEFT, EVIDENCE_FILES))
        if not self.keep_states:
            shutil.rmtree(folder / "states", ignore_errors=True)
            sweep(folder, (SET_ASIDE,))
        home.journal.record(id, "wiped", once="", states=not self.keep_states)
        if not home.journal.happened(id, "let_go"):
            self._kept[id] = self._needed_until(agreement)
        self._over.add(id)

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
        return audit.verdict is Outcome.MATCH and not audit.complained and last.timestamp <= audit.deadline

    def _release_objects(self, id: AgreementId) -> None:
        """Give up the sealed objects of an ended job: the scientist has them, or had time to fetch
        them."""
        self.home.release_objects(id)
        self.home.journal.record(id, "let_go", once="")
        del self._kept[id]


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
    home.journal.record(
        id, "rejected", once="", reason=reason, transaction=str(receipt.transaction), gas=receipt.gas_used
    )
