"""Accepting a result, as its scientist: after its certificate was checked the owner is paid, or
after a release the verifiers are."""

from __future__ import annotations

from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.scientist.audit import accept_release
from fitchain.pod.parties.scientist.complaint import RESULTS, require_scientist
from fitchain.pod.parties.scientist.receive import fetch_model
from fitchain.pod.parties.scientist.standing import RESULT_ACCEPTED, keep_answer
from fitchain.pod.values.errors import Unusable
from fitchain.pod.values.ids import AgreementId, AuditRef


def accept_result(home: Home, id: AgreementId) -> None:
    """Accept a result after checking it: without verifiers the price goes to the owner; after an
    audit that matched, the verifiers are paid at once for what was released.

    Raises:
        AccessRefused: this home's account is not the scientist's.
        Refuted: the certificate does not hold.
        Unusable: there is no result to accept.
    """
    agreement = home.agreements.read(id)
    require_scientist(home, agreement, "only the scientist can accept what it was delivered")
    state = agreement.state
    if state in RESULTS:
        fetch_model(home, id)
        receipt = home.agreements.accept_result(id)
        home.journal.record(id, history.ResultAccepted(**history.paid(receipt)), once=str(receipt.transaction))
        keep_answer(home, id, RESULT_ACCEPTED)
    elif home.audits.read(AuditRef(id)).phase.releasing:
        accept_release(home, id)
    else:
        raise Unusable(f"the job {id} is {state.name.lower()}: there is no result to accept now")
