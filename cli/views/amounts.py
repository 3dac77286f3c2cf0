"""Numbers as text: FIT amounts, lengths of time, shares.

They are decimal at the command line, and integers in base units, seconds and fractions everywhere
below it.
"""

from __future__ import annotations

import time
from fractions import Fraction

from fitchain.pod.values.amounts import DECIMALS
from fitchain.pod.values.errors import InputRefused

MOST_DIGITS = 80
MOST_TIME = 12
"""Letters of a length of time: more than any clock counts to."""
LARGEST = (1 << 128) - 1  # the contracts hold amounts in uint128


def parse_fit(text: str, coin: str = "FIT") -> int:
    """Read an amount of FIT, or of ETH.

    Args:
        text: a decimal number such as `12.5`, without sign or exponent.
        coin: which, for messages.

    Returns:
        the amount in base units.

    Raises:
        InputRefused: it is no such number, has more than 18 decimals or no contract can hold it.
    """
    if not text.isascii() or not text.replace(".", "", 1).isdigit():
        hint = "write it as 12.5, with a point and without a sign"
        raise InputRefused(f"the amount {text[:MOST_DIGITS]!r} is not a decimal number of {coin}", hint)
    whole, _, decimals = text.partition(".")
    if len(decimals) > DECIMALS:
        raise InputRefused(f"the amount {text[:MOST_DIGITS]} has {len(decimals)} decimals and {coin} has {DECIMALS}")
    if len(whole.lstrip("0")) > MOST_DIGITS:
        raise InputRefused(f"an amount of {len(whole)} digits is beyond what a contract can hold")
    units: int = int(whole.lstrip("0") or "0") * 10**DECIMALS + int((decimals + "0" * DECIMALS)[:DECIMALS])
    if units > LARGEST:
        raise InputRefused(f"the amount {text} {coin} is beyond what a contract can hold")
    return units


def parse_duration(text: str) -> int:
    """Read a length of time.

    Args:
        text: a whole number with a unit: `90s`, `10m`, `12h`, `7d`.

    Returns:
        seconds.

    Raises:
        InputRefused: it is anything else.
    """
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    if not 2 <= len(text) <= MOST_TIME or text[-1] not in units or not (text.isascii() and text[:-1].isdigit()):
        raise InputRefused(
            f"the length of time {text[:MOST_DIGITS]!r} is not a whole number with a unit",
            "write it as 90s, 10m, 12h or 7d",
        )
    return int(text[:-1]) * units[text[-1]]


def format_duration(seconds: float) -> str:
    """Write a length of time with its two largest units: `1d 2h`, `4m 10s`, `8s`."""
    left, parts = int(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def parse_share(name: str, text: str) -> Fraction:
    """Read a chance or share: `0.95` or `95%`.

    Raises:
        InputRefused: it is neither, or not from 0 to 1.
    """
    digits = text.removesuffix("%").strip()
    if not digits.isascii() or not digits.replace(".", "", 1).isdigit() or len(digits) > 40:
        raise InputRefused(f"the {name} {text!r} is no number from 0 to 1", "write it as 0.95 or 95%")
    share = Fraction(digits) / (100 if text.endswith("%") else 1)
    if share > 1:
        raise InputRefused(f"the {name} {text} is beyond 1", "write it as 0.95 or 95%")
    return share


def size_text(count: int) -> str:
    """A number of bytes with its unit: `12.4 MB`, `312 bytes`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 anchor`, `3 anchors`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def clock(time_s: float) -> str:
    """A time, in seconds since 1970, as date and time of day here."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_s))


def day(time_s: float) -> str:
    """The day of a time, in seconds since 1970, here."""
    return time.strftime("%Y-%m-%d", time.localtime(time_s))
