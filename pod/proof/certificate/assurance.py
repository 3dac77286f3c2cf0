"""Assurance: what the juries of a run's audits come to for a checker, by whom it trusts.

A verdict is the chain's; what it is worth is the checker's to say. Of several audits an unknown
jury neither raises nor lowers anything; of those that the checker relies on the worst counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from fitchain.pod.ports.agreement import AgreementHistory, AuditKind, Outcome, Phase
from fitchain.pod.ports.settings import Settings
from fitchain.pod.proof.audit.cost import AGAIN_GAS, SeatRisk, failing_job, parties_gas
from fitchain.pod.proof.certificate.jury import Jury
from fitchain.pod.proof.certificate.verdict import Assurance, Repeat
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.errors import ClaimMismatch

REFUTING = {
    Outcome.MISMATCH: "a quorum of its seats voted that segments do not give the states that the owner names",
    Outcome.WITHHELD: "the owner did not show in time what it must, or a quorum voted that it could not be opened",
}
"""Verdicts that refute a certificate, in words."""


def check_verdicts(history: AgreementHistory, juries: Sequence[Jury]) -> None:
    """Check that no audit which counts has found against the training.

    The jury to which both parties agreed binds them, whoever it is. That of an audit which somebody
    asked for later counts where the checker relies on it.

    Raises:
        ClaimMismatch: such an audit concluded with Mismatch or Withheld.
    """
    for jury in juries:
        if jury.verdict in REFUTING and (jury.agreed or jury.trusted):
            raise ClaimMismatch(
                f"{subject(jury)} of the agreement {history.agreement.id} concluded"
                f" {jury.verdict.name.capitalize()} in block {jury.block}: {REFUTING[jury.verdict]}",
                f"see `fitchain proof show {history.agreement.id.short}`",
            )


def assurance_of(
    history: AgreementHistory, juries: Sequence[Jury], settings: Settings
) -> tuple[Assurance, str, Jury | None]:
    """Who vouches for a training to a checker, by the chain.

    A dispute counts as much as an audit: its verifiers are drawn and vote likewise. A verdict
    against the owner is not for here, since `check_verdicts` refutes the certificate.

    Args:
        history: the agreement's.
        juries: who was drawn for each of its audits.
        settings: the checker's; they say what stake behind a pool, and what cost of repeating, it
            asks for.

    Returns:
        the level; why it is so; and the jury on which it rests, None where nobody voted Match.
    """
    matched = [jury for jury in juries if jury.verdict is Outcome.MATCH]
    if not matched:
        return Assurance.UNAUDITED, "; ".join(map(_unaudited, juries)) or _no_audit(history), None
    levels = [(*_level(history, jury, settings), jury) for jury in matched]
    level, why, jury = max(levels, key=lambda level: level[0])
    unpaid = "; the model's key is not released yet" if jury.phase == Phase.MATCHED.name.lower() else ""
    return level, f"{match_in_words(history, jury)}, {why}{unpaid}", jury


def repeat_of(history: AgreementHistory, jury: Jury) -> Repeat:
    """What repeating costs an owner and a scientist who are one until a third of those who can be
    drawn has such a jury.

    An audit that was asked for again moves no money of the parties: where its jury does not suit
    them and the evidence is withheld, the fees go back to who asked. The job itself need not be
    done again for the next one, so only the gas of asking and consenting counts.
    """
    risk = SeatRisk(len(jury.seats), jury.fee_per_seat, jury.seat_stake)
    if not jury.agreed:
        return Repeat(risk.jobs_to_hold(), 0, AGAIN_GAS, asked_again=True)
    return Repeat(risk.jobs_to_hold(), failing_job(history.agreement.terms.bond), parties_gas(len(history.run.anchors)))


def way_on(history: AgreementHistory, jury: Jury | None, require: Assurance) -> str:
    """What a checker can do where a level is too low."""
    command = f"fitchain proof reaudit {history.agreement.id.short} --panel PANEL"
    again = f"have it audited by verifiers that you trust: {command}"
    if jury is None:
        return f"nobody vouches for it: {again}"
    if require is Assurance.OPEN:
        return f"only a draw from the pool, in mode open, comes to that: set open_stake, or {again}"
    if jury.panel is None:
        return f"if you rely on its seats, name them: fitchain trust add ACCOUNT, or {again}"
    return f"if you know its panel, trust it: fitchain trust add {jury.panel.id}, or {again}"


def subject(jury: Jury) -> str:
    """Which audit it was, in words."""
    match jury.kind:
        case AuditKind.FIRST:
            return "the audit on which both agreed"
        case AuditKind.DISPUTE:
            return "the dispute that its scientist opened"
        case AuditKind.AGAIN:
            return f"the audit {jury.ref.ordinal} that {jury.asker} asked for"


def match_in_words(history: AgreementHistory, jury: Jury) -> str:
    """A Match in the chain's words."""
    quorum = ", a quorum," if len(jury.voices) < len(jury.seats) else ""
    voted = f"{len(jury.voices)} of {len(jury.seats)}{quorum} voted Match"
    looked = f"on {jury.audited} of {history.run.count - 1 + int(history.run.diverged)} segments"
    return f"{subject(jury)} concluded Match in block {jury.block}: {voted} {looked}"


def _no_audit(history: AgreementHistory) -> str:
    if history.agreement.terms.audit.seats:
        return "an audit is only for a dispute, and there was none"
    return "no audit was agreed on, and none was asked for since"


def _unaudited(jury: Jury) -> str:
    """Why an audit vouches for nothing."""
    if jury.block is None:
        return f"{subject(jury)} is under way: {jury.phase}, vote {jury.round + 1}"
    return f"{subject(jury)} concluded {jury.verdict.name.capitalize()} in block {jury.block}"


def _level(history: AgreementHistory, jury: Jury, settings: Settings) -> tuple[Assurance, str]:
    """What a Match is worth to a checker, and why."""
    level, why = _named_level(jury, settings)
    least, cost = settings.least_repeat_cost, repeat_of(history, jury).whole
    if level > Assurance.VOUCHED and least is not None and cost is not None and cost < least:
        wanted = amount_text(least)
        return Assurance.VOUCHED, f"{why}; repeating costs {amount_text(cost)} FIT, and your settings ask for {wanted}"
    return level, why


def _named_level(jury: Jury, settings: Settings) -> tuple[Assurance, str]:
    """What a Match is worth by who is named, and by what stood behind a pool.

    A pool is weighed only where everybody may have the records, in mode `open`: elsewhere a seat
    counts by its name alone.
    """
    of_pool = jury.panel is None and jury.mode is AuditMode.OPEN
    counted = f"{amount_text(jury.pool_stake)} FIT" if jury.pool_stake is not None else ""
    if jury.pool_enough:
        return Assurance.OPEN, f"drawn from a pool with at least {counted} at stake"
    named = f"{jury.trusted_voices} of them named by your trust list, and {jury.quorum} are needed"
    if jury.trusted_voices >= jury.quorum:
        return Assurance.ON_SITE if jury.mode is AuditMode.ON_SITE else Assurance.SAMPLED, named
    if not of_pool:
        return Assurance.VOUCHED, named
    if settings.open_stake is None:
        return Assurance.VOUCHED, f"{named}; your settings ask for no stake behind the pool (open_stake)"
    if jury.pool_stake is None:
        return Assurance.VOUCHED, f"{named}; the node no longer keeps what stood behind the pool"
    wanted, places = amount_text(settings.open_stake), jury.pool_counted
    return Assurance.VOUCHED, f"{named}; {counted} stood behind {places} places, and your settings ask for {wanted}"
