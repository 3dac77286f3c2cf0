"""Operators that libraries use, and those that a graph says by others: export runs each beside its
module, so that what is exported is equal to the bit."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitchain.pod.compute.environment.classes import X86_64_V3
from fitchain.pod.compute.model.export import export
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input

Compute = Callable[[Tensor, Tensor], Tensor]
IMAGE = (2, 4, 4)


class Layer(nn.Module):
    """Something made of an image and of a weight."""

    def __init__(self, compute: Compute) -> None:
        super().__init__()
        self.weight, self.compute = nn.Parameter(torch.rand(IMAGE)), compute

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(x, self.weight)


def put(x: Tensor, weight: Tensor) -> Tensor:
    y = x * weight
    y[:, torch.tensor([1, 0])] = weight.flip(0)
    return y


def silent_autocast(x: Tensor, weight: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return x * weight


def autocast(x: Tensor, weight: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return (x @ weight).float()


def operators(compute: Compute) -> set[str]:
    """What a training form of it is made of, in the class across processors."""
    graph, _ = export(Layer(compute), [Input("x", "F32", IMAGE)], 3, X86_64_V3)
    return {node.operator.removeprefix("aten.") for node in graph.training.nodes}


@pytest.mark.parametrize(
    ("compute", "named"),
    [
        (lambda x, w: torch.diff(x * w), "diff.default"),
        (lambda x, w: F.interpolate(x * w, scale_factor=2), "upsample_nearest2d.vec"),
        (lambda x, w: F.interpolate(x * w, size=(7, 5), mode="nearest-exact"), "_upsample_nearest_exact2d.vec"),
        (lambda x, w: F.interpolate(x * w, size=(7, 5), mode="bilinear"), "upsample_bilinear2d.vec"),
        (lambda x, w: F.interpolate(x * w, size=(7, 5), mode="bicubic"), "upsample_bicubic2d.vec"),
        (lambda x, w: F.interpolate((x * w)[:, None], scale_factor=1.5, mode="trilinear"), "upsample_trilinear3d.vec"),
        (lambda x, w: F.interpolate((x * w)[:, 0], size=7, mode="linear"), "upsample_linear1d.vec"),
        (lambda x, w: F.unfold(x * w, 2), "im2col.default"),
        (lambda x, w: F.fold((x * w).reshape(-1, 8, 4), (4, 4), 2, stride=2), "col2im.default"),
        (lambda x, w: torch.column_stack([x[:, 0, 0], (x * w)[:, 1, 1]]), "column_stack.default"),
        (lambda x, w: torch.ops.aten.broadcast_tensors([x, w])[1] * x, "broadcast_tensors.default"),
        (lambda x, w: torch._weight_norm(w, w.amax((1, 2), True), 0) * x, "_weight_norm.default"),
        (lambda x, w: x * w * x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(0.7), "new_zeros.default"),
        (lambda x, w: x * w + torch.empty_like(x).uniform_(-1, 1), "zeros_like.default"),
        (lambda x, w: x * w + torch.empty(x.shape[0], 2, 4, 4).normal_(), "zeros.default"),
        (lambda x, w: x / torch.linalg.norm(w), "linalg_vector_norm.default"),
        (lambda x, w: x / torch.linalg.norm(x * w, dim=-1, keepdim=True), "linalg_vector_norm.default"),
        (lambda x, w: x / torch.linalg.norm(x * w, 1, -1, True, dtype=torch.float64), "linalg_vector_norm.default"),
        (put, "index_put_.default"),
        (lambda x, w: x * torch.histc(w.detach(), 4, 0, 1).sum(), "histc.default"),
        (lambda x, w: (x * w).scatter(1, torch.zeros(x.shape[0], 1, 4, 4, dtype=torch.long), 0.3), "scatter.value"),
        (lambda x, w: x * torch.linalg.solve(w + 2 * torch.eye(4), w), "linalg_solve.default"),
        (lambda x, w: x + torch.acos(x.tanh() * w * 0.9), "acos.default"),
        (lambda x, w: torch.cdist((x * w)[:, 0], w[1].expand(x.shape[0], 4, 4)), "cdist.default"),
        (lambda x, w: F.interpolate(x * w, size=(3, 3), mode="bicubic", antialias=True), "_upsample_bicubic2d_aa.vec"),
        (lambda x, w: x * w.renorm(2, 0, 0.5), "renorm.default"),
        (silent_autocast, "mul.Tensor"),
    ],
)
def test_what_libraries_use_is_in_the_class_across_processors(compute: Compute, named: str) -> None:
    assert named in operators(compute)


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (lambda x, w: x * w + torch.empty_like(x), "torch.empty gives memory that nobody has written"),
        (lambda x, w: x * torch.linalg.norm(x * w, 2, (-2, -1), True), "linalg_norm"),
        (lambda x, w: x.index_put((torch.tensor([0, 0]),), w[None], accumulate=True), "adds up"),
        (autocast, "half precision"),
    ],
)
def test_what_only_looks_alike_is_refused(compute: Compute, words: str) -> None:
    with pytest.raises(InputRefused, match=words):
        operators(compute)


def test_a_batch_norm_that_averages_for_ever_is_named() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, momentum=None))
    with pytest.raises(InputRefused, match="BatchNorm1d '1' has momentum=None"):
        export(module, [Input("x", "F32", (4,))])


class Counting(nn.Module):
    """It asks Python for the length of its batch, which a run of it cannot leave open."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x).reshape(len(x), 3, 1)
        return y.flatten(1)


