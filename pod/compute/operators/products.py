"""Products of tensors, by OpenBLAS.

What is given to the library are bare addresses, so whoever multiplies asks `fits` first.

Legend: N batch, I rows, K summed, J columns.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from fitchain.pod.compute.operators.openblas import AS_IT_IS, ROW_MAJOR, TRANSPOSED, gemm

_LETTERS = {torch.float32: "s", torch.float64: "d"}


def fits(x: Tensor, y: Tensor) -> bool:
    """Whether the library multiplies two tensors: of floats or doubles, of 2 or 3 dimensions, of
    fitting sizes, none of them 0."""
    x_shape, y_shape, dimensions = x.shape, y.shape, x.dim()
    return (
        x.dtype in _LETTERS
        and y.dtype is x.dtype
        and y.dim() == dimensions
        and (dimensions == 2 or (dimensions == 3 and x_shape[0] == y_shape[0]))
        and x_shape[-1] == y_shape[-2]
        and 0 not in x_shape
        and 0 not in y_shape
    )


def product(x: Tensor, y: Tensor, alpha: float = 1.0, start: Tensor | None = None, beta: float = 1.0) -> Tensor:
    """alpha x y + beta start, of tensors that fit.

    Args:
        x: `[I, K]` or `[N, I, K]`, in any strides; copied where BLAS cannot read them.
        y: `[K, J]` or `[N, K, J]`, likewise.
        alpha, beta: factors; `start` is not read where beta is 0.
        start: what it is added to, of the result's shape or one that broadcasts to it.

    Returns:
        A new tensor.
    """
    out = torch.empty((*x.shape[:-1], y.shape[-1]), dtype=x.dtype)
    if start is None or beta == 0:
        beta = 0.0
    else:
        out.copy_(start)
    _multiply(x, y, out, alpha, beta)
    return out


def add_product(out_IJ: Tensor, x_IK: Tensor, y_KJ: Tensor, beta: float = 1.0) -> None:
    """out = beta out + x y, in place; what stands in `out` is not read where beta is 0.

    Args:
        out_IJ: contiguous.
        x_IK, y_KJ: in any strides.

    Raises:
        ValueError: they do not fit.
    """
    shape = x_IK.shape[0], y_KJ.shape[-1]
    if not fits(x_IK, y_KJ) or out_IJ.shape != shape or out_IJ.dtype is not x_IK.dtype or not out_IJ.is_contiguous():
        raise ValueError(f"{list(x_IK.shape)} and {list(y_KJ.shape)} do not multiply into {list(out_IJ.shape)}")
    _multiply(x_IK, y_KJ, out_IJ, 1.0, beta)


def _multiply(x: Tensor, y: Tensor, out: Tensor, alpha: float, beta: float) -> None:
    """out = beta out + alpha x y, unchecked; one pair, or N of them. With small tensors the calls
    cost more than the sums, so this is short rather than general."""
    x, x_way, x_distance = _matrix(x)
    y, y_way, y_distance = _matrix(y)
    x_at, y_at, out_at, shape = x.data_ptr(), y.data_ptr(), out.data_ptr(), out.shape
    rows, columns, summed = shape[-2], shape[-1], x.shape[-1]
    ways = ROW_MAJOR, x_way, y_way, rows, columns, summed, alpha
    if len(shape) == 2:
        _gemm(x.dtype)(*ways, x_at, x_distance, y_at, y_distance, beta, out_at, columns)
    else:
        x_next, y_next = x.stride(0), y.stride(0)
        pair = x_at, x_distance, x_next, y_at, y_distance, y_next
        _gemm_batch(x.dtype)(*ways, *pair, beta, out_at, columns, rows * columns, shape[0])


def _matrix(tensor: Tensor) -> tuple[Tensor, int, int]:
    """A tensor in memory that BLAS can read (itself or a copy), whether its last two dimensions are
    exchanged there, and the distance of its rows."""
    *_, rows, columns = tensor.shape
    *_, row_step, column_step = tensor.stride()
    if (column_step == 1 or columns == 1) and (row_step >= columns or rows == 1):
        return tensor, AS_IT_IS, max(row_step, columns)
    if (row_step == 1 or rows == 1) and (column_step >= rows or columns == 1):
        return tensor, TRANSPOSED, max(column_step, rows)
    return tensor.contiguous(), AS_IT_IS, columns


@cache
def _gemm(dtype: torch.dtype) -> Any:
    return gemm(_LETTERS[dtype])


@cache
def _gemm_batch(dtype: torch.dtype) -> Any:
    return gemm(_LETTERS[dtype], batched=True)
