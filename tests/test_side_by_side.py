"""Records side by side: the gradient of each is, bit by bit, the one that it has alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.profiler import profile, record_function
from torch.nn import functional as F

from fitchain.pod.compute import side_by_side
from fitchain.pod.compute.environment.classes import DEFAULT, NATIVE
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.operators.cases import run_case
from fitchain.pod.compute.operators.row_wise import batched
from fitchain.pod.compute.private_training import RecordGradients, seeds, summed_units
from fitchain.pod.compute.side_by_side import NotSideBySide, SideBySide, Tape, same_bits
from fitchain.pod.values.graph import OPERATORS, Input
from fitchain.pod.values.recipe import Choice
from tests.own_kernels import own_kernels
from tests.speeds import long_unless
from tests.training_jobs import SEED, private_recipe

COUNT = 40
ROWS = np.arange(COUNT, dtype=np.uint64)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=long_unless(lambda each: each is DEFAULT, [DEFAULT, NATIVE]), ids=lambda each: each.name)
def environment(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param is NATIVE:
        yield NATIVE
        return
    with own_kernels():
        yield DEFAULT


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        settings: dict[str, Any] = {"batch_first": True, "norm_first": True, "activation": "gelu", "dropout": 0.1}
        self.enter, self.layer = nn.Linear(5, 12), nn.TransformerEncoderLayer(12, 2, 20, **settings)
        self.last = nn.Linear(12, 3)

    def forward(self, x_BTF: Tensor) -> Tensor:
        output_BK: Tensor = self.last(self.layer(self.enter(x_BTF)).mean(1))
        return output_BK


class Reads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.last = nn.Embedding(11, 6), nn.Linear(6, 3)

    def forward(self, words_BT: Tensor) -> Tensor:
        output_BK: Tensor = self.last(torch.tanh(self.words(words_BT)).mean(1))
        return output_BK


class Recurs(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.layer, self.last = kind(5, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x_BTF: Tensor) -> Tensor:
        output_BK: Tensor = self.last(self.layer(x_BTF)[0][:, -1])
        return output_BK


def wide() -> nn.Module:
    """Of odd sizes, so that rows end anywhere in a vector."""
    functions = nn.Sigmoid(), nn.Linear(33, 17), nn.Softplus(), nn.Dropout(0.3), nn.Linear(17, 9), nn.ELU()
    return nn.Sequential(nn.Linear(13, 33), *functions, nn.LayerNorm(9), nn.Linear(9, 3))


def convolutional() -> nn.Module:
    first = nn.Conv2d(2, 6, 3, padding=1), nn.GroupNorm(3, 6), nn.SiLU(), nn.MaxPool2d(2), nn.Dropout(0.2)
    return nn.Sequential(*first, nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


NETS: dict[str, tuple[Any, Input]] = {
    "mlp": (wide, Input("x", "F32", (13,))),
    "cnn": (convolutional, Input("x", "F32", (2, 8, 8))),
    "transformer": (Attends, Input("x", "F32", (7, 5))),
    "embedding": (Reads, Input("x", "I64", (4,))),
    "gru": (lambda: Recurs(nn.GRU), Input("x", "F32", (4, 5))),
    "lstm": (lambda: Recurs(nn.LSTM), Input("x", "F32", (4, 5))),
}


def gradients(net: nn.Module, entering: Input, environment: Any, loss: str = "cross_entropy") -> RecordGradients:
    graph, weights = export(net, (entering,), 2)
    return RecordGradients(Program(graph, weights, environment), replace(private_recipe(), loss=Choice(loss, {})))


def records(entering: Input, classes: bool = True) -> list[Tensor]:
    """Inputs and target of 40 records."""
    generator = torch.Generator().manual_seed(5)
    shape = (COUNT, *entering.shape)
    x = torch.randint(11, shape, generator=generator)
    if entering.dtype == "F32":
        x = torch.randn(shape, generator=generator) * torch.rand(COUNT, *[1] * len(entering.shape), generator=generator)
    target = torch.randint(3, (COUNT,), generator=generator)
    return [x, target if classes else torch.rand(COUNT, 3, generator=generator)]


def rows_of(made: RecordGradients, tensors: Sequence[Tensor], chosen: Sequence[int]) -> Tensor:
    """Gradients of some records, `[n, D]`, each where it was asked for."""
    given = [each[list(chosen)] for each in tensors]
    blocks = made.blocks(given, seeds(made._program, SEED, 3, ROWS[list(chosen)]))
    return torch.cat([torch.empty(0, made.count), *(block.clone() for block in blocks)])


def alone(made: RecordGradients, tensors: Sequence[Tensor], chosen: Sequence[int]) -> Tensor:
    """The same by batches of one."""
    each_seed = seeds(made._program, SEED, 3, ROWS)
    return torch.stack([made._alone(tensors, place, each_seed) for place in chosen])


@pytest.mark.parametrize("name", NETS)
def test_gradient_of_a_record_has_the_bits_that_it_has_alone(name: str, environment: Any) -> None:
    torch.manual_seed(0)
    make, entering = NETS[name]
    made, tensors = gradients(make(), entering, environment), records(entering)
    single = alone(made, tensors, range(COUNT))
    generator = np.random.default_rng(1)
    for count in (0, 1, 2, 7, 33, 40, 5):
        chosen = generator.choice(COUNT, count, replace=False).tolist()
        assert same_bits(rows_of(made, tensors, chosen), single[chosen])
    assert bool(made._side_by_side._places) == (name not in ("gru", "lstm")), "which are computed one at a time"
    assert single.isfinite().all() and single.any(1).all()


@pytest.mark.parametrize("loss", ["mse_loss", "l1_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits"])
def test_every_loss_leads_back_the_bits_that_a_record_has_alone(loss: str, environment: Any) -> None:
    torch.manual_seed(0)
    entering = Input("x", "F32", (13,))
    made, tensors = gradients(wide(), entering, environment, loss), records(entering, classes=False)
    assert same_bits(rows_of(made, tensors, range(33)), alone(made, tensors, range(33)))
    assert made._side_by_side._places


MIXED: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda y_BF: y_BF - y_BF.mean(0, keepdim=True) * 0.5,
    "sum": lambda y_BF: y_BF * y_BF.sum(0),
    "cumsum": lambda y_BF: y_BF.cumsum(0),
    "flip": lambda y_BF: y_BF.flip(0),
    "roll": lambda y_BF: y_BF.roll(1, 0),
    "softmax": lambda y_BF: y_BF + y_BF.softmax(0),
    "reshape": lambda y_BF: y_BF.reshape(-1).cumsum(0).reshape(y_BF.shape),
    "product": lambda y_BF: y_BF + (y_BF.t() @ y_BF)[:1],
    "sort": lambda y_BF: y_BF.sort(0).values,
    "counts": lambda y_BF: y_BF * y_BF.shape[0],
    "enlarged": lambda y_BF: torch.sin(y_BF * 1e6 + y_BF.sum()),
}


def turned(y_BF: Tensor) -> Tensor:
    """Indices that the numbers of the batch choose."""
    return y_BF.detach().argsort(0)


def written(y_BF: Tensor, write: Callable[[Tensor, Tensor], object]) -> Tensor:
    """Zeros that something was written into, and the batch beside them."""
    into_BF = torch.zeros_like(y_BF)
    write(into_BF, y_BF)
    return y_BF + into_BF


WRITTEN: dict[str, Callable[[Tensor, Tensor], object]] = {
    "scatter_": lambda into, y: into.scatter_(0, turned(y), y),
    "scatter_add_": lambda into, y: into.scatter_add_(0, turned(y), y),
    "index_add_": lambda into, y: into.index_add_(0, turned(y)[:, 0], y),
    "index_copy_": lambda into, y: into.index_copy_(0, turned(y)[:, 0], y),
    "index_fill_": lambda into, y: into.index_fill_(0, turned(y)[:1, 0], 2.0),
    "index_put_": lambda into, y: into.index_put_((turned(y)[:, 0],), y),
    "masked_fill_": lambda into, y: into.masked_fill_(y > 0, 2.0),
    "logical_or_": lambda into, y: into.copy_((y > 0).logical_or_(y < -0.5).float()),
    "cumsum_": lambda into, y: into.add_(y).cumsum_(0),
    "copied": lambda into, y: into.copy_(y).mul_(y.flip(0)),
}
BY_INDEX: dict[str, Callable[[Tensor], Tensor]] = {
    **{name: partial(written, write=write) for name, write in WRITTEN.items()},
    "gather": lambda y_BF: y_BF + y_BF.gather(0, turned(y_BF)),
    "masked_scatter": lambda y_BF: y_BF.masked_scatter(y_BF > 0, y_BF.flip(0)),
    "index": lambda y_BF: y_BF + y_BF[turned(y_BF)[:, 0]],
    "take": lambda y_BF: y_BF + y_BF.take(turned(y_BF)),
    "topk": lambda y_BF: y_BF + y_BF.topk(1, 0).values,
    "cummax": lambda y_BF: y_BF + y_BF.cummax(0).values,
}
ALONE = {"index", "index_put_"}
"""Whose shapes would depend on a mask's numbers."""


