"""Registering a dataset: a table becomes a root on chain and a card in the store; records stay."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fitchain.pod.compute import environment
from fitchain.pod.compute.dataset import (
    Card,
    CardPrivacy,
    Classes,
    Constants,
    Dialect,
    Leaves,
    Policy,
    Reading,
    ReadingTerms,
    Rule,
    Spill,
    Table,
    Task,
    Tick,
    TokenizerTerms,
    UnitColumn,
    check_unchanged,
    find_groups,
    fit_transform,
    mock_ranges,
    mock_table,
    no_tick,
    refuse_beside_budget,
    register,
    require_no_concern,
)
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import DatasetRow
from fitchain.pod.jobs.policy_panels import keep_policy_panels, look_at_policy
from fitchain.pod.jobs.tokenizers import tokenizer_file
from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.ports.keys import Keys
from fitchain.pod.ports.memory import total_memory
from fitchain.pod.ports.registry import DatasetEntry, Role
from fitchain.pod.ports.store import Cid
from fitchain.pod.ports.trust import TrustedPanel
from fitchain.pod.values.digest import Digest, Root, canonical_json, sha256
from fitchain.pod.values.errors import DatasetChanged, InputRefused
from fitchain.pod.values.ids import DatasetId
from fitchain.pod.values.limits import GIB, MIB
from fitchain.pod.values.privacy.ledger import allowed_epsilon, budget
from fitchain.pod.values.recipe.subgroups import Group

MOCK_RECORDS = 256
LEAVES, SOURCE = "leaves", "source.json"
SOURCE_VERSION = "fitchain/source/v2"
STEP_SHARE = 0.75
"""Of a host's memory what a step may take unless its owner says otherwise: records, and whatever
else runs there, have the rest."""


def usual_step_bytes() -> int:
    """What a step may take on this host unless its owner says otherwise, in whole GiB where there
    is one: the card is public, and need not say exactly what the host has."""
    return _whole(int(STEP_SHARE * total_memory()))


def _whole(size_bytes: int) -> int:
    unit = GIB if size_bytes >= GIB else MIB
    return size_bytes // unit * unit


@dataclass(frozen=True, slots=True)
class PrivacyOffer:
    """What an owner spends of its records' privacy.

    Args:
        epsilon: the budget of a ledger that is opened; None charges one that is there.
        delta: beside which epsilons are told; None takes the largest power of ten below a tenth of
            one in the number of units of privacy.
        ledger: number of the ledger that is charged; None takes the account's first, or opens one
            where it has none.
        other_people: opens another ledger: no person of this dataset is in those of the others.
    """

    epsilon: float | None = None
    delta: float | None = None
    ledger: int | None = None
    other_people: bool = False


@dataclass(frozen=True)
class DatasetOffer:
    """A table as its owner offers it.

    Args:
        source: a CSV or NPZ file; it must stay where it is, unchanged, as long as jobs may ask for
            it.
        name, description, licence: for people, published.
        target: the column to be predicted.
        drop: columns that never enter the tree, such as names and identifiers.
        reading: what else is said of its columns.
        price: what a job costs, in base units of FIT.
        policy: the owner's conditions; it names who may ask, or says that models may reveal records
            to everybody. The panels that it names are trusted as they stand when it is registered.
        transform, ranges: how the published constants come about (`fit_transform`).
        classes: what the target may be (`declared_classes`); empty finds them in the records, which
            is refused beside a privacy budget: there the target is of named classes, or has a
            range.
        mock_records: how many mock records are published; 0 publishes none, and nobody can
            rehearse.
        environments: classes that ship no probe (`cpu-native`), for which this host's is published.
        privacy: the privacy budget that its trainings are charged to; None where the account has
            no ledger, and they are charged to none.
        unit: the column that says whose record one is, and how many of each are used; None where a
            record is the unit of privacy.
        dialect: how a CSV file is written, or what images of a folder are made of one form by, as
            far as that is said.
        insist: rules that the table may break (`compute.dataset.concerns`).
        subgroups: columns by whose groups results on held-out records are told, with whether models
            may take them, too.
    """

    source: Path | str
    name: str
    target: str | None
    policy: Policy
    drop: tuple[str, ...] = ()
    reading: ReadingTerms = field(default_factory=ReadingTerms)
    description: str = ""
    licence: str = ""
    price: int = 0
    transform: str = "standard"
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    classes: Classes = ()
    mock_records: int = MOCK_RECORDS
    environments: tuple[str, ...] = ()
    privacy: PrivacyOffer | None = None
    unit: UnitColumn | None = None
    dialect: Dialect | None = None
    insist: frozenset[Rule] = frozenset()
    subgroups: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class RegisteredDataset:
    """A dataset as it was registered, with the panels that its policy names as they stood then, how
    many records of the file were more than a unit's share and are never used, and whether it was
    taken up: an earlier command had registered it, and was cut off."""

    id: DatasetId
    root: Root
    count: int
    card_cid: Cid
    card: Card
    panels: tuple[TrustedPanel, ...] = ()
    left_out: int = 0
    taken_up: bool = False


@dataclass(frozen=True)
class PreparedDataset:
    """A table that has been read and looked at, and of which nothing is published yet.

    Args:
        offer: the table, its price and its conditions.
        table: its records.
        constants: what the card will publish of its columns.
        privacy: what the card will say of privacy.
        opened: the budget of a ledger that will be opened, else None.
        ledger: number of the one that is there and will be charged; 0 for none.
        panels: that the policy names, as they stand now.
        groups: by column, by which results on held-out records are told.
        mock_ranges: by column, between which numbers mock data are drawn, where the card does not
            say it.
    """

    offer: DatasetOffer
    table: Table
    constants: Constants
    privacy: CardPrivacy | None
    opened: int | None
    ledger: int
    panels: tuple[TrustedPanel, ...]
    groups: Mapping[str, tuple[Group, ...]] = field(default_factory=dict)
    mock_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def tokenizer(self) -> TokenizerTerms | None:
        """What reads its free texts, and is published as it is; None where there are none."""
        return None if self.table.reading is None else self.table.reading.schema.tokenizer


def prepare_dataset(home: Home, offer: DatasetOffer, tick: Tick = no_tick) -> PreparedDataset:
    """Read a table, and look at what would be published of it; nothing leaves.

    Args:
        home: the owner's, opened with its key.
        offer: the table, its price and its conditions.
        tick: told how far it is.

    Raises:
        EnvironmentRefused: this host is not of such a class.
        InputRefused: the policy leaves the dataset open to strangers without saying that models may
            reveal records, or has a limit to what models give away, or audits in mode open, beside
            a privacy budget; units are named and no privacy budget protects them, or subgroups and
            one does; or a record is of no class that is named; or the table breaks a rule on which
            the offer does not insist.
        NotFound, InputRefused: the table is missing or malformed, or a panel that the policy names.
        ChainUnusable, StoreUnusable: chain or store do not answer.
    """
    offer.policy.require_askers(offer.privacy is not None)
    offer.policy.require_limit_without_budget(offer.privacy is not None)
    offer.policy.require_closed_audits(offer.privacy is not None)
    if offer.privacy is not None:
        refuse_beside_budget(offer.subgroups)
    source = Path(offer.source).absolute()
    _require_storable(source)
    if source.suffix.lower() == ".npz" and any(isinstance(each, str) for each in offer.classes):
        raise InputRefused(f"{source.name} holds numbers alone, and the classes are texts", "name whole numbers")
    table = Table.read(source, _terms(offer), offer.dialect, unit=offer.unit, spill=spill_of(home), tick=tick)
    if table.mock:
        raise InputRefused("the table is marked as mock data and is no dataset", "register the real records")
    if offer.privacy is not None:
        _require_declared_categories(offer, table)
    classes = offer.classes if offer.privacy is not None or offer.classes else None
    not_for_models = [name for name, is_input in offer.subgroups.items() if not is_input]
    constants = fit_transform(table, offer.transform, offer.ranges, classes, not_for_models)
    groups = find_groups(table, offer.subgroups)
    require_no_concern(table, constants, offer.insist)
    panels = look_at_policy(home, offer.policy)
    privacy = _card_privacy(home, offer, table.count // (table.unit_records or 1))
    opened, number = _ledger(home, offer.privacy, privacy)
    of_records = offer.mock_records and privacy is None
    ranges = mock_ranges(table, constants, groups) if of_records else {}
    return PreparedDataset(offer, table, constants, privacy, opened, number, tuple(panels), groups, ranges)


def register_dataset(home: Home, offer: DatasetOffer) -> RegisteredDataset:
    """Register a table as a dataset that scientists can ask for.

    The records are read, hashed and left where they are; what is published is the card and mock
    data. The same table registered again is another dataset, because its salts are fresh.

    Raises:
        As `prepare_dataset`.
    """
    return register_prepared(home, prepare_dataset(home, offer))


def register_prepared(home: Home, prepared: PreparedDataset, tick: Tick = no_tick) -> RegisteredDataset:
    """Register a table that was prepared: from here on it is public what its card says.

    Args:
        home: the owner's.
        prepared: the table.
        tick: told how far it is.

    Raises:
        EnvironmentRefused: this host is not of a class whose probe is to be published.
        ChainUnusable, StoreUnusable: chain or store do not answer.
    """
    offer, table, panels = prepared.offer, prepared.table, prepared.panels
    source = Path(offer.source).absolute()
    home.register_or_update(Role.OWNER)  # offers are sealed to it from now on
    assert table.reading is not None
    reading: dict[str, Any] = table.reading.json() | {"unit": None if offer.unit is None else offer.unit.json()}
    registered = _registered(home)
    cut_off = _cut_off(home, prepared, registered, tick)
    if cut_off is not None:
        made, id = cut_off
    else:
        made, ledger = _make(home, prepared, len(registered), tick), prepared.ledger
        if prepared.opened is not None:  # last: a budget is set once for all, and what was refused must not have set it
            ledger = home.registry.open_ledger(prepared.opened)
        id = home.registry.register_dataset(made.root, table.count, made.card_cid, ledger)
    made.leaves.save(home.dataset_folder(id) / LEAVES)
    keep_policy_panels(home, id, list(panels))
    keep_row(home, DatasetRow(id, source, reading, made.salt, made.root, made.card.encode(), str(made.card_cid)))
    return RegisteredDataset(
        id, made.root, table.count, made.card_cid, made.card, panels, table.left_out, cut_off is not None
    )


@dataclass(frozen=True)
class _Made:
    """What is made of a table for its registration, and lies in the store.

    Args:
        salt: of the registration.
        leaves, root: of the records' tree.
        card, card_cid: what is published of it, and where.
    """

    salt: bytes
    leaves: Leaves
    root: Root
    card: Card
    card_cid: Cid


def _make(home: Home, prepared: PreparedDataset, number: int, tick: Tick) -> _Made:
    """Make tree, mock data and card of an account's n-th registration: the same of the same table,
    so that a command that was killed comes to the same again."""
    offer, table, privacy = prepared.offer, prepared.table, prepared.privacy
    salt = registration_salt(home.keys, number)
    key = registration_key(home, salt)
    tokenizing = offer.reading.tokenizing
    registration = register(
        table,
        key,
        offer.name,
        description=offer.description,
        licence=offer.licence,
        price=offer.price,
        policy=offer.policy,
        transform=offer.transform,
        ranges=offer.ranges,
        classes=None if offer.privacy is None and not offer.classes else offer.classes,
        probes={name: str(probe) for name in offer.environments if (probe := _probe(name)) is not None},
        privacy=privacy,
        unit=offer.unit,
        subgroups=offer.subgroups,
        tokenizer=None if tokenizing is None else home.store.add(tokenizing.file),
        constants=prepared.constants,
        groups=prepared.groups,
        tick=tick,
    )
    card = registration.card
    if offer.mock_records:
        card = card.with_mock(_publish_mock(home, card, table, offer.mock_records, key))
    return _Made(salt, registration.leaves, registration.root, card, home.store.add(card.encode()))


def _cut_off(
    home: Home, prepared: PreparedDataset, registered: Sequence[DatasetId], tick: Tick
) -> tuple[_Made, DatasetId] | None:
    """The account's last registration, if it is of this very table, card and ledger and this home
    did not come to keep it: its command was killed after the chain had it. Registered anew, it
    would stay on offer beside its twin, and its owner's pod know nothing of it."""
    if not registered or (id := registered[-1]) in {row.id for row in home.journal.datasets()}:
        return None
    entry = home.registry.dataset(id)
    if not entry.active or entry.count != prepared.table.count:
        return None
    if not _is_charged_to(home, entry, prepared, registered[:-1]):
        return None
    made = _make(home, prepared, len(registered) - 1, tick)
    return (made, id) if (made.root, made.card_cid) == (entry.root, entry.card) else None


