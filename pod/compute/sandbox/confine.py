"""Which folders, which limits: the sandbox as a worker and as a test use it."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import fitchain
from fitchain.pod.compute.sandbox.landlock import CUTTING_ABI, READ, Files, enforce, landlock_abi
from fitchain.pod.compute.sandbox.namespaces import drop_rights, enter, own_files
from fitchain.pod.compute.sandbox.syscalls import refuse_system_calls
from fitchain.pod.values.errors import InputRefused, Unusable

SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime")
KERNEL = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/dev/urandom", "/dev/null")


THREADS, OPEN_FILES = 512, 512


class Level(IntEnum):
    """How much of the sandbox stands; each level has all below it."""

    LIMITS = 0
    """Limits on memory, files and CPU."""
    FILES = 1
    """Other files are out of reach (Landlock)."""
    CALLS = 2
    """System calls are those of a list."""
    VIEW = 3
    """A root, a network and a user of its own."""

    @classmethod
    def parse(cls, word: str) -> Level:
        """The level of a word.

        Raises:
            InputRefused: there is none.
        """
        try:
            return cls[word.upper()]
        except KeyError:
            raise InputRefused(f"{word!r} is no level of the sandbox", f"one of {', '.join(map(str, cls))}") from None

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Enforcement:
    """What the kernel enforces on this process from now on, and what it lacks; in words, for
    people."""

    level: str
    enforced: tuple[str, ...]
    missing: tuple[str, ...]


# Many parameters: the caller's files, and each limit.
def confine(
    folder: Path,
    memory_bytes: int,
    file_bytes: int,
    cpu_s: int | None = None,
    least: Level = Level.LIMITS,
    readable: Sequence[Path] = (),
) -> Enforcement:
    """Confine this process to one folder, for good; call it after all imports, before foreign input
    is touched.

    Args:
        folder: the only place where it may write.
        memory_bytes: address space beyond what is in use now.
        file_bytes: size of any one file that it writes.
        cpu_s: seconds of CPU time, of all threads together; None lets it compute for as long as it
            likes.
        least: the level without which it is not to go on.
        readable: files that it may read, besides that folder, the interpreter and its libraries; no
            link is among them.

    Returns:
        What is enforced, and what could not be.

    Raises:
        Unusable: the process has threads already, which Landlock would leave free; or the kernel
            gives less than the least level.
    """
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        raise Unusable(f"the process has {threads} threads, and a sandbox that is put up now holds only for one")
    means: list[tuple[Level, str, Callable[[], object]]] = [
        (
            Level.VIEW,
            "view: a root, a network and a user of its own",
            lambda: enter(interpreter(), _search_path(), readable, folder),
        ),
        (
            Level.FILES,
            "files: reads only what it is given and the interpreter, writes only its folder",
            lambda: restrict([*interpreter(), *readable], [folder]),
        ),
        (Level.CALLS, "system calls: those of a list; no sockets, programs, processes, links", refuse_system_calls),
    ]
    own_files(folder, readable)
    enforced: list[str] = []
    missing: list[str] = []
    lacking: set[Level] = set()
    for level, what, put_up in means:
        if level is Level.FILES:  # the user is another now, and limits count for it
            drop_rights()
            enforced += _limit(memory_bytes, file_bytes, cpu_s, threads=not lacking)
        if problem := _tried(put_up):
            missing.append(f"{what} ({problem})")
            lacking.add(level)
        else:
            enforced.append(what)
        if level is Level.FILES and not problem and landlock_abi() < CUTTING_ABI and Level.VIEW in lacking:
            missing.append("files: none outside can be emptied (Linux before 6.2)")
            lacking.add(level)
    reached = Level(min(lacking) - 1) if lacking else max(Level)
    if reached < least:
        raise Unusable(
            f"the sandbox reaches the level `{reached}` here, and `{least}` is required: {'; '.join(missing)}",
            "use a kernel that gives it, or require less (`sandbox` in the settings)",
        )
    return Enforcement(str(reached), tuple(enforced), tuple(missing))


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


def _search_path() -> list[Path]:
    """What Python imports from, as it is spelt, with links on the way."""
    spelt = (*sys.path, sys.prefix, sys.executable, fitchain.__file__)
    return [Path(path) for path in spelt if path and os.path.exists(path)]


def _limit(memory_bytes: int, file_bytes: int, cpu_s: int | None, threads: bool) -> list[str]:
    """Put up limits; that on threads counts those of a whole user, so it is only for who is one of
    its own."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + memory_bytes,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
    }
    if threads:
        limits[resource.RLIMIT_NPROC] = THREADS
    if cpu_s is not None:
        limits[resource.RLIMIT_CPU] = cpu_s
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (most, most))
    limited = [f"memory: {memory_bytes >> 20} MiB", f"file size: {file_bytes >> 20} MiB", "no core dumps"]
    return [*limited, f"open files: {OPEN_FILES}", *([] if cpu_s is None else [f"CPU time: {cpu_s} s"])]


def _tried(put_up: Callable[[], object]) -> str:
    """Why it could not be put up; empty if it was."""
    try:
        put_up()
    except (Unusable, OSError, RecursionError) as error:
        return error.message if isinstance(error, Unusable) else str(error)
    return ""
