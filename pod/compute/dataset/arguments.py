"""Arguments: which columns enter a model, as which of its arguments.

Beside `assembly`, which makes the arrays: here is only said what they are made of. An argument is
written `NAME=COLUMNS[:TYPE]`: the name of one of forward's parameters; columns by name, by a
pattern (`gene_*`) or by a word (`@category`); and `float32` or `int64`.
"""

from __future__ import annotations

import csv
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import zip_longest
from typing import Any

from fitchain.pod.compute.dataset.assembly import input_width
from fitchain.pod.compute.dataset.card import Card
from fitchain.pod.compute.dataset.columns import Kind, missing_name
from fitchain.pod.compute.dataset.source import plain_name
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input
from fitchain.pod.values.recipe import argument_columns
from fitchain.pod.values.suggestions import hint

FLOAT, INDEX = "float32", "int64"
TYPES = {FLOAT: "F32", INDEX: "I64"}
"""What an argument may be, and how a graph writes it."""
ARRAY, REST = "array", "rest"
WORDS = (*Kind, ARRAY, REST)
"""What may stand behind an `@`: the kind of a single value, every column of arrays, or each single
value that no other argument takes."""
MOST_SHOWN = 12
"""Columns in a hint."""
HOW = "write NAME=COLUMNS[:TYPE]: x=age,bmi or x='gene_*' or x=@number,@whole or codes=icd:int64 or x=@rest"


@dataclass(frozen=True)
class Argument:
    """One argument of a model.

    Args:
        name: of forward's parameter.
        columns: those that enter it, in this order.
        type: `float32`, or `int64` for numbers that an embedding looks up.
        shape: without the batch: that of a column of arrays, else as many numbers as its columns
            give together.
    """

    name: str
    columns: tuple[str, ...]
    type: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, columns: tuple[str, ...], type_: str, card: Card) -> Argument:
        """Of columns of a card."""
        shape = card.column(columns[0]).shape
        return cls(name, columns, type_, shape or (input_width(columns, card.transform, type_),))

    @property
    def input(self) -> Input:
        """It as a graph says it."""
        return Input(self.name, TYPES[self.type], self.shape)

    def __str__(self) -> str:
        """What forward gets."""
        return f"{self.name}: {self.type} [batch, {', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Parameters:
    """What a module's forward takes by position.

    Args:
        names: its parameters in order.
        required: how many of them have no default.
        is_open: whether it takes any number of others (`*args`).
    """

    names: tuple[str, ...]
    required: int
    is_open: bool = False

    @classmethod
    def of(cls, forward: Callable[..., Any]) -> Parameters:
        """Read the parameters of a function.

        Raises:
            InputRefused: it must be given something by name alone.
        """
        parameters = inspect.signature(forward).parameters.values()
        for each in parameters:
            if each.kind is each.KEYWORD_ONLY and each.default is each.empty:
                raise InputRefused(
                    f"forward takes {each.name!r} by name alone, and columns enter by position",
                    f"leave out the * before {each.name!r}, or give it a default",
                )
        named = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
        required = sum(each.default is each.empty for each in named)
        return cls(
            tuple(each.name for each in named), required, any(each.kind is each.VAR_POSITIONAL for each in parameters)
        )

    def takes(self, count: int) -> bool:
        """Whether so many arguments can be given."""
        return count >= self.required and (self.is_open or count <= len(self.names))

    def __str__(self) -> str:
        """The parameters in a sentence."""
        return " and ".join([", ".join(map(repr, self.names)) or "nothing", *(["more"] if self.is_open else [])])


def chosen_arguments(texts: Sequence[str], card: Card, parameters: Parameters) -> tuple[Argument, ...]:
    """Read which columns enter which parameter of forward.

    Args:
        texts: one `NAME=COLUMNS[:TYPE]` an argument, in any order. A name with a comma stands in
            double quotes. Patterns and words take columns in the card's order, and no target: that
            enters where it is named.
        card: of the dataset.
        parameters: of the module's forward.

    Returns:
        The arguments in forward's order.

    Raises:
        InputRefused: forward has no such parameter, or needs one that has no columns; there is no
            such column; an argument mixes arrays, or takes as int64 what is no index.
    """
    asked = [_Asked.parse(text) for text in texts]
    names = [each.name for each in asked]
    for name in names:
        if names.count(name) > 1:
            raise _given_twice(name)
        if name not in parameters.names and not parameters.is_open:
            near = hint(name, parameters.names) or HOW
            raise InputRefused(f"forward has no parameter {name!r:.80}: it takes {parameters}", near)
    ordered = [name for name in parameters.names if name in names] + [
        name for name in names if name not in parameters.names
    ]
    for position, name in enumerate(parameters.names):
        if name not in names and (position < parameters.required or position < len(ordered)):
            raise InputRefused(
                f"forward takes {parameters}, and no column enters {name!r}", f"add --input {name}=COLUMNS"
            )
    columns = _Selection(card)
    taken = frozenset(column for each in asked for column in columns.of(each))
    chosen = {each.name: _argument(each, columns.of(each, taken), card) for each in asked}
    return tuple(chosen[name] for name in ordered)


