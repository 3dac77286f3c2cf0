"""Schemas: what the columns of a source are, and what of them becomes a table.

A source is read twice. First all of it is looked at (`decision`), then what was decided is carried
out (`Schema.read`), now and whenever the source is read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset import cells as texts
from fitchain.pod.compute.dataset.columns import DTYPES, UNDECLARED, Array, Column, Kind, missing_name, no_class
from fitchain.pod.compute.dataset.rows import Rows, RowSink, Spill
from fitchain.pod.compute.dataset.selection import ReadingTerms, select
from fitchain.pod.compute.dataset.source import Refusals, Slab, Source, Tick, Typed, missing_of, no_tick
from fitchain.pod.compute.dataset.task import Task
from fitchain.pod.compute.dataset.tokenizer import TextFailed, Tokenizer, TokenizerTerms, is_too_long, refusal_of
from fitchain.pod.compute.dataset.tokenizer_process import Met
from fitchain.pod.values.limits import MOST_COLUMN_NAME, MOST_COLUMNS, MOST_TEXT_BYTES, size_text
from fitchain.pod.values.recipe.fields import Fields, integer, text
from fitchain.pod.values.recipe.terms import MOST_CATEGORIES

MOST_CLASS = 1 << 53
MISSING_CATEGORY = ""
"""The category of a feature's cell that is missing."""


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """How a column of a source becomes one of a table.

    Args:
        place: in the source.
        column: that it becomes.
        categories: that its places stand for; empty for what is no category.
        may_miss: whether a second column says which of its cells are missing; those are stored as
            zeros.
        numbers: of whole numbers, those that there may be; empty admits any.
    """

    position: int
    column: Column
    categories: tuple[str, ...] = ()
    may_miss: bool = False
    numbers: tuple[int, ...] = ()

    def json(self) -> dict[str, Any]:
        """The form that a registration keeps."""
        return {
            "place": self.position,
            "name": self.column.name,
            "dtype": self.column.dtype,
            "shape": list(self.column.shape),
            "unit": self.column.unit,
            "kind": str(self.column.kind),
            "categories": list(self.categories),
            "may_miss": self.may_miss,
            "numbers": list(self.numbers),
        }

    @classmethod
    def from_json(cls, value: Any) -> ColumnPlan:
        """Read the form that a registration keeps.

        Raises:
            InputRefused: it is another.
        """
        fields = Fields("a column as it is read", value, _PLAN_FIELDS)
        shape = tuple(fields.items("shape", 0, 8))
        column = Column(
            fields.text("name", MOST_COLUMN_NAME),
            fields.choice("dtype", DTYPES),
            shape,
            value["unit"],
            Kind(fields.choice("kind", list(Kind))),
        )
        categories = fields.items("categories", 0, MOST_CATEGORIES)
        classes = fields.items("numbers", 0, MOST_CATEGORIES)
        numbers = tuple(integer("a class", each, -MOST_CLASS, MOST_CLASS) for each in classes)
        return cls(fields.integer("place", 0, 1 << 20), column, tuple(categories), fields.flag("may_miss"), numbers)


_PLAN_FIELDS = ("place", "name", "dtype", "shape", "unit", "kind", "categories", "may_miss", "numbers")


