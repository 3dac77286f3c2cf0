"""Fidelity: whether a graph computes what the module does, tried and not believed.

A trace sees one call. Gradients of a module's own (`autograd.Function`, hooks), draws of `random`
or NumPy, counters in lists and globals leave no trace in it, and something else would be trained
under a certificate. So the module runs some steps before it is traced, and its graph runs the same
ones afterwards, from equal weights, inputs and seeds: outputs, gradients and buffers are equal bit
for bit, or the module is refused.

Ordinary numbers do not reach what a module does about others: a gradient that is clipped at 10, a
branch on NaN that a trace was kept from. So both are run on odd ones, too: a single record, zeros,
large and negative numbers, infinite ones and NaN, the last row of a table. What a module refuses
itself there is left out.

What these steps do not reach is not seen: a branch that is taken after a thousand calls. So a count
that a module keeps outside its buffers, and that goes on from call to call, is refused as such; and
so is a hook that changes a gradient, though it changed none here.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, NoReturn, cast

import numpy as np
import torch
from blake3 import blake3
from torch import Tensor, nn

from fitchain.pod.compute.environment.classes import NATIVE
from fitchain.pod.compute.model.lowering import at
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.torch_output import Location, calling_location, is_foreign
from fitchain.pod.compute.operators.arguments import DTYPES
from fitchain.pod.values.errors import FitchainError, InputRefused
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.state import TensorBytes

STEPS = 3
"""Of training, before one evaluation: a value that is kept is read in the next."""
RATE = 1e-3
"""By which a step moves parameters against their gradients, so that the next one sees others."""
MOST_KEPT = 10_000
"""So many values outside tensors are looked at from call to call."""
DEEPEST_KEPT = 4
"""Containers and objects within one another in which they are looked for."""
MOST_TABLES = 4
"""Sizes of tables that are tried as bounds of whole numbers, the largest first."""


Call = Mapping[str, bytes | None]
"""What one call did: digests of tensors, by what they are of; None for a gradient where the output
does not depend on a parameter."""


@dataclass(frozen=True)
class Odd:
    """A call on numbers, or of a size, that the first steps do not have.

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


@dataclass
class Witness:
    """What a module did, step by step.

    Args:
        batch: the size of the first batch.
        rows: whole numbers of its inputs are below it; where it is 1 all numbers lie between 0 and
            1, since a module may look up rows of a table by any.
        runs: its calls.
        bounds: whole numbers of each input are below it in odd calls.
        odd: what it did in those of `ODD`; None where it raised.
        written: tensors that it holds and its calls change; what training moves is not among them.
        causes: what it did that no graph can say, with the line where that is known.
        changing: those of the causes that are refused whatever came of them.
    """

    batch: int
    rows: int
    runs: list[Call] = field(default_factory=list)
    bounds: tuple[int, ...] = ()
    odd: list[Call | None] = field(default_factory=list)
    written: list[Tensor] = field(default_factory=list)
    causes: dict[str, Location | None] = field(default_factory=dict)
    changing: list[str] = field(default_factory=list)


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
    with _left_as_it_was(module), _watched(module, witness), _as_in_a_job():
        for step, (size, training) in enumerate(_calls(witness.batch)):
            module.train(training)
            examples, drawn = _examples(inputs, size, witness.rows, step), _foreign_draws(module)
            torch.manual_seed(step)
            with contextlib.nullcontext() if training else torch.no_grad(), _noting_written(module, witness):
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
        witness.bounds = _bounds(module, inputs, witness)
        witness.odd = [_odd_call(module, inputs, moved, witness, odd) for odd in ODD]
    for (part, name), tensor in constants.items():
        (part._buffers if name in part._buffers else vars(part))[name] = tensor
    for name, value in kept[1].items():
        # A size that is kept changes, too, and is the first one again.
        if len({kept[0].get(name, value), value, kept[2].get(name, value)}) == STEPS:
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
            where = f"in the training step {step + 1}" if training else "in evaluation"
            _require_equal(run, replayed, where, witness)
        for odd, odd_run in zip(ODD, witness.odd, strict=True):
            if odd_run is not None:
                _require_equal(odd_run, _odd_replay(program, witness, odd), f"with {odd.name}", witness)
    if witness.changing:
        cause = witness.changing[0]
        raise InputRefused(at(witness.causes[cause], f"{cause}, which no graph can say"), HINT)


