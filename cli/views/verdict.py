"""A verified certificate as the command line shows it: what the file is, what was committed and
when, who vouches, what repeating costs, what is not proven; in this order.

The words are the chain's facts: that seats voted, never that anybody trained anything again.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitchain.cli.views.amounts import counted, format_duration
from fitchain.cli.views.held_out import counted_values, held_out_sentence, ignored_clause, subgroup_sentences
from fitchain.cli.views.lineage import lineage_pairs, parentage_values
from fitchain.cli.views.output import KeyValues, Prose, Report, View
from fitchain.cli.views.recipe import unit_noun
from fitchain.cli.views.risk import describe_summary, summary_values
from fitchain.cli.views.units import for_each_unit, records_trained_on
from fitchain.pod.jobs.history import HeldOutTold
from fitchain.pod.ports.agreement import Outcome
from fitchain.pod.ports.agreement.history import MOST_RELATED
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.best import figure_of
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.job_folder import GRAPH, PREPROCESSING

if TYPE_CHECKING:
    from fitchain.pod.ports.agreement import AgreementHistory, Related
    from fitchain.pod.ports.registry import PanelRecord
    from fitchain.pod.proof.certificate import Jury, JurySeat, Repeat, Statement, Timing, Verdict
    from fitchain.pod.proof.certificate.risk import RiskClaim

ASSURANCES = {
    "unaudited": "nobody vouches for it but its owner, who committed to it and signed",
    "vouched": "a jury that you do not know voted Match",
    "on-site": "a quorum of seats that you name voted Match, at the owner's place",
    "sampled": "a quorum of seats that you name voted Match",
    "open": "seats drawn from a pool with as much stake as you ask for voted Match",
}

NOT_PROVEN = (
    "that the records are true, or the model good, or that it does not remember what it saw",
    "that two accounts are two people",
)


NOT_COVERED = (
    "that epsilon covers more than this one ledger: not the same people in datasets of another account, in what was "
    "trained before the ledger was opened, or under another ledger of the owner",
    "that each {unit} is another person: who stands behind several has as many times the stake",
    "what the card says, and how long steps took: no epsilon covers that",
)
"""What an epsilon does not cover, besides what the line of its noise says (`docs/privacy.md`)."""


def describe_verdict(verdict: Verdict, model: Path) -> Report:
    """A verdict: what holds, who vouches for it, what it does not say."""
    views: list[View] = [f"the certificate holds: {verdict.assurance}", KeyValues(_file(verdict, model))]
    views += [KeyValues(_committed(verdict)), KeyValues(_vouching(verdict))]
    return Report(values(verdict, model), [*views, Prose("not proven", not_proven(verdict))])


def values(verdict: Verdict, model: Path) -> dict[str, Any]:
    """The JSON form of a verdict."""
    statement, history = verdict.statement, verdict.history
    return {
        "holds": True,
        "assurance": verdict.assurance.label,
        "reason": verdict.reason,
        "model": model,
        "sha256": statement.subject,
        "agreement": statement.agreement,
        "chain_id": statement.chain_id,
        "seen_at_block": history.seen_at.number,
        "state": verdict.state.name.capitalize(),
        "complete": verdict.complete,
        "owner": statement.owner,
        "scientist": statement.scientist,
        "owner_is_scientist": statement.owner == statement.scientist,
        "initial_model": statement.initial_model,
        "final_model": statement.final_model,
        "last_model": statement.last_model,
        "base": statement.base and statement.base.json() | {"compared": verdict.base_compared},
        "delivered": statement.delivered,
        "described": verdict.described,
        "beside": list(verdict.beside),
        "lineage": [each.json() for each in statement.lineage],
        "lineage_whole": verdict.lineage_whole,
        "parentages": [parentage_values(each) for each in verdict.parentages],
        "recipe": statement.recipe.digest,
        "dataset": statement.dataset,
        "dataset_root": statement.dataset_root,
        "records": statement.card.record_count,
        "trained_on": records_trained_on(statement.card, statement.recipe, statement.steps),
        "environment": statement.environment.name,
        "transcript_root": statement.transcript_root,
        "leaves": statement.count,
        "steps": statement.steps,
        "ended": statement.ended and statement.ended.json(),
        "orders_checked": verdict.orders_checked,
        "privacy": statement.privacy and statement.privacy.json() | {"ledger": statement.ledger},
        "risk_report": _risk_values(statement.risk),
        "held_out": statement.held_out and statement.held_out.result.json(),
        "held_out_counted": _counted_values(statement),
        "evaluations": statement.evaluations and [claim.result.json() for claim in statement.evaluations],
        "best": statement.recipe.best,
        "results_voted_on": voted_on(verdict) if statement.recipe.best else None,
        "milestones": [asdict(milestone) for milestone in verdict.milestones],
        "duration": _duration_values(verdict.timing),
        "audits": [_jury_values(jury) for jury in verdict.juries],
        "audits_asked": history.asked_count,
        "audits_consented": history.consented_count,
        "repeat": _repeat_values(verdict.repeat),
        "paid_to_owner": amount_text(history.paid_to_owner),
        "paid_to_verifiers": amount_text(history.paid_to_verifiers),
        "origins": list(verdict.origins),
        "related": [
            {
                "agreement": other.id,
                "outcome": other.outcome.name.capitalize(),
                "verdict": other.verdict.name.capitalize() if other.verdict else None,
            }
            for other in history.related
        ],
        "related_looked_at": min(history.beside, MOST_RELATED),
        "related_of": history.beside,
        "related_whole": history.beside_whole,
        "not_proven": not_proven(verdict),
    }


def _counted_values(statement: Statement) -> dict[str, Any] | None:
    if (claim := statement.held_out) is None:
        return None
    return counted_values(statement.recipe, statement.card.column(statement.recipe.target).shape, claim.result)


def not_proven(verdict: Verdict) -> list[str]:
    """What the certificate says nothing about."""
    lines = list(NOT_PROVEN)
    if not any(jury.verdict is Outcome.MATCH for jury in verdict.juries):
        lines.insert(0, "that the leaves come from the training: nobody but the owner looked")
    else:
        lines.insert(0, "that who voted Match trained anything again: that rests on who they are")
        lines.insert(1, "what happened in segments that were not drawn, beyond the chance that one would have been")
    if (claim := verdict.statement.privacy) is not None:
        unit = "record" if claim.unit is None else f"value of {claim.unit!r}"
        lines += [line.format(unit=unit) for line in NOT_COVERED]
    if verdict.timing.in_one_block:
        lines.insert(0, "that anything was committed to while a training ran: begin and end stand in one block")
    return lines


def describe_preprocessing(verdict: Verdict) -> str:
    """What was checked of how raw cells enter the model, in a sentence."""
    if not verdict.described and PREPROCESSING not in verdict.beside:
        return f"not checked: it is long, and {PREPROCESSING} is not beside the model"
    which = [*(["in the file"] if verdict.described else []), *([PREPROCESSING] * (PREPROCESSING in verdict.beside))]
    types = (
        f"{GRAPH} is the agreed graph"
        if GRAPH in verdict.beside
        else f"the types of its inputs are the owner's word: {GRAPH} is not beside the model"
    )
    return f"{' and '.join(which)}: follows from the certificate's card and recipe; {types}"


def _file(verdict: Verdict, model: Path) -> list[tuple[str, Any]]:
    statement = verdict.statement
    last = statement.count - 1
    which = "" if statement.delivered == last else f"; leaf {statement.delivered} of {last} is delivered"
    pairs: list[tuple[str, Any]] = [
        ("model", model),
        ("sha-256", statement.subject),
        ("base", describe_base(verdict)),
        ("preprocessing", describe_preprocessing(verdict)),
        ("trained", f"{statement.steps} of {statement.recipe.steps} steps in {statement.count} leaves{which}"),
        ("ended", statement.ended and f"{statement.ended.words} (as the owner states)"),
        ("on", _trained_on(statement)),
        ("privacy", describe_privacy(verdict)),
        ("risk report", describe_risk(verdict)),
        ("held out", describe_held_out(verdict)),
        *(("", sentence) for sentence in describe_subgroups(verdict)),
        ("chosen", describe_choice(verdict)),
        ("began with", _lineage(verdict)),
        *lineage_pairs(statement.lineage, verdict.parentages, verdict.lineage_whole),
        ("environment", f"{statement.environment.name}, torch {statement.environment.torch}"),
    ]
    return [(label, value) for label, value in pairs if value is not None]


def _trained_on(statement: Statement) -> str:
    """How many of the dataset's records the training is of, and which class of them counts in none
    of its steps."""
    recipe = statement.recipe
    return (
        f"{records_trained_on(statement.card, recipe, statement.steps)}{ignored_clause(recipe)}: {statement.card.name}"
    )


def describe_base(verdict: Verdict) -> str | None:
    """Over which model the file is a delta, and what of that was looked at, in a sentence; None
    where the file holds the whole."""
    if (base := verdict.statement.base) is None:
        return None
    compared = (
        "the file named with --base holds them"
        if verdict.base_compared
        else "their bytes were not looked at: name the base's file with --base"
    )
    return (
        f"the file is a delta over {base.id.short}: of the tensors that it shares with that model it holds the digests,"
        f" which are those of the model root {base.root}; {compared}"
    )


def describe_privacy(verdict: Verdict) -> str | None:
    """What the training costs of its records' privacy, and who checked the noise, in a sentence;
    None where it is not private."""
    statement = verdict.statement
    if (claim := statement.privacy) is None or statement.recipe.privacy is None:
        return None
    each = f", at most {counted(claim.most_records, 'record')} each"
    return (
        f"epsilon {claim.epsilon:.3g} beside delta {claim.delta:g} {for_each_unit(claim.unit, claim.units)}"
        f"{each if claim.unit is not None else ''}"
        f" (noise multiplier {statement.recipe.privacy.sigma:g}), charged to ledger {statement.ledger} of the owner;"
        f" {noise_checked(verdict)}"
    )


def noise_checked(verdict: Verdict) -> str:
    """Who looked at the noise of a private training, and what that is worth."""
    segments = verdict.statement.count - 1
    looked = [jury.audited for jury in verdict.juries if jury.verdict is Outcome.MATCH]
    if not looked:
        return "noise as the owner states: nobody else looked"
    most = max(looked)
    missed = max(segments - most, 0) / segments
    return (
        f"noise looked at in {most} of {counted(segments, 'segment')} by drawn seats; one segment without it is"
        f" missed with probability {missed:.2f}; towards those seats, and whomever they tell, it does not hold for"
        " the records of these segments"
    )


def describe_risk(verdict: Verdict) -> str | None:
    """What the owner states of an attack on the model, in a sentence; None where it states nothing,
    and the dataset's policy asks for nothing."""
    if (claim := verdict.statement.risk) is None:
        asked = verdict.statement.card.policy.risk is not None
        return "none: the training ended before its last step, and there is no model to attack" if asked else None
    bound = "bound in the last checkpoint, which the chain took with the delivery"
    if not claim.is_made:
        return f"the policy asks for one, and the owner states that none could be made; {bound}"
    left_out = ignored_clause(verdict.statement.recipe)
    shown = "kept by the owner" if claim.summary is None else f"{describe_summary(claim.summary)}{left_out}"
    return f"{claim.digest}: {shown}; {bound}; what it says as the owner states; {_references(verdict)}"


