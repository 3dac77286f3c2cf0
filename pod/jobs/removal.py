"""Deleting what a home keeps of a job, and saying so in its history.

What is to be deleted is written down before. So whoever is cut off finds what was begun, ends it
and notes it once: a line says that something is gone only when it is, and what is gone has its
line. A file is unlinked; what a disk, its snapshots or a backup keep of it is beyond this.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime

from fitchain.pod.jobs.history import Ended, RemovalAsked, Removed
from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.store import Cid
from fitchain.pod.values.ids import AgreementId, AuditRef, Subject, agreement_of
from fitchain.pod.values.job_folder import JobFolder, Kept

BEGUN = "removing"
"""Fact of a job, or of an audit: a deletion that was begun, as its line, and what makes it that."""
ASKED, DONE = "asked", "done"
REMOVAL = "removal"
"""Fact of a job: whether a person asked for its removal, and that it was done."""
ENDS = {
    Kept.KEYS: (Ended.OPENING,),
    Kept.SEAT_KEYS: (Ended.OPENING,),
    Kept.STATES: (Ended.REPLAY_FROM_STATES,),
    Kept.TRAINING: (Ended.AUDIT, Ended.REPLAY),
}
"""What cannot be done any more once a kind of what is kept of a job is gone."""


def remove(
    home: Home, subject: Subject, kinds: Collection[Kept], by_person: bool = False, sealed: Iterable[Cid] = ()
) -> tuple[Kept, ...]:
    """Delete some kinds of what a home keeps of a job, or of an audit of it, and note it.

    Args:
        home: opened.
        subject: the job with its own audit, or one that was asked for again.
        kinds: what is deleted, so far as it is there.
        by_person: whether a person asked for it.
        sealed: evidence that the store keeps no longer; its bytes go with the store's garbage.

    Returns:
        what was deleted now, that which was begun before among it.

    Raises:
        HostUnusable, OSError: it cannot be deleted; calling again goes on.
        StoreUnusable: the store does not answer.
    """
    journal, folder = home.journal, folder_of(home, subject)
    begun, mark = _begun(home, subject)
    pinned = set(sealed) & set(home.store.list_pins()) if (sealed := list(sealed)) else set[Cid]()
    what = {kind for kind in kinds if folder.kept(kind)} | {Kept.EVIDENCE for _ in pinned}
    if not what and begun is None:
        return ()
    ends = _ends(folder, what)
    if begun is not None:
        what, ends, by_person = what | set(begun.what), ends | set(begun.ends), by_person or begun.by_person
    entry = Removed(tuple(kind for kind in Kept if kind in what), tuple(end for end in Ended if end in ends), by_person)
    journal.keep_fact(subject, BEGUN, json.dumps({"mark": mark, "entry": entry.json()}))
    for cid in pinned:
        home.store.unpin(cid)
    folder.remove(entry.what)
    home.bases.release_unused()
    journal.record(subject, entry, once=mark)
    journal.keep_fact(subject, BEGUN, "")
    return entry.what


def folder_of(home: Home, subject: Subject) -> JobFolder:
    """Where what is kept of a job, or of an audit of it, lies."""
    return home.job_folder(subject) if not isinstance(subject, AuditRef) else home.audit_folder(subject)


def _begun(home: Home, subject: Subject) -> tuple[Removed | None, str]:
    """What was begun and is not noted, with its mark; a new mark where there is nothing."""
    if text := home.journal.fact(subject, BEGUN):
        kept = json.loads(text)
        if not home.journal.has(subject, Removed, kept["mark"]):
            return Removed.parse(kept["entry"]), kept["mark"]
        home.journal.keep_fact(subject, BEGUN, "")
    return None, str(time.time_ns())


def _ends(folder: JobFolder, what: Collection[Kept]) -> set[Ended]:
    """What a deletion ends: without leaves there was nothing to audit or to replay before."""
    kinds = [kind for kind in what if kind is not Kept.TRAINING or folder.leaves.exists()]
    ends = {end for kind in kinds for end in ENDS.get(kind, ())}
    return ends - {Ended.REPLAY_FROM_STATES} if Ended.REPLAY in ends else ends


# What a person asked for


def ask_removal(home: Home, id: AgreementId, reason: str) -> None:
    """Write down that a person wants what is kept of a job deleted; asking again changes nothing."""
    if home.journal.fact(id, REMOVAL) is None:
        home.journal.keep_fact(id, REMOVAL, ASKED)
    home.journal.record(id, RemovalAsked(reason), once="")


def asked_removals(home: Home) -> Iterator[AgreementId]:
    """The jobs of which a person wants it, and of which it is not done."""
    return (ref.agreement for ref, state in home.journal.facts_named(REMOVAL) if state == ASKED)


def is_asked(home: Home, id: AgreementId) -> bool:
    """Whether a person wants it of a job, or wanted it and it is done."""
    return home.journal.fact(id, REMOVAL) is not None


def keep_done(home: Home, id: AgreementId) -> None:
    """Write down that what a person asked for is done."""
    if is_asked(home, id):
        home.journal.keep_fact(id, REMOVAL, DONE)


def describe_removal(home: Home, subject: Subject) -> str:
    """What was deleted without which no other audit can be, and when, or that this was asked for;
    empty where it is there."""
    id = agreement_of(subject)
    for line in home.journal.lines(id, Removed):
        if isinstance(line.entry, Removed) and Ended.AUDIT in line.entry.ends:
            return f"what evidence of {id.short} needs was deleted on {_date(line.time)}"
    if is_asked(home, id):
        return f"what is kept of {id.short} is being deleted, as this home's person asked"
    return ""


def _date(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
