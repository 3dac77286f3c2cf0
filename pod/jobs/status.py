"""Where a job stands: what the chain says of it, with what this home's journal adds, read once or again and again.

After `home`. What is true of an agreement is read from the chain; the journal adds what only this pod knows (metrics from the
notes, errors, decisions). Nothing here needs a key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from fitchain.pod.jobs.journal import Entry
from fitchain.pod.ports.agreement import Agreement, Audit, Phase, RunRecord, Seat, State, Vote
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.ids import AgreementId

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home

LOOK_S = 0.4


@dataclass(frozen=True)
class AuditStatus:
    """An audit with what its events tell.

    Args:
        audit: as it stands.
        votes: revealed in any round.
        penalties: what verifiers lost, in base units.
    """

    audit: Audit
    votes: tuple[Vote, ...] = ()
    penalties: tuple[tuple[str, int], ...] = ()

    def vote_of(self, seat: Seat) -> Vote | None:
        """The vote that a seat revealed in the present round."""
        votes = [vote for vote in self.votes if (vote.round, vote.verifier) == (self.audit.round, seat.verifier)]
        return votes[-1] if votes else None


@dataclass(frozen=True)
class JobStatus:
    """A job at one moment.

    Args:
        agreement, proof: as the chain has them.
        transactions: how many the job took so far, from request on.
        gas: what they used in all.
        losses: (step, loss) as far as this home knows them.
        accuracy: the newest, if this home knows one.
        history: what this home's pod wrote down, oldest first.
        now: the chain's own time, seconds since 1970.
        audit: its audit; None where none was opened.
    """

    agreement: Agreement
    proof: RunRecord
    transactions: int
    gas: int
    losses: tuple[tuple[int, float], ...]
    accuracy: float | None
    history: tuple[Entry, ...]
    now: int
    audit: AuditStatus | None = None

    def __str__(self) -> str:
        """One line, as a notebook prints it: `Training, 17 of 57 checkpoints, loss 0.2817`."""
        loss = f", loss {self.losses[-1][1]:.4f}" if self.losses else ""
        return f"{self.state.name.capitalize()}, {self.checkpoints} of {self.leaf_count} checkpoints{loss}"

    @property
    def state(self) -> State:
        """Where its agreement stands."""
        return self.agreement.state

    @property
    def leaf_count(self) -> int:
        """Checkpoints that the whole run has, leaf 0 included."""
        terms = self.agreement.terms
        count: int = -(-terms.steps // terms.segment) + 1
        return count

    @property
    def checkpoints(self) -> int:
        """Checkpoints known so far: anchored ones, or newer ones of this home's own training."""
        own: list[int] = [entry.body["index"] + 1 for entry in self.history if entry.kind == "checkpoint"]
        return max([self.proof.count, *own])

    def over(self, until_settled: bool = False) -> bool:
        """Whether its training has ended; or, until it is settled, whether money has moved."""
        trained = self.state in (State.TRAINED, State.DIVERGED, State.AUDITING)
        return self.state.ended or (trained and not until_settled)


class StatusReader:
    """Reads how one job stands again and again; receipts, which never change, only once."""

    def __init__(self, home: Home, id: AgreementId) -> None:
        self._home, self._id = home, id
        self._gas: dict[Digest, int] = {}

    def read(self) -> JobStatus:
        """The job as it stands now.

        Raises:
            NotFound: there is no such agreement.
            ChainUnusable: the node does not answer.
        """
        home = self._home
        agreement = home.agreements.read(self._id)
        history = tuple(home.journal.history(self._id))
        for transaction in {event.transaction for event in home.agreements.events(self._id)} - set(self._gas):
            receipt = home.chain.receipt(transaction)
            if receipt is not None:
                self._gas[transaction] = receipt.gas_used
        losses, accuracy = _metrics(history, agreement)
        proof = home.agreements.proof(self._id)
        now = home.chain.block("latest").timestamp
        audit = read_audit(home, self._id) if proof.end_block is not None and agreement.terms.audit.seats else None
        spent = (len(self._gas), sum(self._gas.values()))
        return JobStatus(agreement, proof, *spent, losses, accuracy, history, now, audit)


class Reads(Protocol):
    """Whatever reads how a job stands; `StatusReader` is one."""

    def read(self) -> JobStatus:
        """The job as it stands now."""
        ...


def read_audit(home: Home, id: AgreementId) -> AuditStatus | None:
    """An agreement's audit; None where none was opened."""
    audit = home.audits.read(id)
    if audit.phase == Phase.NONE:
        return None
    votes = home.audits.votes(audit) if audit.phase >= Phase.REVEALING or audit.round else []
    penalties = home.audits.penalties(id) if audit.round or audit.verdict else {}
    return AuditStatus(audit, tuple(votes), tuple(penalties.items()))


def looks(reader: Reads, until_settled: bool = False, before: Callable[[], None] = lambda: None) -> Iterator[JobStatus]:
    """Look at a job again and again until it is over.

    Args:
        reader: reads it.
        until_settled: whether to go on after its training has ended, until money has moved.
        before: called before each look.

    Yields:
        how it stands, at each look.
    """
    while True:
        before()
        status = reader.read()
        yield status
        if status.over(until_settled):
            return
        time.sleep(LOOK_S)


def changes(statuses: Iterator[JobStatus]) -> Iterator[JobStatus]:
    """Leave out what differs from the status before it in nothing but the time."""
    last = None
    for status in statuses:
        if last is None or replace(status, now=last.now) != last:
            yield status
        last = status


def list_jobs(home: Home) -> list[Agreement]:
    """The agreements in which this home is the owner or the scientist, oldest first.

    Raises:
        AccessRefused: the home was opened without its key.
    """
    calls, own = home.agreements, home.keys.address
    return calls.read_many([*calls.list(owner=own), *calls.list(scientist=own)])


def _metrics(history: Sequence[Entry], agreement: Agreement) -> tuple[tuple[tuple[int, float], ...], float | None]:
    losses: dict[int, float] = {}
    accuracy = None
    for entry in history:
        metrics = entry.body.get("metrics") or {}
        loss = entry.body.get("loss", metrics.get("loss"))
        if loss is not None:
            step = entry.body.get("step", (entry.body.get("count", 1) - 1) * agreement.terms.segment)
            losses[min(step, agreement.terms.steps)] = float(loss)
        accuracy = entry.body.get("accuracy", metrics.get("accuracy", accuracy))
    return tuple(sorted(losses.items())), accuracy
