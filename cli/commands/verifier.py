"""`fitchain verifier`: the stake with which an account takes seats, and what it earned."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import find_address
from fitchain.cli.views.amounts import counted, format_duration, parse_fit
from fitchain.cli.views.output import KeyValues, Report, Rows, log
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.errors import FitchainError, InputRefused

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.jobs.staking import Obstacle, StakeMove, VerifierStatus

app = group("verifier", "Stake, be drawn, collect fees.")

ALL = "all"
NEXT_STEPS = {
    "NEVER_STAKED": "fitchain verifier stake",
    "AWAY": "fitchain verifier present, or start its pod",
    "STANDS_NOWHERE": "fitchain panel join PANEL, or fitchain panel join pool",
    "TOO_LITTLE_FREE": "fitchain verifier stake",
    "CHAIN_BEHIND": "fitchain verifier renew, or start its pod",
}
"""By the name of the obstacle: its module is not imported for `fitchain --help`."""


@command(app, "stake")
def stake(
    session: Session,
    amount: Annotated[
        str | None,
        typer.Argument(
            metavar="AMOUNT", help="FIT to add; else what is missing of a place in the pool.", show_default=False
        ),
    ] = None,
) -> Report:
    """Lock a stake, and commit to the hash chain that seats reveal.

    A seat reserves what its terms ask for; the rest is free for others. To be drawn, join a panel
    or the pool then.
    """
    from fitchain.pod.jobs.staking import stake

    move = stake(session.home, parse_fit(amount) if amount is not None else None)
    if move.behind is not None:
        log(f"its hash chain may be behind: {move.behind.message}; {NEXT_STEPS['CHAIN_BEHIND']}")
    added = amount_text(move.amount)
    line = f"staked {added} FIT{_earlier(move)}" if move.amount else "staked already"
    return _done(session.home, line, added=added, sent_before=move.sent_before)


@command(app, "unstake")
def unstake(
    session: Session,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT|all", help="FIT that no seat has reserved, or all of it.")],
) -> Report:
    """Take stake back; it is free after the unbonding time.

    What this account sits in already, it must still do.
    """
    from fitchain.pod.jobs.staking import unstake

    if amount != ALL and not parse_fit(amount):
        raise InputRefused("the amount is zero", "name how much is to leave, or all")
    move = unstake(session.home, None if amount == ALL else parse_fit(amount))
    leaving = amount_text(move.amount)
    line = f"{leaving} FIT is leaving{_earlier(move)}"
    return _done(session.home, line, leaving=leaving, sent_before=move.sent_before)


@command(app, "status")
def status(
    session: Session,
    address: Annotated[
        str | None, typer.Argument(metavar="ADDRESS", help="Another account than this home's.", show_default=False)
    ] = None,
) -> Report:
    """Show a verifier's stake, fees, places and open seats, and what to do next."""
    return _status(session.reader, find_address(address) if address else session.own_address())


@command(app, "present")
def present(session: Session) -> Report:
    """Say that this account is there again after it let a joining window pass.

    Until then nobody draws it. Its pod says so by itself when it starts.
    """
    from fitchain.pod.jobs.staking import come_back

    was_away = come_back(session.home)
    return _done(session.home, "is there again" if was_away else "was not away", was_away=was_away)


@command(app, "renew")
def renew(session: Session) -> Report:
    """Commit to the hash chain anew where that is due.

    The running pod does this by itself in time. Seats of audits that are open already can then not
    be taken any more.
    """
    from fitchain.pod.jobs.staking import renew_chain

    renewed = renew_chain(session.home)
    return _done(session.home, "renewed" if renewed else "stands: nothing to renew", renewed=renewed)


@command(app, "withdraw")
def withdraw(session: Session) -> Report:
    """Collect the fees earned, and what of the stake is free."""
    from fitchain.pod.jobs.staking import withdraw

    home = session.home
    due, receipt = withdraw(home)
    values: dict[str, Any] = {"withdrawn": amount_text(due), "address": home.keys.address}
    if receipt is None:
        return Report(values, ["nothing is waiting for this account"])
    pairs = [("withdrawn", f"{values['withdrawn']} FIT"), ("to", home.keys.address)]
    return Report({**values, "transaction": receipt.transaction}, [KeyValues(pairs)])


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
        "away": record.away,
        "stake": amount_text(record.stake),
        "staked_block": history.since,
        "audits_joined": history.joined,
        "audits_declined": history.declined,
        "audits_done": history.done,
        "votes": {outcome.name.capitalize(): count for outcome, count in sorted(history.voted.items())},
        "audits_absent": history.absent,
        "audits_lost": history.lost,
        "joining_windows_passed": history.silent,
        "penalties": amount_text(history.penalties),
        "distinct_owners": history.owners,
        "audits_not_looked_at": history.beyond,
        "trusted_account": record.address in trusted.accounts,
        "trusted_in_panels": panels,
    }
    votes = ", ".join(f"{count} {outcome}" for outcome, count in values["votes"].items()) or "none"
    beyond = f", of the newest; {history.beyond} older ones were not looked at" if history.beyond else ""
    pairs = [
        ("verifier", record.address),
        ("stake", f"{values['stake']} FIT{', away' if record.away else ''}"),
        ("audits", f"{history.done} done for {counted(history.owners, 'owner')}; votes: {votes}{beyond}"),
        ("seats", f"{history.joined} taken, {history.declined} declined, {history.silent} not answered"),
        ("absent", counted(history.absent, "time")),
        ("lost", f"{counted(history.lost, 'time')}; {values['penalties']} FIT of penalties in all"),
        ("trusted", _trusted(values["trusted_account"], len(panels))),
    ]
    return Report(values, [KeyValues(pairs)])


