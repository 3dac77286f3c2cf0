"""A complaint about a result without verifiers: what came with `finish` does not open the delivery.

Only the scientist can tell. It moves no money; whoever complains before it disputes has its
counter-bond back if a verifier of the dispute then hands over the key.
"""

from __future__ import annotations

from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.scientist.receive import fetch_model
from fitchain.pod.ports.agreement import Agreement, State
from fitchain.pod.values.errors import (
    AccessRefused,
    DeliveryUnopened,
    FitchainError,
    NotFound,
    NotOnChain,
    StoreUnusable,
    Unusable,
)
from fitchain.pod.values.ids import AgreementId, AuditRef

RESULTS = (State.TRAINED, State.DIVERGED)
"""States of a result without verifiers, which its scientist may accept or dispute."""


def may_answer(home: Home, agreement: Agreement) -> bool:
    """Whether there is a result that the scientist may still accept, complain of or dispute."""
    return agreement.state in RESULTS and home.chain.block("latest").timestamp <= agreement.dispute_deadline


def why_unopened(home: Home, id: AgreementId) -> FitchainError | None:
    """Fetch the result unless it is here; what stands in the way, where that is a reason to
    complain.

    Raises:
        NotOnChain: a reorganisation has undone the result since it was looked for.
        Refuted: the delivery opens, and its certificate does not hold.
    """
    try:
        fetch_model(home, id)
    except NotOnChain:
        raise
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
    complained = history.Complained(reason)
    if not agreement.complained:
        complained = history.Complained(reason, **history.paid(home.agreements.complain(agreement.id)))
    return home.journal.record(agreement.id, complained, once="")


def require_scientist(home: Home, agreement: Agreement, hint: str) -> None:
    """Refuse what only the scientist of a job may say.

    Raises:
        AccessRefused: this home's account is not the scientist's.
    """
    if agreement.scientist != home.keys.address:
        raise AccessRefused(
            f"the scientist of {agreement.id.short} is {agreement.scientist}, "
            f"and this home's account is {home.keys.address}",
            hint,
        )


def complain_of(home: Home, id: AgreementId) -> str:
    """Say on chain, as a person decides, that what was delivered does not open: of a result without
    verifiers, or after a release. It is fetched before, and nothing is said of one that opens.

    Returns:
        what does not open, or is not to be had.

    Raises:
        AccessRefused: this home's account is not the scientist's.
        Unusable: there is nothing to complain of now, or it opens, or that was said already.
        Refuted: it opens, and its certificate does not hold: that is for a dispute.
    """
    home.chain.catch_up()
    agreement, audit = home.agreements.read(id), home.audits.read(AuditRef(id))
    require_scientist(home, agreement, "only the scientist can say what it was delivered")
    released = audit.phase.releasing and home.chain.block("latest").timestamp <= audit.deadline
    if not released and not may_answer(home, agreement):
        raise Unusable(
            f"{id.short} is {agreement.state.name.lower()}: there is nothing to complain of now",
            f"see `fitchain job show {id.short}`",
        )
    if audit.complained if released else agreement.complained:
        raise Unusable(f"that the delivery of {id.short} does not open was said already", "it is said once")
    if (problem := why_unopened(home, id)) is None:
        raise Unusable(
            f"the delivery of {id.short} opens, and its certificate holds", "there is nothing to complain of"
        )
    if released:
        receipt = home.audits.complain(audit.ref)
        home.journal.record(id, history.Complained(problem.message, **history.paid(receipt)), once="")
    else:
        complain(home, agreement, problem.message)
    return problem.message
