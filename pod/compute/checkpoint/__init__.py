"""Checkpoints: states become digests, leaves and kept states.

`files` reads and writes what a job folder keeps, without torch; `recorder` takes states from the
training thread and does everything else on a thread of its own, and is the only part that imports
torch (so it is not imported here).
"""

from __future__ import annotations

from fitchain.pod.compute.checkpoint.files import (
    KeptState,
    Unmoved,
    append_leaf,
    read_leaves,
    read_state,
    read_state_file,
    replace_last_leaf,
    state_steps,
    trim_leaves,
    write_state,
    write_state_file,
)
from fitchain.pod.values.job_folder import LEAVES, STATES

__all__ = [
    "LEAVES",
    "STATES",
    "KeptState",
    "Unmoved",
    "append_leaf",
    "read_leaves",
    "read_state",
    "read_state_file",
    "replace_last_leaf",
    "state_steps",
    "trim_leaves",
    "write_state",
    "write_state_file",
]
