"""`fitchain data`: what an owner offers for training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.amounts import format_fit, parse_fit
from cli.command import Session, command, group
from cli.ids import DatasetId, find_dataset
from cli.output import Facts, Report, Rows

if TYPE_CHECKING:
    from pod.dataset import Card
    from pod.home import Home
    from pod.registry import DatasetEntry

app = group("data", "Offer a dataset for training; its records stay where they are.")


@command(app, "register")
def register(
    session: Session,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A table: .csv or .npz.")],
    target: Annotated[str, typer.Option("--target", metavar="COLUMN", help="What is to be predicted.", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="Else the file's name.", show_default=False)] = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="For the card.")] = "",
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="COLUMN", help="Leave a column out (names, codes); may be repeated.", show_default=False),
    ] = None,
    licence: Annotated[str, typer.Option("--licence", metavar="TEXT", help="Terms of use, for the card.")] = "unspecified",
    price: Annotated[str, typer.Option("--price", metavar="FIT", help="What a training should cost.")] = "10",
    minimum_price: Annotated[
        str | None, typer.Option("--minimum-price", metavar="FIT", help="Refuse less; else the price.", show_default=False)
    ] = None,
    maximum_steps: Annotated[int, typer.Option("--maximum-steps", metavar="N", help="Refuse more.", min=1)] = 1_000_000,
    minimum_batch: Annotated[int, typer.Option("--minimum-batch", metavar="N", help="Refuse smaller ones.", min=1)] = 8,
    manual_approval: Annotated[
        bool, typer.Option("--manual-approval/--automatic", help="Whether a person says yes to each request.")
    ] = True,
    metrics: Annotated[bool, typer.Option("--metrics/--no-metrics", help="Whether rounded losses go to the scientist.")] = True,
) -> Report:
    """Register a table: its root and its card become public, its records stay here."""
    from pod import owner

    registered = owner.register_dataset(
        session.home,
        source,
        name=name or source.stem,
        target=target,
        drop=tuple(drop or ()),
        price=parse_fit(price),
        licence=licence,
        description=description,
        policy=owner.Policy(),
    )
    return Report({"dataset": registered.id}, [])


@command(app, "list")
def list_(
    session: Session,
    mine: Annotated[bool, typer.Option("--mine", help="Only those registered from this home.")] = False,
) -> Report:
    """List the datasets of this deployment, oldest first."""
    home = session.reader
    own = {row.id for row in home.journal.datasets()}
    entries = [entry for entry in home.registry.datasets() if not mine or entry.id in own]
    cards = [_card(home, entry) for entry in entries]
    values = [_values(entry, card) for entry, card in zip(entries, cards, strict=True)]
    rows = [
        (value["dataset"].short, value["name"], value["records"], value["price"], "yes" if value["active"] else "retired")
        for value in values
    ]
    headers = ("dataset", "name", "records", "price FIT", "open")
    return Report({"datasets": values}, [Rows(headers, rows, right=("records", "price FIT"), empty="no dataset yet")])


@command(app, "show")
def show(session: Session, dataset: DatasetId) -> Report:
    """Show a dataset's card: columns, price, licence, policy."""
    home = session.reader
    entry = home.registry.dataset(find_dataset(home, dataset))
    return Report({}, [str(entry)])


@command(app, "retire")
def retire(session: Session, dataset: DatasetId) -> Report:
    """Let no new request name a dataset; jobs on their way go on."""
    home = session.home
    id = find_dataset(home, dataset)
    home.registry.retire_dataset(id)
    return Report({"dataset": id, "active": False}, [f"retired {id.short}: no new request can name it"])
