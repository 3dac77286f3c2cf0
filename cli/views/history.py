"""A job as the command line shows it: status, cost, and its history in sentences.

`job show` prints it once, `job watch` again and again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, assert_never

from fitchain.cli.views import audits, cost, curves, panels
from fitchain.cli.views.amounts import clock, counted, format_duration, size_text
from fitchain.cli.views.curves import sparkline
from fitchain.cli.views.held_out import held_out_sentence, subgroup_sentences
from fitchain.cli.views.output import KeyValues
from fitchain.pod.jobs import history
from fitchain.pod.jobs.history import AuditEntry
from fitchain.pod.ports.agreement import Agreement, Anchor, AskedAudit, State, Terms
from fitchain.pod.proof.audit.pace import SLOW_HOST
from fitchain.pod.proof.audit.plan import AuditPlan
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.ids import WHOLE_POOL
from fitchain.pod.values.job_folder import Kept

if TYPE_CHECKING:
    from fitchain.pod.jobs.job_status import JobStatus
    from fitchain.pod.jobs.journal import Line

KEPT: Mapping[Kept, str] = {
    Kept.RECORDS: "the records' copy",
    Kept.KEYS: "the job's identity",
    Kept.SEAT_KEYS: "the seat's identities",
    Kept.STATES: "kept states",
    Kept.EVIDENCE: "what was left of its evidence",
    Kept.TRAINING: "leaves and what opens them",
    Kept.MODEL: "the trained model",
    Kept.RISK_REPORT: "the privacy-risk report",
}
"""How people call what a pod keeps of a job."""
ENDED: Mapping[history.Ended, str] = {
    history.Ended.AUDIT: "no other audit can be consented to",
    history.Ended.REPLAY: "nothing can be replayed",
    history.Ended.REPLAY_FROM_STATES: "a replay trains from the beginning",
    history.Ended.OPENING: "what was sealed to that opens here no more",
}
"""What cannot be done any more, in words."""


def state_name(status: JobStatus) -> str:
    """The state in a word, with the phase of an audit that is not over; that a run diverged
    outlives its settlement."""
    state, word = status.agreement.state, status.agreement.state.name.capitalize()
    if status.audit is not None and (state is State.AUDITING or status.audit.audit.phase.releasing):
        return f"{word} ({audits.phase_name(status.audit.audit)})"
    if state in (State.SETTLED, State.HALVED) and status.agreement.diverged:
        return f"{word} (diverged)"
    return word


def spent(status: JobStatus) -> str:
    """The gas used so far, and in how many transactions."""
    return f"{status.gas:,} in {counted(status.transactions, 'transaction')}"


def why_declined(status: JobStatus) -> str:
    """Why the owner declined, as far as this home knows it."""
    if status.agreement.state is not State.CANCELLED:
        return ""
    entries = [line.entry for line in status.history]
    reasons = [entry.reason for entry in entries if isinstance(entry, history.Refused | history.Rejected)]
    return reasons[-1] if reasons else ""


def describe(status: JobStatus, unread: str = "") -> KeyValues:
    """Where a job stands, in labelled lines.

    Args:
        status: of the job.
        unread: what was said to this home about it and is not read.
    """
    agreement, run, terms = status.agreement, status.run, status.agreement.terms
    pairs: list[tuple[str, Any]] = [
        ("job", agreement.id),
        ("state", state_name(status) + _deadline(agreement, status.now)),
        *([("declined", reason)] if (reason := why_declined(status)) else []),
        *([("unread", unread)] if unread else []),
        ("owner", terms.owner),
        ("scientist", agreement.scientist),
        ("dataset", terms.dataset),
        ("model", terms.model),
        ("recipe", terms.recipe),
        (
            "training",
            f"{terms.steps} steps in {status.leaf_count} checkpoints, anchored {terms.group_leaves} at a time",
        ),
        ("work", describe_work(terms)),
        ("money", f"price {amount_text(terms.price)} FIT, bond {amount_text(terms.bond)} FIT"),
        (
            "anchored",
            f"{counted(run.count, 'checkpoint')} in {counted(len(run.anchors), 'anchor')}{_blocks(run.anchors)}",
        ),
    ]
    if terms.audit.seats:
        pairs += [*cost.pairs_of(AuditPlan.of(terms)), *panels.pairs_of(status.panel)]
    else:
        pairs.append(("audit", "none, and the terms name nobody who could be asked in a dispute"))
    if agreement.complained:
        pairs.append(("complaint", "the scientist says that what was delivered does not open"))
    if status.audit is not None:
        pairs += audits.pairs_of(status.audit, status.now)
    if status.losses:
        pairs.append(("loss", f"{sparkline([loss for _, loss in status.losses])}  {status.losses[-1][1]:.4f}"))
    pairs += curves.held_out_pairs(status.curves)
    if run.end_block is not None:
        pairs += [("transcript", run.transcript_root), ("trained", run.model_root)]
    pairs.append(("gas", spent(status)))
    return KeyValues(pairs + _waiting(status))


def describe_work(terms: Terms) -> str:
    """What a step asks of a host, as the terms state it, and how long all of it takes at the most."""
    work, seconds = terms.work, SLOW_HOST.seconds(terms.work, terms.steps)
    step = f"a step takes {size_text(work.bytes)} of memory, {counted(work.calls, 'kernel')} and "
    return f"{step}{work.operations:,} operations; all take {format_duration(seconds)} at most on a slow core"


def _waiting(status: JobStatus) -> list[tuple[str, Any]]:
    """What waits for the owner, and how it answers."""
    id = status.agreement.id.short
    pairs: list[tuple[str, Any]] = []
    if status.for_person:
        pairs.append(("waits for you", f"fitchain job approve {id}, or fitchain job reject {id}"))
    if status.held:
        left = format_duration(max(status.agreement.training_deadline - status.now, 0))
        kept = f"else its model stays here, and your bond of {amount_text(status.agreement.terms.bond)} FIT is lost"
        pairs.append(("waits for you", f"held, for {left}: fitchain job deliver {id}; {kept}"))
    for asked in status.questions:
        terms, left = asked.terms, format_duration(max(asked.deadline - status.now, 0))
        drawn = "the whole pool" if terms.panel == WHOLE_POOL else f"the panel {terms.panel.short}"
        question = (
            f"audit {asked.ref.ordinal}, asked for by {asked.asker}: {counted(terms.seats, 'verifier')} of {drawn}"
        )
        answer = f"fitchain job consent {id} --audit {asked.ref.ordinal}"
        pairs.append(("waits", f"{question}, mode {terms.mode}; the owner may consent within {left}: {answer}"))
    return pairs


def _blocks(anchors: Sequence[Anchor]) -> str:
    if not anchors:
        return ""
    shown = ", ".join(str(anchor.block) for anchor in anchors[-6:])
    return f", block{'s' if len(anchors) > 1 else ''} {'… ' if len(anchors) > 6 else ''}{shown}"


def _deadline(agreement: Agreement, now: int) -> str:
    """Who acts next and until when, or what can be done once that time has passed."""
    back = f"the scientist may take it back: fitchain job cancel {agreement.id.short}"
    settle = f"anybody may settle it: fitchain job settle {agreement.id.short}"
    finish = ("the owner must finish", agreement.training_deadline, settle)
    answer = ("the scientist may accept", agreement.dispute_deadline, settle)
    deadlines = {
        State.REQUESTED: ("the owner may accept", agreement.acceptance_deadline, back),
        State.ACCEPTED: finish,
        State.TRAINING: finish,
        State.TRAINED: answer,
        State.DIVERGED: answer,
    }
    if agreement.state not in deadlines:
        return ""
    what, deadline, afterwards = deadlines[agreement.state]
    left = deadline - now
    if left <= 0:
        return f"; {what} no longer, the time for it passed {format_duration(-left)} ago; {afterwards}"
    silence = ", and silence pays the owner" if agreement.state in (State.TRAINED, State.DIVERGED) else ""
    return f"; {what} within {format_duration(left)}{silence}"


def values(status: JobStatus) -> dict[str, Any]:
    """The JSON form of a job's status."""
    agreement, run, terms = status.agreement, status.run, status.agreement.terms
    return {
        "agreement": agreement.id,
        "state": agreement.state.name.capitalize(),
        "diverged": status.agreement.diverged,
        "owner": terms.owner,
        "scientist": agreement.scientist,
        "dataset": terms.dataset,
        "model": terms.model,
        "recipe": terms.recipe,
        "steps": terms.steps,
        "segment_steps": terms.segment_steps,
        "group_leaves": terms.group_leaves,
        "step_work": terms.work.json(),
        "price": amount_text(terms.price),
        "bond": amount_text(terms.bond),
        "acceptance_deadline": agreement.acceptance_deadline,
        "training_deadline": agreement.training_deadline,
        "dispute_deadline": agreement.dispute_deadline,
        "complained": agreement.complained,
        "checkpoints": status.checkpoints,
        "checkpoints_of": status.leaf_count,
        "anchors": [
            {"count": anchor.count, "root": anchor.root, "block": anchor.block, "transaction": anchor.transaction}
            for anchor in run.anchors
        ],
        "transcript_root": run.transcript_root if run.end_block is not None else None,
        "model_root": run.model_root if run.end_block is not None else None,
        "delivered_leaf": run.delivered if run.end_block is not None else None,
        "audit_terms": cost.values(AuditPlan.of(terms)) if terms.audit.seats else None,
        "panel": panels.values(status.panel),
        "audit": audits.values(status.audit, status.now) if status.audit is not None else None,
        "declined": why_declined(status) or None,
        "losses": [list(each) for each in status.losses],
        "curves": curves.values(status.curves),
        "awaits_approval": status.for_person,
        "held": status.held,
        "questions": [_question(asked) for asked in status.questions],
        "loss": status.losses[-1][1] if status.losses else None,
        "accuracy": status.accuracy,
        "transactions": status.transactions,
        "gas": status.gas,
        "history": [
            {"time": line.time, "ordinal": line.ordinal, "kind": line.entry.kind, **line.entry.json()}
            for line in status.history
        ],
    }