def _is_charged_to(home: Home, entry: DatasetEntry, prepared: PreparedDataset, others: Sequence[DatasetId]) -> bool:
    """Whether a dataset's trainings are charged as it is asked: to a ledger that is there, or to
    one that was opened for it alone, with the same budget."""
    if prepared.opened is None:
        return entry.ledger == prepared.ledger
    ledger = home.registry.ledger_of(entry)
    return (
        ledger is not None
        and ledger.budget == prepared.opened
        and all(home.registry.dataset(other).ledger != entry.ledger for other in others)
    )


def _require_storable(source: Path) -> None:
    """Check that a path can be noted before anything is published of what lies there.

    Raises:
        InputRefused: its name is no text in this locale's encoding.
    """
    try:
        str(source).encode()
    except UnicodeEncodeError:
        raise InputRefused(
            f"the path {str(source)!a} is no text in this locale's encoding, and where the records lie is noted",
            "rename the file, or set the locale to one of UTF-8: LC_ALL=C.UTF-8, say",
        ) from None


def _terms(offer: DatasetOffer) -> ReadingTerms:
    """What an offer says of how its table is read. Beside a privacy budget what the target is
    predicted as follows from that alone.

    Raises:
        InputRefused: it says two things of the target.
    """
    task, categories = offer.reading.task, dict(offer.reading.categories)
    if offer.classes and offer.target is not None:
        if categories.setdefault(offer.target, offer.classes) != offer.classes:
            raise InputRefused(f"the classes of the target {offer.target!r} are named twice", "leave --categories out")
        task = _require_task(offer, Task.CLASSIFICATION, "its classes are named")
    elif offer.privacy is not None and offer.target in offer.ranges:
        task = _require_task(offer, Task.REGRESSION, "it has a range")
    return replace(offer.reading, target=offer.target, drop=offer.drop, task=task, categories=categories)


