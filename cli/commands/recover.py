"""`fitchain pod recover`: a home whose journal was damaged, made whole by keys and chain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.views.output import Prose, Report, Rows, View, log
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import DatasetId

if TYPE_CHECKING:
    from fitchain.pod.parties.recovery import Lost, Recovery


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "recover")(recover)


def recover(
    session: Session,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="DATASET=FILE",
            help="Where the file of a dataset lies, by its id; may be repeated.",
            show_default="where the home says",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also add what a sound journal lacks and the chain has.")
    ] = False,
) -> Report:
    """Make a home whole whose journal is damaged, from its keys, the chain and its job folders.

    Damaged files are put aside, nothing is deleted. It says what was recovered, what was not, and
    what that means. No pod may run from the home.
    """
    from fitchain.pod.parties.recovery import recover as recover_home

    sources = dict(_source(text) for text in source or ())
    recovery = recover_home(session.settings, session.passphrase, sources, again, log)
    return Report(_values(recovery), _views(recovery))


def _source(text: str) -> tuple[DatasetId, Path]:
    id, sign, file = text.partition("=")
    if not sign or not file:
        raise InputRefused(f"{text!r:.200} is no DATASET=FILE", "as `0x12…=/data/table.csv`, with the whole id")
    return DatasetId(Digest.parse(id)), Path(file)


def _values(recovery: Recovery) -> dict[str, Any]:
    return {
        "damage": recovery.damage,
        "moved": recovery.moved,
        "restored": [vars(each) for each in recovery.restored],
        "lost": [vars(each) for each in recovery.lost],
    }


def _views(recovery: Recovery) -> Sequence[View]:
    views: list[View] = []
    if recovery.damage:
        views.append(Prose("Damaged", list(recovery.damage.values())))
    if recovery.moved:
        views.append(Prose("Put aside", [str(path) for path in recovery.moved]))
    rows = [(each.kind, _short(each.id), each.what) for each in recovery.restored]
    views.append(Rows(("recovered", "id", ""), rows, empty="The chain has nothing of this account's."))
    if recovery.lost:
        views.append(Prose("Not known any more", [_lost(each) for each in recovery.lost]))
    return views


def _lost(lost: Lost) -> str:
    about = f"{lost.kind} {_short(lost.id)}: " if lost.id else ""
    return f"{about}{lost.what}: {lost.meaning}{f' ({lost.command})' if lost.command else ''}"


def _short(id: str) -> str:
    digest, slash, ordinal = id.partition("/")
    return f"{digest[:10]}{slash}{ordinal}"
