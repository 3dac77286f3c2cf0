"""Taint: what of a batch a training form could keep beyond its step, followed through the graph.

State moves in two ways. The optimizer moves trainable parameters. The form itself may move buffers,
and only as *statistics* do: a batch norm moves its running mean and variance; *counts* move that no
record reaches; *averages* of parameters move, element by element, or as the vectors of a power
iteration do. Whatever else a form writes into a parameter or a buffer is refused: a buffer that
takes a batch, or remembers one parameter after another, brings records home as they are.

Memory is followed, not names: what is written through a view of a buffer is written into it. The
walk is one loop over the nodes, repeated until what buffers hold is known, a few times at most.

What this does not see: a gradient carries what its batch says into every parameter; a channel of a
batch norm that sees one record keeps it; arithmetic can stand in for a comparison, and a matrix of
weights for a shift.
`fitchain.pod.values.graph.capacity` counts what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from fitchain.pod.values.graph.nodes import (
    Form,
    InputRef,
    Node,
    NodeRef,
    Ref,
    TensorRef,
    TensorSpec,
    references,
)
from fitchain.pod.values.graph.operators import OPERATORS
from fitchain.pod.values.graph.operators.record import Flow, Guard, Operator

MOST_WALKS = 8
"""Walks until what buffers hold is known: a form in which it goes from buffer to buffer for longer
is a memory."""
OVERWRITES = frozenset({"copy_", "fill_", "zero_"})
"""What writes without reading what was there."""


BATCH, LEARNT, STATISTIC, COUNT = 1, 2, 4, 8
"""Where a value's numbers come from, added up: the records of this step; trainable parameters,
which earlier steps moved; a batch norm's running statistics, records of earlier steps; a buffer
that the form moves, and no record reaches."""
_PAST = LEARNT | STATISTIC


class _Held(Enum):
    """Numbers out of kept buffers that are no longer one buffer's, each at its place."""

    ITERATED = "a product of learnt numbers with them, as in a power iteration"
    MOVED = "anything else"


View = tuple[int, int | None] | None
"""Which part of a memory, or in which order: the node that cut it, and which of its pieces; None
for all of it, as it lies."""
Memory = str | int
"""A parameter or buffer by name; the batch's arguments from -1 downwards; else the node that made
it."""
Held = None | _Held | tuple[str, View]
"""What a value holds of kept buffers: nothing, numbers of one buffer at their places, or others."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a training form is refused.

    Args:
        node: which of its nodes does it.
        sentence, hint: what it does, and what to do instead.
    """

    node: int
    sentence: str
    hint: str


@dataclass(frozen=True, slots=True)
class Structure:
    """What a training form does with its parameters and buffers.

    Args:
        refusal: the first thing for which it is refused; None where it may be trained.
        statistics: the buffers that batch norms move.
        averages: the buffers that learnt numbers reach.
        counts: the other buffers that it moves.
        written: all that it writes, whether it may or not.
    """

    refusal: Refusal | None
    statistics: frozenset[str]
    averages: frozenset[str]
    counts: frozenset[str]
    written: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Value:
    """Where a node's value lies.

    Args:
        memories: usually one; several where it may be any of them.
        view: of them.
    """

    memories: tuple[Memory, ...]
    view: View = None


@dataclass(slots=True)
class _Content:
    """What a memory holds, or what is read of it.

    Args:
        taint: where its numbers come from.
        held: what it holds of kept buffers.
        chosen: the node at which a count, or something kept, chose what it is; None where none did.
    """

    taint: int = 0
    held: Held = None
    chosen: int | None = None

    def add(self, other: _Content) -> None:
        """Take in what another holds, number by number."""
        self.taint |= other.taint
        self.held = _joined(self.held, other.held)
        self.chosen = other.chosen if self.chosen is None else self.chosen


def _joined(held: Held, other: Held) -> Held:
    if held is None or held == other:
        return other
    return held if other is None else _Held.MOVED


