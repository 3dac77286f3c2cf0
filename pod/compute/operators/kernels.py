"""Kernels: the callables behind the operators' names.

`aten.*` resolve to torch's own operators, once; sizes are Python integers. What a class computes
otherwise than torch's stock stands in `own_kernels`, behind the same operators.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from fitchain.pod.values.errors import InputRefused

Kernel = Callable[..., Any]

MOST_SIZE = (1 << 63) - 1


def kernel(name: str) -> Kernel:
    """Find what computes an operator.

    Args:
        name: one of `fitchain.pod.values.graph.OPERATORS`, brackets aside.

    Raises:
        InputRefused: this build of torch has no such operator.
    """
    if name in _NUMBERS:
        return _NUMBERS[name]
    stock: Kernel = overload(name)._op  # the operator itself, without the wrapper that looks it up at each call
    return stock


def takes_device(name: str) -> bool:
    """Whether an operator makes a tensor out of no tensor, and must be told where."""
    if not name.startswith("aten."):
        return False
    arguments = overload(name)._schema.arguments
    return any(a.name == "device" for a in arguments) and not any("Tensor" in str(a.type) for a in arguments)


def overload(name: str) -> Any:
    """Torch's operator of a full name, with its schema.

    Raises:
        InputRefused: this build of torch has no such operator.
    """
    _, packet, kind = name.split(".")
    try:
        return getattr(getattr(torch.ops.aten, packet), kind)
    except AttributeError:
        raise InputRefused(f"torch {torch.__version__} has no operator {name}") from None


def _size(tensor: Tensor, dimension: int) -> int:
    return tensor.shape[dimension]


def _bounded(compute: Callable[..., int]) -> Kernel:
    """Integers of a graph stay within 64 bits: a foreign one must not grow without end."""

    def run(*numbers: int) -> int:
        if not all(type(number) is int for number in numbers):
            raise TypeError("arithmetic on sizes takes integers")
        size = compute(*numbers)
        if abs(size) > MOST_SIZE:
            raise ValueError("a size lies beyond 64 bits")
        return size

    return run


def _real(compute: Callable[..., float]) -> Kernel:
    def run(*numbers: float) -> float:
        if not all(type(number) in (int, float) for number in numbers):
            raise TypeError("arithmetic on sizes takes numbers")
        return float(compute(*numbers))

    return run


_NUMBERS: Mapping[str, Kernel] = {
    "int.size": _size,
    "int.numel": Tensor.numel,
    "int.add": _bounded(operator.add),
    "int.sub": _bounded(operator.sub),
    "int.mul": _bounded(operator.mul),
    "int.floordiv": _bounded(operator.floordiv),
    "int.mod": _bounded(operator.mod),
    "int.neg": _bounded(operator.neg),
    "int.max": _bounded(max),
    "int.min": _bounded(min),
    "real.of": _real(float),
    "real.add": _real(operator.add),
    "real.sub": _real(operator.sub),
    "real.mul": _real(operator.mul),
    "real.div": _real(operator.truediv),
    "real.neg": _real(operator.neg),
}