def _require_task(offer: DatasetOffer, task: Task, reason: str) -> Task:
    """A task that follows from something else that was said."""
    if offer.reading.task not in (None, task):
        raise InputRefused(
            f"the target {offer.target!r} is of a {offer.reading.task}, and {reason}", "leave out the one or the other"
        )
    return task


def _require_declared_categories(offer: DatasetOffer, table: Table) -> None:
    """Refuse categories that were found in the records, which no budget covers.

    Raises:
        InputRefused: a column has some; all such columns are named.
    """
    undeclared = [name for name in table.categories if name != offer.target and name not in offer.reading.categories]
    if undeclared:
        options = " ".join(f"--categories {name}=A,B" for name in undeclared)
        raise InputRefused(
            f"the categories of {', '.join(map(repr, undeclared))} would be published as the records have them, which"
            " no budget covers",
            f"name those that there may be ({options}), or leave such columns out (--drop {undeclared[0]});"
            f" one that says whose record one is protects each of them (--unit {undeclared[0]})",
        )


def _card_privacy(home: Home, offer: DatasetOffer, count: int) -> CardPrivacy | None:
    """What the card of so many units says of privacy, where trainings are charged to a ledger.

    Raises:
        InputRefused: the account has ledgers, and the offer names none; or exact statistics would
            be published beside a budget.
    """
    asked = offer.privacy
    if asked is None:
        if home.registry.ledger_count(home.keys.address):
            raise InputRefused(
                "this account keeps a privacy ledger, and each of its datasets is charged to one",
                "name a ledger (--ledger 1), or open another for other people (--other-people --epsilon E)",
            )
        if offer.unit is not None:
            raise InputRefused(
                "units of privacy are what a privacy budget protects, and the dataset has none",
                f"open one (--epsilon 3, say), or leave the column out (--drop {offer.unit.column!r:.80})",
            )
        return None
    if offer.transform == "standard":
        raise InputRefused(
            "means and deviations of the records are exact numbers that no budget covers",
            "give each column a range (--transform ranges --range age=0:120), or publish none (--transform none)",
        )
    return CardPrivacy(_usual_delta(count) if asked.delta is None else asked.delta)


