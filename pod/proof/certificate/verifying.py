"""Verifying: from a model's file and a certificate to a verdict, with nothing but a node to ask.

Every comparison stands in `claims`; here is their order. Node and deployment come from the
checker's settings, never from the certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fitchain.pod.ports.agreement import AgreementHistory, Agreements, Outcome, Phase, read_history
from fitchain.pod.ports.chain import Chain, connect
from fitchain.pod.ports.chain.base import amount_text
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.settings import Settings, load
from fitchain.pod.ports.trust import trusted_by
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.proof.certificate import claims
from fitchain.pod.proof.certificate.envelope import unseal
from fitchain.pod.proof.certificate.jury import Jury, read_jury
from fitchain.pod.proof.certificate.statement import MOST_ANCESTORS, Statement
from fitchain.pod.proof.certificate.timing import Milestone, timing_of
from fitchain.pod.proof.certificate.verdict import Assurance, Verdict
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import AssuranceTooLow, ClaimMismatch, NotFound
from fitchain.pod.values.ids import PanelId


def verify(
    model: Path | str,
    certificate: Path | str | bytes,
    chain: Chain | Settings | str | None = None,
    require: Assurance | None = None,
    trust: Sequence[PanelId] = (),
) -> Verdict:
    """Check where a model comes from.

    Args:
        model: the file that the certificate is said to be about.
        certificate: the certificate's file, or its bytes.
        chain: a connection by the checker's own settings, or these, or the URL of a node; it needs
            no key. None takes the node that the settings of this process name. The settings' home
            holds the trust list on which the level rests.
        require: the least assurance that will do.
        trust: panels that count as they stand now besides those of the trust list, for this once.

    Returns:
        what holds.

    Raises:
        Refuted: something is false; the message says what, and where it parts from the truth.
        AssuranceTooLow: it holds, and less vouches for it than is required.
        Unusable: it could not be checked: another chain or deployment, a node that does not answer,
            a run that has not ended, a file that is not there.
    """
    payload, signer = unseal(certificate if isinstance(certificate, bytes) else _read(Path(certificate)))
    if not isinstance(chain, Chain):
        chain = connect(chain if isinstance(chain, Settings) else load(rpc=chain))
    statement = Statement.parse(payload)
    claims.check_deployment(statement, chain.deployment)
    trusted = trusted_by(chain, trust)
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
    parameter_bytes = claims.check_file(statement, Path(model))
    wanted = chain.settings.open_stake
    jury = read_jury(chain, history, trusted, weigh_pool=wanted is not None)
    assurance, reason = assurance_of(history, jury, wanted)
    if require is not None and assurance < require:
        raise AssuranceTooLow(
            f"the assurance is {assurance.label}, and at least {require.label} is required",
            f"everything else holds; {reason}; {_way_on(jury, require)}",
        )
    milestones = _milestones(history)
    timing = timing_of(history, milestones, parameter_bytes)
    origins = _origins(chain, statement)
    return Verdict(statement, history, assurance, orders_checked, milestones, origins, timing, reason, jury)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"the certificate {path} cannot be read: {error.strerror}") from None


def assurance_of(history: AgreementHistory, jury: Jury | None, open_stake: int | None) -> tuple[Assurance, str]:
    """Who vouches for a training to a checker, by the chain, and why that is so.

    A dispute counts as much as an audit: its verifiers are drawn and vote likewise. A verdict
    against the owner is not for here, since `check_verdict` refutes the certificate.

    Args:
        history: the agreement's.
        jury: who was drawn; None where no audit was opened.
        open_stake: FIT in base units from which on the checker believes a draw from the pool; None
            never does.
    """
    terms, audit, concluded = history.agreement.terms.audit, history.audit, history.concluded
    if audit is None or jury is None:
        agreed = "an audit is only for a dispute, and there was none" if terms.seats else "no audit was agreed on"
        return Assurance.UNAUDITED, agreed
    subject = "the audit that its scientist asked for" if audit.disputed else "its audit"
    if concluded is None:
        return Assurance.UNAUDITED, f"{subject} is under way: {audit.phase.name.lower()}, round {audit.round + 1}"
    when = f"in block {concluded.block}"
    if audit.verdict is not Outcome.MATCH:
        return Assurance.UNAUDITED, f"{subject} came to no verdict {when}: {audit.verdict.name.lower()}"
    sampling, last = Sampling(history.proof.count - 1, terms.segments), int(history.agreement.diverged)
    looked = f"about {sampling.audited + last} of {sampling.segments + last} segments"
    votes = f"{subject} concluded match {when}: {jury.matches} of {len(jury.seats)} seats voted Match {looked}"
    unpaid = "; the model's key is not released yet" if audit.phase is Phase.MATCHED else ""
    level, why = _level(terms.mode, jury, open_stake)
    return level, f"{votes}, {why}{unpaid}"


def _level(mode: AuditMode, jury: Jury, open_stake: int | None) -> tuple[Assurance, str]:
    """What a Match is worth to a checker, and why.

    A pool is weighed only where everybody may have the records, in mode `open`: elsewhere a seat
    counts by its name alone.
    """
    of_pool = jury.panel is None and mode is AuditMode.OPEN
    if of_pool and open_stake is not None and jury.pool_stake is not None and jury.pool_stake >= open_stake:
        return Assurance.OPEN, f"drawn from a pool with {amount_text(jury.pool_stake)} FIT at stake"
    named = f"{jury.trusted_matches} of them named by your trust list, and {jury.quorum} are needed"
    if jury.trusted_matches >= jury.quorum:
        return Assurance.ON_SITE if mode is AuditMode.ON_SITE else Assurance.SAMPLED, named
    if not of_pool:
        return Assurance.VOUCHED, named
    if open_stake is None:
        return Assurance.VOUCHED, f"{named}; your settings ask for no stake behind the pool (open_stake)"
    if jury.pool_stake is None:
        return Assurance.VOUCHED, f"{named}; the node cannot tell what stood behind the pool"
    staked, wanted = amount_text(jury.pool_stake), amount_text(open_stake)
    return Assurance.VOUCHED, f"{named}; {staked} FIT stood behind the pool, and your settings ask for {wanted}"


def _way_on(jury: Jury | None, require: Assurance) -> str:
    """What a checker can do where a level is too low."""
    again = "or have it audited by verifiers that you trust"
    if jury is None or not jury.matches:
        return "nobody vouches for it: ask its owner for an audit by verifiers that you trust"
    if require is Assurance.OPEN:
        return f"only a draw from the pool, in mode open, comes to that: set open_stake, {again}"
    if jury.panel is None:
        return f"if you rely on its seats, name them: fitchain trust add ACCOUNT, {again}"
    return f"if you know its panel, trust it: fitchain trust add {jury.panel.id}, {again}"


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
