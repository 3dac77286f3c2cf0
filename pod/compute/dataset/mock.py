"""Mock data: a table of the same schema on which anyone can rehearse a job.

It is drawn from what is public already or says next to nothing, and so that a job fails on it where
it would fail on the records: numbers stay within the card's range, or within some deviations of its
mean; every class and every category occurs. Where the card has no constants of a column, the range
goes from its smallest to its largest value, rounded outwards to one digit; of arrays of whole
numbers, which are codes as a rule, it is those two themselves. No number is below zero where no
cell of its column is, or above where none is. No quantile and no joint statistic enters it. A drawn
number that happens to equal a real cell of its column is drawn again, for columns of real numbers;
integers and truth values are drawn without looking.

Where units of privacy have several records, a made-up unit has as many as one has on average.

Beside a privacy budget even that is too much: what is published then is drawn from the card alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.card import Card, outward_range
from fitchain.pod.compute.dataset.columns import Array, Column, Kind
from fitchain.pod.compute.dataset.table import Table
from fitchain.pod.compute.dataset.units import FILLED
from fitchain.pod.values.errors import InputRefused

MOST_REDRAWS, MOST_PASSES = 100, 6
"""How often numbers are drawn again, and how often of those all columns are gone through for it."""
SPREAD = 2.0  # a range from constants: mean - 2 scale to mean + 2 scale
MOST_NEAR = 1 << 16
"""Numbers that may be equal to a drawn one and are compared at once."""
MISSING_SHARE = 0.1
"""The share of mock cells that are missing in a column whose cells may be."""


def mock_table(card: Card, table: Table, count: int, key: bytes, of_card_alone: bool = False) -> Table:
    """Draw mock records.

    Args:
        card: the dataset's.
        table: the real records: their coarse ranges, and the cells that must not be copied.
        count: how many records to draw at least: more where there are more categories, or as units
            are whole by.
        key: secret bytes; the same key draws the same records.
        of_card_alone: whether the records are not looked at.

    Returns:
        A table of the card's schema, marked as mock.

    Raises:
        InputRefused: no record is asked for, the card and the table differ, or the card alone does
            not say from which range a column is drawn.
    """
    if count < 1:
        raise InputRefused(f"mock data has at least one record, not {count}")
    if of_card_alone:
        _require_ranges(card)
    arrays, ranges = dict[str, Array](), dict[str, tuple[float, float]]()
    randoms = dict[str, np.random.Generator]()
    real: Mapping[str, tuple[Any, Any]] = {} if of_card_alone else _bounds_of(table)
    most = max(len(_categories_of(card, column.name)) for column in card.columns)
    count = max(count, most)
    count += -count % (card.unit_records or 1)
    for column in card.columns:
        if card.unit is not None and column.name == FILLED:
            usual = -(-card.unit.records // card.unit_count)
            arrays[FILLED] = np.arange(count) % card.unit.most_records < usual
            continue
        seed = hashlib.sha256(b"fitchain/mock/v2" + key + column.name.encode()).digest()
        random = np.random.Generator(np.random.Philox(int.from_bytes(seed[:16], "big")))
        drawn = _draw_truth(column, card, count, random)
        if drawn is None and of_card_alone:
            drawn = _even(column, _range_of(card.transform[column.name]), count, random)
        elif drawn is None and column.integral:
            drawn = _even(column, _limits(column, card, *real[column.name]), count, random)
        elif drawn is None:
            low, high = ranges[column.name] = _limits(column, card, *real[column.name])
            drawn = random.uniform(low, high, (count, *column.shape)).astype(table.arrays[column.name].dtype)
            randoms[column.name] = random
        arrays[column.name] = drawn
    _draw_equal_again(table, arrays, ranges, randoms)
    mock = Table.of(arrays, card.target, table.categories, mock=True)
    return replace(mock, columns=table.columns, task=card.task)


def _draw_truth(column: Column, card: Card, count: int, random: np.random.Generator) -> Array | None:
    """What is drawn without a range: categories and groups, each of them at least once, and truth
    values; None for numbers."""
    if categories := _categories_of(card, column.name):
        places = random.permutation(np.concatenate([np.arange(len(categories)), _places(categories, count, random)]))
        values = places if isinstance(categories[0], str) else np.array(categories)[places]
        return values.astype(np.dtype(column.dtype))
    if column.kind is Kind.MISSING:
        return random.permutation(np.arange(count) < max(1, round(MISSING_SHARE * count)))
    if column.kind is Kind.BOOLEAN:
        return random.integers(0, 2, (count, *column.shape)).astype(np.bool_)
    return None


def _categories_of(card: Card, name: str) -> Sequence[Any]:
    """A column's categories, or the groups that are public of it, of which each has many
    records."""
    categories: Sequence[Any] = card.transform.get(name, {}).get("categories", ())
    return categories or (card.subgroups[name].groups if name in card.subgroups else ())


def _places(categories: Sequence[Any], count: int, random: np.random.Generator) -> Array:
    return random.integers(0, len(categories), count - len(categories))


def _require_ranges(card: Card) -> None:
    """Refuse a card that says of a column of numbers neither range nor categories.

    Raises:
        InputRefused: it does; all such columns are named.
    """
    numbers = [column for column in card.columns if column.dtype != "bool"]
    bare = [each.name for each in numbers if not (card.transform.get(each.name) or _categories_of(card, each.name))]
    if bare:
        which = f"columns {', '.join(map(repr, bare))}" if len(bare) > 1 else f"column {bare[0]!r}"
        whose = "their real ranges" if len(bare) > 1 else "its real range"
        options = " ".join(f"--range {name}=LOW:HIGH" for name in bare)
        raise InputRefused(
            f"mock data of the {which} would be drawn from {whose}, which no budget covers",
            f"give each one ({options}), or publish no mock data (--mock-records 0)",
        )


def _bounds_of(table: Table) -> Mapping[str, tuple[Any, Any]]:
    """The least and the largest cell of each column of numbers."""
    if table.rows is not None and table.rows.bounds is not None:
        return table.rows.bounds
    names = [column.name for column in table.columns if column.kind not in (Kind.BOOLEAN, Kind.MISSING)]
    bounds = dict[str, tuple[Any, Any]]()
    for part in table.parts():
        for name in names:
            cells = table.arrays[name][part]
            low, high = bounds.get(name, (cells.flat[0], cells.flat[0]))
            bounds[name] = min(low, cells.min()), max(high, cells.max())
    return bounds


def _limits(column: Column, card: Card, least: Any, largest: Any) -> tuple[float, float]:
    """Between which numbers those of a column are drawn, of which the real ones are known."""
    constants = card.transform.get(column.name, {})
    if column.shape and column.integral and "low" not in constants:
        low, high = float(least), float(largest)
    elif constants:
        low, high = _range_of(constants)
    else:
        low, high = outward_range(float(least), float(largest))
    if "low" not in constants:
        low, high = (max(low, 0.0) if least >= 0 else low), (min(high, 0.0) if largest <= 0 else high)
    if column.integral:
        return low, high
    most = float(np.finfo(np.dtype(column.dtype)).max) / 4  # so that the range's width is finite too
    return max(-most, min(low, most)), max(-most, min(high, most))


def _even(column: Column, limits: tuple[float, float], count: int, random: np.random.Generator) -> Array:
    """Draw evenly between two numbers; of whole numbers both of them occur."""
    (low, high), shape = limits, (count, *column.shape)
    dtype = np.dtype(column.dtype)
    if not column.integral:
        return (low + (high - low) * random.random(shape)).astype(dtype)
    bounds = np.iinfo(dtype)
    first, last = (max(bounds.min, min(bounds.max, int(number))) for number in (math.ceil(low), math.floor(high)))
    drawn = random.integers(min(first, last), last, shape, dtype=dtype.type, endpoint=True)
    ends = drawn.reshape(count, -1)
    ends[0, 0], ends[-1, -1] = first, last
    return drawn


def _range_of(constants: Mapping[str, Any]) -> tuple[float, float]:
    if "low" in constants:
        return float(constants["low"]), float(constants["high"])
    mean, scale = float(constants["mean"]), float(constants["scale"])
    return mean - SPREAD * scale, mean + SPREAD * scale


def _draw_equal_again(
    table: Table,
    arrays: dict[str, Array],
    ranges: Mapping[str, tuple[float, float]],
    randoms: Mapping[str, np.random.Generator],
) -> None:
    """Draw those numbers again that are real cells of their column; all columns are looked through
    together."""
    sieves = {name: _Sieve(arrays[name]) for name in ranges}
    for _ in range(MOST_PASSES):
        for part in table.parts() if sieves else ():
            for name, sieve in sieves.items():
                sieve.look(table.arrays[name][part])
        equal = {name: where for name, sieve in sieves.items() if (where := sieve.equal()).any()}
        if not equal:
            return
        for name, where in equal.items():
            _draw_anew(arrays[name], where, ranges[name], randoms[name])
        sieves = {name: _Sieve(arrays[name]) for name in equal}
    for name in sieves:  # they are dense
        real = np.asarray(table.arrays[name])
        arrays[name] = _draw_unlike(real, arrays[name], ranges[name], randoms[name])


def _draw_anew(drawn: Array, where: Array, limits: tuple[float, float], random: np.random.Generator) -> None:
    drawn[where] = random.uniform(*limits, int(where.sum())).astype(drawn.dtype)


class _Sieve:
    """Finds out whether one of a few numbers is among very many, most of which fall through a table
    of 65536 bits at once.

    Args:
        drawn: the few.
    """

    def __init__(self, drawn: Array) -> None:
        self.drawn, self._near, self._count = drawn, list[Array](), 0
        self._equal = np.zeros(drawn.shape, np.bool_)
        self._marked = np.zeros(1 << 16, np.bool_)
        self._marked[_sixteen_bits(drawn)] = True

    def look(self, cells: Array) -> None:
        """Compare some of the many."""
        near = cells.ravel()[self._marked[_sixteen_bits(cells)]]
        self._near.append(near)
        self._count += near.size
        if self._count > MOST_NEAR:
            self.equal()

    def equal(self) -> Array:
        """Which of the few were among those that were looked at."""
        if self._near:
            self._equal |= np.isin(self.drawn, np.concatenate(self._near))
        self._near, self._count = [], 0
        return self._equal


def _sixteen_bits(numbers: Array) -> Array:
    """Of each number 16 bits that are equal where the numbers are (Knuth, The Art of Computer
    Programming, 6.4: multiplicative hashing)."""
    plain = (numbers + numbers.dtype.type(0)).ravel()  # -0 is 0
    bits = plain.view(np.uint32 if plain.itemsize == 4 else np.uint64).astype(np.uint64)
    mixed: Array = (bits * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(48)
    return mixed


def _draw_unlike(real: Array, drawn: Array, limits: tuple[float, float], random: np.random.Generator) -> Array:
    """Draw numbers between low and high again until none is a real cell.

    Where nearly every number that the dtype has there is one, each draw that still is goes up to
    the next that is none, beyond the range if need be: there are more numbers than cells.
    """
    for _ in range(MOST_REDRAWS - MOST_PASSES):
        if not (same := np.isin(drawn, real)).any():
            return drawn
        _draw_anew(drawn, same, limits, random)
    cells = np.unique(real)
    above = np.nextafter(cells, np.array(np.inf, real.dtype))
    free = np.sort(above[~np.isin(above, cells)])  # the number after each run of neighbours
    same = np.isin(drawn, cells)
    drawn[same] = free[np.searchsorted(free, drawn[same], "right")]
    return drawn
