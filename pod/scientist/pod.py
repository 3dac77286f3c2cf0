"""The scientist's pod: follows its jobs, reads the owner's notes, receives and checks results, accepts them if told to.

`follow` is one look at one job and may be called by anyone who holds the home (a waiting command, say); the pod calls it for all
jobs, again and again. Whatever is written to the history is written once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from pod.agreement import Agreement, Anchor, State
from pod.digest import ZERO, Digest, tree_root
from pod.errors import ClaimMismatch, FitchainError, Refuted
from pod.home import Home
from pod.parcel import Note, fetch_note
from pod.registry import Role
from pod.scientist.receive import accept_result, receive

LOOK_S = 0.2
RETRY_S = 5.0
Say = Callable[[Digest, str], None]


class Scientist:
    """The scientist's pod.

    Args:
        home: opened with its key.
        auto_accept: accept a result as soon as its certificate holds; else a person accepts, or silence does.
        say: told what happens, one line each.
        look_s: seconds between two looks at the chain.
    """

    def __init__(self, home: Home, auto_accept: bool, say: Say, look_s: float = LOOK_S) -> None:
        self.home, self.auto_accept, self.say, self.look_s = home, auto_accept, say, look_s
        self._ended: set[Digest] = set()
        self._errors: dict[Digest, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Follow the chain until `stop` is set.

        Raises:
            FitchainError: this pod cannot be registered.
        """
        self.home.registry.register_pod(Role.SCIENTIST, self.home.keys.recipient)
        while not stop.is_set():
            stop.wait(self.look_s if self._look() else RETRY_S)

    def _look(self) -> bool:
        """Follow every job that has not ended; False if something could not be done now."""
        well = True
        try:
            ids = self.home.agreements.list(scientist=self.home.keys.address)
        except FitchainError as error:
            self._tell_error(ZERO, error)
            return False
        for id in ids:
            if id in self._ended:
                continue
            try:
                if follow(self.home, id, self.auto_accept, self.say).ended:
                    self._ended.add(id)
                self._errors.pop(id, None)
            except FitchainError as error:
                self._tell_error(id, error)
                well = False
        return well

    def _tell_error(self, id: Digest, error: FitchainError) -> None:
        """Tell what went wrong, once."""
        if self._errors.get(id) == error.message:
            return
        self._errors[id] = error.message
        self.say(id, f"{error.message} ({error.hint})" if error.hint else error.message)
        if id != ZERO:
            kind = "refuted" if isinstance(error, Refuted) else "error"
            self.home.journal.record(id, kind, message=error.message, hint=error.hint)


def follow(home: Home, id: Digest, auto_accept: bool, say: Say) -> State:
    """Look at one job: read its new notes, receive its result, accept it if told to.

    Returns:
        where the job stands now.

    Raises:
        Refuted: a note or the delivery is not what the chain says; nothing is accepted.
        FitchainError: something could not be done now; calling again goes on from there.
    """
    agreement = home.agreements.read(id)
    if agreement.state not in (State.REQUESTED, State.ACCEPTED, State.CANCELLED):
        _read_notes(home, agreement, say)
    if agreement.state in (State.TRAINED, State.DIVERGED, State.SETTLED):
        fresh = not home.journal.happened(id, "received")
        receive(home, id)
        if fresh:
            say(id, "received the trained model; its certificate holds")
    if auto_accept and agreement.state in (State.TRAINED, State.DIVERGED):
        accept_result(home, id)
        say(id, "accepted the result")
    state = home.agreements.read(id).state
    if home.journal.record(id, state.name.lower(), once=""):
        say(id, state.name.lower())
    return state


def _read_notes(home: Home, agreement: Agreement, say: Say) -> None:
    """Open the notes of anchors that have not been read yet."""
    read = {entry.body["count"] for entry in home.journal.history(agreement.id) if entry.kind == "note"}
    for index, anchor in enumerate(home.agreements.proof(agreement.id).anchors):
        if anchor.count in read or anchor.note is None:
            continue
        note = fetch_note(home.store, anchor.note, home.keys.identity)
        _check_note(agreement, anchor, note, index)
        body = {"count": anchor.count, "step": note.step, "metrics": note.metrics, "block": anchor.block}
        home.journal.record(agreement.id, "note", once=str(anchor.count), **body)
        say(agreement.id, f"{anchor.count} checkpoints anchored in block {anchor.block}{_told(note)}")


def _check_note(agreement: Agreement, anchor: Anchor, note: Note, index: int) -> None:
    root = tree_root(note.leaves)
    if note.agreement != agreement.id or note.first != index * agreement.terms.group or root != anchor.root:
        raise ClaimMismatch(
            f"the note of anchor {index} is about leaves from {note.first} under {root}, and the chain has {anchor.root}",
            "the owner's note and its anchor disagree: do not accept the result before it explains",
        )


def _told(note: Note) -> str:
    return "".join(f", {name} {value:g}" for name, value in (note.metrics or {}).items())
