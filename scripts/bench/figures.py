"""Figures: what a bench measures, how often, and how it is shown.

Every `bench_<name>.py` beside this module has `measure() -> Iterator[Figure]`; `__main__` calls
them and prints a table. A figure that has a goal says whether it is met; nothing here fails because
a machine is busy.

Two things that are compared are timed turn by turn, so that whatever else runs on the machine
disturbs both alike; shown are the medians and, as the noise, how far apart the quarters of the
single measurements lie.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

ROUNDS = 7


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Args:
        what: what was measured.
        value: the measured number.
        unit: its unit; empty for a ratio.
        goal: what it should be, None where nothing is promised.
        at_least: whether the goal is a floor instead of a ceiling.
        detail: how the number came about: the measured sides, the noise.
    """

    what: str
    value: float
    unit: str = ""
    goal: float | None = None
    at_least: bool = False
    detail: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


@dataclass(frozen=True)
class Times:
    """Seconds of one thing, measured several times."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.seconds)

    @property
    def noise(self) -> float:
        """Distance of the quarters over the median: 0.05 means that half of all measurements lie
        within 5 %."""
        low, _, high = quantiles(self.seconds, n=4)
        return (high - low) / self.median

    def describe(self) -> str:
        """Median, best and noise for people; the best is what an idle machine would give."""
        return f"{describe_seconds(self.median)} (best {describe_seconds(min(self.seconds))}, noise {self.noise:.0%})"


def side_by_side(sides: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, Times]:
    """Time several things turn by turn.

    Args:
        sides: what to time, by name; each is run once before the first round.
        rounds: how often each is timed; the order turns about from round to round.
    """
    names = list(sides)
    for name in names:
        sides[name]()
    taken: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            start = time.perf_counter()
            sides[name]()
            taken[name].append(time.perf_counter() - start)
    return {name: Times(tuple(seconds)) for name, seconds in taken.items()}


def ratio(times: Mapping[str, Times], name: str, other: str) -> float:
    """The median over the rounds of one's seconds over the other's."""
    return median(mine / its for mine, its in zip(times[name].seconds, times[other].seconds, strict=True))


def describe_seconds(seconds: float) -> str:
    """A duration with three digits and a fitting unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def describe_sides(times: Mapping[str, Times]) -> str:
    """Every side with its median and noise."""
    return ", ".join(f"{name} {each.describe()}" for name, each in times.items())
