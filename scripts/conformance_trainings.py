"""Four small trainings for the conformance suite: 200 steps each, and what comes out is the
transcript's root, as a job's is.

Models are exported here, by this processor, once; what they are trained on follows from arithmetic.

Legend: B batch, T time, F features, C channels, H height, W width.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fitchain.pod.compute.environment import Environment
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import read_safetensors, write_safetensors
from scripts.sample_jobs import CLASSES, sample_job, sample_recipe

if TYPE_CHECKING:  # imported late otherwise: importing torch before the class's variables are set would spoil them
    from torch import Tensor, nn

STEPS, SEGMENT, BATCH = 200, 20, 8
SHAPES: dict[str, tuple[int, ...]] = {"mlp": (32,), "transformer": (8, 4), "lstm": (8, 4), "cnn": (3, 12, 12)}
"""The shape of a record, by the model's name."""


def prepare(folder: Path, environment: Environment) -> None:
    """Export the models, and write a recipe for each."""
    import torch

    from fitchain.pod.compute.model.export import export

    for name, make in _models().items():
        torch.manual_seed(1)
        graph, initial = export(make(), [Input("x", "F32", SHAPES[name])], BATCH)
        job = folder / name
        job.mkdir(parents=True)
        (job / "graph.json").write_bytes(graph.encode())
        write_safetensors(job / "initial.safetensors", initial)
        recipe = sample_recipe(graph, initial, environment, steps=STEPS, segment_steps=SEGMENT, batch=BATCH)
        (job / "recipe.json").write_bytes(recipe.encode())


def run(folder: Path) -> list[Tensor | float | int | None]:
    """Train a model of `prepare`; returns the root of its transcript, as a number."""
    from fitchain.pod.compute.checkpoint import LEAVES, STATES, read_leaves
    from fitchain.pod.jobs.worker.modes import MODES
    from fitchain.pod.proof.transcript import Transcript

    (folder / LEAVES).unlink(missing_ok=True)
    shutil.rmtree(folder / STATES, ignore_errors=True)
    graph = Graph.parse((folder / "graph.json").read_bytes())
    recipe = Recipe.parse((folder / "recipe.json").read_bytes())
    job = sample_job(folder, recipe, graph, lambda: read_safetensors(folder / "initial.safetensors")[0])
    MODES["train"](job, lambda event, **body: None)
    leaves = tuple(checkpoint.leaf for checkpoint in read_leaves(folder))
    return [int.from_bytes(Transcript(job.task.ctx, job.task.seed, leaves).root.value)]


def _models() -> dict[str, Callable[[], nn.Module]]:
    """What makes each model, by name."""
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.head = nn.LSTM(4, 16, 2, batch_first=True, dropout=0.1), nn.Linear(16, CLASSES)

        def forward(self, x_BTF: Tensor) -> Tensor:
            output: Tensor = self.head(self.layers(x_BTF)[0][:, -1])
            return output

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(32, 2, 64, activation="gelu", batch_first=True)
            self.enter, self.head = nn.Linear(4, 32), nn.Linear(32, CLASSES)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x_BTF: Tensor) -> Tensor:
            output: Tensor = self.head(self.layers(self.enter(x_BTF)).mean(1))
            return output

    def convolutional() -> nn.Module:
        return nn.Sequential(
            *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 3), nn.GELU(), nn.Flatten(), nn.Dropout(0.25), nn.Linear(256, CLASSES)),
        )

    def dense() -> nn.Module:
        return nn.Sequential(
            *(nn.Linear(32, 64), nn.LayerNorm(64), nn.Tanh(), nn.Linear(64, 64), nn.SiLU(), nn.Dropout(0.1)),
            nn.Linear(64, CLASSES),
        )

    return {"mlp": dense, "transformer": Transformer, "lstm": Recurrent, "cnn": convolutional}
