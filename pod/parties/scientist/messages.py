"""What an owner's pod says to a scientist while it decides and trains: the reason of a refusal, and
a note for each anchor.

The chain holds where they lie, the store the sealed text. The scientist's pod reads them as they
come; a command that holds the home's keys reads what no pod has read yet. Each is written into the
history once, by whoever comes first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from fitchain.pod.jobs import history
from fitchain.pod.jobs.exchange import Note, fetch_note, fetch_refusal
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.retry import Log
from fitchain.pod.ports.agreement import Agreement, Anchor, State
from fitchain.pod.values.digest import tree_root
from fitchain.pod.values.errors import ClaimMismatch, FitchainError
from fitchain.pod.values.ids import AgreementId


@dataclass(frozen=True)
class Unread:
    """What was said to a scientist and is not in its history yet.

    Args:
        refusal: whether the owner gave a reason for declining.
        notes: so many anchors have a note.
    """

    refusal: bool = False
    notes: int = 0

    def __bool__(self) -> bool:
        return self.refusal or self.notes > 0


def unread(home: Home, agreement: Agreement) -> Unread:
    """What of the owner's messages this home has not read; no key is needed.

    Raises:
        ChainUnusable: the node does not answer.
    """
    id = agreement.id
    cancelled = agreement.state is State.CANCELLED and not home.journal.happened(id, history.Refused)
    refusal = cancelled and home.agreements.refusal(id) is not None
    return Unread(refusal, sum(1 for _ in _unread_notes(home, agreement)))


def read_messages(home: Home, agreement: Agreement, log: Log, within_s: float | None = None) -> FitchainError | None:
    """Read whatever is unread, as a command does once or again and again.

    Args:
        home: the scientist's, opened with its key.
        agreement: the job.
        log: told what was read.
        within_s: seconds after which no other note is begun.

    Returns:
        what is wrong with the first that could not be read; nothing is raised for it.
    """
    try:
        if agreement.state is State.CANCELLED:
            read_refusal(home, agreement.id, log)
        return read_notes(home, agreement, log, within_s)
    except FitchainError as error:
        return error


def read_refusal(home: Home, id: AgreementId, log: Log) -> None:
    """Open the reason that the owner gave for declining, if it gave one."""
    cid = home.agreements.refusal(id)
    if cid is None or home.journal.happened(id, history.Refused):
        return
    home.add_peer(home.agreements.read(id).terms.owner)
    reason = fetch_refusal(home.store, id, cid, home.keys.identity)
    said = [event.block for event in home.agreements.events(id) if event.name == "Rejected"]
    home.journal.record(id, history.Refused(reason), once="", at=_time_of(home, said[0]))
    log(id, f"the owner declined: {reason}")


def read_notes(home: Home, agreement: Agreement, log: Log, within_s: float | None = None) -> FitchainError | None:
    """Open the notes of anchors that have not been read yet.

    Args:
        home, agreement, log, within_s: as `read_messages`.

    Returns:
        what is wrong with the first that could not be read, or is not the note of its anchor.
    """
    problem: FitchainError | None = None
    begun_s = time.monotonic()
    for index, anchor in _unread_notes(home, agreement):
        if within_s is not None and time.monotonic() - begun_s > within_s:
            break
        try:
            note, at = _note(home, agreement, anchor, index), _time_of(home, anchor.block)
        except FitchainError as error:
            problem = problem if isinstance(problem, ClaimMismatch) else error
            continue
        entry = history.NoteRead(anchor.count, note.step, note.metrics, anchor.block)
        home.journal.record(agreement.id, entry, once=_once(anchor), at=at)
        log(agreement.id, f"{anchor.count} checkpoints anchored in block {anchor.block}{_describe_metrics(note)}")
    return problem


def _time_of(home: Home, block: int) -> float:
    """When a block was made: what it says may be read hours after it was said."""
    return float(home.chain.block(block).timestamp)


def _unread_notes(home: Home, agreement: Agreement) -> Iterator[tuple[int, Anchor]]:
    """The anchors with a note that is not in the history, and their places."""
    for index, anchor in enumerate(home.agreements.run_record(agreement.id).anchors):
        if anchor.note is not None and not home.journal.has(agreement.id, history.NoteRead, _once(anchor)):
            yield index, anchor


def _once(anchor: Anchor) -> str:
    """Which anchor it is: a reorganisation of the chain may put another in its place."""
    return f"{anchor.count}/{anchor.root}"


def _note(home: Home, agreement: Agreement, anchor: Anchor, index: int) -> Note:
    """Fetch and open the note of an anchor.

    Raises:
        ClaimMismatch: it is about another job, or about other leaves than those anchored; or it
            tells metrics, which are exact numbers of the records, beside the noise of a job that is
            charged to a privacy ledger.
        FitchainError: it is not there, does not open, or is no note.
    """
    assert anchor.note is not None
    home.add_peer(agreement.terms.owner)
    note = fetch_note(home.store, anchor.note, home.keys.identity)
    root = tree_root(note.leaves)
    if note.agreement != agreement.id or note.first != index * agreement.terms.group_leaves or root != anchor.root:
        raise ClaimMismatch(
            f"the note of anchor {index} is about leaves from {note.first} of {note.agreement} under {root},"
            f" and the chain has {anchor.root}",
            "the owner's note and its anchor disagree: do not accept the result before it explains",
        )
    if agreement.terms.charge and note.metrics:
        raise ClaimMismatch(
            f"the note of anchor {index} tells metrics of a private training, which no budget covers",
            "tell the owner: its pod is not the one that this protocol asks for",
        )
    return note


def _describe_metrics(note: Note) -> str:
    return "".join(f", {name} {value:g}" for name, value in (note.metrics or {}).items())