class Pieces(Counting):
    """It cuts what has three rows for each record, which are three pieces for every batch."""

    def forward(self, x: Tensor) -> Tensor:
        pieces: tuple[Tensor, ...] = torch.split(torch.cat([self.layer(x)] * 3), x.shape[0])
        one, two, three = pieces
        return one * two + three


class SomePieces(Counting):
    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.layer(x)
        pieces: tuple[Tensor, ...] = torch.split(value, 3)
        return torch.stack([piece.mean() for piece in pieces]).sum() + value


def test_a_condition_that_holds_for_every_batch_is_none() -> None:
    graph, _ = export(Pieces(), [Input("x", "F32", (4,))])
    assert any(node.operator == "aten.split.Tensor" for node in graph.training.nodes)
    with pytest.raises(InputRefused, match="only for some batch sizes"):
        export(SomePieces(), [Input("x", "F32", (4,))], 3)


class Nearest(nn.Module):
    """Distances to the entries of a codebook."""

    def __init__(self, entries: int) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(entries, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cdist(x, self.codebook)


def test_a_large_codebook_settles_how_distances_are_computed() -> None:
    graph, _ = export(Nearest(26), [Input("x", "F32", (4,))])
    assert "aten.cdist.default" in {node.operator for node in graph.training.nodes}
    with pytest.raises(InputRefused, match="only for some batch sizes") as refused:
        export(Nearest(25), [Input("x", "F32", (4,))])
    assert "compute_mode" in refused.value.hint


class OfSize(nn.Module):
    """A layer whose output is computed with the size of the batch."""

    def __init__(self, compute: Callable[[Tensor, int], Tensor]) -> None:
        super().__init__()
        self.layer, self.compute = nn.Linear(4, 3), compute

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self.layer(x), x.shape[0])


def test_whole_power_of_a_size_is_a_product() -> None:
    graph, _ = export(OfSize(lambda y, n: y / n**2 + n**3), [Input("x", "F32", (4,))])
    assert [node.operator for node in graph.training.nodes].count("int.mul") == 3


@pytest.mark.parametrize(
    ("compute", "words", "hint"),
    [
        (lambda y, n: y / n**0.5, "nothing like pow of a size", r"torch\.tensor\(x\.shape\[0\]\)"),
        (lambda y, n: y * abs(n - 10), "nothing like abs of a size", "sizes go by"),
        (lambda y, n: y * (2 if 2 * n > 25 else 1), "only for some batch sizes", "do not branch"),
        (lambda y, n: y @ torch.cov(y.T), "a branch or a shape depends", r"torch\.cov asks"),
        (lambda y, n: (y @ y.T).fill_diagonal_(0) @ y, "only for some batch sizes", "masked_fill"),
    ],
)
def test_refusal_of_what_is_asked_of_a_size_says_what_to_write(
    compute: Callable[[Tensor, int], Tensor], words: str, hint: str
) -> None:
    with pytest.raises(InputRefused, match=words) as refused:
        export(OfSize(compute), [Input("x", "F32", (4,))])
    assert re.search(hint, refused.value.hint)


def test_data_is_a_tensor_without_its_history() -> None:
    assert operators(lambda x, w: x * w + x * w.data) == {"mul.Tensor", "detach.default", "add.Tensor"}


def test_the_length_of_a_batch_may_be_asked_for() -> None:
    graph, _ = export(Counting(), [Input("x", "F32", (4,))])
    assert any(node.operator == "int.size" for node in graph.training.nodes)


def test_an_assertion_about_numbers_is_left_out() -> None:
    def compute(x: Tensor, weight: Tensor) -> Tensor:
        y = x * weight
        torch._check(int((y > 0).sum().item()) >= 0)  # type: ignore[no-untyped-call]
        return y

    assert operators(compute) == {"mul.Tensor"}


def test_tensors_may_be_parts_of_one_memory_that_do_not_overlap() -> None:
    module = nn.Linear(4, 3)
    rows, columns = torch.rand(2, 4).unbind()
    module.register_buffer("rows", rows)
    module.register_buffer("columns", columns)
    assert {"rows", "columns"} <= export(module, [Input("x", "F32", (4,))])[0].tensors.keys()


def test_what_nobody_reads_is_left_out_and_draws_stay() -> None:
    def compute(x: Tensor, weight: Tensor) -> Tensor:
        F.mse_loss(x * weight, x)
        torch.rand(2)
        return x * weight * torch.rand_like(x)

    named = operators(compute)
    assert "mse_loss.default" not in named and "rand.default" in named
