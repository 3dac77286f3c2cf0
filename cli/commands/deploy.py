"""`fitchain deploy`: put the contracts on a chain."""

from __future__ import annotations

from typing import Annotated

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.views.output import KeyValues, Report


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "deploy")(deploy)


def deploy(
    session: Session,
    key: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The key that pays; a devnet needs none.", show_default=False),
    ] = None,
) -> Report:
    """Put the contracts on the chain.

    An interrupted deployment goes on where it stopped; a complete one is found and left as it is.
    """
    from fitchain.pod.ports import keys
    from fitchain.pod.ports.chain.deploy import deploy as put_contracts
    from fitchain.pod.ports.chain.deploy import record_path

    settings = session.settings
    account = keys.unlock(settings.home, key, session.passphrase()) if key else None
    deployment = put_contracts(settings, account)
    path = record_path(settings, deployment.chain_id)
    values = {
        "chain_id": deployment.chain_id,
        "block": deployment.block,
        "contracts": dict(deployment.addresses),
        "file": path,
    }
    pairs = [("chain", deployment.chain_id), *deployment.addresses.items(), ("written to", path)]
    return Report(values, [KeyValues(pairs)])
