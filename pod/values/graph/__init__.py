"""Graph: a model's computation as data, in a training and an evaluation form (no torch).

`operators` has a record of each thing that a graph may do, `admission` says which of them a class
admits, `nodes` what a graph is made of, `document` reads it, bounded and checked before anything is
allocated; `taint` follows a batch through it and refuses what would be remembered, `capacity`
counts what records can reach all the same; `layers` tells it as people speak of a model.
"""

from __future__ import annotations

from fitchain.pod.values.graph.admission import Admission
from fitchain.pod.values.graph.document import Graph
from fitchain.pod.values.graph.nodes import (
    LIMITS,
    Argument,
    Form,
    Input,
    InputRef,
    Limits,
    Node,
    NodeRef,
    Ref,
    Symbol,
    TensorRef,
    TensorSpec,
    references,
)
from fitchain.pod.values.graph.operators import OPERATORS

__all__ = [
    "LIMITS",
    "OPERATORS",
    "Admission",
    "Argument",
    "Form",
    "Graph",
    "Input",
    "InputRef",
    "Limits",
    "Node",
    "NodeRef",
    "Ref",
    "Symbol",
    "TensorRef",
    "TensorSpec",
    "references",
]
