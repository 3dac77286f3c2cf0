"""Fidelity: whether a graph computes what the module does, tried and not believed.

A trace sees one call. Gradients of a module's own (`autograd.Function`, hooks), draws of `random`
or NumPy, counters in lists and globals leave no trace in it, and something else would be trained
under a certificate. So the module runs some steps before it is traced, and its graph runs the same
ones afterwards, from equal weights, inputs and seeds: outputs, gradients and buffers are equal bit
for bit, or the module is refused.

What these steps do not reach is not seen: a branch that is taken after a thousand calls. So a count
that a module keeps outside its buffers, and that goes on from call to call, is refused as such.
"""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

import numpy as np
import torch
from blake3 import blake3
from torch import Tensor, nn

from fitchain.pod.compute.environment.classes import NATIVE
from fitchain.pod.compute.model.lowering import at
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.torch_output import Location, calling_location
from fitchain.pod.compute.operators.arguments import DTYPES
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.state import TensorBytes

STEPS = 3
"""Of training, before one evaluation: a value that is kept is read in the next."""
RATE = 1e-3
"""By which a step moves parameters against their gradients, so that the next one sees others."""
MOST_KEPT = 10_000
"""So many values outside tensors are looked at from call to call."""


Call = Mapping[str, bytes | None]
"""What one call did: digests of tensors, by what they are of; None for a gradient where the output
does not depend on a parameter."""


@dataclass
class Witness:
    """What a module did, step by step.

    Args:
        batch: the size of the first batch.
        rows: whole numbers of its inputs are below it; where it is 1 all numbers lie between 0 and
            1, since a module may look up rows of a table by any.
        runs: its calls.
        causes: what it did that no graph can say, with the line where that is known.
    """

    batch: int
    rows: int
    runs: list[Call] = field(default_factory=list)
    causes: dict[str, Location | None] = field(default_factory=dict)


def observe(module: nn.Module, inputs: Sequence[Input], batch: int) -> Witness | None:
    """Run a module some steps; it is left as it was, but for constants that it makes at its first
    call (tables of positions, say): those are there now.

    Args:
        module: on the CPU.
        inputs: its arguments.
        batch: a batch size; every other step takes one less, or one more where that would be one.

    Returns:
        What it did; None where it gives no tensor, which is for the trace to say.

    Raises:
        InputRefused: it draws numbers that no seed of torch decides, or keeps a count.
        Exception: whatever its own code raises.
    """
    try:
        return _observe(module, inputs, Witness(batch, 2))
    except IndexError:  # an embedding of one row, or one whose rows are looked up by amounts
        return _observe(module, inputs, Witness(batch, 1))


def _observe(module: nn.Module, inputs: Sequence[Input], witness: Witness) -> Witness | None:
    moved = {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad}
    kept = list[dict[str, str]]()
    buffers = tuple(module.buffers())
    of_zeros = _kept_of_zeros(module, inputs, witness.batch)
    with _left_as_it_was(module), _watched(module, witness.causes), _as_in_a_job():
        for step, (size, training) in enumerate(_calls(witness.batch)):
            module.train(training)
            examples, drawn = _examples(inputs, size, witness.rows, step), _foreign_draws(module)
            torch.manual_seed(step)
            with contextlib.nullcontext() if training else torch.no_grad():
                output = module(*examples)
            if not isinstance(output, Tensor):
                return None
            if _foreign_draws(module) != drawn:
                raise InputRefused(
                    "forward draws numbers from Python's random, from NumPy or from a generator of its own, and a"
                    " graph would repeat the one draw that was traced",
                    "draw with torch (torch.rand, nn.Dropout): its generator is seeded before each step",
                )
            witness.runs.append(_stepped(output, moved, dict(module.named_buffers()), step, training))
            kept.append(_plain_values(module))
        constants = {
            (part, name): tensor.detach()
            for (part, name), tensor in _kept_tensors(module, buffers).items()
            if of_zeros.get((part, name)) == _digest(tensor)
        }
    for (part, name), tensor in constants.items():
        (part._buffers if name in part._buffers else vars(part))[name] = tensor
    for name, value in kept[1].items():
        if kept[0].get(name, value) != value != kept[2].get(name, value):
            raise InputRefused(
                f"forward changes the attribute {name!r} of {type(module).__name__} from call to call:"
                " what lives longer than a step is a buffer",
                "keep it with register_buffer and change it in place, or do not keep it",
            )
    return witness


