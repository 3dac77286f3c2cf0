"""Landlock through its three system calls.

Source: https://docs.kernel.org/userspace-api/landlock.html, include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Mapping
from enum import IntFlag
from pathlib import Path

from fitchain.pod.values.errors import Unusable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


class Files(IntFlag):
    """Rights on files and folders."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15

    @classmethod
    def supported(cls, abi: int) -> Files:
        """All rights that a kernel of this ABI can withhold."""
        highest = {1: cls.MAKE_SYM, 2: cls.REFER, 3: cls.TRUNCATE, 4: cls.TRUNCATE}.get(abi, cls.IOCTL_DEV)
        return cls(highest * 2 - 1)


READ = Files.READ_FILE | Files.READ_DIR | Files.EXECUTE
_ON_FILES = Files.EXECUTE | Files.WRITE_FILE | Files.READ_FILE | Files.TRUNCATE | Files.IOCTL_DEV
_TCP = 0b11  # bind, connect; from ABI 4 on
_SCOPES = 0b11  # abstract Unix sockets, signals; from ABI 6 on


CUTTING_ABI = 3
"""From which on it also withholds that a file is cut, which needs no right to write to it."""


def landlock_abi() -> int:
    """The kernel's Landlock ABI, 0 where it has none or has it switched off."""
    abi: int = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    return max(abi, 0)


def forbid_new_privileges() -> None:
    """Make sure that neither this thread nor what it starts ever gains privileges (prctl(2),
    PR_SET_NO_NEW_PRIVS)."""
    checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def enforce(handled: Files, rules: Mapping[Path, Files], network: bool) -> None:
    """Restrict this thread, and all that it starts from now on, for good.

    Args:
        handled: the rights withheld wherever no rule grants them.
        rules: rights granted below a path; a path that is not there is passed over.
        network: whether TCP stays allowed, as do signals to processes outside.

    Raises:
        Unusable: the kernel has no Landlock, or refuses the ruleset.
    """
    if not (abi := landlock_abi()):
        raise Unusable("this kernel has no Landlock", "use Linux 5.13 or later with Landlock switched on")
    handled &= Files.supported(abi)
    words = [handled, 0 if network else _TCP, 0 if network else _SCOPES][: 1 if abi < 4 else 2 if abi < 6 else 3]
    attributes = struct.pack(f"={len(words)}Q", *words)
    ruleset = checked(
        _libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0), "landlock_create_ruleset"
    )
    try:
        for path, rights in rules.items():
            _grant(ruleset, path, rights & handled)
        forbid_new_privileges()
        checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _grant(ruleset: int, path: Path, rights: Files) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR):
            return  # nothing there to allow
        raise
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _ON_FILES
        if rights:
            rule = struct.pack("=Qi", rights, opened)
            checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), f"landlock_add_rule for {path}")
    finally:
        os.close(opened)


def checked(result: int, call: str) -> int:
    """What a system call gave.

    Raises:
        Unusable: it failed; the reason is the C library's, which was loaded with `use_errno`.
    """
    if result < 0:
        raise Unusable(f"the kernel refuses {call}: {os.strerror(ctypes.get_errno())}")
    return result
