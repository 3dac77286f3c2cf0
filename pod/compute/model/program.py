"""Programs: a graph with its tensors, which compute what the module computed.

A program owns its memory: what it is given is copied, what it lends is a view. Training changes
parameters (through an optimizer) and buffers (in place, as the eager module does); evaluation
changes nothing.
"""

from __future__ import annotations

import contextlib
from functools import cached_property

import torch
from torch import Tensor

from fitchain.pod.compute.environment.classes import DEFAULT, EnvironmentClass
from fitchain.pod.compute.model.executor import Plan, Wrap, unchanged
from fitchain.pod.compute.model.shape_check import Cost, compared, dry_run
from fitchain.pod.compute.model.tensors import dtype_name, fill, new_tensor, require_tensors, tensor_bytes
from fitchain.pod.compute.operators.arguments import DTYPES
from fitchain.pod.values.digest import Digest, Root
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import LIMITS, Graph, Limits
from fitchain.pod.values.state import TensorBytes, Tensors, model_root, tensor_entry

TOGETHER = "publish graph and weights together"


class Program:
    """A model that trains and evaluates.

    Args:
        graph: what to compute.
        tensors: a byte for byte value for every parameter and buffer that the graph names, and
            nothing else; copied.
        environment_class: what it admits, where it computes and how it seeds.
        limits: bounds on what a forward pass makes, checked before the first of each batch size.

    Raises:
        InputRefused: an operator is outside the class, or the tensors are not those of the graph.

    Attributes:
        parameters: by name; those that training moves require a gradient, frozen ones do not.
        buffers: by name.
    """

    def __init__(
        self,
        graph: Graph,
        tensors: Tensors,
        environment_class: EnvironmentClass = DEFAULT,
        limits: Limits = LIMITS,
    ) -> None:
        graph.check(environment_class.admits)
        require_tensors(graph, tensors, TOGETHER, compares_kinds=True)
        self.graph, self.environment_class, self.limits = graph, environment_class, limits
        self._device = torch.device(environment_class.device)
        self._own = {
            name: new_tensor(tensors[name]).requires_grad_(spec.trainable) for name, spec in graph.tensors.items()
        }
        self.parameters: dict[str, Tensor] = {name: self._own[name] for name in graph.parameters}
        self.buffers: dict[str, Tensor] = {name: self._own[name] for name in graph.buffers}
        self._still = [self._own[name] for name, spec in graph.tensors.items() if not spec.trainable]
        self._plans = {training: self._plan(training) for training in (True, False)}
        self._admitted: set[tuple[bool, tuple[tuple[torch.Size, torch.dtype], ...]]] = set()

    def __call__(self, *inputs: Tensor, training: bool) -> Tensor:
        """Compute the model's output.

        Args:
            inputs: the model's arguments, [B, *shape] each.
            training: in training mode, which updates buffers; else in evaluation mode, which
                records no gradient.

        Returns:
            The output, batch first.

        Raises:
            InputRefused: the inputs are not those of the graph, or a limit is reached.
            OperatorFailed: an operator cannot compute what it is given.
        """
        key = (training, tuple([(x.shape, x.dtype) for x in inputs]))
        plan = self._plans[training]
        if key not in self._admitted:
            plan = self._plan(training, compared(self._admit(inputs, training).values))
        # A gradient's history in what no gradient moves would make a step depend on earlier ones.
        for tensor in self._still:
            if tensor.requires_grad:
                tensor.detach_()
        with contextlib.nullcontext() if training else torch.no_grad():
            output: Tensor = plan.run(inputs)
        self._admitted.add(key)
        return output

    @property
    def trainable(self) -> dict[str, Tensor]:
        """The parameters that an optimizer moves, by name."""
        return {name: tensor for name, tensor in self.parameters.items() if tensor.requires_grad}

    @cached_property
    def written(self) -> frozenset[str]:
        """The parameters and buffers that a step writes in place, whatever the optimizer does.

        Of a batch of one and of two: a value that is a copy in the one may be the buffer's own
        memory in the other (`buffer.expand_as(x).contiguous()`). No call writes any other.
        """
        written = dry_run(self.graph, 2, True, self.limits).written
        try:
            return written | dry_run(self.graph, 1, True, self.limits).written
        except InputRefused:  # a batch norm, say: no step computes a single record then
            return written

    def tensors(self) -> dict[str, TensorBytes]:
        """The parameters and buffers as they are now: views of the program's own memory."""
        return {name: tensor_bytes(spec.kind, self._own[name]) for name, spec in self.graph.tensors.items()}

    def moving(self) -> dict[str, TensorBytes]:
        """Those of them that training moves."""
        return {name: tensor for name, tensor in self.tensors().items() if name not in self.graph.frozen}

    def root(self) -> Root:
        """The model root as it is now; what training never moves is hashed once."""
        return model_root(self.moving(), self._frozen_entries)

    @cached_property
    def _frozen_entries(self) -> dict[str, Digest]:
        tensors = self.tensors()
        return {name: tensor_entry(name, tensors[name]) for name in self.graph.frozen}

    def load(self, tensors: Tensors) -> None:
        """Take on another state, copied into the program's own memory.

        Raises:
            InputRefused: the tensors are not those of the graph; then nothing is changed.
        """
        require_tensors(self.graph, tensors, TOGETHER, compares_kinds=True)
        for name, tensor in self._own.items():
            fill(tensor, tensors[name])

    def _admit(self, inputs: tuple[Tensor, ...], training: bool) -> Cost:
        """Check inputs against the graph, and the shapes of everything they lead to."""
        expected = self.graph.inputs
        if len(inputs) != len(expected):
            raise InputRefused(f"the model takes {len(expected)} inputs and got {len(inputs)}")
        batch = inputs[0].shape[0] if inputs[0].dim() else 0
        for spec, x in zip(expected, inputs, strict=True):
            if tuple(x.shape) != (batch, *spec.shape) or x.dtype != DTYPES[spec.dtype]:
                have = f"{dtype_name('the input', x.dtype)}{list(x.shape)}"
                raise InputRefused(f"the input {spec.name!r} is {have} and not {spec.dtype}{[batch, *spec.shape]}")
        cost = dry_run(self.graph, batch, training, self.limits)
        if cost.written and (others := cost.written - self.written):
            raise InputRefused(
                f"with a batch of {batch} the graph writes {min(others)!r} in place, and with other batches not",
                "write to a buffer itself, not to a view that a batch's size makes",
            )
        return cost

    def _plan(self, training: bool, wrap: Wrap = unchanged) -> Plan:
        form = self.graph.training if training else self.graph.evaluation
        return Plan(self.graph, form, self._own, self._device, wrap)
