"""A filter of system calls for a process that computes and writes files, nothing else.

It is a list of what such a process needs: memory, threads, files that it opens by name, the time,
and its own end. All else fails with EPERM, so that a library which merely asks can go on: no
sockets, no programs, no processes, no signals to others, no links, devices or pipes made, no modes,
owners or times changed, no tracing, no namespaces, and nothing that a later kernel brings.

Source: seccomp(2); struct seccomp_data in include/uapi/linux/seccomp.h; system-call numbers of
x86-64 in arch/x86/entry/syscalls/syscall_64.tbl.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Iterator

from fitchain.pod.compute.sandbox.landlock import forbid_new_privileges
from fitchain.pod.values.errors import Unusable

MEMORY = {
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "mremap": 25,
    "msync": 26,
    "madvise": 28,
    "mbind": 237,
    "membarrier": 324,
}
THREADS = {
    "sched_yield": 24,
    "futex": 202,
    "sched_getaffinity": 204,
    "set_tid_address": 218,
    "set_robust_list": 273,
    "getcpu": 309,
    "rseq": 334,
    "exit": 60,
    "gettid": 186,
}
FILES = {
    "read": 0,
    "write": 1,
    "close": 3,
    "stat": 4,
    "fstat": 5,
    "lstat": 6,
    "lseek": 8,
    "pread64": 17,
    "pwrite64": 18,
    "readv": 19,
    "writev": 20,
    "access": 21,
    "dup": 32,
    "dup2": 33,
    "sendfile": 40,
    "fsync": 74,
    "fdatasync": 75,
    "ftruncate": 77,
    "getdents": 78,
    "getcwd": 79,
    "rename": 82,
    "mkdir": 83,
    "rmdir": 84,
    "unlink": 87,
    "readlink": 89,
    "umask": 95,
    "statfs": 137,
    "fstatfs": 138,
    "getdents64": 217,
    "fadvise64": 221,
    "mkdirat": 258,
    "newfstatat": 262,
    "unlinkat": 263,
    "renameat": 264,
    "readlinkat": 267,
    "faccessat": 269,
    "dup3": 292,
    "preadv": 295,
    "pwritev": 296,
    "copy_file_range": 326,
    "statx": 332,
    "close_range": 436,
    "faccessat2": 439,
}
TIME = {
    "poll": 7,
    "select": 23,
    "nanosleep": 35,
    "gettimeofday": 96,
    "times": 100,
    "time": 201,
    "clock_gettime": 228,
    "clock_getres": 229,
    "clock_nanosleep": 230,
    "pselect6": 270,
    "ppoll": 271,
}
ITSELF = {
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "getpid": 39,
    "uname": 63,
    "getrlimit": 97,
    "getrusage": 98,
    "sysinfo": 99,
    "getuid": 102,
    "getgid": 104,
    "geteuid": 107,
    "getegid": 108,
    "getppid": 110,
    "sigaltstack": 131,
    "restart_syscall": 219,
    "exit_group": 231,
    "getrandom": 318,
}
ADMITTED = MEMORY | THREADS | FILES | TIME | ITSELF
"""System calls by name, with any arguments."""

_IOCTL, _CLONE, _FCNTL, _PRCTL, _TGKILL, _PRLIMIT64, _SECCOMP, _CLONE3 = 16, 56, 72, 157, 234, 302, 317, 435
_OPEN, _OPENAT, _FALLOCATE, _RENAMEAT2 = 2, 257, 285, 316
_MAKES_A_FILE, _SET_ID = 0o100 | 0o20000000, 0o6000  # O_CREAT, __O_TMPFILE; the bits that set a user or a group
_CLONE_THREAD = 0x10000
IOCTLS = {"TCGETS": 0x5401, "FIOCLEX": 0x5451}
"""Whether a file is a terminal, and that it is closed in a new program: nothing that moves a
device."""
FCNTLS = {
    "F_DUPFD": 0,
    "F_GETFD": 1,
    "F_SETFD": 2,
    "F_GETFL": 3,
    "F_SETFL": 4,
    "F_DUPFD_CLOEXEC": 1030,
}
"""Without F_SETOWN and F_SETSIG, by which the kernel would signal another process, and without
locks, which others could wait for and which take the kernel's memory."""
RENAMES = {"replace": 0, "RENAME_NOREPLACE": 1, "RENAME_EXCHANGE": 2}
"""Without RENAME_WHITEOUT, which leaves a device behind."""
PRCTLS = {"PR_SET_NAME": 15, "PR_GET_NAME": 16, "PR_GET_NO_NEW_PRIVS": 39}

