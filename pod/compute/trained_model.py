"""A trained model in a program: a module that takes raw rows and answers in the owner's words
(torch).

Cells are read as those of the owner's file were, by the dataset's card, and enter the model as they
did in the training. Nothing is sandboxed: the graph is data, checked as a pod checks it, and the
rows are the caller's own. The kernels are those of torch in this process, so that
outputs may differ from the certified ones in their last bits; `evaluate` has the certified ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from fitchain.pod.compute.dataset import Card, assemble_inputs
from fitchain.pod.compute.dataset.columns import Array
from fitchain.pod.compute.dataset.memory import MemoryRows
from fitchain.pod.compute.dataset.own_table import OwnTable, read_own, read_rows
from fitchain.pod.compute.held_out import evaluation_seed
from fitchain.pod.compute.model.module import GraphModule
from fitchain.pod.compute.predictions import answers, class_values, probabilities
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import OF_CLASSES, OF_TRUTHS
from fitchain.pod.values.state import Tensors

Rows = Any
"""A list of dicts, a dict of columns, a data frame; or a file or a folder of images, by its path or
as an `OwnTable`."""
InputTensors: TypeAlias = tuple[Tensor, ...]
"""What a `forward` takes: a tensor `[N, *shape]` for each argument."""
_DTYPES = {"F32": "float32", "F64": "float64", "I64": "int64"}


class TrainedModel(GraphModule):
    """What a job trained, as a module: `predict` on rows, and all that an `nn.Module` has.

    Args:
        graph: what it computes.
        tensors: its weights.
        recipe, card: of the job.
        seed: its order seed.
        tokenizer: the file by which free texts are read; None where there is none.

    Attributes:
        recipe: how it was trained.
        card: of the dataset that it was trained on.
    """

    # Many parameters: what was agreed, and what came of it.
    def __init__(
        self, graph: Graph, tensors: Tensors, recipe: Recipe, card: Card, seed: Digest, tokenizer: bytes | None = None
    ) -> None:
        super().__init__(graph, tensors)
        self.recipe, self.card, self._seed, self._tokenizer = recipe, card, seed, tokenizer
        self.eval()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of."""
        return super().__getstate__() | {"recipe": self.recipe.encode(), "card": self.card.encode()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "recipe": Recipe.parse(state["recipe"]), "card": Card.parse(state["card"])})

    def predict(self, rows: Rows, missing: tuple[str, ...] = ()) -> list[Any]:
        """What the model says of each row: its class in the owner's words, an amount in the
        target's own unit; of labels, for each whether it is there.

        Args:
            rows: with at least the columns that the model takes, wherever they stand.
            missing: further texts that mean that a cell is missing.

        Raises:
            NotFound: there is no such file.
            InputRefused: a column is not there, or cells are not what the card says; the message
                names rows, from 0 on, and columns, never a cell's content.
        """
        return answers(self.outputs(rows, missing), self.recipe, self.card)

    def predict_proba(self, rows: Rows, missing: tuple[str, ...] = ()) -> Array:
        """How likely the model takes each class to be, `[N, K]` in the order of `classes`; of
        labels each to be there, `[N, L]`.

        Raises:
            NotFound, InputRefused: as `predict`; or the model predicts amounts.
        """
        return probabilities(self.outputs(rows, missing), self.recipe, self.card)

    @property
    def classes(self) -> list[str | int | bool]:
        """What the class numbers stand for; empty where it predicts amounts, and for the classes of
        a target that the card does not name."""
        loss = self.recipe.loss.name
        if loss not in OF_CLASSES or self.card.column(self.recipe.target).shape:
            return []
        return class_values(self.recipe, self.card, 2 if loss in OF_TRUTHS else 0)

    def outputs(self, rows: Rows, missing: tuple[str, ...] = ()) -> Array:
        """The model's outputs as they are, `[N, *shape]`: scores, logits, amounts as they enter the
        loss. They are computed in evaluation mode and in batches of the training's size.

        Raises:
            NotFound, InputRefused: as `predict`.
        """
        recipe, outputs = self.recipe, list[Array]()
        count, take = self._prepared(rows, missing)
        with self._evaluating():
            for low in range(0, count, recipe.batch_size):
                inputs = self._tensors(take, low, min(low + recipe.batch_size, count))
                outputs.append(self(*inputs).cpu().float().numpy())
        return np.concatenate(outputs)

    def preprocess(self, rows: Rows, missing: tuple[str, ...] = ()) -> tuple[Tensor, ...]:
        """What `forward` takes of rows: a tensor `[N, *shape]` for each argument, where the model
        is.

        Raises:
            NotFound, InputRefused: as `predict`.
        """
        count, take = self._prepared(rows, missing)
        return self._tensors(take, 0, count)

    def _prepared(self, rows: Rows, missing: tuple[str, ...]) -> tuple[int, Callable[[Array], tuple[Array, ...]]]:
        return prepared(self.recipe, self.card, self.graph, rows, missing, self._tokenizer)

    def _tensors(self, take: Callable[[Array], tuple[Array, ...]], low: int, high: int) -> tuple[Tensor, ...]:
        tensors = [torch.from_numpy(np.array(each)) for each in take(np.arange(low, high, dtype=np.uint64))]
        like = next((each for each in self.parameters() if each.is_floating_point()), torch.zeros(0))
        return tuple(
            each.to(like.device, like.dtype) if each.is_floating_point() else each.to(like.device) for each in tensors
        )

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Evaluation mode, without gradients, with random numbers as in the certified evaluation."""
        was_training = self.training
        self.eval()
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(evaluation_seed(self._seed))
                yield
        finally:
            self.train(was_training)


# Many parameters: those of `prepared`.
def input_tensors(
    recipe: Recipe, card: Card, graph: Graph, rows: Rows, missing: tuple[str, ...], tokenizer: bytes | None
) -> InputTensors:
    """What a graph takes of raw rows, a tensor for each argument.

    Raises:
        NotFound, InputRefused: as `TrainedModel.predict`.
    """
    count, take = prepared(recipe, card, graph, rows, missing, tokenizer)
    return tuple(torch.from_numpy(np.array(each)) for each in take(np.arange(count, dtype=np.uint64)))


# Many parameters: what was agreed, and what is read.
def prepared(
    recipe: Recipe, card: Card, graph: Graph, rows: Rows, missing: tuple[str, ...], tokenizer: bytes | None
) -> tuple[int, Callable[[Array], tuple[Array, ...]]]:
    """Read rows, and prepare taking batches of what they become.

    Returns:
        how many rows there are, and from indices `[B]` the arrays for the arguments.

    Raises:
        NotFound, InputRefused: as `TrainedModel.predict`.
    """
    if isinstance(rows, str | Path):
        rows = OwnTable(Path(rows))
    if isinstance(rows, OwnTable):
        named = replace(rows, missing=rows.missing + missing)
        table = read_own(named, card, recipe, tokenizer=tokenizer, inputs_alone=True)
    else:
        table = read_rows(MemoryRows(rows), card, recipe, missing, tokenizer)
    return table.count, assemble_inputs(recipe, table, [_DTYPES[each.dtype] for each in graph.inputs])
