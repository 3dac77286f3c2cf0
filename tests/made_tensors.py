"""Tensors for tests: any that a state may hold, and a few numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from fitchain.pod.values.state import ITEM_BYTES, TensorBytes

NAMES = st.text(st.characters(categories=("L", "N"), include_characters="._-"), min_size=1, max_size=12).filter(
    lambda name: (
        name != "__metadata__"
    )  # the one name that the format keeps for itself; hypothesis finds it in the code
)


@st.composite
def tensors(draw: st.DrawFn, kinds: tuple[str, ...] = ("parameter", "buffer")) -> TensorBytes:
    dtype = draw(st.sampled_from(sorted(ITEM_BYTES)))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    count = ITEM_BYTES[dtype] * int(np.prod(shape))
    values = st.integers(0, 1) if dtype == "BOOL" else st.integers(0, 255)
    data = bytes(draw(st.lists(values, min_size=count, max_size=count)))
    return TensorBytes(draw(st.sampled_from(kinds)), dtype, shape, memoryview(data))


def floats(*values: float, kind: str = "parameter") -> TensorBytes:
    return TensorBytes(kind, "F32", (len(values),), memoryview(np.array(values, "<f4").tobytes()))
