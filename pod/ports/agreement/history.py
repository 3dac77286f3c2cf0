"""What a checker reads of an agreement's whole life, from the chain alone and without a key.

All of it is read as it stood after one block, in few HTTP requests, however much strangers write on
the chain: nothing that they can lengthen is asked for whole. What a checker needs besides, of other
contracts or of those who judged, is read within the same requests (`besides`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitchain.pod.ports.agreement.audits import Audit, audit_of, audit_reads
from fitchain.pod.ports.agreement.calls import CONTRACTS, agreement_of, asked_audit_of, run_record_of, terms_of
from fitchain.pod.ports.agreement.terms import (
    Agreement,
    AskedAudit,
    AuditTerms,
    Outcome,
    Phase,
    RunRecord,
    State,
    Terms,
)
from fitchain.pod.ports.chain.base import Block, Event
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.reader import RANGE_BLOCKS
from fitchain.pod.ports.chain.reading import Reading, carry_out
from fitchain.pod.ports.chain.reads import Read, ReadBlock, ReadCall, ReadEvents
from fitchain.pod.ports.registry import DatasetEntry, ModelEntry, dataset_entry, model_entry
from fitchain.pod.values.errors import ChainUnusable, NotOnChain
from fitchain.pod.values.ids import AgreementId, AuditRef

FAILED = (State.DIVERGED, State.CANCELLED, State.FORFEITED, State.REFUNDED, State.HALVED)
MOST_RELATED = 25
"""Agreements beside the one that are looked at: anybody may make any number of them."""
MOST_RANGES = 40
"""Ranges of `RANGE_BLOCKS` in which they are looked for, the newest: nine months of blocks of 12 s."""
MOST_AUDITS = 500
"""Audits asked for again that are read. Only those to which the owner consented count, so nobody
else can add to them."""
QUESTIONS = ("AuditAsked", "AuditTakenBack")
"""Events of an agreement of which strangers can make any number."""
MILESTONES = (
    *("Requested", "Accepted", "Begun", "Finished", "DivergedAt", "PriceReduced", "Disputed", "Settled"),
    *("Cancelled", "Rejected", "AuditConsented", "Drawn", "Concluded", "Released", "ReleaseClosed"),
)
"""Events that tell an agreement's life; the first and the last anchor are of them too."""


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
    """An agreement's whole life, as it stood after the block `seen_at`.

    Args:
        agreement, run: as they stand.
        events: its events in order, without the questions for other audits that were not consented
            to: strangers can ask any number of them.
        blocks: number -> block (hash, time) of every block of a milestone, and of every question.
        dataset, model: what the registry has under the terms' ids.
        paid_to_owner, paid_to_scientist, burned: FIT in base units, credited by the settlement, the
            bond included; 0 before.
        paid_to_verifiers: FIT in base units, credited to the seats of all audits.
        audits: the audit of the terms or of a dispute, and those that were asked for again and
            consented to, by their ordinals.
        panels: ordinal -> what the contracts call the panel that it draws from; 0 is the pool.
        asked: the audits that were asked for again and consented to.
        asked_count, consented_count: how often another audit was asked for and consented to.
        related: other agreements of the same owner, or of the same scientist with the same model,
            that were forfeited, refunded, halved, diverged or cancelled; of the newest
            `MOST_RELATED`.
        beside: how many such agreements were found, whether they failed or not.
        beside_whole: whether all of the deployment's blocks could be searched for them.
        seen_at: the block after which all this stood.
    """

    agreement: Agreement
    run: RunRecord
    events: tuple[Event, ...]
    blocks: Mapping[int, Block]
    dataset: DatasetEntry
    model: ModelEntry
    paid_to_owner: int
    paid_to_scientist: int
    paid_to_verifiers: int
    burned: int
    audits: tuple[Audit, ...]
    panels: Mapping[int, int]
    asked: tuple[AskedAudit, ...]
    asked_count: int
    consented_count: int
    related: tuple[Related, ...]
    beside: int
    beside_whole: bool
    seen_at: Block

    @property
    def audit(self) -> Audit | None:
        """The audit of the terms or of a dispute; None where none was opened."""
        return next((audit for audit in self.audits if not audit.ref.ordinal), None)

    def question(self, ref: AuditRef) -> AskedAudit | None:
        """How an audit was asked for again; None for that of the terms or of a dispute."""
        return next((asked for asked in self.asked if asked.ref == ref), None)

    def terms_of(self, audit: Audit) -> AuditTerms:
        """What was agreed about an audit."""
        question = self.question(audit.ref)
        return question.terms if question else self.agreement.terms.audit

    def concluded(self, audit: Audit) -> Event | None:
        """The event of an audit's verdict, the newest where a Match was followed by Withheld; None
        while there is none."""
        verdicts = [event for event in self.events_of(audit) if event.name == "Concluded"]
        return verdicts[-1] if verdicts else None

    def events_of(self, audit: Audit) -> list[Event]:
        """The events of one of its audits, in order."""
        return [
            event for event in self.events if event.contract == "Audits" and event.args["ordinal"] == audit.ref.ordinal
        ]

    @property
    def milestones(self) -> tuple[Event, ...]:
        """The events that tell its life, in order."""
        return _milestones(self.events)


