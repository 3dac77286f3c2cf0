"""`fitchain data`: what an owner offers for training."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.answers import OR_YES, YesOption, require_yes
from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import POOL, DatasetArgument, find_address, find_dataset, find_place, require_retirable
from fitchain.cli.table_options import (
    CategoriesOption,
    DecimalOption,
    DelimiterOption,
    EncodingOption,
    EscapeOption,
    InsistOption,
    KeepOption,
    KindOption,
    LengthOption,
    MissingOption,
    PadOption,
    TaskOption,
    TextOption,
    TokenizerOption,
    csv_dialect,
    reading_terms,
    rules,
    tokenizing,
)
from fitchain.cli.views.amounts import clock, counted, parse_fit
from fitchain.cli.views.output import KeyValues, Report, Rows, log, print_views
from fitchain.cli.views.publication import publication_views
from fitchain.cli.views.units import describe_unit, for_each_unit
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import FitchainError, InputRefused
from fitchain.pod.values.ids import WHOLE_POOL, DatasetId
from fitchain.pod.values.privacy.ledger import allowed_epsilon, left, spent_epsilon
from fitchain.pod.values.recipe.fields import real
from fitchain.pod.values.recipe.terms import parse_held_out

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Card, Classes, Policy, RiskTerms, UnitColumn
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.parties.owner import PreparedDataset, PrivacyOffer
    from fitchain.pod.ports.registry import DatasetEntry

MOST_EPSILON = 1e6
BAR = 20
"""Characters of a drawn privacy budget."""
ANY = "any"
"""In place of a panel: every one may audit."""

app = group("data", "Offer a dataset for training; its records stay where they are.")


@command(app, "register")
def register(
    session: Session,  # its parameters are the options of the command line
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="A table, .csv, .tsv, .jsonl or .npz; it must stay where it is.")
    ],
    target: Annotated[
        str, typer.Option("--target", metavar="COLUMN", help="What is to be predicted.", show_default=False)
    ],
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="Else the file's name.", show_default=False)] = "",
    description: Annotated[str, typer.Option(metavar="TEXT", help="For the card.", show_default=False)] = "",
    licence: Annotated[str, typer.Option(metavar="TEXT", help="For the card.", show_default=False)] = "",
    drop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="Leave a column out, a name or a code; repeat it for more.", show_default=False
        ),
    ] = None,
    task: TaskOption = None,
    kind: KindOption = None,
    text: TextOption = None,
    tokenizer: TokenizerOption = None,
    length: LengthOption = 128,
    pad_token: PadOption = None,
    categories: CategoriesOption = None,
    missing: MissingOption = None,
    keep: KeepOption = None,
    delimiter: DelimiterOption = None,
    decimal: DecimalOption = None,
    encoding: EncodingOption = None,
    escape: EscapeOption = False,
    insist: InsistOption = None,
    price: Annotated[str, typer.Option(metavar="FIT", help="What a training costs.")] = "10",
    minimum_price: Annotated[
        str, typer.Option(metavar="FIT", help="Less is refused; else the price.", show_default=False)
    ] = "",
    maximum_steps: Annotated[
        int | None, typer.Option(metavar="N", help="More is refused.", min=1, show_default=False)
    ] = None,
    minimum_batch: Annotated[int, typer.Option(metavar="N", help="Smaller batches are refused.", min=1)] = 8,
    held_out: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="The least share of the records that jobs hold out to evaluate their models: 0.2, say.",
            show_default=False,
        ),
    ] = None,
    subgroup: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Tell held-out results by this column's groups too; models do not get it. Repeat it for more.",
            show_default=False,
        ),
    ] = None,
    subgroup_input: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="The same of a column that models do get.", show_default=False),
    ] = None,
    risk_report: Annotated[
        bool, typer.Option("--risk-report", help="Attack each model before it is delivered, and keep what that finds.")
    ] = False,
    most_exposed: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Hold a job whose model gives away more of its records than this, at 1 % of false alarms: 0.05, say.",
            min=0,
            max=1,
            show_default=False,
        ),
    ] = None,
    risk_summary: Annotated[
        bool, typer.Option("--risk-summary", help="Let certificates show the report's summary, without a budget.")
    ] = False,
    scientist: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Only this account may ask; repeat it for more.", show_default=False),
    ] = None,
    models_may_reveal_records: Annotated[
        bool,
        typer.Option(
            "--models-may-reveal-records",
            help="Everybody may ask, though a trained model can carry records out; the card says so.",
        ),
    ] = False,
    manual_approval: Annotated[
        bool, typer.Option("--manual-approval/--automatic", help="Whether a person says yes to each request.")
    ] = True,
    disclose: Annotated[
        str, typer.Option(metavar="MODE", help="The most that an audit may show: on-site, sampled or open.")
    ] = "on-site",
    disclose_records: Annotated[
        int | None,
        typer.Option(metavar="N", help="How many verifiers may ever see; else all.", min=0, show_default=False),
    ] = None,
    panel: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PANEL|pool|any",
            help="Verifiers that may audit without a person's yes: a panel's, the pool's, any; repeat it for more.",
            show_default=False,
        ),
    ] = None,
    metrics_leave: Annotated[
        bool, typer.Option("--metrics/--no-metrics", help="Whether rounded losses go to the scientist.")
    ] = True,
    transform: Annotated[
        str, typer.Option(metavar="NAME", help="standard: publish each column's mean and deviation; ranges; none.")
    ] = "standard",
    range_: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="COLUMN=LOW:HIGH",
            help="Scale a column by a range instead; repeat it.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        str,
        typer.Option(
            metavar="CLASS,CLASS",
            help="What the target may be; beside a budget it is asked for, unless the target has a --range.",
            show_default=False,
        ),
    ] = "",
    mock_records: Annotated[int, typer.Option(metavar="N", help="Made-up records to rehearse on.", min=0)] = 256,
    environment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS",
            help="Publish this host's probe of a class that ships none, cpu-native say.",
            show_default=False,
        ),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(metavar="E", help="Open a privacy ledger with this budget, once for all.", show_default=False),
    ] = None,
    delta: Annotated[
        float | None, typer.Option(metavar="D", help="Beside which epsilons are told.", show_default=False)
    ] = None,
    ledger: Annotated[
        int | None,
        typer.Option(metavar="N", help="Charge this ledger of yours; else the first.", min=1, show_default=False),
    ] = None,
    other_people: Annotated[
        bool, typer.Option("--other-people", help="Open another ledger: nobody here is in your other datasets.")
    ] = False,
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Whose record one is: the budget protects each value of this column; else each record.",
            show_default=False,
        ),
    ] = None,
    unit_records: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="The first N records of a unit are used, 8 if you say nothing; more never are.",
            min=1,
            show_default=False,
        ),
    ] = None,
    yes: YesOption = False,
) -> Report:
    """Register a table; its records stay here.

    Its root, its card and made-up records of the same form become public, for good: what that is,
    column by column, is shown first, and a person says yes. The records themselves stay in the
    file.
    """
    from fitchain.pod.compute.dataset import Policy
    from fitchain.pod.parties import owner

    units = parse_fit(price)
    least = parse_fit(minimum_price) if minimum_price else units
    if least > units:
        raise InputRefused(
            f"the price {amount_text(units)} FIT is below the least one {amount_text(least)} FIT: "
            "who asks for what the card names would be refused",
            f"add --price {amount_text(least)}, or leave --minimum-price out",
        )
    mode = AuditMode.parse(disclose)
    privacy = _privacy(epsilon, delta, ledger, other_people)
    if risk_summary and privacy is not None:
        raise InputRefused(
            "a risk report's summary is made of exact numbers, and no certificate shows it beside a privacy budget",
            "leave --risk-summary out; --risk-report makes the report, for you alone",
        )
    policy = Policy(
        minimum_price=least,
        maximum_steps=maximum_steps,
        minimum_batch=minimum_batch,
        held_out=None if held_out is None else parse_held_out("--held-out", held_out),
        risk=_risk(risk_report, most_exposed, risk_summary),
        manual_approval=manual_approval,
        disclosure_mode=mode,
        disclosure_cap=0 if mode is AuditMode.ON_SITE and disclose_records is None else disclose_records,
        metrics_leave=metrics_leave,
        scientists=tuple(find_address(account).lower() for account in scientist or ()),
        models_may_reveal_records=models_may_reveal_records,
        panels=_panels(session, panel or []),
    )
    policy.require_askers(privacy is not None)
    policy.require_limit_without_budget(privacy is not None)
    policy.require_closed_audits(privacy is not None)
    offer = owner.DatasetOffer(
        source,
        name=name or source.stem,
        target=target,
        drop=tuple(drop or ()),
        description=description,
        licence=licence,
        price=units,
        policy=policy,
        transform=transform,
        ranges=dict(_range(text) for text in range_ or ()),
        classes=_classes(classes) if classes else (),
        mock_records=mock_records,
        environments=tuple(environment or ()),
        privacy=privacy,
        unit=_unit(unit, unit_records),
        reading=reading_terms(
            task,
            kind or [],
            categories or [],
            missing or [],
            keep or [],
            text or [],
            tokenizing(tokenizer, length, pad_token),
        ),
        dialect=csv_dialect(delimiter, decimal, encoding, escape),
        insist=rules(insist or []),
        subgroups=_subgroups(subgroup or [], subgroup_input or []),
    )
    before = _registered_from(session.home, source)
    prepared = owner.prepare_dataset(session.home, offer)
    _show_and_ask(prepared, yes)
    registered = owner.register_prepared(session.home, prepared)
    budget = _ledger_values(session.home, session.home.registry.dataset(registered.id), registered.card)
    for earlier in before:
        log(f"{source} is offered as {earlier.short} too; to end that: fitchain data retire {earlier.short}")
    values = {
        "dataset": registered.id,
        "name": registered.card.name,
        "records": registered.card.record_count,
        "unit": unit,
        "units": registered.card.unit_count,
        "left_out": registered.left_out,
        "subgroups": {name: each.json() for name, each in registered.card.subgroups.items()},
        "columns": registered.card.feature_names,
        "dropped": list(offer.drop),
        "tokenizer": None if registered.card.tokenizer is None else registered.card.tokenizer.json(),
        "root": registered.root,
        "card": str(registered.card_cid),
        "open_to": list(policy.scientists) or None,
        "models_may_reveal_records": policy.models_may_reveal_records,
    }
    pairs = [
        ("dataset", registered.id),
        ("records", f"{registered.card.record_count} of {len(registered.card.feature_names)} columns, target {target}"),
        ("unit", _protects(registered.card, registered.left_out)),
        *_groups(registered.card),
        *_tokenizer(registered.card),
        ("root", registered.root),
        ("card", registered.card_cid),
        ("privacy", _budget(budget)),
        ("open to", _askers(registered.card)),
        ("stays here", source.absolute()),
        ("next", "fitchain pod owner"),
    ]
    return Report(values, [KeyValues(pairs)])


@command(app, "list")
def list_(
    session: Session,
    mine: Annotated[bool, typer.Option("--mine", help="Only those registered from this home.")] = False,
) -> Report:
    """List the datasets of this deployment, oldest first."""
    home = session.reader
    own = {row.id for row in home.journal.datasets()}
    entries = [entry for entry in home.registry.datasets() if not mine or entry.id in own]
    cards = [_card(home, entry) for entry in entries]
    times = home.registry.registered_at("Dataset")
    outlived = home.registry.outlived(entries)
    rows = [
        (
            entry.id.short,
            card.name if card else "(its card is not in this store)",
            card.record_count if card else entry.count,
            amount_text(card.price) if card else None,
            _state(entry, entry.id in outlived).partition(":")[0],
            clock(times[entry.id]) if entry.id in times else None,
        )
        for entry, card in zip(entries, cards, strict=True)
    ]
    values = [
        {
            "dataset": entry.id,
            "name": card.name if card else None,
            "owner": entry.owner,
            "records": card.record_count if card else entry.count,
            "price": amount_text(card.price) if card else None,
            "active": entry.active,
            "outlived": entry.id in outlived,
            "registered": times.get(entry.id),
        }
        for entry, card in zip(entries, cards, strict=True)
    ]
    headers = ("dataset", "name", "records", "price FIT", "state", "registered")
    return Report({"datasets": values}, [Rows(headers, rows, right=("records", "price FIT"), empty="no dataset yet")])


@command(app, "show")
def show(session: Session, dataset: DatasetArgument) -> Report:
    """Show a dataset's card: columns, price, licence, policy.

    With --json `card` is the document as it was published, whose amounts are in base units; those
    beside it are FIT.
    """
    from fitchain.pod.parties.scientist import read_card

    home = session.reader
    entry = home.registry.dataset(find_dataset(home, dataset))
    card = read_card(home, entry.id)
    ledger, outlived = _ledger_values(home, entry, card), home.registry.is_outlived(entry)
    values = {
        "dataset": entry.id,
        "owner": entry.owner,
        "active": entry.active,
        "outlived": outlived,
        "price": amount_text(card.price),
        "minimum_price": amount_text(card.policy.minimum_price),
        "card_cid": str(entry.card),
        "ledger": ledger,
        "card": json.loads(card.encode()),
    }
    policy = card.policy
    pairs: list[tuple[str, Any]] = [
        ("dataset", entry.id),
        ("name", card.name),
        ("description", card.description or None),
        ("owner", entry.owner),
        ("records", card.record_count),
        ("unit", _protects(card)),
        ("target", _target(card)),
        *_groups(card),
        *_tokenizer(card),
        ("licence", card.licence or None),
        ("price", f"{amount_text(card.price)} FIT, at least {amount_text(policy.minimum_price)} FIT"),
        ("open to", _askers(card)),
        ("conditions", _conditions(policy)),
        ("privacy", _budget(ledger)),
        ("root", entry.root),
        ("card", entry.card),
        ("mock data", card.mock),
        ("state", _state(entry, outlived)),
    ]
    columns = [
        (column.name, str(column.kind), " x ".join(map(str, column.shape)), *_constants(card, column.name))
        for column in map(card.column, card.feature_names)
    ]
    table = Rows(("column", "kind", "shape", "centre", "scale"), columns, right=("centre", "scale"))
    return Report(values, [KeyValues(pairs), table])


@command(app, "retire")
def retire(session: Session, dataset: DatasetArgument) -> Report:
    """Let no new request name a dataset; jobs on their way go on."""
    home = session.home
    id = find_dataset(home, dataset)
    entry = home.registry.dataset(id)
    require_retirable(home, f"the dataset {id.short}", entry.owner, entry.active)
    home.registry.retire_dataset(id)
    return Report({"dataset": id, "active": False}, [f"retired {id.short}: no new request can name it"])


def _show_and_ask(prepared: PreparedDataset, yes: bool) -> None:
    """Show what becomes public, and ask.

    Raises:
        AccessRefused, Unusable: nobody said yes.
    """
    budget, spent = None, prepared.offer.privacy
    if prepared.privacy is not None and spent is not None:
        whose = f"ledger {prepared.ledger}" if prepared.ledger else f"a new ledger of epsilon {spent.epsilon or 0:g}"
        budget = f"trainings are charged to {whose}, beside delta {prepared.privacy.delta:g}"
    print_views(
        publication_views(prepared, budget, _askers_of(prepared.offer.policy, prepared.privacy is not None)),
        stderr=True,
    )
    if not yes:
        require_yes("publish this? type yes: ", "nothing was published", unattended=OR_YES)


def _privacy(epsilon: float | None, delta: float | None, ledger: int | None, others: bool) -> PrivacyOffer | None:
    """What a person spends of the records' privacy; None where nothing was said of it."""
    from fitchain.pod.compute.dataset.card import LEAST_DELTA, MOST_DELTA
    from fitchain.pod.parties.owner import PrivacyOffer

    if epsilon is None and delta is None and ledger is None and not others:
        return None
    if epsilon is not None:
        real("--epsilon", epsilon, 0, MOST_EPSILON, "3 is a usual budget: the smaller, the more noise")
    if delta is not None:
        advice = "leave it out: it follows from the number of units; 1e-5 would suit some ten thousand"
        real("--delta", delta, LEAST_DELTA, MOST_DELTA, advice)
    return PrivacyOffer(epsilon, delta, ledger, others)


