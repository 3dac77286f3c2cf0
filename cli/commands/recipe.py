"""`fitchain recipe`: what may stand in a recipe, and what a draft makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import find_dataset, find_model
from fitchain.cli.recipe_file import read_recipe
from fitchain.cli.views.output import KeyValues, Prose, Report, Rows, log
from fitchain.pod.values.errors import (
    EnvironmentRefused,
    FitchainError,
    InputRefused,
    host_errors,
    reason_of,
    require_faultless,
)

app = group("recipe", "What may stand in a recipe; what is drafted of one.")

FileArgument = Annotated[
    Path | None, typer.Argument(metavar="[FILE.toml]", help="Show what it gives, too.", show_default=False)
]


@command(app, "show")
def show(session: Session, file: FileArgument = None) -> Report:
    """Show every key of a recipe: its meaning, its default, and what a file gives.

    All that is wrong with a file on any dataset is told at once; what is wrong on a certain one
    tells `recipe draft`. docs/recipe.md is the same list.
    """
    from fitchain.cli.views.recipe_file import toml
    from fitchain.pod.values.recipe.faults import faults_of
    from fitchain.pod.values.recipe.keys import PARTS

    terms = read_recipe(file)
    require_faultless(str(file), [*faults_of(terms), *_class_faults(terms)])
    values = {
        key.name: {"default": key.default, "meaning": key.meaning, "example": key.example, "value": terms.get(key.name)}
        for part in PARTS
        for key in part.keys
    }
    views = list[Any]()
    for part in PARTS:
        rows = [
            (key.name, toml(terms[key.name]) if key.name in terms else f"({key.default})", key.meaning)
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
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FILE.toml",
            help="Write it as a new file to edit, every key with its meaning and default.",
            show_default=False,
        ),
    ] = None,
) -> Report:
    """Show the whole recipe that a request would carry, without asking for anything."""
    from fitchain.cli.views import recipe as views
    from fitchain.cli.views.recipe_file import recipe_file
    from fitchain.pod.parties.scientist import JobRequest, doubts_of, draft_request

    home, source = session.home, "" if recipe is None else str(recipe)
    request = JobRequest(
        find_dataset(home, dataset), find_model(home, model), read_recipe(recipe), recipe_source=source
    )
    drafted = draft_request(home, request)
    for doubt in doubts_of(home, request):
        log(doubt)
    pairs = views.pairs_of(drafted)
    if to is not None:
        _write_new(to, recipe_file(request.recipe_overrides, drafted))
        pairs.append(("written", to))
    return Report(views.values(drafted), [KeyValues(pairs)])


def _class_faults(terms: Mapping[str, Any]) -> list[FitchainError]:
    """What is wrong with the environment class that a file names, if it names one."""
    if not isinstance(name := terms.get("environment"), str):
        return []
    from fitchain.pod.compute.environment import environment_class

    try:
        environment_class(name)
    except EnvironmentRefused as refusal:
        return [refusal]
    return []


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        InputRefused: it is there, or its folder is not.
        HostUnusable: the disk does not take it.
    """
    try:
        file = path.open("x", encoding="utf-8")
    except OSError as error:
        raise InputRefused(f"{path} cannot be written: {reason_of(error)}", "choose another name") from None
    with host_errors(f"{path} cannot be written"), file:
        file.write(text)
