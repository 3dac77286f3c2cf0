"""Strict reading of JSON objects that somebody else wrote.

Python's JSON types are loose (True is an int, 1 and 1.0 are equal); here a value has the type and
the bounds that its field says, or is refused by the field's name.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Digest, Root
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.suggestions import hint
from fitchain.pod.values.versions import require_version

_SHOWN_NAMES = 40


class Fields:
    """A JSON object whose keys are known, read field by field.

    Args:
        what: how messages call the object, such as "the recipe".
        value: what was parsed.
        required: keys that must be there.
        optional: keys that may be there.
        version: what its field `version` has to say, where it has one.

    Raises:
        OtherVersion: it is of another version; that is told before any key is.
        InputRefused: it is no object, a key is missing, or a key is unknown (near ones are named).
    """

    def __init__(
        self,
        what: str,
        value: Any,
        required: Iterable[str],
        optional: Iterable[str] = (),
        version: str | None = None,
    ) -> None:
        if not isinstance(value, Mapping):
            raise InputRefused(f"{what} is a JSON object, not {_excerpt(value)}")
        required = tuple(required) if version is None else ("version", *required)
        if version is not None:
            require_version(what, value, version)
        self.what, self.value = what, value
        refuse_unknown(what, value, (*required, *optional))
        for key in required:
            if key not in value:
                raise InputRefused(f"{what} has no field {key!r}")
        if version is not None:
            self.choice("version", (version,))

    def integer(self, key: str, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return integer(f"{self.what}: {key}", self.value[key], low, high)

    def real(self, key: str, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number from low to high, both included, as a float."""
        return real(f"{self.what}: {key}", self.value[key], low, high)

    def text(self, key: str, longest: int) -> str:
        """Printable text of 1 to `longest` characters."""
        return text(f"{self.what}: {key}", self.value[key], longest)

    def flag(self, key: str) -> bool:
        """True or false."""
        return flag(f"{self.what}: {key}", self.value[key])

    def digest(self, key: str) -> Digest:
        """A digest in its text form."""
        return Digest.parse(self.value[key])

    def root(self, key: str) -> Root:
        """A root in its text form."""
        return Root(self.digest(key))

    def choice(self, key: str, among: Iterable[str]) -> str:
        """One of some words."""
        return choice(f"{self.what}: {key}", self.value[key], among)

    def mode(self, key: str) -> AuditMode:
        """An audit mode by its word."""
        return AuditMode.parse(self.choice(key, AuditMode.words()))

    def items(self, key: str, fewest: int, most: int) -> list[Any]:
        """A list of some length."""
        return items(f"{self.what}: {key}", self.value[key], fewest, most)


def refuse_unknown(what: str, keys: Iterable[Any], allowed: Iterable[str]) -> None:
    """Refuse the first key that is not known, naming near ones.

    Raises:
        InputRefused: there is such a key.
    """
    allowed = tuple(allowed)
    names = frozenset(allowed)
    for key in keys:
        if key not in names:
            near = hint(key, allowed) or f"known: {_names(sorted(allowed))}"
            raise InputRefused(f"{what} has an unknown field {_excerpt(key)}", near)


def integer(what: str, value: Any, low: int, high: int) -> int:
    """Read an integer from low to high, both included; a boolean is none."""
    if type(value) is not int or not low <= value <= high:
        raise InputRefused(f"{what} is an integer from {low} to {high}, not {_excerpt(value)}")
    return value


def real(what: str, value: Any, low: float = -math.inf, high: float = math.inf, advice: str = "") -> float:
    """Read a finite number from low to high, both included, as a float; a boolean is none. `advice`
    is the hint where it is refused."""
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max or not low <= value <= high:
        bounds = "" if (low, high) == (-math.inf, math.inf) else f" from {low:g} to {high:g}"
        raise InputRefused(f"{what} is a finite number{bounds}, not {_excerpt(value)}", advice)
    return float(value)


def text(what: str, value: Any, longest: int) -> str:
    """Read printable text of 1 to `longest` characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
        raise InputRefused(f"{what} is 1 to {longest} printable characters, not {_excerpt(value)}")
    return value


def flag(what: str, value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise InputRefused(f"{what} is true or false, not {_excerpt(value)}")
    return value


def choice(what: str, value: Any, among: Iterable[str]) -> str:
    """Read one of some words; near ones are named."""
    words = tuple(among)
    if not isinstance(value, str) or value not in words:
        raise InputRefused(f"{what} is one of {', '.join(words)}, not {_excerpt(value)}", hint(value, words))
    return value


def items(what: str, value: Any, fewest: int, most: int, advice: str = "") -> list[Any]:
    """Read a list of some length; the advice is given with a refusal."""
    if not isinstance(value, list | tuple) or not fewest <= len(value) <= most:
        count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        raise InputRefused(f"{what} is a list of {count} items, not {_excerpt(value)}", advice)
    return list(value)


def _names(names: list[str]) -> str:
    """The first names of a list, as many as a message has room for."""
    shown = [name if len(name) <= 80 else name[:77] + "..." for name in names[:_SHOWN_NAMES]]
    return ", ".join(shown if len(names) <= _SHOWN_NAMES else [*shown, f"and {len(names) - _SHOWN_NAMES} more"])


def _excerpt(value: Any) -> str:
    """What a message shows of a foreign value: enough to find it, never a flood."""
    if isinstance(value, str | int | float | bool | None):
        value = value[:100] if isinstance(value, str) else value
        shown = ascii(value) if not isinstance(value, int) or value.bit_length() < 200 else "a very long integer"
        return shown if len(shown) <= 80 else shown[:77] + "..."
    if isinstance(value, list | tuple):
        return f"a list of {len(value)} items"
    return "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}"
