"""Evaluating a delivered model on a table of the scientist's own.

The table is read as the dataset's card says: columns by their names wherever they stand, numbers,
categories and missing cells in the owner's terms; whatever else stands in it is left out. The model
runs in the worker's sandbox, as the training did, and what comes of it is read with bounds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fitchain.pod.compute.dataset import Card, Spill
from fitchain.pod.compute.dataset.own_table import OwnTable, read_own
from fitchain.pod.compute.predictions import class_names, label_names, write_predictions
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.tokenizers import tokenizer_file
from fitchain.pod.jobs.worker import Context, Limits, run_worker
from fitchain.pod.jobs.worker.events import TAKEN_OVER, Evaluated
from fitchain.pod.jobs.worker.task import Evaluate
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
        limits = Limits.around(card.policy.most_memory_bytes, job.records)
        ended = run_worker(workspace, Evaluate(Context(run.ctx, run.seed), limits=limits), launcher=home.launcher)
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


def names_of(evaluation: Evaluation) -> list[str]:
    """What the numbers of an evaluation's classes, or labels, stand for; of an amount, its own."""
    recipe, outcome = (
        evaluation.recipe,
        None if evaluation.details.result is None else evaluation.details.result.outcome,
    )
    if isinstance(outcome, Classes) and not evaluation.details.are_labels:
        return class_names(recipe, evaluation.card, outcome.classes)
    return label_names(recipe, max(1, math.prod(evaluation.details.shape)))
