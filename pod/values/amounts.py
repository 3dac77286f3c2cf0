"""Amounts of FIT and ETH as people read them; everywhere else they are integers in base units."""

from __future__ import annotations

DECIMALS = 18
FIT: int = 10**DECIMALS
"""One FIT in base units."""


def amount_text(base_units: int) -> str:
    """Write an amount in base units as a decimal number of FIT, or of ETH, without trailing zeros.

    It is exact, whatever the size: `decimal` would round to 28 digits.
    """
    whole, rest = divmod(base_units, FIT)
    decimals = f"{rest:0{DECIMALS}d}".rstrip("0")
    return f"{whole}.{decimals}" if decimals else str(whole)


def round_up(base_units: int, decimals: int = 4) -> int:
    """The next amount with so many decimals: what is needed at least stays enough when it is shown
    short."""
    unit: int = 10 ** (DECIMALS - decimals)
    return -(-base_units // unit) * unit
