"""`fitchain model test`: a delivered model on a table of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.ids import AgreementArgument, find_agreement
from fitchain.cli.table_options import (
    DecimalOption,
    DelimiterOption,
    EncodingOption,
    EscapeOption,
    MissingOption,
    csv_dialect,
)
from fitchain.cli.views.output import KeyValues, Report, log
from fitchain.pod.values.errors import InputRefused


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "test")(test)


# Many parameters: they are the options of the command line.
def test(
    session: Session,
    agreement: AgreementArgument,
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="Your table: the columns that the model takes, in any order.")
    ],
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write what the model predicts of each record.", show_default=False),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.svg",
            help="Draw ROC curves, or of an amount predicted against observed.",
            show_default=False,
        ),
    ] = None,
    missing: MissingOption = None,
    delimiter: DelimiterOption = None,
    decimal: DecimalOption = None,
    encoding: EncodingOption = None,
    escape: EscapeOption = False,
) -> Report:
    """Run what a job delivered over a table of your own.

    The table is read as the dataset's card says; other columns may stand in it. The model must have
    been fetched, and its certificate is checked again. Without the target --predictions is all that
    there is.
    """
    from fitchain.cli.views.evaluation import draw_evaluation, evaluation_values, evaluation_views
    from fitchain.cli.views.svg import write_picture
    from fitchain.pod.parties import scientist

    home = session.home
    id = find_agreement(home, agreement)
    own = scientist.OwnTable(source, csv_dialect(delimiter, decimal, encoding, escape), tuple(missing or ()))
    log(f"checking the certificate of {id.short}, then running its model over {source.name}")
    evaluation = scientist.evaluate(home, id, own, predictions)
    names = scientist.names_of(evaluation)
    if picture is not None:
        drawn = draw_evaluation(evaluation, names, f"The model of {id.short} on {source.name}")
        if drawn is None:
            raise InputRefused(
                "there is nothing to draw: no curve, and no amount, follows from this table",
                "a ROC curve needs records with and without a class, and its column",
            )
        write_picture(picture, drawn)
    files = {"predictions": predictions, "picture": picture}
    values = {"agreement": id, **evaluation_values(evaluation, names), **files}
    written: list[tuple[str, Any]] = [(label, path) for label, path in files.items() if path is not None]
    views = evaluation_views(evaluation, names)
    return Report(values, [*views, KeyValues(written)] if written else views)
