"""Curves of a training in the terminal: a line of blocks each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fitchain.pod.values.best import LOWEST

if TYPE_CHECKING:
    from fitchain.pod.jobs.curves import Curves, Points

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Draw values as a line of at most `width` blocks, each the mean of those it stands for."""
    if not values:
        return ""
    count = min(width, len(values))
    cuts = [len(values) * i // count for i in range(count + 1)]
    means = [sum(values[low:high]) / (high - low) for low, high in pairwise(cuts)]
    low, high = min(means), max(means)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((mean - low) * scale)] for mean in means)


def pairs_of(curves: Curves) -> list[tuple[str, Any]]:
    """Curves in labelled lines: the last value of each, and of held-out records the best."""
    training = [(name, _line(points)) for name, points in curves.training.items()]
    return training + held_out_pairs(curves)


def held_out_pairs(curves: Curves) -> list[tuple[str, Any]]:
    """Those on held-out records alone."""
    pairs: list[tuple[str, Any]] = []
    for name, points in curves.held_out.items():
        choose = min if name in LOWEST else max
        best = choose(value for _, value in points)
        step = next(step for step, value in points if value == best)
        pairs.append((f"held-out {name}", f"{_line(points)}, best {best:.4g} after step {step}"))
    return pairs


def values(curves: Curves) -> dict[str, Any]:
    """The JSON form."""
    parts = {"training": curves.training, "held_out": curves.held_out}
    return {part: {name: [list(each) for each in points] for name, points in of.items()} for part, of in parts.items()}


def _line(points: Points) -> str:
    return f"{sparkline([value for _, value in points], 24)}  {points[-1][1]:.4f}"
