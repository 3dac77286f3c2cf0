"""Rehearsal: the first segments of a job on mock data, before anyone's money or data are at stake.

The scientist rehearses before it asks, the owner before it accepts; both run the same worker in the
same sandbox, on what the dataset's card publishes or, where it publishes nothing, the owner on mock
data of its own.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from fitchain.pod.compute.dataset.npz_file import check_npz
from fitchain.pod.jobs.exchange import OFFER_FILES
from fitchain.pod.jobs.worker import Task, run_worker
from fitchain.pod.jobs.worker.events import TAKEN_OVER, Diverged, Finished
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import InputRefused, Unusable
from fitchain.pod.values.limits import MOCK_BYTES
from fitchain.pod.values.work import StepWork

MOCK_LIMIT_BYTES, REHEARSAL_LIMIT_S = MOCK_BYTES, 900.0
"""Of what a stranger makes others read and train."""


def rehearse(
    folder: Path,
    put_records: Callable[[Path], object],
    limit_s: float = REHEARSAL_LIMIT_S,
    work: StepWork | None = None,
    stop: threading.Event | None = None,
) -> Finished:
    """Train the offer in a folder for its first segments on mock data.

    Args:
        folder: holds recipe.json, graph.json and initial.safetensors; nothing in it is changed.
        put_records: writes the mock data to a path, as NPZ.
        limit_s: seconds after which it is given up.
        work: of a step, as the terms say; None compares nothing.
        stop: ends it before that.

    Returns:
        the worker's last event.

    Raises:
        FitchainError: what would have stopped the training.
        InputRefused: its first segments take too long, or the mock data unpack to too much.
        ClaimMismatch: a step takes other work than the terms say.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".rehearsal-") as path:
        scratch = Path(path)
        for name in OFFER_FILES:
            shutil.copyfile(folder / name, scratch / name)
        put_records(scratch / "records.npz")
        check_npz(scratch / "records.npz", MOCK_LIMIT_BYTES)
        Task("rehearse", ctx=ZERO, seed=ZERO, keep_every=1 << 30, work=work).write(scratch)
        ended = run_worker(scratch, limit_s=limit_s, stop=stop)
    if isinstance(ended, Diverged):
        raise InputRefused(
            f"the job leaves the finite numbers at step {ended.at + 1} on mock data: {ended.reason}",
            "lower the learning rate, or start from other weights",
        )
    if not isinstance(ended, Finished):
        raise Unusable(f"a worker that rehearses ended with {ended.name!r}", TAKEN_OVER)
    return ended