@dataclass(frozen=True)
class Schema:
    """What is read of a source, and as what.

    Args:
        plans: of the columns, in the order of the source.
        target: the column to be predicted, or None.
        task: what it is predicted as.
        unit: place and name of the column that says whose record one is, or None.
        markers: texts that mean that a cell is missing, in lower case.
        differing: columns of whole numbers or categories of which no two records have the same.
        notes: what was guessed, a sentence each.
        tokenizer: of the columns of tokens; None without one.
    """

    plans: tuple[ColumnPlan, ...]
    target: str | None = None
    task: Task | None = None
    unit: tuple[int, str] | None = None
    markers: frozenset[str] = texts.MISSING
    differing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tokenizer: TokenizerTerms | None = None

    def json(self) -> dict[str, Any]:
        """The form that a registration keeps."""
        return {
            "columns": [plan.json() for plan in self.plans],
            "target": self.target,
            "task": None if self.task is None else str(self.task),
            "unit": None if self.unit is None else list(self.unit),
            "markers": sorted(self.markers),
            "tokenizer": None if self.tokenizer is None else self.tokenizer.json(),
        }

    @classmethod
    def from_json(cls, value: Any) -> Schema:
        """Read the form that a registration keeps.

        Raises:
            InputRefused: it is another.
        """
        fields = Fields("how a table is read", value, ("columns", "target", "task", "unit", "markers", "tokenizer"))
        plans = tuple(ColumnPlan.from_json(each) for each in fields.items("columns", 1, MOST_COLUMNS))
        unit = None
        if value["unit"] is not None:
            position, name = fields.items("unit", 2, 2)
            unit = (int(position), text("the unit column", name, MOST_COLUMN_NAME))
        markers = frozenset(text("a marker", each, 200) for each in fields.items("markers", 0, 1000) if each) | {""}
        return cls(
            plans,
            None if value["target"] is None else fields.text("target", MOST_COLUMN_NAME),
            None if value["task"] is None else Task(fields.choice("task", list(Task))),
            unit,
            markers if "" in value["markers"] else markers - {""},
            tokenizer=None if value["tokenizer"] is None else TokenizerTerms.from_json(value["tokenizer"]),
        )

    def of_names(self, names: Sequence[str]) -> Schema:
        """The same schema for another source, whose columns of the same names may stand elsewhere.

        Raises:
            InputRefused: one of them is not there, or stands twice.
        """
        wanted = tuple(plan.column.name for plan in self.plans)
        unit = None if self.unit is None else self.unit[1]
        places = select(names, ReadingTerms(only=wanted, unit=unit)).places
        return replace(
            self,
            plans=tuple(replace(plan, position=places[plan.column.name]) for plan in self.plans),
            unit=None if unit is None else (places[unit], unit),
        )

    def _stands_in(self, names: Sequence[str]) -> bool:
        """Whether each column is where the schema has it."""
        places = [(plan.position, plan.column.name) for plan in self.plans] + ([self.unit] if self.unit else [])
        return all(position < len(names) and names[position] == name for position, name in places)

    def read(
        self, source: Source, spill: Spill | None = None, tick: Tick = no_tick, tokenizer: Tokenizer | None = None
    ) -> tuple[dict[str, Array], Rows | None, Array | None]:
        """Read a source as it was decided.

        Args:
            source: its records.
            spill: where they go where they are many; None keeps them in memory.
            tick: told how far it is.
            tokenizer: by which its free texts are read; it counts those that it cut.

        Returns:
            Arrays `[count, *shape]` by column, the rows that they are of where they are on disk,
            and of the unit's column numbers that are equal where its cells are; None without one.

        Raises:
            InputRefused: a column is not there, or cells are not what they were; all of them in
                one message.
        """
        if not self._stands_in(source.names):
            return self.of_names(source.names).read(source, spill, tick, tokenizer)
        sink = RowSink(self.columns, spill)
        units, numbers = list[Array](), dict[str, int]()
        refusals = Refusals(source.place_word)
        for slab in source.slabs([plan.position for plan in self.plans] + ([self.unit[0]] if self.unit else [])):
            tick("reading", slab.done)
            cells = dict[str, Array]()
            for plan in self.plans:
                values, gone = _Encoder(plan, self.markers, refusals, tokenizer)(slab)
                cells[plan.column.name] = values
                if plan.may_miss:
                    cells[missing_name(plan.column.name)] = gone
            if not refusals.bad:  # else nothing comes of it but a message
                sink.add(cells)
            if self.unit is not None:
                units.append(_unit_numbers(slab, self.unit, numbers, self.markers, refusals))
        refusals.raise_any()
        return *sink.end(), np.concatenate(units) if units else None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The table's columns: after one whose cells may be missing, the one that says which."""
        return tuple(
            column
            for plan in self.plans
            for column in (
                (plan.column, Column(missing_name(plan.column.name), "bool", kind=Kind.MISSING))
                if plan.may_miss
                else (plan.column,)
            )
        )

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """What the places of a column of categories stand for, by column."""
        return {plan.column.name: plan.categories for plan in self.plans if plan.column.kind is Kind.CATEGORY}


