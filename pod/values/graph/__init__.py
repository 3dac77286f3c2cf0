"""Graph: a model's computation as data, in a training and an evaluation form (no torch).

`operators` says what a graph may do in which environment class, `nodes` what it is made of,
`document` reads it, bounded and checked before anything is allocated.
"""

from __future__ import annotations

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
from fitchain.pod.values.graph.operators import CLASSES, KNOWN, NATIVE, V3, allowed, refusal

__all__ = [
    "CLASSES",
    "KNOWN",
    "LIMITS",
    "NATIVE",
    "V3",
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
    "allowed",
    "references",
    "refusal",
]
