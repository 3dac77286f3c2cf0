"""`torch.vmap` and `torch.func` inside a module train to the bit, or are refused; nothing of them
is left behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fitchain.pod.compute.model.export import export
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input

Compute = Callable[[nn.Module, Tensor], Tensor]


class Layer(nn.Module):
    """Something made of a layer and of what goes in."""

    def __init__(self, compute: Compute) -> None:
        super().__init__()
        self.layer, self.compute = nn.Linear(4, 4), compute

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self.layer, x)


class Ensemble(nn.Module):
    """Three layers as one, as torch's tutorial stacks them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(3, 2, 4)), nn.Parameter(torch.rand(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.vmap(nn.functional.linear, in_dims=(None, 0, 0))(x, self.weight, self.bias)
        return y.mean(0)


def cubes(layer: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = torch.vmap(torch.func.grad(lambda row: layer(row).pow(3).sum()))(x)
    return y


def bends(layer: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = torch.vmap(torch.func.hessian(lambda row: torch.tanh(layer(row)).sum()))(x)
    return y.flatten(1)


def draws(layer: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = torch.vmap(lambda row: row + torch.rand(4))(layer(x))  # torch refuses it without a word on how
    return y


@pytest.mark.parametrize(
    "module",
    [
        Ensemble(),
        Layer(cubes),
        Layer(lambda layer, x: torch.vmap(layer)(x)),
        Layer(lambda layer, x: torch.func.grad(lambda y: y.square().sum())(layer(x))),
        Layer(lambda layer, x: torch.vmap(lambda row: row.softmax(0))(layer(x))),
        pytest.param(Layer(bends), marks=pytest.mark.long),
    ],
)
def test_what_is_transformed_is_written_out(module: nn.Module) -> None:
    graph, _ = export(module, [Input("x", "F32", (4,))])
    assert all(node.operator.startswith(("aten.", "int.")) for node in graph.training.nodes)


def test_a_transform_that_fails_leaves_nothing_open() -> None:
    with pytest.raises(InputRefused, match="randomness"):
        export(Layer(draws), [Input("x", "F32", (4,))])
    assert torch.rand(2).shape == (2,)
