"""`fitchain panel`: verifiers by name, of whom an audit may be drawn, and the pool of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import PanelArgument, PlaceArgument, find_address, find_place, match_panel
from fitchain.cli.views.amounts import counted, day
from fitchain.cli.views.output import KeyValues, Report, Rows
from fitchain.cli.views.panels import age_of
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.ids import WHOLE_POOL

if TYPE_CHECKING:
    from fitchain.pod.jobs.panels import PanelDetails, PanelMember

app = group("panel", "Name the verifiers of whom audits may be drawn, or be one of them.")

Accounts = Annotated[list[str], typer.Argument(metavar="ADDRESS...", help="Accounts of verifiers.")]
InvitedAccounts = Annotated[
    list[str] | None, typer.Argument(metavar="[ADDRESS]...", help="Accounts to invite.", show_default=False)
]


@command(app, "create")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="For people; each account has its own names.")],
    accounts: InvitedAccounts = None,
) -> Report:
    """Name a panel and invite verifiers into it.

    Each of them joins by a transaction of its own. Whoever stands in the panel before a request can
    be drawn for it.
    """
    from fitchain.pod.jobs.panels import create_panel

    addresses = _addresses(accounts or [])
    id = create_panel(session.home, name, addresses)
    values = {"panel": id, "name": name, "invited": addresses}
    next = f"each of them joins: fitchain panel join {id.short}" if addresses else f"fitchain panel invite {id.short}"
    return Report(values, [KeyValues([("panel", id), ("name", name), ("invited", len(addresses)), ("next", next)])])


@command(app, "invite")
def invite(session: Session, panel: PanelArgument, accounts: Accounts) -> Report:
    """Invite verifiers into a panel of yours."""
    from fitchain.pod.jobs.panels import invite

    home = session.home
    id, addresses = match_panel(home.registry, panel), _addresses(accounts)
    fresh = invite(home, id, addresses)
    before = [address for address in addresses if address not in fresh]
    values = {"panel": id, "invited": list(fresh), "invited_before": before}
    again = f"; {len(before)} had been invited before" if before else ""
    line = f"invited {counted(len(fresh), 'account')}{again}; each joins by itself: fitchain panel join {id.short}"
    return Report(values, [line])


@command(app, "expel")
def expel(
    session: Session,
    panel: PanelArgument,
    account: Annotated[str, typer.Argument(metavar="ADDRESS", help="Account of a member, or of who was invited.")],
) -> Report:
    """Take an invitation and a place in a panel of yours back, for later requests.

    Audits of requests that were made before may still draw the account.
    """
    from fitchain.pod.jobs.panels import expel

    home = session.home
    id, address = match_panel(home.registry, panel), find_address(account)
    expel(home, id, address)
    return Report({"panel": id, "expelled": address}, [f"{address} is not drawn for requests made from now on"])


@command(app, "join")
def join(session: Session, panel: PlaceArgument) -> Report:
    """Take this account's place in a panel that invited it, or in the pool.

    It can be drawn for requests that are made in later blocks.
    """
    from fitchain.pod.jobs.panels import join

    home = session.home
    id = find_place(home.registry, panel)
    joined = join(home, id)
    name = "the pool" if id == WHOLE_POOL else f"the panel {id.short}"
    verb = "stands from now on" if joined else "stood already"
    lines = [f"{home.keys.address} {verb} in {name}; its pod must run: fitchain pod verifier"]
    return Report(_place_values(id) | {"address": home.keys.address, "joined": joined}, lines)


@command(app, "leave")
def leave(session: Session, panel: PlaceArgument) -> Report:
    """Give this account's place in a panel or in the pool up, for later requests.

    What it sits in already, it must still do.
    """
    from fitchain.pod.jobs.panels import leave

    home = session.home
    id = find_place(home.registry, panel)
    leave(home, id)
    name = "the pool" if id == WHOLE_POOL else f"the panel {id.short}"
    values = _place_values(id) | {"address": home.keys.address}
    return Report(values, [f"{home.keys.address} stands in {name} no more"])


@command(app, "show")
def show(session: Session, panel: PlaceArgument) -> Report:
    """Show who stands in a panel or the pool, since when, with what stake, and who can be drawn."""
    from fitchain.pod.jobs.panels import read_panel

    home = session.reader
    id = find_place(home.registry, panel)
    details = read_panel(home, id)
    head: list[tuple[str, Any]] = [("panel", "the pool: whoever has staked and joined it")]
    record = details.record
    if record:
        head = [
            ("panel", record.id),
            ("name", record.name),
            ("made by", f"{record.creator}, who alone invites"),
            ("created", age_of(record.time, details.now)),
        ]
    if beyond := details.size - len(details.members):
        head.append(("members", f"{details.size}, of whom {beyond} are not looked at"))
    if details.invited:
        head.append(("invited", f"{', '.join(details.invited)}; not joined"))
    values = _place_values(id) | {
        "name": record.name if record else None,
        "creator": record.creator if record else None,
        "created_block": record.block if record else None,
        "created": record.time if record else None,
        "size": details.size,
        "members": [_member_values(member, details) for member in details.members],
        "invited_not_joined": list(details.invited),
    }
    return Report(values, [KeyValues(head), _members(details)])


@command(app, "list")
def list_(
    session: Session,
    creator: Annotated[
        str | None, typer.Option("--creator", metavar="ADDRESS", help="Only panels of that account.")
    ] = None,
    newest: Annotated[int, typer.Option("--newest", metavar="N", help="How many, the newest.", min=1)] = 100,
) -> Report:
    """List the newest panels of this deployment, oldest first."""
    from fitchain.pod.jobs.panels import list_panels

    home = session.reader
    panels, older = list_panels(home, find_address(creator) if creator else None, newest)
    values = [
        {
            "panel": panel.record.id,
            "name": panel.record.name,
            "creator": panel.record.creator,
            "created": panel.record.time,
            "size": panel.size,
        }
        for panel in panels
    ]
    rows = [
        (panel.record.id.short, panel.record.name, panel.size, day(panel.record.time), panel.record.creator)
        for panel in panels
    ]
    table = Rows(("panel", "name", "members", "created", "creator"), rows, right=("members",), empty="no panel yet")
    more = [f"{counted(older, 'older panel')} not shown: see --newest"] if older else []
    return Report({"panels": values, "older": older}, [table, *more])


def _members(details: PanelDetails) -> Rows:
    rows = [
        (
            member.verifier.address,
            f"block {member.block}, {day(member.time)}",
            amount_text(member.verifier.stake),
            amount_text(member.verifier.free),
            _drawable(member, details),
        )
        for member in details.members
    ]
    heads = ("member", "joined", "stake", "free", "can be drawn")
    return Rows(heads, rows, right=("stake", "free"), empty="nobody has joined yet")


def _drawable(member: PanelMember, details: PanelDetails) -> str:
    if member.verifier.away:
        return "no: it is away"
    return "yes" if member.verifier.free >= details.least_seat_stake else "yes, but has no free stake for a seat"


def _member_values(member: PanelMember, details: PanelDetails) -> dict[str, Any]:
    verifier = member.verifier
    return {
        "address": verifier.address,
        "joined_block": member.block,
        "joined": member.time,
        "stake": amount_text(verifier.stake),
        "free": amount_text(verifier.free),
        "away": verifier.away,
        "can_be_drawn": not verifier.away,
        "can_take_a_seat": not verifier.away and verifier.free >= details.least_seat_stake,
    }


def _place_values(panel: object) -> dict[str, Any]:
    """A panel by its id; the pool has none."""
    return {"panel": None if panel == WHOLE_POOL else panel, "pool": panel == WHOLE_POOL}


def _addresses(texts: list[str]) -> list[str]:
    return [find_address(text) for text in texts]
