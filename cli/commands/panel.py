"""`fitchain panel`: verifiers by name, of whom an audit may be drawn."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import PanelArgument, find_address, find_panel
from fitchain.cli.views.amounts import counted
from fitchain.cli.views.output import KeyValues, Report, Rows
from fitchain.pod.values.errors import AccessRefused, InputRefused

app = group("panel", "Name the verifiers of whom audits may be drawn.")

Members = Annotated[list[str], typer.Argument(metavar="ADDRESS...", help="Accounts of verifiers.")]
NAME_BYTES = 64


@command(app, "create")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="For people; each account has its own names.")],
    members: Members,
) -> Report:
    """Name a panel of verifiers.

    Members can be added later and are never removed.
    """
    if not 0 < len(name.encode()) <= NAME_BYTES:
        raise InputRefused(f"a panel's name has 1 to {NAME_BYTES} bytes, not {len(name.encode())}", "choose another")
    addresses = _distinct(members)
    id = session.home.registry.create_panel(name, addresses)
    values = {"panel": id, "name": name, "members": addresses}
    next = f"fitchain job request --panel {id.short} --verifiers M ..."
    return Report(values, [KeyValues([("panel", id), ("name", name), ("members", len(addresses)), ("next", next)])])


@command(app, "extend")
def extend(session: Session, panel: PanelArgument, members: Members) -> Report:
    """Add verifiers to a panel of yours.

    Audits that are open already do not draw them.
    """
    home = session.home
    entry = home.registry.panel(find_panel(home, panel))
    if entry.creator != home.keys.address:
        raise AccessRefused(
            f"the panel {entry.id.short} is {entry.creator}'s, and this home's account is {home.keys.address}",
            "make one of your own: fitchain panel create",
        )
    addresses = _distinct(members)
    for address in addresses:
        if address in entry.members:
            raise InputRefused(f"{address} is a member of {entry.name!r} already", "see `fitchain panel show`")
    home.registry.extend_panel(entry.id, addresses)
    count = len(entry.members) + len(addresses)
    values = {"panel": entry.id, "name": entry.name, "members": [*entry.members, *addresses]}
    return Report(values, [f"{entry.name} has {counted(count, 'member')} now"])


@command(app, "show")
def show(session: Session, panel: PanelArgument) -> Report:
    """Show a panel's members and which of them can be drawn."""
    home = session.reader
    entry = home.registry.panel(find_panel(home, panel))
    members = home.audits.verifiers(entry.members)
    values: dict[str, Any] = {
        "panel": entry.id,
        "name": entry.name,
        "creator": entry.creator,
        "members": [{"address": member.address, "active": member.active} for member in members],
    }
    rows = [(number, member.address, "yes" if member.active else "no") for number, member in enumerate(members)]
    head = KeyValues([("panel", entry.id), ("name", entry.name), ("creator", entry.creator)])
    return Report(values, [head, Rows(("", "member", "can be drawn"), rows, empty="no member yet")])


@command(app, "list")
def list_(session: Session) -> Report:
    """List the panels of this deployment, oldest first."""
    panels = session.reader.registry.panels()
    values = [
        {"panel": panel.id, "name": panel.name, "creator": panel.creator, "members": list(panel.members)}
        for panel in panels
    ]
    rows = [(panel.id.short, panel.name, len(panel.members), panel.creator) for panel in panels]
    table = Rows(("panel", "name", "members", "creator"), rows, right=("members",), empty="no panel yet")
    return Report({"panels": values}, [table])


def _distinct(texts: list[str]) -> list[str]:
    addresses = [find_address(text) for text in texts]
    for address in addresses:
        if addresses.count(address) > 1:
            raise InputRefused(f"{address} is named twice", "name each member once")
    return addresses
