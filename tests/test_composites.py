"""Operators that torch makes of others are written as those, and so are those that write into what
they are given; what is in none of them has a hint that helps."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from fitchain.pod.compute.environment.classes import X86_64_V3
from fitchain.pod.compute.model.composites import is_composite, without_out
from fitchain.pod.compute.model.export import export
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Graph, Input

TURN = torch.polar(torch.ones(12), torch.arange(12.0))


class Head(nn.Module):
    """A layer, and what is computed of its output."""

    def __init__(self, compute: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 12)
        self.scale = nn.Parameter(torch.rand(12))
        self.compute = compute

    def forward(self, x: Tensor) -> Tensor:
        """[B, 8] to [B, ..]."""
        return self.compute(self.layer(x), self.scale)


def written(module: nn.Module) -> Graph:
    """Its graph, which export has run beside it: outputs, gradients and buffers had equal bits."""
    torch.manual_seed(0)
    return export(module, [Input("x", "F32", (8,))], environment_class=X86_64_V3)[0]


def named(graph: Graph) -> set[str]:
    """The operators of its training form."""
    return {node.operator for node in graph.training.nodes}


def test_layers_with_norms_of_their_weights_are_written() -> None:
    with pytest.warns(FutureWarning, match="deprecated"):
        old = nn.utils.weight_norm(nn.Linear(6, 6))
    norms: list[Callable[..., nn.Module]]
    norms = [parametrizations.spectral_norm, nn.utils.spectral_norm, parametrizations.weight_norm]
    written(nn.Sequential(*(norm(nn.Linear(size, 6)) for norm, size in zip(norms, (8, 6, 6), strict=True)), old))


def test_orthogonal_layers_are_written() -> None:
    ways = ("matrix_exp", "cayley", "householder")
    sizes = zip(ways, (8, 6, 5), (6, 5, 5), strict=True)
    layers = (
        parametrizations.orthogonal(nn.Linear(taken, made), orthogonal_map=way, use_trivialization=False)
        for way, taken, made in sizes
    )
    written(nn.Sequential(*layers))


def test_an_orthogonal_layer_whose_base_lies_column_by_column_says_how_to_lay_it() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(parametrizations.orthogonal(nn.Linear(8, 6), orthogonal_map="cayley"), nn.Linear(6, 2))
    with pytest.raises(InputRefused, match="not laid out row by row") as refused:
        written(model)
    assert "contiguous()" in refused.value.hint
    for buffer in model.buffers():
        buffer.data = buffer.data.contiguous()
    written(model)


def test_composites_are_written_as_what_they_are_made_of() -> None:
    def compute(h: Tensor, scale: Tensor) -> Tensor:
        h = h * F.triplet_margin_loss(h, scale.expand_as(h), h.flip(1)) * torch.isclose(h, scale).float()
        h = h + torch.trapezoid(h, scale.cumsum(0), dim=1)[:, None]
        h = torch.cat(torch.hsplit(h, 2), 1) * torch.special.psi(h.abs() + 2)
        norm: Tensor = torch.linalg.matrix_norm(torch.outer(scale, scale))
        return h.reshape(-1, 3, 4).mH.flatten(1) / norm

    assert {"aten.pairwise_distance.default", "aten.digamma.default"} <= named(written(Head(compute)))


def test_a_composite_that_is_admitted_is_written_as_it_is() -> None:
    assert is_composite(torch.ops.aten.linear.default)
    assert "aten.linear.default" in named(written(Head(lambda h, scale: h * scale)))


def test_what_writes_into_a_tensor_is_written_as_a_copy() -> None:
    def compute(h: Tensor, scale: Tensor) -> Tensor:
        with torch.no_grad():
            sums = torch.zeros(12)
            torch.add(scale, 1, out=sums)
        return h * sums

    assert {"aten.add.Tensor", "aten.copy_.default"} <= named(written(Head(compute)))


def test_what_changes_the_shape_of_what_it_writes_into_is_refused() -> None:
    def compute(h: Tensor, scale: Tensor) -> Tensor:
        with torch.no_grad():
            sums = torch.zeros(0)
            torch.add(scale, 1, out=sums)
        return h * sums

    with pytest.raises(InputRefused, match="shape"):
        written(Head(compute))


def test_the_operator_that_writes_into_a_tensor_has_one_that_does_not() -> None:
    assert without_out(torch.ops.aten.div.out, {"out": None}) is torch.ops.aten.div.Tensor
    assert without_out(torch.ops.aten.div.Tensor, {}) is None
    assert without_out(torch.ops.aten.max.dim_max, {"max": None, "max_values": None}) is None


@pytest.mark.parametrize(
    ("compute", "words", "hint"),
    [
        (
            lambda h, _: torch.fft.fft(h).real,
            "aten.fft_fft.default, which torch makes of aten._fft_r2c",
            "product with",
        ),
        (lambda h, _: torch.stft(h, 4, return_complex=True).abs(), "aten.stft", "product with a constant matrix"),
        (lambda h, _: h @ torch.linalg.svd(torch.outer(h[0], h[0]))[0], "aten.linalg_svd", "qr and solve"),
        (lambda h, _: torch.view_as_real(torch.polar(h, h)).flatten(1), "aten.polar", "a * cos - b * sin"),
        (lambda h, _: torch.view_as_real(h * TURN).flatten(1), "is complex .torch.complex64.", "a * cos - b * sin"),
        (lambda h, _: torch.view_as_real(h * 1j).flatten(1), "the argument 1j", "a * cos - b * sin"),
        (
            lambda h, scale: F.embedding(torch.zeros(2).long(), scale[:, None], max_norm=1.0)[0] * h,
            "aten.embedding_renorm_",
            "torch.renorm",
        ),
    ],
    ids=["fft", "stft", "svd", "polar", "complex constant", "complex number", "max_norm"],
)
def test_what_no_class_admits_says_what_to_use(
    compute: Callable[[Tensor, Tensor], Tensor], words: str, hint: str
) -> None:
    with pytest.raises(InputRefused, match=words) as refused:
        written(Head(compute))
    assert hint in refused.value.hint