def _references(verdict: Verdict) -> str:
    """Who vouches for a risk report's reference trainings, and why nobody does."""
    claim, statement = verdict.statement.risk, verdict.statement
    if claim is None or claim.references == ZERO:
        why = "a privacy budget runs" if statement.card.privacy else "the cap on opened records does not admit it"
        return f"none of its reference trainings can be opened: {why}"
    if any(jury.verdict is Outcome.MATCH for jury in verdict.juries):
        return "seats voted Match on a drawn segment of one of its reference trainings"
    return "nobody vouches for its reference trainings"


def _risk_values(claim: RiskClaim | None) -> dict[str, Any] | None:
    if claim is None:
        return None
    return claim.json() | {"rates": [] if claim.summary is None else summary_values(claim.summary)["rates"]}


def describe_held_out(verdict: Verdict) -> str | None:
    """What the model does on records that were held out, and who says so, in a sentence; None where
    none were, or the training ended before its last step."""
    statement = verdict.statement
    recipe, claim = statement.recipe, statement.held_out
    if recipe.held_out is None or not verdict.complete:
        return None
    if claim is None:
        kept = (
            f"{counted(recipe.held_out_count, unit_noun(recipe))}{ignored_clause(recipe)}; what the model does on them"
        )
        return f"{kept} stays with the owner, by the dataset's policy"
    entry = HeldOutTold.of(recipe, statement.card, claim.result)
    sentence = held_out_sentence(claim.result, entry.scale, entry.counting)
    if (origin := recipe.held_out_from) is not None:
        job = origin.agreement.short
        sentence += f"; they are those of the job {job}, from which the model descends: that it held them out, too, "
        sentence += "its own certificate would say"
    if not verdict.descent_searched:
        sentence += "; whether the model was trained on these records before was not searched for by this node"
    if statement.owner == statement.scientist:
        sentence += (
            "; owner and scientist are one account, which chose records and recipe and may have trained until the "
            "result pleased it"
        )
    if any(jury.verdict is Outcome.MATCH for jury in verdict.juries):
        return f"{sentence}; seats voted Match on the segment at whose end it stands"
    return f"as the owner states, {sentence}"


