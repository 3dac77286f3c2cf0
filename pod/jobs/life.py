"""A job's history from what the chain tells: the lines that a pod writes of what it sends for a
job, with the times of their blocks. What it collects, and whoever brings an audit on, no event of
the job tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from fitchain.pod.compute.checkpoint import read_leaves, state_steps
from fitchain.pod.jobs import history
from fitchain.pod.jobs.history import Entry
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import REJECT
from fitchain.pod.ports.agreement import Outcome, RunRecord, State
from fitchain.pod.ports.agreement.calls import cid_in
from fitchain.pod.ports.chain import Event
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.errors import FitchainError
from fitchain.pod.values.ids import AgreementId, AuditRef, Subject
from fitchain.pod.values.job_folder import RECIPE
from fitchain.pod.values.recipe import Recipe

HistoryLine = tuple[Subject, Entry, str | None, float]
"""A line: about what, what happened, what makes it one of its kind, when."""
Told = TypeVar("Told", AgreementId, AuditRef)


def note_sent(home: Home, life: Callable[[Home, Told, list[Event]], Iterable[HistoryLine]], subject: Told) -> None:
    """Write down what was sent about a job, or an audit of it, by whoever was cut off before that.

    Args:
        home: opened with its key.
        life: what its party writes, by the chain's events: `owners_life`, say.
        subject: what it is about.

    Raises:
        ChainUnusable: the node does not answer.
    """
    id = subject.agreement if isinstance(subject, AuditRef) else AgreementId(subject)
    write_missing(home, id, life(home, subject, home.agreements.events(id)))


def write_missing(home: Home, id: AgreementId, lines: Iterable[HistoryLine]) -> None:
    """Write what the chain says that this home did, and its history lacks: a pod that is cut off
    between a transaction and its line finds it done, and does it no more.

    Args:
        home: opened with its key.
        id: the job.
        lines: what the chain says happened to it, each with the `once` with which a pod writes it.

    Raises:
        ChainUnusable: the node does not answer.
    """
    journal = home.journal
    written = {_place(line.entry, line.ordinal) for line in journal.history(id)}
    for subject, entry, once, at in lines:
        ordinal = subject.ordinal if isinstance(subject, AuditRef) else 0
        if once is None:
            is_missing = _place(entry, ordinal) not in written
        else:
            is_missing = not journal.has(subject, type(entry), once)
        if is_missing:
            journal.record(subject, _with_cost(home, entry), once, at)


def _with_cost(home: Home, entry: Entry) -> Entry:
    """The entry with what its transaction cost, where this account sent it."""
    if not isinstance(entry, history.Sent) or entry.transaction is None:
        return entry
    receipt = home.chain.receipt(entry.transaction)
    return entry if receipt is None or receipt.sender != home.keys.address else replace(entry, gas=receipt.gas_used)


def _place(entry: Entry | history.Unrecognised, ordinal: int) -> tuple[str, int, object]:
    """What tells a line that is written without a `once` from others of its kind."""
    return entry.kind, ordinal, getattr(entry, "round", None)


# As many branches as the chain has events of which an owner's pod writes.
def owners_life(home: Home, id: AgreementId, events: list[Event]) -> Iterator[HistoryLine]:
    """What an owner's pod wrote of a job, its checkpoints among them where the folder has them."""
    first, run = 0, home.agreements.run_of(id, events)
    for event in events:
        args, sent, at = event.args, history.Paid(transaction=event.transaction), float(event.timestamp)
        ref = AuditRef(id, args.get("ordinal", 0))
        match event.contract, event.name:
            case "Agreements", "Accepted":
                yield id, history.Accepted(**sent), "", at
            case "Agreements", "Rejected":
                yield id, history.Rejected(_reason(home, id), **sent), "", at
            case "ProofOfTrain", "Begun":
                yield id, history.Begun(args["seed"], **sent), str(args["seed"]), at
            case "ProofOfTrain", "Anchored":
                yield from _checkpoints(home, id, run, range(first, first := args["count"]), at)
                yield id, history.Anchored(first, event.block, **sent), str(first), at
            case "ProofOfTrain", "Finished":
                yield from _checkpoints(home, id, run, range(first, args["count"]), at)
                root = args["transcriptRoot"]
                yield from _held_out(home, id, run, at)
                yield id, history.Finished(root, args["modelRoot"], **sent), str(root), at
            case "ProofOfTrain", "DivergedAt":
                yield from _checkpoints(home, id, run, range(first, args["count"]), at)
                yield from _held_out(home, id, run, at)
                root = args["transcriptRoot"]
                yield id, history.Diverged("", root, args["modelRoot"], **sent), str(root), at
            case "Agreements", "AuditConsented":
                yield ref, history.Consented(home.agreements.asked_audit(ref).asker, **sent), "", at
            case "Audits", "EvidenceSubmitted" if (cid := cid_in(args["evidenceCid"])) is not None:
                round = args["round"]
                yield ref, history.EvidenceGiven(round, str(cid), **sent), str(round), at
            case "Audits", "Released" if args["by"] == home.keys.address:
                yield ref, history.Released(str(cid_in(args["identityCid"])), **sent), "", at


def _reason(home: Home, id: AgreementId) -> str:
    """Why a request was declined, as it was written down before that was sent."""
    decision = home.journal.decision(id)
    if decision is not None and decision.decision == REJECT:
        return decision.reason
    return home.journal.last(id, history.Refused).reason if home.journal.happened(id, history.Refused) else ""


