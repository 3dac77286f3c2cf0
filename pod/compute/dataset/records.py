"""Records: leaves, the dataset's root, openings of single records, and whether the data is still
what was registered.

Leaf i is SHA-256(SHA-256("fitchain/record/v2") || uint64 big-endian i || salt_i || unit_i || record
bytes): one hash a record. salt_i are the bytes 32 i to 32 i + 31 of BLAKE3's extendable output over
nothing, keyed with a key fresh for each registration, so that one record can be opened alone and
none can be guessed from its hash. unit_i is the word of the unit whose record it is, where units
have several (`units`), else 32 zero bytes. The root is H("fitchain/dataset/v2", count, RFC 6962
tree over the leaves).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from blake3 import blake3

from fitchain.pod.compute.dataset.card import (
    Card,
    CardPrivacy,
    CardSubgroup,
    CardTokenizer,
    CardUnit,
    Constants,
    fit_transform,
)
from fitchain.pod.compute.dataset.columns import MEANT_BY_UNIT, Array, Classes, Column, schema_bytes
from fitchain.pod.compute.dataset.leaves import Leaves
from fitchain.pod.compute.dataset.policy import Policy
from fitchain.pod.compute.dataset.rows import each_row
from fitchain.pod.compute.dataset.source import Tick, no_tick
from fitchain.pod.compute.dataset.subgroups import find_groups
from fitchain.pod.compute.dataset.table import Table
from fitchain.pod.compute.dataset.units import NO_UNIT, UNIT_BYTES, UnitColumn, unit_word, unit_words
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.values.digest import Digest, Root, root_from_path, tagged
from fitchain.pod.values.errors import DatasetChanged, DigestMismatch, InputRefused
from fitchain.pod.values.recipe.fields import Fields
from fitchain.pod.values.recipe.subgroups import Group
from fitchain.pod.values.recipe.terms import MOST_ROWS

RECORD_TAG, DATASET_TAG = "fitchain/record/v2", "fitchain/dataset/v2"
KEY_BYTES = SALT_BYTES = 32
_RECORD_TAG_BYTES = hashlib.sha256(RECORD_TAG.encode()).digest()
_UNLOCKED_BYTES = 2048
"""From so many bytes on hashlib lets other threads run."""


@dataclass(frozen=True)
class Registration:
    """What registering yields.

    Args:
        root: the dataset's root, for the chain.
        count: how many records.
        card: what is published, still without mock data.
        leaves: every record's leaf digest; they reveal no record and let the owner name the first
            that changed.
    """

    root: Root
    count: int
    card: Card
    leaves: Leaves


@dataclass(frozen=True, slots=True)
class Opening:
    """One record with what proves that it was registered.

    Args:
        index: its place in the dataset.
        count: how many records the dataset has.
        salt: 32 bytes.
        record: its bytes (the schema's digest, then the cells).
        path: the tree's siblings, from the leaf upwards.
        unit: its unit's word, 32 bytes; zero where a record is the unit.
    """

    index: int
    count: int
    salt: bytes
    record: bytes
    path: tuple[Digest, ...]
    unit: bytes = NO_UNIT

    def json(self) -> dict[str, Any]:
        """The opening as JSON; bytes in hex."""
        return {
            "index": self.index,
            "count": self.count,
            "salt": self.salt.hex(),
            "unit": self.unit.hex(),
            "record": self.record.hex(),
            "path": [str(node) for node in self.path],
        }

    @classmethod
    def from_json(cls, value: Any) -> Opening:
        """Read the JSON form.

        Raises:
            InputRefused: it is malformed.
        """
        fields = Fields("the record's opening", value, cls.__dataclass_fields__)
        record_salt, unit, record = (_hex(value, name) for name in ("salt", "unit", "record"))
        for name, data in (("salt", record_salt), ("unit", unit)):
            if len(data) != UNIT_BYTES:
                raise InputRefused(f"the record's opening: a {name} has {UNIT_BYTES} bytes, not {len(data)}")
        index, count = fields.integer("index", 0, MOST_ROWS), fields.integer("count", 1, MOST_ROWS)
        path = tuple(Digest.parse(node) for node in fields.items("path", 0, 64))
        return cls(index, count, record_salt, record, path, unit)

    def cells(self, columns: Sequence[Column]) -> dict[str, Array]:
        """The record's cells by column, `[*shape]`.

        Args:
            columns: the schema that the dataset's card publishes.

        Raises:
            DigestMismatch: the record was registered under another schema, or has another length.
        """
        schema = hashlib.sha256(schema_bytes(columns)).digest()
        if self.record[: len(schema)] != schema:
            raise DigestMismatch(f"record {self.index} was registered under another schema than the card's")
        cells, offset = {}, len(schema)
        for column in columns:
            data = self.record[offset : offset + column.cell_bytes]
            if len(data) != column.cell_bytes:
                raise DigestMismatch(f"record {self.index} ends inside the column {column.name!r}")
            dtype = np.dtype(column.dtype).newbyteorder("<")
            cells[column.name] = np.frombuffer(data, dtype).reshape(column.shape)
            offset += column.cell_bytes
        if offset != len(self.record):
            raise DigestMismatch(f"record {self.index} has {len(self.record)} bytes and its schema {offset}")
        return cells


def _hex(value: Mapping[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(value[name])
    except (TypeError, ValueError):
        raise InputRefused(f"the record's opening: {name} is a text of hex digits") from None


# Many parameters: all but the table and its key are the card's own fields, given by name.
def register(
    table: Table,
    key: bytes,
    name: str,
    *,
    transform: str = "standard",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    classes: Classes | None = None,
    units: Mapping[str, str] | None = None,
    description: str = "",
    licence: str = "",
    price: int = 0,
    policy: Policy | None = None,
    probes: Mapping[str, str] | None = None,
    privacy: CardPrivacy | None = None,
    unit: UnitColumn | None = None,
    subgroups: Mapping[str, bool] | None = None,
    tokenizer: Cid | None = None,
    constants: Constants | None = None,
    groups: Mapping[str, tuple[Group, ...]] | None = None,
    tick: Tick = no_tick,
) -> Registration:
    """Compute a dataset's leaves, root and card.

    Args:
        table: only what may be trained on: identifiers were dropped when it was read.
        key: 32 secret bytes, fresh for this registration; whoever loses them can open no record.
        name, description, licence, price, policy, probes, privacy: for the card.
        transform, ranges, classes: as `fit_transform`. The constants are published.
        units: by column, for the card.
        unit: by which the table was read; None where a record is the unit of privacy.
        subgroups: columns by whose groups results are told, with whether models may take them.
        tokenizer: CID of the file by which the table's free texts were read.
        constants, groups: of the card, where they were computed before; else they are now.
        tick: told how far it is.

    Raises:
        InputRefused: mock data, a key of another length, an unknown column, a table that was read
            by another unit, subgroups that cannot be told.
    """
    if table.mock:
        raise InputRefused("the table is marked as mock data and is no dataset", "register the real records")
    if table.unit_records != (None if unit is None else unit.most_records):
        raise InputRefused(f"the table has {table.unit_records} rows for each unit, and the unit is {unit}")
    leaves = record_leaves(table, key, tick)
    root = dataset_root(leaves)
    for column in units or {}:
        if table.column(column).kind in MEANT_BY_UNIT:
            raise InputRefused(f"the column {column!r} counts {table.column(column).unit}, and no other unit")
    if constants is None:
        hidden = [name for name, may_take in (subgroups or {}).items() if not may_take]
        constants = fit_transform(table, transform, ranges, classes, hidden)
    read_by = None if table.reading is None else table.reading.schema.tokenizer
    is_input = subgroups or {}
    groups = find_groups(table, is_input) if groups is None else groups
    columns = tuple(replace(each, unit=(units or {}).get(each.name, each.unit)) for each in table.columns)
    card = Card(
        name=name,
        columns=columns,
        target=table.target,
        task=table.task,
        count=table.count,
        root=root,
        transform=constants,
        description=description,
        licence=licence,
        price=price,
        policy=policy or Policy(),
        probes=dict(probes or {}),
        privacy=privacy,
        unit=None if unit is None else CardUnit(unit.column, unit.most_records, table.record_count),
        subgroups={name: CardSubgroup(groups[name], is_input[name]) for name in groups},
        tokenizer=None if read_by is None or tokenizer is None else CardTokenizer(tokenizer, read_by),
    )
    return Registration(root, table.count, Card.from_json(card.json()), leaves)  # what is published can be read


def salts(key: bytes, start: int, stop: int) -> bytes:
    """The salts of the records from `start` to before `stop`, 32 bytes each, end to end: bytes
    32 start to 32 stop of BLAKE3's extendable output over nothing, keyed.

    Source: O'Connor, Aumasson, Neves, Wilcox-O'Hearn, "BLAKE3", sections 2.6 and 4.

    Raises:
        InputRefused: the key has not 32 bytes.
    """
    if len(key) != KEY_BYTES:
        raise InputRefused(f"a registration key has {KEY_BYTES} bytes, not {len(key)}")
    return blake3(b"", key=key).digest(length=SALT_BYTES * (stop - start), seek=SALT_BYTES * start)


def salt(key: bytes, index: int) -> bytes:
    """The salt of one record.

    Raises:
        InputRefused: the key has not 32 bytes.
    """
    return salts(key, index, index + 1)


def record_leaf(index: int, record_salt: bytes, unit: bytes, record: bytes | memoryview) -> bytes:
    """A record's leaf, 32 bytes.

    Args:
        index: its place in the dataset.
        record_salt, unit: 32 bytes each.
        record: its bytes, of any number.

    Returns:
        SHA-256(SHA-256("fitchain/record/v2") || uint64 big-endian index || salt || unit || record).
    """
    hasher = hashlib.sha256(_RECORD_TAG_BYTES + index.to_bytes(8, "big") + record_salt + unit)
    hasher.update(record)
    return hasher.digest()


def record_leaves(table: Table, key: bytes, tick: Tick = no_tick) -> Leaves:
    """Every record's leaf, in order.

    What is hashed is laid out for many records at once, since registering a large table is this
    loop: what Python does for each record costs more than its hash. Where the records are large the
    hash does, and as many threads as there are processors share it.

    Args:
        table: the records; where they lie on disk the leaves do, too.
        key: the registration's.
        tick: told how far it is.

    Raises:
        InputRefused: the key has not 32 bytes.
        HostUnusable: the disk is full.
    """
    spill = None if table.rows is None else table.rows.spill
    return Leaves.of(_leaves_of_slabs(table, key, tick), None if spill is None else spill.folder)


def _leaves_of_slabs(table: Table, key: bytes, tick: Tick) -> Iterator[bytes]:
    def leaves(bounds: tuple[int, int]) -> bytes:
        slab = table.slab(*bounds, _before_records(key, *bounds, table.unit_records))
        return b"".join([sha(record).digest() for record in each_row(slab)])

    sha = hashlib.sha256
    if table.record_bytes < _UNLOCKED_BYTES:
        for bounds in table.slab_bounds():
            tick("hashing", bounds[0] / table.count)
            yield leaves(bounds)
        return
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for bounds, part in zip(table.slab_bounds(), pool.map(leaves, table.slab_bounds()), strict=True):
            tick("hashing", bounds[0] / table.count)
            yield part


def _before_records(key: bytes, start: int, stop: int, unit_records: int | None) -> tuple[Array, ...]:
    """What a leaf hashes before each record's bytes: uint8 `[stop - start, n]` with the tag, the
    index, the salt and the unit's word."""
    rows = stop - start
    tag = np.broadcast_to(np.frombuffer(_RECORD_TAG_BYTES, np.uint8), (rows, 32))
    indices = np.arange(start, stop, dtype=">u8").view(np.uint8).reshape(rows, 8)
    of_records = np.frombuffer(salts(key, start, stop), np.uint8).reshape(rows, SALT_BYTES)
    return tag, indices, of_records, unit_words(start, stop, unit_records)


def dataset_root(leaves: Leaves) -> Root:
    """The published root over the leaves: `tagged("fitchain/dataset/v2", count, tree)`."""
    return Root(tagged(DATASET_TAG, len(leaves), leaves.root))


def check_unchanged(table: Table, key: bytes, root: Root, leaves: Leaves | None = None, tick: Tick = no_tick) -> Leaves:
    """Refuse a table whose records are not those registered.

    Args:
        table: read again, as it was read for registration.
        key: the registration's key.
        root: the registered root.
        leaves: the registration's leaf digests, if they are at hand: with them the first changed
            record is named.
        tick: told how far it is.

    Returns:
        The leaves, for openings.

    Raises:
        DatasetChanged: another root.
    """
    current = record_leaves(table, key, tick)
    current_root = dataset_root(current)
    if current_root == root:
        return current
    hint = "restore the file as it was registered, or register it anew as another dataset"
    raise DatasetChanged(
        f"the dataset's root is {current_root} and {root} was registered{_first_change(current, leaves)}", hint
    )


def _first_change(now: Leaves, before: Leaves | None) -> str:
    if before is None:
        return ""
    if (index := before.first_difference(now)) is not None:
        return f"; record {index} is the first that differs"
    return f"; {len(before)} records were registered and there are {len(now)}"


def open_records(table: Table, key: bytes, leaves: Leaves, indices: Sequence[int]) -> Iterator[Opening]:
    """Open records: the tree is built once for all of them.

    Args:
        table, key: the registered ones.
        leaves: what `check_unchanged` returned.
        indices: which records.

    Raises:
        InputRefused: there is no record of that index.
    """
    for index in indices:
        unit = unit_word(index, table.unit_records)
        yield Opening(index, table.count, salt(key, index), table.record(index), leaves.path(index), unit)


def verify_record(opening: Opening, root: Root, unit_records: int | None = None) -> None:
    """Check that an opened record was registered at its place, as one of the unit that this place
    belongs to.

    Args:
        opening: of the record.
        root: the dataset's.
        unit_records: how many rows each unit has; None where a record is the unit.

    Raises:
        DigestMismatch: it was not.
        InputRefused: the opening's index, count and path do not fit together.
    """
    if opening.unit != unit_word(opening.index, unit_records):
        units = "a record each" if unit_records is None else f"{unit_records} records each"
        raise DigestMismatch(
            f"record {opening.index} names the unit {opening.unit.hex()}, and with units of {units} it has another"
        )
    leaf = Digest(record_leaf(opening.index, opening.salt, opening.unit, opening.record))
    computed = tagged(DATASET_TAG, opening.count, root_from_path(leaf, opening.index, opening.count, opening.path))
    if computed != root:
        raise DigestMismatch(f"record {opening.index} leads to the dataset root {computed} and not to {root}")
