"""Run a command that cannot read one folder: `python tests/without_folder.py FOLDER COMMAND ...`
(Landlock, Linux >= 5.19).

File modes do not stop root, and tests often run as root. Landlock only ever allows, so everything
beside the path to the folder is allowed by name, as it stands when the command starts.

Source: landlock(7).
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
QUERY_VERSION, PATH_BENEATH, PR_SET_NO_NEW_PRIVS = 1, 1, 38
READ_FILE, READ_DIR = 1 << 2, 1 << 3
REFER = 1 << 13  # moving between folders, which every ruleset forbids unless it says otherwise
RIGHTS = READ_FILE | READ_DIR | REFER

_libc = ctypes.CDLL(None, use_errno=True)


def can_confine() -> bool:
    """Whether the kernel's Landlock is recent enough (version 2)."""
    return int(_libc.syscall(CREATE_RULESET, None, 0, QUERY_VERSION)) >= 2


def forbid(folder: Path) -> None:
    """Forbid this process and its children to read anything below a folder, for good."""
    attributes = struct.pack("Q", RIGHTS)
    ruleset = _check(_libc.syscall(CREATE_RULESET, attributes, len(attributes), 0), "landlock_create_ruleset")
    for path in _beside(folder.resolve()):
        _allow(ruleset, path)
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    _check(_libc.syscall(RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def _beside(folder: Path) -> list[Path]:
    """Everything that stands beside the folder or beside one of the folders that lead to it; no
    link, as it may lead there."""
    paths = []
    for inner, outer in zip([folder, *folder.parents], folder.parents, strict=False):
        # A link may lead to a folder on the way: pytest keeps one to its newest folder.
        paths += [outer / name for name in os.listdir(outer) if name != inner.name and not (outer / name).is_symlink()]
    return paths


def _allow(ruleset: int, path: Path) -> None:
    try:
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # it went away meanwhile
    rights = RIGHTS if path.is_dir() else READ_FILE
    rule = struct.pack("=Qi", rights, file)
    _check(_libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, 0), f"landlock_add_rule {path}")
    os.close(file)


def _check(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), what)
    return result


if __name__ == "__main__":
    forbid(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
