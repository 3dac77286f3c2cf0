"""Policies: what an owner asks of every job on a dataset.

A policy is published in the dataset's card, so a scientist can read it before asking; the owner's
pod applies the same words to every request. It knows numbers and names, not the chain.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import MIB, rounded_up, size_text
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.conditions import require_batch, require_held_out, require_steps
from fitchain.pod.values.recipe.fields import Fields
from fitchain.pod.values.recipe.terms import MOST_BATCH, MOST_ROWS, MOST_STEPS, parse_held_out
from fitchain.pod.values.work import MOST, USUAL_STEP_BYTES


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What an audit of a job may show to others at most.

    Args:
        mode: of the audit; None where no audit was agreed and nothing is disclosed.
        records: how many records it may open, repeats included.
        already: how many records of this dataset earlier audits have opened.
    """

    mode: AuditMode | None = None
    records: int = 0
    already: int = 0


NOTHING_DISCLOSED = Disclosure()


@dataclass(frozen=True, slots=True)
class RiskTerms:
    """What is done about what a trained model gives away, before it is delivered: a risk report is
    made.

    Args:
        most_exposed: a job is held whose model gives away more than this share of the records that
            it was trained on, at 1 % of false alarms; None holds none.
        summary_leaves: whether the certificate shows the report's summary; else its digest alone.
    """

    most_exposed: float | None = None
    summary_leaves: bool = False

    @classmethod
    def from_json(cls, value: Any) -> RiskTerms:
        """Read the card's form.

        Raises:
            InputRefused: it is none.
        """
        fields = Fields("the policy: risk", value, cls.__dataclass_fields__)
        most = None if value["most_exposed"] is None else fields.real("most_exposed", 0, 1)
        return cls(most, fields.flag("summary_leaves"))


