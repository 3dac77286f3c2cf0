"""The chain's record: what the chain says of an ended training, and nothing that a party says.

Everything in evidence is compared with these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fitchain.pod.ports.agreement import Agreements
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.proof.audit.challenge import audited_segments
from fitchain.pod.values.digest import Digest, Root
from fitchain.pod.values.ids import AgreementId


@dataclass(frozen=True)
class ChainRecord:
    """An ended training as the chain has it, and the challenge that it has to answer.

    Args:
        agreement: its id.
        ctx, seed: what stands in every leaf; the order seed.
        recipe, graph, initial_model, dataset_root, dataset_count: as agreed and registered.
        steps, segment_steps, group_leaves, drawn_segments: T, k, A, q of the terms.
        count: leaves of the transcript.
        step: steps that the ending covers; fewer than T where the run diverged.
        transcript_root, model_root: recorded by the ending.
        delivery: CID of the sealed delivery; None where the chain has none that can be read.
        challenge: the challenge seed.
        round: of the audit, from 0.
    """

    agreement: AgreementId
    ctx: Digest
    seed: Digest
    recipe: Digest
    graph: Digest
    initial_model: Root
    dataset_root: Root
    dataset_count: int
    steps: int
    segment_steps: int
    group_leaves: int
    drawn_segments: int
    count: int
    step: int
    transcript_root: Root
    model_root: Root
    delivery: Cid | None
    challenge: Digest
    round: int

    @property
    def diverged(self) -> bool:
        """Whether the run ended before its last step."""
        return self.step < self.steps

    @cached_property
    def audited(self) -> tuple[int, ...]:
        """The segments that are audited, rising."""
        return audited_segments(self.challenge, self.count - 1, self.drawn_segments, self.diverged)

    @cached_property
    def leaves(self) -> tuple[int, ...]:
        """The leaves that the evidence opens, rising: those at both ends of each audited segment."""
        return tuple(sorted({leaf for j in self.audited for leaf in (j, j + 1) if leaf < self.count}))

    def step_of(self, leaf: int) -> int:
        """Steps completed at a leaf."""
        return min(leaf * self.segment_steps, self.steps)


def read_chain_record(chain: Chain, id: AgreementId, challenge: Digest, round: int) -> ChainRecord:
    """Read the record of an ended training.

    Args:
        chain: a connection by the reader's own settings.
        id: the agreement.
        challenge: the challenge seed.
        round: of the audit.

    Raises:
        NotFound: this deployment has no agreement of that id.
        ChainUnusable: the node does not answer.
    """
    calls = Agreements(chain)
    agreement, run = calls.read(id), calls.run_record(id)
    entries = [("Registry", "dataset", (agreement.terms.dataset,)), ("Registry", "model", (agreement.terms.model,))]
    dataset, model = chain.call_many(entries)
    terms = agreement.terms
    return ChainRecord(
        agreement=agreement.id,
        ctx=run.ctx,
        seed=run.seed,
        recipe=terms.recipe,
        graph=model["graph"],
        initial_model=model["initialRoot"],
        dataset_root=dataset["root"],
        dataset_count=dataset["count"],
        steps=terms.steps,
        segment_steps=terms.segment_steps,
        group_leaves=terms.group_leaves,
        drawn_segments=terms.audit.segments,
        count=run.count,
        step=run.step,
        transcript_root=run.transcript_root,
        model_root=run.model_root,
        delivery=run.delivery,
        challenge=challenge,
        round=round,
    )
