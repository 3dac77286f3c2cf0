"""Cheats of an owner that trains in private: segment 2 trained otherwise than was agreed.

Each changes what a training does in that segment and nothing else, so that all leaves before it are
honest and each after it follows from what was trained.

    python -m tests.attacks.private_cheats FOLDER CHEAT

trains a job's folder so, in a process whose kernels are the class's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from fitchain.pod.compute import private_training
from fitchain.pod.compute.dataset import drawn_batches
from fitchain.pod.compute.environment import clean_variables, configure
from fitchain.pod.compute.private_training import RecordGradients
from fitchain.pod.jobs.worker import job
from fitchain.pod.ports.chain import node_tools
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.privacy import keys, noise
from fitchain.pod.values.recipe import Recipe
from tests.audits import work_here

SEGMENT, STEPS = 2, 4
"""Which segment is another, and how long one is in the job that is played."""
Draw = Callable[[bytes, bytes, int, int, int], Any]
"""As of a discrete Gaussian: key, seed, step, domain, count."""


def is_changed(step: int) -> bool:
    """Whether a step lies in the segment."""
    return step // STEPS == SEGMENT


@contextmanager
def noise_drawn(otherwise: Callable[[Fraction], Draw]) -> Iterator[None]:
    """Let noise be drawn otherwise in the segment.

    Args:
        otherwise: from the agreed sigma, in units, to what draws there.
    """
    made = noise.discrete_gaussian

    class Mixed:
        def __init__(self, sigma: Fraction) -> None:
            self._agreed, self._other = made(sigma).draw, otherwise(sigma)

        def draw(self, key: bytes, seed: bytes, step: int, domain: int, count: int) -> Any:
            return (self._other if is_changed(step) else self._agreed)(key, seed, step, domain, count)

    with patch.object(private_training, "discrete_gaussian", Mixed):
        yield


def weaker(sigma: Fraction) -> Draw:
    """Half of the noise."""
    return noise.discrete_gaussian(sigma / 2).draw


def silent(sigma: Fraction) -> Draw:
    """None at all."""
    return lambda key, seed, step, domain, count: np.zeros(count, np.int64)


def of_another_key(sigma: Fraction) -> Draw:
    """Noise of a key of the owner's liking, to the records that the agreed key draws."""
    return lambda key, *rest: noise.discrete_gaussian(sigma).draw(bytes(keys.KEY_BYTES), *rest)


def in_another_order(sigma: Fraction) -> Draw:
    """Each step's noise in the place of its neighbour's."""
    return lambda key, seed, step, *rest: noise.discrete_gaussian(sigma).draw(key, seed, step ^ 1, *rest)


@contextmanager
def clipped_wider() -> Iterator[None]:
    """Clip to 64 times as much, beside the same noise."""
    add_up = RecordGradients.sum

    def wider(self: RecordGradients, indices: Any, take: Any, seed: Digest, step: int) -> Any:
        own = self.terms
        self.terms = replace(own, clip=own.clip * 64) if is_changed(step) else own
        try:
            return add_up(self, indices, take, seed, step)
        finally:
            self.terms = own

    with patch.object(RecordGradients, "sum", wider):
        yield


@contextmanager
def other_key() -> Iterator[None]:
    """Follow, in sampling and in noise, another key than was committed to."""
    honestly = keys.segment_key
    with patch.object(
        job, "segment_key", lambda secret, at: key_of_liking() if at == SEGMENT else honestly(secret, at)
    ):
        yield


def key_of_liking() -> bytes:
    """A key that the owner chose once it knew the order seed."""
    return bytes([7]) * keys.KEY_BYTES


@contextmanager
def chosen_records() -> Iterator[None]:
    """Leave half of the records away that a step draws, and say so."""

    def chosen(given: Recipe, seed: Digest, key: Any, start: int = 0) -> Iterator[Any]:
        for step, drawn in enumerate(drawn_batches(given, seed, key, start), start):
            yield drawn[: len(drawn) // 2] if is_changed(step) else drawn

    with patch.object(job, "drawn_batches", chosen):
        yield


@contextmanager
def chosen_records_denied() -> Iterator[None]:
    """Train on half of the records that a step draws, and name all of them."""
    add_up = RecordGradients.sum

    def fewer(self: RecordGradients, indices: Any, take: Any, seed: Digest, step: int) -> Any:
        return add_up(self, indices[: len(indices) // 2] if is_changed(step) else indices, take, seed, step)

    with patch.object(RecordGradients, "sum", fewer):
        yield


CHEATS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "weaker noise": lambda: noise_drawn(weaker),
    "no noise": lambda: noise_drawn(silent),
    "noise of another key": lambda: noise_drawn(of_another_key),
    "noise in another order": lambda: noise_drawn(in_another_order),
    "a wider clip": clipped_wider,
    "another key": other_key,
    "chosen records": chosen_records,
    "chosen records denied": chosen_records_denied,
}


def train_otherwise(folder: Path, cheat: str, in_a_process: bool) -> None:
    """Train a job's folder by a cheat.

    Args:
        folder: the job's, as a worker finds it.
        cheat: of `CHEATS`.
        in_a_process: of its own, as a worker is; else in this one.
    """
    if not in_a_process:
        with CHEATS[cheat]():
            work_here(folder)
        return
    scratch = folder / "scratch"
    scratch.mkdir()
    variables = clean_variables(recipe_in(folder).environment, scratch)
    command = [sys.executable, "-m", "tests.attacks.private_cheats", str(folder), cheat]
    subprocess.run(command, env={**variables, "PYTHONPATH": str(node_tools.ROOT)}, cwd=node_tools.ROOT, check=True)


def recipe_in(folder: Path) -> Recipe:
    """The recipe of a job's folder."""
    return Recipe.parse((folder / "recipe.json").read_bytes())


def main(folder: Path, cheat: str) -> int:
    """Train a folder in this process, brought into its class."""
    os.chdir("/")
    configure(recipe_in(folder).environment)
    train_otherwise(folder, cheat, in_a_process=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), sys.argv[2]))
