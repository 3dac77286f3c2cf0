"""Handing on FIT to another account."""

from __future__ import annotations

from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.unheard import was_sent_before
from fitchain.pod.ports.chain import Receipt
from fitchain.pod.values.amounts import amount_text


def pay(home: Home, to: str, units: int) -> Receipt | None:
    """Hand on FIT, once: a payment whose sender never heard that it went through is not repeated.

    Args:
        home: who pays, opened with its key.
        to: the account.
        units: FIT in base units.

    Returns:
        the transaction; None where an earlier command had sent it.

    Raises:
        ChainUnusable: the account cannot pay, or the node does not answer.
        Unusable: an earlier command paid something else, and could not tell so.
    """

    def is_meant(account: str, amount: int) -> bool:
        return (account, amount) == (to, units)

    def describe(account: str, amount: int) -> str:
        return f"sent {amount_text(amount)} FIT to {account}"

    if was_sent_before(home.chain, "FitCoin", "transfer", is_meant, describe):
        return None
    home.chain.require_fit(units, "the payment")
    return home.chain.send("FitCoin", "transfer", to, units)
