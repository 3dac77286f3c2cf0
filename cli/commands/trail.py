"""`fitchain job trail` and `fitchain proof trail`: what happened to a job as a file, and what of it
anybody can check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.ids import AgreementArgument, find_agreement
from fitchain.cli.views.amounts import clock, counted
from fitchain.cli.views.history import KEPT
from fitchain.cli.views.output import KeyValues, Report

if TYPE_CHECKING:
    from fitchain.pod.proof.trail import Trail


def register(job: typer.Typer, proof: typer.Typer) -> None:
    """Add the commands."""
    command(job, "trail")(export)
    command(proof, "trail")(check)


def export(
    session: Session,
    agreement: AgreementArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new file, of JSON lines.", show_default=False)],
    sign: Annotated[bool, typer.Option("--sign", help="Sign it with this home's account.")] = False,
) -> Report:
    """Write what happened to a job into a file for others.

    Who asked, who approved when, what ran, what left and what was deleted, as this home's history
    has it, and the chain's events beside it; no metric's value, no key, no record. Each line
    carries the digest of the one before: write the last digest down.
    """
    from fitchain.pod.jobs.trail import export_trail
    from fitchain.pod.parties.owner.disclosed import disclosed_of
    from fitchain.pod.parties.owner.review import is_own

    home = session.reader
    job = home.agreements.read(find_agreement(home, agreement))
    disclosed = disclosed_of(home, job) if is_own(home, job) else None
    signer = session.home.keys if sign else None
    digest = export_trail(home, job.id, session.own_address(), out, disclosed, signer)
    values = {"agreement": job.id, "file": out, "digest": digest, "signed": sign}
    pairs: list[tuple[str, Any]] = [
        ("job", job.id),
        ("file", out),
        ("digest", f"{digest}: write it down, it shows later that nothing was changed since"),
        ("next", f"fitchain proof trail {out}"),
    ]
    return Report(values, [KeyValues(pairs)])


def check(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `job trail` wrote it.")],
    digest: Annotated[
        str | None,
        typer.Option("--digest", metavar="0x...", help="Of the last line, as you wrote it down.", show_default=False),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no node: its events are compared with nothing.")
    ] = False,
) -> Report:
    """Check a file of `job trail`: whether its lines follow on one another, and its events are the
    chain's.

    Needs no key and no data; the node is yours. What its entries say is the word of whoever
    exported it. Exits 1 with the line's number where something does not hold.
    """
    from fitchain.pod.ports.chain.witness import connect_witnessed
    from fitchain.pod.proof.trail import EVENT, compare_events, read_trail
    from fitchain.pod.values.digest import Digest
    from fitchain.pod.values.errors import DigestMismatch

    wanted = None if digest is None else Digest.parse(digest)
    trail = read_trail(file)
    if wanted is not None and trail.digest != wanted:
        raise DigestMismatch(
            f"the last line's digest is {trail.digest}, and {wanted} was written down",
            "its lines follow on one another, but it is not the file that was exported then",
        )
    since = None if offline else compare_events(trail, connect_witnessed(session.settings))
    count = len(trail.of_kind(EVENT))
    values = {
        "agreement": trail.agreement,
        "account": trail.account,
        "role": trail.role,
        "signed": trail.is_signed,
        "exported": trail.exported,
        "lines": len(trail.lines),
        "events": count,
        "block": trail.block,
        "digest": trail.digest,
        "digest_given": wanted is not None,
        "events_compared": since is not None,
        "events_since": since,
        "deleted": _deletions(trail),
    }
    return Report(values, [KeyValues(_pairs(trail, count, since, wanted is not None))])


def _pairs(trail: Trail, count: int, since: int | None, is_given: bool) -> list[tuple[str, Any]]:
    """What was checked, and what was not."""
    written = "that is the one given: nothing was changed since it was written down"
    if not is_given:
        written = "compare it with the one written down: else the file may be another"
    events = f"{counted(count, 'event')} in it; not compared with a chain"
    if since is not None:
        more = f"; it has {counted(since, 'event')} more since" if since else ""
        events = f"all {count} up to block {trail.block} are the chain's, and it has no others there{more}"
    who = "" if trail.role == "other" else f", the job's {trail.role}"
    signed = "signed by it" if trail.is_signed else "signed by nobody"
    deleted = [
        ("deleted", f"{clock(each['time'])}, by the same word: {', '.join(KEPT[kind] for kind in each['what'])}")
        for each in _deletions(trail)
    ]
    return [
        ("job", trail.agreement),
        ("lines", f"{len(trail.lines)} follow on one another"),
        ("digest", f"{trail.digest}; {written}"),
        ("events", events),
        ("entries", f"the word of {trail.account}{who}, of {clock(trail.exported)}, {signed}: nobody can check them"),
        *deleted,
    ]


def describe_stated(trail: Trail) -> tuple[dict[str, Any], KeyValues]:
    """What an owner's signed trail states of deletions, as values and as lines: never as a fact."""
    deletions = _deletions(trail)
    lines: list[tuple[str, Any]] = [
        (
            "stated",
            f"the owner states that {', '.join(KEPT[kind] for kind in each['what'])} of its home "
            f"were deleted on {clock(each['time'])}; nobody can check that",
        )
        for each in deletions
    ]
    if not lines:
        lines.append(("stated", f"the owner's trail of {clock(trail.exported)} names nothing that was deleted"))
    return {"account": trail.account, "exported": trail.exported, "deleted": deletions}, KeyValues(lines)


def _deletions(trail: Trail) -> list[dict[str, Any]]:
    """What it says was deleted, and when."""
    from fitchain.pod.jobs.history import Removed, parse_entry
    from fitchain.pod.proof.trail import ENTRY

    bodies = (line.body for line in trail.of_kind(ENTRY))
    entries = ((body["time"], parse_entry(body["entry"], body["body"])) for body in bodies)
    return [
        {"time": time, "what": list(entry.what), "ends": list(entry.ends)}
        for time, entry in entries
        if isinstance(entry, Removed)
    ]
