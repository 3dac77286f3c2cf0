"""Sizes: conditions on a batch's size that hold for every one, which torch's solver does not see.

A tensor of 3 B rows cut into pieces of B rows has three, whatever B is; torch asks whether
`(3 B - 1) // B == 2`, finds no proof, and takes the condition for one that holds for this batch
alone. There are few batch sizes that a trace leaves open, so all of them are tried (a million
numbers, 10 ms).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.fx.experimental import symbolic_shapes
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.overrides import TorchFunctionMode

from fitchain.pod.values.recipe.terms import MOST_BATCH

_sympy: Any = vars(symbolic_shapes)["sympy"]
"""Torch's own: its sizes are symbols of it."""
MOST, MOST_POWER = 1 << 53, 16
"""Numbers that are whole numbers and floats alike, of 64 bits each; and a power by which one is
raised."""
FEW_ROWS = 25
"""Up to so many rows on both sides `torch.cdist` takes differences, and beyond, matrix products."""
_FUNCTIONS = {
    "FloorDiv": np.floor_divide,
    "CleanDiv": np.floor_divide,
    "PythonMod": np.mod,
    "Mod": np.mod,
    "Max": lambda *values: np.maximum.reduce(np.broadcast_arrays(*values)),
    "Min": lambda *values: np.minimum.reduce(np.broadcast_arrays(*values)),
}
"""Torch's functions of sizes, of many at once."""


@contextlib.contextmanager
def tried_out() -> Iterator[None]:
    """Answer conditions on one size, while a module is traced, by trying each that it may have."""
    evaluate = ShapeEnv._evaluate_expr

    def answer(environment: ShapeEnv, expression: Any, *values: Any, **options: Any) -> Any:
        constant = _constant(environment, expression)
        return evaluate(environment, expression, *values, **options) if constant is None else constant

    ShapeEnv._evaluate_expr = answer  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        ShapeEnv._evaluate_expr = evaluate  # type: ignore[method-assign]


class Distances(TorchFunctionMode):
    """Settles which way `torch.cdist` goes by the side that does. It asks the first side, which may
    be the batch, and only then the second, a codebook say, that has many rows whatever the first
    has."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        if function is torch.cdist and options.get("compute_mode") == "use_mm_for_euclid_dist_if_necessary":
            rows = [each.shape[-2] for each in arguments[:2]]
            if any(isinstance(each, int) and each > FEW_ROWS for each in rows):
                options = {**options, "compute_mode": "use_mm_for_euclid_dist"}
        return function(*arguments, **options)


def _constant(environment: ShapeEnv, expression: Any) -> Any:
    """What a truth or a whole number is for every size; None where it changes, or is not made of a
    single size."""
    if len(expression.free_symbols) != 1:
        return None
    bounds = environment.var_to_range.get(*expression.free_symbols)
    if bounds is None or not (bounds.lower.is_Integer and bounds.upper.is_Integer):
        return None
    return _constant_within(expression, int(bounds.lower), int(bounds.upper))


@lru_cache(1024)
def _constant_within(expression: Any, lowest: int, highest: int) -> Any:
    """The same for sizes from one to another, both included."""
    if highest - lowest > MOST_BATCH or _largest(expression, highest) > MOST:
        return None
    (symbol,) = expression.free_symbols
    try:
        values = _sympy.lambdify(symbol, expression, [_FUNCTIONS, "numpy"])(np.arange(lowest, highest + 1))
    except (TypeError, ValueError, NameError, ArithmeticError):  # a function of torch's that is not among these
        return None
    first, *_ = distinct = np.unique(values)
    return first.item() if len(distinct) == 1 and first.dtype.kind in "bi" else None


def _largest(expression: Any, highest: int) -> float:
    """A number that no part of an expression exceeds, whatever the size up to the highest;
    infinity where that is not known. Numpy's whole numbers have 64 bits and say nothing beyond."""
    if expression.is_Symbol:
        return highest
    if expression.is_number:
        return abs(float(expression))
    parts = [_largest(each, highest) for each in expression.args]
    name = type(expression).__name__
    if expression.is_Pow:
        power = expression.args[1]
        return max(parts) ** int(power) if power.is_Integer and 0 < power <= MOST_POWER else math.inf
    if expression.is_Add:
        return sum(parts)
    if expression.is_Mul:
        return math.prod(max(1, each) for each in parts)
    is_known = name in _FUNCTIONS or expression.is_Relational or expression.is_Boolean
    return max(parts, default=1) if is_known else math.inf
