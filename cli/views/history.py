"""A job as the command line shows it: status, cost, and its history in sentences.

`job show` prints it once, `job watch` again and again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fitchain.cli.views import audits, cost, panels
from fitchain.cli.views.amounts import counted, format_duration, size_text
from fitchain.cli.views.output import KeyValues
from fitchain.pod.ports.agreement import Agreement, Anchor, AskedAudit, State, Terms
from fitchain.pod.proof.audit.pace import SLOW_HOST
from fitchain.pod.proof.audit.plan import AuditPlan
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.ids import WHOLE_POOL

if TYPE_CHECKING:
    from fitchain.pod.jobs.job_status import JobStatus
    from fitchain.pod.jobs.journal import Entry

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Draw values as a line of at most `width` blocks, each the mean of those it stands for."""
    if not values:
        return ""
    count = min(width, len(values))
    cuts = [len(values) * i // count for i in range(count + 1)]
    means = [sum(values[low:high]) / (high - low) for low, high in pairwise(cuts)]
    low, high = min(means), max(means)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((mean - low) * scale)] for mean in means)


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


def describe(status: JobStatus) -> KeyValues:
    """Where a job stands, in labelled lines."""
    agreement, run, terms = status.agreement, status.run, status.agreement.terms
    pairs: list[tuple[str, Any]] = [
        ("job", agreement.id),
        ("state", state_name(status) + _deadline(agreement, status.now)),
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
        "awaits_approval": status.for_person,
        "questions": [_question(asked) for asked in status.questions],
        "loss": status.losses[-1][1] if status.losses else None,
        "accuracy": status.accuracy,
        "transactions": status.transactions,
        "gas": status.gas,
        "history": [
            {"time": entry.time, "ordinal": entry.ordinal, "kind": entry.kind, **entry.body} for entry in status.history
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


def sentence(entry: Entry) -> str:
    """One line of a job's history for people, with the time of day."""
    body = {name: _short(value) for name, value in entry.body.items()}
    try:
        text = SENTENCES[entry.kind].format(**body)
    except (KeyError, ValueError):  # a kind, or a body, of another release: written as it is
        details = ", ".join(f"{name} {value}" for name, value in body.items() if value not in (None, ""))
        text = f"{entry.kind.replace('_', ' ')}{': ' if details else ''}{details}"
    text = f"audit {entry.ordinal}: {text}" if entry.ordinal else text
    return f"{time.strftime('%H:%M:%S', time.localtime(entry.time))}  {text}"


SENTENCES = {
    "requested": "requested; the price is locked",
    "checking": "checking the request: graph, policy, host, a rehearsal on mock data",
    "checked": "checked: it can be trained here",
    "approval_needed": "waits for a person: fitchain job approve, or job reject",
    "refused": "refused: {reason}",
    "rejected": "rejected; the scientist has its money back",
    "accepted": "accepted, the bond is locked ({gas:,} gas)",
    "begun": "begun: the order of the records is fixed ({gas:,} gas)",
    "training": "training {steps} steps, in process {pid}",
    "checkpoint": "checkpoint {index} at step {step}: {metrics}",
    "anchored": "anchored {count} checkpoints in block {block} ({gas:,} gas)",
    "note": "{count} checkpoints anchored in block {block}: {metrics}",
    "delivered": "delivered, sealed to the scientist",
    "finished": "finished: transcript {transcript_root}, model {model_root} ({gas:,} gas)",
    "disputed": "disputed: drawn verifiers train it again ({gas:,} gas)",
    "audit_draw": "drew the verifiers ({gas:,} gas)",
    "audit_fix": "kept the hashes that draw the verifiers ({gas:,} gas)",
    "audit_advance": "brought the audit on from {phase} ({gas:,} gas)",
    "drawn": "drawn as a verifier",
    "joined": "took the seat ({gas:,} gas)",
    "declined": "declined the seat: {reason}",
    "evidence": "sealed the evidence to the verifiers ({gas:,} gas)",
    "cannot_replay": "cannot replay it here: {reason}",
    "examined": "examined the evidence: {outcome}, {segments} segments trained again",
    "committed": "committed to a vote ({gas:,} gas)",
    "revealed": "voted {outcome} ({gas:,} gas)",
    "verdict": "audited: {verdict}",
    "released": "released the model's key to the scientist ({gas:,} gas)",
    "collected": "collected the fee ({gas:,} gas)",
    "auditing": "is audited",
    "refunded": "refunded: its audit came to no verdict, and everybody has its own back",
    "halved": "halved: its dispute came to no verdict, and the two sides share the price",
    "late": "{reason}",
    "set_aside": "the chain was reorganised: what was trained under another seed is set aside",
    "complained": "complained on chain that the delivery does not open: {reason}",
    "release_accepted": "accepted what was released, which pays the verifiers ({gas:,} gas)",
    "consent_needed": "asked for by {asker}, and waits for a person: fitchain job consent",
    "cannot_consent": "cannot be consented to: {reason}",
    "consented": "consented to what {asker} asked for ({gas:,} gas)",
    "unanswered": "not consented to in time; its asker has the fees back",
    "asked_again": "asked for; {fees} FIT of fees are locked",
    "taken_back": "took the fees back: the owner did not consent in time ({gas:,} gas)",
    "fees_collected": "collected the fees that no seat earned ({gas:,} gas)",
    "answered": "the answer: {answer}",
    "received": "received and opened; its certificate holds",
    "result_accepted": "accepted the result ({gas:,} gas)",
    "settled": "settled",
    "forfeited": "forfeited: the owner loses its bond",
    "cancelled": "cancelled",
    "error": "error: {message}",
    "refuted": "refuted: {message}",
    "resumed": "resumed at step {step}",
    "wiped": "wiped the records' copy and the job's identity",
    "let_go": "keeps the sealed files no longer (`fitchain store gc` removes them)",
}


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) == 66 and value.startswith("0x"):
        return value[:10]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return " ".join(f"{name} {_short(inner)}" for name, inner in value.items())
    return value
