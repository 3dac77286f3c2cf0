"""Audits that others ask for again, as the owner of the run: consent, or silence; then evidence.

Anybody may ask for another audit of a settled run, by a panel of its own trust, and pays for it.
The owner consents by itself where its policy names the panel and the cap on opened records holds
over all audits of the dataset; else it asks a person. It refuses by saying nothing: the asker takes
its fees back. Where what the evidence needs is gone, it cannot consent, and says so.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from fitchain.pod.compute.checkpoint import state_steps
from fitchain.pod.compute.dataset import Policy
from fitchain.pod.jobs.home import Home, sweep
from fitchain.pod.jobs.panel_status import PanelStatus, read_panel_status
from fitchain.pod.jobs.retry import Log, log_about
from fitchain.pod.jobs.turns import Turns, describe_verdict
from fitchain.pod.parties.owner.answer import EVIDENCE_FILES, EVIDENCE_LEFT, answer_audit
from fitchain.pod.parties.owner.data import read_registered
from fitchain.pod.parties.owner.evidence import read_transcript
from fitchain.pod.parties.owner.examine import (
    DISCLOSED_AGAIN,
    TRAINING_S,
    WINDOW_SHARE,
    dataset_of,
    opened_before,
    read_offer,
)
from fitchain.pod.ports.agreement import Agreement, AskedAudit, Audit, Phase
from fitchain.pod.ports.store import Cid
from fitchain.pod.proof.audit.disclosure import opened_records
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.errors import AccessRefused, InputRefused, NotFound, Refuted, Reverted, Unusable
from fitchain.pod.values.ids import AgreementId, AuditRef

CONSENT, REFUSE = "consent", "refuse"
"""What a person says of another audit; kept as the decision on it."""
ANSWERED = ("unanswered", "wiped")
"""Lines of an audit's history after which nothing is left to do."""
MOST_AT_ONCE = 8
"""Questions that are looked at in one block besides those that were consented to: anybody can ask
any number of them, and has the fees back."""
LEAST_WINDOW_S = 3600
"""Shorter phases take a person's yes where the job has none of its own: evidence that comes two
windows late is a Withheld for ever."""


def consent(home: Home, ref: AuditRef) -> None:
    """Say yes to another audit as a person; the owner's pod acts on it, at once if it runs.

    Raises:
        NotFound: nobody asked for it.
        AccessRefused: the run is on a dataset of another home.
        Unusable: it is answered already, or the time for it has passed.
    """
    _require_open(home, ref)
    home.journal.decide(ref, CONSENT)


def refuse(home: Home, ref: AuditRef) -> None:
    """Say no to another audit as a person: the pod stays silent, and its asker takes the fees back.
    Raises as `consent`."""
    _require_open(home, ref)
    home.journal.decide(ref, REFUSE)


