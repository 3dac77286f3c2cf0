"""What a private step costs: against a plain step through the same graph, and against Opacus' step
of the same module on the same records, side by side on one thread in the default class.

Ours is a whole step: gradients, clipping, sum, noise, update; with Poisson sampling left out on
both sides, so that each step has as many records as it says. Opacus is no dependency of anything
here: where it is not installed, the bench says so and measures the rest.

Legend: B batch, T time, F features, K classes.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitchain.pod.compute.environment import DEFAULT, Environment, clean_variables, configure, installed_torch
from scripts.bench.figures import ROUNDS, Figure, Times, describe_sides, ratio

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from fitchain.pod.compute.model.program import Program
    from fitchain.pod.values.recipe import Recipe

BATCHES, TURN_S, RATE, GOAL = (32, 64, 256), 0.1, 0.01, 1.3
MANY = 1 << 30
"""Steps: more than a bench makes."""
OURS, PLAIN, OPACUS = "private", "plain", "Opacus"


@dataclass(frozen=True)
class Work:
    """A module and a batch for it."""

    module: nn.Module
    x: np.ndarray
    target: np.ndarray


def measure() -> Iterator[Figure]:
    """Yield the figures of this bench."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(clean_variables(Environment(DEFAULT.name, 1, installed_torch()), Path(folder)))
        configure(Environment(DEFAULT.name, 1, installed_torch()))
    installed = find_spec("opacus") is not None
    for name in modules():
        for batch in BATCHES:
            work = prepare(name, batch)
            steps = {PLAIN: plain_step(work), OURS: private_step(work)}
            if installed:
                steps[OPACUS] = opacus_step(work)
            times = taken(steps)
            what = f"{name}, batch {batch}: private / "
            yield Figure(f"{what}plain", ratio(times, OURS, PLAIN), "", detail=describe_sides(times))
            if installed:
                yield Figure(f"{what}Opacus", ratio(times, OURS, OPACUS), "", GOAL)
    if not installed:
        yield Figure("models compared with Opacus", 0, "", detail="opacus is not installed")


def taken(steps: dict[str, Callable[[], object]]) -> dict[str, Times]:
    """Seconds of a step on each side, of the thread, since whatever else runs would disturb a clock
    on the wall; they take turns, of as many steps as there is time for."""
    counts = {side: max(1, round(TURN_S / seconds_of(step, 2))) for side, step in steps.items()}
    seconds: dict[str, list[float]] = {side: [] for side in steps}
    for turn in range(ROUNDS):
        for side in steps if turn % 2 == 0 else reversed(steps):
            seconds[side].append(seconds_of(steps[side], counts[side]))
    return {side: Times(tuple(each)) for side, each in seconds.items()}


def seconds_of(step: Callable[[], object], count: int) -> float:
    """Seconds of one of so many steps, after one that prepares."""
    step()
    start = time.thread_time()
    for _ in range(count):
        step()
    return (time.thread_time() - start) / count


def prepare(name: str, batch: int) -> Work:
    """A module with the same initial weights each time, and random records."""
    import numpy as np
    import torch

    torch.manual_seed(0)
    make, shape, classes = modules()[name]
    generator = np.random.default_rng(batch)
    x = generator.normal(size=(batch, *shape)).astype(np.float32)
    return Work(make(), x, generator.integers(0, classes, batch))


def program_of(work: Work) -> Program:
    """The module as a graph that trains."""
    from fitchain.pod.compute.model.export import export
    from fitchain.pod.compute.model.program import Program
    from fitchain.pod.values.graph import Input

    return Program(*export(work.module, [Input("x", "F32", work.x.shape[1:])], 2))


