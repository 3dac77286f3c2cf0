"""What happens to a job, as its history keeps it: one frozen class for each thing that can happen.

`kind` is the word under which the journal keeps an entry, and the fields are its body; what
`cli/views/history.py` says of each is one sentence. An entry of another release, or one whose
fields are others, is read as `Unrecognised` and told as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypedDict, get_args

from fitchain.pod.compute.sandbox import Enforcement
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.chain import Receipt
from fitchain.pod.values.counting import CountedTargets
from fitchain.pod.values.digest import Digest, Json, Root
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.held_out import HeldOut
from fitchain.pod.values.ids import DatasetId, ModelId
from fitchain.pod.values.job_folder import Kept
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.typed_json import from_json, to_json

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Card


@dataclass(frozen=True)
class _Entry:
    """One entry of a history."""

    kind: ClassVar[str]

    def json(self) -> dict[str, Json]:
        """The fields as JSON values."""
        return to_json(self)

    @classmethod
    def parse(cls, body: Json) -> Self:
        """Read the fields of an entry of this class.

        Raises:
            InputRefused: they are others, or of other types.
        """
        return from_json(cls, body, f"the entry {cls.kind!r}")


@dataclass(frozen=True, kw_only=True)
class Sent(_Entry):
    """An entry that a transaction made; what it cost is not known of somebody else's, nor of one
    whose receipt was not there any more."""

    transaction: Digest | None = None
    gas: int | None = None


class Paid(TypedDict, total=False):
    """The fields that a receipt gives to an entry."""

    transaction: Digest
    gas: int


def paid(receipt: Receipt) -> Paid:
    """What an entry says of the transaction that made it."""
    return Paid(transaction=receipt.transaction, gas=receipt.gas_used)


# From a request to its acceptance


@dataclass(frozen=True)
class Requested(_Entry):
    """The scientist sent its request; the price in base units, as a decimal."""

    kind = "requested"
    dataset: DatasetId
    model: ModelId
    price: str


@dataclass(frozen=True)
class RequestedAgain(_Entry):
    """The scientist's pod sent a request that was not on the chain, or not any more."""

    kind = "requested_again"


@dataclass(frozen=True)
class Checking(_Entry):
    """The owner's pod began to examine a request."""

    kind = "checking"


@dataclass(frozen=True)
class Checked(_Entry):
    """A request can be trained here; what speaks against it all the same."""

    kind = "checked"
    concerns: tuple[str, ...]


@dataclass(frozen=True)
class ApprovalNeeded(_Entry):
    """A request was put before the owner's person, and why."""

    kind = "approval_needed"
    why: tuple[str, ...]


@dataclass(frozen=True)
class Approved(_Entry):
    """A person said yes to a request: why, and to which concerns."""

    kind = "approved"
    reason: str
    concerns: tuple[str, ...]


@dataclass(frozen=True)
class TurnedDown(_Entry):
    """A person said no to a request, and why."""

    kind = "turned_down"
    reason: str


@dataclass(frozen=True)
class Refused(_Entry):
    """A request was declined by the owner's pod; in a scientist's history, what it was told."""

    kind = "refused"
    reason: str


@dataclass(frozen=True)
class Ignored(_Entry):
    """A request is left without an answer: no transaction is sent for it."""

    kind = "ignored"
    reason: str


@dataclass(frozen=True)
class Rejected(Sent):
    """A refusal stands on chain."""

    kind = "rejected"
    reason: str


@dataclass(frozen=True)
class Accepted(Sent):
    """A request was accepted."""

    kind = "accepted"


@dataclass(frozen=True)
class Late(_Entry):
    """A deadline passed."""

    kind = "late"
    reason: str


# Training


@dataclass(frozen=True)
class Begun(Sent):
    """The order seed of a job is fixed."""

    kind = "begun"
    seed: Digest


@dataclass(frozen=True)
class SetAside(_Entry):
    """What was trained under another order seed was set aside; the seed is the new one."""

    kind = "set_aside"
    seed: Digest


@dataclass(frozen=True)
class Training(_Entry):
    """A worker began to train; a scientist's history says no more than that.

    Args:
        steps: of the whole run.
        pid: the worker's process.
        sandbox: what is enforced on it, and what the kernel lacks.
    """

    kind = "training"
    step: int | None = None
    steps: int | None = None
    pid: int | None = None
    sandbox: Enforcement | None = None


@dataclass(frozen=True)
class Skipped(_Entry):
    """A worker did not use a kept state."""

    kind = "skipped"
    step: int
    reason: str


@dataclass(frozen=True)
class Resumed(_Entry):
    """A training went on from a recorded leaf."""

    kind = "resumed"
    step: int
    leaves: int
    dropped_bytes: int