def _question(asked: AskedAudit) -> dict[str, Any]:
    """An audit that is asked for again, for `--json`."""
    terms = asked.terms
    return {
        "ordinal": asked.ref.ordinal,
        "asker": asked.asker,
        "panel": terms.panel,
        "verifiers": terms.verifiers,
        "mode": terms.mode.word,
        "fees": amount_text(terms.fees),
        "deadline": asked.deadline,
    }


def sentence(line: Line) -> str:
    """One line of a job's history for people, with its date and time of day."""
    text = describe_entry(line.entry)
    text = f"audit {line.ordinal}: {text}" if line.ordinal else text
    return f"{clock(line.time)}  {text}"


# One sentence a class: as many branches as there are things that can happen to a job.
def describe_entry(entry: history.Entry | history.Unrecognised) -> str:
    """What happened, in one sentence."""
    match entry:
        case history.Requested():
            return "requested; the price is locked"
        case history.RequestedAgain():
            return "requested again: it was not on the chain"
        case history.Checking():
            return "checking the request: graph, policy, host, a rehearsal on mock data"
        case history.Checked():
            return "checked: it can be trained here"
        case history.ApprovalNeeded():
            return "waits for a person: fitchain job approve, or job reject"
        case history.Approved(reason, concerns):
            return f"approved by a person{_answer(reason, concerns)}"
        case history.TurnedDown(reason):
            return f"rejected by a person{_answer(reason)}"
        case history.Assessing(limit_s):
            return f"attacking the model before it leaves, to make its risk report: {limit_s:.0f} s at most"
        case history.Assessed(_, references, hits, members, non_members):
            if not non_members:
                return f"risk report made with {counted(references, 'reference model')}: no record was held out"
            return (
                f"risk report made with {counted(references, 'reference model')}: an attack names"
                f" {hits:,} of {members:,} records at 1 % of false alarms"
            )
        case history.NotAssessed(reason):
            return f"no risk report could be made: {reason}"
        case history.Held(reason):
            return f"held before its end: {reason}; waits for a person: fitchain job deliver"
        case history.DeliveredAllTheSame(reason):
            return f"a person has it delivered all the same{_answer(reason)}"
        case history.Refused(reason):
            return f"refused: {reason}"
        case history.Ignored(reason):
            return f"left unanswered: {reason}; the scientist may take it back once its time has passed"
        case history.Rejected():
            return "rejected; the scientist has its money back"
        case history.Accepted():
            return f"accepted, the bond is locked{_gas(entry)}"
        case history.Late(reason):
            return reason
        case history.Begun():
            return f"begun: the order of the records is fixed{_gas(entry)}"
        case history.SetAside():
            return "the chain was reorganised: what was trained under another seed is set aside"
        case history.Training(_, steps, pid, sandbox):
            where = f", in a sandbox of the level `{sandbox.level}`" if sandbox else ""
            return "training" if steps is None else f"training {steps} steps, in process {pid}{where}"
        case history.Skipped(step, reason):
            return f"the kept state of step {step} is not used: {reason}"
        case history.Resumed(step):
            return f"resumed at step {step}"
        case history.CheckpointRecorded(index, step, _, metrics):
            return f"checkpoint {index} at step {step}{_metrics(metrics)}"
        case history.HeldOutTold(result, scale, assurance, subgroups, counting):
            states = "as the owner states, " if assurance == "unaudited" else ""
            by_group = subgroup_sentences(result, subgroups, scale, counting)
            said = "; ".join([held_out_sentence(result, scale, counting), *by_group])
            return f"{states}{said}{f' ({assurance})' if assurance and not states else ''}"
        case history.Anchored(count, block):
            return f"anchored {counted(count, 'checkpoint')} in block {block}{_gas(entry)}"
        case history.NoteRead(count, _, metrics, block):
            return f"{counted(count, 'checkpoint')} anchored in block {block}{_metrics(metrics or {})}"
        case history.Delivered():
            return "delivered, sealed to the scientist"
        case history.Finished(transcript, model):
            return f"finished: transcript {transcript.short}, model {model.short}{_gas(entry)}"
        case history.Diverged(reason):
            what = "diverged" if not reason or history.is_not_finite(reason) else "cannot be computed any further"
            return f"{what}{f': {reason}' if reason else ''}{_gas(entry)}"
        case history.EndedEarly(step, reason):
            return f"as the owner states, it ended after step {step}: {reason}"
        case history.Trained():
            return "trained to its last step"
        case history.Received(_, _, assurance):
            return f"received and opened; its certificate holds ({assurance})"
        case history.ResultAccepted():
            return f"accepted the result{_gas(entry)}"
        case history.Complained(reason):
            return f"complained on chain that the delivery does not open: {reason}"
        case history.Disputed():
            return f"disputed: drawn verifiers train it again{_gas(entry)}"
        case history.Auditing():
            return "is audited"
        case history.Settled():
            return "settled"
        case history.Cancelled():
            return "cancelled"
        case history.Forfeited():
            return "forfeited: the owner loses its bond"
        case history.Refunded():
            return "refunded: its audit came to no verdict, and everybody has its own back"
        case history.Halved():
            return "halved: its dispute came to no verdict, and the two sides share the price"
        case history.Error(message, hint):
            return f"error: {message}{f' ({hint})' if hint else ''}"
        case history.Refuted(message, hint):
            return f"refuted: {message}{f' ({hint})' if hint else ''}"
        case history.Wiped():
            return "nothing is left that must not outlive it"
        case history.RemovalAsked(reason):
            return f"a person had what is kept of it deleted{_answer(reason)}"
        case history.Removed(what, ends):
            return f"deleted {', '.join(KEPT[kind] for kind in what)}{_ended(ends)}"
        case history.Replayed(segments, equal):
            return f"{counted(segments, 'segment')} replayed by hand: {'equal' if equal else 'not equal'}"
        case history.LetGo():
            return "keeps the sealed files no longer (`fitchain store gc` removes them)"
        case history.Recovered():
            return "the journal was lost: what stands above is what the chain and the job's folder tell"
        case history.Unrecognised(kind, body):
            details = ", ".join(f"{name} {_short(value)}" for name, value in body.items() if value not in (None, ""))
            return f"{kind.replace('_', ' ')}{': ' if details else ''}{details}"
        case _:
            return _describe_audit_entry(entry)


