"""Exchange: what travels between pods, sealed, through the store.

Objects in the store are public for ever, so every one is made of age files for named recipients.
It knows what is sent, of which files it is made and to whom it is sealed, and nothing of when.

    offer      scientist -> owner        a folder: recipe.json, graph.json, initial.safetensors
    note       owner -> scientist        one group's leaves, and metrics if the policy lets them out
    delivery   owner -> the job          a folder: model.safetensors, certificate.json
    key        owner -> scientist        the job's own age identity, which opens the delivery
    refusal    owner -> scientist        why a request was declined
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitchain.pod.ports.sealed import open_files, open_sealed, seal, seal_file
from fitchain.pod.ports.store import Cid, Store
from fitchain.pod.values.digest import Digest, canonical_json, parse_json
from fitchain.pod.values.errors import AccessRefused, DigestMismatch, InputRefused, StoreUnusable
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import Scratch, scratch
from fitchain.pod.values.limits import (
    MOST_REASON,
    NOTE,
    SEALED_BYTES_BESIDE,
    SHORT,
    FolderLimits,
    JsonLimits,
)
from fitchain.pod.values.recipe import METRICS
from fitchain.pod.values.recipe.fields import real
from fitchain.pod.values.versions import require_version

NOTE_VERSION = "fitchain/note/v2"
KEY_VERSION = "fitchain/key/v2"
REFUSAL_VERSION = "fitchain/refusal/v2"
_SHOWN = 8
"""Names that a message shows."""
_LEAST_S = 5.0
"""What came in time is opened in any case, if it opens at once."""


@dataclass(frozen=True)
class Note:
    """What the owner tells the scientist of one group while training runs.

    Args:
        agreement: the job.
        first: index of the group's first leaf.
        step: the step after which the group's last leaf stands.
        leaves: digests of the group's leaves, in order; their tree is the anchored root.
        metrics: mean of each metric over the group, to three significant digits; None where the
            owner's policy keeps metrics in.
    """

    agreement: AgreementId
    first: int
    step: int
    leaves: tuple[Digest, ...]
    metrics: dict[str, float] | None = None


def send_folder(store: Store, folder: Path, names: Sequence[str], recipients: Sequence[str]) -> Cid:
    """Seal the named files of a folder, each by itself, and add them to the store as one folder.

    Args:
        store: where to.
        folder: holds the plain files.
        names: which of them travel; each is called `<name>.age` there.
        recipients: age recipients, any of whom may open them.

    Returns:
        the CID of the folder of sealed files.
    """
    with scratch(folder, Scratch.SEALED) as sealed:
        for name in names:
            seal_file(folder / name, sealed / f"{name}.age", recipients)
        return store.add_folder(sealed)


def fetch_folder(
    store: Store, cid: Cid, folder: Path, names: Sequence[str], identity: str, limits: FolderLimits
) -> None:
    """Fetch a folder of sealed files and open them.

    Args:
        store: where from.
        cid: as `send_folder` returned it; foreign input.
        folder: where the plain files go; made when absent.
        names: exactly the files that must be there.
        identity: an age secret they are sealed to.
        limits: on a stranger.

    Raises:
        InputRefused: the folder holds other files than the named ones, is too large, or takes too
            long to come or to be opened.
        AccessRefused: it is not sealed to this identity.
        NotFound: the store does not have it.
        DigestMismatch: it was sealed badly, or altered after that.
        StoreUnusable: the store's copy is altered; whoever has the object can mend it by adding it
            again.
    """
    begun_s = time.monotonic()
    _entries(store, cid, names)
    folder.mkdir(parents=True, exist_ok=True)
    with scratch(folder, Scratch.OPENED) as opened:
        sealed = opened / "sealed"
        with _stored(cid):
            files = len(names) + 1  # and the folder itself
            store.fetch(cid, sealed, limits.size_bytes, limits.seconds, files)
        pairs = [(sealed / f"{name}.age", folder / name) for name in names]
        _open(cid, pairs, identity, limits, begun_s)


def fetch_file(store: Store, cid: Cid, target: Path, identity: str | None, limits: FolderLimits) -> None:
    """Fetch one file by itself.

    Args:
        store: where from.
        cid: of the file; foreign input.
        target: where its content goes; its folder is there.
        identity: an age secret that it is sealed to; None where it lies in the clear.
        limits: on a stranger.

    Raises:
        As `fetch_folder`.
    """
    begun_s = time.monotonic()
    with scratch(target.parent, Scratch.OPENED) as opened:
        fetched = opened / target.name
        with _stored(cid):
            store.fetch(cid, fetched, limits.size_bytes, limits.seconds, 1)
        if identity is None:
            fetched.replace(target)
        else:
            _open(cid, [(fetched, target)], identity, limits, begun_s, "file")


def fetch_files(
    store: Store, cid: Cid, folder: Path, names: Sequence[str], identity: str, limits: Mapping[str, FolderLimits]
) -> None:
    """Fetch some files of such a folder alone, and open them: a look at it that waits for no large
    one.

    Args:
        store, cid, folder, identity: as `fetch_folder`; the folder is there.
        names: of all that the folder must hold.
        limits: by the names of those that are wanted.

    Raises:
        As `fetch_folder`.
    """
    begun_s = time.monotonic()
    entries = _entries(store, cid, names)
    for name, limit in limits.items():
        with scratch(folder, Scratch.OPENED) as opened:
            sealed = opened / f"{name}.age"
            with _stored(cid):
                store.fetch(entries[sealed.name], sealed, limit.size_bytes, limit.seconds, 1)
            _open(cid, [(sealed, folder / name)], identity, limit, begun_s)


def _entries(store: Store, cid: Cid, names: Sequence[str]) -> dict[str, Cid]:
    """What a folder of sealed files holds, which is one for each name and nothing else."""
    wanted = {f"{name}.age" for name in names}
    with _stored(cid):
        entries = store.entries(cid)
    if set(entries) != wanted:
        others = ", ".join(f"{name!r:.40}" for name in sorted(set(entries) - wanted)[:_SHOWN]) or "none"
        missing = ", ".join(sorted(wanted - set(entries))[:_SHOWN]) or "none"
        raise InputRefused(f"the folder {cid} should hold {len(wanted)} files; missing: {missing}; others: {others}")
    return entries


# Many parameters: what is opened, by what, in which time, and what it is called.
def _open(
    cid: Cid,
    pairs: Sequence[tuple[Path, Path]],
    identity: str,
    limits: FolderLimits,
    begun_s: float,
    what: str = "folder",
) -> None:
    """Open fetched files in what is left of their time."""
    for path, _ in pairs:
        if not path.is_file():
            raise InputRefused(f"the {what} {cid} holds a folder {path.name}, which should be a file")
    left_s = None if limits.seconds is None else max(limits.seconds - (time.monotonic() - begun_s), _LEAST_S)
    try:
        open_files(pairs, identity, limits.recipients, left_s)
    except (AccessRefused, DigestMismatch, InputRefused) as error:
        problem = error.message.replace(f"{pairs[0][0].parent}/", "")
        raise type(error)(f"the {what} {cid} does not open: {problem}", error.hint) from None


def send_note(store: Store, note: Note, recipient: str) -> Cid:
    """Seal a note and add it to the store."""
    body = {
        "version": NOTE_VERSION,
        "agreement": str(note.agreement),
        "first": note.first,
        "step": note.step,
        "leaves": [str(leaf) for leaf in note.leaves],
        "metrics": note.metrics,
    }
    return store.add(seal(canonical_json(body), [recipient]))


def fetch_note(store: Store, cid: Cid, identity: str) -> Note:
    """Fetch and open a note.

    Raises:
        InputRefused: it is not a note.
        AccessRefused: it is not sealed to this identity.
        NotFound, StoreUnusable: the store does not have it, or only an altered copy.
    """
    body = _fetch_json(store, cid, identity, NOTE_VERSION, NOTE)
    try:
        leaves = tuple(Digest.parse(leaf) for leaf in body["leaves"])
        metrics = body["metrics"]
        if metrics is not None:
            metrics = {name: real("a metric", value) for name, value in metrics.items()}
        if not set(metrics or ()) <= set(METRICS):
            raise ValueError(f"its metrics are {metrics!r:.80}")
        return Note(
            AgreementId(Digest.parse(body["agreement"])), int(body["first"]), int(body["step"]), leaves, metrics
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputRefused(f"the object {cid} is not a note: {error}") from None


def send_key(store: Store, agreement: AgreementId, secret: str, recipient: str) -> Cid:
    """Seal a job's age identity to the scientist and add it to the store."""
    return _send_text(store, KEY_VERSION, agreement, "identity", secret, recipient)


