"""Audits that others ask for again, as the owner of the run: consent, or silence; then evidence.

Anybody may ask for another audit of a settled run, by a panel of its own trust, and pays for it.
The owner consents by itself where its policy names the panel, as it stood when the dataset was
registered, and the cap on opened records holds over all audits of the dataset, of which no more
than half is for such audits; else it asks a person. It refuses by saying nothing: the asker takes
its fees back. Where what the evidence needs is gone, it cannot consent, and says so.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

from fitchain.pod.compute.checkpoint import state_steps
from fitchain.pod.compute.dataset.references import reference_count
from fitchain.pod.jobs import history
from fitchain.pod.jobs.finality import Finality, overlapping
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import CONSENT, REFUSE, Decision
from fitchain.pod.jobs.life import note_sent, owners_life
from fitchain.pod.jobs.panel_status import PanelStatus, panel_beside
from fitchain.pod.jobs.removal import describe_removal, remove
from fitchain.pod.jobs.retry import Log, log_about
from fitchain.pod.jobs.turns import Turns, describe_verdict
from fitchain.pod.jobs.waiting import show_concerns, shown_concerns
from fitchain.pod.parties.owner.answer import answer_audit, sealed_evidence
from fitchain.pod.parties.owner.data import read_registered
from fitchain.pod.parties.owner.disclosed import ANSWERED, cap_concern, counted_records, keep_disclosed, opened_before
from fitchain.pod.parties.owner.evidence import read_transcript
from fitchain.pod.parties.owner.examine import FORGOTTEN, TRAINING_S, WINDOW_SHARE, dataset_of, read_offer, read_recipe
from fitchain.pod.parties.owner.risk import kept_bound, opens_references
from fitchain.pod.ports.agreement import Agreement, AskedAudit, Audit, Phase
from fitchain.pod.values.errors import AccessRefused, InputRefused, NotFound, Refuted, Reverted, Unusable
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.job_folder import Kept

MOST_AT_ONCE = 8
"""Questions that are looked at in one block besides those that were consented to: anybody can ask
any number of them, and has the fees back."""
LEAST_WINDOW_S = 3600
"""Shorter phases take a person's yes where the job has none of its own: evidence that comes two
windows late is a Withheld for ever."""


def consent(home: Home, ref: AuditRef, shown: Sequence[str] | None = None, reason: str = "") -> None:
    """Say yes to another audit as a person; the owner's pod acts on it, at once if it runs.

    Args:
        home: the owner's.
        ref: the audit.
        shown: the concerns that the person was shown, to which alone it says yes: where the pod
            finds others before it consents, it asks again. Without them, what the pod told last.
        reason: kept in the history.

    Raises:
        NotFound: nobody asked for it.
        AccessRefused: the run is on a dataset of another home.
        Unusable: it is answered already, the time for it has passed, or what its evidence needs
            was deleted.
    """
    asked = require_open(home, ref)
    if removed := describe_removal(home, ref):
        raise Unusable(f"audit {ref.ordinal} cannot be consented to: {removed}", "its asker has the fees back in time")
    covered = shown_concerns(home, ref, history.ConsentNeeded) if shown is None else tuple(shown)
    home.journal.decide(ref, Decision(CONSENT, reason, covered, _about(asked)))


def refuse(home: Home, ref: AuditRef, reason: str = "") -> None:
    """Say no to another audit as a person: the pod stays silent, and its asker takes the fees back.
    Raises as `consent`."""
    asked = require_open(home, ref)
    home.journal.decide(ref, Decision(REFUSE, reason, about=_about(asked)))


class AskedAudits:
    """The audits of an owner's runs that others ask for again.

    Args:
        home: the owner's, opened with its key.
        turns: of its pod.
        log: told what happens.
        finality: of its pod.
        counting: held from reading what audits of a dataset may open until one more is counted; who
            accepts requests holds it too, or both could use up what is left of the cap.
    """

    # Many parameters: what a pod shares with this lane of its own.
    def __init__(self, home: Home, turns: Turns, log: Log, finality: Finality, counting: threading.Lock) -> None:
        self.home, self.log, self._turns, self._finality = home, log, turns, finality
        self._counting = counting
        self._open: dict[AuditRef, None] = {}
        self._lost: dict[AuditRef, str] = {}
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
        for ref in self.home.agreements.asking(overlapping(self._next_block), head):
            if ref.agreement in own:
                self._open[ref] = None
        self._next_block = head + 1
        # Forgotten here alone: what acts on a question runs beside this, in a lane of its own.
        self._open = {ref: None for ref in self._open if not any(journal.happened(ref, kind) for kind in ANSWERED)}
        served = [ref for ref in self._open if journal.happened(ref, history.Consented)]
        asked = [ref for ref in self._open if ref not in served][:MOST_AT_ONCE]
        for ref in asked:
            self._open[ref] = self._open.pop(ref)  # the others first, the next time
        return served + asked

    def forget(self) -> None:
        """Look at all blocks again: the chain took some back."""
        self._next_block = None

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
            if self._finality.question_is_unanswered(ref):
                self.home.journal.record(ref, history.Unanswered(), once="")
                self._finality.forget(ref)
        else:
            self._consider(asked)

    def _answer(self, audit: Audit) -> None:
        if audit.phase is not Phase.CONCLUDED:
            if done := answer_audit(self.home, self._turns, audit.ref):
                self._say(audit.ref, done)
            return
        if verdict := describe_verdict(self.home, audit):
            self._say(audit.ref, verdict)
        if not self._finality.audit_is_over(audit.ref):
            return
        note_sent(self.home, owners_life, audit.id)
        remove(self.home, audit.ref, [Kept.EVIDENCE], sealed=sealed_evidence(self.home, audit))
        self.home.journal.record(audit.ref, history.Wiped(), once="")
        self._finality.forget(audit.ref)

    def _consider(self, asked: AskedAudit) -> None:
        """Consent, ask a person, or stay silent; the same reasons are told once.

        Raises:
            Unusable: the records cannot be read now.
        """
        agreement = self.home.agreements.read(asked.ref.agreement)
        with self._counting:
            may = self._may_consent(agreement, asked)
        if may:
            self._consent(asked)

    def _may_consent(self, agreement: Agreement, asked: AskedAudit) -> bool:
        """Whether nothing speaks against it but what a person said yes to; what it opens is counted
        then. Two yeses that were each given below the cap do not pass it together: the second is
        asked for again."""
        home, ref = self.home, asked.ref
        decision = home.journal.decision(ref)
        if decision is not None and decision.about != _about(asked):
            decision = None
        said = decision.decision if decision else ""
        if said == REFUSE or self._lost.get(ref) == said:
            return False
        if removed := describe_removal(home, ref):  # no person is asked in vain
            self._lose(ref, said, removed)
            return False
        reasons = concerns(home, agreement, asked)
        if reasons if decision is None else decision.uncovered(reasons):
            panel = str(panel_of_question(home, agreement, asked) or "the whole pool")
            if show_concerns(home, ref, history.ConsentNeeded(tuple(reasons), asked.asker, panel)):
                command = f"fitchain job consent {ref.agreement.short} --audit {ref.ordinal}"
                text = f"is asked for by {asked.asker}, of {panel} ({'; '.join(reasons)}): {command}"
                self._say(ref, text)
            return False
        if reason := lost(home, agreement, asked):
            self._lose(ref, said, reason)
            return False
        require_records(home, agreement)
        if (records := records_of(home, asked)) is None:
            return False  # it went just now, which the next look tells
        keep_disclosed(home, ref, records)
        return True

    def _lose(self, ref: AuditRef, said: str, reason: str) -> None:
        """Note once why evidence cannot be given any more, whatever a person said."""
        self._lost[ref] = said
        if self.home.journal.record(ref, history.CannotConsent(reason), once=reason):
            self._say(ref, f"cannot be consented to: {reason}")

    def _consent(self, asked: AskedAudit) -> None:
        try:
            receipt = self.home.agreements.consent(asked)
        except Reverted:
            if self.home.agreements.asked_audit(asked.ref).consented:
                return
            raise
        self.home.journal.record(asked.ref, history.Consented(asked.asker, **history.paid(receipt)), once="")
        self._say(asked.ref, f"consented to what {asked.asker} asked for")

    def _say(self, ref: AuditRef, text: str) -> None:
        log_about(self.log, ref, text)


def _about(asked: AskedAudit) -> str:
    """Which question it is, whatever became of another one of the same number."""
    return f"{asked.asker} {asked.nonce_commitment}"


def concerns(home: Home, agreement: Agreement, asked: AskedAudit) -> list[str]:
    """What speaks against consenting unasked: a panel that the policy does not name, or that others
    joined since the dataset was registered and this home trusted it, a mode that shows more than
    the policy admits, more opened records than its cap or the share of it that is for such audits,
    phases too short to count on.

    Raises:
        NotFound: the dataset was not registered from this home.
    """
    terms, policy, reasons = asked.terms, dataset_of(home, agreement)[1].policy, list[str]()
    if home.journal.happened(asked.ref, history.Recovered):
        reasons.append(FORGOTTEN)
    if not policy.accepts_panel(terms.panel):
        reasons.append("its verifiers are drawn from whom the policy does not name")
    elif policy.names_panel(terms.panel) and (panel := panel_of_question(home, agreement, asked)) and panel.unknown:
        reasons.append(panel.policy_concern())
    if terms.mode.discloses_more_than(policy.disclosure_mode):
        reasons.append(f"its mode {terms.mode} shows more than the policy's {policy.disclosure_mode}")
    records, before = records_of(home, asked), opened_before(home, agreement, asked.ref)
    if records is not None and (reason := cap_concern(policy, terms, records, before)):
        reasons.append(reason)
    least_s = agreement.terms.audit.window if agreement.terms.audit.seats else LEAST_WINDOW_S
    if terms.window < least_s:
        reasons.append(f"its phases take {terms.window} s, less than {least_s} s: evidence may come too late")
    return reasons


def lost(home: Home, agreement: Agreement, asked: AskedAudit) -> str:
    """Why evidence of a run cannot be given any more, or not within an audit's window, whatever
    comes: what the job's folder held is gone. Empty where it can."""
    if removed := describe_removal(home, agreement.id):
        return removed
    folder, run = home.job_folder(agreement.id), home.agreements.run_record(agreement.id)
    try:
        bound = read_transcript(folder, run)[-1].report
        recipe, _ = read_offer(folder)
    except (NotFound, InputRefused, Refuted) as error:
        return error.message
    training_s = float(home.journal.fact(agreement.id, TRAINING_S) or 0)
    if not state_steps(folder.path) and training_s > WINDOW_SHARE * asked.terms.window:
        return f"no states were kept, and to train them again takes {training_s:.0f} s"
    if bound is not None and opens_references(bound):
        gone = kept_bound(home, agreement.id, bound) is None
        again_s = training_s * (1 + (reference_count(agreement.terms.work, recipe) if gone else 0))
        if again_s > WINDOW_SHARE * asked.terms.window:
            what = "its risk report is gone, and to make it again and open" if gone else "to open"
            return f"{what} a reference training of its risk report takes {again_s:.0f} s"
    return ""


