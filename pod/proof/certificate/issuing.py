"""Issuing: the owner states what it trained and signs for it, before the run ends on chain.

Nothing is signed whose parts contradict each other or the file.
"""

from __future__ import annotations

from pathlib import Path

from fitchain.pod.compute.dataset import Card
from fitchain.pod.ports.agreement import Agreements
from fitchain.pod.ports.chain import Chain, Signer
from fitchain.pod.ports.registry import Registry
from fitchain.pod.proof.certificate import claims
from fitchain.pod.proof.certificate.envelope import seal
from fitchain.pod.proof.certificate.statement import MOST_ANCESTORS, MOST_LEAVES, Statement, outline_of
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import sha256_file
from fitchain.pod.values.errors import AccessRefused
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.recipe import Recipe


# Many parameters: each is a source of its own for the statement, which compares them.
def issue(
    chain: Chain,
    signer: Signer,
    id: AgreementId,
    recipe: Recipe,
    card: Card,
    transcript: Transcript,
    model: Path,
    most_leaves: int = MOST_LEAVES,
) -> bytes:
    """Certify a training that has been done.

    Args:
        chain: where the agreement stands; it is only read.
        signer: the owner's account.
        id: the agreement.
        recipe, card: what was agreed and the dataset's card.
        transcript: every leaf, to the last.
        model: the file that is delivered.
        most_leaves: beyond so many the certificate holds the groups' roots instead of the leaves.

    Returns:
        the certificate's bytes, a DSSE envelope.

    Raises:
        AccessRefused: the signer is not the agreement's owner.
        Refuted: something of it is false; the message says what.
    """
    agreement = Agreements(chain).read(id)
    terms = agreement.terms
    if signer.address != terms.owner:
        raise AccessRefused(
            f"the account {signer.address} is not the owner of the agreement {id}, which is {terms.owner}"
        )
    statement = Statement(
        subject=sha256_file(model),
        agreement=id,
        chain_id=chain.deployment.chain_id,
        contracts=dict(chain.deployment.addresses),
        owner=terms.owner,
        scientist=agreement.scientist,
        initial_model=recipe.initial_model,
        final_model=transcript.leaves[-1].model,
        lineage=claims.ancestors_of(Registry(chain), terms.model, MOST_ANCESTORS),
        recipe=recipe,
        environment=recipe.environment,
        dataset=terms.dataset,
        dataset_root=card.root,
        card=card,
        audit=terms.audit,
        ctx=transcript.ctx,
        seed=transcript.seed,
        transcript_root=transcript.root,
        count=transcript.count,
        steps=transcript.leaves[-1].step,
        leaves=transcript.leaves if transcript.count <= most_leaves else outline_of(transcript, recipe.group_leaves),
    )
    claims.check_recipe(statement, terms)
    claims.check_leaves(statement)
    claims.check_file(statement, model)
    return seal(statement.encode(), signer)
