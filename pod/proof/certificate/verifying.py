"""Verifying: from a model's file and a certificate to a verdict, with nothing but a node to ask.

Every comparison stands in `claims`; here is their order. Node and deployment come from the
checker's settings, never from the certificate.
"""

from __future__ import annotations

from pathlib import Path

from fitchain.pod.ports.agreement import AgreementHistory, Agreements, Outcome, Phase, read_history
from fitchain.pod.ports.chain import Chain, connect
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.settings import Settings, load
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.proof.certificate import claims
from fitchain.pod.proof.certificate.envelope import unseal
from fitchain.pod.proof.certificate.statement import MOST_ANCESTORS, Statement
from fitchain.pod.proof.certificate.verdict import Assurance, Milestone, Verdict
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import ClaimMismatch, NotFound


def verify(
    model: Path,
    certificate: Path | bytes,
    chain: Chain | Settings | str | None = None,
    require: Assurance | None = None,
) -> Verdict:
    """Check where a model comes from.

    Args:
        model: the file that the certificate is said to be about.
        certificate: the certificate's file, or its bytes.
        chain: a connection by the checker's own settings, or these, or the URL of a node; it needs
            no key. None takes the node that the settings of this process name.
        require: the least assurance that will do.

    Returns:
        what holds.

    Raises:
        Refuted: something is false; the message says what, and where it parts from the truth.
        Unusable: it could not be checked: another chain or deployment, a node that does not answer,
            a run that has not ended, a file that is not there.
    """
    payload, signer = unseal(_read(certificate) if isinstance(certificate, Path) else certificate)
    if not isinstance(chain, Chain):
        chain = connect(chain if isinstance(chain, Settings) else load(rpc=chain))
    statement = Statement.parse(payload)
    claims.check_deployment(statement, chain.deployment)
    history = _history(chain, statement)
    claims.check_ended(history)
    ctx = Agreements(chain).context(history.agreement, statement.dataset_root, statement.initial_model)
    claims.check_agreement(statement, history, signer, ctx)
    claims.check_verdict(history)
    claims.check_registered(statement, history)
    claims.check_recipe(statement, history.agreement.terms)
    model_id = history.agreement.terms.model
    claims.check_lineage(statement, claims.ancestors_of(Registry(chain), model_id, MOST_ANCESTORS), model_id)
    claims.check_leaves(statement)
    claims.check_transcript(statement, history)
    orders_checked = claims.check_orders(statement)
    claims.check_file(statement, model)
    assurance, reason = assurance_of(history)
    if require is not None and assurance < require:
        raise ClaimMismatch(
            f"the assurance is {assurance.label}, and at least {require.label} is required",
            f"everything else holds; {reason}",
        )
    return Verdict(
        statement, history, assurance, orders_checked, _milestones(history), _origins(chain, statement), reason
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"the certificate {path} cannot be read: {error.strerror}") from None


LEVELS = {
    AuditMode.ON_SITE: Assurance.ON_SITE,
    AuditMode.SAMPLED: Assurance.SAMPLED,
    AuditMode.OPEN: Assurance.OPEN,
}
"""What a Match assures, by what was disclosed."""


def assurance_of(history: AgreementHistory) -> tuple[Assurance, str]:
    """Who but the owner has checked a training, by the chain, and why that is so.

    A dispute counts as much as an audit: its verifiers are drawn and vote likewise. A verdict
    against the owner is not for here, since `check_verdict` refutes the certificate.
    """
    terms, audit, concluded = history.agreement.terms.audit, history.audit, history.concluded
    if audit is None:
        reason = "an audit is only for a dispute, and there was none" if terms.seats else "no audit was agreed on"
        return Assurance.UNAUDITED, reason
    subject = "the audit that its scientist asked for" if audit.disputed else "its audit"
    if concluded is None:
        return Assurance.UNAUDITED, f"{subject} is under way: {audit.phase.name.lower()}, round {audit.round + 1}"
    when = f"in block {concluded.block}"
    if audit.verdict is not Outcome.MATCH:
        return Assurance.UNAUDITED, f"{subject} came to no verdict {when}: {audit.verdict.name.lower()}"
    sampling, last = Sampling(history.proof.count - 1, terms.segments), int(history.agreement.diverged)
    looked = f"over {sampling.audited + last} of {sampling.segments + last} segments"
    reason = (
        f"{subject} concluded match {when}, with at least {audit.quorum} of {len(audit.seats)} drawn verifiers {looked}"
    )
    unpaid = "; the model's key is not released yet" if audit.phase is Phase.MATCHED else ""
    return LEVELS[terms.mode], reason + unpaid


def _history(chain: Chain, statement: Statement) -> AgreementHistory:
    try:
        return read_history(chain, statement.agreement)
    except NotFound:
        raise ClaimMismatch(
            f"the chain has no agreement {statement.agreement} up to block {chain.head()}",
            "a node that lags behind must catch up first",
        ) from None


def _milestones(history: AgreementHistory) -> tuple[Milestone, ...]:
    return tuple(Milestone(event.name, event.block, history.blocks[event.block].timestamp) for event in history.events)


def _origins(chain: Chain, statement: Statement) -> tuple[Digest, ...]:
    """Agreements that ended with the model that this training began with."""
    endings = [
        event
        for name in ("Finished", "DivergedAt")
        for event in chain.events("ProofOfTrain", name, modelRoot=statement.initial_model)
    ]
    return tuple(event.args["id"] for event in endings if event.args["id"] != statement.agreement)
