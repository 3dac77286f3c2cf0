"""Disputing a result whose terms name no verifiers: the scientist locks money, and an audit decides."""

from __future__ import annotations

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import State
from fitchain.pod.values.errors import Unusable
from fitchain.pod.values.ids import AgreementId


def dispute(home: Home, id: AgreementId) -> None:
    """Have a job's training audited, as its scientist; locks the audit's fee and the counter-bond.

    Raises:
        Unusable: there is no result to dispute now, or the terms name nobody who would audit it.
        ChainUnusable: too little FIT or ETH, the dispute window has passed, or there are too few verifiers.
    """
    home.chain.catch_up()
    agreement = home.agreements.read(id)
    if agreement.state not in (State.TRAINED, State.DIVERGED):
        raise Unusable(f"the job {id} is {agreement.state.name.lower()}: there is no result to dispute now")
    if not agreement.terms.audit.dispute_verifiers:
        raise Unusable(f"the terms of the job {id} name no verifiers", "a request says who audits it")
    receipt = home.agreements.dispute(id)
    home.journal.record(id, "disputed", once="", transaction=str(receipt.transaction), gas=receipt.gas_used)
