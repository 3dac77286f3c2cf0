"""The picture of what exactness costs, drawn from the bench of four models.

python -m scripts.bench.picture [docs/speed.svg]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from scripts.bench.bench_models import CLASS, GOALS, GRAPH, NAMES, NARROW, STOCK, Measured, compare
from scripts.bench.figures import ratio

PATH = Path(__file__).parents[2] / "docs" / "speed.svg"
WIDTH, LEFT, SCALE, ROW, GAP, TOP = 720, 130, 380, 18, 22, 64
BARS = ((CLASS, STOCK, "#1f6f8b"), (CLASS, NARROW, "#8fb9c6"), (GRAPH, CLASS, "#b5a27a"))
LEGEND = ("class / stock", "class / stock limited to AVX2", "through the graph / eager, same kernels")


def draw(models: Iterable[Measured]) -> str:
    """Bars of ratios, a group a model; a mark stands where the goal of the first bar is, and a line
    where both sides take the same."""
    parts, y = [], TOP
    for model in models:
        middle = y + ROW * len(BARS) / 2 + 5
        parts.append(_text(LEFT - 10, middle, NAMES[model.name], "end", bold=True))
        for row, (side, other, colour) in enumerate(BARS):
            value, top = ratio(model.times, side, other), y + ROW * row
            parts.append(f'<rect x="{LEFT}" y="{top}" width="{value * SCALE:.0f}" height="{ROW - 4}" fill="{colour}"/>')
            parts.append(_text(LEFT + value * SCALE + 6, top + 11, f"{value:.2f}"))
        goal = LEFT + GOALS[model.name] * SCALE
        parts.append(f'<path d="M{goal:.0f} {y - 3}v{ROW + 2}" stroke="#b03a2e" stroke-width="2"/>')
        y += ROW * len(BARS) + GAP
    for place, ((_, _, colour), words) in enumerate(zip(BARS, LEGEND, strict=True)):
        x = LEFT + (0, 120, 320)[place]
        parts += [f'<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/>', _text(x + 17, 44, words)]
    one = f'<path d="M{LEFT + SCALE} {TOP - 8}V{y - GAP + 6}" stroke="#555" stroke-dasharray="3 3"/>'
    title = _text(LEFT, 20, "Time of a training step, one thread; the red mark is the goal", bold=True)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>', title, *parts, one, "</svg>", ""])


def _text(x: float, y: float, words: str, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="#222"{weight}>{words}</text>'


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PATH
    path.write_text(draw(list(compare())))
