"""The error tree: what an auditor must be able to tell apart.

    FitchainError
    ├── Refuted    exit 1   we checked, and it does not hold
    │   ├── DigestMismatch      bytes, a tree or a file are not what their digest says
    │   ├── SignatureMismatch   a signature is by another key
    │   ├── DatasetChanged      the records are not those that were registered
    │   └── ClaimMismatch       a certificate's field disagrees with chain, recipe or model
    └── Unusable   exit 3   we could not check, or could not do what was asked
        ├── InputRefused        an input (file, recipe, graph, table) is malformed or beyond a limit
        │   ├── InputsRefused   several things are wrong with what somebody wrote
        │   ├── OtherVersion    it is of another version of its format than this release reads
        │   ├── OperatorFailed  an operator of a graph cannot compute what it is given
        │   └── TooSlow         an object did not come in the time that it was given
        ├── NotFound            an object, key, job or deployment is not there
        │   └── NotOnChain      the chain does not have it now, and may have it later
        ├── AccessRefused       wrong passphrase, missing permission
        │   └── DeliveryUnopened    what was handed over as its key does not open a delivery
        ├── EnvironmentRefused  this host does not reproduce the environment class
        ├── AssuranceTooLow     a certificate holds, and fewer vouch for it than were required
        ├── ChainUnusable       wrong chain, contracts missing, balance too small
        │   ├── NodeUnreachable     no answer from the node: later may be better
        │   ├── NodeRefused         the node answered with an error of its own
        │   ├── NotMinedYet         what was sent is not on the chain, and may come there
        │   └── Reverted            a contract refuses: sending the same again will not help
        ├── HostUnusable        this host lacks disk or memory now: nobody else is to blame
        ├── HomeDamaged         a file of the home itself is cut, overwritten or gone
        └── StoreUnusable       the store or its node does not answer
            └── StoreUnreachable    no answer from the store's node: later may be better

A message states what is false, the two values, where they first part; `hint` says what to do next.
Usage errors (exit 2) are typer's.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

Value = TypeVar("Value")


class FitchainError(Exception):
    """Any error that Fitchain reports on purpose.

    Args:
        message: one sentence: what is false, the two values, where they first part.
        hint: one sentence: what to do next; empty where there is nothing to do.
    """

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # a notebook prints it below the message


class Refuted(FitchainError):
    """We checked, and it does not hold."""

    exit_code = 1


class DigestMismatch(Refuted):
    """Bytes, a tree or a file are not what their digest says."""


class SignatureMismatch(Refuted):
    """A signature is by another key than the one claimed."""


class DatasetChanged(Refuted):
    """The records are not those that were registered."""


class ClaimMismatch(Refuted):
    """A claim disagrees with the chain, the recipe or the model."""


class Unusable(FitchainError):
    """We could not check, or could not do what was asked."""


class InputRefused(Unusable):
    """An input is malformed, unknown or beyond a limit."""


class InputsRefused(InputRefused):
    """Several things are wrong with what somebody wrote, told all at once.

    Args:
        message, hint: as ever; the message tells all of them in a sentence.
        what: of what they are.
        faults: each of them with its own hint.
    """

    def __init__(self, message: str, hint: str = "", what: str = "", faults: Sequence[FitchainError] = ()) -> None:
        super().__init__(message, hint)
        self.what = what
        self.faults = tuple(faults)


class OtherVersion(InputRefused):
    """An input is of a version of its format that this release does not read: nothing can be said
    of it here."""


class TooSlow(InputRefused):
    """An object did not come in the time that it was given."""


class OperatorFailed(InputRefused):
    """An operator of a graph cannot compute what it is given; on the same input it never can."""


class NotFound(Unusable):
    """An object, key, job or deployment is not there."""


class NotOnChain(NotFound):
    """A block, a job, an audit or a result is not on the chain now; it may come there, or, behind a
    reorganisation, come back."""


class AccessRefused(Unusable):
    """A passphrase is wrong or a permission is missing."""


class DeliveryUnopened(AccessRefused):
    """What was handed over as the job's identity does not open what was delivered."""


class EnvironmentRefused(Unusable):
    """This host does not reproduce the environment class."""


class AssuranceTooLow(Unusable):
    """A certificate holds, and its level is below the one required: whoever asked can do something
    about it, so it is not refuted."""


class ChainUnusable(Unusable):
    """A node is unreachable, a chain is another, contracts are missing, a transaction reverted."""


class NodeUnreachable(ChainUnusable):
    """No node answers, or it answers with nothing that can be understood; it may do so later."""


class NodeRefused(ChainUnusable):
    """The node answered a request with an error of its own.

    Args:
        message, hint: as ever.
        code: the error's JSON-RPC code.
        data: what came with it: the revert data of a call, as hex digits, say.
    """

    def __init__(self, message: str, hint: str = "", code: int = 0, data: object = None) -> None:
        super().__init__(message, hint)
        self.code = code
        self.data = data


class NotMinedYet(ChainUnusable):
    """A transaction, or a block, is not on the chain and is waited for no longer; it may come
    there."""


