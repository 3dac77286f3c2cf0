"""A bench's ratios as bars: `make bench` draws those of the four models."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from scripts.bench.figures import Figure

WIDTH, LEFT, SCALE, ROW, GAP, TOP = 720, 130, 380, 18, 22, 68
COLOURS = "#1f6f8b", "#8fb9c6", "#b5a27a"


def draw(title: str, figures: Iterable[Figure]) -> str:
    """Bars of ratios as an SVG: a group for each model, a mark at each bar that has a goal, and a
    line where both sides take the same.

    Args:
        title: above it.
        figures: each named `MODEL: SIDE / OTHER`, those of a model one after the other.
    """
    groups = [(model, list(of)) for model, of in groupby(figures, lambda figure: figure.what.partition(": ")[0])]
    parts, y = [], TOP
    for model, bars in groups:
        parts.append(_text(LEFT - 10, y + ROW * len(bars) / 2 + 5, model, "end", bold=True))
        for bar, colour in zip(bars, COLOURS, strict=False):
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{bar.value * SCALE:.0f}" height="{ROW - 4}" fill="{colour}"/>'
            )
            parts.append(_text(LEFT + bar.value * SCALE + 8, y + 11, f"{bar.value:.2f}"))
            if bar.goal is not None:
                goal = LEFT + bar.goal * SCALE
                parts.append(f'<path d="M{goal:.0f} {y - 2}v{ROW}" stroke="#b03a2e" stroke-width="2"/>')
            y += ROW
        y += GAP
    x = 16
    for bar, colour in zip(groups[0][1], COLOURS, strict=False):
        words = bar.what.partition(": ")[2]
        parts += [f'<rect x="{x}" y="36" width="12" height="12" fill="{colour}"/>', _text(x + 17, 46, words)]
        x += 40 + 7 * len(words)
    one = f'<path d="M{LEFT + SCALE} {TOP - 8}V{y - GAP + 6}" stroke="#555" stroke-dasharray="3 3"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="12">'
    white = f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>'
    return "\n".join([head, white, _text(16, 22, title, bold=True), *parts, one, "</svg>", ""])


def _text(x: float, y: float, words: str, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="#222"{weight}>{words}</text>'
