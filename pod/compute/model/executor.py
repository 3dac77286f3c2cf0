"""Plans: a form of a graph, compiled once into calls over numbered slots.

What can be known before the first batch is done before it: operators are found, constants are laid
into their slots, the place of every argument is fixed, and a value's slot is cleared right after
its last use, so that memory is held no longer than an eager module would hold it. A step is then
one call and one store.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fitchain.pod.compute.model.traps import without_traps
from fitchain.pod.compute.operators.arguments import symbol
from fitchain.pod.compute.operators.kernels import Kernel, kernel, takes_device
from fitchain.pod.values.errors import OperatorFailed, Unusable
from fitchain.pod.values.graph import Argument, Form, Graph, InputRef, Node, NodeRef, Ref, Symbol, TensorRef, references
from fitchain.pod.values.graph.operators.shapes import CLOSE_GRADIENT, OPEN_GRADIENT

FAILURES = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError, AttributeError)
"""What an operator raises when it cannot compute: kernels raise the first ones, torch's shape
functions in Python the others."""

_OF_THE_HOST = (
    "allocate memory",
    "DefaultCPUAllocator",
    "bad_alloc",
    "start new thread",
    "Resource temporarily unavailable",
    "out of memory",
    "could not create a",
    "could not execute a primitive",
)
"""In what torch, C++, Python and oneDNN say where they get no memory, or no thread."""

Wrap = Callable[[Node, Kernel], Kernel]


def unchanged(node: Node, call: Kernel) -> Kernel:
    """Nothing is put around a kernel."""
    return call


@dataclass(frozen=True, slots=True)
class Step:
    """One call: which kernel, its arguments out of the slots, where the value goes, which slots are
    used for the last time."""

    node: int
    call: Kernel
    arguments: Callable[[list[Any]], tuple[Any, ...]]
    out: int
    dead: tuple[int, ...]


class Plan:
    """A form of a graph, ready to run.

    Args:
        graph: what it is a form of.
        form: its nodes.
        tensors: the parameters and buffers that it computes with.
        device: where it runs.
        wrap: what to put around each kernel; a dry run measures there.
    """

    def __init__(
        self,
        graph: Graph,
        form: Form,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        wrap: Wrap = unchanged,
    ) -> None:
        self.form = form
        layout = _Layout(len(graph.inputs), tensors, device)
        compiler = _Compiler(layout, wrap, _last_uses(form))
        for index, node in enumerate(form.nodes):
            compiler.add(index, node)
        self.output = compiler.slot_of_argument(len(form.nodes), form.output)
        self.initial = layout.slots
        self.steps = compiler.steps
        self.recording = compiler.recording
        self.brackets = any(node.operator == OPEN_GRADIENT for node in form.nodes)

    def run(self, inputs: Sequence[Tensor]) -> Any:
        """Compute the form's output.

        Args:
            inputs: the model's arguments, each [B, *shape].

        Raises:
            OperatorFailed: an operator cannot compute what it was given.
            Unusable: this host has not the memory.
        """
        values = self.initial.copy()
        values[: len(inputs)] = inputs
        node = -1
        recording = torch.is_grad_enabled()
        try:
            for step in self.steps:
                node = step.node
                values[step.out] = step.call(*step.arguments(values))
                for slot in step.dead:
                    values[slot] = None
        except FAILURES as error:
            raise self._failure(node, error) from None
        finally:
            if self.brackets:
                self.recording.clear()
                torch._C._set_grad_enabled(recording)
        return values[self.output]

    def _failure(self, node: int, error: Exception) -> Exception:
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if lacks_memory(error):
            return Unusable(f"this host has not the memory for node {node}: {first_line}", "run it on a larger host")
        return OperatorFailed(
            f"the operator {self.form.nodes[node].operator} (node {node}) cannot compute: {first_line}"
        )


def lacks_memory(error: Exception) -> bool:
    """Whether a failure is the host's, which lacks memory or threads, and not of what was computed:
    by torch's own words, since any other error may repeat a name that a stranger chose."""
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OF_THE_HOST)


