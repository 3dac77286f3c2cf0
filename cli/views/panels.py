"""A panel as the command line shows it to who is about to be judged by a draw from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fitchain.cli.views.amounts import counted, format_duration

if TYPE_CHECKING:
    from fitchain.pod.jobs.panel_status import PanelStatus

SHOWN_MEMBERS = 6


def age_of(created: int, now: int, when: str = "") -> str:
    """How old something is, or was when something happened, with the day of its creation: `3d 4h
    old, of 2026-11-22`."""
    return (
        f"{format_duration(max(now - created, 0))} old{when}, of {time.strftime('%Y-%m-%d', time.localtime(created))}"
    )


def members_line(members: tuple[str, ...] | list[str]) -> str:
    """Members by account; of many the first."""
    shown = ", ".join(members[:SHOWN_MEMBERS])
    return f"{shown}{f' and {len(members) - SHOWN_MEMBERS} more' if len(members) > SHOWN_MEMBERS else ''}" or "nobody"


def pairs_of(status: PanelStatus | None) -> list[tuple[str, Any]]:
    """A panel in labelled lines; None is the whole pool."""
    if status is None:
        return [("drawn from", "the whole pool of verifiers")]
    record, party = status.record, status.party(status.record.creator)
    creator = f"{record.creator}{f' (the {party})' if party else ''}"
    when = " when it was asked for" if status.requested else ""
    drawn = f"the panel {record.name!r}, {record.id}; {age_of(record.time, status.seen_at, when)}, made by {creator}"
    pairs: list[tuple[str, Any]] = [
        ("drawn from", drawn),
        (counted(len(status.members), "member"), members_line(status.members)),
    ]
    if status.joined_later:
        pairs.append(("joined since", f"{members_line(status.joined_later)}, after this home looked at it"))
    return pairs + [("mind", concern) for concern in status.concerns()]


def values(status: PanelStatus | None) -> dict[str, Any] | None:
    """The JSON form of a panel; None for the whole pool."""
    if status is None:
        return None
    record = status.record
    return {
        "panel": record.id,
        "name": record.name,
        "creator": record.creator,
        "creator_party": status.party(record.creator) or None,
        "created": record.time,
        "members": list(status.members),
        "members_that_are_parties": list(status.members_that_are_parties),
        "unknown_members": list(status.unknown),
        "joined_later": list(status.joined_later),
        "concerns": status.concerns(),
    }
