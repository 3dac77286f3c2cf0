"""The scientist's part in the audit of its job, or of its dispute: the draw by its nonce, and the
judgement of what is released.

After a Match the job's identity is released, by the owner or by seats. Only the scientist can tell
whether it opens the delivery: it says so by accepting, which pays the seats, or complains once,
upon which each seat of the Match releases what it kept.
"""

from __future__ import annotations

from fitchain.pod.jobs import history
from fitchain.pod.jobs.asker import asker_nonce
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.retry import Log
from fitchain.pod.jobs.turns import ASKER_RANK, Turns, describe_verdict, send
from fitchain.pod.parties.scientist.complaint import why_unopened
from fitchain.pod.parties.scientist.receive import fetch_model, has_received
from fitchain.pod.parties.scientist.standing import RELEASE_ACCEPTED, keep_answer, stands
from fitchain.pod.ports.agreement import Audit, Phase
from fitchain.pod.values.errors import DeliveryUnopened, Unusable
from fitchain.pod.values.ids import AgreementId, AuditRef

WAIT_SHARE = 0.5
"""How much of the release window is waited for an identity that was released and is in no store."""


def follow_audit(home: Home, turns: Turns, id: AgreementId, auto_accept: bool, log: Log) -> bool:
    """Do what the audit of a job, or of a dispute about it, asks of its scientist now.

    Args:
        home: the scientist's, opened with its key.
        turns: of its pod.
        id: the agreement.
        auto_accept: accept what is released as soon as the delivery opens and its certificate
            holds, which pays the seats; else a person does, or the end of the window.
        log: told what happens.

    Returns:
        whether nothing is left to do: there is no audit, or it is concluded.

    Raises:
        Refuted: the delivery is not what the chain says.
        FitchainError: it cannot be done now; calling again goes on from there.
    """
    home.chain.catch_up()  # else what was sent and is not mined yet would be sent again
    ref = AuditRef(id)
    audit = home.audits.read(ref)
    if audit.phase in (Phase.NONE, Phase.CONCLUDED):
        return True
    if turns.bring_on(audit, ASKER_RANK, asker_nonce(home.keys, id)):
        log(id, "brought the audit on")
        return False
    if verdict := describe_verdict(home, audit):
        log(id, verdict)
    if audit.phase.releasing and home.chain.block("latest").timestamp <= audit.deadline:
        _judge_release(home, audit, auto_accept, log)
    return False


def _judge_release(home: Home, audit: Audit, auto_accept: bool, log: Log) -> None:
    """Receive the model by what was released so far; complain where that does not open it."""
    id = audit.id
    if audit.complained and not home.journal.happened(id, history.Complained):
        _note_complaint(home, id, history.Complained("this pod was cut off before it wrote down why"), log)
    if not has_received(home, id):
        if audit.phase is Phase.MATCHED and home.agreements.run_record(id).identity is None:
            return  # nothing is released yet
        if (problem := why_unopened(home, id)) is not None:
            # What is in no store may come yet; what does not open never will.
            late = home.chain.block("latest").timestamp > audit.deadline - (1 - WAIT_SHARE) * audit.window
            if not (late or isinstance(problem, DeliveryUnopened)) or not _complain(home, audit, problem.message, log):
                raise problem
            return
        log(id, "received the trained model; its certificate holds")
    accepts = auto_accept or stands(home, id, RELEASE_ACCEPTED)
    if accepts and not audit.complained:
        accept_release(home, id)
        log(id, "accepted what was released, which pays the verifiers")


def _complain(home: Home, audit: Audit, reason: str, log: Log) -> bool:
    """Say on chain, once an audit, that what was released does not open the delivery.

    Returns:
        whether the history did not have it yet.
    """
    complained = history.Complained(reason)
    if not audit.complained:
        receipt = send(home, audit, home.audits.complain)
        if receipt is None:
            return False
        complained = history.Complained(reason, **history.paid(receipt))
    return _note_complaint(home, audit.id, complained, log)


def _note_complaint(home: Home, id: AgreementId, complained: history.Complained, log: Log) -> bool:
    noted = home.journal.record(id, complained, once="")
    if noted:
        log(id, f"complained, so that each verifier of the match releases the key: {complained.reason}")
    return noted


def accept_release(home: Home, id: AgreementId) -> None:
    """Say on chain that the delivery opened, which ends the release window and pays the seats.

    Raises:
        Refuted: the certificate does not hold.
        Unusable: there is nothing released to accept now, or the scientist has complained: the
            window then pays those seats that release.
        FitchainError: the delivery does not open, or is not there.
    """
    home.chain.catch_up()
    audit = home.audits.read(AuditRef(id))
    if not audit.phase.releasing or home.chain.block("latest").timestamp > audit.deadline:
        raise Unusable(
            f"the audit of {id.short} is {audit.phase.name.lower()}: there is nothing released to accept now",
            f"see `fitchain job show {id.short}`",
        )
    if audit.complained:
        raise Unusable(
            f"the scientist complained of what was released of {id.short}",
            "the verifiers that release by the end of the window are paid then, without your doing",
        )
    fetch_model(home, id)
    receipt = send(home, audit, home.audits.accept_release)
    if receipt is not None:
        home.journal.record(id, history.ReleaseAccepted(**history.paid(receipt)), once=str(receipt.transaction))
        keep_answer(home, id, RELEASE_ACCEPTED)
