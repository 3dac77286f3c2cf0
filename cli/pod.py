"""`fitchain pod`: the long-running side of an owner or a scientist."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from cli.command import Session, command, group
from cli.output import say_at

app = group("pod", "Run the long-running side of an owner or a scientist.")


@command(app, "owner")
def owner(session: Session) -> None:
    """Serve this home's datasets: check requests, train, anchor, deliver. Ctrl-C stops it; nothing is lost."""
    from pod.owner import Owner

    home = session.home
    with stopping() as stop:
        Owner(home, say_at).run(stop)


@command(app, "scientist")
def scientist(
    session: Session,
    auto_accept: Annotated[
        bool, typer.Option("--auto-accept", help="Accept a result as soon as its certificate holds.")
    ] = False,
) -> None:
    """Follow this home's jobs: notes, delivery, certificate. Ctrl-C stops it; nothing is lost."""
    from pod.scientist import Scientist

    home = session.home
    with stopping() as stop:
        Scientist(home, auto_accept, say_at).run(stop)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second one ends the process at once."""
    stop = threading.Event()

    def ask(number: int, frame: object) -> None:
        say_at("stopping")
        stop.set()
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