def _unit(column: str | None, most_records: int | None) -> UnitColumn | None:
    """Whom a budget protects, as a person said it; None where that is a record.

    Raises:
        InputRefused: a number of records, and no column to count them by.
    """
    from fitchain.pod.compute.dataset import UnitColumn

    if column is None and most_records is not None:
        raise InputRefused(
            "--unit-records counts the records of a unit, and no column says whose one is", "name --unit"
        )
    if column is None:
        return None
    return UnitColumn(column) if most_records is None else UnitColumn(column, most_records)


def _subgroups(apart: list[str], inputs: list[str]) -> dict[str, bool]:
    """Columns of subgroups as a person said them, with whether models get them.

    Raises:
        InputRefused: a column is named as both.
    """
    if both := sorted(set(apart) & set(inputs)):
        raise InputRefused(
            f"the column {both[0]!r} is named for models to get, and not to get", "leave out one of the two"
        )
    return dict.fromkeys(apart, False) | dict.fromkeys(inputs, True)


def _groups(card: Card) -> list[tuple[str, Any]]:
    """By which groups results on held-out records are told, in words, one line a column."""
    lines = []
    for name, each in card.subgroups.items():
        who = "models get it, too" if each.is_input else "models do not get it"
        lines.append(f"{name}: {', '.join(map(str, each.groups))}; {who}")
    return [("subgroups" if not number else "", line) for number, line in enumerate(lines)]


