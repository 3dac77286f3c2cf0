"""What private training costs: accuracy on the breast-cancer table against plain training with the
same public ranges, and the time of a step.

Each accuracy is the mean over several order seeds and noise keys, on the 114 records that the owner
never had; each training has 120 steps of 128 of 455 records.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from fitchain.pod.compute.dataset import ReadingTerms
from fitchain.pod.compute.environment import DEFAULT, Environment, clean_variables, configure, installed_torch
from scripts.bench.figures import Figure, describe_sides, ratio, side_by_side

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Card, Table
    from fitchain.pod.values.recipe import Recipe

DELTA, TRIALS = 1e-4, 6
GOALS = {3.0: 4.0, 8.0: 2.0}
"""Points of accuracy that an epsilon may cost."""
TERMS = {"epochs": 40, "batch_size": 128, "optimizer": "SGD", "learning_rate": 0.5}


@dataclass(frozen=True)
class Trial:
    """A table in two parts, and its card without and with a budget."""

    private: Table
    test: Table
    card: Card
    budgeted: Card


def measure() -> Iterator[Figure]:
    """Yield the figures of this bench."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(clean_variables(Environment(DEFAULT.name, 1, installed_torch()), Path(folder)))
        configure(Environment(DEFAULT.name, 1, installed_torch()))
        trial = prepare(Path(folder))
    plain = 100 * mean(accuracy(trial, recipe_of(trial, None), number) for number in range(TRIALS))
    for epsilon, goal in GOALS.items():
        recipe = recipe_of(trial, epsilon)
        private = 100 * mean(accuracy(trial, recipe, number) for number in range(TRIALS))
        assert recipe.privacy is not None
        detail = f"{private:.1f} % against {plain:.1f} %; noise multiplier {recipe.privacy.sigma:.3g}, delta {DELTA:g}"
        yield Figure(f"accuracy that epsilon {epsilon:g} costs", plain - private, "points", goal, detail=detail)
    sides = {name: partial(accuracy, trial, recipe_of(trial, epsilon), 0) for name, epsilon in SIDES.items()}
    times = side_by_side(sides)
    yield Figure("private / plain training", ratio(times, "private", "plain"), "", detail=describe_sides(times))


SIDES = {"plain": None, "private": 3.0}


def prepare(folder: Path) -> Trial:
    """Read the table; its ranges are those of the demonstration."""
    from dataclasses import replace

    from fitchain.cli.demo.samples import breast_cancer
    from fitchain.pod.compute.dataset import CardPrivacy, Table, register

    sample = breast_cancer(folder / "owner", folder / "scientist")
    private, test = (
        Table.read(path, ReadingTerms(drop=tuple(sample.drop), target=sample.target))
        for path in (sample.private, sample.test)
    )
    card = register(private, bytes(32), sample.name, transform="ranges", ranges=sample.ranges).card
    return Trial(private, test, card, replace(card, privacy=CardPrivacy(DELTA)))


def recipe_of(trial: Trial, epsilon: float | None) -> Recipe:
    """The recipe of a training within an epsilon, or of a plain one."""
    from fitchain.pod.values.recipe import draft
    from fitchain.pod.values.state import model_root

    graph, weights = exported()
    card = trial.card if epsilon is None else trial.budgeted
    terms: dict[str, Any] = TERMS if epsilon is None else TERMS | {"privacy": {"epsilon": epsilon, "clip": 0.5}}
    return draft(graph.digest, model_root(weights), card.json(), installed_torch(), terms)


def exported() -> Any:
    """The classifier of `examples/breast_cancer.py`, with the same initial weights each time."""
    import torch
    from torch import nn

    from fitchain.pod.compute.model.export import export
    from fitchain.pod.values.graph import Input

    torch.manual_seed(0)
    return export(nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2)), [Input("x", "F32", (30,))])


def accuracy(trial: Trial, recipe: Recipe, number: int) -> float:
    """Train, and evaluate on the records that the scientist keeps."""
    import numpy as np
    import torch

    from fitchain.pod.compute.dataset import assemble, batches, drawn_batches
    from fitchain.pod.compute.model.program import Program
    from fitchain.pod.compute.private_training import train_privately
    from fitchain.pod.compute.training import as_tensors, fresh_optimizer, train
    from fitchain.pod.values.digest import sha256
    from fitchain.pod.values.privacy.keys import segment_key

    seed, keys = sha256(bytes([number])), partial(segment_key, bytes([number]) * 32)
    program = Program(*exported())
    optimizer, take = fresh_optimizer(program, recipe), assemble(recipe, trial.private, ["float32"])
    if recipe.privacy is None:
        steps = train(program, recipe, batches(recipe, seed), take, seed, 0, optimizer)
    else:
        drawn = drawn_batches(recipe, seed, keys)
        steps = train_privately(program, recipe, drawn, take, seed, 0, optimizer, keys)
    for _ in steps:
        pass
    rows = np.arange(trial.test.count, dtype=np.uint64)
    inputs, target_B = as_tensors(*assemble(recipe, trial.test, ["float32"])(rows))
    with torch.no_grad():
        output_BK = program(*inputs, training=False)
    return float((output_BK.argmax(1) == target_B).float().mean())
