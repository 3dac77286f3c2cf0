"""What a certificate says of the privacy-risk report: its digest, which the last leaf names, and
where a policy lets it out and no privacy budget runs, its summary, which never says a word about
one record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fitchain.pod.compute.dataset import Card
from fitchain.pod.values.digest import ZERO, Digest, Json, Root
from fitchain.pod.values.leaf import Checkpoint
from fitchain.pod.values.recipe.fields import Fields
from fitchain.pod.values.risk import Parts, RiskReport, Summary

_FIELDS = ("digest", "references", "findings", "held_out", "summary", "details")


@dataclass(frozen=True, slots=True)
class RiskClaim:
    """A risk report as the owner states it: who has the records can make it again.

    Args:
        digest: of the report.
        references: root over its reference trainings; zero where no audit opens any of them.
        findings: that with references and the model's root makes it up; zero where no report could
            be made and everybody may know.
        held_out: salted digest of the result on held-out records, beside which the last leaf names
            the report; zero where no record was held out.
        summary: of the report; None where it stays with the owner.
        details: salted digest of the rest, which with the summary's makes up the findings; None
            without a summary.
    """

    digest: Digest
    references: Digest
    findings: Digest
    held_out: Digest
    summary: Summary | None = None
    details: Digest | None = None

    @classmethod
    def of(cls, report: RiskReport | None, parts: Parts, last: Checkpoint, card: Card) -> RiskClaim:
        """What a certificate says of a report.

        Args:
            report: None where none could be made.
            parts: what its digest, which the last leaf names, is over.
            last: the last leaf.
            card: of the dataset.
        """
        named = (parts.digest, parts.references, parts.findings, last.held_out_digest)
        if report is None or not may_show_summary(card):
            return cls(*named)
        return cls(*named, report.summary, report.details_digest)

    @property
    def is_made(self) -> bool:
        """Whether there is a report, as far as anybody may know."""
        return self.findings != ZERO

    def parts(self, model: Root) -> Parts:
        """What the report's digest is over, of this model."""
        return Parts(model, self.references, self.findings)

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {
            "digest": str(self.digest),
            "references": str(self.references),
            "findings": str(self.findings),
            "held_out": str(self.held_out),
            "summary": None if self.summary is None else self.summary.json(),
            "details": None if self.details is None else str(self.details),
        }

    @classmethod
    def from_json(cls, value: Any) -> RiskClaim:
        """Read it from its JSON value.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("the risk", value, _FIELDS)
        return cls(
            digest=fields.digest("digest"),
            references=fields.digest("references"),
            findings=fields.digest("findings"),
            held_out=fields.digest("held_out"),
            summary=None if value["summary"] is None else Summary.from_json(value["summary"]),
            details=None if value["details"] is None else fields.digest("details"),
        )


def may_show_summary(card: Card) -> bool:
    """Whether a certificate shows a report's summary: the policy lets it out, and the records are
    under no privacy budget, which it would be charged to."""
    return card.policy.risk is not None and card.policy.risk.summary_leaves and card.privacy is None