@dataclass(frozen=True)
class _Encoder:
    """Turns the cells of a column into what a table holds."""

    plan: ColumnPlan
    markers: frozenset[str]
    refusals: Refusals
    tokenizer: Tokenizer | None = None

    def __call__(self, slab: Slab) -> tuple[Array, Array]:
        """Values `[n, *shape]`, and which of them are missing, `[n]`."""
        cells, column = slab.cells[self.plan.position], self.plan.column
        if isinstance(cells, Typed):
            if column.kind is not Kind.CATEGORY or not self.plan.categories:
                return self._of_typed(cells, slab.places)
            gone = missing_of(cells)
            as_texts = [str(value) for value in cells.values.tolist()]
        else:
            as_texts = texts.clean(cells)
            gone = np.zeros(len(as_texts), np.bool_)
            gone[texts.missing(as_texts, self.markers, slab.comma)] = True
        if column.kind is Kind.CATEGORY:
            return self._places(as_texts, gone, slab.places), gone
        if column.kind is Kind.TOKENS:
            return self._tokens(as_texts, gone, slab.places), gone
        if gone.any() and not self.plan.may_miss:
            self._refuse("the cell is missing", np.flatnonzero(gone), slab.places)
        if slab.comma and column.kind in (Kind.NUMBER, Kind.WHOLE):
            as_texts = texts.with_point(as_texts)
        if not gone.any():
            return self._of_texts(as_texts, slab.places), gone
        values = np.zeros(len(as_texts), column.dtype)
        present = np.flatnonzero(~gone)
        values[present] = self._of_texts(
            [as_texts[position] for position in present], [slab.places[position] for position in present.tolist()]
        )
        return values, gone

    def _refuse(self, reason: str, which: Sequence[int] | Array, places: Sequence[int], advice: str = "") -> None:
        bad = [places[position] for position in np.asarray(which, np.intp).tolist()]
        self.refusals.add(self.plan.column.name, reason, advice, bad)

    def _of_texts(self, as_texts: list[str], places: Sequence[int]) -> Array:
        column, refused = self.plan.column, f"the cell is no {KIND_WORDS[self.plan.column.kind or Kind.NUMBER]}"
        if (values := self._parse(as_texts)) is None:
            self._refuse(refused, [at for at, each in enumerate(as_texts) if self._parse([each]) is None], places)
            return np.zeros(len(as_texts), column.dtype)
        if column.kind is Kind.NUMBER:
            self._refuse_lost(texts.lost(as_texts, values), places)
        with np.errstate(over="ignore", invalid="ignore"):
            stored = values.astype(column.dtype)
        if column.kind is Kind.WHOLE:
            self._refuse_lost(np.flatnonzero(stored.astype(np.int64) != values), places)
        self._refuse_others(stored, places)
        return stored

    def _refuse_others(self, values: Array, places: Sequence[int]) -> None:
        """Where classes are whole numbers a cell is one of them."""
        if self.plan.numbers:
            options = np.isin(values, np.array(self.plan.numbers)).reshape(len(values), -1).all(1)
            if not options.all():
                self._refuse(no_class(len(self.plan.numbers)), np.flatnonzero(~options), places, UNDECLARED)

    def _refuse_lost(self, which: Sequence[int] | Array, places: Sequence[int]) -> None:
        if len(which):
            self._refuse(f"{self.plan.column.dtype} does not hold the cell's number", which, places)

    def _parse(self, as_texts: list[str]) -> Array | None:
        match self.plan.column.kind:
            case Kind.WHOLE:
                return texts.as_whole(as_texts)
            case Kind.BOOLEAN:
                return texts.as_truth(as_texts)
            case Kind.TIME:
                return texts.as_times(as_texts, texts.unit_of(self.plan.column.unit))
            case _:
                return texts.as_numbers(as_texts)

    def _places(self, as_texts: list[str], gone: Array, places: Sequence[int]) -> Array:
        codes = {category: code for code, category in enumerate(self.plan.categories)}
        admitted = [
            codes.get(MISSING_CATEGORY if is_gone else each, -1) for each, is_gone in zip(as_texts, gone, strict=True)
        ]
        values = np.array(admitted, np.int64)
        if (values < 0).any():
            self._refuse(no_class(len(codes)), np.flatnonzero(values < 0), places, UNDECLARED)
        return values

    def _tokens(self, as_texts: list[str], gone: Array, places: Sequence[int]) -> Array:
        """Tokens of free texts, `[n, length]`; a missing one has those of the empty text."""
        name, (length,), tokenizer = self.plan.column.name, self.plan.column.shape, self.tokenizer
        assert tokenizer is not None, "who reads tokens brings their tokenizer"
        long = [position for position, text in enumerate(as_texts) if is_too_long(text)]
        if long:
            self._refuse(f"the text has more than {size_text(MOST_TEXT_BYTES)}", long, places, "shorten it")
        usable = ["" if is_gone or at in long else as_texts[at] for at, is_gone in enumerate(gone)]
        try:
            tokens, met = tokenizer.encode(usable, length)
        except TextFailed as failure:
            advice = "leave that record out, or take another tokenizer"
            self._refuse("the tokenizer takes more memory or time over it than it may", failure.args, places, advice)
            self.refusals.raise_any()  # with its process nothing more can be read
            raise
        for reason in (Met.NO_TOKEN, Met.BEYOND):
            if (which := np.flatnonzero(met == reason)).size:
                sentence, advice = refusal_of(reason, tokenizer.terms)
                self._refuse(sentence, which, places, advice)
        tokenizer.cut[name] = tokenizer.cut.get(name, 0) + int((met == Met.CUT).sum())
        return tokens

    def _of_typed(self, typed: Typed, places: Sequence[int]) -> tuple[Array, Array]:
        column, gone, shape = self.plan.column, missing_of(typed), typed.values.shape[1:]
        if shape not in (column.shape, (*column.shape, 1)):  # labels may stand in a column of one
            self._refuse(f"the cell is of shape {shape}, and the column of {column.shape}", [0], places)
            return np.zeros((len(typed.values), *column.shape), column.dtype), gone
        values = typed.values.reshape(len(typed.values), *column.shape)
        if gone.any():
            if not self.plan.may_miss:
                self._refuse("the cell is missing", np.flatnonzero(gone), places)
            values = np.where(gone.reshape(-1, *(1 for _ in column.shape)), np.zeros((), values.dtype), values)
        with np.errstate(over="ignore", invalid="ignore"):
            stored = values.astype(column.dtype)
        if stored.dtype != values.dtype:
            self._refuse_lost(np.flatnonzero((stored != values).reshape(len(values), -1).any(1)), places)
        self._refuse_others(stored, places)
        return stored, gone


