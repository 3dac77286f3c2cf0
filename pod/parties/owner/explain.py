"""Where two sides of an audit part: what the owner's training comes to, step by step, done again.

State digests show no number of a model or a record: they may be handed to the other side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fitchain.pod.compute.checkpoint import read_leaves, read_state
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.worker import Emit, explain
from fitchain.pod.parties.owner.replay import link_training
from fitchain.pod.parties.owner.run import prepare
from fitchain.pod.proof.audit.diagnosis import StateDigests
from fitchain.pod.values.errors import NotFound
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import JobFolder, Scratch, scratch


def has_training(home: Home, id: AgreementId) -> bool:
    """Whether a job was trained from this home."""
    return home.job_folder(id).leaves.exists()


def explain_training(home: Home, id: AgreementId, segments: Sequence[int], emit: Emit) -> tuple[StateDigests, ...]:
    """Train segments of a job again and keep every tensor's digest after each step.

    Args:
        home: the owner's, opened with its key, with the dataset's file where it was.
        id: the agreement, which was trained from this home.
        segments: which.
        emit: takes the worker's events.

    Raises:
        NotFound: the job has no such segment.
        FitchainError: it cannot be trained again here, or what is here is not what the chain says.
    """
    run, folder = home.agreements.run_record(id), home.job_folder(id)
    for segment in segments:
        if not 0 <= segment < run.count:
            raise NotFound(f"the job {id.short} has no segment {segment}", f"it has 0 to {run.count - 1}")
    with scratch(folder.path, Scratch.REPLAY) as path:
        link_training(folder, JobFolder(path))
        task = prepare(home, id, run, JobFolder(path))
        return explain(path, task.context, segments, emit, home.launcher, task.limits)


def kept_state_digests(home: Home, id: AgreementId, segments: Iterable[int]) -> tuple[StateDigests, ...]:
    """The digests of the states that an owner kept at the ends of segments; none without any."""
    if not has_training(home, id):
        return ()
    folder = home.job_folder(id)
    leaves, kept = read_leaves(folder.path), []
    for segment in segments:
        if segment + 1 < len(leaves):
            step = leaves[segment + 1].leaf.step
            if folder.state(step).exists():
                kept.append(StateDigests.of(segment, step, read_state(folder.path, step)))
    return tuple(kept)
