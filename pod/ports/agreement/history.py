"""What a checker reads of an agreement's whole life, from the chain alone and without a key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fitchain.pod.ports.agreement.audits import Audit, Audits
from fitchain.pod.ports.agreement.calls import Agreements
from fitchain.pod.ports.agreement.terms import Agreement, Outcome, Phase, RunRecord, State, Terms
from fitchain.pod.ports.chain.base import Block, Event
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.values.digest import Digest, Root
from fitchain.pod.values.ids import AgreementId, ModelId

FAILED = (State.DIVERGED, State.CANCELLED, State.FORFEITED, State.REFUNDED)
MOST_RELATED = 100
"""Agreements beside the one that are looked at: anybody may make any number of them."""


@dataclass(frozen=True)
class Related:
    """Another agreement of the same owner, or of the same scientist with the same model, that
    failed or was given up.

    Args:
        id: the agreement.
        outcome: Diverged (settled by now or not), Cancelled (rejected or taken back), Forfeited
            (late, or an audit's Mismatch or Withheld) or Refunded (an audit without verdict).
        same_owner, same_dataset, same_model: what it shares.
        verdict: what its audit concluded; NONE where there was none.
    """

    id: AgreementId
    outcome: State
    same_owner: bool
    same_dataset: bool
    same_model: bool
    verdict: Outcome = Outcome.NONE


@dataclass(frozen=True)
class AgreementHistory:
    """An agreement's whole life.

    Args:
        agreement, proof: as they stand.
        events: every event of the agreement, in order.
        blocks: number -> block (hash, time) of every block that an event stands in.
        dataset_root, dataset_count, dataset_card: what the registry has under the terms' dataset;
            the card's CID in bytes.
        model_graph, initial_model_root, model_parent: what it has under their model.
        paid_to_owner, paid_to_scientist, burned: FIT in base units, credited by the settlement, the
            bond included; 0 before.
        related: other agreements of the same owner, or of the same scientist with the same model,
            that were forfeited, refunded, diverged or cancelled; of the newest `MOST_RELATED`.
        seen_at: the newest block when the chain was read.
        audit: its audit or dispute as it stands; None where none was opened.
        paid_to_verifiers: FIT in base units, credited to the verifiers of its audit.
        beside: how many such agreements there are, whether they failed or not.
    """

    agreement: Agreement
    proof: RunRecord
    events: tuple[Event, ...]
    blocks: dict[int, Block]
    dataset_root: Root
    dataset_count: int
    dataset_card: bytes
    model_graph: Digest
    initial_model_root: Root
    model_parent: ModelId
    paid_to_owner: int
    paid_to_scientist: int
    burned: int
    related: tuple[Related, ...]
    seen_at: Block
    audit: Audit | None = None
    paid_to_verifiers: int = 0
    beside: int = 0

    @property
    def concluded(self) -> Event | None:
        """The event of the audit's verdict, the newest where a Match was followed by Withheld; None
        while there is none."""
        verdicts = [event for event in self.events if event.name == "Concluded"]
        return verdicts[-1] if verdicts else None


def read_history(chain: Chain, id: AgreementId) -> AgreementHistory:
    """Read an agreement's whole life; needs no key.

    Args:
        chain: a connection by the checker's own settings.
        id: the agreement.

    Raises:
        NotFound: this deployment has no agreement of that id.
        ChainUnusable: the node does not answer.
    """
    calls = Agreements(chain)
    seen_at = chain.block(chain.head())
    agreement = calls.read(id)
    events = tuple(calls.events(id))
    entries = [("Registry", "dataset", (agreement.terms.dataset,)), ("Registry", "model", (agreement.terms.model,))]
    dataset, model = chain.call_many(entries)
    beside = _beside(calls, agreement)
    return AgreementHistory(
        agreement=agreement,
        proof=calls.run_record(id),
        events=events,
        blocks=chain.blocks(event.block for event in events),
        dataset_root=dataset["root"],
        dataset_count=dataset["count"],
        dataset_card=dataset["cardCid"],
        model_graph=model["graph"],
        initial_model_root=model["initialRoot"],
        model_parent=model["parent"],
        paid_to_owner=_sum(events, "toOwner"),
        paid_to_scientist=_sum(events, "toScientist"),
        burned=_sum(events, "burned"),
        related=tuple(_related(calls, agreement, beside[-MOST_RELATED:])),
        seen_at=seen_at,
        audit=_audit(chain, agreement),
        paid_to_verifiers=_sum(events, "toVerifiers"),
        beside=len(beside),
    )


def _audit(chain: Chain, agreement: Agreement) -> Audit | None:
    if not agreement.terms.audit.seats:
        return None
    audit = Audits(chain).read(agreement.id)
    return None if audit.phase == Phase.NONE else audit


def _sum(events: Iterable[Event], name: str) -> int:
    return sum(event.args.get(name, 0) for event in events)


def _beside(calls: Agreements, agreement: Agreement) -> list[AgreementId]:
    """Other agreements of the same owner, or of the same scientist with the same model, oldest
    first: two questions to the node, however many agreements strangers make."""
    asked = [*calls.list(owner=agreement.terms.owner), *calls.list(scientist=agreement.scientist)]
    others = [
        id for id in dict.fromkeys(asked) if id != agreement.id and any(_shared(calls.terms(id), agreement.terms))
    ]
    return sorted(others, key=calls.requested_block)


def _related(calls: Agreements, agreement: Agreement, others: Sequence[AgreementId]) -> Iterable[Related]:
    outcomes = [(other, _outcome(other)) for other in calls.read_many(others)]
    failed = [(other, outcome) for other, outcome in outcomes if outcome in FAILED]
    verdicts = Audits(calls.chain).verdicts([other.id for other, _ in failed])
    for (other, outcome), verdict in zip(failed, verdicts, strict=True):
        audited = outcome in (State.FORFEITED, State.REFUNDED)
        shared = _shared(other.terms, agreement.terms)
        yield Related(other.id, outcome, *shared, verdict if audited else Outcome.NONE)


def _outcome(other: Agreement) -> State:
    return State.DIVERGED if other.diverged and other.state is not State.REFUNDED else other.state


def _shared(terms: Terms, other: Terms) -> tuple[bool, bool, bool]:
    """Whether owner, dataset, model are the same."""
    return terms.owner == other.owner, terms.dataset == other.dataset, terms.model == other.model