def describe_choice(verdict: Verdict) -> str | None:
    """By what the delivered leaf was chosen, and on how much of that anybody voted, in a sentence;
    None where a recipe has no rule, or the training ended early."""
    statement = verdict.statement
    if statement.recipe.best is None or not verdict.complete:
        return None
    results, rule = statement.count - 1, statement.recipe.best
    which = f"leaf {statement.delivered} of {results}"
    kept = "" if statement.evaluations is not None else ", which stay with the owner by the dataset's policy"
    looked = voted_on(verdict)
    voters = (
        f"seats voted Match on {looked} of them, this leaf's among them" if looked else "nobody else looked at them"
    )
    evaluations = statement.evaluations or ()
    having = sum(figure_of(claim.result, rule) is not None for claim in evaluations)
    if evaluations and not having:
        return f"{which}, the last: none of {counted(results, 'result')} has the figure {rule}; {voters}"
    among = f"{having} of " if evaluations and having < results else ""
    has_it = " that have one" if among else ""
    chosen = f"{which}, chosen by reported results: the best {rule}{ignored_clause(statement.recipe)}"
    return f"{chosen} of {among}{counted(results, 'result')}{has_it}{kept}; {voters}"


def voted_on(verdict: Verdict) -> int:
    """On how many leaves' results a jury voted Match at most: on those at whose segments it looked."""
    return max((jury.audited for jury in verdict.juries if jury.verdict is Outcome.MATCH), default=0)


