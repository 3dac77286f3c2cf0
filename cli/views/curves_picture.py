"""Curves of a training as a picture: an SVG, one panel a figure, written directly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitchain.cli.views.output import cut_middle
from fitchain.cli.views.svg import GREY, INK, document, text

if TYPE_CHECKING:
    from fitchain.pod.jobs.curves import Curves, Points

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 620, 150, 70, 24, 76, 34
TRAINING, HELD_OUT = ("#888", "training"), ("#0b6e99", "held-out records")
TICKS, MOST_LABEL = 4, 36


def draw_curves(curves: Curves, title: str, delivered: int | None) -> str:
    """Each metric of the training and each figure on held-out records over the steps.

    Args:
        curves: at least one with a point.
        title: what they are of.
        delivered: the step of the delivered checkpoint, which a line marks; None marks none.
    """
    names = list(dict.fromkeys([*curves.training, *curves.held_out]))
    last = max(points[-1][0] for of in (curves.training, curves.held_out) for points in of.values())
    parts = [text(LEFT, 24, title, size=14)]
    for number, (colour, words) in enumerate((TRAINING, HELD_OUT)):
        x = LEFT + 150 * number
        parts += [f'<path d="M{x} 41h26" stroke="{colour}" stroke-width="2"/>', text(x + 32, 45, words)]
    if curves.counting.ignored:
        parts.append(text(LEFT + 300, 45, f"{cut_middle(curves.counting.ignored, MOST_LABEL)} left out"))
    for number, name in enumerate(names):
        top = TOP + number * (PANEL + GAP)
        parts += _panel(top, name, curves.training.get(name, ()), curves.held_out.get(name, ()), last, delivered)
    height = TOP + len(names) * (PANEL + GAP) + 24
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, height - 22, "steps", "middle"))
    return document(WIDTH, height, title, parts)


# Many parameters: where it stands, the two lines, and what both are measured by.
def _panel(top: int, name: str, training: Points, held_out: Points, last: int, delivered: int | None) -> list[str]:
    """One figure: axes, the two lines, and where the delivered checkpoint stands."""
    shown = [value for points in (training, held_out) for _, value in points]
    low, high = min(shown), max(shown)
    spread, width = (high - low) or 1.0, WIDTH - LEFT - RIGHT

    def at(step: int, value: float) -> tuple[float, float]:
        return round(LEFT + width * step / max(last, 1), 2), round(top + PANEL * (high - value) / spread, 2)

    parts = [text(LEFT + 4, top - 6, name)]
    for tick in range(TICKS + 1):
        value, step = low + spread * tick / TICKS, round(last * tick / TICKS)
        x, y = at(step, value)
        parts.append(f'<path d="M{LEFT} {y}h{width}M{x} {top}v{PANEL}" stroke="{GREY}"/>')
        parts += [text(LEFT - 6, y + 4, f"{value:.3g}", "end"), text(x, top + PANEL + 15, f"{step}", "middle")]
    if delivered is not None:
        x, _ = at(delivered, low)
        parts.append(f'<path d="M{x} {top}v{PANEL}" stroke="{INK}" stroke-dasharray="3 3"/>')
        parts.append(text(x, top - 6, "delivered", "middle"))
    for points, (colour, _) in ((training, TRAINING), (held_out, HELD_OUT)):
        path = "L".join("{} {}".format(*at(step, value)) for step, value in points)
        if points:
            parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return parts
