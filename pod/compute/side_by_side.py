"""Records side by side: the gradients of several records in a step, each to the last bit as if it
were computed alone (torch).

A gradient of one record, a batch of one, is taken down call by call, as torch's kernels are called
forward and backward. Then every tensor that depends on the record is given as many places as there
are records, and every call is made for all of them: in one call where `operators.row_wise` knows
how to, else record by record into places that are ready. So a call sees what it saw for a batch of
one, and there is no dimension along which a graph could reach from one record to the next: what
sums, sorts or turns about "the batch" does so within one record.

What a kernel does with several records is compared with what it does with each, bit by bit on
random and on odd numbers, before it is relied on; and the first records' gradients are compared
with those that are computed one at a time. Whatever is not equal, or cannot be taken down because a
call depends on a number, is computed one at a time for good.

Legend: N records, D trainable numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fitchain.pod.compute.model.executor import FAILURES
from fitchain.pod.compute.operators.row_wise import batched, out_variant

MOST_BYTES = 64 << 20
"""What the tensors of records side by side may take."""
LEAST, MOST = 2, 256
"""Records side by side."""
ALIGNMENT = 64
"""Bytes: where a tensor's own memory begins, and so a record's."""
MOST_THREADS = 1
"""With more, torch shares out large tensors at places that depend on their number of elements."""
CONFIRMED = 8
"""Records whose gradients are compared with those that are computed one at a time."""
ATTEMPTS = 32
"""To prepare places: a record may fail in one."""
COMPOSED = frozenset(
    {
        "aten.cumprod.default",
        "aten.cumprod_.default",
        "aten.lstm.input",
        "aten.masked_fill.Tensor",
        "aten.masked_fill_.Tensor",
        "aten.max.default",
        "aten.median.default",
        "aten.min.default",
        "aten.nanmedian.default",
        "aten.prod.default",
        "aten.prod.dim_int",
        "loss.ctc_loss",
    }
)
"""Operators that compute otherwise where their calls are taken down. The way back of a product, of
a largest number or of a value filled in looks at the record's numbers (at zeros, say) and chooses
among formulas by them; where calls are taken down it takes one that does not look. So its bits may
be those of a record alone for some records, the first ones even, and not for others. `ctc_loss`
makes tensors as long as a record's labels."""
_UNSEEN = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape, torch.Tag.inplace_view)
NOTHING = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"})
"""Operators that compute nothing."""
ODD = (torch.inf, -torch.inf, torch.nan, 0.0, -0.0, 1e-42, 3e38, -3e38, 100.0, -100.0, 1e-30)

Gradients = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""From a batch of one, inputs and target `[1, *shape]`, to a gradient for each parameter."""
Seed = Callable[[int], None]
"""Seeds every generator for the record of a place."""
Action = Callable[[], object]


class NotSideBySide(Exception):
    """A step cannot be computed for several records at once."""


class SideBySide:
    """Gradients of records, several at once where that gives the same bits.

    Args:
        compute: the gradients of one record.
        tensors: parameters and buffers, whose memory stays where it is.
        operators: of the graph, and the loss.
    """

    def __init__(self, compute: Gradients, tensors: Iterable[Tensor], operators: AbstractSet[str]) -> None:
        self._compute, self._tensors = compute, tuple(tensors)
        self._given_up = bool(operators & COMPOSED)
        self._tape: Tape | None = None
        self._attempts = 0
        self._places: dict[int, Places] = {}

    def compute(self, records: Sequence[Tensor], seed: Seed) -> Tensor | None:
        """Compute gradients of the first of some records.

        Args:
            records: inputs and target, `[n, *shape]` each.
            seed: for each of them.

        Returns:
            float32 `[m, D]` of the first m, which the next call overwrites; None where they have to
            be computed one at a time.

        Raises:
            Exception: what an operator raises for one of these records.
        """
        count = len(records[0])
        if self._given_up or count < LEAST or torch.get_num_threads() > MOST_THREADS:
            return None
        try:
            tape = self._tape = self._tape or self._taken_down([tensor[:1] for tensor in records], seed)
            most = (
                min(MOST, 1 << (MOST_BYTES // tape.record_bytes).bit_length() - 1)
                if tape.record_bytes <= MOST_BYTES
                else 1
            )
            if most < LEAST:
                raise NotSideBySide("a record takes too much memory")
            size = min(1 << (count - 1).bit_length(), most)
            records = [tensor[:size] for tensor in records]
            if size not in self._places:
                self._attempts += 1
                if self._attempts > ATTEMPTS:
                    raise NotSideBySide("records fail again and again")
                self._places[size] = self._prepared(tape, size, records, seed)
        except NotSideBySide:
            self._given_up, self._tape, self._places = True, None, {}
            return None
        places = self._places[size]
        places.fill(records)
        return places.compute(len(records[0]), seed)

    def _taken_down(self, record: Sequence[Tensor], seed: Seed) -> Tape:
        seed(0)
        reference = self._compute([tensor.clone() for tensor in record])
        seed(0)
        tape = Tape(self._compute, [tensor.clone() for tensor in record], self._tensors)
        if not all(map(same_bits, reference, tape.gradients)):
            raise NotSideBySide("an operator computes otherwise where its calls are taken down")
        return tape

    def _prepared(self, tape: Tape, size: int, records: Sequence[Tensor], seed: Seed) -> Places:
        places, count = Places(tape, size), len(records[0])
        places.fill(records)
        places.prepare(lambda row: seed(row % count))
        for row, gradient_D in enumerate(places.compute(count, seed)[:CONFIRMED]):
            seed(row)
            reference = self._compute([tensor[row : row + 1].clone() for tensor in records])
            if not same_bits(gradient_D, torch.cat([gradient.flatten() for gradient in reference])):
                raise NotSideBySide("a record's gradient is another one alone")
        return places


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a kernel.

    Args:
        operator: torch's, overload included.
        arguments, options: what it was given.
        results: what it returned.
        recording: whether gradients were recorded, by which some kernels are chosen.
    """

    operator: Any
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    results: tuple[Any, ...]
    recording: bool


