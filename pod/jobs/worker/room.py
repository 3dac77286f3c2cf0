"""Room: whether this host gives a worker the memory that a step takes.

A kernel that gets no memory may crash where it should say so, as one does that the processor traps.
So a worker that was started again to find out which it was asks the system for that memory before
each step: what ends it then is no lack of it (`trap`). It is asked for and given back, and not
written to: where the system has promised more than it has, it ends a process by SIGKILL, which is
taken for nothing else.
"""

from __future__ import annotations

import mmap

from fitchain.pod.values.errors import HostUnusable
from fitchain.pod.values.limits import size_about

BESIDE_STEP_BYTES = 1 << 30
"""What kernels take beside the tensors of a step: buffers of each thread, and the allocator's."""


def require_room(size_bytes: int) -> None:
    """Ask for memory in one piece, and give it back.

    Args:
        size_bytes: of a step's tensors; what kernels take comes on top.

    Raises:
        HostUnusable: the system, or this process's limit, does not give it.
    """
    asked = size_bytes + BESIDE_STEP_BYTES
    try:
        mmap.mmap(-1, asked, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError as error:
        raise HostUnusable(
            f"this host does not give a step the memory that it takes, {size_about(asked)}: {error.strerror}",
            "free some, or raise the limit of the pod's processes; the job is tried again",
        ) from None
