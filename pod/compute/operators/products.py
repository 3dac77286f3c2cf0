"""Products of tensors, by OpenBLAS.

What is given to the library are bare addresses, so whoever multiplies asks `fits` first.

Legend: N batch, I rows, K summed, J columns.
"""

from __future__ import annotations

from collections.abc import Callable
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


def step_products(x_MIK: Tensor, y_KJ: Tensor, out_NIJ: Tensor) -> Callable[[int, int], None]:
    """Products of steps with one matrix, each as cheap to call as can be.

    Args:
        x_MIK, out_NIJ: steps, of rows that lie one after the other.
        y_KJ: in any strides.

    Returns:
        A function of m and n that adds x_MIK[m] y_KJ to out_NIJ[n].

    Raises:
        ValueError: they do not fit.
    """
    (_, rows, summed), columns = x_MIK.shape, y_KJ.shape[1]
    fitting = fits(x_MIK[0], y_KJ) and out_NIJ.dtype is x_MIK.dtype and out_NIJ.shape[1:] == (rows, columns)
    if not (fitting and _is_of_rows(x_MIK) and _is_of_rows(out_NIJ)):
        raise ValueError(f"{list(x_MIK.shape)} and {list(y_KJ.shape)} do not multiply into {list(out_NIJ.shape)}")
    y_KJ, way, y_distance = _matrix(y_KJ)
    multiply, x_count, out_count = _gemm(x_MIK.dtype), x_MIK.shape[0], out_NIJ.shape[0]
    x_distance, out_distance = x_MIK.stride(1), out_NIJ.stride(1)
    x_next, out_next = x_MIK.stride(0) * x_MIK.itemsize, out_NIJ.stride(0) * out_NIJ.itemsize
    ways = ROW_MAJOR, AS_IT_IS, way, rows, columns, summed, 1.0

    def add(m: int, n: int) -> None:
        if not (0 <= m < x_count and 0 <= n < out_count):
            raise ValueError(f"there is no step {m} of {x_count}, or no step {n} of {out_count}")
        # Addresses anew at each call, so that the tensors are kept for as long as this function is.
        x_at, y_at, out_at = x_MIK.data_ptr() + m * x_next, y_KJ.data_ptr(), out_NIJ.data_ptr() + n * out_next
        multiply(*ways, x_at, x_distance, y_at, y_distance, 1.0, out_at, out_distance)

    return add


def _is_of_rows(steps: Tensor) -> bool:
    """Whether each row lies in one piece, and none in another."""
    _, rows, columns = steps.shape
    return steps.stride(2) == 1 and steps.stride(1) >= columns and steps.stride(0) >= rows * steps.stride(1)


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