def usual_arguments(card: Card, parameters: Parameters) -> tuple[Argument, ...]:
    """Which columns enter which parameter where nobody says it: all single values together, each
    column of arrays by itself; as the parameter of its name where each of them has one.

    Raises:
        InputRefused: forward takes fewer or more; the hint is a choice that fits.
    """
    groups = argument_columns(card.json())
    if not parameters.takes(len(groups)):
        raise InputRefused(
            f"forward takes {parameters}, and the dataset's columns make {_described(groups, card)}",
            f"say which columns enter where: {' '.join(f'--input {each}' for each in _proposed(card, parameters))}",
        )
    names = (*parameters.names, *(f"x{position}" for position in range(len(parameters.names), len(groups))))
    arrays = [columns[0] for columns in groups if card.column(columns[0]).shape]
    if set(arrays) <= set(parameters.names):
        others = iter([name for name in names if name not in arrays])
        named = [columns[0] if columns[0] in arrays else next(others) for columns in groups]
    else:
        named = list(names[: len(groups)])
    made = {
        name: Argument.of(name, columns, _usual_type(columns, card), card)
        for name, columns in zip(named, groups, strict=True)
    }
    return tuple(made[name] for name in names if name in made)


def spelling_faults(texts: Sequence[str]) -> list[InputRefused]:
    """What is wrong with `NAME=COLUMNS[:TYPE]`s as they are written, whatever the dataset is."""
    faults = list[InputRefused]()
    names = set[str]()
    for text in texts:
        try:
            asked = _Asked.parse(text)
            for selector in asked.selectors:
                if selector.startswith("@"):
                    _require_word(selector[1:], asked.name)
        except InputRefused as fault:
            faults.append(fault)
            continue
        if asked.name in names:
            faults.append(_given_twice(asked.name))
        names.add(asked.name)
    return faults


def _given_twice(name: str) -> InputRefused:
    return InputRefused(f"the argument {name!r} is given twice", "name all of its columns at once")


def _require_word(word: str, argument: str) -> None:
    if word not in WORDS:
        raise InputRefused(
            f"{argument}: @{word:.40} is none of {', '.join(f'@{each}' for each in WORDS)}", hint(word, WORDS) or HOW
        )


@dataclass(frozen=True)
class _Asked:
    """An argument as somebody wrote it: its columns are not looked up yet."""

    name: str
    selectors: tuple[str, ...]
    type: str | None

    @classmethod
    def parse(cls, text: str) -> _Asked:
        name, equals, after = (part.strip() for part in text.partition("="))
        before, colon, last = after.rpartition(":")
        columns, type_ = (before, last) if colon and last in TYPES else (after, None)
        selectors = [each.strip() for line in csv.reader([plain_name(columns)], skipinitialspace=True) for each in line]
        if not equals or not name.isidentifier() or not selectors or not all(selectors):
            raise InputRefused(f"{text!r:.200} does not say which columns enter which argument", HOW)
        return cls(name, tuple(selectors), type_)


@dataclass(frozen=True)
class _Selection:
    """The columns of a card that selectors stand for."""

    card: Card

    def of(self, asked: _Asked, taken: frozenset[str] | None = None) -> tuple[str, ...]:
        """An argument's columns, each once.

        Args:
            asked: the argument.
            taken: what all arguments name, `@rest` aside; None leaves the rest out.
        """
        columns = dict[str, None]()
        for selector in asked.selectors:
            if selector != f"@{REST}":
                columns |= dict.fromkeys(self._selected(selector, asked.name))
            elif taken is not None:
                columns |= dict.fromkeys(column for column in self._singles if column not in taken)
        if not columns and taken is not None:
            raise InputRefused(f"{asked.name}: the other arguments leave no column for @{REST}", HOW)
        return tuple(columns)

    @cached_property
    def _offered(self) -> list[str]:
        """What patterns and words choose from: all but the target, which enters by its name alone."""
        return [column for column in self.card.model_columns if column != self.card.target]

    @cached_property
    def _singles(self) -> list[str]:
        return [column for column in self._offered if not self.card.column(column).shape]

    def _selected(self, selector: str, argument: str) -> list[str]:
        if selector in self.card.model_columns:
            return [selector]
        if selector.startswith("@"):
            columns, lacks = self._of_word(selector[1:], argument), f"no column for {selector}"
        elif re.search("[*?]", selector):
            pattern = selector.replace("[", "[[]")  # what stands in brackets is a unit as a rule
            columns, lacks = (
                [each for each in self._offered if fnmatchcase(each, pattern)],
                f"no column {selector!r:.80}",
            )
        else:
            columns, lacks = [], f"no column {selector!r:.80} that a model may take"
        if not columns:
            raise InputRefused(f"{argument}: the dataset has {lacks}", self._advice(selector))
        return columns

    def _of_word(self, word: str, argument: str) -> list[str]:
        _require_word(word, argument)
        if word in (ARRAY, Kind.TOKENS):
            arrays = [each for each in self._offered if each not in self._singles]
            return [each for each in arrays if (self.card.column(each).kind is Kind.TOKENS) == (word == Kind.TOKENS)]
        return [each for each in self._singles if self.card.column(each).kind == word]

    def _advice(self, selector: str) -> str:
        before, _, after = selector.rpartition(":")
        if before in self.card.model_columns:
            return f"{after!r:.40} is no type: write {' or '.join(f':{each}' for each in TYPES)}"
        offered = list(self.card.model_columns)
        by_lower = {each.lower(): each for each in offered}
        if (same := by_lower.get(selector.lower())) is not None:
            return f"did you mean {same}?"
        shown = ", ".join(offered[:MOST_SHOWN]) + (", ..." if len(offered) > MOST_SHOWN else "")
        return hint(selector.strip("*?"), offered) or f"its columns are {shown}; `fitchain data show` lists them"


