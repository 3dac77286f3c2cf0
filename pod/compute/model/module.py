"""A graph as an `nn.Module`: for whoever goes on in plain PyTorch.

Parameters and buffers are the module's own, under the names of the module that was exported, tied
ones under each of theirs; its state dict fits that module strictly. What is computed is the graph:
its training form in training mode, its evaluation form in evaluation mode. Kernels are those that
torch has in this process.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from fitchain.pod.compute.model.executor import Plan
from fitchain.pod.compute.model.shape_check import dry_run
from fitchain.pod.compute.model.tensors import new_tensor, require_tensors
from fitchain.pod.compute.operators.arguments import DTYPES
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.graph.admission import ANY
from fitchain.pod.values.state import Tensors

ModuleState: TypeAlias = dict[str, Tensor]
"""Weights by the names of the module that was published."""
_CACHES = ("_plans", "_admitted")
TOGETHER = "take both from one delivery"


class GraphModule(nn.Module):
    """A trained model as a module.

    Args:
        graph: what it computes.
        tensors: a value for every tensor of the graph, and nothing else; copied.

    Raises:
        InputRefused: the graph may not be run, or the tensors are not its own.

    Attributes:
        graph: what it computes.
    """

    def __init__(self, graph: Graph, tensors: Tensors) -> None:
        super().__init__()
        graph.check(ANY)
        require_tensors(graph, tensors, TOGETHER)
        self.graph = graph
        self._plans: dict[bool, tuple[list[Tensor], Plan]] = {}
        self._admitted: set[tuple[bool, tuple[torch.Size, ...]]] = set()
        made: dict[str, Tensor] = {}
        for name, spec in graph.tensors.items():
            tensor = new_tensor(tensors[name])
            made[name] = nn.Parameter(tensor, requires_grad=spec.trainable) if spec.kind == "parameter" else tensor
            self._place(name, made[name], name not in graph.apart)
        for name, of in graph.tied.items():
            self._place(name, made[of], persistent=True)

    def _place(self, name: str, tensor: Tensor, persistent: bool) -> None:
        """Put a tensor under its dotted name. Straight into torch's tables: `register_parameter`
        and its like refuse names that the class has methods of, as `predict` is."""
        holder: nn.Module = self
        *path, last = name.split(".")
        for part in path:
            child = holder._modules.get(part)
            if child is None:
                child = holder._modules[part] = nn.Module()
            holder = child
        if isinstance(tensor, nn.Parameter):
            holder._parameters[last] = tensor
            return
        holder._buffers[last] = tensor
        if not persistent:
            holder._non_persistent_buffers_set.add(last)

    def _taken(self, name: str) -> Tensor:
        """The tensor that stands under a name now: moving a module makes others."""
        holder: nn.Module = self
        *path, last = name.split(".")
        for part in path:
            held = holder._modules[part]
            assert held is not None
            holder = held
        parameter = holder._parameters.get(last)
        tensor: Tensor | None = holder._buffers.get(last) if parameter is None else parameter
        assert tensor is not None
        return tensor

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute the output, as the module's mode says.

        Args:
            inputs: `[B, *shape]` each, of the graph's types (`graph.inputs`).

        Returns:
            the output, batch first.

        Raises:
            InputRefused: the inputs are not those of the graph, or a limit is reached.
            OperatorFailed: an operator cannot compute what it is given.
        """
        self._admit(inputs)
        tensors = [self._taken(name) for name in self.graph.tensors]
        held, plan = self._plans.get(self.training, (None, None))
        if plan is None or held is None or any(a is not b for a, b in zip(held, tensors, strict=True)):
            form = self.graph.training if self.training else self.graph.evaluation
            device = tensors[0].device if tensors else inputs[0].device
            plan = Plan(self.graph, form, dict(zip(self.graph.tensors, tensors, strict=True)), device)
            self._plans[self.training] = (tensors, plan)
        for tensor in tensors:  # a statistic's history would make a step depend on earlier ones
            if not isinstance(tensor, nn.Parameter) and tensor.requires_grad:
                tensor.detach_()
        output: Tensor = plan.run(inputs)
        return output

    def _admit(self, inputs: tuple[Tensor, ...]) -> None:
        """Check inputs against the graph, and once for each batch size the shapes that they lead
        to."""
        expected = self.graph.inputs
        if len(inputs) != len(expected):
            raise InputRefused(f"the model takes {len(expected)} inputs and got {len(inputs)}")
        batch = inputs[0].shape[0] if inputs[0].dim() else 0
        for spec, x in zip(expected, inputs, strict=True):
            if tuple(x.shape) != (batch, *spec.shape) or (x.dtype != DTYPES[spec.dtype] and spec.dtype == "I64"):
                raise InputRefused(
                    f"the input {spec.name!r} is {x.dtype} {list(x.shape)} and not {DTYPES[spec.dtype]} "
                    f"{[batch, *spec.shape]}",
                    "give it a batch of what `fitchain.preprocess` makes of rows",
                )
        key = (self.training, tuple(x.shape for x in inputs))
        if key not in self._admitted:
            dry_run(self.graph, batch, self.training)
            self._admitted.add(key)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of: the graph as its text, and no plan, which holds this module's own
        tensors."""
        return {**{k: v for k, v in self.__dict__.items() if k not in _CACHES}, "graph": self.graph.encode()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "graph": Graph.parse(state["graph"])})  # type: ignore[no-untyped-call]
        self._plans, self._admitted = {}, set()


def module_state(graph: Graph, tensors: Tensors) -> ModuleState:
    """The state dict of the module that was exported: tied tensors under each of their names, and
    none that it lacks.

    Raises:
        InputRefused: the tensors are not those of the graph.
    """
    require_tensors(graph, tensors, TOGETHER)
    made = {name: new_tensor(tensor) for name, tensor in tensors.items()}
    return {name: made[of] for name, of in graph.state_names.items()}
