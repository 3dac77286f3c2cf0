"""Registering a dataset: a table becomes a root on chain and a card in the store; records stay."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fitchain.pod.compute import environment
from fitchain.pod.compute.dataset import Card, Policy, Table, check_unchanged, mock_table, register
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import DatasetRow
from fitchain.pod.jobs.policy_panels import keep_policy_panels, look_at_policy
from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.ports.keys import Keys
from fitchain.pod.ports.registry import Role
from fitchain.pod.ports.store import Cid
from fitchain.pod.ports.trust import TrustedPanel
from fitchain.pod.values.digest import Digest, Root, canonical_json, sha256
from fitchain.pod.values.errors import DatasetChanged, InputRefused
from fitchain.pod.values.ids import DatasetId

MOCK_RECORDS = 256
LEAVES, SOURCE = "leaves", "source.json"
SOURCE_VERSION = "fitchain/source/v2"


@dataclass(frozen=True)
class DatasetOffer:
    """A table as its owner offers it.

    Args:
        source: a CSV or NPZ file; it must stay where it is, unchanged, as long as jobs may ask for
            it.
        name, description, licence: for people, published.
        target: the column to be predicted.
        drop: columns that never enter the tree, such as names and identifiers.
        price: what a job costs, in base units of FIT.
        policy: the owner's conditions; it names who may ask, or says that models may reveal records
            to everybody. The panels that it names are trusted as they stand when it is registered.
        transform, ranges: how the published constants come about (`fit_transform`).
        mock_records: how many mock records are published; 0 publishes none, and nobody can
            rehearse.
        environments: classes that ship no probe (`cpu-native`), for which this host's is published.
    """

    source: Path | str
    name: str
    target: str | None
    policy: Policy
    drop: tuple[str, ...] = ()
    description: str = ""
    licence: str = ""
    price: int = 0
    transform: str = "standard"
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    mock_records: int = MOCK_RECORDS
    environments: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegisteredDataset:
    """A dataset as it was registered, with the panels that its policy names as they stood then."""

    id: DatasetId
    root: Root
    count: int
    card_cid: Cid
    card: Card
    panels: tuple[TrustedPanel, ...] = ()


def register_dataset(home: Home, offer: DatasetOffer) -> RegisteredDataset:
    """Register a table as a dataset that scientists can ask for.

    The records are read, hashed and left where they are; what is published is the card and mock
    data. The same table registered again is another dataset, because its salts are fresh.

    Args:
        home: the owner's, opened with its key.
        offer: the table, its price and its conditions.

    Raises:
        EnvironmentRefused: this host is not of such a class.
        InputRefused: the policy leaves the dataset open to strangers without saying that models may
            reveal records.
        NotFound, InputRefused: the table is missing or malformed, or a panel that the policy names.
        ChainUnusable, StoreUnusable: chain or store do not answer.
    """
    offer.policy.require_askers()
    source = Path(offer.source).absolute()
    table = Table.read(source, drop=offer.drop, target=offer.target)
    panels = look_at_policy(home, offer.policy)
    home.register_or_update(Role.OWNER)  # offers are sealed to it from now on
    salt = registration_salt(home.keys, registrations(home))
    key = registration_key(home, salt)
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
        probes={name: str(probe) for name in offer.environments if (probe := _probe(name)) is not None},
    )
    card = registration.card
    if offer.mock_records:
        card = card.with_mock(_publish_mock(home, card, table, offer.mock_records, key))
    card_cid = home.store.add(card.encode())
    reading = {"drop": list(offer.drop), "target": offer.target, "categories": list(table.categories)}
    id = home.registry.register_dataset(registration.root, registration.count, card_cid)
    write_file(home.dataset_folder(id) / LEAVES, registration.leaves, 0o600)
    keep_policy_panels(home, id, panels)
    keep_row(home, DatasetRow(id, source, reading, salt, registration.root, card.encode(), str(card_cid)))
    return RegisteredDataset(id, registration.root, registration.count, card_cid, card, tuple(panels))


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


def read_with_leaves(home: Home, row: DatasetRow) -> tuple[Table, list[bytes]]:
    """The same, with the leaves of the records' tree, for openings. Raises as `read_registered`."""
    reading = row.reading
    try:
        table = read_table(row.source, reading)
    except InputRefused as error:
        raise DatasetChanged(f"the dataset is not the registered one: {error.message}", error.hint) from None
    leaves = home.dataset_folder(row.id) / LEAVES
    registered_leaves = leaves.read_bytes() if leaves.exists() else None
    return table, check_unchanged(table, registration_key(home, row.salt), row.root, registered_leaves)


def read_table(source: Path, reading: Mapping[str, Any]) -> Table:
    """Read a table as it was read for its registration; raises as `Table.read`."""
    names = {name: reading[name] for name in ("drop", "target", "categories")}
    return Table.read(source, **names, only=reading.get("only"))


def keep_row(home: Home, row: DatasetRow) -> None:
    """Keep a dataset in the journal, and beside what was computed of it where its source lies: the
    one thing of it that neither key nor chain could tell if the journal were lost."""
    note = {"version": SOURCE_VERSION, "source": str(row.source), "reading": row.reading, "salt": row.salt.hex()}
    write_file(home.dataset_folder(row.id) / SOURCE, canonical_json(note), 0o600)
    home.journal.keep_dataset(row)


def registrations(home: Home) -> int:
    """How many datasets this account has registered on the deployment."""
    return len(home.chain.events("Registry", "DatasetRegistered", owner=home.keys.address))


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
        mock_table(card, table, count, key).write_npz(path)
        return home.store.add(path)
