"""What a graph costs over the module it was made of.

Legend: B batch, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitchain.pod.compute.environment import NATIVE
from fitchain.pod.compute.model import Program, export
from fitchain.pod.values.graph import Input
from scripts.bench.figures import Figure, describe_sides, ratio, side_by_side

BATCH, STEPS = 64, 20


def measure() -> Iterator[Figure]:
    """Yield the figure of this bench."""
    yield interpreter()


def interpreter() -> Figure:
    """Training time through the graph over training time through the module, on a small CNN and one
    thread."""
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
    return Figure(
        "graph interpreter / eager training, CNN",
        ratio(times, "graph", "eager"),
        "",
        1.05,
        detail=describe_sides(times),
    )


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
