"""The metered work of a step: the same everywhere, and no trap hides from it.

Legend: B batch, F features, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitchain.pod.compute.model import dry_run, step_work
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.operators.metering import recurrent_operations
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.launch import LOCAL
from fitchain.pod.jobs.metering import measured_work
from fitchain.pod.jobs.worker import measure
from fitchain.pod.jobs.worker.job import Job
from fitchain.pod.jobs.worker.task import Audit, Context, Rehearse, parse_task
from fitchain.pod.values.errors import ClaimMismatch, InputRefused
from fitchain.pod.values.graph import Input, Limits
from fitchain.pod.values.recipe import Privacy, Recipe
from fitchain.pod.values.work import StepWork
from tests.speeds import long_unless
from tests.training_jobs import CTX, SEED, exported, job_folder

B = 8
WORK = StepWork(bytes=5352, calls=14, operations=2154)
"""Of the net of `tests.training_jobs`: it must not change while version 2 stands."""


class Layer(nn.Module):
    """A parameter, and a function of it and of the input."""

    def __init__(self, compute: Callable[[Tensor, Tensor], Tensor], *shape: int) -> None:
        super().__init__()
        self.weight, self.compute = nn.Parameter(torch.zeros(shape)), compute

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(x, self.weight)


def work_of(compute: Callable[[Tensor, Tensor], Tensor], *shape: int, takes: tuple[int, ...] = (4,)) -> StepWork:
    """The work of a step of a layer at the batch size."""
    graph, _ = export(Layer(compute, *shape), (Input("x", "F32", takes),), B)
    return step_work(graph, B)


def test_work_of_a_step_is_what_it_was() -> None:
    assert step_work(exported()[0], B) == WORK


def test_worker_meters_the_same_as_this_process(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job")
    for name in ("records.npz", "initial.safetensors"):
        (folder / name).unlink()
    assert measure(folder) == WORK


def test_twice_the_batch_is_twice_the_values_and_as_many_calls() -> None:
    one, two = (step_work(exported()[0], size) for size in (B, 2 * B))
    assert one.calls == two.calls and one.bytes < two.bytes < 2 * one.bytes
    assert one.operations < two.operations < 2 * one.operations


def test_product_counts_its_multiplications() -> None:
    small = work_of(lambda x, w: x @ w, 4, 64)
    large = work_of(lambda x, w: x @ w @ w.t() @ w, 4, 64)
    assert large.operations - small.operations == (2 * B * 4 * 64) // 32 + 2 * (B * 4 + B * 64 + 4 * 64) + 2 * 4 * 64


@pytest.mark.parametrize(
    ("cheap", "dear", "takes"),
    [
        # what hardly makes a byte and takes long, now or in the backward pass
        (lambda x, w: x.sum(1) * w, lambda x, w: x[:, :, None].expand(x.shape[0], 4, 100_000).sum((1, 2)) * w, (4,)),
        (lambda x, w: x[:, 0] * w, lambda x, w: sum(x[:, i] for i in range(100)) * w, (100,)),
        (lambda x, w: F.max_pool2d(x, 2, 1).sum() * w, lambda x, w: F.max_pool2d(x, 20, 1).sum() * w, (1, 32, 32)),
        (lambda x, w: F.avg_pool2d(x, 2, 1).sum() * w, lambda x, w: F.avg_pool2d(x, 20, 1).sum() * w, (1, 32, 32)),
        (lambda x, w: x.sum(1) * w, lambda x, w: x.sort(1).values.sum(1) * w, (50,)),
        (lambda x, w: x.sum(1) * w, lambda x, w: x.unbind(1)[0] * w, (100,)),
        (
            lambda x, w: F.conv1d(x, w.expand(64, 64, 1)),
            lambda x, w: F.conv1d(x, w.expand(64, 1, 1), groups=64),
            (64, 1),
        ),
    ],
    ids=(
        *("a sum over an expanded view", "many views of one tensor", "a wide maximum", "a wide mean", "sorting"),
        *("many pieces", "many groups"),
    ),
)  # fmt: skip
def test_what_takes_long_counts(
    cheap: Callable[[Tensor, Tensor], Tensor], dear: Callable[[Tensor, Tensor], Tensor], takes: tuple[int, ...]
) -> None:
    assert work_of(dear, 1, takes=takes).operations > 5 * work_of(cheap, 1, takes=takes).operations


def test_convolutions_count_what_their_filters_multiply() -> None:
    def filters(kernel: int) -> StepWork:
        return work_of(
            lambda x, w: F.conv2d(x, w, padding="same").sum((1, 2, 3)), 8, 4, kernel, kernel, takes=(4, 16, 16)
        )

    grown = filters(7).operations - filters(1).operations
    weights = 8 * 4 * (49 - 1)
    assert grown == B * 8 * 16 * 16 * 4 * (49 - 1) // 32 + (1 + 4) * weights


def test_view_larger_than_its_memory_counts_as_bytes_where_its_gradient_is_made() -> None:
    plain = work_of(lambda x, w: (x * w).sum(1), 4)
    view = work_of(lambda x, w: (x * w[:, None].expand(4, 100_000)[:, 0]).sum(1), 4)
    without = work_of(lambda x, w: (x[:, :, None].expand(x.shape[0], 4, 100_000)[:, :, 0] * w).sum(1), 4)
    assert view.bytes - plain.bytes >= 4 * 100_000 * 4
    assert without.bytes == plain.bytes


def test_what_a_backward_pass_reads_lives_until_then_and_nothing_else() -> None:
    """A sum reads nothing again, a square root its result, and a sine what it was given."""

    def deep(compute: Callable[[Tensor], Tensor]) -> int:
        def repeated(x: Tensor, w: Tensor) -> Tensor:
            value = x * w
            for _ in range(20):
                value = compute(value)
            return value.sum(1)

        return work_of(repeated, 1000, takes=(1000,)).bytes

    value = 2 * B * 1000 * 4  # twice, as all that lives
    added, root, chain = deep(lambda x: x + 1.0), deep(torch.sqrt), deep(lambda x: torch.sin(x + 1.0))
    assert 18 * value <= root - added <= 21 * value
    assert abs(chain - root) <= 2 * value


def test_a_step_of_more_live_bytes_than_the_limit_is_refused_backward_too() -> None:
    graph, _ = export(
        Layer(lambda x, w: (x * w[:, None].expand(4, 100_000)[:, 0]).sum(1), 4), (Input("x", "F32", (4,)),), B
    )
    assert dry_run(graph, B, limits=Limits(live_bytes=100_000)).live_bytes < 10_000
    with pytest.raises(InputRefused, match="take more than 100000 bytes at once"):
        step_work(graph, B, Limits(live_bytes=100_000))


@pytest.mark.parametrize("kind", long_unless(lambda kind: kind is nn.LSTM, [nn.LSTM, nn.GRU, nn.RNN]))
def test_recurrent_layer_keeps_what_it_writes_down_until_its_backward_pass(kind: type[nn.RNNBase]) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer: nn.Module = kind(4, 16, batch_first=True)  # type: ignore[arg-type, call-arg]

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.layer(x)[0][:, -1]
            return output

    graph, _ = export(Recurrent(), (Input("x", "F32", (30, 4)),), B)
    gates = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}[kind]
    written = 30 * B * 16 * (gates + 4) * 4
    evaluated = dry_run(graph, B, training=False).live_bytes
    assert written <= evaluated < 2 * written < step_work(graph, B).bytes


def test_bilinear_layer_counts_the_products_that_it_writes_down() -> None:
    work = work_of(lambda x, w: F.bilinear(x, x, w), 6, 64, 64, takes=(64,))
    assert work.bytes > 3 * B * 64 * 64 * 4 and work.operations > B * 6 * 64 * 64


def test_recurrent_layer_counts_each_row_by_each_matrix() -> None:
    weights = [torch.empty(size, device="meta") for size in ((64, 4), (64, 16), (64,), (64,))]
    assert recurrent_operations(B * 10, weights) == B * 10 * 64 * 20 // 32 + 64 * 22


def test_state_counts_with_gradients_and_the_largest_optimizer() -> None:
    small, large = (work_of(lambda x, w: x.sum(1) + w.sum(), size) for size in (1000, 2000))
    assert 5 * 4 * 1000 <= large.bytes - small.bytes <= 7 * 4 * 1000  # a gradient lives while it is made, too


def test_forward_pass_of_too_many_operations_is_refused() -> None:
    with pytest.raises(InputRefused, match="more than 100 operations"):
        dry_run(exported()[0], B, limits=Limits(operations=100))


@pytest.mark.parametrize("other", [StepWork(5352, 14, 2153), StepWork(5351, 14, 2154), StepWork(5352, 15, 2154)])
def test_job_of_other_work_than_its_task_says_is_refused(tmp_path: Path, other: StepWork) -> None:
    folder, task = job_folder(tmp_path / "job"), Rehearse(work=other)
    with pytest.raises(ClaimMismatch, match="a step of the graph takes 5352 bytes, 14 calls, 2154 operations"):
        Job.open(folder, task, Recipe.parse((folder / "recipe.json").read_bytes()))


def test_task_keeps_the_work(tmp_path: Path) -> None:
    task = Audit(Context(CTX, SEED), (1,), WORK)
    assert parse_task(task.encode()) == task
    with pytest.raises(InputRefused):
        Audit(Context(CTX, SEED), work=StepWork(1 << 60, 1, 1)).encode()


def test_work_that_is_remembered_is_that_of_as_many_rows(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job")
    plain = Recipe.parse((folder / "recipe.json").read_bytes())
    privacy = Privacy(sigma=1.0, clip=1.0, grid=2**16, unit_records=4)
    of_units = replace(plain, privacy=privacy, metrics=())
    home = cast(Home, SimpleNamespace(settings=SimpleNamespace(home=tmp_path), launcher=LOCAL))
    graph = exported()[0]
    for recipe in of_units, plain, of_units:  # the graph, the batch and the environment are the same
        assert measured_work(home, recipe, folder) == step_work(graph, B * recipe.unit_records)
