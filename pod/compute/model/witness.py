"""Witness: what a module does where it is tried, before anything is traced.

What acts seldom shows in no number that is tried. So it is refused by what it is: a count that a
module keeps outside its buffers (`kept_state`), a draw that no seed decides (`sources`), a value
that Python learns in a run and not in the trace (`looks`), a hook that changes a gradient.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from fitchain.pod.compute.model.dataflow import content
from fitchain.pod.compute.model.decisions import is_own_error
from fitchain.pod.compute.model.kept_state import GENERATOR, kept_values
from fitchain.pod.compute.model.looks import Look
from fitchain.pod.compute.model.lowering import at
from fitchain.pod.compute.model.output import one_tensor
from fitchain.pod.compute.model.restored import as_in_a_job, left_as_it_was, repeated
from fitchain.pod.compute.model.sources import DRAWS, FILES, HINTS, OTHER_HINT, Sources
from fitchain.pod.compute.model.torch_output import Location, calling_location
from fitchain.pod.compute.model.trial import (
    Batch,
    Batches,
    Call,
    Subject,
    Values,
    in_mode,
    unwatched_call,
    watched_call,
)
from fitchain.pod.compute.operators.arguments import DTYPES
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input

REPEATED = 3
"""Calls of a kind that are one and the same: the first fills caches, the third keeps what the
second kept."""
MODES = (True, False)
"""To train, and to evaluate."""
MOST_QUESTIONS = 8
"""About values, that only a run asks: each is answered the other way, too."""
MOST_TABLES = 4
"""Sizes of tables that are tried as bounds of whole numbers, the largest first."""


@dataclass
class Witness:
    """What a module did, step by step.

    Args:
        batches: what it was given.
        runs: its calls.
        odd: what it did in odd ones; None where it raised.
        written: names of the buffers that steps write.
        moving: tensors that it holds and its calls change; what training moves is not among them.
        causes: what it did that no graph can say, with the line where that is known.
        deciding: where it learns a value that decides something.
        changing: those of the causes that are refused whatever came of them.
        unwatched: what it gave in the same calls, and then in the odd ones, with nothing of ours
            about it; None where it raised.
    """

    batches: Batches
    runs: list[Call] = field(default_factory=list)
    written: frozenset[str] = frozenset()
    odd: list[Call | None] = field(default_factory=list)
    moving: list[Tensor] = field(default_factory=list)
    causes: dict[str, Location | None] = field(default_factory=dict)
    deciding: set[Look] = field(default_factory=set)
    changing: list[str] = field(default_factory=list)
    unwatched: list[Values | None] = field(default_factory=list)


def observe(module: nn.Module, inputs: Sequence[Input], batch: int) -> Witness | None:
    """Run a module some steps; it is left as it was, but for constants that it makes at its first
    call (tables of positions, say): those are there now.

    Args:
        module: on the CPU.
        inputs: its arguments.
        batch: a batch size.

    Returns:
        What it did; None where it gives no tensor, which is for the trace to say.

    Raises:
        InputRefused: it draws numbers that no seed of torch decides, keeps a count, or changes what
            is trained.
        Exception: whatever its own code raises.
    """
    weights = sum(parameter.numel() for parameter in module.parameters())
    try:
        return _observe(module, Witness(Batches(tuple(inputs), batch, 2, weights=weights)))
    except IndexError:  # an embedding of one row, or one whose rows are looked up by amounts
        return _observe(module, Witness(Batches(tuple(inputs), batch, 1, weights=weights)))


def _observe(module: nn.Module, witness: Witness) -> Witness | None:
    batches = witness.batches
    own = (*module.parameters(), *module.buffers())
    of_zeros, witness.written = _kept_of_zeros(module, batches)
    with left_as_it_was(module), as_in_a_job():
        _require_repeatable(module, batches)
    subject = Subject.by_module(module, witness.written)
    with left_as_it_was(module), _watched(module, witness), as_in_a_job():
        for batch in batches.steps():
            with _noting_moving(module, witness):
                call = watched_call(subject, batch)
            if call is None:
                return None
            witness.runs.append(call)
        constants = {
            (part, name): tensor.detach()
            for (part, name), tensor in _kept_tensors(module, own).items()
            if of_zeros.get((part, name)) == content(tensor)
        }
        batches.bounds = _bounds(module, batches)
        witness.odd = [_odd_call(module, subject, witness, batch) for batch in batches.odd()]
        witness.deciding = _deciding(subject, witness)
    for (part, name), tensor in constants.items():
        (part._buffers if name in part._buffers else vars(part))[name] = tensor
    return witness


def fresh_copy(module: nn.Module) -> nn.Module | None:
    """A copy of a module that was never called, with nothing kept of a call; None where it cannot
    be copied."""
    with contextlib.suppress(Exception):  # a tensor that is computed of others, a lock, an open file
        return copy.deepcopy(module)
    return None


def observe_unwatched(module: nn.Module, fresh: nn.Module | None, output: str, witness: Witness) -> None:
    """Run a module once more, as whoever trains it does: what looks for the trial has nothing to
    find, and what it keeps of its first call it keeps of the first one that trains. It is left as
    it was.

    Args:
        module: as in `observe`, without `giving_one`.
        fresh: its copy from before, by `fresh_copy`.
        output: which tensor of what it returns is trained.
        witness: of `observe`; what the calls gave is added.

    Raises:
        Exception: whatever its own code raises.
    """
    choose = partial(one_tensor, name=output)
    with left_as_it_was(module), as_in_a_job():
        if fresh is not None:
            for parameter in module.parameters():
                parameter.grad = None
            witness.unwatched = unwatched_calls(Subject.by_module(fresh, witness.written, choose), witness.batches)
            if all(parameter.grad is None for parameter in module.parameters()):
                return
            # a function that it holds computes with the module itself, which its copy does not move
        witness.unwatched = unwatched_calls(Subject.by_module(module, witness.written, choose), witness.batches)


def unwatched_calls(subject: Subject, batches: Batches) -> list[Values | None]:
    """What all calls give with nothing of ours about them, the odd ones and those of more records
    last; None where one of these raises."""
    steps = [unwatched_call(subject, batch) for batch in batches.steps()]
    further = itertools.chain(batches.odd(), batches.larger())
    return [*steps, *(_unwatched_odd_call(subject, batch) for batch in further)]


def _unwatched_odd_call(subject: Subject, batch: Batch) -> Values | None:
    """What an odd call gives, after which all is as it was; None where it raises."""
    with subject.restored(), contextlib.suppress(Exception):  # as in `_odd_call`
        return unwatched_call(subject, batch)
    return None


def _require_repeatable(module: nn.Module, batches: Batches) -> None:
    """Refuse a module that is not after a call, repeated, what it was before.

    Raises:
        InputRefused: it keeps a count, draws what no seed decides, or changes which parameters are
            trained.
    """
    kind = type(module).__name__
    # What is read of a file once, and kept, is a constant: a file counts in the last call.
    firsts, lasts, kept = (
        {mode: Sources() for mode in MODES},
        {mode: Sources() for mode in MODES},
        {mode: list[Mapping[str, str]]() for mode in MODES},
    )
    for repetition in range(REPEATED):
        for training in MODES:  # by turns, as epochs do: what counts them changes, too
            before = _trained(module)
            sources = {0: firsts, REPEATED - 1: lasts}.get(repetition)
            watched = sources[training].watched() if sources else contextlib.nullcontext()
            with repeated(module), watched:
                in_mode(module, training)
                torch.manual_seed(0)
                with torch.set_grad_enabled(training):
                    output = module(*batches.first(training).numbers)
                if training and isinstance(output, Tensor) and output.requires_grad:
                    output.sum().backward()  # type: ignore[no-untyped-call]
                if changed := {name for name, state in _trained(module).items() if before.get(name) != state}:
                    raise InputRefused(
                        f"forward of {kind} changes what is trained, or what it consists of: {min(changed)!r}",
                        "set requires_grad, make parameters and choose classes before the module is published",
                    )
            kept[training].append(kept_values(module, firsts[training].called))
    for training in MODES:
        first, last = firsts[training], lasts[training]
        for source, location in {**first.taken, **last.taken}.items():
            if source != FILES or source in last.taken:
                raise InputRefused(
                    at(location, f"forward takes {source} into account, and a graph would repeat what was traced"),
                    HINTS.get(source, OTHER_HINT),
                )
        _require_settled(kind, *kept[training][1:])


def _require_settled(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    changed = [name for name, value in after.items() if before.get(name) != value]
    changed += [name for name in before if name not in after]
    if any(after.get(name, "").startswith(GENERATOR) for name in changed):
        raise InputRefused(
            "forward draws numbers from Python's random, from NumPy or from a generator of its own, and a"
            " graph would repeat the one draw that was traced",
            HINTS[DRAWS],
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


def _odd_call(module: nn.Module, subject: Subject, witness: Witness, batch: Batch) -> Call | None:
    """What a module does in an odd call, after which it is as it was; None where it raises."""
    # Its own code may refuse these numbers.
    with subject.restored(), contextlib.suppress(Exception), _noting_moving(module, witness):
        return watched_call(subject, batch)
    return None


def _deciding(subject: Subject, witness: Witness) -> set[Look]:
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
        or any(_decides(subject, witness.batches.first(training), look) for training in (True, False))
    }


def _decides(subject: Subject, batch: Batch, look: Look) -> bool:
    """Whether a module computes something else where a question is answered the other way."""
    digests = list[Values]()
    for turned in (None, look):
        with subject.restored():
            try:
                call = watched_call(subject, batch, turned)
            except Exception as error:  # noqa: BLE001 - the module's code is the user's, and may raise anything
                # What an object lacks it lacks whatever the numbers are; another error may come of
                # an answer that they contradict.
                lacks = isinstance(error, AttributeError) and error.obj is not None
                return not (lacks or is_own_error(error.__traceback__))
        digests.append(call.flow.digests if call else {})
    return digests[0] != digests[1]


def _bounds(module: nn.Module, batches: Batches) -> tuple[int, ...]:
    """The largest bound of each input's whole numbers that the module takes: the size of a table
    of its own, say."""
    tables = {len(table) for table in (*module.parameters(), *module.buffers()) if table.dim() > 1}
    bounds = [batches.rows] * len(batches.inputs)
    for index, spec in enumerate(batches.inputs):
        if DTYPES[spec.dtype].is_floating_point:
            continue
        for bound in sorted((each for each in tables if each > batches.rows), reverse=True)[:MOST_TABLES]:
            tried = [*bounds[:index], bound, *bounds[index + 1 :]]
            with left_as_it_was(module), torch.no_grad(), contextlib.suppress(Exception):  # as in `_odd_call`
                module.eval()(*batches.numbers(batches.size, 0, tried))
                bounds = tried
                break
    return tuple(bounds)


@contextlib.contextmanager
def _noting_moving(module: nn.Module, witness: Witness) -> Iterator[None]:
    """Note which of the tensors that a module holds are written, or exchanged, during a call."""
    before = _states(_held_tensors(module))
    yield
    moved = _changed(before, _states(_held_tensors(module)))
    witness.moving += [before[key][0] for key in moved if key in before and not before[key][0].requires_grad]


_Key = TypeVar("_Key")
_States = Mapping[_Key, tuple[Tensor, tuple[int, int]]]
"""Tensors, how often each was written, and where its numbers are."""


def _states(tensors: Mapping[_Key, Tensor]) -> _States[_Key]:
    """Of tensors that can be written: those of inference cannot."""
    return {
        key: (tensor, (tensor._version, tensor.data_ptr() if tensor.layout is torch.strided else 0))
        for key, tensor in tensors.items()
        if not tensor.is_inference()
    }


def _changed(before: _States[_Key], after: _States[_Key]) -> list[_Key]:
    """What was written, exchanged, removed or added."""

    def is_same(key: _Key) -> bool:
        return key in before and key in after and before[key][0] is after[key][0] and before[key][1] == after[key][1]

    return [key for key in {**before, **after} if not is_same(key)]


def _held_tensors(module: nn.Module) -> dict[tuple[nn.Module, str], Tensor]:
    """Tensors of a module, by the module that holds them and their name."""
    return {
        (part, name): value
        for part in module.modules()
        for name, value in (*vars(part).items(), *part._buffers.items(), *part._parameters.items())
        if isinstance(value, Tensor)
    }


def _kept_tensors(module: nn.Module, own: Sequence[Tensor]) -> dict[tuple[nn.Module, str], Tensor]:
    """Those that are neither trained nor parameters and buffers that it had: what it keeps beside
    them, or in their place."""
    before = {id(each) for each in own}
    return {
        key: tensor
        for key, tensor in _held_tensors(module).items()
        if not tensor.requires_grad and id(tensor) not in before
    }


def _kept_of_zeros(module: nn.Module, batches: Batches) -> tuple[dict[tuple[nn.Module, str], bytes], frozenset[str]]:
    """Digests of the tensors that a module keeps after a call on zeros: those that it keeps after
    others, too, are constants, and may become the graph's. Beside them come the names of the
    buffers that the call wrote."""
    with left_as_it_was(module), as_in_a_job(), torch.no_grad():
        module.train(True)
        own, before = (*module.parameters(), *module.buffers()), _states(dict(module.named_buffers()))
        module(*batches.zeros())
        after = dict(module.named_buffers())
        written = frozenset(name for name in _changed(before, _states(after)) if name in after)
        return {key: content(tensor) for key, tensor in _kept_tensors(module, own).items()}, written


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
