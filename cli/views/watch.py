"""`fitchain job watch`: a job as it goes, redrawn in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fitchain.cli.views import audits
from fitchain.cli.views.amounts import clock
from fitchain.cli.views.curves import sparkline
from fitchain.cli.views.history import sentence, spent, state_name
from fitchain.cli.views.output import console, printable
from fitchain.pod.jobs.history import REACHED, CheckpointRecorded, NoteRead, Training
from fitchain.pod.jobs.watch import looks

if TYPE_CHECKING:
    from rich.text import Text

    from fitchain.pod.jobs.job_status import JobStatus, JobStatusReader

LINES = 8  # of history below the figures
BAR = 40


def watch(reader: JobStatusReader, until_settled: bool, before: Callable[[], None] | None = None) -> JobStatus:
    """Show a job until it ends.

    Args:
        reader: reads the job.
        until_settled: whether to go on after the training ended until money has moved.
        before: called before each look, and once more when it is over.

    Returns:
        how it stands in the end.
    """
    out = console(stderr=True)
    states = looks(reader, until_settled, before)
    return watch_live(states) if out.is_terminal else watch_lines(states, sys.stderr.write)


def watch_live(states: Iterator[JobStatus]) -> JobStatus:
    """Redraw the status in place."""
    from rich.live import Live

    status = next(states)
    with Live(draw(status), console=console(stderr=True), auto_refresh=False, transient=False) as live:
        for status in states:
            live.update(draw(status), refresh=True)
        live.console.print()
    return status


def watch_lines(states: Iterator[JobStatus], write: Callable[[str], object]) -> JobStatus:
    """Write each change and each line of the history once."""
    newest, last = 0, ""
    for status in states:
        for line in status.history:
            if line.id > newest:
                newest = line.id
                write(printable(sentence(line)) + "\n")
        if state_name(status) != last:
            last = state_name(status)
            write(f"{clock(_reached_at(status))}  {last}\n")
    return status


def _reached_at(status: JobStatus) -> float:
    """When the job came to its state, as this home's history has it; else now, when it is seen."""
    kind = type(REACHED[status.state]) if status.state in REACHED else None
    return next((line.time for line in reversed(status.history) if type(line.entry) is kind), time.time())


def draw(status: JobStatus) -> Text:
    """Draw a job's status for a terminal."""
    from rich.text import Text

    done, anchored, of = status.checkpoints, status.run.count, status.leaf_count
    lines = [
        _line("job", Text(str(status.agreement.id))),
        _line("state", Text(state_name(status), style="bold")),
        _line("checkpoints", _bar(done, of, "green"), f"{done} of {of}"),
        _line("anchored", _bar(anchored, of, "cyan"), f"{anchored} of {of}{_blocks(status)}"),
    ]
    if status.losses:
        losses = [loss for _, loss in status.losses]
        curve = Text(sparkline(losses, BAR).ljust(BAR), style="yellow")
        accuracy = "" if status.accuracy is None else f"   accuracy {status.accuracy:.1%}"
        lines.append(_line("loss", curve, f"{losses[-1]:.4f}{accuracy}"))
    if status.audit is not None:
        pairs = audits.pairs_of(status.audit, status.now)
        lines += [_line(label, Text(printable(text))) for label, text in pairs]
    lines.append(_line("gas", Text(spent(status))))
    history = [line for line in status.history if not isinstance(line.entry, CheckpointRecorded | Training | NoteRead)]
    newest = [Text(printable(sentence(line)), style="dim") for line in history[-LINES:]]
    return Text("\n").join([*lines, Text(""), *newest])


def _line(label: str, value: Text, note: str = "") -> Text:
    from rich.text import Text

    return Text.assemble((label.ljust(13), "dim"), value, f"  {note}" if note else "")


def _bar(done: int, of: int, style: str) -> Text:
    from rich.text import Text

    filled = BAR * done // max(of, 1)
    return Text.assemble(("━" * filled, style), ("─" * (BAR - filled), "dim"))


def _blocks(status: JobStatus) -> str:
    """The blocks of the newest anchors."""
    blocks = [str(anchor.block) for anchor in status.run.anchors]
    return (
        f"   block{'s' if len(blocks) > 1 else ''} {'… ' if len(blocks) > 4 else ''}{', '.join(blocks[-4:])}"
        if blocks
        else ""
    )
