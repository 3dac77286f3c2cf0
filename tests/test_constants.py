"""What depends on constants alone is known when a module is traced; what anything else reaches is
not, and stays refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fitchain.pod.compute.model.export import export
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input


class Layer(nn.Module):
    """Something made of a layer's output and of what the module holds: numbers in a buffer, in an
    attribute and in a frozen parameter."""

    def __init__(self, compute: Callable[[Layer, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.compute = nn.Linear(4, 4), compute
        self.buffer: Tensor
        self.register_buffer("buffer", torch.arange(4.0))
        self.attribute, self.frozen = torch.arange(4), nn.Parameter(torch.ones(4), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self, self.layer(x))


def operators(compute: Callable[[Layer, Tensor], Tensor]) -> list[str]:
    graph, _ = export(Layer(compute), [Input("x", "F32", (4,))])
    return [node.operator.removeprefix("aten.") for node in graph.training.nodes]


def causal(layer: Layer, h: Tensor) -> Tensor:
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    return h.relu() if bool((mask == torch.full((4, 4), -torch.inf).triu_(1)).all()) else h


def written_in_place(layer: Layer, h: Tensor) -> Tensor:
    mask = torch.zeros(h.shape[0], 4, dtype=torch.bool)
    mask[:, 1] = True
    return h.relu() if mask.any(1).all().item() else h


def of_the_batch(layer: Layer, h: Tensor) -> Tensor:
    return h.relu() if (torch.arange(h.shape[0]) > 4).any() else h


def written_by_each_call(layer: Layer, h: Tensor) -> Tensor:
    y = h.relu() if layer.buffer.sum() > 9 else h
    layer.buffer += 1
    return y


def written_by_an_input(layer: Layer, h: Tensor) -> Tensor:
    mask = torch.zeros(4)
    mask[0] = h.sum()
    return h.relu() if mask.any() else h


@pytest.mark.parametrize(
    "compute",
    [
        causal,
        written_in_place,
        lambda layer, h: h.relu() if (layer.buffer > 2).any() else h,
        lambda layer, h: h.relu() if layer.attribute.sum().item() == 6 else h,
        lambda layer, h: h.relu() if torch.equal(layer.frozen, torch.ones_like(layer.frozen)) else h,
        lambda layer, h: h.relu() if (torch.zeros_like(h) == 0).all() else h,
        lambda layer, h: h.relu() if torch.ones(h.shape[0]).max() > 0 else h,
    ],
)
def test_a_branch_on_constants_is_taken(compute: Callable[[Layer, Tensor], Tensor]) -> None:
    assert operators(compute)[-1] == "relu.default"


@pytest.mark.parametrize(
    "compute",
    [
        lambda layer, h: h * max(layer.buffer.tolist()),
        lambda layer, h: h[:, layer.buffer > 1],
        lambda layer, h: h[:, torch.nonzero(layer.attribute % 2)[:, 0]],
        lambda layer, h: h[torch.ones(h.shape[0], 4, dtype=torch.bool)].view(-1, 4),
        lambda layer, h: h.new_zeros(layer.attribute.max(), 4)[0] + h,
    ],
)
def test_numbers_and_places_of_constants_are_known(compute: Callable[[Layer, Tensor], Tensor]) -> None:
    assert "linear.default" in operators(compute)


@pytest.mark.parametrize(
    "compute",
    [
        of_the_batch,
        written_by_each_call,
        written_by_an_input,
        lambda layer, h: h.relu() if layer.layer.weight.sum() > 9 else h,
        lambda layer, h: h.relu() if torch.rand(()) > 0.5 else h,
    ],
)
def test_a_branch_on_anything_else_is_refused(compute: Callable[[Layer, Tensor], Tensor]) -> None:
    with pytest.raises(InputRefused, match="depends on a tensor's values"):
        operators(compute)


@pytest.mark.parametrize("is_buffer", [True, False])
def test_the_transformer_of_torch_finds_its_causal_mask(is_buffer: bool) -> None:
    class Causal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 4, batch_first=True), 1)
            self.mask = nn.Buffer(nn.Transformer.generate_square_subsequent_mask(3)) if is_buffer else None

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.layers(
                x, nn.Transformer.generate_square_subsequent_mask(3) if self.mask is None else self.mask
            )
            return y

    graph, _ = export(Causal(), [Input("x", "F32", (3, 4))])
    assert any("attention" in node.operator for node in graph.training.nodes)
