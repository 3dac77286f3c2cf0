"""`fitchain data find`: which datasets fit what one looks for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.views.amounts import counted, parse_fit
from fitchain.cli.views.output import Report, log
from fitchain.pod.values.errors import NotFound

if TYPE_CHECKING:
    from fitchain.pod.parties.scientist import ColumnQuery

PROGRESS_S = 2.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "find")(find)


# Many parameters: they are the options of the command line.
def find(
    session: Session,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD]...", help="Each stands in the name or the description.", show_default=False),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help="classification, multi-label or regression.", show_default=False),
    ] = None,
    target: Annotated[str | None, typer.Option(metavar="PATTERN", help="Of its name.", show_default=False)] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN[=KIND]",
            help="It has such a column: age, 'icd*', 'note*=tokens'; repeat it for more.",
            show_default=False,
        ),
    ] = None,
    measure: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="A column is measured in that: mm*, say.", show_default=False)
    ] = None,
    records: Annotated[
        int | None, typer.Option(metavar="N", help="It has so many at least.", min=1, show_default=False)
    ] = None,
    price: Annotated[
        str | None, typer.Option(metavar="FIT", help="Its owner takes that, or less.", show_default=False)
    ] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Or a part of its name.", show_default=False)
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(
            metavar="E", help="So much of its privacy budget is left, or it has none.", min=0, show_default=False
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Its budget protects each value of such a column; record: each record.",
            show_default=False,
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="This home's account may ask for it.")] = False,
    closed: Annotated[bool, typer.Option("--closed", help="Those that nobody can ask for, too.")] = False,
    most: Annotated[int, typer.Option(metavar="N", help="Show so many.", min=1)] = 50,
    seconds: Annotated[float, typer.Option(metavar="S", help="Fetch cards no longer than that.", min=1)] = 60.0,
) -> Report:
    """Find datasets by what their cards say: those with most records first.

    In a pattern * stands for any letters and ? for one, and capitals do not matter. A card that
    cannot be read is told with its reason.
    """
    from fitchain.cli.views.listings import search_values, search_views
    from fitchain.pod.compute.dataset import Task
    from fitchain.pod.parties import scientist
    from fitchain.pod.values.recipe.fields import choice

    account = _account(session, open_)
    query = scientist.DatasetQuery(
        words=tuple(words or ()),
        task=None if task is None else Task(choice("--task", task, list(Task))),
        target=target,
        columns=tuple(_column(text) for text in column or ()),
        measure=measure,
        records=records,
        price=None if price is None else parse_fit(price),
        licence=licence,
        epsilon=epsilon,
        unit=unit,
        account=account if open_ else None,
        closed=closed,
    )
    search = scientist.find_datasets(session.reader, query, seconds, _progress())
    return Report(search_values(search, account), search_views(search, account, most))


def _account(session: Session, is_needed: bool) -> str | None:
    """Who looks; None where this home has no key yet, and need not."""
    try:
        return session.own_address()
    except NotFound:
        if is_needed:
            raise
        return None


def _column(text: str) -> ColumnQuery:
    """Read `PATTERN` or `PATTERN=KIND`; what stands behind a `=` and is no kind is of the name."""
    from fitchain.pod.compute.dataset import Kind
    from fitchain.pod.parties.scientist import ColumnQuery

    pattern, sign, kind = text.rpartition("=")
    return ColumnQuery(pattern, Kind(kind)) if sign and kind in list(Kind) else ColumnQuery(text)


def _progress() -> Callable[[int, int], None]:
    """Tells of cards every two seconds, and so of few not at all."""
    emitted_at = time.monotonic()

    def emit(done: int, count: int) -> None:
        nonlocal emitted_at
        if (now := time.monotonic()) - emitted_at >= PROGRESS_S:
            emitted_at = now
            log(f"{done} of {counted(count, 'card')} read")

    return emit
