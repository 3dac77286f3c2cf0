"""Files and folders that somebody else may have laid out: nothing here follows a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from fitchain.pod.values.errors import InputRefused, Unusable, host_errors, reason_of

_ON_THE_WAY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY
"""A worker may go through a folder that it may not list."""
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe with a name would keep whoever opens it waiting

LEVELS = 64


@dataclass(frozen=True, slots=True)
class Usage:
    """What a folder takes.

    Args:
        size_bytes: on disk.
        files: and folders, in number.
    """

    size_bytes: int
    files: int


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A new file for writing, which is gone again where it does not come to its end.

    Raises:
        InputRefused: there is a file of that name, or no such folder.
        HostUnusable: its disk is full, say.
    """
    try:
        file = path.open("xb")
    except OSError as error:
        raise InputRefused(f"{path} cannot be written: {reason_of(error)}", "choose another file") from None
    try:
        with host_errors(f"{path} cannot be written"), file:
            yield file
    except BaseException:
        path.unlink()
        raise


def open_plain(folder: Path, name: str) -> BinaryIO:
    """Open a file below a folder for reading; nothing on the way from the folder is a link.

    Args:
        folder: whose own path may lead over links.
        name: relative, with slashes.

    Raises:
        FileNotFoundError: it is not there.
        Unusable: there is something else under that name.
    """
    *folders, last = Path(name).parts
    try:
        at = os.open(folder, _ON_THE_WAY)
        for each in folders:
            with _closed_after(at):
                at = os.open(each, _ON_THE_WAY | os.O_NOFOLLOW, dir_fd=at)
        with _closed_after(at):
            opened = os.open(last, _FILE, dir_fd=at)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise _not_plain(folder / name) from None
        raise
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise _not_plain(folder / name)
    return os.fdopen(opened, "rb")


def usage_of(folder: Path) -> Usage:
    """What a folder and all below it take; what vanishes meanwhile is left out.

    Raises:
        Unusable: it holds something that is neither a file nor a folder.
    """
    size_bytes = files = 0
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            info = os.lstat(path)
            waiting += (path / name for name in (os.listdir(path) if stat.S_ISDIR(info.st_mode) else ()))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise _not_plain(path) from None
            raise
        if not (stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode)):
            raise _not_plain(path)
        size_bytes += info.st_blocks * 512
        files += 1
    return Usage(size_bytes, files)


def remove_tree(path: Path) -> None:
    """Remove a file, a link, or a folder with all below it; nothing if it is not there.

    Folders may be as deep as somebody liked to make them: what lies deeper than `LEVELS` is moved
    up first, so neither the stack nor the length of a path ends it.
    """
    try:
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
            return
    except FileNotFoundError:
        return
    path.chmod(0o700)
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    with _closed_after(top):
        while os.listdir(top):
            _empty(top, top, LEVELS)
    path.rmdir()


def sync_folder(path: Path) -> None:
    """Make what was added to a folder, or removed from it, outlast a power cut."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    with _closed_after(folder):
        os.fsync(folder)


def _empty(folder: int, top: int, levels: int) -> None:
    """Empty an open folder: what lies deeper than so many levels goes to the top."""
    for name in os.listdir(folder):
        if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
            os.unlink(name, dir_fd=folder)
            continue
        os.chmod(name, 0o700, dir_fd=folder)  # whoever made it may have locked it
        if not levels:
            os.rename(name, uuid4().hex, src_dir_fd=folder, dst_dir_fd=top)
            continue
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        with _closed_after(inner):
            _empty(inner, top, levels - 1)
        os.rmdir(name, dir_fd=folder)


@contextmanager
def _closed_after(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _not_plain(path: Path) -> Unusable:
    return Unusable(
        f"{path} is no file that a worker leaves: something else lies there, or on the way",
        "the worker was taken over by what it ran, or somebody changed the folder: look at it, and remove it",
    )
