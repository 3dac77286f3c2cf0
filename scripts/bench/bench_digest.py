"""How fast a state is digested on one core, beside BLAKE3 over the same bytes in one piece, which
is the least it can take."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fitchain.pod.values.digest import blake3_digest
from fitchain.pod.values.state import TensorBytes, model_root, optimizer_root, state_digest
from scripts.bench.figures import Figure, describe_sides, ratio, side_by_side

STATE_BYTES = 395_000_000
LAYERS = 50


def measure() -> Iterator[Figure]:
    """Yield the figures of this bench: fifty layers, each a parameter with Adam's two moments, as
    views of one block."""
    size = STATE_BYTES // (4 * 3 * LAYERS)
    block = np.random.default_rng(0).random(3 * LAYERS * size, np.float32)
    kinds = ("parameter", "optimizer", "optimizer")
    tensors = [
        TensorBytes(kinds[i % 3], "F32", (size,), block[i * size : (i + 1) * size].data) for i in range(3 * LAYERS)
    ]
    model = {f"{i}.weight": tensors[3 * i] for i in range(LAYERS)}
    moments = {f"{i}.weight/{j}": tensors[3 * i + j] for i in range(LAYERS) for j in (1, 2)}
    times = side_by_side(
        {
            "digest": lambda: state_digest(model_root(model), optimizer_root(moments)),
            "BLAKE3": lambda: blake3_digest(block.data.cast("B")),
        }
    )
    speed = block.nbytes / times["digest"].median / 1e9
    yield Figure("state digest, 395 MB, one core", speed, "GB/s", 3.5, at_least=True, detail=describe_sides(times))
    yield Figure("state digest / BLAKE3 of its bytes", ratio(times, "digest", "BLAKE3"))
