"""Records in JSON: a frozen dataclass to an object and back, by the types of its fields.

What comes back has the type that its field says, or is refused by the field's name: a worker that
was taken over, or a journal of another release, writes what it likes.

    bool int str                as they are; an integer has at most 53 bits, since JSON has no more
    float                       a number; what is not finite as `nan`, `inf` or `-inf`
    bytes                       hexadecimal digits
    Digest                      0x and 64 hexadecimal digits; likewise every kind of id
    HeldOut                     as it stands in a leaf's line
    a StrEnum                   one of its words
    tuple[T, ...]               a list
    Mapping[str, T]             an object
    T | None                    as T, or null
    a dataclass                 an object, by these same rules
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NewType, TypeVar

from fitchain.pod.values.digest import Digest, Json
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.held_out import HeldOut

MOST_INTEGER = (1 << 53) - 1
MOST_ITEMS = 1 << 16
"""Items that a list or an object of one field may have."""
NOT_FINITE = ("nan", "inf", "-inf")

Record = TypeVar("Record")


@dataclass(frozen=True)
class _Form:
    """How values of one type stand in JSON: both ways, and how messages call the type."""

    name: str
    to_json: Callable[[Any], Json]
    from_json: Callable[[Any], Any]


def to_json(record: Any) -> dict[str, Json]:
    """A dataclass's fields as JSON values; one that is None and may be missing is left out.

    Raises:
        InputRefused: an integer has more than 53 bits.
    """
    values = ((name, form, getattr(record, name), needed) for name, (form, needed) in _forms(type(record)).items())
    return {name: form.to_json(value) for name, form, value, needed in values if needed or value is not None}


def from_json(kind: type[Record], value: Any, what: str) -> Record:
    """Read what `to_json` gave.

    Args:
        kind: a dataclass.
        value: as the JSON parser gave it; foreign input.
        what: how messages call it.

    Returns:
        the record; a field that has a default may be missing in the object.

    Raises:
        InputRefused: it is no object, lacks a field, has one too many, or one of another type; or
            the class itself refuses what its fields say.
    """
    if not isinstance(value, dict):
        raise InputRefused(f"{what} is a JSON object, not {_excerpt(value)}")
    forms, values = _forms(kind), {}
    if unknown := value.keys() - forms.keys():
        raise InputRefused(f"{what} has a field {_excerpt(min(unknown))}, which is none of its own")
    for name, (form, is_required) in forms.items():
        if name in value:
            try:
                values[name] = form.from_json(value[name])
            except (ArithmeticError, TypeError, ValueError, InputRefused):
                raise InputRefused(f"{what}: {name} is {form.name}, not {_excerpt(value[name])}") from None
        elif is_required:
            raise InputRefused(f"{what} has no field {name!r}")
    return kind(**values)


_KNOWN: dict[type, dict[str, tuple[_Form, bool]]] = {}


def _forms(kind: type) -> dict[str, tuple[_Form, bool]]:
    """The form of each field, and whether it must be there; worked out once for each class."""
    if kind not in _KNOWN:
        hints, missing = typing.get_type_hints(kind), dataclasses.MISSING
        _KNOWN[kind] = {
            field.name: (_form(hints[field.name]), field.default is missing and field.default_factory is missing)
            for field in dataclasses.fields(kind)
        }
    return _KNOWN[kind]


def _form(kind: Any) -> _Form:
    """The form of one type."""
    if isinstance(kind, NewType):
        return _form(kind.__supertype__)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _Form(f"one of {', '.join(kind)}", str, kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union) and len(arguments) == 2 and arguments[1] is type(None):
        return _optional(_form(arguments[0]))
    if origin is tuple and arguments[1:] == (...,):
        return _list(_form(arguments[0]))
    if origin in (dict, Mapping) and arguments[0] is str:
        return _object(_form(arguments[1]))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        inner = kind
        return _Form(f"a {kind.__name__}", to_json, lambda value: from_json(inner, value, inner.__name__))
    raise TypeError(f"a field of the type {kind} has no form in JSON")


def _optional(inner: _Form) -> _Form:
    return _Form(
        f"{inner.name} or null",
        lambda value: None if value is None else inner.to_json(value),
        lambda value: None if value is None else inner.from_json(value),
    )


def _list(inner: _Form) -> _Form:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > MOST_ITEMS:
            raise ValueError
        return tuple(map(inner.from_json, value))

    return _Form(f"a list, each of it {inner.name}", lambda value: list(map(inner.to_json, value)), read)


def _object(inner: _Form) -> _Form:
    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) > MOST_ITEMS:
            raise ValueError
        return {key: inner.from_json(item) for key, item in value.items()}

    def write(value: Mapping[str, Any]) -> Json:
        return {key: inner.to_json(item) for key, item in value.items()}

    return _Form(f"an object, each value {inner.name}", write, read)


def _of_type(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError
        return value

    return read


def _integer(value: Any) -> int:
    if type(value) is not int or abs(value) > MOST_INTEGER:
        raise InputRefused(f"an integer in JSON has at most 53 bits, not {_excerpt(value)}")
    return value


def _number(value: Any) -> float:
    if type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if value in NOT_FINITE:
        return float(value)
    raise ValueError


def _excerpt(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_PLAIN: dict[Any, _Form] = {
    bool: _Form("true or false", lambda value: value, _of_type(bool)),
    int: _Form("an integer", _integer, _integer),
    str: _Form("a text", lambda value: value, _of_type(str)),
    float: _Form("a number", lambda value: value if math.isfinite(value) else repr(value), _number),
    bytes: _Form("hexadecimal digits", bytes.hex, bytes.fromhex),
    Digest: _Form("a digest", str, Digest.parse),
    HeldOut: _Form("a held-out result", HeldOut.json, HeldOut.from_json),
}
