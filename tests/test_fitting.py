"""What cannot be computed on any records is refused before anybody signs:
`fitchain.pod.compute.fitting`, and the tensors that no state holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fitchain.pod.compute.dataset import Table, assemble
from fitchain.pod.compute.environment import NATIVE
from fitchain.pod.compute.fitting import require_computable, require_fitting, require_records_apart
from fitchain.pod.compute.model import Program
from fitchain.pod.compute.model.export import export
from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.recipe import Recipe, draft
from fitchain.pod.values.state import TensorBytes
from tests.policies import open_policy

FOUR = (Input("x", "F32", (4,)),)
MODEL, DATA = Root(sha256(b"model")), sha256(b"data")


class Squeezed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).squeeze()  # type: ignore[no-any-return]


class Holding(nn.Module):
    """A linear layer beside one more tensor."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        if isinstance(tensor, nn.Parameter):
            self.more = tensor
        else:
            self.register_buffer("more", tensor)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


class Doubling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.register_buffer("factor", torch.ones(1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.factor  # type: ignore[no-any-return]


class Summed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).sum(0)  # type: ignore[no-any-return]


class Coded(nn.Module):
    """Two numbers and two codes to outputs."""

    def __init__(self, codes: int, outputs: int) -> None:
        super().__init__()
        self.look_up, self.layer = nn.Embedding(codes, 3), nn.Linear(2 + 6, outputs)

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        return self.layer(torch.cat([x, self.look_up(codes).flatten(1)], 1))  # type: ignore[no-any-return]


def linear(outputs: int, *more: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), *more, nn.Linear(8, outputs))


def quantised() -> nn.Module:
    made: nn.Module = torch.ao.quantization.quantize_dynamic(linear(2), {nn.Linear})  # type: ignore[no-untyped-call]
    return made


def published(module: nn.Module, inputs: tuple[Input, ...] = FOUR) -> tuple[Graph, dict[str, TensorBytes]]:
    graph, tensors = export(module, inputs, 4)
    require_records_apart(graph)
    return graph, tensors


# When a model is published


@pytest.mark.parametrize(
    ("make", "message", "advice"),
    [
        (lambda: nn.LazyLinear(2), "the parameter 'weight' has no shape yet", "nn.Linear(4, 2)"),
        (lambda: linear(2, nn.LazyBatchNorm1d()), "the parameter '1.weight' has no shape yet", "run the module once"),
        (lambda: nn.Sequential(nn.Unflatten(1, (1, 4)), nn.LazyConv1d(2, 3)), "'1.weight' has no shape yet", ""),
        (lambda: nn.Linear(4, 2, device="meta"), "the parameter 'weight' lies on the device meta", "to_empty"),
        (lambda: linear(2).double(), "the parameter '0.weight' is F64, and training moves F32", ".float()"),
        (lambda: linear(2).half(), "the parameter '0.weight' is F16", ".float()"),
        (lambda: Holding(nn.Parameter(torch.eye(2, dtype=torch.complex64))), "'more' is complex", "cos and sin apart"),
        (lambda: Holding(torch.eye(2).to_sparse()), "the buffer 'more' is laid out as torch.sparse_coo", "to_dense"),
        (lambda: Holding(nn.Parameter(torch.eye(2).to_sparse_csr())), "'more' is laid out as torch.sparse_csr", ""),
        (lambda: Holding(torch.ones(2, 3).to_mkldnn()), "'more' is laid out as torch._mkldnn", "to_dense"),
        (lambda: Holding(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])), "'more' is a nested", "padded"),
        (
            lambda: Holding(torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)),
            "the buffer 'more' is quantised",
            "as it was before",
        ),
        (quantised, r"the layer '0' \(Linear\) is quantised", "as it was before"),
        (Doubling, "the model puts out F64", ".float()"),
        (Squeezed, r"output is \[2\] for two records and \[\] for one", "squeeze(-1)"),
        (Summed, r"output is \[2\] for two records and \[2\] for one", "flatten(1)"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # torch's, of what is refused here
def test_module_that_no_training_can_move_is_refused_by_its_name(
    make: Callable[[], nn.Module], message: str, advice: str
) -> None:
    with pytest.raises(InputRefused, match=message) as refused:
        published(make())
    assert advice in refused.value.hint


def test_frozen_doubles_and_batch_norms_are_published() -> None:
    published(Holding(torch.ones(2, dtype=torch.float64)))
    published(linear(2, nn.BatchNorm1d(8)))
    published(nn.Sequential(nn.Linear(4, 1), nn.Flatten(0, 0)))


# When a job is asked for


def table_of(classes: int = 3, rows: int = 24) -> Table:
    random = np.random.default_rng(3)
    arrays: dict[str, Any] = {name: random.normal(size=rows) for name in "abcd"}
    arrays["bed"] = np.arange(rows) % 6
    return Table.of(arrays | {"kind": np.arange(rows) % classes}, "kind")


def recipe_of(table: Table, graph: Graph, **terms: Any) -> Recipe:
    constants = {name: {"mean": 0.0, "scale": 1.0} for name in "abcd"} | {
        "kind": {"categories": sorted(set(table.arrays["kind"].tolist()))}
    }
    card = {
        "root": str(DATA),
        "count": table.count,
        "columns": [{"name": each.name, "dtype": each.dtype, "shape": []} for each in table.columns],
        "target": "kind",
        "task": "classification",
        "transform": constants,
        "policy": open_policy().json(),
    }
    terms = {"inputs": [["a", "b", "c", "d"]], "batch_size": 5} | terms
    return draft(graph.digest, MODEL, card, "2.13.0+cpu", terms)


@pytest.mark.parametrize(
    ("module", "terms", "message", "advice"),
    [
        (linear(2), {}, "puts out 2 classes, and the target 'kind' has 3", "one number for each class"),
        (linear(1), {}, "puts out 1 classes, and the target 'kind' has 3", "one number for each class"),
        (linear(3, nn.BatchNorm1d(8)), {"batch_size": 1}, "one record at a time", "of 2 or more"),
        (linear(3), {"loss": "mse_loss"}, r"output is \[5, 3\], and mse_loss needs the target's \[5\]", "one number"),
        (nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), {}, r"needs \[5, 'classes'\]", "one number a class"),
        (linear(3), {"inputs": [["a", "b", "c"]]}, r"takes \[4\] numbers .* as 'x', .* give \[3\]", "other columns"),
        (linear(3), {"inputs": [["a", "b"], ["c", "d"]]}, "2 inputs and the model takes 1: 'x'", "in this order"),
    ],
)
def test_recipe_that_its_graph_cannot_be_trained_by_is_refused(
    module: nn.Module, terms: dict[str, Any], message: str, advice: str
) -> None:
    graph, _ = export(module, FOUR, 4)
    with pytest.raises(InputRefused, match=message) as refused:
        require_fitting(graph, recipe_of(table_of(), graph, **terms))
    assert advice in refused.value.hint


