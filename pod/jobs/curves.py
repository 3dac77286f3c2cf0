"""Curves of a job: training metrics and results on held-out records by step, as far as this home
knows them.

An owner has its own checkpoints; a scientist the notes, and of held-out records what its
certificate opens. So nobody is shown what a dataset's policy keeps with the owner, and of a private
training there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.jobs.history import CheckpointRecorded, NoteRead
from fitchain.pod.jobs.journal import Line
from fitchain.pod.proof.certificate import Statement
from fitchain.pod.proof.certificate.envelope import CERTIFICATE_BYTES, read_envelope
from fitchain.pod.values.best import figure_of, results_of
from fitchain.pod.values.counting import CountedTargets
from fitchain.pod.values.held_out import HeldOut
from fitchain.pod.values.job_folder import JobFolder
from fitchain.pod.values.reading import read_at_most
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import SEGMENT, figures_of

Points = tuple[tuple[int, float], ...]
"""(step, value), by rising step."""


@dataclass(frozen=True)
class Curves:
    """What is known of how a training went.

    Args:
        training: by metric, of the segment or of the anchored group that ends at the step.
        held_out: by figure, of the model after the step; `mae` in the target's own unit.
        result: one of those on held-out records, which says how many of them count: of each as many
            do, whatever the model; None where there is none.
        counting: what of the records' targets counts, in the one and in the other.
    """

    training: Mapping[str, Points] = field(default_factory=dict)
    held_out: Mapping[str, Points] = field(default_factory=dict)
    result: HeldOut | None = None
    counting: CountedTargets = field(default_factory=CountedTargets)


def training_curves(history: Sequence[Line], steps: int) -> dict[str, Points]:
    """Training metrics by step: an owner has its own checkpoints', a scientist those of the notes.

    Args:
        history: of the job, in this home.
        steps: T.
    """
    curves: dict[str, dict[int, float]] = {}
    for line in history:
        match line.entry:
            case CheckpointRecorded(step=step, metrics=metrics) | NoteRead(step=step, metrics=metrics) if metrics:
                for name, value in metrics.items():
                    curves.setdefault(name, {})[min(step, steps)] = value
    return {name: tuple(sorted(points.items())) for name, points in curves.items()}


def held_out_curves(folder: JobFolder, recipe: Recipe | None) -> Curves:
    """Figures on held-out records by step, where a recipe evaluates the model after each segment,
    and what counts in them.

    Args:
        folder: of the job, with its leaves, or with its certificate.
        recipe: None where this home does not have it.

    Raises:
        InputRefused, Refuted: what lies in the folder is damaged.
    """
    if recipe is None:
        return Curves()
    counting = CountedTargets.of(recipe, None)
    if recipe.evaluate != SEGMENT:
        return Curves(counting=counting)
    results = _results(folder)
    names = figures_of(recipe.loss.name)
    curves: dict[str, Points] = {}
    for name in names:
        figures = ((index, figure_of(result, name)) for index, result in sorted(results.items()))
        unit = recipe.target_scale if name == "mae" else 1.0
        points = tuple((recipe.step_of(index), unit * figure) for index, figure in figures if figure is not None)
        curves |= {name: points} if points else {}
    having = (result for result in results.values() if result is not None and result.outcome is not None)
    return Curves(held_out=curves, result=next(having, None), counting=counting)


def _results(folder: JobFolder) -> dict[int, HeldOut | None]:
    """Results by leaf: the leaves' own, where they are here, else those that a certificate opens."""
    if folder.leaves.exists():
        return results_of(read_leaves(folder.path))
    if not folder.certificate.exists():
        return {}
    statement = Statement.parse(read_envelope(read_at_most(folder.certificate, CERTIFICATE_BYTES)).payload)
    return {index: claim.result for index, claim in enumerate(statement.evaluations or (), 1)}
