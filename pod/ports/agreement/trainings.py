"""Which runs ended with a model root.

Anybody can end a run with any root, on records of its own: that a run ended so says which job and
which owner stand for it, and when, and not that anything was trained.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fitchain.pod.ports.agreement.calls import terms_of
from fitchain.pod.ports.agreement.history import searched_ranges
from fitchain.pod.ports.chain.base import Event
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.reading import Reading
from fitchain.pod.ports.chain.reads import ReadCall, ReadEvents
from fitchain.pod.values.digest import Root
from fitchain.pod.values.ids import AgreementId, ModelId

MOST_RUNS = 256
"""Runs that are looked at, the first."""


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended.

    Args:
        agreement: of its job.
        model: the registered model that the job's terms name, with which it began.
        root: the model root that it ended with.
        requested_block, end_block: when the job was asked for, and when the run ended.
    """

    agreement: AgreementId
    model: ModelId
    root: Root
    requested_block: int
    end_block: int


def ends_reading(chain: Chain, roots: Iterable[Root], height: int) -> Reading[list[Event] | None]:
    """Events of runs that ended with one of several model roots up to a block, in the order of the
    chain; None where the node does not search as far as that."""
    answers = yield [
        ReadEvents(
            ("ProofOfTrain",), name, {"modelRoot": root}, from_block=start, to_block=min(upto, height), optional=True
        )
        for root in dict.fromkeys(roots)
        for start, upto in searched_ranges(chain, chain.head())
        for name in ("Finished", "DivergedAt")
        if start <= height
    ]
    if None in answers:
        return None
    return sorted((event for events in answers for event in events), key=lambda event: (event.block, event.log_index))


def ended_runs_reading(chain: Chain, roots: Iterable[Root], height: int) -> Reading[list[EndedRun] | None]:
    """The runs that ended with one of several model roots up to a block, the first `MOST_RUNS`, in
    the order in which they ended; None where the node does not search as far as that."""
    events = yield from ends_reading(chain, roots, height)
    if events is None:
        return None
    ends = {AgreementId(event.args["id"]): event for event in reversed(events[:MOST_RUNS])}
    ids = list(reversed(ends))
    now = chain.head()  # when a job was asked for never changes, and old states are not kept by every node
    kept = yield [ReadCall("Agreements", "agreement", (id,), now) for id in ids]
    blocks = [entry["requestBlock"] for entry in kept]
    requests = yield [
        ReadEvents(("Agreements",), "Requested", {"id": id}, from_block=block, to_block=block)
        for id, block in zip(ids, blocks, strict=True)
    ]
    return [
        EndedRun(id, terms_of(events[0]).model, Root(ends[id].args["modelRoot"]), block, ends[id].block)
        for id, block, events in zip(ids, blocks, requests, strict=True)
        if events
    ]
