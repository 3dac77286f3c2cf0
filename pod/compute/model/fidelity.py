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

What acts seldom shows in no number that is tried. So it is refused by what it is: a count that a
module keeps outside its buffers (`kept_state`), a draw that no seed decides (`sources`), a value
that Python learns in a run and not in the trace (`looks`), a hook that changes a gradient, or would
if it were larger: the operators of both are compared, too (`dataflow`).

What remains unseen: a size of the batch, an address or a name of the process by which a module
branches where it is not traced; and one that looks for the trial itself (torch's stacks of modes, a
`forward` that was exchanged), reads values past its modes, or counts where no walk comes (a file,
the interpreter's own objects, torch's seed).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from fitchain.pod.compute.environment.classes import NATIVE
from fitchain.pod.compute.model.dataflow import Dataflow, Flow, content
from fitchain.pod.compute.model.decisions import is_own_error
from fitchain.pod.compute.model.kept_state import GENERATOR, kept_values
from fitchain.pod.compute.model.looks import Look, Looks
from fitchain.pod.compute.model.lowering import at
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.sources import Sources
from fitchain.pod.compute.model.torch_output import Location, calling_location, location_of
from fitchain.pod.compute.operators.arguments import DTYPES
from fitchain.pod.values.errors import FitchainError, InputRefused
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.state import TensorBytes

STEPS = 3
"""Of training, before one evaluation: a value that is kept is read in the next."""
RATE = 1e-3
"""By which a step moves parameters against their gradients, so that the next one sees others."""
OUTPUT = "the output"
REPEATED = 3
"""Calls of a kind that are one and the same: the first fills caches, the third keeps what the
second kept."""
MOST_QUESTIONS = 8
"""About values, that only a run asks: each is answered the other way, too."""
MOST_TABLES = 4
"""Sizes of tables that are tried as bounds of whole numbers, the largest first."""


@dataclass(frozen=True)
class Call:
    """What one call did.

    Args:
        values: digests of the numbers of tensors, by what they are of; None for a gradient where
            the output does not depend on a parameter.
        flow: how these were computed.
        looks: where the module learnt a value, and whether that was a question.
    """

    values: Mapping[str, bytes | None]
    flow: Flow
    looks: Mapping[Look, bool]


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
        written: names of the buffers that steps write.
        moving: tensors that it holds and its calls change; what training moves is not among them.
        causes: what it did that no graph can say, with the line where that is known.
        deciding: where it learns a value that decides something.
        changing: those of the causes that are refused whatever came of them.
    """

    batch: int
    rows: int
    runs: list[Call] = field(default_factory=list)
    written: frozenset[str] = frozenset()
    bounds: tuple[int, ...] = ()
    odd: list[Call | None] = field(default_factory=list)
    moving: list[Tensor] = field(default_factory=list)
    causes: dict[str, Location | None] = field(default_factory=dict)
    deciding: set[Look] = field(default_factory=set)
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
        InputRefused: it draws numbers that no seed of torch decides, keeps a count, or changes what
            is trained.
        Exception: whatever its own code raises.
    """
    try:
        return _observe(module, inputs, Witness(batch, 2))
    except IndexError:  # an embedding of one row, or one whose rows are looked up by amounts
        return _observe(module, inputs, Witness(batch, 1))


