"""A dataset as its card shows it: what a scientist needs to decide, for a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fitchain.cli.ids import POOL
from fitchain.cli.views.amounts import counted
from fitchain.cli.views.output import KeyValues, Prose, Rows, View, cut_middle
from fitchain.cli.views.units import describe_unit, for_each_unit
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.categories import category_texts
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.ids import WHOLE_POOL
from fitchain.pod.values.limits import size_text
from fitchain.pod.values.privacy.ledger import allowed_epsilon, left, spent_epsilon

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Card, Column, Policy, RiskTerms
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.parties.scientist import Preview
    from fitchain.pod.ports.registry import DatasetEntry

BAR = 20
"""Characters of a drawn privacy budget."""
MOST_SHOWN, MOST_COLUMNS_SHOWN, CELL_WIDTH = 8, 200, 24
"""Categories of a column, columns, and characters of a made-up cell that are shown in a terminal."""

MADE_UP = "made-up records, to rehearse on: drawn column by column, and like a real one by chance alone"


@dataclass(frozen=True)
class ShownDataset:
    """All that is shown of a dataset.

    Args:
        entry: of the registry.
        card: compared with it.
        ledger: as `ledger_values` has it; None without one.
        outlived: whether a later ledger has closed it.
        preview: of its made-up records; None where nobody asked for them.
    """

    entry: DatasetEntry
    card: Card
    ledger: dict[str, Any] | None
    outlived: bool
    preview: Preview | None = None


def dataset_values(shown: ShownDataset) -> dict[str, Any]:
    """All of it, for `--json`; amounts within `card` are in base units."""
    entry, card = shown.entry, shown.card
    return {
        "dataset": entry.id,
        "owner": entry.owner,
        "active": entry.active,
        "outlived": shown.outlived,
        "price": amount_text(card.price),
        "minimum_price": amount_text(card.policy.minimum_price),
        "card_cid": str(entry.card),
        "ledger": shown.ledger,
        "card": json.loads(card.encode()),
    }


def dataset_views(shown: ShownDataset) -> list[View]:
    """The same for a person, on a page of a terminal."""
    card = shown.card
    pairs = [*dataset_pairs(shown), ("conditions", ", ".join(conditions_of(card.policy)))]
    columns = columns_of(card)
    rows = [(each.name, kind_text(each), each.unit or None, published(card, each)) for each in columns]
    views: list[View] = [
        KeyValues(pairs),
        Rows(("column", "kind", "unit", "published"), rows[:MOST_COLUMNS_SHOWN]),
    ]
    if more := len(rows) - MOST_COLUMNS_SHOWN:
        views += [f"and {counted(more, 'column')} more: --page FILE.html, or --json"] if more > 0 else []
    views.append(Prose("what the certificate says", certificate_lines(card)))
    if (preview := shown.preview) is not None:
        views.append(MADE_UP)
        cells = [[cut_middle(cell, CELL_WIDTH) for cell in row] for row in (preview.columns, *preview.rows)]
        views.append(Rows(cells[0], cells[1:]) if preview.rows else preview.reason)
    views.append(Prose("to train on it", commands_of(shown), verbatim=True))
    return views


def dataset_pairs(shown: ShownDataset) -> list[tuple[str, Any]]:
    """What stands in a line each."""
    entry, card = shown.entry, shown.card
    return [
        ("dataset", entry.id),
        ("name", card.name),
        ("description", card.description or None),
        ("owner", entry.owner),
        ("records", card.record_count),
        ("unit", describe_protected(card)),
        ("target", describe_target(card)),
        ("forward gets", describe_inputs(card)),
        *subgroup_pairs(card),
        *tokenizer_pairs(card),
        ("licence", card.licence or None),
        ("price", f"{amount_text(card.price)} FIT, at least {amount_text(card.policy.minimum_price)} FIT"),
        ("open to", describe_askers(card)),
        ("privacy", describe_budget(shown.ledger)),
        ("root", entry.root),
        ("card", entry.card),
        ("mock data", card.mock),
        ("state", describe_state(entry, shown.outlived)),
    ]


def columns_of(card: Card) -> list[Column]:
    """The columns that are shown, in the order of the card."""
    return [card.column(name) for name in card.feature_names]


def kind_text(column: Column) -> str:
    """What a column's cells are: `number`, `whole of 28 x 28`."""
    return f"{column.kind}{' of ' + ' x '.join(map(str, column.shape)) if column.shape else ''}"


def categories_of(card: Card, column: Column) -> list[str]:
    """A column's categories or groups, as texts; empty where it has none."""
    return category_texts(card.options(column.name))


def constants_text(card: Card, column: Column) -> str:
    """The numbers that the card publishes of a column: `mean 3.2, scale 1.1`."""
    if column.kind == "missing":
        return "whether that cell is missing"
    return ", ".join(constant_texts(column, card.transform.get(column.name, {}), "{:.6g}"))


