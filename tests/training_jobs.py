"""Tiny jobs for the tests of training, recorder and worker: a folder as a worker finds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fitchain.pod.compute.dataset import Table
from fitchain.pod.compute.environment import installed_torch
from fitchain.pod.compute.model.export import export
from fitchain.pod.jobs.worker import Emit, Ending, run_worker
from fitchain.pod.jobs.worker.task import TASKS, Context, Task, Train, read_task
from fitchain.pod.values.digest import Digest, sha256
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.leaf import Checkpoint, SaltKeys
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import TensorBytes, model_root, write_safetensors

torch.set_num_threads(1)  # as the recipes say; and two threads on a busy machine wait for each other most of the time

CTX, SEED = sha256(b"ctx"), sha256(b"seed")
SALT_KEYS = SaltKeys(bytes(range(32)), bytes(range(32, 64)))
COLUMNS = ("a", "b", "c", "d")


class Net(nn.Module):
    """Linear, batch norm, dropout, and a parameter that is never trained."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.tensor([1.0, 2.0, 0.5]), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, 4] -> [B, 3]
        output_BC: torch.Tensor = self.last(self.drop(torch.relu(self.norm(self.first(x))))) * self.scale
        return output_BC


class PrivateNet(nn.Module):
    """Linear, group norm, dropout: what private training takes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(4, 8), nn.GroupNorm(2, 8)
        self.drop, self.last = nn.Dropout(0.2), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, 4] -> [B, 3]
        output_BC: torch.Tensor = self.last(self.drop(torch.relu(self.norm(self.first(x)))))
        return output_BC


@cache
def exported(net: Callable[[], nn.Module] = Net) -> tuple[Graph, dict[str, TensorBytes]]:
    """A net's graph and its initial weights, the same in every run."""
    torch.manual_seed(0)
    return export(net(), (Input("x", "F32", (4,)),), 2)


def table(rows: int = 40, change: tuple[str, int, float] | None = None) -> Table:
    """Fixed records: four numbers and one of three classes; one cell may be changed (column, row,
    value)."""
    numbers = np.random.default_rng(1)
    arrays: dict[str, np.ndarray] = {name: numbers.random(rows) * 4 - 2 for name in COLUMNS}
    arrays["kind"] = numbers.integers(0, 3, rows)
    if change is not None:
        column, row, value = change
        arrays[column][row] = value
    return Table.of(arrays, target="kind")


PRIVACY: dict[str, Any] = {"sigma": 0.75, "clip": 0.5, "grid": 1 << 16, "unit_records": None}
NOISE = bytes(range(96, 128))
"""The owner's secret that the noise of a private training follows from."""


def private_recipe(**changes: Any) -> Recipe:
    """The same as `recipe`, trained in private."""
    return recipe(net=PrivateNet, **{"privacy": PRIVACY, "metrics": []} | changes)


def recipe(net: Callable[[], nn.Module] = Net, **changes: Any) -> Recipe:
    """A recipe of 22 steps in segments of 4: the last segment is shorter."""
    graph, initial = exported(net)
    steps = changes.get("steps", 22)
    return Recipe.from_json(
        {
            "version": "fitchain/recipe/v2",
            "graph": str(graph.digest),
            "initial_model": str(model_root(initial)),
            "base": None,
            "dataset": str(sha256(b"dataset")),
            "inputs": [list(COLUMNS)],
            "target": "kind",
            "rows": [0, 40],
            "held_out": None,
            "evaluate": "end",
            "best": None,
            "held_out_from": None,
            "transform": {"a": {"mean": 0.25, "scale": 1.5}},
            "loss": {"name": "cross_entropy", "arguments": {}},
            "optimizer": {"name": "AdamW", "arguments": {"weight_decay": 0.01}},
            "gradient_clip": None,
            "parameter_groups": [],
            "learning_rates": [[steps // 2, 0.01], [steps - steps // 2, 0.005]],
            "batch_size": 8,
            "steps": steps,
            "segment_steps": 4,
            "group_leaves": 4,
            "dtype": "float32",
            "environment": {"class": "cpu-x86-64-v3", "threads": 1, "torch": installed_torch(), "probe": None},
            "metrics": ["loss", "accuracy"],
            "privacy": None,
            "subgroups": {},
            "audit": {"drawn_segments": 0, "verifiers": 0, "mode": "open", "panel": None},
            **changes,
        }
    )


def job_folder(
    folder: Path,
    given: Recipe | None = None,
    mode: str = Train.mode,
    records: Table | None = None,
    seed: Digest = SEED,
    keep_every: int = 1,
    initial: dict[str, TensorBytes] | None = None,
    net: Callable[[], nn.Module] | None = None,
) -> Path:
    """Lay a job out in a folder."""
    given = given or recipe()
    graph, weights = exported(net or (Net if given.privacy is None else PrivateNet))
    weights = initial or weights
    given = replace(given, initial_model=model_root(weights))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_bytes(given.encode())
    (folder / "graph.json").write_bytes(graph.encode())
    write_safetensors(folder / "initial.safetensors", weights)
    (records or table()).write_npz(folder / "records.npz")
    context = Context(CTX, seed, NOISE) if given.privacy else Context(CTX, seed)
    task = Train(context, SALT_KEYS, keep_every) if mode == Train.mode else TASKS[mode](context)
    task.write(folder)
    return folder


def leaf_digests(checkpoints: tuple[Checkpoint, ...], seed: Digest = SEED) -> list[Digest]:
    """The digests of recorded leaves."""
    return [checkpoint.leaf.digest(CTX, seed) for checkpoint in checkpoints]


def train_folder(folder: Path, on_event: Emit | None = None, limit_s: float | None = None) -> Ending:
    """Do in a worker what the task in a folder says."""
    return run_worker(folder, task_in(folder), on_event, limit_s)


def task_in(folder: Path) -> Task:
    """The task in a folder, with the secret of the noise where its recipe trains in private."""
    task = read_task(folder)
    is_private = Recipe.parse((folder / "recipe.json").read_bytes()).privacy is not None
    return replace(task, context=replace(task.context, noise=NOISE)) if is_private else task
