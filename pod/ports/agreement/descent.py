"""Which jobs trained the models from which a job's own descends: those that ended with the model
root of one of its registered ancestors, or of the model itself.

Anybody can end a run with any root, on records of its own. So only the runs of the same owner
count, on the same dataset or beside the same privacy ledger, that ended before the job was asked
for: which they are follows from the chain, and does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fitchain.pod.ports.agreement.calls import run_record_of, terms_of
from fitchain.pod.ports.agreement.trainings import MOST_RUNS, ends_reading
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.reading import Reading, carry_out
from fitchain.pod.ports.chain.reads import ReadCall, ReadEvents
from fitchain.pod.ports.registry import model_entry
from fitchain.pod.values.digest import Digest, Root
from fitchain.pod.values.errors import ChainUnusable
from fitchain.pod.values.ids import AgreementId, DatasetId, ModelId

MOST_ANCESTORS = 64
"""Registered models that are looked at, the nearest."""


@dataclass(frozen=True, slots=True)
class TrainedParent:
    """A job that trained a model from which another job's descends.

    Args:
        agreement: of the job.
        seed: its order seed.
        on_same_dataset: whether it trained on the same dataset, else on another one beside the same
            ledger.
    """

    agreement: AgreementId
    seed: Digest
    on_same_dataset: bool


def trained_parents(
    chain: Chain, owner: str, dataset: DatasetId, model: ModelId, before: int
) -> tuple[TrainedParent, ...]:
    """The jobs that trained a model from which a job's descends, in the order in which they ended.

    Args:
        chain: a connection by the reader's own settings.
        owner, dataset, model: what the job's terms name.
        before: block of its request; runs count that ended in an earlier one.

    Raises:
        ChainUnusable: the node does not answer, or does not search as far as that.
    """
    parents = find_parents(chain, owner, dataset, model, before)
    if parents is None:
        raise ChainUnusable(
            "the node does not search for the trainings from which the model descends", "name another with --rpc"
        )
    return parents


def find_parents(
    chain: Chain, owner: str, dataset: DatasetId, model: ModelId, before: int
) -> tuple[TrainedParent, ...] | None:
    """The same, for who can do without; None where the node does not search as far as that.

    Raises:
        ChainUnusable: the node does not answer.
    """
    return carry_out(chain, _reading(chain, owner, dataset, model, before - 1))


# Many parameters: whose job it is, of which records and which model, and where the chain is read.
def _reading(
    chain: Chain, owner: str, dataset: DatasetId, model: ModelId, height: int
) -> Reading[tuple[TrainedParent, ...] | None]:
    now = chain.head()  # what the registry says of a model or a dataset's ledger never changes
    roots = yield from _roots_reading(model, now)
    in_order = yield from ends_reading(chain, roots, height)
    if in_order is None:
        return None
    ids = list(dict.fromkeys(AgreementId(event.args["id"]) for event in in_order))[:MOST_RUNS]
    kept = yield [ReadCall("Agreements", "agreement", (id,), now) for id in ids]
    blocks = {id: entry["requestBlock"] for id, entry in zip(ids, kept, strict=True) if entry["owner"] == owner}
    requests = yield [
        ReadEvents(("Agreements", "ProofOfTrain"), id=id, from_block=block, to_block=height)
        for id, block in blocks.items()
    ]
    histories = dict(zip(blocks, requests, strict=True))
    agreed = {
        id: terms_of(next(event for event in events if event.name == "Requested")) for id, events in histories.items()
    }
    datasets = list(dict.fromkeys([dataset, *(terms.dataset for terms in agreed.values())]))
    entries = yield [ReadCall("Registry", "dataset", (id,), now) for id in datasets]
    ledgers = {id: entry["ledger"] for id, entry in zip(datasets, entries, strict=True)}
    ledger = ledgers[dataset]
    return tuple(
        TrainedParent(id, run_record_of(terms.steps, histories[id]).seed, terms.dataset == dataset)
        for id, terms in agreed.items()
        if terms.dataset == dataset or (ledger and ledgers[terms.dataset] == ledger)
    )


def _roots_reading(model: ModelId, height: int) -> Reading[list[Root]]:
    """Model roots of a registered model and of its ancestors, breadth first."""
    listed, roots = [model], list[Root]()
    while len(roots) < len(listed):
        asked = listed[len(roots) :]
        answers = yield [ReadCall("Registry", "model", (id,), height) for id in asked]
        for id, answer in zip(asked, answers, strict=True):
            entry = model_entry(id, answer)
            parents: Sequence[ModelId] = () if entry is None else entry.parents
            roots.append(Root(answer["root"]))
            new = [parent for parent in dict.fromkeys(parents) if parent not in listed]
            listed += new[: MOST_ANCESTORS - len(listed)]
    return list(dict.fromkeys(roots))