class AskedAudits:
    """The audits of an owner's runs that others ask for again.

    Args:
        home: the owner's, opened with its key.
        turns: of its pod.
        log: told what happens.
        final_blocks: how many blocks must lie on the end of an audit before its evidence goes.
    """

    def __init__(self, home: Home, turns: Turns, log: Log, final_blocks: int) -> None:
        self.home, self.log, self._turns, self.final_blocks = home, log, turns, final_blocks
        self._open: dict[AuditRef, None] = {}
        self._unservable: dict[AuditRef, str] = {}
        self._next_block: int | None = None

    def look(self, own: Collection[AgreementId]) -> list[AuditRef]:
        """Find what was asked for since the last look.

        Args:
            own: this owner's agreements.

        Returns:
            the audits in which something is left to do, of those that nobody answered a few at a
            time, in turn; nothing before there is a new block.
        """
        head, journal = self.home.chain.head(), self.home.journal
        if self._next_block is not None and head < self._next_block:
            return []
        for ref in self.home.agreements.asking(self._next_block, head):
            if ref.agreement in own:
                self._open[ref] = None
        self._next_block = head + 1
        # Forgotten here alone: what acts on a question runs beside this, in a lane of its own.
        self._open = {ref: None for ref in self._open if not any(journal.happened(ref, kind) for kind in ANSWERED)}
        served = [ref for ref in self._open if journal.happened(ref, "consented")]
        asked = [ref for ref in self._open if ref not in served][:MOST_AT_ONCE]
        for ref in asked:
            self._open[ref] = self._open.pop(ref)  # the others first, the next time
        return served + asked

    def act(self, ref: AuditRef) -> None:
        """Take an audit that was asked for to its next step.

        Raises:
            FitchainError: it cannot be done now; calling again goes on from there.
        """
        self.home.chain.catch_up()  # else what was sent and is not mined yet would be sent again
        asked = self.home.agreements.asked_audit(ref)
        if asked.consented:
            self._answer(self.home.audits.read(ref))
        elif asked.taken_back or self.home.chain.block("latest").timestamp > asked.deadline:
            self.home.journal.record(ref, "unanswered", once="")
        else:
            self._consider(asked)

    def _answer(self, audit: Audit) -> None:
        if audit.phase is not Phase.CONCLUDED:
            if done := answer_audit(self.home, self._turns, audit.ref):
                self._say(audit.ref, done)
            return
        if verdict := describe_verdict(self.home, audit):
            self._say(audit.ref, verdict)
        if self.home.chain.head() < self.home.audits.events(audit.ref)[-1].block + self.final_blocks:
            return
        sweep(self.home.audit_folder(audit.ref), (*EVIDENCE_LEFT, EVIDENCE_FILES))
        for round in range(audit.round + 1):
            if cid := self.home.journal.fact(audit.ref, f"evidence/{round}"):
                self.home.store.unpin(Cid.parse(cid))
        self.home.journal.record(audit.ref, "wiped", once="")

    def _consider(self, asked: AskedAudit) -> None:
        """Consent, ask a person, or stay silent; each reason is told once."""
        home, ref = self.home, asked.ref
        decision = home.journal.decision(ref)
        said = decision.decision if decision else ""
        if said == REFUSE or self._unservable.get(ref) == said:
            return
        agreement = home.agreements.read(ref.agreement)
        reasons = [] if said == CONSENT else concerns(home, agreement, asked)
        if reasons:
            panel = str(_panel_of(home, agreement, asked) or "the whole pool")
            body = {"asker": asked.asker, "panel": panel, "why": reasons}
            if home.journal.record(ref, "consent_needed", once="", **body):
                command = f"fitchain job consent {ref.agreement.short} --audit {ref.ordinal}"
                text = f"is asked for by {asked.asker}, of {panel} ({'; '.join(reasons)}): {command}"
                self._say(ref, text)
            return
        if reason := unservable(home, agreement, asked):
            self._unservable[ref] = said
            if home.journal.record(ref, "cannot_consent", once=reason, reason=reason):
                self._say(ref, f"cannot be consented to: {reason}")
            return
        self._consent(asked)

    def _consent(self, asked: AskedAudit) -> None:
        keep_disclosed(self.home, asked)
        try:
            receipt = self.home.agreements.consent(asked)
        except Reverted:
            if self.home.agreements.asked_audit(asked.ref).consented:
                return
            raise
        body = {"asker": asked.asker, "transaction": str(receipt.transaction), "gas": receipt.gas_used}
        self.home.journal.record(asked.ref, "consented", once="", **body)
        self._say(asked.ref, f"consented to what {asked.asker} asked for")

    def _say(self, ref: AuditRef, text: str) -> None:
        log_about(self.log, ref, text)