def require_fidelity(graph: Graph, tensors: Mapping[str, TensorBytes], witness: Witness) -> None:
    """Run a graph through the steps that its module went through.

    Args:
        graph, tensors: as they were written down.
        witness: what the module did.

    Raises:
        InputRefused: it does something else; the message names what differs first and, where that
            is known, what no graph can say.
    """
    program = Program(graph, tensors, NATIVE)
    with _as_in_a_job():
        for step, ((size, training), run) in enumerate(zip(_calls(witness.batch), witness.runs, strict=True)):
            torch.manual_seed(step)
            output = program(*_examples(graph.inputs, size, witness.rows, step), training=training)
            replayed = _stepped(output, program.trainable, program.buffers, step, training)
            for name, digest in run.items():
                if name in replayed and replayed[name] != digest:
                    _refuse(name, step, training, witness.causes)


def _refuse(name: str, step: int, training: bool, causes: Mapping[str, Location | None]) -> NoReturn:
    what = f"{name} {f'in the training step {step + 1}' if training else 'in evaluation'}"
    cause, location = next(iter(causes.items()), (None, None))
    because = f": {cause}, which no graph can say" if cause else ""
    raise InputRefused(
        at(location, f"the graph computes {what} otherwise than the module{because}"),
        "compute it with operators whose gradients torch knows, and keep nothing outside parameters and buffers",
    )


def _calls(batch: int) -> list[tuple[int, bool]]:
    """Sizes of the batches, and whether a call trains."""
    other = batch - 1 if batch > 2 else batch + 1  # a batch norm wants two records
    return [((batch, other)[step % 2], True) for step in range(STEPS)] + [(batch, False)]


def _kept_of_zeros(module: nn.Module, inputs: Sequence[Input], batch: int) -> dict[tuple[nn.Module, str], bytes]:
    """Digests of the tensors that a module keeps after a call on zeros: those that it keeps after
    others, too, are constants, and may become the graph's."""
    zeros = tuple(torch.zeros((batch, *spec.shape), dtype=DTYPES[spec.dtype]) for spec in inputs)
    with _left_as_it_was(module), _as_in_a_job(), torch.no_grad():
        module.train(True)
        buffers = tuple(module.buffers())
        module(*zeros)
        return {key: _digest(tensor) for key, tensor in _kept_tensors(module, buffers).items()}


def _kept_tensors(module: nn.Module, buffers: Sequence[Tensor]) -> dict[tuple[nn.Module, str], Tensor]:
    """Tensors outside parameters and buffers, by the module that keeps them and their name; and
    what stands in a buffer's place since.

    Args:
        module: that keeps them.
        buffers: that it had.
    """
    before = {id(each) for each in buffers}
    return {
        (part, name): value
        for part in module.modules()
        for name, value in (*vars(part).items(), *part._buffers.items())
        if isinstance(value, Tensor) and not value.requires_grad and id(value) not in before
    }


def _examples(inputs: Sequence[Input], size: int, rows: int, step: int) -> tuple[Tensor, ...]:
    """Random inputs of a step, `[size, *shape]` each."""
    numbers = torch.Generator().manual_seed(step)
    draw = torch.randn if rows > 1 else torch.rand
    return tuple(
        draw((size, *spec.shape), generator=numbers, dtype=DTYPES[spec.dtype])
        if DTYPES[spec.dtype].is_floating_point
        else torch.randint(0, rows, (size, *spec.shape), generator=numbers).to(DTYPES[spec.dtype])
        for spec in inputs
    )


def _gradients(output: Tensor, moved: Mapping[str, Tensor], step: int) -> dict[str, Tensor | None]:
    """What a random direction of the output asks of each parameter."""
    if not output.requires_grad or not moved:
        return dict.fromkeys(moved)
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
    for tensor in moved.values():
        tensor.grad = None
    # Not autograd.grad, which does not run the hooks on accumulated gradients.
    output.backward(direction.to(output.dtype))  # type: ignore[no-untyped-call]
    return {name: tensor.grad for name, tensor in moved.items()}


def _stepped(
    output: Tensor, moved: Mapping[str, Tensor], buffers: Mapping[str, Tensor], step: int, training: bool
) -> Call:
    """What a call did; where it trains its parameters are moved, too."""
    gradients = _gradients(output, moved, step) if training else {}
    named: dict[str, Tensor | None] = {"the output": output}
    named |= {f"the gradient of {name!r}": tensor for name, tensor in gradients.items()}
    named |= {f"the buffer {name!r}": tensor for name, tensor in buffers.items()}
    call = {name: None if tensor is None else _digest(tensor) for name, tensor in named.items()}
    with torch.no_grad():
        for name, tensor in moved.items():
            if (gradient := gradients.get(name)) is not None:
                tensor.sub_(gradient, alpha=RATE)
            tensor.grad = None
    return call


def _digest(tensor: Tensor) -> bytes:
    plain = tensor.detach().contiguous()
    hasher = blake3(f"{plain.dtype} {tuple(plain.shape)} ".encode())
    hasher.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.digest()


