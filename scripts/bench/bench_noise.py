"""How fast the noise and the sample of a private step are drawn on one core.

Measured is the time of one thread on the processor, since whatever else runs would disturb a clock
on the wall. Sigma is in units of the grid.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial

from fitchain.pod.values.privacy.noise import discrete_gaussian
from fitchain.pod.values.privacy.sampling import sampled
from scripts.bench.figures import ROUNDS, Figure, Times, describe_seconds

KEY, SEED = bytes(32), bytes(32)
DRAWS, UNITS, RATE = 4_000_000, 1_000_000, Fraction(1, 2**10)
SIGMAS = {1000: 40.0, 100_000: 40.0, 2**22: None}
"""Sigmas with the goal, in million draws a second."""


def measure() -> Iterator[Figure]:
    """Yield the figures of this bench."""
    for sigma, goal in SIGMAS.items():
        gaussian = discrete_gaussian(Fraction(sigma))
        times = of_thread(partial(gaussian.draw, KEY, SEED, domain=0, count=DRAWS))
        speed = DRAWS / times.median / 1e6
        detail = f"{DRAWS:,} draws {times.describe()}"
        yield Figure(f"noise of sigma {sigma:,}, one core", speed, "M draws/s", goal, at_least=True, detail=detail)
    times = of_thread(partial(sampled, KEY, SEED, units=UNITS, rate=RATE))
    detail = f"a batch of {round(UNITS * RATE)} expected; {describe_seconds(times.median)} a step"
    yield Figure(f"sampling of {UNITS:,} units, one core", UNITS / times.median / 1e6, "M units/s", detail=detail)


def of_thread(draw: Callable[..., object]) -> Times:
    """Seconds that the processor took for one step each."""
    draw(step=0)
    taken = []
    for step in range(ROUNDS):
        start = time.thread_time()
        draw(step=step)
        taken.append(time.thread_time() - start)
    return Times(tuple(taken))
