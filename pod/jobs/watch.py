"""Watching: how jobs stand, read again and again until they are over; no key is needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fitchain.pod.ports.agreement import State

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.jobs.job_status import JobStatus, JobStatusReader
    from fitchain.pod.ports.agreement import Agreement

LOOK_S = 0.4


def over(status: JobStatus, until_settled: bool) -> bool:
    """Whether there is nothing more to wait for.

    Args:
        status: of the job.
        until_settled: whether to wait until money has moved, and not only for the training's end.
    """
    state = status.agreement.state
    return state.ended or (not until_settled and state in (State.TRAINED, State.DIVERGED, State.AUDITING))


def looks(
    reader: JobStatusReader, until_settled: bool = False, before: Callable[[], None] | None = None
) -> Iterator[JobStatus]:
    """Look at a job again and again until it is over.

    Args:
        reader: reads it.
        until_settled: whether to go on after its training has ended, until money has moved.
        before: called before each look, and once more when it is over.

    Yields:
        how it stands, at each look.
    """
    while True:
        if before is not None:
            before()
        status = reader.read()
        if before is not None and over(status, until_settled):
            before()  # what came with the end
            status = reader.read()
        yield status
        if over(status, until_settled):
            return
        time.sleep(LOOK_S)


def changes(statuses: Iterator[JobStatus]) -> Iterator[JobStatus]:
    """Leave out what differs from the status before it in nothing but the time."""
    last = None
    for status in statuses:
        if last is None or replace(status, now=last.now) != last:
            yield status
        last = status


def list_jobs(home: Home) -> list[Agreement]:
    """The agreements in which this home is the owner or the scientist, oldest first.

    Raises:
        AccessRefused: the home was opened without its key.
        ChainUnusable: the node does not answer.
    """
    return home.agreements.read_many(home.agreements.list_of(home.keys.address))


def newest_jobs(home: Home, account: str | None, most: int) -> tuple[list[Agreement], int]:
    """The newest agreements of the deployment, or those in which an account is the owner or the
    scientist; in few round trips, however many there are.

    Args:
        home: any.
        account: None takes everybody's.
        most: how many are read.

    Returns:
        them, oldest first, and how many older ones there are.

    Raises:
        ChainUnusable: the node does not answer.
    """
    ids = home.agreements.list_of(account) if account else home.agreements.list()
    return home.agreements.read_many(ids[-most:]), max(len(ids) - most, 0)