def plain_step(work: Work) -> Callable[[], object]:
    """Forward, backward, SGD."""
    import torch
    from torch.nn import functional as F

    program = program_of(work)
    optimizer = torch.optim.SGD(list(program.trainable.values()), RATE, fused=True)
    x, target_B = torch.from_numpy(work.x), torch.from_numpy(work.target)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(program(x, training=True), target_B).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def private_step(work: Work) -> Callable[[], object]:
    """The same as `train_privately` makes it, of every record."""
    import numpy as np
    import torch

    from fitchain.pod.compute.private_training import train_privately
    from fitchain.pod.values.digest import sha256
    from fitchain.pod.values.privacy.keys import segment_key

    program, given = program_of(work), recipe_of(len(work.x))
    optimizer = torch.optim.SGD(list(program.trainable.values()), RATE, fused=True)
    rows = np.arange(len(work.x), dtype=np.uint64)

    def assemble(indices: Any) -> Any:
        places = indices.astype(np.int64)
        return (work.x[places],), work.target[places]

    key, seed = partial(segment_key, bytes(32)), sha256(b"seed")
    steps = train_privately(program, given, itertools.repeat(rows), assemble, seed, 0, optimizer, key)
    return lambda: next(steps)


def recipe_of(batch: int) -> Recipe:
    """A recipe with terms of privacy; what else it says plays no part."""
    from scripts.bench.bench_privacy import prepare as table_of
    from scripts.bench.bench_privacy import recipe_of as recipe

    with tempfile.TemporaryDirectory() as folder:
        return replace(
            recipe(table_of(Path(folder)), 3.0), batch_size=batch, steps=MANY, learning_rates=((MANY, RATE),)
        )


def opacus_step(work: Work) -> Callable[[], object]:
    """Opacus' step: gradients of each record, clipping, noise, SGD."""
    import copy

    import torch
    from opacus import GradSampleModule  # type: ignore[import-not-found]
    from opacus.layers import DPMultiheadAttention  # type: ignore[import-not-found]
    from opacus.optimizers import DPOptimizer  # type: ignore[import-not-found]
    from torch import nn
    from torch.nn import functional as F

    warnings.simplefilter("ignore")
    copied = copy.deepcopy(work.module)
    for each in copied.modules():
        if isinstance(each, nn.TransformerEncoderLayer):  # torch's attention has no gradients of records there
            own = each.self_attn
            each.self_attn = DPMultiheadAttention(own.embed_dim, own.num_heads, batch_first=True)
    module = GradSampleModule(copied)
    plain = torch.optim.SGD(module.parameters(), RATE)
    optimizer = DPOptimizer(plain, noise_multiplier=1.0, max_grad_norm=1.0, expected_batch_size=len(work.x))
    x, target_B = torch.from_numpy(work.x), torch.from_numpy(work.target)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(module(x), target_B).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def modules() -> dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]]:
    """The modules by name: what makes one, the shape of a record, the number of classes."""
    from torch import nn

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            settings: dict[str, Any] = {"batch_first": True, "norm_first": True, "activation": "gelu", "dropout": 0.0}
            self.enter, self.last = nn.Linear(16, 32), nn.Linear(32, 10)
            self.layers = nn.ModuleList(nn.TransformerEncoderLayer(32, 4, 64, **settings) for _ in range(2))

        def forward(self, x_BTF: Tensor) -> Tensor:
            x_BTF = self.enter(x_BTF)
            for layer in self.layers:
                x_BTF = layer(x_BTF)
            output_BK: Tensor = self.last(x_BTF.mean(1))
            return output_BK

    def convolutional() -> nn.Module:
        def block(entering: int, leaving: int) -> tuple[nn.Module, ...]:
            return nn.Conv2d(entering, leaving, 3, padding=1), nn.GroupNorm(4, leaving), nn.ReLU(), nn.MaxPool2d(2)

        return nn.Sequential(*block(3, 16), *block(16, 32), nn.Flatten(), nn.Linear(32 * 16, 10))

    return {
        "MLP": (lambda: nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2)), (30,), 2),
        "CNN": (convolutional, (3, 16, 16), 10),
        "transformer": (Transformer, (16, 16), 10),
    }