def _tokenizer(card: Card) -> list[tuple[str, Any]]:
    """What reads the free texts of a dataset, in words, in two lines; none where it has none."""
    if card.tokenizer is None:
        return []
    terms = card.tokenizer.terms
    what = f"{terms.vocabulary:,} tokens, {terms.pad} fills up; read by tokenizers {terms.library}"
    return [("tokenizer", what), ("", f"fitchain store get {card.tokenizer.cid}, SHA-256 {terms.digest}")]


def _protects(card: Card, left_out: int = 0) -> str | None:
    """Whom the budget protects, in words; None where there is none."""
    if card.privacy is None:
        return None
    never = f"; {counted(left_out, 'record')} of the file beyond that {'is' if left_out == 1 else 'are'} never used"
    return f"{describe_unit(card)}{never if left_out else ''}"


def _budget(values: dict[str, Any] | None) -> str | None:
    """What is left of the privacy budget that a dataset's trainings are charged to, drawn and in
    words."""
    if values is None:
        return None
    filled = round(BAR * values["left"] / values["epsilon"]) if values["epsilon"] else 0
    most, spent, left = (f"{values[name]:.3g}" for name in ("epsilon", "spent", "left"))
    of = "the only one" if values["ledgers"] == 1 else f"one of {values['ledgers']}"
    drawn = f"[{'#' * filled}{'.' * (BAR - filled)}]"
    return (
        f"{drawn} epsilon {left} is left of {most} ({spent} is spent) beside delta {values['delta']:g}, "
        f"{for_each_unit(values['unit'])}; ledger {values['ledger']} of its owner, {of}"
    )


