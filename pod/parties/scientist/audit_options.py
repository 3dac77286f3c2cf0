"""The audit that a scientist asks for: terms, with what the options leave open filled in.

What is left open follows from the training: as many draws as find a tenth faked with 95 %; a fee
that pays a seat for what it trains again and lets a quorum answer for more than it could gain; a
bond with which faking pays nobody; phases that last longer than the replay. Where nobody is named,
a panel that the scientist trusts and the owner's card accepts is named for a dispute, so that
silence is not the only court.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fitchain.pod.compute.dataset import Card
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.metering import measured_work
from fitchain.pod.parties.scientist.publish import read_card
from fitchain.pod.parties.scientist.request import JobRequest, recipe_of, rehearse_request, terms_of
from fitchain.pod.ports.agreement import AuditTerms
from fitchain.pod.ports.trust import trusted_by
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.proof.audit.disclosure import disclosure
from fitchain.pod.proof.audit.pace import REPLAY_SHARE, SLOW_HOST, steps_beside
from fitchain.pod.proof.audit.plan import MOST_STAKE_FEES, AuditPlan, default_draws, default_money
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import WHOLE_POOL, PanelId
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.work import StepWork

DISPUTE_SEATS = 3
"""Seats of a dispute that nobody asked for."""
MOST_SEATS = 15
WINDOW_S = 3600
"""A phase of an audit, where the replay needs no longer one."""
MOST_WINDOW_S, MOST_WAIT_S = 30 * 86_400, 7 * 86_400
"""The longest that the contract takes."""
REPLAY_MARGIN, HANDING_OVER_S = 4, 600
"""A verifier's host may be so many times slower than this one; and what it takes to fetch the
evidence and to have a vote mined."""
WAIT_S, WAIT_WINDOWS = 86_400, 8
"""How long too few verifiers are waited for: a day, or so many phases."""
FLAGS = {"window": "--audit-window", "wait": "--audit-wait"}
"""Options whose name on the command line is not their own with dashes."""


@dataclass(frozen=True)
class AuditOptions:
    """What is asked of an audit; None: left open.

    Args:
        verifiers, segments, panel, mode: may stand in the recipe's table `audit` too; the options
            count.
        fee_per_seat: what a seat earns, in base units; part of the terms alone, as are the
            following.
        seat_stake: what a seat locks and can lose, in base units, 10 to 20 fees.
        counter_bond: what the scientist locks in a dispute besides the fees, in base units.
        window: seconds for each phase.
        wait: seconds for which too few verifiers are waited for.
        dispute_verifiers: who audits only if the scientist disputes; 0: nobody, also where a panel
            could be named.
    """

    verifiers: int | None = None
    segments: int | None = None
    panel: PanelId | None = None
    mode: AuditMode | str | None = None
    fee_per_seat: int | None = None
    window: int | None = None
    dispute_verifiers: int | None = None
    counter_bond: int | None = None
    seat_stake: int | None = None
    wait: int | None = None

    @property
    def named(self) -> list[str]:
        """The options that are not left open, as the command line writes them."""
        return [
            FLAGS.get(name, f"--{name.replace('_', '-')}") for name, value in vars(self).items() if value is not None
        ]


@dataclass
class _Draft:
    """A request whose audit is being planned.

    Args:
        home: the scientist's.
        request: as it was asked for.
        options: of its audit.
        card: of the dataset.
        price: the request's or the card's, in base units.
        table: the recipe's table `audit`, filled in as far as it is planned.
    """

    home: Home
    request: JobRequest
    options: AuditOptions
    card: Card
    price: int
    table: dict[str, Any] = field(default_factory=dict)

    def recipe(self) -> Recipe:
        """The recipe as the request will draft it."""
        return recipe_of(self.home, self.card, self.request, self.table)


def plan_audit(
    home: Home, request: JobRequest, options: AuditOptions, log: Callable[[str], None] = lambda text: None
) -> tuple[JobRequest, AuditPlan | None]:
    """Put what is asked of an audit into a request.

    Where the length of a phase is left open, the first segments are rehearsed here, which tells how
    long a replay takes; the request is not rehearsed again then.

    Args:
        home: the scientist's.
        request: without an audit; the recipe's table `audit` may ask for one.
        options: how it goes.
        log: told what was chosen for the scientist, and why nobody was.

    Returns:
        The request with the audit's terms, its recipe and a bond; and what that finds and costs,
        None where nobody is to audit, not even in a dispute.

    Raises:
        InputRefused: an option says how an audit goes where there is none, or disagrees with the
            others; or a replay would outlast the longest phase.
        NotFound: no such dataset or model.
        FitchainError: the rehearsal stopped.
    """
    table = request.recipe_overrides.get("audit", {})
    card = read_card(home, request.dataset)
    price = card.price if request.price is None else request.price
    draft = _Draft(home, request, options, card, price, dict(table) if isinstance(table, Mapping) else {})
    verifiers = draft.table.get("verifiers", 0) if options.verifiers is None else options.verifiers
    disputers = options.dispute_verifiers or 0
    draft.table["verifiers"] = verifiers
    for name, seats in (("--verifiers", verifiers), ("--dispute-verifiers", disputers)):
        _require_odd(name, seats)
    if not verifiers and not disputers:
        _require_nothing_else(options)
        if options.dispute_verifiers == 0 or not _name_a_court(draft, log):
            return request, None
        disputers = DISPUTE_SEATS
    _fill_in(draft.table, options)
    return _planned(draft, verifiers, disputers)


def _planned(draft: _Draft, verifiers: int, disputers: int) -> tuple[JobRequest, AuditPlan]:
    """Terms, money and time of an audit whose seats are known."""
    options, request = draft.options, draft.request
    recipe = draft.recipe()
    draft.table.setdefault("drawn_segments", default_draws(recipe.steps, recipe.segment_steps))
    recipe = draft.recipe()
    sampling = Sampling.of(recipe.steps, recipe.segment_steps, recipe.audit.drawn_segments)
    fee, bond = _money(draft, sampling, verifiers or disputers)
    window, rehearsed = options.window, request.rehearsed
    work = measured_work(draft.home, recipe, draft.home.journal.model(request.model).folder)
    draft.card.policy.admit_memory(work.bytes)
    if window is None:
        window = _window(draft, recipe, sampling, work)
        rehearsed = False
    # Where verifiers come in any case nobody can dispute, and nothing is locked for it.
    counter_bond = 0 if verifiers else fee if options.counter_bond is None else options.counter_bond
    audit = AuditTerms(
        drawn_segments=recipe.audit.drawn_segments,
        verifiers=verifiers,
        dispute_verifiers=disputers,
        mode=recipe.audit.mode,
        panel=recipe.audit.panel or WHOLE_POOL,
        window=window,
        wait=min(MOST_WAIT_S, max(WAIT_S, WAIT_WINDOWS * window)) if options.wait is None else options.wait,
        fee_per_seat=fee,
        seat_stake=MOST_STAKE_FEES * fee if options.seat_stake is None else options.seat_stake,
        counter_bond=counter_bond,
    )
    planned = replace(
        request,
        recipe_overrides=dict(request.recipe_overrides) | {"audit": draft.table},
        audit=audit,
        bond=bond,
        rehearsed=rehearsed,
    )
    return planned, AuditPlan.of(terms_of("", planned, recipe, draft.price, work), recipe, card=draft.card)


def _money(draft: _Draft, sampling: Sampling, seats: int) -> tuple[int, int]:
    """The fee of a seat and the bond, as chosen or by default.

    Raises:
        InputRefused: the bond that was chosen does not cover the fees.
    """
    floor = draft.home.chain.constants.fee_floor
    chosen = {"fee": draft.options.fee_per_seat, "bond": draft.request.bond}
    fee, bond = default_money(draft.price, sampling, seats, floor, **chosen, least_bond=draft.price)
    if seats * fee > bond:
        raise InputRefused(
            f"the bond of {amount_text(bond)} FIT is less than the fees of {seats} seats, "
            f"{amount_text(seats * fee)} FIT, which come out of it where the owner is caught",
            "ask for a higher bond with --bond, or leave it open",
        )
    return fee, bond


def _require_odd(name: str, seats: int) -> None:
    """Refuse a number of seats of which half could stand against half."""
    if seats and (seats % 2 == 0 or not 0 < seats <= MOST_SEATS):
        raise InputRefused(
            f"{name} {seats} is no odd number up to {MOST_SEATS}", "an odd number of seats cannot be divided in halves"
        )


def _require_nothing_else(options: AuditOptions) -> None:
    """Refuse options that say how an audit goes where nobody is to audit.

    `--verifiers 0` is no contradiction: it takes away the verifiers of the recipe's table; nor is
    `--dispute-verifiers 0`, which takes away those that would be named.
    """
    if others := [name for name in options.named if name not in ("--verifiers", "--dispute-verifiers")]:
        raise InputRefused(
            f"{others[-1]} says how an audit goes, and nobody is to audit",
            "add --verifiers M, or --dispute-verifiers M for an audit only if you dispute",
        )


def _name_a_court(draft: _Draft, log: Callable[[str], None]) -> bool:
    """Name a panel for a dispute that both sides trust, in place; say so, or why there is none.

    It is one of the scientist's trust list that the card's policy accepts, large enough, whose fees
    a bond that was chosen covers, in a mode that the policy admits.

    Returns:
        whether one was named.
    """
    home, policy = draft.home, draft.card.policy
    owner = home.registry.dataset(draft.request.dataset).owner
    needed = DISPUTE_SEATS + DISPUTE_SEATS // 2 + 1
    for panel in sorted(trusted_by(home.chain).panels):
        if not policy.accepts_panel(panel):
            continue
        if (eligible := home.verifiers.eligible(panel, owner, home.keys.address, home.keys.address)) < needed:
            log(f"the panel {panel.short} has {eligible} members who could be drawn, and a dispute needs {needed}")
            continue
        if (mode := _admitted_mode(draft, panel)) is None:
            log(f"the owner's policy lets no records be shown to the panel {panel.short} in a dispute")
            continue
        court = {"panel": str(panel), "mode": mode.word}
        if not _bond_covers(replace(draft, table=draft.table | court)):
            log("nobody could be asked in a dispute: the bond that you ask for is less than the fees of one")
            return False
        draft.table |= court
        log(f"a dispute would be heard by {DISPUTE_SEATS} of the panel {panel.short}, which you and the owner trust")
        return True
    log(
        "nobody could be asked in a dispute: no panel of your trust list is one that the owner accepts; name one "
        f"with --panel PANEL --dispute-verifiers {DISPUTE_SEATS} (`fitchain panel list`, `fitchain trust add`)"
    )
    return False


def _admitted_mode(draft: _Draft, panel: PanelId) -> AuditMode | None:
    """The mode in which the card would admit a dispute before a panel: one that shows records to it
    alone, or at the owner's place; None where it admits neither."""
    for mode in (AuditMode.SAMPLED, AuditMode.ON_SITE):
        planned = replace(draft, table=draft.table | {"panel": str(panel), "mode": mode.word})
        recipe = planned.recipe()
        draws = planned.table.get("drawn_segments", default_draws(recipe.steps, recipe.segment_steps))
        terms = AuditTerms(draws, dispute_verifiers=DISPUTE_SEATS, mode=mode, panel=panel)
        try:
            draft.card.admit(recipe, draft.price, draft.home.keys.address, disclosure(terms, recipe, draft.card))
            return mode
        except InputRefused:
            continue
    return None


