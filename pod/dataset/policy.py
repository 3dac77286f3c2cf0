"""Policies: what an owner asks of every job on a dataset.

Part of `dataset`. A policy is published in the dataset's card, so a scientist can read it before asking; the owner's pod applies
the same words to every request. It knows numbers and names, not the chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from pod.errors import InputRefused

MODES = ("on-site", "sampled", "open")  # each discloses more than the one before


class JobLike(Protocol):
    """What a policy reads of a recipe."""

    @property
    def batch_size(self) -> int: ...
    @property
    def steps(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What an audit of a job may show to others at most.

    Args:
        mode: one of `MODES`; None where no audit was agreed and nothing is disclosed.
        records: how many records it may open, repeats included.
        already: how many records of this dataset earlier audits have opened.
    """

    mode: str | None = None
    records: int = 0
    already: int = 0


NOTHING_DISCLOSED = Disclosure()


@dataclass(frozen=True, slots=True)
class Policy:
    """The owner's conditions.

    Args:
        minimum_price: the least price of a job, in base units of the token.
        maximum_steps: the most steps of a job; None sets no limit.
        minimum_batch: the least batch size: a step on a single record would show it.
        manual_approval: whether a person says yes to each job.
        disclosure_mode: the most disclosing audit mode that is admitted, one of `MODES`.
        disclosure_cap: how many records may ever be opened to verifiers; None sets no limit.
        metrics_leave: whether notes to the scientist carry the (rounded) metrics; it refuses no job.
        scientists: the accounts that may ask, lower-case 0x...; empty admits everyone.
    """

    minimum_price: int = 0
    maximum_steps: int | None = None
    minimum_batch: int = 1
    manual_approval: bool = True
    disclosure_mode: str = "on-site"
    disclosure_cap: int | None = 0
    metrics_leave: bool = True
    scientists: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, low in (("minimum_price", 0), ("minimum_batch", 1)):
            _check_count(name, getattr(self, name), low)
        for name, low in (("maximum_steps", 1), ("disclosure_cap", 0)):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name), low)
        for name in ("manual_approval", "metrics_leave"):
            if not isinstance(getattr(self, name), bool):
                raise InputRefused(f"the policy's {name} is true or false, not {getattr(self, name)!r}")
        if self.disclosure_mode not in MODES:
            raise InputRefused(f"the disclosure mode {self.disclosure_mode!r} is none of {', '.join(MODES)}")
        for account in self.scientists:
            if not isinstance(account, str) or len(account) != 42 or account != account.lower():
                raise InputRefused(f"a scientist's account is 0x and 40 lower-case hex digits, not {account!r}")

    def admit(
        self, job: JobLike, price: int, scientist: str | None = None, disclosure: Disclosure = NOTHING_DISCLOSED
    ) -> None:
        """Refuse a job that the policy does not admit; a person's yes (`manual_approval`) is asked elsewhere.

        Args:
            job: a recipe.
            price: in base units of the token.
            scientist: the account that asks; None where it is not known.
            disclosure: what an audit of the job may show.

        Raises:
            InputRefused: the first condition that does not hold, with both values.
        """
        if self.scientists and (scientist or "").lower() not in self.scientists:
            raise InputRefused(f"the account {scientist} may not ask for this dataset", "ask its owner to be named")
        if price < self.minimum_price:
            raise InputRefused(f"the price {price} is below the policy's minimum {self.minimum_price}", "offer more")
        if self.maximum_steps is not None and job.steps > self.maximum_steps:
            raise InputRefused(f"the job has {job.steps} steps and the policy admits {self.maximum_steps}")
        if job.batch_size < self.minimum_batch:
            raise InputRefused(f"the batch size {job.batch_size} is below the policy's minimum {self.minimum_batch}")
        if disclosure.mode is not None:
            self._admit_disclosure(disclosure)

    def _admit_disclosure(self, disclosure: Disclosure) -> None:
        if disclosure.mode not in MODES:
            raise InputRefused(f"the disclosure mode {disclosure.mode!r} is none of {', '.join(MODES)}")
        if MODES.index(disclosure.mode) > MODES.index(self.disclosure_mode):
            raise InputRefused(f"the audit mode {disclosure.mode} shows more than the policy's {self.disclosure_mode}")
        total = disclosure.already + disclosure.records
        if disclosure.mode != "on-site" and self.disclosure_cap is not None and total > self.disclosure_cap:
            raise InputRefused(f"the audit would bring the opened records to {total}; the cap is {self.disclosure_cap}")

    def to_json(self) -> dict[str, Any]:
        """The policy as it stands in a card."""
        return asdict(self) | {"minimum_price": str(self.minimum_price), "scientists": list(self.scientists)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Policy:
        """Read the card's form.

        Raises:
            InputRefused: a field is unknown, missing or of another type.
        """
        fields = set(cls.__dataclass_fields__)
        if not isinstance(value, Mapping) or set(value) != fields:
            raise InputRefused(f"a policy has the fields {', '.join(sorted(fields))}, not {sorted(value)!r:.200}")
        price, scientists = value["minimum_price"], value["scientists"]
        if not isinstance(scientists, list):
            raise InputRefused(f"the policy's scientists are a list, not {scientists!r:.100}")
        return cls(**{**value, "minimum_price": parse_amount(price), "scientists": tuple(scientists)})


def parse_amount(text: Any) -> int:
    """Read an amount in base units: a decimal string, because JSON's numbers end at 2**53.

    Raises:
        InputRefused: it is no plain decimal below 2**128, the contracts' limit.
    """
    plain = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 39
    if not plain or str(int(text)) != text or int(text) >= 1 << 128:
        raise InputRefused(f"an amount is a plain decimal string below 2**128, not {text!r:.60}")
    return int(text)


def _check_count(name: str, value: Any, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value < 1 << 128:
        raise InputRefused(f"the policy's {name} is an integer of at least {low}, not {value!r:.60}")
