"""Kernels: the callables behind a graph's operator names.

`aten.*` resolve to torch's own operators, once; sizes are Python integers. Two operators differ in
`cpu-x86-64-v3` from torch's stock, for the reason in `fitchain.pod.values.graph.operators`: `sqrt`
is exact, and recurrent layers leave oneDNN out. Whoever compares with an eager module in that class
must do the same there.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import NATIVE, V3

Kernel = Callable[..., Any]

MOST_SIZE = (1 << 63) - 1


def kernel(name: str, class_name: str) -> Kernel:
    """Find what computes an operator.

    Args:
        name: one of `fitchain.pod.values.graph.KNOWN`.
        class_name: the environment class.

    Raises:
        InputRefused: this build of torch has no such operator.
    """
    if name in _OWN:
        return _OWN[name]
    if class_name != NATIVE and name in _EXACT:
        return _EXACT[name]
    stock: Kernel = _overload(name)._op  # the operator itself, without the wrapper that looks it up at each call
    return _without_onednn(stock) if class_name == V3 and name == "aten.lstm.input" else stock


def takes_device(name: str) -> bool:
    """Whether an operator makes a tensor out of no tensor, and must be told where."""
    if not name.startswith("aten."):
        return False
    arguments = _overload(name)._schema.arguments
    return any(a.name == "device" for a in arguments) and not any("Tensor" in str(a.type) for a in arguments)


def _overload(name: str) -> Any:
    _, packet, overload = name.split(".")
    try:
        return getattr(getattr(torch.ops.aten, packet), overload)
    except AttributeError:
        raise InputRefused(f"torch {torch.__version__} has no operator {name}") from None


def _without_onednn(stock: Kernel) -> Kernel:
    """Let ATen's own kernels compute: oneDNN's recurrent ones have not been shown equal across
    CPUs."""

    def run(*arguments: Any) -> Any:
        before = torch._C._get_mkldnn_enabled()
        torch._C._set_mkldnn_enabled(False)
        try:
            return stock(*arguments)
        finally:
            torch._C._set_mkldnn_enabled(before)

    return run


class _ExactRoot(torch.autograd.Function):
    """The square root rounded to nearest, with the gradient that torch gives its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """IEEE 754 section 5.4.1: squareRoot is correctly rounded; NumPy's is the processor's
        instruction."""
        root = torch.empty_like(x)
        with np.errstate(invalid="ignore"):
            np.sqrt(x.detach().numpy(), out=root.numpy())
        ctx.save_for_backward(root)
        return root

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """d sqrt(x) = dx / (2 sqrt(x))."""
        root: Tensor = ctx.saved_tensors[0]
        return gradients[0] / (2 * root)


def _exact_root(x: Tensor) -> Tensor:
    if not x.is_floating_point():
        x = x.to(torch.get_default_dtype())
    if x.is_meta or x.dtype not in (torch.float32, torch.float64):
        return torch.sqrt(x)
    root: Tensor = _ExactRoot.apply(x)  # type: ignore[no-untyped-call]
    return root


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


_OWN: dict[str, Kernel] = {
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
_EXACT: dict[str, Kernel] = {"aten.sqrt.default": _exact_root}
