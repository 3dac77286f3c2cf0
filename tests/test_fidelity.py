"""Fidelity: what a trace does not see is refused, and what is exported trains as the module does."""

from __future__ import annotations

import copy
import itertools
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitchain.pod.compute.environment.classes import NATIVE
from fitchain.pod.compute.model import Program
from fitchain.pod.compute.model.export import export
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.state import TensorBytes

FLOATS = (Input("x", "F32", (4,)),)


class Gradient(torch.autograd.Function):
    """Scales a gradient, and nothing else."""

    @staticmethod
    def forward(context: Any, x: Tensor, factor: float) -> Tensor:
        context.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        return gradients[0] * context.factor, None


class Rounding(torch.autograd.Function):
    """The straight-through estimator."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        return gradients[0]


class Two(nn.Module):
    """Two layers, and something between them."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(4, 8), nn.Linear(8, 3)

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def forward(self, x: Tensor) -> Any:
        return self.leave(self.between(self.enter(x)))


class Reversed(Two):
    def between(self, x: Tensor) -> Tensor:
        return Gradient.apply(torch.tanh(x), -1.0)  # type: ignore[no-any-return, no-untyped-call]


class StraightThrough(Two):
    def between(self, x: Tensor) -> Tensor:
        return Rounding.apply(x)  # type: ignore[no-any-return, no-untyped-call]


class HookOnValue(Two):
    def between(self, x: Tensor) -> Tensor:
        x = torch.tanh(x)
        if x.requires_grad:
            x.register_hook(lambda gradient: gradient * 0.1)  # type: ignore[no-untyped-call]
        return x


class HookOnParameter(Two):
    def __init__(self) -> None:
        super().__init__()
        self.enter.weight.register_hook(lambda gradient: gradient * 0)  # type: ignore[no-untyped-call]


def forget(parameter: Tensor) -> None:
    assert parameter.grad is not None
    parameter.grad.zero_()


class HookOnAccumulated(Two):
    def __init__(self) -> None:
        super().__init__()
        self.enter.weight.register_post_accumulate_grad_hook(forget)  # type: ignore[no-untyped-call]


def stop(_: nn.Module, into: Any, out: Any) -> Any:
    return tuple(None if gradient is None else gradient * 0 for gradient in into)


class HookOnModule(Two):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.enter.register_full_backward_hook(stop)

    def forward(self, x: Tensor) -> Any:
        return super().forward(self.first(x))


