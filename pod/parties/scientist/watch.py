"""Watching a job, as its scientist or as anybody who holds a home."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.job_status import JobStatus, JobStatusReader
from fitchain.pod.jobs.retry import RetryPolicy
from fitchain.pod.jobs.watch import changes, looks
from fitchain.pod.parties.scientist.pod import follow
from fitchain.pod.values.ids import AgreementId


def watch_job(home: Home, id: AgreementId, until_settled: bool = False) -> Iterator[JobStatus]:
    """Watch a job until its training has ended.

    With its scientist's opened home the owner's notes and the delivery are read meanwhile, as the
    scientist's pod reads them; it need not run. What goes wrong with them stands in the history,
    and is tried again.

    Args:
        home: any home; one opened for reading alone sees what its journal and the chain say.
        id: the agreement.
        until_settled: go on after the training has ended, until money has moved.

    Yields:
        how it stands: at first, and after each change.

    Raises:
        NotFound: there is no such agreement.
        ChainUnusable: the node does not answer.
    """
    reads_notes = home.opened is not None and home.agreements.read(id).scientist == home.opened.address
    retry = RetryPolicy(home, lambda id, text: None)

    def look() -> None:
        if reads_notes and retry.due(id):
            retry.attempt(id, partial(_follow, home, id))

    yield from changes(looks(JobStatusReader(home, id), until_settled, look))


def _follow(home: Home, id: AgreementId) -> None:
    follow(home, id, auto_accept=False, log=lambda id, text: None)
