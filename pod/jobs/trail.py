"""Exporting a job's trail: what its history and the chain say of it, and nothing private.

Of an entry of the history leaves what is named here and nothing else: no metric, no path, no text
that an error or a refusal carried, since that may speak of records. What a person gave as a reason
goes along.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from fitchain.pod.jobs import history
from fitchain.pod.jobs.history import Entry
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import Line
from fitchain.pod.ports.agreement import Agreement
from fitchain.pod.ports.chain.base import Signer
from fitchain.pod.proof.trail import DISCLOSED, ENTRY, event_body, header_of, write_trail
from fitchain.pod.values.digest import Digest, Json
from fitchain.pod.values.ids import AgreementId

EXPORTED = frozenset(
    {
        *("transaction", "gas", "dataset", "price", "seed", "step", "steps", "leaves", "index", "count", "block"),
        *("weights", "key", "transcript_root", "model_root", "assurance", "phase", "round", "evidence", "withheld"),
        *("outcome", "segments", "verdict", "panel", "fees", "asker", "answer", "what", "ends"),
        *("by_person", "equal", "sandbox"),
    }
)
"""Fields that leave, of whatever entry."""
EXPORTED_OF: Mapping[type[Entry], frozenset[str]] = {
    history.Requested: frozenset({"model"}),
    history.Checked: frozenset({"concerns"}),
    history.ApprovalNeeded: frozenset({"why"}),
    history.Approved: frozenset({"reason", "concerns"}),
    history.TurnedDown: frozenset({"reason"}),
    history.DeliveredAllTheSame: frozenset({"reason"}),
    history.ConsentNeeded: frozenset({"why"}),
    history.ConsentGiven: frozenset({"reason", "concerns"}),
    history.ConsentRefused: frozenset({"reason"}),
    history.RemovalAsked: frozenset({"reason"}),
}
"""Fields that leave besides, of some: what was asked, and what a person said and was shown."""
KEPT_IN = (history.Assessing, history.Assessed, history.NotAssessed)
"""Entries of which not even the word leaves: whether an attack on the model came to its end may
follow from a single record."""


def export_trail(
    home: Home,
    id: AgreementId,
    account: str,
    path: Path,
    disclosed: Mapping[str, Json] | None = None,
    signer: Signer | None = None,
) -> Digest:
    """Write what happened to a job into a new file.

    Args:
        home: whose history of the job it is; its key is not needed.
        id: of the job.
        account: the home's.
        path: of the file.
        disclosed: what left, as the owner has counted it (`parties.owner.disclosed`).
        signer: of that account, which says all of it; None leaves it unsigned.

    Returns:
        the digest of the last line.

    Raises:
        NotFound: this deployment has no such job.
        ChainUnusable: the node does not answer.
        InputRefused, HostUnusable: as `write_trail`.
    """
    agreement, head = home.agreements.read(id), home.chain.head()
    header = header_of(home.chain, id, account, _role(agreement, account), int(time.time()), head)
    left = [{"kind": DISCLOSED, **disclosed}] if disclosed is not None else []
    return write_trail(path, [header, *_happened(home, id, head), *left], signer)


def _happened(home: Home, id: AgreementId, head: int) -> Iterator[dict[str, Json]]:
    """The entries of the history and the events of the chain, each in its own order, side by side
    by their times."""
    events = [event for event in home.agreements.events(id) if event.block <= head]
    home.chain.read_times(event.block for event in events)
    entries = (
        (line.time, _entry_body(line)) for line in home.journal.history(id) if not isinstance(line.entry, KEPT_IN)
    )
    changes = ((float(event.timestamp), event_body(event)) for event in events)
    return (body for _, body in heapq.merge(changes, entries, key=lambda pair: pair[0]))


def _entry_body(line: Line) -> dict[str, Json]:
    """An entry of the history as a line has it; of another release's no more than its word."""
    allowed = frozenset[str]()
    if not isinstance(line.entry, history.Unrecognised):
        allowed = EXPORTED | EXPORTED_OF.get(type(line.entry), frozenset())
    body = {name: value for name, value in line.entry.json().items() if name in allowed}
    return {"kind": ENTRY, "time": int(line.time), "ordinal": line.ordinal, "entry": line.entry.kind, "body": body}


def _role(agreement: Agreement, account: str) -> str:
    roles = {agreement.scientist: "scientist", agreement.terms.owner: "owner"}
    return roles.get(account, "other")
