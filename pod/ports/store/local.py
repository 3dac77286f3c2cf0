"""The embedded back end: a folder of blocks that the pods of one machine share.

    <folder>/blocks/<xy>/<cid>     one block, named by its CID; xy are the CID's last two characters
    <folder>/pins/<pod>/<cid>      an empty file a pin; <pod> is a digest of the pod's home
    <folder>/parts/                blocks on their way
    <folder>/lock                  adding and pinning share it, collecting garbage has it alone

A block is written beside its place, flushed and renamed, and a node only after all below it, so
whatever was cut off leaves no object that can be fetched. Every block is compared with its CID
whenever it is read. Adding what is there already compares the bytes and mends a block that was
altered. Several processes may do all of it at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from fitchain.pod.ports.store import unixfs, unpack
from fitchain.pod.ports.store.base import MOST_BYTES, MOST_FILES, SMALL_BYTES, Cid, Garbage
from fitchain.pod.ports.store.unixfs import Budget, Link
from fitchain.pod.values.errors import DigestMismatch, FitchainError, InputRefused, NotFound, StoreUnusable, reason_of


class LocalStore:
    """A content store in a folder (`fitchain.pod.ports.store.base.Store`).

    Args:
        folder: of the store; made when something is added.
        home: of the pod that uses it; pins are kept by home.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        pod = hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:16]
        self._blocks, self._parts, self._pins = folder / "blocks", folder / "parts", folder / "pins"
        self._mine = self._pins / pod

    # --- adding --------------------------------------------------------------------------------

    def add(self, source: Path | bytes | BinaryIO) -> Cid:
        """Add a file in bounded memory and pin it (`Store.add`)."""
        with self._adding() as adding:
            return adding.pinned(adding.file(source))

    def add_folder(self, path: Path) -> Cid:
        """Add a folder with all below it and pin it (`Store.add_folder`)."""
        with self._adding() as adding:
            return adding.pinned(adding.folder(path))

    def add_blocks(self, root: Cid, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Add an object from its blocks and pin it (`Store.add_blocks`)."""
        with self._adding() as adding:
            for cid, block in blocks:
                adding.put(cid, block)
            self._pin(root, adding)

    def pin(self, cid: Cid) -> None:
        """Keep the object for this pod (`Store.pin`)."""
        with self._adding() as adding:
            self._pin(cid, adding)

    def _pin(self, cid: Cid, adding: _Adding) -> None:
        for block in unixfs.reachable(cid, self._get):
            if not self._path(block).exists():
                raise self._missing(block)
        adding.pinned(Link(cid, 0))

    def unpin(self, cid: Cid) -> None:
        """Give up this pod's pin (`Store.unpin`)."""
        with self._used():
            (self._mine / str(cid)).unlink(missing_ok=True)

    def list_pins(self) -> list[Cid]:
        """What this pod has pinned, sorted (`Store.list_pins`)."""
        with self._used():
            return sorted(Cid.parse(path.name) for path in self._mine.glob("*"))

    def garbage(self) -> Garbage:
        """What `gc` would remove now (`Store.garbage`)."""
        with self._used():
            sizes = [path.stat().st_size for path in self._doomed()]
        return Garbage(len(sizes), sum(sizes))

    def gc(self) -> int:
        """Remove every block that no pod's pin reaches, and unfinished parts (`Store.gc`)."""
        with self._used(), self._locked(fcntl.LOCK_EX):
            doomed = self._doomed()
            freed = sum(path.stat().st_size for path in doomed)
            for path in (*doomed, *self._parts.glob("*")):
                path.unlink()
            return freed

    def _doomed(self) -> list[Path]:
        kept = {str(block) for pin in self._pins.glob("*/*") for block in self._held(Cid.parse(pin.name))}
        return [path for path in self._blocks.glob("*/*") if path.name not in kept]

    def _held(self, cid: Cid) -> Iterator[Cid]:
        """What a pin keeps; a damaged object keeps what can still be reached, so that one bad block
        frees no other's."""
        blocks = unixfs.reachable(cid, self._get)
        while True:
            try:
                yield next(blocks)
            except (StopIteration, FitchainError):
                return

    @contextmanager
    def _adding(self) -> Iterator[_Adding]:
        with self._used(), self._locked(fcntl.LOCK_SH):
            for folder in (self._blocks, self._parts, self._mine):
                folder.mkdir(parents=True, exist_ok=True)
            yield _Adding(self._path, self._parts, self._mine)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("ab") as lock:
            fcntl.flock(lock, how)
            yield

    # --- fetching ------------------------------------------------------------------------------

    def fetch(
        self,
        cid: Cid,
        target: Path,
        limit_bytes: int = MOST_BYTES,
        limit_s: float | None = None,
        limit_files: int = MOST_FILES,
    ) -> None:
        """Fetch a file or a folder, every byte checked (`Store.fetch`); a folder keeps nobody
        waiting."""
        with self._used():
            unpack.fetch(cid, target, Budget(limit_bytes, files_left=limit_files), self._get)

    def cat(self, cid: Cid, limit_bytes: int = SMALL_BYTES) -> bytes:
        """Fetch a small file into memory (`Store.cat`)."""
        with self._used():
            return b"".join(unixfs.read_file(cid, self._get, Budget(limit_bytes)))

    def entries(self, cid: Cid) -> dict[str, Cid]:
        """What a folder holds (`Store.entries`)."""
        with self._used():
            return unpack.entries(cid, self._get)

    def blocks(self, cid: Cid, limit_bytes: int = MOST_BYTES) -> Iterator[tuple[Cid, bytes]]:
        """Every block of an object (`Store.blocks`)."""
        with self._used():
            yield from unixfs.walk(cid, self._get, Budget(limit_bytes))

    def has(self, cid: Cid) -> bool:
        """Whether the object's first block is in the store (`Store.has`)."""
        return self._path(cid).exists()

    def close(self) -> None:
        """Nothing is open (`Store.close`)."""

    def status(self) -> dict[str, object]:
        """Where the store is and what is in it (`Store.status`)."""
        with self._used():
            sizes = [path.stat().st_size for path in self._blocks.glob("*/*")]
            return {
                "kind": "local",
                "address": str(self.folder),
                "size_bytes": sum(sizes),
                "blocks": len(sizes),
                "pins": len(self.list_pins()),
            }

    def add_peer(self, endpoint: bytes) -> None:
        """Nothing to do: whoever shares the folder has met (`Store.meet`)."""

    def endpoint(self) -> bytes:
        """Nothing: a folder is reached by its path (`Store.endpoint`)."""
        return b""

    def _get(self, cid: Cid) -> bytes:
        """Read a block and compare it with its CID."""
        try:
            with self._path(cid).open("rb") as file:
                block = file.read(unixfs.BLOCK_BYTES + 1)
        except FileNotFoundError:
            raise self._missing(cid) from None
        hashed = hashlib.sha256(block)
        if hashed.digest() != cid.sha256:
            raise DigestMismatch(
                f"the store's block {cid} is altered: its SHA-256 is {hashed.hexdigest()} and not {cid.sha256.hex()}",
                "whoever has the object can add it again, which mends the block",
            )
        return block

    def _path(self, cid: Cid) -> Path:
        name = str(cid)
        return self._blocks / name[-2:] / name

    def _missing(self, cid: Cid) -> NotFound:
        return NotFound(
            f"the block {cid} is not in the store {self.folder}",
            "check that both pods name the same store (FITCHAIN_STORE); its author can add it again",
        )

    @contextmanager
    def _used(self) -> Iterator[None]:
        """Translate what the file system says: from here on there are only Fitchain's errors."""
        try:
            yield
        except OSError as error:
            raise StoreUnusable(
                f"the store {self.folder} cannot be used: {reason_of(error)}", "check the folder and its disk"
            ) from None


class _Adding:
    """One adding: what it wrote becomes lasting, then its root is pinned."""

    def __init__(self, path_of: Callable[[Cid], Path], parts: Path, pins: Path) -> None:
        self.path_of, self.parts, self.pins = path_of, parts, pins
        self.touched: set[Path] = set()

    def file(self, source: Path | bytes | BinaryIO) -> Link:
        """Put a file's blocks."""
        if isinstance(source, bytes):
            return unixfs.add_file(unixfs.chunks(io.BytesIO(source)), self.put)
        if isinstance(source, Path):
            try:
                with source.open("rb") as file:
                    return unixfs.add_file(unixfs.chunks(file), self.put)
            except (FileNotFoundError, IsADirectoryError):
                raise NotFound(f"there is no file {source}") from None
        return unixfs.add_file(unixfs.chunks(source), self.put)

    def folder(self, path: Path) -> Link:
        """Put the blocks of a folder and of all below it."""
        if not path.is_dir():
            raise NotFound(f"there is no folder {path}")
        return unixfs.add_folder([(_name(entry), self._entry(entry)) for entry in path.iterdir()], self.put)

    def _entry(self, path: Path) -> Link:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InputRefused(
                f"{path} is neither a file nor a folder", "links and devices are not added; copy the content"
            )
        return self.folder(path) if path.is_dir() else self.file(path)

    def put(self, cid: Cid, block: bytes) -> None:
        """Keep a block; one that is there already stays, and is mended if it was altered."""
        path = self.path_of(cid)
        path.parent.mkdir(exist_ok=True)
        self.touched.add(path.parent)  # also if it is there: whoever wrote it may not have come to making it lasting
        if _holds(path, block):
            return
        part = self.parts / f"{cid}.{uuid4().hex}"
        try:
            with part.open("xb") as file:
                file.write(block)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def pinned(self, link: Link) -> Cid:
        """Make all that was put lasting, then pin it."""
        for folder in {*self.touched, *(shard.parent for shard in self.touched)}:
            _sync(folder)
        (self.pins / str(link.cid)).touch()
        for folder in (self.pins, self.pins.parent):
            _sync(folder)
        return link.cid


def _name(path: Path) -> str:
    try:
        return os.fsencode(path.name).decode()
    except UnicodeDecodeError:
        raise InputRefused(f"the name {path.name!r} is not UTF-8", "rename it") from None


def _holds(path: Path, block: bytes) -> bool:
    try:
        return path.read_bytes() == block if path.stat().st_size == len(block) else False
    except FileNotFoundError:
        return False


def _sync(folder: Path) -> None:
    """Make a folder's new names lasting."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
