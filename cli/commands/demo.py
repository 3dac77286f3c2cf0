"""`fitchain demo`: the main job from end to end, on real data, each pod a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.demo.parties import choose_stores, next_folder
from fitchain.cli.demo.play import PLAYS, play, recipe_terms
from fitchain.cli.demo.progress import Progress
from fitchain.cli.demo.result import shown
from fitchain.cli.views.output import Report
from fitchain.pod.values.errors import InputRefused


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "demo")(demo)


def demo(
    session: Session,
    data: Annotated[str, typer.Option(metavar="NAME", help=f"One of {', '.join(PLAYS)}.")] = "breast-cancer",
    audit: Annotated[
        bool,
        typer.Option(
            "--audit/--no-audit", help="With verifiers, an owner that cheats and a stranger's own audit, or without."
        ),
    ] = True,
    privacy: Annotated[
        bool | None,
        typer.Option(
            "--privacy/--no-privacy",
            help="With a privacy budget, or without.",
            show_default="with one where the data has a model for it",
        ),
    ] = None,
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Each run takes a new number below it.")] = Path(
        "demo-run"
    ),
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Of the devnet, unless it runs.", min=0, max=65535, show_default="8545"),
    ] = None,
) -> Report:
    """See the main job from end to end, in about a minute.

    Where Kubo is at hand each side has an IPFS node of its own, else all share a folder; --store
    local or --store ipfs chooses.
    """
    if data not in PLAYS:
        raise InputRefused(f"there is no demonstration {data!r}", f"choose one of {', '.join(PLAYS)}")
    private = PLAYS[data].private is not None if privacy is None else privacy
    recipe_terms(PLAYS[data], private)  # what it refuses, it refuses before anything is started
    kind = choose_stores(session.flags.store)
    run = next_folder(folder)
    who = (
        "Two owners, a scientist, ten verifiers, a stranger"
        if audit
        else "Two pods, one private table, one certified training"
    )
    progress = Progress(f"{who}. Everything of this run lies in {shown(run)}")
    result = play(PLAYS[data], session.settings, run, port, kind, audit, private, progress)
    return Report(result.values(), result.summary())
