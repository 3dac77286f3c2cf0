"""Identifiers of what the chain keeps: digests, each of its own kind, so that none passes for
another or for a root.

The kinds exist for the type checker alone; at run time each is a `Digest`.
"""

from __future__ import annotations

from typing import NewType

from fitchain.pod.values.digest import ZERO, Digest

AgreementId = NewType("AgreementId", Digest)
DatasetId = NewType("DatasetId", Digest)
ModelId = NewType("ModelId", Digest)
PanelId = NewType("PanelId", Digest)

NO_AGREEMENT = AgreementId(ZERO)
"""What a line is about that concerns the pod itself and no job."""
NO_MODEL = ModelId(ZERO)
"""The parent of a model that descends from none."""
WHOLE_POOL = PanelId(ZERO)
"""The panel of an audit whose verifiers are drawn from the whole pool."""
