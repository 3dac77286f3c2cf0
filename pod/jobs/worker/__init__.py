"""Worker: the process in which foreign recipes train: no network, no keys, limits.

`task` says what is asked for, `events` what is answered; `parent` starts the process, relays its
events and ends it; `trap` asks again where the processor ended one, and `room` whether there was
memory. `child`, `job` and `modes` run inside, and they alone import torch. Nothing in the folder is
ever imported, evaluated or unpickled.

What lies in a job's folder is said by `pod/values/job_folder.py`; an audit's holds the opened
evidence (`pod/proof/audit/evidence.py`) in place of records, leaves and states.
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
from fitchain.pod.jobs.worker.task import Context, Limits, Task

__all__ = [
    "Context",
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