class DrawsOfPython(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.training and random.random() < 0.999 else x


class DrawsOfNumpy(Two):
    def between(self, x: Tensor) -> Tensor:
        return x * (1 + 0.1 * np.random.rand())


class DrawsOfNumpyGenerator(Two):
    def __init__(self) -> None:
        super().__init__()
        self.numbers = np.random.default_rng(3)

    def between(self, x: Tensor) -> Tensor:
        return x * (1 + 0.1 * self.numbers.random())


class DrawsOfOwnGenerator(Two):
    def __init__(self) -> None:
        super().__init__()
        self.numbers = torch.Generator().manual_seed(3)

    def between(self, x: Tensor) -> Tensor:
        return x + torch.rand(8, generator=self.numbers)


class CountsInList(Two):
    def __init__(self) -> None:
        super().__init__()
        self.seen = list[int]()

    def between(self, x: Tensor) -> Tensor:
        self.seen.append(1)
        return torch.tanh(x) if len(self.seen) < 1000 else x


class CountsInDict(Two):
    def __init__(self) -> None:
        super().__init__()
        self.state = {"calls": 0}

    def between(self, x: Tensor) -> Tensor:
        self.state["calls"] += 1
        return torch.tanh(x) if self.state["calls"] < 1000 else x


GLOBAL = {"calls": 0}


class CountsInGlobal(Two):
    def between(self, x: Tensor) -> Tensor:
        GLOBAL["calls"] += 1
        return torch.tanh(x) / GLOBAL["calls"]


class KeepsTheFirst(Two):
    """What is computed of the first batch is used for all."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor | None = None

    def between(self, x: Tensor) -> Tensor:
        if self.mean is None:
            self.mean = x.detach().mean(0)
        return x - self.mean


class WithoutHistory(Two):
    def between(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            whole = torch.round(x)
        return x + whole.clone()


class Clipping(torch.autograd.Function):
    """Clips a gradient that is large."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        return gradients[0].clamp(-100, 100)


class ClipsLarge(Two):
    def between(self, x: Tensor) -> Tensor:
        return Clipping.apply(torch.tanh(x))  # type: ignore[no-any-return, no-untyped-call]


class HookOnNaN(Two):
    def __init__(self) -> None:
        super().__init__()
        self.enter.weight.register_hook(lambda gradient: gradient.nan_to_num())  # type: ignore[no-untyped-call]


def clip(_: nn.Module, into: Any, out: Any) -> Any:
    return tuple(each.clamp(-1e30, 1e30) for each in into)


class HookClips(Two):
    def __init__(self) -> None:
        super().__init__()
        self.leave.register_full_backward_hook(clip)


class ClampsInPlace(Two):
    def __init__(self) -> None:
        super().__init__()
        self.leave.bias.register_post_accumulate_grad_hook(clamp)  # type: ignore[no-untyped-call]


def clamp(parameter: Tensor) -> None:
    assert parameter.grad is not None
    parameter.grad.clamp_(-1e30, 1e30)


class BranchesWhereRun(Two):
    def between(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and x.abs().max() > 100:
            return x.clamp(-100, 100)
        return torch.tanh(x)


class CatchesTheQuestion(Two):
    def between(self, x: Tensor) -> Tensor:
        try:
            is_whole = not torch.isnan(x).any()
        except RuntimeError:
            is_whole = True
        return torch.tanh(x) if is_whole else torch.zeros_like(x)


class OneIsElse(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if len(x) > 1 else x


class CountsInObject(Two):
    def __init__(self) -> None:
        super().__init__()
        self.table = SimpleNamespace(calls=0)

    def between(self, x: Tensor) -> Tensor:
        self.table.calls += 1
        return torch.tanh(x) if self.table.calls < 1000 else x


class CountsInClass(Two):
    calls = 0

    def between(self, x: Tensor) -> Tensor:
        CountsInClass.calls += 1
        return torch.tanh(x) if self.calls < 1000 else x


class CountsInClosure(Two):
    def __init__(self) -> None:
        super().__init__()
        calls = 0

        def count() -> int:
            nonlocal calls
            calls += 1
            return calls

        self.count = count

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.count() < 1000 else x


class CountsInPrivateList(Two):
    def __init__(self) -> None:
        super().__init__()
        self._seen = list[int]()

    def between(self, x: Tensor) -> Tensor:
        self._seen.append(1)
        return torch.tanh(x) if len(self._seen) < 1000 else x


class CountsByIterator(Two):
    def __init__(self) -> None:
        super().__init__()
        self.calls = itertools.count()

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if next(self.calls) < 1000 else x


REFUSED: dict[type[Two], str] = {
    ClipsLarge: "with large gradients otherwise than the module: Clipping has a gradient of its own",
    HookOnNaN: "a hook changes the gradient of 'enter.weight'",
    HookClips: "a hook changes gradients of 'leave'",
    ClampsInPlace: "a hook changes the gradient of 'leave.bias'",
    BranchesWhereRun: "the graph computes the output with large numbers otherwise than the module",
    CatchesTheQuestion: "otherwise than the module",
    OneIsElse: "the graph computes the output with a batch of one record otherwise than the module",
    CountsInObject: "the attribute 'table.calls' of CountsInObject",
    CountsInClass: "the attribute 'CountsInClass.calls' of CountsInClass",
    CountsInClosure: "the attribute 'count.calls' of CountsInClosure",
    CountsInPrivateList: "the attribute '_seen' of CountsInPrivateList",
    CountsByIterator: "the attribute 'calls' of CountsByIterator",
    Reversed: "Gradient has a gradient of its own",
    StraightThrough: "Rounding has a gradient of its own",
    HookOnValue: "a hook changes the gradient of a value",
    HookOnParameter: "a hook changes the gradient of 'enter.weight'",
    HookOnAccumulated: "a hook changes the gradient of 'enter.weight'",
    HookOnModule: "a hook changes gradients of 'enter'",
    DrawsOfPython: "forward draws numbers from Python's random",
    DrawsOfNumpy: "forward draws numbers from Python's random, from NumPy",
    DrawsOfNumpyGenerator: "a generator of its own",
    DrawsOfOwnGenerator: "a generator of its own",
    CountsInList: "the attribute 'seen' of CountsInList",
    CountsInDict: "the attribute 'state' of CountsInDict",
    CountsInGlobal: "the attribute 'GLOBAL' of CountsInGlobal",
    KeepsTheFirst: "otherwise than the module",
}


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
def test_what_a_trace_does_not_see_is_refused(kind: type[Two]) -> None:
    GLOBAL["calls"] = 0
    torch.manual_seed(0)
    module = kind()
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(InputRefused) as refused:
        export(module, FLOATS, 4)
    assert REFUSED[kind] in refused.value.message and refused.value.hint
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("kind", [Reversed, HookOnValue], ids=lambda kind: kind.__name__)
def test_the_line_of_a_gradient_of_ones_own_is_named(kind: type[Two]) -> None:
    with pytest.raises(InputRefused, match=r"test_fidelity\.py:\d+ `(return Gradient|x\.register_hook)"):
        export(kind(), FLOATS, 4)


class HookOnForward(Two):
    def __init__(self) -> None:
        super().__init__()
        self.enter.register_forward_hook(lambda _, x, y: y * 2)


class Keeping(Two):
    """Keeps what nobody reads: attention weights for a picture, say."""

    kept: Tensor | None = None
    size = 0

    def between(self, x: Tensor) -> Tensor:
        self.kept, self.size = torch.tanh(x), x.shape[1]
        return self.kept


class Lazily(Two):
    """Makes a table at its first call: rotary positions, say."""

    table: Tensor | None = None

    def between(self, x: Tensor) -> Tensor:
        if self.table is None:
            self.table = torch.linspace(0, 1, 8)
        return x * self.table


class KeepsItsSize(Two):
    size = 0

    def between(self, x: Tensor) -> Tensor:
        self.size = len(x)
        return torch.tanh(x)


class HookWatches(Two):
    """It looks at gradients, and changes none."""

    def __init__(self) -> None:
        super().__init__()
        self.leave.weight.register_hook(lambda gradient: None)  # type: ignore[no-untyped-call]
        self.leave.register_full_backward_hook(lambda _, into, out: None)


class Detaching(Two):
    def between(self, x: Tensor) -> Tensor:
        return x + (torch.round(x) - x).detach()


class Warming(Two):
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def between(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return torch.tanh(x) / (1 + self.calls)


def trained(module: nn.Module, compute: Any, parameters: list[Tensor]) -> None:
    """Train five steps."""
    optimizer = torch.optim.SGD(parameters, 0.1)
    for step in range(5):
        torch.manual_seed(step)
        loss = nn.functional.cross_entropy(compute(torch.randn(6, 4)), torch.randint(0, 3, (6,)))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@pytest.mark.parametrize(
    "kind",
    [Two, HookOnForward, HookWatches, Keeping, KeepsItsSize, Lazily, Detaching, Warming],
    ids=lambda k: k.__name__,
)
def test_what_is_exported_trains_as_the_module_does(kind: type[Two]) -> None:
    torch.manual_seed(0)
    module = kind().train()
    graph: Graph
    tensors: dict[str, TensorBytes]
    graph, tensors = export(module, FLOATS, 4)
    program = Program(graph, tensors, NATIVE)
    trained(module, module, list(module.parameters()))
    trained(module, lambda x: program(x, training=True), list(program.trainable.values()))
    own = {**program.parameters, **program.buffers}
    assert all(torch.equal(tensor.detach(), own[name].detach()) for name, tensor in module.state_dict().items())


def test_a_gradient_that_was_there_is_left() -> None:
    module = nn.Linear(4, 3)
    module.weight.grad = torch.ones(3, 4)
    export(module, FLOATS, 4)
    assert torch.equal(module.weight.grad, torch.ones(3, 4)) and module.bias.grad is None


class OfIds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8)

    def forward(self, ids: Tensor) -> Tensor:
        rows = self.table(ids)
        ends = not torch.compiler.is_compiling() and bool((ids > 20).any())
        pooled: Tensor = rows.amax(1) if ends else rows.mean(1)
        return pooled


def test_rows_of_a_whole_table_are_tried() -> None:
    with pytest.raises(InputRefused, match="otherwise than the module"):
        export(OfIds(), [Input("ids", "I64", (3,))])


class Differentiating(Two):
    def between(self, x: Tensor) -> Tensor:
        gradient: Tensor = torch.func.grad(lambda y: nn.functional.logsigmoid(y).sum())(x)
        return gradient


def test_a_derivative_that_no_graph_says_is_refused() -> None:
    with pytest.raises(InputRefused, match=r"runs here what no graph says: .*log_sigmoid"):
        export(Differentiating(), FLOATS, 4)


class Capturing(Two):
    """It puts a hook in at its first call, as transformers do, and counts on having done so once."""

    def forward(self, x: Tensor) -> Any:
        if not vars(self).get("captures"):
            self.captures = True
            self.enter.register_forward_hook(lambda part, x, output: output + 1)
        return self.leave(self.between(self.enter(x)))


def test_hooks_of_a_first_call_are_put_in_once() -> None:
    module = Capturing()
    graph, tensors = export(module, FLOATS, 4)
    x = torch.rand(3, 4)
    assert torch.equal(Program(graph, tensors, NATIVE)(x, training=True), module(x))


class MaskedWhereTraced(nn.Module):
    """Attention that is causal by a word where it runs and by a mask where it is traced."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(4, 3 * 8)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.enter(x)[:, None].chunk(3, dim=-1)
        mask = torch.ones(6, 6, dtype=torch.bool).tril() if torch.compiler.is_compiling() else None
        return F.scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None)


def test_a_mask_that_is_written_out_where_a_module_is_traced_is_the_same() -> None:
    export(MaskedWhereTraced(), [Input("x", "F32", (6, 4))])


class Indexed(Two):
    """It makes its table of indices anew when it first sees how long its input is."""

    places: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.zeros(1))

    def forward(self, x: Tensor) -> Any:
        if self.places.shape != x.shape[1:]:
            self.places = torch.arange(x.shape[1], dtype=torch.float32)
        return self.leave(self.between(self.enter(x + self.places)))


def test_a_buffer_that_a_first_call_makes_anew_is_there_then() -> None:
    graph, tensors = export(Indexed(), FLOATS, 4)
    assert tensors["places"].shape == (4,) and not graph.structure.written
