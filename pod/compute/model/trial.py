"""Trial: the calls by which a module is compared with its graph, and what one of them gives.

The first ones train some steps and evaluate, on ordinary numbers. Those do not reach what a module
does about others: a gradient that is clipped at 10, a branch on NaN that a trace was kept from. So
there are odd ones, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fitchain.pod.compute.model.dataflow import Dataflow, Flow, content
from fitchain.pod.compute.model.looks import Look, Looks
from fitchain.pod.compute.model.lowering import at
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.restored import kept_numbers, left_as_it_was
from fitchain.pod.compute.model.torch_output import location_of
from fitchain.pod.compute.operators.arguments import DTYPES
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input

STEPS = 3
"""Of training, before one evaluation: a value that is kept is read in the next."""
RATE = 1e-3
"""By which a step moves parameters against their gradients, so that the next one sees others."""
OUTPUT = "the output"
LARGER, MOST_PRODUCTS = (17, 64, 1000), 1 << 30
"""Records of further evaluations; and products, if each weight met each number of a record, which
take a second."""
Values = Mapping[str, bytes | None]
"""Digests of the numbers of tensors, by what they are of; None for a gradient where the output does
not depend on a parameter."""


@dataclass(frozen=True)
class Call:
    """What one call did.

    Args:
        values: what it gave.
        flow: how these were computed.
        looks: where the module learnt a value, and whether that was a question.
    """

    values: Values
    flow: Flow
    looks: Mapping[Look, bool]


@dataclass(frozen=True)
class Odd:
    """A call on numbers, or of a size, that the first ones do not have.

    Args:
        name: for people.
        size: of the batch; 0 for that of the first.
        training: whether it trains.
        numbers: makes them of ordinary ones.
        scale: of the direction of gradients.
    """

    name: str
    size: int
    training: bool
    numbers: Callable[[Tensor], Tensor]
    scale: float = 1


def in_mode(module: nn.Module, training: bool) -> None:
    """Set a module to train or to evaluate, by the call that who uses it makes."""
    _ = module.train() if training else module.eval()


def _with(value: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x.masked_fill(x > 1, value)


ODD = (
    Odd("a batch of one record", 1, True, lambda x: x),
    Odd("a batch of one record", 1, False, lambda x: x),
    Odd("large numbers", 0, True, lambda x: x * 1e4, 1e4),
    Odd("large gradients", 0, True, lambda x: x, 1e4),
    Odd("negative numbers", 0, True, lambda x: -30 * x.abs()),
    Odd("zeros", 0, True, torch.zeros_like),
    Odd("infinite numbers", 0, True, _with(torch.inf)),
    Odd("NaN", 0, True, _with(torch.nan), torch.nan),
)


@dataclass(frozen=True)
class Batch:
    """Inputs of one call.

    Args:
        where: for people.
        numbers: `[size, *shape]` each.
        seed: of torch's generator before it, and of the direction of gradients.
        training: whether it trains.
        scale: of the direction of gradients.
    """

    where: str
    numbers: tuple[Tensor, ...]
    seed: int
    training: bool
    scale: float = 1


@dataclass
class Batches:
    """Inputs of all calls, random ones.

    Args:
        inputs: of the module.
        size: of the first batch; every other step takes one less, or one more where that would be
            one.
        rows: whole numbers are below it; where it is 1 all numbers lie between 0 and 1, since a
            module may look up rows of a table by any.
        bounds: whole numbers of each input are below it in odd calls.
        weights: numbers that the module has, by which follows how many records it takes quickly.
    """

    inputs: tuple[Input, ...]
    size: int
    rows: int
    bounds: tuple[int, ...] = ()
    weights: int = 0

    def first(self, training: bool) -> Batch:
        """The first of all."""
        return Batch("", self.numbers(self.size, 0), 0, training)

    def steps(self) -> Iterator[Batch]:
        """Those of the first calls."""
        other = self.size - 1 if self.size > 2 else self.size + 1  # a batch norm wants two records
        for step in range(STEPS):
            size = (self.size, other)[step % 2]
            yield Batch(f"in the training step {step + 1}", self.numbers(size, step), step, True)
        yield Batch("in evaluation", self.numbers(self.size, STEPS), STEPS, False)

    def odd(self) -> Iterator[Batch]:
        """Those of the odd ones."""
        for odd in ODD:
            ordinary = self.numbers(odd.size or self.size, 0, self.bounds)
            numbers = tuple(odd.numbers(x) if x.is_floating_point() or odd.name == "zeros" else x for x in ordinary)
            yield Batch(f"with {odd.name}", numbers, 0, odd.training, odd.scale)

    def larger(self) -> Iterator[Batch]:
        """Evaluations of more records, as far as these are computed in no time: a size by which a
        module branches without a trace of it, as a text say, is seldom a small one."""
        for size in self.larger_sizes():
            yield Batch(f"of {size} records", self.numbers(size, 0), 0, False)

    def larger_sizes(self) -> list[int]:
        """How many records these have."""
        products = max(1, self.weights) * max(1, sum(math.prod(spec.shape) for spec in self.inputs))
        return [size for size in LARGER if size > self.size and size * products <= MOST_PRODUCTS]

    def zeros(self) -> tuple[Tensor, ...]:
        """As those of the first."""
        return tuple(torch.zeros((self.size, *spec.shape), dtype=DTYPES[spec.dtype]) for spec in self.inputs)

    def numbers(self, size: int, seed: int, bounds: Sequence[int] = ()) -> tuple[Tensor, ...]:
        """Random inputs, `[size, *shape]` each; whole numbers are below `rows`, or up to each one's
        bound, which is reached."""
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randn if self.rows > 1 else torch.rand
        return tuple(
            draw((size, *spec.shape), generator=generator, dtype=DTYPES[spec.dtype])
            if DTYPES[spec.dtype].is_floating_point
            else _whole(bounds[index] if bounds else self.rows, (size, *spec.shape), generator, bool(bounds)).to(
                DTYPES[spec.dtype]
            )
            for index, spec in enumerate(self.inputs)
        )


def _whole(bound: int, shape: Sequence[int], generator: torch.Generator, reaches: bool) -> Tensor:
    drawn = torch.randint(0, bound, shape, generator=generator)
    if reaches and drawn.numel():
        drawn.view(-1)[-1] = bound - 1
    return drawn


@dataclass(frozen=True)
class Subject:
    """What is tried, and the tensors that it computes with.

    Args:
        computing: gives the function of a mode, to train or to evaluate.
        moved: parameters that training moves.
        parameters, buffers: all of them, as they are then.
        written: names of the buffers that steps write.
        restored: leaves it as it was.
    """

    computing: Callable[[bool], Callable[..., Any]]
    moved: Mapping[str, Tensor]
    parameters: Callable[[], Mapping[str, Tensor]]
    buffers: Callable[[], Mapping[str, Tensor]]
    written: frozenset[str]
    restored: Callable[[], AbstractContextManager[None]]

    @staticmethod
    def by_module(
        module: nn.Module, written: frozenset[str], chosen: Callable[[Any], Any] = lambda output: output
    ) -> Subject:
        """A module.

        Args:
            module: to be tried.
            written: as in the class.
            chosen: the tensor that is trained, out of what it returns.
        """

        def computing(training: bool) -> Callable[..., Any]:
            if module.training != training:  # once an epoch, as who trains it does, and not at every step
                in_mode(module, training)
            return lambda *numbers: chosen(module(*numbers))

        return Subject(
            computing,
            {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad},
            lambda: dict(module.named_parameters()),
            lambda: dict(module.named_buffers()),
            written,
            partial(left_as_it_was, module),
        )

    @staticmethod
    def by_program(program: Program, written: frozenset[str]) -> Subject:
        """A graph's program."""
        return Subject(
            lambda training: partial(program, training=training),
            program.trainable,
            lambda: program.parameters,
            lambda: program.buffers,
            written,
            partial(kept_numbers, [*program.trainable.values(), *program.buffers.values()]),
        )


