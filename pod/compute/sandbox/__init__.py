"""Sandbox: what a process that handles foreign input may still do, enforced by the kernel.

It knows folders and limits, nothing of recipes. `confine` puts up what there is; each means is
reported as enforced or as missing, never silently skipped:

- Landlock (`landlock`): which files may be read and written, no TCP, no signals to others;
- a system-call filter (`syscalls`): no sockets at all, no new programs or processes, no tracing;
- resource limits: address space, file size, no core dumps.

The three system calls of Landlock and the filter's few instructions are made through ctypes: the
bindings on PyPI are alpha releases by single authors, and this is the last place for a young
dependency.

    python -m fitchain.pod.compute.sandbox --hide FOLDER -- COMMAND ...

runs a command that cannot read FOLDER.
"""

from __future__ import annotations

from fitchain.pod.compute.sandbox.confine import Enforcement, Level, confine, hide, restrict
from fitchain.pod.compute.sandbox.landlock import landlock_abi

__all__ = ["Enforcement", "Level", "confine", "hide", "landlock_abi", "restrict"]