class Mixes(nn.Module):
    """Does with the first dimension what would lead from one record to the next."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.first, self.last, self.how = nn.Linear(4, 5), nn.Linear(5, 3), how

    def forward(self, x_BF: Tensor) -> Tensor:
        output_BK: Tensor = self.last((MIXED | BY_INDEX)[self.how](torch.tanh(self.first(x_BF))))
        return output_BK


@pytest.mark.parametrize("how", [*MIXED, *(pytest.param(how, marks=pytest.mark.long) for how in BY_INDEX)])
def test_graph_that_mixes_the_records_of_a_batch_reaches_no_other_record(how: str, environment: Any) -> None:
    torch.manual_seed(0)
    entering = Input("x", "F32", (4,))
    made, tensors = gradients(Mixes(how), entering, environment), records(entering)
    single = alone(made, tensors, range(COUNT))
    assert same_bits(rows_of(made, tensors, range(COUNT)), single)
    assert bool(made._side_by_side._places) == (how not in ALONE)
    changed = [each.clone() for each in tensors]
    changed[0][7] = torch.tensor([3e38, torch.inf, torch.nan, -1e-42])
    others = [place for place in range(COUNT) if place != 7]
    assert same_bits(rows_of(made, changed, range(COUNT))[others], single[others])


class LooksForZeros(nn.Module):
    """The way back of a product is another one where there is no zero among its numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x_BF: Tensor) -> Tensor:
        output_BK: Tensor = self.last(x_BF + (self.first(x_BF) * x_BF).prod(1, keepdim=True))
        return output_BK


