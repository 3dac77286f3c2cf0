"""The report: a summary that may be shown, details for the owner alone, and one digest over both.

The digest is made of the parts' digests, so that a certificate can show the summary, with nothing
of the details, under the same digest. A salt goes into it: a report is a function of the records,
so who knew all of them but one could else try which record makes up its digest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fitchain.pod.values.digest import ZERO, Digest, Json, Root, canonical_json, parse_json, sha256, tagged
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import RISK_REPORT
from fitchain.pod.values.recipe.fields import Fields, integer, real, text
from fitchain.pod.values.recipe.terms import MOST_ROWS
from fitchain.pod.values.risk.attack import FALSE_POSITIVE_RATES, MOST_POINTS, Attack, Rate
from fitchain.pod.values.risk.references import references_root

VERSION = "fitchain/risk-report/v2"
DIGEST_TAG, DETAILS_TAG, UNMADE_TAG = "fitchain/risk/v2", "fitchain/risk-details/v2", "fitchain/risk-unmade/v2"
FINDINGS_TAG = "fitchain/risk-findings/v2"
MOST_EXPOSED = 1000
"""Rows that a report lists by number; how many there are it says in any case."""
MOST_WORST = 5
MOST_REFERENCES = 1 << 10
NUMBER = 1e300
"""No number of a report is beyond it."""

NOT_TRIED = (
    "canaries: records made up for the purpose, trained on and looked for",
    "the states of the training on its way, which the owner and who audits it have",
    "gradients, and any other look into the model: only its outputs on whole records were used",
    "outputs on altered copies of a record",
    "guessing a record's attributes, and recovering records",
    "records of one person taken together",
    "more reference models, and attacks that choose their settings by the data",
)
"""What a report does not cover, in words; who reads one must not take silence for safety."""
IGNORED = "records all of whose targets are of {}, which counts in no loss: no figure here is of them"
"""The same of a recipe that ignores a class."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a report comes to, without a word about one record.

    Args:
        model: root of the model that was attacked.
        attack: how.
        references: models that were trained to compare with, and came to their last step.
        members: records that the model was trained on, of which a target counts.
        non_members: records that it was not trained on, held out; likewise.
        rates: at `FALSE_POSITIVE_RATES`; none where nothing can be said.
        auc: the chance that a member scores above a non-member, ties counted half; None likewise.
    """

    model: Root
    attack: Attack
    references: int
    members: int
    non_members: int
    rates: tuple[Rate, ...]
    auc: float | None

    def __post_init__(self) -> None:
        tells = self.attack is not Attack.NONE
        rates = tuple(rate.at for rate in self.rates)
        if rates != (FALSE_POSITIVE_RATES if tells else ()) or (self.auc is None) == tells:
            raise InputRefused("a risk report has its rates and an AUC where an attack was made, and else neither")
        if tells and not (self.members and self.non_members and self.references):
            raise InputRefused("an attack needs members, non-members and reference models")
        for rate in self.rates:
            if not (rate.hits <= self.members and rate.false_positives == self.non_members // round(1 / rate.at)):
                raise InputRefused("a rate of a risk report counts more than there is")

    @property
    def digest(self) -> Digest:
        """SHA-256 of its canonical JSON."""
        return sha256(canonical_json(self.json()))

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {
            "model": str(self.model),
            "attack": self.attack.value,
            "references": self.references,
            "members": self.members,
            "non_members": self.non_members,
            "rates": [
                {"at": rate.at, "false_positives": rate.false_positives, "hits": rate.hits} for rate in self.rates
            ],
            "auc": self.auc,
        }

    @classmethod
    def from_json(cls, value: Any) -> Summary:
        """Read it from its JSON value.

        Raises:
            InputRefused: it has another form, or its parts contradict each other.
        """
        fields = Fields(
            "the summary", value, ("model", "attack", "references", "members", "non_members", "rates", "auc")
        )
        return cls(
            model=fields.root("model"),
            attack=Attack(fields.choice("attack", list(Attack))),
            references=fields.integer("references", 0, MOST_REFERENCES),
            members=fields.integer("members", 0, MOST_ROWS),
            non_members=fields.integer("non_members", 0, MOST_ROWS),
            rates=tuple(_rate(each) for each in fields.items("rates", 0, len(FALSE_POSITIVE_RATES))),
            auc=None if value["auc"] is None else fields.real("auc", 0, 1),
        )


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a model does on some records.

    Args:
        records: how many.
        loss: the recipe's, mean over them.
        accuracy: the share that it gets right; None where that has no meaning.
    """

    records: int
    loss: float
    accuracy: float | None

    @property
    def figure(self) -> float:
        """The accuracy, or where there is none the loss."""
        return self.loss if self.accuracy is None else self.accuracy


