"""Fitting: whether graph, recipe and records go together, found before anybody signs or pays.

Three looks, each with more at hand: at a graph alone when it is published, at a graph with its
recipe when a job is asked for, and at made-up records, all of them, in a rehearsal. What no host
can compute is refused by what is wrong; what torch would say of it in the first step comes after
the price is locked.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fitchain.pod.compute.dataset import Assemble, input_width
from fitchain.pod.compute.dataset.arguments import TYPES
from fitchain.pod.compute.losses import counted, fit, loss_function
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.shape_check import Cost, dry_run
from fitchain.pod.compute.training import as_tensors
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.leaf import Indices
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import AMONG, CLASSIFICATION, CTC, MOST_CONFUSED

OUTPUT_DTYPE = "F32"
_TYPES = {written: type_ for type_, written in TYPES.items()}
_CLASSES_ADVICE = "let the model put out one number for each class of the dataset's card"
_LOOKUP_ADVICE = (
    "make each embedding as large as the categories, the range or the tokens of its columns in the dataset's card"
)


def require_records_apart(graph: Graph) -> None:
    """Refuse a graph whose output is not one row of float32 for each record, however many there
    are.

    Raises:
        InputRefused: it puts out other numbers, or the batch is no dimension of its output.
    """
    pair, single = dry_run(graph, 2, False), dry_run(graph, 1, False)
    if pair.dtype != OUTPUT_DTYPE:
        raise InputRefused(
            f"the model puts out {pair.dtype}, and a loss takes {OUTPUT_DTYPE}",
            "convert the module with .float(), its buffers too, or the output with .float()",
        )
    if pair.shape[:1] != (2,) or single.shape != (1, *pair.shape[1:]):
        raise InputRefused(
            f"the model's output is {list(pair.shape)} for two records and {list(single.shape)} for one: the first "
            "dimension is to be the records",
            "do not squeeze the batch: write squeeze(-1) or flatten(1) in place of squeeze()",
        )


def require_fitting(graph: Graph, recipe: Recipe) -> None:
    """Refuse a recipe that its graph cannot be trained by, as far as they say it without records.

    Raises:
        InputRefused: inputs, batch size or output do not go together, the model puts out fewer
            classes than the target has, or it has no figure that the recipe reports or chooses by.
    """
    if len(recipe.inputs) != len(graph.inputs):
        raise InputRefused(
            f"the recipe has {len(recipe.inputs)} inputs and the model takes {len(graph.inputs)}: "
            f"{', '.join(repr(each.name) for each in graph.inputs)}",
            "name the columns of each in the recipe (`inputs = [[...], [...]]`), in this order",
        )
    for spec, columns in zip(graph.inputs, recipe.inputs, strict=True):
        width = (input_width(columns, recipe.transform, _TYPES[spec.dtype]),) if spec.dtype in _TYPES else ()
        if len(columns) > 1 and width != spec.shape:
            raise InputRefused(
                f"the model takes {list(spec.shape)} numbers of a record as {spec.name!r}, and the recipe's columns "
                f"give {list(width)}",
                "publish the model for this dataset (`fitchain model publish --dataset`), or name other columns",
            )
    batch = recipe.at_once * recipe.unit_records
    cost = _trained(graph, batch)
    _require_output(cost, recipe, batch)
    _require_figures(cost, recipe)
    if rest := recipe.batch_size % recipe.at_once:
        _trained(graph, rest)


def _trained(graph: Graph, batch: int) -> Cost:
    try:
        return dry_run(graph, batch, training=True)
    except InputRefused as error:
        if batch > 1:
            raise
        dry_run(graph, 2, training=True)
        raise InputRefused(
            f"the model cannot be trained on one record at a time: {error.message}",
            "choose a batch_size, and a micro_batch and what it leaves, of 2 or more: a batch norm, say, compares"
            " records with each other",
        ) from None


def _require_output(cost: Cost, recipe: Recipe, batch: int) -> None:
    """Compare the output with the loss, where the recipe says what the target is: one of several
    categories a record."""
    categories = recipe.transform.get(recipe.target, {}).get("categories")
    if categories is None:
        return
    output_BK = torch.empty(cost.shape, device="meta")
    fit(output_BK, torch.empty(batch, device="meta"), recipe.loss)
    ignored = recipe.loss.arguments.get("ignore_index")
    largest = max((number for number in range(len(categories)) if number != ignored), default=0)
    if recipe.loss.name in CLASSIFICATION and cost.shape[1] <= largest:
        raise InputRefused(
            f"the model puts out {cost.shape[1]} classes, and the target {recipe.target!r} has {len(categories)}",
            _CLASSES_ADVICE,
        )


def _require_figures(cost: Cost, recipe: Recipe) -> None:
    """Refuse a figure that no model of so many outputs has, or that is the same of all.

    A recipe is asked the same of its target; a model may put out other classes than that has, and
    where its target is of plain numbers, the model alone says how many there are.
    """
    if recipe.loss.name not in CLASSIFICATION or len(cost.shape) < 2:
        return
    classes, names = cost.shape[1], {*recipe.metrics, recipe.best}
    if "top5" in names and classes <= AMONG:
        raise InputRefused(
            f"top5 is of one of more than {AMONG} classes, and the model puts out {classes}: it would always hit",
            "leave it out of metrics and best",
        )
    if recipe.best == "auc" and (classes != 2 or len(cost.shape) > 2):
        raise InputRefused(
            f"the best checkpoint is chosen by auc, which is of two classes of a record, and the model puts out"
            f" {list(cost.shape[1:])}",
            'write best = "f1", or "accuracy"',
        )
    if recipe.best == "f1" and classes > MOST_CONFUSED:
        raise InputRefused(
            f"the best checkpoint is chosen by f1, which is told of {MOST_CONFUSED} classes at most, and the model puts"
            f" out {classes}",
            'write best = "accuracy"',
        )


def require_computable(program: Program, recipe: Recipe, indices: Indices, assemble: Assemble) -> None:
    """Compute the loss of each of these records once, before the first step: a code beyond an
    embedding, or a class beyond the outputs, would end the training in whichever step meets it.

    Args:
        program: of the initial model; it is not changed.
        recipe: loss and batch size.
        indices: `[N]` records.
        assemble: indices to inputs and target.

    Raises:
        InputRefused: a record's loss cannot be computed.
    """
    compute_loss = loss_function(recipe.loss)
    for batch in np.array_split(indices, max(1, -(-len(indices) // recipe.at_once))):
        inputs, target_B = as_tensors(*assemble(batch))
        try:
            with torch.no_grad():
                prediction_BK = fit(program(*inputs, training=False), target_B, recipe.loss)
                _require_classes(prediction_BK, target_B, recipe)
                compute_loss(prediction_BK, target_B)
        except InputRefused as error:
            advice = _LOOKUP_ADVICE if "out of range" in error.message else error.hint
            raise InputRefused(f"the job cannot be computed on mock data: {error.message}", advice) from None
        except (RuntimeError, IndexError, ValueError) as error:
            said = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            raise InputRefused(f"the job cannot be computed on mock data: the loss raised {said:.200}") from None


def _require_classes(prediction_BK: Tensor, target_B: Tensor, recipe: Recipe) -> None:
    if recipe.loss.name == CTC:
        return  # its loss refuses a label that is out of range
    target_B = target_B[counted(target_B, recipe.loss)]
    if recipe.loss.name in CLASSIFICATION and target_B.numel() and target_B.max() >= prediction_BK.shape[1]:
        raise InputRefused(
            f"the model puts out {prediction_BK.shape[1]} classes, and the target {recipe.target!r} has class numbers "
            f"up to {int(target_B.max())}",
            f"{_CLASSES_ADVICE}, counted from 0",
        )