def read_history(chain: Chain, id: AgreementId, height: int | None = None) -> AgreementHistory:
    """Read an agreement's whole life; needs no key.

    Args:
        chain: a connection by the checker's own settings.
        id: the agreement.
        height: the block after which it is read; None takes `chain.head()`.

    Raises:
        NotOnChain: this deployment has no agreement of that id.
        ChainUnusable: the node does not answer, or does not give the agreement's events.
    """
    return carry_out(chain, history_reading(chain, id, chain.head() if height is None else height))


# One step after another, each of which needs the one before: the order is that of the requests.
def history_reading(chain: Chain, id: AgreementId, height: int, with_others: bool = True) -> Reading[AgreementHistory]:
    """The same as a reading; arguments and errors are those of `read_history`. Without others the
    blocks are not searched for agreements beside this one."""
    first = AuditRef(id)
    kept, run, counts, seen_at, *answers = yield [
        ReadCall("Agreements", "agreement", (id,), height),
        ReadCall("ProofOfTrain", "run", (id,), height),
        ReadCall("Agreements", "askedAndConsented", (id,), height),
        ReadBlock(height),
        *audit_reads(first, height),
    ]
    if State(kept["state"]) is State.NONE:
        raise NotOnChain(
            f"the deployment at {chain.deployment.addresses['Agreements']} on chain {chain.chain_id} has no"
            f" agreement {id} up to block {height}",
            "see `fitchain job list`; a job of another deployment needs that deployment's settings",
        )
    audits = {0: audit_of(first, answers)}
    panels = {0: int(kept["panel"])}
    own = ReadEvents(CONTRACTS, id=id, without=QUESTIONS, from_block=kept["requestBlock"], to_block=height)
    searches = list(_searches(chain, kept["owner"], kept["scientist"], height)) if with_others else []
    events, *searched = yield [own, *searches]
    if not events or events[0].name != "Requested":
        raise ChainUnusable(f"the node does not give the request of {id}", "ask a node that keeps the whole history")
    terms = terms_of(events[0])
    beside = _beside(id, terms, searched)
    consented = [AuditRef(id, event.args["ordinal"]) for event in events if event.name == "AuditConsented"]
    if len(consented) > MOST_AUDITS:
        raise ChainUnusable(f"the owner consented to {len(consented)} other audits of {id}, and {MOST_AUDITS} are read")
    newest = beside[-MOST_RELATED:]
    dataset, model, *answers = yield [
        ReadCall("Registry", "dataset", (terms.dataset,), height),
        ReadCall("Registry", "model", (terms.model,), height),
        *(read for ref in consented for read in _question_reads(ref, height)),
        *(read for other, _ in newest for read in _outcome_reads(other, height)),
    ]
    size = len(_question_reads(first, height))
    questions = []
    for ref in consented:
        question, *of_audit = answers[:size]
        questions.append(question)
        audits[ref.ordinal], panels[ref.ordinal] = audit_of(ref, of_audit), int(question["panel"])
        del answers[:size]
    related = tuple(_related(terms, newest, answers))
    milestones = _milestones(tuple(events))
    blocks = sorted({event.block for event in milestones} | {question["requestBlock"] for question in questions})
    answers = yield [*(_asked_read(id, question, height) for question in questions), *map(ReadBlock, blocks)]
    asked = [_asked(ref, *answered) for ref, *answered in zip(consented, questions, answers, strict=False)]
    headers = dict(zip(blocks, answers[len(questions) :], strict=True))
    chain.know_times(headers.values())
    settlements = [event for event in events if event.name in ("Settled", "Cancelled", "Rejected", "PriceReduced")]
    registered = model_entry(terms.model, model)
    if registered is None:
        raise ChainUnusable(f"the node gives no model {terms.model}, which {id} names")
    return AgreementHistory(
        agreement=agreement_of(events[0], kept, run),
        run=run_record_of(terms.steps, [event for event in events if event.contract == "ProofOfTrain"]),
        events=tuple(events),
        blocks=headers,
        dataset=dataset_entry(terms.dataset, dataset),
        model=registered,
        paid_to_owner=_sum(events, "toOwner"),
        paid_to_scientist=_sum(settlements, "toScientist"),
        paid_to_verifiers=_sum(events, "toVerifiers"),
        burned=_sum(events, "burned"),
        audits=tuple(audit for audit in audits.values() if audit.phase is not Phase.NONE),
        panels=panels,
        asked=tuple(asked),
        asked_count=counts[0],
        consented_count=counts[1],
        related=related,
        beside=len(beside),
        beside_whole=with_others and None not in searched and _searched_whole(chain, height),
        seen_at=seen_at,
    )