def _bond_covers(draft: _Draft) -> bool:
    """Whether the bond that was chosen, if one was, covers the fees of a dispute."""
    recipe = draft.recipe()
    draws = draft.table.get("drawn_segments", default_draws(recipe.steps, recipe.segment_steps))
    sampling = Sampling.of(recipe.steps, recipe.segment_steps, draws)
    floor = draft.home.chain.constants.fee_floor
    fee, bond = default_money(draft.price, sampling, DISPUTE_SEATS, floor, bond=draft.request.bond)
    return DISPUTE_SEATS * fee <= bond


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
        table["drawn_segments"] = options.segments
    if table.get("mode", AuditMode.OPEN.word) != AuditMode.OPEN.word and table.get("panel") is None:
        raise InputRefused(
            f"the mode {table['mode']} discloses records to a panel, and none is named",
            "name one with --panel; fitchain panel list shows them, fitchain panel create makes one",
        )


def _window(draft: _Draft, recipe: Recipe, sampling: Sampling, work: StepWork) -> int:
    """Seconds of a phase: an hour, or as long as a slower host needs for the replay, or as long as
    a verifier that knows nothing but the terms asks for.

    Raises:
        InputRefused: the replay itself, by its rehearsal, would take longer than the contract
            gives.
    """
    row = draft.home.journal.model(draft.request.model)
    ended = rehearse_request(draft.home, draft.card, recipe, row.folder) if draft.request.rehearsed else None
    step_s = 0.0 if ended is None else ended.seconds / max(ended.step, 1)
    steps = min(sampling.audited * recipe.segment_steps, recipe.steps)
    steps += steps_beside(steps, recipe.segment_steps)
    replay_s = step_s * steps
    needed = math.ceil(REPLAY_MARGIN * replay_s) + HANDING_OVER_S if replay_s else 0
    if needed > MOST_WINDOW_S:
        raise InputRefused(
            f"verifiers would train for {replay_s:.0f} s on this host, and with a margin a phase of the audit would "
            f"last {needed} s; the longest has {MOST_WINDOW_S} s",
            "draw fewer segments with --segments, or make segments shorter",
        )
    if draft.card.policy.risk is not None and draft.card.privacy is None:  # evidence may take a whole training
        needed = max(needed, min(math.ceil(REPLAY_MARGIN * step_s * recipe.steps) + HANDING_OVER_S, MOST_WINDOW_S))
    # Beyond the longest only verifiers come that know their own pace.
    unseen = min(math.ceil(SLOW_HOST.seconds(work, steps) / REPLAY_SHARE), MOST_WINDOW_S)
    return max(WINDOW_S, needed, unseen, draft.home.chain.constants.minimum_window_s)