def _usual_delta(count: int) -> float:
    """The largest power of ten below a tenth of one in so many units."""
    return float(f"1e-{len(str(10 * count - 1))}")


def _ledger(home: Home, asked: PrivacyOffer | None, privacy: CardPrivacy | None) -> tuple[int | None, int]:
    """The ledger that trainings are charged to.

    Returns:
        The budget of one that is to be opened, else None; and the number of one that is there, 0
        for none.

    Raises:
        InputRefused: what is asked for contradicts what is there.
        NotFound: there is no ledger of that number.
    """
    if asked is None or privacy is None:
        return None, 0
    owner, registry = home.keys.address, home.registry
    count = registry.ledger_count(owner)
    if asked.other_people or not count:
        if asked.ledger is not None:
            raise InputRefused("a ledger that is opened has no number yet", "leave --ledger out")
        if asked.epsilon is None:
            raise InputRefused("a privacy ledger is opened with a budget", "add --epsilon 3, say")
        return _budget(asked.epsilon, privacy.delta), 0
    number = asked.ledger or 1
    ledger = registry.ledger(owner, number)
    if asked.epsilon is not None and budget(asked.epsilon, privacy.delta) != ledger.budget:
        raise InputRefused(
            f"the ledger {number} has a budget of epsilon {allowed_epsilon(ledger.budget, privacy.delta):.3g} "
            f"beside this dataset's delta {privacy.delta:g} already",
            f"charge that one (--ledger {number} without --epsilon; beside another delta its budget is another epsilon)"
            ", or open another for other people (--other-people)",
        )
    return None, number


