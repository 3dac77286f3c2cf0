"""`fitchain pod`: the long-running side of an owner, a scientist or a verifier."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.views.amounts import counted, parse_duration, parse_fit
from fitchain.cli.views.output import log_with_time
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.errors import ChainUnusable, HostUnusable, NodeRefused, NodeUnreachable
from fitchain.pod.values.ids import NO_AGREEMENT, AgreementId

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home

WAIT_S = 2.0
STOPPING = (signal.SIGTERM, signal.SIGINT)

app = group("pod", "Run the long-running side of a party.")


@command(app, "owner")
def owner(
    session: Session,
    keep_states: Annotated[
        bool, typer.Option("--keep-states/--wipe-states", help="Whether a settled job can be replayed from the middle.")
    ] = True,
    keep_every: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Keep the state of every N-th checkpoint.",
            min=1,
            show_default="as many as half of the free disk holds",
        ),
    ] = None,
    remove_after: Annotated[
        str | None,
        typer.Option(
            "--remove-after",
            metavar="TIME",
            help="Delete what is kept of a job so long after its end, as `job remove` does.",
            show_default="never",
        ),
    ] = None,
) -> None:
    """Serve this home's datasets.

    It examines requests, trains, anchors and delivers. Ctrl-C stops it; started again, it goes on
    where it was.
    """
    from fitchain.pod.parties.owner import Owner
    from fitchain.pod.parties.owner.data import datasets_on_offer

    after_s = None if remove_after is None else parse_duration(remove_after)
    home = waited_home(session)

    def started() -> None:
        served = "its datasets"
        with suppress(ChainUnusable):  # how many they are is told where the node says
            served = counted(len(datasets_on_offer(home)), "dataset")
        log_with_time(f"owner {home.keys.address} serves {served}; Ctrl-C stops")

    with stopping() as stop:
        Owner(home, log_job, keep_states, keep_every, remove_after_s=after_s).run(stop, started)


@command(app, "scientist")
def scientist(
    session: Session,
    auto_accept: Annotated[
        bool, typer.Option("--auto-accept", help="Accept a result as soon as its certificate holds.")
    ] = False,
) -> None:
    """Follow this home's jobs.

    It reads notes, opens deliveries and checks their certificates. Ctrl-C stops it; nothing is
    lost.
    """
    from fitchain.pod.parties.scientist import Scientist

    home = waited_home(session)
    with stopping() as stop:
        followed = counted(len(home.journal.requests()), "request")
        started = _log_lines(f"scientist {home.keys.address} follows {followed}; Ctrl-C stops")
        Scientist(home, auto_accept, log_job).run(stop, started)


# As many parameters as its policy has options.
@command(app, "verifier")
def verifier(
    session: Session,
    pool: Annotated[
        bool, typer.Option("--pool/--no-pool", help="Sit in audits whose verifiers are drawn from the pool.")
    ] = True,
    least_fee: Annotated[str, typer.Option("--least-fee", metavar="FIT", help="Of its seat.")] = "0",
    highest_stake: Annotated[
        str | None,
        typer.Option("--highest-stake", metavar="FIT", help="That a seat may lock.", show_default="what is free"),
    ] = None,
    most_steps: Annotated[
        int | None,
        typer.Option(
            "--most-steps", metavar="N", help="Steps that it trains again.", min=1, show_default="what time allows"
        ),
    ] = None,
    most_memory: Annotated[
        int | None,
        typer.Option(
            "--most-memory",
            metavar="MIB",
            help="Memory of a step that it trains again.",
            min=1,
            show_default="half of what is free",
        ),
    ] = None,
    operations: Annotated[
        float | None,
        typer.Option(
            "--operations-per-second",
            metavar="N",
            help="Operations of elements that this host does at least, by which it tells how long a replay takes.",
            min=1.0,
            show_default="1e8, a slow core's",
        ),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option("--mode", metavar="MODE", help="open, sampled or on-site; may be repeated.", show_default="all"),
    ] = None,
) -> None:
    """Take this home's seat in each audit that it is drawn for, or decline it.

    It trains drawn segments again, votes and collects its fees. Ctrl-C stops it; started again, it
    goes on where it was. What it joined does not wait: an absent verifier loses a tenth of its
    seat's stake.
    """
    from fitchain.cli.commands.verifier import next_step
    from fitchain.pod.jobs.staking import read_status
    from fitchain.pod.parties.verifier import ConsentPolicy, Verifier
    from fitchain.pod.proof.audit.pace import SLOW_HOST, Pace

    home = waited_home(session)
    policy = ConsentPolicy(
        pool=pool,
        least_fee=parse_fit(least_fee),
        highest_stake=None if highest_stake is None else parse_fit(highest_stake),
        most_steps=most_steps,
        most_memory=None if most_memory is None else most_memory << 20,
        pace=SLOW_HOST if operations is None else Pace(operations_per_s=operations),
        modes=tuple(map(AuditMode.parse, mode)) if mode else tuple(AuditMode),
    )
    address = home.keys.address

    def started() -> None:
        with suppress(ChainUnusable):  # a hint, for which nothing waits: the pod tells what its node lacks
            if obstacle := read_status(home, address).obstacle:
                log_with_time(f"verifier {address} cannot take a seat yet: {obstacle.value}: {next_step(obstacle)}")
        log_with_time(f"verifier {address} waits to be drawn; Ctrl-C stops")

    with stopping() as stop:
        Verifier(home, log_job, policy).run(stop, started)


def waited_home(session: Session) -> Home:
    """Open the home for its pod, which may be started before its node is, at boot say, or while a
    disk is full: until then it waits, as it would later on. The passphrase is asked for once there
    is a node. A setting of its workers that says nothing is refused now, not at the first job."""
    from fitchain.pod.jobs.journal import JOURNAL_FILE, require_own
    from fitchain.pod.jobs.launch import launcher_of
    from fitchain.pod.ports.chain import connect

    launcher_of(session.settings)
    last_error = ""
    while True:
        try:
            require_own(session.settings.home / JOURNAL_FILE)
            connect(session.settings)
            return session.home
        except (NodeUnreachable, NodeRefused, HostUnusable) as error:
            if last_error != error.message:
                last_error = error.message
                for_what = "this host" if isinstance(error, HostUnusable) else "its node"
                log_with_time(f"waits for {for_what}: {error.message} ({error.hint})")
            time.sleep(WAIT_S)


def log_job(id: AgreementId, text: str) -> None:
    """Say one line about a job, or, with the zero digest, about the pod."""
    log_with_time(text if id == NO_AGREEMENT else f"{id.short}  {text}")


def _log_lines(*lines: str) -> Callable[[], None]:
    """For a pod's `ready`, which only the one that has the home's lock comes to: logs these lines."""

    def log_them() -> None:
        for line in lines:
            log_with_time(line)

    return log_them


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second one ends the process at once.

    A signal may arrive anywhere, inside a print or while the event's own lock is held: so its
    handler does next to nothing, and a thread that waits at a pipe does the rest.
    """
    stop = threading.Event()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def listen() -> None:
        if os.read(reading, 1):
            log_with_time("stopping")
            stop.set()

    def end_at_the_next(number: int, frame: object) -> None:
        for stopping_signal in STOPPING:
            signal.signal(stopping_signal, signal.SIG_DFL)

    listener = threading.Thread(target=listen, name="signals")
    listener.start()
    signal.set_wakeup_fd(writing)
    before = {number: signal.signal(number, end_at_the_next) for number in STOPPING}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        os.close(writing)
        listener.join()
        os.close(reading)
