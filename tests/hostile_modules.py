"""Modules that compute something else than what a trace of them shows, most of them seldom.

Each is of one kind of ways in which that happens: a gradient that is changed where it is large, a
draw that no seed decides, a count that matters after some calls, a branch on a value that a trace
was kept from, a training that takes place inside a call.
"""

from __future__ import annotations

import array
import builtins
import contextlib
import ctypes
import datetime
import decimal
import functools
import gc
import inspect
import io
import itertools
import math
import os
import queue
import random
import resource
import secrets
import ssl
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import _disable_current_modes

FAR = 1e25
"""A number that no trial reaches."""


class Two(nn.Module):
    """Two layers, and something between them."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(4, 8), nn.Linear(8, 3)
        self.prepare()

    def prepare(self) -> None:
        """What a kind has besides."""

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def forward(self, x: Tensor) -> Any:
        return self.leave(self.between(self.enter(x)))


# Gradients that are changed where they are large.


def clipped(gradient: Tensor) -> Tensor:
    return gradient.clamp(-FAR, FAR)


def clipped_all(gradients: Any, *others: Any) -> Any:
    return tuple(None if each is None else clipped(each) for each in gradients)


class NodePreHook(Two):
    def between(self, x: Tensor) -> Tensor:
        x = torch.tanh(x)
        if x.grad_fn is not None:
            x.grad_fn.register_prehook(clipped_all)
        return x


class NodeHook(Two):
    def between(self, x: Tensor) -> Tensor:
        x = torch.tanh(x)
        if x.grad_fn is not None:
            x.grad_fn.register_hook(clipped_all)
        return x


class HookOfAnotherNode(Two):
    """The node of a parameter's gradient, by way of the graph."""

    def between(self, x: Tensor) -> Tensor:
        for node, _ in getattr(x.grad_fn, "next_functions", ()):
            if node is not None:
                node.register_prehook(clipped_all)
        return torch.tanh(x)


