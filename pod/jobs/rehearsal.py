"""Rehearsal: the first segments of a job on mock data, before anyone's money or data are at stake.

The scientist rehearses before it asks, the owner before it accepts; both run the same worker in the
same sandbox, on what the dataset's card publishes or, where it publishes nothing, the owner on mock
data of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fitchain.pod.compute.dataset.npz_file import check_npz
from fitchain.pod.jobs.history import is_not_finite
from fitchain.pod.jobs.launch import LOCAL, Launcher
from fitchain.pod.jobs.worker import run_worker
from fitchain.pod.jobs.worker.events import TAKEN_OVER, Diverged, Finished
from fitchain.pod.jobs.worker.task import Limits, Rehearse
from fitchain.pod.jobs.worker.trap import end_at_traps
from fitchain.pod.values.errors import InputRefused, Unusable
from fitchain.pod.values.job_folder import JobFolder, Scratch, scratch
from fitchain.pod.values.limits import MOCK_BYTES
from fitchain.pod.values.work import USUAL_STEP_BYTES, StepWork

MOCK_LIMIT_BYTES, REHEARSAL_LIMIT_S = MOCK_BYTES, 900.0
"""Of what a stranger makes others read and train."""


def rehearse(
    folder: Path,
    put_records: Callable[[Path], object],
    limit_s: float = REHEARSAL_LIMIT_S,
    work: StepWork | None = None,
    stop: threading.Event | None = None,
    launcher: Launcher = LOCAL,
    step_bytes: int = USUAL_STEP_BYTES,
) -> Finished:
    """Train the offer in a folder for its first segments on mock data.

    Args:
        folder: holds recipe.json, graph.json, initial.safetensors and its base where it has one;
            nothing in it is changed.
        put_records: writes the mock data to a path, as NPZ.
        limit_s: seconds after which it is given up.
        work: of a step, as the terms say; None compares nothing.
        stop: ends it before that.
        launcher: where the worker runs.
        step_bytes: of memory that a step may take.

    Returns:
        the worker's last event.

    Raises:
        FitchainError: what would have stopped the training.
        InputRefused: its first segments take too long, or the mock data unpack to too much.
        ClaimMismatch: a step takes other work than the terms say.
    """
    with scratch(folder, Scratch.REHEARSAL) as workspace:
        JobFolder(folder).copy_offer(JobFolder(workspace))
        put_records(records := JobFolder(workspace).records)
        check_npz(records, MOCK_LIMIT_BYTES)
        worked = partial(run_worker, workspace, limit_s=limit_s, stop=stop, launcher=launcher)
        ended = end_at_traps(Rehearse(work=work, limits=Limits.around(step_bytes, records)), worked)
    if isinstance(ended, Diverged) and not is_not_finite(ended.reason):
        raise InputRefused(
            f"the job cannot be computed at step {ended.at + 1} on mock data: {ended.reason}",
            "compare the model's inputs and outputs with the columns, shapes and classes of the dataset's card",
        )
    if isinstance(ended, Diverged):
        raise InputRefused(
            f"the job leaves the finite numbers at step {ended.at + 1} on mock data: {ended.reason}",
            "lower the learning rate, or start from other weights",
        )
    if not isinstance(ended, Finished):
        raise Unusable(f"a worker that rehearses ended with {ended.name!r}", TAKEN_OVER)
    return ended
