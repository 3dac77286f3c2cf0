"""Between torch's tensors and a state's bytes.

Torch names dtypes in its own way, and owns memory that others may only look at: `tensor_bytes`
lends a view, `new_tensor` and `fill` copy.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fitchain.pod.compute.operators.arguments import DTYPES
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.state import TensorBytes

DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def dtype_name(what: str, dtype: torch.dtype) -> str:
    """The name of a dtype in a state.

    Raises:
        InputRefused: a state holds no such numbers (complex, quantised).
    """
    if dtype not in DTYPE_NAMES:
        raise InputRefused(f"{what} is of {dtype}, which is not one of {', '.join(str(each) for each in DTYPE_NAMES)}")
    return DTYPE_NAMES[dtype]


def tensor_bytes(kind: str, tensor: Tensor) -> TensorBytes:
    """Lend a tensor's memory as bytes: no copy, so the view changes when the tensor does.

    Args:
        kind: parameter, buffer or optimizer.
        tensor: on the CPU, row-major, any shape.

    Raises:
        InputRefused: it lies elsewhere or is laid out otherwise, or a state holds no such dtype.
    """
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise InputRefused(f"a tensor of shape {list(tensor.shape)} is not laid out row by row in the CPU's memory")
    name = dtype_name("a tensor", tensor.dtype)
    return TensorBytes(kind, name, tuple(tensor.shape), memoryview(_raw(tensor)))  # type: ignore[arg-type]


def new_tensor(source: TensorBytes) -> Tensor:
    """Copy bytes into a tensor of torch's own memory."""
    tensor = torch.empty(source.shape, dtype=DTYPES[source.dtype])
    fill(tensor, source)
    return tensor


def fill(tensor: Tensor, source: TensorBytes) -> None:
    """Copy bytes into a tensor that has their dtype and shape.

    Raises:
        InputRefused: it has not.
    """
    have = dtype_name("a tensor", tensor.dtype), tuple(tensor.shape)
    if have != (source.dtype, source.shape):
        raise InputRefused(
            f"the tensor is {have[0]}{list(have[1])} and the bytes are {source.dtype}{list(source.shape)}"
        )
    if tensor.numel():
        _raw(tensor)[:] = np.frombuffer(source.data, np.uint8)


def _raw(tensor: Tensor) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """A contiguous tensor's memory as bytes."""
    array: np.ndarray[tuple[int], np.dtype[np.uint8]] = tensor.detach().reshape(-1).view(torch.uint8).numpy()
    return array