class _Notes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes down what kernels are called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        recording = torch.is_grad_enabled()
        made = operator(*args, **(kwargs or {}))
        results = tuple(made) if isinstance(made, list | tuple) else (made,)
        self.calls.append(Call(operator, tuple(args), dict(kwargs or {}), results, recording))
        return made


class Tape:
    """The calls by which one record's gradient is computed.

    Args:
        compute: computes it, of the inputs.
        inputs: of a batch of one, target included.
        tensors: parameters and buffers.

    Raises:
        NotSideBySide: a call depends on a number, gives a tensor another shape in place, or writes
            what all records read.
    """

    def __init__(self, compute: Gradients, inputs: Sequence[Tensor], tensors: Iterable[Tensor]) -> None:
        notes = _Notes()
        with notes:
            gradients = compute(inputs)
        self.inputs, self.gradients, self.calls = tuple(inputs), tuple(gradients), tuple(notes.calls)
        self.shared = {memory(tensor) for tensor in tensors}
        if unseen := [call for call in self.calls if any(tag in call.operator.tags for tag in _UNSEEN)]:
            raise NotSideBySide(f"{unseen[0].operator} depends on a number, or gives a tensor another shape")
        self._refuse_strangers()
        self.of_records = self._of_records()
        if self.of_records & self.shared:
            raise NotSideBySide("a record writes what all records read")

    @property
    def memories(self) -> set[int]:
        """The memory that was there before the first call."""
        return self.shared | {memory(tensor) for tensor in self.inputs}

    @cached_property
    def record_bytes(self) -> int:
        """Bytes that the places of a record take."""
        rows = {memory(tensor): row_bytes(tensor) for tensor in self._tensors() if memory(tensor) in self.of_records}
        return sum(rows.values()) + sum(4 * gradient.numel() for gradient in self.gradients)

    def _tensors(self) -> Iterator[Tensor]:
        return tensors_in((self.inputs, self.gradients, [call.results for call in self.calls]))

    def _refuse_strangers(self) -> None:
        """A tensor that no call made, and that is none of those given, is a number that torch
        wrapped; or else nobody has seen where it is from."""
        memories = self.memories
        for call in self.calls:
            for tensor in tensors_in((call.arguments, call.options)):
                if memory(tensor) not in memories and tensor.dim() > 0:
                    raise NotSideBySide(f"{call.operator} takes a tensor that no call made")
            memories |= {memory(tensor) for tensor in tensors_in(call.results)}
        for tensor in self._tensors():
            if tensor.numel() == 0 or tensor.layout is not torch.strided or not tensor.is_cpu:
                raise NotSideBySide("a tensor is empty, sparse or elsewhere")

    def _of_records(self) -> set[int]:
        """The memory whose numbers depend on the record."""
        reached = {memory(tensor) for tensor in self.inputs}
        before = -1
        while len(reached) != before:
            before = len(reached)
            for call in self.calls:
                sources = {memory(tensor) for tensor in tensors_in((call.arguments, call.options))}
                if is_random(call) or sources & reached:
                    reached |= {memory(tensor) for tensor in tensors_in(call.results)} - sources
                    reached |= {memory(tensor) for tensor in written(call)}
        return reached


def memory(tensor: Tensor) -> int:
    """Which memory a tensor lies in."""
    return int(tensor.untyped_storage()._cdata)