def _require_equal(run: Call, replayed: Call, where: str, witness: Witness) -> None:
    for name, digest in run.items():
        if name in replayed and replayed[name] != digest:
            _refuse(name, where, witness)


def _refuse(name: str, where: str, witness: Witness) -> NoReturn:
    """Name a hook on what differs before any other hook, and hooks before other causes."""
    named = sorted([*witness.changing, *witness.causes], key=lambda cause: not cause.endswith(name))
    cause = named[0] if named else ""
    because = f": {cause}, which no graph can say" if cause else ""
    raise InputRefused(
        at(witness.causes.get(cause), f"the graph computes {name} {where} otherwise than the module{because}"),
        LAYOUT_HINT if NOT_BY_ROWS in cause else HINT,
    )


NOT_BY_ROWS = "is not laid out row by row"
LAYOUT_HINT = "lay it out anew before: tensor.data = tensor.data.contiguous()"
HINT = (
    "compute it with operators whose gradients torch knows, whatever the values and the size of a batch are, and keep"
    " nothing outside parameters and buffers"
)


def _calls(batch: int) -> list[tuple[int, bool]]:
    """Sizes of the batches, and whether a call trains."""
    other = batch - 1 if batch > 2 else batch + 1  # a batch norm wants two records
    return [((batch, other)[step % 2], True) for step in range(STEPS)] + [(batch, False)]


def _odd_call(
    module: nn.Module, inputs: Sequence[Input], moved: Mapping[str, Tensor], witness: Witness, odd: Odd
) -> Call | None:
    """What a module does in an odd call, after which it is as it was; None where it raises."""
    with _left_as_it_was(module), contextlib.suppress(Exception):  # its own code refuses these numbers
        module.train(odd.training)
        torch.manual_seed(0)
        with torch.set_grad_enabled(odd.training), _noting_written(module, witness):
            output = module(*_odd_examples(inputs, witness, odd))
        return _stepped(output, moved, dict(module.named_buffers()), 0, odd.training, odd.scale)
    return None


def _odd_replay(program: Program, witness: Witness, odd: Odd) -> Call:
    """What a program does in it; nothing where it says that it cannot, which is no other result."""
    with _kept_numbers([*program.trainable.values(), *program.buffers.values()]):
        try:
            torch.manual_seed(0)
            output = program(*_odd_examples(program.graph.inputs, witness, odd), training=odd.training)
            return _stepped(output, program.trainable, program.buffers, 0, odd.training, odd.scale)
        except (FitchainError, RuntimeError):
            return {}


def _odd_examples(inputs: Sequence[Input], witness: Witness, odd: Odd) -> tuple[Tensor, ...]:
    ordinary = _examples(inputs, odd.size or witness.batch, witness.rows, 0, witness.bounds)
    return tuple(odd.numbers(x) if x.is_floating_point() or odd.name == "zeros" else x for x in ordinary)


def _bounds(module: nn.Module, inputs: Sequence[Input], witness: Witness) -> tuple[int, ...]:
    """The largest bound of each input's whole numbers that the module takes: the size of a table
    of its own, say."""
    tables = {len(table) for table in (*module.parameters(), *module.buffers()) if table.dim() > 1}
    bounds = [witness.rows] * len(inputs)
    for index, spec in enumerate(inputs):
        if DTYPES[spec.dtype].is_floating_point:
            continue
        for bound in sorted((each for each in tables if each > witness.rows), reverse=True)[:MOST_TABLES]:
            tried = [*bounds[:index], bound, *bounds[index + 1 :]]
            with _left_as_it_was(module), torch.no_grad(), contextlib.suppress(Exception):  # as in `_odd_call`
                module.eval()(*_examples(inputs, witness.batch, witness.rows, 0, tried))
                bounds = tried
                break
    return tuple(bounds)


@contextlib.contextmanager
def _noting_written(module: nn.Module, witness: Witness) -> Iterator[None]:
    """Note which of the tensors that a module holds are written, or exchanged, during a call."""
    before = [(key, tensor, tensor._version) for key, tensor in _held_tensors(module).items()]
    yield
    after = _held_tensors(module)
    for key, tensor, version in before:
        if after.get(key) is not tensor or tensor._version != version:
            witness.written.append(tensor)