@pytest.mark.parametrize(
    ("outputs", "terms", "message"),
    [
        (4, {"metrics": ["top5"]}, "top5 is of one of more than 5 classes, and the model puts out 4"),
        (4, {"best": "auc"}, r"chosen by auc, which is of two classes of a record, and the model puts out \[4\]"),
        (33, {"best": "f1"}, "chosen by f1, which is told of 32 classes at most, and the model puts out 33"),
    ],
)
def test_figure_that_no_such_model_has_is_refused(outputs: int, terms: dict[str, Any], message: str) -> None:
    graph, _ = export(linear(outputs), FOUR, 4)
    given = recipe_of(table_of(), graph)
    with pytest.raises(InputRefused, match=message):
        require_fitting(graph, replace(given, **terms))
    require_fitting(graph, replace(given, best="accuracy"))


def test_recipe_that_fits_is_not_refused() -> None:
    graph, _ = export(linear(4, nn.BatchNorm1d(8)), FOUR, 4)  # a class to spare
    require_fitting(graph, recipe_of(table_of(), graph))
    require_fitting(graph, recipe_of(table_of(), graph, batch_size=2))


# In a rehearsal


def compute(codes: int, outputs: int, **terms: Any) -> None:
    table = table_of()
    graph, tensors = export(Coded(codes, outputs), (Input("x", "F32", (2,)), Input("codes", "I64", (2,))), 4)
    recipe = recipe_of(table, graph, **({"inputs": [["a", "b"], ["bed", "kind"]]} | terms))
    program = Program(graph, tensors, NATIVE)
    take = assemble(recipe, table, ["float32", "int64"])
    require_computable(program, recipe, np.arange(table.count, dtype=np.uint64), take)


def test_every_record_is_computed_once_whatever_the_first_batches_have() -> None:
    compute(6, 3)
    with pytest.raises(InputRefused, match=r"cannot be computed on mock data: .*index out of range") as refused:
        compute(5, 3)  # one record of six has the last bed
    assert "as large as the categories" in refused.value.hint


def test_class_numbers_beyond_the_outputs_are_told_from_classes() -> None:
    with pytest.raises(InputRefused, match="puts out 2 classes, and the target 'kind' has class numbers up to 2"):
        compute(6, 2, transform={})
    with pytest.raises(InputRefused, match="puts out 5 classes, and the target 'bed' has class numbers up to 5") as no:
        compute(6, 5, target="bed", loss="cross_entropy", inputs=[["a", "b"], ["bed", "kind"]])
    assert "counted from 0" in no.value.hint