def follow(tensors: Mapping[str, TensorSpec], form: Form) -> Structure:
    """Follow the batch, and what was learnt, through a training form.

    Args:
        tensors: the graph's parameters and buffers.
        form: its training form, of admitted operators.

    Returns:
        What it does with its state; time grows with its nodes.
    """
    statistics = frozenset(name for node in form.nodes for name in _statistics_of(node))
    kept: dict[str, _Content] = {}
    for _ in range(MOST_WALKS):
        walk = _Walk(tensors, statistics, kept)
        walk.run(form)
        if walk.after == kept:
            break
        changed, kept = [name for name in walk.after if walk.after[name] != kept.get(name)], walk.after
    else:
        name = min(changed)
        walk.refuse(
            walk.writers[name],
            f"the training form hands on what it keeps from buffer to buffer, into {name!r} at last",
            "keep each average in a buffer of its own",
        )
    moved = frozenset(kept) - statistics
    averages = frozenset(name for name in moved if kept[name].taint & _PAST)
    written = frozenset(walk.writers) | statistics
    return Structure(walk.refusal, statistics & tensors.keys(), averages, moved - averages, written)


def _statistics_of(node: Node) -> Iterator[str]:
    """The buffers that a norm of batches moves."""
    if _moves_statistics(node):
        yield from (each.name for each in node.arguments[3:5] if isinstance(each, TensorRef))


def _moves_statistics(node: Node) -> bool:
    return OPERATORS[node.operator].guard is Guard.STATISTICS and node.arguments[5:6] != (False,)


