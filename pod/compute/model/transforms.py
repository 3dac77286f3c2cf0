"""Transforms: `torch.vmap` and `torch.func` in a module, written out as the operators they run.

A trace keeps a transform's own calls, which no graph has. So a module that uses one is taken down
first, below gradients and transforms, as the operators that torch runs in the end; these are then
traced like any module. That they train the same is tried (`fidelity`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode

from fitchain.pod.compute.model.torch_output import raising_location
from fitchain.pod.values.errors import FitchainError, InputRefused

RECORDS = 8191
"""A batch size that no other size is: equal sizes are taken for one."""
WRITTEN_OUT = "write the batch's dimension out in place of torch.vmap, and a derivative as its formula"
"""What to do where a transform cannot be said."""
_functorch: Any = torch._C._functorch


class Transformed(Exception):
    """A module computes within a transform of torch.func."""


class _Gradients(TorchFunctionMode):
    """Keeps a gradient that was asked for as a mere number, without `create_graph`, from being
    differentiated: what is taken down would."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        output = function(*arguments, **options)
        if function is not torch.autograd.grad or options.get("create_graph"):
            return output
        return tuple(None if each is None else each.detach() for each in output)


@contextlib.contextmanager
def untransformed() -> Iterator[None]:
    """Leave no transform open: a trace that fails within one forgets to close it, and every later
    computation would be part of it."""
    try:
        yield
    finally:
        while _functorch.peek_interpreter_stack() is not None:
            _functorch.pop_dynamic_layer_stack()


@contextlib.contextmanager
def in_plain_operators(module: nn.Module, examples: tuple[Tensor, ...]) -> Iterator[None]:
    """Have a module's forward, which is exchanged already (`giving_one`), run the plain operators
    that it runs in the end.

    Args:
        module: in the mode that is taken down.
        examples: its arguments, `[batch, *shape]` each.

    Raises:
        InputRefused: its operators cannot be taken down.
    """
    forward = vars(module)["forward"]
    vars(module)["forward"] = _plain(module, examples)
    try:
        yield
    finally:
        vars(module)["forward"] = forward


def _plain(module: nn.Module, examples: tuple[Tensor, ...]) -> Callable[..., Tensor]:
    """What a module does, as plain operators, of whatever tensors it holds when it is called."""

    def tensors() -> dict[str, Tensor]:
        return {**dict(module.named_parameters()), **dict(module.named_buffers())}

    def compute(held: dict[str, Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
        with _Gradients():
            value: Tensor = torch.func.functional_call(module, held, inputs)
        return value

    records = tuple(each.new_zeros((RECORDS, *each.shape[1:])) for each in examples)
    try:
        with untransformed():
            graph = make_fx(compute, tracing_mode="symbolic", _allow_non_fake_inputs=True)(tensors(), records)
    except FitchainError:
        raise
    except Exception as error:  # noqa: BLE001 - the module's code is the user's, and may raise anything
        message = (str(error).strip().splitlines() or ["no message"])[0]
        where = raising_location(error.__traceback__)
        raise InputRefused(
            f"{f'{where}: ' if where else ''}torch.func cannot be written out: {type(error).__name__}: {message}",
            WRITTEN_OUT,
        ) from None
    for node in graph.graph.nodes:
        if isinstance(node.target, torch._ops.OpOverload) and torch.Tag.inplace_view in node.target.tags:
            node.target = _of_a_view(node.target)
    graph.recompile()
    return lambda *inputs: graph(tensors(), inputs)


def _of_a_view(target: torch._ops.OpOverload) -> torch._ops.OpOverload:
    """What gives another view in place of one whose shape it changes: sizes that are asked for are
    those of before."""
    packet = getattr(torch.ops.aten, target._schema.name.removeprefix("aten::").removesuffix("_"))
    view: torch._ops.OpOverload = getattr(packet, target._overloadname)
    return view
