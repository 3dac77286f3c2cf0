"""`fitchain proof reaudit`: have a settled job audited again, by verifiers of one's own trust."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.ids import AgreementArgument, find_agreement, find_place
from fitchain.cli.views import audits, panels
from fitchain.cli.views.amounts import counted, format_duration, parse_duration, parse_fit
from fitchain.cli.views.output import KeyValues, Report, View, log
from fitchain.pod.ports.agreement import Outcome, Phase
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.errors import Refuted, Unusable
from fitchain.pod.values.ids import WHOLE_POOL

if TYPE_CHECKING:
    from fitchain.pod.jobs.audit_status import AuditStatus
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.parties.asker import Answer
    from fitchain.pod.ports.agreement import AuditTerms
    from fitchain.pod.values.ids import AgreementId, AuditRef

LOOK_S = 0.5


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "reaudit")(reaudit)


# Its parameters are the options of the command line.
def reaudit(
    session: Session,
    agreement: AgreementArgument,
    panel: Annotated[str, typer.Option("--panel", metavar="PANEL|pool", help="Whom to draw from: those you rely on.")],
    verifiers: Annotated[int, typer.Option(metavar="M", help="How many, odd.", min=1, max=15)] = 3,
    segments: Annotated[
        int | None,
        typer.Option(metavar="Q", help="Segments they draw; else enough for a tenth.", min=0, show_default=False),
    ] = None,
    mode: Annotated[str, typer.Option(metavar="MODE", help="What they see: open, sampled or on-site.")] = "sampled",
    fee: Annotated[
        str | None, typer.Option(metavar="FIT", help="For each seat; else what it replays.", show_default=False)
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="For each phase; else the job's own, at least 1h.", show_default=False),
    ] = None,
    consent_window: Annotated[str, typer.Option(metavar="TIME", help="Within which the owner may consent.")] = "1d",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it until there is a verdict.")] = True,
) -> Report:
    """Have a settled job audited again, by verifiers of your own trust.

    You pay; the owner has to consent. It moves no money of the job. Interrupted, the same command
    takes it up again, and pays once. Exits 0 for a match, 1 for a mismatch or withheld evidence, 3
    where nobody came to a verdict.
    """
    from fitchain.pod.parties import asker

    home = session.home
    id = find_agreement(home, agreement)
    question = asker.Question(
        panel=find_place(home.registry, panel),
        verifiers=verifiers,
        drawn_segments=segments,
        mode=AuditMode.parse(mode),
        fee_per_seat=None if fee is None else parse_fit(fee),
        window=None if window is None else parse_duration(window),
        consent_window=parse_duration(consent_window),
    )
    terms = asker.terms_of(home, id, question)
    for line in _announced(home, id, terms, question.consent_window, wait):
        log(line)  # before anything is signed
    ref = asker.ask_again(home, id, terms, question.consent_window)
    answer = _followed(home, ref) if wait else asker.read_answer(home, ref)
    if wait and answer.verdict is not Outcome.MATCH:
        refuted = answer.verdict in (Outcome.MISMATCH, Outcome.WITHHELD)
        session.exit_code = Refuted.exit_code if refuted else Unusable.exit_code
    return _report(home, answer)


def _announced(home: Home, id: AgreementId, terms: AuditTerms, consent_window: int, wait: bool) -> Iterator[str]:
    """What is about to be asked and locked; or that it was asked already, and nothing is locked."""
    from fitchain.pod.parties import asker

    if (open_one := asker.open_question(home, id, terms)) is None:
        yield from (f"{label}: {text}" for label, text in _asked_pairs(home, id, terms))
        yield (
            f"the owner has {format_duration(consent_window)} to consent; "
            "whatever no seat earns, and all of it where the owner is silent, is yours again"
        )
    else:
        yield f"{open_one.short}: asked and paid already; it is taken up again, and nothing more is locked"
    if wait:
        yield "following it; Ctrl-C costs nothing, and the same command takes it up again"


def _asked_pairs(home: Home, id: AgreementId, terms: AuditTerms) -> list[tuple[str, Any]]:
    """Another audit in labelled lines: who judges, what they look at and see, what it costs."""
    from fitchain.pod.jobs.job_status import local_recipe
    from fitchain.pod.jobs.panel_status import read_panel_status
    from fitchain.pod.proof.audit.cost import Sampling
    from fitchain.pod.proof.audit.disclosure import opened_records

    job, run = home.agreements.read(id), home.agreements.run_record(id)
    # A run that diverged has fewer segments than its terms, and delivers nothing.
    sampling = Sampling(run.count - 1, terms.drawn_segments, None if run.diverged else run.delivered)
    recipe = local_recipe(home, job)
    shown = "as many as its recipe says, which is not here"
    if recipe is not None:
        shown = f"at most {opened_records(terms, recipe)} of {counted(recipe.row_count, 'record')}"
    looked = f"{sampling.audited} of {counted(sampling.segments, 'segment')}"
    verb = "replays" if terms.verifiers == 1 else "replay"
    fee = f"{amount_text(terms.fee_per_seat)} FIT for each seat that votes with the verdict"
    return [
        ("audit", f"{counted(terms.verifiers, 'verifier')} {verb} {looked} of {id.short}, mode {terms.mode}"),
        *panels.pairs_of(read_panel_status(home, terms.panel, job.terms.owner, job.scientist)),
        ("records", shown),
        ("locks", f"{amount_text(terms.fees)} FIT of yours: {fee}"),
    ]


def _followed(home: Home, ref: AuditRef) -> Answer:
    """Follow a question until nothing more comes of it, and say how it goes on."""
    from fitchain.pod.jobs.retry import RetryPolicy
    from fitchain.pod.jobs.turns import Turns
    from fitchain.pod.parties import asker

    turns, retry, answers = Turns(home), RetryPolicy(home, lambda id, text: log(text)), list["Answer"]()

    def look() -> None:
        answers.append(asker.follow(home, turns, ref, log))

    progress = ""
    while not (answers and answers[-1].over):
        if retry.due(ref):
            retry.attempt(ref, look)
        if answers and (reached := _progress(answers[-1])) != progress:
            log(f"{ref.short}: {reached}")
            progress = reached
        time.sleep(LOOK_S)
    return answers[-1]


def _progress(answer: Answer) -> str:
    return answer.state.value if answer.phase is Phase.NONE else f"it is audited: {answer.phase.name.lower()}"


def _report(home: Home, answer: Answer) -> Report:
    from fitchain.pod.jobs.audit_status import drawn_segments, read_audit_status

    asked, now = answer.asked, home.chain.block("latest").timestamp
    status = read_audit_status(home, asked.ref)
    values: dict[str, Any] = {
        "agreement": asked.ref.agreement,
        "ordinal": asked.ref.ordinal,
        "panel": asked.terms.panel,
        "fees": amount_text(asked.terms.fees),
        "state": answer.state.name,
        "consent_deadline": asked.deadline,
        "verdict": None if answer.verdict is Outcome.NONE else answer.verdict.name.capitalize(),
        "audit": None if status is None else audits.values(status, now),
        "segments": list(drawn_segments(home, asked.ref)) if status else [],
    }
    left = format_duration(max(asked.deadline - now, 0))
    pairs: list[tuple[str, Any]] = [
        ("audit", f"{asked.ref.ordinal} of {asked.ref.agreement.short}"),
        ("asked of", f"{counted(asked.terms.verifiers, 'verifier')}, {amount_text(asked.terms.fees)} FIT of fees"),
        ("stands", answer.state.value + (f", within {left}" if not (asked.consented or answer.over) else "")),
    ]
    views: list[View] = [KeyValues([*pairs, *_audited(values["segments"])])]
    if status is not None:
        views += [KeyValues([pair for pair in audits.pairs_of(status, now) if pair[0] != "seats"])]
        views += [audits.rows_of(status)]
        if steps := _next_steps(home, answer, status):
            values["next"] = steps
            views += [f"next: {', then '.join(steps)}"]
    return Report(values, views)


def _next_steps(home: Home, answer: Answer, status: AuditStatus) -> list[str]:
    """What makes a Match count for whoever asked: to trust the panel, where a seat is of nobody
    that this home names; none otherwise."""
    from fitchain.pod.ports.trust import trusted_by

    panel = answer.asked.terms.panel
    if answer.verdict is not Outcome.MATCH or panel == WHOLE_POOL:
        return []
    trusted = trusted_by(home.chain)
    if all(trusted.names(panel, seat.verifier) for seat in status.audit.seats if seat.joined):
        return []
    return [f"fitchain trust add {panel.short}", "fitchain proof verify MODEL CERT"]


def _audited(segments: Sequence[int]) -> list[tuple[str, str]]:
    shown = ", ".join(map(str, segments[:20]))
    more = f" and {len(segments) - 20} more" if len(segments) > 20 else ""
    return [("segments", shown + more)] if segments else []