def watched_call(subject: Subject, batch: Batch, turned: Look | None = None) -> Call | None:
    """What a call does; where it trains parameters are moved, too.

    Args:
        subject: that is called.
        batch: by which.
        turned: a look whose answer is turned into its opposite.

    Returns:
        None where it gives no tensor.

    Raises:
        InputRefused: it reads or writes gradients before there are any, or reads versions.
    """
    depends = {f"parameter {name}": tensor for name, tensor in subject.parameters().items()}
    depends |= {f"input {index}": tensor for index, tensor in enumerate(batch.numbers)}
    depends |= {f"buffer {name}": tensor for name, tensor in subject.buffers().items() if name in subject.written}
    compute = subject.computing(batch.training)
    torch.manual_seed(batch.seed)
    with Dataflow(depends) as flow, Looks(flow, turned) as looks, torch.set_grad_enabled(batch.training):
        output = compute(*batch.numbers)
        if looks.at_gradients:  # hooks may, later on: what they change is in the flow
            sentence = "forward reads or writes a gradient, which is the step's before"
            raise InputRefused(at(location_of(looks.at_gradients[0]), sentence), "leave .grad to the optimizer")
        if looks.at_versions:
            sentence = "forward reads how often a tensor was written, which is another number in each run"
            raise InputRefused(at(location_of(looks.at_versions[0]), sentence), "do not read ._version")
        if not isinstance(output, Tensor):
            return None
        gradients = _gradients(output, subject.moved, batch)
    named = _named(subject, output, gradients)
    digests = {name: None if tensor is None else flow.digest(tensor) for name, tensor in named.items()}
    call = Call(_values(named), Flow(digests, flow.steps, flow.origins), looks.all_taken())
    _move(subject, gradients)
    return call


