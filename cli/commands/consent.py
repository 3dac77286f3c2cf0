"""`fitchain job consent`: an owner's yes to another audit of its job, or no."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.answers import OR_YES, ReasonOption, YesOption, by_owners_pod, require_yes
from fitchain.cli.command import Session, command
from fitchain.cli.ids import AgreementArgument, find_agreement
from fitchain.cli.views.output import KeyValues, Report, print_views
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.ids import AgreementId, AuditRef

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home


MOST_ORDINAL = 2**16 - 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "consent")(consent)


def consent(
    session: Session,
    agreement: AgreementArgument,
    number: Annotated[
        int | None,
        typer.Option(
            "--audit",
            metavar="N",
            help="Which audit, where several are asked for.",
            show_default=False,
            min=1,
            max=MOST_ORDINAL,
        ),
    ] = None,
    no: Annotated[bool, typer.Option("--no", help="Stay silent: its asker has the fees back in time.")] = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> Report:
    """Consent to another audit of a job, as its owner; the pod acts on it.

    Shows who asks, from whom its verifiers would be drawn, how many records they may see and what
    speaks against it, and then asks you. Whoever asked has paid.
    """
    from fitchain.cli.views import review
    from fitchain.pod.parties import owner
    from fitchain.pod.parties.owner.review import review_question

    home = session.reader
    job = home.agreements.read(find_agreement(home, agreement))
    ref = _asked(home, job.id, number)
    reviewed = review_question(home, ref)
    print_views([review.describe(reviewed)], stderr=True)
    if not (yes or no):
        require_yes(
            "consent to this audit? type yes: ",
            "nothing was consented to",
            unattended=OR_YES,
        )
    if no:
        owner.refuse(home, ref, reason)
    else:
        owner.consent(home, ref, reviewed.concerns, reason)
    asker = reviewed.asked.asker if reviewed.asked else None
    values: dict[str, Any] = {
        "agreement": job.id,
        "ordinal": ref.ordinal,
        "decision": "refused" if no else "consented",
        "asker": asker,
        **review.values(reviewed),
    }
    pairs: list[tuple[str, Any]] = [
        ("audit", f"{ref.ordinal} of {job.id.short}, {'refused' if no else 'consented to'}"),
        ("next", "nothing: its asker takes the fees back" if no else by_owners_pod(home, "checks and opens it")),
    ]
    return Report(values, [KeyValues(pairs)])


def _asked(home: Home, id: AgreementId, number: int | None) -> AuditRef:
    """The audit that is meant: the one named, or the only one that awaits an answer.

    Raises:
        NotFound: nobody asks for one.
        InputRefused: several are asked for.
    """
    from fitchain.pod.jobs.waiting import open_questions

    if number is not None:
        return AuditRef(id, number)
    refs = [asked.ref for asked in open_questions(home, id)]
    if not refs:
        raise NotFound(f"nobody asks for another audit of {id.short}", f"see `fitchain job show {id.short}`")
    if len(refs) > 1:
        numbers = ", ".join(str(ref.ordinal) for ref in refs)
        raise InputRefused(f"the audits {numbers} of {id.short} await an answer", "say which with --audit N")
    return refs[0]
