"""Bases: models that others are deltas over, each fetched once and kept in the home by its root.

    bases/<root>.safetensors   a base, whole; a link to it lies in each folder that needs it
    bases/<root>.json          where the store has it, and under which id this pod registered it

Where a base lies travels inside the delta over it, sealed as that is: the CID of its file, and the
age identity that opens it, or none for a base in the clear. What comes from there is a stranger's,
and gets its name only if it has the root.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fitchain.pod.jobs.exchange import fetch_file
from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.ports.sealed import new_identity, recipient_of, seal_file
from fitchain.pod.ports.store import Cid, Store
from fitchain.pod.values.delta import ModelFile
from fitchain.pod.values.digest import Digest, Root, canonical_json, parse_json
from fitchain.pod.values.errors import ClaimMismatch, DigestMismatch, HostUnusable, InputRefused, NotFound
from fitchain.pod.values.files import usage_of
from fitchain.pod.values.ids import NO_MODEL, ModelId
from fitchain.pod.values.job_folder import JobFolder, Scratch, base_name, scratch
from fitchain.pod.values.limits import BASE, SHORT, TENSORS_HEADER, FolderLimits, size_about
from fitchain.pod.values.state import Tensors, model_root, write_safetensors

SOURCE_KEY = "fitchain-base"
"""The metadata key under which a published delta says where its base lies."""
TOLD_EVERY_S = 10.0
"""Seconds between two words on how much of a base is here."""
_SEALED_SHARE, _SEALED_BESIDE = 4096, 8192
"""An age file takes 16 bytes for each 64 KiB, and a header, beside its content."""


@dataclass(frozen=True)
class BaseSource:
    """Where a base lies.

    Args:
        root: its model root.
        cid: of its file in the store.
        identity: the age secret that the file is sealed to; None where it lies in the clear.
    """

    root: Root
    cid: Cid
    identity: str | None = field(repr=False)

    @property
    def metadata(self) -> dict[str, str]:
        """What a delta says of it, beside the root."""
        return {SOURCE_KEY: canonical_json({"cid": str(self.cid), "identity": self.identity}).decode()}

    @classmethod
    def of(cls, file: ModelFile) -> BaseSource:
        """Where the base of an offered model lies.

        Raises:
            InputRefused: the model has no base, or does not say where it lies.
        """
        text = file.metadata.get(SOURCE_KEY)
        if file.base is None or text is None:
            raise InputRefused(
                f"the model is a delta over {file.base}, and does not say where that lies",
                "publish it with `fitchain model publish --base`",
            )
        value = parse_json(text.encode(errors="replace"), SHORT)
        if not isinstance(value, dict) or value.keys() != {"cid", "identity"}:
            raise InputRefused("a delta says of its base's place its cid and its identity, and nothing else")
        if not isinstance(value["cid"], str) or not isinstance(value["identity"], str | None):
            raise InputRefused("the cid of a base's place is a text, its identity a text or null")
        return cls(file.base, Cid.parse(value["cid"]), value["identity"])


@dataclass(frozen=True)
class OfferedBase:
    """What an offered model says of its base.

    Args:
        size_bytes: of its tensors.
        is_sealed: whether only who is offered a model over it can read it.
    """

    size_bytes: int
    is_sealed: bool

    def encode(self) -> str:
        """As the journal keeps it."""
        return canonical_json({"bytes": self.size_bytes, "sealed": self.is_sealed}).decode()

    @classmethod
    def parse(cls, text: str) -> OfferedBase:
        """Read what the journal keeps."""
        value = parse_json(text.encode(), SHORT)
        return cls(value["bytes"], value["sealed"])


class Bases:
    """The bases that a home keeps.

    Args:
        folder: of them, made when something is kept.
        store: where others are fetched from.
        log: is told of what is fetched, and how far it has come.
    """

    def __init__(self, folder: Path, store: Store, log: Callable[[str], None] = lambda text: None) -> None:
        self.folder, self.store, self.log = folder, store, log

    def path(self, root: Root) -> Path:
        """The file of a base, whether it is there or not."""
        return self.folder / base_name(root)

    def keep(self, tensors: Tensors) -> Root:
        """Keep a base of this pod's own.

        Returns:
            its root.
        """
        path = self.path(root := model_root(tensors))
        if not path.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_safetensors(path, tensors)
        return root

    def published(self, root: Root) -> tuple[BaseSource, ModelId] | None:
        """Where this pod put a base, and under which id it registered it; None where it did not."""
        try:
            value = parse_json(self.note_of(root).read_bytes(), SHORT)
        except FileNotFoundError:
            return None
        if (id := ModelId(Digest.parse(value["model"]))) == NO_MODEL:
            return None
        return BaseSource(root, Cid.parse(value["cid"]), value["identity"]), id

    def publish(self, root: Root, id: ModelId, is_public: bool) -> BaseSource:
        """Add a base of this pod's own to the store, once: in the clear, or sealed to an identity
        made for it, which opens it for all who are offered a model over it.

        Args:
            root: of a base that is kept.
            id: under which it is registered.
            is_public: whether everybody may read it; one that was sealed before is added anew then,
                and so is one that the store has lost.
        """
        before = self.published(root)
        if before and self.store.has(before[0].cid) and not (is_public and before[0].identity):
            return before[0]
        if is_public:
            source = BaseSource(root, self.store.add(self.path(root)), None)
        else:
            identity = new_identity()[0]
            with scratch(self.folder, Scratch.SEALED) as folder:
                seal_file(self.path(root), folder / "base.age", [recipient_of(identity)])
                source = BaseSource(root, self.store.add(folder / "base.age"), identity)
        self._write_note(source, id)
        return source

    # Many parameters: of which model, how much of a stranger's, and what is done with it.
    def lay(
        self,
        folder: JobFolder,
        agreed: Root | None,
        limits: FolderLimits = BASE,
        keeps: bool = False,
        is_offered: bool = False,
    ) -> None:
        """Lay the base of a folder's initial model beside it, fetched where this home has it not;
        nothing is done for a model that has none.

        Args:
            folder: with the offered initial model.
            agreed: the base's root, by the recipe.
            limits: on a stranger; no more than the delta says that the base holds is fetched.
            keeps: whether the store is to keep what was fetched: for whoever owes it to others.
            is_offered: whether the model is a stranger's, who has to have the base itself: a root
                is no secret, and else a job over it would hand out what another sealed to this
                home. What lies in the place that it names is fetched, unless this home had it from
                there.

        Raises:
            ClaimMismatch: the initial model is a delta over another base.
            InputRefused: where the base lies is not said, or what lies there is too large or slow.
            AccessRefused: it is not sealed to the identity that comes with it.
            DigestMismatch: it is another model.
            HostUnusable: the disk has no room for it.
            NotFound, StoreUnusable: the store does not have it now.
        """
        if agreed is None or folder.base.exists():
            return
        file = ModelFile.read(folder.initial)
        if file.base != agreed:
            raise ClaimMismatch(f"the initial model is a delta over {file.base}, and the recipe's base is {agreed}")
        with self._shared():
            if is_offered or not self.path(agreed).exists():
                self._fetch(BaseSource.of(file), file.inventory_bytes, limits, keeps)
            with suppress(FileExistsError):  # another lane laid it
                os.link(self.path(agreed), folder.base)

    def unfetched_bytes(self, initial: Path) -> int:
        """Bytes of the base of an offered model that would be fetched for it; 0 where it has none,
        or this home had it from the place that it names.

        Args:
            initial: the model's file.

        Raises:
            InputRefused: where the base lies is not said, or it is larger than any may be.
        """
        file = ModelFile.read(initial)
        if file.base is None or self._place_of(file.base) == BaseSource.of(file):
            return 0
        _require_size(file.base, file.inventory_bytes, BASE)
        return file.inventory_bytes

    def name_place(self, model: Path) -> None:
        """Write into a delta where this home knows that its base lies, in the place of what its
        author said; nothing is done for a model that has none, or where this home does not know.

        Args:
            model: its file, of which a link elsewhere stays as it was.
        """
        file = ModelFile.read(model)
        if file.base is not None and (source := self._place_of(file.base)) is not None:
            file.write(model, source.metadata)

    def _place_of(self, root: Root) -> BaseSource | None:
        """Where this pod put a base or had it from; None where it has it not, or not from there."""
        try:
            value = parse_json(self.note_of(root).read_bytes(), SHORT)
        except FileNotFoundError:
            return None
        return BaseSource(root, Cid.parse(value["cid"]), value["identity"]) if self.path(root).exists() else None

    def _fetch(self, source: BaseSource, size_bytes: int, limits: FolderLimits, keeps: bool) -> None:
        """Fetch a base, unless it was had from there; one that was had from elsewhere stays, and
        what was fetched has only shown that it lies there, too."""
        if (before := self._place_of(source.root)) == source:
            return
        most = size_bytes + TENSORS_HEADER.text_bytes
        most = min(limits.size_bytes, most + most // _SEALED_SHARE + _SEALED_BESIDE)
        _require_size(source.root, size_bytes, limits)
        self._require_room(source, size_bytes)
        with scratch(self.folder, Scratch.OPENED) as folder:
            try:
                with self._logging(source, folder, size_bytes):
                    fetch_file(
                        self.store, source.cid, folder / "base", source.identity, FolderLimits(most, limits.seconds, 1)
                    )
            except NotFound as error:
                hint = "who published the model has it, and can publish it again with --base"
                raise NotFound(
                    f"the base {source.root.short} of the model cannot be had: {error.message}", hint
                ) from None
            fetched = ModelFile.read(folder / "base")
            if not fetched.is_whole or fetched.root != source.root:
                raise DigestMismatch(
                    f"the model says that its base lies at {source.cid}, and there is the model {fetched.root},"
                    f" not {source.root}",
                    "publish it anew with its base",
                )
            if before is not None:
                return
            if keeps:
                self.store.pin(source.cid)
            self._write_note(source, NO_MODEL)
            (folder / "base").replace(self.path(source.root))

    def _require_room(self, source: BaseSource, size_bytes: int) -> None:
        """Look at the disk before anything is fetched: a sealed base lies there twice while it is
        opened.

        Raises:
            HostUnusable: there is too little room.
        """
        needed, free = size_bytes * (1 if source.identity is None else 2), shutil.disk_usage(self.folder).free
        if needed > free:
            twice = "" if source.identity is None else f", and twice that while it is opened ({size_about(needed)})"
            raise HostUnusable(
                f"the base {source.root.short} of the model takes {size_about(size_bytes)} of the disk{twice}, and "
                f"{size_about(free)} are free",
                f"make room on the disk of {self.folder}",
            )

    @contextmanager
    def _logging(self, source: BaseSource, folder: Path, size_bytes: int) -> Iterator[None]:
        """Tell that a base is being fetched, every few seconds how much of it is here, and its
        end."""
        what, begun_s, over = f"the base {source.root.short} of the model", time.monotonic(), threading.Event()

        def log_progress() -> None:
            while not over.wait(TOLD_EVERY_S):
                came = min(usage_of(folder).size_bytes, size_bytes)
                self.log(f"{what}: {size_about(came)} of {size_about(size_bytes)} are here")

        self.log(f"fetches {what}: {size_about(size_bytes)}, once for all jobs over it")
        logging = threading.Thread(target=log_progress, name="progress", daemon=True)
        logging.start()
        try:
            yield
        finally:
            over.set()
            logging.join()
        self.log(f"{what} is here, after {time.monotonic() - begun_s:.0f} s")

    def release_unused(self) -> None:
        """Remove fetched bases that lie in no folder any more; the store needs to keep them no
        longer."""
        if not self.folder.is_dir():
            return
        with suppress(BlockingIOError), self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            for note in self.folder.glob("0x*.json"):
                root = Root(Digest.parse(note.stem))
                path = self.path(root)
                if self.published(root) or (path.exists() and path.stat().st_nlink > 1):
                    continue
                self.store.unpin(Cid.parse(parse_json(note.read_bytes(), SHORT)["cid"]))
                path.unlink(missing_ok=True)
                note.unlink()

    def note_of(self, root: Root) -> Path:
        """The file that says where a base lies, whether it is there or not."""
        return self.folder / f"{root}.json"

    def _write_note(self, source: BaseSource, id: ModelId) -> None:
        note = {"cid": str(source.cid), "identity": source.identity, "model": str(id)}
        write_file(self.note_of(source.root), canonical_json(note), 0o600)

    @contextmanager
    def _shared(self) -> Iterator[None]:
        """Keep what is fetched from being taken for unused before it is linked."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        lock = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, how)
            yield
        finally:
            os.close(lock)


def _require_size(root: Root, size_bytes: int, limits: FolderLimits) -> None:
    """Refuse a base that is said to be larger than any may be, of which no disk is at fault.

    Raises:
        InputRefused: it is.
    """
    if size_bytes > limits.size_bytes:
        raise InputRefused(
            f"the base {root.short} of the model is said to take {size_about(size_bytes)}, and a base may take"
            f" {size_about(limits.size_bytes)}",
            "train over a smaller one",
        )