def constant_texts(column: Column, constants: Mapping[str, Any], form: str) -> list[str]:
    """A column's constants one by one; those of times on a calendar, too: `low 20784 (2026-11-27)`.

    Args:
        column: whose they are.
        constants: as a card has them.
        form: in which numbers are written, for `str.format`.
    """
    from fitchain.pod.compute.dataset.cells import moment_text

    texts = list[str]()
    for name in ("mean", "scale", "low", "high", "fill"):
        if name in constants:
            is_moment = column.kind == "time" and name != "scale"
            beside = f" ({moment_text(constants[name], column.unit)})" if is_moment else ""
            texts.append(f"{name} {form.format(constants[name])}{beside}")
    return texts


def published(card: Card, column: Column) -> str | None:
    """What the card says of a column's cells, in a line."""
    if categories := categories_of(card, column):
        more = ", …" if len(categories) > MOST_SHOWN else ""
        return f"{len(categories)} categories: {', '.join(categories[:MOST_SHOWN])}{more}"
    return constants_text(card, column) or None


def certificate_lines(card: Card) -> list[str]:
    """What a certificate of a training on a dataset says, and what of it the policy keeps back."""
    policy = card.policy
    lines = [
        f"that the model is the end of a training on some or all of {counted(card.record_count, 'record')} under the"
        " root above, by the agreed recipe; who vouches for that is who audited it"
    ]
    if card.privacy is not None:
        lines.append(f"the epsilon that the training spent, {for_each_unit(card.unit.column if card.unit else None)}")
        lines.append("what the model does on records that are held out, where the recipe holds some, with noise added")
    elif policy.metrics_leave:
        how = "as mean error and R2" if card.task == "regression" else "in exact counts"
        when = ", where the recipe holds some" if policy.held_out is None else ""
        lines.append(f"what the model does on records that are held out{when}, {how}")
        if card.subgroups:
            lines.append(f"the same by {' and by '.join(card.subgroups)}, of groups of enough records")
    else:
        lines.append("not what the model does on held-out records: a salted hash of it alone, for verifiers")
    if policy.risk is not None:
        summary = " and its summary" if policy.risk.summary_leaves and card.privacy is None else ""
        lines.append(f"the salted digest of a privacy-risk report{summary}, which is made before a model leaves")
    return lines


def commands_of(shown: ShownDataset) -> list[str]:
    """What one types next."""
    id = shown.entry.id.short
    publish = f"fitchain model publish FILE.py:NAME --dataset {id}"
    embedding = f"{publish} --input x=@rest --input codes=@category:int64  (categories into an embedding)"
    inputs = (column for column in columns_of(shown.card) if column.name != shown.card.target)
    has_codes = any(column.kind == "category" for column in inputs)
    return [
        publish,
        *([embedding] if has_codes else []),
        f"fitchain job request --dataset {id} --model MODEL --recipe FILE.toml",
    ]


def tokenizer_pairs(card: Card) -> list[tuple[str, Any]]:
    """What reads the free texts of a dataset, in words, in two lines; none where it has none."""
    if card.tokenizer is None:
        return []
    terms = card.tokenizer.terms
    what = f"{terms.vocabulary:,} tokens, {terms.pad} fills up; read by tokenizers {terms.library}"
    return [("tokenizer", what), ("", f"fitchain store get {card.tokenizer.cid}, SHA-256 {terms.digest}")]


def subgroup_pairs(card: Card) -> list[tuple[str, Any]]:
    """By which groups results on held-out records are told, in words, one line a column."""
    lines = []
    for name, each in card.subgroups.items():
        who = "models get it, too" if each.is_input else "models do not get it"
        lines.append(f"{name}: {', '.join(category_texts(each.groups))}; {who}")
    return [("subgroups" if not number else "", line) for number, line in enumerate(lines)]


def describe_protected(card: Card, left_out: int = 0) -> str | None:
    """Whom the budget protects, in words; None where there is none."""
    if card.privacy is None:
        return None
    never = f"; {counted(left_out, 'record')} of the file beyond that {'is' if left_out == 1 else 'are'} never used"
    return f"{describe_unit(card)}{never if left_out else ''}"


def describe_budget(values: dict[str, Any] | None) -> str | None:
    """What is left of the privacy budget that a dataset's trainings are charged to, drawn and in
    words."""
    if values is None:
        return None
    filled = round(BAR * values["left"] / values["epsilon"]) if values["epsilon"] else 0
    return f"[{'#' * filled}{'.' * (BAR - filled)}] {budget_words(values)}"


