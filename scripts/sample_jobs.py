"""Jobs on random records, for benches and the conformance suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fitchain.pod.compute.environment import Environment
from fitchain.pod.jobs.worker.task import Context, Train
from fitchain.pod.values.digest import ZERO, sha256
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import Tensors, model_root

if TYPE_CHECKING:  # imported late otherwise: importing torch before the class's variables are set would spoil them
    from fitchain.pod.jobs.worker.job import Job

RECORDS, CLASSES = 2048, 10


def sample_recipe(
    graph: Graph, initial: Tensors, environment: Environment, *, steps: int, segment_steps: int, batch: int
) -> Recipe:
    """A classification with AdamW, over all records of `sample_job`."""
    return Recipe.from_json(
        {
            "version": "fitchain/recipe/v2",
            "graph": str(graph.digest),
            "initial_model": str(model_root(initial)),
            "base": None,
            "dataset": str(ZERO),
            "inputs": [["x"]],
            "target": "kind",
            "rows": [0, RECORDS],
            "held_out": None,
            "evaluate": "end",
            "best": None,
            "held_out_from": None,
            "transform": {},
            "loss": {"name": "cross_entropy", "arguments": {}},
            "optimizer": {"name": "AdamW", "arguments": {}},
            "gradient_clip": None,
            "parameter_groups": [],
            "proximal": None,
            "ema": None,
            "micro_batch": None,
            "learning_rates": [[steps, 0.001]],
            "batch_size": batch,
            "steps": steps,
            "segment_steps": segment_steps,
            "group_leaves": 64,
            "dtype": "float32",
            "environment": environment.json(),
            "metrics": ["loss", "accuracy"],
            "privacy": None,
            "subgroups": {},
            "audit": {"drawn_segments": 0, "verifiers": 0, "mode": "open", "panel": None},
        }
    )


def sample_job(folder: Path, recipe: Recipe, graph: Graph, initial: Callable[[], Tensors]) -> Job[Train]:
    """A job on records that follow from arithmetic alone; the graph has one input, `x`."""
    import numpy as np

    from fitchain.pod.compute.dataset import Table
    from fitchain.pod.jobs.worker.job import Job

    numbers = np.random.default_rng(1)
    (x,) = graph.inputs
    columns: dict[str, np.ndarray] = {
        "x": numbers.random((RECORDS, *x.shape), np.float32),
        "kind": numbers.integers(0, CLASSES, RECORDS),
    }
    return Job(folder, Train(Context(ZERO, sha256(b"seed"))), recipe, graph, initial, Table.of(columns, target="kind"))
