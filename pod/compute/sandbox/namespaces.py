"""A view of the machine of its own: a root that holds nothing but what a process is given, no
network, and no user of the host.

The root is an empty file system of memory into which the given folders are bound, at the paths that
they have outside; the old one is put away. So not even the existence, size or date of anything else
can be asked. A process of root becomes another user, to whom what it writes to is handed over
first; any other process gets a user namespace of its own, in which its rights count for nothing.

Source: mount_namespaces(7), user_namespaces(7), open_tree(2), move_mount(2), mount_setattr(2),
pivot_root(2); the numbers of include/uapi/linux/mount.h and sched.h.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from fitchain.pod.compute.sandbox.landlock import checked
from fitchain.pod.values.errors import Unusable

FIRST_USER, USERS = 61_184, 4_096
"""The users that processes of root become, one for each folder: systems give these to services for
as long as they run, and to nobody else."""

_NEW_MOUNTS, _NEW_USER, _NEW_NETWORK = 0x00020000, 0x10000000, 0x40000000
_NEW_NAMES, _NEW_IPC = 0x04000000, 0x08000000
_PIVOT_ROOT, _MOUNT, _UMOUNT2, _CAPSET, _UNSHARE = 155, 165, 166, 126, 272
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _EMPTY_PATH, _RECURSIVE = -100, 0x1000, 0x8000
_TREE_CLONE, _CLOEXEC, _MOVE_EMPTY_PATH = 1, 0o2000000, 4
_READ_ONLY, _NO_SUID, _NO_DEVICES = 0x1, 0x2, 0x4
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_PRIVATE = 0x2, 0x4, 0x4000, 0x40000
_DETACH = 2
_CAPABILITIES_V3 = 0x20080522
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def enter(shown: Iterable[Path], spelt: Iterable[Path], readable: Sequence[Path], writable: Path) -> None:
    """Leave for a view of its own, for good; this process has one thread. It keeps its rights:
    `drop_rights` is called in any case.

    Args:
        shown: files and folders that stay visible, with all below them; what is not there is
            passed over.
        spelt: paths that lead to some of them by links, which stay, too.
        readable: files that stay visible and that nobody else need be able to read; they have no
            other name.
        writable: the folder that may be written to, too; no link is on the way to it.

    Raises:
        Unusable: the kernel, or who set the machine up, refuses it.
        OSError: likewise.
    """
    user, group, as_root = os.geteuid(), os.getegid(), os.geteuid() == 0
    spaces = _NEW_MOUNTS | _NEW_NETWORK | _NEW_NAMES | _NEW_IPC
    _call(_UNSHARE, spaces if as_root else spaces | _NEW_USER, purpose="unshare")
    if not as_root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _call(_MOUNT, None, b"/", None, _MS_REC | _MS_PRIVATE, None, purpose="mount")
    with ExitStack() as opened:
        # They are shown read-only, also to who hands them over.
        files = [opened.enter_context(path.open("rb")) for path in readable] if as_root else []
        _enter_root([*dict.fromkeys(shown), *readable], spelt, writable.resolve())
        if as_root:
            new = user_of(writable)
            for file in files:
                os.fchown(file.fileno(), new, new)
            _hand_over(writable, new)
            os.setgroups([])
            os.setresgid(new, new, new)
            os.setresuid(new, new, new)


def user_of(folder: Path) -> int:
    """The user whom a process of root becomes for a folder."""
    return FIRST_USER + zlib.crc32(os.fsencode(folder.resolve())) % USERS


def drop_rights() -> None:
    """Give up every capability, also those in a namespace of its own, and end with whoever started
    this process."""
    _call(_CAPSET, struct.pack("=Ii", _CAPABILITIES_V3, 0), bytes(24), purpose="capset")
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def own_files(folder: Path, readable: Iterable[Path] = ()) -> None:
    """Put a copy in the place of each file in a folder that has another name elsewhere (the pod
    links what it does not want to copy): the other stays as it is, whatever is written here.

    Args:
        folder: with all below it.
        readable: files that are handed over where this process becomes another user.
    """
    handed_over = readable if os.geteuid() == 0 else ()
    for path in (*(Path(parent, name) for parent, _, files in os.walk(folder) for name in files), *handed_over):
        if not path.is_symlink() and path.stat().st_nlink > 1:
            copy = path.with_name(f".{path.name}.own.part")
            copy.unlink(missing_ok=True)
            shutil.copyfile(path, copy, follow_symlinks=False)
            copy.replace(path)


def _enter_root(readable: list[Path], spelt: Iterable[Path], writable: Path) -> None:
    """Make the new root, over the folder that is bound into it, and go there; where that fails,
    nothing is left of it."""
    links = [link for path in (*readable, *spelt, writable) for link in _links(path)]
    root, trees, mask = os.fsencode(writable), dict[Path, int](), os.umask(0o022)
    try:
        for path in dict.fromkeys(_real(path) for path in readable if os.path.exists(path)):
            trees[path] = _tree(path, read_only=True)
        trees[writable] = _tree(writable, read_only=False)
        _call(_MOUNT, b"fitchain", root, b"tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=755,size=1m", purpose="mount")
        _fill_root(root, trees, links)
    finally:
        os.umask(mask)
        for tree in trees.values():
            os.close(tree)
    _call(_UMOUNT2, b".", _DETACH, purpose="umount2")
    _set_attributes(_AT_FDCWD, b"/", _READ_ONLY, 0)
    os.chdir("/")


def _fill_root(root: bytes, trees: Mapping[Path, int], links: Iterable[tuple[Path, str]]) -> None:
    """Put everything in its place in the new root and go there; where that fails, the new root is
    taken away again."""
    writable = Path(os.fsdecode(root))
    try:
        # Outer paths first: an inner one may be bound within.
        for path, tree in sorted(trees.items(), key=lambda each: len(each[0].parts)):
            _place(tree, path, _inside(writable, path))
        for link, target in links:
            inside = _inside(writable, link)
            if not inside.is_symlink() and not inside.exists():
                inside.parent.mkdir(parents=True, exist_ok=True)
                inside.symlink_to(target)
        os.chdir(root)
        _call(_PIVOT_ROOT, b".", b".", purpose="pivot_root")
    except (OSError, Unusable) as error:
        _call(_UMOUNT2, root, _DETACH, purpose="umount2")
        os.chdir("/")
        raise error if isinstance(error, Unusable) else Unusable(f"no root can be made: {error.strerror}") from error


def _inside(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _real(path: Path) -> Path:
    return path.resolve() if path != Path("/proc/self") else path


def _tree(path: Path, read_only: bool) -> int:
    """A copy of the mounts at a path and below, that is attached nowhere."""
    flags = _TREE_CLONE | _CLOEXEC | _RECURSIVE
    tree = _call(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags, purpose=f"open_tree of {path}")
    attributes = _NO_SUID | _NO_DEVICES * (path.parts[:2] != ("/", "dev")) | _READ_ONLY * read_only
    _set_attributes(tree, b"", attributes, _EMPTY_PATH | _RECURSIVE)
    return tree


def _set_attributes(tree: int, path: bytes, attributes: int, flags: int) -> None:
    wanted = struct.pack("=4Q", attributes, 0, 0, 0)
    _call(_MOUNT_SETATTR, tree, path, flags, wanted, ctypes.c_size_t(len(wanted)), purpose="mount_setattr")


def _place(tree: int, path: Path, inside: Path) -> None:
    """Attach a tree at a path below the new root, or over what an outer tree shows there."""
    if not inside.exists():
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.mkdir() if path.is_dir() else inside.touch()
    arguments = tree, b"", _AT_FDCWD, os.fsencode(inside), _MOVE_EMPTY_PATH
    _call(_MOVE_MOUNT, *arguments, purpose=f"move_mount to {path}")


def _links(path: Path) -> list[tuple[Path, str]]:
    """Symbolic links on the way to a path, each with what it leads to."""
    links: list[tuple[Path, str]] = []
    reached, left = Path("/"), list(path.absolute().parts[1:])
    while left and len(links) < 40:  # as many as the kernel follows
        reached /= left.pop(0)
        if reached != Path("/proc/self") and reached.is_symlink():
            target = os.readlink(reached)
            links.append((reached, target))
            whole = Path(os.path.normpath(reached.parent / target))
            reached, left = Path("/"), [*whole.parts[1:], *left]
    return links


def _hand_over(folder: Path, user: int) -> None:
    """Make all in a folder the next user's; links are changed, never followed, nor is one that a
    process of an earlier worker puts in a folder's place meanwhile."""
    os.chown(folder, user, user, follow_symlinks=False)
    for _, folders, files, opened in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            os.chown(name, user, user, dir_fd=opened, follow_symlinks=False)


def _call(number: int, *arguments: object, purpose: str) -> int:
    return checked(_libc.syscall(ctypes.c_long(number), *arguments), purpose)
