"""The audit that a scientist asks for: options of `job request` as terms, with what they leave open filled in.

What is left open follows from the training: as many draws as find a tenth faked with 95 %, a fee of what the verifiers train again,
a bond with which faking pays nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fitchain.cli.ids import find_panel
from fitchain.cli.views import cost
from fitchain.cli.views.amounts import parse_duration, parse_fit
from fitchain.pod.ports.agreement import AuditTerms, Terms
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import WHOLE_POOL, DatasetId, ModelId

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.values.recipe import Recipe


@dataclass(frozen=True)
class AuditOptions:
    """What the options say of an audit; None: left open.

    Args:
        verifiers, segments, panel, mode: may stand in the recipe's table `audit` too; the options count.
        fee, window, dispute_verifiers, counter_bond: part of the terms alone.
    """

    verifiers: int | None = None
    segments: int | None = None
    panel: str | None = None
    mode: str | None = None
    fee: str | None = None
    window: str | None = None
    dispute_verifiers: int | None = None
    counter_bond: str | None = None

    @property
    def given(self) -> list[str]:
        """The options that were given, as they are written."""
        names = {"fee": "audit-fee", "window": "audit-window"}
        return [
            f"--{names.get(name, name.replace('_', '-'))}" for name, value in vars(self).items() if value is not None
        ]


@dataclass(frozen=True)
class Asked:
    """What a request is made of.

    Args:
        overrides: of the recipe, the audit's table included.
        audit: the audit's terms; None where nobody is to audit.
        bond: in base units; None leaves it to the request.
        plan: what that finds and costs; None where nobody is to audit.
    """

    overrides: dict[str, Any]
    audit: AuditTerms | None
    bond: int | None
    plan: cost.Plan | None


def asked(
    home: Home,
    dataset: DatasetId,
    model: ModelId,
    overrides: dict[str, Any],
    price: int | None,
    bond: int | None,
    wishes: AuditOptions,
) -> Asked:
    """Put together what a request asks of an audit.

    Raises:
        InputRefused: an option says how an audit goes where there is none, or disagrees with the others.
    """
    table = overrides.get("audit", {})
    table = dict(table) if isinstance(table, Mapping) else {}
    verifiers = table.get("verifiers", 0) if wishes.verifiers is None else wishes.verifiers
    seats = verifiers or wishes.dispute_verifiers or 0
    if not seats:
        if wishes.given and wishes.given != ["--verifiers"]:
            raise InputRefused(
                f"{wishes.given[-1]} says how an audit goes, and nobody is to audit",
                "add --verifiers M, or --dispute-verifiers M for an audit only if you dispute",
            )
        return Asked(overrides, None, bond, None)
    table["verifiers"] = verifiers
    if wishes.mode is not None:
        table["mode"] = AuditMode.parse(wishes.mode).word
    if wishes.panel is not None:
        table["panel"] = str(find_panel(home, wishes.panel))
    if wishes.segments is not None:
        table["segments"] = wishes.segments
    if table.get("mode", "open") != "open" and table.get("panel") is None:
        raise InputRefused(
            f"the mode {table['mode']} discloses records to a panel, and none is named",
            "name one with --panel; fitchain panel list shows them, fitchain panel create makes one",
        )
    recipe, card_price = _drafted(home, dataset, model, overrides | {"audit": table})
    if "segments" not in table:
        table["segments"] = cost.default_draws(recipe.steps, recipe.segment)
    price = card_price if price is None else price
    sampling = Sampling.of(recipe.steps, recipe.segment, table["segments"])
    fee = cost.fair_fee(price, sampling, seats) if wishes.fee is None else parse_fit(wishes.fee)
    counter = 0 if verifiers else fee if wishes.counter_bond is None else parse_fit(wishes.counter_bond)
    audit = AuditTerms(
        segments=table["segments"],
        verifiers=verifiers,
        dispute_verifiers=wishes.dispute_verifiers or 0,
        mode=recipe.audit.mode,
        panel=recipe.audit.panel or WHOLE_POOL,
        window=parse_duration(wishes.window or "1h"),
        fee=fee,
        counter_bond=counter,
    )
    if bond is None:
        bond = max(price, sampling.bond_needed(price, fee) or 0)
    terms = Terms("", dataset, model, ZERO, recipe.steps, recipe.segment, recipe.group, price, bond, 0, 0, 0, audit)
    return Asked(overrides | {"audit": table}, audit, bond, cost.Plan.of(terms, recipe))


def _drafted(home: Home, dataset: DatasetId, model: ModelId, overrides: Mapping[str, Any]) -> tuple[Recipe, int]:
    """The recipe as the request will draft it, and the card's price."""
    from fitchain.pod.parties.scientist.publish import read_card
    from fitchain.pod.parties.scientist.request import draft_recipe

    card, row = read_card(home, dataset), home.journal.model(model)
    return draft_recipe(home, card, row.graph, row.initial_model, overrides), card.price
