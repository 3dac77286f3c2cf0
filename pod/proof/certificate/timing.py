"""When a training was begun, anchored and ended, by the chain, and what its steps take at least.

A block's time is what its builder says. What counts is the order: a transcript of which begin, all
anchors and the end stand in one block was not anchored while anything ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fitchain.pod.ports.agreement import AgreementHistory

STEP_S = 20e-6
"""A step is a forward pass, a loss, a backward pass and an update: a dozen operators at the least,
and torch needs more than a microsecond to start each."""

CALL_S = 0.5e-6
"""What a kernel of the forward pass takes at least together with its part of the backward pass."""

MEMORY_BYTES_PER_S = 1e12
"""No host of an environment class moves more through its memory."""


@dataclass(frozen=True, slots=True)
class Milestone:
    """When something happened: an event's name, the number and time (seconds since 1970) of its
    block."""

    what: str
    block: int
    time: int


@dataclass(frozen=True)
class Timing:
    """When a training took place.

    Args:
        begun: when the order of the records was fixed.
        anchors: the first and the last, or the one there is.
        anchored: how many there are.
        ended: the end on chain.
        closed: when money moved; None before.
        least_s: seconds that the steps take at least on any host.
    """

    begun: Milestone
    anchors: tuple[Milestone, ...]
    anchored: int
    ended: Milestone
    closed: Milestone | None
    least_s: float

    @property
    def training_s(self) -> int:
        """Seconds from begin to end, by the blocks' times."""
        return self.ended.time - self.begun.time

    @property
    def anchoring_s(self) -> int:
        """Seconds from the first anchor to the end."""
        return self.ended.time - self.anchors[0].time if self.anchors else 0

    @property
    def settling_s(self) -> int | None:
        """Seconds from the end until money moved; None before."""
        return None if self.closed is None else self.closed.time - self.ended.time

    @property
    def too_short(self) -> bool:
        """Whether begin and end lie closer together than the steps take at least; a block's time
        is given in whole seconds."""
        return self.training_s + 1 < self.least_s

    @property
    def in_one_block(self) -> bool:
        """Whether begin, all anchors and the end stand in one block."""
        return self.begun.block == self.ended.block

    @property
    def anchored_in_one_block(self) -> bool:
        """Whether all anchors and the end do."""
        return bool(self.anchors) and self.anchors[0].block == self.ended.block


def timing_of(history: AgreementHistory, milestones: Sequence[Milestone], parameter_bytes: int) -> Timing:
    """When an ended training took place.

    Args:
        history: the agreement's.
        milestones: its events, oldest first.
        parameter_bytes: of the model; each step reads and writes every parameter.

    What the terms say of a step's kernels is what the parties say, unless an audit compared it.
    """
    named = {milestone.what: milestone for milestone in milestones}
    calls_s = CALL_S * history.agreement.terms.step_calls
    step_s = max(STEP_S, calls_s, 2 * parameter_bytes / MEMORY_BYTES_PER_S)
    return Timing(
        begun=named["Begun"],
        anchors=tuple(milestone for milestone in milestones if milestone.what == "Anchored"),
        anchored=len(history.run.anchors),
        ended=named["Finished"] if "Finished" in named else named["DivergedAt"],
        closed=named.get("Settled"),
        least_s=history.run.step * step_s,
    )
