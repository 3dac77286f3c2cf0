"""How many records of a dataset audits have opened, or still may: what counts against its cap.

The most that an audit opens is counted before the owner agrees to it. Where it is over and no
evidence of it was ever made, nothing was opened and nothing counts: else whoever asks for audits in
whose seats nobody sits would use the cap up and have its fees back. On-site audits do not count,
since what they open does not leave the owner's place.

What evidence has opened stays opened, whatever the chain takes back afterwards: a jury, a question,
or the job itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from fitchain.pod.compute.dataset import Card, Policy
from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.job_status import local_recipe
from fitchain.pod.ports.agreement import Agreement, AuditTerms, State
from fitchain.pod.proof.audit.disclosure import opened_records
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Json
from fitchain.pod.values.errors import InputRefused, NotFound, Unusable
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.reading import read_at_most
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import RECIPE_BYTES

DISCLOSED, EVIDENCE_MADE = "disclosed", "evidence_made"
"""Facts of an audit in the journal: how many records it may open; that evidence of it was made."""
EVIDENCE_ASIDE = "evidence_aside"
"""Fact of an audit in the journal: evidence that was sealed for a jury that the chain took back."""
ANSWERED = (history.Wiped, history.Unanswered)
"""Lines of an audit's history after which it opens nothing more."""
NOT_ACCEPTED = (State.NONE, State.REQUESTED, State.CANCELLED)
"""States of an agreement to which the owner never said yes."""
OLDER = "put back the newest copy of the home, or stop the pod, and `fitchain pod recover --again`"
"""What to do about a journal that lacks what the chain has."""
UNASKED_SHARE = Fraction(1, 2)
"""How much of the cap audits that strangers ask for may open without a person's yes; the other half
stays for those that parties agree on."""


@dataclass(frozen=True)
class Opened:
    """Records of a dataset that audits have opened, or still may; repeats count.

    Args:
        agreed: by audits that parties agreed on, and by disputes.
        again: by audits that were asked for again.
    """

    agreed: int = 0
    again: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.agreed + self.again


def counted_records(terms: AuditTerms, recipe: Recipe, card: Card, is_again: bool = False) -> int:
    """How many records an audit counts with at most against the cap; none on-site. Arguments as
    `opened_records` takes them."""
    return 0 if terms.mode is AuditMode.ON_SITE else opened_records(terms, recipe, card, is_again)


def keep_disclosed(home: Home, ref: AuditRef, records: int) -> None:
    """Count an audit with so many records, before the owner agrees to it; once. Where evidence was
    made of another one of its name, which the chain took back, it counts with no fewer."""
    if _is_made(home, ref):
        records = max(records, int(home.journal.fact(ref, DISCLOSED) or 0))
    home.journal.keep_fact(ref, DISCLOSED, str(records))


def opened_before(home: Home, agreement: Agreement, besides: AuditRef) -> Opened:
    """What all audits but one have opened, or still may, of an agreement's dataset.

    Args:
        home: the owner's; its key is not needed.
        agreement: names the dataset.
        besides: the audit that is not counted; but where its owner did not agree to it yet, what
            evidence of it has opened before the chain took that back.

    Raises:
        Unusable: the journal is older than a job on the dataset that this account accepted, and so
            counts too little.
    """
    calls, dataset = home.agreements, agreement.terms.dataset
    every = calls.list(owner=agreement.terms.owner)  # which reads their terms, all at once
    own = [id for id in every if calls.terms(id).dataset == dataset]
    noted = {ref: int(records) for ref, records in home.journal.facts_named(DISCLOSED)}
    counted = {ref: records for ref, records in noted.items() if ref.agreement in own}
    accepted = accepted_among(home, own)
    for unknown in [id for id in accepted if AuditRef(id) not in counted.keys() | {besides}]:
        raise Unusable(
            f"the journal does not know the job {unknown.short}, which this account accepted: it is older than that",
            OLDER,
        )
    agreed = again = 0
    for ref, records in counted.items():
        if ref == besides and not ref.ordinal and agreement.state not in NOT_ACCEPTED:
            continue  # it goes on, and what it opens is its own
        records *= _times_opened(home, ref, ref != besides)
        if ref.ordinal:
            again += records
        elif ref.agreement in accepted:
            agreed += records
    for ref in noted.keys() - counted.keys():
        if ref.agreement not in every and _is_made(home, ref) and _may_be_on(home, ref.agreement, agreement):
            agreed += noted[ref] * _times_opened(home, ref, False)
    return Opened(agreed, again)


