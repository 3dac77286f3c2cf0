"""Own kernels: what computes in place of torch's stock, in a process of a class that asks for them.

They are registered with torch's dispatcher, below gradients and `vmap`, so that whatever is made of
them (`linear`, `einsum`, attention, a recurrent cell; a gradient, a gradient's gradient) is
computed with them, in a graph and in an eager module alike, by torch's own formulas. A call that is
none of theirs (other dtypes, sizes that do not fit) goes on to torch's kernel, which computes or
refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.library import Library

from fitchain.pod.compute.operators.lstm import lstm
from fitchain.pod.compute.operators.products import fits, product
from fitchain.pod.values.graph.operators.record import OwnKernel

Stock = Callable[..., Any]
Make = Callable[[Stock], Callable[..., Any]]


def register(own: AbstractSet[OwnKernel]) -> Library:
    """Put own kernels into this process; OpenBLAS has been loaded where they need it.

    Returns:
        What holds them there, for as long as it is kept.
    """
    library = Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    for kernel in own:
        for name, key, make in KERNELS[kernel]:
            library.impl(name, make(_stock(name)), key)  # type: ignore[no-untyped-call]
    return library


def _stock(name: str) -> Stock:
    """Torch's own kernel, behind the dispatcher."""
    kernel = torch.library.get_kernel(f"aten::{name}", "CPU")
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)

    def run(*arguments: Any, **options: Any) -> Any:
        return kernel.call_boxed(keys, *arguments, **options)

    return run


# Products


def _product(stock: Stock) -> Callable[..., Any]:
    def run(x: Tensor, y: Tensor) -> Any:
        return product(x, y) if fits(x, y) else stock(x, y)

    return run


def _added_product(stock: Stock) -> Callable[..., Any]:
    def run(start: Tensor, x: Tensor, y: Tensor, beta: Any = 1, alpha: Any = 1) -> Any:
        if fits(x, y) and start.dtype is x.dtype and start.dim() <= x.dim():
            return product(x, y, float(alpha), start, float(beta))
        return stock(start, x, y, beta=beta, alpha=alpha)

    return run


# Roots


def _exact_root(stock: Stock) -> Callable[..., Any]:
    """The square root rounded to nearest (IEEE 754, section 5.4.1: squareRoot): NumPy's is the
    processor's instruction."""

    def run(x: Tensor) -> Any:
        x = x if x.is_floating_point() or x.is_complex() else x.to(torch.get_default_dtype())
        if x.dtype not in (torch.float32, torch.float64):
            return stock(x)
        root = torch.empty_like(x)
        with np.errstate(invalid="ignore"):
            np.sqrt(x.detach().numpy(), out=root.numpy())
        return root

    return run


# Recurrent layers


def _lstm(stock: Stock) -> Callable[..., Any]:
    def run(x: Tensor, hidden: list[Tensor], weights: list[Tensor], *options: Any) -> tuple[Tensor, ...]:
        biases, layers, _, _, both, _ = options
        if len(weights) == layers * (2 if both else 1) * (4 if biases else 2):  # projections have more
            return lstm(x, hidden, weights, *options)
        outputs: tuple[Tensor, ...] = stock(x, hidden, weights, *options)
        return outputs

    return run


KERNELS: Mapping[OwnKernel, tuple[tuple[str, str, Make], ...]] = {
    OwnKernel.PRODUCT: (
        ("mm", "CPU", _product),
        ("bmm", "CPU", _product),
        ("addmm", "CPU", _added_product),
        ("baddbmm", "CPU", _added_product),
    ),
    OwnKernel.EXACT_ROOT: (("sqrt", "CPU", _exact_root),),
    OwnKernel.LSTM: (("lstm.input", "CompositeImplicitAutograd", _lstm),),
}
"""Own kernels: torch's operators that they replace, at which of the dispatcher's keys, and what
makes the kernel of the stock one."""
