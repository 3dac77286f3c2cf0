"""`fitchain recipe`: what may stand in a recipe, and what a draft makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import find_dataset, find_model
from fitchain.cli.recipe_file import read_recipe
from fitchain.cli.views.output import KeyValues, Prose, Report, Rows

app = group("recipe", "What may stand in a recipe; what is drafted of one.")

FileArgument = Annotated[
    Path | None, typer.Argument(metavar="[FILE.toml]", help="Show what it gives, too.", show_default=False)
]


@command(app, "show")
def show(session: Session, file: FileArgument = None) -> Report:
    """Show every key of a recipe: its meaning, its default, and what a file gives.

    Keys that are unknown are refused, with near ones. docs/recipe.md is the same list.
    """
    from fitchain.pod.values.recipe.draft import TERMS
    from fitchain.pod.values.recipe.keys import PARTS
    from fitchain.pod.values.recipe.spellings import require_known

    terms = read_recipe(file)
    require_known("the recipe", terms, TERMS)
    values = {
        key.name: {"default": key.default, "meaning": key.meaning, "example": key.example, "value": terms.get(key.name)}
        for part in PARTS
        for key in part.keys
    }
    views = list[Any]()
    for part in PARTS:
        rows = [
            (key.name, _toml(terms[key.name]) if key.name in terms else f"({key.default})", key.meaning)
            for key in part.keys
        ]
        views += [Prose(part.title, []), Rows(("key", "value" if file else "default", "meaning"), rows)]
    return Report({"keys": values}, views)


@command(app, "draft")
def draft(
    session: Session,
    dataset: Annotated[str, typer.Option("--dataset", metavar="ID", help="What to train on.", show_default=False)],
    model: Annotated[str, typer.Option("--model", metavar="ID", help="What to train.", show_default=False)],
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="FILE.toml", help="What differs from the defaults.", show_default=False),
    ] = None,
) -> Report:
    """Show the whole recipe that a request would carry, without asking for anything."""
    from fitchain.cli.views import recipe as views
    from fitchain.pod.parties.scientist import JobRequest, draft_request

    home, source = session.home, "" if recipe is None else str(recipe)
    request = JobRequest(
        find_dataset(home, dataset), find_model(home, model), read_recipe(recipe), recipe_source=source
    )
    drafted = draft_request(home, request)
    return Report(views.values(drafted), [KeyValues(views.pairs_of(drafted))])


def _toml(value: Any) -> str:
    return f"{str(value).lower()}" if isinstance(value, bool) else f"{value!r}".replace("'", '"')
