"""Composites: operators that torch itself makes of others (`CompositeImplicitAutograd`), and those
that write into a tensor they are given (`out=`, `clamp_`).

No class needs a record of them: eager mode runs what they are made of, with the gradients of that,
and so does a graph that says it. What is admitted as a whole is not taken apart. That both compute
the same is tried like everything else (`fidelity`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from fitchain.pod.compute.model.torch_output import quiet

COMPOSITE = "CompositeImplicitAutograd"


class Parts(NamedTuple):
    """What an operator is made of.

    Args:
        traced: its operators; it returns a tuple.
        taken: the nodes that its placeholders stand for, in their order.
        is_single: whether the operator makes one value, and not several.
    """

    traced: fx.GraphModule
    taken: tuple[fx.Node, ...]
    is_single: bool


def is_composite(target: Any) -> bool:
    """Whether an operator is one that torch makes of others."""
    return isinstance(target, torch._ops.OpOverload) and target in _table()


def parts(node: fx.Node, admitted: Callable[[str], bool]) -> Parts | None:
    """Take a call of a composite apart.

    Args:
        node: as it was traced, with the values of its arguments.
        admitted: whether an operator of a name is written as it is; others are taken apart in turn.

    Returns:
        What it is made of; None where that depends on a number in a tensor or on the size of a
        batch, or on what torch's own parts do not say of shapes.
    """
    taken: list[fx.Node] = []

    def placed(value: Any) -> Any:
        if value not in taken:
            taken.append(value)
        return _Place(taken.index(value))

    arguments, options = (fx.node.map_arg(each, placed) for each in (node.args, dict(node.kwargs)))
    numbers = [each.meta.get("val") for each in taken]
    is_single = False

    def call(*values: Any) -> tuple[Any, ...]:
        nonlocal is_single
        filled = partial(_filled, values=values)
        made = node.target(*filled(arguments), **filled(options))  # type: ignore[operator]
        is_single = isinstance(made, Tensor)
        return (made,) if is_single else tuple(made)

    table = {target: call for target, call in _table().items() if not admitted(str(target))}
    shapes = _shapes(numbers)
    guards = len(shapes.guards) if shapes else 0
    try:
        with quiet():
            traced = make_fx(call, decomposition_table=table, pre_dispatch=True, _error_on_data_dependent_ops=False)(
                *numbers
            )
    except Exception:  # noqa: BLE001 - torch has many ways to say that a shape is not known; it stays refused whole
        return None
    if shapes and len(shapes.guards) > guards:
        return None
    for inner in traced.graph.nodes:
        inner.stack_trace = node.stack_trace
    return Parts(traced, tuple(taken), is_single)


class _Place(NamedTuple):
    """The place of a node among those that a call takes."""

    number: int


def _filled(value: Any, values: Sequence[Any]) -> Any:
    """Arguments with values in the places of nodes."""
    match value:
        case _Place():
            return values[value.number]
        case list() | tuple():
            return [_filled(item, values) for item in value]
        case dict():
            return {key: _filled(item, values) for key, item in value.items()}
    return value


def _shapes(values: Sequence[Any]) -> ShapeEnv | None:
    """What knows the sizes that are left open."""
    modes = [mode for value in values if (mode := getattr(value, "fake_mode", None)) is not None]
    return modes[0].shape_env if modes else None


@cache
def _table() -> Mapping[Any, Callable[..., Any]]:
    """Torch's composites, by operator: what calls their parts."""
    key = getattr(torch._C.DispatchKey, COMPOSITE)
    made: dict[Any, Callable[..., Any]] = {}
    for name in torch._C._dispatch_get_registrations_for_dispatch_key(COMPOSITE):
        space, _, rest = name.partition("::")
        packet, _, kind = rest.partition(".")
        target = getattr(getattr(torch.ops.aten, packet, None), kind or "default", None)
        if space == "aten" and isinstance(target, torch._ops.OpOverload):
            made[target] = partial(target._op_dk, key)
    return made


def without_out(target: Any, options: Mapping[str, Any]) -> Any:
    """The operator that makes a tensor of its own where another writes it into `out`.

    Args:
        target: what was traced.
        options: what it was given by name.

    Returns:
        None where it is no such operator, or writes more than one.
    """
    if not isinstance(target, torch._ops.OpOverload) or "out" not in options:
        return None
    schema = target._schema
    wanted = [_parameter(each) for each in schema.arguments if not each.is_out]
    if len(schema.returns) != 1 or len(wanted) != len(schema.arguments) - 1:
        return None
    return _making(target.overloadpacket, wanted)


def without_writing(target: Any) -> Any:
    """The operator that makes a tensor of its own where another changes its first argument: by
    torch's rule of names, `clamp` for `clamp_`.

    Args:
        target: what was traced.

    Returns:
        None where it is no such operator, or where it changes a shape, too.
    """
    if not isinstance(target, torch._ops.OpOverload) or torch.Tag.inplace_view in target.tags:
        return None
    space, _, name = target._schema.name.partition("::")
    if space != "aten" or not name.endswith("_") or name.startswith("__"):
        return None
    packet = getattr(torch.ops.aten, name[:-1], None)
    return packet and _making(packet, [_parameter(each) for each in target._schema.arguments])


def _making(packet: Any, wanted: Sequence[tuple[str, str]]) -> Any:
    """Of the operators of one name that which takes what is wanted and changes none of it."""
    overloads = (getattr(packet, name) for name in packet.overloads())
    return next(
        (
            each
            for each in overloads
            if [_parameter(argument) for argument in each._schema.arguments] == wanted and not each._schema.is_mutable
        ),
        None,
    )


def _parameter(argument: Any) -> tuple[str, str]:
    return argument.name, str(argument.real_type)