# As `describe_entry`: what happens to an audit.
def _describe_audit_entry(entry: AuditEntry) -> str:
    match entry:
        case history.AuditDrawn():
            return f"drew the verifiers{_gas(entry)}"
        case history.HashesFixed():
            return f"kept the hashes that draw the verifiers{_gas(entry)}"
        case history.AuditAdvanced(phase):
            return f"brought the audit on from {phase.lower()}{_gas(entry)}"
        case history.Drawn():
            return "drawn as a verifier"
        case history.Joined():
            return f"took the seat{_gas(entry)}"
        case history.Declined(_, reason):
            return f"declined the seat: {reason}"
        case history.EvidenceGiven():
            return f"sealed the evidence to the verifiers{_gas(entry)}"
        case history.CannotReplay(reason):
            return f"cannot replay it here: {reason}"
        case history.Examined(outcome, _, segments):
            return f"examined the evidence: {outcome.lower()}, {counted(segments, 'segment')} trained again"
        case history.Committed():
            return f"committed to a vote{_gas(entry)}"
        case history.Revealed(_, outcome):
            return f"voted {outcome.lower()}{_gas(entry)}"
        case history.VerdictReached(verdict):
            return f"audited: {verdict.lower()}"
        case history.Released():
            return f"released the model's key to the scientist{_gas(entry)}"
        case history.ReleaseAccepted():
            return f"accepted what was released, which pays the verifiers{_gas(entry)}"
        case history.Collected():
            return f"collected the fee{_gas(entry)}"
        case history.AskedAgain(_, fees):
            return f"asked for; {fees} FIT of fees are locked"
        case history.ConsentNeeded(_, asker):
            return f"asked for by {asker}, and waits for a person: fitchain job consent"
        case history.ConsentGiven(reason, concerns):
            return f"consented to by a person{_answer(reason, concerns)}"
        case history.ConsentRefused(reason):
            return f"refused by a person{_answer(reason)}"
        case history.CannotConsent(reason):
            return f"cannot be consented to: {reason}"
        case history.Consented(asker):
            return f"consented to what {asker} asked for{_gas(entry)}"
        case history.Unanswered():
            return "not consented to in time; its asker has the fees back"
        case history.Answered(answer):
            return f"the answer: {answer.lower()}"
        case history.TakenBack():
            return f"took the fees back: the owner did not consent in time{_gas(entry)}"
        case history.FeesCollected():
            return f"collected the fees that no seat earned{_gas(entry)}"
    assert_never(entry)


def _gas(entry: history.Sent) -> str:
    """What the entry's transaction took, where that is known."""
    return "" if entry.gas is None else f" ({entry.gas:,} gas)"


def _answer(reason: str, concerns: Sequence[str] = ()) -> str:
    """What goes with a person's answer: its reason, and what it was shown to speak against it."""
    shown = f", shown: {'; '.join(concerns)}" if concerns else ""
    return f"{f': {reason}' if reason else ''}{shown}"


def _ended(ends: Sequence[history.Ended]) -> str:
    """What a deletion ends; a comma before each."""
    return f": {', '.join(ENDED[end] for end in ends)}" if ends else ""


def _metrics(metrics: Mapping[str, float]) -> str:
    return f": {' '.join(f'{name} {value:.4g}' for name, value in metrics.items())}" if metrics else ""


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) == 66 and value.startswith("0x"):
        return value[:10]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return " ".join(f"{name} {_short(inner)}" for name, inner in value.items())
    return value