def _held_tensors(module: nn.Module) -> dict[tuple[nn.Module, str], Tensor]:
    """Tensors of a module that training does not move, by the module that holds them and their
    name."""
    return {
        (part, name): value
        for part in module.modules()
        for name, value in (*vars(part).items(), *part._buffers.items(), *part._parameters.items())
        if isinstance(value, Tensor) and not value.requires_grad and not value.is_inference()
    }


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


def _examples(
    inputs: Sequence[Input], size: int, rows: int, step: int, bounds: Sequence[int] = ()
) -> tuple[Tensor, ...]:
    """Random inputs of a step, `[size, *shape]` each; whole numbers are below `rows`, or up to each
    one's bound, which is reached."""
    numbers = torch.Generator().manual_seed(step)
    draw = torch.randn if rows > 1 else torch.rand
    return tuple(
        draw((size, *spec.shape), generator=numbers, dtype=DTYPES[spec.dtype])
        if DTYPES[spec.dtype].is_floating_point
        else _whole(bounds[index] if bounds else rows, (size, *spec.shape), numbers, bool(bounds)).to(
            DTYPES[spec.dtype]
        )
        for index, spec in enumerate(inputs)
    )


def _whole(bound: int, shape: Sequence[int], numbers: torch.Generator, reaches: bool) -> Tensor:
    drawn = torch.randint(0, bound, shape, generator=numbers)
    if reaches and drawn.numel():
        drawn.view(-1)[-1] = bound - 1
    return drawn


def _gradients(output: Tensor, moved: Mapping[str, Tensor], step: int, scale: float) -> dict[str, Tensor | None]:
    """What a random direction of the output asks of each parameter."""
    if not output.requires_grad or not moved:
        return dict.fromkeys(moved)
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(step), dtype=torch.float64) * scale
    for tensor in moved.values():
        tensor.grad = None
    # Not autograd.grad, which does not run the hooks on accumulated gradients.
    output.backward(direction.to(output.dtype))  # type: ignore[no-untyped-call]
    return {name: tensor.grad for name, tensor in moved.items()}


def _stepped(
    output: Tensor,
    moved: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    step: int,
    training: bool,
    scale: float = 1,
) -> Call:
    """What a call did; where it trains its parameters are moved, too."""
    gradients = _gradients(output, moved, step, scale) if training else {}
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
    if plain.is_floating_point():  # what NaN's other bits are no operator says
        plain = plain.masked_fill(plain.isnan(), torch.nan)
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
    with _kept_numbers([*module.parameters(), *module.buffers()]):
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


@contextlib.contextmanager
def _kept_numbers(named: Sequence[Tensor]) -> Iterator[None]:
    """Give tensors their numbers and gradients back."""
    tensors = [(tensor, tensor.detach().clone(), tensor.grad) for tensor in named]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, values, gradient in tensors:
                if tensor.grad_fn is not None:  # a buffer that a step changed; a view of one may not be detached
                    tensor.detach_()
                tensor.copy_(values)
                tensor.grad = gradient


@contextlib.contextmanager
def _watched(module: nn.Module, witness: Witness) -> Iterator[None]:
    """Note what no graph can say while a module runs: gradients of its own, and hooks that change
    them."""
    causes, changing = witness.causes, witness.changing
    apply, register = torch.autograd.Function.__dict__["apply"], Tensor.register_hook

    def watching(hook: Callable[..., Any], cause: str, location: Location | None = None) -> Callable[..., Any]:
        def watched(*values: Any) -> Any:
            before = [(tensor, tensor._version) for tensor in _tensors(values)]
            returned = hook(*values)
            is_same = returned is None or any(returned is each for each in values)
            if not is_same or any(tensor._version != version for tensor, version in before):
                causes.setdefault(cause, location)
                changing.append(cause)
            return returned

        return watched

    def noted_apply(kind: type, *values: Any, **options: Any) -> Any:
        causes.setdefault(f"{kind.__name__} has a gradient of its own", calling_location())
        return apply.__get__(None, kind)(*values, **options)

    def noted_register(tensor: Tensor, hook: Callable[..., Any]) -> Any:
        location = calling_location()
        noted = watching(hook, "a hook changes the gradient of a value", location) if location else hook
        return register(tensor, noted)  # type: ignore[no-untyped-call]

    hooked = [(hooks, dict(hooks), cause) for hooks, cause in _hooks(module)]
    for hooks, before, cause in hooked:
        hooks.update({key: watching(hook, cause) for key, hook in before.items()})
    torch.autograd.Function.apply = classmethod(noted_apply)  # type: ignore[method-assign, assignment]
    Tensor.register_hook = noted_register  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.autograd.Function.apply = apply  # type: ignore[method-assign]
        Tensor.register_hook = register  # type: ignore[method-assign]
        for hooks, before, _ in hooked:
            hooks.update(before)