@dataclass(frozen=True, slots=True)
class Policy:
    """The owner's conditions.

    Args:
        minimum_price: the least price of a job, in base units of the token.
        maximum_steps: the most steps of a job; None sets no limit.
        minimum_batch: the least batch size: a step on a single record would show it.
        most_memory_bytes: the most that a step may take by its metered work; what the
            owner's worker is given follows from it.
        held_out: the least share of the rows that a job holds out to evaluate its model; None asks
            for none.
        risk: what is done about what a trained model gives away; None where no report is made.
        manual_approval: whether a person says yes to each job.
        disclosure_mode: the most disclosing audit mode that is admitted.
        disclosure_cap: how many records may ever be opened to verifiers; None sets no limit.
        metrics_leave: whether notes to the scientist carry the (rounded) metrics; it refuses no
            job.
        scientists: the accounts that may ask, lower-case 0x...; empty admits everyone where the
            dataset has a privacy budget or models may reveal records, and else nobody.
        models_may_reveal_records: the owner's word that a trained model may carry records out to
            whoever asks: a dataset without a privacy budget is open to strangers by it alone.
        panels: ids of the panels that may audit or settle disputes, lower-case 0x..., zeros for the
            whole pool; None admits any. Another one takes a person's yes; so does every one where
            it is empty.
    """

    minimum_price: int = 0
    maximum_steps: int | None = None
    minimum_batch: int = 1
    most_memory_bytes: int = USUAL_STEP_BYTES
    held_out: float | None = None
    risk: RiskTerms | None = None
    manual_approval: bool = True
    disclosure_mode: AuditMode = AuditMode.ON_SITE
    disclosure_cap: int | None = 0
    metrics_leave: bool = True
    scientists: tuple[str, ...] = ()
    models_may_reveal_records: bool = False
    panels: tuple[str, ...] | None = ()

    def __post_init__(self) -> None:
        if self.risk is not None and self.risk.most_exposed is not None and self.held_out is None:
            raise InputRefused(
                "what a model gives away can be told only beside records that are held out of its training",
                "ask for a share of them, too: --held-out 0.2",
            )

    def admits_strangers(self, has_budget: bool) -> bool:
        """Whether everybody may ask.

        Args:
            has_budget: whether trainings are charged to a privacy budget.
        """
        return not self.scientists and (has_budget or self.models_may_reveal_records)

    def require_askers(self, has_budget: bool) -> None:
        """Refuse a policy under which nobody may ask: it names no account, no privacy budget limits
        what models carry out, and it does not say that they may reveal records to strangers. A
        person's yes to each job closes nothing: it sees a graph, and not what a gradient carries.

        Args:
            has_budget: whether trainings are charged to a privacy budget.

        Raises:
            InputRefused: so it is.
        """
        if not self.scientists and not self.admits_strangers(has_budget):
            raise InputRefused(
                "the dataset would be open to strangers, and a trained model can carry records out",
                "bound that with a privacy budget (--epsilon 3, say, or --ledger 1 where this account keeps one), name"
                " who may ask (--scientist ADDRESS), or let everybody with --models-may-reveal-records",
            )

    def require_limit_without_budget(self, has_budget: bool) -> None:
        """Refuse a limit to what a model gives away beside a privacy budget: whether a job is held
        shows on the chain, and it would follow from records without any noise.

        Args:
            has_budget: as of `admits_strangers`.

        Raises:
            InputRefused: there are both.
        """
        if has_budget and self.risk is not None and self.risk.most_exposed is not None:
            raise InputRefused(
                "a limit to what a model gives away would say more of the records than the privacy budget admits",
                "leave --most-exposed out: the budget bounds what any attack can find",
            )

    def require_closed_audits(self, has_budget: bool) -> None:
        """Refuse audits in mode open beside a privacy budget: they are for data that are public,
        and whoever stakes sees records and keys of the noise.

        Args:
            has_budget: as of `admits_strangers`.

        Raises:
            InputRefused: there are both.
        """
        if has_budget and self.disclosure_mode is AuditMode.OPEN:
            raise InputRefused(
                "audits in mode open show records to whoever stakes, and from them the privacy budget keeps nothing",
                "write --disclose sampled, with a cap (--disclose-records 40, say), or leave it at on-site",
            )

    # Many parameters: what is known of a job, and of what its dataset is charged to.
    def admit(
        self,
        job: Recipe,
        price: int,
        scientist: str | None = None,
        disclosure: Disclosure = NOTHING_DISCLOSED,
        has_budget: bool = False,
    ) -> None:
        """Refuse a job that the policy does not admit; a person's yes (`manual_approval`) is asked
        elsewhere.

        Args:
            job: a recipe.
            price: in base units of the token.
            scientist: the account that asks; None where it is not known.
            disclosure: what an audit of the job may show.
            has_budget: as of `admits_strangers`.

        Raises:
            InputRefused: the first condition that does not hold, with both values.
        """
        self.admit_terms(job.steps, price, scientist, disclosure.mode, has_budget)
        require_batch(job.batch_size, self.minimum_batch)
        require_held_out(job.held_out, self.held_out)
        if disclosure.mode is not None:
            self._admit_disclosure(disclosure.mode, disclosure)

    def admit_terms(
        self, steps: int, price: int, scientist: str | None, mode: AuditMode | None, has_budget: bool = False
    ) -> None:
        """Refuse what the terms alone, which stand on the chain, say that the policy does not
        admit.

        Args:
            steps: of the training.
            price: in base units of the token.
            scientist: the account that asks; None where it is not known.
            mode: of an audit or a dispute; None where neither is agreed.
            has_budget: as of `admits_strangers`.

        Raises:
            InputRefused: the first condition that does not hold, with both values.
        """
        if not self.admits_strangers(has_budget) and (scientist or "").lower() not in self.scientists:
            raise InputRefused(f"the account {scientist} may not ask for this dataset", "ask its owner to be named")
        if price < self.minimum_price:
            offered, least = amount_text(price), amount_text(self.minimum_price)
            raise InputRefused(f"the price {offered} FIT is below the policy's minimum {least} FIT", "offer more")
        require_steps(steps, self.maximum_steps)
        if mode is not None and mode.discloses_more_than(self.disclosure_mode):
            raise InputRefused(f"the audit mode {mode} shows more than the policy's {self.disclosure_mode}")

    def admit_memory(self, step_bytes: int) -> None:
        """Refuse a job whose steps take more memory than the owner lets them.

        Args:
            step_bytes: of a step's metered work, which the terms on the chain carry.

        Raises:
            InputRefused: so it is, with both values.
        """
        if step_bytes > self.most_memory_bytes:
            raise InputRefused(
                f"a step takes {size_text(rounded_up(step_bytes, MIB))} of memory, and the policy admits"
                f" {size_text(self.most_memory_bytes)}",
                "compute fewer records at once (`micro_batch` in the recipe), or choose a smaller batch or model",
            )

    def accepts_panel(self, panel: Digest) -> bool:
        """Whether a panel may audit a job, or settle a dispute about it, without a person's yes.

        Args:
            panel: its id; zero for the whole pool.
        """
        return self.panels is None or self.names_panel(panel)

    def names_panel(self, panel: Digest) -> bool:
        """Whether the policy names a panel, which its owner looked at, rather than admit any."""
        return self.panels is not None and str(panel) in self.panels

    def _admit_disclosure(self, mode: AuditMode, disclosure: Disclosure) -> None:
        total = disclosure.already + disclosure.records
        if mode is not AuditMode.ON_SITE and self.disclosure_cap is not None and total > self.disclosure_cap:
            raise InputRefused(f"the audit would bring the opened records to {total}; the cap is {self.disclosure_cap}")

    def json(self) -> dict[str, Any]:
        """The policy as it stands in a card."""
        words = {"minimum_price": str(self.minimum_price), "disclosure_mode": self.disclosure_mode.word}
        panels = None if self.panels is None else list(self.panels)
        return asdict(self) | words | {"scientists": list(self.scientists), "panels": panels}

    @classmethod
    def from_json(cls, value: Any) -> Policy:
        """Read the card's form, checking every field.

        Raises:
            InputRefused: a field is missing, unknown, of the wrong type or out of bounds.
        """
        fields = Fields("the policy", value, cls.__dataclass_fields__)
        steps, cap, panels = (value[key] for key in ("maximum_steps", "disclosure_cap", "panels"))
        return cls(
            minimum_price=amount("the policy: minimum_price", value["minimum_price"]),
            maximum_steps=None if steps is None else fields.integer("maximum_steps", 1, MOST_STEPS),
            minimum_batch=fields.integer("minimum_batch", 1, MOST_BATCH),
            most_memory_bytes=fields.integer("most_memory_bytes", 1, MOST),
            held_out=None if value["held_out"] is None else parse_held_out("the policy: held_out", value["held_out"]),
            risk=None if value["risk"] is None else RiskTerms.from_json(value["risk"]),
            manual_approval=fields.flag("manual_approval"),
            disclosure_mode=fields.mode("disclosure_mode"),
            disclosure_cap=None if cap is None else fields.integer("disclosure_cap", 0, MOST_ROWS),
            metrics_leave=fields.flag("metrics_leave"),
            models_may_reveal_records=fields.flag("models_may_reveal_records"),
            scientists=tuple(_account(account) for account in fields.items("scientists", 0, 10_000)),
            panels=None if panels is None else tuple(_panel(panel) for panel in fields.items("panels", 0, 10_000)),
        )


def amount(what: str, value: Any) -> int:
    """Read an amount in base units: a decimal string, because JSON's numbers are exact only below
    2**53.

    Raises:
        InputRefused: it is no plain decimal below 2**128, the contracts' limit.
    """
    if not isinstance(value, str) or not re.fullmatch(r"0|[1-9][0-9]{0,38}", value) or int(value) >= 1 << 128:
        raise InputRefused(f"{what} is a plain decimal string below 2**128, not {value!r:.60}")
    return int(value)


def _account(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("0x[0-9a-f]{40}", value):
        raise InputRefused(f"the policy: an account is 0x and 40 lower-case hex digits, not {value!r:.60}")
    return value


def _panel(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("0x[0-9a-f]{64}", value):
        raise InputRefused(f"the policy: a panel is 0x and 64 lower-case hex digits, not {value!r:.80}")
    return value