def fetch_key(store: Store, agreement: AgreementId, cid: Cid, identity: str) -> str:
    """Fetch and open a job's age identity.

    Raises:
        InputRefused: it is no key, or the key of another job.
        AccessRefused: it is not sealed to this identity.
        NotFound, StoreUnusable: the store does not have it, or only an altered copy.
    """
    return _fetch_text(store, cid, identity, KEY_VERSION, agreement, "identity")


def send_refusal(store: Store, agreement: AgreementId, reason: str, recipient: str) -> Cid:
    """Seal the reason of a refusal to the scientist and add it to the store."""
    return _send_text(store, REFUSAL_VERSION, agreement, "reason", reason[:MOST_REASON], recipient)


def fetch_refusal(store: Store, agreement: AgreementId, cid: Cid, identity: str) -> str:
    """Fetch and open the reason of a refusal.

    Raises:
        InputRefused: it is none, or that of another request.
        AccessRefused: it is not sealed to this identity.
        NotFound, StoreUnusable: the store does not have it, or only an altered copy.
    """
    return _fetch_text(store, cid, identity, REFUSAL_VERSION, agreement, "reason")


def _send_text(store: Store, version: str, agreement: AgreementId, name: str, text: str, recipient: str) -> Cid:
    """Seal one text about a job to the scientist and add it to the store."""
    body = {"version": version, "agreement": str(agreement), name: text}
    return store.add(seal(canonical_json(body), [recipient]))


