"""`fitchain devnet`: a chain of one's own on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import find_address
from fitchain.cli.views.amounts import parse_fit
from fitchain.cli.views.output import KeyValues, Report
from fitchain.pod.values.amounts import amount_text

if TYPE_CHECKING:
    from fitchain.pod.ports.settings import DevnetRecord

app = group("devnet", "Run a test chain on this machine.")


@command(app, "up")
def up(
    session: Session,
    port: Annotated[int, typer.Option(metavar="PORT", help="TCP port; 0 takes a free one.", min=0, max=65535)] = 8545,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the chain that an earlier devnet left.")] = False,
    ipfs: Annotated[bool, typer.Option("--ipfs", help="Start a private pair of IPFS nodes beside it.")] = False,
) -> Report:
    """Start the test chain, or find it running.

    It goes on with the chain that it left. It is the default chain of every command until `devnet
    down`. With --ipfs the first of two IPFS nodes, which know nobody but each other, is the default
    store; name the second with --store.
    """
    from fitchain.pod.ports.chain import devnet
    from fitchain.pod.ports.store import devnet_nodes

    folder = session.settings.devnet
    if not ipfs:
        return _running(session, devnet.up(folder, port, fresh))
    nodes = devnet_nodes.up(folder).nodes
    devnet.up(folder, port, fresh)
    return _running(session, devnet.choose_store(folder, nodes[0].store))


@command(app, "status")
def status(session: Session) -> Report:
    """Say whether the test chain runs."""
    from fitchain.pod.ports.chain import devnet

    record = devnet.status(session.settings.devnet)
    if record is None:
        return Report(
            {"running": False, "folder": session.settings.devnet},
            ["the devnet is not running; `fitchain devnet up` starts it"],
        )
    return _running(session, record)


@command(app, "down")
def down(session: Session) -> Report:
    """Stop the test chain, and its IPFS nodes; what they hold is kept for the next `up`."""
    from fitchain.pod.ports.chain import devnet
    from fitchain.pod.ports.store import devnet_nodes

    stopped = devnet.down(session.settings.devnet)
    stopped = devnet_nodes.down(session.settings.devnet) or stopped
    return Report({"stopped": stopped}, ["the devnet is stopped" if stopped else "the devnet was not running"])


@command(app, "fund")
def fund(
    session: Session,
    address: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="An account; else this home's own.", show_default=False)
    ] = None,
    eth: Annotated[str, typer.Option(metavar="AMOUNT", help="For gas.")] = "10",
    fit: Annotated[str, typer.Option(metavar="AMOUNT", help="For prices and bonds.")] = "1000",
) -> Report:
    """Give an account test ETH and FIT."""
    from fitchain.pod.ports.chain import devnet

    wei, units = parse_fit(eth, "ETH"), parse_fit(fit)
    to = find_address(address) if address else session.own_address()
    devnet.fund(session.settings, to, wei, units)
    values = {"address": to, "eth": amount_text(wei), "fit": amount_text(units)}
    return Report(values, [KeyValues([("funded", to), ("with", f"{values['eth']} ETH and {values['fit']} FIT")])])


def _running(session: Session, record: DevnetRecord) -> Report:
    from fitchain.pod.ports.store import devnet_nodes

    pair = devnet_nodes.status(session.settings.devnet)
    nodes = (
        [{"store": node.store, "peer": node.peer, "pid": node.pid, "running": node.alive} for node in pair.nodes]
        if pair
        else []
    )
    values = {
        "running": True,
        "rpc": record.rpc,
        "chain_id": record.chain_id,
        "pid": record.pid,
        "version": record.version,
        "store": record.store,
        "ipfs_version": pair.version if pair else None,
        "ipfs": nodes,
        "folder": session.settings.devnet,
    }
    pairs = [
        ("devnet", "running"),
        ("node", f"{record.rpc}, chain {record.chain_id}"),
        ("process", f"{record.pid}, {record.version}"),
        ("store", record.store),
        ("folder", session.settings.devnet),
    ]
    if pair:
        pairs += [(f"IPFS node {number}", node["store"]) for number, node in enumerate(nodes, 1)]
        pairs.append(("IPFS", f"Kubo {pair.version}, connected with each other alone"))
    return Report(values, [KeyValues(pairs)])
