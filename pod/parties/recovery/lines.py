"""A job's history, which says that it was recovered."""

from __future__ import annotations

from collections.abc import Iterable

from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.life import HistoryLine, write_missing
from fitchain.pod.values.ids import AgreementId, AuditRef, Subject


def write_recovered(home: Home, id: AgreementId, lines: Iterable[HistoryLine], *besides: AuditRef) -> None:
    """Write lines that a job's history lacks; where it had none, also that they were recovered.

    Args:
        home: whose journal is being made.
        id: the job.
        lines: what the chain says happened to it.
        besides: audits of which is not written what a person said.
    """
    lines, was_empty = list(lines), not home.journal.history(id)
    write_missing(home, id, lines)
    if not was_empty:
        return  # what a person said of it is written
    subjects: dict[Subject, None] = dict.fromkeys((id, *besides, *(line[0] for line in lines)))
    for subject in subjects:
        home.journal.record(subject, history.Recovered(), once="")
