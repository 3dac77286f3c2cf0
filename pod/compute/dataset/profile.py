"""Profiles: what all the cells of a column are, as far as they were looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from fitchain.pod.compute.dataset import cells as texts
from fitchain.pod.compute.dataset.columns import ADMITTED, DTYPES, Array, Kind
from fitchain.pod.compute.dataset.source import BadCells, Cells, Typed, missing_of
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.terms import MOST_CATEGORIES


class Profile:
    """What was seen of a column's cells so far.

    Args:
        markers: texts that mean that a cell is missing, in lower case.
        asked: the kind that its owner says the column is; None where all cells say it. Cells that
            are not of that kind are all counted.
    """

    def __init__(self, markers: frozenset[str], asked: Kind | None = None) -> None:
        self.markers, self.asked = markers, asked
        self.count = 0
        self.missing, self.met = BadCells(), dict[str, None]()
        self.refuted: dict[Kind, BadCells] = {kind: BadCells() for kind in TEXT_KINDS}
        self.padded, self.lost = BadCells(), BadCells()
        self.other_numbers, self.other_dates, self.no_times = BadCells(), BadCells(), BadCells()
        self.distinct: set[str] | None = set()
        self._repeats = Repeats()
        self.is_binary = True
        self.largest = 0
        self.time_units, self.offsets = set[str](), set[bool]()
        self.typed: Typed | None = None
        self.comma = False
        self.infinite, self.far = BadCells(), BadCells()

    @property
    def present(self) -> int:
        """Cells that are not missing."""
        return self.count - self.missing.count

    @property
    def beyond(self) -> bool:
        """Whether a whole number is beyond those that a double tells apart."""
        return self.largest > texts.EXACT_WHOLE

    @property
    def differ(self) -> bool:
        """Whether no two cells that are there have the same value."""
        return len(self.distinct) == self.present if self.distinct is not None else self._repeats.differ

    def is_all(self, kind: Kind) -> bool:
        """Whether each cell that is there may be of a kind."""
        return not self.refuted[kind].count

    def add(self, cells: Cells, places: Sequence[int], comma: bool = False) -> None:
        """Look at more cells.

        Args:
            cells: of the column.
            places: of each.
            comma: whether numbers in texts have a decimal comma.

        Raises:
            InputRefused: they have a type that no table has.
        """
        self.count += len(places)
        self.comma = self.comma or comma
        if isinstance(cells, Typed):
            self._add_typed(cells, places)
        else:
            self._add_texts(texts.clean(cells), places, comma)

    def _add_texts(self, all_texts: list[str], places: Sequence[int], comma: bool) -> None:
        gone = texts.missing(all_texts, self.markers, comma)
        if gone:
            self.missing.add([places[position] for position in gone])
            self.met |= dict.fromkeys(all_texts[position] for position in gone)
            left = sorted(set(range(len(all_texts))) - set(gone))
            all_texts, places = [all_texts[position] for position in left], [places[position] for position in left]
        if not all_texts or self.asked is Kind.TOKENS:  # nothing else is looked for, and none is kept
            return
        self._count_distinct(all_texts)
        as_numbers = texts.with_point(all_texts) if comma else all_texts
        for kind, look in self._looks.items():
            if not self.refuted[kind].count or kind in (Kind.NUMBER, self.asked):
                look(self, as_numbers if kind in (Kind.NUMBER, Kind.WHOLE) else all_texts, places)

    def _count_distinct(self, all_texts: list[str]) -> None:
        if self.distinct is None:
            return
        self.distinct.update(all_texts)
        if len(self.distinct) > MOST_CATEGORIES:
            self.distinct = None

    def _look_for_numbers(self, all_texts: list[str], places: Sequence[int]) -> None:
        numbers = texts.as_numbers(all_texts)
        if numbers is None:
            kept = []
            for each, position in zip(all_texts, places, strict=True):
                if texts.is_number(each):
                    kept.append((each, position))
                else:
                    self._look_at_text(each, position)
            if not kept:
                return
            all_texts, places = (list(each) for each in zip(*kept, strict=True))
            numbers = texts.as_numbers(all_texts)
            assert numbers is not None
        self.no_times.add(places)
        whole = texts.as_whole(all_texts)
        if whole is not None:
            self._repeats.add(whole)
        lost = [] if whole is not None else texts.lost(all_texts, numbers)
        self.lost.add([places[position] for position in lost])
        if whole is not None:
            self.largest = max(self.largest, -int(whole.min()), int(whole.max()))
        elif self.is_all(Kind.WHOLE) and all(map(texts.is_whole, all_texts)):
            self.largest = 1 << 64
        self.padded.add([places[position] for position in texts.padded(all_texts)])

    def _look_at_text(self, text: str, position: int) -> None:
        self.refuted[Kind.NUMBER].add([position])
        look = texts.look_of(text)
        if look is not texts.Look.TIME:
            self.no_times.add([position])
        if look is texts.Look.OTHER_NUMBER:
            self.other_numbers.add([position])
        elif look is texts.Look.OTHER_DATE:
            self.other_dates.add([position])

    def _look_for_whole(self, all_texts: list[str], places: Sequence[int]) -> None:
        if texts.as_whole(all_texts) is None:
            self._refute(Kind.WHOLE, all_texts, places, texts.is_whole)

    def _look_for_truth(self, all_texts: list[str], places: Sequence[int]) -> None:
        self._refute(Kind.BOOLEAN, all_texts, places, lambda each: texts.as_truth([each]) is not None)

    def _look_for_times(self, all_texts: list[str], places: Sequence[int]) -> None:
        units = [texts.time_unit(each) for each in all_texts]
        self._refute(
            Kind.TIME,
            all_texts,
            places,
            lambda each: (unit := texts.time_unit(each)) is not None and texts.as_times([each], unit[0]) is not None,
        )
        for unit in units:
            if unit is not None:
                self.time_units.add(unit[0])
                self.offsets.add(unit[1])

    def _refute(self, kind: Kind, all_texts: list[str], places: Sequence[int], is_one: Any) -> None:
        self.refuted[kind].add([position for each, position in zip(all_texts, places, strict=True) if not is_one(each)])

    _looks: ClassVar[Mapping[Kind, Callable[[Profile, list[str], Sequence[int]], None]]] = {
        Kind.NUMBER: _look_for_numbers,
        Kind.WHOLE: _look_for_whole,
        Kind.BOOLEAN: _look_for_truth,
        Kind.TIME: _look_for_times,
    }

    def _add_typed(self, typed: Typed, places: Sequence[int]) -> None:
        values = typed.values
        if (values.dtype.kind, values.dtype.itemsize) not in ADMITTED:
            raise InputRefused(f"it holds {values.dtype}, not one of {', '.join(DTYPES)}")
        if self.typed is not None and (self.typed.values.shape[1:], self.typed.values.dtype, self.typed.unit) != (
            values.shape[1:],
            values.dtype,
            typed.unit,
        ):
            raise InputRefused("its cells change their type or shape on the way")
        self.typed = self.typed or replace(typed, values=values[:1].copy(), missing=None)
        gone = missing_of(typed)
        present = values
        if gone.any():
            self.missing.add([places[position] for position in np.flatnonzero(gone).tolist()])
            present = values[~gone]
        if values.dtype.kind == "f":
            finite = np.isfinite(present)
            if not finite.all():
                bad = ~finite.reshape(len(present), -1).all(1)
                self.infinite.add([places[position] for position in np.flatnonzero(~gone)[bad].tolist()])
        elif values.dtype.kind in "iu" and present.size:
            self.largest = max(self.largest, -int(present.min()), int(present.max()))
            if values.ndim == 1:
                self._repeats.add(present.astype(np.int64))
            if self.beyond:
                far = ((present > texts.EXACT_WHOLE) | (present < -texts.EXACT_WHOLE)).reshape(len(present), -1).any(1)
                self.far.add([places[position] for position in np.flatnonzero(~gone)[far].tolist()])
        self.is_binary = self.is_binary and bool(((present == 0) | (present == 1)).all())
        if values.ndim == 1 or values.shape[1:] == (1,):
            self._count_different(present.ravel())

    def _count_different(self, values: Array) -> None:
        """As `_count_distinct`, of the values' texts, of which each is made once: numbers have the
        same text where they have the same bits."""
        if self.distinct is not None:
            different = np.unique(values.view(f"u{values.itemsize}")).view(values.dtype)
            self._count_distinct([str(each) for each in different.tolist()])


class Repeats:
    """Whether a whole number occurs twice, found in bounded memory.

    Of many different numbers a part is looked at: those whose mixed bits are the smallest, so that
    which they are depends on the numbers, and not on their order.
    """

    def __init__(self, most: int = MOST_CATEGORIES) -> None:
        self.most = most
        self._kept, self._twice = np.zeros(0, np.uint64), 1 << 64

    def add(self, numbers: Array) -> None:
        """Look at more whole numbers, int64."""
        mixed = _mixed(numbers)
        if len(self._kept) == self.most:
            mixed = mixed[mixed <= self._kept[-1]]
        merged, counts = np.unique(np.concatenate([self._kept, mixed]), return_counts=True)
        self._kept = merged[: self.most]
        if (twice := merged[counts > 1]).size:
            self._twice = min(int(twice[0]), self._twice)

    @property
    def differ(self) -> bool:
        """Whether none of those that were looked at occurs twice."""
        return self._twice > (int(self._kept[-1]) if len(self._kept) == self.most else (1 << 64) - 1)


def _mixed(numbers: Array) -> Array:
    """Each number's bits mixed, one to one (Steele, Lea & Flood, Fast Splittable Pseudorandom
    Number Generators, 2014)."""
    mixed = numbers.astype(np.int64).view(np.uint64).copy()
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


TEXT_KINDS = (Kind.NUMBER, Kind.WHOLE, Kind.BOOLEAN, Kind.TIME)
