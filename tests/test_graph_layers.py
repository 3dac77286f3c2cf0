"""A graph as people speak of a model: layers with their shapes, counts and operators, summed up
where there are many (`fitchain.pod.values.graph.layers`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from torch import Tensor, nn

from fitchain.cli.views import model
from fitchain.cli.views.output import Rows, printable
from fitchain.pod.compute.model.export import export
from fitchain.pod.values.graph import Form, Graph, Input, Node, NodeRef, TensorRef, TensorSpec
from fitchain.pod.values.graph.layers import MOST_LAYERS, layers_of, numbers, summary_of

COLUMNS = 80


class Recurrent(nn.Module):
    """An LSTM of two layers, and what reads its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(3, 5, 2, batch_first=True), nn.Linear(5, 2)

    def forward(self, x_BTF: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.rnn(x_BTF)[0][:, -1])
        return logits_BK


class Transformer(nn.Module):
    """Tokens to classes, by an encoder of twelve layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 12)
        self.head = nn.Linear(8, 3)

    def forward(self, token_BT: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.encoder(self.embedding(token_BT)).mean(1))
        return logits_BK


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def cnn() -> nn.Module:
    made = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 3)
    )
    made[0].weight.requires_grad_(False)
    return made


MODULES: dict[str, tuple[Callable[[], nn.Module], Input]] = {
    "MLP": (mlp, Input("x", "F32", (4,))),
    "CNN": (cnn, Input("image", "F32", (1, 6, 6))),
    "LSTM": (Recurrent, Input("x", "F32", (7, 3))),
    "transformer": (Transformer, Input("tokens", "I64", (6,))),
}


@cache
def graph_of(name: str) -> tuple[nn.Module, Graph]:
    make, spec = MODULES[name]
    module = make()
    return module, export(module, (spec,))[0]


def stacked(count: int, name: Callable[[int], str], operators: Callable[[int], str] = lambda at: "relu") -> Graph:
    """A graph of linear layers, each with an activation, whose tensors are named so."""
    specs, nodes = dict[str, TensorSpec](), list[Node]()
    value: Any = None
    for at in range(count):
        weight = f"{name(at)}weight"
        specs[weight] = TensorSpec("parameter", "F32", (2, 2), True)
        nodes.append(Node("aten.linear.default", (value or TensorRef(weight), TensorRef(weight)), {}))
        nodes.append(Node(f"aten.{operators(at)}.default", (NodeRef(len(nodes) - 1),), {}))
        value = NodeRef(len(nodes) - 1)
    form = Form(tuple(nodes), value)
    return Graph((Input("x", "F32", (2,)),), specs, form, form)


def told(graph: Graph, every: bool = False) -> list[Any]:
    """What the table of a model holds, without its heads."""
    table = model.table(graph, every)[0]
    assert isinstance(table, Rows)
    return [tuple(row) for row in table.rows]


@pytest.mark.parametrize("name", MODULES)
def test_every_parameter_and_buffer_stands_in_one_layer(name: str) -> None:
    module, graph = graph_of(name)
    layers, parameters = layers_of(graph), [*module.parameters()]
    assert sum(layer.parameters for layer in layers) == sum(each.numel() for each in parameters)
    assert sum(layer.trainable for layer in layers) == sum(each.numel() for each in parameters if each.requires_grad)
    assert sum(len(layer.tensors) for layer in layers) == len(graph.tensors)
    for lines in (summary_of(layers), summary_of(layers, 4), summary_of(layers, 1)):
        assert sum(layer.parameters for layer in lines) == sum(each.numel() for each in parameters)
        assert sum(layer.alike * len(layer.operators) for layer in lines) == sum(len(each.operators) for each in layers)
    summed = model.values(graph)
    assert summed["parameters"] == sum(each.numel() for each in parameters)
    assert summed["buffers"] == sum(each.numel() for each in module.buffers())
    assert json.loads(json.dumps(summed)) == summed


def test_layers_of_an_mlp_have_their_modules_shapes_counts_and_operators() -> None:
    _, graph = graph_of("MLP")
    assert told(graph) == [
        ("0", "linear", "8×4, 8", "40"),
        ("", "relu", "", ""),
        ("2", "linear", "2×8, 2", "18"),
        ("in all", "", "", "58"),
    ]
    assert model.describe(graph) == "58 parameters; linear ×2, relu; takes x (4)"


def test_what_is_held_fixed_and_what_is_a_buffer_is_said() -> None:
    _, graph = graph_of("CNN")
    assert told(graph)[0] == ("0", "conv2d", "4×1×3×3, 4", "40 partly fixed")
    assert model.describe_parameters(graph) == "243 parameters, 36 of them held fixed, 9 numbers in buffers"
    assert ("", "relu, dropout, flatten", "", "") in told(graph)


def test_layers_of_an_lstm_are_one_line() -> None:
    rows = told(graph_of("LSTM")[1])
    assert ("rnn", "lstm", "20×3, 20×5, +6", "440") in rows and ("head", "linear", "2×5, 2", "12") in rows


def test_layers_that_repeat_are_one_line() -> None:
    _, graph = graph_of("transformer")
    names = [row[0] for row in told(graph)]
    assert names == ["embedding", "12 × encoder.layers.0…11", "", "head", "in all"]
    encoder = told(graph)[1]
    assert encoder[1].startswith("linear ×4") and encoder[3] == "7,200"
    assert len(told(graph, every=True)) == len(layers_of(graph)) + 1 > 100


def test_model_of_3000_layers_is_summed_up_and_shown_whole_if_asked() -> None:
    graph = stacked(3000, lambda at: f"stack.{at}.")
    assert told(graph) == [
        ("3000 × stack.0…2999", "linear, relu", "2×2", "12,000"),
        ("in all", "", "", "12,000"),
    ]
    assert model.table(graph)[1] == "6000 layers summed up: --all shows each"
    assert len(told(graph, every=True)) == 6001 and len(model.table(graph, every=True)) == 1
    assert len(model.values(graph)["layers"]) == 1 and len(model.values(graph, every=True)["layers"]) == 6000


def test_one_layer_among_many_that_differs_is_not_hidden() -> None:
    graph = stacked(300, lambda at: f"stack.{at}.", lambda at: "sigmoid" if at == 170 else "relu")
    rows = told(graph)
    assert [row[0] for row in rows[:-1]] == ["170 × stack.0…169", "stack.170", "", "129 × stack.171…299"]
    assert rows[2][1] == "sigmoid"


@pytest.mark.parametrize(
    "name",
    [
        lambda at: f"{'m' * 400}{at}.",
        lambda at: ".".join("abcdefghijklmnop"[: 1 + at % 16]) + f".{at}.",
        lambda at: f"{at}.{at * 7919 % 100}.",
        lambda at: f"w{at}",
        lambda at: f"\x1b[2J{at}\n.",
    ],
    ids=["long", "deep", "scattered", "flat", "escapes"],
)
def test_a_stranger_s_names_make_no_long_table(name: Callable[[int], str]) -> None:
    graph = stacked(2000, name, lambda at: ("relu", "sigmoid", "tanh", "gelu", "silu")[at * at % 5])
    table = model.table(graph)[0]
    assert isinstance(table, Rows) and len(table.rows) <= max(MOST_LAYERS, model.MOST_LINES) + 1
    widths = [max(len(printable(row[column])) for row in table.rows) for column in range(4)]
    assert sum(widths) + 6 <= COLUMNS and len(model.describe(graph)) < 3 * COLUMNS
    assert sum(map(numbers, graph.tensors.values())) == model.values(graph)["parameters"] == 8000
