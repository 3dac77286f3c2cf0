"""Curves of a training in the terminal: a line of blocks each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fitchain.cli.views.held_out import counted_of
from fitchain.pod.values.best import LOWEST

if TYPE_CHECKING:
    from fitchain.pod.jobs.curves import Curves, Points
    from fitchain.pod.values.held_out import HeldOut

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
    training: list[tuple[str, Any]] = [(name, _line(points)) for name, points in curves.training.items()]
    if curves.training and curves.counting.ignored:
        training.append(("", f"{curves.counting.ignored} is left out"))
    return training + held_out_pairs(curves)


def held_out_pairs(curves: Curves) -> list[tuple[str, Any]]:
    """Those on held-out records alone."""
    pairs: list[tuple[str, Any]] = []
    for name, points in curves.held_out.items():
        choose = min if name in LOWEST else max
        best = choose(value for _, value in points)
        step = next(step for step, value in points if value == best)
        pairs.append((f"held-out {name}", f"{_line(points)}, best {best:.4g} after step {step}"))
    if pairs and curves.result is not None:
        pairs.append(("", f"on {_counted(curves, curves.result)}"))
    return pairs


def _counted(curves: Curves, result: HeldOut) -> str:
    """On how many held-out records the figures are, and which class is left out."""
    counting = curves.counting
    left_out = f"; {counting.ignored} is left out" if counting.ignored else ""
    weighted = "; the loss is weighted by class" if counting.is_weighted else ""
    return f"{counted_of(result.outcome, result.records, 'held-out record', counting)}{left_out}{weighted}"


def values(curves: Curves) -> dict[str, Any]:
    """The JSON form."""
    parts = {"training": curves.training, "held_out": curves.held_out}
    lists = {part: {name: [list(each) for each in points] for name, points in of.items()} for part, of in parts.items()}
    result = curves.result
    return {
        **lists,
        "held_out_on": _counted(curves, result) if result is not None else None,
        "left_out": curves.counting.ignored or None,
    }


def _line(points: Points) -> str:
    return f"{sparkline([value for _, value in points], 24)}  {points[-1][1]:.4f}"
