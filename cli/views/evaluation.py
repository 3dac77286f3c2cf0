"""What a delivered model does on a table of the scientist's own, in numbers and in a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fitchain.cli.views.held_out import counted_of, counted_values, number, of_classes, percent
from fitchain.cli.views.output import KeyValues, Rows, View, cut_middle
from fitchain.cli.views.svg import GREY, document, text
from fitchain.pod.values.categories import category_texts
from fitchain.pod.values.counting import CountedTargets
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
    counting, shape = _counting(evaluation), evaluation.card.column(evaluation.recipe.target).shape
    return {
        "records": evaluation.records,
        "counted": None if result is None else counted_values(evaluation.recipe, shape, result),
        "target": evaluation.recipe.target,
        "unit": evaluation.card.column(evaluation.recipe.target).unit or None,
        "metrics": dict(evaluation.metrics),
        "intervals": _intervals(outcome, evaluation.records, evaluation.recipe.target_scale, counting),
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
    details, result, counting = evaluation.details, evaluation.details.result, _counting(evaluation)
    column = evaluation.card.column(evaluation.recipe.target)
    outcome = None if result is None else result.outcome
    pairs: list[tuple[str, Any]] = [
        ("records", counted_of(outcome, evaluation.records, "record", counting)),
        ("target", f"{column.name}{f' ({column.unit})' if column.unit else ''}"),
        *([("left out", f"{counting.ignored}, as in the training")] if counting.ignored and result else []),
    ]
    match outcome:
        case None if result is None:
            return [KeyValues([*pairs, ("metrics", "none: the table has no such column")])]
        case Classes() as outcome:
            pairs += _of_classes(details, outcome, counting)
            views: list[View] = [KeyValues([*pairs, *_of_groups(result, counting)])]
            return views + ([_labels(details, names)] if details.are_labels else _confusion(outcome, names))
        case Amounts() as outcome:
            pairs += _of_amounts(outcome, evaluation.recipe.target_scale, evaluation.records, counting)
            return [KeyValues([*pairs, *_of_groups(result, counting, evaluation.recipe.target_scale)])]
        case Sequences() as outcome:
            read = ("read without an error", percent(outcome.accuracy, outcome.accuracy_interval))
            return [KeyValues([*pairs, read, ("loss", f"{outcome.loss:.4g}"), *_of_groups(result, counting)])]
        case _:
            nothing = ", or none of them counts" if counting.ignored or counting.is_weighted else ""
            return [KeyValues([*pairs, ("metrics", f"none: outputs are not finite, or cannot be computed{nothing}")])]


def _counting(evaluation: Evaluation) -> CountedTargets:
    """What of the table's targets counts."""
    return CountedTargets.of(evaluation.recipe, evaluation.card.column(evaluation.recipe.target).shape)


def _of_classes(details: ModelEvaluation, outcome: Classes, counting: CountedTargets) -> list[tuple[str, Any]]:
    independent = counting.is_independent(outcome.compared, details.records)
    accuracy = percent(outcome.accuracy, outcome.accuracy_interval if independent else None)
    one_class = ", all of one class" if outcome.is_of_one_class else ""
    pairs: list[tuple[str, Any]] = [("accuracy", f"{accuracy}{one_class}")]
    if outcome.top5 is not None:
        pairs.append(("among the five likeliest", percent(outcome.top5)))
    areas, sides = [side.of_two.auc for side in details.sides], "labels" if details.are_labels else "classes"
    if details.are_labels:
        pairs.append(("F1", _mean_over([side.f1 for side in details.sides], "the mean over", sides)))
        pairs.append(("AUC", _mean_over(areas, "the mean over", sides)))
    else:
        pairs.append(("macro F1", None if outcome.f1 is None else f"{outcome.f1:.3f}{of_classes(outcome)}"))
        of_two = outcome.classes == 2 and outcome.auc is not None
        one_against_rest = _mean_over(areas, "one against the others, the mean over", sides)
        pairs.append(("AUC", number(outcome.auc or 0.0, outcome.auc_interval) if of_two else one_against_rest))
    return [*pairs, ("loss", f"{outcome.loss:.4g}{', weighted by class' if counting.is_weighted else ''}")]


def _mean_over(figures: Sequence[float | None], words: str, sides: str) -> str | None:
    """A mean over classes or labels, and over how many of them: of some there is no such figure."""
    if (mean := mean_of(figures)) is None:
        return None
    present = sum(figure is not None for figure in figures)
    return f"{mean:.3f}, {words} {'the' if present == len(figures) else f'{present} of {len(figures)}'} {sides}"


# Many parameters: what was added up, and what its figures are over.
def _of_amounts(outcome: Amounts, scale: float, records: int, counting: CountedTargets) -> list[tuple[str, Any]]:
    independent = counting.is_independent(outcome.compared, records)
    interval = outcome.mae_interval if independent else None
    scaled = interval and (interval[0] * scale, interval[1] * scale)
    r2 = (
        "none, since the targets do not vary"
        if outcome.r2 is None
        else number(outcome.r2, outcome.r2_interval if independent else None)
    )
    return [
        ("mean error", number(outcome.mae * scale, scaled)),
        ("RMSE", f"{math.sqrt(outcome.squared / outcome.compared) * scale:.3g}"),
        ("R2", r2),
        ("loss", f"{outcome.loss:.4g}"),
    ]


def _of_groups(result: HeldOut | None, counting: CountedTargets, scale: float = 1.0) -> list[tuple[str, Any]]:
    """A line for each group of a column of subgroups."""
    lines = list[tuple[str, Any]]()
    for part in () if result is None else result.subgroups:
        names = ", ".join(category_texts(part.groups))
        match part.outcome:
            case Classes() | Sequences() as outcome:
                independent = counting.is_independent(outcome.compared, part.records)
                words = f"accuracy {percent(outcome.accuracy, outcome.accuracy_interval if independent else None)}"
            case Amounts() as outcome:
                words = f"mean error {outcome.mae * scale:.3g}"
            case _:
                continue
        on = counted_of(part.outcome, part.records, "record", counting)
        lines.append((f"by {part.column}", f"{names}: {words} ({on})"))
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


def _intervals(outcome: object, records: int, scale: float, counting: CountedTargets) -> dict[str, Any]:
    """Of 95 %, where the project has one and predictions do not depend on one another."""
    match outcome:
        case Classes() if counting.is_independent(outcome.compared, records):
            return {"accuracy": outcome.accuracy_interval, "auc": outcome.auc_interval}
        case Amounts() if counting.is_independent(outcome.compared, records):
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
