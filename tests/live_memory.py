"""What a training step takes of a host's memory: `python -m tests.live_memory`, in a process with
the variables of `cpu-x86-64-v3`, trains each of some models for two steps, and prints as JSON how
many bytes were metered and how many the kernel saw at most."""

from __future__ import annotations

import ctypes
import gc
import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitchain.pod.compute.environment import installed_torch
from fitchain.pod.compute.environment.process import configure
from fitchain.pod.compute.model import step_work
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.program import Program
from fitchain.pod.values.graph import Input
from fitchain.pod.values.recipe import Environment

ENVIRONMENT = Environment("cpu-x86-64-v3", 1, installed_torch())
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"


class Transformer(nn.Module):
    """Two encoder layers, with attention over 128 tokens."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
        self.layers, self.last = nn.TransformerEncoder(layer, 2), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> Tensor:  # [B, 128, 128] -> [B, 4]
        output_BC: Tensor = self.last(self.layers(x).mean(1))
        return output_BC


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 4))


def convolutional() -> nn.Module:
    layers = [nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()) for _ in range(3)]
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)
    )


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "wide": (wide, (1024,), 64),
    "convolutional": (convolutional, (3, 64, 64), 32),
    "transformer": (Transformer, (128, 128), 64),
}
"""How each is made, the shape of a record, and the batch."""


def measured(name: str) -> dict[str, int]:
    """Metered bytes, and bytes that the process took more than before its program was made."""
    make, shape, batch = MODELS[name]
    graph, weights = export(make().train(), (Input("x", "F32", shape),), 2)
    metered = step_work(graph, batch).bytes
    _train(Program(graph, weights), 2, shape)  # what kernels keep for good
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the export let go of would be taken again, unseen
    before = _now()
    CLEAR.write_text(RESET_PEAK)
    _train(Program(graph, weights), batch, shape)
    return {"metered": metered, "taken": _bytes_of("VmHWM") - before}


def _train(program: Program, batch: int, shape: tuple[int, ...]) -> None:
    optimizer = torch.optim.AdamW(list(program.trainable.values()), fused=True, amsgrad=True)
    for _ in range(2):
        x, target_B = torch.rand(batch, *shape), torch.zeros(batch, dtype=torch.int64)
        loss = F.cross_entropy(program(x, training=True), target_B)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _now() -> int:
    return _bytes_of("VmRSS")


def _bytes_of(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) << 10


if __name__ == "__main__":
    configure(ENVIRONMENT)
    print(json.dumps({name: measured(name) for name in MODELS}))
