"""Own kernels: what computes in place of torch's stock, in a process of a class that asks for them.

They are registered with torch's dispatcher, below gradients and `vmap` (a layer above both), so
that whatever torch makes of them (`linear`, `einsum`, attention, a recurrent cell; a norm's
gradient, a gradient's gradient) is computed with them, in a graph and in an eager module alike, by
torch's own formulas. Products with a vector (`mv`, `dot`) and convolutions of a single record stay
with torch's kernels, whose cases are equal, too. A call that is none of theirs (other dtypes, sizes
that do not fit) goes on to torch's kernel, which computes or refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import torch
from torch import Tensor
from torch.library import Library

from fitchain.pod.compute.operators.lstm import lstm, takes
from fitchain.pod.compute.operators.products import fits, product
from fitchain.pod.compute.operators.roots import EXACT, exact_root, has_exact_root, is_root
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


def _product_into(stock: Stock) -> Callable[..., Any]:
    def run(x: Tensor, y: Tensor, out: Tensor) -> Any:
        if fits(x, y) and _is_like(out, x, (*x.shape[:-1], y.shape[-1])):
            return out.copy_(product(x, y))
        return stock(x, y, out=out)

    return run


def _added_product(stock: Stock) -> Callable[..., Any]:
    def run(start: Tensor, x: Tensor, y: Tensor, beta: Any = 1, alpha: Any = 1) -> Any:
        if _adds(start, x, y, beta, alpha):
            return product(x, y, float(alpha), start, float(beta))
        return stock(start, x, y, beta=beta, alpha=alpha)

    return run


def _added_product_into(stock: Stock) -> Callable[..., Any]:
    def run(start: Tensor, x: Tensor, y: Tensor, out: Tensor, beta: Any = 1, alpha: Any = 1) -> Any:
        if _adds(start, x, y, beta, alpha) and _is_like(out, x, (*x.shape[:-1], y.shape[-1])):
            return out.copy_(product(x, y, float(alpha), start, float(beta)))
        return stock(start, x, y, beta=beta, alpha=alpha, out=out)

    return run


def _product_added_in_place(stock: Stock) -> Callable[..., Any]:
    def run(start: Tensor, x: Tensor, y: Tensor, beta: Any = 1, alpha: Any = 1) -> Any:
        if _adds(start, x, y, beta, alpha) and _is_like(start, x, (*x.shape[:-1], y.shape[-1])):
            return start.copy_(product(x, y, float(alpha), start, float(beta)))
        return stock(start, x, y, beta=beta, alpha=alpha)

    return run


def _adds(start: Tensor, x: Tensor, y: Tensor, *factors: Any) -> bool:
    """Whether a product is ours to compute onto a beginning, which may broadcast to it."""
    if not fits(x, y) or start.dtype is not x.dtype or start.dim() > x.dim():
        return False
    sizes = zip(reversed(start.shape), reversed((*x.shape[:-1], y.shape[-1])), strict=False)
    return all(have in (1, wanted) for have, wanted in sizes) and all(isinstance(each, int | float) for each in factors)


def _is_like(out: Tensor, x: Tensor, shape: tuple[int, ...]) -> bool:
    return out.dtype is x.dtype and out.shape == shape


# Roots


def _root(stock: Stock) -> Callable[..., Any]:
    def run(x: Tensor) -> Any:
        return exact_root(x) if has_exact_root(x) else stock(x)

    return run


def _root_into(stock: Stock) -> Callable[..., Any]:
    def run(x: Tensor, out: Tensor) -> Any:
        root = exact_root(x) if has_exact_root(x) else None  # now: `out` may be x
        stock(x, out=out)  # which finds its shape, or refuses it
        return out if root is None else out.copy_(root)

    return run


def _root_in_place(stock: Stock) -> Callable[..., Any]:
    def run(x: Tensor) -> Any:
        return x.copy_(exact_root(x)) if x.dtype in EXACT else stock(x)

    return run


def _power(stock: Stock) -> Callable[..., Any]:
    def run(x: Tensor, exponent: Any) -> Any:
        return exact_root(x) if is_root(exponent) and has_exact_root(x) else stock(x, exponent)

    return run


def _power_into(stock: Stock) -> Callable[..., Any]:
    def run(x: Tensor, exponent: Any, out: Tensor) -> Any:
        root = exact_root(x) if is_root(exponent) and has_exact_root(x) else None
        stock(x, exponent, out=out)
        return out if root is None else out.copy_(root)

    return run


def _power_in_place(stock: Stock) -> Callable[..., Any]:
    def run(x: Tensor, exponent: Any) -> Any:
        return x.copy_(exact_root(x)) if is_root(exponent) and x.dtype in EXACT else stock(x, exponent)

    return run


# Recurrent layers


def _lstm(stock: Stock) -> Callable[..., Any]:
    def run(x: Tensor, hidden: list[Tensor], weights: list[Tensor], *options: Any) -> tuple[Tensor, ...]:
        biases, layers, _, _, both, batch_first = options
        if takes(x, hidden, weights, biases, layers, both, batch_first):
            return lstm(x, hidden, weights, *options)
        outputs: tuple[Tensor, ...] = stock(x, hidden, weights, *options)
        return outputs

    return run


KERNELS: Mapping[OwnKernel, tuple[tuple[str, str, Make], ...]] = {
    OwnKernel.PRODUCT: (
        *((name, "CPU", _product) for name in ("mm", "bmm")),
        *((f"{name}.out", "CPU", _product_into) for name in ("mm", "bmm")),
        *((name, "CPU", _added_product) for name in ("addmm", "baddbmm")),
        *((f"{name}.out", "CPU", _added_product_into) for name in ("addmm", "baddbmm")),
        *((f"{name}_", "CPU", _product_added_in_place) for name in ("addmm", "baddbmm")),
    ),
    OwnKernel.EXACT_ROOT: (
        *(("sqrt", "CPU", _root), ("sqrt.out", "CPU", _root_into), ("sqrt_", "CPU", _root_in_place)),
        *(("pow.Tensor_Scalar", "CPU", _power), ("pow.Tensor_Scalar_out", "CPU", _power_into)),
        ("pow_.Scalar", "CPU", _power_in_place),
    ),
    OwnKernel.LSTM: (("lstm.input", "CompositeImplicitAutograd", _lstm),),
}
"""Own kernels: torch's operators that they replace, at which of the dispatcher's keys, and what
makes the kernel of the stock one."""
