"""How much memory this host has, and how much of it is free.

Source: proc(5), /proc/meminfo.
"""

from __future__ import annotations

import re
from pathlib import Path

from fitchain.pod.values.errors import Unusable

MEMINFO = Path("/proc/meminfo")


def total_memory() -> int:
    """Bytes of memory that this host has, without swap."""
    return _bytes_of("MemTotal", "how much memory there is")


def free_memory() -> int:
    """Bytes of memory that this host can give to a process without swapping."""
    return _bytes_of("MemAvailable", "how much memory is free")


def _bytes_of(field: str, what: str) -> int:
    line = re.search(rf"^{field}:\s+(\d+) kB$", MEMINFO.read_text(), re.MULTILINE)
    if line is None:
        raise Unusable(f"{MEMINFO} does not say {what}", "run it on Linux 3.14 or newer")
    return int(line[1]) << 10