def _fetch_text(store: Store, cid: Cid, identity: str, version: str, agreement: AgreementId, name: str) -> str:
    """Fetch and open what `_send_text` sent about this job."""
    body = _fetch_json(store, cid, identity, version, SHORT)
    if body.get("agreement") != str(agreement) or not isinstance(body.get(name), str):
        kind = version.split("/")[1]
        raise InputRefused(f"the object {cid} is the {kind} of {body.get('agreement')!s:.80} and not of {agreement}")
    if len(body[name]) > MOST_REASON:
        raise InputRefused(f"the object {cid} has {len(body[name])} characters and the limit is {MOST_REASON}")
    return str(body[name])


@contextmanager
def _stored(cid: Cid) -> Iterator[None]:
    """Tell a store's bad copy, which whoever has the object can mend, from an object that was bad
    when it was sent."""
    try:
        yield
    except DigestMismatch as error:
        raise StoreUnusable(f"the store's copy of {cid} is altered: {error.message}", error.hint) from None


def _fetch_json(store: Store, cid: Cid, identity: str, version: str, limits: JsonLimits) -> dict[str, Any]:
    """Fetch and open what was sealed to this identity alone."""
    with _stored(cid):
        sealed = store.cat(cid, limits.text_bytes + SEALED_BYTES_BESIDE)
    body = parse_json(open_sealed(sealed, identity, 1), limits)
    require_version(f"the object {cid}", body, version)
    if not isinstance(body, dict) or body.get("version") != version:
        raise InputRefused(f"the object {cid} is not {version}")
    return body
