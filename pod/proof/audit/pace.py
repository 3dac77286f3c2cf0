"""How long a replay takes by the metered work that the terms state, before anybody has seen the
graph.

A verifier declines by it what it could not finish in time, and a scientist chooses by it windows in
which verifiers can. It is meant to be too long rather than too short: who declines loses nothing,
who joins and does not finish loses a tenth of its seat's stake.
"""

from __future__ import annotations

from dataclasses import dataclass

from fitchain.pod.values.work import StepWork

FORWARDS = 3
"""A backward pass takes about twice as much as the forward pass that is metered."""
REPLAY_SHARE = 0.5
"""How much of the time to vote a replay may take by what is known before."""


def steps_beside(steps: int, segment_steps: int) -> int:
    """What a verifier does beside so many steps of replay, as steps that take as long, at the most.

    The sealed recipe alone names held-out records: evaluated once they take no longer than a
    segment, and after each segment no longer than a third of it. Evidence may open a segment of a
    risk report's reference training, too.
    """
    return max(segment_steps, -(-steps // 3)) + segment_steps


@dataclass(frozen=True)
class Pace:
    """What a host does in a second, at the least.

    Args:
        operations_per_s: operations of single elements; the default is a slow core's, with memory
            that is fresh each time.
        call_s: seconds that it takes to start a kernel.
        step_s: seconds of a step beside its kernels: the batch, the update, the book-keeping.
    """

    operations_per_s: float = 1e8
    call_s: float = 50e-6
    step_s: float = 1e-3

    def seconds(self, work: StepWork, steps: int) -> float:
        """Seconds that so many steps take at most."""
        forward_s = work.calls * self.call_s + work.operations / self.operations_per_s
        return steps * (self.step_s + FORWARDS * forward_s)


SLOW_HOST = Pace()
"""A host of which nothing is known."""
