"""What a person sees before it says yes: to a request, or to another audit of a job.

Who would judge, what of the records they may be shown, and what the pod has against it. Read by the
command line without a key; what is asked for and by whom stands in the agreement itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.job_status import local_recipe
from fitchain.pod.jobs.panel_status import PanelStatus, panel_of
from fitchain.pod.parties.owner.asked import concerns, lost, panel_of_question, records_of, require_open
from fitchain.pod.parties.owner.disclosed import Opened, counted_records, opened_before
from fitchain.pod.parties.owner.examine import check_chain, dataset_of
from fitchain.pod.parties.owner.pod import require_request
from fitchain.pod.ports.agreement import Agreement, AskedAudit, AuditTerms
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import AgreementId, AuditRef


@dataclass(frozen=True)
class Review:
    """What is to be decided on.

    Args:
        agreement: as the chain has it.
        dataset: the name on the card of its dataset.
        terms: of the audit or the dispute; without seats there is none.
        panel: from which it draws, as it stood when it was asked for; None for the whole pool, or
            where nobody is to judge.
        records: how many it counts with at most against the cap; None where the recipe is not here.
        before: what all other audits of the dataset count.
        cap: how many records may ever be opened; None sets no limit.
        concerns: what the pod has against it, in sentences.
        examined: whether all was checked: of a request the chain's terms alone are, before the pod
            has fetched and rehearsed it.
        asked: the question, where it is for another audit.
    """

    agreement: Agreement
    dataset: str
    terms: AuditTerms
    panel: PanelStatus | None
    records: int | None
    before: Opened
    cap: int | None
    concerns: tuple[str, ...]
    examined: bool
    asked: AskedAudit | None = None


def review_request(home: Home, id: AgreementId) -> Review:
    """What a person should know of a request on this home's data.

    Raises:
        NotFound: there is no such agreement.
        AccessRefused: its dataset is not this home's.
        Unusable: the request is answered already.
        ChainUnusable: the node does not answer.
    """
    agreement = require_request(home, id)
    terms, card = agreement.terms.audit, dataset_of(home, agreement)[1]
    recipe, examined = local_recipe(home, agreement), home.journal.happened(id, history.Checked)
    if examined:
        reasons = list(home.journal.last(id, history.Checked).concerns)
    else:
        try:
            reasons = check_chain(home, agreement, card.policy)
        except InputRefused as refusal:
            reasons = [f"the policy does not admit it: {refusal.message}"]
    return Review(
        agreement=agreement,
        dataset=card.name,
        terms=terms,
        panel=panel_of(home, agreement),
        records=counted_records(terms, recipe) if recipe else None,
        before=opened_before(home, agreement, AuditRef(id)),
        cap=card.policy.disclosure_cap,
        concerns=tuple(reasons),
        examined=examined,
    )


def review_question(home: Home, ref: AuditRef) -> Review:
    """What a person should know of another audit that is asked for of a job on this home's data.

    Raises:
        NotFound: nobody asked for it.
        AccessRefused: its dataset is not this home's.
        Unusable: it is answered already, or the time for it has passed.
        ChainUnusable: the node does not answer.
    """
    asked = require_open(home, ref)
    agreement = home.agreements.read(ref.agreement)
    card = dataset_of(home, agreement)[1]
    reasons = concerns(home, agreement, asked)
    if reason := lost(home, agreement, asked):
        reasons.append(f"the pod cannot consent: {reason}")
    return Review(
        agreement=agreement,
        dataset=card.name,
        terms=asked.terms,
        panel=panel_of_question(home, agreement, asked),
        records=records_of(home, asked),
        before=opened_before(home, agreement, ref),
        cap=card.policy.disclosure_cap,
        concerns=tuple(reasons),
        examined=True,
        asked=asked,
    )
