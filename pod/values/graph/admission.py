"""Admission: what an environment class lets a graph do."""

from __future__ import annotations

from dataclasses import dataclass

from fitchain.pod.values.graph.nodes import Node
from fitchain.pod.values.graph.operators import OPERATORS, advice
from fitchain.pod.values.graph.operators.record import Case, Operator, OwnKernel, named_dtypes
from fitchain.pod.values.state import ITEM_BYTES

HALVES = frozenset({"F16", "BF16"})


@dataclass(frozen=True)
class Admission:
    """What an environment class admits, derived from the operators' records.

    Args:
        who: as a message begins: "the class cpu-native does not admit".
        dtypes: of tensors, and of what a graph converts to.
        portable: whether what parts between processors is refused.
        own_kernels: those of the class, by which alone some operators do not part.
    """

    who: str
    dtypes: frozenset[str] = frozenset(ITEM_BYTES)
    portable: bool = False
    own_kernels: frozenset[OwnKernel] = frozenset()

    def has(self, name: str) -> bool:
        """Whether an operator is admitted; without looking for what to do instead."""
        record = OPERATORS.get(name)
        return record is not None and not self._reason(record)

    def operator_refusal(self, name: str) -> tuple[str, str] | None:
        """Why an operator is not admitted, and what to do instead; None where it is."""
        record, refused = OPERATORS.get(name), f"{self.who} the operator {name}"
        if record is None:
            return refused, advice(name)
        return (refused, reason) if (reason := self._reason(record)) else None

    def refusal(self, node: Node) -> tuple[str, str] | None:
        """Why a node is refused, and what to do instead; None where it is admitted."""
        if refused := self.operator_refusal(node.operator):
            return refused
        return self.dtype_refusal(*named_dtypes((*node.arguments, *node.options.values())))

    def dtype_refusal(self, *dtypes: str) -> tuple[str, str] | None:
        """Why dtypes are refused, and what to do instead; None where all are admitted."""
        for dtype in sorted({*dtypes} - self.dtypes):
            return f"{self.who} {dtype}", "its results have not been compared between processors; use F32"
        return None

    def admits(self, record: Operator, case: Case) -> bool:
        """Whether a graph of the class may make this call."""
        return case.dtypes <= self.dtypes and not self._reason(record)

    def _reason(self, record: Operator) -> str:
        """Why a class across processors has not an operator; empty where it has, or is none."""
        if not self.portable or record.not_portable:
            return record.not_portable if self.portable else ""
        if record.own_kernel is None or record.own_kernel in self.own_kernels:
            return ""
        return f"it was shown equal with {record.own_kernel.value} alone"


ANY = Admission("no class admits")
"""What some class admits."""
