"""Torch without its compiler, which nothing here uses (torch).

Torch's optimizers ask the compiler not to look at them, `use_deterministic_algorithms` tells it,
and both import all of it for that, which takes longer than torch itself. In a process that compiles
nothing, what they call there changes nothing: leave to run a function as it is, a break in a graph
that nobody traces, a setting that nobody reads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch


def leave_out_compiler() -> None:
    """Stand in for torch's compiler in this process, unless it is there already; whatever else is
    asked of it is missing there.

    What is asked is torch 2.13.0's: `optim/optimizer.py`, `_compile.py`, and in `__init__.py`
    `use_deterministic_algorithms`.
    """

    def disable(function: Callable[..., Any], *_: object, **__: object) -> Callable[..., Any]:
        return function

    def graph_break(*_: object) -> None:
        pass

    _stand_in("torch._dynamo", disable=disable, graph_break=graph_break)
    config = _stand_in("torch._inductor.config", deterministic=False)
    _stand_in("torch._inductor", config=config)


def _stand_in(name: str, **attributes: object) -> ModuleType:
    """A module of that name in the place of torch's own."""
    if name not in sys.modules:
        module = ModuleType(name)
        vars(module).update(attributes)
        sys.modules[name] = module
        if name.count(".") == 1:
            setattr(torch, name.partition(".")[2], module)
    return sys.modules[name]