def _budget(epsilon: float, delta: float) -> int:
    """The word of a budget that is set once for all, and may fall and never rise.

    Raises:
        InputRefused: it is no number above 0, or so small that no training is within it.
    """
    if not 0 < epsilon < math.inf:
        raise InputRefused(f"the budget's epsilon is {epsilon:g}, and it is a number above 0", "write --epsilon 3, say")
    if not (word := budget(epsilon, delta)):
        raise InputRefused(
            f"no training is within a budget of epsilon {epsilon:g} beside delta {delta:g}, and a budget never rises",
            "write --epsilon 3, say",
        )
    return word


def _probe(name: str) -> Digest | None:
    """This host's probe of a class, with one thread; None where the class ships one."""
    return environment.describe_host(name, 1, environment.host_cache()).probe


def read_registered(home: Home, row: DatasetRow) -> Table:
    """Read a registered dataset's table again and check that it is the one that was registered.

    Raises:
        DatasetChanged: a record, its order or its number differs, or the source is malformed by
            now.
        NotFound: the source is missing.
    """
    return read_with_leaves(home, row)[0]


def read_with_leaves(home: Home, row: DatasetRow) -> tuple[Table, Leaves]:
    """The same, with the leaves of the records' tree, for openings. Raises as `read_registered`."""
    reading, tokenizer = row.reading, tokenizer_file(home, Card.parse(row.card))
    try:
        table = read_table(row.source, reading, tokenizer, spill_of(home))
    except InputRefused as error:
        raise DatasetChanged(f"the dataset is not the registered one: {error.message}", error.hint) from None
    leaves = home.dataset_folder(row.id) / LEAVES
    registered_leaves = Leaves.open(leaves) if leaves.exists() else None
    return table, check_unchanged(table, registration_key(home, row.salt), row.root, registered_leaves)


def spill_of(home: Home) -> Spill:
    """Where a large table's records go while they are worked on: the home's disk; /tmp may be
    memory."""
    return Spill(home.settings.home)


def read_table(
    source: Path, reading: Mapping[str, Any], tokenizer: bytes | None = None, spill: Spill | None = None
) -> Table:
    """Read a table as it was read for its registration; raises as `Table.read_as`."""
    unit = None if reading["unit"] is None else UnitColumn.from_json(reading["unit"])
    how = Reading.from_json({name: part for name, part in reading.items() if name != "unit"})
    return Table.read_as(source, how, unit=unit, spill=spill, tokenizer=tokenizer)


def keep_row(home: Home, row: DatasetRow) -> None:
    """Keep a dataset in the journal, and beside what was computed of it where its source lies: the
    one thing of it that neither key nor chain could tell if the journal were lost."""
    note = {"version": SOURCE_VERSION, "source": str(row.source), "reading": row.reading, "salt": row.salt.hex()}
    write_file(home.dataset_folder(row.id) / SOURCE, canonical_json(note), 0o600)
    home.journal.keep_dataset(row)


def datasets_on_offer(home: Home) -> list[DatasetId]:
    """The datasets of this home that a request may name; its journal has retired ones, too, those
    of an earlier deployment, and those that are older than its account's privacy ledger.

    Raises:
        ChainUnusable: the node does not answer.
    """
    active = [entry for entry in home.registry.datasets(home.keys.address) if entry.active]
    offered = {entry.id for entry in active} - home.registry.outlived(active)
    return [row.id for row in home.journal.datasets() if row.id in offered]


def registrations(home: Home) -> int:
    """How many datasets this account has registered on the deployment."""
    return len(_registered(home))


def _registered(home: Home) -> list[DatasetId]:
    """The datasets that this account has registered on the deployment, in their order."""
    events = home.chain.events("Registry", "DatasetRegistered", owner=home.keys.address)
    return [DatasetId(event.args["id"]) for event in events]


def registration_salt(keys: Keys, number: int) -> bytes:
    """The salt of an account's n-th registration, from 0: derived, so that whoever has the key and
    the records finds it again; another one for each, so that the same table registered again is
    another dataset."""
    return keys.derive("fitchain/registration-salt/v2", number)


def registration_key(home: Home, salt: bytes) -> bytes:
    """The key of a registration's record salts: derived from the pod's secret and the
    registration's salt."""
    return home.keys.derive("fitchain/registration/v2", sha256(salt))


def _publish_mock(home: Home, card: Card, table: Table, count: int, key: bytes) -> Cid:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mock.npz"
        mock_table(card, table, count, key, card.privacy is not None).write_npz(path)
        return home.store.add(path)
