"""The owner's pod: follows the chain and takes each agreement on its data to its next state.

The chain says where an agreement stands, the journal what a person decided, the job's folder what is trained already; so the pod
keeps nothing in memory that matters, and killing it at any moment costs no more than the step it was in.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from pod.agreement import Agreement, State, commit_nonce
from pod.dataset import Card
from pod.digest import Digest
from pod.errors import AccessRefused, ChainUnusable, FitchainError, StoreUnusable, Unusable
from pod.home import Home
from pod.owner.examine import examine
from pod.owner.run import IDENTITY, RECORDS, Run, Stopped, order_nonce
from pod.registry import Role

LOOK_S = 0.2
RETRY_S = 5.0
Say = Callable[[Digest, str], None]


def approve(home: Home, id: Digest) -> None:
    """Say yes to a request; the owner's pod acts on it, at once if it runs.

    Raises:
        NotFound: there is no such agreement.
        AccessRefused: its dataset is not this home's.
        Unusable: the request is answered already.
    """
    _require_request(home, id)
    home.journal.decide(id, "approve")


def reject(home: Home, id: Digest, reason: str = "") -> None:
    """Say no to a request; the scientist gets its money back.

    Raises:
        NotFound, AccessRefused, Unusable: as `approve`.
        ChainUnusable: the chain does not take it.
    """
    _require_request(home, id)
    home.journal.decide(id, "reject", reason)
    _decline(home, id, reason)


class Owner:
    """The owner's pod.

    Args:
        home: opened with its key.
        say: told what happens, one line each.
        keep_states: keep a job's states after it is settled, so that it can be replayed from the middle.
        keep_every: which states a training keeps: every a-th leaf's, and the last.
        look_s: seconds between two looks at the chain.
    """

    def __init__(
        self, home: Home, say: Say, keep_states: bool = True, keep_every: int = 1, look_s: float = LOOK_S
    ) -> None:
        self.home, self.say = home, say
        self.keep_states, self.keep_every, self.look_s = keep_states, keep_every, look_s
        self._stop = threading.Event()
        self._ended: set[Digest] = set()
        self._errors: dict[Digest, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Follow the chain until `stop` is set.

        Requests are examined beside a training; jobs train one after the other.

        Raises:
            FitchainError: this pod cannot be registered.
        """
        self._stop = stop
        self.home.registry.register_pod(Role.OWNER, self.home.keys.recipient)
        with ThreadPoolExecutor(1, "examine") as examining, ThreadPoolExecutor(1, "train") as training:
            self._pools = {State.REQUESTED: examining, State.ACCEPTED: training, State.TRAINING: training}
            self._busy: dict[Digest, Future[None]] = {}
            while not stop.is_set():
                self._guard(None, self._look)
                stop.wait(self.look_s)

    def _look(self) -> None:
        """Give every agreement that has not ended to whoever takes it on."""
        for id in self.home.agreements.list(owner=self.home.keys.address):
            if id in self._ended or (id in self._busy and not self._busy[id].done()):
                continue
            agreement = self.home.agreements.read(id)
            pool = self._pools.get(agreement.state)
            if pool is None:
                self._guard(id, partial(self._settle, agreement))
            else:
                self._busy[id] = pool.submit(self._guard, id, partial(self._advance, agreement))

    def _guard(self, id: Digest | None, act: Callable[[], None]) -> None:
        """Do one thing; what goes wrong is told once, and tried again after a while."""
        try:
            act()
            self._errors.pop(id or Digest(bytes(32)), None)
        except Stopped:
            return
        except FitchainError as error:
            self._tell_error(id, error)
            self._stop.wait(RETRY_S)

    def _tell_error(self, id: Digest | None, error: FitchainError) -> None:
        key = id or Digest(bytes(32))
        if self._errors.get(key) == error.message:
            return
        self._errors[key] = error.message
        self.say(key, f"{error.message} ({error.hint})" if error.hint else error.message)
        if id is not None:
            self.home.journal.record(id, "error", message=error.message, hint=error.hint)

    def _advance(self, agreement: Agreement) -> None:
        if agreement.state == State.REQUESTED:
            self._answer(agreement)
        else:
            self.say(agreement.id, "training")
            Run(self.home, agreement.id, self._stop, self.keep_every)()
            self.say(agreement.id, "trained and delivered")

    def _answer(self, agreement: Agreement) -> None:
        """Examine a request, ask a person if the policy says so, accept."""
        home, id = self.home, agreement.id
        if not home.journal.happened(id, "checked") and not self._examine(agreement):
            return
        card = Card.parse(home.journal.dataset(agreement.terms.dataset).card)
        decision = home.journal.decision(id)
        if decision is not None and decision.decision == "reject":
            _decline(home, id, decision.reason)
        elif card.policy.manual_approval and decision is None:
            if home.journal.record(id, "approval_needed", once=""):
                self.say(id, f"asks for approval: fitchain job approve {id.short}")
        else:
            self._accept(agreement)

    def _examine(self, agreement: Agreement) -> bool:
        """Whether the request may be accepted; if it may not, it is declined on chain with the reason in the journal."""
        self.home.journal.record(agreement.id, "checking")
        self.say(agreement.id, "examining the request")
        try:
            examine(self.home, agreement)
        except (ChainUnusable, StoreUnusable):
            raise
        except FitchainError as error:
            reason = f"{error.message}{'; ' + error.hint if error.hint else ''}"
            self.home.journal.record(agreement.id, "refused", reason=reason)
            self.say(agreement.id, f"declined: {reason}")
            _decline(self.home, agreement.id, reason)
            return False
        self.home.journal.record(agreement.id, "checked", once="")
        return True

    def _accept(self, agreement: Agreement) -> None:
        commitment = commit_nonce(order_nonce(self.home, agreement.id))
        receipt = self.home.agreements.accept(agreement.id, commitment)
        self.home.journal.record(
            agreement.id, "accepted", once="", transaction=str(receipt.transaction), gas=receipt.gas_used
        )
        self.say(agreement.id, "accepted")

    def _settle(self, agreement: Agreement) -> None:
        """Collect what silence settles, and clear away what an ended agreement needs no more."""
        home, id = self.home, agreement.id
        if agreement.state in (State.TRAINED, State.DIVERGED):
            now = home.chain.block("latest").timestamp
            if now > agreement.dispute_deadline:
                home.agreements.settle(id)
            return
        if agreement.state.ended:
            home.journal.record(id, agreement.state.name.lower(), once="")
            self._clear(id)
            self._ended.add(id)
            self.say(id, agreement.state.name.lower())

    def _clear(self, id: Digest) -> None:
        """Wipe what must not outlive the job: the records' copy and the job's identity, and the states unless they are kept."""
        folder = self.home.job_folder(id)
        for name in (RECORDS, IDENTITY):
            (folder / name).unlink(missing_ok=True)
        if not self.keep_states:
            shutil.rmtree(folder / "states", ignore_errors=True)
        self.home.journal.record(id, "wiped", once="", states=not self.keep_states)


def _require_request(home: Home, id: Digest) -> None:
    agreement = home.agreements.read(id)
    if agreement.terms.dataset not in {row.id for row in home.journal.datasets()}:
        raise AccessRefused(f"the agreement {id} is about a dataset of another home", "see `fitchain data list --mine`")
    if agreement.state != State.REQUESTED:
        raise Unusable(f"the agreement {id} is {agreement.state.name.lower()} and no longer a request")


def _decline(home: Home, id: Digest, reason: str) -> None:
    """Send the refusal unless it is sent."""
    if home.agreements.read(id).state == State.REQUESTED:
        receipt = home.agreements.reject(id)
        home.journal.record(
            id, "rejected", once="", reason=reason, transaction=str(receipt.transaction), gas=receipt.gas_used
        )