def _argument(asked: _Asked, columns: tuple[str, ...], card: Card) -> Argument:
    """Make an argument of its columns.

    Raises:
        InputRefused: they mix arrays, or are none that it can take as int64.
    """
    arrays = [column for column in columns if card.column(column).shape]
    if arrays and len(columns) > 1:
        raise InputRefused(
            f"{asked.name}: the column {arrays[0]!r} holds arrays, and {len(columns) - 1} others stand beside it",
            "give each column of arrays an argument of its own",
        )
    argument = Argument.of(asked.name, columns, asked.type or _usual_type(columns, card), card)
    if argument.type == INDEX:
        for column in columns:
            _require_index(argument.name, column, card)
    return argument


def _usual_type(columns: Sequence[str], card: Card) -> str:
    """Tokens are looked up, and everything else is a number."""
    return INDEX if all(card.column(column).kind is Kind.TOKENS for column in columns) else FLOAT


def _require_index(argument: str, name: str, card: Card) -> None:
    """Refuse a column whose cells are no whole numbers between known ends: nobody could tell how
    large an embedding must be, and a rehearsal would not meet the largest.

    Raises:
        InputRefused: it is one.
    """
    column, constants = card.column(name), card.transform.get(name, {})
    what = f"{argument}: the column {name!r} enters as {INDEX}"
    if not column.integral:
        raise InputRefused(f"{what}, and its cells are numbers with a fraction", f"let it enter as {FLOAT}")
    if column.dtype == "uint64":
        raise InputRefused(f"{what}, which does not hold all of uint64", "ask its owner to offer it as int64")
    if missing_name(name) in card.feature_names and column.kind not in (Kind.CATEGORY, Kind.TOKENS):
        raise InputRefused(
            f"{what}, and cells of it may be missing", f"let it enter as {FLOAT}: a missing one is filled then"
        )
    if not column.shape and "mean" in constants:
        raise InputRefused(
            f"{what}, and the card does not say how large its numbers may be",
            f"let it enter as {FLOAT}, or ask its owner to offer it as a category (--kind {name}=category)"
            f" or with its range (--range {name}=LOW:HIGH)",
        )


def _described(groups: Sequence[Sequence[str]], card: Card) -> str:
    """The usual arguments in a sentence."""
    said = [
        repr(columns[0]) if card.column(columns[0]).shape else f"{len(columns)} single values" for columns in groups
    ]
    return f"{len(groups)} argument{'s' * (len(groups) != 1)} ({' and '.join(said)})"


def _proposed(card: Card, parameters: Parameters) -> list[str]:
    """A choice of columns for each parameter, to be edited."""
    groups = argument_columns(card.json())
    singles = [column for columns in groups if not card.column(columns[0]).shape for column in columns]
    kinds = [card.column(column).kind for column in singles]
    choices = [columns[0] for columns in groups if card.column(columns[0]).shape]
    if Kind.CATEGORY in kinds and len(choices) + 1 < parameters.required:
        choices.insert(0, f"@{Kind.CATEGORY}:{INDEX}")
    if any(kind is not Kind.CATEGORY for kind in kinds) or f"@{Kind.CATEGORY}:{INDEX}" not in choices:
        choices.insert(0, f"@{REST}")
    names = parameters.names[: max(parameters.required, 1)] or ("x",)
    return [f"{name}={each}" for name, each in zip_longest(names, choices[: len(names)], fillvalue="COLUMNS")]
