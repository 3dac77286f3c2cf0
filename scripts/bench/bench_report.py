"""What a privacy-risk report takes: of the demonstration's breast-cancer job, without a budget and
with one, in the default class on one thread.

Each time is of one report, made of the model that a training just before it gave.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitchain.pod.compute.environment import DEFAULT, Environment, clean_variables, configure, installed_torch
from scripts.bench.figures import Figure, describe_seconds

if TYPE_CHECKING:
    from fitchain.cli.demo.play import Play
    from fitchain.pod.compute.risk import Subject
    from scripts.bench.bench_privacy import Trial

GOAL_S = 30


def measure() -> Iterator[Figure]:
    """Yield the figures of this bench."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(clean_variables(Environment(DEFAULT.name, 1, installed_torch()), Path(folder)))
        configure(Environment(DEFAULT.name, 1, installed_torch()))
        from fitchain.cli.demo.play import choose
        from fitchain.pod.compute.risk import assess
        from scripts.bench.bench_privacy import prepare

        trial = prepare(Path(folder))
    for name, private in (("plain", False), ("private", True)):
        trained = subject(trial, choose("breast-cancer", private))
        seconds, start = time.perf_counter(), time.thread_time()
        report = assess(trained)
        seconds, of_thread = time.perf_counter() - seconds, time.thread_time() - start
        detail = f"{report.summary.references} reference models; of the thread {describe_seconds(of_thread)}"
        yield Figure(f"risk report on the demonstration, {name}", seconds, "s", GOAL_S, detail=detail)


def subject(trial: Trial, play: Play) -> Subject:
    """A demonstration's job, trained to its end."""
    from fitchain.pod.compute.dataset import assemble, batches, drawn_batches, held_out_rows, training_rows
    from fitchain.pod.compute.model.program import Program
    from fitchain.pod.compute.private_training import train_privately
    from fitchain.pod.compute.risk import Subject
    from fitchain.pod.compute.training import fresh_optimizer, train
    from fitchain.pod.values.digest import sha256
    from fitchain.pod.values.privacy.keys import segment_key
    from fitchain.pod.values.recipe import draft
    from fitchain.pod.values.state import model_root
    from scripts.bench.bench_privacy import DELTA, exported

    graph, weights = exported()
    card = trial.budgeted if play.budget else trial.card
    recipe = draft(graph.digest, model_root(weights), card.json(), installed_torch(), play.terms)
    program, seed = Program(graph, weights), sha256(b"seed")
    optimizer, take = fresh_optimizer(program, recipe), assemble(recipe, trial.private, ["float32"])
    keys = partial(segment_key, bytes(32))
    steps: Callable[..., Any] = partial(train, program, recipe, batches(recipe, seed), take, seed, 0, optimizer)
    if play.budget:
        drawn = drawn_batches(recipe, seed, keys)
        steps = partial(train_privately, program, recipe, drawn, take, seed, 0, optimizer, keys)
    for _ in steps():
        pass
    return Subject(
        graph=graph,
        recipe=recipe,
        environment=DEFAULT,
        initial=lambda: exported()[1],
        model=program.tensors(),
        assemble=take,
        ctx=sha256(b"context"),
        seed=seed,
        members=training_rows(recipe, seed),
        non_members=held_out_rows(recipe, seed),
        salt=sha256(b"salt"),
        delta=DELTA if play.budget else None,
    )