def describe_subgroups(verdict: Verdict) -> list[str]:
    """The same by group, a sentence for each column; nothing where it does not leave."""
    recipe, claim = verdict.statement.recipe, verdict.statement.held_out
    if claim is None or not verdict.complete:
        return []
    entry = HeldOutTold.of(recipe, verdict.statement.card, claim.result)
    return subgroup_sentences(claim.result, entry.subgroups, entry.scale, entry.counting)


def _lineage(verdict: Verdict) -> str:
    """The registered model that it began with, and how many are said to stand behind that."""
    lineage = verdict.statement.lineage
    behind = len(lineage) - 1
    more = "" if verdict.lineage_whole else ", and more that are not listed"
    descends = f", said to descend from {counted(behind, 'registered model')}{more}" if behind else ""
    origins = [id.short for id in verdict.origins]
    ended = f"; {', '.join(origins)} ended with it" if origins else ""
    return f"the model {lineage[0].id}{descends}{ended}"


def _committed(verdict: Verdict) -> list[tuple[str, Any]]:
    statement, timing = verdict.statement, verdict.timing
    return [
        ("job", f"{statement.agreement}, {verdict.state.name.capitalize()}"),
        ("owner", statement.owner),
        ("scientist", statement.scientist),
        ("transcript", statement.transcript_root),
        ("when", _when(verdict)),
        ("anchors", _anchors(timing)),
        ("took", _took(timing, statement.steps)),
        ("beside it", _related(verdict.history)),
    ]


def _vouching(verdict: Verdict) -> list[tuple[str, Any]]:
    pairs = [pair for jury in verdict.juries for pair in _pairs_of(jury)]
    history = verdict.history
    if history.asked_count:
        counts = f"asked {_times(history.asked_count)}, consented to {history.consented_count}"
        pairs.append(("asked again", f"{counts}; anybody may ask, for gas"))
    pairs += [
        ("parties", _parties(verdict)),
        ("assurance", f"{verdict.assurance}: {ASSURANCES[verdict.assurance.label]}"),
        ("because", verdict.reason),
    ]
    if verdict.repeat is not None:
        pairs.append(("repeating", describe_repeat(verdict.repeat)))
    return pairs


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _pairs_of(jury: Jury) -> list[tuple[str, Any]]:
    """One audit in labelled lines: what it came to, from whom was drawn, who sat where."""
    number = f" {jury.ref.ordinal}" if jury.ref.ordinal else ""
    return [
        (f"audit{number}", _verdict_of(jury)),
        ("drawn from", _panel(jury)),
        *((f"seat {seat.number}", _seat(seat, jury)) for seat in jury.seats),
    ]


