"""Metering: how many operations of single elements a kernel takes, by its name and the shapes of
what it is given and makes (docs/format.md, section 3).

Every tensor that a kernel takes or makes counts with its elements, views as if they were copies:
the gradient of a view may have to be made. What takes more than that counts by the rules here:
products and pools by what they multiply or compare, sorting, lookups and random numbers several
times over. The rules are part of what is agreed on, so a change of them is a change of the format.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

PRODUCTS_PER_OPERATION = 32
"""Multiplications of a matrix product or a convolution that count as one operation: they run on
vectors and out of caches."""

PART_OPERATIONS = 1024
"""What a group of a convolution, or a piece that a tensor is cut into, counts beside its elements:
ten microseconds on a slow core (measured: 2 to 9 a group, 7 a piece)."""
TRILINEAR_COPIES = 3
SORTING, SCATTERED = 16, 4
SOLVING, EXPONENTIAL = 8, 32
BICUBIC, TRILINEAR = 16, 8
_WEIGHTS: Mapping[str, int] = {
    **dict.fromkeys(
        ("aten::sort", "aten::topk", "aten::median", "aten::nanmedian", "aten::kthvalue", "aten::mode"), SORTING
    ),
    **dict.fromkeys(
        (
            *("aten::gather", "aten::index", "aten::index_select", "aten::lgamma", "aten::bernoulli"),
            *("aten::bernoulli_", "aten::rand", "aten::rand_like", "aten::randn", "aten::randn_like", "aten::randint"),
            *("aten::uniform_", "aten::normal_", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"),
            *("aten::upsample_linear1d", "aten::upsample_bilinear2d", "aten::im2col", "aten::col2im"),
            *("aten::scatter", "aten::scatter_", "aten::take", "aten::isin", "aten::bucketize", "aten::searchsorted"),
            *("aten::asin", "aten::acos", "aten::atan", "aten::tan", "aten::log2", "aten::log10", "aten::exponential_"),
            *(
                "aten::digamma",
                "aten::randperm",
                "aten::randint_like",
                "aten::multinomial",
                "aten::cummax",
                "aten::cummin",
            ),
            *("aten::scatter_add", "aten::scatter_add_", "aten::index_add", "aten::index_add_", "aten::index_copy"),
            *("aten::index_copy_", "aten::masked_scatter", "aten::normal", "aten::poisson", "aten::polygamma"),
            *("aten::i0", "aten::special_i0e", "aten::special_i1", "aten::special_i1e", "aten::special_erfcx"),
            *("aten::special_ndtri", "aten::special_log_ndtr"),
            *("aten::grid_sampler_2d", "aten::_upsample_bilinear2d_aa"),
        ),
        SCATTERED,
    ),
    "aten::upsample_trilinear3d": TRILINEAR,
    "aten::upsample_bicubic2d": BICUBIC,
    "aten::_upsample_bicubic2d_aa": BICUBIC,
    "aten::grid_sampler_3d": TRILINEAR,
}
"""How often an element counts where it is sorted, looked up, drawn, or mixed with its neighbours."""


def operations_of(name: str, args: Sequence[Any], options: Mapping[str, Any], made: Sequence[Tensor]) -> int:
    """Count the operations of one call.

    Args:
        name: of the kernel, such as `aten::mm`.
        args, options: what it was given.
        made: the tensors that it returned.
    """
    elements = sum(tensor.numel() for tensor in _tensors((*args, *options.values()))) + sum(map(Tensor.numel, made))
    count = _WEIGHTS.get(name, 1) * elements
    if products := _PRODUCTS.get(name):
        count += products(args, made[0]) // PRODUCTS_PER_OPERATION
    elif dimensions := _POOLS.get(name):
        count += made[0].numel() * _window(dimensions, args[1])
    if name == "aten::convolution" and (groups := int(args[8])) > 1:
        count += PART_OPERATIONS * groups
    return count


def piece_operations(pieces: int) -> int:
    """Count the operations of a call that returns a list: each piece is an object of its own, whose
    gradient is made by itself."""
    return PART_OPERATIONS * pieces


def recurrent_operations(rows: int, weights: Sequence[Tensor]) -> int:
    """Count the operations of a recurrent layer: each row (a record at one time) is multiplied by
    every matrix once."""
    matrices = sum(weight.numel() for weight in weights if weight.dim() == 2)
    return rows * matrices // PRODUCTS_PER_OPERATION + sum(weight.numel() for weight in weights)


def grouped_operations(rows: Tensor, matrices: Tensor, made: Tensor) -> int:
    """Count the operations of products of groups of rows, each group by its own matrix."""
    return _matrices(rows, matrices) // PRODUCTS_PER_OPERATION + sum(map(Tensor.numel, (rows, matrices, made)))


def workspace_bytes(name: str, args: Sequence[Any], made: Sequence[Tensor]) -> int:
    """Bytes that a kernel takes beside what it is given and makes, where they are more than that:
    a bilinear layer writes the products of each record down for one output after the other."""
    if name != "aten::_trilinear":
        return 0
    return TRILINEAR_COPIES * made[0].shape[0] * _filter(args[1]) * made[0].element_size()


def bytes_of(tensor: Tensor) -> int:
    """Bytes of a tensor as its shape says them."""
    return tensor.numel() * tensor.element_size()


def _tensors(values: Any) -> Iterator[Tensor]:
    """Every tensor among arguments, lists included."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _matrices(left: Tensor, right: Tensor) -> int:
    """[.., m, k] times [.., k, n]."""
    return int(left.numel() * right.shape[-1])


