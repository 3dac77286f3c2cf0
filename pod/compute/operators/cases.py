"""Cases: the calls of a record, run forward and backward on fixed numbers.

The numbers come from `rand` and arithmetic; `randn` differs by vector width. A case's digest is
that of all that comes out: values, gradients, and tensors that were changed on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from fitchain.pod.compute.operators.arguments import DTYPES, symbol
from fitchain.pod.compute.operators.kernels import kernel, overload
from fitchain.pod.values.digest import Digest, blake3_digest, sha256, tagged
from fitchain.pod.values.graph import Symbol
from fitchain.pod.values.graph.operators.record import Case, Layout, Operator, Sample

_ODD = {
    torch.float32: (torch.int32, (1, 0x7F800000, -0x800000, 0x7FC01234, 0, -0x80000000, 0x7F7FFFFF, 0x7FFFFF)),
    torch.float64: (
        torch.int64,
        (1, 0x7FF << 52, -(1 << 52), (0x7FF8 << 48) | 0x1234, 0, -(1 << 63), (0x7FF << 52) - 1, (1 << 52) - 1),
    ),
}
"""Bits of odd numbers: the smallest denormal, both infinities, a NaN with a payload, both zeros,
the largest number, the largest denormal."""


def case_name(record: Operator, case: Case) -> str:
    """What a case is called, like `aten.mm.default(64x129, 129x33)`."""
    return f"{record.name}({case})"


def case_digest(name: str, results: Iterable[Tensor | float | int | None]) -> Digest:
    """Digest of what a case gives: of each result its dtype, its shape and its bits. Of a NaN it
    says that it is one: of which operand an instruction keeps sign and payload, emulation does not
    show."""
    return tagged("fitchain/probe-case/v2", sha256(name.encode()), blake3_digest(b"".join(map(_bits, results))))


def _bits(result: Tensor | float | int | None) -> bytes:
    if not isinstance(result, Tensor):
        return f"{result!r};".encode()
    described = f"{result.dtype} {list(result.shape)};".encode()
    if result.is_floating_point():
        result = torch.where(result.isnan(), torch.nan, result)
    return described + result.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def run_case(record: Operator, case: Case) -> list[Tensor | float | int | None]:
    """Call an operator as a case says; its generator's seed is 1.

    Args:
        record: of the operator.
        case: of the record.

    Returns:
        Its values, their gradients with respect to the samples that require one (None where none
        depends on it), and the samples that do not, which it may have changed.
    """
    taken: list[Tensor] = []

    def argument(value: Any) -> Any:
        if isinstance(value, tuple):
            return [argument(item) for item in value]
        if isinstance(value, Sample):
            taken.append(make_sample(value, len(taken) + 1))
            return taken[-1]
        return symbol(value, torch.device("cpu")) if isinstance(value, Symbol) else value

    arguments = [argument(value) for value in case.arguments]
    options = {key: argument(value) for key, value in case.options.items()}
    if _changes_its_first(record) and taken and taken[0].requires_grad:
        arguments[0] = taken[0].clone()  # what a gradient is taken for cannot be changed in place
    torch.manual_seed(1)
    value = kernel(record.name)(*arguments, **options)
    values = list(value) if isinstance(value, list | tuple) else [value]
    return [*values, *_gradients(values, taken), *(tensor for tensor in taken if not tensor.requires_grad)]


def _changes_its_first(record: Operator) -> bool:
    if not record.name.startswith("aten."):
        return False
    first = [*overload(record.name)._schema.arguments][:1]
    return any(argument.alias_info is not None and argument.alias_info.is_write for argument in first)


def _gradients(values: list[Any], taken: list[Tensor]) -> list[Tensor | None]:
    """Gradients of values weighted by their places."""
    differentiable = [value for value in values if isinstance(value, Tensor) and value.requires_grad]
    leaves = [tensor for tensor in taken if tensor.requires_grad]
    if not differentiable or not leaves:
        return []
    weights = [
        (torch.arange(1, value.numel() + 1, dtype=value.dtype) / max(value.numel(), 1)).reshape(value.shape)
        for value in differentiable
    ]
    return list(torch.autograd.grad(differentiable, leaves, weights, allow_unused=True))


def make_sample(sample: Sample, position: int) -> Tensor:
    """Make the tensor of a sample that stands at a position, from 1 on, among those of its case."""
    dtype, generator = DTYPES[sample.dtype], torch.Generator().manual_seed(position)
    drawn = torch.float64 if dtype == torch.float64 else torch.float32
    values = torch.rand(sample.shape, generator=generator, dtype=drawn) * (sample.high - sample.low) + sample.low
    if sample.ascending:
        values = values.sort().values
        if not dtype.is_floating_point:
            values[-1] = sample.high - 1
    if not dtype.is_floating_point:
        return _laid(values.floor().clamp(sample.low, sample.high - 1).to(dtype), sample.layout)
    values = values.to(dtype)
    if sample.odd:
        integers, bits = _ODD[dtype]
        places = values.view(integers).reshape(-1)[::7]
        places.copy_(torch.tensor(bits, dtype=integers).repeat(places.numel() // len(bits) + 1)[: places.numel()])
    laid = _laid(values, sample.layout)
    return laid.requires_grad_() if sample.requires_grad else laid


def _laid(values: Tensor, layout: Layout) -> Tensor:
    """The same numbers in another place of memory."""
    if layout is Layout.ROWS:
        return values
    if layout is Layout.TRANSPOSED:
        return values.transpose(-1, -2).contiguous().transpose(-1, -2)
    if layout is Layout.CHANNELS:
        return values.movedim(1, -1).contiguous().movedim(-1, 1)
    leading, last = values.shape[:-1], values.shape[-1]
    if layout is Layout.SLICED:
        view = torch.zeros((*leading, 2 * last), dtype=values.dtype)[..., ::2]
    else:
        view = torch.zeros((*leading, last + 1), dtype=values.dtype)[..., 1:]
    return view.copy_(values)
