"""`fitchain job curves`: how a training went, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.ids import AgreementArgument, find_agreement
from fitchain.cli.views.output import KeyValues, Report
from fitchain.pod.values.errors import NotFound


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "curves")(curves)


def curves(
    session: Session,
    agreement: AgreementArgument,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", metavar="FILE", help="Draw them into a picture.", show_default=False),
    ] = None,
) -> Report:
    """Show how a job's training went: its metrics, and what its checkpoints do on held-out records.

    The latter are there where the recipe evaluates the model after each segment. A scientist has of
    both what the dataset's policy lets out: metrics with the notes, results with the certificate.
    """
    from fitchain.cli.views import curves as views
    from fitchain.cli.views.curves_picture import draw_curves
    from fitchain.cli.views.svg import write_picture
    from fitchain.pod.jobs.job_status import JobStatusReader

    home = session.reader
    id = find_agreement(home, agreement)
    status = JobStatusReader(home, id).read()
    shown, run = status.curves, status.run
    if not shown.training and not shown.held_out:
        raise NotFound(
            f"this home knows no metrics of {id.short}",
            "they come with the notes if the dataset's policy lets metrics out, and never of a private training",
        )
    delivered = None
    if run.end_block is not None:
        delivered = min(run.delivered * status.agreement.terms.segment_steps, run.step)
    if svg is not None:
        write_picture(svg, draw_curves(shown, f"The training {id.short}", delivered))
    values = {"agreement": id, **views.values(shown), "delivered_step": delivered, "picture": svg}
    pairs = [
        ("job", id),
        *views.pairs_of(shown),
        *([("delivered", f"the checkpoint after step {delivered}")] if delivered is not None else []),
        *([("picture", svg)] if svg else []),
    ]
    return Report(values, [KeyValues(pairs)])
