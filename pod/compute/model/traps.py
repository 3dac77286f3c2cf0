"""Traps: what ends a process, or gives memory that nobody wrote, in place of an error.

The quotient of the lowest integer and -1 is none of its dtype; the instruction then traps
(SIGFPE), and a training that traps at a step of a stranger's choice is one that an owner would try
again until its bond is lost. What would trap is an error like any other here, so that it ends the
training for everybody alike. Grouped products leave the rows behind the last group as memory was:
groups end with the last row, or it is an error, too.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2A, IDIV.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from fitchain.pod.compute.operators.kernels import Kernel

DIVISIONS = frozenset({"div", "divide", "true_divide", "floor_divide", "remainder", "fmod"})
"""Operators whose kernels divide integers, where both are integers; in place or not."""
GROUPED = "aten._grouped_mm.default"


def without_traps(operator: str, call: Kernel) -> Kernel:
    """A kernel that raises where it would trap; itself where it cannot."""
    if operator == GROUPED:
        return partial(_multiply_groups, call)
    name = operator.split(".")[1].removesuffix("_")
    return partial(_divide, call) if operator.startswith("aten.") and name in DIVISIONS else call


def _divide(call: Kernel, x: Any, y: Any, *rest: Any, **options: Any) -> Any:
    if _is_integral(x) and _is_integral(y):
        of = x if isinstance(x, Tensor) else y
        if isinstance(of, Tensor) and not of.is_meta and of.dtype.is_signed:
            lowest = torch.iinfo(torch.result_type(x, y)).min
            if bool(torch.logical_and(_equals(x, lowest), _equals(y, -1)).any()):
                raise ArithmeticError(f"the quotient of {lowest} and -1 is no integer of 64 bits or fewer")
    return call(x, y, *rest, **options)


def _multiply_groups(call: Kernel, rows: Tensor, matrices: Tensor, ends: Tensor, *rest: Any) -> Any:
    if not rows.is_meta:
        places = [0, *ends.tolist()]
        if places != sorted(places) or places[-1] != len(rows):
            raise ValueError(f"groups of rows end one after the other, and the last with row {len(rows)}")
    return call(rows, matrices, ends, *rest)


def _is_integral(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not (value.dtype.is_floating_point or value.dtype.is_complex or value.dtype is torch.bool)
    return type(value) is int


def _equals(value: Any, number: int) -> Tensor:
    return torch.as_tensor(value == number)
