"""The verdict: that a certificate holds, what that assures, and what the chain tells beside it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from fitchain.pod.ports.agreement import AgreementHistory, State
from fitchain.pod.proof.certificate.jury import Jury
from fitchain.pod.proof.certificate.statement import Statement
from fitchain.pod.proof.certificate.timing import Milestone, Timing
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import AgreementId


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
