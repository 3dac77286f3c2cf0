"""Operators: what a graph may do, a record each.

A graph comes from a stranger, so an operator is admitted only if it is named here; and it is named
here only if it reads nothing but its arguments, checks every index it is given, and makes shapes
that depend on shapes alone. Never admitted:

- uninitialised, foreign or out-of-bounds memory: `empty*`, `new_empty*` (export writes zeros),
  `as_strided*`, `set_`, `resize_*`, `from_file`, `embedding_renorm_`, `max_unpool*`;
- shapes or branches that depend on values: `nonzero`, `masked_select`, `unique*`, `item`, `one_hot`
  without a number of classes;
- anything sparse, quantised, complex, on disk, or with a kernel of its own.

A new operator is one record (`record` says of what it consists), in the module of its kind:
`products`, `layers`, `elementwise`, `reductions`, `shapes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from fitchain.pod.values.graph.operators import elementwise, layers, products, reductions, shapes
from fitchain.pod.values.graph.operators.record import Operator

_RECORDS = tuple(record for kind in (products, layers, elementwise, reductions, shapes) for record in kind.RECORDS)
OPERATORS: Mapping[str, Operator] = MappingProxyType({record.name: record for record in _RECORDS})
"""Every operator by name."""

_NEVER = {
    "aten.empty": "uninitialised memory would enter the model; use zeros",
    "aten.item": "the computation may not depend on a value read back into Python; use torch.where",
    "aten.nonzero": "shapes may not depend on values; use torch.where or a mask",
    "aten.scatter": "nothing is written by index but with x[i] = y; use that, torch.where or a mask",
    "aten.fft_": "its bits differ between processors; write a product with a constant matrix",
    "aten.as_strided": "it reads memory without checks; use slices, views or unfold",
}


def advice(name: str) -> str:
    """What to do instead of an operator that has no record, as far as it is known."""
    for prefix, reason in _NEVER.items():
        if name.replace(".new_", ".").startswith(prefix):
            return reason
    near = get_close_matches(name, OPERATORS, n=3, cutoff=0.8)
    return f"near ones are {', '.join(near)}" if near else "rewrite the module without it"
