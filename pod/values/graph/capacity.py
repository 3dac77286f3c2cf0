"""Capacity: how many numbers of a delivered model records can reach, against the numbers that the
records hold.

What a module would keep as it is, is refused (`taint`). What is left can be counted: the optimizer
moves every trainable parameter by what the records say, batch norms keep statistics of them, and
averages keep what parameters were. A model that was made for it carries about as many of the
records' numbers home as it has numbers of these kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from fitchain.pod.values.graph.document import Graph


@dataclass(frozen=True, slots=True)
class Capacity:
    """Numbers of a delivered model that records can reach.

    Args:
        parameters: those that the optimizer moves.
        statistics: running statistics of batch norms.
        averages: buffers that learnt numbers reach.
        channels: of the batch norms: a channel that sees one record a step keeps that record's.
    """

    parameters: int
    statistics: int
    averages: int
    channels: int

    @property
    def numbers(self) -> int:
        """All of them."""
        return self.parameters + self.statistics + self.averages


def capacity_of(graph: Graph) -> Capacity:
    """Count what records can reach in a model.

    Args:
        graph: of the model, admitted.
    """
    sizes = {name: prod(spec.shape) for name, spec in graph.tensors.items()}
    structure = graph.structure
    statistics = sum(sizes[name] for name in structure.statistics)
    return Capacity(
        parameters=sum(sizes[name] for name, spec in graph.tensors.items() if spec.trainable),
        statistics=statistics,
        averages=sum(sizes[name] for name in structure.averages),
        channels=-(-statistics // 2),
    )
