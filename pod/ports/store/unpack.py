"""How an object lands on the disk: file or folder, every block from a verified source, whole or not
at all.

A back end gives it its `get`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from fitchain.pod.ports.store import unixfs
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.store.unixfs import FOLDER, Budget, Get
from fitchain.pod.values.errors import HostUnusable, InputRefused, reason_of


def fetch(cid: Cid, target: Path, budget: Budget, get: Get) -> None:
    """Write a file or a folder beside its place, then put it there (`Store.fetch`).

    Args:
        cid, target: as `Store.fetch`.
        budget: bytes, blocks and files that may be used.
        get: gives a block, verified against its CID.

    Raises:
        InputRefused: the object is no file or folder, beyond the limit, or would overwrite
            something.
        HostUnusable: the target cannot be written.
    """
    part = target.with_name(f".{target.name}.{uuid4().hex}.part")
    with _to_disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write(cid, part, budget, unixfs.MOST_DEPTH, get)
        if part.is_dir() and target.exists():
            raise InputRefused(f"{target} exists already and would be overwritten", "fetch into a new folder")
        with _to_disk(target):
            part.replace(target)
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)


def _write(cid: Cid, target: Path, budget: Budget, depth: int, get: Get) -> None:
    if depth == 0:
        raise InputRefused(f"the folder is nested more than {unixfs.MOST_DEPTH} levels deep")
    budget.file()
    node = unixfs.read_node(cid, get, budget)
    if node is not None and node.kind == FOLDER:
        with _to_disk(target):
            target.mkdir()
        for link in node.links:
            _write(link.cid, target / unixfs.check_name(link.name), budget, depth - 1, get)
        return
    with _to_disk(target):
        file = target.open("xb")
    with file:
        for piece in unixfs.read_file(cid, get, budget):
            with _to_disk(target):
                file.write(piece)
        with _to_disk(target):
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _to_disk(target: Path) -> Iterator[None]:
    """Tell what this host's disk lacks from what the store does: nobody else is to blame for it."""
    try:
        yield
    except OSError as error:
        raise HostUnusable(f"{target} cannot be written: {reason_of(error)}", "free or mend the disk") from None


def entries(cid: Cid, get: Get) -> dict[str, Cid]:
    """What a folder holds (`Store.entries`).

    Raises:
        InputRefused: it is a file.
    """
    node = unixfs.read_node(cid, get, Budget(0))
    if node is None or node.kind != FOLDER:
        raise InputRefused(f"{cid} is a file and not a folder")
    return {link.name: link.cid for link in node.links}
