"""Output: the one tensor that a graph gives, out of whatever a module returns.

Modules of libraries return dicts, tuples and dataclasses with much in them, and take arguments that
nobody gives here. A graph takes its inputs by place and gives one tensor. So a module is called
here, as far as its own code is run, through a `forward` that takes tensors and picks one.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fitchain.pod.values.errors import InputRefused

MOST_NAMED = 12
"""Tensors of a structure that a message names."""


def one_tensor(returned: Any, name: str = "") -> Tensor:
    """The tensor that a module is trained for.

    Args:
        returned: what it returned.
        name: of a key, an attribute or a place in it, parts between dots; empty where it returns
            one tensor, bare or in a structure.

    Raises:
        InputRefused: there is no such tensor, or there are several and none is named.
    """
    if isinstance(returned, Tensor) and not name:
        return returned
    tensors = dict(_tensors(returned, ""))
    if name in tensors:
        return tensors[name]
    if not name and len(tensors) == 1:
        return next(iter(tensors.values()))
    kind = type(returned).__name__
    if isinstance(returned, Tensor):
        raise InputRefused(f"the module returns one tensor, and none in it is called {name!r}", "leave out --output")
    if not tensors:
        raise InputRefused(f"the module returns a {kind} without a tensor, and one is needed")
    several = f"the module returns a {kind} of {len(tensors)} tensors"
    names = ", ".join([*tensors][:MOST_NAMED]) + (", ..." if len(tensors) > MOST_NAMED else "")
    asked = f"none is called {name!r}" if name else "one is needed"
    raise InputRefused(f"{several}, and {asked}", f"name one with --output: {names}")


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors in a structure, by their names in it."""
    if isinstance(value, Tensor):
        yield name, value
        return
    items: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, Mapping):
        items = iter(value.items())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = ((each.name, getattr(value, each.name)) for each in dataclasses.fields(value))
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        items = zip(value._fields, value, strict=True)
    elif isinstance(value, list | tuple):
        items = iter(enumerate(value))
    for key, item in items:
        yield from _tensors(item, f"{name}.{key}".lstrip("."))


@contextlib.contextmanager
def giving_one(module: nn.Module, name: str) -> Iterator[None]:
    """Have a module take tensors by place and give one, for a while.

    Args:
        module: whose `forward` is exchanged for `forward(*arguments)`.
        name: of the tensor, as in `one_tensor`.

    Raises:
        InputRefused: it is a script already, or a part of it is, whose `forward` is no Python.
    """
    for part_name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            kind = getattr(part, "original_name", type(part).__name__)
            what = f"the part {part_name!r} ({kind}) is" if part_name else f"{type(module).__name__} is"
            raise InputRefused(
                f"{what} compiled by torch.jit, and a graph is made of a module's own Python",
                "publish the module with the part that was scripted or traced"
                if part_name
                else "publish the module that was scripted or traced",
            )
    forward, own = module.forward, vars(module).get("forward")

    def give(*arguments: Tensor) -> Tensor:
        return one_tensor(forward(*arguments), name)

    vars(module)["forward"] = give
    try:
        yield
    finally:
        if own is None:
            del vars(module)["forward"]
        else:
            vars(module)["forward"] = own
