"""Disputing a result that no verifier saw: the scientist locks money, and an audit decides."""

from __future__ import annotations

from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.scientist.complaint import RESULTS, complain, require_scientist, why_unopened
from fitchain.pod.parties.scientist.standing import DISPUTED, keep_answer
from fitchain.pod.ports.agreement import Agreement
from fitchain.pod.ports.chain import Receipt
from fitchain.pod.values.errors import Refuted, Unusable
from fitchain.pod.values.ids import AgreementId


def dispute(home: Home, id: AgreementId) -> Receipt:
    """Have a job's training audited, as its scientist; locks the audit's fees and the counter-bond.

    Where its delivery does not open, or is not to be had, that is said on chain first: afterwards
    it would be too late.

    Returns:
        the transaction's receipt.

    Raises:
        AccessRefused: this home's account is not the scientist's.
        Unusable: there is no result to dispute now, or the terms name nobody who would audit it
            only then.
        ChainUnusable: too little FIT or ETH.
    """
    home.chain.catch_up()
    agreement = home.agreements.read(id)
    audit = agreement.terms.audit
    require_scientist(home, agreement, "only the scientist can dispute a result")
    if audit.verifiers or not audit.dispute_verifiers:
        raise Unusable(
            f"the terms of {id.short} name no verifiers of a dispute",
            f"they are {'audited in any case' if audit.verifiers else 'agreed with job request --dispute-verifiers'}",
        )
    if agreement.state not in RESULTS:
        raise Unusable(
            f"{id.short} is {agreement.state.name.lower()}: there is no result to dispute now",
            f"see `fitchain job show {id.short}`",
        )
    if home.chain.block("latest").timestamp > agreement.dispute_deadline:
        raise Unusable(f"the time to dispute {id.short} is over", f"fitchain job settle {id.short} pays its owner")
    if not agreement.complained:
        _complain_if_unopened(home, agreement)
    receipt = home.agreements.dispute(id)
    home.journal.record(id, history.Disputed(**history.paid(receipt)), once=str(receipt.transaction))
    keep_answer(home, id, DISPUTED)
    return receipt


def _complain_if_unopened(home: Home, agreement: Agreement) -> None:
    try:
        problem = why_unopened(home, agreement.id)
    except Refuted:
        return  # it opens: what is wrong with it is for the verifiers to find
    if problem is not None:
        complain(home, agreement, problem.message)