def _searches(chain: Chain, owner: str, scientist: str, height: int) -> Iterator[ReadEvents]:
    """Where the other agreements of both parties are looked for: ranges of blocks, each of which
    the node may refuse."""
    for start, upto in searched_ranges(chain, height):
        for indexed in ({"owner": owner}, {"scientist": scientist}):
            yield ReadEvents(("Agreements",), "Requested", indexed, from_block=start, to_block=upto, optional=True)


def searched_ranges(chain: Chain, height: int) -> Iterator[tuple[int, int]]:
    """First and last blocks of the ranges in which is looked for what anybody may write any number
    of, oldest first: at most `MOST_RANGES`, the newest."""
    first = max(chain.deployment.block, height - MOST_RANGES * RANGE_BLOCKS + 1)
    for start in range(first, height + 1, RANGE_BLOCKS):
        yield start, min(start + RANGE_BLOCKS - 1, height)


def _searched_whole(chain: Chain, height: int) -> bool:
    return height - chain.deployment.block < MOST_RANGES * RANGE_BLOCKS


def _beside(
    id: AgreementId, terms: Terms, searched: Iterable[Sequence[Event] | None]
) -> list[tuple[AgreementId, Terms]]:
    """Other agreements of the same owner, or of the same scientist with the same model, oldest
    first."""
    events = {event.args["id"]: event for events in searched for event in events or () if event.args["id"] != id}
    ordered = sorted(events.items(), key=lambda named: (named[1].block, named[1].log_index))
    others = [(AgreementId(other), terms_of(event)) for other, event in ordered]
    return [(other, theirs) for other, theirs in others if theirs.owner == terms.owner or theirs.model == terms.model]


def _outcome_reads(id: AgreementId, height: int) -> list[Read]:
    """What tells how another agreement ended."""
    return [
        ReadCall("Agreements", "agreement", (id,), height),
        ReadCall("ProofOfTrain", "run", (id,), height),
        ReadCall("Audits", "audit", (id, 0), height),
    ]


def _related(terms: Terms, others: Sequence[tuple[AgreementId, Terms]], answers: Sequence[Any]) -> Iterator[Related]:
    """Of other agreements those that failed, from what was read of each."""
    for (id, theirs), kept, run, audit in zip(others, answers[::3], answers[1::3], answers[2::3], strict=True):
        state = State(kept["state"])
        outcome = State.DIVERGED if run["diverged"] and state is State.SETTLED else state
        if outcome in FAILED:
            audited = outcome in (State.FORFEITED, State.REFUNDED, State.HALVED)
            verdict = Outcome(audit["verdict"]) if audited else Outcome.NONE
            yield Related(id, outcome, *_shared(theirs, terms), verdict)


def _shared(terms: Terms, other: Terms) -> tuple[bool, bool, bool]:
    """Whether owner, dataset, model are the same."""
    return terms.owner == other.owner, terms.dataset == other.dataset, terms.model == other.model


def _question_reads(ref: AuditRef, height: int) -> list[Read]:
    """What tells how an audit that was asked for again stands."""
    return [ReadCall("Agreements", "asking", (ref.agreement, ref.ordinal), height), *audit_reads(ref, height)]


def _asked_read(id: AgreementId, question: Mapping[str, Any], height: int) -> ReadEvents:
    """The event of a question, in the one block that it stands in."""
    block = question["requestBlock"]
    return ReadEvents(("Agreements",), "AuditAsked", {"id": id}, from_block=block, to_block=min(block, height))


def _asked(ref: AuditRef, question: Mapping[str, Any], events: Sequence[Event]) -> AskedAudit:
    """The question among those that were asked in its block."""
    for event in events:
        if event.args["ordinal"] == ref.ordinal:
            return asked_audit_of(event, consented=True)
    raise ChainUnusable(
        f"the node does not give the question for the audit {ref}, of block {question['requestBlock']}",
        "ask a node that keeps the whole history",
    )


def _milestones(events: Sequence[Event]) -> tuple[Event, ...]:
    """Of an agreement's events those that tell its life, the first and the last anchor among them."""
    anchors = [number for number, event in enumerate(events) if event.name == "Anchored"]
    ends = {*anchors[:1], *anchors[-1:]}
    return tuple(event for number, event in enumerate(events) if event.name in MILESTONES or number in ends)


def _sum(events: Iterable[Event], name: str) -> int:
    return sum(event.args.get(name, 0) for event in events)