def _ledger_values(home: Home, entry: DatasetEntry, card: Card) -> dict[str, Any] | None:
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


def _state(entry: DatasetEntry, outlived: bool) -> str:
    """Whether anybody can ask for a dataset, in words."""
    if not entry.active:
        return "retired"
    return "closed: its owner has opened a privacy ledger since, to which it is not charged" if outlived else "open"


def _registered_from(home: Home, source: Path) -> list[DatasetId]:
    """The datasets that this home has registered from a file, as far as they are open."""
    from fitchain.pod.parties.owner.data import datasets_on_offer

    ids = [row.id for row in home.journal.datasets() if row.source == source.absolute()]
    return [id for id in datasets_on_offer(home) if id in ids] if ids else []


def _range(text: str) -> tuple[str, tuple[float, float]]:
    """Read `COLUMN=LOW:HIGH`."""
    name, _, limits = text.rpartition("=")
    low, _, high = limits.partition(":")
    try:
        return name, (float(low), float(high))
    except ValueError:
        raise InputRefused(f"the range {text!r} is not COLUMN=LOW:HIGH", "write it as age=0:120") from None


def _classes(text: str) -> Classes:
    """Read `CLASS,CLASS`, a line of CSV: a class with a comma stands between quotation marks."""
    from fitchain.pod.compute.dataset import declared_classes

    return declared_classes([each.strip() for each in next(csv.reader([text], skipinitialspace=True), [])])


