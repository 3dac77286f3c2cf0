"""A filter of system calls for a process that computes and writes files, nothing else.

It refuses what a training never needs and an intruder would: sockets, new programs and processes,
tracing, namespaces, and the kernel interfaces that have been a way around other limits. Threads
stay possible. What is refused fails with EPERM, so that a library which merely asks can go on.

Source: seccomp(2); struct seccomp_data in include/uapi/linux/seccomp.h; system-call numbers of
x86-64 in arch/x86/entry/syscalls/syscall_64.tbl.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from fitchain.pod.compute.sandbox.landlock import forbid_new_privileges
from fitchain.pod.values.errors import Unusable

REFUSED = {
    "socket": 41,
    "fork": 57,
    "vfork": 58,
    "execve": 59,
    "kill": 62,
    "ptrace": 101,
    "pivot_root": 155,
    "chroot": 161,
    "mount": 165,
    "umount2": 166,
    "init_module": 175,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "unshare": 272,
    "perf_event_open": 298,
    "open_by_handle_at": 304,
    "setns": 308,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "finit_module": 313,
    "bpf": 321,
    "execveat": 322,
    "userfaultfd": 323,
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "pidfd_getfd": 438,
}
_CLONE, _CLONE3, _SECCOMP = 56, 435, 317
_CLONE_THREAD = 0x10000
_X32_BIT = 0x40000000
_ARCH_X86_64 = 0xC000003E
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # classic BPF, linux/bpf_common.h
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
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
    program = b"".join(_instructions())
    forbid_new_privileges()
    filled = _Program(len(program) // 8, program)
    if _libc.syscall(_SECCOMP, _SET_FILTER, _ALL_THREADS, ctypes.byref(filled)):
        raise Unusable(f"the kernel refuses a filter of system calls: {os.strerror(ctypes.get_errno())}")


def _instructions() -> list[bytes]:
    refused = sorted(REFUSED.values())
    return [
        _step(_LOAD, _ARCH),
        _step(_EQUAL, _ARCH_X86_64, skip_true=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32_BIT, skip_false=1),
        _step(_RETURN, _ERRNO | errno.EPERM),
        *[
            step
            for number in refused
            for step in (_step(_EQUAL, number, skip_false=1), _step(_RETURN, _ERRNO | errno.EPERM))
        ],
        _step(_EQUAL, _CLONE3, skip_false=1),
        _step(
            _RETURN, _ERRNO | errno.ENOSYS
        ),  # its flags are out of a filter's sight; the C library falls back to clone
        _step(_EQUAL, _CLONE, skip_false=3),
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_ANY_BIT, _CLONE_THREAD, skip_true=1),
        _step(_RETURN, _ERRNO | errno.EPERM),
        _step(_RETURN, _ALLOW),
    ]


def _step(code: int, value: int, skip_true: int = 0, skip_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, skip_true, skip_false, value)
