"""Cells: what a text in a table means, to the last digit, or that it means nothing here.

The law of all that is read: *a registered value prints back to the cell's value, or the cell is
refused.* Surrounding blanks are no part of a cell; Python's own liberties (1_000, digits of other
scripts) are none of a table's. No message repeats a cell: messages end in logs, records must not.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from enum import Enum, auto
from functools import lru_cache

import numpy as np

from fitchain.pod.compute.dataset.columns import Array
from fitchain.pod.values.errors import InputRefused

EXACT_DIGITS, MOST_DIGITS = 15, 17
"""A decimal text of so many digits, the exponent in bounds, prints back from a double in any case;
one of more than the second only where it is the double itself (IEEE 754-2019, section 5.12.2)."""
EXACT_WHOLE = 1 << 53
"""Whole numbers beyond it are not all doubles, and so cannot enter a model apart."""

MISSING = frozenset(
    [
        "na",
        "n/a",
        "nan",
        "null",
        "none",
        "?",
        "-",
        ".",
        "#n/a",
        "#na",
        "#null!",
        "#value!",
        "#div/0!",
        "#ref!",
        "#name?",
        "#num!",
        "\\n",
        "<na>",
        "(null)",
        "nat",
        "missing",
        "-nan",
        "1.#ind",
        "1.#qnan",
        "-1.#ind",
        "-1.#qnan",
    ]
) | {"", "#n/a n/a"}
"""What tools write where there is nothing: spreadsheets, R, pandas, SAS, MySQL, C; in lower case."""


_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_PADDED = re.compile(r"[+-]?0[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_SWAPPED = str.maketrans(".,", ",.")
_SIGNS = re.compile(r"[%\u2030$\u20ac\u00a3\u00a5]")
_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}([.,' ][0-9]{3})+")
_OTHER_NUMBER = re.compile(
    r"[+-]?[0-9]{1,3}([ ,.'][0-9]{3})+([.,][0-9]*)?|[+-]?[0-9]*[.,][0-9]+([eE][+-]?[0-9]+)?|[+-]?[0-9]+[.,]?"
)
_MONTHS = "jan|feb|mar|mrz|m\u00e4r|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
_NUMBERED = r"[0-9]{1,4}([./-])[0-9]{1,2}\2[0-9]{1,4}"
_NAMED = rf"[0-9]{{1,2}}[ ./-]*({_MONTHS})[a-z]*[ ./-]*[0-9]{{2,4}}"
_DATE = re.compile(rf"({_NUMBERED}|{_NAMED})([t ].*)?", re.IGNORECASE)
_HOUR, _SIXTY = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
_TIME = re.compile(
    rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})"
    rf"(?:[T ]({_HOUR}:{_SIXTY})(:{_SIXTY}(?:[.,]([0-9]{{1,9}}))?)?(Z|[+-]{_HOUR}:?{_SIXTY})?)?"
)
_TRUTH = {"true": True, "false": False}
TIME_UNITS = {"days": "D", "seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}
"""Units of times as the CF conventions name them, and as numpy does; the finer, the later."""
EPOCH = "1970-01-01"


def clean(cells: list[str]) -> list[str]:
    """Cells without the blanks around them."""
    joined = "".join(cells)
    if joined.isprintable() and " " not in joined:  # so no other kind of blank is there either
        return cells
    return list(map(str.strip, cells))


def as_whole(texts: Sequence[str]) -> Array | None:
    """Texts as int64; None where one is no whole number of 64 bits."""
    joined = "".join(texts)
    if "." in joined or not joined.isascii() or (not joined.isdigit() and not all(map(_WHOLE.fullmatch, texts))):
        return None
    try:
        return np.array(list(map(int, texts)), np.int64)
    except (OverflowError, ValueError):  # beyond 64 bits, or of more digits than Python reads
        return None


_last: tuple[Sequence[str], Array | None] = ([], None)
"""The texts that were asked for last, and what they are: the same cells are asked for several times
on their way."""


def as_numbers(texts: Sequence[str]) -> Array | None:
    """Texts as finite float64, whether or not a double holds them; None where one is no number."""
    global _last
    if (last := _last)[0] is not texts:
        _last = last = (texts, _parsed(texts))
    return last[1]


def _parsed(texts: Sequence[str]) -> Array | None:
    joined = "".join(texts)
    if "_" in joined or not joined.isascii():
        return None
    try:
        numbers = np.array(list(map(float, texts)), np.float64)
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def is_number(text: str) -> bool:
    """Whether a text is a decimal number that is finite as a double."""
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def is_whole(text: str) -> bool:
    """Whether a text is a whole number, of whatever size."""
    return _WHOLE.fullmatch(text) is not None


def is_padded(text: str) -> bool:
    """Whether a text is a number with leading zeros: a code, since 007 is not 7."""
    return _PADDED.fullmatch(text) is not None


def is_grouped(text: str) -> bool:
    """Whether a number's only point or comma may as well part its digits in groups: 1,234 or
    1.234.567."""
    return _GROUPED.fullmatch(text) is not None


def with_point(texts: Sequence[str]) -> list[str]:
    """Texts of a table whose numbers have a decimal comma, as one with a point would have them.

    Point and comma change places, so that 1.234, which is a thousand and more there, is no number
    with a point afterwards.
    """
    return [text.translate(_SWAPPED) for text in texts]


class Look(Enum):
    """What a text looks like, that is no number.

    Members: a number that is written in another way (1,234.50, 12 %, full-width digits), or beyond
    all doubles; a time of
    ISO 8601; another date, or a day and an hour that no calendar has; anything else.
    """

    OTHER_NUMBER = auto()
    TIME = auto()
    OTHER_DATE = auto()
    TEXT = auto()


_LONGEST_LOOK = 40


def look_of(text: str) -> Look:
    """What a text looks like, that is no number."""
    return Look.TEXT if len(text) > _LONGEST_LOOK else _look_of(text)


@lru_cache(1 << 14)
def _look_of(text: str) -> Look:
    if (unit := time_unit(text)) is not None and as_times([text], unit[0]) is not None:
        return Look.TIME
    if _DATE.fullmatch(text):
        return Look.OTHER_DATE
    if _NUMBER.fullmatch(text):
        return Look.OTHER_NUMBER
    plain = visible(unicodedata.normalize("NFKC", text)).replace("\u2212", "-").replace("\u2019", "'")
    digits = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in plain)
    bare = _SIGNS.sub("", digits).strip()
    return Look.OTHER_NUMBER if _OTHER_NUMBER.fullmatch(bare) else Look.TEXT


def visible(text: str) -> str:
    """What of a text can be seen: one form of each letter, single blanks, no marks that only
    formatting knows."""
    composed = unicodedata.normalize("NFC", text)
    return " ".join("".join(each for each in composed if unicodedata.category(each) not in ("Cf", "Cc")).split())


def missing(texts: list[str], markers: frozenset[str], comma: bool = False) -> list[int]:
    """Places of the texts that mean that a cell is missing.

    Args:
        texts: of the cells.
        markers: what means so, in lower case; one that is a number means every text of that number,
            -999 also -999.0, but no code with leading zeros.
        comma: whether the texts' numbers have a decimal comma.
    """
    numbers = _numbers_among(markers)
    # Of a column of millions of numbers, as they are as a rule, not each is looked at by itself.
    if not numbers and as_numbers(texts) is not None:
        return []
    gone = [position for position, text in enumerate(texts) if text.lower() in markers]
    if numbers:
        plain = with_point(texts) if comma else texts
        gone += [
            position
            for position, text in enumerate(plain)
            if is_number(text) and not is_padded(text) and float(text) in numbers
        ]
    return sorted(set(gone))


@lru_cache(16)
def _numbers_among(markers: frozenset[str]) -> frozenset[float]:
    return frozenset(float(marker) for marker in markers if is_number(marker))


def padded(texts: Sequence[str]) -> list[int]:
    """Places of the numbers with leading zeros."""
    return [position for position, text in enumerate(texts) if text[:1] in "0+-" and is_padded(text)]


def holds(text: str, number: float) -> bool:
    """Whether a double prints back to a decimal text: rounded to as many digits as that has, it is
    the same number."""
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent that no decimal has, and no double either
        return False
    if not value:
        return number == 0
    digits = len(value.normalize().as_tuple().digits)
    if digits > MOST_DIGITS:
        return Decimal(number) == value
    return number != 0 and Decimal(f"{number:.{digits - 1}e}") == value


def lost(texts: Sequence[str], numbers: Array) -> list[int]:
    """Places of the texts that their doubles do not print back to."""
    if max(map(len, texts), default=0) <= EXACT_DIGITS and "e" not in "".join(texts).lower():
        return []
    return [
        position
        for position, text in enumerate(texts)
        if (len(text) > EXACT_DIGITS or "e" in text or "E" in text) and not holds(text, float(numbers[position]))
    ]


def as_truth(texts: Sequence[str]) -> Array | None:
    """Texts as truth values (`true`, `false`, in whatever case); None where one is none."""
    values = [_TRUTH.get(text.lower()) for text in texts]
    return None if None in values else np.array(values, np.bool_)


def time_unit(text: str) -> tuple[str, bool] | None:
    """The coarsest of `TIME_UNITS` that holds a time of ISO 8601, and whether it says its offset
    from UTC; None where the text is no such time."""
    if (match := _TIME.fullmatch(text)) is None:
        return None
    _, minutes, _, fraction, offset = match.groups()
    if minutes is None:
        return "days", False
    digits = len((fraction or "").rstrip("0"))
    unit = "seconds" if not digits else ("milliseconds", "microseconds", "nanoseconds")[(digits - 1) // 3]
    return unit, offset is not None


def as_times(texts: Sequence[str], unit: str) -> Array | None:
    """Times of ISO 8601 as int64, counted in a unit of `TIME_UNITS` since the epoch (in UTC where
    they say an offset); None where one is no such time, or the count is beyond 64 bits."""
    counts = [_count(text, unit) for text in texts]
    return None if None in counts else np.array(counts, np.int64)


@lru_cache(1 << 12)
def _count(text: str, unit: str) -> int | None:
    if (match := _TIME.fullmatch(text)) is None:
        return None
    day, minutes, seconds, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{minutes or '00:00'}{(seconds or ':00')[:3]}")
    except ValueError:  # the 30th of February, or the 25th hour
        return None
    zone = UTC if offset in (None, "Z") else _zone(offset)
    if zone is None:
        return None
    since = moment.replace(tzinfo=zone) - datetime(1970, 1, 1, tzinfo=UTC)
    nanoseconds = (since.days * 86_400 + since.seconds) * 10**9 + int((fraction or "0").ljust(9, "0"))
    count, rest = divmod(nanoseconds, _NANOSECONDS[unit])
    return None if rest or abs(count) >= 1 << 63 else count


def _zone(offset: str) -> timezone | None:
    sign, digits = offset[0], offset[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        return None
    return timezone((1 if sign == "+" else -1) * timedelta(hours=hours, minutes=minutes))


_NANOSECONDS = {
    "days": 86_400 * 10**9,
    "seconds": 10**9,
    "milliseconds": 10**6,
    "microseconds": 10**3,
    "nanoseconds": 1,
}


def moment_text(count: float, unit: str) -> str:
    """What a number of a column of times is on a calendar, to its unit: `2026-11-27`.

    Args:
        count: since the epoch; an average may lie between two.
        unit: as the column says it.
    """
    return str(np.array(round(count), np.int64).astype(f"datetime64[{TIME_UNITS[unit_of(unit)]}]"))


def unit_text(unit: str) -> str:
    """How a column says what its times count: `days since 1970-01-01` (CF conventions, 4.4)."""
    return f"{unit} since {EPOCH}"


def unit_of(text: str) -> str:
    """The unit that `unit_text` made a text of.

    Raises:
        InputRefused: it is none.
    """
    unit = text.removesuffix(f" since {EPOCH}")
    if unit not in TIME_UNITS or text != unit_text(unit):
        raise InputRefused(f"a time is counted in {', '.join(map(unit_text, TIME_UNITS))}, not in {text!r:.80}")
    return unit
