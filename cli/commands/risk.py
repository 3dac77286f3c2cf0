"""`fitchain job report` and `job deliver`: what a trained model gives away, and what its owner does
about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fitchain.cli.answers import OR_YES, ReasonOption, YesOption, by_owners_pod, require_yes
from fitchain.cli.command import Session, command
from fitchain.cli.ids import AgreementArgument, find_agreement
from fitchain.cli.views.amounts import clock
from fitchain.cli.views.output import KeyValues, Report, log, print_views
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.errors import NotFound

if TYPE_CHECKING:
    from fitchain.pod.jobs.worker import Event


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "report")(report)
    command(app, "deliver")(deliver)


def report(
    session: Session,
    agreement: AgreementArgument,
    again: Annotated[
        bool, typer.Option("--again", help="Make it anew, and compare it with the one that the certificate names.")
    ] = False,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", metavar="FILE", help="Draw its ROC, on logarithmic axes.", show_default=False),
    ] = None,
) -> Report:
    """Show what an attack on a trained model found, as the owner of its records.

    The report names records: it stays in this home, and nobody else gets more than its digest and,
    if the policy says so, a summary without a word about one record.
    """
    from fitchain.cli.views import risk
    from fitchain.cli.views.risk_picture import draw_roc
    from fitchain.cli.views.svg import write_picture
    from fitchain.pod.jobs.removal import describe_removal
    from fitchain.pod.parties import owner
    from fitchain.pod.parties.owner.examine import read_recipe

    home = session.home if again else session.reader
    id = find_agreement(home, agreement)
    folder = home.job_folder(id)
    compared = None
    if again:
        certified = owner.certified_digest(folder)
        shown = owner.report_again(home, id, _log_event)
        if certified is not None:
            owner.require_same(shown, certified, "the certificate names")
            compared = f"made again, it is the one that the certificate names: {certified}"
        else:
            compared = "the certificate names no report: this one is compared with nothing"
    elif (kept := owner.kept_report(folder)) is None:
        why = describe_removal(home, id) or "a dataset's policy asks for one: fitchain data register --risk-report"
        raise NotFound(f"this home keeps no risk report of {id.short}", why)
    else:
        shown = kept
    if svg is not None:
        write_picture(svg, draw_roc(shown))
    privacy = read_recipe(folder).privacy
    values = {"agreement": id, **risk.values(shown), "made_again": again, "picture": svg}
    views = [
        *risk.describe(shown, privacy.unit_records if privacy else None),
        *([compared] if compared else []),
        *([f"picture: {svg}"] if svg else []),
    ]
    return Report(values, views)


def deliver(
    session: Session,
    agreement: AgreementArgument,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> Report:
    """Have a held job delivered all the same, as the owner of its records.

    A job is held whose model gives away more than the dataset's policy admits, or whose first
    private model had left when the chain took its beginning back. Where nobody says this before its
    time to train is over, the model stays here and the bond is lost.
    """
    from fitchain.pod.parties import owner

    home = session.reader
    id = find_agreement(home, agreement)
    job = home.agreements.read(id)
    owner.require_held(home, id)
    pairs = [
        ("job", id),
        ("held", owner.why_it_is_held(home, id)),
        (
            "else",
            f"its model stays here, and your bond of {amount_text(job.terms.bond)} FIT is lost, half of it burned",
        ),
        ("until", clock(job.training_deadline)),
    ]
    print_views([KeyValues(pairs)], stderr=True)
    if not yes:
        require_yes(
            "deliver it? type yes: ",
            "nothing was delivered",
            unattended=OR_YES,
        )
    owner.deliver_held(home, id, reason)
    delivers = by_owners_pod(home, "ends the training and delivers the model")
    return Report({"agreement": id, "decision": "deliver"}, [f"{id.short} is delivered all the same: {delivers}"])


def _log_event(event: Event) -> None:
    from fitchain.cli.views.worker import describe_event

    log(describe_event(event))