class Reverted(ChainUnusable):
    """A contract refuses a call or refused a mined transaction.

    Args:
        message, hint: as ever.
        error: name of the contract's error; empty where it gave none.
        values: the error's arguments by name.
    """

    def __init__(self, message: str, hint: str = "", error: str = "", values: dict[str, object] | None = None) -> None:
        super().__init__(message, hint)
        self.error = error
        self.values = values or {}


class HostUnusable(Unusable):
    """This host cannot do it now: its disk is full or refuses, its memory is short, the system
    ended a process. It says nothing of what was to be read, and is tried again."""


class HomeDamaged(Unusable):
    """A file of the home itself is cut, overwritten, another home's or gone: it is never taken for
    a new one."""


class StoreUnusable(Unusable):
    """The store or its node does not answer."""


class StoreUnreachable(StoreUnusable):
    """No answer from the store's node, or it broke off; it may answer later."""


UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, RecursionError)
"""What foreign bytes may raise where a check of ours has a hole: the same on every host, so that
who made them gains nothing by it; a lack of memory, or of a file, is another matter."""


def require_equal(what: str, actual: object, wanted: object, source: str = "the chain says") -> None:
    """Refuse a value that is not the one that somebody else names.

    Args:
        what: the sentence up to the value, such as "the evidence is for the round".
        actual, wanted: the two values; a message shows 200 characters of each.
        source: who names the wanted one, with a verb.

    Raises:
        ClaimMismatch: they differ.
    """
    if actual != wanted:
        raise ClaimMismatch(f"{what} {actual!s:.200}, and {source} {wanted!s:.200}")


def require_faultless(what: str, faults: Sequence[FitchainError]) -> None:
    """Refuse what has faults, all of them at once; a single one is told by itself.

    Args:
        what: has them: the beginning of a message, such as the name of a file; may be empty.
        faults: as they were found.

    Raises:
        FitchainError: the only one, as what it is, or several as InputsRefused.
    """
    if len(faults) == 1:
        (fault,) = faults
        raise type(fault)(f"{what}: {fault.message}" if what else fault.message, fault.hint)
    if faults:
        numbered = "; ".join(f"({number}) {fault.message}" for number, fault in enumerate(faults, 1))
        title = f"{len(faults)} things are wrong"
        what = f"{what}: {title}" if what else title
        hints = "; ".join(f"({number}) {fault.hint}" for number, fault in enumerate(faults, 1) if fault.hint)
        raise InputsRefused(f"{what}: {numbered}", hints, what, faults)


@dataclass(slots=True)
class Faults:
    """Collects what is refused of several things that are read one after the other, so that all of
    it is told at once.

    Args:
        refusals: as they came.
    """

    refusals: list[FitchainError] = field(default_factory=list)

    def read(self, reader: Callable[[], Value], otherwise: Value) -> Value:
        """What a reader gives; where it refuses, or what is named is not there, that is kept, and
        something stands in until `require_none`."""
        try:
            return reader()
        except (InputRefused, NotFound) as refusal:
            self.refusals += refusal.faults if isinstance(refusal, InputsRefused) else [refusal]
            return otherwise

    def require_none(self) -> None:
        """Refuse, where something was refused.

        Raises:
            FitchainError: as `require_faultless`.
        """
        require_faultless("", self.refusals)


def reason_of(error: OSError) -> str:
    """Why the system refuses a file or a folder, in words and without the error's number."""
    reasons = {
        errno.ENOENT: "there is no such file or folder",
        errno.EACCES: "this account may not",
        errno.EPERM: "this account may not",
        errno.EISDIR: "it is a folder",
        errno.ENOTDIR: "a part of its path is no folder",
        errno.EEXIST: "it is there already",
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "this account's share of the disk is full",
        errno.EFBIG: "it would be larger than this process may write",
        errno.EROFS: "the disk is read-only",
    }
    return reasons.get(error.errno or 0, (error.strerror or str(error)).lower())


_OF_THE_HOST = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE),
        *(errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOLCK),
    }
)
"""What a system refuses for want of room, rights or memory, whatever was asked of it."""


def host_error(error: BaseException, every: bool = False) -> HostUnusable | None:
    """What an error of the system's says of this host: it lacks room, a right or memory; None where
    it says something else.

    Args:
        error: what was raised.
        every: take a missing file or a closed pipe for the host's too, which in a command would be
            a bug and in a pod may be mended while it runs.
    """
    if isinstance(error, MemoryError):
        return HostUnusable("memory ran out", "free some, and try again")
    if not isinstance(error, OSError) or not (error.errno in _OF_THE_HOST or (every and error.errno)):
        return None
    path = f" ({error.filename})" if error.filename else ""
    return HostUnusable(f"this host refuses it: {reason_of(error)}{path}", "mend that, and try again")


@contextmanager
def host_errors(what: str) -> Iterator[None]:
    """Tell a system's refusal as this host's.

    Args:
        what: the sentence up to the reason, such as "the file cannot be written".

    Raises:
        HostUnusable: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise HostUnusable(f"{what}: {reason_of(error)}", "mend that, and try again") from None


def as_told(kind: str, message: str, hint: str) -> FitchainError:
    """An error that another process of ours told, as an exception of the type that it named."""
    error_type = globals().get(kind)
    if isinstance(error_type, type) and issubclass(error_type, FitchainError):
        return error_type(message, hint)
    return Unusable(message, hint)
