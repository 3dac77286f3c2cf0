"""The verdict: that a certificate holds, what that assures, and what the chain tells beside it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from fitchain.pod.ports.agreement import AgreementHistory, State
from fitchain.pod.proof.certificate.statement import Statement
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import InputRefused


class Assurance(IntEnum):
    """Who but the owner has checked the training; a higher level includes the lower ones."""

    UNAUDITED = 0
    OWNER_REPLAY = 1
    ON_SITE = 2
    SAMPLED = 3
    OPEN = 4

    @property
    def label(self) -> str:
        """As it is written: `unaudited`, `owner-replay`, `on-site`, `sampled`, `open`."""
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


@dataclass(frozen=True, slots=True)
class Milestone:
    """When something happened: an event's name, the number and time (seconds since 1970) of its
    block."""

    what: str
    block: int
    time: int


@dataclass(frozen=True)
class Verdict:
    """A certificate that holds.

    Args:
        statement: what it claims, all of it true.
        history: what the chain says beside it: state, payments, anchors, related agreements.
        assurance: who but the owner has checked the training.
        orders_checked: leaves whose records were found to be those that the order seed gives; the
            rest was too long to compute.
        milestones: what happened when, oldest first.
        origins: agreements whose trained model this training began with.
        reason: why the assurance is what it is: what was agreed, or what the audit came to and
            when.
    """

    statement: Statement
    history: AgreementHistory
    assurance: Assurance
    orders_checked: int
    milestones: tuple[Milestone, ...]
    origins: tuple[Digest, ...]
    reason: str = ""

    @property
    def state(self) -> State:
        """Where the agreement stands."""
        return self.history.agreement.state

    @property
    def complete(self) -> bool:
        """Whether the training took all its steps; otherwise it ended at its last finite
        checkpoint."""
        return self.statement.steps == self.statement.recipe.steps
