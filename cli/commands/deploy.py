"""`fitchain deploy`: put the contracts on a chain."""

from __future__ import annotations

from typing import Annotated

import typer

from fitchain.cli.command import Session, command
from fitchain.cli.views.amounts import parse_fit
from fitchain.cli.views.output import KeyValues, Report
from fitchain.pod.values.amounts import amount_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "deploy")(deploy)


def deploy(
    session: Session,
    key: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The key that pays; a devnet needs none.", show_default=False),
    ] = None,
    fee_floor: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="The least fee of a verifier's seat, in FIT; 1.", show_default=False),
    ] = None,
    turn_blocks: Annotated[
        int | None,
        typer.Option(
            metavar="BLOCKS",
            help="How long only the asker of an audit draws its verifiers; 25, and 8 on the devnet.",
            show_default=False,
        ),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(metavar="N", help="Sets deployments of one account apart; 0.", show_default=False),
    ] = None,
    with_factory: Annotated[
        bool, typer.Option("--with-factory", help="Pay for the CREATE2 factory where the chain lacks it.")
    ] = False,
) -> Report:
    """Put the contracts on the chain.

    Their addresses follow from the account and from what is chosen. An interrupted deployment goes
    on where it stopped; a complete one is found and left as it is.
    """
    from fitchain.pod.ports import keys
    from fitchain.pod.ports.chain.connect import connect
    from fitchain.pod.ports.chain.deploy import Choices, record_path
    from fitchain.pod.ports.chain.deploy import deploy as put_contracts
    from fitchain.pod.ports.chain.verification import verification_paths

    settings = session.settings
    choices = Choices(parse_fit(fee_floor) if fee_floor else None, turn_blocks, number, with_factory)
    account = keys.unlock(settings.home, key, session.passphrase()) if key else None
    deployment = put_contracts(settings, account, choices)
    constants = connect(settings).constants
    path = record_path(settings, deployment.chain_id)
    verification = verification_paths(path)
    values = {
        "chain_id": deployment.chain_id,
        "block": deployment.block,
        "contracts": dict(deployment.addresses),
        "directory": deployment.directory,
        "number": deployment.number,
        "deployer": constants.deployer,
        "fee_floor": amount_text(constants.fee_floor),
        "turn_blocks": constants.turn_blocks,
        "minimum_window_s": constants.minimum_window_s,
        "file": path,
        "verification": list(verification),
    }
    pairs = [
        ("chain", deployment.chain_id),
        *deployment.addresses.items(),
        ("least fee of a seat", f"{values['fee_floor']} FIT"),
        ("asker's turn to draw", f"{constants.turn_blocks} blocks"),
        ("written to", path),
        ("beside it", f"{' and '.join(file.name for file in verification)}, for a block explorer"),
    ]
    return Report(values, [KeyValues(pairs)])
