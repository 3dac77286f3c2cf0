"""The square root rounded to nearest (IEEE 754-2019, section 5.4.1: squareRoot), which the vector
libraries behind torch's stock kernels approximate in each vendor's way. NumPy's is the processor's
instruction."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

EXACT = (torch.float32, torch.float64)


def is_root(exponent: object) -> bool:
    """Whether an exponent makes a power a root."""
    return isinstance(exponent, float) and exponent == 0.5


def has_exact_root(x: Tensor) -> bool:
    """Whether the root of a tensor is of a dtype that is computed exactly."""
    return x.dtype in EXACT or not (x.is_floating_point() or x.is_complex())


def exact_root(x: Tensor) -> Tensor:
    """The root of each element; of integers in torch's default dtype.

    Args:
        x: in this process's memory, in any strides.

    Returns:
        A new tensor of the same shape.
    """
    x = (x if x.is_floating_point() else x.to(torch.get_default_dtype())).detach()
    root = torch.empty_like(x)
    with np.errstate(invalid="ignore"):
        np.sqrt(x.numpy(), out=root.numpy())
    return root
