"""What a graph costs over the module it was made of, and how fast a state is digested.

Legend: B batch, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pod.digest import ZERO
from pod.graph import NATIVE, Input
from pod.model import Program, export
from pod.state import TensorBytes, model_root, state_digest
from scripts.bench.figures import Figure, ratio, side_by_side

BATCH, STEPS = 64, 20
STATE_BYTES = 395_000_000


def measure() -> Iterator[Figure]:
    """Yield the figures of this bench."""
    yield interpreter()
    yield digest()


def interpreter() -> Figure:
    """Training time through the graph over training time through the module, on a small CNN and one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    module = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Dropout(0.25), nn.Flatten(), nn.Linear(32 * 4 * 4, 10)),
    )
    graph, tensors = export(module, [Input("images", "F32", (1, 8, 8))], BATCH)
    program = Program(graph, tensors, NATIVE)
    sides = {
        "graph": _training(lambda x: program(x, training=True), list(program.trainable.values())),
        "eager": _training(module, list(module.parameters())),
    }
    times = side_by_side(sides, rounds=15)
    torch.set_num_threads(threads)
    told = ", ".join(f"{name} {time.told()}" for name, time in times.items())
    return Figure("graph interpreter / eager training, CNN", ratio(times, "graph", "eager"), "", 1.05, detail=told)


def _training(model: Callable[[Tensor], Tensor], parameters: list[Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(parameters, 1e-3, fused=True)
    images_B1HW, target_B = torch.rand(BATCH, 1, 8, 8), torch.arange(BATCH) % 10

    def train() -> None:
        for _ in range(STEPS):
            loss = F.cross_entropy(model(images_B1HW), target_B)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return train


def digest() -> Figure:
    """Bytes of state digested in a second by one core: a hundred tensors, parameters and buffers."""
    floats = STATE_BYTES // 4 // 100
    rows = np.random.default_rng(0).random((100, floats), np.float32)
    state = {
        f"layer{i}.weight": TensorBytes("parameter", "F32", (floats,), memoryview(row)) for i, row in enumerate(rows)
    }
    times = side_by_side({"digest": lambda: state_digest(model_root(state), ZERO)})["digest"]
    speed = floats * 4 * 100 / times.median / 1e9
    return Figure("state digest, 395 MB, one core", speed, "GB/s", 3.5, at_least=True, detail=times.told())
