"""Evaluating a delivered model on a table of the scientist's own.

The table is read as the dataset's card says: columns by their names wherever they stand, numbers,
categories and missing cells in the owner's terms; whatever else stands in it is left out. The model
runs in the worker's sandbox, as the training did, and what comes of it is read with bounds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fitchain.pod.compute.dataset import (
    Card,
    CsvDialect,
    Kind,
    Reading,
    ReadingTerms,
    Schema,
    Spill,
    Table,
    missing_name,
)
from fitchain.pod.compute.dataset.columns import UNDECLARED
from fitchain.pod.compute.dataset.schema import ColumnPlan
from fitchain.pod.compute.dataset.table import column_names
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.tokenizers import tokenizer_file
from fitchain.pod.jobs.worker import Context, run_worker
from fitchain.pod.jobs.worker.events import TAKEN_OVER, Evaluated
from fitchain.pod.jobs.worker.task import Evaluate
from fitchain.pod.parties.scientist.predictions import class_names, label_names, write_predictions
from fitchain.pod.parties.scientist.publish import read_card
from fitchain.pod.parties.scientist.receive import check, delivery
from fitchain.pod.values.errors import InputRefused, Unusable
from fitchain.pod.values.evaluation import ModelEvaluation
from fitchain.pod.values.held_out import Classes
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import JobFolder, Scratch, scratch
from fitchain.pod.values.limits import EVALUATION
from fitchain.pod.values.recipe import Recipe


@dataclass(frozen=True)
class OwnTable:
    """A table of the scientist's own.

    Args:
        path: the file.
        dialect: how a CSV file is written, as far as that is said.
        missing: further texts that mean that a cell is missing.
    """

    path: Path
    dialect: CsvDialect | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """How a trained model does on a table of the scientist's own.

    Args:
        records: how many it has.
        metrics: by name, in the target's own unit (`ModelEvaluation.metrics`); empty where the
            table has no target, or the outputs are not finite.
        details: counts, sums and curves.
        recipe: of the job.
        card: of its dataset.
    """

    records: int
    metrics: Mapping[str, float]
    details: ModelEvaluation
    recipe: Recipe
    card: Card


def evaluate(home: Home, id: AgreementId, source: Path | OwnTable, predictions: Path | None = None) -> Evaluation:
    """Run a received model on a table of the scientist's own, in the worker's sandbox.

    Its certificate is verified first. On a host of the recipe's environment class the same records
    give the same bits as in the owner's evaluation.

    Args:
        home: the scientist's.
        id: the agreement.
        source: a file with at least the columns that the model takes.
        predictions: a CSV file that is written: what the model predicts of each record.

    Raises:
        NotFound: the model has not been received, or there is no such table.
        Refuted: the received certificate does not hold.
        InputRefused: the table does not fit the recipe, or the file cannot be written.
    """
    own = source if isinstance(source, OwnTable) else OwnTable(source)
    received, folder = delivery(home, id), home.job_folder(id)
    recipe = check(home, id, received).statement.recipe
    card = read_card(home, home.agreements.read(id).terms.dataset)
    table = read_own(own, card, recipe, Spill(home.settings.home), tokenizer_file(home, card))
    if recipe.target not in table.arrays and predictions is None:
        raise InputRefused(
            f"{own.path.name} has no column {recipe.target!r:.80}, and nothing to compare predictions with",
            "add the column, or ask for what the model predicts: --predictions FILE.csv",
        )
    with scratch(folder.path, Scratch.EVALUATION) as workspace:
        home.bases.lay(folder, recipe.base)
        folder.copy_offer(job := JobFolder(workspace).make_run())
        os.link(received.model, job.final)
        table.write_for_worker(job.records)
        run = home.agreements.run_record(id)
        ended = run_worker(workspace, Evaluate(Context(run.ctx, run.seed)), launcher=home.launcher)
        if not isinstance(ended, Evaluated):
            raise Unusable(f"a worker that evaluates ended with {ended.name!r}", TAKEN_OVER)
        details = _written(job, table.count)
        if predictions is not None:
            outputs_N = np.memmap(
                job.outputs, np.dtype(details.dtype).newbyteorder("<"), "r", shape=(table.count, *details.shape)
            )
            write_predictions(predictions, outputs_N, recipe, card)
    return Evaluation(table.count, details.metrics(recipe.target_scale), details, recipe, card)


def _written(job: JobFolder, records: int) -> ModelEvaluation:
    """What a worker wrote, of as many records as it was given."""
    with job.evaluation.open("rb") as file:
        details = ModelEvaluation.parse(file.read(EVALUATION.text_bytes + 1))
    size = records * int(np.prod(details.shape, dtype=object)) * np.dtype(details.dtype).itemsize
    if details.records != records or job.outputs.stat().st_size != size:
        raise Unusable("a worker that evaluates wrote outputs of other records", TAKEN_OVER)
    return details


def read_own(
    own: OwnTable, card: Card, recipe: Recipe, spill: Spill | None = None, tokenizer: bytes | None = None
) -> Table:
    """Read a table with the columns that a recipe wants, in the card's terms.

    The target, and columns of subgroups, may be missing; other columns are left out.

    Raises:
        NotFound: there is no such file.
        InputRefused: a column that the model takes is not there, or cells are not what the card
            says; the message names lines and columns.
    """
    schema = _schema(card, recipe, column_names(own.path, own.dialect))
    schema = replace(schema, markers=ReadingTerms(missing=own.missing).markers)
    try:
        return Table.read_as(own.path, Reading(own.dialect, schema), spill=spill, tokenizer=tokenizer)
    except InputRefused as error:
        if error.hint != UNDECLARED:
            raise
        fixed = "the card's classes and categories are all that the model knows: leave such records out"
        raise InputRefused(error.message, fixed) from None


def _schema(card: Card, recipe: Recipe, names: Collection[str]) -> Schema:
    """How the wanted columns are read."""
    base = {missing_name(column.name): column.name for column in card.columns}
    taken = [name for argument in recipe.inputs for name in argument]
    inputs = [base[name] if card.column(name).kind is Kind.MISSING else name for name in taken]
    optional = [name for name in (recipe.target, *recipe.subgroups) if name in names]
    schema = card.schema_of([*dict.fromkeys([*inputs, *optional])])
    has_target = recipe.target in (*inputs, *optional)
    plans = tuple(replace(plan, numbers=_numbers(card, plan)) for plan in schema.plans)
    return replace(schema, plans=plans, unit=None, target=recipe.target if has_target else None)


def _numbers(card: Card, plan: ColumnPlan) -> tuple[int, ...]:
    """The whole numbers that a column of classes may have; empty where any may be, or where texts
    or missing cells are told from others already."""
    options = card.options(plan.column.name)
    return () if plan.may_miss or plan.categories else tuple(each for each in options if isinstance(each, int))


def names_of(evaluation: Evaluation) -> list[str]:
    """What the numbers of an evaluation's classes, or labels, stand for; of an amount, its own."""
    recipe, outcome = (
        evaluation.recipe,
        None if evaluation.details.result is None else evaluation.details.result.outcome,
    )
    if isinstance(outcome, Classes) and not evaluation.details.are_labels:
        return class_names(recipe, evaluation.card, outcome.classes)
    return label_names(recipe, max(1, math.prod(evaluation.details.shape)))
