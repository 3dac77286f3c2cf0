"""The chain's record: what the chain says of an ended training and of an audit of it, and nothing
that a party says.

Everything in evidence is compared with these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from fitchain.pod.ports.agreement import Agreements, Audit, Audits, audit_id
from fitchain.pod.ports.agreement.descent import TrainedParent, trained_parents
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.proof.audit.challenge import audited_segments
from fitchain.pod.values.digest import Digest, Root
from fitchain.pod.values.errors import NotFound
from fitchain.pod.values.ids import AgreementId, AuditId, AuditRef
from fitchain.pod.values.work import StepWork


# Many fields: each is one of the chain's words, and all of them are compared.
@dataclass(frozen=True)
class ChainRecord:
    """An ended training as the chain has it, and the audit whose evidence is looked at.

    Args:
        ref: the audit, of agreement and ordinal.
        audit: its id, to which votes and traces are bound.
        ctx, seed: what stands in every leaf; the order seed.
        noise_root: over the keys of the noise that the owner committed to; zero without.
        recipe, graph, initial_model, dataset_root, dataset_count: as agreed and registered.
        charge: what the owner's privacy ledger was charged by the terms; 0 without one.
        environment, work: digest of the environment record, and what a step takes, by the terms.
        steps, segment_steps, group_leaves: T, k, A of the terms.
        drawn_segments: q of the audit.
        count: leaves of the transcript.
        step: steps that the ending covers; fewer than T where the run diverged.
        delivered: index of the leaf whose model is delivered.
        transcript_root: recorded by the ending.
        model_root, last_model_root: recorded by the ending, of the delivered and of the last leaf.
        delivery: CID of the sealed delivery; None where the chain has none that can be read.
        segment_seed: what the audited segments are drawn by.
        round: of the vote, from 0.
        evidence_round: the round for which the evidence was sealed. In a second vote over evidence
            that was withheld it may be the round before.
        parents: jobs before this one that trained a model from which its own descends, on the same
            records or beside the same ledger; only where they were asked for.
    """

    ref: AuditRef
    audit: AuditId
    ctx: Digest
    seed: Digest
    noise_root: Digest
    recipe: Digest
    graph: Digest
    initial_model: Root
    dataset_root: Root
    dataset_count: int
    charge: int
    environment: Digest
    work: StepWork
    steps: int
    segment_steps: int
    group_leaves: int
    drawn_segments: int
    count: int
    step: int
    delivered: int
    transcript_root: Root
    model_root: Root
    last_model_root: Root
    delivery: Cid | None
    segment_seed: Digest
    round: int
    evidence_round: int
    parents: tuple[TrainedParent, ...] = ()

    @property
    def agreement(self) -> AgreementId:
        """The audited agreement."""
        return self.ref.agreement

    @property
    def diverged(self) -> bool:
        """Whether the run ended before its last step."""
        return self.step < self.steps

    @property
    def opens_delivery(self) -> bool:
        """Whether the delivery is opened and compared, and the job's identity stands in the
        evidence: an audit that is asked for again leaves the model to whom it was delivered, and
        compares the last state with the recorded root."""
        return self.ref.ordinal == 0

    @cached_property
    def audited(self) -> tuple[int, ...]:
        """The segments that are audited, rising."""
        return audited_segments(self.segment_seed, self.count, self.delivered, self.diverged, self.drawn_segments)

    @cached_property
    def leaves(self) -> tuple[int, ...]:
        """The leaves that evidence opens, rising: those at both ends of each audited segment."""
        return tuple(sorted({leaf for j in self.audited for leaf in (j, j + 1) if leaf < self.count}))

    @property
    def unsalted(self) -> frozenset[int]:
        """The leaves in which the state digest itself stands: the first, the delivered and the
        last."""
        return frozenset((0, self.delivered, self.count - 1))

    def step_of(self, leaf: int) -> int:
        """Steps completed at a leaf."""
        return min(leaf * self.segment_steps, self.steps)


def read_chain_record(chain: Chain, audit: Audit, evidence_round: int | None = None) -> ChainRecord:
    """Read the record of an ended training and of an audit of it.

    Args:
        chain: a connection by the reader's own settings.
        audit: as it stands; what is audited is fixed.
        evidence_round: the round for which the evidence was sealed; None takes the audit's own.

    Raises:
        NotFound: this deployment has no such agreement, or what is audited is not fixed yet.
        ChainUnusable: the node does not answer.
    """
    calls = Agreements(chain)
    terms, run = calls.terms(audit.id), calls.run_record(audit.id)
    # Not by `Registry`, which refuses a dataset whose card is no CID: that would keep verifiers
    # from voting.
    dataset, model = chain.call_many(
        [("Registry", "dataset", (terms.dataset,)), ("Registry", "model", (terms.model,))],
    )
    return ChainRecord(
        ref=audit.ref,
        audit=audit_id(audit.ref),
        ctx=run.ctx,
        seed=run.seed,
        noise_root=run.noise_root,
        recipe=terms.recipe,
        graph=model["graph"],
        initial_model=terms.model_root,
        dataset_root=terms.dataset_root,
        dataset_count=dataset["count"],
        charge=terms.charge,
        environment=terms.environment,
        work=terms.work,
        steps=terms.steps,
        segment_steps=terms.segment_steps,
        group_leaves=terms.group_leaves,
        drawn_segments=calls.audit_terms(audit.ref).drawn_segments,
        count=run.count,
        step=run.step,
        delivered=run.delivered,
        transcript_root=run.transcript_root,
        model_root=run.model_root,
        last_model_root=run.last_model_root,
        delivery=run.delivery,
        segment_seed=_segment_seed(chain, audit),
        round=audit.round,
        evidence_round=audit.round if evidence_round is None else evidence_round,
    )


def with_parents(chain: Chain, record: ChainRecord) -> ChainRecord:
    """The same record, with the jobs from which the model descends.

    Raises:
        ChainUnusable: the node does not answer.
    """
    calls = Agreements(chain)
    terms = calls.terms(record.agreement)
    before = calls.requested_block(record.agreement)
    return replace(record, parents=trained_parents(chain, terms.owner, terms.dataset, terms.model, before))


def _segment_seed(chain: Chain, audit: Audit) -> Digest:
    if (seed := Audits(chain).segment_seed(audit.ref)) is None:
        raise NotFound(
            f"what the audit of {audit.ref.short} looks at is not fixed yet", "wait until its verifiers have joined"
        )
    return seed