@dataclass(slots=True)
class _Walk:
    """One walk over the nodes of a training form.

    Args:
        tensors: the graph's.
        statistics: the buffers that batch norms move.
        before: what the other moved buffers hold when a step begins, as far as earlier walks found.
    """

    tensors: Mapping[str, TensorSpec]
    statistics: frozenset[str]
    before: Mapping[str, _Content]
    values: list[_Value] = field(default_factory=list)
    made: dict[int, _Content] = field(default_factory=dict)
    after: dict[str, _Content] = field(default_factory=dict)
    writers: dict[str, int] = field(default_factory=dict)
    refusal: Refusal | None = None

    def run(self, form: Form) -> None:
        """Walk over all nodes, and see what is written, and what the form is run for."""
        for index, node in enumerate(form.nodes):
            self.values.append(self.step(index, node, OPERATORS[node.operator]))
        self.refuse_chosen(self.read(self.value(form.output)).chosen)

    def step(self, index: int, node: Node, record: Operator) -> _Value:
        """One node: what it writes, what it makes, where that lies."""
        if record.guard is Guard.STATISTICS:
            self.made[index] = self.normalised(index, node)
            return _Value((index,))
        first = self.targets(node)
        if record.writes:
            read = self.result(index, node, record, overwrites=_base(record) in OVERWRITES)
            for target in first:
                self.write(index, target, read)
            return self.together(first, None)
        if record.aliases and (len(first) == 1 or record.flow is not Flow.PRODUCTS):  # which are made anew
            view: View = None if record.flow is Flow.SHAPES else (index, None)
            return self.together(first, view)
        self.made[index] = self.result(index, node, record)
        return _Value((index,))

    def together(self, targets: list[_Value], view: View) -> _Value:
        """What may lie where any of these does."""
        if len(targets) == 1:
            return _Value(targets[0].memories, view or targets[0].view)
        return _Value(tuple({memory: None for each in targets for memory in each.memories}), view)

    def targets(self, node: Node) -> list[_Value]:
        """Where the first argument that is no constant lies, or each of a list; where none comes by
        place, every one."""
        for argument in node.arguments:
            if values := [self.value(ref) for ref in references(argument)]:
                return values
        return [self.value(ref) for ref in references(tuple(node.options.values()))]

    def value(self, ref: Ref) -> _Value:
        """Where what is referred to lies."""
        match ref:
            case TensorRef(name):
                return _Value((name,))
            case InputRef(index):
                return _Value((-1 - index,))
            case NodeRef(index, None):
                return self.values[index]
            case NodeRef(index, item):
                whole = self.values[index]
                return _Value(whole.memories, (index, item)) if whole.view == (index, None) else whole

    def read(self, value: _Value) -> _Content:
        """What a value holds now."""
        content = _Content()
        for memory in value.memories:
            content.add(self.held_in(memory, value.view))
        return content

    def held_in(self, memory: Memory, view: View) -> _Content:
        if isinstance(memory, str):
            return self.state(memory, view)
        if memory < 0:
            return _Content(BATCH)
        content = self.made.setdefault(memory, _Content())
        if view is None or content.held in (None, _Held.ITERATED):
            return content
        return _Content(content.taint, _Held.MOVED, content.chosen)

    def state(self, name: str, view: View) -> _Content:
        """What a parameter or buffer holds: what an earlier step may have left there counts as much
        as what this one did."""
        spec = self.tensors[name]
        if spec.trainable:
            return _Content(LEARNT)
        if name in self.statistics:
            return _Content(STATISTIC)
        if (content := self.before.get(name)) is None:
            return _Content()
        held: Held = (name, view) if content.taint & _PAST else None
        return _Content(content.taint | COUNT, held, content.chosen)

    def result(self, index: int, node: Node, record: Operator, overwrites: bool = False) -> _Content:
        """What an operator makes of what it reads."""
        first = 1 if overwrites or record.flow is Flow.SIZES else 0
        operands = [
            self.read(self.value(ref))
            for argument in (*node.arguments[first:], *node.options.values())
            for ref in references(argument)
        ]
        content = _Content()
        for operand in operands:
            content.add(operand)
        content.held = _held(record.flow, operands, content.held)
        if content.chosen is None and any(map(_chooses, self.choosers(node, record, operands))):
            content.chosen = index
        return content

    def choosers(self, node: Node, record: Operator, operands: list[_Content]) -> list[_Content]:
        """What decides which numbers a result has."""
        if record.flow is Flow.COMPARES:
            return operands
        if record.chosen_by is None:
            return []
        if record.chosen_by >= len(node.arguments):
            return operands
        return [self.read(self.value(ref)) for ref in references(node.arguments[record.chosen_by])]

    def normalised(self, index: int, node: Node) -> _Content:
        """What a batch norm makes, and what it keeps."""
        content = _Content()
        for ref in references(node.arguments[:1]):
            content.add(self.read(self.value(ref)))
        if _moves_statistics(node):
            self.move_statistics(index, node, content)
        rest = node.arguments[1:3] if _moves_statistics(node) else node.arguments[1:5]
        for ref in references((*rest, *node.options.values())):
            content.add(self.read(self.value(ref)))
        if content.held not in (None, _Held.ITERATED):
            content.held = _Held.MOVED
        return content

    def move_statistics(self, index: int, node: Node, content: _Content) -> None:
        """Look at what a batch norm takes into its running statistics, and where they lie."""
        if content.taint & STATISTIC:
            self.refuse(
                index,
                "a batch norm's running statistics are made of running statistics, and so remember every batch",
                "let no running statistic into a batch norm's input",
            )
        self.refuse_chosen(content.chosen)
        for ref in references(node.arguments[3:5]):
            if isinstance(ref, TensorRef):
                if self.tensors[ref.name].kind != "buffer":
                    self.refuse_parameter(index, ref.name)
                continue
            for memory in self.value(ref).memories:
                if isinstance(memory, str):
                    self.refuse(
                        index,
                        f"a batch norm keeps its running statistics in a part of {memory!r}",
                        "give it whole buffers of its own, as nn.BatchNorm1d does",
                    )
                elif memory >= 0:
                    self.made.setdefault(memory, _Content()).add(content)
        if len(node.arguments) < 6 or node.options:
            self.refuse(index, f"the operator {node.operator} takes its arguments by place", "")

    def write(self, index: int, target: _Value, read: _Content) -> None:
        """Write what was read into whatever lies there."""
        for memory in target.memories:
            if isinstance(memory, str):
                self.write_state(index, memory, target.view, read)
            elif memory >= 0:
                content = self.made.setdefault(memory, _Content())
                moved = target.view is not None and read.held not in (None, _Held.ITERATED)
                content.add(_Content(read.taint, _Held.MOVED, read.chosen) if moved else read)

    def write_state(self, index: int, name: str, view: View, read: _Content) -> None:
        """Write into a parameter or a buffer, if it may be."""
        self.writers.setdefault(name, index)
        kept = self.after.setdefault(name, _Content(*_fields(self.before.get(name))))
        kept.taint |= read.taint & _PAST
        kept.chosen = read.chosen if kept.chosen is None else kept.chosen
        if self.tensors[name].kind != "buffer":
            self.refuse_parameter(index, name)
        elif read.taint & BATCH:
            self.refuse(
                index,
                f"the training form writes what it reads of the records into the buffer {name!r},"
                " and would carry them out in it",
                "a buffer keeps what nn.BatchNorm1d, 2d or 3d write, a count, or an average of parameters;"
                " what is learnt from records goes into parameters, by their gradient",
            )
        elif name in self.statistics and read.taint & _PAST:
            self.refuse(
                index,
                f"the running statistic {name!r} is changed by more than its batch norm, and could remember batches",
                "leave it to the batch norm",
            )
        elif read.taint & _PAST and read.held not in (None, (name, view), _Held.ITERATED):
            self.refuse(
                index,
                f"the buffer {name!r} remembers what was learnt in another way than as an average,"
                " and records could be read from it",
                "average parameters element by element, each buffer out of itself and them alone",
            )
        elif read.taint & _PAST:
            self.refuse_chosen(read.chosen)

    def refuse_parameter(self, index: int, name: str) -> None:
        self.refuse(
            index,
            f"the training form writes into the parameter {name!r}, and what steps write is a buffer",
            "keep an average of parameters with register_buffer, or its numbers in a buffer; write no parameter in"
            " forward, frozen or not",
        )

    def refuse_chosen(self, node: int | None) -> None:
        """A count that chooses could lead each batch to numbers that no later one changes."""
        if node is not None:
            self.refuse(
                node,
                "a count, or what a buffer keeps, chooses by comparison or index what is learnt here:"
                " weights that are written once remember their batch",
                "let a count scale a value, with (count / steps).clamp(max=1) say, and choose nothing",
            )

    def refuse(self, node: int, sentence: str, hint: str) -> None:
        """Keep the first refusal."""
        if self.refusal is None:
            self.refusal = Refusal(node, sentence, hint)


