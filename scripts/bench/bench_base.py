"""The bytes that a fine-tuning of 100 million frozen parameters moves, against a job that trains
them all.

Counted are the files of a training as they lie in its folder: the offer, the delivered model, and
of an audit the offer once more and the state before each segment. The job that trains all is
counted at the least that it can move: its weights in each of these places, without an optimizer's
moments. The base itself travels once for all jobs and is in neither sum. It runs in a process of
its own, since a class's variables must be set before torch is imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fitchain.pod.compute.environment import DEFAULT, Environment, clean_variables, configure, installed_torch
from fitchain.pod.values.delta import ModelFile, inventory_of
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.job_folder import JobFolder
from fitchain.pod.values.leaf import NO_SALT_KEYS, SegmentRecords
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import write_safetensors
from scripts.bench.figures import Figure
from scripts.sample_jobs import CLASSES, sample_job, sample_recipe

ROOT = Path(__file__).parents[2]
ENVIRONMENT = Environment(DEFAULT.name, 1, installed_torch())
WIDTH, LAYERS, RANK, BATCH, STEPS, SEGMENT = 4096, 6, 4, 16, 6, 2


def measure() -> Iterator[Figure]:
    """Yield the figure of this bench."""
    with tempfile.TemporaryDirectory() as folder:
        variables = {**clean_variables(ENVIRONMENT, Path(folder)), "PYTHONPATH": str(ROOT)}
        for what in ("prepare", "train"):
            command = [sys.executable, "-m", "scripts.bench.bench_base", what, folder]
            done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    detail = f"{found['moved_MB']:.2f} MB over a base of {found['base_MB']:.0f}, against {found['whole_MB']:.0f}"
    ratio = found["moved_MB"] / found["whole_MB"]
    yield Figure("bytes of a LoRA job over 100 M parameters / a full one's", ratio, goal=0.01, detail=detail)


def prepare(folder: Path) -> None:
    """Export an MLP with frozen layers and adapters beside them, and write its job over the base of
    what is frozen."""
    from torch import Tensor, nn

    from fitchain.pod.compute.model.export import export

    class Adapted(nn.Module):
        """A frozen layer, and what is trained beside it."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, WIDTH).requires_grad_(False)
            self.down, self.up = nn.Linear(WIDTH, RANK, bias=False), nn.Linear(RANK, WIDTH, bias=False)

        def forward(self, x_BW: Tensor) -> Tensor:
            output_BW: Tensor = (self.layer(x_BW) + self.up(self.down(x_BW))).relu()
            return output_BW

    net = nn.Sequential(*(Adapted() for _ in range(LAYERS)), nn.Linear(WIDTH, CLASSES))
    graph, initial = export(net, [Input("x", "F32", (WIDTH,))], 2)
    base = {name: tensor for name, tensor in initial.items() if ".layer." in name}
    job, file = JobFolder(folder), ModelFile.over(initial, inventory_of(base))
    recipe = sample_recipe(graph, initial, ENVIRONMENT, steps=STEPS, segment_steps=SEGMENT, batch=BATCH)
    recipe = Recipe.from_json(recipe.json() | {"base": str(file.base)})
    write_safetensors(job.base, base)
    file.write(job.initial)
    job.graph.write_bytes(graph.encode())
    job.recipe.write_bytes(recipe.encode())


def train(folder: Path) -> dict[str, float]:
    """Train it, keeping each state; megabytes."""
    configure(ENVIRONMENT)

    from fitchain.pod.compute.checkpoint.recorder import Recorder
    from fitchain.pod.jobs.worker.job import read_initial, write_final
    from fitchain.pod.jobs.worker.modes import leaves_after

    files = JobFolder(folder)
    graph, recipe = Graph.parse(files.graph.read_bytes()), Recipe.parse(files.recipe.read_bytes())
    job = sample_job(folder, recipe, graph, lambda: read_initial(folder, recipe))
    position = job.start()
    with Recorder(folder, ZERO, ZERO, recipe, NO_SALT_KEYS) as recorder:
        recorder.record(0, position.state, SegmentRecords(), {})
        for _, step, segment in leaves_after(job, 0, position, lambda step: None):
            recorder.record(step, position.state, segment.records, segment.values(recipe.metrics))
    write_final(folder, position.program.tensors(), recipe)
    before = [files.state(segment * SEGMENT) for segment in range(1, STEPS // SEGMENT)]
    offer = [files.recipe, files.graph, files.initial]
    moved = sum(path.stat().st_size for path in (*offer, *offer, *before, files.final))
    whole = ModelFile.read(files.initial).whole_bytes * (3 + len(before))
    return {"moved_MB": moved / 1e6, "whole_MB": whole / 1e6, "base_MB": files.base.stat().st_size / 1e6}


if __name__ == "__main__":
    found = {"prepare": prepare, "train": train}[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps(found))