def require_records(home: Home, agreement: Agreement) -> None:
    """Check that the registered records can be read.

    Raises:
        Unusable: they cannot now. A disk may come back, and a file: it is worth another try.
    """
    try:
        read_registered(home, home.journal.dataset(agreement.terms.dataset))
    except (NotFound, InputRefused, Refuted) as error:
        raise Unusable(f"it cannot be consented to now: {error.message}", error.hint) from error


def records_of(home: Home, asked: AskedAudit) -> int | None:
    """How many records another audit counts with at most against the cap of its dataset; None where
    the job's recipe is gone, without which no evidence can be given (`lost`)."""
    try:
        recipe = read_recipe(home.job_folder(asked.ref.agreement))
        _, card = dataset_of(home, home.agreements.read(asked.ref.agreement))
        return counted_records(asked.terms, recipe, card, is_again=True)
    except (NotFound, InputRefused):
        return None


def panel_of_question(home: Home, agreement: Agreement, asked: AskedAudit) -> PanelStatus | None:
    """The panel of another audit as it stood when that was asked for; None for the whole pool."""
    return panel_beside(home, agreement, asked.terms.panel, asked.requested_block)


def require_open(home: Home, ref: AuditRef) -> AskedAudit:
    """Another audit of a run on this home's data that waits for an answer; raises as `consent`."""
    asked = home.agreements.asked_audit(ref)
    if home.agreements.terms(ref.agreement).dataset not in {row.id for row in home.journal.datasets()}:
        raise AccessRefused(
            f"the agreement {ref.agreement} is about a dataset of another home", "see `fitchain data list --mine`"
        )
    if not asked.awaits(home.chain.block("latest").timestamp):
        how = "consented to already" if asked.consented else "over: its fees are the asker's again"
        raise Unusable(f"audit {ref.ordinal} of {ref.agreement.short} is {how}")
    return asked