def tensors_in(values: Any) -> Iterator[Tensor]:
    """Every tensor among values, lists included."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from tensors_in(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors_in(value)


def is_random(call: Call) -> bool:
    """Whether a call draws numbers."""
    return torch.Tag.nondeterministic_seeded in call.operator.tags


def written(call: Call) -> list[Tensor]:
    """The tensors that a call writes in place."""
    changed: list[Tensor] = []
    for index, parameter in enumerate(call.operator._schema.arguments):
        if parameter.alias_info is not None and parameter.alias_info.is_write:
            value = call.arguments[index] if index < len(call.arguments) else call.options.get(parameter.name)
            changed += tensors_in(value)
    return changed


@dataclass(slots=True)
class Step:
    """A call, ready to be made for the records.

    Args:
        recording: as it was taken down.
        at_once: what computes all records; empty where each is computed by itself.
        one_by_one: what computes each of them; empty where the result is of no record.
        draws: whether it draws numbers.
    """

    recording: bool
    at_once: list[Action]
    one_by_one: list[Action]
    draws: bool = False


class Places:
    """Places for N records, and the calls that fill them.

    Args:
        tape: what is computed.
        count: N.
    """

    def __init__(self, tape: Tape, count: int) -> None:
        self.tape, self.count = tape, count
        self._rows: dict[int, Tensor] = {}
        self.inputs = [self.lift(tensor) for tensor in tape.inputs]
        self.gradients_ND = torch.zeros(count, sum(gradient.numel() for gradient in tape.gradients))
        self._parts: list[Action] = []
        parts = torch.split(self.gradients_ND, [gradient.numel() for gradient in tape.gradients], 1)
        for part, gradient in zip(parts, tape.gradients, strict=True):
            of = memory(gradient)
            if of in tape.of_records and of not in self._rows and _fills_its_memory(gradient):
                self._rows[of] = part.view(torch.uint8)  # it is computed where it belongs
            else:
                self._parts.append(partial(part.view(count, *gradient.shape).copy_, self.lift(gradient)))
        self._steps: list[Step] = []
        self._draws = 0

    def lift(self, value: Any) -> Any:
        """A tensor's place for N records, `[N, *shape]`; itself where it is none of a record's."""
        if not isinstance(value, Tensor) or (of := memory(value)) not in self.tape.of_records:
            return value
        if of not in self._rows:
            self._rows[of] = torch.zeros(self.count, row_bytes(value), dtype=torch.uint8)
        rows = self._rows[of].view(value.dtype)
        begin = rows.storage_offset() + value.storage_offset()
        return rows.as_strided((self.count, *value.shape), (rows.stride(0), *value.stride()), begin)

    def fill(self, inputs: Sequence[Tensor]) -> None:
        """Put records into their places, over and over where they are fewer.

        Args:
            inputs: `[n, *shape]` each, target included, of at most N records.
        """
        for column, values in zip(self.inputs, inputs, strict=True):
            for start in range(0, self.count, len(values)):
                rows = column[start : start + len(values), 0]
                rows.copy_(values[: len(rows)])

    def prepare(self, seed: Seed) -> None:
        """Prepare every call, and make it; the inputs are there.

        Args:
            seed: seeds every generator for the record of a place.
        """
        memories = self.tape.memories
        self._draws = sum(map(is_random, self.tape.calls))
        states: list[Tensor] = []
        with computing():
            for call in self.tape.calls:
                fresh = [
                    tensor for tensor in call.results if isinstance(tensor, Tensor) and memory(tensor) not in memories
                ]
                memories = memories | set(map(memory, fresh))
                if (not fresh and not written(call)) or call.operator.overloadpacket.__name__ in NOTHING:
                    continue  # a view lies where it lay
                step = self._step(call, fresh)
                torch._C._set_grad_enabled(step.recording)
                if step.at_once and step.one_by_one and not self._agree(step, call):
                    step.at_once = []
                self._steps.append(step)
                self._make(step, self.count, seed, states)

    def compute(self, count: int, seed: Seed) -> Tensor:
        """Compute the gradients of the records in the first places, float32 `[count, D]`.

        Args:
            count: at most N.
            seed: seeds every generator for the record of a place.
        """
        states: list[Tensor] = []
        with computing():
            for step in self._steps:
                torch._C._set_grad_enabled(step.recording)
                self._make(step, count, seed, states)
            for copy in self._parts:
                copy()
        return self.gradients_ND[:count]

    def _make(self, step: Step, count: int, seed: Seed, states: list[Tensor]) -> None:
        if step.draws:
            self._draw(step, count, seed, states)
            return
        for run in step.at_once or step.one_by_one[:count]:
            run()

    def _draw(self, step: Step, count: int, seed: Seed, states: list[Tensor]) -> None:
        """Each record draws on from where it was: its generators are its own."""
        first = not states
        for row, run in enumerate(step.one_by_one[:count]):
            if first:
                seed(row)
            else:
                torch.default_generator.set_state(states[row])
            run()
            if self._draws == 1:
                continue
            state = torch.default_generator.get_state()
            if first:
                states.append(state)
            else:
                states[row] = state

    def _step(self, call: Call, fresh: list[Tensor]) -> Step:
        touched = {memory(tensor) for tensor in tensors_in((call.arguments, call.options, call.results))}
        draws = is_random(call)
        if not draws and not touched & self.tape.of_records:
            return Step(call.recording, [_into(call, fresh, lambda value: value)], [])
        each = [_into(call, fresh, partial(self._one, row)) for row in range(self.count)]
        if draws:
            return Step(call.recording, [], each, True)
        at_once = batched(call.operator, call.arguments, call.options, fresh, self.lift, self.count)
        return Step(call.recording, at_once or [], each)

    def _one(self, row: int, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._one(row, item) for item in value]
        lifted = self.lift(value)
        return lifted if lifted is value else lifted[row]

    def _agree(self, step: Step, call: Call) -> bool:
        """Whether what is computed at once is, bit by bit, what is computed one by one: of random
        numbers, and of odd ones beside them. Everything is afterwards as it was."""
        of_records = self.tape.of_records
        operands = [each for each in tensors_in((call.arguments, call.options)) if memory(each) in of_records]
        touched = {memory(each): each for each in (*operands, *tensors_in(call.results)) if memory(each) in of_records}
        kept = {of: self._whole(each).clone() for of, each in touched.items()}
        generator = torch.Generator().manual_seed(1)
        for odd in (False, True):
            begin = {of: rows.clone() for of, rows in kept.items()}
            for each in operands:
                if each.is_floating_point():
                    rows = begin[memory(each)].view(each.dtype)
                    rows.copy_(torch.randn(rows.shape, generator=generator, dtype=each.dtype))
                    if odd:
                        places = torch.randint(
                            rows.shape[1], (self.count, max(rows.shape[1] // 8, 1)), generator=generator
                        )
                        chosen = torch.randint(len(ODD), places.shape, generator=generator)
                        rows[::2].scatter_(1, places[::2], torch.tensor(ODD, dtype=each.dtype)[chosen[::2]])
            ends: list[list[Tensor]] = []
            for runs in (step.at_once, step.one_by_one):
                for of, each in touched.items():
                    self._whole(each).copy_(begin[of])
                try:
                    for run in runs:
                        run()
                except FAILURES:  # memory that this kernel cannot read, say
                    ends.clear()
                    break
                ends.append([self.lift(each).clone() for each in (*tensors_in(call.results), *written(call))])
            for of, each in touched.items():
                self._whole(each).copy_(kept[of])
            if len(ends) < 2 or not all(same_bits(at_once, single) for at_once, single in zip(*ends, strict=True)):
                return False
        return True

    def _whole(self, of: Tensor) -> Tensor:
        self.lift(of)
        return self._rows[memory(of)]


@contextmanager
def computing() -> Iterator[None]:
    """Call kernels as they were called where gradients are recorded, and record none."""
    recording = torch.is_grad_enabled()
    try:
        with torch._C._AutoDispatchBelowAutograd():
            yield
    finally:
        torch._C._set_grad_enabled(recording)


def _fills_its_memory(gradient: Tensor) -> bool:
    """Whether its numbers are all that lies in its memory, in their order."""
    size = gradient.numel() * gradient.itemsize
    return gradient.is_contiguous() and gradient.dtype is torch.float32 and gradient.untyped_storage().nbytes() == size


def row_bytes(tensor: Tensor) -> int:
    """Bytes from one record's copy of a tensor's memory to the next: aligned as the memory itself,
    with a gap."""
    return (tensor.untyped_storage().nbytes() + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT + ALIGNMENT


def same_bits(tensor: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal to the last bit, signs of zeros and NaNs included."""
    return torch.equal(tensor.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


def _into(call: Call, fresh: list[Tensor], copy_of: Callable[[Any], Any]) -> Action:
    """A call whose tensors lie in places."""
    arguments = [copy_of(value) for value in call.arguments]
    options = {key: copy_of(value) for key, value in call.options.items()}
    operator, outs = call.operator, [copy_of(tensor) for tensor in fresh]
    if not outs:
        return partial(operator, *arguments, **options)
    if len(fresh) == len(call.results) and (form := out_variant(operator)):
        into, names = form
        return partial(into, *arguments, **options, **dict(zip(names, outs, strict=True)))
    at = [index for index, value in enumerate(call.results) if any(value is tensor for tensor in fresh)]

    def run() -> None:
        made = operator(*arguments, **options)
        made = made if isinstance(made, list | tuple) else [made]
        for index, out in zip(at, outs, strict=True):
            out.copy_(made[index])

    return run
