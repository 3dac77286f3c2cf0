"""`fitchain proof reaudit`: have a settled job audited again, by verifiers of one's own trust."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.ids import AgreementArgument, find_agreement, find_place
from fitchain.cli.views import audits
from fitchain.cli.views.amounts import counted, format_duration, parse_duration, parse_fit
from fitchain.cli.views.output import KeyValues, Report, View, log
from fitchain.pod.ports.agreement import Outcome, Phase
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.errors import Refuted, Unusable

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.parties.asker import Answer
    from fitchain.pod.values.ids import AuditRef

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
    ref = asker.ask_again(home, id, asker.terms_of(home, id, question), question.consent_window)
    answer = _followed(home, ref) if wait else asker.read_answer(home, ref)
    if wait and answer.verdict is not Outcome.MATCH:
        refuted = answer.verdict in (Outcome.MISMATCH, Outcome.WITHHELD)
        session.exit_code = Refuted.exit_code if refuted else Unusable.exit_code
    return _report(home, answer)


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
        ("asked of", f"{counted(asked.terms.verifiers, 'verifier')}, {amount_text(asked.terms.fees)} FIT locked"),
        ("stands", answer.state.value + (f", within {left}" if not (asked.consented or answer.over) else "")),
    ]
    views: list[View] = [KeyValues([*pairs, *_audited(values["segments"])])]
    if status is not None:
        views += [KeyValues([pair for pair in audits.pairs_of(status, now) if pair[0] != "seats"])]
        views += [audits.rows_of(status)]
    return Report(values, views)


def _audited(segments: Sequence[int]) -> list[tuple[str, str]]:
    shown = ", ".join(map(str, segments[:20]))
    more = f" and {len(segments) - 20} more" if len(segments) > 20 else ""
    return [("segments", shown + more)] if segments else []