class HookOnTensor(Two):
    def between(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            x.register_hook(clipped)  # type: ignore[no-untyped-call]
        return torch.tanh(x)


def clip_all_of_it(gradient: Tensor) -> None:
    gradient.clamp_(-FAR, FAR)


class HookInPlace(Two):
    def between(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            x.register_hook(clip_all_of_it)  # type: ignore[no-untyped-call]
        return torch.tanh(x)


class HookByNumpy(Two):
    def between(self, x: Tensor) -> Tensor:
        def clip(gradient: Tensor) -> None:
            numbers = gradient.numpy()
            np.clip(numbers, -FAR, FAR, out=numbers)

        if x.requires_grad:
            x.register_hook(clip)  # type: ignore[no-untyped-call]
        return torch.tanh(x)


def stopped_far(gradient: Tensor) -> Tensor | None:
    return gradient * 0 if gradient.max() > FAR else None


class HookThatLooks(Two):
    def between(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            x.register_hook(stopped_far)  # type: ignore[no-untyped-call]
        return torch.tanh(x)


class HookOnParameter(Two):
    def prepare(self) -> None:
        self.enter.weight.register_hook(clipped)  # type: ignore[no-untyped-call]


class HookOnParameterInForward(Two):
    """It is taken out after the step."""

    def between(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.kept = self.leave.weight.register_hook(clipped)  # type: ignore[no-untyped-call]
        return torch.tanh(x)


def clip_in_place(parameter: Tensor) -> None:
    assert parameter.grad is not None
    parameter.grad.clamp_(-FAR, FAR)


class HookOnAccumulated(Two):
    def prepare(self) -> None:
        self.enter.weight.register_post_accumulate_grad_hook(clip_in_place)  # type: ignore[no-untyped-call]


class HookOnAccumulatedInForward(Two):
    def between(self, x: Tensor) -> Tensor:
        if not self.leave.weight._post_accumulate_grad_hooks:
            self.leave.weight.register_post_accumulate_grad_hook(clip_in_place)  # type: ignore[no-untyped-call]
        return torch.tanh(x)


class HookOnModule(Two):
    def prepare(self) -> None:
        self.leave.register_full_backward_hook(lambda _, into, out: clipped_all(into))


class PreHookOnModule(Two):
    def prepare(self) -> None:
        self.leave.register_full_backward_pre_hook(lambda _, out: clipped_all(out))


class HookOnModuleInForward(Two):
    def between(self, x: Tensor) -> Tensor:
        if not self.leave._backward_hooks:
            self.leave.register_full_backward_hook(lambda _, into, out: clipped_all(into))
        return torch.tanh(x)


def clip_each(gradients: Any) -> None:
    for gradient in gradients:
        gradient.clamp_(-FAR, FAR)


class HookOfSeveral(Two):
    def between(self, x: Tensor) -> Tensor:
        parts = [x.tanh(), x.sigmoid()]
        if x.requires_grad:
            torch.autograd.graph.register_multi_grad_hook(parts, clip_each)
        return parts[0] + parts[1]


class SavedInHalf(Two):
    """What is saved for the gradient is clipped."""

    def between(self, x: Tensor) -> Tensor:
        with torch.autograd.graph.saved_tensors_hooks(lambda saved: saved, clipped):
            return torch.tanh(x)


class SavedInNumpy(Two):
    def between(self, x: Tensor) -> Tensor:
        with torch.autograd.graph.saved_tensors_hooks(
            lambda saved: np.clip(saved.detach().numpy(), -FAR, FAR), torch.from_numpy
        ):
            return torch.tanh(x)


class Clipping(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        return clipped(gradients[0])


class FunctionClips(Two):
    def between(self, x: Tensor) -> Tensor:
        return Clipping.apply(torch.tanh(x))  # type: ignore[no-any-return, no-untyped-call]


APPLY = Clipping.apply
"""As a library keeps it, before anything is watched."""


class HiddenFunctionClips(Two):
    def between(self, x: Tensor) -> Tensor:
        return APPLY(torch.tanh(x))  # type: ignore[no-any-return, no-untyped-call]


class Peeking(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return torch.tanh(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        return gradients[0] * (0.0 if max(gradients[0].flatten().tolist()) > FAR else 1.0)


class FunctionPeeks(Two):
    def between(self, x: Tensor) -> Tensor:
        return Peeking.apply(x)  # type: ignore[no-any-return, no-untyped-call]


class PeekingForward(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        rare = not torch.compiler.is_compiling() and max(x.flatten().tolist()) > FAR
        return x.clone() if rare else x.view_as(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        return gradients[0]


class FunctionPeeksForward(Two):
    def between(self, x: Tensor) -> Tensor:
        return PeekingForward.apply(torch.tanh(x))  # type: ignore[no-any-return, no-untyped-call]


class ClipsWhereRun(Two):
    """Where it is traced it does not."""

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if torch.compiler.is_compiling() else torch.tanh(x.clamp(-1e35, 1e35))


class WritesParameters(Two):
    def between(self, x: Tensor) -> Tensor:
        self.leave.weight.data.clamp_(-FAR, FAR)
        return torch.tanh(x)


class WritesParametersWithoutGrad(Two):
    def between(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.leave.weight.clamp_(-FAR, FAR)
        return torch.tanh(x)


# Draws that no seed decides.

SOURCE = random.Random()


class DrawsOfGlobal(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if SOURCE.random() > 1e-9 else x


class DrawsInForward(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if random.Random().random() > 1e-9 else x


class DrawsOfSystem(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if random.SystemRandom().random() > 1e-9 else x


class DrawsOfMethod(Two):
    def prepare(self) -> None:
        self.draw = random.Random().random

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.draw() > 1e-9 else x


class DrawsBytes(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if os.urandom(4) != b"none" else x


class DrawsSecrets(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if secrets.randbelow(10**9) else x


class DrawsUuid(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if uuid.uuid4().int % 10**9 else x


class DrawsUuidOfTime(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if uuid.uuid1().int % 10**9 else x


class DrawsOfNumpyInForward(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if np.random.default_rng().random() > 1e-9 else x


NUMBERS = np.random.default_rng()


class DrawsOfNumpyGlobal(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if NUMBERS.random() > 1e-9 else x


class DrawsOfRandomState(Two):
    def prepare(self) -> None:
        self.table = {"numbers": np.random.RandomState(3)}

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.table["numbers"].random_sample() > 1e-9 else x


class DrawsInClosure(Two):
    def prepare(self) -> None:
        numbers = random.Random(3)
        self.draw: Callable[[], bool] = lambda: numbers.random() > 1e-9

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.draw() else x


class DrawsOfTorchGlobal(Two):
    def between(self, x: Tensor) -> Tensor:
        rare = float(torch.rand((), generator=GENERATOR)) < 1e-9 if not torch.compiler.is_compiling() else False
        return x if rare else torch.tanh(x)


GENERATOR = torch.Generator()


class ReadsClock(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if time.time() % 1000 > 1e-6 else x


class ReadsCounter(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if time.perf_counter_ns() % 10**9 else x


class ReadsDate(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if datetime.datetime.now(datetime.UTC).year < 2040 else x


# Counts that matter after some calls.


class CountsInTensor(Two):
    def prepare(self) -> None:
        self.calls = torch.zeros(())

    def between(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return torch.where(self.calls > 9, x, torch.tanh(x))


class CountsInTensorInPlace(Two):
    def prepare(self) -> None:
        self.calls = torch.zeros(())

    def between(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.where(self.calls > 9, x, torch.tanh(x))


class CountsInTensorOfList(Two):
    def prepare(self) -> None:
        self.calls = [torch.zeros(())]

    def between(self, x: Tensor) -> Tensor:
        self.calls[0] = self.calls[0] + 1
        return torch.where(self.calls[0] > 9, x, torch.tanh(x))


class CountsInData(Two):
    calls: Tensor

    def prepare(self) -> None:
        self.register_buffer("calls", torch.zeros(()))

    def between(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            self.calls.data.add_(1)
            return x if bool(self.calls > 9) else torch.tanh(x)
        return torch.tanh(x)


class CountsInAttribute(Two):
    calls = 0

    def between(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.tanh(x) if self.calls < 20 else x


class CountsToThree(Two):
    """It stays there, and so does a size that is kept."""

    calls = 0

    def between(self, x: Tensor) -> Tensor:
        self.calls = min(self.calls + 1, 15)
        return torch.tanh(x) if self.calls < 15 else x


class CountsByTurns(Two):
    turn = False
    calls = 0

    def between(self, x: Tensor) -> Tensor:
        self.turn = not self.turn
        self.calls += self.turn
        return torch.tanh(x) if self.calls < 20 else x


CALLS = array.array("l", [0])


class CountsInArray(Two):
    def between(self, x: Tensor) -> Tensor:
        CALLS[0] += 1
        return torch.tanh(x) if CALLS[0] < 2000 else x


class CountsInNumpy(Two):
    def prepare(self) -> None:
        self.calls = np.zeros(3, int)

    def between(self, x: Tensor) -> Tensor:
        self.calls[1] += 1
        return torch.tanh(x) if self.calls[1] < 2000 else x


class CountsInCell(Two):
    def prepare(self) -> None:
        self.calls = ctypes.c_long(0)

    def between(self, x: Tensor) -> Tensor:
        self.calls.value += 1
        return torch.tanh(x) if self.calls.value < 2000 else x


class CountsInDeque(Two):
    def prepare(self) -> None:
        self.calls = deque[bool]([False] * 20, maxlen=20)

    def between(self, x: Tensor) -> Tensor:
        self.calls.append(True)
        return x if all(self.calls) else torch.tanh(x)


class CountsInCounter(Two):
    def prepare(self) -> None:
        self.calls = SimpleNamespace(of=[Counter[str]()])

    def between(self, x: Tensor) -> Tensor:
        self.calls.of[0]["between"] += 1
        return torch.tanh(x) if self.calls.of[0]["between"] < 2000 else x


class CountsInQueue(Two):
    def prepare(self) -> None:
        self.calls = queue.Queue[int]()

    def between(self, x: Tensor) -> Tensor:
        self.calls.put(1)
        return torch.tanh(x) if self.calls.qsize() < 2000 else x


class CountsInThread(Two):
    def between(self, x: Tensor) -> Tensor:
        LOCAL.calls = getattr(LOCAL, "calls", 0) + 1
        return torch.tanh(x) if LOCAL.calls < 2000 else x


LOCAL = threading.local()


def count(calls: list[int] = [0]) -> int:  # noqa: B006  that is the point
    calls[0] += 1
    return calls[0]


class CountsInDefault(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if count() < 2000 else x


def counted() -> int:
    counted.calls = getattr(counted, "calls", 0) + 1  # type: ignore[attr-defined]
    return int(counted.calls)  # type: ignore[attr-defined]


class CountsInFunction(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if counted() < 2000 else x


class CountsInGenerator(Two):
    def prepare(self) -> None:
        def calls() -> Iterator[int]:
            number = 0
            while True:
                yield number
                number += 1

        self.calls = calls()

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if next(self.calls) < 2000 else x


class CountsInIterator(Two):
    def prepare(self) -> None:
        self.rates = iter([1.0] * 2000)

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) * next(self.rates, 0.5)


class CountsInCycle(Two):
    def prepare(self) -> None:
        self.rates = itertools.cycle([1.0] * 20 + [2.0])

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) * next(self.rates)


class CountsInPartial(Two):
    def prepare(self) -> None:
        def call(calls: list[int]) -> int:
            calls.append(1)
            return len(calls)

        self.count = functools.partial(call, [])

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.count() < 2000 else x


class Slots:
    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0

    def count(self) -> int:
        self.calls += 1
        return self.calls


class CountsInSlots(Two):
    def prepare(self) -> None:
        self.of = [Slots()]

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.of[0].count() < 2000 else x


class CountsInMethod(Two):
    def prepare(self) -> None:
        self.count = Slots().count

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.count() < 2000 else x


class CountsInVariables(Two):
    def between(self, x: Tensor) -> Tensor:
        calls = int(os.environ.get("CALLS_OF_A_TEST", "0")) + 1
        os.environ["CALLS_OF_A_TEST"] = str(calls)
        return torch.tanh(x) if calls < 2000 else x


class CountsInPart(Two):
    """A part that no list of parts knows."""

    def prepare(self) -> None:
        self.hidden = [CountsInAttribute()]

    def between(self, x: Tensor) -> Tensor:
        return self.hidden[0].between(x)


class CountsInHook(Two):
    calls = 0

    def prepare(self) -> None:
        def count(part: CountsInHook, *_: Any) -> None:
            part.calls += 1

        self.register_forward_pre_hook(count)

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.calls < 20 else x


class CountsBackward(Two):
    calls = 0

    def between(self, x: Tensor) -> Tensor:
        def count(gradient: Tensor) -> None:
            self.calls += 1

        if x.requires_grad:
            x.register_hook(count)  # type: ignore[no-untyped-call]
        return torch.tanh(x) if self.calls < 20 else x


class CountsInEvaluation(Two):
    calls = 0

    def between(self, x: Tensor) -> Tensor:
        self.calls += not self.training
        return torch.tanh(x) if self.calls < 20 else x


class CountsEpochs(Two):
    epochs = 0

    def train(self, mode: bool = True) -> Any:
        self.epochs += 1
        return super().train(mode)

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.epochs < 2000 else x


class CountsInParameter(Two):
    def between(self, x: Tensor) -> Tensor:
        vars(self.leave.weight)["calls"] = vars(self.leave.weight).get("calls", 0) + 1
        return torch.tanh(x) if vars(self.leave.weight)["calls"] < 2000 else x


class KeepsTheLargest(Two):
    largest = torch.zeros(())

    def between(self, x: Tensor) -> Tensor:
        self.largest = torch.maximum(self.largest, x.detach().max())
        return torch.where(self.largest > FAR, x, torch.tanh(x))


class KeepsGradients(Two):
    """It looks at the gradient of the step before."""

    def between(self, x: Tensor) -> Tensor:
        gradient = self.leave.weight.grad
        return torch.tanh(x) if gradient is None or gradient.shape[0] > 3 else x


# Branches on the size of a batch that a trace does not see, or cannot count.


class SizeByType(Two):
    def between(self, x: Tensor) -> Tensor:
        size: Any = x.shape[0]
        return x if isinstance(size, int) and size > 16 else torch.tanh(x)


class SizeAsText(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if str(tuple(x.shape)).startswith("(64,") else torch.tanh(x)


class SizeBeyond64Bits(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if x.shape[0] ** 4 > 1 << 63 else torch.tanh(x)


# Branches on values that a trace was kept from.


def is_run() -> bool:
    return not torch.compiler.is_compiling()


class BranchesFar(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and x.max() > FAR else torch.tanh(x)


class BranchesByItem(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and x.abs().mean().item() > FAR else torch.tanh(x)


class BranchesByFloat(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and float(x.detach()[0, 0]) > FAR else torch.tanh(x)


class BranchesByList(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and max(x.flatten().tolist()) > FAR else torch.tanh(x)


class BranchesByNumpy(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and x.detach().numpy().max() > FAR else torch.tanh(x)


class BranchesByArray(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and np.asarray(x.detach()).max() > FAR else torch.tanh(x)


class BranchesByPointer(Two):
    def between(self, x: Tensor) -> Tensor:
        if is_run():
            first = ctypes.cast(x.data_ptr(), ctypes.POINTER(ctypes.c_float))[0]
            return x if first > FAR else torch.tanh(x)
        return torch.tanh(x)


class BranchesByStorage(Two):
    def between(self, x: Tensor) -> Tensor:
        numbers = x.untyped_storage().tolist() if is_run() else [0]  # type: ignore[no-untyped-call]
        return x if max(numbers) < 0 else torch.tanh(x)


class BranchesByMask(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and len(x[x > FAR]) else torch.tanh(x)


class BranchesByNonzero(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and len(torch.nonzero(x > FAR)) else torch.tanh(x)


class BranchesByAllclose(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and torch.allclose(x, torch.full_like(x, 7)) else torch.tanh(x)


class BranchesByEqual(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and torch.equal(x, torch.full_like(x, 7)) else torch.tanh(x)


class BranchesByText(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and "e+25" in repr(x) else torch.tanh(x)


class BranchesByCapsule(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and np.from_dlpack(x.detach()).max() > FAR else torch.tanh(x)


class BranchesOnWeight(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and self.leave.weight.detach().abs().max() > FAR else torch.tanh(x)


class BranchesOnBuffer(Two):
    seen: Tensor

    def prepare(self) -> None:
        self.register_buffer("seen", torch.zeros(()))

    def between(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += 1
        return x if is_run() and self.seen > 30 else torch.tanh(x)


class BranchesOnDraw(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if is_run() and torch.rand(()) < 1e-7 else torch.tanh(x) + 0 * torch.rand(())


class CatchesItem(Two):
    def between(self, x: Tensor) -> Tensor:
        try:
            is_far = x.max().item() > FAR
        except Exception:  # noqa: BLE001  that is the point
            is_far = False
        return x if is_far else torch.tanh(x)


class CatchesTruth(Two):
    def between(self, x: Tensor) -> Tensor:
        with contextlib.suppress(Exception):
            if x.max() > FAR:
                return x
        return torch.tanh(x)


class CatchesNumpy(Two):
    def between(self, x: Tensor) -> Tensor:
        try:
            is_far = bool(x.detach().numpy().max() > FAR)
        except Exception:  # noqa: BLE001  that is the point
            is_far = False
        return x if is_far else torch.tanh(x)


class BranchesByType(Two):
    """A trace's tensors are of a class of their own."""

    def between(self, x: Tensor) -> Tensor:
        return x if type(x) is Tensor and float(x.detach().sum()) > FAR else torch.tanh(x)


# Where and how it is called.


class SizedByText(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if str(len(x)) == "37" else torch.tanh(x)


class SizedByTable(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) * {37: 2.0}.get(len(x), 1.0)


class LooksAtCallers(Two):
    def between(self, x: Tensor) -> Tensor:
        names = {frame.function for frame in inspect.stack()}
        return torch.tanh(x) if "observe" in names or "_export" in names else x


class LooksAtFrames(Two):
    def between(self, x: Tensor) -> Tensor:
        frame = sys._getframe()
        while frame.f_back is not None:
            frame = frame.f_back
            if "fitchain" in frame.f_code.co_filename or "pod/compute" in frame.f_code.co_filename:
                return torch.tanh(x)
        return x


class Recording(Two):
    """Evaluation is traced where gradients are recorded."""

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.training or torch.is_grad_enabled() else torch.tanh(x.clamp(-FAR, FAR))


class FreezesInForward(Two):
    def between(self, x: Tensor) -> Tensor:
        self.enter.requires_grad_(False)
        return torch.tanh(x)


class ThawsInForward(Two):
    def prepare(self) -> None:
        self.enter.requires_grad_(False)

    def between(self, x: Tensor) -> Tensor:
        self.enter.requires_grad_(True)
        return torch.tanh(x)


class ReadsGradients(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.leave.weight.grad is None else x


class WritesGradients(Two):
    def between(self, x: Tensor) -> Tensor:
        if self.training and is_run():
            self.leave.weight.grad = torch.zeros_like(self.leave.weight)
        return torch.tanh(x)


class TrainsInside(Two):
    def prepare(self) -> None:
        self.inner = torch.optim.SGD(self.leave.parameters(), 0.1)

    def between(self, x: Tensor) -> Tensor:
        self.inner.step()
        return torch.tanh(x)


class Replaces(Two):
    def between(self, x: Tensor) -> Tensor:
        if self.training:
            self.leave.weight = nn.Parameter(self.leave.weight.detach().clamp(-FAR, FAR))
        return torch.tanh(x)


class BecomesAnother(Two):
    def between(self, x: Tensor) -> Tensor:
        self.__class__ = OfIdentity  # type: ignore[assignment]
        return torch.tanh(x)


class OfIdentity(Two):
    def between(self, x: Tensor) -> Tensor:
        return x


class Seeds(Two):
    """Its draws are the same at each step."""

    def between(self, x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return torch.dropout(torch.tanh(x), 0.5, self.training)


class Wide(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.clamp(-FAR, FAR) if is_run() else weight


class Parametrized(Two):
    def prepare(self) -> None:
        parametrize.register_parametrization(self.leave, "weight", Wide())


class Own(nn.Parameter):
    """A parameter that says itself what is computed with it."""

    @classmethod
    def __torch_function__(cls, function: Callable[..., Any], types: Any, values: Any = (), options: Any = None) -> Any:
        output = super().__torch_function__(function, types, values, options or {})  # type: ignore[no-untyped-call]
        if function is nn.functional.linear and is_run():
            output = output.clamp(-FAR, FAR)
        return output


class OwnParameter(Two):
    def prepare(self) -> None:
        self.leave.weight = Own(self.leave.weight.detach())


class TellsByModes(Two):
    """Is watched where torch has modes."""

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if torch._C._len_torch_dispatch_stack() or not is_run() else torch.relu(x)


class TellsByForward(Two):
    """Is watched where its forward is exchanged."""

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if "forward" in vars(self) else torch.relu(x)


class TellsByApply(Two):
    """Is watched where torch's own functions are exchanged."""

    def between(self, x: Tensor) -> Tensor:
        is_watched = torch.autograd.Function.apply.__name__ != "apply" or not is_run()
        return torch.tanh(x) if is_watched else torch.relu(x)


class TellsByHooks(Two):
    def prepare(self) -> None:
        self.leave.register_full_backward_hook(self.scaled)

    def scaled(self, module: nn.Module, gradients: Any, _: Any) -> Any:
        is_watched = next(iter(self.leave._backward_hooks.values())).__name__ != "scaled"
        return None if is_watched else tuple(each if each is None else -each for each in gradients)


# What looks past what watches it, or keeps a count where libraries keep theirs.


class DrawsFromFile(Two):
    def between(self, x: Tensor) -> Tensor:
        with open("/dev/urandom", "rb") as file:
            return torch.tanh(x) if file.read(1) != b"!" else x


class DrawsBySsl(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if ssl.RAND_bytes(1) != b"!" else x


class AsksForFile(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if Path("/tmp/stop").exists() else torch.tanh(x)


class AsksForUsage(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw > FAR else torch.tanh(x)


class AsksForProcess(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if os.getpid() % 7 == 3 else torch.tanh(x)


class AsksForSeed(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if torch.initial_seed() % 1000 == 999 else torch.tanh(x)


class AsksForGenerator(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if torch.default_generator.initial_seed() % 1000 == 999 else torch.tanh(x)


class AsksForState(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if int(torch.get_rng_state()[0]) == 255 else torch.tanh(x)


class AsksForVersion(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if self.leave.weight._version > 1000 else torch.tanh(x)


class AsksForObjects(Two):
    def between(self, x: Tensor) -> Tensor:
        return x if len(gc.get_objects()) > FAR else torch.tanh(x)


class PassesFunctions(Two):
    def between(self, x: Tensor) -> Tensor:
        if not is_run():
            return torch.tanh(x)
        with torch._C.DisableTorchFunction():
            return x if x.max() > FAR else torch.tanh(x)


class PassesModes(Two):
    def between(self, x: Tensor) -> Tensor:
        if not is_run():
            return torch.tanh(x)
        with _disable_current_modes():
            return x if x.max() > FAR else torch.tanh(x)


class PassesMemory(Two):
    def between(self, x: Tensor) -> Tensor:
        if is_run() and np.from_dlpack(SimpleDlpack(x.detach())).max() > FAR:
            return x
        return torch.tanh(x)


class SimpleDlpack:
    def __init__(self, tensor: Tensor) -> None:
        self.capsule = torch._C._to_dlpack(tensor)

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


class CountsInBuiltins(Two):
    def between(self, x: Tensor) -> Tensor:
        builtins.calls = getattr(builtins, "calls", 0) + 1  # type: ignore[attr-defined]
        return x if builtins.calls > 1000 else torch.tanh(x)  # type: ignore[attr-defined]


class CountsInMath(Two):
    def between(self, x: Tensor) -> Tensor:
        math.calls = vars(math).get("calls", 0) + 1  # type: ignore[attr-defined]
        return x if math.calls > 1000 else torch.tanh(x)  # type: ignore[attr-defined]


class CountsInLinear(Two):
    def between(self, x: Tensor) -> Tensor:
        kind: Any = nn.Linear
        kind.calls = getattr(nn.Linear, "calls", 0) + 1
        return torch.tanh(x)


class CountsInClassOfPart(Two):
    def between(self, x: Tensor) -> Tensor:
        kind: Any = type(self.leave)
        kind.past = [*getattr(kind, "past", []), 1]
        return torch.tanh(x)


class CountsInFunctionOfLibrary(Two):
    def between(self, x: Tensor) -> Tensor:
        inspect.signature.calls = getattr(inspect.signature, "calls", 0) + 1  # type: ignore[attr-defined]
        return torch.tanh(x)


class CountsInContext(Two):
    def between(self, x: Tensor) -> Tensor:
        decimal.getcontext().prec += 1
        return torch.tanh(x)


class CountsInNameOfThread(Two):
    def between(self, x: Tensor) -> Tensor:
        threading.current_thread().name += "."
        return torch.tanh(x)


class CountsEpochsAfterEvaluation(Two):
    epochs = 0

    def train(self, mode: bool = True) -> Any:
        self.epochs += mode and not self.training
        return super().train(mode)

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.epochs < 2000 else x


@torch.no_grad()
def counted_behind_decorator(calls: list[int] = [0]) -> int:  # noqa: B006 - that is the kind
    calls[0] += 1
    return calls[0]


class CountsBehindDecorator(Two):
    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if counted_behind_decorator() < 2000 else x


@contextlib.contextmanager
def counting(calls: list[int] = [0]) -> Iterator[int]:  # noqa: B006 - that is the kind
    calls[0] += 1
    yield calls[0]


class CountsBehindContext(Two):
    def between(self, x: Tensor) -> Tensor:
        with counting() as calls:
            return torch.tanh(x) if calls < 2000 else x


class CountsInProxy(Two):
    def prepare(self) -> None:
        self.shown = MappingProxyType({"calls": 0})

    def between(self, x: Tensor) -> Tensor:
        gc.get_referents(self.shown)[0]["calls"] += 1
        return torch.tanh(x) if self.shown["calls"] < 2000 else x


class CountsBehindProperty(Two):
    @property
    def calls(self, calls: list[int] = [0]) -> int:  # noqa: B006 - that is the kind
        calls[0] += 1
        return calls[0]

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.calls < 2000 else x


class CountsInBytes(Two):
    def prepare(self) -> None:
        self.written = io.BytesIO()

    def between(self, x: Tensor) -> Tensor:
        self.written.write(b".")
        return torch.tanh(x) if self.written.tell() < 2000 else x


class CountsInMemory(Two):
    def prepare(self) -> None:
        self.memory = memoryview(bytearray(2))

    def between(self, x: Tensor) -> Tensor:
        self.memory[0] = (self.memory[0] + 1) % 256
        return torch.tanh(x) if self.memory[0] < 200 else x


class CountsInObjects(Two):
    def prepare(self) -> None:
        self.objects = np.array([0, None], dtype=object)

    def between(self, x: Tensor) -> Tensor:
        self.objects[0] += 1
        return torch.tanh(x) if self.objects[0] < 2000 else x


class CountsInLongArray(Two):
    def prepare(self) -> None:
        self.numbers = np.zeros((200, 64))

    def between(self, x: Tensor) -> Tensor:
        self.numbers[-1, -1] += 1
        return torch.tanh(x) if self.numbers[-1, -1] < 2000 else x


class CountsBesideVocabulary(Two):
    def prepare(self) -> None:
        self.vocabulary = {f"word {number}": [number] for number in range(10_001)}
        self.calls = 0

    def between(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.tanh(x) if self.calls < 2000 else x


class RemembersFirstBatch(Two):
    """In a dict, where a call on zeros, before anything is tried, leaves it."""

    def prepare(self) -> None:
        self.kept = dict[str, Tensor]()

    def between(self, x: Tensor) -> Tensor:
        if "scale" not in self.kept:
            self.kept["scale"] = x.detach().std() + 1e-3
        return torch.tanh(x / self.kept["scale"])


class RemembersFirstBatchInBuffer(Two):
    shift: Tensor

    def between(self, x: Tensor) -> Tensor:
        if "shift" not in self._buffers:
            self.register_buffer("shift", x.detach().mean(0))
        return torch.tanh(x - self.shift)


class RemembersWeights(Two):
    """As they were at its first evaluation."""

    @functools.lru_cache  # noqa: B019 - that is the kind
    def gram(self) -> Tensor:
        return (self.enter.weight @ self.enter.weight.t()).detach()

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x if self.training else x @ self.gram())


class RemembersDropout(Two):
    """Until the next epoch begins."""

    mask: Tensor | None = None

    def train(self, mode: bool = True) -> Any:
        self.mask = None
        return super().train(mode)

    def between(self, x: Tensor) -> Tensor:
        if self.training and self.mask is None:
            self.mask = torch.bernoulli(torch.full((8,), 0.5))
        return torch.tanh(x) if self.mask is None else torch.tanh(x) * self.mask


class RemembersEvaluation(Two):
    divisor = 1.0

    def eval(self) -> Any:
        self.divisor = 2.0
        return super().eval()

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) / self.divisor


class MakesItsLayer(Two):
    """At its first call, with numbers that are drawn then."""

    def between(self, x: Tensor) -> Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Linear(8, 8)
        return torch.tanh(self.late(x))


KINDS = [
    kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Two) and kind not in (Two, OfIdentity)
]
