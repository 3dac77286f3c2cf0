"""What is written where a mask is true trains to the bit; what a mask picks, used otherwise, is
refused with its line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fitchain.pod.compute.environment.classes import X86_64_V3
from fitchain.pod.compute.model.export import export
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input

Compute = Callable[[Tensor, Tensor], Tensor]


class Layer(nn.Module):
    """Something made of a layer's output and of what went in."""

    def __init__(self, compute: Compute) -> None:
        super().__init__()
        self.layer, self.compute = nn.Linear(4, 4), compute

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self.layer(x), x)


def operators(compute: Compute) -> list[str]:
    graph, _ = export(Layer(compute), [Input("x", "F32", (4,))], 3, X86_64_V3)
    return [node.operator.removeprefix("aten.") for node in graph.training.nodes]


def leaky(h: Tensor, x: Tensor) -> Tensor:
    h[h < 0] *= 0.1
    return h


def of_both(h: Tensor, x: Tensor) -> Tensor:
    y, mask = torch.zeros_like(h), h > 0
    y[mask] = torch.sqrt(h[mask])
    y[~mask] = h[~mask] * 0.1
    return y


def computed_twice(h: Tensor, x: Tensor) -> Tensor:
    y = h.clone()
    y[(h < 0) | (h > 1)] = -h[(h < 0) | (h > 1)]
    return y


def a_row(h: Tensor, x: Tensor) -> Tensor:
    h[x[:, 0] < 0] = torch.arange(4.0)
    return h


def of_some_columns(h: Tensor, x: Tensor) -> Tensor:
    h[x[:, 0] < 0, 1:3] = 0.5
    h[..., 3][x.sum(1) > 0] += 1
    return h


def padding(h: Tensor, x: Tensor) -> Tensor:
    kept = torch.ones(x.shape, dtype=torch.long)
    kept[x == 0] = 0
    return h * kept


def another_mask(h: Tensor, x: Tensor) -> Tensor:
    y = h.clone()
    y[h < 0] = h[x < 0][0]
    return y


def changed_in_between(h: Tensor, x: Tensor) -> Tensor:
    y = h.clone()
    picked = y[y < 0]
    y += 1
    y[y < 0] = picked
    return y


@pytest.mark.parametrize("compute", [leaky, of_both, computed_twice, a_row])
def test_what_is_written_by_a_mask_is_chosen(compute: Compute) -> None:
    assert "where.self" in operators(compute)


@pytest.mark.parametrize(
    "compute",
    [of_some_columns, padding, lambda h, x: h.index_put((x < 0,), torch.tensor(2.0))],
)
def test_one_number_is_written_as_torch_does(compute: Compute) -> None:
    assert {"masked_fill_.Scalar", "masked_fill_.Tensor"} & set(operators(compute))


@pytest.mark.parametrize(
    "compute",
    [
        another_mask,
        changed_in_between,
        lambda h, x: h + h[h > 0].sum(),
        lambda h, x: h[x > -100].view_as(h),
        lambda h, x: h[torch.where(x > 0)[0]],
        lambda h, x: torch.masked_select(h, x > 0),
    ],
)
def test_what_a_mask_picks_is_refused_with_its_line(compute: Compute) -> None:
    with pytest.raises(InputRefused, match=r"test_masks.py:\d+ `.*`: what a mask picks has as many numbers"):
        operators(compute)
