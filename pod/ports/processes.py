"""Processes that outlive the command which started them: how the devnet's node and the private IPFS
nodes are run.

A process is known by its id and by when it started, since ids are used again.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from fitchain.pod.ports.settings import process_start
from fitchain.pod.values.errors import Unusable

STOP_S = 20.0


def spawn(command: list[str], log: Path, variables: Mapping[str, str]) -> int:
    """Start a process of its own session, so that it outlives us and no Ctrl-C of ours reaches it.

    Args:
        command: path and arguments.
        log: what it says is appended here.
        variables: its environment.

    Returns:
        its id.
    """
    write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), write, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], command, variables, file_actions=streams, setsid=True)


def running(pid: int) -> bool:
    """Whether a process is alive; a child of ours that has ended is reaped."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return process_start(pid) is not None


def stop(pid: int, started: int) -> None:
    """End a process: ask, wait, insist. One that has gone, or whose id has passed to another, is
    left alone.

    Raises:
        Unusable: it is still there.
    """
    for ask in (signal.SIGTERM, signal.SIGKILL):
        if not running(pid) or process_start(pid) != started:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, ask)
        deadline = time.monotonic() + STOP_S
        while time.monotonic() < deadline:
            if not running(pid) or process_start(pid) != started:
                return
            time.sleep(0.01)
    raise Unusable(f"the process {pid} does not stop", "look at it, then end it by hand")


def port_is_free(port: int) -> bool:
    """Whether nobody listens on a TCP port of 127.0.0.1; 0, any port, always is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Let one process at a time start or stop what a lock file stands for; the others wait."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