def concerns(home: Home, agreement: Agreement, asked: AskedAudit) -> list[str]:
    """What speaks against consenting unasked: a panel that the policy does not name, or that others
    joined since this home trusted it, a mode that shows more than the policy admits, more opened
    records than its cap, phases too short to count on.

    Raises:
        NotFound: the dataset was not registered from this home, or the recipe is gone.
        InputRefused: what lies in the job's folder is no recipe.
    """
    terms, policy, reasons = asked.terms, dataset_of(home, agreement)[1].policy, list[str]()
    if not policy.accepts_panel(terms.panel):
        reasons.append("its verifiers are drawn from whom the policy does not name")
    elif policy.panels is not None and (panel := _panel_of(home, agreement, asked)) and panel.joined_later:
        reasons.append(panel.joined_later)
    if terms.mode.discloses_more_than(policy.disclosure_mode):
        reasons.append(f"its mode {terms.mode} shows more than the policy's {policy.disclosure_mode}")
    total = opened_before(home, agreement.terms.dataset, asked.ref) + _records(home, asked)
    if terms.mode is not AuditMode.ON_SITE and _beyond(policy, total):
        reasons.append(f"it would bring the opened records to {total}, and the policy's cap is {policy.disclosure_cap}")
    least_s = agreement.terms.audit.window if agreement.terms.audit.seats else LEAST_WINDOW_S
    if terms.window < least_s:
        reasons.append(f"its phases take {terms.window} s, less than {least_s} s: evidence may come too late")
    return reasons


def unservable(home: Home, agreement: Agreement, asked: AskedAudit) -> str:
    """Why evidence of a run cannot be given any more, or not within an audit's window; empty where
    it can."""
    folder, run = home.job_folder(agreement.id), home.agreements.run_record(agreement.id)
    try:
        read_transcript(folder, run)
        read_offer(folder)
        read_registered(home, home.journal.dataset(agreement.terms.dataset))
    except FileNotFoundError as error:
        return f"there is no file {error.filename}"
    except (NotFound, InputRefused, Refuted) as error:
        return error.message
    training_s = float(home.journal.fact(agreement.id, TRAINING_S) or 0)
    if not state_steps(folder) and training_s > WINDOW_SHARE * asked.terms.window:
        return f"no states were kept, and to train them again takes {training_s:.0f} s"
    return ""


def keep_disclosed(home: Home, asked: AskedAudit) -> None:
    """Count what an audit opens at most among what audits of the dataset have opened, for good and
    once, before it is consented to."""
    id = asked.ref.agreement
    counted = json.loads(home.journal.fact(id, DISCLOSED_AGAIN) or "{}")
    counted[str(asked.ref.ordinal)] = _records(home, asked)
    home.journal.keep_fact(id, DISCLOSED_AGAIN, json.dumps(counted))


def _records(home: Home, asked: AskedAudit) -> int:
    try:
        return opened_records(asked.terms, read_offer(home.job_folder(asked.ref.agreement))[0])
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {error.filename}") from None


def _panel_of(home: Home, agreement: Agreement, asked: AskedAudit) -> PanelStatus | None:
    """The panel of another audit as it stood when that was asked for; None for the whole pool."""
    parties = agreement.terms.owner, agreement.scientist
    return read_panel_status(home, asked.terms.panel, *parties, asked.requested_block)


def _beyond(policy: Policy, total: int) -> bool:
    return policy.disclosure_cap is not None and total > policy.disclosure_cap


def _require_open(home: Home, ref: AuditRef) -> None:
    asked = home.agreements.asked_audit(ref)
    if home.agreements.terms(ref.agreement).dataset not in {row.id for row in home.journal.datasets()}:
        raise AccessRefused(
            f"the agreement {ref.agreement} is about a dataset of another home", "see `fitchain data list --mine`"
        )
    late = home.chain.block("latest").timestamp > asked.deadline
    if asked.consented or asked.taken_back or late:
        how = "consented to already" if asked.consented else "over: its fees are the asker's again"
        raise Unusable(f"audit {ref.ordinal} of {ref.agreement.short} is {how}")
