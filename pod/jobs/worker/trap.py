"""Traps: a worker that the processor ends, for an arithmetic error or an access to memory that is
none.

Whether that says something about the training or about this host is asked by doing it again: twice
the same signal at the same step, in workers of their own, follows from the state, so the training
ends there, as it does where a loss is no number (protocol, section 3). An end by force, by a time
limit, or for a lack of memory that is told is never taken for that. A kernel that crashes for want
of memory is told apart, since each of these workers asks for what a step takes before each of them
(`room`); and a page that the system cannot bring (SIGBUS: a disk, a file that was cut, huge pages)
is the host's, whatever was read.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from fitchain.pod.jobs.worker.task import Audit, Rehearse, Train, Trap
from fitchain.pod.values.errors import HostUnusable, Unusable

SIGNALS = (signal.SIGFPE, signal.SIGSEGV, signal.SIGILL)
BY_SHELL = 128
"""A shell that stands before a worker ends with the signal's number above this one."""
ATTEMPTS = 4

Result = TypeVar("Result")
Trappable = TypeVar("Trappable", Train, Rehearse, Audit)


class Trapped(Unusable):
    """The processor ended a worker.

    Args:
        trap: by which signal, and after which step; None where it had told of none.
        has_started: whether it stood in its sandbox, before which it opens nothing of a stranger's
            but the recipe: what ends it earlier is its host's.
    """

    def __init__(self, message: str, hint: str, trap: Trap | None, has_started: bool) -> None:
        super().__init__(message, hint)
        self.trap, self.has_started = trap, has_started


def trap_signal(code: int) -> str:
    """The signal's name where a process that ended with an exit code was ended by the processor;
    else empty."""
    number = -code if code < 0 else code - BY_SHELL
    return signal.Signals(number).name if number in SIGNALS else ""


def end_at_traps(task: Trappable, run: Callable[[Trappable], Result]) -> Result:
    """Run workers on a task until one does not end in a trap, or two end in the same; then one that
    takes it for the training's end.

    Args:
        task: what to do.
        run: does it in a worker of its own, from the last kept state on.

    Returns:
        What `run` gave.

    Raises:
        HostUnusable: traps come each time at another step, or there is too little memory for one.
        FitchainError: as `run`.
    """
    try:
        return run(task)
    except Trapped:
        pass  # it did not tell of each step
    before: Trap | None = None
    for _ in range(ATTEMPTS):
        try:
            return run(replace(task, tells_steps=True))
        except Trapped as error:
            if error.trap is None:
                raise
            if error.trap == before:
                return run(replace(task, tells_steps=True, trap=before))
            before = error.trap
    raise HostUnusable(
        f"the processor ended {ATTEMPTS + 1} workers, each at another step",
        "memory or processor of this host may be faulty: have them tested",
    )