def unwatched_call(subject: Subject, batch: Batch) -> Values:
    """What a call gives with nothing of ours about it, no modes of torch above all; where it trains
    parameters are moved, too."""
    compute = subject.computing(batch.training)
    torch.manual_seed(batch.seed)
    with torch.set_grad_enabled(batch.training):
        output = compute(*batch.numbers)
        gradients = _gradients(output, subject.moved, batch)
    values = _values(_named(subject, output, gradients))
    _move(subject, gradients)
    return values


def _gradients(output: Tensor, moved: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor | None]:
    """What a random direction of the output asks of each parameter."""
    if not batch.training:
        return {}
    if not output.requires_grad or not moved:
        return dict.fromkeys(moved)
    direction = (
        torch.randn(output.shape, generator=torch.Generator().manual_seed(batch.seed), dtype=torch.float64)
        * batch.scale
    )
    for tensor in moved.values():
        tensor.grad = None
    # As output.backward does, which is a function of torch in which `Looks` sees no other;
    # autograd.grad would leave out the hooks on accumulated gradients.
    engine: Any = torch.autograd.Variable._execution_engine
    engine.run_backward(
        (output,), (direction.to(output.dtype),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )
    return {name: tensor.grad for name, tensor in moved.items()}


def _named(subject: Subject, output: Tensor, gradients: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
    """What a call gave, by what is said of it."""
    named: dict[str, Tensor | None] = {OUTPUT: output}
    named |= {f"the gradient of {name!r}": tensor for name, tensor in gradients.items()}
    named |= {f"the buffer {name!r}": tensor for name, tensor in subject.buffers().items()}
    named |= {f"the parameter {name!r}": tensor for name, tensor in subject.parameters().items()}
    return named


def _values(named: Mapping[str, Tensor | None]) -> Values:
    return {name: None if tensor is None else content(tensor) for name, tensor in named.items()}


def _move(subject: Subject, gradients: Mapping[str, Tensor | None]) -> None:
    """Move parameters against their gradients, where there are some."""
    with torch.no_grad():
        for name, tensor in subject.moved.items():
            if (gradient := gradients.get(name)) is not None:
                tensor.sub_(gradient, alpha=RATE)
            tensor.grad = None
