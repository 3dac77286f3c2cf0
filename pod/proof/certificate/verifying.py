"""Verifying: from a model's file and a certificate to a verdict, with nothing but a node to ask.

Every comparison stands in `claims`, what the juries come to in `assurance`; here is their order.
Node and deployment come from the checker's settings, never from the certificate. What is asked of
the node is read at one block and in few requests, however much strangers write on the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from fitchain.pod.ports.agreement import AgreementHistory, Agreements
from fitchain.pod.ports.agreement.descent import find_parents
from fitchain.pod.ports.agreement.history import history_reading, searched_ranges
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.chain.reading import Reading, carry_out, together
from fitchain.pod.ports.chain.reads import ReadCall, ReadEvents
from fitchain.pod.ports.chain.witness import connect_witnessed
from fitchain.pod.ports.registry import ModelEntry, model_entry
from fitchain.pod.ports.settings import Settings, load
from fitchain.pod.ports.trust import look_at_panels, trusted_reading
from fitchain.pod.proof.certificate import assurance as assuring
from fitchain.pod.proof.certificate import claims
from fitchain.pod.proof.certificate import lineage as lining
from fitchain.pod.proof.certificate.envelope import CERTIFICATE_BYTES, read_envelope
from fitchain.pod.proof.certificate.jury import Jury, juries_reading
from fitchain.pod.proof.certificate.statement import Statement, require_versions
from fitchain.pod.proof.certificate.timing import Milestone, timing_of
from fitchain.pod.proof.certificate.verdict import Assurance, Verdict
from fitchain.pod.proof.descent import check_kept_rows
from fitchain.pod.values.errors import AssuranceTooLow, NotFound, NotOnChain, reason_of
from fitchain.pod.values.ids import AgreementId, PanelId

MOST_ORIGINS = 20
LATEST = 253_402_300_799
"""The last second that a calendar has; a node may say any."""


def verify(
    model: Path | str,
    certificate: Path | str | bytes,
    chain: Chain | Settings | str | None = None,
    require: Assurance | None = None,
    trust: Sequence[PanelId] = (),
    base: Path | str | None = None,
) -> Verdict:
    """Check where a model comes from.

    Args:
        model: the file that the certificate is said to be about.
        certificate: the certificate's file, or its bytes.
        chain: a connection by the checker's own settings, or these, or the URL of a node; it needs
            no key. None takes the node that the settings of this process name. The settings' home
            holds the trust list on which the level rests; where they name a second node, both have
            to agree.
        require: the least assurance that will do.
        trust: panels that count as they stand now besides those of the trust list, for this once.
        base: file of the model's base, where the model is a delta over one: whether it is the
            certified one follows from the delta alone, and with the file its bytes are compared.

    Returns:
        what holds.

    Raises:
        Refuted: something is false; the message says what, and where it parts from the truth.
        AssuranceTooLow: it holds, and less vouches for it than is required.
        Unusable: it could not be checked: another chain or deployment, an agreement that this chain
            does not have, a node that does not answer or lags behind, two nodes that do not agree,
            a run that has not ended, a file that is not there, or is no certificate or model of
            this version.
    """
    envelope = read_envelope(certificate if isinstance(certificate, bytes) else _read(Path(certificate)))
    require_versions(envelope.payload)  # nothing can be said here of another, not even who signed it
    signer = envelope.signer()
    if not isinstance(chain, Chain):
        chain = connect_witnessed(chain if isinstance(chain, Settings) else load(rpc=chain))
    statement = Statement.parse(envelope.payload)
    claims.check_deployment(statement, chain.chain_id, chain.addresses)
    chain = chain.snapshot()
    history, juries, models, origins, trainings = carry_out(chain, _everything(chain, statement, trust))
    claims.check_ended(history)
    claims.check_agreement(statement, history, signer, Agreements(chain).context(history.agreement))
    assuring.check_verdicts(history, juries)
    claims.check_registered(statement, history)
    claims.check_recipe(statement, history.agreement.terms)
    descent_searched = True
    if statement.recipe.held_out is not None:
        terms, requested = history.agreement.terms, history.events[0].block
        parents = find_parents(chain, terms.owner, terms.dataset, terms.model, requested)
        descent_searched = parents is not None
        if parents is not None:
            check_kept_rows(statement.recipe, parents)
    claims.check_risk(statement)
    claims.check_early_end(statement)
    claims.check_base(statement)
    lining.check_lineage(statement, models, history.agreement.terms.model)
    parentages = lining.check_parentages(
        statement.lineage, trainings, history.agreement.requested_block, chain.settings
    )
    claims.check_leaves(statement)
    claims.check_transcript(statement, history)
    orders_checked = claims.check_orders(statement)
    parameter_bytes, described = claims.check_file(statement, Path(model), None if base is None else Path(base))
    beside = claims.check_beside(statement, Path(model).parent)
    level, reason, jury = assuring.assurance_of(history, juries, chain.settings)
    if require is not None and level < require:
        raise AssuranceTooLow(
            f"the assurance is {level.label}, and at least {require.label} is required",
            f"everything else holds; {reason}; {assuring.way_on(history, jury, require)}",
        )
    milestones = tuple(
        Milestone(event.name, event.block, history.blocks[event.block].timestamp) for event in history.milestones
    )
    return Verdict(
        statement=statement,
        history=history,
        assurance=level,
        orders_checked=orders_checked,
        milestones=milestones,
        origins=origins,
        timing=timing_of(history, milestones, parameter_bytes),
        juries=juries,
        reason=reason,
        repeat=assuring.repeat_of(history, jury) if jury else None,
        lineage_whole=lining.lineage_is_whole(statement.lineage),
        parentages=parentages,
        descent_searched=descent_searched,
        base_compared=base is not None,
        described=described,
        beside=beside,
    )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(CERTIFICATE_BYTES + 1)  # what is longer is refused by its length
    except OSError as error:
        raise NotFound(f"the certificate {path} cannot be read: {reason_of(error)}") from None


def _everything(
    chain: Chain, statement: Statement, trust: Sequence[PanelId]
) -> Reading[
    tuple[AgreementHistory, tuple[Jury, ...], list[ModelEntry | None], tuple[AgreementId, ...], lining.Trainings]
]:
    """All that a checker asks a node for."""
    height = chain.head()
    try:
        history, trusted, models, origins = yield from together(
            history_reading(chain, statement.agreement, height),
            trusted_reading(chain, look_at_panels(chain, trust)),
            _models_reading(statement, height),
            _origins_reading(chain, statement, height),
        )
    except NotFound as error:
        # Not refuted: a node that lags, or a devnet that was begun anew with the same addresses,
        # has it as little as a chain on which it never was.
        newest = chain.block(height)
        day = datetime.fromtimestamp(min(newest.timestamp, LATEST), UTC).isoformat(" ", "seconds")
        raise NotOnChain(
            f"{error.message}, which is of {day}",
            "if that is long ago, the node lags behind: wait, or name another with --rpc; else the certificate is of "
            "another chain, or about a job that never was",
        ) from None
    juries, trainings = yield from together(
        juries_reading(chain, history, trusted, chain.settings.open_stake),
        lining.trainings_reading(chain, statement.lineage, trusted, height),
    )
    return history, juries, models, origins, trainings


def _models_reading(statement: Statement, height: int) -> Reading[list[ModelEntry | None]]:
    """What the registry has under the ids that the certificate's lineage lists."""
    ids = [each.id for each in statement.lineage]
    answers = yield [ReadCall("Registry", "model", (id,), height) for id in ids]
    return [model_entry(id, answer) for id, answer in zip(ids, answers, strict=True)]


def _origins_reading(chain: Chain, statement: Statement, height: int) -> Reading[tuple[AgreementId, ...]]:
    """Agreements that ended with the model that this training began with, the newest that were
    found: anybody can end a run with any root, so each is only where to look."""
    wanted = {"modelRoot": statement.initial_model}
    searched = yield [
        ReadEvents(("ProofOfTrain",), name, wanted, from_block=start, to_block=upto, optional=True)
        for start, upto in searched_ranges(chain, height)
        for name in ("Finished", "DivergedAt")
    ]
    ids = [AgreementId(event.args["id"]) for events in searched for event in events or ()]
    return tuple(id for id in dict.fromkeys(ids) if id != statement.agreement)[-MOST_ORIGINS:]
