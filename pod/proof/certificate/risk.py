"""What a certificate says of the privacy-risk report: its digest, and where a policy lets it out
and no privacy budget runs, its summary, which never says a word about one record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fitchain.pod.compute.dataset import Card
from fitchain.pod.values.digest import Digest, Json
from fitchain.pod.values.recipe.fields import Fields
from fitchain.pod.values.risk import RiskReport, Summary


@dataclass(frozen=True, slots=True)
class RiskClaim:
    """A risk report as the owner states it: who has the records can make it again.

    Args:
        digest: of the report.
        summary: of it; None where it stays with the owner.
        details: salted digest of the rest, which with the summary's makes up that of the report;
            None without a summary.
    """

    digest: Digest
    summary: Summary | None = None
    details: Digest | None = None

    @classmethod
    def of(cls, report: RiskReport | None, card: Card) -> RiskClaim | None:
        """What a certificate says of a report; None where there is none."""
        if report is None:
            return None
        if not may_show_summary(card):
            return cls(report.digest)
        return cls(report.digest, report.summary, report.details_digest)

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {
            "digest": str(self.digest),
            "summary": None if self.summary is None else self.summary.json(),
            "details": None if self.details is None else str(self.details),
        }

    @classmethod
    def from_json(cls, value: Any) -> RiskClaim:
        """Read it from its JSON value.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("the risk", value, ("digest", "summary", "details"))
        return cls(
            digest=fields.digest("digest"),
            summary=None if value["summary"] is None else Summary.from_json(value["summary"]),
            details=None if value["details"] is None else fields.digest("details"),
        )


def may_show_summary(card: Card) -> bool:
    """Whether a certificate shows a report's summary: the policy lets it out, and the records are
    under no privacy budget, which it would be charged to."""
    return card.policy.risk is not None and card.policy.risk.summary_leaves and card.privacy is None
