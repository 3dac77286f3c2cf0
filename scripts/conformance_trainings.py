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
from fitchain.pod.values.digest import ZERO, canonical_json, sha256
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import model_root, read_safetensors, write_safetensors

if TYPE_CHECKING:  # imported late otherwise: importing torch before the class's variables are set would spoil them
    from torch import Tensor, nn

STEPS, SEGMENT, BATCH, RECORDS, CLASSES = 200, 20, 8, 128, 10
SHAPES: dict[str, tuple[int, ...]] = {"mlp": (32,), "transformer": (8, 4), "lstm": (8, 4), "cnn": (3, 12, 12)}
"""The shape of a record, by the model's name."""


def prepare(folder: Path, environment: Environment) -> None:
    """Export the models, and write a recipe for each."""
    import torch

    from fitchain.pod.compute.model import export

    for name, make in _models().items():
        torch.manual_seed(1)
        graph, initial = export(make(), [Input("x", "F32", SHAPES[name])], BATCH)
        job = folder / name
        job.mkdir(parents=True)
        (job / "graph.json").write_bytes(graph.encode())
        write_safetensors(job / "initial.safetensors", initial)
        recipe = {
            "version": "fitchain/recipe/v2",
            "graph": str(graph.digest),
            "initial_model": str(model_root(initial)),
            "base": None,
            "dataset": str(ZERO),
            "inputs": [["x"]],
            "target": "kind",
            "rows": [0, RECORDS],
            "held_out": None,
            "transform": {},
            "loss": {"name": "cross_entropy", "arguments": {}},
            "optimizer": {"name": "AdamW", "arguments": {}},
            "learning_rates": [[STEPS, 0.003]],
            "batch_size": BATCH,
            "steps": STEPS,
            "segment_steps": SEGMENT,
            "group_leaves": 64,
            "dtype": "float32",
            "environment": environment.json(),
            "metrics": ["loss"],
            "privacy": None,
            "audit": {"drawn_segments": 0, "verifiers": 0, "mode": "open", "panel": None},
        }
        (job / "recipe.json").write_bytes(canonical_json(recipe))


def run(folder: Path) -> list[Tensor | float | int]:
    """Train a model of `prepare`; returns the root of its transcript, as a number."""
    import numpy as np

    from fitchain.pod.compute.checkpoint import LEAVES, STATES, read_leaves
    from fitchain.pod.compute.dataset import Table
    from fitchain.pod.jobs.worker import Task
    from fitchain.pod.jobs.worker.job import Job
    from fitchain.pod.jobs.worker.modes import MODES
    from fitchain.pod.proof.transcript import Transcript

    (folder / LEAVES).unlink(missing_ok=True)
    shutil.rmtree(folder / STATES, ignore_errors=True)
    numbers = np.random.default_rng(1)
    x = numbers.random((RECORDS, *SHAPES[folder.name]), np.float32)
    table = Table.of({"x": x, "kind": numbers.integers(0, CLASSES, RECORDS)}, target="kind")
    graph = Graph.parse((folder / "graph.json").read_bytes())
    recipe = Recipe.parse((folder / "recipe.json").read_bytes())
    task = Task("train", ZERO, sha256(b"conformance"))
    job = Job(folder, task, recipe, graph, lambda: read_safetensors(folder / "initial.safetensors")[0], table)
    MODES["train"](job, lambda event, **body: None)
    leaves = tuple(checkpoint.leaf for checkpoint in read_leaves(folder))
    return [int.from_bytes(Transcript(task.ctx, task.seed, leaves).root.value)]


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