@dataclass(frozen=True, slots=True)
class Seeds:
    """What other order seeds gave: the figure of each reference model on records that it was not
    trained on (accuracy, or where that has no meaning the loss).

    Args:
        figures: one a reference model, rising.
        held_out: whether the records are those held out of the job; else any that it used.
    """

    figures: tuple[float, ...]
    held_out: bool

    @property
    def deviation(self) -> float:
        """Their standard deviation; 0 of fewer than two."""
        count = len(self.figures)
        mean = math.fsum(self.figures) / count if count else 0.0
        return math.sqrt(math.fsum((figure - mean) ** 2 for figure in self.figures) / (count - 1)) if count > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Worst:
    """A record that the model gives away most.

    Args:
        row: its number in the dataset, from 0.
        score: of the attack.
        confidence: what the model makes of it: the logit of its label's probability, or for a
            regression its negative loss.
        without, with_: the same of reference models, on average: of those that were not trained on
            it, and of those that were.
    """

    row: int
    score: float
    confidence: float
    without: float
    with_: float


@dataclass(frozen=True, slots=True)
class Details:
    """What stays with the owner.

    Args:
        ctx, seed, recipe: of which run.
        reference_units: units of privacy (records, where these are the unit) that a reference
            model is trained on.
        references_ended: reference trainings that ended before their last step and are left out.
        training, held_out: how well the model does; None without records held out.
        seeds: what other seeds gave.
        epsilon, delta: that bound every attack on the run, where it was private.
        roc: (false positives, hits), rising.
        exposed_count: members that score above every non-member.
        exposed: their rows, rising; of more than `MOST_EXPOSED` those with the highest scores.
        worst: the worst of them, the worst first.
        not_tried: what this report does not cover.
    """

    ctx: Digest
    seed: Digest
    recipe: Digest
    reference_units: int
    references_ended: int
    training: Quality
    held_out: Quality | None
    seeds: Seeds
    epsilon: float | None
    delta: float | None
    roc: tuple[tuple[int, int], ...]
    exposed_count: int
    exposed: tuple[int, ...]
    worst: tuple[Worst, ...]
    not_tried: tuple[str, ...] = NOT_TRIED

    @property
    def digest(self) -> Digest:
        """SHA-256 of its canonical JSON."""
        return sha256(canonical_json(self.json()))

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {
            "context": str(self.ctx),
            "order_seed": str(self.seed),
            "recipe": str(self.recipe),
            "reference_units": self.reference_units,
            "references_ended": self.references_ended,
            "training": _quality_json(self.training),
            "held_out": None if self.held_out is None else _quality_json(self.held_out),
            "seeds": {"figures": list(self.seeds.figures), "held_out": self.seeds.held_out},
            "epsilon": self.epsilon,
            "delta": self.delta,
            "roc": [list(point) for point in self.roc],
            "exposed_count": self.exposed_count,
            "exposed": list(self.exposed),
            "worst": [
                {
                    "row": each.row,
                    "score": each.score,
                    "confidence": each.confidence,
                    "without": each.without,
                    "with": each.with_,
                }
                for each in self.worst
            ],
            "not_tried": list(self.not_tried),
        }

    @classmethod
    def from_json(cls, value: Any) -> Details:
        """Read it from its JSON value.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("the details", value, _DETAILS)
        seeds = Fields("the seeds", value["seeds"], ("figures", "held_out"))
        figures = seeds.items("figures", 0, MOST_REFERENCES)
        return cls(
            ctx=fields.digest("context"),
            seed=fields.digest("order_seed"),
            recipe=fields.digest("recipe"),
            reference_units=fields.integer("reference_units", 0, MOST_ROWS),
            references_ended=fields.integer("references_ended", 0, MOST_REFERENCES),
            training=_quality(value["training"]),
            held_out=None if value["held_out"] is None else _quality(value["held_out"]),
            seeds=Seeds(tuple(_real("a figure", each) for each in figures), seeds.flag("held_out")),
            epsilon=None if value["epsilon"] is None else fields.real("epsilon", 0, NUMBER),
            delta=None if value["delta"] is None else fields.real("delta", 0, 1),
            roc=tuple(_point(each) for each in fields.items("roc", 0, MOST_POINTS + 1)),
            exposed_count=fields.integer("exposed_count", 0, MOST_ROWS),
            exposed=tuple(_row(each) for each in fields.items("exposed", 0, MOST_EXPOSED)),
            worst=tuple(_worst(each) for each in fields.items("worst", 0, MOST_WORST)),
            not_tried=tuple(text("what was not tried", each, 200) for each in fields.items("not_tried", 0, 50)),
        )


_DETAILS = (
    "context",
    "order_seed",
    "recipe",
    "reference_units",
    "references_ended",
    "training",
    "held_out",
    "seeds",
    "epsilon",
    "delta",
    "roc",
    "exposed_count",
    "exposed",
    "worst",
    "not_tried",
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the digest of a report is over: who is shown the parts learns of which model it is, and
    nothing of what was found.

    Args:
        model: root of the model that was attacked.
        references: root over the reference trainings; zero where none of them can be opened.
        findings: over summary and details, the details salted; zero where no report could be made
            and everybody may know.
    """

    model: Root
    references: Digest
    findings: Digest

    @classmethod
    def unmade(cls, model: Root, salt: Digest | None = None) -> Parts:
        """What stands for those of a report that could not be made.

        Args:
            model: root of the model.
            salt: where nobody may see that, since it may say something of a record; else None.
        """
        return cls(model, ZERO, ZERO if salt is None else tagged(UNMADE_TAG, salt))

    @property
    def digest(self) -> Digest:
        """The report's."""
        return tagged(DIGEST_TAG, self.model, self.references, self.findings)

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {"model": str(self.model), "references": str(self.references), "findings": str(self.findings)}

    @classmethod
    def from_json(cls, value: Any) -> Parts:
        """Read it from its JSON value.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("the parts of a risk report", value, ("model", "references", "findings"))
        return cls(fields.root("model"), fields.digest("references"), fields.digest("findings"))


@dataclass(frozen=True)
class RiskReport:
    """What an attack on a trained model found.

    Args:
        summary: that may be shown where a policy lets it out.
        details: the owner's.
        salt: the owner's, of this job.
        references: the roots of the reference trainings, by their numbers; none where none of them
            can be opened.
    """

    summary: Summary
    details: Details
    salt: Digest
    references: tuple[Digest, ...] = ()

    @cached_property
    def parts(self) -> Parts:
        """What its digest is over."""
        findings = findings_digest(self.summary.digest, self.details_digest)
        return Parts(self.summary.model, references_root(self.references) if self.references else ZERO, findings)

    @property
    def digest(self) -> Digest:
        """Over its parts."""
        return self.parts.digest

    @property
    def details_digest(self) -> Digest:
        """Of the details, salted."""
        return tagged(DETAILS_TAG, self.details.digest, self.salt)

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {
            "version": VERSION,
            "salt": str(self.salt),
            "summary": self.summary.json(),
            "details": self.details.json(),
            "references": [str(root) for root in self.references],
        }

    def encode(self) -> bytes:
        """Its canonical JSON."""
        return canonical_json(self.json())

    @classmethod
    def parse(cls, data: bytes) -> RiskReport:
        """Read a report, which a worker wrote.

        Raises:
            InputRefused: it is none, or not canonical.
        """
        value = parse_json(data, RISK_REPORT)
        fields = Fields("the risk report", value, ("salt", "summary", "details", "references"), version=VERSION)
        references = tuple(Digest.parse(root) for root in fields.items("references", 0, MOST_REFERENCES))
        parts = (Summary.from_json(value["summary"]), Details.from_json(value["details"]), fields.digest("salt"))
        report = cls(*parts, references)
        if report.encode() != data:
            raise InputRefused("the risk report is not canonical JSON (RFC 8785)")
        return report


def findings_digest(summary: Digest, details: Digest) -> Digest:
    """What a report found, by the digests of its summary and, salted, of its details."""
    return tagged(FINDINGS_TAG, summary, details)


def most_hit_rate(epsilon: float, delta: float, false_positive_rate: float) -> float:
    """The highest rate of hits that differential privacy leaves to any attack on one record.

    Args:
        epsilon, delta: of the training.
        false_positive_rate: of the attack.
    """
    if epsilon > 700:  # e^epsilon is beyond a double
        return 1.0
    rest = 1 - delta - false_positive_rate
    return min(1.0, math.exp(epsilon) * false_positive_rate + delta, 1 - math.exp(-epsilon) * max(rest, 0.0))


def _rate(value: Any) -> Rate:
    fields = Fields("a rate", value, ("at", "false_positives", "hits"))
    at = fields.real("at", 0, 1)
    if at not in FALSE_POSITIVE_RATES:
        raise InputRefused(f"a risk report names rates at {FALSE_POSITIVE_RATES}, not at {at}")
    return Rate(at, fields.integer("false_positives", 0, MOST_ROWS), fields.integer("hits", 0, MOST_ROWS))


def _quality_json(quality: Quality) -> dict[str, Json]:
    return {"records": quality.records, "loss": quality.loss, "accuracy": quality.accuracy}


def _quality(value: Any) -> Quality:
    fields = Fields("how well a model does", value, ("records", "loss", "accuracy"))
    accuracy = None if value["accuracy"] is None else fields.real("accuracy", 0, 1)
    return Quality(fields.integer("records", 1, MOST_ROWS), fields.real("loss", -NUMBER, NUMBER), accuracy)


def _point(value: Any) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise InputRefused("a point of a curve has two counts")
    return _row(value[0]), _row(value[1])


def _worst(value: Any) -> Worst:
    names = ("row", "score", "confidence", "without", "with")
    fields = Fields("a record", value, names)
    return Worst(fields.integer("row", 0, MOST_ROWS), *(fields.real(name, -NUMBER, NUMBER) for name in names[1:]))


def _row(value: Any) -> int:
    return integer("a count", value, 0, MOST_ROWS)


def _real(what: str, value: Any) -> float:
    return real(what, value, -NUMBER, NUMBER)
