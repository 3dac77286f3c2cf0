"""Mock data: a table of the same schema on which anyone can rehearse a job.

It is drawn from what is public already or says next to nothing, and so that a job fails on it where
it would fail on the records: numbers stay within the card's range, or within some deviations of its
mean; every class and every category occurs, the last of them in the first record, which also has
the largest of whole numbers, so that a model that is one short fails in its first step; there are
more mock records than were asked for where there are more of these. Tokens are of the whole
vocabulary, and the largest and the pad occur again and again. Where the card has no constants of a
column, the range goes from its smallest to its largest value, rounded outwards to one digit; of
arrays of whole numbers, which are codes as a rule, it is those two themselves. No number is below
zero where no cell of its column is, or above where none is. No quantile and no joint statistic
enters it. A drawn number that happens to equal a real cell of its column is drawn again, for
columns of real numbers; integers and truth values are drawn without looking.

Where units of privacy have several records, a made-up unit has as many as one has on average.

Beside a privacy budget even that is too much: what is published then is drawn from the card alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.card import Card, outward_range
from fitchain.pod.compute.dataset.columns import Array, Column, Kind, missing_name
from fitchain.pod.compute.dataset.table import Table
from fitchain.pod.compute.dataset.tokenizer import TokenizerTerms
from fitchain.pod.compute.dataset.units import FILLED
from fitchain.pod.values.errors import InputRefused

Ranges = dict[str, tuple[float, float]]
MOST_REDRAWS, MOST_PASSES = 100, 6
"""How often numbers are drawn again, and how often of those all columns are gone through for it."""
SPREAD = 2.0  # a range from constants: mean - 2 scale to mean + 2 scale
FEWEST_TEXTS = 3
"""Mock records of texts: one may be missing, one has the largest token, one the pad."""
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
    real = {} if of_card_alone else _bounds_of(table, _numbers_of(table))
    most = max(len(card.options(column.name)) for column in card.columns)
    most = max(most, FEWEST_TEXTS if card.tokenizer is not None else 0)
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
            drawn = _even(column, mock_range(column, card.transform, *real[column.name]), count, random)
        elif drawn is None:
            limits = ranges[column.name] = mock_range(column, card.transform, *real[column.name])
            drawn = _uniform(limits, (count, *column.shape), table.arrays[column.name].dtype, random)
            randoms[column.name] = random
        arrays[column.name] = drawn
    _draw_equal_again(table, arrays, ranges, randoms)
    for column in card.columns:
        if column.kind is Kind.TOKENS and card.tokenizer is not None:
            _complete_texts(column.name, card.tokenizer.terms, table, arrays)
    mock = Table.of(arrays, card.target, table.categories, mock=True)
    return replace(mock, columns=table.columns, task=card.task)


def _draw_truth(column: Column, card: Card, count: int, random: np.random.Generator) -> Array | None:
    """What is drawn without a range: categories and groups, each of them at least once, and truth
    values; None for numbers."""
    if categories := card.options(column.name):
        places = random.permutation(np.concatenate([np.arange(len(categories)), _places(categories, count, random)]))
        _swap_first(places, len(categories) - 1)
        values = places if isinstance(categories[0], str) else np.array(categories)[places]
        return values.astype(np.dtype(column.dtype))
    if column.kind is Kind.MISSING:
        gone = random.permutation(np.arange(count) < max(1, round(MISSING_SHARE * count)))
        _swap_first(gone, False)
        return gone
    if column.kind is Kind.TOKENS and card.tokenizer is not None:
        return _draw_tokens(card.tokenizer.terms, column, count, random)
    if column.kind is Kind.BOOLEAN:
        return random.integers(0, 2, (count, *column.shape)).astype(np.bool_)
    return None


def _swap_first(values: Array, wanted: Any) -> None:
    """Let a value come first that is somewhere, unless it is nowhere."""
    if (places := np.flatnonzero(values == wanted)).size:
        values[[0, places[0]]] = values[[places[0], 0]]


def _draw_tokens(terms: TokenizerTerms, column: Column, count: int, random: np.random.Generator) -> Array:
    """Tokens of the whole vocabulary, in texts of all lengths, which the pad fills up."""
    (length,) = column.shape
    lengths = random.integers(1, length, count, endpoint=True)
    drawn = random.integers(0, terms.vocabulary, (count, length))
    return np.where(np.arange(length) < lengths[:, None], drawn, terms.pad)


def _complete_texts(name: str, terms: TokenizerTerms, table: Table, arrays: dict[str, Array]) -> None:
    """Let missing texts be what they are in the records, the tokens of the empty text; all others
    begin with the largest token, and each second one ends with the pad, so that whichever batch a
    rehearsal takes has both."""
    tokens, gone = arrays[name], arrays.get(missing_name(name), np.zeros(len(arrays[name]), np.bool_))
    real = table.arrays.get(missing_name(name))
    if real is not None and real.any():
        tokens[gone] = table.arrays[name][np.argmax(real)]  # of the tokenizer, and of no record
    present = np.flatnonzero(~gone)
    tokens[present, 0] = terms.vocabulary - 1
    tokens[present[1::2], -1] = terms.pad


def _places(categories: Sequence[Any], count: int, random: np.random.Generator) -> Array:
    return random.integers(0, len(categories), count - len(categories))


def _require_ranges(card: Card) -> None:
    """Refuse a card that says of a column of numbers neither range nor categories.

    Raises:
        InputRefused: it does; all such columns are named.
    """
    numbers = [column for column in card.columns if column.dtype != "bool" and column.kind is not Kind.TOKENS]
    bare = [
        each.name for each in numbers if not (tells_range(card.transform.get(each.name, {})) or card.options(each.name))
    ]
    if bare:
        which = f"columns {', '.join(map(repr, bare))}" if len(bare) > 1 else f"column {bare[0]!r}"
        whose = "their real ranges" if len(bare) > 1 else "its real range"
        options = " ".join(f"--range {name}=LOW:HIGH" for name in bare)
        raise InputRefused(
            f"mock data of the {which} would be drawn from {whose}, which no budget covers",
            f"give each one ({options}), or publish no mock data (--mock-records 0)",
        )


def mock_ranges(table: Table, transform: Mapping[str, Any], no_numbers: Container[str] = ()) -> Ranges:
    """What mock data tell of columns of numbers beside the card, and no privacy budget: between
    which numbers they are drawn, where that is no range of the card's.

    Args:
        table: the real records.
        transform: the card's constants.
        no_numbers: columns that are drawn otherwise, as groups.
    """
    columns = [
        column
        for column in _numbers_of(table)
        if not {"low", "categories"} & transform.get(column.name, {}).keys() and column.name not in no_numbers
    ]
    bounds = _bounds_of(table, columns)
    return {column.name: mock_range(column, transform, *bounds[column.name]) for column in columns}


def _numbers_of(table: Table) -> list[Column]:
    return [column for column in table.columns if column.kind not in (Kind.BOOLEAN, Kind.MISSING)]


def _bounds_of(table: Table, columns: Sequence[Column]) -> dict[str, tuple[Any, Any]]:
    """The least and the largest cell that is there, of some columns of numbers."""
    bounds = dict[str, tuple[Any, Any]]()
    if table.rows is not None and table.rows.bounds is not None:  # which count the zeros of missing cells
        bounds = {
            column.name: table.rows.bounds[column.name]
            for column in columns
            if missing_name(column.name) not in table.arrays
        }
    names = [column.name for column in columns if column.name not in bounds]
    for part in table.parts() if names else ():
        for name in names:
            cells, gone = table.arrays[name][part], table.arrays.get(missing_name(name))
            if (present := cells if gone is None else cells[~gone[part]]).size:
                low, high = bounds.get(name, (present.flat[0], present.flat[0]))
                bounds[name] = min(low, present.min()), max(high, present.max())
    return bounds


def tells_range(constants: Mapping[str, Any]) -> bool:
    """Whether a card's constants of a column say where its numbers lie. Those by which numbers
    enter as they are say nothing."""
    return "low" in constants or ("mean" in constants and (constants["mean"], constants["scale"]) != (0, 1))


def mock_range(column: Column, transform: Mapping[str, Any], least: Any, largest: Any) -> tuple[float, float]:
    """Between which numbers those of a column are drawn, beside no privacy budget.

    Args:
        column: of numbers.
        transform: the card's constants.
        least, largest: of the real cells that are there.
    """
    constants = transform.get(column.name, {})
    if "low" in constants:
        return _range_of(constants)
    if column.shape and column.integral:
        return float(least), float(largest)
    low, high = _range_of(constants) if tells_range(constants) else outward_range(float(least), float(largest))
    return (max(low, 0.0) if least >= 0 else low), (min(high, 0.0) if largest <= 0 else high)


def _even(column: Column, limits: tuple[float, float], count: int, random: np.random.Generator) -> Array:
    """Draw evenly between two numbers; of whole numbers both of them occur."""
    (low, high), shape = limits, (count, *column.shape)
    dtype = np.dtype(column.dtype)
    if not column.integral:
        return _uniform(limits, shape, dtype, random)
    bounds = np.iinfo(dtype)
    first, last = (max(bounds.min, min(bounds.max, int(number))) for number in (math.ceil(low), math.floor(high)))
    drawn = random.integers(min(first, last), last, shape, dtype=dtype.type, endpoint=True)
    ends = drawn.reshape(count, -1)
    ends[-1, -1], ends[0, 0] = first, last
    return drawn


def _range_of(constants: Mapping[str, Any]) -> tuple[float, float]:
    if "low" in constants:
        return float(constants["low"]), float(constants["high"])
    mean, scale = float(constants["mean"]), float(constants["scale"])
    return mean - SPREAD * scale, mean + SPREAD * scale


def _uniform(
    limits: tuple[float, float], shape: tuple[int, ...], dtype: np.dtype[Any], random: np.random.Generator
) -> Array:
    """Draw evenly between two numbers, however far they are from each other, as the dtype has
    them."""
    (low, high), most = limits, float(np.finfo(dtype).max)
    share = random.random(shape)
    with np.errstate(under="ignore"):
        drawn = low * (1 - share) + high * share
        return np.clip(drawn, max(low, -most), min(high, most)).astype(dtype)


def _draw_equal_again(
    table: Table,
    arrays: dict[str, Array],
    ranges: Mapping[str, tuple[float, float]],
    randoms: Mapping[str, np.random.Generator],
) -> None:
    """Draw those numbers again that are real cells of their column; all columns are looked through
    together."""
    for _ in range(MOST_PASSES):
        equal = {name: _Met(arrays[name]) for name in ranges}
        for part in table.parts() if equal else ():
            for name, met in equal.items():
                met.add(table.arrays[name][part])
        ranges = {name: limits for name, limits in ranges.items() if equal[name].any()}
        for name, limits in ranges.items():
            again = equal[name].where
            arrays[name][again] = _uniform(limits, (int(again.sum()),), arrays[name].dtype, randoms[name])
        if not ranges:
            return
    for name, limits in ranges.items():  # they are dense
        _draw_unlike(np.asarray(table.arrays[name]), arrays[name], limits, randoms[name])


class _Met:
    """Which of some drawn numbers are real cells; most cells fall through a table of 65536 bits."""

    def __init__(self, drawn: Array) -> None:
        self._different, self._places = np.unique(drawn, return_inverse=True)
        self._met, self._shape = np.zeros(len(self._different), np.bool_), drawn.shape
        self._marked = np.zeros(1 << 16, np.bool_)
        self._marked[_sixteen_bits(drawn)] = True

    def add(self, cells: Array) -> None:
        """Look at some cells."""
        near = cells.ravel()[self._marked.take(_sixteen_bits(cells))]
        places = np.searchsorted(self._different, near).clip(0, len(self._different) - 1)
        self._met[places[self._different[places] == near]] = True

    def any(self) -> bool:
        """Whether any is."""
        return bool(self._met.any())

    @property
    def where(self) -> Array:
        """Of each number whether it is, in the shape of those that were drawn."""
        return self._met[self._places].reshape(self._shape)


def _sixteen_bits(numbers: Array) -> Array:
    """Of each number 16 bits that are equal where the numbers are (Knuth, The Art of Computer
    Programming, 6.4: multiplicative hashing)."""
    plain = (numbers + numbers.dtype.type(0)).ravel()  # -0 is 0
    if plain.itemsize == 4:
        short: Array = (plain.view(np.uint32) * np.uint32(0x9E3779B1)) >> np.uint32(16)
        return short
    mixed: Array = (plain.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(48)
    return mixed.view(np.int64)


def _draw_unlike(real: Array, drawn: Array, limits: tuple[float, float], random: np.random.Generator) -> None:
    """Draw those numbers again that are among some others, until none is."""
    for _ in range(MOST_REDRAWS - MOST_PASSES):
        if not (same := np.isin(drawn, real)).any():
            return
        drawn[same] = _uniform(limits, (int(same.sum()),), drawn.dtype, random)
    _step_beside(real, drawn)


def _step_beside(real: Array, drawn: Array) -> None:
    """Move those of the drawn numbers that are real cells to the next that is none.

    Nearly every number that the dtype has there is one, and so they go beyond the range if need be:
    there are more numbers than cells.
    """
    cells, same = np.unique(real), np.isin(drawn, real)
    with np.errstate(over="ignore"):
        above, below = (np.nextafter(cells, np.array(end, real.dtype)) for end in (np.inf, -np.inf))
    after, before = (each[np.isfinite(each) & ~np.isin(each, cells)] for each in (above, below))
    places = np.searchsorted(after, drawn[same], "right")
    drawn[same] = np.append(after, before[-1:])[places]  # before the last run where that ends with the last number