def _base(record: Operator) -> str:
    return record.name.split(".")[1]


def _fields(content: _Content | None) -> tuple[int, Held, int | None]:
    return (0, None, None) if content is None else (content.taint, None, content.chosen)


def _chooses(content: _Content) -> bool:
    """Whether what decides is a count, or something kept that no record of this batch is mixed
    into."""
    if content.taint & COUNT and not content.taint & (BATCH | _PAST):
        return True
    kept = bool(content.taint & STATISTIC) or content.held not in (None, _Held.ITERATED)
    return kept and not content.taint & BATCH


def _held(flow: Flow, operands: list[_Content], joined: Held) -> Held:
    """What a result holds of kept buffers.

    Args:
        flow: of the operator.
        operands: what it reads.
        joined: what they hold, number by number.
    """
    if joined is None:
        return None
    if flow in (Flow.SHAPES, Flow.CUTS):
        return joined
    if flow is Flow.ARITHMETIC:
        grows = joined is _Held.ITERATED and any(each.held is None and each.taint & _PAST for each in operands)
        return _Held.MOVED if grows else joined
    if flow is Flow.MEASURES:
        return joined if joined is _Held.ITERATED else _Held.MOVED
    if flow is Flow.PRODUCTS:
        learnt = any(each.taint & LEARNT and each.held in (None, _Held.ITERATED) for each in operands)
        moved = any(each.held is _Held.MOVED for each in operands)
        return _Held.ITERATED if learnt and not moved else _Held.MOVED
    return _Held.MOVED
