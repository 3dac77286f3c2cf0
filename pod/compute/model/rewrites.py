"""Rewrites: the few operators that a graph says by another one, and what it leaves out.

A module of a library computes more than the one tensor that is asked for: losses, hidden states.
What nobody reads is not written down. Everything else is, as it was traced. That a graph computes
the same is not believed: export runs module and graph side by side (`fidelity`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import fx

from fitchain.pod.values.graph import OPERATORS
from fitchain.pod.values.graph.operators.record import Guard

_ATEN = torch.ops.aten


EMPTY: Mapping[Any, Any] = {
    _ATEN.empty.memory_format: _ATEN.zeros.default,
    _ATEN.new_empty.default: _ATEN.new_zeros.default,
    _ATEN.empty_like.default: _ATEN.zeros_like.default,
}
"""What leaves memory as it is, and what a graph says instead."""


class Call(NamedTuple):
    """An operator of torch with what it is given."""

    target: Any
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]


def rewritten(target: Any, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Call:
    """A call as a graph says it.

    Args:
        target: what was traced; operators of torch are rewritten, nothing else.
        arguments, options: of the traced node.
    """
    call = Call(target, tuple(arguments), dict(options))
    if str(target) == GROUPED_BY_NAME:
        return _grouped(call)
    rule = _RULES.get(target)
    return rule(call) if rule else call


def read_nodes(traced: fx.GraphModule) -> set[fx.Node]:
    """The nodes of a traced graph that a graph says: the output's, what it is made of, and whatever
    does something else than compute, with what that takes.

    Args:
        traced: as torch traced it; its nodes stand in their order.
    """
    kept: set[fx.Node] = set()
    for node in reversed(traced.graph.nodes):
        if node.op != "call_function" or _does_more(node.target) or any(user in kept for user in node.users):
            kept.add(node)
    return kept


def _does_more(target: Any) -> bool:
    """Whether an operator changes something, draws, moves statistics, or is no operator of torch."""
    if not isinstance(target, torch._ops.OpOverload):
        return isinstance(target, torch._ops.HigherOrderOperator)
    record = OPERATORS.get(str(target))
    statistics = record is not None and record.guard is Guard.STATISTICS
    return target._schema.is_mutable or torch.Tag.nondeterministic_seeded in target.tags or statistics


def _of_zeros(target: Any) -> Callable[[Call], Call]:
    """Memory that is filled before it is read may hold zeros; no graph reads what nobody wrote."""

    def zeros(call: Call) -> Call:
        options = {key: value for key, value in call.options.items() if key not in ("memory_format", "pin_memory")}
        return Call(target, call.arguments, options)

    return zeros


def _vector_norm(call: Call) -> Call:
    """Torch itself takes the norm of vectors so, unless an order is given for two dimensions."""
    schema = _ATEN.linalg_norm.default._schema.arguments
    names = [argument.name for argument in schema if not argument.kwarg_only]
    values = {**dict(zip(names, call.arguments, strict=False)), **call.options}
    order, dimensions = values.get("ord"), values.get("dim")
    tensor = values["self"]
    rank = len(dimensions) if isinstance(dimensions, list | tuple) else 1
    if dimensions is None:
        rank = tensor.meta["val"].dim()
    if order is not None and rank != 1:
        return call
    kept = {"dtype": values["dtype"]} if values.get("dtype") is not None else {}
    return Call(
        _ATEN.linalg_vector_norm.default,
        (tensor, 2 if order is None else order, dimensions, bool(values.get("keepdim", False))),
        kept,
    )


def _softened(target: Any) -> Callable[[Call], Call]:
    """What torch runs for a softmax, as it is called."""

    def softmax(call: Call) -> Call:
        tensor, dimension, _ = call.arguments  # the last: from half precision, which is none of a graph's
        return Call(target, (tensor, dimension), {})

    return softmax


def _grouped(call: Call) -> Call:
    """By place, as a graph gives them."""
    return Call(_ATEN._grouped_mm.default, (*call.arguments, *call.options.values()), {})


GROUPED_BY_NAME = "transformers.grouped_mm_fallback.default"
"""Hugging Face's stand-in, while it is traced, for what it runs otherwise: products of groups."""


_RULES: Mapping[Any, Callable[[Call], Call]] = {
    **{target: _of_zeros(filled) for target, filled in EMPTY.items()},
    _ATEN.linalg_norm.default: _vector_norm,
    _ATEN._softmax.default: _softened(_ATEN.softmax.int),
    _ATEN._log_softmax.default: _softened(_ATEN.log_softmax.int),
    _ATEN._unsafe_view.default: lambda call: call._replace(target=_ATEN.view.default),
}
