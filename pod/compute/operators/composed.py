"""Functions composed of others: vector libraries approximate the arc functions, the tangent and two
logarithms on each vendor's processors in another way, and the functions that these are made of here
in none.

They are computed in doubles and rounded once, so that a float is nearer to the true value than
stock's. A double may be off by some units in its last place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from fitchain.pod.compute.operators.roots import exact_root

Function = Callable[[Tensor], Tensor]
TAKEN = (torch.float32, torch.float64)


def takes(x: Tensor) -> bool:
    """Whether a function of a tensor is composed: of floats, doubles and integers."""
    return x.dtype in TAKEN or not (x.is_floating_point() or x.is_complex())


def composed(name: str) -> Function:
    """A function by torch's name.

    Args:
        name: a key of `FUNCTIONS`.

    Returns:
        What computes it, of a tensor in any strides: a new one of the same shape, of integers in
        torch's default dtype.
    """
    function = FUNCTIONS[name]

    def compute(x: Tensor) -> Tensor:
        dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
        return function(x.detach().to(torch.float64)).to(dtype)

    return compute


def _cosine_of(sine: Tensor) -> Tensor:
    """The other leg of a right triangle with the hypotenuse 1: NaN where there is none."""
    return exact_root((1 - sine) * (1 + sine))


FUNCTIONS: Mapping[str, Function] = {
    "asin": lambda x: torch.atan2(x, _cosine_of(x)),
    "acos": lambda x: torch.atan2(_cosine_of(x), x),
    "atan": lambda x: torch.atan2(x, torch.ones_like(x)),
    "tan": lambda x: x.sin() / x.cos(),
    "log2": lambda x: x.log() * (1 / math.log(2)),
    "log10": lambda x: x.log() * (1 / math.log(10)),
}