def _convolution(args: Sequence[Any], made: Tensor) -> int:
    """Each output, or of a transposed convolution each input, meets one filter; args[6] says which
    of the two it is."""
    moved: Tensor = args[0] if args[6] else made
    return moved.numel() * _filter(args[1])


def _trilinear(args: Sequence[Any], made: Tensor) -> int:
    """Each output meets one matrix of the weight, which stands in the middle; its products are made
    one by one."""
    return PRODUCTS_PER_OPERATION * made.numel() * _filter(args[1])


def _filter(weight: Tensor) -> int:
    """Numbers of a weight that belong to one of its first dimension."""
    return weight.numel() // max(weight.shape[0], 1)


def _window(dimensions: int, sizes: Sequence[int]) -> int:
    """Elements that a pool compares or adds for each output; one size stands for all dimensions."""
    return math.prod([*sizes] * dimensions if len(sizes) == 1 else sizes)


_PRODUCTS: Mapping[str, Callable[[Sequence[Any], Tensor], int]] = {
    "aten::mm": lambda args, made: _matrices(args[0], args[1]),
    "aten::bmm": lambda args, made: _matrices(args[0], args[1]),
    "aten::addmm": lambda args, made: _matrices(args[1], args[2]),
    "aten::baddbmm": lambda args, made: _matrices(args[1], args[2]),
    "aten::addbmm": lambda args, made: _matrices(args[1], args[2]),
    **dict.fromkeys(
        (
            *("aten::_linalg_solve_ex", "aten::linalg_inv_ex", "aten::_linalg_det", "aten::_linalg_slogdet"),
            *("aten::linalg_lu_factor_ex", "aten::linalg_lu_solve", "aten::linalg_solve_triangular", "aten::linalg_qr"),
            "aten::linalg_householder_product",
        ),
        lambda args, made: SOLVING * _matrices(args[0], args[0]),
    ),
    "aten::linalg_matrix_exp": lambda args, made: EXPONENTIAL * _matrices(args[0], args[0]),
    "aten::convolution": _convolution,
    "aten::_trilinear": _trilinear,
}
_POOLS: Mapping[str, int] = {
    "aten::max_pool2d_with_indices": 2,
    "aten::max_pool3d_with_indices": 3,
    "aten::avg_pool2d": 2,
    "aten::avg_pool3d": 3,
}
"""Pools by the dimensions of their windows."""