def _verdict_of(jury: Jury) -> str:
    """What an audit came to, and whether that counts for the checker."""
    kind = {0: "agreed on by both", 1: "the scientist's dispute", 2: f"asked for later by {jury.asker}"}[jury.kind]
    if jury.block is None:
        return f"{kind}; under way: {jury.phase}"
    quorum = ", a quorum," if len(jury.voices) < len(jury.seats) else ""
    voted = f"{len(jury.voices)} of {len(jury.seats)}{quorum} voted {jury.verdict.name.capitalize()}"
    came = f"{jury.verdict.name.capitalize()} in block {jury.block}"
    counts = "" if jury.trusted or jury.verdict is Outcome.INCONCLUSIVE else "; a jury that you do not know"
    return f"{kind}; {came}{f', {voted}' if jury.voices else ''}, {counted(jury.audited, 'segment')} looked at{counts}"


def describe_repeat(repeat: Repeat) -> str:
    """What repeating costs, in a line."""
    if repeat.jobs is None:
        return "no number of jobs helps a third of this panel"
    gas = f"{repeat.gas / 1e6:.1f} million gas"
    what = "such audit" if repeat.asked_again else "such job"
    return (
        f"with a third of those who can be drawn dishonest, owner and scientist together need about "
        f"{counted(repeat.jobs, what)}; each that fails costs them {amount_text(repeat.cost)} FIT and {gas}"
    )


def _panel(jury: Jury) -> str:
    sizes = f"{jury.opened_size} when it was asked for, {jury.size} now"
    if jury.panel is None:
        staked = ""
        if jury.pool_stake is not None:
            staked = (
                f"; {amount_text(jury.pool_stake)} FIT stood behind {counted(jury.pool_counted, 'place')} of it then"
            )
        return f"the pool; accounts: {sizes}{staked}"
    panel = jury.panel
    return (
        f"the panel {panel.name!r}, {panel.id}; made by {panel.creator}{_who(jury.creator_party)} "
        f"{age_of(panel, jury.requested)}; members: {sizes}"
    )


def age_of(panel: PanelRecord, asked: int) -> str:
    """How old a panel was when a draw from it was asked for, in words, with the day of its
    creation."""
    older = asked - panel.time
    day = time.strftime("%Y-%m-%d", time.localtime(panel.time))
    side = "before" if older >= 0 else "after"
    return f"{format_duration(abs(older))} {side} that, on {day}"


def _seat(seat: JurySeat, jury: Jury) -> str:
    if not seat.account:
        return "found nobody"
    voted = f"voted {seat.vote.name.capitalize()}" if seat.vote else "revealed no vote"
    creator = ", the panel's creator" if seat.number == jury.seated_creator else ""
    named = "named by your trust list" if seat.trusted else "not on your trust list"
    now = "" if seat.stake is None else f", {amount_text(seat.stake)} FIT staked now"
    who = f"{seat.account}{_who(jury.party(seat.account))}{creator}"
    return f"{who} {voted}; {amount_text(jury.seat_stake)} FIT at stake in the seat{now}; {named}"


def _who(party: str) -> str:
    return f" (the {party})" if party else ""


def _parties(verdict: Verdict) -> str:
    """Whether those who vouch, or the two who agreed, are one account, as far as a chain can tell."""
    statement, facts = verdict.statement, list[str]()
    facts.append(
        "owner and scientist are one account" if statement.owner == statement.scientist else "two accounts agreed"
    )
    for jury in verdict.juries:
        of = f" of audit {jury.ref.ordinal}" if jury.ref.ordinal else ""
        if jury.panel is not None:
            party = jury.creator_party
            facts.append(f"the creator of the panel{of} is {f'the {party}' if party else 'neither'}")
        if jury.seated_parties:
            facts.append(f"a party sits in {counted(len(jury.seated_parties), 'seat')}{of}")
        elif any(seat.account for seat in jury.seats):
            facts.append(f"no seat{of} is a party's account")
    return "; ".join(facts)


def _when(verdict: Verdict) -> str:
    first, last = verdict.milestones[0], verdict.milestones[-1]
    return f"{clock(first.time)} to {clock(last.time)}, blocks {first.block} to {last.block}"


def _anchors(timing: Timing) -> str:
    blocks = [milestone.block for milestone in timing.anchors]
    where = f" in block{f's {blocks[0]} to {blocks[-1]}' if len(blocks) > 1 else f' {blocks[0]}'}" if blocks else ""
    anchored = f"{counted(timing.anchored, 'anchor')}{where}"
    return f"begun in block {timing.begun.block}, {anchored}, ended in block {timing.ended.block}"


