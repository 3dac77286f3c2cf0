"""Which folders, which limits: the sandbox as a worker and as a test use it."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import fitchain
from fitchain.pod.compute.sandbox.landlock import READ, Files, enforce, landlock_abi
from fitchain.pod.compute.sandbox.syscalls import refuse_system_calls
from fitchain.pod.values.errors import Unusable

SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime")
KERNEL = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/dev/urandom", "/dev/null")


@dataclass(frozen=True, slots=True)
class Enforcement:
    """What the kernel enforces on this process from now on, and what it lacks; in words, for
    people."""

    enforced: tuple[str, ...]
    missing: tuple[str, ...]


def confine(folder: Path, memory_bytes: int, file_bytes: int) -> Enforcement:
    """Confine this process to one folder, for good; call it after all imports, before foreign input
    is touched.

    Args:
        folder: the only place where it may write, and besides the interpreter and its libraries the
            only one it may read.
        memory_bytes: address space beyond what is in use now.
        file_bytes: size of any one file that it writes.

    Returns:
        What is enforced, and what could not be.

    Raises:
        Unusable: the process has threads already, which Landlock would leave free.
    """
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        raise Unusable(f"the process has {threads} threads, and a sandbox that is put up now holds only for one")
    enforced = _limit(memory_bytes, file_bytes)
    missing: list[str] = []
    for what, put_up in (
        (
            "files: reads only its folder and the interpreter, writes only its folder",
            lambda: restrict(interpreter(), [folder]),
        ),
        ("system calls: no sockets, no programs, no processes, no tracing", refuse_system_calls),
    ):
        problem = _tried(put_up)
        (missing if problem else enforced).append(f"{what} ({problem})" if problem else what)
    return Enforcement(tuple(enforced), tuple(missing))


def restrict(readable: Iterable[Path], writable: Iterable[Path], network: bool = False) -> None:
    """Let this thread, and all that it starts, reach these files alone, for good.

    Args:
        readable: files and folders that may be read, with all below them.
        writable: files and folders that may be read and written, with all below them.
        network: whether TCP stays allowed, as do signals to processes outside.

    Raises:
        Unusable: the kernel has no Landlock.
    """
    everything = Files.supported(landlock_abi())
    rules = {Path(path): READ for path in readable} | {Path(path): everything for path in writable}
    enforce(everything, rules | {Path("/dev/null"): READ | Files.WRITE_FILE}, network)


def hide(folder: Path) -> None:
    """Make one folder unreadable for this thread and all that it starts, even as root, for good.

    Landlock knows only grants, so every neighbour of the folder and of its parents is granted: what
    appears later beside them cannot be read either, nor can the parents be listed. Writing stays as
    it is. Moving a file from one folder to another has to be granted too, since Landlock withholds
    it from everyone whom it withholds anything (before ABI 2 without exception).

    Raises:
        Unusable: the kernel has no Landlock, or there is no such folder.
    """
    hidden = folder.resolve()
    if not hidden.is_dir():
        raise Unusable(f"there is no folder {hidden} to hide")
    on_the_way = [hidden, *hidden.parents]
    neighbours = [path for parent in hidden.parents for path in parent.iterdir() if path not in on_the_way]
    beside = [path for path in neighbours if not path.is_symlink()]  # a link may lead to a folder on the way
    enforce(READ & ~Files.EXECUTE | Files.REFER, dict.fromkeys(beside, READ | Files.REFER), network=True)


def interpreter() -> list[Path]:
    """What running Python and torch needs to read: the interpreter, its packages, system libraries,
    a little of the kernel's."""
    own = [Path(sys.prefix), Path(sys.base_prefix) / "lib", Path(sys.executable)]
    # In a checkout the package `fitchain` links to the folders `pod` and `cli`, and the kernel goes
    # by what a link leads to.
    own += [Path(fitchain.__file__).parent, Path(__file__).resolve().parents[2]]
    packages = [Path(path) for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return [path.resolve() for path in own + packages] + [Path(path) for path in (*SYSTEM, *KERNEL)]


def _limit(memory_bytes: int, file_bytes: int) -> list[str]:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + memory_bytes,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_CORE: 0,
    }
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (most, most))
    return [f"memory: {memory_bytes >> 20} MiB", f"file size: {file_bytes >> 20} MiB", "no core dumps"]


def _tried(put_up: Callable[[], None]) -> str:
    """Why it could not be put up; empty if it was."""
    try:
        put_up()
    except Unusable as error:
        return error.message
    return ""
