"""Issuing: the owner states what it trained and signs for it, before the run ends on chain.

Nothing is signed whose parts contradict each other or the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fitchain.pod.compute.dataset import Card
from fitchain.pod.ports.agreement import Agreements
from fitchain.pod.ports.chain import Chain, Signer
from fitchain.pod.ports.registry import Registry
from fitchain.pod.proof.certificate import claims
from fitchain.pod.proof.certificate.early_end import EarlyEnd
from fitchain.pod.proof.certificate.envelope import seal
from fitchain.pod.proof.certificate.risk import RiskClaim
from fitchain.pod.proof.certificate.statement import (
    MOST_ANCESTORS,
    MOST_LEAVES,
    Ancestor,
    BaseClaim,
    HeldOutClaim,
    PrivacyClaim,
    Statement,
    outline_of,
    unsalted_leaves,
)
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import sha256_file
from fitchain.pod.values.errors import AccessRefused
from fitchain.pod.values.ids import NO_MODEL, AgreementId, ModelId
from fitchain.pod.values.leaf import StateRoots
from fitchain.pod.values.recipe import Recipe


# Many parameters: each is a source of its own for the statement, which compares them.
def issue(
    chain: Chain,
    signer: Signer,
    id: AgreementId,
    recipe: Recipe,
    card: Card,
    transcript: Transcript,
    states: Mapping[int, StateRoots],
    model: Path,
    delivered: int | None = None,
    most_leaves: int = MOST_LEAVES,
    risk: RiskClaim | None = None,
    held_out: HeldOutClaim | None = None,
    evaluations: tuple[HeldOutClaim, ...] | None = None,
    ended: EarlyEnd | None = None,
) -> bytes:
    """Certify a training that has been done.

    Args:
        chain: where the agreement stands; it is only read.
        signer: the owner's account.
        id: the agreement.
        recipe, card: what was agreed and the dataset's card.
        transcript: every leaf, to the last.
        states: by the leaf's index the roots of at least those states that leaf 0, the delivered
            leaf and the last name.
        model: the file that is delivered.
        delivered: index of the leaf whose model that is; None for the last.
        most_leaves: beyond so many the certificate holds the groups' roots instead of the leaves.
        risk: what is said of an attack on the model; None where nothing is.
        held_out: what of the delivered leaf's result on held-out records leaves with it.
        evaluations: what of those of all leaves leaves, where each has one.
        ended: how it ended before its last step, where it did.

    Returns:
        the certificate's bytes, a DSSE envelope.

    Raises:
        AccessRefused: the signer is not the agreement's owner.
        Refuted: something of it is false; the message says what.
    """
    agreement = Agreements(chain).read(id)
    terms, registry = agreement.terms, Registry(chain)
    if signer.address != terms.owner:
        raise AccessRefused(
            f"the account {signer.address} is not the owner of the agreement {id}, which is {terms.owner}"
        )
    last, count = transcript.count - 1, transcript.count
    leaf = last if delivered is None else delivered
    whole = count <= most_leaves
    statement = Statement(
        subject=sha256_file(model),
        agreement=id,
        chain_id=chain.chain_id,
        contracts=dict(chain.addresses),
        owner=terms.owner,
        scientist=agreement.scientist,
        initial_model=recipe.initial_model,
        final_model=states[leaf].model,
        last_model=states[last].model,
        base=base_of(registry, terms.model),
        lineage=ancestors_of(registry, terms.model),
        recipe=recipe,
        environment=recipe.environment,
        dataset=terms.dataset,
        dataset_root=card.root,
        ledger=registry.dataset(terms.dataset).ledger,
        card=card,
        privacy=PrivacyClaim.of(recipe, card),
        risk=risk,
        held_out=held_out,
        evaluations=evaluations,
        ended=ended if recipe.privacy is None else None,
        audit=terms.audit,
        ctx=transcript.ctx,
        seed=transcript.seed,
        transcript_root=transcript.root,
        count=count,
        steps=transcript.leaves[-1].step,
        delivered=leaf,
        states={index: states[index] for index in unsalted_leaves(count, leaf)},
        leaves=transcript.leaves if whole else outline_of(transcript, recipe.group_leaves, leaf),
    )
    claims.check_recipe(statement, terms)
    claims.check_base(statement)
    claims.check_risk(statement)
    claims.check_early_end(statement)
    claims.check_leaves(statement, most_leaves)
    claims.check_file(statement, model)
    return seal(statement.encode(), signer)


def base_of(registry: Registry, model: ModelId) -> BaseClaim | None:
    """The model that a registered one is a delta over; None where it is whole."""
    base = registry.model(model).base
    return None if base == NO_MODEL else BaseClaim(base, registry.model(base).root)


def ancestors_of(registry: Registry, model: ModelId, most: int = MOST_ANCESTORS) -> tuple[Ancestor, ...]:
    """A registered model and those from which it descends: breadth first, parents in the order in
    which they are registered, each once, `most` at most."""
    listed, ancestors = [model], list[Ancestor]()
    while len(ancestors) < len(listed):
        for entry in registry.models_of(listed[len(ancestors) :]):
            ancestors.append(claims.ancestor_of(entry))
            new = [parent for parent in dict.fromkeys(entry.parents) if parent not in listed]
            listed += new[: most - len(listed)]
    return tuple(ancestors)