def _trusted(account: bool, panels: int) -> str:
    """Where this home's trust list names a verifier."""
    places = [*(["everywhere"] if account else []), *([f"in draws from {counted(panels, 'panel')}"] if panels else [])]
    return f"{' and '.join(places)}, by this home's list" if places else "not by this home's list"


def _earlier(move: StakeMove) -> str:
    return ", as sent by an earlier command that could not tell so; nothing was sent now" if move.sent_before else ""


def _done(home: Home, line: str, **done: Any) -> Report:
    """What was done, and how the account stands then. What was sent is told whatever the node
    answers then: who is told of an error instead does it again."""
    try:
        status = _status(home, home.keys.address)
    except FitchainError as error:
        log(f"how the account stands now cannot be read: {error.message}; later: fitchain verifier status")
        return Report(done | {"address": home.keys.address}, [line])
    return Report({**done, **status.values}, [line, *status.views])


def _status(home: Home, address: str) -> Report:
    """How an account stands."""
    from fitchain.pod.jobs.staking import read_status

    status = read_status(home, address)
    verifier, values = status.verifier, _values(status)
    places = [*(["the pool"] if status.in_pool else []), *(f"{name} ({id.short})" for id, name in status.panels)]
    pairs: list[tuple[str, Any]] = [
        ("verifier", verifier.address),
        ("stake", f"{values['stake']} FIT, {values['free']} free"),
        ("stands in", ", ".join(places) or "no panel, and not in the pool"),
        ("can be drawn", _drawable(status)),
        ("earned", f"{values['earned']} FIT{', to collect: fitchain verifier withdraw' if verifier.earned else ''}"),
    ]
    if verifier.unbonding:
        pairs.append(("leaving", _leaving(status)))
    rows = [
        (audit.ref.short, seat.number, audit.phase.name.lower(), format_duration(max(audit.deadline - status.now, 0)))
        for seat, audit in status.seats
    ]
    table = Rows(("audit", "seat", "phase", "time left"), rows, right=("seat",), empty="sits in no open audit")
    return Report(values, [KeyValues(pairs), table])


def _values(status: VerifierStatus) -> dict[str, Any]:
    verifier = status.verifier
    return {
        "address": verifier.address,
        "stake": amount_text(verifier.stake),
        "locked": amount_text(verifier.locked),
        "free": amount_text(verifier.free),
        "earned": amount_text(verifier.earned),
        "unbonding": amount_text(verifier.unbonding),
        "unbonded": verifier.unbonded if verifier.unbonding else None,
        "away": verifier.away,
        "pool_stake": amount_text(status.pool_stake),
        "in_pool": status.in_pool,
        "panels": [id for id, _ in status.panels],
        "can_be_drawn": status.obstacle is None,
        "obstacle": status.obstacle and status.obstacle.name,
        "chain_position": verifier.position if verifier.ever_staked else None,
        "audits_opened": status.opened,
        "audits": [
            {
                "agreement": audit.id,
                "ordinal": audit.ref.ordinal,
                "seat": seat.number,
                "phase": audit.phase.name.capitalize(),
                "deadline": audit.deadline,
            }
            for seat, audit in status.seats
        ],
    }


def next_step(obstacle: Obstacle) -> str:
    """What to do about what keeps a verifier from being drawn."""
    return NEXT_STEPS[obstacle.name]


def _drawable(status: VerifierStatus) -> str:
    if (obstacle := status.obstacle) is None:
        return "yes; its pod must run: fitchain pod verifier"
    return f"no; {obstacle.value}: {next_step(obstacle)}"


def _leaving(status: VerifierStatus) -> str:
    amount = amount_text(status.verifier.unbonding)
    if not status.bound_s:
        return f"{amount} FIT, free: fitchain verifier withdraw"
    free = time.strftime("%Y-%m-%d %H:%M", time.localtime(status.verifier.unbonded))
    return f"{amount} FIT, free in {format_duration(status.bound_s)}, {free}"
