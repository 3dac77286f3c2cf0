"""Mock data: a table of the same schema on which anyone can rehearse a job.

It is drawn from what is public already or says next to nothing: a number from a range made of the
card's constants or, where the card has none, from the column's smallest and largest value, rounded
outwards to one digit; a class from the categories that are not rare. No quantile and no joint
statistic enters it. A drawn number that happens to equal a real cell of its column is drawn again,
for columns of real numbers; integers and truth values are drawn without looking.

Where units of privacy have several records, a made-up unit has as many as one has on average.

Beside a privacy budget even that is too much: what is published then is drawn from the card alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.assembly import class_numbers
from fitchain.pod.compute.dataset.card import Card
from fitchain.pod.compute.dataset.columns import Array, Column
from fitchain.pod.compute.dataset.table import Table
from fitchain.pod.compute.dataset.units import FILLED
from fitchain.pod.values.errors import InputRefused

RARE_RECORDS, RARE_SHARE = (
    10,
    0.05,
)  # a category is rare with fewer records, or with less than this part of an even share
MOST_REDRAWS = 100
SPREAD = 2.0  # a range from constants: mean - 2 scale to mean + 2 scale


def mock_table(card: Card, table: Table, count: int, key: bytes, of_card_alone: bool = False) -> Table:
    """Draw mock records.

    Args:
        card: the dataset's.
        table: the real records: their coarse ranges, and the cells that must not be copied.
        count: how many records to draw; as many rows more as units are whole by.
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
    count += -count % (card.unit_records or 1)
    for column in card.columns:
        if card.unit is not None and column.name == FILLED:
            usual = -(-card.unit.records // card.unit_count)
            arrays[FILLED] = np.arange(count) % card.unit.most_records < usual
            continue
        seed = hashlib.sha256(b"fitchain/mock/v2" + key + column.name.encode()).digest()
        random = np.random.Generator(np.random.Philox(int.from_bytes(seed[:16], "big")))
        draw = _draw_of_card if of_card_alone else partial(_draw, table)
        if column.name in card.subgroups:  # their groups are public, and each has many records
            draw = _draw_of_card
        arrays[column.name] = draw(column, card, count, random)
    return Table.of(arrays, card.target, table.categories, mock=True)


def _require_ranges(card: Card) -> None:
    """Refuse a card that says of a column of numbers neither range nor categories.

    Raises:
        InputRefused: it does; all such columns are named.
    """
    numbers = [column for column in card.columns if column.dtype != "bool"]
    bare = [column.name for column in numbers if not card.transform.get(column.name)]
    if bare:
        which = f"columns {', '.join(map(repr, bare))}" if len(bare) > 1 else f"column {bare[0]!r}"
        whose = "their real ranges" if len(bare) > 1 else "its real range"
        options = " ".join(f"--range {name}=LOW:HIGH" for name in bare)
        raise InputRefused(
            f"mock data of the {which} would be drawn from {whose}, which no budget covers",
            f"give each one ({options}), or publish no mock data (--mock-records 0)",
        )


def _draw_of_card(column: Column, card: Card, count: int, random: np.random.Generator) -> Array:
    """Draw evenly among the card's categories or groups, or in the range that it gives."""
    constants, shape = card.transform.get(column.name, {}), (count, *column.shape)
    groups = card.subgroups[column.name].groups if column.name in card.subgroups else ()
    if categories := constants.get("categories") or groups:
        places = random.integers(0, len(categories), count)
        values = places if isinstance(categories[0], str) else np.array(categories)[places]
        return values.astype(np.dtype(column.dtype))
    if column.dtype == "bool":
        return random.integers(0, 2, shape).astype(np.bool_)
    drawn = constants["mean"] + constants["scale"] * random.random(shape)
    rounded: Array = np.rint(drawn) if column.integral else drawn
    return rounded.astype(np.dtype(column.dtype))


def _draw(table: Table, column: Column, card: Card, count: int, random: np.random.Generator) -> Array:
    constants = card.transform.get(column.name, {})
    shape = (count, *column.shape)
    if "categories" in constants:
        return _draw_classes(table, column, constants["categories"], count, random)
    if column.dtype == "bool":
        return random.integers(0, 2, shape).astype(np.bool_)
    low, high = public_range(constants, table.arrays[column.name])
    if column.integral:
        limits = np.iinfo(np.dtype(column.dtype))
        first, last = max(limits.min, math.floor(low)), min(limits.max, math.ceil(high))
        return random.integers(first, last, shape, dtype=np.dtype(column.dtype).type, endpoint=True)
    most = float(np.finfo(np.dtype(column.dtype)).max) / 4  # so that the range's width is finite too
    return _draw_unlike(
        table.arrays[column.name], max(-most, min(low, most)), max(-most, min(high, most)), shape, random
    )


def _draw_classes(
    table: Table, column: Column, categories: list[Any], count: int, random: np.random.Generator
) -> Array:
    """Draw evenly among the categories that enough records have, so that a rare one is not shown to
    occur."""
    numbers = class_numbers(table, column.name, categories)
    counts = np.bincount(numbers, minlength=len(categories))
    common = np.flatnonzero(counts >= max(RARE_RECORDS, RARE_SHARE * table.count / len(categories)))
    places = random.choice(common if common.size else np.array([counts.argmax()]), count)
    texts = isinstance(categories[0], str)
    values = places if texts else np.array(categories)[places]
    return values.astype(np.dtype(column.dtype))


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


def public_range(constants: Mapping[str, Any], real: Array) -> tuple[float, float]:
    """A range that says no more than the card or one rounded digit.

    Args:
        constants: the card's for the column; may be empty.
        real: the column.

    Returns:
        (low, high), low < high, each of one significant digit.
    """
    if constants:
        mean, scale = float(constants["mean"]), float(constants["scale"])
        low, high = mean - SPREAD * scale, mean + SPREAD * scale
    else:
        low, high = float(real.min()), float(real.max())
    low, high = _outwards(low, math.floor), _outwards(high, math.ceil)
    beside = max(1.0, abs(low) / 10)  # beyond 2^53 the next whole number is no other double
    return (low, high) if low < high else (low - beside, high + beside)


def _outwards(number: float, towards: Any) -> float:
    """Round to one significant digit, downwards or upwards."""
    if number == 0:
        return 0.0
    unit = 10.0 ** math.floor(math.log10(abs(number))) or 1.0  # a power below the smallest double is 0
    return float(towards(number / unit) * unit)