def _card(home: Home, entry: DatasetEntry) -> Card | None:
    """The card, for a list in which one missing or broken card must not hide the others."""
    from fitchain.pod.parties.scientist import read_card

    try:
        return read_card(home, entry.id)
    except FitchainError as error:
        log(f"the card of {entry.id.short} is left out: {error}")
        return None


def _target(card: Card) -> str:
    classes = ", ".join(str(category) for category in card.categories[:8])
    more = ", …" if len(card.categories) > 8 else ""
    return f"{card.target} ({card.task}){': ' if classes else ''}{classes}{more}"


def _panels(session: Session, texts: list[str]) -> tuple[str, ...] | None:
    """The panels that a person means, as a policy has them; None admits any.

    Raises:
        InputRefused: `any` stands beside others.
    """
    if ANY not in texts:
        return tuple(str(find_place(session.reader.registry, text)) for text in dict.fromkeys(texts))
    if texts != [ANY]:
        raise InputRefused("--panel any admits every panel, and others stand beside it", f"leave out {ANY} or these")
    return None


def _conditions(policy: Policy) -> str:
    conditions = [f"batches of {policy.minimum_batch} or more"]
    if policy.held_out is not None:
        conditions.append(f"{policy.held_out:.0%} of the records or more held out")
    if policy.maximum_steps is not None:
        conditions.append(f"at most {policy.maximum_steps} steps")
    if policy.risk is not None:
        conditions.append(_risk_words(policy.risk))
    conditions.append(f"audits that show no more than {_shown(policy)}")
    conditions.append(_auditors(policy))
    conditions.append("a person's yes" if policy.manual_approval else "no person's yes")
    return ", ".join(conditions)


