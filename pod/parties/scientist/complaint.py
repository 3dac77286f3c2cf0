"""A complaint about a result without verifiers: what came with `finish` does not open the delivery.

Only the scientist can tell. It moves no money; whoever complains before it disputes has its
counter-bond back if a verifier of the dispute then hands over the key.
"""

from __future__ import annotations

from typing import Any

from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.scientist.receive import fetch_model
from fitchain.pod.ports.agreement import Agreement, State
from fitchain.pod.values.errors import DeliveryUnopened, FitchainError, NotFound, StoreUnusable

RESULTS = (State.TRAINED, State.DIVERGED)
"""States of a result without verifiers, which its scientist may accept or dispute."""


def may_answer(home: Home, agreement: Agreement) -> bool:
    """Whether there is a result that the scientist may still accept, complain of or dispute."""
    return agreement.state in RESULTS and home.chain.block("latest").timestamp <= agreement.dispute_deadline


def why_unopened(home: Home, agreement: Agreement) -> FitchainError | None:
    """Fetch the result unless it is here; what stands in the way, where that is a reason to complain.

    Raises:
        Refuted: the delivery opens, and its certificate does not hold.
    """
    try:
        fetch_model(home, agreement.id)
    except (DeliveryUnopened, NotFound, StoreUnusable) as error:
        return error
    return None


def complain(home: Home, agreement: Agreement, reason: str) -> bool:
    """Say on chain, once, that the delivery does not open.

    Args:
        home: the scientist's.
        agreement: one whose result it may still answer.
        reason: kept in this home's history alone.

    Returns:
        whether the history did not have it yet.
    """
    sent: dict[str, Any] = {}
    if not agreement.complained:
        receipt = home.agreements.complain(agreement.id)
        sent = {"transaction": str(receipt.transaction), "gas": receipt.gas_used}
    return home.journal.record(agreement.id, "complained", once="", reason=reason, **sent)
