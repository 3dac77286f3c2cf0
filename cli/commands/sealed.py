"""What commands open that was sealed to this home: an offer before its pod has examined it, an
owner's notes and refusal where no pod of the scientist's runs.

They read it if the passphrase is at hand, in a file or from the terminal; what cannot be read is a
line of what they show, and no error of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fitchain.cli.command import Session
from fitchain.cli.views.amounts import counted
from fitchain.cli.views.output import log
from fitchain.pod.values.errors import FitchainError, NotFound, Unusable

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.parties.owner.review import Review
    from fitchain.pod.parties.scientist.messages import Unread
    from fitchain.pod.ports.agreement import Agreement

READ_S = 20.0
"""How long `job show` goes on reading notes."""


def look_at_offer(session: Session, review: Review) -> tuple[Review, str]:
    """Add to a review what the request offers, where it is not there yet.

    Returns:
        the review, and why it is without an offer still; empty where it is with one.
    """
    if review.offered is not None:
        return review, ""
    from fitchain.pod.parties.owner.review import opened

    try:
        keys = session.unlocked("what it offers is sealed to you until the pod has examined it")
        return opened(keys, review), ""
    except FitchainError as error:
        return review, f"sealed, and not shown: {_told(error)}"


def require_offer(session: Session, review: Review) -> Review:
    """The same for who is about to say yes, which nobody does unseen.

    Raises:
        Unusable: what it offers cannot be shown.
    """
    reviewed, unopened = look_at_offer(session, review)
    if unopened:
        id = review.agreement.id.short
        raise Unusable(
            f"nothing was approved: what {id} offers is {unopened}",
            f"once the pod has examined it, it can be approved without a passphrase; or fitchain job reject {id}",
        )
    return reviewed


def read_messages_once(session: Session, agreement: Agreement) -> str:
    """Read what the owner said and no pod of this home's has read yet.

    Returns:
        what is unread still, and why; empty where nothing is, or the job is not this home's.
    """
    from fitchain.pod.parties.scientist import messages

    home = session.reader
    if not _is_scientist(session, agreement) or not (left := messages.unread(home, agreement)):
        return ""
    if home.pod_runs():
        return f"{_what(left)}: this home's pod reads it"
    try:
        keys = session.unlocked(f"{_what(left)}, sealed to you")
    except FitchainError as error:
        return f"{_what(left)}, sealed to you: {_told(error)}"
    problem = messages.read_messages(keys, agreement, lambda id, text: None, READ_S)
    if not (left := messages.unread(home, agreement)):
        return ""
    return f"{_what(left)}, not read{f': {_told(problem)}' if problem else ' yet: look again'}"


def reading_messages(session: Session, agreement: Agreement) -> Callable[[], None] | None:
    """What reads the owner's messages at each look at a job, as its scientist's pod would; None
    where that pod runs, where the job is not this home's, or without the passphrase."""
    from fitchain.pod.jobs.retry import RetryPolicy
    from fitchain.pod.parties.scientist import messages

    home, id = session.reader, agreement.id
    ended = agreement.state.ended and not messages.unread(home, agreement)
    if ended or not _is_scientist(session, agreement) or home.pod_runs():
        return None
    try:
        keys = session.unlocked("the owner's notes, with the losses, are sealed to you")
    except FitchainError as error:
        log(f"the owner's notes, with the losses, are sealed to you: {_told(error)}")
        return None
    retry = RetryPolicy(keys, lambda id, text: None)  # what goes wrong stands in the history, which is watched

    def read() -> None:
        _read_or_raise(keys, agreement)

    def look() -> None:
        if retry.due(id):
            retry.attempt(id, read)

    return look


def _read_or_raise(keys: Home, agreement: Agreement) -> None:
    from fitchain.pod.parties.scientist.messages import read_messages

    now = keys.agreements.read(agreement.id)
    if problem := read_messages(keys, now, lambda id, text: None, READ_S):
        raise problem


def _is_scientist(session: Session, agreement: Agreement) -> bool:
    try:
        return session.own_address() == agreement.scientist
    except NotFound:  # a home without a key is nobody's
        return False


def _what(left: Unread) -> str:
    """What is unread, in words."""
    parts = ["why the owner declined"] * left.refusal
    parts += [counted(left.notes, "note") + " of the owner's with losses"] * bool(left.notes)
    return " and ".join(parts)


def _told(error: FitchainError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
