"""Between torch's tensors and a state's bytes.

Torch names dtypes in its own way, and owns memory that others may only look at: `tensor_bytes`
lends a view, `new_tensor` and `fill` copy.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from fitchain.pod.compute.operators.arguments import DTYPES
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.graph.operators import COMPLEX
from fitchain.pod.values.state import TensorBytes, Tensors

DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def dtype_name(what: str, dtype: torch.dtype) -> str:
    """The name of a dtype in a state.

    Raises:
        InputRefused: a state holds no such numbers (complex, quantised).
    """
    if dtype not in DTYPE_NAMES:
        raise InputRefused(
            f"{what} is of {dtype}, which is not one of {', '.join(str(each) for each in DTYPE_NAMES)}",
            COMPLEX if dtype.is_complex else "",
        )
    return DTYPE_NAMES[dtype]


def require_plain(name: str, tensor: Tensor) -> None:
    """Refuse a parameter or a buffer that is no dense array of numbers in the CPU's memory.

    Raises:
        InputRefused: it has no shape or no numbers yet, or is quantised, sparse, nested or complex.
    """
    what = f"the {'parameter' if isinstance(tensor, nn.Parameter) else 'buffer'} {name!r}"
    if is_lazy(tensor):
        raise InputRefused(
            f"{what} has no shape yet",
            "give its layer the sizes (nn.Linear(4, 2), not nn.LazyLinear(2)), or run the module once before",
        )
    if tensor.device.type == "meta":
        raise InputRefused(
            f"{what} lies on the device meta, where it has no numbers",
            "make the module on the CPU, or give it numbers: .to_empty(device='cpu'), then load its weights",
        )
    if tensor.device.type != "cpu":
        raise InputRefused(f"{what} lies on {tensor.device}", "move the module with .cpu()")
    if tensor.is_quantized:
        raise InputRefused(f"{what} is quantised, and training moves F32", "publish the module as it was before")
    if tensor.is_nested or tensor.layout != torch.strided:
        kind = "a nested tensor" if tensor.is_nested else f"laid out as {tensor.layout}"
        cure = "torch.nested.to_padded_tensor(t, 0.0)" if tensor.is_nested else ".to_dense()"
        raise InputRefused(f"{what} is {kind}, and not row by row", f"replace it by its {cure}")
    if tensor.is_complex():
        raise InputRefused(f"{what} is complex ({tensor.dtype}), and states hold real numbers", COMPLEX)


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


def require_tensors(graph: Graph, tensors: Tensors, hint: str, compares_kinds: bool = False) -> None:
    """Refuse tensors that are not exactly those that a graph names.

    Args:
        graph, tensors: what is compared.
        hint: what to do where they are not.
        compares_kinds: whether a buffer must be named as one; a file of another program's does not
            name kinds.

    Raises:
        InputRefused: so it is.
    """
    for name in sorted(graph.tensors.keys() ^ tensors.keys()):
        where = "the graph" if name in graph.tensors else "the weights"
        raise InputRefused(f"the tensor {name!r} is only in {where}", hint)
    for name, spec in graph.tensors.items():
        have, want = (
            f"a {each.kind} {each.dtype}{list(each.shape)}" if compares_kinds else f"{each.dtype}{list(each.shape)}"
            for each in (tensors[name], spec)
        )
        if have != want:
            raise InputRefused(f"the tensor {name!r} is {have} in the weights and {want} in the graph", hint)


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