def _hooks(module: nn.Module) -> Iterator[tuple[dict[Any, Any], str]]:
    """Hooks on gradients that are there before a module is called, and what is said of them."""
    for name, parameter in module.named_parameters():
        for kind in ("_backward_hooks", "_post_accumulate_grad_hooks"):
            yield getattr(parameter, kind, None) or {}, f"a hook changes the gradient of {name!r}"
    for name, part in module.named_modules():
        for each in (part._backward_hooks, part._backward_pre_hooks):
            yield each, f"a hook changes gradients of {name or type(part).__name__!r}"
    everywhere = vars(torch.nn.modules.module)
    for kind in ("_global_backward_hooks", "_global_backward_pre_hooks"):
        yield everywhere[kind], "a hook changes gradients of all modules"


def _tensors(values: Any) -> Iterator[Tensor]:
    """Tensors that a hook is given, and their gradients."""
    for value in values if isinstance(values, tuple | list) else (values,):
        if isinstance(value, Tensor):
            yield value
            if value.is_leaf and value.grad is not None:
                yield value.grad
        elif isinstance(value, tuple | list):
            yield from _tensors(value)


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
    """Numbers and texts that a module keeps outside its tensors, with the lengths of its lists: in
    attributes, its own and its classes', and in what they hold; and in variables beside its
    classes."""
    values = dict[str, str]()
    seen = set[int]()
    for name, part in module.named_modules():
        _note(values, seen, {key: kept for key, kept in vars(part).items() if key not in _OF_MODULES}, name, 0)
        for kind in type(part).__mro__:
            if _is_own(kind):
                _note(values, seen, dict(vars(kind)), f"{kind.__name__}", DEEPEST_KEPT - 1)
                beside = vars(sys.modules[kind.__module__])
                _note(values, seen, {each: beside[each] for each in _read_beside(kind) if each in beside}, "", 1)
    return values


_OF_MODULES = frozenset(vars(nn.Module()))
_PLAIN = bool | int | float | str | np.generic | None


def _is_own(kind: type) -> bool:
    """Whether a class is neither torch's nor the standard library's."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return kind.__module__ in sys.modules and kind is not object and (file is None or is_foreign(file))


def _read_beside(kind: type) -> set[str]:
    """Names that a class's functions read beside it."""
    return {
        name
        for function in vars(kind).values()
        if isinstance(code := getattr(function, "__code__", None), CodeType)
        for name in code.co_names
    }


def _note(values: dict[str, str], seen: set[int], held: Mapping[Any, Any], name: str, depth: int) -> None:
    """Note what something holds, and what that holds; nothing twice."""
    for key, value in held.items():
        whole = f"{name}.{key}".lstrip(".")
        if len(values) >= MOST_KEPT or str(key).startswith("__"):
            continue
        if isinstance(value, _PLAIN | itertools.count):
            values[whole] = repr(value)
        elif isinstance(value, np.ndarray) and value.size < MOST_KEPT:
            values[whole] = repr(value.tobytes())
        elif id(value) not in seen and not isinstance(value, Tensor | nn.Module | type | ModuleType):
            seen.add(id(value))
            items = _held_by(value)
            if isinstance(value, list | tuple | set | dict | deque):
                plain = [item for item in itertools.islice(items.values(), MOST_KEPT) if isinstance(item, _PLAIN)]
                values[whole] = f"{len(items)} {plain!r}"
            if depth < DEEPEST_KEPT:
                inner = {
                    each: item for each, item in items.items() if not isinstance(item, _PLAIN) or not _is_box(value)
                }
                _note(values, seen, inner, whole, depth + 1)


def _is_box(value: object) -> bool:
    return isinstance(value, list | tuple | set | dict | deque)


def _held_by(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, list | tuple | set | deque):
        return dict(enumerate(value))
    if isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        return {name: cell.cell_contents for name, cell in cells if cell != CellType()}
    held: Any = getattr(value, "__dict__", None)
    return held if isinstance(held, dict) else {}
