"""The audit that a scientist asks for: terms, with what the options leave open filled in.

What is left open follows from the training: as many draws as find a tenth faked with 95 %, a fee of
what the verifiers train again, a bond with which faking pays nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.scientist.publish import read_card
from fitchain.pod.parties.scientist.request import JobRequest, draft_recipe, terms_of
from fitchain.pod.ports.agreement import AuditTerms
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.proof.audit.plan import AuditPlan, default_draws, fair_fee
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import WHOLE_POOL, PanelId
from fitchain.pod.values.recipe import Recipe

WINDOW_S = 3600
FLAGS = {"fee": "--audit-fee", "window": "--audit-window"}
"""Options whose name on the command line is not their own with dashes."""


@dataclass(frozen=True)
class AuditOptions:
    """What is asked of an audit; None: left open.

    Args:
        verifiers, segments, panel, mode: may stand in the recipe's table `audit` too; the options
            count.
        fee, counter_bond: in base units; part of the terms alone, as are the following.
        window: seconds for each phase.
        dispute_verifiers: who audits only if the scientist disputes.
    """

    verifiers: int | None = None
    segments: int | None = None
    panel: PanelId | None = None
    mode: AuditMode | str | None = None
    fee: int | None = None
    window: int | None = None
    dispute_verifiers: int | None = None
    counter_bond: int | None = None

    @property
    def named(self) -> list[str]:
        """The options that are not left open, as the command line writes them."""
        return [
            FLAGS.get(name, f"--{name.replace('_', '-')}") for name, value in vars(self).items() if value is not None
        ]


def plan_audit(home: Home, request: JobRequest, options: AuditOptions) -> tuple[JobRequest, AuditPlan | None]:
    """Put what is asked of an audit into a request.

    Args:
        home: the scientist's.
        request: without an audit; the recipe's table `audit` may ask for one.
        options: how it goes.

    Returns:
        The request with the audit's terms, its recipe and a bond; and what that finds and costs,
        None where nobody is to audit.

    Raises:
        InputRefused: an option says how an audit goes where there is none, or disagrees with the
            others.
        NotFound: no such dataset or model.
    """
    table = request.recipe_overrides.get("audit", {})
    table = dict(table) if isinstance(table, Mapping) else {}
    verifiers = table.get("verifiers", 0) if options.verifiers is None else options.verifiers
    seats = verifiers or options.dispute_verifiers or 0
    if not seats:
        # `--verifiers 0` alone is no contradiction: it takes away the verifiers of the recipe's
        # table.
        if options.named and options.named != ["--verifiers"]:
            raise InputRefused(
                f"{options.named[-1]} says how an audit goes, and nobody is to audit",
                "add --verifiers M, or --dispute-verifiers M for an audit only if you dispute",
            )
        return request, None
    table["verifiers"] = verifiers
    _fill_in(table, options)
    recipe, card_price = _drafted(home, request, table)
    table.setdefault("segments", default_draws(recipe.steps, recipe.segment_steps))
    price = card_price if request.price is None else request.price
    sampling = Sampling.of(recipe.steps, recipe.segment_steps, table["segments"])
    fee = fair_fee(price, sampling, seats) if options.fee is None else options.fee
    # Where verifiers come in any case nobody can dispute, and nothing is locked for it.
    counter_bond = 0 if verifiers else fee if options.counter_bond is None else options.counter_bond
    audit = AuditTerms(
        segments=table["segments"],
        verifiers=verifiers,
        dispute_verifiers=options.dispute_verifiers or 0,
        mode=recipe.audit.mode,
        panel=recipe.audit.panel or WHOLE_POOL,
        window=WINDOW_S if options.window is None else options.window,
        fee=fee,
        counter_bond=counter_bond,
    )
    planned = replace(
        request,
        recipe_overrides=dict(request.recipe_overrides) | {"audit": table},
        audit=audit,
        bond=max(price, sampling.bond_needed(price, fee) or 0) if request.bond is None else request.bond,
    )
    return planned, AuditPlan.of(terms_of("", planned, recipe, price), recipe)


def _fill_in(table: dict[str, Any], options: AuditOptions) -> None:
    """Put the options into the recipe's table `audit`, in place.

    Raises:
        InputRefused: the mode wants a panel, and none is named.
    """
    if options.mode is not None:
        table["mode"] = AuditMode.parse(str(options.mode)).word
    if options.panel is not None:
        table["panel"] = str(options.panel)
    if options.segments is not None:
        table["segments"] = options.segments
    if table.get("mode", AuditMode.OPEN.word) != AuditMode.OPEN.word and table.get("panel") is None:
        raise InputRefused(
            f"the mode {table['mode']} discloses records to a panel, and none is named",
            "name one with --panel; fitchain panel list shows them, fitchain panel create makes one",
        )


def _drafted(home: Home, request: JobRequest, audit: Mapping[str, Any]) -> tuple[Recipe, int]:
    """The recipe as the request will draft it, and the card's price."""
    card, row = read_card(home, request.dataset), home.journal.model(request.model)
    overrides = dict(request.recipe_overrides) | {"audit": audit}
    return draft_recipe(home, card, row.graph, row.initial_model, overrides), card.price
