"""Cards: what is published about a dataset.

A card is canonical JSON (`fitchain/card/v2`) that everyone may read: schema, units, transform
constants, licence, price, policy, mock data, root. The transform constants are computed over the
registered records once, at registration, and are published on purpose: a verifier sees only a
segment, so nothing may be fitted while training. Whoever must not publish means and deviations
gives ranges of their own (`ranges`) or none; so should the owner of very few records, or of a
column that is the same for all, whose mean is that value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cached_property
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.columns import DTYPES, SLAB_ROWS, Array, Classes, Column, Kind, missing_name
from fitchain.pod.compute.dataset.policy import NOTHING_DISCLOSED, Disclosure, Policy, amount
from fitchain.pod.compute.dataset.schema import ColumnPlan, Schema
from fitchain.pod.compute.dataset.table import Table
from fitchain.pod.compute.dataset.task import Task
from fitchain.pod.compute.dataset.tokenizer import TokenizerTerms
from fitchain.pod.compute.dataset.units import FILLED
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.values.digest import Digest, Root, canonical_json, parse_json, sha256
from fitchain.pod.values.errors import ClaimMismatch, InputRefused
from fitchain.pod.values.limits import CARD, MOST_COLUMN_NAME, MOST_COLUMNS, MOST_RANK
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.fields import Fields, integer, refuse_unknown
from fitchain.pod.values.recipe.privacy import MOST_UNIT_RECORDS
from fitchain.pod.values.recipe.subgroups import MOST_GROUPS, MOST_SUBGROUPS, Group, Subgroups, parse_groups
from fitchain.pod.values.recipe.terms import MOST_CATEGORIES, MOST_ROWS, parse_transform
from fitchain.pod.values.suggestions import hint

VERSION = "fitchain/card/v2"
MOST_PROBES = 16
_CLASS_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
LEAST_DELTA, MOST_DELTA = 1e-30, 0.01
_TEXTS = {"name": 200, "description": 20_000, "licence": 200}

Constants = dict[str, dict[str, Any]]  # by column: as in a recipe


@dataclass(frozen=True, slots=True)
class CardPrivacy:
    """What differential privacy means for a dataset.

    Args:
        delta: beside which an epsilon is told: about the chance with which its bound may fail, far
            below one in the number of records.
    """

    delta: float

    @classmethod
    def from_json(cls, value: Any) -> CardPrivacy:
        """Read the card's form.

        Raises:
            InputRefused: a field is missing, unknown or out of bounds.
        """
        fields = Fields("the card: privacy", value, ("delta",))
        return cls(fields.real("delta", LEAST_DELTA, MOST_DELTA))


@dataclass(frozen=True, slots=True)
class CardUnit:
    """Whom a privacy budget protects, where one may have several records.

    Args:
        column: of the owner's file; each of its values is a unit. No record holds it.
        most_records: K, how many rows of the dataset each unit has, and its records fill at most.
        records: how many rows a record fills, of all units together.
    """

    column: str
    most_records: int
    records: int

    @classmethod
    def from_json(cls, value: Any, count: int) -> CardUnit:
        """Read the card's form.

        Args:
            value: its JSON value.
            count: rows of the dataset.

        Raises:
            InputRefused: a field is missing, unknown or out of bounds, or the rows are not whole
                units.
        """
        fields = Fields("the card: unit", value, ("column", "most_records", "records"))
        most = fields.integer("most_records", 1, MOST_UNIT_RECORDS)
        if count % most:
            raise InputRefused(f"the card: {count} rows are not whole units of {most}")
        return cls(fields.text("column", MOST_COLUMN_NAME), most, fields.integer("records", count // most, count))


@dataclass(frozen=True, slots=True)
class CardSubgroup:
    """A column by whose groups results on held-out records are told, too.

    Args:
        groups: its values: texts (of which a record holds the place), or whole numbers; rising.
        is_input: whether a model may take the column, too.
    """

    groups: tuple[Group, ...]
    is_input: bool

    @classmethod
    def from_json(cls, value: Any) -> CardSubgroup:
        """Read the card's form.

        Raises:
            InputRefused: a field is missing, unknown or of the wrong type.
        """
        fields = Fields("the card: a subgroup", value, ("groups", "is_input"))
        return cls(parse_groups("the card: groups", fields.items("groups", 2, MOST_GROUPS)), fields.flag("is_input"))

    def json(self) -> dict[str, Any]:
        """The card's form."""
        return {"groups": list(self.groups), "is_input": self.is_input}


