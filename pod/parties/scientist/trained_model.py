"""A trained model in a program: `load` gives a module that takes raw rows and answers in the owner's
words (torch).

Cells are read as those of the owner's file were, by the card in the certificate, and enter the
model as they did in the training. Nothing is sandboxed: the graph is data, checked as a pod checks
it, and the rows are the caller's own. The kernels are those of torch in this process, so that
outputs may differ from the certified ones in their last bits; `evaluate` has the certified ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fitchain.pod.compute.dataset import Table, assemble_inputs
from fitchain.pod.compute.dataset.columns import Array
from fitchain.pod.compute.dataset.memory import MemoryRows
from fitchain.pod.compute.dataset.own_table import OwnTable, read_own, read_rows
from fitchain.pod.compute.held_out import evaluation_seed
from fitchain.pod.compute.model.module import GraphModule
from fitchain.pod.compute.model.tensors import new_tensor
from fitchain.pod.parties.scientist.delivered import Delivered, Folder
from fitchain.pod.parties.scientist.predictions import answers, class_values, probabilities
from fitchain.pod.proof.certificate import Statement
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.recipe.terms import BINARY, OF_CLASSES

Rows = Any
"""A list of dicts, a dict of columns, a data frame; or a file or a folder of images, by its path or
as an `OwnTable`."""
_DTYPES = {"F32": "float32", "F64": "float64", "I64": "int64"}


class TrainedModel(GraphModule):
    """What a job trained, as a module: `predict` on rows, and all that an `nn.Module` has.

    Args:
        delivered: the delivery.

    Attributes:
        statement: what its certificate claims: recipe, card, results. No chain was asked: that is
            what `verify` does.
    """

    def __init__(self, delivered: Delivered) -> None:
        super().__init__(delivered.graph, delivered.tensors)
        self.statement: Statement = delivered.statement
        self._tokenizer = delivered.tokenizer()
        self.eval()

    def predict(self, rows: Rows, missing: tuple[str, ...] = ()) -> list[Any]:
        """What the model says of each row: its class in the owner's words, an amount in the target's
        own unit; of labels, for each whether it is there.

        Args:
            rows: with at least the columns that the model takes, wherever they stand.
            missing: further texts that mean that a cell is missing.

        Raises:
            NotFound: there is no such file.
            InputRefused: a column is not there, or cells are not what the card says; the message
                names rows, from 0 on, and columns, never a cell's content.
        """
        return answers(self.outputs(rows, missing), self.statement.recipe, self.statement.card)

    def predict_proba(self, rows: Rows, missing: tuple[str, ...] = ()) -> Array:
        """How likely the model takes each class to be, `[N, K]` in the order of `classes`; of labels
        each to be there, `[N, L]`.

        Raises:
            NotFound, InputRefused: as `predict`; or the model predicts amounts.
        """
        return probabilities(self.outputs(rows, missing), self.statement.recipe, self.statement.card)

    @property
    def classes(self) -> list[str | int | bool]:
        """What the class numbers stand for; empty where it predicts amounts, and for the classes of
        a target that the card does not name."""
        recipe, card = self.statement.recipe, self.statement.card
        if recipe.loss.name not in OF_CLASSES or card.column(recipe.target).shape:
            return []
        return class_values(recipe, card, 2 if recipe.loss.name == BINARY else 0)

    def outputs(self, rows: Rows, missing: tuple[str, ...] = ()) -> Array:
        """The model's outputs as they are, `[N, *shape]`: scores, logits, amounts as they enter the
        loss. They are computed in evaluation mode and in batches of the training's size.

        Raises:
            NotFound, InputRefused: as `predict`.
        """
        recipe, outputs = self.statement.recipe, list[Array]()
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
        return prepared(self.statement, self.graph, rows, missing, self._tokenizer)

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
                torch.manual_seed(evaluation_seed(self.statement.seed))
                yield
        finally:
            self.train(was_training)


def load(folder: Folder) -> TrainedModel:
    """Load what a job trained.

    The files are compared with the certificate beside them, and the certificate with no chain: call
    `verify` first where it matters who made it.

    Args:
        folder: where `fitchain model fetch JOB --to FOLDER` put it, or what `fetch_model` gave.

    Returns:
        a module in evaluation mode. `predict` takes raw rows; to train it further, take its
        `parameters()` and `preprocess`.

    Raises:
        NotFound: a file of the delivery is not there.
        Refuted: a file is another than the certificate says.
        InputRefused: a file is malformed.
    """
    return TrainedModel(Delivered.read(folder))


def state_dict(folder: Folder) -> dict[str, Tensor]:
    """The trained weights under the names of the module that was published: what its
    `load_state_dict` takes, strictly. Tied weights stand under each of their names; constants of
    the graph, and buffers that are not persistent, are left out.

    Raises:
        NotFound, Refuted, InputRefused: as `load`.
    """
    delivered = Delivered.read(folder)
    made = {name: new_tensor(tensor) for name, tensor in delivered.tensors.items()}
    return {name: made[of] for name, of in delivered.graph.state_names.items()}


def preprocess(folder: Folder, rows: Rows, missing: tuple[str, ...] = ()) -> tuple[Tensor, ...]:
    """What the published module's `forward` takes of raw rows: a tensor `[N, *shape]` for each
    argument.

    Args:
        folder: as of `load`.
        rows, missing: as of `TrainedModel.predict`.

    Raises:
        NotFound, Refuted, InputRefused: as `load` and `TrainedModel.predict`.
    """
    delivered = Delivered.read(folder)
    count, take = prepared(delivered.statement, delivered.graph, rows, missing, delivered.tokenizer())
    return tuple(torch.from_numpy(np.array(each)) for each in take(np.arange(count, dtype=np.uint64)))


def prepared(
    statement: Statement, graph: Graph, rows: Rows, missing: tuple[str, ...], tokenizer: bytes | None
) -> tuple[int, Callable[[Array], tuple[Array, ...]]]:
    """Read rows, and prepare taking batches of what they become.

    Returns:
        how many rows there are, and from indices `[B]` the arrays for the arguments.

    Raises:
        NotFound, InputRefused: as `TrainedModel.predict`.
    """
    table = _table(statement, rows, missing, tokenizer)
    return table.count, assemble_inputs(statement.recipe, table, [_DTYPES[each.dtype] for each in graph.inputs])


def _table(statement: Statement, rows: Rows, missing: tuple[str, ...], tokenizer: bytes | None) -> Table:
    recipe, card = statement.recipe, statement.card
    if isinstance(rows, str | Path):
        rows = OwnTable(Path(rows))
    if isinstance(rows, OwnTable):
        return read_own(replace(rows, missing=rows.missing + missing), card, recipe, tokenizer=tokenizer)
    return read_rows(MemoryRows(rows), card, recipe, missing, tokenizer)