def _risk(report: bool, most_exposed: float | None, summary: bool) -> RiskTerms | None:
    """The policy's word about risk reports; each option asks for one."""
    from fitchain.pod.compute.dataset import RiskTerms

    return RiskTerms(most_exposed, summary) if report or summary or most_exposed is not None else None


def _risk_words(risk: RiskTerms) -> str:
    held = "" if risk.most_exposed is None else f", held where it gives away more than {risk.most_exposed:.1%} of them"
    shown = ", its summary in the certificate" if risk.summary_leaves else ""
    return f"a privacy-risk report before a model leaves{held}{shown}"


def _askers(card: Card) -> str:
    """Who may ask, and what that may cost the records, in words."""
    return _askers_of(card.policy, card.privacy is not None)


def _askers_of(policy: Policy, has_budget: bool) -> str:
    named = counted(len(policy.scientists), "named account")
    if has_budget:
        return f"{f'{named} alone' if policy.scientists else 'everybody'}, within the privacy budget"
    reveals = "no privacy budget limits what a trained model carries out of the records"
    if policy.admits_strangers(has_budget):
        return f"everybody: the owner says that models may reveal records, and {reveals}"
    besides = "; models may reveal records, the owner says" if policy.models_may_reveal_records else ""
    return f"{named} alone; {reveals}{besides}" if policy.scientists else "nobody: it names no account"


def _auditors(policy: Policy) -> str:
    """Whose verifiers may audit without a person's yes, in words."""
    if policy.panels is None:
        return "verifiers of any panel"
    names = [POOL if Digest.parse(panel) == WHOLE_POOL else Digest.parse(panel).short for panel in policy.panels]
    return f"verifiers of {' or '.join(names)}, else a person's yes" if names else "a person's yes to any verifiers"


def _constants(card: Card, column: str) -> tuple[str, str]:
    constants = card.transform.get(column, {})
    names = ("low", "high") if "low" in constants else ("mean", "scale")
    first, second = (f"{name} {constants[name]:.6g}" if name in constants else "" for name in names)
    return first, second


def _shown(policy: Policy) -> str:
    """What an audit may show, in words."""
    if policy.disclosure_mode is AuditMode.ON_SITE:
        return "digests (on-site)"
    cap = "every record" if policy.disclosure_cap is None else counted(policy.disclosure_cap, "record")
    return f"{cap} ({policy.disclosure_mode})"
