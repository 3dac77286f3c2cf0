"""Kernels: the callables behind the operators' names.

`aten.*` resolve to torch's own operators, once; sizes are Python integers. A class may ask for its
own kernels, which records name, in place of torch's stock. Whoever compares with an eager module in
such a class must use them too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph.operators import OPERATORS
from fitchain.pod.values.graph.operators.record import OwnKernel

Kernel = Callable[..., Any]

MOST_SIZE = (1 << 63) - 1


def kernel(name: str, own: AbstractSet[OwnKernel]) -> Kernel:
    """Find what computes an operator.

    Args:
        name: one of `fitchain.pod.values.graph.OPERATORS`, brackets aside.
        own: the own kernels that the environment class asks for; torch's stock computes the rest.

    Raises:
        InputRefused: this build of torch has no such operator.
    """
    if name in _NUMBERS:
        return _NUMBERS[name]
    stock: Kernel = overload(name)._op  # the operator itself, without the wrapper that looks it up at each call
    wanted = OPERATORS[name].own_kernel
    return OWN_KERNELS[wanted](stock) if wanted in own and wanted is not None else stock


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
    if x.dtype not in (torch.float32, torch.float64):
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
OWN_KERNELS: Mapping[OwnKernel, Callable[[Kernel], Kernel]] = {
    OwnKernel.EXACT_ROOT: lambda stock: _exact_root,
    OwnKernel.ATEN_LSTM: _without_onednn,
}
"""Own kernels, each made of the stock one that it replaces."""
