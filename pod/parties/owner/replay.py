"""Replaying segments of one's own training: the same records, order and states must give the same
leaves again.

What is compared with is not the folder's word: its leaves must add up to the transcript root that
the chain computed.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

from fitchain.pod.compute.checkpoint import read_leaves, state_steps
from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.removal import describe_removal
from fitchain.pod.jobs.worker import Emit, SegmentReplayed
from fitchain.pod.jobs.worker import replay as replay_folder
from fitchain.pod.parties.owner.run import prepare
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.errors import ClaimMismatch, InputRefused, NotFound
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import JobFolder, Scratch, scratch


@dataclass(frozen=True)
class Replay:
    """What a replay found: its segments' verdicts, in order, and how many segments the training
    has."""

    verdicts: tuple[SegmentReplayed, ...]
    segments: int

    @property
    def equal(self) -> bool:
        """Whether every replayed segment came out as in its leaf."""
        return all(verdict.equal for verdict in self.verdicts)


def replay_job(home: Home, id: AgreementId, count: int, on_event: Emit | None = None) -> Replay:
    """Train segments of an ended job again and compare them with the leaves that the chain
    recorded.

    Args:
        home: the owner's, opened with its key, with the dataset's file where it was.
        id: the agreement.
        count: how many segments: the last, the first, and others drawn at random; all if there are
            no more.
        on_event: told the worker's events.

    Raises:
        NotFound: the job was not trained from this home, or has not ended.
        ClaimMismatch: the folder's leaves are not those of the chain.
        DatasetChanged: the records are not those that were registered.
        EnvironmentRefused: this host does not reproduce the recipe's class.
    """
    if count < 1:
        raise InputRefused(f"at least one segment is replayed, not {count}")
    run, folder = home.agreements.run_record(id), home.job_folder(id)
    if run.end_block is None or not folder.leaves.exists():
        gone = describe_removal(home, id) or "only who has the data can replay it"
        raise NotFound(f"the job {id} has no ended training in this home", gone)
    leaves = tuple(checkpoint.leaf for checkpoint in read_leaves(folder.path))
    root = Transcript(run.ctx, run.seed, leaves).root
    if root != run.transcript_root:
        raise ClaimMismatch(f"the leaves in {folder} have the root {root} and the chain has {run.transcript_root}")
    # In a folder of its own: the pod may be at work in the job's, clearing it away say.
    with scratch(folder.path, Scratch.REPLAY) as path:
        training = JobFolder(path)
        link_training(folder, training)
        task, segments = prepare(home, id, run, training), _drawn(len(leaves) - 1, count)
        again = segments, on_event, home.launcher, task.context, task.limits
        verdicts = replay_folder(training.path, *again)
    replay = Replay(verdicts, len(leaves) - 1)
    home.journal.record(id, history.Replayed(len(verdicts), replay.equal))
    return replay


def link_training(folder: JobFolder, target: JobFolder) -> None:
    """Lay out what a training left behind: its offer, its leaves, its kept states.

    Raises:
        Unusable: there is something else in their place.
    """
    folder.check_run()
    target.states.mkdir(parents=True)
    states = (folder.state(step) for step in state_steps(folder.path))
    for path in (folder.recipe, folder.graph, folder.initial, folder.leaves, *states):
        os.link(path, target.path / path.relative_to(folder.path))
    if folder.base.exists():
        os.link(folder.base, target.base)


def _drawn(segments: int, count: int) -> list[int]:
    """The last segment, the first, then inner ones by the system's randomness."""
    if segments < 1:
        raise NotFound("the training ended at its first leaf: there is no segment to replay")
    inner = (
        random.SystemRandom().sample(range(1, segments - 1), max(0, min(count, segments) - 2)) if segments > 2 else []
    )
    return sorted({*[segments - 1, 0][:count], *inner})
