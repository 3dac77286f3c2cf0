"""How the demonstration shows its steps on stderr: a timed line each, a spinner meanwhile."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from fitchain.cli.views.output import console, fold, printable

if TYPE_CHECKING:
    from rich.status import Status

MARGIN = 22


class Progress(AbstractContextManager["Progress"]):
    """Shows one step after another.

    Args:
        title: the first line.
    """

    def __init__(self, title: str) -> None:
        self._start = time.monotonic()
        self._out = console(stderr=True)
        self._who = ""
        self._status: Status | None = None
        self._out.print(title + "\n", style="bold", soft_wrap=True)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    def next(self, who: str, doing: str) -> None:
        """Say who does what now; shown only on a terminal, until it is done."""
        self._who = who
        if self._status is None:
            self._status = self._out.status("", spinner="dots", spinner_style="dim")
            self._status.start()
        self._status.update(f"[dim]{doing}[/dim]")

    def done(self, what: str) -> None:
        """Say what has been done."""
        from rich.text import Text

        first, *rest = fold(printable(what), self._out.width - MARGIN)
        head = Text.assemble((f"{self.seconds:6.1f} s  ", "dim"), (f"{self._who:<11}  ", "cyan"), first)
        for line in (head, *(Text(" " * MARGIN + line) for line in rest)):
            self._out.print(line, soft_wrap=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
        self._out.print()