_X32_BIT = 0x40000000
_ARCH_X86_64 = 0xC000003E
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; an argument's lower half is first

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # classic BPF, linux/bpf_common.h
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_REFUSE = _ERRNO | errno.EPERM
_SET_FILTER, _ALL_THREADS = 1, 1

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse_system_calls() -> None:
    """Install the filter for all threads of this process and all that they start, for good.

    Raises:
        Unusable: the kernel has no such filters, or the machine is no x86-64.
    """
    if platform.machine() != "x86_64":
        raise Unusable(f"the filter of system calls is written for x86_64, and this is {platform.machine()}")
    program = b"".join(_instructions(os.getpid()))
    forbid_new_privileges()
    filled = _Program(len(program) // 8, program)
    if _libc.syscall(_SECCOMP, _SET_FILTER, _ALL_THREADS, ctypes.byref(filled)):
        raise Unusable(f"the kernel refuses a filter of system calls: {os.strerror(ctypes.get_errno())}")


def _instructions(pid: int) -> Iterator[bytes]:
    yield from (_step(_LOAD, _ARCH), _step(_EQUAL, _ARCH_X86_64, skip_true=1), _step(_RETURN, _KILL))
    yield from (_step(_LOAD, _NUMBER), _step(_AT_LEAST, _X32_BIT, skip_false=1), _step(_RETURN, _REFUSE))
    for number in ADMITTED.values():
        yield from (_step(_EQUAL, number, skip_false=1), _step(_RETURN, _ALLOW))
    # Its flags are out of a filter's sight; the C library falls back to clone.
    yield from (_step(_EQUAL, _CLONE3, skip_false=1), _step(_RETURN, _ERRNO | errno.ENOSYS))
    yield from _if(_CLONE, [_load(0), _step(_ANY_BIT, _CLONE_THREAD, skip_false=1), _step(_RETURN, _ALLOW)])
    for number, flags in ((_OPEN, 1), (_OPENAT, 2)):
        made = [_load(flags), _step(_ANY_BIT, _MAKES_A_FILE, skip_true=1), _step(_RETURN, _ALLOW)]
        yield from _if(number, [*made, _load(flags + 1), _step(_ANY_BIT, _SET_ID, 1), _step(_RETURN, _ALLOW)])
    yield from _if(_FALLOCATE, _one_of(1, [0]))  # other modes take room beyond a file's size
    yield from _if(_RENAMEAT2, _one_of(4, RENAMES.values()))
    yield from _if(_IOCTL, _one_of(1, IOCTLS.values()))
    yield from _if(_FCNTL, _one_of(1, FCNTLS.values()))
    yield from _if(_PRCTL, _one_of(0, PRCTLS.values()))
    yield from _if(_TGKILL, _one_of(0, [pid]))  # abort() ends its own process by it
    # Limits may be read, its own alone, and never set: the third argument says where a new one
    # lies.
    own_limit = [
        _load(0),
        _step(_EQUAL, 0, skip_false=5),
        _load(2),
        _step(_EQUAL, 0, skip_false=3),
        _load(2, upper=True),
    ]
    yield from _if(_PRLIMIT64, [*own_limit, _step(_EQUAL, 0, skip_false=1), _step(_RETURN, _ALLOW)])
    yield _step(_RETURN, _REFUSE)


def _if(number: int, steps: list[bytes]) -> list[bytes]:
    """Steps for one system call, after which it is refused."""
    return [_step(_EQUAL, number, skip_false=len(steps) + 1), *steps, _step(_RETURN, _REFUSE)]


def _one_of(argument: int, values: Iterable[int]) -> list[bytes]:
    admitted = [_step(_EQUAL, value, skip_false=1) for value in values]
    return [_load(argument), *(step for each in admitted for step in (each, _step(_RETURN, _ALLOW)))]


def _load(argument: int, upper: bool = False) -> bytes:
    return _step(_LOAD, _ARGUMENTS + 8 * argument + (4 if upper else 0))


def _step(code: int, value: int, skip_true: int = 0, skip_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, skip_true, skip_false, value)
