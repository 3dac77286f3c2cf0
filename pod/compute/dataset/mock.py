"""Mock data: a table of the same schema on which anyone can rehearse a job.

It is drawn from what is public already or says next to nothing, and so that a job fails on it where
it would fail on the records: numbers stay within the card's range, or within some deviations of its
mean; every class and every category occurs. Where the card has no constants of a column, the range
goes from its smallest to its largest value, rounded outwards to one digit; of arrays of whole
numbers, which are codes as a rule, it is those two themselves. Tokens are of the whole vocabulary,
and the largest and the pad occur again and again. No number is below zero where no cell of its
column is, or above where none is. No quantile and no joint statistic enters it. A drawn number that
happens to equal a real cell of its column is drawn again, for columns of real numbers; integers and
truth values are drawn without looking.

Where units of privacy have several records, a made-up unit has as many as one has on average.

Beside a privacy budget even that is too much: what is published then is drawn from the card alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.card import Card, outward_range
from fitchain.pod.compute.dataset.columns import Array, Column, Kind, missing_name
from fitchain.pod.compute.dataset.table import Table
from fitchain.pod.compute.dataset.tokenizer import TokenizerTerms
from fitchain.pod.compute.dataset.units import FILLED
from fitchain.pod.values.errors import InputRefused

MOST_REDRAWS = 100
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
    arrays = dict[str, Array]()
    most = max(len(_categories_of(card, column.name)) for column in card.columns)
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
        draw = _draw_of_card if of_card_alone else partial(_draw, table)
        drawn = _draw_truth(column, card, count, random)
        arrays[column.name] = draw(column, card, count, random) if drawn is None else drawn
    for column in card.columns:
        if column.kind is Kind.TOKENS and card.tokenizer is not None:
            _complete_texts(column.name, card.tokenizer.terms, table, arrays)
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
    if column.kind is Kind.TOKENS and card.tokenizer is not None:
        return _draw_tokens(card.tokenizer.terms, column, count, random)
    if column.kind is Kind.BOOLEAN:
        return random.integers(0, 2, (count, *column.shape)).astype(np.bool_)
    return None


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
    numbers = [each for each in card.columns if each.dtype != "bool" and each.kind is not Kind.TOKENS]
    bare = [each.name for each in numbers if not (card.transform.get(each.name) or _categories_of(card, each.name))]
    if bare:
        which = f"columns {', '.join(map(repr, bare))}" if len(bare) > 1 else f"column {bare[0]!r}"
        whose = "their real ranges" if len(bare) > 1 else "its real range"
        options = " ".join(f"--range {name}=LOW:HIGH" for name in bare)
        raise InputRefused(
            f"mock data of the {which} would be drawn from {whose}, which no budget covers",
            f"give each one ({options}), or publish no mock data (--mock-records 0)",
        )


def _draw_of_card(column: Column, card: Card, count: int, random: np.random.Generator) -> Array:
    """Draw in the range that the card gives."""
    return _even(column, _range_of(card.transform[column.name]), count, random)


def _draw(table: Table, column: Column, card: Card, count: int, random: np.random.Generator) -> Array:
    constants, real = card.transform.get(column.name, {}), table.arrays[column.name]
    if column.shape and column.integral and "low" not in constants:
        low, high = float(real.min()), float(real.max())
    elif constants:
        low, high = _range_of(constants)
    else:
        low, high = outward_range(float(real.min()), float(real.max()))
    if "low" not in constants:
        low, high = (max(low, 0.0) if real.min() >= 0 else low), (min(high, 0.0) if real.max() <= 0 else high)
    if column.integral:
        return _even(column, (low, high), count, random)
    most = float(np.finfo(np.dtype(column.dtype)).max) / 4  # so that the range's width is finite too
    low, high = max(-most, min(low, most)), max(-most, min(high, most))
    return _draw_unlike(real, low, high, (count, *column.shape), random)


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


def _draw_unlike(real: Array, low: float, high: float, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Draw numbers between low and high, none of which is a real cell.

    Where nearly every number that the dtype has there is one, each draw that still is goes up to
    the next that is none, beyond the range if need be: there are more numbers than cells.
    """
    drawn: Array = random.uniform(low, high, shape).astype(real.dtype)
    for _ in range(MOST_REDRAWS):
        if not (same := np.isin(drawn, real)).any():
            return drawn
        drawn[same] = random.uniform(low, high, int(same.sum())).astype(real.dtype)
    cells = np.unique(real)
    above = np.nextafter(cells, np.array(np.inf, real.dtype))
    free = np.sort(above[~np.isin(above, cells)])  # the number after each run of neighbours
    same = np.isin(drawn, cells)
    drawn[same] = free[np.searchsorted(free, drawn[same], "right")]
    return drawn