@dataclass(frozen=True, slots=True)
class CardTokenizer:
    """Where the tokenizer of a dataset's free texts is, and what it is.

    Args:
        cid: of the file.
        terms: its digest, its vocabulary and the release of the library that reads it.
    """

    cid: Cid
    terms: TokenizerTerms

    def json(self) -> dict[str, Any]:
        """The card's form."""
        return {"cid": str(self.cid)} | self.terms.json()

    @classmethod
    def from_json(cls, value: Any) -> CardTokenizer:
        """Read the card's form.

        Raises:
            InputRefused: a field is missing, unknown or out of bounds.
        """
        fields = Fields("the card: tokenizer", value, ("cid",), TokenizerTerms.__dataclass_fields__)
        terms = {name: part for name, part in value.items() if name != "cid"}
        return cls(Cid.parse(fields.text("cid", 100)), TokenizerTerms.from_json(terms))


@dataclass(frozen=True)
class Card:
    """A dataset's public description.

    Args:
        name: a short title.
        columns: the schema, in the order of a record's bytes, with units.
        target: the column to be predicted, or None.
        count: how many rows are registered: each a record, or a place for one (`unit`).
        root: the dataset's root.
        transform: constants by column, exact: `{"mean", "scale"}` or `{"low", "high"}` of numbers,
            with a `fill` where one may be missing; `{"categories"}` of categories and of a
            classification's target.
        task: what the target is predicted as; None without a target.
        description, licence: for people.
        price: what a job costs, in base units of the token; the policy's minimum is what binds.
        policy: the owner's conditions.
        mock: CID of the mock data (NPZ), once there is one.
        probes: environment classes of the owner's host with their probes' digests, where a class
            ships none.
        unit: whom the privacy budget protects; None where that is a record.
        privacy: where its trainings are charged to a privacy ledger of its owner's, which the
            registry names; None where they are not.
        subgroups: by column, by whose groups results on held-out records are told, too.
        tokenizer: of its columns of tokens; None where there are none.
    """

    name: str
    columns: tuple[Column, ...]
    target: str | None
    count: int
    root: Root
    transform: Mapping[str, Any]
    task: Task | None = None
    description: str = ""
    licence: str = ""
    price: int = 0
    policy: Policy = field(default_factory=Policy)
    mock: Cid | None = None
    probes: Mapping[str, str] = field(default_factory=dict)
    unit: CardUnit | None = None
    privacy: CardPrivacy | None = None
    subgroups: Mapping[str, CardSubgroup] = field(default_factory=dict)
    tokenizer: CardTokenizer | None = None

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if not names or len(names) > MOST_COLUMNS or len(set(names)) != len(names):
            raise InputRefused(f"a card has 1 to {MOST_COLUMNS} columns of different names, not {len(names)}")
        if self.target is not None and self.target not in names:
            raise InputRefused(f"the card's target {self.target!r} is none of its columns")
        refuse_unknown("the card's transform", self.transform, names)
        if (self.task is None) != (self.target is None):
            raise InputRefused("a card names its target and the task together, or neither")
        self._check_unit(names)
        self._check_subgroups()
        self._check_tokenizer()

    def _check_tokenizer(self) -> None:
        """All tokens are those of the one tokenizer that the card names, and no token is a target."""
        named = None if self.tokenizer is None else str(self.tokenizer.terms.digest)
        units = {column.unit for column in self.columns if column.kind is Kind.TOKENS}
        if units != ({named} - {None}):
            raise InputRefused(f"the card names the tokenizer {named}, and its columns of tokens {sorted(units)}")
        if self.target is not None and self.column(self.target).kind is Kind.TOKENS:
            raise InputRefused(f"the card's target {self.target!r} is free text")

    def _check_unit(self, names: list[str]) -> None:
        """A unit of several records has a budget that protects it, and a column of its slots."""
        if (self.unit is not None) != (FILLED in names):
            has, lacks = (f"a column {FILLED!r}", "a unit") if self.unit is None else ("a unit", f"a column {FILLED!r}")
            raise InputRefused(f"the card has {has} and not {lacks}", "a column of another use has another name")
        if self.unit is None:
            return
        if self.privacy is None:
            raise InputRefused(
                "units of privacy are what a privacy budget protects, and the dataset has none",
                "open one (--epsilon 3, say), or leave the unit out",
            )
        if self.unit.column in names or self.target == FILLED:
            raise InputRefused(
                f"the unit column {self.unit.column!r} is one of the records' own, or {FILLED!r} a target"
            )

    def _check_subgroups(self) -> None:
        """Subgroups are columns of one value a record, and beside no budget, which covers nothing
        exact."""
        if not self.subgroups:
            return
        if self.privacy is not None:
            refuse_beside_budget(self.subgroups)
        if len(self.subgroups) > MOST_SUBGROUPS:
            raise InputRefused(f"the card has {len(self.subgroups)} columns of subgroups, not {MOST_SUBGROUPS} or less")
        for name in self.subgroups:
            if self.column(name).shape or name == self.target:
                raise InputRefused(f"the card's subgroups are of {name!r:.80}, which is the target or holds arrays")

    @classmethod
    def parse(cls, data: bytes) -> Card:
        """Read a card; it comes from strangers.

        Raises:
            InputRefused: it is no canonical JSON, no card of this version, or says what cannot be.
        """
        card = cls.from_json(parse_json(data, CARD))
        if card.encode() != data:
            raise InputRefused("the card is not canonical JSON (RFC 8785)", "encode it with Card.encode")
        return card

    @classmethod
    def from_json(cls, value: Any) -> Card:
        """Read a card from its JSON value, checking every field.

        Raises:
            InputRefused: a field is missing, unknown, of the wrong type or out of bounds.
        """
        fields = Fields("the card", value, cls.__dataclass_fields__, version=VERSION)
        texts = {label: _text(label, value[label], longest) for label, longest in _TEXTS.items()}
        transform = Fields("the card's transform", value["transform"], (), value["transform"]).value
        probes = Fields("the card's probes", value["probes"], (), value["probes"]).value
        return cls(
            **texts,
            columns=tuple(_column(column) for column in fields.items("columns", 1, MOST_COLUMNS)),
            target=None if value["target"] is None else fields.text("target", MOST_COLUMN_NAME),
            count=fields.integer("count", 1, MOST_ROWS),
            root=fields.root("root"),
            transform={name: dict(parse_transform(name, constants)) for name, constants in transform.items()},
            task=None if value["task"] is None else Task(fields.choice("task", list(Task))),
            price=amount("the card: price", value["price"]),
            policy=Policy.from_json(value["policy"]),
            mock=None if value["mock"] is None else Cid.parse(Fields("mock", value["mock"], ("cid",)).text("cid", 100)),
            probes=_probes(probes),
            unit=None
            if value["unit"] is None
            else CardUnit.from_json(value["unit"], fields.integer("count", 1, MOST_ROWS)),
            privacy=None if value["privacy"] is None else CardPrivacy.from_json(value["privacy"]),
            subgroups=_subgroups(value["subgroups"]),
            tokenizer=None if value["tokenizer"] is None else CardTokenizer.from_json(value["tokenizer"]),
        )

    def json(self) -> dict[str, Any]:
        """The JSON value that `encode` writes."""
        return {
            **{name: getattr(self, name) for name in ("name", "description", "licence", "target", "count")},
            "version": VERSION,
            "columns": [asdict(each) | {"shape": list(each.shape), "kind": str(each.kind)} for each in self.columns],
            "root": str(self.root),
            "transform": {name: dict(constants) for name, constants in self.transform.items()},
            "task": None if self.task is None else str(self.task),
            "price": str(self.price),
            "policy": self.policy.json(),
            "mock": None if self.mock is None else {"cid": str(self.mock)},
            "probes": dict(self.probes),
            "unit": None if self.unit is None else asdict(self.unit),
            "privacy": None if self.privacy is None else asdict(self.privacy),
            "subgroups": {name: subgroup.json() for name, subgroup in self.subgroups.items()},
            "tokenizer": None if self.tokenizer is None else self.tokenizer.json(),
        }

    def encode(self) -> bytes:
        """The card as canonical JSON."""
        return canonical_json(self.json())

    @property
    def digest(self) -> Digest:
        """SHA-256 of the canonical JSON."""
        return sha256(self.encode())

    @property
    def is_open(self) -> bool:
        """Whether strangers may ask for it."""
        return self.policy.admits_strangers(self.privacy is not None)

    @property
    def unit_records(self) -> int | None:
        """How many rows each unit of privacy has; None where a record is the unit."""
        return None if self.unit is None else self.unit.most_records

    @property
    def unit_count(self) -> int:
        """How many units of privacy there are."""
        return self.count // (self.unit_records or 1)

    @property
    def record_count(self) -> int:
        """How many records there are."""
        return self.count if self.unit is None else self.unit.records

    @property
    def feature_names(self) -> list[str]:
        """The columns that say something of a record, its target among them."""
        return [column.name for column in self.columns if column.name != FILLED]

    @property
    def model_columns(self) -> list[str]:
        """Those that a model may take or predict."""
        return [name for name in self.feature_names if name not in self.subgroups or self.subgroups[name].is_input]

    @property
    def groups(self) -> Subgroups:
        """Groups by column, as a recipe that holds records out copies them."""
        return {name: subgroup.groups for name, subgroup in self.subgroups.items()}

    @property
    def categories(self) -> tuple[Any, ...]:
        """The target's categories, in the order of its class numbers; empty for a regression."""
        return tuple(self.transform.get(self.target or "", {}).get("categories", ()))

    def options(self, name: str) -> tuple[Any, ...]:
        """What a column's cells may be: its categories, or the groups by which results are told;
        empty where the card names none."""
        return tuple(self.transform.get(name, {}).get("categories", self.groups.get(name, ())))

    def column(self, name: str) -> Column:
        """Find a column.

        Raises:
            InputRefused: there is none.
        """
        if (column := self._by_name.get(name)) is None:
            raise InputRefused(f"the dataset has no column {name!r:.80}", hint(name, self._by_name))
        return column

    @cached_property
    def _by_name(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    @property
    def schema(self) -> Schema:
        """How a table of its columns is read, wherever they stand."""
        return self.schema_of(self.feature_names)

    def schema_of(self, names: Sequence[str]) -> Schema:
        """How a table of some of its columns is read, its target among them, wherever they stand."""
        named = [column for column in map(self.column, names) if column.kind is not Kind.MISSING]
        return Schema(
            tuple(
                ColumnPlan(0, column, self._texts_of(column), missing_name(column.name) in self._by_name)
                for column in named
            ),
            self.target,
            self.task,
            None if self.unit is None else (0, self.unit.column),
            tokenizer=self._tokenizer_of(named),
        )

    def _tokenizer_of(self, columns: Sequence[Column]) -> TokenizerTerms | None:
        """What reads the free texts of some columns; None where they have none."""
        has_texts = any(column.kind is Kind.TOKENS for column in columns)
        return self.tokenizer.terms if self.tokenizer is not None and has_texts else None

    def _texts_of(self, column: Column) -> tuple[str, ...]:
        """What the places of a column of categories stand for."""
        if column.kind is not Kind.CATEGORY:
            return ()
        if (constants := self.transform.get(column.name)) is not None:
            return tuple(constants["categories"])
        return tuple(str(group) for group in self.subgroups[column.name].groups)

    def with_mock(self, cid: Cid) -> Card:
        """The same card, naming its mock data."""
        return replace(self, mock=cid)

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuse a recipe that asks for what this dataset does not have.

        A recipe may leave the constants of a column away (then its numbers enter as they are), but
        not change them.

        Raises:
            ClaimMismatch: another dataset's root.
            InputRefused: an unknown column, rows beyond the records, constants other than the
                card's.
        """
        if recipe.dataset != self.root:
            raise ClaimMismatch(f"the recipe names the dataset root {recipe.dataset} and the card {self.root}")
        for name in (*(name for argument in recipe.inputs for name in argument), recipe.target):
            self._check_feature(name)
        groups = {} if recipe.held_out is None else dict(self.groups)
        if dict(recipe.subgroups) != groups:
            raise InputRefused(
                f"the recipe's subgroups are {dict(recipe.subgroups)!r:.200} and the card's {groups!r:.200}",
                "copy them from the card where records are held out, and name none elsewhere",
            )
        low, high = recipe.rows
        if not 0 <= low < high <= self.count:
            raise InputRefused(f"the recipe uses the rows {low} to {high} and the dataset has {self.count} records")
        if (recipe.privacy is None) != (self.privacy is None):
            has, lacks = ("the dataset", "the recipe") if self.privacy else ("the recipe", "the dataset")
            raise InputRefused(f"{has} has terms of privacy, and {lacks} has none")
        if recipe.privacy is not None and recipe.privacy.unit_records != self.unit_records:
            raise InputRefused(
                f"the recipe's units of privacy have {recipe.privacy.unit_records} rows and the card's "
                f"{self.unit_records}",
                "copy them from the card: null is a record",
            )
        for name, constants in recipe.transform.items():
            if dict(constants) != self.transform.get(name):
                raise InputRefused(
                    f"the recipe's constants of {name!r} are {dict(constants)!r:.200} and the card's "
                    f"{self.transform.get(name)!r:.200}",
                    "copy them from the card, exactly",
                )

    def _check_feature(self, name: str) -> None:
        """A column that a model may take or predict."""
        if name == FILLED:
            raise InputRefused(f"the column {FILLED!r} is no feature", "it says which places of a unit are empty")
        self.column(name)
        if name in self.subgroups and not self.subgroups[name].is_input:
            raise InputRefused(
                f"the column {name!r} is no feature: it only parts held-out records into subgroups",
                "leave it out of the inputs",
            )

    def admit(
        self, recipe: Recipe, price: int, scientist: str | None = None, disclosure: Disclosure = NOTHING_DISCLOSED
    ) -> None:
        """Refuse a recipe that does not fit the dataset or its policy.

        Raises:
            ClaimMismatch, InputRefused: as `check_recipe` and `Policy.admit`.
        """
        self.check_recipe(recipe)
        self.policy.admit(recipe, price, scientist, disclosure, self.privacy is not None)


def fit_transform(
    table: Table,
    mode: str = "standard",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    classes: Classes | None = None,
    no_inputs: Container[str] = (),
) -> Constants:
    """Compute the constants that the card publishes.

    A number x enters the model as (x - mean) / scale, or with a range as (x - low) / (high - low);
    one that is missing as if it were `fill`. For a column of arrays one mean and one scale serve
    all cells. Exact statistics of fewer than
    `LEAST_BEHIND_STATISTICS` records would say much of each: of these a range is published, from
    the least to the largest, rounded outwards to one digit.

    Args:
        table: the records to be registered.
        mode: `standard`: mean and population deviation over the records; `ranges`: only columns
            with a given range, so that nothing about the records is published; `none`.
        ranges: (low, high) by column; they take precedence over `standard` too.
        classes: of the target, by which the table was read; they are published whether a record has
            them or not. None finds them in the records, and none says that the target is a number.
        no_inputs: columns that enter no model, and have none.

    Returns:
        Constants by column: categories of a column of categories and of a classification's target,
        mean and scale, or low and high, of numbers.

    Raises:
        InputRefused: another mode, an unknown column, an empty range, or one of what is no number;
            a target that has classes and a range, or texts and no class.
    """
    # A given range goes before statistics, and classes before both: they are not scaled.
    if classes is not None:
        _require_declared(table, classes, ranges or {})
    if mode not in ("standard", "ranges", "none"):
        raise InputRefused(f"the transform {mode!r} is none of standard, ranges, none")
    constants: Constants = {}
    for name, (low, high) in (ranges or {}).items():
        column = table.column(name)
        if not -math.inf < low < high < math.inf or math.isinf(high - low):
            raise InputRefused(f"the range of {name!r} from {low} to {high} is empty or without an end")
        if column.kind not in _SCALED or _has_classes(table, column):
            raise InputRefused(f"the column {name!r} has categories, which no range scales", "leave its range out")
        constants[name] = {"low": float(low), "high": float(high)}
    measured = _means_and_scales(
        table,
        [
            column
            for column in table.columns
            if mode == "standard"
            and column.kind in _SCALED
            and not (column.name in constants or column.name in no_inputs or _has_classes(table, column))
            and not (column.name == table.target and classes)
        ],
    )
    for column in table.columns:
        if column.name in no_inputs:
            continue
        if column.name == table.target and classes:
            constants[column.name] = {"categories": list(classes)}
        elif _has_classes(table, column):
            constants[column.name] = {"categories": column_categories(table, column.name)}
        elif column.name in measured:
            constants[column.name] = measured[column.name]
        if missing_name(column.name) in table.arrays and column.kind in _SCALED:
            kept = constants.setdefault(column.name, {"mean": 0.0, "scale": 1.0})
            kept["fill"] = kept["mean"] if "mean" in kept else (kept["low"] + kept["high"]) / 2
    return constants


_SCALED = (Kind.NUMBER, Kind.WHOLE, Kind.TIME)
LEAST_BEHIND_STATISTICS = 20
LEAST_SQUARED, ENLARGED = 1e-140, 2.0**600
_TOO_LARGE = "a column's numbers are too large for their mean and deviation"
ROUNDING = 16 * float(np.finfo(np.float64).eps)
"""The mean of a slab of equal numbers may be off by so much of it: each of the twelve levels of
numpy's pairwise sum rounds once, and so do the last sum and the division."""


def _require_declared(table: Table, classes: Classes, ranges: Mapping[str, tuple[float, float]]) -> None:
    """A target is of classes that are named, or a number whose range is, and never both."""
    if (table.target in ranges) == bool(classes) and (table.target is not None or classes):
        raise InputRefused(
            f"the target {table.target!r} is either of classes or a number in a range",
            "name its classes (--classes benign,malignant), or its range (--range COLUMN=LOW:HIGH)",
        )
    if table.target in table.categories and not classes:
        raise InputRefused(f"the target {table.target!r} has a range and holds texts", "name its classes (--classes)")


def _has_classes(table: Table, column: Column) -> bool:
    is_target = column.name == table.target and not column.shape
    return column.kind is Kind.CATEGORY or (is_target and table.task is Task.CLASSIFICATION)


def column_categories(table: Table, name: str) -> list[Any]:
    """The categories of a column: its texts, or its different whole numbers, rising.

    Raises:
        InputRefused: it has none.
    """
    if texts := table.categories.get(name):
        return list(texts)
    array = table.arrays[name]
    values = np.empty(0, array.dtype)
    for part in table.parts():
        values = np.union1d(values, array[part])
        if (values != np.round(values)).any() or len(values) > MOST_CATEGORIES:
            raise InputRefused(f"the column {name!r} has no categories: they are whole numbers or texts")
    return [int(value) for value in values]


def _means_and_scales(table: Table, columns: Sequence[Column]) -> Constants:
    """Mean and population deviation of all cells that are there, in float64, part by part: no
    second copy of a large array, and all columns in two passes.

    A spread below the rounding error of the mean is none, and its scale 1 (Chan, Golub & LeVeque,
    Algorithms for Computing the Sample Variance, 1983, equation 1.4): a constant 14.62 would be
    divided by 3.6e-15 else.
    """
    sums = {column.name: _Sums() for column in columns}
    try:
        with np.errstate(over="raise"):
            for part in table.parts() if columns else ():
                for name, each in sums.items():
                    each.add(_present(table, name, part))
            spread = {name: each for name, each in sums.items() if each.records >= LEAST_BEHIND_STATISTICS}
            for each in spread.values():
                each.mean = math.fsum(each.totals) / each.size
            for part in table.parts() if spread else ():
                for name, each in spread.items():
                    each.add_distances(_present(table, name, part))
            return {name: each.constants() for name, each in sums.items()}
    except (FloatingPointError, OverflowError):
        raise InputRefused(_TOO_LARGE, "rescale it") from None


def _present(table: Table, name: str, part: slice) -> Array:
    """Those of some cells that are not missing."""
    cells, gone = table.arrays[name][part], table.arrays.get(missing_name(name))
    return cells if gone is None else cells[~gone[part]]


@dataclass
class _Sums:
    """What was added up of a column's cells, a number for each part of them (`math.fsum` rounds
    once)."""

    records: int = 0
    size: int = 0
    totals: list[float] = field(default_factory=list)
    low: float = math.inf
    high: float = -math.inf
    mean: float = 0.0
    farthest: float = 0.0
    squares: list[float] = field(default_factory=list)
    enlarged: list[float] = field(default_factory=list)

    def add(self, cells: Array) -> None:
        """Look at some of them."""
        if not cells.size:
            return
        self.records += len(cells)
        self.size += cells.size
        if self.records < 2 * SLAB_ROWS:  # who has more publishes no range of them
            self.low, self.high = min(self.low, float(cells.min())), max(self.high, float(cells.max()))
        self.totals.append(float(cells.sum(dtype=np.float64)))

    def add_distances(self, cells: Array) -> None:
        """Look at them again, once the mean is known."""
        if not cells.size:
            return
        beside = cells.astype(np.float64) - self.mean
        self.farthest = max(self.farthest, float(np.abs(beside).max()))
        with np.errstate(over="ignore"):  # of a constant column, whose mean is rounded, they are not asked for
            self.squares.append(float(np.square(beside).sum()))
            if self.farthest < LEAST_SQUARED:  # else nobody asks for them
                self.enlarged.append(float(np.square(beside * ENLARGED).sum()))

    def constants(self) -> dict[str, float]:
        """What the card publishes."""
        if self.records < LEAST_BEHIND_STATISTICS:
            low, high = outward_range(self.low, self.high)
            if math.isinf(high - low):
                raise OverflowError
            return {"low": low, "high": high}
        if self.farthest <= ROUNDING * abs(self.mean):
            return {"mean": self.mean, "scale": 1.0}
        if self.farthest < LEAST_SQUARED:  # squares of what is so near are 0
            return {"mean": self.mean, "scale": math.sqrt(math.fsum(self.enlarged) / self.size) / ENLARGED or 1.0}
        squares = math.fsum(self.squares)
        if squares == math.inf:
            raise OverflowError
        return {"mean": self.mean, "scale": math.sqrt(squares / self.size) or 1.0}


def outward_range(low: float, high: float) -> tuple[float, float]:
    """A range about two numbers that says no more than one digit of each.

    Returns:
        (low, high), low < high, each of one significant digit, unless that would be no wider.
    """
    low, high = _outwards(low, ROUND_FLOOR), _outwards(high, ROUND_CEILING)
    if low < high:
        return low, high
    beside = max(1.0, abs(low) / 10)  # beyond 2^53 the next whole number is no other double
    return _finite(low - beside), _finite(high + beside)


def _outwards(number: float, rounding: str) -> float:
    """Round to one significant digit, downwards or upwards; beyond all doubles is the last of
    them."""
    exact = Decimal(repr(number))  # the shortest text of a double: floor and double keep their order
    return _finite(float(exact.quantize(Decimal(1).scaleb(exact.adjusted()), rounding)) if number else 0.0)


def _finite(number: float) -> float:
    return max(-_LARGEST, min(number, _LARGEST))


_LARGEST = float(np.finfo(np.float64).max)


def refuse_beside_budget(subgroups: Collection[str]) -> None:
    """Refuse columns of subgroups beside a privacy budget.

    Raises:
        InputRefused: there are some.
    """
    if subgroups:
        raise InputRefused(
            "results by subgroup are exact numbers of held-out records, and the names of groups are found in the "
            "records: no privacy budget covers them",
            "leave subgroups out beside a budget",
        )


def _subgroups(value: Any) -> dict[str, CardSubgroup]:
    subgroups = Fields("the card's subgroups", value, (), value).value
    return {name: CardSubgroup.from_json(subgroup) for name, subgroup in subgroups.items()}


def _probes(probes: Mapping[str, Any]) -> Mapping[str, str]:
    """Probes by the names of their classes, which a later release may have more of."""
    if len(probes) > MOST_PROBES:
        raise InputRefused(f"the card: it publishes {len(probes)} probes, and {MOST_PROBES} are the limit")
    for name in probes:
        if not _CLASS_NAME.fullmatch(name):
            raise InputRefused(f"the card: {name!r:.80} is no name of an environment class")
    return {name: str(Digest.parse(probe)) for name, probe in probes.items()}


def _text(label: str, value: Any, longest: int) -> str:
    """Text for people: it may be empty and may have several lines."""
    if not isinstance(value, str) or len(value) > longest:
        raise InputRefused(f"the card: {label} is a text of at most {longest} characters")
    return value


def _column(value: Any) -> Column:
    fields = Fields("a column", value, ("name", "dtype", "shape", "unit", "kind"))
    shape = tuple(integer("a column: shape", size, 1, MOST_ROWS) for size in fields.items("shape", 0, MOST_RANK))
    return Column(
        fields.text("name", MOST_COLUMN_NAME),
        fields.choice("dtype", DTYPES),
        shape,
        _text("unit", value["unit"], 100),
        Kind(fields.choice("kind", list(Kind))),
    )
