"""The memory of training 100 million parameters, as a multiple of what they take themselves.

Counted is the most that the process ever had, Python and torch included; a checkpoint is staged,
hashed and kept on the way. It runs in a process of its own, since a class's variables must be set
before torch is imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fitchain.pod.compute.environment import DEFAULT, Environment, clean_variables, configure, installed_torch
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.leaf import NO_SALT_KEYS, SegmentRecords
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import read_safetensors, write_safetensors
from scripts.bench.figures import Figure
from scripts.sample_jobs import CLASSES, sample_job, sample_recipe

ROOT = Path(__file__).parents[2]
ENVIRONMENT = Environment(DEFAULT.name, 1, installed_torch())
WIDTH, LAYERS, BATCH, STEPS, SEGMENT = 4096, 6, 16, 6, 2


def measure() -> Iterator[Figure]:
    """Yield the figure of this bench."""
    with tempfile.TemporaryDirectory() as folder:
        variables = {**clean_variables(ENVIRONMENT, Path(folder)), "PYTHONPATH": str(ROOT)}
        for what in ("prepare", "train"):  # apart, since exporting takes memory that training does not
            command = [sys.executable, "-m", "scripts.bench.bench_memory", what, folder]
            done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    detail = f"{found['peak_MB']:.0f} MB for {found['parameters_MB']:.0f}; {found['start_MB']:.0f} before the job"
    ratio = found["peak_MB"] / found["parameters_MB"]
    yield Figure("memory of training 100 M parameters / theirs", ratio, goal=9.0, detail=detail)


def prepare(folder: Path) -> None:
    """Export an MLP, and write its job."""
    from torch import nn

    from fitchain.pod.compute.model.export import export

    layers = [layer for _ in range(LAYERS) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES))
    graph, initial = export(net, [Input("x", "F32", (WIDTH,))], 2)
    recipe = sample_recipe(graph, initial, ENVIRONMENT, steps=STEPS, segment_steps=SEGMENT, batch=BATCH)
    write_safetensors(folder / "initial.safetensors", initial)
    (folder / "graph.json").write_bytes(graph.encode())
    (folder / "recipe.json").write_bytes(recipe.encode())


def train(folder: Path) -> dict[str, float]:
    """Train it, with three checkpoints; megabytes."""
    configure(ENVIRONMENT)

    from fitchain.pod.compute.checkpoint.recorder import Recorder
    from fitchain.pod.jobs.worker.modes import leaves_after

    start_MB = memory_MB("VmRSS")
    graph, recipe = (
        Graph.parse((folder / "graph.json").read_bytes()),
        Recipe.parse((folder / "recipe.json").read_bytes()),
    )
    job = sample_job(folder, recipe, graph, lambda: read_safetensors(folder / "initial.safetensors")[0])
    position = job.start()
    with Recorder(folder, ZERO, ZERO, recipe, NO_SALT_KEYS, keep_every=2) as recorder:
        recorder.record(0, position.state, SegmentRecords(), {})
        for _, step, segment in leaves_after(job, 0, position, lambda step: None):
            recorder.record(step, position.state, segment.records, segment.values(recipe.metrics))
    parameters = sum(tensor.nbytes for tensor in position.program.parameters.values())
    return {"parameters_MB": parameters / 1e6, "start_MB": start_MB, "peak_MB": memory_MB("VmHWM")}


def memory_MB(what: str) -> float:
    """A line of this process's memory, in megabytes."""
    return int(Path("/proc/self/status").read_text().partition(f"{what}:")[2].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]))
    else:
        print(json.dumps(train(Path(sys.argv[2]))))