def cap_concern(policy: Policy, terms: AuditTerms, records: int, before: Opened) -> str:
    """What of a policy's cap speaks against another audit without a person's yes; empty where
    nothing does.

    Args:
        policy: of the dataset.
        terms: of the audit that is asked for again.
        records: how many it opens at most.
        before: what the others count.
    """
    cap = policy.disclosure_cap
    if cap is None or terms.mode is AuditMode.ON_SITE:
        return ""
    if (total := before.total + records) > cap:
        return f"it would bring the opened records to {total}, and the policy's cap is {cap}"
    if (again := before.again + records) > UNASKED_SHARE * cap:
        return (
            f"it would bring the records that audits asked for again open to {again}, and "
            f"{int(UNASKED_SHARE * cap)} of the policy's cap of {cap} are for those"
        )
    return ""


def disclosed_of(home: Home, agreement: Agreement) -> dict[str, Json]:
    """What of a job's records, or of what was computed on them, left this home besides the
    delivery, as its journal has counted it.

    Returns:
        `notes`: how many were sent; `metrics`: which means they told; `audits`: of each that the
        owner agreed to, how many records it opens at most, and whether evidence of it was made.
    """
    id, journal = agreement.id, home.journal
    recipe, anchors = local_recipe(home, agreement), home.agreements.run_record(id).anchors
    leave = Card.parse(journal.dataset(agreement.terms.dataset).card).policy.metrics_leave
    audits = [
        {"ordinal": ref.ordinal, "records": int(records), "opened": _is_made(home, ref)}
        for ref, records in journal.facts_named(DISCLOSED)
        if ref.agreement == id
    ]
    return {
        "notes": sum(anchor.note is not None for anchor in anchors),
        "metrics": list(recipe.metrics) if recipe is not None and leave else [],
        "audits": sorted(audits, key=lambda each: each["ordinal"]),
    }


def accepted_among(home: Home, ids: Sequence[AgreementId]) -> list[AgreementId]:
    """Those of an owner's jobs that it accepted: by its history, which has those that the chain
    took back and may get again; else by the chain, since a pod may have been cut off right after
    it said yes."""
    kinds = history.Accepted, history.Begun
    untold = [id for id in ids if not any(home.journal.happened(id, kind) for kind in kinds)]
    refused = {job.id for job in home.agreements.read_many(untold) if job.state in NOT_ACCEPTED}
    return [id for id in ids if id not in refused]


def _times_opened(home: Home, ref: AuditRef, is_open: bool) -> int:
    """How often evidence of an audit has opened its records, or still may where it is open. For a
    jury that took the place of another one that the chain took back, it was made once more."""
    former = len((home.journal.fact(ref, EVIDENCE_ASIDE) or "").split())
    is_over = any(home.journal.happened(ref, kind) for kind in ANSWERED)
    return former + (_is_made(home, ref) or (is_open and not is_over))


def _is_made(home: Home, ref: AuditRef) -> bool:
    return home.journal.fact(ref, EVIDENCE_MADE) is not None


def _may_be_on(home: Home, gone: AgreementId, agreement: Agreement) -> bool:
    """Whether a job that the chain has not, or not any more, was on an agreement's dataset: by its
    recipe; where that is gone, too, it may have been."""
    try:
        recipe = Recipe.parse(read_at_most(home.job_folder(gone).recipe, RECIPE_BYTES))
    except (NotFound, InputRefused):
        return True
    return recipe.dataset == agreement.terms.dataset_root
