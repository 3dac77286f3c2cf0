"""`fitchain job consent`: an owner's yes to another audit of its job, or no."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.ids import AgreementArgument, find_agreement
from fitchain.cli.views import panels
from fitchain.cli.views.amounts import counted, format_fit
from fitchain.cli.views.output import KeyValues, Report
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.ids import AgreementId

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.ports.agreement import AskedAudit


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "consent")(consent)


def consent(
    session: Session,
    agreement: AgreementArgument,
    number: Annotated[
        int | None,
        typer.Option("--audit", metavar="N", help="Which audit, where several are asked for.", show_default=False),
    ] = None,
    no: Annotated[bool, typer.Option("--no", help="Stay silent: its asker has the fees back in time.")] = False,
) -> Report:
    """Consent to another audit of a job, as its owner; the pod acts on it.

    Shows who asks and from whom its verifiers would be drawn: they will see records. Whoever asked
    has paid.
    """
    from fitchain.pod.jobs.panel_status import read_panel_status
    from fitchain.pod.parties import owner

    home = session.reader
    job = home.agreements.read(find_agreement(home, agreement))
    asked = _asked(home, job.id, number)
    (owner.refuse if no else owner.consent)(home, asked.ref)
    judged = read_panel_status(home, asked.terms.panel, job.terms.owner, job.scientist, asked.requested_block)
    values: dict[str, Any] = {
        "agreement": job.id,
        "ordinal": asked.ref.ordinal,
        "decision": "refused" if no else "consented",
        "asker": asked.asker,
        "panel": panels.values(judged),
    }
    fees = format_fit(asked.terms.fees)
    pairs: list[tuple[str, Any]] = [
        ("agreement", job.id),
        ("audit", f"{asked.ref.ordinal}, {'refused' if no else 'consented to'}"),
        ("asked by", f"{asked.asker}, who locked {fees} FIT for {counted(asked.terms.verifiers, 'verifier')}"),
        ("next", "nothing: its asker takes the fees back" if no else "the owner's pod checks and opens it"),
        *panels.pairs_of(judged),
    ]
    return Report(values, [KeyValues(pairs)])


def _asked(home: Home, id: AgreementId, number: int | None) -> AskedAudit:
    """The audit that is meant: the one named, or the only one that awaits an answer.

    Raises:
        NotFound: nobody asks for one.
        InputRefused: several are asked for.
    """
    now = home.chain.block("latest").timestamp
    every = home.agreements.asked_audits(id)
    if number is not None:
        every = [asked for asked in every if asked.ref.ordinal == number]
    else:
        every = [asked for asked in every if not (asked.consented or asked.taken_back) and now <= asked.deadline]
    if not every:
        which = "another audit" if number is None else f"audit {number}"
        raise NotFound(f"nobody asks for {which} of {id.short}", f"see `fitchain job show {id.short}`")
    if len(every) > 1:
        numbers = ", ".join(str(asked.ref.ordinal) for asked in every)
        raise InputRefused(f"the audits {numbers} of {id.short} await an answer", "say which with --audit N")
    return every[0]