@contextlib.contextmanager
def _as_in_a_job() -> Iterator[None]:
    """Compute as a job does by default, and leave torch's generator and settings as they were.
    Fresh memory is filled with NaN: a module that reads it is found out, whatever lay there.
    Attention is made of products, as in the default class: libraries write a mask out where they
    are traced and leave it out where they are run, and torch's fused kernel tells the two apart."""
    threads, memory = torch.get_num_threads(), cast(Any, torch.utils.deterministic)
    orderly, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled, attention = memory.fill_uninitialized_memory, cast(Any, torch.backends.cuda)
    fused = attention.flash_sdp_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=warns or not orderly)
    memory.fill_uninitialized_memory = True
    attention.enable_flash_sdp(False)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(orderly, warn_only=warns)
        memory.fill_uninitialized_memory = filled
        attention.enable_flash_sdp(fused)


@contextlib.contextmanager
def _left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Give a module its attributes back as they were, and its tensors with the same numbers: what
    it kept of the trial's numbers must not become a constant of the graph."""
    parts = [(part, dict(vars(part)), dict(part._parameters), dict(part._buffers)) for part in module.modules()]
    # A library that puts hooks in at the first call notes in an attribute that it did: both go.
    hooks = [
        (value, value.copy())
        for part in module.modules()
        for name, value in vars(part).items()
        if name.endswith(("_hooks", "_hooks_with_kwargs")) and isinstance(value, dict)
    ]
    named = (*module.parameters(), *module.buffers())
    tensors = [(tensor, tensor.detach().clone(), tensor.grad) for tensor in named]
    try:
        yield
    finally:
        for part, attributes, parameters, buffers in parts:
            vars(part).clear()
            vars(part).update(attributes)
            part._parameters.update(parameters)
            part._buffers.update(buffers)
        for value, before in hooks:
            value.clear()
            value.update(before)
        with torch.no_grad():
            for tensor, values, gradient in tensors:
                if tensor.grad_fn is not None:  # a buffer that a step changed; a view of one may not be detached
                    tensor.detach_()
                tensor.copy_(values)
                tensor.grad = gradient


@contextlib.contextmanager
def _watched(module: nn.Module, causes: dict[str, Location | None]) -> Iterator[None]:
    """Note what no graph can say while a module runs: gradients of its own, and hooks on them."""
    for name, parameter in module.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            causes[f"a hook changes the gradient of {name!r}"] = None
    for name, part in module.named_modules():
        if part._backward_hooks or part._backward_pre_hooks:
            causes[f"a hook changes gradients of {name or type(part).__name__!r}"] = None
    apply, register = torch.autograd.Function.__dict__["apply"], Tensor.register_hook

    def noted_apply(kind: type, *values: Any, **options: Any) -> Any:
        causes.setdefault(f"{kind.__name__} has a gradient of its own", calling_location())
        return apply.__get__(None, kind)(*values, **options)

    def noted_register(tensor: Tensor, hook: Callable[..., Any]) -> Any:
        causes.setdefault("a hook changes the gradient of a value", calling_location())
        return register(tensor, hook)  # type: ignore[no-untyped-call]

    torch.autograd.Function.apply = classmethod(noted_apply)  # type: ignore[method-assign, assignment]
    Tensor.register_hook = noted_register  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.autograd.Function.apply = apply  # type: ignore[method-assign]
        Tensor.register_hook = register  # type: ignore[method-assign]


def _foreign_draws(module: nn.Module) -> list[object]:
    """States of the generators that torch's seed does not set."""
    kept = [value for part in module.modules() for value in vars(part).values()]
    return [
        hash(random.getstate()),
        *(part.tobytes() if isinstance(part, np.ndarray) else part for part in np.random.get_state(legacy=True)),
        *(bytes(each.get_state().numpy()) for each in kept if isinstance(each, torch.Generator)),
        *(repr(each.bit_generator.state) for each in kept if isinstance(each, np.random.Generator)),
        *(hash(each.getstate()) for each in kept if isinstance(each, random.Random)),
    ]


def _plain_values(module: nn.Module) -> dict[str, str]:
    """Numbers and texts that a module keeps outside its tensors, with the lengths of its lists."""
    values = dict[str, str]()
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            if key == "training" or len(values) >= MOST_KEPT:
                continue
            whole = f"{name}.{key}".lstrip(".")
            if isinstance(value, bool | int | float | str | None):
                values[whole] = repr(value)
            elif isinstance(value, list | tuple | set | dict | deque) and not key.startswith("_"):
                items = list(value.values() if isinstance(value, dict) else value)
                plain = [item for item in items[:MOST_KEPT] if isinstance(item, bool | int | float | str | None)]
                values[whole] = f"{len(items)} {plain!r}"
    return values
