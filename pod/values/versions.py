"""Versions of formats: what this release reads, and what it says of others.

A format's version is the name `<format>/v<number>`; whoever reads one of another number has refuted
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fitchain.pod.values.errors import OtherVersion

_NAME = re.compile(r"(.{1,80})/v([0-9]{1,6})", re.ASCII)


def require_version(what: str, value: object, own: str, field: str = "version") -> None:
    """Check of which version something is, before anything is said of its form.

    Args:
        what: how messages call it, such as "the card".
        value: its JSON value; what names no version is not refused here.
        own: the version that is read here.
        field: the field that names it.

    Raises:
        OtherVersion: it is of another.
    """
    version = value.get(field) if isinstance(value, Mapping) else None
    if isinstance(version, str) and version != own:
        raise OtherVersion(*_about_other(what, version, own))


def _about_other(what: str, version: str, own: str) -> tuple[str, str]:
    """What to say of another version, and what to do."""
    theirs, ours = _NAME.fullmatch(version), _NAME.fullmatch(own)
    if theirs is None or ours is None or theirs[1] != ours[1]:
        return f"{what} says that it is {version[:100]!a}, and {own!r} is read here", (
            "it is something else, or of another release of Fitchain"
        )
    message = f"{what} is of version v{int(theirs[2])}, and this release of Fitchain reads v{ours[2]}"
    if int(theirs[2]) > int(ours[2]):
        return message, "it is of a later version: use a newer release of Fitchain"
    return message, "it is of an earlier version: use the release of Fitchain that made it"
