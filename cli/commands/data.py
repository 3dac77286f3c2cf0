"""`fitchain data`: what an owner offers for training."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fitchain.cli.answers import OR_YES, YesOption, require_yes
from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import DatasetArgument, find_address, find_dataset, find_place, require_retirable
from fitchain.cli.licences import near_licences
from fitchain.cli.table_options import (
    CategoriesOption,
    DecimalOption,
    DelimiterOption,
    EncodingOption,
    EscapeOption,
    GreyOption,
    ImageSizeOption,
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
    image_form,
    one_dialect,
    reading_terms,
    rules,
    tokenizing,
)
from fitchain.cli.views.amounts import clock, parse_fit
from fitchain.cli.views.dataset import (
    askers_of,
    describe_askers,
    describe_budget,
    describe_protected,
    describe_state,
    ledger_values,
    subgroup_pairs,
    tokenizer_pairs,
)
from fitchain.cli.views.output import KeyValues, Report, Rows, log, print_views
from fitchain.cli.views.progress import Shares
from fitchain.cli.views.publication import publication_views
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.errors import Faults, FitchainError, InputRefused
from fitchain.pod.values.ids import DatasetId
from fitchain.pod.values.limits import MIB
from fitchain.pod.values.recipe.fields import real
from fitchain.pod.values.recipe.terms import parse_held_out

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Card, Classes, Dialect, ImageForm, RiskTerms, Rule, Tokenizing, UnitColumn
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.parties.owner import PreparedDataset, PrivacyOffer
    from fitchain.pod.ports.registry import DatasetEntry

MOST_EPSILON = 1e6
MOST_STEP_MIB = 1 << 30
ANY = "any"
"""In place of a panel: every one may audit."""

app = group("data", "Offer a dataset for training; its records stay where they are.")


@command(app, "register")
def register(
    session: Session,  # its parameters are the options of the command line
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A table, .csv, .tsv, .jsonl, .npz, .parquet or .arrow; or a folder of images. It stays where it is.",
        ),
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
    image_size: ImageSizeOption = None,
    grey: GreyOption = None,
    insist: InsistOption = None,
    price: Annotated[str, typer.Option(metavar="FIT", help="What a training costs.")] = "10",
    minimum_price: Annotated[
        str, typer.Option(metavar="FIT", help="Less is refused; else the price.", show_default=False)
    ] = "",
    maximum_steps: Annotated[
        int | None, typer.Option(metavar="N", help="More is refused.", min=1, show_default=False)
    ] = None,
    minimum_batch: Annotated[int, typer.Option(metavar="N", help="Smaller batches are refused.", min=1)] = 8,
    most_memory: Annotated[
        int | None,
        typer.Option(
            metavar="MIB",
            help="Memory that a step may take; more is refused.",
            min=1,
            max=MOST_STEP_MIB,
            show_default="three quarters of this host's",
        ),
    ] = None,
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
    from fitchain.pod.compute.dataset import Policy, ReadingTerms
    from fitchain.pod.parties import owner

    faults = Faults()
    units = faults.read(lambda: parse_fit(price), 0)
    least = faults.read(lambda: parse_fit(minimum_price) if minimum_price else units, 0)
    mode = faults.read(lambda: AuditMode.parse(disclose), AuditMode.ON_SITE)
    privacy: PrivacyOffer | None = faults.read(lambda: _privacy(epsilon, delta, ledger, other_people), None)
    share: float | None = faults.read(
        lambda: None if held_out is None else parse_held_out("--held-out", held_out), None
    )
    askers: tuple[str, ...] = faults.read(
        lambda: tuple(find_address(account).lower() for account in scientist or ()), ()
    )
    panels: tuple[str, ...] | None = faults.read(lambda: _panels(session, panel or []), None)
    ranges: dict[str, tuple[float, float]] = faults.read(lambda: dict(_range(text) for text in range_ or ()), {})
    declared: Classes = faults.read(lambda: _classes(classes) if classes else (), ())
    whose: UnitColumn | None = faults.read(lambda: _unit(unit, unit_records), None)
    subgroups: dict[str, bool] = faults.read(lambda: _subgroups(subgroup or [], subgroup_input or []), {})
    tokens: Tokenizing | None = faults.read(lambda: tokenizing(tokenizer, length, pad_token), None)
    reading = faults.read(
        lambda: reading_terms(task, kind or [], categories or [], missing or [], keep or [], text or [], tokens),
        ReadingTerms(),
    )
    images: ImageForm | None = faults.read(lambda: image_form(image_size, grey), None)
    dialect: Dialect | None = faults.read(
        lambda: one_dialect(csv_dialect(delimiter, decimal, encoding, escape), images), None
    )
    insisted: frozenset[Rule] = faults.read(lambda: rules(insist or []), frozenset())
    faults.require_none()  # what follows is about these beside each other
    policy = Policy(
        minimum_price=least,
        maximum_steps=maximum_steps,
        minimum_batch=minimum_batch,
        most_memory_bytes=owner.usual_step_bytes() if most_memory is None else most_memory * MIB,
        held_out=share,
        risk=_risk(risk_report, most_exposed, risk_summary),
        manual_approval=manual_approval,
        disclosure_mode=mode,
        disclosure_cap=0 if mode is AuditMode.ON_SITE and disclose_records is None else disclose_records,
        metrics_leave=metrics_leave,
        scientists=askers,
        models_may_reveal_records=models_may_reveal_records,
        panels=panels,
    )
    faults.read(lambda: _require_conditions(units, least, privacy, risk_summary), None)
    for require in policy.require_askers, policy.require_limit_without_budget, policy.require_closed_audits:
        faults.read(partial(require, privacy is not None), None)
    faults.require_none()
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
        ranges=ranges,
        classes=declared,
        mock_records=mock_records,
        environments=tuple(environment or ()),
        privacy=privacy,
        unit=whose,
        reading=reading,
        dialect=dialect,
        insist=insisted,
        subgroups=subgroups,
    )
    before = _registered_from(session.home, source)
    progress = Shares()
    prepared = owner.prepare_dataset(session.home, offer, progress)
    _show_and_ask(prepared, before, yes)
    registered = owner.register_prepared(session.home, prepared, progress)
    budget = ledger_values(session.home, session.home.registry.dataset(registered.id), registered.card)
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
        "offered_as": before,
        "taken_up": registered.taken_up,
        "open_to": list(policy.scientists) or None,
        "models_may_reveal_records": policy.models_may_reveal_records,
    }
    pairs = [
        ("dataset", registered.id),
        *([("taken up", "an earlier command registered it and was cut off")] if registered.taken_up else []),
        ("records", f"{registered.card.record_count} of {len(registered.card.feature_names)} columns, target {target}"),
        ("unit", describe_protected(registered.card, registered.left_out)),
        *subgroup_pairs(registered.card),
        *tokenizer_pairs(registered.card),
        ("root", registered.root),
        ("card", registered.card_cid),
        ("privacy", describe_budget(budget)),
        ("open to", describe_askers(registered.card)),
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
            describe_state(entry, entry.id in outlived).partition(":")[0],
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


@command(app, "retire")
def retire(session: Session, dataset: DatasetArgument) -> Report:
    """Let no new request name a dataset; jobs on their way go on."""
    home = session.home
    id = find_dataset(home, dataset)
    entry = home.registry.dataset(id)
    require_retirable(home, f"the dataset {id.short}", entry.owner, entry.active)
    home.registry.retire_dataset(id)
    return Report({"dataset": id, "active": False}, [f"retired {id.short}: no new request can name it"])


def _show_and_ask(prepared: PreparedDataset, before: Sequence[DatasetId], yes: bool) -> None:
    """Show what becomes public, and ask; where the same file is offered already, whether it is to
    be a second time.

    Raises:
        AccessRefused, Unusable: nobody said yes.
    """
    budget, spent = None, prepared.offer.privacy
    if prepared.privacy is not None and spent is not None:
        whose = f"ledger {prepared.ledger}" if prepared.ledger else f"a new ledger of epsilon {spent.epsilon or 0:g}"
        budget = f"trainings are charged to {whose}, beside delta {prepared.privacy.delta:g}"
    print_views(
        publication_views(prepared, budget, askers_of(prepared.offer.policy, prepared.privacy is not None)),
        stderr=True,
    )
    for earlier in before:
        log(
            f"{prepared.offer.source} is offered as {earlier.short} already, and stays it beside this one; to end that:"
            f" fitchain data retire {earlier.short}"
        )
    if near := near_licences(prepared.offer.licence):
        log(f"the licence {prepared.offer.licence!r} is no SPDX identifier: did you mean {' or '.join(near)}?")
    if not yes:
        question = "publish this a second time? type yes: " if before else "publish this? type yes: "
        require_yes(question, "nothing was published", unattended=OR_YES)


def _require_conditions(price: int, least: int, privacy: PrivacyOffer | None, risk_summary: bool) -> None:
    """Refuse conditions that do not go together.

    Raises:
        InputRefused: the price is below the least one, or a summary of exact numbers is shown
            beside a budget.
    """
    if least > price:
        raise InputRefused(
            f"the price {amount_text(price)} FIT is below the least one {amount_text(least)} FIT: "
            "who asks for what the card names would be refused",
            f"add --price {amount_text(least)}, or leave --minimum-price out",
        )
    if risk_summary and privacy is not None:
        raise InputRefused(
            "a risk report's summary is made of exact numbers, and no certificate shows it beside a privacy budget",
            "leave --risk-summary out; --risk-report makes the report, for you alone",
        )


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


def _registered_from(home: Home, source: Path) -> list[DatasetId]:
    """The datasets that this home has registered from a file, by whatever path, as far as they are
    open."""
    from fitchain.pod.parties.owner.data import datasets_on_offer

    ids = [row.id for row in home.journal.datasets() if row.source.resolve() == source.resolve()]
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


def _risk(report: bool, most_exposed: float | None, summary: bool) -> RiskTerms | None:
    """The policy's word about risk reports; each option asks for one."""
    from fitchain.pod.compute.dataset import RiskTerms

    return RiskTerms(most_exposed, summary) if report or summary or most_exposed is not None else None