KIND_WORDS = {
    Kind.NUMBER: "number",
    Kind.WHOLE: "whole number of 64 bits",
    Kind.BOOLEAN: "truth value (true, false)",
    Kind.TIME: "time of ISO 8601 (2026-11-27, or 2026-11-27T14:00:00Z), as exact as the column's unit",
    Kind.CATEGORY: "category",
    Kind.TOKENS: "text",
    Kind.MISSING: "truth value",
}


def _unit_numbers(
    slab: Slab, unit: tuple[int, str], numbers: dict[str, int], markers: frozenset[str], refusals: Refusals
) -> Array:
    """Equal cells get equal numbers; texts that are written differently, 7 and 07 say, are not
    equal."""
    cells = slab.cells[unit[0]]
    if isinstance(cells, Typed):
        gone = missing_of(cells) if cells.values.ndim == 1 else np.ones(len(cells.values), np.bool_)
        as_texts = [repr(value) for value in cells.values.tolist()]
    else:
        as_texts = texts.clean(cells)
        gone = np.zeros(len(as_texts), np.bool_)
        gone[texts.missing(as_texts, markers, slab.comma)] = True
    if gone.any():
        bad = [slab.places[position] for position in np.flatnonzero(gone).tolist()]
        refusals.add(unit[1], "the unit's cell is missing, or no single value", "leave those records out", bad)
    return np.array([numbers.setdefault(each, len(numbers)) for each in as_texts], np.int64)