def budget_words(values: dict[str, Any]) -> str:
    """The same in words alone."""
    most, spent, left = (f"{values[name]:.3g}" for name in ("epsilon", "spent", "left"))
    of = "the only one" if values["ledgers"] == 1 else f"one of {values['ledgers']}"
    return (
        f"epsilon {left} is left of {most} ({spent} is spent) beside delta {values['delta']:g}, "
        f"{for_each_unit(values['unit'])}; ledger {values['ledger']} of its owner, {of}"
    )


def ledger_values(home: Home, entry: DatasetEntry, card: Card) -> dict[str, Any] | None:
    """A dataset's privacy ledger as it stands; None where it has none."""
    own = home.registry.ledger_of(entry)
    if card.privacy is None or own is None:
        return None
    delta = card.privacy.delta
    return {
        "ledger": entry.ledger,
        "ledgers": home.registry.ledger_count(entry.owner),
        "unit": None if card.unit is None else card.unit.column,
        "delta": delta,
        "epsilon": allowed_epsilon(own.budget, delta),
        "spent": spent_epsilon(own.spent, delta),
        "left": left(own.spent, own.budget, delta),
    }


def describe_state(entry: DatasetEntry, outlived: bool) -> str:
    """Whether anybody can ask for a dataset, in words."""
    if not entry.active:
        return "retired"
    return "closed: its owner has opened a privacy ledger since, to which it is not charged" if outlived else "open"


def describe_target(card: Card) -> str:
    """The target, what it is predicted as, and its first classes."""
    classes = ", ".join(category_texts(card.categories[:8]))
    more = ", …" if len(card.categories) > 8 else ""
    return f"{card.target} ({card.task}){': ' if classes else ''}{classes}{more}"


def describe_inputs(card: Card) -> str | None:
    """What a module is given of a batch where nobody names columns, and what it puts out for the
    usual loss: `x: float32 [batch, 7]; [batch, 3] out`."""
    from fitchain.pod.compute.dataset import Parameters, usual_arguments

    if card.target is None:
        return None
    arguments = usual_arguments(card, Parameters(("x",), 1, is_open=True))
    classes = len(card.transform.get(card.target, {}).get("categories", ()))
    puts_out = f"; puts out [batch, {classes}], a number for each class" if classes else ""
    return f"{', '.join(map(str, arguments))}{puts_out}"


def conditions_of(policy: Policy) -> list[str]:
    """What a job may be asked for."""
    conditions = [f"batches of {policy.minimum_batch} or more"]
    if policy.held_out is not None:
        conditions.append(f"{policy.held_out:.0%} of the records or more held out")
    if policy.maximum_steps is not None:
        conditions.append(f"at most {policy.maximum_steps} steps")
    conditions.append(f"a step within {size_text(policy.most_memory_bytes)} of memory")
    if policy.risk is not None:
        conditions.append(describe_risk_terms(policy.risk))
    conditions.append(f"audits that show no more than {describe_disclosure(policy)}")
    conditions.append(describe_auditors(policy))
    conditions.append("a person's yes" if policy.manual_approval else "no person's yes")
    return conditions


def describe_risk_terms(risk: RiskTerms) -> str:
    """What is done about what a model gives away."""
    held = "" if risk.most_exposed is None else f", held where it gives away more than {risk.most_exposed:.1%} of them"
    shown = ", its summary in the certificate" if risk.summary_leaves else ""
    return f"a privacy-risk report before a model leaves{held}{shown}"


def describe_askers(card: Card) -> str:
    """Who may ask, and what that may cost the records, in words."""
    return askers_of(card.policy, card.privacy is not None)


def askers_of(policy: Policy, has_budget: bool) -> str:
    """The same of a policy."""
    named = counted(len(policy.scientists), "named account")
    if has_budget:
        return f"{f'{named} alone' if policy.scientists else 'everybody'}, within the privacy budget"
    reveals = "no privacy budget limits what a trained model carries out of the records"
    if policy.admits_strangers(has_budget):
        return f"everybody: the owner says that models may reveal records, and {reveals}"
    besides = "; models may reveal records, the owner says" if policy.models_may_reveal_records else ""
    return f"{named} alone; {reveals}{besides}" if policy.scientists else "nobody: it names no account"


def describe_auditors(policy: Policy) -> str:
    """Whose verifiers may audit without a person's yes, in words."""
    if policy.panels is None:
        return "verifiers of any panel"
    names = [POOL if Digest.parse(panel) == WHOLE_POOL else Digest.parse(panel).short for panel in policy.panels]
    return f"verifiers of {' or '.join(names)}, else a person's yes" if names else "a person's yes to any verifiers"


def describe_disclosure(policy: Policy) -> str:
    """What an audit may show, in words."""
    if policy.disclosure_mode is AuditMode.ON_SITE:
        return "digests (on-site)"
    cap = "every record" if policy.disclosure_cap is None else counted(policy.disclosure_cap, "record")
    return f"{cap} ({policy.disclosure_mode})"