@dataclass(frozen=True)
class CheckpointRecorded(_Entry):
    """A leaf was recorded."""

    kind = "checkpoint"
    index: int
    step: int
    digest: Digest
    metrics: Mapping[str, float]
    kept: bool


@dataclass(frozen=True)
class HeldOutTold(_Entry):
    """The trained model's result on the held-out records.

    Args:
        result: the counts.
        scale: of the target's own unit in the units in which it enters the loss.
        assurance: who vouches for it, as the certificate has it; empty where this pod's own worker
            evaluated the model.
        subgroups: columns by whose groups it is told.
        counting: what of the records' targets counts.
    """

    kind = "held_out"
    result: HeldOut
    scale: float = 1.0
    assurance: str = ""
    subgroups: tuple[str, ...] = ()
    counting: CountedTargets = field(default_factory=CountedTargets)

    @classmethod
    def of(cls, recipe: Recipe, card: Card | None, result: HeldOut, assurance: str = "") -> HeldOutTold:
        """Of a recipe's result; without a card it is not known how many targets a record has."""
        shape = None if card is None else card.column(recipe.target).shape
        by = tuple(sorted(recipe.subgroups))
        return cls(result, recipe.target_scale, assurance, by, CountedTargets.of(recipe, shape))


@dataclass(frozen=True)
class Anchored(Sent):
    """The first `count` leaves are anchored."""

    kind = "anchored"
    count: int
    block: int


@dataclass(frozen=True)
class NoteRead(_Entry):
    """The scientist read the note of an anchor.

    Args:
        count: leaves up to this anchor.
        step: of the last of them.
        metrics: mean over the group; None where the policy keeps them in.
        block: of the anchor.
    """

    kind = "note"
    count: int
    step: int
    metrics: Mapping[str, float] | None
    block: int


@dataclass(frozen=True)
class Assessing(_Entry):
    """The trained model is being attacked, by so many seconds from now at most."""

    kind = "assessing"
    limit_s: float


@dataclass(frozen=True)
class Assessed(_Entry):
    """The trained model was attacked before it left, and a risk report is kept.

    Args:
        digest: of the report.
        references: models that were trained to compare with.
        hits: records that it was trained on and the attack names, at 1 % of false alarms.
        members, non_members: records that it was trained on, and that were held out; of none held
            out nothing can be said.
    """

    kind = "assessed"
    digest: Digest
    references: int
    hits: int
    members: int
    non_members: int


@dataclass(frozen=True)
class NotAssessed(_Entry):
    """No risk report of the trained model could be made, and why."""

    kind = "not_assessed"
    reason: str


@dataclass(frozen=True)
class Held(_Entry):
    """The job is held before its end: the policy does not let the model be delivered; why."""

    kind = "held"
    reason: str


@dataclass(frozen=True)
class DeliveredAllTheSame(_Entry):
    """A person said that a held job is to be delivered all the same, and why."""

    kind = "delivered_all_the_same"
    reason: str


@dataclass(frozen=True)
class Delivered(_Entry):
    """The result was sealed: CIDs of weights and certificate, and of the key unless an audit comes
    first."""

    kind = "delivered"
    weights: str
    key: str | None = None


@dataclass(frozen=True)
class Finished(Sent):
    """The training ended at its last step."""

    kind = "finished"
    transcript_root: Root
    model_root: Root


def is_not_finite(reason: str) -> bool:
    """Whether the reason of a training's early end is a number that is not finite; else there was
    something that no host can compute: an index or a shape that does not fit."""
    return reason.startswith("the loss is ") or reason.endswith(" is not finite")


@dataclass(frozen=True)
class Diverged(Sent):
    """The training ended before its last step; a scientist's history says no more than that."""

    kind = "diverged"
    reason: str = ""
    transcript_root: Root | None = None
    model_root: Root | None = None


@dataclass(frozen=True)
class EndedEarly(_Entry):
    """Why a training ended before its last step, as its owner states it in the certificate.

    Args:
        step: completed steps when it happened.
        reason: what happened.
    """

    kind = "ended_early"
    step: int
    reason: str


@dataclass(frozen=True)
class Trained(_Entry):
    """The chain has the end of a training, as its scientist saw it."""

    kind = "trained"


@dataclass(frozen=True)
class Received(_Entry):
    """The scientist opened the result: paths of model and certificate, and what vouches for it."""

    kind = "received"
    model: str
    certificate: str
    assurance: str


@dataclass(frozen=True)
class ResultAccepted(Sent):
    """The scientist accepted the result."""

    kind = "result_accepted"


@dataclass(frozen=True)
class Complained(Sent):
    """The scientist said on chain that the delivery does not open."""

    kind = "complained"
    reason: str


@dataclass(frozen=True)
class Disputed(Sent):
    """The scientist had the training audited."""

    kind = "disputed"


# Audits


@dataclass(frozen=True)
class _AuditStep(Sent):
    phase: str
    round: int


