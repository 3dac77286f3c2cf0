"""Derivation: how a registered model follows from its parents, as the registry keeps it.

It is one digest, which its author chose when it registered the model: it says what the author
claims, and cannot change the claim later. That the model is what it says follows from elsewhere
(`fitchain.pod.proof.certificate.lineage`).
"""

from __future__ import annotations

from fitchain.pod.values.digest import Digest, Root, tagged
from fitchain.pod.values.ids import AgreementId

DERIVATION_TAG = "fitchain/derivation/v2"


def trained_derivation(agreement: AgreementId, final_model: Root) -> Digest:
    """The derivation of a model whose weights, all or some, are loaded from what a job delivered.

    Args:
        agreement: the job, of whatever chain and deployment: its id follows from both.
        final_model: root of the model that it delivered.
    """
    return tagged(DERIVATION_TAG, agreement, final_model)
