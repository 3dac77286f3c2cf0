"""The verdict: that a certificate holds, what that assures, and what the chain tells beside it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from fitchain.pod.ports.agreement import AgreementHistory, State
from fitchain.pod.proof.certificate.jury import Jury
from fitchain.pod.proof.certificate.statement import Statement
from fitchain.pod.proof.certificate.timing import Milestone, Timing
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import AgreementId, DatasetId, ModelId


class Assurance(IntEnum):
    """Who vouches for a training; which level it is depends on whom the checker trusts.

    UNAUDITED: nobody but the owner, who committed to it and signed. VOUCHED: a jury that the
    checker does not know voted Match. ON_SITE, SAMPLED: more than half of all drawn seats voted
    Match and are named by the checker's own trust list. OPEN: drawn from a pool with as much stake
    as the checker's settings ask for.
    """

    UNAUDITED = 0
    VOUCHED = 1
    ON_SITE = 2
    SAMPLED = 3
    OPEN = 4

    @property
    def label(self) -> str:
        """As it is written: `unaudited`, `vouched`, `on-site`, `sampled`, `open`."""
        return self.name.lower().replace("_", "-")

    def __str__(self) -> str:
        return self.label

    @classmethod
    def parse(cls, text: str) -> Assurance:
        """Read a label.

        Raises:
            InputRefused: there is no such level.
        """
        for level in cls:
            if level.label == text:
                return level
        raise InputRefused(f"there is no assurance {text!r}", f"one of {', '.join(level.label for level in cls)}")


@dataclass(frozen=True)
class Repeat:
    """What trying again until a draw suits them costs an owner and a scientist who are one, with a
    third of those who can be drawn on their side.

    Args:
        jobs: how many they need on average; None where no job ever does it.
        cost: FIT in base units that each job costs them whose jury does not suit them.
        gas: of their transactions in each.
        asked_again: whether it is an audit alone that they repeat, of the same job.
    """

    jobs: int | None
    cost: int
    gas: int
    asked_again: bool = False

    @property
    def whole(self) -> int | None:
        """FIT in base units of all jobs but the one that suits them; None where none does."""
        return None if self.jobs is None else (self.jobs - 1) * self.cost


class ParentageKind(StrEnum):
    """How much of a model and one of its parents is known."""

    TRAINED = "trained"
    """A job of this chain trained the parent, and ended with the root that the model is registered
    with."""
    DERIVED = "derived"
    """Its author named a derivation when it registered it; nobody compared it with the weights."""
    CLAIMED = "claimed"
    """Its author named the parent, and nothing more."""


@dataclass(frozen=True)
class ParentageTraining:
    """The job that made a model of its parent, as the checker's chain has it; its own certificate
    is not looked at.

    Args:
        agreement, owner, scientist, dataset: of the job.
        diverged: whether it ended before its last step.
        assurance: who vouches for it, to this checker.
        reason: why it is that; where a verdict stands against it, which.
        refuted: whether one does that counts for this checker.
    """

    agreement: AgreementId
    owner: str
    scientist: str
    dataset: DatasetId
    diverged: bool
    assurance: Assurance
    reason: str
    refuted: bool = False


@dataclass(frozen=True)
class Parentage:
    """What is known of a registered model and one of its parents.

    Args:
        child: the model.
        parent: None where its author names a derivation from what is no registered model here: of
            another chain, say.
        kind: how much is known.
        training: where it is `TRAINED`: of the job.
    """

    child: ModelId
    parent: ModelId | None
    kind: ParentageKind
    training: ParentageTraining | None = None


@dataclass(frozen=True)
class Verdict:
    """A certificate that holds.

    Args:
        statement: what it claims, all of it true.
        history: what the chain says beside it: state, payments, anchors, related agreements.
        assurance: who vouches for the training, to this checker.
        orders_checked: leaves whose records were found to be those that the order seed gives; the
            rest was too long to compute, or is not listed.
        milestones: what happened when, oldest first.
        origins: other agreements that ended with the model that this training began with, the
            newest.
        timing: when it was begun, anchored and ended, and how long its steps take at least.
        juries: who was drawn for each of its audits, and what they voted.
        reason: why the assurance is what it is: what was agreed, or what an audit came to and when.
        repeat: what repeating costs; None where nobody vouches.
        lineage_whole: whether the certificate lists every registered model from which it descends.
        parentages: what is known of each of these and its parents, nearest first.
        descent_searched: whether the node said which jobs trained those; where records are held
            out, whose rows had to be kept is known by that.
        base_compared: whether the base's own file was compared with the model that is a delta over
            it.
    """

    statement: Statement
    history: AgreementHistory
    assurance: Assurance
    orders_checked: int
    milestones: tuple[Milestone, ...]
    origins: tuple[AgreementId, ...]
    timing: Timing
    juries: tuple[Jury, ...] = ()
    reason: str = ""
    repeat: Repeat | None = None
    lineage_whole: bool = True
    parentages: tuple[Parentage, ...] = ()
    descent_searched: bool = True
    base_compared: bool = False

    @property
    def state(self) -> State:
        """Where the agreement stands."""
        return self.history.agreement.state

    @property
    def jury(self) -> Jury | None:
        """Who was drawn for the audit that both parties agreed to, or for a dispute; None where
        there was neither."""
        return next((jury for jury in self.juries if jury.agreed), None)

    @property
    def complete(self) -> bool:
        """Whether the training took all its steps; otherwise it ended at its last finite
        checkpoint."""
        return self.statement.steps == self.statement.recipe.steps
