"""`fitchain verifier`: the stake with which an account can be drawn, and what it earned."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import find_address
from fitchain.cli.views.amounts import counted, format_duration, format_fit
from fitchain.cli.views.output import KeyValues, Report, Rows
from fitchain.pod.values.errors import Unusable

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.ports.agreement import Audit, Verifier

app = group("verifier", "Stake, be drawn, collect fees.")


@command(app, "stake")
def stake(session: Session) -> Report:
    """Lock a verifier's stake, or what is missing of it.

    From the next block on this account can be drawn.
    """
    home = session.home
    before = home.audits.verifier(home.keys.address)
    if before.active:
        return _status(home, before, "staked already")
    if (left := _bound_for(home, before)) > 0:
        raise Unusable(
            f"the stake of {before.address} is bound for {format_duration(left)} more: it is leaving",
            "stake again after that time",
        )
    home.audits.stake()
    return _status(home, home.audits.verifier(before.address), "staked")


@command(app, "unstake")
def unstake(session: Session) -> Report:
    """Leave; the stake is free after the unbonding time.

    No audit that is opened later draws this account. What it sits in already, it must still do.
    """
    home = session.home
    before = home.audits.verifier(home.keys.address)
    if not before.stake:
        raise Unusable(f"{before.address} has no stake", "lock one: fitchain verifier stake")
    if before.unbonded:
        raise Unusable(f"{before.address} is leaving already", "see `fitchain verifier status`")
    home.audits.unstake()
    return _status(home, home.audits.verifier(before.address), "leaving")


@command(app, "status")
def status(
    session: Session,
    address: Annotated[
        str | None, typer.Argument(metavar="ADDRESS", help="Another account than this home's.", show_default=False)
    ] = None,
) -> Report:
    """Show a verifier's stake, fees and open audits."""
    home = session.reader
    record = home.audits.verifier(find_address(address) if address else session.own_address())
    report, audits = _status(home, record), _seats_of(home, record.address)
    now = home.chain.block("latest").timestamp
    values = [
        {"agreement": audit.id, "seat": seat, "phase": audit.phase.name.capitalize(), "deadline": audit.deadline}
        for seat, audit in audits
    ]
    rows = [
        (audit.id.short, seat, audit.phase.name.lower(), format_duration(max(audit.deadline - now, 0)))
        for seat, audit in audits
    ]
    table = Rows(("job", "seat", "phase", "time left"), rows, right=("seat",), empty="sits in no open audit")
    return Report({**report.values, "audits": values}, [*report.views, table])


@command(app, "show")
def show(
    session: Session, account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="A verifier's address.")]
) -> Report:
    """Show what a verifier has done: audits, votes, absences, losses, for how many owners."""
    from fitchain.pod.ports.agreement import read_verifier_history
    from fitchain.pod.ports.chain import connect
    from fitchain.pod.ports.trust import trusted_by

    chain = connect(session.settings)
    history = read_verifier_history(chain, find_address(account))
    record, trusted = history.verifier, trusted_by(chain)
    panels = [id for id, members in trusted.panels.items() if record.address in members]
    values: dict[str, Any] = {
        "verifier": record.address,
        "active": record.active,
        "stake": format_fit(record.stake),
        "staked_block": history.since,
        "audits_joined": history.joined,
        "audits_declined": history.declined,
        "audits_done": history.done,
        "votes": {outcome.name.capitalize(): count for outcome, count in sorted(history.voted.items())},
        "audits_absent": history.absent,
        "audits_lost": history.lost,
        "penalties": format_fit(history.penalties),
        "distinct_owners": history.owners,
        "audits_not_looked_at": history.beyond,
        "trusted_account": record.address in trusted.accounts,
        "trusted_in_panels": panels,
    }
    votes = ", ".join(f"{count} {outcome}" for outcome, count in values["votes"].items()) or "none"
    beyond = f", of the newest; {history.beyond} older ones were not looked at" if history.beyond else ""
    pairs = [
        ("verifier", record.address),
        ("stake", f"{values['stake']} FIT, {'can be drawn' if record.active else 'cannot be drawn'}"),
        ("audits", f"{history.done} done for {counted(history.owners, 'owner')}; votes: {votes}{beyond}"),
        ("seats", f"{history.joined} taken, {history.declined} declined"),
        ("absent", counted(history.absent, "time")),
        ("lost", f"{counted(history.lost, 'time')}; {values['penalties']} FIT of penalties in all"),
        ("trusted", _trusted(values["trusted_account"], len(panels))),
    ]
    return Report(values, [KeyValues(pairs)])


def _trusted(account: bool, panels: int) -> str:
    """Where this home's trust list names a verifier."""
    places = [*(["everywhere"] if account else []), *([f"in draws from {counted(panels, 'panel')}"] if panels else [])]
    return f"{' and '.join(places)}, by this home's list" if places else "not by this home's list"


@command(app, "withdraw")
def withdraw(session: Session) -> Report:
    """Collect the fees earned, and the stake once it is free."""
    home = session.home
    before = home.audits.verifier(home.keys.address)
    free = bool(before.unbonded) and _bound_for(home, before) <= 0
    due = before.earned + (before.stake if free else 0)
    if not due:
        left = _bound_for(home, before)
        hint = f"; the stake is free in {format_duration(left)}" if left > 0 else ""
        return Report({"withdrawn": "0", "address": before.address}, [f"nothing is waiting for this account{hint}"])
    receipt = home.audits.withdraw()
    values = {"withdrawn": format_fit(due), "address": before.address, "transaction": receipt.transaction}
    return Report(values, [KeyValues([("withdrawn", f"{values['withdrawn']} FIT"), ("to", before.address)])])


def _status(home: Home, record: Verifier, what: str | None = None) -> Report:
    values = {
        "address": record.address,
        "active": record.active,
        "stake": format_fit(record.stake),
        "full_stake": format_fit(home.audits.full_stake()),
        "earned": format_fit(record.earned),
        "unbonded": record.unbonded or None,
        "number": record.number or None,
    }
    pairs: list[tuple[str, Any]] = [
        ("verifier", record.address),
        ("stake", f"{values['stake']} of {values['full_stake']} FIT"),
        ("can be drawn", _drawable(home, record)),
        ("earned", f"{values['earned']} FIT{', to collect: fitchain verifier withdraw' if record.earned else ''}"),
    ]
    return Report(values, [*([what] if what else []), KeyValues(pairs)])


def _drawable(home: Home, record: Verifier) -> str:
    if record.active:
        return "yes; its pod must run: fitchain pod verifier"
    if not record.number:
        return "no; it never staked: fitchain verifier stake"
    if not record.unbonded:
        return "no; a penalty took a part of its stake: fitchain verifier stake"
    if (left := _bound_for(home, record)) > 0:
        free = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.unbonded))
        return f"no; it is leaving, and its stake is free in {format_duration(left)}, {free}"
    return f"no; it left{', and its stake is free: fitchain verifier withdraw' if record.stake else ''}"


def _bound_for(home: Home, record: Verifier) -> int:
    """Seconds until a leaving verifier's stake is free; at most 0 where it is, or stays."""
    return record.unbonded - home.chain.block("latest").timestamp if record.unbonded else 0


def _seats_of(home: Home, address: str) -> list[tuple[int, Audit]]:
    """The open audits in which an account sits, with its seat."""
    ids = {draw.id: None for draw in home.audits.draws() if address in draw.seats}
    seated = [(audit.seat_of(address), audit) for audit in map(home.audits.read, ids)]
    return [(seat.number, audit) for seat, audit in seated if seat is not None and not audit.phase.over]
