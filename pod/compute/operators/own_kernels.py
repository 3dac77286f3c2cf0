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

from fitchain.pod.compute.operators.composed import FUNCTIONS, composed
from fitchain.pod.compute.operators.composed import takes as is_composed
from fitchain.pod.compute.operators.lstm import lstm, takes
from fitchain.pod.compute.operators.products import fits, product
from fitchain.pod.compute.operators.roots import exact_root, has_exact_root, is_root
from fitchain.pod.values.graph.operators.record import OwnKernel

Own = Callable[..., Any]
"""An own kernel: the result, or None where a call is not one of its."""


def register(own: AbstractSet[OwnKernel]) -> Library:
    """Put own kernels into this process; OpenBLAS has been loaded where they need it.

    Returns:
        What holds them there, for as long as it is kept.
    """
    library = Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    for kernel in own:
        for name, key, form, compute in KERNELS[kernel]:
            library.impl(name, form(compute, _stock(name)), key)  # type: ignore[no-untyped-call]
    return library


def _stock(name: str) -> Callable[..., Any]:
    """Torch's own kernel, behind the dispatcher."""
    kernel = torch.library.get_kernel(f"aten::{name}", "CPU")
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)

    def run(*arguments: Any, **options: Any) -> Any:
        return kernel.call_boxed(keys, *arguments, **options)

    return run


# Forms of an operator: with a result of its own, with one that is written into, in place


def _new(own: Own, stock: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        result = own(*arguments, **options)
        return stock(*arguments, **options) if result is None else result

    return run


def _into(own: Own, stock: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any, out: Tensor, **options: Any) -> Any:
        result = own(*arguments, **options)  # now: `out` may be one of the arguments
        if result is None or out.shape != result.shape or out.dtype is not result.dtype:
            stock(*arguments, out=out, **options)  # which finds its shape, or refuses it
        return out if result is None else out.copy_(result)

    return run


def _in_place(own: Own, stock: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Tensor, *arguments: Any, **options: Any) -> Any:
        result = own(x, *arguments, **options)
        if result is None or x.shape != result.shape or x.dtype is not result.dtype:
            return stock(x, *arguments, **options)
        return x.copy_(result)

    return run


def _product(x: Tensor, y: Tensor) -> Tensor | None:
    return product(x, y) if fits(x, y) else None


def _added_product(start: Tensor, x: Tensor, y: Tensor, beta: Any = 1, alpha: Any = 1) -> Tensor | None:
    if not fits(x, y) or start.dtype is not x.dtype or start.dim() > x.dim():
        return None
    sizes = zip(reversed(start.shape), reversed((*x.shape[:-1], y.shape[-1])), strict=False)
    broadcasts = all(have in (1, wanted) for have, wanted in sizes)
    if not (broadcasts and isinstance(beta, int | float) and isinstance(alpha, int | float)):
        return None
    return product(x, y, float(alpha), start, float(beta))


def _root(x: Tensor) -> Tensor | None:
    return exact_root(x) if has_exact_root(x) else None


def _power(x: Tensor, exponent: Any) -> Tensor | None:
    return exact_root(x) if is_root(exponent) and has_exact_root(x) else None


def _composed(name: str) -> Own:
    compute = composed(name)
    return lambda x: compute(x) if is_composed(x) else None


def _lstm(x: Tensor, hidden: list[Tensor], weights: list[Tensor], *options: Any) -> tuple[Tensor, ...] | None:
    biases, layers, _, _, both, batch_first = options
    return lstm(x, hidden, weights, *options) if takes(x, hidden, weights, biases, layers, both, batch_first) else None


Form = Callable[[Own, Callable[..., Any]], Callable[..., Any]]
KERNELS: Mapping[OwnKernel, tuple[tuple[str, str, Form, Own], ...]] = {
    OwnKernel.PRODUCT: tuple(
        (f"{name}{ending}", "CPU", form, own)
        for names, own, forms in (
            (("mm", "bmm"), _product, (("", _new), (".out", _into))),
            (("addmm", "baddbmm"), _added_product, (("", _new), (".out", _into), ("_", _in_place))),
        )
        for name in names
        for ending, form in forms
    ),
    OwnKernel.EXACT_ROOT: (
        ("sqrt", "CPU", _new, _root),
        ("sqrt.out", "CPU", _into, _root),
        ("sqrt_", "CPU", _in_place, _root),
        ("pow.Tensor_Scalar", "CPU", _new, _power),
        ("pow.Tensor_Scalar_out", "CPU", _into, _power),
        ("pow_.Scalar", "CPU", _in_place, _power),
    ),
    OwnKernel.COMPOSED: tuple(
        (f"{name}{ending}", "CPU", form, _composed(name))
        for name in FUNCTIONS
        for ending, form in (("", _new), (".out", _into), ("_", _in_place))
    ),
    OwnKernel.LSTM: (("lstm.input", "CompositeImplicitAutograd", _new, _lstm),),
}
"""Own kernels: torch's operators that they replace, at which of the dispatcher's keys, in which
form."""
