"""The ROC of a privacy-risk report as a picture: an SVG with logarithmic axes, written directly."""

from __future__ import annotations

import math

from fitchain.cli.views.svg import GREY, document, text
from fitchain.pod.values.risk import Attack, RiskReport
from fitchain.pod.values.risk.report import most_hit_rate

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 470, 70, 20, 44, 84
LEAST_DECADES, MOST_DECADES = 2, 5
LINE, CHANCE, BOUND = "#0b6e99", "#888", "#b5542a"
BOUND_POINTS = 60
NAMES = {Attack.LIRA: "LiRA", Attack.RMIA: "RMIA"}


def draw_roc(report: RiskReport) -> str:
    """The true positive rate over the false positive rate, beside chance and, of a private
    training, the bound of differential privacy."""
    summary, details = report.summary, report.details
    decades = max(LEAST_DECADES, min(MOST_DECADES, math.ceil(math.log10(max(summary.non_members, summary.members, 1)))))
    plot = _Plot(decades)
    title = f"Membership attack on the model {summary.model.short}"
    parts = [text(LEFT, 24, title, size=14), *plot.frame()]
    legend: list[tuple[str, str, str]] = []
    if summary.attack is Attack.NONE:
        parts.append(text(LEFT + 20, HEIGHT / 2, "nothing can be said about membership"))
    else:
        points = [(fp / summary.non_members, hits / summary.members) for fp, hits in details.roc]
        parts.append(plot.curve(points, LINE, steps=True))
        legend.append((LINE, "", f"{NAMES[summary.attack]}, {summary.non_members:,} held-out records"))
    grid = [10 ** (-decades * index / BOUND_POINTS) for index in range(BOUND_POINTS, -1, -1)]
    parts.append(plot.curve([(rate, rate) for rate in grid], CHANCE, dashes="4 4"))
    legend.append((CHANCE, "4 4", "chance"))
    if details.epsilon is not None and details.delta is not None:
        epsilon, delta = details.epsilon, details.delta
        parts.append(plot.curve([(rate, most_hit_rate(epsilon, delta, rate)) for rate in grid], BOUND, dashes="8 3"))
        legend.append((BOUND, "8 3", f"bound of epsilon {epsilon:.3g}, delta {delta:g}"))
    for number, (colour, dashes, words) in enumerate(legend):
        x, y = LEFT + 6 + 235 * (number % 2), HEIGHT - 32 + 18 * (number // 2)
        parts.append(f'<path d="M{x} {y - 4}h26" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>')
        parts.append(text(x + 32, y, words))
    return document(WIDTH, HEIGHT, title, parts)


class _Plot:
    """Logarithmic axes from 10^-decades to 1."""

    def __init__(self, decades: int) -> None:
        self.decades = decades
        self.width, self.height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(self, rate: float) -> float:
        return round(LEFT + self.width * self._part(rate), 2)

    def y(self, rate: float) -> float:
        return round(TOP + self.height * (1 - self._part(rate)), 2)

    def _part(self, rate: float) -> float:
        """From 0 at the lower end, where what is below it lies too, to 1."""
        return max(0.0, 1 + math.log10(rate) / self.decades) if rate > 0 else 0.0

    def frame(self) -> list[str]:
        parts = []
        for decade in range(self.decades + 1):
            rate = 10.0**-decade
            x, y, label = self.x(rate), self.y(rate), f"{100 * rate:g} %"
            parts.append(f'<path d="M{x} {TOP}V{TOP + self.height}M{LEFT} {y}h{self.width}" stroke="{GREY}"/>')
            parts.append(text(x, TOP + self.height + 16, label, "middle"))
            parts.append(text(LEFT - 6, y + 4, label, "end"))
        middle = TOP + self.height / 2
        parts.append(
            text(
                LEFT + self.width / 2, TOP + self.height + 33, "false alarms among records that were held out", "middle"
            )
        )
        side = "hits among records that were trained on"
        parts.append(f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">{side}</text>')
        return parts

    def curve(self, points: list[tuple[float, float]], colour: str, steps: bool = False, dashes: str = "") -> str:
        """A line through points of rising rates; where it has steps, it is level up to each."""
        path = f"M{self.x(points[0][0])} {self.y(points[0][1])}"
        for x_rate, y_rate in points[1:]:
            path += f"H{self.x(x_rate)}V{self.y(y_rate)}" if steps else f"L{self.x(x_rate)} {self.y(y_rate)}"
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'
