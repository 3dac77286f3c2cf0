"""`fitchain devnet`: a chain of one's own on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.amounts import format_fit, parse_fit
from cli.command import Session, command, group
from cli.output import Facts, Report

if TYPE_CHECKING:
    from pod.settings import DevnetRecord

app = group("devnet", "Run a test chain on this machine.")


@command(app, "up")
def up(
    session: Session,
    port: Annotated[int, typer.Option("--port", metavar="PORT", help="TCP port; 0 takes a free one.", min=0, max=65535)] = 8545,
) -> Report:
    """Start the test chain, or find it running; it is the default chain until `devnet down`."""
    from pod.chain import devnet

    return _running(session, devnet.up(session.settings.devnet, port))


@command(app, "status")
def status(session: Session) -> Report:
    """Say whether the test chain runs."""
    from pod.chain import devnet

    record = devnet.status(session.settings.devnet)
    if record is None:
        return Report(
            {"running": False, "folder": session.settings.devnet}, ["the devnet is not running; `fitchain devnet up` starts it"]
        )
    return _running(session, record)


@command(app, "down")
def down(session: Session) -> Report:
    """Stop the test chain; what was on it is gone."""
    from pod.chain import devnet

    stopped = devnet.down(session.settings.devnet)
    return Report({"stopped": stopped}, ["the devnet is stopped" if stopped else "the devnet was not running"])


@command(app, "fund")
def fund(
    session: Session,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="An account, as `keys list` shows it.")],
    eth: Annotated[str, typer.Option("--eth", metavar="AMOUNT", help="For gas.")] = "10",
    fit: Annotated[str, typer.Option("--fit", metavar="AMOUNT", help="For prices and bonds.")] = "1000",
) -> Report:
    """Give an account test ETH and FIT."""
    from pod.chain import devnet

    wei, units = parse_fit(eth), parse_fit(fit)
    devnet.fund(session.settings, address, wei, units)
    given = {"address": address, "eth": format_fit(wei), "fit": format_fit(units)}
    return Report(given, [Facts([("funded", address), ("with", f"{given['eth']} ETH and {given['fit']} FIT")])])


def _running(session: Session, record: DevnetRecord) -> Report:
    values = {
        "running": True,
        "rpc": record.rpc,
        "chain_id": record.chain_id,
        "pid": record.pid,
        "store": record.store,
        "folder": session.settings.devnet,
    }
    pairs = [
        ("node", f"{record.rpc}, chain {record.chain_id}, process {record.pid}"),
        ("store", record.store),
        ("folder", session.settings.devnet),
    ]
    return Report(values, ["the devnet is running", Facts(pairs)])
