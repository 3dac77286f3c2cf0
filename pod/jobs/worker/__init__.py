"""Worker: the process in which foreign recipes train: no network, no keys, limits.

`task` says what is asked for, `events` what is answered; `parent` starts the process, relays its
events and ends it. `child`, `job` and `modes` run inside, and they alone import torch. Nothing in
the folder is ever imported, evaluated or unpickled.

    <job folder>/task.json             what to do: one of `MODES`
                 recipe.json           canonical
                 graph.json            canonical
                 initial.safetensors   the agreed initial weights
                 records.npz           the records (or mock data, or a test table)
                 leaves.jsonl          one checkpoint a line, growing
                 states/<step>.safetensors   kept states
                 final.safetensors     the trained model
                 predictions.npz       what an evaluation yields
                 state-digests.jsonl   the state digests that an explanation yields
                 worker.log            what the process wrote to its standard error

An audit's folder holds a task and the opened evidence (`pod/proof/audit/evidence.py`) in place of
all but the offer.
"""

from __future__ import annotations

from fitchain.pod.jobs.worker.events import Emit, Ending, Event, SegmentAudited, SegmentReplayed
from fitchain.pod.jobs.worker.parent import (
    Worker,
    audit,
    explain,
    measure,
    recompute,
    replay,
    run_worker,
)
from fitchain.pod.jobs.worker.task import MODES, Limits, Task

__all__ = [
    "MODES",
    "Emit",
    "Ending",
    "Event",
    "Limits",
    "SegmentAudited",
    "SegmentReplayed",
    "Task",
    "Worker",
    "audit",
    "explain",
    "measure",
    "recompute",
    "replay",
    "run_worker",
]
