"""What a delivered model does on a table of the scientist's own, in numbers and in a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fitchain.cli.views.amounts import counted
from fitchain.cli.views.held_out import number, percent
from fitchain.cli.views.output import KeyValues, Rows, View, cut_middle
from fitchain.cli.views.svg import GREY, document, text
from fitchain.pod.values.categories import category_texts
from fitchain.pod.values.evaluation import GRID, AmountGrid, ModelEvaluation, Side, mean_of
from fitchain.pod.values.held_out import Amounts, Classes, HeldOut, Sequences

if TYPE_CHECKING:
    from fitchain.pod.parties.scientist import Evaluation

MOST_SHOWN_CLASSES, NAME_WIDTH, MOST_SHOWN_PAIRS, MOST_LINES = 12, 16, 10, 8
SIZE, LEFT, TOP, BOTTOM, RIGHT = 360, 70, 44, 60, 20
LINES = ("#0b6e99", "#b5542a", "#4a7c2c", "#7a4a99", "#997a00", "#99395c", "#2c7c72", "#555")
CHANCE = "#888"


def evaluation_values(evaluation: Evaluation, names: list[str]) -> dict[str, Any]:
    """All of it, for `--json`; `sides` are classes, or labels, each against the others."""
    details, result = evaluation.details, evaluation.details.result
    outcome = None if result is None else result.outcome
    return {
        "records": evaluation.records,
        "target": evaluation.recipe.target,
        "unit": evaluation.card.column(evaluation.recipe.target).unit or None,
        "metrics": dict(evaluation.metrics),
        "intervals": _intervals(outcome, evaluation.records, evaluation.recipe.target_scale),
        "classes": names if isinstance(outcome, Classes) and not details.are_labels else None,
        "confusion": _matrix(outcome) if isinstance(outcome, Classes) else None,
        "sides": [
            {"name": name, "positives": side.counts[2] + side.counts[3], **_side_values(side)}
            for name, side in zip(_side_names(details, names), details.sides, strict=True)
        ],
        "subgroups": [] if result is None else [part.json() for part in result.subgroups],
    }


def evaluation_views(evaluation: Evaluation, names: list[str]) -> list[View]:
    """The same for a person.

    Args:
        names: of the classes, or of the labels.
    """
    details, result = evaluation.details, evaluation.details.result
    column = evaluation.card.column(evaluation.recipe.target)
    pairs: list[tuple[str, Any]] = [
        ("records", counted(evaluation.records, "record")),
        ("target", f"{column.name}{f' ({column.unit})' if column.unit else ''}"),
    ]
    match None if result is None else result.outcome:
        case None if result is None:
            return [KeyValues([*pairs, ("metrics", "none: the table has no such column")])]
        case Classes() as outcome:
            pairs += _of_classes(details, outcome)
            views: list[View] = [KeyValues([*pairs, *_of_groups(result)])]
            return views + ([_labels(details, names)] if details.are_labels else _confusion(outcome, names))
        case Amounts() as outcome:
            pairs += _of_amounts(outcome, evaluation.recipe.target_scale, evaluation.records)
            return [KeyValues([*pairs, *_of_groups(result, evaluation.recipe.target_scale)])]
        case Sequences() as outcome:
            read = ("read without an error", percent(outcome.accuracy, outcome.accuracy_interval))
            return [KeyValues([*pairs, read, ("loss", f"{outcome.loss:.4g}"), *_of_groups(result)])]
        case _:
            return [KeyValues([*pairs, ("metrics", "none: outputs are not finite, or cannot be computed")])]


def _of_classes(details: ModelEvaluation, outcome: Classes) -> list[tuple[str, Any]]:
    independent = outcome.compared == details.records
    pairs: list[tuple[str, Any]] = [
        ("accuracy", percent(outcome.accuracy, outcome.accuracy_interval if independent else None))
    ]
    if outcome.top5 is not None:
        pairs.append(("among the five likeliest", percent(outcome.top5)))
    areas = mean_of([side.of_two.auc for side in details.sides])
    if details.are_labels:
        f1 = mean_of([side.f1 for side in details.sides])
        pairs.append(("F1", None if f1 is None else f"{f1:.3f}, the mean over the labels"))
        pairs.append(("AUC", None if areas is None else f"{areas:.3f}, the mean over the labels"))
    else:
        pairs.append(("macro F1", None if outcome.f1 is None else f"{outcome.f1:.3f}"))
        of_two = outcome.classes == 2 and outcome.auc is not None
        one_against_rest = None if areas is None else f"{areas:.3f}, the mean of each class against the others"
        pairs.append(("AUC", number(outcome.auc or 0.0, outcome.auc_interval) if of_two else one_against_rest))
    return [*pairs, ("loss", f"{outcome.loss:.4g}")]


def _of_amounts(outcome: Amounts, scale: float, records: int) -> list[tuple[str, Any]]:
    independent = outcome.compared == records
    interval = outcome.mae_interval if independent else None
    scaled = interval and (interval[0] * scale, interval[1] * scale)
    r2 = None if outcome.r2 is None else number(outcome.r2, outcome.r2_interval if independent else None)
    return [
        ("mean error", number(outcome.mae * scale, scaled)),
        ("RMSE", f"{math.sqrt(outcome.squared / outcome.compared) * scale:.3g}"),
        ("R2", r2),
        ("loss", f"{outcome.loss:.4g}"),
    ]


def _of_groups(result: HeldOut | None, scale: float = 1.0) -> list[tuple[str, Any]]:
    """A line for each group of a column of subgroups."""
    lines = list[tuple[str, Any]]()
    for part in () if result is None else result.subgroups:
        names = ", ".join(category_texts(part.groups))
        match part.outcome:
            case Classes() | Sequences() as outcome:
                words = f"accuracy {percent(outcome.accuracy, outcome.accuracy_interval)}"
            case Amounts() as outcome:
                words = f"mean error {outcome.mae * scale:.3g}"
            case _:
                continue
        lines.append((f"by {part.column}", f"{names}: {words} ({counted(part.records, 'record')})"))
    return lines


def _matrix(outcome: Classes) -> list[list[int]] | None:
    count = outcome.classes
    rows = [list(outcome.confusion[first : first + count]) for first in range(0, len(outcome.confusion), count)]
    return rows or None


def _confusion(outcome: Classes, names: list[str]) -> list[View]:
    """Which class was taken for which; of many classes only what was confused most."""
    if (matrix := _matrix(outcome)) is None:
        return []
    short = [cut_middle(name, NAME_WIDTH) for name in names]
    if outcome.classes <= MOST_SHOWN_CLASSES:
        headers = ("true, and taken for", *short)
        return [Rows(headers, [(name, *row) for name, row in zip(short, matrix, strict=True)], right=short)]
    pairs = [(count, i, j) for i, row in enumerate(matrix) for j, count in enumerate(row) if count and i != j]
    worst = sorted(pairs, key=lambda pair: (-pair[0], *pair[1:]))[:MOST_SHOWN_PAIRS]
    rows = [(short[i], short[j], count) for count, i, j in worst]
    return [Rows(("true", "taken for", "records"), rows, right=("records",), empty="nothing was confused")]


def _labels(details: ModelEvaluation, names: list[str]) -> View:
    rows = [
        (
            cut_middle(name, 2 * NAME_WIDTH),
            side.counts[2] + side.counts[3],
            percent(side.of_two.accuracy, side.of_two.accuracy_interval),
            "-" if side.f1 is None else f"{side.f1:.3f}",
            "-" if side.of_two.auc is None else number(side.of_two.auc, side.of_two.auc_interval),
        )
        for name, side in zip(_side_names(details, names), details.sides, strict=True)
    ]
    return Rows(("label", "records with it", "accuracy", "F1", "AUC"), rows, right=("records with it", "F1"))


def _side_names(details: ModelEvaluation, names: list[str]) -> list[str]:
    return [names[side.number] if side.number < len(names) else str(side.number) for side in details.sides]


def _side_values(side: Side) -> dict[str, Any]:
    two = side.of_two
    return {"accuracy": two.accuracy, "f1": side.f1, "auc": two.auc, "auc_interval": two.auc_interval}


def _intervals(outcome: object, records: int, scale: float) -> dict[str, Any]:
    """Of 95 %, where the project has one and predictions do not depend on one another."""
    match outcome:
        case Classes() if outcome.compared == records:
            return {"accuracy": outcome.accuracy_interval, "auc": outcome.auc_interval}
        case Amounts() if outcome.compared == records:
            mae = outcome.mae_interval
            return {"mae": mae and (mae[0] * scale, mae[1] * scale), "r2": outcome.r2_interval}
        case _:
            return {}


def draw_evaluation(evaluation: Evaluation, names: list[str], title: str) -> str | None:
    """A picture: of classes and labels their ROC curves, of amounts predicted against observed;
    None where there is nothing to draw.

    Args:
        names: of the classes, or of the labels.
        title: what it is of.
    """
    details = evaluation.details
    if details.amounts is not None:
        column = evaluation.card.column(evaluation.recipe.target)
        return _draw_amounts(details.amounts, f"{column.name}{f' ({column.unit})' if column.unit else ''}", title)
    drawn = [
        (name, side)
        for name, side in zip(_side_names(details, names), details.sides, strict=True)
        if side.of_two.auc is not None
    ]
    return _draw_roc(drawn, title) if drawn else None


def _draw_roc(sides: list[tuple[str, Side]], title: str) -> str:
    """True over false positive rates; of many sides those with the smallest areas."""
    shown = sorted(sides, key=lambda pair: pair[1].of_two.auc or 0.0)[:MOST_LINES]
    parts = [text(LEFT, 24, title, size=14), *_frame([f"{share:g} %" for share in range(0, 101, 25)] * 2)]
    parts.append(f'<path d="M{LEFT} {TOP + SIZE}L{LEFT + SIZE} {TOP}" stroke="{CHANCE}" stroke-dasharray="4 4"/>')
    for line, (name, side) in enumerate(shown):
        negatives, positives = sum(side.counts[:2]), sum(side.counts[2:])
        points = [
            (round(LEFT + SIZE * x / negatives, 2), round(TOP + SIZE * (1 - y / positives), 2)) for x, y in side.curve
        ]
        path = "L".join(f"{x} {y}" for x, y in points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{LINES[line]}" stroke-width="2"/>')
        y = TOP + SIZE + BOTTOM + 18 * line
        parts.append(f'<path d="M{LEFT} {y - 4}h26" stroke="{LINES[line]}" stroke-width="2"/>')
        parts.append(text(LEFT + 32, y, f"{cut_middle(name, 40)}: AUC {side.of_two.auc:.3f}"))
    if more := len(sides) - len(shown):
        parts.append(text(LEFT, TOP + SIZE + BOTTOM + 18 * len(shown), f"and {more} more, with larger areas"))
    parts += _axes("false alarms among those without it", "hits among those with it")
    return document(LEFT + SIZE + RIGHT, TOP + SIZE + BOTTOM + 18 * (len(shown) + bool(more)), title, parts)


def _draw_amounts(amounts: AmountGrid, name: str, title: str) -> str:
    """Predicted over observed amounts: the darker, the more records; on the line they are equal."""
    ticks = [f"{amounts.low + (amounts.high - amounts.low) * step / 4:.3g}" for step in range(5)]
    parts = [text(LEFT, 24, title, size=14), *_frame(ticks * 2)]
    most, cell = max(amounts.counts), SIZE / GRID
    for square, count in enumerate(amounts.counts):
        if count:
            row, column = divmod(square, GRID)
            x, y = round(LEFT + row * cell, 2), round(TOP + SIZE - (column + 1) * cell, 2)
            shade = round(0.15 + 0.85 * math.sqrt(count / most), 3)
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" fill="{LINES[0]}" fill-opacity="{shade}"/>'
            )
    parts.append(f'<path d="M{LEFT} {TOP + SIZE}L{LEFT + SIZE} {TOP}" stroke="{CHANCE}" stroke-dasharray="4 4"/>')
    short = cut_middle(name, 40)
    parts += _axes(f"observed {short}", f"predicted {short}")
    return document(LEFT + SIZE + RIGHT, TOP + SIZE + BOTTOM, title, parts)


def _frame(ticks: list[str]) -> list[str]:
    """Lines and numbers of both axes, those of x first."""
    parts, half = [], len(ticks) // 2
    for number_, (across, up) in enumerate(zip(ticks[:half], ticks[half:], strict=True)):
        x, y = LEFT + SIZE * number_ / (half - 1), TOP + SIZE * (1 - number_ / (half - 1))
        parts.append(f'<path d="M{x} {TOP}v{SIZE}M{LEFT} {y}h{SIZE}" stroke="{GREY}"/>')
        parts += [text(x, TOP + SIZE + 16, across, "middle"), text(LEFT - 6, y + 4, up, "end")]
    return parts


def _axes(across: str, up: str) -> list[str]:
    """What both axes are."""
    middle = TOP + SIZE / 2
    along = text(0, 0, up, "middle")
    return [
        text(LEFT + SIZE / 2, TOP + SIZE + 34, across, "middle"),
        f'<g transform="translate(16 {middle}) rotate(-90)">{along}</g>',
    ]