@dataclass(frozen=True)
class AuditDrawn(_AuditStep):
    """This pod drew the verifiers."""

    kind = "audit_draw"


@dataclass(frozen=True)
class HashesFixed(_AuditStep):
    """This pod kept the hashes that draw the verifiers."""

    kind = "audit_fix"


@dataclass(frozen=True)
class AuditAdvanced(_AuditStep):
    """This pod brought an audit on from a phase."""

    kind = "audit_advance"


@dataclass(frozen=True)
class Drawn(_Entry):
    """This pod was drawn for a seat."""

    kind = "drawn"
    round: int


@dataclass(frozen=True)
class Joined(Sent):
    """This pod took its seat."""

    kind = "joined"
    round: int


@dataclass(frozen=True)
class Declined(Sent):
    """This pod gave its seat back."""

    kind = "declined"
    round: int
    reason: str


@dataclass(frozen=True)
class EvidenceGiven(Sent):
    """The owner sealed evidence to the seats.

    Args:
        round: of the audit.
        evidence: its CID.
        file: where it lies for a person to hand over.
        withheld: whether verifiers had said before that they could not get it.
    """

    kind = "evidence"
    round: int
    evidence: str
    file: str | None = None
    withheld: bool | None = None


@dataclass(frozen=True)
class CannotReplay(_Entry):
    """A verifier's host cannot replay the job."""

    kind = "cannot_replay"
    reason: str


@dataclass(frozen=True)
class Examined(_Entry):
    """A verifier examined evidence: what it came to, what does not hold, how many segments it
    trained again."""

    kind = "examined"
    outcome: str
    problems: tuple[str, ...]
    segments: int


@dataclass(frozen=True)
class Committed(Sent):
    """A verifier committed to its vote."""

    kind = "committed"
    round: int


@dataclass(frozen=True)
class Revealed(Sent):
    """A verifier showed its vote."""

    kind = "revealed"
    round: int
    outcome: str


@dataclass(frozen=True)
class VerdictReached(_Entry):
    """An audit came to a verdict."""

    kind = "verdict"
    verdict: str


@dataclass(frozen=True)
class Released(Sent):
    """The owner, or a seat in its stead, released the model's key: its CID, and a seat's round."""

    kind = "released"
    key: str
    round: int | None = None


@dataclass(frozen=True)
class ReleaseAccepted(Sent):
    """The scientist accepted what was released."""

    kind = "release_accepted"


@dataclass(frozen=True)
class Collected(Sent):
    """A verifier collected its fee."""

    kind = "collected"


# Audits that are asked for again


@dataclass(frozen=True)
class AskedAgain(_Entry):
    """Somebody asked for another audit: its panel, and the locked fees in FIT."""

    kind = "asked_again"
    panel: str
    fees: str


@dataclass(frozen=True)
class ConsentNeeded(_Entry):
    """Another audit was put before the owner's person: who asks, of which panel, and why."""

    kind = "consent_needed"
    why: tuple[str, ...]
    asker: str
    panel: str


@dataclass(frozen=True)
class ConsentGiven(_Entry):
    """A person said yes to another audit: why, and to which concerns."""

    kind = "consent_given"
    reason: str
    concerns: tuple[str, ...]


@dataclass(frozen=True)
class ConsentRefused(_Entry):
    """A person said no to another audit, and why."""

    kind = "consent_refused"
    reason: str


@dataclass(frozen=True)
class CannotConsent(_Entry):
    """Evidence for another audit cannot be given any more."""

    kind = "cannot_consent"
    reason: str


@dataclass(frozen=True)
class Consented(Sent):
    """The owner consented to what somebody asked for."""

    kind = "consented"
    asker: str


@dataclass(frozen=True)
class Unanswered(_Entry):
    """The owner did not consent in time."""

    kind = "unanswered"


@dataclass(frozen=True)
class Answered(_Entry):
    """What became of a question, as whoever asked sees it."""

    kind = "answered"
    answer: str


@dataclass(frozen=True)
class TakenBack(Sent):
    """Whoever asked took the fees back."""

    kind = "taken_back"


@dataclass(frozen=True)
class FeesCollected(Sent):
    """Whoever asked collected the fees that no seat earned."""

    kind = "fees_collected"


# Ends, and what goes wrong


class Ended(StrEnum):
    """What cannot be done any more once something is deleted."""

    AUDIT = "audit"
    REPLAY = "replay"
    REPLAY_FROM_STATES = "replay_from_states"
    OPENING = "opening"


@dataclass(frozen=True)
class Auditing(_Entry):
    """An audit goes on, as the scientist saw it."""

    kind = "auditing"


@dataclass(frozen=True)
class Settled(_Entry):
    """The money has moved."""

    kind = "settled"


@dataclass(frozen=True)
class Cancelled(_Entry):
    """The scientist has its money back."""

    kind = "cancelled"


