"""Identifiers of what the chain keeps: digests, each of its own kind, so that none passes for
another or for a root.

The kinds exist for the type checker alone; at run time each is a `Digest`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import InputRefused

AgreementId = NewType("AgreementId", Digest)
AuditId = NewType("AuditId", Digest)
DatasetId = NewType("DatasetId", Digest)
ModelId = NewType("ModelId", Digest)
PanelId = NewType("PanelId", Digest)

NO_AGREEMENT = AgreementId(ZERO)
"""What a line is about that concerns the pod itself and no job."""
NO_MODEL = ModelId(ZERO)
"""The base of a model that is stored whole."""
WHOLE_POOL = PanelId(ZERO)
"""The panel of an audit whose verifiers are drawn from the whole pool."""

MOST_ORDINAL = (1 << 16) - 1


@dataclass(frozen=True, slots=True, order=True)
class AuditRef:
    """Which audit of which agreement: what the contract's calls take.

    Args:
        agreement: the audited agreement.
        ordinal: 0 for the audit of the terms or of a dispute, from 1 on for those that were asked
            for again.
    """

    agreement: AgreementId
    ordinal: int = 0

    def __str__(self) -> str:
        """The agreement's id; with `/` and the ordinal where it is not 0."""
        return f"{self.agreement}/{self.ordinal}" if self.ordinal else str(self.agreement)

    @property
    def short(self) -> str:
        """As `__str__`, with the agreement's short id."""
        return f"{self.agreement.short}/{self.ordinal}" if self.ordinal else self.agreement.short

    @classmethod
    def parse(cls, text: str) -> AuditRef:
        """Read what `__str__` wrote.

        Raises:
            InputRefused: it is another text.
        """
        agreement, slash, ordinal = text.partition("/")
        if slash and not (
            ordinal.isascii() and ordinal.isdigit() and len(ordinal) < 6 and int(ordinal) <= MOST_ORDINAL
        ):
            raise InputRefused(f"an audit's ordinal is a number up to {MOST_ORDINAL}, not {ordinal[:20]!r}")
        return cls(AgreementId(Digest.parse(agreement)), int(ordinal) if slash else 0)


Subject = AgreementId | AuditRef
"""What a line of a history is about: a job, or one of its audits; `AuditRef(agreement)` says the
same as the agreement."""


def agreement_of(subject: Subject) -> AgreementId:
    """The agreement that a subject is about."""
    return subject.agreement if isinstance(subject, AuditRef) else subject
