"""Progress of what takes minutes, on stderr: now and then a line with the share of it that is done,
and how long it will take yet."""

from __future__ import annotations

import time
from collections.abc import Callable

from fitchain.cli.views.output import log

FIRST_S, PAUSE_S = 5.0, 10.0
"""What takes less than the first tells nothing."""


class Shares:
    """Tells what is being done and what share of it is done.

    Args:
        clock: seconds, from whatever beginning.
        log: takes a line.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, log: Callable[[str], None] = log) -> None:
        self.clock, self.log = clock, log
        self.what, self.began, self.logged_at = "", 0.0, 0.0

    def __call__(self, what: str, done: float) -> None:
        """Take note of progress.

        Args:
            what: is being done.
            done: the share of it that is done, 0 where that is not known.
        """
        now = self.clock()
        if what != self.what:
            self.what, self.began, self.logged_at = what, now, now + FIRST_S - PAUSE_S
        if now - self.logged_at < PAUSE_S:
            return
        self.logged_at = now
        if not done:
            self.log(f"{what}, {now - self.began:.0f} s so far")
            return
        left = (now - self.began) * (1 - done) / done
        self.log(f"{what}: {done:.0%}, {left:.0f} s left")
