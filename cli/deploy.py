"""`fitchain deploy`: put the contracts on a chain."""

from __future__ import annotations

import typer

from cli.command import Session, command
from cli.output import Facts, Report


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "deploy")(deploy)


def deploy(session: Session) -> Report:
    """Deploy the contracts, or go on where an interrupted deployment stopped."""
    from pod.chain import deploy as deploying

    deployment = deploying.deploy(session.settings)
    values = {"chain_id": deployment.chain_id, "block": deployment.block, "contracts": dict(deployment.addresses)}
    pairs = [("chain", deployment.chain_id), *deployment.addresses.items()]
    return Report(values, [Facts(pairs)])
