"""`fitchain coin`: FIT, in which everything is paid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import find_address
from fitchain.cli.views.amounts import parse_fit
from fitchain.cli.views.output import KeyValues, Report, log
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.errors import FitchainError, InputRefused

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home

app = group("coin", "See what an account has, and hand on FIT.")


@command(app, "balance")
def balance(
    session: Session,
    address: Annotated[
        str | None, typer.Argument(metavar="ADDRESS", help="Another account than this home's.", show_default=False)
    ] = None,
) -> Report:
    """Show an account's FIT and ETH, and what waits to be collected."""
    home = session.reader
    account = find_address(address) if address else session.own_address()
    verifier = home.verifiers.verifier(account)
    values: dict[str, Any] = {
        "address": account,
        "fit": amount_text(home.chain.fit_balance(account)),
        "eth": amount_text(home.chain.balance(account)),
        "owed": amount_text(home.agreements.owed(account)),
        "staked": amount_text(verifier.stake),
        "leaving": amount_text(verifier.unbonding),
        "earned": amount_text(verifier.earned),
    }
    pairs = [
        ("address", account),
        ("FIT", values["fit"]),
        ("ETH", f"{values['eth']}, for gas"),
        ("owed", f"{values['owed']} FIT of jobs (fitchain job withdraw)"),
        (
            "staked",
            f"{values['staked']} FIT as a verifier, {values['earned']} FIT of fees (fitchain verifier withdraw)",
        ),
    ]
    return Report(values, [KeyValues(pairs)])


@command(app, "send")
def send(
    session: Session,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Who gets it.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="FIT, such as 12.5.")],
) -> Report:
    """Hand on FIT to another account; nobody can take it back."""
    from fitchain.pod.jobs.payments import pay

    to, units = find_address(address), parse_fit(amount)
    home = session.home
    if not units:
        raise InputRefused("the amount is zero", "name how much is to be sent")
    if to in (*home.chain.deployment.addresses.values(), home.keys.address):
        whose = "is this home's own account" if to == home.keys.address else "is a contract of this deployment"
        raise InputRefused(f"{to} {whose}: what is sent there helps nobody", "check the address")
    receipt = pay(home, to, units)
    left = _left(home)
    sent = f"{amount_text(units)} FIT"
    values = {
        "sent": amount_text(units),
        "from": home.keys.address,
        "to": to,
        "left": left,
        "sent_before": receipt is None,
        "transaction": receipt and receipt.transaction,
        "gas": receipt.gas_used if receipt else 0,
    }
    if receipt is None:
        sent += ", by an earlier command that could not tell so; nothing was sent now"
    return Report(values, [KeyValues([("sent", sent), ("to", to), ("left", f"{left} FIT" if left else None)])])


def _left(home: Home) -> str | None:
    """What the account has after a payment; None where the node does not say: what was sent is told
    all the same, or it is sent again."""
    try:
        return amount_text(home.chain.fit_balance(home.keys.address))
    except FitchainError as error:
        log(f"what is left now cannot be read: {error.message}; later: fitchain coin balance")
        return None
