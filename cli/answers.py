"""Answers that a person gives to a command, once it has shown what it asks about."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fitchain.pod.values.errors import AccessRefused, Unusable

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask, for scripts; what it shows, it shows.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in this pod's history.")]
OR_YES = "answer on the terminal, or give --yes in a script"
"""What to do where a command asks, has `--yes`, and there is nobody to ask."""


def by_owners_pod(home: Home, does: str) -> str:
    """What the owner's pod does next, and how to start it where none runs from this home."""
    return f"the owner's pod {does}" if home.pod_runs() else f"fitchain pod owner, which does not run here: it {does}"


def read_line() -> str:
    """A line of the standard input; empty where it is at its end, closed, or no text."""
    try:
        return sys.stdin.readline() if sys.stdin else ""
    except UnicodeDecodeError:
        return ""


def require_yes(
    question: str, undone: str, hint: str = "type yes, in full", unattended: str = "answer on the terminal"
) -> None:
    """Ask a person; what is piped in is that person's answer, given beforehand.

    Args:
        question: ends in what to type.
        undone: what did not happen where the answer is another.
        hint: what to do then.
        unattended: what to do where there is nobody to ask.

    Raises:
        AccessRefused: there is nobody to ask.
        Unusable: the answer was not yes.
    """
    print(question, end="", file=sys.stderr, flush=True)
    answer = read_line()
    if not answer:
        print(file=sys.stderr)
        raise AccessRefused(f"{undone}: a person answers, and nobody is there to ask", unattended)
    if answer.strip().lower() != "yes":
        raise Unusable(f"{undone}: the answer was not yes", hint)