def _observe(module: nn.Module, inputs: Sequence[Input], witness: Witness) -> Witness | None:
    buffers = tuple(module.buffers())
    of_zeros, witness.written = _kept_of_zeros(module, inputs, witness.batch)
    with _left_as_it_was(module), _as_in_a_job():
        _require_repeatable(module, inputs, witness)
    held = _Held.by_module(module, witness.written)
    with _left_as_it_was(module), _watched(module, witness), _as_in_a_job():
        for step, (size, training) in enumerate(_calls(witness.batch)):
            module.train(training)
            torch.manual_seed(step)
            with _noting_moving(module, witness):
                call = _call(module, held, _examples(inputs, size, witness.rows, step), step, training)
            if call is None:
                return None
            witness.runs.append(call)
        constants = {
            (part, name): tensor.detach()
            for (part, name), tensor in _kept_tensors(module, buffers).items()
            if of_zeros.get((part, name)) == content(tensor)
        }
        witness.bounds = _bounds(module, inputs, witness)
        witness.odd = [_odd_call(module, inputs, held, witness, odd) for odd in ODD]
        witness.deciding = _deciding(module, inputs, held, witness)
    for (part, name), tensor in constants.items():
        (part._buffers if name in part._buffers else vars(part))[name] = tensor
    return witness


def _require_repeatable(module: nn.Module, inputs: Sequence[Input], witness: Witness) -> None:
    """Refuse a module that is not after a call, repeated, what it was before.

    Raises:
        InputRefused: it keeps a count, draws what no seed decides, or changes which parameters are
            trained.
    """
    kind = type(module).__name__
    for training in (True, False):
        sources, kept = Sources(), list[Mapping[str, str]]()
        for repetition in range(REPEATED):
            before = _trained(module)
            with _repeated(module), sources.watched() if not repetition else contextlib.nullcontext():
                module.train(training)
                torch.manual_seed(0)
                with torch.set_grad_enabled(training):
                    output = module(*_examples(inputs, witness.batch, witness.rows, 0))
                if training and isinstance(output, Tensor) and output.requires_grad:
                    output.sum().backward()  # type: ignore[no-untyped-call]
                if changed := {name for name, state in _trained(module).items() if before.get(name) != state}:
                    raise InputRefused(
                        f"forward of {kind} changes what is trained, or what it consists of: {min(changed)!r}",
                        "set requires_grad, make parameters and choose classes before the module is published",
                    )
            kept.append(kept_values(module, sources.called))
        for source, location in sources.taken.items():
            raise InputRefused(
                at(location, f"forward takes {source} into account, and a graph would repeat what was traced"),
                "draw with torch (torch.rand, nn.Dropout): its generator is seeded before each step",
            )
        _require_settled(kind, *kept[1:])