def _took(timing: Timing, steps: int) -> str:
    """How long things took, beside what the steps need at least, and what speaks against them."""
    least = f"{counted(steps, 'step')} of the work that the terms state need {timing.least_s:.2g} s at least"
    parts = [f"{format_duration(timing.training_s)} from begin to end, and {least}"]
    if timing.anchors:
        parts.append(f"{format_duration(timing.anchoring_s)} from the first anchor to the end")
    if timing.settling_s is not None:
        parts.append(f"{format_duration(timing.settling_s)} until money moved")
    if timing.in_one_block:
        parts.append(f"begin, all anchors and finish stand in one block ({timing.ended.block})")
    elif timing.anchored_in_one_block:
        parts.append(f"all anchors and finish stand in one block ({timing.ended.block})")
    if timing.too_short:
        parts.append("no host does that work so fast")
    return "; ".join(parts)


def _related(history: AgreementHistory) -> str:
    """Other agreements that did not end well, so that a lucky run among many failed ones shows."""
    whose = "of this owner, or of this scientist with this model"
    beyond = f" (of the newest {MOST_RELATED} of {history.beside})" if history.beside > MOST_RELATED else ""
    beyond += "" if history.beside_whole else " (as far as the node lets it be searched)"
    if not history.related:
        return f"no other agreement {whose} failed or was given up{beyond}"
    first = ", ".join(f"{other.id.short} {_failure(other)}" for other in history.related[:5])
    return f"{counted(len(history.related), 'other agreement')} {whose} failed or given up{beyond}: {first}"


def _failure(other: Related) -> str:
    """How an agreement failed: its state, and the verdict that brought it there."""
    outcome = other.outcome.name.lower()
    return f"{outcome} ({other.verdict.name.lower()})" if other.verdict else outcome


def _jury_values(jury: Jury) -> dict[str, Any]:
    """The JSON form of an audit with its jury."""
    return {
        "ordinal": jury.ref.ordinal,
        "kind": jury.kind.name.capitalize(),
        "asker": jury.asker,
        "mode": jury.mode.word,
        "phase": jury.phase.capitalize(),
        "round": jury.round,
        "verdict": jury.verdict.name.capitalize() if jury.verdict else None,
        "block": jury.block,
        "audited": jury.audited,
        "quorum": jury.quorum,
        "trusted": jury.trusted,
        "fee_per_seat": amount_text(jury.fee_per_seat),
        "seat_stake": amount_text(jury.seat_stake),
        "panel": _panel_values(jury),
        "seats": [_seat_values(seat, jury) for seat in jury.seats],
    }


def _panel_values(jury: Jury) -> dict[str, Any]:
    """From whom was drawn; `panel` is null where it was the whole pool."""
    sizes = {"size_when_requested": jury.opened_size, "size": jury.size}
    if jury.panel is None:
        stake = None if jury.pool_stake is None else amount_text(jury.pool_stake)
        return {"panel": None, **sizes, "stake": stake, "places_counted": jury.pool_counted}
    panel = jury.panel
    return {
        "panel": panel.id,
        "name": panel.name,
        "creator": panel.creator,
        "creator_party": jury.creator_party or None,
        "created": panel.time,
        "age_when_requested": jury.requested - panel.time,
        **sizes,
    }


def _seat_values(seat: JurySeat, jury: Jury) -> dict[str, Any]:
    party = jury.party(seat.account) if seat.account else ""
    return {
        "seat": seat.number,
        "verifier": seat.account or None,
        "vote": seat.vote.name.capitalize() if seat.vote is not Outcome.NONE else None,
        "trace": seat.trace if seat.vote in (Outcome.MATCH, Outcome.MISMATCH) else None,
        "stake": None if seat.stake is None else amount_text(seat.stake),
        "trusted": seat.trusted,
        "party": party or None,
    }


def _repeat_values(repeat: Repeat | None) -> dict[str, Any] | None:
    if repeat is None:
        return None
    return {"jobs": repeat.jobs, "cost_per_job": amount_text(repeat.cost), "gas_per_job": repeat.gas}


def _duration_values(timing: Timing) -> dict[str, Any]:
    return {
        "training": timing.training_s,
        "anchoring": timing.anchoring_s,
        "settling": timing.settling_s,
        "least": timing.least_s,
        "too_short": timing.too_short,
        "in_one_block": timing.in_one_block,
        "anchored_in_one_block": timing.anchored_in_one_block,
    }


def clock(seconds: int) -> str:
    """A time of day with its date."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
