"""The verifier's pod: follows the audits that it is drawn for and takes its seat in each to its
next step.

The chain says where an audit stands, the journal what this pod votes, the job's folder to whom
evidence was sealed; so the pod keeps nothing in memory that matters, and killing it at any moment
costs no more than the step it was in.

    Joining      join with an identity made for this audit; decline where this host is of no class
                 that the job may be of
    Committing   examine the evidence, write the vote down, commit to it
    Revealing    reveal it
    Matched      release the job's identity, if its owner has not by half of the time
    over         collect the fee, forget both identities
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fitchain.pod.compute import environment
from fitchain.pod.compute.dataset import Card
from fitchain.pod.compute.dataset.card import CARD_BYTES
from fitchain.pod.jobs.exchange import send_key
from fitchain.pod.jobs.home import Home, sweep
from fitchain.pod.jobs.retry import RETRY_S, Log, RetryPolicy
from fitchain.pod.jobs.turns import FIRST_SEAT_RANK, TURN_S, Turns, describe_verdict, send
from fitchain.pod.parties.verifier.examine import EVIDENCE, Examination, examine
from fitchain.pod.ports.agreement import Audit, Outcome, Phase, Seat
from fitchain.pod.ports.chain import Receipt
from fitchain.pod.ports.registry import Role
from fitchain.pod.ports.sealed import check_recipient, recipient_of
from fitchain.pod.proof.audit.chain_record import read_chain_record
from fitchain.pod.proof.audit.evidence import Evidence
from fitchain.pod.proof.audit.vote import commitment
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import EnvironmentRefused, NotFound, StoreUnusable, Unusable
from fitchain.pod.values.ids import NO_AGREEMENT, AgreementId
from fitchain.pod.values.recipe import DEFAULT_CLASS

LOOK_S = 0.2
SEAT, JOB = "seat.age", "job.age"
"""The identity that evidence is sealed to, and the job's own, both sealed to this pod."""
DEFAULT_THREADS = 1
WAIT_SHARE = 0.75
"""How much of the time to vote is waited for a store that lacks something or does not answer."""
RELEASE_SHARE = 0.5
"""How much of the time to release the job's identity is left to its owner."""


@dataclass(frozen=True)
class Ballot:
    """What this pod votes in one round."""

    outcome: Outcome
    trace: Digest


