"""`fitchain data show`: all that a dataset's card says, on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.ids import DatasetArgument, find_dataset
from fitchain.cli.views.dataset import ShownDataset, dataset_values, dataset_views, ledger_values
from fitchain.cli.views.output import Report


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "show")(show)


def show(
    session: Session,
    dataset: DatasetArgument,
    mock: Annotated[bool, typer.Option("--mock", help="Fetch some of its made-up records, too.")] = False,
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="Write it as a page for a browser, made-up records too.", show_default=False
        ),
    ] = None,
) -> Report:
    """Show a dataset's card: columns, price, licence, policy.

    With --json `card` is the document as it was published, whose amounts are in base units; those
    beside it are FIT.
    """
    from fitchain.cli.views.dataset_page import dataset_page
    from fitchain.cli.views.svg import write_picture
    from fitchain.pod.parties.scientist import preview_of, read_card

    home = session.reader
    entry = home.registry.dataset(find_dataset(home, dataset))
    card = read_card(home, entry.id)
    preview = preview_of(home, card) if mock or page is not None else None
    shown = ShownDataset(entry, card, ledger_values(home, entry, card), home.registry.is_outlived(entry), preview)
    if page is not None:
        write_picture(page, dataset_page(shown), "page")
    values = dataset_values(shown) | ({"page": page} if page is not None else {})
    return Report(values, [*dataset_views(shown), *([f"the page: {page}"] if page is not None else [])])
