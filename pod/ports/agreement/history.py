"""What a checker reads of an agreement's whole life, from the chain alone and without a key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fitchain.pod.ports.agreement.audits import Audit, Audits
from fitchain.pod.ports.agreement.calls import Agreements
from fitchain.pod.ports.agreement.terms import Agreement, AskedAudit, Outcome, Phase, RunRecord, State, Terms
from fitchain.pod.ports.chain.base import Block, Event
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.registry import DatasetEntry, ModelEntry, Registry
from fitchain.pod.values.ids import AgreementId, AuditRef

FAILED = (State.DIVERGED, State.CANCELLED, State.FORFEITED, State.REFUNDED, State.HALVED)
MOST_RELATED = 100
"""Agreements beside the one that are looked at: anybody may make any number of them."""


@dataclass(frozen=True)
class Related:
    """Another agreement of the same owner, or of the same scientist with the same model, that
    failed or was given up.

    Args:
        id: the agreement.
        outcome: Diverged (settled by now or not), Cancelled (rejected or taken back), Forfeited
            (late, or an audit's Mismatch or Withheld), Refunded or Halved (an audit, or a dispute,
            without verdict).
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
        agreement, run: as they stand.
        events: every event of the agreement, in order.
        blocks: number -> block (hash, time) of every block that an event stands in.
        dataset, model: what the registry has under the terms' ids.
        paid_to_owner, paid_to_scientist, burned: FIT in base units, credited by the settlement, the
            bond included; 0 before.
        paid_to_verifiers: FIT in base units, credited to the seats of all audits.
        audits: the audit of the terms or of a dispute, and those that were asked for again and
            consented to, as they stand, by their ordinals.
        asked: the audits that were asked for again, whether consented to or not.
        related: other agreements of the same owner, or of the same scientist with the same model,
            that were forfeited, refunded, halved, diverged or cancelled; of the newest
            `MOST_RELATED`.
        beside: how many such agreements there are, whether they failed or not.
        seen_at: the newest block when the chain was read.
    """

    agreement: Agreement
    run: RunRecord
    events: tuple[Event, ...]
    blocks: dict[int, Block]
    dataset: DatasetEntry
    model: ModelEntry
    paid_to_owner: int
    paid_to_scientist: int
    paid_to_verifiers: int
    burned: int
    audits: tuple[Audit, ...]
    asked: tuple[AskedAudit, ...]
    related: tuple[Related, ...]
    beside: int
    seen_at: Block

    @property
    def audit(self) -> Audit | None:
        """The audit of the terms or of a dispute; None where none was opened."""
        return next((audit for audit in self.audits if not audit.ref.ordinal), None)

    def concluded(self, audit: Audit) -> Event | None:
        """The event of an audit's verdict, the newest where a Match was followed by Withheld; None
        while there is none."""
        verdicts = [event for event in self._events(audit) if event.name == "Concluded"]
        return verdicts[-1] if verdicts else None

    def _events(self, audit: Audit) -> list[Event]:
        return [
            event for event in self.events if event.contract == "Audits" and event.args["ordinal"] == audit.ref.ordinal
        ]


def read_history(chain: Chain, id: AgreementId) -> AgreementHistory:
    """Read an agreement's whole life; needs no key.

    Args:
        chain: a connection by the checker's own settings.
        id: the agreement.

    Raises:
        NotFound: this deployment has no agreement of that id.
        ChainUnusable: the node does not answer.
    """
    calls, registry = Agreements(chain), Registry(chain)
    seen_at = chain.block(chain.head())
    agreement = calls.read(id)
    events = tuple(calls.events(id))
    asked = calls.asked_audits(id, events)
    opened = [AuditRef(id), *(each.ref for each in asked if each.consented)]
    audits = [audit for audit in Audits(chain).read_many(opened) if audit.phase is not Phase.NONE]
    beside = _beside(calls, agreement)
    settlements = [event for event in events if event.name in ("Settled", "Cancelled", "Rejected", "PriceReduced")]
    return AgreementHistory(
        agreement=agreement,
        run=calls.run_of(id, events),
        events=events,
        blocks=chain.blocks(event.block for event in events),
        dataset=registry.dataset(agreement.terms.dataset),
        model=registry.model(agreement.terms.model),
        paid_to_owner=_sum(events, "toOwner"),
        paid_to_scientist=_sum(settlements, "toScientist"),
        paid_to_verifiers=_sum(events, "toVerifiers"),
        burned=_sum(events, "burned"),
        audits=tuple(audits),
        asked=tuple(asked),
        related=tuple(_related(calls, agreement, beside[-MOST_RELATED:])),
        beside=len(beside),
        seen_at=seen_at,
    )


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
    verdicts = Audits(calls.chain).verdicts([AuditRef(other.id) for other, _ in failed])
    for (other, outcome), verdict in zip(failed, verdicts, strict=True):
        audited = outcome in (State.FORFEITED, State.REFUNDED, State.HALVED)
        shared = _shared(other.terms, agreement.terms)
        yield Related(other.id, outcome, *shared, verdict if audited else Outcome.NONE)


def _outcome(other: Agreement) -> State:
    return State.DIVERGED if other.diverged and other.state is State.SETTLED else other.state


def _shared(terms: Terms, other: Terms) -> tuple[bool, bool, bool]:
    """Whether owner, dataset, model are the same."""
    return terms.owner == other.owner, terms.dataset == other.dataset, terms.model == other.model
