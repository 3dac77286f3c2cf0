"""Decisions: what the columns of a source are, by what its owner says or, aloud, by a guess that
all of a column's cells bear out.

Guesses are never silent losses: whatever a number, a code or a time would lose is refused, all of
it in one message.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fitchain.pod.compute.dataset import cells as texts
from fitchain.pod.compute.dataset.columns import Array, Classes, Column, Kind
from fitchain.pod.compute.dataset.draft import Draft
from fitchain.pod.compute.dataset.profile import TEXT_KINDS, Profile
from fitchain.pod.compute.dataset.schema import KIND_WORDS, MISSING_CATEGORY, ColumnPlan, Schema
from fitchain.pod.compute.dataset.selection import (
    CATEGORIES_NAMED,
    KIND_GIVEN,
    ReadingTerms,
    Selection,
    find_column,
    select,
)
from fitchain.pod.compute.dataset.source import BadCells, Refusals, Source, Tick, Typed, no_tick
from fitchain.pod.compute.dataset.task import Task
from fitchain.pod.compute.dataset.tokenizer import Tokenizer
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.terms import MOST_CATEGORIES

Said = TypeVar("Said")


# Many parameters: a source, and all that decides how it is looked at.
def decide(
    source: Source,
    terms: ReadingTerms,
    tick: Tick = no_tick,
    draft: Draft | None = None,
    tokenizer: Tokenizer | None = None,
) -> Schema:
    """Look at a whole source, and decide what its columns are.

    Args:
        source: its records.
        terms: what their owner says of them.
        tick: told how far it is.
        draft: is given what was looked at.
        tokenizer: that the terms name, in its process.

    Raises:
        InputRefused: something that the terms name is not there; or cells cannot be used as they
            should, all of them in one message.
    """
    # In this order: what is named has to be there before anything is looked at, and what each
    # column is has to be known before it is asked what its target is predicted as.
    selection = select(source.names, terms)
    own_kinds = {name: kind for name, kind in source.kinds.items() if name in selection.places}
    kinds = own_kinds | _by_name(source, terms.kinds, selection, KIND_GIVEN)
    categories = _by_name(source, terms.categories, selection, CATEGORIES_NAMED)
    if not [name for name in selection.places if name != selection.unit]:
        raise InputRefused("the table has no column")
    free_texts = [name for name, kind in kinds.items() if kind is Kind.TOKENS]
    cells_of_text = _cells_of_text(free_texts, selection, terms, tokenizer)
    profiles = {name: Profile(terms.markers, kinds.get(name)) for name in selection.places}
    for slab in source.slabs(selection.places.values()):
        tick("looking at the columns", slab.done)
        if draft is not None:
            draft.add(slab, selection.places)
        for name, position in selection.places.items():
            try:
                profiles[name].add(slab.cells[position], slab.places, slab.comma)
            except InputRefused as error:
                raise InputRefused(f"column {name!r}: {error.message}", error.hint) from None
    if not any(profile.count for profile in profiles.values()):
        raise InputRefused("the table has no record")
    if (terms.missing or terms.keep) and all(profile.typed is not None for profile in profiles.values()):
        raise InputRefused(
            "texts that mean a missing cell are named, and no column holds texts",
            "leave --missing and --keep out; of numbers with a type NaN means a missing cell",
        )
    refusals, plans = Refusals(source.place_word), list[ColumnPlan]()
    for name, profile in profiles.items():
        if name == selection.unit:
            continue
        decider = _Decider(name, profile, refusals, name == selection.target, kinds.get(name), categories.get(name))
        if name in free_texts and profile.typed is None:
            plan = decider.text_plan(selection.places[name], *cells_of_text)
        else:
            plan = decider.plan(selection.places[name])
        plans += [] if plan is None else [plan]
    task, note = None, ""
    target = next((plan for plan in plans if plan.column.name == selection.target), None)
    if target is not None:
        task, note = _task(target, profiles[target.column.name], terms.task, refusals)
    refusals.raise_any()
    differing = tuple(
        plan.column.name
        for plan in plans
        if plan.column.kind in (Kind.WHOLE, Kind.CATEGORY)
        and profiles[plan.column.name].differ
        and profiles[plan.column.name].present >= FEWEST_TO_DIFFER
        and not plan.column.shape
        and not (plan is target and task is Task.REGRESSION)
    )
    unit = None if selection.unit is None else (selection.places[selection.unit], selection.unit)
    notes = (*((note,) if note else ()), *_unmet(terms, profiles.values()))
    own = None if tokenizer is None else tokenizer.terms
    return Schema(tuple(plans), selection.target, task, unit, terms.markers, differing, notes, own)


def _unmet(terms: ReadingTerms, profiles: Collection[Profile]) -> list[str]:
    """Sentences about texts that were said to mean a missing cell, and that no cell has."""
    cells = [text for profile in profiles for text in profile.met]
    return [
        f"no cell is {marker!r:.80}, which is said to mean a missing one"
        for marker in terms.missing
        if not texts.missing(cells, frozenset([marker.strip().lower()]), any(each.comma for each in profiles))
    ]


def _cells_of_text(
    free_texts: Sequence[str], selection: Selection, terms: ReadingTerms, tokenizer: Tokenizer | None
) -> tuple[str, int]:
    """What cells of free text become: the digest of their tokenizer, and how many tokens.

    Raises:
        InputRefused: there are some and no tokenizer, or a tokenizer and none; one is left out or
            is the target; the tokenizer leaves no room for a text's own tokens.
    """
    if tokenizer is None or terms.tokenizing is None:
        if free_texts:
            raise InputRefused(
                f"the column {free_texts[0]!r} is free text, and no tokenizer is named that reads it",
                "name one (--tokenizer tokenizer.json)",
            )
        return "", 0
    if not free_texts:
        raise InputRefused("a tokenizer is named, and no column of free text", "name the column (--text note)")
    for name in free_texts:
        if name == selection.target or name not in selection.places or name == selection.unit:
            what = "the target" if name == selection.target else "left out of the records"
            raise InputRefused(f"the column {name!r} is named as free text, and is {what}", "choose one of the two")
    if (length := terms.tokenizing.length) <= tokenizer.around:
        raise InputRefused(
            f"the tokenizer puts {tokenizer.around} tokens around each text, and a record holds {length}",
            "give a text more room (--length 128)",
        )
    return str(tokenizer.terms.digest), length


def _by_name(source: Source, said: Mapping[str, Said], selection: Selection, what: str) -> dict[str, Said]:
    """What was said of columns, by the names that they have in the table.

    Raises:
        InputRefused: one of them is not there, or is left out.
    """
    by_name = dict[str, Said]()
    for wanted, value in said.items():
        (position,) = find_column(source.names, wanted, f"the column {what}")
        name = source.names[position]
        if selection.places.get(name) != position or name == selection.unit:
            raise InputRefused(
                f"the column {name!r:.80} {what} is left out of the records", "leave out the one or the other"
            )
        if name in by_name:
            raise InputRefused(f"the column {name!r:.80} {what} is named twice", "name it once")
        by_name[name] = value
    return by_name


@dataclass(frozen=True)
class _Decider:
    """Decides what one column is, or notes why it cannot be used."""

    name: str
    profile: Profile
    refusals: Refusals
    is_target: bool
    kind: Kind | None
    categories: Classes | None

    @property
    def texts(self) -> tuple[str, ...]:
        """The categories that there may be, where they are texts: those of a feature are, and
        those of a column that is said to be one of categories."""
        as_texts = self.kind is Kind.CATEGORY or (self.kind is None and not self.is_target)
        return tuple(str(each) for each in self.categories or () if as_texts or isinstance(each, str))

    @property
    def numbers(self) -> tuple[int, ...]:
        """The classes that there may be, where they are whole numbers."""
        return () if self.texts else tuple(each for each in self.categories or () if isinstance(each, int))

    def plan(self, position: int) -> ColumnPlan | None:
        """The plan; None where the column cannot be used, which is noted."""
        profile = self.profile
        if self.categories and not self._admits_categories():
            return None
        if not profile.present:
            self._refuse("no record has a value", f"leave it out (--drop {self.name!r})")
            return None
        if self.is_target and profile.missing.count:
            met = ", ".join(repr(marker) for marker in list(profile.met)[:3]) or "nothing"
            keep = next(
                (f"; --keep {marker!r} takes it as a class of that name" for marker in profile.met if marker), ""
            )
            self._note(
                f"the cell is missing ({met})",
                f"fill the target's cells, or leave those records out{keep}",
                profile.missing,
            )
        if profile.typed is not None:
            return self._typed_plan(position, profile.typed)
        if (kind := self._kind()) is None:
            return None
        if kind is Kind.CATEGORY:
            return self._category_plan(position)
        unit = ""
        if kind is Kind.TIME:
            if len(profile.offsets) > 1:
                self._refuse("some times say their offset from UTC, and some do not", "write all of them in one way")
                return None
            unit = texts.unit_text(max(profile.time_units, key=list(texts.TIME_UNITS).index))
        dtype = {Kind.NUMBER: "float64", Kind.BOOLEAN: "bool"}.get(kind, "int64")
        column = Column(self.name, dtype, (), unit, kind)
        return ColumnPlan(position, column, (), bool(profile.missing.count), self.numbers)

    def _admits_categories(self) -> bool:
        """Whether a column of the kind that was asked for can have the categories that are named."""
        kinds = (Kind.CATEGORY, None) if self.texts else (Kind.NUMBER, Kind.WHOLE, None)
        if self.kind not in kinds:
            self._refuse(
                f"its categories are named, and a {self.kind} has none of these", "leave out the one or the other"
            )
        return self.kind in kinds

    def text_plan(self, position: int, digest: str, length: int) -> ColumnPlan | None:
        """The plan of a column of free text; None where no record has one, or categories are asked
        for, which is noted."""
        if self.categories and not self._admits_categories():
            return None
        if not self.profile.present:
            self._refuse("no record has a value", f"leave it out (--drop {self.name!r})")
            return None
        column = Column(self.name, "int64", (length,), digest, Kind.TOKENS)
        return ColumnPlan(position, column, (), bool(self.profile.missing.count))

    def _refuse(self, reason: str, advice: str) -> None:
        self._note(reason, advice, BadCells())

    def _note(self, reason: str, advice: str, cells: BadCells) -> None:
        self.refusals.note(self.name, reason, advice, cells)

    def _kind(self) -> Kind | None:
        """The kind that was asked for, or that all cells bear out; None where they bear out none
        that could be used, which is noted."""
        profile = self.profile
        if self.kind is not None or self.texts:
            kind = self.kind or Kind.CATEGORY
            return kind if self._bears_out(kind) else None
        if self.numbers:
            kind = Kind.WHOLE if profile.is_all(Kind.WHOLE) else Kind.NUMBER
            return kind if self._bears_out(kind) else None
        if profile.is_all(Kind.BOOLEAN):
            return Kind.BOOLEAN
        if profile.is_all(Kind.NUMBER):
            return self._kind_of_numbers()
        if profile.is_all(Kind.TIME):
            return Kind.TIME
        return None if self._most_are_numbers_or_times() else Kind.CATEGORY

    def _most_are_numbers_or_times(self) -> bool:
        """Whether most cells are numbers or times, or are meant as such, and some are none that
        could be read; which is noted."""
        profile, half = self.profile, self.profile.present / 2
        others, strays = profile.other_numbers, profile.refuted[Kind.NUMBER]
        numbers = profile.present - strays.count
        as_category = f"--kind {self.name!r}=category takes all as categories"
        if others.count and numbers + others.count > half:
            advice = "write 1234.5, without groups, percent and currency; --decimal comma reads 1234,5"
            self._note(
                "the cell is a number that is written in another way, or too large", f"{advice}; {as_category}", others
            )
        elif not self.is_target and numbers > half:
            advice = f"mend them; --missing TEXT means a missing cell; {as_category}"
            self._note("the cell is a text, and most are numbers", advice, strays)
        elif profile.present - profile.no_times.count + profile.other_dates.count > half:
            advice = "write 2026-11-27, or 2026-11-27T14:00:00; in which order day and month stand is not guessed"
            self._note(
                "the cell is no time of ISO 8601, and most are times", f"{advice}; {as_category}", profile.no_times
            )
        else:
            return False
        return True

    def _kind_of_numbers(self) -> Kind | None:
        profile = self.profile
        as_category = (
            f"leave it out if it identifies people (--drop {self.name!r}), or take it as categories"
            f" (--kind {self.name!r}=category)"
        )
        if profile.padded.count:
            if self.is_target:
                return Kind.CATEGORY
            self._note("a number with leading zeros is a code, and 007 is not 7", as_category, profile.padded)
            return None
        if profile.is_all(Kind.WHOLE):
            if not profile.beyond:
                return Kind.WHOLE
            if self.is_target:  # codes, which stay apart as texts
                return Kind.CATEGORY
            self._refuse("it has whole numbers beyond 2**53, which no model would tell apart", as_category)
            return None
        return Kind.NUMBER if self._keeps_digits(as_category) else None

    def _keeps_digits(self, advice: str) -> bool:
        if self.profile.lost.count:
            self._note("a double does not hold all digits of the cell", advice, self.profile.lost)
        return not self.profile.lost.count

    def _bears_out(self, kind: Kind) -> bool:
        """Whether all cells are of the kind that was asked for; else that is noted."""
        profile = self.profile
        if kind is Kind.CATEGORY:
            return True
        if kind in (Kind.TOKENS, Kind.MISSING):
            self._refuse(f"no text is read as {kind}", f"choose one of {', '.join(TEXT_KINDS)}, {Kind.CATEGORY}")
            return False
        if not profile.is_all(kind):
            self._note(f"the cell is no {KIND_WORDS[kind]}", "mend it, or leave --kind out", profile.refuted[kind])
            return False
        if kind is Kind.WHOLE and profile.largest >= 1 << 63:
            self._refuse(
                "it has whole numbers beyond 64 bits", f"take them as categories (--kind {self.name!r}=category)"
            )
            return False
        return kind is not Kind.NUMBER or self._keeps_digits("round them, or take them as categories")

    def _category_plan(self, position: int) -> ColumnPlan | None:
        profile, declared = self.profile, self.texts
        if not declared and profile.distinct is None:
            self._refuse(
                f"it has more than {MOST_CATEGORIES} categories",
                f"leave it out (--drop {self.name!r}), as what identifies people has to be; free text is read through a"
                f" tokenizer (--text {self.name!r})",
            )
            return None
        admitted = tuple(sorted(set(declared or profile.distinct or ())))
        if alike := len(admitted) - len(set(map(texts.visible, admitted))):
            self._refuse(
                f"{alike} of its categories can not be told from another by what is seen of them",
                "write them in one way: composed letters, single blanks, no invisible characters",
            )
            return None
        if profile.missing.count and not self.is_target and MISSING_CATEGORY not in admitted:
            admitted = tuple(sorted((*admitted, MISSING_CATEGORY)))
        return ColumnPlan(position, Column(self.name, "int64", (), "", Kind.CATEGORY), admitted)

    def _typed_plan(self, position: int, typed: Typed) -> ColumnPlan | None:
        profile, values = self.profile, typed.values
        if profile.infinite.count:
            self._note("the cell is not finite", "fill or leave out such records", profile.infinite)
            return None
        if self.kind is Kind.CATEGORY or self.texts:
            if values.ndim > 1 or values.dtype.kind == "f":
                self._refuse(
                    f"categories are texts or whole numbers, not {values.dtype} of shape {values.shape[1:]}", ""
                )
                return None
            return self._category_plan(position)
        shape = values.shape[1:]
        if self.is_target and shape == (1,):  # labels as some collections have them, a column of one
            shape = ()
        if self.texts:
            self._refuse("it holds numbers, and its categories are texts", "name whole numbers")
            return None
        kind = Kind.TIME if typed.unit else Kind.of_dtype(values.dtype.name)
        if self.kind not in (None, kind):
            self._refuse(f"it holds {values.dtype}, which is no {self.kind}", "leave --kind out")
            return None
        if kind is Kind.WHOLE and (profile.largest >= 1 << 63 if self.is_target else profile.beyond):
            self._note(
                f"the cell is a whole number beyond {'64 bits' if self.is_target else '2**53'}, which no model would"
                " tell apart",
                f"leave it out if it identifies people (--drop {self.name!r}), or take it as categories"
                f" (--kind {self.name!r}=category)",
                profile.far,
            )
            return None
        unit = texts.unit_text(typed.unit) if typed.unit else ""
        column = Column(self.name, values.dtype.name, shape, unit, kind)
        return ColumnPlan(position, column, (), bool(profile.missing.count), self.numbers)


FEWEST_TO_DIFFER = 20
"""Of so many records each having another value is no chance any more."""
CLASSES_BY_DEFAULT = 100
"""So many different whole numbers, without a gap from 0 or 1 on, are taken for classes."""


def guess_task(column: Column, array: Array) -> Task:
    """What a target of an array `[count, *shape]` is predicted as, where nobody said it."""
    profile = Profile(frozenset())
    profile.add(Typed(array), range(len(array)))
    return _task(ColumnPlan(0, column), profile, None, Refusals("record"))[0]


def _task(target: ColumnPlan, profile: Profile, asked: Task | None, refusals: Refusals) -> tuple[Task, str]:
    """What the target is predicted as, and a sentence where that is a guess."""
    # What no task could use is noted first; a guess follows from the kind and, of numbers, from how
    # they are numbered; what was asked for is compared with both.
    name, kind = target.column.name, target.column.kind
    classes = _class_numbers(profile) if kind in (Kind.WHOLE, Kind.NUMBER) and not target.column.shape else None
    if profile.beyond and kind is Kind.WHOLE:
        advice = f"take them as classes that are texts (--kind {name!r}=category)"
        refusals.note(name, "it has whole numbers beyond 2**53, which no model would tell apart", advice, BadCells())
    if asked is None:
        if kind in (Kind.CATEGORY, Kind.BOOLEAN) and not target.column.shape:
            return Task.CLASSIFICATION, ""
        if target.column.shape:
            note = f"the target {name!r} is taken for amounts, though all are 0 or 1; --task multi-label takes them"
            note += " for labels, of which each is there or not"
            is_labels = kind is Kind.BOOLEAN
            return (Task.MULTI_LABEL, "") if is_labels else (Task.REGRESSION, note if profile.is_binary else "")
        if classes is None:
            return Task.REGRESSION, ""
        if _look_like_classes(classes):
            return Task.CLASSIFICATION, (
                f"the target {name!r} is taken for {len(classes)} classes, by its numbers {_span(classes)}; "
                "--task regression predicts it as an amount"
            )
        return Task.REGRESSION, (
            f"the target {name!r} is taken for an amount: its {len(classes)} whole numbers {_span(classes)} are not"
            " numbered like classes; --task classification predicts them as classes"
        )
    if asked is Task.REGRESSION and kind in (Kind.CATEGORY, Kind.BOOLEAN):
        refusals.note(name, "an amount is a number, and the target holds texts", "leave --task out", BadCells())
    has_classes = classes is not None or kind in (Kind.CATEGORY, Kind.BOOLEAN)
    if asked is Task.CLASSIFICATION and not target.column.shape and not has_classes:
        reason = f"classes are at most {MOST_CATEGORIES} whole numbers or texts"
        refusals.note(name, reason, f"take its cells as texts (--kind {name!r}=category)", BadCells())
    if (asked is Task.MULTI_LABEL) != bool(target.column.shape and asked is not Task.REGRESSION):
        refusals.note(name, "labels of which each is there or not are an array", "leave --task out", BadCells())
    elif asked is Task.MULTI_LABEL and not profile.is_binary:
        refusals.note(name, "labels are there or not, 1 or 0, and it has other numbers", "leave --task out", BadCells())
    return asked, ""


def _class_numbers(profile: Profile) -> list[int] | None:
    """The different whole numbers of a target, rising; None where one is not whole, or beyond what
    a card can name, or they are too many."""
    if profile.distinct is None:
        return None
    as_numbers = texts.with_point(sorted(profile.distinct)) if profile.comma else profile.distinct
    numbers = {int(each) if texts.is_whole(each) else float(each) for each in as_numbers}
    whole = all(number == int(number) and abs(number) < texts.EXACT_WHOLE for number in numbers)
    return sorted(map(int, numbers)) if whole else None


def _look_like_classes(numbers: Sequence[int]) -> bool:
    """Whether whole numbers are numbered as classes are: two of them, or without a gap from 0 or
    1 on."""
    if len(numbers) <= 2:
        return True
    return len(numbers) <= CLASSES_BY_DEFAULT and numbers[0] in (0, 1) and numbers[-1] - numbers[0] == len(numbers) - 1


def _span(numbers: Sequence[int]) -> str:
    return " and ".join(map(str, numbers)) if len(numbers) <= 2 else f"{numbers[0]} to {numbers[-1]}"