def _checkpoints(home: Home, id: AgreementId, run: RunRecord, indices: range, at: float) -> Iterator[HistoryLine]:
    """Some of a job's checkpoints, as its folder has them."""
    folder = home.job_folder(id)
    try:
        leaves = read_leaves(folder.path) if folder.leaves.exists() else ()
    except FitchainError:
        return  # the pod will say what is wrong with them when it reads them
    kept = set(state_steps(folder.path))
    for checkpoint in leaves[indices.start : indices.stop]:
        leaf, digest = checkpoint.leaf, checkpoint.leaf.digest(run.ctx, run.seed)
        entry = history.CheckpointRecorded(leaf.index, leaf.step, digest, checkpoint.metrics, leaf.step in kept)
        yield id, entry, str(leaf.index), at


def _held_out(home: Home, id: AgreementId, run: RunRecord, at: float) -> Iterator[HistoryLine]:
    """What a job's delivered model does on its held-out records, as its folder has it."""
    folder = home.job_folder(id)
    try:
        delivered = read_leaves(folder.path)[run.delivered] if folder.leaves.exists() else None
        recipe = Recipe.parse((folder.path / RECIPE).read_bytes())
    except (FitchainError, OSError, IndexError):
        return  # as of the checkpoints
    if delivered is not None and delivered.held_out is not None:
        yield id, history.HeldOutTold.of(recipe, None, delivered.held_out), str(run.transcript_root), at


def scientists_life(home: Home, id: AgreementId, events: list[Event]) -> Iterator[HistoryLine]:
    """What a scientist's pod wrote of a job; notes and result it reads again."""
    is_disputed = any(event.name == "Disputed" for event in events)
    accepted_until = 0 if is_disputed else home.agreements.read(id).dispute_deadline
    for event in events:
        args, sent, at = event.args, history.Paid(transaction=event.transaction), float(event.timestamp)
        match event.contract, event.name:
            case "Agreements", "Requested":
                terms = home.agreements.terms(id)
                yield id, history.Requested(terms.dataset, terms.model, str(terms.price)), "", at
            case "Agreements", "Accepted":
                yield id, history.Accepted(transaction=event.transaction), "", at
            case "ProofOfTrain", "Begun":
                yield id, history.Training(), "", at
            case "Agreements" | "Audits", "Complained" if not args.get("ordinal"):
                yield id, history.Complained("", **sent), "", at
            case "Agreements", "Disputed":
                yield id, history.Disputed(**sent), str(event.transaction), at
            case "Agreements", "Settled" if at <= accepted_until and args["state"] == State.SETTLED:
                yield id, history.ResultAccepted(**sent), str(event.transaction), at
            case "Audits", "ReleaseClosed" if not args["ordinal"] and _is_accepted(home, id, event):
                yield id, history.ReleaseAccepted(**sent), str(event.transaction), at


def _is_accepted(home: Home, id: AgreementId, closed: Event) -> bool:
    """Whether a release window was ended by the scientist, who alone can before its time."""
    return closed.timestamp <= home.audits.read(AuditRef(id)).deadline


def verifiers_life(home: Home, ref: AuditRef, events: list[Event]) -> Iterator[HistoryLine]:
    """What a verifier's pod wrote of its seat."""
    own, sitting = home.keys.address, dict[int, str]()  # who joined which seat last: a vote tells the seat alone
    for event in events:
        if event.contract != "Audits" or event.args.get("ordinal") != ref.ordinal:
            continue
        args, sent, at = event.args, history.Paid(transaction=event.transaction), float(event.timestamp)
        match event.name:
            case "Drawn" if own in args["drawn"]:
                seat = args["drawn"].index(own)
                yield ref, history.Drawn(args["round"]), f"{args['round']}/{seat}", at
            case "Joined":
                sitting[args["seat"]] = args["verifier"]
                if args["verifier"] == own:
                    yield ref, history.Joined(_round(events, event), **sent), None, at
            case "Declined" if args["verifier"] == own:
                yield ref, history.Declined(_round(events, event), "", **sent), None, at
            case "Committed" if sitting.get(args["seat"]) == own:
                yield ref, history.Committed(args["round"], **sent), None, at
            case "Revealed" if args["verifier"] == own:
                outcome = Outcome(args["outcome"]).name
                yield ref, history.Revealed(args["round"], outcome, **sent), None, at
            case "Released" if args["by"] == own:
                cid = str(cid_in(args["identityCid"]))
                yield ref, history.Released(cid, _round(events, event), **sent), None, at


def _round(events: list[Event], of: Event) -> int:
    """The round in which a seat was taken, given back or released: that of the newest draw before."""
    before = [event for event in events[: events.index(of)] if event.name == "Drawn"]
    drawn = [event.args["round"] for event in before if event.args["ordinal"] == of.args["ordinal"]]
    return int(drawn[-1]) if drawn else 0


def askers_life(home: Home, ref: AuditRef, events: list[Event]) -> Iterator[HistoryLine]:
    """What was written of a question that this home asked."""
    for event in events:
        args, at = event.args, float(event.timestamp)
        if args.get("ordinal") != ref.ordinal:
            continue
        match event.contract, event.name:
            case "Agreements", "AuditAsked":
                terms = home.agreements.asked_audit(ref).terms
                yield ref, history.AskedAgain(str(terms.panel), amount_text(terms.fees)), "", at
            case "Agreements", "AuditTakenBack":
                yield ref, history.TakenBack(transaction=event.transaction), "", at