@dataclass(frozen=True)
class Forfeited(_Entry):
    """The owner lost its bond."""

    kind = "forfeited"


@dataclass(frozen=True)
class Refunded(_Entry):
    """Everybody has its own back."""

    kind = "refunded"


@dataclass(frozen=True)
class Halved(_Entry):
    """The two sides shared the price."""

    kind = "halved"


@dataclass(frozen=True)
class Error(_Entry):
    """Something could not be done."""

    kind = "error"
    message: str
    hint: str


@dataclass(frozen=True)
class Refuted(_Entry):
    """Something was checked, and does not hold."""

    kind = "refuted"
    message: str
    hint: str


@dataclass(frozen=True)
class Wiped(_Entry):
    """What must not outlive a job, or an audit, is gone; of a job, whether its states are too."""

    kind = "wiped"
    states: bool | None = None


@dataclass(frozen=True)
class RemovalAsked(_Entry):
    """The owner's person had what its home keeps of a job deleted, and why."""

    kind = "removal_asked"
    reason: str


@dataclass(frozen=True)
class Removed(_Entry):
    """What this home kept of a job, or of an audit of it, is deleted.

    Args:
        what: was deleted.
        ends: what cannot be done any more for that.
        by_person: whether a person asked for it; else the pod did it by itself.
    """

    kind = "removed"
    what: tuple[Kept, ...]
    ends: tuple[Ended, ...]
    by_person: bool = False


@dataclass(frozen=True)
class Replayed(_Entry):
    """The owner trained segments again by hand: how many, and whether all came out equal."""

    kind = "replayed"
    segments: int
    equal: bool


@dataclass(frozen=True)
class LetGo(_Entry):
    """The sealed objects of a job are kept no longer."""

    kind = "let_go"


@dataclass(frozen=True)
class Recovered(_Entry):
    """The journal was lost: what stands before this line is what the chain and the job's folder
    tell, and what a person decided is not known."""

    kind = "recovered"


@dataclass(frozen=True)
class Unrecognised:
    """An entry of another release: its word and its body as they stand."""

    kind: str
    body: dict[str, Any]

    def json(self) -> dict[str, Json]:
        """The body."""
        return self.body


JobEntry = (
    Requested
    | RequestedAgain
    | Checking
    | Checked
    | ApprovalNeeded
    | Approved
    | TurnedDown
    | Refused
    | Ignored
    | Rejected
    | Accepted
    | Late
    | Begun
    | SetAside
    | Training
    | Skipped
    | Resumed
    | CheckpointRecorded
    | HeldOutTold
    | Anchored
    | NoteRead
    | Assessing
    | Assessed
    | NotAssessed
    | Held
    | DeliveredAllTheSame
    | Delivered
    | Finished
    | Diverged
    | EndedEarly
    | Trained
    | Received
    | ResultAccepted
    | Complained
    | Disputed
    | Auditing
    | Settled
    | Cancelled
    | Forfeited
    | Refunded
    | Halved
    | Error
    | Refuted
    | Wiped
    | RemovalAsked
    | Removed
    | Replayed
    | LetGo
    | Recovered
)
"""What happens to a job."""
AuditEntry = (
    AuditDrawn
    | HashesFixed
    | AuditAdvanced
    | Drawn
    | Joined
    | Declined
    | EvidenceGiven
    | CannotReplay
    | Examined
    | Committed
    | Revealed
    | VerdictReached
    | Released
    | ReleaseAccepted
    | Collected
    | AskedAgain
    | ConsentNeeded
    | ConsentGiven
    | ConsentRefused
    | CannotConsent
    | Consented
    | Unanswered
    | Answered
    | TakenBack
    | FeesCollected
)
"""What happens to an audit of it."""
Entry = JobEntry | AuditEntry
"""Whatever this release writes."""

KINDS: dict[str, type[Entry]] = {entry.kind: entry for entry in get_args(Entry)}
"""By the word that stands in the journal."""

REACHED: dict[State, Entry] = {
    State.ACCEPTED: Accepted(),
    State.TRAINING: Training(),
    State.TRAINED: Trained(),
    State.DIVERGED: Diverged(),
    State.AUDITING: Auditing(),
    State.SETTLED: Settled(),
    State.CANCELLED: Cancelled(),
    State.FORFEITED: Forfeited(),
    State.REFUNDED: Refunded(),
    State.HALVED: Halved(),
}
"""What the history of a pod that did nothing for it says of a state that a job came to."""


def parse_entry(kind: str, body: Any) -> Entry | Unrecognised:
    """Read an entry as the journal keeps it; what this release would not write is `Unrecognised`."""
    try:
        return KINDS[kind].parse(body)
    except (KeyError, InputRefused):
        return Unrecognised(kind, body if isinstance(body, dict) else {"body": body})
