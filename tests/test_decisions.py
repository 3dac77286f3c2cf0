"""Branches on values that decide nothing are left out of a graph; those that decide are refused.

PYTEST_DONT_REWRITE: an assertion of a module here is Python's own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fitchain.pod.compute.model.export import export
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input

Compute = Callable[[Tensor, Tensor], Tensor]


class Layer(nn.Module):
    """Something made of a record and of a weight."""

    def __init__(self, compute: Compute) -> None:
        super().__init__()
        self.weight, self.compute = nn.Parameter(torch.rand(4)), compute

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(x * self.weight, self.weight)


def operators(compute: Compute) -> list[str]:
    graph, _ = export(Layer(compute), [Input("x", "F32", (4,))])
    return [node.operator for node in graph.training.nodes]


def raising(x: Tensor, weight: Tensor) -> Tensor:
    if x.isnan().any():
        raise ValueError("no number")
    return x


def asserting(x: Tensor, weight: Tensor) -> Tensor:
    assert (x.isnan().sum() == 0) and (weight.abs().max() < 100), "too large"
    return x


def warning(x: Tensor, weight: Tensor) -> Tensor:
    if not torch.isfinite(x).all():
        warnings.warn("this is large", stacklevel=1)
    return x


def containing(x: Tensor, weight: Tensor) -> Tensor:
    if 7.0 in x:
        raise ValueError("seven")
    return x if (weight < 100).all() else x.clone()[:]


def choosing(x: Tensor, weight: Tensor) -> Tensor:
    return x + 1 if (x > 0).any() else x


def caught(x: Tensor, weight: Tensor) -> Tensor:
    try:
        return raising(x, weight)
    except ValueError:
        return x + 1


def failing(x: Tensor, weight: Tensor) -> Tensor:
    return x if x.isnan().any() else x @ weight.expand(2, 2, 2)  # torch's own error is no check of the module's


@pytest.mark.parametrize("compute", [raising, asserting, warning])
def test_a_branch_that_decides_nothing_is_left_out(compute: Compute) -> None:
    assert operators(compute) == ["aten.mul.Tensor"]


@pytest.mark.parametrize("compute", [choosing, containing, caught, failing])
def test_a_branch_whose_ways_differ_is_refused(compute: Compute) -> None:
    with pytest.raises(InputRefused, match=r"depends on a tensor's values|cannot be run"):
        operators(compute)
