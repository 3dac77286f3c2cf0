"""`fitchain job watch`: a job as it goes, redrawn in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from cli.output import console, printable
from cli.story import Standing, bar, sentence, sparkline, state_name
from pod.agreement import State

if TYPE_CHECKING:
    from rich.console import RenderableType

POLL_S = 0.4
LINES = 8  # of history below the figures


class Reads(Protocol):
    """Whatever reads a job's standing; `cli.story.Reader` is one."""

    def read(self) -> Standing:
        """The job as it stands now."""
        ...


def watch(reader: Reads, until_settled: bool) -> Standing:
    """Show a job until it ends.

    Args:
        reader: reads the job.
        until_settled: whether to go on after the training ended until money has moved.

    Returns:
        how it stands in the end.
    """
    out = console(stderr=True)
    states = _states(reader, until_settled)
    return watch_live(states) if out.is_terminal else watch_lines(states, sys.stderr.write)


def over(standing: Standing, until_settled: bool) -> bool:
    """Whether there is nothing more to wait for."""
    state = standing.agreement.state
    return state.ended or (not until_settled and state in (State.TRAINED, State.DIVERGED))


def _states(reader: Reads, until_settled: bool) -> Iterator[Standing]:
    while True:
        standing = reader.read()
        yield standing
        if over(standing, until_settled):
            return
        time.sleep(POLL_S)


def watch_live(states: Iterator[Standing]) -> Standing:
    """Redraw the standing in place."""
    from rich.live import Live

    standing = next(states)
    with Live(draw(standing), console=console(stderr=True), auto_refresh=False, transient=False) as live:
        for standing in states:
            live.update(draw(standing), refresh=True)
    return standing


def watch_lines(states: Iterator[Standing], write: Callable[[str], object]) -> Standing:
    """Tell each change and each line of the history once."""
    told, last = 0, ""
    for standing in states:
        if state_name(standing) != last:
            last = state_name(standing)
            write(f"{time.strftime('%H:%M:%S')}  {last}\n")
        for entry in standing.history:
            if entry.id > told:
                told = entry.id
                write(printable(sentence(entry)) + "\n")
    return standing


def draw(standing: Standing) -> RenderableType:
    """Draw a job's standing for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column()
    done, of = standing.checkpoints, standing.leaf_count
    anchors = standing.proof.anchors
    grid.add_row("agreement", str(standing.agreement.id), "")
    grid.add_row("state", Text(state_name(standing), style="bold"), "")
    grid.add_row("checkpoints", Text(bar(done, of), style="green"), f"{done} of {of}")
    grid.add_row("anchored", Text(bar(standing.proof.count, of), style="cyan"), f"{standing.proof.count} of {of}")
    if anchors:
        grid.add_row("anchors", "  ".join(f"{anchor.count}↦block {anchor.block}" for anchor in anchors[-4:]), "")
    if standing.losses:
        losses = [loss for _, loss in standing.losses]
        grid.add_row("loss", Text(sparkline(losses), style="yellow"), f"{losses[-1]:.4f}")
    if standing.accuracy is not None:
        grid.add_row("accuracy", f"{standing.accuracy:.1%}", "")
    grid.add_row("gas spent", f"{standing.gas:,} in {standing.transactions} transactions", "")
    history = [entry for entry in standing.history if entry.kind not in ("checkpoint", "training", "note")]
    lines = [
        Text(printable(sentence(entry)), style="dim", overflow="ellipsis", no_wrap=True) for entry in history[-LINES:]
    ]
    return Group(grid, Text(""), *lines)
