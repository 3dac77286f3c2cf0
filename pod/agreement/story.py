"""What a checker reads of an agreement's whole life, from the chain alone."""

from __future__ import annotations

from dataclasses import dataclass

from pod.agreement.terms import Agreement, Proof, State
from pod.chain.base import Block, Event
from pod.chain.client import Chain
from pod.digest import Digest


@dataclass(frozen=True)
class Related:
    """Another agreement of the same owner, dataset or model that did not end well."""

    id: Digest
    state: State
    same_owner: bool
    same_dataset: bool
    same_model: bool


@dataclass(frozen=True)
class Story:
    """An agreement's whole life.

    Args:
        agreement, proof: as they stand.
        events: every event of the agreement, in order.
        blocks: number -> block (hash, time) of every block that an event stands in.
        dataset_root, model_graph, initial_model_root: what the registry has under the terms' ids.
        dataset_card: CID bytes of the dataset's card.
        paid_to_owner, paid_to_scientist, burned: FIT in base units, by the settlement; 0 before.
        related: other agreements of the same owner, dataset or model that were forfeited, diverged or cancelled.
        verified_at: the block up to which the chain was read.
    """

    agreement: Agreement
    proof: Proof
    events: tuple[Event, ...]
    blocks: dict[int, Block]
    dataset_root: Digest
    dataset_card: bytes
    model_graph: Digest
    initial_model_root: Digest
    paid_to_owner: int
    paid_to_scientist: int
    burned: int
    related: tuple[Related, ...]
    verified_at: Block


def read_story(chain: Chain, id: Digest) -> Story:
    """Read an agreement's whole life by raw RPC; needs no key.

    Raises:
        NotFound: this deployment has no agreement of that id.
        ChainUnusable: the node does not answer.
    """
    raise NotImplementedError