class _Layout:
    """Which slot holds what: first the inputs, then everything else in order of appearance."""

    def __init__(self, inputs: int, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        self.slots: list[Any] = [None] * inputs
        self.places: dict[Ref, int] = {InputRef(index): index for index in range(inputs)}
        self.tensors, self.device = tensors, device

    def new(self, value: Any = None) -> int:
        self.slots.append(value)
        return len(self.slots) - 1

    def slot(self, ref: Ref) -> int:
        if ref not in self.places:
            self.places[ref] = self.new(self.tensors[ref.name] if isinstance(ref, TensorRef) else None)
        return self.places[ref]

    def constant(self, value: Argument) -> Any:
        """What torch is given for an argument that no step changes: parameters and buffers keep
        their memory."""
        if isinstance(value, tuple):
            return [self.constant(item) for item in value]
        if isinstance(value, TensorRef):
            return self.tensors[value.name]
        return symbol(value, self.device) if isinstance(value, Symbol) else value


@dataclass(slots=True)
class _Compiler:
    """Turns nodes into steps, in their order."""

    layout: _Layout
    wrap: Wrap
    last_uses: Mapping[int, list[NodeRef]]
    steps: list[Step] = field(default_factory=list)
    recording: list[bool] = field(default_factory=list)

    def add(self, index: int, node: Node) -> None:
        if node.operator in (OPEN_GRADIENT, CLOSE_GRADIENT):
            call = self.bracket(node)
            self.emit(index, call, (), self.layout.new())
            return
        places = [self.slot_of_argument(index, value) for value in node.arguments]
        fixed, moving = self.options(index, node)
        call = self.wrap(node, without_traps(node.operator, kernel(node.operator)))
        call = _with_names(partial(call, **fixed) if fixed else call, len(places), tuple(moving))
        self.emit(index, call, (*places, *moving.values()), self.layout.slot(NodeRef(index)))
        self.clear(index)

    def options(self, index: int, node: Node) -> tuple[dict[str, Any], dict[str, int]]:
        """Options that are constants, and the slots of those that are not."""
        moving = {key for key, value in node.options.items() if any(True for _ in references(value))}
        fixed = {key: self.layout.constant(value) for key, value in node.options.items() if key not in moving}
        if takes_device(node.operator):
            fixed["device"] = self.layout.device  # what a graph leaves out would be torch's default device
        return fixed, {key: self.slot_of_argument(index, node.options[key]) for key in node.options if key in moving}

    def slot_of_argument(self, index: int, value: Argument) -> int:
        """The slot where an argument will stand; lists with references, and items of several
        values, take a step of their own."""
        if isinstance(value, NodeRef) and value.item is not None:
            if value not in self.layout.places:
                places = self.layout.slot(NodeRef(value.index)), self.layout.new(value.item)
                self.emit(index, operator.getitem, places, self.layout.slot(value))
            return self.layout.places[value]
        if isinstance(value, TensorRef | InputRef | NodeRef):
            return self.layout.slot(value)
        if isinstance(value, tuple) and any(not isinstance(ref, TensorRef) for ref in references(value)):
            out = self.layout.new()
            self.emit(index, _as_list, tuple(self.slot_of_argument(index, item) for item in value), out)
            return out
        return self.layout.new(self.layout.constant(value))

    def emit(self, index: int, call: Kernel, places: tuple[int, ...], out: int) -> None:
        self.steps.append(Step(index, call, _getter(places), out, ()))

    def clear(self, index: int) -> None:
        """Let the last step of a node forget what nobody reads again; lists made on the way
        included."""
        refs = self.last_uses.get(index, [])
        dead = {self.layout.places[ref] for ref in refs if ref in self.layout.places}
        dead |= {step.out for step in self.steps_of(index) if step.call is _as_list}
        last = self.steps[-1]
        self.steps[-1] = Step(last.node, last.call, last.arguments, last.out, tuple(sorted(dead)))

    def steps_of(self, index: int) -> list[Step]:
        steps = []
        for step in reversed(self.steps):
            if step.node != index:
                break
            steps.append(step)
        return steps

    def bracket(self, node: Node) -> Kernel:
        stack = self.recording

        def open_bracket() -> None:
            stack.append(torch.is_grad_enabled())
            torch._C._set_grad_enabled(bool(node.arguments and node.arguments[0]))

        def close_bracket() -> None:
            torch._C._set_grad_enabled(stack.pop())

        return open_bracket if node.operator == OPEN_GRADIENT else close_bracket


def _last_uses(form: Form) -> dict[int, list[NodeRef]]:
    """For each node, the values that no later node reads; a value that nobody reads is forgotten at
    once."""
    last: dict[NodeRef, int] = {}
    for index, node in enumerate(form.nodes):
        last[NodeRef(index)] = index
        for ref in references((*node.arguments, *node.options.values())):
            if isinstance(ref, NodeRef):
                last[ref] = last[NodeRef(ref.index)] = index
    if isinstance(form.output, NodeRef):
        last.pop(form.output, None)
        last.pop(NodeRef(form.output.index), None)
    dying: dict[int, list[NodeRef]] = {}
    for ref, index in last.items():
        dying.setdefault(index, []).append(ref)
    return dying


def _as_list(*items: Any) -> list[Any]:
    return list(items)


def _getter(slots: tuple[int, ...]) -> Callable[[list[Any]], tuple[Any, ...]]:
    """What picks a call's arguments out of the slots; `itemgetter` does it in C, but gives one item
    bare."""
    if len(slots) > 1:
        return operator.itemgetter(*slots)
    if slots:
        (slot,) = slots
        return lambda values: (values[slot],)
    return lambda values: ()


def _with_names(call: Kernel, positional: int, names: tuple[str, ...]) -> Kernel:
    """A call whose last arguments are named."""
    if not names:
        return call
    return lambda *values: call(*values[:positional], **dict(zip(names, values[positional:], strict=True)))
