"""What a checkpoint costs the training thread, against k steps of a small MLP.

Measured is the time that taking a state takes away from the training thread, over the time of the k
steps before it, both in one process and alternating; medians. For comparison, what code for proof
of learning usually does at the same place: `torch.save` and SHA-256. It runs in a process of its
own, because a class's variables must be set before torch is imported.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from fitchain.pod.compute.environment import DEFAULT, Environment, clean_variables, configure, installed_torch
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.leaf import NO_SALT_KEYS, SegmentRecords
from scripts.bench.figures import Figure
from scripts.sample_jobs import CLASSES, sample_job, sample_recipe

if TYPE_CHECKING:  # imported late otherwise: importing torch before the class's variables are set would spoil them
    from torch import Tensor

    from fitchain.pod.jobs.worker.job import Job
    from fitchain.pod.jobs.worker.task import Train

ROOT = Path(__file__).parents[2]
SEGMENT, BATCH, FEATURES = 10, 64, 64
ENVIRONMENT = Environment(DEFAULT.name, 1, installed_torch())
LEAVES, WARM_UP = 100, 5
"""Leaves left out: the first ones make the buffers."""


def measure() -> Iterator[Figure]:
    """Yield the figures of this bench."""
    with tempfile.TemporaryDirectory() as home:
        variables = {**clean_variables(ENVIRONMENT, Path(home)), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "scripts.bench.bench_checkpoint"]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    medians = json.loads(done.stdout)
    detail = f"{medians['state_kB']:.0f} kB; {{:.0f}} us over {medians['steps_us']:.0f} us of {SEGMENT} steps"
    for what, took, goal in (
        ("checkpoint on the training thread / k = 10 steps, MLP", medians["checkpoint_us"], 0.012),
        ("the same with torch.save and SHA-256", medians["save_us"], None),
    ):
        yield Figure(what, took / medians["steps_us"], goal=goal, detail=detail.format(took))


def compute() -> dict[str, float]:
    """Train a small MLP with a checkpoint every ten steps.

    Returns:
        Median microseconds of ten steps, of a checkpoint on the training thread, of torch.save with
        SHA-256; kB of the state.
    """

    from fitchain.pod.compute.checkpoint.recorder import Recorder
    from fitchain.pod.jobs.worker.modes import leaves_after

    configure(ENVIRONMENT)
    times: dict[str, list[float]] = {"steps_us": [], "checkpoint_us": [], "save_us": []}
    with tempfile.TemporaryDirectory() as folder:
        job = small_job(Path(folder), LEAVES * SEGMENT)
        position = job.start()
        with Recorder(job.folder, ZERO, ZERO, job.recipe, NO_SALT_KEYS, keep_every=LEAVES) as recorder:
            recorder.record(0, position.state, SegmentRecords(), {})
            before = time.perf_counter()
            for _, step, segment in leaves_after(job, 0, position, lambda step: None):
                trained = time.perf_counter()
                recorder.record(step, position.state, segment.records, segment.values(job.recipe.metrics))
                recorded = time.perf_counter()
                save_and_hash(position.state.moving)
                saved = time.perf_counter()
                for name, took in zip(times, (trained - before, recorded - trained, saved - recorded), strict=True):
                    times[name].append(took * 1e6)
                before = time.perf_counter()
        state_bytes = sum(tensor.nbytes for tensor in position.state.moving.values())
    return {"state_kB": state_bytes / 1e3, **{name: median(all_us[WARM_UP:]) for name, all_us in times.items()}}


def small_job(folder: Path, steps: int) -> Job[Train]:
    """A job of a small MLP."""
    import torch
    from torch import nn

    from fitchain.pod.compute.model.export import export
    from fitchain.pod.values.graph import Input

    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Linear(FEATURES, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU()),
        nn.Linear(64, CLASSES),
    )
    graph, initial = export(net, (Input("x", "F32", (FEATURES,)),), 2)
    recipe = sample_recipe(graph, initial, ENVIRONMENT, steps=steps, segment_steps=SEGMENT, batch=BATCH)
    return sample_job(folder, recipe, graph, lambda: initial)


def save_and_hash(tensors: Mapping[tuple[str, str], Tensor]) -> bytes:
    """What code for proof of learning usually does at a checkpoint."""
    import torch

    file = io.BytesIO()
    torch.save({"/".join(key): tensor for key, tensor in tensors.items()}, file)
    return hashlib.sha256(file.getvalue()).digest()


if __name__ == "__main__":
    print(json.dumps(compute()))