def _require_settled(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    changed = [name for name, value in after.items() if before.get(name) != value]
    changed += [name for name in before if name not in after]
    if any(after.get(name, "").startswith(GENERATOR) for name in changed):
        raise InputRefused(
            "forward draws numbers from Python's random, from NumPy or from a generator of its own, and a"
            " graph would repeat the one draw that was traced",
            "draw with torch (torch.rand, nn.Dropout): its generator is seeded before each step",
        )
    if changed:
        raise InputRefused(
            f"forward changes the attribute {min(changed, key=len)!r} of {kind} from call to call:"
            " what lives longer than a step is a buffer",
            "keep it with register_buffer and change it in place, or do not keep it",
        )


def _trained(module: nn.Module) -> dict[str, tuple[int, bool]]:
    """Which parameters there are, and which of them training moves; and of which classes it all is."""
    parameters = {name: (id(tensor), tensor.requires_grad) for name, tensor in module.named_parameters()}
    parts = {f"{name}.__class__".lstrip("."): (id(type(part)), False) for name, part in module.named_modules()}
    return {**parameters, **parts}


@contextlib.contextmanager
def _repeated(module: nn.Module) -> Iterator[None]:
    """Give a module its parameters and buffers back as they were, and keep all else."""
    parts = [(part, dict(part._parameters), dict(part._buffers)) for part in module.modules()]
    with _kept_numbers([*module.parameters(), *module.buffers()]):
        for parameter in module.parameters():
            parameter.grad = None
        try:
            yield
        finally:
            for part, parameters, buffers in parts:
                part._parameters.update(parameters)
                part._buffers.update({name: buffers.get(name, kept) for name, kept in part._buffers.items()})


def require_fidelity(
    graph: Graph, tensors: Mapping[str, TensorBytes], witness: Witness, answered: Set[Look] = frozenset()
) -> None:
    """Run a graph through the steps that its module went through.

    Args:
        graph, tensors: as they were written down.
        witness: what the module did.
        answered: where the trace learnt a value, too, and decided nothing by it.

    Raises:
        InputRefused: it does something else; the message names what differs first and, where that
            is known, what no graph can say.
    """
    program = Program(graph, tensors, NATIVE)
    held = _Held.by_program(program, witness.written)
    compared = list[tuple[str, Call, Call]]()
    with _as_in_a_job():
        for step, ((size, training), run) in enumerate(zip(_calls(witness.batch), witness.runs, strict=True)):
            torch.manual_seed(step)
            examples = _examples(graph.inputs, size, witness.rows, step)
            replayed = _call(partial(program, training=training), held, examples, step, training)
            where = f"in the training step {step + 1}" if training else "in evaluation"
            assert replayed is not None  # a program gives a tensor
            compared.append((where, run, replayed))
            _require_equal(*compared[-1], witness)
        for odd, odd_run in zip(ODD, witness.odd, strict=True):
            if odd_run is not None and (odd_replay := _odd_replay(program, held, witness, odd)) is not None:
                compared.append((f"with {odd.name}", odd_run, odd_replay))
                _require_equal(*compared[-1], witness)
    if witness.changing:
        cause = witness.changing[0]
        raise InputRefused(at(witness.causes[cause], f"{cause}, which no graph can say"), HINT)
    for _, run, replayed in compared:
        _require_one_flow(run.flow, replayed.flow, witness)
    for line, function in sorted(witness.deciding - answered, key=str):
        raise InputRefused(
            at(location_of(line), f"forward learns a tensor's values here ({function}), and its trace does not"),
            "compute both cases and choose with torch.where; do not ask whether the module is being traced",
        )


def _require_equal(where: str, run: Call, replayed: Call, witness: Witness) -> None:
    for name, digest in run.values.items():
        if name in replayed.values and replayed.values[name] != digest:
            _refuse(f"the graph computes {name} {where} otherwise than the module", name, witness)


def _require_one_flow(run: Flow, replayed: Flow, witness: Witness) -> None:
    """What is equal may have been computed by other operators, and be other for other numbers.

    A library may write out in a trace what it leaves out in a run, a mask that masks nothing, or
    take another kernel for the same: where already the output is computed by others, as many of
    them change some numbers only.
    """
    is_another = run.digests[OUTPUT] != replayed.digests[OUTPUT]
    for name, digest in run.digests.items():
        if replayed.digests.get(name, digest) == digest:
            continue
        if is_another and run.choices(name) == replayed.choices(name):
            continue
        step = run.difference(replayed, name)
        by = f" by {step.operator}, which the graph does not run" if step else " by other operators than the graph"
        sentence = f"the module computes {name}{by}: they part where numbers are others than those tried"
        _refuse(sentence, name, witness, location_of(step.line) if step else None)


def _refuse(sentence: str, name: str, witness: Witness, location: Location | None = None) -> NoReturn:
    """Name a hook on what differs before any other hook, and hooks before other causes."""
    named = sorted([*witness.changing, *witness.causes], key=lambda cause: not cause.endswith(name))
    cause = named[0] if named else ""
    because = f": {cause}, which no graph can say" if cause else ""
    hint = LAYOUT_HINT if NOT_BY_ROWS in cause else HINT
    raise InputRefused(at(location or witness.causes.get(cause), f"{sentence}{because}"), hint)


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


def _odd_call(module: nn.Module, inputs: Sequence[Input], held: _Held, witness: Witness, odd: Odd) -> Call | None:
    """What a module does in an odd call, after which it is as it was; None where it raises."""
    with _left_as_it_was(module), contextlib.suppress(Exception):  # its own code refuses these numbers
        module.train(odd.training)
        torch.manual_seed(0)
        with _noting_moving(module, witness):
            return _call(module, held, _odd_examples(inputs, witness, odd), 0, odd.training, odd.scale)
    return None


def _odd_replay(program: Program, held: _Held, witness: Witness, odd: Odd) -> Call | None:
    """What a program does in it; None where it says that it cannot, which is no other result."""
    with _kept_numbers([*program.trainable.values(), *program.buffers.values()]):
        try:
            torch.manual_seed(0)
            examples = _odd_examples(program.graph.inputs, witness, odd)
            return _call(partial(program, training=odd.training), held, examples, 0, odd.training, odd.scale)
        except (FitchainError, RuntimeError):
            return None


def _odd_examples(inputs: Sequence[Input], witness: Witness, odd: Odd) -> tuple[Tensor, ...]:
    ordinary = _examples(inputs, odd.size or witness.batch, witness.rows, 0, witness.bounds)
    return tuple(odd.numbers(x) if x.is_floating_point() or odd.name == "zeros" else x for x in ordinary)


def _deciding(module: nn.Module, inputs: Sequence[Input], held: _Held, witness: Witness) -> set[Look]:
    """Looks that decide something: all but questions after which the module, whatever the answer,
    computes the same or raises an error of its own."""
    looks = dict[Look, bool]()
    for call in (*witness.runs, *witness.odd):
        for look, is_question in call.looks.items() if call else ():
            looks[look] = looks.get(look, True) and is_question
    return {
        look
        for number, (look, is_question) in enumerate(looks.items())
        if not is_question
        or number >= MOST_QUESTIONS
        or any(_decides(module, inputs, held, witness, look, training) for training in (True, False))
    }


def _decides(
    module: nn.Module, inputs: Sequence[Input], held: _Held, witness: Witness, look: Look, training: bool
) -> bool:
    """Whether a module computes something else where a question is answered the other way."""
    digests = list[Mapping[str, bytes | None]]()
    for turned in (None, look):
        with _left_as_it_was(module):
            module.train(training)
            torch.manual_seed(0)
            try:
                call = _call(module, held, _examples(inputs, witness.batch, witness.rows, 0), 0, training, 1, turned)
            except Exception as error:  # noqa: BLE001 - the module's code is the user's, and may raise anything
                # What an object lacks it lacks whatever the numbers are; another error may come of
                # an answer that they contradict.
                lacks = isinstance(error, AttributeError) and error.obj is not None
                return not (lacks or is_own_error(error.__traceback__))
        digests.append(call.flow.digests if call else {})
    return digests[0] != digests[1]


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
def _noting_moving(module: nn.Module, witness: Witness) -> Iterator[None]:
    """Note which of the tensors that a module holds are written, or exchanged, during a call."""
    before = [(key, tensor, tensor._version, tensor.data_ptr()) for key, tensor in _held_tensors(module).items()]
    yield
    after = _held_tensors(module)
    for key, tensor, *state in before:
        if after.get(key) is not tensor or [tensor._version, tensor.data_ptr()] != state:
            witness.moving.append(tensor)


def _held_tensors(module: nn.Module) -> dict[tuple[nn.Module, str], Tensor]:
    """Tensors of a module that training does not move, by the module that holds them and their
    name."""
    return {
        (part, name): value
        for part in module.modules()
        for name, value in (*vars(part).items(), *part._buffers.items(), *part._parameters.items())
        if isinstance(value, Tensor) and not value.requires_grad and not value.is_inference()
    }


def _kept_of_zeros(
    module: nn.Module, inputs: Sequence[Input], batch: int
) -> tuple[dict[tuple[nn.Module, str], bytes], frozenset[str]]:
    """Digests of the tensors that a module keeps after a call on zeros: those that it keeps after
    others, too, are constants, and may become the graph's."""
    zeros = tuple(torch.zeros((batch, *spec.shape), dtype=DTYPES[spec.dtype]) for spec in inputs)
    with _left_as_it_was(module), _as_in_a_job(), torch.no_grad():
        module.train(True)
        buffers = tuple(module.buffers())
        before = {name: (id(tensor), tensor._version) for name, tensor in module.named_buffers()}
        module(*zeros)
        after = {name: (id(tensor), tensor._version) for name, tensor in module.named_buffers()}
        written = frozenset(name for name, state in after.items() if before.get(name) != state)
        return {key: content(tensor) for key, tensor in _kept_tensors(module, buffers).items()}, written


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
    # As output.backward does, which is a function of torch in which `Looks` sees no other;
    # autograd.grad would leave out the hooks on accumulated gradients.
    engine: Any = torch.autograd.Variable._execution_engine
    engine.run_backward(
        (output,), (direction.to(output.dtype),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )
    return {name: tensor.grad for name, tensor in moved.items()}


def _call(
    compute: Callable[..., Any],
    held: _Held,
    examples: Sequence[Tensor],
    step: int,
    training: bool,
    scale: float = 1,
    turned: Look | None = None,
) -> Call | None:
    """What a call does; where it trains its parameters are moved, too. None where it gives no
    tensor.

    Raises:
        InputRefused: it reads or writes gradients before there are any.
    """
    depends = {f"parameter {name}": tensor for name, tensor in held.parameters().items()}
    depends |= {f"input {index}": tensor for index, tensor in enumerate(examples)}
    depends |= {f"buffer {name}": tensor for name, tensor in held.buffers().items() if name in held.written}
    moved = held.moved
    with Dataflow(depends) as flow, Looks(flow, turned) as looks, torch.set_grad_enabled(training):
        output = compute(*examples)
        if looks.at_gradients:  # hooks may, later on: what they change is in the flow
            raise InputRefused(
                at(
                    location_of(looks.at_gradients[0]), "forward reads or writes a gradient, which is the step's before"
                ),
                "leave .grad to the optimizer",
            )
        if not isinstance(output, Tensor):
            return None
        gradients = _gradients(output, moved, step, scale) if training else {}
    named: dict[str, Tensor | None] = {OUTPUT: output}
    named |= {f"the gradient of {name!r}": tensor for name, tensor in gradients.items()}
    named |= {f"the buffer {name!r}": tensor for name, tensor in held.buffers().items()}
    named |= {f"the parameter {name!r}": tensor for name, tensor in held.parameters().items()}
    call = Call(
        {name: None if tensor is None else content(tensor) for name, tensor in named.items()},
        Flow(
            {name: None if tensor is None else flow.digest(tensor) for name, tensor in named.items()},
            flow.steps,
            flow.origins,
        ),
        looks.taken,
    )
    with torch.no_grad():
        for name, tensor in moved.items():
            if (gradient := gradients.get(name)) is not None:
                tensor.sub_(gradient, alpha=RATE)
            tensor.grad = None
    return call


@dataclass(frozen=True)
class _Held:
    """Tensors that a call computes with.

    Args:
        moved: parameters that training moves.
        parameters, buffers: all of them, as they are then.
        written: names of the buffers that steps write.
    """

    moved: Mapping[str, Tensor]
    parameters: Callable[[], Mapping[str, Tensor]]
    buffers: Callable[[], Mapping[str, Tensor]]
    written: frozenset[str]

    @staticmethod
    def by_module(module: nn.Module, written: frozenset[str]) -> _Held:
        moved = {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad}
        return _Held(moved, lambda: dict(module.named_parameters()), lambda: dict(module.named_buffers()), written)

    @staticmethod
    def by_program(program: Program, written: frozenset[str]) -> _Held:
        return _Held(program.trainable, lambda: program.parameters, lambda: program.buffers, written)


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
    classes = [(part, type(part)) for part in module.modules()]
    trained = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
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
            for part, kind in classes:
                if type(part) is not kind:
                    part.__class__ = kind
            for parameter, is_trained in trained:
                parameter.requires_grad_(is_trained)


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