class Verifier:
    """The verifier's pod.

    Args:
        home: opened with its key.
        log: told what happens, one line each.
        look_s: seconds between two looks at the chain.
        retry_s: seconds until something that failed is tried again.
        turn_s: see `Turns`.
        examiner: comes to an outcome; another one serves tests of what happens to who does not
            replay.
    """

    def __init__(
        self,
        home: Home,
        log: Log,
        look_s: float = LOOK_S,
        retry_s: float = RETRY_S,
        turn_s: float = TURN_S,
        examiner: Callable[..., Examination] = examine,
    ) -> None:
        self.home, self.log, self.look_s, self.examiner = home, log, look_s, examiner
        self._retry = RetryPolicy(home, log, retry_s)
        self._turns = Turns(home, turn_s)
        self._stop = threading.Event()
        self._busy: dict[AgreementId, Future[None]] = {}
        self._mine: dict[AgreementId, None] = {}
        self._over: set[AgreementId] = set()
        self._next_block: int | None = None

    def run(self, stop: threading.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Follow the chain until `stop` is set.

        Votes are come to one after the other, beside everything else.

        Args:
            stop: ends it.
            ready: called once the pod is registered and looks at the chain.

        Raises:
            Unusable: another pod runs from this home.
            FitchainError: this pod cannot be registered.
        """
        self._stop = stop
        with self.home.exclusive_lock(), ThreadPoolExecutor(1, "examine") as examining:
            self.home.chain.catch_up()
            self.home.register_or_update(Role.VERIFIER)
            ready()
            while not stop.is_set():
                if self._retry.due(NO_AGREEMENT):
                    self._retry.attempt(NO_AGREEMENT, partial(self._look, examining))
                stop.wait(self.look_s)

    def _look(self, examining: ThreadPoolExecutor) -> None:
        """Take on every audit in which this account has sat and that is not over."""
        self._find()
        for id in [id for id in self._mine if id not in self._over and self._free(id)]:
            audit = self.home.audits.read(id)
            act = partial(self._attempt, id, partial(self._act, audit))
            if audit.phase == Phase.COMMITTING:
                self._busy[id] = examining.submit(act)
            else:
                act()

    def _find(self) -> None:
        """Read the draws since the last look."""
        head = self.home.chain.head()
        if self._next_block is not None and head < self._next_block:
            return
        for draw in self.home.audits.draws(from_block=self._next_block, to_block=head):
            if self.home.keys.address in draw.seats:
                self._mine[draw.id] = None
                if self.home.journal.record(draw.id, "drawn", once=str(draw.round), round=draw.round):
                    self.log(draw.id, "drawn as a verifier")
        self._next_block = head + 1

    def _free(self, id: AgreementId) -> bool:
        return (id not in self._busy or self._busy[id].done()) and self._retry.due(id)

    def _attempt(self, id: AgreementId, act: Callable[[], None]) -> None:
        if not self._stop.is_set():  # what waited for its turn when the pod was asked to stop waits on
            self._retry.attempt(id, act)

    def _act(self, read: Audit) -> None:
        """Take the seat to its next step.

        Args:
            read: the audit as it stood; it is read again, since this may have waited for its turn.
        """
        self.home.chain.catch_up()  # else what was sent and is not mined yet would be sent again
        audit, now = self.home.audits.read(read.id), self.home.chain.block("latest").timestamp
        seat = audit.seat_of(self.home.keys.address)
        if audit.phase.over or seat is None:
            self._end(audit)
            return
        if self._turns.bring_on(audit, FIRST_SEAT_RANK + seat.number) or now > audit.deadline:
            return
        match audit.phase:
            case Phase.JOINING if not (seat.joined or seat.declined):
                self._join(audit, seat)
            case Phase.COMMITTING if seat.joined and not seat.committed:
                self._commit(audit, seat)
            case Phase.REVEALING if seat.committed and not seat.revealed:
                self._reveal(audit, seat)
            case Phase.MATCHED if seat.joined and now > audit.deadline - (1 - RELEASE_SHARE) * audit.window:
                self._release(audit)

    def _join(self, audit: Audit, seat: Seat) -> None:
        try:
            check_host(self.home, audit.id)
        except EnvironmentRefused as error:
            if self._send(audit, "declined", self.home.audits.decline, seat.number, reason=error.message):
                self.log(audit.id, f"declined the seat: {error.message}")
            return
        secret = self.home.kept_identity(self._folder(audit.id) / SEAT)
        if self._send(audit, "joined", self.home.audits.join, seat.number, recipient_of(secret)):
            self.log(audit.id, "took the seat")

    def _commit(self, audit: Audit, seat: Seat) -> None:
        ballot = self._ballot(audit) or self._vote(audit)
        if ballot is None:
            return
        bound = commitment(
            audit.id, audit.round, self.home.keys.address, ballot.outcome, ballot.trace, self._salt(audit)
        )
        if self._send(audit, "committed", self.home.audits.commit, seat.number, bound):
            self.log(audit.id, "committed to a vote")

    def _reveal(self, audit: Audit, seat: Seat) -> None:
        if (ballot := self._ballot(audit)) is None:
            raise NotFound(f"the journal does not know the vote on {audit.id}", "restore the home that committed to it")
        words = seat.number, ballot.outcome, ballot.trace, self._salt(audit)
        if self._send(audit, "revealed", self.home.audits.reveal, *words, outcome=ballot.outcome.name):
            self.log(audit.id, f"voted {ballot.outcome.name.lower()}")

    def _release(self, audit: Audit) -> None:
        """Hand the job's identity to the scientist in the owner's stead."""
        path = self._folder(audit.id) / JOB
        if not path.exists():
            return
        scientist = self.home.agreements.read(audit.id).scientist
        recipient = check_recipient(self.home.registry.pod(scientist).recipient)
        key = send_key(self.home.store, audit.id, self.home.read_secret(path), recipient)
        if self._send(audit, "released", self.home.audits.release, key, key=str(key)):
            self.log(audit.id, "released the trained model in its owner's stead")

    def _end(self, audit: Audit) -> None:
        """Collect what was earned, and forget what must not outlive the audit."""
        folder = self._folder(audit.id)
        sweep(folder)
        if verdict := describe_verdict(self.home, audit):
            self.log(audit.id, verdict)
        if audit.phase.over and self.home.audits.verifier(self.home.keys.address).earned:
            receipt = self.home.audits.withdraw()
            self.home.journal.record(audit.id, "collected", transaction=str(receipt.transaction), gas=receipt.gas_used)
        for name in (SEAT, JOB):
            (folder / name).unlink(missing_ok=True)
        self.home.journal.record(audit.id, "wiped", once="")
        self._over.add(audit.id)

    # The vote

    def _ballot(self, audit: Audit) -> Ballot | None:
        """The vote of this round, if it was written down."""
        if (written := self.home.journal.fact(audit.id, f"ballot/{audit.round}")) is None:
            return None
        body = json.loads(written)
        return Ballot(Outcome[body["outcome"]], Digest.parse(body["trace"]))

    def _vote(self, audit: Audit) -> Ballot | None:
        """Examine the evidence and write the vote down; None while there is no evidence."""
        try:
            examination = self._examination(audit)
        except StoreUnusable:
            if not self._is_late(audit):
                raise
            examination = Examination(Outcome.INCONCLUSIVE, ZERO)
        except Unusable as error:  # this host cannot say: another class, too little memory
            self.home.journal.record(audit.id, "cannot_replay", once=str(audit.round), reason=error.message)
            self.log(audit.id, f"cannot replay: {error.message}")
            examination = Examination(Outcome.INCONCLUSIVE, ZERO)
        if examination is None:
            return None
        body = {"outcome": examination.outcome.name, "trace": str(examination.trace)}
        self.home.journal.keep_fact(audit.id, f"ballot/{audit.round}", json.dumps(body))
        details = {"problems": [str(problem) for problem in examination.problems], "segments": len(examination.audited)}
        self.home.journal.record(
            audit.id, "examined", once=str(audit.round), outcome=examination.outcome.name, **details
        )
        return Ballot(examination.outcome, examination.trace)

    def _examination(self, audit: Audit) -> Examination | None:
        """What the evidence of this round comes to; None while its event has too few confirmations.

        Raises:
            FitchainError: it cannot be examined now, or not here.
        """
        home, id = self.home, audit.id
        if not any(
            event.name == "EvidenceSubmitted" and event.args["round"] == audit.round for event in home.audits.events(id)
        ):
            return None
        if (cid := home.audits.evidence(audit)) is None:
            return Examination(Outcome.WITHHELD, ZERO)
        chain_record, folder = read_chain_record(home.chain, id, audit.seed, audit.round), self._folder(id)
        home.add_peer(home.agreements.read(id).terms.owner)
        secret = home.read_secret(folder / SEAT)
        sweep(folder)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".audit-") as scratch:
            examination = self.examiner(home.store, cid, secret, chain_record, Path(scratch))
            if not examination.lasting and not self._is_late(audit):
                why = "; ".join(str(problem) for problem in examination.problems)
                raise StoreUnusable(f"the evidence of {id} cannot be seen yet: {why}", "it is looked for again")
            if examination.outcome == Outcome.MATCH:
                home.keep_secret(folder / JOB, Evidence.read(Path(scratch) / EVIDENCE).identity)
        return examination

    def _is_late(self, audit: Audit) -> bool:
        """Whether so little of the time to vote is left that nothing is waited for any more."""
        return self.home.chain.block("latest").timestamp > audit.deadline - (1 - WAIT_SHARE) * audit.window

    def _salt(self, audit: Audit) -> Digest:
        """What hides a vote until it is revealed: derived from the pod's secret, so that a restart
        finds it."""
        return Digest(self.home.keys.derive("fitchain/vote/v2", audit.id, audit.round))

    def _send(self, audit: Audit, kind: str, step: Callable[..., Receipt], *args: Any, **details: Any) -> bool:
        """Send a step of the seat and write it down; False where the audit has moved on."""
        if (receipt := send(self.home, audit, step, *args)) is None:
            return False
        body = {"round": audit.round, "transaction": str(receipt.transaction), "gas": receipt.gas_used, **details}
        self.home.journal.record(audit.id, kind, once=str(audit.round), **body)
        return True

    def _folder(self, id: AgreementId) -> Path:
        return self.home.job_folder(id)


def check_host(home: Home, id: AgreementId) -> None:
    """Check before a seat is taken that this host can replay the job, as far as can be known then:
    its recipe is sealed.

    Jobs are of the default class unless their dataset's card names the probe of another one.

    Raises:
        EnvironmentRefused: this host reproduces neither the default class nor one of the card's.
        ChainUnusable, StoreUnusable, NotFound: it cannot be said now.
    """
    cache = environment.host_cache()
    try:
        environment.describe_host(DEFAULT_CLASS, DEFAULT_THREADS, cache)
    except EnvironmentRefused:
        terms = home.agreements.terms(id)
        home.add_peer(terms.owner)
        card = Card.parse(home.store.cat(home.registry.dataset(terms.dataset).card, CARD_BYTES))
        if not any(_reproduces(name, probe, cache) for name, probe in card.probes.items()):
            raise


def _reproduces(name: str, probe: str, cache: Path) -> bool:
    try:
        return str(environment.describe_host(name, DEFAULT_THREADS, cache).probe) == probe
    except EnvironmentRefused:
        return False
