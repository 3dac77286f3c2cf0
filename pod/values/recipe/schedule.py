"""Learning-rate tables: every step's exact rate, computed once by whoever drafts a recipe.

`math.cos` and powers differ between C libraries, so no schedule is ever computed while training:
the recipe carries the floats. A table is run-length coded, `((count, rate), ...)`; the runs of a
schedule that moves at every step are made coarser beyond `MOST_RUNS`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby

from fitchain.pod.values.errors import InputRefused

MOST_RUNS = 1 << 16
ONE_CYCLE_DIVISOR = 25.0
"""Of the peak, where one cycle begins."""
SCHEDULES = ("constant", "linear_warmup", "linear", "cosine", "one_cycle", "step")

Runs = tuple[tuple[int, float], ...]


def learning_rates(
    schedule: str,
    peak: float,
    steps: int,
    warmup_steps: int = 0,
    step_size: int = 1,
    gamma: float = 0.1,
    minimum: float = 0.0,
) -> Runs:
    """Write a schedule out as a table.

    Args:
        schedule: `constant`; `linear_warmup` (rises, then stays); `linear` (falls from the
            peak to the minimum along a line); `one_cycle` (rises and falls along half a cosine
            each, the rise as long as the warm-up); `cosine` (falls from the peak to
            the minimum along half a cosine); `step` (times gamma after every `step_size` steps). A
            warm-up may stand before each of them.
        peak: the highest rate.
        steps: how many steps the table covers.
        warmup_steps: the first steps, over which the rate rises linearly from peak / (warmup_steps
            + 1).
        step_size: for `step`, in steps.
        gamma: for `step`, the factor.
        minimum: for `cosine`, `linear` and `one_cycle`, the rate it falls towards.

    Returns:
        Runs of (steps, rate), neighbours differing, whose counts add up to `steps`.

    Sources: cosine: Loshchilov & Hutter 2017, arXiv 1608.03983, equation 5 with one period;
    one_cycle: Smith & Topin 2018, arXiv 1708.07120, annealed as in `torch.optim.lr_scheduler`.
    """
    if warmup_steps > steps:
        raise InputRefused(f"a warm-up of {warmup_steps} steps does not fit into {steps} steps")
    stride = -(-steps // MOST_RUNS)

    def rate(step: int) -> float:
        if step < warmup_steps and schedule == "one_cycle":
            start = peak / ONE_CYCLE_DIVISOR
            return start + (peak - start) * (1 - math.cos(math.pi * step / warmup_steps)) / 2
        if step < warmup_steps:
            return peak * (step + 1) / (warmup_steps + 1)
        progress = (step - warmup_steps) / max(1, steps - warmup_steps)
        if schedule == "linear":
            return minimum + (peak - minimum) * (1 - progress)
        if schedule in ("cosine", "one_cycle"):
            return minimum + (peak - minimum) * (1 + math.cos(math.pi * progress)) / 2
        if schedule == "step":
            return peak * gamma ** ((step - warmup_steps) // step_size)
        return peak

    return run_lengths((min(stride, steps - step), rate(step)) for step in range(0, steps, stride))


def run_lengths(runs: Iterable[tuple[int, float]]) -> Runs:
    """Join neighbouring runs of one rate."""
    return tuple((sum(count for count, _ in group), rate) for rate, group in groupby(runs, key=lambda run: run[1]))
