"""Lineage: from which registered models the initial one descends, down to the first, and what of
that the chain says itself.

The registry keeps what an author claims when it registers a model: parents, and a digest of how it
follows from them. Of a model and a parent a checker can know more only where a job of this very
chain trained the parent and ended with the model's root: then these are the weights that the job's
owner committed to, whoever registered them. Anybody can end a run with any root, though, so a
parentage is worth what that job is worth: its owner, and who audited it. What is said is exactly
that, and the certificate names the job, so that a checker need not search.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from fitchain.pod.ports.agreement import AgreementHistory, State
from fitchain.pod.ports.agreement.history import history_reading
from fitchain.pod.ports.agreement.trainings import EndedRun, ended_runs_reading
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.chain.reading import Reading, carry_out, together
from fitchain.pod.ports.chain.reads import ReadCall
from fitchain.pod.ports.registry import ModelEntry, Registry
from fitchain.pod.ports.settings import Settings
from fitchain.pod.ports.trust import Trusted, look_at_panels, trusted_reading
from fitchain.pod.proof.certificate import assurance as assuring
from fitchain.pod.proof.certificate.claims import check_ended
from fitchain.pod.proof.certificate.jury import Jury, juries_reading
from fitchain.pod.proof.certificate.statement import MOST_ANCESTORS, MOST_TRAINED, Ancestor, Statement
from fitchain.pod.proof.certificate.verdict import Assurance, Parentage, ParentageKind, ParentageTraining
from fitchain.pod.values.derivation import trained_derivation
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import ClaimMismatch, require_equal
from fitchain.pod.values.ids import AgreementId, ModelId

Trainings = Mapping[AgreementId, tuple[AgreementHistory, tuple[Jury, ...]]]
"""By the job what the chain says of it, and who was drawn for its audits."""


# Issuing


def lineage_of(chain: Chain, model: ModelId, before: int) -> tuple[Ancestor, ...]:
    """A registered model and those from which it descends, each with the job that made it where the
    chain has one.

    Args:
        chain: it is only read. Where its node does not search far enough, no job is named.
        model: with which a job begins.
        before: block of that job's request; the others ended earlier.

    Raises:
        NotFound: the model is not registered.
        ChainUnusable: the node does not answer.
    """
    ancestors = ancestors_of(Registry(chain), model)
    roots = [each.root for each in ancestors if each.parents]
    runs = carry_out(chain, ended_runs_reading(chain, roots, before - 1)) if roots else []
    return with_jobs(ancestors, runs or [])


def ancestors_of(registry: Registry, model: ModelId, most: int = MOST_ANCESTORS) -> tuple[Ancestor, ...]:
    """A registered model and those from which it descends: breadth first, parents in the order in
    which they are registered, each once, `most` at most."""
    listed, ancestors = [model], list[Ancestor]()
    while len(ancestors) < len(listed):
        for entry in registry.models_of(listed[len(ancestors) :]):
            ancestors.append(ancestor_of(entry))
            new = [parent for parent in dict.fromkeys(entry.parents) if parent not in listed]
            listed += new[: most - len(listed)]
    return tuple(ancestors)


def ancestor_of(entry: ModelEntry) -> Ancestor:
    """A registered model as a lineage lists it; the registry names no job."""
    return Ancestor(entry.id, entry.graph, entry.root, entry.base, entry.parents, entry.derivation)


def with_jobs(ancestors: Sequence[Ancestor], runs: Sequence[EndedRun]) -> tuple[Ancestor, ...]:
    """The ancestors with the job that made each: of those that trained one of its parents and ended
    with its root the one that its author's derivation names, else the first that ended. Of two
    jobs in a row the former had ended when the latter was asked for.

    Args:
        ancestors: nearest first.
        runs: in the order in which they ended.
    """
    made: dict[ModelId, EndedRun] = {}
    for each in ancestors:
        fitting = [run for run in runs if run.root == each.root and run.model in each.parents]
        fitting.sort(key=lambda run: trained_derivation(run.agreement, run.root) != each.derivation)
        if fitting and len(made) < MOST_TRAINED:
            made[each.id] = fitting[0]
    for run in list(made.values()):
        if run.model in made and made[run.model].end_block >= run.requested_block:
            del made[run.model]
    return tuple(replace(each, trained_by=made[each.id].agreement if each.id in made else None) for each in ancestors)


def trace(chain: Chain, model: ModelId) -> tuple[tuple[Ancestor, ...], tuple[Parentage, ...]]:
    """What is known now of where a registered model comes from, to this checker.

    Raises: as `lineage_of`.
    """
    height = chain.head()
    lineage = lineage_of(chain, model, height + 1)

    def reading() -> Reading[Trainings]:
        trusted = yield from trusted_reading(chain, look_at_panels(chain, ()))
        return (yield from trainings_reading(chain, lineage, trusted, height))

    return lineage, check_parentages(lineage, carry_out(chain, reading()), height + 1, chain.settings)


# Verifying


def check_lineage(statement: Statement, models: Sequence[ModelEntry | None], model: ModelId) -> None:
    """Compare the registered models from which the initial model descends with the registry's.

    Args:
        statement: what is claimed.
        models: what the registry has under the ids that the certificate lists, in its order; None
            where it has nothing.
        model: the registered model that the agreement names.

    Raises:
        ClaimMismatch: a model is another than it says, or the list is not the nearest ancestors
            breadth first.
    """
    for own, registered in zip(statement.lineage, models, strict=True):
        actual = ancestor_of(registered) if registered else None
        said = replace(own, trained_by=None)  # which the registry does not know: `check_parentages`
        require_equal(f"the lineage's model {own.id}: the certificate says", said, actual)
    require_equal("the line's first model: the certificate says", statement.lineage[0].id, model)
    listed = {each.id: each for each in statement.lineage}
    expected = [model]
    for id in expected:
        ancestor = listed.get(id)
        for parent in ancestor.parents if ancestor else ():
            if parent not in expected and len(expected) < MOST_ANCESTORS:
                expected.append(parent)
    require_equal(
        "the lineage: the certificate lists",
        [str(each.id) for each in statement.lineage],
        [str(id) for id in expected],
        "the registered parents give",
    )


def lineage_is_whole(lineage: Sequence[Ancestor]) -> bool:
    """Whether every registered model from which the initial one descends is listed."""
    listed = {each.id for each in lineage}
    return all(parent in listed for each in lineage for parent in each.parents)


def trainings_reading(chain: Chain, lineage: Sequence[Ancestor], trusted: Trusted, height: int) -> Reading[Trainings]:
    """Read of the jobs that a lineage names what the chain says of them.

    Raises:
        ClaimMismatch: the chain has no such job.
    """
    ids = list(dict.fromkeys(each.trained_by for each in lineage if each.trained_by is not None))
    kept = yield [ReadCall("Agreements", "agreement", (id,), height) for id in ids]
    for id, entry in zip(ids, kept, strict=True):
        if State(entry["state"]) is State.NONE:
            raise ClaimMismatch(f"the lineage: the certificate names the job {id}, and this chain has none of that id")
    histories = yield from together(*(history_reading(chain, id, height, with_others=False) for id in ids))
    open_stake = chain.settings.open_stake
    juries = yield from together(*(juries_reading(chain, history, trusted, open_stake) for history in histories))
    return {id: (history, jury) for id, history, jury in zip(ids, histories, juries, strict=True)}


def check_parentages(
    lineage: Sequence[Ancestor], trainings: Trainings, before: int, settings: Settings
) -> tuple[Parentage, ...]:
    """Compare each job that a lineage names with the chain, and say what is known of each parent.

    Args:
        lineage: nearest first, as the registry has it.
        trainings: of every job that it names.
        before: block of the request of the job that begins with the first of them.
        settings: the checker's.

    Returns:
        a parentage for each model and parent, nearest first.

    Raises:
        ClaimMismatch: a job ended with another model, trained no parent of it, or ended too late.
    """
    asked = {lineage[0].id: before}
    for each in lineage:
        if each.trained_by is not None:
            history, _ = trainings[each.trained_by]
            trained = history.agreement.terms.model
            asked[trained] = min(asked.get(trained, before), history.agreement.requested_block)
    for each in lineage:
        if each.trained_by is not None:
            _check_training(each, trainings[each.trained_by][0], asked.get(each.id, before))
    return tuple(parentage for each in lineage for parentage in _parentages_of(each, trainings, settings))


def _check_training(child: Ancestor, history: AgreementHistory, before: int) -> None:
    """Check that a job made a model: that it trained one of its parents, and ended with it before
    the job was asked for that begins with it."""
    run, terms, what = history.run, history.agreement.terms, f"the lineage's model {child.id}"
    if run.end_block is None:
        raise ClaimMismatch(
            f"{what}: the certificate says that the job {history.agreement.id} made it, which runs still"
        )
    require_equal(
        f"{what}: the certificate says", child.root, run.model_root, f"the job {history.agreement.id} ended as"
    )
    if terms.model not in child.parents:
        raise ClaimMismatch(f"{what}: the job {history.agreement.id} trained {terms.model}, which is no parent of it")
    if run.end_block >= before:
        raise ClaimMismatch(
            f"{what}: the job {history.agreement.id} ended in block {run.end_block}, and what begins with it was asked "
            f"for in block {before}"
        )


def _parentages_of(child: Ancestor, trainings: Trainings, settings: Settings) -> Iterator[Parentage]:
    says_how = child.derivation != ZERO and child.trained_by is None
    if not child.parents and says_how:
        yield Parentage(child.id, None, ParentageKind.DERIVED)
    for parent in dict.fromkeys(child.parents):
        if child.trained_by is not None and trainings[child.trained_by][0].agreement.terms.model == parent:
            training = _training_of(*trainings[child.trained_by], settings)
            yield Parentage(child.id, parent, ParentageKind.TRAINED, training)
        else:
            yield Parentage(child.id, parent, ParentageKind.DERIVED if says_how else ParentageKind.CLAIMED)


def _training_of(history: AgreementHistory, juries: Sequence[Jury], settings: Settings) -> ParentageTraining:
    agreement = history.agreement
    level, reason, _ = assuring.assurance_of(history, juries, settings)
    is_refuted = False
    try:
        check_ended(history)
        assuring.check_verdicts(history, juries)
    except ClaimMismatch as refusal:
        level, reason, is_refuted = Assurance.UNAUDITED, refusal.message, True
    return ParentageTraining(
        agreement.id,
        agreement.terms.owner,
        agreement.scientist,
        agreement.terms.dataset,
        history.run.diverged,
        level,
        reason,
        is_refuted,
    )
