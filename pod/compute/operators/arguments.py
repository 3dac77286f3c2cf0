"""Arguments: what torch is given for what a graph says, and whether that is what torch's schema
wants.

Torch converts much without a word: an integer passes for a dtype, a layout or a memory format, a
list for a number, and some kernels trust what they get. Here an argument is of its schema's type,
or it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from fitchain.pod.compute.operators.kernels import overload
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Symbol

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

_MEMORY_FORMATS = {
    "contiguous": torch.contiguous_format,
    "preserve": torch.preserve_format,
    "channels_last": torch.channels_last,
    "channels_last_3d": torch.channels_last_3d,
}


def symbol(value: Symbol, device: torch.device) -> Any:
    """What torch is given for a symbol of a graph."""
    match value.what:
        case "dtype":
            return DTYPES[value.name]
        case "layout":
            return torch.strided
        case "memory_format":
            return _MEMORY_FORMATS[value.name]
    return device


def check_arguments(name: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> None:
    """Compare a call with torch's own schema; numbers' operators have none and check themselves.

    Args:
        name: of the operator.
        arguments, options: as torch would be given them.

    Raises:
        InputRefused: an argument is missing, unknown, or not of the type that the schema says.
    """
    if not name.startswith("aten."):
        if options:
            raise InputRefused(f"the operator {name} takes its arguments by place")
        return
    parameters = _parameters(name)
    by_place = [parameter for parameter in parameters if not parameter.kwarg_only]
    if len(arguments) > len(by_place):
        raise InputRefused(f"the operator {name} takes {len(by_place)} arguments by place, not {len(arguments)}")
    values = {parameter.name: value for parameter, value in zip(by_place, arguments, strict=False)}
    for key in options:
        if key in values or key not in {parameter.name for parameter in parameters}:
            raise InputRefused(f"the operator {name} takes no argument {key!r}, or it has it already")
    values.update(options)
    for parameter in parameters:
        if parameter.name in values:
            _check(name, parameter.name, str(parameter.real_type), parameter.N, values[parameter.name])
        elif not parameter.has_default_value():
            raise InputRefused(f"the operator {name} needs the argument {parameter.name!r}")
    wanted = [parameter.name for parameter in parameters if str(parameter.real_type) == "Tensor"]
    if wanted and not any(isinstance(values.get(key), Tensor) for key in wanted):
        raise InputRefused(f"the operator {name} takes a tensor, and numbers alone are none")


@cache
def _parameters(name: str) -> tuple[Any, ...]:
    return tuple(overload(name)._schema.arguments)


def _check(operator: str, name: str, wanted: str, broadcast: int | None, value: Any) -> None:
    if name == "pin_memory" and value:
        raise InputRefused(f"the operator {operator} cannot pin memory: that is the host's business")
    if not _fits(wanted, broadcast, value):
        raise InputRefused(f"the argument {name!r} of {operator} is of type {wanted}, not {_described(value)}")


def _fits(wanted: str, broadcast: int | None, value: Any) -> bool:
    """Whether a value is of a type of torch's schema: `real_type`, which tells enums from integers
    as `type` does not.

    Args:
        wanted: such as `Optional[List[int]]`.
        broadcast: of how many a list is where one number may stand for all; None where it may not.
        value: what torch would be given.
    """
    if wanted.startswith("Optional["):
        return value is None or _fits(wanted[9:-1], broadcast, value)
    if wanted.startswith("List["):
        inner = wanted[5:-1]
        if isinstance(value, list | tuple):
            return all(_fits(inner, None, item) for item in value)
        return broadcast is not None and _fits(inner, None, value)
    return wanted in _KINDS and _KINDS[wanted](value)


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "Tensor": lambda value: isinstance(value, Tensor) or type(value) in (bool, int, float),
    "number": lambda value: type(value) in (bool, int, float),
    "int": lambda value: type(value) is int,
    "float": lambda value: type(value) in (int, float),
    "bool": lambda value: type(value) is bool,
    "str": lambda value: type(value) is str,
    "ScalarType": lambda value: isinstance(value, torch.dtype),
    "Layout": lambda value: isinstance(value, torch.layout),
    "MemoryFormat": lambda value: isinstance(value, torch.memory_format),
    "Device": lambda value: isinstance(value, torch.device),
    # A generator is never given: operators draw from the default one, which each step seeds.
    "Generator": lambda value: False,
}
"""Types of torch's schemas; export writes a number where torch makes a tensor of it."""


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return "a tensor"
    return f"the {type(value).__name__} {value!r:.60}"