def test_record_that_goes_back_another_way_than_the_first_ones_has_the_bits_that_it_has_alone() -> None:
    entering = Input("x", "F32", (5,))
    tensors = records(entering)
    tensors[0][: side_by_side.CONFIRMED, 2] = 0.0  # these are what is compared
    made = gradients(LooksForZeros(), entering, NATIVE)
    several, one_by_one = rows_of(made, tensors, range(COUNT)), alone(made, tensors, range(COUNT))
    assert same_bits(several, one_by_one)


def test_every_operator_that_looks_at_numbers_only_where_no_calls_are_taken_down_is_computed_alone() -> None:
    looks = {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::masked_select"}
    records_of = {name: record for name, record in OPERATORS.items() if name.startswith("aten.") and record.cases}

    def looking(mode: Callable[[], Any], names: Sequence[str]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {name: set() for name in names}
        with profile() as seen:
            for name in names:
                for each in records_of[name].cases[:2]:
                    with record_function(name), mode():
                        run_case(records_of[name], each)
        for event in seen.function_events:
            parent = event
            while event.name in looks and parent is not None:
                if parent.name in found:
                    found[parent.name].add(event.name)
                parent = parent.cpu_parent
        return found

    plain = {name: seen for name, seen in looking(nullcontext, list(records_of)).items() if seen}
    taken_down = looking(side_by_side._Notes, list(plain))
    assert {"aten.prod.default", "aten.max.default", "aten.one_hot.default"} <= plain.keys()
    assert {name for name, seen in plain.items() if seen - taken_down[name]} <= side_by_side.COMPOSED


class Fails(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.last = nn.Embedding(4, 6), nn.Linear(6, 3)

    def forward(self, words_BT: Tensor) -> Tensor:
        output_BK: Tensor = self.last(self.words(words_BT).sum(1))
        return output_BK / (words_BT[:, :1] - 3)


def test_record_that_fails_or_is_infinite_adds_zeros_and_moves_nobody(environment: Any) -> None:
    torch.manual_seed(0)
    entering = Input("x", "I64", (4,))
    made, tensors = gradients(Fails(), entering, environment), records(entering)
    tensors[0] %= 3
    whole, failing, infinite = list(range(20)), [each.clone() for each in tensors], [each.clone() for each in tensors]
    failing[0][7], infinite[0][7, 0] = 99, 3
    single = alone(made, tensors, whole)
    for changed in (failing, infinite, tensors, failing):
        units = [summed_units(gradient_D[None], made.terms) for gradient_D in rows_of(made, changed, whole)]
        for place in whole:
            spoilt = place == 7 and changed is not tensors
            assert torch.equal(units[place], summed_units(single[place][None], made.terms) * (not spoilt)), place
    assert made._side_by_side._places


def test_class_that_is_none_and_class_that_is_ignored_add_zeros(environment: Any) -> None:
    torch.manual_seed(0)
    entering = Input("x", "F32", (13,))
    made, tensors = gradients(wide(), entering, environment), records(entering)
    single = alone(made, tensors, range(COUNT))
    tensors[1][3] = -100  # ignored by torch's loss
    rows = rows_of(made, tensors, range(33))
    assert made._side_by_side._places and not summed_units(rows[3][None], made.terms).any()
    tensors[1][5] = 3
    rows = rows_of(made, tensors, range(33))
    assert not summed_units(rows[5][None], made.terms).any()
    others = [place for place in range(33) if place not in (3, 5)]
    assert same_bits(rows[others], single[others])


# What is not relied on


def test_kernel_that_computes_others_bits_for_several_records_is_called_for_each(
    monkeypatch: pytest.MonkeyPatch, environment: Any
) -> None:
    honestly, changed = batched, []

    def falsely(operator: Any, *given: Any) -> Any:
        runs = honestly(operator, *given)
        if runs is None or "tanh_backward" not in str(operator):
            return runs
        (made,), lift = given[2], given[3]
        changed.append(operator)
        return [*runs, lambda: lift(made)[-1].view(-1)[-1:].mul_(1 + 2**-20)]

    monkeypatch.setattr(side_by_side, "batched", falsely)
    torch.manual_seed(0)
    entering = Input("x", "F32", (4,))
    made, tensors = gradients(Mixes("mean"), entering, environment), records(entering)
    assert same_bits(rows_of(made, tensors, range(32)), alone(made, tensors, range(32)))
    assert changed and made._side_by_side._places


def test_gradient_that_is_another_one_alone_ends_the_computation_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    entering = Input("x", "F32", (4,))
    made, tensors = gradients(Mixes("mean"), entering, NATIVE), records(entering)
    honestly = side_by_side.Places.compute
    monkeypatch.setattr(side_by_side.Places, "compute", lambda *given: honestly(*given).mul_(1 + 2**-20))
    assert same_bits(rows_of(made, tensors, range(32)), alone(made, tensors, range(32)))
    assert made._side_by_side._given_up


def test_with_several_threads_records_are_computed_one_at_a_time() -> None:
    torch.manual_seed(0)
    entering = Input("x", "F32", (4,))
    made, tensors = gradients(Mixes("mean"), entering, NATIVE), records(entering)
    torch.set_num_threads(2)
    rows_of(made, tensors, range(8))
    assert not made._side_by_side._places


def test_call_that_depends_on_a_number_cannot_be_taken_down() -> None:
    weight = torch.ones(4, requires_grad=True)

    def compute(given: Sequence[Tensor]) -> Sequence[Tensor]:
        (x_1F,) = given
        return torch.autograd.grad((weight * (x_1F if x_1F.sum().item() > 0 else -x_1F)).sum(), [weight])

    with pytest.raises(NotSideBySide, match=r"aten._local_scalar_dense.default depends on a number"):
        Tape(compute, [torch.ones(1, 4)], [weight])
    together = SideBySide(compute, [weight], frozenset())
    assert together.compute([torch.ones(8, 4)], lambda place: None) is None


def test_memory_that_all_records_read_is_written_by_none() -> None:
    weight, seen = torch.ones(4, requires_grad=True), torch.zeros(1, 4)

    def compute(given: Sequence[Tensor]) -> Sequence[Tensor]:
        seen.add_(given[0])
        return torch.autograd.grad((weight * seen.clone()).sum(), [weight])

    with pytest.raises(NotSideBySide, match="writes what all records read"):
        Tape(compute, [torch.ones(1, 4)], [weight, seen])


def test_tensor_from_nowhere_is_not_taken_for_a_constant() -> None:
    weight = torch.ones(4, requires_grad=True)

    def compute(given: Sequence[Tensor]) -> Sequence[Tensor]:
        copied = torch.from_numpy(given[0].numpy() * 2)  # past torch's dispatcher
        return torch.autograd.grad((weight * copied).sum(), [weight])

    with pytest.raises(NotSideBySide, match="takes a tensor that no call made"):
        Tape(compute, [torch.ones(1, 4)], [weight])


@pytest.mark.parametrize("count", [1, 2, 3, 64])
def test_units_of_gradients_together_are_the_sum_of_each_ones(count: int) -> None:
    generator, terms = torch.Generator().manual_seed(1), private_recipe().privacy
    assert terms is not None
    gradients_nD = torch.randn(count, 1501, generator=generator) * torch.logspace(-6, 6, count)[:, None]
    gradients_nD[count // 2, 3] = math.nan
    each = [summed_units(gradient_D[None], terms) for gradient_D in gradients_nD]
    assert torch.equal(summed_units(gradients_nD, terms), torch.stack(each).sum(0))
    norms = [float(torch.linalg.vector_norm(gradient_D, dtype=torch.float64)) for gradient_D in gradients_nD]
    by_row = torch.linalg.vector_norm(gradients_nD, dim=1, dtype=torch.float64)
    assert np.array_equal(by_row.numpy(), norms, equal_nan=True)


AT_ONCE = {"convolution", "gelu", "gelu_backward", "native_group_norm_backward", "native_layer_norm_backward"}


def test_norms_functions_and_convolutions_of_several_records_are_one_call(
    monkeypatch: pytest.MonkeyPatch, environment: Any
) -> None:
    honestly, found = side_by_side.Places._step, dict[str, bool]()

    def noting(places: Any, call: Any, fresh: Any) -> Any:
        step, name = honestly(places, call, fresh), call.operator.overloadpacket.__name__
        if name in AT_ONCE:
            found[name] = found.get(name, True) and bool(step.at_once) and places._agree(step, call)
        return step

    monkeypatch.setattr(side_by_side.Places, "_step", noting)
    torch.manual_seed(0)
    norms = nn.Conv2d(2, 6, 3), nn.GroupNorm(2, 6), nn.GELU(), nn.GroupNorm(1, 6), nn.LayerNorm((6, 4))
    made = gradients(nn.Sequential(*norms, nn.Flatten(), nn.Linear(144, 3)), Input("x", "F32", (2, 8, 6)), environment)
    tensors = records(Input("x", "F32", (2, 8, 6)))
    assert same_bits(rows_of(made, tensors, range(33)), alone(made, tensors, range(33)))
    assert found == dict.fromkeys(AT_ONCE, True)


def test_largest_of_a_pool_is_the_first_one_in_either_order_of_channels() -> None:
    generator = torch.Generator().manual_seed(2)
    numbers = torch.tensor([math.inf, -math.inf, math.nan, 0.0, -0.0, 1.0])
    x_NCHW = numbers[torch.randint(len(numbers), (32, 5, 9, 9), generator=generator)]
    for window in ([2, 2], [3, 3]):
        plain, last = (
            torch.ops.aten.max_pool2d_with_indices(x_NCHW.contiguous(memory_format=form), window, [2, 2], [1, 1])
            for form in (torch.contiguous_format, torch.channels_last)
        )
        assert all(map(same_bits, plain, last))


def test_functions_of_records_never_meet_in_a_vector() -> None:
    """A library takes another polynomial for all elements of a vector where one is large."""
    x = torch.rand(64, 3) * 3
    x[::2, 1] = 1e6
    made = SideBySide(lambda given: [F.linear(torch.sin(given[0]), torch.eye(3))[0]], [], frozenset())
    rows = made.compute([x], lambda place: None)
    assert rows is not None and same_bits(rows, torch.stack([torch.sin(row[None])[0] for row in x]))
